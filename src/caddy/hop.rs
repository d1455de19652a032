//! A Caddy site as a hop: the handshake walks through its handlers in the order in which they run.

use super::handler::{Action, HandlerId, Handlers};
use super::matcher::Doubt;
use super::proxy::{Dialect, HANDSHAKE, HeaderLine, Proxy, Scheme, opens, rebuild};
use super::response::{Answers, ResponseHandler, Returned, Spoiled, returned};
pub use super::walk::{End, PathChange, Walk, walk};
use super::walk::{rewritten, walk_error, walk_list};
use crate::handshake::{
    Because, OF_THE_CLIENT, Outcome, Passage, Protocol, Reply, Request, Upstream,
};
use crate::source::Span;
use crate::value::Value;

/// What a site makes of a request.
#[derive(Clone, Debug)]
pub struct Journey {
    /// The way through the handlers.
    pub walk: Walk,
    /// What becomes of it.
    pub outcome: Outcome,
    /// The events, in order.
    pub because: Vec<Because>,
}

/// A site's handlers as a hop.
#[derive(Clone, Copy, Debug)]
pub struct SiteHop<'a> {
    /// They.
    pub handlers: &'a Handlers,
    /// The site's addresses.
    pub place: Span,
}

impl SiteHop<'_> {
    /// What becomes of `request` here, with what lost it.
    pub fn journey(&self, request: &Request) -> Journey {
        let handlers = self.handlers;
        let walk = walk(handlers, request, false);
        if handlers.partial {
            let why = "a part of the site could not be resolved".to_owned();
            return journey(walk, Outcome::Undecided { why });
        }
        if let End::Proxied(id) = walk.end
            && let Action::Proxy(proxy) = &handlers.get(id).action
        {
            return self.proxied(walk, id, proxy);
        }
        self.ended(walk)
    }

    /// Where no proxy sends it on.
    fn ended(&self, mut walk: Walk) -> Journey {
        match walk.end.clone() {
            End::Answered(by, status) => {
                let handler = self.handlers.get(by);
                let message = match status {
                    Some(status) => format!("`{}` answers {status}", handler.name),
                    None => format!("`{}` ends it", handler.name),
                };
                walk.because.push(Because {
                    span: handler.head,
                    message,
                });
                journey(walk, Outcome::Answers { status })
            }
            End::Undecided(span, doubt) => {
                let why = match doubt {
                    Doubt::Circumstances => {
                        format!(
                            "a matcher depends on more than the handshake: {OF_THE_CLIENT} address, its cookies or the like"
                        )
                    }
                    Doubt::Hidden(what) => what,
                };
                walk.because.push(Because {
                    span,
                    message: why.clone(),
                });
                journey(walk, Outcome::Undecided { why })
            }
            End::Unhandled if walk.panics.is_some() => {
                let head = walk
                    .panics
                    .map_or(self.place, |id| self.handlers.get(id).head);
                walk.because.push(Because {
                    span: head,
                    message: "no handler takes it, and `intercept` ends the connection".to_owned(),
                });
                journey(walk, Outcome::Answers { status: None })
            }
            End::Unhandled | End::Proxied(_) => {
                walk.because.push(Because {
                    span: self.place,
                    message: "no handler takes it: Caddy answers 200 with an empty body".to_owned(),
                });
                journey(walk, Outcome::Answers { status: Some(200) })
            }
        }
    }

    /// What reaches the upstream, and what comes back.
    fn proxied(&self, walk: Walk, id: HandlerId, proxy: &Proxy) -> Journey {
        let handlers = self.handlers;
        let version = handlers.version;
        let mut walk = walk;
        let given = proxy.by_request(&walk.scene(handlers));
        let proxy = match &given {
            Ok(given) => given.as_ref().unwrap_or(proxy),
            Err(span) => {
                let message = "gives no address with a port for this request: Caddy answers 502";
                walk.because.push(Because {
                    span: *span,
                    message: message.to_owned(),
                });
                return self.failed(&walk, id, 502);
            }
        };
        if let Value::Known(address) = proxy.hostport() {
            walk.found
                .insert("upstream_hostport".to_owned(), Some(address));
        }
        // `rewrite` and `method` work on the request that is sent (reverseproxy.go, prepareRequest).
        let arrived = walk.request.clone();
        if let Some(to) = &proxy.rewrite {
            let known = to
                .known()
                .and_then(|to| rewritten(to, &walk.scene(handlers)));
            let Some((path, query)) = known else {
                walk.end = End::Undecided(to.span, Doubt::Circumstances);
                return self.ended(walk);
            };
            walk.request.path = path;
            walk.request.query = query.unwrap_or(walk.request.query);
        }
        if let Some(method) = proxy.method.as_ref().and_then(|method| method.known()) {
            walk.request.method = method.to_ascii_uppercase();
            walk.method_by = proxy.method.as_ref().map(|method| method.span);
        }
        let mut headers = proxy.sent(&walk.scene(handlers), version, handlers.trust);
        let mut sent = std::mem::replace(&mut walk.request, arrived);
        if !sent.path.starts_with('/') {
            if version < [2, 7, 0] {
                // Debian's 2.6.2 writes `GET chat HTTP/1.1`, which many servers refuse.
                let why = "its request line has a path without a slash".to_owned();
                walk.end = End::Undecided(handlers.get(id).head, Doubt::Hidden(why));
                return self.ended(walk);
            }
            // Go writes the request line with one.
            sent.path.insert(0, '/');
        }
        if let Some(span) = proxy.unhealthy {
            let message = "counts the 101 that opens a socket as a failure: until that is forgotten no upstream is healthy, and Caddy answers 503";
            walk.because.push(Because {
                span,
                message: message.to_owned(),
            });
            return self.failed(&walk, id, 503);
        }
        if let Some((span, path)) = proxy.checks_socket(&sent.path) {
            let message = format!(
                "asks `{path}` with a plain GET, which a WebSocket endpoint refuses: no upstream is healthy, and Caddy answers 503"
            );
            walk.because.push(Because { span, message });
            return self.failed(&walk, id, 503);
        }
        let rebuilt = rebuild(&walk.request);
        for name in HANDSHAKE {
            if opens(&headers, &walk.asked, name) != Some(false) {
                continue;
            }
            let before_proxy = opens(&rebuilt, &walk.asked, name) == Some(false);
            let touches = |line: &&HeaderLine| line.touches(name) || line.field == "*";
            let line = proxy.header_up.iter().rfind(touches);
            if let Some(line) = line.filter(|_| !before_proxy) {
                walk.because.push(Because {
                    span: line.span,
                    message: format!("spoils {name}"),
                });
            }
        }
        let dialect = proxy.dialect(version);
        let mut protocol = Protocol::Http11;
        if dialect != Dialect::Http1 {
            let h2c =
                |upstream: &&super::proxy::Upstream| matches!(upstream.scheme, Scheme::Other(_));
            let versions = proxy.versions.as_ref().map(|(span, _)| *span);
            let scheme = proxy
                .upstreams
                .iter()
                .find(h2c)
                .map(|upstream| upstream.span);
            let span = versions.or(scheme).unwrap_or(handlers.get(id).head);
            let has = |name: &str| {
                headers
                    .iter()
                    .any(|line| line.name.eq_ignore_ascii_case(name))
            };
            // x/net/http2, checkConnHeaders: one Connection may say what HTTP/1.1 does anyway.
            let connects = headers
                .iter()
                .filter(|line| line.name.eq_ignore_ascii_case("connection"))
                .map(|line| line.value.known().map(|value| value.to_ascii_lowercase()));
            let harmless = |value: Option<String>| {
                matches!(value.as_deref(), Some("" | "close" | "keep-alive"))
            };
            let connects = connects.clone().count() > 1 || !connects.clone().all(harmless);
            if dialect == Dialect::H2c && (has("Upgrade") || connects) {
                // http2.Transport refuses such headers before it dials: 502.
                walk.because.push(Because {
                    span,
                    message: "HTTP/2 has no Upgrade: Caddy answers 502 and asks no upstream"
                        .to_owned(),
                });
                return self.failed(&walk, id, 502);
            }
            headers.retain(|line| {
                !line.name.eq_ignore_ascii_case("Upgrade")
                    && !line.name.eq_ignore_ascii_case("Connection")
            });
            protocol = if dialect == Dialect::H2c {
                Protocol::Http2
            } else {
                Protocol::Http3
            };
        }
        let reply = self.reply(&mut walk, proxy);
        let refused = refused(handlers, &walk, proxy);
        let unanswered = self.unanswered(&walk, id);
        let outcome = Outcome::Forwards {
            to: upstreams(proxy, handlers.get(id).head),
            request: Box::new(Request {
                headers,
                protocol,
                ..sent
            }),
            reply,
            refused,
            // What takes an answer takes it by its status.
            kept: None,
            unanswered,
        };
        journey(walk, outcome)
    }

    /// Where the proxy `id` fails with this status, and `handle_errors` may answer.
    fn failed(&self, walk: &Walk, id: HandlerId, status: u16) -> Journey {
        let after = walk_error(self.handlers, walk, id, Some(status));
        match after.end {
            End::Proxied(other) if other == id => {
                let status = Some(status);
                journey(after, Outcome::Answers { status })
            }
            End::Proxied(other) => match &self.handlers.get(other).action {
                Action::Proxy(proxy) => self.proxied(after, other, proxy),
                _ => self.ended(after),
            },
            End::Answered(_, status) => journey(after, Outcome::Answers { status }),
            _ => self.ended(after),
        }
    }

    /// What the client gets where the upstream closes without an answer.
    fn unanswered(&self, walk: &Walk, id: HandlerId) -> Option<u16> {
        if self.handlers.errors.is_empty() {
            return Some(502);
        }
        match walk_error(self.handlers, walk, id, Some(502)).end {
            End::Proxied(other) if other == id => Some(502),
            End::Answered(_, status) => status,
            _ => None,
        }
    }

    /// What becomes of a 101.
    fn reply(&self, walk: &mut Walk, proxy: &Proxy) -> Reply {
        if let Some(span) = proxy.buffers {
            let message =
                "waits for the end of the answer, which a socket does not have".to_owned();
            walk.because.push(Because { span, message });
            return Reply::Replaced { status: None };
        }
        if let Some((by, status)) = walk.replaced {
            let message = "takes the upstream's 101 for itself".to_owned();
            walk.because.push(Because { span: by, message });
            return Reply::Replaced { status };
        }
        let scene = walk.scene(self.handlers);
        let found = returned(
            walk.header_ops(self.handlers),
            &scene,
            self.handlers.version,
        );
        let found = match (found, walk.doubled) {
            (Ok(Returned::Whole | Returned::Closing(_)), Some(by)) => {
                Ok(Returned::Spoiled(Spoiled {
                    header: "Upgrade",
                    lines: 2,
                    value: None,
                    by,
                    switches: true,
                }))
            }
            (found, _) => found,
        };
        // What opens is the file's path or the socket's: which, only the server's folder shows.
        let change = walk.changes.last();
        if let (Ok(Returned::Whole | Returned::Closing(_)), Some(change)) = (&found, change)
            && walk.supposed == Some(change.by)
            && change.to == walk.request.path
        {
            let why = format!(
                "the project does not show whether there is a file `{}`: if there is, the upstream is asked for it and not for `{}`",
                change.to, change.from
            );
            return Reply::Undecided { why };
        }
        match found {
            Ok(Returned::Whole) => Reply::Intact,
            Ok(Returned::Closing(by)) => Reply::Closing { by },
            Ok(Returned::Spoiled(spoiled)) => {
                let message = match spoiled.lines {
                    0 => format!("takes {} from the 101", spoiled.header),
                    1 => format!("changes {} of the 101", spoiled.header),
                    _ => format!("doubles {} in the 101", spoiled.header),
                };
                walk.because.push(Because {
                    span: spoiled.by,
                    message,
                });
                Reply::Spoiled {
                    switches: spoiled.switches,
                }
            }
            Err(span) => {
                let why = "the value of a header of the answer is not known here".to_owned();
                walk.because.push(Because {
                    span,
                    message: why.clone(),
                });
                Reply::Undecided { why }
            }
        }
    }
}

/// What `handle_response` and `replace_status` make of an upstream's refusal: the first that is
/// about its status takes it (reverseproxy.go, reverseProxy). A 101 that is no switch of protocols
/// is dropped without a word (streaming.go, handleUpgradeResponse): 200, and nothing in it.
fn refused(handlers: &Handlers, walk: &Walk, proxy: &Proxy) -> Vec<(u16, Outcome)> {
    let dropped = Outcome::Answers { status: Some(200) };
    if proxy.responses.is_empty() {
        return vec![(101, dropped)];
    }
    let made = |response: &ResponseHandler| match (&response.handlers, walk.replaced) {
        // It may look at headers, too.
        _ if response.answers.as_ref().is_some_and(Answers::asks_headers) => None,
        (None, _) => Some(Outcome::Answers {
            status: Some(response.status?),
        }),
        // What it answered in place of the 101.
        (Some(_), Some((by, status))) if by == response.head => Some(Outcome::Answers { status }),
        (Some(list), _) => match walk_list(handlers, walk, list) {
            // `copy_response`.
            Some(End::Answered(_, Some(101))) => None,
            Some(End::Answered(_, status)) => Some(Outcome::Answers { status }),
            _ => Some(Outcome::Undecided {
                why: "where the upstream refuses it, `handle_response` leaves it to others"
                    .to_owned(),
            }),
        },
    };
    let made: Vec<Option<Outcome>> = proxy.responses.iter().map(made).collect();
    let instead = |code: u16| {
        let at = proxy.responses.iter().position(|response| {
            let answers = response.answers.as_ref();
            answers.is_none_or(|answers| answers.takes_status(code))
        })?;
        made[at].clone()
    };
    let takes = |response: &ResponseHandler| {
        let answers = response.answers.as_ref();
        answers.is_none_or(|answers| answers.takes_status(101))
    };
    let switch = match instead(101) {
        Some(outcome) => outcome,
        None if proxy.responses.iter().any(takes) => Outcome::Undecided {
            why: "what is made of a 101 that is none depends on its headers".to_owned(),
        },
        None => dropped,
    };
    let refusals = (200..600).filter_map(|code| Some((code, instead(code)?)));
    refusals.chain([(101, switch)]).collect()
}

fn journey(walk: Walk, outcome: Outcome) -> Journey {
    let because = walk.because.clone();
    Journey {
        walk,
        outcome,
        because,
    }
}

impl SiteHop<'_> {
    /// What becomes of `request` in this site.
    pub fn receive(&self, request: &Request) -> Passage {
        let journey = self.journey(request);
        Passage {
            at: Some(self.place),
            outcome: journey.outcome,
            because: journey.because,
        }
    }
}

/// Whom `proxy` dials, as the next hop sees it.
pub(super) fn upstreams(proxy: &Proxy, place: Span) -> Vec<Upstream> {
    let unknown = || "the files do not show it".to_owned();
    let mut upstreams: Vec<Upstream> = proxy
        .upstreams
        .iter()
        .map(|upstream| {
            let socket = upstream.socket();
            let host = upstream.host.clone();
            let host = socket.map(|path| format!("unix:{path}")).or(host);
            // A socket has no port; whoever needs one takes that of the scheme.
            let port = upstream.port.or(socket.map(|_| 80));
            let host = host.map_or_else(|| Value::Unknown(unknown()), Value::Known);
            Upstream {
                // An address is asked for where no name is: whoever has a certificate for it is found.
                tls_name: proxy.tls_name.clone().or_else(|| Some(host.clone())),
                tls: upstream.scheme == Scheme::Https || proxy.tls_transport,
                host,
                port: port.map_or_else(|| Value::Unknown(unknown()), Value::Known),
                // selectionpolicies.go, FirstSelection.
                spare: proxy.takes_first
                    && proxy
                        .upstreams
                        .first()
                        .is_some_and(|first| first.span != upstream.span),
                from: upstream.span,
            }
        })
        .collect();
    if proxy.dynamic {
        upstreams.push(Upstream {
            tls_name: proxy.tls_name.clone(),
            tls: proxy.tls_transport,
            host: Value::Unknown(unknown()),
            port: Value::Unknown(unknown()),
            spare: false,
            from: place,
        });
    }
    upstreams
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caddy::Model;
    use crate::handshake::Browser;
    use crate::project::Project;

    /// What becomes of a handshake in a site with this body: `port path`, or the status.
    fn outcome(body: &str, path: &str) -> String {
        let file = format!(
            "&(circle) {{\nroute {{\ninvoke circle\n}}\n}}\nhttp://localhost {{\n{body}\n}}\n"
        );
        let project = Project::in_memory([("Caddyfile", file.as_str())]).expect("project");
        let model = Model::resolve(&project);
        let site = &model.configs[0].sites[0];
        let hop = SiteHop {
            handlers: &site.handlers,
            place: site.span,
        };
        let request = Request::handshake(Browser::Firefox, false, "localhost", 80, path);
        match hop.receive(&request).outcome {
            Outcome::Forwards { to, request, .. } => {
                let port = to[0].port.known().copied().unwrap_or_default();
                format!("{port} {}", request.path)
            }
            Outcome::Answers { status } => {
                status.map_or("closed".to_owned(), |status| status.to_string())
            }
            Outcome::Undecided { .. } => "undecided".to_owned(),
        }
    }

    #[test]
    fn a_file_of_the_project_is_there() {
        let body = "root * site\n@down file /down.flag\nrespond @down 503\ntry_files {path} {path}/index.html\nreverse_proxy a:1";
        let file = format!("http://localhost {{\n{body}\n}}\n");
        for (site, path, expected) in [
            ("site/down.flag", "/ws", Some(503)),
            ("site/x", "/ws", None),
        ] {
            let files = [("Caddyfile", file.as_str()), (site, "x")];
            let project = Project::in_memory(files).expect("project");
            let model = Model::resolve(&project);
            let request = Request::handshake(Browser::Chrome, false, "localhost", 80, path);
            let status = match model.configs[0].arrive(&request).outcome {
                Outcome::Answers { status } => status,
                _ => None,
            };
            assert_eq!(status, expected, "{site}");
        }
        // The root is one folder, however many slashes the line adds.
        let file = "http://localhost {\nroot * site\ntry_files {path} {path}/ /index.html\nreverse_proxy a:1\n}\n";
        let files = [("Caddyfile", file), ("site/index.html", "x")];
        let project = Project::in_memory(files).expect("project");
        let model = Model::resolve(&project);
        let request = Request::handshake(Browser::Chrome, false, "localhost", 80, "/");
        let Outcome::Forwards { request, .. } = model.configs[0].arrive(&request).outcome else {
            panic!("it goes on");
        };
        assert_eq!(request.path, "/");
    }

    #[test]
    fn a_route_of_old_groups_nothing() {
        let file = "http://localhost {\nroute {\nrewrite /ws /x\nrewrite /x /y\nhandle /y {\nencode gzip\n}\nhandle {\nreverse_proxy a:1\n}\n}\n}\n";
        for (version, expected) in [("2.6.2", "/y"), ("2.6.3", "/x")] {
            let toml = format!("[targets]\ncaddy = \"{version}\"\n");
            let files = [("Caddyfile", file), ("wslint.toml", toml.as_str())];
            let project = Project::in_memory(files).expect("project");
            let model = Model::resolve(&project);
            let request = Request::handshake(Browser::Chrome, false, "localhost", 80, "/ws");
            let Outcome::Forwards { request, .. } = model.configs[0].arrive(&request).outcome
            else {
                panic!("{version}");
            };
            assert_eq!(request.path, expected, "{version}");
        }
    }

    #[test]
    fn handlers_run_in_caddys_order() {
        // Each line was sent through Caddy 2.11 as well.
        for (body, path, expected) in [
            ("reverse_proxy a:1\nreverse_proxy /ws* a:2", "/ws", "2 /ws"),
            ("reverse_proxy /ws* a:2\nrespond x 418", "/ws", "418"),
            (
                "handle {\nrespond x 404\n}\nreverse_proxy /ws* a:2",
                "/ws",
                "404",
            ),
            (
                "handle {\nrespond x 404\n}\nhandle /ws* {\nreverse_proxy a:2\n}",
                "/ws",
                "2 /ws",
            ),
            (
                "handle_path /ws* {\nreverse_proxy a:2\n}",
                "/ws/chat",
                "2 /chat",
            ),
            (
                "route {\nrespond /ws x 410\nreverse_proxy a:1\n}",
                "/ws",
                "410",
            ),
            ("reverse_proxy /api/* a:1", "/ws", "200"),
            ("abort /ws\nreverse_proxy a:1", "/ws", "closed"),
            ("redir /ws /ws/ permanent\nreverse_proxy a:1", "/ws", "301"),
            ("try_files {path} =404\nreverse_proxy a:1", "/ws", "404"),
            (
                "try_files {path} /index.html\nreverse_proxy a:1",
                "/",
                "1 /index.html",
            ),
            (
                "try_files {path} {path}/ /index.html\nreverse_proxy a:1",
                "/",
                "1 /",
            ),
            (
                "rewrite /ws /x\nrewrite /x /y\nreverse_proxy a:1",
                "/ws",
                "1 /x",
            ),
            // Two bare `handle` blocks are one route, and both run.
            (
                "handle {\nencode gzip\n}\nhandle {\nreverse_proxy a:1\n}",
                "/ws",
                "1 /ws",
            ),
            // Neighbours with the same matcher are one route: it is evaluated once.
            (
                "uri /ws* strip_prefix /ws\nreverse_proxy /ws* a:1",
                "/ws/chat",
                "1 /chat",
            ),
            (
                "@a path /ws*\n@b {\npath /ws*\n}\nuri @a strip_prefix /ws\nreverse_proxy @b a:1",
                "/ws/x",
                "1 /x",
            ),
            (
                "@in remote_ip 10.0.0.0/8\nrespond @in x 403\nreverse_proxy a:1",
                "/ws",
                "undecided",
            ),
            // Lines of one name are one matcher: the last protocol counts, methods add up.
            (
                "@m {\nprotocol https\nprotocol http/1.1\n}\nreverse_proxy @m a:1",
                "/ws",
                "1 /ws",
            ),
            (
                "@m {\nmethod POST\nmethod GET\n}\nreverse_proxy @m a:1",
                "/ws",
                "1 /ws",
            ),
            (
                "@m {\nheader Upgrade h2c\nheader !Upgrade\n}\nreverse_proxy @m a:1",
                "/ws",
                "200",
            ),
            // What a map gives is known, and its first line that has an output counts.
            (
                "map {path} {kind} {\n/ws -\n~^/(w)s $1\n/ws/x y\ndefault page\n}\n@m vars {kind} w\nreverse_proxy @m a:1",
                "/ws",
                "1 /ws",
            ),
            (
                "map {path} {kind} {\n/ws -\ndefault page\n}\n@m expression `{kind} == \"page\"`\nrespond @m 418",
                "/ws",
                "418",
            ),
            (
                "map /api/* {path} {kind} {\ndefault page\n}\nrewrite /ws /x/{kind}\nreverse_proxy a:1",
                "/ws",
                "1 /x/",
            ),
            (
                "@in remote_ip 10.0.0.0/8\nmap @in {path} {kind} {\ndefault page\n}\nrewrite /ws /x/{kind}\nreverse_proxy a:1",
                "/ws",
                "undecided",
            ),
            // Maps depend on each other, whichever comes first, and may name upstreams.
            (
                "map {one} {two} {\nx 2\n}\nmap {path} {one} {\n/ws x\n}\nreverse_proxy a:{two}",
                "/ws",
                "2 /ws",
            ),
            (
                "map {path} {to} {\n/ws a:2\n/wss a\ndefault b:3\n}\nreverse_proxy {to}",
                "/ws",
                "2 /ws",
            ),
            (
                "map {path} {to} {\n/wss a\ndefault b:3\n}\nreverse_proxy {to}",
                "/wss",
                "502",
            ),
            ("vars to a:2\nreverse_proxy {vars.to}", "/ws", "2 /ws"),
            // Caddy never returns from a circle.
            (
                "map {one} {two} {\nx y\ndefault {one}\n}\nmap {two} {one} {\nx y\n}\n@m vars {two} y\nrespond @m 418\nreverse_proxy a:1",
                "/ws",
                "undecided",
            ),
            // A named route that invokes itself ends the process.
            ("reverse_proxy a:1\ninvoke /ws circle", "/ws", "closed"),
            ("reverse_proxy a:1\ninvoke /ws circle", "/x", "1 /x"),
            // Captures bear the name of their matcher, so that these are two (seed 142000571).
            (
                "@a expression `path('/ws*')`\n@b expression `path('/ws*')`\nuri @a strip_prefix /ws\nrespond @b 418\nreverse_proxy a:1",
                "/ws/x",
                "1 /x",
            ),
            (
                "@a path_regexp ^/ws\n@b path_regexp ^/ws\nuri @a strip_prefix /ws\nrespond @b 418\nreverse_proxy a:1",
                "/ws/x",
                "1 /x",
            ),
            (
                "@a path_regexp w ^/ws\n@b path_regexp w ^/ws\nuri @a strip_prefix /ws\nrespond @b 418\nreverse_proxy a:1",
                "/ws/x",
                "418",
            ),
            // An error passes by the `intercept` on its way (seed 140000812).
            (
                "error 500\nintercept {\n@e status 5xx\nreplace_status @e 502\n}\nhandle_errors {\nrespond x {err.status_code}\n}",
                "/ws",
                "500",
            ),
            // What is no handshake any more is answered, and the buffer ends (seed 141000348).
            (
                "reverse_proxy /ws* a:1 {\nheader_up -Connection\nresponse_buffers 1KB\nhandle_response {\nheader X-A b\n}\n}\nreverse_proxy a:2",
                "/ws",
                "2 /ws",
            ),
            // A proxy that fails has no answer to handle.
            (
                "reverse_proxy /ws* h2c://a:1 {\nhandle_response {\nheader X-A b\n}\n}\nreverse_proxy a:2",
                "/ws",
                "502",
            ),
            // The flag of a maintenance is there at times.
            (
                "@down file /down.flag\nrespond @down 503\nreverse_proxy a:1",
                "/ws",
                "undecided",
            ),
            (
                "try_files /down.html {path} /index.html\nreverse_proxy a:1",
                "/ws",
                "undecided",
            ),
            (
                "try_files {path} /index.html\nreverse_proxy a:1",
                "/ws",
                "1 /index.html",
            ),
            (
                "mercure {\nanonymous\n}\nvulcain\nreverse_proxy a:1",
                "/ws",
                "1 /ws",
            ),
            ("exec {\nx\n}\nreverse_proxy a:1", "/ws", "undecided"),
            ("route {\nnosuch\nreverse_proxy a:1\n}", "/ws", "undecided"),
        ] {
            assert_eq!(outcome(body, path), expected, "{body}");
        }
    }
}

//! nginx as a hop: which server a request meets, and what becomes of it there.

use std::collections::BTreeSet;

use super::headers::ONE_HOST;
use super::listener::{By, Chosen};
use super::location::Matcher;
use super::model::{ROOT, View};
use super::phases::{self, Answer, End, Event, Journey, Module, What};
use crate::handshake::{
    Because, Dial, Entrance, Hop, Outcome, Passage, Protocol, Reply, Request, Takes,
};
use crate::project::Version;
use crate::source::{Kind, Source, Span};
use crate::value::Value;

/// From this version on a listener of plain HTTP/2 also understands HTTP/1.1.
const PREFACE_IS_DETECTED: Version = [1, 25, 1];

/// One configuration, ready to receive requests.
#[derive(Clone, Copy, Debug)]
pub struct Nginx<'a> {
    /// The configuration.
    pub view: View<'a>,
    /// The version that runs it.
    pub target: Option<Version>,
}

impl Hop for Nginx<'_> {
    fn layer(&self) -> &'static str {
        "nginx"
    }

    fn place(&self) -> Span {
        let main = &self.view.arena.trees[self.view.config.main as usize];
        Span::new(main.source, 0..0)
    }

    fn may_read(&self, source: &Source) -> bool {
        match source.kind {
            Kind::Nginx => {
                let own = self.view.files().into_iter();
                // The maps of other files may be a fragment's.
                !self.view.config.complete && source.text.contains("map")
                    || own
                        .map(|tree| self.view.arena.trees[tree as usize].source)
                        .any(|own| own == source.id)
            }
            Kind::Caddyfile | Kind::Python => false,
            _ => true,
        }
    }

    fn entrances(&self) -> Vec<Entrance> {
        let mut entrances = Vec::new();
        // Whether a request can select a server is asked of all servers: of an include bomb's
        // hundred thousand, the first few are enough.
        let servers = &self.view.config.servers;
        let most = 10_000_000 / servers.len().max(1);
        for (index, server) in (0..).zip(servers.iter().take(most)) {
            let span = match server.item {
                ROOT => self.place(),
                item => self.view.directive(item).head(),
            };
            // Without a `listen` nginx takes port 80.
            let unwritten = (!server.says_listen).then_some(80);
            let written = server.listens.iter().map(|listen| listen.port);
            let ports: BTreeSet<_> = written.chain(unwritten).collect();
            for port in ports {
                // What no request can select is no way in.
                let leads = |host: &str| {
                    let chosen = self.view.choose_server(host, port)?;
                    (chosen.server == index).then_some(chosen.tls)
                };
                let mut hosts = server
                    .names
                    .iter()
                    .filter(|name| is_asked_for(name))
                    .map(|name| sample(name));
                let named = hosts.find_map(|host| Some((leads(&host)?, host)));
                let found = named.or_else(|| {
                    let tls = ["localhost", ""].into_iter().find_map(leads)?;
                    Some((tls, String::new()))
                });
                entrances.extend(found.map(|(tls, host)| Entrance {
                    tls,
                    host,
                    port,
                    span,
                }));
            }
        }
        entrances
    }

    fn dials(&self) -> Vec<Dial> {
        phases::dials(self.view)
    }

    fn paths(&self, entrance: &Entrance) -> BTreeSet<String> {
        let of_entrance = |server: u32| {
            let item = self.view.config.servers[server as usize].item;
            item == ROOT || self.view.directive(item).head() == entrance.span
        };
        let locations = self.view.config.locations.iter();
        locations
            .filter(|location| of_entrance(location.server))
            .filter_map(|location| match &location.matcher {
                Matcher::Exact(path) | Matcher::Prefix { path, .. } => Some(path.clone()),
                _ => None,
            })
            .collect()
    }

    fn names(&self) -> Option<BTreeSet<&str>> {
        let servers = &self.view.config.servers;
        let names = || servers.iter().flat_map(|server| &server.names);
        let is_plain = |name: &str| !name.contains('*') && !name.starts_with('.');
        let plain = servers.iter().all(|server| server.patterns.is_empty())
            && names().all(|name| is_plain(name));
        plain.then(|| names().map(String::as_str).collect())
    }

    fn takes(&self, tls: bool, host: &str, port: u16) -> Takes {
        match self.view.choose_server(host, port) {
            // Plain HTTP at a port for TLS is answered, with 400.
            Some(chosen) if chosen.tls || !tls => match chosen.by {
                By::Name => Takes::ByName,
                By::Template | By::Templates | By::Default | By::First | By::Only => {
                    Takes::ByDefault
                }
            },
            _ => Takes::No,
        }
    }

    fn receive(&self, request: &Request) -> Passage {
        if let Some(refusal) = self.view.config.refusals.first() {
            return Passage {
                at: Some(refusal.span),
                outcome: Outcome::Answers { status: None },
                because: vec![Because {
                    span: refusal.span,
                    message: format!("nginx does not start: {}", refusal.message),
                }],
            };
        }
        if let Some(item) = self.view.undefined() {
            let span = self.view.directive(item).head();
            return Passage {
                at: Some(span),
                outcome: Outcome::Answers { status: None },
                because: vec![Because {
                    span,
                    message: "nginx does not start: nothing defines this variable".to_owned(),
                }],
            };
        }
        let (chosen, place) = match &request.socket {
            Some(path) => (
                self.view.choose_server_at_socket(path, &request.host),
                format!("unix:{path}"),
            ),
            None => (
                self.view.choose_server(&request.host, request.port),
                format!("port {}", request.port),
            ),
        };
        let Some(chosen) = chosen else {
            return Passage {
                at: None,
                outcome: Outcome::Undecided {
                    why: format!("no server listens on {place}"),
                },
                because: Vec::new(),
            };
        };
        let mut journey = self.journey(chosen, request);
        if chosen.http2 && !chosen.tls && self.older_than_preface().is_none() {
            let why = "before 1.25.1 a listener of plain HTTP/2 understands no HTTP/1.1, and the version of nginx is not known (`[targets] nginx`)";
            journey.end = End::Undecided {
                why: why.to_owned(),
                item: ROOT,
            };
        }
        if chosen.by == By::Templates {
            journey.end = End::Undecided {
                why: "which of several servers takes it depends on names that a template supplies"
                    .to_owned(),
                item: ROOT,
            };
        }
        if self.is_image_s(chosen, request) {
            let why = "nobody names this host, and the server of the image's own conf.d/default.conf comes first (404), unless something removes it";
            journey.end = End::Undecided {
                why: why.to_owned(),
                item: ROOT,
            };
        }
        if let Some(unseen) = journey.unseen.take() {
            journey.end = End::Undecided {
                why: unseen.why,
                item: ROOT,
            };
        }
        self.passage(journey)
    }
}

impl Nginx<'_> {
    /// The one way that a request takes from the server that takes it.
    pub fn journey(&self, chosen: Chosen, request: &Request) -> Journey {
        let view = self.view;
        let item = view.config.servers[chosen.server as usize].item;
        let message = match chosen.by {
            By::Name => format!("takes the request: its name is `{}`", request.host),
            By::Template => "takes the request: a template supplies its names".to_owned(),
            By::Templates => "may take the request: a template supplies its names".to_owned(),
            By::Default => "takes the request: no name matches, and it is the default".to_owned(),
            By::First => "takes the request: no name matches, and it is the first".to_owned(),
            By::Only => "takes the request: no other server listens there".to_owned(),
        };
        let event = Event {
            item,
            what: What::Server,
            message,
        };
        let mut journey = match self.listener(chosen, request) {
            Some((status, by)) => Journey {
                server: chosen.server,
                location: None,
                events: Vec::new(),
                end: End::Answers {
                    status,
                    by,
                    item,
                    to: None,
                },
                unseen: None,
                assumed: Vec::new(),
            },
            None => {
                let (read_by, tls) = (chosen.read_by, chosen.tls);
                let ways = phases::journeys_read_by(
                    view,
                    read_by,
                    chosen.server,
                    request,
                    tls,
                    self.target,
                );
                phases::decided(ways)
            }
        };
        journey.events.insert(0, event);
        journey
    }

    /// What the listener does before any phase begins.
    fn listener(&self, chosen: Chosen, request: &Request) -> Option<(Option<u16>, Answer)> {
        let view = self.view;
        // The TLS handshake is over before the Host is read.
        let shaken = match &request.tls_name {
            Some(Value::Known(name)) => view.choose_server(name, request.port),
            _ => None,
        };
        let shaken = shaken.unwrap_or(chosen).server;
        let server = view.config.servers[shaken as usize].item;
        let rejects = || {
            let item = view.in_force(server, "ssl_reject_handshake");
            item.is_some_and(|item| view.directive(item).arg(0) == Some("on"))
        };
        // The bytes of a TLS handshake are no HTTP; what answers 400 to them speaks no TLS.
        if request.tls && (!chosen.tls || rejects()) {
            return Some((None, Answer::NoTls));
        }
        (chosen.http2 && !chosen.tls && self.older_than_preface() == Some(true))
            .then_some((None, Answer::Http2Only))
    }

    /// Whether the server of the container's image may take a request in place of the chosen one.
    /// `localhost` stands for whatever host clients ask a server without a name for.
    fn is_image_s(&self, chosen: Chosen, request: &Request) -> bool {
        self.view.config.image_server_first
            && matches!(chosen.by, By::First | By::Only)
            && request.socket.is_none()
            && request.port == 80
            && request.host != "localhost"
    }

    /// Whether the version is one that speaks nothing else at a listener of plain HTTP/2.
    fn older_than_preface(&self) -> Option<bool> {
        Some(self.target? < PREFACE_IS_DETECTED)
    }

    fn passage(&self, journey: Journey) -> Passage {
        let view = self.view;
        let head = |item| (item != ROOT).then(|| view.directive(item).head());
        let server = view.config.servers[journey.server as usize].item;
        let location = journey
            .location
            .map(|index| view.config.locations[index as usize].item);
        let because = journey.events.into_iter().filter_map(|event| {
            Some(Because {
                span: head(event.item)?,
                message: event.message,
            })
        });
        Passage {
            at: location.and_then(head).or_else(|| head(server)),
            because: because.collect(),
            outcome: outcome(journey.end, self.target),
        }
    }
}

/// An end as the hops behind and before see it.
fn outcome(end: End, target: Option<Version>) -> Outcome {
    match end {
        End::Forwards(forwarded) => Outcome::Forwards {
            reply: match forwarded.module {
                Module::Proxy => answered(&forwarded.request, forwarded.reply, target),
                _ => forwarded.reply,
            },
            to: forwarded.to,
            request: Box::new(forwarded.request),
            refused: forwarded
                .refused
                .into_iter()
                .map(|(status, end)| (status, outcome(end, target)))
                .collect(),
            kept: forwarded.kept,
            unanswered: forwarded.unanswered,
        },
        End::Answers { status, .. } => Outcome::Answers { status },
        End::Undecided { why, .. } => Outcome::Undecided { why },
    }
}

/// Whether every server answers: RFC 9112, 3.2 demands 400 for a request without Host, or with two;
/// not all of them do as it says.
fn answered(request: &Request, reply: Reply, target: Option<Version>) -> Reply {
    let one = target.is_some_and(|target| target >= ONE_HOST);
    let lines = match request.lines("host").count() {
        1 => return reply,
        _ if one && request.protocol == Protocol::Http11 => return reply,
        0 => "no Host line",
        _ => "more than one Host line",
    };
    match reply {
        Reply::Intact => Reply::Undecided {
            why: format!("servers differ in whether they take a request with {lines}"),
        },
        // A 101 that fails, or 400.
        Reply::Spoiled { .. } => Reply::Replaced { status: None },
        other => other,
    }
}

/// Whether a client may ask for a `server_name`: `_` and the like are there because nobody does, and
/// what `$hostname` is, only the machine knows.
fn is_asked_for(name: &str) -> bool {
    !name.starts_with('$') && name.contains(|c: char| c.is_ascii_alphanumeric())
}

/// A host that a `server_name` stands for (`*.a.example`, `.a.example`, `a.*`).
fn sample(name: &str) -> String {
    if let Some(domain) = name.strip_prefix("*.") {
        return format!("www.{domain}");
    }
    match name.strip_suffix(".*") {
        Some(start) => format!("{start}.example"),
        None => name.trim_start_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{Browser, has_token};
    use crate::nginx::Model;
    use crate::project::Project;
    use crate::value::Value;

    fn passage(servers: &str, host: &str, target: &str) -> Passage {
        let conf = format!(
            "events {{}}\nhttp {{ upstream app {{ server 10.0.0.1:9000; server [::1]:9001; }} {servers} }}"
        );
        let project = Project::in_memory([("nginx.conf", conf.as_str())]).expect("valid");
        let model = Model::resolve(&project);
        let nginx = Nginx {
            view: model.view(0),
            target: Some([1, 22, 0]),
        };
        nginx.receive(&Request::handshake(
            Browser::Firefox,
            false,
            host,
            80,
            target,
        ))
    }

    #[test]
    fn whom_a_variable_names_is_dialled_where_one_set_gives_it() {
        let dialled = |servers: &str| {
            let conf = format!("events {{}} http {{ {servers} }}");
            let project = Project::in_memory([("nginx.conf", conf.as_str())]).expect("valid");
            let model = Model::resolve(&project);
            let (view, target) = (model.view(0), None);
            let dials = Nginx { view, target }.dials().into_iter();
            dials
                .map(|dial| Some((dial.to.host.known()?.clone(), *dial.to.port.known()?)))
                .collect::<Vec<_>>()
        };
        let web = vec![Some(("web".to_owned(), 8000))];
        for (set, pass, expected) in [
            ("set $a http://web:8000;", "$a", &web),
            ("set $a web;", "http://$a:8000/x", &web),
            (
                "set $a web; set $b 8000;",
                "http://${a}:$b$request_uri",
                &web,
            ),
            ("set $a web; set $a app;", "http://$a:8000", &vec![None]),
            ("set $a $host;", "http://$a:8000", &vec![None]),
        ] {
            let found = dialled(&format!(
                "server {{ {set} location / {{ proxy_pass {pass}; }} }}"
            ));
            assert_eq!(found, *expected, "{set} {pass}");
        }
    }

    #[test]
    fn a_handshake_leaves_as_the_location_says() {
        let passage = passage(
            "server { server_name a.example; return 404; } server { server_name b.example; proxy_http_version 1.1; location /ws { proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection; proxy_set_header Origin \"\"; proxy_pass http://app; } }",
            "b.example",
            "/ws/chat?x=1",
        );
        let Outcome::Forwards { to, request, .. } = passage.outcome else {
            panic!("{passage:?}");
        };
        let ports: Vec<_> = to
            .iter()
            .map(|server| (server.host.clone(), server.port.clone()))
            .collect();
        assert_eq!(
            ports,
            [
                (Value::Known("10.0.0.1".to_owned()), Value::Known(9000)),
                (Value::Known("[::1]".to_owned()), Value::Known(9001)),
            ]
        );
        let upgrades = |name: &str, token: &str| {
            request
                .lines(name)
                .any(|line| line.value.decide(|value| has_token(value, token)) == Some(true))
        };
        assert!(upgrades("upgrade", "websocket") && upgrades("connection", "upgrade"));
        assert_eq!(request.lines("origin").count(), 0);
        assert_eq!(request.lines("sec-websocket-key").count(), 1);
        assert_eq!(request.protocol, Protocol::Http11);
        assert!(passage.because.len() >= 3);
    }

    #[test]
    fn without_lines_nginx_says_close_over_http_1_0() {
        let passage = passage(
            "server { location / { proxy_pass http://127.0.0.1:8000; } }",
            "x",
            "/ws",
        );
        let Outcome::Forwards { request, .. } = passage.outcome else {
            panic!("{passage:?}");
        };
        assert_eq!(request.lines("upgrade").count(), 0);
        let connection: Vec<_> = request
            .lines("connection")
            .map(|line| line.value.clone())
            .collect();
        assert_eq!(connection, [Value::Known("close".to_owned())]);
        assert_eq!(request.protocol, Protocol::Http10);
    }

    #[test]
    fn a_path_with_an_ending_may_be_a_file() {
        for (path, answers) in [("/ws/chat", true), ("/index.html", false)] {
            for files in ["root /srv;", "root /srv; try_files $uri $uri/ =404;"] {
                let server = format!("server {{ location / {{ {files} }} }}");
                let outcome = passage(&server, "x", path).outcome;
                let is_404 = matches!(outcome, Outcome::Answers { status: Some(404) });
                assert_eq!(is_404, answers, "{path} {outcome:?}");
                let is_open = matches!(outcome, Outcome::Undecided { .. });
                assert_eq!(is_open, !answers, "{path} {outcome:?}");
            }
        }
    }

    #[test]
    fn what_nginx_answers_itself_never_reaches_the_upstream() {
        for (servers, status) in [
            (
                "server { return 301 https://$host$request_uri; }",
                Some(301),
            ),
            ("server { return https://elsewhere.example; }", Some(302)),
            ("server { location / { return 444; } }", None),
            (
                "server { location /other { proxy_pass http://app; } }",
                Some(404),
            ),
            (
                "server { location /ws/ { proxy_pass http://app; } }",
                Some(301),
            ),
        ] {
            let passage = passage(servers, "x", "/ws");
            assert!(
                matches!(passage.outcome, Outcome::Answers { status: found } if found == status),
                "{servers}: {passage:?}"
            );
        }
    }
    #[test]
    fn what_error_pages_and_retries_make_of_an_answer() {
        const PAIR: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
        let told = |inner: &str| {
            let servers = inner.replace("PAIR", PAIR);
            let passage = passage(&servers, "x", "/ws//chat");
            match passage.outcome {
                Outcome::Undecided { .. } => "undecided".to_owned(),
                Outcome::Answers { status } => format!("{status:?}"),
                Outcome::Forwards { request, reply, .. } => match reply {
                    Reply::Intact => request.path,
                    Reply::Undecided { .. } => "undecided".to_owned(),
                    reply => format!("{reply:?}"),
                },
            }
        };
        for (servers, expected) in [
            // The page for the upstream's own 400 opens the socket.
            (
                "server { proxy_intercept_errors on; error_page 400 = @ws; location / { proxy_pass http://app; } location @ws { PAIR proxy_pass http://app; } }",
                "undecided",
            ),
            // It would keep the status, or nothing opens there either.
            (
                "server { proxy_intercept_errors on; error_page 400 @ws; location / { proxy_pass http://app; } location @ws { PAIR proxy_pass http://app; } }",
                "/ws//chat",
            ),
            (
                "server { proxy_intercept_errors on; error_page 400 = /400.html; location / { proxy_pass http://app; } location /400.html { root /srv; } }",
                "/ws//chat",
            ),
            // A rewrite that redirects, then `error_page`: the path is the normalised one.
            (
                "server { error_page 301 = @ws; rewrite /chat /x permanent; location @ws { PAIR proxy_pass http://app; } }",
                "/ws/chat",
            ),
            // A redirect within the server begins anew: the location's part is replaced again.
            (
                "server { rewrite /chat /y break; location / { try_files $uri /index.html; PAIR proxy_pass http://10.0.0.1/app; } }",
                "/appindex.html",
            ),
            // The second of two servers, or 502 for the next request.
            (
                "server { location / { PAIR proxy_read_timeout 0; proxy_pass http://app; } }",
                "Replaced { status: None }",
            ),
            (
                "server { location / { PAIR proxy_read_timeout 0; proxy_pass http://10.0.0.1; } }",
                "Replaced { status: Some(504) }",
            ),
            // Servers differ.
            (
                "server { location / { PAIR proxy_set_header Host \"\"; proxy_pass http://app; } }",
                "undecided",
            ),
            (
                "server { location / { PAIR proxy_set_header Host a; proxy_set_header Host b; proxy_pass http://app; } }",
                "undecided",
            ),
            // A 401 stays where a 403 follows, so that a password may be sent.
            (
                "server { location = /auth { return 403; } location / { satisfy any; auth_basic x; auth_basic_user_file u; auth_request /auth; } }",
                "Some(401)",
            ),
            // `limit_except` keeps the pass of its location, and no other handler.
            (
                "server { location / { limit_except POST { allow all; } empty_gif; } }",
                "Some(404)",
            ),
            (
                "server { location / { PAIR limit_except POST { allow all; } proxy_pass http://app; } }",
                "/ws//chat",
            ),
            // Whichever is first: the kept status, or the end that the mirror's 101 makes.
            (
                "server { error_page 404 =302 @ws; location = /copy { PAIR proxy_pass http://app; } location @ws { mirror /copy; PAIR proxy_pass http://app; } }",
                "Replaced { status: None }",
            ),
            (
                "server { location = /copy { PAIR proxy_pass http://app; } location / { mirror /copy; PAIR proxy_pass http://app; } }",
                "undecided",
            ),
            // A mirror's 444 closes the connection before the upstream has answered; a file is sent
            // before.
            (
                "server { location = /copy { return 444; } location / { mirror /copy; PAIR proxy_pass http://app; } }",
                "None",
            ),
            (
                "server { location = /copy { return 444; } location / { mirror /copy; empty_gif; } }",
                "Some(200)",
            ),
            // The status is kept, whatever FastCGI, which cannot upgrade, answers.
            (
                "server { location = /auth { error_page 500 @no; return 500; } location @no { fastcgi_pass app; } location / { auth_request /auth; PAIR proxy_pass http://app; } }",
                "Some(500)",
            ),
            // A refusal's page is asked for elsewhere, and that is no permission.
            (
                "server { error_page 401 = /no; location = /auth { return 401; } location /no { proxy_pass http://app; } location / { auth_request /auth; PAIR proxy_pass http://app; } }",
                "undecided",
            ),
            (
                "server { error_page 401 /no; location = /auth { return 401; } location /no { proxy_pass http://app; } location / { auth_request /auth; PAIR proxy_pass http://app; } }",
                "Replaced { status: Some(401) }",
            ),
            // `auth_request` asks the endpoint itself, which refuses what is no handshake.
            (
                "server { rewrite ^ /x break; auth_request /auth; location / { proxy_pass http://app; } }",
                "Some(500)",
            ),
            // What `error_page` keeps, and what closes, is the answer of `auth_request` as well.
            (
                "server { error_page 401 @n; location = /auth { return 401; } location @n { proxy_pass http://10.0.0.2; } location / { auth_request /auth; PAIR proxy_pass http://app; } }",
                "Replaced { status: Some(401) }",
            ),
            (
                "server { location = /auth { return 444; } location / { auth_request /auth; PAIR proxy_pass http://app; } }",
                "None",
            ),
            (
                "server { rewrite ^ /x break; auth_request /auth; location / { PAIR proxy_pass http://app; } }",
                "None",
            ),
        ] {
            assert_eq!(told(servers), expected, "{servers}");
        }
    }

    #[test]
    fn since_1_31_4_one_host_is_sent_whatever_the_lines_say() {
        for lines in [
            "proxy_set_header Host \"\";",
            "proxy_set_header Host a; proxy_set_header Host b;",
        ] {
            let conf = format!(
                "events {{}} http {{ server {{ location / {{ proxy_http_version 1.1; {lines} proxy_pass http://10.0.0.1; }} }} }}"
            );
            let project = Project::in_memory([("nginx.conf", conf.as_str())]).expect("valid");
            let model = Model::resolve(&project);
            let request = Request::handshake(Browser::Chrome, false, "x", 80, "/");
            for (target, intact) in [([1, 31, 3], false), ([1, 31, 4], true)] {
                let nginx = Nginx {
                    view: model.view(0),
                    target: Some(target),
                };
                let Outcome::Forwards { reply, .. } = nginx.receive(&request).outcome else {
                    panic!("{lines}");
                };
                assert_eq!(reply == Reply::Intact, intact, "{lines} {target:?}");
            }
        }
    }

    #[test]
    fn a_closed_connection_is_502_or_what_its_page_makes_of_it() {
        for (server, expected) in [
            ("", Some(502)),
            ("error_page 500 504 /x.html;", Some(502)),
            (
                "error_page 502 /x.html; location = /x.html { root /srv; }",
                Some(502),
            ),
            (
                "error_page 502 @no; location @no { return 200 'sorry'; }",
                Some(502),
            ),
            (
                "error_page 502 @no; location @no { return 503; }",
                Some(503),
            ),
            (
                "error_page 502 =200 /x.html; location = /x.html { root /srv; }",
                Some(200),
            ),
            (
                "error_page 502 = @no; location @no { return 418 'tea'; }",
                Some(418),
            ),
            ("error_page 502 https://status.example.com/;", Some(302)),
            // Whatever answers there decides, or keeps the status.
            (
                "error_page 502 = @no; location @no { proxy_pass http://b; }",
                None,
            ),
            (
                "error_page 502 @no; location @no { proxy_pass http://b; }",
                Some(502),
            ),
            // The page asks a subrequest first, for which there is the same page.
            (
                "error_page 502 @no; auth_request /auth; location /auth { proxy_pass http://a; } location @no { proxy_pass http://b; }",
                Some(502),
            ),
        ] {
            let servers = format!("server {{ {server} location / {{ proxy_pass http://app; }} }}");
            let passage = passage(&servers, "x", "/ws");
            let Outcome::Forwards { unanswered, .. } = passage.outcome else {
                panic!("{passage:?}");
            };
            assert_eq!(unanswered, expected, "{server}");
        }
    }

    #[test]
    fn what_an_error_page_makes_of_each_refusal_is_told() {
        let servers = "server { proxy_intercept_errors on; error_page 403 404 =200 /no.html; error_page 400 /no.html; location /no.html { root /srv; } location / { proxy_pass http://app; } }";
        let passage = passage(servers, "x", "/ws");
        let Outcome::Forwards { refused, .. } = passage.outcome else {
            panic!("{passage:?}");
        };
        let told: Vec<_> = refused
            .iter()
            .map(|(code, outcome)| match outcome {
                Outcome::Answers { status } => (*code, *status),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, [(403, Some(200)), (404, Some(200)), (400, Some(400))]);
        // The page is refused by an upstream as well, and no further page is looked for.
        let servers = "server { proxy_intercept_errors on; error_page 403 =302 /no.html; location / { proxy_pass http://app; } }";
        let passage = super::tests::passage(servers, "x", "/ws");
        let Outcome::Forwards { refused, .. } = passage.outcome else {
            panic!("{passage:?}");
        };
        let [(403, Outcome::Forwards { refused, .. })] = refused.as_slice() else {
            panic!("{refused:?}");
        };
        assert!(
            matches!(
                refused.as_slice(),
                [(403, Outcome::Answers { status: Some(403) })]
            ),
            "{refused:?}"
        );
        // Where pages may follow pages, the same refusal leads from one to the next, ten times.
        let servers = "server { proxy_intercept_errors on; recursive_error_pages on; error_page 403 404 =302 /no.html; location / { proxy_pass http://app; } }";
        let passage = super::tests::passage(servers, "x", "/ws");
        let mut outcome = passage.outcome;
        for again in 0..=10 {
            let Outcome::Forwards { refused, kept, .. } = outcome else {
                panic!("{again}: {outcome:?}");
            };
            assert_eq!(kept, (again > 0).then_some(302));
            let [(403, same), (404, other)] = <[_; 2]>::try_from(refused).expect("two") else {
                panic!("other codes");
            };
            let told = matches!(other, Outcome::Undecided { .. });
            assert_eq!(told, again > 0, "{again}: {other:?}");
            outcome = same;
        }
        assert!(
            matches!(outcome, Outcome::Answers { status: Some(500) }),
            "{outcome:?}"
        );
    }
}

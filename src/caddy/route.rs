//! Where handshakes arrive in a Caddyfile, and how we know.
//!
//! A bare `reverse_proxy app:8000` is plain HTTP until something says otherwise: an endpoint that
//! is declared, a matcher for sockets, a header line that means to upgrade, a well-known path, an
//! upstream that is named for it.

use std::collections::HashSet;

use super::expand::Word;
use super::handler::{Action, Handler, HandlerId};
use super::hop::{End, walk};
use super::matcher::{Doubt, Test};
use super::model::{Model, Site};
use super::proxy::{HeaderLine, Proxy};
use crate::finding::Undecided;
use crate::handshake::{Browser, Endpoint, Evidence, Request, endpoints, known_endpoint};
use crate::project::Project;
use crate::project::config::Declared;
use crate::source::Span;

/// Handlers that are looked at in one site while routes are searched: a generated file ends here.
const MAX_STEPS: usize = 4_000_000;

/// The path of a handshake where the configuration names none.
const ANY_PATH: &str = "/socket";

/// A proxy that handshakes are meant to reach.
#[derive(Clone, Debug)]
pub struct Route {
    /// Index of the configuration in the model.
    pub config: usize,
    /// Index of the site in the configuration.
    pub site: usize,
    /// The proxy in the site.
    pub proxy: HandlerId,
    /// The path that a client asks for.
    pub path: String,
    /// The host that it asks for; empty where the site takes all.
    pub host: String,
    /// Whether the configuration or the endpoint names that path; else any would do.
    pub path_named: bool,
    /// Why we take it for a route.
    pub evidence: Evidence,
    /// Where the endpoint is declared, if in a file.
    declared: Option<Span>,
}

impl Route {
    /// Which handshakes it is about, for a message: `the handshake for /ws`.
    pub fn handshake(&self) -> String {
        if self.path_named {
            format!("the handshake for `{}`", self.path)
        } else {
            "every handshake".to_owned()
        }
    }

    /// The path for a message; an ellipsis where any would do.
    pub fn shown_path(&self) -> &str {
        if self.path_named { &self.path } else { "/…" }
    }

    /// Where the evidence is, if it has a place in the files.
    pub fn place(&self) -> Option<Span> {
        match &self.evidence {
            Evidence::Declared { .. } => self.declared,
            Evidence::Application { span, .. }
            | Evidence::Intent { span }
            | Evidence::WellKnown { span, .. }
            | Evidence::UpstreamName { span } => Some(*span),
        }
    }

    /// What makes it one, in a few words for a label.
    pub fn reason(&self) -> String {
        match &self.evidence {
            Evidence::Declared { endpoint } => {
                format!("`{endpoint}` is declared as a WebSocket endpoint")
            }
            Evidence::Application { pattern, .. } => {
                format!("the application routes sockets at `{pattern}`")
            }
            Evidence::Intent { .. } => "meant for WebSockets".to_owned(),
            Evidence::WellKnown { software, .. } if software.starts_with("the ") => {
                software.clone()
            }
            Evidence::WellKnown { software, .. } => format!("{software} opens its sockets here"),
            Evidence::UpstreamName { .. } => "an upstream named for WebSockets".to_owned(),
        }
    }

    /// The handshake that `browser` sends there.
    pub fn request(&self, site: &Site, browser: Browser, ports: &super::Ports) -> Request {
        let address = site.addresses.first();
        let tls = address.is_some_and(|address| address.is_tls(ports));
        let port = address.map_or(80, |address| address.listens(ports));
        Request::handshake(browser, tls, &self.host, port, &self.path)
    }
}

/// All routes of a model, each proxy and path once, by the strongest evidence.
pub(super) fn find(project: &Project, model: &Model) -> Vec<Route> {
    let mut routes = Vec::new();
    for (config, one) in model.configs.iter().enumerate() {
        for (site, at) in one.sites.iter().enumerate() {
            let walks = MAX_STEPS / at.handlers.all.len().max(1);
            let each = 1 + 2 * project.config.endpoints.len();
            for (id, _, proxy) in at.handlers.proxies().take(walks / each) {
                let chain: Vec<&Handler> = at.handlers.chain(id).collect();
                let host = host(at, &chain);
                let mut add =
                    |path: String, host: String, evidence: Evidence, declared: Option<Span>| {
                        routes.push(Route {
                            path_named: path != ANY_PATH || declared.is_some(),
                            declared,
                            config,
                            site,
                            proxy: id,
                            path,
                            host,
                            evidence,
                        });
                    };
                for declared in &project.config.endpoints {
                    let asked = declared.host();
                    if asked.as_ref().is_some_and(|asked| !at.takes(asked)) || at.is_fragment() {
                        continue;
                    }
                    let host = asked.unwrap_or_else(|| host.clone());
                    let path = declared
                        .path()
                        .split(['?', '#'])
                        .next()
                        .unwrap_or("/")
                        .to_owned();
                    if reaches(at, id, &host, &path, &one.options.ports) {
                        let endpoint = declared.endpoint.clone();
                        add(path, host, Evidence::Declared { endpoint }, declared.span);
                    }
                }
                let Some(evidence) = evidence(&chain, proxy) else {
                    continue;
                };
                for path in sample_paths(&chain) {
                    if !project
                        .config
                        .not_endpoints
                        .iter()
                        .any(|not| below(&path, not))
                    {
                        add(path, host.clone(), evidence.clone(), None);
                    }
                }
            }
        }
    }
    let unreached = project.config.endpoints.iter().filter(|declared| {
        !routes.iter().any(
            |route| matches!(&route.evidence, Evidence::Declared { endpoint } if *endpoint == declared.endpoint),
        )
    });
    let answered: Vec<Route> = unreached
        .flat_map(|declared| answered(model, declared))
        .collect();
    routes.extend(answered);
    routes.sort_by(|a, b| {
        let key = |route: &Route| (route.config, route.site, route.proxy, route.path.clone());
        key(a)
            .cmp(&key(b))
            .then_with(|| a.evidence.cmp(&b.evidence))
    });
    routes.dedup_by(|a, b| {
        (a.config, a.site, a.proxy, &a.path) == (b.config, b.site, b.proxy, &b.path)
    });
    routes
}

fn below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether that proxy is the one which, by its matchers, a handshake for `path` belongs to.
fn reaches(site: &Site, proxy: HandlerId, host: &str, path: &str, ports: &super::Ports) -> bool {
    let tls = site
        .addresses
        .first()
        .is_some_and(|address| address.is_tls(ports));
    let request = Request::handshake(Browser::Chrome, tls, host, 443, path);
    let own = site.handlers.get(proxy);
    [true, false].into_iter().any(|frozen| {
        match walk(&site.handlers, &request, frozen).end {
            End::Proxied(id) => id == proxy,
            // Where a template writes it.
            End::Undecided(span, _) => own.conditional && span == own.head,
            _ => false,
        }
    })
}

/// The routes of an endpoint that no proxy gets to see: in each site the first proxy that would take
/// it, did nothing answer before.
fn answered(model: &Model, declared: &Declared) -> Vec<Route> {
    let path = declared.path().split(['?', '#']).next().unwrap_or("/");
    let asked = declared.host();
    let mut routes = Vec::new();
    for (config, one) in model.configs.iter().enumerate() {
        for (site, at) in one.sites.iter().enumerate() {
            if asked.as_ref().is_some_and(|asked| !at.takes(asked)) || at.is_fragment() {
                continue;
            }
            let host = asked.clone().unwrap_or_else(|| host(at, &[]));
            let tls = at
                .addresses
                .first()
                .is_some_and(|address| address.is_tls(&one.options.ports));
            let request = Request::handshake(Browser::Chrome, tls, &host, 443, path);
            if !matches!(walk(&at.handlers, &request, true).end, End::Answered(..)) {
                continue;
            }
            let proxy = at.handlers.proxies().find(|(id, _, _)| {
                let mut chain = at.handlers.chain(*id);
                chain.all(|handler| handler.matcher.decide(&request) == Ok(true))
            });
            let Some((proxy, _, _)) = proxy else { continue };
            routes.push(Route {
                config,
                site,
                proxy,
                path: path.to_owned(),
                host,
                path_named: true,
                evidence: Evidence::Declared {
                    endpoint: declared.endpoint.clone(),
                },
                declared: declared.span,
            });
        }
    }
    routes
}

/// Handshakes on a route that the files leave open for want of a value, an import or a plugin.
pub(super) fn undecided(model: &Model, routes: &[Route]) -> Vec<Undecided> {
    let mut notes = Vec::new();
    for route in routes {
        let site = &model.configs[route.config].sites[route.site];
        if site.handlers.partial || site.is_fragment() {
            continue;
        }
        let ports = &model.configs[route.config].options.ports;
        let request = route.request(site, Browser::Chrome, ports);
        let walk = walk(&site.handlers, &request, false);
        let what = match &walk.end {
            End::Undecided(_, Doubt::Hidden(what)) => Some(what.clone()),
            // An expression is nobody's fault, unless it may look at a path that is another now.
            End::Undecided(span, Doubt::Circumstances) if !walk.changes.is_empty() => site
                .handlers
                .chain(route.proxy)
                .any(|handler| handler.matcher.is_open() && handler.matcher.place() == Some(*span))
                .then(|| {
                    "whether this takes a path that was rewritten before is not known here"
                        .to_owned()
                }),
            _ => None,
        };
        if let (End::Undecided(span, _), Some(what)) = (walk.end, what) {
            notes.push(Undecided {
                span,
                message: if route.path_named {
                    format!(
                        "the handshake for `{}` cannot be followed past this: {what}",
                        route.path
                    )
                } else {
                    format!("a handshake cannot be followed past this: {what}")
                },
            });
        }
    }
    notes
}

/// The strongest evidence in the configuration itself.
fn evidence(chain: &[&Handler], proxy: &Proxy) -> Option<Evidence> {
    let intent = chain
        .iter()
        .find_map(|handler| intent(handler))
        .or_else(|| {
            proxy
                .header_up
                .iter()
                .find(|line| means_upgrade(line))
                .map(|line| line.span)
        });
    if let Some(span) = intent {
        return Some(Evidence::Intent { span });
    }
    let paths = chain.iter().flat_map(|handler| handler.matcher.paths());
    if let Some((endpoint, span)) = paths
        .filter_map(|pattern| Some((known_endpoint(pattern.known()?)?, pattern.span)))
        .next()
        .or_else(|| named_by_regexp(chain))
    {
        return Some(Evidence::WellKnown {
            software: endpoint.software.to_owned(),
            span,
        });
    }
    proxy
        .upstreams
        .iter()
        .find(|upstream| {
            let host = upstream.host.as_deref();
            host.is_some_and(|host| names_sockets_host(host, takes_every_path(chain)))
        })
        .map(|upstream| Evidence::UpstreamName {
            span: upstream.span,
        })
}

/// The well-known endpoint that a `path_regexp` on the way names, and nothing but such.
fn named_by_regexp(chain: &[&Handler]) -> Option<(&'static Endpoint, Span)> {
    sample_of_regexp(chain).map(|(endpoint, _, span)| (endpoint, span))
}

/// The same, with a path that it takes.
fn sample_of_regexp(chain: &[&Handler]) -> Option<(&'static Endpoint, String, Span)> {
    chain.iter().find_map(|handler| {
        let regex = handler.matcher.tests.iter().find_map(|test| match test {
            Test::PathRegexp(regex) => regex.as_ref(),
            _ => None,
        })?;
        let broad = ["/", "/index.html", "/api/users"]
            .iter()
            .any(|path| regex.of.is_match(path));
        if broad {
            return None;
        }
        let (endpoint, path) = endpoints().iter().find_map(|endpoint| {
            let below = endpoint.path.trim_end_matches('/');
            [
                endpoint.path.to_owned(),
                format!("{below}/"),
                format!("{below}/x"),
            ]
            .into_iter()
            .find(|path| regex.of.is_match(path))
            .map(|path| (endpoint, path))
        })?;
        Some((endpoint, path, handler.matcher.place()?))
    })
}

/// Whether a matcher is one for sockets: by what it looks at, or by its name.
fn intent(handler: &Handler) -> Option<Span> {
    let matcher = &handler.matcher;
    let looks = matcher.tests.iter().any(|test| match test {
        Test::Header(field, values) => is_upgrade_field(field) && !values.is_empty(),
        Test::HeaderRegexp(field, _) => is_upgrade_field(field),
        Test::Protocol(name) => matches!(name.as_str(), "ws" | "wss" | "websocket"),
        Test::Open(text) => {
            let text = text.to_ascii_lowercase();
            !text.contains('!')
                && (text.contains("upgrade") && text.contains("websocket")
                    || names_sockets(&text, SOCKET_NAMES))
        }
        _ => false,
    });
    let named = matcher
        .name
        .as_deref()
        .is_some_and(|name| names_sockets(name, SOCKET_NAMES));
    (looks || named).then(|| matcher.place()).flatten()
}

fn is_upgrade_field(field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    matches!(field.as_str(), "upgrade" | "connection" | ":protocol")
        || field.starts_with("sec-websocket-")
}

/// A `header_up` line that means to pass an upgrade on. One that empties or closes the connection
/// is none: on a plain route that is right.
fn means_upgrade(line: &HeaderLine) -> bool {
    let Some(word) = line.word() else {
        return false;
    };
    let field = line.field.to_ascii_lowercase();
    let value = word.text.to_ascii_lowercase();
    match field.as_str() {
        "connection" => {
            value.contains("upgrade")
                || value.contains("connection}")
                || value.contains("$http_connection")
        }
        "upgrade" => value.contains("upgrade") || value.contains("websocket"),
        "sec-websocket-key" | "sec-websocket-version" => true,
        _ => false,
    }
}

/// Parts of names that say so.
const SOCKET_NAMES: &[&str] = &["ws", "wss", "websocket", "websockets", "socketio", "sockjs"];

/// Servers of sockets that serve pages as well.
const SOCKET_SERVERS: &[&str] = &["daphne"];

/// Whether a name has a part that says so: `ws`, `websockets`, but not `news` or `not_ws`.
fn names_sockets(name: &str, parts: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    let own = || name.split(|c: char| !c.is_ascii_alphanumeric());
    let negated = own().any(|part| matches!(part, "not" | "no" | "non" | "without" | "except"));
    !negated && own().any(|part| parts.contains(&part))
}

/// The same of an upstream's host, whose last label is a domain (`.ws` is one). What also serves
/// pages is named for its sockets only where it gets everything.
fn names_sockets_host(host: &str, everything: bool) -> bool {
    let host = host.rsplit_once('.').map_or(host, |(host, _)| host);
    names_sockets(host, SOCKET_NAMES) || everything && names_sockets(host, SOCKET_SERVERS)
}

/// Whether no matcher on the way names a path.
fn takes_every_path(chain: &[&Handler]) -> bool {
    let names = |word: &Word| !matches!(word.text.as_str(), "*" | "/*");
    chain
        .iter()
        .all(|handler| !handler.matcher.paths().any(names))
}

/// The host that a client asks for to get there.
fn host(site: &Site, chain: &[&Handler]) -> String {
    let named = chain.iter().find_map(|handler| {
        handler.matcher.tests.iter().find_map(|test| match test {
            Test::Host(hosts) => hosts.iter().find_map(|host| host.known()),
            _ => None,
        })
    });
    let own = || {
        site.addresses
            .iter()
            .find(|address| !address.host.is_empty() && !address.unknown)
            .map(|address| address.host.as_str())
    };
    named
        .or_else(own)
        .map(|host| host.replace('*', "x"))
        .filter(|host| !host.contains('{'))
        .unwrap_or_default()
}

/// Paths that a client asks for to get there, by the innermost matcher that names any.
fn sample_paths(chain: &[&Handler]) -> Vec<String> {
    let mut paths: Vec<String> = chain
        .iter()
        .map(|handler| {
            handler
                .matcher
                .paths()
                .filter_map(|word| sample(word.known()?))
                .collect::<Vec<_>>()
        })
        .find(|paths| !paths.is_empty())
        .unwrap_or_default();
    // The names of well-known endpoints are what the evidence is about, if there are others too.
    if paths.iter().any(|path| known_endpoint(path).is_some()) {
        paths.retain(|path| known_endpoint(path).is_some());
    }
    paths.truncate(8);
    if paths.is_empty()
        && let Some((_, path, _)) = sample_of_regexp(chain)
    {
        paths.push(path);
    }
    if paths.is_empty() && takes_every_path(chain) {
        paths.push(ANY_PATH.to_owned());
    }
    paths
}

/// A path that `pattern` takes: `/ws` for `/ws*`, `/ws/` for `/ws/*`, `/x/ws` for `*/ws`.
fn sample(pattern: &str) -> Option<String> {
    if pattern.contains(['{', '?', '[']) || pattern == "*" || pattern == "/*" {
        return None;
    }
    let path = pattern.strip_suffix('*').unwrap_or(pattern);
    let path = match path.strip_prefix('*') {
        Some(rest) => format!("/x{rest}"),
        None => path.to_owned(),
    };
    Some(path.replace('*', "x"))
}

/// The proxies that have a route, each once, without those that a template may leave out.
pub fn proxies(model: &Model) -> impl Iterator<Item = (&Route, &Site, &Handler, &Proxy)> {
    let mut seen = HashSet::new();
    model.routes.iter().filter_map(move |route| {
        let site = model.site(route);
        let handler = site.handlers.get(route.proxy);
        let Action::Proxy(proxy) = &handler.action else {
            return None;
        };
        let certain = proxy.conditional.is_none()
            && site
                .handlers
                .chain(route.proxy)
                .all(|handler| !handler.conditional && !handler.matcher.conditional);
        (certain && seen.insert((route.config, route.site, route.proxy))).then_some((
            route,
            site,
            handler,
            proxy.as_ref(),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The routes of one Caddyfile, as `path evidence`.
    fn routes(files: &[(&str, &str)]) -> Vec<String> {
        let project = Project::in_memory(files.iter().copied()).expect("project");
        let model = Model::resolve(&project);
        model
            .routes
            .iter()
            .map(|route| {
                let kind = match route.evidence {
                    Evidence::Declared { .. } => "declared",
                    Evidence::Application { .. } => "application",
                    Evidence::Intent { .. } => "intent",
                    Evidence::WellKnown { .. } => "known",
                    Evidence::UpstreamName { .. } => "name",
                };
                format!("{} {kind}", route.path)
            })
            .collect()
    }

    #[test]
    fn evidence_is_needed_and_found() {
        let cases: &[(&str, &[&str])] = &[
            ("reverse_proxy app:8000", &[]),
            ("reverse_proxy /api/* app:8000", &[]),
            ("reverse_proxy /ws/* app:8000", &["/ws/ known"]),
            ("reverse_proxy app-ws:8000", &["/socket name"]),
            (
                "@r path_regexp ^/ws(-post)?$\nreverse_proxy @r app:1",
                &["/ws known"],
            ),
            ("@r path_regexp .*\nreverse_proxy @r app:1", &[]),
            (
                "@ws {\npath *\nnot path /static/*\n}\nreverse_proxy @ws app:1",
                &["/socket intent"],
            ),
            ("reverse_proxy news:8000", &[]),
            ("reverse_proxy daphne:8000", &["/socket name"]),
            ("reverse_proxy /api/* daphne:8000", &[]),
            (
                "@ws path /live\nreverse_proxy @ws app:8000",
                &["/live intent"],
            ),
            ("@not_ws path /live\nreverse_proxy @not_ws app:8000", &[]),
            (
                "@up {\nheader Connection *Upgrade*\nheader Upgrade websocket\n}\nreverse_proxy @up app:1",
                &["/socket intent"],
            ),
            ("@plain header !Upgrade\nreverse_proxy @plain app:1", &[]),
            (
                "reverse_proxy app:1 {\nheader_up Connection {>Connection}\n}",
                &["/socket intent"],
            ),
            ("reverse_proxy app:1 {\nheader_up Connection close\n}", &[]),
            (
                "handle /socket.io/* {\nreverse_proxy app:1\n}",
                &["/socket.io/ known"],
            ),
            ("forward_auth auth:1 {\nuri /ws\n}", &[]),
        ];
        for (body, expected) in cases {
            let file = format!("example.com {{\n{body}\n}}\n");
            assert_eq!(routes(&[("Caddyfile", &file)]), *expected, "{body}");
        }
    }

    #[test]
    fn a_declared_endpoint_belongs_to_the_proxy_that_takes_it() {
        let toml = "[websocket]\nendpoints = [\"/live/\"]\n";
        let file = "example.com {\n\treverse_proxy /api/* a:1\n\treverse_proxy b:1\n}\n";
        assert_eq!(
            routes(&[("wslint.toml", toml), ("Caddyfile", file)]),
            ["/live/ declared"]
        );
        let toml = "[websocket]\nendpoints = [\"wss://other.example.com/live/\"]\n";
        assert!(routes(&[("wslint.toml", toml), ("Caddyfile", file)]).is_empty());
    }

    #[test]
    fn what_is_declared_to_be_none_is_none() {
        let toml = "[websocket]\nnot = [\"/ws/\"]\n";
        let file = ":80 {\n\treverse_proxy /ws/* a:1\n}\n";
        assert!(routes(&[("wslint.toml", toml), ("Caddyfile", file)]).is_empty());
    }
}

//! Where handshakes arrive in a Caddyfile, and how we know.
//!
//! A bare `reverse_proxy app:8000` is plain HTTP until something says otherwise: an endpoint that
//! is declared, a matcher for sockets, a header line that means to upgrade, a well-known path, an
//! upstream that is named for it.

mod evidence;
mod served;

use std::collections::{HashMap, HashSet};

use evidence::{evidence, sample, sample_paths};
pub use served::{Served, served};

use super::handler::{Action, Handler, HandlerId, Handlers};
use super::hop::{End, walk};
use super::matcher::{Doubt, Test};
use super::model::{Model, Site};
use super::proxy::Proxy;
use crate::finding::Undecided;
use crate::handshake::{Browser, Evidence, Request, known_endpoint};
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

/// A URL that stands for a route, as one site is asked for it.
struct Asked {
    path: String,
    host: Option<String>,
    evidence: Evidence,
    declared: Option<Span>,
}

impl Asked {
    /// Whether the Caddyfile alone says so.
    fn is_weak(&self) -> bool {
        matches!(self.evidence, Evidence::WellKnown { .. })
    }
}

/// The well-known endpoints that a guard of the site names: whoever asks for a password there, or
/// changes the request, lets it go on to a proxy.
fn guarded(handlers: &Handlers) -> Vec<Asked> {
    let guards = handlers.all.iter().filter(|handler| {
        asks_password(handler) || matches!(handler.name.as_str(), "forward_auth" | "request_header")
    });
    let paths = guards.flat_map(|handler| handler.matcher.paths());
    let mut asked: Vec<Asked> = paths
        .filter_map(|pattern| {
            let endpoint = known_endpoint(pattern.known()?)?;
            Some(Asked {
                path: sample(&pattern.text)?,
                host: None,
                evidence: Evidence::WellKnown {
                    software: endpoint.software.to_owned(),
                    span: pattern.span,
                },
                declared: None,
            })
        })
        .take(8)
        .collect();
    asked.dedup_by(|a, b| a.path == b.path);
    asked
}

/// The declared endpoints and the application's routes that a site may be asked for.
fn asked(project: &Project, model: &Model, config: usize, site: usize) -> Vec<Asked> {
    let at = &model.configs[config].sites[site];
    if at.is_fragment() {
        return Vec::new();
    }
    let declared = project.config.endpoints.iter().filter_map(|declared| {
        let host = declared.host();
        let takes = host.as_ref().is_none_or(|host| at.takes(host));
        takes.then(|| Asked {
            path: path_of(declared).to_owned(),
            host,
            evidence: Evidence::Declared {
                endpoint: declared.endpoint.clone(),
            },
            declared: declared.span,
        })
    });
    let here = |served: &&Served| served.config == config && served.site == site;
    let served = model.served.iter().filter(here).map(|served| Asked {
        path: served.path.clone(),
        host: None,
        evidence: served.evidence.clone(),
        declared: None,
    });
    declared.chain(served).collect()
}

/// The path of a declared endpoint, without what follows it.
pub fn path_of(declared: &Declared) -> &str {
    let path = declared.path().split(['?', '#']).next();
    path.unwrap_or("/")
}

/// All routes of a model, each proxy and path once, by the strongest evidence; and the sites in
/// which not all were searched.
pub(super) fn find(project: &Project, model: &Model) -> (Vec<Route>, Vec<Undecided>) {
    let mut routes = Vec::new();
    let mut unsearched = Vec::new();
    let mut lost = Vec::new();
    let shared = shared_lines(model);
    for (config, one) in model.configs.iter().enumerate() {
        for (site, at) in one.sites.iter().enumerate() {
            let asked = asked(project, model, config, site);
            let guarded = guarded(&at.handlers);
            let mut reached = HashMap::new();
            let mut steps = 0;
            for (id, handler, proxy) in at.handlers.proxies() {
                if steps > MAX_STEPS {
                    unsearched.push(Undecided {
                        span: handler.head,
                        message: "too many handlers look at each request: from here on the site was not searched for sockets"
                            .to_owned(),
                        alike: None,
                    });
                    break;
                }
                let chain: Vec<&Handler> = at.handlers.chain(id).collect();
                let host = host(at, &chain);
                let mut add =
                    |path: String, host: String, evidence: Evidence, declared: Option<Span>| {
                        let known = matches!(
                            evidence,
                            Evidence::Declared { .. } | Evidence::Application { .. }
                        );
                        let route = Route {
                            path_named: path != ANY_PATH || known,
                            declared,
                            config,
                            site,
                            proxy: id,
                            path,
                            host,
                            evidence,
                        };
                        let request = route.request(at, Browser::Chrome, &one.options.ports);
                        let steps = walk(&at.handlers, &request, false).steps;
                        routes.push(route);
                        steps
                    };
                for asked in asked.iter().chain(&guarded) {
                    let host = asked.host.clone().unwrap_or_else(|| host.clone());
                    let none = asked.is_weak() && is_declared_none(project, &asked.path);
                    if none {
                        continue;
                    }
                    let key = (asked.path.as_str(), host.clone());
                    let reached = reached.entry(key).or_insert_with(|| {
                        let reached = Reached::walk(at, &host, &asked.path, &one.options.ports);
                        steps += reached.steps;
                        reached
                    });
                    if reached.is(&at.handlers, id) {
                        steps += add(
                            asked.path.clone(),
                            host,
                            asked.evidence.clone(),
                            asked.declared,
                        );
                    }
                }
                let Some(evidence) = evidence(&chain, proxy, &shared) else {
                    continue;
                };
                for path in sample_paths(&chain) {
                    if !is_declared_none(project, &path) {
                        steps += add(path, host.clone(), evidence.clone(), None);
                    }
                }
            }
            lost.extend(asked.into_iter().map(|asked| (config, site, asked)));
        }
    }
    lost.retain(|(_, _, asked)| routes.iter().all(|route| route.evidence != asked.evidence));
    let answered = lost
        .into_iter()
        .filter_map(|(config, site, asked)| answered(model, config, site, asked));
    routes.extend(answered);
    inherit(model, &mut routes);
    routes.sort_by(|a, b| {
        let key = |route: &Route| (route.config, route.site, route.proxy, route.path.clone());
        key(a)
            .cmp(&key(b))
            .then_with(|| a.evidence.cmp(&b.evidence))
    });
    routes.dedup_by(|a, b| {
        (a.config, a.site, a.proxy, &a.path) == (b.config, b.site, b.proxy, &b.path)
    });
    (routes, unsearched)
}

/// A proxy whose upstream names a site with routes has those of them that it takes as well.
fn inherit(model: &Model, routes: &mut Vec<Route>) {
    /// Sites behind sites behind sites.
    const ROUNDS: usize = 3;
    /// A proxy, and a site that it dials.
    struct Dialled {
        outer: (usize, usize),
        proxy: HandlerId,
        inner: (usize, usize),
    }
    let mut by_host: HashMap<&str, Vec<(usize, usize)>> = HashMap::new();
    for (config, one) in model.configs.iter().enumerate() {
        for (site, at) in one.sites.iter().enumerate() {
            for address in &at.addresses {
                if !address.unknown && !address.host.is_empty() && !address.host.contains('*') {
                    by_host
                        .entry(&address.host)
                        .or_default()
                        .push((config, site));
                }
            }
        }
    }
    let mut dialled: Vec<Dialled> = Vec::new();
    for (config, one) in model.configs.iter().enumerate() {
        for (site, at) in one
            .sites
            .iter()
            .enumerate()
            .filter(|(_, at)| !at.is_fragment())
        {
            for (id, _, proxy) in at.handlers.proxies() {
                let hosts = proxy.upstreams.iter().filter_map(|up| up.host.as_deref());
                let inner = hosts.filter_map(|host| by_host.get(host)).flatten();
                let inner = inner.filter(|inner| **inner != (config, site));
                dialled.extend(inner.take(8).map(|inner| Dialled {
                    outer: (config, site),
                    proxy: id,
                    inner: *inner,
                }));
            }
        }
    }
    for _ in 0..ROUNDS {
        let mut new = Vec::new();
        for Dialled {
            outer: (config, site),
            proxy,
            inner,
        } in &dialled
        {
            let own = |route: &&Route| (route.config, route.site) == *inner;
            for route in routes.iter().filter(own).take(8) {
                let one = &model.configs[*config];
                let at = &one.sites[*site];
                let host = host(at, &at.handlers.chain(*proxy).collect::<Vec<_>>());
                let known = routes.iter().chain(&new).any(|known| {
                    (known.config, known.site, known.proxy, known.path.as_str())
                        == (*config, *site, *proxy, route.path.as_str())
                });
                let reached = || Reached::walk(at, &host, &route.path, &one.options.ports);
                if !known && reached().is(&at.handlers, *proxy) {
                    new.push(Route {
                        config: *config,
                        site: *site,
                        proxy: *proxy,
                        host,
                        ..route.clone()
                    });
                }
            }
        }
        if new.is_empty() {
            return;
        }
        routes.extend(new);
    }
}

/// Lines of snippets that several proxies share which take different paths: what they mean for one
/// says nothing of the others.
fn shared_lines(model: &Model) -> HashSet<Span> {
    let mut paths: HashMap<Span, String> = HashMap::new();
    let mut shared = HashSet::new();
    for site in model.configs.iter().flat_map(|config| &config.sites) {
        for (id, _, proxy) in site.handlers.proxies() {
            let Some(first) = proxy.header_up.first() else {
                continue;
            };
            let own = site.handlers.chain(id);
            let own = own.flat_map(|handler| handler.matcher.paths());
            let own: Vec<&str> = own.map(|word| word.text.as_str()).collect();
            let own = own.join(" ");
            // All lines of one block stand together.
            match paths.get(&first.span) {
                Some(other) if *other != own => {
                    shared.extend(proxy.header_up.iter().map(|line| line.span));
                }
                Some(_) => {}
                None => {
                    paths.insert(first.span, own);
                }
            }
        }
    }
    shared
}

/// Whether the project says that its `path` is no endpoint.
pub fn is_declared_none(project: &Project, path: &str) -> bool {
    let mut none = project.config.not_endpoints.iter();
    none.any(|not| below(path, not))
}

fn below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where a handshake comes to.
struct Reached {
    /// Without and with what changes its path.
    ends: [End; 2],
    /// The only proxy that takes it, where it meets somebody who asks for a password: who knows
    /// that gets there.
    behind: Option<HandlerId>,
    /// How many handlers were looked at.
    steps: usize,
}

impl Reached {
    fn walk(site: &Site, host: &str, path: &str, ports: &super::Ports) -> Self {
        let tls = site
            .addresses
            .first()
            .is_some_and(|address| address.is_tls(ports));
        let request = Request::handshake(Browser::Chrome, tls, host, 443, path);
        let handlers = &site.handlers;
        let walks = [true, false].map(|frozen| walk(handlers, &request, frozen));
        let mut steps = walks.iter().map(|walk| walk.steps).sum();
        let ends = walks.map(|walk| walk.end);
        let mut behind = None;
        if ends.iter().any(|end| is_asked_password(handlers, end)) {
            steps += handlers.own;
            let takes = |id| {
                let mut chain = handlers.chain(id);
                chain.all(|handler| handler.matcher.decide(&request) == Ok(true))
            };
            let mut takers = handlers.proxies().filter(|(id, _, _)| takes(*id));
            let only = takers.next().filter(|_| takers.next().is_none());
            behind = only.map(|(id, _, _)| id);
        }
        Self {
            ends,
            behind,
            steps,
        }
    }

    /// Whether that proxy is the one which, by its matchers, the handshake belongs to.
    fn is(&self, handlers: &Handlers, proxy: HandlerId) -> bool {
        let own = handlers.get(proxy);
        self.ends.iter().any(|end| match end {
            End::Proxied(id) => *id == proxy,
            // Where a template writes it.
            End::Undecided(span, _) => own.conditional && *span == own.head,
            end => is_asked_password(handlers, end) && self.behind == Some(proxy),
        })
    }
}

fn is_asked_password(handlers: &Handlers, end: &End) -> bool {
    matches!(end, End::Answered(by, _) if asks_password(handlers.get(*by)))
}

/// Whether it lets in those who know a password.
fn asks_password(handler: &Handler) -> bool {
    matches!(handler.name.as_str(), "basic_auth" | "basicauth")
}

/// The route of a URL that no proxy gets to see: the first proxy of the site that would take it, did
/// nothing answer before.
fn answered(model: &Model, config: usize, site: usize, asked: Asked) -> Option<Route> {
    let one = &model.configs[config];
    let at = &one.sites[site];
    let host = asked.host.unwrap_or_else(|| host(at, &[]));
    let tls = at
        .addresses
        .first()
        .is_some_and(|address| address.is_tls(&one.options.ports));
    let request = Request::handshake(Browser::Chrome, tls, &host, 443, &asked.path);
    if !matches!(walk(&at.handlers, &request, true).end, End::Answered(..)) {
        return None;
    }
    let (proxy, _, _) = at.handlers.proxies().find(|(id, _, _)| {
        let mut chain = at.handlers.chain(*id);
        chain.all(|handler| handler.matcher.decide(&request) == Ok(true))
    })?;
    Some(Route {
        config,
        site,
        proxy,
        path: asked.path,
        host,
        path_named: true,
        evidence: asked.evidence,
        declared: asked.declared,
    })
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
                alike: None,
            });
        }
    }
    notes
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
            // Whoever asks for a password there lets it go on.
            (
                "basic_auth /ws/* {\na b\n}\nreverse_proxy app:1",
                &["/ws/ known"],
            ),
            ("respond /ws/* 404\nreverse_proxy app:1", &[]),
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
    fn a_shared_snippet_says_nothing_of_other_paths() {
        let snippet =
            "(up) {\nreverse_proxy {args[0]} app:1 {\nheader_up Connection {>Connection}\n}\n}\n";
        let once = format!("{snippet}a.test {{\nimport up /live/*\n}}\n");
        assert_eq!(routes(&[("Caddyfile", &once)]), ["/live/ intent"]);
        let twice = format!("{once}b.test {{\nimport up /api/*\n}}\n");
        assert!(routes(&[("Caddyfile", &twice)]).is_empty());
        let all = format!("{snippet}a.test {{\nimport up *\n}}\nb.test {{\nimport up /api/*\n}}\n");
        assert_eq!(routes(&[("Caddyfile", &all)]), ["/socket intent"]);
    }

    #[test]
    fn a_site_has_the_routes_of_those_that_it_dials() {
        let inner = "inner.test {\nreverse_proxy /live/* app-ws:1\n}\n";
        let outer = format!("{inner}outer.test {{\nreverse_proxy https://inner.test\n}}\n");
        assert_eq!(
            routes(&[("Caddyfile", &outer)]),
            ["/live/ name", "/live/ name"]
        );
        let other = format!("{inner}outer.test {{\nreverse_proxy /api/* https://inner.test\n}}\n");
        assert_eq!(routes(&[("Caddyfile", &other)]), ["/live/ name"]);
    }

    #[test]
    fn a_handshake_meets_few_of_many_routes() {
        let handle = |at: usize| format!("handle /ws/{at}/* {{\nreverse_proxy app:{at}\n}}\n");
        let handles: String = (1..=1000).map(handle).collect();
        let file = format!(
            "example.com {{\n@old path /old/* /older/*\nrewrite @old /ws/7/x\n{handles}@up header Upgrade *\nreverse_proxy @up app:1\n}}\n"
        );
        let project = Project::in_memory([("Caddyfile", file.as_str())]).expect("project");
        let model = Model::resolve(&project);
        let handlers = &model.configs[0].sites[0].handlers;
        // One that nothing else takes, one that a rewrite leads to another, and one whose path is
        // compared as a whole.
        for (path, port, steps) in [
            ("/WS/500/", 500, 3),
            ("/older/", 7, 4),
            ("/wss", 1, 1),
            ("/ws//500/", 500, 1004),
        ] {
            let request = Request::handshake(Browser::Chrome, true, "example.com", 443, path);
            let walk = walk(handlers, &request, false);
            let End::Proxied(id) = walk.end else {
                panic!("{path}: {:?}", walk.end);
            };
            let Action::Proxy(proxy) = &handlers.get(id).action else {
                panic!("{path}");
            };
            assert_eq!(proxy.upstreams[0].port, Some(port), "{path}");
            assert!(walk.steps <= steps, "{path}: {}", walk.steps);
        }
    }

    #[test]
    fn what_is_declared_to_be_none_is_none() {
        let toml = "[websocket]\nnot = [\"/ws/\"]\n";
        let file = ":80 {\n\treverse_proxy /ws/* a:1\n}\n";
        assert!(routes(&[("wslint.toml", toml), ("Caddyfile", file)]).is_empty());
    }
}

//! nginx as a hop: which server and location a request meets, and what becomes of it there.

use super::location::Found;
use super::model::{Context, ItemId, View};
use super::{headers, variables};
use crate::handshake::{Because, Entrance, Hop, Outcome, Passage, Reply, Request, Takes, Upstream};
use crate::project::Version;
use crate::source::Span;
use crate::value::Value;

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

    fn entrances(&self) -> Vec<Entrance> {
        let mut entrances = Vec::new();
        for (index, server) in (0..).zip(&self.view.config.servers) {
            let span = match server.item {
                super::model::ROOT => self.place(),
                item => self.view.directive(item).head(),
            };
            // Without a `listen` nginx takes port 80.
            let unwritten = server.listens.is_empty().then_some((80, false));
            let written = server
                .listens
                .iter()
                .map(|listen| (listen.port, listen.tls));
            let ports: std::collections::BTreeSet<_> = written.chain(unwritten).collect();
            for (port, tls) in ports {
                let mut hosts = server.names.iter().map(|name| sample(name));
                // What no request can select is no way in.
                let leads = |host: &String| self.view.find_server(host, port) == Some(index);
                let host = hosts
                    .find(leads)
                    .or_else(|| ["localhost", ""].map(str::to_owned).into_iter().find(leads));
                entrances.extend(host.map(|host| Entrance {
                    tls,
                    host,
                    port,
                    span,
                }));
            }
        }
        entrances
    }

    fn takes(&self, tls: bool, host: &str, port: u16) -> Takes {
        let Some(index) = self.view.find_server(host, port) else {
            return Takes::No;
        };
        let server = &self.view.config.servers[index as usize];
        let speaks = |listen: &super::location::Listen| listen.port == port && listen.tls == tls;
        if !(server.listens.iter().any(speaks) || server.listens.is_empty() && !tls) {
            return Takes::No;
        }
        match server.rank(host) {
            Some(_) => Takes::ByName,
            None => Takes::ByDefault,
        }
    }

    fn receive(&self, request: &Request) -> Passage {
        let mut because = Vec::new();
        let outcome = self.decide(request, &mut because);
        let at = because.last().map(|because: &Because| because.span);
        Passage {
            at,
            outcome,
            because,
        }
    }
}

impl Nginx<'_> {
    fn decide(&self, request: &Request, because: &mut Vec<Because>) -> Outcome {
        let view = self.view;
        let Some(server) = view.find_server(&request.host, request.port) else {
            return Outcome::Undecided {
                why: format!("no server listens on port {}", request.port),
            };
        };
        let item = view.config.servers[server as usize].item;
        self.note(because, item, "this server takes the request");
        if let Some(answers) = view.level(item).answers {
            return self.answer(answers, because);
        }
        let location = match view.find_location(server, &request.path) {
            Found::Location(index) => view.config.locations[index as usize].item,
            Found::Slash(index) => {
                let location = view.config.locations[index as usize].item;
                self.note(
                    because,
                    location,
                    "redirects to its own path, with a slash at the end",
                );
                return Outcome::Answers { status: Some(301) };
            }
            Found::Nowhere => return Outcome::Answers { status: Some(404) },
            Found::Unknown => {
                return Outcome::Undecided {
                    why: "an expression that could not be read chooses the location".to_owned(),
                };
            }
        };
        self.note(because, location, "this location takes the path");
        if let Some(answers) = view.level(location).answers {
            return self.answer(answers, because);
        }
        let (block, pass) = match passing(view, location, request) {
            Ok(found) => found,
            Err(why) => return Outcome::Undecided { why },
        };
        self.note(because, pass, "sends it on");
        let effective = headers::Effective::at(view, block);
        if let Some(unseen) = effective.unseen {
            return Outcome::Undecided { why: unseen.why };
        }
        if let Some(level) = effective.level {
            self.note(because, level, "its headers apply");
        }
        let request = headers::outgoing(view, block, request, self.target);
        Outcome::Forwards {
            to: upstreams(view, pass, &request, block),
            request: Box::new(request),
            reply: Reply::Intact,
        }
    }

    fn answer(&self, item: ItemId, because: &mut Vec<Because>) -> Outcome {
        self.note(because, item, "answers without asking the upstream");
        let status = self.view.directive(item).arg(0).map(|status| {
            // `return https://…` alone means 302.
            status.parse().unwrap_or(302)
        });
        match status {
            // nginx's own code for closing the connection without an answer.
            Some(444) | None => Outcome::Answers { status: None },
            status => Outcome::Answers { status },
        }
    }

    fn note(&self, because: &mut Vec<Because>, item: ItemId, message: &str) {
        if item != super::model::ROOT {
            because.push(Because {
                span: self.view.directive(item).head(),
                message: message.to_owned(),
            });
        }
    }
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

/// The block whose `proxy_pass` takes the request at `location`: an `if` of it, or itself.
fn passing(
    view: View<'_>,
    location: ItemId,
    request: &Request,
) -> Result<(ItemId, ItemId), String> {
    let mut taken = None;
    for item in &view.level(location).rewrites {
        if view.context(*item) != Context::If {
            continue;
        }
        let level = view.level(*item);
        let mut scope = variables::Scope::new(view, request, location);
        let holds = scope.condition(view.directive(*item).args());
        let decides = level.pass.is_some() || level.answers.is_some();
        match holds {
            Some(true) if level.answers.is_some() => {
                return Err("an `if` that holds for a handshake answers it".to_owned());
            }
            Some(true) if level.pass.is_some() => taken = Some(*item),
            None if decides => return Err("an `if` that the files do not decide".to_owned()),
            _ => {}
        }
    }
    let block = taken.unwrap_or(location);
    match view.level(block).pass {
        Some(pass) => Ok((block, pass)),
        None => Err("nothing here sends the request on".to_owned()),
    }
}

/// The servers that `proxy_pass` sends to.
fn upstreams(view: View<'_>, pass: ItemId, request: &Request, block: ItemId) -> Vec<Upstream> {
    let directive = view.directive(pass);
    let Some(word) = directive.args().first() else {
        return Vec::new();
    };
    let from = directive.head();
    let mut scope = variables::Scope::new(view, request, block);
    let value = scope.value(word);
    let Some(url) = value.known() else {
        return vec![Upstream {
            tls: word.text.starts_with("https://"),
            host: Value::Unknown("a variable names the upstream".to_owned()),
            port: Value::Unknown("a variable names the upstream".to_owned()),
            from,
        }];
    };
    let Some((scheme, rest)) = url.split_once("://") else {
        return Vec::new();
    };
    let tls = scheme == "https";
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let servers: Vec<(&str, Span)> = match view.config.upstreams.get(authority) {
        Some(upstream) => view
            .children(*upstream)
            .map(|server| view.directive(server))
            .filter(|server| server.name() == "server")
            .filter_map(|server| Some((server.arg(0)?, server.head())))
            .collect(),
        None => vec![(authority, from)],
    };
    let default = if tls { 443 } else { 80 };
    servers
        .into_iter()
        .map(|(address, from)| {
            let (host, port) = match address.rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => {
                    (host, port.parse().unwrap_or(default))
                }
                _ => (address, default),
            };
            Upstream {
                tls,
                host: Value::Known(host.to_owned()),
                port: Value::Known(port),
                from,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{Browser, Protocol, has_token};
    use crate::nginx::Model;
    use crate::project::Project;

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
}

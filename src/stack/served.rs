//! Hops joined: which proxy of a project stands before which application.
//!
//! Sources are joined by what ties them, never because both happen to be there: the one
//! application behind the one proxy, or an upstream that names the port or the compose service
//! at which the application is started.

use std::collections::BTreeSet;

use super::topology::{Program, Topology};
use crate::django::command::Command;
use crate::django::routes::{Route, WebSocket};
use crate::handshake::Evidence;
use crate::nginx::Served;
use crate::nginx::model::View;
use crate::nginx::stray::Asked;
use crate::project::Project;
use crate::source::Kind;
use crate::{caddy, django, nginx};

/// The application's routes, each with a server of nginx through which it is surely reached.
pub fn served(
    project: &Project,
    topology: &Topology,
    django: &django::Model,
    nginx: &nginx::Model,
) -> Vec<Served> {
    let [application] = django.applications.as_slice() else {
        return Vec::new();
    };
    let other_proxy = project.of_kind(Kind::Caddyfile).next().is_some();
    if application.websocket != WebSocket::Routed || other_proxy {
        return Vec::new();
    }
    let urls: Vec<Asked> = django
        .routes
        .iter()
        .filter(|route| route.certain)
        .filter_map(url)
        .collect();
    if urls.is_empty() {
        return Vec::new();
    }
    let mut served = Vec::new();
    for config in 0..nginx.configs.len() as u32 {
        let view = nginx.view(config);
        let servers = servers_before(topology, django, view);
        for server in servers {
            served.extend(urls.iter().map(|asked| Served {
                config,
                server,
                asked: asked.clone(),
            }));
        }
    }
    served
}

/// A URL that stands for a route; none for one that takes whatever no other wants.
pub(super) fn url(route: &Route) -> Option<Asked> {
    if route.matches("/no/such/path").unwrap_or(true) {
        return None;
    }
    Some(Asked {
        path: route.sample()?,
        host: None,
        evidence: Evidence::Application {
            pattern: route.pattern(),
            span: route.span,
        },
    })
}

/// The servers of one configuration that surely stand before the application.
fn servers_before(topology: &Topology, django: &django::Model, view: View<'_>) -> BTreeSet<u32> {
    let passes = view.passes();
    let targets = passes.iter().map(|pass| &pass.target).collect();
    let application = application(topology, django, &targets);
    let there = || {
        let passes = passes.iter();
        passes.filter(|pass| application.contains(&&pass.target))
    };
    // The sockets have a way of their own: a prefix that clients put before the route.
    if there().any(|pass| pass.moves) {
        return BTreeSet::new();
    }
    there().map(|pass| pass.server).collect()
}

/// Which of the addresses that a proxy dials are surely the application's.
fn application<'a>(
    topology: &Topology,
    django: &django::Model,
    targets: &BTreeSet<&'a (String, u16)>,
) -> Vec<&'a (String, u16)> {
    let mut ports: BTreeSet<u16> = BTreeSet::new();
    let mut services: BTreeSet<&str> = BTreeSet::new();
    for place in &topology.places {
        let Program::Django { commands, .. } = &place.program else {
            continue;
        };
        let starts = commands.iter().map(|command| &django.commands[*command]);
        let starts: Vec<&Command> = starts
            .filter(|command| command.serves_websockets())
            .collect();
        if !starts.is_empty() {
            let own = place.services.iter().map(|own| &topology.services[*own]);
            services.extend(own.flat_map(|own| &own.names).map(String::as_str));
        }
        ports.extend(starts.iter().filter_map(|command| command.written_port()));
    }
    let named: Vec<_> = targets
        .iter()
        .copied()
        .filter(|(host, _)| services.contains(host.to_ascii_lowercase().as_str()))
        .collect();
    let at_port: Vec<_> = targets
        .iter()
        .copied()
        .filter(|(_, port)| ports.contains(port))
        .collect();
    // Of one machine each port is a command's; of several machines one may be another program's.
    let on_one_machine = at_port.iter().all(|(host, _)| *host == at_port[0].0);
    match (named.len(), at_port.len(), targets.len()) {
        (1, _, _) => named,
        (0, 1.., _) if on_one_machine => at_port,
        // Where a command says the port, another one is another program's.
        (0, 0, 1) if ports.is_empty() => targets.iter().copied().collect(),
        _ => Vec::new(),
    }
}

/// The address at which the project's Caddy surely reaches its one application, which routes
/// handshakes by their path; `None` where an upstream is hidden, or another proxy is there too.
pub fn behind_caddy(
    project: &Project,
    topology: &Topology,
    django: &django::Model,
    caddy: &caddy::Model,
) -> Option<(String, u16)> {
    let [one] = django.applications.as_slice() else {
        return None;
    };
    let moved = |command: &Command| command.option(&["--root-path"]).is_some();
    if one.websocket != WebSocket::Routed
        || project.of_kind(Kind::Nginx).next().is_some()
        || django.commands.iter().any(moved)
    {
        return None;
    }
    let mut dialled = BTreeSet::new();
    for site in caddy.configs.iter().flat_map(|config| &config.sites) {
        for (_, _, proxy) in site.handlers.proxies() {
            if site.handlers.partial || proxy.partial || proxy.dynamic {
                return None;
            }
            for upstream in &proxy.upstreams {
                dialled.insert((upstream.host.clone()?, upstream.port?));
            }
        }
    }
    match application(topology, django, &dialled.iter().collect())[..] {
        [one] => Some(one.clone()),
        _ => None,
    }
}

/// The application's routes, each with a site of Caddy's through which it is reached.
pub fn served_by_caddy(
    project: &Project,
    topology: &Topology,
    django: &django::Model,
    caddy: &caddy::Model,
) -> Vec<caddy::Served> {
    let Some(dials) = behind_caddy(project, topology, django, caddy) else {
        return Vec::new();
    };
    let routes = django.routes.iter().filter(|route| route.certain);
    let urls: Vec<(String, Evidence)> = routes
        .filter_map(url)
        .map(|asked| (asked.path, asked.evidence))
        .filter(|(path, _)| !caddy::route::is_declared_none(project, path))
        .collect();
    let knows = |path: &str| {
        let mut routes = django.routes.iter();
        routes.any(|route| route.matches(path) != Some(false))
    };
    caddy::served(caddy, &dials, &urls, &knows)
}

#[cfg(test)]
mod tests {
    use crate::check::{Selection, check};
    use crate::project::Project;

    const ASGI: &str = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.core.asgi import get_asgi_application\nfrom django.urls import path\nhttp = get_asgi_application()\nfrom news.consumers import News\napplication = ProtocolTypeRouter({'http': http, 'websocket': URLRouter([path('ws/news/', News.as_asgi())])})\n";

    fn rules(files: &[(&str, &str)]) -> Vec<String> {
        let project = Project::in_memory(files.iter().copied()).expect("valid");
        let outcome = check(&project, &Selection::default());
        outcome
            .findings
            .iter()
            .map(|finding| finding.rule.to_string())
            .filter(|rule| rule.starts_with("nginx") || rule.starts_with("stack"))
            .collect()
    }

    fn conf(locations: &str) -> String {
        format!("events {{}}\nhttp {{ server {{ listen 80; {locations} }} }}\n")
    }

    #[test]
    fn the_one_application_is_behind_the_one_upstream() {
        let plain = conf("location / { proxy_pass http://web:8000; }");
        let found = rules(&[("nginx.conf", &plain), ("site/asgi.py", ASGI)]);
        assert_eq!(found, ["stack/route-not-forwarded"]);
        assert!(rules(&[("nginx.conf", &plain)]).is_empty());
    }

    #[test]
    fn of_several_upstreams_the_port_or_the_service_decides() {
        let two = conf(
            "location / { proxy_pass http://front:3000; } location /api/ { proxy_pass http://web:8000; }",
        );
        let files = [("nginx.conf", two.as_str()), ("site/asgi.py", ASGI)];
        assert!(rules(&files).is_empty());
        let started = |command: &'static str| {
            let mut files = files.to_vec();
            files.push(("docker-compose.yml", command));
            rules(&files)
        };
        for command in [
            "services:\n  backend:\n    command: daphne -p 8000 site.asgi:application\n",
            "services:\n  web:\n    environment:\n      A: b\n    command: >\n      daphne site.asgi:application\n",
        ] {
            assert_eq!(started(command), ["stack/route-not-forwarded"], "{command}");
        }
        assert!(
            started("services:\n  other:\n    command: daphne -p 9000 site.asgi:application\n")
                .is_empty()
        );
    }

    #[test]
    fn a_service_is_what_its_dockerfile_starts() {
        let nginx = conf(
            "location / { proxy_pass http://front:3000; } location /api/ { proxy_pass http://web:8000; } location /ws/ { return 404; }",
        );
        let compose = "services:\n  web:\n    build: .\n  front:\n    image: node\n";
        let found = |command: &str| {
            let dockerfile = format!("FROM python\nCOPY . .\nCMD {command}\n");
            rules(&[
                ("nginx.conf", &nginx),
                ("site/asgi.py", ASGI),
                ("compose.yaml", compose),
                ("Dockerfile", &dockerfile),
            ])
        };
        let daphne = "[\"daphne\", \"-b\", \"0.0.0.0\", \"site.asgi:application\"]";
        assert_eq!(found(daphne), ["nginx/answered-locally"]);
        // What is not seen to start it is no address of its for a rule about nginx alone.
        let other = found("[\"node\", \"index.js\"]");
        assert!(!other.contains(&"nginx/answered-locally".to_owned()));
    }

    #[test]
    fn another_way_for_the_sockets_is_enough() {
        for locations in [
            "location / { proxy_pass http://web:8000; } location /ws/ { proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_http_version 1.1; proxy_pass http://web:8000; }",
            "location / { root /srv; } location /backend/ { proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_http_version 1.1; proxy_pass http://web:8000/; }",
        ] {
            let conf = conf(locations);
            let found = rules(&[("nginx.conf", &conf), ("site/asgi.py", ASGI)]);
            assert!(found.is_empty(), "{locations}: {found:?}");
        }
    }

    #[test]
    fn a_redirect_to_the_path_with_a_slash_is_no_way_to_https() {
        let nginx = conf(
            "rewrite ^([^.]*[^/])$ $1/ permanent; location / { proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_http_version 1.1; proxy_pass http://web:8000; }",
        );
        let asgi = |route: &str| {
            ASGI.replace("path('ws/news/'", route)
                .replace("import path\n", "import path, re_path\n")
        };
        for (route, expected) in [
            ("path('ws/news'", ["nginx/redirects-handshake"].as_slice()),
            // Clients may ask for the other form.
            ("re_path(r'^ws/news/?$'", &[]),
            ("path('ws/news/'", &[]),
        ] {
            let files = [
                ("nginx.conf", nginx.as_str()),
                ("site/asgi.py", &asgi(route)),
            ];
            assert_eq!(rules(&files), expected, "{route}");
        }
    }
}

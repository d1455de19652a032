//! Declared endpoints: the locations that take them.
//!
//! The host of a URL selects the server as nginx does: by name, else the default server of the
//! listener (ngx_http_find_virtual_server). Where unrelated configurations lie side by side,
//! nothing says whose default server is meant, and that is left open.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::tried;
use super::location::{Found, Matcher};
use super::model::{Arena, View};
use super::stray::{Asked, servers_for};
use crate::finding::Undecided;
use crate::handshake::Evidence;
use crate::project::{Declared, Project};

/// The declared endpoints by the configuration and location that take them.
pub(super) type Places = BTreeMap<(u32, u32), Vec<Evidence>>;

/// The URLs to send through each configuration, with the server that each of them meets.
pub(super) type Urls = BTreeMap<u32, Vec<(u32, Asked)>>;

/// Finds what takes the declared endpoints.
pub(super) fn places(
    project: &Project,
    arena: Arena<'_>,
    undecided: &mut Vec<Undecided>,
) -> (Places, Urls) {
    let mut places = Places::new();
    let mut urls = Urls::new();
    for endpoint in &project.config.endpoints {
        let takers = takers(project, arena, endpoint);
        if let Some(why) = takers.open
            && let Some(span) = endpoint.span.or_else(|| first_server(arena))
        {
            undecided.push(Undecided {
                span,
                message: format!(
                    "whether a WebSocket opens at `{}` is not checked: {why}",
                    endpoint.endpoint
                ),
                alike: None,
            });
        }
        let evidence = Evidence::Declared {
            endpoint: endpoint.endpoint.clone(),
        };
        for place in takers.locations {
            places.entry(place).or_default().push(evidence.clone());
        }
        for (config, server) in takers.servers {
            let asked = Asked {
                path: endpoint.path().to_owned(),
                host: endpoint.host(),
                evidence: evidence.clone(),
            };
            urls.entry(config).or_default().push((server, asked));
        }
    }
    (places, urls)
}

struct Takers {
    /// By configuration and index.
    locations: BTreeSet<(u32, u32)>,
    /// The servers that are asked, likewise.
    servers: BTreeSet<(u32, u32)>,
    /// Why it can't be told what takes the endpoint.
    open: Option<&'static str>,
}

fn takers(project: &Project, arena: Arena<'_>, endpoint: &Declared) -> Takers {
    let views = || (0..arena.configs.len() as u32).map(|config| arena.view(config));
    let host = endpoint.host();
    let ranked = |view: View<'_>, server: u32, host: &str| {
        view.config.servers[server as usize].rank(host).is_some()
    };
    let named = host.as_deref().is_some_and(|host| {
        views().any(|view| {
            (0..view.config.servers.len() as u32).any(|server| ranked(view, server, host))
        })
    });
    let mut locations = BTreeSet::new();
    let mut asked = BTreeSet::new();
    for view in views() {
        let servers: Vec<u32> = match &host {
            // A path alone is asked of every server.
            None => servers_for(view, endpoint.path()),
            Some(host) => {
                // Where some server names the host, the default server of another configuration
                // has nothing to do with it.
                let of = |ports: BTreeSet<u16>| -> Vec<u32> {
                    let found: BTreeSet<u32> = ports
                        .into_iter()
                        .filter_map(|port| view.find_server(host, port))
                        .filter(|server| !named || ranked(view, *server, host))
                        .collect();
                    found.into_iter().collect()
                };
                let meant = of(asked_ports(project, view, endpoint));
                if meant.is_empty() {
                    of(view.ports())
                } else {
                    meant
                }
            }
        };
        let mut found = BTreeSet::new();
        asked.extend(servers.iter().map(|server| (view.index, *server)));
        for server in servers {
            match view.find_location(server, endpoint.path()) {
                Found::Location(location) => {
                    found.insert(tried(view, location).unwrap_or(location));
                }
                Found::Nowhere | Found::Slash(_) | Found::Unknown => {}
            }
        }
        // A server that names the path is meant; the catch-all of another is not.
        if found.iter().any(|index| names_path(view, *index)) {
            found.retain(|index| names_path(view, *index));
        }
        locations.extend(found.into_iter().map(|index| (view.index, index)));
    }
    let configs = |locations: &BTreeSet<(u32, u32)>| {
        let configs: BTreeSet<u32> = locations.iter().map(|(config, _)| *config).collect();
        configs.len()
    };
    let mut open = None;
    if host.is_some() && !named && configs(&locations) > 1 {
        locations.retain(|(config, index)| names_path(arena.view(*config), *index));
        asked.retain(|(asked, _)| locations.iter().any(|(config, _)| config == asked));
        if configs(&locations) != 1 {
            locations.clear();
            asked.clear();
            open = Some(
                "no `server_name` is its host, and several configurations have a default server",
            );
        }
    }
    Takers {
        locations,
        servers: asked,
        open,
    }
}

/// Whether a location is there for its path, and not for whatever is left.
fn names_path(view: View<'_>, location: u32) -> bool {
    let location = &view.config.locations[location as usize];
    !location.is_catch_all() && !matches!(location.matcher, Matcher::Named(_))
}

/// The ports at which a handshake for the URL arrives: its own; 80 behind an edge that speaks
/// plain HTTP; else those that speak TLS for `wss` and those that do not for `ws`.
fn asked_ports(project: &Project, view: View<'_>, endpoint: &Declared) -> BTreeSet<u16> {
    let (scheme, rest) = endpoint
        .endpoint
        .split_once("://")
        .unwrap_or(("", &endpoint.endpoint));
    let authority = rest.split('/').next().unwrap_or_default();
    let written = authority
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    if let Some(port) = written {
        return BTreeSet::from([port]);
    }
    if project.config.edge.speaks_plain_http() {
        return BTreeSet::from([80]);
    }
    let tls = scheme == "wss";
    view.config
        .servers
        .iter()
        .flat_map(|server| &server.listens)
        .filter(|listen| listen.tls == tls)
        .map(|listen| listen.port)
        .collect()
}

/// The first server that is written somewhere.
fn first_server(arena: Arena<'_>) -> Option<crate::source::Span> {
    (0..arena.configs.len() as u32).find_map(|config| {
        let view = arena.view(config);
        let server = view
            .config
            .servers
            .iter()
            .find(|server| server.item != super::model::ROOT)?;
        Some(view.directive(server.item).head())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Selection, check};

    /// The number of findings, and the notes.
    fn outcome(endpoint: &str, files: &[(&str, &str)]) -> (usize, Vec<String>) {
        let settings = format!("[websocket]\nendpoints = [\"{endpoint}\"]\n");
        let files = files
            .iter()
            .copied()
            .chain([("wslint.toml", settings.as_str())]);
        let project = Project::in_memory(files).expect("valid");
        let outcome = check(&project, &Selection::default());
        let notes = outcome.undecided.iter().map(|note| note.message.clone());
        (outcome.findings.len(), notes.collect())
    }

    #[test]
    fn a_host_that_nobody_names_meets_the_default_server() {
        let two = "events {}\nhttp { server { listen 80; server_name a; location /live { proxy_pass http://a:1; } } server { listen 443 ssl; server_name b; location /live { proxy_pass http://b:1; } } }";
        for endpoint in [
            "wss://x.example/live",
            "ws://x.example/live",
            "ws://x:80/live",
        ] {
            assert_eq!(
                outcome(endpoint, &[("nginx.conf", two)]),
                (1, vec![]),
                "{endpoint}"
            );
        }
        // Named at one port only, whatever the scheme: TLS may end before it.
        assert_eq!(outcome("wss://a/live", &[("nginx.conf", two)]), (1, vec![]));
    }

    #[test]
    fn of_several_configurations_none_is_guessed() {
        let main = |path: &str| {
            format!(
                "events {{}}\nhttp {{ server {{ server_name a; location {path} {{ proxy_pass http://a:1; }} }} }}"
            )
        };
        let (live, all) = (main("/live"), main("/"));
        let (count, notes) = outcome(
            "wss://x/live",
            &[("a/nginx.conf", &live), ("b/nginx.conf", &live)],
        );
        assert_eq!(count, 0);
        assert!(notes[0].contains("several configurations"), "{notes:?}");
        // One of them is there for the path.
        let one = outcome(
            "wss://x/live",
            &[("a/nginx.conf", &live), ("b/nginx.conf", &all)],
        );
        assert_eq!(one, (1, vec![]));
    }

    #[test]
    fn what_nothing_takes_is_noted_once() {
        let nowhere = "events {}\nhttp { server { location /api { proxy_pass http://a:1; } } }";
        let redirects = "events {}\nhttp { server { return 301 https://x$request_uri; } }";
        for conf in [nowhere, redirects] {
            for endpoint in ["/live", "wss://x/live"] {
                for more in [&[][..], &[("Caddyfile", "y {\n}\n")]] {
                    let files = [&[("nginx.conf", conf)], more].concat();
                    let (count, notes) = outcome(endpoint, &files);
                    assert_eq!(count, 0);
                    assert!(
                        matches!(notes.as_slice(), [one] if one.contains("lets a WebSocket through")),
                        "{notes:?}"
                    );
                }
            }
        }
    }
}

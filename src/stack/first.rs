//! Which hop receives a request from outside first, and at which of its addresses.

use super::Stack;
use super::topology::Topology;
use crate::handshake::{Hop, Request, Takes};
use crate::source::Span;

impl Stack<'_> {
    /// The hops that receive a request for an origin first.
    pub fn first(&self, request: &Request, explicit: bool) -> Vec<First> {
        let mut firsts: Vec<(u8, First)> = Vec::new();
        for (index, hop) in self.hops.iter().enumerate() {
            let published = published(self.topology, index, request.port);
            firsts.extend(rank(index, hop.as_ref(), request, explicit, &published));
        }
        // What the project itself dials is not what clients mean by a port that another one has.
        let has_port = |first: &First| first.port == request.port && first.tls == request.tls;
        if firsts.iter().any(|(_, first)| has_port(first))
            && !firsts.iter().all(|(_, first)| has_port(first))
        {
            firsts.retain(|(_, first)| {
                has_port(first) || first.mapped.is_some() || !self.is_dialled(first.hop)
            });
        }
        let Some(best) = firsts.iter().map(|(rank, _)| *rank).min() else {
            return Vec::new();
        };
        firsts
            .into_iter()
            .filter(|(rank, _)| *rank == best)
            .map(|(_, first)| first)
            .collect()
    }
}

impl Stack<'_> {
    /// Whether another hop of the project leads to this one.
    fn is_dialled(&self, hop: usize) -> bool {
        let others = (0..self.hops.len()).filter(|from| *from != hop);
        others.into_iter().any(|from| {
            let mut dials = self.dials(from).iter();
            dials.any(|dial| {
                let behind = self.behind(from, &dial.to);
                behind.is_some_and(|behind| behind.hop == hop)
            })
        })
    }
}

/// A hop that receives a request first, at the address where it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// The hop.
    pub hop: usize,
    /// Whether TLS is spoken there.
    pub tls: bool,
    /// The port.
    pub port: u16,
    /// Where the files say that another port leads there.
    pub mapped: Option<Span>,
}

/// The ports of a hop that its containers publish as `port`; none of them if they publish others
/// only.
enum Published {
    /// The files say nothing of it.
    Unsaid,
    /// These, with the place that says so.
    As(Vec<(u16, Span)>),
}

fn published(topology: &Topology, hop: usize, port: u16) -> Published {
    let services = topology.places[hop].services.iter();
    let ports: Vec<_> = services
        .filter(|service| !topology.services[**service].on_host)
        .flat_map(|service| &topology.services[*service].ports)
        .collect();
    let as_asked: Vec<_> = ports
        .iter()
        .filter(|known| known.published == port)
        .map(|known| (known.target, known.span))
        .collect();
    if as_asked.is_empty() {
        Published::Unsaid
    } else {
        Published::As(as_asked)
    }
}

/// How well a hop fits a request, smaller being better: what a server itself would do, then what
/// it would do behind something that maps its port or ends TLS before it.
fn rank(
    index: usize,
    hop: &dyn Hop,
    request: &Request,
    explicit: bool,
    published: &Published,
) -> Option<(u8, First)> {
    // What the files say of a port counts before any guess.
    if let Published::As(targets) = published {
        let found = targets.iter().find_map(|(port, span)| {
            let takes = |tls: &bool| hop.takes(*tls, &request.host, *port) != Takes::No;
            let tls = [request.tls, false].into_iter().find(takes)?;
            let named = hop.takes(tls, &request.host, *port) == Takes::ByName;
            let first = First {
                hop: index,
                tls,
                port: *port,
                mapped: (*port != request.port).then_some(*span),
            };
            let rank = match (named, tls == request.tls) {
                (true, true) => 0,
                (true, false) => 3,
                (false, true) => 4,
                (false, false) => 7,
            };
            Some((rank, first))
        });
        if found.is_some() {
            return found;
        }
    }
    let asked = First {
        hop: index,
        tls: request.tls,
        port: request.port,
        mapped: None,
    };
    let here = hop.takes(request.tls, &request.host, request.port);
    if here == Takes::ByName {
        return Some((0, asked));
    }
    let mut elsewhere: Vec<(Takes, bool, u16)> = hop
        .entrances()
        .into_iter()
        .filter(|entrance| entrance.tls == request.tls || request.tls)
        .map(|entrance| {
            let takes = hop.takes(entrance.tls, &request.host, entrance.port);
            (takes, entrance.tls, entrance.port)
        })
        .filter(|(takes, ..)| *takes != Takes::No)
        .collect();
    // The same scheme first; the lowest port, for want of a better reason.
    elsewhere
        .sort_by_key(|(takes, tls, port)| (*takes != Takes::ByName, *tls != request.tls, *port));
    let elsewhere = elsewhere.first().map(|(takes, tls, port)| {
        let first = First {
            hop: index,
            tls: *tls,
            port: *port,
            mapped: None,
        };
        (*takes, first)
    });
    match (here, elsewhere) {
        (Takes::ByDefault, Some((Takes::ByName, _))) => Some((1, asked)),
        (Takes::ByDefault, _) => Some((4, asked)),
        (_, Some((Takes::ByName, first))) => {
            let rank = match (explicit, first.tls == request.tls) {
                (true, _) => 5,
                (false, true) => 2,
                (false, false) => 3,
            };
            Some((rank, first))
        }
        (_, Some((_, first))) => {
            let rank = match (hop.is_application(), first.tls == request.tls) {
                (true, _) => 8,
                (false, true) => 6,
                (false, false) => 7,
            };
            Some((rank, first))
        }
        // A port that a template supplies may be any, and what ends TLS stands before it.
        (_, None) if request.tls && hop.takes(false, &request.host, request.port) != Takes::No => {
            Some((
                7,
                First {
                    tls: false,
                    ..asked
                },
            ))
        }
        (_, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::context::Context;
    use crate::project::Project;
    use crate::trace::{Target, trace};

    #[test]
    fn what_the_project_dials_is_not_what_clients_ask_for() {
        let nginx = "events {}\nhttp { server { listen 80; server_name _; location / { proxy_pass http://127.0.0.1:8080; } } }\n";
        let caddy = "http://a.example:8080 {\n\trespond 403\n}\n";
        let apart = nginx.replace("8080", "8090");
        for (nginx, first) in [(nginx, "nginx"), (apart.as_str(), "caddy")] {
            let project = Project::in_memory([("nginx.conf", nginx), ("Caddyfile", caddy)]);
            let project = project.expect("valid");
            let cx = Context::resolve(&project);
            let target = Target::parse("ws://a.example/ws").expect("a URL");
            let ways = trace(&cx, &target, None);
            assert_eq!(ways[0].runs[0].steps[0].layer, first);
        }
    }
}

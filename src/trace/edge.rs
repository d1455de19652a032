//! An edge as a hop: it ends TLS, and says so to what is behind it in its own way.

use crate::edge::{Edge, EdgeChain, Origin};
use crate::handshake::{
    Because, Entrance, Header, Hop, Outcome, Passage, Reply, Request, Takes, Upstream,
};
use crate::source::Span;
use crate::value::Value;

/// One edge of a chain.
#[derive(Debug)]
pub(super) struct EdgeHop {
    edge: &'static Edge,
    /// Whether it speaks TLS to the origin for clients that use TLS.
    tls: bool,
    /// The headers that it sets for clients that use TLS: on a handshake, and on a page.
    sends: [Vec<(String, String)>; 2],
    declared: Span,
}

/// The edges of a project, outermost first.
pub(super) fn edges(chain: &EdgeChain) -> Vec<EdgeHop> {
    let Some(declared) = chain.declared else {
        return Vec::new();
    };
    let last = chain.edges.len().saturating_sub(1);
    chain
        .edges
        .iter()
        .enumerate()
        .filter(|(_, edge)| edge.ends_tls)
        .map(|(number, edge)| EdgeHop {
            edge,
            // Each inner edge is reached over TLS; only the innermost one speaks to a proxy.
            tls: number < last || chain.tls.unwrap_or(matches!(edge.origin, Origin::Tls)),
            sends: if number == last {
                [chain.sends(), chain.sends_on_pages()]
            } else {
                let own = EdgeChain {
                    edges: vec![edge],
                    ..EdgeChain::default()
                };
                [own.sends(), own.sends_on_pages()]
            },
            declared,
        })
        .collect()
}

impl Hop for EdgeHop {
    fn layer(&self) -> &'static str {
        "edge"
    }

    fn place(&self) -> Span {
        self.declared
    }

    fn entrances(&self) -> Vec<Entrance> {
        Vec::new()
    }

    fn takes(&self, _tls: bool, _host: &str, _port: u16) -> Takes {
        Takes::ByDefault
    }

    fn receive(&self, request: &Request) -> Passage {
        let mut sent = request.clone();
        sent.protocol = self.edge.protocol;
        sent.peer = self.edge.peer();
        let tls = request.tls && self.tls;
        let mut says = Vec::new();
        let is_page = request.lines("upgrade").next().is_none();
        for (name, value) in &self.sends[usize::from(is_page)] {
            // What it says of a client without TLS: `http` for `https`, `ws` for `wss`.
            let value = match (request.tls, value.as_str()) {
                (true, value) => value.to_owned(),
                (false, "wss") => "ws".to_owned(),
                (false, value) => value.replace("https", "http"),
            };
            sent.headers
                .retain(|line| !line.name.eq_ignore_ascii_case(name));
            says.push(format!("`{name}: {value}`"));
            sent.headers.push(Header {
                name: name.clone(),
                value: Value::Known(value),
                from: Some(self.declared),
            });
        }
        sent.headers.push(Header {
            name: "Host".to_owned(),
            value: Value::Known(request.host.clone()),
            from: None,
        });
        let title = self.edge.title;
        let begins = match (request.tls, tls) {
            (true, false) => {
                format!("{title} ends TLS here and speaks plain HTTP to what is behind it")
            }
            (_, true) => format!("{title} ends TLS here and speaks TLS to what is behind it"),
            (false, false) => format!("{title} passes plain HTTP on"),
        };
        let message = if says.is_empty() {
            format!("{begins}, without a header that tells of the client's TLS")
        } else {
            format!("{begins}, with {}", says.join(" and "))
        };
        let mut because = vec![Because {
            span: self.declared,
            message,
        }];
        if let Some(limit) = self.edge.lifetime.filter(|_| !is_page) {
            let source = self.edge.source("lifetime").unwrap_or_default();
            because.push(Because {
                span: self.declared,
                message: format!(
                    "closes every socket after {} seconds, in use or not, unless told otherwise: raise {} ({source})",
                    limit.seconds, limit.change
                ),
            });
        }
        Passage {
            at: Some(self.declared),
            outcome: Outcome::Forwards {
                to: vec![Upstream {
                    tls_name: None,
                    tls,
                    host: Value::Known(request.host.clone()),
                    port: Value::Known(if tls { 443 } else { 80 }),
                    spare: false,
                    from: self.declared,
                }],
                request: Box::new(sent),
                reply: Reply::Intact,
                refused: Vec::new(),
                kept: None,
                unanswered: None,
            },
            because,
        }
    }
}

//! Edges: the balancers and CDNs before the first proxy, as `wslint.toml` declares them.
//!
//! What each does with a handshake is a fact with a source (`rules/edges.toml`), compiled in.
//! Where none is declared, [`hints`] are read from the project, and are called so.

pub mod hints;

use crate::handshake::{Peer, Protocol};
use crate::source::Span;

/// How an edge speaks to the server behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Plain HTTP.
    Plain,
    /// TLS.
    Tls,
}

/// A limit on sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Seconds.
    pub seconds: u32,
    /// How it is raised; empty where it is fixed.
    pub change: &'static str,
}

/// One kind of edge.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// The name in `[edge] kind`.
    pub kind: &'static str,
    /// The name in messages.
    pub title: &'static str,
    /// Whether it ends the client's TLS (so the next hop no longer sees it).
    pub ends_tls: bool,
    /// How it speaks to the origin by default.
    pub origin: Origin,
    /// The version of HTTP in which a handshake leaves it.
    pub protocol: Protocol,
    /// The addresses that it dials from, where that is sure.
    pub from: &'static [&'static str],
    /// Headers by which it says that the client used TLS, with their value, on a handshake.
    pub sends: &'static [(&'static str, &'static str)],
    /// Those of them that have another value on every other request.
    pub on_pages: &'static [(&'static str, &'static str)],
    /// What it does not send on a handshake though people expect it, and when it would.
    pub not_sent: &'static [(&'static str, &'static str)],
    /// How long a socket may be silent.
    pub idle: Option<Limit>,
    /// How long a socket may live, in use or not.
    pub lifetime: Option<Limit>,
    /// Where each fact is documented, by its name in `rules/edges.toml`.
    pub sources: &'static [(&'static str, &'static str)],
}

impl Edge {
    /// Who it is to the server that it dials.
    pub fn peer(&self) -> Peer {
        match self.from {
            [] => Peer::Unknown,
            ["private_ranges"] => Peer::Private,
            _ => Peer::Public,
        }
    }

    /// Where the fact of that name in `rules/edges.toml` is documented.
    pub fn source(&self, fact: &str) -> Option<&'static str> {
        let found = self.sources.iter().find(|(name, _)| *name == fact);
        found.map(|(_, url)| *url)
    }
}

include!(concat!(env!("OUT_DIR"), "/edges.rs"));

/// All kinds of edge that `[edge] kind` may name.
pub fn edges() -> &'static [Edge] {
    EDGES
}

/// The edge of that name.
pub fn edge(kind: &str) -> Option<&'static Edge> {
    EDGES.iter().find(|edge| edge.kind == kind)
}

/// The edges before a project's first proxy, outermost first, as declared.
#[derive(Clone, Debug, Default)]
pub struct EdgeChain {
    /// Outermost first; empty where none is declared.
    pub edges: Vec<&'static Edge>,
    /// Overrides `origin` of the innermost one (`[edge] tls = true`).
    pub tls: Option<bool>,
    /// Overrides what the innermost one sends (`[edge] sends = { … }`).
    pub sends: Option<Vec<(String, String)>>,
    /// Overrides how long a socket may be silent, in seconds, whoever closes it
    /// (`[edge] idle-timeout`); 0 is for ever.
    pub idle_timeout: Option<u32>,
    /// Where it is declared.
    pub declared: Option<Span>,
}

/// How long the edges of a project let a socket be silent.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Seconds.
    pub seconds: u32,
    /// Whose limit it is; `None` where `[edge] idle-timeout` says it.
    pub edge: Option<&'static Edge>,
}

impl EdgeChain {
    /// Whether something stands before the first proxy.
    pub fn is_there(&self) -> bool {
        self.edges.iter().any(|edge| edge.kind != "none")
    }

    /// The edge that speaks to the first proxy.
    pub fn innermost(&self) -> Option<&'static Edge> {
        self.edges.last().copied()
    }

    /// Whether the client's TLS ends at the edge.
    pub fn ends_tls(&self) -> bool {
        self.edges.iter().any(|edge| edge.ends_tls)
    }

    /// Whether the first proxy is reached over plain HTTP although clients use TLS.
    pub fn speaks_plain_http(&self) -> bool {
        let Some(edge) = self.innermost() else {
            return false;
        };
        self.ends_tls() && !self.tls.unwrap_or(matches!(edge.origin, Origin::Tls))
    }

    /// The headers that tell the first proxy, on a handshake, that the client used TLS.
    pub fn sends(&self) -> Vec<(String, String)> {
        match (&self.sends, self.innermost()) {
            (Some(sends), _) => sends.clone(),
            (None, Some(edge)) => edge
                .sends
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            (None, None) => Vec::new(),
        }
    }

    /// The same headers as they are on a page. What `[edge] sends` says holds for both.
    pub fn sends_on_pages(&self) -> Vec<(String, String)> {
        let mut sends = self.sends();
        if let (None, Some(edge)) = (&self.sends, self.innermost()) {
            for (name, value) in &mut sends {
                let other = edge.on_pages.iter().find(|(page, _)| page == name);
                if let Some((_, other)) = other {
                    (*other).clone_into(value);
                }
            }
        }
        sends
    }

    /// How long the strictest edge lets a socket be silent.
    pub fn idle(&self) -> Option<Idle> {
        match self.idle_timeout {
            Some(0) => None,
            Some(seconds) => Some(Idle {
                seconds,
                edge: None,
            }),
            // Of equals the outermost.
            None => self
                .edges
                .iter()
                .filter_map(|edge| {
                    Some(Idle {
                        seconds: edge.idle?.seconds,
                        edge: Some(edge),
                    })
                })
                .min_by_key(|idle| idle.seconds),
        }
    }

    /// The names in messages, outermost first: `CloudFront, then AWS ALB`.
    pub fn title(&self) -> String {
        let titles: Vec<_> = self.edges.iter().map(|edge| edge.title).collect();
        titles.join(", then ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(kinds: &[&str]) -> EdgeChain {
        EdgeChain {
            edges: kinds.iter().filter_map(|kind| edge(kind)).collect(),
            ..EdgeChain::default()
        }
    }

    #[test]
    fn the_innermost_edge_speaks_to_the_proxy() {
        // kinds; over plain HTTP; what says so on a handshake, and on a page; seconds of silence.
        let xfp = |value: &'static str| Some(value);
        for (kinds, plain, handshake, page, idle) in [
            (&["alb"][..], true, xfp("https"), xfp("https"), Some(60)),
            (&["cloudfront"], true, None, None, Some(600)),
            (
                &["cloudfront", "alb"],
                true,
                xfp("https"),
                xfp("https"),
                Some(60),
            ),
            (&["heroku"], true, xfp("https"), xfp("https"), Some(55)),
            (&["gcp"], true, xfp("https"), xfp("https"), None),
            (&["cloudflare"], false, xfp("https"), xfp("https"), None),
            (
                &["cloudflare-flexible"],
                true,
                xfp("https"),
                xfp("https"),
                None,
            ),
            (&["traefik"], true, xfp("wss"), xfp("https"), None),
            (
                &["cloudflare", "traefik"],
                true,
                xfp("wss"),
                xfp("https"),
                None,
            ),
            (&["none"], false, None, None, None),
            (&[], false, None, None, None),
        ] {
            let chain = chain(kinds);
            let says = |sends: Vec<(String, String)>| {
                sends
                    .into_iter()
                    .find(|(name, _)| name == "X-Forwarded-Proto")
                    .map(|(_, value)| value)
            };
            assert_eq!(chain.speaks_plain_http(), plain, "{kinds:?}");
            assert_eq!(says(chain.sends()).as_deref(), handshake, "{kinds:?}");
            assert_eq!(says(chain.sends_on_pages()).as_deref(), page, "{kinds:?}");
            assert_eq!(chain.idle().map(|idle| idle.seconds), idle, "{kinds:?}");
        }
    }

    #[test]
    fn what_is_declared_overrides_the_table() {
        let mut chain = chain(&["traefik"]);
        chain.tls = Some(true);
        chain.sends = Some(vec![("X-Proto".to_owned(), "https".to_owned())]);
        chain.idle_timeout = Some(300);
        assert!(!chain.speaks_plain_http());
        assert_eq!(chain.sends(), chain.sends_on_pages());
        assert_eq!(chain.idle().map(|idle| idle.seconds), Some(300));
        chain.idle_timeout = Some(0);
        assert!(chain.idle().is_none());
    }

    #[test]
    fn a_fact_has_its_source() {
        let alb = edge("alb").expect("known");
        assert!(
            alb.source("idle")
                .is_some_and(|url| url.starts_with("https://"))
        );
        assert_eq!(alb.source("lifetime"), None);
    }
}

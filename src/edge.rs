//! Edges: the balancers and CDNs before the first proxy, as `wslint.toml` declares them.
//!
//! What each sends is a fact with a source (`rules/edges.toml`), compiled in.

use crate::source::Span;

/// How an edge speaks to the server behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Plain HTTP.
    Plain,
    /// TLS.
    Tls,
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
    /// Headers by which it says that the client used TLS, with their value, on a handshake.
    pub sends: &'static [(&'static str, &'static str)],
    /// What it does not send on a handshake though people expect it, and when it would.
    pub not_sent: &'static [(&'static str, &'static str)],
    /// Where that is documented.
    pub source: &'static str,
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
    /// Where it is declared.
    pub declared: Option<Span>,
}

impl EdgeChain {
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

    /// The headers that tell the first proxy that the client used TLS.
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

    /// The names in messages, outermost first: `CloudFront, then AWS ALB`.
    pub fn title(&self) -> String {
        let titles: Vec<_> = self.edges.iter().map(|edge| edge.title).collect();
        titles.join(", then ")
    }
}

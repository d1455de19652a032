//! Routes: places where WebSocket handshakes arrive, and the evidence for it.
//!
//! Without evidence a proxied location is plain HTTP, and nothing is said about it.

use crate::source::Span;

/// A path that well-known software uses for its sockets (`rules/endpoints.toml`).
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The path; with a trailing `/` everything below it counts too.
    pub path: &'static str,
    /// Who uses it.
    pub software: &'static str,
    /// Whether its clients begin with HTTP polling and upgrade later.
    pub polls_first: bool,
    /// Where its path is documented.
    pub source: &'static str,
}

/// Why we take a place for one where handshakes arrive, strongest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// `wslint.toml` or `--endpoint` declares it.
    Declared {
        /// The path or URL as declared.
        endpoint: String,
    },
    /// An application in the project routes sockets there.
    Application {
        /// The route's pattern.
        pattern: String,
        /// Where the application says so.
        span: Span,
    },
    /// The configuration itself handles the upgrade there.
    Intent {
        /// The line that shows it.
        span: Span,
    },
    /// It names the path of well-known software.
    WellKnown {
        /// Whose path it is.
        software: String,
        /// Where the path is named.
        span: Span,
    },
    /// Its upstream is named for sockets or for a server of sockets (`daphne`, `websocket`).
    UpstreamName {
        /// Where the name stands.
        span: Span,
    },
}

include!(concat!(env!("OUT_DIR"), "/endpoints.rs"));

/// All well-known endpoints.
pub fn endpoints() -> &'static [Endpoint] {
    ENDPOINTS
}

/// The well-known endpoint that `path`, as a configuration names it, stands for: the path
/// itself with or without a trailing slash, or something below it.
pub fn known_endpoint(path: &str) -> Option<&'static Endpoint> {
    let path = path.trim_end_matches('*');
    ENDPOINTS.iter().find(|endpoint| {
        let known = endpoint.path.trim_end_matches('/');
        path.strip_prefix(known)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

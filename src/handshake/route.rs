//! Routes: places where WebSocket handshakes arrive, and the evidence for it.
//!
//! Without evidence a proxied location is plain HTTP, and nothing is said about it.

use crate::source::Span;

/// A path that well-known software uses for its sockets (`rules/endpoints.toml`).
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The path.
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

impl Evidence {
    /// The place in the files that shows it, with words for a label there; `None` for a
    /// declaration.
    pub fn shown(&self) -> Option<(Span, String)> {
        let (span, words) = match self {
            Self::Declared { .. } => return None,
            Self::Application { span, .. } => {
                (span, "the application serves WebSockets there".to_owned())
            }
            Self::Intent { span } => (span, "this shows that WebSockets are expected".to_owned()),
            Self::WellKnown { software, span } => {
                let words = match software.strip_prefix("the usual") {
                    Some(rest) => format!("the usual{rest}"),
                    None => format!("the endpoint of {software}"),
                };
                (span, words)
            }
            Self::UpstreamName { span } => (span, "a server of WebSockets, by its name".to_owned()),
        };
        Some((*span, words))
    }

    /// Whether a route of an application in the project shows it.
    pub fn is_applications(&self) -> bool {
        matches!(self, Self::Application { .. })
    }

    /// Whether it is the path of one piece of software, and not one that many things are called.
    pub fn is_of_software(&self) -> bool {
        matches!(self, Self::WellKnown { software, .. } if !software.starts_with("the usual"))
    }
}

include!(concat!(env!("OUT_DIR"), "/endpoints.rs"));

/// All well-known endpoints.
pub fn endpoints() -> &'static [Endpoint] {
    ENDPOINTS
}

/// The well-known endpoint that `path`, as a configuration names it, stands for: the path
/// itself with or without a trailing slash, or something below it that is neither a file nor
/// one of the plain-HTTP [companions](is_companion) of sockets.
pub fn known_endpoint(path: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| {
        endpoint
            .below(path)
            .is_some_and(|rest| !is_plain_http(rest))
    })
}

impl Endpoint {
    /// What `path` has beyond this endpoint, empty for the endpoint itself; `None` if it lies
    /// elsewhere.
    pub fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path
            .trim_end_matches('*')
            .strip_prefix(self.path.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_matches('/'))
    }
}

/// Whether a name is one that plain HTTP beside sockets goes by (`health`, `static`, `admin`).
pub fn is_companion(name: &str) -> bool {
    COMPANIONS
        .iter()
        .any(|companion| name.eq_ignore_ascii_case(companion))
}

/// Whether a path is that of a file or has a [companion](is_companion) among its segments.
pub fn is_plain_http(path: &str) -> bool {
    let path = path.trim_end_matches('*');
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let file = !path.ends_with('/')
        && segments
            .clone()
            .next_back()
            .is_some_and(|last| last.contains('.'));
    file || segments.any(is_companion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_an_endpoint_are_none() {
        for (path, known) in [
            ("/ws", true),
            ("/ws/", true),
            ("/ws*", true),
            ("/ws/*", true),
            ("/ws/chat/", true),
            ("/socket.io", true),
            ("/socket.io/", true),
            ("/socket.io/x", true),
            ("/api/websocket", true),
            ("/wsdl", false),
            ("/ws-docs/", false),
            ("/ws/index.html", false),
            ("/socket.io/socket.io.js", false),
            ("/notifications/hub", true),
            ("/notifications/hub/negotiate", false),
            ("/sockjs/iframe", false),
            ("/ws/v1/Health/", false),
            ("/ws/rest/*", false),
            ("/ws/admin/chat", false),
        ] {
            assert_eq!(known_endpoint(path).is_some(), known, "{path}");
        }
    }
}

//! What is traced: a WebSocket URL, or a path that is asked of every server.

use std::fmt;

/// A URL or a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it was given.
    pub text: String,
    /// What a URL has before its path; `None` for a path alone.
    pub origin: Option<Origin>,
    /// The path with its query, from `/`.
    pub path: String,
}

/// Scheme, host and port of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whether it is `wss`.
    pub tls: bool,
    /// Lower case, without port.
    pub host: String,
    /// The port, if it is written.
    pub port: Option<u16>,
}

impl Target {
    /// Reads `wss://host[:port]/path` or `/path`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is neither a URL (`wss://example.com/ws/`) nor a path (`/ws/`): a browser could open no WebSocket there"
            )
        };
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong());
        }
        // A browser sends no fragment.
        let sent = text.split('#').next().unwrap_or_default();
        if sent.starts_with('/') {
            return Ok(Self {
                text: text.to_owned(),
                origin: None,
                path: sent.to_owned(),
            });
        }
        let (scheme, rest) = sent.split_once("://").ok_or_else(wrong)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "wss" => true,
            "ws" => false,
            "http" | "https" => {
                let right = if scheme.eq_ignore_ascii_case("http") {
                    "ws"
                } else {
                    "wss"
                };
                return Err(format!(
                    "`{text}` is no WebSocket URL; did you mean `{right}://{rest}`?"
                ));
            }
            _ => return Err(wrong()),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address stand in brackets.
            Some((host, port)) if !port.contains(']') => {
                let port: u16 = port.parse().map_err(|_| wrong())?;
                (host, Some(port))
            }
            _ => (authority, None),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        let path = match path {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        };
        Ok(Self {
            text: text.to_owned(),
            origin: Some(Origin {
                tls,
                host: host.to_ascii_lowercase(),
                port,
            }),
            path,
        })
    }
}

impl Origin {
    /// The port that a browser connects to.
    pub fn connects(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_an_origin_and_a_path() {
        for (text, tls, host, port, path) in [
            (
                "wss://A.example/ws/?a=1#x",
                true,
                "a.example",
                None,
                "/ws/?a=1",
            ),
            ("ws://[::1]:8000", false, "[::1]", Some(8000), "/"),
            ("ws://u:p@a?x", false, "a", None, "/?x"),
        ] {
            let target = Target::parse(text).expect(text);
            let origin = target.origin.expect("a URL");
            assert_eq!(
                (
                    origin.tls,
                    origin.host.as_str(),
                    origin.port,
                    target.path.as_str()
                ),
                (tls, host, port, path)
            );
        }
        assert_eq!(Target::parse("/ws").expect("a path").origin, None);
    }

    #[test]
    fn what_no_browser_opens_is_refused() {
        for text in [
            "ws",
            "ftp://a/",
            "wss:///ws",
            "ws://a:b/",
            "ws://a:70000/",
            "/a b",
            "",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
        let error = Target::parse("https://a/ws").expect_err("no WebSocket URL");
        assert!(error.ends_with("did you mean `wss://a/ws`?"), "{error}");
    }
}

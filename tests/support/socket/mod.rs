//! Both ends of a WebSocket: the browsers, the strict server, and what they say to each other.
#![allow(dead_code, reason = "each test program uses its own part")]

pub(crate) mod client;
pub(crate) mod frame;
pub(crate) mod message;
pub(crate) mod upstream;

use serde::{Deserialize, Serialize};

/// A handshake as one browser sends it, and its answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) browser: String,
    /// None where the connection was refused, closed or silent.
    pub(crate) status: Option<u16>,
    /// Where a redirect points.
    pub(crate) location: Option<String>,
    /// Whether a browser would hold an open socket: a 101 that it accepts, and an echo.
    pub(crate) opens: bool,
    /// What went wrong, where the status does not say it.
    pub(crate) note: String,
}

impl Attempt {
    /// In one line.
    pub(crate) fn describe(&self) -> String {
        let status = self
            .status
            .map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let mut line = format!("{}: {status}", self.browser);
        if let Some(location) = &self.location {
            line += &format!(" to {location}");
        }
        if self.opens {
            line += ", echo received";
        }
        if !self.note.is_empty() {
            line += &format!(" ({})", self.note);
        }
        line
    }
}

/// A URL in its parts.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query.
    pub(crate) target: String,
}

impl Url {
    /// Reads `ws://host[:port][/target]`.
    pub(crate) fn read(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or(format!("{url}: no scheme"))?;
        let tls = match scheme {
            "ws" => false,
            "wss" => true,
            _ => return Err(format!("{url}: write ws:// or wss://")),
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| format!("{url}: bad port"))?),
            None => (authority, if tls { 443 } else { 80 }),
        };
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            target: if target.starts_with('/') {
                target.to_owned()
            } else {
                format!("/{target}")
            },
        })
    }

    /// What a browser writes into `Host` and, after the scheme, into `Origin`.
    pub(crate) fn authority(&self) -> String {
        if self.port == if self.tls { 443 } else { 80 } {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

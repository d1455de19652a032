//! Site addresses, and what automatic HTTPS makes of them.

use std::sync::Arc;

use super::environment::{By, Variable};
use super::expand::Word;
use crate::source::Span;

/// One address of a site.
#[derive(Clone, Debug)]
pub struct Address {
    /// As written, after expansion.
    pub text: String,
    /// Where it stands.
    pub span: Span,
    /// `http`, `https` or none.
    pub scheme: Option<String>,
    /// Lower case, without brackets; empty for every host.
    pub host: String,
    /// As written.
    pub port: Option<u16>,
    /// From `/`; empty without one.
    pub path: String,
    /// The environment or a template decides a part of it.
    pub unknown: bool,
    /// The variable that gives a part of it.
    pub variable: Option<Arc<Variable>>,
}

impl Address {
    /// Reads an address (caddyconfig/httpcaddyfile/addresses.go, `ParseAddress`).
    pub fn parse(word: &Word) -> Self {
        let text = word.text.trim_end_matches(',').to_owned();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, text.as_str()),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (host, port, odd) = split_port(authority);
        Self {
            scheme,
            host: host.trim_matches(['[', ']']).to_ascii_lowercase(),
            port,
            path: path.to_owned(),
            span: word.span,
            unknown: word.unknown.is_some() || odd || text.contains(['{', '}']),
            variable: word.variable.clone(),
            text,
        }
    }

    /// The variable that may make it another one: no file says that it is set, or to what.
    pub fn varies(&self) -> Option<&Variable> {
        let variable = self.variable.as_deref();
        variable.filter(|variable| !matches!(variable.by, By::Deployment(_)))
    }

    /// The port that it listens on.
    pub fn listens(&self, options: &Ports) -> u16 {
        match (self.port, self.scheme.as_deref()) {
            (Some(port), _) => port,
            (None, Some("http" | "ws")) => options.http,
            (None, _) => options.https,
        }
    }

    /// Whether Caddy serves it over TLS: whatever is not on the HTTP port and has either a host
    /// name or the HTTPS port (modules/caddyhttp/autohttps.go, phase 1).
    pub fn is_tls(&self, options: &Ports) -> bool {
        let port = self.listens(options);
        if port == options.http || matches!(self.scheme.as_deref(), Some("http" | "ws")) {
            return false;
        }
        self.scheme.as_deref() == Some("https") || port == options.https || !self.host.is_empty()
    }

    /// Whether it takes requests for `host`: by name, by wildcard or because it takes all.
    pub fn takes(&self, host: &str) -> bool {
        self.host.is_empty() || host_matches(&self.host, host)
    }

    /// Whether it is a name that other machines can know, so that traffic from outside reaches it.
    pub fn is_public(&self) -> bool {
        is_public_name(self.host.trim_start_matches("*."))
    }
}

/// Host and port of `authority`; whether the port is no number.
pub(super) fn split_port(authority: &str) -> (&str, Option<u16>, bool) {
    match authority.rsplit_once(':') {
        // An IPv6 address without brackets has no port.
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => (authority, None, false),
        Some((host, "")) => (host, None, false),
        Some((host, port)) => (host, port.parse().ok(), port.parse::<u16>().is_err()),
        None => (authority, None, false),
    }
}

/// The ports that stand for `http` and `https` here.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// `http_port`.
    pub http: u16,
    /// `https_port`.
    pub https: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            http: 80,
            https: 443,
        }
    }
}

/// Whether `pattern`, a name whose labels may be `*`, matches `host`
/// (modules/caddyhttp/matchers.go, `MatchHost`).
pub(super) fn host_matches(pattern: &str, host: &str) -> bool {
    let mut pattern = pattern.split('.');
    let mut host = host.split('.');
    loop {
        match (pattern.next(), host.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == "*" || a.eq_ignore_ascii_case(b) => {}
            _ => return false,
        }
    }
}

/// Suffixes of names that only a private network resolves.
const PRIVATE_SUFFIXES: &[&str] = &[
    "localhost",
    "flycast",
    "ts.net",
    "nip.io",
    "sslip.io",
    "local",
    "internal",
    "lan",
    "home",
    "home.arpa",
    "corp",
    "intranet",
    "private",
    "svc",
    "cluster",
    "docker",
    "consul",
    "test",
    "invalid",
    "onion",
    "localdomain",
    "mesh",
    "pod",
    // Load balancers and instances of AWS that commonly speak plain HTTP by design.
    "amazonaws.com",
];

/// Whether a host is a public DNS name: dotted, no address, no private suffix.
pub(super) fn is_public_name(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let private = PRIVATE_SUFFIXES.iter().any(|suffix| {
        host.strip_suffix(suffix)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    host.contains('.')
        && !private
        && host.parse::<std::net::IpAddr>().is_err()
        && !host.contains(['{', '}', '*', '/', '_', '$', '%'])
        // A last label of digits is an address, or half of one.
        && host.rsplit('.').next().is_some_and(|tld| tld.len() > 1 && tld.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceId;
    use crate::syntax::Quote;

    fn address(text: &str) -> Address {
        Address::parse(&Word {
            text: text.to_owned(),
            quote: Quote::None,
            span: Span::new(SourceId(0), 0..text.len()),
            unknown: None,
            variable: None,
        })
    }

    #[test]
    fn automatic_https_depends_on_scheme_host_and_port() {
        for (text, tls, port) in [
            ("app.test", true, 443),
            ("https://app.test", true, 443),
            ("*.app.test", true, 443),
            ("localhost", true, 443),
            ("127.0.0.1", true, 443),
            ("app.test:8443", true, 8443),
            (":443", true, 443),
            ("http://app.test", false, 80),
            ("app.test:80", false, 80),
            (":80", false, 80),
            (":8080", false, 8080),
            ("http://:8080", false, 8080),
            ("http://app.test:8080", false, 8080),
        ] {
            let address = address(text);
            let ports = Ports::default();
            assert_eq!(
                (address.is_tls(&ports), address.listens(&ports)),
                (tls, port),
                "{text}"
            );
        }
    }

    #[test]
    fn names_are_public_or_not() {
        for host in ["inscribe-1.example.com", "example.ws"] {
            assert!(is_public_name(host), "{host}");
        }
        for host in [
            "app",
            "127.0.0.1",
            "app.internal",
            "api.default.svc.cluster.local",
            "::1",
            "host.docker.internal",
        ] {
            assert!(!is_public_name(host), "{host}");
        }
    }

    #[test]
    fn wildcards_stand_for_one_label() {
        assert!(host_matches("*.example.com", "a.example.com"));
        assert!(!host_matches("*.example.com", "a.b.example.com"));
        assert!(!host_matches("*.example.com", "example.com"));
    }
}

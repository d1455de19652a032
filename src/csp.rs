//! Content-Security-Policy: whether a page under a policy may open its site's own WebSocket.
//!
//! As browsers match a request of the scheme `ws` or `wss` (CSP Level 3, 6.7.2.8, "Does url match
//! expression in origin with redirect count?"); every case of the tests was measured in Chromium.
//! What nginx, Caddy and Django rules ask is [`Policy::judge`].

/// Why a policy keeps a page from its site's own WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked<'a> {
    /// `'none'`, or no source at all.
    Everything {
        /// The directive that says it: `connect-src` or `default-src`.
        directive: &'a str,
    },
    /// No source matches; `sources` are those that are written.
    NoSource {
        /// The directive that lists them.
        directive: &'a str,
        /// The list as it is written.
        sources: &'a str,
    },
}

impl<'a> Blocked<'a> {
    /// The directive that decides.
    pub const fn directive(self) -> &'a str {
        match self {
            Self::Everything { directive } | Self::NoSource { directive, .. } => directive,
        }
    }

    /// Why no source matches, for a person who thought that one did.
    pub fn why(self) -> &'static str {
        let Self::NoSource { sources, .. } = self else {
            return "it allows no connection at all";
        };
        let any = |test: &dyn Fn(&str) -> bool| sources.split_ascii_whitespace().any(test);
        if any(&|source| source.eq_ignore_ascii_case("self")) {
            "without its quotes, `self` is a host of that name: write `'self'`"
        } else if any(&|source| {
            let source = source.to_ascii_lowercase();
            source.starts_with("https:") || source.starts_with("http:")
        }) {
            "a source with `https:` never matches a wss:// URL, nor `http:` a ws:// URL"
        } else if any(&|source| matches!(source, "ws" | "wss")) {
            "without its colon, `wss` is a host of that name: write `wss:`"
        } else if any(&|source| !source.contains(':') && source.contains('.')) {
            "a host without a scheme stands for the page's own scheme, https, and does not match a wss:// URL"
        } else {
            "none of its sources matches the WebSocket's URL"
        }
    }
}

/// One policy: the value of one header line.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    text: &'a str,
}

/// The site whose page opens the socket.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Whether the page came over https, so that it opens `wss://`.
    pub tls: bool,
    /// Its host; `None` where the configuration does not say it, so that a source which names
    /// some host may well be its own.
    pub host: Option<&'a str>,
    /// Its port.
    pub port: u16,
    /// The path of the socket, where it is known.
    pub path: Option<&'a str>,
}

impl<'a> Policy<'a> {
    /// The policy in a header's value.
    pub const fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// Why a page of `site` under this policy can't open a WebSocket to that same site; `None` if
    /// it can, or if that is not certain.
    pub fn judge(self, site: Site<'_>) -> Option<Blocked<'a>> {
        // Policies in one value are separated by commas, and each of them must allow it.
        self.text
            .split(',')
            .find_map(|policy| judge_one(policy, site))
    }
}

fn judge_one<'a>(policy: &'a str, site: Site<'_>) -> Option<Blocked<'a>> {
    let directives = || {
        policy
            .split(';')
            .map(split)
            .filter(|(name, _)| !name.is_empty())
    };
    let named = |wanted: &str| {
        // Of several directives of one name, the first counts.
        directives().find(|(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    let fetched_by = |wanted| named(wanted).or_else(|| named("default-src"));
    let (directive, sources) = fetched_by("connect-src")?;
    // Where no script may run, no page opens a socket: the policy of an API, whose sockets the
    // pages of another site open.
    if named("connect-src").is_none()
        && ["script-src", "script-src-elem"]
            .map(fetched_by)
            .iter()
            .flatten()
            .all(|(_, sources)| is_nothing(sources))
    {
        return None;
    }
    let mut expressions = sources.split_ascii_whitespace();
    if is_nothing(sources) {
        return Some(Blocked::Everything { directive });
    }
    if expressions.any(|source| may_match(source, site)) {
        return None;
    }
    Some(Blocked::NoSource { directive, sources })
}

/// Whether a list of sources allows nothing.
fn is_nothing(sources: &str) -> bool {
    sources.is_empty() || sources.eq_ignore_ascii_case("'none'")
}

fn split(directive: &str) -> (&str, &str) {
    let directive = directive.trim_matches(|c: char| c.is_ascii_whitespace());
    directive
        .split_once(|c: char| c.is_ascii_whitespace())
        .map_or((directive, ""), |(name, rest)| (name, rest.trim_ascii()))
}

/// Whether a source expression may match the site's own socket.
fn may_match(source: &str, site: Site<'_>) -> bool {
    // A placeholder of the configuration, whose text nobody knows.
    if source.contains(['$', '{', '%', '<']) {
        return true;
    }
    let source = source.to_ascii_lowercase();
    if source.starts_with('\'') {
        return source == "'self'";
    }
    if source == "*" {
        return true;
    }
    let (scheme, rest) = match source.split_once(':') {
        // `wss:`, or `wss://…`; `host:443` has a port there.
        Some((scheme, "")) => (Some(scheme), None),
        Some((scheme, rest)) if rest.starts_with("//") => (Some(scheme), Some(&rest[2..])),
        _ => (None, Some(source.as_str())),
    };
    // `ws` stands for both, `wss` for itself; a source without a scheme has the page's own, and
    // `http` or `https` never match `ws` or `wss`.
    let fits = match scheme {
        Some("ws") => true,
        Some("wss") => site.tls,
        _ => false,
    };
    let Some(rest) = rest.filter(|_| fits) else {
        return fits;
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let default = if scheme == Some("wss") || site.tls {
        443
    } else {
        80
    };
    let port_fits = match port {
        Some("*") => true,
        // `ws:` is upgraded to `wss:` at the default ports only.
        Some(port) if scheme == Some("ws") && site.tls => {
            matches!(port, "80" | "443") && site.port == 443
        }
        Some(port) => port.parse() == Ok(site.port),
        None if scheme == Some("ws") && site.tls => matches!(site.port, 80 | 443),
        None => site.port == default,
    };
    let host_fits = match site.host {
        None => true,
        Some(own) => match host.strip_prefix('*') {
            Some("") => true,
            Some(suffix) => own.ends_with(suffix) && own.len() > suffix.len(),
            None => host == own,
        },
    };
    let path_fits = match site.path {
        _ if path.is_empty() || path == "/" => true,
        None => true,
        Some(own) if path.ends_with('/') => own.to_ascii_lowercase().starts_with(path),
        Some(own) => own.eq_ignore_ascii_case(path),
    };
    port_fits && host_fits && path_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(tls: bool, policy: &str) -> bool {
        let site = Site {
            tls,
            host: Some("app.test"),
            port: if tls { 443 } else { 80 },
            path: Some("/ws"),
        };
        Policy::new(policy).judge(site).is_none()
    }

    #[test]
    fn a_sites_own_socket_matches_as_in_chromium() {
        for (policy, allowed) in [
            ("", true),
            ("script-src 'self'", true),
            ("connect-src 'self'", true),
            ("default-src 'self' 'unsafe-inline'", true),
            ("DEFAULT-SRC 'SELF'", true),
            ("connect-src *", true),
            ("connect-src ws:", true),
            ("connect-src wss:", true),
            ("connect-src wss://app.test", true),
            ("connect-src wss://app.test/", true),
            ("connect-src wss://app.test/ws", true),
            ("connect-src wss://*:*", true),
            ("connect-src wss://*.test", true),
            ("default-src 'none'; connect-src 'self'", true),
            ("connect-src 'self'; connect-src 'none'", true),
            ("upgrade-insecure-requests", true),
            ("connect-src wss://$host", true),
            ("default-src 'none'", true),
            ("default-src 'none'; frame-ancestors 'none'", true),
            ("connect-src", false),
            ("connect-src 'none'", false),
            ("default-src 'none'; script-src 'self'", false),
            ("connect-src https:", false),
            ("default-src https: data: 'unsafe-inline'", false),
            ("connect-src https://app.test", false),
            ("connect-src app.test", false),
            ("connect-src app.test:*", false),
            ("connect-src self", false),
            ("connect-src wss", false),
            ("connect-src wss://other.test", false),
            ("connect-src wss://app.test:8443", false),
            ("connect-src ws://app.test:8443", false),
            ("connect-src wss://app.test/ws/", false),
            ("connect-src 'self', connect-src 'none'", false),
        ] {
            assert_eq!(opens(true, policy), allowed, "{policy}");
        }
        for (policy, allowed) in [
            ("connect-src 'self'", true),
            ("connect-src ws:", true),
            ("connect-src wss:", false),
            ("connect-src http:", false),
            ("connect-src http://app.test", false),
            ("connect-src ws://app.test", true),
        ] {
            assert_eq!(opens(false, policy), allowed, "{policy}");
        }
    }

    #[test]
    fn an_unknown_host_may_be_the_one_that_is_named() {
        let site = Site {
            tls: true,
            host: None,
            port: 443,
            path: None,
        };
        assert_eq!(Policy::new("connect-src wss://a.test").judge(site), None);
        let blocked = Policy::new("connect-src https://a.test 'unsafe-eval'").judge(site);
        assert_eq!(blocked.map(Blocked::directive), Some("connect-src"));
        assert!(blocked.is_some_and(|blocked| blocked.why().contains("never matches")));
        assert_eq!(
            Policy::new("default-src 'none'; script-src 'self'").judge(site),
            Some(Blocked::Everything {
                directive: "default-src"
            })
        );
    }
}

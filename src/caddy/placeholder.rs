//! Placeholders: what Caddy 2 replaces when a request passes, and what it leaves as text.

use std::collections::HashSet;

/// Shorthands that a Caddyfile may use (caddyconfig/httpcaddyfile/shorthands.go).
const SHORTHANDS: &[&str] = &[
    "host",
    "hostport",
    "port",
    "orig_method",
    "orig_uri",
    "orig_path",
    "orig_dir",
    "orig_file",
    "orig_query",
    "orig_?query",
    "method",
    "uri",
    "%uri",
    "path",
    "%path",
    "dir",
    "file",
    "query",
    "%query",
    "?query",
    "remote",
    "remote_host",
    "remote_port",
    "scheme",
    "uuid",
    "tls_cipher",
    "tls_version",
    "tls_client_fingerprint",
    "tls_client_issuer",
    "tls_client_serial",
    "tls_client_subject",
    "tls_client_certificate_pem",
    "tls_client_certificate_der_base64",
    "upstream_hostport",
    "client_ip",
];

/// What follows `http.` in a placeholder of Caddy's own.
const HTTP: &[&str] = &[
    "request",
    "reverse_proxy",
    "vars",
    "regexp",
    "error",
    "auth",
    "matchers",
    "intercept",
    "response",
    "handlers",
    "shutting_down",
    "time_until_shutdown",
    "precompressed",
];

/// What one placeholder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placeholder<'a> {
    /// The client's header of that name.
    Header(&'a str),
    /// Something that the request or the environment decides.
    Something,
    /// Nothing that Caddy 2 knows: it stays in the text.
    Unknown,
}

/// A value cut into text and placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Text(&'a str),
    /// With its braces, for messages.
    Placeholder(&'a str, Placeholder<'a>),
}

/// Cuts `value`; `defined` are the names that a `map` of the site defines.
pub(super) fn parts<'a>(value: &'a str, defined: &HashSet<String>) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let mut rest = value;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}').map(|at| open + at) else {
            break;
        };
        if open > 0 {
            parts.push(Part::Text(&rest[..open]));
        }
        let key = &rest[open + 1..close];
        parts.push(Part::Placeholder(
            &rest[open..=close],
            classify(key, defined),
        ));
        rest = &rest[close + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

fn classify<'a>(key: &'a str, defined: &HashSet<String>) -> Placeholder<'a> {
    if let Some(name) = key
        .strip_prefix("http.request.header.")
        .or_else(|| key.strip_prefix("header."))
    {
        return Placeholder::Header(name);
    }
    if SHORTHANDS.contains(&key) || defined.contains(key) || key.starts_with("args") {
        return Placeholder::Something;
    }
    let Some((first, rest)) = key.split_once('.') else {
        // Every placeholder of Caddy's and of its plugins has a namespace and a dot. `{>Name}` is
        // Caddy 1; `{connection}` never was one.
        return Placeholder::Unknown;
    };
    if first.starts_with(['>', '<', '~', '{', '$']) {
        return Placeholder::Unknown;
    }
    let second = rest.split('.').next().unwrap_or_default();
    if first == "http" && !HTTP.contains(&second) && is_header_name(second) {
        return Placeholder::Unknown;
    }
    Placeholder::Something
}

/// A header's name where Caddy has none: `{http.upgrade}`.
fn is_header_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(
        name.as_str(),
        "upgrade" | "connection" | "header" | "headers"
    ) || name.starts_with("sec-websocket")
}

/// An nginx variable, which Caddy takes for plain text: `$http_upgrade`.
pub(super) fn nginx_variable(text: &str) -> Option<&str> {
    let at = text.find('$')?;
    let name: &str = &text[at..];
    let end = name[1..]
        .find(|c: char| !c.is_ascii_lowercase() && c != '_')
        .map_or(name.len(), |end| end + 1);
    matches!(
        &name[..end],
        "$http_upgrade" | "$connection_upgrade" | "$http_connection" | "$upgrade" | "$connection"
    )
    .then(|| &name[..end])
}

/// An environment variable that is really one of nginx's: `{$connection_upgrade}`.
pub(super) fn nginx_environment(unknown: &str) -> bool {
    unknown.rsplit(' ').next().is_some_and(|name| {
        matches!(
            name,
            "http_upgrade" | "connection_upgrade" | "http_connection"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_known_or_stay() {
        let none = HashSet::new();
        for (text, expected) in [
            ("{>Connection}", Placeholder::Unknown),
            ("{connection}", Placeholder::Unknown),
            ("{http.upgrade}", Placeholder::Unknown),
            (
                "{http.request.header.Connection}",
                Placeholder::Header("Connection"),
            ),
            ("{header.connection}", Placeholder::Header("connection")),
            ("{host}", Placeholder::Something),
            ("{http.vars.x}", Placeholder::Something),
            ("{geoip2.country}", Placeholder::Something),
            ("{env.X}", Placeholder::Something),
        ] {
            assert_eq!(
                parts(text, &none),
                [Part::Placeholder(text, expected)],
                "{text}"
            );
        }
        let defined = HashSet::from(["mine".to_owned()]);
        assert_eq!(
            parts("{mine}", &defined),
            [Part::Placeholder("{mine}", Placeholder::Something)]
        );
        assert_eq!(nginx_variable("$http_upgrade"), Some("$http_upgrade"));
        assert_eq!(nginx_variable("5$"), None);
    }
}

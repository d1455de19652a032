//! What in a Caddyfile shows that a proxy is for sockets.

use std::collections::HashSet;

use super::ANY_PATH;
use crate::caddy::expand::Word;
use crate::caddy::handler::Handler;
use crate::caddy::matcher::Test;
use crate::caddy::proxy::{HeaderLine, Proxy};
use crate::handshake::{Endpoint, Evidence, endpoints, known_endpoint};
use crate::source::Span;

/// The strongest evidence in the configuration itself.
pub(super) fn evidence(
    chain: &[&Handler],
    proxy: &Proxy,
    shared: &HashSet<Span>,
) -> Option<Evidence> {
    let about_this = |line: &&HeaderLine| takes_every_path(chain) || !shared.contains(&line.span);
    let intent = chain
        .iter()
        .find_map(|handler| intent(handler))
        .or_else(|| {
            proxy
                .header_up
                .iter()
                .filter(about_this)
                .find(|line| means_upgrade(line))
                .map(|line| line.span)
        });
    if let Some(span) = intent {
        return Some(Evidence::Intent { span });
    }
    let paths = chain.iter().flat_map(|handler| handler.matcher.paths());
    if let Some((endpoint, span)) = paths
        .filter_map(|pattern| Some((known_endpoint(pattern.known()?)?, pattern.span)))
        .next()
        .or_else(|| named_by_regexp(chain))
    {
        return Some(Evidence::WellKnown {
            software: endpoint.software.to_owned(),
            span,
        });
    }
    proxy
        .upstreams
        .iter()
        .find(|upstream| {
            let host = upstream.host.as_deref();
            host.is_some_and(|host| names_sockets_host(host, takes_every_path(chain)))
        })
        .map(|upstream| Evidence::UpstreamName {
            span: upstream.span,
        })
}

/// The well-known endpoint that a `path_regexp` on the way names, and nothing but such.
fn named_by_regexp(chain: &[&Handler]) -> Option<(&'static Endpoint, Span)> {
    sample_of_regexp(chain).map(|(endpoint, _, span)| (endpoint, span))
}

/// The same, with a path that it takes.
fn sample_of_regexp(chain: &[&Handler]) -> Option<(&'static Endpoint, String, Span)> {
    chain.iter().find_map(|handler| {
        let regex = handler.matcher.tests.iter().find_map(|test| match test {
            Test::PathRegexp(regex) => regex.as_ref(),
            _ => None,
        })?;
        let broad = ["/", "/index.html", "/api/users"]
            .iter()
            .any(|path| regex.of.is_match(path));
        if broad {
            return None;
        }
        let (endpoint, path) = endpoints().iter().find_map(|endpoint| {
            let below = endpoint.path.trim_end_matches('/');
            [
                endpoint.path.to_owned(),
                format!("{below}/"),
                format!("{below}/x"),
            ]
            .into_iter()
            .find(|path| regex.of.is_match(path))
            .map(|path| (endpoint, path))
        })?;
        Some((endpoint, path, handler.matcher.place()?))
    })
}

/// Whether a matcher is one for sockets: by what it looks at, or by its name.
fn intent(handler: &Handler) -> Option<Span> {
    let matcher = &handler.matcher;
    let looks = matcher.tests.iter().any(|test| match test {
        Test::Header(field, values) => is_upgrade_field(field) && !values.is_empty(),
        Test::HeaderRegexp(field, _) => is_upgrade_field(field),
        Test::Protocol(name) => matches!(name.as_str(), "ws" | "wss" | "websocket"),
        Test::Open(text) => {
            let text = text.to_ascii_lowercase();
            !text.contains('!')
                && (text.contains("upgrade") && text.contains("websocket")
                    || names_sockets(&text, SOCKET_NAMES))
        }
        _ => false,
    });
    let named = matcher
        .name
        .as_deref()
        .is_some_and(|name| names_sockets(name, SOCKET_NAMES));
    (looks || named).then(|| matcher.place()).flatten()
}

fn is_upgrade_field(field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    matches!(field.as_str(), "upgrade" | "connection" | ":protocol")
        || field.starts_with("sec-websocket-")
}

/// A `header_up` line that means to pass an upgrade on. One that empties or closes the connection
/// is none: on a plain route that is right.
fn means_upgrade(line: &HeaderLine) -> bool {
    let Some(word) = line.word() else {
        return false;
    };
    let field = line.field.to_ascii_lowercase();
    let value = word.text.to_ascii_lowercase();
    match field.as_str() {
        "connection" => {
            value.contains("upgrade")
                || value.contains("connection}")
                || value.contains("$http_connection")
        }
        "upgrade" => value.contains("upgrade") || value.contains("websocket"),
        "sec-websocket-key" | "sec-websocket-version" => true,
        _ => false,
    }
}

/// Parts of names that say so.
const SOCKET_NAMES: &[&str] = &["ws", "wss", "websocket", "websockets", "socketio", "sockjs"];

/// Servers of sockets that serve pages as well.
const SOCKET_SERVERS: &[&str] = &["daphne"];

/// Whether a name has a part that says so: `ws`, `websockets`, but not `news` or `not_ws`.
fn names_sockets(name: &str, parts: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    let own = || name.split(|c: char| !c.is_ascii_alphanumeric());
    let negated = own().any(|part| matches!(part, "not" | "no" | "non" | "without" | "except"));
    !negated && own().any(|part| parts.contains(&part))
}

/// The same of an upstream's host, whose last label is a domain (`.ws` is one). What also serves
/// pages is named for its sockets only where it gets everything.
fn names_sockets_host(host: &str, everything: bool) -> bool {
    let host = host.rsplit_once('.').map_or(host, |(host, _)| host);
    names_sockets(host, SOCKET_NAMES) || everything && names_sockets(host, SOCKET_SERVERS)
}

/// Whether no matcher on the way names a path.
fn takes_every_path(chain: &[&Handler]) -> bool {
    let names = |word: &Word| !matches!(word.text.as_str(), "*" | "/*");
    chain
        .iter()
        .all(|handler| !handler.matcher.paths().any(names))
}

/// Paths that a client asks for to get there, by the innermost matcher that names any.
pub(super) fn sample_paths(chain: &[&Handler]) -> Vec<String> {
    let mut paths: Vec<String> = chain
        .iter()
        .map(|handler| {
            handler
                .matcher
                .paths()
                .filter_map(|word| sample(word.known()?))
                .collect::<Vec<_>>()
        })
        .find(|paths| !paths.is_empty())
        .unwrap_or_default();
    // The names of well-known endpoints are what the evidence is about, if there are others too.
    if paths.iter().any(|path| known_endpoint(path).is_some()) {
        paths.retain(|path| known_endpoint(path).is_some());
    }
    paths.truncate(8);
    if paths.is_empty()
        && let Some((_, path, _)) = sample_of_regexp(chain)
    {
        paths.push(path);
    }
    if paths.is_empty() && takes_every_path(chain) {
        paths.push(ANY_PATH.to_owned());
    }
    paths
}

/// A path that `pattern` takes: `/ws` for `/ws*`, `/ws/` for `/ws/*`, `/x/ws` for `*/ws`.
pub(super) fn sample(pattern: &str) -> Option<String> {
    if pattern.contains(['{', '?', '[']) || pattern == "*" || pattern == "/*" {
        return None;
    }
    let path = pattern.strip_suffix('*').unwrap_or(pattern);
    let path = match path.strip_prefix('*') {
        Some(rest) => format!("/x{rest}"),
        None => path.to_owned(),
    };
    Some(path.replace('*', "x"))
}

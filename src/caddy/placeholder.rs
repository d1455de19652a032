//! Placeholders: what Caddy 2 replaces when a request passes, and what it leaves as text.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use super::expand::Word;
use super::files::Folder;
use super::map::Map;
use crate::handshake::{Protocol, Request};
use crate::project::Version;

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

/// A request in a site, with what its handlers have found out about it so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    /// As it is now.
    pub(super) request: &'a Request,
    /// As the client sent it.
    pub(super) asked: &'a Request,
    /// Names that the site's `map`s define.
    pub(super) defined: &'a HashSet<String>,
    /// What `vars` and regular expressions left: `vars.x`, `re.name.1`; `None` where unknown.
    pub(super) found: &'a HashMap<String, Option<String>>,
    /// The `map`s that the request has passed, and whether it surely did; `None` where that is not
    /// known.
    pub(super) maps: Option<&'a [(Arc<Map>, bool)]>,
    /// How many `map`s depend on what is filled in.
    pub(super) behind: usize,
    /// The Caddy that runs it.
    pub(super) version: Version,
    /// The folders of the project that the site's roots mean.
    pub(super) folders: &'a HashMap<String, Folder>,
}

static NO_NAMES: LazyLock<HashSet<String>> = LazyLock::new(HashSet::new);
static NOTHING: LazyLock<HashMap<String, Option<String>>> = LazyLock::new(HashMap::new);
static NO_FOLDERS: LazyLock<HashMap<String, Folder>> = LazyLock::new(HashMap::new);

impl<'a> Scene<'a> {
    /// A request that no handler has seen yet.
    pub(super) fn bare(request: &'a Request) -> Self {
        Self {
            request,
            asked: request,
            defined: &NO_NAMES,
            found: &NOTHING,
            maps: None,
            behind: 0,
            version: super::CURRENT,
            folders: &NO_FOLDERS,
        }
    }

    /// The folder of the project that `root`, or else the site's, means.
    pub(super) fn folder(&self, root: Option<&Word>) -> Option<&'a Folder> {
        match root {
            Some(root) => self.folders.get(root.known()?),
            None => self.folders.get(self.found.get("vars.root")?.as_ref()?),
        }
    }

    /// What a placeholder stands for that a `map` of the site defines.
    fn mapped(&self, name: &str) -> Lookup {
        let Some(maps) = self.maps else {
            return Lookup::Open;
        };
        // The first one that knows it answers (replacer.go, Map).
        for (map, certain) in maps {
            match map.value(name, self) {
                None => {}
                Some(Some(value)) if *certain => return Lookup::Text(value),
                Some(_) => return Lookup::Open,
            }
        }
        Lookup::Unknown
    }
}

/// What a placeholder stands for in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// This text.
    Text(String),
    /// The circumstances decide.
    Open,
    /// Caddy knows no such placeholder.
    Unknown,
}

/// Replaces the placeholders of `text`; unknown ones with nothing, as `ReplaceAll` does. `None`
/// where the circumstances decide.
pub(super) fn fill(text: &str, scene: &Scene<'_>) -> Option<String> {
    if !text.contains('{') {
        return Some(text.to_owned());
    }
    let mut filled = String::with_capacity(text.len());
    for part in parts(text, scene.defined) {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Placeholder(written, kind) => match lookup(written, &kind, scene) {
                Lookup::Text(value) => filled.push_str(&value),
                Lookup::Open => return None,
                Lookup::Unknown => {}
            },
        }
    }
    Some(filled)
}

/// The value of one placeholder, given with its braces.
pub(super) fn lookup(written: &str, kind: &Placeholder<'_>, scene: &Scene<'_>) -> Lookup {
    let key = written.trim_start_matches('{').trim_end_matches('}');
    if *kind == Placeholder::Unknown {
        return Lookup::Unknown;
    }
    if scene.defined.contains(key) {
        return scene.mapped(key);
    }
    if let Placeholder::Header(name) = kind {
        let mut lines = scene.request.lines(name).peekable();
        if lines.peek().is_none() && !super::matcher::is_handshake_header(name) {
            return Lookup::Open;
        }
        let values: Option<Vec<&str>> = lines
            .map(|line| line.value.known().map(String::as_str))
            .collect();
        return values.map_or(Lookup::Open, |values| Lookup::Text(values.join(",")));
    }
    known(key, scene).map_or(Lookup::Open, Lookup::Text)
}

/// modules/caddyhttp/replacer.go, as far as a handshake decides it.
fn known(key: &str, scene: &Scene<'_>) -> Option<String> {
    let key = key.strip_prefix("http.request.").unwrap_or(key);
    let (request, key) = match key.strip_prefix("orig_") {
        Some(key) => (scene.asked, key),
        None => (scene.request, key),
    };
    let query = || request.query.clone().unwrap_or_default();
    let uri = || match &request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    };
    let default_port = if request.tls { 443 } else { 80 };
    let (folder, file) = request.path.rsplit_once('/').unwrap_or(("", &request.path));
    Some(match key {
        "host" if request.host.is_empty() => return None,
        "hostport" if request.host.is_empty() => return None,
        "host" => request.host.clone(),
        "hostport" if request.port == default_port => request.host.clone(),
        "hostport" => format!("{}:{}", request.host, request.port),
        "port" if request.port == default_port => String::new(),
        "port" => request.port.to_string(),
        "method" => request.method.clone(),
        "scheme" => (if request.tls { "https" } else { "http" }).to_owned(),
        "proto" => match request.protocol {
            Protocol::Http10 => "HTTP/1.0",
            Protocol::Http11 => "HTTP/1.1",
            Protocol::Http2 => "HTTP/2.0",
            Protocol::Http3 => "HTTP/3.0",
        }
        .to_owned(),
        "uri" => uri(),
        "path" | "uri.path" => request.path.clone(),
        "dir" | "uri.path.dir" => format!("{folder}/"),
        "file" | "uri.path.file" => file.to_owned(),
        "query" | "uri.query" => query(),
        "?query" | "uri.prefixed_query" => request
            .query
            .as_ref()
            .map(|query| format!("?{query}"))
            .unwrap_or_default(),
        _ => {
            if let Some(name) = key
                .strip_prefix("query.")
                .or_else(|| key.strip_prefix("uri.query."))
            {
                return value_of(&query(), name).or_else(|| Some(String::new()));
            }
            if let Some(index) = key
                .strip_prefix("path.")
                .or_else(|| key.strip_prefix("uri.path."))
            {
                let mut parts = request.path.trim_start_matches('/').split('/');
                return Some(
                    parts
                        .nth(index.parse().ok()?)
                        .unwrap_or_default()
                        .to_owned(),
                );
            }
            if let Some(index) = key
                .strip_prefix("labels.")
                .or_else(|| key.strip_prefix("host.labels."))
            {
                if request.host.is_empty() {
                    return None;
                }
                return Some(
                    request
                        .host
                        .rsplit('.')
                        .nth(index.parse().ok()?)
                        .unwrap_or_default()
                        .to_owned(),
                );
            }
            let key = key.strip_prefix("http.").unwrap_or(key);
            let key = key
                .strip_prefix("regexp.")
                .map_or_else(|| key.to_owned(), |key| format!("re.{key}"));
            let key = match key.as_str() {
                "matchers.file.relative" => "file_match.relative".to_owned(),
                "reverse_proxy.upstream.hostport" => "upstream_hostport".to_owned(),
                _ => key,
            };
            return match scene.found.get(&key) {
                Some(value) => value.clone(),
                // A variable that nothing set is empty.
                None if key.starts_with("vars.") || key.starts_with("re.") => Some(String::new()),
                None => None,
            };
        }
    })
}

/// The first value of `name` in a query.
pub(super) fn value_of(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| value.to_owned())
    })
}

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

//! Which origins and hosts Django and Channels let in.
//!
//! channels/security/websocket.py OriginValidator: an entry is `*`, a host (`.example.com` with
//! its subdomains), or an origin with scheme and perhaps port, compared part by part.
//! django/http/request.py validate_host: the same without schemes.

use super::data::{Data, certain};
use super::settings::Settings;

/// How the reason begins for which a validator refuses a handshake.
pub const REFUSED: &str = "lets in no page of the origin";

/// The entries of a list that is wholly known, with the bytes of each; with `defaults`, what the
/// environment may replace counts as well.
pub fn entries(data: &Data, defaults: bool) -> Option<Vec<(&str, crate::source::Span)>> {
    let Data::Sequence(list) = data else {
        return None;
    };
    if !list.complete {
        return None;
    }
    list.items
        .iter()
        .map(|item| {
            let item = certain(item).filter(|item| defaults || !item.is_default())?;
            Some((item.data.as_text()?, item.span))
        })
        .collect()
}

/// ALLOWED_HOSTS as Django reads it; `None` where the files do not say. With `defaults`, what the
/// environment may replace counts as well.
pub fn allowed_hosts(settings: &Settings, defaults: bool) -> Option<Vec<String>> {
    let setting = settings.get("ALLOWED_HOSTS");
    let value = setting.certain()?;
    if value.is_default() && !defaults {
        return None;
    }
    match hosts(settings, &value.data, defaults)?.as_slice() {
        [hosts] => Some(hosts.clone()),
        _ => None,
    }
}

/// What ALLOWED_HOSTS does with something, which `tell` says of a list of hosts; `None` where the
/// files do not say. A list of which a part is known decides where that is `enough`: what one
/// entry lets in, no later one keeps out.
pub fn allows<T: PartialEq>(
    settings: &Settings,
    tell: impl Fn(&[String]) -> T,
    enough: impl Fn(&T) -> bool,
) -> Option<T> {
    settings.get("ALLOWED_HOSTS").agreed(|value| {
        if let Some(lists) = hosts(settings, &value.data, true) {
            return agreed(lists.iter().map(|hosts| tell(hosts)));
        }
        let Data::Sequence(list) = &value.data else {
            return None;
        };
        let text = |item| Some(certain(item)?.data.as_text()?.to_owned());
        let known: Vec<String> = list.items.iter().map_while(|item| text(item)).collect();
        Some(tell(&known)).filter(&enough)
    })
}

/// What all of several answers are; `None` where they differ, or there is none.
pub fn agreed<T: PartialEq>(mut answers: impl Iterator<Item = T>) -> Option<T> {
    let first = answers.next()?;
    answers.all(|answer| answer == first).then_some(first)
}

/// The hosts in a value of ALLOWED_HOSTS; several lists where DEBUG decides and is not known.
fn hosts(settings: &Settings, value: &Data, defaults: bool) -> Option<Vec<Vec<String>>> {
    let hosts: Vec<String> = match value {
        Data::Absent => Vec::new(),
        data => entries(data, defaults)?
            .into_iter()
            .map(|(host, _)| host.to_owned())
            .collect(),
    };
    if !hosts.is_empty() {
        return Some(vec![hosts]);
    }
    // Without entries DEBUG decides (django/http/request.py, get_host).
    let local = || ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
    let debug = settings.get("DEBUG");
    let known = debug
        .certain()
        .filter(|debug| defaults || !debug.is_default());
    Some(match known.and_then(|debug| debug.data.truth()) {
        Some(true) => vec![local().to_vec()],
        Some(false) => vec![hosts],
        None => vec![hosts, local().to_vec()],
    })
}

/// django/http/request.py is_same_domain.
pub fn is_same_domain(host: &str, pattern: &str) -> bool {
    let pattern = pattern.to_lowercase();
    match pattern.strip_prefix('.') {
        _ if pattern.is_empty() => false,
        Some(domain) => host == domain || host.ends_with(&pattern),
        None => host == pattern,
    }
}

/// Whether ALLOWED_HOSTS lets a host in.
pub fn allows_host(hosts: &[String], host: &str) -> bool {
    hosts
        .iter()
        .any(|pattern| pattern == "*" || is_same_domain(host, pattern))
}

/// The parts of what urllib.parse.urlparse makes of an origin or an entry.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    scheme: String,
    host: Option<String>,
    port: Option<u16>,
    /// Whether Python raises ValueError for its port or its brackets.
    broken: bool,
}

fn parse(text: &str) -> Parsed {
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest))
            if scheme.starts_with(|char: char| char.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
                }) =>
        {
            (scheme.to_ascii_lowercase(), rest)
        }
        _ => (String::new(), text),
    };
    let Some(authority) = rest.strip_prefix("//") else {
        return Parsed {
            scheme,
            host: None,
            port: None,
            broken: false,
        };
    };
    let end = authority.find(['/', '?', '#']).unwrap_or(authority.len());
    let authority = &authority[..end];
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let (host, port) = match authority
        .strip_prefix('[')
        .and_then(|v6| v6.split_once(']'))
    {
        Some((host, after)) => (host, after.strip_prefix(':').unwrap_or_default()),
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let broken = !port.is_empty() && port.parse::<u16>().is_err()
        || authority.contains('[') != authority.contains(']');
    Parsed {
        scheme,
        host: (!host.is_empty()).then(|| host.to_lowercase()),
        port: port.parse().ok(),
        broken,
    }
}

impl Parsed {
    fn port(&self) -> Option<u16> {
        self.port.or(match self.scheme.as_str() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        })
    }
}

/// Whether an entry lets an origin in; `None` where Python raises an exception.
pub fn allows_origin(pattern: &str, origin: Option<&str>) -> Option<bool> {
    if pattern == "*" {
        return Some(true);
    }
    let Some(origin) = origin else {
        return Some(false);
    };
    let origin = parse(origin);
    let Some(host) = origin.host.as_deref() else {
        return Some(false);
    };
    let entry = parse(&pattern.to_lowercase());
    if entry.scheme.is_empty() {
        let name = parse(&format!("//{pattern}")).host;
        return Some(is_same_domain(host, name.as_deref().unwrap_or(pattern)));
    }
    if origin.broken || entry.broken {
        return None;
    }
    Some(
        entry.scheme == origin.scheme
            && entry.port() == origin.port()
            && is_same_domain(host, entry.host.as_deref().unwrap_or_default()),
    )
}

/// Whether a list of entries lets an origin in, as `any()` tries them.
pub fn validates<'a>(
    patterns: impl IntoIterator<Item = &'a str>,
    origin: Option<&str>,
) -> Option<bool> {
    for pattern in patterns {
        if allows_origin(pattern, origin)? {
            return Some(true);
        }
    }
    Some(false)
}

/// The origin that was meant, where an entry matches none that a browser sends.
pub fn is_dead(entry: &str) -> Option<String> {
    if entry == "*" {
        return None;
    }
    let parsed = parse(&entry.to_lowercase());
    let page = |host: &str| {
        let host = host.replace("*.", ".").replace('*', "");
        format!("https://{}", host.trim_start_matches('/'))
    };
    match parsed.scheme.as_str() {
        "" => {
            let name = entry.trim_start_matches('/');
            (entry.starts_with('/') || name.contains('*') || name.is_empty()).then(|| page(name))
        }
        "http" | "https" => {
            let host = parsed.host.as_deref().unwrap_or_default();
            (host.contains('*') || host.is_empty()).then(|| page(host))
        }
        "ws" | "wss" => Some(page(entry.split_once("//").map_or(entry, |(_, host)| host))),
        // `example.com:443`: what stands before the colon is taken for a scheme.
        _ if parsed.host.is_none() => Some(page(entry.split(':').next().unwrap_or(entry))),
        // An app's own scheme (`tauri://localhost`, `chrome-extension://…`).
        _ => None,
    }
}

/// The hosts that were meant, quoted, where an entry of ALLOWED_HOSTS matches no page's host.
pub fn is_dead_host(entry: &str) -> Option<String> {
    if entry == "*" || entry.is_empty() {
        return None;
    }
    if entry.contains(',') {
        let hosts: Vec<String> = entry
            .split(',')
            .map(|host| format!("\"{}\"", host.trim()))
            .collect();
        return Some(hosts.join(", "));
    }
    let quoted = |host: String| format!("\"{host}\"");
    if entry.contains("://") {
        // Wrong for requests, and right for the origin of a page.
        return is_dead(entry)
            .map(|origin| quoted(origin.trim_start_matches("https://").to_owned()));
    }
    if entry.contains('*') {
        return Some(quoted(entry.replace("*.", ".").replace('*', "")));
    }
    match entry.rsplit_once(':') {
        Some((host, port))
            if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            is_dead(entry).map(|_| quoted(host.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_let_in_as_channels_does() {
        let origin = "https://example.com";
        for (pattern, expected) in [
            ("*", true),
            ("example.com", true),
            (".example.com", true),
            ("Example.com", true),
            ("https://example.com", true),
            ("https://.example.com", true),
            ("https://example.com:443", true),
            ("https://example.com/path/", true),
            ("example.com/", true),
            ("*.example.com", false),
            ("https://*.example.com", false),
            ("wss://example.com", false),
            ("http://example.com", false),
            ("//example.com", false),
            ("example.com:443", false),
            ("https://example.com:8443", false),
            ("www.example.com", false),
            ("", false),
        ] {
            assert_eq!(
                allows_origin(pattern, Some(origin)),
                Some(expected),
                "{pattern}"
            );
        }
        assert_eq!(validates(["*"], None), Some(true));
        assert_eq!(validates(["example.com"], None), Some(false));
        assert_eq!(
            allows_origin(".example.com", Some("http://a.example.com:1")),
            Some(true)
        );
    }
}

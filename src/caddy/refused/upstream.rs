//! Upstreams that Caddy cannot dial.

use super::{Refusal, refusal};
use crate::caddy::handler::Handler;
use crate::caddy::model::CURRENT;
use crate::caddy::proxy::{Proxy, Upstream};
use crate::project::Version;

/// Upstreams that Caddy cannot dial (reverseproxy/addresses.go, parseUpstreamDialAddress).
pub(super) fn find(given: Option<Version>, handler: &Handler, proxy: &Proxy) -> Vec<Refusal> {
    let version = given.unwrap_or(CURRENT);
    let mut found = Vec::new();
    let mut scheme: Option<(&str, &Upstream)> = None;
    for upstream in &proxy.upstreams {
        let text = upstream.text.as_str();
        let (own, rest) = text.split_once("://").unwrap_or(("", text));
        if is_placeholder(rest) && !own.is_empty() && !own.contains(['{', '$']) {
            let mut one = refusal(
                upstream.span,
                format!("Caddy refuses the whole file: `{text}` joins a scheme and a placeholder"),
                "no placeholder may stand after a scheme",
                format!(
                    "read the environment before the file is parsed, as `{own}://{{$NAME}}`, or leave the scheme out and \
                     let the transport speak TLS"
                ),
            );
            one.note = Some(
                "Caddy says `due to parsing difficulties, placeholders are not allowed when an upstream address contains a scheme`"
                    .to_owned(),
            );
            found.push(one);
            continue;
        }
        if text.contains(['{', '}', '$']) {
            scheme = None;
            continue;
        }
        // Before, both were found out when it was dialled.
        let strict = version >= [2, 8, 0];
        if let Some(port) = bad_port(rest).filter(|_| strict) {
            let clean = text.trim_end_matches(';');
            let help = if clean == text {
                "write a number, or a range of numbers".to_owned()
            } else {
                format!("a Caddyfile has no semicolons:\n\n{clean}")
            };
            found.push(refusal(
                upstream.span,
                format!("Caddy refuses the whole file: `{port}` in `{text}` is no port"),
                "no port",
                help,
            ));
            continue;
        }
        let say = |message: String, label: &str, help: String| {
            refusal(upstream.span, message, label, help)
        };
        match own {
            "ws" | "wss" => {
                let http = if own == "ws" { "http" } else { "https" };
                let mut one = say(
                    format!("Caddy from 2.8 on refuses the whole file: an upstream is no `{own}://`"),
                    "a scheme for browsers only",
                    format!("a socket is opened over HTTP; write `{http}`:\n\n{http}://{rest}"),
                );
                one.note = Some(format!(
                    "Caddy says `the scheme {own}:// is only supported in browsers; use {http}:// instead`; 2.6 takes it for \
                     plain HTTP without a word"
                ));
                match given {
                    Some(version) if version < [2, 8, 0] => continue,
                    Some(_) => {}
                    None => one.by_version = true,
                }
                found.push(one);
                continue;
            }
            "http" if upstream.port == Some(443) && upstream.has_port => found.push(say(
                format!("Caddy refuses the whole file: `http://` and port 443 contradict each other in `{text}`"),
                "plain HTTP, and the port of HTTPS",
                format!("write what it speaks:\n\nhttps://{}", rest.trim_end_matches(":443")),
            )),
            "https" if upstream.port == Some(80) && upstream.has_port => found.push(say(
                format!("Caddy refuses the whole file: `https://` and port 80 contradict each other in `{text}`"),
                "TLS, and the port of plain HTTP",
                format!("write what it speaks:\n\nhttp://{}", rest.trim_end_matches(":80")),
            )),
            "http" if proxy.tls_transport => found.push(say(
                format!("Caddy refuses the whole file: `{text}` is plain HTTP, and the transport speaks TLS"),
                "`http://` with a `tls` transport",
                format!("write `https://{rest}`, or leave the transport's TLS options out"),
            )),
            "http" | "https" if rest.contains(['/', '?']) => {
                let host = rest.split(['/', '?']).next().unwrap_or(rest);
                let path = &rest[host.len()..];
                found.push(say(
                    format!("Caddy refuses the whole file: an upstream has no path, and `{text}` does"),
                    "scheme, host and port are all that may stand here",
                    if path == "/" {
                        format!("leave the slash out:\n\n{own}://{host}")
                    } else {
                        format!("rewrite the path first, then send it on:\n\nrewrite * {path}{{uri}}\nreverse_proxy {own}://{host}")
                    },
                ));
            }
            _ => {}
        }
        if strict
            && !matches!(own, "" | "http" | "https" | "h2c" | "ws" | "wss")
            && own.bytes().all(|byte| byte.is_ascii_alphabetic())
        {
            found.push(say(
                format!("Caddy refuses the whole file: it knows no scheme `{own}://`"),
                "no scheme for an upstream",
                format!("leave it out, or write `http://` or `https://`:\\n\\n{rest}"),
            ));
        }
        // The first one sets what the next has to have (caddyfile.go, UnmarshalCaddyfile).
        match scheme {
            Some((first, other)) if !first.is_empty() && first != own && found.is_empty() => {
                let mut one = say(
                    "Caddy refuses the whole file: the upstreams of one proxy have different schemes"
                        .to_owned(),
                    "another scheme",
                    "write the same scheme for all, or give each its own `reverse_proxy`".to_owned(),
                );
                let named = if own.is_empty() { "without one" } else { own };
                one.note = Some(format!(
                    "`{}` is {first}, `{text}` is {named}; Caddy has one transport for all upstreams of a proxy",
                    other.text
                ));
                found.push(one);
            }
            _ => {}
        }
        scheme = Some((own, upstream));
    }
    if handler.matcher.conditional {
        found.clear();
    }
    found
}

/// Whether it holds a placeholder that is filled while Caddy runs, and no template's.
fn is_placeholder(text: &str) -> bool {
    let Some(at) = text.find('{') else {
        return false;
    };
    let inner = &text[at + 1..];
    inner.starts_with(|first: char| first.is_ascii_alphabetic())
        && inner.contains('}')
        && !inner.starts_with("args")
        && !inner.starts_with("block")
}

/// The port of an upstream where it is none: not a number, nor a range of them.
pub(super) fn bad_port(rest: &str) -> Option<&str> {
    let authority = rest.split('/').next()?;
    if ["unix", "fd", "fdgram", "unixgram", "unixpacket"].contains(&authority) {
        return None;
    }
    let (host, port) = authority.rsplit_once(':')?;
    // An IPv6 address without brackets.
    if host.contains(':') && !host.ends_with(']') || port.is_empty() || port.ends_with(']') {
        return None;
    }
    let number = |text: &str| text.parse::<u16>().is_ok();
    let right = match port.split_once('-') {
        Some((from, to)) => number(from) && number(to),
        None => number(port),
    };
    // A word in its place is what some script puts a number for.
    let digits = port.trim_start_matches('-');
    let odd = digits.starts_with(|first: char| first.is_ascii_digit());
    (!right && odd).then_some(port)
}

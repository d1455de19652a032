//! What Caddy itself refuses to load: then nothing of the configuration runs.

use std::collections::HashSet;

use super::expand::Directive;
use super::handler::{Action, Handler};
use super::model::{Config, Site};
use super::proxy::{HANDSHAKE, Proxy, Scheme, Upstream};
use crate::handshake::known_endpoint;
use crate::project::{Project, Version};
use crate::source::Span;

/// What a `reverse_proxy` block may hold (reverseproxy/caddyfile.go, UnmarshalCaddyfile), in any
/// version.
const LINES: &[&str] = &[
    "to",
    "dynamic",
    "lb_policy",
    "lb_retries",
    "lb_try_duration",
    "lb_try_interval",
    "lb_retry_match",
    "health_uri",
    "health_path",
    "health_upstream",
    "health_port",
    "health_interval",
    "health_passes",
    "health_fails",
    "health_timeout",
    "health_method",
    "health_status",
    "health_body",
    "health_follow_redirects",
    "health_headers",
    "health_request_body",
    "max_fails",
    "fail_duration",
    "unhealthy_status",
    "unhealthy_latency",
    "unhealthy_request_count",
    "flush_interval",
    "buffer_requests",
    "buffer_responses",
    "max_buffer_size",
    "request_buffers",
    "response_buffers",
    "stream_timeout",
    "stream_close_delay",
    "stream_buffer_size",
    "trusted_proxies",
    "header_up",
    "header_down",
    "method",
    "rewrite",
    "transport",
    "handle_response",
    "replace_status",
    "verbose_logs",
];

/// Lines that came later: each with the first version that knows it.
const SINCE: &[(&str, Version)] = &[
    ("request_buffers", [2, 6, 3]),
    ("response_buffers", [2, 6, 3]),
    ("stream_timeout", [2, 7, 0]),
    ("stream_close_delay", [2, 7, 0]),
];

/// Lines that went, with what took their place; 2.8 refuses them.
const GONE: &[(&str, &str)] = &[
    ("buffer_requests", "request_buffers"),
    ("buffer_responses", "response_buffers"),
    ("max_buffer_size", "request_buffers"),
];

/// Directives of Caddy 1 that no plugin of Caddy 2 has, with what took their place.
const CADDY_1: &[(&str, &str)] = &[
    ("proxy", "reverse_proxy"),
    ("gzip", "encode gzip"),
    ("fastcgi", "php_fastcgi"),
    ("browse", "file_server browse"),
    ("websocket", "reverse_proxy"),
];

/// Something for which Caddy does not load the file at all, in words.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What it does not take.
    pub span: Span,
    /// What happens.
    pub message: String,
    /// What that is.
    pub label: String,
    /// What Caddy says about it.
    pub note: Option<String>,
    /// What to write.
    pub help: String,
    /// The target is not given, and older versions of Caddy take it.
    pub by_version: bool,
    /// A directive of Caddy 1 that shows itself that it is for sockets.
    pub for_sockets: bool,
}

/// What Caddy refuses in `config`; `carries` says whether it has a route for sockets.
pub(super) fn find(project: &Project, config: &Config, carries: bool) -> Vec<Refusal> {
    let target = project.config.targets.caddy;
    let mut found: Vec<Refusal> = Vec::new();
    for site in &config.sites {
        for handler in &site.handlers.all {
            // A whole file of Caddy 1 may well be one for Caddy 1.
            if carries || target.is_some() {
                found.extend(old_directive(project, config, handler));
            }
            if handler.conditional {
                continue;
            }
            if let Action::Proxy(proxy) = &handler.action {
                found.extend(lines(project, config, handler));
                found.extend(upstreams(target, handler, proxy));
            }
            found.extend(header_matcher(project, handler));
        }
        found.extend(addresses(target, site));
    }
    let mut seen = HashSet::new();
    found.retain(|refusal| seen.insert(refusal.span));
    found
}

fn refusal(
    span: Span,
    message: String,
    label: impl Into<String>,
    help: impl Into<String>,
) -> Refusal {
    Refusal {
        span,
        message,
        label: label.into(),
        note: None,
        help: help.into(),
        by_version: false,
        for_sockets: false,
    }
}

/// A directive of Caddy 1.
fn old_directive(project: &Project, config: &Config, handler: &Handler) -> Option<Refusal> {
    let (_, now) = CADDY_1.iter().find(|(name, _)| *name == handler.name)?;
    let unknown = matches!(handler.action, Action::Plugin)
        && config.options.order.position(&handler.name).is_none()
        && !handler.in_route
        && !handler.conditional;
    if !unknown {
        return None;
    }
    let preset = handler
        .lines
        .iter()
        .any(|line| matches!(line.name(), "websocket" | "header_upstream" | "transparent"));
    let known = handler
        .matcher
        .paths()
        .any(|path| known_endpoint(&path.text).is_some());
    let args: Vec<&str> = handler.args.iter().map(|word| word.text.as_str()).collect();
    let path = handler.matcher.span.map(|span| project.slice(span));
    let help = if *now == "reverse_proxy" && handler.name == "proxy" {
        let path = match path {
            None | Some("/") => String::new(),
            Some(path) => format!("{}/* ", path.trim_end_matches('/')),
        };
        format!(
            "in Caddy 2 this is one line; sockets and the headers of `transparent` need nothing more:\n\nreverse_proxy {path}{}",
            args.join(" ")
        )
    } else {
        format!("in Caddy 2 this is `{now}`")
    };
    let mut refusal = refusal(
        handler.head,
        format!(
            "Caddy 2 refuses the whole file: `{}` is a directive of Caddy 1",
            handler.name
        ),
        "no directive of Caddy 2",
        help,
    );
    refusal.note = Some(format!(
        "Caddy says `unrecognized directive: {}`",
        handler.name
    ));
    refusal.for_sockets = handler.name == "proxy" && (preset || known);
    Some(refusal)
}

/// Lines of a proxy's block that are none.
fn lines(project: &Project, config: &Config, handler: &Handler) -> Vec<Refusal> {
    let given = project.config.targets.caddy;
    let version = config.options.version;
    let certain = |line: &&Directive| {
        !line.conditional
            && line
                .words
                .first()
                .is_some_and(|word| word.unknown.is_none())
    };
    let mut found = Vec::new();
    for line in handler.lines.iter().filter(certain) {
        let name = line.name();
        if name.is_empty() || name.starts_with('@') || name.contains(['{', '}']) {
            continue;
        }
        if !LINES.contains(&name) {
            let help = match name {
                "websocket" | "transparent" => {
                    "delete the line: Caddy 2 passes a handshake and the client's Host on by itself"
                        .to_owned()
                }
                "header_upstream"
                    if line.arg(0).is_some_and(|field| {
                        HANDSHAKE
                            .iter()
                            .any(|name| name.eq_ignore_ascii_case(field))
                    }) =>
                {
                    "delete the line: Caddy 2 passes a handshake on by itself".to_owned()
                }
                "header_upstream" => format!(
                    "write `header_up` for headers that the application needs; for a WebSocket none is needed:\n\n{}",
                    project
                        .slice(line.head)
                        .replacen("header_upstream", "header_up", 1)
                ),
                "header_downstream" => "write `header_down`".to_owned(),
                name if name.starts_with("tls_")
                    || matches!(name, "tls" | "read_timeout" | "keepalive" | "versions") =>
                {
                    format!(
                        "it belongs to the transport:\n\ntransport http {{\n\t{}\n}}",
                        project.slice(line.head)
                    )
                }
                _ => "delete the line".to_owned(),
            };
            let mut one = refusal(
                line.head,
                format!("Caddy refuses the whole file: `reverse_proxy` has no `{name}`"),
                "no line of `reverse_proxy`",
                help,
            );
            one.note = Some(format!("Caddy says `unrecognized subdirective {name}`"));
            found.push(one);
        } else if let Some((_, since)) = SINCE
            .iter()
            .find(|(own, since)| *own == name && version < *since)
        {
            found.push(refusal(
                line.head,
                format!(
                    "this Caddy refuses the whole file: `{name}` came with {}.{}.{}",
                    since[0], since[1], since[2]
                ),
                "not known to the target version",
                "delete the line, or upgrade Caddy",
            ));
        } else if let Some((_, now)) = GONE.iter().find(|(own, _)| *own == name)
            && given.is_some_and(|given| given >= [2, 8, 0])
        {
            found.push(refusal(
                line.head,
                format!("Caddy from 2.8 on refuses the whole file: there is no `{name}` any more"),
                "no line of `reverse_proxy` any more",
                format!("delete the line, or write `{now}` with a size"),
            ));
        } else if name == "header_up"
            && !(1..=3).contains(&line.args().len())
            && line.block.is_none()
        {
            found.push(refusal(
                line.head,
                "Caddy refuses the whole file: `header_up` takes a field and a value".to_owned(),
                format!("{} arguments", line.args().len()),
                "one field a line; a value with spaces belongs in quotes",
            ));
        }
    }
    found
}

/// Upstreams that Caddy cannot dial (reverseproxy/addresses.go, parseUpstreamDialAddress).
fn upstreams(given: Option<Version>, handler: &Handler, proxy: &Proxy) -> Vec<Refusal> {
    let mut found = Vec::new();
    let mut scheme: Option<(&str, &Upstream)> = None;
    for upstream in &proxy.upstreams {
        let text = upstream.text.as_str();
        if text.contains(['{', '}', '$']) {
            continue;
        }
        let Some((own, rest)) = text.split_once("://") else {
            continue;
        };
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
        match scheme {
            Some((first, other)) if first != own && found.is_empty() => {
                let mut one = say(
                    "Caddy refuses the whole file: the upstreams of one proxy have different schemes".to_owned(),
                    "another scheme",
                    "write the same scheme for all, or give each its own `reverse_proxy`".to_owned(),
                );
                one.note = Some(format!(
                    "`{}` is {first}, `{text}` is {own}; Caddy has one transport for all upstreams of a proxy",
                    other.text
                ));
                found.push(one);
            }
            None if matches!(upstream.scheme, Scheme::Http | Scheme::Https) => {
                scheme = Some((own, upstream));
            }
            _ => {}
        }
    }
    if handler.matcher.conditional {
        found.clear();
    }
    found
}

/// `@ws header A b C d`: one field a line (matchers.go, MatchHeader).
fn header_matcher(project: &Project, handler: &Handler) -> Option<Refusal> {
    let definition = handler.matcher.definition?;
    if handler.matcher.conditional {
        return None;
    }
    let text = project.slice(definition);
    if text.contains(['"', '`', '{', '}', '\\', '<']) {
        return None;
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let (["header", fields @ ..], Some(name)) = (words.get(1..)?, words.first()) else {
        return None;
    };
    let help = match fields {
        [only] if !only.starts_with('!') => {
            format!("name a value, or `*` for any:\n\n{name} header {only} *")
        }
        [field, value, rest @ ..] if !rest.is_empty() => {
            let mut lines = vec![format!("\theader {field} {value}")];
            lines.extend(
                rest.chunks(2)
                    .map(|pair| format!("\theader {}", pair.join(" "))),
            );
            format!("one field a line:\n\n{name} {{\n{}\n}}", lines.join("\n"))
        }
        _ => return None,
    };
    Some(refusal(
        definition,
        "Caddy refuses the whole file: a `header` matcher takes one field and one value".to_owned(),
        "more, or less, than one field and its value",
        help,
    ))
}

/// `ws://` and `wss://` as a site's address.
fn addresses(given: Option<Version>, site: &Site) -> Vec<Refusal> {
    if given.is_some_and(|version| version < [2, 8, 0]) {
        return Vec::new();
    }
    site.addresses
        .iter()
        .filter_map(|address| {
            let (scheme, rest) = address.text.split_once("://")?;
            let http = match scheme {
                "ws" => "http",
                "wss" => "https",
                _ => return None,
            };
            let mut one = refusal(
                address.span,
                format!("Caddy from 2.8 on refuses the whole file: a site is no `{scheme}://`"),
                "a scheme for browsers only",
                format!("a handshake arrives over HTTP; write `{http}`:\n\n{http}://{rest}"),
            );
            if given.is_none() {
                one.by_version = true;
            }
            Some(one)
        })
        .collect()
}

//! A `ws://` address of the site itself in the settings of a site that speaks https.

use std::collections::HashSet;

use crate::context::Context;
use crate::django::data::{Data, Possible, certain};
use crate::django::settings::{Redirects, Settings};
use crate::finding::{Applicability, Edit, Finding, Fix, Report};
use crate::source::Span;

/// `django/insecure-websocket-url`.
pub fn insecure(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen: HashSet<Span> = HashSet::new();
    for settings in cx.django.production() {
        let Some((https, says)) = speaks_https(settings) else {
            continue;
        };
        let hosts = own_hosts(settings);
        for name in settings.names() {
            // Policies and lists of origins name schemes, not addresses to open.
            if name.contains("CSP") || name.contains("ORIGIN") {
                continue;
            }
            let setting = settings.get(name);
            let Some(value) = setting.certain().filter(|value| !value.is_default()) else {
                continue;
            };
            let Some((host, address)) = value.data.as_text().and_then(|text| {
                let rest = text.strip_prefix("ws://")?;
                let authority = rest.split(['/', '?', '#']).next()?;
                let host = authority.split(':').next()?.to_ascii_lowercase();
                Some((host, rest))
            }) else {
                continue;
            };
            let Some(own) = hosts.iter().find(|own| is_of(&host, &own.0)) else {
                continue;
            };
            if seen.insert(value.span) {
                let finding = report
                    .finding(
                        format!("`{name}` is a ws:// address of a site that is served over https: no browser opens it from an https page"),
                        value.span,
                        "write wss://",
                    )
                    .label(https, says)
                    .label(own.1, "the site itself")
                    .note("a page that came over https may not open a plain socket: `new WebSocket(\"ws://…\")` throws a SecurityError before anything is sent")
                    .help(format!("{name} = \"wss://{address}\""));
                report.push(with_fix(cx, finding, value));
            }
        }
    }
}

fn with_fix(cx: &Context<'_>, finding: Finding, value: &Possible) -> Finding {
    let literal = cx.project.slice(value.span);
    let Some(at) = literal
        .find("ws://")
        .filter(|_| literal.matches("ws://").count() == 1)
    else {
        return finding;
    };
    let start = value.span.start as usize + at;
    finding.fix(Fix {
        title: "open the socket over TLS".to_owned(),
        // Another port may be the one that speaks TLS.
        applicability: Applicability::Unsafe,
        edits: vec![Edit {
            span: Span::new(value.span.source, start..start + 2),
            text: "wss".to_owned(),
        }],
    })
}

/// What shows that the site is served over https.
fn speaks_https(settings: &Settings) -> Option<(Span, &'static str)> {
    if let Redirects::Yes(value) = settings.redirects() {
        return Some((value.span, "the site redirects plain HTTP to https"));
    }
    [
        (
            "SESSION_COOKIE_SECURE",
            "the session's cookie is sent over https only",
        ),
        ("CSRF_COOKIE_SECURE", "a cookie is sent over https only"),
        ("SECURE_HSTS_SECONDS", "browsers are told to use https only"),
    ]
    .into_iter()
    .find_map(|(name, says)| {
        let setting = settings.get(name);
        let value = setting.certain().filter(|value| !value.is_default())?;
        (value.data.truth() == Some(true)).then_some((value.span, says))
    })
}

/// The hosts that the settings call the site's own.
fn own_hosts(settings: &Settings) -> Vec<(String, Span)> {
    let setting = settings.get("ALLOWED_HOSTS");
    let Some(Data::Sequence(list)) = setting.certain().map(|value| &value.data) else {
        return Vec::new();
    };
    list.items
        .iter()
        .filter_map(|item| certain(item))
        .filter_map(|item| Some((item.data.as_text()?.to_ascii_lowercase(), item.span)))
        .filter(|(host, _)| host != "*" && host.contains('.') && !is_local(host))
        .collect()
}

/// Whether `host` is the one that an entry of ALLOWED_HOSTS stands for.
fn is_of(host: &str, entry: &str) -> bool {
    match entry.strip_prefix('.') {
        Some(domain) => host == domain || host.ends_with(entry),
        None => host == entry,
    }
}

/// Whether the host is one of a developer's machine or of a private network: browsers let a page
/// of it do without TLS, and programs speak to it.
fn is_local(host: &str) -> bool {
    host.starts_with("127.")
        || host.starts_with("10.")
        || host.starts_with("192.168.")
        || [".localhost", ".local", ".internal", ".test"]
            .iter()
            .any(|suffix| host.ends_with(suffix))
}

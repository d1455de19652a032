//! `nginx/csp-blocks-websocket`: the policy of the site's own pages forbids their socket.

use std::collections::HashSet;

use super::{Causes, Place, places};
use crate::context::Context;
use crate::csp::{Blocked, Policy, Site};
use crate::finding::Report;
use crate::nginx::location::Found;
use crate::nginx::model::{ItemId, ROOT};
use crate::rule::Severity;
use crate::syntax::Word;

/// Reports every policy of a server with routes that keeps its pages from opening them.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    let mut seen = HashSet::new();
    for place in places(cx) {
        let view = place.view;
        let index = view.config.locations[place.route.location as usize].server;
        if !seen.insert((view.index, index)) {
            continue;
        }
        let server = &view.config.servers[index as usize];
        // The pages are what `/` gives.
        let pages = match view.find_location(index, "/") {
            Found::Location(location) => view.config.locations[location as usize].item,
            _ => server.item,
        };
        let level = view.level(pages);
        let added = view.setting(pages, "add_header");
        let inherits = view.setting(pages, "add_header_inherit");
        if server.item == ROOT
            || level.answers.is_some()
            || level.internal
            || added.unseen.is_some()
            || !inherits.items.is_empty()
        {
            continue;
        }
        for item in added.items {
            let [name, value, ..] = view.directive(item).args() else {
                continue;
            };
            if name.text.eq_ignore_ascii_case("content-security-policy") && !value.templated {
                judge(&place, index, item, value, &mut causes, report);
            }
        }
    }
    causes.report(report);
}

fn judge(
    place: &Place<'_>,
    server: u32,
    item: ItemId,
    value: &Word,
    causes: &mut Causes,
    report: &Report<'_>,
) {
    let Some(blocked) = blocked(place, server, &value.text) else {
        return;
    };
    let span = value.span;
    let name = blocked.directive();
    let route = (
        place.head(place.location()),
        "sockets arrive here".to_owned(),
    );
    causes.add(span, Some(route), || {
        let message = format!("pages of this site can't open its WebSockets: the `{name}` of their policy does not allow it");
        let severity = match blocked {
            Blocked::Everything { .. } => Severity::Error,
            Blocked::NoSource { .. } => Severity::Warning,
        };
        report
            .finding(message, span, blocked.why())
            .label(place.head(item), "is sent with the pages")
            .severity(severity)
            .note("the browser refuses before it sends anything: the console says that the connection violates the policy, and no log of a server shows it")
            .help("allow the page's own origin, which covers its sockets:\nconnect-src 'self';\nor, for another host, `connect-src 'self' wss://ws.example.com;`")
    });
}

/// Why a page under the policy can't open a socket of its own site, whichever way it came.
fn blocked<'p>(place: &Place<'_>, server: u32, policy: &'p str) -> Option<Blocked<'p>> {
    if !runs_scripts(policy) {
        return None;
    }
    let server = &place.view.config.servers[server as usize];
    let host = match server.names.as_slice() {
        [one] if !one.contains(['*', '$', '_', '{']) && !one.starts_with('.') => Some(one.as_str()),
        _ => None,
    };
    let tls: Vec<u16> = server
        .listens
        .iter()
        .filter(|listen| listen.tls)
        .map(|listen| listen.port)
        .collect();
    // Without TLS here the page may still come over https, from a proxy in front.
    let ways: Vec<(bool, u16)> = if tls.is_empty() {
        vec![(true, 443), (false, 80)]
    } else {
        tls.into_iter().map(|port| (true, port)).collect()
    };
    let mut found = None;
    for (tls, port) in ways {
        let site = Site {
            tls,
            host,
            port,
            path: None,
        };
        found = Some(Policy::new(policy).judge(site)?);
    }
    match found? {
        // Who names a WebSocket of another host opens that one.
        Blocked::NoSource { sources, .. }
            if sources.contains("ws://") || sources.contains("wss://") =>
        {
            None
        }
        blocked => Some(blocked),
    }
}

/// Whether a page under the policy runs scripts at all: an API says `default-src 'none'` of its
/// answers, and means no page.
fn runs_scripts(policy: &str) -> bool {
    let sources = |wanted: &str| {
        policy.split(';').find_map(|directive| {
            let (name, sources) = directive.trim().split_once(char::is_whitespace)?;
            name.eq_ignore_ascii_case(wanted).then(|| sources.trim())
        })
    };
    ["script-src-elem", "script-src", "default-src"]
        .into_iter()
        .find_map(sources)
        .is_none_or(|sources| !sources.eq_ignore_ascii_case("'none'"))
}

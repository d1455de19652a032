//! Several upstreams: who gets a socket when one of them is dead, and who a polling client's
//! next request.

use std::collections::HashSet;

use super::lost::{evidence, requests};
use crate::caddy::expand::Directive;
use crate::caddy::handler::Handler;
use crate::caddy::proxy::Proxy;
use crate::caddy::route::{self, Route};
use crate::context::Context;
use crate::finding::Report;
use crate::handshake::{Browser, Evidence, endpoints, known_endpoint};
use crate::rule::Severity;

/// Policies that send a client to the same upstream again.
const STICKY: &[&str] = &[
    "cookie",
    "ip_hash",
    "client_ip_hash",
    "header",
    "query",
    "uri_hash",
];

fn line<'a>(handler: &'a Handler, name: &str) -> Option<&'a Directive> {
    handler
        .lines
        .iter()
        .find(|line| line.name() == name && !line.conditional)
}

/// Whether it has several upstreams, for all we know.
fn is_pool(proxy: &Proxy) -> bool {
    let several = proxy.upstreams.len() > 1 && !proxy.partial;
    several
        && proxy
            .upstreams
            .windows(2)
            .any(|two| two[0].text != two[1].text)
}

/// `caddy/dead-upstream`.
pub fn dead_upstream(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for (route, _, handler, proxy) in route::proxies(&cx.caddy) {
        let watched = handler.lines.iter().any(|line| {
            line.name().starts_with("health_")
                || matches!(
                    line.name(),
                    "fail_duration" | "lb_try_duration" | "lb_retries"
                )
        });
        if watched || !is_pool(proxy) || !seen.insert(handler.head) {
            continue;
        }
        let policy = line(handler, "lb_policy");
        let sticky = policy.filter(|line| line.arg(0).is_some_and(|name| STICKY.contains(&name)));
        let count = proxy.upstreams.len();
        let finding = match sticky {
            Some(policy) => report
                .finding(
                    "the users of a dead upstream stay on it: nothing tells Caddy that it is dead",
                    policy.head,
                    "sends a client to the same upstream again, dead or alive",
                )
                .label(handler.head, format!("{count} upstreams, none of them watched"))
                .note(
                    "without `fail_duration` or a health check an upstream is healthy for ever: whoever belongs to a dead one \
                     gets 502 on every attempt, and the browser close code 1006",
                ),
            None => report
                .finding(
                    format!("while one of {count} upstreams is dead, every {count}{} handshake gets 502", ordinal(count)),
                    handler.head,
                    "nothing tells Caddy that an upstream is dead",
                )
                .severity(Severity::Info)
                .note("without `fail_duration` or a health check an upstream is healthy for ever"),
        };
        report.push(evidence(finding, route).help(
            "remember for a while that an upstream failed, and try the next one:\n\nfail_duration 30s\nlb_try_duration 5s",
        ));
    }
}

fn ordinal(number: usize) -> &'static str {
    match number {
        2 => "nd",
        3 => "rd",
        _ => "th",
    }
}

/// `caddy/sticky-sessions`.
pub fn sticky_sessions(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for (route, _, handler, proxy) in all_proxies(cx) {
        let polling = match &route.evidence {
            Evidence::WellKnown { .. } | Evidence::Declared { .. } => known_endpoint(&route.path)
                .or_else(|| {
                    endpoints()
                        .iter()
                        .find(|known| known.path.trim_end_matches('/') == route.path)
                })
                .filter(|endpoint| endpoint.polls_first),
            _ => None,
        };
        let Some(endpoint) = polling.filter(|_| is_pool(proxy)) else {
            continue;
        };
        let policy = line(handler, "lb_policy");
        let name = policy
            .and_then(|line| line.args().first())
            .map(|word| word.known());
        let loose = match name {
            None => true,
            Some(Some(name)) => matches!(
                name,
                "random" | "random_choose" | "round_robin" | "weighted_round_robin" | "least_conn"
            ),
            Some(None) => false,
        };
        let hidden = handler
            .lines
            .iter()
            .any(|line| line.name() == "lb_policy" && line.conditional);
        if !loose || hidden || !seen.insert(handler.head) {
            continue;
        }
        let software = endpoint.software;
        let span = policy.map_or(handler.head, |line| line.head);
        let mut finding = report.finding(
            format!("{software} begins with polling, and its requests go to different upstreams"),
            span,
            match policy {
                Some(_) => "chooses anew for every request",
                None => "without `lb_policy` Caddy chooses at random for every request",
            },
        );
        if span != handler.head {
            finding = finding.label(handler.head, "several upstreams");
        }
        report.push(
            evidence(finding, route)
                .note(format!(
                    "a {software} session lives in one process: a request that meets another one gets 400, and the \
                     connection starts over, again and again"
                ))
                .help("keep a client on its upstream:\n\nlb_policy cookie"),
        );
    }
}

/// The proxies with a route for each of their paths.
fn all_proxies<'a>(
    cx: &'a Context<'_>,
) -> impl Iterator<Item = (&'a Route, (), &'a Handler, &'a Proxy)> {
    cx.caddy.routes.iter().filter_map(|route| {
        let handlers = &cx.caddy.site(route).handlers;
        let handler = handlers.get(route.proxy);
        let certain = handlers
            .chain(route.proxy)
            .all(|handler| !handler.conditional && !handler.matcher.conditional);
        let proxy = super::lost::proxy_of(handler)?;
        certain.then_some((route, (), handler, proxy))
    })
}

/// `caddy/health-check`.
pub fn health_check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for (route, (), handler, proxy) in all_proxies(cx) {
        // The path that the upstream is asked for is the client's, unless something rewrites it.
        let asked = requests(cx, route, Browser::Chrome);
        let asked = asked.first().filter(|_| route.path_named);
        let asked = asked.map_or("", |request| request.path.as_str());
        if let Some((uri, path)) = proxy.checks_socket(asked)
            && seen.insert(uri)
        {
            let finding = report
                    .finding(
                        format!("the health check asks `{path}` without an upgrade, and then gives every client 503"),
                        uri,
                        "a plain GET: a WebSocket endpoint answers it with 400 or 426",
                    )
                    .label(handler.head, "has no healthy upstream then");
            report.push(
                    evidence(finding, route)
                        .note("an upstream that does not answer 2xx to `health_uri` is unhealthy; without a healthy one Caddy answers 503")
                        .help("ask for a page that the application answers with 200:\n\nhealth_uri /health"),
                );
        }
        if let Some(status) = proxy.unhealthy
            && seen.insert(status)
        {
            let finding = report
                .finding(
                    "every socket that opens counts as a failure of its upstream",
                    status,
                    "101 is the answer that opens a socket",
                )
                .label(
                    handler.head,
                    "has no healthy upstream after the first one: 503",
                );
            report.push(evidence(finding, route).help("leave 101 out:\n\nunhealthy_status 5xx"));
        }
        if let Some(count) = line(handler, "unhealthy_request_count")
            && count.arg(0) != Some("0")
            && seen.insert(count.head)
        {
            let limit = count.arg(0).unwrap_or_default();
            let finding = report
                .finding(
                    format!("every open socket counts: client {limit} + 1 gets 503"),
                    count.head,
                    "a limit for requests at the same time, and a socket is one for as long as it lives",
                )
                .severity(Severity::Warning)
                .label(handler.head, "limited to that many sockets for each upstream");
            report.push(evidence(finding, route).help(
                "delete the line, or give the sockets a `reverse_proxy` of their own without it",
            ));
        }
    }
}

//! A Content-Security-Policy that shuts out the site's own sockets.

use std::collections::HashSet;

use super::listener_of;
use super::lost::evidence;
use crate::caddy::Word;
use crate::context::Context;
use crate::csp::{Blocked, Policy, Site};
use crate::finding::Report;
use crate::rule::Severity;

/// `caddy/csp-blocks-websocket`.
pub fn csp_blocks_websocket(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for route in &cx.caddy.routes {
        let site = cx.caddy.site(route);
        let Some((tls, port)) = listener_of(cx, route) else {
            continue;
        };
        if site.handlers.partial {
            continue;
        }
        // An edge or another proxy speaks TLS to the browser.
        let tls_outside = cx.project.config.edge.ends_tls();
        let (tls, port) = if tls_outside {
            (true, 443)
        } else {
            (tls, port)
        };
        for handler in site
            .handlers
            .all
            .iter()
            .filter(|handler| handler.name == "header")
        {
            // Which pages a matcher means is not known; without one it is all of them.
            if handler.conditional || !handler.matcher.tests.is_empty() || handler.parent.is_some()
            {
                continue;
            }
            let own = (!handler.args.is_empty()).then_some((handler.args.as_slice(), handler.head));
            let block = handler
                .lines
                .iter()
                .filter(|line| !line.conditional)
                .map(|line| (line.words.as_slice(), line.head));
            for (words, span) in own.into_iter().chain(block) {
                let [field, value] = words else { continue };
                if !names_policy(field) || value.unknown.is_some() || !seen.insert(span) {
                    continue;
                }
                let host = (!route.host.is_empty()).then_some(route.host.as_str());
                let judged = Policy::new(&value.text).judge(Site {
                    tls,
                    host,
                    port,
                    path: route.path_named.then_some(route.path.as_str()),
                });
                let Some(blocked) = judged else { continue };
                let scheme = if tls { "wss" } else { "ws" };
                let directive = blocked.directive();
                let mut finding = report
                    .finding(
                        format!("`{directive}` keeps the site's own pages from opening a {scheme}:// socket"),
                        value.span,
                        blocked.why(),
                    )
                    .label(site.handlers.get(route.proxy).head, "a socket of this site");
                if matches!(blocked, Blocked::Everything { .. }) {
                    finding = finding.severity(Severity::Error);
                }
                finding = evidence(finding, route)
                    .note(
                        "the browser refuses to send the handshake at all: the console names the policy, the page sees close \
                         code 1006, and no server ever logs a request",
                    );
                let help = match blocked {
                    Blocked::NoSource { sources, .. } => format!(
                        "add `'self'`, which stands for the site's own sockets as well:\n\n{directive} 'self' {}",
                        sources.replace("'self'", "").trim()
                    ),
                    Blocked::Everything { .. } => {
                        "allow the site's own connections:\n\nconnect-src 'self'".to_owned()
                    }
                };
                report.push(finding.help(help));
            }
        }
    }
}

fn names_policy(field: &Word) -> bool {
    field
        .text
        .trim_start_matches(['>', '?', '+'])
        .eq_ignore_ascii_case("Content-Security-Policy")
}

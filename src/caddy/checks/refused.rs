//! What Caddy itself refuses to load, in a configuration that carries a route: then nothing of it
//! runs, the sockets least of all.

use std::collections::HashSet;

use crate::context::Context;
use crate::finding::Report;
use crate::handshake::Evidence;
use crate::rule::Severity;
use crate::stack;

/// `caddy/refused`.
pub fn refused(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for (at, config) in cx.caddy.configs.iter().enumerate() {
        let route = cx.caddy.routes.iter().find(|route| route.config == at);
        for refusal in &config.refusals {
            let stopped = || stack::stopped(cx, refusal.span);
            let unheard = if route.is_none() { stopped() } else { None };
            let carries = route.is_some() || refusal.for_sockets || unheard.is_some();
            if !carries || !seen.insert(refusal.span) {
                continue;
            }
            let message = refusal.message.as_str();
            let mut finding = report.finding(message, refusal.span, refusal.label.as_str());
            if refusal.by_version {
                finding = finding.severity(Severity::Warning);
            }
            for (span, what) in &refusal.also {
                finding = finding.label(*span, what.as_str());
            }
            if let Some(route) = route {
                let proxy = cx.caddy.site(route).handlers.get(route.proxy).head;
                if !finding
                    .spans()
                    .any(|span| super::lost::overlaps(span, proxy))
                {
                    finding = finding.label(proxy, "so this socket's route is not served either");
                }
            }
            if let Some(Evidence::Application { pattern, span }) = unheard {
                let message =
                    format!("the application serves WebSockets at `{pattern}`, behind this Caddy");
                finding = finding.label(*span, message);
            }
            if let Some(note) = &refusal.note {
                finding = finding.note(note.as_str());
            }
            if !refusal.help.is_empty() {
                finding = finding.help(refusal.help.as_str());
            }
            for help in &refusal.more_help {
                finding = finding.help(help.as_str());
            }
            report.push(finding);
        }
    }
}

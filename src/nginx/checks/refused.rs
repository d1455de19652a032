//! `nginx/refused`: nginx does not start with the configuration of a route.

use std::collections::BTreeSet;

use super::places;
use crate::context::Context;
use crate::finding::Report;
use crate::handshake::Evidence;
use crate::stack;

/// Reports what nginx refuses in configurations that carry WebSockets.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen = BTreeSet::new();
    for (index, config) in (0..).zip(&cx.nginx.configs) {
        let Some(first) = config.refusals.first() else {
            continue;
        };
        let unheard = match cx.nginx.carries(index) {
            true => None,
            false => match stack::stopped(cx, first.span) {
                Some(evidence) => Some(evidence),
                None => continue,
            },
        };
        let route = places(cx).find(|place| place.route.config == index);
        for refusal in &config.refusals {
            if !seen.insert(refusal.span) {
                continue;
            }
            let message = format!("nginx does not start: {}", refusal.message);
            let mut finding = report.finding(message, refusal.span, refusal.label.clone());
            if let Some((span, message)) = &refusal.other {
                finding = finding.label(*span, message.clone());
            }
            if let Some(place) = &route {
                finding = place.because(finding);
            }
            if let Some(Evidence::Application { pattern, span }) = unheard {
                let message =
                    format!("the application serves WebSockets at `{pattern}`, behind this nginx");
                finding = finding.label(*span, message);
            }
            finding = finding.note(format!(
                "`nginx -t` says: {}. nginx refuses the whole configuration, so no WebSocket opens at all; one that runs keeps its old configuration until it is started again",
                refusal.says
            ));
            if let Some(help) = &refusal.help {
                finding = finding.help(help.clone());
            }
            report.push(finding);
        }
    }
}

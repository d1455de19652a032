//! `nginx/upgrade-not-forwarded`: neither half of the upgrade reaches the upstream.

use super::{Causes, REFUSAL, lost, with_help};
use crate::context::Context;
use crate::finding::Report;
use crate::handshake::Evidence;
use crate::nginx::headers::Half;
use crate::nginx::route::Loss;

/// Reports every route to which neither `Upgrade` nor `Connection` is sent.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for (place, loss) in lost(cx) {
        let Loss::Both { connection } = loss else {
            continue;
        };
        // Of what the application alone shows, stack/route-not-forwarded speaks.
        if place.route.evidence.iter().all(Evidence::is_applications) {
            continue;
        }
        causes.add(place.pass(), None, || {
            let message = format!(
                "no WebSocket opens through {}: its Upgrade and Connection headers do not reach the upstream",
                place.name()
            );
            let mut finding = report.finding(message, place.pass(), "passes the handshake on as a plain GET");
            if let Some(line) = connection {
                finding = finding.label(place.head(*line), "does not say `upgrade`");
            }
            finding = place.because(finding);
            let default = if place.defaults_to_http_1_0() {
                "; before 1.29.7 it also speaks HTTP/1.0 to upstreams by default and says `Connection: close`"
            } else {
                ""
            };
            finding = finding.note(format!(
                "nginx sends a client's Upgrade and Connection headers on only where `proxy_set_header` says so{default}. {}",
                super::sentence(REFUSAL)
            ));
            let mut help = place.lines_to_add(&[Half::Upgrade, Half::Connection]);
            let own = place.route.effective.level == Some(place.own_level());
            if own && connection.is_some() {
                help.push("and remove the other `Connection` line".to_owned());
            }
            super::with_fix(with_help(finding, help), super::fixes::headers(&place))
        });
    }
    causes.report(report);
}

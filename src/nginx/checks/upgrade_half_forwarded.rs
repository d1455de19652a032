//! `nginx/upgrade-half-forwarded`: one half of the upgrade is sent, and no line sends the other.

use super::{Causes, lost, with_help};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::headers::Half;
use crate::nginx::route::Loss;

/// Reports every line that sets one of the two headers where nothing sets the other.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for (place, loss) in lost(cx) {
        let Loss::Half { missing, present } = loss else {
            continue;
        };
        let (here, absent) = (missing.other().name(), missing.name());
        let span = place.head(*present);
        let route = (
            place.head(place.location()),
            format!("no {absent} header is sent from here"),
        );
        causes.add(span, Some(route), || {
            let message = format!(
                "no WebSocket opens through {}: {here} is sent to the upstream, {absent} is not",
                place.name()
            );
            let finding = report
                .finding(message, span, "half of the handshake: its other header is missing")
                .label(place.pass(), format!("arrives without `{absent}: {}`", missing.token()));
            let instead = match missing {
                Half::Upgrade => "the client's Upgrade header is never passed on by itself",
                Half::Connection if place.defaults_to_http_1_0() => "without a line for it nginx sends `Connection: close`",
                Half::Connection => "the client's Connection header is never passed on by itself",
            };
            let finding = finding.note(format!(
                "a server opens a WebSocket only if both `Upgrade: websocket` and `Connection: upgrade` arrive (RFC 6455, 4.2.1), and {instead}"
            ));
            let finding = super::with_fix(finding, super::fixes::headers(&place));
            if place.route.effective.level == Some(place.own_level()) {
                with_help(finding, place.lines_to_add(&[*missing]))
            } else {
                let value = match missing {
                    Half::Upgrade => ("$http_upgrade".to_owned(), None),
                    Half::Connection => place.connection_value(),
                };
                let indent = place.indent(*present);
                let finding = finding.help(format!("write next to it:\n{indent}proxy_set_header {absent} {};", value.0));
                match value.1 {
                    Some(map) => finding.help(format!("and in the `http` block, once:\n{map}")),
                    None => finding,
                }
            }
        });
    }
    causes.report(report);
}

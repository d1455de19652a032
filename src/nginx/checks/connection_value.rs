//! `nginx/connection-value`: `Connection` reaches the upstream without the token `upgrade`.

use super::{Causes, lost, with_help};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::headers::Half;
use crate::nginx::route::Loss;
use crate::nginx::words::lone_variable;

/// Reports every line that gives `Connection` a value that cannot upgrade.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for (place, loss) in lost(cx) {
        let Loss::Value {
            half: Half::Connection,
            item,
            value,
            steps,
            ..
        } = loss
        else {
            continue;
        };
        if !steps.is_empty() {
            continue;
        }
        let span = place.head(*item);
        let route = (
            place.head(place.location()),
            "no WebSocket opens through this location".to_owned(),
        );
        causes.add(span, Some(route), || {
            let directive = place.view.directive(*item);
            let colon = directive.arg(0).is_some_and(|name| name.ends_with(':'));
            let text = directive.arg(1).unwrap_or_default();
            let message = if colon {
                "the header is called `Connection:` here, and the upstream gets no Connection that upgrades".to_owned()
            } else if value.is_empty() {
                "the upstream gets no Connection header, and so opens no WebSocket".to_owned()
            } else {
                format!("the upstream gets `Connection: {value}`, which opens no WebSocket")
            };
            let label = match lone_variable(text) {
                _ if colon => "the colon becomes a part of the name".to_owned(),
                Some(name) if name.eq_ignore_ascii_case("http_upgrade") => {
                    "`websocket` on a handshake: this value belongs in Upgrade".to_owned()
                }
                Some(name) if name.eq_ignore_ascii_case("connection") => {
                    "the serial number of the client's connection".to_owned()
                }
                Some(name) if value.is_empty() => format!("`${name}` is empty here"),
                _ if value.is_empty() => "an empty value removes the header".to_owned(),
                _ if value.to_ascii_lowercase().split_whitespace().any(|word| word == "upgrade") => {
                    "one value with a blank in it: a list needs commas".to_owned()
                }
                _ => "the token `upgrade` is missing".to_owned(),
            };
            let finding = report.finding(message, span, label).note(
                "a server opens a WebSocket only if `upgrade` is one of the comma-separated values of Connection (RFC 6455, 4.2.1); else it answers 400, 404 or 426",
            );
            let finding = super::with_fix(finding, super::fixes::headers(&place));
            with_help(place.because(finding), place.instead(Half::Connection, *item))
        });
    }
    causes.report(report);
}

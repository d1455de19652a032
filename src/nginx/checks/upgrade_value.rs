//! `nginx/upgrade-value`: `Upgrade` reaches the upstream as something other than `websocket`.

use super::{Causes, lost, with_help};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::headers::Half;
use crate::nginx::route::Loss;
use crate::nginx::words::lone_variable;

/// Reports every line that gives `Upgrade` a value that cannot upgrade.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for (place, loss) in lost(cx) {
        let Loss::Value {
            half: Half::Upgrade,
            item,
            value,
            steps,
            other,
        } = loss
        else {
            continue;
        };
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
                "the header is called `Upgrade:` here, and the upstream gets no Upgrade header".to_owned()
            } else if value.is_empty() {
                "the upstream gets no Upgrade header, and so opens no WebSocket".to_owned()
            } else {
                format!("the upstream gets `Upgrade: {value}` in place of `Upgrade: websocket`")
            };
            let variable = lone_variable(text);
            let label = match variable {
                _ if colon => "the colon becomes a part of the name".to_owned(),
                Some(name) if name.to_ascii_lowercase().contains("connection") => {
                    format!("`${name}` belongs in Connection")
                }
                Some(name) if value.is_empty() && name.starts_with("http_") => {
                    format!("no client sends the header that `${name}` stands for")
                }
                Some(name) if value.is_empty() => format!("`${name}` is empty here"),
                _ if value.is_empty() => "an empty value removes the header".to_owned(),
                _ if value.eq_ignore_ascii_case("upgrade") => "`upgrade` belongs in Connection".to_owned(),
                _ => "not `websocket`".to_owned(),
            };
            let mut finding = report.finding(message, span, label);
            for step in steps.iter().take(2) {
                let view = place.cx.nginx.view(step.config);
                finding = finding.label(view.directive(step.map).head(), "gives this value");
            }
            if let Some(other) = other {
                finding = finding.label(place.head(*other), "nor does this line say `upgrade`");
            }
            let finding = place.because(finding).note(
                "a server opens a WebSocket only if it is asked for the protocol `websocket` (RFC 6455, 4.2.1); else it answers 400, 404 or 426. `$http_upgrade` is what the client sent",
            );
            let mut help = place.instead(Half::Upgrade, *item);
            if let Some(other) = other {
                // The version is said once.
                help.truncate(1);
                help.extend(place.instead(Half::Connection, *other));
            }
            super::with_fix(with_help(finding, help), super::fixes::headers(&place))
        });
    }
    causes.report(report);
}

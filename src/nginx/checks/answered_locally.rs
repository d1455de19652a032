//! `nginx/answered-locally`: nginx answers the handshake itself, before the proxy is asked.

use super::strays::{self, Astray, Kind};
use crate::context::Context;
use crate::finding::{Finding, Report};
use crate::nginx::model::ItemId;
use crate::nginx::way::{Cause, End, limiting};
use crate::source::Span;

/// Reports every answer that comes before the proxy.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    strays::report(
        cx,
        report,
        Kind::Answered,
        |astray| Some(astray.head(answer(astray)?)),
        finding,
    );
}

/// The directive that one would change.
fn answer(astray: &Astray<'_>) -> Option<ItemId> {
    let End::Answered { cause, .. } = &astray.stray.way.end else {
        return None;
    };
    match cause {
        Cause::Return(item) | Cause::Denied(item) | Cause::Loop(item) => Some(*item),
        Cause::Internal(index) => {
            let location = astray.view.config.locations[*index as usize].item;
            astray
                .view
                .children(location)
                .find(|item| astray.view.directive(*item).name() == "internal")
        }
        Cause::Files(_) => astray.taker(),
        Cause::Redirect(_) | Cause::Slash(_) => None,
    }
}

fn finding(report: &Report<'_>, astray: &Astray<'_>, span: Span) -> Finding {
    let lost = astray.lost();
    let status = astray.status();
    let said = status.map_or_else(
        || "closes the connection".to_owned(),
        |status| format!("answers {status}"),
    );
    let text = answer(astray).map_or_else(String::new, |item| astray.quote(item));
    let cause = match &astray.stray.way.end {
        End::Answered { cause, .. } => Some(cause),
        _ => None,
    };
    let (message, label, note, help) = match cause {
        Some(Cause::Denied(item)) => {
            let limit = limiting(astray.view, *item);
            let help = if limit.is_some() {
                "let the handshake through, which is a GET:\nlimit_except GET POST {".to_owned()
            } else {
                "allow the clients before the `deny`, from the networks that they come from:\nallow 10.0.0.0/8;\ndeny all;".to_owned()
            };
            (
                format!("no WebSocket opens {lost}: `{text}` turns every handshake away"),
                limit.map_or_else(
                    || "answers 403 to everyone".to_owned(),
                    |limit| format!("`{}` leaves GET to this: 403", astray.quote(limit)),
                ),
                "access is checked before a request is passed on",
                help,
            )
        }
        Some(Cause::Internal(_)) => (
            format!("no WebSocket opens {lost}: it is `internal`, and nothing leads there"),
            "clients get 404 for it".to_owned(),
            "an `internal` location is for requests that nginx itself leads there, by `rewrite`, `try_files` or `error_page`, and none in this server does",
            "remove the line, or lead a public location there:\nrewrite ^ /… last;".to_owned(),
        ),
        Some(Cause::Loop(_)) => (
            format!("no WebSocket opens {lost}: `{text}` leads to itself"),
            "the new path matches again, ten times: 500".to_owned(),
            "`last` looks for a location anew; `break` stays in this one",
            format!("stay in the location:\n{} break;", text.trim_end_matches(" last")),
        ),
        Some(Cause::Files(_)) => (
            format!("no WebSocket opens {lost}: `{text}` is nested where the proxy is, and has none of its own"),
            "takes the handshake, and looks for a file: 404".to_owned(),
            "a nested location inherits headers and timeouts, but never `proxy_pass`",
            format!(
                "pass the requests on there as well:\n{}",
                astray.block(&text)
            ),
        ),
        _ => (
            format!("no WebSocket opens {lost}: `{text}` answers the handshake"),
            format!("{said} before any proxy is asked"),
            "`return` runs in the rewrite phase, before a request is passed on, wherever it stands in the block",
            match astray.stray.way.condition {
                Some(_) => "let the condition hold for what is no handshake only:\nif ($http_upgrade != \"websocket\") {".to_owned(),
                None => "remove the line, or answer only what is no handshake:\nif ($http_upgrade != \"websocket\") {\n    return 426;\n}".to_owned(),
            },
        ),
    };
    let mut finding = report.finding(message, span, label);
    if let Some(right) = astray.right() {
        let own = astray.head(right.item);
        if !finding.spans().any(|known| known == own) {
            finding = finding.label(own, "handles the upgrade, and its upstream is never asked");
        }
    }
    astray
        .on_the_way(finding)
        .note(format!("{note}; {}", strays::refused(status)))
        .help(help)
}

//! `nginx/response-headers-spoiled`: the upstream opens the socket, and the browser refuses what
//! nginx makes of its answer.

use super::handshake_headers_dropped::{header_names, matches_name};
use super::{Causes, Place, upgrading};
use crate::context::Context;
use crate::finding::{Finding, Report};
use crate::nginx::model::ItemId;
use crate::rule::Severity;

/// What a browser demands of a 101 (RFC 6455, 4.1).
const DEMANDED: [&str; 2] = ["Upgrade", "Sec-WebSocket-Accept"];
const PROTOCOL: &str = "Sec-WebSocket-Protocol";

/// Reports every line that hides, clears or doubles a header of the 101.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for place in upgrading(cx) {
        hidden(&place, &mut causes, report);
        added(&place, &mut causes, report);
        cleared(&place, &mut causes, report);
    }
    causes.report(report);
}

fn hidden(place: &Place<'_>, causes: &mut Causes, report: &Report<'_>) {
    let view = place.view;
    let setting = view.setting(place.route.block, "proxy_hide_header");
    // `proxy_pass_header` takes a name out of the list again (ngx_http_upstream_hide_headers_hash).
    let passed = view.setting(place.route.block, "proxy_pass_header");
    if setting.unseen.is_some() || passed.unseen.is_some() {
        return;
    }
    for item in setting.items {
        let Some(name) = view.directive(item).arg(0) else {
            continue;
        };
        let again = passed.items.iter().any(|pass| {
            view.directive(*pass)
                .arg(0)
                .is_some_and(|other| other.eq_ignore_ascii_case(name))
        });
        if !again {
            removed(place, item, name, causes, report);
        }
    }
}

/// The headers-more module, whose lines add up over the levels.
fn cleared(place: &Place<'_>, causes: &mut Causes, report: &Report<'_>) {
    let view = place.view;
    for level in view.outward(place.route.block) {
        for item in view.own(level, "more_clear_headers") {
            for name in header_names(view.directive(item).args()) {
                removed(place, item, name, causes, report);
            }
        }
    }
}

fn removed(place: &Place<'_>, item: ItemId, name: &str, causes: &mut Causes, report: &Report<'_>) {
    let span = place.head(item);
    if let Some(header) = DEMANDED
        .into_iter()
        .find(|header| matches_name(name, header))
    {
        causes.add(span, place.broken(), || {
            let message = format!(
                "every browser refuses the sockets of {}: the 101 arrives without {header}",
                place.name()
            );
            demanded(
                place,
                report.finding(message, span, "takes it out of the upstream's answer"),
            )
            .help("delete the line")
        });
    } else if matches_name(name, PROTOCOL) {
        causes.add(span, subprotocol_route(place), || {
            let message = format!(
                "clients that ask for a subprotocol are refused in {}: the 101 arrives without {PROTOCOL}",
                place.name()
            );
            let finding = report
                .finding(message, span, "takes it out of the upstream's answer")
                .severity(Severity::Warning)
                .note("a page that asks for subprotocols (GraphQL, STOMP, MQTT, OCPP and others do) must be told which one the server chose, or the browser closes with 1006");
            place.because(finding).help("delete the line")
        });
    }
}

fn added(place: &Place<'_>, causes: &mut Causes, report: &Report<'_>) {
    let view = place.view;
    let setting = view.added_headers(place.route.block);
    if setting.unseen.is_some() {
        return;
    }
    for item in setting.items {
        let directive = view.directive(item);
        // Without `always` a header is added to 200, 204, 301 and the like, not to a 101
        // (ngx_http_headers_filter).
        let [name, value, always] = directive.args() else {
            continue;
        };
        if always.text != "always" || value.text.is_empty() || value.templated {
            continue;
        }
        let span = place.head(item);
        let known = !value.text.contains('$');
        if let Some(header) = DEMANDED
            .into_iter()
            .find(|header| name.text.eq_ignore_ascii_case(header))
        {
            // `$upstream_http_upgrade` doubles it as well; other variables may well be empty.
            if !known
                && !value
                    .text
                    .to_ascii_lowercase()
                    .starts_with("$upstream_http_")
            {
                continue;
            }
            causes.add(span, place.broken(), || {
                let message = format!(
                    "every browser refuses the sockets of {}: the 101 arrives with two {header} headers",
                    place.name()
                );
                demanded(place, report.finding(message, span, "is added to the one of the upstream"))
                    .help("delete the line: the upstream's own header passes by itself")
            });
        } else if name.text.eq_ignore_ascii_case(PROTOCOL) && known {
            causes.add(span, subprotocol_route(place), || {
                let message = format!(
                    "only clients that ask for the subprotocol `{}` get a socket through {}",
                    value.text,
                    place.name()
                );
                let finding = report
                    .finding(message, span, "is in every 101, asked for or not")
                    .severity(Severity::Warning)
                    .note("a browser refuses a 101 that names a subprotocol which the page did not ask for, and one that names two (RFC 6455, 4.1)");
                place.because(finding).help("delete the line: the server chooses the subprotocol, and its header passes by itself")
            });
        }
    }
}

fn subprotocol_route(place: &Place<'_>) -> Option<(crate::source::Span, String)> {
    Some((
        place.head(place.location()),
        "the sockets open here".to_owned(),
    ))
}

fn demanded(place: &Place<'_>, finding: Finding) -> Finding {
    place.because(finding).note("a browser accepts a 101 only with exactly one `Upgrade: websocket` and one Sec-WebSocket-Accept that answers its key (RFC 6455, 4.1); else the page sees close code 1006, although server and proxy log a 101")
}

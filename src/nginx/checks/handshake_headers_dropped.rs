//! `nginx/handshake-headers-dropped`: the upgrade is forwarded, and something else that makes a
//! GET a handshake is not.

use super::{Causes, Place, upgrading};
use crate::context::Context;
use crate::finding::{Finding, Report};
use crate::nginx::headers::{Line, handshakes};
use crate::nginx::model::ItemId;
use crate::nginx::variables::Scope;
use crate::nginx::words::{Part, parts};

/// The two headers that a server can't do without (RFC 6455, 4.2.1).
const NEEDED: [&str; 2] = ["Sec-WebSocket-Key", "Sec-WebSocket-Version"];

/// Reports every line that takes a part of the handshake away, or adds one that breaks it.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for place in upgrading(cx) {
        if place.route.effective.unseen.is_some() {
            continue;
        }
        let lines: Vec<Line<'_>> = place.lines();
        let mut kept = 0;
        for name in NEEDED {
            match sent(&place, &lines, name) {
                Sent::Wrong(item, value) => causes.add(place.head(item), place.broken(), || {
                    replaced(&place, item, name, &value, report)
                }),
                Sent::Right => kept += 1,
                Sent::NotSet | Sent::Unknown => {}
            }
        }
        let headers = place
            .view
            .setting(place.route.block, "proxy_pass_request_headers");
        if let Some(item) = headers.certain()
            && place.view.directive(item).arg(0) == Some("off")
            && kept < NEEDED.len()
        {
            causes.add(place.head(item), place.broken(), || {
                no_headers(&place, item, report)
            });
        }
        method(&place, &mut causes, report);
        body(&place, &mut causes, report);
        cleared(&place, &mut causes, report);
    }
    causes.report(report);
}

enum Sent {
    /// No line is about it: the client's own passes.
    NotSet,
    Right,
    Wrong(ItemId, String),
    Unknown,
}

/// What the lines make of one of the two headers: all that are not empty are sent.
fn sent(place: &Place<'_>, lines: &[Line<'_>], name: &str) -> Sent {
    let requests = handshakes();
    let Some(request) = requests.first() else {
        return Sent::Unknown;
    };
    let client = request
        .lines(name)
        .find_map(|line| line.value.known().cloned());
    let mut scope = Scope::new(place.view, request, place.route.block);
    let mut found: Option<(ItemId, String)> = None;
    let mut count = 0;
    for line in lines
        .iter()
        .filter(|line| line.name.eq_ignore_ascii_case(name))
    {
        let value = match line.word {
            Some(word) => scope.value(word),
            None => scope.text(line.text),
        };
        let Some(value) = value.known() else {
            return Sent::Unknown;
        };
        count += usize::from(!value.is_empty());
        if found.is_none() || !value.is_empty() {
            found = Some((line.item, value.clone()));
        }
    }
    match found {
        None => Sent::NotSet,
        Some((_, value))
            if count == 1 && Some(value.trim()) == client.as_deref().map(str::trim) =>
        {
            Sent::Right
        }
        Some((item, value)) => Sent::Wrong(item, value),
    }
}

fn replaced(
    place: &Place<'_>,
    item: ItemId,
    name: &str,
    value: &str,
    report: &Report<'_>,
) -> Finding {
    let message = format!(
        "no WebSocket opens through {}: the client's {name} does not reach the upstream",
        place.name()
    );
    let label = match value {
        "" => "an empty value removes the header".to_owned(),
        _ => format!("replaces what the client sent with `{value}`"),
    };
    let why = if name == NEEDED[0] {
        "the server answers the client's own Sec-WebSocket-Key, and the browser closes the connection where the answer is to another one (RFC 6455, 4.1)"
    } else {
        "browsers speak version 13 of the protocol, and a server answers 400 or 426 to any other or to none (RFC 6455, 4.2.1)"
    };
    let finding = report.finding(message, place.head(item), label).note(why);
    place
        .because(finding)
        .help("delete the line: nginx passes this header on by itself")
}

fn no_headers(place: &Place<'_>, item: ItemId, report: &Report<'_>) -> Finding {
    let message = format!(
        "no WebSocket opens through {}: none of the client's headers reaches the upstream",
        place.name()
    );
    let indent = place.indent(item);
    let finding = report
        .finding(
            message,
            place.head(item),
            "Sec-WebSocket-Key and Sec-WebSocket-Version are lost",
        )
        .note("without these two a server answers 400 or 426 (RFC 6455, 4.2.1)");
    place.because(finding).help(format!(
        "delete the line; or send these two as well:\n{indent}proxy_set_header Sec-WebSocket-Key $http_sec_websocket_key;\n{indent}proxy_set_header Sec-WebSocket-Version $http_sec_websocket_version;"
    ))
}

fn method(place: &Place<'_>, causes: &mut Causes, report: &Report<'_>) {
    let setting = place.view.setting(place.route.block, "proxy_method");
    let Some(item) = setting.certain() else {
        return;
    };
    let requests = handshakes();
    let Some((word, request)) = place
        .view
        .directive(item)
        .args()
        .first()
        .zip(requests.first())
    else {
        return;
    };
    let value = Scope::new(place.view, request, place.route.block).value(word);
    let Some(value) = value
        .known()
        .filter(|value| !value.eq_ignore_ascii_case("GET"))
    else {
        return;
    };
    causes.add(place.head(item), place.broken(), || {
        let message = format!(
            "no WebSocket opens through {}: the handshake becomes a {value}",
            place.name()
        );
        let finding = report
            .finding(message, place.head(item), "whatever the client's method was")
            .note("a handshake is a GET; a server answers 405 or 400 to anything else (RFC 6455, 4.2.1)");
        place.because(finding).help("delete the line, or move it to the locations that it is meant for")
    });
}

fn body(place: &Place<'_>, causes: &mut Causes, report: &Report<'_>) {
    let setting = place.view.setting(place.route.block, "proxy_set_body");
    let Some(item) = setting.certain() else {
        return;
    };
    let text = place.view.directive(item).args().first();
    let written = text.is_some_and(|word| {
        !word.templated
            && parts(&word.text)
                .iter()
                .any(|part| matches!(part, Part::Text(text) if !text.is_empty()))
    });
    if !written {
        return;
    }
    causes.add(place.head(item), place.broken(), || {
        let message = format!(
            "WebSockets through {} break at their first bytes: nginx adds a body to the handshake",
            place.name()
        );
        let finding = report
            .finding(message, place.head(item), "is sent after the headers of the handshake")
            .note("what follows the headers of a handshake belongs to the socket: the server takes these bytes for a frame, which is malformed, and closes with 1002 or just closes");
        place.because(finding).help("move the line to the locations that it is meant for")
    });
}

/// The headers-more module, whose lines add up over the levels.
fn cleared(place: &Place<'_>, causes: &mut Causes, report: &Report<'_>) {
    let view = place.view;
    let uses = |variable: &str| {
        place
            .lines()
            .iter()
            .any(|line| line.text.eq_ignore_ascii_case(variable))
    };
    for level in view.outward(place.route.block) {
        for item in view.own(level, "more_clear_input_headers") {
            let names = header_names(view.directive(item).args());
            let lost = names.into_iter().find(|name| {
                NEEDED.iter().any(|needed| matches_name(name, needed))
                    || (matches_name(name, "Upgrade") && uses("$http_upgrade"))
                    || (matches_name(name, "Connection") && uses("$http_connection"))
            });
            let Some(name) = lost else { continue };
            causes.add(place.head(item), place.broken(), || {
                let message = format!(
                    "no WebSocket opens through {}: `{name}` is cleared before the handshake is passed on",
                    place.name()
                );
                let finding = report
                    .finding(message, place.head(item), "removes it from the client's request")
                    .note("a server opens a WebSocket only if Upgrade, Connection, Sec-WebSocket-Key and Sec-WebSocket-Version arrive (RFC 6455, 4.2.1); else it answers 400 or 426");
                place.because(finding).help(format!("take `{name}` out of the line"))
            });
        }
    }
}

/// The names in a line of the headers-more module: one word may hold several, and `-s 404` or
/// `-t text/html` are conditions.
pub(super) fn header_names(args: &[crate::syntax::Word]) -> Vec<&str> {
    if args.iter().any(|word| word.text.starts_with('-')) {
        return Vec::new();
    }
    args.iter()
        .filter(|word| !word.templated)
        .flat_map(|word| word.text.split_ascii_whitespace())
        .map(|name| name.trim_end_matches(':'))
        .collect()
}

/// Whether a name, perhaps with `*` at its end, is that of a header.
pub(super) fn matches_name(written: &str, header: &str) -> bool {
    match written.strip_suffix('*') {
        Some(start) => header
            .get(..start.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(start)),
        None => written.eq_ignore_ascii_case(header),
    }
}

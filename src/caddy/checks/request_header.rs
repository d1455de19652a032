//! `request_header` takes from the handshake what `reverse_proxy` would have passed on.

use std::collections::BTreeMap;

use super::lost::{evidence, handshakes, label, requests};
use super::mend;
use crate::caddy::handler::{Action, Handler};
use crate::caddy::hop::{End, walk};
use crate::caddy::proxy::{Change, Evaluated, HANDSHAKE, HeaderLine, evaluate, opens};
use crate::caddy::route::Route;
use crate::context::Context;
use crate::finding::Report;
use crate::handshake::Browser;
use crate::source::Span;

/// A line that loses a header.
struct Loss<'a> {
    route: &'a Route,
    by: &'a Handler,
    proxy: Span,
    line: &'a HeaderLine,
    header: &'static str,
    /// What is left of the header.
    left: Option<String>,
    /// The placeholder that Caddy leaves as text.
    literal: Option<String>,
}

/// `caddy/request-header`.
pub fn request_header(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut losses: BTreeMap<Span, Vec<Loss<'_>>> = BTreeMap::new();
    for route in &cx.caddy.routes {
        for loss in losses_of(cx, route) {
            losses.entry(loss.line.span).or_default().push(loss);
        }
    }
    for group in losses.values() {
        let [first, ..] = group.as_slice() else {
            continue;
        };
        let routes: Vec<&Route> = group.iter().map(|loss| loss.route).collect();
        let header = first.header;
        let message = match &first.left {
            None => format!(
                "`request_header` removes {header} from {} before `reverse_proxy` sees it",
                handshakes(&routes)
            ),
            Some(left) => format!(
                "`request_header` turns {} into one with `{header}: {left}` before `reverse_proxy` sees it",
                handshakes(&routes)
            ),
        };
        let what = match (&first.left, &first.literal) {
            (_, Some(literal)) => {
                format!("`{literal}` is no placeholder of Caddy 2: it stays text")
            }
            (None, None) => format!("removes {header}"),
            (Some(_), None) => match header {
                "Connection" => "has no token `Upgrade`".to_owned(),
                "Upgrade" => "is not `websocket`".to_owned(),
                "Sec-WebSocket-Version" => "is not 13".to_owned(),
                _ => "is not the client's key".to_owned(),
            },
        };
        let mut finding = report.finding(message, first.line.value, what);
        for loss in group {
            let seen = if matches!(loss.header, "Connection" | "Upgrade") {
                "takes it for a plain request, and sends neither Upgrade nor Connection"
            } else {
                "passes it on as it is: the upstream refuses it"
            };
            finding = label(finding, loss.proxy, seen.to_owned());
        }
        finding = evidence(finding, first.route)
            .note(
                "`reverse_proxy` knows a handshake by `Connection: Upgrade` on the request that reaches it, and \
                 `request_header` runs before; the upstream answers 400, and the page sees close code 1006",
            )
            .help(
                "delete the line. What a plain request must not carry is removed in the proxy that sends it, with \
                 `header_up -Field`",
            );
        if let Some(edits) = mend::delete_lines(cx, &[first.line.span]) {
            finding = finding.fix(mend::safe("delete the line", edits));
        }
        report.push(finding);
    }
}

fn losses_of<'a>(cx: &'a Context<'_>, route: &'a Route) -> Vec<Loss<'a>> {
    let site = cx.caddy.site(route);
    let handlers = &site.handlers;
    if site.is_fragment() || handlers.partial {
        return Vec::new();
    }
    let Some(request) = requests(cx, route, Browser::Chrome).into_iter().next() else {
        return Vec::new();
    };
    let walk = walk(handlers, &request, false);
    if !matches!(walk.end, End::Proxied(id) if id == route.proxy) {
        return Vec::new();
    }
    let proxy = handlers.get(route.proxy).head;
    let mut found = Vec::new();
    for header in HANDSHAKE {
        if opens(&walk.request.headers, &request, header) != Some(false) {
            continue;
        }
        let left = walk.request.lines(header).last();
        let lines = walk.passed.iter().rev().flat_map(|id| {
            let handler = handlers.get(*id);
            let lines = match &handler.action {
                Action::RequestHeader(lines) => lines.as_slice(),
                _ => &[],
            };
            lines.iter().rev().map(move |line| (handler, line))
        });
        let mut lines = lines.filter(|(_, line)| match left {
            Some(left) => left.from == Some(line.span),
            None => matches!(line.change, Change::Delete) && line.touches(header),
        });
        let Some((by, line)) = lines.next() else {
            continue;
        };
        let literal =
            line.word()
                .and_then(|word| match evaluate(word, &request, &handlers.defined) {
                    Evaluated::Literal(_, literal) => Some(literal),
                    _ => None,
                });
        found.push(Loss {
            route,
            by,
            proxy,
            line,
            header,
            left: left.map(|left| left.value.known().cloned().unwrap_or_default()),
            literal,
        });
    }
    found.retain(|loss| !loss.by.conditional);
    found
}

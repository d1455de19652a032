//! `nginx/duplicate-headers`: a header that may stand in a handshake once is sent twice.

use super::{Causes, Place, upgrading};
use crate::context::Context;
use crate::finding::Report;
use crate::handshake::{Browser, Request};
use crate::nginx::headers::{Line, ONE_HOST};
use crate::nginx::variables::Scope;

/// Reports every second line for Upgrade or Host that sends something.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for place in upgrading(cx) {
        if place.route.effective.unseen.is_some() {
            continue;
        }
        let old = place
            .view
            .config
            .target
            .is_none_or(|target| target < ONE_HOST);
        for (name, counts) in [("Upgrade", true), ("Host", old)] {
            let lines = sending(&place, name);
            let (true, [first, .., last]) = (counts, lines.as_slice()) else {
                continue;
            };
            let (span, before) = (last.span, first.span);
            causes.add(span, None, || {
                let message = format!("the upstream of {} gets two {name} headers", place.name());
                let why = if name == "Upgrade" {
                    "nginx sends every line that is not empty. node's ws, python's websockets, uvicorn and tornado answer 400 or 426 to two Upgrade headers"
                } else {
                    "nginx before 1.31.4 sends every line that is not empty. A server has to answer 400 to a request with two Host headers (RFC 9112, 3.2): aiohttp and tornado do"
                };
                let finding = report.finding(message, span, "sends it a second time");
                let finding = if before == span {
                    finding
                } else {
                    finding.label(before, "the first time")
                };
                place.because(finding).note(why).help("delete one of the two lines")
            });
        }
    }
    causes.report(report);
}

/// The lines for `name` that certainly send something.
fn sending<'a>(place: &Place<'a>, name: &str) -> Vec<Line<'a>> {
    let request = &Request::handshake(Browser::Chrome, true, "example.com", 443, "");
    let mut lines = place.lines();
    lines.retain(|line| {
        let mut scope = Scope::new(place.view, request, place.route.block);
        line.name.eq_ignore_ascii_case(name)
            && match line.word {
                Some(word) => scope.value(word),
                None => scope.text(line.text),
            }
            .decide(|value| !value.is_empty())
            // A variable that nobody knows is hardly empty in Host.
            .unwrap_or(name == "Host" && !line.text.contains("$http_x"))
    });
    lines
}

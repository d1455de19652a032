//! `nginx/host-not-forwarded`: the upstream is asked for its own name, not for the site's.

use super::{Causes, upgrading};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::words::lone_variable;

/// Reports every route whose upstream gets `$proxy_host` as Host.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for place in upgrading(cx) {
        let lines = place.lines();
        let line = lines
            .iter()
            .find(|line| line.name.eq_ignore_ascii_case("host"));
        let of_upstream = line.is_none_or(|line| {
            lone_variable(line.text).is_some_and(|name| name.eq_ignore_ascii_case("proxy_host"))
        });
        // Who is reached over TLS is asked for by its own name.
        let url = place
            .view
            .directive(place.route.pass)
            .arg(0)
            .unwrap_or_default();
        if !of_upstream || !url.starts_with("http://") || place.route.effective.unseen.is_some() {
            continue;
        }
        let span = line.map_or(place.pass(), |line| line.span);
        causes.add(span, None, || {
            let message = format!("the upstream of {} is asked for its own name, not for the site's", place.name());
            let finding = report
                .finding(message, span, "sends the name in `proxy_pass` as Host")
                .note("servers that compare a handshake's Origin with its Host answer 403 then: gorilla/websocket and others of Go, tornado, Rails and Phoenix do");
            let indent = place.indent(place.route.pass);
            let help = if line.is_some() || place.route.effective.level.is_some() {
                format!("write beside the other headers:\n{indent}proxy_set_header Host $host;")
            } else {
                format!("write in {}:\n{indent}proxy_set_header Host $host;", place.level(place.own_level()))
            };
            place.because(finding).help(help)
        });
    }
    causes.report(report);
}

//! `nginx/read-timeout`: the idle time after which nginx closes a socket.

use super::{Causes, Place, upgrading};
use crate::context::Context;
use crate::finding::Report;
use crate::handshake::Evidence;
use crate::nginx::model::ItemId;
use crate::nginx::words::milliseconds;
use crate::rule::Severity;

/// Pings of servers come every 20 to 30 seconds; what is shorter cuts between two of them.
pub(crate) const SHORT: u64 = 20_000;

/// Socket.IO's and Engine.IO's `pingInterval`.
const SOCKET_IO_PING: u64 = 25_000;

/// Reports every route whose sockets do not live.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    let ping = ping(cx);
    for place in upgrading(cx) {
        let setting = place.view.setting(place.route.block, "proxy_read_timeout");
        if setting.items.is_empty() && setting.unseen.is_none() {
            by_default(&place, &mut causes, report);
        } else if let Some(item) = setting.certain() {
            explicit(&place, item, ping, &mut causes, report);
        }
    }
    causes.report(report);
}

/// The milliseconds within which every application of the project surely pings, as its commands
/// say.
fn ping(cx: &Context<'_>) -> Option<f64> {
    let servers = cx.django.commands.iter();
    let pings = servers
        .filter(|command| command.serves_websockets())
        .map(|command| command.ping());
    let longest = pings.reduce(|one, other| Some(one?.max(other?)))??;
    Some(longest * 1000.0)
}

fn explicit(
    place: &Place<'_>,
    item: ItemId,
    ping: Option<f64>,
    causes: &mut Causes,
    report: &Report<'_>,
) {
    let directive = place.view.directive(item);
    let Some(word) = directive.args().first().filter(|word| !word.templated) else {
        return;
    };
    let Some(time) = milliseconds(&word.text) else {
        return;
    };
    let pings = pings(place);
    let limit = if pings { SOCKET_IO_PING } else { SHORT };
    let span = place.head(item);
    if time == 0 {
        causes.add(span, place.broken(), || {
            let message = format!("every request to {} gets 504 at once: 0 is no time to wait", place.name());
            let finding = report
                .finding(message, span, "not \"for ever\"")
                .severity(Severity::Error)
                .note("nginx waits this long for the upstream's answer, the 101 included; there is no value that turns the timer off");
            place.because(finding).help(format!("write a long time instead:\n{}proxy_read_timeout 1h;", place.indent(item)))
        });
    } else if time < limit && ping.is_none_or(|ping| ping > time as f64) {
        let route = (
            place.head(place.location()),
            "the sockets pass here".to_owned(),
        );
        causes.add(span, Some(route), || {
            let message = format!("nginx closes the sockets of {} after {} without a message", place.name(), word.text);
            let finding = report
                .finding(message, span, if pings { "Socket.IO pings every 25 seconds" } else { "shorter than the pings of most servers" })
                .note("an upgraded connection has this one idle timer: a frame in either direction starts it anew, pings among them; when it ends nginx closes without a close frame, and the page sees close code 1006");
            place.because(finding).help(format!("write a longer time for the sockets:\n{}proxy_read_timeout 1h;", place.indent(item)))
        });
    }
}

/// The default is right for servers that ping, and nothing shows whether this one does.
fn by_default(place: &Place<'_>, causes: &mut Causes, report: &Report<'_>) {
    if place.route.evidence.iter().any(Evidence::is_of_software) {
        return;
    }
    causes.add(place.pass(), None, || {
        let message = format!("nginx closes the sockets of {} after 60 seconds without a message", place.name());
        let finding = report
            .finding(message, place.pass(), "`proxy_read_timeout` is 60s by default")
            .severity(Severity::Info)
            .note("a server that pings (daphne and uvicorn do, every 20 seconds) keeps them open; one that does not loses the idle ones, and the page sees close code 1006");
        place.because(finding).help(format!("write in {}:\n{}proxy_read_timeout 1h;", place.level(place.own_level()), place.indent(place.route.pass)))
    });
}

/// Whether the route is that of software whose server pings every 25 seconds.
fn pings(place: &Place<'_>) -> bool {
    place.route.evidence.iter().any(|evidence| match evidence {
        Evidence::WellKnown { software, .. } => {
            matches!(software.as_str(), "Socket.IO" | "Engine.IO")
        }
        _ => false,
    })
}

//! `nginx/connection-limits`: limits that count every open socket.

use super::{Causes, Place, upgrading};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::address::Address;
use crate::nginx::model::{ItemId, ROOT};

/// Below this, a thousand clients do not fit.
const FEW: u32 = 1024;

/// Reports every limit that sockets on a route count against.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for place in upgrading(cx) {
        for (name, label, message, note) in [
            (
                "limit_conn",
                "an open socket counts for as long as it lives",
                "open sockets use this limit up",
                "the next handshake gets 503, and a page that is reloaded may wait for its own old socket",
            ),
            (
                "limit_req",
                "handshakes count as requests",
                "reconnecting clients use this limit up",
                "after a restart all clients connect at once; those beyond the limit get 503, and try again",
            ),
        ] {
            let setting = place.view.setting(place.route.block, name);
            if setting.unseen.is_none() {
                for item in setting.items {
                    limit(&place, item, [message, label, note], &mut causes, report);
                }
            }
        }
        upstream(&place, &mut causes, report);
        workers(&place, &mut causes, report);
    }
    causes.report(report);
}

fn limit(
    place: &Place<'_>,
    item: ItemId,
    [message, label, note]: [&str; 3],
    causes: &mut Causes,
    report: &Report<'_>,
) {
    let span = place.head(item);
    let route = (place.head(place.location()), "sockets pass here".to_owned());
    causes.add(span, Some(route), || {
        report
            .finding(message, span, label)
            .note(note)
            .help("give the sockets a location and a limit of their own")
    });
}

/// `max_conns` of the upstream's servers.
fn upstream(place: &Place<'_>, causes: &mut Causes, report: &Report<'_>) {
    let view = place.view;
    let host = view
        .directive(place.route.pass)
        .arg(0)
        .and_then(Address::read)
        .map(|address| address.host);
    let Some(upstream) = host.and_then(|host| view.config.upstreams.get(host)) else {
        return;
    };
    let limited = view.children(*upstream).find(|item| {
        let directive = view.directive(*item);
        directive.name() == "server"
            && directive.args().iter().any(|word| {
                word.text
                    .strip_prefix("max_conns=")
                    .is_some_and(|number| number != "0")
            })
    });
    if let Some(item) = limited {
        let texts = [
            "open sockets use this limit up",
            "an open socket counts for as long as it lives",
            "where all servers are full, the next handshake gets 502",
        ];
        limit(place, item, texts, causes, report);
    }
}

/// `worker_connections` of `events`.
fn workers(place: &Place<'_>, causes: &mut Causes, report: &Report<'_>) {
    let view = place.view;
    let top = || view.children(ROOT);
    let Some(events) = top().find(|item| view.directive(*item).name() == "events") else {
        return;
    };
    let few = view.children(events).find(|item| {
        let directive = view.directive(*item);
        directive.name() == "worker_connections"
            && directive
                .arg(0)
                .and_then(|number| number.parse::<u32>().ok())
                .is_some_and(|number| number < FEW)
    });
    if let Some(item) = few {
        let texts = [
            "open sockets use the connections of a worker up",
            "each open socket takes two",
            "a proxied socket is one connection to the client and one to the upstream; when none is left nginx closes what arrives (`worker_connections are not enough`)",
        ];
        let span = place.head(item);
        let route = (place.head(place.location()), "sockets pass here".to_owned());
        causes.add(span, Some(route), || {
            report
                .finding(texts[0], span, texts[1])
                .note(texts[2])
                .help("write a higher number, and raise the limit of open files with it:\nworker_connections 4096;")
        });
    }
}

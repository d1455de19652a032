//! `nginx/cannot-upgrade`: the handshake goes to a module that has no upgrade.

use super::{Causes, lost};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::route::Loss;

/// Reports every route that `fastcgi_pass` or `grpc_pass` takes.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for (place, loss) in lost(cx) {
        if !matches!(loss, Loss::NoUpgrade) {
            continue;
        }
        causes.add(place.pass(), None, || {
            let name = place.view.directive(place.route.pass).name();
            let message = format!(
                "no WebSocket opens through {}: `{name}` cannot upgrade a connection",
                place.name()
            );
            let finding = report.finding(message, place.pass(), "speaks a protocol without Upgrade");
            let what = if name == "grpc_pass" {
                "gRPC is spoken over HTTP/2, which has no Upgrade header; nginx answers 502"
            } else {
                "FastCGI has one answer to one request, and nginx's module for it never switches to a tunnel: the browser gets an ordinary answer, or none"
            };
            place.because(finding).note(what).help(
                "send the sockets to a server that speaks HTTP:\nproxy_pass http://127.0.0.1:8000;\nproxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection \"upgrade\";",
            )
        });
    }
    causes.report(report);
}

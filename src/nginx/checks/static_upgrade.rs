//! `nginx/static-upgrade`: pages ask for an upgrade as well.

use super::{Causes, MAP, upgrading};
use crate::context::Context;
use crate::finding::Report;
use crate::handshake::has_token;

/// Reports every fixed line of the pair where a location takes whatever is left.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for place in upgrading(cx) {
        let location = &place.view.config.locations[place.route.location as usize];
        if !location.is_catch_all() || place.route.block != location.item {
            continue;
        }
        for line in place.lines() {
            let name = line.name.to_ascii_lowercase();
            let fixed = match name.as_str() {
                "connection" => has_token(line.text, "upgrade"),
                "upgrade" => has_token(line.text, "websocket"),
                _ => false,
            };
            if !fixed {
                continue;
            }
            causes.add(line.span, None, || {
                let (message, help) = if name == "upgrade" {
                    (
                        "every request asks for a WebSocket, pages among them",
                        vec!["write instead:\nproxy_set_header Upgrade $http_upgrade;".to_owned()],
                    )
                } else {
                    (
                        "every request says `Connection: upgrade`, pages among them",
                        vec![
                            "write instead:\nproxy_set_header Connection $connection_upgrade;".to_owned(),
                            format!("and in the `http` block, once:\n{MAP}"),
                        ],
                    )
                };
                let finding = report
                    .finding(message, line.span, "a fixed value")
                    .label(place.head(place.location()), "takes all that is left")
                    .note("sockets open with it. A server ignores `Connection: upgrade` without an Upgrade header, but the connection to it is not kept for the next request; some servers answer 400 to a page with `Upgrade: websocket`");
                super::with_help(finding, help)
            });
        }
    }
    causes.report(report);
}

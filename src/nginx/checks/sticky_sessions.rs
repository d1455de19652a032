//! `nginx/sticky-sessions`: a protocol that begins with polling, over several servers.

use super::{Causes, upgrading};
use crate::context::Context;
use crate::finding::Report;
use crate::handshake::{Evidence, endpoints};

/// Reports every route of such a protocol whose upstream does not keep a client at one server.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for place in upgrading(cx) {
        let view = place.view;
        let software = place
            .route
            .evidence
            .iter()
            .find_map(|evidence| match evidence {
                Evidence::WellKnown { software, .. } => endpoints()
                    .iter()
                    .find(|known| known.software == software && known.polls_first),
                _ => None,
            });
        let host = view
            .directive(place.route.pass)
            .arg(0)
            .and_then(crate::nginx::address::Address::read)
            .map(|address| address.host);
        let upstream = host.and_then(|host| view.config.upstreams.get(host));
        let (Some(software), Some(upstream)) = (software, upstream) else {
            continue;
        };
        if view.directive(*upstream).head().source != place.pass().source
            && cx
                .project
                .source(view.directive(*upstream).head().source)
                .is_template()
        {
            continue;
        }
        let children = || view.children(*upstream).map(|item| view.directive(item));
        // `ip_hash`, `hash`, `sticky` and those of modules; what an include brings may be one.
        let sticks = children().any(|directive| {
            let name = directive.name();
            name.contains("hash") || name.contains("sticky") || name == "include"
        });
        let servers: Vec<_> = children()
            .filter(|directive| {
                directive.name() == "server"
                    && !directive
                        .args()
                        .iter()
                        .any(|word| matches!(word.text.as_str(), "backup" | "down"))
            })
            .collect();
        let (false, [_, second, ..]) = (sticks, servers.as_slice()) else {
            continue;
        };
        let span = view.directive(*upstream).head();
        let route = (
            place.pass(),
            format!("{} begins with polling here", software.software),
        );
        causes.add(span, Some(route), || {
            let message = format!(
                "{} loses sessions over several servers: nothing keeps a client at one of them",
                software.software
            );
            report
                .finding(message, span, "takes the next server for each request")
                .label(second.head(), "does not know the session that the first one opened")
                .note("the connection begins with a few HTTP requests and upgrades later; all of them have to reach the server that opened the session, or it answers 400 (`Session ID unknown`) and the client starts over")
                .help("write at the start of the `upstream` block:\nip_hash;\nor, behind another proxy, hash by something that the client keeps: `hash $cookie_… consistent;`")
        });
    }
    causes.report(report);
}

//! Credentials that a handshake is asked for.

use std::collections::HashSet;

use super::lost::{evidence, names_path, requests, side_by_side};
use crate::caddy::handler::{Action, HandlerId, Handlers};
use crate::caddy::route::Route;
use crate::context::Context;
use crate::finding::Report;
use crate::handshake::{Browser, Request};
use crate::rule::Severity;

/// `caddy/auth-on-route`.
pub fn auth_on_route(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for route in &cx.caddy.routes {
        let site = cx.caddy.site(route);
        let handlers = &site.handlers;
        if site.is_fragment() || handlers.partial {
            continue;
        }
        let requests = requests(cx, route, Browser::Chrome);
        for (id, handler) in (0..).zip(&handlers.all) {
            let basic = matches!(handler.name.as_str(), "basic_auth" | "basicauth");
            let gateway = handler.name == "forward_auth";
            if !(basic || gateway) || handler.conditional || !guards(handlers, route, id, &requests)
            {
                continue;
            }
            if !seen.insert(handler.head) {
                continue;
            }
            let proxy = handlers.get(route.proxy).head;
            if gateway {
                let stripped = handler.lines.iter().any(|line| {
                    line.name() == "header_up"
                        && line.arg(0).is_some_and(|field| {
                            field.starts_with("-Upgrade")
                                || field.starts_with("-Connection")
                                || field == "-*"
                        })
                });
                if stripped {
                    continue;
                }
                let finding = report
                    .finding(
                        "the gateway is asked with the handshake's own Upgrade, and may open the socket itself",
                        handler.head,
                        "sends Upgrade and Connection along",
                    )
                    .severity(Severity::Info)
                    .label(proxy, "gets the handshake after that");
                report.push(
                    evidence(finding, route)
                        .note("a gateway that answers 101 takes the socket; what is asked for is a plain answer, 200 or 401")
                        .help("take the upgrade off the question:\n\nheader_up -Upgrade\nheader_up -Connection"),
                );
                continue;
            }
            // A page that is not asked for credentials leaves the browser none for the socket.
            let only = handlers.chain(id).any(|handler| {
                names_path(&handler.matcher)
                    && requests.first().is_some_and(|request| {
                        let page = Request {
                            path: "/".to_owned(),
                            ..request.clone()
                        };
                        handler.matcher.decide(&page) == Ok(false)
                    })
            });
            let finding = if only {
                report
                    .finding(
                        format!(
                            "{} gets 401: only its path asks for a password, and no browser asks for one on a socket",
                            route.handshake()
                        ),
                        handler.head,
                        "guards the socket and not the page that opens it",
                    )
                    .severity(Severity::Warning)
                    .note(
                        "a browser sends the credentials that it already holds for the site; on a 401 in a handshake it shows no \
                         dialog, but fails with close code 1006",
                    )
                    .help(
                        "guard the page as well, so that the browser holds them, or let the application check a cookie or a token",
                    )
            } else {
                report
                    .finding(
                        "sockets of clients that hold no credentials yet get 401",
                        handler.head,
                        "guards the sockets as well",
                    )
                    .severity(Severity::Info)
                    .note("a browser sends what it was asked for on the page; other clients must send it themselves")
                    .help("exclude the sockets where the application knows its users by itself: `@pages not path /ws/*`")
            };
            report.push(evidence(finding.label(proxy, "the socket's proxy"), route));
        }
    }
}

/// Whether that handler runs on the way to the route's proxy.
fn guards(handlers: &Handlers, route: &Route, id: HandlerId, requests: &[Request]) -> bool {
    let handler = handlers.get(id);
    let (own, beside) = side_by_side(handlers, id, route.proxy);
    let before = !handler.in_route || id < beside;
    let within = handler
        .parent
        .is_none_or(|parent| matches!(handlers.get(parent).action, Action::Block(..)));
    own == id
        && own != beside
        && before
        && within
        && !requests.is_empty()
        && requests
            .iter()
            .all(|request| handler.matcher.decide(request) == Ok(true))
        && (route.path_named || !names_path(&handler.matcher))
}

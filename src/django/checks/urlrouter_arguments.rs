//! Routers that are not given what they take.

use super::routing::head;
use crate::context::Context;
use crate::django::routes::MisuseKind;
use crate::finding::Report;

/// `django/urlrouter-arguments`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let model = &cx.django;
    for misuse in &model.misuses {
        let home = model.home(cx.project, model.applications[misuse.application].source);
        let text = cx.project.slice(misuse.span);
        let short = if text.len() > 60 || text.contains('\n') {
            "…"
        } else {
            text
        };
        let finding = match misuse.kind {
            MisuseKind::Include => report
                .finding(
                    "URLRouter takes no `include()`: the application does not start",
                    misuse.span,
                    "ImproperlyConfigured when this module is imported",
                )
                .note("Channels' router knows routes that lead to applications; `include()` makes a URLResolver, which only Django's own URLconf understands")
                .help("nest a router instead of including a module:\npath(\"ws/\", URLRouter(routing.websocket_urlpatterns)),"),
            MisuseKind::Route => report
                .finding(
                    "URLRouter is given a single route, not a list: the application does not start",
                    misuse.span,
                    "one route; TypeError, it is not iterable",
                )
                .help(format!("make it a list:\nURLRouter([{short}])")),
            MisuseKind::Module => report
                .finding(
                    "URLRouter is given a module, not the list in it: the application does not start",
                    misuse.span,
                    "a module; TypeError, it is not iterable",
                )
                .help(format!("name the list:\nURLRouter({short}.websocket_urlpatterns)")),
            MisuseKind::Empty => {
                // Without consumers nobody waits for sockets.
                let Some(consumer) = model
                    .consumers
                    .iter()
                    .find(|consumer| model.home(cx.project, consumer.span.source) == home)
                else {
                    continue;
                };
                if model.routes_of(home).next().is_some() {
                    continue;
                }
                report
                    .finding(
                        "this router has no routes: every handshake gets 500",
                        misuse.span,
                        "an empty list",
                    )
                    .label(head(cx.project, consumer.span), "no route leads to this consumer")
                    .note("a path that no route takes raises ValueError (\"No route found for path\"), which the client sees as 500")
                    .help(format!(
                        "route to it:\nURLRouter([path(\"ws/\", {}.as_asgi())])",
                        consumer.name
                    ))
            }
            MisuseKind::List => report
                .finding(
                    "WebSockets are handed to a list, which is no application: every handshake gets 500",
                    misuse.span,
                    "a list; TypeError, it is not callable",
                )
                .note("ProtocolTypeRouter hands the scope to an application; a list of routes becomes one in a URLRouter")
                .help(format!("put the routes into a router:\n\"websocket\": URLRouter({short}),")),
        };
        report.push(if misuse.router == misuse.span {
            finding
        } else {
            finding.label(head(cx.project, misuse.router), "the router")
        });
    }
}

//! An ASGI application that knows no scope of type `websocket`.

use super::routing::head;
use crate::context::Context;
use crate::django::objects::Object;
use crate::django::routes::{Application, WebSocket};
use crate::finding::{Finding, Report};
use crate::source::Span;

/// `django/no-websocket-protocol`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let model = &cx.django;
    for home in model.homes() {
        let servers = model.servers(cx.project, home);
        if model.sockets_are_served(cx.project, home) {
            continue;
        }
        let here: Vec<(usize, &Application)> = model.applications_of(home).collect();
        let socket = model.sockets(home);
        for (at, application) in &here {
            let started = servers.iter().find(|command| {
                command.speaks_asgi() && model.object(command) == Some(Object::Application(*at))
            });
            // Where no command names it, only the one application of a project is surely meant.
            if started.is_none() && !(servers.is_empty() && here.len() == 1) {
                continue;
            }
            // Some sockets end at what stands before it.
            let mounted = model.mount(cx.project, started.copied(), home).is_some();
            let Some(finding) = judge(cx, report, application, socket).filter(|_| !mounted) else {
                continue;
            };
            report.push(match started {
                Some(command) => finding.label(command.span, "starts this application"),
                None => finding,
            });
        }
        let Some(socket) = socket else {
            continue;
        };
        let mut plain: Vec<(Span, Option<Span>)> = servers
            .iter()
            .filter(|command| command.speaks_asgi())
            .filter_map(|command| match model.object(command) {
                Some(Object::Asgi(span)) => Some((span, Some(command.span))),
                _ => None,
            })
            .collect();
        if servers.is_empty() && here.is_empty() {
            let plains = model
                .plain()
                .iter()
                .filter(|span| model.home(cx.project, span.source) == home);
            plain.extend(plains.map(|span| (*span, None)));
        }
        plain.sort();
        plain.dedup_by_key(|(span, _)| *span);
        for (span, command) in plain {
            let finding = report
                .finding(
                    "this is Django's own application, which takes HTTP alone: every handshake gets 500",
                    span,
                    "raises ValueError for a WebSocket",
                )
                .label(head(cx.project, socket), "never reached")
                .note("Django itself has no WebSockets (\"Django can only handle ASGI/HTTP connections, not websocket.\"); Channels' ProtocolTypeRouter hands each protocol to the application for it")
                .help(router(cx));
            report.push(match command {
                Some(command) => finding.label(command, "starts it"),
                None => finding,
            });
        }
    }
}

fn router(cx: &Context<'_>) -> String {
    let patterns = cx
        .project
        .sources
        .iter()
        .any(|source| source.text.contains("websocket_urlpatterns"));
    let routes = if patterns {
        "websocket_urlpatterns"
    } else {
        "[…]"
    };
    format!(
        "route both protocols:\napplication = ProtocolTypeRouter({{\n    \"http\": get_asgi_application(),\n    \"websocket\": AuthMiddlewareStack(URLRouter({routes})),\n}})"
    )
}

fn judge(
    cx: &Context<'_>,
    report: &Report<'_>,
    application: &Application,
    socket: Option<Span>,
) -> Option<Finding> {
    let place = head(cx.project, application.span);
    match application.websocket {
        WebSocket::Django => {
            let span = application
                .target
                .as_ref()
                .map_or(place, |target| target.span);
            Some(
                report
                    .finding(
                        "WebSockets are handed to Django's own application, which takes HTTP alone: every handshake gets 500",
                        span,
                        "raises ValueError for a WebSocket",
                    )
                    .label(place, "the router of this application")
                    .note("Django itself has no WebSockets (\"Django can only handle ASGI/HTTP connections, not websocket.\")")
                    .help("hand them to a URLRouter:\n\"websocket\": AuthMiddlewareStack(URLRouter([…])),"),
            )
        }
        WebSocket::Nothing => {
            let typo = application
                .protocols
                .iter()
                .find(|(name, _)| is_meant_for_websocket(name));
            if let Some((name, span)) = typo {
                return Some(
                    report
                        .finding(
                            format!("no protocol is called `{name}`: no application takes WebSockets, and every handshake gets 500"),
                            *span,
                            "the protocol is called `websocket`",
                        )
                        .label(place, "the router of this application")
                        .note("ProtocolTypeRouter compares its keys with the scope's type, which is `websocket`")
                        .help("write it as it is called:\n\"websocket\": …,"),
                );
            }
            let socketio = application
                .socketio
                .map(|span| (span, "Socket.IO can poll here, but never upgrade"));
            let (evidence, label) = socketio
                .or_else(|| socket.map(|socket| (head(cx.project, socket), "never reached")))?;
            let finding = report
                .finding(
                    "this application has no `websocket` protocol: every handshake gets 500",
                    place,
                    "hands on other protocols only",
                )
                .label(evidence, label);
            let finding = finding.note("a scope of type `websocket` that the application hands to nobody raises an exception (\"No application configured for scope type 'websocket'\"), which the server answers with 500");
            Some(match socketio {
                Some(_) => {
                    finding.help("hand WebSockets to the same application:\n\"websocket\": …,")
                }
                None => finding.help(router(cx)),
            })
        }
        _ => None,
    }
}

/// Whether a key that is not `websocket` means it.
fn is_meant_for_websocket(key: &str) -> bool {
    let plain: String = key
        .chars()
        .filter(char::is_ascii_alphabetic)
        .map(|char| char.to_ascii_lowercase())
        .collect();
    matches!(plain.as_str(), "websocket" | "websockets" | "ws" | "wss")
}

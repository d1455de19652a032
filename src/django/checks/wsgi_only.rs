//! Channels routes, and no server that speaks ASGI.

use super::module_of;
use super::routing::head;
use crate::context::Context;
use crate::django::objects::Object;
use crate::django::routes::WebSocket;
use crate::finding::Report;

/// `django/wsgi-only`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let model = &cx.django;
    for home in model.homes() {
        let Some((_, application)) = model.applications_of(home).find(|(_, application)| {
            !matches!(
                application.websocket,
                WebSocket::Nothing | WebSocket::Django
            )
        }) else {
            continue;
        };
        if model.sockets(home).is_none() || model.sockets_are_served(cx.project, home) {
            continue;
        }
        let servers = model.servers(cx.project, home);
        let is_wsgi = |command: &&crate::django::command::Command| {
            !command.speaks_asgi()
                && match model.object(command) {
                    Some(Object::Wsgi(_)) => true,
                    Some(_) => false,
                    None => command
                        .target
                        .as_ref()
                        .is_some_and(|target| target.text.contains("wsgi")),
                }
        };
        if !servers.iter().all(is_wsgi) {
            continue;
        }
        let Some(command) = servers.first() else {
            continue;
        };
        let how = format!("{}{}", command.program.name(), command.worker());
        let mut finding = report
            .finding(
                format!("{how} speaks no WebSocket, and no other server runs this project's sockets: every handshake ends as a plain GET"),
                command.span,
                "starts the WSGI application",
            )
            .label(head(cx.project, application.span), "routes WebSockets, and no command starts it");
        if let Some(route) = model.routes_of(home).next() {
            finding = finding.label(route.span, "never reached");
        }
        for other in servers.iter().skip(1) {
            finding = finding.label(other.span, "starts the WSGI application too");
        }
        let name = &application.name;
        let module = module_of(cx.project, home, application.source);
        report.push(
            finding
                .note("under WSGI Django sees a GET for a path that its URLconf does not know: 404, or 301 where SECURE_SSL_REDIRECT takes it for insecure; the page sees close code 1006")
                .help(format!(
                    "start the ASGI application with a server that speaks WebSockets:\ndaphne -b 0.0.0.0 -p 8000 {module}:{name}"
                )),
        );
    }
}

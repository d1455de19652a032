//! Channels routes, and no server that speaks ASGI.

use std::collections::BTreeSet;

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
        if !servers.iter().all(is_wsgi) || served_elsewhere(cx, home) {
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

/// Whether another folder of the project is a copy of this one, with a server for its sockets: this
/// one may be there for the pages.
fn served_elsewhere(cx: &Context<'_>, home: &str) -> bool {
    let model = &cx.django;
    // What is written in each, and the routes of it.
    let told = |home: &str| -> BTreeSet<String> {
        let applications = model.applications_of(home);
        let texts = applications.map(|(_, own)| cx.project.source(own.source).text.to_string());
        let routes = model.routes_of(home).map(|route| route.pattern());
        texts.chain(routes).collect()
    };
    let own = told(home);
    let mut others = model.homes().filter(|other| *other != home);
    others.any(|other| model.sockets_are_served(cx.project, other) && told(other) == own)
}

#[cfg(test)]
mod tests {
    use crate::check::{Selection, check};
    use crate::project::Project;

    #[test]
    fn of_two_copies_one_may_be_for_the_pages() {
        let asgi = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.core.asgi import get_asgi_application\nfrom django.urls import path\nhttp = get_asgi_application()\nfrom news import News\napplication = ProtocolTypeRouter({'http': http, 'websocket': URLRouter([path('ws/news/', News.as_asgi())])})\n";
        let other = asgi.replace("ws/news/", "ws/other/");
        let wsgi = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n";
        for (blue, expected) in [(asgi, 0), (other.as_str(), 1)] {
            let mut files = Vec::new();
            for (folder, asgi, command) in [
                ("blue", blue, "daphne -p 8000 chat.asgi:application"),
                ("green", asgi, "gunicorn -b :8001 chat.wsgi:application"),
            ] {
                files.extend([
                    (
                        format!("{folder}/manage.py"),
                        "os.environ['DJANGO_SETTINGS_MODULE'] = 'chat.settings'\n".to_owned(),
                    ),
                    (
                        format!("{folder}/chat/settings.py"),
                        "ROOT_URLCONF = 'chat.urls'\n".to_owned(),
                    ),
                    (format!("{folder}/chat/asgi.py"), asgi.to_owned()),
                    (format!("{folder}/chat/wsgi.py"), wsgi.to_owned()),
                    (format!("{folder}/Procfile"), format!("web: {command}\n")),
                ]);
            }
            let files = files
                .iter()
                .map(|(path, text)| (path.as_str(), text.as_str()));
            let project = Project::in_memory(files).expect("valid");
            let findings = check(&project, &Selection::default()).findings;
            let own = findings
                .iter()
                .filter(|finding| finding.rule == "django/wsgi-only");
            assert_eq!(own.count(), expected);
        }
    }
}

//! A server command that names an application of the other kind, or none.

use super::module_of;
use super::routing::head;
use crate::context::Context;
use crate::django::command::{Command, Program};
use crate::django::objects::Object;
use crate::finding::Report;
use crate::source::Span;

/// `django/wrong-application`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let model = &cx.django;
    for home in model.homes() {
        let Some(socket) = model.sockets(home) else {
            continue;
        };
        let right = model.applications_of(home).next().map(|(_, application)| {
            let module = module_of(cx.project, home, application.source);
            format!("{module}:{}", application.name)
        });
        // What another server takes is not lost.
        let asgi = model.servers(cx.project, home).into_iter();
        let asgi: Vec<_> = asgi.filter(|command| command.speaks_asgi()).collect();
        let broken: Option<Vec<_>> = asgi
            .into_iter()
            .map(|command| Some((command, model.unloadable(command)?)))
            .collect();
        for (command, unloadable) in broken.into_iter().flatten() {
            let Some(target) = &command.target else {
                continue;
            };
            let named = cx.project.slice(target.span);
            let mut finding =
                report.finding(unloadable.why.clone(), target.span, "can't be loaded");
            if let Some(module) = unloadable.module {
                let first = cx.project.source(module).text.lines().next();
                let line = Span::new(module, 0..first.map_or(0, str::len));
                finding = finding.label(line, "the module begins here");
            }
            report.push(
                finding
                    .label(head(cx.project, socket), "waits for handshakes")
                    .note("it ends at once and listens nowhere: no request is answered, handshakes among them, and a proxy before it says 502")
                    .help(match &right {
                        Some(right) => format!(
                            "name the application that is there:\n{}",
                            cx.project.slice(command.span).replacen(named, right, 1)
                        ),
                        None => "name the module and the application in it: `module:name`".to_owned(),
                    }),
            );
        }
        if model.sockets_are_served(cx.project, home) {
            continue;
        }
        for command in model.servers(cx.project, home) {
            let (Some(object), Some(target)) = (model.object(command), &command.target) else {
                continue;
            };
            let finding = match (command.speaks_asgi(), object) {
                (false, Object::Application(_) | Object::Asgi(_))
                    if !command.may_speak_asgi() && command.program != Program::Runserver =>
                {
                    let span = match object {
                        Object::Application(at) => model.applications[at].span,
                        Object::Asgi(span) | Object::Wsgi(span) => span,
                    };
                    let (gets, help) = match command.program {
                        Program::Gunicorn => (
                            "gets 500",
                            format!(
                                "let a worker run it that speaks ASGI (and install `uvicorn[standard]` and `uvicorn-worker`):\n{}",
                                with_worker(command)
                            ),
                        ),
                        program => (
                            match program {
                                Program::Uwsgi => "is closed without an answer",
                                _ => "gets 500",
                            },
                            format!(
                                "start it with a server that speaks ASGI:\ndaphne -b 0.0.0.0 -p {} {}",
                                command.port().unwrap_or(8000),
                                with_attribute(&target.text)
                            ),
                        ),
                    };
                    report
                        .finding(
                            format!(
                                "{}{} calls an ASGI application as if it were a WSGI one: every request {gets}, handshakes among them",
                                command.program.name(),
                                command.worker()
                            ),
                            target.span,
                            "an ASGI application",
                        )
                        .label(head(cx.project, span), "made here")
                        .note("a WSGI server calls the application with `environ` and `start_response`; an ASGI application takes `scope`, `receive` and `send`, so each call raises TypeError")
                        .help(help)
                }
                (true, Object::Wsgi(span))
                    if command.program == Program::Granian
                        || command.option(&["--interface"]).is_none() =>
                {
                    let status = match command.program {
                        Program::Hypercorn => {
                            "serves its pages and closes every handshake with 403"
                        }
                        Program::Granian => {
                            "answers its pages with 500 and every handshake with 403"
                        }
                        _ => "answers every request with 500, handshakes among them",
                    };
                    let module = target.text.split(':').next().unwrap_or_default();
                    let right = module
                        .strip_suffix("wsgi")
                        .map(|package| format!("{package}asgi:application"));
                    let finding = report
                        .finding(
                            format!(
                                "{} is given a WSGI application, which can't take a WebSocket: it {status}",
                                command.program.name()
                            ),
                            target.span,
                            "a WSGI application",
                        )
                        .label(head(cx.project, span), "made here")
                        .note("WSGI knows requests and answers only; a WebSocket needs an ASGI application");
                    match right {
                        Some(right) => finding.help(format!(
                            "name the ASGI application:\n{}",
                            cx.project.slice(command.span).replacen(
                                cx.project.slice(target.span),
                                &right,
                                1
                            )
                        )),
                        None => finding.help("name the application that asgi.py makes"),
                    }
                }
                _ => continue,
            };
            report.push(finding.label(head(cx.project, socket), "waits for handshakes"));
        }
    }
}

/// The command with a worker that speaks ASGI.
fn with_worker(command: &Command) -> String {
    let mut words = vec![command.program.name()];
    let mut skip = false;
    for word in &command.words {
        if std::mem::take(&mut skip) {
            continue;
        }
        let names_class = word.text.starts_with("-k") || word.text.starts_with("--worker-class");
        skip = matches!(word.text.as_str(), "-k" | "--worker-class" | "--threads");
        if !names_class && !word.text.starts_with("--threads") {
            words.push(&word.text);
        }
    }
    format!("{} -k uvicorn_worker.UvicornWorker", words.join(" "))
}

/// `module:attribute`; a module alone stands for its `application`.
fn with_attribute(target: &str) -> String {
    match target.contains(':') {
        true => target.to_owned(),
        false => format!("{target}:application"),
    }
}

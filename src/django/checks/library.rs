//! uvicorn without a library that speaks WebSockets.

use std::collections::HashSet;

use crate::context::Context;
use crate::django::command::{Command, Program};
use crate::django::requirements::Library;
use crate::django::routes::WebSocket;
use crate::django::servers::without_library;
use crate::finding::{Finding, Report};
use crate::rule::Severity;
use crate::source::Span;

/// `django/no-websocket-library`.
pub fn missing(cx: &Context<'_>, report: &mut Report<'_>) {
    let model = &cx.django;
    let mut seen: HashSet<Span> = HashSet::new();
    for application in model
        .applications
        .iter()
        .filter(|application| application.websocket != WebSocket::Nothing)
    {
        let home = model.home(cx.project, application.source);
        let installed = model.installed(home);
        let library = installed.websocket_library();
        let servers = model.servers(cx.project, home);
        // Another server may be there for the sockets.
        if servers.iter().any(|command| {
            command.serves_websockets() && without_library(command, &library).is_none()
        }) {
            continue;
        }
        for command in servers {
            if let Some(finding) = judge(report, command, &library)
                && seen.insert(finding.span)
            {
                report.push(finding);
            }
        }
    }
}

/// What a command's WebSockets come to.
fn judge(report: &Report<'_>, command: &Command, library: &Library<'_>) -> Option<Finding> {
    if command.program == Program::Granian
        && command.serves_websockets()
        && let Some(word) = command.word("--no-ws")
    {
        return Some(
            report
                .finding(
                    "granian is told to speak no WebSocket: every handshake is handed on as a plain GET",
                    word.span,
                    "turns WebSockets off",
                )
                .note("the client gets whatever Django answers to a GET there: 404, or 301 where SECURE_SSL_REDIRECT is on")
                .help("leave `--no-ws` out: granian speaks WebSockets by itself"),
        );
    }
    if !command.is_uvicorn() || !command.serves_websockets() {
        return None;
    }
    let finding = match (command.option(&["--ws"]), library) {
            (Some("none"), _) => {
                let span = command.word("--ws").map_or(command.span, |word| word.span);
                report
                    .finding(
                        "uvicorn is told to speak no WebSocket: every handshake is handed on as a plain GET",
                        span,
                        "turns WebSockets off",
                    )
                    .help(format!("leave it out; uvicorn finds its library by itself:\n{}", without_ws(command)))
            }
            // A library that is named and missing stops uvicorn at once.
            (Some(name), _) if name != "auto" => return None,
            (_, Library::Missing(package)) => {
                report
                    .finding(
                        "uvicorn is installed without a library that speaks WebSockets: every handshake is handed on as a plain GET",
                        package.span,
                        "neither `websockets` nor `wsproto` is installed with it",
                    )
                    .label(command.span, "takes the handshakes")
                    .help("install uvicorn with its extra:\nuvicorn[standard]")
            }
            (_, Library::NotAsked(package)) => {
                report
                    .finding(
                        "uvicorn is asked for without a library that speaks WebSockets: unless something else installs one, every handshake is handed on as a plain GET",
                        package.span,
                        "does not bring `websockets` or `wsproto` along",
                    )
                    .severity(Severity::Warning)
                    .label(command.span, "takes the handshakes")
                    .help("ask for uvicorn with its extra:\nuvicorn[standard]")
            }
            _ => return None,
        };
    Some(explain(finding))
}

/// The command without `--ws none`.
fn without_ws(command: &Command) -> String {
    let mut words = vec![command.program.name()];
    let mut skip = false;
    for word in &command.words {
        if std::mem::take(&mut skip) || word.text == "--ws=none" {
            continue;
        }
        skip = word.text == "--ws";
        if !skip {
            words.push(&word.text);
        }
    }
    words.join(" ")
}

fn explain(finding: Finding) -> Finding {
    finding.note("uvicorn logs \"Unsupported upgrade request\" and goes on with plain HTTP, so the client gets whatever Django answers to a GET there: 404, or 301 where SECURE_SSL_REDIRECT is on; none of Channels, gunicorn and uvicorn-worker installs such a library")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Project;
    use crate::rule::rules;

    fn said(files: &[(&str, &str)]) -> Vec<Severity> {
        let asgi = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.urls import path\n\
            application = ProtocolTypeRouter({'websocket': URLRouter([path('ws/', f)])})\n";
        let project =
            Project::in_memory(files.iter().copied().chain([("p/asgi.py", asgi)])).unwrap();
        let cx = Context::resolve(&project);
        let rule = rules()
            .iter()
            .find(|rule| rule.id == "django/no-websocket-library")
            .unwrap();
        let mut report = Report::new(rule);
        missing(&cx, &mut report);
        report
            .into_parts()
            .0
            .iter()
            .map(|finding| finding.severity)
            .collect()
    }

    #[test]
    fn granian_may_be_told_to_speak_none() {
        let command = "web: granian --interface asgi p.asgi:application";
        let none = format!("{command} --no-ws\n");
        assert_eq!(said(&[("Procfile", &none)]), [Severity::Error]);
        let there = format!("{command}\n");
        assert_eq!(said(&[("Procfile", &there)]), []);
        let beside = format!("{none}ws: daphne p.asgi:application\n");
        assert_eq!(said(&[("Procfile", &beside)]), []);
    }

    #[test]
    fn it_depends_on_what_is_installed() {
        let uvicorn = ("Procfile", "web: uvicorn p.asgi:application\n");
        let worker = (
            "Procfile",
            "web: gunicorn p.asgi:application -k uvicorn_worker.UvicornWorker\n",
        );
        let bare = ("requirements.txt", "uvicorn\n");
        let lock = (
            "uv.lock",
            "[[package]]\nname = \"uvicorn\"\nversion = \"0.30\"\n",
        );
        let standard = ("requirements.txt", "uvicorn[standard]\n");
        assert_eq!(said(&[uvicorn, bare]), [Severity::Warning]);
        assert_eq!(said(&[worker, bare]), [Severity::Warning]);
        assert_eq!(said(&[uvicorn, lock]), [Severity::Error]);
        assert_eq!(said(&[uvicorn, standard]), []);
        assert_eq!(said(&[uvicorn]), []);
        assert_eq!(
            said(&[
                ("Procfile", "web: uvicorn --ws none p.asgi:application\n"),
                standard
            ]),
            [Severity::Error]
        );
        for daphne in [
            "web: daphne p.asgi:application\n",
            "web: daphne p.asgi:application\nhttp: uvicorn --ws none p.asgi:application\n",
            "web: uvicorn --ws none p.asgi:application\nsockets: daphne p.asgi:application\n",
            "web: daphne p.asgi:application\napi: uvicorn --ws none api.main:app\n",
            "api: uvicorn --ws none api.main:app\n",
        ] {
            assert_eq!(said(&[("Procfile", daphne), bare]), [], "{daphne}");
        }
    }
}

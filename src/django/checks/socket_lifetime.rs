//! Server commands under which an open socket does not live long.

use std::collections::HashSet;

use crate::context::Context;
use crate::django::command::{Command, Program, Word};
use crate::finding::{Finding, Report};
use crate::rule::Severity;
use crate::source::Span;

/// Seconds below which a limit on the life of every socket is worth a warning.
const SHORT: u64 = 3600;

/// `django/socket-lifetime`.
pub fn lifetime(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen: HashSet<Span> = HashSet::new();
    for settings in cx.django.production() {
        let home = cx.django.home(cx.project, settings.source);
        if !cx.django.knows_websockets(cx.project, home) {
            continue;
        }
        let views = in_a_view(cx, home);
        for command in cx.django.servers(cx.project, home) {
            let finding = match command.program {
                Program::Daphne => closed_by_daphne(report, command),
                Program::Gunicorn => killed_by_gunicorn(report, command, views),
                Program::Hypercorn | Program::Uvicorn => never_pinged(report, command),
                _ => None,
            };
            if let Some(finding) = finding
                && seen.insert(finding.span)
            {
                report.push(finding);
            }
        }
    }
}

/// Where a module of the application in `home` imports the library that serves sockets in views.
fn in_a_view(cx: &Context<'_>, home: &str) -> Option<Span> {
    const IMPORTS: [&str; 2] = ["from simple_websocket", "import simple_websocket"];
    cx.django.sources_of(cx.project, home).find_map(|source| {
        let mut at = 0;
        source.text.split_inclusive('\n').find_map(|line| {
            let start = at;
            at += line.len();
            let import = IMPORTS.iter().find(|import| line.starts_with(**import))?;
            Some(Span::new(source.id, start..start + import.len()))
        })
    })
}

/// The number that an option gives, and its word.
fn seconds<'c>(command: &'c Command, names: &[&'static str]) -> Option<(u64, &'c Word)> {
    let value = command.option(names)?.parse().ok()?;
    let word = names.iter().find_map(|name| {
        command.words.iter().find(|word| {
            word.text.strip_prefix(name).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('=') || !name.starts_with("--")
            })
        })
    })?;
    Some((value, word))
}

/// daphne/cli.py `--websocket_timeout`: the longest that any socket may live, idle or not.
fn closed_by_daphne(report: &Report<'_>, command: &Command) -> Option<Finding> {
    let (limit, word) = seconds(command, &["--websocket_timeout"])?;
    (limit > 0 && limit < SHORT).then(|| {
        report
            .finding(
                format!("daphne closes every WebSocket {limit} seconds after it was opened, in use or not"),
                word.span,
                "the longest that a socket may live",
            )
            .note("this is no idle limit and no limit on the handshake: a busy socket is closed as well, with code 1000; the handshake's is `--websocket_connect_timeout`")
            .help("leave it out; the default is a day (86400)")
    })
}

/// hypercorn/config.py: `websocket_ping_interval` is None; uvicorn/protocols/websockets: pings come
/// from `websockets`, and wsproto_impl.py sends none.
fn never_pinged(report: &Report<'_>, command: &Command) -> Option<Finding> {
    if !command.serves_websockets() || command.is_configured_elsewhere() {
        return None;
    }
    let (span, label, help) = match command.program {
        Program::Hypercorn if command.option(&["--websocket-ping-interval"]).is_none() => (
            command.span,
            "sends none unless it is told to",
            "let hypercorn ping:\n--websocket-ping-interval 20",
        ),
        Program::Uvicorn if command.option(&["--ws"]) == Some("wsproto") => (
            command.word("--ws").map_or(command.span, |word| word.span),
            "`wsproto` sends none, whatever `--ws-ping-interval` says",
            "let uvicorn use the library that pings (`pip install websockets`):\n--ws websockets",
        ),
        _ => return None,
    };
    Some(
        report
            .finding(
                format!(
                    "{} sends no pings: whoever stands before it closes the sockets on which nobody talks",
                    command.program.name()
                ),
                span,
                label,
            )
            .severity(Severity::Info)
            .note("nginx and an AWS load balancer close a socket after 60 silent seconds, Heroku after 55; a heartbeat that the page or the consumer sends keeps it open as well")
            .help(help),
    )
}

/// gunicorn/workers/sync.py: a sync worker that holds a socket can't tell the arbiter that it
/// lives, and is killed.
fn killed_by_gunicorn(
    report: &Report<'_>,
    command: &Command,
    views: Option<Span>,
) -> Option<Finding> {
    let views = views?;
    let threaded = command
        .option(&["--threads"])
        .is_some_and(|threads| threads != "1");
    let sync = match command.worker_class() {
        None => !threaded,
        Some(class) => class == "sync" && !threaded,
    };
    if !sync || command.is_configured_elsewhere() {
        return None;
    }
    // gunicorn/config.py: 30 seconds by default; 0 never kills.
    let (limit, span) = match seconds(command, &["--timeout", "-t"]) {
        Some((limit, word)) => (limit, word.span),
        None => (30, command.span),
    };
    (limit > 0 && limit < SHORT).then(|| {
        report
            .finding(
                format!("gunicorn's sync worker is killed {limit} seconds after it took a WebSocket, and the socket with it"),
                span,
                "the arbiter kills a worker that is silent for so long",
            )
            .severity(Severity::Warning)
            .label(views, "serves sockets inside a view, which holds its worker")
            .note("one sync worker serves one socket and nothing else; while it does, it can't tell the arbiter that it lives, and the page sees close code 1006")
            .help("let threads hold the sockets; a threaded worker is not killed for them:\n--worker-class gthread --threads 100")
    })
}

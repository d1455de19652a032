//! A hop closes silent sockets before the application pings them.

use std::collections::BTreeSet;

use crate::caddy::checks::lifetime::{HEARTBEAT, read_timeout};
use crate::caddy::route::proxies;
use crate::context::Context;
use crate::django::command::Command;
use crate::finding::Report;
use crate::nginx::checks::read_timeout::SHORT;
use crate::nginx::words::milliseconds;
use crate::source::Span;
use crate::stack::topology::Program;
use crate::trace::{Run, Step, Verdict};

/// nginx's default of `proxy_read_timeout`, in seconds (ngx_http_proxy_module.c).
const NGINX_DEFAULT: f64 = 60.0;

/// An application that says how often it pings.
struct Pings {
    seconds: f64,
    word: Span,
}

/// A hop that does not wait so long.
struct Limit {
    seconds: f64,
    /// The line that says so, or to which one would add it.
    span: Span,
    label: String,
    help: String,
    note: &'static str,
}

/// `stack/idle-timeout`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen: BTreeSet<(Span, Span)> = BTreeSet::new();
    for traced in cx.ways() {
        let run = traced.way.decisive();
        if run.verdict == Verdict::Fails {
            continue;
        }
        let Some(pings) = pings(cx, run) else {
            continue;
        };
        let limits = run.steps.iter().filter_map(|step| match step.layer {
            "edge" => edge(cx),
            "nginx" => nginx(cx, step),
            "caddy" => caddy(cx, step),
            _ => None,
        });
        let strictest = limits
            .filter(|limit| limit.seconds <= pings.seconds)
            .min_by(|one, other| one.seconds.total_cmp(&other.seconds));
        let Some(limit) = strictest else {
            continue;
        };
        if !seen.insert((limit.span, pings.word)) {
            continue;
        }
        let finding = report
            .finding(
                format!(
                    "a silent socket is closed after {} seconds, and the application pings every {}",
                    limit.seconds, pings.seconds
                ),
                limit.span,
                limit.label,
            )
            .label(pings.word, format!("pings every {} seconds", pings.seconds));
        report.push(
            finding
                .note(limit.note)
                .note("the page sees close code 1006, always after the same time and only where nobody types; a heartbeat that the page itself sends would hide it")
                .help(limit.help)
                .help(format!(
                    "or ping more often than that:\n{}",
                    more_often(cx.project.slice(pings.word), limit.seconds)
                )),
        );
    }
}

/// The option with half of the limit.
fn more_often(word: &str, limit: f64) -> String {
    let name = word.split(['=', ' ']).next().unwrap_or(word);
    format!("{name} {}", (limit / 2.0).ceil().min(20.0))
}

/// How often the application pings that a run ends at: the rarest of its servers' pings.
fn pings(cx: &Context<'_>, run: &Run) -> Option<Pings> {
    let step = run.steps.iter().find(|step| step.layer == "django")?;
    let Program::Django { commands, .. } = &cx.topology.places.get(step.hop?)?.program else {
        return None;
    };
    let commands = commands.iter().map(|command| &cx.django.commands[*command]);
    let of = |command: &Command| {
        let word = command.word(command.ping_option()?)?;
        Some(Pings {
            seconds: command.ping()?,
            word: word.span,
        })
    };
    let mut all = commands
        .filter(|command| command.serves_websockets())
        .map(of)
        .collect::<Option<Vec<_>>>()?;
    all.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
    all.into_iter().next()
}

fn edge(cx: &Context<'_>) -> Option<Limit> {
    let edge = &cx.project.config.edge;
    let idle = edge.idle()?;
    let seconds = idle.seconds;
    let limit = idle.edge.and_then(|edge| edge.idle);
    let label = match idle.edge {
        Some(edge) => {
            let source = edge.source("idle").unwrap_or_default();
            format!(
                "{} closes a socket that is silent for {seconds} seconds ({source})",
                edge.title
            )
        }
        None => format!("declared to close a socket that is silent for {seconds} seconds"),
    };
    let help = match limit {
        Some(limit) if limit.change.is_empty() => {
            "this limit is fixed: only a ping within it keeps a socket open".to_owned()
        }
        Some(limit) => format!(
            "raise {}, and say so in wslint.toml:\n[edge]\nidle-timeout = 300",
            limit.change
        ),
        None => "raise it, if it can be raised".to_owned(),
    };
    Some(Limit {
        seconds: f64::from(idle.seconds),
        span: edge.declared?,
        label,
        help,
        note: "an edge counts the time without a byte on an upgraded connection, in either direction; a ping frame is enough to start it anew",
    })
}

fn nginx(cx: &Context<'_>, step: &Step) -> Option<Limit> {
    let because = |span: Span| {
        step.passage
            .because
            .iter()
            .any(|because| because.span == span)
    };
    let mut routes = cx.nginx.routes.iter();
    let route =
        routes.find(|route| because(cx.nginx.view(route.config).directive(route.pass).head()))?;
    let view = cx.nginx.view(route.config);
    let setting = view.setting(route.block, "proxy_read_timeout");
    let help = "let the sockets be silent for longer:\nproxy_read_timeout 1h;".to_owned();
    let note = "nginx has one timer for an upgraded connection: a frame in either direction starts it anew, pings among them; when it ends nginx closes without a close frame";
    if setting.items.is_empty() && setting.unseen.is_none() {
        return Some(Limit {
            seconds: NGINX_DEFAULT,
            span: view.directive(route.pass).head(),
            label: "`proxy_read_timeout` is 60s by default".to_owned(),
            help,
            note,
        });
    }
    let directive = view.directive(setting.certain()?);
    let word = directive.args().first().filter(|word| !word.templated)?;
    let time = milliseconds(&word.text)?;
    // What is shorter than any heartbeat is told by itself.
    (time >= SHORT).then(|| Limit {
        seconds: time as f64 / 1000.0,
        span: directive.head(),
        label: "closes a socket that is silent for so long".to_owned(),
        help,
        note,
    })
}

fn caddy(cx: &Context<'_>, step: &Step) -> Option<Limit> {
    let because = |span: Span| {
        step.passage
            .because
            .iter()
            .any(|because| because.span == span)
    };
    let mut all = proxies(&cx.caddy);
    let (_, _, handler, _) = all.find(|(_, _, handler, _)| because(handler.head))?;
    let (line, limit) = read_timeout(handler)?;
    (limit >= HEARTBEAT).then(|| Limit {
        seconds: limit.as_secs_f64(),
        span: line.head,
        label: "counts for open sockets too".to_owned(),
        help: "delete the line: Caddy has no limit for open sockets by itself".to_owned(),
        note: "the transport's `read_timeout` runs on an upgraded connection as well, from one byte of the application to the next",
    })
}

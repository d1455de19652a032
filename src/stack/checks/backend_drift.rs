//! Backends of one upstream that treat the same handshake differently.

use std::collections::BTreeSet;

use crate::context::Context;
use crate::finding::Report;
use crate::source::Span;
use crate::trace::{Sibling, Step, Verdict};

/// `stack/backend-drift`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen: BTreeSet<(Span, Span)> = BTreeSet::new();
    for traced in cx.ways() {
        let run = traced.way.decisive();
        let Some(step) = run.steps.iter().find(|step| drifts(step)) else {
            continue;
        };
        let of = |verdict: Verdict| {
            let mut siblings = step.siblings.iter();
            siblings.find(move |sibling| sibling.verdict == verdict)
        };
        let (Some(fails), Some(opens)) = (of(Verdict::Fails), of(Verdict::Opens)) else {
            continue;
        };
        let (Some((_, lost)), Some((_, open))) = (&fails.decided, &opens.decided) else {
            continue;
        };
        if told(cx, lost.span) || !seen.insert((fails.upstream.from, lost.span)) {
            continue;
        }
        let count = step.siblings.len();
        let bad = step
            .siblings
            .iter()
            .filter(|sibling| sibling.verdict == Verdict::Fails)
            .count();
        let status = fails.status.map_or_else(
            || "does not open".to_owned(),
            |status| format!("gets {status}"),
        );
        let mut finding = report
            .finding(
                format!(
                    "{bad} of {count} backends that {} balances between loses every handshake that it gets: `{}` {status} there",
                    step.layer,
                    traced.path,
                ),
                lost.span,
                format!("`{}`: {}", name(fails), lost.message),
            )
            .label(open.span, format!("`{}`: {}", name(opens), open.message));
        for sibling in [fails, opens] {
            let from = sibling.upstream.from;
            if finding.spans().all(|span| span != from) {
                finding = finding.label(from, format!("dials `{}`", name(sibling)));
            }
        }
        report.push(
            finding
                .note("which backend a client gets is chosen anew with every connection, or stays with it: so a socket opens for some people, or at some times, and a reload \"mends\" it; the page sees close code 1006")
                .note(format!("`wslint trace {}` shows the whole way", traced.way.url))
                .help("let all backends of one upstream be the same, or send the sockets to those alone that take them"),
        );
    }
}

/// Whether a rule about nginx alone tells what is lost at `span`.
fn told(cx: &Context<'_>, span: Span) -> bool {
    let mut routes = cx.nginx.routes.iter();
    routes.any(|route| {
        let pass = cx.nginx.view(route.config).directive(route.pass).head();
        route.loss.is_some() && pass == span
    })
}

/// Whether upstreams of a step that are all in the project differ: some open, some don't.
pub(crate) fn drifts(step: &Step) -> bool {
    let has = |verdict: Verdict| {
        let mut siblings = step.siblings.iter();
        siblings.any(|sibling| sibling.verdict == verdict)
    };
    let known =
        |sibling: &Sibling| sibling.decided.is_some() && sibling.verdict != Verdict::Undecided;
    has(Verdict::Opens) && has(Verdict::Fails) && step.siblings.iter().all(known)
}

fn name(sibling: &Sibling) -> String {
    let host = sibling.upstream.host.known();
    let host = host.map_or("an upstream", String::as_str);
    match sibling.upstream.port.known() {
        Some(port) if !host.starts_with("unix:") => format!("{host}:{port}"),
        _ => host.to_owned(),
    }
}

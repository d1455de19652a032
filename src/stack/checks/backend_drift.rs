//! Backends of one upstream that treat the same handshake differently.

use std::collections::BTreeSet;

use crate::context::Context;
use crate::finding::Report;
use crate::rule::Severity;
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
        let first = takes_first(cx, step, fails);
        let message = match first {
            Some(_) => format!(
                "Caddy sends every handshake to the first of {count} backends, which loses it: `{}` {status} there",
                traced.path
            ),
            None => format!(
                "{bad} of {count} backends that {} balances between loses every handshake that it gets: `{}` {status} there",
                super::name(step.layer),
                traced.path,
            ),
        };
        let mut finding = report
            .finding(
                message,
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
        if let Some(policy) = first {
            report.push(
                finding
                    .severity(Severity::Error)
                    .label(policy, "takes the others only while the first does not answer at all")
                    .note("a backend that answers is available, whatever it answers: so nobody's socket opens, and the page sees close code 1006")
                    .note(format!("`wslint trace {}` shows the whole way", traced.way.url))
                    .help(repaired(cx, step, fails, opens)),
            );
            continue;
        }
        report.push(
            finding
                .note("which backend a client gets is chosen anew with every connection, or stays with it: so a socket opens for some people, or at some times, and a reload \"mends\" it; the page sees close code 1006")
                .note(format!("`wslint trace {}` shows the whole way", traced.way.url))
                .help(repaired(cx, step, fails, opens)),
        );
    }
}

/// The policy by which everybody gets the backend that fails: Caddy's `first`, without checks of
/// its own that could take that one out (selectionpolicies.go, FirstSelection).
fn takes_first(cx: &Context<'_>, step: &Step, fails: &Sibling) -> Option<Span> {
    let because = |span: Span| {
        let mut all = step.passage.because.iter();
        all.any(|because| because.span == span)
    };
    let sites = cx.caddy.configs.iter().flat_map(|config| &config.sites);
    let mut proxies = sites.flat_map(|site| site.handlers.proxies());
    let (_, handler, proxy) = proxies.find(|(_, handler, _)| because(handler.head))?;
    let line = |name: &str| handler.lines.iter().find(|line| line.name() == name);
    let policy = line("lb_policy").filter(|line| !line.conditional)?;
    let is_first = policy.args().first()?.known() == Some("first");
    let first = proxy.upstreams.first()?;
    let certain = !proxy.partial && !proxy.dynamic && line("health_uri").is_none();
    (is_first && certain && first.span == fails.upstream.from).then_some(policy.head)
}

/// What to write in place of one of two backends that differ.
fn repaired(cx: &Context<'_>, step: &Step, fails: &Sibling, opens: &Sibling) -> String {
    let from = fails.upstream.from;
    let text = cx.project.slice(from);
    let spans = step.passage.because.iter().map(|because| because.span);
    let head = spans
        .rev()
        .find(|span| span.contains(from) && *span != from);
    let lines = match head {
        Some(head) if step.layer == "caddy" => {
            let words = cx.project.slice(head).split_whitespace();
            let others: Vec<&str> = words.filter(|word| *word != text).collect();
            format!("\n{}", others.join(" "))
        }
        _ if text.starts_with("server") => {
            let words: Vec<&str> = text.trim_end_matches(';').split_whitespace().collect();
            format!("\n{} down;", words.join(" "))
        }
        _ => String::new(),
    };
    format!(
        "let `{}` do what `{}` does, best of all by one file for both; until then leave it out:{lines}",
        name(fails),
        name(opens)
    )
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

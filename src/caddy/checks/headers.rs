//! `header_up` lines that destroy what Caddy had already put right.

use std::collections::HashSet;

use super::mend;
use crate::caddy::handler::Handler;
use crate::caddy::proxy::{
    Change, Evaluated, HANDSHAKE, HeaderLine, Proxy, evaluate, is_single, opens,
};
use crate::caddy::{Site, route};
use crate::context::Context;
use crate::finding::{Finding, Report};
use crate::handshake::{Browser, Request};
use crate::source::Span;

/// What Caddy does without any line, in the words of both rules.
const WHY: &str = "`reverse_proxy` passes Upgrade and Connection on by itself; `header_up` runs after that and has \
                   the last word";

/// A `header_up` line that keeps a handshake header from reaching the upstream as it must.
struct Loss<'a> {
    line: &'a HeaderLine,
    header: &'static str,
    /// What Caddy leaves in the text though it was meant to be replaced.
    literal: Option<String>,
    /// What is sent in place of the header; `None` where nothing is.
    sent: Option<String>,
    /// It is sent as well as the client's own.
    doubled: bool,
}

/// `caddy/unknown-placeholder`: a placeholder that Caddy 2 does not know goes out as text.
pub fn unknown_placeholder(cx: &Context<'_>, report: &mut Report<'_>) {
    each(cx, |route, handler, proxy, losses| {
        let losses: Vec<&Loss<'_>> = losses.iter().filter(|loss| loss.literal.is_some()).collect();
        let (first, rest) = losses.split_first()?;
        let literal = first.literal.clone().unwrap_or_default();
        let word = first.line.word();
        let what = if literal.starts_with("{$") {
            "reads an environment variable of that name, and sends nothing"
        } else {
            "is sent as it stands"
        };
        let mut finding = report.finding(
            format!(
                "`{literal}` is no placeholder of Caddy 2: the upstream gets `{}: {}` and refuses the handshake",
                first.header,
                first.sent.as_deref().unwrap_or_default()
            ),
            word.map_or(first.line.span, |word| word.span),
            format!("`{literal}` {what}"),
        );
        for loss in rest {
            finding = finding.label(
                loss.line.value,
                format!("so is this: the upstream gets `{}: {}`", loss.header, loss.sent.as_deref().unwrap_or_default()),
            );
        }
        finding = evidence(finding, route);
        finding = finding
            .note(origin(&literal))
            .note(format!("{WHY}. Without such lines Caddy passes the handshake on as it came"));
        Some(removed(cx, finding, &losses, handler, proxy))
    })
    .into_iter()
    .for_each(|finding| report.push(finding));
}

/// `caddy/header-up`: a line that removes or replaces what the handshake needs.
pub fn header_up(cx: &Context<'_>, report: &mut Report<'_>) {
    each(cx, |route, handler, proxy, losses| {
        let losses: Vec<&Loss<'_>> = losses.iter().filter(|loss| loss.literal.is_none()).collect();
        let (first, rest) = losses.split_first()?;
        let (message, label) = match &first.sent {
            Some(_) if first.doubled => (
                format!("the upstream gets {} twice and refuses the handshake", first.header),
                "adds a second one to the client's own".to_owned(),
            ),
            None => (
                format!("the upstream gets no {} header and refuses the handshake", first.header),
                format!("removes {}", first.header),
            ),
            Some(sent) => (
                format!("the upstream gets `{}: {sent}` and refuses the handshake", first.header),
                match first.header {
                    "Connection" => "has no token `Upgrade`".to_owned(),
                    "Upgrade" => "is not `websocket`".to_owned(),
                    "Sec-WebSocket-Version" => "is not 13".to_owned(),
                    _ => "is not the client's key".to_owned(),
                },
            ),
        };
        let mut finding = report.finding(message, first.line.value, label);
        for loss in rest {
            let message = match &loss.sent {
                None => format!("removes {} too", loss.header),
                Some(sent) => format!("and the upstream gets `{}: {sent}`", loss.header),
            };
            if loss.line.span != first.line.span {
                finding = finding.label(loss.line.value, message);
            }
        }
        finding = evidence(finding, route).note(format!("{WHY}. Without it Caddy passes the handshake on as it came"));
        if contradicted(proxy, first) {
            finding = finding.note(
                "Caddy sorts `header_up` too: it adds, then sets, then deletes, then replaces, wherever the lines stand",
            );
        }
        Some(removed(cx, finding, &losses, handler, proxy))
    })
    .into_iter()
    .for_each(|finding| report.push(finding));
    hidden_values(cx, report);
}

/// Lines on a route whose value the files do not show, and on which the handshake depends.
fn hidden_values(cx: &Context<'_>, report: &mut Report<'_>) {
    for (route, site, _, proxy) in route::proxies(&cx.caddy) {
        let ports = &cx.caddy.configs[route.config].options.ports;
        let request = route.request(site, Browser::Chrome, ports);
        let sent = proxy.headers(&request, &site.handlers.defined);
        for header in HANDSHAKE {
            if proxy.header_up.is_empty() || opens(&sent, &request, header).is_some() {
                continue;
            }
            let lines = proxy.header_up.iter().filter(|line| line.touches(header));
            let hidden = lines.filter_map(|line| Some((line, line.word()?.unknown.as_ref()?)));
            for (line, unknown) in hidden {
                report.undecided(
                    line.span,
                    format!("whether the handshake keeps its {header} header depends on {unknown}"),
                );
            }
        }
    }
}

/// Runs `explain` over each proxy with a route whose `header_up` lines lose a handshake, each
/// line once, however many sites import it.
fn each(
    cx: &Context<'_>,
    mut explain: impl FnMut(&route::Route, &Handler, &Proxy, &[Loss<'_>]) -> Option<Finding>,
) -> Vec<Finding> {
    let mut seen: HashSet<Span> = HashSet::new();
    let mut findings = Vec::new();
    for (route, site, handler, proxy) in route::proxies(&cx.caddy) {
        // A line that is missing could have the last word.
        if proxy.header_up.is_empty() || proxy.partial {
            continue;
        }
        let ports = &cx.caddy.configs[route.config].options.ports;
        let request = route.request(site, Browser::Chrome, ports);
        let losses = losses(site, proxy, &request);
        if let Some(finding) = explain(route, handler, proxy, &losses)
            && seen.insert(finding.span)
        {
            findings.push(finding);
        }
    }
    findings
}

/// The lines of `proxy` that lose a handshake header, and how.
fn losses<'a>(site: &Site, proxy: &'a Proxy, request: &Request) -> Vec<Loss<'a>> {
    let defined = &site.handlers.defined;
    let sent = proxy.headers(request, defined);
    let mut losses = Vec::new();
    for header in HANDSHAKE {
        if opens(&sent, request, header) != Some(false) {
            continue;
        }
        let lines = || {
            sent.iter()
                .filter(|line| line.name.eq_ignore_ascii_case(header))
        };
        let left = lines().next_back();
        // The line that had the last word: the one that gave what is sent, or that deleted it.
        let line = proxy.header_up.iter().rev().find(|line| match left {
            Some(left) => left.from == Some(line.span),
            None => matches!(line.change, Change::Delete) && line.touches(header),
        });
        let Some(line) = line else { continue };
        let literal = line
            .word()
            .and_then(|word| match evaluate(word, request, defined) {
                Evaluated::Literal(_, literal) => Some(literal),
                _ => None,
            });
        losses.push(Loss {
            line,
            header,
            literal,
            sent: left.map(|left| left.value.known().cloned().unwrap_or_default()),
            doubled: is_single(header) && lines().count() > 1,
        });
    }
    losses
}

/// Whether another line sets what the first one deletes.
fn contradicted(proxy: &Proxy, loss: &Loss<'_>) -> bool {
    loss.sent.is_none()
        && proxy
            .header_up
            .iter()
            .any(|line| line.word().is_some() && line.touches(loss.header))
}

fn evidence(finding: Finding, route: &route::Route) -> Finding {
    match route.place() {
        Some(span) if !finding.spans().any(|other| overlaps(other, span)) => {
            finding.label(span, route.reason())
        }
        Some(_) => finding,
        None => finding.note(route.reason()),
    }
}

fn overlaps(a: Span, b: Span) -> bool {
    a.contains(b) || b.contains(a)
}

/// Where such a placeholder comes from.
fn origin(literal: &str) -> String {
    if literal.starts_with("{>") {
        return "`{>Name}` was Caddy 1's way to a request header; Caddy 2 writes \
                `{http.request.header.Name}` and leaves everything that it does not know as text"
            .to_owned();
    }
    if literal.contains('$') {
        return "`$name` is a variable of nginx's; to Caddy it is text, and `{$name}` is an environment variable"
            .to_owned();
    }
    "Caddy 2 leaves every placeholder that it does not know as text".to_owned()
}

/// What to delete, what remains where that is one line, and the edits that do it.
fn removed(
    cx: &Context<'_>,
    finding: Finding,
    losses: &[&Loss<'_>],
    handler: &Handler,
    proxy: &Proxy,
) -> Finding {
    let mut lines: Vec<Span> = losses.iter().map(|loss| loss.line.span).collect();
    lines.sort();
    lines.dedup();
    let text = if lines.len() == 1 {
        "delete the line; nothing has to take its place".to_owned()
    } else {
        format!(
            "delete these {} lines; nothing has to take their place",
            lines.len()
        )
    };
    let (text, edits) = if lines.len() == proxy.lines.len() {
        (
            format!("{text}:\n\n{}", cx.project.slice(handler.head)),
            mend::delete_block(cx, handler),
        )
    } else {
        (text, mend::delete_lines(cx, &lines))
    };
    let finding = finding.help(text);
    match edits {
        Some(edits) => finding.fix(mend::safe(
            if lines.len() == 1 {
                "delete the line"
            } else {
                "delete the lines"
            },
            edits,
        )),
        None => finding,
    }
}

//! The path of a handshake changes before the proxy that was meant for it sees it.

use std::collections::BTreeMap;

use super::{indented, mend};
use crate::caddy::handler::{Action, Block, Handler, HandlerId, Handlers};
use crate::caddy::hop::{End, PathChange, Walk, walk};
use crate::caddy::route::Route;
use crate::caddy::{Matcher, Site, Test};
use crate::context::Context;
use crate::finding::{Edit, Label, Report};
use crate::handshake::{Browser, Request};
use crate::source::Span;

/// A route that a change of the path loses.
struct Loss<'a> {
    route: &'a Route,
    site: &'a Site,
    change: PathChange,
    walk: Walk,
}

/// `caddy/rewritten-before-proxy`.
pub fn rewritten_before_proxy(cx: &Context<'_>, report: &mut Report<'_>) {
    // One cause, one finding: a `try_files` may lose several routes.
    let mut causes: BTreeMap<Span, Vec<Loss<'_>>> = BTreeMap::new();
    for route in &cx.caddy.routes {
        if let Some(loss) = loss(cx, route) {
            let losses = causes
                .entry(loss.site.handlers.get(loss.change.by).head)
                .or_default();
            if losses.iter().all(|other| other.route.proxy != route.proxy) {
                losses.push(loss);
            }
        }
    }
    for losses in causes.values() {
        explain(cx, losses, report);
    }
}

/// What loses a handshake on `route`, if it is a change of its path, and no browser's gets through.
fn loss<'a>(cx: &'a Context<'_>, route: &'a Route) -> Option<Loss<'a>> {
    let site = cx.caddy.site(route);
    if site.is_fragment() || site.handlers.partial {
        return None;
    }
    let ports = &cx.caddy.configs[route.config].options.ports;
    let mut losses = Browser::ALL.map(|browser| {
        let request = route.request(site, browser, ports);
        lost(&site.handlers, route, &request)
    });
    if losses.iter().any(Option::is_none) {
        return None;
    }
    let (walk, change) = losses[0].take()?;
    Some(Loss {
        route,
        site,
        change,
        walk,
    })
}

/// The walk that loses `request` to a change of its path, and that change.
fn lost(handlers: &Handlers, route: &Route, request: &Request) -> Option<(Walk, PathChange)> {
    let meant = walk(handlers, request, true);
    if !matches!(meant.end, End::Proxied(id) if id == route.proxy) {
        // Something else keeps it from there.
        return None;
    }
    let walk = walk(handlers, request, false);
    if let End::Answered(by, _) = walk.end
        && matches!(handlers.get(by).action, Action::TryFiles(_))
    {
        // `=404` is the last of the files.
        let path = walk.request.path.clone();
        let (from, to) = (path.clone(), path);
        return Some((walk, PathChange { by, from, to }));
    }
    let last = walk.changes.last()?;
    let is_lost = match walk.end {
        End::Unhandled | End::Answered(..) => true,
        // Another path is often what the upstream wants; a document never is.
        End::Proxied(_) => is_document(handlers.get(last.by), &last.to),
        End::Undecided(..) => false,
    };
    if !is_lost {
        return None;
    }
    let change = walk
        .changes
        .iter()
        .find(|change| !still_matches(handlers, route, request, &change.to))
        .unwrap_or(last)
        .clone();
    Some((walk, change))
}

fn is_document(handler: &Handler, path: &str) -> bool {
    matches!(handler.action, Action::TryFiles(_))
        || path.ends_with(".html")
        || path.ends_with(".htm")
}

/// Whether all matchers on the way to the proxy would take the path `to`.
fn still_matches(handlers: &Handlers, route: &Route, request: &Request, to: &str) -> bool {
    let request = Request {
        path: to.to_owned(),
        ..request.clone()
    };
    handlers
        .chain(route.proxy)
        .all(|handler| handler.matcher.decide(&request) != Ok(false))
}

fn explain(cx: &Context<'_>, losses: &[Loss<'_>], report: &mut Report<'_>) {
    let Some(Loss {
        route,
        site,
        change,
        walk,
    }) = losses.first()
    else {
        return;
    };
    let handlers = &site.handlers;
    let by = handlers.get(change.by);
    let refuses = match walk.end {
        End::Answered(id, status) if id == change.by => status.or(Some(404)),
        _ => None,
    };
    let what = if let Some(status) = refuses {
        format!("no such file: it answers {status}")
    } else if route.path_named {
        format!("`{}` becomes `{}`", change.from, change.to)
    } else {
        format!("every path that is no file becomes `{}`", change.to)
    };
    let message = match (&walk.end, &by.action) {
        _ if refuses.is_some() => format!(
            "`{}` answers {} before `{}` sees it: no such file",
            by.name,
            route.handshake(),
            target_name(handlers, route)
        ),
        (End::Proxied(_), _) => format!(
            "`{}` rewrites {}: the upstream gets `{}`",
            by.name,
            route.handshake(),
            walk.request.path
        ),
        (_, Action::Block(..)) => format!(
            "`{}` strips the path of the handshake, so `reverse_proxy` inside it never matches",
            cx.project.slice(by.head)
        ),
        _ => format!(
            "`{}` rewrites {} before `{}` sees it, which then no longer matches",
            by.name,
            route.handshake(),
            target_name(handlers, route)
        ),
    };
    let mut finding = report.finding(message, by.head, format!("runs first: {what}"));
    for loss in losses {
        let handlers = &loss.site.handlers;
        let target = match loss.walk.end {
            End::Proxied(id) => handlers.get(id),
            _ => handlers.get(loss.route.proxy),
        };
        let (span, label) = if matches!(loss.walk.end, End::Proxied(_)) {
            (
                target.head,
                format!("sends `{}` to the upstream", loss.walk.request.path),
            )
        } else {
            let span = handlers
                .chain(loss.route.proxy)
                .find_map(|handler| {
                    handler
                        .matcher
                        .span
                        .filter(|_| names_path(&handler.matcher))
                })
                .unwrap_or(target.head);
            (
                span,
                if refuses.is_some() {
                    "never sees it".to_owned()
                } else {
                    format!(
                        "no longer matches: the path is `{}` by now",
                        loss.walk.request.path
                    )
                },
            )
        };
        let mut labels = vec![(span, label)];
        let place = loss.route.place().filter(|place| !overlaps(*place, span));
        labels.extend(place.map(|place| (place, loss.route.reason())));
        for (span, label) in labels {
            let told = |other: &Label| other.span == span && other.message == label;
            if !finding.labels.iter().any(told) {
                finding = finding.label(span, label);
            }
        }
    }
    match walk.end {
        End::Answered(id, status) => {
            let answer = handlers.get(id);
            let label = match status {
                Some(status) if answer.name != "file_server" => {
                    format!("answers {status} in its place")
                }
                _ => "answers in its place".to_owned(),
            };
            if id != change.by {
                finding = finding.label(answer.head, label);
            }
        }
        End::Unhandled => {
            finding = finding
                .note("no directive is left to take it: Caddy answers 200 with an empty body");
        }
        _ => {}
    }
    finding = finding.note(why(handlers, change.by, route.proxy));
    if route.place().is_none() {
        finding = finding.note(route.reason());
    }
    if let Action::TryFiles(candidates) = &by.action
        && let Some(matcher) = candidates
            .words
            .first()
            .filter(|word| word.text.starts_with('@'))
    {
        finding = finding.note(format!(
            "`try_files` takes no matcher: `{}` is one more file name to it",
            matcher.text
        ));
    }
    finding = finding.help(help(cx, losses));
    if let Some(edits) = handles(cx, losses) {
        let title = "put the sockets and the pages into a `handle` each";
        finding = finding.fix(mend::safe(title, edits));
    }
    report.push(finding);
}

/// A `handle` around the sockets' proxies, and one around the pages' `try_files` and `file_server`:
/// where these are all that answers in their block, nothing else changes.
fn handles(cx: &Context<'_>, losses: &[Loss<'_>]) -> Option<Vec<Edit>> {
    let first = losses.first()?;
    let handlers = &first.site.handlers;
    let by = handlers.get(first.change.by);
    if !matches!(by.action, Action::TryFiles(_)) || by.in_route || by.conditional {
        return None;
    }
    let list = match by.parent.map(|id| &handlers.get(id).action) {
        Some(Action::Block(_, list)) => list,
        Some(_) => return None,
        None => &handlers.top,
    };
    let mut edits = Vec::new();
    let mut pages = vec![by];
    for &id in list.iter().filter(|id| **id != first.change.by) {
        let handler = handlers.get(id);
        let lost = losses.iter().any(|loss| loss.route.proxy == id);
        match &handler.action {
            Action::Pass | Action::Headers(_) | Action::Vars(_) => continue,
            Action::Proxy(_) if lost && !handler.matcher.tests.is_empty() => {
                edits.push(mend::into_handle(cx, handler)?);
            }
            Action::FileServer if handler.matcher.tests.is_empty() && pages.len() == 1 => {
                edits.extend(mend::delete_lines(cx, &[handler.span])?);
                pages.push(handler);
            }
            _ => return None,
        }
        if handler.conditional || !mend::in_one_block(cx, by.span, handler.span) {
            return None;
        }
    }
    // `try_files` takes no matcher: what was meant for one stays behind.
    let plain = !cx.project.slice(by.head).contains('@');
    if edits.len() + 1 == pages.len() || !plain {
        return None;
    }
    edits.push(mend::around(cx, &pages)?);
    edits.sort_by_key(|edit| edit.span);
    Some(edits)
}

fn names_path(matcher: &Matcher) -> bool {
    matcher.tests.iter().any(|test| match test {
        Test::Path(_) | Test::PathRegexp(_) => true,
        Test::Not(sets) => sets
            .iter()
            .flatten()
            .any(|test| matches!(test, Test::Path(_) | Test::PathRegexp(_))),
        _ => false,
    })
}

fn overlaps(a: Span, b: Span) -> bool {
    a.contains(b) || b.contains(a)
}

/// The directive whose matcher names the path: the proxy, or a block around it.
fn target_name<'a>(handlers: &'a Handlers, route: &Route) -> &'a str {
    handlers
        .chain(route.proxy)
        .find(|handler| names_path(&handler.matcher))
        .map_or("reverse_proxy", |handler| &handler.name)
}

/// The directives that stand side by side and hold the two, or are they.
fn side_by_side(handlers: &Handlers, a: HandlerId, b: HandlerId) -> (HandlerId, HandlerId) {
    let up = |id: HandlerId| std::iter::successors(Some(id), |id| handlers.get(*id).parent);
    up(a)
        .flat_map(|a| up(b).map(move |b| (a, b)))
        .find(|(a, b)| handlers.get(*a).parent == handlers.get(*b).parent)
        .unwrap_or((a, b))
}

/// Why it runs first.
fn why(handlers: &Handlers, by: HandlerId, proxy: HandlerId) -> String {
    if let Action::Block(Block::HandlePath(_), _) = handlers.get(by).action {
        return "`handle_path` takes the prefix off before anything in its block runs".to_owned();
    }
    let (first, second) = side_by_side(handlers, by, proxy);
    let (first, second) = (handlers.get(first), handlers.get(second));
    if first.in_route {
        return "inside `route`, directives run in the order of the file".to_owned();
    }
    if first.name == second.name {
        return format!(
            "the first `{}` runs first and lets the request go on",
            first.name
        );
    }
    format!(
        "Caddy sorts directives: `{}` runs before `{}`, wherever the two stand in the file",
        first.name, second.name
    )
}

/// The lines to write instead.
fn help(cx: &Context<'_>, losses: &[Loss<'_>]) -> String {
    let Some(first) = losses.first() else {
        return String::new();
    };
    let handlers = &first.site.handlers;
    let by = handlers.get(first.change.by);
    let proxy = handlers.get(first.route.proxy);
    if let Action::Block(Block::HandlePath(_), _) = by.action {
        let head = cx.project.slice(by.head);
        return format!(
            "inside it the path needs no matcher:\n\n{head} {{\n\t{}\n}}\n\nor, if the application expects the whole \
             path, write `handle` in place of `handle_path`",
            without_matcher(cx, proxy)
        );
    }
    let (outer, beside) = side_by_side(handlers, first.change.by, first.route.proxy);
    let is_uri = matches!(by.action, Action::Uri(_)) && outer == first.change.by;
    let (others, mut rest) = beside_them(cx, losses, outer);
    if rest.is_empty() && outer == first.change.by {
        rest.push("\tfile_server".to_owned());
    }
    rest.insert(0, format!("\t{}", whole(cx, handlers.get(outer))));
    let fallback = format!("{others}handle {{\n{}\n}}", rest.join("\n"));
    if handlers.get(beside).is_handle() && !is_uri {
        return format!(
            "put the rest into a `handle` as well; only the first `handle` that matches runs:\n\n{fallback}"
        );
    }
    let mut text = String::from(if is_uri {
        "keep both in one `handle`, whose matcher is evaluated before the path changes:\n\n"
    } else {
        "give each its own `handle`, of which only the first that matches runs:\n\n"
    });
    for loss in losses {
        let handlers = &loss.site.handlers;
        let proxy = handlers.get(loss.route.proxy);
        let matcher = match proxy.matcher.span {
            Some(span) if !proxy.matcher.tests.is_empty() => cx.project.slice(span).to_owned(),
            _ if loss.route.path_named => format!("{}*", loss.route.path),
            _ => "/ws*".to_owned(),
        };
        text.push_str(&format!("handle {matcher} {{\n"));
        if is_uri {
            text.push_str(&format!("\t{}\n", without_matcher(cx, by)));
        }
        text.push_str(&format!("\t{}\n}}\n", without_matcher(cx, proxy)));
    }
    if !is_uri {
        text.push_str(&fallback);
    }
    text.trim_end().to_owned()
}

/// The directives beside the two that answer once no `handle` did: those with a matcher of their
/// own in a `handle` each, and the lines that belong with what was rewritten. A `handle` for
/// everything would leave none of them a request.
fn beside_them(cx: &Context<'_>, losses: &[Loss<'_>], outer: HandlerId) -> (String, Vec<String>) {
    let (mut others, mut rest) = (String::new(), Vec::new());
    let Some(first) = losses.first() else {
        return (others, rest);
    };
    let handlers = &first.site.handlers;
    let order = &cx.caddy.configs[first.route.config].options.order;
    let list = match handlers
        .get(outer)
        .parent
        .map(|id| &handlers.get(id).action)
    {
        Some(Action::Block(_, list)) => list,
        _ => &handlers.top,
    };
    let mut passed = false;
    for &id in list.iter() {
        let handler = handlers.get(id);
        passed |= id == outer;
        let later = if handler.in_route {
            passed
        } else {
            order.position(&handler.name) >= order.position("handle")
        };
        let answers = match &handler.action {
            Action::Proxy(proxy) => !proxy.is_subrequest,
            Action::Block(block, _) => matches!(block, Block::Route | Block::Invoke),
            Action::Answer(_) | Action::Fail(_) | Action::FileServer | Action::Plugin => true,
            _ => false,
        };
        if !later || !answers || id == outer {
            continue;
        }
        let took = matches!(first.walk.end, End::Proxied(end) | End::Answered(end, _) if end == id);
        let lost = losses
            .iter()
            .any(|loss| side_by_side(handlers, loss.change.by, loss.route.proxy).1 == id);
        if lost && !took {
            continue;
        }
        if handler.matcher.tests.is_empty() {
            rest.push(body(cx, handler, true));
        } else if took || handler.matcher.decide(&first.walk.request) == Ok(true) {
            rest.push(body(cx, handler, false));
        } else if let Some(span) = handler.matcher.span {
            let matcher = cx.project.slice(span);
            others.push_str(&format!(
                "handle {matcher} {{\n{}\n}}\n",
                body(cx, handler, true)
            ));
        }
    }
    (others, rest)
}

/// A directive with its block, indented once, with or without its matcher.
fn body(cx: &Context<'_>, handler: &Handler, without_matcher: bool) -> String {
    let text = cx.project.slice(handler.span);
    match handler.matcher.span.filter(|_| without_matcher) {
        Some(span) => {
            let matcher = format!(" {}", cx.project.slice(span));
            indented(&text.replacen(&matcher, "", 1), 1)
        }
        None => indented(text, 1),
    }
}

/// A directive as it stands, the content of a block other than a proxy's left out.
fn whole(cx: &Context<'_>, handler: &Handler) -> String {
    let head = cx.project.slice(handler.head);
    match &handler.action {
        Action::Block(..) => format!("{head} {{\n\t\t…\n\t}}"),
        // `try_files` has no matcher: what was meant for one stays behind.
        Action::TryFiles(_) => head
            .split_whitespace()
            .filter(|word| !word.starts_with('@'))
            .collect::<Vec<_>>()
            .join(" "),
        _ => head.to_owned(),
    }
}

/// A directive without its matcher.
fn without_matcher(cx: &Context<'_>, handler: &Handler) -> String {
    let head = cx.project.slice(handler.head);
    let text = match handler.matcher.span {
        Some(span) => head.replacen(cx.project.slice(span), "", 1),
        None => head.to_owned(),
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match &handler.action {
        Action::Proxy(proxy) if !proxy.lines.is_empty() => {
            let lines: Vec<String> = proxy
                .lines
                .iter()
                .map(|line| indented(cx.project.slice(*line), 2))
                .collect();
            format!("{text} {{\n{}\n\t}}", lines.join("\n"))
        }
        _ => text,
    }
}

//! The path of a handshake changes before the proxy that was meant for it sees it.

use std::collections::BTreeMap;

use crate::caddy::handler::{Action, Block, Handler, Handlers};
use crate::caddy::hop::{End, PathChange, Walk, walk};
use crate::caddy::route::Route;
use crate::caddy::{Matcher, Site, Test};
use crate::context::Context;
use crate::finding::Report;
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

/// What loses a handshake on `route`, if it is a change of its path.
fn loss<'a>(cx: &'a Context<'_>, route: &'a Route) -> Option<Loss<'a>> {
    let site = cx.caddy.site(route);
    if site.is_fragment() || site.handlers.partial {
        return None;
    }
    let ports = &cx.caddy.configs[route.config].options.ports;
    let request = route.request(site, Browser::Chrome, ports);
    let meant = walk(&site.handlers, &request, true);
    if !matches!(meant.end, End::Proxied(id) if id == route.proxy) {
        // Something else keeps it from there.
        return None;
    }
    let walk = walk(&site.handlers, &request, false);
    let last = walk.changes.last()?;
    let lost = match walk.end {
        End::Unhandled | End::Answered(..) => true,
        // Another path is often what the upstream wants; a document never is.
        End::Proxied(_) => is_document(site.handlers.get(last.by), &last.to),
        End::Undecided(..) => false,
    };
    if !lost {
        return None;
    }
    let change = walk
        .changes
        .iter()
        .find(|change| !still_matches(&site.handlers, route, &request, &change.to))
        .unwrap_or(last)
        .clone();
    Some(Loss {
        route,
        site,
        change,
        walk,
    })
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
    let proxy = handlers.get(route.proxy);
    let proxied = matches!(walk.end, End::Proxied(_));
    let what = if route.path_named {
        format!("`{}` becomes `{}`", change.from, change.to)
    } else {
        format!("every path that is no file becomes `{}`", change.to)
    };
    let message = match (&walk.end, &by.action) {
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
                format!(
                    "no longer matches: the path is `{}` by now",
                    loss.walk.request.path
                ),
            )
        };
        finding = finding.label(span, label);
        if let Some(place) = loss.route.place().filter(|place| !overlaps(*place, span)) {
            finding = finding.label(place, loss.route.reason());
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
    finding = finding.note(why(by, proxy));
    if route.place().is_none() {
        finding = finding.note(route.reason());
    }
    if let Action::TryFiles(candidates) = &by.action
        && let Some(matcher) = candidates.first().filter(|word| word.text.starts_with('@'))
    {
        finding = finding.note(format!(
            "`try_files` takes no matcher: `{}` is one more file name to it",
            matcher.text
        ));
    }
    report.push(finding.help(help(cx, losses, proxied)));
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

/// Why it runs first.
fn why(by: &Handler, proxy: &Handler) -> String {
    if let Action::Block(Block::HandlePath(_), _) = by.action {
        return "`handle_path` takes the prefix off before anything in its block runs".to_owned();
    }
    if by.in_route && by.parent == proxy.parent {
        return "inside `route`, directives run in the order of the file".to_owned();
    }
    format!(
        "Caddy sorts directives: `{}` runs before `{}`, wherever the two stand in the file",
        by.name,
        if by.parent == proxy.parent {
            &proxy.name
        } else {
            "handle"
        }
    )
}

/// The lines to write instead.
fn help(cx: &Context<'_>, losses: &[Loss<'_>], proxied: bool) -> String {
    let Some(first) = losses.first() else {
        return String::new();
    };
    let handlers = &first.site.handlers;
    let by = handlers.get(first.change.by);
    if let Action::Block(Block::HandlePath(_), _) = by.action {
        let proxy = handlers.get(first.route.proxy);
        let head = cx.project.slice(by.head);
        return format!(
            "inside it the path needs no matcher:\n\n{head} {{\n\t{}\n}}\n\nor, if the application expects the whole \
             path, write `handle` in place of `handle_path`",
            without_matcher(cx, proxy)
        );
    }
    let is_uri = matches!(by.action, Action::Uri(_));
    let rest = if proxied && handlers.get(first.route.proxy).matcher.tests.is_empty() {
        without_matcher(cx, handlers.get(first.route.proxy))
    } else {
        "file_server".to_owned()
    };
    let fallback = format!("handle {{\n\t{}\n\t{rest}\n}}", cx.project.slice(by.head));
    // What stands in a `handle` already needs no second one.
    let handled = losses.iter().all(|loss| {
        let handlers = &loss.site.handlers;
        handlers.chain(loss.route.proxy).any(|handler| {
            handler.parent == by.parent
                && matches!(
                    handler.action,
                    Action::Block(Block::Handle | Block::HandlePath(_), _)
                )
        })
    });
    if handled && !is_uri {
        return format!(
            "put what it belongs to into a `handle` as well; only the first `handle` that matches runs:\n\n{fallback}"
        );
    }
    let mut text =
        String::from("give each its own `handle`, of which only the first that matches runs:\n\n");
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

/// A directive's line without its matcher, its block cut to an ellipsis.
fn without_matcher(cx: &Context<'_>, handler: &Handler) -> String {
    let head = cx.project.slice(handler.head);
    let text = match handler.matcher.span {
        Some(span) => head.replacen(cx.project.slice(span), "", 1),
        None => head.to_owned(),
    };
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match &handler.action {
        Action::Proxy(proxy) if !proxy.lines.is_empty() => {
            let lines: Vec<&str> = proxy
                .lines
                .iter()
                .map(|line| cx.project.slice(*line))
                .collect();
            format!("{text} {{\n\t\t{}\n\t}}", lines.join("\n\t\t"))
        }
        _ => text,
    }
}

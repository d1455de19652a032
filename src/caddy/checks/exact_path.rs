//! One exact path where the handshake asks for another.

use std::collections::{BTreeMap, HashSet};

use super::lost::{evidence, label};
use super::mend;
use crate::caddy::expand::Word;
use crate::caddy::handler::{Handler, HandlerId};
use crate::caddy::hop::{End, walk};
use crate::caddy::route::path_of;
use crate::caddy::{Config, Site};
use crate::context::Context;
use crate::finding::{Edit, Report};
use crate::handshake::{Browser, Evidence, Request};
use crate::rule::Severity;
use crate::source::Span;

/// An endpoint or a route that a proxy's matcher just misses.
struct Miss<'a> {
    /// Why handshakes ask for it, and where that is said.
    reason: String,
    place: Option<Span>,
    path: String,
    site: &'a Site,
    proxy: HandlerId,
    holder: &'a Handler,
    pattern: &'a Word,
    end: End,
}

/// `caddy/exact-path`.
pub fn exact_path(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut misses: BTreeMap<Span, Vec<Miss<'_>>> = BTreeMap::new();
    let mut add = |host: Option<&str>, path: &str, target: Option<_>, said: (String, _)| {
        for miss in missed(cx, host, path, target) {
            let (site, proxy, holder, pattern, end) = miss;
            misses.entry(pattern.span).or_default().push(Miss {
                reason: said.0.clone(),
                place: said.1,
                path: path.to_owned(),
                site,
                proxy,
                holder,
                pattern,
                end,
            });
        }
    };
    for declared in &cx.project.config.endpoints {
        let host = declared.host();
        let said = format!(
            "`{}` is declared as a WebSocket endpoint",
            declared.endpoint
        );
        add(
            host.as_deref(),
            path_of(declared),
            None,
            (said, declared.span),
        );
    }
    let mut paths = HashSet::new();
    for served in &cx.caddy.served {
        if let Evidence::Application { pattern, span } = &served.evidence
            && paths.insert((&served.path, *span))
        {
            let said = format!("the application routes sockets at `{pattern}`");
            add(None, &served.path, Some(&served.dials), (said, Some(*span)));
        }
    }
    for group in misses.values() {
        explain(cx, group, report);
    }
    front_page(cx, report, &misses);
}

type Found<'a> = (&'a Site, HandlerId, &'a Handler, &'a Word, End);

/// The proxies that just miss a handshake for `path`, if none in the project takes it.
/// With `target`, only those that dial it.
fn missed<'a>(
    cx: &'a Context<'_>,
    host: Option<&str>,
    path: &str,
    target: Option<&(String, u16)>,
) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    for config in &cx.caddy.configs {
        for site in &config.sites {
            if host.is_some_and(|host| !site.takes(host)) || site.is_fragment() {
                continue;
            }
            let own = site
                .addresses
                .iter()
                .find(|address| !address.host.is_empty());
            let host = host
                .map(str::to_owned)
                .or(own.map(|own| own.host.replace('*', "x")));
            let request = arriving(config, site, &host.unwrap_or_default(), path);
            let handlers = &site.handlers;
            for frozen in [true, false] {
                // Somebody takes it, or nobody knows.
                if handlers.partial
                    || matches!(
                        walk(handlers, &request, frozen).end,
                        End::Proxied(_) | End::Undecided(..)
                    )
                {
                    return Vec::new();
                }
            }
            let end = walk(handlers, &request, true).end;
            for (id, handler, proxy) in handlers.proxies() {
                if target.is_some_and(|target| !proxy.dials(target)) {
                    continue;
                }
                let certain = handlers
                    .chain(id)
                    .all(|handler| !handler.conditional && !handler.matcher.conditional);
                let near = handlers.chain(id).find_map(|holder| {
                    let pattern = nearest(holder, path)?;
                    (holder.matcher.decide(&request) == Ok(false)).then_some((holder, pattern))
                });
                if let Some((holder, pattern)) = near.filter(|_| certain) {
                    let others = handlers
                        .chain(id)
                        .filter(|other| other.head != holder.head)
                        .chain([handler].into_iter().filter(|own| own.head != holder.head))
                        .all(|other| other.matcher.decide(&request) != Ok(false));
                    if others {
                        found.push((site, id, holder, pattern, end.clone()));
                    }
                }
            }
        }
    }
    found
}

fn arriving(config: &Config, site: &Site, host: &str, path: &str) -> Request {
    let ports = &config.options.ports;
    let address = site.addresses.first();
    Request::handshake(
        Browser::Chrome,
        address.is_some_and(|address| address.is_tls(ports)),
        host,
        address.map_or(80, |address| address.listens(ports)),
        path,
    )
}

/// The pattern of a matcher that misses `path` by its end: `/ws` for `/ws/chat`, `/ws/*` for `/ws`.
fn nearest<'a>(handler: &'a Handler, path: &str) -> Option<&'a Word> {
    handler
        .matcher
        .paths()
        .filter(|word| word.unknown.is_none() && !word.text.contains('{'))
        .find(|word| {
            let text = word.text.as_str();
            match text.strip_suffix("/*") {
                Some(folder) => !folder.contains('*') && path.eq_ignore_ascii_case(folder),
                None if text.contains('*') => false,
                None => {
                    let exact = text.trim_end_matches('/');
                    path.eq_ignore_ascii_case(exact) && !exact.is_empty() && text != exact
                        || path.len() > exact.len()
                            && path
                                .get(..exact.len())
                                .is_some_and(|start| start.eq_ignore_ascii_case(exact))
                            && path[exact.len()..].starts_with('/')
                            && path != text
                }
            }
        })
}

fn explain(cx: &Context<'_>, group: &[Miss<'_>], report: &mut Report<'_>) {
    let [first, ..] = group else { return };
    let pattern = first.pattern.text.as_str();
    let what = match pattern.strip_suffix("/*") {
        Some(folder) => format!("takes what is below `{folder}/`, and not `{folder}` itself"),
        None if pattern == "/" => "takes the front page alone: a path is exact".to_owned(),
        None => format!("takes `{pattern}` alone: a path is exact unless it ends in `*`"),
    };
    let listed: Vec<String> = group
        .iter()
        .map(|miss| format!("`{}`", miss.path))
        .collect();
    let mut finding = report.finding(
        format!(
            "`{pattern}` does not take the handshake for {}",
            listed.join(" or ")
        ),
        first.pattern.span,
        what,
    );
    for miss in group {
        let proxy = miss.site.handlers.get(miss.proxy).head;
        if !proxy.contains(first.pattern.span) {
            finding = label(finding, proxy, "never sees it".to_owned());
        }
        finding = match miss.place {
            Some(span) => label(finding, span, miss.reason.clone()),
            None => finding.note(miss.reason.clone()),
        };
    }
    finding = match first.end {
        End::Answered(id, status) => {
            let answer = first.site.handlers.get(id);
            let said = match status {
                Some(status) if answer.name != "file_server" => {
                    format!("answers {status} in its place")
                }
                _ => "answers in its place".to_owned(),
            };
            label(finding, answer.head, said)
        }
        _ => finding.note("no directive is left to take it: Caddy answers 200 with an empty body"),
    };
    let folder = pattern
        .strip_suffix("/*")
        .unwrap_or(pattern)
        .trim_end_matches('/');
    if folder.is_empty() {
        let text = cx.project.slice(first.holder.head);
        return report.push(finding.help(format!(
            "leave the matcher out, then it takes every path:\n\n{}",
            text.replacen(" / ", " ", 1)
        )));
    }
    let (both, edits) = both(cx, first, folder);
    finding = finding.help(format!(
        "name both, the path and what is below it:\n\n{both}"
    ));
    if let Some(edits) = edits {
        finding = finding.fix(mend::safe("take the path and what is below it", edits));
    }
    report.push(finding);
}

/// The lines that take both, and the edits that write them.
fn both(cx: &Context<'_>, miss: &Miss<'_>, folder: &str) -> (String, Option<Vec<Edit>>) {
    let (handler, pattern) = (miss.holder, miss.pattern);
    let both = format!("{folder} {folder}/*");
    if handler.matcher.name.is_some() {
        // A named one lists paths already.
        let edit = Edit {
            span: pattern.span,
            text: both.clone(),
        };
        let name = handler.matcher.name.as_deref().unwrap_or_default();
        let own =
            handler.matcher.paths().count() == 1 && cx.project.slice(pattern.span) == pattern.text;
        return (format!("@{name} path {both}"), own.then(|| vec![edit]));
    }
    let mut name: String = folder
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    name = name.trim_matches('-').to_owned();
    let head = cx.project.slice(handler.head);
    let text = head.replacen(cx.project.slice(pattern.span), &format!("@{name}"), 1);
    let shown = format!("@{name} path {both}\n{text}");
    let taken = cx
        .project
        .source(handler.head.source)
        .text
        .contains(&format!("@{name}"));
    let edits = handler.head.contains(pattern.span) && !taken;
    let edits = edits.then(|| {
        let start = handler.head.start as usize;
        let source = cx.project.source(handler.head.source);
        let line = source.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let indent = &source.text[line..start];
        if !indent.trim().is_empty() {
            return None;
        }
        Some(vec![
            Edit {
                span: Span::new(handler.head.source, start..start),
                text: format!("@{name} path {both}\n{indent}"),
            },
            Edit {
                span: pattern.span,
                text: format!("@{name}"),
            },
        ])
    });
    (shown, edits.flatten())
}

/// `/` alone in front of a proxy for sockets: nginx's habit, for Caddy the front page.
fn front_page(cx: &Context<'_>, report: &mut Report<'_>, told: &BTreeMap<Span, Vec<Miss<'_>>>) {
    let mut seen: Vec<Span> = Vec::new();
    for route in &cx.caddy.routes {
        let site = cx.caddy.site(route);
        let handler = site.handlers.get(route.proxy);
        let mut paths = handler.matcher.paths();
        let (Some(pattern), None) = (paths.next(), paths.next()) else {
            continue;
        };
        let weak = !matches!(
            route.evidence,
            Evidence::Declared { .. } | Evidence::Application { .. }
        );
        if pattern.text != "/"
            || handler.matcher.tests.len() != 1
            || !weak
            || site.is_fragment()
            || site.handlers.partial
            || handler.conditional
            || told.contains_key(&pattern.span)
            || seen.contains(&pattern.span)
        {
            continue;
        }
        let config = &cx.caddy.configs[route.config];
        let request = arriving(config, site, &route.host, "/socket");
        if !matches!(walk(&site.handlers, &request, true).end, End::Unhandled) {
            continue;
        }
        seen.push(pattern.span);
        let finding = report
            .finding(
                "`/` is the front page alone: the handshake for any other path gets an empty 200",
                pattern.span,
                "a path is exact unless it ends in `*`",
            )
            .severity(Severity::Warning)
            .label(handler.head, "never sees any other path");
        report.push(
            evidence(finding, route)
                .note("nginx's `location /` is a prefix; a path in Caddy is not")
                .help(format!(
                    "leave the matcher out, then it takes every path:\n\n{}",
                    cx.project.slice(handler.head).replacen(" / ", " ", 1)
                )),
        );
    }
}

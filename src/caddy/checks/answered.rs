//! Something before the proxy answers the handshake.

use super::lost::{Cause, Lost, by_culprit, evidence, handshakes, label, side_by_side, why_first};
use super::{mend, proxy_lines};
use crate::caddy::handler::Handler;
use crate::caddy::hop::End;
use crate::caddy::route::Route;
use crate::context::Context;
use crate::finding::{Finding, Report};
use crate::source::Span;

/// `caddy/answered-before-proxy`.
pub fn answered_before_proxy(cx: &Context<'_>, report: &mut Report<'_>) {
    let groups = by_culprit(cx, |lost| match lost.cause {
        Cause::Answered(by) if !is_redirected_to_tls(cx, lost, by) => Some(lost.handler(by).head),
        _ => None,
    });
    for group in &groups {
        let [first, ..] = group.as_slice() else {
            continue;
        };
        let Cause::Answered(by) = first.cause else {
            continue;
        };
        let answer = first.handler(by);
        let (_, beside) = side_by_side(&first.site.handlers, by, first.route.proxy);
        let what = answers(first, answer);
        let finding = report.finding(
            format!(
                "`{}` {what} {} before `{}` has its turn",
                answer.name,
                all(group),
                first.handler(beside).name
            ),
            answer.head,
            format!("runs first and {what} it"),
        );
        let finding = proxies(finding, group)
            .note(why_first(&first.site.handlers, by, beside))
            .note(after(first));
        let finding = finding.help(help(cx, group, answer));
        report.push(finding);
    }
    http_redirect(cx, report);
}

/// `caddy/swallowed-by-handle`.
pub fn swallowed_by_handle(cx: &Context<'_>, report: &mut Report<'_>) {
    let groups = by_culprit(cx, |lost| match lost.cause {
        Cause::Swallowed(by, block) if !is_redirected_to_tls(cx, lost, by) => {
            Some(lost.handler(block).head)
        }
        _ => None,
    });
    for group in &groups {
        let [first, ..] = group.as_slice() else {
            continue;
        };
        let Cause::Swallowed(by, block) = first.cause else {
            continue;
        };
        let handlers = &first.site.handlers;
        let (answer, taker) = (first.handler(by), first.handler(block));
        let (_, beside) = side_by_side(handlers, by, first.route.proxy);
        let (sockets, head) = (first.handler(beside), cx.project.slice(taker.head));
        let mut finding = report.finding(
            format!(
                "`{head}` takes {} before {} has its turn",
                all(group),
                match cx.project.slice(sockets.head) {
                    same if same == head => format!("the other `{same}`"),
                    other => format!("`{other}`"),
                }
            ),
            taker.head,
            if taker.matcher.tests.is_empty() {
                "takes every request, and runs first".to_owned()
            } else {
                "takes the handshake as well, and runs first".to_owned()
            },
        );
        if answer.head != taker.head {
            finding = finding.label(answer.head, format!("{} it", answers(first, answer)));
        }
        finding = proxies(finding, group)
            .note(why_first(handlers, block, beside))
            .note(after(first));
        let both = taker.is_handle() && sockets.is_handle();
        let help = if both && !taker.in_route && sockets.matcher.tests.is_empty() {
            let proxy = first.proxy();
            let matcher = match proxy.matcher.span {
                Some(span) if !proxy.matcher.tests.is_empty() => cx.project.slice(span).to_owned(),
                _ if first.route.path_named => format!("{}*", first.route.path),
                _ => "/ws*".to_owned(),
            };
            format!(
                "of several `handle` only the first that matches runs, and one without a matcher takes everything; name \
                 the sockets' path at theirs, which then comes first:\n\nhandle {matcher} {{\n{}\n}}",
                proxy_lines(cx, proxy)
            )
        } else if taker.in_route || both {
            format!(
                "let the sockets come first: move this above `{head}`\n\n{}",
                cx.project.slice(sockets.span)
            )
        } else {
            let blocks: Vec<String> = distinct(group)
                .iter()
                .map(|lost| in_handle(cx, lost, beside_of(lost)))
                .collect();
            format!(
                "put the proxy into a `handle` as well; of several only the first that matches runs, the longest path \
                 first:\n\n{}",
                blocks.join("\n")
            )
        };
        finding = finding.help(help);
        // Only a path, or a matcher against none, is sure to come first.
        let sure = taker.matcher.tests.is_empty() && !sockets.matcher.tests.is_empty();
        if sure && !taker.in_route && !both && sockets.conditional == taker.conditional {
            let mut edits: Vec<_> = distinct(group)
                .iter()
                .map(|lost| mend::into_handle(cx, beside_of(lost)))
                .collect();
            edits.sort_by_key(|edit| edit.as_ref().map(|edit| edit.span));
            if let Some(edits) = edits.into_iter().collect::<Option<Vec<_>>>() {
                finding = finding.fix(mend::safe("put the proxy into a `handle`", edits));
            }
        }
        report.push(finding);
    }
}

/// The losses whose proxies differ: several routes may share one.
fn distinct<'g, 'a>(group: &'g [Lost<'a>]) -> Vec<&'g Lost<'a>> {
    let mut seen: Vec<Span> = Vec::new();
    let mut distinct = Vec::new();
    for lost in group {
        let span = beside_of(lost).span;
        if !seen.contains(&span) {
            seen.push(span);
            distinct.push(lost);
        }
    }
    distinct
}

/// What stands beside the culprit and holds the proxy, or is it.
fn beside_of<'a>(lost: &Lost<'a>) -> &'a Handler {
    let by = match lost.cause {
        Cause::Answered(by) | Cause::Swallowed(by, _) | Cause::Unmatched(by) => by,
    };
    let (_, beside) = side_by_side(&lost.site.handlers, by, lost.route.proxy);
    lost.handler(beside)
}

fn all(group: &[Lost<'_>]) -> String {
    let routes: Vec<&Route> = group.iter().map(|lost| lost.route).collect();
    handshakes(&routes)
}

/// What an answer does, as a verb: `answers 404 to`.
fn answers(lost: &Lost<'_>, answer: &Handler) -> String {
    let status = match lost.walk.end {
        End::Answered(_, status) => status,
        _ => None,
    };
    match (answer.name.as_str(), status) {
        ("abort", _) => "closes the connection of".to_owned(),
        ("file_server", _) => "looks for a file in place of".to_owned(),
        (_, Some(status)) => format!("answers {status} to"),
        (_, None) => "answers".to_owned(),
    }
}

fn after(lost: &Lost<'_>) -> String {
    let status = match lost.walk.end {
        End::Answered(_, status) => status,
        _ => None,
    };
    let files = matches!(lost.cause, Cause::Answered(by) | Cause::Swallowed(by, _) if lost.handler(by).name == "file_server");
    match status {
        _ if files => {
            "the client gets a page, or a 404, in place of a 101; the page sees close code 1006"
                .to_owned()
        }
        Some(300..400) => {
            "no browser follows a redirect in a handshake: the page sees close code 1006".to_owned()
        }
        Some(status) => format!(
            "a browser shows `Unexpected response code: {status}`, and the page sees close code 1006"
        ),
        None => "the page sees close code 1006".to_owned(),
    }
}

/// Labels every proxy that is cut off, and why we take it for a route.
fn proxies(mut finding: Finding, group: &[Lost<'_>]) -> Finding {
    for lost in group {
        finding = label(finding, lost.proxy().head, "never sees it".to_owned());
    }
    match group.first() {
        Some(lost) => evidence(finding, lost.route),
        None => finding,
    }
}

/// The proxy, or the block around it, in a `handle` of its own.
fn in_handle(cx: &Context<'_>, lost: &Lost<'_>, beside: &Handler) -> String {
    if beside.is_handle() {
        return cx.project.slice(beside.span).to_owned();
    }
    let matcher = match beside.matcher.span {
        Some(span) if !beside.matcher.tests.is_empty() => {
            format!("{} ", cx.project.slice(span))
        }
        _ if lost.route.path_named => format!("{}* ", lost.route.path),
        _ => "/ws* ".to_owned(),
    };
    format!("handle {matcher}{{\n{}\n}}", proxy_lines(cx, beside))
}

fn help(cx: &Context<'_>, group: &[Lost<'_>], answer: &Handler) -> String {
    let Some(first) = group.first() else {
        return String::new();
    };
    if answer.in_route {
        return format!(
            "let the sockets come first: move this above `{}`\n\n{}",
            answer.name,
            cx.project.slice(beside_of(first).span)
        );
    }
    let mut text =
        String::from("give each its own `handle`, of which only the first that matches runs:\n\n");
    for lost in distinct(group) {
        text.push_str(&in_handle(cx, lost, beside_of(lost)));
        text.push('\n');
    }
    let rest = super::indented(cx.project.slice(answer.span), 1);
    text.push_str(&format!("handle {{\n{rest}\n}}"));
    text
}

/// A redirect of plain HTTP to the TLS that the same host is served over: clients open `wss://` and
/// never meet it, unless an edge has ended their TLS.
fn is_redirected_to_tls(cx: &Context<'_>, lost: &Lost<'_>, by: u32) -> bool {
    let answer = lost.handler(by);
    let to_tls = answer.name == "redir"
        && answer
            .args
            .first()
            .is_some_and(|to| to.text.starts_with("https://"));
    if !to_tls || lost.walk.request.tls || cx.project.config.edge.speaks_plain_http() {
        return false;
    }
    let host = &lost.route.host;
    cx.caddy.configs.iter().any(|config| {
        let ports = &config.options.ports;
        let mut addresses = config.sites.iter().flat_map(|site| &site.addresses);
        addresses.any(|address| {
            address.is_tls(ports) && (host.is_empty() || address.unknown || address.takes(host))
        })
    })
}

/// `listener_wrappers { http_redirect }` answers on a listener that speaks no TLS.
fn http_redirect(cx: &Context<'_>, report: &mut Report<'_>) {
    for (config, routes) in super::by_config(cx) {
        for servers in &config.options.servers {
            let wrapper = servers
                .children()
                .iter()
                .filter(|line| line.name() == "listener_wrappers")
                .flat_map(|line| line.children())
                .find(|line| line.name() == "http_redirect");
            let Some(wrapper) = wrapper.filter(|line| !line.conditional && !servers.conditional)
            else {
                continue;
            };
            let met = routes.iter().find(|route| {
                super::listener_of(cx, route)
                    .is_some_and(|(tls, port)| !tls && super::concerns(servers, port))
            });
            let Some(route) = met else { continue };
            let site = cx.caddy.site(route);
            let finding = report
                .finding(
                    format!(
                        "`http_redirect` answers {} with 308 to https://",
                        route.handshake()
                    ),
                    wrapper.head,
                    "redirects whatever is no TLS",
                )
                .label(site.span, "a site without TLS: everything here is redirected")
                .note(
                    "the wrapper looks at the first bytes of a connection and answers plain HTTP before any site has its \
                     turn; no browser follows a redirect in a handshake",
                )
                .help(
                    "delete the line, or let it stand for the TLS listener alone:\n\nservers :443 {\n\tlistener_wrappers \
                     {\n\t\thttp_redirect\n\t\ttls\n\t}\n}",
                );
            report.push(evidence(finding, route));
        }
    }
}

//! `header` spoils the 101 on its way back.

use std::collections::BTreeMap;

use super::lost::{evidence, label, requests, side_by_side};
use super::{mend, target};
use crate::caddy::Word;
use crate::caddy::expand::Directive;
use crate::caddy::handler::Handler;
use crate::caddy::hop::{End, walk};
use crate::caddy::route::Route;
use crate::context::Context;
use crate::finding::Report;
use crate::handshake::{Browser, has_token};
use crate::project::Version;
use crate::rule::Severity;
use crate::source::Span;

/// A line that spoils it.
struct Spoiled<'a> {
    route: &'a Route,
    handler: &'a Handler,
    proxy: Span,
    line: Span,
    fault: Fault,
}

/// What is wrong with the 101.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// The header is gone.
    Gone(&'static str),
    /// It has another value.
    Wrong(&'static str, String),
    /// It is there twice.
    Twice(&'static str),
    /// Something that only a client which asked for it accepts.
    Unasked(&'static str, String),
    /// A second line that most clients overlook.
    Odd(String),
}

/// `caddy/response-header`.
pub fn response_header(cx: &Context<'_>, report: &mut Report<'_>) {
    let version = target(cx);
    let mut found: BTreeMap<Span, Vec<Spoiled<'_>>> = BTreeMap::new();
    for route in &cx.caddy.routes {
        for spoiled in spoiled(cx, route, version) {
            found.entry(spoiled.handler.head).or_default().push(spoiled);
        }
    }
    for group in found.values() {
        let severe = group
            .iter()
            .find(|one| severity(&one.fault) == Severity::Error);
        let Some(first) = severe.or(group.first()) else {
            continue;
        };
        let (message, what) = words(&first.fault);
        let mut finding = report
            .finding(message, first.line, what)
            .severity(severity(&first.fault));
        for one in group {
            if one.line != first.line {
                finding = label(finding, one.line, words(&one.fault).1);
            }
        }
        finding = label(
            finding,
            first.proxy,
            "its 101 passes through this".to_owned(),
        );
        finding = evidence(finding, first.route).note(why(&first.fault));
        let lines: Vec<Span> = group.iter().map(|one| one.line).collect();
        let (pages, line) = (pages(first.route), cx.project.slice(first.line));
        let line = line.strip_prefix("header ").unwrap_or(line).trim_start();
        let line = match line.split_once(char::is_whitespace) {
            Some((matcher, rest)) if matcher.starts_with(['@', '/', '*']) => rest.trim_start(),
            _ => line,
        };
        finding = finding.help(format!(
            "delete the line: an answer needs no help to be a handshake's. Where pages need it, keep the sockets out:\n\n\
             @pages not {pages}\nheader @pages {{\n\t{line}\n}}"
        ));
        let edits = if lines.contains(&first.handler.head) {
            mend::delete_lines(cx, &[first.handler.span])
        } else {
            mend::delete_lines(cx, &lines)
        };
        if let Some(edits) = edits.filter(|_| severity(&first.fault) == Severity::Error) {
            finding = finding.fix(mend::safe("delete the line", edits));
        }
        report.push(finding);
    }
}

/// What tells the handshakes of a route from pages.
fn pages(route: &Route) -> String {
    match route.path_named {
        true => format!("path {}*", route.path),
        false => "header Upgrade websocket".to_owned(),
    }
}

fn severity(fault: &Fault) -> Severity {
    match fault {
        Fault::Gone(_) | Fault::Wrong(..) | Fault::Twice(_) => Severity::Error,
        Fault::Unasked(..) | Fault::Odd(_) => Severity::Warning,
    }
}

/// The message, and a few words beside the line.
fn words(fault: &Fault) -> (String, String) {
    match fault {
        Fault::Gone(name) => (
            format!("the 101 reaches the browser without {name}, which then refuses the socket"),
            format!("removes {name} from the 101 as well"),
        ),
        Fault::Wrong(name, value) => (
            format!(
                "the 101 reaches the browser with `{name}: {value}`, which then refuses the socket"
            ),
            format!("replaces the upstream's own {name}"),
        ),
        Fault::Twice(name) => (
            format!("the 101 reaches the browser with {name} twice, which then refuses the socket"),
            "the upstream's own is added to this".to_owned(),
        ),
        Fault::Unasked(name, value) => (
            format!(
                "every client that has not asked for `{value}` refuses a 101 with `{name}: {value}`"
            ),
            "sent to every client, whatever it asked for".to_owned(),
        ),
        Fault::Odd(value) => (
            format!("the 101 has a second Connection line, `{value}`, which some clients refuse"),
            "the upstream's own is added to this".to_owned(),
        ),
    }
}

fn why(fault: &Fault) -> &'static str {
    match fault {
        Fault::Gone(_) | Fault::Wrong(..) => {
            "a deletion, `>` and `defer` run when the answer is sent, and from Caddy 2.7.2 on that includes a 101; a browser \
             wants `Upgrade: websocket`, `Connection: Upgrade` and Sec-WebSocket-Accept in it (RFC 6455, 4.1)"
        }
        Fault::Twice(_) => {
            "`header` sets it before the proxy has its turn, and the proxy adds the upstream's own (RFC 6455, 4.1)"
        }
        Fault::Unasked(..) => {
            "the application answers with the one that it has chosen from the client's list, or none (RFC 6455, 4.1)"
        }
        Fault::Odd(_) => {
            "browsers read both lines as one list; node's own client looks at the first"
        }
    }
}

fn spoiled<'a>(cx: &'a Context<'_>, route: &'a Route, version: Version) -> Vec<Spoiled<'a>> {
    let site = cx.caddy.site(route);
    let handlers = &site.handlers;
    if site.is_fragment() || handlers.partial {
        return Vec::new();
    }
    let requests = requests(cx, route, Browser::Chrome);
    let arrives = |request| {
        let end = walk(handlers, request, false).end;
        matches!(end, End::Proxied(id) if id == route.proxy)
    };
    if requests.is_empty() || !requests.iter().all(arrives) {
        return Vec::new();
    }
    let order = &cx.caddy.configs[route.config].options.order;
    let mut found = Vec::new();
    for (id, handler) in (0..).zip(&handlers.all) {
        let certain = handler.name == "header"
            && !handler.conditional
            && requests
                .iter()
                .all(|request| handler.matcher.decide(request) == Ok(true))
            && (route.path_named || !super::lost::names_path(&handler.matcher));
        if !certain {
            continue;
        }
        let (own, beside) = side_by_side(handlers, id, route.proxy);
        // It stands in a block around the proxy, and before what leads there.
        let other = handlers.get(beside);
        let before = if handler.in_route {
            id < beside
        } else {
            order.position(&handler.name) < order.position(&other.name)
        };
        if own != id || own == beside || !before {
            continue;
        }
        let proxy = handlers.get(route.proxy).head;
        found.extend(
            faults(handler, version)
                .into_iter()
                .map(|(line, fault)| Spoiled {
                    route,
                    handler,
                    proxy,
                    line,
                    fault,
                }),
        );
    }
    found
}

/// What the lines of a `header` do to a 101 (headers/caddyfile.go, applyHeaderOp: one line that is
/// deferred defers its whole block).
fn faults(handler: &Handler, version: Version) -> Vec<(Span, Fault)> {
    let own = (!handler.args.is_empty()).then_some((handler.args.as_slice(), handler.head));
    let block = handler
        .lines
        .iter()
        .filter(|line| !line.conditional)
        .map(|line| (line.words.as_slice(), line.head));
    let lines: Vec<(&[Word], Span)> = own.into_iter().chain(block).collect();
    let name = |words: &[Word]| {
        words
            .first()
            .map_or("", |word| word.text.as_str())
            .to_owned()
    };
    let deferred = lines.iter().any(|(words, _)| {
        let name = name(words);
        name == "defer" || name.starts_with(['-', '>']) || words.len() > 2 && !name.starts_with('?')
    });
    // A matcher on the response: which answers it means is another question.
    if handler
        .lines
        .iter()
        .any(|line: &Directive| line.name() == "match")
    {
        return Vec::new();
    }
    let reaches = !deferred || version >= [2, 7, 2];
    let mut faults = Vec::new();
    for (words, span) in lines {
        let field = name(words);
        let value = words.get(1);
        if words.len() > 2 || field.starts_with('?') || !reaches {
            continue;
        }
        if let Some(pattern) = field.strip_prefix('-') {
            if let Some(gone) = removed(pattern, version) {
                faults.push((span, Fault::Gone(gone)));
            }
            continue;
        }
        let adds = field.starts_with('+') || !deferred;
        let field = field
            .trim_start_matches(['+', '>'])
            .trim_end_matches(':')
            .to_ascii_lowercase();
        let text = value.map_or("", |word| word.text.as_str()).to_owned();
        let known = value.is_none_or(|word| word.unknown.is_none() && !word.text.contains('{'));
        let fault = match field.as_str() {
            "upgrade" if adds => Fault::Twice("Upgrade"),
            "upgrade" if known && !text.eq_ignore_ascii_case("websocket") => {
                Fault::Wrong("Upgrade", text)
            }
            "sec-websocket-accept" if adds => Fault::Twice("Sec-WebSocket-Accept"),
            "sec-websocket-accept" => Fault::Wrong("Sec-WebSocket-Accept", text),
            "connection" if !known || has_token(&text, "upgrade") => continue,
            "connection" if adds => {
                // Lists that say the same twice are what everybody reads alike.
                if field_is_added(words) {
                    continue;
                }
                Fault::Odd(text)
            }
            "connection" => Fault::Wrong("Connection", text),
            "sec-websocket-protocol" if !text.is_empty() && known => {
                Fault::Unasked("Sec-WebSocket-Protocol", text)
            }
            "sec-websocket-extensions" if !text.is_empty() && known => {
                Fault::Unasked("Sec-WebSocket-Extensions", text)
            }
            _ => continue,
        };
        faults.push((span, fault));
    }
    faults
}

fn field_is_added(words: &[Word]) -> bool {
    words.first().is_some_and(|word| word.text.starts_with('+'))
}

/// Which handshake header a deletion takes from the 101.
fn removed(pattern: &str, version: Version) -> Option<&'static str> {
    let pattern = pattern.to_ascii_lowercase();
    let inner = pattern.trim_matches('*');
    let wild = pattern.contains('*');
    let takes = |name: &str| match (pattern.starts_with('*'), pattern.ends_with('*')) {
        (true, true) => name.contains(inner),
        (true, false) => name.ends_with(inner),
        (false, true) => name.starts_with(inner),
        (false, false) => name == pattern,
    };
    if takes("upgrade") {
        return Some("Upgrade");
    }
    if takes("connection") {
        return Some("Connection");
    }
    // Up to 2.8 by name; later versions write `Sec-WebSocket-Accept` where Go expects another case,
    // and only a wildcard still finds it (pull request 6621).
    (takes("sec-websocket-accept") && (wild || version < [2, 9, 0]))
        .then_some("Sec-WebSocket-Accept")
}

//! Matchers for sockets that no handshake satisfies, or only some browsers'.

use std::collections::BTreeMap;

use super::lost::{
    Cause, Lost, by_culprit, evidence, label, lost_for, of_every, proxy_of, refuses,
};
use crate::caddy::expand::Word;
use crate::caddy::hop::{End, walk};
use crate::caddy::matcher::header_matches;
use crate::caddy::proxy::HANDSHAKE;
use crate::caddy::route;
use crate::caddy::{Matcher, Test};
use crate::context::Context;
use crate::finding::{Finding, Report};
use crate::handshake::{Browser, Evidence, Request, has_token};
use crate::rule::Severity;
use crate::source::Span;

/// `caddy/never-matches`.
pub fn never_matches(cx: &Context<'_>, report: &mut Report<'_>) {
    let groups = by_culprit(cx, |lost| match lost.cause {
        Cause::Unmatched(by) => {
            let matcher = &lost.handler(by).matcher;
            let plain = |test: &&Test| !matches!(test, Test::Path(_) | Test::Host(_));
            let failing = failing(matcher, &lost.walk.request);
            // A path that it does not take is another rule's; so is what only may be meant for sockets.
            let concerned = failing.is_some_and(|test| plain(&test)) && is_meant(matcher, lost);
            concerned.then(|| matcher.place().unwrap_or(lost.handler(by).head))
        }
        _ => None,
    });
    let beside = beside_another(cx);
    for group in groups.iter().chain(&beside) {
        let [first, ..] = group.as_slice() else {
            continue;
        };
        let Cause::Unmatched(by) = first.cause else {
            continue;
        };
        let handler = first.handler(by);
        let matcher = &handler.matcher;
        let Some(test) = failing(matcher, &first.walk.request) else {
            continue;
        };
        let (is, why) = reason(test);
        let name = match (&matcher.name, matcher.span) {
            (Some(name), _) => format!("`@{name}`"),
            (None, Some(span)) => format!("`{}`", cx.project.slice(span)),
            (None, None) => "the matcher".to_owned(),
        };
        let place = matcher.place().unwrap_or(handler.head);
        let mut finding = report.finding(
            format!("{name} takes no handshake: {is}"),
            place,
            "no browser's handshake satisfies this",
        );
        for lost in group {
            finding = label(
                finding,
                lost.handler(by_of(lost)).head,
                "so this never runs for a socket".to_owned(),
            );
        }
        finding = falls_through(finding, first).note(why);
        let path = if matcher.paths().next().is_some() {
            let paths: Vec<&str> = matcher.paths().map(|word| word.text.as_str()).collect();
            format!(
                " {{\n\tpath {}\n\theader Upgrade websocket\n}}",
                paths.join(" ")
            )
        } else {
            " header Upgrade websocket".to_owned()
        };
        let name = matcher.name.as_deref().unwrap_or("websockets");
        let help = if matches!(test, Test::Method(_)) && matcher.name.is_some() {
            "delete the `method` line: a handshake is a GET".to_owned()
        } else {
            format!("a matcher that every handshake satisfies:\n\n@{name}{path}")
        };
        report.push(evidence(finding, first.route).help(help));
    }
    methods(cx, report);
}

/// Matchers for sockets that never match where another proxy, of other upstreams, takes what they
/// miss: it may open the socket, but not for whom it was meant.
fn beside_another<'a>(cx: &'a Context<'_>) -> Vec<Vec<Lost<'a>>> {
    let mut found: BTreeMap<Span, Vec<Lost<'a>>> = BTreeMap::new();
    for route in &cx.caddy.routes {
        let Evidence::Intent { span } = route.evidence else {
            continue;
        };
        let site = cx.caddy.site(route);
        let handlers = &site.handlers;
        let chain = || std::iter::successors(Some(route.proxy), |id| handlers.get(*id).parent);
        let Some(by) = chain().find(|id| handlers.get(*id).matcher.place() == Some(span)) else {
            continue;
        };
        let certain = chain().all(|id| {
            let handler = handlers.get(id);
            !handler.conditional && !handler.matcher.conditional
        });
        if site.is_fragment() || handlers.partial || !certain {
            continue;
        }
        let mut elsewhere = Vec::new();
        for browser in Browser::ALL {
            for request in super::lost::requests(cx, route, browser) {
                let meant = refuses(&handlers.get(by).matcher, &request)
                    && chain()
                        .filter(|id| *id != by)
                        .all(|id| handlers.get(id).matcher.decide(&request) != Ok(false));
                let walk = walk(handlers, &request, false);
                let taken = matches!(walk.end, End::Proxied(other) if !same_upstreams(cx, handlers.get(other), route));
                elsewhere.push((meant && taken).then_some(walk));
            }
        }
        let walks: Option<Vec<_>> = elsewhere.into_iter().collect();
        if let Some(walk) = walks.and_then(|walks| walks.into_iter().next()) {
            found.entry(span).or_default().push(Lost {
                route,
                site,
                cause: Cause::Unmatched(by),
                walk,
            });
        }
    }
    found.into_values().collect()
}

fn by_of(lost: &Lost<'_>) -> u32 {
    match lost.cause {
        Cause::Answered(by) | Cause::Swallowed(by, _) | Cause::Unmatched(by) => by,
    }
}

/// What becomes of a handshake that the matcher does not take.
fn falls_through(finding: Finding, lost: &Lost<'_>) -> Finding {
    match lost.walk.end {
        End::Answered(id, status) => {
            let answer = lost.handler(id);
            let label = match status {
                Some(status) if answer.name != "file_server" => {
                    format!("answers {status} in its place")
                }
                _ => "answers in its place".to_owned(),
            };
            finding.label(answer.head, label)
        }
        End::Proxied(id) => finding
            .severity(Severity::Warning)
            .label(lost.handler(id).head, "gets the sockets in its place"),
        _ => finding.note("no directive is left to take it: Caddy answers 200 with an empty body"),
    }
}

/// The condition that is not satisfied: the first, in the file's order.
fn failing<'a>(matcher: &'a Matcher, request: &Request) -> Option<&'a Test> {
    matcher
        .tests
        .iter()
        .find(|test| of_every(test, request) == Some(false))
}

/// Whether the matcher is one for sockets, or guards the only proxy that there is.
fn is_meant(matcher: &Matcher, lost: &Lost<'_>) -> bool {
    let looks = matcher.tests.iter().any(|test| match test {
        Test::Header(field, _) | Test::HeaderRegexp(field, _) => HANDSHAKE
            .iter()
            .any(|name| name.eq_ignore_ascii_case(field)),
        Test::Protocol(name) => matches!(name.as_str(), "ws" | "wss" | "websocket"),
        _ => false,
    });
    let named = lost
        .route
        .place()
        .is_some_and(|place| matcher.place() == Some(place));
    looks || named || lost.site.handlers.proxies().nth(1).is_none()
}

/// Why no handshake satisfies it: in a few words, and for a person who does not believe it.
fn reason(test: &Test) -> (String, String) {
    match test {
        Test::Protocol(name) if matches!(name.as_str(), "ws" | "wss" | "websocket") => (
            format!("`protocol {name}` is never true"),
            "to Caddy's matcher a handshake is `http` or `https`: it takes any other word without complaint, and never \
             finds it"
                .to_owned(),
        ),
        Test::Protocol(name) => (
            format!("`protocol {name}` is not true of it"),
            "a handshake arrives over HTTP/1.1, as `https` where this site speaks TLS and as `http` where it does not"
                .to_owned(),
        ),
        Test::Header(field, values) if values.is_empty() => (
            format!("every one carries {field}"),
            format!("`!{field}` is true of plain requests only"),
        ),
        Test::Header(field, values) => {
            let value = values.first().map_or("", |word| word.text.as_str());
            let sent = if field.eq_ignore_ascii_case("upgrade") {
                "`Upgrade: websocket`".to_owned()
            } else if field.eq_ignore_ascii_case("connection") {
                format!(
                    "`Connection: {}` (Firefox: `{}`)",
                    Browser::Chrome.connection(),
                    Browser::Firefox.connection()
                )
            } else {
                format!("another {field}")
            };
            let tokens = value.trim_matches('*');
            let case = ["upgrade", "websocket"].iter().any(|token| has_token(tokens, token));
            (
                format!("`{field}` is never `{value}`"),
                format!(
                    "browsers send {sent}{}",
                    if case {
                        ", and a `header` matcher compares with regard to case"
                    } else {
                        ""
                    }
                ),
            )
        }
        Test::HeaderRegexp(field, _) => (
            format!("its expression for {field} does not fit what browsers send"),
            "browsers send `Upgrade: websocket` and `Connection: Upgrade` (Firefox: `keep-alive, Upgrade`); write \
             `(?i)` to ignore case"
                .to_owned(),
        ),
        Test::Method(methods) => (
            format!("its method is not {}", methods.join(" or ")),
            "a handshake is a GET (RFC 6455, section 4.1)".to_owned(),
        ),
        Test::Not(_) => (
            "it excludes what it was meant for".to_owned(),
            "`not` is true of everything but such requests".to_owned(),
        ),
        _ => (
            "a condition is not true of it".to_owned(),
            "all conditions of a matcher must hold".to_owned(),
        ),
    }
}

/// A method that is put in the place of GET: by a directive before the proxy, or in it.
fn methods(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen: Vec<Span> = Vec::new();
    for (route, site, handler, _) in route::proxies(&cx.caddy) {
        if site.handlers.partial || site.is_fragment() {
            continue;
        }
        let own = handler
            .lines
            .iter()
            .find(|line| line.name() == "method" && !line.conditional);
        let own = own.and_then(|line| Some((line.head, line.args().first()?.known()?.to_owned())));
        let before = || {
            let request = super::lost::requests(cx, route, Browser::Chrome)
                .into_iter()
                .next()?;
            let walk = walk(&site.handlers, &request, false);
            let arrived = matches!(walk.end, End::Proxied(id) if id == route.proxy);
            let changed = arrived && walk.request.method != "GET";
            let by = site.handlers.all.iter().find(|handler| {
                handler.name == "method"
                    && !handler.conditional
                    && handler.matcher.decide(&request) == Ok(true)
            })?;
            changed.then_some((by.head, walk.request.method))
        };
        let Some((span, method)) = own.or_else(before) else {
            continue;
        };
        if method.eq_ignore_ascii_case("GET") || seen.contains(&span) {
            continue;
        }
        seen.push(span);
        let finding = report
            .finding(
                format!(
                    "{} reaches the upstream as {method}, which is no handshake",
                    route.handshake()
                ),
                span,
                format!("makes it a {method}"),
            )
            .label(handler.head, "sends it on so");
        report.push(
            evidence(finding, route)
                .note(
                    "a handshake is a GET (RFC 6455, section 4.1): the upstream answers 400 or 405",
                )
                .help("delete the line, or give it a matcher that leaves the sockets alone"),
        );
    }
}

/// `caddy/misses-browsers`.
pub fn misses_browsers(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen: Vec<Span> = Vec::new();
    for route in &cx.caddy.routes {
        let site = cx.caddy.site(route);
        let handlers = &site.handlers;
        if site.is_fragment() || handlers.partial {
            continue;
        }
        let mut reached = Vec::new();
        let mut missed = None;
        for browser in Browser::ALL {
            let Some(request) = super::lost::requests(cx, route, browser).into_iter().next() else {
                continue;
            };
            let end = walk(handlers, &request, false);
            match end.end {
                End::Proxied(id) if id == route.proxy => reached.push(browser),
                _ => missed = Some((browser, request, end)),
            }
        }
        let (Some((browser, request, walk)), [through]) = (missed, reached.as_slice()) else {
            missing_others(cx, route, report, &mut seen);
            continue;
        };
        let culprit = handlers
            .chain(route.proxy)
            .find(|handler| handler.matcher.decide(&request) == Ok(false));
        let Some(culprit) = culprit.filter(|handler| !handler.conditional) else {
            continue;
        };
        let end = match walk.end {
            End::Proxied(id) => {
                let other = handlers.get(id);
                if same_upstreams(cx, other, route) {
                    continue;
                }
                Some((other.head, "gets the others' handshakes".to_owned()))
            }
            End::Answered(id, status) => Some((
                handlers.get(id).head,
                match status {
                    Some(status) => format!("answers {status} to the others"),
                    None => "answers the others".to_owned(),
                },
            )),
            End::Unhandled => None,
            End::Undecided(..) => continue,
        };
        let place = culprit.matcher.place().unwrap_or(culprit.head);
        if seen.contains(&place) {
            continue;
        }
        seen.push(place);
        let name = match &culprit.matcher.name {
            Some(name) => format!("`@{name}`"),
            None => "the matcher".to_owned(),
        };
        let mut finding = report.finding(
            format!(
                "{name} takes {}'s handshake and misses {}'s",
                through.name(),
                browser.name()
            ),
            place,
            format!(
                "{} sends `Connection: {}`",
                browser.name(),
                browser.connection()
            ),
        );
        if culprit.head != place {
            finding = finding.label(culprit.head, "takes only some browsers' sockets".to_owned());
        }
        finding = match end {
            Some((span, said)) => finding.label(span, said),
            None => finding
                .note("no directive is left to take it: Caddy answers 200 with an empty body"),
        };
        let name = culprit.matcher.name.as_deref().unwrap_or("websockets");
        report.push(
            finding
                .note(
                    "a value in a `header` matcher is compared as a whole and with regard to case",
                )
                .help(format!(
                    "leave Connection out, Upgrade says it all:\n\n@{name} header Upgrade websocket"
                )),
        );
    }
}

/// Whether the route's proxy and another one dial the same.
fn same_upstreams(
    cx: &Context<'_>,
    other: &crate::caddy::handler::Handler,
    route: &route::Route,
) -> bool {
    let own = cx.caddy.site(route).handlers.get(route.proxy);
    let texts = |handler| {
        let mut texts: Vec<String> = proxy_of(handler)
            .into_iter()
            .flat_map(|proxy| &proxy.upstreams)
            .map(|upstream| upstream.text.clone())
            .collect();
        texts.sort();
        texts
    };
    texts(own) == texts(other)
}

/// Clients that are no browsers may write `upgrade` in lower case, and sockets over HTTP/2 come
/// without it, as CONNECT (RFC 8441): hygiene. A list of exact values is somebody's choice.
fn missing_others(
    cx: &Context<'_>,
    route: &route::Route,
    report: &mut Report<'_>,
    seen: &mut Vec<Span>,
) {
    let site = cx.caddy.site(route);
    if lost_for(cx, route, Browser::Chrome).is_some() {
        return;
    }
    // Before 2.9 Caddy has none over HTTP/2; 2.10 and later take them if they are told to.
    let http2 = super::target(cx) >= [2, 9, 0]
        && super::listener_of(cx, route)
            .is_some_and(|(tls, port)| tls && cx.caddy.configs[route.config].speaks_http2(port));
    for handler in site.handlers.chain(route.proxy) {
        let tests = || handler.matcher.tests.iter();
        let mut spellings = tests().filter_map(|test| match test {
            Test::Header(field, values) if field.eq_ignore_ascii_case("connection") => Some(values),
            _ => None,
        });
        let loose = spellings.find(|values| {
            let loose = |word: &Word| word.text.contains('*') && word.text.contains("pgrade");
            values.iter().any(loose)
        });
        let lower = loose.is_some_and(|values| {
            let takes = |word: &Word| header_matches(&word.text, "upgrade");
            !values.iter().any(takes)
        });
        let method = tests().any(|test| match test {
            Test::Method(methods) => !methods
                .iter()
                .any(|name| name.eq_ignore_ascii_case("connect")),
            _ => false,
        });
        let connect = http2 && (method || loose.is_some());
        let missed = match (lower, connect) {
            (true, true) => {
                "clients that write `Connection: upgrade` in lower case, and sockets over HTTP/2"
            }
            (true, false) => "clients that write `Connection: upgrade` in lower case",
            (false, true) => "sockets over HTTP/2",
            (false, false) => continue,
        };
        let Some(place) = handler.matcher.place() else {
            continue;
        };
        if handler.matcher.conditional || seen.contains(&place) {
            continue;
        }
        seen.push(place);
        let label = match lower {
            true => "compares with regard to case",
            false => "looks at what HTTP/2 does not send",
        };
        let mut finding = report
            .finding(format!("the matcher misses {missed}"), place, label)
            .severity(Severity::Info);
        if lower {
            finding = finding.note("every browser writes `Upgrade`; some libraries do not");
        }
        if connect {
            finding = finding.note(
                "over HTTP/2 a socket is a CONNECT without Connection and Upgrade (RFC 8441); Caddy 2.9 offers it, 2.10 \
                 and later do with GODEBUG=http2xconnect=1",
            );
        }
        let help = match (method, loose.is_some()) {
            (true, false) => "delete the `method` line: the path says it all",
            _ if connect => {
                "let a path choose the sockets, which takes all of them; or write `header_regexp Connection (?i)upgrade` \
                 and a second matcher `header :protocol websocket`"
            }
            _ => {
                "leave Connection out (`header Upgrade websocket`), or write `header_regexp Connection (?i)upgrade`"
            }
        };
        report.push(finding.help(help));
    }
}

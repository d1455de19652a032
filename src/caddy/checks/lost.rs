//! Routes whose handshake ends before their proxy, and what ends it: the common ground of the
//! rules that name it.

use std::collections::BTreeMap;

use crate::caddy::handler::{Action, Handler, HandlerId, Handlers};
use crate::caddy::hop::{End, Walk, walk};
use crate::caddy::matcher::is_handshake_header;
use crate::caddy::proxy::Proxy;
use crate::caddy::route::Route;
use crate::caddy::{Matcher, Site, Test};
use crate::context::Context;
use crate::finding::{Finding, Label};
use crate::handshake::{Browser, Evidence, Request};
use crate::source::Span;

/// What ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// This handler answers before the proxy, or the block that holds it, has its turn.
    Answered(HandlerId),
    /// The second, a block beside the proxy, holds the first, which answers.
    Swallowed(HandlerId, HandlerId),
    /// The matcher of this handler, the proxy or a block around it, does not take it.
    Unmatched(HandlerId),
}

/// A lost route.
#[derive(Debug)]
pub(super) struct Lost<'a> {
    pub(super) route: &'a Route,
    pub(super) site: &'a Site,
    pub(super) cause: Cause,
    /// How one browser's handshake ended.
    pub(super) walk: Walk,
}

impl<'a> Lost<'a> {
    /// The handler of that id.
    pub(super) fn handler(&self, id: HandlerId) -> &'a Handler {
        self.site.handlers.get(id)
    }

    /// The route's proxy.
    pub(super) fn proxy(&self) -> &'a Handler {
        self.handler(self.route.proxy)
    }
}

/// The requests that stand for a route: where a pattern gives only a sample of the paths, one
/// below it as well, for either browser.
pub(super) fn requests(cx: &Context<'_>, route: &Route, browser: Browser) -> Vec<Request> {
    let site = cx.caddy.site(route);
    let ports = &cx.caddy.configs[route.config].options.ports;
    let mut first = route.request(site, browser, ports);
    // Clients come over TLS where the site has it, unless an edge has ended it.
    let plain = cx.project.config.edge.speaks_plain_http();
    let reached = site
        .addresses
        .iter()
        .find(|address| address.is_tls(ports) != plain)
        .or(site.addresses.first());
    if let Some(address) = reached {
        first.tls = address.is_tls(ports);
        first.port = address.listens(ports);
    }
    let declared = matches!(
        route.evidence,
        Evidence::Declared { .. } | Evidence::Application { .. }
    );
    let mut requests = vec![first];
    if declared || !route.path_named {
        return requests;
    }
    let below = format!("{}/x", requests[0].path.trim_end_matches('/'));
    let deeper = Request {
        path: below,
        ..requests[0].clone()
    };
    let paths = site.handlers.chain(route.proxy);
    if paths
        .filter(|handler| names_path(&handler.matcher))
        .all(|handler| handler.matcher.decide(&deeper) != Ok(false))
    {
        requests.push(deeper);
    }
    requests
}

/// How `browser`'s handshake on `route` is lost; `None` where it may well arrive, or where a change
/// of its path is the cause.
pub(super) fn lost_for<'a>(
    cx: &'a Context<'_>,
    route: &'a Route,
    browser: Browser,
) -> Option<Lost<'a>> {
    let site = cx.caddy.site(route);
    let handlers = &site.handlers;
    let uncertain = site.is_fragment()
        || handlers.partial
        || handlers
            .chain(route.proxy)
            .any(|handler| handler.conditional || handler.matcher.conditional);
    if uncertain {
        return None;
    }
    let mut lost = None;
    for request in requests(cx, route, browser) {
        // What would happen if nothing changed the path; what does is another rule's.
        for frozen in [false, true] {
            let walk = walk(handlers, &request, frozen);
            let cause = cause(handlers, route, &walk)?;
            if frozen {
                lost.get_or_insert(Lost {
                    route,
                    site,
                    cause,
                    walk,
                });
            }
        }
    }
    lost
}

/// All routes that no browser's handshake gets through.
pub(super) fn lost<'a>(cx: &'a Context<'_>) -> impl Iterator<Item = Lost<'a>> {
    cx.caddy.routes.iter().filter_map(|route| {
        let lost = lost_for(cx, route, Browser::Chrome)?;
        lost_for(cx, route, Browser::Firefox)?;
        Some(lost)
    })
}

/// The same, by the bytes that are to blame: one cause, one finding.
pub(super) fn by_culprit<'a>(
    cx: &'a Context<'_>,
    culprit: impl Fn(&Lost<'a>) -> Option<Span>,
) -> Vec<Vec<Lost<'a>>> {
    let mut culprits: BTreeMap<Span, Vec<Lost<'a>>> = BTreeMap::new();
    for lost in lost(cx) {
        if let Some(span) = culprit(&lost) {
            culprits.entry(span).or_default().push(lost);
        }
    }
    culprits.into_values().collect()
}

fn cause(handlers: &Handlers, route: &Route, walk: &Walk) -> Option<Cause> {
    let unmatched = || {
        let mut up = std::iter::successors(Some(route.proxy), |id| handlers.get(*id).parent);
        up.find(|id| refuses(&handlers.get(*id).matcher, &walk.request))
            .map(Cause::Unmatched)
    };
    // What only this request does not satisfy, another handshake of the route may.
    let perhaps = || {
        let mut chain = handlers.chain(route.proxy);
        chain.any(|handler| handler.matcher.decide(&walk.request) == Ok(false))
    };
    match walk.end {
        End::Unhandled => unmatched(),
        End::Answered(by, _) => {
            if let Some(cause) = unmatched() {
                return Some(cause);
            }
            if perhaps() {
                return None;
            }
            // Who asks for a password lets in those who know it.
            let asks = matches!(
                handlers.get(by).name.as_str(),
                "basic_auth" | "basicauth" | "forward_auth"
            );
            let certain = !asks
                && handlers.chain(by).all(|handler| {
                    is_certain(&handler.matcher, route)
                        && !handler.matcher.tests.iter().any(|test| {
                            test.decide(&walk.request) == Ok(true)
                                && of_every(test, &walk.request).is_none()
                        })
                });
            if !certain {
                return None;
            }
            let (beside, _) = side_by_side(handlers, by, route.proxy);
            Some(if beside == by {
                Cause::Answered(by)
            } else {
                Cause::Swallowed(by, beside)
            })
        }
        End::Proxied(_) | End::Undecided(..) => None,
    }
}

/// Whether a matcher takes no handshake of the route, whatever the sample lacks.
pub(super) fn refuses(matcher: &Matcher, request: &Request) -> bool {
    let mut tests = matcher.tests.iter();
    tests.any(|test| of_every(test, request) == Some(false))
}

/// What a condition says of every handshake that the sample stands for: `None` where another query,
/// a longer path, another page's Origin, a subprotocol, a cookie or a password may change it.
pub(super) fn of_every(test: &Test, request: &Request) -> Option<bool> {
    let set = |tests: &Vec<Test>| {
        let each = || tests.iter().map(|test| of_every(test, request));
        if each().any(|said| said == Some(false)) {
            Some(false)
        } else {
            each().all(|said| said == Some(true)).then_some(true)
        }
    };
    let any = |sets: &[Vec<Test>]| {
        if sets.iter().any(|tests| set(tests) == Some(true)) {
            Some(true)
        } else {
            let none = sets.iter().all(|tests| set(tests) == Some(false));
            none.then_some(false)
        }
    };
    let said = || test.decide(request).ok();
    match test {
        Test::Any(sets) => any(sets),
        Test::Not(sets) => any(sets).map(|said| !said),
        Test::PathRegexp(_) | Test::Query(..) => said().filter(|said| *said),
        // Every browser sends an Origin; which one is the page's.
        Test::Header(field, values) if field.eq_ignore_ascii_case("origin") => {
            let each = values.is_empty() || values.iter().any(|value| value.text == "*");
            said().filter(|_| each)
        }
        Test::Header(field, _) | Test::HeaderRegexp(field, _) => {
            said().filter(|_| is_the_same_in_all(field))
        }
        Test::Vars(text, _) | Test::Compare { left: text, .. } => said().filter(|_| !varies(text)),
        _ => said(),
    }
}

/// Whether all handshakes of a route carry the same in this header.
fn is_the_same_in_all(field: &str) -> bool {
    field.eq_ignore_ascii_case("host") || is_handshake_header(field)
}

/// The same of a text with placeholders.
fn varies(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let header = text
        .split_once("header.")
        .is_some_and(|(_, rest)| !is_the_same_in_all(rest.trim_end_matches('}')));
    header
        || ["query", "uri", "path", "cookie", "regexp", "{re."]
            .iter()
            .any(|part| text.contains(part))
}

/// Whether a matcher that takes the sample takes every handshake of the route: a file may be there
/// or not (maintenance), and a path that nobody named may be another.
fn is_certain(matcher: &Matcher, route: &Route) -> bool {
    fn looks(tests: &[Test], at: &impl Fn(&Test) -> bool) -> bool {
        tests.iter().any(|test| match test {
            Test::Not(sets) => sets.iter().any(|set| looks(set, at)),
            test => at(test),
        })
    }
    let file = matcher
        .tests
        .iter()
        .any(|test| matches!(test, Test::File(_)));
    let path = looks(&matcher.tests, &|test| {
        matches!(test, Test::Path(_) | Test::PathRegexp(_))
    });
    !file && (route.path_named || !path)
}

/// Whether a matcher looks at the path.
pub(super) fn names_path(matcher: &Matcher) -> bool {
    matcher.tests.iter().any(|test| match test {
        Test::Path(_) | Test::PathRegexp(_) => true,
        Test::Not(sets) => sets
            .iter()
            .flatten()
            .any(|test| matches!(test, Test::Path(_) | Test::PathRegexp(_))),
        _ => false,
    })
}

/// The directives that stand side by side and hold the two, or are they.
pub(super) fn side_by_side(
    handlers: &Handlers,
    a: HandlerId,
    b: HandlerId,
) -> (HandlerId, HandlerId) {
    let up = |id: HandlerId| std::iter::successors(Some(id), |id| handlers.get(*id).parent);
    up(a)
        .flat_map(|a| up(b).map(move |b| (a, b)))
        .find(|(a, b)| handlers.get(*a).parent == handlers.get(*b).parent)
        .unwrap_or((a, b))
}

/// Why the one runs before the other, which stands beside it.
pub(super) fn why_first(handlers: &Handlers, first: HandlerId, second: HandlerId) -> String {
    let (first, second) = (handlers.get(first), handlers.get(second));
    if first.in_route {
        return "inside `route`, directives run in the order of the file".to_owned();
    }
    if first.name == second.name {
        return format!(
            "the first `{}` whose matcher takes the request runs, and no other one",
            first.name
        );
    }
    format!(
        "Caddy sorts directives: `{}` runs before `{}`, wherever the two stand in the file",
        first.name, second.name
    )
}

pub(super) fn overlaps(a: Span, b: Span) -> bool {
    a.contains(b) || b.contains(a)
}

/// Adds a label unless the finding says the same there already.
pub(super) fn label(finding: Finding, span: Span, message: String) -> Finding {
    let told = |other: &Label| other.span == span && other.message == message;
    if finding.labels.iter().any(told) {
        finding
    } else {
        finding.label(span, message)
    }
}

/// Adds why we take it for a route: beside its place, or as a note where it has none.
pub(super) fn evidence(finding: Finding, route: &Route) -> Finding {
    match route.place() {
        Some(span) if !finding.spans().any(|other| overlaps(other, span)) => {
            finding.label(span, route.reason())
        }
        Some(_) => finding,
        None => finding.note(route.reason()),
    }
}

/// The handshakes of several routes, for a message.
pub(super) fn handshakes(routes: &[&Route]) -> String {
    let mut paths: Vec<&str> = Vec::new();
    for route in routes.iter().filter(|route| route.path_named) {
        if !paths.contains(&route.path.as_str()) {
            paths.push(&route.path);
        }
    }
    match paths.as_slice() {
        [] => "every handshake".to_owned(),
        [only] => format!("the handshake for `{only}`"),
        [first, second] => format!("the handshakes for `{first}` and `{second}`"),
        [first, rest @ ..] => format!("the handshakes for `{first}` and {} others", rest.len()),
    }
}

/// A proxy handler's proxy.
pub(super) fn proxy_of(handler: &Handler) -> Option<&Proxy> {
    match &handler.action {
        Action::Proxy(proxy) => Some(proxy),
        _ => None,
    }
}

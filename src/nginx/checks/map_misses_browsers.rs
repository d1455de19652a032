//! `nginx/map-misses-browsers`: a `map` or an `if` knows one browser's Connection header only.

use super::{Causes, MAP, places};
use crate::context::Context;
use crate::finding::Report;
use crate::handshake::Browser;
use crate::nginx::headers::{Miss, handshakes};
use crate::nginx::model::{Context as Block, ItemId};
use crate::nginx::variables::Scope;

/// What both findings rest on.
const NOTE: &str = "Connection is a list without regard to case (RFC 9110, 7.6.1): Chrome, Edge and Safari send `Upgrade`, Firefox sends `keep-alive, Upgrade`";

/// Reports every route that loses the handshake of one browser and not that of another.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for place in places(cx) {
        if let Some(miss) = &place.route.miss {
            by_value(&place, miss, &mut causes, report);
        }
        if place.route.loss.is_none() {
            by_condition(&place, &mut causes, report);
        }
    }
    causes.report(report);
}

fn by_value<'a>(place: &super::Place<'a>, miss: &Miss, causes: &mut Causes, report: &Report<'_>) {
    let line = place.head(miss.item);
    let step = miss.steps.first();
    let map = step.map(|step| {
        let view = place.cx.nginx.view(step.config);
        let span = step.entry.map_or(step.map, |entry| entry);
        (view, step.map, view.directive(span).head())
    });
    let span = map.map_or(line, |(_, _, span)| span);
    let name = miss.browser.name();
    let sends = match miss.value.as_str() {
        "" => "sends no such header for it".to_owned(),
        value => format!("sends `{value}` for it"),
    };
    causes.add(span, Some((line, sends)), || {
        let message = format!(
            "no WebSocket of {name} opens through {}: its Connection header is not the one that is looked for",
            place.name()
        );
        let label = format!("what `Connection: {}` of {name} meets", miss.browser.connection());
        let mut finding = report.finding(message, span, label);
        let mut help = None;
        if let Some((view, map, _)) = map {
            let directive = view.directive(map);
            let variable = directive.args().last().map_or("", |word| word.text.as_str());
            finding = finding.label(directive.head(), "compares the whole header");
            if directive.arg(0).is_some_and(|source| source.eq_ignore_ascii_case("$http_connection")) {
                help = Some(format!(
                    "ask for `$http_upgrade`, which is `websocket` in every browser:\n{}",
                    MAP.replace("$connection_upgrade", variable)
                ));
            }
        }
        finding.note(NOTE).help(help.unwrap_or_else(|| {
            "decide by `$http_upgrade`, which is `websocket` in every browser, in place of `$http_connection`".to_owned()
        }))
    });
}

/// An `if` on the way that holds for one browser's handshake, and answers or sends elsewhere.
fn by_condition(place: &super::Place<'_>, causes: &mut Causes, report: &Report<'_>) {
    let view = place.view;
    let location = place.location();
    let server = view
        .outward(location)
        .find(|level| view.context(*level) == Block::Server);
    let conditions = [server, Some(location)].into_iter().flatten();
    let requests = handshakes();
    for item in conditions.flat_map(|level| view.level(level).rewrites.iter().copied()) {
        let directive = view.directive(item);
        if view.context(item) != Block::If
            || !directive
                .args()
                .iter()
                .any(|word| word.text.to_ascii_lowercase().contains("$http_connection"))
        {
            continue;
        }
        let holds = |browser: usize| {
            let mut scope = Scope::new(view, &requests[browser], location);
            scope.condition(item)
        };
        let (Some(chrome), Some(firefox)) = (holds(0), holds(1)) else {
            continue;
        };
        let inner = view.level(item);
        if chrome == firefox || (inner.answers.is_none() && inner.pass.is_none()) {
            continue;
        }
        // What an `if` answers loses the browser for which it holds; what it passes on, the other.
        let answers = inner.answers.is_some();
        let lost = if answers == chrome {
            Browser::Chrome
        } else {
            Browser::Firefox
        };
        if (answers && leads_on(place, item)) || (!answers && otherwise_upgrades(place, item)) {
            continue;
        }
        let span = place.head(item);
        let route = (
            place.head(location),
            "the handshakes arrive here".to_owned(),
        );
        causes.add(span, Some(route), || {
            let name = lost.name();
            let message = format!("no WebSocket of {name} opens through {}: this `if` looks for another Connection header", place.name());
            let label = format!(
                "{} for `Connection: {}` of {name}",
                if answers { "holds" } else { "does not hold" },
                lost.connection()
            );
            report
                .finding(message, span, label)
                .note(NOTE)
                .help("ask for `$http_upgrade`, which is `websocket` in every browser:\nif ($http_upgrade ~* ^websocket$) { … }\nor for the word within the list: `$http_connection ~* upgrade`")
        });
    }
}

/// Whether the answer of an `if` is one that `error_page` turns into another location.
fn leads_on(place: &super::Place<'_>, item: ItemId) -> bool {
    let view = place.view;
    let Some(status) = view
        .level(item)
        .answers
        .and_then(|answer| view.directive(answer).arg(0))
    else {
        return false;
    };
    view.outward(item).any(|level| {
        view.level(level).error_pages.iter().any(|page| {
            view.directive(*page)
                .args()
                .iter()
                .any(|word| word.text == status)
        })
    })
}

/// Whether the location upgrades as well where its `if` does not hold.
fn otherwise_upgrades(place: &super::Place<'_>, item: ItemId) -> bool {
    if place.route.block != item {
        // The route is the location itself, and it upgrades.
        return true;
    }
    place.cx.nginx.routes.iter().any(|route| {
        route.config == place.route.config
            && route.location == place.route.location
            && route.block != item
            && route.loss.is_none()
    })
}

//! `nginx/map-never-upgrades`: the `map` behind `Connection` gives no `upgrade` for a handshake.

use super::{Causes, MAP, lost};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::headers::Half;
use crate::nginx::route::Loss;

/// Reports every map that gives `Connection` a value that cannot upgrade.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for (place, loss) in lost(cx) {
        let Loss::Value {
            half: Half::Connection,
            item,
            value,
            steps,
            ..
        } = loss
        else {
            continue;
        };
        let Some(step) = steps.first() else { continue };
        let view = cx.nginx.view(step.config);
        let map = view.directive(step.map);
        let span = step
            .entry
            .map_or(map.head(), |entry| view.directive(entry).head());
        let line = place.head(*item);
        let sends = match value.as_str() {
            "" => "sends no Connection header".to_owned(),
            value => format!("sends `Connection: {value}` on every handshake"),
        };
        let route = (line, sends);
        causes.add(span, Some(route), || {
            let variable = map.args().last().map_or("", |word| word.text.as_str());
            let source = map.arg(0).unwrap_or_default();
            let message = format!(
                "the map of `{variable}` never says `upgrade`: with it no WebSocket opens through {}",
                place.name()
            );
            let label = match step.entry {
                Some(_) if value.is_empty() => "a handshake meets this entry, and Connection stays empty".to_owned(),
                Some(_) => format!("a handshake meets this entry, and Connection becomes `{value}`"),
                None => "a handshake meets no entry, there is no `default`, and the value stays empty".to_owned(),
            };
            let mut finding = report.finding(message, span, label);
            if step.entry.is_some() && source.eq_ignore_ascii_case("$http_upgrade") {
                finding = finding.label(map.head(), "`$http_upgrade` is `websocket` on a handshake");
            }
            let misspelt = view
                .children(step.map)
                .map(|entry| view.directive(entry))
                .find(|entry| entry.name() != "default" && entry.name().eq_ignore_ascii_case("default"));
            if let Some(entry) = misspelt {
                finding = finding.label(entry.head(), "a literal key: only lower-case `default` is the default");
            }
            let earlier = view
                .config
                .maps
                .get(&variable.trim_start_matches('$').to_ascii_lowercase())
                .into_iter()
                .flatten()
                .find(|other| **other != step.map);
            if let Some(earlier) = earlier {
                let overridden = view.directive(*earlier).head();
                finding = finding.label(overridden, "without effect: the last map of a variable wins");
            }
            super::with_fix(finding, super::fixes::map(&place, *step))
                .note(
                    "an upstream opens a WebSocket only if the token `upgrade` arrives in Connection (RFC 6455, 4.2.1); the map must give it for `websocket`, and for nothing else",
                )
                .help(format!("write instead:\n{}", MAP.replace("$connection_upgrade", variable)))
        });
    }
    causes.report(report);
}

//! `nginx/cached-answer`: an answer to a plain GET is kept, and given to handshakes.

use super::{Causes, Place, upgrading};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::model::ItemId;

/// Statuses with which servers turn a plain GET of a socket's path away.
const REFUSALS: [&str; 3] = ["400", "404", "426"];

/// Reports every route whose cache may hold the answer to a GET that was no handshake.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for place in upgrading(cx) {
        let view = place.view;
        let block = place.route.block;
        let Some(cache) = view.setting(block, "proxy_cache").certain() else {
            continue;
        };
        let valid = view.setting(block, "proxy_cache_valid");
        let asks = ["proxy_cache_bypass", "proxy_cache_key"];
        let told_apart = asks.into_iter().any(|name| {
            let setting = view.setting(block, name);
            setting.unseen.is_some()
                || setting.items.iter().any(|item| {
                    view.directive(*item).args().iter().any(|word| {
                        let text = word.text.to_ascii_lowercase();
                        text.contains("upgrade") || text.contains("connection")
                    })
                })
        });
        if view.directive(cache).arg(0) == Some("off") || told_apart || valid.unseen.is_some() {
            continue;
        }
        let Some(item) = valid.items.into_iter().find(|item| keeps(&place, *item)) else {
            continue;
        };
        let span = place.head(item);
        let route = (
            place.head(place.location()),
            "handshakes get the kept answer here".to_owned(),
        );
        causes.add(span, Some(route), || {
            let message = format!(
                "one plain GET closes {} to WebSockets: its answer is kept and given to every handshake",
                place.name()
            );
            let finding = report
                .finding(message, span, "keeps what the upstream answers to a GET without Upgrade")
                .label(place.head(cache), "this cache")
                .note("a handshake is a GET with the same key, so a 400, 404 or 426 that a crawler or a health check met is what browsers get until it expires");
            place.because(finding).help(format!(
                "write beside it:\n{}proxy_cache_bypass $http_upgrade;",
                place.indent(item)
            ))
        });
    }
    causes.report(report);
}

/// Whether a line keeps an answer that is wrong for a handshake. Where pages pass as well, 200 is
/// theirs.
fn keeps(place: &Place<'_>, item: ItemId) -> bool {
    let args = place.view.directive(item).args();
    let statuses = &args[..args.len().saturating_sub(1)];
    let names = |status: &str| statuses.iter().any(|word| word.text == status);
    names("any")
        || REFUSALS.into_iter().any(names)
        || (place.route.is_dedicated(place.view) && (statuses.is_empty() || names("200")))
}

//! `nginx/unknown-variable`: `$connection_upgrade` is used, and no map makes it.

use super::{Causes, MAP, lost};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::route::Loss;
use crate::nginx::words::variables;

/// Reports every line with a variable of the upgrade that the whole configuration never defines.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for (place, loss) in lost(cx) {
        let Loss::Undefined { item } = loss else {
            continue;
        };
        let span = place.head(*item);
        let text = place.view.directive(*item).arg(1).unwrap_or_default();
        let Some(name) = variables(text)
            .into_iter()
            .find(|name| !place.view.may_define(name))
        else {
            continue;
        };
        let route = (
            place.head(place.location()),
            "it takes handshakes here".to_owned(),
        );
        causes.add(span, Some(route), || {
            let message = format!("nginx does not start: `${name}` is defined nowhere in this configuration");
            report
                .finding(message, span, format!("`unknown \"{name}\" variable`"))
                .note("nginx has no variable of that name: it exists where a `map` in the `http` block makes it. A running nginx keeps its old configuration when it is reloaded")
                .help(format!(
                    "write in the `http` block, once:\n{}",
                    MAP.replace("connection_upgrade", name)
                ))
        });
    }
    causes.report(report);
}

//! `nginx/static-fallback`: the path of the sockets ends in files.

use super::strays::{self, Kind};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::model::ROOT;
use crate::nginx::way::{Cause, End};

/// Reports every endpoint for which nginx looks for a file.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    strays::report(
        cx,
        report,
        Kind::Files,
        |astray| match astray.stray.way.end {
            // Of what the application alone shows, stack/route-not-forwarded speaks.
            _ if astray.stray.evidence.is_applications() => None,
            End::Answered {
                cause: Cause::Files(tried),
                ..
            } => {
                let item = tried.or(astray.taker()).unwrap_or(astray.server());
                (item != ROOT).then(|| astray.head(item))
            }
            _ => None,
        },
        |report, astray, span| {
            let path = &astray.stray.path;
            let taker = astray.taker();
            let tried = match astray.stray.way.end {
                End::Answered {
                    cause: Cause::Files(tried),
                    ..
                } => tried,
                _ => None,
            };
            let (what, label) = match (tried, astray.status()) {
                (Some(tried), Some(200)) => (
                    format!("`{}` answers with a page", astray.quote(tried)),
                    "sends a page with status 200 in place of 101".to_owned(),
                ),
                (Some(tried), status) => (
                    format!("`{}` looks for a file", astray.quote(tried)),
                    format!(
                        "ends in {}, unless there is such a file",
                        status.unwrap_or(404)
                    ),
                ),
                (None, _) if taker.is_some() => (
                    "the location that takes it passes nothing on".to_owned(),
                    format!("takes `{path}` and looks for a file: 404"),
                ),
                (None, _) => (
                    "no location of the server takes it".to_owned(),
                    format!("looks for a file called `{path}`: 404"),
                ),
            };
            let mut finding = report.finding(
                format!("no WebSocket opens {}: {what}", astray.lost()),
                span,
                label,
            );
            if tried.is_some()
                && let Some(taker) = taker
            {
                finding = finding.label(
                    astray.head(taker),
                    format!("takes `{path}`, and has no `proxy_pass`"),
                );
            }
            finding = astray.on_the_way(finding);
            finding = finding.note(strays::refused(astray.status()));
            let own = astray.right().map(|right| right.item);
            if own.is_some() && own == taker {
                return finding.help(format!(
                    "pass the requests on:\n{}",
                    astray.block(&taker.map_or_else(String::new, |taker| astray.quote(taker)))
                ));
            }
            finding.help(format!(
                "give the sockets a location of their own in this server:\n{}",
                astray.block(&format!("location {}", astray.prefix()))
            ))
        },
    );
}

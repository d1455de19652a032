//! `nginx/error-page-status`: `error_page` writes another status over the 101.

use super::strays::{self, Astray, Kind};
use crate::context::Context;
use crate::finding::{Applicability, Edit, Fix, Report};
use crate::nginx::model::ItemId;
use crate::nginx::way::End;
use crate::source::Span;

/// Reports every `error_page` that leads to a proxy and does not keep its status.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    strays::report(
        cx,
        report,
        Kind::ErrorPage,
        |astray| Some(astray.head(page(astray)?.0)),
        |report, astray, span| {
            let (item, code) = page(astray).unwrap_or((astray.server(), 0));
            let args = astray.view.directive(item).args();
            let target = args.last();
            let written = args.iter().find(|word| word.text.starts_with('='));
            let codes: Vec<&str> = args
                .iter()
                .filter(|word| word.text.bytes().all(|byte| byte.is_ascii_digit()))
                .map(|word| word.text.as_str())
                .collect();
            let to = target.map_or("", |word| word.text.as_str());
            let mut finding = report.finding(
                format!(
                    "no WebSocket opens {}: the upstream's 101 reaches the client as {code}",
                    astray.lost()
                ),
                span,
                if written.is_some() {
                    format!("writes {code} over the answer")
                } else {
                    format!("without `=`, the answer keeps the status {code} that led here")
                },
            );
            finding = astray.on_the_way(finding);
            if let End::Passed { block, .. } = astray.stray.way.end
                && let Some(pass) = astray.view.level(block).pass
            {
                finding = finding.label(
                    astray.head(pass),
                    "opens the socket, which the client never learns",
                );
            }
            finding = finding
                .note(format!(
                    "`error_page` without `=` sends the answer of its target with the status of the error, and with `=CODE` with that code; only a bare `=` keeps the target's own. {}",
                    super::sentence(&strays::refused(Some(code)))
                ))
                .help(format!("keep the status of the answer:\nerror_page {} = {to};", codes.join(" ")));
            let edit = match (written, target) {
                (Some(written), _) => Edit {
                    span: written.span,
                    text: "=".to_owned(),
                },
                (None, Some(target)) => Edit {
                    span: Span {
                        end: target.span.start,
                        ..target.span
                    },
                    text: "= ".to_owned(),
                },
                (None, None) => return finding,
            };
            // Where a page led there and not the upgrade itself, plain requests change as well.
            let applicability = if astray.stray.way.condition.is_some() {
                Applicability::Safe
            } else {
                Applicability::Unsafe
            };
            finding.fix(Fix {
                title: "keep the status of the answer".to_owned(),
                applicability,
                edits: vec![edit],
            })
        },
    );
}

fn page(astray: &Astray<'_>) -> Option<(ItemId, u16)> {
    match astray.stray.way.end {
        End::Passed { overwritten, .. } => overwritten,
        _ => None,
    }
}

//! `nginx/trailing-slash-redirect`: the location ends in a slash, the endpoint does not.

use super::strays::{self, Astray, Kind};
use crate::context::Context;
use crate::finding::{Applicability, Edit, Fix, Report};
use crate::nginx::model::ItemId;
use crate::nginx::way::{Cause, End};

/// Reports every endpoint that nginx redirects to itself with a slash.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    strays::report(
        cx,
        report,
        Kind::Slash,
        |astray| Some(astray.head(location(astray)?)),
        |report, astray, span| {
            let path = &astray.stray.path;
            let item = location(astray);
            let own = item.map_or_else(String::new, |item| astray.quote(item));
            let mut finding = report
                .finding(
                    format!("no WebSocket opens {}: `{own}` begins with a slash more, and nginx redirects there", astray.lost()),
                    span,
                    format!("answers `{path}` with 301, by itself"),
                )
                .note(format!(
                    "where a location ends in a slash and passes requests on, nginx redirects the path without it to the path with it, even beside a `location /`; {}",
                    strays::refused(Some(301))
                ));
            let word = item.and_then(|item| astray.view.directive(item).args().last());
            let own_path = word.map_or("", |word| word.text.as_str());
            finding = finding.help(format!("let it begin with the path that clients open; it takes what lies below as well:\n{} {{", own.replace(own_path, path)));
            let pass = item
                .and_then(|item| astray.view.level(item).pass)
                .and_then(|pass| astray.view.directive(pass).arg(0))
                .and_then(|url| url.split_once("://"));
            // With a URI part the rest of the path would be joined to it in another place.
            let keeps_paths = pass.is_some_and(|(_, rest)| !rest.contains('/'));
            match word.filter(|_| keeps_paths) {
                Some(word) => {
                    let text = cx.project.slice(word.span).replacen(own_path, path, 1);
                    finding.fix(Fix {
                        title: format!("begin the location with `{path}`"),
                        applicability: Applicability::Unsafe,
                        edits: vec![Edit {
                            span: word.span,
                            text,
                        }],
                    })
                }
                None => finding,
            }
        },
    );
}

fn location(astray: &Astray<'_>) -> Option<ItemId> {
    match astray.stray.way.end {
        End::Answered {
            cause: Cause::Slash(item),
            ..
        } => Some(item),
        _ => None,
    }
}

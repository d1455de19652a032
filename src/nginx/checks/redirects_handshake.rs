//! `nginx/redirects-handshake`: a redirect answers the handshake.

use super::strays::{self, Astray, Kind};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::model::ItemId;
use crate::nginx::way::{Cause, End};

/// Reports every redirect on the way of a handshake.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    strays::report(
        cx,
        report,
        Kind::Redirect,
        |astray| Some(astray.head(redirect(astray)?)),
        |report, astray, span| {
            let status = astray.status().unwrap_or(301);
            let text = redirect(astray).map_or_else(String::new, |item| astray.quote(item));
            let mut finding = report.finding(
                format!(
                    "no WebSocket opens {}: `{text}` redirects the handshake",
                    astray.lost()
                ),
                span,
                format!("answers {status} before any proxy is asked"),
            );
            finding = astray.on_the_way(finding);
            finding = finding.note(format!(
                "a browser follows no redirect in a handshake: with {status} the page sees close code 1006. Directives of the rewrite module run before `proxy_pass`, wherever they stand in the block"
            ));
            let edge = &cx.project.config.edge;
            if edge.speaks_plain_http() && !astray.stray.tls {
                finding = finding.note(format!(
                    "{} ends the client's TLS and speaks plain HTTP to this server, so a redirect to https leads here again",
                    edge.title()
                ));
                if let Some(declared) = edge.declared {
                    finding = finding.label(declared, "reaches this server over plain HTTP");
                }
            }
            let path = astray.prefix();
            let right = astray
                .right()
                .filter(|right| right.server == astray.stray.server);
            match (right, astray.taker()) {
                (Some(right), None) => {
                    let own = astray.quote(right.item);
                    let lines = match astray.stray.way.condition {
                        Some(condition) => format!(
                            "    {} {{\n        {text};\n    }}",
                            astray.quote(condition)
                        ),
                        None => format!("    {text};"),
                    };
                    finding.help(format!(
                        "redirect in a location of its own beside `{own}`, in place of the server's:\nlocation / {{\n{lines}\n}}"
                    ))
                }
                _ => finding.help(format!(
                    "keep the sockets out of it:\n{}",
                    astray.block(&format!("location {path}"))
                )),
            }
        },
    );
}

fn redirect(astray: &Astray<'_>) -> Option<ItemId> {
    match astray.stray.way.end {
        End::Answered {
            cause: Cause::Redirect(item),
            ..
        } => Some(item),
        _ => None,
    }
}

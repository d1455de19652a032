//! `nginx/shadowed-location`: another location or server takes the handshake from the one that
//! upgrades.

use super::strays::{self, Astray, Kind};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::location::Matcher;
use crate::nginx::model::ROOT;
use crate::nginx::way::{Cause, End};

/// Reports every block for handshakes that another one takes them from.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    strays::report(
        cx,
        report,
        Kind::Shadowed,
        |astray| match (astray.in_other_server(), astray.taker()) {
            (false, Some(taker)) => Some(astray.head(astray.stray.way.moved.unwrap_or(taker))),
            _ if astray.server() != ROOT => Some(astray.head(astray.server())),
            _ => None,
        },
        |report, astray, span| {
            let path = &astray.stray.path;
            let right = astray.right();
            let rights = right.map_or_else(String::new, |right| {
                format!("`{}`", astray.quote(right.item))
            });
            if astray.in_other_server() {
                return other_server(report, astray, span, &rights);
            }
            let taker = astray
                .taker()
                .map_or_else(|| "the server".to_owned(), |item| astray.level(item));
            let mut finding = report.finding(
                format!(
                    "no WebSocket opens {}: {taker} takes `{path}` from {rights}",
                    astray.lost()
                ),
                span,
                match astray.stray.way.moved {
                    Some(_) => "moves the path before a location is chosen".to_owned(),
                    None => becomes(astray),
                },
            );
            if let (Some(_), Some(taker)) = (astray.stray.way.moved, astray.taker()) {
                finding = finding.label(astray.head(taker), becomes(astray));
            }
            if let Some(right) = right {
                finding = finding.label(
                    astray.head(right.item),
                    "handles the upgrade, and is never asked",
                );
            }
            finding = astray.on_the_way(finding);
            let taking = astray
                .stray
                .way
                .location
                .map(|index| &astray.view.config.locations[index as usize]);
            let beats = match taking.map(|location| &location.matcher) {
                _ if astray.stray.way.moved.is_some() => {
                    "`rewrite` in the server runs before a location is chosen: the new path chooses it"
                }
                Some(Matcher::Regex(_)) => {
                    "a regular expression that matches beats a prefix, however long, unless the prefix says `^~`; of several the first in the file is taken"
                }
                Some(Matcher::Exact(_)) => "an exact location ends the search before all others",
                _ => {
                    "the longest prefix that matches is taken, and a location inherits no `proxy_pass`"
                }
            };
            finding = finding.note(beats);
            if let End::Answered { status, .. } = astray.stray.way.end {
                finding = finding.note(strays::refused(status));
            } else {
                finding = finding.note(super::sentence(super::REFUSAL));
            }
            let own = right.map(|right| &right.matcher);
            match (own, taking.map(|location| &location.matcher)) {
                _ if astray.stray.way.moved.is_some() => finding.help(format!(
                    "keep `{path}` out of the `rewrite`, or let it lead to a location that upgrades"
                )),
                (Some(Matcher::Prefix { path, .. }), Some(Matcher::Regex(_))) => finding.help(
                    format!("end the search at the prefix of the sockets:\nlocation ^~ {path} {{"),
                ),
                (Some(Matcher::Regex(_)), Some(Matcher::Regex(_))) => {
                    finding.help(format!("write {rights} before {taker}"))
                }
                _ => finding.help(format!(
                    "give `{path}` a location of its own:\n{}",
                    astray.block(&format!("location = {path}"))
                )),
            }
        },
    );
}

/// Another server takes the host that was declared.
fn other_server(
    report: &Report<'_>,
    astray: &Astray<'_>,
    span: crate::source::Span,
    rights: &str,
) -> crate::finding::Finding {
    let host = astray.stray.host.as_deref().unwrap_or_default();
    let right = astray.right();
    let mut finding = report.finding(
        format!("no WebSocket opens {}: no `server_name` is `{host}`, so this server takes it from the one with {rights}", astray.lost()),
        span,
        "the default server of this port takes every name that no other has",
    );
    if let Some(right) = right {
        finding = finding.label(
            astray.head(right.item),
            "handles the upgrade, and is never asked",
        );
        let server = astray.view.config.servers[right.server as usize].item;
        let names = (server != ROOT)
            .then(|| {
                astray
                    .view
                    .children(server)
                    .find(|item| astray.view.directive(*item).name() == "server_name")
            })
            .flatten();
        if let Some(names) = names {
            finding = finding.label(astray.head(names), format!("`{host}` is not among them"));
            let text = astray.quote(names);
            finding = finding.help(format!("add the host there:\n{text} {host};"));
        } else {
            finding = finding.help(format!(
                "name the host in the server that is meant:\nserver_name {host};"
            ));
        }
    }
    finding.note(format!(
        "nginx looks for the host among the `server_name`s of the port; what none of them fits goes to the `default_server`, or else to the first server of the port. {}",
        super::sentence(&strays::refused(astray.status()))
    ))
}

/// What becomes of the handshake in the wrong location.
fn becomes(astray: &Astray<'_>) -> String {
    match &astray.stray.way.end {
        End::Answered {
            cause: Cause::Files(_),
            ..
        } => "takes the handshake, and looks for a file".to_owned(),
        End::Answered {
            status: Some(status),
            ..
        } => format!("takes the handshake, and answers {status}"),
        End::Answered { status: None, .. } => {
            "takes the handshake, and closes the connection".to_owned()
        }
        _ => "takes the handshake, and passes it on without the upgrade".to_owned(),
    }
}

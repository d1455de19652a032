//! `nginx/forwarded-proto-redirect`: a redirect to https goes by a scheme that a handshake never has.

use super::strays::{self, Kind};
use crate::context::Context;
use crate::edge::hints;
use crate::finding::Report;
use crate::nginx::words::variables;
use crate::rule::Severity;

/// Reports every redirect that depends on the scheme and takes handshakes that came over TLS.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let edge = &cx.project.config.edge;
    strays::report(
        cx,
        report,
        Kind::Scheme,
        |astray| Some(astray.head(astray.scheme_condition()?)),
        |report, astray, span| {
            let status = astray.status().unwrap_or(301);
            let condition = astray
                .scheme_condition()
                .map_or_else(String::new, |item| astray.quote(item));
            let named = variables(&condition);
            let name = named.first().copied().unwrap_or("scheme");
            let header = name.strip_prefix("http_").map(|header| {
                header
                    .split('_')
                    .map(super::sentence)
                    .collect::<Vec<_>>()
                    .join("-")
            });
            let known = !edge.edges.is_empty();
            let what = if known {
                format!("`{condition}` redirects it to https for ever")
            } else {
                format!(
                    "behind anything that ends TLS, `{condition}` redirects it to https for ever"
                )
            };
            let mut finding = report
                .finding(
                    format!("no WebSocket opens {}: {what}", astray.lost()),
                    span,
                    "holds for every handshake",
                )
                .severity(if known {
                    Severity::Error
                } else {
                    Severity::Warning
                });
            if let crate::nginx::way::End::Answered {
                cause: crate::nginx::way::Cause::Redirect(item),
                ..
            } = astray.stray.way.end
            {
                finding = finding.label(
                    astray.head(item),
                    format!("answers {status}, which no browser follows in a handshake"),
                );
            }
            if let Some(declared) = edge.declared {
                finding = finding.label(declared, format!("{} ends TLS", edge.title()));
            }
            let note = match &header {
                Some(header) => {
                    let sends = edge
                        .sends()
                        .into_iter()
                        .find(|(sent, _)| sent.eq_ignore_ascii_case(header));
                    match sends {
                        Some((_, value)) => format!(
                            "on a handshake {} sends `{header}: {value}`; on a page it may be another value",
                            edge.title()
                        ),
                        None => format!("{} sends no `{header}` on a handshake", edge.title()),
                    }
                }
                None if known => format!(
                    "{} ends the client's TLS and speaks plain HTTP to nginx, where `${name}` is that of this connection",
                    edge.title()
                ),
                None => format!(
                    "this server listens without TLS, so `${name}` says plain HTTP whatever the client used; no `[edge]` is declared, and no other server of this name speaks TLS"
                ),
            };
            finding = finding
                .note(note)
                .note(strays::refused(Some(status)))
                .help(format!(
                    "redirect only what is called plain, so that a handshake passes whatever it is called:\nif ($http_x_forwarded_proto = http) {{\n    return {status} https://$host$request_uri;\n}}"
                ));
            match known {
                true => finding,
                false => hints::ask(cx, finding),
            }
        },
    );
}

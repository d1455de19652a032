//! `stack/unknown-host`: a proxy asks the next one for a host that this one does not have.

use super::{Told, label, name};
use crate::context::Context;
use crate::finding::Report;
use crate::source::Span;
use crate::stack::lost::{How, Lost};

/// Reports hops that pass a handshake on under a name for which the next one has no address.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    for lost in cx.lost() {
        let (known, place) = match &lost.how {
            How::UnknownHost { known, place } => (known, place),
            How::NoName { known, place } => {
                no_name(cx, lost, (known, *place), report);
                continue;
            }
            _ => continue,
        };
        let Some(told) = Told::new(cx, lost) else {
            continue;
        };
        let Some(last) = told.run().steps.last() else {
            continue;
        };
        let host = &last.arrived.host;
        let inner = name(last.layer);
        let is_strict = told.run().status == Some(421);
        let why = match is_strict {
            true => format!("by a TLS handshake for `{known}`, and insists on one name"),
            false => "and has no address for it".to_owned(),
        };
        let finding = report.finding(
            format!(
                "no WebSocket opens {}: the {inner} behind this is asked for `{host}`, {why}",
                told.at()
            ),
            lost.span,
            format!("asks for the host `{host}`"),
        );
        let said = match is_strict {
            true => "takes no request for another host than the TLS handshake's".to_owned(),
            false => format!("only `{known}` leads to the sockets here"),
        };
        let finding = label(finding, *place, said);
        if is_strict {
            report.push(
                told.because(finding)
                    .note(told.met())
                    .note(told.trace())
                    .help(format!(
                        "ask for the same name twice:\nheader_up Host {host}\ntransport http {{\n\ttls_server_name {host}\n}}"
                    )),
            );
            continue;
        }
        // The line that names the host, with the other one beside it.
        let text = cx.project.slice(*place);
        let words: Vec<&str> = text.split_whitespace().collect();
        let address = words.iter().find(|word| word.contains(known.as_str()));
        let added = match (last.layer, address) {
            ("caddy", Some(address)) => {
                let address = address.trim_matches([',', '{']);
                format!("{address}, {} {{", address.replacen(known, host, 1))
            }
            _ => format!("server_name {known} {host};"),
        };
        let lines = if told.step().layer == "nginx" {
            format!(
                "proxy_set_header Host {};",
                if told
                    .run()
                    .steps
                    .first()
                    .is_some_and(|first| first.arrived.host == *known)
                {
                    "$host"
                } else {
                    known
                }
            )
        } else {
            format!("header_up Host {known}")
        };
        report.push(
            told.because(finding)
                .note(told.met())
                .note(told.trace())
                .help(format!("ask for a host that it has:\n{lines}"))
                .help(format!("or let the inner one take it too:\n{added}")),
        );
    }
}

/// A TLS handshake that names no host, before a hop that has a certificate for `known` alone.
fn no_name(cx: &Context<'_>, lost: &Lost, (known, place): (&str, Span), report: &mut Report<'_>) {
    let Some(told) = Told::new(cx, lost) else {
        return;
    };
    let Some(last) = told.run().steps.last() else {
        return;
    };
    let inner = name(last.layer);
    let finding = report.finding(
        format!(
            "no WebSocket opens {}: the TLS handshake with the {inner} behind this names no host, and finds no certificate",
            told.at()
        ),
        lost.span,
        "asks for no name when it begins TLS",
    );
    let finding = label(
        finding,
        place,
        format!("has a certificate for `{known}`, and none for nobody"),
    );
    let mut lines = format!("proxy_ssl_server_name on;\nproxy_ssl_name {known};");
    if last.arrived.host != known {
        lines.push_str(&format!("\nproxy_set_header Host {known};"));
    }
    report.push(
        told.because(finding)
            .note(told.met())
            .note("nginx leaves the name out of the TLS handshake unless `proxy_ssl_server_name on` says otherwise")
            .note(told.trace())
            .help(format!("name a host that it has a certificate for:\n{lines}")),
    );
}

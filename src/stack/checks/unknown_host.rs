//! `stack/unknown-host`: a proxy asks the next one for a host that this one does not have.

use super::{Told, label, name};
use crate::context::Context;
use crate::finding::Report;
use crate::rule::Severity;
use crate::source::Span;
use crate::stack::lost::{How, Lost};

/// Reports hops that pass a handshake on under a name for which the next one has no address.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    for lost in cx.lost() {
        let (known, place) = match &lost.how {
            How::UnknownHost { known, place } => (known, place),
            How::NoName {
                asked,
                known,
                place,
            } => {
                no_name(cx, lost, asked, (known, *place), report);
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
        let mut finding = label(finding, *place, said);
        // Who asks a server without a name may well ask for one that is known behind it.
        let traced = &cx.ways()[lost.ways[0]];
        let asked = traced.way.runs[0].steps.iter();
        let passed_on = asked
            .filter(|step| step.hop.is_some())
            .all(|step| step.arrived.host == *host);
        let is_nameless = traced
            .entrance
            .as_ref()
            .is_some_and(|own| own.host.is_empty());
        if passed_on && is_nameless {
            finding = finding.severity(Severity::Warning);
        }
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

/// A TLS handshake that asks for a name, or none, for which the next hop has no certificate; it has
/// one for `known`.
fn no_name(
    cx: &Context<'_>,
    lost: &Lost,
    asked: &str,
    (known, place): (&str, Span),
    report: &mut Report<'_>,
) {
    let Some(told) = Told::new(cx, lost) else {
        return;
    };
    let Some(last) = told.run().steps.last() else {
        return;
    };
    let inner = name(last.layer);
    let (names, begins) = match asked {
        "" => ("names no host".to_owned(), "asks for no name".to_owned()),
        asked => (format!("names `{asked}`"), format!("asks for `{asked}`")),
    };
    let finding = report.finding(
        format!(
            "no WebSocket opens {}: the TLS handshake with the {inner} behind this {names}, and finds no certificate",
            told.at()
        ),
        lost.span,
        format!("{begins} when it begins TLS"),
    );
    let finding = label(finding, place, format!("has a certificate for `{known}`"));
    let is_nginx = told.step().layer == "nginx";
    let lines = match (is_nginx, last.arrived.host == known) {
        (true, true) => format!("proxy_ssl_server_name on;\nproxy_ssl_name {known};"),
        (true, false) => format!(
            "proxy_ssl_server_name on;\nproxy_ssl_name {known};\nproxy_set_header Host {known};"
        ),
        (false, true) => format!("transport http {{\n\ttls_server_name {known}\n}}"),
        (false, false) => {
            format!("header_up Host {known}\ntransport http {{\n\ttls_server_name {known}\n}}")
        }
    };
    let mut finding = told.because(finding).note(told.met());
    if is_nginx {
        finding = finding.note(
            "nginx leaves the name out of the TLS handshake unless `proxy_ssl_server_name on` says otherwise; then it is the upstream's, or what `proxy_ssl_name` says",
        );
    }
    report.push(finding.note(told.trace()).help(format!(
        "name a host that it has a certificate for:\n{lines}"
    )));
}

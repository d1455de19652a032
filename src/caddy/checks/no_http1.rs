//! `servers { protocols }` without HTTP/1.1.

use super::lost::{evidence, handshakes};
use super::{by_config, concerns, listener_of, target};
use crate::context::Context;
use crate::finding::Report;

/// `caddy/no-http1`.
pub fn no_http1(cx: &Context<'_>, report: &mut Report<'_>) {
    let version = target(cx);
    for (config, routes) in by_config(cx) {
        for servers in &config.options.servers {
            let line = servers
                .children()
                .iter()
                .rfind(|line| line.name() == "protocols" && !line.conditional);
            let Some(line) = line.filter(|line| !line.args().is_empty() && !servers.conditional)
            else {
                continue;
            };
            let names = || line.args().iter();
            if names().any(|word| word.unknown.is_some() || word.text == "h1") {
                continue;
            }
            let lost: Vec<_> = routes
                .iter()
                .copied()
                .filter(|route| {
                    listener_of(cx, route).is_some_and(|(_, port)| concerns(servers, port))
                })
                .collect();
            let Some(first) = lost.first().copied() else {
                continue;
            };
            let tls = listener_of(cx, first).is_some_and(|(tls, _)| tls);
            let spoken: Vec<&str> = names().map(|word| word.text.as_str()).collect();
            let what = if version < [2, 10, 0] {
                "Caddy before 2.10 refuses to load this, except `h3` alone, which no browser opens a socket with"
            } else if tls {
                "a TLS listener closes the connection on a client that speaks HTTP/1.1"
            } else {
                "without TLS there is neither HTTP/2 nor HTTP/3: the port is not opened at all"
            };
            let mut words: Vec<String> = spoken.iter().map(|word| (*word).to_owned()).collect();
            words.insert(0, "h1".to_owned());
            let finding = report
                .finding(
                    format!(
                        "{} gets no answer: this listener does not speak HTTP/1.1",
                        handshakes(&lost)
                    ),
                    line.head,
                    format!("{} and nothing else", spoken.join(" and ")),
                )
                .label(cx.caddy.site(first).span, "a site of that listener");
            report.push(
                evidence(finding, first)
                    .note(what)
                    .note("browsers open a WebSocket over HTTP/1.1, whatever else they speak with the same host")
                    .help(format!("name `h1` too:\n\nprotocols {}", words.join(" "))),
            );
        }
    }
}

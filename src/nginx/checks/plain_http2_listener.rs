//! `nginx/plain-http2-listener`: a port without TLS that speaks HTTP/2 only.

use std::collections::HashSet;

use super::{Causes, places};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::model::ROOT;
use crate::project::Version;
use crate::rule::Severity;

/// From this version on such a port tells HTTP/1.1 from HTTP/2 by the first bytes.
const TOLD_APART: Version = [1, 25, 1];

/// Reports every such `listen` of a server with routes.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    let mut seen = HashSet::new();
    for place in places(cx) {
        let view = place.view;
        if view.config.target.is_none_or(|target| target >= TOLD_APART) {
            continue;
        }
        let location = &view.config.locations[place.route.location as usize];
        let server = &view.config.servers[location.server as usize];
        if server.item == ROOT || !seen.insert((view.index, server.item)) {
            continue;
        }
        // What one server says of an address holds for all that listen there
        // (ngx_http_add_addresses).
        let tls: HashSet<u16> = view
            .config
            .servers
            .iter()
            .flat_map(|server| &server.listens)
            .filter(|listen| listen.tls)
            .map(|listen| listen.port)
            .collect();
        let children = || view.children(server.item).map(|item| view.directive(item));
        if children().any(|directive| directive.name() == "ssl") {
            continue;
        }
        let listens: Vec<_> = children()
            .filter(|directive| directive.name() == "listen")
            .collect();
        let is_plain_http2 = |words: &[crate::syntax::Word]| {
            let has = |flag: &str| words.iter().any(|word| word.text == flag);
            let port = words
                .first()
                .and_then(|word| word.text.rsplit(':').next()?.parse().ok());
            has("http2")
                && !has("ssl")
                && port.is_some_and(|port: u16| !tls.contains(&port))
                && words.iter().all(|word| !word.templated)
        };
        let broken = listens
            .iter()
            .filter(|listen| is_plain_http2(listen.args()));
        let all = listens.iter().all(|listen| is_plain_http2(listen.args()));
        for listen in broken {
            let span = listen.head();
            causes.add(span, place.broken(), || {
                let message = "no browser opens a WebSocket at this port: without TLS it speaks HTTP/2 only";
                let finding = report
                    .finding(message, span, "`http2` and no `ssl`")
                    .severity(if all { Severity::Error } else { Severity::Warning })
                    .note("before 1.25.1 nginx takes whatever arrives at such a port for HTTP/2. Browsers speak HTTP/2 over TLS only, and open a WebSocket over HTTP/1.1: they get binary frames for an answer");
                place.because(finding).help("take `http2` out of the line; browsers lose nothing by it")
            });
        }
    }
    causes.report(report);
}

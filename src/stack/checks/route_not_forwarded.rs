//! `stack/route-not-forwarded`: an application route that a proxy before it does not let through.

use super::{Told, label, name};
use crate::context::Context;
use crate::finding::Report;
use crate::stack::lost::How;

/// Reports the routes of applications that are lost at a proxy.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    for lost in cx.lost() {
        let Some(told) = Told::new(cx, lost) else {
            continue;
        };
        let at = told.at();
        let step = told.step();
        let path = &told.traced.path;
        let by = name(step.layer);
        let taker = told.quote(step.at);
        let (message, primary, note) = match &lost.how {
            How::Plain => (
                format!(
                    "no WebSocket opens {at}: `{taker}` passes the handshake on as a plain GET"
                ),
                format!("passes `{path}` on without Upgrade and Connection"),
                format!(
                    "a proxy takes Upgrade and Connection off every request, and nginx sends them on only where `proxy_set_header` says so; {}",
                    told.met()
                ),
            ),
            How::Answered(status) => (
                format!(
                    "no WebSocket opens {at}: {by} answers {status} by itself, and the application is never asked"
                ),
                format!("takes `{path}`, and does not pass it on"),
                told.met(),
            ),
            How::Elsewhere => (
                format!(
                    "no WebSocket opens {at}: `{taker}` sends the handshake to a server that takes none"
                ),
                "leads to another server than the one for sockets".to_owned(),
                told.met(),
            ),
            How::Moved { .. } | How::UnknownHost { .. } | How::NoName { .. } => continue,
        };
        let primary = match &lost.beside {
            Some(_) => format!(
                "handles the upgrade, for paths with which no route begins; `{path}` goes another way"
            ),
            None => primary,
        };
        let mut finding = report.finding(message, lost.span, primary);
        if lost.beside.is_some() {
            finding = label(
                finding,
                crate::stack::lost::pass(cx, step),
                format!("takes `{path}`, and passes it on without its upgrade"),
            );
        }
        finding = label(finding, step.at, format!("takes `{path}`"));
        finding = told.because(finding).note(note).note(told.trace());
        let prefix = told.prefix();
        if let Some(beside) = &lost.beside {
            let line = told.quote(beside.span).replacen(&beside.path, &prefix, 1);
            finding = finding.help(format!(
                "let it take the paths of the routes, `{prefix}` in place of `{}`:\n{line} {{",
                beside.path
            ));
        } else {
            let (with, address) = match told.address() {
                Some(address) => ("", address),
                None => (", with the address of their server", "ADDRESS".to_owned()),
            };
            let block = told.block(&prefix, &address);
            finding = finding.help(format!(
                "give the sockets a block of their own{with}:\n{block}"
            ));
        }
        report.push(finding);
    }
}

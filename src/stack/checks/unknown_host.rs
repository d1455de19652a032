//! `stack/unknown-host`: a proxy asks the next one for a host that this one does not have.

use super::{Told, label, name};
use crate::context::Context;
use crate::finding::Report;
use crate::stack::lost::How;

/// Reports hops that pass a handshake on under a name for which the next one has no address.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    for lost in cx.lost() {
        let How::UnknownHost { known, place } = &lost.how else {
            continue;
        };
        let Some(told) = Told::new(cx, lost) else {
            continue;
        };
        let Some(last) = told.run().steps.last() else {
            continue;
        };
        let host = &last.arrived.host;
        let inner = name(last.layer);
        let finding = report.finding(
            format!(
                "no WebSocket opens {}: the {inner} behind this is asked for `{host}`, and has no address for it",
                told.at()
            ),
            lost.span,
            format!("asks for the host `{host}`"),
        );
        let finding = label(
            finding,
            *place,
            format!("only `{known}` leads to the sockets here"),
        );
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
                .help(format!("or add `{host}` to the addresses of the inner one")),
        );
    }
}

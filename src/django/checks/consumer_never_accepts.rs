//! Consumers that leave every handshake open.

use crate::context::Context;
use crate::django::consumer::{Connect, Never};
use crate::finding::Report;
use crate::source::Span;

/// `django/consumer-never-accepts`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen: Vec<Span> = Vec::new();
    for route in &cx.django.routes {
        let Connect::Never { at, why } = &route.connect else {
            continue;
        };
        if seen.contains(at) {
            continue;
        }
        seen.push(*at);
        let name = Span::new(
            at.source,
            at.start as usize..at.start as usize + signature(cx.project.slice(*at)),
        );
        let open = "a handshake that nobody accepts or closes stays open: daphne resets it after five seconds, uvicorn waits until the client gives up";
        let finding = match why {
            Never::OnPurpose { .. } => continue,
            Never::NotCalled => report
                .finding(
                    "this consumer never accepts: no handshake for it is ever answered",
                    name,
                    "accepts on no way through it",
                )
                .note(open)
                .help("accept it at the end:\n    self.accept()\nin an asynchronous consumer:\n    await self.accept()"),
            Never::NotAwaited(call) => report
                .finding(
                    "`self.accept()` is not awaited: no handshake for this consumer is ever answered",
                    *call,
                    "makes a coroutine, which nobody runs",
                )
                .label(name, "an asynchronous consumer")
                .note(open)
                .help("await it:\n    await self.accept()"),
            Never::Asynchronous => report
                .finding(
                    "`async def connect` in a synchronous consumer never runs: no handshake for it is ever answered",
                    name,
                    "called, but never awaited",
                )
                .note("WebsocketConsumer calls `connect()` and does not await it; the coroutine that an `async def` returns is dropped")
                .note(open)
                .help("use the asynchronous consumer:\nfrom channels.generic.websocket import AsyncWebsocketConsumer"),
            Never::Synchronous => report
                .finding(
                    "`def connect` in an asynchronous consumer returns nothing that could be awaited: each handshake gets 500",
                    name,
                    "awaited, and returns None: TypeError",
                )
                .help("make it asynchronous:\nasync def connect(self):\n    await self.accept()"),
        };
        report.push(finding.label(route.span, "leads to it"));
    }
}

/// The length of `async def connect`.
fn signature(text: &str) -> usize {
    text.find('(').unwrap_or(text.len())
}

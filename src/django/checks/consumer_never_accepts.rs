//! Consumers that accept no handshake.

use crate::context::Context;
use crate::django::consumer::{Connect, Meant, Never};
use crate::django::routes::WebSocket;
use crate::finding::Report;
use crate::source::Span;

/// `django/consumer-never-accepts`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let routed = cx.django.routes.iter();
    let routed = routed.map(|route| (&route.connect, route.span));
    let unrouted = cx.django.applications.iter();
    let unrouted = unrouted.filter(|application| application.websocket == WebSocket::Everything);
    let unrouted = unrouted.map(|application| (&application.connect, application.span));
    let mut seen: Vec<Span> = Vec::new();
    for (connect, leads) in routed.chain(unrouted) {
        let Connect::Never { at, why } = connect else {
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
        let is_asynchronous = cx.project.slice(name).starts_with("async");
        let wait = if is_asynchronous { "await " } else { "" };
        let finding = match why {
            // Somebody has to refuse the paths that nothing serves, as
            // channels/security/websocket.py does: a consumer that does nothing else means to.
            Never::Refuses { meant: None, .. } => continue,
            Never::Refuses {
                by,
                status,
                meant: Some(meant),
            } => {
                let gets = match status {
                    Some(status) => format!("each gets {status}"),
                    None => "none opens".to_owned(),
                };
                let (place, label) = match meant {
                    Meant::Accepts(late) => (*late, "too late, or never run"),
                    Meant::Receives(handler) => (*handler, "is for messages, which never come"),
                };
                report
                    .finding(
                        format!("this consumer refuses every handshake: {gets}"),
                        *by,
                        "no way through `connect()` gets past what closes or raises",
                    )
                    .label(place, label)
                    .note("what follows a `close()` or a `raise` can't open the handshake any more; that a refusal was meant for some only is taken from the line above that expects open sockets")
                    .help(format!(
                        "refuse only whom you mean, and return; accept all others:\n    if refused:\n        {wait}self.close()\n        return\n    {wait}self.accept()"
                    ))
            }
            Never::Raises(by) => report
                .finding(
                    "`connect()` raises on every way through it: each handshake gets 500",
                    *by,
                    "always raised",
                )
                .label(name, "called for each handshake")
                .help(format!(
                    "accept the handshake:\n    {wait}self.accept()\nto refuse one, close it, which is 403:\n    {wait}self.close()"
                )),
            Never::Queries(query) => report
                .finding(
                    "a synchronous query in `async def connect`: each handshake gets 500",
                    *query,
                    "raises SynchronousOnlyOperation",
                )
                .label(name, "runs in the event loop")
                .note("Django's database connections refuse to work where an event loop runs; a query set that is not evaluated does no harm, but `get()`, `first()`, `exists()`, `create()` and their like ask at once")
                .help("await the asynchronous form of the method (Django 4.1 and later):\n    await Room.objects.aget(…)\nor hand the call to a thread:\n    from channels.db import database_sync_to_async\n    await database_sync_to_async(Room.objects.get)(…)"),
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
        report.push(finding.label(leads, "leads to it"));
    }
}

/// The length of `async def connect`.
fn signature(text: &str) -> usize {
    text.find('(').unwrap_or(text.len())
}

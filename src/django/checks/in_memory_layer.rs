//! A channel layer that lives in one process, under several of them.

use std::collections::HashSet;

use crate::context::Context;
use crate::django::command::{Command, Program};
use crate::django::data::{Data, certain};
use crate::finding::Report;
use crate::rule::Severity;
use crate::source::Span;

const BACKEND: &str = "channels.layers.InMemoryChannelLayer";

/// What only a consumer that uses the layer says.
const USES: &[&str] = &[
    "group_add",
    "channel_layer.send",
    "channel_layer.group_send",
];

/// `django/in-memory-layer`.
pub fn in_memory(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen: HashSet<Span> = HashSet::new();
    for settings in cx.django.production() {
        let setting = settings.get("CHANNEL_LAYERS");
        let Some(Data::Dictionary(layers)) = setting.certain().map(|value| &value.data) else {
            continue;
        };
        let backend = layers
            .get("default")
            .and_then(|(_, values)| match &certain(values)?.data {
                Data::Dictionary(layer) => certain(&layer.get("BACKEND")?.1).cloned(),
                _ => None,
            });
        let Some(backend) = backend.filter(|backend| backend.data.as_text() == Some(BACKEND))
        else {
            continue;
        };
        if settings.is_debug() || backend.is_default() || !seen.insert(backend.span) {
            continue;
        }
        let home = cx.django.home(cx.project, settings.source);
        let Some(used) = used(cx, home) else {
            continue;
        };
        let servers = cx.django.servers(cx.project, home);
        let several = servers
            .iter()
            .filter(|command| command.serves_websockets())
            .find_map(|command| workers(command))
            .map(|(count, span)| (count, span, format!("starts {count} processes")))
            .or_else(|| {
                let (count, span) = *cx.processes().get(home)?;
                Some((count, span, format!("{count} of them run side by side")))
            });
        let finding = match several {
            Some((count, span, label)) => report
                .finding(
                    format!("the channel layer lives in the memory of one process, and {count} of them serve the sockets: most messages reach only the clients of the process that sent them"),
                    backend.span,
                    "one layer for each process, and nothing between them",
                )
                .label(span, label),
            None => report
                .finding(
                    "the channel layer lives in the memory of one process: the first second worker, replica or management command that sends to a group reaches nobody",
                    backend.span,
                    "for tests and development",
                )
                .severity(Severity::Info),
        };
        report.push(
            finding
                .label(used, "groups go through the layer")
                .note("the sockets open and nothing is logged: `group_send` finds only the channels of its own process, so a chat seems to work for some users and not for others")
                .help("share the layer through Redis:\nCHANNEL_LAYERS = {\n    \"default\": {\n        \"BACKEND\": \"channels_redis.core.RedisChannelLayer\",\n        \"CONFIG\": {\"hosts\": [(\"redis\", 6379)]},\n    },\n}"),
        );
    }
}

/// Where a module of the application in `home` uses the layer.
fn used(cx: &Context<'_>, home: &str) -> Option<Span> {
    cx.django
        .sources_of(cx.project, home)
        .filter(|source| !source.name().starts_with("test"))
        .find_map(|source| {
            USES.iter().find_map(|word| {
                let at = memchr::memmem::find(source.text.as_bytes(), word.as_bytes())?;
                let line =
                    memchr::memrchr(b'\n', &source.text.as_bytes()[..at]).map_or(0, |at| at + 1);
                let comment = source.text[line..at].trim_start().starts_with('#');
                (!comment).then(|| Span::new(source.id, at..at + word.len()))
            })
        })
}

/// How many processes a command surely starts, if there are several, and the word that says so.
pub(crate) fn workers(command: &Command) -> Option<(u32, Span)> {
    let names: &[&str] = match command.program {
        Program::Gunicorn | Program::Hypercorn => &["--workers", "-w"],
        Program::Uvicorn | Program::Granian => &["--workers"],
        Program::Daphne | Program::Uwsgi | Program::Runserver | Program::Waitress => return None,
    };
    let count: u32 = command.option(names)?.parse().ok()?;
    let span = names
        .iter()
        .find_map(|name| command.word(name))
        .map_or(command.span, |word| word.span);
    (count > 1).then_some((count, span))
}

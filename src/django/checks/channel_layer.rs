//! Channel layers that a handshake fails on.

use super::routing::head;
use crate::context::Context;
use crate::django::consumer::class_of;
use crate::django::data::{Data, Dictionary, Possible, certain};
use crate::django::routes::WebSocket;
use crate::finding::Report;
use crate::source::Span;

/// Classes that are channel layers; a typing error in one of these modules is certain.
const LAYERS: &[(&str, &[&str])] = &[
    ("channels.layers", &["InMemoryChannelLayer"]),
    ("channels_redis.core", &["RedisChannelLayer"]),
    ("channels_redis.pubsub", &["RedisPubSubChannelLayer"]),
];

const LAYER: &str = "CHANNEL_LAYERS = {\n    \"default\": {\n        \"BACKEND\": \"channels_redis.core.RedisChannelLayer\",\n        \"CONFIG\": {\"hosts\": [(\"redis\", 6379)]},\n    },\n}";

/// `django/channel-layer`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let model = &cx.django;
    for settings in model.production() {
        let home = model.home(cx.project, settings.source);
        let Some(socket) = model.sockets(home) else {
            continue;
        };
        let setting = settings.get("CHANNEL_LAYERS");
        let Some(value) = setting.certain() else {
            continue;
        };
        let layers = match &value.data {
            Data::Dictionary(layers) => Some(layers.clone()),
            Data::Absent => None,
            _ => continue,
        };
        let default = layers.as_ref().and_then(|layers| layers.get("default"));
        if let Some((key, values)) = default {
            let Some(Data::Dictionary(layer)) = certain(values).map(|value| &value.data) else {
                continue;
            };
            if let Some((message, span, label, note, help)) = fault(layer, key.span) {
                report.push(
                    report
                        .finding(message, span, label)
                        .label(
                            head(cx.project, socket),
                            "fails although it may never use the layer",
                        )
                        .note(note)
                        .help(help),
                );
            }
            continue;
        }
        if layers.as_ref().is_some_and(|layers| !layers.complete) || value.is_default() {
            continue;
        }
        let certain_routes = model.routes_of(home).filter(|route| route.certain);
        let everything = model
            .applications_of(home)
            .filter(|(_, application)| application.websocket == WebSocket::Everything)
            .filter_map(|(_, application)| application.target.as_ref());
        let targets = certain_routes
            .filter_map(|route| route.consumer.as_ref())
            .chain(everything);
        let users = targets.filter_map(|target| {
            let consumer = model.consumer(&*class_of(target)?)?;
            Some((consumer, consumer.needs_layer?))
        });
        let first = users.min_by_key(|(consumer, _)| consumer.span);
        let Some((consumer, used)) = first else {
            continue;
        };
        let finding = report
            .finding(
                format!(
                    "`{}` joins a group when it connects, and there is no channel layer: each handshake for it gets 500",
                    consumer.name
                ),
                used,
                "None, so AttributeError",
            )
            .note("without a \"default\" in CHANNEL_LAYERS `self.channel_layer` is None");
        let finding = match setting.target {
            Some(target) => finding.label(target, "has no \"default\""),
            None => finding.label(
                Span::new(settings.source, 0..0),
                "these settings have no CHANNEL_LAYERS",
            ),
        };
        report.push(finding.help(format!("configure one:\n{LAYER}")));
    }
}

/// Whether no consumer can make its layer from this value of CHANNEL_LAYERS.
pub(in crate::django) fn is_broken(layers: &Possible) -> bool {
    let Data::Dictionary(layers) = &layers.data else {
        return false;
    };
    let default = layers.get("default");
    default.is_some_and(
        |(key, values)| match certain(values).map(|value| &value.data) {
            Some(Data::Dictionary(layer)) => fault(layer, key.span).is_some(),
            _ => false,
        },
    )
}

type Fault = (String, Span, String, String, String);

/// What is wrong with a layer whatever a consumer does (channels/layers.py, make_backend).
fn fault(layer: &Dictionary, key: Span) -> Option<Fault> {
    let help = format!("write it as Channels reads it:\n{LAYER}");
    if let Some((routing, _)) = layer.get("ROUTING") {
        return Some((
            "the channel layer has a ROUTING, which Channels refuses: every handshake gets 500".to_owned(),
            routing.span,
            "a key of Channels 1".to_owned(),
            "every consumer asks for its layer before it connects; Channels raises InvalidChannelLayerError for this key".to_owned(),
            format!("leave it out, and route in asgi.py:\n{LAYER}"),
        ));
    }
    let Some((_, backend)) = layer.get("BACKEND") else {
        return layer.complete.then(|| {
            (
                "the channel layer names no BACKEND: every handshake gets 500".to_owned(),
                key,
                "no BACKEND".to_owned(),
                "every consumer asks for its layer before it connects; without BACKEND that raises KeyError".to_owned(),
                help,
            )
        });
    };
    let backend = certain(backend).filter(|backend| !backend.is_default())?;
    let path = backend.data.as_text()?;
    let (module, class) = path.rsplit_once('.').unwrap_or(("", path));
    let wrong = if let Some((_, classes)) = LAYERS.iter().find(|(known, _)| *known == module) {
        !classes.contains(&class)
    } else {
        module.starts_with("asgi_redis")
            || module == "channels_redis"
            || module == "channels"
            || module == "asgiref.inmemory"
    };
    wrong.then(|| {
        (
            format!("there is no channel layer `{path}`: every handshake gets 500"),
            backend.span,
            "no such class".to_owned(),
            "every consumer asks for its layer before it connects, and the import fails then"
                .to_owned(),
            help,
        )
    })
}

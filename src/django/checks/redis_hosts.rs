//! Redis hosts in a form that channels_redis does not read.

use super::routing::head;
use crate::context::Context;
use crate::django::data::{Data, Possible, certain};
use crate::finding::{Finding, Report};
use crate::rule::Severity;

/// `django/redis-hosts`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let model = &cx.django;
    for settings in model.production() {
        let home = model.home(cx.project, settings.source);
        let Some(socket) = model.sockets(home) else {
            continue;
        };
        let setting = settings.get("CHANNEL_LAYERS");
        let Some(Data::Dictionary(layers)) = setting.certain().map(|value| &value.data) else {
            continue;
        };
        let Some(Data::Dictionary(layer)) = layers
            .get("default")
            .and_then(|(_, values)| certain(values))
            .map(|value| &value.data)
        else {
            continue;
        };
        let backend = layer
            .get("BACKEND")
            .and_then(|(_, values)| certain(values))
            .and_then(|backend| backend.data.as_text());
        let Some(
            "channels_redis.core.RedisChannelLayer"
            | "channels_redis.pubsub.RedisPubSubChannelLayer",
        ) = backend
        else {
            continue;
        };
        let config = layer.get("CONFIG");
        for key in ["hosts", "HOSTS", "LOCATION"] {
            if config.is_none()
                && layer.complete
                && let Some((key, _)) = layer.get(key)
            {
                let name = key.data.as_text().unwrap_or_default();
                report.push(
                    report
                        .finding(
                            format!("`{name}` stands outside CONFIG, where nobody reads it: the layer talks to localhost:6379"),
                            key.span,
                            "not read",
                        )
                        .severity(Severity::Warning)
                        .label(head(cx.project, socket), "fails when it uses the layer, unless a Redis runs beside it")
                        .note("channels/layers.py hands the layer only what is in CONFIG")
                        .help("move it into CONFIG:\n\"CONFIG\": {\"hosts\": [(\"redis\", 6379)]},"),
                );
                break;
            }
        }
        let Some(Data::Dictionary(config)) = config
            .and_then(|(_, values)| certain(values))
            .map(|value| &value.data)
        else {
            continue;
        };
        if let Some((key, _)) = config.get("HOSTS") {
            report.push(
                report
                    .finding(
                        "`HOSTS` is no option of the layer: every handshake gets 500",
                        key.span,
                        "TypeError: an unexpected keyword argument",
                    )
                    .label(head(cx.project, socket), "fails although it may never use the layer")
                    .note("CONFIG is handed to the layer as keyword arguments, and the layer knows `hosts`; every consumer makes its layer before it connects")
                    .help("write it in lower case:\n\"hosts\": [(\"redis\", 6379)],"),
            );
            continue;
        }
        let Some(hosts) = config
            .get("hosts")
            .and_then(|(_, values)| certain(values))
            .filter(|hosts| !hosts.is_default())
        else {
            continue;
        };
        if let Some(finding) = judge(report, hosts) {
            report.push(finding.label(head(cx.project, socket), "needs the layer"));
        }
    }
}

/// What is wrong with the hosts (channels_redis/utils.py, decode_hosts).
fn judge(report: &Report<'_>, hosts: &Possible) -> Option<Finding> {
    match &hosts.data {
        Data::Text(text) => Some(
            report
                .finding(
                    "`hosts` is a string, not a list: every handshake gets 500",
                    hosts.span,
                    "ValueError: \"You must pass a list of Redis hosts\"",
                )
                .note(
                    "every consumer makes its layer before it connects, whether it uses it or not",
                )
                .help(format!("make it a list:\n\"hosts\": [\"{text}\"],")),
        ),
        Data::Sequence(list) if list.complete => {
            let items: Option<Vec<&Possible>> =
                list.items.iter().map(|item| certain(item)).collect();
            let items = items?;
            if let [host, port] = items.as_slice()
                && let (Data::Text(name), Data::Integer(number)) = (&host.data, &port.data)
            {
                return Some(
                    report
                        .finding(
                            "`hosts` is one address, not a list of addresses: a handshake whose consumer uses the layer gets 500",
                            hosts.span,
                            "host and port are taken for two hosts",
                        )
                        .help(format!("put it into a list:\n\"hosts\": [(\"{name}\", {number})],")),
                );
            }
            for item in items.iter().filter(|item| !item.is_default()) {
                match &item.data {
                    Data::Text(text)
                        if !["redis://", "rediss://", "unix://"]
                            .iter()
                            .any(|scheme| text.starts_with(scheme)) =>
                    {
                        return Some(
                            report
                                .finding(
                                    format!("`{text}` is no Redis URL: a handshake whose consumer uses the layer gets 500"),
                                    item.span,
                                    "ValueError: no scheme that redis knows",
                                )
                                .help(format!("write a URL, or a pair:\n\"hosts\": [\"redis://{text}\"],")),
                        );
                    }
                    Data::None => {
                        return Some(
                            report
                                .finding(
                                    "`None` is no Redis host: a handshake whose consumer uses the layer gets 500",
                                    item.span,
                                    "ValueError: no scheme that redis knows",
                                )
                                .help("name the host:\n\"hosts\": [(\"redis\", 6379)],"),
                        );
                    }
                    Data::Sequence(pair) => {
                        let host = pair.items.first().and_then(|host| certain(host))?;
                        if let Some(url) = host.data.as_text().filter(|text| text.contains("://")) {
                            return Some(
                                report
                                    .finding(
                                        "the host of this pair is a URL: a handshake whose consumer uses the layer gets 500",
                                        host.span,
                                        "no name that could be resolved",
                                    )
                                    .help(format!("write the URL alone:\n\"hosts\": [\"{url}\"],")),
                            );
                        }
                    }
                    _ => {}
                }
            }
            None
        }
        _ => None,
    }
}

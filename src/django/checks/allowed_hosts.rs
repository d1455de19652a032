//! ALLOWED_HOSTS that let no origin in.

use super::routing::head;
use crate::context::Context;
use crate::django::data::Data;
use crate::django::origin::{allowed_hosts, entries, is_dead_host};
use crate::finding::Report;
use crate::source::Span;

const VALIDATOR: &str = "channels.security.websocket.AllowedHostsOriginValidator";

/// `django/allowed-hosts`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let model = &cx.django;
    let mut seen: Vec<Span> = Vec::new();
    for application in &model.applications {
        let home = model.home(cx.project, application.source);
        let validator = application.wrappers.iter().find(|wrapper| {
            matches!(&wrapper.data, Data::Call(call) if call.function.data.symbol() == VALIDATOR)
        });
        for settings in model.production_of(home) {
            let setting = settings.get("ALLOWED_HOSTS");
            let Some(value) = setting.certain().filter(|value| !value.is_default()) else {
                continue;
            };
            if seen.contains(&value.span) {
                continue;
            }
            if let Data::Text(text) = &value.data {
                seen.push(value.span);
                let hosts: Vec<String> = text
                    .split(',')
                    .map(|host| format!("\"{}\"", host.trim()))
                    .collect();
                report.push(
                    report
                        .finding(
                            "ALLOWED_HOSTS is a string, not a list: Django does not start",
                            value.span,
                            "ImproperlyConfigured when the settings are loaded",
                        )
                        .label(
                            head(cx.project, application.span),
                            "never gets to take a handshake",
                        )
                        .help(format!(
                            "make it a list:\nALLOWED_HOSTS = [{}]",
                            hosts.join(", ")
                        )),
                );
                continue;
            }
            let Some(validator) = validator else {
                continue;
            };
            let note = "AllowedHostsOriginValidator compares the host of the page's Origin with ALLOWED_HOSTS and closes the handshake (403) where no entry fits; a host stands there without scheme, port or star, with a leading dot for its subdomains";
            let mut finding = match &value.data {
                Data::Sequence(list) if list.complete && list.items.is_empty() => {
                    if allowed_hosts(settings, false).is_none_or(|hosts| !hosts.is_empty()) {
                        continue;
                    }
                    report
                        .finding(
                            "no host is allowed, so no origin is: every handshake gets 403",
                            value.span,
                            "an empty list, and DEBUG is off",
                        )
                        .help("name the site:\nALLOWED_HOSTS = [\"example.com\"]")
                }
                data => {
                    let Some(entries) = entries(data, false) else {
                        continue;
                    };
                    let dead: Vec<_> = entries
                        .iter()
                        .filter_map(|(entry, span)| Some((*entry, *span, is_dead_host(entry)?)))
                        .collect();
                    if dead.len() != entries.len() {
                        continue;
                    }
                    let Some((entry, span, instead)) = dead.first() else {
                        continue;
                    };
                    report
                        .finding(
                            format!("`{entry}` is no host, so no origin is allowed: every handshake gets 403"),
                            *span,
                            "matches no host",
                        )
                        .help(format!("write the host:\nALLOWED_HOSTS = [{instead}]"))
                }
            };
            seen.push(value.span);
            finding = finding
                .label(
                    head(cx.project, validator.span),
                    "lets in what ALLOWED_HOSTS lets in",
                )
                .note(note);
            report.push(finding);
        }
    }
}

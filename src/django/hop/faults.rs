//! What keeps an application from starting, or from accepting any handshake.
//!
//! The rules' checks find these faults; the hop asks them, so that a trace never calls open what
//! a rule calls lost.

use std::collections::HashMap;
use std::sync::Arc;

use crate::context::Context;
use crate::django::checks::{
    EVERY_HANDSHAKE, allowed_hosts, apps_not_ready, auth_without_session, channel_layer,
    redis_hosts, removed_api,
};
use crate::django::routes::MisuseKind;
use crate::finding::Report;
use crate::rule::{self, Severity};
use crate::source::{SourceId, Span};

/// One fault of an application.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The bytes at fault.
    pub span: Span,
    /// What is wrong with them.
    pub message: String,
    /// What the client gets; `None` where the server does not start.
    pub status: Option<u16>,
    /// Which handshakes it hits.
    pub hits: Hits,
}

/// Which handshakes a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hits {
    /// All of them.
    Everything,
    /// Those that reach a consumer: Channels makes its layer before it connects.
    Consumers,
    /// Those whose consumer uses the channel layer.
    LayerUsers,
}

type Check = fn(&Context<'_>, &mut Report<'_>);

/// The checks that find such faults, with what the client gets and which handshakes they hit.
const CHECKS: [(&str, Check, Option<u16>, Hits); 6] = [
    (
        "django/apps-not-ready",
        apps_not_ready::check,
        None,
        Hits::Everything,
    ),
    (
        "django/removed-api",
        removed_api::check,
        None,
        Hits::Everything,
    ),
    (
        "django/allowed-hosts",
        allowed_hosts::check,
        None,
        Hits::Everything,
    ),
    (
        "django/auth-without-session",
        auth_without_session::check,
        Some(500),
        Hits::Everything,
    ),
    (
        "django/channel-layer",
        channel_layer::check,
        Some(500),
        Hits::LayerUsers,
    ),
    (
        "django/redis-hosts",
        redis_hosts::check,
        Some(500),
        Hits::LayerUsers,
    ),
];

/// The certain faults of each application, by its home.
pub fn find(cx: &Context<'_>) -> HashMap<String, Arc<[Fault]>> {
    let mut faults: HashMap<&str, Vec<Fault>> = HashMap::new();
    let mut add = |source: SourceId, fault: Fault| {
        let home = cx.django.home(cx.project, source);
        faults.entry(home).or_default().push(fault);
    };
    for (id, check, status, hits) in CHECKS {
        let Some(rule) = rule::rules().iter().find(|rule| rule.id == id) else {
            continue;
        };
        let mut report = Report::new(rule);
        check(cx, &mut report);
        let (findings, _) = report.into_parts();
        for finding in findings {
            if finding.severity != Severity::Error {
                continue;
            }
            let fault = Fault {
                span: finding.span,
                message: finding.label,
                status,
                hits: match hits {
                    Hits::LayerUsers if finding.message.ends_with(EVERY_HANDSHAKE) => {
                        Hits::Consumers
                    }
                    hits => hits,
                },
            };
            add(finding.span.source, fault);
        }
    }
    for misuse in &cx.django.misuses {
        let (status, message) = match misuse.kind {
            MisuseKind::List => (Some(500), "a list, which is no application"),
            MisuseKind::Include | MisuseKind::Route | MisuseKind::Module => (
                None,
                "not what a router takes: the application does not start",
            ),
            // A router without routes takes no path.
            MisuseKind::Empty => continue,
        };
        let fault = Fault {
            span: misuse.span,
            message: message.to_owned(),
            status,
            hits: Hits::Everything,
        };
        add(cx.django.applications[misuse.application].source, fault);
    }
    let faults = faults.into_iter();
    faults
        .map(|(home, faults)| (home.to_owned(), faults.into()))
        .collect()
}

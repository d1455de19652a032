//! What keeps an application from starting, or from accepting any handshake.
//!
//! The rules' checks find these faults; the hop asks them, so that a trace never calls open what
//! a rule calls lost.

use crate::context::Context;
use crate::django::checks::{
    EVERY_HANDSHAKE, allowed_hosts, apps_not_ready, auth_without_session, channel_layer,
    redis_hosts, removed_api,
};
use crate::django::routes::MisuseKind;
use crate::finding::Report;
use crate::rule::{self, Severity};
use crate::source::Span;

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
    home: String,
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

/// The certain faults of all applications.
pub fn find(cx: &Context<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (id, check, status, hits) in CHECKS {
        let Some(rule) = rule::rules().iter().find(|rule| rule.id == id) else {
            continue;
        };
        let mut report = Report::new(rule);
        check(cx, &mut report);
        let (findings, _) = report.into_parts();
        faults.extend(
            findings
                .into_iter()
                .filter(|finding| finding.severity == Severity::Error)
                .map(|finding| Fault {
                    span: finding.span,
                    message: finding.label,
                    status,
                    hits: match hits {
                        Hits::LayerUsers if finding.message.ends_with(EVERY_HANDSHAKE) => {
                            Hits::Consumers
                        }
                        hits => hits,
                    },
                    home: cx.django.home(cx.project, finding.span.source).to_owned(),
                }),
        );
    }
    let misuses = cx.django.misuses.iter().filter_map(|misuse| {
        let (status, message) = match misuse.kind {
            MisuseKind::List => (Some(500), "a list, which is no application"),
            MisuseKind::Include | MisuseKind::Route | MisuseKind::Module => (
                None,
                "not what a router takes: the application does not start",
            ),
            // A router without routes takes no path.
            MisuseKind::Empty => return None,
        };
        let application = &cx.django.applications[misuse.application];
        Some(Fault {
            span: misuse.span,
            message: message.to_owned(),
            status,
            hits: Hits::Everything,
            home: cx.django.home(cx.project, application.source).to_owned(),
        })
    });
    faults.extend(misuses);
    faults
}

/// Those of the application in `home`.
pub(super) fn of<'f>(faults: &'f [Fault], home: &str) -> impl Iterator<Item = &'f Fault> {
    faults.iter().filter(move |fault| fault.home == home)
}

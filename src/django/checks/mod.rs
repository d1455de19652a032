//! The checks of Django's rules, one place per rule.

pub mod allowed_hosts;
pub mod apps_not_ready;
pub mod auth_without_session;
pub mod channel_layer;
pub mod consumer_never_accepts;
pub mod csp;
pub mod in_memory_layer;
pub mod insecure_url;
pub mod library;
pub mod no_websocket_protocol;
pub mod origin_validator;
pub mod proxy_header;
pub mod proxy_header_inverted;
pub mod redirect_exempt;
pub mod redis_hosts;
pub mod removed_api;
pub mod routing;
pub mod runserver;
pub mod socket_lifetime;
pub mod ssl_redirect;
pub mod urlrouter_arguments;
pub mod wrong_application;
pub mod wsgi_only;

use super::data::{Origin, Possible};
use super::settings::{Redirects, Role, Settings};
use super::{Arrival, Spared};
use crate::context::Context;
use crate::finding::Finding;
use crate::project::Project;
use crate::rule::Severity;
use crate::source::{Kind, SourceId, Span};

/// How the message of a fault ends that no handshake escapes.
pub(super) const EVERY_HANDSHAKE: &str = ": every handshake gets 500";

/// The name by which a server imports a module of the application in `home`, from above the packages
/// that it lies in.
fn module_of(project: &Project, home: &str, module: SourceId) -> String {
    let mut base = home;
    while !base.is_empty() && project.files.contains(&format!("{base}/__init__.py")) {
        base = base.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    let path = project.source(module).path.as_str();
    let path = path.strip_prefix(base).unwrap_or(path);
    let path = path.trim_start_matches('/').trim_end_matches(".py");
    path.trim_end_matches("/__init__").replace('/', ".")
}

/// What becomes of a plain HTTP request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Redirected to itself, unless SECURE_REDIRECT_EXEMPT spares it.
    Loop,
    /// Answered with 500, spared or not: Django asks for the scheme before it looks at the paths.
    Crash,
}

/// Of which requests a finding about the redirect speaks.
pub(crate) fn subject(spared: Spared) -> &'static str {
    match spared {
        Spared::Nothing | Spared::Everything => "every request",
        Spared::Sockets(_) => "every page",
        Spared::Some(_) => "every request that is not exempt",
    }
}

/// Says whether this project's handshakes run through the middleware, and through which line.
/// On a correct ASGI stack they do not, and a message that hides that would be a lie.
pub(crate) fn honest(
    cx: &Context<'_>,
    settings: &Settings,
    mut finding: Finding,
    fate: Fate,
) -> Finding {
    let what = match fate {
        Fate::Loop => "is redirected to itself (301)",
        Fate::Crash => "is answered with 500",
    };
    let mut exempt = "";
    if fate == Fate::Loop {
        if let Some(before) = settings.runs_before_redirect(cx.project) {
            finding.severity = finding.severity.min(Severity::Warning);
            finding = finding.label(
                before.span,
                "runs before the redirect: if it changes the scheme, or answers, nothing of this shows",
            );
        }
        match cx.django.spared(cx.project, settings) {
            Spared::Sockets(span) => {
                finding.severity = finding.severity.min(Severity::Warning);
                return finding
                    .label(span, "spares the paths of this project's sockets")
                    .note("handshakes are not redirected, however they arrive: SECURE_REDIRECT_EXEMPT spares their paths; the pages that would open them are");
            }
            Spared::Some(span) => {
                finding = finding.label(span, "what this matches is not redirected");
                exempt = " that SECURE_REDIRECT_EXEMPT does not spare";
            }
            Spared::Nothing | Spared::Everything => {}
        }
    }
    match cx.django.arrival(cx.project, settings) {
        Arrival::Http { because, how, sure } => {
            let unless = if sure { "" } else { ", unless something else installs uvicorn's WebSocket library" };
            finding.label(because, how).note(format!(
                "this project's WebSocket handshakes arrive as plain HTTP{unless}, so each of them{exempt} {what} too: the page sees the socket close with code 1006"
            ))
        }
        Arrival::WebSocket(command) => finding.note(format!(
            "a handshake that {} takes as a WebSocket never meets Django's middleware and still opens; every page, token endpoint and health check{exempt} {what}, and so is a handshake that arrives as plain HTTP, for example when a proxy drops its Upgrade header",
            command.program.name()
        )),
        Arrival::Unknown => finding.note(format!(
            "every plain HTTP request{exempt} {what}, and so is every handshake that reaches Django as plain HTTP: under a WSGI server, under uvicorn without a WebSocket library, or when a proxy drops its Upgrade header"
        )),
    }
}

/// Labels what turns the redirect on; lowers the severity where that is not certain.
pub(crate) fn with_redirect(mut finding: Finding, redirects: &Redirects) -> Finding {
    match redirects {
        Redirects::Yes(value) => finding.label(value.span, "redirects what looks insecure"),
        Redirects::Perhaps(value) => {
            finding.severity = finding.severity.min(Severity::Warning);
            finding.label(value.span, "may redirect what looks insecure")
        }
        Redirects::Unknown => {
            finding.severity = finding.severity.min(Severity::Warning);
            finding
        }
        Redirects::No => finding,
    }
}

/// Says that the environment decides about a value, if it does: where, or that only a default is
/// known.
fn from_environment(finding: Finding, value: &Possible) -> Finding {
    match &value.origin {
        Origin::Literal => finding,
        Origin::Supplied(name, span) => finding.label(*span, format!("sets {name}")),
        Origin::Default(_) | Origin::Hidden(_) => {
            finding.note("this is only the default: the environment may replace it")
        }
    }
}

/// Whether some proxy configuration of the project mentions the header: then that proxy may set
/// it, and what really arrives is a question for the hops joined.
fn proxy_mentions(cx: &Context<'_>, sent: &str) -> bool {
    let lower = sent.to_ascii_lowercase();
    let [lines, parameters] = cx.proxies_text();
    lines.contains(&lower) || parameters.contains(&lower.replace('-', "_"))
}

/// Labels the places that led to the value of a setting at which a finding stands: where it was set
/// before, where it was added to.
pub(crate) fn with_history(cx: &Context<'_>, mut finding: Finding) -> Finding {
    if cx.project.source(finding.span.source).kind != Kind::Python {
        return finding;
    }
    let all = cx.django.settings.iter();
    let of_them = all.filter(|settings| settings.role == Role::Production);
    let past = of_them
        .map(|settings| settings.history(finding.span))
        .find(|past| !past.is_empty());
    for (span, words) in past.unwrap_or_default() {
        if finding.labels.iter().all(|label| label.span != span) {
            finding = finding.label(span, words);
        }
    }
    finding
}

/// Labels the place that may override the setting, if there is one.
fn with_reopened(mut finding: Finding, reopened: Option<(Span, &str)>) -> Finding {
    if let Some((span, why)) = reopened {
        finding.severity = finding.severity.min(Severity::Warning);
        finding = finding.label(span, why.to_owned());
    }
    finding
}

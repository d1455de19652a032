//! Channels' authentication without what it needs.

use super::routing::head;
use crate::context::Context;
use crate::django::data::{Data, certain};
use crate::django::routes::Application;
use crate::finding::Report;
use crate::source::Span;

/// Wrappers of Channels that bring a session into the scope.
const SESSIONS: &[&str] = &[
    "channels.auth.AuthMiddlewareStack",
    "channels.sessions.SessionMiddlewareStack",
    "channels.sessions.SessionMiddleware",
];

/// Apps that channels/auth.py needs for a user.
const APPS: &[&str] = &["django.contrib.auth", "django.contrib.contenttypes"];

/// `django/auth-without-session`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let model = &cx.django;
    for application in &model.applications {
        if let Some(span) = without_session(application) {
            report.push(
                report
                    .finding(
                        "AuthMiddleware finds no session: every handshake gets 500",
                        head(cx.project, span),
                        "nothing before it brings a session into the scope",
                    )
                    .label(head(cx.project, application.span), "the router of this application")
                    .note("AuthMiddleware reads the user from the session and raises ValueError (\"cannot find session in scope\") where SessionMiddleware has not run before it; AuthMiddlewareStack wraps both and the cookies that they need")
                    .help("use the whole stack:\nfrom channels.auth import AuthMiddlewareStack\nAuthMiddlewareStack(URLRouter([…]))"),
            );
            continue;
        }
        let Some(auth) = application.wrappers.iter().find(|wrapper| {
            matches!(&wrapper.data, Data::Call(call)
                if call.function.data.symbol().starts_with("channels.auth."))
        }) else {
            continue;
        };
        let home = model.home(cx.project, application.source);
        for settings in model.production_of(home) {
            let setting = settings.get("INSTALLED_APPS");
            let Some(value) = setting.certain() else {
                continue;
            };
            let Data::Sequence(apps) = &value.data else {
                continue;
            };
            let names: Option<Vec<&str>> = apps
                .items
                .iter()
                .map(|item| certain(item).and_then(|item| item.data.as_text()))
                .collect();
            let Some(names) = names.filter(|_| apps.complete) else {
                continue;
            };
            let has = |app: &str| {
                names.iter().any(|name| {
                    *name == app
                        || name
                            .strip_prefix(app)
                            .is_some_and(|rest| rest.starts_with('.'))
                })
            };
            let Some(missing) = APPS.iter().find(|app| !has(app)) else {
                continue;
            };
            // Another user model needs apps of its own; whether that works is not ours to say.
            if names.is_empty() || settings.get("AUTH_USER_MODEL").target.is_some() {
                continue;
            }
            report.push(
                report
                    .finding(
                        format!("AuthMiddleware looks for a user, and `{missing}` is not installed: every handshake gets 500"),
                        value.span,
                        format!("`{missing}` is missing"),
                    )
                    .label(head(cx.project, auth.span), "loads Django's user model")
                    .note("channels/auth.py imports django.contrib.auth's models for each connection; a model whose app is not in INSTALLED_APPS raises RuntimeError")
                    .help(format!("install it:\nINSTALLED_APPS = [\n    \"{missing}\",\n    …\n]")),
            );
        }
    }
}

/// The call of AuthMiddleware that no session precedes.
fn without_session(application: &Application) -> Option<Span> {
    for wrapper in &application.wrappers {
        let Data::Call(call) = &wrapper.data else {
            return None;
        };
        let symbol = call.function.data.symbol();
        if symbol == "channels.auth.AuthMiddleware" {
            return Some(wrapper.span);
        }
        // A wrapper of the project's own may bring a session.
        if SESSIONS.contains(&symbol.as_str()) || !symbol.starts_with("channels.") {
            return None;
        }
    }
    None
}

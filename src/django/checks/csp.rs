//! A Content-Security-Policy that Django sends and that keeps pages from the site's own sockets.

use std::collections::HashSet;
use std::sync::Arc;

use crate::context::Context;
use crate::csp::{Blocked, Policy, Site};
use crate::django::data::{Data, Dictionary, Possible, Values, certain};
use crate::django::settings::Settings;
use crate::finding::Report;
use crate::rule::Severity;
use crate::source::Span;

/// One directive as a setting writes it.
struct Directive {
    name: String,
    /// Its sources as the header has them; a placeholder where one can't be known.
    sources: Vec<String>,
    span: Span,
}

/// What the settings send.
struct Sent {
    directives: Vec<Directive>,
    /// The middleware that sends it.
    middleware: Span,
    /// How a source is added, with the directive's name for `{}`.
    write: fn(&str) -> String,
}

/// A source that nobody can know; [`Policy`] takes it for one that may match.
const UNKNOWN: &str = "$unknown";

/// `django/csp-blocks-websocket`.
pub fn blocks(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen: HashSet<Span> = HashSet::new();
    for settings in cx.django.production() {
        let home = cx.django.home(cx.project, settings.source);
        let sockets = cx.django.routes_of(home).next();
        if sockets.is_none() && cx.project.config.endpoints.is_empty() {
            continue;
        }
        let Some(sent) = sent(cx, settings) else {
            continue;
        };
        let header: Vec<String> = sent
            .directives
            .iter()
            .map(|directive| format!("{} {}", directive.name, directive.sources.join(" ")))
            .collect();
        let header = header.join("; ");
        let site = Site {
            tls: true,
            host: None,
            port: 443,
            path: None,
        };
        let Some(blocked) = Policy::new(&header).judge(site) else {
            continue;
        };
        let Some(decisive) = sent
            .directives
            .iter()
            .find(|directive| directive.name == blocked.directive())
        else {
            continue;
        };
        if !seen.insert(decisive.span) {
            continue;
        }
        let everything = matches!(blocked, Blocked::Everything { .. });
        let mut finding = report
            .finding(
                format!(
                    "the Content-Security-Policy of these settings lets no page open a WebSocket to its own site: `{}` has no source that matches",
                    blocked.directive()
                ),
                decisive.span,
                blocked.why(),
            )
            .severity(if everything { Severity::Error } else { Severity::Warning })
            .label(sent.middleware, "sends it with every page")
            .note("the browser refuses before it sends anything: the console names the policy, and no server ever logs the handshake; `'self'` covers the site's own ws:// and wss://")
            .help(format!("allow the site's own sockets:\n{}", (sent.write)("connect-src")));
        if let Some(route) = sockets
            && let Some(level) = route.levels.last()
        {
            finding = finding.label(level.span, "the site has this WebSocket");
        }
        report.push(finding);
    }
}

/// The policy that the middleware in use sends; `None` where none is sent or it can't be known.
fn sent(cx: &Context<'_>, settings: &Settings) -> Option<Sent> {
    let middleware = settings.get("MIDDLEWARE");
    let Data::Sequence(list) = &middleware.certain()?.data else {
        return None;
    };
    let uses = |wanted: &str| {
        list.items
            .iter()
            .filter_map(|item| certain(item))
            .find(|item| item.data.as_text() == Some(wanted))
            .map(|item| item.span)
    };
    if let Some(middleware) = uses("django.middleware.csp.ContentSecurityPolicyMiddleware") {
        return Some(Sent {
            directives: directives(&*dictionary(settings, "SECURE_CSP")?)?,
            middleware,
            write: |name| format!("SECURE_CSP = {{\n    …\n    \"{name}\": [CSP.SELF],\n}}"),
        });
    }
    let middleware = uses("csp.middleware.CSPMiddleware")?;
    if let Some(policy) = dictionary(settings, "CONTENT_SECURITY_POLICY") {
        let (_, values) = policy.get("DIRECTIVES")?;
        let Data::Dictionary(policy) = &certain(values)?.data else {
            return None;
        };
        return Some(Sent {
            directives: directives(policy)?,
            middleware,
            write: |name| {
                format!(
                    "CONTENT_SECURITY_POLICY = {{\n    \"DIRECTIVES\": {{\n        …\n        \"{name}\": [\"'self'\"],\n    }},\n}}"
                )
            },
        });
    }
    let home = cx.django.home(cx.project, settings.source);
    let version = cx.django.installed(home).version("django-csp");
    // django-csp 4 refuses the names of version 3 (csp.E001) and ignores them.
    if version.is_some_and(|[major, ..]| major >= 4) {
        return None;
    }
    let mut found = Vec::new();
    for (name, directive) in [
        ("CSP_CONNECT_SRC", "connect-src"),
        ("CSP_DEFAULT_SRC", "default-src"),
        ("CSP_SCRIPT_SRC", "script-src"),
    ] {
        let setting = settings.get(name);
        let value = setting.certain()?;
        if setting.reopened.is_some() {
            return None;
        }
        if !matches!(value.data, Data::Absent | Data::None) {
            found.push(Directive {
                name: directive.to_owned(),
                sources: sources(value),
                span: value.span,
            });
        }
    }
    Some(Sent {
        directives: found,
        middleware,
        write: |_| "CSP_CONNECT_SRC = (\"'self'\",)".to_owned(),
    })
}

/// The dictionary that the setting surely is.
fn dictionary(settings: &Settings, name: &str) -> Option<Arc<Dictionary>> {
    let setting = settings.get(name);
    let value = setting.certain()?;
    match &value.data {
        Data::Dictionary(dictionary) if dictionary.complete => Some(dictionary.clone()),
        _ => None,
    }
}

fn directives(policy: &Dictionary) -> Option<Vec<Directive>> {
    let mut found: Vec<Directive> = Vec::new();
    for (key, values) in &policy.pairs {
        let name = key.data.as_text()?;
        let directive = Directive {
            name: name.to_ascii_lowercase(),
            sources: all(values),
            span: certain(values).map_or(key.span, |value| value.span),
        };
        found.retain(|earlier| earlier.name != directive.name);
        // `None` and `False` leave a directive out.
        if !certain(values)
            .is_some_and(|value| matches!(value.data, Data::None | Data::Bool(false)))
        {
            found.push(directive);
        }
    }
    Some(found)
}

fn all(values: &Values) -> Vec<String> {
    match certain(values) {
        Some(value) => sources(value),
        None => vec![UNKNOWN.to_owned()],
    }
}

/// The sources that a value writes into the header.
fn sources(value: &Possible) -> Vec<String> {
    if value.is_default() {
        return vec![UNKNOWN.to_owned()];
    }
    match &value.data {
        Data::Text(text) => vec![text.to_string()],
        Data::Sequence(list) => {
            let mut found: Vec<String> = list
                .items
                .iter()
                .flat_map(|item| {
                    match certain(item) {
                        Some(item) if item.data.as_text().is_some() && !item.is_default() => {
                            item.data.as_text().map(str::to_owned)
                        }
                        Some(item) => constant(&item.data),
                        None => None,
                    }
                    .or_else(|| Some(UNKNOWN.to_owned()))
                })
                .collect();
            if !list.complete {
                found.push(UNKNOWN.to_owned());
            }
            found
        }
        data => vec![constant(data).unwrap_or_else(|| UNKNOWN.to_owned())],
    }
}

/// Django's `CSP.SELF` and django-csp's `csp.constants.SELF`, and their like.
fn constant(data: &Data) -> Option<String> {
    let symbol = data.symbol();
    let name = symbol
        .strip_prefix("django.utils.csp.CSP.")
        .or_else(|| symbol.strip_prefix("csp.constants."))?;
    matches!(
        name,
        "NONE" | "SELF" | "UNSAFE_INLINE" | "UNSAFE_EVAL" | "STRICT_DYNAMIC"
    )
    .then(|| format!("'{}'", name.to_ascii_lowercase().replace('_', "-")))
}

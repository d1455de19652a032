//! Imports of what the installed Django or Channels no longer has.

use crate::context::Context;
use crate::finding::Report;
use crate::source::Span;

/// Package, the first major version without it, module, name (empty: the whole module), what to
/// write instead.
const REMOVED: &[(&str, u16, &str, &str, &str)] = &[
    (
        "django",
        4,
        "django.conf.urls",
        "url",
        "from django.urls import re_path",
    ),
    (
        "channels",
        4,
        "channels.http",
        "",
        "from django.core.asgi import get_asgi_application",
    ),
    (
        "channels",
        4,
        "channels.staticfiles",
        "",
        "from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler",
    ),
    (
        "channels",
        2,
        "channels.asgi",
        "",
        "from channels.layers import get_channel_layer",
    ),
    (
        "channels",
        2,
        "channels.routing",
        "route",
        "from django.urls import re_path",
    ),
    (
        "channels",
        2,
        "channels.routing",
        "route_class",
        "from django.urls import re_path",
    ),
    (
        "channels",
        2,
        "channels.routing",
        "include",
        "from channels.routing import URLRouter",
    ),
    (
        "channels",
        2,
        "channels",
        "Group",
        "from channels.layers import get_channel_layer",
    ),
    (
        "channels",
        2,
        "channels",
        "Channel",
        "from channels.layers import get_channel_layer",
    ),
];

/// `django/removed-api`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let model = &cx.django;
    let mut seen: Vec<Span> = Vec::new();
    for application in &model.applications {
        let home = model.home(cx.project, application.source);
        if model.sockets(home).is_none() {
            continue;
        }
        let Some(startup) = model.startup(application.source) else {
            continue;
        };
        let installed = model.installed(home);
        for imported in &startup.imports {
            let Some((package, since, module, name, instead)) =
                REMOVED.iter().find(|(_, _, module, name, _)| {
                    *module == imported.module && (name.is_empty() || *name == imported.name)
                })
            else {
                continue;
            };
            let targets = &cx.project.config.targets;
            let target = if *package == "django" {
                targets.django
            } else {
                targets.channels
            };
            let Some([major, ..]) = target.or_else(|| installed.version(package)) else {
                continue;
            };
            if u32::from(*since) > major || seen.contains(&imported.span) {
                continue;
            }
            seen.push(imported.span);
            let what = if name.is_empty() {
                format!("`{module}`")
            } else {
                format!("`{name}` in `{module}`")
            };
            let title = if *package == "django" {
                "Django"
            } else {
                "Channels"
            };
            report.push(
                report
                    .finding(
                        format!("{title} {major} has no {what}: the application does not start"),
                        imported.span,
                        format!("ImportError since {title} {since}"),
                    )
                    .label(
                        super::routing::head(cx.project, application.span),
                        "this application imports it when it is loaded",
                    )
                    .note("the server loads the application before it listens; an import that fails ends it, so a proxy before it answers 502")
                    .help(format!("write what took its place:\n{instead}")),
            );
        }
    }
}

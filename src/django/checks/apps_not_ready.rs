//! Models that are imported before Django is set up.

use super::routing::head;
use crate::context::Context;
use crate::django::command::Program;
use crate::django::objects::Object;
use crate::django::startup::Needs;
use crate::finding::Report;
use crate::source::Span;

/// `django/apps-not-ready`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let model = &cx.django;
    let mut seen: Vec<Span> = Vec::new();
    for (at, application) in model.applications.iter().enumerate() {
        let home = model.home(cx.project, application.source);
        let servers = model.servers(cx.project, home);
        let started = servers.iter().find(|command| {
            command.speaks_asgi() && model.object(command) == Some(Object::Application(at))
        });
        // Where no command is known, an asgi.py is what servers load; `manage.py` sets Django up.
        let only_manage = || {
            model.near(home).any(|command| {
                command.program == Program::Runserver
                    && model.is_started_by(cx.project, command, home)
            })
        };
        let is_entry = servers.is_empty()
            && cx.project.source(application.source).name() == "asgi.py"
            && !only_manage();
        if started.is_none() && !is_entry {
            continue;
        }
        // What the server loads first may be another module, which sets Django up and then imports
        // this one.
        let entry = started.and_then(|command| model.entry(command));
        let Some(reached) = model
            .startup(entry.unwrap_or(application.source))
            .and_then(|startup| startup.reaches_models.as_ref())
        else {
            continue;
        };
        let first = reached.through.first().copied().unwrap_or(reached.at);
        if seen.contains(&first) {
            continue;
        }
        seen.push(first);
        let what = match reached.what {
            Needs::Model => "a model is defined here",
            Needs::Import => "imports Django's own models",
            Needs::User => "asks for the user model",
        };
        let mut finding = report
            .finding(
                "this import reaches a model before Django is set up: the server does not start (AppRegistryNotReady)",
                first,
                "runs before get_asgi_application()",
            );
        for (index, step) in reached.through.iter().enumerate().skip(1) {
            if index <= 6 {
                finding = finding.label(*step, "which imports this");
            }
        }
        if reached.at != first {
            finding = finding.label(head(cx.project, reached.at), what);
        }
        if let Some(command) = started {
            finding = finding.label(command.span, "loads this module");
        }
        let line = cx.project.slice(first);
        report.push(
            finding
                .note("a model asks Django's registry for its app when it is defined, and the registry is filled by `django.setup()`, which `get_asgi_application()` calls; under `manage.py runserver` that has already happened, so it shows only in production. Where DJANGO_SETTINGS_MODULE is not set yet either, the error is called ImproperlyConfigured")
                .help(format!(
                    "set Django up first, then import:\ndjango_application = get_asgi_application()\n\n{line}"
                )),
        );
    }
}

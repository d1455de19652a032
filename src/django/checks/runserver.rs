//! What `manage.py` does with a project of Channels: its `runserver`, and the checks that it runs.

use std::cell::RefCell;

use super::module_of;
use super::routing::head;
use crate::context::Context;
use crate::django::command::{Command, Program};
use crate::django::data::{Data, Possible, certain};
use crate::django::objects::Misnamed;
use crate::django::settings::{Role, Settings};
use crate::finding::{Applicability, Edit, Finding, Fix, Report};
use crate::project::Project;
use crate::source::{Kind, Span};

const STATIC_FILES: &str = "django.contrib.staticfiles";

/// INSTALLED_APPS, where all of them are known.
struct Apps(Vec<Possible>);

impl Apps {
    fn of(settings: &Settings) -> Option<Self> {
        let setting = settings.get("INSTALLED_APPS");
        let Data::Sequence(list) = &setting.certain()?.data else {
            return None;
        };
        let items: Option<Vec<Possible>> = list
            .items
            .iter()
            .map(|item| certain(item).cloned())
            .collect();
        let items = items.filter(|_| list.complete)?;
        items
            .iter()
            .all(|item| item.data.as_text().is_some())
            .then_some(Self(items))
    }

    /// Where an app stands: named as itself, or by the configuration in its `apps` module.
    fn position(&self, app: &str) -> Option<usize> {
        self.0.iter().position(|item| {
            item.data
                .as_text()
                .and_then(|name| name.strip_prefix(app))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(".apps."))
        })
    }

    fn get(&self, app: &str) -> Option<&Possible> {
        self.0.get(self.position(app)?)
    }
}

/// The lowest major version that may be installed, where anything says it.
fn major(cx: &Context<'_>, home: &str, package: &str) -> Option<u32> {
    let targets = &cx.project.config.targets;
    let declared = (package == "channels")
        .then_some(targets.channels)
        .flatten();
    let installed = || cx.django.installed(home).version(package);
    declared.or_else(installed).map(|[major, ..]| major)
}

/// A `runserver` command of the application in `home`, unless its file starts an ASGI server
/// beside it, which may take the sockets, or starts a WSGI server in its place, which leaves them
/// to an ASGI server elsewhere, or a compose file never lets it run.
fn command<'a>(cx: &'a Context<'_>, home: &str) -> Option<&'a Command> {
    let (model, project) = (&cx.django, cx.project);
    let servers = model.servers(project, home);
    let elsewhere = servers.iter().any(|server| server.speaks_asgi());
    model.near(home).find(|command| {
        command.program == Program::Runserver
            && !cx.topology.is_overridden(command.span.source)
            && !command.flag("--noasgi")
            && model.is_started_by(project, command, home)
            && !model.commands.iter().any(|other| {
                let takes_pages = elsewhere && other.program != Program::Runserver;
                other.span.source == command.span.source
                    && (other.speaks_asgi() || other.may_speak_asgi() || takes_pages)
            })
    })
}

/// The first finding that `judge` makes for an application, if it makes one for each of its
/// settings modules: `manage.py` may run with any of them.
fn for_each_application(
    cx: &Context<'_>,
    report: &mut Report<'_>,
    judge: impl Fn(&Report<'_>, &Settings, &str, Span) -> Option<Finding>,
) {
    let model = &cx.django;
    for home in model.homes() {
        let Some(socket) = model.sockets(home) else {
            continue;
        };
        let findings: Option<Vec<Finding>> = model
            .settings_of(home)
            .filter(|settings| settings.role != Role::Inherited)
            .map(|settings| judge(report, settings, home, head(cx.project, socket)))
            .collect();
        if let Some(finding) = findings.and_then(|findings| findings.into_iter().next()) {
            report.push(finding);
        }
    }
}

/// `django/runserver-without-daphne`.
pub fn without_daphne(cx: &Context<'_>, report: &mut Report<'_>) {
    // A `runserver` of the project's own may do anything.
    let own = "management/commands/runserver.py";
    if cx.project.files.iter().any(|path| path.ends_with(own)) {
        return;
    }
    let unknown = RefCell::new(Vec::new());
    for_each_application(cx, report, |report, settings, home, socket| {
        let command = command(cx, home)?;
        // Until version 3 Channels brought the ASGI `runserver` itself; a requirement that names
        // no version installs a later one.
        let version = major(cx, home, "channels");
        if version.is_some_and(|version| version < 4) {
            return None;
        }
        let packages = &cx.django.installed(home).packages;
        let asked = packages.iter().find(|package| package.name == "channels");
        let apps = Apps::of(settings)?;
        let channels = apps.get("channels")?;
        if apps.get("daphne").is_some() {
            return None;
        }
        // Under `if DEBUG:`, which is how a developer runs it.
        let perhaps = [settings.source, channels.span.source].iter().any(|file| {
            let text = &cx.project.source(*file).text;
            ["'daphne", "\"daphne"]
                .iter()
                .any(|name| text.contains(name))
        });
        if perhaps {
            return None;
        }
        if version.is_none() && asked.is_none() {
            unknown.borrow_mut().push(channels.span);
            return None;
        }
        let finding = report
                .finding(
                    "`manage.py runserver` speaks no WebSocket without the app `daphne`: every handshake gets 404 there",
                    channels.span,
                    "Channels 4 has no `runserver` of its own",
                )
                .label(command.span, "starts Django's WSGI server")
                .label(socket, "waits for handshakes")
                .note("since Channels 4 the `runserver` that speaks WebSockets is daphne's; commands for production that start daphne, uvicorn or another ASGI server are not concerned")
                .help("install daphne (`pip install daphne`) and put it first:\nINSTALLED_APPS = [\n    \"daphne\",\n    …\n]");
        Some(match asked {
            Some(asked) if version.is_none() => {
                finding.label(asked.span, "names no version, so the latest is installed")
            }
            _ => finding,
        })
    });
    for span in unknown.into_inner() {
        report.undecided(
            span,
            "`manage.py runserver` speaks WebSockets with Channels 3 and, without the app `daphne`, not with Channels 4; no file says which one is installed",
        );
    }
}

/// `django/daphne-order`.
pub fn order(cx: &Context<'_>, report: &mut Report<'_>) {
    for_each_application(cx, report, |report, settings, home, _| {
        // What runs the check; daphne/checks.py came with version 4.
        if !cx.project.files.contains(&below(home, "manage.py"))
            || major(cx, home, "daphne").is_some_and(|major| major < 4)
        {
            return None;
        }
        let silenced = settings.get("SILENCED_SYSTEM_CHECKS");
        if !matches!(silenced.certain()?.data, Data::Absent) {
            return None;
        }
        let apps = Apps::of(settings)?;
        let (daphne, files) = (apps.position("daphne")?, apps.position(STATIC_FILES)?);
        // Another app may be daphne's configuration under a name of its own.
        if daphne < files {
            return None;
        }
        let finding = report
            .finding(
                "daphne comes after staticfiles: `manage.py` refuses to run (daphne.E001)",
                apps.0[daphne].span,
                "too late: both bring a `runserver`, and the first one counts",
            )
            .label(apps.0[files].span, "its `runserver` speaks no WebSocket")
            .note("`manage.py runserver`, `migrate` and `check` stop here; a command for production that starts the server without manage.py (daphne, uvicorn) is not concerned")
            .help("put it first:\nINSTALLED_APPS = [\n    \"daphne\",\n    …\n    \"django.contrib.staticfiles\",\n]");
        Some(match moved_first(cx.project, &apps, daphne) {
            Some(fix) => finding.fix(fix),
            None => finding,
        })
    });
}

/// `django/asgi-application`.
pub fn application(cx: &Context<'_>, report: &mut Report<'_>) {
    for_each_application(cx, report, |report, settings, home, _| {
        let model = &cx.django;
        let command = command(cx, home)?;
        if major(cx, home, "daphne").is_some_and(|major| major < 4) {
            return None;
        }
        let apps = Apps::of(settings)?;
        let daphne = apps.get("daphne")?;
        // Then the `runserver` of staticfiles counts, and nothing asks for an application.
        if apps.position(STATIC_FILES) < apps.position("daphne")
            && apps.position(STATIC_FILES).is_some()
        {
            return None;
        }
        let setting = settings.get("ASGI_APPLICATION");
        let value = setting.certain().filter(|value| !value.is_default())?;
        let finding = match &value.data {
            Data::Absent => report.finding(
                "daphne is installed and ASGI_APPLICATION is not set: `manage.py runserver` does not start",
                daphne.span,
                "its `runserver` serves what ASGI_APPLICATION names",
            ),
            Data::None => report.finding(
                "daphne is installed and ASGI_APPLICATION is None: `manage.py runserver` does not start",
                value.span,
                "names no application",
            ),
            Data::Text(text) if text.contains(':') => report.finding(
                format!("ASGI_APPLICATION takes a dotted path: `manage.py runserver` does not start with `{text}`"),
                value.span,
                "the colon is for the command lines of servers",
            ),
            Data::Text(text)
                if text.ends_with(".asgi")
                    && cx
                        .project
                        .files
                        .contains(&below(home, &format!("{}.py", text.replace('.', "/")))) =>
            {
                report.finding(
                    format!("`{text}` names a module, not the application in it: `manage.py runserver` does not start"),
                    value.span,
                    "no application is named",
                )
            }
            Data::Text(text) => match model.misnamed(text)? {
                Misnamed::Module => report.finding(
                    format!("ASGI_APPLICATION names a module that is not there: `manage.py runserver` does not start with `{text}`"),
                    value.span,
                    "ModuleNotFoundError",
                ),
                Misnamed::Name => report.finding(
                    format!("ASGI_APPLICATION names nothing in its module: `manage.py runserver` does not start with `{text}`"),
                    value.span,
                    "AttributeError: the module has no such name",
                ),
                Misnamed::Wsgi(span) => report
                    .finding(
                        format!("ASGI_APPLICATION names a WSGI application: under `manage.py runserver` every request fails with `{text}`"),
                        value.span,
                        "takes no scope of ASGI: pages get 500, handshakes are reset",
                    )
                    .label(head(cx.project, span), "made here"),
            },
            _ => return None,
        };
        let right = model.applications_of(home).next().map_or_else(
            || "proj.asgi.application".to_owned(),
            |(_, application)| {
                let module = module_of(cx.project, home, application.source);
                format!("{module}.{}", application.name)
            },
        );
        Some(
            finding
                .label(command.span, "loads it")
                .note("daphne's `runserver` loads what ASGI_APPLICATION names; a command for production that is given the application itself (daphne, uvicorn) does not read it")
                .help(format!("name it with dots:\nASGI_APPLICATION = \"{right}\"")),
        )
    });
}

/// A file in the folder `home`.
fn below(home: &str, name: &str) -> String {
    if home.is_empty() {
        name.to_owned()
    } else {
        format!("{home}/{name}")
    }
}

/// Moves an app to the first place, where the whole list is one literal in one file.
fn moved_first(project: &Project, apps: &Apps, at: usize) -> Option<Fix> {
    let (first, moved) = (apps.0.first()?.span, apps.0.get(at)?.span);
    let source = project.source(moved.source);
    if first.source != moved.source
        || first.end > moved.start
        || source.kind != Kind::Python
        || !project.slice(moved).starts_with(['"', '\''])
    {
        return None;
    }
    let text = source.text.as_str();
    let (first_at, moved_at) = (first.start as usize, moved.start as usize);
    let moved_end = moved.end as usize;
    if text[first_at..moved_at].contains(['[', ']', '(', ')', '+', '=']) {
        return None;
    }
    let line = |at: usize| text[..at].rfind('\n').map_or(0, |line| line + 1);
    let (first_line, moved_line) = (line(first_at), line(moved_at));
    let name = project.slice(moved).to_owned();
    let comma = text[moved_end..].strip_prefix(',');
    let mut comment = "";
    let removed = if first_line == moved_line {
        // On one line: with the comma before it.
        let comma = text[..moved_at].trim_end().strip_suffix(',')?.len();
        comma..moved_end
    } else {
        // On a line of its own, with what is said about it there.
        let rest = comma?.split('\n').next()?;
        comment = rest.trim_end();
        let is_comment = comment.is_empty() || comment.trim_start().starts_with('#');
        if !text[moved_line..moved_at].trim().is_empty() || !is_comment {
            return None;
        }
        moved_line..(moved_end + 1 + rest.len() + 1).min(text.len())
    };
    let indent = &text[first_line..first_at];
    let inserted = if first_line != moved_line && indent.trim().is_empty() {
        format!("{name},{comment}\n{indent}")
    } else if comment.is_empty() {
        format!("{name}, ")
    } else {
        return None;
    };
    Some(Fix {
        title: "put daphne first".to_owned(),
        applicability: Applicability::Safe,
        edits: vec![
            Edit {
                span: Span::new(moved.source, first_at..first_at),
                text: inserted,
            },
            Edit {
                span: Span::new(moved.source, removed),
                text: String::new(),
            },
        ],
    })
}

//! What the target of a server command names: which application object the server calls.

use super::command::{Command, Program as Server};
use super::data::{Data, Possible, certain};
use super::evaluate::Program;
use super::mounts::{Mount, behind};
use super::routes::{Application, protocol_router};
use crate::project::Project;
use crate::source::{Kind, SourceId, Span};

/// Wrappers around one object that are followed.
const MAX_WRAPPERS: usize = 8;

/// An application object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// One that tells protocols apart, an index into the model's.
    Application(usize),
    /// Django's own ASGI application, which takes HTTP alone; where it is made.
    Asgi(Span),
    /// Django's WSGI application; where it is made.
    Wsgi(Span),
}

/// The module that `command` loads, and the object that it takes from there; `None` where that
/// can't be followed.
pub(super) fn find(
    program: &Program<'_>,
    applications: &[Application],
    command: &Command,
) -> Option<(SourceId, Object)> {
    let (module, value) = value(program, command)?;
    Some((module, judge(applications, value)?))
}

/// The application of another framework that `target` names.
pub(super) fn mount(program: &Program<'_>, command: &Command) -> Option<Mount> {
    Mount::of(value(program, command)?.1)
}

/// The same for the `application` of each module `asgi.py`.
pub(super) fn mounts(project: &Project, program: &Program<'_>) -> Vec<(SourceId, Mount)> {
    program
        .all()
        .filter(|(source, _)| project.source(*source).name() == "asgi.py")
        .filter_map(|(source, module)| {
            let binding = module.get("application")?;
            Some((source, Mount::of(certain(&binding.values)?)?))
        })
        .collect()
}

/// The module that a command's target names, if it is one, and the name that the server looks up
/// in it; no name where the server refuses a target without one.
fn named(program: &Program<'_>, command: &Command) -> Option<(SourceId, Option<String>)> {
    let target = command.target.as_ref()?.text.as_str();
    let (module, attribute) = match target.split_once(':') {
        Some((module, attribute)) => (module, Some(attribute)),
        None => match command.program {
            // gunicorn/util.py import_app and uwsgi look for `application`, hypercorn/utils.py
            // load_application for `app`; uvicorn/importer.py and daphne/utils.py refuse it.
            Server::Gunicorn | Server::Uwsgi => (target, Some("application")),
            // granian/_internal.py load_target as well.
            Server::Hypercorn | Server::Granian => (target, Some("app")),
            Server::Uvicorn | Server::Daphne => (target, None),
            // waitress serves the module then, and every request fails.
            Server::Runserver | Server::Waitress => return None,
        },
    };
    match program.modules.named(module).as_slice() {
        [source] => Some((source.id, attribute.map(str::to_owned))),
        _ => None,
    }
}

/// The module and the value of what a command's target names.
fn value<'a>(program: &'a Program<'_>, command: &Command) -> Option<(SourceId, &'a Possible)> {
    let (source, attribute) = named(program, command)?;
    let binding = program.module(source)?.get(&attribute?)?;
    Some((source, certain(&binding.values)?))
}

/// Why a server can't load what its command names, so that it never starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unloadable {
    /// In a sentence.
    pub why: String,
    /// The module that lacks it, if there is one.
    pub module: Option<SourceId>,
}

/// Why the server can't load what its command names, so that it never starts.
pub(super) fn unloadable(
    project: &Project,
    program: &Program<'_>,
    command: &Command,
) -> Option<Unloadable> {
    let server = command.program.name();
    let because = |why: String, module| {
        let why = format!("{server} does not start: {why}");
        Some(Unloadable { why, module })
    };
    let path = module_path(command)?;
    if is_absent(project, program, &path) {
        let module = path.replace('/', ".");
        return because(format!("there is no module `{module}`"), None);
    }
    let (source, attribute) = named(program, command)?;
    // The module that is meant may be another one, from where the server starts.
    let file = project.source(source).path.as_str();
    let base = file
        .strip_suffix("/__init__.py")
        .or_else(|| file.strip_suffix(".py"))?
        .strip_suffix(path.as_str())?;
    if !base.is_empty() && project.files.contains(&format!("{base}__init__.py")) {
        return None;
    }
    let Some(attribute) = attribute else {
        return because(
            "it wants `module:name`, and this has no `:`".to_owned(),
            None,
        );
    };
    let module = program.module(source)?;
    let in_name = |char: char| char.is_alphanumeric() || char == '_';
    // Nothing in the module speaks of such a name, so nothing there could make one.
    let mut words = program.text(source).split(|char| !in_name(char));
    let absent = !program.errors.iter().any(|error| error.source == source)
        && module.names().next().is_some()
        && attribute.chars().all(in_name)
        && module.get(&attribute).is_none()
        && module.open().is_none()
        && !words.any(|word| word == attribute);
    if !absent {
        return None;
    }
    because(format!("the module has no `{attribute}`"), Some(source))
}

/// The path of the module that a command's target names.
fn module_path(command: &Command) -> Option<String> {
    let target = command.target.as_ref()?.text.as_str();
    Some(target.split(':').next()?.replace('.', "/"))
}

/// Whether the module `path` is surely not there: the only package of its name is the project's and
/// holds no such file, and nothing that is built or started speaks of one.
fn is_absent(project: &Project, program: &Program<'_>, path: &str) -> bool {
    let Some((parent, name)) = path.rsplit_once('/') else {
        return false;
    };
    let init = format!("{parent}/__init__.py");
    let mut packages = project.files.iter().filter_map(|file| {
        let base = file.strip_suffix(init.as_str())?;
        (base.is_empty() || base.ends_with('/')).then_some(base)
    });
    let (Some(base), None) = (packages.next(), packages.next()) else {
        return false;
    };
    let top = parent.split('/').next().unwrap_or(parent);
    let is_whole = parent == top || project.files.contains(&format!("{base}{top}/__init__.py"));
    let (file, folder) = (format!("{base}{path}."), format!("{base}{path}/"));
    let there = |known: &str| known.starts_with(&file) || known.starts_with(&folder);
    let made = format!("{name}.py");
    is_whole
        && program.modules.named(&path.replace('/', ".")).is_empty()
        && !project.files.iter().any(there)
        && !project
            .of_kind(Kind::Command)
            .any(|source| source.text.contains(&made))
}

/// What is wrong with what ASGI_APPLICATION names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misnamed {
    /// No such module is in a package that is.
    Module,
    /// The module has no such name.
    Name,
    /// A WSGI application, made there.
    Wsgi(Span),
}

/// Whether ASGI_APPLICATION, as a dotted path, names what is no ASGI application.
pub(super) fn misnamed(project: &Project, program: &Program<'_>, path: &str) -> Option<Misnamed> {
    let (module, attribute) = path.rsplit_once('.')?;
    let sources = program.modules.named(module);
    let [source] = sources.as_slice() else {
        let (package, rest) = module.split_once('.')?;
        let here = |tail: &str| {
            let mut files = project.files.iter();
            files.any(|file| {
                let rest = file.strip_suffix(tail);
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
            })
        };
        let is_here = |dotted: &str| {
            let path = dotted.replace('.', "/");
            here(&format!("{path}.py")) || here(&format!("{path}/__init__.py"))
        };
        let missing = sources.is_empty() && !rest.is_empty() && !is_here(module);
        return (missing && is_here(package)).then_some(Misnamed::Module);
    };
    let module = program.module(source.id)?;
    match module.get(attribute) {
        Some(binding) => match judge(&[], certain(&binding.values)?)? {
            Object::Wsgi(span) => Some(Misnamed::Wsgi(span)),
            _ => None,
        },
        None => module.open().is_none().then_some(Misnamed::Name),
    }
}

/// Where a module `asgi.py` binds `application` to Django's own application and nothing more.
pub(super) fn plain(project: &Project, program: &Program<'_>) -> Vec<Span> {
    program
        .all()
        .filter(|(source, _)| project.source(*source).name() == "asgi.py")
        .filter_map(|(source, module)| {
            let binding = module.get("application")?;
            match judge(&[], certain(&binding.values)?)? {
                Object::Asgi(span) if span.source == source => Some(span),
                _ => None,
            }
        })
        .collect()
}

fn judge(applications: &[Application], value: &Possible) -> Option<Object> {
    let at = |span: Span| {
        applications
            .iter()
            .position(|application| application.span == span)
            .map(Object::Application)
    };
    if let Some((_, span)) = protocol_router(value) {
        return at(span);
    }
    let mut value = value.clone();
    for _ in 0..MAX_WRAPPERS {
        let Data::Call(call) = &value.data else {
            return matches!(value.data, Data::Function(_))
                .then(|| at(value.span))
                .flatten();
        };
        match call.function.data.symbol().as_str() {
            "django.core.asgi.get_asgi_application"
            | "configurations.asgi.get_asgi_application" => return Some(Object::Asgi(value.span)),
            "django.core.wsgi.get_wsgi_application"
            | "configurations.wsgi.get_wsgi_application" => return Some(Object::Wsgi(value.span)),
            // They hand on what they do not serve, and know nothing of WebSockets.
            "django.contrib.staticfiles.handlers.ASGIStaticFilesHandler"
            | "django.contrib.staticfiles.handlers.StaticFilesHandler"
            | "whitenoise.WhiteNoise"
            | "dj_static.Cling" => {
                let inner = certain(call.positional.first()?)?.clone();
                value = inner;
            }
            // Socket.IO's takes its own path: what is behind it is not the whole of it.
            _ => {
                return judge(applications, behind(call)?)
                    .filter(|object| matches!(object, Object::Application(_)));
            }
        }
    }
    None
}

//! What the target of a server command names: which application object the server calls.

use super::command::{Command, Program as Server};
use super::data::{Data, Possible, certain};
use super::evaluate::Program;
use super::routes::{Application, protocol_router};
use crate::project::Project;
use crate::source::{SourceId, Span};

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
    let target = command.target.as_ref()?.text.as_str();
    let (module, attribute) = match target.split_once(':') {
        Some((module, attribute)) => (module, attribute),
        // gunicorn/util.py import_app and uwsgi look for `application`.
        None => match command.program {
            Server::Gunicorn | Server::Uwsgi => (target, "application"),
            _ => return None,
        },
    };
    let sources = program.modules.named(module);
    let [source] = sources.as_slice() else {
        return None;
    };
    let binding = program.module(source.id)?.get(attribute)?;
    Some((source.id, judge(applications, certain(&binding.values)?)?))
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
            _ => return None,
        }
    }
    None
}

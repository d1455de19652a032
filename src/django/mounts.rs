//! Applications of other frameworks that Django's is mounted in, or that are mounted in a router of
//! Channels: what they take, they route by rules that are not followed.

use super::data::{Call, Data, Possible, certain};
use crate::source::Span;

/// Wrappers around one that are followed.
const MAX_WRAPPERS: usize = 8;

/// Classes whose instances are applications with routes of their own.
const FRAMEWORKS: &[&str] = &[
    "blacksheep.Application",
    "blacksheep.server.Application",
    "fastapi.FastAPI",
    "fastapi.applications.FastAPI",
    "litestar.Litestar",
    "quart.Quart",
    "robyn.Robyn",
    "sanic.Sanic",
    "starlette.applications.Starlette",
    "starlette.routing.Router",
];

/// Applications that take one path and hand the rest to another (python-socketio and
/// python-engineio, `ASGIApp` and `WSGIApp`): the name, the argument with the path, its default.
const POLLING: &[(&str, &str, &str)] = &[
    ("engineio.ASGIApp", "engineio_path", "engine.io"),
    ("engineio.Middleware", "engineio_path", "engine.io"),
    ("engineio.WSGIApp", "engineio_path", "engine.io"),
    ("socketio.ASGIApp", "socketio_path", "socket.io"),
    ("socketio.Middleware", "socketio_path", "socket.io"),
    ("socketio.WSGIApp", "socketio_path", "socket.io"),
];

/// An application of another framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is made.
    pub span: Span,
    /// What its paths begin with, with a slash at both ends; `None` for all paths.
    prefix: Option<String>,
}

impl Mount {
    /// The application of another framework that `value` is, through wrappers.
    pub fn of(value: &Possible) -> Option<Self> {
        let mut at = value;
        for _ in 0..MAX_WRAPPERS {
            let Data::Call(call) = &at.data else {
                return None;
            };
            let symbol = call.function.data.symbol();
            if FRAMEWORKS.contains(&symbol.as_str()) {
                return Some(Self {
                    span: at.span,
                    prefix: None,
                });
            }
            if let Some((_, option, default)) = polling(&symbol) {
                return Some(Self {
                    span: at.span,
                    // Without another application it answers all other paths itself.
                    prefix: behind(call).and_then(|_| prefix(call, option, default)),
                });
            }
            at = certain(call.positional.first()?)?;
        }
        None
    }

    /// Whether it may take `path`.
    pub fn may_take(&self, path: &str) -> bool {
        match &self.prefix {
            // engineio/async_drivers/asgi.py compares with a slash added.
            Some(prefix) => format!("{path}/").starts_with(prefix.as_str()),
            None => true,
        }
    }
}

fn polling(symbol: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    POLLING.iter().find(|(name, ..)| *name == symbol)
}

/// The application that Socket.IO's hands the other paths to.
pub(super) fn behind(call: &Call) -> Option<&Possible> {
    polling(&call.function.data.symbol())?;
    let inner = call.positional.get(1).or_else(|| {
        ["other_asgi_app", "wsgi_app"]
            .iter()
            .find_map(|name| call.keyword(name))
    })?;
    certain(inner)
}

fn prefix(call: &Call, option: &str, default: &str) -> Option<String> {
    let path = match call.argument(3, option) {
        None if call.complete => default,
        None => return None,
        Some(values) => certain(values)?.data.as_text()?,
    };
    let path = path.trim_matches('/');
    Some(format!("/{path}{}", if path.is_empty() { "" } else { "/" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::django::evaluate::{Program, parse};
    use crate::project::Project;

    #[test]
    fn socket_io_takes_its_path_and_a_framework_takes_all() {
        for (code, path, expected) in [
            ("socketio.ASGIApp(sio, inner)", "/socket.io/", Some(true)),
            ("socketio.ASGIApp(sio, inner)", "/socket.io", Some(true)),
            ("socketio.ASGIApp(sio, inner)", "/ws/chat/", Some(false)),
            ("socketio.ASGIApp(sio)", "/ws/chat/", Some(true)),
            (
                "socketio.ASGIApp(sio, other_asgi_app=inner, socketio_path='live')",
                "/live/",
                Some(true),
            ),
            (
                "socketio.ASGIApp(sio, inner, socketio_path=x())",
                "/ws/",
                Some(true),
            ),
            ("wrapped(FastAPI(debug=True))", "/ws/", Some(true)),
            ("inner(1)", "/ws/", None),
        ] {
            let text = format!(
                "import socketio\nfrom fastapi import FastAPI\nfrom other import inner, sio, wrapped, x\napp = {code}\n"
            );
            let project = Project::in_memory([("p/asgi.py", text.as_str())]).unwrap();
            let program = Program::new(&project, parse(&project));
            let module = program.module(project.sources[0].id).unwrap();
            let value = certain(&module.get("app").unwrap().values).unwrap();
            let takes = Mount::of(value).map(|mount| mount.may_take(path));
            assert_eq!(takes, expected, "{code} {path}");
        }
    }
}

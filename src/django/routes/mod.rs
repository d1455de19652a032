//! The ASGI application and its WebSocket routes, with the semantics of Django's resolver and
//! Channels' routers.
//!
//! channels/routing.py: `ProtocolTypeRouter` picks the application by the scope's type, and
//! `URLRouter` takes all leading slashes off the path (`path.lstrip("/")`, at every level), tries
//! its routes in order and hands the rest of the path to an inner router. django/urls/resolvers.py:
//! a `path()` matches from the start, wholly if it is an endpoint; a `re_path()` is searched, or
//! matched in full where it is an endpoint and ends in `$`.

mod dispatch;
mod fault;
mod patterns;
mod protocols;
mod walk;

pub use fault::Fault;
pub use patterns::{Function, Level, Page, urlconf};
pub(super) use protocols::{is_a, protocol_router};

use std::collections::HashSet;

use self::patterns::{path_regex, python};
use self::protocols::{follow, protocols, serves_django, socketio};
use self::walk::Walk;
use super::consumer::Connect;
use super::data::Possible;
use super::evaluate::Program;
use crate::sample::samples;
use crate::source::{SourceId, Span};

/// Routes that are followed in one project.
const MAX_ROUTES: usize = 2000;

/// Wrappers around a router (`AllowedHostsOriginValidator(AuthMiddlewareStack(…))`).
const MAX_WRAPPERS: usize = 16;

/// An ASGI application that tells protocols apart.
#[derive(Debug)]
pub struct Application {
    /// The name that it is bound to.
    pub name: String,
    /// Its module.
    pub source: SourceId,
    /// The router's call.
    pub span: Span,
    /// What becomes of a handshake.
    pub websocket: WebSocket,
    /// What that does with a handshake, where it takes every one.
    pub connect: Connect,
    /// What takes every handshake, or what a router that can't be followed stands in.
    pub target: Option<Possible>,
    /// What stands before its routes, the outermost first.
    pub wrappers: Vec<Possible>,
    /// Where its routes can't be followed, if they can't all.
    pub gap: Option<Gap>,
    /// The protocols that it names, with the bytes of each.
    pub protocols: Vec<(String, Span)>,
    /// Where it serves Socket.IO over HTTP.
    pub socketio: Option<Span>,
    /// Whether `http` goes to Django's own ASGI application, as it can from Channels 3 on.
    pub serves_django: bool,
}

/// A place at which routes can't be followed.
#[derive(Clone, Debug)]
pub struct Gap {
    /// What can't be.
    pub span: Span,
    /// Why.
    pub why: String,
}

/// What an application does with a scope of type `websocket`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSocket {
    /// It routes it by its path: see [`Route`].
    Routed,
    /// One application takes every path.
    Everything,
    /// Nothing takes it.
    Nothing,
    /// Django's own ASGI application, which raises ValueError for anything but HTTP.
    Django,
    /// Not to be known from the files.
    Unknown,
}

/// A route: a path that leads to a consumer.
#[derive(Clone, Debug)]
pub struct Route {
    /// The patterns from the outermost router inwards.
    pub levels: Vec<Level>,
    /// What serves it.
    pub consumer: Option<Possible>,
    /// Where what serves it is named in the route.
    pub place: Span,
    /// The innermost call of `path()`.
    pub span: Span,
    /// The application that it belongs to, an index into the model's.
    pub application: usize,
    /// Whether it is surely there; false where a branch decides.
    pub certain: bool,
    /// What its consumer does with a handshake.
    pub connect: Connect,
}

/// A router that is not given what it takes.
#[derive(Clone, Copy, Debug)]
pub struct Misuse {
    /// What it is given.
    pub kind: MisuseKind,
    /// The bytes of that.
    pub span: Span,
    /// The router's call.
    pub router: Span,
    /// The application that it belongs to, an index into the model's.
    pub application: usize,
}

/// What a router is given instead of a list of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MisuseKind {
    /// A route with `include()` in it.
    Include,
    /// A single route, not a list.
    Route,
    /// A module, not the list in it.
    Module,
    /// A list without routes.
    Empty,
    /// A list of routes where an application should be.
    List,
}

impl Route {
    /// The pattern as a person reads it.
    pub fn pattern(&self) -> String {
        self.levels
            .iter()
            .map(|level| level.pattern.as_str())
            .collect()
    }

    /// A path that leads here, from `/`; `None` where none can be read off the patterns.
    pub fn sample(&self) -> Option<String> {
        let mut path = String::from("/");
        for level in &self.levels {
            let regex = match level.function {
                Function::Path => path_regex(&level.pattern, false)?,
                Function::RePath => python(&level.pattern),
            };
            path.push_str(samples(&regex, false).first()?.trim_start_matches('/'));
        }
        (self.matches(&path) == Some(true)).then_some(path)
    }

    /// Whether a handshake for `path` ends here; `None` where that can't be said.
    pub fn matches(&self, path: &str) -> Option<bool> {
        let mut rest = path;
        for level in &self.levels {
            match level.rest(rest.trim_start_matches('/'))? {
                Some(left) => rest = left,
                None => return Some(false),
            }
        }
        Some(true)
    }
}

/// The applications of a project.
#[derive(Debug, Default)]
pub struct Found {
    /// The applications.
    pub applications: Vec<Application>,
    /// Their routes.
    pub routes: Vec<Route>,
    /// Routers that are not given what they take.
    pub misuses: Vec<Misuse>,
}

/// Finds the applications of a project and their routes.
pub fn find(program: &Program<'_>) -> Found {
    let mut found = Found::default();
    let Found {
        applications,
        routes,
        misuses,
    } = &mut found;
    let mut seen = HashSet::new();
    for (source, module) in program.all() {
        let mut names: Vec<_> = module.names().collect();
        names.sort_by_key(|(_, binding)| binding.target);
        for (name, binding) in names {
            for possible in &binding.values {
                let at = applications.len();
                let sure = binding.values.len() == 1;
                let found = match protocol_router(possible) {
                    Some((router, span)) => (span, router),
                    None => {
                        let Some(served) = dispatch::websocket(program, possible) else {
                            continue;
                        };
                        if possible.span.source == source && seen.insert(possible.span) {
                            let mut walk = Walk::new(program, at, routes, misuses);
                            let websocket = match &served {
                                Some(served) => walk.application(served, sure),
                                None => WebSocket::Nothing,
                            };
                            let (target, wrappers, gap) = walk.found();
                            applications.push(Application {
                                connect: connect(program, target.as_ref()),
                                name: name.clone(),
                                source,
                                span: possible.span,
                                websocket,
                                target,
                                wrappers,
                                gap,
                                protocols: Vec::new(),
                                socketio: None,
                                serves_django: true,
                            });
                        }
                        continue;
                    }
                };
                // An application that another module imports is still the one where it is written.
                if found.0.source != source || !seen.insert(found.0) {
                    continue;
                }
                let mut walk = Walk::new(program, at, routes, misuses);
                let websocket = follow(&found.1, sure, &mut walk, Walk::application);
                let (target, wrappers, gap) = walk.found();
                applications.push(Application {
                    connect: connect(program, target.as_ref()),
                    name: name.clone(),
                    source,
                    span: found.0,
                    websocket,
                    target,
                    wrappers,
                    gap,
                    protocols: protocols(&found.1),
                    socketio: socketio(&found.1),
                    serves_django: serves_django(&found.1),
                });
            }
        }
    }
    found
}

fn connect(program: &Program<'_>, target: Option<&Possible>) -> Connect {
    target.map_or(Connect::Unknown, |target| {
        super::consumer::connect(program, target)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::project::Project;

    const HEAD: &str = "from django.urls import path, re_path\nfrom channels.routing import ProtocolTypeRouter, URLRouter\n\
        from channels.auth import AuthMiddlewareStack\nfrom channels.generic.websocket import WebsocketConsumer\n\
        class C(WebsocketConsumer): pass\n";

    fn found(routes: &str) -> Found {
        let code = format!("{HEAD}application = ProtocolTypeRouter({{'websocket': {routes}}})\n");
        let project = Project::in_memory([("p/asgi.py", code.as_str())]).unwrap();
        let program = Program::new(&project, crate::django::evaluate::parse(&project));
        find(&program)
    }

    pub(in crate::django::routes) fn one(entry: &str) -> Route {
        let routes = found(&format!("AuthMiddlewareStack(URLRouter([{entry}]))")).routes;
        assert_eq!(routes.len(), 1, "{entry}");
        routes.into_iter().next().unwrap()
    }

    #[test]
    fn routes_match_as_django_does() {
        for (entry, path, expected) in [
            ("path('ws/chat/', C.as_asgi())", "/ws/chat/", Some(true)),
            ("path('ws/chat/', C.as_asgi())", "//ws/chat/", Some(true)),
            ("path('ws/chat/', C.as_asgi())", "/ws/chat", Some(false)),
            ("path('ws/<int:n>/', C.as_asgi())", "/ws/12/", Some(true)),
            ("path('ws/<int:n>/', C.as_asgi())", "/ws/a/", Some(false)),
            ("path('ws/<own:n>/', C.as_asgi())", "/ws/a/", None),
            (
                "re_path(r'ws/chat/(?P<room>\\w+)/$', C.as_asgi())",
                "/ws/chat/a/",
                Some(true),
            ),
            (
                "re_path(r'ws/chat/(?P<room>\\w+)/$', C.as_asgi())",
                "/x/ws/chat/a/",
                Some(false),
            ),
            (
                "re_path(r'ws/chat', C.as_asgi())",
                "/x/ws/chat/a/",
                Some(true),
            ),
            ("re_path(r'^ws\\Z', C.as_asgi())", "/ws", Some(true)),
            (
                "path('ws/', URLRouter([path('echo/', C.as_asgi())]))",
                "/ws/echo/",
                Some(true),
            ),
            (
                "path('ws/', URLRouter([path('echo/', C.as_asgi())]))",
                "/ws/",
                Some(false),
            ),
        ] {
            assert_eq!(one(entry).matches(path), expected, "{entry} {path}");
        }
    }

    #[test]
    fn a_function_may_hand_its_scope_to_a_router_of_protocols() {
        let project = Project::in_memory([
            ("p/asgi.py", "from p.sockets import sockets\nasync def application(scope, receive, send):\n    \
                if scope['type'] == 'websocket':\n        await sockets(scope, receive, send)\n"),
            ("p/sockets.py", "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom channels.auth import AuthMiddlewareStack\nfrom django.urls import path\n\
                sockets = ProtocolTypeRouter({'websocket': AuthMiddlewareStack(URLRouter([path('ws/', None)]))})\n"),
        ])
        .unwrap();
        let program = Program::new(&project, crate::django::evaluate::parse(&project));
        let found = find(&program).applications;
        let kinds: Vec<_> = found.iter().map(|one| one.websocket).collect();
        assert_eq!(kinds, [WebSocket::Routed, WebSocket::Routed]);
    }

    #[test]
    fn patterns_are_followed_to_where_they_are_written() {
        let head = "from django.conf import settings\nfrom django.urls import path\nfrom channels.routing import ProtocolTypeRouter, URLRouter\n";
        let project = Project::in_memory([
            ("site/asgi.py", format!(
                "{head}from .kinds import Kind\nfrom .wrap import Stack\n\
                def urls():\n    import live.routing\n    return live.routing.urls\n\
                application = ProtocolTypeRouter({{'websocket': Stack(URLRouter(urls() + [\n\
                path(f'ws/{{Kind.GAME.value}}/', None), path(f'{{settings.PREFIX}}/ws/', None)]))}})\n"
            )),
            ("site/kinds.py", "from enum import Enum\nclass Kind(str, Enum):\n    GAME = 'game'\n".to_owned()),
            ("site/wrap.py", "from channels.auth import AuthMiddlewareStack\nfrom . import own\nStack = lambda inner: own.Outer(AuthMiddlewareStack(inner))\n".to_owned()),
            ("site/own.py", "class Outer:\n    def __init__(self, inner): self.inner = inner\n".to_owned()),
            ("site/settings/base.py", "PREFIX = 'api'\nINSTALLED_APPS = []\n".to_owned()),
            ("site/settings/prod.py", "from .base import *\n".to_owned()),
            ("live/routing.py", "from django.urls import path\nurls = [path('live/', None)]\n".to_owned()),
        ].iter().map(|(path, text)| (*path, text.as_str())))
        .unwrap();
        let program = Program::new(&project, crate::django::evaluate::parse(&project));
        let found = find(&program);
        assert_eq!(found.applications[0].websocket, WebSocket::Routed);
        let patterns: Vec<_> = found.routes.iter().map(Route::pattern).collect();
        assert_eq!(patterns, ["live/", "ws/game/", "api/ws/"]);
    }

    #[test]
    fn a_setting_that_modules_disagree_on_or_dynaconf_may_replace_is_not_known() {
        for production in [
            "from .base import *\nPREFIX = 'live'\n",
            "import dynaconf\ndynaconf.DjangoDynaconf(__name__, settings_files=['base.py'])\n",
        ] {
            let project = Project::in_memory([
                ("p/asgi.py", "from django.conf import settings\nfrom django.urls import path\nfrom channels.routing import ProtocolTypeRouter, URLRouter\n\
                    application = ProtocolTypeRouter({'websocket': URLRouter([path(f'{settings.PREFIX}/ws/', None)])})\n"),
                ("p/settings/base.py", "PREFIX = 'api'\n"),
                ("p/settings/prod.py", production),
            ])
            .unwrap();
            let program = Program::new(&project, crate::django::evaluate::parse(&project));
            let found = find(&program);
            assert_eq!(
                found.applications[0].websocket,
                WebSocket::Unknown,
                "{production}"
            );
        }
    }

    #[test]
    fn a_gap_is_where_the_routes_are_lost() {
        for (routes, at, why) in [
            (
                "URLRouter([path(f'ws/{x}/', C.as_asgi())])",
                "f'ws/{x}/'",
                "the files do not say what this pattern is; a pattern that is written out can be",
            ),
            (
                "URLRouter(elsewhere.routes())",
                "elsewhere.routes()",
                "it is defined nowhere that was read",
            ),
        ] {
            let code =
                format!("{HEAD}application = ProtocolTypeRouter({{'websocket': {routes}}})\n");
            let project = Project::in_memory([("p/asgi.py", code.as_str())]).unwrap();
            let program = Program::new(&project, crate::django::evaluate::parse(&project));
            let found = find(&program);
            let gap = found.applications[0].gap.as_ref().unwrap();
            assert_eq!((project.slice(gap.span), gap.why.as_str()), (at, why));
        }
    }

    #[test]
    fn applications_are_followed_through_modules() {
        let project = Project::in_memory([
            ("p/asgi.py", "from django.core.asgi import get_asgi_application\nfrom channels.routing import ProtocolTypeRouter, URLRouter\n\
                import chat.routing\nfrom feed import routing as feed\n\
                app = get_asgi_application()\n\
                application = ProtocolTypeRouter({'http': app, 'websocket': URLRouter(chat.routing.websocket_urlpatterns + feed.urls)})\n"),
            ("chat/routing.py", "from django.urls import path\nfrom . import consumers\nwebsocket_urlpatterns = [path('a/', consumers.A.as_asgi())]\n"),
            ("chat/consumers.py", "class A: pass\n"),
            ("feed/routing.py", "from django.urls import re_path\nurls = [re_path('b', None)]\nif x:\n    urls += [re_path('c', None)]\n"),
        ])
        .unwrap();
        let program = Program::new(&project, crate::django::evaluate::parse(&project));
        let Found {
            applications,
            routes,
            ..
        } = find(&program);
        assert_eq!(applications.len(), 1);
        assert_eq!(applications[0].websocket, WebSocket::Routed);
        let patterns: Vec<_> = routes
            .iter()
            .map(|route| (route.pattern(), route.certain))
            .collect();
        let expected = [("a/", true), ("b", true), ("c", false)];
        assert_eq!(
            patterns,
            expected.map(|(pattern, sure)| (pattern.to_owned(), sure))
        );
        let nothing = "from channels.routing import ProtocolTypeRouter\napplication = ProtocolTypeRouter({'http': 1})\n";
        let project = Project::in_memory([("p/asgi.py", nothing)]).unwrap();
        assert_eq!(
            find(&Program::new(
                &project,
                crate::django::evaluate::parse(&project)
            ))
            .applications[0]
                .websocket,
            WebSocket::Nothing
        );
    }
}

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

pub use fault::Fault;

use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use fancy_regex::Regex;

use super::consumer::Connect;
use super::data::{Call, Data, Dictionary, Possible, certain};
use super::evaluate::Program;
use crate::sample::samples;
use crate::source::{SourceId, Span};

/// Routes that are followed in one project.
const MAX_ROUTES: usize = 2000;
/// Bytes of a pattern; people write a tenth of it.
const MAX_PATTERN: usize = 1024;
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
    /// The protocols that it names, with the bytes of each.
    pub protocols: Vec<(String, Span)>,
    /// Where it serves Socket.IO over HTTP.
    pub socketio: Option<Span>,
    /// Whether `http` goes to Django's own ASGI application, as it can from Channels 3 on.
    pub serves_django: bool,
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

/// Which of Django's functions makes a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `path()`: text with converters.
    Path,
    /// `re_path()` and the older `url()`: a regular expression.
    RePath,
}

/// One pattern of a route; nested routers give it several.
#[derive(Clone, Debug)]
pub struct Level {
    /// What makes it.
    pub function: Function,
    /// The name in the code: `path`, `re_path`, `url`.
    pub called: String,
    /// The pattern.
    pub pattern: String,
    /// The pattern's bytes.
    pub span: Span,
    /// Whether it must match the rest of the path; false for a router that Channels sees.
    pub endpoint: bool,
    /// A wrapper that hides an inner router from Channels: its dotted name and its call.
    pub wrapper: Option<(String, Span)>,
    regex: Arc<OnceLock<Option<Regex>>>,
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

impl Level {
    fn compiled(&self) -> Option<&Regex> {
        self.regex
            .get_or_init(|| {
                let regex = match self.function {
                    Function::Path => path_regex(&self.pattern, self.endpoint)?,
                    // Python writes the end of the text `\Z`.
                    Function::RePath if self.endpoint && self.pattern.ends_with('$') => {
                        format!(r"\A(?:{})\z", python(&self.pattern))
                    }
                    Function::RePath => python(&self.pattern),
                };
                Regex::new(&regex).ok()
            })
            .as_ref()
    }

    /// What is left of `path` (without leading slashes) after this pattern; `Some(None)` where it
    /// does not match, `None` where that can't be said.
    pub fn rest<'a>(&self, path: &'a str) -> Option<Option<&'a str>> {
        let found = self.compiled()?.find(path).ok()?;
        Some(found.map(|found| &path[found.end()..]))
    }
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

/// Python's regular expression in the syntax of ours.
fn python(pattern: &str) -> String {
    pattern.replace(r"\Z", r"\z")
}

/// The regular expression that Django makes of `path()`'s text; `None` for a converter that the
/// project defines itself (django/urls/converters.py).
fn path_regex(text: &str, endpoint: bool) -> Option<String> {
    let mut regex = String::from(r"\A");
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        regex.push_str(&fancy_regex::escape(&rest[..open]));
        let close = open + rest[open..].find('>')?;
        let inner = &rest[open + 1..close];
        regex.push_str(
            match inner
                .split_once(':')
                .map_or("str", |(converter, _)| converter)
            {
                "str" => "(?:[^/]+)",
                "int" => "(?:[0-9]+)",
                "slug" => "(?:[-a-zA-Z0-9_]+)",
                "uuid" => "(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})",
                "path" => "(?:.+)",
                _ => return None,
            },
        );
        rest = &rest[close + 1..];
    }
    regex.push_str(&fancy_regex::escape(rest));
    if endpoint {
        regex.push_str(r"\z");
    }
    Some(regex)
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
                            let (target, wrappers) = walk.found();
                            applications.push(Application {
                                connect: connect(program, target.as_ref()),
                                name: name.clone(),
                                source,
                                span: possible.span,
                                websocket,
                                target,
                                wrappers,
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
                let websocket = follow(&found.1, &mut walk, sure);
                let (target, wrappers) = walk.found();
                applications.push(Application {
                    connect: connect(program, target.as_ref()),
                    name: name.clone(),
                    source,
                    span: found.0,
                    websocket,
                    target,
                    wrappers,
                    protocols: protocols(&found.1),
                    socketio: socketio(&found.1),
                    serves_django: serves_django(&found.1),
                });
            }
        }
    }
    found
}

/// What the patterns of a URLconf begin with, whatever they lead to; `None` where not all of them
/// can be seen.
pub fn urlconf(program: &Program<'_>, dotted: &str) -> Option<Vec<Level>> {
    let sources = program.modules.named(dotted);
    let [source] = sources.as_slice() else {
        return None;
    };
    let module = program.module(source.id)?;
    let binding = module.get("urlpatterns")?;
    let Data::Sequence(list) = &certain(&binding.values)?.data else {
        return None;
    };
    if !list.complete || module.reopened(binding).is_some() || list.items.len() > MAX_ROUTES {
        return None;
    }
    list.items
        .iter()
        .map(|item| {
            let Data::Call(call) = &certain(item)?.data else {
                return None;
            };
            let (function, called) = pattern_function(call)?;
            let (pattern, span) = pattern(call, function)?;
            Some(Level {
                function,
                called,
                pattern,
                span,
                endpoint: false,
                wrapper: None,
                regex: Arc::default(),
            })
        })
        .collect()
}

/// Which of Django's functions a call is, and its name.
fn pattern_function(call: &Call) -> Option<(Function, String)> {
    let symbol = call.function.data.symbol();
    let called = symbol.rsplit('.').next().unwrap_or_default().to_owned();
    match called.as_str() {
        "path" => Some((Function::Path, called)),
        "re_path" | "url" => Some((Function::RePath, called)),
        _ => None,
    }
}

/// The pattern that a call of such a function names, with its bytes.
fn pattern(call: &Call, function: Function) -> Option<(String, Span)> {
    let name = match function {
        Function::Path => "route",
        Function::RePath => "regex",
    };
    let value = call
        .argument(0, name)
        .and_then(|values| certain(values))
        .filter(|value| !value.is_default())?;
    let text = value.data.as_text()?;
    (text.len() <= MAX_PATTERN).then(|| (text.to_owned(), value.span))
}

/// The call of ProtocolTypeRouter in a value, through wrappers.
pub(super) fn protocol_router(possible: &Possible) -> Option<(Arc<Call>, Span)> {
    let mut at = possible.clone();
    for _ in 0..MAX_WRAPPERS {
        let Data::Call(call) = &at.data else {
            return None;
        };
        if is_a(&call.function.data, "ProtocolTypeRouter") {
            return Some((call.clone(), at.span));
        }
        at = certain(call.positional.first()?)?.clone();
    }
    None
}

/// Whether a function is the class of that name in Channels, or a subclass of it.
pub(super) fn is_a(function: &Data, name: &str) -> bool {
    let mut at = function.clone();
    for _ in 0..MAX_WRAPPERS {
        match at {
            Data::External(path) => return path.rsplit('.').next() == Some(name),
            Data::Class(class) => match class.bases.first().and_then(|base| certain(base)) {
                Some(base) => at = base.data.clone(),
                None => return false,
            },
            _ => return false,
        }
    }
    false
}

/// What the router makes of `http`.
fn http(router: &Call) -> Option<&Possible> {
    let (_, values) = mapping(router)?.get("http")?;
    certain(values)
}

fn mapping(router: &Call) -> Option<&Dictionary> {
    let values = router.argument(0, "application_mapping")?;
    match &certain(values)?.data {
        Data::Dictionary(protocols) => Some(protocols),
        _ => None,
    }
}

fn serves_django(router: &Call) -> bool {
    http(router).is_some_and(|value| match &value.data {
        Data::Call(call) => is_django(call),
        _ => false,
    })
}

fn protocols(router: &Call) -> Vec<(String, Span)> {
    let Some(protocols) = mapping(router) else {
        return Vec::new();
    };
    protocols
        .pairs
        .iter()
        .filter_map(|(key, _)| Some((key.data.as_text()?.to_owned(), key.span)))
        .collect()
}

fn socketio(router: &Call) -> Option<Span> {
    let value = http(router)?;
    match &value.data {
        Data::Call(call) if call.function.data.symbol() == "socketio.ASGIApp" => Some(value.span),
        _ => None,
    }
}

/// Whether a call makes Django's own ASGI application.
pub(super) fn is_django(call: &Call) -> bool {
    matches!(
        call.function.data.symbol().as_str(),
        "django.core.asgi.get_asgi_application" | "configurations.asgi.get_asgi_application"
    )
}

fn follow(router: &Call, walk: &mut Walk<'_>, sure: bool) -> WebSocket {
    let Some(protocols) = mapping(router) else {
        return WebSocket::Unknown;
    };
    let Some((_, values)) = protocols.get("websocket") else {
        return if protocols.complete {
            WebSocket::Nothing
        } else {
            WebSocket::Unknown
        };
    };
    let mut kind = WebSocket::Unknown;
    for value in values {
        kind = walk.application(value, sure && values.len() == 1);
    }
    if values.len() == 1 {
        kind
    } else {
        WebSocket::Unknown
    }
}

fn connect(program: &Program<'_>, target: Option<&Possible>) -> Connect {
    target.map_or(Connect::Unknown, |target| {
        super::consumer::connect(program, target)
    })
}

/// A walk through nested routers.
struct Walk<'a> {
    program: &'a Program<'a>,
    application: usize,
    routes: &'a mut Vec<Route>,
    misuses: &'a mut Vec<Misuse>,
    levels: Vec<Level>,
    target: Option<Possible>,
    wrappers: Vec<Possible>,
}

/// What a router's entry leads to, through its wrappers.
struct Unwrapped {
    /// What is inside.
    inner: Possible,
    /// The wrappers, the outermost first.
    wrappers: Vec<Possible>,
}

fn unwrap(value: &Possible) -> Unwrapped {
    let mut inner = value.clone();
    let mut wrappers = Vec::new();
    for _ in 0..MAX_WRAPPERS {
        let Data::Call(call) = &inner.data else { break };
        let symbol = call.function.data.symbol();
        if is_a(&call.function.data, "URLRouter")
            || symbol.ends_with("as_asgi")
            || symbol.ends_with("as_view")
        {
            break;
        }
        let argument = call.positional.first().or_else(|| {
            ["inner", "app", "application"]
                .iter()
                .find_map(|name| call.keyword(name))
        });
        let Some(argument) = argument.and_then(|values| certain(values)) else {
            break;
        };
        let argument = argument.clone();
        let outer = std::mem::replace(&mut inner, argument);
        wrappers.push(outer);
    }
    Unwrapped { inner, wrappers }
}

impl<'a> Walk<'a> {
    fn new(
        program: &'a Program<'a>,
        application: usize,
        routes: &'a mut Vec<Route>,
        misuses: &'a mut Vec<Misuse>,
    ) -> Self {
        Self {
            program,
            application,
            routes,
            misuses,
            levels: Vec::new(),
            target: None,
            wrappers: Vec::new(),
        }
    }

    /// What stands behind the wrappers, and these.
    fn found(self) -> (Option<Possible>, Vec<Possible>) {
        (self.target, self.wrappers)
    }

    /// Follows what serves the websocket protocol.
    fn application(&mut self, value: &Possible, sure: bool) -> WebSocket {
        let unwrapped = unwrap(value);
        self.wrappers = unwrapped.wrappers;
        self.target = Some(unwrapped.inner.clone());
        match &unwrapped.inner.data {
            Data::Call(call) if is_a(&call.function.data, "URLRouter") => {
                if self.router(call, unwrapped.inner.span, sure) {
                    WebSocket::Routed
                } else {
                    WebSocket::Unknown
                }
            }
            Data::Call(call) if call.function.data.symbol().ends_with(".as_asgi") => {
                WebSocket::Everything
            }
            // An application of the project's own, which does as it likes.
            Data::Function(_) => WebSocket::Everything,
            Data::Call(call) if is_django(call) => WebSocket::Django,
            Data::Sequence(_) if sure => {
                self.misused(MisuseKind::List, unwrapped.inner.span, value.span);
                WebSocket::Unknown
            }
            _ => WebSocket::Unknown,
        }
    }

    fn misused(&mut self, kind: MisuseKind, span: Span, router: Span) {
        if self
            .misuses
            .iter()
            .all(|misuse| (misuse.span, misuse.kind) != (span, kind))
            && self.misuses.len() < MAX_ROUTES
        {
            self.misuses.push(Misuse {
                kind,
                span,
                router,
                application: self.application,
            });
        }
    }

    /// Follows a router's routes; false if some of them can't be seen.
    fn router(&mut self, call: &Call, at: Span, sure: bool) -> bool {
        let Some(lists) = call.argument(0, "routes") else {
            return false;
        };
        if let Some(given) = certain(lists).filter(|_| sure) {
            let kind = match &given.data {
                Data::Module(_) => Some(MisuseKind::Module),
                Data::Call(call) => pattern_function(call).map(|_| MisuseKind::Route),
                Data::Sequence(list) if list.complete && list.items.is_empty() => {
                    Some(MisuseKind::Empty)
                }
                _ => None,
            };
            if let Some(kind) = kind {
                let place = call.places.first().copied().unwrap_or(given.span);
                self.misused(kind, place, at);
            }
        }
        let mut complete = true;
        // An entry that every alternative of the list holds is surely there.
        let mut entries: Vec<(&Possible, usize)> = Vec::new();
        let mut places: HashMap<Span, usize> = HashMap::new();
        for list in lists {
            let Data::Sequence(sequence) = &list.data else {
                complete = false;
                continue;
            };
            complete &= sequence.complete;
            for item in &sequence.items {
                for entry in item {
                    let held = usize::from(item.len() == 1);
                    match places.entry(entry.span) {
                        Occupied(at) => entries[*at.get()].1 += held,
                        Vacant(at) => {
                            at.insert(entries.len());
                            entries.push((entry, held));
                        }
                    }
                }
            }
        }
        for (entry, held) in entries {
            if self.routes.len() >= MAX_ROUTES || self.levels.len() >= MAX_WRAPPERS {
                return false;
            }
            complete &= self.entry(entry, at, sure && held >= lists.len());
        }
        complete
    }

    fn entry(&mut self, entry: &Possible, router: Span, sure: bool) -> bool {
        let Data::Call(call) = &entry.data else {
            return false;
        };
        let Some((function, called)) = pattern_function(call) else {
            return false;
        };
        let Some((pattern, span)) = pattern(call, function) else {
            return false;
        };
        let view = call
            .argument(1, "view")
            .and_then(|values| certain(values))
            .cloned();
        let unwrapped = view.as_ref().map(unwrap);
        let inner = unwrapped
            .as_ref()
            .and_then(|unwrapped| match &unwrapped.inner.data {
                Data::Call(call) if is_a(&call.function.data, "URLRouter") => {
                    Some((call.clone(), unwrapped.inner.span))
                }
                _ => None,
            });
        let includes = view.as_ref().is_some_and(|view| match &view.data {
            Data::Call(call) => matches!(
                call.function.data.symbol().as_str(),
                "django.urls.include" | "django.conf.urls.include"
            ),
            _ => false,
        });
        if includes {
            if sure {
                self.misused(MisuseKind::Include, entry.span, router);
            }
            return false;
        }
        let wrapper = unwrapped.and_then(|unwrapped| {
            let wrapper = unwrapped.wrappers.into_iter().next()?;
            match &wrapper.data {
                Data::Call(call) => Some((call.function.data.symbol(), wrapper.span)),
                _ => None,
            }
        });
        let nested = inner.is_some();
        self.levels.push(Level {
            function,
            called,
            pattern,
            span,
            endpoint: !nested || wrapper.is_some(),
            wrapper: wrapper.filter(|_| nested),
            regex: Arc::default(),
        });
        let complete = match inner {
            Some((inner, at)) => self.router(&inner, at, sure),
            None => {
                self.routes.push(Route {
                    levels: self.levels.clone(),
                    connect: connect(self.program, view.as_ref()),
                    consumer: view,
                    place: call.places.get(1).copied().unwrap_or(entry.span),
                    span: entry.span,
                    application: self.application,
                    certain: sure,
                });
                true
            }
        };
        self.levels.pop();
        complete
    }
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

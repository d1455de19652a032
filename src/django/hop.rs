//! Django as a hop: what it answers to a handshake.
//!
//! Where the handshake arrives as a WebSocket: what the application object that the command names
//! makes of it, its origin validators (403), its routes (a path that none takes raises ValueError
//! in Channels, which every server answers with 500) and its consumer. Where it arrives as plain
//! HTTP: 500 if SECURE_PROXY_SSL_HEADER is no pair, 400 for a host that ALLOWED_HOSTS does not
//! hold, 301 to itself if SecurityMiddleware takes it for insecure, else what the URLconf says.

mod faults;
mod http;

pub use faults::{Fault, Hits, find as faults};

use std::rc::Rc;

use super::checks::channel_layer::is_broken;
use super::checks::routing::fails_when_called;
use super::command::{Command, Program};
use super::consumer::{Connect, Consumer, Never, class_of};
use super::data::{Data, Possible, certain};
use super::objects::Object;
use super::origin;
use super::root_path;
use super::routes::{Application, WebSocket, is_a};
use super::servers::without_library;
use super::settings::Settings;
use super::{Arrival, Model};
use crate::handshake::{Because, Entrance, Hop, Outcome, Passage, Request, Takes, has_token};
use crate::project::Project;
use crate::source::Span;

/// One Django application under one settings module.
#[derive(Debug)]
pub struct Django<'a> {
    /// The project.
    pub project: &'a Project,
    /// The model.
    pub model: &'a Model,
    /// The settings that it runs with.
    pub settings: &'a Settings,
    /// The commands that start it here.
    pub servers: Vec<&'a Command>,
    /// Whether it is started by known commands elsewhere, and here by none.
    pub is_started_elsewhere: bool,
    /// The certain [faults] of the project's applications.
    pub faults: Rc<[Fault]>,
}

impl<'a> Django<'a> {
    /// The application of `settings`, however it is started.
    pub fn new(
        project: &'a Project,
        model: &'a Model,
        settings: &'a Settings,
        faults: Rc<[Fault]>,
    ) -> Self {
        let home = model.home(project, settings.source);
        Self {
            servers: model.servers(project, home),
            is_started_elsewhere: false,
            project,
            model,
            settings,
            faults,
        }
    }
}

impl Hop for Django<'_> {
    fn layer(&self) -> &'static str {
        "django"
    }

    fn is_application(&self) -> bool {
        true
    }

    fn place(&self) -> Span {
        Span::new(self.settings.source, 0..0)
    }

    fn entrances(&self) -> Vec<Entrance> {
        // A host that Django lets in, for who asks by a path alone.
        let host = origin::allowed_hosts(self.settings, false)
            .and_then(|hosts| {
                let plain = hosts.iter().map(|host| host.trim_start_matches('.'));
                plain
                    .filter(|host| !host.contains(['*', '/', ':']) && !host.is_empty())
                    .map(str::to_owned)
                    .next()
            })
            .unwrap_or_default();
        let mut entrances: Vec<Entrance> = self
            .servers
            .iter()
            .map(|command| Entrance {
                tls: command.ends_tls(),
                host: host.clone(),
                port: command.port().unwrap_or(8000),
                span: command.span,
            })
            .collect();
        if entrances.is_empty() && !self.is_started_elsewhere {
            entrances.push(Entrance {
                tls: false,
                host,
                port: 8000,
                span: self.place(),
            });
        }
        entrances
    }

    fn takes(&self, tls: bool, _host: &str, port: u16) -> Takes {
        let here = |entrance: Entrance| entrance.tls == tls && entrance.port == port;
        if self.entrances().into_iter().any(here) {
            Takes::ByDefault
        } else {
            Takes::No
        }
    }

    fn receive(&self, request: &Request) -> Passage {
        let Some(command) = self.command(request) else {
            return self.without_command(request);
        };
        let mut because = vec![Because {
            span: command.span,
            message: match &command.target {
                Some(target) => format!("{} starts `{}`", command.program.name(), target.text),
                None => format!("{} starts it", command.program.name()),
            },
        }];
        let passage = self.start(command, request);
        because.extend(passage.because);
        Passage { because, ..passage }
    }
}

fn undecided(why: &str, because: Vec<Because>) -> Passage {
    Passage {
        at: None,
        outcome: Outcome::Undecided {
            why: why.to_owned(),
        },
        because,
    }
}

fn answers(status: u16, because: Vec<Because>) -> Passage {
    ends(Some(status), because)
}

fn ends(status: Option<u16>, because: Vec<Because>) -> Passage {
    Passage {
        at: None,
        outcome: Outcome::Answers { status },
        because,
    }
}

/// Whether a request asks for a WebSocket.
fn is_handshake(request: &Request) -> bool {
    let has = |name: &str, token: &str| {
        request.lines(name).any(|line| {
            line.value
                .known()
                .is_some_and(|value| has_token(value, token))
        })
    };
    has("upgrade", "websocket") && has("connection", "upgrade")
}

impl<'a> Django<'a> {
    fn home(&self) -> &'a str {
        self.model.home(self.project, self.settings.source)
    }

    /// The command that takes the request: of those that listen at its port, or of all, one that
    /// serves WebSockets if any does.
    fn command(&self, request: &Request) -> Option<&'a Command> {
        let mut servers = self.servers.clone();
        let here = |command: &&Command| command.port() == Some(request.port);
        if servers.iter().any(here) {
            servers.retain(|command| here(command));
        }
        let first = servers.first().copied();
        let serves = |command: &&Command| match self.model.object(command) {
            Some(Object::Wsgi(_)) => false,
            Some(_) => command.speaks_asgi(),
            None => command.serves_websockets(),
        };
        servers.into_iter().find(serves).or(first)
    }

    fn without_command(&self, request: &Request) -> Passage {
        if !is_handshake(request) {
            return self.as_http(request, Vec::new());
        }
        undecided(
            "no server command shows how the handshake reaches Django",
            Vec::new(),
        )
    }

    /// What becomes of the request in the server that `command` starts.
    fn start(&self, command: &Command, request: &Request) -> Passage {
        let object = self.model.object(command);
        let here = |span, message: &str| {
            vec![Because {
                span,
                message: message.to_owned(),
            }]
        };
        match (command.speaks_asgi(), object) {
            (false, Some(Object::Application(at))) if command.program == Program::Gunicorn => {
                let span = self.model.applications[at].span;
                return answers(
                    500,
                    here(span, "an ASGI application, which a WSGI worker can't call"),
                );
            }
            (false, Some(Object::Asgi(span))) if command.program == Program::Gunicorn => {
                return answers(
                    500,
                    here(span, "an ASGI application, which a WSGI worker can't call"),
                );
            }
            // hypercorn serves a WSGI application, and closes its WebSockets.
            (true, Some(Object::Wsgi(span)))
                if command.program == Program::Hypercorn && is_handshake(request) =>
            {
                return answers(
                    403,
                    here(span, "a WSGI application, which takes no WebSocket"),
                );
            }
            (true, Some(Object::Wsgi(span))) if command.program != Program::Hypercorn => {
                return answers(
                    500,
                    here(span, "a WSGI application, which an ASGI server can't call"),
                );
            }
            _ => {}
        }
        if !is_handshake(request) {
            let upgrades = request
                .lines("upgrade")
                .any(|line| line.value.may(|value| has_token(value, "websocket")));
            if command.program == Program::Daphne && upgrades {
                return answers(
                    400,
                    here(
                        command.span,
                        "daphne refuses `Upgrade: websocket` without `Connection: Upgrade`",
                    ),
                );
            }
            return self.as_http(request, Vec::new());
        }
        if !command.speaks_asgi() {
            let because = here(
                command.span,
                &format!(
                    "{}{} hands every handshake to Django as a plain HTTP request",
                    command.program.name(),
                    command.worker(),
                ),
            );
            return self.as_http(request, because);
        }
        let installed = self.model.installed(self.home());
        if let Some(Arrival::Http { because, how, sure }) =
            without_library(command, &installed.websocket_library())
        {
            let because = here(because, &how);
            return if sure {
                self.as_http(request, because)
            } else {
                undecided(
                    "whether uvicorn finds a WebSocket library is not in the files",
                    because,
                )
            };
        }
        let below;
        let request = match command.option(&["--root-path"]) {
            None | Some("") => request,
            Some(root) => match root_path::routed(command, &installed, root, &request.path) {
                Err(why) => return undecided(why, here(command.span, "it runs below a path")),
                Ok(None) => {
                    let why = format!(
                        "runs below `{root}`, with which the path does not begin: Channels finds no route"
                    );
                    return answers(500, here(command.span, &why));
                }
                Ok(Some(path)) => {
                    below = Request {
                        path,
                        ..request.clone()
                    };
                    &below
                }
            },
        };
        match object {
            Some(Object::Application(at)) => self.as_websocket(at, request),
            Some(Object::Asgi(span)) => answers(
                500,
                here(
                    span,
                    "Django's own application takes HTTP alone: it raises ValueError",
                ),
            ),
            _ => {
                let home = self.home();
                let mut applications =
                    (0..)
                        .zip(&self.model.applications)
                        .filter(|(_, application)| {
                            self.model.home(self.project, application.source) == home
                        });
                match (applications.next(), applications.next()) {
                    (Some((at, _)), None) => self.as_websocket(at, request),
                    _ => undecided("the files show no single ASGI application", Vec::new()),
                }
            }
        }
    }

    /// What the application answers, faults that keep it from that among it.
    fn as_websocket(&self, at: usize, request: &Request) -> Passage {
        let (passage, reached) = self.answer(at, request);
        for fault in faults::of(&self.faults, self.home()) {
            let hit = match (fault.hits, reached) {
                (Hits::Everything, _) => Some(true),
                (_, Reached::Nothing) => Some(false),
                (Hits::Consumers, Reached::Consumer(_) | Reached::Denier) => Some(true),
                (Hits::LayerUsers, Reached::Denier) => Some(false),
                (Hits::LayerUsers, Reached::Consumer(target)) => self.uses_layer(target),
                (_, Reached::Unknown) => None,
            };
            let mut because = passage.because.clone();
            because.push(Because {
                span: fault.span,
                message: fault.message.clone(),
            });
            match hit {
                Some(true) => return ends(fault.status, because),
                Some(false) => {}
                None => {
                    return undecided(
                        "whether this consumer uses the channel layer is not followed",
                        because,
                    );
                }
            }
        }
        // What the settings may still be: a layer that no consumer can make, or none for one that needs it.
        let setting = self.settings.get("CHANNEL_LAYERS");
        let needs = match reached {
            Reached::Nothing => return passage,
            Reached::Consumer(target) => self.uses_layer(target) == Some(true),
            _ => false,
        };
        let fails =
            |layers: &&Possible| is_broken(layers) || needs && layers.data.truth() == Some(false);
        if setting.certain().is_none()
            && let Some(broken) = setting.values.iter().find(fails)
        {
            let mut because = passage.because;
            because.push(Because {
                span: broken.span,
                message: "no channel layer that a consumer could make".to_owned(),
            });
            return undecided(
                "which channel layer it runs with is not in the files",
                because,
            );
        }
        passage
    }

    /// Whether a consumer uses the channel layer before it accepts.
    fn uses_layer(&self, target: &Possible) -> Option<bool> {
        let class = class_of(target)?;
        let is_it = |consumer: &&Consumer| {
            consumer.name == class.name && consumer.span.source == class.source
        };
        let consumer = self.model.consumers.iter().find(is_it)?;
        if consumer.needs_layer.is_some() {
            return Some(true);
        }
        consumer.needs_none.then_some(false)
    }

    /// What the application answers by itself, and what the handshake reaches in it.
    fn answer(&self, at: usize, request: &Request) -> (Passage, Reached<'a>) {
        let application = &self.model.applications[at];
        let here = |message: &str| {
            vec![Because {
                span: application.span,
                message: message.to_owned(),
            }]
        };
        match application.websocket {
            WebSocket::Nothing => {
                let because = here("no application for the scope type `websocket`");
                return (answers(500, because), Reached::Nothing);
            }
            WebSocket::Django => {
                let because =
                    here("Django's own application takes HTTP alone: it raises ValueError");
                return (answers(500, because), Reached::Nothing);
            }
            _ => {}
        }
        let mut because = Vec::new();
        if let Some(passage) = self.guards(application, request, &mut because) {
            let reached = match passage.outcome {
                Outcome::Answers { status: Some(403) } => Reached::Denier,
                Outcome::Answers { .. } => Reached::Nothing,
                _ => Reached::Unknown,
            };
            return (passage, reached);
        }
        let (mut passage, reached) = match application.websocket {
            WebSocket::Everything => {
                let span = application
                    .target
                    .as_ref()
                    .map_or(application.span, |target| target.span);
                let because = vec![Because {
                    span,
                    message: "takes every path".to_owned(),
                }];
                let reached = match &application.target {
                    Some(target) => Reached::Consumer(target),
                    None => Reached::Unknown,
                };
                (connected(&application.connect, because), reached)
            }
            WebSocket::Routed => self.route(at, request, here("this application")),
            WebSocket::Unknown | WebSocket::Nothing | WebSocket::Django => {
                let because = here("this application");
                let passage = undecided("what takes a WebSocket can't be followed", because);
                (passage, Reached::Unknown)
            }
        };
        because.append(&mut passage.because);
        (Passage { because, ..passage }, reached)
    }

    /// What the validators before the routes answer, if they do not let it through.
    fn guards(
        &self,
        application: &Application,
        request: &Request,
        because: &mut Vec<Because>,
    ) -> Option<Passage> {
        for wrapper in &application.wrappers {
            let Data::Call(call) = &wrapper.data else {
                continue;
            };
            let hosts = call.function.data.symbol()
                == "channels.security.websocket.AllowedHostsOriginValidator";
            let (patterns, span): (Option<Vec<String>>, _) = if hosts {
                let setting = self.settings.get("ALLOWED_HOSTS");
                let span = setting.certain().map_or(wrapper.span, |value| value.span);
                (origin::allowed_hosts(self.settings, true), span)
            } else if is_a(&call.function.data, "OriginValidator") {
                let list = call
                    .argument(1, "allowed_origins")
                    .and_then(|values| certain(values));
                let span = list.map_or(wrapper.span, |list| list.span);
                let entries = list.and_then(|list| origin::entries(&list.data, true));
                let entries = entries.map(|entries| {
                    entries
                        .into_iter()
                        .map(|(entry, _)| entry.to_owned())
                        .collect()
                });
                (entries, span)
            } else {
                continue;
            };
            let Some(patterns) = patterns else {
                because.push(Because {
                    span: wrapper.span,
                    message: "lets in only some origins".to_owned(),
                });
                return Some(undecided(
                    "which origins the validator lets in is not in the files",
                    std::mem::take(because),
                ));
            };
            // The last line counts (channels/security/websocket.py, __call__).
            let sent = match request.lines("origin").last() {
                None => None,
                Some(line) => match line.value.known() {
                    Some(origin) => Some(origin.as_str()),
                    None => {
                        return Some(undecided(
                            "the Origin that arrives is unknown",
                            std::mem::take(because),
                        ));
                    }
                },
            };
            match origin::validates(patterns.iter().map(String::as_str), sent) {
                Some(true) => {}
                Some(false) => {
                    because.push(Because {
                        span,
                        message: format!(
                            "lets in no page of the origin `{}`: closed before it opens, which is 403",
                            sent.unwrap_or("(none)")
                        ),
                    });
                    return Some(answers(403, std::mem::take(because)));
                }
                None => {
                    because.push(Because {
                        span,
                        message: "an entry is no valid origin: ValueError".to_owned(),
                    });
                    return Some(answers(500, std::mem::take(because)));
                }
            }
        }
        None
    }

    fn route(
        &self,
        application: usize,
        request: &Request,
        here: Vec<Because>,
    ) -> (Passage, Reached<'a>) {
        let mut open = false;
        let routes = self
            .model
            .routes
            .iter()
            .filter(|route| route.application == application);
        for route in routes {
            match route.matches(&request.path) {
                Some(true) if route.certain => {
                    let mut because = vec![Because {
                        span: route.span,
                        message: format!("`{}` takes it", route.pattern()),
                    }];
                    if let Some((at, status)) = fails_when_called(self.project, self.model, route) {
                        because.push(Because {
                            span: at,
                            message: match status {
                                Some(_) => "no application: calling it raises TypeError",
                                None => "consumers have no such method: nothing starts",
                            }
                            .to_owned(),
                        });
                        return (ends(status, because), Reached::Nothing);
                    }
                    let reached = match &route.consumer {
                        Some(target) => Reached::Consumer(target),
                        None => Reached::Unknown,
                    };
                    return (connected(&route.connect, because), reached);
                }
                Some(false) => {}
                _ => open = true,
            }
        }
        if open {
            let passage = undecided("a route that can't be followed may take it", here);
            return (passage, Reached::Unknown);
        }
        let span = here.first().map(|first| first.span);
        let because = span.map(|span| Because {
            span,
            message: "no route takes this path: Channels raises ValueError".to_owned(),
        });
        (
            answers(500, because.into_iter().collect()),
            Reached::Nothing,
        )
    }
}

/// What a handshake reaches in an application.
#[derive(Clone, Copy)]
enum Reached<'a> {
    /// Nothing that makes a channel layer.
    Nothing,
    /// What serves its route.
    Consumer(&'a Possible),
    /// The consumer with which a validator refuses (channels/security/websocket.py).
    Denier,
    /// The files do not say.
    Unknown,
}

/// What a consumer answers.
fn connected(connect: &Connect, mut because: Vec<Because>) -> Passage {
    match connect {
        Connect::Accepts | Connect::Unknown => answers(101, because),
        Connect::Never { at, why } => {
            because.push(Because {
                span: *at,
                message: match why {
                    Never::OnPurpose { .. } => "refuses every handshake",
                    _ => "never accepts the handshake",
                }
                .to_owned(),
            });
            ends(why.status(), because)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{Browser, Header as Line};
    use crate::value::Value;

    fn status(files: &[(&str, &str)], path: &str, forwarded: Option<&str>) -> Option<u16> {
        let project = Project::in_memory(files.iter().copied()).unwrap();
        let model = Model::resolve(&project);
        let settings = model.production().next().unwrap();
        let django = Django::new(&project, &model, settings, Rc::from([]));
        let mut request = Request::handshake(Browser::Chrome, false, "example.com", 80, path);
        request.headers.extend(forwarded.map(|value| Line {
            name: "X-Forwarded-Proto".into(),
            value: Value::Known(value.into()),
            from: None,
        }));
        match django.receive(&request).outcome {
            Outcome::Answers { status } => status,
            _ => None,
        }
    }

    #[test]
    fn it_answers_as_the_servers_did() {
        let settings = |header: &str| {
            format!(
                "ROOT_URLCONF = 'p.urls'\nALLOWED_HOSTS = ['*']\nMIDDLEWARE = ['django.middleware.security.SecurityMiddleware']\n\
                 SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = {header}\n"
            )
        };
        let right = settings("('HTTP_X_FORWARDED_PROTO', 'https')");
        let broken = settings("('HTTP_X_FORWARDED_PROTO')");
        let exempt = format!("{right}SECURE_REDIRECT_EXEMPT = [r'^ws/']\n");
        let asgi = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.urls import path\n\
            application = ProtocolTypeRouter({'websocket': URLRouter([path('ws/', None)])})\n";
        let wsgi = ("Procfile", "web: gunicorn p.wsgi --bind 0.0.0.0:80\n");
        let daphne = ("Procfile", "web: daphne p.asgi:application\n");
        for (settings, server, path, forwarded, expected) in [
            (&right, daphne, "/ws/", None, Some(101)),
            (&right, daphne, "/other/", None, Some(500)),
            (&broken, daphne, "/ws/", None, Some(101)),
            (&right, wsgi, "/ws/", None, Some(301)),
            (&right, wsgi, "/ws/", Some("wss"), Some(301)),
            (&right, wsgi, "/ws/", Some("https, http"), None),
            (&broken, wsgi, "/ws/", Some("https"), Some(500)),
            (&exempt, wsgi, "/ws/", None, None),
            (&exempt, wsgi, "/other/", None, Some(301)),
        ] {
            let files = [
                ("p/settings.py", settings.as_str()),
                ("p/asgi.py", asgi),
                ("p/wsgi.py", "x"),
                server,
            ];
            assert_eq!(
                status(&files, path, forwarded),
                expected,
                "{server:?} {path} {forwarded:?}"
            );
        }
        // Nothing that could be called stands behind the route.
        let uncalled = asgi.replace("None", "Chat.as_asgi");
        let uncalled = format!(
            "from channels.generic.websocket import WebsocketConsumer\nclass Chat(WebsocketConsumer): pass\n{uncalled}"
        );
        for (asgi, expected) in [
            (uncalled.clone(), Some(500)),
            (uncalled.replace("as_asgi", "as_asgi()"), Some(101)),
        ] {
            let files = [
                ("p/settings.py", right.as_str()),
                ("p/asgi.py", asgi.as_str()),
                daphne,
            ];
            assert_eq!(status(&files, "/ws/", None), expected, "{asgi}");
        }
    }

    #[test]
    fn every_layer_of_an_application_has_its_answer() {
        let head = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.urls import path\n\
            from django.core.asgi import get_asgi_application\nfrom django.core.wsgi import get_wsgi_application\n\
            from channels.security.websocket import AllowedHostsOriginValidator, OriginValidator\n\
            from channels.generic.websocket import WebsocketConsumer, AsyncWebsocketConsumer\n\
            class C(WebsocketConsumer): pass\n\
            class Mute(WebsocketConsumer):\n    def connect(self):\n        self.room = 'a'\n\
            class Wrong(AsyncWebsocketConsumer):\n    def connect(self):\n        self.accept()\n\
            routes = [path('ws/', C.as_asgi()), path('mute/', Mute.as_asgi()), path('wrong/', Wrong.as_asgi())]\n";
        let routed = "application = ProtocolTypeRouter({'http': get_asgi_application(), 'websocket': URLRouter(routes)})";
        let daphne = "web: daphne p.asgi:application\n";
        let gunicorn = "web: gunicorn p.asgi --bind 0.0.0.0:80\n";
        let validated =
            |by: &str| format!("application = ProtocolTypeRouter({{'websocket': {by}}})");
        let open = "ALLOWED_HOSTS = ['*']\n";
        for (settings, asgi, procfile, path, expected) in [
            (open, routed, daphne, "/ws/", "101"),
            (open, routed, daphne, "/mute/", "none"),
            (open, routed, daphne, "/wrong/", "500"),
            (open, routed, daphne, "/", "500"),
            (
                open,
                "application = get_asgi_application()",
                daphne,
                "/ws/",
                "500",
            ),
            (
                open,
                "application = ProtocolTypeRouter({'websocket': get_asgi_application()})",
                daphne,
                "/ws/",
                "500",
            ),
            (
                open,
                "application = get_wsgi_application()",
                daphne,
                "/ws/",
                "500",
            ),
            (
                open,
                "application = get_wsgi_application()",
                "web: hypercorn p.asgi:application\n",
                "/ws/",
                "403",
            ),
            (open, routed, gunicorn, "/ws/", "500"),
            (
                open,
                "application = get_wsgi_application()",
                gunicorn,
                "/other/",
                "404",
            ),
            (
                "ALLOWED_HOSTS = ['a.example']\n",
                "application = get_wsgi_application()",
                gunicorn,
                "/ws/",
                "400",
            ),
            (
                "ALLOWED_HOSTS = ['a.example']\n",
                &validated("AllowedHostsOriginValidator(URLRouter(routes))"),
                daphne,
                "/ws/",
                "403",
            ),
            (
                "ALLOWED_HOSTS = ['.example.com']\n",
                &validated("AllowedHostsOriginValidator(URLRouter(routes))"),
                daphne,
                "/ws/",
                "101",
            ),
            (
                "import os\nALLOWED_HOSTS = os.environ['HOSTS'].split(',')\n",
                &validated("AllowedHostsOriginValidator(URLRouter(routes))"),
                daphne,
                "/ws/",
                "undecided",
            ),
            (
                open,
                &validated("OriginValidator(URLRouter(routes), ['wss://example.com'])"),
                daphne,
                "/ws/",
                "403",
            ),
            (
                open,
                "async def application(scope, receive, send):\n    if scope['type'] == 'websocket':\n        await sockets(scope, receive, send)\n\
                 sockets = URLRouter(routes)",
                daphne,
                "/ws/",
                "101",
            ),
            (
                open,
                "django = get_asgi_application()\nasync def application(scope, receive, send):\n    if scope['type'] == 'http':\n        await django(scope, receive, send)\n    else:\n        raise NotImplementedError",
                daphne,
                "/ws/",
                "500",
            ),
        ] {
            let settings = format!(
                "ROOT_URLCONF = 'p.urls'\nMIDDLEWARE = ['django.middleware.common.CommonMiddleware']\n{settings}"
            );
            let asgi = format!("{head}{asgi}\n");
            let files = [
                ("p/settings.py", settings.as_str()),
                ("p/asgi.py", asgi.as_str()),
                (
                    "p/urls.py",
                    "from django.urls import path\nurlpatterns = [path('admin/', x)]\n",
                ),
                ("Procfile", procfile),
            ];
            let project = Project::in_memory(files).unwrap();
            let model = Model::resolve(&project);
            let settings = model.production().next().unwrap();
            let django = Django::new(&project, &model, settings, Rc::from([]));
            let request = Request::handshake(Browser::Chrome, false, "example.com", 80, path);
            let passage = django.receive(&request);
            let answered = match &passage.outcome {
                Outcome::Answers {
                    status: Some(status),
                } => status.to_string(),
                Outcome::Answers { status: None } => "none".to_owned(),
                _ => "undecided".to_owned(),
            };
            assert_eq!(answered, expected, "{asgi} {procfile} {path}: {passage:?}");
        }
    }
}

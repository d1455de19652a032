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

use std::sync::Arc;

use super::checks::channel_layer::is_broken;
use super::checks::routing::fails_when_called;
use super::command::{Command, Program};
use super::consumer::{Connect, Never, class_of};
use super::data::{Data, Origin, Possible, certain};
use super::objects::Object;
use super::origin;
use super::root_path;
use super::routes::{Application, WebSocket, is_a};
use super::servers::without_library;
use super::settings::Settings;
use super::{Arrival, Model, Mount};
use crate::handshake::{Because, Entrance, Hop, Outcome, Passage, Request, Takes, has_token};
use crate::project::Project;
use crate::source::{Kind, Source, Span};

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
    /// Its certain [faults].
    pub faults: Arc<[Fault]>,
}

impl<'a> Django<'a> {
    /// The application of `settings`, however it is started.
    pub fn new(
        project: &'a Project,
        model: &'a Model,
        settings: &'a Settings,
        faults: Arc<[Fault]>,
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

    fn may_read(&self, source: &Source) -> bool {
        match source.kind {
            Kind::Nginx | Kind::Caddyfile => false,
            _ => {
                let own = self.model.home(self.project, self.settings.source);
                !self.model.are_apart(self.project, own, source)
            }
        }
    }

    fn entrances(&self) -> Vec<Entrance> {
        // A host that Django lets in, for who asks by a path alone.
        let is_known = |origin: &Origin| !matches!(origin, Origin::Hidden(_));
        let host = origin::allowed_hosts(self.settings, true)
            .filter(|_| self.hosts_from().iter().all(is_known))
            .and_then(|hosts| {
                let plain = hosts.iter().map(|host| host.trim_start_matches('.'));
                let plain =
                    plain.filter(|host| !host.contains(['*', '/', ':']) && !host.is_empty());
                // One that clients ask for comes before those of a developer's machine.
                let is_public =
                    |host: &str| host.contains('.') && host.parse::<std::net::IpAddr>().is_err();
                let host = plain.clone().find(|host| is_public(host));
                host.or_else(|| plain.clone().next()).map(str::to_owned)
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

/// Whether the server takes away the headers by which proxies tell of the client, as waitress does
/// with all that no trusted proxy sends (waitress/adjustments.py `clear_untrusted_proxy_headers`).
fn clears_forwarded(command: &Command) -> bool {
    command.program == Program::Waitress
        && command.option(&["--trusted-proxy"]).is_none()
        && !command.flag("--no-clear-untrusted-proxy-headers")
}

/// What the routes of another framework decide.
fn foreign(span: Span) -> Passage {
    undecided(
        "an application of another framework takes this path, and its routes are not followed",
        vec![Because {
            span,
            message: "routes by its own rules".to_owned(),
        }],
    )
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

    /// The command that takes the request: of those that listen at its port or socket, or of all,
    /// one that serves WebSockets if any does.
    fn command(&self, request: &Request) -> Option<&'a Command> {
        let mut servers = self.servers.clone();
        let here = |command: &&Command| match &request.socket {
            Some(socket) => command.socket() == Some(socket),
            None => command.port() == Some(request.port),
        };
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

    /// Where nothing shows how it is started: what no ASGI server opens is lost anyway.
    fn without_command(&self, request: &Request) -> Passage {
        if let Some(passage) = self.mounted(None, request) {
            return passage;
        }
        if !is_handshake(request) {
            return self.as_http(request, Vec::new());
        }
        match self.model.only_application(self.project, self.home()) {
            Some(at) if !self.is_started_elsewhere => {
                let mut passage = self.as_websocket(at, request);
                let message =
                    "no command of an ASGI server is in the files: taken to be started by one";
                let span = self.model.applications[at].span;
                passage.because.insert(
                    0,
                    Because {
                        span,
                        message: message.to_owned(),
                    },
                );
                passage
            }
            _ => undecided(
                "no server command shows how the handshake reaches Django",
                Vec::new(),
            ),
        }
    }

    /// What ALLOWED_HOSTS does with something ([`origin::allows`]). A default counts only where no
    /// deployment supplies the variable.
    fn allows<T: PartialEq>(
        &self,
        tell: impl Fn(&[String]) -> T,
        enough: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let is_hidden = |origin: &Origin| matches!(origin, Origin::Hidden(_));
        match self.hosts_from().iter().any(is_hidden) {
            true => None,
            false => origin::allows(self.settings, tell, enough),
        }
    }

    /// Where what ALLOWED_HOSTS holds comes from.
    fn hosts_from(&self) -> Vec<Origin> {
        let setting = self.settings.get("ALLOWED_HOSTS");
        setting.values.iter().map(Possible::source).collect()
    }

    /// Where the deployment says what ALLOWED_HOSTS holds, if that decides.
    fn supplied_hosts(&self) -> Option<Because> {
        self.hosts_from()
            .into_iter()
            .find_map(|origin| match origin {
                Origin::Supplied(name, span) => Some(Because {
                    span,
                    message: format!("sets {name}, from which ALLOWED_HOSTS is made"),
                }),
                _ => None,
            })
    }

    /// Why it is not known what ALLOWED_HOSTS holds.
    fn unknown_hosts(&self, what: &str) -> String {
        let mut variables = self
            .hosts_from()
            .into_iter()
            .filter_map(|origin| match origin {
                Origin::Hidden(name) | Origin::Default(name) => Some(name),
                _ => None,
            });
        match variables.next() {
            Some(name) => {
                format!(
                    "{what} is not in the files: ALLOWED_HOSTS is what the variable {name} says"
                )
            }
            None => format!("{what} is not in the files"),
        }
    }

    /// What an application of another framework, in which Django's is mounted, may answer itself.
    fn mounted(&self, command: Option<&Command>, request: &Request) -> Option<Passage> {
        let mount = self.model.mount(self.project, command, self.home())?;
        let below = command.is_some_and(|command| command.option(&["--root-path"]).is_some());
        (below || mount.may_take(&request.path)).then(|| foreign(mount.span))
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
        let cleared;
        let request = match clears_forwarded(command) {
            true => {
                let mut clear = request.clone();
                clear.headers.retain(|header| {
                    let name = header.name.to_ascii_lowercase();
                    name != "forwarded" && !name.starts_with("x-forwarded-")
                });
                cleared = clear;
                &cleared
            }
            false => request,
        };
        match (command.speaks_asgi(), object) {
            (false, _) if command.is_configured_elsewhere() || command.has_own_worker() => {
                return undecided(
                    "a configuration or a worker class that is not in the files decides how it serves",
                    here(command.span, "says where"),
                );
            }
            (false, _) if command.program == Program::Granian && command.may_speak_asgi() => {
                return undecided(
                    "granian calls by `rsgi`, which Django does not speak, unless `--interface` or GRANIAN_INTERFACE says `asgi`",
                    here(command.span, "names no interface that Django speaks"),
                );
            }
            (false, Some(object @ (Object::Application(_) | Object::Asgi(_))))
                if command.program != Program::Runserver =>
            {
                let span = match object {
                    Object::Application(at) => self.model.applications[at].span,
                    Object::Asgi(span) | Object::Wsgi(span) => span,
                };
                let because = here(span, "an ASGI application, which a WSGI server can't call");
                // uwsgi closes the connection without an answer.
                let status = (command.program != Program::Uwsgi).then_some(500);
                return ends(status, because);
            }
            // hypercorn serves a WSGI application, and closes its WebSockets; granian closes them as it
            // does where any application fails.
            (true, Some(Object::Wsgi(span)))
                if matches!(command.program, Program::Hypercorn | Program::Granian)
                    && !command.flag("--no-ws")
                    && is_handshake(request) =>
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
        if let Some(unloadable) = self.model.unloadable(command) {
            return ends(None, here(command.span, &unloadable.why));
        }
        if let Some(passage) = self.mounted(Some(command), request) {
            return passage;
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
        let request = match command.option(&["--root-path", "--url-path-prefix"]) {
            None | Some("") => request,
            Some(root) => match root_path::routed(command, &installed, root, &request.path) {
                Err(why) => return undecided(why, here(command.span, "it runs below a path")),
                Ok(None) => {
                    let why = format!(
                        "runs below `{root}`, with which the path does not begin: Channels finds no route"
                    );
                    // A validator stands before the routes.
                    let at = match object {
                        Some(Object::Application(at)) => Some(at),
                        _ => self.model.only_application(self.project, self.home()),
                    };
                    let mut because = here(command.span, &why);
                    let application = at.map(|at| &self.model.applications[at]);
                    let refused =
                        application.and_then(|own| self.guards(own, request, &mut because));
                    return refused.unwrap_or_else(|| answers(500, because));
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
            _ => match self.model.only_application(self.project, self.home()) {
                Some(at) => self.as_websocket(at, request),
                None => undecided("the files show no single ASGI application", Vec::new()),
            },
        }
    }

    /// What the application answers, faults that keep it from that among it.
    fn as_websocket(&self, at: usize, request: &Request) -> Passage {
        let (passage, reached) = self.answer(at, request);
        for fault in self.faults.iter() {
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
        let broken = setting.values.iter().find(fails);
        if let Some(broken) = broken
            && setting.reopened.is_none()
            && setting.values.iter().all(|layers| fails(&layers))
        {
            let mut because = passage.because;
            because.push(Because {
                span: broken.span,
                message: "no channel layer that a consumer could make".to_owned(),
            });
            return answers(500, because);
        }
        if broken.is_some() || needs && setting.certain().is_none() {
            let mut because = passage.because;
            because.extend(broken.map(|broken| Because {
                span: broken.span,
                message: "no channel layer that a consumer could make".to_owned(),
            }));
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
        let consumer = self.model.consumer(&class)?;
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
                let passage = match &application.target {
                    Some(target) if !self.accepts(target) => {
                        undecided("what this function answers is not followed", because)
                    }
                    _ => connected(&application.connect, because),
                };
                (passage, reached)
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
            let (entries, span): (Option<Vec<String>>, _) = if hosts {
                let setting = self.settings.get("ALLOWED_HOSTS");
                (
                    None,
                    setting.certain().map_or(wrapper.span, |value| value.span),
                )
            } else if is_a(&call.function.data, "OriginValidator") {
                let list = call
                    .argument(1, "allowed_origins")
                    .and_then(|values| certain(values));
                let span = list.map_or(wrapper.span, |list| list.span);
                let entries = list.and_then(|list| origin::entries(&list.data, true));
                let entries = entries.map(|entries| {
                    let entries = entries.into_iter();
                    entries.map(|(entry, _)| entry.to_owned()).collect()
                });
                (entries, span)
            } else {
                continue;
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
            let tell = |list: &[String]| origin::validates(list.iter().map(String::as_str), sent);
            let told = match hosts {
                true => self.allows(tell, |allowed| *allowed == Some(true)),
                false => entries.map(|entries| tell(&entries)),
            };
            match told {
                None => {
                    because.push(Because {
                        span: wrapper.span,
                        message: "lets in only some origins".to_owned(),
                    });
                    let what = "which origins the validator lets in";
                    let why = match hosts {
                        true => self.unknown_hosts(what),
                        false => format!("{what} is not in the files"),
                    };
                    return Some(undecided(&why, std::mem::take(because)));
                }
                Some(Some(true)) => {}
                Some(Some(false)) => {
                    because.extend(self.supplied_hosts().filter(|_| hosts));
                    because.push(Because {
                        span,
                        message: format!(
                            "{} `{}`: closed before it opens, which is 403",
                            origin::REFUSED,
                            sent.unwrap_or("(none)")
                        ),
                    });
                    return Some(answers(403, std::mem::take(because)));
                }
                Some(None) => {
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

    /// Whether an application may be taken to accept: a function of the project's own does as it
    /// likes, unless it accepts and never looks at the path.
    fn accepts(&self, target: &Possible) -> bool {
        if !matches!(target.data, Data::Function(_)) {
            return true;
        }
        let text = self.project.slice(target.span);
        text.contains("websocket.accept") && !text.contains("path")
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
                    if let Some(mount) = route.consumer.as_ref().and_then(Mount::of) {
                        let mut passage = foreign(mount.span);
                        because.append(&mut passage.because);
                        return (Passage { because, ..passage }, Reached::Unknown);
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
                    Never::Refuses { .. } => "refuses every handshake",
                    Never::Raises(_) | Never::Queries(_) => "raises for every handshake",
                    _ => "never accepts the handshake",
                }
                .to_owned(),
            });
            ends(why.status(), because)
        }
    }
}

#[cfg(test)]
mod tests;

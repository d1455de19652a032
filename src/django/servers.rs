//! Which server commands start a Django application, and how a handshake arrives through them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::command::{Command, Program};
use super::modules::Modules;
use super::objects::Object;
use super::requirements::{Library, Requirements};
use super::routes::{Application, WebSocket};
use super::settings::Settings;
use super::{Arrival, Model, home};
use crate::project::Project;
use crate::source::{Kind, Source, SourceId, Span};

/// What a server's target names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A module of the Django application in this folder.
    Django(String),
    /// Modules of more than one application.
    Several,
    /// A module of the project that is none of Django's: another service.
    Other,
    /// No module of the project.
    Missing,
}

/// Calls that only an application of another framework makes.
const FOREIGN: &[&str] = &[
    "FastAPI(",
    "Starlette(",
    "Flask(",
    "Quart(",
    "Sanic(",
    "Litestar(",
];

/// What the target of each of these commands names, by that target.
pub(super) fn entries(
    project: &Project,
    modules: &Modules<'_>,
    applications: &[Application],
    commands: &[Command],
) -> BTreeMap<String, Entry> {
    let applications: HashSet<SourceId> = applications.iter().map(|own| own.source).collect();
    // A module may be none of the kinds that are read.
    let mut unread: HashMap<&str, Vec<&str>> = HashMap::new();
    for path in project.files.iter() {
        let Some(module) = path.strip_suffix(".py") else {
            continue;
        };
        let module = module.strip_suffix("/__init__").unwrap_or(module);
        let name = module.rsplit('/').next().unwrap_or(module);
        unread.entry(name).or_default().push(module);
    }
    let entry = |target: &str| {
        let module = target.split(':').next().unwrap_or_default();
        let named_for_it = module.ends_with("asgi") || module.ends_with("wsgi");
        let is_djangos = |source: &Source| {
            let has = |marks: &[&str]| marks.iter().any(|mark| source.text.contains(mark));
            applications.contains(&source.id)
                || has(&[
                    "get_asgi_application",
                    "get_wsgi_application",
                    "get_default_application",
                ])
                || (named_for_it && !has(FOREIGN))
        };
        let sources = modules.named(module);
        let homes: BTreeSet<&str> = sources
            .iter()
            .filter(|source| is_djangos(source))
            .map(|source| home(project, source))
            .collect();
        let is_there = || {
            let path = module.replace('.', "/");
            let name = path.rsplit('/').next().unwrap_or(&path);
            let mut alike = unread.get(name).into_iter().flatten();
            alike.any(|at| {
                at.strip_suffix(path.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
            })
        };
        match (homes.first(), homes.len()) {
            (Some(only), 1) => Entry::Django((*only).to_owned()),
            (Some(_), _) => Entry::Several,
            (None, _) if !sources.is_empty() || is_there() => Entry::Other,
            (None, _) => Entry::Missing,
        }
    };
    let targets: BTreeSet<&str> = commands
        .iter()
        .filter_map(|command| Some(command.target.as_ref()?.text.as_str()))
        .collect();
    targets
        .into_iter()
        .map(|target| (target.to_owned(), entry(target)))
        .collect()
}

/// Whether a command starts an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Starts {
    Yes,
    Perhaps,
    No,
}

/// Whether the servers of an application tell Django by themselves that a client used TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Https {
    /// Each of them ends TLS, or takes `X-Forwarded-Proto` for the scheme.
    Known,
    /// One of them does not.
    Unknown,
    /// A file that was not read decides, or whether a command is this application's is not to be
    /// told.
    Unclear,
    /// No server is known.
    NoServer,
}

impl Model {
    fn starts(&self, project: &Project, command: &Command, home: &str) -> Starts {
        let file = command.span.source;
        let concerns = || self.concerns(project.source(file).folder(), home);
        let sure = |yes: bool| if yes { Starts::Yes } else { Starts::No };
        let Some(target) = &command.target else {
            return sure(concerns());
        };
        match self.entries.get(&target.text) {
            Some(Entry::Django(entry)) => sure(entry == home),
            Some(Entry::Other) => Starts::No,
            Some(Entry::Several) => sure(concerns()),
            Some(Entry::Missing) | None if !concerns() => Starts::No,
            Some(Entry::Missing) | None => {
                // The module is not in the files (generated, ignored), but its package is the
                // application's, or the only command of this file runs with Django's settings.
                let package = target.text.split(['.', ':']).next().unwrap_or_default();
                let package = format!("/{package}/");
                let settings = self.settings_of(home).map(|settings| settings.source);
                let applications = self.applications_of(home).map(|(_, own)| own.source);
                let holds = settings
                    .chain(applications)
                    .map(|id| project.source(id))
                    .any(|source| format!("/{}/", source.folder()).contains(&package));
                let in_file = |span: Span| span.source == file;
                let with_settings = self
                    .environment
                    .settings
                    .iter()
                    .any(|word| in_file(word.span))
                    && self
                        .commands
                        .iter()
                        .filter(|other| in_file(other.span))
                        .count()
                        == 1;
                if holds || with_settings {
                    Starts::Yes
                } else {
                    Starts::Perhaps
                }
            }
        }
    }

    /// The commands that may start the application in `home`.
    pub(super) fn near(&self, home: &str) -> impl Iterator<Item = &Command> {
        let near = self.by_home.get(home).into_iter();
        near.flat_map(|home| &home.commands)
            .map(|at| &self.commands[*at])
    }

    /// Whether the command surely starts the application in `home`.
    pub fn is_started_by(&self, project: &Project, command: &Command, home: &str) -> bool {
        self.starts(project, command, home) == Starts::Yes
    }

    /// The commands that serve the application in `home`; those for developers only where there
    /// are no others.
    pub fn servers(&self, project: &Project, home: &str) -> Vec<&Command> {
        let Some(own) = self.by_home.get(home) else {
            return Vec::new();
        };
        let servers = own.servers.get_or_init(|| {
            let starts = |at: &usize| {
                let command = &self.commands[*at];
                command.program != Program::Runserver
                    && self.starts(project, command, home) == Starts::Yes
            };
            self.for_production(project, own.commands.iter().copied().filter(starts))
        });
        servers.iter().map(|at| &self.commands[*at]).collect()
    }

    /// Those for developers only where there are no others.
    fn for_production(
        &self,
        project: &Project,
        commands: impl Iterator<Item = usize>,
    ) -> Vec<usize> {
        let mut servers: Vec<usize> = commands.collect();
        let develops = |at: &usize| {
            let command = &self.commands[*at];
            command.flag("--reload") || is_developers(project, command)
        };
        if !servers.iter().all(develops) {
            servers.retain(|at| !develops(at));
        }
        servers
    }

    /// Whether some command serves the sockets of the application in `home`, or may.
    pub fn sockets_are_served(&self, project: &Project, home: &str) -> bool {
        let installed = self.installed(home);
        let library = installed.websocket_library();
        let takes = |command: &Command| {
            let object = match self.object(command) {
                Some(Object::Application(at)) => !matches!(
                    self.applications[at].websocket,
                    WebSocket::Nothing | WebSocket::Django
                ),
                Some(Object::Asgi(_) | Object::Wsgi(_)) => false,
                None => command.serves_websockets(),
            };
            command.may_speak_asgi()
                || object && command.speaks_asgi() && without_library(command, &library).is_none()
        };
        self.servers(project, home).into_iter().any(takes)
            || self
                .near(home)
                .any(|command| match self.starts(project, command, home) {
                    Starts::Yes => {
                        command.program == Program::Runserver && !is_developers(project, command)
                    }
                    Starts::Perhaps => command.speaks_asgi() || command.may_speak_asgi(),
                    Starts::No => false,
                })
    }

    /// What is installed for the application in `home`.
    pub fn installed(&self, home: &str) -> Requirements {
        self.by_home
            .get(home)
            .map(|home| home.installed.clone())
            .unwrap_or_default()
    }

    /// Whether anything shows that the application in `home` has to do with WebSockets, so that a
    /// guess about what stands before it is worth a warning.
    pub fn knows_websockets(&self, project: &Project, home: &str) -> bool {
        let config = &project.config;
        if config.edge.declared.is_some() || !config.endpoints.is_empty() {
            return true;
        }
        self.names_websockets.contains(home)
            || project.of_kind(Kind::Nginx).any(|source| {
                (source.text.contains("Upgrade") || source.text.contains("upgrade"))
                    && self.is_meant_in(source.folder(), home)
            })
            || self.installed(home).packages.iter().any(|package| {
                matches!(
                    package.name,
                    "channels" | "daphne" | "python-socketio" | "simple-websocket"
                )
            })
    }

    /// How a handshake reaches Django under `settings`: as a WebSocket if any server sees to it.
    pub fn arrival<'a>(&'a self, project: &Project, settings: &Settings) -> Arrival<'a> {
        let home = self.home(project, settings.source);
        let installed = self.installed(home);
        let library = installed.websocket_library();
        let mut uvicorn = None;
        let mut http = None;
        for command in self.servers(project, home) {
            if command.serves_websockets() {
                match without_library(command, &library) {
                    Some(arrival) => {
                        uvicorn.get_or_insert(arrival);
                        continue;
                    }
                    None => return Arrival::WebSocket(command),
                }
            }
            http.get_or_insert(Arrival::Http {
                because: command.span,
                how: format!(
                    "{}{} hands every handshake to Django as a plain HTTP request",
                    command.program.name(),
                    command.worker()
                ),
                sure: true,
            });
        }
        uvicorn.or(http).unwrap_or(Arrival::Unknown)
    }

    /// Whether the servers of the application know the client's scheme by themselves, so that
    /// Django sees `https` whatever its settings say.
    pub fn servers_know_https(&self, project: &Project, settings: &Settings) -> Https {
        self.servers_know_https_from(project, settings, false, None)
    }

    /// The same of requests that say `X-Forwarded-Proto`, and come from this very machine or from
    /// elsewhere, to the command that takes them if that is known.
    pub(crate) fn servers_know_https_from(
        &self,
        project: &Project,
        settings: &Settings,
        local: bool,
        taking: Option<&Command>,
    ) -> Https {
        let home = self.home(project, settings.source);
        let allowed = self
            .environment
            .forwarded_allow_ips
            .iter()
            .find(|word| self.may_concern(project.source(word.span.source).folder(), home))
            .map(|word| word.text.as_str());
        let knows = |command: &Command| {
            command.ends_tls()
                || command.trusts_forwarded_proto(allowed)
                || local && command.trusts_loopback()
        };
        let perhaps = self.commands.iter().any(|command| {
            command.program != Program::Runserver
                && self.starts(project, command, home) == Starts::Perhaps
                && (knows(command) || command.is_configured_elsewhere())
        });
        let by_code = self.scheme_is_set.contains(home);
        if perhaps || by_code {
            return Https::Unclear;
        }
        let mut known = Https::NoServer;
        let servers = match taking {
            Some(command) => vec![command],
            None => self.servers(project, home),
        };
        for command in servers {
            if knows(command) {
                if known == Https::NoServer {
                    known = Https::Known;
                }
            } else if command.is_configured_elsewhere() || command.has_own_worker() {
                return Https::Unclear;
            } else {
                known = Https::Unknown;
            }
        }
        known
    }
}

/// How a handshake arrives through uvicorn where it has no library for it, or through granian where
/// it is told to take none; `None` where it has, or another server takes it.
pub(super) fn without_library<'a>(command: &Command, library: &Library<'_>) -> Option<Arrival<'a>> {
    if command.program == Program::Granian && command.flag("--no-ws") {
        return Some(Arrival::Http {
            because: command
                .word("--no-ws")
                .map_or(command.span, |word| word.span),
            how: "with `--no-ws` granian hands every handshake to Django as a plain HTTP request"
                .to_owned(),
            sure: true,
        });
    }
    if !command.is_uvicorn() {
        return None;
    }
    match (command.option(&["--ws"]), library) {
        (Some("none"), _) => Some(Arrival::Http {
            because: command.word("--ws").map_or(command.span, |word| word.span),
            how: "with `--ws none` uvicorn hands every handshake to Django as a plain HTTP request"
                .to_owned(),
            sure: true,
        }),
        // A library that is named and missing stops uvicorn at once.
        (Some(name), _) if name != "auto" => None,
        (_, Library::Missing(package)) => Some(Arrival::Http {
            because: package.span,
            how: "without `websockets` or `wsproto` uvicorn hands every handshake to Django as a plain HTTP request"
                .to_owned(),
            sure: true,
        }),
        (_, Library::NotAsked(package)) => Some(Arrival::Http {
            because: package.span,
            how: "asks for uvicorn without its WebSocket library: unless something else installs `websockets` or `wsproto`, handshakes arrive as plain HTTP"
                .to_owned(),
            sure: false,
        }),
        _ => None,
    }
}

/// Whether an entry point or a middleware sets the scheme by itself:
/// `environ["wsgi.url_scheme"] = "https"`, `dict(scope, scheme="https")`.
pub(super) fn sets_scheme(source: &Source) -> bool {
    source.text.match_indices("scheme").any(|(at, name)| {
        let rest = &source.text[at + name.len()..];
        let assigned = rest
            .strip_prefix("\"]")
            .or_else(|| rest.strip_prefix("']"))
            .map(|rest| rest.trim_start_matches(' '));
        assigned.is_some_and(|rest| rest.starts_with('=') && !rest.starts_with("=="))
            || ["=\"https\"", "='https'", "\": \"https\"", "': 'https'"]
                .iter()
                .any(|value| rest.starts_with(value))
    })
}

/// Whether a module has to do with WebSockets.
pub(super) fn names_websockets(source: &Source) -> bool {
    const WORDS: &[&str] = &[
        "channels",
        "daphne",
        "socketio",
        "websocket",
        "WebSocket",
        "Websocket",
    ];
    WORDS.iter().any(|word| source.text.contains(word))
}

/// Whether a command is for developers, by its service's profile or by its file.
fn is_developers(project: &Project, command: &Command) -> bool {
    command.is_for_development() || is_for_development(project.source(command.span.source))
}

/// Whether a file of commands is for developers: `docker-compose.override.yml`, which compose
/// reads by itself on a developer's machine, and what its name says.
pub(crate) fn is_for_development(source: &Source) -> bool {
    let folder = source.folder().rsplit('/').next().unwrap_or_default();
    [source.name(), folder].into_iter().any(|name| {
        super::evaluate::is_development(name)
            || name
                .split(['.', '-', '_'])
                .any(|word| word.eq_ignore_ascii_case("override"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Project;

    const ASGI: (&str, &str) = (
        "p/asgi.py",
        "from channels.routing import ProtocolTypeRouter\napplication = ProtocolTypeRouter({'websocket': f})\n",
    );
    const SETTINGS: (&str, &str) = ("p/settings.py", "ROOT_URLCONF = 'p.urls'\n");

    fn servers(files: &[(&str, &str)]) -> Vec<String> {
        let project = Project::in_memory(files.iter().copied().chain([ASGI, SETTINGS])).unwrap();
        let model = Model::resolve(&project);
        let home = model.home(&project, model.settings[0].source);
        model
            .servers(&project, home)
            .into_iter()
            .map(|command| command.target.as_ref().unwrap().text.clone())
            .collect()
    }

    #[test]
    fn hypercorns_configuration_in_toml_is_read() {
        let files = [
            ASGI,
            SETTINGS,
            (
                "Procfile",
                "web: hypercorn -c ops/hypercorn.toml p.asgi:application\n",
            ),
            (
                "ops/hypercorn.toml",
                "bind = ['0.0.0.0:9000']\nworkers = 4\nwebsocket_ping_interval = 7.5\n",
            ),
        ];
        let project = Project::in_memory(files).unwrap();
        let model = Model::resolve(&project);
        let [command] = model.commands.as_slice() else {
            panic!("{:?}", model.commands);
        };
        assert!(!command.is_configured_elsewhere());
        assert_eq!((command.port(), command.ping()), (Some(9000), Some(7.5)));
        assert_eq!(command.option(&["--workers"]), Some("4"));
        let place = command
            .word("--workers")
            .map(|word| project.place(word.span));
        assert_eq!(place.as_deref(), Some("ops/hypercorn.toml:2"));
    }

    #[test]
    fn a_profile_for_developers_serves_no_production() {
        let gunicorn = "  web:\n    command: gunicorn p.wsgi\n";
        for (service, served) in [
            (
                "profiles: [dev]\n    command: python manage.py runserver",
                false,
            ),
            (
                "profiles: [full]\n    command: python manage.py runserver",
                false,
            ),
            (
                "profiles: [dev, debug]\n    command: daphne p.asgi:application",
                false,
            ),
            // Another feature of production.
            (
                "profiles: [sockets]\n    command: daphne p.asgi:application",
                true,
            ),
            ("profiles: []\n    command: daphne p.asgi:application", true),
            ("command: python manage.py runserver", true),
        ] {
            let compose = format!("services:\n{gunicorn}  other:\n    {service}\n");
            let files = [ASGI, SETTINGS, ("compose.yaml", compose.as_str())];
            let project = Project::in_memory(files).unwrap();
            let model = Model::resolve(&project);
            let home = model.home(&project, model.settings[0].source);
            assert_eq!(
                model.sockets_are_served(&project, home),
                served,
                "{service}"
            );
        }
    }

    #[test]
    fn a_command_concerns_the_application_that_it_names() {
        let procfile = |text| vec![("Procfile", text)];
        for (files, expected) in [
            (
                procfile("web: daphne p.asgi:application\n"),
                vec!["p.asgi:application"],
            ),
            // Not in the files, but in the application's package.
            (procfile("web: gunicorn p.wsgi\n"), vec!["p.wsgi"]),
            // Another service, whose module is here, or is not.
            (
                vec![
                    (
                        "docker-compose.yml",
                        "services:\n  a:\n    command: uvicorn api.main:app --ws none\n",
                    ),
                    ("api/main.py", "app = FastAPI()\nchannels\n"),
                ],
                vec![],
            ),
            (procfile("web: uvicorn api.main:app\n"), vec![]),
            (
                vec![
                    ("Procfile", "web: uvicorn api.asgi:app\n"),
                    (
                        "api/asgi.py",
                        "from fastapi import FastAPI\napp = FastAPI()\nchannels\n",
                    ),
                ],
                vec![],
            ),
            // Its settings show it.
            (
                procfile("web: DJANGO_SETTINGS_MODULE=p.settings uvicorn server:app\n"),
                vec!["server:app"],
            ),
            // What a developer starts is no evidence beside what production starts.
            (
                vec![
                    ("Procfile", "web: daphne p.asgi:application\n"),
                    (
                        "docker-compose.dev.yml",
                        "services:\n  a:\n    command: uvicorn p.asgi:app\n",
                    ),
                    (
                        "docker-compose.override.yml",
                        "services:\n  a:\n    command: uvicorn p.asgi:b\n",
                    ),
                    ("compose/local/start.sh", "uvicorn p.asgi:c\n"),
                    ("run.sh", "uvicorn p.asgi:d --reload\n"),
                ],
                vec!["p.asgi:application"],
            ),
            (
                vec![(
                    "docker-compose.dev.yml",
                    "services:\n  a:\n    command: uvicorn p.asgi:app\n",
                )],
                vec!["p.asgi:app"],
            ),
        ] {
            assert_eq!(servers(&files), expected, "{files:?}");
        }
    }
}

//! Django: the settings evaluated, the ASGI application followed, its routes with the resolver's
//! semantics, and the commands that start it.
//!
//! On a correct ASGI stack a handshake never meets Django's middleware; it does where it reaches
//! Django as plain HTTP. [`Model::arrival`] says which of both the project's files show, and every
//! message about middleware tells it.

pub mod checks;
pub mod command;
pub mod consumer;
pub mod data;
pub mod evaluate;
mod homes;
mod hop;
pub mod modules;
mod mounts;
pub mod objects;
pub mod origin;
pub mod requirements;
mod root_path;
pub mod routes;
mod servers;
pub mod settings;
mod spared;
pub mod startup;
pub mod syntax;
pub mod trusted_header;

pub use hop::{Django, Fault, Hits, faults};
pub use modules::references;
pub use mounts::Mount;
pub use servers::Https;
pub(crate) use servers::is_for_development;
pub use spared::Spared;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use self::command::{Command, Environment, Program as Server, Word};
use self::consumer::Consumer;
use self::data::{Class, Data, certain};
use self::evaluate::{Parsed, Program};
use self::objects::{Misnamed, Object};
use self::requirements::Requirements;
use self::routes::{Application, Misuse, Page, Route};
use self::servers::Entry;
use self::settings::{Role, Settings};
use self::startup::Startup;
use crate::finding::Undecided;
use crate::project::Project;
use crate::source::{Kind, Source, SourceId, Span};

/// The resolved configuration.
#[derive(Debug, Default)]
pub struct Model {
    /// The settings modules, those that run in production first.
    pub settings: Vec<Settings>,
    /// What stands for the settings of applications that have none in the files.
    unseen: Vec<Settings>,
    /// The ASGI applications.
    pub applications: Vec<Application>,
    /// Their WebSocket routes, in the order in which they are tried.
    pub routes: Vec<Route>,
    /// Routers that are not given what they take.
    pub misuses: Vec<Misuse>,
    /// The classes of consumers, and what each does to open a socket.
    pub consumers: Vec<Consumer>,
    /// Modules `asgi.py` whose `application` is Django's own and nothing more, with the call.
    plain: Vec<Span>,
    /// What happens before Django is set up in the modules that servers load.
    startups: BTreeMap<SourceId, Startup>,
    /// The commands that start servers.
    pub commands: Vec<Command>,
    /// What the files set in the environment.
    pub environment: Environment,
    /// The folders of the applications, sorted: see [`home`].
    homes: Vec<String>,
    /// What belongs to each application, by its folder.
    by_home: HashMap<String, homes::Home>,
    /// How much of its path is the folder of the application that a Python source belongs to.
    home_of: HashMap<SourceId, usize>,
    /// What the target of a server command names, by that target.
    entries: BTreeMap<String, Entry>,
    /// The module that a command's target names and the application object in it, by the target.
    objects: BTreeMap<String, (SourceId, Object)>,
    /// The application of another framework that a command's target names, by the target.
    mounts: BTreeMap<String, Mount>,
    /// Why a server can't load the target of its command, by the target and the server.
    unloadable: HashMap<(String, Server), objects::Unloadable>,
    /// Those that modules `asgi.py` name `application`.
    entry_mounts: Vec<(SourceId, Mount)>,
    /// What is wrong with the ASGI_APPLICATION of settings, by its value.
    misnamed: BTreeMap<String, Misnamed>,
    /// The patterns of the URLconfs that settings name, where all of them are known.
    urlconfs: BTreeMap<String, Vec<Page>>,
    /// The folders of the applications in which some module other than settings sets the scheme.
    scheme_is_set: BTreeSet<String>,
    /// The folders of the applications that have to do with WebSockets.
    names_websockets: BTreeSet<String>,
    /// Which packages are installed.
    pub requirements: Requirements,
    /// What could not be resolved.
    pub undecided: Vec<Undecided>,
}

/// How a handshake reaches Django.
#[derive(Debug)]
pub enum Arrival<'a> {
    /// As a plain GET, so that it runs through the middleware; because of these bytes.
    Http {
        /// What makes it so.
        because: Span,
        /// A few words on it.
        how: String,
        /// Whether it is sure; false where something that is not in the files may prevent it.
        sure: bool,
    },
    /// As a WebSocket, which the middleware never sees; this command does it.
    WebSocket(&'a Command),
    /// The files do not say.
    Unknown,
}

impl Model {
    /// Resolves everything of Django in `project`.
    pub fn resolve(project: &Project) -> Self {
        Self::evaluate(project, evaluate::parse(project))
    }

    /// The same, for modules that are parsed.
    pub fn evaluate(project: &Project, parsed: Parsed) -> Self {
        if project.of_kind(Kind::Python).next().is_none() {
            return Self::default();
        }
        let mut program = Program::new(project, parsed);
        let routes::Found {
            applications,
            routes,
            misuses,
        } = routes::find(&program);
        let mut commands = Vec::new();
        let mut environment = Environment::default();
        for source in project.of_kind(Kind::Command) {
            commands.extend(command::commands(source));
            let found = command::environment(source);
            environment.settings.extend(found.settings);
            environment
                .forwarded_allow_ips
                .extend(found.forwarded_allow_ips);
        }
        if commands.is_empty() {
            // What developers run by hand speaks only where nothing says what production runs.
            let packages = project.of_kind(Kind::Requirements);
            let packages = packages
                .filter(|source| matches!(source.name(), "pyproject.toml" | "package.json"));
            commands.extend(packages.flat_map(command::commands));
        }
        configure(project, &program, &mut commands);
        // Many commands may name one target.
        let mut seen = HashSet::new();
        let asked: Vec<&Command> = commands
            .iter()
            .filter(|command| {
                let target = command.target.as_ref();
                target.is_some_and(|target| seen.insert((&target.text, command.program)))
            })
            .collect();
        let objects = asked
            .iter()
            .filter_map(|command| {
                let target = command.target.as_ref()?;
                let object = objects::find(&program, &applications, command)?;
                Some((target.text.clone(), object))
            })
            .collect();
        let mounts = asked
            .iter()
            .filter_map(|command| {
                let target = command.target.as_ref()?;
                Some((target.text.clone(), objects::mount(&program, command)?))
            })
            .collect();
        let unloadable = asked
            .iter()
            .filter_map(|command| {
                let target = command.target.as_ref()?;
                let why = objects::unloadable(project, &program, command)?;
                Some(((target.text.clone(), command.program), why))
            })
            .collect();
        let entry_mounts = objects::mounts(project, &program);
        let plain = objects::plain(project, &program);
        let consumers = consumer::find(project, &program);
        let startups = startup::find(project, &program, &applications, &commands);
        let undecided = syntax_errors(project, &program);
        let settings = settings::find(project, &mut program);
        let named: BTreeSet<String> = settings
            .iter()
            .filter_map(|settings| {
                let setting = settings.get("ROOT_URLCONF");
                Some(setting.certain()?.data.as_text()?.to_owned())
            })
            .collect();
        let urlconfs = named
            .into_iter()
            .filter_map(|name| {
                let patterns = routes::urlconf(&program, &name)?;
                Some((name, patterns))
            })
            .collect();
        let misnamed = settings
            .iter()
            .filter_map(|settings| {
                let setting = settings.get("ASGI_APPLICATION");
                let name = setting.certain()?.data.as_text()?.to_owned();
                let wrong = objects::misnamed(project, &program, &name)?;
                Some((name, wrong))
            })
            .collect();
        let sources = settings
            .iter()
            .map(|settings| settings.source)
            .chain(applications.iter().map(|application| application.source));
        let mut homes: Vec<String> = sources
            .map(|source| home(project, project.source(source)).to_owned())
            .collect();
        homes.sort();
        homes.dedup();
        let mut known: BTreeSet<&str> = settings
            .iter()
            .map(|settings| home(project, project.source(settings.source)))
            .collect();
        let unseen = applications
            .iter()
            .filter(|own| known.insert(home(project, project.source(own.source))))
            .map(|own| Settings::unseen(own.source))
            .collect();
        let entries = servers::entries(project, &program.modules, &applications, &commands);
        let of_settings: BTreeSet<SourceId> =
            settings.iter().map(|settings| settings.source).collect();
        let homes_of = |is_one: &dyn Fn(&Source) -> bool| {
            project
                .of_kind(Kind::Python)
                .filter(|source| is_one(source))
                .map(|source| home(project, source).to_owned())
                .collect::<BTreeSet<_>>()
        };
        let scheme_is_set =
            homes_of(&|source| !of_settings.contains(&source.id) && servers::sets_scheme(source));
        let names_websockets = homes_of(&servers::names_websockets);
        let mut model = Self {
            settings,
            unseen,
            applications,
            routes,
            misuses,
            consumers,
            plain,
            startups,
            commands,
            environment,
            homes,
            by_home: HashMap::new(),
            home_of: project
                .of_kind(Kind::Python)
                .map(|source| (source.id, home(project, source).len()))
                .collect(),
            entries,
            objects,
            mounts,
            unloadable,
            entry_mounts,
            misnamed,
            urlconfs,
            scheme_is_set,
            names_websockets,
            requirements: Requirements::read(project),
            undecided,
        };
        model.by_home = model.by_home(project);
        model
    }

    /// The application object that a command's target names, where the files show it.
    pub fn object(&self, command: &Command) -> Option<Object> {
        let (_, object) = self.objects.get(&command.target.as_ref()?.text)?;
        Some(*object)
    }

    /// The module that a command loads, where [`Model::object`] knows what it takes from there.
    pub fn entry(&self, command: &Command) -> Option<SourceId> {
        let (module, _) = self.objects.get(&command.target.as_ref()?.text)?;
        Some(*module)
    }

    /// Why the server of `command` can't load what it names, so that it never starts.
    pub fn unloadable(&self, command: &Command) -> Option<&objects::Unloadable> {
        let target = command.target.as_ref()?.text.clone();
        self.unloadable.get(&(target, command.program))
    }

    /// What is wrong with what ASGI_APPLICATION names by this path.
    pub fn misnamed(&self, path: &str) -> Option<Misnamed> {
        self.misnamed.get(path).copied()
    }

    /// The application of another framework that the command's target names; without a command,
    /// that an `asgi.py` of the application in `home` makes.
    pub fn mount(
        &self,
        project: &Project,
        command: Option<&Command>,
        home: &str,
    ) -> Option<&Mount> {
        if let Some(command) = command {
            return self.mounts.get(&command.target.as_ref()?.text);
        }
        let mut own = self.entry_mounts.iter();
        let own = own.find(|(source, _)| self.home(project, *source) == home);
        own.map(|(_, mount)| mount)
    }

    /// What is known of a consumer's class.
    pub fn consumer(&self, class: &Class) -> Option<&Consumer> {
        // They are sorted.
        let source = |consumer: &Consumer| consumer.span.source;
        let first = self
            .consumers
            .partition_point(|consumer| source(consumer) < class.source);
        self.consumers[first..]
            .iter()
            .take_while(|consumer| source(consumer) == class.source)
            .find(|consumer| consumer.name == class.name)
    }

    /// What shows that the application in `home` serves sockets: a route, or a consumer.
    pub fn sockets(&self, home: &str) -> Option<Span> {
        self.by_home.get(home)?.sockets
    }

    /// What the module of a server's target does before Django is set up.
    pub fn startup(&self, module: SourceId) -> Option<&Startup> {
        self.startups.get(&module)
    }

    /// The folders of the applications, sorted.
    pub fn homes(&self) -> impl Iterator<Item = &str> {
        self.homes.iter().map(String::as_str)
    }

    /// Where an `asgi.py` serves Django alone.
    pub fn plain(&self) -> &[Span] {
        &self.plain
    }

    /// The ASGI application in `home`: its only one, or that of its only `asgi.py`, which is what
    /// servers are given.
    pub fn only_application(&self, project: &Project, home: &str) -> Option<usize> {
        let own: Vec<usize> = self.applications_of(home).map(|(at, _)| at).collect();
        if let [only] = own.as_slice() {
            return Some(*only);
        }
        let mut usual = own
            .into_iter()
            .filter(|at| project.source(self.applications[*at].source).name() == "asgi.py");
        let first = usual.next()?;
        usual.next().is_none().then_some(first)
    }

    /// The settings that each application may run with, those in production first; for one that
    /// has none in the files, what stands for them.
    pub fn all_settings(&self) -> impl Iterator<Item = &Settings> {
        let is_production = |settings: &&Settings| settings.role == Role::Production;
        let others = self
            .settings
            .iter()
            .filter(move |settings| !is_production(settings));
        self.production().chain(others).chain(&self.unseen)
    }

    /// The settings that run in production.
    pub fn production(&self) -> impl Iterator<Item = &Settings> {
        self.settings
            .iter()
            .filter(|settings| settings.role == Role::Production)
    }

    /// The application that a module belongs to, as the folder that holds it.
    pub fn home<'a>(&self, project: &'a Project, module: SourceId) -> &'a str {
        let source = project.source(module);
        match self.home_of.get(&module) {
            // A home is the beginning of the path of what lies in it.
            Some(length) => &source.path[..*length],
            None => home(project, source),
        }
    }

    /// Whether a file in `folder` that is no module (a Procfile, a requirements file) speaks of the
    /// application in `home`: it lies in that folder and in none of another application, or above
    /// it and above no other.
    fn concerns(&self, folder: &str, home: &str) -> bool {
        if is_within(folder, home) {
            return self
                .innermost(folder)
                .is_none_or(|owner| owner == home || !is_within(owner, home));
        }
        is_within(home, folder) && self.first_below(folder).is_some()
    }

    /// Whether a file in `folder` may speak of the application in `home`: it lies in no other's.
    fn may_concern(&self, folder: &str, home: &str) -> bool {
        self.innermost(folder)
            .is_none_or(|owner| is_within(home, owner) || is_within(owner, home))
    }

    /// Whether a source is surely another application's than that in `home`: each has a manage.py
    /// of its own, and neither lies in the other.
    fn are_apart(&self, project: &Project, home: &str, source: &Source) -> bool {
        let is_whole = |home: &str| project.files.contains(&format!("{home}/manage.py"));
        let owner = self.innermost(source.folder());
        is_whole(home)
            && owner.is_some_and(|owner| {
                is_whole(owner) && !is_within(home, owner) && !is_within(owner, home)
            })
    }

    /// Whether the application in `home` is the one that what lies in `folder` (a proxy's
    /// configuration, a file that sets an edge up) can be about: the only one near it.
    pub fn is_meant_in(&self, mut folder: &str, home: &str) -> bool {
        if let Some(owner) = self.innermost(folder) {
            return owner == home;
        }
        while !folder.is_empty() && self.below(folder).next().is_none() {
            folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        self.first_below(folder) == Some(home)
    }

    /// The application whose folder holds this one most closely.
    fn innermost<'a>(&self, mut folder: &'a str) -> Option<&'a str> {
        let is_home = |folder: &str| {
            self.homes
                .binary_search_by(|home| home.as_str().cmp(folder))
                .is_ok()
        };
        while !is_home(folder) {
            if folder.is_empty() {
                return None;
            }
            folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        Some(folder)
    }

    /// The only application in `folder`, itself none, or below it.
    fn first_below(&self, folder: &str) -> Option<&str> {
        let mut below = self.below(folder);
        let only = below.next()?;
        below.next().is_none().then_some(only)
    }

    /// The applications below `folder`.
    fn below(&self, folder: &str) -> impl Iterator<Item = &str> {
        let below = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let first = self.homes.partition_point(|home| *home < below);
        let homes = self.homes[first..].iter().map(String::as_str);
        homes.take_while(move |home| home.starts_with(&below))
    }
}

/// The folder of the application that a module belongs to: the nearest above it with a
/// manage.py, else its topmost one.
fn home<'a>(project: &Project, source: &'a Source) -> &'a str {
    let mut folder = source.folder();
    let mut top = folder;
    while !folder.is_empty() {
        if project.files.contains(&format!("{folder}/manage.py")) {
            return folder;
        }
        top = folder;
        folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
    }
    if project.files.contains("manage.py") {
        ""
    } else {
        top
    }
}

/// Whether `folder` is `outer` or lies below it.
fn is_within(folder: &str, outer: &str) -> bool {
    outer.is_empty()
        || folder
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Settings in a server's configuration file that is Python, with the options that say the same.
const GUNICORN: &[(&str, &str)] = &[
    ("worker_class", "--worker-class"),
    ("forwarded_allow_ips", "--forwarded-allow-ips"),
    ("bind", "--bind"),
    ("workers", "--workers"),
    ("certfile", "--certfile"),
];
const HYPERCORN: &[(&str, &str)] = &[
    ("bind", "--bind"),
    ("workers", "--workers"),
    ("certfile", "--certfile"),
    ("root_path", "--root-path"),
    ("websocket_ping_interval", "--websocket-ping-interval"),
];

/// Adds what the configuration files of gunicorn and hypercorn say to the commands that read them.
fn configure(project: &Project, program: &Program<'_>, commands: &mut [Command]) {
    let mut files: HashMap<&str, Vec<&Source>> = HashMap::new();
    let tables = project.of_kind(Kind::Command);
    let tables = tables.filter(|source| source.name().ends_with(".toml"));
    for source in project.of_kind(Kind::Python).chain(tables) {
        files.entry(source.name()).or_default().push(source);
    }
    // A repository of several projects has several files of the usual name.
    let of_name = |command: &Command, path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        nearest(
            project.source(command.span.source).folder(),
            files.get(name)?,
        )
    };
    for command in commands.iter_mut() {
        let named = command.option(&["--config", "-c"]);
        let (path, settings) = match command.program {
            Server::Gunicorn => (named.unwrap_or("gunicorn.conf.py"), GUNICORN),
            // hypercorn/__main__.py _load_config: TOML where neither is written.
            Server::Hypercorn => match named.and_then(|path| path.strip_prefix("file:")) {
                Some(path) => (path, HYPERCORN),
                None => {
                    if let Some(words) = named
                        .and_then(|path| of_name(command, path))
                        .and_then(|source| hypercorn_words(command, source))
                    {
                        command.words.extend(words);
                        command.config_is_read = true;
                    }
                    continue;
                }
            },
            _ => continue,
        };
        let config = of_name(command, path).and_then(|source| program.module(source.id));
        let Some(config) = config else {
            continue;
        };
        let mut words = Vec::new();
        for (setting, option) in settings {
            if command.option(&[option]).is_none()
                && let Some(binding) = config.get(setting)
                && let Some(value) = certain(&binding.values)
            {
                // What the environment decides there is known to nobody; it may be anything.
                let text = match &value.data {
                    Data::Text(text) => text.to_string(),
                    Data::Integer(number) => number.to_string(),
                    _ => continue,
                };
                for text in [(*option).to_owned(), text] {
                    words.push(Word {
                        text,
                        span: value.span,
                    });
                }
            }
        }
        command.words.extend(words);
        command.config_is_read = true;
    }
}

/// The only one of these files that has the most folders in common with `folder`.
fn nearest<'s>(folder: &str, files: &[&'s Source]) -> Option<&'s Source> {
    let shared = |source: &Source| {
        let pairs = folder.split('/').zip(source.folder().split('/'));
        pairs.take_while(|(one, other)| one == other).count()
    };
    let most = files.iter().map(|source| shared(source)).max()?;
    let mut nearest = files.iter().filter(|source| shared(source) == most);
    let only = nearest.next()?;
    nearest.next().is_none().then_some(*only)
}

/// What hypercorn's configuration in TOML says that the command does not, as options
/// (hypercorn/config.py, from_toml).
fn hypercorn_words(command: &Command, source: &Source) -> Option<Vec<Word>> {
    let table: BTreeMap<String, toml::Spanned<toml::Value>> = toml::from_str(&source.text).ok()?;
    let mut words = Vec::new();
    for (setting, option) in HYPERCORN {
        let Some(value) = table
            .get(*setting)
            .filter(|_| command.option(&[option]).is_none())
        else {
            continue;
        };
        let span = Span::new(source.id, value.span());
        let values = match value.get_ref() {
            toml::Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            let text = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Float(number) => number.to_string(),
                _ => continue,
            };
            words.extend([(*option).to_owned(), text].map(|text| Word { text, span }));
        }
    }
    Some(words)
}

/// Notes about what does not parse, in files that would matter.
fn syntax_errors(project: &Project, program: &Program<'_>) -> Vec<Undecided> {
    program
        .errors
        .iter()
        .filter(|span| !project.source(span.source).is_template())
        .map(|span| Undecided {
            span: *span,
            message: "this is not valid Python; the rest of the file is still read".to_owned(),
            alike: None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(files: &[(&str, &str)]) -> &'static str {
        let settings = ("p/settings.py", "INSTALLED_APPS = []\n");
        let asgi = ("p/asgi.py", "get_asgi_application\n");
        let wsgi = ("p/wsgi.py", "get_wsgi_application\n");
        let project =
            Project::in_memory(files.iter().copied().chain([settings, asgi, wsgi])).unwrap();
        let model = Model::resolve(&project);
        match model.arrival(&project, &model.settings[0]) {
            Arrival::Http { sure: true, .. } => "http",
            Arrival::Http { .. } => "perhaps http",
            Arrival::WebSocket(_) => "websocket",
            Arrival::Unknown => "unknown",
        }
    }

    #[test]
    fn a_handshake_arrives_as_the_server_hands_it_on() {
        let standard = ("requirements.txt", "uvicorn[standard]\n");
        let bare = ("requirements.txt", "uvicorn\n");
        let lock = (
            "uv.lock",
            "[[package]]\nname = \"uvicorn\"\nversion = \"0.30\"\n",
        );
        let uvicorn = ("Procfile", "web: uvicorn p.asgi:application\n");
        assert_eq!(arrival(&[]), "unknown");
        assert_eq!(arrival(&[("Procfile", "web: gunicorn p.wsgi\n")]), "http");
        assert_eq!(
            arrival(&[("Procfile", "web: daphne p.asgi:application\n")]),
            "websocket"
        );
        assert_eq!(arrival(&[uvicorn, standard]), "websocket");
        assert_eq!(arrival(&[uvicorn, bare]), "perhaps http");
        assert_eq!(arrival(&[uvicorn, lock]), "http");
        assert_eq!(
            arrival(&[
                ("Procfile", "web: uvicorn --ws none p.asgi:application\n"),
                standard
            ]),
            "http"
        );
        let worker = (
            "Procfile",
            "web: gunicorn p.asgi -c conf/gunicorn_conf.py\n",
        );
        let config = (
            "conf/gunicorn_conf.py",
            "worker_class = 'uvicorn.workers.UvicornWorker'\n",
        );
        assert_eq!(arrival(&[worker, config, standard]), "websocket");
        // Another project's file of the same name says nothing about this one.
        let (usual, text) = (("Procfile", "web: gunicorn p.asgi\n"), config.1);
        let elsewhere = ("a/other/gunicorn.conf.py", text);
        let own = ("gunicorn.conf.py", "workers = 2\n");
        assert_eq!(arrival(&[usual, elsewhere, own, standard]), "http");
        let own = ("gunicorn.conf.py", text);
        assert_eq!(arrival(&[usual, own, standard]), "websocket");
    }
}

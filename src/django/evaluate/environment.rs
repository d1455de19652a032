//! The readers of the environment: `os.environ`, django-environ, environs and decouple.

use std::collections::{HashMap, HashSet};

use super::is_development;
use super::methods::split;
use crate::deploy::{self, Container, Environment, Mentions, Owned, Service, Supplied};
use crate::django::data::{Call, Data, Origin, Possible, Values, bounded, certain};
use crate::django::{home, is_for_development};
use crate::project::Project;
use crate::source::{Kind, Source, Span};

/// What the deployment of a project says of variables.
#[derive(Debug)]
pub(super) struct Deployment<'p> {
    project: &'p Project,
    /// The containers that may serve in production, by the folders and files that each holds.
    holding: HashMap<String, Vec<&'p Container>>,
    /// The units that start a server of Python's.
    units: Owned<'p, Environment>,
    mentions: Mentions<'p>,
    /// See [`production`].
    production: HashMap<String, String>,
}

/// The servers of Python's, as commands name them.
const SERVERS: [&str; 9] = [
    "uvicorn",
    "daphne",
    "hypercorn",
    "gunicorn",
    "granian",
    "uwsgi",
    "waitress",
    "runserver",
    "fastapi",
];

/// What else of a project is started beside its servers.
const OTHERS: [&str; 5] = ["celery", "manage.py", "rq ", "huey", "dramatiq"];

/// Django's server for developers.
const RUNSERVER: &str = "runserver";

/// Whether a service may start a server: its command says so, or nothing about what else it does.
fn serves(service: &Service) -> bool {
    starts(service, &SERVERS) || !starts(service, &OTHERS)
}

/// Whether the command of a service says one of these words.
fn starts(service: &Service, words: &[&str]) -> bool {
    let mut commands = service.commands.iter();
    commands.any(|(_, text)| words.iter().any(|word| text.contains(word)))
}

/// Whether anything of a project starts a server that is none for developers alone.
fn has_server(project: &Project) -> bool {
    let mut commands = project
        .of_kind(Kind::Command)
        .filter(|source| !is_for_development(source));
    commands.any(|source| {
        let mut servers = SERVERS.iter().filter(|server| **server != RUNSERVER);
        servers.any(|server| source.text.contains(server))
    })
}

/// What a variable is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// What the deployment sets it to, if that is in the files.
    value: Option<String>,
    /// Where what it holds comes from.
    origin: Origin,
}

impl Told {
    /// What nobody here follows.
    pub(super) fn hidden(name: &str) -> Self {
        Self {
            value: None,
            origin: Origin::Hidden(name.into()),
        }
    }

    /// What a variable holds that is looked up by its name alone.
    pub(super) fn looked_up(self, name: &str, span: Span) -> Possible {
        let unknown = environment(name, span);
        Possible {
            data: self.value.map_or(unknown.data, |value| Data::text(&value)),
            origin: self.origin,
            ..unknown
        }
    }
}

impl<'p> Deployment<'p> {
    pub(super) fn read(project: &'p Project) -> Self {
        let is_asked = |name: &str| {
            name.bytes()
                .any(|byte| byte.is_ascii_uppercase() || byte == b'_')
        };
        let mut units = Owned::default();
        for (unit, _, environment) in deploy::units(project, &SERVERS) {
            units.of(owner(project, unit)).push(environment);
        }
        let mut holding: HashMap<String, Vec<&Container>> = HashMap::new();
        let deployment = project.deployment();
        let has_server = has_server(project);
        let runs = |service: &&Service| {
            let develops = has_server && starts(service, &[RUNSERVER]);
            serves(service) && !service.is_replaced && !develops
        };
        let services = deployment.services.iter().filter(runs);
        let services =
            services.filter(|service| !is_for_development(project.source(service.span.source)));
        let services = services.map(|service| &service.container);
        for container in services.chain(deployment.images.iter()) {
            for path in container.origins() {
                let own = holding.entry(path.to_owned()).or_default();
                let is_same = |last: &&Container| std::ptr::eq(*last, container);
                if !own.last().is_some_and(is_same) {
                    own.push(container);
                }
            }
        }
        Self {
            project,
            holding,
            units,
            mentions: Mentions::read(project, is_asked, |_| true, |source| owner(project, source)),
            production: production(project),
        }
    }

    /// In what the module `source` runs in production.
    pub(super) fn running(&self, source: &Source) -> Vec<&Environment> {
        let path = source.path.as_str();
        let mut containers: Vec<&Container> = Vec::new();
        let near = deploy::outward(path).filter_map(|folder| self.holding.get(folder));
        for container in near.flatten() {
            let is_known = containers
                .iter()
                .any(|known| std::ptr::eq(*known, *container));
            if !is_known && container.holds(path) {
                containers.push(container);
            }
        }
        let home = home(self.project, self.project.source(source.id));
        containers
            .into_iter()
            .map(|container| &container.environment)
            .chain(self.units.concerning(home))
            .collect()
    }

    /// What the variable `name` of the module `source` is, which these run.
    pub(super) fn told(&self, source: &Source, running: &[&Environment], name: &str) -> Told {
        if let Some(word) = self.production.get(name) {
            return Told {
                value: Some(word.clone()),
                origin: Origin::Literal,
            };
        }
        // What a developer's machine is told of it is nothing that production knows.
        let supplied = match name.contains("DEBUG") {
            true => Supplied::Nothing,
            false => self
                .mentions
                .supplied(name, running, home(self.project, source)),
        };
        match supplied {
            Supplied::Literal(value, _) if is_for_this_machine(&value) => Told {
                value: None,
                origin: Origin::Hidden(name.into()),
            },
            Supplied::Literal(value, span) => Told {
                value: Some(value),
                origin: Origin::Supplied(name.into(), span),
            },
            Supplied::Hidden => Told::hidden(name),
            Supplied::Nothing => Told {
                value: None,
                origin: Origin::Default(name.into()),
            },
        }
    }
}

/// Whether a value is a list of a developer's own hosts, which production's environment replaces.
fn is_for_this_machine(value: &str) -> bool {
    let mut hosts = value.split([',', ' ']).filter(|host| !host.is_empty());
    let is_it = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "0.0.0.0");
    hosts.clone().any(is_it) && hosts.all(|host| is_it(host) || !host.contains(['.', '*']))
}

/// The folder of the application in which a file lies, if that has a `manage.py` there.
fn owner<'a>(project: &Project, source: &'a Source) -> Option<&'a str> {
    let home = home(project, source);
    let whole = match home {
        "" => "manage.py".to_owned(),
        _ => format!("{home}/manage.py"),
    };
    project.files.contains(&whole).then_some(home)
}

/// The variables that a project's own deployment sets to `production`, with that word: they choose
/// a branch of the settings. Those that are something else elsewhere are none, but for a developer's.
fn production(project: &Project) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut differ = HashSet::new();
    for source in project.of_kind(Kind::Command) {
        let lines = source.text.lines().map(str::trim_start);
        for line in lines.filter(|line| !line.starts_with('#')) {
            // `NAME=value`, `NAME: value`, `ENV NAME value`, `"NAME": "value"`.
            let between = |char: char| " \t=:\"',;[]{}".contains(char);
            let words = line.split(between).filter(|word| !word.is_empty());
            for (name, value) in words.clone().zip(words.skip(1)) {
                let is_name = name.len() > 2
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
                let word = value.to_ascii_lowercase();
                if !is_name || is_development(&word) {
                    continue;
                }
                let is_it = matches!(word.as_str(), "production" | "prod" | "live");
                let known = found.get(name).is_some_and(|known| known != value);
                match is_it && !known {
                    true => found.insert(name.to_owned(), value.to_owned()),
                    false => differ.insert(name.to_owned()).then(String::new),
                };
            }
        }
    }
    found.retain(|name, _| !differ.contains(name));
    found
}

/// A value that only the environment knows.
pub(super) fn environment(name: &str, span: Span) -> Possible {
    Possible {
        data: Data::unknown(&format!("the environment variable {name} decides")),
        span,
        origin: Origin::Default(name.into()),
        when: None,
    }
}

/// The value of `os.environ.get("A", default)`, `env.bool("A", default=…)`, `config("A", …)`: what
/// is `told` of the variable, or its literal default, marked as such; unknown without one.
pub(super) fn read_environment(
    symbol: &str,
    call: &Call,
    span: Span,
    told: impl Fn(&str, bool) -> Told,
) -> Option<Values> {
    let (reader, method) = match symbol {
        "os.environ.get" | "os.getenv" | "os.environ.setdefault" | "os.environ.pop" => {
            ("os", "str")
        }
        "decouple.config" | "decouple.AutoConfig()" | "decouple.Config()" => ("decouple", "str"),
        "environ.Env()" | "environ.FileAwareEnv()" => ("environ", "str"),
        "environs.Env()" => ("environs", "str"),
        _ => {
            let (object, method) = symbol.rsplit_once('.')?;
            let reader = match object {
                "environ.Env()" | "environ.FileAwareEnv()" => "environ.",
                "environs.Env()" => "environs",
                _ => return None,
            };
            if method.contains("read_env") || method == "prefixed" {
                return None;
            }
            (reader, method)
        }
    };
    let name = call
        .positional
        .first()
        .and_then(|values| certain(values))
        .and_then(|value| value.data.as_text().map(str::to_owned));
    let name = name.unwrap_or_else(|| "that it names".to_owned());
    // django-environ's plain call takes a cast before the default.
    let position = if reader == "environ" { 2 } else { 1 };
    let schema = match &call.function.data {
        Data::Call(env) => {
            env.keyword(&name)
                .and_then(|values| match certain(values).map(|value| &value.data) {
                    Some(Data::Sequence(pair)) => pair.items.get(1).cloned(),
                    _ => None,
                })
        }
        _ => None,
    };
    let cast = call
        .keyword("cast")
        .and_then(|values| certain(values))
        .map(|value| value.data.symbol());
    let kind = match (method, cast.as_deref()) {
        (_, None) => method,
        (_, Some("bool")) => "bool",
        (_, Some("int")) => "int",
        (_, Some("str")) => "str",
        (_, Some("list")) if reader == "environ" => "list",
        (_, Some(_)) => "other",
    };
    // django-environ casts to what the scheme of the variable says.
    let kind = match schema.as_deref().and_then(certain).map(|value| &value.data) {
        Some(Data::Bool(_)) => "bool",
        Some(Data::Integer(_)) => "int",
        Some(Data::Sequence(_)) => "list",
        _ => kind,
    };
    let told = told(&name, reader.starts_with("environ"));
    let unknown = || Possible {
        origin: told.origin.clone(),
        ..environment(&name, span)
    };
    let default = match &told.value {
        Some(value) => Some(vec![Possible {
            data: Data::text(value),
            ..unknown()
        }]),
        None => call.argument(position, "default").cloned().or(schema),
    };
    let csv = call
        .keyword("cast")
        .and_then(|values| certain(values))
        .and_then(|cast| csv(&cast.data));
    let Some(default) = default else {
        return Some(vec![unknown()]);
    };
    let values = default
        .iter()
        .map(|value| {
            let data = match (kind, &value.data) {
                (_, Data::Text(text)) if csv.is_some() => csv_items(text, csv == Some(true), value),
                ("bool", Data::Text(text)) => {
                    boolean(reader, text, told.value.is_some()).map(Data::Bool)
                }
                ("int", Data::Text(text)) => text.trim().parse().ok().map(Data::Integer),
                ("bool" | "int", data @ (Data::Bool(_) | Data::Integer(_))) => Some(data.clone()),
                ("list" | "tuple", Data::Text(text)) if !text.is_empty() => {
                    Some(split(text, ",", value))
                }
                ("list" | "tuple", Data::Sequence(sequence)) if !sequence.items.is_empty() => {
                    Some(value.data.clone())
                }
                ("str" | "get" | "get_value" | "url", Data::Text(text)) if !text.is_empty() => {
                    Some(value.data.clone())
                }
                (
                    "str" | "get" | "get_value",
                    Data::Bool(_) | Data::Integer(_) | Data::Sequence(_),
                ) => Some(value.data.clone()),
                _ => None,
            };
            match data {
                Some(data) => Possible {
                    data,
                    span,
                    origin: told.origin.clone(),
                    when: value.when,
                },
                None => unknown(),
            }
        })
        .collect();
    Some(bounded(values))
}

/// What a reader makes of a text where it expects a truth value: django-environ (environ.py,
/// BOOLEAN_TRUE_STRINGS) takes all for False that it does not know, the others refuse that
/// (decouple.py, strtobool; marshmallow/fields.py, Boolean).
fn boolean(reader: &str, text: &str, is_supplied: bool) -> Option<bool> {
    let word = text.to_ascii_lowercase();
    if reader.starts_with("environ") && reader != "environs" && is_supplied {
        return Some(matches!(
            word.trim(),
            "true" | "on" | "ok" | "y" | "yes" | "1"
        ));
    }
    match word.as_str() {
        "true" | "1" | "yes" | "on" | "y" | "t" => Some(true),
        "false" | "0" | "no" | "off" | "n" | "f" => Some(false),
        _ => None,
    }
}

/// Whether a cast of decouple's is `Csv()`: Some(true) where it gives a tuple.
fn csv(cast: &Data) -> Option<bool> {
    let Data::Call(call) = cast else { return None };
    if call.function.data.symbol() != "decouple.Csv" || !call.positional.is_empty() {
        return None;
    }
    match call.keywords.as_slice() {
        [] => Some(false),
        [(name, values)] if name == "post_process" => {
            let symbol = certain(values)?.data.symbol();
            matches!(symbol.as_str(), "tuple" | "list").then_some(symbol == "tuple")
        }
        _ => None,
    }
}

/// What `Csv()` makes of a text without quotes (decouple.py, Csv.__call__).
fn csv_items(text: &str, tuple: bool, from: &Possible) -> Option<Data> {
    if text.contains(['"', '\'', '\\', '#']) {
        return None;
    }
    let parts = text.split(',').filter(|part| !part.is_empty());
    let items = parts.map(|part| vec![from.with(Data::text(part.trim()))]);
    Some(Data::sequence(tuple, items.collect(), true))
}

//! The environment of a container or a unit: which variables the files set there, and to what.

use std::collections::{BTreeMap, HashMap};

use super::{Container, is_compose, is_dockerfile, outward};
use crate::project::Project;
use crate::source::{Kind, Source, Span};
use crate::yaml::{Node, Yaml};

/// Maps that are merged one into the other.
const MAX_MERGES: usize = 16;

/// What the files say of one variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supplied {
    /// This, here.
    Literal(String, Span),
    /// Something that they do not show: `${X}`, a file of variables.
    Hidden,
    /// Nothing.
    Nothing,
}

/// What concerns applications, by the folder of the one in which it lies.
#[derive(Debug)]
pub struct Owned<'a, T> {
    /// In no application's folder.
    loose: Vec<T>,
    by_owner: BTreeMap<&'a str, Vec<T>>,
}

impl<T> Default for Owned<'_, T> {
    fn default() -> Self {
        Self {
            loose: Vec::new(),
            by_owner: BTreeMap::new(),
        }
    }
}

impl<'a, T> Owned<'a, T> {
    /// What lies in the application of that folder, or in none.
    pub fn of(&mut self, owner: Option<&'a str>) -> &mut Vec<T> {
        match owner {
            Some(owner) => self.by_owner.entry(owner).or_default(),
            None => &mut self.loose,
        }
    }

    /// What may concern the application in `home`: all that lies in no other's folder.
    pub fn concerning<'s>(&'s self, home: &'s str) -> impl Iterator<Item = &'s T> {
        let around = outward(home).filter_map(|folder| self.by_owner.get(folder));
        let below = self
            .by_owner
            .range(home..)
            .skip_while(move |(folder, _)| **folder == home);
        let below = below
            .take_while(move |(folder, _)| folder.starts_with(home))
            .filter(move |(folder, _)| home.is_empty() || folder[home.len()..].starts_with('/'));
        let owned = around.chain(below.map(|(_, own)| own)).flatten();
        self.loose.iter().chain(owned)
    }
}

/// The files of a project that speak of the variables that its programs ask for.
#[derive(Debug, Default)]
pub struct Mentions<'a> {
    /// Whether they are scripts, by the names.
    by_name: HashMap<&'a str, Owned<'a, bool>>,
    /// Those that start something with a file of variables.
    with_files: Owned<'a, ()>,
}

impl<'a> Mentions<'a> {
    /// Where `project` speaks of the variables that are `asked` for; what is `about` the programs
    /// may start them with a file of variables. Each file has an `owner`, as in [`Owned`].
    pub fn read(
        project: &'a Project,
        asked: impl Fn(&str) -> bool,
        about: impl Fn(&Source) -> bool,
        owner: impl Fn(&'a Source) -> Option<&'a str>,
    ) -> Self {
        let mut read = Self::default();
        let commands = project.of_kind(Kind::Command);
        for source in commands.chain(project.of_kind(Kind::Tasks)) {
            let text = source.text.as_str();
            let owner = owner(source);
            let files = ["env_file", "EnvironmentFile=", "env-file", "envfile"];
            if about(source) && files.iter().any(|mark| text.contains(mark)) {
                read.with_files.of(owner).push(());
            }
            let is_script = !is_unit(source) && !is_compose(source) && !is_dockerfile(source);
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for name in words.filter(|word| asked(word)) {
                let known = read.by_name.entry(name).or_default().of(owner);
                if !known.contains(&is_script) {
                    known.push(is_script);
                }
            }
        }
        read
    }

    /// What is supplied for the variable `name` of a program in `home` that runs in each of these
    /// environments. What they do not agree about nobody knows, nor what else a script sets; where
    /// none is known, nor what any file says that may concern the program, or a file of variables
    /// that such a file names.
    pub fn supplied(&self, name: &str, running: &[&Environment], home: &str) -> Supplied {
        let named = self.by_name.get(name).into_iter();
        let mut named = named.flat_map(|named| named.concerning(home));
        let mut told = running.iter().map(|one| one.supplies(name));
        let Some(first) = told.next() else {
            let mut files = self.with_files.concerning(home);
            return match named.next().is_some() || files.next().is_some() {
                true => Supplied::Hidden,
                false => Supplied::Nothing,
            };
        };
        let value = |told: &Supplied| match told {
            Supplied::Literal(value, _) => Some(value.clone()),
            _ => None,
        };
        let is_same = |other: Supplied| match first {
            Supplied::Literal(..) => value(&other) == value(&first),
            _ => other == first,
        };
        match told.all(is_same) {
            false => Supplied::Hidden,
            true if first == Supplied::Nothing && named.any(|is_script| *is_script) => {
                Supplied::Hidden
            }
            true => first,
        }
    }
}

/// The units of a project that start a server whose name is one of these, each with its
/// environment.
pub fn units<'a>(
    project: &'a Project,
    servers: &[&str],
) -> impl Iterator<Item = (&'a Source, &'a str, Environment)> {
    let sources = project.of_kind(Kind::Command);
    let units = sources.chain(project.of_kind(Kind::Tasks));
    units
        .filter(|source| is_unit(source))
        .filter_map(move |source| {
            let mut lines = source.text.lines().map(str::trim);
            let starts = |line: &&str| {
                line.starts_with("ExecStart=") && servers.iter().any(|server| line.contains(server))
            };
            Some((source, lines.find(starts)?, Environment::unit(source)))
        })
}

fn is_unit(source: &Source) -> bool {
    source.name().ends_with(".service")
}

/// The variables of one container or unit.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Those that are set by name; `None` where the value is not in the files.
    variables: HashMap<String, Option<(String, Span)>>,
    /// Something that is not read may set any of the others.
    open: bool,
}

impl Environment {
    /// What it says of the variable `name`.
    pub fn supplies(&self, name: &str) -> Supplied {
        match self.variables.get(name) {
            Some(Some((value, span))) => Supplied::Literal(value.clone(), *span),
            Some(None) => Supplied::Hidden,
            None if self.open => Supplied::Hidden,
            None => Supplied::Nothing,
        }
    }

    /// Sets a variable, over what was set before. A name alone is passed on from wherever the
    /// program is started.
    pub(super) fn set(&mut self, name: &str, value: Option<&str>, span: Option<Span>) {
        // `${X}`, quotes that are a part of it, and what a Caddyfile would read as syntax.
        let plain = |value: &&str| {
            !value.is_empty()
                && !value.contains(['$', '%', '{', '}', '"', '\'', '`', '#', '\\', '<', '\n'])
        };
        let literal = value.map(str::trim).filter(plain).map(str::to_owned);
        self.variables.insert(name.to_owned(), literal.zip(span));
    }

    /// A file of variables comes over what was set before.
    pub(super) fn read_file(&mut self) {
        self.variables.clear();
        self.open = true;
    }

    /// What a service of a compose file sets (docs.docker.com/reference/compose-file/services,
    /// `environment`).
    pub(super) fn compose(&mut self, source: &Source, yaml: &Yaml, environment: usize) {
        for item in yaml.items(environment) {
            if let Some(text) = yaml.text(*item) {
                let (name, value) = match text.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (text, None),
                };
                self.set(name, value, yaml.place(source, *item));
            }
        }
        let mut maps = vec![environment];
        for _ in 0..MAX_MERGES {
            let Some(map) = maps.pop() else { return };
            for (key, value) in yaml.pairs(map) {
                match yaml.text(key) {
                    Some("<<") => match yaml.node(value) {
                        Some(Node::List(merged)) => maps.extend(merged),
                        _ => maps.push(value),
                    },
                    // An own key counts before a merged one.
                    Some(name) => match yaml.get(environment, name) {
                        Some(own) if own != value => {}
                        found => {
                            let value = found.and_then(|value| yaml.text(value));
                            self.set(name, value, yaml.place(source, key));
                        }
                    },
                    None => {}
                }
            }
        }
        // Not all of it was read.
        self.open |= !maps.is_empty();
    }

    /// `ENV NAME=value …`, or `ENV NAME value`, of a Dockerfile.
    pub(super) fn dockerfile(&mut self, source: &Source, rest: &str) {
        let pairs = match rest.split_once(char::is_whitespace) {
            Some((name, value)) if !name.contains('=') => vec![(name.to_owned(), value.to_owned())],
            _ => assignments(rest),
        };
        for (name, value) in pairs {
            self.set(&name, Some(&value), place(source, &name));
        }
    }

    /// The environment of a systemd unit, over which its files come (systemd.exec(5)).
    fn unit(source: &Source) -> Self {
        let mut read = Self::default();
        let lines = || source.text.lines().map(str::trim);
        for line in lines() {
            if let Some(set) = line.strip_prefix("Environment=") {
                for (name, value) in assignments(set) {
                    read.set(&name, Some(&value), place(source, &name));
                }
            } else if let Some(names) = line.strip_prefix("PassEnvironment=") {
                for name in names.split_whitespace() {
                    read.set(name, None, None);
                }
            }
        }
        if lines().any(|line| line.starts_with("EnvironmentFile=") || line.contains(ENVFILE)) {
            read.read_file();
        }
        read
    }
}

/// `caddy run --envfile`.
const ENVFILE: &str = "-envfile";

impl Container {
    /// What a command of it says of variables.
    pub(super) fn note_command(&mut self, command: &str) {
        if command.contains(ENVFILE) {
            self.environment.read_file();
        }
    }
}

/// `A=b "C=d e" F="g h"`.
fn assignments(text: &str) -> Vec<(String, String)> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in text.chars() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.push(word);
    let pairs = words.iter().filter_map(|word| word.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Where a file sets `name` last.
fn place(source: &Source, name: &str) -> Option<Span> {
    let text = &source.text;
    let is_set = |(at, _): &(usize, &str)| {
        let before = text[..*at].chars().next_back();
        let whole = before.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        whole && text[at + name.len()..].starts_with(['=', ' ', '\t'])
    };
    let (at, _) = text.match_indices(name).filter(is_set).last()?;
    Some(Span::new(source.id, at..at + name.len()))
}

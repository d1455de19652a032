//! The environment of a container or a unit: which variables the files set there, and to what.

use std::collections::HashMap;

use super::{Container, is_compose, is_dockerfile};
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

/// The files of a project that speak of the variables that its programs ask for.
#[derive(Debug, Default)]
pub struct Mentions<'a> {
    by_name: HashMap<&'a str, Vec<&'a Source>>,
    /// Those that start something with a file of variables.
    with_files: Vec<&'a Source>,
}

impl<'a> Mentions<'a> {
    /// Where `project` speaks of the variables that are `asked` for.
    pub fn read(project: &'a Project, asked: impl Fn(&str) -> bool) -> Self {
        let mut read = Self::default();
        let commands = project.of_kind(Kind::Command);
        for source in commands.chain(project.of_kind(Kind::Tasks)) {
            let text = source.text.as_str();
            let files = ["env_file", "EnvironmentFile=", "env-file", "envfile"];
            if files.iter().any(|mark| text.contains(mark)) {
                read.with_files.push(source);
            }
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for name in words.filter(|word| asked(word)) {
                let known = read.by_name.entry(name).or_default();
                if known.last().is_none_or(|last| last.id != source.id) {
                    known.push(source);
                }
            }
        }
        read
    }

    /// What is supplied for the variable `name` of a program that runs in each of these
    /// environments. What they do not agree about nobody knows, nor what else a script sets; where
    /// none is known, nor what any file says that may concern the program, or a file of variables
    /// that such a file names.
    pub fn supplied(
        &self,
        name: &str,
        running: &[&Environment],
        concerns: impl Fn(&Source) -> bool,
        reads: impl Fn(&Source) -> bool,
    ) -> Supplied {
        let named = self.by_name.get(name).into_iter().flatten();
        let mut named = named.filter(|source| concerns(source));
        let mut told = running.iter().map(|one| one.supplies(name));
        let Some(first) = told.next() else {
            let is_told = named.next().is_some();
            return match is_told || self.with_files.iter().any(|source| reads(source)) {
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
        let is_script =
            |source: &Source| !is_unit(source) && !is_compose(source) && !is_dockerfile(source);
        match told.all(is_same) {
            false => Supplied::Hidden,
            true if first == Supplied::Nothing && named.any(|source| is_script(source)) => {
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

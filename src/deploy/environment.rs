//! The environment of a container or a unit: which variables the files set there, and to what.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Container, invoked, is_compose, is_dockerfile, outward};
use crate::django::is_for_development;
use crate::project::Project;
use crate::source::{Kind, Source, SourceId, Span};
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

/// A file that speaks of a variable.
#[derive(Clone, Copy, Debug)]
struct Mention {
    source: SourceId,
    /// It is no unit, compose file or Dockerfile.
    is_script: bool,
    /// It does more than look the variable up, and is neither a Dockerfile nor a list of tasks.
    sets: bool,
    /// It is for a developer's machine or for tests.
    develops: bool,
}

/// The files of a project that speak of the variables that its programs ask for.
#[derive(Debug, Default)]
pub struct Mentions<'a> {
    by_name: HashMap<&'a str, Owned<'a, Mention>>,
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
            let mention = Mention {
                source: source.id,
                is_script: !is_unit(source) && !is_compose(source) && !is_dockerfile(source),
                sets: false,
                // Drop-ins are called `override.conf`.
                develops: is_for_development(source) && !source.folder().ends_with(".service.d"),
            };
            for (name, sets) in spoken_of(text).filter(|(name, _)| asked(name)) {
                // An image that holds the program is one of those in which it runs.
                let is_other = is_dockerfile(source) || invoked::is_task_list(source);
                let sets = sets && !is_other;
                let known = read.by_name.entry(name).or_default().of(owner);
                match known.last_mut() {
                    Some(last) if last.source == source.id => last.sets |= sets,
                    _ => known.push(Mention { sets, ..mention }),
                }
            }
        }
        read
    }

    /// What is supplied for the variable `name` of a program in `home` that runs in each of these
    /// environments. What they do not agree about nobody knows, nor what another file sets (a script,
    /// a platform's, one for an image from elsewhere); where none is known, nor what any file says
    /// that may concern the program, or a file of variables that such a file names.
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
        if !told.all(is_same) {
            return Supplied::Hidden;
        }
        let is_here = |source| running.iter().any(|one| one.files.contains(&source));
        let says = |mention: &Mention| match first {
            Supplied::Nothing => mention.sets || mention.is_script,
            _ => mention.sets,
        };
        match named.any(|one| says(one) && !one.develops && !is_here(one.source)) {
            true => Supplied::Hidden,
            false => first,
        }
    }
}

/// The variables that a file may speak of, each with whether it does more there than look it up.
fn spoken_of(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.lines().flat_map(|line| {
        let is_comment = line.trim_start().starts_with('#');
        let mut at = 0;
        let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.map(move |word| {
            let before = &line[..at];
            at += word.len();
            // What divides it from the next word.
            at += line[at..].chars().next().map_or(0, char::len_utf8);
            let is_read = before.ends_with('$') || before.ends_with("${");
            (word, !is_comment && !is_read)
        })
    })
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
    /// Those that the command sets over all this.
    commanded: HashSet<String>,
    /// The files that say all this.
    files: BTreeSet<SourceId>,
}

impl Environment {
    /// What it says of the variable `name`.
    pub fn supplies(&self, name: &str) -> Supplied {
        match self.variables.get(name) {
            _ if self.commanded.contains(name) => Supplied::Hidden,
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
        let literal = value.filter(plain).map(str::to_owned);
        self.variables.insert(name.to_owned(), literal.zip(span));
    }

    /// What that file says of the container is all read.
    pub(super) fn read_in(&mut self, source: SourceId) {
        self.files.insert(source);
    }

    /// What a command sets before it starts something: `A=b daphne …`, `env A=b daphne …`.
    fn command(&mut self, command: &str) {
        let between = |c: char| c.is_whitespace() || "\"',;&|()[]".contains(c);
        for word in command.split(between) {
            let is_name = |name: &str| {
                !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            };
            if let Some((name, _)) = word.split_once('=')
                && is_name(name)
            {
                self.commanded.insert(name.to_owned());
            }
        }
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
                            let value = found.and_then(|value| passed(source, yaml, value));
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
            Some((name, value)) if !name.contains('=') => {
                vec![(name.to_owned(), value.trim().to_owned())]
            }
            _ => assignments(rest),
        };
        for (name, value) in pairs {
            self.set(&name, Some(&value), place(source, &name));
        }
    }

    /// The environment of a systemd unit, over which its files come (systemd.exec(5)).
    fn unit(source: &Source) -> Self {
        let mut read = Self::default();
        read.read_in(source.id);
        let lines = invoked::lines(&source.text);
        for line in &lines {
            if let Some(set) = line.strip_prefix("Environment=") {
                // An empty one takes back what was set before.
                if set.is_empty() {
                    read.variables.clear();
                }
                for (name, value) in assignments(set) {
                    read.set(&name, Some(&value), place(source, &name));
                }
            } else if let Some(names) = line.strip_prefix("PassEnvironment=") {
                for name in names.split_whitespace() {
                    read.set(name, None, None);
                }
            } else if let Some(command) = line.strip_prefix("ExecStart=") {
                read.command(command);
            }
        }
        let mut lines = lines.iter();
        if lines.any(|line| line.starts_with("EnvironmentFile=") || line.contains(ENVFILE)) {
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
        self.environment.command(command);
    }
}

/// What compose passes on for a value of a map: what YAML takes for a truth value comes in small
/// letters, `yes` and `on` are none, and nothing is passed on from outside
/// (compose-go/types/mapping.go, mappingValue; gopkg.in/yaml.v3, resolve.go). Of what is a number in
/// another form than Go's nobody here says how it looks.
fn passed<'y>(source: &Source, yaml: &'y Yaml, value: usize) -> Option<&'y str> {
    let text = yaml.text(value)?;
    let place = yaml.place(source, value)?;
    let written = &source.text[place.range()];
    if written.starts_with(['"', '\'', '|', '>']) {
        return Some(text);
    }
    match text {
        "true" | "True" | "TRUE" => Some("true"),
        "false" | "False" | "FALSE" => Some("false"),
        "" | "~" | "null" | "Null" | "NULL" => None,
        _ => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let is_plain = digits == "0"
                || !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
            let is_based = ["0x", "0o", "0b"]
                .iter()
                .any(|base| digits.starts_with(base));
            let is_date = digits.len() >= 8
                && digits
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || byte == b'-');
            let is_number = is_based || is_date || digits.replace('_', "").parse::<f64>().is_ok();
            (is_plain || !is_number).then_some(text)
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

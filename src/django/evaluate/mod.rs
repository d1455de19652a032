//! Evaluates Python modules as far as they can be known without running them.
//!
//! Every module of the project is evaluated once, those that it imports first. Branches whose
//! test the files do not decide are followed both ways and joined; what a function of the
//! project's own computes, what the environment supplies and what `exec` or `globals()` does is
//! unknown, with a reason. A bare `DEBUG` in a test stands for its value in production: False,
//! unless the code says literally otherwise.

mod builtins;
mod calls;
mod changes;
mod configurations;
mod environment;
mod expressions;
mod imports;
mod methods;
mod statements;
#[cfg(test)]
mod tests;

pub use self::configurations::{Configuration, configurations, set_up};

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use self::statements::Frame;
use super::data::{Data, Possible, Values, certain};
use super::modules::{Found, Modules};
use super::syntax::{self, Action, Function, Module, Statement};
use crate::parallel;
use crate::project::Project;
use crate::source::{Kind as SourceKind, SourceId, Span};

/// Evaluation steps for one module; far beyond any written by people.
const MAX_STEPS: u32 = 1_000_000;
/// Rounds of a loop that are followed one by one.
const MAX_ROUNDS: usize = 64;
/// Functions of the project that are followed within each other.
const MAX_CALLS: usize = 6;
/// Nesting of expressions and blocks that is followed.
const MAX_DEPTH: u32 = 80;
/// Earlier places of one name that are told.
const MAX_HISTORY: usize = 4;
/// Items of one list, bytes of one string.
const MAX_ITEMS: usize = 4096;
const MAX_TEXT: usize = 16 << 10;

/// A name's value in a module.
#[derive(Clone, Debug)]
pub struct Binding {
    /// What it may be.
    pub values: Values,
    /// The name where it was last assigned.
    pub target: Span,
    /// What it had before, for the names that settings have.
    before: Option<Arc<Before>>,
    /// A place that may have given it another value before it came here.
    doubt: Option<Arc<Open>>,
    order: u32,
}

/// An earlier value of a name.
#[derive(Clone, Debug)]
struct Before {
    place: Past,
    /// And what it had before that.
    before: Option<Arc<Before>>,
}

/// A place that had to do with a name's value before it became what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// The name there.
    pub span: Span,
    /// What became of it.
    pub how: How,
}

/// What became of an earlier value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Another one was put in its place.
    Overridden,
    /// A later one was made of it, as `+=` does.
    Extended,
    /// It was changed in its place there, as `append` does.
    Changed,
}

impl Binding {
    /// Where the name was assigned or changed before, the latest first.
    pub fn history(&self) -> impl Iterator<Item = Past> {
        let first = self.before.as_deref();
        std::iter::successors(first, |one| one.before.as_deref())
            .map(|one| one.place)
            .take(MAX_HISTORY)
    }

    /// What the name had before, with its last value, of which `how` became.
    fn past(&self, span: Span, how: How) -> Option<Arc<Before>> {
        let before = self.before.clone();
        let before = before.filter(|_| self.history().count() < MAX_HISTORY);
        Some(Arc::new(Before {
            place: Past { span, how },
            before,
        }))
    }
}

/// A place after which names may have other values than those written.
#[derive(Clone, Debug)]
pub struct Open {
    /// Where.
    pub span: Span,
    /// Why, for a person.
    pub why: String,
    order: u32,
}

/// A module after its last line.
#[derive(Debug, Default)]
pub struct Evaluated {
    names: HashMap<String, Binding>,
    opens: Vec<Open>,
    /// Modules of the project whose names it takes over with `import *`.
    pub stars: Vec<SourceId>,
}

impl Evaluated {
    /// A name's binding.
    pub fn get(&self, name: &str) -> Option<&Binding> {
        self.names.get(name)
    }

    /// All names with their bindings.
    pub fn names(&self) -> impl Iterator<Item = (&String, &Binding)> {
        self.names.iter()
    }

    /// The place after `binding` that may give it another value.
    pub fn reopened<'a>(&'a self, binding: &'a Binding) -> Option<&'a Open> {
        let later = || self.opens.iter().find(|open| open.order > binding.order);
        binding.doubt.as_deref().or_else(later)
    }

    /// A place that may set names of which nothing is seen.
    pub fn open(&self) -> Option<&Open> {
        self.opens.first()
    }
}

/// The modules of a project, as they are written.
pub type Parsed = HashMap<SourceId, Module>;

/// Parses every Python source of `project`.
pub fn parse(project: &Project) -> Parsed {
    let mut sources: Vec<_> = project.of_kind(SourceKind::Python).collect();
    // The largest first, while little else is held: the syntax tree of a file takes far more room
    // than what is read of it. Two threads begin with the two halves.
    sources.sort_by_key(|source| Reverse(source.text.len()));
    let second = sources.iter().skip(1).step_by(2);
    let sources: Vec<_> = sources.iter().step_by(2).chain(second).copied().collect();
    let bytes = sources.iter().map(|source| source.text.len()).sum();
    let parsed = parallel::map(&sources, parallel::pays(bytes), |source| {
        (source.id, syntax::parse(source))
    });
    parsed.into_iter().collect()
}

/// All modules of a project, evaluated.
#[derive(Debug)]
pub struct Program<'p> {
    project: &'p Project,
    /// Where modules are.
    pub modules: Modules<'p>,
    evaluated: BTreeMap<SourceId, Evaluated>,
    parsed: Parsed,
    /// Modules that look like settings by their path.
    settings: Vec<SourceId>,
    /// What the project's deployment says of variables.
    deployment: environment::Deployment<'p>,
    /// Folders whose settings dynaconf assembles.
    assembled: HashSet<&'p str>,
    /// The first syntax error of each file that has one.
    pub errors: Vec<Span>,
}

impl<'p> Program<'p> {
    /// Evaluates every Python source of `project`, as [`parse`] read them.
    pub fn new(project: &'p Project, parsed: Parsed) -> Self {
        let mut errors: Vec<Span> = parsed.values().filter_map(|module| module.error).collect();
        errors.sort();
        let mut program = Self {
            project,
            modules: Modules::new(project),
            evaluated: BTreeMap::new(),
            parsed,
            settings: Vec::new(),
            deployment: environment::Deployment::read(project),
            assembled: HashSet::new(),
            errors,
        };
        let sources = || project.of_kind(SourceKind::Python);
        let (settings, others): (Vec<_>, Vec<_>) =
            sources().partition(|source| source.path.contains("settings"));
        program.settings = settings.iter().map(|source| source.id).collect();
        program.assembled = settings
            .iter()
            .filter(|source| source.text.contains("dynaconf") || source.text.contains("DYNACONF"))
            .map(|source| source.folder())
            .collect();
        // What others read through `django.conf.settings` is there before them.
        let sources = settings.into_iter().chain(others);
        for id in program.in_order(sources.map(|source| source.id)) {
            if let Some(module) = program.parsed.get(&id) {
                let mut evaluated = Frame::new(&program, id).run(module);
                if program.is_assembled(id) {
                    evaluated.opens.insert(0, Open {
                        span: Span::new(id, 0..0),
                        why: "dynaconf puts these settings together, and the environment may replace each".to_owned(),
                        order: u32::MAX,
                    });
                }
                program.evaluated.insert(id, evaluated);
            }
        }
        program
    }

    /// The statements of a module, as they are written.
    pub fn statements(&self, id: SourceId) -> &[Statement] {
        self.parsed
            .get(&id)
            .map_or(&[], |module| module.statements.as_slice())
    }

    /// The text of a module.
    pub fn text(&self, id: SourceId) -> &str {
        &self.project.source(id).text
    }

    /// The bytes at `span`.
    pub fn slice(&self, span: Span) -> &str {
        self.project.slice(span)
    }

    /// Whether some file of the project holds this word.
    pub fn mentions(&self, word: &str) -> bool {
        let mut sources = self.project.sources.iter();
        sources.any(|source| source.text.contains(word))
    }

    /// The function whose statement is at `span`, at the top of its module or in a class there.
    pub fn function(&self, span: Span) -> Option<&Function> {
        let mut at = self.statements(span.source);
        loop {
            let found = at.partition_point(|statement| statement.span.end < span.end);
            let statement = at.get(found).filter(|found| found.span.contains(span))?;
            match &statement.action {
                Action::Function(function) if statement.span == span => return Some(function),
                Action::Class { body, .. } => at = body,
                _ => return None,
            }
        }
    }

    /// The module of a source.
    pub fn module(&self, id: SourceId) -> Option<&Evaluated> {
        self.evaluated.get(&id)
    }

    /// Whether dynaconf puts the settings together of which this module is a part: files that it
    /// names and the environment then set what they like.
    fn is_assembled(&self, id: SourceId) -> bool {
        self.assembled.contains(self.project.source(id).folder())
    }

    /// The text or number that every module of settings gives `name`, if one does and none differs:
    /// which of them runs is known only later.
    fn setting(&self, name: &str) -> Option<Possible> {
        let mut found: Option<&Possible> = None;
        for id in &self.settings {
            let Some((module, binding)) = self
                .module(*id)
                .and_then(|module| Some((module, module.get(name)?)))
            else {
                continue;
            };
            let value = certain(&binding.values)
                .filter(|value| matches!(value.data, Data::Text(_) | Data::Integer(_)))
                .filter(|_| module.reopened(binding).is_none())?;
            if found.is_some_and(|found| found.data.equals(&value.data) != Some(true)) {
                return None;
            }
            found = found.filter(|found| found.is_default()).or(Some(value));
        }
        found.cloned()
    }

    /// Takes a module out.
    pub fn take(&mut self, id: SourceId) -> Option<Evaluated> {
        self.evaluated.remove(&id)
    }

    /// All modules, in the order of their sources.
    pub fn all(&self) -> impl Iterator<Item = (SourceId, &Evaluated)> {
        self.evaluated.iter().map(|(id, module)| (*id, module))
    }

    /// Imported modules before those that import them, without recursion: an import chain may
    /// be as long as a project is large.
    fn in_order(&self, sources: impl Iterator<Item = SourceId>) -> Vec<SourceId> {
        let mut order = Vec::new();
        let mut seen = HashSet::new();
        for id in sources {
            let mut stack = vec![(id, false)];
            while let Some((id, done)) = stack.pop() {
                if done {
                    order.push(id);
                } else if seen.insert(id) {
                    stack.push((id, true));
                    let mut imports = Vec::new();
                    if let Some(module) = self.parsed.get(&id) {
                        self.imports(id, &module.statements, &mut imports);
                    }
                    stack.extend(
                        imports
                            .into_iter()
                            .filter(|id| !seen.contains(id))
                            .map(|id| (id, false)),
                    );
                }
            }
        }
        order
    }

    /// Whether a module calls a name outside of functions and classes.
    fn calls(&self, module: SourceId, statements: &[Statement], name: &str) -> bool {
        let call = format!("{name}(");
        let plain = statements.iter().filter(|statement| {
            !matches!(
                statement.action,
                Action::Function(_) | Action::Class { .. } | Action::Import(_)
            )
        });
        let text = self.text(module);
        plain
            .filter_map(|statement| {
                text.get(statement.span.start as usize..statement.span.end as usize)
            })
            .any(|text| text.contains(&call))
    }

    fn imports(&self, from: SourceId, statements: &[Statement], found: &mut Vec<SourceId>) {
        // A function that the module itself calls imports at that time.
        for statement in statements {
            if let Action::Function(function) = &statement.action
                && self.calls(from, statements, &function.name)
            {
                self.imports(from, &function.body, found);
            }
        }
        let mut add = |level: usize, path: &str| {
            if let Found::Here(at) = self.modules.find(from, level, path) {
                found.extend(self.modules.source(&at).map(|source| source.id));
            }
        };
        syntax::each(statements, &mut |statement| match &statement.action {
            Action::Import(modules) => {
                for module in modules {
                    add(0, &module.path);
                }
            }
            Action::ImportFrom { module, names } => {
                add(module.level, &module.path);
                for name in names.iter().flatten() {
                    let dot = if module.path.is_empty() { "" } else { "." };
                    add(module.level, &format!("{}{dot}{}", module.path, name.name));
                }
            }
            _ => {}
        });
    }
}

/// Whether a module's name says that it is for a developer's machine or for tests.
pub fn is_development(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.trim_start_matches('_');
    name.split(['_', '-', '.', '/']).any(|word| {
        matches!(
            word,
            "dev"
                | "devel"
                | "develop"
                | "development"
                | "local"
                | "localhost"
                | "test"
                | "tests"
                | "testing"
                | "ci"
                | "debug"
                | "devcontainer"
                | "pytest"
                | "example"
                | "sample"
                | "demo"
                | "e2e"
        )
    })
}

//! Evaluates Python modules as far as they can be known without running them.
//!
//! Every module of the project is evaluated once, those that it imports first. Branches whose
//! test the files do not decide are followed both ways and joined; what a function of the
//! project's own computes, what the environment supplies and what `exec` or `globals()` does is
//! unknown, with a reason. A bare `DEBUG` in a test stands for its value in production: False,
//! unless the code says literally otherwise.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::data::{
    Call, Data, Dictionary, Origin, Possible, Sequence, Values, bounded, certain, join, weaker,
};
use super::modules::{Found, Modules};
use super::syntax::{self, Action, Argument, Expression, Item, Kind, Module, Piece, Statement};
use crate::parallel;
use crate::project::Project;
use crate::source::{Kind as SourceKind, SourceId, Span};

/// Evaluation steps for one module; far beyond any written by people.
const MAX_STEPS: u32 = 1_000_000;
/// Nesting of expressions and blocks that is followed.
const MAX_DEPTH: u32 = 80;
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
    order: u32,
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
    pub fn reopened(&self, binding: &Binding) -> Option<&Open> {
        self.opens.iter().find(|open| open.order > binding.order)
    }

    /// A place that may set names of which nothing is seen.
    pub fn open(&self) -> Option<&Open> {
        self.opens.first()
    }
}

/// All modules of a project, evaluated.
#[derive(Debug)]
pub struct Program<'p> {
    /// Where modules are.
    pub modules: Modules<'p>,
    evaluated: HashMap<SourceId, Evaluated>,
    /// The first syntax error of each file that has one.
    pub errors: Vec<Span>,
}

impl<'p> Program<'p> {
    /// Evaluates every Python source of `project`.
    pub fn new(project: &'p Project) -> Self {
        let sources: Vec<_> = project.of_kind(SourceKind::Python).collect();
        let bytes = sources.iter().map(|source| source.text.len()).sum();
        let parsed: HashMap<SourceId, Module> =
            parallel::map(&sources, parallel::pays(bytes), |source| {
                (source.id, syntax::parse(source))
            })
            .into_iter()
            .collect();
        let mut errors: Vec<Span> = parsed.values().filter_map(|module| module.error).collect();
        errors.sort();
        let mut program = Self {
            modules: Modules::new(project),
            evaluated: HashMap::new(),
            errors,
        };
        for id in program.in_order(sources.iter().map(|source| source.id), &parsed) {
            if let Some(module) = parsed.get(&id) {
                let evaluated = Frame::new(&program, id).run(module);
                program.evaluated.insert(id, evaluated);
            }
        }
        program
    }

    /// The module of a source.
    pub fn module(&self, id: SourceId) -> Option<&Evaluated> {
        self.evaluated.get(&id)
    }

    /// Takes a module out.
    pub fn take(&mut self, id: SourceId) -> Option<Evaluated> {
        self.evaluated.remove(&id)
    }

    /// All modules, in the order of their sources.
    pub fn all(&self) -> impl Iterator<Item = (SourceId, &Evaluated)> {
        let mut all: Vec<_> = self
            .evaluated
            .iter()
            .map(|(id, module)| (*id, module))
            .collect();
        all.sort_by_key(|(id, _)| *id);
        all.into_iter()
    }

    /// Imported modules before those that import them, without recursion: an import chain may
    /// be as long as a project is large.
    fn in_order(
        &self,
        sources: impl Iterator<Item = SourceId>,
        parsed: &HashMap<SourceId, Module>,
    ) -> Vec<SourceId> {
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
                    if let Some(module) = parsed.get(&id) {
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

    fn imports(&self, from: SourceId, statements: &[Statement], found: &mut Vec<SourceId>) {
        let mut add = |level: usize, path: &str| {
            if let Found::Here(at) = self.modules.find(from, level, path) {
                found.extend(self.modules.source(&at).map(|source| source.id));
                return Some(at);
            }
            None
        };
        let mut nested: Vec<&[Statement]> = Vec::new();
        for statement in statements {
            match &statement.action {
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
                Action::If(branches) => {
                    nested.extend(branches.iter().map(|(_, body)| body.as_slice()))
                }
                Action::Try {
                    body,
                    handlers,
                    finally,
                } => {
                    nested.push(body);
                    nested.extend(handlers.iter().map(Vec::as_slice));
                    nested.push(finally);
                }
                Action::Loop { body, .. } | Action::Block(body) => nested.push(body),
                _ => {}
            }
        }
        for body in nested {
            self.imports(from, body, found);
        }
    }
}

/// The evaluation of one module.
struct Frame<'a, 'p> {
    program: &'a Program<'p>,
    source: SourceId,
    /// The module's names, and on top of them what each branch that is being followed assigned.
    layers: Vec<HashMap<String, Binding>>,
    opens: Vec<Open>,
    stars: Vec<SourceId>,
    order: u32,
    steps: u32,
    depth: u32,
}

impl<'a, 'p> Frame<'a, 'p> {
    fn new(program: &'a Program<'p>, source: SourceId) -> Self {
        Self {
            program,
            source,
            layers: vec![HashMap::new()],
            opens: Vec::new(),
            stars: Vec::new(),
            order: 0,
            steps: MAX_STEPS,
            depth: 0,
        }
    }

    fn run(mut self, module: &Module) -> Evaluated {
        self.block(&module.statements);
        Evaluated {
            names: self.layers.swap_remove(0),
            opens: self.opens,
            stars: self.stars,
        }
    }

    // Names ---------------------------------------------------------------------------------

    fn lookup(&self, name: &str) -> Option<&Binding> {
        self.layers.iter().rev().find_map(|layer| layer.get(name))
    }

    fn bind(&mut self, name: &str, values: Values, target: Span) {
        self.order += 1;
        let binding = Binding {
            values,
            target,
            order: self.order,
        };
        if let Some(layer) = self.layers.last_mut() {
            layer.insert(name.to_owned(), binding);
        }
    }

    /// Counts work whose size a file decides.
    fn spend(&mut self, work: usize) {
        self.steps = self
            .steps
            .saturating_sub(u32::try_from(work).unwrap_or(u32::MAX));
    }

    fn reopen(&mut self, span: Span, why: impl Into<String>) {
        self.order += 1;
        self.opens.push(Open {
            span,
            why: why.into(),
            order: self.order,
        });
    }

    // Statements ----------------------------------------------------------------------------

    /// Runs statements; false if something in them leaves (`raise`).
    fn block(&mut self, statements: &[Statement]) -> bool {
        if self.depth >= MAX_DEPTH {
            return true;
        }
        self.depth += 1;
        let mut stays = true;
        for statement in statements {
            if self.steps == 0 {
                self.reopen(statement.span, "this module is too long to be followed");
                break;
            }
            self.steps -= 1;
            if !self.statement(statement) {
                stays = false;
                break;
            }
        }
        self.depth -= 1;
        stays
    }

    fn statement(&mut self, statement: &Statement) -> bool {
        match &statement.action {
            Action::Assign { targets, value } => {
                let values = self.expression(value);
                for target in targets {
                    self.assign(target, values.clone());
                }
            }
            Action::Augment {
                target,
                operator,
                value,
            } => {
                let before = self.expression(target);
                let added = self.expression(value);
                let values = self.operate(operator, &before, &added, target.span);
                self.assign(target, values);
            }
            Action::Evaluate(expression) => self.effect(expression),
            Action::Import(modules) => {
                for module in modules {
                    self.import(module, statement.span);
                }
            }
            Action::ImportFrom { module, names } => {
                self.import_from(module, names.as_deref(), statement.span)
            }
            Action::If(branches) => return self.branch(branches, statement.span),
            Action::Try {
                body,
                handlers,
                finally,
            } => {
                let stays = self.attempt(body, handlers);
                return self.block(finally) && stays;
            }
            Action::Loop { target, body } => {
                if let Some(target) = target {
                    self.assign(
                        target,
                        vec![Possible::unknown("a loop sets it", target.span)],
                    );
                }
                self.layers.push(HashMap::new());
                self.block(body);
                for (name, binding) in self.layers.pop().unwrap_or_default() {
                    let unknown = Possible::unknown("a loop sets it", binding.target);
                    let before = self
                        .lookup(&name)
                        .map(|binding| binding.values.clone())
                        .unwrap_or_default();
                    self.bind(&name, join(before, vec![unknown]), binding.target);
                }
            }
            Action::Block(body) => return self.block(body),
            Action::Class { name, bases } => {
                let bases = bases.iter().map(|base| self.expression(base)).collect();
                let data = Data::class(name, self.source, bases);
                self.bind(
                    name,
                    vec![Possible::literal(data, statement.span)],
                    statement.span,
                );
            }
            Action::Function { name } => {
                let data = Data::Function(name.as_str().into());
                self.bind(
                    name,
                    vec![Possible::literal(data, statement.span)],
                    statement.span,
                );
            }
            Action::Delete(targets) => {
                for target in targets {
                    if let Kind::Name(name) = &target.kind {
                        self.bind(
                            name,
                            vec![Possible::literal(Data::Absent, target.span)],
                            target.span,
                        );
                    }
                }
            }
            Action::Leave => return false,
            Action::Other => {}
        }
        true
    }

    /// Follows each branch that may be taken and joins what they leave behind.
    fn branch(&mut self, branches: &[(Option<Expression>, Vec<Statement>)], span: Span) -> bool {
        let mut ends: Vec<(HashMap<String, Binding>, Option<Span>)> = Vec::new();
        let mut falls_through = true;
        let mut undecided = false;
        for (test, body) in branches {
            let holds = match test {
                Some(test) => self.test(test),
                None => Some(true),
            };
            if holds == Some(false) {
                continue;
            }
            if holds == Some(true) && !undecided {
                // The only branch that can be taken: nothing to join.
                return self.block(body);
            }
            undecided |= holds.is_none();
            self.layers.push(HashMap::new());
            let stays = self.block(body);
            let layer = self.layers.pop().unwrap_or_default();
            if stays {
                ends.push((layer, test.as_ref().map(|test| test.span)));
            }
            if holds == Some(true) {
                falls_through = false;
                break;
            }
        }
        if falls_through {
            ends.push((HashMap::new(), None));
        }
        self.join_layers(ends, span)
    }

    fn attempt(&mut self, body: &[Statement], handlers: &[Vec<Statement>]) -> bool {
        let opens = self.opens.len();
        self.layers.push(HashMap::new());
        let stays = self.block(body);
        let layer = self.layers.pop().unwrap_or_default();
        let mut ends = Vec::new();
        if stays {
            ends.push((layer, None));
        }
        // Imports of files that are here do not fail, unless the file is one that is left out in production.
        let succeeds = self.opens.len() == opens
            && !body.is_empty()
            && body.iter().all(|statement| match &statement.action {
                Action::ImportFrom { module, .. } => {
                    let last = module.path.rsplit('.').next().unwrap_or_default();
                    let found = self
                        .program
                        .modules
                        .find(self.source, module.level, &module.path);
                    matches!(found, Found::Here(_)) && !is_development(last)
                }
                _ => false,
            });
        if !succeeds {
            for handler in handlers {
                self.layers.push(HashMap::new());
                let stays = self.block(handler);
                let layer = self.layers.pop().unwrap_or_default();
                if stays {
                    ends.push((layer, None));
                }
            }
        }
        let span = body
            .first()
            .map_or(Span::new(self.source, 0..0), |statement| statement.span);
        self.join_layers(ends, span)
    }

    fn join_layers(
        &mut self,
        ends: Vec<(HashMap<String, Binding>, Option<Span>)>,
        span: Span,
    ) -> bool {
        if ends.is_empty() {
            return false;
        }
        let mut names: Vec<&String> = ends.iter().flat_map(|(layer, _)| layer.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let names: Vec<String> = names.into_iter().cloned().collect();
        for name in names {
            let before = self.lookup(&name).cloned();
            let mut values = Values::new();
            let mut target = None;
            for (layer, test) in &ends {
                match layer.get(&name) {
                    Some(binding) => {
                        target = Some(binding.target);
                        let mut here = binding.values.clone();
                        for possible in &mut here {
                            possible.when = possible.when.or(*test);
                        }
                        values = join(values, here);
                    }
                    None => {
                        let outer = match &before {
                            Some(binding) => binding.values.clone(),
                            None => vec![Possible::literal(Data::Absent, span)],
                        };
                        values = join(values, outer);
                    }
                }
            }
            self.bind(&name, values, target.unwrap_or(span));
        }
        true
    }

    fn import(&mut self, module: &syntax::ImportedModule, span: Span) {
        let (name, path) = match &module.alias {
            Some(alias) => (alias.as_str(), module.path.as_str()),
            // `import a.b` binds `a`.
            None => {
                let top = module.path.split('.').next().unwrap_or_default();
                (top, top)
            }
        };
        let data = match self.program.modules.find(self.source, 0, path) {
            Found::Here(at) => Data::Module(at.as_str().into()),
            Found::Outside => Data::External(path.into()),
            Found::Missing => Data::unknown("its module is not in the project"),
        };
        self.bind(name, vec![Possible::literal(data, span)], span);
    }

    fn import_from(
        &mut self,
        module: &syntax::ModuleName,
        names: Option<&[syntax::ImportedName]>,
        span: Span,
    ) {
        let found = self
            .program
            .modules
            .find(self.source, module.level, &module.path);
        let Some(names) = names else {
            return self.import_star(module, &found);
        };
        for name in names {
            let values = match &found {
                Found::Here(at) => self.member(at, &name.name, span),
                Found::Outside => {
                    let path = format!("{}.{}", module.path, name.name);
                    vec![Possible::literal(
                        Data::External(path.as_str().into()),
                        span,
                    )]
                }
                Found::Missing => vec![Possible::unknown("its module is not in the project", span)],
            };
            self.bind(&name.alias, values, span);
        }
    }

    fn import_star(&mut self, module: &syntax::ModuleName, found: &Found) {
        match found {
            // Nothing that Django's own modules export is a setting that we read.
            Found::Outside if module.path.starts_with("django.") => return,
            Found::Here(at) => {
                if let Some(source) = self.program.modules.source(at)
                    && let Some(evaluated) = self.program.module(source.id)
                {
                    self.stars.push(source.id);
                    self.spend(evaluated.names.len() + evaluated.opens.len());
                    let mut public: Vec<_> = evaluated
                        .names
                        .iter()
                        .filter(|(name, _)| !name.starts_with('_'))
                        .collect();
                    public.sort_by_key(|(_, binding)| binding.order);
                    for (name, binding) in public {
                        self.bind(name, binding.values.clone(), binding.target);
                        // What was uncertain there is uncertain here.
                        if let Some(open) = evaluated.reopened(binding) {
                            let why = open.why.clone();
                            self.reopen_at(name, open.span, why);
                        }
                    }
                    for open in &evaluated.opens {
                        // Names of which nothing was seen may come from there.
                        self.opens.push(Open {
                            order: 0,
                            ..open.clone()
                        });
                    }
                    return;
                }
            }
            Found::Outside | Found::Missing => {}
        }
        let dots = ".".repeat(module.level);
        self.reopen(
            module.span,
            format!(
                "`from {dots}{} import *` brings in names from a file that is not in the project",
                module.path
            ),
        );
    }

    /// Marks one name as possibly overridden at `span`.
    fn reopen_at(&mut self, name: &str, span: Span, why: String) {
        if let Some(binding) = self.layers.last_mut().and_then(|layer| layer.get_mut(name)) {
            // Older than the newest opening: `reopened` will find it.
            binding.order = 0;
        }
        self.opens.push(Open {
            span,
            why,
            order: 1,
        });
    }

    /// A name of a first-party module: what it binds, or a module below it.
    fn member(&self, at: &str, name: &str, span: Span) -> Values {
        let modules = &self.program.modules;
        let source = modules.source(at);
        let evaluated = source.and_then(|source| self.program.module(source.id));
        if let Some(binding) = evaluated.and_then(|module| module.get(name)) {
            return binding.values.clone();
        }
        let below = format!("{at}/{name}");
        if modules.exists(&below) {
            return vec![Possible::literal(Data::Module(below.as_str().into()), span)];
        }
        vec![Possible::unknown(
            "its module does not define it plainly",
            span,
        )]
    }

    fn assign(&mut self, target: &Expression, values: Values) {
        match &target.kind {
            Kind::Name(name) => self.bind(name, values, target.span),
            Kind::Sequence { items, .. } => {
                let parts = match certain(&values) {
                    Some(Possible {
                        data: Data::Sequence(sequence),
                        ..
                    }) if sequence.complete && sequence.items.len() == items.len() => {
                        Some(sequence.clone())
                    }
                    _ => None,
                };
                for (at, item) in items.iter().enumerate() {
                    let (Item::One(target) | Item::Splice(target)) = item;
                    let value = match &parts {
                        Some(sequence) => sequence.items[at].clone(),
                        None => vec![Possible::unknown(
                            "it is unpacked from something unknown",
                            target.span,
                        )],
                    };
                    if self.depth < MAX_DEPTH {
                        self.depth += 1;
                        self.assign(target, value);
                        self.depth -= 1;
                    }
                }
            }
            Kind::Subscript(object, key) => self.assign_key(object, key, values, target.span),
            _ => {}
        }
    }

    fn assign_key(&mut self, object: &Expression, key: &Expression, values: Values, span: Span) {
        let keys = self.expression(key);
        match &object.kind {
            Kind::Name(name) => {
                let Some(binding) = self.lookup(name).cloned() else {
                    return;
                };
                self.spend(
                    binding
                        .values
                        .iter()
                        .map(|possible| size(&possible.data))
                        .sum(),
                );
                let target = binding.target;
                let changed = binding
                    .values
                    .iter()
                    .map(|possible| match (&possible.data, certain(&keys)) {
                        (Data::Dictionary(dictionary), Some(key)) => {
                            possible.with(with_pair(dictionary, key.clone(), values.clone()))
                        }
                        (Data::Dictionary(dictionary), None) => {
                            possible.with(incomplete(dictionary))
                        }
                        _ => possible.clone(),
                    })
                    .collect();
                self.bind(name, changed, target);
            }
            Kind::Call { function, .. } if is_namespace(function) => {
                match certain(&keys).and_then(|key| key.data.as_text().map(str::to_owned)) {
                    Some(name) => self.bind(&name, values, span),
                    None => self.reopen(span, "names are set through `globals()`"),
                }
            }
            Kind::Subscript(..) => {
                // `A["b"]["c"] = …`: what A holds is no longer all that is written.
                let mut at = object;
                while let Kind::Subscript(inner, _) = &at.kind {
                    at = inner;
                }
                if let Kind::Name(name) = &at.kind
                    && let Some(binding) = self.lookup(name)
                {
                    let target = binding.target;
                    let changed = binding
                        .values
                        .iter()
                        .map(|possible| match &possible.data {
                            Data::Dictionary(dictionary) => possible.with(incomplete(dictionary)),
                            _ => possible.clone(),
                        })
                        .collect();
                    self.bind(name, changed, target);
                }
            }
            _ => {}
        }
    }

    /// An expression for its effect: a method that changes a list, a helper that sets names.
    fn effect(&mut self, expression: &Expression) {
        let Kind::Call {
            function,
            arguments,
        } = &expression.kind
        else {
            self.expression(expression);
            return;
        };
        if let Kind::Attribute(object, method) = &function.kind {
            if let Kind::Name(name) = &object.kind
                && self.lookup(name).is_some_and(|binding| {
                    binding.values.iter().any(|possible| {
                        matches!(possible.data, Data::Sequence(_) | Data::Dictionary(_))
                    })
                })
            {
                return self.mutate(&name.clone(), method, arguments);
            }
            if let Kind::Call { function, .. } = &object.kind
                && is_namespace(function)
            {
                return self.reopen(expression.span, "names are set through `globals()`");
            }
        }
        let values = self.expression(expression);
        let symbol = match certain(&values).map(|possible| &possible.data) {
            Some(Data::Call(call)) => call.function.data.symbol(),
            _ => String::new(),
        };
        if matches!(symbol.as_str(), "exec" | "execfile" | "setattr")
            || symbol.starts_with("split_settings.tools.")
        {
            self.reopen(expression.span, format!("`{symbol}()` may set names"));
        }
        if symbol.starts_with("django_heroku.settings") {
            // It sets SECURE_PROXY_SSL_HEADER and more in the namespace that it is given.
            self.reopen(expression.span, "`django_heroku.settings()` sets settings");
        }
    }

    fn mutate(&mut self, name: &str, method: &str, arguments: &[Argument]) {
        let Some(target) = self.lookup(name).map(|binding| binding.target) else {
            return;
        };
        let mut positional = Vec::new();
        let mut keywords = Vec::new();
        let mut complete = true;
        for argument in arguments {
            match argument {
                Argument::Positional(value) => positional.push(self.expression(value)),
                Argument::Keyword(key, value) => {
                    keywords.push((key.clone(), self.expression(value)))
                }
                Argument::Splice => complete = false,
            }
        }
        let before = self
            .lookup(name)
            .map(|binding| binding.values.clone())
            .unwrap_or_default();
        self.spend(before.iter().map(|possible| size(&possible.data)).sum());
        let changed = before
            .iter()
            .map(|possible| {
                let data = match &possible.data {
                    Data::Sequence(sequence) => sequence_method(sequence, method, &positional),
                    Data::Dictionary(dictionary) => {
                        dictionary_method(dictionary, method, &positional, &keywords, complete)
                    }
                    other => other.clone(),
                };
                possible.with(data)
            })
            .collect();
        self.bind(name, changed, target);
    }

    // Expressions ---------------------------------------------------------------------------

    /// Whether a test holds, where the code decides it.
    fn test(&mut self, test: &Expression) -> Option<bool> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let holds = match &test.kind {
            Kind::Name(name) if name == "DEBUG" => Some(self.debug()),
            Kind::Not(inner) => self.test(inner).map(|holds| !holds),
            Kind::Binary {
                operator,
                left,
                right,
            } if operator == "and" => match (self.test(left), self.test(right)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Kind::Binary {
                operator,
                left,
                right,
            } if operator == "or" => match (self.test(left), self.test(right)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Kind::Binary {
                operator,
                left,
                right,
            } if matches!(&left.kind, Kind::Name(name) if name == "DEBUG")
                && matches!(operator.as_str(), "is" | "==" | "is not" | "!=") =>
            {
                match &right.kind {
                    Kind::Bool(value) => {
                        Some((self.debug() == *value) == matches!(operator.as_str(), "is" | "=="))
                    }
                    _ => None,
                }
            }
            _ => {
                let values = self.expression(test);
                let mut truths = values.iter().map(|possible| {
                    if possible.is_default() {
                        None
                    } else {
                        possible.data.truth()
                    }
                });
                let first = truths.next().flatten();
                truths
                    .all(|truth| truth == first)
                    .then_some(first)
                    .flatten()
            }
        };
        self.depth -= 1;
        holds
    }

    /// DEBUG in production: what the code says literally, else False.
    fn debug(&self) -> bool {
        self.lookup("DEBUG").is_some_and(|binding| {
            certain(&binding.values).is_some_and(|possible| {
                !possible.is_default()
                    && possible.when.is_none()
                    && matches!(possible.data, Data::Bool(true))
            })
        })
    }

    fn expression(&mut self, expression: &Expression) -> Values {
        if self.steps == 0 || self.depth >= MAX_DEPTH {
            return vec![Possible::unknown(
                "it is nested too deeply to be followed",
                expression.span,
            )];
        }
        self.steps -= 1;
        self.depth += 1;
        let values = self.evaluate(expression);
        self.depth -= 1;
        values
    }

    fn evaluate(&mut self, expression: &Expression) -> Values {
        let span = expression.span;
        let data = match &expression.kind {
            Kind::Text(pieces) => return self.text(pieces, span),
            Kind::Integer(value) => Data::Integer(*value),
            Kind::Bool(value) => Data::Bool(*value),
            Kind::None => Data::None,
            Kind::Name(name) => return self.name(name, span),
            Kind::Attribute(object, name) => {
                let objects = self.expression(object);
                return self.attribute(&objects, name, span);
            }
            Kind::Subscript(object, key) => {
                let objects = self.expression(object);
                let keys = self.expression(key);
                return subscript(&objects, &keys, span);
            }
            Kind::Call {
                function,
                arguments,
            } => return self.call(function, arguments, span),
            Kind::Sequence { tuple, items } => {
                let (mut all, mut complete) = (Vec::new(), true);
                for item in items {
                    match item {
                        Item::One(item) => all.push(self.expression(item)),
                        Item::Splice(item) => {
                            match certain(&self.expression(item)).map(|possible| &possible.data) {
                                Some(Data::Sequence(inner)) => {
                                    all.extend(inner.items.iter().cloned());
                                    complete &= inner.complete;
                                }
                                _ => complete = false,
                            }
                        }
                    }
                    if all.len() > MAX_ITEMS {
                        complete = false;
                        all.truncate(MAX_ITEMS);
                        break;
                    }
                }
                self.spend(all.len());
                Data::sequence(*tuple, all, complete)
            }
            Kind::Dictionary(pairs) => {
                let (mut all, mut complete) = (Vec::new(), true);
                for (key, value) in pairs {
                    let values = self.expression(value);
                    match key {
                        Some(key) => match certain(&self.expression(key)) {
                            Some(key) => all.push((key.clone(), values)),
                            None => complete = false,
                        },
                        None => match certain(&values).map(|possible| &possible.data) {
                            Some(Data::Dictionary(inner)) => {
                                all.extend(inner.pairs.iter().cloned());
                                complete &= inner.complete;
                            }
                            _ => complete = false,
                        },
                    }
                    if all.len() > MAX_ITEMS {
                        complete = false;
                        break;
                    }
                }
                self.spend(all.len());
                Data::dictionary(all, complete)
            }
            Kind::Not(inner) => {
                return self
                    .expression(inner)
                    .iter()
                    .map(|possible| {
                        let data = match possible.data.truth() {
                            Some(truth) => Data::Bool(!truth),
                            None => Data::unknown("it depends on something unknown"),
                        };
                        Possible {
                            span,
                            ..possible.with(data)
                        }
                    })
                    .collect();
            }
            Kind::Binary {
                operator,
                left,
                right,
            } => {
                let left = self.expression(left);
                let right = self.expression(right);
                return self.operate(operator, &left, &right, span);
            }
            Kind::Conditional {
                test,
                value,
                otherwise,
            } => {
                return match self.test(test) {
                    Some(true) => self.expression(value),
                    Some(false) => self.expression(otherwise),
                    None => {
                        let mut values = self.expression(value);
                        for possible in &mut values {
                            possible.when = possible.when.or(Some(test.span));
                        }
                        let other = self.expression(otherwise);
                        join(values, other)
                    }
                };
            }
            Kind::Walrus(name, value) => {
                let values = self.expression(value);
                self.bind(name, values.clone(), span);
                return values;
            }
            Kind::Other => Data::unknown("it is computed"),
        };
        vec![Possible::literal(data, span)]
    }

    fn text(&mut self, pieces: &[Piece], span: Span) -> Values {
        let mut text = String::new();
        let mut origin = Origin::Literal;
        for piece in pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Value(value) => {
                    let values = self.expression(value);
                    match certain(&values) {
                        Some(possible) => {
                            match &possible.data {
                                Data::Text(part) => text.push_str(part),
                                Data::Integer(part) => text.push_str(&part.to_string()),
                                _ => {
                                    return vec![Possible::unknown(
                                        "a part of it is unknown",
                                        span,
                                    )];
                                }
                            }
                            origin = weaker(&origin, &possible.origin);
                        }
                        None => return vec![Possible::unknown("a part of it is unknown", span)],
                    }
                }
                Piece::Unknown => {
                    return vec![Possible::unknown(
                        "a part of it is filled in elsewhere",
                        span,
                    )];
                }
            }
            if text.len() > MAX_TEXT {
                return vec![Possible::unknown("it is too long", span)];
            }
        }
        vec![Possible {
            origin,
            ..Possible::literal(Data::text(&text), span)
        }]
    }

    fn name(&self, name: &str, span: Span) -> Values {
        if let Some(binding) = self.lookup(name) {
            return binding.values.clone();
        }
        let data = match name {
            "bool" | "tuple" | "list" | "set" | "frozenset" | "sorted" | "str" | "int" | "dict"
            | "globals" | "locals" | "vars" | "exec" | "execfile" | "setattr" | "getattr"
            | "len" | "any" | "all" | "print" | "open" | "super" => Data::External(name.into()),
            "__file__" | "__name__" => Data::unknown("it depends on where the file lies"),
            _ if !self.opens.is_empty() => {
                Data::unknown("it comes from a file that is not in the project")
            }
            _ => Data::unknown("it is defined nowhere that was read"),
        };
        vec![Possible::literal(data, span)]
    }

    fn attribute(&mut self, objects: &[Possible], name: &str, span: Span) -> Values {
        let mut values = Values::new();
        for object in objects {
            let found = match &object.data {
                Data::Module(at) => self.member(at, name, span),
                Data::External(path) => {
                    let path = format!("{path}.{name}");
                    vec![Possible {
                        span,
                        ..object.with(Data::External(path.as_str().into()))
                    }]
                }
                Data::Class(_) | Data::Call(_) | Data::Attribute(_) => vec![Possible {
                    span,
                    ..object.with(Data::attribute(object.data.clone(), name))
                }],
                _ => vec![Possible {
                    span,
                    ..object.with(Data::unknown("it is an attribute of something unknown"))
                }],
            };
            values = join(values, found);
        }
        values
    }

    fn call(&mut self, function: &Expression, arguments: &[Argument], span: Span) -> Values {
        // A method of a plain value.
        let mut functions = match &function.kind {
            Kind::Attribute(object, method) => {
                let objects = self.expression(object);
                if objects.iter().any(|possible| possible.data.is_plain()) {
                    let (positional, _, _) = self.arguments(arguments);
                    return bounded(
                        objects
                            .iter()
                            .map(|possible| Possible {
                                span,
                                ..possible.with(method_of(&possible.data, method, &positional))
                            })
                            .collect(),
                    );
                }
                // What is unknown because the environment decides it stays so through `.lower()`.
                if let Some(unknown) =
                    certain(&objects).filter(|possible| matches!(possible.data, Data::Unknown(_)))
                {
                    self.arguments(arguments);
                    return vec![Possible {
                        span,
                        ..unknown.clone()
                    }];
                }
                self.attribute(&objects, method, function.span)
            }
            _ => self.expression(function),
        };
        let (positional, keywords, complete) = self.arguments(arguments);
        let at = functions
            .iter()
            .position(|possible| {
                !matches!(possible.data, Data::Unknown(_) | Data::Absent | Data::None)
            })
            .unwrap_or(0);
        if functions.is_empty() {
            return vec![Possible::unknown("it is computed", span)];
        }
        let function = functions.swap_remove(at);
        returned(Call::new(function, positional, keywords, complete), span)
    }

    fn arguments(&mut self, arguments: &[Argument]) -> (Vec<Values>, Vec<(String, Values)>, bool) {
        let (mut positional, mut keywords, mut complete) = (Vec::new(), Vec::new(), true);
        for argument in arguments {
            match argument {
                Argument::Positional(value) => positional.push(self.expression(value)),
                Argument::Keyword(name, value) => {
                    keywords.push((name.clone(), self.expression(value)))
                }
                Argument::Splice => complete = false,
            }
        }
        (positional, keywords, complete)
    }

    fn operate(
        &mut self,
        operator: &str,
        left: &[Possible],
        right: &[Possible],
        span: Span,
    ) -> Values {
        let mut values = Values::new();
        for a in left {
            if operator == "or" || operator == "and" {
                match (a.data.truth(), operator) {
                    (Some(true), "or") | (Some(false), "and") => {
                        values = join(values, vec![a.clone()])
                    }
                    (Some(false), "or") | (Some(true), "and") => {
                        let right = right.iter().map(|b| Possible {
                            origin: weaker(&a.origin, &b.origin),
                            ..b.clone()
                        });
                        values = join(values, right.collect());
                    }
                    // `os.environ.get("A") or "default"`: the right side is the default.
                    (None, "or") if a.is_default() => {
                        let right = right.iter().map(|b| Possible {
                            origin: a.origin.clone(),
                            ..b.clone()
                        });
                        values = join(values, right.collect());
                    }
                    _ => {
                        values = join(
                            values,
                            vec![Possible::unknown("it depends on something unknown", span)],
                        )
                    }
                }
                continue;
            }
            for b in right {
                self.spend(size(&a.data) + size(&b.data));
                let data = binary(operator, &a.data, &b.data);
                // A sum of lists is written where its first part is; a comparison where it stands.
                values.push(Possible {
                    data,
                    span,
                    origin: weaker(&a.origin, &b.origin),
                    when: a.when.or(b.when),
                });
            }
        }
        bounded(values)
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
                | "pytest"
                | "example"
                | "sample"
                | "demo"
                | "e2e"
        )
    })
}

/// `globals`, `locals`, `vars`.
fn is_namespace(function: &Expression) -> bool {
    matches!(&function.kind, Kind::Name(name) if matches!(name.as_str(), "globals" | "locals" | "vars"))
}

/// How much work a copy of it is.
fn size(data: &Data) -> usize {
    match data {
        Data::Text(text) => text.len() / 64,
        Data::Sequence(sequence) => sequence.items.len(),
        Data::Dictionary(dictionary) => dictionary.pairs.len(),
        _ => 0,
    }
}

fn with_pair(dictionary: &Dictionary, key: Possible, values: Values) -> Data {
    let mut pairs: Vec<_> = dictionary
        .pairs
        .iter()
        .filter(|(old, _)| old.data.equals(&key.data) != Some(true))
        .cloned()
        .collect();
    pairs.push((key, values));
    let complete = dictionary.complete && pairs.len() <= MAX_ITEMS;
    pairs.truncate(MAX_ITEMS);
    Data::dictionary(pairs, complete)
}

fn incomplete(dictionary: &Dictionary) -> Data {
    Data::dictionary(dictionary.pairs.clone(), false)
}

fn sequence_method(sequence: &Arc<Sequence>, method: &str, positional: &[Values]) -> Data {
    let mut items = sequence.items.clone();
    let mut complete = sequence.complete;
    match (method, positional) {
        ("append" | "add", [value]) => items.push(value.clone()),
        ("insert", [at, value]) => match certain(at).map(|possible| &possible.data) {
            Some(Data::Integer(at)) => {
                let at = usize::try_from(*at).unwrap_or(0).min(items.len());
                items.insert(at, value.clone());
            }
            _ => {
                items.push(value.clone());
                complete = false;
            }
        },
        ("extend" | "update", [value]) => match certain(value).map(|possible| &possible.data) {
            Some(Data::Sequence(more)) => {
                items.extend(more.items.iter().cloned());
                complete &= more.complete;
            }
            _ => complete = false,
        },
        ("remove", [value]) => match certain(value) {
            Some(value) => {
                if let Some(at) = items.iter().position(|item| {
                    certain(item).and_then(|item| item.data.equals(&value.data)) == Some(true)
                }) {
                    items.remove(at);
                }
            }
            None => complete = false,
        },
        ("index" | "count" | "copy", _) => return Data::Sequence(sequence.clone()),
        _ => complete = false,
    }
    if items.len() > MAX_ITEMS {
        items.truncate(MAX_ITEMS);
        complete = false;
    }
    Data::sequence(sequence.tuple, items, complete)
}

fn dictionary_method(
    dictionary: &Arc<Dictionary>,
    method: &str,
    positional: &[Values],
    keywords: &[(String, Values)],
    complete: bool,
) -> Data {
    let mut data = Data::Dictionary(dictionary.clone());
    let mut add = |key: Possible, values: Values| {
        if let Data::Dictionary(dictionary) = &data {
            data = with_pair(dictionary, key, values);
        }
    };
    let mut known = complete;
    match (method, positional) {
        ("update", more) => {
            for values in more {
                match certain(values).map(|possible| &possible.data) {
                    Some(Data::Dictionary(more)) => {
                        for (key, values) in &more.pairs {
                            add(key.clone(), values.clone());
                        }
                        known &= more.complete;
                    }
                    _ => known = false,
                }
            }
            for (key, values) in keywords {
                if let Some(first) = values.first() {
                    add(
                        Possible::literal(Data::text(key), first.span),
                        values.clone(),
                    );
                }
            }
        }
        ("get" | "keys" | "values" | "items" | "copy", _) => {}
        _ => known = false,
    }
    match data {
        Data::Dictionary(dictionary) if !known => incomplete(&dictionary),
        data => data,
    }
}

fn subscript(objects: &[Possible], keys: &[Possible], span: Span) -> Values {
    let (Some(object), Some(key)) = (certain(objects), certain(keys)) else {
        return vec![Possible::unknown(
            "it is looked up in something unknown",
            span,
        )];
    };
    match (&object.data, &key.data) {
        (Data::Dictionary(dictionary), Data::Text(name)) => match dictionary.get(name) {
            Some((_, values)) => values.clone(),
            None => vec![Possible::unknown("the dictionary shows no such key", span)],
        },
        (Data::Sequence(sequence), Data::Integer(at)) if sequence.complete => {
            match usize::try_from(*at)
                .ok()
                .and_then(|at| sequence.items.get(at))
            {
                Some(values) => values.clone(),
                None => vec![Possible::unknown("it is looked up in a list", span)],
            }
        }
        (Data::External(path), Data::Text(name)) if **path == *"os.environ" => {
            vec![environment(name, span)]
        }
        _ => vec![Possible {
            span,
            ..object.with(Data::unknown("it is looked up in something unknown"))
        }],
    }
}

/// A value that only the environment knows.
fn environment(name: &str, span: Span) -> Possible {
    Possible {
        data: Data::unknown(&format!("the environment variable {name} decides")),
        span,
        origin: Origin::Default(name.into()),
        when: None,
    }
}

/// What a call returns, as far as it is known.
fn returned(call: Call, span: Span) -> Values {
    let symbol = call.function.data.symbol();
    let first = || call.positional.first().and_then(|values| certain(values));
    let known = match symbol.as_str() {
        "bool" => first().and_then(|value| Some(value.with(Data::Bool(value.data.truth()?)))),
        "str" => first().and_then(|value| match &value.data {
            Data::Text(_) => Some(value.clone()),
            Data::Integer(number) => Some(value.with(Data::text(&number.to_string()))),
            _ => None,
        }),
        "int" => first().and_then(|value| match &value.data {
            Data::Integer(_) => Some(value.clone()),
            Data::Bool(value_) => Some(value.with(Data::Integer(i64::from(*value_)))),
            Data::Text(text) => Some(value.with(Data::Integer(text.trim().parse().ok()?))),
            _ => None,
        }),
        "tuple" | "list" | "set" | "frozenset" => match first() {
            Some(value) => match &value.data {
                Data::Sequence(sequence) => Some(value.with(Data::sequence(
                    symbol == "tuple",
                    sequence.items.clone(),
                    sequence.complete,
                ))),
                _ => None,
            },
            None if call.positional.is_empty() && call.complete => Some(Possible::literal(
                Data::sequence(symbol == "tuple", Vec::new(), true),
                span,
            )),
            None => None,
        },
        "dict" if call.positional.is_empty() => {
            let pairs = call.keywords.iter().map(|(key, values)| {
                let at = values.first().map_or(span, |first| first.span);
                (Possible::literal(Data::text(key), at), values.clone())
            });
            Some(Possible::literal(
                Data::dictionary(pairs.collect(), call.complete),
                span,
            ))
        }
        _ => None,
    };
    if let Some(known) = known {
        return vec![Possible { span, ..known }];
    }
    if let Some(values) = read_environment(&symbol, &call, span) {
        return values;
    }
    let data = match &call.function.data {
        Data::Unknown(why) => Data::Unknown(why.clone()),
        Data::Function(name) => Data::unknown(&format!("`{name}()` computes it")),
        Data::External(name)
            if matches!(
                &**name,
                "getattr" | "len" | "any" | "all" | "sorted" | "tuple" | "list" | "set"
            ) =>
        {
            Data::unknown("it is computed")
        }
        Data::External(_) | Data::Class(_) | Data::Attribute(_) | Data::Call(_) => Data::call(call),
        _ => Data::unknown("it is computed"),
    };
    vec![Possible::literal(data, span)]
}

/// The value of `os.environ.get("A", default)`, `env.bool("A", default=…)`, `config("A", …)`:
/// its literal default, marked as such; unknown without one.
fn read_environment(symbol: &str, call: &Call, span: Span) -> Option<Values> {
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
    let default = call.argument(position, "default").cloned().or(schema);
    let cast = call
        .keyword("cast")
        .and_then(|values| certain(values))
        .map(|value| value.data.symbol());
    let kind = match (method, cast.as_deref()) {
        (_, None) => method,
        (_, Some("bool")) => "bool",
        (_, Some("str")) => "str",
        (_, Some(_)) => "other",
    };
    let Some(default) = default else {
        return Some(vec![environment(&name, span)]);
    };
    let values = default
        .iter()
        .map(|value| {
            let data = match (kind, &value.data) {
                ("bool", Data::Text(text)) => match text.to_ascii_lowercase().as_str() {
                    "true" | "1" | "yes" | "on" | "y" | "t" => Some(Data::Bool(true)),
                    "false" | "0" | "no" | "off" | "n" | "f" => Some(Data::Bool(false)),
                    _ => None,
                },
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
                    origin: Origin::Default(name.as_str().into()),
                    when: value.when,
                },
                None => environment(&name, span),
            }
        })
        .collect();
    Some(bounded(values))
}

fn split(text: &str, by: &str, from: &Possible) -> Data {
    let items: Vec<Values> = text
        .split(by)
        .take(MAX_ITEMS)
        .map(|part| vec![from.with(Data::text(part))])
        .collect();
    Data::sequence(false, items, true)
}

/// A method of a plain value.
fn method_of(object: &Data, method: &str, positional: &[Values]) -> Data {
    let argument = |at: usize| {
        positional
            .get(at)
            .and_then(|values| certain(values))
            .and_then(|value| value.data.as_text().map(str::to_owned))
    };
    let data = match (object, method) {
        (Data::Text(text), "lower" | "casefold") => Some(Data::text(&text.to_lowercase())),
        (Data::Text(text), "upper") => Some(Data::text(&text.to_uppercase())),
        (Data::Text(text), "strip") if positional.is_empty() => Some(Data::text(text.trim())),
        (Data::Text(text), "split") => match (positional.len(), argument(0)) {
            (1, Some(by)) if !by.is_empty() => {
                let from = positional[0].first().cloned();
                from.map(|from| split(text, &by, &from))
            }
            _ => None,
        },
        (Data::Text(text), "replace") => match (argument(0), argument(1)) {
            (Some(old), Some(new))
                if !old.is_empty() && text.len() * (new.len() + 1) <= MAX_TEXT =>
            {
                Some(Data::text(&text.replace(&old, &new)))
            }
            _ => None,
        },
        (Data::Text(text), "startswith") => {
            argument(0).map(|start| Data::Bool(text.starts_with(&start)))
        }
        (Data::Text(text), "endswith") => argument(0).map(|end| Data::Bool(text.ends_with(&end))),
        (Data::Text(text), "format") if text.matches('{').count() == 1 && text.contains("{}") => {
            argument(0).map(|part| Data::text(&text.replacen("{}", &part, 1)))
        }
        (Data::Dictionary(dictionary), "get") => argument(0).and_then(|key| {
            dictionary
                .get(&key)
                .and_then(|(_, values)| certain(values))
                .map(|value| value.data.clone())
        }),
        (Data::Sequence(_) | Data::Dictionary(_), "copy") => Some(object.clone()),
        _ => None,
    };
    data.unwrap_or_else(|| Data::unknown("it is computed"))
}

fn binary(operator: &str, a: &Data, b: &Data) -> Data {
    let known = match (operator, a, b) {
        ("+", Data::Text(a), Data::Text(b)) if a.len() + b.len() <= MAX_TEXT => {
            Some(Data::text(&format!("{a}{b}")))
        }
        ("+", Data::Integer(a), Data::Integer(b)) => a.checked_add(*b).map(Data::Integer),
        ("+", Data::Sequence(a), Data::Sequence(b)) => {
            let items: Vec<_> = a
                .items
                .iter()
                .chain(&b.items)
                .take(MAX_ITEMS)
                .cloned()
                .collect();
            let complete = a.complete && b.complete && items.len() == a.items.len() + b.items.len();
            Some(Data::sequence(a.tuple, items, complete))
        }
        // A list of which one part is known still shows that part.
        ("+", Data::Sequence(known), _) | ("+", _, Data::Sequence(known)) => {
            Some(Data::sequence(known.tuple, known.items.clone(), false))
        }
        ("|", Data::Dictionary(a), Data::Dictionary(b)) => {
            let merged = dictionary_method(
                a,
                "update",
                &[vec![Possible::literal(Data::Dictionary(b.clone()), EMPTY)]],
                &[],
                true,
            );
            Some(merged)
        }
        ("%", Data::Text(format), Data::Text(value))
            if format.matches('%').count() == 1 && format.contains("%s") =>
        {
            Some(Data::text(&format.replacen("%s", value, 1)))
        }
        ("==" | "is", a, b) => a.equals(b).map(Data::Bool),
        ("!=" | "is not", a, b) => a.equals(b).map(|equal| Data::Bool(!equal)),
        ("in" | "not in", a, Data::Sequence(sequence)) if sequence.complete => {
            let mut found = Some(false);
            for item in &sequence.items {
                match certain(item).and_then(|item| item.data.equals(a)) {
                    Some(true) => {
                        found = Some(true);
                        break;
                    }
                    Some(false) => {}
                    None => found = None,
                }
            }
            found.map(|found| Data::Bool(found == (operator == "in")))
        }
        _ => None,
    };
    known.unwrap_or_else(|| Data::unknown("it depends on something unknown"))
}

/// For an intermediate value that no message ever shows.
const EMPTY: Span = Span {
    source: SourceId(0),
    start: 0,
    end: 0,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(data: &Data) -> String {
        match data {
            Data::None => "None".into(),
            Data::Bool(value) => if *value { "True" } else { "False" }.into(),
            Data::Integer(value) => value.to_string(),
            Data::Text(text) => format!("{text:?}"),
            Data::Sequence(sequence) => {
                let mut parts: Vec<String> =
                    sequence.items.iter().map(|values| all(values)).collect();
                if !sequence.complete {
                    parts.push("…".into());
                }
                format!("[{}]", parts.join(", "))
            }
            Data::Dictionary(dictionary) => {
                let pairs = dictionary
                    .pairs
                    .iter()
                    .map(|(key, values)| format!("{}: {}", shown(&key.data), all(values)));
                let mut parts: Vec<String> = pairs.collect();
                if !dictionary.complete {
                    parts.push("…".into());
                }
                format!("{{{}}}", parts.join(", "))
            }
            Data::Absent => "absent".into(),
            Data::Unknown(_) => "?".into(),
            other => other.symbol(),
        }
    }

    fn all(values: &[Possible]) -> String {
        let parts: Vec<String> = values
            .iter()
            .map(|value| {
                format!(
                    "{}{}",
                    shown(&value.data),
                    if value.is_default() { "~" } else { "" }
                )
            })
            .collect();
        parts.join("|")
    }

    fn value(files: &[(&str, &str)], module: &str, name: &str) -> String {
        let project = Project::in_memory(files.iter().copied()).unwrap();
        let program = Program::new(&project);
        let evaluated = program.module(project.by_path(module).unwrap().id).unwrap();
        match evaluated.get(name) {
            Some(binding) => {
                let reopened = if evaluated.reopened(binding).is_some() {
                    "!"
                } else {
                    ""
                };
                format!("{}{reopened}", all(&binding.values))
            }
            None if evaluated.open().is_some() => "?".into(),
            None => "absent".into(),
        }
    }

    #[test]
    fn expressions_evaluate_as_python_does() {
        for (code, expected) in [
            ("A = ('x', \"y\" 'z')", r#"["x", "yz"]"#),
            ("A = 'x', 1", r#"["x", 1]"#),
            ("A = ('x')", r#""x""#),
            (
                "B = ['a']\nA = ['z', *B] + ['b']\nA += ['c']\nA.append('d')\nA.insert(0, 'e')\nA.extend(['f'])",
                r#"["e", "z", "a", "b", "c", "d", "f"]"#,
            ),
            (
                "A = {'a': 1}\nA['b'] = 2\nA.update({'a': 3}, c=4)",
                r#"{"b": 2, "a": 3, "c": 4}"#,
            ),
            ("A = {'a': {}}\nA['a']['b'] = 2", r#"{"a": {}, …}"#),
            ("import os\nA = os.environ.get('X', 'd')", r#""d"~"#),
            ("import os\nA = os.environ.get('X')", "?~"),
            ("import os\nA = os.environ.get('X', '')", "?~"),
            ("import os\nA = os.environ['X']", "?~"),
            (
                "import os\nA = os.getenv('X', 'True').lower() == 'true'",
                "True~",
            ),
            (
                "from os import environ\nA = environ.get('X', 'no') in ('yes', '1')",
                "False~",
            ),
            ("import os\nA = os.environ.get('X') or 'd'", r#""d"~"#),
            (
                "import environ\nenv = environ.Env(DEBUG=(bool, False))\nA = env('DEBUG')",
                "False~",
            ),
            (
                "import environ\nenv = environ.Env()\nA = env.bool('X', default=True)",
                "True~",
            ),
            (
                "import environ\nenv = environ.Env()\nA = env.list('X', default=['a'])",
                r#"["a"]~"#,
            ),
            (
                "from decouple import config\nA = config('X', default='false', cast=bool)",
                "False~",
            ),
            (
                "from decouple import config, Csv\nA = config('X', default='a', cast=Csv())",
                "?~",
            ),
            ("def helper(x): return 1\nA = helper('X')", "?"),
            ("A = tuple('a,b'.split(','))", r#"["a", "b"]"#),
            ("H = 'X'\nA = f'HTTP_{H}'", r#""HTTP_X""#),
            ("A = 'a%s' % 'b'", r#""ab""#),
            ("import os\nA = f\"{os.environ['X']}\"", "?"),
            ("if unknown():\n    A = 1\nelse:\n    A = 2", "1|2"),
            ("A = 0\nif unknown():\n    A = 1", "1|0"),
            ("DEBUG = False\nif not DEBUG:\n    A = 1", "1"),
            ("DEBUG = True\nif not DEBUG:\n    A = 1", "absent"),
            (
                "import os\nDEBUG = os.environ.get('D', 'True') == 'True'\nif DEBUG:\n    A = 1\nelse:\n    A = 2",
                "2",
            ),
            ("if x:\n    raise E\nelse:\n    A = 1", "1"),
            ("A = 1 if x else 2", "1|2"),
            ("A = 1\nfor a in b:\n    A = 2", "1|?"),
            (
                "A = 1\ntry:\n    from .local import *\nexcept ImportError:\n    pass",
                "1!",
            ),
            ("A = 1\nglobals().update(x)", "1!"),
            ("globals()['A'] = 1", "1"),
            ("A = B = 1", "1"),
            ("(A, B) = ('x', 'y')", r#""x""#),
            ("A = dict(a=1)", r#"{"a": 1}"#),
            ("A = not False", "True"),
            ("A = [x for x in y]", "?"),
            ("A = [1] + other()", "[1, …]"),
            ("if (A := 3) > 2: pass", "3"),
            (
                "from django.core.asgi import get_asgi_application as g\nA = g()",
                "django.core.asgi.get_asgi_application()",
            ),
            ("class C(X): pass\nA = C.as_asgi", "C.as_asgi"),
        ] {
            assert_eq!(
                value(&[("settings.py", code)], "settings.py", "A"),
                expected,
                "{code}"
            );
        }
    }

    #[test]
    fn modules_see_each_other() {
        let files = [
            ("p/settings/base.py", "A = 1\nB = 1\nL = ['a']\n_C = 1\n"),
            (
                "p/settings/prod.py",
                "from .base import *\nB = 2\nL += ['b']\n",
            ),
            (
                "p/settings/far.py",
                "from p.settings.prod import B as A, L\nimport p.settings.base as b\nC = b.A\n",
            ),
            (
                "p/settings/open.py",
                "from thirdparty.settings import *\nB = 1\n",
            ),
            ("p/settings/below.py", "from .open import *\n"),
            ("p/settings/loop.py", "from .loop2 import *\nA = 1\n"),
            ("p/settings/loop2.py", "from .loop import *\nB = 1\n"),
        ];
        for (module, name, expected) in [
            ("prod", "A", "1"),
            ("prod", "B", "2"),
            ("prod", "L", r#"["a", "b"]"#),
            ("prod", "_C", "absent"),
            ("far", "A", "2"),
            ("far", "C", "1"),
            ("open", "A", "?"),
            ("open", "B", "1"),
            ("below", "B", "1"),
            ("below", "A", "?"),
            ("loop", "A", "1"),
        ] {
            assert_eq!(
                value(&files, &format!("p/settings/{module}.py"), name),
                expected,
                "{module}.{name}"
            );
        }
    }

    #[test]
    fn hostile_modules_end() {
        let doubling = format!("A = ['x' * 9]\n{}", "A = A + A\n".repeat(200));
        assert!(value(&[("settings.py", &doubling)], "settings.py", "A").contains('…'));
        let nested = format!("A = []\n{}B = 1\n", "A = [A, A]\n".repeat(100));
        assert_eq!(value(&[("settings.py", &nested)], "settings.py", "B"), "1");
        let branches = format!("{}B = 1\n", "if x: A = [A]\nelse: A = y()\n".repeat(5000));
        assert_eq!(
            value(&[("settings.py", &branches)], "settings.py", "B"),
            "1"
        );
        let chain = format!("A = {}1\n", "1 + ".repeat(20_000));
        value(&[("settings.py", &chain)], "settings.py", "A");
        let call = format!("A = f{}\n", "(1)".repeat(20_000));
        value(&[("settings.py", &call)], "settings.py", "A");
    }
}

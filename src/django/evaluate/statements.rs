//! What statements do to the names of a module: assignments, imports, branches and their joins,
//! and the calls that change a list or a dictionary in place.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::calls::assigned;
use super::changes::holders;
use super::{
    Binding, Evaluated, How, MAX_DEPTH, MAX_ROUNDS, MAX_STEPS, Open, Program, is_development,
};
use crate::deploy::Environment;
use crate::django::data::{
    ClassAttribute, Data, Origin, Possible, Sequence, Values, certain, join,
};
use crate::django::modules::Found;
use crate::django::syntax::{Action, Expression, Item, Kind, Module, Piece, Statement, each};
use crate::source::{SourceId, Span};

/// Whether a value holds what an earlier one held: something was added to that.
fn is_made_of(values: &[Possible], earlier: &[Possible]) -> bool {
    let [Possible { data: new, .. }] = values else {
        return false;
    };
    let old = earlier.iter().map(|earlier| &earlier.data);
    let mut held = old.map(|old| match (new, old) {
        (Data::Sequence(new), Data::Sequence(old)) => {
            let first = old.items.first().and_then(|item| item.first());
            let mut items = new.items.iter().flatten();
            first.is_some_and(|first| items.any(|item| item.span == first.span))
        }
        (Data::Dictionary(new), Data::Dictionary(old)) => {
            let mut keys = new.pairs.iter().map(|(key, _)| key.span);
            let first = old.pairs.first();
            first.is_some_and(|(first, _)| keys.any(|key| key == first.span))
        }
        _ => false,
    });
    held.any(|held| held)
}

/// The evaluation of one module.
pub(super) struct Frame<'a, 'p> {
    pub(super) program: &'a Program<'p>,
    pub(super) source: SourceId,
    /// What runs it in production, once it asks for a variable.
    pub(super) running: OnceCell<Vec<&'a Environment>>,
    /// Whether it puts prefixes before the names of variables.
    pub(super) prefixes: OnceCell<bool>,
    /// The module's names, and on top of them what each branch that is being followed assigned.
    pub(super) layers: Vec<HashMap<String, Binding>>,
    pub(super) opens: Vec<Open>,
    /// Names whose lists and dictionaries were changed in their place.
    pub(super) touched: HashSet<String>,
    /// Lists and dictionaries that the function just followed was given, and what they are now.
    pub(super) given: Vec<(Data, Vec<Data>)>,
    pub(super) stars: Vec<SourceId>,
    pub(super) order: u32,
    pub(super) steps: u32,
    pub(super) depth: u32,
    /// Where the locals of the function that is being followed begin among the layers.
    pub(super) locals: usize,
    /// How many functions are being followed.
    pub(super) calls: usize,
    /// What the function that is being followed has returned so far.
    pub(super) returned: Option<Values>,
}

impl<'a, 'p> Frame<'a, 'p> {
    pub(super) fn new(program: &'a Program<'p>, source: SourceId) -> Self {
        Self {
            program,
            source,
            running: OnceCell::new(),
            prefixes: OnceCell::new(),
            layers: vec![HashMap::new()],
            opens: Vec::new(),
            touched: HashSet::new(),
            given: Vec::new(),
            stars: Vec::new(),
            order: 0,
            steps: MAX_STEPS,
            depth: 0,
            locals: usize::MAX,
            calls: 0,
            returned: None,
        }
    }

    pub(super) fn run(mut self, module: &Module) -> Evaluated {
        self.block(&module.statements);
        Evaluated {
            names: self.layers.swap_remove(0),
            opens: self.opens,
            stars: self.stars,
        }
    }

    pub(super) fn lookup(&self, name: &str) -> Option<&Binding> {
        self.layers.iter().rev().find_map(|layer| layer.get(name))
    }

    pub(super) fn bind(&mut self, name: &str, values: Values, target: Span) {
        self.bind_doubtful(name, values, target, None);
    }

    /// Binds a name whose value `doubt` may have changed on the way.
    pub(super) fn bind_doubtful(
        &mut self,
        name: &str,
        values: Values,
        target: Span,
        doubt: Option<Arc<Open>>,
    ) {
        self.order += 1;
        let Some(layer) = self.layers.last_mut() else {
            return;
        };
        // Settings are the names that Django reads, all in capitals.
        let is_setting = || name.bytes().all(|byte| !byte.is_ascii_lowercase());
        let before = layer.get(name).filter(|_| is_setting()).and_then(|old| {
            let is_same = match (old.values.as_slice(), values.as_slice()) {
                ([old], [new]) => old.data.equals(&new.data) == Some(true),
                _ => false,
            };
            if old.target == target || is_same {
                return old.before.clone();
            }
            let how = match is_made_of(&values, &old.values) {
                true => How::Extended,
                false => How::Overridden,
            };
            old.past(old.target, how)
        });
        let binding = Binding {
            values,
            target,
            before,
            doubt,
            order: self.order,
        };
        layer.insert(name.to_owned(), binding);
    }

    /// Notes that what a name of a setting holds was changed at `span`.
    pub(super) fn changed_at(&mut self, name: &str, span: Span) {
        let layer = self.layers.last_mut();
        if let Some(binding) = layer.and_then(|layer| layer.get_mut(name))
            && name.bytes().all(|byte| !byte.is_ascii_lowercase())
        {
            binding.before = binding.past(span, How::Changed);
        }
    }

    /// Lets a name that was just taken over keep the history that it has where it comes from.
    pub(super) fn keep_history(&mut self, name: &str, from: &Binding) {
        let layer = self.layers.last_mut();
        if let Some(binding) = layer.and_then(|layer| layer.get_mut(name))
            && binding.before.is_none()
        {
            binding.before.clone_from(&from.before);
        }
    }

    /// What may have given a name another value so far.
    pub(super) fn doubt(&self, name: &str) -> Option<Arc<Open>> {
        let binding = self.lookup(name)?;
        let later = || {
            self.opens
                .iter()
                .find(|open| open.order > binding.order)
                .cloned()
                .map(Arc::new)
        };
        binding.doubt.clone().or_else(later)
    }

    /// Counts work whose size a file decides.
    pub(super) fn spend(&mut self, work: usize) {
        self.steps = self
            .steps
            .saturating_sub(u32::try_from(work).unwrap_or(u32::MAX));
    }

    pub(super) fn reopen(&mut self, span: Span, why: impl Into<String>) {
        self.order += 1;
        self.opens.push(Open {
            span,
            why: why.into(),
            order: self.order,
        });
    }

    /// Runs statements; false if something in them leaves (`raise`).
    pub(super) fn block(&mut self, statements: &[Statement]) -> bool {
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
                // A list or a dictionary grows in its place, whatever else stands for it: more
                // than the name and what is held here.
                let shared = before.iter().filter(|before| holders(&before.data) > 2);
                let shared: Vec<_> = shared.cloned().collect();
                let perhaps = before.len() > 1;
                drop(before);
                self.assign(target, values);
                for old in shared {
                    let new =
                        self.operate(operator, std::slice::from_ref(&old), &added, target.span);
                    let mut new: Vec<_> = new.into_iter().map(|possible| possible.data).collect();
                    new.extend(perhaps.then(|| old.data.clone()));
                    self.replace(&old.data, &new, target.span);
                }
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
            Action::Loop {
                target,
                items,
                body,
            } => {
                if let (Some(target), Some(items)) = (target, items)
                    && let Some(rounds) = self.rounds(items)
                {
                    for item in &rounds.items {
                        self.assign(target, item.clone());
                        if self.steps == 0 || !self.block(body) {
                            return false;
                        }
                    }
                    return true;
                }
                if let Some(target) = target {
                    self.assign(
                        target,
                        vec![Possible::unknown("a loop sets it", target.span)],
                    );
                }
                // The second time round it finds what the first has left: nothing that it changes
                // is known, neither in it nor after it.
                let mut changed = Vec::new();
                changed_by(body, &mut changed);
                changed.sort();
                changed.dedup();
                for (name, span) in &changed {
                    self.forget(name, *span);
                }
                self.layers.push(HashMap::new());
                self.block(body);
                // What it set in a way that no statement shows: through `globals()`, an import.
                let mut hidden: Vec<_> =
                    self.layers.pop().unwrap_or_default().into_iter().collect();
                hidden.sort_by_key(|(_, binding)| binding.order);
                for (name, binding) in hidden {
                    self.forget(&name, binding.target);
                }
            }
            Action::Block(body) => return self.block(body),
            Action::Class { name, bases, body } => {
                let bases = bases.iter().map(|base| self.expression(base)).collect();
                self.layers.push(HashMap::new());
                self.block(body);
                let layer = self.layers.pop().unwrap_or_default();
                let mut own = HashSet::new();
                assigned(body, &mut own);
                let mut attributes: Vec<_> = self
                    .publish(layer, &own)
                    .into_iter()
                    .map(|(name, binding)| ClassAttribute {
                        name,
                        values: binding.values,
                        target: binding.target,
                    })
                    .collect();
                attributes.sort_by(|a, b| a.name.cmp(&b.name));
                let data = Data::class(name, self.source, bases, attributes);
                self.bind(
                    name,
                    vec![Possible::literal(data, statement.span)],
                    statement.span,
                );
            }
            Action::Function(function) => {
                let data = if function.decorated {
                    Data::unknown("a decorator computes it")
                } else {
                    Data::Function(function.name.as_str().into())
                };
                self.bind(
                    &function.name,
                    vec![Possible::literal(data, statement.span)],
                    statement.span,
                );
            }
            Action::Delete(targets) => {
                for target in targets {
                    match &target.kind {
                        Kind::Name(name) => self.bind(
                            name,
                            vec![Possible::literal(Data::Absent, target.span)],
                            target.span,
                        ),
                        Kind::Subscript(object, key) => self.delete_key(object, key),
                        _ => {}
                    }
                }
            }
            Action::Return(value) => {
                let values = match value {
                    Some(value) => self.expression(value),
                    None => vec![Possible::literal(Data::None, statement.span)],
                };
                if let Some(returned) = self.returned.take() {
                    self.returned = Some(join(returned, values));
                }
                return false;
            }
            Action::Raise(_) => return false,
            Action::Nothing | Action::Other => {}
        }
        true
    }

    /// What a loop goes through, where that is known and short.
    fn rounds(&mut self, items: &Expression) -> Option<Arc<Sequence>> {
        let over = self.expression(items);
        match certain(&over) {
            Some(Possible {
                data: Data::Sequence(list),
                origin: Origin::Literal,
                ..
            }) if list.complete && list.items.len() <= MAX_ROUNDS => Some(list.clone()),
            _ => None,
        }
    }

    /// What a loop leaves of a name: what it was, or anything.
    fn forget(&mut self, name: &str, span: Span) {
        let unknown = vec![Possible::unknown("a loop sets it", span)];
        let (before, doubt) = match self.lookup(name) {
            Some(binding) => (binding.values.clone(), self.doubt(name)),
            None => (vec![Possible::literal(Data::Absent, span)], None),
        };
        self.bind_doubtful(name, join(before, unknown), span, doubt);
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
        let begun = self.begun(body, &layer);
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
                self.layers.push(begun.clone());
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

    /// What a body that was left half-way, by an exception, may have done: each name is as it was
    /// or as it became, or anything in between.
    fn begun(
        &mut self,
        body: &[Statement],
        after: &HashMap<String, Binding>,
    ) -> HashMap<String, Binding> {
        // One import or assignment is done or not done.
        let simple = |statement: &Statement| {
            matches!(
                statement.action,
                Action::Import(_) | Action::ImportFrom { .. } | Action::Assign { .. }
            )
        };
        if let [only] = body
            && simple(only)
        {
            return HashMap::new();
        }
        let mut changes = Vec::new();
        changed_by(body, &mut changes);
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for (name, _) in &changes {
            *counts.entry(name).or_default() += 1;
        }
        self.layers.push(HashMap::new());
        let mut names: Vec<_> = after.iter().collect();
        names.sort_by_key(|(_, binding)| binding.order);
        for (name, binding) in names {
            let mut values = match self.lookup(name) {
                Some(before) => before.values.clone(),
                None => vec![Possible::literal(Data::Absent, binding.target)],
            };
            values = join(values, binding.values.clone());
            if counts.get(name.as_str()).is_some_and(|count| *count > 1) {
                let unknown = Possible::unknown("an exception may come before it", binding.target);
                values = join(values, vec![unknown]);
            }
            let doubt = self.doubt(name);
            self.bind_doubtful(name, values, binding.target, doubt);
        }
        self.layers.pop().unwrap_or_default()
    }

    /// Binds outside what a class or a function changed in its place of names that are not its own,
    /// and gives the rest back.
    pub(super) fn publish(
        &mut self,
        layer: HashMap<String, Binding>,
        own: &HashSet<&str>,
    ) -> HashMap<String, Binding> {
        let is_outer = |name: &String| self.touched.contains(name) && !own.contains(name.as_str());
        let (outer, inner): (HashMap<_, _>, HashMap<_, _>) =
            layer.into_iter().partition(|(name, _)| is_outer(name));
        let mut outer: Vec<_> = outer.into_iter().collect();
        outer.sort_by_key(|(_, binding)| binding.order);
        for (name, binding) in outer {
            self.bind_doubtful(&name, binding.values, binding.target, binding.doubt);
        }
        inner
    }

    /// Evaluates what may not come to be evaluated, or is `never`: what it changes may be changed.
    pub(super) fn perhaps(&mut self, expression: &Expression, never: bool) -> Values {
        self.layers.push(HashMap::new());
        let values = self.expression(expression);
        let layer = self.layers.pop().unwrap_or_default();
        if !layer.is_empty() && !never {
            self.join_layers(vec![(layer, None), (HashMap::new(), None)], expression.span);
        }
        values
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
            let mut doubt = None;
            for (layer, test) in &ends {
                match layer.get(&name) {
                    Some(binding) => {
                        target = Some(binding.target);
                        doubt = doubt.or_else(|| binding.doubt.clone());
                        let mut here = binding.values.clone();
                        for possible in &mut here {
                            possible.when = possible.when.or(*test);
                        }
                        values = join(values, here);
                    }
                    None => {
                        doubt = doubt.or_else(|| self.doubt(&name));
                        let outer = match &before {
                            Some(binding) => binding.values.clone(),
                            None => vec![Possible::literal(Data::Absent, span)],
                        };
                        values = join(values, outer);
                    }
                }
            }
            self.bind_doubtful(&name, values, target.unwrap_or(span), doubt);
        }
        true
    }

    pub(super) fn assign(&mut self, target: &Expression, values: Values) {
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

    /// An expression for its effect: a method that changes a list, a helper that sets names.
    fn effect(&mut self, expression: &Expression) {
        if let Kind::Call { function, .. } = &expression.kind
            && let Kind::Attribute(object, _) = &function.kind
            && let Kind::Call { function, .. } = &object.kind
            && is_namespace(function)
        {
            return self.reopen(expression.span, "names are set through `globals()`");
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
}

/// `globals`, `locals`, `vars`.
pub(super) fn is_namespace(function: &Expression) -> bool {
    matches!(&function.kind, Kind::Name(name) if matches!(name.as_str(), "globals" | "locals" | "vars"))
}

/// The names that statements may change, with a place where they do.
pub(super) fn changed_by(statements: &[Statement], names: &mut Vec<(String, Span)>) {
    let mut add = |target: &Expression| {
        let mut targets = vec![target];
        while let Some(target) = targets.pop() {
            match &target.kind {
                Kind::Name(name) => names.push((name.clone(), target.span)),
                Kind::Subscript(object, key) if matches!(&object.kind, Kind::Call { function, .. } if is_namespace(function)) => {
                    if let Kind::Text(pieces) = &key.kind
                        && let [Piece::Text(name)] = pieces.as_slice()
                    {
                        names.push((name.clone(), key.span));
                    }
                }
                Kind::Subscript(object, _) | Kind::Attribute(object, _) => targets.push(object),
                Kind::Sequence { items, .. } => {
                    targets.extend(
                        items
                            .iter()
                            .map(|(Item::One(item) | Item::Splice(item))| item),
                    );
                }
                // `NAMES.append(…)`, and `globals()["NAME"] = …` that names it.
                Kind::Call { function, .. } => targets.push(function),
                _ => {}
            }
        }
    };
    each(statements, &mut |statement| match &statement.action {
        Action::Assign { targets, .. } | Action::Delete(targets) => {
            targets.iter().for_each(&mut add)
        }
        Action::Augment { target, .. } => add(target),
        Action::Evaluate(expression) => add(expression),
        Action::Loop { target, .. } => target.iter().for_each(|target| add(target)),
        _ => {}
    });
}

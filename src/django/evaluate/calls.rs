//! Calls of the project's own functions: their bodies are followed with the arguments that they
//! are given, so that a helper that reads the environment is no riddle.

use std::collections::{HashMap, HashSet};

use super::statements::{Frame, changed_by};
use super::{MAX_CALLS, Program};
use crate::django::data::{Data, Possible, Values, join};
use crate::django::syntax::{Action, Expression, Function, Kind, Statement, each};
use crate::source::Span;

/// Whether what a function returns is what its body says: a generator returns none of its values,
/// and what is global is set elsewhere.
fn is_simple(function: &Function, text: &str) -> bool {
    let words = ["yield", "global ", "nonlocal "];
    !function.asynchronous && !function.variadic && !words.iter().any(|word| text.contains(word))
}

/// What a method or a property of a class gives that needs nothing but `self`, of which nothing is
/// known; `None` where it can't be followed.
pub(super) fn method(program: &Program<'_>, called: &Possible) -> Option<Values> {
    let function = program.function(called.span)?;
    let replaced = function.decorated && !function.property;
    if replaced
        || function.parameters.len() != 1
        || !is_simple(function, program.slice(called.span))
    {
        return None;
    }
    let module = program.module(called.span.source)?;
    let mut frame = Frame::new(program, called.span.source);
    frame.layers = vec![module.names.clone()];
    frame.opens = module.opens.clone();
    frame.locals = 1;
    let itself = Possible::unknown("it depends on other settings of its class", called.span);
    frame.run_function(function, &[vec![itself]], &[], called.span)
}

impl Frame<'_, '_> {
    /// What a call of the project's own function at `called` returns; `None` where it can't be
    /// followed.
    pub(super) fn follow(
        &mut self,
        called: &Possible,
        positional: &[Values],
        keywords: &[(String, Values)],
        span: Span,
    ) -> Option<Values> {
        if self.calls >= MAX_CALLS {
            return None;
        }
        let function = self.program.function(called.span)?;
        let text = self.program.slice(called.span);
        self.spend(text.len() / 64);
        let named = match (function.rest, function.parameters.split_last()) {
            (true, Some((_, named))) => named,
            _ => &function.parameters,
        };
        if function.decorated
            || !is_simple(function, text)
            || !function.rest && positional.len() > function.parameters.len()
            || keywords.iter().any(|(name, _)| !named.contains(name))
        {
            return None;
        }
        let (returned, given) = if called.span.source == self.source {
            // The locals of the function that calls are not visible in this one.
            let hidden = self.layers.split_off(self.locals.min(self.layers.len()));
            let locals = std::mem::replace(&mut self.locals, self.layers.len());
            let returned = self.run_function(function, positional, keywords, span);
            self.locals = locals;
            self.layers.extend(hidden);
            (returned, std::mem::take(&mut self.given))
        } else {
            let module = self.program.module(called.span.source)?;
            self.spend(module.names.len());
            let mut frame = Frame::new(self.program, called.span.source);
            frame.layers = vec![module.names.clone()];
            frame.opens = module.opens.clone();
            (frame.steps, frame.depth, frame.calls) = (self.steps, self.depth, self.calls);
            frame.locals = 1;
            let returned = frame.run_function(function, positional, keywords, span);
            self.steps = frame.steps;
            (returned, frame.given)
        };
        for (old, new) in given {
            self.replace(&old, &new, span);
        }
        let mut values = returned?;
        for value in &mut values {
            value.span = span;
        }
        Some(values)
    }

    fn run_function(
        &mut self,
        function: &Function,
        positional: &[Values],
        keywords: &[(String, Values)],
        span: Span,
    ) -> Option<Values> {
        let mut arguments: Vec<(&String, Values)> = Vec::new();
        for (at, name) in function.parameters.iter().enumerate() {
            if function.rest && at + 1 == function.parameters.len() {
                let left = positional.get(at..).unwrap_or_default().to_vec();
                let left = Data::sequence(true, left, true);
                arguments.push((name, vec![Possible::literal(left, span)]));
                continue;
            }
            let named = || keywords.iter().find(|(keyword, _)| keyword == name);
            let given = positional
                .get(at)
                .or_else(|| named().map(|(_, values)| values));
            let values = match (given, function.defaults.get(at)) {
                (Some(values), _) => values.clone(),
                (None, Some(Some(default))) => self.expression(default),
                _ => return None,
            };
            arguments.push((name, values));
        }
        self.layers.push(HashMap::new());
        for (name, values) in &arguments {
            self.bind(name, values.clone(), span);
        }
        self.calls += 1;
        let outer = self.returned.replace(Values::new());
        let falls = self.block(&function.body);
        let returned = std::mem::replace(&mut self.returned, outer);
        self.calls -= 1;
        let layer = self.layers.pop().unwrap_or_default();
        let mut assigns = HashSet::new();
        assigned(&function.body, &mut assigns);
        // What it changed of the lists and dictionaries that it was given.
        self.given.clear();
        for (name, before) in &arguments {
            let after = layer.get(name.as_str()).map(|binding| &binding.values);
            let Some(after) = after.filter(|_| self.touched.contains(*name)) else {
                continue;
            };
            let kept = !assigns.contains(name.as_str()) && after.len() >= before.len();
            for (at, old) in before.iter().enumerate() {
                let new = match (kept, before.len()) {
                    (true, 1) => after.iter().map(|after| after.data.clone()).collect(),
                    (true, _) if after.len() == before.len() => {
                        vec![after[at].data.clone(), old.data.clone()]
                    }
                    _ => vec![Data::unknown("a function may change it")],
                };
                self.given.push((old.data.clone(), new));
            }
        }
        let mut own: HashSet<&str> = function.parameters.iter().map(String::as_str).collect();
        own.extend(assigns);
        // What it changed in place of names that are not its own, as `NAMES.append(…)` does.
        let mut layer = self.publish(layer, &own);
        let mut changed = Vec::new();
        changed_by(&function.body, &mut changed);
        for (name, _) in changed {
            if !own.contains(name.as_str())
                && let Some(binding) = layer.remove(&name)
            {
                self.bind_doubtful(&name, binding.values, binding.target, binding.doubt);
            }
        }
        let mut values = returned?;
        if falls {
            values = join(values, vec![Possible::literal(Data::None, span)]);
        }
        (!values.is_empty()).then_some(values)
    }
}

/// The names that statements assign, which makes them a function's own.
pub(super) fn assigned<'s>(statements: &'s [Statement], names: &mut HashSet<&'s str>) {
    let mut add = |target: &'s Expression| {
        if let Kind::Name(name) = &target.kind {
            names.insert(name);
        }
    };
    each(statements, &mut |statement| match &statement.action {
        Action::Assign { targets, .. } => targets.iter().for_each(&mut add),
        Action::Augment { target, .. } => add(target),
        Action::Loop { target, .. } => target.iter().for_each(|target| add(target)),
        _ => {}
    });
}

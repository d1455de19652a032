//! Changes in place: `A["b"]["c"] = …`, `A["b"].update(…)`, `NAMES.append(…)`.

use super::builtins::{incomplete, size, with_pair};
use super::methods::{dictionary_method, sequence_method};
use super::statements::{Frame, is_namespace};
use crate::django::data::{Data, Dictionary, Possible, Sequence, Values, certain};
use crate::django::syntax::{Argument, Expression, Item, Kind};
use crate::source::Span;

/// Levels of lists and dictionaries that are searched for one that two names share.
const MAX_SHARED: usize = 4;

/// A key of a path into a value; `None` where it is unknown.
type Key = Option<Possible>;

impl Frame<'_, '_> {
    /// Assigns to `object[key]`.
    pub(super) fn assign_key(
        &mut self,
        object: &Expression,
        key: &Expression,
        values: Values,
        span: Span,
    ) {
        let keys = self.expression(key);
        let key = certain(&keys).cloned();
        if let Kind::Call { function, .. } = &object.kind
            && is_namespace(function)
        {
            match key.and_then(|key| key.data.as_text().map(str::to_owned)) {
                Some(name) => self.bind(&name, values, span),
                None => self.reopen(span, "names are set through `globals()`"),
            }
            return;
        }
        self.change(object, &mut |data| match (data, &key) {
            (Data::Dictionary(dictionary), Some(key)) => {
                with_pair(dictionary, key.clone(), values.clone())
            }
            (Data::Dictionary(dictionary), None) => incomplete(dictionary),
            (Data::Sequence(sequence), _) => match key.as_ref().and_then(|key| at(sequence, key)) {
                Some(at) => {
                    let mut items = sequence.items.clone();
                    items[at] = values.clone();
                    Data::sequence(sequence.tuple, items, true)
                }
                None => unfollowed(),
            },
            (other, _) => other.clone(),
        });
    }

    /// Calls a method of a list or a dictionary that the module holds, for what it changes; false
    /// where `object` is none.
    pub(super) fn changes_in_place(
        &mut self,
        object: &Expression,
        method: &str,
        arguments: &[Argument],
    ) -> bool {
        if !matches!(object.kind, Kind::Name(_) | Kind::Subscript(..)) {
            return false;
        }
        let holds = self
            .expression(object)
            .iter()
            .any(|possible| matches!(possible.data, Data::Sequence(_) | Data::Dictionary(_)));
        if !holds {
            return false;
        }
        let (positional, keywords, complete) = self.arguments(arguments);
        self.change(object, &mut |data| match data {
            Data::Sequence(sequence) => sequence_method(sequence, method, &positional),
            Data::Dictionary(dictionary) => {
                dictionary_method(dictionary, method, &positional, &keywords, complete)
            }
            other => other.clone(),
        });
        true
    }

    /// Changes what stands at `object`: a name, or a path of subscripts into it.
    fn change(&mut self, object: &Expression, change: &mut dyn FnMut(&Data) -> Data) {
        let mut path: Vec<Key> = Vec::new();
        let mut at = object;
        while let Kind::Subscript(inner, key) = &at.kind {
            let key = self.expression(key);
            path.push(certain(&key).cloned());
            at = inner;
        }
        path.reverse();
        let Kind::Name(name) = &at.kind else { return };
        let Some(binding) = self.lookup(name) else {
            return;
        };
        let (before, target) = (binding.values.clone(), binding.target);
        let mut work = 0;
        let mut touched = Vec::new();
        let changed = before
            .iter()
            .map(|possible| {
                work += size(&possible.data);
                possible.with(along(&possible.data, &path, change, &mut touched))
            })
            .collect();
        self.spend(work);
        let doubt = self.doubt(name);
        self.bind_doubtful(name, changed, target, doubt);
        self.changed_at(name, object.span);
        if self.aliases.contains(name) {
            self.forget_aliases(name, &touched, object.span);
        }
    }

    /// Remembers names that stand for the same list or dictionary from here on.
    pub(super) fn note_aliases(
        &mut self,
        targets: &[Expression],
        value: &Expression,
        values: &[Possible],
    ) {
        let is_container =
            |possible: &Possible| matches!(possible.data, Data::Sequence(_) | Data::Dictionary(_));
        if !values.iter().any(is_container) {
            return;
        }
        let mut names = Vec::new();
        for expression in targets.iter().chain([value]) {
            named(expression, 0, &mut names);
        }
        names.retain(|name| {
            let binding = self.lookup(name);
            binding.is_none_or(|binding| binding.values.iter().any(is_container))
        });
        if names.len() > 1 {
            self.aliases.extend(names.into_iter().map(str::to_owned));
        }
    }

    /// What another name for a changed value holds is no longer known.
    fn forget_aliases(&mut self, changed: &str, touched: &[Data], span: Span) {
        let mut others: Vec<String> = self.aliases.iter().cloned().collect();
        others.sort_unstable();
        for name in others {
            if name == changed {
                continue;
            }
            let Some(binding) = self.lookup(&name) else {
                continue;
            };
            let shares = |possible: &Possible| {
                touched
                    .iter()
                    .any(|data| holds(&possible.data, data, MAX_SHARED))
            };
            if binding.values.iter().any(shares) {
                let target = binding.target;
                let unknown = Possible::unknown("it is changed under another name", span);
                self.bind(&name, vec![unknown], target);
            }
        }
    }
}

/// The names that an expression takes as they are: in lists and dictionaries, as arguments, as
/// alternatives.
fn named<'e>(expression: &'e Expression, depth: usize, names: &mut Vec<&'e str>) {
    if depth > MAX_SHARED {
        return;
    }
    let mut inside = |expression: &'e Expression| named(expression, depth + 1, names);
    match &expression.kind {
        Kind::Name(name) => names.push(name),
        Kind::Subscript(object, _) => inside(object),
        Kind::Sequence { items, .. } => {
            for Item::One(item) | Item::Splice(item) in items {
                inside(item);
            }
        }
        Kind::Dictionary(pairs) => pairs.iter().for_each(|(_, value)| inside(value)),
        Kind::Call { arguments, .. } => {
            for argument in arguments {
                if let Argument::Positional(value) | Argument::Keyword(_, value) = argument {
                    inside(value);
                }
            }
        }
        Kind::Binary { left, right, .. } => {
            inside(left);
            inside(right);
        }
        Kind::Conditional {
            value, otherwise, ..
        } => {
            inside(value);
            inside(otherwise);
        }
        Kind::Walrus(name, value) => {
            inside(value);
            names.push(name);
        }
        _ => {}
    }
}

fn unfollowed() -> Data {
    Data::unknown("it is changed in a way that is not followed")
}

/// Which item of a list a key names.
fn at(sequence: &Sequence, key: &Possible) -> Option<usize> {
    let Data::Integer(at) = key.data else {
        return None;
    };
    usize::try_from(at)
        .ok()
        .filter(|at| sequence.complete && *at < sequence.items.len())
}

/// `data` with what stands at the end of `path` changed; `touched` gets all that it lies in.
fn along(
    data: &Data,
    path: &[Key],
    change: &mut dyn FnMut(&Data) -> Data,
    touched: &mut Vec<Data>,
) -> Data {
    touched.push(data.clone());
    let Some((key, rest)) = path.split_first() else {
        return change(data);
    };
    let mut inside = |values: &Values| -> Values {
        let changed = values.iter();
        changed
            .map(|possible| possible.with(along(&possible.data, rest, change, touched)))
            .collect()
    };
    match (data, key) {
        (Data::Dictionary(dictionary), Some(key)) => {
            let found = key.data.as_text().and_then(|key| dictionary.get(key));
            match found {
                Some((key, values)) => {
                    let values = inside(values);
                    with_pair(dictionary, key.clone(), values)
                }
                None => incomplete(dictionary),
            }
        }
        (Data::Sequence(sequence), Some(key)) => match at(sequence, key) {
            Some(at) => {
                let mut items = sequence.items.clone();
                items[at] = inside(&items[at]);
                Data::sequence(sequence.tuple, items, true)
            }
            None => unfollowed(),
        },
        (Data::Dictionary(_) | Data::Sequence(_), None) => unfollowed(),
        (other, _) => other.clone(),
    }
}

/// Whether `data` is, or holds, the very list or dictionary that `part` is.
fn holds(data: &Data, part: &Data, depth: usize) -> bool {
    let same = match (data, part) {
        (Data::Sequence(a), Data::Sequence(b)) => std::sync::Arc::ptr_eq(a, b),
        (Data::Dictionary(a), Data::Dictionary(b)) => std::sync::Arc::ptr_eq(a, b),
        _ => false,
    };
    if same || depth == 0 {
        return same;
    }
    let inside = |values: &Values| {
        values
            .iter()
            .any(|possible| holds(&possible.data, part, depth - 1))
    };
    match data {
        Data::Sequence(sequence) => sequence.items.iter().any(inside),
        Data::Dictionary(dictionary) => {
            let Dictionary { pairs, .. } = &**dictionary;
            pairs.iter().any(|(_, values)| inside(values))
        }
        _ => false,
    }
}

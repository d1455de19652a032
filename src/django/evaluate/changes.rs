//! Changes in place: `A["b"]["c"] = …`, `A["b"].update(…)`, `NAMES.append(…)`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::builtins::{incomplete, position, size, with_pair};
use super::methods::{dictionary_method, sequence_method, without_key};
use super::statements::{Frame, is_namespace};
use crate::django::data::{Data, Possible, Sequence, Values, bounded, certain};
use crate::django::syntax::{Expression, Kind};
use crate::source::Span;

/// Lists and dictionaries in one that is changed in a way that is not followed.
const MAX_LOST: usize = 256;

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

    /// Deletes `object[key]`.
    pub(super) fn delete_key(&mut self, object: &Expression, key: &Expression) {
        let keys = self.expression(key);
        let key = certain(&keys).cloned();
        self.change(object, &mut |data| match (data, &key) {
            (Data::Dictionary(dictionary), Some(key)) => without_key(dictionary, key),
            (Data::Sequence(sequence), Some(key)) => match at(sequence, key) {
                Some(at) => {
                    let mut items = sequence.items.clone();
                    items.remove(at);
                    Data::sequence(sequence.tuple, items, true)
                }
                None => unfollowed(),
            },
            (Data::Dictionary(_) | Data::Sequence(_), None) => unfollowed(),
            (other, _) => other.clone(),
        });
    }

    /// What a method of a list or a dictionary changes in its place.
    pub(super) fn change_by_method(
        &mut self,
        object: &Expression,
        method: &str,
        positional: &[Values],
        keywords: &[(String, Values)],
        complete: bool,
    ) {
        self.change(object, &mut |data| match data {
            Data::Sequence(sequence) => sequence_method(sequence, method, positional),
            Data::Dictionary(dictionary) => {
                dictionary_method(dictionary, method, positional, keywords, complete)
            }
            other => other.clone(),
        });
    }

    /// Changes what stands at `object`: a name, or a path of subscripts into it. All that stands
    /// for the same list or dictionary changes with it.
    fn change(&mut self, object: &Expression, change: &mut dyn FnMut(&Data) -> Data) {
        let mut path: Vec<Key> = Vec::new();
        let mut at = object;
        while let Kind::Subscript(inner, key) = &at.kind {
            let key = self.expression(key);
            path.push(certain(&key).cloned());
            at = inner;
        }
        path.reverse();
        let mut changed = Changed::default();
        if let Kind::Name(name) = &at.kind {
            let Some(binding) = self.lookup(name) else {
                return;
            };
            let (before, target) = (binding.values.clone(), binding.target);
            let mut work = 0;
            changed.perhaps = before.len() > 1;
            let after = before
                .iter()
                .map(|possible| {
                    work += size(&possible.data);
                    possible.with(along(&possible.data, &path, change, &mut changed))
                })
                .collect();
            drop(before);
            self.spend(work);
            let doubt = self.doubt(name);
            self.bind_doubtful(name, after, target, doubt);
            self.changed_at(name, object.span);
            self.touched.insert(name.clone());
        } else if matches!(at.kind, Kind::Attribute(..)) {
            let objects = self.expression(at);
            changed.perhaps = objects.len() > 1;
            for possible in &objects {
                along(&possible.data, &path, change, &mut changed);
            }
        }
        for (old, new) in changed.objects {
            let new = match changed.perhaps {
                true => vec![new, old.clone()],
                false => vec![new],
            };
            self.replace(&old, &new, object.span);
        }
    }

    /// Puts `new` where names hold the very list or dictionary `old`.
    pub(super) fn replace(&mut self, old: &Data, new: &[Data], span: Span) {
        // Nothing else holds it.
        if holders(old) < 2 {
            return;
        }
        let mut replacement = Replacement {
            old,
            depth: old.depth(),
            new,
            seen: HashMap::new(),
            work: 0,
        };
        let mut names: HashSet<&str> = HashSet::new();
        let mut found = Vec::new();
        for layer in self.layers.iter().rev() {
            for (name, binding) in layer {
                if names.insert(name)
                    && let Some(values) = replacement.values(&binding.values)
                {
                    found.push((name.clone(), values, binding.target));
                }
            }
        }
        let work = names.len() + replacement.work;
        self.spend(work / 8);
        found.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        for (name, values, target) in found {
            let doubt = self.doubt(&name);
            self.bind_doubtful(&name, values, target, doubt);
            self.changed_at(&name, span);
            self.touched.insert(name);
        }
    }
}

/// How many places hold this very list or dictionary; none for what can't change in its place.
pub(super) fn holders(data: &Data) -> usize {
    match data {
        Data::Sequence(sequence) if !sequence.tuple => Arc::strong_count(sequence),
        Data::Dictionary(dictionary) => Arc::strong_count(dictionary),
        _ => 0,
    }
}

/// What a change in place has changed.
#[derive(Default)]
struct Changed {
    /// The lists and dictionaries that were changed, with what became of them.
    objects: Vec<(Data, Data)>,
    /// Whether it may be others that are changed.
    perhaps: bool,
}

/// Looks for one list or dictionary in values and puts another in its place.
struct Replacement<'a> {
    old: &'a Data,
    depth: usize,
    new: &'a [Data],
    /// What became of each list, dictionary, class and call; `None` where nothing did.
    seen: HashMap<*const (), Option<Data>>,
    work: usize,
}

impl Replacement<'_> {
    /// The values with the new one in them; `None` where the old one is not among them.
    fn values(&mut self, values: &[Possible]) -> Option<Values> {
        let mut after: Option<Values> = None;
        for (at, possible) in values.iter().enumerate() {
            let new = match is_same_object(&possible.data, self.old) {
                true => Some(self.new.to_vec()),
                false => self.data(&possible.data).map(|data| vec![data]),
            };
            match new {
                Some(new) => after
                    .get_or_insert_with(|| values[..at].to_vec())
                    .extend(new.into_iter().map(|data| possible.with(data))),
                None => {
                    if let Some(after) = &mut after {
                        after.push(possible.clone());
                    }
                }
            }
        }
        after.map(bounded)
    }

    fn all(&mut self, all: &[Values]) -> Option<Vec<Values>> {
        let new: Vec<_> = all.iter().map(|values| self.values(values)).collect();
        new.iter().any(Option::is_some).then(|| {
            let pairs = new.into_iter().zip(all);
            pairs
                .map(|(new, old)| new.unwrap_or_else(|| old.clone()))
                .collect()
        })
    }

    fn data(&mut self, data: &Data) -> Option<Data> {
        // What holds it is deeper than it.
        if data.depth() <= self.depth {
            return None;
        }
        let place: *const () = match data {
            Data::Sequence(sequence) => Arc::as_ptr(sequence).cast(),
            Data::Dictionary(dictionary) => Arc::as_ptr(dictionary).cast(),
            Data::Class(class) => Arc::as_ptr(class).cast(),
            // Routers keep the list that they are given.
            Data::Call(call) if call.function.data.symbol().starts_with("channels.routing.") => {
                Arc::as_ptr(call).cast()
            }
            _ => return None,
        };
        if let Some(known) = self.seen.get(&place) {
            return known.clone();
        }
        self.work += 1 + size(data);
        let new = match data {
            Data::Sequence(sequence) => self
                .all(&sequence.items)
                .map(|items| Data::sequence(sequence.tuple, items, sequence.complete)),
            Data::Dictionary(dictionary) => {
                let (keys, values): (Vec<_>, Vec<_>) = dictionary.pairs.iter().cloned().unzip();
                self.all(&values).map(|values| {
                    let pairs = keys.into_iter().zip(values).collect();
                    Data::dictionary(pairs, dictionary.complete)
                })
            }
            Data::Class(class) => {
                let attributes = class.attributes.iter();
                let values: Vec<_> = attributes.map(|one| one.values.clone()).collect();
                let (bases, values) = (self.all(&class.bases), self.all(&values));
                (bases.is_some() || values.is_some()).then(|| class.with(bases, values))
            }
            Data::Call(call) => {
                let values: Vec<_> = call.keywords.iter().map(|(_, one)| one.clone()).collect();
                let (positional, values) = (self.all(&call.positional), self.all(&values));
                (positional.is_some() || values.is_some()).then(|| call.with(positional, values))
            }
            _ => None,
        };
        self.seen.insert(place, new.clone());
        new
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
    position(sequence.items.len(), at).filter(|_| sequence.complete)
}

/// `data` with what stands at the end of `path` changed; `changed` gets that with what became of it.
fn along(
    data: &Data,
    path: &[Key],
    change: &mut dyn FnMut(&Data) -> Data,
    changed: &mut Changed,
) -> Data {
    let Some((key, rest)) = path.split_first() else {
        let new = change(data);
        changed.objects.push((data.clone(), new.clone()));
        return new;
    };
    let mut inside = |values: &Values| -> Values {
        changed.perhaps |= values.len() > 1;
        let after = values.iter();
        after
            .map(|possible| possible.with(along(&possible.data, rest, change, changed)))
            .collect()
    };
    match (data, key) {
        (Data::Dictionary(dictionary), Some(key)) => {
            let found = key.data.as_text().and_then(|key| dictionary.get(key));
            match found {
                None if matches!(key.data, Data::Unknown(_)) => lost(data, &mut changed.objects),
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
            None => lost(data, &mut changed.objects),
        },
        (Data::Dictionary(_) | Data::Sequence(_), None) => lost(data, &mut changed.objects),
        (other, _) => other.clone(),
    }
}

/// Something in `data` is changed, and what is not known: neither that nor anything in it is what
/// it was.
fn lost(data: &Data, changed: &mut Vec<(Data, Data)>) -> Data {
    let mut at = vec![data.clone()];
    while let Some(data) = at.pop() {
        let inner: Vec<_> = match &data {
            Data::Sequence(sequence) => sequence.items.iter().flatten().collect(),
            Data::Dictionary(dictionary) => {
                let values = dictionary.pairs.iter().map(|(_, values)| values);
                values.flatten().collect()
            }
            _ => continue,
        };
        if changed
            .iter()
            .any(|(known, _)| is_same_object(known, &data))
            || changed.len() > MAX_LOST
        {
            continue;
        }
        at.extend(inner.into_iter().map(|possible| possible.data.clone()));
        changed.push((data, unfollowed()));
    }
    unfollowed()
}

/// Whether both are the very same list or dictionary.
fn is_same_object(a: &Data, b: &Data) -> bool {
    match (a, b) {
        (Data::Sequence(a), Data::Sequence(b)) => Arc::ptr_eq(a, b),
        (Data::Dictionary(a), Data::Dictionary(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}

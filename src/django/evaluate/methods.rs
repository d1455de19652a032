//! What the methods of plain values return, and what they change in place.

use std::sync::Arc;

use super::builtins::{incomplete, position, with_pair};
use super::{MAX_ITEMS, MAX_TEXT};
use crate::django::data::{Data, Dictionary, Possible, Sequence, Values, certain};
use crate::source::{SourceId, Span};

pub(super) fn sequence_method(
    sequence: &Arc<Sequence>,
    method: &str,
    positional: &[Values],
) -> Data {
    let mut items = sequence.items.clone();
    let mut complete = sequence.complete;
    match (method, positional) {
        ("append" | "add", [value]) => items.push(value.clone()),
        ("insert", [at, value]) => match certain(at).map(|possible| &possible.data) {
            Some(Data::Integer(at)) if complete || *at == 0 => {
                let at = match position(items.len(), *at) {
                    Some(at) => at,
                    None if *at < 0 => 0,
                    None => items.len(),
                };
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
        ("remove", [value]) => match find(&items, value) {
            Found::At(at) => {
                items.remove(at);
            }
            // Python raises an exception.
            Found::Nowhere if complete => {}
            _ => return Data::unknown("what it removes is not known"),
        },
        ("clear", []) => (items, complete) = (Vec::new(), true),
        ("reverse", []) => items.reverse(),
        ("pop", []) if complete => {
            items.pop();
        }
        ("pop", [at]) if complete => match certain(at).map(|possible| &possible.data) {
            Some(Data::Integer(at)) => {
                if let Some(at) = position(items.len(), *at) {
                    items.remove(at);
                }
            }
            _ => return Data::unknown("what it removes is not known"),
        },
        ("index" | "count" | "copy", _) => return Data::Sequence(sequence.clone()),
        // What it holds may go, too.
        _ => return Data::unknown("it is changed in a way that is not followed"),
    }
    if items.len() > MAX_ITEMS {
        items.truncate(MAX_ITEMS);
        complete = false;
    }
    Data::sequence(sequence.tuple, items, complete)
}

/// Where a value is among items.
enum Found {
    At(usize),
    Nowhere,
    Unknown,
}

fn find(items: &[Values], value: &Values) -> Found {
    let Some(value) = certain(value) else {
        return Found::Unknown;
    };
    for (at, item) in items.iter().enumerate() {
        match certain(item).and_then(|item| item.data.equals(&value.data)) {
            Some(true) => return Found::At(at),
            Some(false) => {}
            None => return Found::Unknown,
        }
    }
    Found::Nowhere
}

/// Whether a method of a list or a dictionary changes it.
pub(super) fn changes(method: &str) -> bool {
    matches!(
        method,
        "append"
            | "add"
            | "insert"
            | "extend"
            | "update"
            | "remove"
            | "discard"
            | "clear"
            | "reverse"
            | "sort"
            | "pop"
            | "popitem"
            | "setdefault"
            | "appendleft"
            | "extendleft"
            | "move_to_end"
    ) || method.ends_with("_update")
}

/// A dictionary after `del` of a key.
pub(super) fn without_key(dictionary: &Dictionary, key: &Possible) -> Data {
    let pairs = dictionary.pairs.iter();
    let pairs = pairs.filter(|(old, _)| old.data.equals(&key.data) != Some(true));
    Data::dictionary(pairs.cloned().collect(), dictionary.complete)
}

pub(super) fn dictionary_method(
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
        ("setdefault", [key, rest @ ..]) if rest.len() < 2 => match certain(key) {
            Some(key) if key.data.as_text().is_some() && dictionary.complete => {
                if key
                    .data
                    .as_text()
                    .is_some_and(|key| dictionary.get(key).is_none())
                {
                    let none = || vec![Possible::literal(Data::None, key.span)];
                    add(key.clone(), rest.first().cloned().unwrap_or_else(none));
                }
            }
            _ => known = false,
        },
        ("pop", [key, ..]) => match certain(key) {
            Some(key) if key.data.as_text().is_some() => return without_key(dictionary, key),
            _ => return Data::unknown("what it removes is not known"),
        },
        ("clear", []) => return Data::dictionary(Vec::new(), true),
        ("get" | "keys" | "values" | "items" | "copy", _) => {}
        _ => return Data::unknown("it is changed in a way that is not followed"),
    }
    match data {
        Data::Dictionary(dictionary) if !known => incomplete(&dictionary),
        data => data,
    }
}

pub(super) fn split(text: &str, by: &str, from: &Possible) -> Data {
    let items: Vec<Values> = text
        .split(by)
        .take(MAX_ITEMS)
        .map(|part| vec![from.with(Data::text(part))])
        .collect();
    Data::sequence(false, items, true)
}

/// A method of a plain value.
pub(super) fn method_of(
    object: &Data,
    method: &str,
    positional: &[Values],
    keywords: &[(String, Values)],
) -> Data {
    let argument = |at: usize| {
        positional
            .get(at)
            .and_then(|values| certain(values))
            .and_then(|value| value.data.as_text().map(str::to_owned))
    };
    let data = match (object, method) {
        (Data::Text(text), "lower" | "casefold") => Some(Data::text(&text.to_lowercase())),
        (Data::Text(text), "upper") => Some(Data::text(&text.to_uppercase())),
        (Data::Text(text), "strip" | "lstrip" | "rstrip") => match positional.len() {
            0 => Some(strip(text, method, char::is_whitespace)),
            _ => argument(0).map(|chars| strip(text, method, |char| chars.contains(char))),
        },
        (Data::Text(text), "split") if positional.is_empty() => Some(words(text)),
        (Data::Text(by), "join") => join(by, positional.first()),
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
        (Data::Text(text), "format") => format(text, positional, keywords),
        (Data::Text(text), "isdigit") => Some(Data::Bool(
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
        ))
        .filter(|_| text.is_ascii()),
        (Data::Dictionary(dictionary), "get" | "setdefault" | "pop") => {
            argument(0).and_then(|key| match dictionary.get(&key) {
                Some((_, values)) => certain(values).map(|value| value.data.clone()),
                None if dictionary.complete => match positional.get(1) {
                    Some(values) => certain(values).map(|value| value.data.clone()),
                    None => (method != "pop").then_some(Data::None),
                },
                None => None,
            })
        }
        (Data::Sequence(list), "index") if positional.len() == 1 => {
            match find(&list.items, &positional[0]) {
                Found::At(at) => i64::try_from(at).ok().map(Data::Integer),
                _ => None,
            }
        }
        (Data::Sequence(list), "pop") if list.complete => {
            let at = match positional.first().map(|at| certain(at).map(|at| &at.data)) {
                None => Some(-1),
                Some(Some(Data::Integer(at))) => Some(*at),
                _ => None,
            };
            at.and_then(|at| position(list.items.len(), at))
                .and_then(|at| certain(&list.items[at]))
                .map(|item| item.data.clone())
        }
        (Data::Dictionary(dictionary), "keys" | "values" | "items") => {
            let items = dictionary.pairs.iter().map(|(key, values)| match method {
                "keys" => vec![key.clone()],
                "values" => values.clone(),
                _ => vec![key.with(Data::sequence(
                    true,
                    vec![vec![key.clone()], values.clone()],
                    true,
                ))],
            });
            Some(Data::sequence(false, items.collect(), dictionary.complete))
        }
        // Another one, that changes by itself.
        (Data::Sequence(list), "copy") => Some(Data::sequence(
            list.tuple,
            list.items.clone(),
            list.complete,
        )),
        (Data::Dictionary(pairs), "copy") => {
            Some(Data::dictionary(pairs.pairs.clone(), pairs.complete))
        }
        _ => None,
    };
    data.unwrap_or_else(|| Data::unknown("it is computed"))
}

/// The text of a plain scalar as `str()` and formatting write it.
pub(super) fn written(data: &Data) -> Option<String> {
    match data {
        Data::Text(text) => Some(text.to_string()),
        Data::Integer(number) => Some(number.to_string()),
        Data::Bool(true) => Some("True".to_owned()),
        Data::Bool(false) => Some("False".to_owned()),
        Data::None => Some("None".to_owned()),
        _ => None,
    }
}

fn strip(text: &str, method: &str, is_stripped: impl Fn(char) -> bool) -> Data {
    let text = match method {
        "lstrip" => text.trim_start_matches(is_stripped),
        "rstrip" => text.trim_end_matches(is_stripped),
        _ => text.trim_matches(is_stripped),
    };
    Data::text(text)
}

/// `split()` without a separator.
fn words(text: &str) -> Data {
    let words = text.split_whitespace().take(MAX_ITEMS);
    let items = words.map(|part| vec![Possible::literal(Data::text(part), NOWHERE)]);
    Data::sequence(false, items.collect(), true)
}

fn join(by: &str, items: Option<&Values>) -> Option<Data> {
    let Data::Sequence(list) = &certain(items?)?.data else {
        return None;
    };
    if !list.complete {
        return None;
    }
    let mut text = String::new();
    for (at, item) in list.items.iter().enumerate() {
        if at > 0 {
            text.push_str(by);
        }
        text.push_str(certain(item)?.data.as_text()?);
        if text.len() > MAX_TEXT {
            return None;
        }
    }
    Some(Data::text(&text))
}

/// `str.format` with plain fields: `{}`, `{0}`, `{name}`.
fn format(text: &str, positional: &[Values], keywords: &[(String, Values)]) -> Option<Data> {
    let mut result = String::new();
    let mut rest = text;
    let mut next = 0;
    while let Some(at) = rest.find(['{', '}']) {
        result.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            result.push_str(brace);
            rest = after;
            continue;
        }
        let (field, after) = rest.split_once('}').filter(|_| brace == "{")?;
        rest = after;
        let values = if field.is_empty() {
            next += 1;
            positional.get(next - 1)
        } else if let Ok(at) = field.parse::<usize>() {
            positional.get(at)
        } else {
            keywords
                .iter()
                .find(|(name, _)| name == field)
                .map(|(_, values)| values)
        };
        result.push_str(&written(&certain(values?)?.data)?);
        if result.len() > MAX_TEXT {
            return None;
        }
    }
    result.push_str(rest);
    Some(Data::text(&result))
}

/// For an intermediate value that no message ever shows.
pub(super) const NOWHERE: Span = Span {
    source: SourceId(0),
    start: 0,
    end: 0,
};

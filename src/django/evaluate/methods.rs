//! What the methods of plain values return, and what they change in place.

use std::sync::Arc;

use super::builtins::{incomplete, with_pair};
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
        ("get" | "keys" | "values" | "items" | "copy", _) => {}
        _ => known = false,
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
        (Data::Dictionary(dictionary), "get") => {
            argument(0).and_then(|key| match dictionary.get(&key) {
                Some((_, values)) => certain(values).map(|value| value.data.clone()),
                None if dictionary.complete => match positional.get(1) {
                    Some(values) => certain(values).map(|value| value.data.clone()),
                    None => Some(Data::None),
                },
                None => None,
            })
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
        (Data::Sequence(_) | Data::Dictionary(_), "copy") => Some(object.clone()),
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

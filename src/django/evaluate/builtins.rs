//! What Python's own functions and operators return.

use super::methods::{NOWHERE, dictionary_method, method_of, written};
use super::{MAX_ITEMS, MAX_TEXT};
use crate::django::data::{
    Call, Data, Dictionary, Origin, Possible, Sequence, Values, certain, weaker,
};
use crate::source::Span;

/// How much work a copy of it is.
pub(super) fn size(data: &Data) -> usize {
    match data {
        Data::Text(text) => text.len() / 64,
        Data::Sequence(sequence) => sequence.items.len(),
        Data::Dictionary(dictionary) => dictionary.pairs.len(),
        _ => 0,
    }
}

pub(super) fn with_pair(dictionary: &Dictionary, key: Possible, values: Values) -> Data {
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

pub(super) fn incomplete(dictionary: &Dictionary) -> Data {
    Data::dictionary(dictionary.pairs.clone(), false)
}

/// Which of so many items an index names; a negative one counts from the end.
pub(super) fn position(length: usize, at: i64) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let at = if at < 0 { at + length } else { at };
    usize::try_from(at).ok().filter(|_| at < length)
}

pub(super) fn subscript(objects: &[Possible], keys: &[Possible], span: Span) -> Values {
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
            match position(sequence.items.len(), *at).map(|at| &sequence.items[at]) {
                Some(values) => values.clone(),
                None => vec![Possible::unknown("it is looked up in a list", span)],
            }
        }
        (Data::Text(text), Data::Integer(at)) if text.is_ascii() => {
            match position(text.len(), *at).and_then(|at| text.get(at..=at)) {
                Some(char) => vec![Possible {
                    span,
                    ..object.with(Data::text(char))
                }],
                None => vec![Possible::unknown("it is looked up in a text", span)],
            }
        }
        _ => vec![Possible {
            span,
            ..object.with(Data::unknown("it is looked up in something unknown"))
        }],
    }
}

/// What a call returns, as far as it is known.
pub(super) fn returned(call: Call, span: Span) -> Values {
    let symbol = call.function.data.symbol();
    let first = || call.positional.first().and_then(|values| certain(values));
    let known = match symbol.as_str() {
        "str" => first().and_then(|value| Some(value.with(Data::text(&written(&value.data)?)))),
        "bool" if !call.positional.is_empty() => {
            first().and_then(|value| Some(value.with(Data::Bool(value.data.truth()?))))
        }
        "bool" if call.positional.is_empty() && call.complete => {
            Some(Possible::literal(Data::Bool(false), span))
        }
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
        "len" | "any" | "all" | "sorted" | "map" | "filter" if call.complete => {
            let origin = call.positional.iter().flatten();
            let origin = origin.fold(Origin::Literal, |origin, value| {
                weaker(&origin, &value.source())
            });
            over_items(&symbol, &call).map(|data| Possible {
                origin,
                ..Possible::literal(data, span)
            })
        }
        _ => None,
    };
    if let Some(known) = known {
        return vec![Possible { span, ..known }];
    }
    let data = match &call.function.data {
        Data::Unknown(why) => Data::Unknown(why.clone()),
        Data::Function(name) => Data::unknown(&format!("`{name}()` computes it")),
        Data::External(name)
            if matches!(
                &**name,
                "getattr"
                    | "len"
                    | "any"
                    | "all"
                    | "sorted"
                    | "tuple"
                    | "list"
                    | "set"
                    | "map"
                    | "filter"
            ) =>
        {
            Data::unknown("it is computed")
        }
        Data::External(_) | Data::Class(_) | Data::Attribute(_) | Data::Call(_) => Data::call(call),
        _ => Data::unknown("it is computed"),
    };
    vec![Possible::literal(data, span)]
}

pub(super) fn binary(operator: &str, a: &Data, b: &Data) -> Data {
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
                &[vec![Possible::literal(
                    Data::Dictionary(b.clone()),
                    NOWHERE,
                )]],
                &[],
                true,
            );
            Some(merged)
        }
        ("%", Data::Text(format), values) => interpolated(format, values),
        ("-", Data::Integer(a), Data::Integer(b)) => a.checked_sub(*b).map(Data::Integer),
        ("*", Data::Integer(a), Data::Integer(b)) => a.checked_mul(*b).map(Data::Integer),
        ("*", Data::Text(text), Data::Integer(times)) => {
            let times = usize::try_from(*times).unwrap_or(0);
            let fits = text
                .len()
                .checked_mul(times)
                .is_some_and(|size| size <= MAX_TEXT);
            fits.then(|| Data::text(&text.repeat(times)))
        }
        ("<" | "<=" | ">" | ">=", a, b) => compared(a, b).map(|order| {
            Data::Bool(match operator {
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                ">" => order.is_gt(),
                _ => order.is_ge(),
            })
        }),
        ("in" | "not in", Data::Text(part), Data::Text(text)) => {
            Some(Data::Bool(text.contains(&**part) == (operator == "in")))
        }
        ("in" | "not in", Data::Text(key), Data::Dictionary(dictionary)) => {
            let known = dictionary
                .pairs
                .iter()
                .all(|(key, _)| key.data.as_text().is_some());
            match dictionary.get(key) {
                Some(_) => Some(Data::Bool(operator == "in")),
                None => (dictionary.complete && known).then_some(Data::Bool(operator != "in")),
            }
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

fn compared(a: &Data, b: &Data) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Data::Integer(a), Data::Integer(b)) => Some(a.cmp(b)),
        (Data::Text(a), Data::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// `format % values`, with `%s`, `%d` and `%%`.
fn interpolated(format: &str, values: &Data) -> Option<Data> {
    let values: Vec<&Data> = match values {
        Data::Sequence(sequence) if sequence.tuple && sequence.complete => sequence
            .items
            .iter()
            .map(|item| certain(item).map(|item| &item.data))
            .collect::<Option<_>>()?,
        scalar => vec![scalar],
    };
    let mut values = values.into_iter();
    let mut text = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        match after.chars().next()? {
            '%' => text.push('%'),
            's' => text.push_str(&written(values.next()?)?),
            'd' => match values.next()? {
                Data::Integer(number) => text.push_str(&number.to_string()),
                _ => return None,
            },
            _ => return None,
        }
        rest = &after[1..];
        if text.len() > MAX_TEXT {
            return None;
        }
    }
    text.push_str(rest);
    values.next().is_none().then(|| Data::text(&text))
}

/// What a function of Python's gives for the items of a known list; `None` for any other.
fn over_items(name: &str, call: &Call) -> Option<Data> {
    let list = |at: usize| {
        let values = certain(call.positional.get(at)?)?;
        match &values.data {
            Data::Sequence(list) if list.complete => Some(list.clone()),
            _ => None,
        }
    };
    let truths = |list: &Sequence| -> Option<Vec<bool>> {
        list.items
            .iter()
            .map(|item| certain(item)?.data.truth())
            .collect()
    };
    match (name, call.positional.len()) {
        ("len", 1) => {
            let length = match &certain(&call.positional[0])?.data {
                Data::Sequence(list) if list.complete => list.items.len(),
                Data::Text(text) => text.chars().count(),
                _ => return None,
            };
            i64::try_from(length).ok().map(Data::Integer)
        }
        ("any", 1) => Some(Data::Bool(truths(&*list(0)?)?.contains(&true))),
        ("all", 1) => Some(Data::Bool(!truths(&*list(0)?)?.contains(&false))),
        ("sorted", 1) if call.keywords.is_empty() => {
            let list = list(0)?;
            let mut items: Vec<(&str, &Values)> = list
                .items
                .iter()
                .map(|item| Some((certain(item)?.data.as_text()?, item)))
                .collect::<Option<_>>()?;
            items.sort_by_key(|(text, _)| *text);
            let items = items.into_iter().map(|(_, item)| item.clone()).collect();
            Some(Data::sequence(false, items, true))
        }
        // `map(str.strip, …)`: lazy, but never anything else here.
        ("map", 2) => {
            let symbol = certain(&call.positional[0])?.data.symbol();
            let list = list(1)?;
            let items = list.items.iter().map(|item| {
                let item = certain(item)?;
                let data = match symbol.as_str() {
                    "str" => Data::text(&written(&item.data)?),
                    "str.strip" | "str.lower" | "str.upper" => {
                        item.data.as_text()?;
                        method_of(&item.data, symbol.strip_prefix("str.")?, &[], &[])
                    }
                    _ => return None,
                };
                Some(vec![item.with(data)])
            });
            Some(Data::sequence(false, items.collect::<Option<_>>()?, true))
        }
        ("filter", 2) => {
            let keep = certain(&call.positional[0])?;
            if !matches!(keep.data, Data::None) && keep.data.symbol() != "bool" {
                return None;
            }
            let list = list(1)?;
            let truths = truths(&list)?;
            let items = list.items.iter().zip(truths);
            let items = items.filter(|(_, truth)| *truth);
            let items = items.map(|(item, _)| item.clone()).collect();
            Some(Data::sequence(false, items, true))
        }
        _ => None,
    }
}

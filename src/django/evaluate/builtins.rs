//! What Python's own functions, methods and operators return, and the readers of the environment:
//! `os.environ`, django-environ, environs and decouple.

use std::sync::Arc;

use super::{MAX_ITEMS, MAX_TEXT};
use crate::django::data::{
    Call, Data, Dictionary, Origin, Possible, Sequence, Values, bounded, certain,
};
use crate::source::{SourceId, Span};

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
pub(super) fn returned(call: Call, span: Span) -> Values {
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
pub(super) fn method_of(object: &Data, method: &str, positional: &[Values]) -> Data {
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

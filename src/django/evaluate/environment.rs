//! The readers of the environment: `os.environ`, django-environ, environs and decouple.

use std::collections::{HashMap, HashSet};

use super::is_development;
use super::methods::split;
use crate::django::data::{Call, Data, Origin, Possible, Values, bounded, certain};
use crate::project::Project;
use crate::source::{Kind, Span};

/// The variables that a project's own deployment sets to `production`, with that word: they choose
/// a branch of the settings. Those that are something else elsewhere are none, but for a developer's.
pub(super) fn production(project: &Project) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut differ = HashSet::new();
    for source in project.of_kind(Kind::Command) {
        let lines = source.text.lines().map(str::trim_start);
        for line in lines.filter(|line| !line.starts_with('#')) {
            // `NAME=value`, `NAME: value`, `ENV NAME value`, `"NAME": "value"`.
            let between = |char: char| " \t=:\"',;[]{}".contains(char);
            let words = line.split(between).filter(|word| !word.is_empty());
            for (name, value) in words.clone().zip(words.skip(1)) {
                let is_name = name.len() > 2
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
                let word = value.to_ascii_lowercase();
                if !is_name || is_development(&word) {
                    continue;
                }
                let is_it = matches!(word.as_str(), "production" | "prod" | "live");
                let known = found.get(name).is_some_and(|known| known != value);
                match is_it && !known {
                    true => found.insert(name.to_owned(), value.to_owned()),
                    false => differ.insert(name.to_owned()).then(String::new),
                };
            }
        }
    }
    found.retain(|name, _| !differ.contains(name));
    found
}

/// A value that only the environment knows.
pub(super) fn environment(name: &str, span: Span) -> Possible {
    Possible {
        data: Data::unknown(&format!("the environment variable {name} decides")),
        span,
        origin: Origin::Default(name.into()),
        when: None,
    }
}

/// The value of `os.environ.get("A", default)`, `env.bool("A", default=…)`, `config("A", …)`:
/// its literal default, marked as such; unknown without one.
pub(super) fn read_environment(symbol: &str, call: &Call, span: Span) -> Option<Values> {
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
    let csv = call
        .keyword("cast")
        .and_then(|values| certain(values))
        .and_then(|cast| csv(&cast.data));
    let Some(default) = default else {
        return Some(vec![environment(&name, span)]);
    };
    let values = default
        .iter()
        .map(|value| {
            let data = match (kind, &value.data) {
                (_, Data::Text(text)) if csv.is_some() => csv_items(text, csv == Some(true), value),
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

/// Whether a cast of decouple's is `Csv()`: Some(true) where it gives a tuple.
fn csv(cast: &Data) -> Option<bool> {
    let Data::Call(call) = cast else { return None };
    if call.function.data.symbol() != "decouple.Csv" || !call.positional.is_empty() {
        return None;
    }
    match call.keywords.as_slice() {
        [] => Some(false),
        [(name, values)] if name == "post_process" => {
            let symbol = certain(values)?.data.symbol();
            matches!(symbol.as_str(), "tuple" | "list").then_some(symbol == "tuple")
        }
        _ => None,
    }
}

/// What `Csv()` makes of a text without quotes (decouple.py, Csv.__call__).
fn csv_items(text: &str, tuple: bool, from: &Possible) -> Option<Data> {
    if text.contains(['"', '\'', '\\', '#']) {
        return None;
    }
    let parts = text.split(',').filter(|part| !part.is_empty());
    let items = parts.map(|part| vec![from.with(Data::text(part.trim()))]);
    Some(Data::sequence(tuple, items.collect(), true))
}

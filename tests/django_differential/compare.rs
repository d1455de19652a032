//! What the library says of a project, against what Python did with it.

use serde_json::Value as Json;
use wslint::context::Context;
use wslint::django::data::{Data, Possible};
use wslint::django::settings::Settings;
use wslint::handshake::{Browser, Header, Outcome, Request};
use wslint::trace::{self, Target, Verdict};
use wslint::value::Value;

use crate::application::Asked;

/// How a value of the library's fits one of Python's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is that value, or may be.
    Yes,
    /// It is not.
    No,
    /// The library does not say.
    Unknown,
}

/// Whether one of `values` is the value that Python has. Under an environment that is not empty,
/// a default says nothing.
pub(crate) fn fits(values: &[Possible], real: &Json, empty: bool) -> Fit {
    let mut best = Fit::No;
    for possible in values {
        let fit = match possible.is_default() && !empty {
            true => Fit::Unknown,
            false => same(&possible.data, real, empty),
        };
        match fit {
            Fit::Yes => return Fit::Yes,
            Fit::Unknown => best = Fit::Unknown,
            Fit::No => {}
        }
    }
    best
}

fn same(data: &Data, real: &Json, empty: bool) -> Fit {
    let equal = |equal: bool| if equal { Fit::Yes } else { Fit::No };
    if let Some(default) = real.get("default") {
        return match data {
            Data::Absent => Fit::Yes,
            _ => same(data, default, empty),
        };
    }
    // A list that holds itself.
    if real.get("other").is_some_and(|other| other == "deep") {
        return Fit::Unknown;
    }
    match data {
        Data::None => equal(real.is_null()),
        Data::Bool(value) => equal(real.as_bool() == Some(*value)),
        Data::Integer(value) => equal(real.as_i64() == Some(*value)),
        Data::Text(text) => equal(real.as_str() == Some(text)),
        Data::Absent => equal(real.get("absent").is_some()),
        Data::Sequence(sequence) => {
            if !sequence.complete {
                return Fit::Unknown;
            }
            let tuple = real.get("tuple").and_then(Json::as_array);
            let list = real.get("list").and_then(Json::as_array);
            let items = match (sequence.tuple, tuple, list) {
                (true, Some(items), _) | (false, _, Some(items)) => items,
                // A set has no order of its own, and is a list to the library.
                _ if real.get("set").is_some() => return Fit::Unknown,
                _ => return Fit::No,
            };
            if items.len() != sequence.items.len() {
                return Fit::No;
            }
            all(sequence
                .items
                .iter()
                .zip(items)
                .map(|(values, real)| fits(values, real, empty)))
        }
        Data::Dictionary(dictionary) => {
            let Some(pairs) = real.get("dict").and_then(Json::as_array) else {
                return Fit::No;
            };
            if !dictionary.complete {
                return Fit::Unknown;
            }
            let keys = dictionary.pairs.iter().map(|(key, _)| key.data.as_text());
            let mut keys: Vec<_> = keys.collect();
            if keys.iter().any(Option::is_none) {
                return Fit::Unknown;
            }
            keys.sort_unstable();
            keys.dedup();
            if keys.len() != pairs.len() {
                return Fit::No;
            }
            all(pairs.iter().map(|pair| {
                let found = pair[0].as_str().and_then(|key| dictionary.get(key));
                found.map_or(Fit::No, |(_, values)| fits(values, &pair[1], empty))
            }))
        }
        _ => Fit::Unknown,
    }
}

fn all(fits: impl Iterator<Item = Fit>) -> Fit {
    let mut worst = Fit::Yes;
    for fit in fits {
        match fit {
            Fit::No => return Fit::No,
            Fit::Unknown => worst = Fit::Unknown,
            Fit::Yes => {}
        }
    }
    worst
}

/// How a setting fits.
pub(crate) fn setting(settings: &Settings, name: &str, real: &Json, empty: bool) -> Fit {
    let setting = settings.get(name);
    if setting.reopened.is_some() {
        return match fits(&setting.values, real, empty) {
            Fit::No => Fit::Unknown,
            fit => fit,
        };
    }
    fits(&setting.values, real, empty)
}

/// What the library expects of a request: `Ok(status)`, or why it does not say.
pub(crate) fn expected(cx: &Context<'_>, asked: &Asked) -> Result<Option<u16>, String> {
    if asked.forwarded.is_none() {
        let url = format!("ws://{}{}", asked.host, asked.path);
        let target = Target::parse(&url)?;
        let ways = trace::trace(cx, &target, None);
        let way = ways.first().ok_or("no way into the project")?;
        let run = way.decisive();
        return match way.verdict() {
            Verdict::Opens => Ok(Some(101)),
            Verdict::Fails => Ok(run.status),
            Verdict::Undecided => Err(run.reasons.join("; ")),
        };
    }
    let mut request = Request::handshake(Browser::Chrome, false, asked.host, 80, asked.path);
    if let Some(forwarded) = asked.forwarded {
        request.headers.push(Header {
            name: "X-Forwarded-Proto".to_owned(),
            value: Value::Known(forwarded.to_owned()),
            from: None,
        });
    }
    let hops = trace::hops(cx);
    let hop = hops.first().ok_or("no hop in the project")?;
    match hop.receive(&request).outcome {
        Outcome::Answers { status } => Ok(status),
        Outcome::Undecided { why } => Err(why),
        Outcome::Forwards { .. } => Err("it forwards".to_owned()),
    }
}

//! Headers on their way to an upstream: lines that change them, and what is left of a handshake.

use std::collections::HashSet;

use regex::Regex;

use crate::caddy::expand::Word;
use crate::caddy::placeholder::{
    Lookup, Part, Scene, lookup, nginx_environment, nginx_variable, parts,
};
use crate::handshake::{Header, Request, has_token};
use crate::source::Span;
use crate::value::Value;

/// What a `header_up` line does.
#[derive(Clone, Debug)]
pub enum Change {
    /// `+Field value`.
    Add(Word),
    /// `Field value`.
    Set(Word),
    /// `-Field`.
    Delete,
    /// `Field search replacement`; `None` where the expression does not compile here.
    Replace(Option<Regex>, Word),
}

/// A `header_up` or `request_header` line.
#[derive(Clone, Debug)]
pub struct HeaderLine {
    /// The field, without its prefix.
    pub field: String,
    /// What it does.
    pub change: Change,
    /// The whole line.
    pub span: Span,
    /// The bytes that one would change: the value, else the field.
    pub value: Span,
}

impl HeaderLine {
    /// Reads `Field value`, `-Field`, `+Field value`, `Field search replacement`
    /// (modules/caddyhttp/headers/caddyfile.go, `applyHeaderOp`).
    pub(in crate::caddy) fn parse(args: &[Word], span: Span) -> Option<Self> {
        let (field, rest) = args.split_first()?;
        let text = field.text.trim_end_matches(':');
        let empty = || Word {
            text: String::new(),
            span: field.span,
            ..field.clone()
        };
        let (name, change) = if let Some(name) = text.strip_prefix('+') {
            (
                name,
                Change::Add(rest.first().cloned().unwrap_or_else(empty)),
            )
        } else if let Some(name) = text.strip_prefix('-') {
            (name, Change::Delete)
        } else if let [search, replacement, ..] = rest {
            let regex = search
                .known()
                .filter(|text| text.len() < 1000 && !text.contains('{'));
            let regex = regex.and_then(|text| {
                regex::RegexBuilder::new(text)
                    .size_limit(1 << 18)
                    .build()
                    .ok()
            });
            (
                text.trim_start_matches(['?', '>']),
                Change::Replace(regex, replacement.clone()),
            )
        } else {
            let value = rest.first().cloned().unwrap_or_else(empty);
            (text.trim_start_matches('>'), Change::Set(value))
        };
        Some(Self {
            field: name.to_owned(),
            value: rest.last().map_or(field.span, |word| word.span),
            change,
            span,
        })
    }

    /// Whether the line touches the header `name`; `-Sec-*` touches several.
    pub fn touches(&self, name: &str) -> bool {
        let (field, name) = (self.field.to_ascii_lowercase(), name.to_ascii_lowercase());
        if !matches!(self.change, Change::Delete) {
            return field == name;
        }
        let inner = field.trim_matches('*');
        match (field.starts_with('*'), field.ends_with('*')) {
            (true, true) => name.contains(inner),
            (true, false) => name.ends_with(inner),
            (false, true) => name.starts_with(inner),
            (false, false) => name == field,
        }
    }

    /// The value that it sets or adds.
    pub fn word(&self) -> Option<&Word> {
        match &self.change {
            Change::Add(word) | Change::Set(word) => Some(word),
            Change::Delete | Change::Replace(..) => None,
        }
    }
}

/// What a value becomes when a request passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evaluated {
    /// Exactly this.
    Text(String),
    /// Text in which Caddy leaves something that it was meant to replace: that something.
    Literal(String, String),
    /// Not to be known.
    Open,
}

/// Evaluates `word` for `request`; `defined` are the names that the site's `map`s define.
pub fn evaluate(word: &Word, request: &Request, defined: &HashSet<String>) -> Evaluated {
    evaluate_in(
        word,
        &Scene {
            defined,
            ..Scene::bare(request)
        },
    )
}

/// The same within a site.
pub(in crate::caddy) fn evaluate_in(word: &Word, scene: &Scene<'_>) -> Evaluated {
    if let Some(unknown) = &word.unknown {
        if nginx_environment(unknown) {
            return Evaluated::Literal(String::new(), word.text.clone());
        }
        return Evaluated::Open;
    }
    if let Some(variable) = nginx_variable(&word.text) {
        return Evaluated::Literal(word.text.clone(), variable.to_owned());
    }
    let mut text = String::new();
    let mut left = None;
    for part in parts(&word.text, scene.defined) {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Placeholder(written, kind) => match lookup(written, &kind, scene) {
                Lookup::Text(value) => text.push_str(&value),
                Lookup::Open => return Evaluated::Open,
                // `ReplaceKnown` leaves it as it is.
                Lookup::Unknown => {
                    text.push_str(written);
                    left.get_or_insert_with(|| written.to_owned());
                }
            },
        }
    }
    match left {
        Some(left) => Evaluated::Literal(text, left),
        None => Evaluated::Text(text),
    }
}

/// What the proxy sends before `header_up` had its turn.
pub(in crate::caddy) fn rebuild(request: &Request) -> Vec<Header> {
    let upgrades = request.lines("Connection").any(|line| {
        line.value
            .known()
            .is_some_and(|value| has_token(value, "upgrade"))
    });
    let upgrade = request
        .lines("Upgrade")
        .find_map(|line| line.value.known())
        .filter(|value| upgrades && !value.is_empty())
        .map(|value| value.to_ascii_lowercase());
    let hop_by_hop = |name: &str| {
        [
            "Connection",
            "Upgrade",
            "Keep-Alive",
            "Te",
            "Trailer",
            "Transfer-Encoding",
            "Proxy-Connection",
        ]
        .iter()
        .any(|hop| hop.eq_ignore_ascii_case(name))
    };
    let mut sent: Vec<Header> = request
        .headers
        .iter()
        .filter(|line| !hop_by_hop(&line.name))
        .cloned()
        .collect();
    if let Some(upgrade) = upgrade {
        for (name, value) in [("Connection", "Upgrade".to_owned()), ("Upgrade", upgrade)] {
            sent.push(Header {
                name: name.to_owned(),
                value: Value::Known(value),
                from: None,
            });
        }
    }
    sent
}

/// Applies header lines in the order in which Caddy does.
pub(in crate::caddy) fn apply(lines: &[HeaderLine], scene: &Scene<'_>, sent: &mut Vec<Header>) {
    let value = |word: &Word| match evaluate_in(word, scene) {
        Evaluated::Text(text) | Evaluated::Literal(text, _) => Value::Known(text),
        Evaluated::Open => Value::Unknown("decided when the request passes".to_owned()),
    };
    if lines
        .iter()
        .any(|line| line.field == "*" && matches!(line.change, Change::Delete))
    {
        sent.clear();
    }
    let header = |line: &HeaderLine, word: &Word| Header {
        name: line.field.clone(),
        value: value(word),
        from: Some(line.span),
    };
    for line in lines {
        if let Change::Add(word) = &line.change {
            sent.push(header(line, word));
        }
    }
    for line in lines {
        if let Change::Set(word) = &line.change {
            sent.retain(|header| !header.name.eq_ignore_ascii_case(&line.field));
            sent.push(header(line, word));
        }
    }
    for line in lines {
        if matches!(line.change, Change::Delete) {
            sent.retain(|header| !line.touches(&header.name));
        }
    }
    for line in lines {
        let Change::Replace(regex, replacement) = &line.change else {
            continue;
        };
        for header in sent
            .iter_mut()
            .filter(|header| line.field == "*" || header.name.eq_ignore_ascii_case(&line.field))
        {
            header.from = Some(line.span);
            header.value = match (regex, header.value.known(), evaluate_in(replacement, scene)) {
                (Some(regex), Some(old), Evaluated::Text(new) | Evaluated::Literal(new, _)) => {
                    Value::Known(regex.replace_all(old, new.as_str()).into_owned())
                }
                _ => Value::Unknown("decided when the request passes".to_owned()),
            };
        }
    }
}

/// The headers without which no handshake opens.
pub const HANDSHAKE: [&str; 4] = [
    "Connection",
    "Upgrade",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
];

/// Whether a handshake must hold the header just once.
pub(in crate::caddy) fn is_single(name: &str) -> bool {
    matches!(name, "Sec-WebSocket-Key" | "Sec-WebSocket-Version")
}

/// Whether `sent` still opens a WebSocket as far as the header `name` goes; `None` if unknown.
pub fn opens(sent: &[Header], request: &Request, name: &str) -> Option<bool> {
    // RFC 6455, 11.3.1 and 11.3.5: these must not appear more than once.
    if is_single(name)
        && sent
            .iter()
            .filter(|line| line.name.eq_ignore_ascii_case(name))
            .count()
            > 1
    {
        return Some(false);
    }
    let mut open = false;
    for line in sent
        .iter()
        .filter(|line| line.name.eq_ignore_ascii_case(name))
    {
        let Some(value) = line.value.known() else {
            open = true;
            continue;
        };
        let good = match name {
            "Connection" => has_token(value, "upgrade"),
            "Upgrade" => has_token(value, "websocket"),
            "Sec-WebSocket-Version" => value.trim() == "13",
            _ => request
                .lines(name)
                .any(|own| own.value.known().is_some_and(|own| own == value)),
        };
        if good {
            return Some(true);
        }
    }
    if open { None } else { Some(false) }
}

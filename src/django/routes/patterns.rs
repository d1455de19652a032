//! Patterns of routes, with the semantics of Django's resolver.
//!
//! django/urls/resolvers.py: a `path()` matches from the start, wholly if it is an endpoint; a
//! `re_path()` is searched, or matched in full where it is an endpoint and ends in `$`.

use std::sync::{Arc, OnceLock};

use fancy_regex::Regex;

use super::MAX_ROUTES;
use crate::django::data::{Call, Data, certain};
use crate::django::evaluate::Program;
use crate::source::Span;

/// Bytes of a pattern; people write a tenth of it.
const MAX_PATTERN: usize = 1024;

/// Which of Django's functions makes a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `path()`: text with converters.
    Path,
    /// `re_path()` and the older `url()`: a regular expression.
    RePath,
}

/// One pattern of a route; nested routers give it several.
#[derive(Clone, Debug)]
pub struct Level {
    /// What makes it.
    pub function: Function,
    /// The name in the code: `path`, `re_path`, `url`.
    pub called: String,
    /// The pattern.
    pub pattern: String,
    /// The pattern's bytes.
    pub span: Span,
    /// Whether it must match the rest of the path; false for a router that Channels sees.
    pub endpoint: bool,
    /// A wrapper that hides an inner router from Channels: its dotted name and its call.
    pub wrapper: Option<(String, Span)>,
    pub(super) regex: Arc<OnceLock<Option<Regex>>>,
}

impl Level {
    fn compiled(&self) -> Option<&Regex> {
        self.regex
            .get_or_init(|| {
                let regex = match self.function {
                    Function::Path => path_regex(&self.pattern, self.endpoint)?,
                    // Python writes the end of the text `\Z`.
                    Function::RePath if self.endpoint && self.pattern.ends_with('$') => {
                        format!(r"\A(?:{})\z", python(&self.pattern))
                    }
                    Function::RePath => python(&self.pattern),
                };
                Regex::new(&regex).ok()
            })
            .as_ref()
    }

    /// What is left of `path` (without leading slashes) after this pattern; `Some(None)` where it
    /// does not match, `None` where that can't be said.
    pub fn rest<'a>(&self, path: &'a str) -> Option<Option<&'a str>> {
        let found = self.compiled()?.find(path).ok()?;
        Some(found.map(|found| &path[found.end()..]))
    }
}

/// Python's regular expression in the syntax of ours.
pub(super) fn python(pattern: &str) -> String {
    pattern.replace(r"\Z", r"\z")
}

/// The regular expression that Django makes of `path()`'s text; `None` for a converter that the
/// project defines itself (django/urls/converters.py).
pub(super) fn path_regex(text: &str, endpoint: bool) -> Option<String> {
    let mut regex = String::from(r"\A");
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        regex.push_str(&fancy_regex::escape(&rest[..open]));
        let close = open + rest[open..].find('>')?;
        let inner = &rest[open + 1..close];
        regex.push_str(
            match inner
                .split_once(':')
                .map_or("str", |(converter, _)| converter)
            {
                "str" => "(?:[^/]+)",
                "int" => "(?:[0-9]+)",
                "slug" => "(?:[-a-zA-Z0-9_]+)",
                "uuid" => "(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})",
                "path" => "(?:.+)",
                _ => return None,
            },
        );
        rest = &rest[close + 1..];
    }
    regex.push_str(&fancy_regex::escape(rest));
    if endpoint {
        regex.push_str(r"\z");
    }
    Some(regex)
}

/// An entry of a URLconf.
#[derive(Debug)]
pub struct Page {
    /// What it begins with, whatever it leads to.
    pub level: Level,
    /// Whether it leads to a view of a module that has to do with no socket: what serves one in a
    /// view takes it from the server under that word (`simple_websocket`, `werkzeug.socket`).
    pub plain: bool,
}

fn is_plain(program: &Program<'_>, call: &Call) -> bool {
    let view = call.argument(1, "view").and_then(|values| certain(values));
    view.is_some_and(|view| {
        matches!(view.data, Data::Function(_))
            && program
                .function(view.span)
                .is_some_and(|view| !view.decorated)
            && !program
                .text(view.span.source)
                .to_ascii_lowercase()
                .contains("socket")
    })
}

/// The entries of a URLconf; `None` where not all of them can be seen.
pub fn urlconf(program: &Program<'_>, dotted: &str) -> Option<Vec<Page>> {
    let sources = program.modules.named(dotted);
    let [source] = sources.as_slice() else {
        return None;
    };
    let module = program.module(source.id)?;
    let binding = module.get("urlpatterns")?;
    let Data::Sequence(list) = &certain(&binding.values)?.data else {
        return None;
    };
    if !list.complete || module.reopened(binding).is_some() || list.items.len() > MAX_ROUTES {
        return None;
    }
    list.items
        .iter()
        .map(|item| {
            let Data::Call(call) = &certain(item)?.data else {
                return None;
            };
            let (function, called) = pattern_function(call)?;
            let (pattern, span) = pattern(call, function)?;
            let level = Level {
                function,
                called,
                pattern,
                span,
                endpoint: false,
                wrapper: None,
                regex: Arc::default(),
            };
            let plain = is_plain(program, call);
            Some(Page { level, plain })
        })
        .collect()
}

/// Which of Django's functions a call is, and its name.
pub(super) fn pattern_function(call: &Call) -> Option<(Function, String)> {
    let symbol = call.function.data.symbol();
    let called = symbol.rsplit('.').next().unwrap_or_default().to_owned();
    match called.as_str() {
        "path" => Some((Function::Path, called)),
        "re_path" | "url" => Some((Function::RePath, called)),
        _ => None,
    }
}

/// The pattern that a call of such a function names, with its bytes.
pub(super) fn pattern(call: &Call, function: Function) -> Option<(String, Span)> {
    let name = match function {
        Function::Path => "route",
        Function::RePath => "regex",
    };
    let value = call
        .argument(0, name)
        .and_then(|values| certain(values))
        .filter(|value| !value.is_default())?;
    let text = value.data.as_text()?;
    (text.len() <= MAX_PATTERN).then(|| (text.to_owned(), value.span))
}

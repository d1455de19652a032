//! What the handlers of single directives refuse beyond their place and number of arguments.

use std::collections::HashMap;

use super::addresses::{listen, server_parameter, upstream};
use super::table::{self, Contexts};
use super::value::{bad_expression, is_placeholder, number};
use super::{Finder, Words};
use crate::nginx::model::{ItemId, ROOT, View};
use crate::source::Span;
use crate::syntax::{Directive, Word};

/// What was said before, to find what is said twice.
#[derive(Default)]
pub(super) struct Memory<'a> {
    /// Locations by block, kind and name.
    locations: HashMap<(ItemId, bool, &'a str), Span>,
    pub(super) upstreams: HashMap<String, Span>,
    /// Addresses of one server.
    pub(super) listens: HashMap<(ItemId, String), Span>,
    /// Default servers and socket options, by address; those of an unknown whole by file, too.
    pub(super) defaults: HashMap<(u32, String), Span>,
    pub(super) options: HashMap<(u32, String), Span>,
    roots: HashMap<ItemId, (&'a str, Span)>,
}

/// What the handler of `item` refuses.
pub(super) fn check<'a>(
    finder: &mut Finder<'a>,
    item: ItemId,
    context: Contexts,
    directive: Directive<'a>,
) -> Vec<Words> {
    let args = directive.args();
    // What something else fills in says nothing.
    if args
        .iter()
        .any(|word| word.templated || is_placeholder(&word.text))
    {
        return Vec::new();
    }
    let view = finder.view;
    let parent = view.item(item).parent;
    let memory = &mut finder.memory;
    let one = |words: Option<Words>| words.into_iter().collect();
    match (directive.name(), args) {
        ("if", _) => one(condition(args)),
        ("location", _) => one(location(view, memory, item, parent, context, args)),
        ("return", [code, rest @ ..]) => one(return_code(code, rest)),
        ("error_page", _) => one(error_page(args)),
        ("rewrite", [pattern, _, rest @ ..]) => one(expression(pattern, &pattern.text).or_else(|| {
            let flag = rest.first().filter(|flag| !["last", "break", "redirect", "permanent"].contains(&flag.text.as_str()))?;
            Some(parameter(flag).help("it takes one of `last`, `break`, `redirect`, `permanent`"))
        })),
        ("server_name", names) => one(names.iter().find_map(|name| {
            let pattern = name.text.strip_prefix('~')?;
            expression(name, pattern)
        })),
        ("proxy_pass", [url]) if context != table::STREAM_SERVER => one(proxy_pass(view, parent, context, url)),
        ("try_files", [.., last]) => one(last.text.strip_prefix('=').and_then(|code| {
            let bad = number(code).is_none_or(|code| code > 999);
            bad.then(|| {
                Words::new(last.span, format!("`{}` is no status", last.text), "not a number", format!("invalid code \"{code}\""))
            })
        })),
        ("add_header" | "add_trailer", [_, _, always]) if always.text != "always" => one(Some(
            parameter(always).help("a value that holds blanks is written in quotes; `always` is the only third argument"),
        )),
        ("proxy_set_header", [_, value]) if !view.config.is_open() => one(dashed(view, value)),
        ("set", [name, _]) if !name.text.starts_with('$') => one(Some(variable(name))),
        ("map" | "split_clients", [_, name]) if !name.text.starts_with('$') => one(Some(variable(name))),
        ("map", [_, _]) => map(view, item).into_iter().chain(nested(view, item)).collect(),
        ("geo" | "split_clients" | "types", _) => nested(view, item),
        ("listen", [address, rest @ ..]) if context == table::SERVER => {
            // Files of an unknown whole may be alternatives.
            let whole = if view.config.complete { u32::MAX } else { view.item(item).tree };
            listen(memory, whole, parent, address, rest)
        }
        ("upstream", [name]) if context == table::HTTP => one(upstream(finder, item, name)),
        ("server", [_, rest @ ..]) if context == table::UPSTREAM => one(rest.iter().find_map(server_parameter)),
        ("root" | "alias", [path]) => one(root(view, memory, parent, directive, path)),
        _ => Vec::new(),
    }
}

/// `$http-upgrade`: the name of a variable ends before the dash (ngx_http_script_compile).
fn dashed(view: View<'_>, value: &Word) -> Option<Words> {
    let (_, header) = value.text.split_once("$http-")?;
    let end = header
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .unwrap_or(header.len());
    let header = &header[..end];
    (!view.may_define("http")).then(|| {
        Words::new(
            value.span,
            format!("`$http-{header}` is the variable `$http`, which nothing defines, and the text `-{header}`"),
            "a dash ends the name of a variable",
            "unknown \"http\" variable",
        )
        .help(format!("write `$http_{}`", header.replace('-', "_")))
    })
}

pub(super) fn parameter(word: &Word) -> Words {
    let text = &word.text;
    Words::new(
        word.span,
        format!("`{text}` is no parameter that nginx knows here"),
        "not known here",
        format!("invalid parameter \"{text}\""),
    )
}

fn variable(word: &Word) -> Words {
    let text = &word.text;
    Words::new(
        word.span,
        format!("`{text}` is no variable"),
        "a variable begins with `$`",
        format!("invalid variable name \"{text}\""),
    )
    .help(format!("write `${text}`"))
}

fn expression(word: &Word, pattern: &str) -> Option<Words> {
    let why = bad_expression(pattern)?;
    Some(Words::new(
        word.span,
        format!("`{pattern}` is no regular expression: {why}"),
        why,
        format!("pcre2_compile() failed: … in \"{pattern}\""),
    ))
}

/// ngx_http_rewrite_if_condition.
fn condition(args: &[Word]) -> Option<Words> {
    let (first, last) = (args.first()?, args.last()?);
    let invalid = |word: &Word, message: &str| {
        let text = &word.text;
        Some(
            Words::new(word.span, message.to_owned(), "here nginx stops", format!("invalid condition \"{text}\""))
                .help("an `if` looks like `if ($variable = \"value\") { … }`, with blanks round the operator; it has no `&&`, `||` or `else`"),
        )
    };
    if !first.text.starts_with('(') {
        return invalid(first, "the condition of an `if` has no `(`");
    }
    if !last.text.ends_with(')') {
        return invalid(last, "the condition of an `if` does not end with `)`");
    }
    let mut words: Vec<&str> = args.iter().map(|word| word.text.as_str()).collect();
    let count = words.len();
    words[0] = &words[0][1..];
    let end = words[count - 1].strip_suffix(')').unwrap_or_default();
    words[count - 1] = end;
    let skipped = usize::from(first.text.len() == 1);
    let until = if last.text.len() == 1 {
        count - 1
    } else {
        count
    };
    let Some(words) = words.get(skipped..until).filter(|words| !words.is_empty()) else {
        return invalid(first, "the condition of an `if` is empty");
    };
    let at = |index: usize| &args[skipped + index];
    match words {
        [name] if name.len() > 1 && name.starts_with('$') => {
            let glued = name[1..]
                .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '{' | '}')))?;
            // The rest of the word is taken for a part of the variable's name.
            name[1 + glued..].starts_with(['=', '!', '~']).then(|| {
                Words::new(
                    at(0).span,
                    "the condition of an `if` lacks blanks round its operator",
                    "read as the name of a variable",
                    format!("unknown \"{}\" variable", &name[1..]),
                )
                .help("write blanks round the operator: `if ($variable = \"value\")`")
            })
        }
        [name, operator, pattern] if name.len() > 1 && name.starts_with('$') => match *operator {
            "=" | "!=" => None,
            "~" | "~*" | "!~" | "!~*" => expression(at(2), pattern),
            operator => {
                let words = Words::new(
                    at(1).span,
                    format!("an `if` knows no operator `{operator}`"),
                    "not an operator",
                    format!("unexpected \"{operator}\" in condition"),
                );
                Some(match operator {
                    "==" | "===" | "eq" => words.help("write `=`"),
                    _ => words.help("it knows `=`, `!=`, `~`, `~*`, `!~` and `!~*`"),
                })
            }
        },
        [test, _]
            if matches!(
                *test,
                "-f" | "-d" | "-e" | "-x" | "!-f" | "!-d" | "!-e" | "!-x"
            ) =>
        {
            None
        }
        [name, ..] if name.len() > 1 && name.starts_with('$') => invalid(
            at(0),
            "the condition of an `if` is more than one comparison",
        ),
        _ => invalid(at(0), "the condition of an `if` begins with no variable"),
    }
}

/// A location as ngx_http_core_location takes it: whether it is exact, an expression, and its name.
struct Place<'a> {
    exact: bool,
    expression: bool,
    name: &'a str,
}

impl<'a> Place<'a> {
    fn read(args: &'a [Word]) -> Option<Self> {
        let (modifier, name) = match args {
            [modifier, name] => (modifier.text.as_str(), name.text.as_str()),
            [whole] => {
                let text = whole.text.as_str();
                let modifier = ["=", "^~", "~*", "~"]
                    .into_iter()
                    .find(|modifier| text.starts_with(modifier))
                    .unwrap_or("");
                (modifier, &text[modifier.len()..])
            }
            _ => return None,
        };
        Some(Self {
            exact: modifier == "=",
            expression: modifier.starts_with('~'),
            name,
        })
    }

    fn is_named(&self) -> bool {
        !self.exact && !self.expression && self.name.starts_with('@')
    }
}

fn location<'a>(
    view: View<'a>,
    memory: &mut Memory<'a>,
    item: ItemId,
    parent: ItemId,
    context: Contexts,
    args: &'a [Word],
) -> Option<Words> {
    let head = view.directive(item).head();
    if let [modifier, _] = args
        && !["=", "^~", "~", "~*"].contains(&modifier.text.as_str())
    {
        let text = &modifier.text;
        return Some(
            Words::new(
                modifier.span,
                format!("`{text}` is no modifier of a location"),
                "not a modifier",
                format!("invalid location modifier \"{text}\""),
            )
            .help("the modifiers are `=`, `^~`, `~` and `~*`"),
        );
    }
    let place = Place::read(args)?;
    if place.expression {
        return expression(args.last()?, place.name);
    }
    if context == table::LOCATION {
        let outer_args = view.directive(parent).args();
        let outer = Place::read(outer_args)?;
        let refuse = |why: String, says: String| {
            Some(
                Words::new(head, why, "not within this block", says)
                    .other(view.directive(parent).head(), "the block that it stands in"),
            )
        };
        let (name, within) = (place.name, outer.name);
        if outer.exact {
            return refuse(
                "a location cannot stand in an exact one".to_owned(),
                format!("location \"{name}\" cannot be inside the exact location \"{within}\""),
            );
        }
        if outer.is_named() {
            return refuse(
                "a location cannot stand in a named one".to_owned(),
                format!("location \"{name}\" cannot be inside the named location \"{within}\""),
            );
        }
        if place.is_named() {
            return refuse(
                "a named location stands in a server only".to_owned(),
                format!("named location \"{name}\" can be on the server level only"),
            );
        }
        if !outer.expression && !name.starts_with(within) {
            return refuse(
                format!(
                    "`location {name}` is outside `location {within}`: a nested location goes on with the whole path of its outer one"
                ),
                format!("location \"{name}\" is outside location \"{within}\""),
            );
        }
    }
    // ngx_http_init_locations compares exact ones with each other, and prefixes.
    if place.is_named() || parent == ROOT && view.config.roots.len() > 1 {
        return None;
    }
    let first = memory
        .locations
        .insert((parent, place.exact, place.name), head)?;
    Some(
        Words::new(
            head,
            format!("`location {}` is there twice in one block", place.name),
            "the second one",
            format!("duplicate location \"{}\"", place.name),
        )
        .other(first, "the first one"),
    )
}

/// ngx_http_rewrite_return.
fn return_code(code: &Word, rest: &[Word]) -> Option<Words> {
    let text = code.text.as_str();
    let fine = match number(text) {
        Some(status) => status <= 999,
        None => {
            rest.is_empty()
                && ["http://", "https://", "$scheme"]
                    .iter()
                    .any(|start| text.starts_with(start))
        }
    };
    (!fine).then(|| {
        Words::new(
            code.span,
            format!("`{text}` is no status to return"),
            "not a status",
            format!("invalid return code \"{text}\""),
        )
        .help("a `return` begins with a status, such as `return 301 https://$host$request_uri;`")
    })
}

/// ngx_http_core_error_page.
fn error_page(args: &[Word]) -> Option<Words> {
    let (_, mut codes) = args.split_last()?;
    if let Some((replaced, before)) = codes.split_last()
        && replaced.text.starts_with('=')
    {
        let code = &replaced.text[1..];
        if before.is_empty() || (!code.is_empty() && number(code).is_none()) {
            let text = &replaced.text;
            return Some(Words::new(
                replaced.span,
                format!("`{text}` is no status to answer with"),
                "not a status",
                format!("invalid value \"{text}\""),
            ));
        }
        codes = before;
    }
    codes.iter().find_map(|code| {
        let text = &code.text;
        match number(text) {
            Some(status) if (300..=599).contains(&status) && status != 499 => None,
            Some(status) if status != 499 => Some(Words::new(
                code.span,
                format!("`error_page` takes no {text}: an answer with that status is no error"),
                "not between 300 and 599",
                format!("value \"{text}\" must be between 300 and 599"),
            )),
            _ => Some(Words::new(
                code.span,
                format!("`error_page` takes no `{text}`"),
                "not a status between 300 and 599",
                format!("invalid value \"{text}\""),
            )),
        }
    })
}

/// ngx_http_proxy_pass. A scheme that it does not know is another rule's.
fn proxy_pass(view: View<'_>, parent: ItemId, context: Contexts, url: &Word) -> Option<Words> {
    if url.text.contains('$') {
        return None;
    }
    let lower = url.text.to_ascii_lowercase();
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| lower.starts_with(scheme).then(|| &url.text[scheme.len()..]))?;
    let uri = match rest.strip_prefix("unix:") {
        Some(socket) => socket.split_once(':').map_or("", |(_, uri)| uri),
        None => rest.find(['/', '?']).map_or("", |at| &rest[at..]),
    };
    let host = &rest[..rest.len() - uri.len()];
    if host.is_empty() || host.starts_with(':') && !rest.starts_with("unix:") {
        return Some(Words::new(
            url.span,
            "`proxy_pass` names no host",
            "no host",
            format!("no host in upstream \"{rest}\""),
        ));
    }
    if !host.starts_with('[')
        && let Some((_, port)) = host.rsplit_once(':')
        && !rest.starts_with("unix:")
        && number(port).is_none_or(|port| !(1..=65535).contains(&port))
    {
        return Some(Words::new(
            url.span,
            format!("`proxy_pass` names no port that could be: `{port}`"),
            "an invalid port",
            format!("invalid port in upstream \"{rest}\""),
        ));
    }
    if uri.is_empty() {
        return None;
    }
    let outer = view.directive(parent);
    let place = || Place::read(outer.args());
    let kind = match context {
        table::LOCATION_IF => "an `if`",
        table::LIMIT_EXCEPT => "`limit_except`",
        table::LOCATION if place().is_some_and(|place| place.expression) => {
            "a location with a regular expression"
        }
        table::LOCATION if place().is_some_and(|place| place.is_named()) => "a named location",
        _ => return None,
    };
    Some(
        Words::new(
            url.span,
            format!("in {kind} `proxy_pass` takes no path: nginx could not tell what of the request's own path it replaces"),
            format!("`{uri}` is a path"),
            "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named location, or inside \"if\" statement, or inside \"limit_except\" block",
        )
        .help(format!("write the address alone, which sends the request's own path on:\nproxy_pass {};", &url.text[..url.text.len() - uri.len()])),
    )
}

/// Blocks within a block of entries, of which ngx_conf_parse takes none.
fn nested(view: View<'_>, item: ItemId) -> Vec<Words> {
    let blocks = view
        .children(item)
        .map(|entry| view.directive(entry))
        .filter(|entry| entry.has_block());
    blocks
        .map(|entry| {
            let name = view.directive(item).name();
            Words::new(
                entry.head(),
                format!("no block stands in `{name}`"),
                "a block of its own",
                "unexpected \"{\"",
            )
        })
        .collect()
}

/// ngx_http_map: entries of a key and a value.
fn map(view: View<'_>, item: ItemId) -> Vec<Words> {
    let mut keys: HashMap<String, Span> = HashMap::new();
    let mut found = Vec::new();
    for entry in view.children(item) {
        let directive = view.directive(entry);
        let words = &directive.node().words;
        if directive.has_block()
            || !directive.node().intact
            || words
                .iter()
                .any(|word| word.templated || is_placeholder(&word.text))
        {
            continue;
        }
        let words: Vec<&Word> = words.iter().collect();
        match words[..] {
            [only] if matches!(only.text.as_str(), "hostnames" | "volatile") => {}
            [key, _] if key.text == "include" => {}
            [key, _] => {
                if let Some(pattern) = key.text.strip_prefix('~') {
                    found.extend(expression(
                        key,
                        pattern.strip_prefix('*').unwrap_or(pattern),
                    ));
                    continue;
                }
                let text = key
                    .text
                    .strip_prefix('\\')
                    .unwrap_or(&key.text)
                    .to_ascii_lowercase();
                let is_default = key.text == "default";
                let text = if is_default {
                    "default".to_owned()
                } else {
                    format!("={text}")
                };
                if let Some(first) = keys.insert(text, key.span) {
                    let name = &key.text;
                    let says = if is_default {
                        "duplicate default map parameter".to_owned()
                    } else {
                        format!("conflicting parameter \"{name}\"")
                    };
                    found.push(
                        Words::new(
                            key.span,
                            format!("`{name}` is in this map twice"),
                            "the second one",
                            says,
                        )
                        .other(first, "the first one"),
                    );
                }
            }
            _ => found.push(
                Words::new(
                    directive.head(),
                    "a line of a map is a key and a value",
                    format!("{} words", words.len()),
                    "invalid number of the map parameters",
                )
                .help("a value that holds blanks is written in quotes"),
            ),
        }
    }
    found
}

/// ngx_http_core_root.
fn root<'a>(
    view: View<'a>,
    memory: &mut Memory<'a>,
    parent: ItemId,
    directive: Directive<'a>,
    _: &Word,
) -> Option<Words> {
    let (name, head) = (directive.name(), directive.head());
    if parent == ROOT {
        return None;
    }
    if name == "alias"
        && Place::read(view.directive(parent).args()).is_some_and(|place| place.is_named())
    {
        return Some(Words::new(
            head,
            "a named location takes no `alias`",
            "not allowed here",
            "the \"alias\" directive cannot be used inside the named location",
        ));
    }
    match memory.roots.insert(parent, (name, head)) {
        Some((before, first)) if before != name => Some(
            Words::new(head, format!("a block takes one of `root` and `alias`, and `{before}` stands in this one"), "the second one", format!("\"{name}\" directive is duplicate, \"{before}\" directive was specified earlier"))
                .other(first, "the first one"),
        ),
        _ => None,
    }
}

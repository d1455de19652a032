//! What nginx refuses to load, as far as that is certain for every version (or the one that
//! `[targets]` names): ngx_conf_handler's own rules by the [`table`], and what the handlers of
//! single directives add ([`special`]).
//!
//! A directive that no module of nginx has may be a third party's; it passes without a word.

mod addresses;
mod named;
mod special;
mod table;
mod value;

use std::collections::{HashMap, HashSet};

use super::model::{Context, Included, ItemId, ROOT, View};
use crate::project::{Project, Version, is_named_template};
use crate::source::Span;
use crate::syntax::{Directive, Word};
use table::{ANY, Contexts, Known, known};
use value::is_placeholder;

/// Refusals of one configuration. nginx itself stops at the first.
const MAX_REFUSALS: usize = 20;

/// Something in a configuration for which nginx does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub span: Span,
    /// The block that it stands in.
    pub level: ItemId,
    /// Why, for a person.
    pub message: String,
    /// What the span shows.
    pub label: String,
    /// What `nginx -t` says.
    pub says: String,
    /// Something that belongs to it: where it was said first.
    pub other: Option<(Span, String)>,
    /// What to write.
    pub help: Option<String>,
    /// A server or a location stands in the block of it, and is not read as one.
    pub hides: bool,
}

/// Whether a line of a configuration asks an upstream for the upgrade.
pub(super) fn asks_for_upgrade(view: View<'_>) -> bool {
    (0..view.config.items.len() as ItemId).any(|item| {
        let directive = view.directive(item);
        directive.name() == "proxy_set_header"
            && directive
                .arg(0)
                .is_some_and(|name| name.eq_ignore_ascii_case("upgrade"))
            && directive.arg(1).is_some_and(|value| {
                value.eq_ignore_ascii_case("$http_upgrade")
                    || value.eq_ignore_ascii_case("websocket")
            })
    })
}

/// A refusal, before it is known in which block it stands.
struct Words(Box<Refusal>);

impl Words {
    fn new(
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        says: impl Into<String>,
    ) -> Self {
        Self(Box::new(Refusal {
            span,
            level: ROOT,
            message: message.into(),
            label: label.into(),
            says: says.into(),
            other: None,
            help: None,
            hides: false,
        }))
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    fn other(mut self, span: Span, message: impl Into<String>) -> Self {
        self.0.other = Some((span, message.into()));
        self
    }
}

/// Finds what nginx refuses in a configuration.
pub(super) fn find(view: View<'_>, project: &Project) -> Vec<Refusal> {
    let mut finder = Finder {
        view,
        project,
        target: view.config.target,
        contexts: vec![0; view.config.items.len()],
        singles: HashMap::new(),
        memory: special::Memory::default(),
        found: Vec::new(),
    };
    finder.syntax();
    if !finder.found.is_empty() {
        // Beyond it we may see other blocks than were meant.
        return finder.found;
    }
    for item in 0..view.config.items.len() as ItemId {
        if finder.found.len() >= MAX_REFUSALS {
            break;
        }
        finder.item(item);
    }
    finder.sections();
    for (level, words) in named::check(view, project) {
        if finder.found.len() < MAX_REFUSALS {
            finder.push(level, words);
        }
    }
    let mut seen = HashSet::new();
    finder.found.retain(|refusal| seen.insert(refusal.span));
    finder.found
}

struct Finder<'a> {
    view: View<'a>,
    project: &'a Project,
    target: Option<Version>,
    /// The context that each item's block opens; 0 where it is not known or holds no directives.
    contexts: Vec<Contexts>,
    /// Directives that may stand once in a block, by block and name.
    singles: HashMap<(ItemId, &'a str), ItemId>,
    memory: special::Memory<'a>,
    found: Vec<Refusal>,
}

impl<'a> Finder<'a> {
    fn push(&mut self, level: ItemId, words: Words) {
        self.found.push(Refusal { level, ..*words.0 });
    }

    /// Where nginx's own tokenizer stops.
    fn syntax(&mut self) {
        for index in self.view.files() {
            let tree = &self.view.arena.trees[index as usize];
            let Some(error) = tree.errors.first() else {
                continue;
            };
            let text = self.project.slice(error.span);
            if self.project.source(tree.source).is_template()
                || text.starts_with("...")
                || text.starts_with('…')
            {
                continue;
            }
            let items = &self.view.config.items;
            let level = (0..items.len() as ItemId)
                .rev()
                .filter(|item| items[*item as usize].tree == index)
                .find(|item| {
                    let block = self.view.directive(*item).node().block;
                    block.is_some_and(|block| block.contains(error.span))
                })
                .unwrap_or(ROOT);
            let message = error.message.clone();
            // The block that lacks its end may be none.
            let rest = (0..items.len() as ItemId)
                .filter(|item| items[*item as usize].tree == index)
                .find_map(|item| {
                    let name = self.view.directive(item).name_word()?;
                    is_rest_of_quantifier(&name.text).then_some(name)
                });
            let words = match rest {
                Some(name) => unquoted_brace(name),
                None => Words::new(
                    error.span,
                    message.clone(),
                    "here nginx stops reading",
                    message,
                ),
            };
            self.push(level, words);
        }
    }

    /// The context that the directives of a block are in.
    fn context(&self, block: ItemId) -> Contexts {
        match block {
            ROOT if !self.view.config.complete => ANY,
            ROOT if self.view.config.top == Context::Http => table::HTTP,
            ROOT => table::MAIN,
            block => self.contexts[block as usize],
        }
    }

    /// Whether a block that nobody knows holds what only servers and locations of nginx hold.
    fn holds_a_server(&self, item: ItemId) -> bool {
        let mut children = self.view.children(item);
        children.any(|child| {
            matches!(
                self.view.directive(child).name(),
                "server_name" | "location" | "proxy_pass" | "proxy_set_header"
            )
        })
    }

    fn item(&mut self, item: ItemId) {
        let view = self.view;
        let directive = view.directive(item);
        let parent = view.item(item).parent;
        let context = self.context(parent);
        let is_unknown = known(directive.name()).is_empty() && self.holds_a_server(item);
        // Of a server whose locations are not seen it is not known whether it is one of `stream`.
        let in_server = || parent != ROOT && view.directive(parent).name() == "server";
        if context == 0 && !(is_unknown && in_server()) {
            return;
        }
        if directive.has_block() {
            self.contexts[item as usize] = self.inner(context, item, directive);
        }
        let source = self.project.source(directive.head().source);
        // In what is called a template a directive without a word waits for a script to give it one.
        let is_blank = directive.args().is_empty() && is_named_template(&source.path);
        if !directive.node().intact || source.is_template() || is_blank {
            return;
        }
        let rows = known(directive.name());
        let target = self.target;
        let row = match general(directive, context, rows, target) {
            Ok(row) => row,
            Err(words) => {
                let words = words.or_else(|| {
                    let name = directive.name_word().filter(|_| is_unknown)?;
                    Some(no_directive(name))
                });
                if let Some(mut words) = words {
                    words.0.hides = is_unknown;
                    self.push(parent, words);
                }
                return;
            }
        };
        let whole = parent != ROOT || self.view.config.roots.len() == 1;
        if row.is_single() && whole {
            let name = row.name;
            if let Some(first) = self.singles.insert((parent, name), item) {
                let first = self.view.directive(first).head();
                let words = Words::new(
                    directive.head(),
                    format!("`{name}` is given twice in one block"),
                    "a second one",
                    format!("\"{name}\" directive is duplicate"),
                );
                self.push(parent, words.other(first, "the first one"));
                return;
            }
        }
        let words = special::check(self, item, context, directive);
        for words in words {
            self.push(parent, words);
        }
    }

    /// The context that a block opens.
    fn inner(&self, context: Contexts, item: ItemId, directive: Directive<'_>) -> Contexts {
        if directive.node().code.is_some() {
            return 0;
        }
        match (context, directive.name()) {
            (ANY, "server") => {
                // It may be one of `stream`.
                let mut within = self.view.children(item);
                let is_http = within.any(|child| {
                    matches!(
                        self.view.directive(child).name(),
                        "location" | "root" | "try_files" | "rewrite"
                    )
                });
                if is_http { table::SERVER } else { 0 }
            }
            (table::MAIN, "http") => table::HTTP,
            (table::MAIN, "events") => table::EVENTS,
            (table::MAIN, "stream") => table::STREAM,
            (table::HTTP, "server") => table::SERVER,
            (table::HTTP, "upstream") => table::UPSTREAM,
            (table::STREAM, "server") => table::STREAM_SERVER,
            (table::STREAM, "upstream") => table::STREAM_UPSTREAM,
            (table::SERVER | table::LOCATION | ANY, "location") => table::LOCATION,
            (table::SERVER, "if") => table::SERVER_IF,
            (table::LOCATION, "if") => table::LOCATION_IF,
            (table::LOCATION, "limit_except") => table::LIMIT_EXCEPT,
            _ => 0,
        }
    }

    /// A main file without `events` (ngx_event_init_conf).
    fn sections(&mut self) {
        let view = self.view;
        if !view.config.complete || view.config.top != Context::Main {
            return;
        }
        let source = self
            .project
            .source(view.arena.trees[view.config.main as usize].source);
        let mut top = view.children(ROOT);
        let open = top.any(|item| {
            let included = view.config.includes.get(&item);
            view.directive(item).name() == "events"
                || matches!(included, Some(Included::Missing(_)))
        });
        // An excerpt of a main file holds `http` alone.
        let whole = view.children(ROOT).any(|item| {
            matches!(
                view.directive(item).name(),
                "worker_processes" | "user" | "pid" | "error_log"
            )
        });
        let http = view
            .children(ROOT)
            .find(|item| view.directive(*item).name() == "http");
        if let Some(http) = http
            && !open
            && whole
            && source.name() == "nginx.conf"
            && !source.is_template()
        {
            let words = Words::new(
                view.directive(http).head(),
                "the main file has no `events` block",
                "`events` is missing beside it",
                "no \"events\" section in configuration",
            );
            self.push(ROOT, words.help("write at the top of the file:\nevents {}"));
        }
    }
}

/// Whether a word is what is left of `{3}` in an expression, where the brace opened a block.
fn is_rest_of_quantifier(name: &str) -> bool {
    let rest = name.trim_start_matches(|c: char| c.is_ascii_digit() || c == ',');
    rest.len() < name.len() && rest.starts_with('}')
}

fn unquoted_brace(word: &Word) -> Words {
    Words::new(
        word.span,
        format!(
            "the brace before `{}` begins a block, not a quantifier",
            word.text
        ),
        "read as the name of a directive",
        format!("unknown directive \"{}\"", word.text),
    )
    .help("quote an expression that holds a brace: location ~ \"^/ws/[0-9]{3}$\" {")
}

/// A word that stands where a directive's name is expected.
fn no_directive(word: &Word) -> Words {
    let name = &word.text;
    let words = Words::new(
        word.span,
        format!("`{name}` is no directive"),
        "read as the name of a directive",
        format!("unknown directive \"{name}\""),
    );
    match name.strip_prefix("if(") {
        Some(_) => words.help("write a blank behind `if`: `if ($variable)`"),
        None => words.help(
            "look at the directive before it: is there a `;` too much, or a line broken apart?",
        ),
    }
}

/// What ngx_conf_handler asks of every directive: its place, its block, the number of its arguments;
/// and what the handlers of plain values ask. The error is empty where it is not ours to judge.
fn general(
    directive: Directive<'_>,
    context: Contexts,
    rows: &'static [Known],
    target: Option<Version>,
) -> Result<&'static Known, Option<Words>> {
    let name = directive.name();
    let head = directive.head();
    let name_span = directive.name_word().map_or(head, |word| word.span);
    if let Some(target) = target {
        let exists = |row: &&Known| {
            row.since.is_none_or(|since| target >= since)
                && row.until.is_none_or(|until| target < until)
        };
        if !rows.is_empty() && !rows.iter().any(|row| exists(&row)) {
            let [major, minor, patch] = target;
            return Err(Some(Words::new(
                name_span,
                format!("nginx {major}.{minor}.{patch} has no directive `{name}`"),
                match rows[0].since {
                    Some([major, minor, patch]) if target < [major, minor, patch] => {
                        format!("known from {major}.{minor}.{patch} on")
                    }
                    _ => "known to older versions only".to_owned(),
                },
                format!("unknown directive \"{name}\""),
            )));
        }
    }
    if rows.is_empty() {
        // No third party's directive is called so: a word that something before it leaves over.
        let odd = !name
            .starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '.' | '…'))
            || name.contains(['(', '$', '=', '"']);
        let is_ours =
            context != ANY && odd && directive.name_word().is_some() && !is_placeholder(name);
        if let Some(word) = directive.name_word()
            && is_rest_of_quantifier(name)
        {
            return Err(Some(unquoted_brace(word)));
        }
        let word = directive.name_word().filter(|_| is_ours);
        return Err(word.map(no_directive));
    }
    let here = || rows.iter().filter(|row| row.contexts & context != 0);
    if here().next().is_none() {
        let allowed: Contexts = rows.iter().fold(0, |all, row| all | row.contexts);
        return Err(Some(
            Words::new(
                name_span,
                format!("`{name}` is not allowed in {}", context_name(context)),
                "not allowed here",
                format!("\"{name}\" directive is not allowed here"),
            )
            .help(format!("it may stand in {}", context_names(allowed))),
        ));
    }
    let count = directive.args().len();
    if let Some(row) = here().find(|row| row.block == directive.has_block() && row.takes(count)) {
        let wrong = row.wrong(directive.args());
        return match wrong.filter(|word| !word.templated && !is_placeholder(&word.text)) {
            Some(word) if here().all(|row| row.wrong(directive.args()).is_some()) => {
                let words = Words::new(
                    word.span,
                    format!("`{name}` takes no `{}`", word.text),
                    "not a value that nginx takes here",
                    format!("invalid value \"{}\" in \"{name}\" directive", word.text),
                );
                Err(Some(match row.takes_what() {
                    Some(help) => words.help(help),
                    None => words,
                }))
            }
            _ => Ok(row),
        };
    }
    // A word that something else fills in may be several, or none.
    if directive
        .args()
        .iter()
        .any(|word| word.templated || is_placeholder(&word.text))
    {
        return Err(None);
    }
    let block = here().any(|row| row.block == directive.has_block());
    Err(Some(if block {
        let given = match count {
            0 => "none".to_owned(),
            count => count.to_string(),
        };
        Words::new(
            head,
            format!("`{name}` has the wrong number of arguments"),
            format!("{given} given"),
            format!("invalid number of arguments in \"{name}\" directive"),
        )
        .help("a value that holds blanks is written in quotes")
    } else if directive.has_block() {
        Words::new(
            head,
            format!("`{name}` takes no block"),
            "a `;` belongs behind it",
            format!("directive \"{name}\" is not terminated by \";\""),
        )
    } else {
        Words::new(
            head,
            format!("`{name}` lacks its block"),
            "a `{` belongs behind it",
            format!("directive \"{name}\" has no opening \"{{\""),
        )
    }))
}

const NAMES: &[(Contexts, &str)] = &[
    (table::MAIN, "the main context"),
    (table::EVENTS, "`events`"),
    (table::HTTP, "`http`"),
    (table::SERVER, "`server`"),
    (table::LOCATION, "`location`"),
    (table::SERVER_IF, "an `if` of a server"),
    (table::LOCATION_IF, "an `if` of a location"),
    (table::LIMIT_EXCEPT, "`limit_except`"),
    (table::UPSTREAM, "`upstream`"),
    (table::STREAM, "`stream`"),
    (table::STREAM_SERVER, "a `server` of `stream`"),
    (table::STREAM_UPSTREAM, "an `upstream` of `stream`"),
];

fn context_name(context: Contexts) -> &'static str {
    NAMES
        .iter()
        .find(|(known, _)| *known == context)
        .map_or("this place", |(_, name)| name)
}

fn context_names(contexts: Contexts) -> String {
    let names: Vec<&str> = NAMES
        .iter()
        .filter(|(known, _)| contexts & known != 0)
        .map(|(_, name)| *name)
        .collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => "no place".to_owned(),
    }
}

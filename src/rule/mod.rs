//! Rules: one named reason why a handshake is lost, its explanation and its proof.
//!
//! Built-in rules are compiled in from `rules/**/*.toml` by `build.rs`; a user's own rules are
//! read from folders of the same format. Both are the same [`Rule`].

mod query;
mod schema;
mod user;

pub use query::{Predicate, QueryRule};
pub use user::{LoadError, load_folder};

use std::borrow::Cow;

use crate::context::Context;
use crate::finding::Report;
use crate::source::Kind;

/// How bad a finding is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Hygiene, shown with `--pedantic`.
    Info,
    /// Some clients, some of the time, or not for long.
    Warning,
    /// No WebSocket opens on a route that we have evidence for, or the server refuses the file.
    Error,
}

impl Severity {
    /// Its name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// How a rule's claim is shown to be true.
#[derive(Clone, Debug)]
pub enum Proof {
    /// Its examples run on the real server in our tests.
    Server,
    /// No local server can prove it; this document says so.
    Source(Cow<'static, str>),
}

/// What decides whether a rule fires.
#[derive(Clone, Debug)]
pub enum Check {
    /// A function of the technology, over the resolved models.
    Function(fn(&Context<'_>, &mut Report<'_>)),
    /// A tree-sitter query over single files.
    Query(QueryRule),
}

/// The handshake that an example is about, and what becomes of it on the real server.
#[derive(Clone, Debug)]
pub struct ExampleHandshake {
    /// `ws://` or `wss://` URL.
    pub url: Cow<'static, str>,
    /// The status that the client gets; `None` where the connection closes or the server refuses to start.
    pub status: Option<u16>,
    /// Whether the socket is watched after its echo: it lives on, and in a breaking example dies.
    pub lives: bool,
    /// Further request headers, as an edge would add them.
    pub headers: Cow<'static, [(Cow<'static, str>, Cow<'static, str>)]>,
}

/// An example: documentation, a test of the linter and a test on the real server in one.
#[derive(Clone, Debug)]
pub struct Example {
    /// What it shows.
    pub title: Cow<'static, str>,
    /// Whether the handshake is lost in it.
    pub breaks: bool,
    /// The handshake to send; `None` only where `proof` is a source.
    pub handshake: Option<ExampleHandshake>,
    /// How to start the application for a Django example: `daphne`, `uvicorn`, `gunicorn`, …
    pub server: Option<Cow<'static, str>>,
    /// The files, by path.
    pub files: Cow<'static, [(Cow<'static, str>, Cow<'static, str>)]>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `technology/name`.
    pub id: Cow<'static, str>,
    /// Severity of its findings unless the check lowers or raises it.
    pub severity: Severity,
    /// One line.
    pub summary: Cow<'static, str>,
    /// What the server does and what a user sees.
    pub why: Cow<'static, str>,
    /// What to write instead.
    pub fix: Cow<'static, str>,
    /// How it is shown to be true.
    pub proof: Proof,
    /// Further reading.
    pub references: Cow<'static, [Cow<'static, str>]>,
    /// Examples, breaking and working.
    pub examples: Cow<'static, [Example]>,
    /// What decides.
    pub check: Check,
}

impl Rule {
    /// The part before the slash.
    pub fn group(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }

    /// Whether `selector` (a rule id, a group, or `all`) names it.
    pub fn is_named_by(&self, selector: &str) -> bool {
        selector == "all" || selector == self.id || selector == self.group()
    }
}

include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// The built-in rules, sorted by id.
pub fn rules() -> &'static [Rule] {
    RULES
}

/// Every name that selects rules: ids, groups and `all`, ours and those of `own`.
pub fn names(own: &[Rule]) -> impl Iterator<Item = &str> {
    // The groups of the design exist before their first rule does.
    ["all", "nginx", "caddy", "django", "stack"]
        .into_iter()
        .chain(
            RULES
                .iter()
                .chain(own)
                .flat_map(|rule| [rule.id.as_ref(), rule.group()]),
        )
}

/// The kind that a declarative rule's `kind` names.
pub fn kind(name: &str) -> Option<Kind> {
    [Kind::Nginx, Kind::Caddyfile, Kind::Python]
        .into_iter()
        .find(|kind| kind.name() == name)
}

/// The closest of `candidates` to a misspelt `word`, if any is close enough to suggest.
pub fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = (diagonal + usize::from(x != y))
                .min(row[j] + 1)
                .min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}

//! Sources: the bytes that somebody wrote, and spans into them.
//!
//! Everything to the right of this module points back here: a finding is only as good
//! as the bytes that its labels underline.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::yaml::Yaml;

/// Identifies a [`Source`] within its [`Project`](crate::project::Project).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);

/// What a source is to us; it decides who parses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An nginx configuration, whole or a fragment that another file includes.
    Nginx,
    /// A Caddyfile, whole or a fragment that another file imports.
    Caddyfile,
    /// A Python module that Django reads: settings, `asgi.py`, routing, consumers.
    Python,
    /// A file that says how the application is started: Procfile, Dockerfile, compose file, script.
    Command,
    /// A Makefile or the like, of which only the compose files and profiles that it names are read.
    Tasks,
    /// A file that says which packages are installed: requirements, lock file, `pyproject.toml`.
    Requirements,
    /// Our own configuration; findings point into it.
    Config,
}

impl Kind {
    /// The name used in `wslint.toml` under `[files]` and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddyfile => "caddy",
            Self::Python => "django",
            Self::Command => "command",
            Self::Tasks => "tasks",
            Self::Requirements => "requirements",
            Self::Config => "wslint",
        }
    }
}

/// A range of bytes in one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The file.
    pub source: SourceId,
    /// First byte, from 0.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span over `range` of `source`.
    pub fn new(source: SourceId, range: Range<usize>) -> Self {
        // Sources are capped far below 4 GiB when they are read (`project::MAX_SOURCE_BYTES`).
        Self {
            source,
            start: u32::try_from(range.start).unwrap_or(u32::MAX),
            end: u32::try_from(range.end).unwrap_or(u32::MAX),
        }
    }

    /// The bytes as a range that indexes the source's text.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// From the start of this span to the end of `other`, which must lie in the same source.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self {
            source: self.source,
            start: self.start,
            end: other.end.max(self.end),
        }
    }

    /// Whether `other` lies wholly within this span.
    pub fn contains(self, other: Self) -> bool {
        self.source == other.source && self.start <= other.start && other.end <= self.end
    }
}

/// A place in a text as people count: lines and columns from 1, columns in Unicode scalar values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// What a template engine replaces in a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// The text with expressions masked, length preserved.
    pub text: String,
    /// What was masked, in order.
    pub masks: Vec<Range<usize>>,
    /// What is written only sometimes (a branch, a loop's body), by start; they may nest.
    pub conditional: Vec<Range<usize>>,
}

/// One file as it was read, once.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its id in the project.
    pub id: SourceId,
    /// Path relative to the project's root, with `/`.
    pub path: String,
    /// Path as output shows it: relative to the working directory, with `/`.
    pub display: String,
    /// What it is.
    pub kind: Kind,
    /// The text, byte for byte; a byte that is not UTF-8 became `?`, so offsets are the file's own.
    pub text: String,
    /// The text with template expressions masked, length preserved; `None` where there are none.
    masked: Option<String>,
    /// What was masked, in order.
    masks: Vec<Range<usize>>,
    /// What a template's branches and loops hold, by start, each with the one around it.
    conditional: Vec<(Range<usize>, Option<usize>)>,
    lines: OnceLock<Vec<usize>>,
    /// The same for all copies of the source.
    yaml: OnceLock<Arc<Yaml>>,
}

impl Source {
    /// A source with this text; `mask` is what a parser reads instead.
    pub fn new(
        id: SourceId,
        path: String,
        display: String,
        kind: Kind,
        text: String,
        mask: Option<Mask>,
    ) -> Self {
        let (masked, masks, conditional) = match mask {
            Some(mask) => (Some(mask.text), mask.masks, mask.conditional),
            None => (None, Vec::new(), Vec::new()),
        };
        Self {
            id,
            path,
            display,
            kind,
            text,
            masked,
            masks,
            conditional: nested(conditional),
            lines: OnceLock::new(),
            yaml: OnceLock::new(),
        }
    }

    /// What a parser should read: the text, or its masked form if it is a template.
    pub fn parsed_text(&self) -> &str {
        self.masked.as_deref().unwrap_or(&self.text)
    }

    /// Whether the file holds template expressions, so that no syntax error in it is certain.
    pub fn is_template(&self) -> bool {
        !self.masks.is_empty()
    }

    /// Whether a template expression supplies any byte of `span`: its value is unknown.
    pub fn is_masked(&self, span: Span) -> bool {
        let at = self
            .masks
            .partition_point(|mask| mask.end <= span.start as usize);
        self.masks
            .get(at)
            .is_some_and(|mask| mask.start < span.end as usize)
    }

    /// Whether a template decides if all of `span` is written, given that `within` is: what lies
    /// in the same branch or loop as `within` is as certain as that.
    pub fn is_conditional(&self, span: Span, within: Span) -> bool {
        let (start, end) = (span.start as usize, span.end as usize);
        let before = |at: usize| {
            self.conditional
                .partition_point(|(range, _)| range.start <= at)
        };
        let last = before(start);
        // The innermost range that reaches over the start.
        let innermost = std::iter::successors(last.checked_sub(1), |at| self.conditional[*at].1)
            .map(|at| &self.conditional[at].0)
            .find(|range| range.end > start);
        let begun = before(end.saturating_sub(1)).max(last);
        let mut ranges = self.conditional[last..begun]
            .iter()
            .map(|(range, _)| range)
            .chain(innermost);
        let within = (within.source == self.id).then(|| within.range());
        ranges.any(|range| {
            within
                .as_ref()
                .is_none_or(|within| within.start < range.start || range.end < within.end)
        })
    }

    /// The text under `span`; empty if it does not lie on character boundaries of this source.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or_default()
    }

    /// Line and column of a byte offset.
    pub fn position(&self, byte: usize) -> Position {
        let lines = self.lines.get_or_init(|| {
            std::iter::once(0)
                .chain(memchr::memchr_iter(b'\n', self.text.as_bytes()).map(|at| at + 1))
                .collect()
        });
        let byte = byte.min(self.text.len());
        let line = lines.partition_point(|start| *start <= byte).max(1);
        let start = lines[line - 1];
        let column = self
            .text
            .get(start..byte)
            .map_or(byte - start, |before| before.chars().count());
        Position {
            line,
            column: column + 1,
        }
    }

    /// The text as YAML, read when it is first asked for.
    pub(crate) fn yaml(&self) -> &Yaml {
        self.yaml.get_or_init(|| Arc::new(Yaml::read(&self.text)))
    }

    /// The folder that holds the file, relative to the project's root; empty for the root itself.
    pub fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// Each range with the index of the one that holds it.
fn nested(ranges: Vec<Range<usize>>) -> Vec<(Range<usize>, Option<usize>)> {
    let mut nested: Vec<(Range<usize>, Option<usize>)> = Vec::with_capacity(ranges.len());
    let mut open: Vec<usize> = Vec::new();
    for range in ranges {
        while open
            .last()
            .is_some_and(|at| nested[*at].0.end <= range.start)
        {
            open.pop();
        }
        let outer = open.last().copied();
        open.push(nested.len());
        nested.push((range, outer));
    }
    nested
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        let id = SourceId(0);
        Source::new(
            id,
            "a/b.conf".into(),
            "a/b.conf".into(),
            Kind::Nginx,
            text.into(),
            None,
        )
    }

    #[test]
    fn positions_count_from_one_in_characters() {
        let source = source("é a\nb");
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(3), Position { line: 1, column: 3 });
        assert_eq!(source.position(5), Position { line: 2, column: 1 });
        assert_eq!(source.position(99), Position { line: 2, column: 2 });
    }

    #[test]
    fn a_branch_is_certain_to_what_stands_in_it() {
        let text = "[a [c] d] e [g]";
        let mut source = source(text);
        source.conditional = nested(vec![1..8, 4..5, 13..14]);
        let span = |name: char| {
            let at = text.find(name).unwrap();
            Span::new(SourceId(0), at..at + 1)
        };
        for (name, within, expected) in [
            ('a', 'd', false),
            ('d', 'a', false),
            ('c', 'a', true),
            ('a', 'c', false),
            ('a', 'e', true),
            ('c', 'e', true),
            ('g', 'e', true),
            ('e', 'e', false),
        ] {
            assert_eq!(
                source.is_conditional(span(name), span(within)),
                expected,
                "{name} within {within}"
            );
        }
        assert!(source.is_conditional(Span::new(SourceId(0), 10..15), span('e')));
    }

    #[test]
    fn folder_and_name_split_the_path() {
        let source = source("");
        assert_eq!((source.folder(), source.name()), ("a", "b.conf"));
    }
}

//! Findings: a rule at a place, with every span that matters and the lines to write instead.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::rule::{Rule, Severity};
use crate::source::Span;

/// A secondary span: another place that takes part, perhaps in another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// A few words on its part in it.
    pub message: String,
}

/// Whether a fix may be applied without a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applicability {
    /// It opens the handshake and changes nothing else.
    Safe,
    /// It needs a person's judgement.
    Unsafe,
}

/// One replacement of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What to replace; empty to insert.
    pub span: Span,
    /// With what.
    pub text: String,
}

/// A change that mends what a finding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What it does, as an imperative.
    pub title: String,
    /// Whether it is safe.
    pub applicability: Applicability,
    /// The edits, which do not overlap.
    pub edits: Vec<Edit>,
}

/// A rule at a place.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule's id.
    pub rule: Cow<'static, str>,
    /// How bad.
    pub severity: Severity,
    /// What breaks, in one sentence.
    pub message: String,
    /// The bytes that one would change.
    pub span: Span,
    /// What to write next to them.
    pub label: String,
    /// The other places.
    pub labels: Vec<Label>,
    /// Why the server behaves so: what a reader must know to believe it.
    pub notes: Vec<String>,
    /// What to do, with the lines to write.
    pub help: Vec<String>,
    /// A change that mends it.
    pub fix: Option<Fix>,
}

impl Finding {
    /// Sets the severity where it differs from the rule's.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Adds a secondary span.
    #[must_use]
    pub fn label(mut self, span: Span, message: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            message: message.into(),
        });
        self
    }

    /// Adds a note: why the server behaves so.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds help: what to do, with the lines to write.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Attaches a fix.
    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }

    /// Every span of it, the primary one first.
    pub fn spans(&self) -> impl Iterator<Item = Span> {
        std::iter::once(self.span).chain(self.labels.iter().map(|label| label.span))
    }
}

/// Something that could not be resolved: a note, never a finding, never clean.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Undecided {
    /// Where.
    pub span: Span,
    /// What is missing, for a person.
    pub message: String,
    /// What it says of a folder, where it is about one file of it: of notes that are alike the first
    /// is told, with their number.
    pub alike: Option<String>,
}

impl Undecided {
    /// A note about what an include or import names, and the project lacks.
    pub fn absent(span: Span, path: &str, message: String) -> Self {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        Self {
            span,
            alike: Some(message.replacen(path, folder, 1)),
            message,
        }
    }

    /// Of notes that are alike, the first with their number.
    pub fn counted(notes: Vec<Self>) -> Vec<Self> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for alike in notes.iter().filter_map(|note| note.alike.as_ref()) {
            *counts.entry(alike.clone()).or_default() += 1;
        }
        let counted = notes.into_iter().filter_map(|mut note| {
            let Some(alike) = &note.alike else {
                return Some(note);
            };
            // The first takes the number.
            match counts.remove(alike)? - 1 {
                0 => {}
                1 => note.message.push_str("; the same of one more"),
                more => note.message.push_str(&format!("; the same of {more} more")),
            }
            Some(note)
        });
        counted.collect()
    }
}

/// Where one rule's check puts what it finds.
#[derive(Debug)]
pub struct Report<'a> {
    rule: &'a Rule,
    findings: Vec<Finding>,
    undecided: Vec<Undecided>,
}

impl<'a> Report<'a> {
    /// An empty report for `rule`.
    pub fn new(rule: &'a Rule) -> Self {
        Self {
            rule,
            findings: Vec::new(),
            undecided: Vec::new(),
        }
    }

    /// A finding of this rule to fill in and hand to [`Report::push`]: what breaks, the bytes
    /// that one would change, and what to write next to them.
    pub fn finding(
        &self,
        message: impl Into<String>,
        span: Span,
        label: impl Into<String>,
    ) -> Finding {
        Finding {
            rule: self.rule.id.clone(),
            severity: self.rule.severity,
            message: message.into(),
            span,
            label: label.into(),
            labels: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
            fix: None,
        }
    }

    /// Reports a finding.
    pub fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Reports that something on a route could not be resolved.
    pub fn undecided(&mut self, span: Span, message: impl Into<String>) {
        self.undecided.push(Undecided {
            span,
            message: message.into(),
            alike: None,
        });
    }

    /// What was reported.
    pub fn into_parts(self) -> (Vec<Finding>, Vec<Undecided>) {
        (self.findings, self.undecided)
    }
}

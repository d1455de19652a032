//! `json`: the contract with other programs, described by `schema/check.schema.json`.

use std::io::{self, Write};

use serde::Serialize;

use super::{Checked, findings, undecided};
use crate::finding::{Applicability, Finding};
use crate::project::Project;
use crate::rule::Severity;
use crate::source::Span;

/// The version of the document's form.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    wslint: &'static str,
    findings: Vec<JsonFinding<'a>>,
    undecided: Vec<Note<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct JsonFinding<'a> {
    rule: &'a str,
    severity: Severity,
    message: &'a str,
    file: &'a str,
    range: Range,
    labels: Vec<Note<'a>>,
    help: Vec<&'a String>,
    fix: Option<JsonFix<'a>>,
}

#[derive(Serialize)]
pub(super) struct Note<'a> {
    file: &'a str,
    range: Range,
    pub(super) message: &'a str,
}

#[derive(Serialize)]
struct JsonFix<'a> {
    title: &'a str,
    applicability: &'static str,
    edits: Vec<JsonEdit<'a>>,
}

#[derive(Serialize)]
struct JsonEdit<'a> {
    file: &'a str,
    range: Range,
    text: &'a str,
}

#[derive(Serialize)]
pub(super) struct Range {
    start: Position,
    end: Position,
}

#[derive(Serialize)]
struct Position {
    line: usize,
    column: usize,
    byte: u32,
}

#[derive(Serialize)]
struct Summary {
    files: usize,
    errors: usize,
    warnings: usize,
    infos: usize,
    undecided: usize,
}

pub(super) fn range(project: &Project, span: Span) -> Range {
    let position = |byte: u32| {
        let at = project.source(span.source).position(byte as usize);
        Position {
            line: at.line,
            column: at.column,
            byte,
        }
    };
    Range {
        start: position(span.start),
        end: position(span.end),
    }
}

fn file(project: &Project, span: Span) -> &str {
    &project.source(span.source).display
}

pub(super) fn note<'a>(project: &'a Project, span: Span, message: &'a str) -> Note<'a> {
    Note {
        file: file(project, span),
        range: range(project, span),
        message,
    }
}

fn finding<'a>(project: &'a Project, finding: &'a Finding) -> JsonFinding<'a> {
    let labels = finding
        .labels
        .iter()
        .map(|label| note(project, label.span, &label.message));
    JsonFinding {
        rule: &finding.rule,
        severity: finding.severity,
        message: &finding.message,
        file: file(project, finding.span),
        range: range(project, finding.span),
        labels: labels.collect(),
        // Why the server behaves so, then what to write.
        help: finding.notes.iter().chain(&finding.help).collect(),
        fix: finding.fix.as_ref().map(|fix| JsonFix {
            title: &fix.title,
            applicability: match fix.applicability {
                Applicability::Safe => "safe",
                Applicability::Unsafe => "unsafe",
            },
            edits: fix
                .edits
                .iter()
                .map(|edit| JsonEdit {
                    file: file(project, edit.span),
                    range: range(project, edit.span),
                    text: &edit.text,
                })
                .collect(),
        }),
    }
}

pub(super) fn write(checked: &[Checked], out: &mut dyn Write) -> io::Result<()> {
    let count = |severity| checked.iter().map(|one| one.outcome.count(severity)).sum();
    let document = Document {
        schema: SCHEMA,
        wslint: env!("CARGO_PKG_VERSION"),
        findings: findings(checked)
            .into_iter()
            .map(|(project, one)| finding(project, one))
            .collect(),
        undecided: undecided(checked)
            .into_iter()
            .map(|(project, one)| note(project, one.span, &one.message))
            .collect(),
        summary: Summary {
            files: checked.iter().map(|one| one.outcome.files).sum(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            infos: count(Severity::Info),
            undecided: checked.iter().map(|one| one.outcome.undecided.len()).sum(),
        },
    };
    write_pretty(&document, out)
}

/// One JSON document and a newline. Beyond what JSON itself escapes (all C0 controls), DEL, the
/// C1 controls and marks that reorder text are escaped too: they are valid JSON, but a terminal
/// acts on them.
pub(super) fn write_pretty(document: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let text = serde_json::to_string_pretty(document)?;
    if text.contains(super::is_hostile) {
        let escaped: String = text
            .chars()
            .map(|c| {
                if super::is_hostile(c) {
                    format!("\\u{:04x}", u32::from(c))
                } else {
                    c.to_string()
                }
            })
            .collect();
        writeln!(out, "{escaped}")
    } else {
        writeln!(out, "{text}")
    }
}

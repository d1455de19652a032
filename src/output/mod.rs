//! Output: one file a format, all from the same sorted list.

mod concise;
mod full;
mod github;
mod gitlab;
mod json;
mod junit;
mod rdjson;
mod sarif;
mod trace;

pub use trace::{TraceFormat, write_trace};

use std::io::{self, Write};

use crate::check::Outcome;
use crate::finding::{Applicability, Finding, Undecided};
use crate::project::Project;
use crate::rule::Severity;

/// A checked project.
#[derive(Debug)]
pub struct Checked {
    /// What was checked.
    pub project: Project,
    /// What was found.
    pub outcome: Outcome,
}

/// A format for findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Annotated sources, as rustc shows them.
    Full,
    /// One line a finding.
    Concise,
    /// One JSON document (schema/check.schema.json).
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// GitHub workflow commands, shown beside the lines of a pull request.
    Github,
    /// GitLab Code Quality, shown beside the lines of a merge request.
    Gitlab,
    /// JUnit XML: each finding a failed test.
    Junit,
    /// reviewdog's Diagnostic Format, with fixes as suggestions.
    Rdjson,
}

impl Format {
    /// Whether it is read by people, who get a summary beside it.
    pub const fn is_for_people(self) -> bool {
        matches!(self, Self::Full | Self::Concise)
    }

    /// Whether it has a place for fixes.
    pub const fn holds_fixes(self) -> bool {
        matches!(self, Self::Json | Self::Sarif | Self::Rdjson)
    }
}

/// Writes all findings of `checked` in `format`; `color` says whether escape sequences are wanted.
///
/// # Errors
/// When `out` can't be written to.
pub fn write(
    checked: &[Checked],
    format: Format,
    color: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        Format::Full => full::write(checked, color, out),
        Format::Concise => concise::write(checked, out),
        Format::Json => json::write(checked, out),
        Format::Sarif => sarif::write(checked, out),
        Format::Github => github::write(checked, out),
        Format::Gitlab => gitlab::write(checked, out),
        Format::Junit => junit::write(checked, out),
        Format::Rdjson => rdjson::write(checked, out),
    }
}

/// Writes what could not be decided, for people.
///
/// # Errors
/// When `out` can't be written to.
pub fn write_undecided(checked: &[Checked], out: &mut dyn Write) -> io::Result<()> {
    for (project, note) in undecided(checked) {
        let source = project.source(note.span.source);
        let at = source.position(note.span.start as usize);
        let (path, message) = (visible(&source.display), visible(&note.message));
        writeln!(
            out,
            "undecided: {path}:{}:{}: {message}",
            at.line, at.column
        )?;
    }
    Ok(())
}

/// The line at the end: what was checked and what came of it.
pub fn summary(checked: &[Checked]) -> String {
    let count = |severity| {
        checked
            .iter()
            .map(|one| one.outcome.count(severity))
            .sum::<usize>()
    };
    let files: usize = checked.iter().map(|one| one.outcome.files).sum();
    let undecided: usize = checked.iter().map(|one| one.outcome.undecided.len()).sum();
    let found: Vec<String> = [Severity::Error, Severity::Warning, Severity::Info]
        .into_iter()
        .filter(|severity| count(*severity) > 0)
        .map(|severity| match severity {
            Severity::Info => plural(count(severity), "hint"),
            _ => plural(count(severity), severity.name()),
        })
        .collect();
    let mut line = format!("{} checked: ", plural(files, "file"));
    match (found.is_empty(), undecided) {
        (true, 0) => line.push_str("no WebSocket handshake is lost"),
        (true, _) => line.push_str("nothing found"),
        (false, _) => line.push_str(&found.join(", ")),
    }
    if undecided > 0 {
        line.push_str(&format!(", {} undecided", plural(undecided, "place")));
    }
    let fixable = |wanted: Applicability| {
        let findings = checked.iter().flat_map(|one| &one.outcome.findings);
        findings
            .filter_map(|finding| finding.fix.as_ref())
            .filter(|fix| fix.applicability == wanted)
            .count()
    };
    match (fixable(Applicability::Safe), fixable(Applicability::Unsafe)) {
        (0, 0) => {}
        (safe, 0) => line.push_str(&format!("; {safe} fixable with --fix")),
        (0, more) => line.push_str(&format!("; {more} fixable with --fix --unsafe-fixes")),
        (safe, more) => line.push_str(&format!(
            "; {safe} fixable with --fix, {more} more with --unsafe-fixes"
        )),
    }
    line
}

/// `1 file`, `2 files`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The findings of all projects, sorted by file.
fn findings(checked: &[Checked]) -> Vec<(&Project, &Finding)> {
    let mut all: Vec<_> = checked
        .iter()
        .flat_map(|one| {
            one.outcome
                .findings
                .iter()
                .map(|finding| (&one.project, finding))
        })
        .collect();
    // Each project's are sorted; a stable sort by file keeps their order.
    all.sort_by_key(|(project, finding)| &project.source(finding.span.source).display);
    all
}

/// What is undecided in all projects, sorted by file.
fn undecided(checked: &[Checked]) -> Vec<(&Project, &Undecided)> {
    let mut all: Vec<_> = checked
        .iter()
        .flat_map(|one| {
            one.outcome
                .undecided
                .iter()
                .map(|note| (&one.project, note))
        })
        .collect();
    all.sort_by_key(|(project, note)| &project.source(note.span.source).display);
    all
}

/// Whether a terminal would act on the character rather than show it: control characters
/// (escape sequences begin with one) and the marks that reorder text.
fn is_hostile(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// The text with hostile characters written out, so that a configuration can't steer a terminal.
fn visible(text: &str) -> String {
    if !text.contains(is_hostile) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| {
            if is_hostile(c) {
                c.escape_unicode().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_can_not_steer_the_terminal() {
        assert_eq!(
            visible("a\u{1b}[31mb\u{9b}c\u{202e}"),
            "a\\u{1b}[31mb\\u{9b}c\\u{202e}"
        );
        assert_eq!(visible("two\nlines\tand é"), "two\nlines\tand é");
    }
}

//! `full`: annotated sources in the style of rustc, through annotate-snippets.

use std::io::{self, Write};
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Checked, findings, is_hostile, visible};
use crate::finding::Finding;
use crate::project::Project;
use crate::rule::Severity;
use crate::source::{Source, SourceId, Span};

/// Lines shown before and after an annotated one.
const CONTEXT_LINES: usize = 1;

pub(super) fn write(checked: &[Checked], color: bool, out: &mut dyn Write) -> io::Result<()> {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    for (project, finding) in findings(checked) {
        writeln!(out, "{}\n", render(project, finding, &renderer))?;
    }
    Ok(())
}

fn render(project: &Project, finding: &Finding, renderer: &Renderer) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let mut group = Group::with_title(
        level
            .primary_title(visible(&finding.message))
            .id(finding.rule.to_string()),
    );
    // The primary span's file first, then the others in the order of their labels.
    let mut sources: Vec<SourceId> = Vec::new();
    for span in finding.spans() {
        if !sources.contains(&span.source) {
            sources.push(span.source);
        }
    }
    for id in sources {
        group = group.elements(snippets(project.source(id), finding));
    }
    for note in &finding.notes {
        group = group.element(Level::NOTE.message(visible(note)));
    }
    for help in &finding.help {
        group = group.element(Level::HELP.message(visible(help)));
    }
    renderer.render(&[group])
}

/// The annotated windows of one file. Labels far apart get windows of their own, so that a
/// finding in a long file costs what it shows.
fn snippets(source: &Source, finding: &Finding) -> Vec<Snippet<'static, Annotation<'static>>> {
    let primary = (finding.span, &finding.label, AnnotationKind::Primary);
    let others = finding
        .labels
        .iter()
        .map(|label| (label.span, &label.message, AnnotationKind::Context));
    let mut marks: Vec<(Span, &String, AnnotationKind)> = std::iter::once(primary)
        .chain(others)
        .filter(|(span, ..)| span.source == source.id)
        .collect();
    marks.sort_by_key(|(span, ..)| (span.start, span.end));
    let lines = |span: Span| {
        let first = source.position(span.start as usize).line;
        let last = source
            .position((span.end.max(span.start + 1) - 1) as usize)
            .line;
        (first, last.max(first))
    };
    let (Some(first), Some(last)) = (
        marks.iter().map(|(span, ..)| lines(*span).0).min(),
        marks.iter().map(|(span, ..)| lines(*span).1).max(),
    ) else {
        return Vec::new();
    };
    let first = first.saturating_sub(CONTEXT_LINES).max(1);
    let window = window(&source.text, first, last + CONTEXT_LINES);
    let offset = window.start;
    let snippet = Snippet::source(shown(&source.text[window.clone()]))
        .line_start(first)
        .path(visible(&source.display))
        .annotations(marks.into_iter().map(|(span, label, kind)| {
            let clamp = |byte: u32| (byte as usize).clamp(offset, window.end) - offset;
            let annotation = kind.span(clamp(span.start)..clamp(span.end));
            if label.is_empty() {
                annotation
            } else {
                annotation.label(visible(label))
            }
        }));
    vec![snippet]
}

/// The bytes of lines `first` to `last`, without the last newline.
fn window(text: &str, first: usize, last: usize) -> Range<usize> {
    let mut starts =
        std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
    let start = starts.nth(first - 1).unwrap_or(0);
    let end = starts
        .nth(last.saturating_sub(first))
        .map_or(text.len(), |next| next - 1);
    start..end.max(start)
}

/// The source as it may be shown: hostile characters replaced byte for byte, so that spans hold.
fn shown(text: &str) -> String {
    if !text.contains(is_hostile) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| match (is_hostile(c), c) {
            (true, '\r') => " ".to_owned(),
            (true, _) => "?".repeat(c.len_utf8()),
            (false, _) => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Report;
    use crate::rule::rules;

    #[test]
    fn labels_in_two_files_are_shown_in_both() {
        let project = Project::in_memory([
            ("a.conf", "one;\ninclude b.conf;\nthree;\n"),
            ("b.conf", "proxy_set_header Host \u{1b}[31m$host;\n"),
        ])
        .expect("valid");
        let report = Report::new(&rules()[0]);
        let (a, b) = (project.sources[0].id, project.sources[1].id);
        let finding = report
            .finding(
                "the pair\u{1b}[0m is lost",
                Span::new(b, 0..16),
                "this line discards it",
            )
            .severity(Severity::Error)
            .label(Span::new(a, 5..20), "included here")
            .note("nginx inherits `proxy_set_header` only where a level has none")
            .help("write instead:\n    proxy_set_header Upgrade $http_upgrade;");
        let shown = render(&project, &finding, &Renderer::plain());
        let expected = format!(
            "\
error[{}]: the pair\\u{{1b}}[0m is lost
 --> b.conf:1:1
  |
1 | proxy_set_header Host ?[31m$host;
  | ^^^^^^^^^^^^^^^^ this line discards it
  |
 ::: a.conf:2:1
  |
2 | include b.conf;
  | --------------- included here
  |
  = note: nginx inherits `proxy_set_header` only where a level has none
  = help: write instead:
              proxy_set_header Upgrade $http_upgrade;",
            finding.rule
        );
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn a_window_is_whole_lines() {
        let text = "one\ntwo\nthree\nfour";
        assert_eq!(&text[window(text, 2, 3)], "two\nthree");
        assert_eq!(&text[window(text, 3, 9)], "three\nfour");
        assert_eq!(&text[window(text, 1, 1)], "one");
    }

    #[test]
    fn shown_text_keeps_its_length() {
        let text = "a\u{1b}[0m\u{9b}\u{202e}b";
        assert_eq!(shown(text).len(), text.len());
        assert!(!shown(text).contains(is_hostile));
    }
}

//! `rdjson`: reviewdog's Diagnostic Format, with fixes as suggestions that a click applies.
//!
//! <https://github.com/reviewdog/reviewdog/blob/master/proto/rdf/reviewdog.proto>: lines count from
//! 1, and columns count bytes of UTF-8 from 1.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Checked, findings};
use crate::finding::Finding;
use crate::project::Project;
use crate::rule::Severity;
use crate::source::{Source, Span};

pub(super) fn write(checked: &[Checked], out: &mut dyn Write) -> io::Result<()> {
    let diagnostics: Vec<Value> = findings(checked)
        .into_iter()
        .map(|(project, finding)| diagnostic(project, finding))
        .collect();
    let document = json!({
        "source": {"name": "wslint"},
        "diagnostics": diagnostics,
    });
    super::json::write_pretty(&document, out)
}

fn diagnostic(project: &Project, finding: &Finding) -> Value {
    let mut message = finding.message.clone();
    for more in finding.notes.iter().chain(&finding.help) {
        message.push_str("\n\n");
        message.push_str(more);
    }
    let mut diagnostic = json!({
        "message": message,
        "location": location(project, finding.span),
        "severity": match finding.severity {
            Severity::Error => "ERROR",
            Severity::Warning => "WARNING",
            Severity::Info => "INFO",
        },
        "code": {"value": finding.rule},
    });
    if !finding.labels.is_empty() {
        let related = finding.labels.iter().map(
            |label| json!({"message": label.message, "location": location(project, label.span)}),
        );
        diagnostic["related_locations"] = related.collect();
    }
    // A suggestion is about the file of its diagnostic; half a fix would be none.
    if let Some(fix) = &finding.fix
        && fix
            .edits
            .iter()
            .all(|edit| edit.span.source == finding.span.source)
    {
        let source = project.source(finding.span.source);
        let suggestions = fix
            .edits
            .iter()
            .map(|edit| json!({"range": range(source, edit.span), "text": edit.text}));
        diagnostic["suggestions"] = suggestions.collect();
    }
    diagnostic
}

fn location(project: &Project, span: Span) -> Value {
    let source = project.source(span.source);
    json!({"path": source.display, "range": range(source, span)})
}

fn range(source: &Source, span: Span) -> Value {
    json!({"start": position(source, span.start), "end": position(source, span.end)})
}

fn position(source: &Source, byte: u32) -> Value {
    let byte = byte as usize;
    let line = source.position(byte).line;
    let before = &source.text.as_bytes()[..byte.min(source.text.len())];
    let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    json!({"line": line, "column": byte - start + 1})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Selection, check};

    #[test]
    fn a_fix_is_a_suggestion_at_bytes() {
        let text = "é b; # wslint: ignore[nope/x] why\n";
        let project = Project::in_memory([("nginx.conf", text)]).expect("valid");
        let outcome = check(&project, &Selection::default());
        let mut out = Vec::new();
        write(&[Checked { project, outcome }], &mut out).expect("written");
        let json: Value = serde_json::from_slice(&out).expect("JSON");
        let found = json["diagnostics"].as_array().expect("a list");
        let one = found
            .iter()
            .find(|one| one["code"]["value"] == "wslint/unused-ignore")
            .expect("found");
        assert_eq!(one["severity"], "WARNING");
        assert_eq!(one["location"]["path"], "nginx.conf");
        let suggestion = &one["suggestions"][0];
        assert_eq!(suggestion["text"], "");
        // `é` is two bytes.
        assert_eq!(
            suggestion["range"]["start"],
            json!({"line": 1, "column": 6})
        );
        assert_eq!(suggestion["range"]["end"], json!({"line": 1, "column": 35}));
    }
}

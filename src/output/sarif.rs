//! `sarif`: SARIF 2.1.0, for code scanning.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Checked, findings, undecided};
use crate::finding::{Edit, Finding};
use crate::project::Project;
use crate::rule::{Rule, Severity, rules};
use crate::source::{Source, Span};

pub(super) fn write(checked: &[Checked], out: &mut dyn Write) -> io::Result<()> {
    let found = findings(checked);
    let own = checked.iter().flat_map(|one| &one.project.config.own_rules);
    // Only the rules that speak: a report need not carry the whole manual.
    let mut used: Vec<&Rule> = rules()
        .iter()
        .chain(own)
        .filter(|rule| found.iter().any(|(_, finding)| finding.rule == rule.id))
        .collect();
    used.sort_by(|a, b| a.id.cmp(&b.id));
    used.dedup_by(|a, b| a.id == b.id);
    let results: Vec<Value> = found
        .iter()
        .map(|(project, finding)| result(project, finding, &used))
        .collect();
    let notifications: Vec<Value> = undecided(checked)
        .into_iter()
        .map(|(project, note)| {
            json!({
                "level": "note",
                "message": {"text": note.message},
                "locations": [location(project, note.span, None)],
            })
        })
        .collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "wslint",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": used.iter().map(|rule| descriptor(rule)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": true,
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    });
    super::json::write_pretty(&document, out)
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn descriptor(rule: &Rule) -> Value {
    let help = format!("{}\n\n{}", rule.why, rule.fix);
    let mut descriptor = json!({
        "id": rule.id,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.why},
        "help": {"text": help},
        "defaultConfiguration": {"level": level(rule.severity)},
    });
    // The schema wants a URI; the first reference is the server's own documentation.
    if let Some(reference) = rule.references.first() {
        descriptor["helpUri"] = json!(reference);
    }
    descriptor
}

fn result(project: &Project, finding: &Finding, rules: &[&Rule]) -> Value {
    let mut text = finding.message.clone();
    for more in finding.notes.iter().chain(&finding.help) {
        text.push_str("\n\n");
        text.push_str(more);
    }
    let related: Vec<Value> = finding
        .labels
        .iter()
        .enumerate()
        .map(|(id, label)| {
            let mut location = location(project, label.span, Some(&label.message));
            location["id"] = json!(id);
            location
        })
        .collect();
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.severity),
        "message": {"text": text},
        "locations": [location(project, finding.span, Some(&finding.label))],
        "relatedLocations": related,
    });
    if let Some(index) = rules.iter().position(|rule| rule.id == finding.rule) {
        result["ruleIndex"] = json!(index);
    }
    if let Some(fix) = &finding.fix {
        let changes: Vec<Value> = fix.edits.iter().map(|edit| change(project, edit)).collect();
        result["fixes"] = json!([{
            "description": {"text": fix.title},
            "artifactChanges": changes,
        }]);
    }
    result
}

fn change(project: &Project, edit: &Edit) -> Value {
    let source = project.source(edit.span.source);
    json!({
        "artifactLocation": {"uri": uri(&source.display)},
        "replacements": [{
            "deletedRegion": region(source, edit.span),
            "insertedContent": {"text": edit.text},
        }],
    })
}

fn location(project: &Project, span: Span, message: Option<&str>) -> Value {
    let source = project.source(span.source);
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": {"uri": uri(&source.display)},
            "region": region(source, span),
        },
    });
    if let Some(message) = message.filter(|message| !message.is_empty()) {
        location["message"] = json!({"text": message});
    }
    location
}

fn region(source: &Source, span: Span) -> Value {
    let start = source.position(span.start as usize);
    let end = source.position(span.end as usize);
    json!({
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    })
}

/// A path as a URI reference (RFC 3986, section 3.3): what is not unreserved is escaped.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_valid_uri() {
        assert_eq!(uri("a b/ü:1.conf"), "a%20b/%C3%BC%3A1.conf");
    }
}

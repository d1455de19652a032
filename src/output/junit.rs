//! `junit`: JUnit's XML, which nearly every CI reads: one suite for each file, one failed test for
//! each finding; a file without findings is a test that passed.
//!
//! <https://github.com/testmoapp/junitxml> describes the form that tools agree on.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{Checked, findings, is_hostile};
use crate::finding::Finding;
use crate::project::Project;
use crate::source::Kind;

pub(super) fn write(checked: &[Checked], out: &mut dyn Write) -> io::Result<()> {
    let mut suites: BTreeMap<&str, Vec<(&Project, &Finding)>> = BTreeMap::new();
    for one in checked {
        for source in &one.project.sources {
            if source.kind != Kind::Config {
                suites.entry(&source.display).or_default();
            }
        }
    }
    for (project, finding) in findings(checked) {
        let file = &project.source(finding.span.source).display;
        suites.entry(file).or_default().push((project, finding));
    }
    let failures: usize = suites.values().map(Vec::len).sum();
    let tests: usize = suites.values().map(|found| found.len().max(1)).sum();
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(
        out,
        "<testsuites name=\"wslint\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">"
    )?;
    for (file, found) in &suites {
        writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\">",
            escaped(file),
            found.len().max(1),
            found.len()
        )?;
        if found.is_empty() {
            writeln!(
                out,
                "    <testcase name=\"wslint\" classname=\"{}\"/>",
                escaped(file)
            )?;
        }
        for (project, finding) in found {
            write_case(project, finding, file, out)?;
        }
        writeln!(out, "  </testsuite>")?;
    }
    writeln!(out, "</testsuites>")
}

fn write_case(
    project: &Project,
    finding: &Finding,
    file: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let source = project.source(finding.span.source);
    let at = source.position(finding.span.start as usize);
    let mut text = format!("{file}:{}:{}: {}", at.line, at.column, finding.label);
    for label in &finding.labels {
        text.push_str(&format!(
            "\n{}: {}",
            project.place(label.span),
            label.message
        ));
    }
    for more in finding.notes.iter().chain(&finding.help) {
        text.push('\n');
        text.push_str(more);
    }
    writeln!(
        out,
        "    <testcase name=\"{}\" classname=\"{}\" file=\"{}\" line=\"{}\">",
        escaped(&finding.rule),
        escaped(file),
        escaped(file),
        at.line
    )?;
    writeln!(
        out,
        "      <failure type=\"{}\" message=\"{}\">{}</failure>",
        finding.severity.name(),
        escaped(&finding.message).replace('\n', " "),
        escaped(&text)
    )?;
    writeln!(out, "    </testcase>")
}

/// Text as XML 1.0 may hold it: most control characters are allowed in no form at all.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if is_hostile(c) => escaped.push_str(&c.escape_unicode().to_string()),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Selection, check};

    #[test]
    fn a_finding_is_a_failed_test_and_a_clean_file_a_passed_one() {
        let project = Project::in_memory([
            (
                "a/nginx.conf",
                "# wslint: ignore[nginx/<x>] \u{1b}\nserver {}\n",
            ),
            ("b/nginx.conf", "server {}\n"),
        ])
        .expect("valid");
        let outcome = check(&project, &Selection::default());
        let mut out = Vec::new();
        write(&[Checked { project, outcome }], &mut out).expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        for needed in [
            "<testsuites name=\"wslint\" tests=\"2\" failures=\"1\" errors=\"0\">",
            "<testsuite name=\"a/nginx.conf\" tests=\"1\" failures=\"1\" errors=\"0\">",
            "<testcase name=\"wslint\" classname=\"b/nginx.conf\"/>",
            "<failure type=\"warning\" message=\"",
        ] {
            assert!(text.contains(needed), "no {needed} in\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn no_text_ends_its_element() {
        assert_eq!(
            escaped("a<b>&\"\u{0}\u{ffff}"),
            "a&lt;b&gt;&amp;&quot;\\u{0}\u{fffd}"
        );
    }
}

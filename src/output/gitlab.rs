//! `gitlab`: GitLab's Code Quality report, shown beside the lines of a merge request.
//!
//! <https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format>: a list of
//! objects with description, check_name, fingerprint, severity and location. GitLab tells new
//! findings from old ones by the fingerprint, so it must not change when lines move.

use std::collections::HashMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Checked, findings};
use crate::rule::Severity;

pub(super) fn write(checked: &[Checked], out: &mut dyn Write) -> io::Result<()> {
    // How often the same has been found in the same file.
    let mut seen: HashMap<u64, usize> = HashMap::new();
    let issues: Vec<Value> = findings(checked)
        .into_iter()
        .map(|(project, finding)| {
            let source = project.source(finding.span.source);
            let start = source.position(finding.span.start as usize);
            let end = source.position(finding.span.end as usize);
            let content = [
                &source.display,
                finding.rule.as_ref(),
                source.slice(finding.span),
            ];
            let hash = fnv(content.iter().flat_map(|part| part.bytes().chain([0])));
            let number = seen.entry(hash).or_default();
            let fingerprint = format!(
                "{:016x}",
                fnv(hash.to_le_bytes().into_iter().chain(number.to_le_bytes()))
            );
            *number += 1;
            let severity = match finding.severity {
                Severity::Error => "critical",
                Severity::Warning => "major",
                Severity::Info => "info",
            };
            json!({
                "description": finding.message,
                "check_name": finding.rule,
                "fingerprint": fingerprint,
                "severity": severity,
                "location": {
                    "path": source.display,
                    "positions": {
                        "begin": {"line": start.line, "column": start.column},
                        "end": {"line": end.line, "column": end.column},
                    },
                    "lines": {"begin": start.line, "end": end.line},
                },
            })
        })
        .collect();
    super::json::write_pretty(&issues, out)
}

/// FNV-1a, the same on every machine and in every version.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Selection, check};
    use crate::project::Project;

    fn report(text: &str) -> Vec<Value> {
        let project = Project::in_memory([("nginx.conf", text)]).expect("valid");
        let outcome = check(&project, &Selection::default());
        let mut out = Vec::new();
        write(&[Checked { project, outcome }], &mut out).expect("written");
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn a_fingerprint_outlives_moved_lines_and_is_unique() {
        let block = "# wslint: ignore[nginx/nonsense] x\n";
        let report_of = |text: &str| {
            let issues = report(text);
            let prints = issues.iter().map(|issue| issue["fingerprint"].clone());
            (prints.collect::<Vec<_>>(), issues)
        };
        let (one, issues) = report_of(&format!("server {{}}\n{block}"));
        let (moved, _) = report_of(&format!("\n\n\nserver {{}}\n{block}"));
        assert_eq!(one, moved);
        assert_eq!(issues[0]["location"]["lines"]["begin"], 2);
        assert_eq!(issues[0]["severity"], "major");
        let (two, _) = report_of(&format!("{block}server {{}}\n{block}"));
        assert!(
            two.len() == 2 && two[0] != two[1] && two[0] == one[0],
            "{two:?}"
        );
    }
}

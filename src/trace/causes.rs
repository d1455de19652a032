//! The rules that name what is lost on a way, and the lines that one would change.

use super::{Step, Verdict, Way};
use crate::finding::Finding;
use crate::handshake::Outcome;
use crate::rule::Severity;
use crate::source::Span;

/// The finding that names what a step loses: of its technology, on its lines.
pub(crate) fn names<'f>(findings: &'f [Finding], step: &Step) -> Option<&'f Finding> {
    let lines: Vec<Span> = step
        .passage
        .because
        .iter()
        .map(|because| because.span)
        .chain([step.at])
        .chain(step.sent_by())
        .chain(step.followed.as_ref().map(|upstream| upstream.from))
        .collect();
    let touches = |span: Span| lines.iter().any(|line| overlap(*line, span));
    findings
        .iter()
        .filter(|finding| {
            matches!(finding.rule.split('/').next(), Some(group) if group == step.layer || group == "stack")
        })
        .filter_map(|finding| {
            let primary = touches(finding.span);
            // Of all that happened the last is nearest to the loss.
            let last = step
                .passage
                .because
                .iter()
                .rposition(|because| because.span == finding.span);
            let labels = finding
                .labels
                .iter()
                .filter(|label| touches(label.span))
                .count();
            (primary || labels > 0).then_some((primary, finding.severity, last, labels, finding))
        })
        // The first of equals. A hint does not lose a handshake.
        .rev()
        .max_by_key(|(primary, severity, last, labels, _)| {
            let loses = *severity != Severity::Info;
            (loses, *primary, *severity, *last, *labels)
        })
        .map(|(.., finding)| finding)
}

/// Gives each step of `way` that loses the handshake the rule that says so, of what a check with
/// the traced URL as a declared endpoint found.
pub fn name_rules(way: &mut Way, findings: &[Finding]) {
    for run in &mut way.runs {
        if run.verdict != Verdict::Fails {
            continue;
        }
        let Some(lost_at) = run.lost_at else { continue };
        // Where nothing names it at the place of the loss, what was done to it before may.
        let mut named = None;
        for at in (0..=lost_at.min(run.steps.len().saturating_sub(1))).rev() {
            let Some(step) = run.steps.get_mut(at) else {
                continue;
            };
            if let Some(finding) = names(findings, step)
                && named.is_none_or(|name: &Finding| name.rule == finding.rule)
            {
                step.rule = Some(finding.rule.to_string());
                named = Some(finding);
            }
        }
    }
    way.causes = causes(way, findings);
}

/// The errors on the way up to where it is lost: those that name a step, and those whose own line
/// did something to the handshake.
fn causes(way: &Way, findings: &[Finding]) -> Vec<Finding> {
    let run = way.decisive();
    let Some(lost_at) = run.lost_at.filter(|_| run.verdict == Verdict::Fails) else {
        return Vec::new();
    };
    let steps = || run.steps.iter().take(lost_at + 1);
    let acts = |finding: &Finding| {
        steps().any(|step| {
            // The first line only says who took the request.
            let lines = step
                .passage
                .because
                .iter()
                .skip(1)
                .map(|because| because.span);
            let headers = match &step.passage.outcome {
                Outcome::Forwards { request, .. } => request.headers.as_slice(),
                _ => &[],
            };
            let headers = headers.iter().filter_map(|header| header.from);
            lines.chain(headers).any(|line| overlap(line, finding.span))
        })
    };
    let names = |finding: &Finding| {
        steps().any(|step| names(findings, step).is_some_and(|named| std::ptr::eq(named, finding)))
    };
    findings
        .iter()
        .filter(|finding| names(finding) || finding.severity == Severity::Error && acts(finding))
        .filter(|finding| finding.severity != Severity::Info)
        .cloned()
        .collect()
}

fn overlap(one: Span, other: Span) -> bool {
    one.source == other.source && one.start < other.end && other.start < one.end
}

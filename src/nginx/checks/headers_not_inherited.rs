//! `nginx/headers-not-inherited`: an outer level sets the upgrade, and a header of an inner
//! level discards it.

use super::{Causes, REFUSAL, line_of, lost};
use crate::context::Context;
use crate::finding::Report;
use crate::nginx::headers::{Half, lines};
use crate::nginx::route::Loss;

/// Reports every pair that an inner level discards.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for (place, loss) in lost(cx) {
        let Loss::NotInherited { outer, inner } = loss else {
            continue;
        };
        let view = place.view;
        let Some(first) = lines(view, *inner).next() else {
            continue;
        };
        // What one would change stands in the inner block: its line, or the include that brings it.
        let brought = view.include_of(first.item, *inner);
        let span = brought.map_or(first.span, |include| place.head(include));
        let pair: Vec<_> = [Half::Upgrade, Half::Connection]
            .into_iter()
            .filter(|half| line_of(view, *inner, *half).is_none_or(|line| line.text.is_empty()))
            .filter_map(|half| line_of(view, *outer, half))
            .collect();
        let Some(cause) = pair.first().map(|line| line.span) else {
            continue;
        };
        let names: Vec<&str> = pair.iter().map(|line| line.name).collect();
        let names = names.join(" and ");
        causes.add(cause, Some((span, format!("and so does this one, in {}", place.level(*inner)))), || {
            let message = format!(
                "no WebSocket opens through {}: the headers that {} sets discard the {names} of {}",
                place.name(),
                place.level(*inner),
                place.level(*outer),
            );
            let mut finding = report.finding(message, span, "with this line the block inherits no header at all");
            if brought.is_some() && first.span != span {
                finding = finding.label(first.span, "brings a header of its own");
            }
            for line in &pair {
                finding = finding.label(line.span, format!("discarded in {}", place.level(*inner)));
            }
            finding = place.because(finding);
            finding = finding.note(format!(
                "nginx takes `proxy_set_header` lines from an outer level only if the inner level has none of its own; the two are never merged. {}",
                super::sentence(REFUSAL)
            ));
            let indent = if brought.is_some() { place.indent(brought.unwrap_or(first.item)) } else { place.indent(first.item) };
            let repeat: Vec<String> = pair
                .iter()
                .map(|line| {
                    let value = line.word.map_or(line.text, |word| cx.project.slice(word.span));
                    format!("{indent}proxy_set_header {} {value};", line.name)
                })
                .collect();
            let finding = finding.help(format!(
                "repeat them in {}:\n{}",
                place.level(*inner),
                repeat.join("\n")
            ));
            let finding = super::with_fix(finding, super::fixes::headers(&place));
            match place.version_help() {
                Some(help) => finding.help(help),
                None => finding,
            }
        });
    }
    causes.report(report);
}

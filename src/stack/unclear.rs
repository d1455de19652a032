//! Handshakes of which no way in tells what becomes of them: what is not known is never called
//! clean.

use std::collections::{BTreeMap, BTreeSet};

use super::ways::Traced;
use crate::context::Context;
use crate::finding::Undecided;
use crate::handshake::Evidence;
use crate::source::Span;
use crate::trace::Verdict;

/// A note for each place at which it is undecided what becomes of a route of an application or a
/// declared endpoint, on every way that leads there; not where `known` notes say so already.
pub fn unclear(cx: &Context<'_>, known: &[Undecided]) -> Vec<Undecided> {
    let mut of_route: BTreeMap<&Evidence, Vec<&Traced>> = BTreeMap::new();
    for traced in cx.ways() {
        if traced.route.is_some() || matches!(traced.evidence, Evidence::Declared { .. }) {
            of_route.entry(&traced.evidence).or_default().push(traced);
        }
    }
    let told: BTreeSet<Span> = known.iter().map(|note| note.span).collect();
    let mut found: BTreeMap<Span, Undecided> = BTreeMap::new();
    for ways in of_route.values() {
        if ways
            .iter()
            .any(|traced| traced.way.verdict() != Verdict::Undecided)
        {
            continue;
        }
        let Some(traced) = ways.first() else { continue };
        let run = traced.way.decisive();
        let (Some(last), Some(why)) = (run.steps.last(), run.reasons.first()) else {
            continue;
        };
        let because = last.passage.because.last();
        let span = because.map_or(last.at, |because| because.span);
        if told
            .iter()
            .any(|known| known.contains(span) || span.contains(*known))
        {
            continue;
        }
        found.entry(span).or_insert_with(|| Undecided {
            span,
            message: format!(
                "whether a WebSocket opens at `{}` can't be told: {why}",
                traced.path
            ),
            alike: None,
        });
    }
    found.into_values().collect()
}

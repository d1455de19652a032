//! Handshakes of which no way in tells what becomes of them: what is not known is never called
//! clean.

use std::collections::{BTreeMap, BTreeSet};

use super::Stack;
use super::ways::to_lone_applications;
use crate::context::Context;
use crate::finding::Undecided;
use crate::handshake::Evidence;
use crate::source::Span;
use crate::trace::{Target, Tracer, Verdict, Way};

/// A note for each place at which it is undecided what becomes of a route of an application or a
/// declared endpoint, on every way that leads there; not where `known` notes say so already.
pub fn unclear(cx: &Context<'_>, known: &[Undecided]) -> Vec<Undecided> {
    let stack = Stack::of(cx);
    let tracer = Tracer::new(cx, &stack);
    let alone = to_lone_applications(cx, &stack, &tracer);
    let mut of_route: BTreeMap<&Evidence, (&str, Vec<&Way>)> = BTreeMap::new();
    let routes = cx.ways().iter().chain(&alone);
    for traced in routes.filter(|traced| traced.route.is_some()) {
        let asked = of_route.entry(&traced.evidence);
        let (_, ways) = asked.or_insert((&traced.path, Vec::new()));
        ways.push(&traced.way);
    }
    let mut found = Found {
        told: known.iter().map(|note| note.span).collect(),
        notes: BTreeMap::new(),
    };
    for (path, ways) in of_route.into_values() {
        found.ask(path, &ways, None);
    }
    for declared in &cx.project.config.endpoints {
        let Ok(target) = Target::parse(&declared.endpoint) else {
            continue;
        };
        let ways = tracer.ways(&target);
        found.ask(
            &declared.endpoint,
            &ways.iter().collect::<Vec<_>>(),
            declared.span,
        );
    }
    found.notes.into_values().collect()
}

/// The notes, each place once.
struct Found {
    /// What others say.
    told: BTreeSet<Span>,
    notes: BTreeMap<Span, Undecided>,
}

impl Found {
    /// Notes that none of these `ways` tells what becomes of a handshake for `asked`, which is
    /// declared there.
    fn ask(&mut self, asked: &str, ways: &[&Way], declared: Option<Span>) {
        let means_it = |way: &&&Way| !way.answers_itself;
        let meant = ways.iter().any(|way| means_it(&way));
        let mut ways = ways.iter().filter(|way| !meant || means_it(way));
        let Some(first) = ways.next() else {
            let message = format!(
                "nothing in this project receives a handshake for `{asked}`, which is declared here"
            );
            return self.note(declared, message);
        };
        let is_unclear = |way: &Way| way.verdict() == Verdict::Undecided;
        if !is_unclear(first) || !ways.all(|way| is_unclear(way)) {
            return;
        }
        let run = first.decisive();
        let because = run.steps.last().map(|last| {
            let because = last.passage.because.last();
            because.map_or(last.at, |because| because.span)
        });
        if let Some(why) = run.reasons.first() {
            let message = format!("whether a WebSocket opens at `{asked}` can't be told: {why}");
            self.note(because.or(declared), message);
        }
    }

    fn note(&mut self, span: Option<Span>, message: String) {
        let Some(span) = span else { return };
        let mut told = self.told.iter();
        if told.any(|known| known.contains(span) || span.contains(*known)) {
            return;
        }
        let note = Undecided {
            span,
            message,
            alike: None,
        };
        self.notes.entry(span).or_insert(note);
    }
}

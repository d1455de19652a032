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
/// declared endpoint, on every way that leads there, not where `known` notes say so already; and
/// for each declared endpoint that is lost on all of them, where no finding says why: of the spans
/// that findings point at, `None` if not all rules were asked.
pub fn unclear(
    cx: &Context<'_>,
    known: &[Undecided],
    findings: Option<&BTreeSet<Span>>,
) -> Vec<Undecided> {
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
        known,
        findings,
        notes: BTreeMap::new(),
    };
    for (path, ways) in of_route.into_values() {
        found.ask(path, &ways);
    }
    for declared in &cx.project.config.endpoints {
        let Ok(target) = Target::parse(&declared.endpoint) else {
            continue;
        };
        let ways = tracer.ways(&target);
        let meant = found.ask(&declared.endpoint, &ways.iter().collect::<Vec<_>>());
        found.lost(&declared.endpoint, &meant, declared.span);
    }
    found.notes.into_values().collect()
}

/// The notes, each place once.
struct Found<'a> {
    /// What others say.
    known: &'a [Undecided],
    findings: Option<&'a BTreeSet<Span>>,
    notes: BTreeMap<Span, Undecided>,
}

impl Found<'_> {
    /// Notes that none of these `ways` tells what becomes of a handshake for `asked`. Returns those
    /// that are meant: a server that answers by itself may have nothing to do with it.
    fn ask<'w>(&mut self, asked: &str, ways: &[&'w Way]) -> Vec<&'w Way> {
        let mut meant: Vec<&Way> = ways.to_vec();
        if meant.iter().any(|way| !way.answers_itself) {
            meant.retain(|way| !way.answers_itself);
        }
        let is_unclear = |way: &&Way| way.verdict() == Verdict::Undecided;
        if let Some(first) = meant.first().filter(|_| meant.iter().all(is_unclear))
            && let Some(why) = first.decisive().reasons.first()
            && let Some(span) = decisive(first)
            && !self
                .known
                .iter()
                .any(|note| note.message.contains(why.as_str()))
        {
            let message = format!("whether a WebSocket opens at `{asked}` can't be told: {why}");
            self.note(span, message);
        }
        meant
    }

    /// Notes that a declared endpoint is lost on all `ways`, and no finding speaks of them.
    fn lost(&mut self, asked: &str, ways: &[&Way], declared: Option<Span>) {
        let Some(findings) = self.findings else {
            return;
        };
        let is_lost = |way: &&Way| way.verdict() == Verdict::Fails;
        let passed = |way: &&Way| {
            let steps = way.decisive().steps.iter();
            let spans = steps.flat_map(|step| {
                let because = step.passage.because.iter();
                because.map(|because| because.span).chain([step.at])
            });
            spans.collect::<Vec<Span>>()
        };
        let is_told = |span: Span| {
            let mut findings = findings.iter();
            findings.any(|found| found.contains(span) || span.contains(*found))
        };
        if !ways.iter().all(is_lost) || ways.iter().flat_map(passed).chain(declared).any(is_told) {
            return;
        }
        let first = ways.first();
        let Some(span) = declared.or_else(|| decisive(first?)) else {
            return;
        };
        let why = first.and_then(|way| way.decisive().reasons.first());
        let why = why.map_or("nothing in this project receives it", String::as_str);
        self.note(span, format!(
            "no way in this project lets a WebSocket through at `{asked}`, which is declared: {why}; `wslint trace {asked}` shows it"
        ));
    }

    fn note(&mut self, span: Span, message: String) {
        let mut known = self.known.iter().map(|note| note.span);
        if known.any(|known| known.contains(span) || span.contains(known)) {
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

/// The bytes that decide what becomes of a handshake on its way.
fn decisive(way: &Way) -> Option<Span> {
    let last = way.decisive().steps.last()?;
    let because = last.passage.because.last();
    Some(because.map_or(last.at, |because| because.span))
}

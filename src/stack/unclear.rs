//! Handshakes of which no way in tells what becomes of them: what is not known is never called
//! clean.

use std::collections::{BTreeMap, BTreeSet};

use super::Stack;
use super::lost::is_reached_by_prefix;
use super::ways::{Traced, to_lone_applications};
use crate::context::Context;
use crate::django::origin::REFUSED;
use crate::finding::Undecided;
use crate::handshake::{Evidence, OF_THE_CLIENT};
use crate::nginx::model::SURROUNDINGS;
use crate::source::Span;
use crate::trace::{Target, Tracer, Verdict, Way};

/// A note for each place at which it is undecided what becomes of a route of an application or a
/// declared endpoint, on every way that leads there, not where `known` notes say so already; and
/// for each of them that is lost on all ways, where no finding says why: of the spans that findings
/// point at, `None` if not all rules were asked.
pub fn unclear(
    cx: &Context<'_>,
    known: &[Undecided],
    findings: Option<&BTreeSet<Span>>,
) -> Vec<Undecided> {
    let stack = Stack::of(cx);
    let tracer = Tracer::new(cx, &stack);
    let alone = to_lone_applications(cx, &stack, &tracer);
    let mut of_route: BTreeMap<&Evidence, Vec<&Traced>> = BTreeMap::new();
    let routes = cx.ways().iter().chain(&alone);
    for traced in routes.filter(|traced| traced.route.is_some()) {
        of_route.entry(&traced.evidence).or_default().push(traced);
    }
    // The rules of the stack tell of these, if at another block.
    let lost = cx.lost().iter().flat_map(|lost| &lost.ways);
    let lost: BTreeSet<&Evidence> = lost.map(|way| &cx.ways()[*way].evidence).collect();
    let mut found = Found {
        known,
        findings,
        notes: BTreeMap::new(),
    };
    for traced in of_route.into_values() {
        let Some(first) = traced.first() else {
            continue;
        };
        let ways: Vec<&Way> = traced.iter().map(|traced| &traced.way).collect();
        let meant = found.ask(&first.path, &ways);
        // Clients may put a prefix before it, and pages of another host may open it.
        let is_elsewhere = |traced: &&Traced| is_reached_by_prefix(cx, &stack, &tracer, traced);
        if !lost.contains(&first.evidence)
            && found.is_untold(&meant, None)
            && !ways.iter().any(|way| is_for_other_pages(way))
            && !traced.iter().any(is_elsewhere)
        {
            found.lost(&first.path, &meant, None);
        }
    }
    for declared in &cx.project.config.endpoints {
        let Ok(target) = Target::parse(&declared.endpoint) else {
            continue;
        };
        let ways = tracer.ways(&target);
        let meant = found.ask(&declared.endpoint, &ways.iter().collect::<Vec<_>>());
        if found.is_untold(&meant, declared.span) {
            found.lost(&declared.endpoint, &meant, declared.span);
        }
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
        // Nor is a file meant whose surroundings are not there, beside those that are.
        for is_other in [is_part as fn(&Way) -> bool, |way| way.answers_itself] {
            if !meant.iter().all(|way| is_other(way)) {
                meant.retain(|way| !is_other(way));
            }
        }
        let is_unclear = |way: &&Way| way.verdict() == Verdict::Undecided;
        if let Some(first) = meant.first().filter(|_| meant.iter().all(is_unclear))
            && let Some(why) = first.decisive().reasons.first()
            && !why.contains(OF_THE_CLIENT)
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

    /// Whether a handshake is lost on all `ways`, and no finding speaks of them or of where it is
    /// declared.
    fn is_untold(&self, ways: &[&Way], declared: Option<Span>) -> bool {
        let Some(findings) = self.findings else {
            return false;
        };
        let is_lost = |way: &&Way| way.verdict() == Verdict::Fails && !is_guarded(way);
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
        let mut spans = ways.iter().flat_map(passed).chain(declared);
        ways.iter().all(is_lost) && !spans.any(is_told)
    }

    /// Notes that a handshake for `asked` is lost on all `ways`.
    fn lost(&mut self, asked: &str, ways: &[&Way], declared: Option<Span>) {
        let first = ways.first();
        let Some(span) = declared.or_else(|| decisive(first?)) else {
            return;
        };
        let why = first.and_then(|way| way.decisive().reasons.first());
        let why = why.map_or("nothing in this project receives it", String::as_str);
        self.note(span, format!(
            "no way in this project lets a WebSocket through at `{asked}`: {why}; `wslint trace {asked}` shows it"
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

/// Whether what stands around the file that takes it is not known.
fn is_part(way: &Way) -> bool {
    let mut reasons = way.decisive().reasons.iter();
    reasons.any(|why| why == SURROUNDINGS)
}

/// Whether it is turned away as those are who lack a password, a token or a key, which another client
/// may have; or at a server that does not start, of which another file may say more.
fn is_guarded(way: &Way) -> bool {
    let run = way.decisive();
    match run.status {
        Some(status) => matches!(status, 400 | 401 | 403 | 407),
        None => run.steps.last().is_some_and(|step| step.layer == "django"),
    }
}

/// Whether only the page's origin is refused: pages of another host may be let in.
fn is_for_other_pages(way: &Way) -> bool {
    let last = way.decisive().steps.last();
    let because = last.and_then(|step| step.passage.because.last());
    because.is_some_and(|because| because.message.starts_with(REFUSED))
}

/// The bytes that decide what becomes of a handshake on its way.
fn decisive(way: &Way) -> Option<Span> {
    let last = way.decisive().steps.last()?;
    let because = last.passage.because.last();
    Some(because.map_or(last.at, |because| because.span))
}

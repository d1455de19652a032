//! Routes of an application that no handshake reaches through a proxy of the project: where they
//! are lost, and how.

mod beside;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use self::beside::{Below, Beside};
use self::beside::{Beyond, beside};
use super::topology::Program;
use super::ways::{self, Meant};
use super::{Stack, Traced};
use crate::context::Context;
use crate::django::command::Command;
use crate::finding::{Finding, Report};
use crate::handshake::{
    Entrance, Evidence, Judged, Outcome, Takes, Upstream, judge, judge_leniently,
};
use crate::rule::{Check, Severity, rules};
use crate::source::{SourceId, Span};
use crate::trace::{Run, Step, Tracer, Verdict, names};
use crate::value::Value;

/// Paths that one entrance names and that are tried as what clients ask for.
const MAX_PATHS: usize = 32;

/// How a route is lost.
#[derive(Clone, Debug)]
pub(super) enum How {
    /// A proxy passes the handshake on without its upgrade.
    Plain,
    /// A proxy answers by itself.
    Answered(u16),
    /// It arrives whole, where nobody takes it: another server than the one for sockets, or
    /// another application.
    Elsewhere,
    /// It arrives whole under a path that no route takes.
    Moved {
        /// That path.
        arrives: String,
    },
    /// A proxy behind the first has no address for the host that is asked for.
    UnknownHost {
        /// The host that would do.
        known: String,
        /// Where that is written.
        place: Span,
    },
    /// A proxy begins TLS for a name, or none, for which the one behind it has no certificate.
    NoName {
        /// That name; empty for none.
        asked: String,
        /// A host that it has a certificate for.
        known: String,
        /// Where that is written.
        place: Span,
    },
}

/// Routes that are lost for one cause.
#[derive(Clone, Debug)]
pub struct Lost {
    /// How the first of them is lost.
    pub(super) how: How,
    /// The step at which it is.
    pub(super) step: usize,
    /// The bytes that one would change.
    pub(super) span: Span,
    /// The block that passes sockets on to the application, under another path than the route's.
    pub(super) beside: Option<Beside>,
    /// The path below which clients ask for all that the application has.
    pub(super) below: Option<Below>,
    /// The routes, each with the first way on which it is lost, as indices of [`Context::ways`].
    pub(super) ways: Vec<usize>,
}

/// What becomes of a route on one way.
enum Fate {
    /// It gets there, as far as proxies are concerned; or other rules judge what happens.
    Arrives,
    /// The files do not say.
    Unclear,
    /// It is lost at this step.
    Lost(How, usize),
}

/// What is asked for.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What<'a> {
    /// The route of an application, by its home.
    Route(&'a str, usize),
    /// A path that is declared, or that a proxy's own file shows.
    Shown(&'a Evidence, &'a str),
}

/// Whether clients are meant to ask for another path than the route's, which the way in of `traced`
/// takes a prefix off.
pub(super) fn is_reached_by_prefix(
    cx: &Context<'_>,
    stack: &Stack<'_>,
    tracer: &Tracer<'_>,
    traced: &Traced,
) -> bool {
    let below = Below::of(cx, stack, traced);
    matches!(
        beside(cx, stack, tracer, traced, below.as_ref()),
        Beyond::Reached
    )
}

/// Every cause for which routes are lost, if no rule about a single file names it.
pub fn lost(cx: &Context<'_>) -> Vec<Lost> {
    let all = cx.ways();
    let mut of_route: BTreeMap<(usize, What<'_>), Vec<usize>> = BTreeMap::new();
    let mut urls: BTreeSet<&Evidence> = BTreeSet::new();
    for (index, traced) in all.iter().enumerate() {
        let what = match (&traced.application, traced.route, &traced.entrance) {
            (Some(application), Some(route), _) => What::Route(application, route),
            (None, _, Some(_)) if traced.meant != Meant::Perhaps => {
                What::Shown(&traced.evidence, &traced.path)
            }
            // Of several ways that a URL may mean the first decides.
            (None, _, None) if urls.insert(&traced.evidence) => {
                What::Shown(&traced.evidence, &traced.path)
            }
            _ => continue,
        };
        of_route
            .entry((traced.entry, what))
            .or_default()
            .push(index);
    }
    // Where all handshakes open there is nothing to ask.
    of_route.retain(|_, own| {
        let opens = |index: &usize| all[*index].way.runs[0].verdict == Verdict::Opens;
        !own.iter().any(opens)
    });
    if of_route.is_empty() {
        return Vec::new();
    }
    let stack = Stack::of(cx);
    let tracer = Tracer::new(cx, &stack);
    let mut found: Vec<Lost> = Vec::new();
    let mut others: Option<Vec<Finding>> = None;
    for own in of_route.values() {
        let fates: Vec<(usize, Fate)> = own
            .iter()
            .map(|index| (*index, fate(&stack, &all[*index], &all[*index].way.runs[0])))
            .collect();
        if !fates.iter().all(|(_, fate)| matches!(fate, Fate::Lost(..))) {
            continue;
        }
        let Some((index, Fate::Lost(how, step))) = fates.into_iter().next() else {
            continue;
        };
        let traced = &all[index];
        // The rules about single files judge what takes it first, and nobody else what is behind
        // that.
        let first = traced.way.runs[0]
            .steps
            .iter()
            .position(|step| step.hop.is_some());
        let of_names = matches!(how, How::UnknownHost { .. } | How::NoName { .. });
        let is_behind = first.is_some_and(|first| step > first) && traced.meant == Meant::Path;
        if traced.route.is_none() && !of_names && !is_behind {
            continue;
        }
        // A file names the beginning of what clients ask for, and a proxy that takes sockets
        // anywhere may take what begins like that.
        let is_shown =
            traced.route.is_none() && !matches!(traced.evidence, Evidence::Declared { .. });
        let takes_some = |step: &Step| step.hop.is_some_and(|hop| ways::takes_some(cx, hop));
        if is_shown && !of_names && takes_some(&traced.way.runs[0].steps[step]) {
            continue;
        }
        let run = &traced.way.runs[0];
        let below = Below::of(cx, &stack, traced);
        let beside = match beside(cx, &stack, &tracer, traced, below.as_ref()) {
            Beyond::Reached => continue,
            Beyond::Beside(beside) if !matches!(how, How::Moved { .. }) => Some(beside),
            _ => None,
        };
        let others = others.get_or_insert_with(|| of_single_files(cx));
        if is_named(others, traced, step) {
            continue;
        }
        let mut one = Lost {
            span: place(cx, &how, run, step),
            how,
            step,
            beside,
            below,
            ways: vec![index],
        };
        if let Some(beside) = &one.beside {
            one.span = beside.span;
            let is_public = one
                .below
                .as_ref()
                .is_some_and(|below| below.is(&beside.path));
            if is_public || matches!(one.how, How::Answered(_)) {
                let arrives = format!("{}{}", beside.path.trim_end_matches('/'), traced.path);
                one.how = How::Moved { arrives };
            }
        }
        let same = |known: &&mut Lost| {
            known.span == one.span
                && std::mem::discriminant(&known.how) == std::mem::discriminant(&one.how)
        };
        match found.iter_mut().find(same) {
            Some(known) => known.ways.push(index),
            None => found.push(one),
        }
    }
    found
}

/// What the rules about single files find, whether they are selected or not: what one of them
/// names needs no other name.
fn of_single_files(cx: &Context<'_>) -> Vec<Finding> {
    let single: Vec<_> = rules()
        .iter()
        .filter(|rule| {
            !matches!(rule.group(), "stack" | "wslint") && rule.severity == Severity::Error
        })
        .collect();
    let found = single.iter().flat_map(|rule| {
        let mut report = Report::new(rule);
        if let Check::Function(check) = &rule.check {
            check(cx, &mut report);
        }
        report.into_parts().0
    });
    found
        .filter(|finding| finding.severity == Severity::Error)
        .collect()
}

/// Whether one of these findings names what happens at a step or before it, or says of the route
/// what a proxy on its way does.
fn is_named(findings: &[Finding], traced: &Traced, step: usize) -> bool {
    let run = &traced.way.runs[0];
    let steps = || run.steps.iter().take(step + 1);
    if steps().any(|step| names(findings, step).is_some()) {
        return true;
    }
    let Evidence::Application { span: route, .. } = &traced.evidence else {
        return false;
    };
    let proxies: Vec<SourceId> = steps()
        .filter(|step| step.hop.is_some())
        .map(|step| step.at.source)
        .collect();
    findings.iter().any(|finding| {
        finding.spans().any(|span| span == *route)
            && finding.spans().any(|span| proxies.contains(&span.source))
    })
}

/// Whether a step is the application that a way leads to.
fn is_own(stack: &Stack<'_>, traced: &Traced, step: &Step) -> bool {
    step.hop.is_some_and(|hop| {
        let place = &stack.topology.places[hop];
        matches!(place.program, Program::Django { .. })
            && Some(&place.folder) == traced.application.as_ref()
    })
}

fn fate(stack: &Stack<'_>, traced: &Traced, run: &Run) -> Fate {
    let Some(last) = run.steps.last() else {
        return Fate::Unclear;
    };
    let end = run.steps.len() - 1;
    if run.verdict == Verdict::Opens {
        return Fate::Arrives;
    }
    // What opens on one of several backends is no question of the way there.
    let drifts = run.steps.iter().any(|step| {
        let mut siblings = step.siblings.iter();
        siblings.any(|sibling| sibling.verdict == Verdict::Opens)
    });
    // Nor is it known what becomes of a request that may be a handshake.
    let doubtful = |step: &Step| matches!(judge(&step.arrived), Judged::Undecided(..));
    if run.verdict == Verdict::Undecided || drifts || run.steps.iter().any(doubtful) {
        return Fate::Unclear;
    }
    // The step that makes a plain request of a handshake.
    let spoils = || {
        let arrives_whole = |step: &Step| !matches!(judge(&step.arrived), Judged::Lost(_));
        run.steps.iter().rposition(arrives_whole)
    };
    if is_own(stack, traced, last) {
        return match judge_leniently(&last.arrived) {
            Judged::Lost(_) => match spoils() {
                Some(at) => Fate::Lost(How::Plain, at),
                None => Fate::Unclear,
            },
            Judged::Undecided(..) => Fate::Unclear,
            _ if end > 0 && is_for_pages(stack, traced, last) => {
                Fate::Lost(How::Elsewhere, end - 1)
            }
            _ => match moved(stack, traced, run) {
                Some(at) => {
                    let arrives = last.arrived.path.clone();
                    Fate::Lost(How::Moved { arrives }, at)
                }
                None => Fate::Arrives,
            },
        };
    }
    match &last.passage.outcome {
        Outcome::Forwards { .. } => match run.lost_at {
            Some(at) if at == end && spoils() == Some(end) => Fate::Lost(How::Plain, at),
            _ => Fate::Unclear,
        },
        // Redirects, refusals and failures are other rules'.
        Outcome::Answers {
            status: Some(status @ (200..300 | 400 | 402 | 404..500)),
        } => {
            let hop = last.hop.map(|hop| &stack.hops[hop]);
            if hop.is_some_and(|hop| hop.is_application()) {
                // What a proxy's file shows is no promise of the application's.
                let promised =
                    traced.route.is_some() || matches!(traced.evidence, Evidence::Declared { .. });
                return match end.checked_sub(1) {
                    Some(at) if promised => Fate::Lost(How::Elsewhere, at),
                    _ => Fate::Unclear,
                };
            }
            match unknown_host(stack, run) {
                Some(how) => Fate::Lost(how, end - 1),
                None => Fate::Lost(How::Answered(*status), end),
            }
        }
        // Such as nginx's `return 444`, for a host or a name of TLS that it does not know.
        Outcome::Answers { status: None } => {
            match unknown_host(stack, run).or_else(|| no_name(stack, run)) {
                Some(how) => Fate::Lost(how, end - 1),
                None => Fate::Unclear,
            }
        }
        _ => Fate::Unclear,
    }
}

/// Whether the last hop would pass the handshake on if the TLS handshake before it named a host
/// that it knows.
fn no_name(stack: &Stack<'_>, run: &Run) -> Option<How> {
    let last = run.steps.last()?;
    let before = run.steps.len().checked_sub(2)?;
    let (hop, _) = (last.hop?, run.steps[before].hop?);
    let Some(Value::Known(asked)) = &last.arrived.tls_name else {
        return None;
    };
    let named = |entrance: &&Entrance| {
        entrance.tls && entrance.port == last.arrived.port && !entrance.host.is_empty()
    };
    // The host that is asked for, if it is there, else any that is.
    let mut entrances: Vec<&Entrance> = stack.entrances(hop).iter().filter(named).collect();
    entrances.sort_by_key(|entrance| entrance.host != last.arrived.host);
    entrances.into_iter().find_map(|entrance| {
        let mut request = last.arrived.clone();
        request.tls_name = None;
        request.host.clone_from(&entrance.host);
        request.authority.clone_from(&entrance.host);
        let outcome = stack.hops[hop].receive(&request).outcome;
        let Outcome::Forwards { request, .. } = outcome else {
            return None;
        };
        matches!(judge(&request), Judged::Opens).then(|| How::NoName {
            asked: asked.clone(),
            known: entrance.host.clone(),
            place: entrance.span,
        })
    })
}

/// Whether the application's server takes no sockets here, and another one of its does.
fn is_for_pages(stack: &Stack<'_>, traced: &Traced, step: &Step) -> bool {
    let Some(hop) = step.hop else {
        return false;
    };
    let here = listening(
        stack,
        hop,
        step.arrived.socket.as_deref(),
        Some(step.arrived.port),
    );
    let pages = !here.is_empty() && !here.iter().any(|command| may_take_sockets(command));
    pages
        && (0..stack.hops.len()).any(|hop| {
            Some(&stack.topology.places[hop].folder) == traced.application.as_ref()
                && commands(stack, hop).any(Command::serves_websockets)
        })
}

/// Whether what listens at an address of an application is not known to take no sockets.
pub(super) fn takes_sockets(stack: &Stack<'_>, hop: usize, to: &Upstream) -> bool {
    let here = listening(stack, hop, to.socket(), to.port.known().copied());
    here.is_empty() || here.iter().any(|command| may_take_sockets(command))
}

fn may_take_sockets(command: &Command) -> bool {
    command.speaks_asgi() || command.may_speak_asgi()
}

/// The commands that start an application.
fn commands<'a>(stack: &Stack<'a>, hop: usize) -> impl Iterator<Item = &'a Command> {
    let own = match &stack.topology.places[hop].program {
        Program::Django { commands, .. } => commands.as_slice(),
        _ => &[],
    };
    let django = stack.django;
    own.iter().map(|at| &django.commands[*at])
}

/// Those of them that listen at a socket or a port; all, where none is known to.
fn listening<'a>(
    stack: &Stack<'a>,
    hop: usize,
    socket: Option<&str>,
    port: Option<u16>,
) -> Vec<&'a Command> {
    let is_there = |command: &&Command| match socket {
        Some(path) => command.socket() == Some(path),
        None => port.is_some() && command.port() == port,
    };
    let there: Vec<&Command> = commands(stack, hop).filter(is_there).collect();
    match there.is_empty() {
        true => commands(stack, hop).collect(),
        false => there,
    }
}

/// The step that changes the path into one that no route takes.
fn moved(stack: &Stack<'_>, traced: &Traced, run: &Run) -> Option<usize> {
    let path = |step: usize| run.steps.get(step).map(|step| step.arrived.path.as_str());
    let end = run.steps.len() - 1;
    let arrives = path(end)?;
    if arrives == traced.path.split('?').next().unwrap_or_default() {
        return None;
    }
    let route = stack.django.routes.get(traced.route?)?;
    let own = stack.django.routes.iter();
    let mut own = own.filter(|other| other.application == route.application);
    if own.any(|other| other.matches(arrives) != Some(false)) {
        return None;
    }
    (0..end).rev().find(|at| path(*at) != Some(arrives))
}

/// Whether the last hop would take the handshake if it were asked for another host.
fn unknown_host(stack: &Stack<'_>, run: &Run) -> Option<How> {
    let last = run.steps.last()?;
    let before = run.steps.len().checked_sub(2)?;
    let hop = last.hop?;
    run.steps[before].hop?;
    let (tls, port) = (last.arrived.tls, last.arrived.port);
    // Caddy's strict_sni_host: what the TLS handshake names is the host that would do.
    if let Some(Value::Known(known)) = &last.arrived.tls_name
        && matches!(last.passage.outcome, Outcome::Answers { status: Some(421) })
    {
        let place = last.passage.because.last();
        return Some(How::UnknownHost {
            known: known.clone(),
            place: place.map_or(last.at, |because| because.span),
        });
    }
    if stack.hops[hop].takes(tls, &last.arrived.host, port) == Takes::ByName {
        return None;
    }
    let named = |entrance: &&Entrance| {
        entrance.tls == tls && entrance.port == port && !entrance.host.is_empty()
    };
    let mut entrances = stack.entrances(hop).iter().filter(named);
    entrances.find_map(|entrance| {
        let mut request = last.arrived.clone();
        request.host.clone_from(&entrance.host);
        request.authority.clone_from(&entrance.host);
        let Outcome::Forwards { request, .. } = stack.hops[hop].receive(&request).outcome else {
            return None;
        };
        matches!(judge(&request), Judged::Opens).then(|| How::UnknownHost {
            known: entrance.host.clone(),
            place: entrance.span,
        })
    })
}

/// The bytes that one would change.
fn place(cx: &Context<'_>, how: &How, run: &Run, step: usize) -> Span {
    let step = &run.steps[step];
    match how {
        How::Answered(_) if step.layer == "caddy" => {
            let last = step.passage.because.last();
            last.map_or(step.at, |because| because.span)
        }
        How::Answered(_) => step.at,
        How::Moved { .. } => mover(cx, step).unwrap_or_else(|| pass(cx, step)),
        How::Plain | How::Elsewhere | How::UnknownHost { .. } | How::NoName { .. } => {
            pass(cx, step)
        }
    }
}

/// The directive that a line of a step begins with.
fn directive<'a>(cx: &'a Context<'_>, span: Span) -> &'a str {
    let text = cx.project.slice(span);
    text.split_whitespace().next().unwrap_or_default()
}

/// The line that passes the request on.
pub(super) fn pass(cx: &Context<'_>, step: &Step) -> Span {
    let spans = step.passage.because.iter().map(|because| because.span);
    let pass = spans
        .rev()
        .find(|span| directive(cx, *span).ends_with("_pass"));
    let followed = step.followed.as_ref().map(|upstream| upstream.from);
    pass.or(followed).unwrap_or(step.at)
}

/// The line that changes the path.
fn mover(cx: &Context<'_>, step: &Step) -> Option<Span> {
    const MOVERS: [&str; 4] = ["rewrite", "uri", "handle_path", "try_files"];
    let spans = step.passage.because.iter().map(|because| because.span);
    spans
        .rev()
        .find(|span| MOVERS.contains(&directive(cx, *span)))
}

#[cfg(test)]
mod tests;

//! Other paths than a route's that lead to its application: those that clients are meant to ask for,
//! and those that a proxy forgot to shorten.

use super::{MAX_PATHS, is_for_pages, is_own, listening, pass};
use crate::context::Context;
use crate::django::command::{Command, Program as Server};
use crate::handshake::{Judged, Outcome, judge_leniently};
use crate::source::Span;
use crate::stack::topology::Program;
use crate::stack::{Stack, Traced};
use crate::trace::{Asked, Step, Tracer, Verdict};

/// A block that forwards upgrades to the application.
#[derive(Clone, Debug)]
pub(in crate::stack) struct Beside {
    pub(in crate::stack) span: Span,
    /// The path that it names.
    pub(in crate::stack) path: String,
    /// The line that passes sockets on.
    pub(in crate::stack) pass: Span,
    /// Whether it names no longer path below that one.
    pub(in crate::stack) is_whole: bool,
}

/// The path below which an application is said to live, which its routes do not have.
#[derive(Clone, Debug)]
pub(in crate::stack) struct Below {
    /// That path, without a slash at its end.
    pub(in crate::stack) path: String,
    /// Where that is said.
    pub(in crate::stack) place: Span,
    /// Whether the proxy has to take it off.
    pub(in crate::stack) is_stripped: bool,
}

impl Below {
    /// What a command's `--root-path` or FORCE_SCRIPT_NAME says, if the way in of `traced` names
    /// that path.
    pub(super) fn of(cx: &Context<'_>, stack: &Stack<'_>, traced: &Traced) -> Option<Self> {
        let home = traced.application.as_ref()?;
        let named = stack.hops[traced.entry].paths(traced.entrance.as_ref()?);
        let places = cx.topology.places.iter();
        let places = places.filter(|place| place.folder == *home);
        let said = places.filter_map(|place| match &place.program {
            Program::Django {
                settings, commands, ..
            } => Self::said(cx, *settings, commands),
            _ => None,
        });
        let mut said = said.filter(|below| named.iter().any(|path| below.is(path)));
        said.next()
    }

    fn said(cx: &Context<'_>, settings: usize, commands: &[usize]) -> Option<Self> {
        let new = |path: &str, place, is_stripped| {
            let path = path.trim_end_matches('/');
            (path.len() > 1 && path.starts_with('/')).then(|| Self {
                path: path.to_owned(),
                place,
                is_stripped,
            })
        };
        let commands = commands.iter().map(|at| &cx.django.commands[*at]);
        let mut told = commands.filter_map(|command| {
            let path = command.option(&["--root-path"])?;
            // daphne/ws_protocol.py tells it and leaves the path as it is; uvicorn puts it before.
            new(path, command.span, command.program != Server::Daphne)
        });
        told.next().or_else(|| {
            let settings = cx.django.all_settings().nth(settings)?;
            let name = settings.get("FORCE_SCRIPT_NAME");
            let value = name.certain()?;
            new(value.data.as_text()?, value.span, true)
        })
    }

    /// Whether a path is this one.
    pub(super) fn is(&self, path: &str) -> bool {
        path.trim_end_matches('/') == self.path
    }
}

/// What other paths lead to.
pub(super) enum Beyond {
    /// The route: clients are meant to ask for another path than the application's.
    Reached,
    /// The application, and no route of it.
    Beside(Beside),
    Nothing,
}

/// Where the paths that this entrance names lead, with the route's path behind them.
pub(super) fn beside(
    cx: &Context<'_>,
    stack: &Stack<'_>,
    tracer: &Tracer<'_>,
    traced: &Traced,
    below: Option<&Below>,
) -> Beyond {
    let Some(entrance) = &traced.entrance else {
        return Beyond::Nothing;
    };
    let Some(route) = traced
        .route
        .and_then(|route| stack.django.routes.get(route))
    else {
        return Beyond::Nothing;
    };
    let mut beside: Option<Beside> = None;
    let paths = stack.hops[traced.entry].paths(entrance);
    let named = || {
        paths
            .iter()
            .filter(|path| path.starts_with('/') && *path != "/")
    };
    for path in named().take(MAX_PATHS) {
        let is_public = below.is_some_and(|below| below.is(path));
        // A prefix that the route begins with is none that clients put before it.
        let prefix = path.trim_end_matches('/');
        let before =
            (!traced.path.starts_with(path.as_str())).then(|| format!("{prefix}{}", traced.path));
        // `/app/ws/` may be such a prefix with the beginning of the route behind it.
        let overlaps = prefix.match_indices('/').skip(1).filter_map(|(at, _)| {
            let begins = traced.path.starts_with(&prefix[at..]);
            begins.then(|| format!("{}{}", &prefix[..at], traced.path))
        });
        let before = before.into_iter().chain(overlaps).map(|path| (path, true));
        for (asked, with_route) in before.chain([(path.clone(), false)]) {
            let way = tracer.through(traced.entry, entrance, &asked, Asked::Handshake);
            let run = &way.runs[0];
            // Of several backends that all open, its own is one.
            let by_all = run.verdict == Verdict::Opens
                && run.steps.iter().any(|step| !step.siblings.is_empty());
            let is_own = |last: &&Step| by_all || is_own(stack, traced, last);
            let Some(last) = run.steps.last().filter(is_own) else {
                continue;
            };
            if !matches!(judge_leniently(&last.arrived), Judged::Opens)
                || is_for_pages(stack, traced, last)
            {
                continue;
            }
            let opens = matches!(last.passage.outcome, Outcome::Answers { status: Some(101) });
            let takes = |path: &str| route.matches(path) != Some(false);
            let mut below = below_root(stack, last).into_iter();
            if with_route && opens || takes(&last.arrived.path) || below.any(|path| takes(&path)) {
                return Beyond::Reached;
            }
            // It is another route's.
            if opens {
                continue;
            }
            let Some(at) = run.steps.iter().find(|step| step.hop.is_some()) else {
                continue;
            };
            // Caddy forwards every upgrade; in nginx somebody wrote it down.
            if is_public || beside.is_none() && at.layer == "nginx" {
                beside = Some(Beside {
                    span: block(cx, at, prefix),
                    path: path.clone(),
                    pass: passing(cx, at),
                    is_whole: named().all(|other| {
                        !other.starts_with(prefix) || other.trim_end_matches('/') == prefix
                    }),
                });
            }
            if is_public {
                break;
            }
        }
    }
    beside.map_or(Beyond::Nothing, Beyond::Beside)
}

/// What is left of a path behind the `--root-path` of those who listen where it arrives, where
/// Channels takes that off, or may: uvicorn puts it before the path first.
fn below_root(stack: &Stack<'_>, step: &Step) -> Vec<String> {
    let Some(hop) = step.hop else {
        return Vec::new();
    };
    let (socket, port) = (step.arrived.socket.as_deref(), step.arrived.port);
    let here = listening(stack, hop, socket, Some(port)).into_iter();
    let is_unclear = matches!(step.passage.outcome, Outcome::Undecided { .. });
    let takes_off = |command: &&Command| command.program == Server::Daphne || is_unclear;
    let roots = here
        .filter(takes_off)
        .filter_map(|command| command.option(&["--root-path"]));
    let rests = roots.filter_map(|root| step.arrived.path.strip_prefix(root));
    rests
        .map(|rest| format!("/{}", rest.trim_start_matches('/')))
        .collect()
}

/// The block of a step that names a path.
fn block(cx: &Context<'_>, step: &Step, path: &str) -> Span {
    if step.layer != "caddy" {
        return step.at;
    }
    // Named matchers stand elsewhere.
    let spans = step.passage.because.iter().map(|because| because.span);
    let mut naming = spans.rev().filter(|span| {
        let mut words = cx.project.slice(*span).split_whitespace();
        words.any(|word| word.trim_end_matches('*').trim_end_matches('/') == path)
    });
    naming.next().unwrap_or_else(|| passing(cx, step))
}

/// The directive that passes a request on.
fn passing(cx: &Context<'_>, step: &Step) -> Span {
    let spans = step.passage.because.iter().map(|because| because.span);
    let mut proxies = spans
        .rev()
        .filter(|span| super::directive(cx, *span) == "reverse_proxy");
    proxies.next().unwrap_or_else(|| pass(cx, step))
}

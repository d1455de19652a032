//! Handshakes that a hop of the project sends on over plain HTTP, to another one that answers
//! nothing there but a redirect to https.

use std::collections::{BTreeMap, BTreeSet};

use super::Stack;
use super::checks::backend_drift::drifts;
use crate::caddy::checks::plain_upstream::proved;
use crate::context::Context;
use crate::handshake::{Entrance, Outcome, Request};
use crate::nginx::way::{Cause, End};
use crate::project::Project;
use crate::source::Span;
use crate::trace::{Run, Step, Target, Tracer, Verdict, Way};

/// Hosts that are tried.
const MAX_HOSTS: usize = 512;

/// A redirect inside the chain.
#[derive(Clone, Debug)]
pub(crate) struct Redirected {
    /// Where the hop is dialled that redirects.
    pub(crate) dial: Span,
    /// The technology of the one that dials it.
    pub(crate) dialler: &'static str,
    /// The host and the port that are dialled.
    pub(crate) address: String,
    /// The technology of the one that redirects.
    pub(crate) layer: &'static str,
    /// The line that redirects, or the site that does by itself.
    pub(crate) by: Span,
    /// With which status.
    pub(crate) status: u16,
    /// The name under which the one that redirects speaks TLS, with the port if it is not 443.
    pub(crate) over_tls: Option<String>,
    /// The line of that server that passes sockets on.
    pub(crate) passes: Option<Span>,
    /// The URL that a browser asks for.
    pub(crate) url: String,
    /// Where the client's TLS ends, if in the files.
    pub(crate) ends_tls: Span,
}

/// Every redirect to https inside a chain, once for each place that dials it.
pub(crate) fn redirected(cx: &Context<'_>) -> Vec<Redirected> {
    let stack = Stack::of(cx);
    let mut ways = cx.ways().iter();
    let applied = ways.any(|traced| traced.application.is_some());
    let through_edge = through_edge(cx, &stack);
    let all = cx.ways().iter();
    let all = all
        .map(|traced| (&traced.way, traced.application.is_some()))
        .chain(through_edge.iter().map(|way| (way, applied)));
    // What the rules of one technology prove by themselves is told by them.
    let told = proved(cx);
    let strays = |beside: bool| {
        let strays = cx.nginx.strays.iter();
        let strays = strays.filter(move |stray| stray.beside == beside);
        strays.filter_map(|stray| match stray.way.end {
            End::Answered {
                cause: Cause::Redirect(item),
                ..
            } => Some(cx.nginx.view(stray.config).directive(item).head()),
            _ => None,
        })
    };
    // But what two servers do to an application together, the one that redirects and the one of TLS
    // beside it.
    let together: BTreeSet<Span> = strays(true).collect();
    let strays: BTreeSet<Span> = strays(false)
        .filter(|line| !together.contains(line))
        .collect();
    let mut found: BTreeMap<Span, Redirected> = BTreeMap::new();
    for (way, leads) in all {
        let run = way.decisive();
        let Some((from, at)) = redirect(cx.project, run) else {
            continue;
        };
        // Told of the one among several that differs.
        if run.steps.iter().any(drifts) {
            continue;
        }
        let (dials, answers) = (&run.steps[from], &run.steps[at]);
        let Some(upstream) = &dials.followed else {
            continue;
        };
        let by = answers
            .passage
            .because
            .last()
            .map_or(answers.at, |because| because.span);
        let stray = strays.contains(&by) || !leads && together.contains(&by);
        if told.contains(&upstream.from) || stray || !way.url.starts_with("wss://") {
            continue;
        }
        let Outcome::Answers {
            status: Some(status),
        } = answers.passage.outcome
        else {
            continue;
        };
        let (host, port) = (&answers.arrived.host, answers.arrived.port);
        let dialled = upstream.host.known().unwrap_or(host);
        // What one would change: an edge's choice is not in a line of the proxy's.
        let dial = if dials.layer == "edge" {
            by
        } else {
            upstream.from
        };
        found.entry(dial).or_insert_with(|| Redirected {
            dial,
            dialler: dials.layer,
            address: if port == 80 {
                dialled.clone()
            } else {
                format!("{dialled}:{port}")
            },
            layer: answers.layer,
            by,
            status,
            over_tls: over_tls(&stack, answers, dialled).map(|entrance| match entrance.port {
                443 => entrance.host.clone(),
                port => format!("{}:{port}", entrance.host),
            }),
            passes: passes(&stack, answers, dialled),
            url: way.url.clone(),
            ends_tls: ends_tls(run),
        });
    }
    found.into_values().collect()
}

/// The same handshakes where an edge that ends TLS goes on in plain HTTP: to whoever takes them at
/// that port, which may be another server than the one that leads to the application.
fn through_edge(cx: &Context<'_>, stack: &Stack<'_>) -> Vec<Way> {
    if !cx.project.config.edge.speaks_plain_http() {
        return Vec::new();
    }
    let tracer = Tracer::new(cx, stack);
    let mut hosts: BTreeMap<&str, &str> = BTreeMap::new();
    for traced in cx.ways() {
        if let Some(entrance) = &traced.entrance
            && entrance.tls
            && !entrance.host.is_empty()
            && !entrance.host.contains('*')
        {
            hosts.entry(&entrance.host).or_insert(&traced.path);
        }
    }
    let targets = hosts
        .into_iter()
        .take(MAX_HOSTS)
        .filter_map(|(host, path)| Target::parse(&format!("wss://{host}{path}")).ok());
    let ways = targets.flat_map(|target| match &target.origin {
        Some(origin) => tracer.url(&target, origin),
        None => Vec::new(),
    });
    ways.collect()
}

/// The steps that send a lost handshake on over plain HTTP, and answer it with a redirect to https.
fn redirect(project: &Project, run: &Run) -> Option<(usize, usize)> {
    let at = run.lost_at.filter(|_| run.verdict == Verdict::Fails)?;
    let from = at.checked_sub(1)?;
    let (dials, answers) = (run.steps.get(from)?, run.steps.get(at)?);
    let redirects = matches!(
        answers.passage.outcome,
        Outcome::Answers {
            status: Some(300..=399)
        }
    );
    // An edge before Caddy is told by a rule of Caddy's.
    let by_proxy = match dials.layer {
        "edge" => answers.layer == "nginx",
        _ => matches!(answers.layer, "nginx" | "caddy"),
    };
    if !redirects || !by_proxy || answers.arrived.tls {
        return None;
    }
    let because = answers.passage.because.last()?;
    let says = because.message.contains("https") || project.slice(because.span).contains("https");
    says.then_some((from, at))
}

/// Where the hop of `step` speaks TLS.
fn over_tls<'s>(stack: &'s Stack<'_>, step: &Step, dialled: &str) -> Option<&'s Entrance> {
    let entrances = stack.entrances(step.hop?);
    let named = |name: &str| {
        let mut tls = entrances.iter().filter(|entrance| entrance.tls);
        tls.find(|entrance| entrance.host == name)
    };
    let first = || {
        let mut tls = entrances.iter().filter(|entrance| entrance.tls);
        tls.find(|entrance| !entrance.host.is_empty() && !entrance.host.contains('*'))
    };
    named(dialled)
        .or_else(|| named(&step.arrived.host))
        .or_else(first)
}

/// The line by which it passes the same handshake on there.
fn passes(stack: &Stack<'_>, step: &Step, dialled: &str) -> Option<Span> {
    let entrance = over_tls(stack, step, dialled)?;
    let request = Request {
        tls: true,
        port: entrance.port,
        host: entrance.host.clone(),
        ..step.arrived.clone()
    };
    let passage = stack.hops[step.hop?].receive(&request);
    let Outcome::Forwards { to, .. } = &passage.outcome else {
        return None;
    };
    to.first().map(|upstream| upstream.from)
}

/// The edge, or the first server, that ends the client's TLS.
fn ends_tls(run: &Run) -> Span {
    let first = &run.steps[0];
    let because = first.passage.because.first();
    match first.layer {
        "edge" => first.place,
        _ => because.map_or(first.at, |because| because.span),
    }
}

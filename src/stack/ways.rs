//! The ways on which handshakes reach the applications of a project.
//!
//! Each route is sent through those ways in alone that lead to its application: from the
//! application back to who dials it, to who dials that, and so on. So the work grows with the
//! files, and not with the pairs of them.

use std::collections::{BTreeMap, BTreeSet};

use super::topology::Program;
use super::{Stack, served};
use crate::context::Context;
use crate::django::objects::Object;
use crate::django::routes::WebSocket;
use crate::handshake::{Entrance, Evidence, Outcome, known_endpoint};
use crate::source::Span;
use crate::trace::{Asked, Step, Target, Tracer, Way};

/// Ways that are traced for one application.
const MAX_OF_ONE: usize = 512;

/// Ways that are traced in one project.
const MAX_OF_ALL: usize = 10_000;

/// Handshakes that are sent through one way to another proxy.
const MAX_PATHS: usize = 16;

/// A route that was sent through one way in.
#[derive(Clone, Debug)]
pub struct Traced {
    /// The path that was asked for, with its query.
    pub path: String,
    /// Why handshakes arrive there.
    pub evidence: Evidence,
    /// How sure it is that they do.
    pub meant: Meant,
    /// The application that this way leads to, by the folder of its sources; `None` where only a
    /// declaration or a proxy's own file shows the socket.
    pub application: Option<String>,
    /// The route, an index into the model's.
    pub route: Option<usize>,
    /// The first hop, an index into the [`Stack`]'s.
    pub entry: usize,
    /// Where it comes in; `None` where a URL chose.
    pub entrance: Option<Entrance>,
    /// What becomes of it.
    pub way: Way,
}

/// How much evidence says about who asks for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// Sockets are asked for at this very path.
    Path,
    /// They are asked for at some path of this host, and all go this way.
    Host,
    /// Some may come this way.
    Perhaps,
}

/// A block of a hop that leads somewhere.
type Block = (usize, Span);

/// Who leads where.
#[derive(Debug)]
pub(crate) struct Graph {
    /// The blocks that dial each hop.
    incoming: Vec<BTreeSet<Block>>,
}

impl Graph {
    pub(crate) fn of(stack: &Stack<'_>) -> Self {
        let mut incoming = vec![BTreeSet::new(); stack.hops.len()];
        for from in 0..stack.hops.len() {
            for dial in stack.dials(from) {
                if let Some(behind) = stack.behind(from, &dial.to) {
                    incoming[behind.hop].insert((from, dial.at));
                }
            }
        }
        Self { incoming }
    }

    /// The blocks through which requests from outside come to one of these hops.
    fn leading_to(&self, hops: &[usize]) -> BTreeSet<Block> {
        let mut seen: BTreeSet<usize> = hops.iter().copied().collect();
        let mut open = hops.to_vec();
        let mut blocks = BTreeSet::new();
        while let Some(hop) = open.pop() {
            for (from, at) in &self.incoming[hop] {
                blocks.insert((*from, *at));
                if seen.insert(*from) {
                    open.push(*from);
                }
            }
        }
        // What another hop of the project dials is reached through that.
        let is_outermost =
            |(hop, _): &Block| self.incoming[*hop].iter().all(|(from, _)| from == hop);
        if blocks.iter().any(is_outermost) {
            blocks.retain(is_outermost);
        }
        blocks
    }
}

/// An application, and the ways that lead to it.
pub(super) struct Reached<'a, 's> {
    /// The folder of its sources.
    pub(super) home: &'a str,
    /// The hops that it is.
    pub(super) hops: Vec<usize>,
    /// Where requests for it come in.
    pub(super) entrances: Vec<(usize, &'s Entrance)>,
}

/// The applications, each with what of the project leads to it, if anything does.
pub(super) fn reached<'a, 's>(
    cx: &'a Context<'_>,
    stack: &'s Stack<'_>,
    tracer: &Tracer<'_>,
) -> Vec<Reached<'a, 's>> {
    let mut homes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, place) in cx.topology.places.iter().enumerate() {
        if matches!(place.program, Program::Django { .. }) {
            homes.entry(&place.folder).or_default().push(index);
        }
    }
    let graph = cx.graph(stack);
    let reached = homes.into_iter().map(|(home, hops)| Reached {
        entrances: entrances(stack, tracer, &graph.leading_to(&hops)),
        home,
        hops,
    });
    reached.collect()
}

/// The ways in that lead to a proxy behind another one.
fn to_proxies<'s>(
    cx: &Context<'_>,
    stack: &'s Stack<'_>,
    tracer: &Tracer<'_>,
) -> Vec<(usize, &'s Entrance)> {
    let graph = cx.graph(stack);
    let inner: Vec<usize> = (0..stack.hops.len())
        .filter(|hop| {
            let dialled = graph.incoming[*hop].iter().any(|(from, _)| from != hop);
            dialled && !stack.hops[*hop].is_application()
        })
        .collect();
    entrances(stack, tracer, &graph.leading_to(&inner))
}

/// Every application route and every declared endpoint, through every way that leads there; and
/// the sockets that proxies' own files show, through every way to another proxy.
pub fn ways(cx: &Context<'_>) -> Vec<Traced> {
    let stack = Stack::of(cx);
    let tracer = Tracer::new(cx, &stack);
    let mut found = Vec::new();
    to_applications(cx, &stack, &tracer, &mut found);
    to_urls(cx, &tracer, &mut found);
    through_proxies(cx, &stack, &tracer, &mut found);
    found
}

/// A path, why handshakes arrive there, and the route, if it is one's.
type Wanted = (String, Evidence, Option<usize>);

/// The paths that are declared for every host.
fn declared(cx: &Context<'_>) -> Vec<Wanted> {
    let endpoints = cx.project.config.endpoints.iter();
    let targets = endpoints.filter_map(|declared| Target::parse(&declared.endpoint).ok());
    let paths = targets.filter(|target| target.origin.is_none());
    let paths = paths.map(|target| {
        let endpoint = target.text;
        (target.path, Evidence::Declared { endpoint }, None)
    });
    paths.collect()
}

/// The routes of applications and the paths that are declared, through every way to an application.
fn to_applications(
    cx: &Context<'_>,
    stack: &Stack<'_>,
    tracer: &Tracer<'_>,
    found: &mut Vec<Traced>,
) {
    let declared = declared(cx);
    for Reached {
        home,
        hops,
        entrances,
    } in reached(cx, stack, tracer)
    {
        let mut asked = routes(cx, home, &hops);
        asked.extend(declared.iter().cloned());
        send(tracer, home, entrances, &asked, found);
    }
}

/// Sends what is `asked` of the application in `home` through these ways in.
fn send(
    tracer: &Tracer<'_>,
    home: &str,
    entrances: Vec<(usize, &Entrance)>,
    asked: &[Wanted],
    found: &mut Vec<Traced>,
) {
    // Each way in is tried with the same number of routes.
    let most = (MAX_OF_ONE / entrances.len().max(1)).max(1);
    for (entry, entrance) in entrances.into_iter().take(MAX_OF_ONE) {
        for (path, evidence, route) in asked.iter().take(most) {
            if found.len() >= MAX_OF_ALL {
                return;
            }
            found.push(Traced {
                path: path.clone(),
                evidence: evidence.clone(),
                meant: Meant::Path,
                application: Some(home.to_owned()),
                route: *route,
                entry,
                entrance: Some(entrance.clone()),
                way: tracer.through(entry, entrance, path, Asked::Handshake),
            });
        }
    }
}

/// The routes of the applications that nothing of the project leads to, asked of themselves.
pub(super) fn to_lone_applications(
    cx: &Context<'_>,
    stack: &Stack<'_>,
    tracer: &Tracer<'_>,
) -> Vec<Traced> {
    let mut found = Vec::new();
    let lone = reached(cx, stack, tracer).into_iter();
    for Reached { home, hops, .. } in lone.filter(|one| one.entrances.is_empty()) {
        let entrances = hops.iter().flat_map(|hop| {
            let own = stack.entrances(*hop).iter();
            own.map(|entrance| (*hop, entrance))
        });
        let entrances = entrances.take(MAX_PATHS).collect();
        let asked = routes(cx, home, &hops);
        send(tracer, home, entrances, &asked, &mut found);
    }
    found
}

/// The URLs that are declared with their host.
fn to_urls(cx: &Context<'_>, tracer: &Tracer<'_>, found: &mut Vec<Traced>) {
    for declared in &cx.project.config.endpoints {
        let Ok(target) = Target::parse(&declared.endpoint) else {
            continue;
        };
        let Some(origin) = &target.origin else {
            continue;
        };
        let traced = tracer.url(&target, origin).into_iter().filter_map(|way| {
            let [run, _] = &way.runs;
            Some(Traced {
                path: target.path.clone(),
                evidence: Evidence::Declared {
                    endpoint: declared.endpoint.clone(),
                },
                meant: Meant::Path,
                application: None,
                route: None,
                entry: run.steps.iter().find_map(|step| step.hop)?,
                entrance: None,
                way,
            })
        });
        found.extend(traced.take(MAX_OF_ALL.saturating_sub(found.len())));
    }
}

/// The paths that are declared and those that the proxies' own files show, through every way to
/// another proxy.
fn through_proxies(
    cx: &Context<'_>,
    stack: &Stack<'_>,
    tracer: &Tracer<'_>,
    found: &mut Vec<Traced>,
) {
    let declared = declared(cx);
    let entrances = to_proxies(cx, stack, tracer);
    for (entry, entrance) in entrances.into_iter().take(MAX_OF_ONE) {
        // With what must pass it on for the evidence to hold.
        let declared = declared.iter().cloned();
        let declared = declared.map(|(path, evidence, _)| (path, evidence, None, Meant::Path));
        let own = shown(cx, entry).into_iter();
        let own = own.map(|one| (one.path, one.evidence, Some(one.pass), one.meant));
        // What the proxy behind it shows for itself it never gets to see.
        let behind: BTreeSet<usize> = stack
            .dials(entry)
            .iter()
            .filter_map(|dial| stack.behind(entry, &dial.to))
            .map(|behind| behind.hop)
            .filter(|hop| *hop != entry)
            .collect();
        let theirs = behind.into_iter().flat_map(|hop| shown(cx, hop));
        let theirs = theirs.map(|one| (one.path, one.evidence, None, Meant::Perhaps));
        let asked = declared.chain(own).chain(theirs).take(MAX_PATHS);
        for (path, evidence, pass, meant) in asked {
            if found.len() >= MAX_OF_ALL {
                return;
            }
            let way = tracer.through(entry, entrance, &path, Asked::Handshake);
            let passes = |span: Span| {
                let steps = way.runs[0].steps.iter();
                let because = |step: &Step| {
                    let mut spans = step.passage.because.iter().map(|because| because.span);
                    spans.any(|because| because == span)
                };
                steps.take(2).any(because)
            };
            if pass.is_none_or(passes) {
                found.push(Traced {
                    path,
                    evidence,
                    meant,
                    application: None,
                    route: None,
                    entry,
                    entrance: Some(entrance.clone()),
                    way,
                });
            }
        }
    }
}

/// A socket that a proxy's own file shows.
struct Shown {
    path: String,
    evidence: Evidence,
    meant: Meant,
    /// What passes it on.
    pass: Span,
}

/// Whether a proxy's own files show that it takes sockets anywhere.
pub(super) fn takes_some(cx: &Context<'_>, hop: usize) -> bool {
    !shown(cx, hop).is_empty()
}

/// The sockets that a proxy's own files show.
fn shown(cx: &Context<'_>, hop: usize) -> Vec<Shown> {
    // Lines for the upgrade alone stand in many places where nobody asks for one.
    let meant = |path: &str| match known_endpoint(path) {
        Some(_) => Meant::Path,
        None => Meant::Perhaps,
    };
    match &cx.topology.places[hop].program {
        Program::Nginx(config) => {
            let routes = cx.nginx.routes.iter();
            let routes = routes.filter(|route| route.config == *config);
            let view = cx.nginx.view(*config);
            let shown = routes.filter_map(|route| {
                let path = view.config.locations[route.location as usize].sample()?;
                Some(Shown {
                    meant: meant(&path),
                    path,
                    evidence: route.evidence.first()?.clone(),
                    pass: view.directive(route.pass).head(),
                })
            });
            shown.collect()
        }
        Program::Caddy(config) => {
            let routes = cx.caddy.routes.iter();
            let routes = routes.filter(|route| route.config == *config);
            let shown = routes.map(|route| {
                let proxy = cx.caddy.site(route).handlers.get(route.proxy);
                // A matcher for handshakes, and no line of the proxy's.
                let matched = matches!(&route.evidence, Evidence::Intent { span } if !proxy.span.contains(*span));
                Shown {
                    path: route.path.clone(),
                    evidence: route.evidence.clone(),
                    meant: match (route.path_named, matched) {
                        (false, true) => Meant::Host,
                        (true, true) => Meant::Path,
                        (_, false) => meant(&route.path),
                    },
                    pass: proxy.head,
                }
            });
            shown.collect()
        }
        Program::Django { .. } => Vec::new(),
    }
}

/// The route of an application to which a handshake would go if a server did not refuse its whole
/// configuration for what stands at `span`.
pub fn stopped<'a>(cx: &'a Context<'_>, span: Span) -> Option<&'a Evidence> {
    let ways = cx.ways().iter().filter(|traced| traced.route.is_some());
    let stops = |traced: &&Traced| {
        let last = traced.way.runs[0].steps.last();
        last.is_some_and(|step| {
            step.at == span && matches!(step.passage.outcome, Outcome::Answers { status: None })
        })
    };
    let mut stopped = ways.filter(stops);
    stopped.next().map(|traced| &traced.evidence)
}

/// The ways into these blocks: behind an edge, those that it speaks to.
fn entrances<'s>(
    stack: &'s Stack<'_>,
    tracer: &Tracer<'_>,
    blocks: &BTreeSet<Block>,
) -> Vec<(usize, &'s Entrance)> {
    let mut found: Vec<(usize, &Entrance)> = Vec::new();
    let mut of_hop: BTreeMap<usize, Vec<Span>> = BTreeMap::new();
    for (hop, at) in blocks {
        of_hop.entry(*hop).or_default().push(*at);
    }
    for (hop, blocks) in of_hop {
        // Blocks are sorted, and none lies in another.
        let leads = |entrance: &&Entrance| {
            let key = |span: &Span| (span.source, span.start);
            let next = blocks.partition_point(|block| key(block) <= key(&entrance.span));
            next.checked_sub(1)
                .is_some_and(|index| blocks[index].contains(entrance.span))
        };
        let own = stack.entrances(hop).iter().filter(leads);
        found.extend(own.map(|entrance| (hop, entrance)));
    }
    if let Some(tls) = tracer.edge_speaks_tls()
        && found.iter().any(|(_, entrance)| entrance.tls == tls)
    {
        found.retain(|(_, entrance)| entrance.tls == tls);
    }
    found
}

/// The routes of the application in `home` that surely are its, each with a path.
pub(super) fn routes(cx: &Context<'_>, home: &str, hops: &[usize]) -> Vec<Wanted> {
    let commands = hops
        .iter()
        .flat_map(|hop| match &cx.topology.places[*hop].program {
            Program::Django { commands, .. } => commands.as_slice(),
            _ => &[],
        });
    let mut started: BTreeSet<usize> = commands
        .filter_map(
            |command| match cx.django.object(&cx.django.commands[*command]) {
                Some(Object::Application(at)) => Some(at),
                _ => None,
            },
        )
        .collect();
    if started.is_empty() {
        let folder = home.trim_end_matches('/');
        started.extend(cx.django.only_application(cx.project, folder));
    }
    let routes = cx.django.routes.iter().enumerate().filter(|(_, route)| {
        route.certain
            && started.contains(&route.application)
            && cx.django.applications[route.application].websocket == WebSocket::Routed
    });
    routes
        .filter_map(|(index, route)| {
            let asked = served::url(route)?;
            let declared_none = crate::caddy::route::is_declared_none(cx.project, &asked.path);
            (!declared_none).then_some((asked.path, asked.evidence, Some(index)))
        })
        .collect()
}

//! A handshake's way through a project, hop by hop, and what a browser meets at its end.
//!
//! Only the [`Stack`] knows which technologies there are; the rest knows hops.

mod causes;
mod edge;
mod target;
mod way;

pub use causes::name_rules;
pub(crate) use causes::names;
pub use target::{Origin, Target};
pub use way::{Run, Sibling, Step, Verdict, Way};

use std::collections::BTreeSet;

use crate::context::Context;
use crate::edge::hints;
use crate::handshake::{
    Because, Browser, Entrance, Header, Hop, Judged, Outcome, Passage, Reply, Request, Upstream,
    judge, judge_leniently,
};
use crate::source::Span;
use crate::stack::{First, Leads, Stack};
use crate::value::Value;

/// How many hops a handshake passes at most: real stacks have three or four.
const MAX_HOPS: usize = 12;

/// How many passages one browser's handshake may take over all upstreams.
const MAX_PASSAGES: usize = 256;

/// How many ways in are tried: a repository of a thousand virtual hosts is not traced whole.
const MAX_WAYS: usize = 1000;

/// Everything in a project that can receive a handshake, always in the same order.
pub fn hops<'a>(cx: &'a Context<'a>) -> Vec<Box<dyn Hop + 'a>> {
    Stack::of(cx).hops
}

/// Every way that a handshake for `target` may take into a project, the one that decides first;
/// empty where nothing in it receives a handshake.
pub fn trace(cx: &Context<'_>, target: &Target, only: Option<&BTreeSet<String>>) -> Vec<Way> {
    let stack = Stack::of(cx);
    let tracer = Tracer::new(cx, &stack);
    let mut ways = tracer.ways(target);
    // Given files are what is asked about; what surrounds them is there for context.
    if let Some(only) = only {
        let given = |way: &Way| {
            let steps = way.runs.iter().flat_map(|run| &run.steps);
            steps
                .flat_map(|step| {
                    let because = step.passage.because.iter().map(|because| because.span);
                    because.chain([step.at])
                })
                .any(|span| only.contains(&cx.project.source(span.source).path))
        };
        if ways.iter().any(given) {
            ways.retain(given);
        }
    }
    ways.sort_by_key(Way::order);
    ways
}

/// What is sent through one entrance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A handshake, over TLS where the server speaks it or an edge ends it.
    Handshake,
    /// A handshake whose client uses TLS; a server that speaks none then stands behind something
    /// that ends it.
    HandshakeOverTls,
    /// An ordinary GET whose client uses TLS, in the same way.
    PageOverTls,
}

/// Sends handshakes through a stack.
pub struct Tracer<'a> {
    cx: &'a Context<'a>,
    edges: Vec<edge::EdgeHop>,
    stack: &'a Stack<'a>,
}

/// Where a handshake stands.
struct At<'r> {
    hop: usize,
    depth: usize,
    passages: &'r mut usize,
}

impl<'a> Tracer<'a> {
    /// Of the project's declared edges and its hops.
    pub fn new(cx: &'a Context<'a>, stack: &'a Stack<'a>) -> Self {
        Self {
            cx,
            edges: edge::edges(&cx.project.config.edge),
            stack,
        }
    }

    /// Whether what is behind the edges is spoken to over TLS; `None` where no edge is declared.
    pub fn edge_speaks_tls(&self) -> Option<bool> {
        if self.edges.is_empty() {
            return None;
        }
        let probe = Request::handshake(Browser::Chrome, true, "localhost", 443, "/");
        let behind = self.through_edges(probe);
        Some(behind.is_some_and(|(request, _)| request.tls))
    }

    /// Every way that a handshake for `target` may take.
    pub fn ways(&self, target: &Target) -> Vec<Way> {
        match &target.origin {
            Some(origin) => self.url(target, origin),
            None => self.path(target),
        }
    }

    /// The ways of a URL: those into the hops that fit it best.
    pub fn url(&self, target: &Target, origin: &Origin) -> Vec<Way> {
        let sent = |browser| {
            Request::handshake(
                browser,
                origin.tls,
                &origin.host,
                origin.connects(),
                &target.path,
            )
        };
        let Some((arrives, _)) = self.through_edges(sent(Browser::Chrome)) else {
            return Vec::new();
        };
        let firsts = self
            .stack
            .first(&arrives, origin.port.is_some() && self.edges.is_empty());
        firsts
            .into_iter()
            .take(MAX_WAYS)
            .map(|first| {
                let runs = Browser::ALL.map(|browser| self.enter(sent(browser), &first));
                way(target.text.clone(), None, runs)
            })
            .collect()
    }

    /// The ways of a path: into every server.
    fn path(&self, target: &Target) -> Vec<Way> {
        let mut entrances: Vec<(usize, &Entrance)> = Vec::new();
        for index in 0..self.stack.hops.len() {
            let own = self.stack.entrances(index).iter();
            entrances.extend(own.map(|entrance| (index, entrance)));
        }
        // An application behind a proxy of the same project is reached through that proxy.
        let is_proxy = |index: usize| !self.stack.hops[index].is_application();
        if entrances.iter().any(|(index, _)| is_proxy(*index)) {
            entrances.retain(|(index, _)| is_proxy(*index));
        }
        if let Some(tls) = self.edge_speaks_tls()
            && entrances.iter().any(|(_, entrance)| entrance.tls == tls)
        {
            entrances.retain(|(_, entrance)| entrance.tls == tls);
        }
        entrances
            .into_iter()
            .take(MAX_WAYS)
            .map(|(hop, entrance)| {
                let host = self.stack.public_host(hop, entrance);
                let host = host.unwrap_or(&entrance.host);
                self.as_host(hop, entrance, host, &target.path, Asked::Handshake)
            })
            .collect()
    }

    /// The way of a path through one entrance of a hop.
    pub fn through(&self, hop: usize, entrance: &Entrance, path: &str, asked: Asked) -> Way {
        self.as_host(hop, entrance, &entrance.host, path, asked)
    }

    /// The same, where clients ask for `host`.
    fn as_host(
        &self,
        hop: usize,
        entrance: &Entrance,
        host: &str,
        path: &str,
        asked: Asked,
    ) -> Way {
        let behind_tls = !self.edges.is_empty() || asked != Asked::Handshake && !entrance.tls;
        let host = if host.is_empty() { "localhost" } else { host };
        let tls = entrance.tls || behind_tls;
        let default = if tls { 443 } else { 80 };
        let port = if behind_tls { default } else { entrance.port };
        let sent = |browser| match asked {
            Asked::PageOverTls => Request::page(tls, host, port, path),
            _ => Request::handshake(browser, tls, host, port, path),
        };
        let first = First {
            hop,
            tls: entrance.tls,
            port: entrance.port,
            mapped: None,
        };
        let runs = Browser::ALL.map(|browser| self.enter(sent(browser), &first));
        let scheme = if tls { "wss" } else { "ws" };
        let shown_port = if port == default {
            String::new()
        } else {
            format!(":{port}")
        };
        way(
            format!("{scheme}://{host}{shown_port}{path}"),
            Some(entrance.span),
            runs,
        )
    }

    /// The request as it comes out of the edges, and their steps.
    fn through_edges(&self, mut request: Request) -> Option<(Request, Vec<Step>)> {
        let mut steps = Vec::new();
        for edge in &self.edges {
            let passage = edge.receive(&request);
            let Outcome::Forwards {
                to, request: sent, ..
            } = &passage.outcome
            else {
                return None;
            };
            let followed = to.first()?.clone();
            let port = *followed.port.known()?;
            let next = sent.clone().arriving(&followed, port)?;
            steps.push(Step {
                layer: edge.layer(),
                hop: None,
                place: edge.place(),
                at: edge.place(),
                arrived: request,
                passage,
                followed: Some(followed),
                siblings: Vec::new(),
                rule: None,
            });
            request = next;
        }
        Some((request, steps))
    }

    fn enter(&self, request: Request, first: &First) -> Run {
        let Some((mut request, mut steps)) = self.through_edges(request) else {
            return undecided("what the edge sends is not in the files".to_owned());
        };
        let hop = self.stack.hops[first.hop].as_ref();
        // Whatever listens on another port has something before it that is not in the files.
        let is_next = first.port == 80 && first.mapped.is_none() && !hop.is_application();
        let edge = &self.cx.project.config.edge;
        let nobody = edge.declared.filter(|_| !edge.is_there());
        let unheard = match (steps.last(), nobody) {
            (Some(edge), _) if is_next => Some((
                edge.place,
                "speaks TLS to what is behind it, which speaks plain HTTP",
                "nothing here speaks TLS: the edge reaches no server",
            )),
            (None, Some(declared)) => Some((
                declared,
                "no edge: the client itself connects, and nobody ends its TLS before what speaks plain HTTP",
                "nothing here speaks TLS, and no edge ends it: the client reaches no server",
            )),
            _ => None,
        };
        if let (true, false, Some((span, message, reason))) = (request.tls, first.tls, unheard) {
            let because = Because {
                span,
                message: message.to_owned(),
            };
            steps.push(Step {
                layer: hop.layer(),
                hop: Some(first.hop),
                place: hop.place(),
                at: hop.place(),
                passage: Passage {
                    at: None,
                    outcome: Outcome::Answers { status: None },
                    because: vec![because],
                },
                arrived: request,
                followed: None,
                siblings: Vec::new(),
                rule: None,
            });
            return Run {
                verdict: Verdict::Fails,
                status: None,
                lost_at: Some(steps.len() - 1),
                steps,
                reasons: vec![reason.to_owned()],
            };
        }
        // Something that is not in the files ends TLS, or maps a port, before this hop.
        let mut place = None;
        let note = if let Some(span) = first.mapped {
            place = Some(span);
            Some(format!(
                "port {} of the machine is port {} of the container",
                request.port, first.port
            ))
        } else if request.tls && !first.tls {
            let unknown = "whatever ends TLS before it says so, or does not".to_owned();
            request.headers.push(Header {
                name: "X-Forwarded-Proto".to_owned(),
                value: Value::Unknown(unknown),
                from: None,
            });
            let hint = hints::told(self.cx, self.stack.hops[first.hop].place())
                .map_or_else(String::new, |told| format!("; {told}"));
            Some(format!(
                "nothing here speaks TLS for `{}`: taken to be behind something that ends it (declare it as [edge]{hint})",
                request.host
            ))
        } else if request.port != first.port && self.edges.is_empty() {
            Some(format!(
                "nothing here listens on port {}: taken to be mapped to port {}",
                request.port, first.port
            ))
        } else {
            None
        };
        (request.tls, request.port) = (first.tls, first.port);
        let mut passages = 0;
        let mut run = self.follow(
            request,
            At {
                hop: first.hop,
                depth: steps.len(),
                passages: &mut passages,
            },
        );
        if let Some(step) = run.steps.first_mut()
            && let Some(message) = note
        {
            let span = place.unwrap_or(step.at);
            step.passage.because.insert(0, Because { span, message });
        }
        run.lost_at = run.lost_at.map(|at| at + steps.len());
        steps.append(&mut run.steps);
        Run { steps, ..run }
    }

    /// What a request meets that arrives at a hop just so, whoever sent it.
    pub fn arriving(&self, hop: usize, request: Request) -> Run {
        let mut passages = 0;
        let at = At {
            hop,
            depth: 0,
            passages: &mut passages,
        };
        self.follow(request, at)
    }

    /// Lets a hop receive the request and follows it from there. The recursion is [`MAX_HOPS`] deep.
    fn follow(&self, request: Request, at: At<'_>) -> Run {
        let hop = self.stack.hops[at.hop].as_ref();
        *at.passages += 1;
        let passage = hop.receive(&request);
        let first = passage.because.first().map(|because| because.span);
        let step = Step {
            layer: hop.layer(),
            hop: Some(at.hop),
            place: hop.place(),
            at: passage.at.or(first).unwrap_or_else(|| hop.place()),
            arrived: request,
            passage,
            followed: None,
            siblings: Vec::new(),
            rule: None,
        };
        match step.passage.outcome.clone() {
            Outcome::Answers { status: Some(101) } => ends(Verdict::Opens, Some(101), step, None),
            Outcome::Answers { status } => {
                let why = match status {
                    Some(status) => format!("it answers {status} by itself"),
                    None => "nothing answers".to_owned(),
                };
                ends(Verdict::Fails, status, step, Some(why))
            }
            // Whatever an application makes of it, it opens no socket for what is no handshake.
            Outcome::Undecided { why } if hop.is_application() => {
                match judge_leniently(&step.arrived) {
                    Judged::Lost(lost) => {
                        let mut run = ends(Verdict::Fails, None, step, None);
                        run.reasons = lost.into_iter().map(|(why, _)| why).collect();
                        run
                    }
                    _ => ends(Verdict::Undecided, None, step, Some(why)),
                }
            }
            Outcome::Undecided { why } => ends(Verdict::Undecided, None, step, Some(why)),
            sent @ Outcome::Forwards { .. } => self.pass_on(step, sent, at),
        }
    }

    /// Follows what a hop sends on.
    fn pass_on(&self, mut step: Step, sent: Outcome, at: At<'_>) -> Run {
        let Outcome::Forwards {
            to,
            request: sent,
            reply,
            refused,
            kept,
            unanswered,
        } = sent
        else {
            return undecided("it is sent to nobody".to_owned());
        };
        let hop = self.stack.hops[at.hop].as_ref();
        let mut seen: Vec<(Option<usize>, Request)> = Vec::new();
        let mut runs: Vec<(Option<&Upstream>, bool, Run)> = Vec::new();
        for upstream in to.iter().map(Some).chain(to.is_empty().then_some(None)) {
            let leads = upstream.map_or(Leads::Outside, |upstream| {
                self.stack.leads(at.hop, upstream)
            });
            let behind = match leads {
                Leads::To(behind) => Some(behind),
                Leads::Outside => None,
                // Whoever it is, nobody makes a handshake of what is none.
                _ if matches!(judge_leniently(&sent), Judged::Lost(_)) => None,
                Leads::OneOf(_) => {
                    let why =
                        "its upstream may be one of several in the project, and nothing says which";
                    runs.push((upstream, false, undecided(why.to_owned())));
                    continue;
                }
                Leads::Unread(file) => {
                    let file = &self.cx.project.source(file).display;
                    let why =
                        format!("`{file}`, which may say what its upstream is, can't be read");
                    runs.push((upstream, false, undecided(why)));
                    continue;
                }
            };
            let next = behind.map(|behind| behind.hop);
            let arriving = match (behind, upstream) {
                (Some(behind), Some(upstream)) => {
                    match for_upstream(&sent, upstream).arriving(upstream, behind.port) {
                        Some(request) => Request {
                            peer: upstream.peer(),
                            ..request
                        },
                        None => {
                            let why = "the Host that it sends is not in the files".to_owned();
                            runs.push((Some(upstream), false, undecided(why)));
                            continue;
                        }
                    }
                }
                _ => sent.as_ref().clone(),
            };
            // What the same hop does with the same request need not be asked twice.
            if seen.contains(&(next, arriving.clone())) {
                continue;
            }
            seen.push((next, arriving.clone()));
            let run = match next {
                None => outside(&sent),
                Some(_) if at.depth + 1 >= MAX_HOPS => round(&step, hop.layer()),
                Some(_) if *at.passages >= MAX_PASSAGES => {
                    undecided("too many ways to follow them all".to_owned())
                }
                Some(next) => self.follow(
                    arriving,
                    At {
                        hop: next,
                        depth: at.depth + 1,
                        passages: &mut *at.passages,
                    },
                ),
            };
            runs.push((upstream, next.is_none(), run));
        }
        let count = runs.len();
        let lost = |verdict| {
            runs.iter()
                .filter(|(_, _, run)| run.verdict == verdict)
                .count()
        };
        let (fail, open) = (lost(Verdict::Fails), lost(Verdict::Opens));
        let mixed = fail > 0 && open > 0;
        if runs.len() > 1 {
            let siblings = runs.iter().filter_map(|(upstream, is_outside, run)| {
                // What lost it; of one that opens, its own first block.
                let step = run.steps.get(run.lost_at.unwrap_or_default());
                let decided = step.filter(|_| !is_outside).map(|step| {
                    let mut because = step.passage.because.iter();
                    // An application is what its command starts.
                    let decides = match step.layer {
                        "django" => because.next(),
                        _ => because.next_back(),
                    };
                    let lost = decides.filter(|_| run.lost_at.is_some());
                    let why = run.reasons.first().cloned();
                    let because = Because {
                        span: lost.map_or(step.at, |because| because.span),
                        message: why
                            .or(lost.map(|because| because.message.clone()))
                            .unwrap_or_else(|| "takes it".to_owned()),
                    };
                    (step.layer, because)
                });
                Some(Sibling {
                    upstream: (*upstream)?.clone(),
                    verdict: run.verdict,
                    status: run.status,
                    decided,
                })
            });
            step.siblings = siblings.collect();
        }
        // What opens only on some of the upstreams fails as often as the others are chosen.
        let is_spare = |upstream: Option<&Upstream>| upstream.is_some_and(|own| own.spare);
        let chosen = runs
            .into_iter()
            .rev()
            .max_by_key(|(upstream, _, run)| (!is_spare(*upstream), run.verdict.weight()));
        let Some((upstream, is_outside, mut run)) = chosen else {
            return undecided("it is sent to nobody".to_owned());
        };
        step.followed = upstream.cloned();
        if run.steps.is_empty()
            && run.verdict == Verdict::Undecided
            && let Some(Leads::OneOf(hops)) =
                upstream.map(|upstream| self.stack.leads(at.hop, upstream))
        {
            let places = hops.iter().map(|behind| self.stack.shown(behind.hop));
            step.passage.because.extend(places.map(|span| Because {
                span,
                message: "may be the one that it is sent to".to_owned(),
            }));
        }
        if mixed && let Some(upstream) = upstream {
            step.passage.because.push(Because {
                span: upstream.from,
                message: format!(
                    "{fail} of {count} upstreams that differ lose it; a handshake that this one gets fails"
                ),
            });
        }
        if is_outside
            && run.verdict == Verdict::Opens
            && let Some(upstream) = upstream
        {
            let missed = self.stack.missed(self.cx, at.hop, upstream, &sent.path);
            for other in &missed {
                let message = match other.port {
                    Some(port) => {
                        format!("starts the application that routes this path, at port {port}")
                    }
                    None => "starts the application that routes this path, at a socket".to_owned(),
                };
                let span = other.command;
                step.passage.because.push(Because { span, message });
            }
            let message = match missed.as_slice() {
                [] if upstream.is_loopback() => {
                    "no file says what listens there: taken to be a correct WebSocket server"
                }
                [] => "outside this project: taken to be a correct WebSocket server",
                _ => "no command of the project opens this port",
            };
            step.passage.because.push(Because {
                span: upstream.from,
                message: message.to_owned(),
            });
            if !missed.is_empty() {
                run.verdict = Verdict::Undecided;
                run.status = None;
                run.reasons = vec![format!(
                    "no command of the project opens port {}, and the application that routes this path is started elsewhere",
                    upstream.port.known().copied().unwrap_or_default()
                )];
            }
        }
        if run.steps.is_empty() && run.verdict != Verdict::Opens {
            run.lost_at = Some(0);
        } else {
            run.lost_at = run.lost_at.map(|at| at + 1);
        }
        // A handshake that arrived whole and leaves broken is lost here, whatever comes after.
        let judged = match run.steps.is_empty() {
            true => judge(&sent),
            false => judge_leniently(&sent),
        };
        if let Judged::Lost(lost) = judged
            && !matches!(judge(&step.arrived), Judged::Lost(_))
            && run.verdict == Verdict::Fails
        {
            run.lost_at = Some(0);
            run.reasons = lost.into_iter().map(|(why, _)| why).collect();
        }
        // Of a proxy; what an application answers is not always in the files.
        let closes = run.steps.last().is_some_and(|step| {
            matches!(step.passage.outcome, Outcome::Answers { status: None })
                && step
                    .hop
                    .is_some_and(|hop| !self.stack.hops[hop].is_application())
        });
        let dropped = run.verdict == Verdict::Opens && run.steps.first().is_some_and(says_close);
        if dropped && let Some((_, outcome)) = refused.iter().find(|(code, _)| *code == 101) {
            let why = "the upstream's 101 says `Connection: close`, and is taken for no switch of protocols";
            run.reasons = vec![why.to_owned()];
            (run.verdict, run.status, run.lost_at) = match outcome {
                Outcome::Answers { status } => (Verdict::Fails, *status, Some(1)),
                _ => (Verdict::Undecided, None, Some(0)),
            };
        } else if run.verdict == Verdict::Fails && run.status.is_none() && closes {
            run.status = unanswered;
        } else if run.verdict == Verdict::Fails
            && let Some(status) = run.status
        {
            // A 101 of which no socket comes is passed on, unless it is no switch of protocols.
            let switches = run.lost_at.and_then(|at| run.steps.get(at.checked_sub(1)?));
            let switches = switches.is_none_or(|step| {
                !matches!(
                    step.passage.outcome,
                    Outcome::Forwards {
                        reply: Reply::Spoiled { switches: false },
                        ..
                    }
                )
            });
            let mut instead = refused
                .into_iter()
                .filter(|(code, _)| *code == status && (*code != 101 || !switches));
            let (verdict, told) = match (instead.next(), kept) {
                (None, None) => (Verdict::Fails, Some(status)),
                (None, Some(kept)) => (Verdict::Fails, Some(kept)),
                (Some((_, Outcome::Answers { status })), _) => (Verdict::Fails, status),
                (Some((_, Outcome::Undecided { .. })), _) => (Verdict::Undecided, None),
                // It asks an upstream for what it answers instead, which may refuse that as well.
                (Some((_, page @ Outcome::Forwards { .. })), _) => {
                    let page = self.pass_on(step.clone(), page, at);
                    match page.verdict {
                        Verdict::Fails => (Verdict::Fails, page.status),
                        // Another upstream may open the socket.
                        Verdict::Opens | Verdict::Undecided => (Verdict::Undecided, None),
                    }
                }
            };
            if verdict == Verdict::Undecided {
                (run.verdict, run.lost_at) = (Verdict::Undecided, Some(0));
                run.reasons.clear();
            }
            if told != Some(status) {
                let why = format!("the upstream's {status} is replaced on its way back");
                run.reasons.push(why);
            }
            run.status = told;
        }
        if run.verdict == Verdict::Opens {
            match reply {
                Reply::Intact | Reply::Closing { .. } => {}
                Reply::Replaced { status } => {
                    (run.verdict, run.status, run.lost_at) = (Verdict::Fails, status, Some(0));
                    run.reasons = vec![match status {
                        Some(status) => format!("the upstream's 101 becomes {status}"),
                        None => "the upstream's 101 never arrives".to_owned(),
                    }];
                }
                Reply::Spoiled { .. } => {
                    (run.verdict, run.status, run.lost_at) = (Verdict::Fails, Some(101), Some(0));
                    run.reasons = vec!["a 101 arrives, and no socket comes of it".to_owned()];
                }
                Reply::Undecided { why } => {
                    (run.verdict, run.status, run.lost_at) = (Verdict::Undecided, None, Some(0));
                    run.reasons = vec![why];
                }
            }
        }
        run.steps.insert(0, step);
        run
    }
}

/// Whether what comes back from it is [`Reply::Closing`].
fn says_close(step: &Step) -> bool {
    match step.passage.outcome {
        Outcome::Forwards { ref reply, .. } => matches!(reply, Reply::Closing { .. }),
        _ => false,
    }
}

fn way(url: String, entrance: Option<Span>, runs: [Run; 2]) -> Way {
    let answers_itself = runs.iter().all(|run| {
        let mut proxies = run.steps.iter().filter(|step| step.layer != "edge");
        proxies.next().is_some_and(|step| {
            matches!(
                step.passage.outcome,
                Outcome::Answers { status } if status != Some(101)
            )
        })
    });
    Way {
        url,
        entrance,
        runs,
        // A URL leads to whoever takes it.
        answers_itself: answers_itself && entrance.is_some(),
        causes: Vec::new(),
    }
}

fn ends(verdict: Verdict, status: Option<u16>, step: Step, why: Option<String>) -> Run {
    Run {
        verdict,
        status,
        lost_at: (verdict != Verdict::Opens).then_some(0),
        steps: vec![step],
        reasons: why.into_iter().collect(),
    }
}

fn undecided(why: String) -> Run {
    Run {
        verdict: Verdict::Undecided,
        status: None,
        steps: Vec::new(),
        reasons: vec![why],
        lost_at: None,
    }
}

/// The request as it goes to one of several upstreams: a Host that names each of them by itself
/// names this one.
fn for_upstream(sent: &Request, upstream: &Upstream) -> Request {
    let mut sent = sent.clone();
    let Some(host) = upstream.host.known() else {
        return sent;
    };
    for line in &mut sent.headers {
        if let Value::OneOf(values) = &line.value
            && line.name.eq_ignore_ascii_case("host")
        {
            let own = values.iter().find(|value| {
                value
                    .strip_prefix(host.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            });
            if let Some(own) = own {
                line.value = Value::Known(own.clone());
            }
        }
    }
    sent
}

/// What a correct WebSocket server outside the project makes of the request.
fn outside(sent: &Request) -> Run {
    let (verdict, status, reasons) = match judge(sent) {
        Judged::Opens => (Verdict::Opens, Some(101), Vec::new()),
        Judged::Lost(lost) => (
            Verdict::Fails,
            None,
            lost.into_iter().map(|(why, _)| why).collect(),
        ),
        Judged::Spoiled(_) => (
            Verdict::Fails,
            Some(101),
            vec![
                "the upstream answers for another Sec-WebSocket-Key than the browser's".to_owned(),
            ],
        ),
        Judged::Undecided(why, _) => (Verdict::Undecided, None, vec![why]),
    };
    Run {
        verdict,
        status,
        steps: Vec::new(),
        reasons,
        lost_at: None,
    }
}

/// After more hops than any stack has: it goes round in circles.
fn round(step: &Step, layer: &str) -> Run {
    let why = format!(
        "after {MAX_HOPS} hops it is still on its way: it comes back to {layer} for `{}` at port {}",
        step.arrived.host, step.arrived.port
    );
    Run {
        verdict: Verdict::Fails,
        ..undecided(why)
    }
}

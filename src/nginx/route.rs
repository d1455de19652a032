//! Routes: the locations where handshakes arrive, why we think so, and what they lose.

use std::collections::{BTreeSet, HashSet};
use std::ops::Bound;

use super::declared::Places;
use super::evidence::{
    error_page, intent, is_below_endpoint, is_meant, redirects_all, switched_upstream, tried,
    upgrade_condition, upstream_names, well_known,
};
use super::headers::{Effective, Half, Line, Miss, Sent, handshakes, lines, sent};
use super::location::Matcher;
use super::model::{ItemId, Unseen, View};
use super::variables::{Scope, Step};
use super::words::variables;
use crate::handshake::{Evidence, Request};
use crate::project::Config as Settings;
use crate::source::Span;

/// What a route loses.
#[derive(Clone, Debug)]
pub enum Loss {
    /// Neither header reaches the upstream.
    Both {
        /// A line that blanks or replaces `Connection`, if one does.
        connection: Option<ItemId>,
    },
    /// One of the two is not sent at all; the line is the other's.
    Half {
        /// The one that is missing.
        missing: Half,
        /// The line that sets the other.
        present: ItemId,
    },
    /// An outer level sends them, and the headers that this one sets discard them.
    NotInherited {
        /// The level whose lines are discarded.
        outer: ItemId,
        /// The level that discards them.
        inner: ItemId,
    },
    /// A line sends something that cannot upgrade.
    Value {
        /// Which of the two.
        half: Half,
        /// The line.
        item: ItemId,
        /// What it sends.
        value: String,
        /// The maps behind it.
        steps: Vec<Step>,
        /// The other header's line, if that one is wrong as well.
        other: Option<ItemId>,
    },
    /// A line has a variable of the upgrade that nothing in the whole configuration defines.
    Undefined {
        /// The line.
        item: ItemId,
    },
    /// The pass speaks a protocol that has no upgrade.
    NoUpgrade,
}

/// A location that sends handshakes on, with the evidence that there are any.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its configuration, as an index.
    pub config: u32,
    /// Its location, as an index into the configuration's.
    pub location: u32,
    /// The block whose `proxy_pass` takes handshakes: the location, or an `if` in it.
    pub block: ItemId,
    /// That `proxy_pass`.
    pub pass: ItemId,
    /// Why handshakes arrive here, strongest first.
    pub evidence: Vec<Evidence>,
    /// The headers that apply.
    pub effective: Effective,
    /// What it loses; `None` if nothing that these headers decide.
    pub loss: Option<Loss>,
    /// A line that loses one browser's handshake only.
    pub miss: Option<Miss>,
}

impl Route {
    /// Whether only sockets are meant to come here, so that a fixed `Connection` hurts nobody.
    pub fn is_dedicated(&self, view: View<'_>) -> bool {
        let location = &view.config.locations[self.location as usize];
        self.block != location.item
            || (!location.is_catch_all()
                && self.evidence.iter().any(|evidence| match evidence {
                    Evidence::Declared { .. } | Evidence::Application { .. } => true,
                    Evidence::WellKnown { software, .. } => {
                        // Polling shares the path with the sockets.
                        !crate::handshake::endpoints()
                            .iter()
                            .any(|endpoint| endpoint.software == software && endpoint.polls_first)
                    }
                    Evidence::UpstreamName { .. } => true,
                    Evidence::Intent { .. } => false,
                }))
    }
}

/// A location that sends requests on, before it is known whether handshakes are among them.
pub(super) struct Candidate {
    pub(super) location: u32,
    block: ItemId,
    pub(super) pass: ItemId,
    pub(super) evidence: Vec<Evidence>,
    effective: Effective,
    upgrade: Sent,
    connection: Sent,
    /// The pass speaks a protocol that has no upgrade.
    no_upgrade: bool,
}

impl Candidate {
    /// Whether the upgrade may come through here.
    pub(super) fn passes(&self) -> bool {
        !self.no_upgrade && self.upgrade.may_pass() && self.connection.may_pass()
    }

    fn sent(&self, half: Half) -> &Sent {
        match half {
            Half::Upgrade => &self.upgrade,
            Half::Connection => &self.connection,
        }
    }
}

/// Something on a route that the files do not decide.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// Where.
    pub span: Span,
    /// What, for a person.
    pub why: String,
}

/// Finds the routes of a configuration and what each loses. What can't be decided on a route is
/// added to `doubts`; `places` are those of declared endpoints.
pub(super) fn routes(
    view: View<'_>,
    settings: &Settings,
    places: &Places,
    doubts: &mut Vec<Doubt>,
) -> Vec<Route> {
    let requests = handshakes();
    let mut candidates = candidates(view, requests);
    for candidate in &mut candidates {
        let declared = places.get(&(view.index, candidate.location));
        candidate
            .evidence
            .extend(declared.into_iter().flatten().cloned());
    }
    upstream_names(view, &mut candidates);
    for candidate in &mut candidates {
        let location = &view.config.locations[candidate.location as usize];
        let excluded = location.sample().is_some_and(|path| {
            settings
                .not_endpoints
                .iter()
                .any(|not| path.starts_with(not.trim_end_matches('*')))
        });
        if excluded {
            candidate
                .evidence
                .retain(|evidence| matches!(evidence, Evidence::Declared { .. }));
        }
        candidate.evidence.sort();
        candidate.evidence.dedup();
    }
    let handled = levels_that_arrive(view, &candidates);
    let mut routes = Vec::new();
    for mut candidate in candidates {
        let loss = if candidate.no_upgrade {
            Some(Loss::NoUpgrade)
        } else if candidate.passes() {
            undefined(view, &candidate)
        } else {
            loss(view, &candidate, requests)
        };
        if let Some(Loss::NotInherited { outer, .. }) = &loss
            && candidate.evidence.is_empty()
            && !handled.contains(outer)
            && candidate.connection == Sent::Absent
            && let Some(evidence) = whole_pair(view, *outer, candidate.block, requests)
        {
            candidate.evidence.push(evidence);
        }
        if candidate.evidence.is_empty() {
            continue;
        }
        let certain = matches!(loss, Some(Loss::Undefined { .. } | Loss::NoUpgrade));
        let doubt = if certain {
            None
        } else {
            undecided(view, &candidate, loss.is_some())
        };
        let loss = match doubt {
            Some(doubt) => {
                doubts.push(doubt);
                None
            }
            None => loss,
        };
        routes.push(Route {
            config: view.index,
            location: candidate.location,
            block: candidate.block,
            pass: candidate.pass,
            evidence: candidate.evidence,
            miss: match (candidate.upgrade, candidate.connection) {
                (Sent::Differs(miss), other) | (other, Sent::Differs(miss))
                    if other.may_pass() && candidate.effective.unseen.is_none() =>
                {
                    Some(miss)
                }
                _ => None,
            },
            effective: candidate.effective,
            loss,
        });
    }
    routes
}

/// A line of the pair whose variable nginx does not know: it refuses to start.
fn undefined(view: View<'_>, candidate: &Candidate) -> Option<Loss> {
    if !view.sees_all(candidate.block) {
        return None;
    }
    candidate
        .effective
        .lines(view)
        .filter(|line| line.means("Upgrade") || line.means("Connection"))
        .find(|line| {
            variables(line.text)
                .into_iter()
                .any(|name| is_of_upgrade(name) && !view.may_define(name))
        })
        .map(|line| Loss::Undefined { item: line.item })
}

/// Whether a variable is one that people map for the upgrade, by its name; nginx has none.
pub(super) fn is_of_upgrade(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let prefixed = ["http_", "sent_", "upstream_", "arg_", "cookie_"]
        .iter()
        .any(|prefix| name.starts_with(prefix));
    !prefixed
        && (name.contains("connection_upgrade") || matches!(&*name, "proxy_connection" | "upgrade"))
}

/// The locations that send requests on, with the evidence that their own lines give.
fn candidates(view: View<'_>, requests: &[Request]) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    // Named locations that handshakes are led to, by `try_files` or by `error_page` and an
    // `if ($http_upgrade) { return N; }`.
    let mut led: Vec<(u32, Evidence)> = Vec::new();
    for (index, location) in view.config.locations.iter().enumerate() {
        let server = &view.config.servers[location.server as usize];
        let level = view.level(location.item);
        let gone = view.level(server.item).answers.is_some() || redirects_all(view, server.item);
        if gone || level.answers.is_some() || level.internal {
            continue;
        }
        let mut blocks = vec![(location.item, Vec::new())];
        let mut reaches_itself = true;
        for block in &location.blocks {
            let Some(condition) = upgrade_condition(view, *block) else {
                if view.level(*block).pass.is_some() {
                    blocks.push((*block, Vec::new()));
                }
                continue;
            };
            let evidence = Evidence::Intent { span: condition };
            let mut each = requests
                .iter()
                .map(|request| Scope::new(view, request, location.item).condition(*block));
            let first = each.next().flatten();
            // What holds for one browser only leads the other's handshake past it.
            let holds = first.filter(|_| each.all(|other| other == first));
            let inner = view.level(*block);
            if let Some(answer) = inner.answers {
                if holds == Some(false) {
                    blocks[0].1.push(evidence);
                } else {
                    reaches_itself &= holds.is_none();
                    if let Some(named) = error_page(view, location, answer) {
                        led.push((named, evidence));
                    }
                }
            } else if inner.pass.is_some() && holds != Some(false) {
                reaches_itself &= holds.is_none();
                blocks.push((*block, vec![evidence]));
            }
        }
        if !reaches_itself {
            blocks.remove(0);
        } else if let Some(named) = tried(view, index as u32)
            && let Some(evidence) = well_known(view, index as u32, location)
        {
            led.push((named, evidence));
        }
        for (block, mut evidence) in blocks {
            let other = ["fastcgi_pass", "grpc_pass"]
                .into_iter()
                .find_map(|name| view.own(block, name).last());
            // Of two passes the later one counts: each sets the location's only handler.
            let (pass, no_upgrade) = match (view.level(block).pass, other) {
                (Some(pass), Some(other)) if other > pass => (other, true),
                (Some(pass), _) => (pass, false),
                (None, Some(other)) => (other, true),
                (None, None) => continue,
            };
            if no_upgrade {
                if block == location.item {
                    evidence.extend(own_intent(view, block));
                    evidence.extend(
                        well_known(view, index as u32, location)
                            .filter(|evidence| is_meant(view, evidence)),
                    );
                }
                candidates.push(Candidate {
                    location: index as u32,
                    block,
                    pass,
                    evidence,
                    effective: Effective::at(view, block),
                    upgrade: Sent::Absent,
                    connection: Sent::Absent,
                    no_upgrade,
                });
                continue;
            }
            let url = view.directive(pass).arg(0).unwrap_or_default();
            if !is_address(view, pass) {
                continue;
            }
            let effective = Effective::at(view, block);
            let lines: Vec<Line<'_>> = effective.lines(view).collect();
            evidence.extend(intent(view, &lines));
            evidence.extend(switched_upstream(view, url));
            if block == location.item {
                evidence.extend(well_known(view, index as u32, location));
            }
            let both = |half| sent(view, block, lines.iter().copied(), half, requests);
            candidates.push(Candidate {
                location: index as u32,
                block,
                pass,
                evidence,
                upgrade: both(Half::Upgrade),
                connection: both(Half::Connection),
                effective,
                no_upgrade,
            });
        }
    }
    for (named, evidence) in led {
        // Each location stands in one place of this order.
        let at = candidates.partition_point(|candidate| candidate.location < named);
        for candidate in candidates[at..]
            .iter_mut()
            .take_while(|candidate| candidate.location == named)
        {
            candidate.evidence.push(evidence.clone());
        }
    }
    without_handled_paths(view, &mut candidates);
    candidates
}

/// Whether `proxy_pass` names what nginx may send to, or something so close that nginx's refusal
/// is certain. Else a placeholder stands there.
fn is_address(view: View<'_>, pass: ItemId) -> bool {
    let Some(word) = view.directive(pass).args().first() else {
        return false;
    };
    let known = ["http://", "https://", "$"]
        .iter()
        .any(|start| word.text.starts_with(start));
    known || super::address::without_scheme(view, word)
}

/// The lines of a location itself, which its pass has no use for, show that sockets are meant.
fn own_intent(view: View<'_>, block: ItemId) -> Option<Evidence> {
    intent(view, &lines(view, block).collect::<Vec<_>>())
}

/// Takes the evidence of a well-known path from locations that lie above one which names more of
/// the path and upgrades: that one is the route. And from those that lie below such a path, where
/// some location of their server upgrades: who does it where it is needed knows the rest for HTTP.
fn without_handled_paths(view: View<'_>, candidates: &mut [Candidate]) {
    let path = |candidate: &Candidate| {
        let location = &view.config.locations[candidate.location as usize];
        Some((location.server, location.sample()?))
    };
    let handled: BTreeSet<(u32, String)> = candidates
        .iter()
        .filter(|candidate| candidate.passes())
        .filter_map(path)
        .collect();
    // An expression gets paths of the prefix that it begins with.
    let within: BTreeSet<(u32, String)> = candidates
        .iter()
        .filter(|candidate| candidate.passes())
        .filter(|candidate| {
            let location = &view.config.locations[candidate.location as usize];
            matches!(location.matcher, Matcher::Regex(_))
        })
        .filter_map(path)
        .collect();
    let upgrading: HashSet<u32> = candidates
        .iter()
        .filter(|candidate| candidate.passes())
        .map(|candidate| view.config.locations[candidate.location as usize].server)
        .collect();
    for candidate in candidates {
        let Some((server, sample)) = path(candidate) else {
            continue;
        };
        let own = (server, sample);
        let below = handled
            .range((Bound::Excluded(own.clone()), Bound::Unbounded))
            .next()
            .is_some_and(|(server, path)| *server == own.0 && path.starts_with(&own.1));
        let location = &view.config.locations[candidate.location as usize];
        let below =
            below || matches!(location.matcher, Matcher::Prefix { .. }) && within.contains(&own);
        let beside = upgrading.contains(&server) && is_below_endpoint(location);
        if (below || beside) && !candidate.passes() {
            candidate
                .evidence
                .retain(|evidence| !matches!(evidence, Evidence::WellKnown { .. }));
        }
    }
}

/// Levels whose headers still arrive somewhere below them.
fn levels_that_arrive(view: View<'_>, candidates: &[Candidate]) -> HashSet<ItemId> {
    candidates
        .iter()
        .filter(|candidate| candidate.passes() || candidate.effective.unseen.is_some())
        .flat_map(|candidate| view.outward(candidate.block))
        .collect()
}

/// The evidence that the pair at an outer level gives, if both halves stand there and are right.
fn whole_pair(
    view: View<'_>,
    outer: ItemId,
    block: ItemId,
    requests: &[Request],
) -> Option<Evidence> {
    let lines: Vec<Line<'_>> = lines(view, outer).collect();
    for half in [Half::Upgrade, Half::Connection] {
        if !sent(view, block, lines.iter().copied(), half, requests).may_pass() {
            return None;
        }
    }
    let line = lines.iter().find(|line| line.means("Upgrade"))?;
    Some(Evidence::Intent { span: line.span })
}

/// What a location that does not pass the upgrade loses.
fn loss(view: View<'_>, candidate: &Candidate, requests: &[Request]) -> Option<Loss> {
    for half in [Half::Upgrade, Half::Connection] {
        if *candidate.sent(half) != Sent::Absent {
            continue;
        }
        for outer in &candidate.effective.discarded {
            let lines: Vec<Line<'_>> = lines(view, *outer).collect();
            if sent(view, candidate.block, lines.iter().copied(), half, requests).may_pass() {
                return Some(Loss::NotInherited {
                    outer: *outer,
                    inner: candidate.effective.level?,
                });
            }
        }
    }
    let line = |half: Half| {
        candidate
            .effective
            .lines(view)
            .find(|line| line.means(half.name()))
            .map(|line| line.item)
    };
    let blank = |sent: &Sent| match sent {
        Sent::Absent => true,
        Sent::Wrong { item, .. } => view.directive(*item).arg(1) == Some(""),
        _ => false,
    };
    let value = |half: Half, other: Option<ItemId>| match candidate.sent(half) {
        Sent::Wrong { item, value, steps } => Some(Loss::Value {
            half,
            item: *item,
            value: value.clone(),
            steps: steps.clone(),
            other,
        }),
        _ => None,
    };
    match (&candidate.upgrade, &candidate.connection) {
        (upgrade, Sent::Wrong { item, .. }) if blank(upgrade) => Some(Loss::Both {
            connection: Some(*item),
        }),
        (upgrade, Sent::Absent) if blank(upgrade) => Some(Loss::Both { connection: None }),
        (Sent::Absent, _) => Some(Loss::Half {
            missing: Half::Upgrade,
            present: line(Half::Connection)?,
        }),
        (Sent::Wrong { .. }, connection) => {
            let other = if connection.may_pass() {
                None
            } else {
                line(Half::Connection)
            };
            value(Half::Upgrade, other)
        }
        (_, Sent::Absent) => Some(Loss::Half {
            missing: Half::Connection,
            present: line(Half::Upgrade)?,
        }),
        (_, Sent::Wrong { .. }) => value(Half::Connection, None),
        _ => None,
    }
}

/// Why it can't be said what a route does, if it can't.
fn undecided(view: View<'_>, candidate: &Candidate, lost: bool) -> Option<Doubt> {
    if lost && let Some(Unseen { span, why }) = &candidate.effective.unseen {
        let pass = view.directive(candidate.pass).head();
        return Some(Doubt {
            span: span.unwrap_or(pass),
            why: format!(
                "whether Upgrade and Connection reach the upstream of this location cannot be told: {why}"
            ),
        });
    }
    if lost {
        return None;
    }
    let level = candidate.effective.level.map(|level| view.level(level));
    if let Some(span) = level.and_then(|level| level.pair_perhaps) {
        return Some(Doubt {
            span,
            why: "whether Upgrade and Connection reach the upstream cannot be told: a template decides whether this \
                  line is written"
                .to_owned(),
        });
    }
    [Half::Upgrade, Half::Connection]
        .into_iter()
        .find_map(|half| match candidate.sent(half) {
            Sent::Unknown { item, why } => Some(Doubt {
                span: view.directive((*item).unwrap_or(candidate.pass)).head(),
                why: format!(
                    "whether a handshake's {} header reaches the upstream cannot be told: {why}",
                    half.name()
                ),
            }),
            _ => None,
        })
}

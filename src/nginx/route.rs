//! Routes: the locations where handshakes arrive, why we think so, and what they lose.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use super::headers::{Effective, Half, Line, Sent, handshakes, lines, sent};
use super::location::{Found, Location, Matcher};
use super::model::{Arena, Context, ItemId, ROOT, Unseen, View};
use super::variables::{Scope, Step};
use super::words::variables;
use crate::handshake::{Evidence, Request, known_endpoint};
use crate::project::{Config as Settings, Declared};
use crate::source::Span;

/// Names of servers and products that an upstream is called after when it serves sockets.
const SOCKET_NAMES: &[&str] = &["ws", "wss", "websocket", "websockets", "socketio", "sockjs"];

/// Servers that speak WebSocket, and plain HTTP as well.
const SOCKET_SERVERS: &[&str] = &["daphne"];

/// Servers of an upstream whose names are looked at.
const MAX_SERVERS: usize = 64;

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
struct Candidate {
    location: u32,
    block: ItemId,
    pass: ItemId,
    evidence: Vec<Evidence>,
    effective: Effective,
    upgrade: Sent,
    connection: Sent,
}

impl Candidate {
    fn passes(&self) -> bool {
        self.upgrade.may_pass() && self.connection.may_pass()
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
/// added to `doubts`; `named` is what [`named_hosts`] found.
pub fn routes(
    view: View<'_>,
    settings: &Settings,
    named: &HashSet<String>,
    doubts: &mut Vec<Doubt>,
) -> Vec<Route> {
    let requests = handshakes(true, "", 443, "");
    let mut candidates = candidates(view, &requests);
    declared(view, settings, named, &mut candidates);
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
        let loss = if candidate.passes() {
            None
        } else {
            loss(view, &candidate, &requests)
        };
        if let Some(Loss::NotInherited { outer, .. }) = &loss
            && candidate.evidence.is_empty()
            && !handled.contains(outer)
            && candidate.connection == Sent::Absent
            && let Some(evidence) = whole_pair(view, *outer, candidate.block, &requests)
        {
            candidate.evidence.push(evidence);
        }
        if candidate.evidence.is_empty() {
            continue;
        }
        let loss = match undecided(view, &candidate, loss.is_some()) {
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
            effective: candidate.effective,
            loss,
        });
    }
    routes
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
        if view.level(server.item).answers.is_some() || level.answers.is_some() || level.internal {
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
            let mut scope = Scope::new(view, &requests[0], location.item);
            let holds = scope.condition(view.directive(*block).args());
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
            let Some(pass) = view.level(block).pass else {
                continue;
            };
            let url = view.directive(pass).arg(0).unwrap_or_default();
            if !["http://", "https://", "$"]
                .iter()
                .any(|start| url.starts_with(start))
            {
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

/// The condition of an `if` that looks at the headers of the upgrade.
fn upgrade_condition(view: View<'_>, block: ItemId) -> Option<Span> {
    let directive = view.directive(block);
    let looks = view.context(block) == Context::If
        && directive.args().iter().any(|word| {
            variables(&word.text).iter().any(|name| {
                name.eq_ignore_ascii_case("http_upgrade")
                    || name.eq_ignore_ascii_case("http_connection")
            })
        });
    looks.then(|| directive.head())
}

/// The named location that `error_page` sends the status of `answer` to.
fn error_page(view: View<'_>, location: &Location, answer: ItemId) -> Option<u32> {
    let status = view.directive(answer).arg(0)?;
    let server = &view.config.servers[location.server as usize];
    [location.item, server.item].into_iter().find_map(|level| {
        let target = view
            .level(level)
            .error_pages
            .iter()
            .map(|item| view.directive(*item))
            .find(|directive| directive.args().iter().any(|word| word.text == status))?
            .args()
            .last()?;
        server.locations.named(&target.text)
    })
}

/// The named location that `try_files` falls back to in a location that passes nothing on itself.
fn tried(view: View<'_>, index: u32) -> Option<u32> {
    let location = &view.config.locations[index as usize];
    let level = view.level(location.item);
    if level.pass.is_some() {
        return None;
    }
    let target = view.directive(level.try_files?).args().last()?;
    view.config.servers[location.server as usize]
        .locations
        .named(&target.text)
}

/// Takes the evidence of a well-known path from locations that lie above one which names more of
/// the path and upgrades: that one is the route.
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
    for candidate in candidates {
        let Some((server, sample)) = path(candidate) else {
            continue;
        };
        let own = (server, sample);
        let below = handled
            .range((Bound::Excluded(own.clone()), Bound::Unbounded))
            .next()
            .is_some_and(|(server, path)| *server == own.0 && path.starts_with(&own.1));
        if below && !candidate.passes() {
            candidate
                .evidence
                .retain(|evidence| !matches!(evidence, Evidence::WellKnown { .. }));
        }
    }
}

/// Lines that show that somebody wants the upgrade to pass.
fn intent(view: View<'_>, lines: &[Line<'_>]) -> Option<Evidence> {
    let mentions = |line: &&Line<'_>| {
        if line.means("Upgrade") {
            return !line.text.is_empty();
        }
        line.means("Connection")
            && (crate::handshake::has_token(line.text, "upgrade")
                || variables(line.text)
                    .iter()
                    .any(|name| names_upgrade(view, name)))
    };
    let line = lines.iter().find(mentions)?;
    Some(Evidence::Intent { span: line.span })
}

/// Whether a variable has to do with the upgrade: by its name, or by the map that gives it.
fn names_upgrade(view: View<'_>, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.contains("upgrade") || maps_upgrade(view, &name).is_some()
}

/// The map of that variable, if it looks at `$http_upgrade`.
fn maps_upgrade(view: View<'_>, name: &str) -> Option<ItemId> {
    let map = *view.config.maps.get(&name.to_ascii_lowercase())?.last()?;
    let source = view.directive(map).arg(0)?;
    variables(source)
        .iter()
        .any(|name| name.eq_ignore_ascii_case("http_upgrade"))
        .then_some(map)
}

/// A variable that a map turns into `upgrade` for a handshake, by lower-case name.
pub fn upgrade_variable(view: View<'_>) -> Option<&str> {
    let found = view.config.upgrade_variable.get_or_init(|| {
        let mut names: Vec<&String> = view
            .config
            .maps
            .keys()
            .filter(|name| maps_upgrade(view, name).is_some())
            .collect();
        // The name of nginx's documentation before all others.
        names.sort_by_key(|name| (*name != "connection_upgrade", *name));
        let requests = handshakes(true, "", 443, "");
        let gives_it = |name: &String| {
            requests.iter().all(|request| {
                let value = Scope::new(view, request, ROOT).text(&format!("${name}"));
                value.decide(|value| crate::handshake::has_token(value, "upgrade")) == Some(true)
            })
        };
        names.into_iter().find(|name| gives_it(name)).cloned()
    });
    found.as_deref()
}

/// An upstream that a map chooses by `$http_upgrade`.
fn switched_upstream(view: View<'_>, url: &str) -> Option<Evidence> {
    let map = variables(url)
        .into_iter()
        .find_map(|name| maps_upgrade(view, name))?;
    Some(Evidence::Intent {
        span: view.directive(map).head(),
    })
}

/// The well-known endpoint that a location names, if it also gets it.
fn well_known(view: View<'_>, index: u32, location: &Location) -> Option<Evidence> {
    let path = location.sample()?;
    let endpoint = known_endpoint(&path)?;
    let gets_it = match view.find_location(location.server, &path) {
        Found::Location(found) if found == index => true,
        // The path may be no more than the beginning of what an expression matches.
        Found::Location(found) => {
            matches!(location.matcher, Matcher::Regex(_))
                && view.config.locations[found as usize]
                    .sample()
                    .is_none_or(|path| known_endpoint(&path).is_none())
        }
        Found::Nowhere | Found::Slash(_) => matches!(location.matcher, Matcher::Regex(_)),
        Found::Unknown => true,
    };
    gets_it.then(|| Evidence::WellKnown {
        software: endpoint.software.to_owned(),
        span: view.directive(location.item).head(),
    })
}

/// The hosts of declared endpoints that some server of the project names.
pub fn named_hosts(arena: Arena<'_>, settings: &Settings) -> HashSet<String> {
    let hosts: BTreeSet<String> = settings
        .endpoints
        .iter()
        .filter_map(Declared::host)
        .collect();
    let servers = || arena.configs.iter().flat_map(|config| &config.servers);
    hosts
        .into_iter()
        .filter(|host| servers().any(|server| server.rank(host).is_some()))
        .collect()
}

/// Adds the evidence of declared endpoints.
fn declared(
    view: View<'_>,
    settings: &Settings,
    named: &HashSet<String>,
    candidates: &mut [Candidate],
) {
    for endpoint in &settings.endpoints {
        let path = endpoint.path();
        let servers: Vec<u32> = match endpoint.host() {
            // A path alone is asked of every server.
            None => (0..view.config.servers.len() as u32).collect(),
            // Where some server names the host, the default server of another configuration
            // has nothing to do with it.
            Some(host) => view
                .servers_for(&host)
                .into_iter()
                .filter(|server| {
                    !named.contains(&host)
                        || view.config.servers[*server as usize].rank(&host).is_some()
                })
                .collect(),
        };
        let mut found: HashSet<u32> = servers
            .into_iter()
            .filter_map(|server| match view.find_location(server, path) {
                Found::Location(location) => Some(tried(view, location).unwrap_or(location)),
                _ => None,
            })
            .collect();
        let names_it = |index: &u32| {
            let location = &view.config.locations[*index as usize];
            !location.is_catch_all() && !matches!(location.matcher, Matcher::Named(_))
        };
        // A server that names the path is meant; the catch-all of another is not.
        if found.iter().any(names_it) {
            found.retain(names_it);
        }
        for candidate in candidates.iter_mut() {
            if found.contains(&candidate.location) {
                candidate.evidence.push(Evidence::Declared {
                    endpoint: endpoint.endpoint.clone(),
                });
            }
        }
    }
}

/// The names of the servers behind a `proxy_pass`, lower case.
fn upstream_hosts<'a>(view: View<'a>, pass: ItemId) -> Vec<(&'a str, Span)> {
    let directive = view.directive(pass);
    let Some(word) = directive.args().first() else {
        return Vec::new();
    };
    let Some((_, rest)) = word.text.split_once("://") else {
        return Vec::new();
    };
    let host = host(rest.split('/').next().unwrap_or_default());
    let mut hosts = vec![(host, word.span)];
    if let Some(upstream) = view.config.upstreams.get(host) {
        hosts.extend(
            view.children(*upstream)
                .take(MAX_SERVERS)
                .filter_map(|server| {
                    let server = view.directive(server);
                    let address = server
                        .args()
                        .first()
                        .filter(|_| server.name() == "server")?;
                    Some((self::host(&address.text), address.span))
                }),
        );
    }
    hosts
}

fn host(authority: &str) -> &str {
    authority.split(':').next().unwrap_or(authority)
}

/// Whether one of the words that make up `name` is among `words`.
fn has_word(name: &str, words: &[&str]) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)))
}

/// Adds the evidence of upstreams that are named for sockets. It counts only for servers in
/// which no location handles the upgrade: else that one is the route.
fn upstream_names(view: View<'_>, candidates: &mut [Candidate]) {
    let server_of =
        |candidate: &Candidate| view.config.locations[candidate.location as usize].server;
    let handled: HashSet<u32> = candidates
        .iter()
        .filter(|candidate| candidate.passes() || !candidate.evidence.is_empty())
        .map(server_of)
        .collect();
    let mut general: HashMap<u32, Vec<(usize, Span)>> = HashMap::new();
    for (index, candidate) in candidates.iter_mut().enumerate() {
        let server = server_of(candidate);
        if handled.contains(&server) {
            continue;
        }
        for (host, span) in upstream_hosts(view, candidate.pass) {
            if has_word(host, SOCKET_NAMES) {
                candidate.evidence.push(Evidence::UpstreamName { span });
                break;
            }
            if has_word(host, SOCKET_SERVERS) {
                general.entry(server).or_default().push((index, span));
                break;
            }
        }
    }
    for places in general.into_values() {
        // A server that also speaks plain HTTP may get anything: the route is what gets the rest,
        // or the one place that leads to it.
        let catch_all = places.iter().find(|(index, _)| {
            view.config.locations[candidates[*index].location as usize].is_catch_all()
        });
        let chosen = match (catch_all, places.as_slice()) {
            (Some(place), _) | (None, [place]) => *place,
            _ => continue,
        };
        candidates[chosen.0]
            .evidence
            .push(Evidence::UpstreamName { span: chosen.1 });
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

//! Evidence: why a location is taken for one where handshakes arrive.
//!
//! What an application routes is joined by `stack`; this is what the configuration itself shows.

use std::collections::{HashMap, HashSet};

use super::headers::{Line, handshakes, lines};
use super::location::{Found, Location, Matcher};
use super::model::{Context, ItemId, ROOT, View};
use super::pattern::Pattern;
use super::route::Candidate;
use super::variables::Scope;
use super::words::variables;
use crate::handshake::{Evidence, is_companion, is_plain_http, known_endpoint};
use crate::source::Span;

/// Names of servers and products that an upstream is called after when it serves sockets.
const SOCKET_NAMES: &[&str] = &["ws", "wss", "websocket", "websockets", "socketio", "sockjs"];

/// Servers that speak WebSocket, and plain HTTP as well.
const SOCKET_SERVERS: &[&str] = &["daphne"];

/// Servers of an upstream whose names are looked at.
const MAX_SERVERS: usize = 64;

/// The condition of an `if` that looks at the headers of the upgrade.
pub(super) fn upgrade_condition(view: View<'_>, block: ItemId) -> Option<Span> {
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
pub(super) fn error_page(view: View<'_>, location: &Location, answer: ItemId) -> Option<u32> {
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
pub(super) fn tried(view: View<'_>, index: u32) -> Option<u32> {
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

/// Lines that show that somebody wants the upgrade to pass.
pub(super) fn intent(view: View<'_>, lines: &[Line<'_>]) -> Option<Evidence> {
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
        let requests = handshakes();
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
pub(super) fn switched_upstream(view: View<'_>, url: &str) -> Option<Evidence> {
    let map = variables(url)
        .into_iter()
        .find_map(|name| maps_upgrade(view, name))?;
    Some(Evidence::Intent {
        span: view.directive(map).head(),
    })
}

/// The well-known endpoint that a location names, if it also gets it and keeps it.
pub(super) fn well_known(view: View<'_>, index: u32, location: &Location) -> Option<Evidence> {
    well_known_path(view, index, location).filter(|_| !leads_elsewhere(view, location.item))
}

/// Whether an endpoint that a location names is one of sockets even where nothing there can
/// upgrade: only some software has the path, or a map for the upgrade is there and nothing uses it.
pub(super) fn is_meant(view: View<'_>, evidence: &Evidence) -> bool {
    let unused = || {
        upgrade_variable(view).is_some_and(|variable| {
            let mut levels = (0..view.config.items.len() as u32).map(|item| view.directive(item));
            !levels.any(|line| {
                line.name() == "proxy_set_header"
                    && line.args().iter().any(|word| {
                        variables(&word.text)
                            .iter()
                            .any(|name| name.eq_ignore_ascii_case(variable))
                    })
            })
        })
    };
    evidence.is_of_software()
        || *view.config.unused_upgrade.get_or_init(unused)
            && matches!(evidence, Evidence::WellKnown { .. })
}

/// The well-known endpoint that a location names, if it also gets it.
pub(super) fn well_known_path(view: View<'_>, index: u32, location: &Location) -> Option<Evidence> {
    let path = location.sample()?;
    let endpoint = known_endpoint(&path)?;
    let files = matches!(&location.matcher, Matcher::Regex(pattern) if pattern.is_plain_http());
    if files || turns_get_away(view, location) {
        return None;
    }
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

/// Whether a location lies below a well-known endpoint, and is not its root.
pub(super) fn is_below_endpoint(location: &Location) -> bool {
    location.sample().is_some_and(|path| {
        known_endpoint(&path)
            .and_then(|endpoint| endpoint.below(&path))
            .is_some_and(|rest| !rest.is_empty())
    })
}

/// Whether a location is not for the GET of a handshake: `limit_except` denies it, or the lines
/// for its upstream are those of SOAP.
fn turns_get_away(view: View<'_>, location: &Location) -> bool {
    let limited = location.blocks.iter().any(|block| {
        let directive = view.directive(*block);
        directive.name() == "limit_except"
            && !directive
                .args()
                .iter()
                .any(|word| word.text.eq_ignore_ascii_case("GET"))
            && view.children(*block).any(|inner| {
                let inner = view.directive(inner);
                inner.name() == "deny" && inner.arg(0) == Some("all")
            })
    });
    limited || lines(view, location.item).any(|line| line.name.eq_ignore_ascii_case("SOAPAction"))
}

/// The `rewrite` directives of a level: their expression, and whether they redirect the client.
fn rewrites(view: View<'_>, level: ItemId) -> impl Iterator<Item = (&str, &str, bool)> {
    view.level(level).rewrites.iter().filter_map(move |item| {
        let directive = view.directive(*item);
        let (pattern, to) = (directive.arg(0)?, directive.arg(1)?);
        let flag = directive.arg(2).unwrap_or_default();
        let redirects = matches!(flag, "redirect" | "permanent")
            || ["http://", "https://", "$scheme"]
                .iter()
                .any(|start| to.starts_with(start));
        (directive.name() == "rewrite").then_some((pattern, flag, redirects))
    })
}

/// Whether a server redirects whatever it is asked for, by `rewrite`.
pub(super) fn redirects_all(view: View<'_>, server: ItemId) -> bool {
    rewrites(view, server)
        .any(|(pattern, _, redirects)| redirects && Pattern::new(pattern, false).takes_all())
}

/// Whether a `rewrite` of a location may take the handshake away from it.
fn leads_elsewhere(view: View<'_>, location: ItemId) -> bool {
    rewrites(view, location).any(|(_, flag, redirects)| redirects || flag == "last")
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

/// Whether one of the words that make up the name of a host is among `words`, and none says that
/// it serves plain HTTP beside them (`websocket-metrics`). A last label is a domain (`.ws` is one).
fn has_word(name: &str, words: &[&str]) -> bool {
    let name = name.rsplit_once('.').map_or(name, |(host, _)| host);
    let parts = || name.split(|c: char| !c.is_ascii_alphanumeric());
    parts().any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)))
        && !parts().any(is_companion)
}

/// Whether the path that a `proxy_pass` asks its upstream for is one of plain HTTP.
fn asks_plain_http(view: View<'_>, pass: ItemId) -> bool {
    let url = view.directive(pass).arg(0).unwrap_or_default();
    url.split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .is_some_and(|(_, path)| is_plain_http(path))
}

/// Adds the evidence of upstreams that are named for sockets. It counts only where no location
/// of the server, nor any that leads to the same upstream, handles the upgrade: else that one
/// is the route.
pub(super) fn upstream_names(view: View<'_>, candidates: &mut [Candidate]) {
    let server_of =
        |candidate: &Candidate| view.config.locations[candidate.location as usize].server;
    let handled: HashSet<u32> = candidates
        .iter()
        .filter(|candidate| candidate.passes() || !candidate.evidence.is_empty())
        .map(server_of)
        .collect();
    // The same upstream may be reached from the servers of several ports.
    let reached: HashSet<&str> = candidates
        .iter()
        .filter(|candidate| candidate.passes())
        .filter_map(|candidate| Some(upstream_hosts(view, candidate.pass).first()?.0))
        .collect();
    let mut general: HashMap<u32, Vec<(usize, Span)>> = HashMap::new();
    for (index, candidate) in candidates.iter_mut().enumerate() {
        let server = server_of(candidate);
        let location = &view.config.locations[candidate.location as usize];
        if handled.contains(&server)
            || location.is_plain_http()
            || turns_get_away(view, location)
            || asks_plain_http(view, candidate.pass)
        {
            continue;
        }
        let hosts = upstream_hosts(view, candidate.pass);
        if hosts
            .first()
            .is_some_and(|(host, _)| reached.contains(host))
        {
            continue;
        }
        for (host, span) in hosts {
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

//! Handshakes that go astray: sent to a URL that stands for a route, they are answered before any
//! proxy, or end in another place than the one that upgrades them.
//!
//! What stands for a route: a declared endpoint, a route of the application that this nginx serves,
//! and the paths that a block which handles the upgrade names itself. Such a block is lost only if
//! all of its paths are, under all names of its server.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::evidence::{
    error_page, intent, is_below_endpoint, is_meant, upgrade_condition, well_known_path,
};
use super::headers::{Line, handshakes, lines};
use super::location::{self, Listen, Location, Matcher};
use super::model::{ItemId, View};
use super::uri::normalise;
use super::way::{Cause, End, Way, is_led_to, upgrades};
use super::words::variables;
use crate::edge::EdgeChain;
use crate::handshake::{Browser, Evidence, Header, Request};
use crate::project::{Project, Version};
use crate::sample::samples;
use crate::value::Value;

/// Names of one server that are tried.
const MAX_NAMES: usize = 4;

/// Servers of one upstream that are looked at.
const MAX_SERVERS: usize = 16;

/// Ways of handshakes that are looked at in one configuration.
const MAX_WALKS: usize = 2000;

/// Locations of one configuration that are asked for the paths that they name.
const MAX_PLACES: usize = 2000;

/// A URL that stands for a route.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its path.
    pub path: String,
    /// Its host, where it is known.
    pub host: Option<String>,
    /// Why handshakes arrive there.
    pub evidence: Evidence,
}

/// A handshake that does not get where it belongs.
#[derive(Clone, Debug)]
pub struct Stray {
    /// Its configuration.
    pub config: u32,
    /// The server that takes it.
    pub server: u32,
    /// Whether it was meant for another one, of TLS, and the edge asks this one at port 80.
    pub beside: bool,
    /// Whether it arrives over TLS.
    pub tls: bool,
    /// The path that was sent.
    pub path: String,
    /// The host of the URL, where one was given.
    pub host: Option<String>,
    /// Why it is one.
    pub evidence: Evidence,
    /// The location that handles the upgrade for this path and does not get it.
    pub right: Option<u32>,
    /// Where it went instead.
    pub way: Way,
}

/// What was found of the URLs that stand for routes.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The strays.
    pub(super) strays: Vec<Stray>,
    /// Locations that a URL leads to, which ought to upgrade it.
    pub(super) landings: Vec<(u32, Evidence)>,
}

/// Sends handshakes through one configuration; `asked` are the URLs for each of its servers.
pub(super) fn strays(view: View<'_>, project: &Project, asked: &[(u32, Asked)]) -> Found {
    let finder = Finder {
        view,
        edge: &project.config.edge,
        target: view.config.target,
        left: Cell::new(MAX_WALKS),
        browsers: handshakes(),
    };
    let mut found = Found::default();
    // Of the servers that a bare path may mean, one that lets it through is enough.
    let mut delivered: BTreeSet<&str> = BTreeSet::new();
    for (server, url) in asked {
        let hosts = match &url.host {
            Some(host) => vec![host.clone()],
            None => hosts(view, *server),
        };
        let paths = [url.path.clone()];
        let sent = finder.sent(*server, &hosts, &paths, None);
        let Some((taker, tls, path, way)) = sent else {
            delivered.insert(&url.path);
            continue;
        };
        let right = finder.handler(*server, url, &way);
        // A server that has nothing to do with the path: it need not be the one that is meant.
        if matches!(
            way.end,
            End::Answered {
                cause: Cause::Files(None),
                ..
            }
        ) && way.location.is_none()
            && matches!(url.evidence, Evidence::Declared { .. })
            && !has_root(view, *server)
            && right.is_none()
        {
            continue;
        }
        if let End::Passed {
            location,
            block,
            overwritten,
        } = way.end
            && right.is_none()
            && (overwritten.is_none() || !upgrades(view, block, finder.browsers))
        {
            // Nothing else is there for it: its headers are what it lacks.
            delivered.insert(&url.path);
            found.landings.push((location, url.evidence.clone()));
            continue;
        }
        found.strays.push(Stray {
            config: view.index,
            server: taker,
            beside: taker != *server,
            tls,
            path,
            host: url.host.clone(),
            evidence: url.evidence.clone(),
            right,
            way,
        });
    }
    found.strays.retain(|stray| {
        stray.host.is_some() || stray.right.is_some() || !delivered.contains(stray.path.as_str())
    });
    for (index, location) in (0..).zip(&view.config.locations).take(MAX_PLACES) {
        let known = found.strays.iter().any(|stray| stray.right == Some(index));
        if let Some(stray) = (!known).then(|| finder.own(index, location)).flatten() {
            found.strays.push(stray);
        }
    }
    found
        .strays
        .retain(|stray| !is_excused(view, project, stray));
    found
}

struct Finder<'a> {
    view: View<'a>,
    edge: &'a EdgeChain,
    target: Option<Version>,
    left: Cell<usize>,
    browsers: &'static [Request],
}

impl Finder<'_> {
    /// Sends a location the paths that it names itself.
    fn own(&self, index: u32, location: &Location) -> Option<Stray> {
        let view = self.view;
        let own = own_evidence(view, location);
        let named = own.is_none();
        let evidence = own.or_else(|| endpoint(view, index, location))?;
        let hosts = hosts(view, location.server);
        let mut paths = paths(location);
        if named {
            // The name is the path that is known.
            paths.truncate(1);
        }
        let (taker, tls, path, way) = self.sent(location.server, &hosts, &paths, Some(index))?;
        match way.end {
            // What it leads to is there for sockets.
            End::Passed {
                block,
                overwritten: Some(_),
                ..
            } if named && upgrades(view, block, self.browsers) => {}
            // What only bears the name of an endpoint may well be closed, or moved, on purpose.
            End::Answered {
                cause: Cause::Loop(_),
                ..
            } => {}
            End::Answered {
                cause: Cause::Files(Some(_)),
                status: Some(200),
            } => {}
            _ if named => return None,
            // The slash is missing only to a client that nobody has seen.
            End::Answered {
                cause: Cause::Slash(_),
                ..
            } => return None,
            End::Answered {
                cause: Cause::Internal(inner),
                ..
            } if is_led_to(view, inner) => return None,
            // The named location that it is led to is a route of its own.
            End::Passed {
                location,
                overwritten: None,
                ..
            } if matches!(
                view.config.locations[location as usize].matcher,
                Matcher::Named(_)
            ) =>
            {
                return None;
            }
            // There is no 101 to be overwritten.
            End::Passed {
                block,
                overwritten: Some(_),
                ..
            } if !upgrades(view, block, self.browsers) => return None,
            _ => {}
        }
        Some(Stray {
            config: view.index,
            server: taker,
            beside: taker != location.server,
            tls,
            path,
            host: None,
            evidence,
            right: Some(index),
            way,
        })
    }

    /// Who takes what is meant for a server under one of its names: behind an edge that speaks plain
    /// HTTP, whoever listens at port 80 in place of one that speaks nothing but TLS.
    fn taker(&self, server: u32, host: &str) -> u32 {
        let listens = &self.view.config.servers[server as usize].listens;
        let only_tls = !listens.is_empty() && listens.iter().all(|listen| listen.tls);
        if !only_tls || !self.edge.speaks_plain_http() {
            return server;
        }
        self.view.find_server(host, 80).unwrap_or(server)
    }

    /// Sends each path under each name of a server: the first way that fails, if all of them do,
    /// with the server that took it.
    fn sent(
        &self,
        server: u32,
        hosts: &[String],
        paths: &[String],
        own: Option<u32>,
    ) -> Option<(u32, bool, String, Way)> {
        let mut first = None;
        for host in hosts {
            let server = self.taker(server, host);
            for path in paths {
                let request = request(self.view, self.edge, server, host, path);
                let mut ways = Vec::new();
                // What one browser of two loses is another rule's.
                for browser in Browser::ALL {
                    let mut request = request.clone();
                    for header in &mut request.headers {
                        if header.name == "Connection" {
                            header.value = Value::Known(browser.connection().to_owned());
                        }
                    }
                    let found = super::way::ways(self.view, server, &request, self.target);
                    self.left.set(self.left.get().checked_sub(found.len())?);
                    if found
                        .iter()
                        .any(|way| self.arrives(way, own) != Some(false))
                    {
                        return None;
                    }
                    ways.extend(found);
                }
                // A file that is there tells more than one that is not.
                let told = |way: &Way| matches!(&way.end, End::Answered { cause: Cause::Files(_), status } if *status == Some(200));
                let at = ways.iter().position(told).unwrap_or(0);
                let way = ways.swap_remove(at);
                first.get_or_insert_with(|| (server, request.tls, path.clone(), way));
            }
        }
        first
    }

    /// Whether a way leads to a proxy that upgrades; `None` if that can't be told. For a location
    /// that is asked for its own path its own proxy is enough: what its headers lack is said of it
    /// elsewhere.
    fn arrives(&self, way: &Way, own: Option<u32>) -> Option<bool> {
        match &way.end {
            End::Undecided => None,
            End::Answered { .. }
            | End::Passed {
                overwritten: Some(_),
                ..
            } => Some(false),
            End::Passed {
                location, block, ..
            } => Some(own == Some(*location) || upgrades(self.view, *block, self.browsers)),
        }
    }

    /// The location that is there for a URL and upgrades, though it does not get it.
    fn handler(&self, server: u32, url: &Asked, way: &Way) -> Option<u32> {
        let view = self.view;
        let locations = || (0..).zip(&view.config.locations).take(MAX_PLACES);
        let is_right = |(index, location): &(u32, &Location)| {
            Some(*index) != way.location
                && !location.is_catch_all()
                && takes(location, &url.path)
                && view.level(location.item).pass.is_some()
                && upgrades(view, location.item, self.browsers)
        };
        let here = locations().find(|found| found.1.server == server && is_right(found));
        // A host that no server is named for may be meant for another one.
        let unnamed = || {
            let host = url.host.as_deref()?;
            let named = |server: &super::location::Server| server.rank(host).is_some();
            if view.config.servers.iter().any(named) {
                return None;
            }
            locations().find(is_right)
        };
        Some(here.or_else(unnamed)?.0)
    }
}

/// The names to ask a server for; an empty one where it has none that can be written out.
fn hosts(view: View<'_>, server: u32) -> Vec<String> {
    let server = &view.config.servers[server as usize];
    let mut hosts: Vec<String> = server
        .names
        .iter()
        .filter(|name| {
            name.contains('.')
                && !name.contains(['*', '$', '{', '<', '%'])
                && !name.starts_with('.')
                || name.as_str() == "localhost"
        })
        .take(MAX_NAMES)
        .cloned()
        .collect();
    if hosts.is_empty() {
        hosts.push(String::new());
    }
    hosts
}

/// The handshake as it reaches a server: over TLS where it listens so, unless an edge speaks plain
/// HTTP to it.
fn request(view: View<'_>, edge: &EdgeChain, server: u32, host: &str, path: &str) -> Request {
    let plain = edge.speaks_plain_http();
    let listens = &view.config.servers[server as usize].listens;
    let of = |tls: bool| {
        listens
            .iter()
            .find(move |listen: &&Listen| listen.tls == tls)
    };
    let listen = if plain {
        of(false).or_else(|| of(true))
    } else {
        of(true).or_else(|| of(false))
    };
    let (tls, port) = listen.map_or((false, 80), |listen| (listen.tls, listen.port));
    let mut request = Request::handshake(Browser::Chrome, tls, host, port, path);
    // Pages of other sites may be the ones that open it.
    request.headers.retain(|header| header.name != "Origin");
    if !edge.edges.is_empty() {
        for (name, value) in edge.sends() {
            request.headers.push(Header {
                name,
                value: Value::Known(value),
                from: None,
            });
        }
        if request.lines("x-forwarded-proto").next().is_none() {
            // As good as absent.
            request.headers.push(Header {
                name: "X-Forwarded-Proto".to_owned(),
                value: Value::Known(String::new()),
                from: None,
            });
        }
    }
    request
}

/// The paths that a location names: as ordinary ones as a client would open.
fn paths(location: &Location) -> Vec<String> {
    match &location.matcher {
        Matcher::Exact(path) => vec![path.clone()],
        Matcher::Prefix { path, .. } => {
            let slash = if path.ends_with('/') { "" } else { "/" };
            let mut paths = vec![path.clone(), format!("{path}{slash}lobby/")];
            paths.push(format!("{path}{slash}lobby"));
            // Whatever lies below it has locations of its own.
            if location.is_catch_all() {
                paths.push("/ws/".to_owned());
            }
            paths
        }
        Matcher::Regex(pattern) => samples(&pattern.text, pattern.ignore_case)
            .into_iter()
            .map(|text| match text.starts_with('/') {
                true => text,
                false => format!("/{text}"),
            })
            .filter(|path| pattern.is_match(path) == Some(true))
            // No location is asked for a path that nginx makes another of.
            .filter(|path| normalise(path, true).is_some_and(|uri| uri.path == *path))
            .collect(),
        Matcher::Named(_) | Matcher::Unknown => Vec::new(),
    }
}

/// What a location shows of the upgrade by its own lines.
fn own_evidence(view: View<'_>, location: &Location) -> Option<Evidence> {
    let level = view.level(location.item);
    if matches!(location.matcher, Matcher::Named(_) | Matcher::Unknown) || level.conditional {
        return None;
    }
    for block in &location.blocks {
        let Some(condition) = upgrade_condition(view, *block) else {
            continue;
        };
        let led = view
            .level(*block)
            .answers
            .is_some_and(|answer| error_page(view, location, answer).is_some());
        if led || view.level(*block).pass.is_some() {
            return Some(Evidence::Intent { span: condition });
        }
    }
    let own: Vec<Line<'_>> = lines(view, location.item).collect();
    let evidence = intent(view, &own)?;
    // They may be there for the blocks within.
    let inner = location.children.is_empty();
    (inner || level.pass.is_some()).then_some(evidence)
}

/// The well-known endpoint that a location bears the name of, where it has no proxy that is a route
/// already.
fn endpoint(view: View<'_>, index: u32, location: &Location) -> Option<Evidence> {
    let level = view.level(location.item);
    let simple = location.children.is_empty() && location.blocks.is_empty() && !level.conditional;
    let evidence = simple.then(|| well_known_path(view, index, location))??;
    let passes = !level.handlers.is_empty();
    let moves = !level.rewrites.is_empty();
    match passes {
        true => moves && !is_below_endpoint(location),
        false => {
            !is_below_endpoint(location)
                && (is_meant(view, &evidence) || leads_to_upgrade(view, location))
        }
    }
    .then_some(evidence)
}

/// Whether all that a location does is to lead to a named one that sets the upgrade.
fn leads_to_upgrade(view: View<'_>, location: &Location) -> bool {
    let answer = view.level(location.item).answers;
    let named = answer.and_then(|answer| error_page(view, location, answer));
    named.is_some_and(|named| {
        let named = view.config.locations[named as usize].item;
        let own: Vec<Line<'_>> = lines(view, named).collect();
        intent(view, &own).is_some()
    })
}

fn takes(location: &Location, path: &str) -> bool {
    match &location.matcher {
        Matcher::Exact(own) => own == path,
        Matcher::Prefix { path: own, .. } => path.starts_with(own.as_str()),
        Matcher::Regex(pattern) => pattern.is_match(path) == Some(true),
        Matcher::Named(_) | Matcher::Unknown => false,
    }
}

/// Whether a server says where its files lie.
fn has_root(view: View<'_>, server: u32) -> bool {
    let item = view.config.servers[server as usize].item;
    view.children(item)
        .any(|item| view.directive(item).name() == "root")
}

/// Whether nobody who uses TLS meets the stray: a redirect of plain HTTP beside a server that
/// takes the same names over TLS; or nothing says that handshakes come to this server at all.
fn is_excused(view: View<'_>, project: &Project, stray: &Stray) -> bool {
    let edge = &project.config.edge;
    let End::Answered {
        cause: Cause::Redirect(item),
        ..
    } = stray.way.end
    else {
        return false;
    };
    // A path or a part of it, as in `rewrite ^(.*[^/])$ $1/ permanent`, leads to the same server.
    let is_path = |name: &str| {
        matches!(name, "uri" | "document_uri" | "request_uri") || name.parse::<u8>().is_ok()
    };
    let to_https = view.directive(item).args().iter().any(|word| {
        let by_variable = word.text.starts_with('$')
            && variables(&word.text)
                .first()
                .is_some_and(|name| !is_path(name));
        word.templated || word.text.starts_with("https://") || by_variable
    });
    if !to_https {
        let mut words = view.directive(item).args().iter();
        let adds_slash = words.any(|word| word.text.starts_with('$') && word.text.ends_with('/'));
        return adds_slash && takes_both_forms(&stray.evidence);
    }
    if stray.tls || edge.speaks_plain_http() {
        return false;
    }
    let own = &view.config.servers[stray.server as usize];
    let named = |index: usize| {
        let other = &view.config.servers[index];
        (other.names.is_empty() && own.names.is_empty())
            || other.names.iter().any(|name| own.names.contains(name))
            || own.names.iter().any(|name| other.rank(name).is_some())
    };
    let sibling = (0..view.config.servers.len()).any(|index| {
        view.config.servers[index]
            .listens
            .iter()
            .any(|listen| listen.tls)
            && named(index)
    });
    // Without a block that upgrades, a plain server that redirects has its TLS server elsewhere.
    sibling || stray.right.is_none()
}

/// Whether an application takes a path with the slash at its end and without: clients may ask for
/// the one to which a redirect leads.
fn takes_both_forms(evidence: &Evidence) -> bool {
    let Evidence::Application { pattern, .. } = evidence else {
        return false;
    };
    let end = pattern.trim_end_matches("\\Z").trim_end_matches('$');
    end.ends_with("/?") || end.ends_with("/*")
}

/// The servers of `view` to which a URL goes: those in whose locations its path is named, else all.
pub(super) fn servers_for(view: View<'_>, path: &str) -> Vec<u32> {
    let all = 0..view.config.servers.len() as u32;
    let named: Vec<u32> = all
        .clone()
        .filter(|server| match view.find_location(*server, path) {
            location::Found::Location(index) => {
                let location = &view.config.locations[index as usize];
                !location.is_catch_all() && !matches!(location.matcher, Matcher::Named(_))
            }
            location::Found::Slash(_) => true,
            location::Found::Nowhere | location::Found::Unknown => false,
        })
        .collect();
    if named.is_empty() {
        all.collect()
    } else {
        named
    }
}

/// A `proxy_pass` and one of the servers that it leads to.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The server that passes the requests on.
    pub server: u32,
    /// The host that gets them, lower case, and its port.
    pub target: (String, u16),
    /// Whether it upgrades and asks for another path than the client: a prefix is taken away.
    pub moves: bool,
}

impl View<'_> {
    /// Every `proxy_pass` of the configuration, with what it leads to.
    pub fn passes(self) -> Vec<Pass> {
        let browsers = handshakes();
        let of_block = |server: u32, block: ItemId| {
            let pass = self.level(block).pass;
            let url = pass.and_then(|pass| self.directive(pass).arg(0));
            let url = url.unwrap_or_default();
            let has_path = url
                .split_once("://")
                .is_some_and(|(_, rest)| rest.contains('/'));
            let moves = (has_path || !self.level(block).rewrites.is_empty())
                && upgrades(self, block, browsers);
            targets(self, url).into_iter().map(move |target| Pass {
                server,
                target,
                moves,
            })
        };
        self.config
            .locations
            .iter()
            .flat_map(|location| {
                std::iter::once(location.item)
                    .chain(location.blocks.iter().copied())
                    .flat_map(move |block| of_block(location.server, block))
            })
            .collect()
    }
}

/// The hosts and ports behind the URL of a `proxy_pass`.
fn targets(view: View<'_>, url: &str) -> Vec<(String, u16)> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Vec::new();
    };
    let default = if scheme == "https" { 443 } else { 80 };
    let split = |authority: &str| match authority.rsplit_once(':') {
        Some((host, port)) => (host.to_ascii_lowercase(), port.parse().unwrap_or(default)),
        None => (authority.to_ascii_lowercase(), default),
    };
    let authority = rest.split(['/', '$', '?']).next().unwrap_or_default();
    match view.config.upstreams.get(authority) {
        Some(upstream) => view
            .children(*upstream)
            .map(|server| view.directive(server))
            .filter(|server| server.name() == "server")
            .filter_map(|server| server.arg(0))
            .take(MAX_SERVERS)
            .map(split)
            .collect(),
        None => vec![split(authority)],
    }
}

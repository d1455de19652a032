//! `nginx/subrequest-upgrade`: `auth_request` or `mirror` asks a server of its own with the headers
//! of the upgrade, and its 101 ends the client's connection.

use super::{Causes, Place, upgrading};
use crate::context::Context;
use crate::finding::{Finding, Report};
use crate::handshake::Evidence;
use crate::nginx::address::Address;
use crate::nginx::headers::{
    Effective, Half, KEEPALIVE_BY_DEFAULT, Line, Sent, handshakes, http_version, sent,
};
use crate::nginx::location::{Found, Matcher};
use crate::nginx::model::ItemId;
use crate::nginx::route::Route;
use crate::rule::Severity;

/// Reports every route whose subrequest is a handshake as well.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for place in upgrading(cx) {
        for name in ["auth_request", "mirror"] {
            let setting = place.view.setting(place.route.block, name);
            if setting.unseen.is_some() {
                continue;
            }
            for item in setting.items {
                let Some(asked) = asked(&place, item) else {
                    continue;
                };
                let route = (place.head(item), "sends it for this route".to_owned());
                causes.add(place.head(asked.upgrade), Some(route), || {
                    finding(&place, name, &asked, report)
                });
            }
        }
    }
    causes.report(report);
}

/// A subrequest that asks for the upgrade.
struct Asked {
    /// Its location.
    location: ItemId,
    /// The `proxy_pass` there.
    pass: ItemId,
    /// The line that sends it `Upgrade`.
    upgrade: ItemId,
    /// Whether it goes to the upstream of a route.
    to_sockets: bool,
    /// Whether it asks that upstream for a path at which it surely opens WebSockets.
    opens: bool,
}

/// What a subrequest asks for the upgrade, if it surely does.
fn asked(place: &Place<'_>, item: ItemId) -> Option<Asked> {
    let view = place.view;
    let word = view.directive(item).args().first()?;
    if word.templated || word.text.contains('$') || !word.text.starts_with('/') {
        return None;
    }
    let path = word.text.split('?').next().unwrap_or_default();
    let server = view.config.locations[place.route.location as usize].server;
    let Found::Location(index) = view.find_location(server, path) else {
        return None;
    };
    let location = &view.config.locations[index as usize];
    let level = view.level(location.item);
    let pass = level.pass?;
    // What runs before the pass may answer, or lead elsewhere.
    let plain = level.rewrites.is_empty()
        && level.try_files.is_none()
        && level.answers.is_none()
        && !level.scripted
        && !level.conditional
        && level.handlers.last() == Some(&pass)
        && !matches!(location.matcher, Matcher::Unknown);
    let off = view
        .in_force(location.item, "proxy_pass_request_headers")
        .is_some_and(|item| view.directive(item).arg(0) == Some("off"));
    if !plain
        || off
        || view.directive(pass).name() != "proxy_pass"
        || !speaks_1_1(place, location.item)
    {
        return None;
    }
    let effective = Effective::at(view, location.item);
    if effective.unseen.is_some() {
        return None;
    }
    let lines: Vec<Line<'_>> = effective.lines(view).collect();
    let requests = handshakes();
    let right = |half: Half| {
        let sent = sent(view, location.item, lines.iter().copied(), half, requests);
        sent == Sent::Right
    };
    if !right(Half::Upgrade) || !right(Half::Connection) {
        return None;
    }
    // The handshake is whole only with its key, which a line may take away.
    let upgrade = lines.iter().rfind(|line| line.means("Upgrade"))?.item;
    let blank = |line: &Line<'_>| {
        line.name
            .get(..13)
            .is_some_and(|name| name.eq_ignore_ascii_case("sec-websocket"))
    };
    if lines.iter().any(blank) {
        return None;
    }
    // The path as the upstream sees it.
    let url = view.directive(pass).arg(0)?;
    let uri = url
        .split_once("://")
        .and_then(|(_, rest)| Some(&rest[rest.find('/')?..]));
    let to_sockets = is_of_sockets(place, pass);
    Some(Asked {
        location: location.item,
        pass,
        upgrade,
        to_sockets,
        opens: to_sockets && is_endpoint(place, uri.unwrap_or(path)),
    })
}

/// Whether an endpoint or a route of the application is this very path: elsewhere an application may
/// well answer the subrequest as the plain request that it is meant to be.
fn is_endpoint(place: &Place<'_>, path: &str) -> bool {
    let is_it = |known: &str| known.trim_matches('/') == path.trim_matches('/');
    let routes = place.cx.nginx.routes.iter();
    routes
        .filter(|route| route.config == place.route.config)
        .flat_map(|route| &route.evidence)
        .any(|evidence| match evidence {
            Evidence::Declared { endpoint } => {
                let rest = endpoint
                    .split_once("://")
                    .map_or(&**endpoint, |(_, rest)| rest);
                rest.find('/').is_some_and(|at| is_it(&rest[at..]))
            }
            Evidence::Application { pattern, .. } => {
                is_it(pattern.trim_start_matches('^').trim_end_matches('$'))
            }
            _ => false,
        })
}

/// Whether the upstream of a subrequest is the route's own, or that of a known application.
fn is_of_sockets(place: &Place<'_>, pass: ItemId) -> bool {
    let address = |item| {
        let text = place.view.directive(item).arg(0)?;
        let address = Address::read(text).filter(|_| !text.contains('$'))?;
        (address.host != "unix").then(|| (address.host.to_ascii_lowercase(), address.reached()))
    };
    let Some(asked) = address(pass) else {
        return false;
    };
    let is_asked = |route: &Route| address(route.pass).as_ref() == Some(&asked);
    let is_named = |route: &Route| {
        route.config == place.route.config
            && route.evidence.iter().any(|evidence| {
                matches!(
                    evidence,
                    Evidence::Declared { .. } | Evidence::Application { .. }
                )
            })
    };
    let mut routes = place.cx.nginx.routes.iter();
    is_asked(place.route) || routes.any(|route| is_named(route) && is_asked(route))
}

fn speaks_1_1(place: &Place<'_>, location: ItemId) -> bool {
    match http_version(place.view, location) {
        Some((version, _)) => version == "1.1",
        None => {
            let target = place.view.config.target;
            target.is_some_and(|target| target >= KEEPALIVE_BY_DEFAULT)
        }
    }
}

fn finding(place: &Place<'_>, name: &str, asked: &Asked, report: &Report<'_>) -> Finding {
    let location = place.level(asked.location);
    // Of a mirror nothing is waited for: it ends the connection only if its answer comes in time.
    let closes = name == "auth_request" && asked.opens;
    let message = if closes {
        format!(
            "no WebSocket opens at {}: what `auth_request` asks is a handshake too, and its 101 closes the connection",
            place.name()
        )
    } else {
        format!(
            "what `{name}` sends for {} is a handshake too, and a 101 to it closes the connection",
            place.name()
        )
    };
    let severity = if closes {
        Severity::Error
    } else {
        Severity::Warning
    };
    let sent_to = if asked.to_sockets {
        "goes to a server that opens WebSockets"
    } else {
        "a server that opens WebSockets answers 101 here"
    };
    let note = "nginx takes no 101 in a subrequest: it logs `connection upgrade in subrequest` and closes the client's connection, close code 1006";
    let mut finding = report
        .finding(
            message,
            place.head(asked.upgrade),
            format!("sent from {location} as well"),
        )
        .severity(severity)
        .label(place.head(asked.pass), sent_to)
        .note(note);
    if name == "auth_request" && !closes {
        finding = finding.note("only an application that answers this path as if no upgrade were asked for lets the sockets open; a server that refuses the upgrade with 400 or 426 makes it 500: only 2xx, 401 and 403 mean something to `auth_request`");
    }
    let indent = place.indent(asked.pass);
    finding.help(format!(
        "write in {location}:\n{indent}proxy_set_header Upgrade \"\";\n{indent}proxy_set_header Connection \"\";{}",
        keep(place, asked)
    ))
}

/// The lines of an outer level, which two of its own would discard.
fn keep(place: &Place<'_>, asked: &Asked) -> String {
    let view = place.view;
    let indent = place.indent(asked.pass);
    let effective = Effective::at(view, asked.location);
    if effective.level == Some(asked.location) {
        return "\nin place of the two that are there".to_owned();
    }
    effective
        .lines(view)
        .filter(|line| !line.means("Upgrade") && !line.means("Connection"))
        .map(|line| format!("\n{indent}{};", place.quote(line.item)))
        .collect()
}

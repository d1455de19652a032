//! The rules: one file each, which gives one loss of a [`Route`] its name and its explanation.
//!
//! What they share is here: how to name a location, say why it is a route, and write the lines
//! that it lacks.

pub mod answered_locally;
pub mod cached_answer;
pub mod cannot_upgrade;
pub mod connection_limits;
pub mod connection_value;
pub mod csp_blocks_websocket;
pub mod duplicate_headers;
pub mod error_page_status;
mod fixes;
pub mod forwarded_proto_redirect;
pub mod handshake_headers_dropped;
pub mod headers_not_inherited;
pub mod host_not_forwarded;
pub mod http_version;
pub mod map_misses_browsers;
pub mod map_never_upgrades;
pub mod path_changed;
pub mod plain_http2_listener;
pub mod read_timeout;
pub mod redirects_handshake;
pub mod refused;
pub mod response_headers_spoiled;
pub mod shadowed_location;
pub mod static_fallback;
pub mod static_upgrade;
pub mod sticky_sessions;
mod strays;
pub mod subrequest_upgrade;
pub mod trailing_slash_redirect;
pub mod unknown_variable;
pub mod upgrade_half_forwarded;
pub mod upgrade_not_forwarded;
pub mod upgrade_value;
pub mod upstream_address;

#[cfg(test)]
mod fix_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod value_tests;

use std::collections::BTreeMap;

use super::headers::{Half, KEEPALIVE_BY_DEFAULT, Line, http_version, lines};
use super::model::{Context as Block, ItemId, ROOT, View};
use super::route::{Loss, Route};
use crate::context::Context;
use crate::finding::{Finding, Report};
use crate::handshake::Evidence;
use crate::source::Span;

/// Places that one finding points at, before it says how many more there are.
const MAX_PLACES: usize = 6;

/// Why the upstream refuses, for the notes.
const REFUSAL: &str = "the upstream sees an ordinary GET and answers 400, 404 or 426, and the browser reports close code 1006";

/// A route that loses something, with what a check needs to talk about it.
#[derive(Clone, Copy)]
struct Place<'a> {
    cx: &'a Context<'a>,
    route: &'a Route,
    view: View<'a>,
}

/// All routes.
fn places<'a>(cx: &'a Context<'a>) -> impl Iterator<Item = Place<'a>> {
    cx.nginx.routes.iter().map(move |route| Place {
        cx,
        route,
        view: cx.nginx.view(route.config),
    })
}

/// The routes that lose something which nobody behind makes good.
fn lost<'a>(cx: &'a Context<'a>) -> impl Iterator<Item = (Place<'a>, &'a Loss)> {
    places(cx)
        .filter(|place| !place.is_refused())
        .filter_map(|place| Some((place, place.route.loss.as_ref()?)))
        .filter(|(place, _)| !cx.mended().has(cx, place.route))
}

/// The routes that both headers of the upgrade get through.
fn upgrading<'a>(cx: &'a Context<'a>) -> impl Iterator<Item = Place<'a>> {
    places(cx).filter(|place| place.route.loss.is_none() && !place.is_refused())
}

/// Findings by the place that one would change: one cause, one finding, with all its routes.
#[derive(Default)]
struct Causes {
    by_span: BTreeMap<Span, Cause>,
}

struct Cause {
    finding: Finding,
    routes: Vec<(Span, String)>,
    /// Routes beyond those.
    more: usize,
}

impl Causes {
    /// Adds a route that `cause` breaks; `finding` makes the finding of a cause not seen before.
    fn add(
        &mut self,
        cause: Span,
        route: Option<(Span, String)>,
        finding: impl FnOnce() -> Finding,
    ) {
        let known = self.by_span.entry(cause).or_insert_with(|| Cause {
            finding: finding(),
            routes: Vec::new(),
            more: 0,
        });
        match route {
            // A file that several others include comes by more than once.
            Some((span, _)) if known.routes.iter().any(|(known, _)| *known == span) => {}
            Some(route) if known.routes.len() < MAX_PLACES => known.routes.push(route),
            Some(_) => known.more += 1,
            None => {}
        }
    }

    fn report(self, report: &mut Report<'_>) {
        for Cause {
            mut finding,
            routes,
            more,
        } in self.by_span.into_values()
        {
            for (span, message) in routes {
                if !finding.spans().any(|known| known == span) {
                    finding = finding.label(span, message);
                }
            }
            if more > 0 {
                finding = finding.note(format!("it breaks {more} more locations"));
            }
            report.push(finding);
        }
    }
}

impl<'a> Place<'a> {
    /// Whether nginx refuses a directive on the way to the route, so that what would be sent there
    /// says nothing until that is mended.
    fn is_refused(&self) -> bool {
        let refusals = &self.view.config.refusals;
        !refusals.is_empty()
            && self.view.outward(self.route.block).any(|level| {
                refusals.iter().any(|refusal| {
                    let mut at = refusal.level;
                    // One in an `if` of the location belongs to it.
                    while at != ROOT && self.view.context(at) == Block::If {
                        at = self.view.item(at).parent;
                    }
                    at == level
                })
            })
    }

    /// From the name to the last argument of an item.
    fn head(&self, item: ItemId) -> Span {
        self.view.directive(item).head()
    }

    /// The text of a head, on one line.
    fn quote(&self, item: ItemId) -> String {
        let text = self.cx.project.slice(self.head(item));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The location of the route.
    fn location(&self) -> ItemId {
        self.view.config.locations[self.route.location as usize].item
    }

    /// The location by name: `` `location /ws/` ``.
    fn name(&self) -> String {
        format!("`{}`", self.quote(self.location()))
    }

    /// A level by name: `` `location /ws/` `` or `` the `server` block ``.
    fn level(&self, level: ItemId) -> String {
        match self.view.context(level) {
            Block::Location => format!("`{}`", self.quote(level)),
            Block::Http if level != ROOT => "the `http` block".to_owned(),
            Block::Server if level != ROOT => "the `server` block".to_owned(),
            _ => "the top of this file".to_owned(),
        }
    }

    /// The label of a route that a cause elsewhere breaks.
    fn broken(&self) -> Option<(Span, String)> {
        Some((
            self.head(self.location()),
            "no WebSocket opens through this location".to_owned(),
        ))
    }

    /// The `proxy_pass` of the route.
    fn pass(&self) -> Span {
        self.head(self.route.pass)
    }

    /// The lines that apply to the route.
    fn lines(&self) -> Vec<Line<'a>> {
        self.route.effective.lines(self.view).collect()
    }

    /// Points at the servers that break, where others read the same location from the same file
    /// and do not.
    fn in_servers(&self, mut finding: Finding) -> Finding {
        let same = self.cx.nginx.beside(self.route).map(|route| Place {
            cx: self.cx,
            route,
            view: self.cx.nginx.view(route.config),
        });
        let (broken, whole): (Vec<_>, Vec<_>) = same.partition(|place| place.route.loss.is_some());
        if whole.is_empty() {
            return finding;
        }
        for place in broken.iter().take(MAX_PLACES) {
            let mut outward = place.view.outward(place.location());
            let server =
                outward.find(|level| *level != ROOT && place.view.context(*level) == Block::Server);
            if let Some(server) = server {
                finding = finding.label(place.head(server), "it breaks in this server");
            }
        }
        finding
    }

    /// Says why sockets are expected here, unless the finding points there anyway.
    fn because(&self, finding: Finding) -> Finding {
        let finding = self.in_servers(finding);
        because(self.cx, finding, self.route.evidence.first())
    }

    /// Whether nginx's default leaves the upstream with HTTP/1.0.
    fn defaults_to_http_1_0(&self) -> bool {
        let target = self.view.config.target;
        http_version(self.view, self.route.block).is_none()
            && target.is_none_or(|target| target < KEEPALIVE_BY_DEFAULT)
    }

    /// Help: the version, where nginx's default would still not do.
    fn version_help(&self) -> Option<String> {
        self.defaults_to_http_1_0().then(|| {
            let indent = self.indent(self.route.pass);
            format!("before 1.29.7 nginx speaks HTTP/1.0 to upstreams by default, and a WebSocket needs 1.1; write as well:\n{indent}proxy_http_version 1.1;")
        })
    }

    /// The level at which lines for the route are written: its location, since `if` takes none.
    fn own_level(&self) -> ItemId {
        let mut level = self.route.block;
        while level != ROOT && matches!(self.view.context(level), Block::If | Block::LimitExcept) {
            level = self.view.item(level).parent;
        }
        level
    }

    /// The blanks before the line on which `item` stands.
    fn indent(&self, item: ItemId) -> String {
        let span = self.head(item);
        let text = &self.cx.project.source(span.source).text;
        let line = text[..span.start as usize]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let before = &text[line..span.start as usize];
        if before.trim().is_empty() {
            before.to_owned()
        } else {
            "    ".to_owned()
        }
    }

    /// The value to give `Connection`, and the map that it needs if there is none yet.
    fn connection_value(&self) -> (String, Option<&'static str>) {
        match super::evidence::upgrade_variable(self.view) {
            Some(name) => (format!("${name}"), None),
            None if self.route.is_dedicated(self.view) => ("\"upgrade\"".to_owned(), None),
            None => ("$connection_upgrade".to_owned(), Some(MAP)),
        }
    }

    /// Help: the lines that the route's location lacks, ready to paste. Those of an outer level
    /// that apply today are repeated, since one line of its own would discard them.
    fn lines_to_add(&self, halves: &[Half]) -> Vec<String> {
        let indent = self.indent(self.route.pass);
        let (connection, map) = self.connection_value();
        let mut wanted = Vec::new();
        match http_version(self.view, self.route.block) {
            None if self.defaults_to_http_1_0() => {
                wanted.push("proxy_http_version 1.1;".to_owned())
            }
            _ => {}
        }
        if self.view.level(self.own_level()).headers.is_empty() {
            let repeated = self
                .lines()
                .into_iter()
                .filter(|line| !line.means("Upgrade") && !line.means("Connection"));
            wanted.extend(repeated.map(|line| match line.word {
                Some(word) => {
                    let value = self.cx.project.slice(word.span);
                    format!("proxy_set_header {} {value};", line.name)
                }
                None => format!("proxy_set_header {} {};", line.name, line.text),
            }));
        }
        for half in halves {
            wanted.push(match half {
                Half::Upgrade => "proxy_set_header Upgrade $http_upgrade;".to_owned(),
                Half::Connection => format!("proxy_set_header Connection {connection};"),
            });
        }
        let block: Vec<String> = wanted
            .iter()
            .map(|line| format!("{indent}{line}"))
            .collect();
        let mut help = vec![format!(
            "write in {}:\n{}",
            self.level(self.own_level()),
            block.join("\n")
        )];
        if let Some(map) = map.filter(|_| halves.contains(&Half::Connection)) {
            help.push(format!("and in the `http` block, once:\n{map}"));
        }
        if let Some(("1.0", _)) = http_version(self.view, self.route.block) {
            help.push(
                "a WebSocket also needs `proxy_http_version 1.1;` in place of 1.0".to_owned(),
            );
        }
        help
    }

    /// Help: what to write in place of a line, and the map that it needs.
    fn instead(&self, half: Half, item: ItemId) -> Vec<String> {
        let (value, map) = match half {
            Half::Upgrade => ("$http_upgrade".to_owned(), None),
            Half::Connection => self.connection_value(),
        };
        let indent = self.indent(item);
        let mut help = vec![format!(
            "write instead:\n{indent}proxy_set_header {} {value};",
            half.name()
        )];
        if let Some(map) = map {
            help.push(format!("and in the `http` block, once:\n{map}"));
        }
        help.extend(self.version_help());
        help
    }
}

/// Says why sockets are expected, unless the finding points there anyway.
fn because(cx: &Context<'_>, finding: Finding, evidence: Option<&Evidence>) -> Finding {
    let (span, message) = match evidence {
        Some(Evidence::Declared { endpoint }) => {
            let declared = cx
                .project
                .config
                .endpoints
                .iter()
                .find(|known| known.endpoint == *endpoint);
            match declared.and_then(|known| known.span) {
                Some(span) => (span, "declared as a WebSocket endpoint here".to_owned()),
                None => {
                    return finding
                        .note(format!("`{endpoint}` is declared as a WebSocket endpoint"));
                }
            }
        }
        Some(other) => match other.shown() {
            Some(shown) => shown,
            None => return finding,
        },
        None => return finding,
    };
    if finding
        .spans()
        .any(|known| known == span || span.contains(known))
    {
        return finding;
    }
    finding.label(span, message)
}

/// The map of nginx's own documentation (websocket.html).
const MAP: &str = "map $http_upgrade $connection_upgrade {
    default upgrade;
    ''      close;
}";

/// Attaches a fix, if there is one.
fn with_fix(finding: Finding, fix: Option<crate::finding::Fix>) -> Finding {
    match fix {
        Some(fix) => finding.fix(fix),
        None => finding,
    }
}

/// Adds several help messages.
fn with_help(mut finding: Finding, help: Vec<String>) -> Finding {
    for text in help {
        finding = finding.help(text);
    }
    finding
}

/// The line of `level` that sets a header.
fn line_of<'a>(view: View<'a>, level: ItemId, half: Half) -> Option<Line<'a>> {
    lines(view, level).find(|line| line.means(half.name()))
}

/// With a capital at its start.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

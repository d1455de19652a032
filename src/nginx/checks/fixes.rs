//! Fixes of the header rules: edits that send a handshake's whole set of headers on.
//!
//! One line of its own discards all that a level inherits, so what applies today is written down
//! again with what was missing. A fix is safe where no other request is changed by it: what a
//! page's request sends as Connection is compared before and after, in every block that the
//! edited level reaches. `"upgrade"` is written only where nothing but sockets passes; elsewhere
//! the value comes from a map, which the `http` block gets if it has none.

use std::cell::OnceCell;
use std::collections::HashSet;

use super::{Place, line_of};
use crate::finding::Applicability::{Safe, Unsafe};
use crate::finding::{Applicability, Edit, Fix};
use crate::handshake::{Header, Request};
use crate::nginx::evidence::upgrade_variable;
use crate::nginx::headers::{Effective, Half, Line, handshakes, outgoing};
use crate::nginx::model::{Context as Block, ItemId, ROOT, View};
use crate::nginx::route::Loss;
use crate::nginx::variables::{Scope, Step};
use crate::source::{Source, Span};
use crate::syntax::Word;
use crate::value::Value;

/// The fix of what a route loses.
pub(super) fn headers(place: &Place<'_>) -> Option<Fix> {
    let view = place.view;
    let own = place.own_level();
    let level = place.route.effective.level;
    let mut plan = Plan::new(place, own);
    match place.route.loss.as_ref()? {
        Loss::Both { connection } if level == Some(own) => {
            let mut halves = vec![Half::Upgrade];
            match connection {
                Some(line) if plan.is_direct(*line) => plan.set(Half::Connection, *line)?,
                // What an included file sends beside it stays; only an empty line does no harm.
                Some(line) if view.directive(*line).arg(1) != Some("") => return None,
                _ => halves.push(Half::Connection),
            }
            plan.add(&halves, own, None)?;
        }
        Loss::Both { .. } => plan.restate(own)?,
        Loss::Half { missing, present } => {
            let level = level?;
            let anchor = if level == own { None } else { Some(*present) };
            plan.add(&[*missing], level, anchor)?;
        }
        Loss::NotInherited { outer, inner } => plan.repeat(*outer, *inner)?,
        Loss::Value {
            half,
            item,
            steps,
            other,
            ..
        } => {
            if *half == Half::Connection && !steps.is_empty() {
                return None;
            }
            plan.set(*half, *item)?;
            if let Some(other) = other {
                plan.set(half.other(), *other)?;
            }
            plan.add(&[], level?, Some(*item))?;
        }
        Loss::Undefined { .. } | Loss::NoUpgrade => return None,
    }
    plan.finish("forward the upgrade")
}

/// The fix of a route whose upstream is spoken to in the wrong version of HTTP.
pub(super) fn version(place: &Place<'_>) -> Option<Fix> {
    let own = place.own_level();
    let mut plan = Plan::new(place, own);
    plan.add(&[], own, None)?;
    plan.finish("speak HTTP/1.1 to the upstream")
}

/// The fix of a map of `$http_upgrade`: an entry for `websocket`, which as a literal key comes
/// before all others. No other request meets it.
pub(super) fn map(place: &Place<'_>, step: Step) -> Option<Fix> {
    let view = place.cx.nginx.view(step.config);
    let map = view.directive(step.map);
    let source = place.cx.project.source(map.head().source);
    if source.is_template() || !map.arg(0)?.eq_ignore_ascii_case("$http_upgrade") {
        return None;
    }
    let mut entries = view
        .children(step.map)
        .filter(|entry| view.item(*entry).via == view.item(step.map).via);
    let literal = view.children(step.map).find(|entry| {
        view.directive(*entry)
            .name()
            .eq_ignore_ascii_case("websocket")
    });
    let edit = match literal {
        Some(entry) => Edit {
            span: view.directive(entry).args().first()?.span,
            text: "upgrade".to_owned(),
        },
        None => after(
            source,
            view.directive(entries.next()?).span(),
            &["websocket upgrade;".to_owned()],
        ),
    };
    Some(Fix {
        title: "let the map say `upgrade` for `websocket`".to_owned(),
        applicability: if place.defaults_to_http_1_0() {
            return None;
        } else {
            Safe
        },
        edits: vec![edit],
    })
}

/// Edits in the making.
struct Plan<'p, 'a> {
    place: &'p Place<'a>,
    /// The level that lines for the route are written at.
    own: ItemId,
    edits: Vec<Edit>,
    /// Levels whose Connection line the edits decide about.
    decided: Vec<ItemId>,
    /// Whether the value for Connection is written by us; else it is that of an outer level.
    connection: Option<Connection>,
    applicability: Applicability,
    /// The blocks of routes that the edits mend, collected when first asked for.
    mended: OnceCell<HashSet<ItemId>>,
}

/// What is written as the value of Connection.
#[derive(Clone)]
struct Connection {
    text: String,
    /// What it sends with a page's request; `None` if that is not certain.
    plain: Option<String>,
    /// The map that gives it is yet to be written.
    new_map: bool,
}

impl<'p, 'a> Plan<'p, 'a> {
    fn new(place: &'p Place<'a>, own: ItemId) -> Self {
        Self {
            place,
            own,
            edits: Vec::new(),
            decided: Vec::new(),
            connection: None,
            applicability: Safe,
            mended: OnceCell::new(),
        }
    }

    fn view(&self) -> View<'a> {
        self.place.view
    }

    fn source(&self, item: ItemId) -> &'a Source {
        let cx = self.place.cx;
        cx.project.source(self.view().directive(item).head().source)
    }

    /// Whether a line stands in its level's own block, not in a file that is included there.
    fn is_direct(&self, item: ItemId) -> bool {
        let view = self.view();
        match view.item(item).parent {
            ROOT => view.item(item).via == ROOT,
            parent => view.item(item).via == view.item(parent).via,
        }
    }

    /// Puts the right value into a line.
    fn set(&mut self, half: Half, item: ItemId) -> Option<()> {
        let view = self.view();
        let [name, value] = view.directive(item).args() else {
            return None;
        };
        let text = self.value(half, view.item(item).parent)?;
        self.edits.push(Edit {
            span: value.span,
            text,
        });
        if name.text.ends_with(':') {
            self.edits.push(Edit {
                span: name.span,
                text: half.name().to_owned(),
            });
        }
        Some(())
    }

    /// The value of a header for lines at `level`.
    fn value(&mut self, half: Half, level: ItemId) -> Option<String> {
        if half == Half::Upgrade {
            return Some("$http_upgrade".to_owned());
        }
        self.decided.push(level);
        if self.connection.is_none() {
            self.connection = Some(self.choose(level)?);
        }
        self.connection.as_ref().map(|chosen| chosen.text.clone())
    }

    fn choose(&mut self, level: ItemId) -> Option<Connection> {
        let view = self.view();
        if let Some(name) = upgrade_variable(view) {
            let text = format!("${name}");
            let plain = plain_value(view, &text);
            return Some(Connection {
                text,
                plain,
                new_map: false,
            });
        }
        let fixed = Connection {
            text: "\"upgrade\"".to_owned(),
            plain: Some("upgrade".to_owned()),
            new_map: false,
        };
        let only_sockets = level == self.own && self.place.route.is_dedicated(view);
        if only_sockets || http_of(view, self.own).is_none() {
            return Some(fixed);
        }
        if view.may_define("connection_upgrade") || !view.config.complete {
            return None;
        }
        let before = self.before(self.place.route.block)?;
        if !matches!(before.as_str(), "" | "close") {
            return None;
        }
        Some(Connection {
            text: "$connection_upgrade".to_owned(),
            plain: Some(before),
            new_map: true,
        })
    }

    /// What a page's request through `block` sends as Connection today.
    fn before(&self, block: ItemId) -> Option<String> {
        let target = self.view().config.target;
        let request = page();
        let sent = outgoing(self.view(), block, &request, target);
        let mut values = Vec::new();
        for line in sent.lines("Connection") {
            match &line.value {
                Value::Known(value) => values.push(value.clone()),
                // Without a target the default is that of the versions that most people run.
                Value::OneOf(values_) if line.from.is_none() && target.is_none() => {
                    values.extend(values_.first().cloned());
                }
                _ => return None,
            }
        }
        values.retain(|value| !value.is_empty());
        match values.as_slice() {
            [] => Some(String::new()),
            [one] => Some(one.clone()),
            _ => None,
        }
    }

    /// Adds the lines for `halves` at `level`, and the version where the route needs it: after
    /// `anchor`, or where it fits best.
    fn add(&mut self, halves: &[Half], level: ItemId, anchor: Option<ItemId>) -> Option<()> {
        let mut lines = Vec::new();
        for half in halves {
            let value = self.value(*half, level)?;
            lines.push(format!("proxy_set_header {} {value};", half.name()));
        }
        self.write(lines, level, anchor)
    }

    /// Writes down at `own` what it inherits today, with the pair.
    fn restate(&mut self, own: ItemId) -> Option<()> {
        let repeated: Vec<Line<'_>> = self.place.lines();
        let mut lines: Vec<String> = repeated
            .iter()
            .filter(|line| !line.means("Upgrade") && !line.means("Connection"))
            .map(|line| self.written(line))
            .collect();
        for half in [Half::Upgrade, Half::Connection] {
            let value = self.value(half, own)?;
            lines.push(format!("proxy_set_header {} {value};", half.name()));
        }
        self.write(lines, own, None)
    }

    /// Repeats the pair of `outer` at `inner`, which discards it.
    fn repeat(&mut self, outer: ItemId, inner: ItemId) -> Option<()> {
        let view = self.view();
        let mut lines = Vec::new();
        for half in [Half::Upgrade, Half::Connection] {
            let here = line_of(view, inner, half);
            if here.is_some_and(|line| !line.text.is_empty()) {
                continue;
            }
            let line = line_of(view, outer, half)?;
            if half == Half::Connection {
                self.decided.push(inner);
                self.connection = Some(Connection {
                    text: line.text.to_owned(),
                    plain: plain_value(view, line.text),
                    new_map: false,
                });
            }
            lines.push(self.written(&line));
        }
        self.write(lines, inner, None)
    }

    /// A line as it is written.
    fn written(&self, line: &Line<'_>) -> String {
        let value = line.word.map_or(line.text, |word: &Word| {
            self.place.cx.project.slice(word.span)
        });
        format!("proxy_set_header {} {value};", line.name)
    }

    fn write(
        &mut self,
        mut lines: Vec<String>,
        level: ItemId,
        anchor: Option<ItemId>,
    ) -> Option<()> {
        if let Some(version) = self.version(level)? {
            lines.insert(0, version);
        }
        if lines.is_empty() {
            return Some(());
        }
        let anchor = match anchor.filter(|anchor| self.is_direct(*anchor)) {
            Some(anchor) => anchor,
            None => self.anchor(level)?,
        };
        let span = self.view().directive(anchor).span();
        self.edits.push(after(self.source(anchor), span, &lines));
        Some(())
    }

    /// The line for the version to write at `level`, if the route needs one there. A line in the
    /// level itself is changed, since nginx refuses a second one.
    fn version(&mut self, level: ItemId) -> Option<Option<String>> {
        const LINE: &str = "proxy_http_version 1.1;";
        let view = self.view();
        let block = self.place.route.block;
        let in_force = view
            .outward(block)
            .find_map(|level| view.level(level).version);
        let Some(item) = in_force else {
            if self.place.defaults_to_http_1_0() {
                self.note_version(level);
                return Some(Some(LINE.to_owned()));
            }
            return Some(None);
        };
        let directive = view.directive(item);
        if !matches!(directive.arg(0), Some("1.0" | "2")) {
            return Some(None);
        }
        if view.item(item).parent == level || view.item(item).parent == self.own {
            if !self.is_direct(item) {
                return None;
            }
            self.note_version(view.item(item).parent);
            self.edits.push(Edit {
                span: directive.args().first()?.span,
                text: "1.1".to_owned(),
            });
            return Some(None);
        }
        self.note_version(level);
        Some(Some(LINE.to_owned()))
    }

    /// A version at an outer level, or above further locations, changes them as well.
    fn note_version(&mut self, level: ItemId) {
        let view = self.view();
        let reached = passing(view, level).any(|block| {
            let own = view
                .outward(block)
                .take_while(|outer| *outer != level)
                .any(|inner| view.level(inner).version.is_some());
            !own && block != self.place.route.block && !self.is_mended(block)
        });
        if reached {
            self.applicability = Unsafe;
        }
    }

    /// Whether a block is a route that the same edits mend.
    fn is_mended(&self, block: ItemId) -> bool {
        let mended = self.mended.get_or_init(|| {
            let ours = self.place.route;
            let routes = self.place.cx.nginx.routes.iter();
            routes
                .filter(|route| {
                    route.config == ours.config
                        && route.loss.is_some()
                        && route.effective.level == ours.effective.level
                        && (route.location == ours.location
                            || ours.effective.level != Some(self.own))
                })
                .map(|route| route.block)
                .collect()
        });
        mended.contains(&block)
    }

    /// A directive of the level's own block to write lines after: its last header, else what it
    /// passes to, else whatever stands there.
    fn anchor(&self, level: ItemId) -> Option<ItemId> {
        let view = self.view();
        let direct = || view.children(level).filter(|item| self.is_direct(*item));
        let named = |name: &'static str| {
            direct()
                .filter(move |item| view.directive(*item).name() == name)
                .last()
        };
        named("proxy_set_header")
            .or_else(|| named("proxy_pass"))
            .or_else(|| named("proxy_http_version"))
            .or_else(|| named("include"))
            .or_else(|| {
                direct()
                    .filter(|item| !view.directive(*item).has_block())
                    .last()
            })
    }

    fn finish(mut self, title: &str) -> Option<Fix> {
        let view = self.view();
        if let Some(chosen) = self.connection.clone() {
            self.weigh(&chosen);
            if chosen.new_map {
                let edit = self.new_map(chosen.plain.as_deref().unwrap_or_default())?;
                self.edits.push(edit);
            }
        }
        let templated = self
            .edits
            .iter()
            .any(|edit| self.place.cx.project.source(edit.span.source).is_template());
        if templated || self.edits.is_empty() {
            return None;
        }
        // A file that several others include is changed for all of them.
        if self.edits.iter().any(|edit| is_shared(view, edit.span)) {
            self.applicability = Unsafe;
        }
        self.edits
            .sort_by_key(|edit| (edit.span.source, edit.span.start));
        Some(Fix {
            title: title.to_owned(),
            applicability: self.applicability,
            edits: self.edits,
        })
    }

    /// Compares what a page's request sends as Connection, in each block that is reached.
    fn weigh(&mut self, chosen: &Connection) {
        let view = self.view();
        for level in self.decided.clone() {
            for block in passing(view, level) {
                let effective = Effective::at(view, block).level;
                let reached = effective == Some(level)
                    || (view.level(level).headers.is_empty()
                        && !view
                            .outward(block)
                            .take_while(|outer| *outer != level)
                            .any(|inner| !view.level(inner).headers.is_empty()));
                if !reached {
                    continue;
                }
                let is_route = block == self.place.route.block;
                let for_sockets = is_route && self.place.route.is_dedicated(view);
                let same = self
                    .before(block)
                    .is_some_and(|before| Some(before) == chosen.plain);
                if !for_sockets && !same {
                    self.applicability = Unsafe;
                }
                // A plain location that starts to upgrade is a change as well.
                if !is_route && !self.is_mended(block) {
                    self.applicability = Unsafe;
                }
            }
        }
    }

    /// The map of nginx's documentation, before the server or what brings it.
    fn new_map(&self, plain: &str) -> Option<Edit> {
        let view = self.view();
        let http = http_of(view, self.own)?;
        let server = view
            .outward(self.own)
            .find(|level| view.context(*level) == Block::Server)?;
        let first =
            if view.item(server).parent == http && view.item(server).via == view.item(http).via {
                server
            } else {
                view.include_of(server, http)?
            };
        let span = view.directive(first).head();
        let source = self.source(first);
        let start = line_start(&source.text, span.start as usize);
        let indent = &source.text[start..span.start as usize];
        if !indent.bytes().all(|byte| matches!(byte, b' ' | b'\t')) {
            return None;
        }
        let outer = self.place.indent(http);
        let step = indent
            .strip_prefix(outer.as_str())
            .filter(|step| !step.is_empty());
        let step = step.unwrap_or("    ");
        let end = line_end(&source.text[start..]);
        let plain = if plain.is_empty() { "''" } else { plain };
        let at = above_comments(&source.text, start);
        let text = [
            format!("{indent}map $http_upgrade $connection_upgrade {{"),
            format!("{indent}{step}default upgrade;"),
            format!("{indent}{step}''      {plain};"),
            format!("{indent}}}"),
            String::new(),
        ]
        .into_iter()
        .map(|line| line + end)
        .collect();
        Some(Edit {
            span: Span::new(source.id, at..at),
            text,
        })
    }
}

/// A page's request: no Upgrade, and what a browser says of its connection.
fn page() -> Request {
    let mut request = handshakes()[0].clone();
    request
        .headers
        .retain(|header| !header.name.starts_with("Sec-WebSocket") && header.name != "Origin");
    for Header { name, value, .. } in &mut request.headers {
        match name.as_str() {
            "Upgrade" => *value = Value::Known(String::new()),
            "Connection" => *value = Value::Known("keep-alive".to_owned()),
            _ => {}
        }
    }
    request
}

fn plain_value(view: View<'_>, text: &str) -> Option<String> {
    let request = page();
    let value = Scope::new(view, &request, ROOT).text(text);
    value.known().cloned()
}

/// The `http` block around a level, if it stands in a file that we see.
fn http_of(view: View<'_>, level: ItemId) -> Option<ItemId> {
    view.outward(level)
        .find(|level| *level != ROOT && view.context(*level) == Block::Http)
}

/// The blocks within `level`, and itself, that pass requests on.
fn passing(view: View<'_>, level: ItemId) -> impl Iterator<Item = ItemId> + '_ {
    let items = match level {
        ROOT => 0..view.config.items.len() as u32,
        _ => level..view.item(level).end,
    };
    items.filter(move |item| {
        matches!(
            view.context(*item),
            Block::Location | Block::If | Block::LimitExcept
        ) && view.level(*item).pass.is_some()
    })
}

/// Whether the bytes stand in a file that is read more than once.
fn is_shared(view: View<'_>, span: Span) -> bool {
    let trees = view.arena.trees;
    let uses: usize = view
        .arena
        .configs
        .iter()
        .map(|config| {
            let of_file = |tree: &u32| trees[*tree as usize].source == span.source;
            let included = config.includes.values().map(|included| match included {
                crate::nginx::model::Included::Files(files) => {
                    files.iter().filter(|tree| of_file(tree)).count()
                }
                _ => 0,
            });
            included.sum::<usize>() + usize::from(of_file(&config.main))
        })
        .sum();
    uses > 1
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// How the first line of a text ends.
fn line_end(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

/// The start of the comment lines right above the line that starts at `at`.
fn above_comments(text: &str, mut at: usize) -> usize {
    while at > 0 {
        let above = line_start(text, at - 1);
        if !text[above..at].trim_start().starts_with('#') {
            break;
        }
        at = above;
    }
    at
}

/// Inserts lines after a directive: on lines of their own with its indentation, or beside it
/// where it shares its line with others.
fn after(source: &Source, span: Span, lines: &[String]) -> Edit {
    let text = &source.text;
    let (start, end) = (span.start as usize, span.end as usize);
    let indent = &text[line_start(text, start)..start];
    let line_end = line_end(&text[end..]);
    let rest = &text[end..];
    let rest = &rest[..rest.find(line_end).unwrap_or(rest.len())];
    let alone = indent.bytes().all(|byte| matches!(byte, b' ' | b'\t'))
        && (rest.trim().is_empty() || rest.trim_start().starts_with('#'));
    let (at, text) = if alone {
        let lines = lines.iter().map(|line| format!("{line_end}{indent}{line}"));
        (end + rest.len(), lines.collect::<String>())
    } else {
        let lines = lines.iter().map(|line| format!(" {line}"));
        (end, lines.collect())
    };
    Edit {
        span: Span::new(source.id, at..at),
        text,
    }
}

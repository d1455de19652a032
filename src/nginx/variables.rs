//! Variables: what a value of the configuration is for a given handshake.
//!
//! `map` is evaluated when a variable is used, as nginx does; `set` and `if` by the path of
//! execution (ngx_http_rewrite_module runs the server's directives, then the location's). What
//! the files do not decide is unknown, with the reason.

mod maps;

use std::collections::HashMap;

use super::model::{Context, ItemId, ROOT, View};
use super::pattern::{Captured, Pattern};
use super::uri::escape_args;
use super::words::{Part, parts};
use crate::handshake::Request;
use crate::syntax::Word;
use crate::value::Value;

/// Values that one expression may have before we call it unknown.
pub(super) const MAX_VALUES: usize = 16;

/// Bytes of a value; nginx itself reads no longer word.
const MAX_LENGTH: usize = 4096;

/// Maps behind maps.
const MAX_DEPTH: usize = 16;

/// A map that took part in a value, and the entry that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The configuration that holds it.
    pub config: u32,
    /// The `map` block.
    pub map: ItemId,
    /// The entry that matched; `None` if none did, so that the value is empty.
    pub entry: Option<ItemId>,
}

/// How far a request is that [walks](super::phases) through the phases.
#[derive(Clone, Debug)]
pub(super) struct Here {
    /// The path that locations are matched with now.
    pub(super) uri: String,
    /// The query.
    pub(super) args: Value,
    /// The request stands for all that go to its path: what the handshake does not fix, as its
    /// query and the headers of others on the way, is unknown.
    pub(super) sampled: bool,
    /// Some byte of the path came encoded.
    pub(super) quoted: bool,
    /// Captures are to be encoded again, being written into a query or a redirect.
    pub(super) escape: bool,
    /// What `$1` and so on stand for; `None` if that depends on what nobody knows.
    pub(super) captures: Option<Vec<String>>,
    /// `$proxy_host` and `$proxy_port`, once they are known.
    pub(super) proxy: Option<(String, String)>,
}

/// Evaluates expressions for one request on its way through one location.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    pub(super) view: View<'a>,
    pub(super) request: &'a Request,
    /// What `set` assigned so far, by lower-case name; on a walk also what named groups captured,
    /// and the maps that were asked for, whose values stay (ngx_http_get_indexed_variable).
    set: HashMap<String, Value>,
    /// The block whose directives apply.
    pub(super) location: ItemId,
    pub(super) server: ItemId,
    /// Where the request is, if it walks through the phases; else its rewrites are looked up here.
    pub(super) here: Option<Here>,
    /// The configuration of these two; a map of another one may be at work.
    location_in: u32,
    /// How far the rewrite phase is: it runs when the first variable of a `set` is asked for.
    phase: Phase,
    depth: usize,
    /// The maps that the last [`Scope::value`] went through, outermost first.
    pub steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    NotRun,
    Running,
    Over,
}

pub(super) fn unknown(why: impl Into<String>) -> Value {
    Value::Unknown(why.into())
}

/// One of several values; fewer where they are equal.
fn one_of(values: impl IntoIterator<Item = String>) -> Value {
    let mut distinct: Vec<String> = Vec::new();
    for value in values {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    match distinct.len() {
        1 => Value::Known(distinct.remove(0)),
        0 => unknown("no value"),
        n if n > MAX_VALUES => unknown("it has too many possible values"),
        _ => Value::OneOf(distinct),
    }
}

/// Either of two values.
fn either(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Unknown(why), _) | (_, Value::Unknown(why)) => Value::Unknown(why),
        (a, b) => one_of(
            a.possible()
                .into_iter()
                .chain(b.possible())
                .flatten()
                .cloned()
                .collect::<Vec<_>>(),
        ),
    }
}

impl<'a> Scope<'a> {
    /// The scope at `location` of `view` once the rewrite phase of its server and of itself is
    /// over.
    pub fn new(view: View<'a>, request: &'a Request, location: ItemId) -> Self {
        let server = view
            .outward(location)
            .find(|level| view.context(*level) == Context::Server)
            .unwrap_or(ROOT);
        Self {
            view,
            request,
            set: HashMap::new(),
            location,
            server,
            here: None,
            location_in: view.index,
            phase: Phase::NotRun,
            depth: 0,
            steps: Vec::new(),
        }
    }

    /// The scope of a request that begins its walk through the phases at `server`.
    pub(super) fn walking(
        view: View<'a>,
        request: &'a Request,
        server: ItemId,
        here: Here,
    ) -> Self {
        Self {
            here: Some(here),
            phase: Phase::Over,
            ..Self::new(view, request, server)
        }
    }

    /// Runs the rewrite phase, if it has not run yet.
    fn rewrite(&mut self) {
        if self.phase != Phase::NotRun {
            return;
        }
        self.phase = Phase::Running;
        let steps = std::mem::take(&mut self.steps);
        let depth = std::mem::take(&mut self.depth);
        if self.server != self.location {
            self.run(self.server);
        }
        let mut own = self.location;
        while own != ROOT && matches!(self.view.context(own), Context::If | Context::LimitExcept) {
            own = self.view.item(own).parent;
        }
        self.run(own);
        self.phase = Phase::Over;
        (self.steps, self.depth) = (steps, depth);
    }

    /// Runs the `set`, `if` and `break` of one level.
    fn run(&mut self, level: ItemId) {
        for item in &self.view.level(level).rewrites {
            let directive = self.view.directive(*item);
            match directive.name() {
                "set" => self.assign(*item, None),
                "break" => return,
                "if" => match self.condition(*item) {
                    Some(false) => {}
                    decided => {
                        for inner in &self.view.level(*item).rewrites {
                            match self.view.directive(*inner).name() {
                                "set" => self.assign(*inner, decided),
                                "break" if decided == Some(true) => return,
                                _ => {}
                            }
                        }
                    }
                },
                _ => {}
            }
        }
    }

    /// Carries a `set` out; where it only may run, the value before remains possible.
    pub(super) fn assign(&mut self, item: ItemId, decided: Option<bool>) {
        let directive = self.view.directive(item);
        let [name, value] = directive.args() else {
            return;
        };
        let Some(name) = name.text.strip_prefix('$') else {
            return;
        };
        let name = name.to_ascii_lowercase();
        let value = self.word(value);
        let guarded = self.view.item(item).parent;
        let conditional =
            guarded != ROOT && self.view.context(guarded) == Context::If && decided != Some(true);
        let value = if conditional {
            let before = self
                .set
                .get(&name)
                .cloned()
                .unwrap_or(Value::Known(String::new()));
            either(before, value)
        } else {
            value
        };
        self.set.insert(name, value);
    }

    /// Whether the condition of the `if` at `item` holds; `None` if the files do not say.
    pub fn condition(&mut self, item: ItemId) -> Option<bool> {
        let args = self.view.directive(item).args();
        if args.iter().any(|word| word.templated) {
            return None;
        }
        match condition_words(args)?.as_slice() {
            [variable] => {
                let value = self.variable(variable.strip_prefix('$')?);
                value.decide(|value| !value.is_empty() && value != "0")
            }
            [variable, operator, right] => {
                let left = self.variable(variable.strip_prefix('$')?);
                match *operator {
                    "=" | "!=" => {
                        let right = self.expand(right);
                        let right = right.known()?;
                        left.decide(|left| (left == right) == (*operator == "="))
                    }
                    "~" | "~*" | "!~" | "!~*" => {
                        let pattern = self.view.config.patterns.get(&item)?;
                        let positive = !operator.starts_with('!');
                        Some(self.matches(pattern, &left)? == positive)
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// What the condition of the `if` at `item` depends on, where nobody can say whether it holds.
    pub(super) fn why(&mut self, item: ItemId) -> String {
        let args = self.view.directive(item).args();
        let words = condition_words(args).unwrap_or_default();
        let variable = words.first().and_then(|word| word.strip_prefix('$'));
        match variable.map(|name| (name, self.variable(name))) {
            Some((_, Value::Unknown(why))) => why,
            Some((name, _)) => format!("`${name}`, which is not the same for every client"),
            None => "what the files do not say".to_owned(),
        }
    }

    /// Takes over the variables of a subrequest, which are the same as its parent's.
    pub(super) fn share(&mut self, inner: Self) {
        self.set = inner.set;
    }

    /// Whether a pattern matches whatever `subject` may be; on a walk its captures are kept.
    pub(super) fn matches(&mut self, pattern: &Pattern, subject: &Value) -> Option<bool> {
        if let (Some(_), Value::Known(subject)) = (&self.here, subject) {
            let captured = pattern.captures(subject)?;
            let matches = captured.is_some();
            self.capture(captured);
            return Some(matches);
        }
        let mut unreadable = false;
        let held = subject.decide(|subject| {
            let matches = pattern.is_match(subject);
            unreadable |= matches.is_none();
            matches == Some(true)
        });
        let held = held.filter(|_| !unreadable);
        if let Some(here) = &mut self.here {
            here.captures = (held == Some(false)).then(Vec::new);
        }
        held
    }

    /// Keeps what a regular expression captured: groups by number, and named ones as variables
    /// (ngx_http_regex_exec).
    pub(super) fn capture(&mut self, captured: Option<Captured>) {
        let (groups, named) = captured.map_or_else(Default::default, |one| (one.groups, one.named));
        if let Some(here) = &mut self.here {
            here.captures = Some(groups);
        }
        for (name, value) in named {
            self.set
                .insert(name.to_ascii_lowercase(), Value::Known(value));
        }
    }

    /// The value of an argument, remembering the maps that it goes through.
    pub fn value(&mut self, word: &Word) -> Value {
        self.steps.clear();
        self.word(word)
    }

    /// The value of a text that no word of a file holds, as a stock file's.
    pub fn text(&mut self, text: &str) -> Value {
        self.steps.clear();
        self.expand(text)
    }

    pub(super) fn word(&mut self, word: &Word) -> Value {
        if word.templated {
            return unknown("a template supplies it");
        }
        self.expand(&word.text)
    }

    /// A text with its variables replaced.
    pub(super) fn expand(&mut self, text: &str) -> Value {
        let mut values = vec![String::new()];
        for part in parts(text) {
            let value = match part {
                Part::Text(text) => {
                    values.iter_mut().for_each(|value| value.push_str(text));
                    continue;
                }
                Part::Foreign => {
                    return unknown("a placeholder that is filled before nginx reads the file");
                }
                Part::Variable(name) => self.variable(name),
            };
            match value {
                Value::Known(text) => values.iter_mut().for_each(|value| value.push_str(&text)),
                Value::OneOf(possible) if values.len() * possible.len() <= MAX_VALUES => {
                    values = values
                        .iter()
                        .flat_map(|value| possible.iter().map(move |text| format!("{value}{text}")))
                        .collect();
                }
                Value::OneOf(_) => return unknown("it has too many possible values"),
                Value::Unknown(why) => return Value::Unknown(why),
            }
            if values.iter().any(|value| value.len() > MAX_LENGTH) {
                return unknown("its value is too long");
            }
        }
        one_of(values)
    }

    /// The value of `$name`.
    pub(super) fn variable(&mut self, name: &str) -> Value {
        let name = name.to_ascii_lowercase();
        if self.view.config.sets.contains_key(&name) {
            if self.view.index != self.location_in {
                return unknown(format!("`${name}` is set in another configuration"));
            }
            self.rewrite();
            let scripted = |level| self.view.level(level).scripted;
            if self.phase == Phase::Over && self.view.outward(self.location).any(scripted) {
                return unknown(format!("a script that runs here may set `${name}`"));
            }
        }
        if let Some(value) = self.set.get(&name) {
            return value.clone();
        }
        if let [digit @ b'0'..=b'9'] = name.as_bytes() {
            let captures = self.here.as_ref().and_then(|here| here.captures.as_ref());
            return captures.map_or_else(
                || unknown("a capture of a regular expression"),
                |groups| {
                    let group = groups.get(usize::from(digit - b'0'));
                    let group = group.cloned().unwrap_or_default();
                    let escape = self.here.as_ref().is_some_and(|here| here.escape);
                    Value::Known(if escape { escape_args(&group) } else { group })
                },
            );
        }
        // The map's own variable within its values.
        if let Some(map) = self
            .view
            .config
            .maps
            .get(&name)
            .and_then(|maps| maps.last())
        {
            let value = self.mapped(self.view, *map);
            if self.here.is_some() && !is_volatile(self.view, *map) {
                self.set.insert(name, value.clone());
            }
            return value;
        }
        if let Some(sets) = self.view.config.sets.get(&name) {
            if self.here.is_some() {
                return Value::Known(String::new());
            }
            return self.assigned_elsewhere(&name, sets);
        }
        if let Some(value) = self.request_variable(&name) {
            return value;
        }
        self.foreign(&name)
    }

    /// The value of a variable that some `set` assigns, but none on our way here.
    fn assigned_elsewhere(&mut self, name: &str, sets: &[ItemId]) -> Value {
        if self.phase == Phase::Running {
            return Value::Known(String::new());
        }
        // An internal redirect keeps what another location of the server assigned.
        let reaches_here = sets.iter().any(|set| {
            self.view
                .outward(self.view.item(*set).parent)
                .any(|level| level == self.server)
        });
        let seen_all = self.view.config.complete || self.server != ROOT;
        if reaches_here || !seen_all {
            return unknown(format!(
                "`${name}` is set in another location, from which a redirect may lead here"
            ));
        }
        Value::Known(String::new())
    }
}

/// The words of a condition without its parentheses, of which there may be blanks inside.
pub(super) fn condition_words(args: &[Word]) -> Option<Vec<&str>> {
    let mut words: Vec<&str> = args.iter().map(|word| word.text.as_str()).collect();
    let first = words.first_mut()?;
    *first = first.strip_prefix('(')?;
    let last = words.last_mut()?;
    *last = last.strip_suffix(')').unwrap_or(last);
    words.retain(|text| !text.is_empty() || args.len() > 2);
    // `( $a = b )` leaves empty words at both ends.
    while words.first().is_some_and(|text| text.is_empty()) {
        words.remove(0);
    }
    if args.last().is_some_and(|word| word.text == ")") {
        words.pop();
    }
    Some(words)
}

/// Whether a map is evaluated anew whenever its variable is used.
fn is_volatile(view: View<'_>, map: ItemId) -> bool {
    let mut entries = view.children(map).map(|entry| view.directive(entry));
    entries.any(|entry| entry.name() == "volatile" && entry.args().is_empty())
}

/// Whether a named group of a location or `server_name` gives `$name`, so that it is empty where
/// the expression was not met.
fn is_captured(view: View<'_>, name: &str) -> bool {
    let group = format!("<{name}>");
    let names = |pattern: &Pattern| pattern.text.to_ascii_lowercase().contains(&group);
    view.config.locations.iter().any(|location| {
        matches!(&location.matcher, super::location::Matcher::Regex(pattern) if names(pattern))
    }) || view
        .config
        .servers
        .iter()
        .any(|server| server.patterns.iter().any(names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Browser;
    use crate::nginx::Model;
    use crate::project::Project;

    /// What `text` is worth in the location of `conf` on Chrome's handshake.
    fn value(http: &str, server: &str, text: &str) -> Value {
        let conf = format!(
            "events {{}}\nhttp {{ {http} server {{ {server} location / {{ proxy_pass http://a; }} }} }}"
        );
        let project = Project::in_memory([("nginx.conf", conf.as_str())]).expect("valid");
        let model = Model::resolve(&project);
        let view = model.view(0);
        let request = Request::handshake(Browser::Chrome, true, "a.example", 443, "/ws?t=1");
        let location = view.config.locations.last().expect("a location").item;
        Scope::new(view, &request, location).text(text)
    }

    fn known(text: &str) -> Value {
        Value::Known(text.to_owned())
    }

    #[test]
    fn the_requests_own_variables_are_known() {
        for (text, expected) in [
            ("$http_upgrade", "websocket"),
            ("${HTTP_Upgrade}", "websocket"),
            ("a-$http_connection-b", "a-Upgrade-b"),
            ("$http_sec_websocket_version", "13"),
            ("$host$uri", "a.example/ws"),
            ("$scheme:$https", "https:on"),
            ("$http_upgrad", ""),
        ] {
            assert_eq!(value("", "", text), known(expected), "{text}");
        }
    }

    #[test]
    fn what_nobody_knows_is_unknown() {
        for text in [
            "$remote_addr",
            "$cookie_a",
            "${UPSTREAM}",
            "$1",
            "$http_x_forwarded_proto",
            "$",
            "${a",
        ] {
            assert!(matches!(value("", "", text), Value::Unknown(_)), "{text}");
        }
    }

    #[test]
    fn maps_look_keys_up_in_nginxs_order() {
        for (map, expected) in [
            (
                "map $host $v { default d; a.example exact; ~a regex; }",
                "exact",
            ),
            ("map $host $v { default d; A.Example exact; }", "exact"),
            (
                "map $host $v { default d; ~b first; ~^a second; ~a third; }",
                "second",
            ),
            (
                "map $host $v { hostnames; default d; .example all; *.example sub; }",
                "sub",
            ),
            (
                "map $host $v { hostnames; default d; a.* start; ~a regex; }",
                "start",
            ),
            ("map $host $v { default d; .example all; }", "d"),
            ("map $host $v { ~* d; }", "d"),
            ("map $host $v { b x; }", ""),
            ("map $host $v { \\default x; default d; }", "d"),
            ("map $cookie_a $v { default d; }", "d"),
            ("map $cookie_a $v { default d; x d; }", "d"),
            (
                "map $host $v { default one; } map $host $v { default two; }",
                "two",
            ),
        ] {
            assert_eq!(value(map, "", "$v"), known(expected), "{map}");
        }
        let either = value("map $cookie_a $v { default d; x e; }", "", "$v");
        assert_eq!(either, Value::OneOf(vec!["d".into(), "e".into()]));
        let circle = "map $a $b { default $a; } map $b $a { default $b; }";
        assert!(matches!(value(circle, "", "$a"), Value::Unknown(_)));
    }

    #[test]
    fn set_follows_the_path_of_execution() {
        for (server, expected) in [
            ("set $v one; set $v two;", "two"),
            ("set $v one; break; set $v two;", "one"),
            ("set $v one; if ($http_upgrade) { set $v two; }", "two"),
            (
                "set $v one; if ($http_upgrade = Websocket) { set $v two; }",
                "one",
            ),
            (
                "set $v one; if ($http_upgrade ~* ^WEB) { set $v two; break; } set $v three;",
                "two",
            ),
            (
                "set $v one; if ( $http_upgrade != \"websocket\" ) { set $v two; }",
                "one",
            ),
            ("set $v a; set $v $v$v;", "aa"),
        ] {
            assert_eq!(value("", server, "$v"), known(expected), "{server}");
        }
        let doubtful = value("", "set $v one; if ($cookie_a) { set $v two; }", "$v");
        assert_eq!(doubtful, Value::OneOf(vec!["one".into(), "two".into()]));
        let elsewhere = value("", "location /b { set $v one; }", "$v");
        assert!(
            matches!(elsewhere, Value::Unknown(_)),
            "a redirect may lead here"
        );
        let growing = "set $v aaaaaaaaaaaaaaaa;".to_owned() + &"set $v $v$v;".repeat(40);
        assert!(matches!(value("", &growing, "$v"), Value::Unknown(_)));
    }
}

//! Matchers: which requests a directive takes, decided for one request as far as the files say.

mod define;

use std::collections::HashMap;
use std::sync::Arc;

pub use define::Expression;
pub(super) use define::{define, named, regex};

use super::address::host_matches;
use super::expand::Word;
use super::path::{clean, path_matches};
use super::placeholder::{Scene, fill, value_of};
use crate::handshake::{Header, Protocol, Request, USER_AGENTS};
use crate::project::Version;
use crate::source::Span;
use crate::value::Value;

/// One condition.
#[derive(Clone, Debug)]
pub enum Test {
    /// `path`: one of these patterns.
    Path(Vec<Word>),
    /// `path_regexp`; `None` where it cannot be compiled here.
    PathRegexp(Option<Expression>),
    /// `method`.
    Method(Vec<String>),
    /// `host`.
    Host(Vec<Word>),
    /// `header`: the field and its values; empty for `!Field`, which must be absent.
    Header(String, Vec<Word>),
    /// `header_regexp`.
    HeaderRegexp(String, Option<Expression>),
    /// `protocol`.
    Protocol(String),
    /// `file`: the first of these that exists.
    File(Candidates),
    /// `query`: the key and its values; `*` for any.
    Query(String, Vec<Word>),
    /// `vars`: the variable, or a placeholder, and its values.
    Vars(String, Vec<Word>),
    /// A comparison in an expression: of a text with placeholders with any of some others.
    Compare {
        /// The left side.
        left: String,
        /// `==`, `startsWith`, `endsWith` or `contains`.
        how: &'static str,
        /// The right sides.
        rights: Vec<String>,
    },
    /// Any of these sets: `||` in an expression.
    Any(Vec<Vec<Test>>),
    /// `not`: none of these sets.
    Not(Vec<Vec<Test>>),
    /// Something that the request's circumstances decide: `remote_ip`, `expression`, `file` …
    Open(String),
}

/// Why something is not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The circumstances of the request decide: no fault of the files.
    Circumstances,
    /// The files do not show it: an environment value, a template.
    Hidden(String),
}

/// Which requests a directive takes.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The matcher's word in the directive; `None` without one.
    pub span: Option<Span>,
    /// Where a named matcher is defined.
    pub definition: Option<Span>,
    /// The name of a named one, without `@`.
    pub name: Option<String>,
    /// All must hold; empty takes everything.
    pub tests: Arc<Vec<Test>>,
    /// A template decides whether it, or a line of it, is written.
    pub conditional: bool,
    /// The only pattern of its `path` condition, which the sort of directives looks at; those
    /// in expressions do not count.
    sorts_by: Option<Arc<str>>,
    /// The conditions as written, so that two matchers that say the same are one to Caddy.
    said: Arc<str>,
    /// Its captures are called by its own name, which makes it another one from 2.8 on.
    names_captures: bool,
}

impl Default for Matcher {
    fn default() -> Self {
        Self {
            span: None,
            definition: None,
            name: None,
            tests: Arc::default(),
            conditional: false,
            sorts_by: None,
            said: "".into(),
            names_captures: false,
        }
    }
}

impl Matcher {
    /// The matcher of one path, as `/ws*` in place of a name.
    pub(super) fn path(word: &Word) -> Self {
        Self {
            span: Some(word.span),
            tests: Arc::new(vec![Test::Path(vec![word.clone()])]),
            sorts_by: Some(word.text.as_str().into()),
            said: format!("path {}", word.text).into(),
            ..Self::default()
        }
    }

    /// The matcher as a directive at `span` names it.
    pub(super) fn at(self, span: Span) -> Self {
        Self {
            span: Some(span),
            ..self
        }
    }

    /// The place that says what it matches: the definition, else the word itself.
    pub fn place(&self) -> Option<Span> {
        self.definition.or(self.span)
    }

    /// An expression that is not understood here, if it is one's.
    pub(super) fn is_open(&self) -> bool {
        fn open(test: &Test) -> bool {
            match test {
                Test::Open(_) => true,
                Test::Any(sets) | Test::Not(sets) => sets.iter().flatten().any(open),
                _ => false,
            }
        }
        self.tests.iter().any(open)
    }

    /// The patterns of its `path` conditions.
    pub fn paths(&self) -> impl Iterator<Item = &Word> {
        self.tests.iter().flat_map(|test| match test {
            Test::Path(patterns) => patterns.as_slice(),
            _ => &[],
        })
    }

    /// Whether one of its conditions is `host` itself, not an expression's.
    pub(super) fn names_host(&self) -> bool {
        self.said.split("; ").any(|line| line.starts_with("host "))
    }

    /// The roots of its `file` conditions.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Word> {
        self.tests.iter().filter_map(|test| match test {
            Test::File(candidates) => candidates.root.as_ref(),
            _ => None,
        })
    }

    /// The only path, where it has just one: what the sort looks at.
    pub(super) fn single_path(&self) -> Option<&str> {
        self.sorts_by.as_deref()
    }

    /// The letters, in lower case, that a clean path begins with (or ends within) if one of its
    /// patterns takes it; `None` where that is not sure to be about a path.
    pub(super) fn first_letters(&self) -> Option<impl Iterator<Item = String>> {
        let patterns = self.tests.iter().find_map(|test| match test {
            Test::Path(patterns) if !self.conditional => Some(patterns),
            _ => None,
        })?;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(byte);
        Some(patterns.iter().map(move |pattern| {
            let plain = pattern.text.bytes().take_while(plain).count();
            pattern.text[..plain].to_ascii_lowercase()
        }))
    }

    /// Whether both say the same, so that Caddy evaluates them once for neighbours.
    pub(super) fn same(&self, other: &Self, version: Version) -> bool {
        let named = self.names_captures && version >= [2, 8, 0];
        self.said == other.said && (!named || self.name == other.name)
    }

    /// The file that its `file` condition finds, for `{file_match.relative}` in what follows.
    pub(super) fn file(&self, scene: &Scene<'_>) -> Option<String> {
        self.tests.iter().find_map(|test| match test {
            Test::File(candidates) => match first_file(candidates, scene) {
                Tried::File(path) | Tried::Named(path) => Some(path),
                _ => None,
            },
            _ => None,
        })
    }

    /// Whether `request` matches.
    ///
    /// # Errors
    /// Why that cannot be decided.
    pub fn decide(&self, request: &Request) -> Result<bool, Doubt> {
        self.decide_in(&Scene::bare(request))
    }

    /// The same of a request that other handlers have seen before.
    pub(super) fn decide_in(&self, scene: &Scene<'_>) -> Result<bool, Doubt> {
        if self.conditional {
            return Err(Doubt::conditional());
        }
        all(&self.tests, scene)
    }

    /// What its regular expressions capture of a request that it matches: `re.name.1`.
    pub(super) fn captures(&self, request: &Request, found: &mut HashMap<String, Option<String>>) {
        for test in self.tests.iter() {
            let (name, captures) = match test {
                Test::PathRegexp(Some(regex)) => (&regex.name, regex.of.captures(&request.path)),
                Test::HeaderRegexp(field, Some(regex)) => {
                    let mut lines = request.lines(field).filter_map(|line| line.value.known());
                    (
                        &regex.name,
                        lines.find_map(|value| regex.of.captures(value)),
                    )
                }
                _ => continue,
            };
            let Some(captures) = captures else { continue };
            for (index, group) in captures.iter().enumerate() {
                let text = group.map_or("", |group| group.as_str());
                for key in [format!("re.{name}.{index}"), format!("re.{index}")] {
                    found.insert(key, Some(text.to_owned()));
                }
            }
        }
    }
}

impl Doubt {
    /// A line that a template may leave out.
    pub(super) fn conditional() -> Self {
        Self::Hidden("a template decides whether this line is written".to_owned())
    }
}

/// Decides conditions of which all must hold.
#[cfg(test)]
pub(super) fn decide_all(tests: &[Test], request: &Request) -> Result<bool, Doubt> {
    all(tests, &Scene::bare(request))
}

fn all(tests: &[Test], scene: &Scene<'_>) -> Result<bool, Doubt> {
    let mut doubt = None;
    // Before 2.8 one key of a `query` was enough (matchers.go, MatchQuery).
    let mut other_key = None;
    for test in tests {
        if scene.version < [2, 8, 0] && matches!(test, Test::Query(..)) {
            other_key = match (other_key, test.decide_in(scene)) {
                (Some(Ok(true)), _) | (_, Ok(true)) => Some(Ok(true)),
                (Some(Err(why)), _) | (_, Err(why)) => Some(Err(why)),
                (_, Ok(false)) => Some(Ok(false)),
            };
            continue;
        }
        match test.decide_in(scene) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(why) => doubt = Some(why),
        }
    }
    match other_key {
        Some(Ok(false)) => return Ok(false),
        Some(Err(why)) => doubt = Some(why),
        _ => {}
    }
    doubt.map_or(Ok(true), Err)
}

impl Test {
    /// Whether `request` satisfies it.
    ///
    /// # Errors
    /// Why that cannot be decided.
    pub fn decide(&self, request: &Request) -> Result<bool, Doubt> {
        self.decide_in(&Scene::bare(request))
    }

    fn decide_in(&self, scene: &Scene<'_>) -> Result<bool, Doubt> {
        let request = scene.request;
        if let Self::Header(field, _) | Self::HeaderRegexp(field, _) = self
            && field.eq_ignore_ascii_case("User-Agent")
            && request.lines(field).next().is_none()
        {
            return self.for_each_browser(scene, field);
        }
        match self {
            Self::Path(patterns) => any(patterns, scene, |pattern| {
                path_matches(pattern, &request.path)
            }),
            Self::PathRegexp(regex) => match regex {
                Some(regex) => Ok(regex.of.is_match(&clean(&request.path))),
                None => Err(Doubt::Circumstances),
            },
            Self::Method(methods) => Ok(methods
                .iter()
                .any(|method| method.eq_ignore_ascii_case(&request.method))),
            Self::Host(hosts) => {
                if request.host.is_empty() {
                    return Err(Doubt::Circumstances);
                }
                any(hosts, scene, |host| host_matches(host, &request.host))
            }
            Self::Header(field, values) => header(field, values, scene),
            Self::HeaderRegexp(field, regex) => {
                let Some(regex) = regex else {
                    return Err(Doubt::Circumstances);
                };
                let mut lines = request.lines(field).peekable();
                if lines.peek().is_none() && !is_handshake_header(field) {
                    return Err(Doubt::Circumstances);
                }
                Ok(lines.any(|line| {
                    line.value
                        .known()
                        .is_some_and(|value| regex.of.is_match(value))
                }))
            }
            Self::Protocol(name) => Ok(match name.as_str() {
                "https" => request.tls,
                "http" => !request.tls,
                "http/1.0" => request.protocol == Protocol::Http10,
                "http/1.1" => request.protocol == Protocol::Http11,
                "http/2" => request.protocol == Protocol::Http2,
                "http/3" => request.protocol == Protocol::Http3,
                "http/1.0+" => true,
                "http/1.1+" => request.protocol >= Protocol::Http11,
                "http/2+" => request.protocol >= Protocol::Http2,
                "http/3+" => request.protocol >= Protocol::Http3,
                _ => false,
            }),
            Self::Query(key, values) => {
                let query = request.query.as_deref().unwrap_or_default();
                let Some(actual) = value_of(query, key) else {
                    return Ok(false);
                };
                // matchers.go, MatchQuery: each of the request's values may be the one.
                let same = query.split('&').filter(|pair| {
                    pair.split_once('=').map_or(*pair, |(key, _)| key) == key.as_str()
                });
                if same.count() > 1 {
                    return Err(Doubt::Circumstances);
                }
                any(values, scene, |value| value == "*" || value == actual)
            }
            Self::Vars(key, values) => {
                let key = match key.strip_prefix('{') {
                    Some(_) => key.clone(),
                    None => format!("{{http.vars.{key}}}"),
                };
                let Some(actual) = fill(&key, scene) else {
                    return Err(Doubt::Circumstances);
                };
                any(values, scene, |value| value == actual)
            }
            Self::Compare { left, how, rights } => {
                let left = fill(left, scene).ok_or(Doubt::Circumstances)?;
                let mut doubt = None;
                for right in rights {
                    let Some(right) = fill(right, scene) else {
                        doubt = Some(Doubt::Circumstances);
                        continue;
                    };
                    let holds = match *how {
                        "startsWith" => left.starts_with(&right),
                        "endsWith" => left.ends_with(&right),
                        "contains" => left.contains(&right),
                        _ => left == right,
                    };
                    if holds {
                        return Ok(true);
                    }
                }
                doubt.map_or(Ok(false), Err)
            }
            Self::Any(sets) => {
                let mut doubt = None;
                for set in sets {
                    match all(set, scene) {
                        Ok(true) => return Ok(true),
                        Ok(false) => {}
                        Err(why) => doubt = Some(why),
                    }
                }
                doubt.map_or(Ok(false), Err)
            }
            Self::Not(sets) => {
                let mut doubt = None;
                for set in sets {
                    match all(set, scene) {
                        Ok(true) => return Ok(false),
                        Ok(false) => {}
                        Err(why) => doubt = Some(why),
                    }
                }
                doubt.map_or(Ok(true), Err)
            }
            Self::File(candidates) => match first_file(candidates, scene) {
                Tried::File(_) | Tried::Named(_) => Ok(true),
                // What has an ending may well be a file.
                Tried::None if names_file(&request.path) => Err(Doubt::Circumstances),
                Tried::None => Ok(false),
                Tried::Status(_) | Tried::Perhaps => Err(Doubt::Circumstances),
                Tried::Hidden(_, what) => Err(Doubt::Hidden(what)),
            },
            Self::Open(_) => Err(Doubt::Circumstances),
        }
    }
}

impl Test {
    /// What all browsers, which each call themselves something in `field`, make of it alike.
    fn for_each_browser(&self, scene: &Scene<'_>, field: &str) -> Result<bool, Doubt> {
        let mut told = USER_AGENTS.iter().map(|agent| {
            let mut request = scene.request.clone();
            request.headers.push(Header {
                name: field.to_owned(),
                value: Value::Known((*agent).to_owned()),
                from: None,
            });
            self.decide_in(&Scene {
                request: &request,
                ..*scene
            })
        });
        let first = told.next().unwrap_or(Err(Doubt::Circumstances))?;
        match told.all(|other| other == Ok(first)) {
            true => Ok(first),
            false => Err(Doubt::Circumstances),
        }
    }
}

/// `matchHeaders` for one field.
fn header(field: &str, values: &[Word], scene: &Scene<'_>) -> Result<bool, Doubt> {
    let request = scene.request;
    if field.eq_ignore_ascii_case("host") {
        // matchers.go, getHeaderFieldVals: Host stands beside the headers.
        if request.host.is_empty() {
            return Err(Doubt::Circumstances);
        }
        let host = fill("{hostport}", scene).ok_or(Doubt::Circumstances)?;
        return match values {
            [] => Ok(false),
            values => any(values, scene, |value| header_matches(value, &host)),
        };
    }
    let mut lines = request.lines(field).peekable();
    if values.is_empty() {
        return Ok(lines.peek().is_none());
    }
    if lines.peek().is_none() && !is_handshake_header(field) {
        // A browser or an edge may send it.
        return Err(Doubt::Circumstances);
    }
    let mut matched = Ok(false);
    for line in lines {
        let Some(actual) = line.value.known() else {
            matched = Err(Doubt::Circumstances);
            continue;
        };
        match any(values, scene, |value| header_matches(value, actual)) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(why) => matched = Err(why),
        }
    }
    matched
}

/// Files to try: of `try_files`, and of a `file` matcher.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// They; none for the request's own path.
    pub words: Vec<Word>,
    /// Where they are looked for, if not in the site's root.
    pub(super) root: Option<Word>,
    /// `first_exist_fallback`: the last one is taken unseen.
    pub(super) falls_back: bool,
    /// Sizes or times of files choose.
    pub(super) is_open: bool,
}

impl Candidates {
    /// Sets the policy by its name.
    pub(super) fn choose_by(&mut self, policy: Option<&str>) {
        self.falls_back = policy == Some("first_exist_fallback");
        self.is_open = !self.falls_back && policy != Some("first_exist");
    }
}

/// What becomes of a list of files to try.
pub(super) enum Tried {
    /// This path is a file.
    File(String),
    /// This path is one, or nobody would name it: the project does not show it.
    Named(String),
    /// The last resort is this status.
    Status(Option<u16>),
    /// None of them is there.
    None,
    /// One may be there: the flag of a maintenance, say.
    Perhaps,
    /// One is hidden.
    Hidden(Span, String),
}

/// The first of the files that is there: in the folder of the project that the root means, or by
/// what people mean. No file stands where a socket is, so what depends on the path does not exist;
/// and what comes after it by name (`{path} /index.html`) is there, or nobody would name it.
pub(super) fn first_file(tried: &Candidates, scene: &Scene<'_>) -> Tried {
    if tried.is_open {
        return Tried::Perhaps;
    }
    let asked = scene.request.path.as_str();
    // `handle_path /ws` leaves nothing of `/ws`, which is the root as well.
    let root = matches!(asked, "" | "/");
    let folder = scene.folder(tried.root.as_ref());
    let is_there = |file: &str| folder.is_some_and(|folder| folder.holds(file));
    if tried.words.is_empty() && !asked.ends_with('/') && is_there(asked) {
        return Tried::File(asked.to_owned());
    }
    let mut by_path = false;
    for (at, candidate) in tried.words.iter().enumerate() {
        if let Some(unknown) = &candidate.unknown {
            return Tried::Hidden(candidate.span, unknown.clone());
        }
        let text = candidate.text.as_str();
        if let Some(status) = text.strip_prefix('=') {
            return Tried::Status(status.parse().ok());
        }
        let path = text.split('?').next().unwrap_or_default();
        // A matcher's name is a file's name to `try_files`, which takes no matcher.
        let looked_for = !path.is_empty() && !path.contains('*') && !path.starts_with('@');
        // A folder is meant only where the line itself ends with a slash (fileserver/matcher.go).
        let slash = if path.ends_with('/') { "/" } else { "" };
        let file = fill(path, scene).map(|file| match file.trim_matches('/') {
            "" => "/".to_owned(),
            name => format!("/{name}{slash}"),
        });
        if let Some(file) = file.filter(|file| looked_for && file != "/" && is_there(file)) {
            return Tried::File(file);
        }
        // And the root is one.
        if root && matches!(path, "{path}/" | "{http.request.uri.path}/") {
            return Tried::File("/".to_owned());
        }
        // So does a file in it that the line names.
        let below = path
            .strip_prefix("{path}/")
            .or_else(|| path.strip_prefix("{http.request.uri.path}/"));
        if let Some(file) = below.filter(|file| root && !file.contains('{')) {
            return Tried::Named(format!("/{file}"));
        }
        if path.is_empty() || path.starts_with('@') || path.ends_with('*') {
            continue;
        }
        if path.contains('{') {
            by_path = true;
            continue;
        }
        let last = at + 1 == tried.words.len();
        if !(by_path || last && tried.falls_back) {
            return Tried::Perhaps;
        }
        let path = format!("/{}", path.trim_start_matches('/'));
        return match last && tried.falls_back {
            true => Tried::File(path),
            false => Tried::Named(path),
        };
    }
    Tried::None
}

/// Whether a path looks like a file's.
fn names_file(path: &str) -> bool {
    path == "/"
        || path
            .rsplit('/')
            .next()
            .is_some_and(|name| name.contains('.'))
}

/// Headers that every handshake carries, so that their absence is certain.
pub(super) fn is_handshake_header(field: &str) -> bool {
    [
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Content-Type",
        ":protocol",
    ]
    .iter()
    .any(|name| name.eq_ignore_ascii_case(field))
}

/// Whether any value matches; a value that is not known leaves it open.
fn any(
    values: &[Word],
    scene: &Scene<'_>,
    mut matches: impl FnMut(&str) -> bool,
) -> Result<bool, Doubt> {
    let mut doubt = None;
    for value in values {
        if let Some(unknown) = &value.unknown {
            doubt = Some(Doubt::Hidden(unknown.clone()));
            continue;
        }
        match fill(&value.text, scene) {
            Some(text) if matches(&text) => return Ok(true),
            Some(_) => {}
            None => doubt = Some(Doubt::Circumstances),
        }
    }
    doubt.map_or(Ok(false), Err)
}

/// `matchHeaders`: exact, or `*` at either end; with regard to case.
pub(super) fn header_matches(pattern: &str, value: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let inner = pattern.strip_prefix('*').unwrap_or(pattern);
    let inner = inner.strip_suffix('*').unwrap_or(inner);
    match (pattern.starts_with('*'), pattern.ends_with('*')) {
        (true, true) => value.contains(inner),
        (true, false) => value.ends_with(inner),
        (false, true) => value.starts_with(inner),
        (false, false) => value == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Browser;

    #[test]
    fn header_values_keep_their_case() {
        assert!(header_matches("*Upgrade*", "keep-alive, Upgrade"));
        assert!(!header_matches("*upgrade*", "Upgrade"));
        assert!(header_matches("websocket", "websocket"));
        assert!(header_matches("*", ""));
    }

    #[test]
    fn a_protocol_named_for_sockets_matches_nothing() {
        let request = Request::handshake(Browser::Chrome, true, "a.test", 443, "/ws");
        assert_eq!(Test::Protocol("wss".into()).decide(&request), Ok(false));
        assert_eq!(Test::Protocol("https".into()).decide(&request), Ok(true));
        assert_eq!(
            Test::Header("X-Any".into(), Vec::new()).decide(&request),
            Ok(true)
        );
    }
}

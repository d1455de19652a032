//! Matchers: which requests a directive takes, decided for one request as far as the files say.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;

use super::address::host_matches;
use super::cel;
use super::expand::{Directive, Word};
use super::placeholder::{Scene, fill, value_of};
use crate::handshake::{Protocol, Request};
use crate::source::Span;
use crate::syntax::Quote;

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
    File(Vec<Word>),
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

    /// The only path, where it has just one: what the sort looks at.
    pub(super) fn single_path(&self) -> Option<&str> {
        self.sorts_by.as_deref()
    }

    /// Whether its only path begins with other letters than `path`, which is clean.
    pub(super) fn surely_misses(&self, path: &str) -> bool {
        let Some(pattern) = self.sorts_by.as_deref().filter(|_| !self.conditional) else {
            return false;
        };
        let special = |byte: u8| !byte.is_ascii_alphanumeric() && !b"/-_.".contains(&byte);
        pattern
            .bytes()
            .zip(path.bytes())
            .take_while(|(own, _)| !special(*own))
            .any(|(own, asked)| !own.eq_ignore_ascii_case(&asked) && asked.is_ascii())
    }

    /// Whether both say the same, so that Caddy evaluates them once for neighbours.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.said == other.said
    }

    /// The file that its `file` condition finds, for `{file_match.relative}` in what follows.
    pub(super) fn file(&self, request: &Request) -> Option<String> {
        self.tests.iter().find_map(|test| match test {
            Test::File(candidates) => match first_file(candidates, &request.path) {
                Tried::File(path) => Some(path),
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
    for test in tests {
        match test.decide_in(scene) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(why) => doubt = Some(why),
        }
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
            Self::File(candidates) => match first_file(candidates, &request.path) {
                Tried::File(_) => Ok(true),
                // What has an ending may well be a file.
                Tried::None if names_file(&request.path) => Err(Doubt::Circumstances),
                Tried::None => Ok(false),
                Tried::Status(_) => Err(Doubt::Circumstances),
                Tried::Hidden(_, what) => Err(Doubt::Hidden(what)),
            },
            Self::Open(_) => Err(Doubt::Circumstances),
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

/// What becomes of a list of files to try.
pub(super) enum Tried {
    /// This path is a file.
    File(String),
    /// The last resort is this status.
    Status(Option<u16>),
    /// None of them is there.
    None,
    /// One is hidden.
    Hidden(Span, String),
}

/// No file stands where a socket is, so what depends on the path does not exist; what is named
/// outright (`/index.html`) is there, or nobody would name it.
pub(super) fn first_file(candidates: &[Word], asked: &str) -> Tried {
    // `handle_path /ws` leaves nothing of `/ws`, which is the root as well.
    let root = matches!(asked, "" | "/");
    for candidate in candidates {
        if let Some(unknown) = &candidate.unknown {
            return Tried::Hidden(candidate.span, unknown.clone());
        }
        let text = candidate.text.as_str();
        if let Some(status) = text.strip_prefix('=') {
            return Tried::Status(status.parse().ok());
        }
        let path = text.split('?').next().unwrap_or_default();
        // Only where the file says so is a folder meant, and the root is one (fileserver/matcher.go).
        if root && matches!(path, "{path}/" | "{http.request.uri.path}/") {
            return Tried::File("/".to_owned());
        }
        // So does a file in it that the line names.
        let below = path
            .strip_prefix("{path}/")
            .or_else(|| path.strip_prefix("{http.request.uri.path}/"));
        if let Some(file) = below.filter(|file| root && !file.contains('{')) {
            return Tried::File(format!("/{file}"));
        }
        // A matcher's name is a file's name to `try_files`, which takes no matcher.
        if path.is_empty() || path.contains('{') || path.starts_with('@') || path.ends_with('*') {
            continue;
        }
        return Tried::File(format!("/{}", path.trim_start_matches('/')));
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

/// Whether a path is what Go's `path.Clean` makes of it, but for a slash at its end.
pub(super) fn is_clean(path: &str) -> bool {
    !path.is_empty() && (!path.starts_with('/') || !path.contains("//") && !path.contains("/."))
}

/// `CleanPath`: an absolute path, with neither empty nor dotted parts.
fn clean(path: &str) -> Cow<'_, str> {
    if path.is_empty() {
        // path.Clean; see `strip_prefix`.
        return Cow::Borrowed(".");
    }
    if is_clean(path) {
        return Cow::Borrowed(path);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let folder = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    let end = if folder && !parts.is_empty() { "/" } else { "" };
    Cow::Owned(format!("/{}{end}", parts.join("/")))
}

/// `MatchPath`: without regard to case, `*` at either end or in between.
pub(super) fn path_matches(pattern: &str, path: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let path = if pattern.contains("//") {
        Cow::Borrowed(path)
    } else {
        clean(path)
    };
    let inner = pattern.trim_matches('*');
    let stars = pattern.bytes().filter(|byte| *byte == b'*').count();
    let (first, last) = (pattern.starts_with('*'), pattern.ends_with('*'));
    // In between, `*` stands for anything but `/` (path.Match).
    if inner.contains(['*', '?', '[']) || stars > 1 && !(stars == 2 && first && last) {
        return glob(&pattern.to_lowercase(), &path.to_lowercase());
    }
    let equal =
        |part: Option<&[u8]>| part.is_some_and(|part| part.eq_ignore_ascii_case(inner.as_bytes()));
    let (bytes, length) = (path.as_bytes(), inner.len());
    match (first, last) {
        (true, true) => bytes.windows(length.max(1)).any(|part| equal(Some(part))),
        (true, false) => equal(
            bytes
                .len()
                .checked_sub(length)
                .and_then(|from| bytes.get(from..)),
        ),
        (false, true) => equal(bytes.get(..length)),
        (false, false) => equal(Some(bytes)),
    }
}

/// Go's `path.Match`: `*` and `?` stand for anything but `/`, `[a-z]` for one of these.
fn glob(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), path.chars().collect());
    let (mut at, mut from) = (0, 0);
    // The last star, and where what it stands for ends.
    let mut star: Option<(usize, usize)> = None;
    while from < path.len() {
        let next = match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
                continue;
            }
            Some('?') if path[from] != '/' => Some(at + 1),
            Some('[') => class(&pattern[at..], path[from]).map(|length| at + length),
            Some('\\') if pattern.get(at + 1) == Some(&path[from]) => Some(at + 2),
            Some(own) if *own == path[from] && *own != '?' => Some(at + 1),
            _ => None,
        };
        match (next, star) {
            (Some(next), _) => {
                at = next;
                from += 1;
            }
            (None, Some((own, end))) if path[end] != '/' => {
                star = Some((own, end + 1));
                (at, from) = (own + 1, end + 1);
            }
            _ => return false,
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

/// The length of the class `[…]` that `pattern` begins with, if it holds `character`.
fn class(pattern: &[char], character: char) -> Option<usize> {
    let end = 1
        + pattern
            .get(1..)?
            .iter()
            .skip(1)
            .position(|own| *own == ']')?
        + 1;
    let inner = &pattern[1..end];
    let (inner, negated) = match inner.split_first() {
        Some(('^', rest)) => (rest, true),
        _ => (inner, false),
    };
    let mut holds = false;
    let mut rest = inner;
    while let Some((first, after)) = rest.split_first() {
        rest = match after {
            ['-', last, after @ ..] => {
                holds |= (*first..=*last).contains(&character);
                after
            }
            after => {
                holds |= *first == character;
                after
            }
        };
    }
    (holds != negated && character != '/').then_some(end + 1)
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

/// Reads the definition of a named matcher: `@name path /x`, `@name { … }` or ``@name `CEL` ``.
pub(super) fn define(directive: &Directive) -> Matcher {
    let mut tests = Vec::new();
    if let Some(first) = directive.args().first() {
        if first.quote != Quote::None {
            tests.extend(cel::read(&first.text, first));
        } else {
            test(
                &first.text,
                &directive.args()[1..],
                directive.children(),
                &mut tests,
            );
        }
    } else {
        set(directive.children(), &mut tests);
    }
    if directive.partial {
        tests.push(Test::Open(String::new()));
    }
    Matcher {
        span: None,
        definition: Some(directive.head),
        name: Some(directive.name().trim_start_matches('@').to_owned()),
        tests: Arc::new(tests),
        conditional: is_conditional(directive),
        sorts_by: only_path(directive),
        said: said(directive).into(),
    }
}

/// The pattern of a definition's `path` conditions, where it is the only one.
fn only_path(directive: &Directive) -> Option<Arc<str>> {
    let inline = directive.args().first().filter(|word| word.text == "path");
    let inline = inline.into_iter().flat_map(|_| &directive.args()[1..]);
    let lines = directive
        .children()
        .iter()
        .filter(|line| line.name() == "path");
    let mut patterns = inline.chain(lines.flat_map(Directive::args));
    match (patterns.next(), patterns.next()) {
        (Some(path), None) => Some(path.text.as_str().into()),
        _ => None,
    }
}

/// Whether a template may leave out the definition or any line in it.
fn is_conditional(directive: &Directive) -> bool {
    directive.conditional || directive.children().iter().any(is_conditional)
}

/// The conditions of a definition as text, whatever its form.
fn said(directive: &Directive) -> String {
    let line = |words: &[Word]| {
        words
            .iter()
            .map(|word| word.text.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut lines: Vec<String> = directive
        .children()
        .iter()
        .map(|child| match child.block {
            Some(_) => format!("{} {{ {} }}", line(&child.words), said(child)),
            None => line(&child.words),
        })
        .collect();
    lines.sort();
    if directive.name().starts_with('@') && !directive.args().is_empty() {
        let own = line(directive.args());
        lines = vec![if lines.is_empty() {
            own
        } else {
            format!("{own} {{ {} }}", lines.join("; "))
        }];
    }
    lines.join("; ")
}

fn set(lines: &[Directive], tests: &mut Vec<Test>) {
    for line in lines {
        if line
            .words
            .first()
            .is_some_and(|word| word.quote != Quote::None)
        {
            tests.extend(cel::read(line.name(), &line.words[0]));
        } else {
            test(line.name(), line.args(), line.children(), tests);
        }
    }
}

fn test(name: &str, args: &[Word], children: &[Directive], tests: &mut Vec<Test>) {
    let texts = || args.iter().map(|word| word.text.clone());
    match name {
        "path" => {
            // Two lines are one matcher with all their patterns.
            if let Some(Test::Path(patterns)) =
                tests.iter_mut().find(|test| matches!(test, Test::Path(_)))
            {
                patterns.extend(args.iter().cloned());
            } else {
                tests.push(Test::Path(args.to_vec()));
            }
        }
        "host" => {
            if let Some(Test::Host(hosts)) =
                tests.iter_mut().find(|test| matches!(test, Test::Host(_)))
            {
                hosts.extend(args.iter().cloned());
            } else {
                tests.push(Test::Host(args.to_vec()));
            }
        }
        "method" => tests.push(Test::Method(texts().collect())),
        "protocol" => tests.push(Test::Protocol(texts().next().unwrap_or_default())),
        "path_regexp" => tests.push(Test::PathRegexp(compile(args))),
        "query" => {
            for word in args {
                let (key, value) = word.text.split_once('=').unwrap_or((&word.text, ""));
                let value = Word {
                    text: value.to_owned(),
                    ..word.clone()
                };
                let same = tests.iter_mut().find_map(|test| match test {
                    Test::Query(name, values) if name == key => Some(values),
                    _ => None,
                });
                match same {
                    Some(values) => values.push(value),
                    None => tests.push(Test::Query(key.to_owned(), vec![value])),
                }
            }
        }
        "vars" => match args.split_first() {
            Some((key, values)) if !values.is_empty() => {
                tests.push(Test::Vars(key.text.clone(), values.to_vec()));
            }
            _ => tests.push(Test::Open(name.to_owned())),
        },
        "header" => {
            let Some(field) = args.first() else { return };
            match field.text.strip_prefix('!') {
                Some(field) => tests.push(Test::Header(field.to_owned(), Vec::new())),
                // A field without a value is an error of Caddy's.
                None if args.len() < 2 => tests.push(Test::Open(name.to_owned())),
                None => {
                    let same = tests.iter_mut().find_map(|test| match test {
                        Test::Header(name, values)
                            if name.eq_ignore_ascii_case(&field.text) && !values.is_empty() =>
                        {
                            Some(values)
                        }
                        _ => None,
                    });
                    match same {
                        Some(values) => values.extend(args[1..].iter().cloned()),
                        None => tests.push(Test::Header(field.text.clone(), args[1..].to_vec())),
                    }
                }
            }
        }
        "header_regexp" => {
            let (field, regex) = match args {
                [field, _] => (field, compile(&args[1..])),
                [name, field, regex] => (field, compile(&[name.clone(), regex.clone()])),
                _ => return tests.push(Test::Open(name.to_owned())),
            };
            tests.push(Test::HeaderRegexp(field.text.clone(), regex));
        }
        "not" => {
            let mut inner = Vec::new();
            if let Some((name, rest)) = args.split_first() {
                test(&name.text, rest, children, &mut inner);
            } else {
                set(children, &mut inner);
            }
            tests.push(Test::Not(vec![inner]));
        }
        "file" => tests.push(file(args, children)),
        "expression" => {
            let text = texts().collect::<Vec<_>>().join(" ");
            match args.first() {
                Some(word) => tests.extend(cel::read(&text, word)),
                None => tests.push(Test::Open(name.to_owned())),
            }
        }
        _ => tests.push(Test::Open(name.to_owned())),
    }
}

/// `file`, on one line with the files or with a block (fileserver/matcher.go). Without any it looks
/// for the request's own path.
fn file(args: &[Word], children: &[Directive]) -> Test {
    let mut candidates = args.to_vec();
    for line in children {
        match line.name() {
            "try_files" => candidates.extend(line.args().iter().cloned()),
            "root" => {}
            "try_policy" if matches!(line.arg(0), Some("first_exist" | "first_exist_fallback")) => {
            }
            _ => return Test::Open("file".to_owned()),
        }
    }
    Test::File(candidates)
}

/// A condition by its name and arguments, for expressions.
pub(super) fn named(name: &str, args: &[Word], tests: &mut Vec<Test>) {
    let mut own = Vec::new();
    test(name, args, &[], &mut own);
    tests.append(&mut own);
}

/// A regular expression with the name that its captures go by.
#[derive(Clone, Debug)]
pub struct Expression {
    /// Empty without one.
    pub name: String,
    /// It.
    pub of: Regex,
}

/// Reads `[name] expression`. Go's RE2 and this crate's expressions are close enough to agree
/// wherever both compile.
fn compile(args: &[Word]) -> Option<Expression> {
    let (name, word) = match args {
        [word] => (String::new(), word),
        [name, word] => (name.text.clone(), word),
        _ => return None,
    };
    regex(word).map(|of| Expression { name, of })
}

/// Compiles a regular expression.
pub(super) fn regex(word: &Word) -> Option<Regex> {
    let pattern = word.known()?;
    if pattern.len() >= 1000 || pattern.contains("{$") {
        return None;
    }
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 18)
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Browser;

    #[test]
    fn paths_are_exact_unless_starred_and_without_case() {
        for (pattern, path, expected) in [
            ("/ws", "/ws", true),
            ("/ws", "/ws/", false),
            ("/ws/*", "/ws", false),
            ("/ws/*", "/WS/chat", true),
            ("/ws*", "/wsx", true),
            ("*/websocket", "/a/b/websocket", true),
            ("/", "/ws", false),
            ("/*", "/ws", true),
            ("/app/*/ws", "/app/1/ws", true),
            ("/app/*/ws", "/app/1/2/ws", false),
            ("/a*b*c", "/axxbyyc", true),
            ("/a*b*c", "/axxbyy", false),
            ("/a*b*c", "/abbcc", true),
            ("/v?/ws", "/v1/ws", true),
            ("/v?/ws", "/v/ws", false),
            ("/v[12]/ws", "/v2/ws", true),
            ("/v[^12]/ws", "/v2/ws", false),
            ("/v[0-9]/*/ws", "/V7/x/WS", true),
            ("/ws//x", "/ws/x", false),
            ("/ws/x", "/ws//x", true),
        ] {
            assert_eq!(path_matches(pattern, path), expected, "{pattern} {path}");
        }
    }

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

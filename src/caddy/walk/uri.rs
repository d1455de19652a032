//! What changes a request's path and query on the way.

use super::{End, Walker, hidden};
use crate::caddy::expand::Word;
use crate::caddy::handler::{Action, Handler, HandlerId, UriEdit};
use crate::caddy::matcher::{Candidates, Doubt, Tried, first_file};
use crate::caddy::placeholder::{Scene, fill};
use crate::project::Version;

impl Walker<'_> {
    pub(super) fn uri(&mut self, id: HandlerId, handler: &Handler, edit: &UriEdit) -> Option<End> {
        let mut words = Vec::new();
        match edit {
            UriEdit::StripPrefix(word) | UriEdit::StripSuffix(word) => words.push(word),
            UriEdit::Replace(find, with) => words.extend([find, with]),
            UriEdit::Regexp(_, with) => words.push(with),
            UriEdit::Query(lines) => words.extend(lines.iter().flatten()),
            UriEdit::Other => {}
        }
        if let Some(end) = words.iter().find_map(|word| hidden(word)) {
            return Some(end);
        }
        let filled: Option<Vec<String>> = words
            .iter()
            .map(|word| fill(&word.text, &self.scene()))
            .collect();
        let open = || (!self.frozen).then_some(End::Undecided(handler.head, Doubt::Circumstances));
        let Some(filled) = filled else {
            return open();
        };
        let request = &self.walk.request;
        let path = match (edit, filled.as_slice()) {
            (UriEdit::StripPrefix(_), [prefix]) => {
                strip_prefix(&request.path, prefix, self.handlers.version)
            }
            (UriEdit::StripSuffix(_), [suffix]) => {
                let backwards = |text: &str| -> String { text.chars().rev().collect() };
                let suffix = backwards(suffix);
                let path = backwards(&request.path);
                let rest = path.get(suffix.len()..).filter(|_| {
                    path.get(..suffix.len())
                        .is_some_and(|start| start.eq_ignore_ascii_case(&suffix))
                });
                backwards(rest.unwrap_or(&path))
            }
            (UriEdit::Replace(..), [find, with]) => {
                if let (Some(query), false) = (&request.query, self.frozen) {
                    let query = query.replace(find, with);
                    let path = request.path.replace(find, with);
                    self.walk.request.query = Some(query);
                    self.change(id, path);
                    return None;
                }
                request.path.replace(find, with)
            }
            (UriEdit::Regexp(Some(regex), _), [with]) => {
                regex.replace_all(&request.path, with.as_str()).into_owned()
            }
            (UriEdit::Query(lines), _) => {
                if !self.frozen {
                    self.edit_query(lines);
                }
                return None;
            }
            _ => return open(),
        };
        self.change(id, path);
        None
    }

    /// `uri query`: renames, then sets, adds, replaces and deletes (rewrite.go, queryOps.do).
    fn edit_query(&mut self, lines: &[Vec<Word>]) {
        let query = self.walk.request.query.clone().unwrap_or_default();
        let mut pairs: Vec<(String, String)> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        for line in lines {
            let Some(key) = line.first().map(|word| word.text.as_str()) else {
                continue;
            };
            let value = line
                .get(1)
                .and_then(|word| fill(&word.text, &self.scene()))
                .unwrap_or_default();
            if let Some(key) = key.strip_prefix('-') {
                pairs.retain(|(own, _)| own != key);
            } else if let Some(key) = key.strip_prefix('+') {
                pairs.push((key.to_owned(), value));
            } else if let Some((from, to)) = key.split_once('>') {
                for pair in pairs.iter_mut().filter(|(own, _)| own == from) {
                    to.clone_into(&mut pair.0);
                }
            } else if line.len() == 2 {
                pairs.retain(|(own, _)| own != key);
                pairs.push((key.to_owned(), value));
            }
        }
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        self.walk.request.query = Some(pairs.join("&")).filter(|query| !query.is_empty());
    }

    pub(super) fn try_files(&mut self, id: HandlerId, candidates: &Candidates) -> Option<End> {
        let mut by_path = candidates
            .words
            .iter()
            .take_while(|word| word.text.contains('{'));
        if by_path.any(|word| word.text == "{path}") && self.names_document(&self.walk.request.path)
        {
            return None;
        }
        match first_file(candidates, &self.scene()) {
            Tried::File(path) => self.change(id, path),
            Tried::Named(path) => {
                self.change(id, path);
                self.walk.supposed = Some(id);
            }
            Tried::Status(_) if self.frozen => {}
            Tried::Status(status) => {
                self.walk.passed.push(id);
                return Some(self.fail(id, status));
            }
            Tried::Perhaps if self.frozen => {}
            Tried::Perhaps => {
                let head = self.handlers.get(id).head;
                return Some(End::Undecided(head, Doubt::Circumstances));
            }
            Tried::Hidden(span, what) => return Some(End::Undecided(span, Doubt::Hidden(what))),
            Tried::None => {}
        }
        None
    }

    /// Whether a rewrite before named `path` outright: then it has a file in mind.
    pub(super) fn names_document(&self, path: &str) -> bool {
        self.walk.changes.last().is_some_and(|change| {
            let outright = match &self.handlers.get(change.by).action {
                Action::TryFiles(_) => true,
                // It may also name a path for what comes after it: a file has an ending.
                Action::Rewrite(to) => {
                    let name = path.rsplit('/').next().unwrap_or_default();
                    name.contains('.') && !to.text.contains("{path}") && !to.text.contains("{uri}")
                }
                _ => false,
            };
            outright && change.to == path
        })
    }
}

/// What `rewrite` makes of a request (modules/caddyhttp/rewrite/rewrite.go).
pub(in crate::caddy) fn rewritten(
    to: &str,
    scene: &Scene<'_>,
) -> Option<(String, Option<Option<String>>)> {
    let to = to.split('#').next().unwrap_or_default();
    // `{?query}` is a placeholder, not the beginning of a query.
    let mut depth = 0_usize;
    let mark = to.char_indices().find(|(_, character)| {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *character == '?' && depth == 0
    });
    let (path, query) = match mark {
        Some((at, _)) => (&to[..at], Some(&to[at + 1..])),
        None => (to, None),
    };
    let path = if path.is_empty() {
        scene.request.path.clone()
    } else {
        fill(path, scene)?
    };
    let query = match query {
        Some(query) => Some(Some(fill(query, scene)?)),
        None => None,
    };
    // A placeholder may bring a query along.
    Some(match path.split_once('?') {
        Some((path, injected)) => (
            path.to_owned(),
            Some(query.unwrap_or_else(|| Some(injected.to_owned()))),
        ),
        None => (path, query),
    })
}

/// `trimPathPrefix`: with or without a leading slash in the prefix.
pub(super) fn strip_prefix(path: &str, prefix: &str, version: Version) -> String {
    // `handle_path /*` strips nothing.
    if prefix.is_empty() {
        return path.to_owned();
    }
    let prefix = format!("/{}", prefix.trim_start_matches('/'));
    let matches = path
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(&prefix));
    if !matches {
        return path.to_owned();
    }
    let rest = &path[prefix.len()..];
    // Before 2.7 what is left of a path may lack its slash for the matchers that come after.
    if rest.starts_with('/') || version < [2, 7, 0] {
        rest.to_owned()
    } else {
        format!("/{rest}")
    }
}

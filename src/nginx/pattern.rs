//! Regular expressions as nginx has them, in locations, maps, `if` and names of servers.

use std::sync::OnceLock;

use crate::handshake::{endpoints, is_companion};

/// Regular expressions of one level or map that are tried.
pub(super) const MAX_REGEXES: usize = 500;

/// Bytes that one compiled expression may take.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// Steps that an expression with look-around may take.
const MAX_BACKTRACKS: usize = 20_000;

/// What a match captured.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// The whole match, then the groups; empty where one took no part.
    pub groups: Vec<String>,
    /// The named groups.
    pub named: Vec<(String, String)>,
}

/// A regular expression as nginx has it, compiled when first needed.
#[derive(Debug)]
pub struct Pattern {
    /// The expression.
    pub text: String,
    /// Whether case is ignored.
    pub ignore_case: bool,
    compiled: OnceLock<Option<Compiled>>,
}

#[derive(Debug)]
enum Compiled {
    Plain(regex::Regex),
    /// With look-around or back references, which the plain engine does not have.
    Fancy(Box<fancy_regex::Regex>),
}

impl Pattern {
    /// A pattern that is not compiled yet.
    pub fn new(text: &str, ignore_case: bool) -> Self {
        Self {
            text: text.to_owned(),
            ignore_case,
            compiled: OnceLock::new(),
        }
    }

    /// Whether it matches; `None` if that can't be told.
    pub fn is_match(&self, subject: &str) -> Option<bool> {
        match self.compiled()? {
            Compiled::Plain(regex) => Some(regex.is_match(subject)),
            Compiled::Fancy(regex) => regex.is_match(subject).ok(),
        }
    }

    /// What it captures, if it matches; the outer `None` if that can't be told.
    pub fn captures(&self, subject: &str) -> Option<Option<Captured>> {
        let text = |at: Option<&str>| at.unwrap_or_default().to_owned();
        let mut captured = Captured::default();
        match self.compiled()? {
            Compiled::Plain(regex) => {
                let Some(found) = regex.captures(subject) else {
                    return Some(None);
                };
                let group = |one: Option<regex::Match<'_>>| text(one.map(|one| one.as_str()));
                captured.groups.extend(found.iter().map(group));
                for name in regex.capture_names().flatten() {
                    captured
                        .named
                        .push((name.to_owned(), group(found.name(name))));
                }
            }
            Compiled::Fancy(regex) => {
                let Some(found) = regex.captures(subject).ok()? else {
                    return Some(None);
                };
                let group = |one: Option<fancy_regex::Match<'_>>| text(one.map(|one| one.as_str()));
                captured.groups.extend(found.iter().map(group));
                for name in regex.capture_names().flatten() {
                    captured
                        .named
                        .push((name.to_owned(), group(found.name(name))));
                }
            }
        }
        Some(Some(captured))
    }

    /// The compiled expression, if it can be read.
    fn compiled(&self) -> Option<&Compiled> {
        let compiled = self.compiled.get_or_init(|| {
            let text = if self.ignore_case {
                format!("(?i){}", self.text)
            } else {
                self.text.clone()
            };
            let plain = regex::RegexBuilder::new(&text)
                .size_limit(MAX_REGEX_BYTES)
                .build();
            plain.map(Compiled::Plain).ok().or_else(|| {
                fancy_regex::RegexBuilder::new(&text)
                    .delegate_size_limit(MAX_REGEX_BYTES)
                    .backtrack_limit(MAX_BACKTRACKS)
                    .build()
                    .map(|regex| Compiled::Fancy(Box::new(regex)))
                    .ok()
            })
        });
        compiled.as_ref()
    }

    /// Whether it is one of the usual ways to write "everything".
    pub fn takes_all(&self) -> bool {
        matches!(
            self.text.as_str(),
            "^" | "/"
                | "^/"
                | ".*"
                | "(.*)"
                | "^.*"
                | "^(.*)"
                | "^(.*)$"
                | "^.*$"
                | "/.*"
                | "/(.*)"
                | "^/.*"
                | "^/(.*)"
                | "^/(.*)$"
                | "^/(.*)/?$"
                | "^/.*$"
        )
    }

    /// The path or folder that its matches lie in (`.` before a letter taken for itself), as far
    /// as that can be read off; empty where it can't.
    pub fn literal_prefix(&self) -> String {
        self.split().0
    }

    /// Whether what it asks for beyond its [prefix](Self::literal_prefix) is files
    /// (`^/ws/.*\\.js$`) or a plain-HTTP neighbour of sockets (`^/ws/(health|metrics)`).
    pub fn is_plain_http(&self) -> bool {
        let (prefix, rest) = self.split();
        let rest = if prefix.len() > 1 { rest } else { &self.text };
        let name = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        let plain = rest.replace('\\', "").replace(".io", "");
        let file = plain.rsplit_once('.').is_some_and(|(_, suffix)| {
            !suffix.contains('/')
                && suffix.starts_with(|c: char| c == '(' || c.is_ascii_alphanumeric())
        });
        file || rest.split(name).any(is_companion)
    }

    /// The path of the well-known endpoint that it names without beginning with it
    /// (`^/(ws|chat)/`). An expression that takes ordinary pages as well names none.
    pub fn names_endpoint(&self) -> Option<String> {
        let text = self.text.replace('\\', "");
        let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let named = endpoints().iter().find_map(|endpoint| {
            let path = endpoint.path.trim_end_matches('/');
            let name = path.trim_start_matches('/');
            text.match_indices(name)
                .any(|(at, _)| {
                    !text[..at].ends_with(letter) && !text[at + name.len()..].starts_with(letter)
                })
                .then(|| [format!("{path}/"), path.to_owned()])?
                .into_iter()
                .find(|path| self.is_match(path) == Some(true))
        })?;
        let broad = || {
            ["/", "/index.html", "/about", "/api/users", "/a/b/c"]
                .iter()
                .any(|path| self.is_match(path) != Some(false))
        };
        (!self.is_plain_http() && !broad()).then_some(named)
    }

    /// The literal prefix, and what follows it.
    fn split(&self) -> (String, &str) {
        let text = self.text.strip_prefix('^').unwrap_or(&self.text);
        let mut prefix = String::new();
        let mut rest = text.chars();
        let mut whole = true;
        while let Some(character) = rest.next() {
            match character {
                '\\' => match rest.next() {
                    Some(escaped) if !escaped.is_ascii_alphanumeric() => prefix.push(escaped),
                    _ => {
                        whole = false;
                        break;
                    }
                },
                // An alternative may begin otherwise.
                '|' => return (String::new(), text),
                '$' => break,
                // People forget to escape it.
                '.' if rest
                    .as_str()
                    .starts_with(|c: char| c.is_ascii_alphanumeric()) =>
                {
                    prefix.push('.');
                }
                '(' | '[' | '.' | '^' | ')' | '{' => {
                    let what = rest.as_str();
                    whole = character == '.' && what.starts_with('*')
                        || character == '('
                            && (what.starts_with(".*")
                                || what.starts_with('/')
                                || what.starts_with("?:/"));
                    break;
                }
                // What may be missing is no part of the prefix.
                '?' | '*' => {
                    whole = prefix.pop() == Some('/');
                    break;
                }
                '+' => {
                    whole = prefix.ends_with('/');
                    break;
                }
                other => prefix.push(other),
            }
        }
        if !whole {
            prefix.truncate(prefix.rfind('/').map_or(0, |slash| slash + 1));
        }
        if !prefix.starts_with('/') {
            prefix.clear();
        }
        (prefix, rest.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expressions_prefix_is_a_whole_path_or_folder() {
        for (pattern, prefix) in [
            ("^/ws/", "/ws/"),
            ("^/ws$", "/ws"),
            ("^/ws/?$", "/ws"),
            ("^/ws(/.*)?$", "/ws"),
            ("^/ws/(.*)", "/ws/"),
            ("^/ws/[a-z]+", "/ws/"),
            ("^/socket\\.io/", "/socket.io/"),
            ("^/wsx?/", "/"),
            ("^/ws[0-9]", "/"),
            ("^/(api|ws)/", "/"),
            ("\\.php$", ""),
            ("^/ws/|^/api/", ""),
            ("/socket.io/", "/socket.io/"),
        ] {
            assert_eq!(
                Pattern::new(pattern, false).literal_prefix(),
                prefix,
                "{pattern}"
            );
        }
    }

    #[test]
    fn expressions_name_endpoints_in_many_ways() {
        for (pattern, named) in [
            ("^/(websocket|websocket\\/)", Some("/websocket/")),
            ("^/(news|ws)/", Some("/ws/")),
            ("^/(news|ws)$", Some("/ws")),
            ("/(chat/)?ws", Some("/ws/")),
            ("^/(static|ws)", None),
            ("^/(|ws)", None),
            ("^/[a-z]+$", None),
            ("/news", None),
            ("^/ws/.*\\.js$", None),
            ("/ws/(health|metrics)$", None),
        ] {
            assert_eq!(
                Pattern::new(pattern, false).names_endpoint().as_deref(),
                named,
                "{pattern}"
            );
        }
        for (pattern, plain) in [
            ("^/ws/.*\\.(png|js)$", true),
            ("^/ws/(.*)\\.wsdl$", true),
            ("^/ws/(health|metrics)$", true),
            ("^/socket\\.io/", false),
            ("/socket.io/.*\\.js$", true),
            ("^/ws/.*.(js|css)$", true),
            ("^/(socket\\.io|engine\\.io)", false),
            ("^/ws/(.*)$", false),
        ] {
            assert_eq!(
                Pattern::new(pattern, false).is_plain_http(),
                plain,
                "{pattern}"
            );
        }
    }
}

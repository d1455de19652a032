//! Regular expressions as nginx has them, in locations, maps, `if` and names of servers.

use std::sync::OnceLock;

/// Regular expressions of one level or map that are tried.
pub(super) const MAX_REGEXES: usize = 500;

/// Bytes that one compiled expression may take.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// Steps that an expression with look-around may take.
const MAX_BACKTRACKS: usize = 20_000;

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
        match compiled.as_ref()? {
            Compiled::Plain(regex) => Some(regex.is_match(subject)),
            Compiled::Fancy(regex) => regex.is_match(subject).ok(),
        }
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

    /// The path or folder that every match of it lies in, as far as that can be read off; empty
    /// where it can't.
    pub fn literal_prefix(&self) -> String {
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
                '|' => return String::new(),
                '$' => break,
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
        if prefix.starts_with('/') {
            prefix
        } else {
            String::new()
        }
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
        ] {
            assert_eq!(
                Pattern::new(pattern, false).literal_prefix(),
                prefix,
                "{pattern}"
            );
        }
    }
}

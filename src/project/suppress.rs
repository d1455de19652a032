//! Suppression comments: `# wslint: ignore[rule] reason` on the line or the line above, and
//! `# wslint: ignore-file[rule] reason` for a whole file.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::source::{Source, Span};

/// One suppression comment's claim on one rule.
#[derive(Debug)]
pub struct Suppression {
    /// The rule or group that it names.
    pub rule: String,
    /// Where the rule's name stands in the comment.
    pub span: Span,
    /// The whole comment.
    pub comment: Span,
    /// The lines that it covers, from 1; `None` for the whole file.
    pub lines: Option<(usize, usize)>,
    used: AtomicBool,
}

impl Suppression {
    /// Whether it suppressed anything so far.
    pub fn is_used(&self) -> bool {
        self.used.load(Relaxed)
    }
}

/// The suppressions of one source.
#[derive(Debug, Default)]
pub struct Suppressions {
    /// In file order.
    pub all: Vec<Suppression>,
}

impl Suppressions {
    /// Reads the comments of `source`. nginx, Caddyfiles, Python and TOML all begin a comment
    /// with `#`; a mention within a string is told apart by what stands before it on the line.
    pub fn read(source: &Source) -> Self {
        let text = source.text.as_bytes();
        let mut all = Vec::new();
        for at in memchr::memmem::find_iter(text, b"wslint:") {
            let line_start = memchr::memrchr(b'\n', &text[..at]).map_or(0, |newline| newline + 1);
            let line_end =
                memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |length| at + length);
            let Some((b'#', before)) = text[line_start..at].trim_ascii_end().split_last() else {
                continue;
            };
            // A `#` begins a comment only where a token may begin.
            let begins = before
                .last()
                .is_none_or(|byte| byte.is_ascii_whitespace() || b";{}".contains(byte));
            if !begins {
                continue;
            }
            let comment_start = line_start + before.len();
            let comment_end = line_start + text[line_start..line_end].trim_ascii_end().len();
            let after = at + b"wslint:".len();
            let rest = &source.text[after..comment_end.max(after)];
            let trimmed = rest.trim_start();
            let (whole_file, list_at) = if let Some(list) = trimmed.strip_prefix("ignore-file[") {
                (true, comment_end - list.len())
            } else if let Some(list) = trimmed.strip_prefix("ignore[") {
                (false, comment_end - list.len())
            } else {
                continue;
            };
            let list = &source.text[list_at..comment_end];
            let Some(close) = list.find(']') else {
                continue;
            };
            let line = source.position(at).line;
            let alone = text[line_start..comment_start].trim_ascii().is_empty();
            let lines = (!whole_file).then(|| {
                if alone {
                    (line, line + 1)
                } else {
                    (line, line)
                }
            });
            let mut from = list_at;
            for name in list[..close].split(',') {
                let lead = name.len() - name.trim_start().len();
                let start = from + lead;
                let rule = name.trim().to_owned();
                from += name.len() + 1;
                if rule.is_empty() {
                    continue;
                }
                all.push(Suppression {
                    span: Span::new(source.id, start..start + rule.len()),
                    comment: Span::new(source.id, comment_start..comment_end),
                    rule,
                    lines,
                    used: AtomicBool::new(false),
                });
            }
        }
        Self { all }
    }

    /// Whether a finding of the rule at this line is suppressed; marks what did it as used.
    pub fn suppress(&self, rule: &str, line: usize) -> bool {
        let group = rule.split('/').next().unwrap_or_default();
        let mut suppressed = false;
        for suppression in &self.all {
            let named = suppression.rule == rule || suppression.rule == group;
            let covers = suppression
                .lines
                .is_none_or(|(first, last)| (first..=last).contains(&line));
            if named && covers {
                suppression.used.store(true, Relaxed);
                suppressed = true;
            }
        }
        suppressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Kind, SourceId};

    fn read(text: &str) -> Suppressions {
        let source = Source::new(
            SourceId(0),
            "a".into(),
            "a".into(),
            Kind::Nginx,
            text.into(),
            None,
        );
        Suppressions::read(&source)
    }

    #[test]
    fn a_comment_covers_its_line_and_the_next_when_it_stands_alone() {
        let found = read(
            "a;\n# wslint: ignore[nginx/x, django] old clients\nb;\nc; # wslint: ignore[caddy/y]\nd;\n",
        );
        assert_eq!(found.all.len(), 3);
        assert!(found.suppress("nginx/x", 3) && found.suppress("django/z", 3));
        assert!(!found.suppress("nginx/x", 4));
        assert!(found.suppress("caddy/y", 4) && !found.suppress("caddy/y", 5));
    }

    #[test]
    fn a_file_comment_covers_everything_and_a_string_nothing() {
        let found = read("# wslint: ignore-file[nginx/x] generated\n");
        assert!(found.suppress("nginx/x", 900));
        assert!(
            read("set $a 'see x#wslint: ignore[nginx/x]';\n")
                .all
                .is_empty()
        );
    }
}

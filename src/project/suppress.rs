//! Suppression comments: `# wslint: ignore[rule] reason` on the line or the line above, and
//! `# wslint: ignore-file[rule] reason` for a whole file.

use std::ops::Range;
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
    /// Whether it suppressed anything so far, or may have.
    pub fn is_used(&self) -> bool {
        self.used.load(Relaxed)
    }

    /// Takes it for used: nobody looked for what it is about.
    pub fn excuse(&self) {
        self.used.store(true, Relaxed);
    }
}

/// The suppressions of one source.
#[derive(Debug, Default)]
pub struct Suppressions {
    /// In file order.
    pub all: Vec<Suppression>,
    /// Comments that are meant to suppress and are not of the form that does.
    pub malformed: Vec<Span>,
}

/// How a comment of ours begins, and words by which other linters suppress: who writes one of
/// these after `wslint:` wants to suppress.
const MARKS: [&str; 2] = ["wslint:", "WSLINT:"];
const ATTEMPTS: [&str; 8] = [
    "ignore", "disable", "skip", "noqa", "nolint", "allow", "suppress", "off",
];

impl Suppressions {
    /// Reads the comments of `source`. nginx, Caddyfiles, Python and TOML all begin a comment
    /// with `#`.
    pub fn read(source: &Source) -> Self {
        let mut found = Self::default();
        let text = source.text.as_bytes();
        let mut marks: Vec<usize> = MARKS
            .iter()
            .flat_map(|mark| memchr::memmem::find_iter(text, mark.as_bytes()))
            .collect();
        marks.sort_unstable();
        for at in marks {
            let line = memchr::memrchr(b'\n', &text[..at]).map_or(0, |newline| newline + 1);
            let end = memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |length| at + length);
            if let Some((b'#', before)) = text[line..at].trim_ascii_end().split_last()
                && begins_comment(before)
            {
                let start = line + before.len();
                let end = line + text[line..end].trim_ascii_end().len();
                found.comment(source, start..end, at);
            }
        }
        found
    }

    /// Reads one comment, whose `wslint:` stands at `at`.
    fn comment(&mut self, source: &Source, comment: Range<usize>, at: usize) {
        let span = Span::new(source.id, comment.clone());
        let after = at + MARKS[0].len();
        let words = source
            .text
            .get(after..comment.end)
            .unwrap_or_default()
            .trim_start();
        let list = ["ignore-file[", "ignore["]
            .into_iter()
            .find_map(|form| Some((form, words.strip_prefix(form)?)))
            .and_then(|(form, rest)| Some((form, rest.split_once(']')?.0, rest)));
        let names = list.filter(|(_, list, _)| !list.trim().is_empty());
        let Some((form, list, rest)) = names.filter(|_| source.text[at..].starts_with(MARKS[0]))
        else {
            let words = words.to_ascii_lowercase();
            if ATTEMPTS.iter().any(|attempt| words.starts_with(attempt)) {
                self.malformed.push(span);
            }
            return;
        };
        let lines = (form == "ignore[").then(|| covered(source, &comment));
        let mut from = comment.end - rest.len();
        for name in list.split(',') {
            let start = from + (name.len() - name.trim_start().len());
            let rule = name.trim().to_owned();
            from += name.len() + 1;
            if !rule.is_empty() {
                self.all.push(Suppression {
                    span: Span::new(source.id, start..start + rule.len()),
                    comment: span,
                    rule,
                    lines,
                    used: AtomicBool::new(false),
                });
            }
        }
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

/// Whether a `#` after `before` on its line begins a comment: a token may begin there, and no
/// string is open. A quote opens a string only where a token may begin (`it's` does not).
fn begins_comment(before: &[u8]) -> bool {
    let may_begin = |byte: u8| byte.is_ascii_whitespace() || b";{}(),=[:".contains(&byte);
    let mut open = None;
    let mut last = b' ';
    let mut bytes = before.iter().copied();
    while let Some(byte) = bytes.next() {
        match open {
            Some(_) if byte == b'\\' => drop(bytes.next()),
            Some(quote) if byte == quote => open = None,
            // A prefix such as Python's `r"…"` is a token's beginning, too.
            None if b"\"'`".contains(&byte) && (may_begin(last) || b"rRbBfFuU".contains(&last)) => {
                open = Some(byte);
            }
            _ => {}
        }
        last = byte;
    }
    open.is_none() && (last.is_ascii_whitespace() || b";{}".contains(&last))
}

/// The lines that a comment covers: its own, or, if it stands alone, all up to the next that is
/// no comment.
fn covered(source: &Source, comment: &Range<usize>) -> (usize, usize) {
    let first = source.position(comment.start).line;
    let text = &source.text;
    let line_start = text[..comment.start]
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    if !text[line_start..comment.start].trim().is_empty() {
        return (first, first);
    }
    let more = text[comment.end..]
        .lines()
        .skip(1)
        .take_while(|line| line.trim_start().starts_with('#'))
        .count();
    (first, first + more + 1)
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
    fn comments_may_be_stacked() {
        let found = read("# wslint: ignore[nginx/x]\n# wslint: ignore[nginx/y]\na b;\n");
        assert!(found.suppress("nginx/x", 3) && found.suppress("nginx/y", 3));
        assert!(!found.suppress("nginx/x", 4));
    }

    #[test]
    fn what_is_meant_to_suppress_and_does_not_is_told() {
        for comment in [
            "# wslint: ignore",
            "# wslint: ignore[]",
            "# wslint: ignore-fil[django]",
            "# wslint: ignore [django]",
            "# wslint: disable[django]",
            "# WSLINT: ignore[django]",
            "# wslint: ignore[django",
        ] {
            let found = read(comment);
            assert_eq!(
                (found.all.len(), found.malformed.len()),
                (0, 1),
                "{comment}"
            );
        }
        let prose = read("# wslint: the balancer ends TLS\n");
        assert!(prose.all.is_empty() && prose.malformed.is_empty());
    }

    #[test]
    fn a_string_is_no_comment() {
        for line in [
            "add_header X \"see # wslint: ignore[nginx]\"; proxy_pass http://a;",
            "X = 'a # wslint: ignore[django]'",
            "X = r\"a # wslint: ignore[django]\"",
        ] {
            assert!(read(line).all.is_empty(), "{line}");
        }
        for line in [
            "set $a \"x\"; # wslint: ignore[nginx]",
            "# it's so # wslint: ignore[nginx]",
            "respond it's # wslint: ignore[nginx]",
        ] {
            assert_eq!(read(line).all.len(), 1, "{line}");
        }
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

//! Texts that a regular expression matches, as ordinary as it allows: with one of them a URL can
//! stand for all that a location or an application's route takes.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Texts that are tried for one expression, to reach its alternatives.
const MAX_SAMPLES: usize = 4;

/// Bytes of a text.
const MAX_LENGTH: usize = 200;

/// Blocks within blocks of an expression.
const MAX_NESTING: u32 = 50;

/// What a run of letters becomes.
const WORD: &str = "lobby";

/// Up to four texts that match `pattern` from its start to its end; none where it can't be read
/// (look-around, back references). The caller checks them against the engine that decides.
pub fn samples(pattern: &str, ignore_case: bool) -> Vec<String> {
    let parsed = ParserBuilder::new()
        .case_insensitive(ignore_case)
        .nest_limit(MAX_NESTING)
        .build()
        .parse(pattern);
    let Ok(hir) = parsed else {
        return Vec::new();
    };
    let mut found: Vec<String> = Vec::new();
    for choice in 0..MAX_SAMPLES {
        let mut text = String::new();
        if write(&hir, choice, &mut text).is_some() && !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

/// Writes one text that `hir` matches, taking the alternative number `choice` where there is one.
fn write(hir: &Hir, choice: usize, text: &mut String) -> Option<()> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(std::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(class) => text.push(ordinary(class)?),
        HirKind::Repetition(repetition) => {
            // Servers merge an empty segment away.
            let fills = repetition.min == 0 && text.ends_with('/');
            if (repetition.min == 1 || fills)
                && repetition.max.is_none()
                && let HirKind::Class(class) = repetition.sub.kind()
            {
                match WORD.chars().all(|letter| holds(class, letter)) {
                    true => text.push_str(WORD),
                    false => text.push(ordinary(class)?),
                }
                return Some(());
            }
            for _ in 0..repetition.min {
                write(&repetition.sub, choice, text)?;
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, choice, text)?,
        HirKind::Concat(parts) => {
            for part in parts {
                write(part, choice, text)?;
            }
        }
        HirKind::Alternation(parts) => write(parts.get(choice % parts.len())?, choice, text)?,
    }
    Some(())
}

fn holds(class: &Class, letter: char) -> bool {
    match class {
        Class::Unicode(class) => class
            .iter()
            .any(|range| range.start() <= letter && letter <= range.end()),
        Class::Bytes(class) => class.iter().any(|range| {
            u32::from(range.start()) <= letter as u32 && letter as u32 <= u32::from(range.end())
        }),
    }
}

/// A letter if the class has one, else a digit, else its first printable character.
fn ordinary(class: &Class) -> Option<char> {
    ('a'..='z')
        .chain('0'..='9')
        .chain('!'..='~')
        .find(|letter| holds(class, *letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_matches_its_expression() {
        for (pattern, expected) in [
            ("^/ws/(?<room>[^/]+)/$", "/ws/lobby/"),
            ("^/ws(/.*)?$", "/ws"),
            ("^/room/[0-9]+/ws", "/room/0/ws"),
            ("^/(socket|ws)/", "/socket/"),
            ("^/api/v[1-9]/(users/)?websocket$", "/api/v1/websocket"),
            (r"^ws/chat/(?P<name>\w+)/$", "ws/chat/lobby/"),
            ("^/proxy/[^/]*/ws", "/proxy/lobby/ws"),
            ("^/room/([0-9]*)/ws/.*$", "/room/0/ws/lobby"),
        ] {
            let found = samples(pattern, false);
            assert_eq!(found.first().map(String::as_str), Some(expected));
            let engine = regex::Regex::new(pattern).expect("valid");
            assert!(found.iter().all(|text| engine.is_match(text)), "{pattern}");
        }
        let both = samples("^/(socket|ws)/", false);
        assert_eq!(both, ["/socket/", "/ws/"]);
        assert!(samples("^(?!/api)/ws", false).is_empty());
        assert!(samples("(a{1000}){1000}", false).is_empty());
    }
}

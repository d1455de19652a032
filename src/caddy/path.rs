//! Paths as Caddy's `path` matcher compares them.

use std::borrow::Cow;

/// Whether a path is what Go's `path.Clean` makes of it, but for a slash at its end.
pub(super) fn is_clean(path: &str) -> bool {
    !path.is_empty() && (!path.starts_with('/') || !path.contains("//") && !path.contains("/."))
}

/// `CleanPath`: an absolute path, with neither empty nor dotted parts.
pub(super) fn clean(path: &str) -> Cow<'_, str> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}

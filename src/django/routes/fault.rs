//! Patterns that can match no path that a handshake has.

use super::{Function, Level, Route};

/// Why a pattern can match no path that a handshake has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It asks for a leading slash, which Channels has taken off.
    LeadingSlash,
    /// A regular expression in `path()`, which takes it literally.
    RegexInPath,
    /// A converter of `path()` in `re_path()`, which takes it literally.
    ConverterInRegex,
    /// A query string, which no pattern ever sees.
    Query,
    /// An inner router that a wrapper hides, so that this pattern must match the whole path.
    HiddenRouter,
    /// `$` before an inner router, which leaves nothing of the path to it.
    EndBeforeRouter,
}

impl Route {
    /// The first level that can match nothing, and why.
    pub fn fault(&self) -> Option<(&Level, Fault)> {
        self.levels.iter().enumerate().find_map(|(at, level)| {
            let fault = level.fault().or_else(|| {
                // `path("ws/", Auth(URLRouter([path("", …)])))` matches `ws/` and nothing else.
                let inner = self.levels.get(at + 1)?;
                if inner.rest("") != Some(None) {
                    return None;
                }
                let ends = level.function == Function::RePath
                    && level.pattern.ends_with('$')
                    && !level.pattern.ends_with(r"\$")
                    && alternatives(&level.pattern).len() == 1;
                if level.wrapper.is_some() && (level.function == Function::Path || ends) {
                    Some(Fault::HiddenRouter)
                } else {
                    ends.then_some(Fault::EndBeforeRouter)
                }
            })?;
            Some((level, fault))
        })
    }
}

impl Level {
    fn fault(&self) -> Option<Fault> {
        let text = self.pattern.as_str();
        match self.function {
            Function::Path => {
                if text.starts_with('/') {
                    Some(Fault::LeadingSlash)
                } else if text.contains('?') && !text.contains("(?") {
                    Some(Fault::Query)
                } else if text.starts_with('^')
                    || text.ends_with('$')
                    || ["(?P<", r"\d", r"\w", r"[^/]", ".*"]
                        .iter()
                        .any(|part| text.contains(part))
                {
                    Some(Fault::RegexInPath)
                } else {
                    None
                }
            }
            Function::RePath => {
                let whole = self.endpoint && text.ends_with('$') && !text.ends_with(r"\$");
                if needs_slash(text, whole, 0) {
                    Some(Fault::LeadingSlash)
                } else if has_converter(text) {
                    Some(Fault::ConverterInRegex)
                } else if needs_query(text) {
                    Some(Fault::Query)
                } else {
                    None
                }
            }
        }
    }
}

/// Whether every match of `regex` begins at the start of the path, with a slash.
fn needs_slash(regex: &str, anchored: bool, depth: usize) -> bool {
    if depth > 8 {
        return false;
    }
    // `(?i)`: flags for all of it.
    let flags = regex
        .strip_prefix("(?")
        .and_then(|rest| rest.split_once(')'));
    let regex = match flags {
        Some((flags, rest)) if flags.bytes().all(|flag| flag.is_ascii_lowercase()) => rest,
        _ => regex,
    };
    alternatives(regex).iter().all(|branch| {
        let (branch, anchored) = match branch
            .strip_prefix('^')
            .or_else(|| branch.strip_prefix(r"\A"))
        {
            Some(rest) => (rest, true),
            None => (*branch, anchored),
        };
        if !anchored {
            // `(^/ws)`: the anchor may stand inside.
            return branch.starts_with('(')
                && group(branch).is_some_and(|(inner, after)| {
                    !is_optional(after)
                        && inner.starts_with('^')
                        && needs_slash(inner, false, depth + 1)
                });
        }
        if let Some(after) = branch
            .strip_prefix(r"\/")
            .or_else(|| branch.strip_prefix('/'))
        {
            return !is_optional(after);
        }
        branch.starts_with('(')
            && group(branch).is_some_and(|(inner, after)| {
                !is_optional(after) && needs_slash(inner, true, depth + 1)
            })
    })
}

/// Whether what stands before `after` may be left out.
fn is_optional(after: &str) -> bool {
    after.starts_with(['?', '*']) || after.starts_with("{0") || after.starts_with("{,")
}

/// The top-level alternatives of a regular expression.
fn alternatives(regex: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut class, mut escaped, mut start) = (0usize, false, false, 0);
    for (at, char) in regex.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match char {
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '(' if !class => depth += 1,
            ')' if !class => depth = depth.saturating_sub(1),
            '|' if !class && depth == 0 => {
                parts.push(&regex[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&regex[start..]);
    parts
}

/// The inside of the group at the start of `regex` and what follows it; `None` for a lookaround.
fn group(regex: &str) -> Option<(&str, &str)> {
    let (mut depth, mut class, mut escaped) = (0usize, false, false);
    for (at, char) in regex.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match char {
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '(' if !class => depth += 1,
            ')' if !class => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    let inner = &regex[1..at];
                    let inner = match inner.strip_prefix('?') {
                        None => inner,
                        Some(rest) => match rest.strip_prefix("P<") {
                            Some(named) => named.split_once('>')?.1,
                            None => rest.strip_prefix(':')?,
                        },
                    };
                    return Some((inner, &regex[at + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}

/// `<int:room>` where a named group would be `(?P<room>[0-9]+)`.
fn has_converter(regex: &str) -> bool {
    regex.match_indices('<').any(|(at, _)| {
        let name = regex[at + 1..].split('>').next().unwrap_or_default();
        let closed = regex[at + 1..].len() > name.len();
        let named = name.split(':').all(|part| {
            part.starts_with(|char: char| char.is_ascii_alphabetic())
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        // `(?P<` names a group and `(?<` looks behind.
        closed && named && !regex[..at].ends_with(['P', '?', '\\'])
    })
}

/// `\?token=` outside any group: a question mark that no path holds.
fn needs_query(regex: &str) -> bool {
    if alternatives(regex).len() > 1 {
        return false;
    }
    let (mut depth, mut class) = (0usize, false);
    let mut chars = regex.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => {
                let escaped = chars.next().map(|(_, char)| char);
                if escaped == Some('?') && depth == 0 && !class && !is_optional(&regex[at + 2..]) {
                    return true;
                }
            }
            '[' => class = true,
            ']' => class = false,
            '(' if !class => depth += 1,
            ')' if !class => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::tests::one;
    use super::Fault;

    #[test]
    fn faults_are_those_that_channels_answers_with_500() {
        use Fault::{
            ConverterInRegex, EndBeforeRouter, HiddenRouter, LeadingSlash, Query, RegexInPath,
        };
        for (entry, expected) in [
            ("path('ws/chat/', C.as_asgi())", None),
            ("path('ws/<str:room>/', C.as_asgi())", None),
            ("path('', C.as_asgi())", None),
            ("path('/ws/chat/', C.as_asgi())", Some(LeadingSlash)),
            ("re_path(r'^/ws/chat', C.as_asgi())", Some(LeadingSlash)),
            (
                "re_path(r'^(?:/ws|/chat)/$', C.as_asgi())",
                Some(LeadingSlash),
            ),
            ("re_path(r'^(?:/ws|chat)/$', C.as_asgi())", None),
            ("re_path(r'/ws/chat/$', C.as_asgi())", Some(LeadingSlash)),
            ("re_path(r'/ws/chat/', C.as_asgi())", None),
            ("re_path(r'^/?ws/chat/$', C.as_asgi())", None),
            ("re_path(r'^/*ws/chat/$', C.as_asgi())", None),
            ("re_path(r'^(/)?ws/chat/$', C.as_asgi())", None),
            ("re_path(r'ws/chat/(?P<room>\\w+)/$', C.as_asgi())", None),
            ("path('^ws/$', C.as_asgi())", Some(RegexInPath)),
            ("path('ws/(?P<room>\\w+)/', C.as_asgi())", Some(RegexInPath)),
            (
                "re_path('^ws/<str:room>/$', C.as_asgi())",
                Some(ConverterInRegex),
            ),
            ("re_path(r'^ws/(?P<room>[^/]+)/(?<=x)$', C.as_asgi())", None),
            (
                "re_path(r'^ws/\\?token=(?P<t>.*)$', C.as_asgi())",
                Some(Query),
            ),
            ("re_path(r'^ws/(?:\\?token=.*)?$', C.as_asgi())", None),
            ("path('ws/?token=<str:t>', C.as_asgi())", Some(Query)),
            ("path('ws/', URLRouter([path('echo/', C.as_asgi())]))", None),
            (
                "path('ws/', AuthMiddlewareStack(URLRouter([path('echo/', C.as_asgi())])))",
                Some(HiddenRouter),
            ),
            (
                "path('ws/', AuthMiddlewareStack(URLRouter([path('', C.as_asgi())])))",
                None,
            ),
            (
                "re_path('^ws/', AuthMiddlewareStack(URLRouter([path('echo/', C.as_asgi())])))",
                None,
            ),
            (
                "re_path('^ws/$', URLRouter([path('echo/', C.as_asgi())]))",
                Some(EndBeforeRouter),
            ),
            ("re_path('^ws/$', URLRouter([path('', C.as_asgi())]))", None),
            ("re_path('(?i)^/ws/$', C.as_asgi())", Some(LeadingSlash)),
            (
                "re_path('^ws', URLRouter([re_path('^/echo/$', C.as_asgi())]))",
                Some(LeadingSlash),
            ),
        ] {
            assert_eq!(
                one(entry).fault().map(|(_, fault)| fault),
                expected,
                "{entry}"
            );
        }
    }
}

//! SECURE_REDIRECT_EXEMPT whose patterns spare nothing, everything, or stop Django.

use std::collections::HashSet;

use super::routing::slash_removed;
use super::with_reopened;
use crate::context::Context;
use crate::django::Arrival;
use crate::django::data::{Data, Possible, certain};
use crate::django::settings::{Redirects, Setting, Settings};
use crate::django::spared::sample;
use crate::finding::{Finding, Report};
use crate::handshake::known_endpoint;
use crate::rule::Severity;
use crate::source::Span;

/// What is wrong with a pattern.
enum Fault {
    /// It can't be compiled; what Python's re says.
    Broken(&'static str),
    /// It finds nothing in any path; the pattern that was meant.
    Never(String),
    /// It finds something in every path.
    Always,
}

/// `django/redirect-exempt`.
pub fn exempt(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen: HashSet<Span> = HashSet::new();
    for settings in cx.django.production() {
        let redirects = settings.redirects();
        let (Redirects::Yes(redirect) | Redirects::Perhaps(redirect)) = &redirects else {
            continue;
        };
        let setting = settings.get("SECURE_REDIRECT_EXEMPT");
        for value in &setting.values {
            let findings = match &value.data {
                Data::Text(text) if !text.is_empty() => {
                    vec![(bare(report, value, text), value)]
                }
                Data::Sequence(list) => list
                    .items
                    .iter()
                    .filter_map(|item| certain(item))
                    .filter_map(|item| Some((pattern(cx, report, settings, item)?, item)))
                    .collect(),
                _ => Vec::new(),
            };
            for (finding, item) in findings {
                if seen.insert(item.span) {
                    let finding = finding.label(redirect.span, "redirects what is not exempt");
                    report.push(doubts(finding, &setting, value, &redirects));
                }
            }
        }
    }
}

/// Lowers the severity where the value is only one of several, or a default.
fn doubts(
    mut finding: Finding,
    setting: &Setting<'_>,
    value: &Possible,
    redirects: &Redirects,
) -> Finding {
    if value.is_default() || setting.values.len() > 1 || matches!(redirects, Redirects::Perhaps(_))
    {
        finding.severity = finding.severity.min(Severity::Warning);
    }
    with_reopened(
        finding,
        setting.reopened.map(|open| (open.span, open.why.as_str())),
    )
}

/// A string in place of a list: django/middleware/security.py compiles each of its characters.
fn bare(report: &Report<'_>, value: &Possible, text: &str) -> Finding {
    let finding = if let Some(broken) = text.chars().find_map(|char| broken(&char.to_string())) {
        report.finding(
            format!("SECURE_REDIRECT_EXEMPT is a string: Django compiles each of its characters as a pattern, and {broken}"),
            value.span,
            "not a list: Django does not start",
        )
    } else {
        report
            .finding(
                "SECURE_REDIRECT_EXEMPT is a string: Django takes each of its characters for a pattern, so nearly every path is exempt and nothing is redirected to https",
                value.span,
                "not a list",
            )
            .severity(Severity::Warning)
    };
    finding.help(format!(
        "write a list:\nSECURE_REDIRECT_EXEMPT = [r\"{}\"]",
        meant(text)
    ))
}

fn pattern(
    cx: &Context<'_>,
    report: &Report<'_>,
    settings: &Settings,
    item: &Possible,
) -> Option<Finding> {
    let text = item.data.as_text()?;
    Some(match fault(text)? {
        Fault::Broken(why) => report
            .finding(
                format!("a pattern of SECURE_REDIRECT_EXEMPT does not compile: {why}, and no worker starts"),
                item.span,
                "Python's re refuses it",
            )
            .note("SecurityMiddleware compiles the patterns when it is made, while the application loads; this is a regular expression, where `*` repeats what stands before it, not a file pattern")
            .help(format!("write a regular expression without the leading slash:\n{}", line(&meant(text)))),
        Fault::Never(meant) => {
            let finding = report
                .finding(
                    "a pattern of SECURE_REDIRECT_EXEMPT matches no path, so what it should spare is answered with 301",
                    item.span,
                    "a path has no leading slash here",
                )
                .note("SecurityMiddleware takes the slashes off the front of the path (`path.lstrip(\"/\")`) before it searches the patterns in it");
            let mut finding = match cx.django.arrival(cx.project, settings) {
                Arrival::Http { because, how, .. } => finding.label(because, how).note("this project's WebSocket handshakes arrive as plain HTTP, so a socket that this should spare is redirected and closes with code 1006"),
                _ => finding.note("a handshake that the server takes as a WebSocket is never redirected, whatever stands here"),
            };
            if !is_for_sockets(cx, &meant) {
                finding.severity = Severity::Warning;
            }
            if let Some(fix) = slash_removed(cx.project, item.span, text) {
                finding = finding.fix(fix);
            }
            finding.help(format!("leave the slash out:\n{}", line(&meant)))
        }
        Fault::Always => report
            .finding(
                "a pattern of SECURE_REDIRECT_EXEMPT matches every path, so nothing is redirected to https",
                item.span,
                "matches everything",
            )
            .severity(Severity::Warning)
            .help(format!(
                "name what is to be spared:\n{}",
                line("^ws/")
            )),
    })
}

/// Whether the pattern means sockets: it takes an endpoint's path, or names them.
fn is_for_sockets(cx: &Context<'_>, meant: &str) -> bool {
    let declared = cx.project.config.endpoints.iter();
    let regex = fancy_regex::Regex::new(meant).ok();
    let takes = |path: &str| {
        regex.as_ref().is_some_and(|regex| {
            regex
                .is_match(path.trim_start_matches('/'))
                .unwrap_or(false)
        })
    };
    let path = format!("/{}", meant.trim_start_matches('^'));
    known_endpoint(&path).is_some()
        || declared.map(|endpoint| endpoint.path()).any(takes)
        || cx.django.routes.iter().map(sample).any(|path| takes(&path))
}

fn line(pattern: &str) -> String {
    format!("SECURE_REDIRECT_EXEMPT = [r\"{pattern}\"]")
}

/// The pattern that was probably meant.
fn meant(text: &str) -> String {
    let text = text.trim_start_matches('^').trim_start_matches('/');
    let plain = text.trim_end_matches(['*', '$']);
    if plain.is_empty() || broken(plain).is_some() {
        return "^ws/".to_owned();
    }
    format!("^{plain}")
}

/// What is wrong with `text`, if that is certain.
fn fault(text: &str) -> Option<Fault> {
    if let Some(why) = broken(text) {
        return Some(Fault::Broken(why));
    }
    // `^/` stands where no path has a slash; an expression with alternatives may match otherwise.
    if let Some(rest) = text.strip_prefix("^/")
        && !rest.starts_with(['?', '*', '{'])
        && !text.contains('|')
    {
        return Some(Fault::Never(meant(text)));
    }
    if matches!(text, "" | "^" | "$" | ".*" | "^.*" | ".*$" | "^.*$") {
        return Some(Fault::Always);
    }
    None
}

/// What Python's re refuses for certain: a repetition of nothing, or what is never closed. Its
/// dialect and fancy-regex's differ in too much to trust the other's word for more.
fn broken(text: &str) -> Option<&'static str> {
    let bare = text.strip_prefix('^').unwrap_or(text);
    if bare.starts_with(['*', '+', '?']) {
        return Some("there is nothing to repeat before its first sign");
    }
    let (mut depth, mut class, mut escaped) = (0_i32, false, false);
    for char in text.chars() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match char {
            '\\' => escaped = true,
            '[' if !class => class = true,
            ']' if class => class = false,
            '(' if !class => depth += 1,
            ')' if !class => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return Some("a `)` has no `(`");
        }
    }
    if escaped {
        Some("it ends in a backslash")
    } else if class {
        Some("a `[` is never closed")
    } else if depth > 0 {
        Some("a `(` is never closed")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_is_a_fault() {
        let said = |text| match fault(text) {
            Some(Fault::Broken(_)) => "broken".to_owned(),
            Some(Fault::Never(meant)) => meant,
            Some(Fault::Always) => "always".to_owned(),
            None => "fine".to_owned(),
        };
        for (text, expected) in [
            ("^ws/", "fine"),
            ("ws/", "fine"),
            ("^ws/$", "fine"),
            ("/ws/", "fine"),
            ("^/?ws/", "fine"),
            ("^/ws/|^health", "fine"),
            ("^/ws/", "^ws/"),
            ("^/ws/.*$", "^ws/."),
            ("*", "broken"),
            ("ws/(", "broken"),
            ("[ws", "broken"),
            (".*", "always"),
        ] {
            assert_eq!(said(text), expected, "{text}");
        }
    }
}

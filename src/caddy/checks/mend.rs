//! Fixes, written with the file's own indentation.

use crate::caddy::handler::Handler;
use crate::context::Context;
use crate::finding::{Applicability, Edit, Fix};
use crate::source::Span;

/// A safe fix.
pub(super) fn safe(title: impl Into<String>, edits: Vec<Edit>) -> Fix {
    Fix {
        title: title.into(),
        applicability: Applicability::Safe,
        edits,
    }
}

/// The white space before `span` on its line; `None` if something else stands there.
fn indent<'a>(cx: &'a Context<'_>, span: Span) -> Option<&'a str> {
    let text = &cx.project.source(span.source).text;
    let start = span.start as usize;
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let before = &text[line..start];
    before.trim().is_empty().then_some(before)
}

/// One step of the file's indentation: what the line of `span` has more than its block's.
fn step(indent: &str) -> &str {
    if indent.starts_with(' ') {
        let width = indent.len();
        &indent[..if width.is_multiple_of(4) {
            4
        } else {
            2.min(width)
        }]
    } else {
        "\t"
    }
}

/// Deletes whole lines; `None` where something else stands on one of them.
pub(super) fn delete_lines(cx: &Context<'_>, spans: &[Span]) -> Option<Vec<Edit>> {
    let mut spans = spans.to_vec();
    spans.sort();
    spans.dedup();
    spans
        .into_iter()
        .map(|span| {
            let text = &cx.project.source(span.source).text;
            let start = span.start as usize - indent(cx, span)?.len();
            let rest = &text[span.end as usize..];
            let line = rest.find('\n').map_or(rest.len(), |at| at + 1);
            let after = rest[..line].trim();
            let alone = after.is_empty() || after.starts_with('#');
            alone.then(|| Edit {
                span: Span::new(span.source, start..span.end as usize + line),
                text: String::new(),
            })
        })
        .collect()
}

/// Deletes a directive's block with its braces, unless somebody wrote a comment into it.
pub(super) fn delete_block(cx: &Context<'_>, handler: &Handler) -> Option<Vec<Edit>> {
    let span = Span::new(
        handler.head.source,
        handler.head.end as usize..handler.span.end as usize,
    );
    (!cx.project.slice(span).contains('#')).then(|| {
        vec![Edit {
            span,
            text: String::new(),
        }]
    })
}

/// Puts a directive into a `handle` with its own matcher.
pub(super) fn into_handle(cx: &Context<'_>, handler: &Handler) -> Option<Edit> {
    let indent = indent(cx, handler.span)?;
    let step = step(indent);
    let text = cx.project.slice(handler.span);
    let (head, body) = match handler.matcher.span {
        // An inline matcher or a name; a matcher that a snippet's argument gave stands elsewhere.
        Some(span) if handler.head.contains(span) => {
            let at = (span.start - handler.span.start) as usize;
            let end = (span.end - handler.span.start) as usize;
            let rest = text[end..]
                .strip_prefix([' ', '\t'])
                .unwrap_or(&text[end..]);
            (
                format!("handle {} {{", cx.project.slice(span)),
                format!("{}{rest}", &text[..at]),
            )
        }
        Some(_) => return None,
        None => ("handle {".to_owned(), text.to_owned()),
    };
    let body = body.replace('\n', &format!("\n{step}"));
    Some(Edit {
        span: handler.span,
        text: format!("{head}\n{indent}{step}{body}\n{indent}}}"),
    })
}

/// Puts directives that need no matcher into one `handle`, where the first of them stands.
pub(super) fn around(cx: &Context<'_>, handlers: &[&Handler]) -> Option<Edit> {
    let first = handlers.first()?;
    let indent = indent(cx, first.span)?;
    let step = step(indent);
    let own = |handler: &&Handler| {
        let text = cx.project.slice(handler.span);
        let moved = text.replace('\n', &format!("\n{step}"));
        format!("{indent}{step}{moved}\n")
    };
    let body: String = handlers.iter().map(own).collect();
    Some(Edit {
        span: first.span,
        text: format!("handle {{\n{body}{indent}}}"),
    })
}

/// Whether two places stand in the same block of one file.
pub(super) fn in_one_block(cx: &Context<'_>, a: Span, b: Span) -> bool {
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    if first.source != second.source {
        return false;
    }
    let text = &cx.project.source(first.source).text;
    let Some(between) = text.get(first.end as usize..second.start as usize) else {
        return false;
    };
    let mut depth = 0_i32;
    for word in between.split_whitespace() {
        depth += i32::from(word == "{") - i32::from(word == "}");
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

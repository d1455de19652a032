//! Lines of proxies that Caddy refuses.

use super::lines::{GONE, Line, MANY, POLICIES, PROXY, SINCE, TRANSPORT, wrong};
use super::site::{block_of_import, is_plain};
use super::{Refusal, refusal};
use crate::caddy::expand::{Directive, Word};
use crate::caddy::handler::Handler;
use crate::caddy::model::Config;
use crate::caddy::proxy::HANDSHAKE;
use crate::project::{Project, Version};
use crate::source::Span;

/// Lines of a proxy of Caddy 1.
const CADDY_1: &[&str] = &[
    "websocket",
    "transparent",
    "header_upstream",
    "header_downstream",
    "policy",
    "insecure_skip_verify",
    "without",
    "except",
];

/// Whether a line is surely written, and under this name.
fn certain(line: &&Directive) -> bool {
    !line.conditional && line.words.first().is_some_and(is_plain)
}

/// Lines of a proxy's block that are none, or that say nothing Caddy understands.
pub(super) fn lines(project: &Project, config: &Config, handler: &Handler) -> Vec<Refusal> {
    let given = project.config.targets.caddy;
    let version = config.options.version;
    let mut found = Vec::new();
    let matchers: Vec<&str> = handler.lines.iter().map(Directive::name).collect();
    for line in handler.lines.iter().filter(certain) {
        let name = line.name();
        if name == "{block}" && version < [2, 9, 0] {
            found.push(block_of_import(line));
        }
        if name.is_empty() || name.starts_with('@') || name.contains('{') {
            continue;
        }
        let known = PROXY.iter().find(|(own, ..)| *own == name);
        if known.is_none() {
            let mut one = unknown(project, line);
            one.is_old = CADDY_1.contains(&name);
            found.push(one);
        } else if let Some((_, since)) = SINCE
            .iter()
            .find(|(own, since)| *own == name && version < *since)
        {
            found.push(refusal(
                line.head,
                format!(
                    "this Caddy refuses the whole file: `{name}` came with {}.{}.{}",
                    since[0], since[1], since[2]
                ),
                "not known to the target version",
                "delete the line, or upgrade Caddy",
            ));
        } else if let Some((_, now)) = GONE.iter().find(|(own, _)| *own == name)
            && given.is_some_and(|given| given >= [2, 8, 0])
        {
            found.push(refusal(
                line.head,
                format!("Caddy from 2.8 on refuses the whole file: there is no `{name}` any more"),
                "no line of `reverse_proxy` any more",
                format!("delete the line, or write `{now}` with a size"),
            ));
        } else if let Some(line_of) = known
            && let Some(one) = arguments(line.head, line.args(), line_of)
        {
            found.push(one);
        } else if matches!(name, "header_up" | "header_down")
            && line.arg(0).is_some_and(|field| field.starts_with('?'))
        {
            found.push(refusal(
                line.head,
                format!("Caddy refuses the whole file: `?` is for the directive `header`, and not for `{name}`"),
                "a default is for answers only",
                "leave the `?` out",
            ));
        } else if matches!(name, "handle_response" | "replace_status")
            && let Some(matcher) = line.args().first().filter(|word| word.unknown.is_none())
            && matcher.text.starts_with('@')
            && !matchers.contains(&matcher.text.as_str())
        {
            found.push(refusal(
                matcher.span,
                format!(
                    "Caddy refuses the whole file: no response matcher here is called `{}`",
                    matcher.text
                ),
                "defined nowhere in this block",
                format!(
                    "define it in the block of the proxy, as in `{} status 4xx`",
                    matcher.text
                ),
            ));
        } else if name == "lb_policy"
            && let Some(one) = POLICIES
                .iter()
                .find(|(policy, ..)| line.arg(0) == Some(policy))
                .and_then(|policy| arguments(line.head, line.args(), policy))
        {
            found.push(one);
        } else if name == "transport" && line.arg(0) == Some("http") {
            found.extend(transport(line, version));
        } else if name == "transport" && line.arg(0) == Some("http{") {
            found.push(refusal(
                line.head,
                "Caddy refuses the whole file: there is no transport `http{`".to_owned(),
                "no transport",
                "write a blank before the brace",
            ));
        }
    }
    found
}

/// A line that a proxy's block does not know.
fn unknown(project: &Project, line: &Directive) -> Refusal {
    let name = line.name();
    let help = match name {
        "websocket" | "transparent" => {
            "delete the line: Caddy 2 passes a handshake and the client's Host on by itself"
                .to_owned()
        }
        "header_upstream"
            if line.arg(0).is_some_and(|field| {
                HANDSHAKE
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(field))
            }) =>
        {
            "delete the line: Caddy 2 passes a handshake on by itself".to_owned()
        }
        "header_upstream" => format!(
            "write `header_up` for headers that the application needs; for a WebSocket none is needed:\n\n{}",
            project
                .slice(line.head)
                .replacen("header_upstream", "header_up", 1)
        ),
        "header_downstream" => "write `header_down`".to_owned(),
        name if TRANSPORT.iter().any(|(own, ..)| *own == name) => format!(
            "it belongs to the transport:\n\ntransport http {{\n\t{}\n}}",
            project.slice(line.head)
        ),
        _ => "delete the line".to_owned(),
    };
    let mut one = refusal(
        line.head,
        format!("Caddy refuses the whole file: `reverse_proxy` has no `{name}`"),
        "no line of `reverse_proxy`",
        help,
    );
    one.note = Some(format!("Caddy says `unrecognized subdirective {name}`"));
    one
}

/// Lines of `transport http` that are none.
fn transport(block: &Directive, version: Version) -> Vec<Refusal> {
    let lines = block.children().iter().filter(certain);
    let judged = lines.filter_map(|line| {
        let name = line.name();
        if name.is_empty() || name.contains('{') {
            return None;
        }
        let Some(known) = TRANSPORT.iter().find(|(own, ..)| *own == name) else {
            return Some(refusal(
                line.head,
                format!("Caddy refuses the whole file: `transport http` has no `{name}`"),
                "no line of `transport http`",
                "delete the line",
            ));
        };
        // In other versions there may be other ones.
        let other = line.name() == "versions" && version < [2, 10, 0];
        arguments(line.head, line.args(), known).filter(|_| !other)
    });
    judged.collect()
}

/// A line with more or fewer words than it takes, or one of another kind.
pub(super) fn arguments(head: Span, args: &[Word], of: &Line) -> Option<Refusal> {
    let (name, least, most, kind) = *of;
    if !args.iter().all(is_plain) {
        return None;
    }
    let count = args.len();
    if count < least || count > most {
        let takes = match (least, most) {
            (0, 0) => "takes nothing".to_owned(),
            (1, 1) => "takes one word".to_owned(),
            (least, MANY) => format!("takes {least} or more words"),
            (least, most) if least == most => format!("takes {least} words"),
            (least, most) => format!("takes {least} to {most} words"),
        };
        return Some(refusal(
            head,
            format!("Caddy refuses the whole file: `{name}` {takes}, and here are {count}"),
            format!("{count} of them"),
            "a value with blanks in it belongs in quotes",
        ));
    }
    let (word, what) = wrong(kind, args).filter(|(word, _)| !word.text.contains('{'))?;
    Some(refusal(
        word.span,
        format!(
            "Caddy refuses the whole file: `{}` of `{name}` is {what}",
            word.text
        ),
        what.split(':').next().unwrap_or(what),
        "",
    ))
}

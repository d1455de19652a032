//! What a proxy speaks to its upstreams, and what it does with their answers, where that loses a
//! handshake.

use std::collections::HashSet;

use super::lost::{evidence, overlaps};
use super::{mend, target};
use crate::caddy::expand::Directive;
use crate::caddy::handler::Handler;
use crate::caddy::proxy::{Proxy, Scheme};
use crate::caddy::route;
use crate::context::Context;
use crate::finding::Report;
use crate::rule::Severity;
use crate::source::Span;

/// Cleartext HTTP/2 and HTTP/3.
fn other_versions(cx: &Context<'_>, report: &mut Report<'_>) {
    let version = target(cx);
    let mut seen = HashSet::new();
    for (route, _, handler, proxy) in route::proxies(&cx.caddy) {
        let matcher = handler.matcher.span.map(|span| cx.project.slice(span));
        let Some(loss) = dialect(handler, proxy, matcher, version) else {
            continue;
        };
        if !seen.insert(loss.span) {
            continue;
        }
        let mut finding = report
            .finding(
                format!("{} {}", route.handshake(), loss.message),
                loss.span,
                loss.label,
            )
            .severity(loss.severity);
        if !overlaps(handler.head, loss.span) {
            finding = finding.label(handler.head, "sends the sockets to it");
        }
        let finding = evidence(finding, route).note(loss.note);
        report.push(finding.help(loss.help));
    }
}

struct Loss {
    span: Span,
    severity: Severity,
    message: &'static str,
    label: String,
    note: &'static str,
    help: String,
}

fn dialect(
    handler: &Handler,
    proxy: &Proxy,
    matcher: Option<&str>,
    version: [u32; 3],
) -> Option<Loss> {
    let transport = handler
        .lines
        .iter()
        .find(|line| line.name() == "transport" && !line.conditional);
    let options = transport.map_or(&[][..], Directive::children);
    let versions = options.iter().find(|line| line.name() == "versions");
    let speaks = |name: &str| {
        versions.is_some_and(|line| line.args().iter().any(|word| word.known() == Some(name)))
    };
    let tls = proxy.tls_transport
        || proxy
            .upstreams
            .iter()
            .any(|upstream| upstream.scheme == Scheme::Https);
    let note = "Upgrade belongs to HTTP/1.1; in HTTP/2 it is forbidden (RFC 9113, 8.2.2), and Caddy's transport answers \
                502 `http2: invalid Upgrade request header: [\"websocket\"]`";
    let help = || {
        let matcher = match matcher {
            Some(own) if own.starts_with(['/', '@']) => format!("reverse_proxy {own}"),
            _ => "@websockets header Upgrade websocket\nreverse_proxy @websockets".to_owned(),
        };
        format!(
            "send the sockets over HTTP/1.1, and leave HTTP/2 to what needs it:\n\n{matcher} {}",
            proxy.upstreams.first().map_or("app:8000", |upstream| {
                upstream.text.trim_start_matches("h2c://")
            })
        )
    };
    let clear = proxy.upstreams.iter().find(|upstream| {
        matches!(&upstream.scheme, Scheme::Other(scheme) if scheme == "h2c")
            || upstream.text.starts_with("unix+h2c/")
    });
    if let Some(upstream) = clear {
        return Some(Loss {
            span: upstream.span,
            severity: Severity::Error,
            message: "gets 502: the upstream is spoken to in HTTP/2, which has no Upgrade",
            label: "HTTP/2 without TLS".to_owned(),
            note,
            help: help(),
        });
    }
    let line = versions?;
    if speaks("h2c") && !tls {
        return Some(Loss {
            span: line.head,
            severity: Severity::Error,
            message: "gets 502: the upstream is spoken to in HTTP/2, which has no Upgrade",
            label: if line.args().len() > 1 {
                "without TLS `h2c` wins over the others".to_owned()
            } else {
                "HTTP/2 without TLS".to_owned()
            },
            note,
            help: "delete `h2c` here, or give the sockets a proxy of their own without it"
                .to_owned(),
        });
    }
    if speaks("3") && line.args().len() == 1 && version >= [2, 8, 0] {
        return Some(Loss {
            span: line.head,
            severity: Severity::Error,
            message: "does not reach the upstream: HTTP/3 has no Upgrade",
            label: "HTTP/3 to the upstream".to_owned(),
            note: "from Caddy 2.8 on this speaks HTTP/3: an upstream that understands it sees a plain GET and answers 400, \
                   any other one gives 502 or 504",
            help: "delete the line: over TLS Caddy chooses HTTP/1.1 for a handshake by itself"
                .to_owned(),
        });
    }
    None
}

/// Caddy 2.10 takes HTTP/2 for such an upstream (fixed by pull request 7296).
fn placeholder_sni<'a>(handler: &'a Handler, proxy: &Proxy) -> Option<&'a Directive> {
    let transport = handler
        .lines
        .iter()
        .find(|line| line.name() == "transport")?;
    let own = transport.children().iter().find(|line| {
        line.name() == "tls_server_name" && line.arg(0).is_some_and(|name| name.contains('{'))
    })?;
    let only_1 = transport
        .children()
        .iter()
        .any(|line| line.name() == "versions" && line.args().iter().all(|word| word.text == "1.1"));
    (proxy.tls_transport && !only_1).then_some(own)
}

/// `caddy/http2-upstream`.
pub fn http2_upstream(cx: &Context<'_>, report: &mut Report<'_>) {
    other_versions(cx, report);
    let version = target(cx);
    if !([2, 10, 0]..[2, 11, 0]).contains(&version) {
        return;
    }
    let mut seen = HashSet::new();
    for (route, _, handler, proxy) in route::proxies(&cx.caddy) {
        let Some(line) = placeholder_sni(handler, proxy).filter(|line| seen.insert(line.head))
        else {
            continue;
        };
        let finding = report
            .finding(
                format!(
                    "{} gets 502 where the upstream speaks HTTP/2: Caddy 2.10 takes it",
                    route.handshake()
                ),
                line.head,
                "a placeholder makes Caddy 2.10 forget that a handshake needs HTTP/1.1",
            )
            .severity(Severity::Warning);
        report.push(
            evidence(finding, route)
                .note("2.9 and 2.11 are not concerned")
                .help("write the name itself, add `versions 1.1` to the transport, or upgrade to Caddy 2.11"),
        );
    }
}

/// `caddy/buffered-handshake`.
pub fn buffered_handshake(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for (route, _, handler, proxy) in route::proxies(&cx.caddy) {
        let line = handler.lines.iter().find(|line| {
            let holds = match line.name() {
                "response_buffers" => line.args().first().is_some_and(|size| {
                    size.known().is_some_and(|size| {
                        !size
                            .trim_end_matches(char::is_alphabetic)
                            .chars()
                            .all(|c| c == '0')
                    })
                }),
                // Later versions refuse the line.
                "buffer_responses" => cx
                    .project
                    .config
                    .targets
                    .caddy
                    .is_none_or(|version| version < [2, 8, 0]),
                _ => false,
            };
            holds && !line.conditional
        });
        let Some(line) = line.filter(|line| seen.insert(line.head)) else {
            continue;
        };
        let mut finding = report
            .finding(
                format!(
                    "{} hangs for ever: Caddy waits for the end of the answer",
                    route.handshake()
                ),
                line.head,
                "holds the 101 back, which has no end",
            )
            .label(
                handler.head,
                "the upstream opens the socket; the browser never learns of it",
            );
        finding = evidence(finding, route)
            .note("the body of a 101 is the socket itself: the upstream waits for the first frame, Caddy for the last")
            .help(
                "delete the line, or keep it for what needs it and give the sockets a `reverse_proxy` of their own",
            );
        let edits = if handler.lines.len() == 1 && proxy.lines.len() == 1 {
            mend::delete_block(cx, handler)
        } else {
            mend::delete_lines(cx, &[line.span])
        };
        if let Some(edits) = edits {
            finding = finding.fix(mend::safe("delete the line", edits));
        }
        report.push(finding);
    }
}

/// What takes a 101.
enum Taken<'a> {
    /// Its line answers with that status, or with an empty 200.
    Replaced(&'a Directive, Option<&'a Directive>),
    /// `replace_status`.
    Status(&'a Directive),
    /// `copy_response_headers` before `copy_response`.
    Doubled(&'a Directive),
}

/// `caddy/response-replaced`.
pub fn response_replaced(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for (route, _, handler, proxy) in route::proxies(&cx.caddy) {
        if proxy.partial {
            continue;
        }
        let Some(taken) = taken(&handler.lines) else {
            continue;
        };
        let (span, message, label) = match &taken {
            Taken::Replaced(line, _) => (
                line.head,
                "`handle_response` takes the 101 that opens the socket".to_owned(),
                if line.args().is_empty() {
                    "without a matcher it takes every answer, the 101 too"
                } else {
                    "takes the 101 too"
                },
            ),
            Taken::Status(line) => (
                line.head,
                "`replace_status` takes the 101 that opens the socket".to_owned(),
                "another status in place of 101",
            ),
            Taken::Doubled(line) => (
                line.head,
                "the 101 arrives with every handshake header twice, and browsers refuse it"
                    .to_owned(),
                "copies the headers, which `copy_response` brings along",
            ),
        };
        if !seen.insert(span) {
            continue;
        }
        let mut finding = report.finding(message, span, label);
        if let Taken::Replaced(_, answer) = &taken {
            finding = match answer {
                Some(answer) => finding.label(answer.head, "answers in its place"),
                None => finding.note("nothing in it answers: the client gets an empty 200"),
            };
        }
        let finding = evidence(finding, route).note(
            "the upstream has opened the socket, but the browser gets no 101 that it can accept: close code 1006",
        );
        let help = match taken {
            Taken::Doubled(_) => "delete `copy_response_headers`: `copy_response` brings all headers".to_owned(),
            Taken::Replaced(..) => {
                "give it a matcher for the answers that it is meant for:\n\n@failed status 5xx\nhandle_response @failed {\n\t…\n}"
                    .to_owned()
            }
            Taken::Status(line) => format!(
                "give it a matcher for the answers that it is meant for:\n\n@failed status 5xx\nreplace_status @failed {}",
                line.args().last().map_or("", |word| word.text.as_str())
            ),
        };
        report.push(finding.help(help));
    }
}

/// The first line that takes a 101: those with a matcher are asked first
/// (reverseproxy/caddyfile.go, FinalizeUnmarshalCaddyfile). `None` also where that is not certain.
fn taken(lines: &[Directive]) -> Option<Taken<'_>> {
    let mut responses: Vec<&Directive> = lines
        .iter()
        .filter(|line| matches!(line.name(), "handle_response" | "replace_status"))
        .collect();
    let matcher = |line: &Directive| {
        line.arg(0)
            .filter(|name| name.starts_with('@'))
            .map(str::to_owned)
    };
    responses.sort_by_key(|line| matcher(line).is_none());
    for line in responses {
        if line.conditional || line.partial {
            return None;
        }
        if let Some(name) = matcher(line)
            && !takes_101(lines.iter().find(|line| line.name() == name)?)?
        {
            continue;
        }
        if line.name() == "replace_status" {
            return Some(Taken::Status(line));
        }
        let children = line.children();
        let simple = |name: &str| {
            name.starts_with('@')
                || matches!(
                    name,
                    "header"
                        | "respond"
                        | "redir"
                        | "error"
                        | "abort"
                        | "root"
                        | "rewrite"
                        | "file_server"
                        | "templates"
                        | "copy_response"
                        | "copy_response_headers"
                        | "vars"
                        | "encode"
                        | "log_append"
                )
        };
        if !children
            .iter()
            .all(|line| simple(line.name()) && !line.conditional)
        {
            return None;
        }
        let find = |name: &str| children.iter().find(|line| line.name() == name);
        let first = ["redir", "abort", "error"].into_iter().find_map(find);
        if let Some(copy) = find("copy_response") {
            if first.is_some() || copy.arg(0).is_some_and(|arg| arg.starts_with(['@', '/'])) {
                return None;
            }
            return find("copy_response_headers").map(Taken::Doubled);
        }
        let answer = first.or_else(|| ["respond", "file_server"].into_iter().find_map(find));
        return Some(Taken::Replaced(line, answer));
    }
    None
}

/// Whether a response matcher takes status 101; `None` where it looks at headers as well.
fn takes_101(matcher: &Directive) -> Option<bool> {
    if matcher.conditional || matcher.partial {
        return None;
    }
    let status = |codes: &[crate::caddy::Word]| {
        codes
            .iter()
            .any(|code| matches!(code.text.as_str(), "101" | "1xx"))
    };
    match matcher.arg(0) {
        Some("status") => Some(status(matcher.args().get(1..).unwrap_or_default())),
        Some(_) => None,
        None => {
            let lines = matcher.children();
            let statuses: Vec<_> = lines
                .iter()
                .filter(|line| line.name() == "status")
                .collect();
            let takes = statuses.iter().any(|line| status(line.args()));
            if !statuses.is_empty() && !takes {
                return Some(false);
            }
            (lines.len() == statuses.len()).then_some(takes)
        }
    }
}

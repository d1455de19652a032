//! Origin validators that let nobody in.

use super::routing::head;
use crate::context::Context;
use crate::django::data::{Data, certain};
use crate::django::origin::{entries, is_dead};
use crate::django::routes::{Application, is_a};
use crate::django::settings::Redirects;
use crate::finding::Report;
use crate::rule::Severity;
use crate::source::Span;

/// `django/origin-validator`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    for application in &cx.django.applications {
        for wrapper in &application.wrappers {
            let Data::Call(call) = &wrapper.data else {
                continue;
            };
            if !is_a(&call.function.data, "OriginValidator") {
                continue;
            }
            let Some(list) = call
                .argument(1, "allowed_origins")
                .and_then(|values| certain(values))
            else {
                continue;
            };
            let Some(entries) = entries(&list.data, false) else {
                continue;
            };
            let note = "a browser sends its page's origin, `https://` or `http://` with the host; the validator compares it with each entry, and closes the handshake (403) where none fits";
            let router = head(cx.project, application.span);
            if entries.is_empty() {
                report.push(
                    report
                        .finding(
                            "no origin is allowed: every handshake gets 403",
                            list.span,
                            "an empty list",
                        )
                        .label(router, "the router of this application")
                        .note(note)
                        .help("name the site:\n[\"https://example.com\"]"),
                );
                continue;
            }
            if let Some(https) = speaks_https(cx, application)
                && entries.iter().all(|(entry, _)| is_plain_page(entry))
            {
                for (entry, span) in &entries {
                    let secure = entry.replacen("http", "https", 1);
                    report.push(
                        report
                            .finding(
                                format!("the site's pages come over https, and `{entry}` lets in only those that come over http: every handshake of theirs gets 403"),
                                *span,
                                "a page over https has another origin",
                            )
                            .label(https, "no page comes over http")
                            .label(router, "the router of this application")
                            .note(note)
                            .help(format!("write the origin of the page:\n\"{secure}\"")),
                    );
                }
                continue;
            }
            let dead: Vec<_> = entries
                .iter()
                .filter_map(|(entry, span)| Some((entry, span, is_dead(entry)?)))
                .collect();
            let all = dead.len() == entries.len();
            for (entry, span, instead) in dead {
                let finding = report
                    .finding(
                        if all {
                            format!("no page has the origin `{entry}`: every handshake gets 403")
                        } else {
                            format!("no page has the origin `{entry}`: this entry lets nobody in")
                        },
                        *span,
                        "matches no Origin that a browser sends",
                    )
                    .label(router, "the router of this application")
                    .note(note)
                    .help(format!("write the origin of the page:\n\"{instead}\""));
                report.push(if all {
                    finding
                } else {
                    finding.severity(Severity::Warning)
                });
            }
        }
    }
}

/// An origin of pages over plain HTTP, not of a developer's machine.
fn is_plain_page(entry: &str) -> bool {
    entry
        .strip_prefix("http://")
        .is_some_and(|host| !host.starts_with("localhost") && !host.starts_with("127."))
}

/// What shows that pages of the application come over https alone: in each of its settings for
/// production, the redirect of all others.
fn speaks_https(cx: &Context<'_>, application: &Application) -> Option<Span> {
    let home = cx.django.home(cx.project, application.source);
    let own = cx
        .django
        .production()
        .filter(|settings| cx.django.home(cx.project, settings.source) == home);
    let redirects: Option<Vec<Span>> = own
        .map(|settings| match settings.redirects() {
            Redirects::Yes(value) if !value.is_default() => Some(value.span),
            _ => None,
        })
        .collect();
    redirects?.into_iter().next()
}

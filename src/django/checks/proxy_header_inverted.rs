//! SECURE_PROXY_SSL_HEADER that trusts the header when it says `http`.

use super::proxy_header::{doubts, each, may_differ, with_pair};
use super::{Fate, honest};
use crate::context::Context;
use crate::django::Spared;
use crate::django::data::Data;
use crate::django::settings::Redirects;
use crate::django::trusted_header::{Header, known, never, sent_name};
use crate::finding::{Applicability, Report};
use crate::rule::Severity;

/// `django/proxy-header-inverted`.
pub fn inverted(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut findings = Vec::new();
    each(cx, |settings, setting, whole, header| {
        let Header::Pair { name, value } = header else {
            return;
        };
        let Some(meta) = name.data.as_text() else {
            return;
        };
        let sent = sent_name(meta);
        if !matches!(&value.data, Data::Text(text) if &**text == "http")
            || may_differ(cx, &sent, &value)
            || never(&name, &value, |sent| may_differ(cx, sent, &value)).is_some()
        {
            return;
        }
        let redirects = match cx.django.spared(cx.project, settings) {
            Spared::Everything => Redirects::No,
            _ => settings.redirects(),
        };
        let mut finding = report
            .finding(
                "SECURE_PROXY_SSL_HEADER means https where the header says `http`: plain requests count as secure, and secure ones as plain",
                value.span,
                "the value that means https, not the one to be redirected",
            )
            .label(name.span, format!("the header `{sent}`"))
            .note("Django compares the header with this value, and equal means https: a client that comes over plain HTTP is trusted, and one that comes over TLS is not");
        finding = match &redirects {
            Redirects::No => finding
                .severity(Severity::Warning)
                .note("nothing redirects yet, but `request.is_secure()` is wrong already: links are built with http://, and the CSRF check refuses forms that are posted over https"),
            redirects => {
                let finding = honest(cx, settings, finding, Fate::Loop);
                match redirects {
                    Redirects::Yes(redirect) | Redirects::Perhaps(redirect) => finding.label(
                        redirect.span,
                        "so every https request looks insecure, and this answers 301 to the same https URL",
                    ),
                    _ => finding,
                }
            }
        };
        let line = format!(
            "SECURE_PROXY_SSL_HEADER = (\"{meta}\", \"{}\")",
            known(&sent)
                .and_then(|known| known.values.first())
                .unwrap_or(&"https")
        );
        finding = finding.help(format!("write the value that means https:\n{line}"));
        finding = with_pair(cx, finding, whole, &line, Applicability::Safe);
        findings.push(doubts(finding, setting, whole));
    });
    for finding in findings {
        report.push(finding);
    }
}

//! Rules about SECURE_PROXY_SSL_HEADER: what is no pair, what can never match, what nobody sends.

use std::collections::HashSet;

use super::{
    Fate, from_environment, honest, proxy_mentions, subject, with_redirect, with_reopened,
};
use crate::context::Context;
use crate::django::data::{Data, Possible};
use crate::django::settings::{Redirects, Setting, Settings};
use crate::django::trusted_header::{
    Header, Known, Never, SERVERS_WORD, header, known, meta_name, never, sent_name,
};
use crate::django::{Arrival, Https, Spared};
use crate::edge::hints;
use crate::finding::{Applicability, Edit, Finding, Fix, Report};
use crate::rule::Severity;
use crate::source::Span;
use crate::stack::scheme::Mistold;

/// The values of the setting in each production module, once for each place that writes one.
pub(super) fn each(
    cx: &Context<'_>,
    mut visit: impl FnMut(&Settings, &Setting<'_>, &Possible, Header),
) {
    let mut seen: HashSet<Span> = HashSet::new();
    for settings in cx.django.production() {
        let setting = settings.get("SECURE_PROXY_SSL_HEADER");
        for value in &setting.values {
            if seen.insert(value.span) {
                visit(settings, &setting, value, header(value));
            }
        }
    }
}

/// Whether a header may carry another value than it usually does: a proxy of the project names it,
/// or the edge is known to send just this one.
pub(super) fn may_differ(cx: &Context<'_>, sent: &str, value: &Possible) -> bool {
    let edge = cx.project.config.edge.sends();
    let mut by_edge = edge
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(sent));
    by_edge.any(|(_, carried)| value.data.as_text() == Some(carried)) || proxy_mentions(cx, sent)
}

/// Lowers the severity where the value is only one of several, or may be replaced.
pub(super) fn doubts(mut finding: Finding, setting: &Setting<'_>, value: &Possible) -> Finding {
    if value.is_default() {
        finding.severity = finding.severity.min(Severity::Warning);
    }
    finding = from_environment(finding, value);
    if setting.values.len() > 1 {
        finding.severity = finding.severity.min(Severity::Warning);
        if let Some(when) = value.when {
            finding = finding.label(when, "it has this value where this holds");
        }
    }
    with_reopened(
        finding,
        setting.reopened.map(|open| (open.span, open.why.as_str())),
    )
}

/// What the edge really sends, as the lines to write. Of the values of one header that of pages
/// counts, which are what Django redirects.
fn canonical(cx: &Context<'_>) -> String {
    let sends = cx.project.config.edge.sends_on_pages();
    let proto = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("X-Forwarded-Proto");
    let (name, value) = sends
        .iter()
        .find(proto)
        .or(sends.first())
        .map_or(("X-Forwarded-Proto", "https"), |(name, value)| {
            (name.as_str(), value.as_str())
        });
    let quote = if value.contains('"') { '\'' } else { '"' };
    format!(
        "SECURE_PROXY_SSL_HEADER = (\"{}\", {quote}{value}{quote})",
        meta_name(name)
    )
}

/// Offers `line` in place of the value, where that is written out as a pair or as a string.
pub(super) fn with_pair(
    cx: &Context<'_>,
    finding: Finding,
    value: &Possible,
    line: &str,
    applicability: Applicability,
) -> Finding {
    let written = cx.project.slice(value.span);
    let plain = written.starts_with(['(', '[', '"', '\''])
        && written.ends_with([')', ']', '"', '\''])
        && written
            .trim_matches(['(', ')', '[', ']'])
            .bytes()
            .all(|byte| !matches!(byte, b'(' | b'[' | b'{' | b'#' | b'\n'));
    match line.split_once(" = ") {
        Some((_, pair)) if plain && !value.is_default() => finding.fix(Fix {
            title: format!("trust {pair}"),
            applicability,
            edits: vec![Edit {
                span: value.span,
                text: pair.to_owned(),
            }],
        }),
        _ => finding,
    }
}

/// `django/proxy-header-malformed`.
pub fn malformed(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut findings = Vec::new();
    each(cx, |settings, setting, value, header| {
        let Header::Malformed(what) = header else {
            return;
        };
        let redirects = settings.redirects();
        let message = format!(
            "SECURE_PROXY_SSL_HEADER is {what}, not a pair: Django answers 500 to every request that asks for its scheme"
        );
        let mut finding = report.finding(
            message,
            value.span,
            format!("{what}: Django unpacks it into a name and a value"),
        );
        if let Redirects::Yes(redirect) = &redirects {
            finding = finding.label(redirect.span, "asks for the scheme of every request");
        }
        let parenthesised = matches!(&value.data, Data::Text(text) if text.starts_with("HTTP_"));
        let mut note = "Django looks at the setting only when a request asks for its scheme, so it starts cleanly and `manage.py check --deploy` says nothing; then it raises ImproperlyConfigured".to_owned();
        if parenthesised {
            note.push_str(". Parentheses do not make a tuple, the comma does: (\"A\") is the string \"A\", and \"A\" \"b\" is \"Ab\"");
        }
        finding = finding.note(note);
        finding = honest(cx, settings, finding, Fate::Crash);
        let line = canonical(cx);
        finding = finding.help(format!("write both parts, with the comma:\n{line}"));
        if parenthesised && line.contains(value.data.as_text().unwrap_or("?")) {
            finding = with_pair(cx, finding, value, &line, Applicability::Safe);
        }
        findings.push(doubts(finding, setting, value));
    });
    for finding in findings {
        report.push(finding);
    }
}

/// `django/proxy-header-never-matches`.
pub fn never_matches(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut findings = Vec::new();
    each(cx, |settings, setting, whole, header| {
        let Header::Pair { name, value } = header else {
            return;
        };
        let Some(never) = never(&name, &value, |sent| may_differ(cx, sent, &value)) else {
            return;
        };
        let redirects = match cx.django.spared(cx.project, settings) {
            Spared::Everything => Redirects::No,
            _ => settings.redirects(),
        };
        let mut finding = match &never {
            Never::Name(meant) => {
                let written = name.data.as_text().unwrap_or("this").to_owned();
                report
                    .finding(
                        format!("SECURE_PROXY_SSL_HEADER names `{written}`, a key that no request header ever has in Django"),
                        name.span,
                        format!("no header stands under this name; `{}` stands under `{meant}`", sent_name(meant)),
                    )
                    .note("Django looks the name up in `request.META`, where a header stands as `HTTP_` and its name in capitals, each dash an underscore; anything else finds nothing, and `manage.py check --deploy` says nothing about it")
            }
            Never::Value(carries) => {
                let sent = sent_name(name.data.as_text().unwrap_or_default());
                report
                    .finding(
                        format!("SECURE_PROXY_SSL_HEADER waits for a value that `{sent}` never has"),
                        value.span,
                        format!("never equal: {carries}"),
                    )
                    .label(name.span, format!("the header `{sent}`"))
                    .note("Django takes what stands before the header's first comma, strips it and compares it with this value, capitals and all; a header that is there and not equal means http, whatever the server itself knows")
            }
        };
        finding = match &redirects {
            Redirects::No => finding
                .severity(Severity::Info)
                .note("nothing redirects yet; once SECURE_SSL_REDIRECT is on, every request that is not exempt is answered with 301 to itself"),
            redirects => {
                let finding = honest(cx, settings, finding, Fate::Loop);
                match redirects {
                    Redirects::Yes(redirect) | Redirects::Perhaps(redirect) => {
                        finding.label(redirect.span, "so every request looks insecure, and this answers 301 to the same https URL")
                    }
                    _ => finding,
                }
            }
        };
        if matches!(never, Never::Name(_))
            && cx.django.servers_know_https(cx.project, settings) == Https::Known
        {
            // The server's own trust answers in place of the header that is never found.
            finding.severity = finding.severity.min(Severity::Warning);
            finding = finding.note("here the server takes X-Forwarded-Proto for the scheme by itself, which hides the mistake as long as it is started so");
        }
        let line = match &never {
            Never::Name(meant) => {
                let meant = known(&sent_name(meant)).map_or_else(
                    || canonical(cx),
                    |known| {
                        let value = known.values.first().copied().unwrap_or("https");
                        format!("SECURE_PROXY_SSL_HEADER = (\"{meant}\", \"{value}\")")
                    },
                );
                if value.data.as_text() == Some("https") || meant.contains("\"https\"") {
                    meant
                } else {
                    canonical(cx)
                }
            }
            Never::Value(_) => {
                let name = name.data.as_text().unwrap_or_default();
                match known(&sent_name(name)).and_then(|known| known.values.first()) {
                    Some(value) => {
                        let quote = if value.contains('"') { '\'' } else { '"' };
                        format!("SECURE_PROXY_SSL_HEADER = (\"{name}\", {quote}{value}{quote})")
                    }
                    None => canonical(cx),
                }
            }
        };
        finding = finding.help(format!(
            "write the name and the value as they arrive:\n{line}"
        ));
        finding = with_pair(cx, finding, whole, &line, Applicability::Safe);
        findings.push(doubts(finding, setting, whole));
    });
    for finding in findings {
        report.push(finding);
    }
}

/// `django/proxy-header-not-sent`: the first incident.
pub fn not_sent(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut findings = Vec::new();
    each(cx, |settings, setting, whole, header| {
        let Header::Pair { name, value } = header else {
            return;
        };
        if never(&name, &value, |sent| may_differ(cx, sent, &value)).is_some() {
            return;
        }
        let Some(meta) = name
            .data
            .as_text()
            .filter(|name| !SERVERS_WORD.contains(name))
        else {
            return;
        };
        let redirects = settings.redirects();
        let spared = cx.django.spared(cx.project, settings);
        if settings.is_debug() || matches!(redirects, Redirects::No) || spared == Spared::Everything
        {
            return;
        }
        let who = subject(spared);
        let sent = sent_name(meta);
        // A proxy of the project that names the header may well set it: a question for the hops joined.
        if proxy_mentions(cx, &sent) {
            return;
        }
        let edge = &cx.project.config.edge;
        let sends = edge.sends();
        let declared = edge.is_there();
        if let Some((_, carried)) = sends.iter().find(|(name, _)| meta_name(name) == meta) {
            let finding = differs(cx, report, settings, &sent, carried, (&name, &value));
            findings.extend(finding.map(|finding| doubts(finding, setting, whole)));
            return;
        }
        let sends_proto = sends.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("X-Forwarded-Proto") && value == "https"
        });
        // Without the header Django takes the server's word, which may be X-Forwarded-Proto's.
        let https = cx.django.servers_know_https(cx.project, settings);
        let server_may_know = sends_proto || !declared;
        if https == Https::Known && server_may_know {
            return;
        }
        // What the project's own proxies send is known, where one of them ends TLS.
        let silent = (!declared)
            .then(|| cx.mistold().iter())
            .into_iter()
            .flatten()
            .find(|one| one.proved && one.settings == settings.source);
        if silent.is_some_and(|one| !one.proto_arrives) {
            return;
        }
        let finding = if declared {
            not_sent_by(cx, report, &name, &sent, &sends, who)
        } else if let Some(one) = silent {
            not_sent_by_proxy(report, &name, &sent, one, who)
        } else {
            let known = known(&sent);
            if known.is_some_and(|known| known.by_default)
                || matches!(redirects, Redirects::Unknown)
            {
                return;
            }
            let finding = not_known_to_be_sent(report, &name, &sent, known, who);
            hints::ask(cx, finding)
        };
        let mut finding = finding;
        if https == Https::Unclear && server_may_know {
            finding.severity = finding.severity.min(Severity::Warning);
            finding = finding.note("how the server is configured is not wholly in the files; if it takes X-Forwarded-Proto for the scheme by itself, nothing of this shows");
        }
        match &redirects {
            Redirects::Yes(value) => {
                finding = finding.label(
                    value.span,
                    "so every request looks insecure, and this answers 301 to the same https URL",
                );
            }
            other => finding = with_redirect(finding, other),
        }
        finding = honest(cx, settings, finding, Fate::Loop);
        let line = canonical(cx);
        if sends_proto || !declared {
            // Without a declared edge, who ends TLS may send nothing at all.
            let applicability = if declared || silent.is_some() {
                Applicability::Safe
            } else {
                Applicability::Unsafe
            };
            finding = with_pair(cx, finding, whole, &line, applicability);
        }
        finding = finding.help(if declared && sends.is_empty() {
            format!(
                "let the edge send it: add `{sent}` to what it forwards on the WebSocket route, and say so in wslint.toml:\n[edge]\nsends = {{ {sent} = \"{}\" }}",
                value.data.as_text().unwrap_or("https")
            )
        } else {
            format!("trust the header that does arrive:\n{line}")
        });
        findings.push(doubts(finding, setting, whole));
    });
    for finding in findings {
        report.push(finding);
    }
}

/// The edge sends the header, but on a handshake with another value than Django waits for: Traefik
/// says `wss` there and `https` on pages. It matters only where the handshake arrives as plain HTTP.
fn differs(
    cx: &Context<'_>,
    report: &Report<'_>,
    settings: &Settings,
    sent: &str,
    carried: &str,
    (name, value): (&Possible, &Possible),
) -> Option<Finding> {
    let secure = value.data.as_text()?;
    if carried.split(',').next().map(str::trim) == Some(secure)
        || settings
            .get("SECURE_REDIRECT_EXEMPT")
            .certain()
            .is_none_or(|exempt| exempt.data.truth() != Some(false))
    {
        return None;
    }
    let Redirects::Yes(redirect) = settings.redirects() else {
        return None;
    };
    let Arrival::Http {
        because,
        how,
        sure: true,
    } = cx.django.arrival(cx.project, settings)
    else {
        return None;
    };
    let edge = &cx.project.config.edge;
    let title = edge.innermost().map_or("the edge", |edge| edge.title);
    let mut finding = report
        .finding(
            format!("Django waits for `{sent}: {secure}`, but on a handshake {title} says `{carried}`: every handshake is redirected to itself"),
            value.span,
            format!("a handshake arrives with `{sent}: {carried}`"),
        )
        .label(name.span, format!("the header `{sent}`"))
        .label(redirect.span, "so a handshake looks insecure, and this answers 301 to the same URL")
        .label(because, how);
    if let Some(span) = edge.declared {
        finding = finding.label(
            span,
            format!("{title} sends `{sent}: {carried}` on a handshake"),
        );
    }
    Some(
        finding
            .note("pages work, since on them the header says what Django waits for; only handshakes carry the other value, and a browser follows no redirect in a handshake: the page sees the socket close with code 1006")
            .help(format!("let {title} say the same on a handshake as on pages (a headers middleware on the router):\ncustomRequestHeaders:\n  {sent}: {secure}"))
            .help("or spare the sockets' paths from the redirect:\nSECURE_REDIRECT_EXEMPT = [r\"^ws/\"]"),
    )
}

fn not_sent_by(
    cx: &Context<'_>,
    report: &Report<'_>,
    name: &Possible,
    sent: &str,
    sends: &[(String, String)],
    who: &str,
) -> Finding {
    let edge = &cx.project.config.edge;
    let mut finding = report.finding(
        format!("Django trusts `{sent}`, a header that never arrives: {who} looks insecure and is redirected to itself"),
        name.span,
        format!("no `{sent}` arrives here"),
    );
    if let Some(span) = edge.declared {
        let what = if sends.is_empty() {
            format!(
                "{}: sends no header that says https on a handshake",
                edge.title()
            )
        } else {
            let headers: Vec<String> = sends
                .iter()
                .map(|(name, value)| format!("`{name}: {value}`"))
                .collect();
            format!(
                "{}: what arrives is {}",
                edge.title(),
                headers.join(" and ")
            )
        };
        finding = finding.label(span, what);
    }
    let explained = edge.edges.iter().find_map(|edge| {
        let (header, why) = edge
            .not_sent
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(sent))?;
        // The table says when it is sent, or that it never is.
        let verb = if why.starts_with("only ") {
            " sends it "
        } else {
            ": "
        };
        Some(format!("{header}: {}{verb}{why}", edge.title))
    });
    if let Some(note) = &explained {
        finding = finding.note(note);
    }
    if explained.is_none()
        && let Some(known) = known(sent)
    {
        finding = finding.note(format!("{sent}: {}", known.sender));
    }
    finding.note("where the header is missing, Django takes the scheme of its own connection, which is plain http behind this edge, and answers with a redirect to https, where the same happens again")
}

/// The proxy of the project that ends TLS sends X-Forwarded-Proto, and not what Django trusts.
fn not_sent_by_proxy(
    report: &Report<'_>,
    name: &Possible,
    sent: &str,
    one: &Mistold,
    who: &str,
) -> Finding {
    let mut finding = report
        .finding(
            format!("Django trusts `{sent}`, a header that never arrives: {who} looks insecure and is redirected to itself"),
            name.span,
            format!("no `{sent}` arrives here"),
        )
        .label(one.culprit.span(), "what this sends is `X-Forwarded-Proto: https`");
    if let Some(server) = one.ends_tls {
        finding = finding.label(server, "ends the client's TLS");
    }
    if let Some(known) = known(sent) {
        finding = finding.note(format!("{sent}: {}", known.sender));
    }
    finding.note("where the header is missing, Django takes the scheme of its own connection, which is plain http behind this proxy, and answers with a redirect to https, where the same happens again")
}

fn not_known_to_be_sent(
    report: &Report<'_>,
    name: &Possible,
    sent: &str,
    known: Option<&Known>,
    who: &str,
) -> Finding {
    let sender = known.map_or("no balancer or CDN that we know sends it by itself: only a proxy that is configured to set it", |known| known.sender);
    report
        .finding(
            format!("Django trusts `{sent}`, which hardly anybody sends: without it {who} is redirected to itself"),
            name.span,
            format!("nothing in this project shows who sends `{sent}`"),
        )
        .severity(Severity::Warning)
        .note(format!("{sent}: {sender}"))
        .note("where the header is missing, Django takes the scheme of its own connection, which is plain http behind anything that ends TLS")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Project;
    use crate::rule::{Check, rules};

    /// What the rules about the header say: rule and severity.
    fn said(files: &[(&str, &str)]) -> Vec<(String, Severity)> {
        let project = Project::in_memory(files.iter().copied()).unwrap();
        let cx = Context::resolve(&project);
        let mut found = Vec::new();
        for rule in rules().iter().filter(|rule| rule.group() == "django") {
            if let Check::Function(check) = &rule.check {
                let mut report = Report::new(rule);
                check(&cx, &mut report);
                found.extend(
                    report
                        .into_parts()
                        .0
                        .iter()
                        .map(|finding| (finding.rule.to_string(), finding.severity)),
                );
            }
        }
        found
    }

    const HEAD: &str =
        "ROOT_URLCONF = 'p.urls'\nMIDDLEWARE = ['django.middleware.security.SecurityMiddleware']\n";

    fn of(setting: &str, more: &[(&str, &str)]) -> Vec<(String, Severity)> {
        let code = format!("import os\n{HEAD}{setting}\n");
        let files: Vec<_> = more
            .iter()
            .copied()
            .chain([("p/settings.py", code.as_str())])
            .collect();
        said(&files)
    }

    fn with_redirect_on(value: &str, more: &[(&str, &str)]) -> Vec<(String, Severity)> {
        of(
            &format!("SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = {value}"),
            more,
        )
    }

    #[test]
    fn the_measured_forms_are_told_apart() {
        let never = ("django/proxy-header-never-matches", Severity::Error);
        let malformed = ("django/proxy-header-malformed", Severity::Error);
        let doubtful = ("django/proxy-header-not-sent", Severity::Warning);
        for (value, expected) in [
            ("('HTTP_X_FORWARDED_PROTO', 'https')", None),
            ("['HTTP_X_FORWARDED_PROTO', 'https']", None),
            ("('X_FORWARDED_PROTO', 'https')", Some(never)),
            ("('X-Forwarded-Proto', 'https')", Some(never)),
            ("('HTTP_X-FORWARDED-PROTO', 'https')", Some(never)),
            ("('HTTP-X-FORWARDED-PROTO', 'https')", Some(never)),
            ("('http_x_forwarded_proto', 'https')", Some(never)),
            ("('HTTP_X_FORWARDED_PROTO:', 'https')", Some(never)),
            ("('HTTP_X_FORWARDED_PROTO', 'HTTPS')", Some(never)),
            ("('HTTP_X_FORWARDED_PROTO', True)", Some(never)),
            ("('HTTP_X_FORWARDED_PROTO', None)", Some(never)),
            ("('HTTP_X_FORWARDED_PROTO', 'on')", Some(never)),
            ("('HTTP_X_FORWARDED_PROTO', 'wss')", Some(never)),
            ("('HTTP_X_FORWARDED_PROTO', ' https')", Some(never)),
            ("('HTTP_X_FORWARDED_PROTO', 'https,wss')", Some(never)),
            ("('HTTP_X_FORWARDED_PROTO', ('https', 'wss'))", Some(never)),
            ("('HTTP_CF_VISITOR', 'https')", Some(never)),
            ("('HTTP_CF_VISITOR', '{\"scheme\":\"https\"}')", None),
            ("('HTTP_X_FORWARDED_SSL', 'https')", Some(never)),
            ("('HTTP_X_FORWARDED_SSL', 'on')", None),
            ("('HTTP_FASTLY_SSL', '1')", None),
            ("'ab'", Some(never)),
            ("('HTTP_X_FORWARDED_PROTO')", Some(malformed)),
            ("('HTTP_X_FORWARDED_PROTO',)", Some(malformed)),
            ("('HTTP_X_FORWARDED_PROTO' 'https')", Some(malformed)),
            (
                "('HTTP_X_FORWARDED_PROTO', 'https', 'wss')",
                Some(malformed),
            ),
            ("{'HTTP_X_FORWARDED_PROTO': 'https'}", Some(malformed)),
            (
                "('HTTP_CLOUDFRONT_FORWARDED_PROTO', 'https')",
                Some(doubtful),
            ),
            ("('HTTP_X_FORWARDED_PROTOCOL', 'https')", Some(doubtful)),
        ] {
            let said = with_redirect_on(value, &[]);
            let said: Vec<_> = said
                .iter()
                .map(|(rule, severity)| (rule.as_str(), *severity))
                .collect();
            assert_eq!(said, expected.into_iter().collect::<Vec<_>>(), "{value}");
        }
    }

    #[test]
    fn what_is_harmless_or_unknown_is_silent() {
        for setting in [
            // Any header, as long as nothing redirects.
            "SECURE_PROXY_SSL_HEADER = ('HTTP_CLOUDFRONT_FORWARDED_PROTO', 'https')",
            "SECURE_SSL_REDIRECT = False\nSECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTOCOL', 'https')",
            // Built from the environment.
            "SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = tuple(os.environ['H'].split(','))",
            "SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = tuple(os.environ.get('H', '').split(','))",
            "import json\nSECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = json.loads(os.environ['H'])",
            "SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = helper('H')",
            "SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = (os.environ['H'], 'https')",
            // SecurityMiddleware is absent.
            "MIDDLEWARE = []\nSECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = ('HTTP_CLOUDFRONT_FORWARDED_PROTO', 'https')",
            // A developer's settings.
            "DEBUG = True\nif not DEBUG:\n    SECURE_SSL_REDIRECT = True\n    SECURE_PROXY_SSL_HEADER = ('X', 'y')",
        ] {
            assert_eq!(of(setting, &[]), [], "{setting}");
        }
    }

    #[test]
    fn a_default_of_the_environment_is_at_most_a_warning() {
        let said = with_redirect_on(
            "tuple(os.environ.get('H', 'X-Forwarded-Proto,https').split(','))",
            &[],
        );
        assert_eq!(
            said,
            [(
                "django/proxy-header-never-matches".to_owned(),
                Severity::Warning
            )]
        );
    }

    #[test]
    fn the_edge_decides() {
        let cloudfront = "('HTTP_CLOUDFRONT_FORWARDED_PROTO', 'https')";
        let edge = |text| ("wslint.toml", text);
        let chain = edge("[edge]\nkind = [\"cloudfront\", \"alb\"]\n");
        let error = [("django/proxy-header-not-sent".to_owned(), Severity::Error)];
        assert_eq!(with_redirect_on(cloudfront, &[chain]), error);
        assert_eq!(
            with_redirect_on("('HTTP_X_FORWARDED_PROTO', 'https')", &[chain]),
            []
        );
        let told = edge(
            "[edge]\nkind = \"cloudfront\"\nsends = { CloudFront-Forwarded-Proto = \"https\" }\n",
        );
        assert_eq!(with_redirect_on(cloudfront, &[told]), []);
        let trusting = (
            "Procfile",
            "web: gunicorn p.wsgi --bind 0.0.0.0:80 --forwarded-allow-ips='*'\n",
        );
        assert_eq!(with_redirect_on(cloudfront, &[chain, trusting]), []);
        let nginx = (
            "nginx.conf",
            "server {\n  location / {\n    proxy_set_header CloudFront-Forwarded-Proto $scheme;\n  }\n}\n",
        );
        assert_eq!(with_redirect_on(cloudfront, &[nginx]), []);
    }

    #[test]
    fn what_production_overrides_is_not_reported() {
        let base =
            format!("{HEAD}SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = ('X', 'https')\n");
        let right =
            "from .base import *\nSECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')\n";
        assert_eq!(
            said(&[
                ("p/settings/base.py", &base),
                ("p/settings/production.py", right)
            ]),
            []
        );
        let kept = "from .base import *\n";
        assert_eq!(
            said(&[
                ("p/settings/base.py", &base),
                ("p/settings/production.py", kept)
            ])
            .len(),
            1
        );
    }
}

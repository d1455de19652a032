//! A proxy of the project keeps the client's scheme from Django.

use crate::context::Context;
use crate::django::checks::{Fate, honest, subject, with_redirect};
use crate::django::settings::{Redirects, Settings};
use crate::django::{Arrival, Https};
use crate::edge::hints;
use crate::finding::{Finding, Report};
use crate::handshake::Peer;
use crate::rule::Severity;
use crate::source::{Kind, Span};
use crate::stack::scheme::{Culprit, Mistold, redirects};

/// `stack/forwarded-proto`: Django redirects what it takes for plain HTTP.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    for (one, settings) in each(cx) {
        let redirects = redirects(cx, settings);
        if matches!(redirects, Redirects::No | Redirects::Unknown) {
            continue;
        }
        // Told at the setting: another header says it, and arrives.
        if matches!(one.culprit, Culprit::Silent(_)) && one.proto_arrives {
            continue;
        }
        let https = match one.says {
            Some(_) => Https::Unknown,
            None => cx.django.servers_know_https(cx.project, settings),
        };
        if https == Https::Known {
            continue;
        }
        let arrival = cx.django.arrival(cx.project, settings);
        let alone = one.page.is_none();
        // Pages come another way, and a WebSocket meets no redirect.
        if alone && matches!(arrival, Arrival::WebSocket(_)) {
            continue;
        }
        let who = match alone {
            true => "every handshake",
            false => subject(cx.django.spared(cx.project, settings)),
        };
        let mut finding = tell(
            cx,
            report,
            one,
            &format!("{who} is redirected to itself (301)"),
        );
        if https == Https::Unclear
            || alone && !matches!(arrival, Arrival::Http { sure: true, .. })
            || !one.proved
        {
            finding.severity = finding.severity.min(Severity::Warning);
        }
        finding = match &redirects {
            Redirects::Yes(value) => finding.label(
                value.span,
                "so every request looks insecure, and this answers 301 to the same https URL",
            ),
            other => with_redirect(finding, other),
        };
        finding = if one.handshakes_are_right {
            finding.note("handshakes come another way and are told right; it is the pages, token endpoints and health checks that are redirected to themselves")
        } else {
            honest(cx, settings, finding, Fate::Loop)
        };
        if let Some(url) = one.handshake.as_ref().or(one.page.as_ref()) {
            finding = finding.note(format!("`wslint trace {url}` shows the whole way"));
        }
        report.push(help(cx, one, finding));
    }
}

/// `caddy/forwarded-proto-reset`: nothing redirects, but Django reads the scheme.
pub fn reset(cx: &Context<'_>, report: &mut Report<'_>) {
    for (one, settings) in each(cx) {
        let resets = matches!(one.culprit, Culprit::Resets(..));
        let edge = &cx.project.config.edge;
        if !resets || !one.proved || !edge.is_there() || one.handshake.is_none() {
            continue;
        }
        if matches!(
            redirects(cx, settings),
            Redirects::Yes(_) | Redirects::Perhaps(_)
        ) {
            continue;
        }
        let finding = tell(
            cx,
            report,
            one,
            "requests over https look insecure to it",
        )
        .note("`request.is_secure()` is false, so a view that opens sockets only over https refuses them, every form that is posted over https fails its CSRF check (403, since its Origin says https), links are built with http://, and secure cookies may not be set");
        report.push(help(cx, one, finding));
    }
}

fn each<'a>(cx: &'a Context<'_>) -> impl Iterator<Item = (&'a Mistold, &'a Settings)> {
    cx.mistold().iter().filter_map(|one| {
        let mut production = cx.django.production();
        let settings = production.find(|settings| settings.source == one.settings)?;
        let home = cx.django.home(cx.project, settings.source);
        cx.django
            .knows_websockets(cx.project, home)
            .then_some((one, settings))
    })
}

/// What is done to the header, with a label on everything that takes part.
fn tell(cx: &Context<'_>, report: &Report<'_>, one: &Mistold, so: &str) -> Finding {
    let edge = &cx.project.config.edge;
    let header = &one.trust.header;
    let says = one.says.as_deref().unwrap_or_default();
    let span = one.culprit.span();
    let (message, label) = match one.culprit {
        Culprit::Line(span) => {
            let line = flat(cx.project.slice(span));
            (
                format!("`{line}` tells Django `{says}` of clients that used TLS: {so}"),
                format!("sends `{header}: {says}`"),
            )
        }
        Culprit::Resets(..) => (
            format!("Caddy tells Django `{says}` of clients that used TLS: {so}"),
            format!("sends `{header}: {says}`, whatever it is told"),
        ),
        Culprit::Drops(_) => (
            format!("`{header}` is taken off on the way to Django: {so}"),
            format!("passes no `{header}` on"),
        ),
        Culprit::Silent(_) => (
            format!("Django waits for `{header}`, which this proxy never sends: {so}"),
            format!("sends no `{header}`"),
        ),
    };
    let mut finding = report.finding(message, span, label);
    for other in &one.others {
        finding = finding.label(*other, "and so does this");
    }
    let sends = edge.sends();
    let sent = sends
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(header));
    if let (true, Some(declared)) = (edge.ends_tls(), edge.declared) {
        let with = match sent {
            Some((name, value)) => format!(" and sends `{name}: {value}`"),
            None => String::new(),
        };
        let title = edge.title();
        finding = finding.label(declared, format!("{title} ends the client's TLS{with}"));
    }
    if let Some(server) = one.ends_tls {
        finding = finding.label(server, "ends the client's TLS");
    }
    if one.trust.value == one.trust.name {
        finding = finding.label(
            one.trust.name,
            format!("waits for `{header}: {}`", one.trust.secure),
        );
    } else {
        finding = finding.label(
            one.trust.name.to(one.trust.value),
            format!("waits for `{header}: {}`", one.trust.secure),
        );
    }
    match one.culprit {
        Culprit::Line(span) if kind(cx, span) == Kind::Nginx => {
            let text = cx.project.slice(span);
            if text.contains("$scheme") || text.contains("$https") {
                finding.note("`$scheme` is that of the connection to nginx, and where TLS has ended before nginx that is plain http")
            } else {
                finding
            }
        }
        Culprit::Line(_) => finding,
        Culprit::Resets(..) => {
            let addresses = match edge.innermost() {
                Some(innermost) if innermost.peer() == Peer::Public => format!("; {} dials from public addresses, which `private_ranges` does not hold", innermost.title),
                _ => String::new(),
            };
            finding.note(format!("Caddy (2.5 and later) believes what a client says of the scheme only of `trusted_proxies`; of others it writes the scheme of its own connection, which is plain http behind this edge{addresses}"))
        }
        Culprit::Drops(_) | Culprit::Silent(_) => finding.note("where the header is missing, Django takes the scheme of its own connection, and between the proxy and Django that is plain http"),
    }
}

/// What to write.
fn help(cx: &Context<'_>, one: &Mistold, finding: Finding) -> Finding {
    let header = &one.trust.header;
    let lower = header.to_ascii_lowercase().replace('-', "_");
    let by_nginx = kind(cx, one.culprit.span()) == Kind::Nginx;
    let from = cx
        .project
        .config
        .edge
        .innermost()
        .map_or(&[][..], |edge| edge.from);
    let ranges = match from {
        [] => "private_ranges".to_owned(),
        from => from.join(" "),
    };
    let pass_on = format!("proxy_set_header {header} $http_{lower};");
    let finding = match one.culprit {
        Culprit::Line(_) | Culprit::Drops(_) if by_nginx => {
            finding.help(format!("pass on what arrives:\n{pass_on}"))
        }
        Culprit::Silent(_) if by_nginx => finding.help(format!(
            "say it, beside the other `proxy_set_header` lines that apply here (a first line in this block would discard those of the blocks around it):\nproxy_set_header {header} {};",
            if one.trust.secure == "https" { "$scheme" } else { &one.trust.secure }
        )),
        Culprit::Line(_) => finding.help(format!(
            "pass on what arrives: delete the line, and say whose word counts:\ntrusted_proxies {ranges}"
        )),
        Culprit::Silent(_) | Culprit::Drops(_) => finding.help(format!(
            "say it to the upstream:\nheader_up {header} {}",
            one.trust.secure
        )),
        Culprit::Resets(..) => finding
            .help(format!("say in the global options whose word counts (2.6.3 and later):\n{{\n\tservers {{\n\t\ttrusted_proxies static {ranges}\n\t}}\n}}"))
            .help(format!("or in this proxy alone:\ntrusted_proxies {ranges}")),
    };
    if cx.project.config.edge.is_there() || one.ends_tls.is_some() {
        return finding;
    }
    hints::ask(cx, finding)
}

fn kind(cx: &Context<'_>, span: Span) -> Kind {
    cx.project.source(span.source).kind
}

/// A line's text on one line.
fn flat(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").trim_end_matches(';').to_owned()
}

#[cfg(test)]
mod tests {
    use crate::check::{Selection, check};
    use crate::project::Project;
    use crate::rule::Severity;

    const SETTINGS: &str = "ROOT_URLCONF = 'p.urls'\nMIDDLEWARE = ['django.middleware.security.SecurityMiddleware']\n\
        SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')\n";
    const ASGI: &str = "from channels.routing import ProtocolTypeRouter, URLRouter\n\
        from channels.generic.websocket import WebsocketConsumer\nfrom django.urls import path\n\
        class C(WebsocketConsumer): pass\n\
        application = ProtocolTypeRouter({'websocket': URLRouter([path('ws/', C.as_asgi())])})\n";
    const WSGI: &str =
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n";
    const DAPHNE: &str = "web: daphne -b 0.0.0.0 -p 8000 p.asgi:application\n";
    const GUNICORN: &str = "web: gunicorn p.wsgi --bind 0.0.0.0:8000 --threads 4\n";
    const PAIR: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";

    /// Rule, severity and what of it is told of handshakes.
    fn said(files: &[(&str, &str)]) -> Vec<(String, Severity, Vec<String>)> {
        let project = Project::in_memory(files.iter().copied()).expect("valid");
        let found = check(&project, &Selection::default()).findings;
        found
            .into_iter()
            .map(|finding| (finding.rule.to_string(), finding.severity, finding.notes))
            .collect()
    }

    fn nginx(listen: &str, pages: &str, sockets: &str) -> String {
        format!(
            "events {{}}\nhttp {{ server {{ {listen} server_name a.example;\n\
             location / {{ proxy_pass http://127.0.0.1:8000; {PAIR} {pages} }}\n\
             location /ws/ {{ proxy_pass http://127.0.0.1:8000; {PAIR} {sockets} }} }} }}\n"
        )
    }

    const SCHEME: &str = "proxy_set_header X-Forwarded-Proto $scheme;";
    const PASSED: &str = "proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;";

    #[test]
    fn what_is_mistold_decides() {
        let alb = "[edge]\nkind = \"alb\"\n";
        let error = Some(Severity::Error);
        let warning = Some(Severity::Warning);
        for (edge, listen, pages, sockets, command, expected, told) in [
            // Behind a balancer: pages and sockets, pages alone, sockets alone.
            (
                alb,
                "listen 80;",
                SCHEME,
                SCHEME,
                DAPHNE,
                error,
                "still opens",
            ),
            (
                alb,
                "listen 80;",
                SCHEME,
                SCHEME,
                GUNICORN,
                error,
                "arrive as plain HTTP",
            ),
            (
                alb,
                "listen 80;",
                SCHEME,
                PASSED,
                DAPHNE,
                error,
                "are told right",
            ),
            (alb, "listen 80;", PASSED, SCHEME, DAPHNE, None, ""),
            (
                alb,
                "listen 80;",
                PASSED,
                SCHEME,
                GUNICORN,
                error,
                "arrive as plain HTTP",
            ),
            (alb, "listen 80;", PASSED, PASSED, GUNICORN, None, ""),
            // Passed on by default.
            (alb, "listen 80;", "", "", GUNICORN, None, ""),
            (
                alb,
                "listen 80;",
                "proxy_set_header X-Forwarded-Proto \"\";",
                PASSED,
                DAPHNE,
                error,
                "are told right",
            ),
            // nginx ends TLS.
            ("", "listen 443 ssl;", "", "", DAPHNE, error, "still opens"),
            ("", "listen 443 ssl;", SCHEME, SCHEME, DAPHNE, None, ""),
            (
                "",
                "listen 80; listen 443 ssl;",
                SCHEME,
                SCHEME,
                GUNICORN,
                None,
                "",
            ),
            // Something that is not in the files may end it.
            (
                "",
                "listen 80;",
                SCHEME,
                SCHEME,
                GUNICORN,
                warning,
                "arrive as plain HTTP",
            ),
            ("", "listen 80;", "", "", GUNICORN, None, ""),
        ] {
            let conf = nginx(listen, pages, sockets);
            let files = [
                ("wslint.toml", edge),
                ("nginx.conf", &conf),
                ("p/settings.py", SETTINGS),
                ("p/asgi.py", ASGI),
                ("p/wsgi.py", WSGI),
                ("Procfile", command),
            ];
            let found: Vec<_> = said(&files)
                .into_iter()
                .filter(|(rule, ..)| rule == "stack/forwarded-proto")
                .collect();
            let severities: Vec<_> = found.iter().map(|(_, severity, _)| *severity).collect();
            let case = format!("{edge} {listen} {pages} | {sockets} {command}");
            assert_eq!(
                severities,
                expected.into_iter().collect::<Vec<_>>(),
                "{case}"
            );
            if let Some((.., notes)) = found.first() {
                assert!(
                    notes.iter().any(|note| note.contains(told)),
                    "{case}: {notes:?}"
                );
            }
        }
    }

    #[test]
    fn a_header_that_the_projects_own_proxy_does_not_send_is_told_once() {
        let settings = SETTINGS
            .replace("X_FORWARDED_PROTO", "X_FORWARDED_SSL")
            .replace("'https')", "'on')");
        for (line, expected) in [
            // Another one says it: trust that.
            (SCHEME, "django/proxy-header-not-sent"),
            // None does: send it.
            ("", "stack/forwarded-proto"),
        ] {
            let conf = nginx("listen 443 ssl;", line, line);
            let files = [
                ("nginx.conf", conf.as_str()),
                ("p/settings.py", &settings),
                ("p/asgi.py", ASGI),
                ("Procfile", DAPHNE),
            ];
            let found: Vec<_> = said(&files)
                .into_iter()
                .map(|(rule, severity, _)| (rule, severity))
                .collect();
            assert_eq!(found, [(expected.to_owned(), Severity::Error)], "{line}");
        }
    }

    #[test]
    fn a_doubtful_redirect_is_a_warning_and_none_is_silent() {
        let conf = nginx("listen 80;", SCHEME, SCHEME);
        for (redirect, expected) in [
            (
                "SECURE_SSL_REDIRECT = os.environ.get('R', 'True') == 'True'",
                Some(Severity::Warning),
            ),
            ("SECURE_SSL_REDIRECT = False", None),
            ("SECURE_SSL_REDIRECT = os.environ['R']", None),
            (
                "SECURE_SSL_REDIRECT = True\nSECURE_REDIRECT_EXEMPT = ['.*']",
                None,
            ),
            ("SECURE_SSL_REDIRECT = True\nDEBUG = True", None),
        ] {
            let settings = format!(
                "import os\n{}\n{redirect}\n",
                SETTINGS.replace("SECURE_SSL_REDIRECT = True\n", "")
            );
            let files = [
                ("wslint.toml", "[edge]\nkind = \"alb\"\n"),
                ("nginx.conf", &conf),
                ("p/settings.py", &settings),
                ("p/asgi.py", ASGI),
                ("Procfile", DAPHNE),
            ];
            let found: Vec<_> = said(&files)
                .into_iter()
                .filter(|(rule, ..)| rule == "stack/forwarded-proto")
                .map(|(_, severity, _)| severity)
                .collect();
            assert_eq!(
                found,
                expected.into_iter().collect::<Vec<_>>(),
                "{redirect}"
            );
        }
    }

    /// What the proxy trusts against the addresses that an edge dials from.
    #[test]
    fn an_edge_is_trusted_by_its_addresses() {
        let gcp = "trusted_proxies 35.191.0.0/16 130.211.0.0/22";
        for (edge, trusts, expected) in [
            ("alb", "", Some(Severity::Error)),
            ("alb", "trusted_proxies private_ranges", None),
            (
                "gcp",
                "trusted_proxies private_ranges",
                Some(Severity::Error),
            ),
            (
                "cloudflare-flexible",
                "trusted_proxies private_ranges",
                Some(Severity::Error),
            ),
            ("gcp", "trusted_proxies 0.0.0.0/0", None),
            // Whether these hold the edge is for somebody who reads addresses.
            ("gcp", gcp, None),
            ("alb", "trusted_proxies 10.0.0.0/8", None),
            ("alb", "trusted_proxies {$RANGES}", None),
        ] {
            let edge = format!("[edge]\nkind = \"{edge}\"\n");
            let caddy = format!(
                "http://a.example {{\n\treverse_proxy 127.0.0.1:8000 {{\n\t\t{trusts}\n\t}}\n}}\n"
            );
            let files = [
                ("wslint.toml", edge.as_str()),
                ("Caddyfile", &caddy),
                ("p/settings.py", SETTINGS),
                ("p/asgi.py", ASGI),
                ("p/wsgi.py", WSGI),
                ("Procfile", GUNICORN),
            ];
            let project = Project::in_memory(files.iter().copied()).expect("valid");
            let found = check(&project, &Selection::default()).findings;
            let own = || {
                found
                    .iter()
                    .filter(|finding| finding.rule == "stack/forwarded-proto")
            };
            let severities: Vec<_> = own().map(|finding| finding.severity).collect();
            assert_eq!(
                severities,
                expected.into_iter().collect::<Vec<_>>(),
                "{edge} {trusts}"
            );
            if edge.contains("gcp") && expected.is_some() {
                let mut helps = own().flat_map(|finding| &finding.help);
                assert!(helps.any(|help| help.ends_with(gcp)), "{found:#?}");
            }
        }
    }
}

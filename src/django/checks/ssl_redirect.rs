//! SECURE_SSL_REDIRECT without a header by which Django could know that the client used TLS.

use std::collections::HashSet;

use super::{Fate, from_environment, honest, subject, with_reopened};
use crate::context::Context;
use crate::django::data::{Data, Possible};
use crate::django::settings::{Redirects, Setting};
use crate::django::trusted_header::{Header, header};
use crate::django::{Https, Spared};
use crate::edge::hints;
use crate::finding::Report;
use crate::rule::Severity;
use crate::source::{SourceId, Span};
use crate::stack::scheme;

/// `django/ssl-redirect-loop`.
pub fn redirect_loop(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen: HashSet<Span> = HashSet::new();
    let edge = &cx.project.config.edge;
    for settings in cx
        .django
        .production()
        .filter(|settings| !settings.is_debug())
    {
        let (value, certain) = match settings.redirects() {
            Redirects::Yes(value) => (value, true),
            Redirects::Perhaps(value) => (value, false),
            Redirects::Unknown | Redirects::No => continue,
        };
        // The server may know the scheme by itself, or be configured by a file that is not here.
        if matches!(
            cx.django.servers_know_https(cx.project, settings),
            Https::Known | Https::Unclear
        ) {
            continue;
        }
        let home = cx.django.home(cx.project, settings.source);
        if !cx.django.knows_websockets(cx.project, home) {
            continue;
        }
        // "Missing" is only said of a chain that is wholly known.
        let setting = settings.get("SECURE_PROXY_SSL_HEADER");
        if let Some((span, why)) = unknown(&setting) {
            if seen.insert(span) {
                report.undecided(
                    span,
                    format!(
                        "by which header Django knows that the client used TLS can't be told: {why}"
                    ),
                );
            }
            continue;
        }
        let off = |value: &&Possible| is_off(&value.data, header(value));
        let Some(header_value) = setting.certain().filter(off) else {
            continue;
        };
        if !seen.insert(value.span) {
            continue;
        }
        let spared = cx.django.spared(cx.project, settings);
        if spared == Spared::Everything {
            continue;
        }
        let who = subject(spared);
        let ends_tls = ends_tls(cx, settings.source);
        let proved = certain
            && (edge.speaks_plain_http() || ends_tls.is_some())
            && scheme::takes_pages(cx, settings.source);
        let mut finding = report.finding(
            if proved {
                format!("SECURE_SSL_REDIRECT is on and Django trusts no header: behind what ends TLS here {who} is redirected to itself")
            } else {
                format!("SECURE_SSL_REDIRECT is on and Django trusts no header: behind anything that ends TLS {who} is redirected to itself")
            },
            value.span,
            format!("answers 301 to {who} that Django takes for plain http").replace(
                "is not exempt that Django takes",
                "is not exempt and that Django takes",
            ),
        );
        if !proved {
            finding = finding.severity(Severity::Warning);
        }
        if let Data::Text(text) = &value.data {
            finding = finding.note(format!("\"{text}\" is a string, and every string but the empty one is true: this does redirect"));
        }
        finding = from_environment(finding, &value);
        if let Some(when) = value.when {
            finding = finding.label(when, "where this holds");
        }
        if setting.target.is_some() {
            finding = finding.label(header_value.span, "names no header, so none is trusted");
        }
        if let (true, Some(span)) = (edge.ends_tls(), edge.declared) {
            let how = if edge.speaks_plain_http() {
                ", and speaks plain http to what is behind it"
            } else {
                ""
            };
            finding = finding.label(
                span,
                format!("{} ends the client's TLS here{how}", edge.title()),
            );
        }
        if let (false, Some(server)) = (edge.ends_tls(), ends_tls) {
            finding = finding.label(
                server,
                "ends the client's TLS, and speaks plain http to what is behind it",
            );
        }
        finding = finding.note("Django sees only its own connection: where a balancer or a proxy has ended TLS, that is plain http however the client came, so the redirect to https comes back as the same request");
        finding = honest(cx, settings, finding, Fate::Loop);
        let sends = edge.sends();
        finding = finding.help(if edge.ends_tls() && sends.is_empty() {
            "let the edge redirect to https, not Django:\nSECURE_SSL_REDIRECT = False".to_owned()
        } else {
            "tell Django which header says that the client used TLS, if what ends TLS sets it on every request:\nSECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\")".to_owned()
        });
        if !edge.is_there() && ends_tls.is_none() {
            finding = hints::ask(cx, finding);
        }
        let reopened = settings
            .get("SECURE_SSL_REDIRECT")
            .reopened
            .map(|open| (open.span, open.why.clone()));
        report.push(with_reopened(
            finding,
            reopened.as_ref().map(|(span, why)| (*span, why.as_str())),
        ));
    }
}

/// The server of the project that surely ends a client's TLS before the application of these
/// settings, and goes on in plain HTTP.
fn ends_tls(cx: &Context<'_>, settings: SourceId) -> Option<Span> {
    cx.ways().iter().find_map(|traced| {
        let [run, _] = &traced.way.runs;
        let at = run.steps.iter().position(|step| step.layer == "django")?;
        let application = &run.steps[at];
        if application.place.source != settings || application.arrived.tls {
            return None;
        }
        let last = run.steps[..at].iter().rev().find(|step| step.arrived.tls)?;
        let because = last.passage.because.first();
        (last.layer != "edge").then(|| because.map_or(last.at, |because| because.span))
    })
}

/// Why the setting can't be known, and where that shows.
fn unknown(setting: &Setting<'_>) -> Option<(Span, String)> {
    let open = setting.reopened.map(|open| (open.span, open.why.clone()));
    let part = |value: &Possible| match &value.data {
        Data::Unknown(why) => Some((value.span, why.to_string())),
        Data::Call(_) | Data::External(_) | Data::Attribute(_) => {
            Some((value.span, "it is computed".to_owned()))
        }
        _ => None,
    };
    let within = |value: &Possible| match &value.data {
        Data::Sequence(pair) if !pair.complete => Some((value.span, "it is computed".to_owned())),
        Data::Sequence(pair) => pair.items.iter().flatten().find_map(part),
        _ => part(value),
    };
    setting.values.iter().find_map(within).or(open)
}

/// Whether the setting trusts nothing but the server's own word.
fn is_off(data: &Data, header: Header) -> bool {
    match header {
        Header::Off => true,
        Header::Pair { name, .. } => name.data.as_text() == Some("wsgi.url_scheme"),
        _ => matches!(data, Data::Absent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Project;
    use crate::rule::rules;

    fn said(setting: &str, more: &[(&str, &str)]) -> Vec<Severity> {
        let code = format!(
            "import os\nROOT_URLCONF = 'p.urls'\nMIDDLEWARE = ['django.middleware.security.SecurityMiddleware']\n{setting}\n"
        );
        let files = more
            .iter()
            .copied()
            .chain([("p/settings.py", code.as_str())]);
        let project = Project::in_memory(files).unwrap();
        let cx = Context::resolve(&project);
        let rule = rules()
            .iter()
            .find(|rule| rule.id == "django/ssl-redirect-loop")
            .unwrap();
        let mut report = Report::new(rule);
        redirect_loop(&cx, &mut report);
        report
            .into_parts()
            .0
            .iter()
            .map(|finding| finding.severity)
            .collect()
    }

    #[test]
    fn it_warns_and_is_sure_behind_an_edge() {
        let on = "SECURE_SSL_REDIRECT = True";
        let alb = ("wslint.toml", "[edge]\nkind = \"alb\"\n");
        let channels = (
            "p/asgi.py",
            "from channels.routing import ProtocolTypeRouter\n",
        );
        assert_eq!(said(on, &[channels]), [Severity::Warning]);
        // A plain site, perhaps behind Apache, which knows the scheme.
        assert_eq!(said(on, &[]), []);
        assert_eq!(said(on, &[alb]), [Severity::Error]);
        assert_eq!(
            said("SECURE_SSL_REDIRECT = 'False'", &[alb]),
            [Severity::Error]
        );
        assert_eq!(
            said(
                "SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = None",
                &[alb]
            ),
            [Severity::Error]
        );
        assert_eq!(
            said(
                "SECURE_SSL_REDIRECT = os.environ.get('R', 'True') == 'True'",
                &[alb]
            ),
            [Severity::Warning]
        );
        // A proxy that upgrades tells of sockets, where it is this application's.
        let proxy = ("deploy/nginx.conf", "# Upgrade\nserver {}\n");
        assert_eq!(said(on, &[proxy]), [Severity::Warning]);
        let other = ("q/settings.py", "ROOT_URLCONF = 'q.urls'\n");
        assert_eq!(said(on, &[proxy, other]), []);
        let gunicorn = ("Procfile", "web: gunicorn p.wsgi --bind 0.0.0.0:80\n");
        assert_eq!(said(on, &[alb, gunicorn]), [Severity::Error]);
    }

    const ROUTED: (&str, &str) = (
        "p/asgi.py",
        "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.urls import path\n\
         application = ProtocolTypeRouter({'websocket': URLRouter([path('ws/', f)])})\n",
    );
    const DAPHNE: (&str, &str) = (
        "Procfile",
        "web: daphne -b 0.0.0.0 -p 8000 p.asgi:application\n",
    );

    #[test]
    fn a_proxy_of_the_project_that_ends_tls_is_proof() {
        for (listen, expected) in [
            ("listen 443 ssl;", Severity::Error),
            ("listen 80;", Severity::Warning),
        ] {
            let nginx = format!(
                "events {{}}\nhttp {{ server {{ {listen} location / {{ proxy_pass http://127.0.0.1:8000; }} }} }}\n"
            );
            let files = [ROUTED, DAPHNE, ("nginx.conf", nginx.as_str())];
            assert_eq!(
                said("SECURE_SSL_REDIRECT = True", &files),
                [expected],
                "{listen}"
            );
        }
    }

    #[test]
    fn where_sockets_alone_come_no_page_is_redirected_for_sure() {
        let alb = ("wslint.toml", "[edge]\nkind = \"alb\"\n");
        let sockets = "http://a.example {\n\t@sockets {\n\t\theader Connection *Upgrade*\n\t\theader Upgrade websocket\n\t}\n\thandle @sockets {\n\t\treverse_proxy 127.0.0.1:8000\n\t}\nPAGES\troot * /srv/site\n\tfile_server\n}\n";
        for (pages, expected) in [
            ("", Severity::Warning),
            (
                "\thandle /api/* {\n\t\treverse_proxy 127.0.0.1:8000\n\t}\n",
                Severity::Error,
            ),
        ] {
            let caddy = sockets.replace("PAGES", pages);
            let files = [ROUTED, DAPHNE, alb, ("Caddyfile", caddy.as_str())];
            assert_eq!(
                said("SECURE_SSL_REDIRECT = True", &files),
                [expected],
                "{pages}"
            );
        }
    }

    #[test]
    fn exempt_paths_are_not_said_to_be_redirected() {
        let message = |exempt: &str, more: &[(&str, &str)]| {
            let code = format!(
                "ROOT_URLCONF = 'p.urls'\nSECURE_SSL_REDIRECT = True\nSECURE_REDIRECT_EXEMPT = {exempt}\n\
                 MIDDLEWARE = ['django.middleware.security.SecurityMiddleware']\n"
            );
            let files = more.iter().copied().chain([
                ("p/settings.py", code.as_str()),
                ("wslint.toml", "[edge]\nkind = \"alb\"\n"),
            ]);
            let project = Project::in_memory(files).unwrap();
            let cx = Context::resolve(&project);
            let rule = rules()
                .iter()
                .find(|rule| rule.id == "django/ssl-redirect-loop")
                .unwrap();
            let mut report = Report::new(rule);
            redirect_loop(&cx, &mut report);
            let mut findings = report.into_parts().0.into_iter();
            findings
                .next()
                .map(|finding| (finding.severity, finding.message))
        };
        let asgi = (
            "p/asgi.py",
            "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.urls import path\n\
             application = ProtocolTypeRouter({'websocket': URLRouter([path('ws/', f)])})\n",
        );
        for (exempt, more, expected) in [
            (
                "[]",
                &[asgi][..],
                Some((Severity::Error, "every request is")),
            ),
            (
                "['^ws/']",
                &[asgi],
                Some((Severity::Warning, "every page is")),
            ),
            (
                "['^ws/']",
                &[],
                Some((Severity::Error, "every request that is not exempt is")),
            ),
            ("['.*']", &[asgi], None),
        ] {
            let said = message(exempt, more);
            assert_eq!(said.is_some(), expected.is_some(), "{exempt}");
            if let (Some((severity, message)), Some((expected, who))) = (said, expected) {
                assert_eq!(severity, expected, "{exempt}: {message}");
                assert!(message.contains(who), "{exempt}: {message}");
            }
        }
    }

    #[test]
    fn what_the_files_do_not_say_is_undecided() {
        for header in [
            "SECURE_PROXY_SSL_HEADER = tuple(os.environ['H'].split(','))",
            "SECURE_PROXY_SSL_HEADER = (os.environ['H'], 'https')",
            "SECURE_PROXY_SSL_HEADER = helper()",
            "SECURE_PROXY_SSL_HEADER = None\ntry:\n    from .local import *\nexcept ImportError: pass",
        ] {
            let code = format!(
                "import os\nROOT_URLCONF = 'p.urls'\nMIDDLEWARE = ['django.middleware.security.SecurityMiddleware']\n\
                 SECURE_SSL_REDIRECT = True\n{header}\n"
            );
            let asgi = (
                "p/asgi.py",
                "from channels.routing import ProtocolTypeRouter\n",
            );
            let project = Project::in_memory([("p/settings.py", code.as_str()), asgi]).unwrap();
            let cx = Context::resolve(&project);
            let rule = rules()
                .iter()
                .find(|rule| rule.id == "django/ssl-redirect-loop")
                .unwrap();
            let mut report = Report::new(rule);
            redirect_loop(&cx, &mut report);
            let (findings, undecided) = report.into_parts();
            assert_eq!((findings.len(), undecided.len()), (0, 1), "{header}");
        }
    }

    #[test]
    fn it_is_silent_where_something_knows_better() {
        let on = "SECURE_SSL_REDIRECT = True";
        let alb = ("wslint.toml", "[edge]\nkind = \"alb\"\n");
        for setting in [
            "SECURE_SSL_REDIRECT = False",
            "SECURE_SSL_REDIRECT = os.environ.get('R')",
            "DEBUG = True\nSECURE_SSL_REDIRECT = True",
            "SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')",
            "SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = helper()",
            "SECURE_SSL_REDIRECT = True\nif x: SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')",
            "SECURE_SSL_REDIRECT = True\ntry:\n    from .local import *\nexcept ImportError: pass",
            "SECURE_SSL_REDIRECT = True\nMIDDLEWARE = ['a']",
        ] {
            assert_eq!(said(setting, &[alb]), [], "{setting}");
        }
        for code in [
            "def application(environ, start):\n    environ['wsgi.url_scheme'] = 'https'\n",
            "async def application(scope, receive, send):\n    await app(dict(scope, scheme=\"https\"), receive, send)\n",
        ] {
            assert_eq!(said(on, &[alb, ("p/wsgi.py", code)]), [], "{code}");
        }
        let own = (
            "Procfile",
            "web: gunicorn p.asgi --bind 0.0.0.0:80 -k p.workers.Worker\n",
        );
        assert_eq!(said(on, &[alb, own]), []);
        for command in [
            "gunicorn p.wsgi --bind 0.0.0.0:80 --forwarded-allow-ips='*'",
            "FORWARDED_ALLOW_IPS=* gunicorn p.wsgi --bind 0.0.0.0:80",
            "gunicorn p.wsgi --bind unix:/run/p.sock",
            "gunicorn p.wsgi -c other.py",
            "gunicorn p.wsgi --bind 0.0.0.0:443 --certfile c.pem",
            "uwsgi --http :80 --module p.wsgi:application",
            "daphne --proxy-headers p.asgi:application",
            "daphne -e ssl:443:privateKey=k.pem:certKey=c.pem p.asgi:application",
        ] {
            let procfile = format!("web: {command}\n");
            assert_eq!(said(on, &[alb, ("Procfile", &procfile)]), [], "{command}");
        }
    }
}

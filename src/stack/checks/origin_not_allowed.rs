//! Pages of the host that the project serves may not open its sockets.

use std::collections::{BTreeMap, BTreeSet};

use crate::context::Context;
use crate::django::data::{Data, Origin};
use crate::django::origin::{REFUSED, entries, is_dead, validates};
use crate::django::settings::Settings;
use crate::finding::{Finding, Report};
use crate::handshake::{Because, Entrance, Outcome, Takes};
use crate::rule::Severity;
use crate::source::Span;
use crate::stack::{Stack, Traced};
use crate::trace::{Asked, Run, Step, Tracer, Verdict};

/// A validator that lets nobody of a host in.
struct Closed<'a> {
    traced: &'a Traced,
    settings: &'a Settings,
    /// The hosts that are served, and not let in.
    hosts: BTreeSet<String>,
}

/// `stack/origin-not-allowed`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut closed: BTreeMap<Span, Closed<'_>> = BTreeMap::new();
    // Servers by one of whose names the sockets open.
    let mut open: BTreeSet<Span> = BTreeSet::new();
    let stack = Stack::of(cx);
    for traced in cx.ways() {
        let run = traced.way.decisive();
        if run.verdict != Verdict::Fails {
            open.extend(traced.entrance.as_ref().map(|entrance| entrance.span));
        }
        // What serves any host, or this machine's, says nothing of the pages that open sockets.
        let named = |entrance: &Entrance| !is_local(&entrance.host) && !entrance.host.contains('*');
        if !traced.entrance.as_ref().is_none_or(named) {
            continue;
        }
        let Some((step, because)) = refused(run) else {
            continue;
        };
        // Nor does what serves every host of a domain.
        let of_many = |entrance: &Entrance| is_one_of_many(&stack, traced.entry, entrance);
        if traced.entrance.as_ref().is_some_and(of_many) {
            continue;
        }
        let mut production = cx.django.production();
        let Some(settings) = production.find(|settings| settings.source == step.place.source)
        else {
            continue;
        };
        let one = closed.entry(because.span).or_insert_with(|| Closed {
            traced,
            settings,
            hosts: BTreeSet::new(),
        });
        one.hosts.insert(run.steps[0].arrived.host.clone());
    }
    for (span, one) in closed {
        let entrance = one.traced.entrance.as_ref();
        if entrance.is_some_and(|entrance| open.contains(&entrance.span)) {
            continue;
        }
        if let Some(finding) = explain(cx, report, span, &one) {
            report.push(finding);
        }
    }
}

/// Whether the host of an entrance is a sample of a name such as `*.example.com`.
fn is_one_of_many(stack: &Stack<'_>, hop: usize, entrance: &Entrance) -> bool {
    let takes =
        |host: String| stack.hops[hop].takes(entrance.tls, &host, entrance.port) == Takes::ByName;
    let domain = entrance.host.split_once('.').map_or("", |(_, rest)| rest);
    takes(format!("some-host.{domain}")) || takes(format!("some-host.{}", entrance.host))
}

/// The validator that a run is lost at.
fn refused(run: &Run) -> Option<(&Step, &Because)> {
    let step = run.steps.get(run.lost_at?)?;
    let by_proxy = run
        .steps
        .iter()
        .any(|step| matches!(step.layer, "nginx" | "caddy"));
    let closes = matches!(step.passage.outcome, Outcome::Answers { status: Some(403) });
    if run.verdict != Verdict::Fails || step.layer != "django" || !by_proxy || !closes {
        return None;
    }
    let because = step.passage.because.last()?;
    because
        .message
        .starts_with(REFUSED)
        .then_some((step, because))
}

/// Whether nobody outside asks for a host: a name without a dot is a container's, a placeholder, or
/// this machine's.
fn is_local(host: &str) -> bool {
    !host.contains(['.', '*', ':']) || matches!(host, "127.0.0.1" | "[::1]" | "::1" | "0.0.0.0")
}

fn explain(cx: &Context<'_>, report: &Report<'_>, span: Span, one: &Closed<'_>) -> Option<Finding> {
    let setting = one.settings.get("ALLOWED_HOSTS");
    let value = setting.certain().filter(|value| value.span == span);
    let origins: Vec<String> = one
        .hosts
        .iter()
        .map(|host| format!("https://{host}"))
        .collect();
    let origin = origins.first()?;
    let listed = origins.join("`, `");
    let mut finding = match value {
        Some(value) => {
            // An empty list is told by a rule of its own.
            let list = entries(&value.data, true).filter(|list| !list.is_empty())?;
            let message = format!(
                "no page of `{listed}` may open a socket: ALLOWED_HOSTS does not hold its host (403)"
            );
            let compares = "AllowedHostsOriginValidator compares the page's origin with these";
            let host = one.hosts.first()?;
            let finding = match value.source() {
                Origin::Supplied(name, set) => report
                    .finding(message, set, format!("sets {name}, from which ALLOWED_HOSTS is made"))
                    .label(span, compares)
                    .help(match joined(cx.project.slice(span), &list, host) {
                        Some(value) => format!("add the host that is served, so that {name} is:\n{value}"),
                        None => format!(
                            "add the host that is served, `{host}`, to what {name} is here, as the settings read it"
                        ),
                    }),
                Origin::Default(name) | Origin::Hidden(name) => {
                    report.finding(message, span, compares).help(format!(
                        "set the variable {name} where the application is started, so that the host that is served is among them: `{host}`"
                    ))
                }
                Origin::Literal => report.finding(message, span, compares).help(format!(
                    "add the host that is served:\nALLOWED_HOSTS = {}",
                    with_entry(cx.project.slice(span), host)
                )),
            };
            let finding = finding.note("Channels compares the Origin of the handshake with ALLOWED_HOSTS and closes it before it opens; pages themselves get 400 (DisallowedHost) under a host that is not in it");
            if value.is_default() || list.iter().all(|(entry, _)| is_local(entry)) {
                finding.severity(Severity::Warning)
            } else {
                finding
            }
        }
        None => {
            let list = listed_origins(cx, span)?;
            if list.iter().all(|entry| is_dead(entry).is_some())
                || is_served(cx, &one.hosts, &list)
                || !has_pages(cx, one)
            {
                return None;
            }
            let allowed = list.join("`, `");
            report
                .finding(
                    format!("no page of `{listed}` may open a socket: the validator lets in `{allowed}` alone (403)"),
                    span,
                    "holds no origin that this project serves",
                )
                .severity(Severity::Warning)
                .note("Channels compares the Origin of the handshake, which is that of the page, with these, scheme and port included, and closes it before it opens: the page sees close code 1006. It is right only if no page of this host opens sockets, but pages of those origins alone")
                .help(format!(
                    "add the origin of the pages that are served beside the sockets:\n{}",
                    with_entry(cx.project.slice(span), origin)
                ))
        }
    };
    if let Some(entrance) = &one.traced.entrance {
        finding = finding.label(entrance.span, format!("serves `{}`", entrance.host));
    }
    if let crate::handshake::Evidence::Application { span, .. } = &one.traced.evidence {
        finding = finding.label(*span, "a route behind the validator");
    }
    Some(finding.note(format!(
        "`wslint trace {}` shows the whole way",
        one.traced.way.url
    )))
}

/// What a variable has to be for `host` to stand in the list that the settings read from it, where
/// `reader` shows what separates the entries.
fn joined(reader: &str, list: &[(&str, Span)], host: &str) -> Option<String> {
    let commas = ["split(\",\")", "split(',')", "Csv()", ".list("];
    let separator = match reader {
        _ if commas.iter().any(|mark| reader.contains(mark)) => ",",
        _ if reader.contains("split()") => " ",
        _ => return None,
    };
    let entries = list.iter().map(|(entry, _)| *entry).chain([host]);
    Some(entries.collect::<Vec<_>>().join(separator))
}

/// A list as it is written, on one line, with one more entry; the entry alone where it is none.
fn with_entry(list: &str, entry: &str) -> String {
    let words: Vec<&str> = list.split_whitespace().collect();
    let line = words.join(" ");
    let quote = if line.contains('\'') { '\'' } else { '"' };
    let entry = format!("{quote}{entry}{quote}");
    for (open, close) in [('[', ']'), ('(', ')')] {
        if let Some(inner) = line
            .strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close))
        {
            let inner = inner.trim().trim_end_matches(',');
            return format!("{open}{inner}, {entry}{close}");
        }
    }
    format!("[{entry}]")
}

/// The entries of the list at `span`.
fn listed_origins(cx: &Context<'_>, span: Span) -> Option<Vec<String>> {
    let wrappers = cx
        .django
        .applications
        .iter()
        .flat_map(|application| &application.wrappers);
    let mut lists = wrappers.filter_map(|wrapper| {
        let Data::Call(call) = &wrapper.data else {
            return None;
        };
        let values = call.argument(1, "allowed_origins")?;
        let list = values.iter().find(|value| value.span == span)?;
        entries(&list.data, true).map(|list| {
            list.into_iter()
                .map(|(entry, _)| entry.to_owned())
                .collect()
        })
    });
    lists.next()
}

/// Whether a server of the project has one of these origins, whoever ends its TLS: its pages may be
/// the ones.
fn is_served(cx: &Context<'_>, hosts: &BTreeSet<String>, list: &[String]) -> bool {
    let allowed = |host: &str| {
        let is_in = |scheme: &str| {
            let origin = format!("{scheme}://{host}");
            validates(list.iter().map(String::as_str), Some(&origin)) != Some(false)
        };
        !host.is_empty() && (is_in("https") || is_in("http"))
    };
    let stack = Stack::of(cx);
    hosts.iter().any(|host| allowed(host))
        || (0..stack.hops.len()).any(|hop| {
            let mut entrances = stack.entrances(hop).iter();
            entrances.any(|entrance| allowed(&entrance.host))
        })
}

/// Whether the host serves pages, and not an interface for the pages of another one alone.
fn has_pages(cx: &Context<'_>, one: &Closed<'_>) -> bool {
    let Some(entrance) = &one.traced.entrance else {
        return true;
    };
    let stack = Stack::of(cx);
    let tracer = Tracer::new(cx, &stack);
    let way = tracer.through(one.traced.entry, entrance, "/", Asked::PageOverTls);
    let [run, _] = &way.runs;
    let Some(last) = run.steps.last() else {
        return false;
    };
    match last.passage.outcome {
        Outcome::Answers {
            status: Some(status),
        } => status < 300,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Project;
    use crate::rule::rules;

    fn said(hosts: &str) -> Vec<Severity> {
        said_at("server_name news.example.com;", hosts)
    }

    fn said_at(name: &str, hosts: &str) -> Vec<Severity> {
        let nginx = format!(
            "events {{}}\nhttp {{ server {{ listen 80; {name} location / {{ proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://app:8000; }} }} }}\n"
        );
        let settings = format!(
            "ROOT_URLCONF = 'shop.urls'\nINSTALLED_APPS = ['channels']\nALLOWED_HOSTS = {hosts}\n"
        );
        let project = Project::in_memory([
            (
                "shop/asgi.py",
                "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom channels.security.websocket import AllowedHostsOriginValidator\nfrom django.core.asgi import get_asgi_application\nfrom django.urls import path\nhttp = get_asgi_application()\nfrom news.consumers import News\napplication = ProtocolTypeRouter({'http': http, 'websocket': AllowedHostsOriginValidator(URLRouter([path('ws/news/', News.as_asgi())]))})\n",
            ),
            (
                "news/consumers.py",
                "from channels.generic.websocket import WebsocketConsumer\nclass News(WebsocketConsumer): pass\n",
            ),
            ("shop/settings.py", settings.as_str()),
            ("start.sh", "daphne shop.asgi:application\n"),
            ("nginx.conf", nginx.as_str()),
        ])
        .unwrap();
        let cx = Context::resolve(&project);
        let rule = rules()
            .iter()
            .find(|rule| rule.id == "stack/origin-not-allowed");
        let mut report = Report::new(rule.unwrap());
        check(&cx, &mut report);
        let (findings, _) = report.into_parts();
        findings.iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn a_list_for_a_developers_machine_is_no_proof() {
        assert_eq!(said("['www.example.com']"), [Severity::Error]);
        assert_eq!(said("['localhost', '127.0.0.1']"), [Severity::Warning]);
        assert_eq!(said("['localhost', 'web']"), [Severity::Warning]);
        assert_eq!(said("['news.example.com']"), []);
    }

    #[test]
    fn a_domain_of_many_hosts_may_have_the_one_that_is_let_in() {
        for name in ["*.example.com", ".example.com", "~^(a|b)\\.example\\.com$"] {
            let name = format!("server_name {name};");
            assert_eq!(said_at(&name, "['b.example.com']"), [], "{name}");
        }
    }

    #[test]
    fn a_server_without_a_name_serves_the_hosts_that_django_knows() {
        let hosts = "['news.example.com']";
        for name in [
            "",
            "server_name _;",
            "server_name localhost;",
            "server_name $hostname;",
            "server_name ${DOMAIN};",
            "server_name DOMAIN_NAME;",
            "server_name ~^.+$;",
        ] {
            assert_eq!(said_at(name, hosts), [], "{name}");
        }
        let other = said_at("server_name other.example.com;", hosts);
        assert_eq!(other, [Severity::Error]);
    }
}

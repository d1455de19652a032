//! A prefix is taken off the path, and the application routes its sockets with it.

use std::collections::BTreeMap;

use super::lost::label;
use crate::caddy::handler::{Action, Block, Handler, HandlerId, UriEdit};
use crate::caddy::hop::SiteHop;
use crate::caddy::{Config, Site};
use crate::context::Context;
use crate::django::routes::Route;
use crate::finding::{Applicability, Edit, Fix, Report};
use crate::handshake::{Browser, Outcome, Request};
use crate::source::Span;
use crate::stack;

/// An application route whose handshake arrives without its prefix.
struct Stripped<'a> {
    route: &'a Route,
    asked: String,
    arrives: String,
    by: &'a Handler,
    proxy: Span,
}

/// What becomes of the handshake for an application route in one site.
enum Fate<'a> {
    /// It does not get to the application here.
    Elsewhere,
    /// It arrives with another path, for which the application has no route.
    Stripped(Stripped<'a>),
    /// It arrives, or may do so.
    Arrives,
}

/// `caddy/prefix-stripped`.
pub fn prefix_stripped(cx: &Context<'_>, report: &mut Report<'_>) {
    let Some(found) = found(cx) else { return };
    let mut causes: BTreeMap<Span, Vec<Stripped<'_>>> = BTreeMap::new();
    for stripped in found {
        causes.entry(stripped.by.head).or_default().push(stripped);
    }
    for group in causes.values() {
        explain(cx, group, report);
    }
}

/// Every application route that loses its prefix; `None` where it is not sure that the prefix is
/// missed: some route does without it, or another way leads to the application.
fn found<'a>(cx: &'a Context<'_>) -> Option<Vec<Stripped<'a>>> {
    let target = stack::behind_caddy(cx.project, &cx.topology, &cx.django, &cx.caddy)?;
    let mut found: Vec<Stripped<'a>> = Vec::new();
    for route in &cx.django.routes {
        let asked = route.sample().filter(|_| route.certain)?;
        let before = found.len();
        for (config, site) in sites(cx) {
            match fate(cx, config, site, &target, route, &asked) {
                Fate::Elsewhere => {}
                Fate::Stripped(stripped) => found.push(stripped),
                Fate::Arrives => return None,
            }
        }
        if found.len() == before {
            return None;
        }
    }
    // Clients may well put a prefix in front of it that something else takes off again.
    let strippers = sites(cx).flat_map(|(_, site)| &site.handlers.all);
    let other = strippers
        .filter(|handler| {
            matches!(
                handler.action,
                Action::Block(Block::HandlePath(_), _)
                    | Action::Rewrite(_)
                    | Action::Uri(
                        UriEdit::StripPrefix(_)
                            | UriEdit::Replace(..)
                            | UriEdit::Regexp(..)
                            | UriEdit::Other
                    )
            ) || matches!(&handler.action, Action::Proxy(proxy) if proxy.rewrite.is_some())
        })
        .any(|handler| found.iter().all(|own| own.by.head != handler.head));
    // Or the one that is declared has it twice.
    let declared = || {
        cx.project.config.endpoints.iter().any(|declared| {
            let path = declared.path().split(['?', '#']).next().unwrap_or("/");
            let route = cx.django.routes.first();
            let arrives = |(config, site)| {
                route.is_some_and(|route| {
                    matches!(fate(cx, config, site, &target, route, path), Fate::Arrives)
                })
            };
            sites(cx).any(arrives)
        })
    };
    (!other && !declared()).then_some(found)
}

fn sites<'a>(cx: &'a Context<'_>) -> impl Iterator<Item = (&'a Config, &'a Site)> {
    let configs = cx.caddy.configs.iter();
    configs.flat_map(|config| config.sites.iter().map(move |site| (config, site)))
}

fn fate<'a>(
    cx: &'a Context<'_>,
    config: &Config,
    site: &'a Site,
    target: &(String, u16),
    route: &'a Route,
    asked: &str,
) -> Fate<'a> {
    let Some(address) = site.addresses.first() else {
        return Fate::Arrives;
    };
    let ports = &config.options.ports;
    let host = address.host.replace('*', "x");
    let mut stripped = None;
    for browser in Browser::ALL {
        let request = Request::handshake(
            browser,
            address.is_tls(ports),
            &host,
            address.listens(ports),
            asked,
        );
        let hop = SiteHop {
            handlers: &site.handlers,
            place: site.span,
        };
        let journey = hop.journey(&request);
        let (to, sent) = match &journey.outcome {
            Outcome::Answers { .. } => return Fate::Elsewhere,
            Outcome::Undecided { .. } => return Fate::Arrives,
            Outcome::Forwards { to, request, .. } => (to, request),
        };
        let is_target = to.iter().all(|upstream| {
            upstream.host.known() == Some(&target.0) && upstream.port.known() == Some(&target.1)
        });
        let missed = cx
            .django
            .routes
            .iter()
            .all(|route| route.matches(&sent.path) == Some(false));
        let [change] = journey.walk.changes.as_slice() else {
            return Fate::Arrives;
        };
        let by = site.handlers.get(change.by);
        let (true, true, true) = (is_target, missed, takes_prefix(by)) else {
            return Fate::Arrives;
        };
        if by.conditional || by.matcher.conditional {
            return Fate::Arrives;
        }
        let crate::caddy::hop::End::Proxied(id) = journey.walk.end else {
            return Fate::Arrives;
        };
        stripped.get_or_insert(Stripped {
            route,
            asked: asked.to_owned(),
            arrives: sent.path.clone(),
            by,
            proxy: proxy_of(site, id),
        });
    }
    stripped.map_or(Fate::Arrives, Fate::Stripped)
}

fn proxy_of(site: &Site, id: HandlerId) -> Span {
    site.handlers.get(id).head
}

fn takes_prefix(handler: &Handler) -> bool {
    matches!(
        handler.action,
        Action::Block(Block::HandlePath(_), _) | Action::Uri(UriEdit::StripPrefix(_))
    )
}

fn explain(cx: &Context<'_>, group: &[Stripped<'_>], report: &mut Report<'_>) {
    let [first, ..] = group else { return };
    let text = cx.project.slice(first.by.head);
    let mut paths: Vec<String> = group
        .iter()
        .map(|stripped| format!("`{}`", stripped.asked))
        .collect();
    paths.dedup();
    let mut finding = report.finding(
        format!(
            "`{text}` takes off what the application's routes begin with: no WebSocket opens at {}",
            paths.join(" or ")
        ),
        first.by.head,
        format!("`{}` becomes `{}`", first.asked, first.arrives),
    );
    for stripped in group {
        finding = label(
            finding,
            stripped.proxy,
            format!("asks the application for `{}`", stripped.arrives),
        );
        finding = label(
            finding,
            stripped.route.span,
            format!("waits for the whole path, `{}`", stripped.route.pattern()),
        );
    }
    finding = finding.note(
        "the application has no route for what is left: Channels raises ValueError (`No route found for path`), and the handshake ends with an error in place of a 101",
    );
    let (help, edit) = match &first.by.action {
        Action::Block(..) => {
            let at = first.by.head.start as usize;
            let name = Span::new(first.by.head.source, at..at + first.by.name.len());
            let edit = (cx.project.slice(name) == "handle_path").then(|| Edit {
                span: name,
                text: "handle".to_owned(),
            });
            let line = text.replacen("handle_path", "handle", 1);
            (
                format!("`handle` chooses by the same path and leaves it whole:\n\n{line} {{"),
                edit,
            )
        }
        _ => (format!("leave this line out:\n\n{text}"), None),
    };
    finding = finding.help(help);
    if let Some(edit) = edit {
        // What else is in the block may want the short path.
        finding = finding.fix(Fix {
            title: "leave the path whole".to_owned(),
            applicability: Applicability::Unsafe,
            edits: vec![edit],
        });
    }
    report.push(finding);
}

#[cfg(test)]
mod tests {
    use crate::check::{Selection, check};
    use crate::project::Project;

    /// How often the rule speaks of these sites before an application with this route.
    fn said(caddyfile: &str, route: &str, more: &[(&str, &str)]) -> usize {
        let asgi = format!(
            "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.urls import path\n\
             from proj.consumers import Chat\n\
             application = ProtocolTypeRouter({{'websocket': URLRouter([{route}])}})\n"
        );
        let files = [("Caddyfile", caddyfile), ("proj/asgi.py", asgi.as_str())];
        let files = files.into_iter().chain(more.iter().copied());
        let project = Project::in_memory(files).expect("project");
        let outcome = check(&project, &Selection::default());
        let own = outcome
            .findings
            .iter()
            .filter(|finding| finding.rule == "caddy/prefix-stripped");
        own.count()
    }

    const CHAT: &str = "path('ws/chat/', Chat.as_asgi())";
    const STRIPPED: &str = ":80 {\n\thandle_path /ws/* {\n\t\treverse_proxy app:8000\n\t}\n}\n";

    #[test]
    fn all_routes_must_begin_with_it() {
        assert_eq!(said(STRIPPED, CHAT, &[]), 1);
        let two = format!("{CHAT}, path('ws/news/', Chat.as_asgi())");
        assert_eq!(said(STRIPPED, &two, &[]), 1);
        let mixed = format!("{CHAT}, path('news/', Chat.as_asgi())");
        assert_eq!(said(STRIPPED, &mixed, &[]), 0);
        assert_eq!(said(STRIPPED, "path('chat/', Chat.as_asgi())", &[]), 0);
    }

    #[test]
    fn another_way_to_the_application_is_enough() {
        for caddyfile in [
            ":80 {\n\thandle_path /ws/* {\n\t\treverse_proxy app:8000\n\t}\n\thandle_path /backend/* {\n\t\treverse_proxy app:8000\n\t}\n}\n",
            ":80 {\n\thandle_path /ws/* {\n\t\treverse_proxy app:8000\n\t}\n}\n:81 {\n\treverse_proxy app:8000\n}\n",
            ":80 {\n\thandle_path /ws/* {\n\t\trewrite * /ws{uri}\n\t\treverse_proxy app:8000\n\t}\n}\n",
            ":80 {\n\thandle_path /ws/* {\n\t\treverse_proxy app:8000 {\n\t\t\trewrite /ws{uri}\n\t\t}\n\t}\n}\n",
        ] {
            assert_eq!(said(caddyfile, CHAT, &[]), 0, "{caddyfile}");
        }
        let twice = (
            "wslint.toml",
            "[websocket]\nendpoints = [\"/ws/ws/chat/\"]\n",
        );
        assert_eq!(said(STRIPPED, CHAT, &[twice]), 0);
    }

    #[test]
    fn what_nothing_ties_together_is_silent() {
        let two = ":80 {\n\thandle_path /ws/* {\n\t\treverse_proxy sockets:9000\n\t}\n\treverse_proxy app:8000\n}\n";
        assert_eq!(said(two, CHAT, &[]), 0);
        let elsewhere = ("Procfile", "web: daphne -p 8000 proj.asgi:application\n");
        assert_eq!(said(two, CHAT, &[elsewhere]), 0);
        let there = ("Procfile", "web: daphne -p 9000 proj.asgi:application\n");
        assert_eq!(said(two, CHAT, &[there]), 1);
        let hidden = STRIPPED.replace("app:8000", "{$BACKEND}");
        assert_eq!(said(&hidden, CHAT, &[]), 0);
        let moved = (
            "Procfile",
            "web: daphne --root-path /ws -p 8000 proj.asgi:application\n",
        );
        assert_eq!(said(STRIPPED, CHAT, &[moved]), 0);
    }
}

//! Socket.IO over several processes or replicas, with nothing that keeps a client at one of them.

use std::collections::{BTreeSet, HashMap};

use crate::context::Context;
use crate::django::checks::in_memory_layer::workers;
use crate::finding::{Finding, Report};
use crate::handshake::Dial;
use crate::source::{Kind, Span};
use crate::stack::Stack;
use crate::stack::topology::{Program, ending};

/// Calls that make a server of python-socketio.
const SERVERS: &[&str] = &["socketio.AsyncServer(", "socketio.Server("];

/// `stack/sticky-sessions`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let polling = polling(cx);
    if polling.is_empty() {
        return;
    }
    let stack = Stack::of(cx);
    let mut seen: BTreeSet<Span> = BTreeSet::new();
    let mut incoming = None;
    for (hop, place) in cx.topology.places.iter().enumerate() {
        let Program::Django { commands, .. } = &place.program else {
            continue;
        };
        let Some((_, server)) = polling.iter().find(|(home, _)| *home == place.folder) else {
            continue;
        };
        for command in commands.iter().map(|command| &cx.django.commands[*command]) {
            if let Some((count, span)) = workers(command)
                && seen.insert(span)
            {
                let finding = report
                    .finding(
                        format!("Socket.IO loses sessions over {count} workers: nothing keeps a client at one of them"),
                        span,
                        "each request of a client may reach another process",
                    )
                    .help("start one worker for each port, and let the proxy keep a client at one of them:\nupstream application {\n    ip_hash;\n    server 127.0.0.1:8000;\n    server 127.0.0.1:8001;\n}");
                report.push(explain(finding, *server));
            }
        }
        let replicas = place
            .services
            .iter()
            .map(|service| &cx.topology.services[*service]);
        let Some(service) = replicas
            .filter(|service| service.replicas > 1)
            .max_by_key(|service| service.replicas)
        else {
            continue;
        };
        let incoming = incoming.get_or_insert_with(|| incoming_dials(&stack));
        for (from, dial) in incoming.get(&hop).into_iter().flatten() {
            if sticks(cx, *from, dial.to.from) || !seen.insert(dial.to.from) {
                continue;
            }
            let name = &service.name;
            let port = dial.to.port.known().copied().unwrap_or(8000);
            let finding = report
                    .finding(
                        format!("Socket.IO loses sessions over {} replicas of `{name}`: nothing keeps a client at one of them", service.replicas),
                        dial.to.from,
                        format!("takes another replica of `{name}` for each request"),
                    )
                    .label(service.span, format!("runs {} replicas", service.replicas))
                    .help(match stack.hops[*from].layer() {
                        "caddy" => format!("keep a client at one of them:\nreverse_proxy {{\n\tdynamic a {name} {port}\n\tlb_policy cookie\n}}"),
                        _ => format!("keep a client at one of them:\nupstream application {{\n    ip_hash;\n    server {name}:{port};\n}}\nproxy_pass http://application;"),
                    });
            report.push(explain(finding, *server));
        }
    }
}

/// Who dials each hop, and how, as each proxy is asked once.
fn incoming_dials<'s>(stack: &'s Stack<'_>) -> HashMap<usize, Vec<(usize, &'s Dial)>> {
    let mut found: HashMap<usize, Vec<(usize, &Dial)>> = HashMap::new();
    for from in (0..stack.hops.len()).filter(|from| !stack.hops[*from].is_application()) {
        for dial in stack.dials(from) {
            if let Some(behind) = stack.behind(from, &dial.to) {
                found.entry(behind.hop).or_default().push((from, dial));
            }
        }
    }
    found
}

fn explain(finding: Finding, server: Span) -> Finding {
    finding
        .label(server, "begins with polling, unless every client says otherwise")
        .note("the connection begins with a few HTTP requests and upgrades later; all of them have to reach the process that opened the session, or it answers 400 (`Invalid session`) and the client starts over. A message queue between the processes does not help here")
        .help("or let clients skip the polling, if all of them can:\nio({ transports: [\"websocket\"] })")
}

/// Applications with a server of Socket.IO that lets clients poll, and where it is made.
fn polling(cx: &Context<'_>) -> Vec<(String, Span)> {
    let sources = cx.project.of_kind(Kind::Python);
    let found = sources.filter_map(|source| {
        let name = source.name();
        let text = &source.text;
        if name.starts_with("test") || !text.contains("socketio") || text.contains("transports") {
            return None;
        }
        let at = SERVERS
            .iter()
            .find_map(|call| Some((text.find(call)?, call.len())))?;
        let line = text[..at.0].rfind('\n').map_or(0, |newline| newline + 1);
        if text[line..at.0].contains('#') {
            return None;
        }
        let span = Span::new(source.id, at.0..at.0 + at.1 - 1);
        Some((ending(cx.django.home(cx.project, source.id)), span))
    });
    found.collect()
}

/// Whether a proxy keeps a client at one of the addresses that a name stands for.
fn sticks(cx: &Context<'_>, hop: usize, dial: Span) -> bool {
    let Program::Nginx(config) = &cx.topology.places[hop].program else {
        return false;
    };
    let view = cx.nginx.view(*config);
    let line = cx.project.slice(dial);
    view.config.upstreams.iter().any(|(name, item)| {
        let block = view.directive(*item);
        let named = || {
            let mut words = line.split(|c: char| !(c.is_alphanumeric() || "_-.".contains(c)));
            words.any(|word| word == name)
        };
        let mut children = view.children(*item).map(|item| view.directive(item));
        (block.span().contains(dial) || named())
            && children.any(|directive| {
                let name = directive.name();
                name.contains("hash") || name.contains("sticky") || name == "include"
            })
    })
}

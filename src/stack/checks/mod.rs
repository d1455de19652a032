//! Rules about what no single file shows: each names a loss on the whole way of a handshake.

pub mod backend_drift;
pub mod forwarded_proto;
pub mod https_redirect;
pub mod idle_timeout;
pub mod origin_not_allowed;
pub mod path_mismatch;
pub mod route_not_forwarded;
pub mod sticky_sessions;
pub mod unknown_host;

use super::lost::Lost;
use super::topology::{Place, Program};
use super::{Stack, Traced};
use crate::context::Context;
use crate::finding::Finding;
use crate::handshake::{Evidence, Outcome, Upstream};
use crate::source::Span;
use crate::trace::{Run, Step};

/// Routes that one finding points at.
const MAX_LABELS: usize = 4;

/// A loss, with everything that a message about it needs.
struct Told<'a, 'p> {
    cx: &'a Context<'p>,
    lost: &'a Lost,
    /// The way on which the first route is lost.
    traced: &'a Traced,
}

impl<'a, 'p> Told<'a, 'p> {
    fn new(cx: &'a Context<'p>, lost: &'a Lost) -> Option<Self> {
        let traced = cx.ways().get(*lost.ways.first()?)?;
        Some(Self { cx, lost, traced })
    }

    fn run(&self) -> &'a Run {
        &self.traced.way.runs[0]
    }

    fn step(&self) -> &'a Step {
        &self.run().steps[self.lost.step]
    }

    /// Where no socket opens: `` at `/ws/chat/` and 2 other routes ``.
    fn at(&self) -> String {
        let path = &self.traced.path;
        match self.lost.ways.len() {
            1 => format!("at `{path}`"),
            2 => format!("at `{path}` and another route"),
            count => format!("at `{path}` and {} other routes", count - 1),
        }
    }

    /// The text of a place on one line, as short as it can be pointed at.
    fn quote(&self, span: Span) -> String {
        let text = self.cx.project.slice(span);
        let line = text.lines().next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        words.join(" ").trim_end_matches([';', '{', ' ']).to_owned()
    }

    /// The line of the first route, with `old` at the beginning of its pattern replaced.
    fn rerouted(&self, old: &str, new: &str) -> Option<String> {
        let Evidence::Application { span, .. } = &self.traced.evidence else {
            return None;
        };
        let text = self.cx.project.slice(*span);
        // As a word of its own, or as the beginning of an expression.
        ["\"^", "'^", "\"", "'"].into_iter().find_map(|quote| {
            let known = format!("{quote}{old}");
            let line = text.replacen(&known, &format!("{quote}{new}"), 1);
            let words: Vec<&str> = line.split_whitespace().collect();
            text.contains(&known).then(|| words.join(" "))
        })
    }

    /// Labels at the routes, and at the hops before the one that loses them.
    fn because(&self, mut finding: Finding) -> Finding {
        for way in self.lost.ways.iter().take(MAX_LABELS) {
            finding = match self.cx.ways().get(*way).map(|traced| &traced.evidence) {
                Some(Evidence::Application { pattern, span }) => {
                    let message = format!("the application serves WebSockets at `{pattern}`");
                    label(finding, *span, message)
                }
                Some(Evidence::Declared { endpoint }) => {
                    let mut declared = self.cx.project.config.endpoints.iter();
                    let declared = declared.find(|known| known.endpoint == *endpoint);
                    let message = "declared as a WebSocket endpoint here".to_owned();
                    match declared.and_then(|known| known.span) {
                        Some(span) => label(finding, span, message),
                        None => finding,
                    }
                }
                Some(evidence) => match evidence.shown() {
                    Some((span, words)) => label(finding, span, words),
                    None => finding,
                },
                None => finding,
            };
        }
        if let Some(below) = &self.lost.below {
            let message = format!("puts the application below `{}`", below.path);
            finding = label(finding, below.place, message);
        }
        let before = &self.run().steps[..self.lost.step];
        for step in before.iter().filter(|step| step.hop.is_some()) {
            finding = label(
                finding,
                super::lost::pass(self.cx, step),
                "passes it on".to_owned(),
            );
        }
        finding
    }

    /// What the browser meets with.
    fn met(&self) -> String {
        let mut steps = self.run().steps.iter().rev();
        let last = steps.next();
        let by = match last.map(|step| (step.layer, &step.passage.outcome)) {
            // Who closes leaves the answer to the one before.
            Some((layer, Outcome::Answers { status: None })) => {
                name(steps.next().map_or(layer, |step| step.layer))
            }
            Some((layer, Outcome::Answers { .. })) => name(layer),
            _ => "the upstream",
        };
        match self.run().status {
            Some(status) => {
                format!("{by} answers {status} in place of 101, and the page sees close code 1006")
            }
            None => format!("whatever {by} answers is no 101, and the page sees close code 1006"),
        }
    }

    /// How to see it for oneself.
    fn trace(&self) -> String {
        let (url, path) = (&self.traced.way.url, &self.traced.path);
        let url = match &self.lost.below {
            Some(below) => url.replacen(path, &format!("{}{path}", below.path), 1),
            None => url.clone(),
        };
        format!("`wslint trace {url}` shows the whole way")
    }

    /// The beginning that the paths of all its routes share, up to a slash.
    fn prefix(&self) -> String {
        let paths: Vec<&str> = self
            .lost
            .ways
            .iter()
            .filter_map(|way| Some(self.cx.ways().get(*way)?.path.as_str()))
            .collect();
        let first = paths.first().copied().unwrap_or("/");
        let ends: Vec<usize> = first
            .char_indices()
            .filter(|(_, c)| *c == '/')
            .map(|(at, _)| at + 1)
            .collect();
        // The last part of a path is often a name or a number.
        let shared = ends
            .into_iter()
            .rev()
            .filter(|end| *end < first.len() || first.matches('/').count() == 2)
            .find(|end| paths.iter().all(|path| path.starts_with(&first[..*end])));
        first[..shared.unwrap_or(1)].to_owned()
    }

    /// The address of who takes the sockets, as the losing proxy dials it: the application's, or
    /// where no file of the project is one, the only one that it dials for this request or at all.
    fn address(&self) -> Option<String> {
        let stack = Stack::of(self.cx);
        let hop = self.step().hop?;
        let takes = |to: &Upstream| {
            stack.behind(hop, to).is_some_and(|behind| {
                let place = &self.cx.topology.places[behind.hop];
                Some(&place.folder) == self.traced.application.as_ref()
                    && super::lost::takes_sockets(&stack, behind.hop, to)
            })
        };
        let dialled = || stack.dials(hop).iter().map(|dial| &dial.to);
        let to = match (&self.traced.application, &self.step().passage.outcome) {
            (Some(_), _) => dialled().find(|to| takes(to)),
            (None, Outcome::Forwards { to, .. }) => to.first(),
            (None, _) => {
                let (first, mut all) = (dialled().next()?, dialled());
                let same = |to: &Upstream| to.host == first.host && to.port == first.port;
                all.all(same).then_some(first)
            }
        };
        let (host, port) = match to {
            Some(to) => (to.host.known()?.clone(), *to.port.known()?),
            None => self.listening(&stack, hop)?,
        };
        Some(match host.strip_prefix("unix:") {
            Some(path) if self.step().layer == "caddy" => format!("unix/{path}"),
            Some(_) => host.clone(),
            None => format!("{host}:{port}"),
        })
    }

    /// Where the application takes sockets, as `proxy` would call it, which does not dial it yet.
    fn listening(&self, stack: &Stack<'_>, proxy: usize) -> Option<(String, u16)> {
        let topology = &self.cx.topology;
        // A service of a profile that nothing starts is no server to send anybody to.
        let optional = |service: &usize| topology.services[*service].is_optional;
        let own = |place: &&Place| {
            Some(&place.folder) == self.traced.application.as_ref()
                && (place.services.is_empty() || !place.services.iter().all(optional))
        };
        topology.places.iter().filter(own).find_map(|place| {
            let Program::Django { commands, .. } = &place.program else {
                return None;
            };
            let mut commands = commands.iter().map(|at| &stack.django.commands[*at]);
            let command = commands.find(|command| command.serves_websockets())?;
            match place.services.as_slice() {
                [] if topology.places[proxy].services.is_empty() => match command.socket() {
                    Some(path) => Some((format!("unix:{path}"), 80)),
                    None => Some(("127.0.0.1".to_owned(), command.port()?)),
                },
                [service, ..] if !topology.places[proxy].services.is_empty() => {
                    Some((topology.services[*service].name.clone(), command.port()?))
                }
                _ => None,
            }
        })
    }

    /// A block of its own for sockets below `prefix`, as the losing proxy writes it, at `address`.
    fn block(&self, prefix: &str, address: &str) -> String {
        let prefix = match prefix {
            "/" => self.traced.path.split('?').next().unwrap_or(prefix),
            prefix => prefix,
        };
        // Where clients ask for it, and what the application gets.
        let below = self.lost.below.as_ref();
        let public = below.map_or("", |below| below.path.as_str());
        let (strip, uri) = match below {
            Some(below) if below.is_stripped => (format!("\turi strip_prefix {public}\n"), prefix),
            _ => (String::new(), ""),
        };
        match self.step().layer {
            "caddy" => {
                format!("handle {public}{prefix}* {{\n{strip}\treverse_proxy {address}\n}}")
            }
            _ => format!(
                "location {public}{prefix} {{\n    proxy_pass http://{address}{uri};\n    proxy_http_version 1.1;\n    proxy_set_header Upgrade $http_upgrade;\n    proxy_set_header Connection \"upgrade\";\n    proxy_set_header Host $host;\n}}"
            ),
        }
    }
}

/// Adds a label, unless the finding points there already.
fn label(finding: Finding, span: Span, message: String) -> Finding {
    if finding.spans().any(|known| known == span) {
        return finding;
    }
    finding.label(span, message)
}

/// A technology's name in a sentence.
fn name(layer: &str) -> &str {
    match layer {
        "caddy" => "Caddy",
        "django" => "the application",
        other => other,
    }
}

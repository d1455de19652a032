//! What becomes of handshakes and pages in a project, to see whether a fix changes any of it.

use std::collections::BTreeSet;

use crate::context::Context;
use crate::handshake::{Browser, Hop, Judged, Outcome, Passage, Reply, Request, Upstream, judge};
use crate::source::{Kind, SourceId, Span};
use crate::trace::hops;

/// Paths and ways in that are tried: enough for a repository of people, an end for a generated one.
const MAX_PATHS: usize = 64;
const MAX_ENTRANCES: usize = 64;

/// What every request that was tried meets, in order.
pub(super) struct Passages {
    tried: Vec<Tried>,
}

/// One path at one way in.
struct Tried {
    /// Hop, address and path.
    name: String,
    /// Whether the hop is an application.
    application: bool,
    /// What each browser's handshake meets.
    handshakes: [Met; 2],
    /// What a page's request meets.
    page: Met,
}

/// A passage without its places, which move.
#[derive(Debug, PartialEq)]
struct Met {
    outcome: Shape,
    /// Whether a socket opens if the upstream is right; `None` if undecided.
    opens: Option<bool>,
}

#[derive(Debug, PartialEq)]
enum Shape {
    Forwards(Vec<Upstream>, Box<Request>, Reply),
    Answers(Option<u16>),
    Undecided(String),
}

impl Passages {
    pub(super) fn of(cx: &Context<'_>) -> Self {
        let paths = paths(cx);
        let mut tried = Vec::new();
        for (number, hop) in hops(cx).iter().enumerate() {
            for entrance in hop.entrances().into_iter().take(MAX_ENTRANCES) {
                let host = if entrance.host.is_empty() {
                    "localhost"
                } else {
                    &entrance.host
                };
                for path in &paths {
                    let request = |browser| {
                        Request::handshake(browser, entrance.tls, host, entrance.port, path)
                    };
                    let mut page = request(Browser::Chrome);
                    page.headers.retain(|line| line.name == "Origin");
                    tried.push(Tried {
                        name: format!("{number} {}:{} {path}", entrance.host, entrance.port),
                        application: hop.is_application(),
                        handshakes: Browser::ALL
                            .map(|browser| met(hop.as_ref(), &request(browser), false)),
                        page: met(hop.as_ref(), &page, true),
                    });
                }
            }
        }
        Self { tried }
    }

    /// Whether after a fix, which left `after`, whatever was right is as it was. A handshake that
    /// was lost may open, with all that is at its path; or be lost to something else.
    pub(super) fn hold(&self, after: &Self) -> bool {
        self.tried.len() == after.tried.len()
            && self
                .tried
                .iter()
                .zip(&after.tried)
                .all(|(before, after)| before.holds(after))
    }
}

impl Tried {
    fn holds(&self, after: &Self) -> bool {
        let mends = |before: &Met, after: &Met| match (before.opens, after.opens) {
            (Some(false), opens) => opens != Some(false),
            (None, opens) => opens == Some(true),
            (Some(true), _) => false,
        };
        let pairs = || self.handshakes.iter().zip(&after.handshakes);
        // A page is as it was, unless the whole path goes another way now.
        let rerouted =
            pairs().any(|(before, after)| mends(before, after) && !same_way(before, after));
        // An application's own redirect of a page is what such a fix is about.
        let spared = self.application
            && matches!(self.page.outcome, Shape::Answers(_))
            && matches!(after.page.outcome, Shape::Undecided(_));
        self.name == after.name
            && (self.page == after.page || rerouted || spared)
            && pairs().all(|(before, after)| {
                before == after || mends(before, after) || lost_still(before, after)
            })
    }
}

/// Whether a handshake that was lost goes the same way as before, with other headers.
fn lost_still(before: &Met, after: &Met) -> bool {
    before.opens == Some(false) && same_way(before, after)
}

fn same_way(before: &Met, after: &Met) -> bool {
    matches!(
        (&before.outcome, &after.outcome),
        (Shape::Forwards(to, ..), Shape::Forwards(same, ..)) if to == same
    )
}

fn met(hop: &dyn Hop, request: &Request, page: bool) -> Met {
    let Passage { outcome, .. } = hop.receive(request);
    let opens = match &outcome {
        _ if page => None,
        Outcome::Forwards { request, reply, .. } => match (judge(request), reply) {
            (Judged::Opens, Reply::Intact) => Some(true),
            (Judged::Undecided(..), _) | (_, Reply::Undecided { .. }) => None,
            _ => Some(false),
        },
        Outcome::Answers { status } => Some(*status == Some(101)),
        Outcome::Undecided { .. } => None,
    };
    let outcome = match outcome {
        Outcome::Forwards {
            mut to,
            mut request,
            reply,
            ..
        } => {
            for upstream in &mut to {
                upstream.from = Span::new(SourceId(0), 0..0);
            }
            for line in &mut request.headers {
                line.from = None;
            }
            if page {
                // What only a handshake needs does a page no harm.
                request.headers.retain(|line| {
                    !["upgrade", "connection"].contains(&line.name.to_ascii_lowercase().as_str())
                });
                request.protocol = crate::handshake::Protocol::Http11;
            }
            // One list is as good as another.
            request
                .headers
                .sort_by_key(|line| line.name.to_ascii_lowercase());
            let reply = if page { Reply::Intact } else { reply };
            Shape::Forwards(to, request, reply)
        }
        Outcome::Answers { status } => Shape::Answers(status),
        Outcome::Undecided { why } => Shape::Undecided(why),
    };
    Met { outcome, opens }
}

/// The paths that the project's configuration and its endpoints name, and one that nothing names.
fn paths(cx: &Context<'_>) -> Vec<String> {
    let mut paths: BTreeSet<String> = BTreeSet::new();
    for endpoint in &cx.project.config.endpoints {
        paths.insert(endpoint.path().to_owned());
    }
    for source in &cx.project.sources {
        if matches!(source.kind, Kind::Nginx | Kind::Caddyfile | Kind::Python) {
            for word in words(&source.text) {
                paths.insert(format!("/{}", word.trim_start_matches('/')));
            }
        }
        if paths.len() > 4 * MAX_PATHS {
            break;
        }
    }
    ["/".to_owned(), "/wslint/nobody-names-this".to_owned()]
        .into_iter()
        .chain(paths.into_iter().take(MAX_PATHS))
        .collect()
}

/// Words that may be paths: with a slash, and of nothing but what a path is of.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "'\";{}(),^$*".contains(c))
        .filter(|word| {
            word.len() < 100
                && word.contains('/')
                && !word.contains("//")
                && !word.starts_with("/etc/")
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_any_language() {
        let text =
            "location ~ ^/api/v1$ { proxy_pass http://a/b; }\npath('ws/chat/', x)\nhandle /ws* {";
        let found: Vec<_> = words(text).collect();
        assert_eq!(found, ["/api/v1", "ws/chat/", "/ws"]);
    }
}

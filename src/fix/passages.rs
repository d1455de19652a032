//! What becomes of handshakes and pages in a project, to see whether a fix changes any of it.

use std::collections::BTreeSet;

use crate::context::Context;
use crate::handshake::{
    Browser, Entrance, Hop, Judged, Outcome, Passage, Reply, Request, Upstream, judge,
};
use crate::source::{Kind, Source, SourceId, Span};
use crate::trace::hops;

/// Paths and ways in that are tried: enough for a repository of people, an end for a generated one.
const MAX_PATHS: usize = 64;
const MAX_ENTRANCES: usize = 64;

/// One path at one way in.
struct Tried {
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

/// Whether after a change of the sources `changed`, from `before` to `after`, whatever was right is
/// as it was. A handshake that was lost may open, with all that is at its path; or be lost to
/// something else.
pub(super) fn hold(
    before: &Context<'_>,
    after: &Context<'_>,
    changed: &BTreeSet<SourceId>,
) -> bool {
    let (old, new) = (Side::of(before, changed), Side::of(after, changed));
    old.hops.len() == new.hops.len()
        && (0..old.hops.len()).all(|hop| {
            // What reads none of these is as it was.
            let is_touched = old.reads(hop).next().is_some() || new.reads(hop).next().is_some();
            !is_touched || holds(&old, &new, hop)
        })
}

/// A project before or after the change.
struct Side<'a> {
    hops: Vec<Box<dyn Hop + 'a>>,
    changed: Vec<&'a Source>,
    paths: BTreeSet<String>,
}

impl<'a> Side<'a> {
    fn of(cx: &'a Context<'a>, changed: &BTreeSet<SourceId>) -> Self {
        Self {
            hops: hops(cx),
            changed: changed.iter().map(|id| cx.project.source(*id)).collect(),
            paths: paths(cx),
        }
    }

    /// The changed sources that a hop may read.
    fn reads(&self, hop: usize) -> impl Iterator<Item = &'a Source> {
        let changed = self.changed.iter().copied();
        changed.filter(move |source| self.hops[hop].may_read(source))
    }

    /// The paths that are tried at a hop: the project's, and those of what changes there.
    fn tried(&self, hop: usize) -> BTreeSet<String> {
        let own: BTreeSet<String> = self.reads(hop).flat_map(named).collect();
        let mut paths = self.paths.clone();
        paths.extend(own.into_iter().take(MAX_PATHS));
        paths
    }

    fn entrances(&self, hop: usize) -> Vec<Entrance> {
        let mut entrances = self.hops[hop].entrances();
        entrances.truncate(MAX_ENTRANCES);
        entrances
    }
}

/// The same of one hop.
fn holds(old: &Side<'_>, new: &Side<'_>, hop: usize) -> bool {
    let (before, after) = (old.entrances(hop), new.entrances(hop));
    let paths = old.tried(hop);
    before.len() == after.len()
        && paths == new.tried(hop)
        && before.iter().zip(&after).all(|(before, after)| {
            let same = (&before.host, before.port) == (&after.host, after.port);
            let met = |side: &Side<'_>, entrance, path: &String| {
                Tried::at(side.hops[hop].as_ref(), entrance, path)
            };
            same && paths
                .iter()
                .all(|path| met(old, before, path).holds(&met(new, after, path)))
        })
}

impl Tried {
    /// Asks for a path at a way in.
    fn at(hop: &dyn Hop, entrance: &Entrance, path: &str) -> Self {
        let host = if entrance.host.is_empty() {
            "localhost"
        } else {
            &entrance.host
        };
        let request =
            |browser| Request::handshake(browser, entrance.tls, host, entrance.port, path);
        let mut page = request(Browser::Chrome);
        page.headers.retain(|line| line.name == "Origin");
        Self {
            application: hop.is_application(),
            handshakes: Browser::ALL.map(|browser| met(hop, &request(browser), false)),
            page: met(hop, &page, true),
        }
    }

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
        (self.page == after.page || rerouted || spared)
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

/// The endpoints, the paths that the files of a project name, and one that nothing names.
fn paths(cx: &Context<'_>) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    for endpoint in &cx.project.config.endpoints {
        found.insert(endpoint.path().to_owned());
    }
    for source in &cx.project.sources {
        found.extend(named(source));
        if found.len() > 4 * MAX_PATHS {
            break;
        }
    }
    ["/".to_owned(), "/wslint/nobody-names-this".to_owned()]
        .into_iter()
        .chain(found.into_iter().take(MAX_PATHS))
        .collect()
}

/// The paths that a file names.
fn named(source: &Source) -> impl Iterator<Item = String> {
    let text = match source.kind {
        Kind::Nginx | Kind::Caddyfile | Kind::Python => source.text.as_str(),
        _ => "",
    };
    words(text).map(|word| format!("/{}", word.trim_start_matches('/')))
}

/// Words that may be paths: with a slash, and of nothing but what a path is of.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || "'\";{}(),^$*".contains(c))
        .filter(|word| {
            word.len() < 100
                && word.contains('/')
                // Of several slashes in front Channels takes all.
                && !word.trim_start_matches('/').contains("//")
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
        let text = "location ~ ^/api/v1$ { proxy_pass http://a/b; }\npath('ws/chat/', x)\npath('//ws/', x)\nhandle /ws* {";
        let found: Vec<_> = words(text).collect();
        assert_eq!(found, ["/api/v1", "ws/chat/", "//ws/", "/ws"]);
    }
}

//! The ways of a handshake that [`phases`] finds, as the rules about strays tell them apart: what
//! answered it, in which location, and what led there.

use super::headers::{Effective, Half, Line, sent};
use super::location::Matcher;
use super::model::{Context, ItemId, ROOT, View};
use super::phases::{Answer, End as Phase, Journey, What, journeys_of_sample};
use crate::handshake::{Reply, Request};
use crate::project::Version;

/// What answers a handshake that is not passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A `return`, `rewrite` or `error_page` that sends the client elsewhere.
    Redirect(ItemId),
    /// nginx's own redirect to the path with a slash.
    Slash(ItemId),
    /// Nothing passes requests on here: files are looked for; the `try_files` that says which.
    Files(Option<ItemId>),
    /// A `return` with any other status.
    Return(ItemId),
    /// `deny` for everyone.
    Denied(ItemId),
    /// `internal`, and the request comes from a client.
    Internal(u32),
    /// Directives that lead to themselves.
    Loop(ItemId),
}

/// How it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A proxy takes it.
    Passed {
        /// The location.
        location: u32,
        /// The block whose settings apply: the location, or an `if` in it.
        block: ItemId,
        /// The `error_page` on the way that writes another status over the answer's.
        overwritten: Option<(ItemId, u16)>,
    },
    /// It is answered.
    Answered {
        /// By what.
        cause: Cause,
        /// With which status; `None` for a closed connection.
        status: Option<u16>,
    },
    /// The files do not say, or another rule does.
    Undecided,
}

/// A way and what decided it.
#[derive(Clone, Debug)]
pub struct Way {
    /// How it ends.
    pub end: End,
    /// The location that took the path, if any did.
    pub location: Option<u32>,
    /// The `if` whose condition held before the end.
    pub condition: Option<ItemId>,
    /// The `rewrite` that changed the path.
    pub moved: Option<ItemId>,
}

impl Way {
    /// Whether nothing is known of it but that it depends on files.
    fn is_about_files(&self, journey: &Journey) -> bool {
        self.end == End::Undecided
            && journey.unseen.is_none()
            && journey.of(What::TryFiles).next().is_some()
    }
}

/// All ways that `request` may take from a server on.
pub(super) fn ways(
    view: View<'_>,
    server: u32,
    request: &Request,
    target: Option<Version>,
) -> Vec<Way> {
    let journeys = journeys_of_sample(view, server, request, target);
    let mut ways = Vec::new();
    for (index, journey) in journeys.iter().enumerate() {
        let way = way(view, journey);
        // That some file may be there, with a name that cannot be told, decides nothing.
        if index == 0 || !way.is_about_files(journey) {
            ways.push(way);
        }
    }
    ways
}

fn way(view: View<'_>, journey: &Journey) -> Way {
    let last = |what| journey.of(what).last().map(|event| event.item);
    let condition = last(What::If);
    // The first one had the path that was asked for; what it leads to may try files again.
    let tried = journey.of(What::TryFiles).next().map(|event| event.item);
    let tries = |item| journey.of(What::TryFiles).any(|event| event.item == item);
    let mut location = journey.location;
    let end = match &journey.end {
        _ if journey.unseen.is_some() => End::Undecided,
        Phase::Undecided { .. } => End::Undecided,
        Phase::Forwards(forwarded) => match location {
            Some(location) => End::Passed {
                location,
                block: forwarded.block,
                overwritten: match (&forwarded.reply, forwarded.reply_by) {
                    (Reply::Replaced { status }, Some(item)) => status.map(|status| (item, status)),
                    _ => None,
                },
            },
            None => End::Undecided,
        },
        Phase::Answers {
            status, by, item, ..
        } => {
            let redirects = matches!(status, Some(301..=303 | 307 | 308));
            let cause = match by {
                Answer::Rewrite | Answer::ErrorPage => Some(Cause::Redirect(*item)),
                Answer::Return if redirects => Some(Cause::Redirect(*item)),
                Answer::Return => Some(Cause::Return(*item)),
                Answer::Slash => Some(Cause::Slash(*item)),
                Answer::Denied => Some(Cause::Denied(*item)),
                Answer::Internal => location.map(Cause::Internal),
                // A page that is not there leads to itself; it is the same `try_files` that is at fault.
                Answer::Loop if tries(*item) => Some(Cause::Files(tried)),
                Answer::Loop => Some(Cause::Loop(*item)),
                Answer::TryFiles | Answer::File | Answer::NoLocation => Some(Cause::Files(tried)),
                _ => None,
            };
            match cause.filter(|cause| *cause != Cause::Loop(ROOT)) {
                Some(cause) => End::Answered {
                    cause,
                    status: *status,
                },
                None => End::Undecided,
            }
        }
    };
    // Where `try_files` named a page, the location of the page is not the one that took the path.
    if let End::Answered {
        cause: Cause::Files(Some(tried)),
        ..
    } = end
    {
        let block = view.item(tried).parent;
        let locations = &view.config.locations;
        location = locations
            .iter()
            .position(|location| location.item == block)
            .map(|index| index as u32);
    }
    // A condition matters where it guards what ended the way.
    let guards = |end: &End| match end {
        End::Answered {
            cause: Cause::Redirect(item) | Cause::Return(item),
            ..
        } => *item != ROOT && Some(view.item(*item).parent) == condition,
        End::Passed {
            overwritten: Some(_),
            ..
        } => true,
        _ => false,
    };
    let ended_by = match end {
        End::Answered {
            cause: Cause::Redirect(item),
            ..
        } => Some(item),
        _ => None,
    };
    let moved = last(What::Rewrite).filter(|item| Some(*item) != ended_by);
    Way {
        condition: condition.filter(|_| guards(&end)),
        moved,
        location,
        end,
    }
}

/// The block that a `deny` stands in, if that is a `limit_except`.
pub(super) fn limiting(view: View<'_>, deny: ItemId) -> Option<ItemId> {
    let within = view.item(deny).parent;
    (within != ROOT && view.context(within) == Context::LimitExcept).then_some(within)
}

/// Whether both headers of the upgrade may reach the upstream of `block`.
pub(super) fn upgrades(view: View<'_>, block: ItemId, requests: &[Request]) -> bool {
    let effective = Effective::at(view, block);
    if effective.unseen.is_some() {
        return true;
    }
    let lines: Vec<Line<'_>> = effective.lines(view).collect();
    [Half::Upgrade, Half::Connection]
        .into_iter()
        .all(|half| sent(view, block, lines.iter().copied(), half, requests).may_pass())
}

/// Whether something in the server leads to an `internal` location.
pub(super) fn is_led_to(view: View<'_>, index: u32) -> bool {
    let location = &view.config.locations[index as usize];
    let path = match &location.matcher {
        Matcher::Exact(path) | Matcher::Prefix { path, .. } => path.as_str(),
        // An expression may match whatever a target turns out to be.
        Matcher::Regex(_) | Matcher::Named(_) | Matcher::Unknown => return true,
    };
    let server = view.config.servers[location.server as usize].item;
    let end = if server == ROOT {
        view.config.items.len() as u32
    } else {
        view.item(server).end
    };
    let start = if server == ROOT { 0 } else { server + 1 };
    (start..end).any(|item| {
        let directive = view.directive(item);
        let target = match directive.name() {
            "rewrite" => directive.args().get(1),
            "try_files" | "error_page" => directive.args().last(),
            "auth_request" | "mirror" | "post_action" | "error_pages" => directive.args().first(),
            _ => return false,
        };
        target.is_some_and(|target| {
            let fixed = target.text.split('$').next().unwrap_or_default();
            let fixed = fixed.split('?').next().unwrap_or_default();
            target.templated
                || fixed.starts_with(path)
                || (fixed.len() < target.text.len() && path.starts_with(fixed))
        })
    })
}

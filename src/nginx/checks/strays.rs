//! What the rules about strays share: which of them a stray belongs to, and how to speak of it.

use super::{Causes, because};
use crate::context::Context;
use crate::finding::{Finding, Report};
use crate::handshake::Evidence;
use crate::nginx::location::Location;
use crate::nginx::model::{Context as Block, ItemId, ROOT, View};
use crate::nginx::stray::Stray;
use crate::nginx::way::{Cause, End};
use crate::nginx::words::variables;
use crate::source::Span;

/// Which rule a stray belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `nginx/redirects-handshake`.
    Redirect,
    /// `nginx/forwarded-proto-redirect`.
    Scheme,
    /// `nginx/trailing-slash-redirect`.
    Slash,
    /// `nginx/shadowed-location`.
    Shadowed,
    /// `nginx/static-fallback`.
    Files,
    /// `nginx/answered-locally`.
    Answered,
    /// `nginx/error-page-status`.
    ErrorPage,
}

/// A stray with what a check needs to talk about it.
#[derive(Clone, Copy)]
pub(super) struct Astray<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) stray: &'a Stray,
    pub(super) view: View<'a>,
}

/// The strays of one rule.
pub(super) fn of<'a>(cx: &'a Context<'a>, kind: Kind) -> impl Iterator<Item = Astray<'a>> {
    let all = cx.nginx.strays.iter().map(move |stray| Astray {
        cx,
        stray,
        view: cx.nginx.view(stray.config),
    });
    all.filter(move |astray| astray.kind() == Some(kind) && !astray.is_told_of_the_stack())
}

/// One finding for each thing that one would change, with all the routes that it breaks.
pub(super) fn report(
    cx: &Context<'_>,
    report: &mut Report<'_>,
    kind: Kind,
    cause: impl Fn(&Astray<'_>) -> Option<Span>,
    finding: impl Fn(&Report<'_>, &Astray<'_>, Span) -> Finding,
) {
    let mut causes = Causes::default();
    for astray in of(cx, kind) {
        let Some(span) = cause(&astray) else {
            continue;
        };
        causes.add(span, astray.route(), || {
            let made = finding(report, &astray, span);
            because(cx, made, Some(&astray.stray.evidence))
        });
    }
    causes.report(report);
}

impl<'a> Astray<'a> {
    fn kind(&self) -> Option<Kind> {
        let Stray { right, way, .. } = self.stray;
        let other = right.is_some() && (way.location.is_some() || self.in_other_server());
        let taken = other && way.location != *right;
        Some(match &way.end {
            End::Undecided => return None,
            End::Passed {
                overwritten: Some(_),
                ..
            } => Kind::ErrorPage,
            End::Passed { .. } => Kind::Shadowed,
            End::Answered { cause, .. } => match cause {
                Cause::Redirect(_) if self.scheme_condition().is_some() => Kind::Scheme,
                Cause::Redirect(_) => Kind::Redirect,
                Cause::Slash(_) => Kind::Slash,
                Cause::Loop(_) | Cause::Internal(_) => Kind::Answered,
                Cause::Files(_) if self.nested_in_right() => Kind::Answered,
                _ if taken => Kind::Shadowed,
                Cause::Files(_) => Kind::Files,
                Cause::Return(_) | Cause::Denied(_) => Kind::Answered,
            },
        })
    }

    /// Whether `stack/https-redirect` tells it.
    fn is_told_of_the_stack(&self) -> bool {
        let End::Answered {
            cause: Cause::Redirect(item),
            ..
        } = self.stray.way.end
        else {
            return false;
        };
        let line = self.view.directive(item).head();
        self.cx.redirected().iter().any(|one| one.by == line)
    }

    /// Whether the right location belongs to another server.
    pub(super) fn in_other_server(&self) -> bool {
        self.right()
            .is_some_and(|right| right.server != self.stray.server)
    }

    /// Whether what took it is nested in the right location.
    pub(super) fn nested_in_right(&self) -> bool {
        let mut at = self.stray.way.location;
        while let Some(index) = at {
            at = self.view.config.locations[index as usize].parent;
            if at.is_some() && at == self.stray.right {
                return true;
            }
        }
        false
    }

    /// The location that ought to get it.
    pub(super) fn right(&self) -> Option<&'a Location> {
        Some(&self.view.config.locations[self.stray.right? as usize])
    }

    /// The `if` that makes a redirect depend on the scheme.
    pub(super) fn scheme_condition(&self) -> Option<ItemId> {
        let view = self.view;
        let about_scheme = |name: &str| {
            let name = name.to_ascii_lowercase();
            matches!(name.as_str(), "scheme" | "https") || name.starts_with("http_x_forwarded_")
        };
        let condition = self.stray.way.condition?;
        let args = view.directive(condition).args();
        let named = args.iter().flat_map(|word| variables(&word.text));
        let depends = named.into_iter().any(|name| {
            about_scheme(name)
                || view
                    .config
                    .maps
                    .get(&name.to_ascii_lowercase())
                    .and_then(|maps| maps.last())
                    .and_then(|map| view.directive(*map).arg(0))
                    .is_some_and(|source| variables(source).into_iter().any(about_scheme))
        });
        depends.then_some(condition)
    }

    /// The status that the client gets.
    pub(super) fn status(&self) -> Option<u16> {
        match self.stray.way.end {
            End::Answered { status, .. } => status,
            _ => None,
        }
    }

    /// From the name to the last argument of an item.
    pub(super) fn head(&self, item: ItemId) -> Span {
        self.view.directive(item).head()
    }

    /// The text of a head, on one line.
    pub(super) fn quote(&self, item: ItemId) -> String {
        let text = self.cx.project.slice(self.head(item));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The location that took it, by its directive.
    pub(super) fn taker(&self) -> Option<ItemId> {
        let index = self.stray.way.location?;
        Some(self.view.config.locations[index as usize].item)
    }

    /// The server that took it.
    pub(super) fn server(&self) -> ItemId {
        self.view.config.servers[self.stray.server as usize].item
    }

    /// The URL or location that is lost: `` at `/ws/` ``, `` through `location /ws/` ``.
    pub(super) fn lost(&self) -> String {
        match (&self.stray.evidence, self.right()) {
            (Evidence::Declared { endpoint }, _) => format!("at `{endpoint}`"),
            (Evidence::Application { .. }, _) => format!("at `{}`", self.stray.path),
            (_, Some(right)) => format!("through `{}`", self.quote(right.item)),
            (_, None) => format!("at `{}`", self.stray.path),
        }
    }

    /// The place of the route, for the list of all that one cause breaks.
    pub(super) fn route(&self) -> Option<(Span, String)> {
        let right = self.right()?;
        Some((
            self.head(right.item),
            match self.kind() {
                Some(Kind::ErrorPage) => "takes the handshake, and hands it over",
                _ => "handles the upgrade, and is never asked",
            }
            .to_owned(),
        ))
    }

    /// Points at what led to the end: a `rewrite` that moved the path, an `if` that holds.
    pub(super) fn on_the_way(&self, finding: Finding) -> Finding {
        let way = &self.stray.way;
        let steps = [
            (way.moved, "moves the path before a location is chosen"),
            (way.condition, "holds for a handshake"),
        ];
        steps
            .into_iter()
            .filter_map(|(item, message)| Some((self.head(item?), message)))
            .fold(finding, |finding, (span, message)| {
                if finding.spans().any(|known| known == span) {
                    finding
                } else {
                    finding.label(span, message)
                }
            })
    }

    /// A block for the sockets, ready to paste, with the upstream that the server passes to.
    pub(super) fn block(&self, opening: &str) -> String {
        let view = self.view;
        let server = self.stray.server;
        let url = |location: &Location| {
            let pass = view.level(location.item).pass?;
            let url = view.directive(pass).arg(0)?;
            (!url.contains("$request_uri")).then_some(url)
        };
        let here = || {
            let locations = view.config.locations.iter();
            locations.filter(|location| location.server == server)
        };
        // The one that handles the upgrade, then the one for everything, knows the application.
        let pass = self
            .right()
            .and_then(url)
            .or_else(|| {
                here()
                    .filter(|location| location.is_catch_all())
                    .find_map(url)
            })
            .or_else(|| here().find_map(url))
            .unwrap_or("http://127.0.0.1:8000");
        let authority = pass.find("://").map_or(0, |at| at + 3);
        let end = pass[authority..]
            .find('/')
            .map_or(pass.len(), |at| authority + at);
        format!(
            "{opening} {{\n    proxy_pass {};\n    proxy_http_version 1.1;\n    proxy_set_header Upgrade $http_upgrade;\n    proxy_set_header Connection \"upgrade\";\n}}",
            &pass[..end]
        )
    }

    /// The folder of the path that was lost, as the prefix of a location.
    pub(super) fn prefix(&self) -> &str {
        let path = &self.stray.path;
        if path.ends_with('/') {
            return path;
        }
        match path.trim_start_matches('/').find('/') {
            Some(at) => &path[..at + 2],
            None => path,
        }
    }

    /// A level by name.
    pub(super) fn level(&self, item: ItemId) -> String {
        match self.view.context(item) {
            Block::Location => format!("`{}`", self.quote(item)),
            Block::Server if item != ROOT => "the `server` block".to_owned(),
            _ => "this file".to_owned(),
        }
    }
}

/// What a browser makes of a status other than 101.
pub(super) fn refused(status: Option<u16>) -> String {
    match status {
        Some(status) => format!(
            "a browser opens a WebSocket on 101 only: with {status} the page sees close code 1006"
        ),
        None => "nginx closes the connection without an answer: the page sees close code 1006"
            .to_owned(),
    }
}

//! A request's way through a server: the phases of nginx, in their order, for a GET with Upgrade
//! (ngx_http_core_module.h, ngx_http_phases).
//!
//! [`journeys`] sends a request to a server and returns every way that it may take: one, if the
//! files decide all that happens to it; several, where a condition depends on what nobody knows
//! (a cookie, the client's address, a file on the disk). A check looks at [`Journey::end`], which
//! says by which directive the handshake is lost, or with what it reaches the upstream, and at
//! [`Journey::events`] for the directives that led there:
//!
//! ```ignore
//! let request = phases::request(view, server, Browser::Chrome, "/ws/");
//! for journey in phases::journeys(view, server, &request, request.tls, target) {
//!     match &journey.end {
//!         End::Answers { by: Answer::Return, item, status, .. } => …,
//!         End::Forwards(forwarded) if forwarded.reply != Reply::Intact => …,
//!         _ => {}
//!     }
//! }
//! ```
//!
//! What is missing on the way (an include, the file around a fragment) is in [`Journey::unseen`]:
//! the hop then answers *undecided*, a check that knows better need not.

mod access;
mod content;
mod pass;
mod reply;
mod rewrite;
mod walk;

pub use pass::dials;

use super::model::{ItemId, Unseen, View};
use crate::handshake::{Browser, Reply, Request, Upstream};
use crate::project::Version;
use crate::value::Value;

/// Ways of one request that are told apart.
const MAX_WAYS: usize = 64;

/// Something that happened to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The directive; [`ROOT`](super::model::ROOT) if none stands for it.
    pub item: ItemId,
    /// What.
    pub what: What,
    /// The same for a person, in a few words.
    pub message: String,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A server was chosen.
    Server,
    /// A location was chosen by the path.
    Location,
    /// A named location was jumped to.
    Named,
    /// A `limit_except` took the place of its location.
    LimitExcept,
    /// The path was changed, or a redirect made, by `rewrite`.
    Rewrite,
    /// The condition of an `if` holds.
    If,
    /// `return`.
    Return,
    /// `error_page` took over.
    ErrorPage,
    /// `try_files` chose.
    TryFiles,
    /// `index` chose.
    Index,
    /// `allow`, `deny`, `auth_basic` or `auth_request` judged.
    Access,
    /// A handler took the request: `proxy_pass` and the like.
    Handler,
    /// The level whose headers apply.
    Headers,
    /// Something happens to the 101 on its way back.
    Reply,
    /// Something nobody can decide was taken to be so.
    Assumed,
}

/// One way of a request through a server.
#[derive(Clone, Debug)]
pub struct Journey {
    /// The server, as an index into the configuration's.
    pub server: u32,
    /// The last location that the request was in, as an index into the configuration's.
    pub location: Option<u32>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// How it ended.
    pub end: End,
    /// Directives that nobody can see may stand on the way.
    pub unseen: Option<Unseen>,
    /// What had to be assumed, if anything: why, and where.
    pub assumed: Vec<(ItemId, String)>,
}

impl Journey {
    fn none() -> Self {
        Self {
            server: 0,
            location: None,
            events: Vec::new(),
            end: End::Undecided {
                why: "no way was found".to_owned(),
                item: super::model::ROOT,
            },
            unseen: None,
            assumed: Vec::new(),
        }
    }

    /// The events of one kind.
    pub fn of(&self, what: What) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.what == what)
    }

    /// Whether a directive took part.
    pub fn meets(&self, item: ItemId) -> bool {
        self.events.iter().any(|event| event.item == item)
    }
}

/// How a request ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It is passed on.
    Forwards(Box<Forwarded>),
    /// nginx answers itself.
    Answers {
        /// What the client gets; `None` where the connection is closed without an answer.
        status: Option<u16>,
        /// By what.
        by: Answer,
        /// The directive that answers, or ended the search; [`ROOT`](super::model::ROOT) if none
        /// does.
        item: ItemId,
        /// Where a redirect leads.
        to: Option<Value>,
    },
    /// It can't be told.
    Undecided {
        /// Why, for a person.
        why: String,
        /// What shows it; [`ROOT`](super::model::ROOT) if nothing does.
        item: ItemId,
    },
}

/// What passes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The `proxy_pass` or the like.
    pub pass: ItemId,
    /// Its module.
    pub module: Module,
    /// The block whose settings apply: the location, or an `if` or `limit_except` in it.
    pub block: ItemId,
    /// To whom.
    pub to: Vec<Upstream>,
    /// The request as it leaves. Its path and query are the upstream's.
    pub request: Request,
    /// The path and query at the upstream are as the request says; else a variable that nobody
    /// knows is in them.
    pub path_known: bool,
    /// What becomes of a 101.
    pub reply: Reply,
    /// The directive that spoils or replaces it.
    pub reply_by: Option<ItemId>,
    /// How the request goes on where the upstream refuses it with one of these.
    pub refused: Vec<(u16, End)>,
    /// The status that any other answer reaches the client with, where `error_page` led here and
    /// keeps one (ngx_http_send_header), or where nothing waits for the answer.
    pub kept: Option<u16>,
    /// The status that the client gets where the upstream closes the connection without an answer:
    /// 502, or what the `error_page` for it makes of that; `None` where that is not to be told.
    pub unanswered: Option<u16>,
}

/// Modules that pass requests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// `proxy_pass`.
    Proxy,
    /// `uwsgi_pass`.
    Uwsgi,
    /// `scgi_pass`.
    Scgi,
    /// `fastcgi_pass`, which cannot upgrade.
    Fastcgi,
    /// `grpc_pass`, which cannot upgrade.
    Grpc,
}

impl Module {
    /// Whether it has code for a 101 (since 1.3.13; uwsgi and scgi since 1.3.14).
    pub const fn upgrades(self) -> bool {
        matches!(self, Self::Proxy | Self::Uwsgi | Self::Scgi)
    }
}

/// What answers in place of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `return`.
    Return,
    /// `rewrite` to another host, or with `redirect` or `permanent`.
    Rewrite,
    /// `error_page` with a URL.
    ErrorPage,
    /// The location takes the path only with a slash at its end.
    Slash,
    /// `deny`.
    Denied,
    /// `auth_basic`.
    Unauthorized,
    /// `auth_request`: what it asks says no, or fails.
    AuthRequest,
    /// `mirror`: what it asks closes the connection.
    Mirror,
    /// The location is `internal`.
    Internal,
    /// Rewrites or redirects within the server that never end.
    Loop,
    /// `try_files … =404`.
    TryFiles,
    /// A named location that does not exist.
    NoSuchLocation,
    /// A file, or its absence.
    File,
    /// No location takes the path, and the server itself has no file.
    NoLocation,
    /// A handler of nginx's own: `stub_status`, `empty_gif`.
    Handler,
    /// `proxy_pass` to a variable host without a `resolver`.
    NoResolver,
    /// `proxy_read_timeout 0`.
    TimedOut,
    /// An upstream that closes the connection without an answer.
    Closed,
    /// Every server of the `upstream` is down.
    NoLiveServer,
    /// `proxy_pass` with a URL that is none.
    BadUrl,
    /// Plain HTTP at a port that speaks TLS.
    PlainToTls,
    /// TLS at a port that speaks plain HTTP, or is told to refuse it.
    NoTls,
    /// HTTP/1.1 at a port that understands nothing but HTTP/2.
    Http2Only,
    /// A path that no server understands.
    BadRequest,
}

/// The handshake of `browser` for `path` at a server, as far as the server says what it is asked
/// for: its first plain name, and TLS if it listens with it.
pub fn request(view: View<'_>, server: u32, browser: Browser, path: &str) -> Request {
    let server = &view.config.servers[server as usize];
    let plain = |name: &&String| !name.contains('*') && !name.starts_with('.') && **name != "_";
    let host = server.names.iter().find(plain);
    let host = host.map_or("", |name| name.as_str());
    let listen = server.listens.iter().find(|listen| listen.tls);
    let listen = listen.or_else(|| server.listens.first());
    let (tls, port) = listen.map_or((false, 80), |listen| (listen.tls, listen.port));
    let mut request = Request::handshake(browser, tls, host, port, path);
    if host.is_empty() {
        // Which page asks is as unknown as the host.
        request.headers.retain(|header| header.name != "Origin");
    }
    request
}

/// The ways that `request` may take from a server of a configuration on; `tls` says whether TLS is
/// spoken at the listener where it arrives.
pub fn journeys(
    view: View<'_>,
    server: u32,
    request: &Request,
    tls: bool,
    target: Option<Version>,
) -> Vec<Journey> {
    journeys_read_by(view, server, server, request, tls, target)
}

/// The same for a request that stands for all that go to its path.
pub(super) fn journeys_of_sample(
    view: View<'_>,
    server: u32,
    request: &Request,
    target: Option<Version>,
) -> Vec<Journey> {
    every_way(|oracle| {
        let walk = walk::Walk::new(view, server, request, target, oracle).sampled();
        walk.run(request.tls, server)
    })
}

/// The same where another server of the listener reads the path, before the Host is known: its
/// `merge_slashes` counts.
pub(super) fn journeys_read_by(
    view: View<'_>,
    read_by: u32,
    server: u32,
    request: &Request,
    tls: bool,
    target: Option<Version>,
) -> Vec<Journey> {
    every_way(|oracle| walk::Walk::new(view, server, request, target, oracle).run(tls, read_by))
}

/// Walks once for each answer to what nobody knows.
fn every_way(mut walk: impl FnMut(&mut Oracle) -> Journey) -> Vec<Journey> {
    let mut ways = Vec::new();
    let mut script = Vec::new();
    loop {
        let mut oracle = Oracle {
            script: std::mem::take(&mut script),
            asked: Vec::new(),
        };
        let mut journey = walk(&mut oracle);
        journey.assumed = oracle.asked;
        ways.push(journey);
        script = oracle.script;
        // The next way: the last question that was answered with no is answered with yes.
        while script.last() == Some(&true) {
            script.pop();
        }
        match script.last_mut() {
            Some(last) if ways.len() < MAX_WAYS => *last = true,
            _ => return ways,
        }
    }
}

/// The one end of all ways; undecided where they differ.
pub fn decided(ways: Vec<Journey>) -> Journey {
    let complete = ways.len() < MAX_WAYS;
    let mut ways = ways.into_iter();
    // There is always one way.
    let mut first = ways.next().unwrap_or_else(Journey::none);
    if (!complete || ways.any(|other| !same(&first.end, &other.end)))
        && let Some((item, why)) = first.assumed.first().cloned()
    {
        // What happened before the question is what is known.
        let known = first.events.iter();
        let known = known
            .take_while(|event| event.what != What::Assumed)
            .count();
        first.events.truncate(known + 1);
        first.end = End::Undecided { why, item };
    }
    first
}

/// Whether a client can't tell two ends apart.
fn same(a: &End, b: &End) -> bool {
    match (a, b) {
        (End::Answers { status: a, .. }, End::Answers { status: b, .. }) => a == b,
        (End::Forwards(a), End::Forwards(b)) => {
            a.request == b.request && a.reply == b.reply && a.to == b.to
        }
        _ => a == b,
    }
}

/// Answers what nobody knows, one way after the other.
#[derive(Default)]
struct Oracle {
    script: Vec<bool>,
    asked: Vec<(ItemId, String)>,
}

impl Oracle {
    fn ask(&mut self, item: ItemId, why: String) -> bool {
        let at = self.asked.len();
        self.asked.push((item, why));
        match self.script.get(at) {
            Some(answer) => *answer,
            None => {
                self.script.push(false);
                false
            }
        }
    }
}

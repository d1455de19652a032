//! The way of a request through a site's handlers, in the order in which they run.

mod uri;

use std::collections::HashMap;
use std::sync::Arc;

pub(super) use uri::rewritten;
use uri::strip_prefix;

use super::expand::Word;
use super::files::Folder;
use super::handler::{Action, Block, Handler, HandlerId, Handlers, OtherErrors};
use super::list::List;
use super::map::Map;
use super::matcher::Doubt;
use super::path::is_clean;
use super::placeholder::{Scene, fill};
use super::proxy::{Dialect, HANDSHAKE, HeaderLine, Proxy, apply, opens, rebuild};
use super::response::HeaderOps;
use super::server::takes;
use crate::handshake::{Because, Header, Request};
use crate::source::Span;
use crate::value::Value;

/// Where a walk ends.
#[derive(Clone, Debug)]
pub enum End {
    /// At a proxy; the request is as it came there.
    Proxied(HandlerId),
    /// Some handler answered.
    Answered(HandlerId, Option<u16>),
    /// No handler took it: Caddy answers 200 with an empty body.
    Unhandled,
    /// It depends.
    Undecided(Span, Doubt),
}

/// A handler that changed the path on the way.
#[derive(Clone, Debug)]
pub struct PathChange {
    /// Which.
    pub by: HandlerId,
    /// The path before.
    pub from: String,
    /// The path after.
    pub to: String,
}

/// A walk through a site.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Where it ended.
    pub end: End,
    /// What changed the path, in order.
    pub changes: Vec<PathChange>,
    /// What changed it to a file's that the project does not show.
    pub(super) supposed: Option<HandlerId>,
    /// The handlers that took part.
    pub passed: Vec<HandlerId>,
    /// The request as it was at the end.
    pub request: Request,
    /// What happened on the way, in order.
    pub because: Vec<Because>,
    /// A handshake header that a `request_header` took away, and the line.
    pub taken: Vec<(&'static str, Span)>,
    /// What changed the method last.
    pub method_by: Option<Span>,
    /// The `header` directives on the way, outermost first: what they do to the answer.
    pub headers: Vec<HandlerId>,
    /// How many of them came before an error: what waits for an answer waits on a writer that
    /// `handle_errors` does not have (caddyhttp/server.go, ServeHTTP).
    before_error: usize,
    /// A `handle_response` or `replace_status` that takes the upstream's 101 for itself, and the
    /// status that comes of it.
    pub replaced: Option<(Span, Option<u16>)>,
    /// A `copy_response_headers` that doubles the headers of the 101.
    pub doubled: Option<Span>,
    /// A proxy whose answer is left to what comes after it.
    pub(super) left: Option<HandlerId>,
    /// An `intercept` that ends the connection if nothing answers.
    pub(super) panics: Option<HandlerId>,
    /// What `vars`, expressions and `file` found out.
    pub(super) found: HashMap<String, Option<String>>,
    /// The `map`s on the way, and whether they surely were.
    pub(super) maps: Vec<(Arc<Map>, bool)>,
    /// The request as the client sent it.
    pub(super) asked: Request,
    /// How many handlers were looked at.
    pub(super) steps: usize,
}

impl Walk {
    /// The request at the end, with what placeholders stand for.
    pub(super) fn scene<'a>(&'a self, handlers: &'a Handlers) -> Scene<'a> {
        Scene {
            request: &self.request,
            asked: &self.asked,
            defined: &handlers.defined,
            found: &self.found,
            maps: Some(&self.maps),
            behind: 0,
            version: handlers.version,
            folders: &handlers.folders,
        }
    }

    /// The operations on the answer, outermost first.
    pub(super) fn header_ops<'a>(
        &'a self,
        handlers: &'a Handlers,
    ) -> impl DoubleEndedIterator<Item = (&'a Handler, &'a HeaderOps)> + Clone {
        self.headers.iter().enumerate().flat_map(|(at, id)| {
            let handler = handlers.get(*id);
            let ops: &[HeaderOps] = match &handler.action {
                Action::Headers(ops) => ops,
                _ => &[],
            };
            let is_before = at < self.before_error;
            ops.iter()
                .filter(move |ops| !(is_before && ops.waits()))
                .map(move |ops| (handler, ops))
        })
    }
}

/// Walks `request` through a site. With `frozen`, nothing changes the path: what would happen if
/// the handlers' matchers saw the path that the client asked for.
pub fn walk(handlers: &Handlers, request: &Request, frozen: bool) -> Walk {
    let mut walker = Walker::new(handlers, request, frozen);
    let end = walker.list(&handlers.top).unwrap_or(End::Unhandled);
    walker.finish(end)
}

/// Walks `request` through the site's `handle_errors` for an error of that status, which `by`
/// makes of what a first walk was.
pub(super) fn walk_error(
    handlers: &Handlers,
    before: &Walk,
    by: HandlerId,
    status: Option<u16>,
) -> Walk {
    let mut walker = Walker::new(handlers, &before.asked, false);
    walker.walk.because.clone_from(&before.because);
    walker.walk.passed.clone_from(&before.passed);
    walker.walk.request.clone_from(&before.request);
    walker.walk.found.clone_from(&before.found);
    walker.walk.maps.clone_from(&before.maps);
    let end = walker.fail(by, status);
    walker.finish(end)
}

/// What these handlers make of a request that was walked before; `None` where they leave it to
/// what comes after them.
pub(super) fn walk_list(handlers: &Handlers, before: &Walk, list: &List) -> Option<End> {
    let mut walker = Walker::new(handlers, &before.asked, false);
    walker.walk.request.clone_from(&before.request);
    walker.walk.found.clone_from(&before.found);
    walker.walk.maps.clone_from(&before.maps);
    walker.list(list)
}

/// Handlers of which only the first route that matches runs (httptype.go, `buildSubroute`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    /// `handle` and `handle_path`, if there are several.
    Handles,
    /// `rewrite`.
    Rewrites,
    /// `root`.
    Roots,
    /// `try_files`, whose routes carry a matcher of their own, and `handle_path`, which begins
    /// with a rewrite.
    Alone,
    /// Anything else.
    None,
}

/// The name of a named route, and what it is run with.
type Invoked = (Option<String>, Request, HashMap<String, Option<String>>);

struct Walker<'a> {
    handlers: &'a Handlers,
    /// Caddy's matchers see the path as it is.
    is_clean: bool,
    frozen: bool,
    walk: Walk,
    /// The error that is being handled.
    error: Option<u16>,
    /// The `intercept`s on the way, outermost first.
    intercepts: Vec<HandlerId>,
    /// Whether `templates` came after them, which answers 200 where nothing does.
    buffered: bool,
    /// The named routes that are being run, each with the request as it came there, and what was
    /// found out by then.
    invoked: Vec<Invoked>,
    /// A proxy whose answer was dropped, so that what comes after it answers.
    dropped: Option<(HandlerId, Span)>,
}

impl<'a> Walker<'a> {
    fn new(handlers: &'a Handlers, request: &Request, frozen: bool) -> Self {
        Self {
            handlers,
            is_clean: is_clean(&request.path),
            frozen,
            walk: Walk {
                end: End::Unhandled,
                changes: Vec::new(),
                supposed: None,
                passed: Vec::new(),
                request: request.clone(),
                because: Vec::new(),
                taken: Vec::new(),
                method_by: None,
                headers: Vec::new(),
                before_error: 0,
                replaced: None,
                doubled: None,
                left: None,
                panics: None,
                found: HashMap::new(),
                maps: Vec::new(),
                asked: request.clone(),
                steps: 0,
            },
            error: None,
            intercepts: Vec::new(),
            buffered: false,
            invoked: Vec::new(),
            dropped: None,
        }
    }

    fn finish(mut self, end: End) -> Walk {
        if !self.buffered && panics(self.handlers) {
            self.walk.panics = self.intercepts.first().copied();
        }
        self.walk.end = match (self.dropped, end) {
            (Some((id, by)), End::Answered(_, status)) => {
                self.walk.replaced = Some((by, status));
                End::Proxied(id)
            }
            (Some((id, by)), End::Unhandled) => {
                let status = self.walk.panics.is_none().then_some(200);
                self.walk.replaced = Some((by, status));
                End::Proxied(id)
            }
            (_, end) => end,
        };
        self.walk
    }

    fn scene(&self) -> Scene<'_> {
        self.walk.scene(self.handlers)
    }

    fn say(&mut self, span: Span, message: impl Into<String>) {
        let message = message.into();
        self.walk.because.push(Because { span, message });
    }

    /// Runs these handlers; `None` if the request comes out at their end. The recursion is as deep
    /// as blocks are nested, which expansion bounds.
    fn list(&mut self, list: &List) -> Option<End> {
        let handlers = self.handlers;
        let group = |id: HandlerId| match handlers.get(id).action {
            _ if list.literal => Group::Alone,
            Action::Block(Block::Handle | Block::HandlePath(_), _) if list.several => {
                Group::Handles
            }
            Action::Rewrite(_) => Group::Rewrites,
            Action::Vars(_) if handlers.get(id).name == "root" => Group::Roots,
            Action::TryFiles(_) => Group::Alone,
            _ => Group::None,
        };
        // httptype.go, consolidateRoutes: neighbours of one group with the same matcher are one
        // route, whose matcher is evaluated once, before any of them runs.
        let same = |a: HandlerId, b: HandlerId| {
            let one = group(a) == group(b) && group(a) != Group::Alone;
            let [a, b] = [a, b].map(|id| &handlers.get(id).matcher);
            one && a.same(b, handlers.version)
        };
        let (mut handled, mut rewritten, mut rooted) = (false, false, false);
        let mut at = 0;
        // The places that the path may be meant for, until it is another one.
        let mut places = None;
        let mut changes = usize::MAX;
        while at < list.len() {
            if changes != self.walk.changes.len() {
                changes = self.walk.changes.len();
                let path = &self.walk.request.path;
                places = list.places(path).filter(|_| self.is_clean);
            }
            if let Some(places) = &places {
                let Some(place) = places.get(places.partition_point(|place| *place < at)) else {
                    break;
                };
                at = *place;
            }
            self.walk.steps += 1;
            let first = handlers.get(list[at]);
            let rest = &list[at..];
            let pairs = rest.windows(2).take_while(|pair| same(pair[0], pair[1]));
            let route = &rest[..=pairs.count()];
            at += route.len();
            // Of a group only the first route that matches runs.
            let done = match group(route[0]) {
                Group::Handles => Some(&mut handled),
                Group::Rewrites => Some(&mut rewritten),
                Group::Roots => Some(&mut rooted),
                Group::Alone | Group::None => None,
            };
            if done.as_ref().is_some_and(|done| **done) {
                continue;
            }
            match first.matcher.decide_in(&self.scene()) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(_) if route.iter().all(|id| is_harmless(handlers.get(*id))) => {
                    self.perhaps_sets(route);
                    continue;
                }
                Err(doubt) => {
                    let span = first.matcher.place().unwrap_or(first.head);
                    return Some(End::Undecided(span, doubt));
                }
            }
            if let Some(file) = first.matcher.file(&self.scene()) {
                self.walk
                    .found
                    .insert("file_match.relative".to_owned(), Some(file));
            }
            first
                .matcher
                .captures(&self.walk.request, &mut self.walk.found);
            if let Some(end) = self.perhaps(route) {
                return Some(end);
            }
            if let Some(done) = done {
                *done = true;
            }
            for &id in route {
                if let Some(end) = self.handler(id, handlers.get(id)) {
                    return Some(end);
                }
            }
        }
        None
    }

    /// What a route may have set, whose matcher is not decided.
    fn perhaps_sets(&mut self, route: &[HandlerId]) {
        for id in route {
            match &self.handlers.get(*id).action {
                Action::Vars(pairs) => {
                    for (name, _) in pairs {
                        self.walk.found.insert(format!("vars.{name}"), None);
                    }
                }
                Action::Map(map) => self.walk.maps.push((map.clone(), false)),
                _ => {}
            }
        }
    }

    /// Where it ends for want of knowing whether a template writes one of these.
    fn perhaps(&self, route: &[HandlerId]) -> Option<End> {
        let matters = |handler: &Handler| match handler.action {
            Action::Rewrite(_)
            | Action::Uri(_)
            | Action::TryFiles(_)
            | Action::Method(_)
            | Action::RequestHeader(_) => !self.frozen,
            _ => !is_harmless(handler),
        };
        let handler = route
            .iter()
            .map(|id| self.handlers.get(*id))
            .find(|handler| handler.conditional && matters(handler))?;
        Some(End::Undecided(handler.head, Doubt::conditional()))
    }

    fn handler(&mut self, id: HandlerId, handler: &Handler) -> Option<End> {
        match &handler.action {
            Action::Pass => {
                self.buffered |= handler.name == "templates";
                None
            }
            Action::Plugin => {
                let why = format!(
                    "what the directive `{}` does is not known here",
                    handler.name
                );
                Some(End::Undecided(handler.head, Doubt::Hidden(why)))
            }
            Action::Block(block, list) => {
                self.walk.passed.push(id);
                self.say(handler.head, format!("`{}` takes it", handler.name));
                if let Block::HandlePath(prefix) = block {
                    let path = strip_prefix(&self.walk.request.path, prefix, self.handlers.version);
                    self.change(id, path);
                }
                if *block != Block::Invoke {
                    return self.list(list);
                }
                let route = handler.args.first().map(|name| name.text.clone());
                let before = (route, self.walk.request.clone(), self.walk.found.clone());
                if self.invoked.contains(&before) {
                    let message = "invokes itself for ever: Caddy's stack overflows, and the whole process ends";
                    self.say(handler.head, message);
                    return Some(End::Answered(id, None));
                }
                self.invoked.push(before);
                let end = self.list(list);
                self.invoked.pop();
                end
            }
            Action::Proxy(proxy) => self.proxy(id, handler, proxy),
            Action::Answer(status) => {
                self.walk.passed.push(id);
                let status = match self.error {
                    Some(error) if handler.implied => Some(error),
                    _ => *status,
                };
                Some(End::Answered(id, self.intercepted(status)))
            }
            Action::Intercept(_) => {
                self.intercepts.push(id);
                self.buffered = false;
                None
            }
            Action::Fail(status) => {
                self.walk.passed.push(id);
                Some(self.fail(id, *status))
            }
            Action::FileServer => {
                self.walk.passed.push(id);
                Some(self.file_server(id))
            }
            Action::Headers(_) => {
                self.walk.headers.push(id);
                None
            }
            Action::Vars(pairs) => {
                for (name, value) in pairs {
                    let value = value.known().and_then(|value| fill(value, &self.scene()));
                    self.walk.found.insert(format!("vars.{name}"), value);
                }
                None
            }
            Action::Map(map) => {
                self.walk.maps.push((map.clone(), true));
                None
            }
            // A 101 is nothing that could be copied twice; see `proxy`.
            Action::CopyResponse => Some(End::Answered(id, Some(101))),
            Action::CopyHeaders => {
                self.walk.doubled = Some(handler.head);
                None
            }
            Action::Rewrite(to) => {
                if let Some(end) = hidden(to) {
                    return Some(end);
                }
                match self.rewritten(&to.text) {
                    Some((path, query)) => {
                        self.change(id, path);
                        if let (Some(query), false) = (query, self.frozen) {
                            self.walk.request.query = query;
                        }
                    }
                    None if self.frozen => {}
                    None => return Some(End::Undecided(to.span, Doubt::Circumstances)),
                }
                None
            }
            Action::Uri(edit) => self.uri(id, handler, edit),
            Action::TryFiles(candidates) => self.try_files(id, candidates),
            Action::Method(method) => {
                if let Some(method) = method
                    .known()
                    .and_then(|method| fill(method, &self.scene()))
                {
                    self.walk.request.method = method.to_ascii_uppercase();
                    self.walk.method_by = Some(handler.head);
                    let method = self.walk.request.method.clone();
                    self.say(handler.head, format!("makes it a {method}"));
                }
                None
            }
            Action::RequestHeader(lines) => {
                self.request_header(id, lines);
                None
            }
        }
    }

    fn proxy(&mut self, id: HandlerId, handler: &Handler, proxy: &Proxy) -> Option<End> {
        if proxy.is_subrequest {
            // Whether the answer lets the request pass is the upstream's decision; one that upgrades
            // would be waited for.
            let why = || "what it asks may itself upgrade".to_owned();
            return proxy
                .buffers
                .map(|span| End::Undecided(span, Doubt::Hidden(why())));
        }
        self.walk.passed.push(id);
        if let Some(line) = proxy.conditional.filter(|_| !self.frozen) {
            return Some(End::Undecided(line, Doubt::conditional()));
        }
        self.say(handler.head, "`reverse_proxy` takes it");
        let taken = proxy.responses.iter().find(|response| {
            let answers = response.answers.as_ref();
            answers.is_none_or(super::response::Answers::takes_switch)
        });
        // What fails before it asks an upstream has no answer to handle.
        let fails = proxy.dialect(self.handlers.version) == Dialect::H2c
            || proxy.unhealthy.is_some()
            || proxy.checks_socket(&self.walk.request.path).is_some()
            || proxy.by_request(&self.scene()).is_err()
            // A buffer waits for the end of the answer before anybody handles it, and only what is no
            // handshake any more has an answer that ends.
            || proxy.buffers.is_some() && self.sends_handshake(proxy);
        if let Some(response) = taken.filter(|_| !fails) {
            let Some(list) = &response.handlers else {
                // The body of the answer is the socket, which never ends.
                self.walk.replaced = Some((response.head, None));
                return Some(End::Proxied(id));
            };
            match self.list(list) {
                Some(End::Answered(_, Some(101))) => {}
                Some(End::Answered(_, status)) => {
                    self.walk.doubled = None;
                    self.walk.replaced = Some((response.head, status));
                }
                Some(other) => return Some(other),
                None => {
                    self.walk.doubled = None;
                    self.dropped = Some((id, response.head));
                    self.walk.left = Some(id);
                    return None;
                }
            }
        }
        Some(End::Proxied(id))
    }

    /// Whether what reaches the upstream may still open a socket.
    fn sends_handshake(&self, proxy: &Proxy) -> bool {
        let sent = proxy.sent(&self.scene(), self.handlers.version, self.handlers.trust);
        HANDSHAKE
            .iter()
            .all(|name| opens(&sent, &self.walk.asked, name) != Some(false))
    }

    /// An error of that status, which a `handle_errors` may take (caddyhttp/server.go).
    fn fail(&mut self, id: HandlerId, status: Option<u16>) -> End {
        let Some(code) = status else {
            return End::Answered(id, status);
        };
        if self.error.is_some() {
            // An error in the handling of one ends it.
            return End::Answered(id, self.error);
        }
        let handlers = self.handlers;
        self.error = Some(code);
        self.walk.before_error = self.walk.headers.len();
        // They let an error pass (intercept.go, ServeHTTP).
        self.intercepts.clear();
        self.buffered = false;
        let mut routes = handlers.errors.as_slice();
        if routes.is_empty() {
            // caddyhttp/server.go: what was asked for is asked for again, with the headers and the
            // Host that the request has by now.
            let request = Request {
                path: self.walk.asked.path.clone(),
                ..self.walk.request.clone()
            };
            let takes = |other: &&OtherErrors| {
                other.port == request.port && takes(other.addresses.iter(), &request)
            };
            routes = handlers
                .others
                .iter()
                .find(takes)
                .map_or(&[], |other| &other.routes);
        }
        for route in routes.iter().filter(|route| route.takes(code)) {
            if route.conditional {
                return End::Undecided(route.head, Doubt::conditional());
            }
            if !handlers.errors.is_empty() && self.walk.request.host != self.walk.asked.host {
                // They are for the hosts of their site.
                let why = "the request has another Host than it came with".to_owned();
                return End::Undecided(route.head, Doubt::Hidden(why));
            }
            self.say(
                route.head,
                format!("`handle_errors` takes the error {code}"),
            );
            self.walk.request.method.clone_from(&self.walk.asked.method);
            self.walk.request.path.clone_from(&self.walk.asked.path);
            self.walk.request.query.clone_from(&self.walk.asked.query);
            self.is_clean = is_clean(&self.walk.request.path);
            for key in ["err.status_code", "error.status_code"] {
                self.walk
                    .found
                    .insert(key.to_owned(), Some(code.to_string()));
            }
            if let Some(end) = self.list(&route.list) {
                return end;
            }
        }
        End::Answered(id, Some(code))
    }

    /// The status that the `intercept`s on the way make of an answer's.
    fn intercepted(&self, mut status: Option<u16>) -> Option<u16> {
        for id in self.intercepts.iter().rev() {
            let (Action::Intercept(responses), Some(code)) =
                (&self.handlers.get(*id).action, status)
            else {
                break;
            };
            let own = responses.iter().find(|response| {
                let answers = response.answers.as_ref();
                answers.is_none_or(|answers| answers.takes_status(code))
            });
            status = own.map_or(status, |own| own.status);
        }
        status
    }

    fn file_server(&mut self, id: HandlerId) -> End {
        let handlers = self.handlers;
        let request = &self.walk.request;
        let own_root = handlers
            .get(id)
            .lines
            .iter()
            .any(|line| line.name() == "root");
        let folder = self.scene().folder(None).filter(|_| !own_root);
        let is_file = |folder: &Folder| !request.path.ends_with('/') && folder.holds(&request.path);
        let found = self.names_document(&request.path)
            || request.path == "/"
            || folder.is_some_and(is_file);
        let fetches = matches!(request.method.as_str(), "GET" | "HEAD");
        match (found, self.error) {
            // 2.6.3 is the first that looks at the method (fileserver/staticfiles.go).
            (true, None) if !fetches && self.handlers.version >= [2, 6, 3] => {
                self.fail(id, Some(405))
            }
            (true, error) => End::Answered(id, self.intercepted(error.or(Some(200)))),
            (false, _) => self.fail(id, Some(404)),
        }
    }

    fn request_header(&mut self, id: HandlerId, lines: &[HeaderLine]) {
        self.walk.passed.push(id);
        let before = self.walk.request.clone();
        let was = rebuild(&before);
        let mut headers = before.headers.clone();
        // headers.go, ApplyToRequest: Host is one of them for the moment, and of several the last
        // one counts.
        let named = lines
            .iter()
            .any(|line| line.touches("host") || line.field == "*");
        if named {
            let host = fill("{hostport}", &self.scene());
            headers.push(Header {
                name: "Host".to_owned(),
                value: host.map_or_else(|| Value::Unknown("the client's".to_owned()), Value::Known),
                from: None,
            });
        }
        apply(lines, &self.scene(), &mut headers);
        if named {
            let is_host = |header: &Header| header.name.eq_ignore_ascii_case("host");
            let host = headers.iter().rev().find(|header| is_host(header));
            let host = host
                .and_then(|header| header.value.known())
                .cloned()
                .unwrap_or_default();
            headers.retain(|header| !is_host(header));
            self.walk.request.host = host.split(':').next().unwrap_or_default().to_owned();
        }
        self.walk.request.headers = headers;
        let now = rebuild(&self.walk.request);
        for name in HANDSHAKE {
            let lost = opens(&was, &self.walk.asked, name) == Some(true)
                && opens(&now, &self.walk.asked, name) == Some(false);
            // Upgrade goes where Connection does not name it, whatever line it stands in.
            let by = lines.iter().rev().find(|line| {
                line.field == "*"
                    || line.touches(name)
                    || matches!(name, "Connection" | "Upgrade")
                        && (line.touches("Connection") || line.touches("Upgrade"))
            });
            if let (true, Some(line)) = (lost, by) {
                self.walk.taken.push((name, line.span));
                self.say(line.span, format!("takes {name} from the handshake"));
            }
        }
    }

    fn change(&mut self, by: HandlerId, to: String) {
        self.walk.passed.push(by);
        if to == self.walk.request.path {
            return;
        }
        let handler = self.handlers.get(by);
        self.say(handler.head, format!("makes the path `{to}`"));
        self.walk.changes.push(PathChange {
            by,
            from: self.walk.request.path.clone(),
            to: to.clone(),
        });
        if !self.frozen {
            self.is_clean = is_clean(&to);
            self.walk.request.path = to;
        }
    }

    /// The path that `rewrite` gives, and the query where it names one; `None` where more than the
    /// handshake decides it.
    fn rewritten(&self, to: &str) -> Option<(String, Option<Option<String>>)> {
        rewritten(to, &self.scene())
    }
}

fn hidden(word: &Word) -> Option<End> {
    let unknown = word.unknown.clone()?;
    Some(End::Undecided(word.span, Doubt::Hidden(unknown)))
}

/// Whether a handshake does not care if the handler runs.
fn is_harmless(handler: &Handler) -> bool {
    const ANSWER: [&str; 5] = [
        "Upgrade",
        "Connection",
        "Sec-WebSocket-Accept",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
    ];
    let quiet = |lines: &[HeaderLine], names: &[&str]| {
        lines
            .iter()
            .all(|line| line.field != "*" && !names.iter().any(|name| line.touches(name)))
    };
    match &handler.action {
        Action::Pass | Action::Vars(_) | Action::Map(_) | Action::Intercept(_) => true,
        Action::Headers(ops) => ops.iter().all(|ops| quiet(&ops.lines, &ANSWER)),
        Action::RequestHeader(lines) => quiet(lines, &HANDSHAKE) && quiet(lines, &["Host"]),
        Action::Proxy(proxy) => proxy.is_subrequest,
        _ => false,
    }
}

/// Whether an `intercept` ends the connection where nothing answers: it then writes the status 0,
/// which Go does not allow (2.11.7; modules/caddyhttp/intercept/intercept.go).
fn panics(handlers: &Handlers) -> bool {
    handlers.version >= [2, 11, 5]
}

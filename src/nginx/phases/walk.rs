//! The walk itself: one request, one phase after the other.

use super::{Answer, End, Event, Forwarded, Journey, Oracle, What};
use crate::handshake::Request;
use crate::nginx::location::{Found, Location, Matcher};
use crate::nginx::model::{Context, ItemId, ROOT, Unseen, View};
use crate::nginx::uri;
use crate::nginx::variables::{Here, Scope, unknown};
use crate::project::Version;
use crate::syntax::Word;
use crate::value::Value;

/// NGX_HTTP_MAX_URI_CHANGES: rewrites and internal redirects before nginx answers 500.
const MAX_URI_CHANGES: u32 = 10;

/// Handlers of nginx's own that a `limit_except` in their location does without.
const ANSWER_OUTSIDE_LIMIT_EXCEPT: &[&str] =
    &["empty_gif", "stub_status", "flv", "mp4", "memcached_pass"];

/// The next phase of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The server's rewrites.
    Server,
    /// The search for a location.
    Find,
    /// The location's rewrites.
    Rewrite,
    Access,
    TryFiles,
    Content,
}

/// What a phase leads to.
pub(super) enum Step {
    Go(Phase),
    /// A status that `error_page` may replace.
    Status(u16, Answer, ItemId),
    End(End),
}

/// One request on one way.
pub(super) struct Walk<'a, 'o> {
    pub(super) view: View<'a>,
    pub(super) request: &'a Request,
    pub(super) target: Option<Version>,
    pub(super) oracle: &'o mut Oracle,
    /// Evaluates; its `location` is the block whose settings apply, its `here` the path.
    pub(super) scope: Scope<'a>,
    pub(super) server: u32,
    pub(super) location: Option<u32>,
    /// The handler that the content phase will call.
    pub(super) handler: Option<ItemId>,
    pub(super) events: Vec<Event>,
    unseen: Option<Unseen>,
    uri_changes: u32,
    pub(super) internal: bool,
    pub(super) uri_changed: bool,
    /// The path still begins with what the location names.
    pub(super) valid_location: bool,
    /// The path is still as it was sent.
    pub(super) valid_unparsed_uri: bool,
    /// The path is that of a file which the configuration names, and which is taken to be there.
    pub(super) named_file: bool,
    /// The status that `error_page` keeps, with its directive.
    pub(super) err_status: Option<(u16, ItemId)>,
    /// An `error_page` was looked for already.
    pub(super) error_page: bool,
    /// Where a redirect leads.
    pub(super) redirect: Option<Value>,
    /// Requests within requests.
    pub(super) depth: u32,
    /// What `auth_request` sent on.
    pub(super) asked: Vec<Forwarded>,
    /// A `mirror` that sends a handshake of its own.
    pub(super) mirrored: Option<ItemId>,
    /// A `mirror` whose request closes the client's connection.
    pub(super) closed: Option<ItemId>,
    /// This is a way that the request may take, tried out: where the upstream answers with this.
    pub(super) supposed: Option<u16>,
}

impl<'a, 'o> Walk<'a, 'o> {
    pub(super) fn new(
        view: View<'a>,
        server: u32,
        request: &'a Request,
        target: Option<Version>,
        oracle: &'o mut Oracle,
    ) -> Self {
        let item = view.config.servers[server as usize].item;
        let here = Here {
            uri: request.path.clone(),
            args: Value::Known(request.query.clone().unwrap_or_default()),
            sampled: false,
            quoted: false,
            escape: false,
            captures: Some(Vec::new()),
            proxy: None,
        };
        Self {
            view,
            request,
            target,
            oracle,
            scope: Scope::walking(view, request, item, here),
            server,
            location: None,
            handler: None,
            events: Vec::new(),
            unseen: None,
            uri_changes: MAX_URI_CHANGES + 1,
            internal: false,
            uri_changed: false,
            valid_location: true,
            valid_unparsed_uri: true,
            named_file: false,
            err_status: None,
            error_page: false,
            redirect: None,
            depth: 0,
            asked: Vec::new(),
            mirrored: None,
            closed: None,
            supposed: None,
        }
    }

    /// Walks to the end.
    pub(super) fn run(mut self, tls: bool, read_by: u32) -> Journey {
        let end = self.arrive(tls, read_by);
        self.journey(end)
    }

    fn journey(self, end: End) -> Journey {
        Journey {
            server: self.server,
            location: self.location,
            events: self.events,
            end,
            unseen: self.unseen,
            assumed: Vec::new(),
        }
    }

    /// Reads the path, tries the names of the server, and walks.
    fn arrive(&mut self, tls: bool, read_by: u32) -> End {
        let server = &self.view.config.servers[self.server as usize];
        let reader = &self.view.config.servers[read_by as usize];
        let merge = self.view.in_force(reader.item, "merge_slashes");
        let merge = merge.is_none_or(|item| self.view.directive(item).arg(0) != Some("off"));
        let Some(uri) = uri::normalise(&self.request.path, merge) else {
            return End::Answers {
                status: Some(400),
                by: Answer::BadRequest,
                item: ROOT,
                to: None,
            };
        };
        if let Some(here) = &mut self.scope.here {
            (here.uri, here.quoted) = (uri.path, uri.quoted);
        }
        if server.closeness(&self.request.host) == Some((3, 0)) {
            for pattern in &server.patterns {
                if let Some(Some(captured)) = pattern.captures(&self.request.host) {
                    self.scope.capture(Some(captured));
                    break;
                }
            }
        }
        if tls && !self.request.tls {
            // NGX_HTTP_TO_HTTPS, a code of nginx's own that clients see as 400.
            let item = server.item;
            return self.walk(Step::Status(497, Answer::PlainToTls, item));
        }
        self.walk(Step::Go(Phase::Server))
    }

    /// Goes on until the end.
    fn walk(&mut self, mut step: Step) -> End {
        loop {
            step = match step {
                Step::End(end) => return end,
                Step::Status(status, by, item) => self.special(status, by, item),
                Step::Go(Phase::Server) => self.server_rewrite(),
                Step::Go(Phase::Find) => self.find(),
                Step::Go(Phase::Rewrite) => self.location_rewrite(),
                Step::Go(Phase::Access) => self.access(),
                Step::Go(Phase::TryFiles) => self.try_files(),
                Step::Go(Phase::Content) => self.content(),
            };
        }
    }

    pub(super) fn server_item(&self) -> ItemId {
        self.view.config.servers[self.server as usize].item
    }

    pub(super) fn note(&mut self, item: ItemId, what: What, message: impl Into<String>) {
        self.events.push(Event {
            item,
            what,
            message: message.into(),
        });
    }

    /// Answers a question that nobody can: one way for each answer.
    pub(super) fn suppose(&mut self, item: ItemId, why: impl Into<String>) -> bool {
        let why = why.into();
        let answer = self.oracle.ask(item, why.clone());
        let taken = if answer {
            "taken to hold"
        } else {
            "taken not to hold"
        };
        self.note(item, What::Assumed, format!("{taken}: {why}"));
        answer
    }

    pub(super) fn undecided(&self, item: ItemId, why: impl Into<String>) -> End {
        End::Undecided {
            why: why.into(),
            item,
        }
    }

    /// Lets the request stand for all that go to its path.
    pub(super) fn sampled(mut self) -> Self {
        if let Some(here) = &mut self.scope.here {
            here.sampled = true;
            if self.request.query.is_none() {
                here.args = unknown("the query that the client sends");
            }
        }
        self
    }

    /// The path and query that an internal redirect leads to: what is unknown of the query leaves
    /// the path known.
    pub(super) fn target(&mut self, word: &Word) -> (Value, Value) {
        let empty = || Value::Known(String::new());
        let whole = self.scope.word(word);
        match &whole {
            Value::Known(value) => {
                let (path, args) = uri::split(value);
                let args = Value::Known(args.unwrap_or_default().to_owned());
                (Value::Known(path.to_owned()), args)
            }
            Value::Unknown(_) if !word.templated => {
                let query = ["?", "$is_args"].map(|start| word.text.find(start));
                let Some(at) = query.into_iter().flatten().min() else {
                    return (whole, empty());
                };
                let (path, args) = word.text.split_at(at);
                match self.scope.expand(path) {
                    Value::Known(path) if !path.contains('?') => {
                        let args = args.strip_prefix('?').unwrap_or(args);
                        (Value::Known(path), self.scope.expand(args))
                    }
                    _ => (whole, empty()),
                }
            }
            _ => (whole, empty()),
        }
    }

    pub(super) fn uri(&self) -> &str {
        self.scope.here.as_ref().map_or("", |here| &here.uri)
    }

    pub(super) fn args(&self) -> Value {
        match &self.scope.here {
            Some(here) => here.args.clone(),
            None => Value::Known(String::new()),
        }
    }

    /// Whether a path that is written in the configuration word for word is that of a file, by its
    /// suffix.
    pub(super) fn names_file(word: &Word) -> bool {
        let (path, _) = uri::split(&word.text);
        let last = path.rsplit('/').next().unwrap_or_default();
        !word.templated && !word.text.contains('$') && last.contains('.')
    }

    /// Enters a block: its handler, unless it has none, and `limit_except` in place of it
    /// (ngx_http_update_location_config).
    pub(super) fn enter(&mut self, block: ItemId) {
        self.scope.location = block;
        let mut block = block;
        if let Some(limit) = self.limit_except(block) {
            self.note(limit, What::LimitExcept, "GET is none of these methods");
            self.scope.location = limit;
            block = limit;
        }
        let level = self.view.level(block);
        if let Some(handler) = level.handlers.last() {
            self.handler = Some(*handler);
        } else if self.view.context(block) == Context::LimitExcept {
            // Those that pass requests on reach into the block (`lmt_excpt`); others do not.
            let outer = self.view.level(self.view.item(block).parent);
            let outer = outer.handlers.last().copied();
            self.handler = outer.filter(|handler| {
                !ANSWER_OUTSIDE_LIMIT_EXCEPT.contains(&self.view.directive(*handler).name())
            });
        }
        if self.unseen.is_none() && level.unseen.is_some() {
            self.unseen.clone_from(&level.unseen);
        }
    }

    fn limit_except(&self, block: ItemId) -> Option<ItemId> {
        let location = self.locations(block)?;
        location.blocks.iter().copied().find(|inner| {
            self.view.context(*inner) == Context::LimitExcept
                && self.view.item(*inner).parent == block
                && !self
                    .view
                    .directive(*inner)
                    .args()
                    .iter()
                    .any(|word| word.text.eq_ignore_ascii_case("GET"))
        })
    }

    /// The location that `block` is, if it is the current one.
    fn locations(&self, block: ItemId) -> Option<&'a Location> {
        let location = &self.view.config.locations[self.location? as usize];
        (location.item == block).then_some(location)
    }

    /// Leaves the location for the server's own settings.
    fn leave(&mut self) {
        self.location = None;
        self.scope.location = self.server_item();
    }

    fn server_rewrite(&mut self) -> Step {
        self.leave();
        self.enter(self.server_item());
        match self.rewrites(self.server_item()) {
            Some(step) => step,
            None => Step::Go(Phase::Find),
        }
    }

    /// ngx_http_core_find_config_phase.
    fn find(&mut self) -> Step {
        self.handler = None;
        self.uri_changed = false;
        let server = self.server_item();
        let uri = self.uri().to_owned();
        match self.view.find_location(self.server, &uri) {
            Found::Location(index) => {
                self.chosen(index, &uri);
                let location = &self.view.config.locations[index as usize];
                self.scope.location = location.item;
                if let Some(item) = self.refuses_outsiders(location.item) {
                    return Step::Status(404, Answer::Internal, item);
                }
                self.enter(location.item);
                Step::Go(Phase::Rewrite)
            }
            Found::Slash(index) => {
                let item = self.view.config.locations[index as usize].item;
                self.location = Some(index);
                self.scope.location = item;
                if let Some(item) = self.refuses_outsiders(item) {
                    return Step::Status(404, Answer::Internal, item);
                }
                self.note(
                    item,
                    What::Location,
                    format!("takes `{uri}/`, to which nginx redirects `{uri}`"),
                );
                self.redirect = Some(match self.args() {
                    Value::Known(args) if args.is_empty() => Value::Known(format!("{uri}/")),
                    Value::Known(args) => Value::Known(format!("{uri}/?{args}")),
                    other => other,
                });
                Step::Status(301, Answer::Slash, item)
            }
            Found::Nowhere => {
                self.leave();
                self.enter(server);
                // The location's rewrites are left out where there is none.
                Step::Go(Phase::Access)
            }
            Found::Unknown => Step::End(self.undecided(
                server,
                "an expression that could not be read chooses the location",
            )),
        }
    }

    /// The location that is `internal`, this one or one around it, where the client itself asks.
    fn refuses_outsiders(&self, location: ItemId) -> Option<ItemId> {
        let mut around = self.view.outward(location);
        let internal = around.find(|level| self.view.level(*level).internal);
        internal.filter(|_| !self.internal)
    }

    /// A location was chosen by the path: what its expressions, and those around it, captured.
    fn chosen(&mut self, index: u32, uri: &str) {
        self.location = Some(index);
        let location = &self.view.config.locations[index as usize];
        let mut around = Vec::new();
        let mut next = Some(index);
        while let Some(at) = next {
            let location = &self.view.config.locations[at as usize];
            around.push(&location.matcher);
            next = location.parent;
        }
        for matcher in around.into_iter().rev() {
            if let Matcher::Regex(pattern) = matcher {
                self.scope.capture(pattern.captures(uri).flatten());
            }
        }
        let how = match &location.matcher {
            Matcher::Exact(_) => "it is exactly the path",
            Matcher::Regex(_) => "its expression matches, before any other one",
            Matcher::Prefix { final_: true, .. } => {
                "the longest prefix, and no expression is tried after it"
            }
            _ => "the longest prefix, and no expression matches",
        };
        let rival = self.rival(index, uri);
        self.note(
            location.item,
            What::Location,
            format!("takes `{uri}`: {how}{rival}"),
        );
    }

    /// Another location that would have been there for the path, for the story.
    fn rival(&self, index: u32, uri: &str) -> String {
        let config = self.view.config;
        let chosen = &config.locations[index as usize];
        let rival = self
            .view
            .prefix_beside(chosen.server, uri)
            .filter(|other| *other != index && chosen.parent != Some(*other));
        let Some(rival) = rival else {
            return String::new();
        };
        match &config.locations[rival as usize].matcher {
            Matcher::Prefix { path, .. } => format!(" (chosen over `location {path}`)"),
            _ => String::new(),
        }
    }

    fn location_rewrite(&mut self) -> Step {
        if let Some(step) = self.rewrites(self.scope.location) {
            return step;
        }
        // ngx_http_core_post_rewrite_phase
        if !self.uri_changed {
            return Step::Go(Phase::Access);
        }
        self.uri_changes -= 1;
        if self.uri_changes == 0 {
            let item = self.last_rewrite();
            return Step::Status(500, Answer::Loop, item);
        }
        self.leave();
        Step::Go(Phase::Find)
    }

    /// The directive that moved the request last.
    fn last_rewrite(&self) -> ItemId {
        let moved = |event: &&Event| {
            matches!(
                event.what,
                What::Rewrite | What::TryFiles | What::ErrorPage | What::Index
            )
        };
        let last = self.events.iter().rev().find(moved);
        last.map_or(ROOT, |event| event.item)
    }

    /// ngx_http_internal_redirect.
    pub(super) fn internal_redirect(&mut self, uri: String, args: Value, named_file: bool) -> Step {
        self.uri_changes -= 1;
        if self.uri_changes == 0 {
            let item = self.last_rewrite();
            return Step::Status(500, Answer::Loop, item);
        }
        if let Some(here) = &mut self.scope.here {
            (here.uri, here.args) = (uri, args);
        }
        self.named_file = named_file;
        self.internal = true;
        self.valid_unparsed_uri = false;
        // ngx_http_handler
        self.valid_location = true;
        Step::Go(Phase::Server)
    }

    /// ngx_http_named_location.
    pub(super) fn named_location(&mut self, name: &str, from: ItemId) -> Step {
        self.uri_changes -= 1;
        if self.uri_changes == 0 {
            return Step::Status(500, Answer::Loop, from);
        }
        let server = &self.view.config.servers[self.server as usize];
        let Some(index) = server.locations.named(name) else {
            return Step::Status(500, Answer::NoSuchLocation, from);
        };
        let item = self.view.config.locations[index as usize].item;
        self.note(item, What::Named, "takes over");
        self.internal = true;
        self.uri_changed = false;
        self.handler = None;
        self.location = Some(index);
        self.enter(item);
        Step::Go(Phase::Rewrite)
    }

    /// ngx_http_special_response_handler: `error_page`, or nginx's own page.
    pub(super) fn special(&mut self, status: u16, by: Answer, item: ItemId) -> Step {
        let answer = |status, to| {
            Step::End(End::Answers {
                status,
                by,
                item,
                to,
            })
        };
        // nginx's own code for closing the connection without an answer.
        if status == 444 {
            return answer(None, None);
        }
        self.err_status = Some((status, item));
        let view = self.view;
        let level = view
            .outward(self.scope.location)
            .find(|level| !view.level(*level).error_pages.is_empty());
        if let Some(level) = level
            && !self.error_page
            && self.uri_changes != 0
        {
            let recursive = view.in_force(self.scope.location, "recursive_error_pages");
            let recursive = recursive.is_some_and(|item| view.directive(item).arg(0) == Some("on"));
            self.error_page = !recursive;
            let page = view.level(level).error_pages.iter().copied().find(|page| {
                let codes = view.directive(*page).args();
                codes.iter().any(|word| word.text == status.to_string())
            });
            if let Some(page) = page {
                return self.send_error_page(page, status);
            }
        }
        let shown = match status {
            494..=497 => 400,
            other => other,
        };
        let to = self.redirect.take();
        answer(Some(shown), to.filter(|_| (300..400).contains(&status)))
    }

    /// ngx_http_send_error_page.
    fn send_error_page(&mut self, page: ItemId, status: u16) -> Step {
        let view = self.view;
        let args = view.directive(page).args();
        let Some((target, codes)) = args.split_last() else {
            return Step::End(self.undecided(page, "a malformed `error_page`"));
        };
        let overwrite = codes
            .last()
            .and_then(|word| word.text.strip_prefix('='))
            .map(|code| code.parse::<u16>().unwrap_or(0));
        let overwrite = match (overwrite, status) {
            (None, 494..=497) => Some(400),
            (overwrite, _) => overwrite,
        };
        match overwrite {
            Some(0) => self.err_status = None,
            Some(code) => self.err_status = Some((code, page)),
            // What answered with it is the cause, but this line keeps it.
            None => self.err_status = Some((status, page)),
        }
        let kept = match self.err_status {
            Some((code, _)) => format!("; whatever answers there, the client gets {code}"),
            None => String::new(),
        };
        let value = self.scope.word(target);
        let Value::Known(value) = value else {
            if let Value::Unknown(why) = value {
                return Step::End(self.undecided(page, why));
            }
            return Step::End(self.undecided(page, "where the error page lies"));
        };
        self.note(
            page,
            What::ErrorPage,
            format!("{status} leads to `{value}`{kept}"),
        );
        if value.starts_with('/') {
            let (path, args) = uri::split(&value);
            let args = Value::Known(args.unwrap_or_default().to_owned());
            return self.internal_redirect(path.to_owned(), args, Self::names_file(target));
        }
        if value.starts_with('@') {
            return self.named_location(&value, page);
        }
        let redirects = |code: &u16| matches!(code, 301 | 302 | 303 | 307 | 308);
        let code = overwrite.filter(redirects).unwrap_or(302);
        Step::End(End::Answers {
            status: Some(code),
            by: Answer::ErrorPage,
            item: page,
            to: Some(Value::Known(value)),
        })
    }

    /// What the client gets where something answers with `status`: `error_page` may have fixed it
    /// (ngx_http_send_header, err_status).
    pub(super) fn sent(&self, status: u16) -> u16 {
        self.err_status.map_or(status, |(kept, _)| kept)
    }

    /// A walk of a subrequest to `uri` (ngx_http_subrequest), and the `error_page` that it came by.
    pub(super) fn subrequest(&mut self, uri: &str, args: Value) -> (End, Option<ItemId>) {
        let mut inner = Walk {
            scope: self.scope.clone(),
            depth: self.depth + 1,
            internal: true,
            valid_unparsed_uri: false,
            ..Walk::new(
                self.view,
                self.server,
                self.request,
                self.target,
                self.oracle,
            )
        };
        if let Some(here) = &mut inner.scope.here {
            (here.uri, here.args) = (uri.to_owned(), args);
        }
        let end = inner.walk(Step::Go(Phase::Server));
        let (unseen, scope) = (inner.unseen.take(), inner.scope);
        let events = std::mem::take(&mut inner.events);
        self.scope.share(scope);
        self.see(unseen);
        let page = events.iter().find(|event| event.what == What::ErrorPage);
        let page = page.map(|event| event.item);
        // Only what led away from the straight way is worth telling.
        self.events.extend(
            events
                .into_iter()
                .filter(|event| matches!(event.what, What::Assumed)),
        );
        (end, page)
    }

    /// How the same request would go on from here, if `status` came next.
    pub(super) fn supposing(&mut self, status: u16, by: Answer, item: ItemId) -> End {
        let mut oracle = std::mem::take(self.oracle);
        let end = self.supposing_by(status, by, item, &mut oracle);
        *self.oracle = oracle;
        end
    }

    /// The same, where another oracle answers.
    pub(super) fn supposing_by(
        &self,
        status: u16,
        by: Answer,
        item: ItemId,
        oracle: &mut Oracle,
    ) -> End {
        let mut inner = Walk {
            scope: self.scope.clone(),
            location: self.location,
            handler: self.handler,
            uri_changes: self.uri_changes,
            internal: self.internal,
            uri_changed: self.uri_changed,
            valid_location: self.valid_location,
            valid_unparsed_uri: self.valid_unparsed_uri,
            named_file: self.named_file,
            err_status: self.err_status,
            error_page: self.error_page,
            mirrored: self.mirrored,
            closed: self.closed,
            supposed: Some(status),
            ..Walk::new(self.view, self.server, self.request, self.target, oracle)
        };
        inner.walk(Step::Status(status, by, item))
    }

    /// Something that nobody can see may stand on the way.
    pub(super) fn see(&mut self, unseen: Option<Unseen>) {
        self.unseen = self.unseen.take().or(unseen);
    }
}

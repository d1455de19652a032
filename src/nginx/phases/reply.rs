//! What becomes of an upstream's 101 on its way back: a timer that ends before it comes, the status
//! that `error_page` keeps, headers that are hidden or added, a subrequest that gets one as well.

use super::walk::{Step, Walk};
use super::{Answer, End, Module, Oracle, What, pass};
use crate::handshake::{Reply, Request, Upstream};
use crate::nginx::model::ItemId;
use crate::nginx::uri;
use crate::nginx::words::{Part, milliseconds, parts};
use crate::value::Value;

/// Headers of the 101 that a browser must find as the upstream sent them (RFC 6455, 4.1). nginx
/// writes Connection itself.
const OF_HANDSHAKE: &[&str] = &["Upgrade", "Sec-WebSocket-Accept"];

const WITHOUT: &str = "a browser refuses a 101 without this header";

fn is_of_handshake(name: &str) -> bool {
    OF_HANDSHAKE
        .iter()
        .any(|header| header.eq_ignore_ascii_case(name))
}

impl Walk<'_, '_> {
    /// What a timer of 0 makes of the answer, which it ends before any upstream answers: 504
    /// (ngx_http_upstream_process_header). The error is what becomes of it where it does not reach
    /// the client as it is: an `error_page` for it, or a subrequest that fails.
    pub(super) fn times_out(
        &mut self,
        module: Module,
        to: &[Upstream],
    ) -> Result<Option<Reply>, Step> {
        let name = match module {
            Module::Proxy => "proxy_read_timeout",
            Module::Uwsgi => "uwsgi_read_timeout",
            Module::Scgi => "scgi_read_timeout",
            Module::Fastcgi | Module::Grpc => return Ok(None),
        };
        let Some(item) = self.view.in_force(self.scope.location, name) else {
            return Ok(None);
        };
        let word = self.view.directive(item).args().first();
        let time = word.filter(|word| !word.templated);
        if time.and_then(|word| milliseconds(&word.text)) != Some(0) {
            return Ok(None);
        }
        self.note(item, What::Reply, "waits no time for the answer: 504");
        // One of several servers is then left out for a while, and the next request may find none:
        // 502 (ngx_http_upstream_free_round_robin_peer).
        let alone = !self.is_balanced(to);
        let also = match alone {
            true => None,
            false => Some(self.supposing(502, Answer::TimedOut, item)),
        };
        let shown = |end: &End| {
            matches!(
                end,
                End::Answers {
                    by: Answer::TimedOut,
                    ..
                }
            )
        };
        match self.special(504, Answer::TimedOut, item) {
            Step::End(end) if shown(&end) && self.depth == 0 => {
                Ok(Some(match also.is_none_or(|also| shown(&also)) {
                    true => Reply::Replaced {
                        status: alone.then_some(504),
                    },
                    false => Reply::Undecided {
                        why: "whether the client gets 502 or 504 decides about `error_page`"
                            .to_owned(),
                    },
                }))
            }
            step => Err(step),
        }
    }

    /// Whether the server is one of several of an `upstream`.
    fn is_balanced(&self, to: &[Upstream]) -> bool {
        let view = self.view;
        let of = |block: &ItemId| {
            let servers = view.children(*block).map(|item| view.directive(item));
            let servers = servers.filter(|server| server.name() == "server");
            let heads: Vec<_> = servers.map(|server| server.head()).collect();
            heads.len() > 1 && to.iter().any(|to| heads.contains(&to.from))
        };
        view.config.upstreams.values().any(of)
    }

    /// What `proxy_intercept_errors` makes of refusals by the upstream: by their status, how the
    /// request goes on where an `error_page` takes over (ngx_http_upstream_intercept_errors).
    pub(super) fn intercepted(&mut self, module: Module) -> Vec<(u16, End)> {
        let name = match module {
            Module::Proxy => "proxy_intercept_errors",
            Module::Uwsgi => "uwsgi_intercept_errors",
            Module::Scgi => "scgi_intercept_errors",
            Module::Fastcgi => "fastcgi_intercept_errors",
            Module::Grpc => "grpc_intercept_errors",
        };
        let view = self.view;
        let block = self.scope.location;
        let item = view.in_force(block, name);
        if item.is_none_or(|item| view.directive(item).arg(0) != Some("on")) {
            return Vec::new();
        }
        let level = view
            .outward(block)
            .find(|level| !view.level(*level).error_pages.is_empty());
        let pages = level.map(|level| view.level(level).error_pages.iter().copied());
        let mut found: Vec<(u16, End)> = Vec::new();
        for page in pages.into_iter().flatten() {
            let codes = view.directive(page).args();
            for code in codes.iter().filter_map(|word| word.text.parse().ok()) {
                if code >= 300 && found.iter().all(|(known, _)| *known != code) {
                    let end = match self.page_after_page() {
                        // Each page with its own refusals would be ten to the tenth ways.
                        Some(first) if first != code => {
                            let why = format!(
                                "an upstream refuses with {first}, and what its page asks with {code}"
                            );
                            self.undecided(page, why)
                        }
                        _ => self.supposing(code, Answer::ErrorPage, page),
                    };
                    found.push((code, end));
                }
            }
        }
        found
    }

    /// What the client gets where the upstream closes without an answer, which is 502
    /// (ngx_http_upstream_next), or what the `error_page` for that makes of it.
    pub(super) fn unanswered(&mut self, pass: ItemId) -> Option<u16> {
        let view = self.view;
        let mut levels = view.outward(self.scope.location);
        let level = levels.find(|level| !view.level(*level).error_pages.is_empty());
        let mut pages = level
            .map_or(&[][..], |level| &view.level(level).error_pages)
            .iter();
        let is_for_it = |page: &ItemId| {
            let mut codes = view.directive(*page).args().iter();
            codes.any(|word| word.text == "502")
        };
        if !pages.any(is_for_it) {
            return Some(502);
        }
        // Of the page for a page nobody asks, and no client sees what a subrequest gets.
        if self.supposed.is_some() || self.error_page || self.depth > 0 {
            return None;
        }
        let mut oracle = Oracle::default();
        let end = self.supposing_by(502, Answer::Closed, pass, &mut oracle);
        match end {
            _ if !oracle.asked.is_empty() => None,
            End::Answers { status, .. } => status,
            End::Forwards(page) => page.kept,
            End::Undecided { .. } => None,
        }
    }

    /// The refusal whose page is asked for, where the page's own refusal has its page as well
    /// (`recursive_error_pages`), until nginx gives up: 500 after ten.
    fn page_after_page(&self) -> Option<u16> {
        self.supposed.filter(|_| !self.error_page)
    }

    /// Where the upstream refuses the request, and the socket may open elsewhere after all: with
    /// which status it refuses is nothing that the files say.
    pub(super) fn opens_elsewhere(
        &self,
        module: Module,
        sent: &Request,
        refused: &[(u16, End)],
    ) -> Option<Step> {
        if module.upgrades() && pass::is_handshake(sent) {
            return None;
        }
        let opens = |end: &End| match end {
            End::Answers { .. } => false,
            End::Undecided { .. } => true,
            End::Forwards(forwarded) => {
                forwarded.module.upgrades()
                    && pass::is_handshake(&forwarded.request)
                    && !matches!(
                        forwarded.reply,
                        Reply::Replaced { .. } | Reply::Spoiled { .. }
                    )
            }
        };
        let first = self.page_after_page();
        let mut refused = refused.iter();
        let (code, _) =
            refused.find(|(code, end)| first.is_none_or(|first| first == *code) && opens(end))?;
        let why =
            format!("where the upstream refuses this with {code}, an `error_page` takes over");
        Some(Step::End(self.undecided(self.scope.location, why)))
    }

    /// What becomes of a 101, and by which directive.
    pub(super) fn reply(&mut self, module: Module) -> (Reply, Option<ItemId>) {
        if let Some((status, item)) = self.err_status
            && status != 101
        {
            self.note(
                item,
                What::Reply,
                format!("the client gets {status} in place of a 101"),
            );
            let status = Some(status);
            return (Reply::Replaced { status }, Some(item));
        }
        let (hides, passes) = match module {
            Module::Proxy => ("proxy_hide_header", "proxy_pass_header"),
            Module::Uwsgi => ("uwsgi_hide_header", "uwsgi_pass_header"),
            Module::Scgi => ("scgi_hide_header", "scgi_pass_header"),
            Module::Fastcgi | Module::Grpc => return (Reply::Replaced { status: None }, None),
        };
        let block = self.scope.location;
        // Whatever it sends itself, nginx becomes a tunnel only for a client that asks for one
        // (ngx_http_proxy_process_header: `if (r->headers_in.upgrade) u->upgrade = 1`).
        if self.request.lines("upgrade").next().is_none() {
            return (Reply::Replaced { status: None }, None);
        }
        if let Some(item) = self.cleared(block) {
            self.note(item, What::Reply, WITHOUT);
            let mut args = self.view.directive(item).args().iter();
            let takes = |name: &str| match name.strip_suffix('*') {
                Some(prefix) => "upgrade".starts_with(&prefix.to_ascii_lowercase()),
                None => name.eq_ignore_ascii_case("upgrade"),
            };
            let switches = !args.any(|word| takes(&word.text));
            return (Reply::Spoiled { switches }, Some(item));
        }
        let view = self.view;
        let names = |setting, header: &str| {
            let items = view.setting(block, setting).items;
            items.into_iter().find(|item| {
                let name = view.directive(*item).arg(0).unwrap_or_default();
                name.eq_ignore_ascii_case(header)
            })
        };
        // `proxy_pass_header` takes a name out of the list again
        // (ngx_http_upstream_hide_headers_hash).
        let hides = |header: &str| names(hides, header).filter(|_| names(passes, header).is_none());
        for header in OF_HANDSHAKE {
            // Hidden and written again, it is there once.
            let wrong = match (hides(header), self.adds(block, header)) {
                (None, None) => continue,
                (None, Some((item, _))) => (item, "a browser refuses a 101 with two of these"),
                (Some(_), Some((_, Value::Known(value))))
                    if *header == "Upgrade" && value.eq_ignore_ascii_case("websocket") =>
                {
                    continue;
                }
                (Some(item), _) => (item, WITHOUT),
            };
            self.note(wrong.0, What::Reply, wrong.1);
            // Of two Upgrade lines the upstream's comes first.
            let switches = *header != "Upgrade" || hides(header).is_none();
            return (Reply::Spoiled { switches }, Some(wrong.0));
        }
        if let Some((item, value)) = self.adds(block, "Sec-WebSocket-Protocol") {
            let why = "only a client that asks for just this subprotocol accepts the 101";
            self.note(item, What::Reply, why);
            let asked = self.request.lines("sec-websocket-protocol").next();
            // RFC 6455, 4.1: a subprotocol that was not asked for fails the connection.
            if asked.is_none() && value.decide(|value| value.is_empty()) == Some(false) {
                return (Reply::Spoiled { switches: true }, Some(item));
            }
            let why = why.to_owned();
            return (Reply::Undecided { why }, Some(item));
        }
        if module == Module::Proxy
            && let Some(item) = self.adds_body(block)
        {
            let why = "the server takes these bytes for a broken frame and closes";
            self.note(item, What::Reply, why);
            return (Reply::Spoiled { switches: true }, Some(item));
        }
        (Reply::Intact, None)
    }

    /// A `proxy_set_body` that sends something: an upgraded stream begins with it.
    fn adds_body(&mut self, block: ItemId) -> Option<ItemId> {
        let item = self.view.in_force(block, "proxy_set_body")?;
        let word = self.view.directive(item).args().first()?;
        if word.templated {
            return None;
        }
        let sends = match self.scope.word(word) {
            Value::Known(value) => !value.is_empty(),
            _ => parts(&word.text)
                .iter()
                .any(|part| matches!(part, Part::Text(text) if !text.is_empty())),
        };
        sends.then_some(item)
    }

    /// `mirror` sends a request of its own beside what the content phase does
    /// (ngx_http_mirror_module). Where that is a handshake too, its 101 is refused (since 1.13.7,
    /// ngx_http_upstream_upgrade), which closes the client's connection if the answer is still on
    /// its way. 444 closes it from here as well (ngx_http_finalize_request), before any upstream has
    /// answered.
    pub(super) fn mirror(&mut self) {
        if self.depth > 0 || self.mirrored.is_some() {
            return;
        }
        let view = self.view;
        for item in view.setting(self.scope.location, "mirror").items {
            let Some(target) = view.directive(item).arg(0) else {
                continue;
            };
            if target == "off" || target.contains('$') {
                continue;
            }
            let before = self.scope.clone();
            let (path, _) = uri::split(target);
            let args = self.args();
            let (end, _) = self.subrequest(path, args);
            self.scope = before;
            match end {
                End::Forwards(forwarded)
                    if forwarded.module.upgrades() && pass::is_handshake(&forwarded.request) =>
                {
                    self.mirrored = Some(item);
                }
                End::Answers { status: None, .. } => self.closed = Some(item),
                _ => {}
            }
        }
    }

    /// What a mirror whose subrequest is a handshake leaves of the upstream's answer.
    pub(super) fn beside_mirror(
        &mut self,
        module: Module,
        sent: &Request,
        reply: Reply,
        by: Option<ItemId>,
    ) -> (Reply, Option<ItemId>) {
        let Some(item) = self.mirrored.filter(|_| self.depth == 0) else {
            return (reply, by);
        };
        let why = "where the upstream of the mirror answers 101 as well, nginx closes the connection, sooner or later";
        self.note(item, What::Reply, why);
        match reply {
            Reply::Intact if module.upgrades() && pass::is_handshake(sent) => {
                let why = why.to_owned();
                (Reply::Undecided { why }, Some(item))
            }
            Reply::Undecided { .. } => (reply, by),
            // Whichever comes first.
            _ => (Reply::Replaced { status: None }, by),
        }
    }

    /// `more_clear_headers` and `more_set_headers` of the headers-more module: outer levels count
    /// as well.
    fn cleared(&self, block: ItemId) -> Option<ItemId> {
        let view = self.view;
        let mut items = view
            .outward(block)
            .flat_map(|level| view.level(level).settings.iter().copied());
        items.find(|item| {
            let directive = view.directive(*item);
            let mut args = directive.args().iter().map(|word| word.text.as_str());
            match directive.name() {
                "more_clear_headers" => args.any(|name| {
                    let prefix = name.strip_suffix('*');
                    is_of_handshake(name)
                        || prefix.is_some_and(|prefix| {
                            let matches = |header: &&str| {
                                header
                                    .get(..prefix.len())
                                    .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
                            };
                            OF_HANDSHAKE.iter().any(matches)
                        })
                }),
                "more_set_headers" => args.any(|line| {
                    let name = line.split(':').next().unwrap_or_default();
                    name.eq_ignore_ascii_case("Sec-WebSocket-Accept")
                }),
                _ => false,
            }
        })
    }

    /// An `add_header` of `header`: on a 101 only with `always` (ngx_http_headers_filter), and
    /// never an empty one.
    fn adds(&mut self, block: ItemId, header: &str) -> Option<(ItemId, Value)> {
        let view = self.view;
        for item in view.added_headers(block).items {
            if let [name, value, always] = view.directive(item).args()
                && always.text == "always"
                && name.text.eq_ignore_ascii_case(header)
            {
                let value = self.scope.word(value);
                if value != Value::Known(String::new()) {
                    return Some((item, value));
                }
            }
        }
        None
    }
}

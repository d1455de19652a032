//! A Caddy site as a hop: the handshake walks through its handlers in the order in which they run.

use super::expand::Word;
use super::handler::{Action, Block, Handler, HandlerId, Handlers, UriEdit};
use super::matcher::{Doubt, Tried, first_file};
use super::proxy::{Proxy, Scheme, apply};
use crate::handshake::{Because, Outcome, Passage, Reply, Request, Upstream};
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
    /// The handlers that took part.
    pub passed: Vec<HandlerId>,
    /// The request as it was at the end.
    pub request: Request,
}

/// Walks `request` through a site. With `frozen`, nothing changes the path: what would happen if
/// the handlers' matchers saw the path that the client asked for.
pub fn walk(handlers: &Handlers, request: &Request, frozen: bool) -> Walk {
    let mut walker = Walker {
        handlers,
        frozen,
        request: request.clone(),
        changes: Vec::new(),
        passed: Vec::new(),
        file: None,
    };
    let end = walker.list(&handlers.top).unwrap_or(End::Unhandled);
    Walk {
        end,
        changes: walker.changes,
        passed: walker.passed,
        request: walker.request,
    }
}

/// Handlers of which only the first route that matches runs (httptype.go, `buildSubroute`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    /// `handle` and `handle_path`, if there are several.
    Handles,
    /// `rewrite`.
    Rewrites,
    /// `try_files`, whose routes carry a matcher of their own.
    Alone,
    /// Anything else.
    None,
}

struct Walker<'a> {
    handlers: &'a Handlers,
    frozen: bool,
    request: Request,
    changes: Vec<PathChange>,
    passed: Vec<HandlerId>,
    /// What the last `file` matcher found.
    file: Option<String>,
}

impl Walker<'_> {
    /// Runs these handlers; `None` if the request comes out at their end. The recursion is as deep
    /// as blocks are nested, which expansion bounds.
    fn list(&mut self, list: &[HandlerId]) -> Option<End> {
        let several = list
            .iter()
            .filter(|id| self.is_handle(**id))
            .nth(1)
            .is_some();
        let handlers = self.handlers;
        let group = |id: HandlerId| match handlers.get(id).action {
            Action::Block(Block::Handle | Block::HandlePath(_), _) if several => Group::Handles,
            Action::Rewrite(_) => Group::Rewrites,
            Action::TryFiles(_) => Group::Alone,
            _ => Group::None,
        };
        // httptype.go, consolidateRoutes: neighbours of one group with the same matcher are one
        // route, whose matcher is evaluated once, before any of them runs.
        let routes = list.chunk_by(|a, b| {
            let same = group(*a) == group(*b) && group(*a) != Group::Alone;
            same && handlers.get(*a).matcher.same(&handlers.get(*b).matcher)
        });
        let (mut handled, mut rewritten) = (false, false);
        for route in routes {
            let Some(first) = route.first().map(|id| handlers.get(*id)) else {
                continue;
            };
            // Of a group only the first route that matches runs.
            let done = match group(route[0]) {
                Group::Handles => Some(&mut handled),
                Group::Rewrites => Some(&mut rewritten),
                Group::Alone | Group::None => None,
            };
            if done.as_ref().is_some_and(|done| **done) {
                continue;
            }
            match first.matcher.decide(&self.request) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(_)
                    if route
                        .iter()
                        .all(|id| matches!(handlers.get(*id).action, Action::Pass)) => {}
                Err(doubt) => {
                    let span = first.matcher.place().unwrap_or(first.head);
                    return Some(End::Undecided(span, doubt));
                }
            }
            self.file = first.matcher.file(&self.request).or(self.file.take());
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

    /// Where it ends for want of knowing whether a template writes one of these.
    fn perhaps(&self, route: &[HandlerId]) -> Option<End> {
        let matters = |handler: &Handler| match handler.action {
            Action::Pass => false,
            Action::Rewrite(_)
            | Action::Uri(_)
            | Action::TryFiles(_)
            | Action::Method(_)
            | Action::RequestHeader(_) => !self.frozen,
            _ => true,
        };
        let handler = route
            .iter()
            .map(|id| self.handlers.get(*id))
            .find(|handler| handler.conditional && matters(handler))?;
        Some(End::Undecided(handler.head, Doubt::conditional()))
    }

    fn is_handle(&self, id: HandlerId) -> bool {
        matches!(
            self.handlers.get(id).action,
            Action::Block(Block::Handle | Block::HandlePath(_), _)
        )
    }

    fn handler(&mut self, id: HandlerId, handler: &Handler) -> Option<End> {
        let hidden = |word: &Word| {
            word.unknown
                .clone()
                .map(|unknown| End::Undecided(word.span, Doubt::Hidden(unknown)))
        };
        match &handler.action {
            Action::Pass => None,
            Action::Plugin => {
                let why = format!(
                    "what the directive `{}` does is not known here",
                    handler.name
                );
                Some(End::Undecided(handler.head, Doubt::Hidden(why)))
            }
            Action::Block(block, list) => {
                self.passed.push(id);
                if let Block::HandlePath(prefix) = block {
                    let path = strip_prefix(&self.request.path, prefix);
                    self.change(id, path);
                }
                self.list(list)
            }
            Action::Proxy(proxy) => {
                if proxy.is_subrequest {
                    // Whether the answer lets the request pass is the upstream's decision.
                    return None;
                }
                self.passed.push(id);
                match proxy.conditional {
                    Some(line) if !self.frozen => Some(End::Undecided(line, Doubt::conditional())),
                    _ => Some(End::Proxied(id)),
                }
            }
            Action::Answer(status) => {
                self.passed.push(id);
                Some(End::Answered(id, *status))
            }
            Action::Rewrite(to) => {
                if let Some(end) = hidden(to) {
                    return Some(end);
                }
                match self.rewritten(&to.text) {
                    Some(path) => self.change(id, path),
                    None if self.frozen => {}
                    None => return Some(End::Undecided(to.span, Doubt::Circumstances)),
                }
                None
            }
            Action::Uri(edit) => {
                let path = match edit {
                    UriEdit::Query => return None,
                    UriEdit::StripPrefix(prefix) => match hidden(prefix) {
                        Some(end) => return Some(end),
                        None => strip_prefix(&self.request.path, &prefix.text),
                    },
                    UriEdit::StripSuffix(suffix) => match hidden(suffix) {
                        Some(end) => return Some(end),
                        None => {
                            let path = &self.request.path;
                            path.strip_suffix(suffix.text.as_str())
                                .unwrap_or(path)
                                .to_owned()
                        }
                    },
                    UriEdit::Replace(find, with)
                        if !find.text.contains('{') && !with.text.contains('{') =>
                    {
                        match hidden(find).or_else(|| hidden(with)) {
                            Some(end) => return Some(end),
                            None => self.request.path.replace(&find.text, &with.text),
                        }
                    }
                    UriEdit::Replace(..) | UriEdit::Other if self.frozen => return None,
                    UriEdit::Replace(..) | UriEdit::Other => {
                        return Some(End::Undecided(handler.head, Doubt::Circumstances));
                    }
                };
                self.change(id, path);
                None
            }
            Action::TryFiles(candidates) => self.try_files(id, candidates),
            Action::Method(method) => {
                if method.known().is_some() {
                    self.request.method = method.text.to_ascii_uppercase();
                }
                None
            }
            Action::RequestHeader(lines) => {
                self.passed.push(id);
                let request = self.request.clone();
                apply(
                    lines,
                    &request,
                    &self.handlers.defined,
                    &mut self.request.headers,
                );
                None
            }
        }
    }

    fn try_files(&mut self, id: HandlerId, candidates: &[Word]) -> Option<End> {
        let mut by_path = candidates.iter().take_while(|word| word.text.contains('{'));
        if by_path.any(|word| word.text == "{path}") && self.names_document(&self.request.path) {
            return None;
        }
        match first_file(candidates, &self.request.path) {
            Tried::File(path) => self.change(id, path),
            Tried::Status(_) if self.frozen => {}
            Tried::Status(status) => {
                self.passed.push(id);
                return Some(End::Answered(id, status));
            }
            Tried::Hidden(span, what) => return Some(End::Undecided(span, Doubt::Hidden(what))),
            Tried::None => {}
        }
        None
    }

    /// Whether a rewrite before named `path` outright: then it has a file in mind.
    fn names_document(&self, path: &str) -> bool {
        self.changes.last().is_some_and(|change| {
            let outright = match &self.handlers.get(change.by).action {
                Action::TryFiles(_) => true,
                Action::Rewrite(to) => !to.text.contains('{'),
                _ => false,
            };
            outright && change.to == path
        })
    }

    fn change(&mut self, by: HandlerId, to: String) {
        self.passed.push(by);
        if to == self.request.path {
            return;
        }
        self.changes.push(PathChange {
            by,
            from: self.request.path.clone(),
            to: to.clone(),
        });
        if !self.frozen {
            self.request.path = to;
        }
    }

    /// The path that `rewrite` gives; `None` where more than the path and the query decide it.
    fn rewritten(&self, to: &str) -> Option<String> {
        let path = to.split(['?', '#']).next().unwrap_or_default();
        if path.is_empty() {
            return Some(self.request.path.clone());
        }
        let mut text = path.to_owned();
        if let Some(file) = &self.file {
            for name in ["{http.matchers.file.relative}", "{file_match.relative}"] {
                text = text.replace(name, file);
            }
        }
        for name in [
            "{path}",
            "{uri}",
            "{http.request.uri.path}",
            "{http.request.uri}",
            "{http.request.orig_uri.path}",
        ] {
            if text.contains(name) {
                text = text.replace(name, &self.request.path);
            }
        }
        (!text.contains('{')).then_some(text)
    }
}

/// `trimPathPrefix`: with or without a leading slash in the prefix; what is left begins with `/`.
fn strip_prefix(path: &str, prefix: &str) -> String {
    let prefix = format!("/{}", prefix.trim_start_matches('/'));
    let matches = path
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(&prefix));
    if !matches {
        return path.to_owned();
    }
    let rest = &path[prefix.len()..];
    if rest.starts_with('/') {
        rest.to_owned()
    } else {
        format!("/{rest}")
    }
}

/// Whom `proxy` dials, as the next hop sees it.
fn upstreams(proxy: &Proxy, place: Span) -> Vec<Upstream> {
    let unknown = || "the files do not show it".to_owned();
    let mut upstreams: Vec<Upstream> = proxy
        .upstreams
        .iter()
        .map(|upstream| Upstream {
            tls: upstream.scheme == Scheme::Https || proxy.tls_transport,
            host: upstream
                .host
                .clone()
                .map_or_else(|| Value::Unknown(unknown()), Value::Known),
            port: upstream
                .port
                .map_or_else(|| Value::Unknown(unknown()), Value::Known),
            from: upstream.span,
        })
        .collect();
    if proxy.dynamic {
        upstreams.push(Upstream {
            tls: proxy.tls_transport,
            host: Value::Unknown(unknown()),
            port: Value::Unknown(unknown()),
            from: place,
        });
    }
    upstreams
}

/// A site's handlers as a hop.
#[derive(Clone, Copy, Debug)]
pub struct SiteHop<'a> {
    /// They.
    pub handlers: &'a Handlers,
    /// The site's addresses.
    pub place: Span,
}

impl SiteHop<'_> {
    /// What becomes of `request` in this site.
    pub fn receive(&self, request: &Request) -> Passage {
        let walk = walk(self.handlers, request, false);
        let mut because: Vec<Because> = walk
            .passed
            .iter()
            .map(|id| {
                let handler = self.handlers.get(*id);
                Because {
                    span: handler.head,
                    message: format!("`{}` takes it", handler.name),
                }
            })
            .collect();
        let outcome = match walk.end {
            _ if self.handlers.partial => Outcome::Undecided {
                why: "a part of the site could not be resolved".to_owned(),
            },
            End::Proxied(id) => match &self.handlers.get(id).action {
                Action::Proxy(proxy) => {
                    let headers = proxy.headers(&walk.request, &self.handlers.defined);
                    Outcome::Forwards {
                        to: upstreams(proxy, self.handlers.get(id).head),
                        request: Box::new(Request {
                            headers,
                            ..walk.request
                        }),
                        reply: Reply::Intact,
                    }
                }
                _ => Outcome::Answers { status: None },
            },
            End::Answered(_, status) => Outcome::Answers { status },
            End::Unhandled => {
                because.push(Because {
                    span: self.place,
                    message: "no handler takes it: Caddy answers 200 with an empty body".to_owned(),
                });
                Outcome::Answers { status: Some(200) }
            }
            End::Undecided(_, doubt) => Outcome::Undecided {
                why: match doubt {
                    Doubt::Circumstances => {
                        "a matcher depends on more than the handshake".to_owned()
                    }
                    Doubt::Hidden(what) => what,
                },
            },
        };
        Passage {
            at: Some(self.place),
            outcome,
            because,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caddy::Model;
    use crate::handshake::Browser;
    use crate::project::Project;

    /// What becomes of a handshake in a site with this body: `port path`, or the status.
    fn outcome(body: &str, path: &str) -> String {
        let file = format!("http://localhost {{\n{body}\n}}\n");
        let project = Project::in_memory([("Caddyfile", file.as_str())]).expect("project");
        let model = Model::resolve(&project);
        let site = &model.configs[0].sites[0];
        let hop = SiteHop {
            handlers: &site.handlers,
            place: site.span,
        };
        let request = Request::handshake(Browser::Firefox, false, "localhost", 80, path);
        match hop.receive(&request).outcome {
            Outcome::Forwards { to, request, .. } => {
                let port = to[0].port.known().copied().unwrap_or_default();
                format!("{port} {}", request.path)
            }
            Outcome::Answers { status } => {
                status.map_or("closed".to_owned(), |status| status.to_string())
            }
            Outcome::Undecided { .. } => "undecided".to_owned(),
        }
    }

    #[test]
    fn handlers_run_in_caddys_order() {
        // Each line was sent through Caddy 2.11 as well.
        for (body, path, expected) in [
            ("reverse_proxy a:1\nreverse_proxy /ws* a:2", "/ws", "2 /ws"),
            ("reverse_proxy /ws* a:2\nrespond x 418", "/ws", "418"),
            (
                "handle {\nrespond x 404\n}\nreverse_proxy /ws* a:2",
                "/ws",
                "404",
            ),
            (
                "handle {\nrespond x 404\n}\nhandle /ws* {\nreverse_proxy a:2\n}",
                "/ws",
                "2 /ws",
            ),
            (
                "handle_path /ws* {\nreverse_proxy a:2\n}",
                "/ws/chat",
                "2 /chat",
            ),
            (
                "route {\nrespond /ws x 410\nreverse_proxy a:1\n}",
                "/ws",
                "410",
            ),
            ("reverse_proxy /api/* a:1", "/ws", "200"),
            ("abort /ws\nreverse_proxy a:1", "/ws", "closed"),
            ("redir /ws /ws/ permanent\nreverse_proxy a:1", "/ws", "301"),
            ("try_files {path} =404\nreverse_proxy a:1", "/ws", "404"),
            (
                "try_files {path} /index.html\nreverse_proxy a:1",
                "/",
                "1 /index.html",
            ),
            (
                "try_files {path} {path}/ /index.html\nreverse_proxy a:1",
                "/",
                "1 /",
            ),
            (
                "rewrite /ws /x\nrewrite /x /y\nreverse_proxy a:1",
                "/ws",
                "1 /x",
            ),
            // Two bare `handle` blocks are one route, and both run.
            (
                "handle {\nencode gzip\n}\nhandle {\nreverse_proxy a:1\n}",
                "/ws",
                "1 /ws",
            ),
            // Neighbours with the same matcher are one route: it is evaluated once.
            (
                "uri /ws* strip_prefix /ws\nreverse_proxy /ws* a:1",
                "/ws/chat",
                "1 /chat",
            ),
            (
                "@a path /ws*\n@b {\npath /ws*\n}\nuri @a strip_prefix /ws\nreverse_proxy @b a:1",
                "/ws/x",
                "1 /x",
            ),
            (
                "@in remote_ip 10.0.0.0/8\nrespond @in x 403\nreverse_proxy a:1",
                "/ws",
                "undecided",
            ),
            ("mercure {\nx\n}\nreverse_proxy a:1", "/ws", "undecided"),
            ("route {\nmercure\nreverse_proxy a:1\n}", "/ws", "undecided"),
        ] {
            assert_eq!(outcome(body, path), expected, "{body}");
        }
    }
}

//! A Caddy site as a hop: the handshake walks through its handlers in the order in which they run.

use super::expand::Word;
use super::handler::{Action, Block, Handler, HandlerId, Handlers, UriEdit};
use super::matcher::{Doubt, Matcher};
use super::proxy::{Proxy, Scheme, apply};
use crate::handshake::{Because, Hop, Outcome, Passage, Request, Upstream};
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
    };
    let end = walker.list(&handlers.top).unwrap_or(End::Unhandled);
    Walk {
        end,
        changes: walker.changes,
        passed: walker.passed,
        request: walker.request,
    }
}

struct Walker<'a> {
    handlers: &'a Handlers,
    frozen: bool,
    request: Request,
    changes: Vec<PathChange>,
    passed: Vec<HandlerId>,
}

impl Walker<'_> {
    /// Runs these handlers; `None` if the request comes out at their end. The recursion is as deep
    /// as blocks are nested, which expansion bounds.
    fn list(&mut self, list: &[HandlerId]) -> Option<End> {
        let (mut handled, mut rewritten) = (false, false);
        let mut before: Option<(&Matcher, Result<bool, Doubt>)> = None;
        let handles = list.iter().filter(|id| self.is_handle(**id)).count();
        for &id in list {
            let handler = self.handlers.get(id);
            let is_handle = self.is_handle(id);
            let is_rewrite = matches!(handler.action, Action::Rewrite(_));
            if is_handle && handled || is_rewrite && rewritten {
                continue;
            }
            let grouped = is_handle && handles > 1
                || is_rewrite
                || matches!(handler.action, Action::TryFiles(_));
            // httptype.go, consolidateRoutes: neighbours with the same matcher become one route, whose
            // matcher is evaluated once, before any of them runs.
            let matched = match &before {
                Some((matcher, matched)) if !grouped && matcher.same(&handler.matcher) => {
                    matched.clone()
                }
                _ => handler.matcher.decide(&self.request),
            };
            before = (!grouped).then(|| (&handler.matcher, matched.clone()));
            match matched {
                Ok(false) => continue,
                Err(doubt) if !matches!(handler.action, Action::Pass) => {
                    let span = handler.matcher.place().unwrap_or(handler.head);
                    return Some(End::Undecided(span, doubt));
                }
                Err(_) | Ok(true) => {}
            }
            handled |= is_handle;
            rewritten |= is_rewrite;
            if let Some(end) = self.handler(id, handler) {
                return Some(end);
            }
        }
        None
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
                Some(End::Proxied(id))
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
            Action::TryFiles(candidates) => self.try_files(id, handler, candidates),
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

    /// No file stands where a socket is, so what depends on the path does not exist; what is
    /// named outright (`/index.html`) is there, or nobody would name it.
    fn try_files(&mut self, id: HandlerId, handler: &Handler, candidates: &[Word]) -> Option<End> {
        for candidate in candidates {
            if let Some(unknown) = &candidate.unknown {
                return Some(End::Undecided(
                    candidate.span,
                    Doubt::Hidden(unknown.clone()),
                ));
            }
            let text = candidate.text.as_str();
            if let Some(status) = text.strip_prefix('=') {
                self.passed.push(id);
                return Some(End::Answered(id, status.parse().ok()));
            }
            let path = text.split('?').next().unwrap_or_default();
            // A matcher's name is a file's name to `try_files`, which takes no matcher.
            if path.is_empty() || path.contains('{') || path.starts_with('@') || path.ends_with('*')
            {
                continue;
            }
            let path = format!("/{}", path.trim_start_matches('/'));
            let _ = handler;
            self.change(id, path);
            return None;
        }
        None
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
fn upstreams(proxy: &Proxy) -> Vec<Upstream> {
    let unknown = || "the files do not show it".to_owned();
    proxy
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
        .collect()
}

/// A site's handlers as a hop.
#[derive(Clone, Copy, Debug)]
pub struct SiteHop<'a> {
    /// They.
    pub handlers: &'a Handlers,
    /// The site's addresses.
    pub place: Span,
}

impl Hop for SiteHop<'_> {
    fn receive(&self, request: &Request) -> Passage {
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
                        to: upstreams(proxy),
                        request: Box::new(Request {
                            headers,
                            ..walk.request
                        }),
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
        Passage { outcome, because }
    }
}

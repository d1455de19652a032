//! The handlers of a site, in the order in which they run.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::address::Address;
use super::expand::{Directive, Word};
use super::files::{Folder, Folders};
use super::list::List;
use super::map::Map;
use super::matcher::{self, Candidates, Matcher};
use super::model::Options;
use super::order::{self, Order};
use super::proxy::{HeaderLine, Proxy, Trust};
use super::response::{Answers, HeaderOps, ResponseHandler};
use crate::project::Version;
use crate::source::Span;

/// Index of a handler in its [`Handlers`].
pub type HandlerId = u32;

/// Invoking named routes within named routes ends here.
const MAX_INVOKES: usize = 8;

/// Directives of plugins that let a request pass unless they have a reason not to.
const GUARDS: &[&str] = &[
    "rate_limit",
    "crowdsec",
    "appsec",
    "coraza_waf",
    "cors",
    "replace",
    "defender",
    "geoip",
    // Answers below its own path only, and asks for headers that no browser sends.
    "mercure",
    "vulcain",
];

/// What kind of block a handler is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// `handle`: excludes its siblings.
    Handle,
    /// `handle_path`: the same, and strips this prefix.
    HandlePath(String),
    /// `route`: keeps the order of the file.
    Route,
    /// `invoke`: a named route.
    Invoke,
}

/// A change of the path other than `rewrite`.
#[derive(Clone, Debug)]
pub enum UriEdit {
    /// `uri strip_prefix`.
    StripPrefix(Word),
    /// `uri strip_suffix`.
    StripSuffix(Word),
    /// `uri replace`.
    Replace(Word, Word),
    /// Whatever else changes the path in ways not followed here.
    Other,
    /// `uri path_regexp`.
    Regexp(Option<regex::Regex>, Word),
    /// `uri query`: the path stays; each operation's words.
    Query(Vec<Vec<Word>>),
}

/// What a handler does with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Holds further handlers.
    Block(Block, List),
    /// Sends it on.
    Proxy(Box<Proxy>),
    /// Answers it: with this status, if the file says.
    Answer(Option<u16>),
    /// Ends in an error of this status, which `handle_errors` may take.
    Fail(Option<u16>),
    /// `file_server`.
    FileServer,
    /// `header`.
    Headers(Vec<HeaderOps>),
    /// `vars`, and `root`: names and values.
    Vars(Vec<(String, Word)>),
    /// `map`: names whose value depends on another one's.
    Map(Arc<Map>),
    /// `intercept`: what it does with answers of other handlers.
    Intercept(Vec<ResponseHandler>),
    /// `copy_response`: the upstream's answer after all.
    CopyResponse,
    /// `copy_response_headers`.
    CopyHeaders,
    /// `rewrite`.
    Rewrite(Word),
    /// `uri`.
    Uri(UriEdit),
    /// `try_files`.
    TryFiles(Candidates),
    /// `method`.
    Method(Word),
    /// `request_header`.
    RequestHeader(Vec<HeaderLine>),
    /// Passes it on, perhaps with other headers on the answer.
    Pass,
    /// A plugin's directive, or a hidden one: it may answer.
    Plugin,
}

/// One handler.
#[derive(Clone, Debug)]
pub struct Handler {
    /// The directive's name.
    pub name: String,
    /// From the name to the last argument.
    pub head: Span,
    /// The whole of it, with its block.
    pub span: Span,
    /// Which requests it takes.
    pub matcher: Matcher,
    /// What it does with them.
    pub action: Action,
    /// The block that holds it.
    pub parent: Option<HandlerId>,
    /// Whether the list that it stands in keeps the order of the file.
    pub in_route: bool,
    /// A template decides whether it is written.
    pub conditional: bool,
    /// The status of its answer is not written: in `handle_errors` it is the error's own.
    pub implied: bool,
    /// Its arguments without the matcher.
    pub args: Vec<Word>,
    /// The lines of its block; empty for a block of handlers.
    pub lines: Vec<Directive>,
}

impl Handler {
    /// Whether it is a `handle` or `handle_path`.
    pub fn is_handle(&self) -> bool {
        matches!(
            self.action,
            Action::Block(Block::Handle | Block::HandlePath(_), _)
        )
    }
}

/// A `handle_errors` of a site.
#[derive(Clone, Debug)]
pub struct ErrorRoute {
    /// Its line.
    pub head: Span,
    /// The statuses that it is for, or their first digits; empty for all.
    codes: Vec<u16>,
    /// What it does.
    pub list: List,
    /// A template decides whether it is written.
    pub conditional: bool,
}

impl ErrorRoute {
    /// Whether it is for errors of that status.
    pub(super) fn takes(&self, status: u16) -> bool {
        let same = |code: &u16| *code == status || *code < 10 && *code == status / 100;
        self.codes.is_empty() || self.codes.iter().any(same)
    }
}

/// The `handle_errors` of another site on the same listener: they are the server's, with the
/// addresses of their site for a matcher (httptype.go, serversFromPairings).
#[derive(Clone, Debug)]
pub(super) struct OtherErrors {
    /// The listener's port.
    pub(super) port: u16,
    /// The addresses of the other site there.
    pub(super) addresses: Vec<Address>,
    /// Its routes.
    pub(super) routes: Vec<ErrorRoute>,
}

/// All handlers of a site.
#[derive(Clone, Debug, Default)]
pub struct Handlers {
    /// Every handler, blocks before what they hold.
    pub all: Vec<Handler>,
    /// Those directly in the site, in the order in which they run.
    pub top: List,
    /// Names that a `map` defines as placeholders.
    pub defined: HashSet<String>,
    /// A part of the site is missing or its order is unknown.
    pub partial: bool,
    /// `handle_errors`, in the order in which they are asked.
    pub errors: Vec<ErrorRoute>,
    /// Those of other sites, where this one has none.
    pub(super) others: Vec<OtherErrors>,
    /// How many of the handlers are the site's own; those of other sites' `handle_errors` follow.
    pub(super) own: usize,
    /// The folders of the project that its roots mean, by what is written.
    pub(super) folders: HashMap<String, Folder>,
    /// The Caddy that runs it.
    pub version: Version,
    /// The global options trust some proxies' X-Forwarded headers.
    pub trust: Trust,
}

impl Handlers {
    /// The handler of that id.
    pub fn get(&self, id: HandlerId) -> &Handler {
        &self.all[id as usize]
    }

    /// The handler and the blocks around it, innermost first.
    pub fn chain(&self, id: HandlerId) -> impl Iterator<Item = &Handler> {
        std::iter::successors(Some(self.get(id)), |handler| {
            handler.parent.map(|id| self.get(id))
        })
    }

    /// Finds the folders of the project that the roots mean.
    pub(super) fn find_folders(&mut self, folders: &mut Folders) {
        let roots = self.all.iter().flat_map(|handler| {
            let set: &[(String, Word)] = match &handler.action {
                Action::Vars(pairs) => pairs,
                _ => &[],
            };
            let set = set.iter().filter(|(name, _)| name == "root");
            set.map(|(_, root)| root).chain(handler.matcher.roots())
        });
        for root in roots.filter_map(Word::known) {
            if !self.folders.contains_key(root)
                && let Some(folder) = folders.find(root)
            {
                self.folders.insert(root.to_owned(), folder);
            }
        }
    }

    /// All proxies that send a request on for good.
    pub fn proxies(&self) -> impl Iterator<Item = (HandlerId, &Handler, &Proxy)> {
        (0..)
            .zip(&self.all[..self.own])
            .filter_map(|(id, handler)| match &handler.action {
                Action::Proxy(proxy) if !proxy.is_subrequest => Some((id, handler, proxy.as_ref())),
                _ => None,
            })
    }
}

/// Named matchers that a block sees.
struct Scope<'a> {
    own: HashMap<&'a str, Matcher>,
    outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn find(&self, name: &str) -> Option<&Matcher> {
        self.own.get(name).or_else(|| self.outer?.find(name))
    }
}

/// The scope of a block.
fn scope<'a>(directives: &'a [Directive], outer: Option<&'a Scope<'a>>) -> Scope<'a> {
    let own = directives
        .iter()
        .filter(|directive| directive.name().starts_with('@'))
        .map(|directive| (directive.name(), matcher::define(directive)))
        .collect();
    Scope { own, outer }
}

/// Builds the handlers of a site.
pub(super) struct Builder<'a> {
    pub(super) order: &'a Order,
    pub(super) named_routes: &'a HashMap<String, Directive>,
    pub(super) handlers: Handlers,
    invokes: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(options: &'a Options, named_routes: &'a HashMap<String, Directive>) -> Self {
        let order = &options.order;
        Self {
            order,
            named_routes,
            handlers: Handlers {
                partial: !order.certain,
                version: options.version,
                trust: options.trust,
                ..Handlers::default()
            },
            invokes: 0,
        }
    }

    /// The handlers of a site's `directives`.
    pub(super) fn site(mut self, directives: &[Directive]) -> Handlers {
        let none = Scope {
            own: HashMap::new(),
            outer: None,
        };
        self.handlers.top = self.list(directives, &none, None, true);
        self.handlers.errors = self.errors(directives);
        self.handlers.own = self.handlers.all.len();
        self.handlers
    }

    /// Adds the `handle_errors` among another site's `directives` to what was built of `handlers`.
    pub(super) fn other(
        mut self,
        handlers: Handlers,
        port: u16,
        addresses: Vec<Address>,
        directives: &[Directive],
    ) -> Handlers {
        self.handlers = handlers;
        let routes = self.errors(directives);
        self.handlers.others.push(OtherErrors {
            port,
            addresses,
            routes,
        });
        self.handlers
    }

    /// Reads `handle_errors` (builtins.go, parseHandleErrors).
    fn errors(&mut self, directives: &[Directive]) -> Vec<ErrorRoute> {
        // Named matchers of the site are seen within.
        let scope = scope(directives, None);
        let mut routes = Vec::new();
        for directive in directives
            .iter()
            .filter(|directive| directive.name() == "handle_errors")
        {
            let codes = directive.args().iter();
            let codes =
                codes.map(|word| word.text.trim_end_matches("xx").parse().unwrap_or(u16::MAX));
            routes.push(ErrorRoute {
                head: directive.head,
                codes: codes.collect(),
                list: self.list(directive.children(), &scope, None, true),
                conditional: directive.conditional,
            });
        }
        // httptype.go sorts them by "the other one comes first", which turns them round, and
        // leaves those for every status at the end.
        routes.reverse();
        routes.sort_by_key(|route| route.codes.is_empty());
        routes
    }

    /// Builds one block's handlers and sorts them, unless it is a `route`.
    fn list(
        &mut self,
        directives: &[Directive],
        outer: &Scope<'_>,
        parent: Option<HandlerId>,
        sort: bool,
    ) -> List {
        let scope = scope(directives, Some(outer));
        let mut list: Vec<HandlerId> = Vec::new();
        for directive in directives {
            let name = directive.name();
            if name.starts_with('@') || name.is_empty() || order::SETTINGS.contains(&name) {
                continue;
            }
            if directive.partial {
                self.handlers.partial = true;
            }
            list.push(self.handler(directive, &scope, parent, !sort));
        }
        if sort {
            self.sort(&mut list);
        }
        let mut list = List::new(list, &self.handlers.all);
        // caddyserver/caddy#5315: until then `route` made no groups.
        list.literal = !sort && self.handlers.version < [2, 6, 3];
        list
    }

    /// Sorts a block's handlers as Caddy does (directives.go, `sortRoutes`).
    fn sort(&self, list: &mut [HandlerId]) {
        // A plugin's directive that the file does not order may have an order of its own; where it
        // answers, it does so before the proxy for all we know.
        let unordered = self.order.position("encode").unwrap_or_default();
        let version = self.handlers.version;
        let mut keyed: Vec<(usize, &str, order::Key<'_>, HandlerId)> = list
            .iter()
            .map(|id| {
                let handler = self.handlers.get(*id);
                let key = order::Key {
                    path: handler.matcher.single_path(),
                    matched: !handler.matcher.tests.is_empty(),
                };
                let position = self.order.position(&handler.name).unwrap_or(unordered);
                (position, handler.name.as_str(), key, *id)
            })
            .collect();
        order::stable(&mut keyed, &|a, b| match a.0 == b.0 {
            true => order::is_before(a.1, a.2, b.2, version),
            false => a.0 < b.0,
        });
        for (place, (.., id)) in list.iter_mut().zip(keyed) {
            *place = id;
        }
    }

    fn handler(
        &mut self,
        directive: &Directive,
        scope: &Scope<'_>,
        parent: Option<HandlerId>,
        in_route: bool,
    ) -> HandlerId {
        let name = directive.name();
        let hidden = directive
            .words
            .first()
            .is_some_and(|word| word.unknown.is_some());
        let (matcher, args) = self.matcher(directive, scope);
        let is_block = matches!(name, "handle" | "handle_path" | "route");
        let id = u32::try_from(self.handlers.all.len()).unwrap_or(u32::MAX);
        self.handlers.all.push(Handler {
            name: name.to_owned(),
            head: directive.head,
            span: directive.span,
            matcher,
            action: Action::Pass,
            parent,
            in_route,
            conditional: directive.conditional,
            implied: implied_status(name, args),
            args: args.to_vec(),
            lines: if is_block {
                Vec::new()
            } else {
                directive.children().to_vec()
            },
        });
        let action = if hidden {
            Action::Plugin
        } else {
            self.action(directive, args, scope, id)
        };
        self.handlers.all[id as usize].action = action;
        id
    }

    /// The matcher of a directive, and its other arguments.
    fn matcher<'d>(
        &mut self,
        directive: &'d Directive,
        scope: &Scope<'_>,
    ) -> (Matcher, &'d [Word]) {
        let args = directive.args();
        // It takes no matcher: a first argument that looks like one is a file's name.
        if directive.name() == "try_files" {
            return (Matcher::default(), args);
        }
        let Some((first, rest)) = args.split_first() else {
            return (Matcher::default(), args);
        };
        if matches!(directive.name(), "rewrite" | "root") && rest.is_empty() {
            return (Matcher::default(), args);
        }
        if first.quote != crate::syntax::Quote::None && !first.text.starts_with(['/', '@']) {
            return (Matcher::default(), args);
        }
        if first.text == "*" {
            let any = Matcher::default().at(first.span);
            return (any, rest);
        }
        if first.text.starts_with('/') {
            return (Matcher::path(first), rest);
        }
        if first.text.starts_with('@') {
            if let Some(found) = scope.find(&first.text) {
                let found = found.clone().at(first.span);
                return (found, rest);
            }
            // Caddy refuses it, unless what is missing defines it.
            self.handlers.partial = true;
            return (Matcher::default(), rest);
        }
        (Matcher::default(), args)
    }

    /// `handle_response` and `replace_status` of a proxy, those with a matcher first
    /// (reverseproxy/caddyfile.go, FinalizeUnmarshalCaddyfile).
    fn responses(
        &mut self,
        lines: &[Directive],
        scope: &Scope<'_>,
        id: HandlerId,
    ) -> Vec<ResponseHandler> {
        let matchers: HashMap<&str, Answers> = lines
            .iter()
            .filter(|line| line.name().starts_with('@'))
            .map(|line| (line.name(), Answers::parse(line)))
            .collect();
        let mut responses = Vec::new();
        for line in lines {
            let matcher = line.arg(0).filter(|name| name.starts_with('@'));
            let handlers = match line.name() {
                "handle_response" => Some(self.list(line.children(), scope, Some(id), true)),
                "replace_status" => None,
                _ => continue,
            };
            let answers = matcher.map(|name| matchers.get(name).cloned().unwrap_or_default());
            let quiet = |id: &HandlerId| {
                matches!(
                    self.handlers.get(*id).action,
                    Action::Pass
                        | Action::Headers(_)
                        | Action::RequestHeader(_)
                        | Action::Vars(_)
                        | Action::Rewrite(_)
                        | Action::Uri(_)
                        | Action::Method(_)
                )
            };
            responses.push(ResponseHandler {
                passes: handlers.as_ref().is_some_and(|list| list.iter().all(quiet)),
                head: line.head,
                answers,
                handlers,
                status: line.args().last().and_then(|word| word.text.parse().ok()),
            });
        }
        responses.sort_by_key(|response| response.answers.is_none());
        responses
    }

    fn action(
        &mut self,
        directive: &Directive,
        args: &[Word],
        scope: &Scope<'_>,
        id: HandlerId,
    ) -> Action {
        let children = directive.children();
        let status = |fallback: u16| {
            let code = |word: &Word| {
                word.text
                    .parse::<u16>()
                    .ok()
                    .filter(|code| (100..1000).contains(code))
            };
            match args {
                [] => Some(fallback),
                // staticresp.go: a single argument is a status if it is a number of three digits.
                [only] if only.text.len() == 3 => code(only).or(Some(fallback)),
                [_] => Some(fallback),
                [_, last, ..] => code(last),
            }
        };
        match directive.name() {
            "handle" => Action::Block(Block::Handle, self.list(children, scope, Some(id), true)),
            "handle_path" => {
                let path = directive
                    .args()
                    .first()
                    .map_or("", |word| word.text.as_str());
                let prefix = path
                    .strip_suffix("/*")
                    .or_else(|| path.strip_suffix('*'))
                    .unwrap_or(path);
                Action::Block(
                    Block::HandlePath(prefix.to_owned()),
                    self.list(children, scope, Some(id), true),
                )
            }
            "route" => Action::Block(Block::Route, self.list(children, scope, Some(id), false)),
            "invoke" => match args
                .first()
                .and_then(|name| self.named_routes.get(&name.text))
            {
                Some(route) if self.invokes < MAX_INVOKES => {
                    self.invokes += 1;
                    let list = self.list(route.children(), scope, Some(id), true);
                    self.invokes -= 1;
                    Action::Block(Block::Invoke, list)
                }
                _ => Action::Plugin,
            },
            // FastCGI has no upgrade.
            "reverse_proxy" if speaks_fastcgi(children) => Action::Answer(None),
            "reverse_proxy" => {
                let mut proxy = Proxy::parse(directive, args);
                proxy.responses = self.responses(children, scope, id);
                proxy.settle();
                Action::Proxy(Box::new(proxy))
            }
            "redir" => Action::Answer(match args.get(1).map(|word| word.text.as_str()) {
                None | Some("temporary") => Some(302),
                Some("permanent") => Some(301),
                Some("html") => Some(200),
                Some(code) => code.parse().ok(),
            }),
            "respond" => Action::Answer(status(200)),
            "error" => Action::Fail(status(500)),
            "basic_auth" | "basicauth" => Action::Fail(Some(401)),
            "abort" | "php_fastcgi" => Action::Answer(None),
            "metrics" => Action::Answer(Some(200)),
            "file_server" => {
                if children.iter().any(|line| line.name() == "pass_thru") {
                    Action::Pass
                } else {
                    Action::FileServer
                }
            }
            "rewrite" => args
                .first()
                .map_or(Action::Pass, |to| Action::Rewrite(to.clone())),
            "uri" => Action::Uri(
                match (
                    args.first().map(|word| word.text.as_str()),
                    args.get(1),
                    args.get(2),
                ) {
                    (Some("strip_prefix"), Some(prefix), _) => UriEdit::StripPrefix(prefix.clone()),
                    (Some("strip_suffix"), Some(suffix), _) => UriEdit::StripSuffix(suffix.clone()),
                    (Some("replace"), Some(find), Some(with)) => {
                        UriEdit::Replace(find.clone(), with.clone())
                    }
                    (Some("path_regexp"), Some(find), Some(with)) => {
                        UriEdit::Regexp(matcher::regex(find), with.clone())
                    }
                    (Some("query"), ..) => {
                        let own = (args.len() > 1).then(|| args[1..].to_vec());
                        UriEdit::Query(
                            own.into_iter()
                                .chain(children.iter().map(|line| line.words.clone()))
                                .collect(),
                        )
                    }
                    _ => UriEdit::Other,
                },
            ),
            "try_files" => {
                let mut candidates = Candidates {
                    words: args.to_vec(),
                    ..Candidates::default()
                };
                if let Some(policy) = children.iter().find(|line| line.name() == "policy") {
                    candidates.choose_by(policy.arg(0));
                }
                Action::TryFiles(candidates)
            }
            "method" => args
                .first()
                .map_or(Action::Pass, |method| Action::Method(method.clone())),
            "request_header" => {
                let mut lines: Vec<HeaderLine> = HeaderLine::parse(args, directive.head)
                    .into_iter()
                    .collect();
                lines.extend(
                    children
                        .iter()
                        .filter_map(|line| HeaderLine::parse(&line.words, line.head)),
                );
                Action::RequestHeader(lines)
            }
            "intercept" => Action::Intercept(self.responses(children, scope, id)),
            "header" => Action::Headers(HeaderOps::parse(args, directive)),
            "vars" => {
                let lines = children.iter().map(|line| line.words.as_slice());
                let pairs = std::iter::once(args)
                    .chain(lines)
                    .filter_map(|words| match words {
                        [name, value] => Some((name.text.clone(), value.clone())),
                        _ => None,
                    });
                Action::Vars(pairs.collect())
            }
            "root" => match args {
                [root, ..] => Action::Vars(vec![("root".to_owned(), root.clone())]),
                _ => Action::Pass,
            },
            "copy_response" => Action::CopyResponse,
            "copy_response_headers" => Action::CopyHeaders,
            "map" => {
                let map = Map::parse(directive, args);
                let names = map.destinations().map(str::to_owned);
                self.handlers.defined.extend(names);
                Action::Map(Arc::new(map))
            }
            name if Order::is_default(name) || GUARDS.contains(&name) => Action::Pass,
            _ => Action::Plugin,
        }
    }
}

/// Whether `respond`, `error` and their like name no status of their own.
fn implied_status(name: &str, args: &[Word]) -> bool {
    let error = |word: &Word| {
        matches!(
            word.text.as_str(),
            "{err.status_code}" | "{http.error.status_code}"
        )
    };
    match (name, args) {
        ("file_server", _) => true,
        ("respond", []) => true,
        ("respond", [only]) => only.text.len() != 3 || only.text.parse::<u16>().is_err(),
        ("respond" | "error", [_, status]) => error(status),
        _ => false,
    }
}

fn speaks_fastcgi(lines: &[Directive]) -> bool {
    lines
        .iter()
        .any(|line| line.name() == "transport" && line.arg(0) == Some("fastcgi"))
}

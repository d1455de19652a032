//! The handlers of a site, in the order in which they run.

use std::collections::{HashMap, HashSet};

use super::expand::{Directive, Word};
use super::matcher::{self, Matcher};
use super::order::{self, Order};
use super::proxy::{HeaderLine, Proxy};
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
    /// `uri path_regexp` and whatever else changes the path in ways not followed here.
    Other,
    /// `uri query`: the path stays.
    Query,
}

/// What a handler does with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Holds further handlers.
    Block(Block, Vec<HandlerId>),
    /// Sends it on.
    Proxy(Box<Proxy>),
    /// Answers it: with this status, if the file says.
    Answer(Option<u16>),
    /// `rewrite`.
    Rewrite(Word),
    /// `uri`.
    Uri(UriEdit),
    /// `try_files`.
    TryFiles(Vec<Word>),
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
    /// Its arguments without the matcher.
    pub args: Vec<Word>,
    /// The lines of its block; empty for a block of handlers.
    pub lines: Vec<Directive>,
}

/// All handlers of a site.
#[derive(Clone, Debug, Default)]
pub struct Handlers {
    /// Every handler, blocks before what they hold.
    pub all: Vec<Handler>,
    /// Those directly in the site, in the order in which they run.
    pub top: Vec<HandlerId>,
    /// Names that a `map` defines as placeholders.
    pub defined: HashSet<String>,
    /// A part of the site is missing or its order is unknown.
    pub partial: bool,
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

    /// All proxies that send a request on for good.
    pub fn proxies(&self) -> impl Iterator<Item = (HandlerId, &Handler, &Proxy)> {
        (0..)
            .zip(&self.all)
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

/// Builds the handlers of a site.
pub(super) struct Builder<'a> {
    pub(super) order: &'a Order,
    pub(super) named_routes: &'a HashMap<String, Directive>,
    pub(super) handlers: Handlers,
    invokes: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(order: &'a Order, named_routes: &'a HashMap<String, Directive>) -> Self {
        Self {
            order,
            named_routes,
            handlers: Handlers {
                partial: !order.certain,
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
        self.handlers
    }

    /// Builds one block's handlers and sorts them, unless it is a `route`.
    fn list(
        &mut self,
        directives: &[Directive],
        outer: &Scope<'_>,
        parent: Option<HandlerId>,
        sort: bool,
    ) -> Vec<HandlerId> {
        let own = directives
            .iter()
            .filter(|directive| directive.name().starts_with('@'))
            .map(|directive| (directive.name(), matcher::define(directive)))
            .collect();
        let scope = Scope {
            own,
            outer: Some(outer),
        };
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
        list
    }

    /// Go's stable sort with `sortRoutes`, which is no total order (a list of paths equals both of
    /// two paths of different length): hence by insertion, as Go does for up to 20 handlers.
    fn sort(&self, list: &mut [HandlerId]) {
        // A plugin's directive that the file does not order may have an order of its own; where it
        // answers, it does so before the proxy for all we know.
        let unordered = self.order.position("encode").unwrap_or_default();
        let position = |id: HandlerId| {
            self.order
                .position(&self.handlers.get(id).name)
                .unwrap_or(unordered)
        };
        list.sort_by_key(|id| position(*id));
        let key = |id: HandlerId| {
            let matcher = &self.handlers.get(id).matcher;
            order::Key {
                path: matcher.single_path(),
                matched: !matcher.tests.is_empty(),
            }
        };
        for group in list.chunk_by_mut(|a, b| position(*a) == position(*b)) {
            if group.len() > 1000 {
                // Generated: matched ones first is all that is certain then.
                group.sort_by_key(|id| {
                    (
                        !key(*id).matched,
                        std::cmp::Reverse(key(*id).path.map_or(0, str::len)),
                    )
                });
                continue;
            }
            let reversed = group
                .first()
                .is_some_and(|id| self.handlers.get(*id).name == "vars");
            if reversed {
                continue;
            }
            for end in 1..group.len() {
                let mut at = end;
                while at > 0 && order::by_matcher(key(group[at]), key(group[at - 1])).is_lt() {
                    group.swap(at, at - 1);
                    at -= 1;
                }
            }
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
        // These take no matcher: a first argument that looks like one is a file's name.
        if matches!(directive.name(), "try_files" | "map" | "vars" | "root") {
            return (Matcher::default(), args);
        }
        let Some((first, rest)) = args.split_first() else {
            return (Matcher::default(), args);
        };
        if directive.name() == "rewrite" && rest.is_empty() {
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
                [only] => code(only).or(Some(fallback)),
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
            "reverse_proxy" => Action::Proxy(Box::new(Proxy::parse(directive, args))),
            "redir" => Action::Answer(match args.get(1).map(|word| word.text.as_str()) {
                None | Some("temporary") => Some(302),
                Some("permanent") => Some(301),
                Some("html") => Some(200),
                Some(code) => code.parse().ok(),
            }),
            "respond" => Action::Answer(status(200)),
            "error" => Action::Answer(status(500)),
            "abort" | "php_fastcgi" => Action::Answer(None),
            "metrics" => Action::Answer(Some(200)),
            "file_server" => {
                if children.iter().any(|line| line.name() == "pass_thru") {
                    Action::Pass
                } else {
                    Action::Answer(Some(404))
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
                    (Some("query"), ..) => UriEdit::Query,
                    _ => UriEdit::Other,
                },
            ),
            "try_files" => Action::TryFiles(args.to_vec()),
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
            "map" => {
                for word in args {
                    if let Some(name) = word
                        .text
                        .strip_prefix('{')
                        .and_then(|name| name.strip_suffix('}'))
                    {
                        self.handlers.defined.insert(name.to_owned());
                    }
                }
                Action::Pass
            }
            name if Order::is_default(name) || GUARDS.contains(&name) => Action::Pass,
            _ => Action::Plugin,
        }
    }
}

fn speaks_fastcgi(lines: &[Directive]) -> bool {
    lines
        .iter()
        .any(|line| line.name() == "transport" && line.arg(0) == Some("fastcgi"))
}

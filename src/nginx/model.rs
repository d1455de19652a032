//! One configuration as nginx would load it: every directive where it stands once the includes
//! are resolved, the context of each block, and what each level sets for the upstream.
//!
//! Nothing is copied: an [`Item`] points at a directive of a parsed file. Items lie in preorder,
//! as the nodes of a [`Tree`] do, so walking them needs no recursion.

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use super::files::Stock;
use super::location::{Location, Server};
use super::map::Keys;
use super::pattern::Pattern;
use super::templates::Templates;
use super::variables::condition_words;
use crate::project::Version;
use crate::source::Span;
use crate::syntax::{Directive, Tree};

/// Why nothing is known of what stands around a file that others include.
pub const SURROUNDINGS: &str = "the file that includes this one is not in the project";

/// Index of an item in [`Config::items`].
pub type ItemId = u32;

/// Blocks within blocks. nginx nests locations two or three deep; below this nothing is looked at,
/// so that a file of a hundred thousand braces costs no more than its bytes.
const MAX_NESTING: u32 = 100;

/// Lines of one level that are told apart. What has more was not written for people.
const MAX_LINES: usize = 1000;

/// What stands above all items of a configuration: the main context, or the unknown surroundings
/// of a fragment.
pub const ROOT: ItemId = u32::MAX;

/// The context that a block opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Outside of every block of a main file.
    Main,
    /// `http`.
    Http,
    /// `server` within `http`.
    Server,
    /// `location`.
    Location,
    /// `if` within a server or location.
    If,
    /// `limit_except`.
    LimitExcept,
    /// `map` and `geo`, whose entries look like directives.
    Map,
    /// `split_clients`.
    Split,
    /// `upstream`.
    Upstream,
    /// Anything else, which no handshake over HTTP passes: `stream`, `events`, `types`, Lua.
    Other,
}

impl Context {
    /// The context that a block called `name` opens within this one.
    fn inner(self, name: &str) -> Self {
        match (self, name) {
            (Self::Main, "http") => Self::Http,
            (Self::Http, "server") => Self::Server,
            (Self::Http, "map" | "geo") => Self::Map,
            (Self::Http, "split_clients") => Self::Split,
            (Self::Http, "upstream") => Self::Upstream,
            (Self::Server | Self::Location, "location") => Self::Location,
            (Self::Server | Self::Location, "if") => Self::If,
            (Self::Location, "limit_except") => Self::LimitExcept,
            _ => Self::Other,
        }
    }
}

/// A directive where it stands after the includes are resolved.
#[derive(Clone, Debug)]
pub struct Item {
    /// Index of its file's tree in [`Arena::trees`].
    pub tree: u32,
    /// Its node there.
    pub node: u32,
    /// The block that holds it, or [`ROOT`].
    pub parent: ItemId,
    /// One past the last item below it.
    pub end: ItemId,
    /// The `include` that brought it, or [`ROOT`] for what the first file holds itself.
    pub via: ItemId,
    /// The context that its block opens.
    pub context: Context,
}

/// What an `include` was found to mean.
#[derive(Clone, Debug)]
pub enum Included {
    /// Files of the project, as indices into [`Arena::trees`]; their directives follow it.
    Files(Vec<u32>),
    /// A file that every installation has, known to us though it is absent.
    Stock(&'static Stock),
    /// Nobody knows what it brings.
    Missing(String),
}

/// Why more directives than we see may stand at a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// What shows it, if anything in the files does.
    pub span: Option<Span>,
    /// For a person.
    pub why: String,
}

impl Unseen {
    /// A template decides.
    pub(super) fn template() -> Self {
        Self {
            span: None,
            why: "a template decides which of these lines are written".to_owned(),
        }
    }
}

/// What one level (a context of http, server or location) sets for the upstream by itself.
#[derive(Clone, Debug, Default)]
pub struct Level {
    /// Its `proxy_set_header` lines and the stock includes that bring some, in order.
    pub headers: Vec<ItemId>,
    /// Its `proxy_http_version`.
    pub version: Option<ItemId>,
    /// Its directives of the rewrite module, in the order in which they run.
    pub rewrites: Vec<ItemId>,
    /// Its `proxy_pass`.
    pub pass: Option<ItemId>,
    /// Whatever answers or passes on: `proxy_pass` and all others, in order; the last one of a
    /// level is at work.
    pub handlers: Vec<ItemId>,
    /// Its `allow` and `deny`, in order.
    pub access: Vec<ItemId>,
    /// Its `return`, if no condition guards it.
    pub answers: Option<ItemId>,
    /// Its `try_files`.
    pub try_files: Option<ItemId>,
    /// Its `error_page` directives.
    pub error_pages: Vec<ItemId>,
    /// Further directives may stand here.
    pub unseen: Option<Unseen>,
    /// A template decides whether the directives here are written at all.
    pub conditional: bool,
    /// A line for Upgrade or Connection that a template may leave out.
    pub pair_perhaps: Option<Span>,
    /// `internal` stands here.
    pub internal: bool,
    /// Lua, JavaScript or Perl runs here and may set any variable.
    pub scripted: bool,
    /// Its directives of [`super::setting::NAMES`], in order.
    pub settings: Vec<ItemId>,
}

/// One configuration: a main file, or a fragment that no file of the project includes.
#[derive(Debug)]
pub struct Config {
    /// The file it starts from, as an index into [`Arena::trees`].
    pub main: u32,
    /// That file, and the other fragments that `http` includes with it.
    pub roots: Vec<u32>,
    /// The folder of that file.
    pub folder: String,
    /// Whether it starts from a main file, or its container's stock one, so that nothing unseen
    /// surrounds it.
    pub complete: bool,
    /// The version that runs it: what `[targets]` says, or the tag of its container's image.
    pub target: Option<Version>,
    /// Before all servers that are seen, the one of its container's image may stand.
    pub image_server_first: bool,
    /// The context of its top: `Main`, or the one that a fragment is made for.
    pub top: Context,
    /// All directives in the order in which nginx reads them.
    pub items: Vec<Item>,
    /// What each `include` brought.
    pub includes: HashMap<ItemId, Included>,
    /// The levels of [`Context::Http`], `Server`, `Location`, `If` and `LimitExcept`, and [`ROOT`].
    pub levels: HashMap<ItemId, Level>,
    /// `map`, `geo` and `split_clients` blocks by the lower-case name of their variable, in order.
    pub maps: HashMap<String, Vec<ItemId>>,
    /// The keys of each `map`, sorted when first asked for.
    pub(super) map_keys: HashMap<ItemId, OnceLock<Keys>>,
    /// `set` directives by the lower-case name of their variable, in order.
    pub sets: HashMap<String, Vec<ItemId>>,
    /// The expressions of `rewrite` directives and of conditions.
    pub(super) patterns: HashMap<ItemId, Pattern>,
    /// All `proxy_pass` and other passes.
    pub passes: Vec<ItemId>,
    /// `upstream` blocks by name.
    pub upstreams: HashMap<String, ItemId>,
    /// The servers of `http`, in order.
    pub servers: Vec<Server>,
    /// All locations of all servers, in order.
    pub locations: Vec<Location>,
    /// See [`upgrade_variable`](super::evidence::upgrade_variable).
    pub(super) upgrade_variable: OnceLock<Option<String>>,
    /// That variable is used nowhere.
    pub(super) unused_upgrade: OnceLock<bool>,
    /// See [`View::names`].
    pub(super) names: OnceLock<super::setting::Names>,
    /// See [`View::choose_server`].
    pub(super) listeners: OnceLock<super::listener::Listeners>,
    /// Why nginx would not load it.
    pub refusals: Vec<super::refused::Refusal>,
    /// Some file that `http` includes is not in the project.
    unseen_http: bool,
}

impl Config {
    /// A configuration that starts from the files `roots`, without its items.
    pub(super) fn new(roots: Vec<u32>, folder: String, complete: bool) -> Self {
        Self {
            main: roots.first().copied().unwrap_or_default(),
            roots,
            folder,
            complete,
            target: None,
            image_server_first: false,
            top: Context::Main,
            items: Vec::new(),
            includes: HashMap::new(),
            levels: HashMap::new(),
            maps: HashMap::new(),
            map_keys: HashMap::new(),
            sets: HashMap::new(),
            patterns: HashMap::new(),
            passes: Vec::new(),
            upstreams: HashMap::new(),
            servers: Vec::new(),
            locations: Vec::new(),
            upgrade_variable: OnceLock::new(),
            unused_upgrade: OnceLock::new(),
            names: OnceLock::new(),
            listeners: OnceLock::new(),
            refusals: Vec::new(),
            unseen_http: false,
        }
    }
}

/// The maps of all configurations by the lower-case name of their variable; `None` where there are
/// several of one name, so that nothing says which a fragment means.
pub type Maps = HashMap<String, Option<(u32, ItemId)>>;

/// Collects the maps of all configurations; those that say the same are one.
pub(super) fn all_maps(trees: &[Tree], configs: &[Config]) -> Maps {
    let none = Maps::new();
    let arena = Arena {
        trees,
        configs,
        maps: &none,
    };
    let mut all = Maps::new();
    for (index, config) in (0..).zip(configs) {
        let maps = config.maps.iter();
        let maps = maps.flat_map(|(name, maps)| maps.iter().map(move |map| (name, *map)));
        for (name, map) in maps {
            match all.get_mut(name) {
                Some(known) => {
                    let same = |(other, first): &(u32, ItemId)| {
                        says_the_same(arena.view(*other), *first, arena.view(index), map)
                    };
                    *known = known.filter(same);
                }
                None => {
                    all.insert(name.clone(), Some((index, map)));
                }
            }
        }
    }
    all
}

/// Whether two maps surely give the same value for each request: copies of one text, which name no
/// variable that may differ between their configurations.
fn says_the_same(view: View<'_>, map: ItemId, other: View<'_>, copy: ItemId) -> bool {
    let (one, two) = (view.directive(map), other.directive(copy));
    if one.name() != "map" || !one.arg(0).is_some_and(|of| of.starts_with("$http_")) {
        return false;
    }
    fn words<'a>(directive: &Directive<'a>) -> impl Iterator<Item = (&'a str, bool)> {
        let words = directive.args().iter();
        words.map(|word| (word.text.as_ref(), word.templated))
    }
    let is_fixed = |entry: &Directive<'_>| {
        let mut words = words(entry);
        entry.name() != "include"
            && words.all(|(text, templated)| !templated && !text.contains('$'))
    };
    let mut left = view.children(map).map(|entry| view.directive(entry));
    let mut right = other.children(copy).map(|entry| other.directive(entry));
    let same_entries = loop {
        match (left.next(), right.next()) {
            (None, None) => break true,
            (Some(left), Some(right)) => {
                let same = left.name() == right.name() && words(&left).eq(words(&right));
                if !same || !is_fixed(&left) {
                    break false;
                }
            }
            _ => break false,
        }
    };
    same_entries && words(&one).eq(words(&two))
}

/// The parsed files and the configurations made of them.
#[derive(Clone, Copy, Debug)]
pub struct Arena<'a> {
    /// One tree a file.
    pub trees: &'a [Tree],
    /// The configurations.
    pub configs: &'a [Config],
    /// Their maps.
    pub maps: &'a Maps,
}

impl<'a> Arena<'a> {
    /// One of the configurations.
    pub fn view(self, config: u32) -> View<'a> {
        View {
            arena: self,
            index: config,
            config: &self.configs[config as usize],
        }
    }
}

/// A configuration together with the files that its items point into.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Where the files and the other configurations are.
    pub arena: Arena<'a>,
    /// Its index in [`Arena::configs`].
    pub index: u32,
    /// The configuration.
    pub config: &'a Config,
}

impl<'a> View<'a> {
    /// The files that it is made of, as indices into [`Arena::trees`].
    pub(super) fn files(self) -> BTreeSet<u32> {
        let included = self.config.includes.values().flat_map(|included| {
            let files: &[u32] = match included {
                Included::Files(files) => files,
                _ => &[],
            };
            files.iter().copied()
        });
        included.chain(self.config.roots.iter().copied()).collect()
    }

    /// The item itself.
    pub fn item(self, item: ItemId) -> &'a Item {
        &self.config.items[item as usize]
    }

    /// The directive that an item stands for.
    pub fn directive(self, item: ItemId) -> Directive<'a> {
        let Item { tree, node, .. } = *self.item(item);
        self.arena.trees[tree as usize].at(node)
    }

    /// The items directly within a block, or at the top.
    pub fn children(self, item: ItemId) -> impl Iterator<Item = ItemId> + 'a {
        let (mut next, end) = if item == ROOT {
            (0, self.config.items.len() as u32)
        } else {
            (item + 1, self.item(item).end)
        };
        let config = self.config;
        std::iter::from_fn(move || {
            let child = (next < end).then_some(next)?;
            next = config.items[child as usize].end;
            Some(child)
        })
    }

    /// The context that the block of `item` opens.
    pub fn context(self, item: ItemId) -> Context {
        match item {
            ROOT => self.config.top,
            _ => self.item(item).context,
        }
    }

    /// The level of `item`; an empty one where it is none.
    pub fn level(self, item: ItemId) -> &'a Level {
        static EMPTY: Level = Level {
            headers: Vec::new(),
            version: None,
            rewrites: Vec::new(),
            pass: None,
            handlers: Vec::new(),
            access: Vec::new(),
            answers: None,
            try_files: None,
            error_pages: Vec::new(),
            unseen: None,
            conditional: false,
            pair_perhaps: None,
            internal: false,
            scripted: false,
            settings: Vec::new(),
        };
        self.config.levels.get(&item).unwrap_or(&EMPTY)
    }

    /// The levels from `item` outward, ending with `http` or the unknown surroundings.
    pub fn outward(self, item: ItemId) -> impl Iterator<Item = ItemId> + 'a {
        let mut next = Some(item);
        std::iter::from_fn(move || {
            let level = next?;
            next = (level != ROOT && self.context(level) != Context::Http)
                .then(|| self.item(level).parent);
            Some(level)
        })
    }

    /// The `include` in the file of `within`'s own block that brought `item`, if one did.
    pub fn include_of(self, item: ItemId, within: ItemId) -> Option<ItemId> {
        let outer = if within == ROOT {
            ROOT
        } else {
            self.item(within).via
        };
        let mut via = self.item(item).via;
        while via != ROOT && via != outer && self.item(via).via != outer {
            via = self.item(via).via;
        }
        (via != ROOT && via != outer).then_some(via)
    }
}

impl Config {
    /// Whether `http` may hold more than we see.
    pub fn is_open(&self) -> bool {
        !self.complete || self.unseen_http
    }

    /// Finds contexts, levels, variables and servers in one pass over the items.
    pub(super) fn index(&mut self, trees: &[Tree], templates: &Templates) {
        let root = self.top;
        if !self.complete {
            self.levels.entry(ROOT).or_default().unseen = Some(Unseen {
                span: None,
                why: SURROUNDINGS.to_owned(),
            });
        }
        for root in self.roots.clone() {
            self.template_level(ROOT, root, None, templates);
        }
        for item in 0..self.items.len() as u32 {
            let Item {
                tree, node, parent, ..
            } = self.items[item as usize];
            let directive = trees[tree as usize].at(node);
            let outer = match parent {
                ROOT => root,
                _ => self.items[parent as usize].context,
            };
            if directive.has_block() {
                let context = if directive.node().depth < MAX_NESTING {
                    outer.inner(directive.name())
                } else {
                    Context::Other
                };
                self.items[item as usize].context = context;
                self.block(item, parent, context, directive);
                self.template_level(item, tree, Some(node), templates);
            }
            self.directive(item, parent, outer, directive, templates);
        }
        super::location::index(self, trees);
    }

    fn block(&mut self, item: ItemId, parent: ItemId, context: Context, directive: Directive<'_>) {
        match context {
            Context::Map | Context::Split => {
                self.map_keys.insert(item, OnceLock::new());
                // `geo $address $variable` names its variable last, too.
                if let Some(name) = directive
                    .args()
                    .last()
                    .and_then(|word| word.text.strip_prefix('$'))
                {
                    self.maps
                        .entry(name.to_ascii_lowercase())
                        .or_default()
                        .push(item);
                }
            }
            Context::Upstream => {
                if let Some(name) = directive.arg(0) {
                    self.upstreams.entry(name.to_owned()).or_insert(item);
                }
            }
            Context::If => {
                self.levels.entry(parent).or_default().rewrites.push(item);
                let words = condition_words(directive.args()).unwrap_or_default();
                if let [_, operator, pattern] = words.as_slice()
                    && operator.trim_start_matches('!').starts_with('~')
                {
                    let pattern = Pattern::new(pattern, operator.ends_with('*'));
                    self.patterns.insert(item, pattern);
                }
            }
            _ => {}
        }
    }

    fn directive(
        &mut self,
        item: ItemId,
        parent: ItemId,
        outer: Context,
        directive: Directive<'_>,
        templates: &Templates,
    ) {
        if !matches!(
            outer,
            Context::Http
                | Context::Server
                | Context::Location
                | Context::If
                | Context::LimitExcept
                | Context::Map
        ) {
            return;
        }
        let level = self.levels.entry(parent).or_default();
        if !directive.node().intact && !directive.has_block() {
            level.unseen.get_or_insert_with(|| Unseen {
                span: Some(directive.head()),
                why: "a syntax error stands here".to_owned(),
            });
            return;
        }
        let lines = level.headers.len() + level.rewrites.len() + level.error_pages.len();
        if lines + level.handlers.len() + level.access.len() + level.settings.len() > MAX_LINES {
            level.unseen.get_or_insert_with(|| Unseen {
                span: Some(directive.head()),
                why: "there are too many lines here to tell them apart".to_owned(),
            });
            return;
        }
        match directive.name() {
            "proxy_set_header" => {
                if templates.pair.contains(&directive.head()) {
                    level.pair_perhaps.get_or_insert(directive.head());
                }
                level.headers.push(item);
            }
            "error_page" => level.error_pages.push(item),
            "try_files" => level.try_files = Some(item),
            "proxy_http_version" => level.version = Some(item),
            "proxy_pass" => {
                level.pass = Some(item);
                level.handlers.push(item);
                self.passes.push(item);
            }
            "internal" => level.internal = true,
            "allow" | "deny" => level.access.push(item),
            name if is_handler(name) => {
                level.handlers.push(item);
                level.scripted |= is_script(name);
                if super::setting::NAMES.contains(&name) {
                    level.settings.push(item);
                }
            }
            name if is_script(name) => level.scripted = true,
            name if super::setting::NAMES.contains(&name) => level.settings.push(item),
            "return" => {
                level.answers.get_or_insert(item);
                level.rewrites.push(item);
            }
            "set" => {
                level.rewrites.push(item);
                if let Some(name) = directive.arg(0).and_then(|name| name.strip_prefix('$')) {
                    self.sets
                        .entry(name.to_ascii_lowercase())
                        .or_default()
                        .push(item);
                }
            }
            "break" => level.rewrites.push(item),
            "rewrite" => {
                level.rewrites.push(item);
                if let Some(pattern) = directive.arg(0) {
                    self.patterns.insert(item, Pattern::new(pattern, false));
                }
            }
            "include" => match self.includes.get(&item) {
                Some(Included::Stock(stock)) if !stock.headers.is_empty() => {
                    level.headers.push(item)
                }
                Some(Included::Missing(why)) => {
                    self.unseen_http |= outer == Context::Http;
                    level.unseen.get_or_insert_with(|| Unseen {
                        span: Some(directive.head()),
                        why: why.clone(),
                    });
                }
                Some(Included::Files(files)) if !templates.gaps.is_empty() => {
                    for tree in files.clone() {
                        self.template_level(parent, tree, None, templates);
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Notes at a level what a template may add to it.
    fn template_level(
        &mut self,
        level: ItemId,
        tree: u32,
        node: Option<u32>,
        templates: &Templates,
    ) {
        if let Some(head) = node.and_then(|node| templates.perhaps.get(&(tree, node))) {
            self.levels.entry(level).or_default().unseen = Some(Unseen {
                span: Some(*head),
                why: "a template decides whether it is written".to_owned(),
            });
        }
        let Some(gap) = templates.gaps.get(&(tree, node)) else {
            return;
        };
        let level = self.levels.entry(level).or_default();
        if gap.adds {
            level.unseen.get_or_insert_with(|| Unseen {
                span: Some(gap.span),
                why: "a template expression writes lines here".to_owned(),
            });
        }
        level.conditional = true;
    }
}

/// Whether a `proxy_set_header` is about Upgrade or Connection.
pub(super) fn sets_half(directive: Directive<'_>) -> bool {
    directive.arg(0).is_some_and(|name| {
        name.eq_ignore_ascii_case("upgrade") || name.eq_ignore_ascii_case("connection")
    })
}

/// Whether a directive makes its location answer or pass requests on by itself.
fn is_handler(name: &str) -> bool {
    name.ends_with("_pass")
        || matches!(
            name,
            "stub_status"
                | "empty_gif"
                | "flv"
                | "mp4"
                | "js_content"
                | "perl"
                | "echo"
                | "passenger_enabled"
                | "check_status"
                | "api"
                | "status"
        )
        || ["content_by_lua", "echo_", "nchan_", "push_stream_"]
            .iter()
            .any(|start| name.starts_with(start))
}

/// Whether a directive runs a program before the request is passed on.
fn is_script(name: &str) -> bool {
    [
        "rewrite_by_lua",
        "access_by_lua",
        "set_by_lua",
        "js_access",
        "js_header_filter",
        "perl",
    ]
    .iter()
    .any(|start| name.starts_with(start))
}

/// Whether a file may stand in `http`, where the directives at its top seem to be made for `top`.
pub(super) fn fits_http(tree: &Tree, top: Context) -> bool {
    match top {
        Context::Http => true,
        // Lines such as `proxy_set_header` fit everywhere, others in a server or location only.
        Context::Location => !tree.top().any(|directive| {
            matches!(
                directive.name(),
                "proxy_pass"
                    | "return"
                    | "rewrite"
                    | "set"
                    | "if"
                    | "try_files"
                    | "alias"
                    | "internal"
            )
        }),
        _ => false,
    }
}

/// The context that directives at the top of a file belong to.
pub(super) fn surroundings<'a>(top: impl Iterator<Item = Directive<'a>>) -> Context {
    let mut context = Context::Location;
    for directive in top {
        match directive.name() {
            "http" | "events" | "stream" | "mail" if directive.has_block() => return Context::Main,
            "server" | "map" | "geo" | "upstream" | "split_clients" if directive.has_block() => {
                context = Context::Http;
            }
            "location" | "listen" | "server_name" if context == Context::Location => {
                context = Context::Server;
            }
            _ => {}
        }
    }
    context
}

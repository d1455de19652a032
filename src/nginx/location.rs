//! Servers and locations, and which of them a request meets.
//!
//! ngx_http_core_find_location: an exact match ends the search; else the longest prefix is
//! remembered, and regular expressions are tried in order unless that prefix says `^~`;
//! locations within the one that was found are searched the same way.

use std::collections::HashMap;

use super::model::{Config, Context, ItemId, ROOT, View};
use super::pattern::{MAX_REGEXES, Pattern};
use crate::handshake::is_plain_http;
use crate::syntax::{Directive, Tree};

/// Ports of one `listen` that are told apart.
const MAX_PORTS: usize = 256;

/// How a location is matched.
#[derive(Debug)]
pub enum Matcher {
    /// `= /path`.
    Exact(String),
    /// A prefix.
    Prefix {
        /// The prefix.
        path: String,
        /// `^~`: regular expressions are not tried after it.
        final_: bool,
    },
    /// `~` or `~*`.
    Regex(Pattern),
    /// `@name`.
    Named(String),
    /// A template supplies it, or it is malformed.
    Unknown,
}

/// One `location`.
#[derive(Debug)]
pub struct Location {
    /// Its directive.
    pub item: ItemId,
    /// Its server, as an index into [`Config::servers`].
    pub server: u32,
    /// The location that it is nested in, as an index into [`Config::locations`].
    pub parent: Option<u32>,
    /// What it matches.
    pub matcher: Matcher,
    /// The locations nested in it.
    pub children: Siblings,
    /// The `if` and `limit_except` blocks in it.
    pub blocks: Vec<ItemId>,
}

impl Location {
    /// A path that it is meant for, with which to see whether it gets what it names.
    pub fn sample(&self) -> Option<String> {
        match &self.matcher {
            Matcher::Exact(path) | Matcher::Prefix { path, .. } => Some(path.clone()),
            Matcher::Regex(pattern) => {
                let prefix = pattern.literal_prefix();
                if prefix.len() > 1 {
                    return Some(prefix);
                }
                pattern
                    .names_endpoint()
                    .or(Some(prefix))
                    .filter(|path| !path.is_empty())
            }
            Matcher::Named(_) | Matcher::Unknown => None,
        }
    }

    /// Whether it is for files or for a plain-HTTP neighbour of sockets, by its path.
    pub fn is_plain_http(&self) -> bool {
        match &self.matcher {
            Matcher::Exact(path) | Matcher::Prefix { path, .. } => is_plain_http(path),
            Matcher::Regex(pattern) => {
                pattern.is_plain_http() || is_plain_http(&pattern.literal_prefix())
            }
            Matcher::Named(_) | Matcher::Unknown => false,
        }
    }

    /// Whether it takes whatever no other location wants.
    pub fn is_catch_all(&self) -> bool {
        match &self.matcher {
            Matcher::Prefix { path, .. } => path == "/" || path.is_empty(),
            Matcher::Regex(pattern) => pattern.takes_all(),
            _ => false,
        }
    }
}

/// One `server`, or the unknown server around a fragment that begins with locations.
#[derive(Debug)]
pub struct Server {
    /// Its directive, or [`ROOT`].
    pub item: ItemId,
    /// Its first name as `$server_name` has it.
    pub first_name: Option<String>,
    /// Its names, lower case.
    pub names: Vec<String>,
    /// Its names that are regular expressions.
    pub patterns: Vec<Pattern>,
    /// A template supplies names of it.
    pub is_named_elsewhere: bool,
    /// The ports that it listens on, with whether TLS is spoken there and whether it is the
    /// default server; empty where `listen` can't be read.
    pub listens: Vec<Listen>,
    /// The sockets in the file system that it listens on.
    pub sockets: Vec<Listen>,
    /// It says where it listens, even if that can't be read.
    pub says_listen: bool,
    /// A template says where it listens.
    pub listens_anywhere: bool,
    /// The locations directly in it.
    pub locations: Siblings,
}

/// The locations of one level, as nginx sorts them.
#[derive(Debug, Default)]
pub struct Siblings {
    exact: HashMap<String, u32>,
    /// With whether regular expressions are skipped after it.
    prefixes: HashMap<String, (u32, bool)>,
    regexes: Vec<u32>,
    named: HashMap<String, u32>,
    /// One of them can't be read.
    unknown: bool,
}

impl Siblings {
    fn add(&mut self, index: u32, matcher: &Matcher) {
        match matcher {
            Matcher::Exact(path) => {
                self.exact.entry(path.clone()).or_insert(index);
            }
            Matcher::Prefix { path, final_ } => {
                self.prefixes
                    .entry(path.clone())
                    .or_insert((index, *final_));
            }
            Matcher::Regex(_) => self.regexes.push(index),
            Matcher::Named(name) => {
                self.named.entry(name.clone()).or_insert(index);
            }
            Matcher::Unknown => self.unknown = true,
        }
        // Trying thousands of expressions for every path takes longer than anyone waits.
        self.unknown |= self.regexes.len() > MAX_REGEXES;
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty() && self.regexes.is_empty()
    }

    /// The location called `@name`.
    pub fn named(&self, name: &str) -> Option<u32> {
        self.named.get(name).copied()
    }

    /// The longest prefix of `path`.
    fn longest(&self, path: &str) -> Option<(u32, bool)> {
        (0..=path.len())
            .rev()
            .filter_map(|end| path.get(..end))
            .find_map(|prefix| self.prefixes.get(prefix).copied())
    }
}

/// One `listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address: `*`, `127.0.0.1`, `[::]`; of a socket in the file system its path.
    pub address: String,
    /// The port; 0 where there is none.
    pub port: u16,
    /// `ssl`.
    pub tls: bool,
    /// `http2`.
    pub http2: bool,
    /// `default_server`.
    pub default: bool,
}

impl Listen {
    /// What a `listen` for a socket in the file system says.
    fn socket(directive: Directive<'_>) -> Option<Self> {
        let path = directive.arg(0)?.strip_prefix("unix:")?;
        Some(Self::at(directive, path.to_owned(), 0))
    }

    fn at(directive: Directive<'_>, address: String, port: u16) -> Self {
        let has = |flag: &str| directive.args().iter().any(|word| word.text == flag);
        Self {
            address,
            port,
            tls: has("ssl"),
            http2: has("http2"),
            default: has("default_server") || has("default"),
        }
    }

    /// What a `listen` for TCP says; nothing for QUIC.
    fn read(directive: Directive<'_>) -> Vec<Self> {
        let Some(text) = directive.arg(0) else {
            return Vec::new();
        };
        let has = |flag: &str| directive.args().iter().any(|word| word.text == flag);
        if has("quic") {
            return Vec::new();
        }
        let (address, ports) = match text.rsplit_once(':') {
            Some((address, ports)) if !ports.ends_with(']') => (address, ports),
            _ if text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-') =>
            {
                ("*", text)
            }
            _ => (text, "80"),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
            return Vec::new();
        };
        let address = if has("ipv6only=off") && address == "[::]" {
            "*"
        } else {
            address
        };
        (first..=last)
            .take(MAX_PORTS)
            .map(|port| Self::at(directive, address.to_ascii_lowercase(), port))
            .collect()
    }
}

/// Reads the servers and locations out of the items, whose contexts are known.
pub(super) fn index(config: &mut Config, trees: &[Tree]) {
    let root = config.top;
    if matches!(root, Context::Server | Context::Location) {
        config.servers.push(Server::new(ROOT));
    }
    let mut location_of: HashMap<ItemId, u32> = HashMap::new();
    let mut server_of: HashMap<ItemId, u32> = HashMap::new();
    server_of.insert(ROOT, 0);
    for item in 0..config.items.len() as u32 {
        let super::model::Item {
            tree,
            node,
            parent,
            context,
            ..
        } = config.items[item as usize];
        let directive = trees[tree as usize].at(node);
        match context {
            Context::Server => {
                server_of.insert(item, config.servers.len() as u32);
                config.servers.push(Server::new(item));
            }
            Context::Location => {
                let outer = location_of.get(&parent).copied();
                let server = match outer {
                    Some(outer) => config.locations[outer as usize].server,
                    None => server_of.get(&parent).copied().unwrap_or_default(),
                };
                if server as usize >= config.servers.len() {
                    continue;
                }
                let index = config.locations.len() as u32;
                location_of.insert(item, index);
                let matcher = matcher(directive);
                match outer {
                    Some(outer) => config.locations[outer as usize]
                        .children
                        .add(index, &matcher),
                    None => {
                        if let Some(server) = config.servers.get_mut(server as usize) {
                            server.locations.add(index, &matcher);
                        }
                    }
                }
                config.locations.push(Location {
                    item,
                    server,
                    parent: outer,
                    matcher,
                    children: Siblings::default(),
                    blocks: Vec::new(),
                });
            }
            Context::If | Context::LimitExcept => {
                if let Some(outer) = location_of.get(&parent) {
                    config.locations[*outer as usize].blocks.push(item);
                }
            }
            _ => {
                let server = server_of.get(&parent).copied().unwrap_or(u32::MAX);
                if (parent != ROOT || root == Context::Server)
                    && let Some(server) = config.servers.get_mut(server as usize)
                {
                    server.directive(directive);
                }
            }
        }
    }
}

/// What the arguments of a `location` match. The modifier may be glued to the path
/// (ngx_http_core_location).
fn matcher(directive: Directive<'_>) -> Matcher {
    let (modifier, path) = match directive.args() {
        [path] if !path.templated => {
            let text = path.text.as_str();
            let modifier = ["^~", "~*", "=", "~"]
                .into_iter()
                .find(|modifier| text.starts_with(modifier))
                .unwrap_or_default();
            (modifier, &text[modifier.len()..])
        }
        [modifier, path] if !modifier.templated && !path.templated => {
            (modifier.text.as_str(), path.text.as_str())
        }
        _ => return Matcher::Unknown,
    };
    match modifier {
        "" if path.starts_with('@') => Matcher::Named(path.to_owned()),
        "" => Matcher::Prefix {
            path: path.to_owned(),
            final_: false,
        },
        "^~" => Matcher::Prefix {
            path: path.to_owned(),
            final_: true,
        },
        "=" => Matcher::Exact(path.to_owned()),
        "~" => Matcher::Regex(Pattern::new(path, false)),
        "~*" => Matcher::Regex(Pattern::new(path, true)),
        _ => Matcher::Unknown,
    }
}

impl Server {
    fn new(item: ItemId) -> Self {
        Self {
            item,
            first_name: None,
            names: Vec::new(),
            patterns: Vec::new(),
            is_named_elsewhere: false,
            listens: Vec::new(),
            sockets: Vec::new(),
            says_listen: false,
            listens_anywhere: false,
            locations: Siblings::default(),
        }
    }

    fn directive(&mut self, directive: Directive<'_>) {
        match directive.name() {
            "server_name" => {
                for word in directive.args() {
                    self.first_name.get_or_insert_with(|| {
                        word.text.trim_start_matches('.').to_ascii_lowercase()
                    });
                    match word.text.strip_prefix('~') {
                        _ if word.templated => self.is_named_elsewhere = true,
                        Some(pattern) => self.patterns.push(Pattern::new(pattern, true)),
                        None => self.names.push(word.text.to_ascii_lowercase()),
                    }
                }
            }
            "listen" => {
                self.says_listen = true;
                match directive.args().first() {
                    Some(word) if word.templated || word.text.contains('$') => {
                        self.listens_anywhere = true;
                    }
                    _ => match Listen::socket(directive) {
                        Some(socket) => self.sockets.push(socket),
                        None => self.listens.extend(Listen::read(directive)),
                    },
                }
            }
            _ => {}
        }
    }

    /// Whether one of its names is `host`, and how closely: exact, leading wildcard, trailing
    /// wildcard, regular expression (ngx_http_find_virtual_server).
    pub fn rank(&self, host: &str) -> Option<u8> {
        self.closeness(host).map(|(rank, _)| rank)
    }

    /// The same, with how much of the host a wildcard leaves open: the longer one wins.
    pub(super) fn closeness(&self, host: &str) -> Option<(u8, usize)> {
        let named = self.names.iter().filter_map(|name| {
            if name == host {
                return Some((0, 0));
            }
            let open = |rank: u8, domain: &str| Some((rank, host.len() - domain.len()));
            let leads = |suffix: &str| host.strip_suffix(suffix);
            if let Some(domain) = name.strip_prefix("*.") {
                return leads(domain)
                    .is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
                    .then(|| open(1, domain))?;
            }
            if let Some(domain) = name.strip_prefix('.') {
                // For the domain itself it is an exact name (ngx_hash_add_key).
                if domain == host {
                    return Some((0, 0));
                }
                return leads(domain)
                    .is_some_and(|rest| rest.ends_with('.'))
                    .then(|| open(1, domain))?;
            }
            let start = name.strip_suffix(".*")?;
            host.strip_prefix(start)
                .is_some_and(|rest| rest.starts_with('.') && rest.len() > 1)
                .then(|| open(2, start))?
        });
        named.min().or_else(|| {
            let matches = |pattern: &Pattern| pattern.is_match(host) == Some(true);
            self.patterns.iter().any(matches).then_some((3, 0))
        })
    }
}

/// The location that a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This one, as an index into [`Config::locations`].
    Location(u32),
    /// None: this one would, with a slash added, and nginx redirects there with 301.
    Slash(u32),
    /// None: the server itself answers.
    Nowhere,
    /// An expression that can't be read decides.
    Unknown,
}

/// How far a search came (the return codes of ngx_http_core_find_location).
enum Search {
    /// An exact match or an expression: nothing else is tried.
    Ends(u32),
    /// A prefix, which an expression of the same level may still overrule.
    Prefix(u32),
    /// A redirect to the same path with a slash.
    Slash(u32),
    Nothing,
    Unknown,
}

impl<'a> View<'a> {
    /// The location of `server` that takes `path`.
    pub fn find_location(self, server: u32, path: &str) -> Found {
        let level = &self.config.servers[server as usize].locations;
        match self.search(level, path) {
            Search::Ends(index) | Search::Prefix(index) => Found::Location(index),
            Search::Slash(index) => Found::Slash(index),
            Search::Nothing => Found::Nowhere,
            Search::Unknown => Found::Unknown,
        }
    }

    /// The longest prefix of `path` among the locations directly in a server.
    pub(super) fn prefix_beside(self, server: u32, path: &str) -> Option<u32> {
        let level = &self.config.servers[server as usize].locations;
        level.longest(path).map(|(index, _)| index)
    }

    /// Searches the locations of one level and of what is nested in them.
    fn search(self, level: &'a Siblings, path: &str) -> Search {
        if let Some(index) = level.exact.get(path) {
            return Search::Ends(*index);
        }
        if level.unknown {
            return Search::Unknown;
        }
        let longest = level.longest(path);
        // Where a handler passes requests on, `/ws/` also answers `/ws` (auto_redirect), unless a
        // prefix is just that.
        if !level.prefixes.contains_key(path)
            && let Some(index) = self.with_slash(level, path)
        {
            return Search::Slash(index);
        }
        let mut found = Search::Nothing;
        if let Some((index, _)) = longest {
            // The locations nested in the prefix come before the expressions of this level.
            found = match self.search(&self.config.locations[index as usize].children, path) {
                Search::Nothing => Search::Prefix(index),
                Search::Prefix(inner) => Search::Prefix(inner),
                end => return end,
            };
        }
        // `^~` silences the expressions of its own level only.
        if longest.is_some_and(|(_, final_)| final_) {
            return found;
        }
        match self.regex(level, path) {
            Found::Location(index) => {
                match self.search(&self.config.locations[index as usize].children, path) {
                    Search::Nothing => Search::Ends(index),
                    // Within an expression no slash is added: the search counts as a success.
                    Search::Ends(inner) | Search::Prefix(inner) | Search::Slash(inner) => {
                        Search::Ends(inner)
                    }
                    Search::Unknown => Search::Unknown,
                }
            }
            Found::Unknown => Search::Unknown,
            _ => found,
        }
    }

    /// The location of this level that is `path` with a slash added and passes requests on.
    fn with_slash(self, level: &Siblings, path: &str) -> Option<u32> {
        let path = format!("{path}/");
        let prefix = level.prefixes.get(&path).map(|(index, _)| *index);
        let exact = level.exact.get(&path).copied();
        let passes = |index: &u32| {
            let item = self.config.locations[*index as usize].item;
            let mut handlers = self.level(item).handlers.iter();
            handlers.any(|handler| self.directive(*handler).name().ends_with("_pass"))
        };
        let any = exact.iter().chain(&prefix).any(passes);
        exact.or(prefix).filter(|_| any)
    }

    /// The first regular expression of a level that matches.
    fn regex(self, level: &Siblings, path: &str) -> Found {
        for index in &level.regexes {
            if let Matcher::Regex(pattern) = &self.config.locations[*index as usize].matcher {
                match pattern.is_match(path) {
                    Some(true) => return Found::Location(*index),
                    Some(false) => {}
                    None => return Found::Unknown,
                }
            }
        }
        Found::Nowhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx::Model;
    use crate::project::Project;

    /// The head of the location that takes `path` in the only server of `conf`.
    fn taken(locations: &str, path: &str) -> String {
        let conf = format!("events {{}}\nhttp {{ server {{ {locations} }} }}");
        let project = Project::in_memory([("nginx.conf", conf.as_str())]).expect("valid");
        let model = Model::resolve(&project);
        let view = model.view(0);
        match view.find_location(0, path) {
            Found::Location(index) => {
                let item = view.config.locations[index as usize].item;
                project.slice(view.directive(item).head()).to_owned()
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn locations_are_searched_as_nginx_does() {
        let all = "location / {} location /ws {} location = /ws {} location ^~ /ws/static/ {} location ~ \\.js$ {} location ~* ^/WS/CHAT {}";
        for (path, expected) in [
            ("/", "location /"),
            ("/ws", "location = /ws"),
            ("/wsx", "location /ws"),
            ("/ws/a.js", "location ~ \\.js$"),
            ("/ws/static/a.js", "location ^~ /ws/static/"),
            ("/ws/chat", "location ~* ^/WS/CHAT"),
            ("/WS", "location /"),
        ] {
            assert_eq!(taken(all, path), expected, "{path}");
        }
        assert_eq!(taken("location /a {}", "/b"), "Nowhere");
        assert_eq!(
            taken("location =/a {} location ^~/b {}", "/b/c"),
            "location ^~/b"
        );
    }

    #[test]
    fn nested_locations_come_before_the_expressions_of_their_level() {
        let nested = "location /ws { location ~ chat {} location /ws/room {} } location ~ ^/ws {}";
        assert_eq!(taken(nested, "/ws/chat"), "location ~ chat");
        assert_eq!(taken(nested, "/ws/room"), "location ~ ^/ws");
        let silenced = "location ^~ /ws { location /ws/room {} } location ~ ^/ws {}";
        assert_eq!(taken(silenced, "/ws/room"), "location /ws/room");
    }

    #[test]
    fn a_missing_slash_is_redirected_only_where_requests_are_passed_on() {
        assert_eq!(
            taken(
                "location /ws/ { proxy_pass http://a; } location / {}",
                "/ws"
            ),
            "Slash(0)"
        );
        assert_eq!(
            taken("location /ws/ { return 204; } location / {}", "/ws"),
            "location /"
        );
        assert_eq!(
            taken(
                "location /ws/ { proxy_pass http://a; } location = /ws {}",
                "/ws"
            ),
            "location = /ws"
        );
    }

    #[test]
    fn names_rank_as_nginx_compares_them() {
        let mut server = Server::new(ROOT);
        server.names = ["a.example", "*.b.example", "www.c.*", ".e.example"]
            .map(str::to_owned)
            .to_vec();
        server.patterns = vec![Pattern::new("^d\\d\\.example$", true)];
        for (host, rank) in [
            ("a.example", Some(0)),
            ("x.b.example", Some(1)),
            ("b.example", None),
            ("www.c.net", Some(2)),
            ("d1.example", Some(3)),
            ("e.example", Some(0)),
            ("x.e.example", Some(1)),
        ] {
            assert_eq!(server.rank(host), rank, "{host}");
        }
    }
}

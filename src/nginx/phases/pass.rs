//! What is passed on: to whom, with which path and headers (ngx_http_proxy_module.c,
//! ngx_http_upstream.c).

use super::walk::{Step, Walk};
use super::{Answer, End, Forwarded, Module, What};
use crate::handshake::{Dial, Judged, Protocol, Reply, Request, Upstream, judge};
use crate::nginx::builtin::request_uri;
use crate::nginx::headers::{self, Half};
use crate::nginx::location::Matcher;
use crate::nginx::model::{Context, ItemId, ROOT, View};
use crate::nginx::uri;
use crate::nginx::words::{Part, parts};
use crate::source::Span;
use crate::syntax::Word;
use crate::value::Value;

/// Servers of an upstream that are told apart.
const MAX_SERVERS: usize = 256;

/// A path and its query.
type Target = (String, Option<String>);

/// The URL of a pass, taken apart (ngx_parse_url).
struct Url<'t> {
    tls: bool,
    /// Host and port, or `unix:/path`.
    authority: &'t str,
    /// The path and query behind it; empty if there is none.
    uri: String,
}

impl<'t> Url<'t> {
    fn read(text: &'t str, module: Module) -> Option<Self> {
        let schemes: &[(&str, bool)] = match module {
            Module::Proxy => &[("http://", false), ("https://", true)],
            Module::Uwsgi => &[("uwsgi://", false), ("suwsgi://", true), ("", false)],
            Module::Grpc => &[("grpc://", false), ("grpcs://", true), ("", false)],
            Module::Scgi | Module::Fastcgi => &[("", false)],
        };
        let (scheme, tls) = schemes.iter().find(|(scheme, _)| {
            text.get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })?;
        let rest = &text[scheme.len()..];
        let (authority, uri) = if let Some(socket) = rest.strip_prefix("unix:") {
            // The path of the socket ends at a colon.
            match socket.split_once(':') {
                Some((path, uri)) => (&rest[..rest.len() - socket.len() + path.len()], uri),
                None => (rest, ""),
            }
        } else {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            rest.split_at(end)
        };
        let uri = match uri.strip_prefix('?') {
            Some(_) => format!("/{uri}"),
            None => uri.to_owned(),
        };
        (!authority.is_empty()).then_some(Self {
            tls: *tls,
            authority,
            uri,
        })
    }
}

/// Host and port of an authority; without a port, none.
fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') && !authority.starts_with("unix:") => {
            (host, Some(port))
        }
        _ => (authority, None),
    }
}

fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.starts_with("unix:") || host.parse::<std::net::Ipv4Addr>().is_ok()
}

impl Walk<'_, '_> {
    /// Passes the request on by the handler that the location, or a block in it, named.
    pub(super) fn pass(&mut self, handler: ItemId, module: Module) -> Step {
        let name = self.view.directive(handler).name();
        // The module's own settings at the block in force: an `if` without a pass of its own
        // takes that of its location (ngx_http_proxy_merge_loc_conf, noname).
        let Some(pass) = self.own_pass(name) else {
            return Step::Status(500, Answer::BadUrl, handler);
        };
        let directive = self.view.directive(pass);
        let Some(word) = directive.args().first() else {
            return Step::End(self.undecided(pass, "a malformed pass"));
        };
        let value = self.scope.value(word);
        let from = directive.head();
        let (mut to, path) = match value {
            Value::Known(text) => match self.resolve(&text, word, pass, module) {
                Ok(found) => found,
                Err(step) => return step,
            },
            _ => (vec![unknown_upstream(word, from)], self.unknown_path(word)),
        };
        if let Some(to) = to.first()
            && let Some(here) = &mut self.scope.here
            && let (Value::Known(host), None) = (&to.host, &here.proxy)
        {
            here.proxy = Some((host.clone(), String::new()));
        }
        if to.iter().any(|to| to.tls) {
            let name = self.tls_name();
            for to in &mut to {
                to.tls_name = Some(name.clone());
            }
        }
        self.note(pass, What::Handler, told(&to));
        let effective = headers::Effective::at(self.view, self.scope.location);
        if module == Module::Proxy
            && let Some(level) = effective.level
            && level != ROOT
        {
            self.note(level, What::Headers, "its `proxy_set_header` lines apply");
            self.note_discarding(&effective, level);
        }
        let mut request = self.outgoing(module);
        let path_known = match path {
            Some((path, query)) => {
                (request.path, request.query) = (path, query);
                true
            }
            None => false,
        };
        let mut refused = Vec::new();
        let (reply, reply_by) = match self.times_out(module, &to) {
            Err(step) => return step,
            Ok(Some(reply)) => (reply, None),
            Ok(None) if self.depth > 0 => match self.err_status {
                Some((status, item)) => {
                    let status = Some(status);
                    (Reply::Replaced { status }, Some(item))
                }
                None => (Reply::Intact, None),
            },
            Ok(None) => {
                refused = self.intercepted(module);
                if let Some(step) = self.opens_elsewhere(module, &request, &refused) {
                    return step;
                }
                self.reply(module)
            }
        };
        // Neither asks which answer it is.
        let kept = match reply {
            Reply::Replaced { status } => status,
            _ => None,
        };
        let (reply, reply_by) = self.beside_mirror(module, &request, reply, reply_by);
        let unanswered = self.unanswered(pass);
        let unseen = effective.unseen.filter(|_| module == Module::Proxy);
        let forwarded = Forwarded {
            pass,
            module,
            block: self.scope.location,
            to,
            request,
            path_known,
            reply,
            reply_by,
            refused,
            kept,
            unanswered,
        };
        if let Some(step) = self.asked_the_same(&forwarded) {
            return step;
        }
        self.see(unseen);
        Step::End(End::Forwards(Box::new(forwarded)))
    }

    /// Tells which line keeps a half of the pair from being inherited.
    fn note_discarding(&mut self, effective: &headers::Effective, level: ItemId) {
        let view = self.view;
        let Some(first) = effective.lines(view).next() else {
            return;
        };
        let discards = |half: &Half| {
            let means = |line: headers::Line<'_>| line.means(half.name());
            let mut outer = effective.discarded.iter();
            outer.any(|outer| headers::lines(view, *outer).any(means))
                && !effective.lines(view).any(means)
        };
        let halves = [Half::Upgrade, Half::Connection].into_iter();
        let gone: Vec<&str> = halves.filter(discards).map(Half::name).collect();
        if !gone.is_empty() {
            let item = view.include_of(first.item, level).unwrap_or(first.item);
            let told = format!(
                "with this line the block inherits no header, {} neither",
                gone.join(" and ")
            );
            self.note(item, What::Headers, told);
        }
    }

    /// The name that a TLS handshake with the upstream asks for; empty where it asks for none
    /// (ngx_http_upstream_ssl_name).
    fn tls_name(&mut self) -> Value {
        let view = self.view;
        let block = self.scope.location;
        let asks = view.setting(block, "proxy_ssl_server_name");
        if let Some(unseen) = asks.unseen {
            return Value::Unknown(unseen.why);
        }
        let asks = asks.items.last().map(|item| view.directive(*item).arg(0));
        if asks != Some(Some("on")) {
            return Value::Known(String::new());
        }
        let stated = view.in_force(block, "proxy_ssl_name");
        let stated = stated.and_then(|item| view.directive(item).args().first());
        let name = match stated {
            Some(word) => self.scope.word(word),
            None => {
                let here = self.scope.here.as_ref();
                let proxy = here.and_then(|here| here.proxy.as_ref());
                match proxy {
                    Some((host, _)) => Value::Known(host.clone()),
                    None => Value::Unknown("a variable names the upstream".to_owned()),
                }
            }
        };
        match name {
            Value::Known(name) => {
                let (name, _) = host_and_port(&name);
                // RFC 6066, section 3: an address is no name.
                let name = if is_address(name) { "" } else { name };
                Value::Known(name.to_ascii_lowercase())
            }
            unknown => unknown,
        }
    }

    /// The pass of the block in force: its own, or that of the location around it.
    fn own_pass(&self, name: &str) -> Option<ItemId> {
        let view = self.view;
        let mut block = self.scope.location;
        loop {
            let mut handlers = view.level(block).handlers.iter().rev();
            let own = handlers.find(|item| view.directive(**item).name() == name);
            if let Some(own) = own {
                return Some(*own);
            }
            if block == ROOT || !matches!(view.context(block), Context::If | Context::LimitExcept) {
                return None;
            }
            block = view.item(block).parent;
        }
    }

    /// Whom a URL names, and the path that is asked for there.
    fn resolve(
        &mut self,
        text: &str,
        word: &Word,
        pass: ItemId,
        module: Module,
    ) -> Result<(Vec<Upstream>, Option<Target>), Step> {
        let variable = word.text.contains('$');
        let Some(url) = Url::read(text, module) else {
            if variable {
                return Err(Step::Status(500, Answer::BadUrl, pass));
            }
            // nginx does not start with such a line.
            return Err(Step::End(End::Answers {
                status: None,
                by: Answer::BadUrl,
                item: pass,
                to: None,
            }));
        };
        let (host, port) = host_and_port(url.authority);
        let standard = if url.tls { 443 } else { 80 };
        if let Some(here) = &mut self.scope.here {
            // ngx_http_proxy_set_vars
            let shown = match port {
                _ if host.starts_with("unix:") => "localhost".to_owned(),
                Some(port) if port != standard.to_string() => format!("{host}:{port}"),
                _ => host.to_owned(),
            };
            let port = port.map_or_else(|| standard.to_string(), str::to_owned);
            here.proxy = Some((shown, port));
        }
        let from = self.view.directive(pass).head();
        let block = self.view.config.upstreams.get(url.authority).copied();
        if variable && block.is_none() && !is_address(host) && !self.is_known_host(host, port) {
            let resolver = self.view.in_force(self.scope.location, "resolver");
            if resolver.is_none() && !self.view.config.is_open() {
                self.note(
                    pass,
                    What::Handler,
                    format!("without a `resolver` nginx cannot look `{host}` up: 502"),
                );
                return Err(Step::Status(502, Answer::NoResolver, pass));
            }
        }
        let to = match block {
            Some(block) => servers(self.view, block, url.tls),
            None => vec![upstream(url.authority, url.tls, standard, from)],
        };
        if to.is_empty() {
            let block = block.unwrap_or(pass);
            return Err(Step::Status(502, Answer::NoLiveServer, block));
        }
        let path = match module {
            Module::Proxy => self.mapped_path(&url, variable),
            _ => Some(sent_path(self.request)),
        };
        Ok((to, path))
    }

    /// Whether some line of the configuration names this host as an upstream, which a variable may
    /// then name as well (ngx_http_upstream_init_request).
    fn is_known_host(&self, host: &str, port: Option<&str>) -> bool {
        self.view.config.passes.iter().any(|item| {
            let url = self.view.directive(*item).arg(0).unwrap_or_default();
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (known, known_port) = host_and_port(&rest[..end]);
            let standard = if url.starts_with("https://") {
                "443"
            } else {
                "80"
            };
            !url.contains('$')
                && known.eq_ignore_ascii_case(host)
                && port.is_some_and(|port| known_port.unwrap_or(standard) == port)
        })
    }

    /// The path and query that `proxy_pass` asks for (ngx_http_proxy_create_request); `None` where
    /// a query that nobody knows is part of it.
    fn mapped_path(&self, url: &Url<'_>, variable: bool) -> Option<Target> {
        let split = |text: &str| {
            let (path, query) = uri::split(text);
            (path.to_owned(), query.map(str::to_owned))
        };
        if variable && !url.uri.is_empty() {
            return Some(split(&url.uri));
        }
        if url.uri.is_empty() && self.valid_unparsed_uri {
            return Some(sent_path(self.request));
        }
        let uri = self.uri();
        let replaced = if self.valid_location && !url.uri.is_empty() {
            self.location_name().len().min(uri.len())
        } else {
            0
        };
        let rest = uri.get(replaced..).unwrap_or_default();
        let quoted = self.scope.here.as_ref().is_some_and(|here| here.quoted);
        let rest = if quoted || self.internal {
            uri::escape(rest)
        } else {
            rest.to_owned()
        };
        let start = if self.valid_location { &*url.uri } else { "" };
        let query = self.args().known()?.clone();
        let query = (!query.is_empty()).then_some(query);
        let (path, own) = split(&format!("{start}{rest}"));
        Some(match (own, query) {
            (Some(own), Some(query)) => (path, Some(format!("{own}?{query}"))),
            (own, query) => (path, own.or(query)),
        })
    }

    /// What the location names, which a URI in `proxy_pass` takes the place of.
    fn location_name(&self) -> &str {
        let Some(location) = self.location else {
            return "";
        };
        match &self.view.config.locations[location as usize].matcher {
            Matcher::Exact(path) | Matcher::Prefix { path, .. } => path,
            Matcher::Regex(pattern) => &pattern.text,
            Matcher::Named(name) => name,
            Matcher::Unknown => "",
        }
    }

    /// The path at an upstream whose URL nobody knows, if that much is plain.
    fn unknown_path(&self, word: &Word) -> Option<Target> {
        let rest = word.text.split_once("://").map_or("", |(_, rest)| rest);
        let has_uri = rest.contains(['/', '?']);
        (!has_uri && self.valid_unparsed_uri).then(|| sent_path(self.request))
    }

    /// The request as it leaves.
    fn outgoing(&mut self, module: Module) -> Request {
        let view = self.view;
        let block = self.scope.location;
        let passes = match module {
            Module::Proxy => "proxy_pass_request_headers",
            Module::Uwsgi => "uwsgi_pass_request_headers",
            _ => "scgi_pass_request_headers",
        };
        let passes = view.in_force(block, passes);
        let passes = passes.is_none_or(|item| view.directive(item).arg(0) != Some("off"));
        let mut request = self.request.clone();
        if !passes {
            request.headers.clear();
        }
        for item in view.setting(block, "more_clear_input_headers").items {
            for word in view.directive(item).args() {
                request
                    .headers
                    .retain(|header| !header.name.eq_ignore_ascii_case(&word.text));
            }
        }
        if module != Module::Proxy {
            request.protocol = Protocol::Http11;
            return request;
        }
        if let Some(item) = view.in_force(block, "proxy_method")
            && let Some(word) = view.directive(item).args().first()
            && let Value::Known(method) = self.scope.word(word)
        {
            request.method = method;
        }
        headers::sent_on(&mut self.scope, request, self.target)
    }

    /// A subrequest for `auth_request` that reaches the very socket server: a 101 cannot be taken,
    /// and nginx closes the client's connection (ngx_http_upstream_upgrade).
    fn asked_the_same(&mut self, forwarded: &Forwarded) -> Option<Step> {
        let asked = self
            .asked
            .iter()
            .find(|asked| asked.to == forwarded.to && asked.module.upgrades())?;
        let pass = asked.pass;
        let is_endpoint = asked.request.path == forwarded.request.path;
        match (is_endpoint, is_handshake(&asked.request)) {
            (true, true) => {
                let message = "the upstream answers 101 to what `auth_request` asks, and nginx closes the connection";
                self.note(pass, What::Access, message);
                Some(Step::End(End::Answers {
                    status: None,
                    by: Answer::AuthRequest,
                    item: pass,
                    to: None,
                }))
            }
            // The endpoint of the sockets refuses what is no handshake.
            (true, false) if is_handshake(&forwarded.request) => {
                let why = "whether the endpoint of the sockets allows the plain request that `auth_request` sends it";
                Some(Step::End(self.undecided(pass, why)))
            }
            (true, false) => {
                let message = "the endpoint of the sockets refuses what `auth_request` asks, which counts as a failure";
                self.note(pass, What::Access, message);
                Some(Step::Status(500, Answer::AuthRequest, pass))
            }
            // At another path the same server may answer as it answers a plain request.
            (false, true) => {
                let why = "whether the upstream of the sockets answers 101 to what `auth_request` asks, on which nginx closes the connection";
                Some(Step::End(self.undecided(pass, why)))
            }
            (false, false) => None,
        }
    }
}

/// Whether a WebSocket server may answer 101.
pub(super) fn is_handshake(request: &Request) -> bool {
    !matches!(judge(request), Judged::Lost(_))
}

fn sent_path(request: &Request) -> Target {
    let whole = request_uri(request);
    let (path, query) = uri::split(&whole);
    (path.to_owned(), query.map(str::to_owned))
}

/// The servers of an `upstream` that take requests.
fn servers(view: View<'_>, block: ItemId, tls: bool) -> Vec<Upstream> {
    let mut live = Vec::new();
    let mut backup = Vec::new();
    let mut seen = false;
    for item in view.children(block) {
        let server = view.directive(item);
        let (Some(address), "server") = (server.args().first(), server.name()) else {
            continue;
        };
        seen = true;
        let has = |flag: &str| server.args().iter().any(|word| word.text == flag);
        if has("down") || live.len() + backup.len() >= MAX_SERVERS {
            continue;
        }
        let upstream = if address.templated || address.text.contains('$') {
            unknown_upstream(address, server.head())
        } else {
            // Port 80 by default, also behind `https://` (ngx_http_upstream_server).
            upstream(&address.text, tls, 80, server.head())
        };
        if has("backup") {
            backup.push(upstream);
        } else {
            live.push(upstream);
        }
    }
    if !seen {
        // An include or a template names them.
        let from = view.directive(block).head();
        return vec![Upstream {
            tls_name: None,
            tls,
            host: Value::Unknown("its servers are not in the files".to_owned()),
            port: Value::Unknown("its servers are not in the files".to_owned()),
            spare: false,
            from,
        }];
    }
    if live.is_empty() { backup } else { live }
}

/// Everyone whom the locations of a configuration name to pass requests on to.
pub fn dials(view: View<'_>) -> Vec<Dial> {
    let mut dials = Vec::new();
    for location in &view.config.locations {
        let server = view.config.servers[location.server as usize].item;
        let at = match server {
            ROOT => Span::new(view.arena.trees[view.config.main as usize].source, 0..0),
            server => view.directive(server).head(),
        };
        let blocks = location.blocks.iter().copied();
        for block in std::iter::once(location.item).chain(blocks) {
            for pass in &view.level(block).handlers {
                let named = named(view, *pass).into_iter();
                dials.extend(named.map(|to| Dial { at, to }));
            }
        }
    }
    dials
}

/// Whom a pass names, as far as that is written.
fn named(view: View<'_>, pass: ItemId) -> Vec<Upstream> {
    let directive = view.directive(pass);
    let module = match directive.name() {
        "proxy_pass" => Module::Proxy,
        "uwsgi_pass" => Module::Uwsgi,
        "scgi_pass" => Module::Scgi,
        "fastcgi_pass" => Module::Fastcgi,
        "grpc_pass" => Module::Grpc,
        _ => return Vec::new(),
    };
    let Some(word) = directive.args().first() else {
        return Vec::new();
    };
    let from = directive.head();
    let text = &written(view, &word.text);
    let Some(url) = Url::read(text, module) else {
        return vec![unknown_upstream(word, from)];
    };
    if url.authority.contains('$') || word.templated {
        return vec![unknown_upstream(word, from)];
    }
    match view.config.upstreams.get(url.authority) {
        Some(block) => servers(view, *block, url.tls),
        None => {
            let standard = if url.tls { 443 } else { 80 };
            vec![upstream(url.authority, url.tls, standard, from)]
        }
    }
}

/// A text with the values of variables that one `set` gives, and nothing else:
/// `set $app web:8000; proxy_pass http://$app;`.
fn written(view: View<'_>, text: &str) -> String {
    let value = |name: &str| {
        let sets = view.config.sets.get(&name.to_ascii_lowercase())?;
        let [only] = sets.as_slice() else { return None };
        let word = view.directive(*only).args().get(1)?;
        (!word.templated && !word.text.contains('$')).then_some(word.text.as_str())
    };
    let parts = parts(text).into_iter().map(|part| match part {
        Part::Text(text) => text.to_owned(),
        // All that matters here is that an address ends before them.
        Part::Variable("request_uri" | "uri" | "document_uri") => "/".to_owned(),
        Part::Variable(name) => value(name).map_or_else(|| format!("${{{name}}}"), str::to_owned),
        Part::Foreign => "$".to_owned(),
    });
    parts.collect()
}

fn unknown_upstream(word: &Word, from: Span) -> Upstream {
    let why = if word.templated {
        "a template names the upstream"
    } else {
        "a variable names the upstream"
    };
    // `${HOST}:8000`: what replaces the name leaves the port.
    let rest = word
        .text
        .split_once("://")
        .map_or(&*word.text, |(_, rest)| rest);
    let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
    let port = authority
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    Upstream {
        tls_name: None,
        tls: word.text.starts_with("https://"),
        host: Value::Unknown(why.to_owned()),
        port: port.map_or_else(|| Value::Unknown(why.to_owned()), Value::Known),
        spare: false,
        from,
    }
}

fn upstream(authority: &str, tls: bool, standard: u16, from: Span) -> Upstream {
    let (host, port) = host_and_port(authority);
    Upstream {
        tls_name: None,
        tls,
        host: Value::Known(host.to_owned()),
        port: Value::Known(port.and_then(|port| port.parse().ok()).unwrap_or(standard)),
        spare: false,
        from,
    }
}

/// Whom it is passed to, for the story.
fn told(to: &[Upstream]) -> String {
    match to {
        [one] => match (&one.host, &one.port) {
            (Value::Known(host), Value::Known(_)) if host.starts_with("unix:") => {
                format!("passes it on to {host}")
            }
            (Value::Known(host), Value::Known(port)) => format!("passes it on to {host}:{port}"),
            _ => "passes it on".to_owned(),
        },
        several => format!("passes it on to one of {} servers", several.len()),
    }
}

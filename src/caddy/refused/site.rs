//! Lines of sites that Caddy refuses: addresses, matchers, and directives with other arguments than
//! they take.

use std::collections::{HashMap, HashSet};

use super::blocks;
use super::lines::{DIRECTIVES, DIRECTIVES_SINCE};
use super::proxy::arguments;
use super::upstream::bad_port;
use super::{Refusal, is_site, refusal};
use crate::caddy::expand::{Directive, Word};
use crate::caddy::matcher::Test;
use crate::caddy::model::{Options, Site};
use crate::caddy::order::Order;
use crate::project::Version;
use crate::syntax::Quote;

/// Whether a word is what stands in the file, whatever the environment says.
pub(super) fn is_plain(word: &Word) -> bool {
    word.unknown.is_none() && word.variable.is_none()
}

/// What Caddy refuses of these sites.
pub(super) fn find(
    options: &Options,
    globals: &[Directive],
    sites: &[Directive],
    named_routes: &HashMap<String, Directive>,
) -> Vec<Refusal> {
    let mut found = Vec::new();
    let lines = || globals.iter().flat_map(Directive::children);
    let asks_dns = !globals.iter().all(is_whole)
        || lines().any(|line| matches!(line.name(), "dns" | "acme_dns"));
    duplicates(sites, &mut found);
    let judge = |block: &Directive, is_named, found: &mut Vec<Refusal>| {
        let mut judge = Judge {
            version: options.version,
            order: &options.order,
            named_routes,
            is_named,
            asks_dns,
            matchers: Vec::new(),
            whole: is_whole(block),
            found,
        };
        judge.list(block.children(), None);
    };
    if options.version >= [2, 7, 0] {
        let mut named: Vec<&Directive> = named_routes.values().collect();
        named.sort_by_key(|route| route.head);
        for route in named.into_iter().filter(|route| !route.conditional) {
            judge(route, true, &mut found);
        }
    }
    for site in sites.iter().filter(|site| !site.conditional) {
        if let Some(one) = blocks::top(site, options.version) {
            found.push(one);
            continue;
        }
        if blocks::stands_for_a_site(site.name()) {
            // To older versions that is an address, and what follows is its site's.
            break;
        }
        second_site(site, &mut found);
        judge(site, false, &mut found);
    }
    found
}

/// `{block}`, which 2.9 was the first to fill.
pub(super) fn block_of_import(line: &Directive) -> Refusal {
    let mut one = refusal(
        line.head,
        "this Caddy refuses the whole file: imports take no block, which came with 2.9".to_owned(),
        "stands for nothing, and is no directive",
        "give the snippet arguments (`{args[0]}`) in place of a block, or upgrade Caddy",
    );
    one.note = Some("Caddy says `unrecognized directive: {block}`".to_owned());
    one
}

/// Whether nothing is missing in a directive.
pub(super) fn is_whole(directive: &Directive) -> bool {
    !directive.partial && directive.children().iter().all(is_whole)
}

/// The routes that a block invokes. The recursion is as deep as blocks are nested.
fn invoked<'a>(block: &'a Directive, names: &mut Vec<&'a str>) {
    for line in block.children().iter().filter(|line| !line.conditional) {
        match (line.name(), line.args()) {
            ("invoke", [.., route]) if is_plain(route) => names.push(&route.text),
            _ => invoked(line, names),
        }
    }
}

/// One key for several sites of one listener (httptype.go, "ambiguous site definition").
fn duplicates(sites: &[Directive], found: &mut Vec<Refusal>) {
    let mut seen: HashMap<(&str, String), &Word> = HashMap::new();
    for site in sites.iter().filter(|site| !site.conditional) {
        let mut binds: Vec<&str> = Vec::new();
        let mut certain = !site.partial;
        for line in site.children().iter().filter(|line| line.name() == "bind") {
            certain &= !line.conditional && line.args().iter().all(is_plain);
            binds.extend(line.args().iter().map(|word| word.text.as_str()));
        }
        if !certain {
            continue;
        }
        let mut own: HashSet<&str> = HashSet::new();
        for word in &site.words {
            let key = word.text.trim_end_matches(',');
            let named = is_plain(word) && !key.is_empty() && !key.contains(['{', '}']);
            if !named || key.starts_with('(') || !own.insert(key) {
                continue;
            }
            match seen.get(&(key, binds.join(" "))) {
                Some(first) if first.span != word.span => {
                    let mut one = refusal(
                        word.span,
                        format!(
                            "Caddy refuses the whole file: `{key}` is the address of two sites"
                        ),
                        "the second",
                        "make one site of the two, or give each its own address or path",
                    );
                    one.also.push((first.span, "the first".to_owned()));
                    one.note = Some(format!("Caddy says `ambiguous site definition: {key}`"));
                    found.push(one);
                }
                Some(_) => {}
                None => {
                    seen.insert((key, binds.join(" ")), word);
                }
            }
        }
    }
}

/// A file without braces has one site; what looks like a second one is a directive.
fn second_site(site: &Directive, found: &mut Vec<Refusal>) {
    let mut lines = site.children().iter();
    let second = lines.find(|line| !site.braces && is_site(line));
    found.extend(second.map(|second| {
        let mut one = refusal(
            second.head,
            "Caddy refuses the whole file: the first site has no braces, so everything after it belongs to it".to_owned(),
            "a directive to Caddy, and no site",
            "put braces around each site's lines",
        );
        one.also.push((site.head, "has no braces".to_owned()));
        one.hides = true;
        one
    }));
}

struct Judge<'a> {
    version: Version,
    order: &'a Order,
    named_routes: &'a HashMap<String, Directive>,
    /// It judges a named route, and no site.
    is_named: bool,
    /// A global option names a provider of DNS.
    asks_dns: bool,
    /// The named matchers that are seen, outermost first.
    matchers: Vec<&'a str>,
    /// Nothing is missing in the site that could define one.
    whole: bool,
    found: &'a mut Vec<Refusal>,
}

impl<'a> Judge<'a> {
    /// Judges one block's directives. The recursion is as deep as blocks are nested, which
    /// expansion bounds.
    fn list(&mut self, list: &'a [Directive], within: Option<&str>) {
        let outer = self.matchers.len();
        // What the environment leaves empty makes the next word the first.
        let first = |line: &Directive| line.words.first().is_some_and(is_plain);
        self.whole &= list.iter().all(first);
        for line in list.iter().filter(|line| line.name().starts_with('@')) {
            if line.words.first().is_some_and(|word| !is_plain(word)) {
                self.whole = false;
                continue;
            }
            let certain = !line.conditional && !line.name().contains('{');
            if certain && self.matchers.contains(&line.name()) && self.whole {
                self.found.push(refusal(
                    line.head,
                    format!(
                        "Caddy refuses the whole file: the matcher `{}` is defined twice",
                        line.name()
                    ),
                    "the second definition",
                    "give it another name, or write both conditions into one block",
                ));
            }
            self.matchers.push(line.name());
            if certain {
                self.matcher(line, &line.words[1..]);
            }
        }
        for line in list {
            let name = line.name();
            if name.starts_with('@') || line.conditional {
                continue;
            }
            let plain = line.words.first().is_some_and(is_plain);
            let unordered = within.and_then(|within| blocks::unordered(line, within));
            if let Some(one) = unordered.filter(|_| plain) {
                self.found.push(one);
                continue;
            }
            self.directive(line);
            if matches!(name, "handle" | "handle_path" | "route" | "handle_errors") {
                self.list(line.children(), Some(name));
            }
        }
        self.matchers.truncate(outer);
    }

    /// One condition, or a block of them (caddyhttp/matchers.go).
    fn matcher(&mut self, line: &Directive, words: &[Word]) {
        let Some((kind, args)) = words.split_first() else {
            for condition in line.children().iter().filter(|line| !line.conditional) {
                self.matcher(condition, &condition.words);
            }
            return;
        };
        if !words.iter().all(is_plain) || kind.quote != Quote::None {
            return;
        }
        let name = kind.text.as_str();
        let odd = |takes: &str| {
            refusal(
                line.head,
                format!("Caddy refuses the whole file: a `{name}` matcher takes {takes}"),
                "more, or less, than that",
                "",
            )
        };
        let one = match (name, args) {
            ("not", args) => return self.matcher(line, args),
            ("header", args) => header(line, args, odd),
            ("path_regexp", [] | [_, _, _, ..]) => Some(odd("an expression, and a name before it")),
            ("header_regexp", [] | [_] | [_, _, _, _, ..]) => {
                Some(odd("a field and an expression, and a name before them"))
            }
            ("protocol", [] | [_, _, ..]) => Some(odd("one protocol")),
            ("vars", [] | [_]) => Some(odd("a name and the values to compare with")),
            ("query", args) => args
                .iter()
                .find(|word| !word.text.is_empty() && !word.text.contains('='))
                .map(|_| odd("pairs: `key=value`, or `key=*` for any")),
            _ => None,
        };
        self.found.extend(one);
    }

    fn directive(&mut self, line: &'a Directive) {
        let name = line.name();
        let plain = line.words.first().is_some_and(is_plain);
        if !plain {
            return;
        }
        if name == "{block}" && self.version < [2, 9, 0] {
            self.found.push(block_of_import(line));
            return;
        }
        // No plugin's directive is called so: a conflict's marker, a page, rubble.
        let odd = |c: char| !c.is_alphabetic() && !matches!(c, '_' | '{' | '$' | '…' | '.');
        if name.starts_with(odd) {
            let mut one = refusal(
                line.head,
                format!("Caddy refuses the whole file: `{name}` is no directive"),
                "read as the name of a directive",
                "look at the line before it: is a brace missing, or a line broken apart?",
            );
            one.note = Some(format!("Caddy says `unrecognized directive: {name}`"));
            one.hides = true;
            self.found.push(one);
            return;
        }
        let ordered = self.order.position(name).is_some();
        if let Some(one) = blocks::directive(line, ordered).filter(|_| self.order.certain) {
            self.found.push(one);
            return;
        }
        let version = self.version;
        match name {
            "tls" => {
                let asked = self.asks_dns || !self.whole || version < [2, 10, 1];
                let lacks = || blocks::dns(line).filter(|_| !asked);
                self.found.extend(blocks::tls(line).or_else(lacks));
            }
            "handle_errors" => self.found.extend(blocks::codes(line, version)),
            _ => {}
        }
        blocks::lines(name, line.children(), version, self.found);
        if !Order::is_default(name) {
            return;
        }
        let args = self.without_matcher(line);
        if !line.args().iter().all(is_plain) {
            return;
        }
        let since = DIRECTIVES_SINCE.iter().find(|(own, _)| *own == name);
        if let Some((_, since)) = since.filter(|(_, since)| self.version < *since) {
            self.found.push(refusal(
                line.head,
                format!(
                    "this Caddy refuses the whole file: the directive `{name}` came with {}.{}.{}",
                    since[0], since[1], since[2]
                ),
                "not known to the target version",
                match name {
                    "basic_auth" => "write `basicauth`, as it was called before",
                    _ => "leave it out, or upgrade Caddy",
                },
            ));
            return;
        }
        let known = DIRECTIVES.iter().find(|(own, ..)| *own == name);
        if let Some(mut one) = known.and_then(|known| arguments(line.head, args, known)) {
            if matches!(name, "handle" | "route")
                && let Some(word) = args.first()
            {
                one.help = format!(
                    "a path begins with a slash, and several belong into a named matcher:\n\n@name path /{0}\n{name} @name",
                    word.text.trim_start_matches('/')
                );
            }
            self.found.push(one);
            return;
        }
        let one = match (name, args) {
            ("handle_path", _) => {
                let path =
                    matches!(line.args(), [only] if only.text.starts_with('/') || only.text == "*");
                (!path).then(|| {
                    refusal(
                        line.head,
                        "Caddy refuses the whole file: `handle_path` takes one path, and nothing else".to_owned(),
                        "no path, or more than one",
                        "for a named matcher write `handle` with `uri strip_prefix` in it",
                    )
                })
            }
            ("redir", [_, code, ..]) => (!is_redirect(&code.text)).then(|| {
                refusal(
                    code.span,
                    format!(
                        "Caddy refuses the whole file: `redir` has no status `{}`",
                        code.text
                    ),
                    "no status of a redirect",
                    "write one of 301, 302, 303, 307, 308, or `permanent`, `temporary`, `html`",
                )
            }),
            ("uri", [what, ..]) => {
                let (least, most) = match what.text.as_str() {
                    "strip_prefix" | "strip_suffix" => (2, 2),
                    "replace" => (3, 4),
                    "path_regexp" => (3, 3),
                    "query" => (0, usize::MAX),
                    // None of these.
                    _ => (usize::MAX, 0),
                };
                (args.len() < least || args.len() > most).then(|| {
                    refusal(
                        line.head,
                        format!(
                            "Caddy refuses the whole file: `uri {}` takes other words",
                            what.text
                        ),
                        "too many, or too few",
                        "",
                    )
                })
            }
            ("map", args) => blocks::map(line, args),
            ("vars" | "basic_auth" | "basicauth", args) => blocks::pairs(line, args),
            ("request_header", [field, ..]) if field.text.starts_with('?') => Some(refusal(
                line.head,
                "Caddy refuses the whole file: `?` is for the directive `header`, and not for `request_header`".to_owned(),
                "a default is for answers only",
                "leave the `?` out",
            )),
            ("header", [_, ..]) if !line.children().is_empty() => Some(refusal(
                line.head,
                "Caddy refuses the whole file: `header` has fields in its line and in its block".to_owned(),
                "both",
                "write all of them into the block",
            )),
            ("forward_auth", _)
                if version >= [2, 11, 7] && blocks::second(line.children(), "uri").is_some() =>
            {
                blocks::second(line.children(), "uri").map(|second| {
                    refusal(
                        second.head,
                        "Caddy refuses the whole file: `forward_auth` asks for two paths"
                            .to_owned(),
                        "the second",
                        "delete one of the two lines",
                    )
                })
            }
            ("intercept", _) => blocks::second_matcher(line),
            ("forward_auth", _) => {
                let asks = line.children().iter().any(|line| line.name() == "uri");
                (!asks && self.whole).then(|| {
                    refusal(
                        line.head,
                        "Caddy refuses the whole file: `forward_auth` asks for no path".to_owned(),
                        "no `uri` in its block",
                        "name the path at which the gateway answers, as in `uri /verify`",
                    )
                })
            }
            ("invoke", [route]) => {
                // A named route that no site invokes may invoke what it likes.
                let missing = || self.undefined(&route.text);
                let missing = (self.whole && !self.is_named).then(missing).flatten();
                missing.map(|name| {
                    refusal(
                        route.span,
                        format!("Caddy refuses the whole file: no route is called `{name}`"),
                        match name == route.text {
                            true => "defined nowhere",
                            false => "invokes what is defined nowhere",
                        },
                        format!("define it before the sites:\n\n&({name}) {{\n\t…\n}}"),
                    )
                })
            }
            _ => None,
        };
        self.found.extend(one);
    }

    /// The first named route that is missing where this one is invoked; 2.11.7 is the first to
    /// ask for those that named routes invoke (httptype.go, serversFromPairings).
    fn undefined(&self, name: &str) -> Option<String> {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut asked = vec![name];
        while let Some(name) = asked.pop() {
            let Some((name, route)) = self.named_routes.get_key_value(name) else {
                return Some(name.to_owned());
            };
            if self.version >= [2, 11, 7] && seen.insert(name) && is_whole(route) {
                invoked(route, &mut asked);
            }
        }
        None
    }

    /// The arguments after the matcher; says so if that is defined nowhere.
    fn without_matcher(&mut self, line: &'a Directive) -> &'a [Word] {
        let args = line.args();
        let Some((first, rest)) = args.split_first() else {
            return args;
        };
        let name = line.name();
        if name == "try_files" || matches!(name, "rewrite" | "root") && rest.is_empty() {
            return args;
        }
        let text = first.text.as_str();
        if text.starts_with('@') {
            let certain = self.whole && is_plain(first) && !text.contains(['{', '}']);
            if certain && text.len() > 1 && name != "handle_path" && !self.matchers.contains(&text)
            {
                self.found.push(refusal(
                    first.span,
                    format!("Caddy refuses the whole file: no matcher is called `{text}`"),
                    "defined nowhere",
                    format!("define it in the same site, as in `{text} path /ws /ws/*`"),
                ));
            }
            return rest;
        }
        match text.starts_with('/') || text == "*" && first.quote == Quote::None {
            true => rest,
            false => args,
        }
    }
}

/// A host that a matcher names twice (matchers.go, MatchHost.Provision). The recursion is as deep
/// as the matcher is nested.
pub(super) fn repeated(tests: &[Test]) -> Option<Refusal> {
    tests.iter().find_map(|test| match test {
        Test::Host(hosts) => {
            let mut seen: HashSet<String> = HashSet::new();
            let mut plain = hosts.iter().filter(|word| is_plain(word));
            let twice = plain.find(|word| !seen.insert(word.text.to_ascii_lowercase()))?;
            Some(refusal(
                twice.span,
                format!(
                    "Caddy refuses the whole file: the matcher names the host `{}` twice",
                    twice.text
                ),
                "once more",
                "delete one of the two",
            ))
        }
        Test::Not(sets) | Test::Any(sets) => sets.iter().find_map(|set| repeated(set)),
        _ => None,
    })
}

/// `header Field value`, `header !Field`, each once (matchers.go, MatchHeader).
fn header(line: &Directive, args: &[Word], odd: impl Fn(&str) -> Refusal) -> Option<Refusal> {
    let texts: Vec<&str> = args.iter().map(|word| word.text.as_str()).collect();
    let right = reads(&texts);
    if right {
        return None;
    }
    let name = line.name();
    let help = match texts.as_slice() {
        [only] => format!("name a value, or `*` for any:\n\nheader {only} *"),
        [_, _, _, ..] if name.starts_with('@') && line.arg(0) == Some("header") => {
            let lines: Vec<String> = texts
                .chunks(2)
                .map(|pair| format!("\theader {}", pair.join(" ")))
                .collect();
            format!("one field a line:\n\n{name} {{\n{}\n}}", lines.join("\n"))
        }
        _ => "one field and one value a line".to_owned(),
    };
    Some(Refusal {
        help,
        ..odd("one field and one value")
    })
}

/// Whether the loop of MatchHeader comes to its end: after a field and its value it takes the next
/// word for the matcher's name once more.
fn reads(mut args: &[&str]) -> bool {
    loop {
        args = match args {
            [] => return false,
            [field] => return field.starts_with('!'),
            [field, ..] if field.starts_with('!') => return false,
            [_, _] => return true,
            [_, _, _, rest @ ..] => rest,
        };
    }
}

/// What `redir` takes for a status (builtins.go, parseRedir).
fn is_redirect(code: &str) -> bool {
    let number = code.parse::<u16>();
    matches!(code, "permanent" | "temporary" | "html")
        || code.contains('{')
        || number.is_ok_and(|number| (300..400).contains(&number) || number == 401)
}

/// Addresses that are none for a site (httpcaddyfile/addresses.go).
pub(super) fn addresses(given: Option<Version>, site: &Site) -> Vec<Refusal> {
    let silent = given.is_some_and(|version| version < [2, 8, 0]);
    site.addresses
        .iter()
        .filter(|address| !address.text.contains(['{', '$']))
        .filter_map(|address| {
            let (scheme, rest) = match address.text.split_once("://") {
                Some((scheme, rest)) => (scheme, rest),
                None => ("", address.text.as_str()),
            };
            if address.text.contains(',') {
                return Some(refusal(
                    address.span,
                    "Caddy refuses the whole file: an address holds no comma".to_owned(),
                    "one address to Caddy",
                    format!(
                        "write a blank after it: `{}`",
                        address.text.replace(',', ", ")
                    ),
                ));
            }
            // A range is an upstream's alone (ParseAddress).
            let range = || {
                let (_, port) = rest.split('/').next()?.rsplit_once(':')?;
                let is_range = port.split('-').all(|port| port.parse::<u16>().is_ok());
                (is_range && port.contains('-')).then_some(port)
            };
            if let Some(port) = bad_port(rest).or_else(range) {
                return Some(refusal(
                    address.span,
                    format!("Caddy refuses the whole file: `{port}` is no port"),
                    "no port",
                    "write a number from 1 to 65535",
                ));
            }
            let against = match (scheme, address.port) {
                ("http", Some(443)) => Some("`http://` and port 443"),
                ("https", Some(80)) => Some("`https://` and port 80"),
                _ => None,
            };
            if let Some(against) = against {
                return Some(refusal(
                    address.span,
                    format!("Caddy refuses the whole file: {against} contradict each other"),
                    "scheme and port violate convention",
                    "leave one of the two out",
                ));
            }
            let http = match scheme {
                _ if silent => return None,
                "" | "http" | "https" => return None,
                "ws" => "http",
                "wss" => "https",
                other => {
                    let mut one = refusal(
                        address.span,
                        format!(
                            "Caddy from 2.8 on refuses the whole file: a site is no `{other}://`"
                        ),
                        "no scheme of a site",
                        "write `http://`, `https://`, or no scheme at all",
                    );
                    one.by_version = given.is_none();
                    return Some(one);
                }
            };
            let mut one = refusal(
                address.span,
                format!("Caddy from 2.8 on refuses the whole file: a site is no `{scheme}://`"),
                "a scheme for browsers only",
                format!("a handshake arrives over HTTP; write `{http}`:\n\n{http}://{rest}"),
            );
            one.by_version = given.is_none();
            Some(one)
        })
        .collect()
}

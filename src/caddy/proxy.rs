//! `reverse_proxy`: whom it dials and which headers reach them.

mod header;

use std::collections::HashSet;

pub use header::{Change, Evaluated, HANDSHAKE, HeaderLine, evaluate, opens};
pub(super) use header::{apply, is_single, rebuild};

use super::address::split_port;
use super::expand::{Directive, Word};
use super::placeholder::{Scene, fill};
use super::response::ResponseHandler;
use crate::handshake::{Header, Peer, Request, known_endpoint};
use crate::project::Version;
use crate::source::Span;
use crate::value::Value;

/// Addresses of one proxy for each of which its headers are evaluated.
const MAX_ADDRESSES: usize = 64;

/// The scheme of an upstream as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// None: plain HTTP, unless the transport says `tls`.
    None,
    /// `http://`.
    Http,
    /// `https://`.
    Https,
    /// `h2c://` and what else there is.
    Other(String),
}

/// One upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Where it is written.
    pub span: Span,
    /// As written, after expansion.
    pub text: String,
    /// Its scheme.
    pub scheme: Scheme,
    /// Host or address, lower case; `None` for a socket, a placeholder or a hidden value.
    pub host: Option<String>,
    /// The port that is dialled; `None` where it is a range or hidden.
    pub port: Option<u16>,
    /// Whether the port was written.
    pub has_port: bool,
    /// The word, where placeholders give its address.
    by_request: Option<Word>,
}

impl Upstream {
    /// Reads an upstream (modules/caddyhttp/reverseproxy/addresses.go).
    fn parse(word: &Word) -> Self {
        let text = word.text.clone();
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some((scheme, rest)) => (Scheme::Other(scheme.to_owned()), rest),
            None => (Scheme::None, text.as_str()),
        };
        let socket = ["unix/", "unix+h2c/", "fd/", "udp/"]
            .iter()
            .any(|network| rest.starts_with(network));
        let rest = rest.strip_prefix("tcp/").unwrap_or(rest);
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port, odd) = split_port(authority);
        let hidden =
            socket || word.unknown.is_some() || text.contains(['{', '}']) || host.is_empty();
        let has_port = port.is_some() || odd;
        let default = if scheme == Scheme::Https { 443 } else { 80 };
        Self {
            span: word.span,
            host: (!hidden).then(|| host.trim_matches(['[', ']']).to_ascii_lowercase()),
            port: if hidden || odd {
                None
            } else {
                Some(port.unwrap_or(default))
            },
            has_port,
            // addresses.go: with a scheme there may be none.
            by_request: (word.unknown.is_none() && text.contains('{') && scheme == Scheme::None)
                .then(|| word.clone()),
            scheme,
            text,
        }
    }

    /// The address that placeholders give for one request (hosts.go, fillDialInfo); `None` where
    /// none do, or more than the handshake decides it.
    fn by_request(&self, scene: &Scene<'_>) -> Option<Self> {
        let word = self.by_request.as_ref()?;
        let text = fill(&word.text, scene)?;
        let dialled = Self::parse(&Word {
            text,
            ..word.clone()
        });
        Some(Self {
            // No port is added to what a request gives.
            port: dialled.port.filter(|_| dialled.has_port),
            host: dialled.host.filter(|_| !dialled.text.contains("://")),
            by_request: None,
            ..dialled
        })
    }

    /// The path of the Unix socket that is dialled (`unix//run/app.sock`).
    pub fn socket(&self) -> Option<&str> {
        let rest = self
            .text
            .split_once("://")
            .map_or(self.text.as_str(), |(_, rest)| rest);
        let path = rest
            .strip_prefix("unix/")
            .or_else(|| rest.strip_prefix("unix+h2c/"))?;
        (self.host.is_none() && !path.contains(['{', '}'])).then_some(path)
    }
}

/// What HTTP a proxy speaks to its upstreams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// HTTP/1.1, which carries an Upgrade.
    #[default]
    Http1,
    /// HTTP/2 without TLS, which carries none.
    H2c,
    /// HTTP/3, which carries none.
    Http3,
}

/// A `reverse_proxy`.
#[derive(Clone, Debug, Default)]
pub struct Proxy {
    /// Whom it dials, in order.
    pub upstreams: Vec<Upstream>,
    /// `dynamic`: upstreams that the files do not show.
    pub dynamic: bool,
    /// The `header_up` lines.
    pub header_up: Vec<HeaderLine>,
    /// The transport speaks TLS whatever the scheme.
    pub tls_transport: bool,
    /// The name that `tls_server_name` asks for.
    pub tls_name: Option<Value>,
    /// `rewrite` or `method` in it together with `handle_response`: a subrequest, such as for
    /// authentication, whose answer is not the client's.
    pub is_subrequest: bool,
    /// Something in it could not be resolved.
    pub partial: bool,
    /// A line of it that a template may leave out, and on which the handshake depends.
    pub conditional: Option<Span>,
    /// The lines of its block, each with its own block.
    pub lines: Vec<Span>,
    /// `handle_response` and `replace_status`, in the order in which they are asked.
    pub responses: Vec<ResponseHandler>,
    /// `lb_policy first`, without checks that could take out the first.
    pub takes_first: bool,
    /// `response_buffers` or `buffer_responses`, if the answer is held back.
    pub buffers: Option<Span>,
    /// `transport http { versions … }`, and what stands there.
    pub versions: Option<(Span, Vec<String>)>,
    /// `rewrite`: the URI that the upstream is asked for.
    pub rewrite: Option<Word>,
    /// `method`.
    pub method: Option<Word>,
    /// `trusted_proxies`.
    pub trust: Trust,
    /// `unhealthy_status 101`, or a class that holds it, with `fail_duration`.
    pub unhealthy: Option<Span>,
    /// `health_uri`, where only a good answer to it will do: its line and the path that is asked.
    health: Option<(Span, String)>,
}

impl Proxy {
    /// Whether that address is the one that it dials, and no other.
    pub fn dials(&self, (host, port): &(String, u16)) -> bool {
        !self.dynamic
            && !self.upstreams.is_empty()
            && self.upstreams.iter().all(|upstream| {
                upstream.host.as_ref() == Some(host) && upstream.port == Some(*port)
            })
    }

    /// Reads the directive; `args` are its arguments without the matcher.
    pub(super) fn parse(directive: &Directive, args: &[Word]) -> Self {
        let mut proxy = Self {
            upstreams: args.iter().map(Upstream::parse).collect(),
            lines: directive.children().iter().map(|line| line.span).collect(),
            partial: directive.partial,
            ..Self::default()
        };
        let mut fails = false;
        // Whether an error is a good answer, or another program is asked.
        let mut lenient = false;
        for line in directive.children() {
            proxy.partial |= line.partial;
            if line.conditional {
                match line.name() {
                    name if name.starts_with("health_") => lenient = true,
                    "to" => proxy.dynamic = true,
                    "header_up" => {
                        let touches =
                            HeaderLine::parse(line.args(), line.head).is_some_and(|line| {
                                line.field == "*" || HANDSHAKE.iter().any(|name| line.touches(name))
                            });
                        if touches {
                            proxy.conditional.get_or_insert(line.head);
                        }
                    }
                    "transport" | "method" | "rewrite" | "handle_response" => {
                        proxy.conditional.get_or_insert(line.head);
                    }
                    _ => {}
                }
                continue;
            }
            match line.name() {
                "to" => proxy
                    .upstreams
                    .extend(line.args().iter().map(Upstream::parse)),
                "dynamic" => proxy.dynamic = true,
                "header_up" => proxy
                    .header_up
                    .extend(HeaderLine::parse(line.args(), line.head)),
                "method" => proxy.method = line.args().first().cloned(),
                "rewrite" => proxy.rewrite = line.args().first().cloned(),
                "transport" => {
                    for option in line.children() {
                        if option.name() == "tls_server_name" {
                            let name = option.args().first().and_then(Word::known);
                            let why = "a placeholder names it";
                            proxy.tls_name = Some(match name.filter(|name| !name.contains('{')) {
                                Some(name) => Value::Known(name.to_ascii_lowercase()),
                                None => Value::Unknown(why.to_owned()),
                            });
                        }
                        match option.name() {
                            "tls" => proxy.tls_transport = true,
                            name if name.starts_with("tls_") => proxy.tls_transport = true,
                            "versions" => {
                                let names = option.args().iter().map(|word| word.text.clone());
                                proxy.versions = Some((option.head, names.collect()));
                            }
                            _ => {}
                        }
                    }
                }
                // Without a limit, and with `unlimited`, everything is held.
                "response_buffers" if line.arg(0) != Some("0") => proxy.buffers = Some(line.head),
                "buffer_responses" => proxy.buffers = Some(line.head),
                "trusted_proxies" => proxy.trust.read(line.args()),
                "lb_policy" => proxy.takes_first = line.arg(0) == Some("first"),
                "fail_duration" => fails = true,
                "health_uri" => {
                    let path = line.args().first().and_then(Word::known);
                    let path = path.map(|path| path.split('?').next().unwrap_or(path));
                    proxy.health = path.map(|path| (line.head, path.to_owned()));
                }
                "health_status" => {
                    lenient |= line
                        .args()
                        .first()
                        .is_some_and(|word| word.unknown.is_some() || word.text.starts_with('4'));
                }
                "health_headers" | "health_port" | "health_upstream" => lenient = true,
                "unhealthy_status" => {
                    let switching = |word: &Word| matches!(word.text.as_str(), "101" | "1xx");
                    proxy.unhealthy = line.args().iter().any(switching).then_some(line.head);
                }
                _ => {}
            }
        }
        proxy.unhealthy = proxy.unhealthy.filter(|_| fails);
        let checked = proxy.health.is_some() || lenient || proxy.unhealthy.is_some();
        proxy.takes_first &= !checked && !proxy.partial && !proxy.dynamic;
        // healthchecks.go asks the upstreams that are written, not those of `dynamic`.
        proxy.health = proxy.health.filter(|_| !lenient && !proxy.dynamic);
        proxy
    }

    /// The proxy with the addresses that placeholders give for one request; `None` where none do.
    ///
    /// # Errors
    /// The upstream whose address then is none that can be dialled.
    pub(super) fn by_request(&self, scene: &Scene<'_>) -> Result<Option<Self>, Span> {
        let given: Vec<Option<Upstream>> = self
            .upstreams
            .iter()
            .map(|upstream| upstream.by_request(scene))
            .collect();
        if given.iter().all(Option::is_none) {
            return Ok(None);
        }
        let wrong = |upstream: &&Upstream| {
            upstream.socket().is_none() && (upstream.host.is_none() || upstream.port.is_none())
        };
        if let Some(upstream) = given.iter().flatten().find(wrong) {
            return Err(upstream.span);
        }
        let mut proxy = self.clone();
        for (upstream, given) in proxy.upstreams.iter_mut().zip(given) {
            if let Some(given) = given {
                *upstream = given;
            }
        }
        Ok(Some(proxy))
    }

    /// The `health_uri` that asks an endpoint for sockets, `asked` or a well-known one, with a
    /// plain GET, and the path that it asks; a page may be at `/` as well.
    pub fn checks_socket(&self, asked: &str) -> Option<(Span, &str)> {
        let (span, path) = self.health.as_ref()?;
        let socket = path == asked && path.len() > 1 || known_endpoint(path).is_some();
        socket.then_some((*span, path.as_str()))
    }

    /// Says what only all of it together shows.
    pub(super) fn settle(&mut self) {
        let changed = self.method.is_some() || self.rewrite.is_some();
        let handles = |response: &ResponseHandler| {
            let good = |answers: &super::response::Answers| answers.takes_status(200);
            response.passes && response.answers.as_ref().is_none_or(good)
        };
        self.is_subrequest = changed && self.responses.iter().any(handles);
    }

    /// What it speaks to its upstreams.
    pub fn dialect(&self, version: Version) -> Dialect {
        let versions = self.versions.as_ref().map_or(&[][..], |(_, names)| names);
        let has = |name: &str| versions.iter().any(|own| own == name);
        let clear = |upstream: &Upstream| upstream.scheme != Scheme::Https;
        let h2c = |upstream: &Upstream| {
            matches!(&upstream.scheme, Scheme::Other(scheme) if scheme == "h2c")
                || upstream.text.starts_with("unix+h2c/")
        };
        if versions == ["3"] && version >= [2, 8, 0] {
            return Dialect::Http3;
        }
        let tls = self.tls_transport;
        if !tls
            && (self.upstreams.iter().any(h2c) || has("h2c") && self.upstreams.iter().all(clear))
        {
            return Dialect::H2c;
        }
        Dialect::Http1
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.tls_transport
            || self
                .upstreams
                .iter()
                .any(|upstream| upstream.scheme == Scheme::Https)
    }

    /// The headers of `request` as they reach the upstream.
    ///
    /// reverseproxy.go rebuilds Connection and Upgrade from what came in, and only then runs
    /// `header_up`: additions first, then what is set, then deletions, then replacements, wherever
    /// the lines stand (headers.go, `HeaderOps.ApplyTo`).
    pub fn headers(&self, request: &Request, defined: &HashSet<String>) -> Vec<Header> {
        let scene = Scene {
            defined,
            ..Scene::bare(request)
        };
        let mut sent = rebuild(request);
        apply(&self.header_up, &scene, &mut sent);
        sent
    }

    /// The same within a site, with what Caddy adds and the Host that is asked for.
    ///
    /// reverseproxy.go, proxyLoopIteration: `header_up` runs anew for each upstream that is tried,
    /// after its address was put into `{http.reverse_proxy.upstream.hostport}`.
    pub(super) fn sent(&self, scene: &Scene<'_>, version: Version, trust: Trust) -> Vec<Header> {
        let addresses = match self.hostport() {
            Value::OneOf(addresses) if addresses.len() <= MAX_ADDRESSES => addresses,
            dialled => return self.sent_to(&dialled, scene, version, trust),
        };
        let each = addresses.into_iter().map(|address| {
            let mut found = scene.found.clone();
            found.insert("upstream_hostport".to_owned(), Some(address.clone()));
            let scene = Scene {
                found: &found,
                ..*scene
            };
            self.sent_to(&Value::Known(address), &scene, version, trust)
        });
        // The same lines in the same order: only their values depend on the address.
        each.reduce(|all, one| {
            let lines = all.into_iter().zip(one);
            lines
                .map(|(line, other)| Header {
                    value: either(line.value, other.value),
                    ..line
                })
                .collect()
        })
        .unwrap_or_default()
    }

    /// What is sent to the upstream at that address.
    fn sent_to(
        &self,
        dialled: &Value,
        scene: &Scene<'_>,
        version: Version,
        trust: Trust,
    ) -> Vec<Header> {
        let request = scene.request;
        let mut sent = rebuild(request);
        let known = |value: Option<String>| {
            value.map_or_else(
                || Value::Unknown("nothing says what it is".to_owned()),
                Value::Known,
            )
        };
        let line = |name: &str, value: Value| Header {
            name: name.to_owned(),
            value,
            from: None,
        };
        let host = super::placeholder::fill("{hostport}", scene);
        // reverseproxy.go, addForwardedHeaders: what the client says counts only where it is a
        // trusted proxy.
        let trusted = trust.and(self.trust).counts(request.peer);
        let scheme = if request.tls { "https" } else { "http" };
        for (name, value) in [
            ("X-Forwarded-For", known(None)),
            ("X-Forwarded-Proto", Value::Known(scheme.to_owned())),
            ("X-Forwarded-Host", known(host.clone())),
        ] {
            let is_said = name != "X-Forwarded-For" && request.lines(name).next().is_some();
            let value = match trusted {
                Some(true) if is_said => continue,
                None if is_said => {
                    let same = |line: &Header| line.value == value;
                    if request.lines(name).all(same) {
                        continue;
                    }
                    let why = "whether Caddy trusts the address that says it is not in the files";
                    Value::Unknown(why.to_owned())
                }
                _ => value,
            };
            sent.retain(|header| !header.name.eq_ignore_ascii_case(name));
            sent.push(line(name, value));
        }
        // From 2.11 on the upstream's own name, where it is spoken to over TLS.
        let own = if version >= [2, 11, 0] && self.is_tls() {
            dialled.clone()
        } else {
            known(host)
        };
        sent.push(line("Host", own));
        apply(&self.header_up, scene, &mut sent);
        // ApplyToRequest: of several the last one counts; without one Go asks for the address.
        let last = sent
            .iter()
            .rposition(|header| header.name.eq_ignore_ascii_case("host"));
        let last = last.map_or_else(|| line("Host", dialled.clone()), |at| sent[at].clone());
        sent.retain(|header| !header.name.eq_ignore_ascii_case("host"));
        sent.push(last);
        sent
    }

    /// The address that is dialled, as `{upstream_hostport}` gives it.
    pub(super) fn hostport(&self) -> Value {
        let mut known: Vec<String> = Vec::new();
        for upstream in &self.upstreams {
            let (Some(host), Some(port)) = (&upstream.host, upstream.port) else {
                return Value::Unknown("the files do not show the upstream".to_owned());
            };
            let address = if host.contains(':') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            };
            if !known.contains(&address) {
                known.push(address);
            }
        }
        match known.len() {
            _ if self.dynamic => Value::Unknown("the upstreams are dynamic".to_owned()),
            0 => Value::Unknown("no upstream is written".to_owned()),
            1 => Value::Known(known.swap_remove(0)),
            _ => Value::OneOf(known),
        }
    }
}

/// Whose X-Forwarded headers count: those of addresses in `trusted_proxies`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Those of all addresses.
    everybody: bool,
    /// Those of private ones (`private_ranges`; modules/caddyhttp/ip_range.go).
    private: bool,
    /// Those of some that only the reader of the ranges knows.
    others: bool,
}

impl Trust {
    /// Reads `trusted_proxies`, a proxy's own or that of the global options, with its module.
    pub fn read(&mut self, ranges: &[Word]) {
        for range in ranges {
            match range.known() {
                Some("static") => {}
                Some("private_ranges") => self.private = true,
                Some("0.0.0.0/0") => self.everybody = true,
                _ => self.others = true,
            }
        }
    }

    /// Both of them.
    const fn and(self, other: Self) -> Self {
        Self {
            everybody: self.everybody || other.everybody,
            private: self.private || other.private,
            others: self.others || other.others,
        }
    }

    /// Whether it counts what `peer` says; `None` where that is not to be known.
    fn counts(self, peer: Peer) -> Option<bool> {
        match peer {
            _ if self.everybody => Some(true),
            _ if self.private && peer.is_private() => Some(true),
            _ if self.others => None,
            Peer::Unknown if self.private => None,
            _ => Some(false),
        }
    }
}

/// A header's value where it is one for one upstream and the other for another.
fn either(one: Value, other: Value) -> Value {
    match (one, other) {
        (one, other) if one == other => one,
        (Value::Unknown(why), _) | (_, Value::Unknown(why)) => Value::Unknown(why),
        (one, other) => {
            let mut all: Vec<String> = one.possible().unwrap_or_default().to_vec();
            for value in other.possible().unwrap_or_default() {
                if !all.contains(value) {
                    all.push(value.clone());
                }
            }
            Value::OneOf(all)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Browser;
    use crate::source::SourceId;
    use crate::syntax::Quote;

    fn word(text: &str) -> Word {
        Word {
            text: text.to_owned(),
            quote: Quote::None,
            span: Span::new(SourceId(0), 0..text.len()),
            unknown: None,
            variable: None,
        }
    }

    /// Which handshake headers these `header_up` lines destroy.
    fn broken(lines: &[&[&str]]) -> Vec<&'static str> {
        let proxy = Proxy {
            header_up: lines
                .iter()
                .filter_map(|line| {
                    let words: Vec<Word> = line.iter().map(|text| word(text)).collect();
                    HeaderLine::parse(&words, word("").span)
                })
                .collect(),
            ..Proxy::default()
        };
        let mut broken: Vec<&str> = Vec::new();
        for browser in Browser::ALL {
            let request = Request::handshake(browser, true, "a.test", 443, "/ws");
            let sent = proxy.headers(&request, &HashSet::new());
            broken.extend(
                HANDSHAKE
                    .iter()
                    .filter(|name| opens(&sent, &request, name) == Some(false)),
            );
        }
        broken.dedup();
        broken.sort_unstable();
        broken.dedup();
        broken
    }

    #[test]
    fn header_up_destroys_what_the_server_was_measured_to_lose() {
        let cases: &[(&[&[&str]], &[&str])] = &[
            (&[&["Connection", "{>Connection}"]], &["Connection"]),
            (&[&["Upgrade", "{>Upgrade}"]], &["Upgrade"]),
            (
                &[
                    &["Upgrade", "$http_upgrade"],
                    &["Connection", "$connection_upgrade"],
                ],
                &["Connection", "Upgrade"],
            ),
            (&[&["-Connection"]], &["Connection"]),
            (&[&["-Sec-WebSocket-Key"]], &["Sec-WebSocket-Key"]),
            (
                &[&["-Sec-*"]],
                &["Sec-WebSocket-Key", "Sec-WebSocket-Version"],
            ),
            (
                &[&["-*"]],
                &[
                    "Connection",
                    "Sec-WebSocket-Key",
                    "Sec-WebSocket-Version",
                    "Upgrade",
                ],
            ),
            (&[&["Connection", "close"]], &["Connection"]),
            (&[&["Connection"]], &["Connection"]),
            (&[&["Connection", "Upgrade", "close"]], &["Connection"]),
            (&[&["Connection", "(?i)upgrade", "close"]], &["Connection"]),
            (&[&[">Connection", "close"]], &["Connection"]),
            (&[&["Upgrade", "h2c"]], &["Upgrade"]),
            (
                &[&["+Sec-WebSocket-Version", "13"]],
                &["Sec-WebSocket-Version"],
            ),
            // Deletions run after what is set, wherever they stand.
            (
                &[&["-Connection"], &["Connection", "Upgrade"]],
                &["Connection"],
            ),
        ];
        for (lines, expected) in cases {
            assert_eq!(broken(lines), *expected, "{lines:?}");
        }
    }

    #[test]
    fn harmless_header_up_lines_leave_the_handshake_whole() {
        let cases: &[&[&[&str]]] = &[
            &[
                &["Connection", "{http.request.header.Connection}"],
                &["Upgrade", "{http.request.header.Upgrade}"],
            ],
            &[&["Connection", "{header.connection}"]],
            &[&["Connection", "upgrade"]],
            &[&["Connection", "Upgrade, keep-alive"]],
            &[&["Upgrade", "WebSocket"]],
            &[&["+Connection", "Upgrade"]],
            &[&["+Upgrade", "websocket"]],
            &[&["-Sec-WebSocket-Extensions"]],
            &[&["-Sec-WebSocket-Protocol"]],
            &[&["-Origin"]],
            &[&["Host", "{upstream_hostport}"]],
            &[&["X-Forwarded-Proto", "{>X-Forwarded-Proto}"]],
            &[&["HTTP_UPGRADE", "websocket"]],
            &[&["Connection", "{http.request.header.Connection}", "Upgrade"]],
        ];
        for lines in cases {
            assert!(broken(lines).is_empty(), "{lines:?}");
        }
    }

    #[test]
    fn upstreams_have_the_ports_that_caddy_dials() {
        for (text, host, port) in [
            ("backend", Some("backend"), Some(80)),
            ("app:8000", Some("app"), Some(8000)),
            ("https://app.test", Some("app.test"), Some(443)),
            ("http://App.Test", Some("app.test"), Some(80)),
            ("app.test:443", Some("app.test"), Some(443)),
            ("unix//run/app.sock", None, None),
            ("[::1]:8000", Some("::1"), Some(8000)),
            ("127.0.0.1:8000-8004", Some("127.0.0.1"), None),
            ("{http.vars.backend}", None, None),
        ] {
            let upstream = Upstream::parse(&word(text));
            assert_eq!(
                (upstream.host.as_deref(), upstream.port),
                (host, port),
                "{text}"
            );
        }
    }
}

//! The handshake: the GET that opens a WebSocket, and the hops that it meets.
//!
//! RFC 6455, section 4. Anything but 101 is a dead socket: a browser follows no redirect in a
//! handshake and shows the page only close code 1006.

mod judge;
mod route;

pub use judge::{Judged, judge, judge_leniently};
pub use route::{Endpoint, Evidence, endpoints, is_companion, is_plain_http, known_endpoint};

use std::collections::BTreeSet;

use crate::source::{Source, Span};
use crate::value::Value;

/// Whose handshake it is. Browsers differ in one header that configurations stumble over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Browser {
    /// Sends `Connection: Upgrade`. Safari and Edge do the same.
    Chrome,
    /// Sends `Connection: keep-alive, Upgrade`.
    Firefox,
}

impl Browser {
    /// Both forms; a configuration must let both through.
    pub const ALL: [Self; 2] = [Self::Chrome, Self::Firefox];

    /// The Connection header that it sends.
    pub const fn connection(self) -> &'static str {
        match self {
            Self::Chrome => "Upgrade",
            Self::Firefox => "keep-alive, Upgrade",
        }
    }

    /// Its name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chrome => "Chrome",
            Self::Firefox => "Firefox",
        }
    }
}

/// A header line as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name as written; names compare without case.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// What set it; `None` where the client did.
    pub from: Option<Span>,
}

/// The version of HTTP that carries a request. An Upgrade needs HTTP/1.1 (RFC 9110, 7.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2: no Upgrade; only the extended CONNECT of RFC 8441.
    Http2,
    /// HTTP/3: no Upgrade; only the extended CONNECT of RFC 9220.
    Http3,
}

/// Who dials, as far as it matters to those who trust addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// Anyone.
    #[default]
    Unknown,
    /// Somebody of the same machine, over loopback.
    Local,
    /// Somebody of the same private network (RFC 1918).
    Private,
    /// Somebody whose addresses are public.
    Public,
}

impl Peer {
    /// Whether Caddy's `private_ranges` hold it.
    pub const fn is_private(self) -> bool {
        matches!(self, Self::Local | Self::Private)
    }
}

/// A request on its way from hop to hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whether it arrives over TLS.
    pub tls: bool,
    /// The host that it asks for, lower case, without port; empty when every server is asked.
    pub host: String,
    /// The name that a proxy's TLS handshake asks for; `None` where it is the host, as a browser's is.
    pub tls_name: Option<Value>,
    /// The Host line as it was sent: with the port, where the client names one.
    pub authority: String,
    /// The port that it arrives at.
    pub port: u16,
    /// The socket in the file system that it arrives at in place of a port.
    pub socket: Option<String>,
    /// The method; a handshake's is GET.
    pub method: String,
    /// The path, from `/`, without the query.
    pub path: String,
    /// The query, without `?`; `None` where there is none.
    pub query: Option<String>,
    /// What it is spoken in.
    pub protocol: Protocol,
    /// Who sends it to where it arrives.
    pub peer: Peer,
    /// The headers, in order. As it arrives, Host is not among them; as it leaves a hop, the Host
    /// that the hop sends is.
    pub headers: Vec<Header>,
}

/// In the reason for which something is undecided: no file decides it, but what each client sends, or
/// where it is.
pub const OF_THE_CLIENT: &str = "the client's";

/// What browsers call themselves; a condition that all of these decide alike is decided.
pub const USER_AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
];

impl Request {
    /// The handshake that `browser` sends to open `path` (with query) on `host`.
    pub fn handshake(browser: Browser, tls: bool, host: &str, port: u16, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let (scheme, default) = if tls { ("https", 443) } else { ("http", 80) };
        // A page's origin names its port where that is not the scheme's own (RFC 6454, 6.2).
        let port_of_page = if port == default {
            String::new()
        } else {
            format!(":{port}")
        };
        let header = |name: &str, value: &str| Header {
            name: name.to_owned(),
            value: Value::Known(value.to_owned()),
            from: None,
        };
        Self {
            tls,
            host: host.to_ascii_lowercase(),
            tls_name: None,
            // Browsers leave out the port that the scheme has by default.
            authority: match (tls, port) {
                (true, 443) | (false, 80) => host.to_owned(),
                _ => format!("{host}:{port}"),
            },
            port,
            socket: None,
            method: "GET".to_owned(),
            path: path.to_owned(),
            query,
            protocol: Protocol::Http11,
            peer: Peer::Unknown,
            headers: vec![
                header("Upgrade", "websocket"),
                header("Connection", browser.connection()),
                header("Origin", &format!("{scheme}://{host}{port_of_page}")),
                header("Sec-WebSocket-Key", judge::KEY),
                header("Sec-WebSocket-Version", "13"),
                header("Sec-WebSocket-Extensions", "permessage-deflate"),
            ],
        }
    }

    /// The GET of a page for `target` (path with query): no handshake.
    pub fn page(tls: bool, host: &str, port: u16, target: &str) -> Self {
        let mut request = Self::handshake(Browser::Chrome, tls, host, port, target);
        request.headers.clear();
        request
    }

    /// The request as the hop behind `upstream` receives it, at `port` or at a socket in the file
    /// system; `None` where the Host that was sent can't be known.
    pub fn arriving(mut self, upstream: &Upstream, port: u16) -> Option<Self> {
        let sent = self.lines("host").next().map(|host| host.value.clone());
        if let Some(host) = sent {
            self.authority = host.known()?.clone();
            let host = self.authority.to_ascii_lowercase();
            // An IPv6 address ends in a bracket; what follows the last colon is a port.
            self.host = match host.rsplit_once(':') {
                Some((name, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    name.to_owned()
                }
                _ => host,
            };
        }
        self.headers
            .retain(|header| !header.name.eq_ignore_ascii_case("host"));
        (self.tls, self.port) = (upstream.tls, port);
        self.tls_name = upstream.tls_name.clone().filter(|_| upstream.tls);
        self.socket = upstream.socket().map(str::to_owned);
        Some(self)
    }

    /// The header lines of that name, in order.
    pub fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Header> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
    }
}

/// Whether a comma-separated header value holds `token`, without regard to case (RFC 9110, 5.6.1).
pub fn has_token(value: &str, token: &str) -> bool {
    value
        .split(',')
        .any(|item| item.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
}

/// Where a hop sends a request on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    /// The name that the TLS handshake asks for, where that is known to be another than the Host.
    pub tls_name: Option<Value>,
    /// Host or address; unknown where a variable decides.
    pub host: Value,
    /// Port.
    pub port: Value<u16>,
    /// Whether it is asked only where those before it do not answer at all.
    pub spare: bool,
    /// The directive that names it.
    pub from: Span,
}

impl Upstream {
    /// Whether it is on the machine, or in the container, of the one that dials it.
    pub fn is_loopback(&self) -> bool {
        let host = self.host.known();
        host.is_some_and(|host| is_loopback(host.trim_matches(['[', ']'])))
    }

    /// The path of the socket in the file system, if it is one (`unix:/path`).
    pub fn socket(&self) -> Option<&str> {
        self.host.known()?.strip_prefix("unix:")
    }

    /// Who it is to the one that is dialled: a name without dots is one of a private network's.
    pub fn peer(&self) -> Peer {
        let Some(host) = self.host.known() else {
            return Peer::Unknown;
        };
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        match address {
            Ok(address) if address.is_loopback() => Peer::Local,
            Ok(std::net::IpAddr::V4(address)) if address.is_private() => Peer::Private,
            Ok(_) => Peer::Unknown,
            Err(_) if host == "localhost" => Peer::Local,
            Err(_) if self.socket().is_none() && !host.contains('.') => Peer::Private,
            Err(_) => Peer::Unknown,
        }
    }
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// An upstream that some block of a hop names, whatever it takes to get there.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The way in whose requests may be sent there: it holds the span of that [`Entrance`].
    pub at: Span,
    /// Whom it names.
    pub to: Upstream,
}

/// What a hop does with a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Sends it on, perhaps changed.
    Forwards {
        /// To whom; several where the hop balances between them.
        to: Vec<Upstream>,
        /// The request as it leaves.
        request: Box<Request>,
        /// What the client gets where the upstream answers 101.
        reply: Reply,
        /// What becomes of the request where the upstream refuses it with one of these.
        refused: Vec<(u16, Outcome)>,
        /// The status that the client gets for any other answer of the upstream, if it is not the
        /// answer's own.
        kept: Option<u16>,
        /// The status that the client gets where the upstream closes the connection without an
        /// answer; `None` where a page for errors may make any of it.
        unanswered: Option<u16>,
    },
    /// Answers by itself, and nobody behind it ever sees the handshake.
    Answers {
        /// The status that the client gets; `None` where it closes, hangs or does not even
        /// start: the server refuses the configuration.
        status: Option<u16>,
    },
    /// Cannot be decided from the files.
    Undecided {
        /// What is missing, for a person.
        why: String,
    },
}

/// What becomes of an upstream's 101 on its way back through a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It arrives, with every handshake header as it was: the socket opens.
    Intact,
    /// The same, and Connection says `close` beside `upgrade`. A browser opens the socket, but a
    /// proxy written in Go finds no Connection at all in such an answer.
    Closing {
        /// The line that says so.
        by: Span,
    },
    /// The client gets another status, or (`None`) nothing at all: the hop waits for ever, or
    /// closes.
    Replaced {
        /// The status.
        status: Option<u16>,
    },
    /// A 101 arrives, and no socket comes of it: a browser must refuse it (RFC 6455, 4.1), for a
    /// header that is missing, wrong or doubled; or the server closes at the first bytes.
    Spoiled {
        /// Whether a proxy still takes it for a switch to WebSocket: Connection says `upgrade`, and
        /// the first Upgrade line `websocket` (RFC 9110, 7.8).
        switches: bool,
    },
    /// Cannot be decided from the files.
    Undecided {
        /// What is missing, for a person.
        why: String,
    },
}

/// A span that made a hop do what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Because {
    /// Where.
    pub span: Span,
    /// What it does, in a few words.
    pub message: String,
}

/// What one hop made of one request, and why.
#[derive(Clone, Debug)]
pub struct Passage {
    /// The block that took the request: the location or server, the site, the application.
    pub at: Option<Span>,
    /// What it does.
    pub outcome: Outcome,
    /// The spans that decided it, in the order of events.
    pub because: Vec<Because>,
}

/// A way into a hop: an address where it listens, and a host by which it is asked for there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entrance {
    /// Whether TLS is spoken there.
    pub tls: bool,
    /// A host that leads to it; empty where any does.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What opens it: the server, the site's address, the command.
    pub span: Span,
}

/// Whether a hop takes a request that arrives at its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Takes {
    /// Nothing of it listens there.
    No,
    /// It takes what nobody names.
    ByDefault,
    /// It names the host that the request asks for.
    ByName,
}

/// Whatever receives a handshake: an edge, an nginx, a Caddy, a Django application; as one
/// process, which chooses among its servers or sites by itself.
pub trait Hop {
    /// Its technology, as the group of its rules is called.
    fn layer(&self) -> &'static str;
    /// Whether it is an application, behind which nothing stands.
    fn is_application(&self) -> bool {
        false
    }
    /// Where it is written, for what no line of it decides.
    fn place(&self) -> Span;
    /// Every way into it, in the order of the files.
    fn entrances(&self) -> Vec<Entrance>;
    /// The ports at which anything of it answers, if only with a redirect.
    fn ports(&self) -> BTreeSet<u16> {
        let entrances = self.entrances().into_iter();
        entrances.map(|entrance| entrance.port).collect()
    }
    /// Everyone it may send a request on to.
    fn dials(&self) -> Vec<Dial> {
        Vec::new()
    }
    /// The paths, or their beginnings, that the blocks of one of its entrances name.
    fn paths(&self, _entrance: &Entrance) -> BTreeSet<String> {
        BTreeSet::new()
    }
    /// The hosts that it names, lower case; `None` where it may name any, by a pattern.
    fn names(&self) -> Option<BTreeSet<&str>> {
        None
    }
    /// Whether it takes a request for `host` at `port`.
    fn takes(&self, tls: bool, host: &str, port: u16) -> Takes;
    /// What becomes of `request` here.
    fn receive(&self, request: &Request) -> Passage;
    /// Whether another text of `source` might change what it does.
    fn may_read(&self, _source: &Source) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_whole_words_of_a_list() {
        assert!(has_token("keep-alive, Upgrade", "upgrade"));
        assert!(!has_token("upgrade keep-alive", "upgrade"));
        assert!(!has_token("", "upgrade"));
    }

    #[test]
    fn the_host_that_a_hop_sent_is_the_one_that_the_next_one_is_asked_for() {
        let mut request = Request::handshake(Browser::Chrome, true, "a.example", 443, "/ws");
        let host = |value| Header {
            name: "Host".to_owned(),
            value,
            from: None,
        };
        request
            .headers
            .push(host(Value::Known("App:8000".to_owned())));
        let upstream = |host: &str| Upstream {
            tls_name: None,
            tls: false,
            host: Value::Known(host.to_owned()),
            port: Value::Known(8000),
            spare: false,
            from: Span::new(crate::source::SourceId(0), 0..0),
        };
        let app = upstream("app");
        let arrived = request.clone().arriving(&app, 8000).expect("known");
        let at_socket = request.clone().arriving(&upstream("unix:/run/x"), 80);
        assert_eq!(
            at_socket.and_then(|request| request.socket).as_deref(),
            Some("/run/x")
        );
        assert_eq!((arrived.host.as_str(), arrived.port), ("app", 8000));
        assert_eq!(arrived.lines("host").count(), 0);
        request.headers.pop();
        request.headers.push(host(Value::Unknown("env".to_owned())));
        assert_eq!(request.arriving(&app, 8000), None);
    }

    #[test]
    fn a_handshake_has_the_browsers_form() {
        let request = Request::handshake(Browser::Firefox, true, "Example.com", 443, "/ws?a=1");
        assert_eq!(
            (request.path.as_str(), request.query.as_deref()),
            ("/ws", Some("a=1"))
        );
        let connection = request
            .lines("connection")
            .next()
            .map(|header| header.value.clone());
        assert_eq!(connection, Some(Value::Known("keep-alive, Upgrade".into())));
    }
}

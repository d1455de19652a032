//! What leaves for the upstream: which level's `proxy_set_header` lines apply, and what they
//! are worth for a handshake.
//!
//! ngx_http_proxy_merge_loc_conf takes the outer level's headers only if the level has none of
//! its own, all or nothing. An empty value drops its line; of several non-empty lines of one
//! name all are sent (ngx_http_proxy_create_request).

use std::sync::LazyLock;

use super::files::Stock;
use super::model::{Included, ItemId, Unseen, View};
use super::variables::{Scope, Step};
use crate::handshake::{Browser, Header, Protocol, Request, has_token};
use crate::project::Version;
use crate::source::Span;
use crate::syntax::Word;
use crate::value::Value;

/// From this version on nginx sends one Host to an HTTP/1.1 upstream, whatever the lines say
/// (measured on 1.31.5).
pub(super) const ONE_HOST: Version = [1, 31, 4];

/// From this version on, `proxy_http_version` is 1.1 by default and no `Connection: close` is sent.
pub const KEEPALIVE_BY_DEFAULT: Version = [1, 29, 7];

/// One `proxy_set_header` line, perhaps of a stock file.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The directive, or the `include` of the stock file.
    pub item: ItemId,
    /// The header's name as written.
    pub name: &'a str,
    /// Its value as written.
    pub text: &'a str,
    /// The word that holds it; `None` in a stock file.
    pub word: Option<&'a Word>,
    /// From the directive's name to its last argument, or the `include`.
    pub span: Span,
}

impl Line<'_> {
    /// Whether it is about the header `name`. `Upgrade:` sets no Upgrade, but means it.
    pub fn means(&self, name: &str) -> bool {
        self.name.trim_end_matches(':').eq_ignore_ascii_case(name)
    }

    /// Whether the header's name is written with a colon, which nginx takes for a part of it.
    pub fn has_colon(&self) -> bool {
        self.name.ends_with(':')
    }
}

/// The lines that one level sets by itself.
pub fn lines<'a>(view: View<'a>, level: ItemId) -> impl Iterator<Item = Line<'a>> {
    view.level(level).headers.iter().flat_map(move |item| {
        let directive = view.directive(*item);
        let stock: Option<&'static Stock> = match view.config.includes.get(item) {
            Some(Included::Stock(stock)) => Some(stock),
            _ => None,
        };
        let own = match (stock, directive.args()) {
            (None, [name, value]) => Some(Line {
                item: *item,
                name: &name.text,
                text: &value.text,
                word: Some(value),
                span: directive.head(),
            }),
            _ => None,
        };
        let stocked = stock.into_iter().flat_map(move |stock| {
            stock.headers.iter().map(move |(name, text)| Line {
                item: *item,
                name,
                text,
                word: None,
                span: directive.head(),
            })
        });
        own.into_iter().chain(stocked)
    })
}

/// Which headers apply at a location.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The level whose lines apply; `None` if no level sets any.
    pub level: Option<ItemId>,
    /// Outer levels with lines of their own, which are discarded.
    pub discarded: Vec<ItemId>,
    /// Why more lines may apply, or others.
    pub unseen: Option<Unseen>,
}

impl Effective {
    /// Finds the level whose lines apply at `location`.
    pub fn at(view: View<'_>, location: ItemId) -> Self {
        let mut effective = Self {
            level: None,
            discarded: Vec::new(),
            unseen: None,
        };
        for level in view.outward(location) {
            let known = view.level(level);
            let sets = !known.headers.is_empty();
            if effective.level.is_some() {
                if sets {
                    effective.discarded.push(level);
                }
                continue;
            }
            if let Some(unseen) = &known.unseen {
                effective.unseen.get_or_insert_with(|| unseen.clone());
            }
            if sets {
                effective.level = Some(level);
                if known.conditional {
                    effective.unseen.get_or_insert_with(Unseen::template);
                }
            }
        }
        effective
    }

    /// The lines that apply.
    pub fn lines<'a>(&self, view: View<'a>) -> impl Iterator<Item = Line<'a>> + use<'a> {
        self.level
            .into_iter()
            .flat_map(move |level| lines(view, level))
    }
}

/// A line that is right for one browser's handshake and wrong for the other's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// Whose handshake is lost.
    pub browser: Browser,
    /// The line.
    pub item: ItemId,
    /// What it sends for that browser.
    pub value: String,
    /// The maps behind it.
    pub steps: Vec<Step>,
}

/// What becomes of one of the two headers that carry the upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It reaches the upstream as it must.
    Right,
    /// It does so for one browser's form of the handshake and not for the other's.
    Differs(Miss),
    /// No line sets it.
    Absent,
    /// A line sets it to something that cannot upgrade.
    Wrong {
        /// The line.
        item: ItemId,
        /// What is sent; empty if the line is dropped.
        value: String,
        /// The maps behind the value.
        steps: Vec<Step>,
    },
    /// The files do not decide.
    Unknown {
        /// What does not: a line, or nothing that could be pointed at.
        item: Option<ItemId>,
        /// Why, for a person.
        why: String,
    },
}

impl Sent {
    /// Whether the upgrade may come through by this header.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Right | Self::Differs(_) | Self::Unknown { .. })
    }
}

/// One header's name and the token that its value must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// `Upgrade: websocket`.
    Upgrade,
    /// `Connection: upgrade`.
    Connection,
}

impl Half {
    /// The header's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "Upgrade",
            Self::Connection => "Connection",
        }
    }

    /// What an upstream must find in it.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Upgrade => "websocket",
            Self::Connection => "upgrade",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Upgrade => Self::Connection,
            Self::Connection => Self::Upgrade,
        }
    }
}

/// What the lines in `lines` make of `half` for both browsers, at `location`.
pub fn sent<'a>(
    view: View<'a>,
    location: ItemId,
    lines: impl Iterator<Item = Line<'a>> + Clone,
    half: Half,
    requests: &'a [Request],
) -> Sent {
    let mut lines = lines.filter(|line| line.means(half.name())).peekable();
    if lines.peek().is_none() {
        return Sent::Absent;
    }
    let mut result: Option<Sent> = None;
    for (request, browser) in requests.iter().zip(Browser::ALL) {
        let mut scope = Scope::new(view, request, location);
        let one = sent_once(&mut scope, lines.clone(), half);
        result = Some(match (result, one) {
            (None, one) => one,
            (Some(Sent::Right), Sent::Right) => Sent::Right,
            (Some(unknown @ Sent::Unknown { .. }), _) | (_, unknown @ Sent::Unknown { .. }) => {
                unknown
            }
            (Some(Sent::Right), Sent::Wrong { item, value, steps }) => Sent::Differs(Miss {
                browser,
                item,
                value,
                steps,
            }),
            (Some(Sent::Wrong { item, value, steps }), Sent::Right) => Sent::Differs(Miss {
                // There are two, and the first one's was wrong.
                browser: Browser::ALL[0],
                item,
                value,
                steps,
            }),
            (Some(first), _) => first,
        });
    }
    result.unwrap_or(Sent::Absent)
}

fn sent_once<'a>(scope: &mut Scope<'a>, lines: impl Iterator<Item = Line<'a>>, half: Half) -> Sent {
    let mut wrong: Option<Sent> = None;
    let mut unknown: Option<Sent> = None;
    for line in lines {
        let value = evaluate(scope, &line);
        match value.decide(|value| !line.has_colon() && has_token(value, half.token())) {
            Some(true) => return Sent::Right,
            Some(false) => {
                let value = value
                    .possible()
                    .and_then(|values| values.first())
                    .cloned()
                    .unwrap_or_default();
                // A line that sends something wrong tells more than one that sends nothing.
                let better = match &wrong {
                    Some(Sent::Wrong { value: before, .. }) => {
                        before.is_empty() && !value.is_empty()
                    }
                    _ => true,
                };
                if better {
                    wrong = Some(Sent::Wrong {
                        item: line.item,
                        value,
                        steps: scope.steps.clone(),
                    });
                }
            }
            None => {
                let why = match value {
                    Value::Unknown(why) => why,
                    _ => "it has several possible values".to_owned(),
                };
                unknown.get_or_insert(Sent::Unknown {
                    item: Some(line.item),
                    why,
                });
            }
        }
    }
    unknown.or(wrong).unwrap_or(Sent::Absent)
}

fn evaluate(scope: &mut Scope<'_>, line: &Line<'_>) -> Value {
    match line.word {
        Some(word) => scope.value(word),
        None => scope.text(line.text),
    }
}

/// The request as it leaves for the upstream of `location`, as far as that does not depend on how
/// it came there.
pub fn outgoing(
    view: View<'_>,
    location: ItemId,
    request: &Request,
    target: Option<Version>,
) -> Request {
    let mut scope = Scope::new(view, request, location);
    sent_on(&mut scope, request.clone(), target)
}

/// The request as `proxy_pass` sends it: the lines in force where `scope` is, nginx's own, and
/// those of `request` that no line takes the place of.
pub(super) fn sent_on(scope: &mut Scope<'_>, request: Request, target: Option<Version>) -> Request {
    // nginx sends none of these on unless a line sets them (ngx_http_proxy_headers).
    const NOT_PASSED: &[&str] = &[
        "Connection",
        "Upgrade",
        "Keep-Alive",
        "TE",
        "Transfer-Encoding",
        "Expect",
        "Proxy-Connection",
    ];
    let (view, location) = (scope.view, scope.location);
    let effective = Effective::at(view, location);
    let mut headers = Vec::new();
    let mut set: Vec<&str> = Vec::new();
    for line in effective.lines(view) {
        set.push(line.name);
        let value = evaluate(scope, &line);
        if value != Value::Known(String::new()) {
            headers.push(Header {
                name: line.name.to_owned(),
                value,
                from: Some(line.span),
            });
        }
    }
    let is_set = |name: &str| set.iter().any(|line| line.eq_ignore_ascii_case(name));
    let modern = target.map(|version| version >= KEEPALIVE_BY_DEFAULT);
    if !is_set("Host") {
        headers.push(Header {
            name: "Host".to_owned(),
            value: scope.text("$proxy_host"),
            from: None,
        });
    }
    if !is_set("Connection") && modern != Some(true) {
        headers.push(Header {
            name: "Connection".to_owned(),
            value: match modern {
                Some(_) => Value::Known("close".to_owned()),
                None => Value::OneOf(vec!["close".to_owned(), String::new()]),
            },
            from: None,
        });
    }
    let passed = request.headers.iter().filter(|header| {
        !is_set(&header.name)
            && !NOT_PASSED
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&header.name))
    });
    headers.extend(passed.cloned());
    Request {
        protocol: match (http_version(view, location), modern) {
            (Some(("1.0", _)), _) | (None, Some(false)) => Protocol::Http10,
            (Some(("2", _)), _) => Protocol::Http2,
            (Some(_), _) | (None, Some(true) | None) => Protocol::Http11,
        },
        headers,
        ..request
    }
}

/// The `proxy_http_version` in force at `location`; `None` where the default is.
pub fn http_version(view: View<'_>, location: ItemId) -> Option<(&str, Span)> {
    let item = view
        .outward(location)
        .find_map(|level| view.level(level).version)?;
    let directive = view.directive(item);
    Some((directive.arg(0)?, directive.head()))
}

/// Both browsers' handshakes, as far as they are known where no URL is. Which page asks is as
/// unknown as the host.
pub fn handshakes() -> &'static [Request; 2] {
    static HANDSHAKES: LazyLock<[Request; 2]> = LazyLock::new(|| {
        Browser::ALL.map(|browser| {
            let mut request = Request::handshake(browser, true, "", 443, "");
            request.headers.retain(|header| header.name != "Origin");
            request
        })
    });
    &HANDSHAKES
}

//! The way back: what `header`, `handle_response` and buffers make of an upstream's 101.

use super::expand::{Directive, Word};
use super::handler::Handler;
use super::list::List;
use super::matcher::header_matches;
use super::placeholder::Scene;
use super::proxy::{Change, HeaderLine, apply};
use crate::handshake::{Header, has_token};
use crate::project::Version;
use crate::source::Span;
use crate::value::Value;

/// What stands for the upstream's Sec-WebSocket-Accept, whose value only it can know.
const ACCEPT: &str = "the upstream's";

/// Which answers of an upstream something is about.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// `status`: codes, or first digits; empty for any.
    statuses: Vec<u16>,
    /// `header`: fields and values; none for `!Field`.
    headers: Vec<(String, Vec<Word>)>,
}

impl Answers {
    /// Reads `@name status 2xx` or a block of such lines.
    pub(super) fn parse(directive: &Directive) -> Self {
        let mut answers = Self::default();
        answers.line(directive.args());
        for line in directive.children() {
            answers.line(&line.words);
        }
        answers
    }

    fn line(&mut self, words: &[Word]) {
        match words.split_first() {
            Some((name, values)) if name.text == "status" => {
                let codes = values
                    .iter()
                    .map(|word| word.text.trim_end_matches("xx").parse());
                self.statuses
                    .extend(codes.map(|code| code.unwrap_or(u16::MAX)));
            }
            Some((name, values)) if name.text == "header" => {
                if let Some((field, values)) = values.split_first() {
                    self.headers.push((field.text.clone(), values.to_vec()));
                }
            }
            _ => {}
        }
    }

    /// Whether it is about answers of that status, by `StatusCodeMatches`.
    pub(super) fn takes_status(&self, status: u16) -> bool {
        let same = |code: &u16| *code == status || *code < 10 && *code == status / 100;
        self.statuses.is_empty() || self.statuses.iter().any(same)
    }

    /// Whether headers decide, too.
    pub(super) fn asks_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// Whether it is about a 101 with these headers.
    fn takes(&self, headers: &[Header]) -> bool {
        self.takes_status(101)
            && self.headers.iter().all(|(field, values)| {
                if let Some(field) = field.strip_prefix('!') {
                    return lines(headers, field).next().is_none();
                }
                lines(headers, field).any(|header| {
                    let actual = header.value.known().map_or("", String::as_str);
                    values
                        .iter()
                        .any(|value| header_matches(&value.text, actual))
                })
            })
    }

    /// Whether it is about the 101 as the upstream sends it.
    pub(super) fn takes_switch(&self) -> bool {
        self.takes(&switch())
    }
}

/// One `handle_response` or `replace_status`.
#[derive(Clone, Debug)]
pub struct ResponseHandler {
    /// Its line.
    pub head: Span,
    /// Which answers it is about; `None` for all.
    pub answers: Option<Answers>,
    /// The handlers that answer in the upstream's place; `None` for `replace_status`.
    pub handlers: Option<List>,
    /// Whether its handlers leave the answer to what comes after the proxy, as those do that ask
    /// an authentication server.
    pub passes: bool,
    /// The status of `replace_status`, if it is written.
    pub status: Option<u16>,
}

/// What one `header` does to answers.
#[derive(Clone, Debug, Default)]
pub struct HeaderOps {
    /// The lines.
    pub lines: Vec<HeaderLine>,
    /// Applied when the answer leaves, after the upstream's headers came.
    pub deferred: bool,
    /// `match`, and `?Field`: only for such answers.
    pub only: Option<Answers>,
}

impl HeaderOps {
    /// Whether they wait for the answer, on a writer of their own.
    pub(super) fn waits(&self) -> bool {
        self.deferred || self.only.is_some()
    }

    /// Reads `header` (modules/caddyhttp/headers/caddyfile.go): the ordinary lines, and those with
    /// a `?`, which are a handler of their own.
    pub(super) fn parse(args: &[Word], directive: &Directive) -> Vec<Self> {
        let mut ops = [Self::default(), Self::default()];
        let mut take = |words: &[Word], span: Span| {
            let Some(field) = words.first() else { return };
            let optional = field.text.strip_prefix('?');
            let own = &mut ops[usize::from(optional.is_some())];
            own.deferred |= field.text.starts_with(['-', '>']);
            let Some(mut line) = HeaderLine::parse(words, span) else {
                return;
            };
            if let Some(name) = optional {
                line.field = name.trim_end_matches(':').to_owned();
                let only = own.only.get_or_insert_default();
                only.headers.push((format!("!{}", line.field), Vec::new()));
            }
            own.lines.push(line);
        };
        take(args, directive.head);
        let mut only = None;
        let mut deferred = false;
        for line in directive.children() {
            match line.name() {
                "defer" => deferred = true,
                "match" => only = Some(Answers::parse(line)),
                _ => take(&line.words, line.head),
            }
        }
        ops[0].deferred |= deferred;
        if only.is_some() {
            ops[0].only = only;
        }
        ops.into_iter()
            .filter(|ops| !ops.lines.is_empty())
            .collect()
    }
}

/// What spoils a 101 for a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoiled {
    /// The header that is missing, wrong or doubled.
    pub header: &'static str,
    /// How many lines of it arrive.
    pub lines: usize,
    /// What it is then, if it is there once.
    pub value: Option<String>,
    /// The line that did it.
    pub by: Span,
    /// Whether it still says that the protocol is switched to WebSocket.
    pub switches: bool,
}

/// What a 101 is when it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    /// As it came.
    Whole,
    /// With `close` in Connection, by this line.
    Closing(Span),
    /// With something in it that a browser refuses: the first.
    Spoiled(Spoiled),
}

/// What the 101 is when it leaves. `Err` where that can't be known.
pub(super) fn returned<'a>(
    ran: impl DoubleEndedIterator<Item = (&'a Handler, &'a HeaderOps)> + Clone,
    scene: &Scene<'_>,
    version: Version,
) -> Result<Returned, Span> {
    let mut headers: Vec<Header> = Vec::new();
    let mut taken: Vec<(&'static str, Span)> = Vec::new();
    for (_, ops) in ran.clone().filter(|(_, ops)| !ops.waits()) {
        apply(&ops.lines, scene, &mut headers);
    }
    headers.extend(switch());
    // 2.7.2 is the first whose deferred operations reach a 101 (reverseproxy/streaming.go).
    let reached = version >= [2, 7, 0];
    for (_, ops) in ran.rev().filter(|(_, ops)| reached && ops.waits()) {
        if ops.only.as_ref().is_some_and(|only| !only.takes(&headers)) {
            continue;
        }
        // From 2.9 on Sec-WebSocket-* is spelt so, and Go's canonical form, which such lines
        // name, is another key of the map (normalizeWebsocketHeaders).
        let misses = |line: &&HeaderLine| {
            version >= [2, 9, 0]
                && line
                    .field
                    .to_ascii_lowercase()
                    .starts_with("sec-websocket-")
                && !line.field.contains('*')
        };
        let (missing, rest): (Vec<&HeaderLine>, Vec<&HeaderLine>) =
            ops.lines.iter().partition(misses);
        let rest: Vec<HeaderLine> = rest.into_iter().cloned().collect();
        let before: Vec<Header> = headers.clone();
        apply(&rest, scene, &mut headers);
        for line in missing {
            if let Change::Set(_) | Change::Add(_) = line.change {
                let mut own = Vec::new();
                apply(std::slice::from_ref(line), scene, &mut own);
                headers.extend(own);
            }
        }
        // A line that took a header away leaves no trace in those that are left.
        for header in ["Upgrade", "Connection", "Sec-WebSocket-Accept"] {
            if lines(&before, header).next().is_some() && lines(&headers, header).next().is_none() {
                let by = ops
                    .lines
                    .iter()
                    .find(|line| line.touches(header) || line.field == "*");
                taken.push((header, by.map_or(ops.lines[0].span, |line| line.span)));
            }
        }
    }
    // Unless an outer one put it back.
    for (header, by) in taken {
        if lines(&headers, header).next().is_none() {
            return Ok(Returned::Spoiled(Spoiled {
                header,
                lines: 0,
                value: None,
                by,
                switches: switches(&headers),
            }));
        }
    }
    if let Some(spoiled) = judge(&headers)? {
        return Ok(Returned::Spoiled(spoiled));
    }
    let closes = lines(&headers, "Connection").find(|line| {
        let value = line.value.known();
        value.is_some_and(|value| has_token(value, "close"))
    });
    let by = closes.and_then(|line| line.from);
    Ok(by.map_or(Returned::Whole, Returned::Closing))
}

/// RFC 6455, 4.1, as browsers go about it: the first thing that they refuse.
fn judge(headers: &[Header]) -> Result<Option<Spoiled>, Span> {
    for (name, single) in [
        ("Upgrade", true),
        ("Connection", false),
        ("Sec-WebSocket-Accept", true),
        ("Sec-WebSocket-Protocol", false),
        ("Sec-WebSocket-Extensions", false),
    ] {
        let own: Vec<&Header> = lines(headers, name).collect();
        let by = own.iter().rev().find_map(|header| header.from);
        let Some(by) = by else { continue };
        let mut good = false;
        let mut unknown = false;
        for header in &own {
            let Some(value) = header.value.known() else {
                unknown = true;
                continue;
            };
            good |= match name {
                "Upgrade" => value.trim().eq_ignore_ascii_case("websocket"),
                "Connection" => has_token(value, "upgrade"),
                "Sec-WebSocket-Accept" => value == ACCEPT,
                "Sec-WebSocket-Extensions" => value.starts_with("permessage-deflate"),
                // Nobody asked for a subprotocol.
                _ => false,
            };
        }
        if single && own.len() > 1 || !unknown && !good {
            return Ok(Some(Spoiled {
                header: name,
                lines: own.len(),
                value: own.last().and_then(|header| header.value.known().cloned()),
                by,
                switches: switches(headers),
            }));
        }
        if !good {
            return Err(by);
        }
    }
    Ok(None)
}

/// Whether a proxy of Go's takes a 101 for a switch to WebSocket (reverseproxy/streaming.go,
/// upgradeType): the first Upgrade line counts.
fn switches(headers: &[Header]) -> bool {
    let known = |header: &Header| header.value.known().cloned().unwrap_or_default();
    let mut connection = lines(headers, "Connection").map(known);
    let upgrade = lines(headers, "Upgrade").next().map(known);
    connection.any(|value| has_token(&value, "upgrade"))
        && upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

fn lines<'a>(headers: &'a [Header], name: &'a str) -> impl Iterator<Item = &'a Header> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
}

/// The headers of a 101 as `reverse_proxy` hands them on.
fn switch() -> [Header; 3] {
    [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", ACCEPT),
    ]
    .map(|(name, value)| Header {
        name: name.to_owned(),
        value: Value::Known(value.to_owned()),
        from: None,
    })
}

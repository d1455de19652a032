//! A correct WebSocket server: whether it answers a request with 101 (RFC 6455, 4.2.1).

use super::{Header, Protocol, Request, has_token};
use crate::source::Span;

/// The nonce of RFC 6455, section 1.3, which our handshakes carry.
pub(super) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What a correct WebSocket server makes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It answers 101, and the browser's socket opens.
    Opens,
    /// It sees no handshake; why, and the lines that made it so.
    Lost(Vec<(String, Option<Span>)>),
    /// It answers 101 for another key than the browser's, which must refuse that.
    Spoiled(Option<Span>),
    /// Values that the files do not give decide; which, and the line.
    Undecided(String, Option<Span>),
}

/// What a header's lines say together, as servers join them (RFC 9110, 5.3).
enum Lines<'a> {
    Missing,
    Known(String, &'a Header),
    Unknown(&'a Header),
}

fn lines<'a>(request: &'a Request, name: &'a str) -> Lines<'a> {
    let mut all = request.lines(name);
    let Some(first) = all.next() else {
        return Lines::Missing;
    };
    let mut text = String::new();
    for (number, line) in std::iter::once(first).chain(all).enumerate() {
        let Some(value) = line.value.known() else {
            return Lines::Unknown(line);
        };
        if number > 0 {
            text.push_str(", ");
        }
        text.push_str(value);
    }
    Lines::Known(text, first)
}

/// Judges a request as a correct WebSocket server would.
pub fn judge(request: &Request) -> Judged {
    let mut lost: Vec<(String, Option<Span>)> = Vec::new();
    let mut open = None;
    if request.method != "GET" {
        lost.push((format!("the method is {}, not GET", request.method), None));
    }
    if request.path.contains(' ') {
        lost.push((
            format!("the blank in `{}` ends the path too early", request.path),
            None,
        ));
    }
    match request.protocol {
        Protocol::Http11 => {}
        Protocol::Http10 => lost.push((
            "it is spoken in HTTP/1.0, which has no Upgrade".to_owned(),
            None,
        )),
        Protocol::Http2 => lost.push((
            "it is spoken in HTTP/2, which has no Upgrade".to_owned(),
            None,
        )),
        Protocol::Http3 => lost.push((
            "it is spoken in HTTP/3, which has no Upgrade".to_owned(),
            None,
        )),
    }
    for (name, token) in [("Upgrade", "websocket"), ("Connection", "upgrade")] {
        match lines(request, name) {
            Lines::Missing => lost.push((format!("no {name} header"), None)),
            Lines::Known(text, _) if has_token(&text, token) => {}
            Lines::Known(text, line) => {
                lost.push((format!("`{name}: {text}` lacks `{token}`"), line.from));
            }
            Lines::Unknown(line) => match line.value.decide(|value| has_token(value, token)) {
                Some(true) => {}
                Some(false) => lost.push((format!("{name} lacks `{token}`"), line.from)),
                None => {
                    open = open.or(Some((format!("the value of {name} is unknown"), line.from)))
                }
            },
        }
    }
    let mut spoiled = None;
    match lines(request, "Sec-WebSocket-Key") {
        Lines::Missing => lost.push(("no Sec-WebSocket-Key header".to_owned(), None)),
        Lines::Known(text, _) if text.trim() == KEY => {}
        Lines::Known(text, line) if is_key(text.trim()) => spoiled = Some(line.from),
        Lines::Known(text, line) => {
            lost.push((format!("`Sec-WebSocket-Key: {text}` is no key"), line.from));
        }
        Lines::Unknown(line) => {
            open = open.or(Some((
                "the value of Sec-WebSocket-Key is unknown".to_owned(),
                line.from,
            )));
        }
    }
    match lines(request, "Sec-WebSocket-Version") {
        Lines::Missing => lost.push(("no Sec-WebSocket-Version header".to_owned(), None)),
        Lines::Known(text, _) if text.trim() == "13" => {}
        Lines::Known(text, line) => {
            lost.push((
                format!("`Sec-WebSocket-Version: {text}`, not 13"),
                line.from,
            ));
        }
        Lines::Unknown(line) => {
            open = open.or(Some((
                "the value of Sec-WebSocket-Version is unknown".to_owned(),
                line.from,
            )));
        }
    }
    match (lost.is_empty(), open, spoiled) {
        (false, ..) => Judged::Lost(lost),
        (true, Some((why, from)), _) => Judged::Undecided(why, from),
        (true, None, Some(from)) => Judged::Spoiled(from),
        (true, None, None) => Judged::Opens,
    }
}

/// Judges a request as the servers of this project do: daphne and uvicorn open a WebSocket that is
/// asked for in HTTP/1.0 as well (uvicorn/protocols/http/httptools_impl.py `_should_upgrade` looks at
/// headers alone), and a proxy speaks its own version to whoever is behind it.
pub fn judge_leniently(request: &Request) -> Judged {
    match request.protocol {
        Protocol::Http10 => judge(&Request {
            protocol: Protocol::Http11,
            ..request.clone()
        }),
        _ => judge(request),
    }
}

/// Whether it is 16 bytes in base64: 22 digits and two signs of padding.
fn is_key(text: &str) -> bool {
    text.strip_suffix("==").is_some_and(|digits| {
        digits.len() == 22
            && digits
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::Browser;
    use crate::value::Value;

    fn judged(change: impl FnOnce(&mut Request)) -> Judged {
        let mut request = Request::handshake(Browser::Firefox, true, "a.example", 443, "/ws");
        change(&mut request);
        judge(&request)
    }

    fn set(request: &mut Request, name: &str, value: Value) {
        request
            .headers
            .retain(|line| !line.name.eq_ignore_ascii_case(name));
        request.headers.push(Header {
            name: name.to_owned(),
            value,
            from: None,
        });
    }

    fn lost(change: impl FnOnce(&mut Request)) -> String {
        match judged(change) {
            Judged::Lost(reasons) => {
                let reasons: Vec<_> = reasons.into_iter().map(|(why, _)| why).collect();
                reasons.join("; ")
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_handshake_opens() {
        assert_eq!(judged(|_| ()), Judged::Opens);
        // Two lines are one list.
        let two = judged(|request| {
            set(request, "Connection", Value::Known("keep-alive".into()));
            request.headers.push(Header {
                name: "connection".into(),
                value: Value::Known("Upgrade".into()),
                from: None,
            });
        });
        assert_eq!(two, Judged::Opens);
    }

    #[test]
    fn what_is_missing_is_named() {
        let without = lost(|request| {
            set(request, "Connection", Value::Known("close".into()));
            request.headers.retain(|line| line.name != "Upgrade");
            request.protocol = Protocol::Http10;
        });
        assert_eq!(
            without,
            "it is spoken in HTTP/1.0, which has no Upgrade; no Upgrade header; `Connection: close` lacks `upgrade`"
        );
        assert_eq!(
            lost(|request| request.method = "POST".into()),
            "the method is POST, not GET"
        );
        assert_eq!(
            lost(|request| set(request, "Sec-WebSocket-Version", Value::Known("8".into()))),
            "`Sec-WebSocket-Version: 8`, not 13"
        );
        assert_eq!(
            lost(|request| set(request, "Sec-WebSocket-Key", Value::Known("x".into()))),
            "`Sec-WebSocket-Key: x` is no key"
        );
    }

    #[test]
    fn another_key_spoils_the_answer_and_an_unknown_value_decides_nothing() {
        let key = Value::Known("AAAAAAAAAAAAAAAAAAAAAA==".into());
        let spoiled = judged(|request| set(request, "Sec-WebSocket-Key", key));
        assert_eq!(spoiled, Judged::Spoiled(None));
        let unknown = judged(|request| set(request, "Upgrade", Value::Unknown("env".into())));
        assert!(matches!(unknown, Judged::Undecided(..)), "{unknown:?}");
        let either = Value::OneOf(vec!["upgrade".into(), "Upgrade, x".into()]);
        assert_eq!(
            judged(|request| set(request, "Connection", either)),
            Judged::Opens
        );
    }
}

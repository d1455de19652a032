//! A client of Engine.IO (the protocol below Socket.IO), which opens a session by polling and only
//! then asks for a WebSocket of the same session.

use std::io::{self, Read, Write};

use regex::Regex;

use crate::socket::client::{self, Dial};
use crate::socket::message::Head;
use crate::socket::{Attempt, frame};

/// Both browsers, one after the other, each with a session of its own.
pub(crate) fn attempts(dial: &Dial) -> Vec<Attempt> {
    ["Chrome", "Firefox"]
        .into_iter()
        .map(|browser| {
            let mut attempt = Attempt {
                browser: browser.to_owned(),
                ..Attempt::default()
            };
            if let Err(error) = talk(&mut attempt, dial) {
                attempt.note = error.to_string();
            }
            attempt
        })
        .collect()
}

fn talk(attempt: &mut Attempt, dial: &Dial) -> io::Result<()> {
    let session = session(dial)?;
    let mut dial = dial.clone();
    dial.url.target += &format!("&sid={session}");
    let key = client::key();
    let mut stream = client::connect(&dial)?;
    stream.write_all(client::request(&attempt.browser, &dial, &key).as_bytes())?;
    let head = Head::read(&mut stream)?;
    let status = head.first.split(' ').nth(1);
    attempt.status = status.and_then(|status| status.parse().ok());
    if attempt.status != Some(101) {
        return Ok(());
    }
    client::acceptable(&head, &key, &dial).map_err(io::Error::other)?;
    frame::write(&mut stream, frame::TEXT, b"2probe", Some([1, 2, 3, 4]))?;
    let answer = frame::read(&mut stream)?;
    attempt.opens = frame::text(&answer).contains("3probe");
    if !attempt.opens {
        attempt.note = format!("{answer:?} for a probe");
    }
    Ok(())
}

/// The session that a first poll opens.
fn session(dial: &Dial) -> io::Result<String> {
    let target = dial.url.target.replace("=websocket", "=polling");
    let mut request = format!(
        "GET {target} HTTP/1.1\r\nHost: {}\r\n",
        dial.url.authority()
    );
    for (name, value) in &dial.headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "Connection: close\r\n\r\n";
    let mut stream = client::connect(dial)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    // A TLS connection may end without a word.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    Regex::new(r#""sid":"([^"]+)""#)
        .ok()
        .and_then(|sid| Some(sid.captures(&answer)?[1].to_owned()))
        .ok_or_else(|| io::Error::other(format!("no session in {answer}")))
}

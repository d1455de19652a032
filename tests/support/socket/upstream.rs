//! The strict RFC 6455 server that stands behind the proxies: it opens a socket for a handshake
//! that is right in every point, says what is wrong with any other, and echoes frames.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;

use super::frame;
use super::message::Head;

/// How long the rest of a refused request may take.
const LINGER: Duration = Duration::from_millis(500);

/// What arrived, for the person who asks why a test failed.
pub(crate) type Log = Arc<Mutex<Vec<String>>>;

/// Serves `listener` until the sandbox ends.
pub(crate) fn serve(listener: TcpListener, log: &Log) {
    let log = log.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let log = log.clone();
            std::thread::spawn(move || answer(&stream, &log, None));
        }
    });
}

/// The strict server as a part of an application, which says yes to plain requests for one path.
pub(crate) fn serve_application(listener: TcpListener, log: &Log, says_yes: &'static str) {
    let log = log.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let log = log.clone();
            std::thread::spawn(move || answer(&stream, &log, Some(says_yes)));
        }
    });
}

/// A server that says yes to whoever asks: an authentication server.
pub(crate) fn serve_gate(listener: TcpListener) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                Head::read(&mut stream)?;
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            });
        }
    });
}

/// The strict server on a Unix socket.
pub(crate) fn serve_unix(listener: UnixListener, log: &Log) {
    let log = log.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let log = log.clone();
            std::thread::spawn(move || talk(stream, &log, None));
        }
    });
}

/// Talks, and closes once the body of a refused request has come: with a body unread the connection
/// would be reset, and the answer perhaps lost.
fn answer(mut stream: &TcpStream, log: &Log, says_yes: Option<&str>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    talk(stream, log, says_yes);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(LINGER));
    let mut rest = [0; 4096];
    while stream.read(&mut rest).is_ok_and(|length| length > 0) {}
}

fn talk(mut stream: impl Read + Write, log: &Log, says_yes: Option<&str>) {
    let Ok(head) = Head::read(&mut stream) else {
        return;
    };
    let verdict = match judge(&head) {
        Err(_) if head.first.split(' ').nth(1) == says_yes && says_yes.is_some() => {
            Err((200, "yes"))
        }
        verdict => verdict,
    };
    let mut seen = vec![head.first.clone()];
    for name in [
        "host",
        "upgrade",
        "connection",
        "sec-websocket-version",
        "x-attempt",
    ] {
        seen.extend(
            head.all(name)
                .iter()
                .map(|value| format!("{name}: {value}")),
        );
    }
    let answer = match &verdict {
        Ok(_) => "101".to_owned(),
        Err((status, why)) => format!("{status} {why}"),
    };
    if let Ok(mut log) = log.lock() {
        log.push(format!("upstream got {} -> {answer}", seen.join(" | ")));
    }
    let key = match verdict {
        Ok(key) => key,
        Err((status, why)) => {
            let length = why.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status} Plain\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{why}"
            );
            return;
        }
    };
    let accept = frame::accept(&key);
    let switched = write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    if switched.is_err() {
        return;
    }
    while let Ok(frame) = frame::read(&mut stream) {
        if frame::write(&mut stream, frame.opcode, &frame.payload, None).is_err()
            || frame.opcode == frame::CLOSE
        {
            return;
        }
    }
}

/// The key of a right handshake, or the status and reason of a refusal.
fn judge(head: &Head) -> Result<String, (u16, &'static str)> {
    let mut first = head.first.split(' ');
    if first.next() != Some("GET") {
        return Err((405, "the method is not GET"));
    }
    if first.nth(1) != Some("HTTP/1.1") {
        return Err((426, "the version is not HTTP/1.1"));
    }
    if head.all("upgrade").len() != 1 || !head.has_token("upgrade", "websocket") {
        return Err((426, "Upgrade is not one line with the token websocket"));
    }
    if !head.has_token("connection", "upgrade") {
        return Err((400, "Connection lacks the token upgrade"));
    }
    if !matches!(head.all("host")[..], [host] if !host.is_empty()) {
        return Err((400, "there is not exactly one Host"));
    }
    let [key] = head.all("sec-websocket-key")[..] else {
        return Err((400, "there is not exactly one Sec-WebSocket-Key"));
    };
    let decoded = base64::engine::general_purpose::STANDARD.decode(key);
    if !decoded.is_ok_and(|bytes| bytes.len() == 16) {
        return Err((400, "Sec-WebSocket-Key is not 16 bytes"));
    }
    if head.all("sec-websocket-version")[..] != ["13"] {
        return Err((400, "Sec-WebSocket-Version is not 13"));
    }
    Ok(key.to_owned())
}

//! What stands behind nginx besides the strict WebSocket server: an authentication server that
//! says yes to everything, and applications that speak uwsgi,
//! SCGI and FastCGI.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpListener;

use crate::socket::{frame, upstream};

pub(crate) const WEBSOCKET: u16 = 8000;
pub(crate) const AUTH: u16 = 8001;
pub(crate) const UWSGI: u16 = 8002;
pub(crate) const SCGI: u16 = 8003;
pub(crate) const FASTCGI: u16 = 8004;

/// Starts all of them; the log is of what reaches the WebSocket server.
pub(crate) fn start() -> io::Result<upstream::Log> {
    let log = upstream::Log::default();
    upstream::serve_application(listener(WEBSOCKET)?, &log, "/auth");
    upstream::serve_gate(listener(AUTH)?);
    serve(listener(UWSGI)?, |stream| {
        let mut head = [0; 4];
        stream.read_exact(&mut head)?;
        let mut block = vec![0; usize::from(u16::from_le_bytes([head[1], head[2]]))];
        stream.read_exact(&mut block)?;
        let mut variables = HashMap::new();
        let mut rest = &block[..];
        while let (name, after) = string(rest)?
            && !name.is_empty()
        {
            let (value, after) = string(after)?;
            variables.insert(name, value);
            rest = after;
        }
        answer(stream, &variables)
    });
    serve(listener(SCGI)?, |stream| {
        let mut length = String::new();
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() && byte[0] != b':' {
            length.push(char::from(byte[0]));
        }
        let length: usize = length.parse().map_err(io::Error::other)?;
        let mut block = vec![0; length.min(1 << 16) + 1];
        stream.read_exact(&mut block)?;
        let text = String::from_utf8_lossy(&block);
        let mut parts = text.split('\0').map(str::to_owned);
        let mut variables = HashMap::new();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            variables.insert(name, value);
        }
        answer(stream, &variables)
    });
    serve(listener(FASTCGI)?, |stream| {
        // Records until the end of the request's body, then one of output and the last one.
        loop {
            let mut head = [0; 8];
            stream.read_exact(&mut head)?;
            let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
            let mut body = vec![0; length + usize::from(head[6])];
            stream.read_exact(&mut body)?;
            if head[1] == 5 && length == 0 {
                break;
            }
        }
        let text = b"Status: 200 OK\r\n\r\n";
        let mut records = vec![1, 6, 0, 1, 0, text.len() as u8, 0, 0];
        records.extend(text);
        records.extend([1, 3, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        stream.write_all(&records)
    });
    Ok(log)
}

fn listener(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port))
}

fn serve(
    listener: TcpListener,
    talk: impl Fn(&mut std::net::TcpStream) -> io::Result<()> + Send + Sync + Copy + 'static,
) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || talk(&mut stream));
        }
    });
}

/// A string of a uwsgi block, and what follows; an empty one at its end.
fn string(block: &[u8]) -> io::Result<(String, &[u8])> {
    let Some((length, rest)) = block.split_at_checked(2) else {
        return Ok((String::new(), &[]));
    };
    let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let (text, rest) = rest
        .split_at_checked(length)
        .ok_or_else(|| io::Error::other("a short uwsgi block"))?;
    Ok((String::from_utf8_lossy(text).into_owned(), rest))
}

/// 101 and an echo for a handshake, 400 for anything else.
fn answer(stream: &mut (impl Read + Write), variables: &HashMap<String, String>) -> io::Result<()> {
    let value = |name: &str| variables.get(name).map_or("", String::as_str);
    let has = |name: &str, token: &str| {
        let mut parts = value(name).split(',');
        parts.any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    let key = value("HTTP_SEC_WEBSOCKET_KEY");
    let right = has("HTTP_UPGRADE", "websocket")
        && has("HTTP_CONNECTION", "upgrade")
        && value("HTTP_SEC_WEBSOCKET_VERSION") == "13"
        && !key.is_empty();
    if !right {
        return write!(
            stream,
            "Status: 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
        );
    }
    let accept = frame::accept(key);
    write!(
        stream,
        "Status: 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    loop {
        let got = frame::read(stream)?;
        frame::write(stream, got.opcode, &got.payload, None)?;
    }
}

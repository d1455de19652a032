//! WebSocket frames (RFC 6455 section 5), as far as an echo needs them.

use std::io::{self, Read, Write};

/// A frame as it came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) compressed: bool,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// Reads one frame, unmasking it where it is masked.
pub(crate) fn read(from: &mut impl Read) -> io::Result<Frame> {
    let mut head = [0; 2];
    from.read_exact(&mut head)?;
    let length = match head[1] & 0x7f {
        126 => {
            let mut bytes = [0; 2];
            from.read_exact(&mut bytes)?;
            u64::from(u16::from_be_bytes(bytes))
        }
        127 => {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes)?;
            u64::from_be_bytes(bytes)
        }
        short => u64::from(short),
    };
    if length > 1 << 20 {
        return Err(io::Error::other("a frame larger than 1 MiB"));
    }
    let mut mask = [0; 4];
    if head[1] & 0x80 != 0 {
        from.read_exact(&mut mask)?;
    }
    let mut payload = Vec::new();
    from.take(length).read_to_end(&mut payload)?;
    if payload.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[at % 4];
    }
    Ok(Frame {
        opcode: head[0] & 0x0f,
        compressed: head[0] & 0x40 != 0,
        payload,
    })
}

/// Writes a final frame of at most 125 bytes, masked as a client must or not as a server must.
pub(crate) fn write(
    to: &mut impl Write,
    opcode: u8,
    payload: &[u8],
    mask: Option<[u8; 4]>,
) -> io::Result<()> {
    let length = u8::try_from(payload.len())
        .ok()
        .filter(|length| *length < 126)
        .ok_or_else(|| io::Error::other("only short frames are written"))?;
    let mut bytes = vec![
        0x80 | opcode,
        length | if mask.is_some() { 0x80 } else { 0 },
    ];
    let key = mask.unwrap_or_default();
    bytes.extend(mask.iter().flatten());
    bytes.extend(
        payload
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ key[at % 4]),
    );
    to.write_all(&bytes)?;
    to.flush()
}

/// The text of a frame, inflated where permessage-deflate (RFC 7692) compressed it.
pub(crate) fn text(frame: &Frame) -> String {
    if !frame.compressed {
        return String::from_utf8_lossy(&frame.payload).into_owned();
    }
    let mut deflated = frame.payload.clone();
    // The sender leaves the tail of the last block out.
    deflated.extend([0, 0, 0xff, 0xff]);
    let inflated = miniz_oxide::inflate::decompress_to_vec_with_limit(&deflated, 1 << 20)
        .unwrap_or_else(|unfinished| unfinished.output);
    String::from_utf8_lossy(&inflated).into_owned()
}

/// `Sec-WebSocket-Accept` of a key.
pub(crate) fn accept(key: &str) -> String {
    use base64::Engine;
    let salted = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = sha1_smol::Sha1::from(salted).digest().bytes();
    base64::engine::general_purpose::STANDARD.encode(digest)
}

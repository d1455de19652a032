//! The path of a request as nginx matches it: decoded, without dot segments and, unless
//! `merge_slashes` is off, without empty ones (ngx_http_parse.c, ngx_http_parse_complex_uri).

use std::borrow::Cow;

/// A path ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uri {
    /// The decoded path.
    pub(super) path: String,
    /// Some byte of it was encoded, so that captures are encoded again.
    pub(super) quoted: bool,
}

/// What nginx makes of a path as it was sent; `None` if it answers 400.
pub(super) fn normalise(raw: &str, merge_slashes: bool) -> Option<Uri> {
    if !raw.starts_with('/') || raw.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return None;
    }
    let (decoded, quoted) = decode(raw)?;
    let mut path: Vec<u8> = Vec::with_capacity(decoded.len());
    // Where the open segment begins, after its slash.
    let mut segment = 0;
    let mut end = |path: &mut Vec<u8>, last: bool| -> Option<()> {
        match &path[segment..] {
            [b'.'] => path.truncate(segment),
            [b'.', b'.'] => {
                // Back over the slash before this segment, to the one before.
                let before = segment.checked_sub(1)?;
                let parent = path[..before].iter().rposition(|byte| *byte == b'/')?;
                path.truncate(parent + 1);
            }
            [] if merge_slashes && segment > 0 => {}
            _ if !last => path.push(b'/'),
            _ => {}
        }
        segment = path.len();
        Some(())
    };
    for byte in decoded {
        if byte == b'/' {
            end(&mut path, false)?;
        } else {
            path.push(byte);
        }
    }
    end(&mut path, true)?;
    let path = match String::from_utf8_lossy(&path) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    };
    Some(Uri { path, quoted })
}

/// The bytes behind the percent signs, and whether there are any such signs.
fn decode(raw: &str) -> Option<(Vec<u8>, bool)> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = raw.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut quoted = false;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        quoted = true;
        let value = (digit(bytes.get(at))? * 16 + digit(bytes.get(at + 1))?) as u8;
        at += 2;
        match value {
            0 => return None,
            value => decoded.push(value),
        }
    }
    Some((decoded, quoted))
}

/// A path as it is written into a request (ngx_escape_uri, NGX_ESCAPE_URI): `?`, `%`, `#`, blanks
/// and whatever is no printable ASCII encoded.
pub(super) fn escape(path: &str) -> String {
    encoded(path, |byte| matches!(byte, b' ' | b'#' | b'%' | b'?'))
}

/// A capture as it is written into a query or a redirect (NGX_ESCAPE_ARGS).
pub(super) fn escape_args(text: &str) -> String {
    encoded(text, |byte| {
        matches!(
            byte,
            b' ' | b'"' | b'#' | b'%' | b'&' | b'+' | b';' | b'<' | b'>' | b'?'
        )
    })
}

fn encoded(text: &str, special: impl Fn(u8) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if special(byte) || !(b' '..0x7f).contains(&byte) {
            escaped.push_str(&format!("%{byte:02X}"));
        } else {
            escaped.push(char::from(byte));
        }
    }
    escaped
}

/// Splits the query from a URI that the configuration names (ngx_http_split_args).
pub(super) fn split(uri: &str) -> (&str, Option<&str>) {
    match uri.split_once('?') {
        Some((path, args)) => (path, Some(args)),
        None => (uri, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_matched_decoded_and_merged() {
        for (raw, merged, apart) in [
            ("/ws", Some("/ws"), Some("/ws")),
            ("//ws///a/", Some("/ws/a/"), Some("//ws///a/")),
            ("/a/./b", Some("/a/b"), Some("/a/b")),
            ("/a/../b", Some("/b"), Some("/b")),
            ("/a/b/..", Some("/a/"), Some("/a/")),
            ("/a/.", Some("/a/"), Some("/a/")),
            ("/..", None, None),
            ("/%77s", Some("/ws"), Some("/ws")),
            ("/a%2Fb", Some("/a/b"), Some("/a/b")),
            ("/a/%2e%2e/b", Some("/b"), Some("/b")),
            ("/a%00", None, None),
            ("/a%zz", None, None),
            ("/...", Some("/..."), Some("/...")),
        ] {
            let path = |merge| normalise(raw, merge).map(|uri| uri.path);
            assert_eq!(path(true).as_deref(), merged, "{raw}");
            assert_eq!(path(false).as_deref(), apart, "{raw}");
        }
    }
}

//! The address of a `proxy_pass`: what nginx refuses to load, and what it can't resolve.

use std::net::IpAddr;

use super::model::View;
use crate::syntax::Word;

/// An address in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address<'t> {
    /// `https`.
    pub(super) tls: bool,
    /// Name or address; IPv6 in its brackets, `unix` for a socket.
    pub(super) host: &'t str,
    /// The port, where it is written.
    pub(super) port: Option<u16>,
}

impl<'t> Address<'t> {
    /// Reads `http[s]://host[:port][/…]`.
    pub(super) fn read(url: &'t str) -> Option<Self> {
        let (tls, rest) = match url.split_once("://")? {
            ("http", rest) => (false, rest),
            ("https", rest) => (true, rest),
            _ => return None,
        };
        if rest.starts_with("unix:") {
            return Some(Self {
                tls,
                host: "unix",
                port: None,
            });
        }
        let (host, port) = authority(rest.split(['/', '?']).next()?);
        Some(Self { tls, host, port })
    }

    /// The port that it reaches.
    pub(super) fn reached(self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// Whether nobody has to look a name up.
    fn is_literal(self) -> bool {
        let bare = self.host.trim_matches(['[', ']']);
        self.host == "unix" || bare.parse::<IpAddr>().is_ok()
    }
}

/// Host and port of `host[:port]`.
pub(super) fn authority(text: &str) -> (&str, Option<u16>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
            (host, port.parse().ok())
        }
        _ => (text, None),
    }
}

/// Whether `proxy_pass` certainly lacks `http://` or `https://`: nginx says `invalid URL prefix`
/// (ngx_http_proxy_pass). Placeholders look otherwise.
pub(super) fn without_scheme(view: View<'_>, word: &Word) -> bool {
    if word.templated || word.text.contains(['$', '<', '{', '%', '@', '#']) {
        return false;
    }
    if let Some((scheme, _)) = word.text.split_once("://") {
        return !matches!(scheme, "http" | "https" | "ws" | "wss")
            && !scheme.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_lowercase());
    }
    let (host, port) = authority(word.text.split('/').next().unwrap_or_default());
    let named = view.config.upstreams.contains_key(host);
    let plain = host
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte));
    named || word.text.starts_with("unix:") || (plain && !host.is_empty() && port.is_some())
}

/// Whether the host of `url`, which a variable gives, is one that nginx knows without a resolver:
/// an address, or the name of an upstream. An `upstream` block matches a URL without a port; a
/// literal `proxy_pass` elsewhere makes an upstream of its own, which matches host and port
/// (ngx_http_upstream_init_request).
pub(super) fn is_resolved(view: View<'_>, address: Address<'_>) -> bool {
    let host = address.host.to_ascii_lowercase();
    let names = view.names();
    address.is_literal()
        || (address.port.is_none() && names.upstreams.contains(&host))
        || names.passes.contains(&(host, address.reached()))
}

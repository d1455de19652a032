//! Caddy's rules, one place for each: why a handshake is lost, in words.

pub mod headers;
pub mod https_redirect;
pub mod plain_upstream;
pub mod rewritten;

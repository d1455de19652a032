//! The checks of the rules that no single file shows, one place per rule.

pub mod forwarded_proto;
pub mod https_redirect;

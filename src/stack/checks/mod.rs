//! The checks of the rules that no single file shows, one place per rule.

pub mod backend_drift;
pub mod forwarded_proto;
pub mod https_redirect;
pub mod idle_timeout;
pub mod origin_not_allowed;
pub mod sticky_sessions;

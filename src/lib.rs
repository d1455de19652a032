//! wslint proves whether a WebSocket handshake gets through your configuration.
//!
//! ```text
//! source → syntax → model → handshake → rules → findings → output
//! ```
//!
//! Data flows one way: nothing to the left knows anything to its right. Each technology
//! ([`nginx`], [`caddy`], [`django`]) resolves its files as the real server would and lets a
//! [`handshake`] through; a [`rule`] names and explains a loss.

pub mod caddy;
pub mod check;
pub mod cli;
pub mod context;
pub mod csp;
pub mod deploy;
pub mod django;
pub mod edge;
pub mod finding;
pub mod fix;
pub mod grammar;
pub mod handshake;
pub mod nginx;
pub mod output;
pub mod parallel;
pub mod project;
pub mod rule;
pub mod sample;
pub mod source;
pub mod stack;
pub mod syntax;
pub mod trace;
pub mod value;
mod yaml;

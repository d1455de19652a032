//! Caddy: Caddyfiles adapted as Caddy does, and the handshake's way through their sites.
//!
//! [`expand`] replaces environment values, snippets and imports; [`order`] sorts the directives;
//! [`matcher`], [`handler`] and [`proxy`] give them their meaning; [`hop`] lets a handshake through a site, [`Caddy`] chooses the site;
//! [`route`] says where handshakes arrive and how we know; [`checks`] name a loss.

mod address;
pub mod checks;
mod expand;
pub mod handler;
pub mod hop;
mod matcher;
mod model;
mod order;
mod placeholder;
mod process;
pub mod proxy;
pub mod route;
pub mod syntax;

pub use address::{Address, Ports};
pub use expand::{Directive, Word};
pub use matcher::{Doubt, Matcher, Test};
pub use model::{AutoHttps, Config, Model, Options, Site, references};
pub use process::Caddy;

#[cfg(test)]
use model::parse_all;

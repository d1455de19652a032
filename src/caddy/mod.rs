//! Caddy: Caddyfiles adapted as Caddy does, and the handshake's way through their sites.
//!
//! [`environment`] says what a deployment supplies; [`expand`] replaces such values, snippets and
//! imports; [`order`] sorts the directives;
//! [`matcher`], [`handler`] and [`proxy`] give them their meaning; [`server`] chooses the site,
//! [`walk`] and [`hop`] let a handshake through, [`response`] its answer back; [`route`] says where handshakes arrive and how we know; [`checks`] name a loss.

mod address;
mod cel;
pub mod checks;
mod environment;
mod expand;
mod files;
pub mod handler;
pub mod hop;
mod import;
mod list;
mod map;
mod matcher;
mod model;
mod order;
mod path;
mod placeholder;
mod process;
pub mod proxy;
pub mod refused;
mod response;
pub mod route;
mod server;
pub mod syntax;
mod walk;

pub use address::{Address, Ports};
pub use environment::{By, Variable};
pub use expand::{Directive, Word};
pub use list::List;
pub use map::Map;
pub use matcher::{Candidates, Doubt, Expression, Matcher, Test};
pub use model::{
    AutoHttps, CURRENT, Certificates, Config, Model, Options, ServerOptions, Site, references,
};
pub use process::Caddy;
pub use response::{Answers, HeaderOps, ResponseHandler, Spoiled};
pub use route::{Served, served};
pub use server::Arrival;

#[cfg(test)]
use model::parse_all;

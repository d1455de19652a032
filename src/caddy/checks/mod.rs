//! Caddy's rules, one place for each: why a handshake is lost, in words.

pub mod answered;
pub mod auth;
pub mod exact_path;
pub mod headers;
pub mod https_redirect;
pub mod lifetime;
mod lost;
mod mend;
pub mod never_matches;
pub mod no_http1;
pub mod plain_upstream;
pub mod policy;
pub mod pool;
pub mod prefix_stripped;
pub mod refused;
pub mod request_header;
pub mod response_header;
pub mod rewritten;
pub mod upstream_host;
pub mod upstream_protocol;

use super::expand::Directive;
use super::handler::{Action, Handler};
use super::model::Config;
use super::route::Route;
use crate::context::Context;
use crate::project::Version;

/// The Caddy that is taken to run: the target, else the current one.
fn target(cx: &Context<'_>) -> Version {
    cx.project.config.targets.caddy.unwrap_or([2, 11, 7])
}

/// The configurations that have routes, with these.
fn by_config<'a>(cx: &'a Context<'_>) -> Vec<(&'a Config, Vec<&'a Route>)> {
    let configs = cx.caddy.configs.iter().enumerate();
    configs
        .map(|(at, config)| {
            let routes = cx.caddy.routes.iter().filter(|route| route.config == at);
            (config, routes.collect())
        })
        .filter(|(_, routes): &(_, Vec<_>)| !routes.is_empty())
        .collect()
}

/// Whether a route's handshake arrives over TLS, and at which port; `None` for a fragment.
fn listener_of(cx: &Context<'_>, route: &Route) -> Option<(bool, u16)> {
    let ports = &cx.caddy.configs[route.config].options.ports;
    let address = cx.caddy.site(route).addresses.first()?;
    (!address.unknown).then(|| (address.is_tls(ports), address.listens(ports)))
}

/// Whether a `servers` block is about that port: it names a listener, or none.
fn concerns(servers: &Directive, port: u16) -> bool {
    servers.arg(0).is_none_or(|listener| {
        listener
            .rsplit_once(':')
            .is_some_and(|(_, own)| own.parse() == Ok(port))
    })
}

/// A directive without its matcher, its block with it, indented once.
fn proxy_lines(cx: &Context<'_>, handler: &Handler) -> String {
    let text = cx.project.slice(handler.span);
    let is_block = matches!(handler.action, Action::Block(..));
    match handler.matcher.span.filter(|_| !is_block) {
        Some(span) => {
            let matcher = format!(" {}", cx.project.slice(span));
            indented(&text.replacen(&matcher, "", 1), 1)
        }
        None => indented(text, 1),
    }
}

/// `text`, which began somewhere on its line, with its lines indented by `tabs` and by what its
/// further lines are indented more than the least of them.
fn indented(text: &str, tabs: usize) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let further = || text.lines().skip(1).filter(|line| !line.trim().is_empty());
    let least = further().map(indent).min().unwrap_or(0);
    let lines = text.lines().enumerate().map(|(number, line)| {
        let line = if number == 0 {
            line
        } else {
            line.get(least..).unwrap_or_default()
        };
        format!("{}{}", "\t".repeat(tabs), line.trim_end())
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;

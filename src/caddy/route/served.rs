//! The routes of the application that stands behind Caddy.

use super::host;
use crate::caddy::Model;
use crate::caddy::handler::{Action, Block, Handler, UriEdit};
use crate::caddy::hop::SiteHop;
use crate::handshake::{Browser, Evidence, Judged, Outcome, Request, Upstream, judge};

/// A route of the project's application, and a site through which its clients come.
#[derive(Clone, Debug)]
pub struct Served {
    /// Index of the configuration in the model.
    pub config: usize,
    /// Index of the site in the configuration.
    pub site: usize,
    /// A path that the route takes.
    pub path: String,
    /// The route.
    pub evidence: Evidence,
    /// The address at which Caddy reaches the application.
    pub dials: (String, u16),
}

/// Handshakes for routes of an application that are sent through sites, at most.
const MAX_SERVED: usize = 2_000;

/// The routes of the application that is reached at `dials`, each with the sites through which its
/// clients come: those that let it through, else all that stand before it. `knows` says whether
/// the application may have a route for a path. None where something before it changes paths:
/// clients may ask for others than the application's.
pub fn served(
    model: &Model,
    dials: &(String, u16),
    routes: &[(String, Evidence)],
    knows: &dyn Fn(&str) -> bool,
) -> Vec<Served> {
    let mut before = Vec::new();
    let mut moves = false;
    for (config, one) in model.configs.iter().enumerate() {
        for (site, at) in one.sites.iter().enumerate() {
            let mut ways = at.handlers.proxies();
            let way = ways.find(|(_, _, proxy)| !proxy.is_subrequest && proxy.dials(dials));
            if way.is_some() && !at.is_fragment() {
                before.push((config, site));
                moves |= at.handlers.all.iter().any(moves_path);
            }
        }
    }
    let mut found = Vec::new();
    let most = MAX_SERVED / before.len().max(1);
    for (path, evidence) in routes.iter().take(most) {
        let (through, lost): (Vec<_>, Vec<_>) = before
            .iter()
            .partition(|(config, site)| lets_through(model, *config, *site, path, dials, knows));
        let sites = match (through.is_empty(), moves) {
            (false, _) => through,
            (true, false) => lost,
            (true, true) => continue,
        };
        found.extend(sites.into_iter().map(|(config, site)| Served {
            config,
            site,
            path: path.clone(),
            evidence: evidence.clone(),
            dials: dials.clone(),
        }));
    }
    found
}

/// Whether it makes another path of one, in a way that something before it may have prepared.
fn moves_path(handler: &Handler) -> bool {
    match &handler.action {
        Action::Block(Block::HandlePath(_), _) => true,
        Action::Rewrite(to) => to.text.contains(['{', '*']),
        Action::Uri(edit) => !matches!(edit, UriEdit::Query(_)),
        Action::Proxy(proxy) => proxy.rewrite.is_some() && !proxy.is_subrequest,
        _ => false,
    }
}

/// Whether a site may hand the handshake for `path` to the application as it is.
fn lets_through(
    model: &Model,
    config: usize,
    site: usize,
    path: &str,
    dials: &(String, u16),
    knows: &dyn Fn(&str) -> bool,
) -> bool {
    let ports = &model.configs[config].options.ports;
    let at = &model.configs[config].sites[site];
    let address = at.addresses.first();
    let tls = address.is_some_and(|address| address.is_tls(ports));
    let port = address.map_or(80, |address| address.listens(ports));
    let hop = SiteHop {
        handlers: &at.handlers,
        place: at.span,
    };
    Browser::ALL.into_iter().all(|browser| {
        let request = Request::handshake(browser, tls, &host(at, &[]), port, path);
        match hop.journey(&request).outcome {
            Outcome::Answers { .. } => false,
            Outcome::Undecided { .. } => true,
            Outcome::Forwards { to, request, .. } => {
                let there = |upstream: &Upstream| {
                    upstream.host.known() == Some(&dials.0)
                        && upstream.port.known() == Some(&dials.1)
                };
                to.iter().all(there)
                    && knows(&request.path)
                    && !matches!(judge(&request), Judged::Lost(_))
            }
        }
    })
}

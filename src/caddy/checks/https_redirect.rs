//! An edge that ends TLS reaches an automatic-HTTPS site over plain HTTP.

use std::collections::{BTreeMap, HashSet};

use crate::caddy::route::Route;
use crate::caddy::{Address, AutoHttps, Config, Site};
use crate::context::Context;
use crate::finding::Report;
use crate::source::SourceId;

/// `caddy/https-redirect`.
pub fn https_redirect(cx: &Context<'_>, report: &mut Report<'_>) {
    let edge = &cx.project.config.edge;
    if !edge.speaks_plain_http() {
        return;
    }
    let inner = inner_hosts(cx);
    let plain = plain_hosts(cx);
    // Each site once, with the first route that it has.
    let mut sites: BTreeMap<(usize, usize), &Route> = BTreeMap::new();
    for route in &cx.caddy.routes {
        sites.entry((route.config, route.site)).or_insert(route);
    }
    for ((config, at), route) in sites {
        let config = &cx.caddy.configs[config];
        let site = &config.sites[at];
        for address in &site.addresses {
            // Behind an edge many set `http://…`.
            let is_set = || address.variable.is_some();
            if address.unknown && (!address.is_public() || is_set()) {
                if address.scheme.is_none() && address.port.is_none() {
                    report.undecided(
                        address.span,
                        format!(
                            "whether {} reaches this site over plain HTTP depends on the address `{}`",
                            edge.title(),
                            address.text
                        ),
                    );
                }
                continue;
            }
            let served = plain.contains(&(config.source, address.host.as_str()));
            if !served && meets_redirect(config, address) && !inner.contains(&address.host) {
                explain(cx, config, site, address, route, report);
                // The other addresses of the site have the same cause.
                break;
            }
        }
    }
}

/// Whether plain HTTP to that address's name meets nothing but the redirect, or nothing at all.
fn meets_redirect(config: &Config, address: &Address) -> bool {
    let ports = &config.options.ports;
    let reachable = address.host.is_empty() || address.is_public();
    reachable && address.is_tls(ports) && address.listens(ports) == ports.https
}

/// Hosts with a plain site on port 80, by configuration: that takes what comes there, and a
/// catch-all does not.
fn plain_hosts<'a>(cx: &'a Context<'_>) -> HashSet<(SourceId, &'a str)> {
    let mut hosts = HashSet::new();
    for config in &cx.caddy.configs {
        let ports = &config.options.ports;
        let addresses = config.sites.iter().flat_map(|site| &site.addresses);
        let plain = addresses
            .filter(|address| !address.is_tls(ports) && address.listens(ports) == ports.http);
        hosts.extend(plain.map(|address| (config.source, address.host.as_str())));
    }
    hosts
}

/// Hosts that a proxy of the project dials: what stands behind another one meets no edge.
fn inner_hosts(cx: &Context<'_>) -> HashSet<String> {
    cx.caddy
        .configs
        .iter()
        .flat_map(|config| &config.sites)
        .flat_map(|site| site.handlers.proxies())
        .flat_map(|(_, _, proxy)| &proxy.upstreams)
        .filter_map(|upstream| upstream.host.clone())
        .collect()
}

fn explain(
    cx: &Context<'_>,
    config: &Config,
    site: &Site,
    address: &Address,
    route: &Route,
    report: &mut Report<'_>,
) {
    let edge = &cx.project.config.edge;
    // The one that speaks to Caddy.
    let title = edge.innermost().map_or("the edge", |edge| edge.title);
    let port = config.options.ports.http;
    let host = if route.host.is_empty() {
        "…"
    } else {
        &route.host
    };
    let redirects = config.options.auto_https == AutoHttps::Full;
    let (message, label) = if redirects {
        (
            format!(
                "{title} speaks plain HTTP to Caddy, which answers every handshake with 308 to https://"
            ),
            format!("automatic HTTPS: on port {port} this site is nothing but a redirect"),
        )
    } else {
        (
            format!(
                "{title} speaks plain HTTP to Caddy, and nothing listens for it on port {port}"
            ),
            "a TLS site: it listens on the HTTPS port only".to_owned(),
        )
    };
    let mut finding = report.finding(message, address.span, label);
    if let Some(declared) = edge.declared {
        finding = finding.label(
            declared,
            format!("{title} goes on in plain HTTP where TLS has ended"),
        );
    }
    if let (false, Some(line)) = (redirects, config.options.auto_https_line) {
        finding = finding.label(
            line,
            "switches the redirect off, and with it all of port 80",
        );
    }
    if let Some(place) = route.place() {
        finding = finding.label(place, route.reason());
    }
    finding = if redirects {
        finding.note(format!(
            "Caddy answers `308 Permanent Redirect`, `Location: https://{host}{}`; that leads through {title} back to \
             port {port}. No browser follows a redirect in a handshake: the page sees close code 1006",
            route.shown_path()
        ))
    } else {
        finding
    };
    if route.place().is_none() {
        finding = finding.note(route.reason());
    }
    finding = finding.note(
        "what does not help: `auto_https off` or `disable_redirects` (then nothing listens on port 80 at all), \
         `trusted_proxies`, X-Forwarded-Proto (the redirect does not look at it), a `:80` site beside this one",
    );
    let http: Vec<String> = site
        .addresses
        .iter()
        .map(|address| {
            let rest = address
                .text
                .split_once("://")
                .map_or(address.text.as_str(), |(_, rest)| rest);
            format!("http://{}", rest.trim_start_matches(":443"))
        })
        .collect();
    report.push(
        finding
            .help(format!(
                "let the site speak plain HTTP, since {title} already speaks TLS:\n\n{} {{",
                http.join(", ")
            ))
            .help(format!(
                "or let {title} speak TLS to Caddy (port {})",
                config.options.ports.https
            )),
    );
}

//! The Host that an upstream is asked for, and the name that it is known by.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::lost::evidence;
use super::target;
use crate::caddy::handler::Handler;
use crate::caddy::proxy::{Change, Proxy, Scheme, Upstream};
use crate::caddy::route::{self, Route};
use crate::caddy::{Address, Config, Site};
use crate::context::Context;
use crate::finding::Report;
use crate::rule::Severity;

/// `caddy/upstream-host`.
pub fn upstream_host(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    let named = named(cx);
    for at in route::proxies(&cx.caddy) {
        let (route, site, handler, proxy) = at;
        if proxy.partial || site.is_fragment() {
            continue;
        }
        for upstream in &proxy.upstreams {
            if !seen.insert(upstream.span) {
                continue;
            }
            if !by_address(route, handler, proxy, upstream, report) {
                unknown_host(cx, &named, at, upstream, report);
            }
        }
    }
}

/// TLS to an address, whose certificate has a name.
fn by_address(
    route: &Route,
    handler: &Handler,
    proxy: &Proxy,
    upstream: &Upstream,
    report: &mut Report<'_>,
) -> bool {
    let tls = upstream.scheme == Scheme::Https;
    let address = upstream
        .host
        .as_deref()
        .and_then(|host| host.parse::<IpAddr>().ok());
    // Whoever has set anything about certificates has thought of it.
    let thought_of = proxy.tls_transport
        || handler
            .lines
            .iter()
            .any(|line| line.name().starts_with("tls"));
    if !tls || address.is_none() || thought_of {
        return false;
    }
    let finding = report
        .finding(
            format!(
                "{} gets 502: TLS to an address asks for no name",
                route.handshake()
            ),
            upstream.span,
            "no name for the certificate",
        )
        .severity(Severity::Warning)
        .label(handler.head, "sends the sockets there");
    report.push(
        evidence(finding, route)
            .note(
                "an address goes out without SNI, and a certificate for it is rare: the server ends the TLS handshake, or \
                 Caddy does not trust what it shows",
            )
            .help(
                "write the name, or say which one it is:\n\ntransport http {\n\ttls_server_name app.example.com\n}",
            ),
    );
    true
}

/// A site of the project that has no address for the Host that arrives.
fn unknown_host(
    cx: &Context<'_>,
    named: &Named<'_>,
    (route, site, handler, proxy): (&Route, &Site, &Handler, &Proxy),
    upstream: &Upstream,
    report: &mut Report<'_>,
) {
    let (Some(host), Some(port)) = (upstream.host.as_deref(), upstream.port) else {
        return;
    };
    let tls = upstream.scheme == Scheme::Https || proxy.tls_transport;
    let Some((config, inner)) = inner(named, host, port, tls) else {
        return;
    };
    let Some(sent) = sent_host(cx, site, proxy, host, tls) else {
        return;
    };
    let ports = &config.options.ports;
    let listening =
        |address: &&Address| address.listens(ports) == port && address.is_tls(ports) == tls;
    let mut addresses = config
        .sites
        .iter()
        .flat_map(|site| &site.addresses)
        .filter(listening);
    let may_take =
        |address: &Address| address.unknown || address.varies().is_some() || address.takes(&sent);
    if addresses.any(may_take) {
        return;
    }
    let line = proxy
        .header_up
        .iter()
        .rfind(|line| line.field.eq_ignore_ascii_case("host"));
    let finding = report
        .finding(
            format!(
                "`{host}` is asked for the Host `{sent}`, for which it has no site: the handshake gets an empty 200"
            ),
            line.map_or(upstream.span, |line| line.value),
            if line.is_some() {
                "the Host that is sent"
            } else {
                "Caddy passes the client's Host on"
            },
        )
        .severity(Severity::Error)
        .label(inner.span, format!("takes `{}` only", inner.text))
        .label(handler.head, "sends the sockets there");
    report.push(
        evidence(finding, route)
            .note(
                "Caddy answers 200 with an empty body where no site has the Host that is asked for. From 2.11 on an `https://` \
                 upstream is asked for its own name; before, and over plain HTTP, for the client's",
            )
            .help("ask for the name that the upstream serves:\n\nheader_up Host {upstream_hostport}"),
    );
}

/// The site that the project has for that host and port.
fn inner<'a>(
    named: &Named<'a>,
    host: &str,
    port: u16,
    tls: bool,
) -> Option<(&'a Config, &'a Address)> {
    let of_host = named.get(host).into_iter().flatten();
    of_host.copied().find(|(config, address)| {
        let ports = &config.options.ports;
        address.listens(ports) == port && address.is_tls(ports) == tls
    })
}

/// The addresses of public names, by these.
type Named<'a> = HashMap<&'a str, Vec<(&'a Config, &'a Address)>>;

fn named<'a>(cx: &'a Context<'_>) -> Named<'a> {
    let mut named = Named::new();
    for config in &cx.caddy.configs {
        let addresses = config.sites.iter().flat_map(|site| &site.addresses);
        for address in addresses.filter(|address| !address.unknown && address.is_public()) {
            let own = named.entry(address.host.as_str()).or_default();
            own.push((config, address));
        }
    }
    named
}

/// The Host that the upstream is asked for, without its port; `None` where that is not certain.
fn sent_host(
    cx: &Context<'_>,
    site: &Site,
    proxy: &Proxy,
    host: &str,
    tls: bool,
) -> Option<String> {
    let line = proxy
        .header_up
        .iter()
        .rfind(|line| line.field.eq_ignore_ascii_case("host"));
    let clients = || {
        let mut addresses = site.addresses.iter();
        let (Some(only), None) = (addresses.next(), addresses.next()) else {
            return None;
        };
        let certain = !only.unknown
            && only.varies().is_none()
            && !only.host.is_empty()
            && !only.host.contains('*');
        certain.then(|| only.host.clone())
    };
    let text = match line.map(|line| &line.change) {
        None if tls && target(cx) >= [2, 11, 0] => return Some(host.to_owned()),
        None => return clients(),
        Some(Change::Set(word)) => word.known()?,
        Some(_) => return None,
    };
    match text {
        "{upstream_hostport}" | "{http.reverse_proxy.upstream.hostport}" => Some(host.to_owned()),
        "{http.reverse_proxy.upstream.host}" => Some(host.to_owned()),
        "{host}" | "{hostport}" | "{http.request.host}" | "{http.request.hostport}" => clients(),
        text if text.contains('{') => None,
        text => Some(text.split(':').next().unwrap_or(text).to_ascii_lowercase()),
    }
}

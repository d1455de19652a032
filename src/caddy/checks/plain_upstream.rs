//! A proxy dials, over plain HTTP, a host that speaks TLS: port 80 there is nothing but a redirect.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::indented;
use crate::caddy::address::{host_matches, is_public_name};
use crate::caddy::handler::Handler;
use crate::caddy::proxy::{Change, Proxy, Scheme, Upstream};
use crate::caddy::route::{self, Route};
use crate::caddy::{Address, AutoHttps, Config, Site};
use crate::context::Context;
use crate::finding::{Finding, Report};
use crate::rule::Severity;
use crate::source::Span;

/// What the project shows about an upstream's host.
#[derive(Clone, Copy)]
enum Shown<'a> {
    /// A site of the project serves it over TLS, and port 80 redirects (or is closed).
    Tls(&'a Config, &'a Address),
    /// A site of the project serves it over plain HTTP.
    Plain,
    /// Nothing.
    Nothing,
}

/// An upstream that is dialled over plain HTTP and should not be.
struct Suspect<'a> {
    upstream: &'a Upstream,
    host: &'a str,
    shown: Shown<'a>,
}

/// `caddy/plain-http-upstream`.
pub fn plain_http_upstream(cx: &Context<'_>, report: &mut Report<'_>) {
    let sites = Sites::of(cx);
    let mut seen: HashSet<Span> = HashSet::new();
    for (route, site, handler, proxy) in route::proxies(&cx.caddy) {
        if proxy.tls_transport {
            continue;
        }
        let joined = |suspect: &Suspect<'_>| {
            let mut redirects = cx.redirected().iter();
            redirects.any(|one| one.dial == suspect.upstream.span)
        };
        let suspects: Vec<Suspect<'_>> = proxy
            .upstreams
            .iter()
            .filter_map(|upstream| suspect(upstream, &sites))
            // Told as a chain, where the project shows who redirects.
            .filter(|suspect| !joined(suspect))
            .collect();
        if let Some(first) = suspects.first()
            && seen.insert(first.upstream.span)
        {
            report.push(explain(cx, route, site, handler, proxy, &suspects, report));
        }
    }
}

/// The upstreams of which this rule proves that they redirect: sites of the project by their name.
pub(crate) fn proved(cx: &Context<'_>) -> BTreeSet<Span> {
    let sites = Sites::of(cx);
    let proxies = route::proxies(&cx.caddy).filter(|(.., proxy)| !proxy.tls_transport);
    let upstreams = proxies.flat_map(|(.., proxy)| &proxy.upstreams);
    upstreams
        .filter_map(|upstream| suspect(upstream, &sites))
        .filter(|suspect| matches!(suspect.shown, Shown::Tls(..)))
        .map(|suspect| suspect.upstream.span)
        .collect()
}

/// Whether `upstream` is dialled over plain HTTP though it speaks TLS, for all we know.
fn suspect<'a>(upstream: &'a Upstream, sites: &Sites<'a>) -> Option<Suspect<'a>> {
    let (host, port) = (upstream.host.as_deref()?, upstream.port?);
    if !matches!(upstream.scheme, Scheme::None | Scheme::Http) {
        return None;
    }
    let shown = sites.find(host, port);
    let suspicious = match shown {
        Shown::Tls(..) => true,
        Shown::Plain => false,
        Shown::Nothing => is_public_name(host) && matches!(port, 80 | 443),
    };
    suspicious.then_some(Suspect {
        upstream,
        host,
        shown,
    })
}

/// The sites of all Caddyfiles, by host.
struct Sites<'a> {
    exact: HashMap<&'a str, Vec<(&'a Config, &'a Address)>>,
    wildcards: Vec<(&'a Config, &'a Address)>,
}

impl<'a> Sites<'a> {
    fn of(cx: &'a Context<'_>) -> Self {
        let mut sites = Self {
            exact: HashMap::new(),
            wildcards: Vec::new(),
        };
        for config in &cx.caddy.configs {
            for address in config.sites.iter().flat_map(|site| &site.addresses) {
                if address.unknown || address.host.is_empty() {
                    continue;
                }
                if address.host.contains('*') {
                    sites.wildcards.push((config, address));
                } else {
                    sites
                        .exact
                        .entry(&address.host)
                        .or_default()
                        .push((config, address));
                }
            }
        }
        sites
    }

    /// What answers plain HTTP to `port` of `host`.
    fn find(&self, host: &str, port: u16) -> Shown<'a> {
        let exact = self.exact.get(host).into_iter().flatten();
        let wildcards = self
            .wildcards
            .iter()
            .filter(|(_, address)| host_matches(&address.host, host));
        let mut shown = Shown::Nothing;
        for (config, address) in exact.chain(wildcards) {
            let ports = &config.options.ports;
            let listens = address.listens(ports);
            if !address.is_tls(ports) {
                if listens == port {
                    return Shown::Plain;
                }
                continue;
            }
            if address.varies().is_some() {
                continue;
            }
            // A TLS site on any port redirects on the HTTP port.
            let redirects = port == 80 && ports.http == 80;
            if (listens == port || redirects) && matches!(shown, Shown::Nothing) {
                shown = Shown::Tls(config, address);
            }
        }
        shown
    }
}

fn explain(
    cx: &Context<'_>,
    route: &Route,
    site: &Site,
    handler: &Handler,
    proxy: &Proxy,
    suspects: &[Suspect<'_>],
    report: &Report<'_>,
) -> Finding {
    // What the project proves is told first; what it only suggests is a warning of its own weight.
    let proved: Vec<&Suspect<'_>> = suspects
        .iter()
        .filter(|suspect| matches!(suspect.shown, Shown::Tls(..)))
        .collect();
    let told: Vec<&Suspect<'_>> = if proved.is_empty() {
        suspects.iter().collect()
    } else {
        proved.clone()
    };
    let names: Vec<&str> = told.iter().map(|suspect| suspect.host).collect();
    let (is, answers) = if names.len() == 1 {
        ("is", "answers")
    } else {
        ("are", "answer")
    };
    let listed = list(&names);
    let meets = meets(cx, route, site, proxy, &told);
    let message = match meets {
        Meets::TlsPort(port) => format!(
            "{listed} {is} dialled in plain HTTP on port {port}, where TLS is spoken: the handshake gets 400"
        ),
        Meets::Redirect => format!(
            "{listed} {is} dialled over plain HTTP and {answers} every handshake with 308 to https://"
        ),
        Meets::Closed => {
            format!("{listed} {is} dialled over plain HTTP on port 80, where nothing listens")
        }
        Meets::Itself(_) => format!(
            "{listed} {is} dialled over plain HTTP, which leads back to this very site, round and round"
        ),
        Meets::Perhaps => format!(
            "{listed} {is} dialled over plain HTTP: a server that speaks TLS answers the handshake with a redirect"
        ),
    };
    let span = span_of(&told);
    let label = match (&told[0].upstream.scheme, meets) {
        (Scheme::Http, Meets::TlsPort(_)) => "`http://` to a TLS port",
        (_, Meets::TlsPort(_)) => "no scheme: Caddy speaks plain HTTP here",
        (Scheme::Http, _) => "`http://` dials port 80",
        _ if told[0].upstream.has_port => "port 80",
        _ => "no scheme: Caddy dials port 80",
    };
    let mut finding = report.finding(message, span, label);
    if !proved.is_empty() {
        finding = finding.severity(Severity::Error);
    }
    let mut labelled = HashSet::new();
    for suspect in &proved {
        let Shown::Tls(config, address) = suspect.shown else {
            continue;
        };
        if !labelled.insert(address.span) {
            continue;
        }
        let host = suspect.host;
        let label = match meets {
            Meets::TlsPort(port) => {
                format!("automatic HTTPS: port {port} of `{host}` speaks TLS only")
            }
            Meets::Itself(_) => format!("`{host}` is served over TLS only"),
            Meets::Closed => format!("served over TLS only; port 80 of `{host}` is closed"),
            Meets::Redirect | Meets::Perhaps => {
                format!("automatic HTTPS: on port 80 `{host}` is nothing but a 308")
            }
        };
        finding = finding.label(address.span, label);
        if let (false, Some(line)) = (
            config.options.auto_https == AutoHttps::Full,
            config.options.auto_https_line,
        ) && labelled.insert(line)
        {
            finding = finding.label(
                line,
                "switches the redirect off, and with it all of port 80",
            );
        }
    }
    if let Meets::Itself(address) = meets {
        finding = finding.label(
            address,
            "takes it on port 80, since Caddy passes the client's Host on",
        );
    }
    finding = evidence(finding, route, span);
    finding = finding.note(
        "`reverse_proxy` speaks TLS only to `https://…`; an upstream without a scheme is plain HTTP, and without a port \
         it is port 80",
    );
    if let Meets::Itself(_) = meets {
        finding = finding.note(
            "the handshake goes round until the headers that each round adds are too many (431) or no socket is left (502)",
        );
    }
    if matches!(meets, Meets::Redirect) {
        finding = finding.note(redirect(route, site, proxy, proved[0]));
    }
    finding = finding.help(over_tls(cx, handler, proxy, suspects));
    if proved.is_empty() {
        return finding.help(
            "if the host really serves plain HTTP, say so: a suppression comment above the line\n\n\
             # wslint: ignore[caddy/plain-http-upstream] plain HTTP inside the private network",
        );
    }
    let own = cx.caddy.configs[route.config].source;
    let elsewhere = proved
        .iter()
        .all(|suspect| matches!(suspect.shown, Shown::Tls(config, _) if config.source != own));
    if elsewhere && !matches!(meets, Meets::TlsPort(_)) {
        finding = finding.help(over_plain_http(cx, &proved));
    }
    finding.note(
        "what does not help on the upstream's side: `auto_https off` or `disable_redirects` (then nothing listens on \
         port 80 at all), `trusted_proxies`, X-Forwarded-Proto",
    )
}

/// `a`, `a` and `b`, or `a`, `b` and `c`.
fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// From the first to the last of them, where one line holds them all; else the first.
fn span_of(suspects: &[&Suspect<'_>]) -> Span {
    let first = suspects[0].upstream.span;
    let last = suspects[suspects.len() - 1].upstream.span;
    if first.source == last.source && first.start <= last.start && last.end - first.start < 400 {
        first.to(last)
    } else {
        first
    }
}

fn evidence(finding: Finding, route: &Route, primary: Span) -> Finding {
    match route.place() {
        Some(place) if !primary.contains(place) && !place.contains(primary) => {
            finding.label(place, route.reason())
        }
        Some(_) => finding,
        None => finding.note(route.reason()),
    }
}

/// What plain HTTP to the upstreams meets.
#[derive(Clone, Copy)]
enum Meets {
    /// A port that speaks TLS.
    TlsPort(u16),
    /// The redirect of automatic HTTPS.
    Redirect,
    /// Nobody.
    Closed,
    /// The very site that dials, by its plain address.
    Itself(Span),
    /// Something that the project does not show.
    Perhaps,
}

fn meets(
    cx: &Context<'_>,
    route: &Route,
    site: &Site,
    proxy: &Proxy,
    told: &[&Suspect<'_>],
) -> Meets {
    if told.iter().all(|suspect| suspect.upstream.port != Some(80)) {
        return Meets::TlsPort(told[0].upstream.port.unwrap_or(443));
    }
    let Shown::Tls(config, _) = told[0].shown else {
        return Meets::Perhaps;
    };
    let own = &cx.caddy.configs[route.config];
    let ports = &own.options.ports;
    let same = config.source == own.source && host_line(proxy).is_none();
    let plain = site.addresses.iter().find(|address| {
        !address.is_tls(ports) && address.listens(ports) == 80 && address.takes(&route.host)
    });
    match plain {
        Some(address) if same => Meets::Itself(address.span),
        _ if config.options.auto_https == AutoHttps::Full => Meets::Redirect,
        _ => Meets::Closed,
    }
}

/// The Host that a proxy sets.
fn host_line(proxy: &Proxy) -> Option<&str> {
    proxy
        .header_up
        .iter()
        .rev()
        .find_map(|line| match &line.change {
            Change::Set(word) if line.field.eq_ignore_ascii_case("host") => {
                Some(word.text.as_str())
            }
            _ => None,
        })
}

/// What the client gets, word for word.
fn redirect(route: &Route, site: &Site, proxy: &Proxy, to: &Suspect<'_>) -> String {
    let upstream = to.host;
    let own = if route.host.is_empty() {
        "the-clients-host"
    } else {
        &route.host
    };
    let set = host_line(proxy);
    let (host, whose) = match set {
        Some("{upstream_hostport}" | "{http.reverse_proxy.upstream.hostport}") => (upstream, ""),
        Some(text) if !text.contains('{') => (text, ""),
        _ if site.takes(own) && !route.host.is_empty() => (
            own,
            ", which is this proxy's own name, since Caddy passes the client's Host on",
        ),
        _ => (own, ""),
    };
    let path = route.shown_path();
    let port = match to.shown {
        Shown::Tls(config, address) => address.listens(&config.options.ports),
        _ => 443,
    };
    let port = if port == 443 {
        String::new()
    } else {
        format!(":{port}")
    };
    format!(
        "the client gets `308 Permanent Redirect` with `Location: https://{host}{port}{path}`{whose}. It comes for \
         every Host, whatever X-Forwarded-Proto says, and no browser follows one in a handshake: the page sees close code 1006"
    )
}

/// The proxy's lines with TLS to its upstreams.
fn over_tls(
    cx: &Context<'_>,
    handler: &Handler,
    proxy: &Proxy,
    suspects: &[Suspect<'_>],
) -> String {
    // Caddy refuses upstreams of different schemes in one proxy.
    if suspects.len() != proxy.upstreams.len() || proxy.upstreams.is_empty() {
        let hosts: Vec<String> = suspects
            .iter()
            .map(|suspect| format!("https://{}", suspect.host))
            .collect();
        return format!(
            "speak TLS to it: `{}`, with `header_up Host {{upstream_hostport}}`",
            hosts.join(" ")
        );
    }
    let matcher = match handler.matcher.span {
        Some(span) => format!("{} ", cx.project.slice(span)),
        None => String::new(),
    };
    let hosts: Vec<String> = suspects
        .iter()
        .map(|suspect| format!("https://{}", suspect.host))
        .collect();
    let mut lines = vec!["\theader_up Host {upstream_hostport}".to_owned()];
    for line in &proxy.lines {
        let text = cx.project.slice(*line);
        let mut words = text.split_whitespace();
        let replaced = match (words.next(), words.next()) {
            (Some("header_up"), Some(field)) => field.eq_ignore_ascii_case("host"),
            (Some("to"), _) => true,
            _ => false,
        };
        if !replaced {
            lines.push(indented(text, 1));
        }
    }
    format!(
        "speak TLS to {}, under its own name (from Caddy 2.11 on the Host line is the default for https \
         upstreams):\n\nreverse_proxy {matcher}{} {{\n{}\n}}",
        if hosts.len() == 1 {
            "it"
        } else {
            "each of them"
        },
        hosts.join(" "),
        lines.join("\n"),
    )
}

/// The other way: the backends give up TLS. A catch-all address, since the client's Host arrives.
fn over_plain_http(cx: &Context<'_>, proved: &[&Suspect<'_>]) -> String {
    let mut places: Vec<String> = proved
        .iter()
        .filter_map(|suspect| match suspect.shown {
            Shown::Tls(_, address) => Some(cx.project.place(address.span)),
            _ => None,
        })
        .collect();
    places.dedup();
    format!(
        "or, only where the network between them is private, let the upstream serve plain HTTP, whatever Host \
         arrives; in place of the address at {} write:\n\nhttp:// {{",
        places.join(", ")
    )
}

//! A whole Caddyfile as a hop: which listener and which site take a request, and what automatic
//! HTTPS makes of it.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashSet;

use super::address::{Address, host_matches};
use super::environment::{By, Variable};
use super::handler::{Action, HandlerId};
use super::hop::{End, Journey, SiteHop, upstreams};
use super::model::{AutoHttps, Certificates, Config, ServerOptions, Site};
use super::path::path_matches;
use crate::handshake::{Because, Outcome, Request};
use crate::source::Span;

/// What a server makes of a request before, or in place of, a site.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The site that takes it, by its index.
    pub site: Option<usize>,
    /// The address that took it, or that is asked for in vain.
    pub at: Option<Span>,
    /// The way through the site's handlers.
    pub journey: Option<Journey>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// The events, in order.
    pub because: Vec<Because>,
}

impl Config {
    /// What becomes of `request`: by port and TLS, then by host and path, then within the site.
    pub fn arrive(&self, request: &Request) -> Arrival {
        if let Some(refusal) = self.refusals.first() {
            return lost(None, Some(refusal.span), &refusal.message);
        }
        let mut arrival = self.arrive_as_written(request);
        // Another site may be the one that is asked for: it is as its variable is set.
        if let Outcome::Answers { .. } = arrival.outcome
            && let Some((span, variable)) = self.varying(request, arrival.site)
        {
            let name = &variable.name;
            let (message, why) = match variable.by {
                By::Default => (
                    format!("a default: no file here sets {name} for Caddy"),
                    format!(
                        "`{}` is taken to be `{}`, as no file here sets {name} for Caddy",
                        variable.written, variable.value
                    ),
                ),
                _ => (
                    format!("the environment variable {name} decides for whom this site is"),
                    format!("the environment variable {name} decides"),
                ),
            };
            arrival.because.push(Because { span, message });
            arrival.outcome = Outcome::Undecided { why };
        }
        arrival
    }

    /// A variable that no file sets to a value, and that is the address of a site other than `taken`;
    /// `None` where the host that is asked for has a site of its own.
    fn varying(&self, request: &Request, taken: Option<usize>) -> Option<(Span, &Variable)> {
        let addresses = || {
            let sites = self.sites.iter().enumerate();
            sites.flat_map(|(index, site)| site.addresses.iter().map(move |one| (index, one)))
        };
        let is_own = |address: &Address| {
            !address.unknown && !address.host.is_empty() && address.takes(&request.host)
        };
        if addresses().any(|(_, address)| is_own(address)) {
            return None;
        }
        addresses()
            .filter(|(index, _)| Some(*index) != taken)
            .find_map(|(_, address)| Some((address.span, address.varies()?)))
    }

    /// The same, where the defaults of variables are what these are.
    fn arrive_as_written(&self, request: &Request) -> Arrival {
        let mine = self.listening(request.port);
        let redirects = request.port == self.options.ports.http && self.redirects();
        let found = self.found(request, &mine);
        if found.is_none()
            && let Some((index, span)) = self.perhaps()
        {
            let mut addresses = self.sites[index].addresses.iter();
            let own = addresses.find(|address| address.span == span);
            let given = match own.and_then(|address| address.variable.as_ref()) {
                Some(variable) => format!("the environment variable {}", variable.name),
                None => "the environment or a template".to_owned(),
            };
            let message = format!(
                "this site takes it, if its address, which {given} gives, is the one that is asked for"
            );
            return self.enter(index, span, message, request);
        }
        let Some((_, _, first)) = mine.first() else {
            return match redirects {
                true => self.redirect(request, None),
                false => lost(None, None, ""),
            };
        };
        let place = first.span;
        if let Some(line) = self.without_http1(request.port) {
            let message = "without h1 no handshake over HTTP/1.1 gets in";
            return lost(None, Some(line), message);
        }
        let secure = self.speaks_tls(request.port);
        if request.tls && !secure {
            let message = "speaks plain HTTP, and no TLS";
            return lost(None, Some(place), message);
        }
        if !request.tls
            && let Some(wrapper) = self
                .listener_options(request.port)
                .find_map(|server| server.redirects)
        {
            // listener_wrappers { http_redirect }: by the first bytes, whether the listener speaks TLS
            // or not (httpredirectlistener.go).
            let message = "the listener sends plain HTTP to https://: 308";
            return lost(Some(308), Some(wrapper), message);
        }
        if secure && !request.tls {
            let message = "plain HTTP at a TLS port: Caddy answers 400";
            return lost(Some(400), Some(place), message);
        }
        let name = match &request.tls_name {
            // Without a host every site is asked.
            None => Some(&request.host).filter(|host| !host.is_empty()),
            Some(name) => name.known(),
        };
        if let Some(name) = name.filter(|_| secure) {
            if !self.has_certificate(name) {
                let message = match name.is_empty() {
                    true => "the TLS handshake names no host, and without a name no certificate is found here"
                        .to_owned(),
                    false => format!("no site here has a certificate for `{name}`"),
                };
                return lost(None, Some(place), &message);
            }
            // modules/caddyhttp/server.go, enforcementHandler.
            let strict = self
                .listener_options(request.port)
                .find_map(|server| server.strict);
            if let Some(line) = strict.filter(|_| *name != request.host) {
                let message = format!(
                    "the TLS handshake asked for `{name}`, and the request for `{}`: 421",
                    request.host
                );
                return lost(Some(421), Some(line), &message);
            }
        }
        self.route(request, &mine, found, redirects)
    }

    /// By host and path, once the connection stands.
    fn route(
        &self,
        request: &Request,
        mine: &[(usize, &Site, &Address)],
        found: Option<usize>,
        redirects: bool,
    ) -> Arrival {
        let catches_all = |index: usize| {
            mine.iter()
                .any(|(own, _, address)| *own == index && address.host.is_empty())
        };
        // autohttps.go: what is redirected by name comes after the sites with a name, and before
        // those without one; whoever is left over is redirected as well.
        if redirects && found.is_none_or(catches_all) && self.redirected(&request.host).is_some() {
            return self.redirect(request, self.redirected(&request.host));
        }
        let Some(index) = found else {
            if redirects {
                return self.redirect(request, None);
            }
            let message = format!(
                "no site here is for `{}`: Caddy answers 200 with an empty body",
                request.host
            );
            let place = mine.first().map(|(_, _, address)| address.span);
            return lost(Some(200), place, &message);
        };
        let own = || {
            let own = mine.iter().filter(|(own, _, _)| *own == index);
            own.map(|(_, _, address)| *address)
        };
        let address = own().find(|address| address.takes(&request.host));
        let span = address.map_or(self.sites[index].span, |address| address.span);
        let message = match catches_all(index) {
            true => "this site takes every host".to_owned(),
            false => format!("this site takes `{}`", request.host),
        };
        let mut arrival = self.enter(index, span, message, request);
        let variable = address.and_then(|address| address.variable.as_ref());
        if let Some(variable) = variable
            && let By::Deployment(place) = variable.by
        {
            let message = format!("`{}` is `{}`", variable.written, variable.value);
            let because = Because {
                span: place,
                message,
            };
            arrival.because.insert(0, because);
        }
        // A site alone on its listener, for every host, is not wrapped, unless one of its matchers
        // names hosts, and what its handlers leave over goes on (httptype.go,
        // appendSubrouteToRouteList).
        let handlers = &self.sites[index].handlers;
        let top = || handlers.top.iter().map(|id| handlers.get(*id));
        let alone = !top().any(|handler| handler.matcher.names_host())
            && mine.iter().all(|(own, _, _)| *own == index)
            && catches_all(index)
            && own().all(|address| address.path.is_empty());
        let journey = arrival.journey.as_ref();
        let unhandled = journey.is_some_and(|journey| matches!(journey.walk.end, End::Unhandled));
        if alone && redirects && unhandled {
            return self.redirect(request, None);
        }
        arrival
    }

    /// Within a site.
    fn enter(&self, index: usize, span: Span, message: String, request: &Request) -> Arrival {
        let hop = SiteHop {
            handlers: &self.sites[index].handlers,
            place: span,
        };
        let journey = hop.journey(request);
        let mut because = vec![Because { span, message }];
        because.extend(journey.because.iter().cloned());
        let left = journey.walk.left.filter(|id| self.asks_itself(index, *id));
        let outcome = match left {
            // It may as well be asked in a circle, or close.
            Some(_) => Outcome::Undecided {
                why: "`handle_response` leaves the answer to others, if this Caddy's other site gives one"
                    .to_owned(),
            },
            None => journey.outcome.clone(),
        };
        Arrival {
            site: Some(index),
            at: Some(span),
            outcome,
            because,
            journey: Some(journey),
        }
    }

    /// Whether a proxy of a site dials a listener of this same Caddy.
    fn asks_itself(&self, site: usize, proxy: HandlerId) -> bool {
        let handler = self.sites[site].handlers.get(proxy);
        let Action::Proxy(proxy) = &handler.action else {
            return false;
        };
        upstreams(proxy, handler.head).iter().any(|upstream| {
            let port = upstream.port.known();
            upstream.peer().is_private()
                && port.is_some_and(|port| !self.listening(*port).is_empty())
        })
    }

    /// The redirect of automatic HTTPS, for an address or for whoever is left over.
    fn redirect(&self, request: &Request, address: Option<Span>) -> Arrival {
        let message = format!(
            "automatic HTTPS: on port {} there is nothing but a redirect to https://, whatever Host or X-Forwarded-Proto says",
            request.port
        );
        let place = address.or_else(|| self.secure().next().map(|(_, address)| address.span));
        lost(Some(308), place, &message)
    }

    /// The site that takes the request where it listens, by host and path.
    fn found(&self, request: &Request, mine: &[(usize, &Site, &Address)]) -> Option<usize> {
        sorted(mine).into_iter().find(|index| {
            let own = mine.iter().filter(|(own, _, _)| own == index);
            takes(own.map(|(_, _, address)| *address), request)
        })
    }

    /// A site that may take anything, because its address is not written, or because it is a part
    /// of one.
    pub(super) fn perhaps(&self) -> Option<(usize, Span)> {
        self.sites.iter().enumerate().find_map(|(index, site)| {
            if site.is_fragment() {
                return Some((index, site.span));
            }
            let unknown = site.addresses.iter().find(|address| address.unknown)?;
            Some((index, unknown.span))
        })
    }

    /// Whether TLS is spoken at a port.
    pub(super) fn speaks_tls(&self, port: u16) -> bool {
        let mine = self.listening(port);
        port != self.options.ports.http
            && mine
                .iter()
                .any(|(_, site, address)| self.is_tls(site, address))
    }

    /// The addresses that listen on `port`, with their sites.
    pub(super) fn listening(&self, port: u16) -> Vec<(usize, &Site, &Address)> {
        let sites = self.sites.iter().enumerate();
        sites
            .flat_map(|(index, site)| {
                site.addresses
                    .iter()
                    .map(move |address| (index, site, address))
            })
            .filter(|(_, _, address)| {
                !address.unknown && address.listens(&self.options.ports) == port
            })
            .collect()
    }

    fn listener_options(&self, port: u16) -> impl Iterator<Item = &ServerOptions> {
        let own = move |server: &&ServerOptions| server.port == Some(port);
        let all = self
            .options
            .listeners
            .iter()
            .filter(|server| server.port.is_none());
        // serveroptions.go: one for just that listener, else the one for all.
        let mut specific = self.options.listeners.iter().filter(own).peekable();
        let has_own = specific.peek().is_some();
        specific.chain(all.filter(move |_| !has_own))
    }

    /// The `protocols` line that leaves HTTP/1 out.
    fn without_http1(&self, port: u16) -> Option<Span> {
        self.listener_options(port).find_map(|server| {
            let (line, names) = server.protocols.as_ref()?;
            (!names.is_empty() && !names.iter().any(|name| name == "h1")).then_some(*line)
        })
    }

    /// Whether a listener with TLS offers HTTP/2.
    pub(super) fn speaks_http2(&self, port: u16) -> bool {
        let lists = |server: &ServerOptions| {
            let (_, names) = server.protocols.as_ref()?;
            Some(names.is_empty() || names.iter().any(|name| name == "h2"))
        };
        self.listener_options(port).find_map(lists).unwrap_or(true)
    }

    /// Whether an address is served over TLS: by itself, or because its site has `tls`.
    pub(super) fn is_tls(&self, site: &Site, address: &Address) -> bool {
        let ports = &self.options.ports;
        // Before 2.7.5 a `tls` without settings of the connection left an address without a name
        // as it was (httptype.go, serversFromPairings).
        let explicit = match site.certificates {
            Certificates::Automatic => false,
            Certificates::Loaded => true,
            Certificates::Explicit | Certificates::OnDemand => self.options.version >= [2, 7, 5],
        };
        address.is_tls(ports)
            || explicit
                && address.listens(ports) != ports.http
                && address.scheme.as_deref() != Some("http")
    }

    /// Whether the HTTP port redirects at all.
    pub(super) fn redirects(&self) -> bool {
        self.options.auto_https == AutoHttps::Full && self.secure().next().is_some()
    }

    /// The addresses that automatic HTTPS is for.
    pub(super) fn secure(&self) -> impl Iterator<Item = (&Site, &Address)> {
        let each = self
            .sites
            .iter()
            .flat_map(|site| site.addresses.iter().map(move |address| (site, address)));
        each.filter(|(site, address)| self.is_tls(site, address))
    }

    /// The address that makes plain HTTP for `host` a redirect, before a site for every host has
    /// its turn: one of that name, or one on a listener that has no names at all (autohttps.go,
    /// phase 4, which does so only where there are names to get certificates for).
    pub(super) fn redirected(&self, host: &str) -> Option<Span> {
        let managed = |(site, address): &(&Site, &Address)| {
            !address.host.is_empty() && site.certificates != Certificates::Loaded
        };
        if self.options.no_certificates || !self.secure().any(|at| managed(&at)) {
            return None;
        }
        let ports = &self.options.ports;
        let named = |(_, address): &(&Site, &Address)| !address.host.is_empty();
        let named: HashSet<u16> = self
            .secure()
            .filter(named)
            .map(|(_, address)| address.listens(ports))
            .collect();
        self.secure()
            .map(|(_, address)| address)
            .find(|address| match address.host.is_empty() {
                true => !named.contains(&address.listens(ports)),
                false => host_matches(&address.host, host),
            })
            .map(|address| address.span)
    }

    /// Whether a TLS handshake for `host` finds a certificate.
    fn has_certificate(&self, host: &str) -> bool {
        if self.options.fallback_sni || self.options.on_demand {
            return true;
        }
        let any = |site: &Site| {
            matches!(
                site.certificates,
                Certificates::Loaded | Certificates::OnDemand
            )
        };
        if self.sites.iter().any(any) {
            return true;
        }
        if self.options.auto_https == AutoHttps::Off || self.options.no_certificates {
            // Those that Caddy issues itself are still made where `tls` asks for them.
            return self.sites.iter().any(|site| {
                let mut addresses = site.addresses.iter();
                site.certificates == Certificates::Explicit
                    && addresses.any(|address| host_matches(&address.host, host))
            });
        }
        let mut secure = self.secure().map(|(_, address)| address.host.as_str());
        if host.is_empty() {
            // A certificate for the address that is dialled would do (certmagic handshake.go,
            // getCertificateFromCache), and nobody knows what a site without a name has.
            return secure.any(|host| host.is_empty() || host.parse::<std::net::IpAddr>().is_ok());
        }
        secure.any(|own| host_matches(own, host))
    }
}

/// The sites of a listener in the order in which they are asked (httptype.go, serversFromPairings).
pub(super) fn sorted(mine: &[(usize, &Site, &Address)]) -> Vec<usize> {
    struct Rank {
        host: usize,
        path: usize,
        wildcard: bool,
    }
    let mut sites: Vec<(usize, Rank)> = Vec::new();
    for (index, _, address) in mine {
        if sites.last().is_none_or(|(last, _)| last != index) {
            let rank = Rank {
                host: 0,
                path: 0,
                wildcard: false,
            };
            sites.push((*index, rank));
        }
        if let Some((_, rank)) = sites.last_mut() {
            rank.wildcard |= address.host.is_empty() || address.host.contains('*');
            rank.host = rank.host.max(specificity(&address.host));
            rank.path = rank.path.max(specificity(&address.path));
        }
    }
    sites.sort_by_key(|(_, rank)| match rank.host {
        0 => (true, false, Reverse(0), Reverse(0)),
        host => (false, rank.wildcard, Reverse(host), Reverse(rank.path)),
    });
    sites.into_iter().map(|(index, _)| index).collect()
}

/// Whether one of a site's addresses takes the request by host and path; one for every host takes
/// the others' along (httptype.go, compileEncodedMatcherSets).
pub(super) fn takes<'a>(
    addresses: impl Iterator<Item = &'a Address> + Clone,
    request: &Request,
) -> bool {
    let all_hosts = addresses.clone().any(|address| address.host.is_empty());
    addresses.into_iter().any(|address| {
        let host =
            all_hosts || request.host.is_empty() || host_matches(&address.host, &request.host);
        host && !address.unknown
            && (address.path.is_empty() || path_matches(&address.path, &request.path))
    })
}

/// `specificity`: its length without stars and placeholders.
fn specificity(text: &str) -> usize {
    let mut rest: Cow<'_, str> = Cow::Borrowed(text);
    while let Some((before, after)) = rest.split_once('{') {
        let Some((_, after)) = after.split_once('}') else {
            break;
        };
        rest = Cow::Owned(format!("{before}{after}"));
    }
    rest.bytes().filter(|byte| *byte != b'*').count()
}

fn lost(status: Option<u16>, span: Option<Span>, message: &str) -> Arrival {
    let because = span.map(|span| Because {
        span,
        message: message.to_owned(),
    });
    Arrival {
        site: None,
        at: span,
        journey: None,
        outcome: Outcome::Answers { status },
        because: because.into_iter().collect(),
    }
}

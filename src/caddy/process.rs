//! A Caddy process as a hop: one Caddyfile's sites, which of them takes a request, and the
//! redirect on the HTTP port that automatic HTTPS adds.

use super::hop::SiteHop;
use super::{Address, AutoHttps, Config, Site};
use crate::handshake::{Because, Entrance, Hop, Outcome, Passage, Request, Takes};
use crate::source::Span;

/// One Caddyfile, ready to receive requests.
#[derive(Clone, Copy, Debug)]
pub struct Caddy<'a> {
    /// Its configuration.
    pub config: &'a Config,
}

/// Who answers a request at an address.
enum Taker<'a> {
    Site(&'a Site, &'a Address, Takes),
    /// The redirect to https, for this address.
    Redirect(&'a Address, Takes),
    /// Nobody listens.
    Nobody,
    /// Somebody listens, and no site is for that host; one that is.
    Stranger(&'a Address),
}

impl<'a> Caddy<'a> {
    fn addresses(self) -> impl Iterator<Item = (&'a Site, &'a Address)> {
        self.config
            .sites
            .iter()
            .flat_map(|site| site.addresses.iter().map(move |address| (site, address)))
    }

    fn is_tls(self, address: &Address) -> bool {
        address.is_tls(&self.config.options.ports)
    }

    /// The redirects of automatic HTTPS.
    fn redirects(self) -> impl Iterator<Item = &'a Address> {
        let wanted = self.config.options.auto_https == AutoHttps::Full;
        self.addresses()
            .map(|(_, address)| address)
            .filter(move |address| wanted && !address.unknown && self.is_tls(address))
    }

    /// Which site, or redirect, takes a request (caddyconfig/httpcaddyfile/httptype.go sorts the
    /// sites: catch-alls last, wildcards after names, longer hosts and then longer paths first;
    /// modules/caddyhttp/autohttps.go adds the redirects).
    fn taker(self, tls: bool, host: &str, port: u16, path: &str) -> Taker<'a> {
        let ports = &self.config.options.ports;
        let listening: Vec<(&Site, &Address)> = self
            .addresses()
            .filter(|(_, address)| {
                address.unknown || (self.is_tls(address) == tls && address.listens(ports) == port)
            })
            .collect();
        let best = listening
            .iter()
            .filter(|(_, address)| {
                !address.unknown
                    && address.takes(host)
                    && path.starts_with(address.path.trim_end_matches('*'))
            })
            .max_by_key(|(_, address)| {
                let host = address.host.as_str();
                (
                    !host.is_empty(),
                    !host.contains('*'),
                    host.len(),
                    address.path.len(),
                )
            });
        // At the HTTP port what names the host comes before the redirect, the rest after it.
        let redirect = (!tls && port == ports.http)
            .then(|| {
                self.redirects()
                    .find(|address| !address.host.is_empty() && address.takes(host))
            })
            .flatten();
        match (best, redirect) {
            (Some((site, address)), None) => {
                let takes = if address.host.is_empty() {
                    Takes::ByDefault
                } else {
                    Takes::ByName
                };
                Taker::Site(site, address, takes)
            }
            (Some((site, address)), Some(_)) if !address.host.is_empty() => {
                Taker::Site(site, address, Takes::ByName)
            }
            (_, Some(redirect)) => Taker::Redirect(redirect, Takes::ByName),
            (None, None) => {
                if let Some((site, address)) = listening.iter().find(|(_, address)| address.unknown)
                {
                    return Taker::Site(site, address, Takes::ByDefault);
                }
                if let Some((_, stranger)) = listening.first() {
                    return Taker::Stranger(stranger);
                }
                // Where nothing else listens there, the redirect is for every host.
                match self.redirects().next() {
                    Some(address) if !tls && port == ports.http => {
                        Taker::Redirect(address, Takes::ByDefault)
                    }
                    _ => Taker::Nobody,
                }
            }
        }
    }
}

impl Hop for Caddy<'_> {
    fn layer(&self) -> &'static str {
        "caddy"
    }

    fn place(&self) -> Span {
        Span::new(self.config.source, 0..0)
    }

    fn entrances(&self) -> Vec<Entrance> {
        let ports = &self.config.options.ports;
        let of_address = |address: &Address| Entrance {
            tls: self.is_tls(address),
            host: if address.unknown {
                String::new()
            } else {
                address.host.replace('*', "www")
            },
            port: address.listens(ports),
            span: address.span,
        };
        let fragments = self.config.sites.iter().filter(|site| site.is_fragment());
        self.addresses()
            .map(|(_, address)| of_address(address))
            .chain(fragments.map(|site| Entrance {
                tls: true,
                host: String::new(),
                port: ports.https,
                span: site.span,
            }))
            .collect()
    }

    fn takes(&self, tls: bool, host: &str, port: u16) -> Takes {
        match self.taker(tls, host, port, "/") {
            Taker::Site(_, _, takes) | Taker::Redirect(_, takes) => takes,
            Taker::Stranger(_) => Takes::ByDefault,
            Taker::Nobody if self.config.sites.iter().any(Site::is_fragment) => Takes::ByDefault,
            Taker::Nobody => {
                // A site's path is no part of where it listens.
                let ports = &self.config.options.ports;
                let named = self.addresses().any(|(_, address)| {
                    self.is_tls(address) == tls
                        && address.listens(ports) == port
                        && !address.host.is_empty()
                        && address.takes(host)
                });
                if named { Takes::ByName } else { Takes::No }
            }
        }
    }

    fn receive(&self, request: &Request) -> Passage {
        let (site, because) = match self.taker(
            request.tls,
            &request.host,
            request.port,
            &request.path,
        ) {
            Taker::Site(site, address, _) => {
                let message = match (address.unknown, address.host.is_empty()) {
                        (true, _) => {
                            "this site takes it, if its address, which the environment or a template gives, is the one that is asked for".to_owned()
                        }
                        (false, true) => "this site takes every host".to_owned(),
                        (false, false) => format!("this site takes `{}`", request.host),
                    };
                let because = Because {
                    span: address.span,
                    message,
                };
                (site, because)
            }
            Taker::Redirect(address, _) => {
                return Passage {
                    at: Some(address.span),
                    outcome: Outcome::Answers { status: Some(308) },
                    because: vec![Because {
                        span: address.span,
                        message: format!(
                            "automatic HTTPS: on port {} there is nothing but a redirect to https://, whatever Host or X-Forwarded-Proto says",
                            request.port
                        ),
                    }],
                };
            }
            Taker::Stranger(address) => {
                let (status, message) = if request.tls {
                    (
                        None,
                        format!("no site here has a certificate for `{}`", request.host),
                    )
                } else {
                    (
                        Some(200),
                        format!(
                            "no site here is for `{}`: Caddy answers 200 with an empty body",
                            request.host
                        ),
                    )
                };
                return Passage {
                    at: Some(address.span),
                    outcome: Outcome::Answers { status },
                    because: vec![Because {
                        span: address.span,
                        message,
                    }],
                };
            }
            Taker::Nobody => {
                let fragment = self.config.sites.iter().find(|site| site.is_fragment());
                let Some(site) = fragment else {
                    return Passage {
                        at: None,
                        outcome: Outcome::Undecided {
                            why: format!("no site here listens on port {}", request.port),
                        },
                        because: Vec::new(),
                    };
                };
                let because = Because {
                    span: site.span,
                    message: "a part of a site that some Caddyfile elsewhere imports".to_owned(),
                };
                (site, because)
            }
        };
        let inner = SiteHop {
            handlers: &site.handlers,
            place: because.span,
        };
        let mut passage = inner.receive(request);
        passage.because.insert(0, because);
        passage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caddy::Model;
    use crate::handshake::Browser;
    use crate::project::Project;

    /// The line of the address that takes a handshake for each URL's parts, and the status.
    fn answers(file: &str, tls: bool, host: &str, port: u16) -> (Takes, Option<Option<u16>>) {
        let project = Project::in_memory([("Caddyfile", file)]).expect("project");
        let model = Model::resolve(&project);
        let caddy = Caddy {
            config: &model.configs[0],
        };
        let request = Request::handshake(Browser::Chrome, tls, host, port, "/ws");
        let passage = caddy.receive(&request);
        let status = match passage.outcome {
            Outcome::Answers { status } => Some(status),
            _ => None,
        };
        (caddy.takes(tls, host, port), status)
    }

    #[test]
    fn the_redirect_of_automatic_https_takes_every_host() {
        let alone = "app.test {\nreverse_proxy a:1\n}\n";
        assert_eq!(
            answers(alone, false, "app.test", 80),
            (Takes::ByName, Some(Some(308)))
        );
        assert_eq!(
            answers(alone, false, "other.test", 80),
            (Takes::ByDefault, Some(Some(308)))
        );
        assert_eq!(answers(alone, true, "app.test", 443), (Takes::ByName, None));
        assert_eq!(
            answers(alone, true, "other.test", 443),
            (Takes::ByDefault, Some(None))
        );
        let beside = "app.test {\nreverse_proxy a:1\n}\n:80 {\nrespond 403\n}\n";
        assert_eq!(
            answers(beside, false, "app.test", 80),
            (Takes::ByName, Some(Some(308)))
        );
        assert_eq!(
            answers(beside, false, "other.test", 80),
            (Takes::ByDefault, Some(Some(403)))
        );
        let plain = "app.test {\nreverse_proxy a:1\n}\nhttp://app.test {\nrespond 403\n}\n";
        assert_eq!(
            answers(plain, false, "app.test", 80),
            (Takes::ByName, Some(Some(403)))
        );
        let off = "{\nauto_https disable_redirects\n}\napp.test {\nreverse_proxy a:1\n}\n";
        assert_eq!(answers(off, false, "app.test", 80), (Takes::No, None));
    }

    #[test]
    fn the_most_specific_site_takes_it() {
        let file =
            ":443 {\nrespond 403\n}\n*.app.test {\nrespond 404\n}\nws.app.test {\nrespond 418\n}\n";
        for (host, status) in [
            ("ws.app.test", 418),
            ("x.app.test", 404),
            ("else.test", 403),
        ] {
            assert_eq!(
                answers(file, true, host, 443).1,
                Some(Some(status)),
                "{host}"
            );
        }
    }
}

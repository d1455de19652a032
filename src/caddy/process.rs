//! A Caddy process as a hop: where it listens, and what it takes there.

use std::collections::BTreeSet;

use super::handler::{Action, Block};
use super::hop::upstreams;
use super::{Address, Config, Site};
use crate::handshake::{Dial, Entrance, Hop, Passage, Request, Takes};
use crate::source::{Kind, Source, Span};

/// One Caddyfile, ready to receive requests.
#[derive(Clone, Copy, Debug)]
pub struct Caddy<'a> {
    /// Its configuration.
    pub config: &'a Config,
}

impl Hop for Caddy<'_> {
    fn layer(&self) -> &'static str {
        "caddy"
    }

    fn place(&self) -> Span {
        Span::new(self.config.source, 0..0)
    }

    fn may_read(&self, source: &Source) -> bool {
        match source.kind {
            Kind::Nginx | Kind::Python => self.config.imported.contains(&source.id),
            Kind::Caddyfile => {
                self.config.source == source.id || self.config.imported.contains(&source.id)
            }
            _ => true,
        }
    }

    fn entrances(&self) -> Vec<Entrance> {
        let ports = &self.config.options.ports;
        let entrance = |site: &Site, address: &Address| Entrance {
            tls: self.config.is_tls(site, address),
            host: if address.unknown {
                String::new()
            } else {
                address.host.replace('*', "www")
            },
            port: address.listens(ports),
            span: address.span,
        };
        let sites = &self.config.sites;
        let addresses = sites.iter().flat_map(|site| {
            let addresses = site.addresses.iter();
            addresses.map(move |address| entrance(site, address))
        });
        let fragments = sites.iter().filter(|site| site.is_fragment());
        addresses
            .chain(fragments.map(|site| Entrance {
                tls: true,
                host: String::new(),
                port: ports.https,
                span: site.span,
            }))
            .collect()
    }

    fn ports(&self) -> BTreeSet<u16> {
        let redirects = self.config.redirects();
        let http = redirects.then_some(self.config.options.ports.http);
        let entrances = self.entrances().into_iter();
        entrances
            .map(|entrance| entrance.port)
            .chain(http)
            .collect()
    }

    fn dials(&self) -> Vec<Dial> {
        let sites = self.config.sites.iter();
        let proxies = sites.flat_map(|site| {
            let proxies = site.handlers.proxies();
            proxies.flat_map(|(_, handler, proxy)| {
                let to = upstreams(proxy, handler.head).into_iter();
                to.map(|to| Dial { at: site.span, to })
            })
        });
        proxies.collect()
    }

    fn paths(&self, entrance: &Entrance) -> BTreeSet<String> {
        let sites = self.config.sites.iter();
        sites
            .filter(|site| site.span.contains(entrance.span))
            .flat_map(|site| &site.handlers.all)
            .flat_map(|handler| {
                let named = handler.matcher.paths().map(|word| word.text.as_str());
                let stripped = match &handler.action {
                    Action::Block(Block::HandlePath(prefix), _) => Some(prefix.as_str()),
                    _ => None,
                };
                named.chain(stripped)
            })
            .map(|path| path.trim_end_matches('*').to_owned())
            .collect()
    }

    fn takes(&self, tls: bool, host: &str, port: u16) -> Takes {
        let config = self.config;
        let mine = config.listening(port);
        let same = tls == config.speaks_tls(port);
        let named = |address: &Address| !address.host.is_empty() && address.takes(host);
        // TLS may end before Caddy, but nothing turns plain HTTP into TLS.
        let reaches = same || !tls;
        let redirects = !tls && port == config.options.ports.http && config.redirects();
        if reaches && mine.iter().any(|(_, _, address)| named(address))
            || redirects && config.redirected(host).is_some()
        {
            return Takes::ByName;
        }
        if redirects || same && !mine.is_empty() || config.perhaps().is_some() {
            return Takes::ByDefault;
        }
        Takes::No
    }

    fn receive(&self, request: &Request) -> Passage {
        let arrival = self.config.arrive(request);
        Passage {
            at: arrival.at,
            outcome: arrival.outcome,
            because: arrival.because,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caddy::Model;
    use crate::handshake::{Browser, Outcome};
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
        assert_eq!(answers(off, false, "app.test", 80), (Takes::No, Some(None)));
    }

    #[test]
    fn the_most_specific_site_takes_it() {
        let file =
            ":443 {\nrespond 403\n}\n*.app.test {\nrespond 404\n}\nws.app.test {\nrespond 418\n}\n";
        for (host, status) in [
            ("ws.app.test", Some(418)),
            ("x.app.test", Some(404)),
            // Nobody issues a certificate for it.
            ("else.test", None),
        ] {
            assert_eq!(answers(file, true, host, 443).1, Some(status), "{host}");
        }
    }

    #[test]
    fn what_caddy_refuses_runs_for_nobody() {
        for block in [
            "websocket",
            "header_upstream A b",
            "tls_insecure_skip_verify",
        ] {
            let file = format!(
                "http://a.test {{\nreverse_proxy a:1 {{\n{block}\n}}\n}}\nhttp://b.test {{\nreverse_proxy a:1\n}}\n"
            );
            assert_eq!(answers(&file, false, "b.test", 80).1, Some(None), "{block}");
        }
    }

    #[test]
    fn without_a_healthy_upstream_it_is_503() {
        for (block, status) in [
            ("health_uri /ws", Some(Some(503))),
            ("health_uri /ws?check=1", Some(Some(503))),
            ("health_uri /health", None),
            ("health_uri /ws\nhealth_status 4xx", None),
            ("health_uri /ws\nhealth_port 9000", None),
            ("fail_duration 5s\nunhealthy_status 101", Some(Some(503))),
            ("unhealthy_status 101", None),
        ] {
            let file = format!("http://a.test {{\nreverse_proxy a:1 {{\n{block}\n}}\n}}\n");
            assert_eq!(answers(&file, false, "a.test", 80).1, status, "{block}");
        }
        let caught = "http://a.test {\nreverse_proxy a:1 {\nhealth_uri /ws\n}\nhandle_errors {\nrespond 418\n}\n}\n";
        assert_eq!(answers(caught, false, "a.test", 80).1, Some(Some(418)));
    }

    #[test]
    fn errors_are_the_listeners() {
        let file = "http://a.test {\nerror 404\n}\nhttp://b.test {\nerror 403\n}\n:80 {\nhandle_errors 404 {\nrespond 418\n}\n}\nhttp://c.test {\nerror 404\nhandle_errors 500 {\nrespond 419\n}\n}\nhttp://a.test:81 {\nerror 404\n}\n";
        for (host, port, status) in [
            ("a.test", 80, 418),
            ("b.test", 80, 403),
            // Its own are asked, and no others.
            ("c.test", 80, 404),
            ("a.test", 81, 404),
        ] {
            let said = answers(file, false, host, port).1;
            assert_eq!(said, Some(Some(status)), "{host}:{port}");
        }
    }

    #[test]
    fn plain_http_reaches_a_tls_port() {
        let file = "app.test {\nreverse_proxy a:1\n}\n";
        assert_eq!(
            answers(file, false, "app.test", 443),
            (Takes::ByName, Some(Some(400)))
        );
    }
}

//! Which server takes a request: by the listener that it arrives at, then by its host
//! (ngx_http_init_connection, ngx_http_find_virtual_server).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::location::{Listen, Server};
use super::model::View;

/// A server that takes a request, and how the listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The server, as an index into the configuration's.
    pub server: u32,
    /// The server that reads the first line of a request, before its Host is known: the default one
    /// of the listener, unless TLS said the name.
    pub read_by: u32,
    /// TLS is spoken at this listener.
    pub tls: bool,
    /// HTTP/2 is spoken at this listener, without an `http2 on`.
    pub http2: bool,
    /// What made it be chosen.
    pub by: By,
}

/// Why a server is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// One of its names is the host.
    Name,
    /// None is, but a template supplies names of this one, and of no other.
    Template,
    /// None is, and a template supplies names of several; this is the first of them.
    Templates,
    /// None is, and it says `default_server`.
    Default,
    /// None is, and it is the first of this listener.
    First,
    /// It is the only one of this listener.
    Only,
}

/// An address that servers listen at.
struct Listener<'a> {
    servers: Vec<(u32, &'a Server, Option<&'a Listen>)>,
}

impl Listener<'_> {
    fn choose(&self, view: View<'_>, host: &str) -> Option<Chosen> {
        let named = self
            .servers
            .iter()
            .filter_map(|(index, server, _)| {
                let (rank, open) = server.closeness(host)?;
                Some(((rank, open, *index), *index))
            })
            .min();
        let default = self
            .servers
            .iter()
            .find(|(.., listen)| listen.is_some_and(|listen| listen.default));
        let (first, server, _) = default.or_else(|| self.servers.first())?;
        let mut elsewhere = self
            .servers
            .iter()
            .filter(|(_, server, _)| server.is_named_elsewhere);
        let (server_index, by) = match (named, elsewhere.next()) {
            (Some((_, index)), _) => (index, By::Name),
            _ if self.servers.len() == 1 => (*first, By::Only),
            // Whatever the files ask for is a host that somebody serves.
            (None, Some((index, ..))) => match elsewhere.next() {
                None => (*index, By::Template),
                Some(_) => (*index, By::Templates),
            },
            _ if default.is_some() => (*first, By::Default),
            _ => (*first, By::First),
        };
        let flag = |is: fn(&Listen) -> bool| {
            let mut listens = self.servers.iter().filter_map(|(.., listen)| *listen);
            listens.any(is)
        };
        // `ssl on` of the default server counts for its whole listener; nginx lost it in 1.25.1.
        let ssl_on = view
            .in_force(server.item, "ssl")
            .is_some_and(|item| view.directive(item).arg(0) == Some("on"));
        let tls = flag(|listen| listen.tls) || ssl_on;
        Some(Chosen {
            server: server_index,
            read_by: if tls { server_index } else { *first },
            tls,
            http2: flag(|listen| listen.http2),
            by,
        })
    }
}

/// Whether only this very machine reaches an address.
fn is_loopback(address: &str) -> bool {
    address.starts_with("127.") || matches!(address, "localhost" | "[::1]")
}

impl<'a> View<'a> {
    /// The ports that its servers listen on.
    pub fn ports(self) -> BTreeSet<u16> {
        self.config
            .servers
            .iter()
            .flat_map(|server| {
                let unwritten = (!server.says_listen).then_some(80);
                let written = server.listens.iter().map(|listen| listen.port);
                written.chain(unwritten)
            })
            .collect()
    }

    /// The server that a request to `host` at `port` meets, where the files say it.
    pub fn find_server(self, host: &str, port: u16) -> Option<u32> {
        let chosen = self.choose_server(host, port)?;
        (chosen.by != By::Templates).then_some(chosen.server)
    }

    /// The same, and why. Where the files do not say which address a request arrives at, the one
    /// of most requests is taken: any of IPv4, then one that names the host.
    pub fn choose_server(self, host: &str, port: u16) -> Option<Chosen> {
        let mut listeners = self.listeners(port);
        let addressed = |address: &str| {
            address == host
                || (host == "localhost" && is_loopback(address))
                || address.trim_matches(['[', ']']) == host
        };
        if listeners.keys().any(|address| addressed(address)) {
            listeners.retain(|address, _| addressed(address));
        } else if listeners.keys().any(|address| !is_loopback(address)) {
            listeners.retain(|address, _| !is_loopback(address));
        }
        let mut found: Vec<(&str, Chosen)> = listeners
            .iter()
            .filter_map(|(address, listener)| Some((*address, listener.choose(self, host)?)))
            .collect();
        found.sort_by_key(|(address, chosen)| {
            let ipv6 = address.starts_with('[') && !host.contains(':');
            (ipv6, *address != "*", Reverse(chosen.by == By::Name))
        });
        let first = found.first()?;
        // Several addresses of one port: the one whose servers know the host.
        let named = found.iter().find(|(address, chosen)| {
            chosen.by == By::Name && first.0.starts_with('[') == address.starts_with('[')
        });
        Some(named.unwrap_or(first).1)
    }

    /// The server that a request to `host` meets that arrives at the socket `path`, and why.
    pub fn choose_server_at_socket(self, path: &str, host: &str) -> Option<Chosen> {
        let mut servers = Vec::new();
        for (index, server) in (0..).zip(&self.config.servers) {
            let sockets = server.sockets.iter();
            let here = sockets.filter(|listen| listen.address == path);
            servers.extend(here.map(|listen| (index, server, Some(listen))));
        }
        Listener { servers }.choose(self, host)
    }

    /// The sockets in the file system that its servers listen on.
    pub fn sockets(self) -> impl Iterator<Item = &'a str> {
        let servers = self.config.servers.iter();
        let sockets = servers.flat_map(|server| &server.sockets);
        sockets.map(|listen| listen.address.as_str())
    }

    /// The addresses at which `port` is open.
    fn listeners(self, port: u16) -> BTreeMap<&'a str, Listener<'a>> {
        let mut listeners: BTreeMap<&str, Listener<'a>> = BTreeMap::new();
        let mut add = |address: &'a str, entry| {
            let listener = listeners.entry(address).or_insert(Listener {
                servers: Vec::new(),
            });
            listener.servers.push(entry);
        };
        let mut anywhere = Vec::new();
        for (index, server) in (0..).zip(&self.config.servers) {
            // Without a `listen` nginx takes port 80 (8000 for other users than root).
            if !server.says_listen && port == 80 {
                add("*", (index, server, None));
            }
            for listen in server.listens.iter().filter(|listen| listen.port == port) {
                add(&listen.address, (index, server, Some(listen)));
            }
            if server.listens_anywhere {
                anywhere.push((index, server, None));
            }
        }
        // A template may name just this port.
        if listeners.is_empty() && !anywhere.is_empty() {
            listeners.insert("*", Listener { servers: anywhere });
        }
        listeners
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx::Model;
    use crate::project::Project;

    fn chosen(servers: &str, host: &str, port: u16) -> Option<(u32, bool, By)> {
        let conf = format!("events {{}}\nhttp {{ {servers} }}");
        let project = Project::in_memory([("nginx.conf", conf.as_str())]).expect("valid");
        let model = Model::resolve(&project);
        let chosen = model.view(0).choose_server(host, port)?;
        Some((chosen.server, chosen.tls, chosen.by))
    }

    #[test]
    fn names_of_one_listener_compete_and_others_do_not() {
        let servers = "server { listen 80; server_name a; } server { listen 80 default_server; server_name b; } server { listen 443 ssl; server_name a *.c; } server { listen 443; server_name *.d.c; } server { listen [::]:80; }";
        for (host, port, expected) in [
            ("a", 80, Some((0, false, By::Name))),
            ("x", 80, Some((1, false, By::Default))),
            ("x", 443, Some((2, true, By::First))),
            ("x.d.c", 443, Some((3, true, By::Name))),
            ("x.c", 443, Some((2, true, By::Name))),
            ("a", 81, None),
        ] {
            assert_eq!(chosen(servers, host, port), expected, "{host}:{port}");
        }
    }

    #[test]
    fn a_name_that_a_template_supplies_may_be_any() {
        let app = "server { listen 80; server_name ${APP_HOST}; }";
        let admin = "server { listen 80; server_name admin.local; }";
        let one = format!("{admin} {app}");
        assert_eq!(chosen(&one, "x", 80), Some((1, false, By::Template)));
        assert_eq!(chosen(&one, "admin.local", 80), Some((0, false, By::Name)));
        assert_eq!(chosen(app, "x", 80), Some((0, false, By::Only)));
        let two = format!("{admin} {app} {app}");
        assert_eq!(chosen(&two, "x", 80), Some((1, false, By::Templates)));
    }

    #[test]
    fn the_address_decides_before_the_name() {
        let servers = "server { listen 127.0.0.1:80; server_name a; } server { listen 80; } server { listen 10.0.0.1:80; server_name b; }";
        for (host, server) in [
            ("a", 1),
            ("localhost", 0),
            ("127.0.0.1", 0),
            ("10.0.0.1", 2),
            ("b", 2),
            ("c", 1),
        ] {
            assert_eq!(
                chosen(servers, host, 80).map(|found| found.0),
                Some(server),
                "{host}"
            );
        }
    }

    #[test]
    fn without_a_listen_it_is_port_80_and_ssl_on_is_for_the_listener() {
        assert_eq!(chosen("server { }", "x", 80), Some((0, false, By::Only)));
        let servers = "server { listen 80; listen unix:/run/x.sock; } server { listen unix:/run/x.sock; server_name a; } server { listen unix:/run/y.sock ssl default_server; }";
        assert_eq!(chosen(servers, "a", 80), Some((0, false, By::Only)));
        for (path, host, expected) in [
            ("/run/x.sock", "a", Some((1, false, By::Name))),
            ("/run/x.sock", "b", Some((0, false, By::First))),
            ("/run/y.sock", "a", Some((2, true, By::Default))),
            ("/run/z.sock", "a", None),
        ] {
            let conf = format!("events {{}}\nhttp {{ {servers} }}");
            let project = Project::in_memory([("nginx.conf", conf.as_str())]).expect("valid");
            let model = Model::resolve(&project);
            let found = model.view(0).choose_server_at_socket(path, host);
            let found = found.map(|chosen| (chosen.server, chosen.tls, chosen.by));
            // The only one of a listener is its default as well.
            let found = found.map(|(server, tls, by)| match by {
                By::Only => (server, tls, By::Default),
                by => (server, tls, by),
            });
            assert_eq!(found, expected, "{path} {host}");
        }
        assert_eq!(chosen("server { listen unix:/run/x.sock; }", "x", 80), None);
        assert_eq!(
            chosen(
                "server { listen 443; ssl on; } server { listen 443; server_name a; }",
                "a",
                443
            ),
            Some((1, true, By::Name))
        );
    }
}

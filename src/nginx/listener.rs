//! Which server takes a request: by the listener that it arrives at, then by its host
//! (ngx_http_init_connection, ngx_http_find_virtual_server).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::location::Listen;
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
#[derive(Debug)]
struct Listener {
    /// The address; of a socket in the file system its path.
    address: String,
    /// Its servers, in order, as indices into the configuration's.
    servers: Vec<u32>,
    /// The one that says `default_server`.
    default: Option<u32>,
    tls: bool,
    http2: bool,
}

impl Listener {
    fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            servers: Vec::new(),
            default: None,
            tls: false,
            http2: false,
        }
    }

    fn add(&mut self, server: u32, listen: Option<&Listen>) {
        self.servers.push(server);
        let Some(listen) = listen else { return };
        if listen.default {
            self.default.get_or_insert(server);
        }
        self.tls |= listen.tls;
        self.http2 |= listen.http2;
    }

    /// `ssl on` of the default server counts for its whole listener; nginx lost it in 1.25.1.
    fn says_ssl_on(&self, view: View<'_>) -> bool {
        let Some(first) = self.default.or(self.servers.first().copied()) else {
            return false;
        };
        let item = view.config.servers[first as usize].item;
        let ssl = view.in_force(item, "ssl");
        ssl.is_some_and(|item| view.directive(item).arg(0) == Some("on"))
    }

    fn choose(&self, view: View<'_>, host: &str) -> Option<Chosen> {
        let server = |index: u32| &view.config.servers[index as usize];
        let first = self.default.or(self.servers.first().copied())?;
        let named = self
            .servers
            .iter()
            .filter_map(|index| {
                let (rank, open) = server(*index).closeness(host)?;
                Some((rank, open, *index))
            })
            .min();
        let mut elsewhere = self
            .servers
            .iter()
            .filter(|index| server(**index).is_named_elsewhere);
        let (server, by) = match (named, elsewhere.next()) {
            (Some((.., index)), _) => (index, By::Name),
            _ if self.servers.len() == 1 => (first, By::Only),
            // Whatever the files ask for is a host that somebody serves.
            (None, Some(index)) => match elsewhere.next() {
                None => (*index, By::Template),
                Some(_) => (*index, By::Templates),
            },
            _ if self.default.is_some() => (first, By::Default),
            _ => (first, By::First),
        };
        Some(Chosen {
            server,
            read_by: if self.tls { server } else { first },
            tls: self.tls,
            http2: self.http2,
            by,
        })
    }
}

/// The addresses that the servers of one configuration listen at.
#[derive(Debug)]
pub(super) struct Listeners {
    /// By port; those of one port by address.
    at: HashMap<u16, Vec<Listener>>,
    /// Sockets in the file system.
    sockets: Vec<Listener>,
    /// The servers whose port a template supplies: at any that no other server names.
    anywhere: Option<Listener>,
}

impl Listeners {
    fn of(view: View<'_>) -> Self {
        let mut at: HashMap<u16, BTreeMap<&str, Listener>> = HashMap::new();
        let mut sockets: BTreeMap<&str, Listener> = BTreeMap::new();
        let mut anywhere = Listener::new("*");
        for (index, server) in (0..).zip(&view.config.servers) {
            let mut add = |address, port, listen| {
                let here = at.entry(port).or_default().entry(address);
                let listener = here.or_insert_with(|| Listener::new(address));
                listener.add(index, listen);
            };
            // Without a `listen` nginx takes port 80 (8000 for other users than root).
            if !server.says_listen {
                add("*", 80, None);
            }
            for listen in &server.listens {
                add(&listen.address, listen.port, Some(listen));
            }
            for listen in &server.sockets {
                let listener = sockets.entry(&listen.address);
                let listener = listener.or_insert_with(|| Listener::new(&listen.address));
                listener.add(index, Some(listen));
            }
            if server.listens_anywhere {
                anywhere.add(index, None);
            }
        }
        let finished = |listeners: BTreeMap<&str, Listener>| -> Vec<Listener> {
            let mut listeners: Vec<Listener> = listeners.into_values().collect();
            for listener in &mut listeners {
                listener.tls |= listener.says_ssl_on(view);
            }
            listeners
        };
        Self {
            at: at
                .into_iter()
                .map(|(port, listeners)| (port, finished(listeners)))
                .collect(),
            sockets: finished(sockets),
            anywhere: (!anywhere.servers.is_empty()).then_some(anywhere),
        }
    }

    /// Those where `port` is open.
    fn at(&self, port: u16) -> &[Listener] {
        match self.at.get(&port) {
            Some(listeners) => listeners,
            // A template may name just this port.
            None => self.anywhere.as_slice(),
        }
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
        let listeners = self.listeners().at(port).iter();
        let addressed = |address: &str| {
            address == host
                || (host == "localhost" && is_loopback(address))
                || address.trim_matches(['[', ']']) == host
        };
        let asked = listeners.clone().any(|one| addressed(&one.address));
        let outer = listeners.clone().any(|one| !is_loopback(&one.address));
        let found = listeners.filter_map(|listener| {
            let address = listener.address.as_str();
            let fits = match (asked, outer) {
                (true, _) => addressed(address),
                (false, true) => !is_loopback(address),
                (false, false) => true,
            };
            let chosen = fits.then(|| listener.choose(self, host)).flatten()?;
            Some((address, chosen))
        });
        let nearness = |(address, chosen): &(&str, Chosen)| {
            let ipv6 = address.starts_with('[') && !host.contains(':');
            (ipv6, *address != "*", chosen.by != By::Name)
        };
        let first = found.clone().min_by_key(nearness)?;
        // Several addresses of one port: the one whose servers know the host.
        let named = found.filter(|(address, chosen)| {
            chosen.by == By::Name && first.0.starts_with('[') == address.starts_with('[')
        });
        Some(named.min_by_key(nearness).unwrap_or(first).1)
    }

    /// The server that a request to `host` meets that arrives at the socket `path`, and why.
    pub fn choose_server_at_socket(self, path: &str, host: &str) -> Option<Chosen> {
        let mut sockets = self.listeners().sockets.iter();
        let listener = sockets.find(|listener| listener.address == path)?;
        listener.choose(self, host)
    }

    /// The sockets in the file system that its servers listen on.
    pub fn sockets(self) -> impl Iterator<Item = &'a str> {
        let servers = self.config.servers.iter();
        let sockets = servers.flat_map(|server| &server.sockets);
        sockets.map(|listen| listen.address.as_str())
    }

    fn listeners(self) -> &'a Listeners {
        let listeners = &self.config.listeners;
        listeners.get_or_init(|| Listeners::of(self))
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

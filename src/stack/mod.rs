//! Hops joined: which hop of a project stands behind which, and on which ways a handshake reaches
//! an application.
//!
//! Sources are joined by what ties them, never because both happen to be there: a name or a port
//! of a compose file, the address or socket at which an application is started, the host that a
//! site is for, or being the one application behind the one address that a proxy dials.

pub mod checks;
mod first;
mod lost;
mod mended;
mod missed;
mod processes;
pub(crate) mod redirected;
pub(crate) mod scheme;
mod served;
mod topology;
mod unclear;
mod ways;

pub use first::First;
pub use lost::{Lost, lost};
pub(crate) use mended::Mended;
pub(crate) use processes::processes;
pub use served::{behind_caddy, served, served_by_caddy};
pub use topology::Topology;
pub use unclear::unclear;
pub(crate) use ways::Graph;
pub use ways::{Traced, stopped, ways};

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};

use self::topology::{Near, Program};
use crate::caddy::Caddy;
use crate::context::Context;
use crate::deploy::Service;
use crate::django::command::Command;
use crate::django::{self, Django};
use crate::handshake::{Dial, Entrance, Hop, Takes, Upstream, is_loopback};
use crate::nginx::hop::Nginx;
use crate::source::{SourceId, Span};

/// Everything in a project that can receive a handshake, joined.
pub struct Stack<'a> {
    /// The hops, always in the same order.
    pub hops: Vec<Box<dyn Hop + 'a>>,
    django: &'a django::Model,
    topology: &'a Topology,
    /// What each hop says of itself, once it is asked.
    known: Vec<Known>,
    /// The hops that answer at each port, by their folders.
    at_port: OnceCell<HashMap<u16, Near>>,
    /// Who names which host.
    names: OnceCell<Names>,
    /// The proxies of each application that is the only one near them.
    near_only: OnceCell<HashMap<usize, Vec<usize>>>,
}

/// Who names which host, so that not everybody is asked for each.
struct Names {
    /// By host; hops in their order.
    exactly: HashMap<String, Vec<usize>>,
    /// Whether a hop has a name that is a pattern.
    by_pattern: Vec<bool>,
}

#[derive(Default)]
struct Known {
    entrances: OnceCell<Vec<Entrance>>,
    dials: OnceCell<Vec<Dial>>,
}

/// A hop that an upstream leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The hop.
    pub hop: usize,
    /// The port at which the request arrives there: another one where a container publishes it.
    pub port: u16,
}

/// Where an upstream leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To one hop of the project.
    To(Behind),
    /// To one of these, if to any, and nothing says to which.
    OneOf(Vec<Behind>),
    /// To what this compose file would say if it could be read.
    Unread(SourceId),
    /// Out of the project.
    Outside,
}

impl<'a> Stack<'a> {
    /// Each nginx, each Caddy, and each Django application as it is started somewhere.
    pub fn of(cx: &'a Context<'a>) -> Self {
        let topology = &cx.topology;
        let faults = cx.faults();
        let faults_of = |settings: &django::settings::Settings| {
            let own = faults.get(cx.django.home(cx.project, settings.source));
            own.cloned().unwrap_or_default()
        };
        let settings: Vec<_> = cx.django.all_settings().collect();
        let hops: Vec<Box<dyn Hop + 'a>> = topology
            .places
            .iter()
            .map(|place| -> Box<dyn Hop + 'a> {
                match &place.program {
                    Program::Nginx(config) => Box::new(Nginx {
                        view: cx.nginx.view(*config),
                        target: cx.nginx.view(*config).config.target,
                    }),
                    Program::Caddy(config) => Box::new(Caddy {
                        config: &cx.caddy.configs[*config],
                    }),
                    Program::Django {
                        settings: number,
                        commands,
                        is_started_elsewhere,
                    } => Box::new(Django {
                        project: cx.project,
                        model: &cx.django,
                        settings: settings[*number],
                        servers: commands
                            .iter()
                            .map(|command| &cx.django.commands[*command])
                            .collect(),
                        is_started_elsewhere: *is_started_elsewhere,
                        faults: faults_of(settings[*number]),
                    }),
                }
            })
            .collect();
        Self {
            known: hops.iter().map(|_| Known::default()).collect(),
            hops,
            django: &cx.django,
            topology,
            at_port: OnceCell::new(),
            names: OnceCell::new(),
            near_only: OnceCell::new(),
        }
    }

    /// Every way into a hop.
    pub fn entrances(&self, hop: usize) -> &[Entrance] {
        let known = &self.known[hop].entrances;
        known.get_or_init(|| self.hops[hop].entrances())
    }

    /// Everyone whom a hop may send a request on to.
    pub fn dials(&self, hop: usize) -> &[Dial] {
        let known = &self.known[hop].dials;
        known.get_or_init(|| self.hops[hop].dials())
    }

    /// The hop of the project to which a request surely goes that `from` sends to `upstream`.
    pub fn behind(&self, from: usize, upstream: &Upstream) -> Option<Behind> {
        match self.leads(from, upstream) {
            Leads::To(behind) => Some(behind),
            _ => None,
        }
    }

    /// Where a request goes that `from` sends to `upstream`.
    pub fn leads(&self, from: usize, upstream: &Upstream) -> Leads {
        let (Some(host), port) = (upstream.host.known(), upstream.port.known()) else {
            return match self.by_port(from, upstream) {
                Some(behind) => Leads::To(behind),
                None => Leads::Outside,
            };
        };
        let is_path = upstream.socket().is_some();
        let found = match (upstream.socket(), port) {
            (Some(path), _) => {
                let bound = self.topology.at_socket(from, path).into_iter();
                bound.map(|hop| Behind { hop, port: 80 }).collect()
            }
            (None, Some(port)) => {
                let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
                match self.tied(from, upstream.tls, &host, *port) {
                    Some(found) => found,
                    None => return self.perhaps(from, &host, *port).unwrap_or(Leads::Outside),
                }
            }
            (None, None) => return Leads::Outside,
        };
        match self.distinct(found).as_slice() {
            [] => {}
            [one] => return Leads::To(*one),
            several => return Leads::OneOf(several.to_vec()),
        }
        if let Some(hop) = self.one_application(from, upstream) {
            let port = port.filter(|_| !is_path).copied().unwrap_or(80);
            return Leads::To(Behind { hop, port });
        }
        if let (false, Some(port)) = (is_path, port)
            && let Some(leads) = self.perhaps(from, &host.to_ascii_lowercase(), *port)
        {
            return leads;
        }
        // A name of the network has dots; one that only compose files give has none.
        let is_inside = !host.contains('.') || is_loopback(host) || is_machine(host);
        match self.topology.unread(from).filter(|_| is_inside) {
            Some(file) => Leads::Unread(file),
            None => Leads::Outside,
        }
    }

    /// The hops that the files tie to an address, by the first tie that there is; `None` where they
    /// say that something else is there.
    fn tied(&self, from: usize, tls: bool, host: &str, port: u16) -> Option<Vec<Behind>> {
        let here = |hop: usize| Behind { hop, port };
        if is_loopback(host) {
            return Some(self.on_this_machine(from, tls, port));
        }
        let services = self.topology.named(from, host);
        if !services.is_empty() {
            let of_services = |at: &dyn Fn(usize) -> bool| -> Vec<Behind> {
                let runs = services.iter().map(|service| &self.topology.runs[*service]);
                let hops = runs.flatten().copied().filter(|hop| at(*hop));
                hops.map(here).collect()
            };
            let ties: [&dyn Fn(usize) -> bool; 3] = [
                &|hop| self.listens(hop, tls, port),
                &|hop| self.is_server_at(hop, port),
                &|hop| self.may_listen(hop, port),
            ];
            let found = ties.iter().map(|tie| of_services(tie));
            if let Some(found) = found.into_iter().find(|found| !found.is_empty()) {
                return Some(found);
            }
            if self.is_elsewhere(&services) {
                return None;
            }
        }
        if is_machine(host) {
            let found = self.published(from, tls, port);
            if !found.is_empty() {
                return Some(found);
            }
        }
        let naming = self
            .names()
            .exactly
            .get(host)
            .map_or(&[][..], Vec::as_slice);
        let may_name =
            |hop: usize| self.names().by_pattern[hop] || naming.binary_search(&hop).is_ok();
        let names =
            |hop: usize| may_name(hop) && self.hops[hop].takes(tls, host, port) == Takes::ByName;
        let mut found = self.at_port(from, port, |hop| hop != from && names(hop));
        if found.is_empty() && names(from) {
            found.push(from);
        }
        Some(found.into_iter().map(here).collect())
    }

    /// The applications that an address may be, where several are near and nothing says which: those
    /// of the machine that is dialled, or those that a service is built from.
    fn perhaps(&self, from: usize, host: &str, port: u16) -> Option<Leads> {
        let host = host.trim_matches(['[', ']']);
        let topology = self.topology;
        let candidates: BTreeSet<usize> = if is_loopback(host) || is_machine(host) {
            let is_there = |hop: &usize| self.is_on_machine_of(from, *hop, is_loopback(host));
            let near = topology.applications.to(&topology.places[from].folder);
            near.into_iter().filter(is_there).collect()
        } else {
            let services = topology.named(from, host).into_iter();
            services
                .flat_map(|service| topology.may_run[service].iter().copied())
                .collect()
        };
        if candidates.len() < 2 {
            return None;
        }
        let open = candidates
            .into_iter()
            .filter(|hop| self.may_listen(*hop, port));
        let found: Vec<Behind> = open.map(|hop| Behind { hop, port }).collect();
        (!found.is_empty()).then_some(Leads::OneOf(found))
    }

    /// Whether a hop runs on the machine that `from` means; a `loopback` address of a container leads
    /// to nobody outside it.
    fn is_on_machine_of(&self, from: usize, hop: usize, loopback: bool) -> bool {
        let services_of = |hop: usize| &self.topology.places[hop].services;
        let on_host = |service: &usize| self.topology.services[*service].on_host;
        let (own, services) = (services_of(from), services_of(hop));
        match loopback && !own.is_empty() && !own.iter().any(on_host) {
            true => services.iter().any(|service| own.contains(service)),
            false => services.is_empty() || services.iter().any(on_host),
        }
    }

    /// Each of them once; an application as it runs in production before one of which nothing but
    /// a start for developers is known, what runs by default before what a profile starts, and what
    /// another file says before what that is added to.
    fn distinct(&self, mut found: Vec<Behind>) -> Vec<Behind> {
        found.sort_by_key(|behind| (behind.hop, behind.port));
        found.dedup();
        let place = |behind: &Behind| &self.topology.places[behind.hop];
        let is_unclear = |behind: &Behind| {
            matches!(
                place(behind).program,
                Program::Django {
                    is_started_elsewhere: true,
                    ..
                }
            )
        };
        let all_are = |behind: &Behind, is: &dyn Fn(&Service) -> bool| {
            let services = place(behind).services.iter();
            let mut services = services.map(|service| &self.topology.services[*service]);
            services.len() > 0 && services.all(is)
        };
        let is_optional = |behind: &Behind| all_are(behind, &|service| service.is_optional);
        let is_replaced = |behind: &Behind| all_are(behind, &|service| service.is_replaced);
        for gives_way in [
            &is_unclear as &dyn Fn(&Behind) -> bool,
            &is_optional,
            &is_replaced,
        ] {
            if !found.iter().all(gives_way) {
                found.retain(|behind| !gives_way(behind));
            }
        }
        found
    }

    /// The host by which clients ask a server that has no name of its own: the one that the only
    /// application near it is for, where no other server has that name.
    pub fn public_host(&self, hop: usize, entrance: &Entrance) -> Option<&str> {
        let place = &self.topology.places[hop];
        if !entrance.host.is_empty() || self.hops[hop].is_application() {
            return None;
        }
        let near = self.topology.applications.to(&place.folder);
        let home = |hop: &usize| self.topology.places[*hop].folder.as_str();
        only(near.iter().map(home))?;
        let hosts = near.iter().flat_map(|hop| self.entrances(*hop));
        let mut hosts = hosts.map(|entrance| entrance.host.as_str());
        hosts.find(|host| {
            host.contains('.')
                && host.parse::<std::net::IpAddr>().is_err()
                && self.hops[hop].takes(entrance.tls, host, entrance.port) != Takes::ByName
        })
    }

    /// The line that shows a hop: the command that starts an application, else where it is written.
    pub fn shown(&self, hop: usize) -> Span {
        match &self.topology.places[hop].program {
            Program::Django { commands, .. } => commands
                .first()
                .map(|command| self.django.commands[*command].span),
            _ => None,
        }
        .unwrap_or_else(|| self.hops[hop].place())
    }

    /// Whether a hop surely listens at a port of its own.
    fn listens(&self, hop: usize, tls: bool, port: u16) -> bool {
        self.entrances(hop).iter().any(|entrance| {
            // Where nothing says how an application is started, its port is a guess.
            entrance.port == port && entrance.tls == tls && entrance.span != self.hops[hop].place()
        })
    }

    /// Whether a proxy answers at a port at all: if only with a redirect to https, as Caddy does
    /// on its HTTP port, or with 400 to whoever does not speak TLS there.
    fn is_server_at(&self, hop: usize, port: u16) -> bool {
        !self.hops[hop].is_application() && self.hops[hop].ports().contains(&port)
    }

    /// Whether an application may listen at a port, as nothing says at which one it does.
    fn may_listen(&self, hop: usize, port: u16) -> bool {
        match &self.topology.places[hop].program {
            Program::Django { commands, .. } => {
                let mut commands = commands
                    .iter()
                    .map(|command| &self.django.commands[*command]);
                let open = |command: &Command| {
                    command.socket().is_none() && command.port().is_none_or(|known| known == port)
                };
                commands.len() == 0 || commands.any(open)
            }
            _ => false,
        }
    }

    fn names(&self) -> &Names {
        self.names.get_or_init(|| {
            let mut exactly: HashMap<String, Vec<usize>> = HashMap::new();
            let mut by_pattern = vec![false; self.hops.len()];
            for (index, hop) in self.hops.iter().enumerate() {
                match hop.names() {
                    Some(names) => {
                        for name in names {
                            exactly.entry(name.to_owned()).or_default().push(index);
                        }
                    }
                    None => by_pattern[index] = true,
                }
            }
            Names {
                exactly,
                by_pattern,
            }
        })
    }

    /// The hops nearest to `from` that answer at a port and fit.
    fn at_port(&self, from: usize, port: u16, fits: impl Fn(usize) -> bool) -> Vec<usize> {
        let at_port = self.at_port.get_or_init(|| {
            let mut ports: HashMap<u16, Vec<(String, usize)>> = HashMap::new();
            for (index, place) in self.topology.places.iter().enumerate() {
                for port in self.hops[index].ports() {
                    let known = ports.entry(port).or_default();
                    known.push((place.folder.clone(), index));
                }
            }
            let entries = ports.into_iter();
            entries
                .map(|(port, entries)| (port, Near::new(entries)))
                .collect()
        });
        let folder = &self.topology.places[from].folder;
        at_port
            .get(&port)
            .map_or_else(Vec::new, |near| near.fit(folder, fits))
    }

    /// Who listens at a port of the machine, or the container, that `from` runs on.
    fn on_this_machine(&self, from: usize, tls: bool, port: u16) -> Vec<Behind> {
        let here = |hop: usize| Behind { hop, port };
        // Its own port is nobody else's, whatever it speaks there.
        if self.is_server_at(from, port) {
            return vec![here(from)];
        }
        let listening = self.at_port(from, port, |hop| self.listens(hop, tls, port));
        let own = &self.topology.places[from].services;
        let services = |hop: usize| &self.topology.places[hop].services;
        let beside = |hop: &usize| services(*hop).iter().any(|service| own.contains(service));
        let outside = |hop: &usize| services(*hop).is_empty();
        let which = |fits: &dyn Fn(&usize) -> bool| -> Vec<Behind> {
            let fitting = listening.iter().copied().filter(|hop| fits(hop));
            fitting.map(here).collect()
        };
        let ties = [
            which(&beside),
            which(&outside),
            self.published(from, tls, port),
            which(&|_| true),
        ];
        let mut ties = ties.into_iter();
        ties.find(|found| !found.is_empty()).unwrap_or_default()
    }

    /// Whether some of these services run what can't be an application that is looked for.
    fn is_elsewhere(&self, services: &[usize]) -> bool {
        services.iter().any(|service| {
            self.topology.is_foreign(*service) || !self.topology.runs[*service].is_empty()
        })
    }

    /// Whose port a container publishes as `port` of the machine.
    fn published(&self, from: usize, tls: bool, port: u16) -> Vec<Behind> {
        let services = self.topology.publishing(from, port);
        let found = services.into_iter().flat_map(|(service, port)| {
            let hops = self.topology.runs[service].iter().copied();
            let there = hops
                .filter(move |hop| self.listens(*hop, tls, port) || self.may_listen(*hop, port));
            there.map(move |hop| Behind { hop, port })
        });
        found.collect()
    }

    /// The proxies near which `application` is the only one.
    fn near_only(&self, application: usize) -> &[usize] {
        let near = self.near_only.get_or_init(|| {
            let mut near: HashMap<usize, Vec<usize>> = HashMap::new();
            for (proxy, place) in self.topology.places.iter().enumerate() {
                let is_proxy = !matches!(place.program, Program::Django { .. });
                if is_proxy && let Some(hop) = only(self.topology.applications.to(&place.folder)) {
                    near.entry(hop).or_default().push(proxy);
                }
            }
            near
        });
        near.get(&application).map_or(&[], Vec::as_slice)
    }

    /// The one application near, where only the environment or a variable names the host of
    /// `upstream` and the port is the one that its command states: nothing else that `from` dials may
    /// be meant.
    fn by_port(&self, from: usize, upstream: &Upstream) -> Option<Behind> {
        let port = *upstream.port.known()?;
        let hop = only(
            self.topology
                .applications
                .to(&self.topology.places[from].folder),
        )?;
        let Program::Django { commands, .. } = &self.topology.places[hop].program else {
            return None;
        };
        let mut commands = commands.iter().map(|at| &self.django.commands[*at]);
        let is_there = commands.any(|command| command.written_port() == Some(port));
        let at_port = self.dials(from).iter().map(|dial| &dial.to);
        let at_port = at_port.filter(|to| to.port.known() == Some(&port));
        (is_there && only(at_port.map(|to| to.from)).is_some()).then_some(Behind { hop, port })
    }

    /// The one application, where it is the one thing that `from` can mean by `upstream`: it is
    /// started at that port, or no command says where and `from` dials nobody else.
    fn one_application(&self, from: usize, upstream: &Upstream) -> Option<usize> {
        let folder = &self.topology.places[from].folder;
        let hop = only(self.topology.applications.to(folder))?;
        let address =
            |to: &Upstream| Some((to.host.known()?.to_ascii_lowercase(), *to.port.known()?));
        let (_, port) = address(upstream)?;
        let Program::Django { commands, .. } = &self.topology.places[hop].program else {
            return None;
        };
        let commands = || {
            commands
                .iter()
                .map(|command| &self.django.commands[*command])
        };
        let ports: BTreeSet<u16> = commands().filter_map(Command::written_port).collect();
        let has_socket = commands().any(|command| command.socket().is_some());
        if has_socket || !ports.is_empty() && !ports.contains(&port) {
            return None;
        }
        // What is known to be something else can't be meant.
        let is_open = |from: usize, to: &Upstream| match address(to) {
            Some((host, known)) => {
                (ports.is_empty() || known == port)
                    && !self.is_elsewhere(&self.topology.named(from, &host))
            }
            None => true,
        };
        // Where nothing says how it is started, proxies that dial different addresses are those of
        // different machines, and which of them runs it nobody knows.
        let dialling: &[usize] = if commands().next().is_none() {
            self.near_only(hop)
        } else {
            &[from]
        };
        let dialled: BTreeSet<_> = dialling
            .iter()
            .flat_map(|from| self.dials(*from).iter().map(move |dial| (*from, &dial.to)))
            .filter(|(from, to)| is_open(*from, to))
            .map(|(_, to)| address(to))
            .collect();
        (dialled.len() == 1).then_some(hop)
    }
}

/// The one of them; `None` if there are none, or several.
fn only<T: PartialEq>(found: impl IntoIterator<Item = T>) -> Option<T> {
    let mut found = found.into_iter();
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// Whether a host is the machine that containers run on, as they see it.
fn is_machine(host: &str) -> bool {
    matches!(
        host,
        "host.docker.internal" | "gateway.docker.internal" | "172.17.0.1"
    )
}

#[cfg(test)]
mod tests;

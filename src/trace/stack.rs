//! The hops of a project, and which of them stands behind which.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::caddy::Caddy;
use crate::context::Context;
use crate::django::{self, Django};
use crate::handshake::{Hop, Request, Takes, Upstream};
use crate::nginx::hop::Nginx;

/// Everything in a project that can receive a handshake.
pub(super) struct Stack<'a> {
    pub(super) hops: Vec<Box<dyn Hop + 'a>>,
}

impl<'a> Stack<'a> {
    /// Each nginx, each Caddy, and each Django application under the settings that it runs with.
    pub(super) fn of(cx: &'a Context<'a>) -> Self {
        let mut hops: Vec<Box<dyn Hop + 'a>> = Vec::new();
        for config in 0..cx.nginx.configs.len() as u32 {
            let nginx = Nginx {
                view: cx.nginx.view(config),
                target: cx.project.config.targets.nginx,
            };
            if !nginx.view.config.servers.is_empty() {
                hops.push(Box::new(nginx));
            }
        }
        for config in &cx.caddy.configs {
            if !config.sites.is_empty() {
                hops.push(Box::new(Caddy { config }));
            }
        }
        // Of several settings modules of one application, what runs in production comes first.
        let mut homes = BTreeSet::new();
        let faults: Rc<[django::Fault]> = django::faults(cx).into();
        for settings in cx.django.production().chain(&cx.django.settings) {
            if homes.insert(cx.django.home(cx.project, settings.source)) {
                hops.push(Box::new(Django {
                    project: cx.project,
                    model: &cx.django,
                    settings,
                    faults: Rc::clone(&faults),
                }));
            }
        }
        Self { hops }
    }

    /// The hop of the project that `request`, which `from` sends to `upstream`, arrives at; `None`
    /// where nothing ties one to it.
    ///
    /// Tied are a port of this machine on which exactly one hop listens, and a host that exactly
    /// one other hop names.
    pub(super) fn behind(&self, from: usize, upstream: &Upstream) -> Option<usize> {
        let (host, port) = (upstream.host.known()?, *upstream.port.known()?);
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        let listens = |hop: &dyn Hop| {
            hop.entrances().into_iter().any(|entrance| {
                // Where nothing says how an application is started, its port is a guess.
                entrance.port == port
                    && entrance.tls == upstream.tls
                    && entrance.span != hop.place()
            })
        };
        if is_loopback(&host) {
            if listens(self.hops[from].as_ref()) {
                return Some(from);
            }
            return self.only(|_, hop| listens(hop));
        }
        let names = |hop: &dyn Hop| hop.takes(upstream.tls, &host, port) == Takes::ByName;
        self.only(|index, hop| index != from && names(hop))
            .or_else(|| names(self.hops[from].as_ref()).then_some(from))
    }

    fn only(&self, is_one: impl Fn(usize, &dyn Hop) -> bool) -> Option<usize> {
        let mut found =
            (0..self.hops.len()).filter(|index| is_one(*index, self.hops[*index].as_ref()));
        let only = found.next()?;
        found.next().is_none().then_some(only)
    }

    /// The hops that receive a request for an origin first.
    pub(super) fn first(&self, request: &Request, explicit: bool) -> Vec<First> {
        let mut firsts: Vec<(u8, First)> = Vec::new();
        for (index, hop) in self.hops.iter().enumerate() {
            firsts.extend(rank(index, hop.as_ref(), request, explicit));
        }
        let Some(best) = firsts.iter().map(|(rank, _)| *rank).min() else {
            return Vec::new();
        };
        firsts
            .into_iter()
            .filter(|(rank, _)| *rank == best)
            .map(|(_, first)| first)
            .collect()
    }
}

/// A hop that receives a request first, at the address where it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) hop: usize,
    pub(super) tls: bool,
    pub(super) port: u16,
}

/// How well a hop fits a request, smaller being better: what a server itself would do, then what
/// it would do behind something that maps its port or ends TLS before it.
fn rank(index: usize, hop: &dyn Hop, request: &Request, explicit: bool) -> Option<(u8, First)> {
    let asked = First {
        hop: index,
        tls: request.tls,
        port: request.port,
    };
    let here = hop.takes(request.tls, &request.host, request.port);
    if here == Takes::ByName {
        return Some((0, asked));
    }
    let mut elsewhere: Vec<(Takes, bool, u16)> = hop
        .entrances()
        .into_iter()
        .filter(|entrance| entrance.tls == request.tls || request.tls)
        .map(|entrance| {
            let takes = hop.takes(entrance.tls, &request.host, entrance.port);
            (takes, entrance.tls, entrance.port)
        })
        .filter(|(takes, ..)| *takes != Takes::No)
        .collect();
    // The same scheme first; the lowest port, for want of a better reason.
    elsewhere
        .sort_by_key(|(takes, tls, port)| (*takes != Takes::ByName, *tls != request.tls, *port));
    let elsewhere = elsewhere.first().map(|(takes, tls, port)| {
        let first = First {
            hop: index,
            tls: *tls,
            port: *port,
        };
        (*takes, first)
    });
    match (here, elsewhere) {
        (Takes::ByDefault, Some((Takes::ByName, _))) => Some((1, asked)),
        (Takes::ByDefault, _) => Some((4, asked)),
        (_, Some((Takes::ByName, first))) => {
            let rank = match (explicit, first.tls == request.tls) {
                (true, _) => 5,
                (false, true) => 2,
                (false, false) => 3,
            };
            Some((rank, first))
        }
        (_, Some((_, first))) => {
            let rank = match (hop.is_application(), first.tls == request.tls) {
                (true, _) => 8,
                (false, true) => 6,
                (false, false) => 7,
            };
            Some((rank, first))
        }
        (_, None) => None,
    }
}

/// Whether a host is this machine.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

//! In how many processes an application runs, beyond the workers of one command.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Stack;
use super::topology::Program;
use crate::context::Context;
use crate::source::Span;

/// Replicas of a compose service, or servers of one upstream, that run the application of each home
/// which several of them run: how many, and the place that says so.
pub(crate) fn processes(cx: &Context<'_>) -> HashMap<String, (u32, Span)> {
    let topology = &cx.topology;
    let home = |hop: usize| {
        let place = &topology.places[hop];
        let is_application = matches!(place.program, Program::Django { .. });
        is_application.then(|| place.folder.trim_end_matches('/'))
    };
    let mut found: HashMap<String, (u32, Span)> = HashMap::new();
    for (hop, place) in topology.places.iter().enumerate() {
        let services = place.services.iter();
        let replicas = services
            .map(|service| &topology.services[*service])
            .filter(|service| service.replicas > 1)
            .max_by_key(|service| service.replicas);
        if let (Some(home), Some(service)) = (home(hop), replicas) {
            let more = found
                .get(home)
                .is_none_or(|(count, _)| *count < service.replicas);
            if more {
                found.insert(home.to_owned(), (service.replicas, service.span));
            }
        }
    }
    let stack = Stack::of(cx);
    let proxies = (0..stack.hops.len()).filter(|hop| !stack.hops[*hop].is_application());
    for proxy in proxies {
        // The servers of each upstream, by the application that they run.
        let mut pools: BTreeMap<(&str, Span), BTreeSet<Span>> = BTreeMap::new();
        for dial in stack.dials(proxy) {
            let behind = stack.behind(proxy, &dial.to);
            if let Some(home) = behind.and_then(|behind| home(behind.hop)) {
                let pool = pool(cx, proxy, dial.to.from);
                let servers = pools.entry((home, pool)).or_default();
                servers.insert(dial.to.from);
            }
        }
        let mut largest: BTreeMap<&str, (usize, Span)> = BTreeMap::new();
        for ((home, pool), servers) in &pools {
            let known = largest.entry(home).or_insert((servers.len(), *pool));
            if servers.len() >= known.0 {
                *known = (servers.len(), *pool);
            }
        }
        for (home, (count, pool)) in largest {
            // What a compose file or a proxy before this one says counts.
            if count > 1 && !found.contains_key(home) {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                found.insert(home.to_owned(), (count, pool));
            }
        }
    }
    found
}

/// What balances over the address at `dial`: nginx's `upstream`, or the line in which it stands.
fn pool(cx: &Context<'_>, proxy: usize, dial: Span) -> Span {
    if let Program::Nginx(config) = &cx.topology.places[proxy].program {
        let view = cx.nginx.view(*config);
        let mut blocks = view.config.upstreams.iter();
        let block = blocks.find_map(|(_, item)| {
            let block = view.directive(*item);
            block.span().contains(dial).then(|| block.head())
        });
        return block.unwrap_or(dial);
    }
    let text = &cx.project.source(dial.source).text;
    let start = text[..dial.start as usize]
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let indent = line.len() - line.trim_start().len();
    Span::new(dial.source, start + indent..start + line.trim_end().len())
}

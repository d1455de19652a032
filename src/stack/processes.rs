//! In how many processes an application runs, beyond the workers of one command.

use std::collections::{BTreeMap, BTreeSet};

use super::Stack;
use super::topology::{Program, ending};
use crate::context::Context;
use crate::source::Span;

/// Replicas of a compose service, or servers of one upstream, that run the application in `home`:
/// how many, and the place that says so.
pub(crate) fn processes(cx: &Context<'_>, home: &str) -> Option<(u32, Span)> {
    let folder = ending(home);
    let is_it = |hop: usize| {
        let place = &cx.topology.places[hop];
        place.folder == folder && matches!(place.program, Program::Django { .. })
    };
    let hops = 0..cx.topology.places.len();
    let own: Vec<usize> = hops.filter(|hop| is_it(*hop)).collect();
    let services = own
        .iter()
        .flat_map(|hop| &cx.topology.places[*hop].services);
    let replicas = services
        .map(|service| &cx.topology.services[*service])
        .filter(|service| service.replicas > 1)
        .max_by_key(|service| service.replicas);
    if let Some(service) = replicas {
        return Some((service.replicas, service.span));
    }
    let stack = Stack::of(cx);
    let proxies = cx.graph(&stack).dialling(&own).into_iter();
    for proxy in proxies.filter(|hop| !stack.hops[*hop].is_application()) {
        let mut pools: BTreeMap<Span, BTreeSet<Span>> = BTreeMap::new();
        for dial in stack.dials(proxy) {
            let behind = stack.behind(proxy, &dial.to);
            if behind.is_some_and(|behind| own.contains(&behind.hop)) {
                let pool = pool(cx, proxy, dial.to.from);
                pools.entry(pool).or_default().insert(dial.to.from);
            }
        }
        let largest = pools.into_iter().max_by_key(|(_, servers)| servers.len());
        if let Some((pool, servers)) = largest.filter(|(_, servers)| servers.len() > 1) {
            return Some((u32::try_from(servers.len()).unwrap_or(u32::MAX), pool));
        }
    }
    None
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

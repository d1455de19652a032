//! Certificates that are made on demand for whoever asks.

use super::site::{is_plain, is_whole};
use super::{Refusal, refusal};
use crate::caddy::address::Address;
use crate::caddy::expand::Directive;
use crate::caddy::model::Options;
use crate::project::Version;

/// `on_demand` for any name, and nothing that is asked whether it may be (modules/caddytls/automation.go,
/// makeCertMagicConfig, since 2.8). Names that are written need no permission, Caddy's own
/// certificates neither, and whoever has others at hand may have them for all.
pub(super) fn on_demand(
    given: Option<Version>,
    options: &Options,
    globals: &[Directive],
    sites: &[Directive],
) -> Option<Refusal> {
    let asks = ["on_demand_tls", "local_certs", "cert_issuer"];
    let mut lines = globals.iter().flat_map(Directive::children);
    let is_silent =
        |line: &Directive| line.words.first().is_some_and(is_plain) && !asks.contains(&line.name());
    let all = globals.iter().chain(sites);
    if options.version < [2, 8, 0] || !all.clone().all(is_whole) || !lines.all(is_silent) {
        return None;
    }
    let mut tls = Vec::new();
    for site in sites {
        let own = site.children().iter().filter(|line| line.name() == "tls");
        tls.extend(own.map(|line| (site, line)));
    }
    let others = ["get_certificate", "issuer", "dns", "load"];
    // A manager of one site is asked for the others as well.
    let manages = |(_, line): &(&Directive, &Directive)| {
        let mut options = line.children().iter();
        let is_open = |option: &Directive| {
            others.contains(&option.name()) || !option.words.iter().all(is_plain)
        };
        line.conditional || !line.args().iter().all(is_plain) || options.any(is_open)
    };
    let [(site, line)] = tls.as_slice() else {
        return None;
    };
    let demands = line
        .children()
        .iter()
        .find(|option| option.name() == "on_demand")?;
    let issues = line.args().is_empty() || line.args().len() == 1 && line.arg(0)?.contains('@');
    let is_any = |address: &Address| {
        let host = address.host.as_str();
        let any = host.is_empty() || host == "*" || host.starts_with("*.");
        any && !address.unknown
            && address.scheme.as_deref() != Some("http")
            && address.listens(&options.ports) != options.ports.http
            && !host.ends_with(".ts.net")
    };
    let mut words = site.words.iter();
    let certain = words.all(|word| is_plain(word) && is_any(&Address::parse(word)));
    if manages(&(site, line)) || !issues || !certain || site.conditional || demands.conditional {
        return None;
    }
    let mut one = refusal(
        demands.head,
        "Caddy from 2.8 on refuses the whole file: a certificate for whatever name is asked for needs somebody who permits it".to_owned(),
        "for any name",
        "say in the global options who is asked:\n\n{\n\ton_demand_tls {\n\t\task http://localhost:9123/allowed\n\t}\n}",
    );
    one.also
        .push((site.head, "no name is written here".to_owned()));
    one.note = Some(
        "Caddy says `on-demand TLS cannot be enabled without a permission module to prevent abuse`"
            .to_owned(),
    );
    one.by_version = given.is_none();
    Some(one)
}

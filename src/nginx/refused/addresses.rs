//! What nginx refuses of the addresses that servers listen at and that upstreams name.

use super::special::{Memory, parameter};
use super::value::{is_placeholder, number};
use super::{Finder, Words, table};
use crate::nginx::model::ItemId;
use crate::syntax::Word;

/// ngx_http_core_listen and ngx_http_add_addresses.
pub(super) fn listen(
    memory: &mut Memory<'_>,
    whole: u32,
    server: ItemId,
    address: &Word,
    rest: &[Word],
) -> Vec<Words> {
    const FLAGS: &[&str] = &[
        "default_server",
        "default",
        "bind",
        "ssl",
        "http2",
        "quic",
        "proxy_protocol",
        "deferred",
        "reuseport",
        "multipath",
    ];
    const OPTIONS: &[&str] = &[
        "setfib=",
        "fastopen=",
        "backlog=",
        "rcvbuf=",
        "sndbuf=",
        "accept_filter=",
        "ipv6only=",
        "so_keepalive=",
    ];
    let mut found = Vec::new();
    let is_known =
        |text: &str| FLAGS.contains(&text) || OPTIONS.iter().any(|option| text.starts_with(option));
    if let Some(unknown) = rest.iter().find(|word| !is_known(&word.text)) {
        return vec![parameter(unknown)];
    }
    let text = address.text.as_str();
    let (host, port) = match text {
        text if text.starts_with("unix:") => (text, ""),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => ("0.0.0.0", text),
        text if text.ends_with(']') => (text, "80"),
        text => text.rsplit_once(':').unwrap_or((text, "80")),
    };
    if !port.is_empty()
        && !is_placeholder(port)
        && number(port).is_none_or(|port| !(1..=65535).contains(&port))
    {
        return vec![Words::new(
            address.span,
            format!("`listen` takes no port `{port}`"),
            "an invalid port",
            format!("invalid port in \"{text}\" of the \"listen\" directive"),
        )];
    }
    let host = if host == "*" { "0.0.0.0" } else { host };
    // QUIC has sockets of its own.
    let quic = if rest.iter().any(|word| word.text == "quic") {
        " quic"
    } else {
        ""
    };
    let key = format!("{}:{port}{quic}", host.to_ascii_lowercase());
    // A name may have several addresses, and others share them.
    if host.starts_with(|c: char| c.is_ascii_alphabetic()) && !host.starts_with("unix:") {
        return found;
    }
    if let Some(first) = memory.listens.insert((server, key.clone()), address.span) {
        let words = Words::new(
            address.span,
            format!("this server listens on `{key}` twice"),
            "the second time",
            format!("a duplicate listen {key}"),
        );
        found.push(words.other(first, "the first time"));
        return found;
    }
    if let Some(word) = rest.iter().find(|word| word.text.starts_with("default"))
        && let Some(first) = memory.defaults.insert((whole, key.clone()), word.span)
    {
        let words = Words::new(
            word.span,
            format!("`{key}` has a second default server"),
            "the second one",
            format!("a duplicate default server for {key}"),
        );
        found.push(words.other(first, "the first one"));
    }
    let sets = |word: &&Word| {
        matches!(word.text.as_str(), "bind" | "deferred" | "reuseport")
            || OPTIONS
                .iter()
                .any(|option| *option != "accept_filter=" && word.text.starts_with(option))
    };
    if let Some(word) = rest.iter().find(sets)
        && let Some(first) = memory.options.insert((whole, key.clone()), word.span)
    {
        let words = Words::new(
            word.span,
            format!(
                "the socket of `{key}` is set up a second time: such parameters belong to one `listen` of an address only"
            ),
            "the second time",
            format!("duplicate listen options for {key}"),
        );
        found.push(words.other(first, "set up here"));
    }
    found
}

pub(super) fn upstream(finder: &mut Finder<'_>, item: ItemId, name: &Word) -> Option<Words> {
    let view = finder.view;
    let head = view.directive(item).head();
    if let Some(first) = finder
        .memory
        .upstreams
        .insert(name.text.to_ascii_lowercase(), head)
        && (view.config.complete || first.source == head.source)
    {
        let words = Words::new(
            head,
            format!("there are two upstreams `{}`", name.text),
            "the second one",
            format!("duplicate upstream \"{}\"", name.text),
        );
        return Some(words.other(first, "the first one"));
    }
    let mut within = view.children(item).map(|child| view.directive(child));
    // Others may bring servers, too.
    let empty = within.all(|child| {
        child.node().intact
            && !matches!(child.name(), "server" | "include")
            && !table::known(child.name()).is_empty()
    });
    let source = finder.project.source(head.source);
    (empty && !source.is_template()).then(|| {
        Words::new(
            head,
            format!("the upstream `{}` has no server", name.text),
            "no `server` stands in it",
            "no servers are inside upstream",
        )
    })
}

/// ngx_http_upstream_server; the parameters of all versions.
pub(super) fn server_parameter(word: &Word) -> Option<Words> {
    let text = word.text.as_str();
    let known = matches!(text, "backup" | "down" | "resolve" | "drain")
        || [
            "weight=",
            "max_conns=",
            "max_fails=",
            "fail_timeout=",
            "service=",
            "slow_start=",
            "route=",
            "id=",
            "check",
            "srun_id=",
        ]
        .iter()
        .any(|start| text.starts_with(start));
    let amount = ["weight=", "max_conns=", "max_fails="]
        .iter()
        .find_map(|start| text.strip_prefix(start));
    (!known || amount.is_some_and(|amount| number(amount).is_none())).then(|| parameter(word))
}

//! `nginx/upstream-address`: `proxy_pass` names an upstream that nginx can't load, resolve or
//! talk to.

use super::{Causes, Place, places};
use crate::context::Context;
use crate::finding::{Finding, Report};
use crate::nginx::address::{Address, is_resolved, without_scheme};
use crate::nginx::headers::handshakes;
use crate::nginx::variables::Scope;
use crate::nginx::words::variables;
use crate::rule::Severity;
use crate::syntax::Word;

/// Reports every route whose `proxy_pass` has a wrong address.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for place in places(cx) {
        let directive = place.view.directive(place.route.pass);
        let Some(word) = directive.args().first() else {
            continue;
        };
        if directive.name() != "proxy_pass" || word.templated {
            continue;
        }
        if let Some(finding) = judge(&place, word, report) {
            causes.add(word.span, None, || finding);
        }
    }
    causes.report(report);
}

fn judge(place: &Place<'_>, word: &Word, report: &Report<'_>) -> Option<Finding> {
    if without_scheme(place.view, word) {
        return Some(refused(place, word, report));
    }
    let requests = handshakes();
    let value = Scope::new(place.view, requests.first()?, place.route.block).value(word);
    if !variables(&word.text).is_empty() {
        let url = value.known()?;
        let address = Address::read(url)?;
        let resolver = place.view.setting(place.route.block, "resolver");
        return (!is_resolved(place.view, address)
            && resolver.items.is_empty()
            && place.view.sees_all(place.route.block))
        .then(|| unresolved(place, word, url, address, report));
    }
    let address = Address::read(&word.text)?;
    other_port(place, word, address, report)
}

fn refused(place: &Place<'_>, word: &Word, report: &Report<'_>) -> Finding {
    let rest = word
        .text
        .split_once("://")
        .map_or(word.text.as_str(), |(_, rest)| rest);
    report
        .finding(
            format!("nginx does not start: the `proxy_pass` of {} has no `http://`", place.name()),
            word.span,
            "`invalid URL prefix`",
        )
        .note("`proxy_pass` needs `http://` or `https://` before the address, also where that is the name of an `upstream`. A running nginx keeps its old configuration when it is reloaded")
        .help(format!(
            "write instead:\n{}proxy_pass http://{rest};",
            place.indent(place.route.pass)
        ))
}

fn unresolved(
    place: &Place<'_>,
    word: &Word,
    url: &str,
    address: Address<'_>,
    report: &Report<'_>,
) -> Finding {
    let host = address.host;
    let finding = report
        .finding(
            format!("every request to {} gets 502: no `resolver` looks `{host}` up", place.name()),
            word.span,
            format!("`{url}`, asked for at run time"),
        )
        .note("nginx looks names up when it starts only where `proxy_pass` holds no variable; with one it asks a `resolver` for each request, and says `no resolver defined to resolve` where there is none");
    place.because(finding).help(format!(
        "write in the `server` block, with the address of your DNS server (127.0.0.11 is Docker's):\nresolver 127.0.0.11 valid=30s;\nor name the upstream without a variable:\n{}proxy_pass {url};",
        place.indent(place.route.pass)
    ))
}

fn other_port(
    place: &Place<'_>,
    word: &Word,
    address: Address<'_>,
    report: &Report<'_>,
) -> Option<Finding> {
    let (scheme, other) = match (address.tls, address.port?) {
        (false, 443) => ("http", "https"),
        (true, 80) => ("https", "http"),
        _ => return None,
    };
    let what = if address.tls {
        "nginx begins with TLS, a server for plain HTTP does not understand it, and the browser gets 502"
    } else {
        "a server for TLS answers 400 to plain HTTP (`The plain HTTP request was sent to HTTPS port`), or closes"
    };
    let finding = report
        .finding(
            format!(
                "{} speaks {scheme} to port {}, where {other} is expected",
                place.name(),
                address.reached()
            ),
            word.span,
            format!("{scheme} to the port of {other}"),
        )
        .severity(Severity::Warning)
        .note(what);
    Some(place.because(finding).help(format!(
        "write instead:\n{}proxy_pass {other}://{};",
        place.indent(place.route.pass),
        word.text.split_once("://").map_or("", |(_, rest)| rest)
    )))
}

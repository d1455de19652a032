//! What the blocks of Caddy's own directives and its global options take.
//!
//! Each table holds the lines of all versions; names of modules are no part of it, since a plugin
//! may bring more of them.

use super::lines::{Kind, Line, MANY, PROXY, TRANSPORT};
use super::proxy::arguments;
use super::site::is_plain;
use super::{Refusal, refusal};
use crate::caddy::expand::{Directive, Word};
use crate::caddy::model::CURRENT;
use crate::caddy::order::{Order, SETTINGS};
use crate::project::Version;

/// Lines that 2.6 does not know.
const AFTER_2_6: &[(&str, &str)] = &[
    ("log", "hostnames"),
    ("log", "sampling"),
    ("log", "core"),
    ("log", "no_hostname"),
    ("file_server", "etag_file_extensions"),
    ("request_body", "set"),
    ("request_body", "read_timeout"),
    ("request_body", "write_timeout"),
    ("templates", "extensions"),
    ("tls", "propagation_delay"),
    ("tls", "propagation_timeout"),
    ("tls", "dns_ttl"),
    ("servers", "name"),
    ("servers", "packet_conn_wrappers"),
    ("servers", "keepalive_idle"),
    ("servers", "keepalive_count"),
    ("servers", "enable_full_duplex"),
    ("servers", "trusted_proxies"),
    ("servers", "trusted_proxies_strict"),
    ("servers", "trusted_proxies_unix"),
    ("servers", "client_ip_headers"),
    ("servers", "trace"),
    ("servers", "0rtt"),
];

/// Lines of each block, where none but these can stand.
fn block(of: &str) -> Option<&'static [Line]> {
    Some(match of {
        "log" => &[
            ("hostnames", 1, MANY, Kind::Any),
            ("output", 1, MANY, Kind::Any),
            ("sampling", 0, MANY, Kind::Any),
            ("core", 1, MANY, Kind::Any),
            ("format", 1, MANY, Kind::Any),
            ("level", 1, 1, Kind::Level),
            ("include", 1, MANY, Kind::Any),
            ("exclude", 1, MANY, Kind::Any),
            ("no_hostname", 0, 0, Kind::Any),
        ],
        "file_server" => &[
            ("fs", 1, MANY, Kind::Any),
            ("hide", 1, MANY, Kind::Any),
            ("index", 1, MANY, Kind::Any),
            ("root", 1, 1, Kind::Any),
            ("browse", 0, 1, Kind::Any),
            ("precompressed", 0, MANY, Kind::Any),
            ("status", 1, 1, Kind::Any),
            ("disable_canonical_uris", 0, 0, Kind::Any),
            ("pass_thru", 0, 0, Kind::Any),
            ("etag_file_extensions", 1, MANY, Kind::Any),
        ],
        "respond" => &[("body", 1, 1, Kind::Any), ("close", 0, 0, Kind::Any)],
        "error" => &[("message", 1, 1, Kind::Any)],
        "request_body" => &[
            ("max_size", 1, 1, Kind::Size),
            ("set", 1, 1, Kind::Any),
            ("read_timeout", 1, 1, Kind::Duration),
            ("write_timeout", 1, 1, Kind::Duration),
        ],
        "templates" => &[
            ("mime", 1, MANY, Kind::Any),
            ("between", 2, 2, Kind::Any),
            ("root", 1, 1, Kind::Any),
            ("extensions", 0, MANY, Kind::Any),
        ],
        "metrics" => &[("disable_openmetrics", 0, 0, Kind::Any)],
        "tls" => &[
            ("protocols", 1, 2, Kind::Tls),
            ("ciphers", 1, MANY, Kind::Any),
            ("curves", 1, MANY, Kind::Any),
            ("client_auth", 0, MANY, Kind::Any),
            ("alpn", 1, MANY, Kind::Any),
            ("load", 1, MANY, Kind::Any),
            ("ca", 1, 1, Kind::Any),
            ("key_type", 1, 1, Kind::Any),
            ("eab", 2, 2, Kind::Any),
            ("issuer", 1, MANY, Kind::Any),
            ("get_certificate", 1, MANY, Kind::Any),
            ("dns", 0, MANY, Kind::Any),
            ("resolvers", 1, MANY, Kind::Any),
            ("propagation_delay", 1, 1, Kind::Any),
            ("propagation_timeout", 1, 1, Kind::Any),
            ("dns_ttl", 1, 1, Kind::Any),
            ("dns_challenge_override_domain", 1, 1, Kind::Any),
            ("ca_root", 1, 1, Kind::Any),
            ("on_demand", 0, 0, Kind::Any),
            ("reuse_private_keys", 0, 0, Kind::Any),
            ("insecure_secrets_log", 1, 1, Kind::Any),
            ("renewal_window_ratio", 1, 1, Kind::Any),
        ],
        "servers" => &[
            ("name", 1, 1, Kind::Any),
            ("listener_wrappers", 0, 0, Kind::Any),
            ("packet_conn_wrappers", 0, 0, Kind::Any),
            ("timeouts", 0, 0, Kind::Any),
            ("keepalive_interval", 1, 1, Kind::Duration),
            ("keepalive_idle", 1, 1, Kind::Duration),
            ("keepalive_count", 1, 1, Kind::Number),
            ("max_header_size", 1, 1, Kind::Size),
            ("enable_full_duplex", 0, 0, Kind::Any),
            ("expected_underscore_headers", 0, MANY, Kind::Any),
            ("expected_dot_headers", 0, MANY, Kind::Any),
            ("log_credentials", 0, 0, Kind::Any),
            ("protocols", 0, MANY, Kind::Protocol),
            ("protocol", 0, MANY, Kind::Any),
            ("allow_h2c", 0, MANY, Kind::Any),
            ("strict_sni_host", 0, 1, Kind::Strict),
            ("trusted_proxies", 1, MANY, Kind::Any),
            ("trusted_proxies_strict", 0, 0, Kind::Any),
            ("trusted_proxies_unix", 0, 0, Kind::Any),
            ("client_ip_headers", 1, MANY, Kind::Any),
            ("metrics", 0, MANY, Kind::Any),
            ("trace", 0, 0, Kind::Any),
            ("0rtt", 1, 1, Kind::Any),
        ],
        "timeouts" => &[
            ("read_timeout", 1, 2, Kind::Any),
            ("write_timeout", 1, 2, Kind::Any),
            ("max_write_chunk", 1, 1, Kind::Size),
        ],
        "servers timeouts" => &[
            ("read_body", 1, 1, Kind::Duration),
            ("read_body_idle", 1, 2, Kind::Any),
            ("read_header", 1, 1, Kind::Duration),
            ("write", 1, 1, Kind::Duration),
            ("write_idle", 1, 2, Kind::Any),
            ("write_max_chunk", 1, 1, Kind::Size),
            ("idle", 1, 1, Kind::Duration),
        ],
        _ => return None,
    })
}

/// Global options; those of plugins are not among them.
const OPTIONS: &[Line] = &[
    ("debug", 0, MANY, Kind::Any),
    ("http_port", 1, 1, Kind::Number),
    ("https_port", 1, 1, Kind::Number),
    ("default_bind", 0, MANY, Kind::Any),
    ("grace_period", 1, 1, Kind::Duration),
    ("shutdown_delay", 1, 1, Kind::Duration),
    ("default_sni", 1, 1, Kind::Any),
    ("fallback_sni", 1, 1, Kind::Any),
    ("order", 2, 3, Kind::Any),
    ("storage", 1, MANY, Kind::Any),
    ("storage_check", 1, 1, Kind::Any),
    ("storage_clean_interval", 1, 1, Kind::Any),
    ("renew_interval", 1, 1, Kind::Duration),
    ("ocsp_interval", 1, 1, Kind::Duration),
    ("acme_ca", 1, 1, Kind::Any),
    ("acme_ca_root", 1, 1, Kind::Any),
    ("acme_dns", 0, MANY, Kind::Any),
    ("acme_eab", 0, 0, Kind::Any),
    ("cert_issuer", 1, MANY, Kind::Any),
    ("skip_install_trust", 0, MANY, Kind::Any),
    ("email", 1, 1, Kind::Any),
    ("admin", 0, 1, Kind::Any),
    ("on_demand_tls", 0, 0, Kind::Any),
    ("local_certs", 0, MANY, Kind::Any),
    ("key_type", 1, 1, Kind::Any),
    ("auto_https", 1, MANY, Kind::AutoHttps),
    ("metrics", 0, MANY, Kind::Any),
    ("servers", 0, 1, Kind::Any),
    ("ocsp_stapling", 1, 1, Kind::Off),
    ("cert_lifetime", 1, 1, Kind::Duration),
    ("log", 0, 1, Kind::Any),
    ("preferred_chains", 0, MANY, Kind::Any),
    ("persist_config", 1, 1, Kind::Off),
    ("dns", 0, MANY, Kind::Any),
    ("tls_resolvers", 1, MANY, Kind::Any),
    ("ech", 1, MANY, Kind::Any),
    ("renewal_window_ratio", 1, 1, Kind::Any),
    ("filesystem", 0, MANY, Kind::Any),
    ("pki", 0, MANY, Kind::Any),
    ("events", 0, MANY, Kind::Any),
];

/// Lines of blocks and matchers whose names are those of nothing else.
const ELSEWHERE: &[&str] = &[
    "alpn",
    "client_ip",
    "expression",
    "format",
    "header_regexp",
    "output",
    "path",
    "path_regexp",
    "precompressed",
    "protocols",
    "remote_ip",
];

/// Whether a name is one of Caddy's own, but of a line elsewhere, or looks like no name at all: no
/// plugin calls a directive or an option so.
fn is_misplaced(name: &str) -> bool {
    let odd = |c: char| {
        matches!(
            c,
            '/' | ':' | '*' | '~' | '@' | '"' | '\'' | '`' | ',' | '='
        )
    };
    // The brace of a block without a blank before it.
    let glued = name
        .strip_suffix('{')
        .is_some_and(|name| Order::is_default(name) || SETTINGS.contains(&name));
    if glued {
        return true;
    }
    let templated = name.contains(['{', '}', '$', '<', '%']);
    let own = |lines: &[Line]| lines.iter().any(|(own, ..)| *own == name);
    let blocks = [
        "log",
        "file_server",
        "tls",
        "servers",
        "timeouts",
        "servers timeouts",
        "request_body",
    ];
    !templated
        && (name.contains(odd)
            || name.starts_with(|c: char| c.is_ascii_digit())
            // The field of a header.
            || name.contains('-') && name.starts_with(|c: char| c.is_ascii_uppercase())
            || own(PROXY)
            || own(TRANSPORT)
            || own(OPTIONS)
            || ELSEWHERE.contains(&name)
            || name.contains('_') && blocks.iter().filter_map(|of| block(of)).any(own))
}

/// A directive that Caddy does not have, where that is certain; `ordered` says whether a global
/// option knows the name.
pub(super) fn directive(line: &Directive, ordered: bool) -> Option<Refusal> {
    let name = line.name();
    let word = line.words.first()?;
    let known = Order::is_default(name)
        || SETTINGS.contains(&name)
        || matches!(name, "import" | "timeouts" | "" | "proxy" | "browse")
        || ordered;
    if known || word.quote != crate::syntax::Quote::None || !is_misplaced(name) {
        return None;
    }
    let of_proxy = PROXY.iter().any(|(own, ..)| *own == name);
    let of_options = OPTIONS.iter().any(|(own, ..)| *own == name);
    let help = match (of_proxy, of_options) {
        (true, _) => "it belongs into the block of a `reverse_proxy`",
        _ if name.ends_with('{') => "write a blank before the brace",
        (_, true) => "it is a global option: it belongs into the block at the top of the file",
        _ => "look for a brace that is missing or one too many before this line",
    };
    let mut one = refusal(
        line.head,
        format!("Caddy refuses the whole file: there is no directive `{name}`"),
        "no directive",
        help,
    );
    one.note = Some(format!("Caddy says `unrecognized directive: {name}`"));
    Some(one)
}

/// A directive in a block of handlers that is none of a request's.
pub(super) fn unordered(line: &Directive, within: &str) -> Option<Refusal> {
    let name = line.name();
    let setting = matches!(name, "bind" | "tls" | "log" | "handle_errors");
    setting.then(|| {
        refusal(
            line.head,
            format!("Caddy refuses the whole file: `{name}` is the site's, and cannot stand in `{within}`"),
            "handles no request",
            format!("move it out of the `{within}`, directly into the site"),
        )
    })
}

/// Lines of a block that are none, or that say nothing Caddy understands; `of` names the block.
pub(super) fn lines(of: &str, list: &[Directive], version: Version, found: &mut Vec<Refusal>) {
    let proxied = of == "forward_auth";
    let Some(table) = block(of).or(proxied.then_some(PROXY)) else {
        return;
    };
    let certain = |line: &&Directive| !line.conditional && line.words.first().is_some_and(is_plain);
    for line in list.iter().filter(certain) {
        let name = line.name();
        if name.is_empty() || name.contains(['{', '}', '<', '%']) || name == "import" {
            continue;
        }
        if proxied && (matches!(name, "uri" | "copy_headers") || name.starts_with('@')) {
            continue;
        }
        let known = table.iter().find(|(own, ..)| *own == name);
        let later = version < [2, 6, 3] && AFTER_2_6.contains(&(of, name));
        if later || known.is_none() && version <= CURRENT {
            found.push(refusal(
                line.head,
                match later {
                    true => format!(
                        "this Caddy refuses the whole file: its `{of}` has no `{name}`, which came later"
                    ),
                    false => format!("Caddy refuses the whole file: `{of}` has no `{name}`"),
                },
                format!("no line of `{of}`"),
                "delete the line, or move it to where it belongs",
            ));
        } else if line.partial {
            // What it says is not all of it.
        } else if let Some(one) = known.and_then(|known| arguments(line.head, line.args(), known)) {
            found.push(one);
        } else if of == "servers" && name == "timeouts" {
            lines("servers timeouts", line.children(), version, found);
        }
    }
}

/// Global options that are none, or whose values are.
pub(super) fn options(block: &Directive, version: Version, found: &mut Vec<Refusal>) {
    for line in block.children() {
        let plain = line.words.first().is_some_and(is_plain);
        if line.conditional || line.partial || !plain || line.name() == "import" {
            continue;
        }
        let name = line.name();
        let Some(known) = OPTIONS.iter().find(|(own, ..)| *own == name) else {
            if Order::is_default(name) || is_misplaced(name) || SETTINGS.contains(&name) {
                let mut one = refusal(
                    line.head,
                    format!("Caddy refuses the whole file: there is no global option `{name}`"),
                    "no global option",
                    "a site has an address before its block, as in `example.com {`",
                );
                one.note = Some(format!("Caddy says `unrecognized global option: {name}`"));
                found.push(one);
            }
            continue;
        };
        // Of several words after a duration the first one counts.
        let args = match known.3 {
            Kind::Duration => line.args().get(..1).unwrap_or_default(),
            _ => line.args(),
        };
        let mut named = line.children().iter().filter(|line| line.name() == "name");
        if let Some(one) = arguments(line.head, args, known) {
            found.push(one);
        } else if name == "servers"
            && let (true, Some(named)) = (line.args().is_empty(), named.next())
        {
            // serveroptions.go, unmarshalCaddyfileServerOptions.
            found.push(refusal(
                named.head,
                "Caddy refuses the whole file: `servers` without an address has no `name`"
                    .to_owned(),
                "which of the servers?",
                "write the listener's address: `servers :443 {`",
            ));
        } else if matches!(name, "servers" | "log") {
            lines(name, line.children(), version, found);
        } else if name == "acme_dns"
            && line.args().is_empty()
            && line.children().is_empty()
            && !block.partial
            && (version < [2, 10, 1] || !block.children().iter().any(|line| line.name() == "dns"))
        {
            found.push(refusal(
                line.head,
                "Caddy refuses the whole file: `acme_dns` names no provider".to_owned(),
                "which one?",
                "name the provider: `acme_dns cloudflare {env.CLOUDFLARE_API_TOKEN}`",
            ));
        } else if name == "order" {
            found.extend(order(line));
        }
    }
}

/// `order NAME first|last|before OTHER|after OTHER`.
fn order(line: &Directive) -> Option<Refusal> {
    let texts: Vec<&str> = line.args().iter().map(|word| word.text.as_str()).collect();
    let right = match texts.as_slice() {
        [_, "first" | "last"] | [_, "before" | "after", _] => true,
        texts => texts.iter().any(|text| text.contains('{')),
    };
    let plain = line.args().iter().all(is_plain);
    (!right && plain).then(|| {
        refusal(
            line.head,
            "Caddy refuses the whole file: `order` takes a directive and its place".to_owned(),
            "no place",
            "write `order NAME first`, `last`, `before OTHER` or `after OTHER`",
        )
    })
}

/// Arguments of `tls` (builtins.go, parseTLS).
pub(super) fn tls(line: &Directive) -> Option<Refusal> {
    let wrong = match line.args() {
        [only] => {
            let text = only.text.as_str();
            !matches!(text, "internal" | "force_automate") && !text.contains(['@', '{'])
        }
        args => args.len() > 2,
    };
    (wrong && line.args().iter().all(is_plain)).then(|| {
        refusal(
            line.head,
            "Caddy refuses the whole file: `tls` takes `internal`, an e-mail address, or a certificate and its key"
                .to_owned(),
            "neither of these",
            "",
        )
    })
}

/// What belongs to the challenge over DNS, without a provider for it (builtins.go, parseTLS).
pub(super) fn dns(line: &Directive) -> Option<Refusal> {
    let lines = line.children();
    if lines.iter().any(|line| line.name() == "dns") {
        return None;
    }
    let mut lines = lines.iter().filter(|line| !line.conditional);
    let first = lines.find(|line| {
        matches!(
            line.name(),
            "resolvers"
                | "propagation_delay"
                | "propagation_timeout"
                | "dns_ttl"
                | "dns_challenge_override_domain"
        )
    })?;
    Some(refusal(
        first.head,
        format!(
            "Caddy refuses the whole file: `{}` is for the challenge over DNS, which has no provider here",
            first.name()
        ),
        "no provider of DNS",
        "name the provider in the same block (`dns cloudflare …`), or delete the line",
    ))
}

/// `handle_response` of `intercept` with more than a matcher (intercept.go).
pub(super) fn second_matcher(line: &Directive) -> Option<Refusal> {
    let known: Line = ("handle_response", 0, 1, Kind::Any);
    let mut lines = line.children().iter();
    lines.find_map(|line| {
        let own = line.name() == "handle_response" && !line.conditional;
        arguments(line.head, line.args(), &known).filter(|_| own)
    })
}

/// The second line of that name.
pub(super) fn second<'a>(list: &'a [Directive], name: &str) -> Option<&'a Directive> {
    let mut lines = list
        .iter()
        .filter(|line| line.name() == name && !line.conditional);
    lines.nth(1)
}

/// Lines of `map` with more outputs than there are names (map/caddyfile.go).
pub(super) fn map(line: &Directive, args: &[Word]) -> Option<Refusal> {
    let names = args.len().saturating_sub(1);
    let mut lines = line.children().iter().filter(|line| !line.conditional);
    let long = lines.find(|line| {
        line.name() != "default" && line.words.iter().all(is_plain) && line.args().len() > names
    })?;
    Some(refusal(
        long.head,
        format!(
            "Caddy refuses the whole file: `map` has {names} names for values, and this line more values"
        ),
        "too many values",
        "a value with blanks in it belongs in quotes",
    ))
}

/// Statuses of `handle_errors` (builtins.go, parseHandleErrors).
pub(super) fn codes(line: &Directive, version: Version) -> Option<Refusal> {
    let args = line.args();
    let is_code = |word: &Word| {
        let digits = word.text.strip_suffix("xx").unwrap_or(&word.text);
        word.text.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let known = version >= [2, 8, 0] && args.iter().all(is_plain);
    let word = args.iter().find(|word| !is_code(word)).filter(|_| known)?;
    Some(refusal(
        word.span,
        format!(
            "Caddy refuses the whole file: `{}` is no status of an error",
            word.text
        ),
        "no status",
        "write a status of three digits, or a class such as `4xx`",
    ))
}

/// Pairs of `vars`, and the lines of `basic_auth`: a name and its value each.
pub(super) fn pairs(line: &Directive, args: &[Word]) -> Option<Refusal> {
    let of = line.name();
    let (least, most) = if of == "vars" { (2, 2) } else { (2, 3) };
    if of == "vars" && !args.is_empty() && args.iter().all(is_plain) {
        let known: Line = ("vars", 2, 2, Kind::Any);
        if let Some(one) = arguments(line.head, args, &known) {
            return Some(one);
        }
    }
    let mut lines = line.children().iter().filter(|line| !line.conditional);
    let odd = lines.find(|line| {
        let plain = line.words.iter().all(is_plain);
        plain && !(least..=most).contains(&line.words.len())
    })?;
    Some(refusal(
        odd.head,
        format!("Caddy refuses the whole file: a line of `{of}` is a name and its value"),
        "more, or less, than that",
        "a value with blanks in it belongs in quotes",
    ))
}

/// Whether a name is that of a directive or a matcher, and no address.
pub(super) fn stands_for_a_site(name: &str) -> bool {
    Order::is_default(name) || SETTINGS.contains(&name) || name.starts_with('@')
}

/// A directive where a site's address should be.
pub(super) fn top(line: &Directive, version: Version) -> Option<Refusal> {
    let name = line.name();
    // Older versions take it for an address.
    let strict = version >= [2, 8, 0];
    let plain = strict && line.words.first().is_some_and(is_plain) && !line.conditional;
    (plain && stands_for_a_site(name)).then(|| {
        refusal(
            line.head,
            format!("Caddy refuses the whole file: `{name}` stands outside of every site"),
            "no address of a site",
            "look for a brace that is missing or one too many before this line",
        )
    })
}

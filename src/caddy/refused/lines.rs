//! What the lines of a block take: how many words, and of what kind.

use crate::caddy::expand::Word;
use crate::project::Version;

/// What a word has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anything.
    Any,
    /// A whole number (`strconv.Atoi`).
    Number,
    /// A duration (`caddy.ParseDuration`): Go's, and days.
    Duration,
    /// A duration, or a bare number of nanoseconds.
    Flush,
    /// A size (`humanize.ParseBytes`).
    Size,
    /// Statuses, or classes of them (`2xx`).
    Status,
    /// A duration, or `off`.
    Keepalive,
    /// `v1` or `v2`.
    ProxyProtocol,
    /// A version of HTTP for upstreams.
    Http,
    /// `browse`.
    Browse,
    /// A level of logs.
    Level,
    /// A version of TLS.
    Tls,
    /// A protocol that a listener serves.
    Protocol,
    /// What `strict_sni_host` says.
    Strict,
    /// What `auto_https` says.
    AutoHttps,
    /// `off`.
    Off,
}

/// A line: its name, the least and the greatest number of its words, and what they are.
pub(super) type Line = (&'static str, usize, usize, Kind);

/// Any number.
pub(super) const MANY: usize = usize::MAX;

/// `reverse_proxy`, in any version (reverseproxy/caddyfile.go, `Handler.UnmarshalCaddyfile`).
pub(super) const PROXY: &[Line] = &[
    ("to", 1, MANY, Kind::Any),
    ("dynamic", 1, MANY, Kind::Any),
    ("lb_policy", 1, MANY, Kind::Any),
    ("lb_retries", 1, 1, Kind::Number),
    ("lb_try_duration", 1, 1, Kind::Duration),
    ("lb_try_interval", 1, 1, Kind::Duration),
    ("lb_retry_match", 0, MANY, Kind::Any),
    ("health_uri", 1, 1, Kind::Any),
    ("health_path", 1, 1, Kind::Any),
    ("health_upstream", 1, 1, Kind::Any),
    ("health_port", 1, 1, Kind::Number),
    ("health_interval", 1, 1, Kind::Duration),
    ("health_passes", 1, 1, Kind::Number),
    ("health_fails", 1, 1, Kind::Number),
    ("health_timeout", 1, 1, Kind::Duration),
    ("health_method", 1, 1, Kind::Any),
    ("health_status", 1, 1, Kind::Status),
    ("health_body", 1, 1, Kind::Any),
    ("health_follow_redirects", 0, 0, Kind::Any),
    ("health_headers", 0, MANY, Kind::Any),
    ("health_request_body", 1, 1, Kind::Any),
    ("max_fails", 1, 1, Kind::Number),
    ("fail_duration", 1, 1, Kind::Duration),
    ("unhealthy_status", 1, MANY, Kind::Status),
    ("unhealthy_latency", 1, 1, Kind::Duration),
    ("unhealthy_request_count", 1, 1, Kind::Number),
    ("flush_interval", 1, 1, Kind::Flush),
    ("buffer_requests", 0, MANY, Kind::Any),
    ("buffer_responses", 0, MANY, Kind::Any),
    ("max_buffer_size", 0, MANY, Kind::Any),
    ("request_buffers", 1, 1, Kind::Size),
    ("response_buffers", 1, 1, Kind::Size),
    ("stream_timeout", 1, 1, Kind::Flush),
    ("stream_close_delay", 1, 1, Kind::Flush),
    ("stream_buffer_size", 1, 1, Kind::Size),
    ("trusted_proxies", 0, MANY, Kind::Any),
    ("header_up", 1, 3, Kind::Any),
    ("header_down", 1, 3, Kind::Any),
    ("method", 1, 1, Kind::Any),
    ("rewrite", 1, 1, Kind::Any),
    ("transport", 1, MANY, Kind::Any),
    ("handle_response", 0, 1, Kind::Any),
    ("replace_status", 1, 2, Kind::Any),
    ("verbose_logs", 0, 0, Kind::Any),
];

/// `transport http` (the same file, `HTTPTransport.UnmarshalCaddyfile`).
pub(super) const TRANSPORT: &[Line] = &[
    ("read_buffer", 1, 1, Kind::Size),
    ("write_buffer", 1, 1, Kind::Size),
    ("read_timeout", 1, 1, Kind::Duration),
    ("write_timeout", 1, 1, Kind::Duration),
    ("max_response_header", 1, 1, Kind::Size),
    ("proxy_protocol", 1, 1, Kind::ProxyProtocol),
    ("forward_proxy_url", 1, 1, Kind::Any),
    ("network_proxy", 1, MANY, Kind::Any),
    ("dial_timeout", 1, 1, Kind::Duration),
    ("dial_fallback_delay", 1, 1, Kind::Duration),
    ("response_header_timeout", 1, 1, Kind::Duration),
    ("expect_continue_timeout", 1, 1, Kind::Duration),
    ("resolvers", 1, MANY, Kind::Any),
    ("tls", 0, MANY, Kind::Any),
    ("tls_client_auth", 1, 2, Kind::Any),
    ("tls_insecure_skip_verify", 0, 0, Kind::Any),
    ("tls_curves", 1, MANY, Kind::Any),
    ("tls_timeout", 1, 1, Kind::Duration),
    ("tls_trusted_ca_certs", 1, MANY, Kind::Any),
    ("tls_trust_pool", 1, MANY, Kind::Any),
    ("tls_server_name", 1, 1, Kind::Any),
    ("tls_renegotiation", 1, 1, Kind::Any),
    ("tls_except_ports", 1, MANY, Kind::Any),
    ("keepalive", 1, 1, Kind::Keepalive),
    ("keepalive_interval", 1, 1, Kind::Duration),
    ("keepalive_idle_conns", 1, 1, Kind::Number),
    ("keepalive_idle_conns_per_host", 1, 1, Kind::Number),
    ("versions", 1, MANY, Kind::Http),
    ("compression", 0, 1, Kind::Any),
    ("max_conns_per_host", 1, 1, Kind::Number),
    ("local_address", 1, 1, Kind::Any),
];

/// Policies without arguments, and those with (selectionpolicies.go); the name counts as one.
pub(super) const POLICIES: &[Line] = &[
    ("random", 1, 1, Kind::Any),
    ("round_robin", 1, 1, Kind::Any),
    ("least_conn", 1, 1, Kind::Any),
    ("first", 1, 1, Kind::Any),
    ("ip_hash", 1, 1, Kind::Any),
    ("client_ip_hash", 1, 1, Kind::Any),
    ("uri_hash", 1, 1, Kind::Any),
    ("header", 2, 2, Kind::Any),
    ("query", 2, 2, Kind::Any),
    ("cookie", 1, 3, Kind::Any),
    ("random_choose", 2, 2, Kind::Any),
];

/// Lines that came later: each with the first version that knows it.
pub(super) const SINCE: &[(&str, Version)] = &[
    ("request_buffers", [2, 6, 3]),
    ("response_buffers", [2, 6, 3]),
    ("stream_timeout", [2, 7, 0]),
    ("stream_close_delay", [2, 7, 0]),
    ("proxy_protocol", [2, 7, 0]),
    ("verbose_logs", [2, 7, 6]),
    ("health_fails", [2, 8, 0]),
    ("health_passes", [2, 8, 0]),
    ("health_follow_redirects", [2, 8, 0]),
    ("forward_proxy_url", [2, 8, 0]),
    ("tls_curves", [2, 8, 0]),
    ("tls_trust_pool", [2, 8, 0]),
    ("health_method", [2, 9, 0]),
    ("health_request_body", [2, 9, 0]),
    ("health_upstream", [2, 9, 0]),
    ("local_address", [2, 9, 0]),
    ("network_proxy", [2, 10, 0]),
];

/// Directives that came later.
pub(super) const DIRECTIVES_SINCE: &[(&str, Version)] = &[
    ("invoke", [2, 7, 0]),
    ("basic_auth", [2, 8, 0]),
    ("fs", [2, 8, 0]),
    ("intercept", [2, 8, 0]),
    ("log_append", [2, 8, 0]),
    ("log_name", [2, 8, 0]),
    ("log_skip", [2, 8, 0]),
];

/// Lines that went, with what took their place; 2.8 refuses them.
pub(super) const GONE: &[(&str, &str)] = &[
    ("buffer_requests", "request_buffers"),
    ("buffer_responses", "response_buffers"),
    ("max_buffer_size", "request_buffers"),
];

/// Arguments of directives, without a matcher (httpcaddyfile/builtins.go and each handler's own
/// caddyfile.go).
pub(super) const DIRECTIVES: &[Line] = &[
    ("handle", 0, 0, Kind::Any),
    ("route", 0, 0, Kind::Any),
    ("redir", 1, MANY, Kind::Any),
    ("rewrite", 1, 1, Kind::Any),
    // `uri query` takes a block, too.
    ("uri", 1, 4, Kind::Any),
    ("method", 1, 1, Kind::Any),
    ("respond", 1, 2, Kind::Any),
    ("error", 1, 2, Kind::Any),
    ("abort", 0, 0, Kind::Any),
    ("try_files", 1, MANY, Kind::Any),
    // What comes after the folder is ignored by newer versions.
    ("root", 1, MANY, Kind::Any),
    ("request_header", 1, 3, Kind::Any),
    ("basic_auth", 0, 2, Kind::Any),
    ("basicauth", 0, 2, Kind::Any),
    ("invoke", 1, 1, Kind::Any),
    ("map", 2, MANY, Kind::Any),
    ("metrics", 0, 0, Kind::Any),
    ("file_server", 0, 1, Kind::Browse),
];

/// The first of `words` that is not of that kind; what no file shows counts as right.
pub(super) fn wrong(kind: Kind, words: &[Word]) -> Option<(&Word, &'static str)> {
    let (is, what): (fn(&str) -> bool, _) = match kind {
        Kind::Any => return None,
        Kind::Number => (is_number, "no number"),
        Kind::Duration => (is_duration, "no duration: write a unit, as in `30s`"),
        Kind::Flush => (
            |text| is_duration(text) || is_number(text),
            "no duration: write a unit, as in `30s`",
        ),
        Kind::Keepalive => (
            |text| text == "off" || is_duration(text),
            "neither a duration nor `off`",
        ),
        Kind::Size => (is_size, "no size: write one as `1MB`"),
        Kind::Status => (is_status, "no status"),
        Kind::ProxyProtocol => (|text| matches!(text, "v1" | "v2"), "neither `v1` nor `v2`"),
        Kind::Browse => (|text| text == "browse", "not `browse`"),
        Kind::Level => (
            |text| {
                let levels = ["debug", "info", "warn", "error", "panic", "fatal"];
                levels.iter().any(|level| text.eq_ignore_ascii_case(level))
            },
            "no level: DEBUG, INFO, WARN, ERROR, PANIC or FATAL",
        ),
        Kind::Tls => (
            |text| matches!(text, "tls1.0" | "tls1.1" | "tls1.2" | "tls1.3"),
            "no version of TLS: `tls1.2` or `tls1.3`",
        ),
        Kind::Protocol => (
            |text| matches!(text, "h1" | "h2" | "h2c" | "h3"),
            "no protocol: h1, h2, h2c or h3",
        ),
        Kind::Strict => (
            |text| matches!(text, "on" | "insecure_off"),
            "neither `on` nor `insecure_off`",
        ),
        Kind::AutoHttps => (
            |text| {
                matches!(
                    text,
                    "off" | "disable_redirects" | "disable_certs" | "ignore_loaded_certs"
                )
            },
            "nothing that can be switched off: off, disable_redirects, disable_certs or ignore_loaded_certs",
        ),
        Kind::Off => (|text| text == "off", "not `off`"),
        Kind::Http => (
            |text| matches!(text, "1.1" | "2" | "h2c" | "3"),
            "no version of HTTP that is known here: 1.1, 2, h2c or 3",
        ),
    };
    let bad = |word: &&Word| word.known().is_some_and(|text| !is(text));
    Some((words.iter().find(bad)?, what))
}

fn is_number(text: &str) -> bool {
    text.parse::<i64>().is_ok()
}

fn is_status(text: &str) -> bool {
    text.strip_suffix("xx")
        .unwrap_or(text)
        .parse::<u16>()
        .is_ok()
}

/// Digits and dots, and then perhaps a unit; `unlimited` for buffers.
fn is_size(text: &str) -> bool {
    text == "unlimited" || text.starts_with(|first: char| first.is_ascii_digit() || first == '.')
}

/// Go's `time.ParseDuration`, and `d`.
fn is_duration(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    if text == "0" {
        return true;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if unit.len() == rest.len() {
            return false;
        }
        // The longer ones first: `ms` is no `m`.
        let units = ["ns", "us", "\u{b5}s", "\u{3bc}s", "ms", "s", "m", "h", "d"];
        match units.iter().find_map(|name| unit.strip_prefix(name)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos_and_days() {
        for (text, is) in [
            ("5s", true),
            ("1h30m", true),
            ("1.5h", true),
            ("-5ms", true),
            ("2d", true),
            ("0", true),
            ("5", false),
            ("", false),
            ("5x", false),
            ("s", false),
            ("5 s", false),
        ] {
            assert_eq!(is_duration(text), is, "{text}");
        }
    }
}

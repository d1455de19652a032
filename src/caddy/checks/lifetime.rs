//! What ends sockets that have opened.

use std::collections::HashSet;
use std::time::Duration;

use super::lost::evidence;
use crate::caddy::expand::Directive;
use crate::caddy::handler::Handler;
use crate::caddy::route;
use crate::context::Context;
use crate::finding::Report;
use crate::handshake::known_endpoint;
use crate::rule::Severity;

/// A silence that any heartbeat breaks.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(20);
/// Engine.IO's own (`pingInterval`, 25 s).
const SOCKET_IO: Duration = Duration::from_secs(25);
/// A life that somebody may have meant.
const LIFE: Duration = Duration::from_secs(300);

/// `caddy/socket-lifetime`.
pub fn socket_lifetime(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    let mut reloads = HashSet::new();
    for (route, _, handler, _) in route::proxies(&cx.caddy) {
        let lines = || handler.lines.iter().filter(|line| !line.conditional);
        if let Some((line, limit)) = read_timeout(handler) {
            let polls = known_endpoint(&route.path).filter(|endpoint| endpoint.polls_first);
            let needed = if polls.is_some() {
                SOCKET_IO
            } else {
                HEARTBEAT
            };
            if limit < needed && seen.insert(line.head) {
                let why = match polls {
                    Some(endpoint) => format!(
                        "{} sends a ping every 25 seconds by default: a quiet socket is cut before it",
                        endpoint.software
                    ),
                    None => "heartbeats usually come every 20 to 60 seconds: a quiet socket is cut before one".to_owned(),
                };
                let finding = report
                    .finding(
                        format!(
                            "a socket is cut when the application says nothing for {}",
                            shown(limit)
                        ),
                        line.head,
                        "counts for open sockets too",
                    )
                    .label(handler.head, "carries the sockets");
                report.push(evidence(finding, route).note(why).help(
                    "delete the line: Caddy has no limit for open sockets by itself. For slow answers use \
                     `response_header_timeout`, which ends with the handshake",
                ));
            }
        }
        let stream = lines().find(|line| line.name() == "stream_timeout");
        if let Some(line) = stream
            && let Some(limit) = line.args().first().and_then(|word| duration(word.known()?))
            && !limit.is_zero()
            && limit < LIFE
            && seen.insert(line.head)
        {
            let finding = report
                .finding(
                    format!(
                        "every socket is cut after {}, however busy it is",
                        shown(limit)
                    ),
                    line.head,
                    "the longest life of a socket",
                )
                .label(handler.head, "carries the sockets");
            report.push(
                evidence(finding, route)
                    .note("Caddy closes it without a close frame: the page sees close code 1006 and connects anew")
                    .help("delete the line, or give it hours: `stream_timeout 24h`"),
            );
        }
        if lines().all(|line| line.name() != "stream_close_delay")
            && reloads.insert(handler.head.source)
        {
            let finding = report
                .finding(
                    "a reload of Caddy closes every open socket at once",
                    handler.head,
                    "has no `stream_close_delay`",
                )
                .severity(Severity::Info);
            report.push(
                evidence(finding, route)
                    .note("all clients connect anew in the same second; they see close code 1001")
                    .help("let them go on for a while (Caddy 2.7 and later):\n\nstream_close_delay 5m"),
            );
        }
    }
}

/// The silence after which a proxy cuts a socket, and the line that says so.
pub(crate) fn read_timeout(handler: &Handler) -> Option<(&Directive, Duration)> {
    let mut lines = handler.lines.iter().filter(|line| !line.conditional);
    let transport = lines.find(|line| line.name() == "transport")?;
    let mut children = transport.children().iter();
    let line = children.find(|line| line.name() == "read_timeout" && !line.conditional)?;
    let limit = duration(line.args().first()?.known()?)?;
    (!limit.is_zero()).then_some((line, limit))
}

/// A duration as Go and Caddy write it: `90s`, `1h30m`, `2d`.
fn duration(text: &str) -> Option<Duration> {
    let mut seconds = 0.0_f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        seconds += number
            * match &rest[..end] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &rest[end..];
    }
    (!text.is_empty() && seconds < 1e9).then(|| Duration::from_secs_f64(seconds))
}

fn shown(duration: Duration) -> String {
    match duration.as_secs() {
        0 => "less than a second".to_owned(),
        1 => "one second".to_owned(),
        60 => "one minute".to_owned(),
        seconds if seconds.is_multiple_of(60) => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("1h30m", Some(5400)),
            ("2d", Some(172_800)),
            ("1500ms", Some(1)),
            ("0", None),
            ("5", None),
            ("", None),
            ("5x", None),
        ] {
            assert_eq!(duration(text).map(|d| d.as_secs()), seconds, "{text}");
        }
    }
}

//! `nginx/http-version`: the handshake reaches the upstream in a version of HTTP that has no
//! upgrade, or that many servers refuse one in.

use super::{Causes, Place, upgrading};
use crate::context::Context;
use crate::finding::{Finding, Report};
use crate::handshake::Evidence;
use crate::nginx::headers::KEEPALIVE_BY_DEFAULT;
use crate::nginx::model::ItemId;
use crate::rule::Severity;

/// Reports every route whose upstream is spoken to in HTTP/1.0 or HTTP/2.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for place in upgrading(cx) {
        match in_force(&place) {
            InForce::Line(item) => {
                let version = place.view.directive(item).arg(0).unwrap_or_default();
                let span = place.head(item);
                match version {
                    // What stands behind is known, and opens it.
                    "1.0" if cx.mended().has(cx, place.route) => causes.add(span, None, || {
                        fragile(&place, Some(item), report).severity(Severity::Warning)
                    }),
                    "1.0" | "2" => causes.add(span, place.broken(), || {
                        explicit(&place, item, version, report)
                    }),
                    _ => {}
                }
            }
            InForce::Default => {
                let target = place.view.config.target;
                if target.is_none_or(|target| target < KEEPALIVE_BY_DEFAULT) {
                    causes.add(place.pass(), None, || {
                        let finding = fragile(&place, None, report);
                        // A newer nginx needs no line, and nothing says that this one is older; or
                        // what stands behind the image's is known, and daphne and uvicorn take it.
                        let declared = cx.project.config.targets.nginx.is_some();
                        let mut evidence = place.route.evidence.iter();
                        let matters = target.is_some()
                            && (declared || !evidence.any(Evidence::is_applications));
                        finding.severity(match matters {
                            true => Severity::Warning,
                            false => Severity::Info,
                        })
                    });
                }
            }
            InForce::Unknown => {}
        }
    }
    causes.report(report);
}

enum InForce {
    Line(ItemId),
    Default,
    Unknown,
}

fn in_force(place: &Place<'_>) -> InForce {
    let view = place.view;
    for level in view.outward(place.route.block) {
        let known = view.level(level);
        if let Some(item) = known.version {
            return if known.conditional {
                InForce::Unknown
            } else {
                InForce::Line(item)
            };
        }
        if known.unseen.is_some() {
            return InForce::Unknown;
        }
    }
    InForce::Default
}

fn explicit(place: &Place<'_>, item: ItemId, version: &str, report: &Report<'_>) -> Finding {
    let message = format!(
        "no WebSocket opens through {}: its upstream is spoken to in HTTP/{version}",
        place.name()
    );
    let (label, note) = if version == "2" {
        (
            "HTTP/2 has no Upgrade header",
            "a handshake with `Upgrade: websocket` exists in HTTP/1.1 only (RFC 6455, 4.1; RFC 9113, 8.6): nginx answers 502, or the upstream 400 or 426",
        )
    } else {
        (
            "a WebSocket needs HTTP/1.1",
            "a server has to ignore an Upgrade that arrives in HTTP/1.0 (RFC 9110, 7.8) and refuses the handshake (RFC 6455, 4.2.1): python's websockets answers 505, tornado says 101 and closes",
        )
    };
    let finding = report.finding(message, place.head(item), label);
    let finding = place.because(finding).note(note).help(format!(
        "write instead:\n{}proxy_http_version 1.1;",
        place.indent(item)
    ));
    super::with_fix(finding, super::fixes::version(place))
}

/// What some servers refuse.
fn fragile(place: &Place<'_>, written: Option<ItemId>, report: &Report<'_>) -> Finding {
    let (span, label) = match written {
        Some(item) => (place.head(item), "says HTTP/1.0"),
        None => (place.pass(), "HTTP/1.0 by default before nginx 1.29.7"),
    };
    let message = format!(
        "the upstream of {} is spoken to in HTTP/1.0, and not every server opens a WebSocket then",
        place.name()
    );
    let finding = report
        .finding(message, span, label)
        .note("a server has to ignore an Upgrade that arrives in HTTP/1.0 (RFC 9110, 7.8): python's websockets answers 505 and tornado says 101 and closes, while node's ws, aiohttp and uvicorn let it pass");
    let (how, indent) = match written {
        Some(item) => ("instead".to_owned(), place.indent(item)),
        None => {
            let level = place.level(place.own_level());
            (format!("in {level}"), place.indent(place.route.pass))
        }
    };
    let finding = place
        .because(finding)
        .help(format!("write {how}:\n{indent}proxy_http_version 1.1;"));
    super::with_fix(finding, super::fixes::version(place))
}

//! `stack/path-mismatch`: the handshake reaches the application under a path that no route takes.

use super::{Told, label};
use crate::context::Context;
use crate::finding::Report;
use crate::stack::lost::How;

/// Reports proxies that make a path of a route's that is none.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    for lost in cx.lost() {
        let How::Moved { arrives } = &lost.how else {
            continue;
        };
        let Some(told) = Told::new(cx, lost) else {
            continue;
        };
        let path = &told.traced.path;
        let finding = match &lost.beside {
            // What clients would have to ask for comes as it is.
            Some(beside) => report
                .finding(
                    format!(
                        "no WebSocket opens below `{}`: the application gets `{arrives}`, and no route begins so",
                        beside.path
                    ),
                    lost.span,
                    format!("leaves `{}` in the path", beside.path),
                )
                .help(format!(
                    "take the prefix off before the application sees it: in nginx with a slash after the upstream (`proxy_pass http://…/;`), in Caddy with `handle_path {}*`",
                    beside.path
                ))
                .help("or begin the routes with it"),
            None => {
                let finding = report.finding(
                    format!(
                        "no WebSocket opens {}: it reaches the application as `{arrives}`, which no route takes",
                        told.at()
                    ),
                    lost.span,
                    format!("makes `{arrives}` of `{path}`"),
                );
                let help = if arrives.len() + 1 == path.len() && path.ends_with('/') {
                    "leave the slash at the end of the path".to_owned()
                } else if told.step().layer == "nginx" {
                    "let the path through as it is: `proxy_pass` with nothing after the host and port, not even a slash, sends the path that the client asked for".to_owned()
                } else {
                    "let the path through as it is: `handle` in place of `handle_path`, and no `uri` or `rewrite` for it".to_owned()
                };
                label(finding, told.step().at, format!("takes `{path}`"))
                    .help(help)
                    .help(format!("or let the route take `{arrives}`"))
            }
        };
        report.push(
            told.because(finding)
                .note("Channels raises ValueError for a path that no route takes: the server answers 500 in place of 101, and the page sees close code 1006")
                .note(told.trace()),
        );
    }
}

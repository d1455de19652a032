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
                    "take the prefix off before the application sees it:\nlocation {}/ {{\n    {}/;",
                    beside.path.trim_end_matches('/'),
                    without_uri(&told.quote(beside.pass)),
                ))
                .help(match told.rerouted("", beside.path.trim_start_matches('/')) {
                    Some(line) => format!("or begin the routes with it:\n{line},"),
                    None => "or begin the routes with it".to_owned(),
                }),
            None => {
                let finding = report.finding(
                    format!(
                        "no WebSocket opens {}: it reaches the application as `{arrives}`, which no route takes",
                        told.at()
                    ),
                    lost.span,
                    format!("makes `{arrives}` of `{path}`"),
                );
                let line = told.quote(lost.span);
                let help = match line.split_whitespace().next().unwrap_or_default() {
                    name if name.ends_with("_pass") => format!(
                        "let the path through as it is, with nothing after the host and port, not even a slash:\n{};",
                        without_uri(&line)
                    ),
                    "handle_path" => format!(
                        "let the path through as it is:\n{} {{",
                        line.replacen("handle_path", "handle", 1)
                    ),
                    // Whatever else a line of Caddy's or nginx's is, it is not for the sockets.
                    _ if told.step().layer == "nginx" => format!(
                        "keep the sockets from this line:\n{}",
                        told.address().map_or_else(|| format!("# {line};"), |to| told.block(path, &to))
                    ),
                    _ => format!(
                        "keep the sockets from this line:\n{}",
                        told.address().map_or_else(|| format!("# {line}"), |to| told.block(path, &to))
                    ),
                };
                let route = path
                    .strip_suffix(arrives.as_str())
                    .and_then(|prefix| told.rerouted(&format!("{}/", &prefix[1..]), ""));
                let route = match route {
                    Some(line) => format!("or let the route take `{arrives}`:\n{line},"),
                    None => format!("or let the route take `{arrives}`"),
                };
                let finding = label(finding, told.step().at, format!("takes `{path}`")).help(help);
                // Nobody means a path that begins with two slashes.
                if arrives.starts_with("//") {
                    finding
                } else {
                    finding.help(route)
                }
            }
        };
        report.push(
            told.because(finding)
                .note("Channels raises ValueError for a path that no route takes: the server answers 500 in place of 101, and the page sees close code 1006")
                .note(told.trace()),
        );
    }
}

/// A line that passes requests on, without the path after its address.
fn without_uri(line: &str) -> String {
    let line = line.trim_end_matches(';');
    let after = line.find("://").map_or(0, |at| at + 3);
    // The path of a socket ends with a colon, and begins the URI.
    let end = match line[after..].strip_prefix("unix:") {
        Some(rest) => rest.find(':').map(|at| at + "unix:".len()),
        None => line[after..].find('/'),
    };
    line[..end.map_or(line.len(), |end| after + end)].to_owned()
}

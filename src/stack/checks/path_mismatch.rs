//! `stack/path-mismatch`: the handshake reaches the application under a path that no route takes.

use super::{Told, label};
use crate::context::Context;
use crate::finding::Report;
use crate::source::Kind;
use crate::stack::lost::{Beside, How};

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
                    "take the prefix off before the application sees it:\n{}",
                    without_prefix(&told, beside),
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

/// The lines that take a prefix off which a block leaves in the path.
fn without_prefix(told: &Told<'_, '_>, beside: &Beside) -> String {
    let prefix = beside.path.trim_end_matches('/');
    let (line, pass) = (told.quote(beside.span), told.quote(beside.pass));
    if told.cx.project.source(beside.span.source).kind != Kind::Caddyfile {
        return format!("location {prefix}/ {{\n    {}/;", without_uri(&pass));
    }
    // What else the block holds may name the whole path.
    if beside.is_whole && line.starts_with("handle ") {
        return format!("{} {{", line.replacen("handle", "handle_path", 1));
    }
    let mut words = pass.split(' ').skip(1).peekable();
    let matcher = words.next_if(|word| word.starts_with(['@', '/', '*']));
    let matcher = matcher.map_or(String::new(), |matcher| format!("{matcher} "));
    let rest: Vec<&str> = words.collect();
    let configs = told.cx.caddy.configs.iter();
    let mut handlers = configs
        .flat_map(|config| &config.sites)
        .flat_map(|site| &site.handlers.all);
    let has_block =
        handlers.any(|handler| handler.head == beside.pass && handler.span.end > handler.head.end);
    let block = if has_block { " {\n\t\t…\n\t}" } else { "" };
    format!(
        "route {matcher}{{\n\turi strip_prefix {prefix}\n\treverse_proxy {}{block}\n}}",
        rest.join(" ")
    )
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

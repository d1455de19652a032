//! What `wslint trace` shows: one way into one project, and how many others were tried.

mod full;
mod json;

use std::io::{self, Write};

use crate::handshake::{Browser, Outcome, Reply, Request, Upstream};
use crate::project::Project;
use crate::trace::{Run, Step, Target, Way};
use crate::value::Value;

/// A format for traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TraceFormat {
    /// The story, hop by hop.
    Full,
    /// One JSON document (schema/trace.schema.json).
    Json,
}

/// Every way that was tried, the one that decides first, with the project that it leads into.
pub(super) type Ways<'a> = &'a [(&'a Project, &'a Way)];

/// Writes what became of the handshake for `target`.
///
/// # Errors
/// When `out` can't be written to.
pub fn write_trace(
    target: &Target,
    ways: &[(&Project, &Way)],
    format: TraceFormat,
    color: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        TraceFormat::Full => full::write(target, ways, color, out),
        TraceFormat::Json => json::write(target, ways, out),
    }
}

/// The browser whose handshake decides the verdict of `way`.
fn decisive(way: &Way) -> (Browser, &Run) {
    let run = way.decisive();
    let browser = if std::ptr::eq(run, &way.runs[1]) {
        Browser::Firefox
    } else {
        Browser::Chrome
    };
    (browser, run)
}

/// The request as it leaves a step; as it arrived, where it does not leave.
fn leaving(step: &Step) -> &Request {
    match &step.passage.outcome {
        Outcome::Forwards { request, .. } => request,
        Outcome::Answers { .. } | Outcome::Undecided { .. } => &step.arrived,
    }
}

/// The status that a step itself gives.
fn status(step: &Step) -> Option<u16> {
    match &step.passage.outcome {
        Outcome::Answers { status } => *status,
        Outcome::Forwards { reply, .. } => match reply {
            Reply::Replaced { status } => *status,
            Reply::Spoiled { .. } => Some(101),
            Reply::Intact | Reply::Closing { .. } | Reply::Undecided { .. } => None,
        },
        Outcome::Undecided { .. } => None,
    }
}

/// Scheme, host and port of an upstream; `None` where the files do not give its host.
fn origin(upstream: &Upstream) -> Option<String> {
    let host = upstream.host.known()?;
    let (scheme, default) = if upstream.tls {
        ("https", 443)
    } else {
        ("http", 80)
    };
    match upstream.port.known() {
        _ if host.starts_with("unix:") => Some(format!("{scheme}://{host}")),
        Some(port) if *port != default => Some(format!("{scheme}://{host}:{port}")),
        Some(_) => Some(format!("{scheme}://{host}")),
        None => None,
    }
}

/// Path and query.
fn path_and_query(request: &Request) -> String {
    match &request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    }
}

/// What the lines of a header say together; `None` where there is none.
fn header(request: &Request, name: &str) -> Option<Value> {
    if name.eq_ignore_ascii_case("host") && request.lines("host").next().is_none() {
        return Some(Value::Known(request.host.clone()));
    }
    let mut lines = request.lines(name);
    let first = lines.next()?.value.clone();
    Some(
        lines.fold(first, |joined, line| match (joined, &line.value) {
            (Value::Known(text), Value::Known(more)) => Value::Known(format!("{text}, {more}")),
            (_, Value::Unknown(why)) => Value::Unknown(why.clone()),
            (joined, _) => joined,
        }),
    )
}

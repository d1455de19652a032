//! `trace --format json`: the contract with other programs, described by
//! `schema/trace.schema.json`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::super::json::{Note, Range, note, range, write_pretty};
use super::{Ways, decisive, header, leaving, origin, path_and_query, status};
use crate::handshake::{Browser, Outcome, Reply};
use crate::project::Project;
use crate::trace::{Run, Step, Target, Verdict};
use crate::value::Value;

/// The version of the document's form.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    request: Asked<'a>,
    verdict: &'static str,
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<Clients>,
    hops: Vec<JsonHop<'a>>,
}

#[derive(Serialize)]
struct Asked<'a> {
    url: &'a str,
}

#[derive(Serialize)]
struct Clients {
    chrome: &'static str,
    firefox: &'static str,
}

#[derive(Serialize)]
struct JsonHop<'a> {
    layer: &'static str,
    file: &'a str,
    range: Range,
    outcome: &'static str,
    status: Option<u16>,
    to: Option<String>,
    headers: BTreeMap<String, Option<String>>,
    because: Vec<Note<'a>>,
    rule: Option<&'a str>,
}

pub(super) fn write(target: &Target, ways: Ways<'_>, out: &mut dyn Write) -> io::Result<()> {
    let decided = ways
        .first()
        .map(|(project, way)| (project, way, decisive(way)));
    let tried = match ways.len() {
        0 | 1 => None,
        count => Some(format!(
            "one of {count} ways in that were tried; the one that decides"
        )),
    };
    let document = Document {
        schema: SCHEMA,
        request: Asked { url: &target.text },
        verdict: decided
            .map_or(Verdict::Undecided, |(.., (_, run))| run.verdict)
            .name(),
        status: decided.and_then(|(.., (_, run))| run.status),
        clients: decided
            .filter(|(_, way, _)| way.differs())
            .map(|(_, way, _)| {
                let [chrome, firefox] = Browser::ALL.map(|browser| {
                    let at = usize::from(browser == Browser::Firefox);
                    way.runs[at].verdict.name()
                });
                Clients { chrome, firefox }
            }),
        hops: decided.map_or_else(Vec::new, |(project, _, (_, run))| {
            hops(project, run, tried.as_deref())
        }),
    };
    write_pretty(&document, out)
}

fn hops<'a>(project: &'a Project, run: &'a Run, tried: Option<&'a str>) -> Vec<JsonHop<'a>> {
    let last = run.steps.len().saturating_sub(1);
    run.steps
        .iter()
        .enumerate()
        .map(|(number, step)| {
            let mut one = hop(project, step);
            if number == 0
                && let Some(tried) = tried
            {
                one.because.insert(0, note(project, step.at, tried));
            }
            // What ends it beyond the last hop's own lines.
            if number == last && run.verdict != Verdict::Opens {
                let said = |why: &str| one.because.iter().any(|because| because.message == why);
                let more: Vec<_> = run
                    .reasons
                    .iter()
                    .filter(|why| !said(why))
                    .map(|why| note(project, step.at, why))
                    .collect();
                one.because.extend(more);
            }
            one
        })
        .collect()
}

fn hop<'a>(project: &'a Project, step: &'a Step) -> JsonHop<'a> {
    let request = leaving(step);
    let outcome = match &step.passage.outcome {
        Outcome::Forwards {
            reply: Reply::Undecided { .. },
            ..
        }
        | Outcome::Undecided { .. } => "undecided",
        Outcome::Forwards { .. } => "forwards",
        Outcome::Answers { .. } => "answers",
    };
    let mut headers: BTreeMap<String, Option<String>> = BTreeMap::new();
    let names = request.headers.iter().map(|line| line.name.as_str());
    for name in names.chain(["host"]) {
        headers
            .entry(name.to_ascii_lowercase())
            .or_insert_with(|| match header(request, name) {
                Some(Value::Known(value)) => Some(value),
                // What the files do not give.
                _ => None,
            });
    }
    JsonHop {
        layer: step.layer,
        file: &project.source(step.at.source).display,
        range: range(project, step.at),
        outcome,
        status: status(step),
        to: step
            .followed
            .as_ref()
            .and_then(origin)
            .map(|origin| format!("{origin}{}", path_and_query(request))),
        headers,
        because: step
            .passage
            .because
            .iter()
            .map(|because| note(project, because.span, &because.message))
            .collect(),
        rule: step.rule.as_deref(),
    }
}

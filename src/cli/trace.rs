//! `wslint trace`.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{Color, Failure, complain, sources};
use crate::check::{Selection, check_resolved};
use crate::context::Context;
use crate::output::{TraceFormat, write_trace};
use crate::project::{self, Declared, Project};
use crate::trace::{Target, Verdict, Way, name_rules, trace};

/// The arguments of `wslint trace`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What a browser opens: a URL (wss://example.com/ws/), or a path to ask every server for
    #[arg(value_name = "URL|PATH")]
    target: String,
    /// Folders or files that hold the configuration; `-` reads one file from stdin
    #[arg(default_value = ".", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to show the way
    #[arg(long, value_enum, default_value_t = TraceFormat::Full)]
    format: TraceFormat,
    /// A path or URL that carries WebSockets, beside the traced one (repeatable)
    #[arg(long, value_name = "URL|PATH")]
    endpoint: Vec<String>,
    /// Read this configuration in place of the nearest wslint.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read no configuration
    #[arg(long, conflicts_with = "config")]
    isolated: bool,
    /// What stdin holds, by the name and place that it would have
    #[arg(long, value_name = "NAME")]
    stdin_filename: Option<PathBuf>,
    /// When to colour the output
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

/// Runs the subcommand; the exit status.
pub(super) fn run(arguments: Arguments, out: &mut dyn Write) -> Result<u8, Failure> {
    let target = Target::parse(&arguments.target).map_err(Failure::Message)?;
    let (options, paths) = sources::Asked {
        paths: &arguments.paths,
        stdin_filename: arguments.stdin_filename.as_ref(),
        endpoints: &arguments.endpoint,
        exclude: &[],
        config: arguments.config.as_ref(),
        isolated: arguments.isolated,
        force_exclude: false,
    }
    .options()?;
    let mut problems = Vec::new();
    let plans = project::plan(&paths, &options, &mut problems);
    let endpoints = arguments.endpoint.iter().cloned();
    let declared: Vec<Declared> = endpoints
        .chain([target.text.clone()])
        .map(|endpoint| Declared {
            endpoint,
            span: None,
        })
        .collect();
    let mut traced: Vec<(Project, Vec<Way>)> = Vec::new();
    let mut files = 0;
    for plan in plans {
        let only = plan.only.clone();
        let mut project = project::load(plan, &options, &mut problems);
        project.config.endpoints.extend(declared.iter().cloned());
        files += project.sources.len();
        let ways = {
            let context = Context::resolve(&project);
            let mut ways = trace(&context, &target, only.as_ref());
            if ways.iter().any(|way| way.verdict() == Verdict::Fails) {
                let selection = Selection {
                    pedantic: true,
                    ..Selection::default()
                };
                let findings = check_resolved(&context, &selection).findings;
                for way in &mut ways {
                    name_rules(way, &findings);
                }
            }
            ways
        };
        traced.push((project, ways));
    }
    for problem in &problems {
        complain(&format!("error: {problem}"));
    }
    if !problems.is_empty() {
        return Ok(2);
    }
    let mut ways: Vec<(&Project, &Way)> = traced
        .iter()
        .flat_map(|(project, ways)| ways.iter().map(move |way| (project, way)))
        .collect();
    // Several projects: what means the handshake, and of that what fails, decides.
    ways.sort_by_key(|(_, way)| way.order());
    write_trace(
        &target,
        &ways,
        arguments.format,
        arguments.color.wanted(),
        out,
    )?;
    out.flush()?;
    if ways.is_empty() {
        let found = match files {
            0 => "no nginx, Caddy or Django file found here",
            _ => {
                "nothing in this project receives it: no nginx server, Caddy site or Django application listens there"
            }
        };
        complain(&format!("undecided: {found}"));
    }
    let opens = ways
        .first()
        .is_some_and(|(_, way)| way.verdict() == Verdict::Opens);
    Ok(u8::from(!opens))
}

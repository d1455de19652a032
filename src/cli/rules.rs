//! `wslint rules`.

use std::io::Write;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::Failure;
use crate::rule::{Proof, Severity, rules};

/// The arguments of `wslint rules`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to show them
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    severity: Severity,
    summary: &'a str,
    proof: &'a str,
    references: Vec<&'a str>,
}

/// Runs the subcommand; the exit status.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<u8, Failure> {
    let own = super::own_rules()?;
    let rows: Vec<Row<'_>> = rules()
        .iter()
        .chain(&own)
        .map(|rule| Row {
            id: &rule.id,
            severity: rule.severity,
            summary: &rule.summary,
            proof: match &rule.proof {
                Proof::Server => "server",
                Proof::Source(source) => source,
            },
            references: rule.references.iter().map(AsRef::as_ref).collect(),
        })
        .collect();
    match arguments.format {
        Format::Json => {
            let text = serde_json::to_string_pretty(&rows).map_err(std::io::Error::from)?;
            writeln!(out, "{text}")?;
        }
        Format::Text => {
            let width = rows
                .iter()
                .map(|row| row.id.len())
                .max()
                .unwrap_or_default();
            for row in &rows {
                writeln!(
                    out,
                    "{:width$}  {:7}  {}",
                    row.id,
                    row.severity.name(),
                    row.summary
                )?;
            }
        }
    }
    Ok(0)
}

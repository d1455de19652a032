//! The command line: one file a subcommand.
//!
//! Findings go to stdout and everything else to stderr. Exit status: 0 nothing at or above
//! `--fail-on` (`trace`: the handshake opens), 1 findings (it fails, or is undecided), 2 could not
//! do its work.

mod check;
mod explain;
mod rules;
mod sources;
mod trace;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use sources::Color;

use crate::project;
use crate::rule::Rule;

/// Proves whether a WebSocket handshake gets through your configuration, before it ships.
#[derive(Debug, Parser)]
#[command(name = "wslint", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check nginx, Caddy and Django configuration
    Check(Box<check::Arguments>),
    /// Follow one handshake through the configuration, hop by hop
    Trace(Box<trace::Arguments>),
    /// Explain a rule: why it matters, how to mend it, examples, how it is proved
    Explain(explain::Arguments),
    /// List all rules
    Rules(rules::Arguments),
}

/// What went wrong with our own work; exit status 2.
pub(crate) enum Failure {
    /// A message for stderr.
    Message(String),
    /// Output could not be written.
    Output(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Runs the command line `arguments` (the program's name first).
pub fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too, with status 0.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let stdout = &mut io::BufWriter::new(io::stdout());
    let result = match cli.command {
        Command::Check(arguments) => check::run(*arguments, stdout),
        Command::Trace(arguments) => trace::run(*arguments, stdout),
        Command::Explain(arguments) => explain::run(&arguments, stdout),
        Command::Rules(arguments) => rules::run(&arguments, stdout),
    };
    let result = result.and_then(|status| stdout.flush().map(|()| status).map_err(Failure::Output));
    match result {
        Ok(status) => ExitCode::from(status),
        // Whoever reads has seen enough (`| head`): nothing of ours went wrong.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(Failure::Output(error)) => {
            complain(&format!("error: can't write the output: {error}"));
            ExitCode::from(2)
        }
        Err(Failure::Message(message)) => {
            complain(&format!("error: {message}"));
            ExitCode::from(2)
        }
    }
}

/// The rules of the user's own that the configuration of the working directory names.
pub(crate) fn own_rules() -> Result<Vec<Rule>, Failure> {
    let cwd = working_directory()?;
    project::configuration_of(&cwd)
        .map(|config| config.own_rules)
        .map_err(|problem| Failure::Message(problem.to_string()))
}

pub(crate) fn working_directory() -> Result<PathBuf, Failure> {
    std::env::current_dir()
        .map_err(|error| Failure::Message(format!("no working directory: {error}")))
}

/// A line on stderr; if even that fails there is nobody left to tell.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

//! What a program costs that only reads a command line like ours: the measure of `benches/speed.rs`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "bare", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Do nothing with these paths
    Check(Check),
}

#[derive(Debug, Args)]
struct Check {
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    #[arg(long)]
    format: Option<String>,
    #[arg(short, long)]
    quiet: bool,
}

fn main() -> std::process::ExitCode {
    let Command::Check(check) = Cli::parse().command;
    u8::from(check.quiet && check.format.is_some() && check.paths.is_empty()).into()
}

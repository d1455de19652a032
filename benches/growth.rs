//! How the time grows with the projects of a repository.
//!
//! `cargo bench --bench growth`, by hand: whole processes over repositories of 12 to 200 Django
//! projects, each behind four proxies. `-- FOLDER NUMBER` writes such a repository instead.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "../tests/support/monorepo.rs"]
mod monorepo;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs of each size; the fastest tells what it costs when nothing disturbs it.
const RUNS: usize = 15;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        [] => measure(),
        [folder, number] => match number.parse() {
            Ok(number) => write(Path::new(folder), number),
            Err(_) => Err(format!("{number} is no number").into()),
        },
        _ => Err("usage: cargo bench --bench growth [-- FOLDER NUMBER]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    println!("| projects | proxies | files | fastest, median | for each project |");
    println!("|---|---|---|---|---|");
    for projects in [12, 25, 50, 100, 200] {
        let folder = tempfile::tempdir()?;
        write(folder.path(), projects)?;
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let started = Instant::now();
            let status = Command::new(env!("CARGO_BIN_EXE_wslint"))
                .args(["check", "--fail-on", "never"])
                .arg(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()?;
            times.push(started.elapsed().as_secs_f64() * 1000.0);
            if !status.success() {
                return Err(format!("wslint ended with {status}").into());
            }
        }
        times.sort_by(f64::total_cmp);
        println!(
            "| {projects} | {} | {} | {:.0} ms, {:.0} ms | {:.2} ms |",
            projects * monorepo::PROXIES,
            monorepo::files(projects).len(),
            times[0],
            times[RUNS / 2],
            times[0] / projects as f64
        );
    }
    Ok(())
}

fn write(folder: &Path, projects: usize) -> Result<()> {
    for (path, text) in monorepo::files(projects) {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(())
}

//! How fast wslint is, whole processes against the least that each job can cost.
//!
//! `cargo bench --bench speed -- [FOLDER]`, by hand; FOLDER is a corpus of real configurations
//! (left out: the one in the repository's own tests). Prints, for each job, the fastest and the
//! median of its runs beside those of the measure, their ratio, and the peak of resident memory.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use wslint::project::{self, Options};
use wslint::source::{Kind, Source};
use wslint::{caddy, grammar, nginx};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Runs of each command; the fastest tells what it costs when nothing disturbs it.
const RUNS: usize = 30;

const SITE: &str = "\
server {
    listen 80;
    server_name app.example.com;
    location /ws/ {
        proxy_pass http://127.0.0.1:8000;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection \"upgrade\";
    }
}
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The measures are processes too: this program runs itself.
    let done = match words[..] {
        ["--parse", folder] => parse(Path::new(folder)),
        ["--walk", folder] => walk(Path::new(folder)),
        ["--peak", program, ref rest @ ..] => peak(program, rest),
        [] => measure(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")),
        [corpus] => measure(Path::new(corpus)),
        _ => Err("usage: cargo bench --bench speed -- [FOLDER]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(corpus: &Path) -> Result<()> {
    let this = std::env::current_exe()?.to_string_lossy().into_owned();
    let wslint = env!("CARGO_BIN_EXE_wslint");
    let bare = bare()?;
    let folder = tempfile::tempdir()?;
    let small = folder.path().join("small");
    fs::create_dir(&small)?;
    fs::write(small.join("nginx.conf"), SITE)?;
    let tree = folder.path().join("tree");
    grow(&tree)?;
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let (small, tree, corpus) = (path(&small), path(&tree), path(&fs::canonicalize(corpus)?));
    println!("| job | wslint: fastest, median | the measure: fastest, median | ratio | peak |");
    println!("|---|---|---|---|---|");
    for (job, ours, theirs) in [
        (
            "one small file, against a bare clap program",
            vec![wslint, "check", "-q", &small],
            vec![bare.as_str(), "check", "-q", &small],
        ),
        (
            "a corpus, against reading and parsing alone",
            vec![wslint, "check", "-q", "--fail-on", "never", &corpus],
            vec![&this, "--parse", &corpus],
        ),
        (
            "20,000 files, 20 of them ours, against a bare walk",
            vec![wslint, "check", "-q", &tree],
            vec![&this, "--walk", &tree],
        ),
    ] {
        let (ours_fastest, ours_median, theirs_fastest, theirs_median) = race(&ours, &theirs)?;
        let ratio = ours_fastest.as_secs_f64() / theirs_fastest.as_secs_f64();
        let peak = Command::new(&this).arg("--peak").args(&ours).output()?;
        println!(
            "| {job} | {}, {} | {}, {} | {ratio:.2} | {} |",
            show(ours_fastest),
            show(ours_median),
            show(theirs_fastest),
            show(theirs_median),
            String::from_utf8_lossy(&peak.stdout).trim()
        );
    }
    Ok(())
}

/// Builds the bare program with the profile of this one.
fn bare() -> Result<String> {
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--example",
            "bare",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    if !built.success() {
        return Err("the bare program does not build".into());
    }
    let release = Path::new(env!("CARGO_BIN_EXE_wslint"))
        .parent()
        .ok_or("no folder")?;
    Ok(release.join("examples/bare").to_string_lossy().into_owned())
}

/// Fastest and median of each, taken in turns so that both meet the same machine.
fn race(ours: &[&str], theirs: &[&str]) -> Result<(Duration, Duration, Duration, Duration)> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        for (command, times) in [ours, theirs].into_iter().zip(&mut times) {
            times.push(run(command)?);
        }
    }
    for times in &mut times {
        times.sort();
    }
    let [ours, theirs] = times;
    Ok((ours[0], ours[RUNS / 2], theirs[0], theirs[RUNS / 2]))
}

fn run(command: &[&str]) -> Result<Duration> {
    let started = Instant::now();
    let status = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    let took = started.elapsed();
    if status.success() {
        Ok(took)
    } else {
        Err(format!("{} ended with {status}", command.join(" ")).into())
    }
}

fn show(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// The least that a linter does: find the files, read them, parse them.
fn parse(folder: &Path) -> Result<()> {
    let options = Options {
        cwd: std::env::current_dir()?,
        ..Options::default()
    };
    let mut problems = Vec::new();
    let plans = project::plan(&[folder.to_owned()], &options, &mut problems);
    for plan in plans {
        let project = project::load(plan, &options, &mut problems);
        let parse = |source: &Source| match source.kind {
            Kind::Nginx => nginx::syntax::parse(source).all().count(),
            Kind::Caddyfile => caddy::syntax::parse(source).all().count(),
            Kind::Python => {
                let tree = grammar::parse(tree_sitter_python::LANGUAGE, source.parsed_text());
                tree.map_or(0, |tree| tree.root_node().end_byte())
            }
            _ => 0,
        };
        let parsed: usize = project.sources.par_iter().map(parse).sum();
        std::hint::black_box(parsed);
    }
    Ok(())
}

/// The least that finding files costs.
fn walk(folder: &Path) -> Result<()> {
    let threads = std::thread::available_parallelism()?.get();
    ignore::WalkBuilder::new(folder)
        .hidden(false)
        .threads(threads)
        .build_parallel()
        .run(|| {
            Box::new(|entry| {
                std::hint::black_box(entry.is_ok());
                ignore::WalkState::Continue
            })
        });
    Ok(())
}

/// Runs a command and prints the peak of its resident memory.
fn peak(program: &str, arguments: &[&str]) -> Result<()> {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)?;
    println!("{:.1} MiB", usage.max_rss() as f64 / 1024.0);
    Ok(())
}

/// A tree as large repositories are: 20,000 files in 400 folders, 20 of them ours.
fn grow(root: &Path) -> Result<()> {
    for folder in 0..400 {
        let path: PathBuf = root.join(format!("packages/group{}/module{folder}", folder % 20));
        fs::create_dir_all(&path)?;
        for file in 0..50 {
            let (name, text) = match (folder % 20, file) {
                (0, 0) => ("nginx.conf".to_owned(), SITE),
                (_, 1) => ("README.md".to_owned(), "# Module\n"),
                (_, number) if number % 3 == 0 => (format!("part{number}.py"), "VALUE = 1\n"),
                (_, number) => (format!("part{number}.ts"), "export const value = 1;\n"),
            };
            fs::write(path.join(name), text)?;
        }
    }
    Ok(())
}

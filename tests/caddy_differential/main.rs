//! wslint against Caddy: random Caddyfiles, the same handshakes sent through a real Caddy and
//! through the library, and no disagreement.
//!
//! Each Caddyfile has a seed of its own. `WSLINT_SEED` chooses the first one and
//! `WSLINT_CADDYFILES` their number; whatever disagrees is printed in full.

#[path = "../truth/case.rs"]
#[allow(dead_code)]
mod case;
#[path = "../truth/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "../truth/frame.rs"]
#[allow(dead_code)]
mod frame;
mod generate;
#[path = "../truth/message.rs"]
mod message;
#[path = "../truth/upstream.rs"]
#[allow(dead_code)]
mod upstream;
mod work;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Tells a re-executed test what to do.
const INSIDE: &str = "WSLINT_CADDY_DIFFERENTIAL";

/// What one process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    folder: String,
    /// The binary and its version.
    caddy: String,
    version: [u32; 3],
    first: u64,
    step: u64,
    count: u64,
}

/// What it found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    files: u64,
    /// Caddyfiles that Caddy refused; a generator that makes many of them tests little.
    refused: u64,
    handshakes: u64,
    undecided: u64,
    opened: u64,
    /// Why handshakes were undecided or files refused, for the person who lowers their number.
    reasons: Vec<String>,
    disagreements: Vec<String>,
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn main() -> ExitCode {
    if let Ok(task) = std::env::var(INSIDE) {
        let task: Task = serde_json::from_str(&task).expect("a task");
        let found = work::run(&task);
        let told = serde_json::to_string(&found).expect("plain data");
        std::fs::write(Path::new(&task.folder).join("found.json"), told).expect("writable");
        return ExitCode::SUCCESS;
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let servers = std::env::var_os("WSLINT_SERVERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers"),
        PathBuf::from,
    );
    let current = servers.join("caddy/bin/caddy");
    // In turn, since each of them uses every core.
    let trial = libtest_mimic::Trial::test("caddy_and_wslint_agree", move || {
        let both = [
            agree(&current, 1000),
            agree(Path::new("/usr/bin/caddy"), 120),
        ];
        let wrong: Vec<String> = both
            .into_iter()
            .filter_map(|told| told.err())
            .filter_map(|told| told.message().map(str::to_owned))
            .collect();
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong.join("\n\n").into()),
        }
    });
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

/// The version of a Caddy.
fn version(caddy: &Path) -> Result<[u32; 3], String> {
    let output = Command::new(caddy).arg("version").output();
    let output = output.map_err(|error| {
        format!(
            "{} (tests/run; apt-get install caddy): {error}",
            caddy.display()
        )
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text
        .trim_start_matches('v')
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    Ok([(); 3].map(|()| numbers.next().unwrap_or(0)))
}

#[allow(clippy::print_stdout, reason = "the figures of a run are for its log")]
fn agree(caddy: &Path, count: u64) -> Result<(), libtest_mimic::Failed> {
    let first = number("WSLINT_SEED").unwrap_or(1);
    let count = number("WSLINT_CADDYFILES").unwrap_or(count);
    let version = version(caddy)?;
    let began = Instant::now();
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u64);
    let found: Vec<Result<Found, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                let task = Task {
                    folder: String::new(),
                    caddy: caddy.to_string_lossy().into_owned(),
                    version,
                    first: first + worker,
                    step: workers,
                    count: (count + workers - 1 - worker) / workers,
                };
                scope.spawn(move || sandboxed(task))
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|found| found.unwrap_or_else(|_| Err("a worker panicked".to_owned())))
            .collect()
    });
    let mut all = Found::default();
    for found in found {
        let found = found?;
        all.files += found.files;
        all.refused += found.refused;
        all.handshakes += found.handshakes;
        all.undecided += found.undecided;
        all.opened += found.opened;
        all.reasons.extend(found.reasons);
        all.disagreements.extend(found.disagreements);
    }
    let share = 100.0 * all.undecided as f64 / all.handshakes.max(1) as f64;
    let told = format!(
        "Caddy {version:?}, seeds {first}..{}: {} Caddyfiles ({} refused by Caddy), {} handshakes, {} opened, {share:.2} % undecided, {:.0} s",
        first + count,
        all.files,
        all.refused,
        all.handshakes,
        all.opened,
        began.elapsed().as_secs_f64(),
    );
    // Kept for whoever looks at the log of a run that went well.
    println!("{told}");
    if std::env::var_os("WSLINT_REASONS").is_some() {
        println!("{}", all.reasons.join("\n"));
    }
    let mut wrong = Vec::new();
    if !all.disagreements.is_empty() {
        wrong.push(format!("{} disagreements", all.disagreements.len()));
        wrong.extend(all.disagreements);
    }
    if share >= 3.0 {
        wrong.push(format!("undecided:\n{}", all.reasons.join("\n")));
    }
    if all.refused * 10 > all.files {
        wrong.push(format!(
            "Caddy refuses more than one in ten:\n{}",
            all.reasons.join("\n")
        ));
    }
    if all.opened * 8 < all.handshakes {
        wrong.push("hardly any socket opens".to_owned());
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{told}\n{}", wrong.join("\n\n")).into())
}

/// Runs a part of the seeds in a network of its own, where every port is free.
fn sandboxed(mut task: Task) -> Result<Found, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    task.folder = folder.path().to_string_lossy().into_owned();
    let task = serde_json::to_string(&task).map_err(|error| error.to_string())?;
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--pid", "--fork", "--kill-child"]);
    let id = Command::new("id").arg("-u").output();
    if id.map_or(true, |output| output.stdout.trim_ascii() != b"0") {
        command.arg("--map-root-user");
    }
    let output = command
        .arg("--")
        .arg(this)
        .env(INSIDE, task)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("unshare (apt-get install util-linux): {error}"))?;
    let told = std::fs::read_to_string(folder.path().join("found.json"));
    told.ok()
        .and_then(|told| serde_json::from_str(&told).ok())
        .ok_or_else(|| {
            format!(
                "no sandbox (run as root, or allow unprivileged user namespaces): {}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
}

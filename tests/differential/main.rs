//! wslint against nginx: random configurations, the same handshakes sent to a real nginx and
//! through the library, and no disagreement.
//!
//! Each configuration has a seed of its own. `WSLINT_SEED` chooses the first one and
//! `WSLINT_CONFIGURATIONS` their number; a disagreement is printed with its seed, cut down to the
//! lines that matter.

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
mod random;
mod servers;
#[path = "../truth/upstream.rs"]
#[allow(dead_code)]
mod upstream;
mod work;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Tells a re-executed test what to do.
const INSIDE: &str = "WSLINT_DIFFERENTIAL";

/// What one process is told.
#[derive(Debug, Serialize, Deserialize)]
struct Task {
    folder: String,
    first: u64,
    step: u64,
    count: u64,
}

/// What it found.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Found {
    configurations: u64,
    /// Configurations that nginx refused; a generator that makes many of them tests little.
    refused: u64,
    handshakes: u64,
    undecided: u64,
    /// Sockets that opened.
    opened: u64,
    /// Why handshakes were undecided, for the person who lowers their number.
    reasons: Vec<String>,
    disagreements: Vec<String>,
}

fn number(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(default)
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
    let trial = libtest_mimic::Trial::test("nginx_and_wslint_agree", agree);
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

#[allow(clippy::print_stdout, reason = "the figures of a run are for its log")]
fn agree() -> Result<(), libtest_mimic::Failed> {
    let first = number("WSLINT_SEED", 1);
    let count = number("WSLINT_CONFIGURATIONS", 2000);
    let began = Instant::now();
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u64);
    let found: Vec<Result<Found, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || {
                    sandboxed(
                        first + worker,
                        workers,
                        (count + workers - 1 - worker) / workers,
                    )
                })
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
        all.configurations += found.configurations;
        all.refused += found.refused;
        all.handshakes += found.handshakes;
        all.undecided += found.undecided;
        all.opened += found.opened;
        all.reasons.extend(found.reasons);
        all.disagreements.extend(found.disagreements);
    }
    let share = 100.0 * all.undecided as f64 / all.handshakes.max(1) as f64;
    let told = format!(
        "seeds {first}..{}: {} configurations ({} refused by nginx), {} handshakes, {} opened, {share:.2} % undecided, {:.0} s",
        first + count,
        all.configurations,
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
        wrong.extend(all.disagreements.into_iter().take(5));
    }
    if share >= 3.0 {
        wrong.push(format!("undecided:\n{}", all.reasons.join("\n")));
    }
    if all.refused * 20 > all.configurations {
        wrong.push("nginx refuses more than one in twenty".to_owned());
    }
    if all.opened * 20 < all.handshakes {
        wrong.push("hardly any socket opens".to_owned());
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{told}\n{}", wrong.join("\n\n")).into())
}

/// Runs a part of the seeds in a network of its own.
fn sandboxed(first: u64, step: u64, count: u64) -> Result<Found, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let task = Task {
        folder: folder.path().to_string_lossy().into_owned(),
        first,
        step,
        count,
    };
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

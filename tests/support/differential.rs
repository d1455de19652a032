//! What every differential test does: many configurations, each made from a seed of its own, go
//! through a real server and through the library, and nothing may disagree.
//!
//! `WSLINT_SEED` chooses the first seed, `WSLINT_CONFIGURATIONS` their number; with
//! `WSLINT_REASONS` the log says why handshakes were undecided and configurations refused. A test
//! program runs itself again for each core, in a network of its own where every port is free; there
//! it asks for seeds until there are none left.
#![allow(dead_code, reason = "each test program uses its own part")]

mod random;

use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use libtest_mimic::Failed;
use serde::{Deserialize, Serialize};

pub(crate) use random::Random;

/// Tells a re-executed test what to do.
const INSIDE: &str = "WSLINT_DIFFERENTIAL";

/// After so many disagreements a process ends: they have few causes.
const ENOUGH: usize = 10;

/// The server that is compared with the library.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    /// For people, without version.
    pub(crate) name: String,
    /// What to run.
    pub(crate) program: PathBuf,
    pub(crate) version: [u32; 3],
}

impl Server {
    /// A program that tells its version, with `argument`, as `…NAME/1.22.1…` or `v2.11.7 …`.
    pub(crate) fn installed(name: &str, program: &Path, argument: &str) -> Result<Self, String> {
        let output = Command::new(program).arg(argument).output();
        let output =
            output.map_err(|error| format!("{} (run tests/run): {error}", program.display()))?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let text = text.split_once('/').map_or(&*text, |(_, version)| version);
        let mut numbers = text
            .trim_start_matches('v')
            .split(|c: char| !c.is_ascii_digit())
            .map(|part| part.parse().unwrap_or(0));
        Ok(Self {
            name: name.to_owned(),
            program: program.to_owned(),
            version: [(); 3].map(|()| numbers.next().unwrap_or(0)),
        })
    }
}

/// A differential test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial {
    /// How many configurations, unless `WSLINT_CONFIGURATIONS` says otherwise.
    pub(crate) count: u64,
    /// How many of them one call of [`Bench::compare`] takes.
    pub(crate) batch: u64,
    /// Of how many configurations the server may refuse one: a generator whose work is mostly
    /// refused tests little.
    pub(crate) refused: u64,
    /// Of how many handshakes one must open a socket, for the same reason.
    pub(crate) opened: u64,
    /// How much may be undecided, in percent.
    pub(crate) undecided: f64,
    /// How many sandboxes a core has: more than one where they mostly wait.
    pub(crate) sandboxes: usize,
}

/// What a test does in its sandbox.
pub(crate) trait Bench {
    /// Compares the configurations of these seeds.
    fn compare(&mut self, seeds: Range<u64>, found: &mut Found);
}

/// What was found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) configurations: u64,
    pub(crate) refused: u64,
    pub(crate) handshakes: u64,
    /// Sockets that opened.
    pub(crate) opened: u64,
    pub(crate) undecided: u64,
    /// Why handshakes were undecided or configurations refused, for the person who lowers their
    /// number.
    pub(crate) reasons: Vec<String>,
    pub(crate) disagreements: Vec<String>,
}

impl Found {
    pub(crate) fn refused(&mut self, seed: u64, why: &str) {
        self.refused += 1;
        self.reasons.push(format!("seed {seed} refused: {why}"));
    }

    pub(crate) fn undecided(&mut self, seed: u64, why: &str) {
        self.undecided += 1;
        self.reasons.push(format!("seed {seed} undecided: {why}"));
    }

    fn add(&mut self, other: Self) {
        self.configurations += other.configurations;
        self.refused += other.refused;
        self.handshakes += other.handshakes;
        self.opened += other.opened;
        self.undecided += other.undecided;
        self.reasons.extend(other.reasons);
        self.disagreements.extend(other.disagreements);
    }
}

/// In a sandbox: works through the seeds that arrive. `None` outside.
pub(crate) fn inside<B: Bench>(furnish: impl FnOnce(&Server, &Path) -> B) -> Option<ExitCode> {
    let told = std::env::var(INSIDE).ok()?;
    let (server, folder): (Server, PathBuf) = serde_json::from_str(&told).expect("a server");
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(
        up.is_ok_and(|status| status.success()),
        "apt-get install iproute2"
    );
    let mut bench = furnish(&server, &folder);
    let mut found = Found::default();
    for line in std::io::stdin().lines() {
        let seeds: Range<u64> = serde_json::from_str(&line.expect("a line")).expect("a range");
        bench.compare(seeds, &mut found);
        if found.disagreements.len() >= ENOUGH {
            break;
        }
        let mut out = std::io::stdout();
        out.write_all(b"more\n")
            .and_then(|()| out.flush())
            .expect("somebody listens");
    }
    let told = serde_json::to_string(&found).expect("plain data");
    std::fs::write(folder.join("found.json"), told).expect("writable");
    Some(ExitCode::SUCCESS)
}

/// The seeds of this run: `count` of them, unless the environment says otherwise.
pub(crate) fn seeds(count: u64) -> Range<u64> {
    let number = |variable: &str| std::env::var(variable).ok()?.parse().ok();
    let first = number("WSLINT_SEED").unwrap_or(1);
    first..first + number("WSLINT_CONFIGURATIONS").unwrap_or(count)
}

/// What the same work finds on each core, so many times on each.
pub(crate) fn on_every_core<F: Send>(
    times: usize,
    work: impl Fn() -> Result<F, String> + Sync,
) -> Result<Vec<F>, String> {
    let workers = times * std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(&work)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|found| found.unwrap_or_else(|_| Err("a worker panicked".to_owned())))
            .collect()
    })
}

/// A part in percent.
pub(crate) fn share(part: u64, of: u64) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}

/// Tells what a run found, and fails if anything is `wrong` with it or disagrees.
#[allow(clippy::print_stdout, reason = "the figures of a run are for its log")]
pub(crate) fn tell(
    told: &str,
    reasons: &[String],
    disagreements: &[String],
    mut wrong: Vec<String>,
) -> Result<(), Failed> {
    // Kept for whoever looks at the log of a run that went well.
    println!("{told}");
    if std::env::var_os("WSLINT_REASONS").is_some() {
        println!("{}", reasons.join("\n"));
    }
    if !disagreements.is_empty() {
        wrong.insert(0, format!("{} disagreements", disagreements.len()));
        wrong.extend(disagreements.iter().take(ENOUGH).cloned());
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{told}\n{}", wrong.join("\n\n")).into())
}

/// Runs the test on every core.
pub(crate) fn agree(server: &Server, trial: Trial) -> Result<(), Failed> {
    let Range { start: first, end } = seeds(trial.count);
    let began = Instant::now();
    // Batches begin at multiples of their size, so that a seed is always in the same one.
    let next = AtomicU64::new(first / trial.batch);
    let more = || {
        let start = next.fetch_add(1, Ordering::Relaxed) * trial.batch;
        (start < end).then(|| first.max(start)..end.min(start + trial.batch))
    };
    let mut all = Found::default();
    for found in on_every_core(trial.sandboxes, || sandboxed(server, &more))? {
        all.add(found);
    }
    let share = share(all.undecided, all.handshakes);
    let told = format!(
        "{} {:?}, seeds {first}..{end}: {} configurations ({} refused), {} handshakes, {} opened, {share:.2} % undecided, {:.0} s",
        server.name,
        server.version,
        all.configurations,
        all.refused,
        all.handshakes,
        all.opened,
        began.elapsed().as_secs_f64(),
    );
    let mut wrong = Vec::new();
    if share >= trial.undecided || all.refused * trial.refused > all.configurations {
        wrong.push(format!(
            "too much is undecided or refused:\n{}",
            all.reasons.join("\n")
        ));
    }
    if all.opened * trial.opened < all.handshakes {
        wrong.push("hardly any socket opens".to_owned());
    }
    tell(&told, &all.reasons, &all.disagreements, wrong)
}

/// A process of one core, which is given seeds while there are any.
fn sandboxed(server: &Server, more: &impl Fn() -> Option<Range<u64>>) -> Result<Found, String> {
    let text = |error: std::io::Error| error.to_string();
    let folder = tempfile::tempdir().map_err(text)?;
    let told =
        serde_json::to_string(&(server, folder.path())).map_err(|error| error.to_string())?;
    let this = std::env::current_exe().map_err(text)?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--pid", "--fork", "--kill-child"]);
    let id = Command::new("id").arg("-u").output();
    if id.map_or(true, |output| output.stdout.trim_ascii() != b"0") {
        command.arg("--map-root-user");
    }
    let mut child = command
        .arg("--")
        .arg(this)
        .env(INSIDE, told)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("unshare (apt-get install util-linux): {error}"))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    if let (Some(mut input), Some(output)) = (input, output) {
        let mut answers = BufReader::new(output).lines();
        while let Some(seeds) = more() {
            let line = serde_json::to_string(&seeds).map_err(|error| error.to_string())?;
            if writeln!(input, "{line}").is_err() || !matches!(answers.next(), Some(Ok(_))) {
                break;
            }
        }
    }
    let output = child.wait_with_output().map_err(text)?;
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

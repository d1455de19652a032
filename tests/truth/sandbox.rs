//! A machine of its own for each case or stack: network, mounts and processes of its own, so that files
//! run unchanged with `listen 80`, real host names and absolute paths.
//!
//! The test re-executes itself under unshare(1); inside, it is process 1, and whatever it started
//! ends with it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use regex::Regex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::case::{Case, Outcome, Url};
use crate::machine;
use crate::stack::{self, Stack};

/// What a sandbox is for.
#[derive(Debug, Serialize, Deserialize)]
enum Task {
    /// The files of an example, on one machine.
    Case(Case),
    /// Several machines.
    Stack(Stack),
}

/// Tells a re-executed test where its task lies.
const INSIDE: &str = "WSLINT_TRUTH_TASK";

/// A sandbox that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(90);

/// Where tests/run installs servers.
pub(crate) fn servers() -> PathBuf {
    std::env::var_os("WSLINT_SERVERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers"),
        PathBuf::from,
    )
}

/// Runs the case in a sandbox.
pub(crate) fn run(case: &Case) -> Result<Outcome, String> {
    enter(&Task::Case(case.clone()))
}

/// Runs a stack in a sandbox; the outcomes of each round, one for each knock.
pub(crate) fn run_stack(stack: &Stack) -> Result<Vec<Vec<Outcome>>, String> {
    enter(&Task::Stack(stack.clone()))
}

fn enter<T: DeserializeOwned>(task: &Task) -> Result<T, String> {
    let say = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| format!("{what}: {error}")
    };
    let folder = tempfile::tempdir().map_err(say("temporary folder"))?;
    let told = serde_json::to_string(task).map_err(|error| error.to_string())?;
    fs::write(folder.path().join("task.json"), told).map_err(say("task.json"))?;
    let this = std::env::current_exe().map_err(say("this test"))?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child"]);
    if !is_root() {
        command.arg("--map-root-user");
    }
    let mut child = command
        .arg("--")
        .arg(this)
        .env(INSIDE, folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(say("unshare (apt-get install util-linux)"))?;
    let deadline = Instant::now() + LIMIT;
    let ended = loop {
        match child.try_wait().map_err(say("unshare"))? {
            Some(status) => break status.success(),
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("the sandbox did not end in {} s", LIMIT.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let answer = fs::read_to_string(folder.path().join("outcome.json"));
    match answer {
        Ok(text) if ended => {
            let answer: Result<T, String> =
                serde_json::from_str(&text).map_err(|error| error.to_string())?;
            answer
        }
        _ => {
            let mut stderr = String::new();
            if let Some(mut pipe) = child.stderr.take() {
                let _ = pipe.read_to_string(&mut stderr);
            }
            Err(format!(
                "no sandbox (run as root, or allow unprivileged user namespaces: \
                 sysctl -w kernel.unprivileged_userns_clone=1): {}",
                stderr.trim()
            ))
        }
    }
}

fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| {
        Command::new("id")
            .arg("-u")
            .output()
            .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
    })
}

/// The folder of the task if this process is the one inside.
pub(crate) fn inside() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(PathBuf::from)
}

/// Does the task of `folder` and leaves its outcome there.
pub(crate) fn serve(folder: &Path) -> Result<(), String> {
    let told = fs::read_to_string(folder.join("task.json")).map_err(|error| error.to_string())?;
    let task: Task = serde_json::from_str(&told).map_err(|error| error.to_string())?;
    let told = match task {
        Task::Case(case) => {
            let outcome = furnish(folder, &hosts(&case)).and_then(|()| machine::run(folder, &case));
            serde_json::to_string(&outcome)
        }
        Task::Stack(stack) => {
            let outcome =
                furnish(folder, "127.0.0.1 localhost\n").and_then(|()| stack::run(folder, &stack));
            serde_json::to_string(&outcome)
        }
    };
    let told = told.map_err(|error| error.to_string())?;
    fs::write(folder.join("outcome.json"), told).map_err(|error| error.to_string())
}

/// Loopback, names, and empty folders where servers expect to write.
fn furnish(folder: &Path, hosts: &str) -> Result<(), String> {
    execute(&["ip", "link", "set", "lo", "up"])?;
    bind(folder, "hosts", hosts, "/etc/hosts")?;
    for path in [
        "/run",
        "/var/log",
        "/var/cache",
        "/var/lib/nginx",
        "/var/www",
        "/srv",
    ] {
        if Path::new(path).is_dir() {
            execute(&["mount", "-t", "tmpfs", "tmpfs", path])?;
        }
    }
    for path in ["/var/log/nginx", "/var/www/html"] {
        let _ = fs::create_dir_all(path);
    }
    Ok(())
}

/// The hosts file of a case.
fn hosts(case: &Case) -> String {
    let addresses = machine::addresses(case);
    let mut hosts = "127.0.0.1 localhost\n".to_owned();
    for name in names(case) {
        let own = addresses.iter().find(|(_, named)| named.contains(&name));
        let address = own.map_or(Ipv4Addr::LOCALHOST, |(address, _)| *address);
        hosts += &format!("{address} {name}\n");
    }
    hosts
}

fn bind(folder: &Path, name: &str, text: &str, over: &str) -> Result<(), String> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|error| format!("{name}: {error}"))?;
    execute(&["mount", "--bind", &path.to_string_lossy(), over])
}

/// Runs a short command to its end.
pub(crate) fn execute(command: &[&str]) -> Result<(), String> {
    let output = Command::new(command[0])
        .args(&command[1..])
        .output()
        .map_err(|error| format!("{}: {error}", command[0]))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}: {}", command.join(" "), stderr.trim()))
}

/// Every word of the proxies' configurations that could be a host's name, and the URL's host.
/// Words that are none do no harm; names under `.invalid` stay unknown.
fn names(case: &Case) -> BTreeSet<String> {
    let word = Regex::new(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?");
    let mut names: BTreeSet<String> = case
        .files
        .iter()
        .filter(|(path, _)| !path.ends_with(".py") && !path.ends_with(".txt"))
        .flat_map(|(_, text)| word.iter().flat_map(|word| word.find_iter(text)))
        .map(|found| found.as_str().to_ascii_lowercase())
        .filter(|name| name.bytes().any(|byte| byte.is_ascii_alphabetic()))
        .filter(|name| name != "localhost" && !name.ends_with(".invalid"))
        .collect();
    names.extend(Url::read(&case.url).map(|url| url.host));
    names
}

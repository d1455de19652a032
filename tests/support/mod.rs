//! What the tests of the command share: running it, folders of files, JSON schemas.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where tests/run installs servers and tools.
pub(crate) fn servers() -> PathBuf {
    std::env::var_os("WSLINT_SERVERS")
        .map_or_else(|| repository().join("target/servers"), PathBuf::from)
}

/// A program of tests/run's; the test fails with the command that installs it.
pub(crate) fn tool(path: &str) -> PathBuf {
    let path = servers().join(path);
    assert!(
        path.exists(),
        "{} is missing: run tests/run, which installs it",
        path.display()
    );
    path
}

/// What a run of wslint said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }

    /// Stdout as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:#?}"))
    }

    /// `file:line` of each finding of `--format json`, with its rule.
    pub(crate) fn places(&self) -> Vec<(String, String)> {
        let findings = self.json()["findings"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        findings
            .iter()
            .map(|finding| {
                let file = finding["file"].as_str().expect("a file");
                let line = finding["range"]["start"]["line"].as_u64().expect("a line");
                let rule = finding["rule"].as_str().expect("a rule");
                (format!("{file}:{line}"), rule.to_owned())
            })
            .collect()
    }
}

/// `wslint ARGUMENTS` in a folder, as `command` leaves it to be adjusted.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wslint"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE");
    command
}

/// Runs `wslint ARGUMENTS` in a folder.
pub(crate) fn wslint(folder: &Path, arguments: &[&str]) -> Said {
    Said::of(command(folder, arguments).output().expect("wslint runs"))
}

/// The same, with `stdin`.
pub(crate) fn wslint_with(folder: &Path, arguments: &[&str], stdin: &[u8]) -> Said {
    let mut child = command(folder, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("wslint runs");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(stdin).expect("wslint reads");
    drop(pipe);
    Said::of(child.wait_with_output().expect("wslint ends"))
}

/// Runs it with bounded time and memory; a hang or a bomb fails the test.
pub(crate) fn wslint_bounded(folder: &Path, arguments: &[&str]) -> Said {
    const LIMIT: Duration = Duration::from_secs(30);
    let quoted: Vec<String> = arguments
        .iter()
        .map(|argument| format!("'{argument}'"))
        .collect();
    let script = format!(
        "ulimit -v 1500000; exec '{}' {}",
        env!("CARGO_BIN_EXE_wslint"),
        quoted.join(" ")
    );
    let child = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh runs");
    let said = Said::of(within(LIMIT, child));
    assert!(!said.stderr.contains("panicked"), "a panic: {said:#?}");
    said
}

/// Waits for the child no longer than `limit`.
pub(crate) fn within(limit: Duration, child: Child) -> Output {
    let id = child.id().to_string();
    let waiting = thread::spawn(move || child.wait_with_output());
    let deadline = Instant::now() + limit;
    while !waiting.is_finished() {
        if Instant::now() > deadline {
            let _ = Command::new("kill").args(["-9", &id]).status();
            panic!("no end in {} s", limit.as_secs());
        }
        thread::sleep(Duration::from_millis(5));
    }
    waiting.join().expect("a thread").expect("it ended")
}

/// A folder of these files that goes when it is dropped.
pub(crate) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in files {
        write(folder.path(), path, text.as_bytes());
    }
    folder
}

/// Writes one file, with the folders above it.
pub(crate) fn write(folder: &Path, path: &str, bytes: &[u8]) {
    let full = folder.join(path);
    fs::create_dir_all(full.parent().expect("a parent")).expect("folders");
    fs::write(&full, bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Asserts that `document` is valid by a JSON schema.
pub(crate) fn validate(schema: &Path, document: &str) {
    const CHECK: &str = "
import json, sys
from jsonschema.validators import validator_for
schema = json.load(open(sys.argv[1]))
kind = validator_for(schema)
kind.check_schema(schema)
errors = [f'{list(e.absolute_path)}: {e.message[:300]}' for e in kind(schema).iter_errors(json.load(sys.stdin))]
print('\\n'.join(errors))
sys.exit(bool(errors))
";
    assert!(
        schema.exists(),
        "{} is missing: run tests/run",
        schema.display()
    );
    let mut child = Command::new(tool("tools/bin/python"))
        .args(["-c", CHECK])
        .arg(schema)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(document.as_bytes()).expect("python reads");
    drop(pipe);
    let output = child.wait_with_output().expect("python ends");
    assert!(
        output.status.success(),
        "not valid by {}:\n{}{}",
        schema.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

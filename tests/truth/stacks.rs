//! Whole stacks: proxies before applications, as `tests/stacks` describes them, with what browsers
//! meet there and what wslint must say about it.
//!
//! Each folder is a project with a `stack.toml` beside its files. `base` names another folder whose
//! files it has too, so that a repaired stack is the broken one and the lines that repair it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::Value;

use crate::case::Outcome;
use crate::compose::{self, Files};
use crate::examples::report;
use crate::installed::{self, CaddyVersion};
use crate::sandbox;
use crate::socket::Url;
use crate::stack::{FIRST, Knock, Runs, Stack};

/// Where a browser comes from that no edge stands before.
const BROWSER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

/// `stack.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    /// What happens here, in one sentence.
    title: String,
    /// The folder whose files these are too.
    base: Option<String>,
    /// Files of the base that this one lacks.
    #[serde(default)]
    without: Vec<String>,
    /// The hosts, if there are several.
    #[serde(default)]
    machine: Vec<Machine>,
    /// What is knocked at; none where the folder is only a base of others.
    #[serde(default)]
    handshake: Vec<Handshake>,
    /// What `wslint check` reports: exactly these.
    #[serde(default)]
    finding: Vec<Finding>,
}

/// A host of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Machine {
    folder: String,
    /// The names under which others reach it.
    names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Handshake {
    url: String,
    edge: Option<Edge>,
    /// What both browsers see; several where their tries differ.
    status: Status,
    /// The layers of the way that `trace` tells.
    hops: Vec<String>,
    /// How often both browsers try.
    #[serde(default = "once")]
    times: usize,
    /// Whether an open socket is alive after `silent` seconds in which nobody says anything.
    lives: Option<bool>,
    #[serde(default = "eight")]
    silent: u64,
    /// A client of Socket.IO that polls first.
    #[serde(default)]
    polls: bool,
    /// What `trace` says where the status does not tell it: what stands at a mount of Socket.IO
    /// is no route that it knows.
    verdict: Option<String>,
}

const fn once() -> usize {
    1
}

const fn eight() -> u64 {
    8
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Status {
    One(u16),
    Several(Vec<u16>),
}

impl Status {
    fn all(&self) -> Vec<u16> {
        match self {
            Self::One(status) => vec![*status],
            Self::Several(all) => all.clone(),
        }
    }
}

/// The last edge before the project, as it speaks to the project.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edge {
    from: Ipv4Addr,
    tls: bool,
    port: Option<u16>,
    headers: BTreeMap<String, String>,
}

/// A finding at the line of `file` that holds `line`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Finding {
    rule: String,
    severity: Option<String>,
    file: String,
    line: String,
}

/// One trial for each stack.
pub(crate) fn trials() -> Vec<Trial> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stacks");
    let folders = fs::read_dir(&root).into_iter().flatten().flatten();
    let mut names: Vec<String> = folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
        .into_iter()
        .filter(|name| {
            told(name).is_ok_and(|told| !told.handshake.is_empty()) || told(name).is_err()
        })
        .map(|name| {
            Trial::test(format!("stack: {name}"), move || {
                holds(&name).map_err(Failed::from)
            })
        })
        .collect()
}

fn told(name: &str) -> Result<Told, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/stacks")
        .join(name)
        .join("stack.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The files of a stack, with those of its bases.
fn files(name: &str) -> Result<Files, String> {
    let told = told(name)?;
    let mut files = match &told.base {
        Some(base) => files(base)?,
        None => Files::new(),
    };
    for path in &told.without {
        files
            .remove(path)
            .ok_or(format!("{name}: there is no {path}"))?;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/stacks")
        .join(name);
    let mut own = Vec::new();
    crate::incidents::read(&root, &root, &mut own).map_err(|error| format!("{name}: {error}"))?;
    files.extend(own.into_iter().filter(|(path, _)| path != "stack.toml"));
    Ok(files)
}

/// The servers and wslint agree with what the stack states.
fn holds(name: &str) -> Result<(), String> {
    let told = told(name)?;
    let files = files(name)?;
    let stack = stack(&told, &files)?;
    let mut wrong = Vec::new();
    wrong.extend(judged(&told, &files)?);
    for round in sandbox::run_stack(&stack)? {
        for (handshake, outcome) in told.handshake.iter().zip(&round) {
            if let Some(complaint) = met(handshake, outcome) {
                wrong.push(format!(
                    "{}: {complaint}\n{}",
                    handshake.url,
                    report(outcome)
                ));
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{name}: {}\n{}", told.title, wrong.join("\n")))
}

/// What differs between the stated and the met.
fn met(handshake: &Handshake, outcome: &Outcome) -> Option<String> {
    let stated = handshake.status.all();
    let attempts = &outcome.attempts;
    if attempts.len() != 2 * handshake.times {
        return Some("not both browsers tried".to_owned());
    }
    let seen: BTreeSet<Option<u16>> = attempts.iter().map(|attempt| attempt.status).collect();
    if seen != stated.iter().map(|status| Some(*status)).collect() {
        return Some(format!("stated: {stated:?}"));
    }
    let opens = handshake.lives != Some(false);
    let strange = attempts
        .iter()
        .find(|attempt| (attempt.status == Some(101) && opens) != attempt.opens);
    strange.map(|_| format!("stated: lives: {opens}"))
}

/// What differs between the stated and what wslint says.
fn judged(told: &Told, files: &Files) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    for (path, text) in files {
        let full = folder.path().join(path);
        fs::create_dir_all(full.parent().unwrap_or(folder.path()))
            .and_then(|()| fs::write(&full, text))
            .map_err(|error| format!("{path}: {error}"))?;
    }
    let wslint = |arguments: &[&str]| -> Result<String, String> {
        let output = Command::new(env!("CARGO_BIN_EXE_wslint"))
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if matches!(output.status.code(), Some(0 | 1)) {
            return Ok(text(&output.stdout));
        }
        Err(text(&output.stderr))
    };
    let json = |text: String| -> Result<Value, String> {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    };
    let mut wrong = Vec::new();
    let checked = json(wslint(&["check", "--format", "json"])?)?;
    if let Some(complaint) = found(&told.finding, &checked, files) {
        wrong.push(complaint);
    }
    for handshake in &told.handshake {
        let traced = json(wslint(&["trace", "--format", "json", &handshake.url])?)?;
        if let Some(complaint) = followed(handshake, &traced) {
            let story = wslint(&["trace", "--color", "never", &handshake.url])?;
            wrong.push(format!("trace {}: {complaint}\n{story}", handshake.url));
        }
    }
    Ok(wrong)
}

/// `check` reports the stated findings where they are stated, and leaves nothing undecided.
fn found(stated: &[Finding], checked: &Value, files: &Files) -> Option<String> {
    let all = |list: &str| checked[list].as_array().cloned().unwrap_or_default();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut missing: Vec<&Finding> = stated.iter().collect();
    let mut complaint = String::new();
    for finding in all("findings") {
        let (rule, file) = (text(&finding, "rule"), text(&finding, "file"));
        let line = finding["range"]["start"]["line"].as_u64().unwrap_or(0) as usize;
        let own = files.get(&file).and_then(|text| text.lines().nth(line - 1));
        let at = missing.iter().position(|stated| {
            let there = own.is_some_and(|own| own.contains(&stated.line));
            let severity = text(&finding, "severity");
            let as_severe = stated
                .severity
                .as_ref()
                .is_none_or(|stated| *stated == severity);
            stated.rule == rule && stated.file == file && there && as_severe
        });
        match at {
            Some(at) => drop(missing.remove(at)),
            None => {
                let message = text(&finding, "message");
                let _ = writeln!(complaint, "  not stated: {file}:{line}: {rule}: {message}");
            }
        }
    }
    for note in all("undecided") {
        let (file, message) = (text(&note, "file"), text(&note, "message"));
        let _ = writeln!(complaint, "  undecided: {file}: {message}");
    }
    for stated in missing {
        let _ = writeln!(complaint, "  not reported: {stated:?}");
    }
    (!complaint.is_empty()).then(|| format!("check:\n{complaint}"))
}

/// `trace` says what browsers meet, and goes the stated way.
fn followed(handshake: &Handshake, traced: &Value) -> Option<String> {
    let stated = handshake.status.all();
    let worst = stated
        .iter()
        .find(|status| **status != 101)
        .copied()
        .unwrap_or(101);
    let verdict = match (&handshake.verdict, worst) {
        (Some(verdict), _) => verdict,
        (None, 101) => "opens",
        (None, _) => "fails",
    };
    let status = match verdict {
        "opens" => Value::from(101),
        "fails" => Value::from(worst),
        _ => Value::Null,
    };
    let layers: Vec<&str> = traced["hops"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|hop| hop["layer"].as_str())
        .collect();
    let right =
        traced["verdict"] == verdict && traced["status"] == status && layers == handshake.hops;
    (!right).then(|| {
        format!(
            "should be {verdict} with {status} by way of {:?}",
            handshake.hops
        )
    })
}

/// The machines of a stack.
fn stack(told: &Told, files: &Files) -> Result<Stack, String> {
    let python = installed::python(Some(environment(files)))?;
    let whole = [Machine {
        folder: String::new(),
        names: Vec::new(),
    }];
    let machines = if told.machine.is_empty() {
        whole.as_slice()
    } else {
        told.machine.as_slice()
    };
    let mut stack = Stack {
        certificates: installed::certificates()?,
        ..Stack::default()
    };
    let mut hosts = Vec::new();
    let mut next = Ipv4Addr::new(172, 18, 0, FIRST);
    for machine in machines {
        let mut read = compose::read(files, &machine.folder, &python, next)?;
        for program in &mut read.programs {
            program.name = format!("{}{}", machine.folder, program.name);
        }
        let last = read.programs.iter().map(|program| program.address).max();
        let address = read
            .published
            .first()
            .map_or(next, |(_, address, _)| *address);
        hosts.push((&machine.names, address, read.published));
        next = Ipv4Addr::from(u32::from(last.unwrap_or(next)) + 1);
        stack.programs.extend(read.programs);
        stack.shared.extend(read.shared);
    }
    for program in &mut stack.programs {
        for (names, address, _) in &hosts {
            program
                .names
                .extend(names.iter().map(|name| (name.clone(), *address)));
        }
    }
    for handshake in &told.handshake {
        let url = Url::read(&handshake.url)?;
        let host = hosts.iter().find(|(names, ..)| names.contains(&url.host));
        let (_, address, published) = host.unwrap_or(&hosts[0]);
        let edge = handshake.edge.as_ref();
        let tls = edge.map_or(url.tls, |edge| edge.tls);
        let port = match edge {
            Some(edge) => edge.port.unwrap_or(if tls { 443 } else { 80 }),
            None => url.port,
        };
        let own = published.iter().find(|(on_host, ..)| *on_host == port);
        let (address, port) = own.map_or((*address, port), |(_, address, port)| (*address, *port));
        stack.knocks.push(Knock {
            url: handshake.url.clone(),
            address,
            port,
            tls,
            headers: edge.map_or_else(Vec::new, |edge| edge.headers.clone().into_iter().collect()),
            from: edge.map_or(BROWSER, |edge| edge.from),
            lives: handshake.lives.is_some(),
            silent: handshake.silent,
            times: handshake.times,
            polls: handshake.polls,
        });
    }
    let runs =
        |wanted: fn(&Runs) -> bool| stack.programs.iter().any(|program| wanted(&program.runs));
    if runs(|runs| matches!(runs, Runs::Nginx(_))) {
        installed::nginx()?;
    }
    stack.caddys = if runs(|runs| matches!(runs, Runs::Caddy(_))) {
        vec![
            installed::caddy(CaddyVersion::Debian)?,
            installed::caddy(CaddyVersion::Current)?,
        ]
    } else {
        vec![String::new()]
    };
    Ok(stack)
}

/// The virtual environment that holds what the stack's requirements ask for: with a WebSocket
/// library for uvicorn only where they ask for one.
fn environment(files: &Files) -> &'static str {
    let asks = |name: &str| {
        files
            .iter()
            .filter(|(path, _)| path.contains("requirements"))
            .any(|(_, text)| text.lines().any(|line| line.starts_with(name)))
    };
    let library = ["websockets", "wsproto", "uvicorn[standard]", "daphne"];
    if library.into_iter().any(asks) {
        "django"
    } else {
        "bare"
    }
}

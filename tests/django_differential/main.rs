//! wslint against Python, Django and Channels: random projects, their settings evaluated and
//! their requests answered by both, and no disagreement.
//!
//! Each project has a seed of its own. `WSLINT_SEED` chooses the first one and `WSLINT_CONFIGURATIONS`
//! their number; a disagreement is printed with its seed, cut down to the lines that matter.

mod application;
mod compare;
#[path = "../support/differential.rs"]
mod differential;
mod settings;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde_json::{Value as Json, json};
use wslint::context::Context;
use wslint::django::settings::Role;
use wslint::project::Project;

use application::{Application, Asked, Speaks};
use compare::Fit;
use differential::{Random, on_every_core, seeds, share, tell};

/// Attempts to make a disagreement smaller.
const CUTS: usize = 60;

/// After so many disagreements a worker ends: they have few causes.
const ENOUGH: usize = 4;

/// What was found.
#[derive(Debug, Default)]
struct Found {
    projects: u64,
    /// Projects whose settings Python refuses; a generator that makes many of them tests little.
    refused: u64,
    /// Values where the environment is empty, so that each default is the value.
    values: u64,
    values_unknown: u64,
    /// Values under other environments, of which a default says nothing.
    others: u64,
    others_unknown: u64,
    requests: u64,
    requests_undecided: u64,
    /// Undecided requests that Python's own answer depends on the environment for, or on a file
    /// that is not there: what no reader of the files can decide.
    requests_open: u64,
    opened: u64,
    /// What was undecided, for the person who lowers its number.
    reasons: Vec<String>,
    /// How often each reason left a request undecided that the files decide.
    causes: BTreeMap<String, u64>,
    disagreements: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let trial = libtest_mimic::Trial::test("django_and_wslint_agree", agree);
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn agree() -> Result<(), libtest_mimic::Failed> {
    let seeds = seeds(300);
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let found = on_every_core(1, || -> Result<Found, String> {
        let mut python = Python::start()?;
        let mut found = Found::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || found.disagreements.len() >= ENOUGH {
                return Ok(found);
            }
            one(seed, &mut python, &mut found)?;
        }
    })?;
    let mut all = Found::default();
    for found in found {
        all.projects += found.projects;
        all.refused += found.refused;
        all.values += found.values;
        all.values_unknown += found.values_unknown;
        all.others += found.others;
        all.others_unknown += found.others_unknown;
        all.requests += found.requests;
        all.requests_undecided += found.requests_undecided;
        all.requests_open += found.requests_open;
        all.opened += found.opened;
        all.reasons.extend(found.reasons);
        for (why, times) in found.causes {
            *all.causes.entry(why).or_default() += times;
        }
        all.disagreements.extend(found.disagreements);
    }
    let unknown = share(all.values_unknown, all.values);
    let others = share(all.others_unknown, all.others);
    let undecided = share(all.requests_undecided, all.requests);
    let open = share(all.requests_open, all.requests);
    let missed = share(all.requests_undecided - all.requests_open, all.requests);
    let told = format!(
        "seeds {seeds:?}: {} projects ({} refused by Python), {} values ({unknown:.1} % unknown), \
         {} under environments ({others:.1} % unknown), {} requests ({undecided:.1} % undecided: \
         {open:.1} % for the environment decides, {missed:.1} % though the files do), {} opened, {:.0} s",
        all.projects,
        all.refused,
        all.values,
        all.others,
        all.requests,
        all.opened,
        began.elapsed().as_secs_f64(),
    );
    let mut wrong = Vec::new();
    let causes = all
        .causes
        .iter()
        .map(|(why, times)| format!("{times} times: {why}"));
    all.reasons.extend(causes);
    if unknown >= 8.0 || others >= 25.0 || missed >= 2.0 {
        wrong.push("too much is undecided (WSLINT_REASONS=1 tells what)".to_owned());
    }
    if all.refused * 10 > all.projects {
        wrong.push("Python refuses more than one in ten".to_owned());
    }
    if all.opened * 30 < all.requests {
        wrong.push("hardly any socket opens".to_owned());
    }
    tell(&told, &all.reasons, &all.disagreements, wrong)
}

/// A generated project.
#[derive(Clone)]
struct Generated {
    files: Vec<(String, String)>,
    target: &'static str,
    speaks: Speaks,
    asked: Vec<Asked>,
    /// Whether the settings are classes.
    classes: bool,
    /// What the deployment sets, besides which nothing is set.
    deployed: Option<settings::Environment>,
}

fn generate(seed: u64) -> Generated {
    let mut random = Random::new(seed);
    let (mut files, classes) = settings::files(&mut random);
    let Application {
        files: more,
        target,
        speaks,
    } = application::generate(&mut random, classes);
    files.extend(more);
    Generated {
        files,
        target,
        speaks,
        asked: application::requests(&mut random),
        classes,
        deployed: None,
    }
}

fn one(seed: u64, python: &mut Python, found: &mut Found) -> Result<(), String> {
    let generated = generate(seed);
    found.projects += 1;
    let mut generated = generated;
    let mut what = generated.compare(python, found, seed)?;
    if what.is_none() && seed.is_multiple_of(2) {
        // The same where a compose file says what the environment is.
        let environment = settings::DEPLOYED[(seed / 2) as usize % settings::DEPLOYED.len()];
        generated.deploy(environment);
        what = generated.compare(python, found, seed)?;
    }
    let Some(what) = what else { return Ok(()) };
    let key = what.lines().next().map(str::to_owned);
    let (small, what) = generated.minimised(python, what, key)?;
    found
        .disagreements
        .push(format!("seed {seed}: {what}\n{}", small.text()));
    Ok(())
}

impl Generated {
    /// Lets a compose file set that environment.
    fn deploy(&mut self, environment: settings::Environment) {
        let pairs = environment.iter();
        let set: String = pairs
            .map(|(name, value)| format!("      {name}: \"{value}\"\n"))
            .collect();
        let compose = format!("services:\n  web:\n    build: .\n    environment:\n{set}");
        self.files.push(("compose.yml".to_owned(), compose));
        self.deployed = Some(environment);
    }

    /// The environments that its settings are evaluated in; it answers requests in the first.
    fn environments(&self) -> Vec<settings::Environment> {
        match self.deployed {
            Some(deployed) => vec![deployed],
            None => settings::ENVIRONMENTS.to_vec(),
        }
    }

    /// The first disagreement.
    fn compare(
        &self,
        python: &mut Python,
        found: &mut Found,
        seed: u64,
    ) -> Result<Option<String>, String> {
        let names: Vec<&str> = settings::FREE
            .into_iter()
            .chain(settings::SETTINGS)
            .collect();
        let environments = self.environments();
        let real = python.run(self, &names, &self.asked, &environments)?;
        let files = self
            .files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()));
        let project = Project::in_memory(files).map_err(|error| format!("{error:?}"))?;
        let cx = Context::resolve(&project);
        let of = cx.django.settings.iter().find(|settings| {
            let path = &project.source(settings.source).path;
            let is_it = path == "p/settings.py" || path == "p/settings/__init__.py";
            is_it && (!self.classes || settings.role == Role::Production)
        });
        let Some(of) = of else {
            return Ok(Some("no settings are found".to_owned()));
        };
        for (at, environment) in environments.iter().enumerate() {
            // What the files show of it, a default among it, is the value.
            let told = at == 0;
            let Some(values) = real[at].get("settings") else {
                if at == 0 {
                    found.refused += 1;
                    found
                        .reasons
                        .push(format!("seed {seed} refused: {}", real[at]["fails"]));
                    return Ok(None);
                }
                continue;
            };
            for name in &names {
                let (of_them, unknown) = match told {
                    true => (&mut found.values, &mut found.values_unknown),
                    false => (&mut found.others, &mut found.others_unknown),
                };
                *of_them += 1;
                match compare::setting(of, name, &values[name], told) {
                    Fit::Yes => {}
                    Fit::Unknown => {
                        *unknown += 1;
                        let setting = of.get(name);
                        let possible: Vec<_> = setting
                            .values
                            .iter()
                            .map(|value| match &value.data {
                                wslint::django::data::Data::Unknown(why) => why.to_string(),
                                _ => project
                                    .slice(value.span)
                                    .lines()
                                    .next()
                                    .unwrap_or_default()
                                    .to_owned(),
                            })
                            .collect();
                        found
                            .reasons
                            .push(format!("value {name} ({at}): {}", possible.join(" | ")));
                    }
                    Fit::No => {
                        return Ok(Some(format!(
                            "{name} under {environment:?}\n  Python has {}\n  wslint has {:?}",
                            values[name],
                            of.get(name)
                                .values
                                .iter()
                                .map(|value| &value.data)
                                .collect::<Vec<_>>()
                        )));
                    }
                }
            }
        }
        let answers = real[environments.len()]["answers"].as_array();
        let mut undecided = Vec::new();
        for (asked, answer) in self.asked.iter().zip(answers.into_iter().flatten()) {
            found.requests += 1;
            let status = answer[0].as_u64();
            if status == Some(101) {
                found.opened += 1;
            }
            match compare::expected(&cx, asked) {
                Err(why) => {
                    undecided.push((*asked, answer, why));
                }
                // Where no status is decided the socket still does not open.
                Ok(None) if status != Some(101) => {}
                Ok(Some(expected)) if status == Some(expected.into()) => {}
                Ok(expected) => {
                    return Ok(Some(format!(
                        "{} {} from {} as {}: the server answers {answer}, wslint expects {expected:?}",
                        asked.path,
                        asked.forwarded.unwrap_or(""),
                        asked.host,
                        self.speaks.name(),
                    )));
                }
            }
        }
        self.classify(python, found, seed, &undecided)?;
        Ok(None)
    }

    /// Counts the undecided requests, and those of them that something outside the files decides:
    /// the answer is another one under another environment, or with a module that is not there.
    fn classify(
        &self,
        python: &mut Python,
        found: &mut Found,
        seed: u64,
        undecided: &[(Asked, &Json, String)],
    ) -> Result<(), String> {
        found.requests_undecided += undecided.len() as u64;
        let mut left: Vec<_> = undecided.iter().collect();
        let has = |part: &str| self.files.iter().any(|(path, _)| path.ends_with(part));
        let imports = |part: &str| self.files.iter().any(|(_, text)| text.contains(part));
        let absent = imports("from .extra import *") && !has("/extra.py");
        // What `setup()` of a class of settings does is not followed.
        if absent || imports("import no_such_module") || imports("def setup(cls)") {
            left.clear();
        }
        // What `getattr` finds in a module outside the project is not looked up.
        if imports("ALLOWED_HOSTS = getattr(") {
            left.retain(|(_, _, why)| !why.contains("ALLOWED_HOSTS") && !why.contains("origins"));
        }
        for environment in settings::UNKNOWN {
            if left.is_empty() {
                break;
            }
            let asked: Vec<_> = left.iter().map(|(asked, ..)| *asked).collect();
            let environment = [self.deployed.unwrap_or_default(), environment].concat();
            let real = python.run(self, &[], &asked, &[&environment])?;
            let answers = real.get(1).and_then(|real| real["answers"].as_array());
            let mut answers = answers.into_iter().flatten();
            left.retain(|(_, answer, _)| answers.next().is_none_or(|other| other[0] == answer[0]));
        }
        found.requests_open += (undecided.len() - left.len()) as u64;
        if !left.is_empty() {
            found.reasons.push(format!("seed {seed}:\n{}", self.text()));
        }
        for (asked, answer, why) in left {
            *found.causes.entry(why.clone()).or_default() += 1;
            let speaks = self.speaks.name();
            found.reasons.push(format!(
                "seed {seed}, request {asked:?} as {speaks}, answered {answer}: {why}"
            ));
        }
        Ok(())
    }

    /// The same disagreement with fewer lines.
    fn minimised(
        mut self,
        python: &mut Python,
        mut what: String,
        key: Option<String>,
    ) -> Result<(Self, String), String> {
        let key = key.unwrap_or_default();
        let mut cuts = 0;
        for file in 0..self.files.len() {
            if ["manage.py", "Procfile", "requirements.txt", "p/wsgi.py"]
                .contains(&self.files[file].0.as_str())
            {
                continue;
            }
            let mut at = 0;
            // Blocks first, then lines.
            for size in [8, 3, 1] {
                while cuts < CUTS {
                    let lines: Vec<&str> = self.files[file].1.lines().collect();
                    if at + size > lines.len() {
                        break;
                    }
                    let mut smaller = self.clone();
                    let kept: Vec<&str> = lines[..at]
                        .iter()
                        .chain(&lines[at + size..])
                        .copied()
                        .collect();
                    smaller.files[file].1 = kept.join("\n") + "\n";
                    cuts += 1;
                    match smaller.compare(python, &mut Found::default(), 0)? {
                        Some(still) if still.lines().next() == Some(&key) => {
                            self = smaller;
                            what = still;
                        }
                        _ => at += size,
                    }
                }
                at = 0;
            }
        }
        Ok((self, what))
    }

    fn text(&self) -> String {
        // The same in every project.
        let known = [
            "requirements.txt",
            "manage.py",
            "p/wsgi.py",
            "p/consumers.py",
        ];
        let shown = self
            .files
            .iter()
            .filter(|(path, text)| !text.trim().is_empty() && !known.contains(&path.as_str()));
        shown
            .map(|(path, text)| format!("--- {path}\n{text}"))
            .collect()
    }
}

/// The process that answers for Python.
struct Python {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
    run: u64,
}

impl Python {
    fn start() -> Result<Self, String> {
        let servers = std::env::var_os("WSLINT_SERVERS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers"),
            PathBuf::from,
        );
        let python = servers.join("settings/bin/python");
        let failed = |error: std::io::Error| format!("{} (tests/run): {error}", python.display());
        let mut child = Command::new(&python)
            .arg("-I")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/django_differential/driver.py"))
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no pipes".to_owned());
        };
        Ok(Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
            folder: tempfile::tempdir().map_err(|error| error.to_string())?,
            run: 0,
        })
    }

    /// The values of `names` under each environment, then the answers to the requests under the
    /// first of them.
    fn run(
        &mut self,
        generated: &Generated,
        names: &[&str],
        asked: &[Asked],
        environments: &[&[(&str, &str)]],
    ) -> Result<Vec<Json>, String> {
        self.run += 1;
        let folder = self.folder.path().join(self.run.to_string());
        let failed = |error: std::io::Error| error.to_string();
        for (path, text) in &generated.files {
            let full = folder.join(path);
            fs::create_dir_all(full.parent().unwrap_or(&folder)).map_err(failed)?;
            fs::write(full, text).map_err(failed)?;
        }
        let requests = asked.iter().map(|asked| {
            let mut headers = vec![
                ("Upgrade", "websocket".to_owned()),
                ("Connection", "Upgrade".to_owned()),
                ("Origin", format!("http://{}", asked.host)),
                ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==".to_owned()),
                ("Sec-WebSocket-Version", "13".to_owned()),
            ];
            headers.extend(
                asked
                    .forwarded
                    .map(|value| ("X-Forwarded-Proto", value.to_owned())),
            );
            json!({"path": asked.path, "host": asked.host, "headers": headers})
        });
        let environments: Vec<Json> = environments
            .iter()
            .map(|environment| {
                let pairs = environment.iter();
                let pairs = pairs.map(|(name, value)| ((*name).to_owned(), json!(value)));
                Json::Object(pairs.collect())
            })
            .collect();
        let task = json!({
            "folder": folder,
            "settings": "p.settings",
            "configuration": generated.classes.then_some(settings::CONFIGURATION),
            "names": names,
            "environments": environments,
            "requests": requests.collect::<Vec<_>>(),
            "target": generated.target,
            "speaks": generated.speaks.name(),
        });
        writeln!(self.stdin, "{task}").map_err(failed)?;
        let mut line = String::new();
        self.stdout.read_line(&mut line).map_err(failed)?;
        fs::remove_dir_all(&folder).map_err(failed)?;
        serde_json::from_str(&line).map_err(|error| format!("the driver says {line:?}: {error}"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

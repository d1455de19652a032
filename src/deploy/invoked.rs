//! Which compose files are used together and which profiles are started, as those say who start
//! them: `docker compose -f a -f b --profile c` in a script, a unit or a Makefile, or COMPOSE_FILE and
//! COMPOSE_PROFILES in an environment file
//! (docs.docker.com/compose/how-tos/environment-variables/envvars/).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{is_compose, outward};
use crate::project::{Project, join};
use crate::source::{Kind, Source};

/// Files, or profiles, of one command.
const MAX_NAMED: usize = 16;

/// What the commands of a project name.
#[derive(Default)]
pub(super) struct Invoked {
    /// The files of each command that names several, in its order, as indices of `by_path`.
    pub(super) chains: BTreeSet<Vec<usize>>,
    /// The profiles that are started, by the folders of the compose files.
    pub(super) profiles: BTreeMap<String, BTreeSet<String>>,
}

impl Invoked {
    /// Reads the commands of `project`, whose compose files are at these paths.
    pub(super) fn read(project: &Project, by_path: &HashMap<&str, usize>) -> Self {
        let mut invoked = Self::default();
        if by_path.is_empty() {
            return invoked;
        }
        let folders: BTreeSet<&str> = by_path
            .keys()
            .map(|path| path.rsplit_once('/').map_or("", |(folder, _)| folder))
            .collect();
        let commands = project.of_kind(Kind::Command);
        for source in commands.chain(project.of_kind(Kind::Tasks)) {
            if !source.text.contains("compose") && !source.text.contains("COMPOSE_") {
                continue;
            }
            if is_compose(source) {
                continue;
            }
            for line in lines(&source.text) {
                let Some(named) = named(&line) else {
                    continue;
                };
                let found: Option<Vec<usize>> = named
                    .files
                    .iter()
                    .map(|path| find(source, path, by_path))
                    .collect();
                // Where one of them is not here, nobody knows what it says.
                invoked.chains.extend(found.filter(|found| found.len() > 1));
                if !named.profiles.is_empty()
                    && let Some(folder) =
                        outward(source.folder()).find(|folder| folders.contains(folder))
                {
                    let known = invoked.profiles.entry(folder.to_owned()).or_default();
                    known.extend(named.profiles.into_iter().map(str::to_owned));
                }
            }
        }
        invoked
    }

    /// Whether one of these profiles is started with the compose files of `folder`.
    pub(super) fn starts(&self, folder: &str, profiles: &[&str]) -> bool {
        let known = self.profiles.get(folder);
        known.is_some_and(|known| {
            known.contains("*") || profiles.iter().any(|profile| known.contains(*profile))
        })
    }
}

/// What one line names.
#[derive(Default)]
struct Named<'t> {
    files: Vec<&'t str>,
    profiles: Vec<&'t str>,
}

/// Whether a file lists what developers start.
pub(super) fn is_task_list(source: &Source) -> bool {
    let name = source.name().to_ascii_lowercase();
    matches!(
        name.as_str(),
        "makefile" | "gnumakefile" | "justfile" | ".justfile"
    ) || name.ends_with(".mk")
}

/// The lines, each with those that a backslash adds.
pub(super) fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines().map(str::trim) {
        let (line, goes_on) = match line.strip_suffix('\\') {
            Some(line) => (line, true),
            None => (line, false),
        };
        match lines.last_mut() {
            Some(last) if open => last.extend([" ", line]),
            _ => lines.push(line.to_owned()),
        }
        open = goes_on;
    }
    lines
}

/// The compose files and profiles that a line names.
fn named(line: &str) -> Option<Named<'_>> {
    if line.starts_with('#') {
        return None;
    }
    let assigned = |name: &str, separator: char| -> Option<Vec<&str>> {
        let line = line.trim_start_matches("export ").trim_start();
        // A unit's `Environment=`, and a Makefile's spaces.
        let line = line.strip_prefix("Environment=").unwrap_or(line);
        let value = line.trim_start_matches(['"', '\'']).strip_prefix(name)?;
        let value = value
            .trim_start_matches([' ', ':', '?'])
            .strip_prefix('=')?;
        let value = value.split('#').next().unwrap_or_default().trim();
        let values = value.trim_matches(['"', '\'']).split(separator);
        Some(values.map(str::trim).take(MAX_NAMED).collect())
    };
    if let Some(files) = assigned("COMPOSE_FILE", ':') {
        let profiles = Vec::new();
        return Some(Named { files, profiles });
    }
    if let Some(profiles) = assigned("COMPOSE_PROFILES", ',') {
        let files = Vec::new();
        return Some(Named { files, profiles });
    }
    let at = ["docker compose ", "docker-compose "]
        .iter()
        .find_map(|name| Some(line.find(name)? + name.len()))?;
    let mut words = line[at..]
        .split_whitespace()
        .map(|word| word.trim_matches(['"', '\'']));
    let mut named = Named::default();
    while let Some(word) = words.next() {
        match word {
            "-f" | "--file" => named.files.push(words.next()?),
            "--profile" => named.profiles.push(words.next()?),
            _ => {
                named.files.extend(word.strip_prefix("--file="));
                named.profiles.extend(word.strip_prefix("--profile="));
            }
        }
        if named.files.len().max(named.profiles.len()) > MAX_NAMED {
            return None;
        }
    }
    Some(named)
}

/// The file of `path`, as seen from one of these folders.
fn find(source: &Source, path: &str, by_path: &HashMap<&str, usize>) -> Option<usize> {
    let mut folders = outward(source.folder());
    folders.find_map(|folder| by_path.get(join(folder, path)?.as_str()).copied())
}

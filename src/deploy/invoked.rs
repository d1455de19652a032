//! Which compose files are used together, as those say who start them: `docker compose -f a -f b`
//! in a script or a unit, or COMPOSE_FILE in an environment file
//! (docs.docker.com/compose/how-tos/environment-variables/envvars/#compose_file).

use std::collections::{BTreeSet, HashMap};

use super::is_compose;
use crate::project::{Project, join};
use crate::source::{Kind, Source};

/// Files of one command.
const MAX_FILES: usize = 16;

/// The files of each command that names several, in its order, as indices of `by_path`.
pub(super) fn chains(project: &Project, by_path: &HashMap<&str, usize>) -> BTreeSet<Vec<usize>> {
    let mut chains = BTreeSet::new();
    if by_path.len() < 2 {
        return chains;
    }
    for source in project.of_kind(Kind::Command) {
        if !source.text.contains("compose") && !source.text.contains("COMPOSE_FILE") {
            continue;
        }
        if is_compose(source) {
            continue;
        }
        for named in lines(&source.text).iter().filter_map(|line| named(line)) {
            let found: Option<Vec<usize>> = named
                .iter()
                .map(|path| find(source, path, by_path))
                .collect();
            // Where one of them is not here, nobody knows what it says.
            chains.extend(found.filter(|found| found.len() > 1));
        }
    }
    chains
}

/// The lines, each with those that a backslash adds.
fn lines(text: &str) -> Vec<String> {
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

/// The compose files that a line names.
fn named(line: &str) -> Option<Vec<&str>> {
    if line.starts_with('#') {
        return None;
    }
    let assigned = line
        .trim_start_matches("export ")
        .trim_start()
        .strip_prefix("COMPOSE_FILE=");
    if let Some(value) = assigned {
        let value = value.split('#').next().unwrap_or_default().trim();
        let files = value.trim_matches(['"', '\'']).split(':');
        return Some(files.take(MAX_FILES).collect());
    }
    let at = ["docker compose ", "docker-compose "]
        .iter()
        .find_map(|name| Some(line.find(name)? + name.len()))?;
    let mut words = line[at..]
        .split_whitespace()
        .map(|word| word.trim_matches(['"', '\'']));
    let mut files = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "-f" | "--file" => files.push(words.next()?),
            _ => files.extend(word.strip_prefix("--file=")),
        }
        if files.len() > MAX_FILES {
            return None;
        }
    }
    Some(files)
}

/// The file of `path`, as seen from the folder of `source` or one around it, where commands are run.
fn find(source: &Source, path: &str, by_path: &HashMap<&str, usize>) -> Option<usize> {
    let mut folder = source.folder();
    loop {
        let found = join(folder, path).and_then(|path| by_path.get(path.as_str()).copied());
        if found.is_some() || folder.is_empty() {
            return found;
        }
        folder = folder.rsplit_once('/').map_or("", |(outer, _)| outer);
    }
}

//! Dockerfiles: the last stage's base, and what its COPY and ADD lines bring.

use std::collections::HashMap;

use super::{Base, Container, Mount, alters, exists, is_configuration, removes, substitute};
use crate::finding::Undecided;
use crate::project::{Project, join};
use crate::source::{Source, Span};

/// Stages that build upon each other.
const MAX_STAGES: usize = 32;

/// An instruction: its name in capitals, and the rest of its lines.
struct Instruction {
    name: String,
    /// Its name as it is written.
    written: String,
    rest: String,
}

/// A stage of a build.
#[derive(Default)]
struct Stage {
    base: String,
    /// The same as it is written.
    written: String,
    name: String,
    instructions: Vec<Instruction>,
}

/// The stages of a Dockerfile.
fn stages(text: &str) -> Vec<Stage> {
    let mut arguments: HashMap<String, String> = HashMap::new();
    let mut stages: Vec<Stage> = Vec::new();
    for instruction in instructions(text) {
        let mut words = instruction
            .rest
            .split_whitespace()
            .filter(|word| !word.starts_with("--"));
        match instruction.name.as_str() {
            "FROM" => {
                let written = words.next().unwrap_or_default();
                let base = substitute(written, &|name| arguments.get(name).cloned());
                let name = words.nth(1).unwrap_or_default().to_ascii_lowercase();
                stages.push(Stage {
                    base,
                    written: written.to_owned(),
                    name,
                    instructions: Vec::new(),
                });
            }
            "ARG" if stages.is_empty() => {
                if let Some((name, value)) = instruction.rest.split_once('=') {
                    arguments.insert(
                        name.trim().to_owned(),
                        value.trim().trim_matches('"').to_owned(),
                    );
                }
            }
            _ => {
                if let Some(stage) = stages.last_mut() {
                    stage.instructions.push(instruction);
                }
            }
        }
    }
    stages
}

/// The instructions, each with the lines that a backslash or a here-document adds.
fn instructions(text: &str) -> Vec<Instruction> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut whole = line.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            match lines
                .by_ref()
                .map(str::trim)
                .find(|line| !line.starts_with('#'))
            {
                Some(line) => {
                    whole.push(' ');
                    whole.push_str(line);
                }
                None => break,
            }
        }
        if let Some((_, mark)) = whole.split_once("<<") {
            let mark: String = mark
                .trim_start_matches(['-', '"', '\''])
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if !mark.is_empty() {
                for line in lines.by_ref().take_while(|line| line.trim() != mark) {
                    whole.push('\n');
                    whole.push_str(line);
                }
            }
        }
        let (name, rest) = whole
            .split_once(char::is_whitespace)
            .unwrap_or((&whole, ""));
        found.push(Instruction {
            name: name.to_ascii_uppercase(),
            written: name.chars().take(40).collect(),
            rest: rest.trim().to_owned(),
        });
    }
    found
}

/// What an image is built with (docs.docker.com/reference/dockerfile).
const INSTRUCTIONS: &[&str] = &[
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What nobody can build of it.
pub(super) fn undecided(source: &Source) -> Option<Undecided> {
    // What a template or podman's preprocessor replaces is no instruction either.
    let text = &source.text;
    let is_expression = |line: &str| {
        line.split_once("{{")
            .is_some_and(|(_, rest)| rest.contains("}}"))
    };
    let is_template = text.lines().any(is_expression)
        || ["{%", "<%", "#include"]
            .iter()
            .any(|mark| text.contains(mark));
    if text.trim().is_empty() || is_template {
        return None;
    }
    let instructions = instructions(text);
    let known = |one: &&Instruction| INSTRUCTIONS.contains(&one.name.as_str());
    let message = match instructions.iter().find(|one| !known(one)) {
        Some(unknown) => format!(
            "`{}` is no instruction of a Dockerfile: what it builds is not known",
            unknown.written
        ),
        None if !instructions.iter().any(|one| one.name == "FROM") => {
            "a Dockerfile without `FROM`: what it builds is not known".to_owned()
        }
        None => return None,
    };
    Some(Undecided {
        span: Span::new(source.id, 0..0),
        message,
        alike: None,
    })
}

/// Sources and destination of a COPY or ADD; the sources are `None` if they are not the project's.
fn copied(rest: &str) -> (Option<Vec<String>>, String) {
    let foreign = rest
        .split_whitespace()
        .any(|word| word.starts_with("--from"))
        || rest.contains("<<");
    let rest = rest.split('\n').next().unwrap_or(rest);
    let mut words: Vec<String> = if rest.contains('[') {
        let list = rest.split_once('[').map_or("", |(_, list)| list);
        list.trim_end()
            .trim_end_matches(']')
            .split(',')
            .map(|word| word.trim().trim_matches('"').to_owned())
            .collect()
    } else {
        let words = rest
            .split_whitespace()
            .filter(|word| !word.starts_with("--"));
        words
            .map(|word| word.trim_matches(['"', '\'']).to_owned())
            .collect()
    };
    let to = words.pop().unwrap_or_default();
    let foreign = foreign
        || words
            .iter()
            .any(|word| word.contains("://") || word.contains('$'));
    ((!foreign).then_some(words), to)
}

/// What the COPY and ADD lines of `source` bring, and where.
pub(super) fn pairs(source: &Source) -> Vec<(String, String)> {
    let stages = stages(&source.text);
    let instructions = stages.iter().flat_map(|stage| &stage.instructions);
    instructions
        .filter(|instruction| matches!(instruction.name.as_str(), "COPY" | "ADD"))
        .flat_map(|instruction| {
            let (from, to) = copied(&instruction.rest);
            let from = from.unwrap_or_default();
            let to = if from.len() == 1 { to } else { String::new() };
            from.into_iter().map(move |from| (from, to.clone()))
        })
        .collect()
}

/// The container that `source` builds: its stage `target`, or the last one. `context` is the
/// folder that its sources are relative to, where that is known.
pub(super) fn container(
    project: &Project,
    source: &Source,
    context: Option<&str>,
    target: Option<&str>,
) -> Option<Container> {
    let stages = stages(&source.text);
    let mut at = match target {
        Some(target) => stages
            .iter()
            .position(|stage| stage.name.eq_ignore_ascii_case(target))?,
        None => stages.len().checked_sub(1)?,
    };
    let mut chain = vec![&stages[at]];
    while let Some(base) = stages[..at].iter().position(|stage| {
        !stage.name.is_empty() && stage.name.eq_ignore_ascii_case(&stages[at].base)
    }) {
        at = base;
        chain.push(&stages[at]);
        if chain.len() > MAX_STAGES {
            return None;
        }
    }
    let mut container = Container::of_image(&stages[at].written, &stages[at].base);
    container.dockerfile = Some(source.id);
    container.environment.read_in(source.id);
    let mut folder = "/".to_owned();
    let mut links = false;
    for instruction in chain.iter().rev().flat_map(|stage| &stage.instructions) {
        let rest = &instruction.rest;
        match instruction.name.as_str() {
            "WORKDIR" if rest.starts_with('/') => folder.clone_from(rest),
            "WORKDIR" => folder = format!("{folder}/{rest}"),
            "COPY" | "ADD" => copy(project, source, context, rest, &folder, &mut container),
            "RUN" => {
                container.altered |= alters(rest);
                container.removed |= removes(rest);
                links |= rest.contains("ln ") && rest.contains("sites-enabled");
                if container.base == Base::Other && installs(rest) {
                    container.base = Base::Debian;
                }
            }
            "CMD" | "ENTRYPOINT" => {
                container.altered |= alters(rest);
                container.removed |= removes(rest);
                container.note_command(rest);
                container.starts.push(rest.clone());
            }
            "ENV" => container.environment.dockerfile(source, rest),
            _ => {}
        }
    }
    if links {
        let linked: Vec<Mount> = container
            .mounts
            .iter()
            .filter(|mount| mount.to.starts_with("/etc/nginx/sites-available"))
            .map(|mount| Mount {
                to: mount.to.replace("sites-available", "sites-enabled"),
                ..mount.clone()
            })
            .collect();
        container.mounts.extend(linked);
    }
    Some(container)
}

/// Whether a command installs Debian's nginx.
fn installs(script: &str) -> bool {
    script.contains("apt")
        && script
            .split(|c: char| c.is_whitespace() || matches!(c, '=' | ';' | '&'))
            .any(|word| {
                matches!(
                    word,
                    "nginx" | "nginx-full" | "nginx-light" | "nginx-extras" | "nginx-core"
                )
            })
}

fn copy(
    project: &Project,
    source: &Source,
    context: Option<&str>,
    rest: &str,
    folder: &str,
    container: &mut Container,
) {
    /// Folders that every nginx has, into which a file is copied under its own name.
    const FOLDERS: &[&str] = &[
        "/etc/nginx",
        "/etc/nginx/conf.d",
        "/etc/nginx/templates",
        "/etc/nginx/sites-enabled",
        "/etc/nginx/sites-available",
    ];
    let (sources, to) = copied(rest);
    let mut to = if to.starts_with(['/', '$']) {
        to
    } else {
        let slash = if to.ends_with('/') || to == "." {
            "/"
        } else {
            ""
        };
        format!("/{}{slash}", join(folder, &to).unwrap_or_default())
    };
    let Some(sources) = sources else {
        container.altered |= is_configuration(&to);
        return;
    };
    if (FOLDERS.contains(&to.as_str()) || sources.len() > 1) && !to.ends_with('/') {
        to.push('/');
    }
    for from in &sources {
        let found = match context {
            Some(context) => join(context, from).filter(|path| exists(project, path)),
            // Who builds it says what the sources are relative to: most often one of these.
            None => {
                let mut folders = vec![source.folder()];
                while let Some(last) = folders.last()
                    && !last.is_empty()
                {
                    folders.push(last.rsplit_once('/').map_or("", |(outer, _)| outer));
                }
                let mut found = folders.into_iter().filter_map(|folder| join(folder, from));
                found.find(|path| exists(project, path))
            }
        };
        container.altered |= (found.is_none() && is_configuration(&to)) || to.starts_with('$');
        container.mounts.push(Mount {
            from: found,
            to: to.clone(),
            hides: false,
        });
    }
}

//! Which packages are installed: requirements files, `pyproject.toml`, `setup.cfg`, lock files.
//!
//! Only what decides over a handshake is looked for: Django, Channels, the servers, and the
//! libraries that teach uvicorn WebSockets.

use super::evaluate::is_development;
use super::servers;
use crate::project::{Project, Version};
use crate::source::{Kind, Source, Span};

/// Packages that we look for.
const PACKAGES: &[&str] = &[
    "django",
    "channels",
    "uvicorn",
    // conda's name for uvicorn[standard].
    "uvicorn-standard",
    "websockets",
    "wsproto",
    "daphne",
    "hypercorn",
    "gunicorn",
    "uvicorn-worker",
    "h11",
    "click",
    // What brings `websockets` or `wsproto` along.
    "deepgram-sdk",
    "elevenlabs",
    "fastapi",
    "flask-sock",
    "google-genai",
    "gradio",
    "gradio-client",
    "python-binance",
    "python-engineio",
    "python-socketio",
    "realtime",
    "sanic",
    "selenium",
    "simple-websocket",
    "supabase",
    "trio-websocket",
    "web3",
];

/// Packages that install one of the libraries by themselves, and those that do so through their
/// extra `standard`.
const BRINGS: &[&str] = &[
    "uvicorn-standard",
    "websockets",
    "wsproto",
    "hypercorn",
    "deepgram-sdk",
    "elevenlabs",
    "flask-sock",
    "google-genai",
    "gradio",
    "gradio-client",
    "python-binance",
    "python-engineio",
    "python-socketio",
    "realtime",
    "sanic",
    // Version 4 asks for trio-websocket.
    "selenium",
    "simple-websocket",
    "supabase",
    "trio-websocket",
    "web3",
];
const BRINGS_WITH_EXTRA: &[&str] = &["uvicorn", "fastapi"];

/// A package that a file asks for.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name, lower case.
    pub name: &'static str,
    /// Whether it asks for the extra `standard`.
    pub standard: bool,
    /// The version: pinned, or the lowest that is allowed.
    pub version: Option<Version>,
    /// Where.
    pub span: Span,
    /// Whether its file lists everything that gets installed.
    pub complete: bool,
    /// Whether production installs it, as far as the file's name and section say.
    pub production: bool,
}

/// All packages that the project's files ask for.
#[derive(Clone, Debug, Default)]
pub struct Requirements {
    /// In the order of files and lines.
    pub packages: Vec<Package>,
    /// The folders of files (also a Dockerfile, a script) that ask for a WebSocket library.
    pub(super) libraries: Vec<String>,
    /// The folders of files that may install one, and that nobody has read.
    pub(super) unread: Vec<String>,
}

/// Files that say what is installed, in a way that we don't read.
const UNREAD: &[&str] = &[
    "setup.py",
    "conda.yml",
    "conda.yaml",
    "pixi.toml",
    "flake.nix",
    "default.nix",
    "shell.nix",
];

/// Whether uvicorn finds a library that speaks WebSockets.
#[derive(Clone, Debug)]
pub enum Library<'a> {
    /// One is there.
    There,
    /// None is: a complete list shows uvicorn without one.
    Missing(&'a Package),
    /// Nobody asks for one, but the list is not complete.
    NotAsked(&'a Package),
    /// Nothing says what is installed.
    Unknown,
}

impl Requirements {
    /// Reads all requirement files.
    pub fn read(project: &Project) -> Self {
        let unread: Vec<String> = project
            .files
            .iter()
            .filter_map(|path| {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                UNREAD.contains(&name).then(|| folder.to_owned())
            })
            .chain(
                project
                    .of_kind(Kind::Requirements)
                    .filter(|source| includes_unread(project, source))
                    .map(|source| source.folder().to_owned()),
            )
            .collect();
        let mut packages = Vec::new();
        let mut libraries = Vec::new();
        // That of JavaScript is read for its scripts alone.
        let of_python = project
            .of_kind(Kind::Requirements)
            .filter(|source| source.name() != "package.json");
        for source in of_python {
            let mut found = scan(source);
            // A lock file knows what the files behind it ask for; a list of pins may not.
            let complete = is_lock(source) || (unread.is_empty() && is_frozen(source, &found));
            let production = !found.is_empty() && is_for_production(project, source);
            for package in &mut found {
                package.complete = complete;
                package.production &= production;
            }
            if found.iter().any(Package::brings_library) {
                libraries.push(source.folder().to_owned());
            }
            packages.extend(found);
        }
        libraries.extend(
            project
                .of_kind(Kind::Command)
                .filter(|source| {
                    ["websockets", "wsproto", "uvicorn[standard]"]
                        .iter()
                        .any(|name| source.text.contains(name))
                })
                .map(|source| source.folder().to_owned()),
        );
        Self {
            packages,
            libraries,
            unread,
        }
    }

    /// The version of a package: the lowest that some file allows.
    pub fn version(&self, name: &str) -> Option<Version> {
        self.packages
            .iter()
            .filter(|package| package.name == name)
            .filter_map(|package| package.version)
            .min()
    }

    /// Whether uvicorn speaks WebSockets (uvicorn/protocols/websockets/auto.py tries `websockets`,
    /// then `wsproto`; neither is a dependency of uvicorn, Channels, gunicorn or uvicorn-worker).
    pub fn websocket_library(&self) -> Library<'_> {
        if !self.libraries.is_empty() {
            return Library::There;
        }
        let uvicorn = || {
            self.packages.iter().filter(|package| {
                package.production && matches!(package.name, "uvicorn" | "uvicorn-worker")
            })
        };
        match (uvicorn().find(|package| package.complete), uvicorn().next()) {
            (Some(package), _) => Library::Missing(package),
            (None, Some(package)) if self.unread.is_empty() => Library::NotAsked(package),
            _ => Library::Unknown,
        }
    }
}

impl Package {
    fn brings_library(&self) -> bool {
        BRINGS.contains(&self.name) || (self.standard && BRINGS_WITH_EXTRA.contains(&self.name))
    }
}

/// Whether production installs what the file lists: not where its name speaks of another purpose,
/// unless what starts production names it.
fn is_for_production(project: &Project, source: &Source) -> bool {
    let name = source.name();
    let folder = source.folder().rsplit('/').next().unwrap_or_default();
    let other = |name: &str| {
        is_development(name)
            || name
                .to_ascii_lowercase()
                .split(['_', '-', '.'])
                .any(|word| {
                    matches!(
                        word,
                        "doc" | "docs" | "lint" | "linting" | "typing" | "mypy" | "tools" | "bench"
                    )
                })
    };
    if !(other(name) || other(folder)) {
        return true;
    }
    let named = format!("{folder}/{name}");
    project
        .of_kind(Kind::Command)
        .filter(|file| !servers::is_for_development(file))
        .any(|file| {
            file.text.contains(&named)
                || (name.contains("requirements") && file.text.contains(name))
        })
}

/// Whether the file includes another (`-r`) that was not read.
fn includes_unread(project: &Project, source: &Source) -> bool {
    source.text.lines().any(|line| {
        let line = line.trim_start();
        let Some(path) = line
            .strip_prefix("-r")
            .or_else(|| line.strip_prefix("--requirement"))
        else {
            return false;
        };
        let path = path.trim_start_matches([' ', '\t', '=']);
        let path = path.split_whitespace().next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        !name.is_empty()
            && !project
                .of_kind(Kind::Requirements)
                .any(|other| other.name() == name)
    })
}

/// The section of a file that has any, where a requirement counts for production; other sections
/// are for developers, or optional.
fn production_section(file: &str) -> Option<&'static [&'static str]> {
    match file {
        "pyproject.toml" => Some(&["project", "tool.poetry.dependencies"]),
        "pipfile" => Some(&["packages"]),
        "setup.cfg" => Some(&["options"]),
        _ => None,
    }
}

fn scan(source: &Source) -> Vec<Package> {
    let name = source.name().to_ascii_lowercase();
    let toml_lock = name.ends_with(".lock") && name != "pipfile.lock";
    let yaml = name.ends_with(".yml") || name.ends_with(".yaml");
    let sections = production_section(&name);
    let mut production = sections.is_none();
    let mut found: Vec<Package> = Vec::new();
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let here = start;
        start += line.len();
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if trimmed.starts_with('#') || trimmed.starts_with("--hash") {
            continue;
        }
        if toml_lock {
            if let Some(name) = trimmed.strip_prefix("name = \"") {
                let name = name.split('"').next().unwrap_or_default();
                let from = here + indent + "name = \"".len();
                found.extend(package(source, name, "", from));
            } else if let Some(rest) = trimmed.strip_prefix("version = \"")
                && let Some(last) = found.last_mut()
                && last.version.is_none()
                && last.span.end as usize + 16 > here
            {
                last.version = version(rest);
            }
            continue;
        }
        if let Some(sections) = sections
            && let Some(section) = trimmed.trim_end().strip_prefix('[')
            && let Some(section) = section.strip_suffix(']')
            && !section.contains(['"', '\'', ','])
        {
            production = sections.contains(&section.trim());
            continue;
        }
        if name == "pipfile.lock" && trimmed.starts_with("\"develop\"") {
            production = false;
        }
        let known = found.len();
        let (indent, trimmed) = match trimmed.strip_prefix("- ") {
            Some(item) if yaml => (line.len() - item.len(), item),
            None if yaml => continue,
            _ => (indent, trimmed),
        };
        // A requirement stands at the start of a line, or first in quotes.
        let quoted = name != "requirements.txt" && trimmed.starts_with(['"', '\''])
            || trimmed.contains("[\"")
            || trimmed.contains("['");
        if quoted {
            let mut at = here;
            for (index, part) in line.split(['"', '\'']).enumerate() {
                if index % 2 == 1 {
                    found.extend(requirement(source, part, at, line));
                }
                at += part.len() + 1;
            }
        }
        if !trimmed.starts_with(['"', '\'']) {
            found.extend(requirement(source, trimmed, here + indent, line));
        }
        for package in &mut found[known..] {
            package.production = production;
        }
    }
    found
}

/// `uvicorn[standard]>=0.30; python_version > "3"`, `uvicorn = {extras = ["standard"]}`.
fn requirement(source: &Source, text: &str, at: usize, line: &str) -> Option<Package> {
    let length = text
        .find(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.')))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(length);
    let rest = rest.trim_start();
    if !(rest.is_empty()
        || rest.starts_with([
            '[', '=', '>', '<', '~', '!', ';', '#', '@', '\\', ',', '"', ':', '(',
        ]))
    {
        return None;
    }
    package(
        source,
        name,
        &line[line.len().min(line.find(name).unwrap_or(0))..],
        at,
    )
}

fn package(source: &Source, name: &str, rest: &str, at: usize) -> Option<Package> {
    let lower = name.to_ascii_lowercase().replace('_', "-");
    let known = PACKAGES.iter().find(|known| **known == lower)?;
    Some(Package {
        name: known,
        standard: rest.contains("[standard")
            || rest.contains("\"standard\"")
            || rest.contains("'standard'"),
        version: rest
            .find(|char: char| char.is_ascii_digit())
            .filter(|_| !rest.contains("<") || rest.contains(['>', '=']))
            .and_then(|at| version(&rest[at..])),
        span: Span::new(source.id, at..at + name.len()),
        complete: false,
        production: true,
    })
}

/// `5.2.1` at the start of `text`.
fn version(text: &str) -> Option<Version> {
    let mut version = [0; 3];
    let end = text
        .find(|char: char| !(char.is_ascii_digit() || char == '.'))
        .unwrap_or(text.len());
    for (at, part) in text[..end].split('.').take(3).enumerate() {
        if part.is_empty() {
            return (at > 0).then_some(version);
        }
        version[at] = part.parse().ok()?;
    }
    Some(version)
}

fn is_lock(source: &Source) -> bool {
    source.name().to_ascii_lowercase().ends_with(".lock")
}

/// Whether a requirements file lists everything that gets installed: pinned versions, and also
/// what uvicorn itself needs.
fn is_frozen(source: &Source, found: &[Package]) -> bool {
    let has = |name: &str| found.iter().any(|package| package.name == name);
    let pinned = source
        .text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '-']))
        .all(|line| {
            let name = line
                .split(['=', ' ', '[', '~', ';'])
                .next()
                .unwrap_or_default();
            let readable = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            name.chars().all(readable) && (line.contains("==") || line.contains(" @ "))
        });
    pinned && has("h11") && has("click")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(path: &str, text: &str) -> &'static str {
        let project = Project::in_memory([(path, text)]).unwrap();
        said(&Requirements::read(&project))
    }

    fn said(requirements: &Requirements) -> &'static str {
        match requirements.websocket_library() {
            Library::There => "there",
            Library::Missing(_) => "missing",
            Library::NotAsked(_) => "not asked",
            Library::Unknown => "unknown",
        }
    }

    #[test]
    fn the_library_is_looked_for_in_every_format() {
        for (path, text, expected) in [
            ("requirements.txt", "uvicorn\nchannels>=4\n", "not asked"),
            ("requirements.txt", "uvicorn[standard]==0.30\n", "there"),
            (
                "requirements.txt",
                "uvicorn==0.30.1\nclick==8.1\nh11==0.14\n",
                "missing",
            ),
            (
                "requirements.txt",
                "uvicorn==0.30.1\nclick==8.1\nh11==0.14\nwebsockets==12.0\n",
                "there",
            ),
            ("requirements.txt", "django\n", "unknown"),
            ("requirements.txt", "uvicorn\npython-socketio>=5\n", "there"),
            ("requirements.txt", "uvicorn\nselenium\n", "there"),
            ("requirements.txt", "uvicorn\nfastapi[standard]\n", "there"),
            ("requirements.txt", "uvicorn\nfastapi\n", "not asked"),
            (
                "uv.lock",
                "[[package]]\nname = \"uvicorn\"\nversion = \"0.30.0\"\n",
                "missing",
            ),
            (
                "poetry.lock",
                "[[package]]\nname = \"uvicorn\"\nversion = \"0.30.0\"\n\n[[package]]\nname = \"websockets\"\n",
                "there",
            ),
            (
                "Pipfile.lock",
                "{\n  \"default\": {\n    \"uvicorn\": {\n      \"version\": \"==0.30\"\n",
                "missing",
            ),
            (
                "pyproject.toml",
                "[project]\ndependencies = [\n  \"uvicorn[standard]>=0.30\",\n]\n",
                "there",
            ),
            (
                "pyproject.toml",
                "[project]\ndependencies = [\"django>=5\", \"uvicorn>=0.30\"]\n",
                "not asked",
            ),
            (
                "pyproject.toml",
                "[tool.poetry.dependencies]\nuvicorn = {extras = [\"standard\"], version = \"^0.30\"}\n",
                "there",
            ),
        ] {
            assert_eq!(library(path, text), expected, "{path}: {text}");
        }
    }

    #[test]
    fn only_what_production_installs_is_evidence() {
        let bare = ("requirements.txt", "uvicorn\n");
        let dev = ("requirements-dev.txt", "uvicorn\n");
        for (files, expected) in [
            (vec![bare], "not asked"),
            (vec![dev], "unknown"),
            (vec![("requirements/docs.txt", "uvicorn\n")], "unknown"),
            (vec![("docs/requirements.txt", "uvicorn\n")], "unknown"),
            (
                vec![("requirements/production.txt", "uvicorn\n")],
                "not asked",
            ),
            (
                vec![
                    dev,
                    ("Dockerfile", "RUN pip install -r requirements-dev.txt\n"),
                ],
                "not asked",
            ),
            (
                vec![
                    dev,
                    (
                        "Dockerfile.dev",
                        "RUN pip install -r requirements-dev.txt\n",
                    ),
                ],
                "unknown",
            ),
            (
                vec![(
                    "pyproject.toml",
                    "[dependency-groups]\ndev = [\"uvicorn\"]\n",
                )],
                "unknown",
            ),
            (
                vec![(
                    "Pipfile",
                    "[packages]\ndjango = \"*\"\n[dev-packages]\nuvicorn = \"*\"\n",
                )],
                "unknown",
            ),
            (vec![bare, ("setup.py", "x")], "unknown"),
            (
                vec![("requirements.txt", "-r ../common.txt\nuvicorn\n")],
                "unknown",
            ),
            (
                vec![
                    bare,
                    (
                        "setup.cfg",
                        "[options]\ninstall_requires =\n  uvicorn[standard]\n",
                    ),
                ],
                "there",
            ),
            (
                vec![("setup.cfg", "[options]\ninstall_requires =\n  uvicorn\n")],
                "not asked",
            ),
            (
                vec![
                    bare,
                    ("environment.yml", "dependencies:\n  - uvicorn-standard\n"),
                ],
                "there",
            ),
            (
                vec![(
                    "environment.yml",
                    "name: uvicorn\ndependencies:\n  - uvicorn=0.30\n",
                )],
                "not asked",
            ),
            (
                vec![bare, ("docker/build.sh", "pip install websockets\n")],
                "there",
            ),
            (
                vec![
                    bare,
                    ("setup.py", "x"),
                    ("uv.lock", "[[package]]\nname = \"uvicorn\"\n"),
                ],
                "missing",
            ),
        ] {
            let project = Project::in_memory(files.iter().copied()).unwrap();
            assert_eq!(said(&Requirements::read(&project)), expected, "{files:?}");
        }
    }

    #[test]
    fn versions_are_read() {
        for (path, text, name, expected) in [
            (
                "requirements.txt",
                "Django==4.2.1\nchannels[daphne]>=4.0,<5\n",
                "channels",
                Some([4, 0, 0]),
            ),
            (
                "requirements.txt",
                "channels~=2.4\n",
                "channels",
                Some([2, 4, 0]),
            ),
            ("requirements.txt", "channels\n", "channels", None),
            (
                "uv.lock",
                "[[package]]\nname = \"channels\"\nversion = \"4.3.2\"\n",
                "channels",
                Some([4, 3, 2]),
            ),
            (
                "pyproject.toml",
                "[tool.poetry.dependencies]\nchannels = \"^3.0.5\"\n",
                "channels",
                Some([3, 0, 5]),
            ),
        ] {
            let project = Project::in_memory([(path, text)]).unwrap();
            assert_eq!(
                Requirements::read(&project).version(name),
                expected,
                "{text}"
            );
        }
    }
}

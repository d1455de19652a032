//! Which packages are installed: requirements files, `pyproject.toml`, lock files.
//!
//! Only what decides over a handshake is looked for: Django, Channels, the servers, and the
//! libraries that teach uvicorn WebSockets.

use crate::project::{Project, Version};
use crate::source::{Kind, Source, SourceId, Span};

/// Packages that we look for.
const PACKAGES: &[&str] = &[
    "django",
    "channels",
    "uvicorn",
    "websockets",
    "wsproto",
    "daphne",
    "hypercorn",
    "gunicorn",
    "uvicorn-worker",
    "h11",
    "click",
    // What brings `websockets` or `wsproto` along.
    "fastapi",
    "flask-sock",
    "google-genai",
    "gradio",
    "gradio-client",
    "python-engineio",
    "python-socketio",
    "realtime",
    "sanic",
    "simple-websocket",
    "supabase",
    "web3",
];

/// Packages that install one of the libraries by themselves, and those that do so through their
/// extra `standard`.
const BRINGS: &[&str] = &[
    "websockets",
    "wsproto",
    "hypercorn",
    "flask-sock",
    "google-genai",
    "gradio",
    "gradio-client",
    "python-engineio",
    "python-socketio",
    "realtime",
    "sanic",
    "simple-websocket",
    "supabase",
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
}

/// All packages that the project's files ask for.
#[derive(Clone, Debug, Default)]
pub struct Requirements {
    /// In the order of files and lines.
    pub packages: Vec<Package>,
    /// Other files (a Dockerfile, a script) that install a WebSocket library.
    elsewhere: Vec<SourceId>,
}

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
        let mut packages = Vec::new();
        for source in project.of_kind(Kind::Requirements) {
            let mut found = scan(source);
            let complete = is_complete(source, &found);
            for package in &mut found {
                package.complete = complete;
            }
            packages.extend(found);
        }
        let elsewhere = project
            .of_kind(Kind::Command)
            .filter(|source| {
                ["websockets", "wsproto", "uvicorn[standard]"]
                    .iter()
                    .any(|name| source.text.contains(name))
            })
            .map(|source| source.id);
        Self {
            packages,
            elsewhere: elsewhere.collect(),
        }
    }

    /// What those files ask for.
    #[must_use]
    pub fn only(&self, concerns: impl Fn(SourceId) -> bool) -> Self {
        Self {
            packages: self
                .packages
                .iter()
                .filter(|package| concerns(package.span.source))
                .cloned()
                .collect(),
            elsewhere: self
                .elsewhere
                .iter()
                .copied()
                .filter(|file| concerns(*file))
                .collect(),
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
        let asks = |package: &Package| {
            BRINGS.contains(&package.name)
                || (package.standard && BRINGS_WITH_EXTRA.contains(&package.name))
        };
        if !self.elsewhere.is_empty() || self.packages.iter().any(asks) {
            return Library::There;
        }
        let uvicorn = || {
            self.packages
                .iter()
                .filter(|package| matches!(package.name, "uvicorn" | "uvicorn-worker"))
        };
        match (uvicorn().find(|package| package.complete), uvicorn().next()) {
            (Some(package), _) => Library::Missing(package),
            (None, Some(package)) => Library::NotAsked(package),
            (None, None) => Library::Unknown,
        }
    }
}

fn scan(source: &Source) -> Vec<Package> {
    let name = source.name().to_ascii_lowercase();
    let toml_lock = name.ends_with(".lock") && name != "pipfile.lock";
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

/// Whether the file lists everything that gets installed: a lock file, or a requirements file
/// of pinned versions that also names what uvicorn itself needs.
fn is_complete(source: &Source, found: &[Package]) -> bool {
    let name = source.name().to_ascii_lowercase();
    if name.ends_with(".lock") {
        return true;
    }
    let has = |name: &str| found.iter().any(|package| package.name == name);
    let pinned = source
        .text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '-']))
        .all(|line| line.contains("==") || line.contains(" @ "));
    pinned && has("h11") && has("click")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(path: &str, text: &str) -> &'static str {
        let project = Project::in_memory([(path, text)]).unwrap();
        let requirements = Requirements::read(&project);
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

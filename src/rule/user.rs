//! A user's own rules, from the folders that `rules` in `wslint.toml` names.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::schema::{ExampleFile, PatternFile, RuleFile};
use super::{Check, Example, ExampleHandshake, Predicate, Proof, QueryRule, Rule, Severity};

/// A rule file that can't be used.
#[derive(Debug)]
pub struct LoadError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

/// The rules of one folder: `<folder>/<name>.toml` has the id `<folder's name>/<name>`.
///
/// # Errors
/// The first file that can't be read or is no declarative rule.
pub fn load_folder(folder: &Path) -> Result<Vec<Rule>, LoadError> {
    let fail = |path: &Path, message: String| LoadError {
        path: path.to_owned(),
        message,
    };
    let entries = std::fs::read_dir(folder).map_err(|error| fail(folder, error.to_string()))?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    let group = folder.file_name().unwrap_or_default().to_string_lossy();
    files
        .iter()
        .map(|path| {
            let text =
                std::fs::read_to_string(path).map_err(|error| fail(path, error.to_string()))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            RuleFile::read(&text)
                .and_then(|file| rule(format!("{group}/{name}"), file))
                .map_err(|message| fail(path, message))
        })
        .collect()
}

fn rule(id: String, file: RuleFile) -> Result<Rule, String> {
    if super::rules().iter().any(|rule| rule.id == id) {
        return Err(format!(
            "`{id}` is a rule of wslint's own: choose another name"
        ));
    }
    let Some(pattern) = file.pattern else {
        return Err("a rule of your own needs a `[pattern]`".to_owned());
    };
    let query = query(pattern)?;
    query.validate()?;
    Ok(Rule {
        id: Cow::Owned(id),
        severity: match file.severity.as_str() {
            "error" => Severity::Error,
            "warning" => Severity::Warning,
            _ => Severity::Info,
        },
        summary: Cow::Owned(file.summary),
        why: Cow::Owned(file.why),
        fix: Cow::Owned(file.fix),
        proof: match file.source {
            Some(source) => Proof::Source(Cow::Owned(source)),
            None => Proof::Server,
        },
        references: file.references.into_iter().map(Cow::Owned).collect(),
        examples: file.example.into_iter().map(example).collect(),
        check: Check::Query(query),
    })
}

fn query(pattern: PatternFile) -> Result<QueryRule, String> {
    let predicate = |matches: bool| {
        move |(capture, regex): (String, String)| Predicate {
            capture: Cow::Owned(capture),
            regex: Cow::Owned(regex),
            matches,
        }
    };
    let regex = pattern.regex.into_iter().map(predicate(true));
    let not = pattern.not.into_iter().map(predicate(false));
    Ok(QueryRule {
        kind: super::kind(&pattern.kind).ok_or_else(|| {
            format!(
                "unknown kind `{}`: write nginx, caddy or django",
                pattern.kind
            )
        })?,
        query: Cow::Owned(pattern.query),
        contains: pattern.contains.map(Cow::Owned),
        predicates: regex.chain(not).collect(),
        at: Cow::Owned(pattern.at),
        message: Cow::Owned(pattern.message),
        label: Cow::Owned(pattern.label),
        labels: pattern.labels.into_iter().map(owned).collect(),
        help: pattern.help.into_iter().map(Cow::Owned).collect(),
    })
}

fn example(file: ExampleFile) -> Example {
    Example {
        title: Cow::Owned(file.title),
        breaks: file.breaks,
        handshake: file.handshake.map(|handshake| ExampleHandshake {
            url: Cow::Owned(handshake.url),
            status: handshake.status,
            headers: handshake.headers.into_iter().map(owned).collect(),
        }),
        server: file.server.map(Cow::Owned),
        files: file.files.into_iter().map(owned).collect(),
    }
}

fn owned((name, value): (String, String)) -> (Cow<'static, str>, Cow<'static, str>) {
    (Cow::Owned(name), Cow::Owned(value))
}

//! A user's own rules, from the folders that `rules` in `wslint.toml` names.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::finding::Report;
use crate::project::Project;

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
    let rule = Rule {
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
    };
    shows_what_it_says(&rule)?;
    Ok(rule)
}

/// Runs the rule on its own examples: a rule that does not fire where it says so, or fires
/// where it should not, would mislead everybody silently.
fn shows_what_it_says(rule: &Rule) -> Result<(), String> {
    let Check::Query(query) = &rule.check else {
        return Ok(());
    };
    for example in rule.examples.iter() {
        let files = example
            .files
            .iter()
            .map(|(path, text)| (path.as_ref(), text.as_ref()));
        let project = Project::in_memory(files).map_err(|problem| problem.to_string())?;
        let mut report = Report::new(rule);
        query.run(&project, &mut report);
        let (findings, _) = report.into_parts();
        if findings.is_empty() == example.breaks {
            let what = if example.breaks {
                "finds nothing"
            } else {
                "fires"
            };
            return Err(format!(
                "the rule {what} in its example \"{}\"",
                example.title
            ));
        }
    }
    Ok(())
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
        contains: pattern.contains.into_iter().map(Cow::Owned).collect(),
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
            lives: handshake.lives,
            headers: handshake.headers.into_iter().map(owned).collect(),
        }),
        server: file.server.map(Cow::Owned),
        files: file.files.into_iter().map(owned).collect(),
    }
}

fn owned((name, value): (String, String)) -> (Cow<'static, str>, Cow<'static, str>) {
    (Cow::Owned(name), Cow::Owned(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = r#"
severity = "warning"
summary = "the old chat server"
why = "it goes away"
fix = "use the new one"
source = "the team's plan"

[pattern]
kind = "nginx"
query = "(directive name: (word) @directive arg: (word) @url)"
regex = { directive = "^proxy_pass$", url = "^http://old" }
at = "url"
message = "`{url}` goes away"
label = "the old server"

[[example]]
title = "old"
breaks = true
files."nginx.conf" = "location / { proxy_pass http://old; }"

[[example]]
title = "new"
breaks = false
files."nginx.conf" = "location / { proxy_pass http://new; }"
"#;

    fn load(text: &str) -> Result<Vec<Rule>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("old-chat.toml"), text).expect("written");
        load_folder(folder.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rule_of_ones_own_is_loaded_and_tried_on_its_examples() {
        let rules = load(RULE).expect("valid");
        assert!(rules[0].id.ends_with("/old-chat"), "{}", rules[0].id);
    }

    #[test]
    fn a_rule_that_does_not_do_what_its_examples_say_is_refused() {
        let wrong = load(&RULE.replace("^http://old", "^http://odl")).expect_err("never fires");
        assert!(
            wrong.contains("finds nothing in its example \"old\""),
            "{wrong}"
        );
        let broken = load(&RULE.replace("(word) @url)", "(wrod) @url)")).expect_err("no query");
        assert!(broken.contains("query does not compile"), "{broken}");
        let unknown = load(&RULE.replace("summary", "sumary")).expect_err("no such key");
        assert!(unknown.contains("sumary"), "{unknown}");
    }
}

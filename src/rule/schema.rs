//! The format of a rule file. `build.rs` reads our rules with it and the binary a user's own,
//! so that both are one format.

use serde::Deserialize;
use std::collections::BTreeMap;

/// A rule file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RuleFile {
    pub(crate) severity: String,
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) check: Option<String>,
    pub(crate) why: String,
    pub(crate) fix: String,
    #[serde(default)]
    pub(crate) proof: Option<String>,
    #[serde(default)]
    pub(crate) source: Option<String>,
    #[serde(default)]
    pub(crate) references: Vec<String>,
    /// What a declarative rule has in place of `check`.
    #[serde(default)]
    pub(crate) pattern: Option<PatternFile>,
    #[serde(default)]
    pub(crate) example: Vec<ExampleFile>,
}

/// The `[pattern]` of a declarative rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PatternFile {
    /// `nginx`, `caddy` or `django`.
    pub(crate) kind: String,
    /// A tree-sitter query.
    pub(crate) query: String,
    /// Texts of which a file must hold one to be worth parsing.
    #[serde(default)]
    pub(crate) contains: Vec<String>,
    /// Captures that must match a regular expression.
    #[serde(default)]
    pub(crate) regex: BTreeMap<String, String>,
    /// Captures that must not match one.
    #[serde(default)]
    pub(crate) not: BTreeMap<String, String>,
    /// The capture to underline.
    pub(crate) at: String,
    /// What breaks; `{capture}` stands for the captured text.
    pub(crate) message: String,
    /// A few words beside the underlined bytes.
    pub(crate) label: String,
    /// What to write next to other captures.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// What to do.
    #[serde(default)]
    pub(crate) help: Vec<String>,
}

/// One `[[example]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ExampleFile {
    pub(crate) title: String,
    pub(crate) breaks: bool,
    #[serde(default)]
    pub(crate) handshake: Option<HandshakeFile>,
    #[serde(default)]
    pub(crate) server: Option<String>,
    pub(crate) files: BTreeMap<String, String>,
}

/// An example's `handshake`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct HandshakeFile {
    pub(crate) url: String,
    /// Left out where the connection closes or the server refuses to start.
    #[serde(default)]
    pub(crate) status: Option<u16>,
    /// Watch the socket after its echo: it must live on, and in a breaking example die.
    #[serde(default)]
    pub(crate) lives: bool,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
}

impl RuleFile {
    /// Reads a rule file and checks what its types cannot say.
    ///
    /// # Errors
    /// What is wrong, in one sentence.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let rule: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if !matches!(rule.severity.as_str(), "error" | "warning" | "info") {
            return Err(format!(
                "severity = \"{}\": write error, warning or info",
                rule.severity
            ));
        }
        if rule.check.is_some() == rule.pattern.is_some() {
            return Err("a rule has either `check` or a `[pattern]`".to_owned());
        }
        match (rule.proof.as_deref(), &rule.source) {
            (Some("server"), None) | (None, Some(_)) => {}
            _ => return Err("write `proof = \"server\"`, or `source = \"https://…\"`".to_owned()),
        }
        for (key, text) in [
            ("summary", &rule.summary),
            ("why", &rule.why),
            ("fix", &rule.fix),
        ] {
            if text.trim().is_empty() {
                return Err(format!("`{key}` is empty"));
            }
        }
        for breaks in [true, false] {
            if !rule.example.iter().any(|example| example.breaks == breaks) {
                let which = if breaks { "breaking" } else { "working" };
                return Err(format!("no {which} example: every rule shows both"));
            }
        }
        if let Some(pattern) = &rule.pattern {
            let captures = pattern.regex.keys().chain(pattern.not.keys());
            for name in captures.chain(pattern.labels.keys()).chain([&pattern.at]) {
                if !pattern.query.contains(&format!("@{name}")) {
                    return Err(format!("the query captures no `@{name}`"));
                }
            }
        }
        if rule.proof.is_some() && rule.example.iter().any(|e| e.handshake.is_none()) {
            return Err(
                "a rule proved by a server states the handshake of every example".to_owned(),
            );
        }
        Ok(rule)
    }
}

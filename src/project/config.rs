//! `wslint.toml`, `.wslint.toml` or `[tool.wslint]` in `pyproject.toml`.
//!
//! Every error names the file, the line, the key and, for a misspelt one, the nearest right one.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::edge::{self, EdgeChain};
use crate::rule::{self, Rule, Severity, closest};
use crate::source::{SourceId, Span};

/// A version as far as it is given: `1.28` is `[1, 28, 0]`.
pub type Version = [u32; 3];

/// The versions that the servers have where the configuration will run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// nginx.
    pub nginx: Option<Version>,
    /// Caddy.
    pub caddy: Option<Version>,
    /// Django.
    pub django: Option<Version>,
    /// Channels.
    pub channels: Option<Version>,
}

/// An endpoint that somebody declared to carry WebSockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// A path (`/ws/`) or a URL (`wss://api.example.com/ws/`), as written.
    pub endpoint: String,
    /// Where; `None` on the command line.
    pub span: Option<Span>,
}

impl Declared {
    /// Its path: the endpoint itself, or the path of the URL.
    pub fn path(&self) -> &str {
        match self.endpoint.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => &self.endpoint,
        }
    }

    /// The host of a URL, lower case and without port; `None` for a path.
    pub fn host(&self) -> Option<String> {
        let (_, rest) = self.endpoint.split_once("://")?;
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, port)| {
                if port.bytes().all(|byte| byte.is_ascii_digit()) {
                    host
                } else {
                    authority
                }
            });
        Some(host.to_ascii_lowercase())
    }
}

/// A project's configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Rules and groups to run; empty means all.
    pub select: Vec<String>,
    /// Rules and groups to leave out.
    pub ignore: Vec<String>,
    /// Globs of files to leave out.
    pub exclude: Vec<String>,
    /// The user's own rules, from the folders that `rules` names.
    pub own_rules: Vec<Rule>,
    /// Globs of files of a kind that discovery can't guess, by the kind's name.
    pub files: BTreeMap<String, Vec<String>>,
    /// Declared endpoints.
    pub endpoints: Vec<Declared>,
    /// Paths that look like endpoints and are none.
    pub not_endpoints: Vec<String>,
    /// The edges before the first proxy.
    pub edge: EdgeChain,
    /// Target versions.
    pub targets: Targets,
    /// Where absolute include paths lie in the project: `/etc/nginx/` → `deploy/nginx/`.
    pub nginx_paths: Vec<(String, String)>,
    /// Severities by rule id.
    pub severity: BTreeMap<String, Severity>,
}

/// What is wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Byte range of the key or value, where known.
    pub range: Option<std::ops::Range<usize>>,
    /// What is wrong and what would be right.
    pub message: String,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    select: Vec<Spanned<String>>,
    ignore: Vec<Spanned<String>>,
    exclude: Vec<Spanned<String>>,
    rules: Vec<Spanned<String>>,
    files: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    websocket: RawWebSocket,
    edge: Option<Spanned<RawEdge>>,
    targets: RawTargets,
    nginx: RawNginx,
    severity: BTreeMap<Spanned<String>, Severity>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RawWebSocket {
    endpoints: Vec<Spanned<String>>,
    not: Vec<String>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table: `[edge]`, then `kind = \"alb\"`"
)]
struct RawEdge {
    kind: Spanned<toml::Value>,
    #[serde(default)]
    tls: Option<bool>,
    #[serde(default)]
    sends: Option<BTreeMap<String, String>>,
    #[serde(default)]
    idle_timeout: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RawTargets {
    nginx: Option<Spanned<String>>,
    caddy: Option<Spanned<String>>,
    django: Option<Spanned<String>>,
    channels: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RawNginx {
    paths: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct PyProject {
    tool: Option<PyProjectTool>,
}

#[derive(Deserialize)]
struct PyProjectTool {
    wslint: Option<toml::Value>,
}

/// Whether a `pyproject.toml` has a `[tool.wslint]` table, without parsing those that do not
/// mention it. One that does and is broken counts, so that somebody is told.
pub fn pyproject_configures(text: &str) -> bool {
    if memchr::memmem::find(text.as_bytes(), b"wslint").is_none() {
        return false;
    }
    match toml::from_str::<PyProject>(text) {
        Ok(project) => project.tool.is_some_and(|tool| tool.wslint.is_some()),
        Err(_) => memchr::memmem::find(text.as_bytes(), b"[tool.wslint").is_some(),
    }
}

/// Reads a configuration. `source` is what its spans point into; `pyproject` says that the
/// configuration is the `[tool.wslint]` table. `folder` is where the file lies, which the
/// folders of own rules are relative to; `None` for a configuration without a disk.
///
/// # Errors
/// The first thing that is wrong, with its byte range.
pub fn parse(
    text: &str,
    source: SourceId,
    pyproject: bool,
    folder: Option<&Path>,
) -> Result<Config, ConfigError> {
    #[derive(Deserialize)]
    struct Outer {
        tool: Tool,
    }
    #[derive(Deserialize)]
    struct Tool {
        wslint: Raw,
    }
    let raw = if pyproject {
        toml::from_str::<Outer>(text).map(|outer| outer.tool.wslint)
    } else {
        toml::from_str::<Raw>(text)
    };
    let raw = raw.map_err(|error| from_toml(&error))?;
    resolve(raw, source, folder)
}

fn from_toml(error: &toml::de::Error) -> ConfigError {
    let message = error.message().trim().to_owned();
    // serde's own words: "unknown field `x`, expected one of `a`, `b`".
    let message = match message.strip_prefix("unknown field `") {
        Some(rest) => {
            let mut names = rest.split('`').step_by(2);
            let unknown = names.next().unwrap_or_default();
            let known: Vec<_> = rest.split('`').skip(2).step_by(2).collect();
            match closest(unknown, known.iter().copied()) {
                Some(right) => format!("unknown key `{unknown}`; did you mean `{right}`?"),
                None => format!("unknown key `{unknown}`; known here: {}", known.join(", ")),
            }
        }
        None => message,
    };
    ConfigError {
        range: error.span(),
        message,
    }
}

/// The globs, if each of them is one.
fn globs(list: Vec<Spanned<String>>) -> Result<Vec<String>, ConfigError> {
    list.into_iter()
        .map(|glob| match globset::Glob::new(glob.get_ref()) {
            Ok(_) => Ok(glob.into_inner()),
            Err(error) => Err(ConfigError {
                range: Some(glob.span()),
                message: format!("`{}` is no glob: {}", glob.get_ref(), error.kind()),
            }),
        })
        .collect()
}

/// The rules of the folders that `names` lists.
fn own_rules(names: &[Spanned<String>], folder: Option<&Path>) -> Result<Vec<Rule>, ConfigError> {
    let mut own = Vec::new();
    for name in names {
        let Some(folder) = folder else { continue };
        let rules =
            rule::load_folder(&folder.join(name.get_ref())).map_err(|error| ConfigError {
                range: Some(name.span()),
                message: error.to_string(),
            })?;
        own.extend(rules);
    }
    Ok(own)
}

fn resolve(raw: Raw, source: SourceId, folder: Option<&Path>) -> Result<Config, ConfigError> {
    let own_rules = own_rules(&raw.rules, folder)?;
    let rule_name = |name: &Spanned<String>| -> Result<String, ConfigError> {
        let value = name.get_ref();
        let known = || rule::names(&own_rules);
        if known().any(|known| known == value) {
            return Ok(value.clone());
        }
        let hint = closest(value, known())
            .map_or_else(String::new, |right| format!("; did you mean `{right}`?"));
        Err(ConfigError {
            range: Some(name.span()),
            message: format!("no rule or group is called `{value}`{hint}"),
        })
    };
    let edge = match &raw.edge {
        Some(edge) => {
            let value = edge.get_ref();
            let edges = edge_kinds(&value.kind)?;
            EdgeChain {
                edges,
                tls: value.tls,
                sends: value
                    .sends
                    .as_ref()
                    .map(|sends| sends.iter().map(|(k, v)| (k.clone(), v.clone())).collect()),
                idle_timeout: value.idle_timeout,
                declared: Some(Span::new(source, value.kind.span())),
            }
        }
        None => EdgeChain::default(),
    };
    for kind in raw.files.keys() {
        if crate::rule::kind(kind.get_ref()).is_none() {
            return Err(ConfigError {
                range: Some(kind.span()),
                message: format!(
                    "unknown kind `{}` in [files]; known: nginx, caddy, django",
                    kind.get_ref()
                ),
            });
        }
    }
    Ok(Config {
        select: raw.select.iter().map(rule_name).collect::<Result<_, _>>()?,
        ignore: raw.ignore.iter().map(rule_name).collect::<Result<_, _>>()?,
        exclude: globs(raw.exclude)?,
        files: raw
            .files
            .into_iter()
            .map(|(kind, list)| Ok((kind.into_inner(), globs(list)?)))
            .collect::<Result<_, _>>()?,
        endpoints: raw
            .websocket
            .endpoints
            .iter()
            .map(|endpoint| declared(endpoint, source))
            .collect::<Result<_, _>>()?,
        not_endpoints: raw.websocket.not,
        edge,
        targets: Targets {
            nginx: version(raw.targets.nginx.as_ref())?,
            caddy: version(raw.targets.caddy.as_ref())?,
            django: version(raw.targets.django.as_ref())?,
            channels: version(raw.targets.channels.as_ref())?,
        },
        nginx_paths: raw.nginx.paths.into_iter().collect(),
        severity: raw
            .severity
            .into_iter()
            .map(|(name, severity)| Ok((rule_name(&name)?, severity)))
            .collect::<Result<_, _>>()?,
        own_rules,
    })
}

/// One kind, or a list of kinds, outermost first.
fn edge_kinds(value: &Spanned<toml::Value>) -> Result<Vec<&'static edge::Edge>, ConfigError> {
    let fail = |message: String| ConfigError {
        range: Some(value.span()),
        message,
    };
    let kinds = match value.get_ref() {
        toml::Value::Array(kinds) => kinds.as_slice(),
        kind => std::slice::from_ref(kind),
    };
    kinds
        .iter()
        .map(|kind| {
            let Some(kind) = kind.as_str() else {
                return Err(fail(format!(
                    "`{kind}` is no edge: write its kind, or a list of kinds, outermost first"
                )));
            };
            edge::edge(kind).ok_or_else(|| {
                let names = || edge::edges().iter().map(|edge| edge.kind);
                let hint = match closest(kind, names()) {
                    Some(right) => format!("did you mean `{right}`?"),
                    None => format!("known: {}", names().collect::<Vec<_>>().join(", ")),
                };
                fail(format!("unknown edge `{kind}`; {hint}"))
            })
        })
        .collect()
}

fn declared(endpoint: &Spanned<String>, source: SourceId) -> Result<Declared, ConfigError> {
    check_endpoint(endpoint.get_ref()).map_err(|message| ConfigError {
        range: Some(endpoint.span()),
        message,
    })?;
    Ok(Declared {
        endpoint: endpoint.get_ref().clone(),
        span: Some(Span::new(source, endpoint.span())),
    })
}

/// Whether `endpoint` is a path or a WebSocket URL.
///
/// # Errors
/// What is wrong with it.
pub fn check_endpoint(endpoint: &str) -> Result<(), String> {
    let right = endpoint.starts_with('/')
        || ["ws://", "wss://"].iter().any(|scheme| {
            endpoint
                .strip_prefix(scheme)
                .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        });
    if right {
        Ok(())
    } else {
        Err(format!(
            "`{endpoint}` is no endpoint: write a path (`/ws/`) or a URL (`wss://example.com/ws/`)"
        ))
    }
}

fn version(text: Option<&Spanned<String>>) -> Result<Option<Version>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    match parse_version(text.get_ref()) {
        Some(version) => Ok(Some(version)),
        None => Err(ConfigError {
            range: Some(text.span()),
            message: format!("`{}` is no version: write it like \"1.28\"", text.get_ref()),
        }),
    }
}

/// Reads `1`, `1.28` or `1.28.3`.
pub fn parse_version(text: &str) -> Option<Version> {
    let mut version = [0; 3];
    let mut parts = text.split('.');
    for slot in &mut version {
        match parts.next() {
            Some(part) => *slot = part.parse().ok()?,
            None => break,
        }
    }
    (parts.next().is_none() && !text.is_empty()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        parse(text, SourceId(0), false, None)
    }

    #[test]
    fn reads_every_key_of_the_contract() {
        let text = r#"
select = ["nginx"]
ignore = ["wslint/unused-ignore"]
exclude = ["old/**"]
rules = []
[files]
nginx = ["deploy/*.tmpl"]
[websocket]
endpoints = ["/ws/", "wss://api.example.com:8443/ws/health/"]
not = ["/ws/soap/"]
[edge]
kind = ["cloudfront", "alb"]
[targets]
nginx = "1.28"
[nginx]
paths = { "/etc/nginx/" = "deploy/nginx/" }
[severity]
"wslint/unused-ignore" = "info"
"#;
        let config = read(text).expect("valid");
        assert_eq!(
            config.endpoints[1].host().as_deref(),
            Some("api.example.com")
        );
        assert_eq!(config.endpoints[1].path(), "/ws/health/");
        assert_eq!(config.targets.nginx, Some([1, 28, 0]));
        assert_eq!(
            config.edge.sends(),
            [("X-Forwarded-Proto".into(), "https".into())]
        );
        assert!(config.edge.speaks_plain_http());
        let span = config.edge.declared.expect("declared");
        assert_eq!(&text[span.range()], r#"["cloudfront", "alb"]"#);
    }

    #[test]
    fn reads_the_table_of_a_pyproject() {
        let text = "[project]\nname = \"x\"\n[tool.wslint]\nselect = [\"nginx\"]\n";
        assert!(pyproject_configures(text));
        assert!(
            pyproject_configures("[tool.wslint]\nselect = [\n"),
            "broken, and ours"
        );
        assert!(!pyproject_configures("[tool.other]\ndoc = 'wslint'\n"));
        let config = parse(text, SourceId(0), true, None).expect("valid");
        assert_eq!(config.select, ["nginx"]);
    }

    #[test]
    fn an_error_names_the_key_and_suggests() {
        let error = read("[websocket]\nendpoint = [\"/ws\"]\n").expect_err("unknown key");
        assert_eq!(
            error.message,
            "unknown key `endpoint`; did you mean `endpoints`?"
        );
        assert_eq!(error.range, Some(12..20));
        let error = read("ignore = [\"wslint/unused-ignroe\"]").expect_err("unknown rule");
        assert!(
            error
                .message
                .ends_with("did you mean `wslint/unused-ignore`?"),
            "{}",
            error.message
        );
        let error = read("[edge]\nkind = \"cloudfare\"").expect_err("unknown edge");
        assert!(
            error.message.contains("did you mean `cloudflare`?"),
            "{}",
            error.message
        );
        let error = read("exclude = [\"[a\"]").expect_err("no glob");
        assert!(
            error.message.starts_with("`[a` is no glob"),
            "{}",
            error.message
        );
        assert!(read("[websocket]\nendpoints = [\"ws\"]").is_err());
        assert!(read("[targets]\nnginx = \"stable\"").is_err());
    }
}

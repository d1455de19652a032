//! A project: all sources under one root, read once; cross-file questions are asked of it.

pub mod config;
mod discover;
mod files;
mod kinds;
mod load;
mod suppress;
mod template;
#[cfg(test)]
mod tests;

pub use config::{Config, Declared, Targets, Version, parse_version};
pub use discover::{Options, Plan, Problem, configuration_of, plan};
pub use files::Files;
pub(crate) use files::join;
pub(crate) use kinds::is_platform;
pub use load::{MAX_SOURCE_BYTES, load};
pub use suppress::{Suppression, Suppressions};
pub(crate) use template::is_named_template;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::deploy::Deployment;
use crate::finding::{Edit, Undecided};
use crate::parallel;
use crate::source::{Kind, Source, SourceId, Span};

/// All sources under one root.
#[derive(Debug, Default)]
pub struct Project {
    /// The root folder.
    pub root: PathBuf,
    /// The sources; [`SourceId`] indexes them.
    pub sources: Vec<Source>,
    /// The configuration.
    pub config: Config,
    /// What was found on disk, read or not, relative to the root, with `/`.
    pub files: Files,
    /// What could not be read as it should be.
    pub undecided: Vec<Undecided>,
    by_path: HashMap<String, SourceId>,
    deployment: OnceLock<Deployment>,
}

impl Project {
    /// What its compose files and Dockerfiles say.
    pub fn deployment(&self) -> &Deployment {
        self.deployment.get_or_init(|| Deployment::read(self))
    }

    /// The source of that id.
    pub fn source(&self, id: SourceId) -> &Source {
        &self.sources[id.0 as usize]
    }

    /// The source that was read from `path`, relative to the root, with `/`.
    pub fn by_path(&self, path: &str) -> Option<&Source> {
        self.by_path.get(path).map(|id| self.source(*id))
    }

    /// The sources of one kind, sorted by path.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Source> {
        self.sources
            .iter()
            .filter(move |source| source.kind == kind)
    }

    /// Whether there is enough to read that several threads pay.
    pub fn pays_threads(&self) -> bool {
        parallel::pays(self.sources.iter().map(|source| source.text.len()).sum())
    }

    /// The text under `span`.
    pub fn slice(&self, span: Span) -> &str {
        self.source(span.source).slice(span)
    }

    /// Where `span` starts, for messages: `deploy/nginx.conf:12`.
    pub fn place(&self, span: Span) -> String {
        let source = self.source(span.source);
        format!(
            "{}:{}",
            source.display,
            source.position(span.start as usize).line
        )
    }

    /// The project with `edits` made, which are sorted and do not overlap; the disk stays as it is.
    /// `None` if one of them is no place in its source.
    pub fn edited(&self, edits: &[Edit]) -> Option<Self> {
        let mut texts: BTreeMap<SourceId, (String, usize)> = BTreeMap::new();
        for edit in edits {
            let source = self.source(edit.span.source);
            let (text, done) = texts.entry(source.id).or_default();
            text.push_str(source.text.get(*done..edit.span.start as usize)?);
            source.text.get(edit.span.range())?;
            text.push_str(&edit.text);
            *done = edit.span.end as usize;
        }
        let mut sources = self.sources.clone();
        for (id, (mut text, done)) in texts {
            let source = &self.sources[id.0 as usize];
            text.push_str(source.text.get(done..)?);
            sources[id.0 as usize] = load::source(
                id,
                source.path.clone(),
                source.display.clone(),
                source.kind,
                text,
            );
        }
        Some(Self {
            root: self.root.clone(),
            sources,
            config: self.config.clone(),
            files: self.files.clone(),
            undecided: self.undecided.clone(),
            by_path: self.by_path.clone(),
            deployment: OnceLock::new(),
        })
    }

    /// A project of these files, without a disk: for tests, editors and rule examples. A
    /// `wslint.toml` among them configures it.
    ///
    /// # Errors
    /// What is wrong with its `wslint.toml`.
    pub fn in_memory<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Problem> {
        load::in_memory(files)
    }
}

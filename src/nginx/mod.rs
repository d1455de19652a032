//! Resolves nginx as the real server would.

pub mod syntax;

use crate::finding::Undecided;
use crate::project::Project;
use crate::source::Source;

/// The resolved configuration.
#[derive(Debug, Default)]
pub struct Model {
    /// What could not be resolved.
    pub undecided: Vec<Undecided>,
}

impl Model {
    /// Resolves everything of nginx in `project`.
    pub fn resolve(_project: &Project) -> Self {
        Self::default()
    }
}

/// What `source` refers to by path, as tails (`snippets/ws.conf`, `conf.d/*.conf`,
/// `chat/routing.py`): the project reads every file that ends so.
pub fn references(_source: &Source) -> Vec<String> {
    Vec::new()
}

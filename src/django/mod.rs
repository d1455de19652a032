//! Resolves django as the real server would.
pub mod command;
pub mod data;
pub mod evaluate;
pub mod modules;
pub mod requirements;
pub mod settings;
pub mod syntax;
pub use modules::references;

use crate::finding::Undecided;
use crate::project::Project;

/// The resolved configuration.
#[derive(Debug, Default)]
pub struct Model {
    /// What could not be resolved.
    pub undecided: Vec<Undecided>,
}

impl Model {
    /// Resolves everything of django in `project`.
    pub fn resolve(_project: &Project) -> Self {
        Self::default()
    }
}

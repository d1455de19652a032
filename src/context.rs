//! What a rule's check may look at: the project and the resolved model of each technology.

use crate::finding::Undecided;
use crate::project::{Project, Suppressions};
use crate::source::SourceId;
use crate::{caddy, django, nginx, parallel, stack};

/// The project with its models.
#[derive(Debug)]
pub struct Context<'a> {
    /// The sources and the configuration.
    pub project: &'a Project,
    /// The nginx configurations, resolved.
    pub nginx: nginx::Model,
    /// The Caddyfiles, adapted.
    pub caddy: caddy::Model,
    /// The Django applications, evaluated.
    pub django: django::Model,
    suppressions: Vec<Suppressions>,
}

impl<'a> Context<'a> {
    /// Resolves everything in `project`.
    pub fn resolve(project: &'a Project) -> Self {
        let pays = project.pays_threads();
        let (django, (mut nginx, caddy)) = parallel::join(
            pays,
            || django::Model::resolve(project),
            || {
                parallel::join(
                    pays,
                    || nginx::Model::read(project),
                    || caddy::Model::resolve(project),
                )
            },
        );
        let served = stack::served(project, &django, &nginx);
        nginx.find_routes(project, &served);
        Self {
            project,
            nginx,
            caddy,
            django,
            suppressions: crate::check::suppressions(project),
        }
    }

    /// The suppression comments of a source.
    pub fn suppressions(&self, source: SourceId) -> &Suppressions {
        &self.suppressions[source.0 as usize]
    }

    /// What the models could not resolve, syntax errors among it.
    pub fn undecided(&self) -> impl Iterator<Item = &Undecided> {
        self.nginx
            .undecided
            .iter()
            .chain(&self.caddy.undecided)
            .chain(&self.django.undecided)
    }
}

//! What belongs to each application, found once for all of them: many may live under one root.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::requirements::Requirements;
use super::routes::{Application, Route};
use super::servers::Entry;
use super::settings::{Role, Settings};
use super::{Model, is_within};
use crate::project::Project;
use crate::source::{Kind, Source, SourceId, Span};

/// What belongs to the application in one folder.
#[derive(Debug, Default)]
pub(super) struct Home {
    /// The commands that may start it, indices into the model's.
    pub(super) commands: Vec<usize>,
    /// What is installed for it.
    pub(super) installed: Requirements,
    /// What shows that it serves sockets: a route, or a consumer.
    pub(super) sockets: Option<Span>,
    /// Its settings modules, indices into the model's.
    settings: Vec<usize>,
    /// Its ASGI applications, indices into the model's.
    applications: Vec<usize>,
    /// The routes of those, indices into the model's.
    routes: Vec<usize>,
    /// Its Python sources.
    sources: Vec<SourceId>,
    /// The commands that serve it, of those, once they are asked for.
    pub(super) servers: OnceLock<Vec<usize>>,
}

/// Questions about the application in one folder.
impl Model {
    /// Its settings modules.
    pub fn settings_of(&self, home: &str) -> impl Iterator<Item = &Settings> {
        self.of(home, |home| &home.settings)
            .map(|at| &self.settings[*at])
    }

    /// Those of them that run in production.
    pub fn production_of(&self, home: &str) -> impl Iterator<Item = &Settings> {
        self.settings_of(home)
            .filter(|settings| settings.role == Role::Production)
    }

    /// Its ASGI applications, with their indices.
    pub fn applications_of(&self, home: &str) -> impl Iterator<Item = (usize, &Application)> {
        self.of(home, |home| &home.applications)
            .map(|at| (*at, &self.applications[*at]))
    }

    /// Its routes.
    pub fn routes_of(&self, home: &str) -> impl Iterator<Item = &Route> {
        self.of(home, |home| &home.routes)
            .map(|at| &self.routes[*at])
    }

    /// Its Python sources.
    pub fn sources_of<'a>(
        &'a self,
        project: &'a Project,
        home: &str,
    ) -> impl Iterator<Item = &'a Source> {
        self.of(home, |home| &home.sources)
            .map(|source| project.source(*source))
    }

    fn of<'a, T: 'a>(
        &'a self,
        home: &str,
        what: impl Fn(&'a Home) -> &'a Vec<T>,
    ) -> impl Iterator<Item = &'a T> {
        self.by_home.get(home).into_iter().flat_map(what)
    }
}

impl Model {
    /// The applications that a file in `folder` which is no module speaks of: the one that it lies
    /// in, and the only one below it. See [`Model::concerns`].
    fn concerned<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        let below = self.first_below(folder);
        [self.innermost(folder), below]
            .into_iter()
            .flatten()
            .filter(move |home| self.concerns(folder, home))
    }

    /// Everything by its application.
    pub(super) fn by_home(&self, project: &Project) -> HashMap<String, Home> {
        let mut found: HashMap<String, Home> = self
            .homes
            .iter()
            .map(|home| (home.clone(), Home::default()))
            .collect();
        for (at, command) in self.commands.iter().enumerate() {
            let entry =
                command
                    .target
                    .as_ref()
                    .and_then(|target| match self.entries.get(&target.text) {
                        Some(Entry::Django(entry)) => Some(entry.as_str()),
                        _ => None,
                    });
            let concerned = self.concerned(project.source(command.span.source).folder());
            for home in concerned.chain(entry) {
                if let Some(home) = found.get_mut(home)
                    && home.commands.last() != Some(&at)
                {
                    home.commands.push(at);
                }
            }
        }
        for package in &self.requirements.packages {
            for home in self.concerned(project.source(package.span.source).folder()) {
                if let Some(home) = found.get_mut(home) {
                    home.installed.packages.push(package.clone());
                }
            }
        }
        self.spread(&self.requirements.libraries, &mut found, |home| {
            &mut home.installed.libraries
        });
        self.spread(&self.requirements.unread, &mut found, |home| {
            &mut home.installed.unread
        });
        let mut add = |module: SourceId, add: &dyn Fn(&mut Home)| {
            if let Some(home) = found.get_mut(self.home(project, module)) {
                add(home);
            }
        };
        for (at, settings) in self.settings.iter().enumerate() {
            add(settings.source, &|home| home.settings.push(at));
        }
        for (at, application) in self.applications.iter().enumerate() {
            add(application.source, &|home| home.applications.push(at));
        }
        for (at, route) in self.routes.iter().enumerate() {
            let application = &self.applications[route.application];
            add(application.source, &|home| home.routes.push(at));
        }
        for source in project.of_kind(Kind::Python) {
            add(source.id, &|home| home.sources.push(source.id));
        }
        let routes = self.routes.iter().filter(|route| route.certain);
        let routes = routes.map(|route| (self.applications[route.application].source, route.span));
        let consumers = self
            .consumers
            .iter()
            .map(|consumer| (consumer.span.source, consumer.span));
        for (module, span) in routes.chain(consumers) {
            add(module, &|home| {
                home.sockets.get_or_insert(span);
            });
        }
        found
    }

    /// Gives each application the folders that may be its own: those that lie in no other's.
    fn spread(
        &self,
        folders: &[String],
        found: &mut HashMap<String, Home>,
        of: impl Fn(&mut Home) -> &mut Vec<String>,
    ) {
        let mut by_owner: HashMap<Option<&str>, Vec<&String>> = HashMap::new();
        for folder in folders {
            let owner = self.innermost(folder);
            by_owner.entry(owner).or_default().push(folder);
        }
        // One that lies in none speaks of all; a few say as much as many.
        const SHARED: usize = 16;
        let shared = by_owner.remove(&None).unwrap_or_default();
        let shared = &shared[..shared.len().min(SHARED)];
        for (at, home) in self.homes.iter().enumerate() {
            let mut own: Vec<String> = shared.iter().copied().cloned().collect();
            let mut add = |owner: &str| {
                let folders = by_owner.get(&Some(owner)).into_iter().flatten();
                own.extend(folders.copied().cloned());
            };
            let inside = self.homes[at..]
                .iter()
                .take_while(|other| other.starts_with(home.as_str()));
            inside
                .filter(|other| is_within(other, home))
                .for_each(|other| add(other));
            let mut outer = home.as_str();
            while !outer.is_empty() {
                outer = outer.rsplit_once('/').map_or("", |(parent, _)| parent);
                add(outer);
            }
            if let Some(home) = found.get_mut(home) {
                *of(home) = own;
            }
        }
    }
}

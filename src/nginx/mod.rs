//! Resolves nginx as the real server would: files to configurations ([`include`]), contexts and
//! levels ([`model`]), servers and locations ([`location`]), values ([`variables`]), and what
//! leaves for the upstream ([`headers`]). [`route`] says where handshakes arrive and what they
//! lose; the checks give each loss its name.

mod address;
mod builtin;
pub mod checks;
mod declared;
pub mod evidence;
mod files;
pub mod headers;
pub mod hop;
pub mod include;
pub mod listener;
pub mod location;
pub mod map;
pub mod model;
pub mod pattern;
pub mod phases;
pub mod refused;
pub mod route;
pub mod setting;
pub mod stray;
pub mod syntax;
mod templates;
mod uri;
pub mod variables;
pub mod way;
pub mod words;

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use crate::finding::Undecided;
use crate::project::Project;
use crate::source::{Kind, Source};
use crate::syntax::Tree;
use model::{Arena, Config, Included, Maps, View};
use route::Route;
use stray::{Asked, Stray};
use templates::Templates;

/// The resolved configurations.
#[derive(Debug, Default)]
pub struct Model {
    /// The parsed files, in the order of their paths.
    pub trees: Vec<Tree>,
    /// One configuration for each main file, and for each fragment that no file includes.
    pub configs: Vec<Config>,
    /// The maps of all of them.
    pub maps: Maps,
    /// Where handshakes arrive, and what becomes of them.
    pub routes: Vec<Route>,
    /// They by their locations, as nodes of files, whoever includes them.
    at_location: HashMap<(u32, u32), Vec<usize>>,
    /// Handshakes that do not get where they belong.
    pub strays: Vec<Stray>,
    /// What could not be resolved.
    pub undecided: Vec<Undecided>,
}

/// A route of an application, and the server through which it is reached.
#[derive(Clone, Debug)]
pub struct Served {
    /// The configuration.
    pub config: u32,
    /// The server, as an index into the configuration's.
    pub server: u32,
    /// The URL.
    pub asked: Asked,
}

impl Model {
    /// Resolves everything of nginx in `project`, for which no application speaks.
    pub fn resolve(project: &Project) -> Self {
        let mut model = Self::read(project);
        model.find_routes(project, &[]);
        model
    }

    /// Reads the configurations; [`Model::find_routes`] completes it.
    pub fn read(project: &Project) -> Self {
        let sources: Vec<&Source> = project.of_kind(Kind::Nginx).collect();
        let trees: Vec<Tree> = sources
            .par_iter()
            .map(|source| syntax::parse(source))
            .collect();
        let mut undecided: Vec<Undecided> = trees
            .iter()
            .flat_map(|tree| &tree.errors)
            .map(|error| Undecided {
                span: error.span,
                message: error.message.clone(),
                alike: None,
            })
            .collect();
        let mut configs = include::configurations(project, &trees, &mut undecided);
        let templates = Templates::read(project, &trees);
        configs
            .par_iter_mut()
            .for_each(|config| config.index(&trees, &templates));
        let maps = model::all_maps(&trees, &configs);
        let refusals: Vec<_> = (0..configs.len() as u32)
            .into_par_iter()
            .map(|config| {
                let (trees, configs, maps) = (&trees, &configs, &maps);
                refused::find(
                    Arena {
                        trees,
                        configs,
                        maps,
                    }
                    .view(config),
                    project,
                )
            })
            .collect();
        for (config, refusals) in configs.iter_mut().zip(refusals) {
            config.refusals = refusals;
        }
        Self {
            trees,
            configs,
            maps,
            routes: Vec::new(),
            at_location: HashMap::new(),
            strays: Vec::new(),
            undecided,
        }
    }

    /// Finds where handshakes arrive, and what becomes of them; `served` are the application's
    /// routes that go through one of these configurations.
    pub fn find_routes(&mut self, project: &Project, served: &[Served]) {
        let mut undecided = std::mem::take(&mut self.undecided);
        let arena = Arena {
            trees: &self.trees,
            configs: &self.configs,
            maps: &self.maps,
        };
        let (mut places, mut urls) = declared::places(project, arena, &mut undecided);
        for Served {
            config,
            server,
            asked,
        } in served
        {
            let urls = urls.entry(*config).or_default();
            urls.push((*server, asked.clone()));
        }
        let no_urls = Vec::new();
        let found: Vec<stray::Found> = (0..self.configs.len() as u32)
            .into_par_iter()
            .map(|config| {
                let urls = urls.get(&config).unwrap_or(&no_urls);
                stray::strays(arena.view(config), project, urls)
            })
            .collect();
        let mut strays = Vec::new();
        for (config, found) in (0..).zip(found) {
            for (location, evidence) in found.landings {
                places.entry((config, location)).or_default().push(evidence);
            }
            for stray in &found.strays {
                // Who takes a path from the block that upgrades need not do it in its place.
                if let Some(taker) = stray.way.location
                    && let Some(evidence) = places.get_mut(&(config, taker))
                {
                    evidence.retain(|known| *known != stray.evidence);
                }
            }
            strays.extend(found.strays);
        }
        let places = places;
        let found: Vec<_> = (0..self.configs.len() as u32)
            .into_par_iter()
            .map(|config| {
                let view = arena.view(config);
                let mut doubts = Vec::new();
                let routes = route::routes(view, &project.config, &places, &mut doubts);
                (routes, doubts, missing(view))
            })
            .collect();
        let mut routes = Vec::new();
        let mut noted = HashSet::new();
        let mut unread = Vec::new();
        for (of_config, doubts, missing) in found {
            routes.extend(of_config);
            for doubt in doubts {
                if noted.insert(doubt.span) {
                    undecided.push(Undecided {
                        span: doubt.span,
                        message: doubt.why,
                        alike: None,
                    });
                }
            }
            unread.extend(missing);
        }
        for note in unread {
            if noted.insert(note.span) {
                undecided.push(note);
            }
        }
        (self.routes, self.strays, self.undecided) = (routes, strays, undecided);
        for (index, route) in self.routes.iter().enumerate() {
            let node = self.location_of(route);
            self.at_location.entry(node).or_default().push(index);
        }
        self.note_refusals();
    }

    /// The routes of the same location in the same file as this one's, itself among them.
    pub(crate) fn beside(&self, route: &Route) -> impl Iterator<Item = &Route> {
        let same = self.at_location.get(&self.location_of(route));
        same.into_iter().flatten().map(|index| &self.routes[*index])
    }

    fn location_of(&self, route: &Route) -> (u32, u32) {
        let view = self.view(route.config);
        let item = view.item(view.config.locations[route.location as usize].item);
        (item.tree, item.node)
    }

    /// A syntax error that is a finding is no note as well; what hides a server, and so the routes
    /// that it may have, is one of both.
    fn note_refusals(&mut self) {
        let mut told = HashSet::new();
        let mut hidden = Vec::new();
        for (index, config) in (0..).zip(&self.configs) {
            if !config.refusals.is_empty() && self.carries(index) {
                told.extend(config.refusals.iter().map(|refusal| refusal.span));
            } else {
                hidden.extend(config.refusals.iter().find(|refusal| refusal.hides));
            }
        }
        self.undecided
            .extend(hidden.into_iter().map(|refusal| Undecided {
                span: refusal.span,
                message: format!(
                    "nginx does not start: {}; what stands in its block is not read",
                    refusal.message
                ),
                alike: None,
            }));
        self.undecided.retain(|note| !told.contains(&note.span));
    }

    /// Whether a configuration carries WebSockets: it has a route, or it asks for the upgrade
    /// where a syntax error hides the route.
    pub fn carries(&self, config: u32) -> bool {
        self.routes.iter().any(|route| route.config == config)
            || refused::asks_for_upgrade(self.view(config))
    }

    /// A configuration of it.
    pub fn view(&self, config: u32) -> View<'_> {
        Arena {
            trees: &self.trees,
            configs: &self.configs,
            maps: &self.maps,
        }
        .view(config)
    }
}

/// Includes that nobody could read, where servers or locations may stand in them.
fn missing(view: View<'_>) -> Vec<Undecided> {
    let mut notes: Vec<(u32, Undecided)> = Vec::new();
    for (item, included) in &view.config.includes {
        let Included::Missing(why) = included else {
            continue;
        };
        let directive = view.directive(*item);
        let path = directive.arg(0).unwrap_or_default();
        let matters = matches!(
            view.context(view.item(*item).parent),
            model::Context::Http | model::Context::Server
        );
        if matters {
            let message = format!("what this include brings is not checked: {why}");
            notes.push((*item, Undecided::absent(directive.head(), path, message)));
        }
    }
    notes.sort_by_key(|(item, _)| *item);
    notes.into_iter().map(|(_, note)| note).collect()
}

/// The tails of the paths that `source` includes (`snippets/ws.conf`, `conf.d/*.conf`): the
/// project reads every file that ends so.
pub fn references(source: &Source) -> Vec<String> {
    files::references(&source.text, source.folder())
}

//! Compose files: their services, by which names and ports these are reached, what they run and
//! what they mount.
//!
//! A service may be written in several places: it `extends` another one, or an override file adds
//! to what the file before it says. Files belong together where one includes or overrides another
//! (docs.docker.com/reference/compose-file/{include,merge}); two whole files in one folder are
//! alternatives, as for development and production.

use std::collections::{BTreeSet, HashMap};

use super::{
    Build, Container, Mount, Published, Service, alters, dockerfile, exists, invoked::Invoked,
    is_configuration, removes, substitute,
};
use crate::django::is_for_development;
use crate::finding::Undecided;
use crate::project::{Project, join};
use crate::source::{Source, SourceId, Span};
use crate::yaml::Yaml;

/// Places in which one service is written.
const MAX_LAYERS: usize = 16;

/// Compose projects that one file belongs to.
const MAX_GROUPS: usize = 16;

/// Files that one of them leads to by including others, or that stand beside it.
const MAX_INCLUDED: usize = 256;

/// The names that `docker compose` looks for by itself, in that order.
const DEFAULT_NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];

/// The compose files of a project, and how they belong together.
pub(super) struct Files<'p> {
    project: &'p Project,
    files: Vec<File<'p>>,
    by_path: HashMap<&'p str, usize>,
    invoked: Invoked,
}

struct File<'p> {
    source: &'p Source,
    yaml: &'p Yaml,
    /// The services, by their keys.
    services: Vec<(usize, usize)>,
    /// The services that are built here, by the names of their images.
    images: HashMap<&'p str, usize>,
    /// The files that it adds to.
    bases: Vec<usize>,
    /// The services of which a file that is surely added to it says something else.
    replaced: BTreeSet<&'p str>,
    /// The files that it includes.
    includes: Vec<usize>,
    /// The files whose services reach its own by their names: those that lead to it, or itself.
    groups: Vec<SourceId>,
}

/// A service as it is written in one place.
#[derive(Clone, Copy)]
struct Layer<'f, 'p> {
    file: &'f File<'p>,
    node: usize,
}

impl<'p> Files<'p> {
    /// Reads these files of `project`.
    pub(super) fn read(project: &'p Project, sources: impl Iterator<Item = &'p Source>) -> Self {
        let files: Vec<File<'p>> = sources
            .map(|source| {
                let yaml = source.yaml();
                let services: Vec<(usize, usize)> = services(yaml).collect();
                let built = services.iter().filter_map(|(_, node)| {
                    yaml.get(*node, "build")?;
                    Some((yaml.text(yaml.get(*node, "image")?)?, *node))
                });
                File {
                    source,
                    images: built.collect(),
                    services,
                    yaml,
                    bases: Vec::new(),
                    replaced: BTreeSet::new(),
                    includes: Vec::new(),
                    groups: Vec::new(),
                }
            })
            .collect();
        let mut read = Self {
            project,
            by_path: files
                .iter()
                .enumerate()
                .map(|(index, file)| (file.source.path.as_str(), index))
                .collect(),
            invoked: Invoked::default(),
            files,
        };
        read.invoked = Invoked::read(project, &read.by_path);
        let mut in_folder: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, file) in read.files.iter().enumerate() {
            in_folder
                .entry(file.source.folder())
                .or_default()
                .push(index);
        }
        let mut said: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); read.files.len()];
        for chain in &read.invoked.chains {
            for pair in chain.windows(2) {
                said[pair[1]].insert(pair[0]);
                let added = &read.files[pair[1]];
                if !is_for_development(added.source) {
                    let replaced: Vec<&str> = added.names().collect();
                    read.files[pair[0]].replaced.extend(replaced);
                }
            }
        }
        for (index, said) in said.into_iter().enumerate() {
            let beside = &in_folder[read.files[index].source.folder()];
            let bases = match said.is_empty() {
                true => read.bases(index, beside),
                false => said.into_iter().take(MAX_GROUPS).collect(),
            };
            let includes = read.included(index);
            (read.files[index].bases, read.files[index].includes) = (bases, includes);
        }
        read.group();
        read
    }

    /// The files beside one that it adds to: its name says so, or one of its services can't run by
    /// itself.
    fn bases(&self, index: usize, beside: &[usize]) -> Vec<usize> {
        let file = &self.files[index];
        let lacking: Vec<&str> = file.lacking().collect();
        let stem = file.source.name().split_once(".override.");
        if lacking.is_empty() && stem.is_none() {
            return Vec::new();
        }
        let has = |other: &File<'_>, name: &str| other.service(name).is_some();
        let mut found: Vec<usize> = beside
            .iter()
            .copied()
            .take(MAX_INCLUDED)
            .filter(|other| {
                let other = &self.files[*other];
                let whole = other.source.id != file.source.id
                    && !other.source.name().contains(".override.")
                    && !other.services.is_empty();
                whole && lacking.iter().all(|name| has(other, name))
            })
            .collect();
        // What its own name says, then what is taken where nobody says which.
        let name = |index: &usize| self.files[*index].source.name();
        let named = |wanted: &str| found.iter().position(|other| name(other) == wanted);
        let own = stem.map(|(stem, suffix)| format!("{stem}.{suffix}"));
        let wanted = own.iter().map(String::as_str).chain(DEFAULT_NAMES);
        if let Some(at) = wanted.into_iter().find_map(named) {
            found = vec![found[at]];
        }
        found.truncate(MAX_GROUPS);
        found
    }

    /// The files that one includes, in the project.
    fn included(&self, index: usize) -> Vec<usize> {
        let File { source, yaml, .. } = &self.files[index];
        let Some(list) = yaml.top("include") else {
            return Vec::new();
        };
        let paths = yaml
            .items(list)
            .iter()
            .flat_map(|item| match yaml.text(*item) {
                Some(path) => vec![path],
                None => yaml
                    .get(*item, "path")
                    .map(|paths| yaml.words(paths))
                    .unwrap_or_default(),
            });
        let found = paths.filter_map(|path| {
            let path = substitute(path, &|_| None);
            self.by_path.get(&*join(source.folder(), &path)?).copied()
        });
        found.collect()
    }

    /// Finds the groups of all files, from those to which nobody else leads.
    fn group(&mut self) {
        let mut overlays: Vec<Vec<usize>> = vec![Vec::new(); self.files.len()];
        let mut is_led_to = vec![false; self.files.len()];
        for (index, file) in self.files.iter().enumerate() {
            for base in &file.bases {
                overlays[*base].push(index);
            }
            is_led_to[index] |= !file.bases.is_empty();
            for included in &file.includes {
                is_led_to[*included] |= *included != index;
            }
        }
        let roots = (0..self.files.len()).filter(|index| !is_led_to[*index]);
        for root in roots.collect::<Vec<_>>() {
            let group = self.files[root].source.id;
            let mut seen = BTreeSet::from([root]);
            let mut open = vec![root];
            while let Some(index) = open.pop() {
                let file = &mut self.files[index];
                if file.groups.len() < MAX_GROUPS {
                    file.groups.push(group);
                }
                let next = file.includes.iter().chain(&overlays[index]);
                open.extend(next.filter(|next| seen.len() < MAX_INCLUDED && seen.insert(**next)));
            }
        }
        // In a ring nobody is first.
        for file in &mut self.files {
            if file.groups.is_empty() {
                file.groups.push(file.source.id);
            }
        }
    }

    /// Every service, in the order of the files.
    pub(super) fn services(&self) -> impl Iterator<Item = Service> {
        self.files.iter().flat_map(|file| {
            let services = file.services.iter();
            services.filter_map(|(key, node)| self.described(file, *key, *node))
        })
    }

    /// The containers of the services that hold anything of the project.
    pub(super) fn containers(&self) -> impl Iterator<Item = Container> {
        let services = self.files.iter().flat_map(|file| {
            let services = file.services.iter();
            services.map(move |(_, node)| (file, *node))
        });
        services.filter_map(|(file, node)| {
            let layers = self.layers(file, node);
            let built = self.build(&layers);
            let container = self.contents(&layers, built.as_ref());
            let holds = container.mounts.iter().any(|mount| mount.from.is_some());
            holds.then_some(container)
        })
    }

    /// What can't be read, or belongs to a file that is not there.
    pub(super) fn undecided(&self) -> impl Iterator<Item = Undecided> {
        self.files.iter().filter_map(|File { source, yaml, .. }| {
            let (at, message) = match &yaml.error {
                Some((at, why)) => (
                    *at,
                    format!("no YAML from here on ({why}): services below it are not known"),
                ),
                None => match serves_nothing(yaml)? {
                    Missing::Below(key) => {
                        let message = format!(
                            "`{}` is not read: Docker Compose takes services only below `services:`",
                            yaml.text(key).unwrap_or_default()
                        );
                        (yaml.place(source, key)?.start as usize, message)
                    }
                    Missing::Everything => (0, "a compose file without `services:`".to_owned()),
                },
            };
            let mut ends = (0..=at.min(source.text.len())).rev();
            let at = ends.find(|at| source.text.is_char_boundary(*at))?;
            Some(Undecided {
                span: Span::new(source.id, at..at),
                message,
                alike: None,
            })
        })
    }

    /// The files that are broken, each with the folder in which services are called by its names.
    pub(super) fn broken(&self) -> impl Iterator<Item = SourceId> {
        let broken = self.files.iter().filter(|file| {
            let is_empty = file.source.text.trim().is_empty();
            is_empty || file.yaml.error.is_some() || serves_nothing(file.yaml).is_some()
        });
        broken.map(|file| file.source.id)
    }

    /// Where a service is written: its own place, then those that it extends, then the file that
    /// its own adds to.
    fn layers<'f>(&'f self, file: &'f File<'p>, node: usize) -> Vec<Layer<'f, 'p>> {
        let mut layers: Vec<Layer<'f, 'p>> = Vec::new();
        let mut open = vec![Layer { file, node }];
        while let Some(layer) = open.pop() {
            let known = |other: &Layer<'_, '_>| {
                other.file.source.id == layer.file.source.id && other.node == layer.node
            };
            if layers.len() >= MAX_LAYERS || layers.iter().any(known) {
                continue;
            }
            layers.push(layer);
            if let [base] = layer.file.bases.as_slice()
                && let Some(name) = layer.file.name_of(layer.node)
                && let Some(node) = self.files[*base].service(name)
            {
                open.push(Layer {
                    file: &self.files[*base],
                    node,
                });
            }
            open.extend(self.extended(layer));
        }
        layers
    }

    /// The service that one extends, where that is in the project.
    fn extended<'f>(&'f self, Layer { file, node }: Layer<'f, 'p>) -> Option<Layer<'f, 'p>> {
        let yaml = file.yaml;
        let extends = yaml.get(node, "extends")?;
        let (name, path) = match yaml.text(extends) {
            Some(name) => (name.to_owned(), None),
            None => (
                text_of(yaml, extends, "service")?,
                text_of(yaml, extends, "file"),
            ),
        };
        let file = match path {
            Some(path) => &self.files[*self.by_path.get(&*join(file.source.folder(), &path)?)?],
            None => file,
        };
        let node = file.service(&name)?;
        Some(Layer { file, node })
    }

    fn described(&self, file: &File<'p>, key: usize, node: usize) -> Option<Service> {
        let name = file.yaml.text(key)?.to_owned();
        let layers = self.layers(file, node);
        let built = self.build(&layers);
        let container = self.contents(&layers, built.as_ref());
        let mut names = vec![name.clone()];
        for key in ["container_name", "hostname"] {
            names.extend(text(&layers, key));
        }
        for (yaml, networks) in all(&layers, "networks") {
            for (_, network) in yaml.entries(networks) {
                let aliases = yaml.get(network, "aliases");
                let aliases = aliases.into_iter().flat_map(|aliases| yaml.words(aliases));
                names.extend(aliases.map(str::to_owned));
            }
        }
        for name in &mut names {
            name.make_ascii_lowercase();
        }
        names.sort();
        names.dedup();
        let links = all(&layers, "links").flat_map(|(yaml, links)| yaml.words(links));
        let commands = ["entrypoint", "command"].map(|key| {
            let (layer, command) = first(&layers, key)?;
            let yaml = layer.file.yaml;
            Some((
                yaml.place(layer.file.source, command)?,
                yaml.command(command),
            ))
        });
        let replicas = first(&layers, "deploy")
            .and_then(|(layer, deploy)| text_of(layer.file.yaml, deploy, "replicas"))
            .or_else(|| text(&layers, "scale"))
            .and_then(|count| count.parse().ok());
        Some(Service {
            folder: file.source.folder().to_owned(),
            groups: file.groups.clone(),
            span: file.yaml.place(file.source, key)?,
            names,
            links: links
                .filter_map(|link| link.split_once(':'))
                .map(|(service, alias)| (service.to_owned(), alias.to_ascii_lowercase()))
                .collect(),
            ports: published(&layers),
            overrides: commands[1].is_some(),
            commands: commands.into_iter().flatten().collect(),
            image: text(&layers, "image"),
            build: built,
            container,
            on_host: text(&layers, "network_mode").is_some_and(|mode| mode == "host"),
            replicas: replicas.unwrap_or(1),
            is_optional: {
                let profiles: Vec<&str> = all(&layers, "profiles")
                    .flat_map(|(yaml, names)| yaml.words(names))
                    .collect();
                let folder = file.source.folder();
                !profiles.is_empty() && !self.invoked.starts(folder, &profiles)
            },
            is_replaced: file.replaced.contains(name.as_str()),
            name,
        })
    }

    /// What a service is built from.
    fn build(&self, layers: &[Layer<'_, 'p>]) -> Option<Build> {
        let (Layer { file, .. }, build) = written_build(layers)?;
        let yaml = file.yaml;
        let context = match yaml.text(build) {
            Some(context) => substitute(context, &|_| None),
            None => text_of(yaml, build, "context").unwrap_or_else(|| ".".to_owned()),
        };
        let context = join(file.source.folder(), &context)?;
        let name = text_of(yaml, build, "dockerfile").unwrap_or_else(|| "Dockerfile".to_owned());
        let found = self.project.by_path(&join(&context, &name)?);
        Some(Build {
            dockerfile: found.map(|found| found.id),
            target: text_of(yaml, build, "target"),
            context,
        })
    }

    /// What the container of a service holds.
    fn contents(&self, layers: &[Layer<'_, 'p>], built: Option<&Build>) -> Container {
        let project = self.project;
        let has_build = written_build(layers).is_some();
        let built_from = built.filter(|build| build.dockerfile.is_none());
        let built_from = built_from.map(|build| build.context.clone());
        let built = built.and_then(|build| {
            let file = project.source(build.dockerfile?);
            let target = build.target.as_deref();
            dockerfile::container(project, file, Some(&build.context), target)
        });
        let written = first(layers, "image").and_then(|(layer, at)| layer.file.yaml.text(at));
        let mut container = match (built, has_build, written) {
            (Some(container), ..) => container,
            (None, false, Some(image)) => Container::of_image(image, &substitute(image, &|_| None)),
            _ => Container {
                altered: true,
                built_from,
                ..Container::default()
            },
        };
        // What is written first is mounted last, over the others.
        for layer in layers.iter().rev() {
            for (from, to) in volumes(layer.file.yaml, layer.node) {
                // Another path is a named volume or one of the machine.
                let from = (from.starts_with('.'))
                    .then(|| join(layer.file.source.folder(), &from))
                    .flatten()
                    .filter(|from| exists(project, from) && !from.contains('$'));
                container.altered |= from.is_none() && is_configuration(&to);
                container.mounts.push(Mount {
                    from,
                    to,
                    hides: true,
                });
            }
        }
        for key in ["command", "entrypoint"] {
            if let Some((layer, command)) = first(layers, key) {
                let command = layer.file.yaml.command(command);
                container.altered |= alters(&command);
                container.removed |= removes(&command);
                container.note_command(&command);
            }
        }
        let has = |key: &str| first(layers, key).is_some();
        let unknown = layers.iter().any(|layer| {
            layer.file.yaml.get(layer.node, "extends").is_some() && self.extended(*layer).is_none()
        });
        container.altered |= unknown || has("configs") || has("develop");
        // `environment` counts before `env_file`, and both before the image's own.
        if unknown || has("env_file") {
            container.environment.read_file();
        }
        for Layer { file, node } in layers.iter().rev() {
            container.environment.read_in(file.source.id);
            if let Some(environment) = file.yaml.get(*node, "environment") {
                let container = &mut container.environment;
                container.compose(file.source, file.yaml, environment);
            }
        }
        container
    }
}

impl<'p> File<'p> {
    fn service(&self, name: &str) -> Option<usize> {
        let mut services = self.services.iter();
        services
            .find(|(key, _)| self.yaml.text(*key) == Some(name))
            .map(|(_, node)| *node)
    }

    fn name_of(&self, node: usize) -> Option<&str> {
        let mut services = self.services.iter();
        let (key, _) = services.find(|(_, service)| *service == node)?;
        self.yaml.text(*key)
    }

    fn names(&self) -> impl Iterator<Item = &'p str> {
        let services = self.services.iter();
        services.filter_map(|(key, _)| self.yaml.text(*key))
    }

    /// The services that nothing here says how to start.
    fn lacking(&self) -> impl Iterator<Item = &str> {
        let lacks = |node: usize| {
            let keys = ["image", "build", "extends"];
            keys.iter().all(|key| self.yaml.get(node, key).is_none())
        };
        let services = self.services.iter();
        services
            .filter(move |(_, node)| lacks(*node))
            .filter_map(|(key, _)| self.yaml.text(*key))
    }
}

/// The value of a key in the first place that has it.
fn first<'f, 'p>(layers: &[Layer<'f, 'p>], key: &str) -> Option<(Layer<'f, 'p>, usize)> {
    let mut layers = layers.iter();
    layers.find_map(|layer| Some((*layer, layer.file.yaml.get(layer.node, key)?)))
}

/// The `build` of a service or, where it has none, of the one whose image it runs: compose calls
/// what it builds by the name that `image` says (docs.docker.com/reference/compose-file/build).
fn written_build<'f, 'p>(layers: &[Layer<'f, 'p>]) -> Option<(Layer<'f, 'p>, usize)> {
    first(layers, "build").or_else(|| {
        let (Layer { file, .. }, image) = first(layers, "image")?;
        let node = *file.images.get(file.yaml.text(image)?)?;
        let builds = Layer { file, node };
        Some((builds, file.yaml.get(node, "build")?))
    })
}

/// The values of a key in all places.
fn all<'f>(layers: &[Layer<'f, '_>], key: &str) -> impl Iterator<Item = (&'f Yaml, usize)> {
    let layers = layers.iter();
    layers.filter_map(move |layer| {
        let yaml = layer.file.yaml;
        Some((yaml, yaml.get(layer.node, key)?))
    })
}

/// The text of a key, with the defaults of its variables.
fn text(layers: &[Layer<'_, '_>], key: &str) -> Option<String> {
    let (layer, value) = first(layers, key)?;
    Some(substitute(layer.file.yaml.text(value)?, &|_| None))
}

/// The same, of one map.
fn text_of(yaml: &Yaml, map: usize, key: &str) -> Option<String> {
    let text = yaml.text(yaml.get(map, key)?)?;
    Some(substitute(text, &|_| None))
}

/// The volumes of a service: what it mounts, and where.
fn volumes(yaml: &Yaml, service: usize) -> Vec<(String, String)> {
    let volumes = yaml
        .get(service, "volumes")
        .map(|volumes| yaml.items(volumes));
    volumes
        .unwrap_or_default()
        .iter()
        .filter_map(|volume| {
            if let Some(text) = yaml.text(*volume) {
                let text = substitute(text, &|_| None);
                let (from, rest) = text.split_once(':')?;
                let to = rest.split(':').next().unwrap_or(rest);
                return Some((from.to_owned(), to.to_owned()));
            }
            let from = yaml.text(yaml.get(*volume, "source")?)?;
            let to = yaml.text(yaml.get(*volume, "target")?)?;
            Some((substitute(from, &|_| None), to.to_owned()))
        })
        .collect()
}

/// The services of a compose file, by their keys.
fn services(yaml: &Yaml) -> impl Iterator<Item = (usize, usize)> {
    let services = yaml.top("services").into_iter();
    services.flat_map(|services| yaml.pairs(services))
}

/// What all services of `source` mount, and where.
pub(super) fn pairs(source: &Source) -> Vec<(String, String)> {
    let yaml = source.yaml();
    services(yaml)
        .flat_map(|(_, service)| volumes(yaml, service))
        .collect()
}

/// The services of `source` that only a profile starts.
pub(super) fn optional(source: &Source) -> Vec<(Span, Vec<String>)> {
    let yaml = source.yaml();
    services(yaml)
        .filter_map(|(_, service)| {
            let profiles = yaml.words(yaml.get(service, "profiles")?);
            let profiles: Vec<String> = profiles.into_iter().map(str::to_owned).collect();
            let span = yaml.place(source, service)?;
            (!profiles.is_empty()).then_some((span, profiles))
        })
        .collect()
}

/// The other files that `source` names: those that it includes, and those whose services its own
/// extend, as they are written.
pub(super) fn named_files(source: &Source) -> Vec<String> {
    if !source.text.contains("include:") && !source.text.contains("extends:") {
        return Vec::new();
    }
    let yaml = source.yaml();
    let mut found: Vec<String> = Vec::new();
    for item in yaml
        .top("include")
        .map(|list| yaml.items(list))
        .unwrap_or_default()
    {
        let paths = match yaml.text(*item) {
            Some(path) => vec![path],
            None => yaml
                .get(*item, "path")
                .map(|paths| yaml.words(paths))
                .unwrap_or_default(),
        };
        found.extend(paths.into_iter().map(|path| substitute(path, &|_| None)));
    }
    let services = yaml.top("services");
    for (_, service) in services
        .into_iter()
        .flat_map(|services| yaml.pairs(services))
    {
        let extends = yaml.get(service, "extends");
        found.extend(extends.and_then(|extends| text_of(yaml, extends, "file")));
    }
    found
}

/// The ports that a service publishes: `8080:80`, `127.0.0.1:8080:80/tcp`, or the long form.
fn published(layers: &[Layer<'_, '_>]) -> Vec<Published> {
    let mut found: Vec<Published> = Vec::new();
    for layer in layers {
        let yaml = layer.file.yaml;
        let ports = yaml.get(layer.node, "ports").map(|ports| yaml.items(ports));
        let ports = ports.unwrap_or_default().iter();
        found.extend(ports.filter_map(|port| {
            let span = yaml.place(layer.file.source, *port)?;
            let (published, target) = match yaml.text(*port) {
                Some(text) => {
                    let text = substitute(text, &|_| None);
                    let text = text.split('/').next().unwrap_or_default();
                    let mut parts = text.rsplitn(3, ':');
                    let target = parts.next()?.trim().parse().ok()?;
                    (parts.next()?.trim().parse().ok()?, target)
                }
                None => (
                    text_of(yaml, *port, "published")?.parse().ok()?,
                    text_of(yaml, *port, "target")?.parse().ok()?,
                ),
            };
            Some(Published {
                published,
                target,
                span,
            })
        }));
    }
    found
}

/// Why a file without services is none that compose takes.
enum Missing {
    /// They stand below this key, at the top as in its first format, or under a name with a slip.
    Below(usize),
    /// It holds no keys: a page, or prose.
    Everything,
}

/// What is wrong with a file that has no services. Networks and volumes alone are what another file
/// builds upon (compose-spec/schema/compose-spec.json), and comments alone are somebody's choice.
fn serves_nothing(yaml: &Yaml) -> Option<Missing> {
    const KNOWN: &[&str] = &[
        "version", "name", "include", "services", "models", "networks", "volumes", "secrets",
        "configs",
    ];
    if yaml.top("services").is_some() || yaml.is_empty() {
        return None;
    }
    let mut keys = yaml.pairs(0).map(|(key, _)| key).peekable();
    if keys.peek().is_none() {
        return Some(Missing::Everything);
    }
    let unknown = keys.find(|key| {
        let name = yaml.text(*key).unwrap_or_default();
        !KNOWN.contains(&name) && !name.starts_with("x-")
    });
    unknown.map(Missing::Below)
}

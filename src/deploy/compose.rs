//! Compose files: their services, by which names and ports these are reached, what they run and
//! what they mount.

use std::ops::Range;

use saphyr_parser::{Event, Parser};

use super::{
    Build, Container, Mount, Published, Service, alters, base_of, dockerfile, exists,
    is_configuration, substitute,
};
use crate::project::{Project, join};
use crate::source::{Source, Span};

/// Aliases and merges that are followed one into the other.
const MAX_MERGES: usize = 16;

/// A YAML file as a flat list of nodes, so that nothing recurses.
struct Yaml {
    nodes: Vec<Node>,
    /// Where each node stands, in bytes.
    places: Vec<Range<usize>>,
}

enum Node {
    Scalar(String),
    List(Vec<usize>),
    /// Keys and values in turn.
    Map(Vec<usize>),
    Alias(usize),
}

impl Yaml {
    /// Reads a file, as far as it is YAML.
    fn read(text: &str) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        let mut places: Vec<Range<usize>> = Vec::new();
        let mut anchors = std::collections::HashMap::new();
        let mut open: Vec<usize> = Vec::new();
        // The parser counts characters.
        let bytes: Vec<usize> = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().map(|(byte, _)| byte).collect()
        };
        let byte = |character: usize| {
            let found = bytes.get(character).copied();
            found.unwrap_or(character.min(text.len()))
        };
        for event in Parser::new_from_str(text) {
            let Ok((event, place)) = event else { break };
            let place = byte(place.start.index())..byte(place.end.index());
            let (node, anchor, opens) = match event {
                Event::Scalar(text, _, anchor, _) => {
                    (Node::Scalar(text.into_owned()), anchor, false)
                }
                Event::SequenceStart(anchor, _) => (Node::List(Vec::new()), anchor, true),
                Event::MappingStart(anchor, _) => (Node::Map(Vec::new()), anchor, true),
                Event::Alias(anchor) => {
                    let target = anchors.get(&anchor).copied().unwrap_or(usize::MAX);
                    (Node::Alias(target), 0, false)
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    if let Some(outer) = open.pop() {
                        places[outer].end = place.end;
                    }
                    continue;
                }
                _ => continue,
            };
            let index = nodes.len();
            if let Some(Node::List(items) | Node::Map(items)) =
                open.last().and_then(|outer| nodes.get_mut(*outer))
            {
                items.push(index);
            }
            nodes.push(node);
            places.push(place);
            if anchor > 0 {
                anchors.insert(anchor, index);
            }
            if opens {
                open.push(index);
            }
        }
        Self { nodes, places }
    }

    fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(self.followed(index)?)
    }

    /// The node that an alias stands for, or the node itself.
    fn followed(&self, mut index: usize) -> Option<usize> {
        for _ in 0..MAX_MERGES {
            match self.nodes.get(index)? {
                Node::Alias(target) => index = *target,
                _ => return Some(index),
            }
        }
        None
    }

    /// Where the node that an alias stands for is, or the node itself.
    fn place(&self, source: &Source, index: usize) -> Option<Span> {
        let place = self.places.get(self.followed(index)?)?.clone();
        (place.start <= place.end).then(|| Span::new(source.id, place))
    }

    fn text(&self, index: usize) -> Option<&str> {
        match self.node(index)? {
            Node::Scalar(text) => Some(text),
            _ => None,
        }
    }

    fn items(&self, index: usize) -> &[usize] {
        match self.node(index) {
            Some(Node::List(items)) => items,
            _ => &[],
        }
    }

    fn entries(&self, index: usize) -> impl Iterator<Item = (&str, usize)> {
        self.pairs(index)
            .filter_map(|(key, value)| Some((self.text(key)?, value)))
    }

    /// Keys and values, as nodes.
    fn pairs(&self, index: usize) -> impl Iterator<Item = (usize, usize)> {
        let items: &[usize] = match self.node(index) {
            Some(Node::Map(items)) => items,
            _ => &[],
        };
        items.chunks_exact(2).map(|pair| (pair[0], pair[1]))
    }

    /// The value of a key, its own or a merged one.
    fn get(&self, mut map: usize, key: &str) -> Option<usize> {
        for _ in 0..MAX_MERGES {
            if let Some((_, value)) = self.entries(map).find(|(name, _)| *name == key) {
                return Some(value);
            }
            let (_, merged) = self.entries(map).find(|(name, _)| *name == "<<")?;
            if let Some(Node::List(maps)) = self.node(merged) {
                return maps.iter().find_map(|map| {
                    self.entries(*map)
                        .find(|(name, _)| *name == key)
                        .map(|(_, value)| value)
                });
            }
            map = merged;
        }
        None
    }

    /// A command: a line, or a list of words.
    fn command(&self, index: usize) -> String {
        match self.text(index) {
            Some(text) => text.to_owned(),
            None => self
                .items(index)
                .iter()
                .filter_map(|word| self.text(*word))
                .collect::<Vec<_>>()
                .join(" "),
        }
    }

    /// The services.
    fn services(&self) -> impl Iterator<Item = usize> {
        self.named_services().map(|(_, service)| service)
    }

    /// The services with their keys.
    fn named_services(&self) -> impl Iterator<Item = (usize, usize)> {
        let services = (!self.nodes.is_empty())
            .then(|| self.get(0, "services"))
            .flatten();
        services
            .into_iter()
            .flat_map(|services| self.pairs(services))
    }

    /// The words of a value: one, or a list of them.
    fn words(&self, index: usize) -> Vec<&str> {
        match self.text(index) {
            Some(text) => vec![text],
            None => {
                let items = self.items(index).iter();
                items.filter_map(|item| self.text(*item)).collect()
            }
        }
    }

    /// The volumes of a service: what it mounts, and where.
    fn volumes(&self, service: usize) -> Vec<(String, String)> {
        let volumes = self
            .get(service, "volumes")
            .map(|volumes| self.items(volumes))
            .unwrap_or_default();
        volumes
            .iter()
            .filter_map(|volume| {
                if let Some(text) = self.text(*volume) {
                    let text = substitute(text, &|_| None);
                    let (from, rest) = text.split_once(':')?;
                    let to = rest.split(':').next().unwrap_or(rest);
                    return Some((from.to_owned(), to.to_owned()));
                }
                let from = self.text(self.get(*volume, "source")?)?;
                let to = self.text(self.get(*volume, "target")?)?;
                Some((substitute(from, &|_| None), to.to_owned()))
            })
            .collect()
    }
}

/// The containers of the services in `source` that may run nginx.
pub(super) fn containers(project: &Project, source: &Source) -> Vec<Container> {
    let yaml = Yaml::read(&source.text);
    yaml.services()
        .filter_map(|service| container(project, source, &yaml, service))
        .collect()
}

/// What all services of `source` mount, and where.
pub(super) fn pairs(source: &Source) -> Vec<(String, String)> {
    let yaml = Yaml::read(&source.text);
    yaml.services()
        .flat_map(|service| yaml.volumes(service))
        .collect()
}

/// The text of a key, with the defaults of its variables.
fn text(yaml: &Yaml, map: usize, key: &str) -> Option<String> {
    let text = yaml.text(yaml.get(map, key)?)?;
    Some(substitute(text, &|_| None))
}

/// What a service is built from.
fn build(project: &Project, source: &Source, yaml: &Yaml, service: usize) -> Option<Build> {
    let build = yaml.get(service, "build")?;
    let context = match yaml.text(build) {
        Some(context) => substitute(context, &|_| None),
        None => text(yaml, build, "context").unwrap_or_else(|| ".".to_owned()),
    };
    let context = join(source.folder(), &context)?;
    let name = text(yaml, build, "dockerfile").unwrap_or_else(|| "Dockerfile".to_owned());
    let file = project.by_path(&join(&context, &name)?);
    Some(Build {
        dockerfile: file.map(|file| file.id),
        target: text(yaml, build, "target"),
        context,
    })
}

fn container(project: &Project, source: &Source, yaml: &Yaml, service: usize) -> Option<Container> {
    let built = build(project, source, yaml, service);
    let container = contents(project, source, yaml, service, built.as_ref());
    (container.mounts.iter().any(|mount| mount.from.is_some())).then_some(container)
}

/// The services of `source`.
pub(super) fn services(project: &Project, source: &Source) -> Vec<Service> {
    let yaml = Yaml::read(&source.text);
    yaml.named_services()
        .filter_map(|(key, service)| described(project, source, &yaml, key, service))
        .collect()
}

fn described(
    project: &Project,
    source: &Source,
    yaml: &Yaml,
    key: usize,
    service: usize,
) -> Option<Service> {
    let name = yaml.text(key)?.to_owned();
    let built = build(project, source, yaml, service);
    let container = contents(project, source, yaml, service, built.as_ref());
    let mut names = vec![name.clone()];
    for key in ["container_name", "hostname"] {
        names.extend(text(yaml, service, key));
    }
    let networks = yaml.get(service, "networks");
    for (_, network) in networks.into_iter().flat_map(|all| yaml.entries(all)) {
        let aliases = yaml.get(network, "aliases");
        let aliases = aliases.into_iter().flat_map(|aliases| yaml.words(aliases));
        names.extend(aliases.map(str::to_owned));
    }
    for name in &mut names {
        name.make_ascii_lowercase();
    }
    names.sort();
    names.dedup();
    let links = yaml.get(service, "links").into_iter();
    let links = links.flat_map(|links| yaml.words(links));
    let commands = ["entrypoint", "command"].map(|key| {
        let command = yaml.get(service, key)?;
        let words = yaml.command(command);
        Some((yaml.place(source, command)?, words))
    });
    let replicas = yaml
        .get(service, "deploy")
        .and_then(|deploy| text(yaml, deploy, "replicas"))
        .or_else(|| text(yaml, service, "scale"))
        .and_then(|count| count.parse().ok());
    Some(Service {
        folder: source.folder().to_owned(),
        span: yaml.place(source, key)?,
        name,
        names,
        links: links
            .filter_map(|link| link.split_once(':'))
            .map(|(service, alias)| (service.to_owned(), alias.to_ascii_lowercase()))
            .collect(),
        ports: published(source, yaml, service),
        overrides: commands[1].is_some(),
        commands: commands.into_iter().flatten().collect(),
        image: text(yaml, service, "image"),
        build: built,
        container,
        on_host: text(yaml, service, "network_mode").is_some_and(|mode| mode == "host"),
        replicas: replicas.unwrap_or(1),
    })
}

/// The ports that a service publishes: `8080:80`, `127.0.0.1:8080:80/tcp`, or the long form.
fn published(source: &Source, yaml: &Yaml, service: usize) -> Vec<Published> {
    let ports = yaml.get(service, "ports").map(|ports| yaml.items(ports));
    let ports = ports.unwrap_or_default().iter();
    let found = ports.filter_map(|port| {
        let span = yaml.place(source, *port)?;
        let (published, target) = match yaml.text(*port) {
            Some(text) => {
                let text = substitute(text, &|_| None);
                let text = text.split('/').next().unwrap_or_default();
                let mut parts = text.rsplitn(3, ':');
                let target = parts.next()?.trim().parse().ok()?;
                (parts.next()?.trim().parse().ok()?, target)
            }
            None => (
                text(yaml, *port, "published")?.parse().ok()?,
                text(yaml, *port, "target")?.parse().ok()?,
            ),
        };
        Some(Published {
            published,
            target,
            span,
        })
    });
    found.collect()
}

/// What the container of a service holds.
fn contents(
    project: &Project,
    source: &Source,
    yaml: &Yaml,
    service: usize,
    built: Option<&Build>,
) -> Container {
    let built = built.and_then(|build| {
        let file = project.source(build.dockerfile?);
        let target = build.target.as_deref();
        dockerfile::container(project, file, Some(&build.context), target)
    });
    let image = text(yaml, service, "image");
    let mut container = match (built, yaml.get(service, "build"), image) {
        (Some(container), ..) => container,
        (None, None, Some(image)) => Container {
            base: base_of(&image),
            ..Container::default()
        },
        _ => Container {
            altered: true,
            ..Container::default()
        },
    };
    for (from, to) in yaml.volumes(service) {
        // Another path is a named volume or one of the machine.
        let from = (from.starts_with('.'))
            .then(|| join(source.folder(), &from))
            .flatten()
            .filter(|from| exists(project, from) && !from.contains('$'));
        container.altered |= from.is_none() && is_configuration(&to);
        container.mounts.push(Mount {
            from,
            to,
            hides: true,
        });
    }
    for key in ["command", "entrypoint"] {
        container.altered |= yaml
            .get(service, key)
            .is_some_and(|command| alters(&yaml.command(command)));
    }
    container.altered |= ["configs", "extends", "develop"]
        .iter()
        .any(|key| yaml.get(service, key).is_some());
    container
}

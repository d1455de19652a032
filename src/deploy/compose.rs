//! Compose files: the services that run nginx, and their volumes.

use saphyr_parser::{Event, Parser};

use super::{
    Base, Container, Mount, alters, base_of, dockerfile, exists, is_configuration, substitute,
};
use crate::project::{Project, join};
use crate::source::Source;

/// Aliases and merges that are followed one into the other.
const MAX_MERGES: usize = 16;

/// A YAML file as a flat list of nodes, so that nothing recurses.
struct Yaml {
    nodes: Vec<Node>,
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
        let mut anchors = std::collections::HashMap::new();
        let mut open: Vec<usize> = Vec::new();
        for event in Parser::new_from_str(text) {
            let Ok((event, _)) = event else { break };
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
                    open.pop();
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
            if anchor > 0 {
                anchors.insert(anchor, index);
            }
            if opens {
                open.push(index);
            }
        }
        Self { nodes }
    }

    fn node(&self, mut index: usize) -> Option<&Node> {
        for _ in 0..MAX_MERGES {
            match self.nodes.get(index)? {
                Node::Alias(target) => index = *target,
                node => return Some(node),
            }
        }
        None
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
        let items: &[usize] = match self.node(index) {
            Some(Node::Map(items)) => items,
            _ => &[],
        };
        items
            .chunks_exact(2)
            .filter_map(|pair| Some((self.text(pair[0])?, pair[1])))
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
        let services = (!self.nodes.is_empty())
            .then(|| self.get(0, "services"))
            .flatten();
        services
            .into_iter()
            .flat_map(|services| self.entries(services).map(|(_, service)| service))
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

fn container(project: &Project, source: &Source, yaml: &Yaml, service: usize) -> Option<Container> {
    let text = |map: usize, key: &str| {
        let text = yaml.text(yaml.get(map, key)?)?;
        Some(substitute(text, &|_| None))
    };
    let built = yaml.get(service, "build").and_then(|build| {
        let context = match yaml.text(build) {
            Some(context) => substitute(context, &|_| None),
            None => text(build, "context").unwrap_or_else(|| ".".to_owned()),
        };
        let context = join(source.folder(), &context)?;
        let name = text(build, "dockerfile").unwrap_or_else(|| "Dockerfile".to_owned());
        let file = project.by_path(&join(&context, &name)?)?;
        dockerfile::container(
            project,
            file,
            Some(&context),
            text(build, "target").as_deref(),
        )
    });
    let mut container = match (built, yaml.get(service, "build"), text(service, "image")) {
        (Some(container), ..) => container,
        (None, None, Some(image)) => Container {
            base: base_of(&image),
            mounts: Vec::new(),
            altered: false,
        },
        _ => Container {
            base: Base::Other,
            mounts: Vec::new(),
            altered: true,
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
    (container.mounts.iter().any(|mount| mount.from.is_some())).then_some(container)
}

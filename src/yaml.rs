//! YAML as compose files use it: keys, lists, anchors and merges, as far as it can be read.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser};

use crate::source::{Source, Span};

/// Aliases and merges that are followed one into the other.
const MAX_MERGES: usize = 16;

/// A YAML file as a flat list of nodes, so that nothing recurses.
#[derive(Debug)]
pub(crate) struct Yaml {
    nodes: Vec<Node>,
    /// Where each node stands, in bytes.
    places: Vec<Range<usize>>,
    /// Where it stops to be YAML, and why.
    pub(crate) error: Option<(usize, String)>,
}

#[derive(Debug)]
pub(crate) enum Node {
    Scalar(String),
    List(Vec<usize>),
    /// Keys and values in turn.
    Map(Vec<usize>),
    Alias(usize),
}

impl Yaml {
    /// Reads a file, as far as it is YAML.
    pub(crate) fn read(text: &str) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        let mut places: Vec<Range<usize>> = Vec::new();
        let mut anchors = HashMap::new();
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
        let mut error = None;
        for event in Parser::new_from_str(text) {
            let (event, place) = match event {
                Ok(found) => found,
                Err(problem) => {
                    let at = byte(problem.marker().index());
                    error = Some((at, problem.info().to_owned()));
                    break;
                }
            };
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
        Self {
            nodes,
            places,
            error,
        }
    }

    pub(crate) fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(self.followed(index)?)
    }

    /// The node that an alias stands for, or the node itself.
    pub(crate) fn followed(&self, mut index: usize) -> Option<usize> {
        for _ in 0..MAX_MERGES {
            match self.nodes.get(index)? {
                Node::Alias(target) => index = *target,
                _ => return Some(index),
            }
        }
        None
    }

    /// Where the node that an alias stands for is, or the node itself.
    pub(crate) fn place(&self, source: &Source, index: usize) -> Option<Span> {
        let place = self.places.get(self.followed(index)?)?.clone();
        (place.start <= place.end).then(|| Span::new(source.id, place))
    }

    pub(crate) fn text(&self, index: usize) -> Option<&str> {
        match self.node(index)? {
            Node::Scalar(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn items(&self, index: usize) -> &[usize] {
        match self.node(index) {
            Some(Node::List(items)) => items,
            _ => &[],
        }
    }

    pub(crate) fn entries(&self, index: usize) -> impl Iterator<Item = (&str, usize)> {
        self.pairs(index)
            .filter_map(|(key, value)| Some((self.text(key)?, value)))
    }

    /// Keys and values, as nodes.
    pub(crate) fn pairs(&self, index: usize) -> impl Iterator<Item = (usize, usize)> {
        let items: &[usize] = match self.node(index) {
            Some(Node::Map(items)) => items,
            _ => &[],
        };
        items.chunks_exact(2).map(|pair| (pair[0], pair[1]))
    }

    /// The value of a key, its own or a merged one.
    pub(crate) fn get(&self, mut map: usize, key: &str) -> Option<usize> {
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
    pub(crate) fn command(&self, index: usize) -> String {
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

    /// The words of a value: one, or a list of them.
    pub(crate) fn words(&self, index: usize) -> Vec<&str> {
        match self.text(index) {
            Some(text) => vec![text],
            None => {
                let items = self.items(index).iter();
                items.filter_map(|item| self.text(*item)).collect()
            }
        }
    }

    /// Whether it holds nothing, or comments alone.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The entries of a key at the top.
    pub(crate) fn top(&self, key: &str) -> Option<usize> {
        (!self.nodes.is_empty()).then(|| self.get(0, key)).flatten()
    }
}

//! `map`: placeholders whose values depend on another one (modules/caddyhttp/map/map.go).

use std::collections::HashMap;

use regex::Regex;

use super::expand::{Directive, Word};
use super::matcher;
use super::placeholder::{Scene, fill};

/// Regular expressions of one map that are tried.
const MAX_EXPRESSIONS: usize = 200;

/// Maps that depend on each other are followed so far; Caddy itself never returns from a circle.
const MAX_BEHIND: usize = 4;

/// Placeholders in one text that are followed into other maps.
const MAX_PLACEHOLDERS: usize = 4;

/// A `map`.
#[derive(Clone, Debug, Default)]
pub struct Map {
    source: Option<Word>,
    /// Without braces.
    destinations: Vec<String>,
    /// Inputs that are compared as they are, with the place of their line.
    literals: HashMap<String, usize>,
    /// Inputs with a `~`; `None` where one cannot be compiled here.
    expressions: Vec<(usize, Option<Regex>)>,
    /// The outputs of each line; `None` for `-`.
    outputs: Vec<Vec<Option<Word>>>,
    defaults: Vec<Word>,
    /// Not all lines are certain.
    is_open: bool,
}

impl Map {
    /// Reads the directive; `args` are its arguments without the matcher.
    pub(super) fn parse(directive: &Directive, args: &[Word]) -> Self {
        let mut map = Self {
            source: args.first().cloned(),
            is_open: directive.partial,
            ..Self::default()
        };
        let names = args.iter().skip(1);
        map.destinations = names
            .map(|word| word.text.trim_matches(['{', '}']).to_owned())
            .collect();
        for line in directive.children() {
            let Some((input, outputs)) = line.words.split_first() else {
                continue;
            };
            map.is_open |= line.conditional || line.partial || input.unknown.is_some();
            if input.text == "default" {
                map.defaults = outputs.to_vec();
                continue;
            }
            let at = map.outputs.len();
            let given = |word: &Word| (word.text != "-").then(|| word.clone());
            map.outputs.push(outputs.iter().map(given).collect());
            match input.text.strip_prefix('~') {
                Some(expression) => {
                    let expression = Word {
                        text: expression.to_owned(),
                        ..input.clone()
                    };
                    map.expressions.push((at, matcher::regex(&expression)));
                }
                None => {
                    map.literals.entry(input.text.clone()).or_insert(at);
                }
            }
        }
        map.is_open |= map.expressions.len() > MAX_EXPRESSIONS;
        map
    }

    /// The names that it gives a value.
    pub(super) fn destinations(&self) -> impl Iterator<Item = &str> {
        self.destinations.iter().map(String::as_str)
    }

    /// What the placeholder `name` stands for; `None` if it is not one of these, the inner one if
    /// more than the handshake decides it.
    pub(super) fn value(&self, name: &str, scene: &Scene<'_>) -> Option<Option<String>> {
        let column = self.destinations.iter().position(|own| own == name)?;
        let scene = Scene {
            behind: scene.behind + 1,
            ..*scene
        };
        Some(self.output(column, &scene))
    }

    fn output(&self, column: usize, scene: &Scene<'_>) -> Option<String> {
        if self.is_open {
            return None;
        }
        let follows = |text: &str| {
            let few = text.matches('{').count() <= MAX_PLACEHOLDERS;
            !text.contains('{') || few && scene.behind <= MAX_BEHIND
        };
        let filled = |word: &Word| fill(word.known().filter(|text| follows(text))?, scene);
        let input = filled(self.source.as_ref()?)?;
        let output = |line: usize| self.outputs[line].get(column)?.as_ref();
        // A line without an output of its own for this name is passed over.
        let literal = self.literals.get(&input).copied();
        let literal = literal.filter(|line| output(*line).is_some());
        for (line, expression) in &self.expressions {
            if literal.is_some_and(|literal| literal < *line) {
                break;
            }
            let Some(word) = output(*line) else { continue };
            let expression = expression.as_ref()?;
            if let Some(captures) = expression.captures(&input) {
                let mut value = String::new();
                captures.expand(word.known()?, &mut value);
                return Some(value);
            }
        }
        match literal.and_then(output).or(self.defaults.get(column)) {
            Some(word) => filled(word),
            None => Some(String::new()),
        }
    }
}

//! What a `map`, also one of another configuration, gives for a variable.

use super::{MAX_DEPTH, Scope, Step, either, is_captured, one_of, unknown};
use crate::nginx::map::{Entry, Keys};
use crate::nginx::model::{ItemId, View};
use crate::value::Value;

impl<'a> Scope<'a> {
    /// A variable that nothing in this configuration defines.
    pub(super) fn foreign(&mut self, name: &str) -> Value {
        let view = self.view;
        // A fragment's variable comes from a file that we see if only one can supply it: one of
        // its own folder (`conf.d`, `sites-enabled`), which one `http` includes, before others.
        if view.config.is_open()
            && let Some(only) = view.arena.maps.get(name)
        {
            if let Some((config, map)) = only.or_else(|| self.neighbour(name))
                && config != view.index
            {
                return self.mapped(view.arena.view(config), map);
            }
            return unknown(format!("several files map `${name}`"));
        }
        if self.here.is_some() && is_captured(view, name) {
            return Value::Known(String::new());
        }
        if name == "connection_upgrade" || name == "proxy_connection" {
            return unknown(format!("`${name}` is mapped nowhere in the project"));
        }
        unknown(format!("`${name}` is not known from the files"))
    }

    /// The one map of that variable in the fragments of this one's folder.
    fn neighbour(&self, name: &str) -> Option<(u32, ItemId)> {
        let own = self.view.config;
        let mut found = (0..)
            .zip(self.view.arena.configs)
            .filter(|(_, config)| !own.complete && !config.complete && config.folder == own.folder)
            .filter_map(|(index, config)| Some((index, config.maps.get(name)?)))
            .flat_map(|(index, maps)| maps.iter().map(move |map| (index, *map)));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// The value that a `map`, `geo` or `split_clients` gives.
    pub(super) fn mapped(&mut self, view: View<'a>, map: ItemId) -> Value {
        if self.depth >= MAX_DEPTH {
            return unknown("maps that refer to each other in a circle, or in a very long chain");
        }
        self.depth += 1;
        // Values of a map are looked up where the map stands.
        let outer = std::mem::replace(&mut self.view, view);
        let value = match view.directive(map).name() {
            "map" => self.map(map),
            _ => self.any_entry(map),
        };
        self.view = outer;
        self.depth -= 1;
        value
    }

    /// `geo` and `split_clients` decide by the client: any entry may be it.
    pub(super) fn any_entry(&mut self, block: ItemId) -> Value {
        let view = self.view;
        let special = ["delete", "ranges", "proxy", "proxy_recursive", "include"];
        let mut values = Vec::new();
        for entry in view.children(block) {
            let directive = view.directive(entry);
            match directive.args() {
                [value] if !special.contains(&directive.name()) && !value.templated => {
                    values.push(value.text.clone());
                }
                _ => return unknown("the client's address decides"),
            }
        }
        one_of(values)
    }

    pub(super) fn map(&mut self, map: ItemId) -> Value {
        let view = self.view;
        let step = self.steps.len();
        self.steps.push(Step {
            config: view.index,
            map,
            entry: None,
        });
        let Some(source) = view.directive(map).args().first() else {
            return unknown("a malformed map");
        };
        let source = self.word(source);
        let Some(subjects) = source.possible().map(<[String]>::to_vec) else {
            let Value::Unknown(why) = source else {
                return source;
            };
            // Whatever the source is, the value is one of those that the map lists.
            return self.listed(map).unwrap_or(Value::Unknown(why));
        };
        let level = view.level(map);
        if level.unseen.is_some() || level.conditional {
            return unknown("not every entry of the map is known");
        }
        let mut value: Option<Value> = None;
        for subject in subjects {
            let entry = match self.entry(map, &subject) {
                Ok((entry, captured)) => {
                    if captured.is_some() {
                        self.capture(captured);
                    }
                    entry
                }
                Err(why) => return unknown(why),
            };
            self.steps[step].entry = entry;
            let found = match entry.map(|entry| view.directive(entry).args()) {
                Some([word]) => self.word(word),
                Some(_) => unknown("a malformed entry of a map"),
                None => Value::Known(String::new()),
            };
            value = Some(match value {
                Some(before) => either(before, found),
                None => found,
            });
        }
        value.unwrap_or_else(|| unknown("no value"))
    }

    /// The values that a map may have whatever its source is.
    pub(super) fn listed(&mut self, map: ItemId) -> Option<Value> {
        let view = self.view;
        let level = view.level(map);
        if level.unseen.is_some() || level.conditional {
            return None;
        }
        let keys = self.keys(map)?;
        let mut value = match keys.default {
            Some(_) => None,
            None => Some(Value::Known(String::new())),
        };
        for entry in &keys.values {
            let found = self.word(view.directive(*entry).args().first()?);
            value = Some(match value {
                Some(before) => either(before, found),
                None => found,
            });
        }
        value
    }

    /// The keys of a map of the configuration at hand.
    fn keys(&self, map: ItemId) -> Option<&'a Keys> {
        let view = self.view;
        let keys = view.config.map_keys.get(&map)?;
        Some(keys.get_or_init(|| Keys::read(view, map)))
    }

    /// The entry of `map` that `subject` meets.
    fn entry(&self, map: ItemId, subject: &str) -> Result<Entry, String> {
        let keys = self.keys(map).ok_or("a malformed map")?;
        keys.find(subject)
    }
}

//! The keys of a `map`, in the order in which nginx tries them.

use std::collections::{HashMap, HashSet};

use super::model::{Included, ItemId, View};
use super::pattern::{Captured, MAX_REGEXES, Pattern};
use super::variables::MAX_VALUES;

/// The entry that a subject meets, and what its expression captured.
pub(super) type Entry = (Option<ItemId>, Option<Captured>);

/// The keys of a `map`, sorted as nginx looks them up.
#[derive(Debug, Default)]
pub struct Keys {
    /// Literal keys in lower case.
    literal: HashMap<String, ItemId>,
    hostnames: bool,
    regexes: Vec<(Pattern, ItemId)>,
    pub(super) default: Option<ItemId>,
    /// Entries with values that differ as they are written, one of each; no more than may matter.
    pub(super) values: Vec<ItemId>,
    /// Some keys can't be read.
    unknown: Option<&'static str>,
}

impl Keys {
    /// Reads the entries of `map`.
    pub(super) fn read(view: View<'_>, map: ItemId) -> Self {
        let mut keys = Self::default();
        let mut seen = HashSet::new();
        for entry in view.children(map) {
            let directive = view.directive(entry);
            let Some(key) = directive.name_word() else {
                continue;
            };
            keys.hostnames |= key.text == "hostnames" && directive.args().is_empty();
            let included = matches!(view.config.includes.get(&entry), Some(Included::Files(_)));
            if directive.args().len() != 1 || (key.text == "include" && included) {
                continue;
            }
            if keys.values.len() <= MAX_VALUES && seen.insert(directive.arg(0)) {
                keys.values.push(entry);
            }
            if key.templated {
                keys.unknown = Some("a template supplies keys of the map");
            } else if key.text == "default" {
                keys.default = Some(entry);
            } else if let Some(pattern) = key.text.strip_prefix('~') {
                let pattern = match pattern.strip_prefix('*') {
                    Some(pattern) => Pattern::new(pattern, true),
                    None => Pattern::new(pattern, false),
                };
                keys.regexes.push((pattern, entry));
                if keys.regexes.len() > MAX_REGEXES {
                    keys.unknown = Some("the map has too many regular expressions to try");
                }
            } else {
                let key = key.text.strip_prefix('\\').unwrap_or(&key.text);
                keys.literal.insert(key.to_ascii_lowercase(), entry);
            }
        }
        keys
    }

    /// The entry that `subject` meets (ngx_http_map_find): a literal key without regard to case,
    /// then a wildcard if the map has `hostnames`, then regular expressions in order, then
    /// `default`.
    pub(super) fn find(&self, subject: &str) -> Result<Entry, String> {
        let lower = subject.to_ascii_lowercase();
        if let Some(entry) = self.literal.get(&lower) {
            return Ok((Some(*entry), None));
        }
        if let Some(why) = self.unknown {
            return Err(why.to_owned());
        }
        if self.hostnames
            && let Some(entry) = self.wildcard(&lower)
        {
            return Ok((Some(entry), None));
        }
        for (pattern, entry) in &self.regexes {
            match pattern.captures(subject) {
                Some(Some(captured)) => return Ok((Some(*entry), Some(captured))),
                Some(None) => {}
                None => {
                    return Err(format!(
                        "`{}` is no regular expression that can be read",
                        pattern.text
                    ));
                }
            }
        }
        Ok((self.default, None))
    }

    /// The wildcard key that `host` meets: the longest that begins with one, then the longest that
    /// ends with one (ngx_hash_find_combined).
    fn wildcard(&self, host: &str) -> Option<ItemId> {
        let dots = || host.match_indices('.').map(|(at, _)| at);
        if let Some(entry) = self.literal.get(&format!(".{host}")) {
            return Some(*entry);
        }
        let leading = dots().find_map(|at| {
            let domain = &host[at..];
            self.literal
                .get(&format!("*{domain}"))
                .or_else(|| self.literal.get(domain))
        });
        let trailing = || {
            let ends: Vec<usize> = dots().collect();
            ends.into_iter()
                .rev()
                .find_map(|at| self.literal.get(&format!("{}*", &host[..=at])))
        };
        leading.or_else(trailing).copied()
    }
}

//! The handlers of a block, found by the path that is asked for.

use std::collections::BTreeMap;
use std::ops::Deref;

use super::handler::{Handler, HandlerId};

/// Blocks with fewer handlers are looked through.
const FEW: usize = 16;

/// The handlers of a block, in the order in which they run.
#[derive(Clone, Debug, Default)]
pub struct List {
    ids: Vec<HandlerId>,
    /// More than one of them is a `handle`.
    pub(super) several: bool,
    /// Each runs for itself, whatever it is: a `route` of Caddy before 2.6.3.
    pub(super) literal: bool,
    index: Option<Index>,
}

/// Places in a list by the letters that a path must begin with: of many routes a request meets few.
#[derive(Clone, Debug, Default)]
struct Index {
    /// Whatever looks at more than a path.
    always: Vec<usize>,
    /// In lower case; the whole pattern, or what stands before its first star.
    by_letters: BTreeMap<String, Vec<usize>>,
}

impl List {
    /// The list of these; `all` holds the handlers of the site.
    pub(super) fn new(ids: Vec<HandlerId>, all: &[Handler]) -> Self {
        let handler = |id: HandlerId| &all[id as usize];
        let mut handles = ids.iter().filter(|id| handler(**id).is_handle());
        let several = handles.nth(1).is_some();
        let index = (ids.len() >= FEW).then(|| {
            let mut index = Index::default();
            for (place, id) in ids.iter().enumerate() {
                match handler(*id).matcher.first_letters() {
                    Some(letters) => {
                        for letters in letters {
                            index.by_letters.entry(letters).or_default().push(place);
                        }
                    }
                    None => index.always.push(place),
                }
            }
            index
        });
        Self {
            ids,
            several,
            literal: false,
            index,
        }
    }

    /// The places, in order, of all that may take `path`, which is clean; `None` for every place.
    pub(super) fn places(&self, path: &str) -> Option<Vec<usize>> {
        let index = self.index.as_ref()?;
        // Other letters have more than one lower case.
        let ascii = path.bytes().take_while(u8::is_ascii).count();
        let is_cut = ascii < path.len();
        let path = path[..ascii].to_ascii_lowercase();
        let shorter = (0..=path.len()).filter_map(|end| index.by_letters.get(&path[..end]));
        // What follows a cut may be the letters that a pattern goes on with.
        let longer = is_cut.then(|| index.by_letters.range(path.clone()..));
        let longer = longer.into_iter().flatten();
        let longer = longer.take_while(|(letters, _)| letters.starts_with(&path));
        let mut places = index.always.clone();
        places.extend(shorter.chain(longer.map(|(_, places)| places)).flatten());
        places.sort_unstable();
        places.dedup();
        Some(places)
    }
}

impl Deref for List {
    type Target = [HandlerId];

    fn deref(&self) -> &[HandlerId] {
        &self.ids
    }
}

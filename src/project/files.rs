//! All files of a project, read or not.

use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

/// The paths of a project's files, relative to its root, with `/`.
///
/// Most checks never ask for one of them, so they are put in order by the first who does. A clone
/// is the same list.
#[derive(Clone, Debug, Default)]
pub struct Files(Arc<List>);

#[derive(Debug, Default)]
struct List {
    paths: Vec<String>,
    /// Indices of `paths`, by path.
    sorted: OnceLock<Vec<u32>>,
}

impl Files {
    /// The paths, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.paths.iter().map(String::as_str)
    }

    /// Whether there is a file at `path`.
    pub fn contains(&self, path: &str) -> bool {
        self.from(path).is_some_and(|next| next == path)
    }

    /// Whether there is a folder at `path` with anything in it.
    pub fn has_folder(&self, path: &str) -> bool {
        let within = format!("{path}/");
        self.from(&within)
            .is_some_and(|next| next.starts_with(&within))
    }

    /// The first path that is not before `path`.
    fn from(&self, path: &str) -> Option<&str> {
        let List { paths, sorted } = &*self.0;
        let at = |index: u32| paths[index as usize].as_str();
        let sorted = sorted.get_or_init(|| {
            let mut sorted: Vec<u32> = (0..paths.len() as u32).collect();
            sorted.par_sort_unstable_by(|a, b| at(*a).cmp(at(*b)));
            sorted
        });
        let next = sorted.partition_point(|index| at(*index) < path);
        sorted.get(next).map(|index| at(*index))
    }
}

impl FromIterator<String> for Files {
    fn from_iter<I: IntoIterator<Item = String>>(paths: I) -> Self {
        Self(Arc::new(List {
            paths: paths.into_iter().collect(),
            sorted: OnceLock::new(),
        }))
    }
}

/// `path` (or a glob) relative to `folder`, with `.` and `..` resolved; `None` if it leaves the
/// project.
pub(crate) fn join(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_told_apart() {
        let files: Files = ["b/c.py", "a.py", "b.py", "b/d/e"]
            .map(str::to_owned)
            .into_iter()
            .collect();
        assert!(files.contains("a.py") && files.contains("b/d/e"));
        assert!(!files.contains("b") && !files.contains("c.py"));
        assert!(files.has_folder("b") && files.has_folder("b/d"));
        assert!(!files.has_folder("a") && !files.has_folder("b/d/e"));
    }
}

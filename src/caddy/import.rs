//! The files that an `import` means.

use crate::project::{Project, join};
use crate::source::{Source, SourceId};

/// What an import's pattern stands for.
#[derive(Clone)]
pub(super) enum Found {
    /// These files; none for a glob that matches nothing.
    Files(Vec<SourceId>),
    /// Nothing that the project holds.
    Missing,
}

/// The files that `import pattern` in `source` means.
pub(super) fn find(project: &Project, source: &Source, pattern: &str) -> Found {
    let glob = pattern.contains(['*', '?']);
    if let Some(absolute) = pattern.strip_prefix('/') {
        // Where it lies on the server is not known here: the only file with that tail, if there
        // is just one.
        let parts: Vec<&str> = absolute.split('/').collect();
        for from in 0..parts.len() {
            let tail = parts[from..].join("/");
            let found: Vec<SourceId> = if glob {
                matching(project, &format!("**/{tail}"))
            } else {
                project
                    .sources
                    .iter()
                    .filter(|source| has_tail(&source.path, &tail))
                    .map(|source| source.id)
                    .collect()
            };
            match found.len() {
                0 => {}
                1 => return Found::Files(found),
                _ if glob => return Found::Files(found),
                _ => return Found::Missing,
            }
        }
        return Found::Missing;
    }
    let Some(path) = join(source.folder(), pattern) else {
        return Found::Missing;
    };
    if glob {
        return Found::Files(matching(project, &path));
    }
    match project.by_path(&path) {
        Some(found) => Found::Files(vec![found.id]),
        None => Found::Missing,
    }
}

fn has_tail(path: &str, tail: &str) -> bool {
    path.strip_suffix(tail)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

fn matching(project: &Project, pattern: &str) -> Vec<SourceId> {
    let Ok(glob) = globset::GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
    else {
        return Vec::new();
    };
    let glob = glob.compile_matcher();
    project
        .sources
        .iter()
        // parse.go: a pattern does not find hidden files.
        .filter(|source| !source.name().starts_with('.') && glob.is_match(&source.path))
        .map(|source| source.id)
        .collect()
}

//! Changed files: as a diff, and on disk.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use similar::TextDiff;

use crate::project::{Problem, Project};
use crate::source::Source;

/// A file whose text a fix changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its path in the project.
    pub path: String,
    /// As output shows it.
    pub display: String,
    /// What it held when it was read.
    pub before: String,
    /// What it will hold.
    pub after: String,
}

/// The files of `before` that are different in `after`, in order.
pub fn changed(before: &[(String, String)], after: &Project) -> Vec<Changed> {
    let texts: HashMap<&str, &str> = before
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let change = |source: &Source| {
        let before = *texts.get(source.path.as_str())?;
        (before != source.text).then(|| Changed {
            path: source.path.clone(),
            display: source.display.clone(),
            before: before.to_owned(),
            after: source.text.clone(),
        })
    };
    after.sources.iter().filter_map(change).collect()
}

/// A unified diff, as `patch -p1` and `git apply` read it.
pub fn diff(changed: &Changed) -> String {
    let (old, new) = (
        format!("a/{}", changed.display),
        format!("b/{}", changed.display),
    );
    TextDiff::from_lines(&changed.before, &changed.after)
        .unified_diff()
        .context_radius(3)
        .header(&old, &new)
        .to_string()
}

/// Writes the changed files of the project at `root`, each at once or not at all; how many were
/// written. What can't be is added to `problems`.
pub fn write(root: &Path, changed: &[Changed], problems: &mut Vec<Problem>) -> usize {
    let mut done: HashMap<PathBuf, &str> = HashMap::new();
    let mut written = 0;
    for file in changed {
        match replace(root, file, &mut done) {
            Ok(()) => written += 1,
            Err(message) => problems.push(Problem {
                path: file.display.clone(),
                position: None,
                message: format!("not fixed: {message}"),
            }),
        }
    }
    written
}

fn replace<'c>(
    root: &Path,
    file: &'c Changed,
    done: &mut HashMap<PathBuf, &'c str>,
) -> Result<(), String> {
    let said = |error: io::Error| error.to_string();
    // A link stays a link; what it leads to is changed, if that is the project's own.
    let real = fs::canonicalize(root.join(&file.path)).map_err(said)?;
    let root = fs::canonicalize(root).map_err(said)?;
    if !real.starts_with(&root) {
        return Err("it is a link that leads out of the project".to_owned());
    }
    // The same file by two names.
    if let Some(text) = done.get(&real) {
        return if *text == file.after {
            Ok(())
        } else {
            Err("another link to it asks for other changes".to_owned())
        };
    }
    let held = fs::read(&real).map_err(said)?;
    if held != file.before.as_bytes() {
        return Err(if String::from_utf8(held).is_err() {
            "it is not UTF-8".to_owned()
        } else {
            "it has changed since it was read".to_owned()
        });
    }
    let folder = real.parent().unwrap_or(&root);
    let name = real
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let temporary = folder.join(format!(".{name}.wslint-{}", std::process::id()));
    let result = put(&temporary, &real, file.after.as_bytes());
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result.map_err(said)?;
    done.insert(real, &file.after);
    Ok(())
}

/// Writes beside the file and renames over it, so that nobody ever reads half of it.
fn put(temporary: &Path, real: &Path, bytes: &[u8]) -> io::Result<()> {
    let meta = fs::metadata(real)?;
    if meta.permissions().readonly() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it is read-only",
        ));
    }
    let mut file = File::create_new(temporary)?;
    file.write_all(bytes)?;
    // The owner first: giving a file away clears its special bits.
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, fchown};
        let _ = fchown(&file, Some(meta.uid()), Some(meta.gid()));
    }
    file.set_permissions(meta.permissions())?;
    file.sync_all()?;
    fs::rename(temporary, real)
}

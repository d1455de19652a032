//! Discovery: from the paths that were given to projects with their files.
//!
//! A directory is a project of its own. For a file, the root is the nearest folder upward with
//! a `wslint.toml` (or `[tool.wslint]`), else the top of the git checkout, else its own folder.
//! Given files filter what is reported; they never narrow what is known.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use ignore::{WalkBuilder, WalkState};

use super::Project;
use super::config::{self, Config, ConfigError};
use super::kinds::{self, Guess};
use super::load::globs_of;
use crate::source::{Position, Source, SourceId};

/// Something that kept us from doing our work; exit status 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as output shows it.
    pub path: String,
    /// Where in it, if that is known.
    pub position: Option<Position>,
    /// What is wrong.
    pub message: String,
}

impl Problem {
    pub(super) fn in_config(source: &Source, error: &ConfigError) -> Self {
        Self {
            path: source.display.clone(),
            position: error
                .range
                .as_ref()
                .map(|range| source.position(range.start)),
            message: error.message.clone(),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.position {
            Some(at) => write!(
                f,
                "{}:{}:{}: {}",
                self.path, at.line, at.column, self.message
            ),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

/// How to look for files.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The working directory, which shown paths are relative to.
    pub cwd: PathBuf,
    /// `--config`: read this file in place of the nearest one.
    pub config: Option<PathBuf>,
    /// `--isolated`: read no configuration.
    pub isolated: bool,
    /// `--exclude`, added to the configuration's.
    pub exclude: Vec<String>,
    /// `--force-exclude`: leave out given files too.
    pub force_exclude: bool,
    /// A file whose content comes from stdin, and that content.
    pub stdin: Option<(PathBuf, Vec<u8>)>,
}

impl Options {
    /// The file that stdin stands for, absolute, and what it holds.
    pub(super) fn stdin(&self) -> Option<(PathBuf, &[u8])> {
        let (name, bytes) = self.stdin.as_ref()?;
        Some((normal(&self.cwd.join(name)), bytes))
    }

    /// The path in `project` of the file that stdin stands for, and its text there.
    pub fn stdin_in(&self, project: &Project) -> Option<(String, String)> {
        let (full, _) = self.stdin()?;
        let source = project
            .sources
            .iter()
            .find(|source| project.root.join(&source.path) == full)?;
        Some((source.path.clone(), source.text.clone()))
    }

    /// How output shows the file `path` of the project at `root`.
    pub fn display(&self, root: &Path, path: &str) -> String {
        let full = root.join(path);
        from_folder(&full, &self.cwd)
    }
}

/// One project to load: its root, its files, and what to report of it.
#[derive(Debug)]
pub struct Plan {
    /// The root, absolute.
    pub root: PathBuf,
    /// What was found, in no order.
    pub(super) files: Vec<File>,
    /// The files to report on; `None` for all.
    pub only: Option<BTreeSet<String>>,
    /// The configuration.
    pub config: Config,
    /// The text it came from; its spans point into source 0.
    pub config_source: Option<Source>,
    /// The root relative to the configuration's folder, with a `/` at its end: what the
    /// configuration's globs are relative to. Empty where they are the same.
    pub base: String,
}

/// A file that a walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Its path relative to the root.
    pub(super) path: String,
    /// What its name says.
    pub(super) guess: Option<Guess>,
}

impl File {
    fn new(path: String) -> Self {
        let guess = kinds::guess(&path);
        Self { path, guess }
    }
}

/// A configuration with the text that it came from, and [`Plan::base`].
type Configured = (Config, Option<Source>, String);

/// Finds the projects that `paths` belong to. What is wrong with one path does not keep the
/// others from being found; it is added to `problems`.
pub fn plan(paths: &[PathBuf], options: &Options, problems: &mut Vec<Problem>) -> Vec<Plan> {
    let mut roots: BTreeMap<PathBuf, Option<BTreeSet<PathBuf>>> = BTreeMap::new();
    // A hook passes hundreds of files of a few folders.
    let mut known: HashMap<PathBuf, PathBuf> = HashMap::new();
    let mut root_of = |file: &Path| {
        let folder = file.parent().unwrap_or(file).to_owned();
        match known.get(&folder) {
            Some(root) => root.clone(),
            None => {
                let root = root_of(&folder, options);
                known.insert(folder, root.clone());
                root
            }
        }
    };
    for path in paths {
        let full = normal(&options.cwd.join(path));
        match std::fs::metadata(&full) {
            Ok(meta) if meta.is_dir() => {
                roots.insert(full, None);
            }
            Ok(_) => {
                let root = root_of(&full);
                if let Some(files) = roots.entry(root).or_insert_with(|| Some(BTreeSet::new())) {
                    files.insert(full);
                }
            }
            // What stdin holds need not exist on disk yet.
            Err(_) if options.stdin.as_ref().is_some_and(|(name, _)| name == path) => {
                let root = root_of(&full);
                if let Some(files) = roots.entry(root).or_insert_with(|| Some(BTreeSet::new())) {
                    files.insert(full);
                }
            }
            Err(error) => problems.push(Problem {
                path: slashed(path),
                position: None,
                message: error.to_string(),
            }),
        }
    }
    // A given folder within another given one is covered by it.
    let whole: Vec<PathBuf> = roots
        .iter()
        .filter(|(_, only)| only.is_none())
        .map(|(root, _)| root.clone())
        .collect();
    roots.retain(|root, only| {
        !whole
            .iter()
            .any(|other| root.starts_with(other) && (other != root || only.is_some()))
    });
    roots
        .into_iter()
        .flat_map(|(root, only)| project(root, only, options, problems))
        .collect()
}

/// The nearest folder from `own` upward with a configuration, else the top of the checkout,
/// else `own`, the file's own folder (for what stdin holds perhaps one yet to be made: then the
/// nearest that exists).
fn root_of(own: &Path, options: &Options) -> PathBuf {
    let mut checkout = None;
    for folder in own.ancestors() {
        if !options.isolated && has_config(folder) {
            return folder.to_owned();
        }
        if folder.join(".git").exists() {
            checkout = Some(folder);
            break;
        }
    }
    let existing = || own.ancestors().find(|folder| folder.is_dir());
    checkout.or_else(existing).unwrap_or(own).to_owned()
}

fn has_config(folder: &Path) -> bool {
    ["wslint.toml", ".wslint.toml"]
        .iter()
        .any(|name| folder.join(name).is_file())
        || std::fs::read_to_string(folder.join("pyproject.toml"))
            .is_ok_and(|text| config::pyproject_configures(&text))
}

/// Walks one root. A folder below it with a configuration of its own is a project within the
/// project, so one root may give several plans.
fn project(
    root: PathBuf,
    only: Option<BTreeSet<PathBuf>>,
    options: &Options,
    problems: &mut Vec<Problem>,
) -> Vec<Plan> {
    let (root_config, root_source, root_base) = match configuration(&root, options) {
        Ok(found) => found,
        Err(problem) => {
            problems.push(problem);
            return Vec::new();
        }
    };
    // Both kinds of globs are checked where they come from.
    let globs = |list: &[String]| globs_of(list).unwrap_or_default();
    let excluded = Arc::new(Excluded {
        configured: globs(&root_config.exclude),
        base: root_base.clone(),
        given: globs(&options.exclude),
        root: root.clone(),
        options: options.clone(),
    });
    let mut files = walk(&root, &excluded, problems, options);
    // Given files are looked at though a `.gitignore` hides them, but for `--force-exclude`.
    if let Some(given) = &only {
        let walked: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let hidden: Vec<File> = given
            .iter()
            .filter_map(|file| relative(file, &root))
            .filter(|path| !walked.contains(path.as_str()))
            .filter(|path| !(options.force_exclude && excluded.is_match(path)))
            .map(File::new)
            .collect();
        files.extend(hidden);
    }
    let inner = inner_projects(&root, &files, options);
    // The deepest folder that holds a file owns it.
    let mut owned: BTreeMap<&str, Vec<File>> = BTreeMap::new();
    if inner.is_empty() {
        owned.insert("", files);
    } else {
        for file in files {
            let owner = inner
                .iter()
                .filter(|folder| below(&file.path, folder).is_some())
                .max_by_key(|folder| folder.len());
            let owner = owner.map_or("", String::as_str);
            owned.entry(owner).or_default().push(file);
        }
    }
    let mut plans = Vec::new();
    for (folder, mut files) in owned {
        let (root, config, config_source, base) = if folder.is_empty() {
            let source = copy(&root_source);
            (root.clone(), root_config.clone(), source, root_base.clone())
        } else {
            let root = root.join(folder);
            match configuration(&root, options) {
                Ok((config, source, base)) => (root, config, source, base),
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            }
        };
        let only = only.as_ref().map(|files| {
            files
                .iter()
                .filter_map(|file| relative(file, &root))
                .filter(|path| !(options.force_exclude && excluded.is_match(path)))
                .collect::<BTreeSet<_>>()
        });
        if !folder.is_empty() {
            let excluded = globs_of(&config.exclude).ok();
            files = files
                .iter()
                .filter_map(|file| below(&file.path, folder))
                .filter(|path| excluded.as_ref().is_none_or(|globs| !globs.is_match(path)))
                .map(|path| File::new(path.to_owned()))
                .collect();
        }
        plans.push(Plan {
            root,
            files,
            only,
            config,
            config_source,
            base,
        });
    }
    plans
}

/// Projects within the project: the folders that hold a configuration of their own.
fn inner_projects(root: &Path, files: &[File], options: &Options) -> Vec<String> {
    if options.config.is_some() || options.isolated {
        return Vec::new();
    }
    files
        .iter()
        .filter_map(|file| {
            let (folder, name) = file.path.rsplit_once('/')?;
            let configures = match name {
                "wslint.toml" | ".wslint.toml" => true,
                "pyproject.toml" => has_config(&root.join(folder)),
                _ => false,
            };
            configures.then(|| folder.to_owned())
        })
        .collect()
}

/// The rest of `path` below `folder`.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    path.strip_prefix(folder)?.strip_prefix('/')
}

fn copy(source: &Option<Source>) -> Option<Source> {
    source.as_ref().map(|source| {
        Source::new(
            source.id,
            source.path.clone(),
            source.display.clone(),
            source.kind,
            source.text.clone(),
            None,
        )
    })
}

/// The configuration that counts in `folder`.
///
/// # Errors
/// What is wrong with it.
pub fn configuration_of(folder: &Path) -> Result<Config, Problem> {
    let options = Options {
        cwd: folder.to_owned(),
        ..Options::default()
    };
    configuration(folder, &options).map(|(config, ..)| config)
}

/// The configuration of the project at `root`, and the text that it came from.
fn configuration(root: &Path, options: &Options) -> Result<Configured, Problem> {
    if options.isolated {
        return Ok((Config::default(), None, String::new()));
    }
    let given = options
        .config
        .as_ref()
        .map(|path| normal(&options.cwd.join(path)));
    let found = match given {
        Some(path) => Some(path),
        None => root
            .ancestors()
            .flat_map(|folder| {
                ["wslint.toml", ".wslint.toml", "pyproject.toml"].map(|name| folder.join(name))
            })
            .find(|path| {
                path.is_file()
                    && (!path.ends_with("pyproject.toml")
                        || std::fs::read_to_string(path)
                            .is_ok_and(|text| config::pyproject_configures(&text)))
            }),
    };
    let Some(path) = found else {
        return Ok((Config::default(), None, String::new()));
    };
    let display = from_folder(&path, &options.cwd);
    let text = std::fs::read_to_string(&path).map_err(|error| Problem {
        path: display.clone(),
        position: None,
        message: error.to_string(),
    })?;
    let pyproject = path
        .file_name()
        .is_some_and(|name| name == "pyproject.toml");
    let in_project = relative(&path, root).unwrap_or_else(|| display.clone());
    let source = Source::new(
        SourceId(0),
        in_project,
        display,
        crate::source::Kind::Config,
        text,
        None,
    );
    let config = config::parse(&source.text, SourceId(0), pyproject, path.parent())
        .map_err(|error| Problem::in_config(&source, &error))?;
    let base = path
        .parent()
        .and_then(|folder| relative(root, folder))
        .filter(|base| !base.is_empty())
        .map_or_else(String::new, |base| format!("{base}/"));
    Ok((config, Some(source), base))
}

/// Entries up to which one thread walks: starting threads and waiting for them to notice that
/// nothing is left costs more than this many entries.
const FEW_ENTRIES: usize = 256;

/// All files below `root` that are not ignored, relative to it.
fn walk(
    root: &Path,
    excluded: &Arc<Excluded>,
    problems: &mut Vec<Problem>,
    options: &Options,
) -> Vec<File> {
    // Hidden files count (`.caddy`), hidden folders too but for version control's own.
    let mut builder = WalkBuilder::new(root);
    let (base, left_out) = (root.to_owned(), Arc::clone(excluded));
    builder
        .hidden(false)
        .require_git(false)
        // What one person's git ignores on one machine is no part of the project; and the crate
        // compiles a regex at start-up to find where that list lies.
        .git_global(false)
        .filter_entry(move |entry| {
            let name = entry.file_name().to_str();
            // Packages that were installed, and committed with the rest, are nobody's project.
            !matches!(
                name,
                Some(".git" | ".hg" | ".jj" | "node_modules" | "site-packages")
            ) && (left_out.is_empty()
                || !relative(entry.path(), &base).is_some_and(|path| left_out.is_match(&path)))
        });
    let found = Mutex::new(Found::default());
    let mut batch = Batch::new(&found);
    let mut walker = builder.build();
    let mut left = FEW_ENTRIES;
    let finished = loop {
        match walker.next() {
            None => break true,
            Some(_) if left == 0 => break false,
            Some(entry) => {
                left -= 1;
                batch.visit(entry, root);
            }
        }
    };
    if finished {
        drop(batch);
    } else {
        // There is more of it: from the start again, on all cores.
        batch.here = Found::default();
        drop(batch);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        builder.threads(threads.min(8)).build_parallel().run(|| {
            let mut batch = Batch::new(&found);
            Box::new(move |entry| batch.visit(entry, root))
        });
    }
    let Found { files, mut errors } = found.into_inner().unwrap_or_default();
    errors.sort();
    let at = relative(root, &options.cwd)
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| slashed(root));
    problems.extend(errors.into_iter().map(|message| Problem {
        path: at.clone(),
        position: None,
        message,
    }));
    files
}

/// What is left out of a project.
struct Excluded {
    /// The configuration's globs, relative to its folder, and [`Plan::base`].
    configured: globset::GlobSet,
    base: String,
    /// The command line's, relative to the working directory, as output shows paths.
    given: globset::GlobSet,
    root: PathBuf,
    options: Options,
}

impl Excluded {
    fn is_empty(&self) -> bool {
        self.configured.is_empty() && self.given.is_empty()
    }

    /// Whether `path`, relative to the root, is left out.
    fn is_match(&self, path: &str) -> bool {
        (!self.configured.is_empty() && self.configured.is_match(format!("{}{path}", self.base)))
            || (!self.given.is_empty()
                && self.given.is_match(self.options.display(&self.root, path)))
    }
}

/// What a walk found.
#[derive(Default)]
struct Found {
    files: Vec<File>,
    errors: Vec<String>,
}

/// What one thread of a walk found, handed over when the thread ends.
struct Batch<'a> {
    here: Found,
    into: &'a Mutex<Found>,
}

impl<'a> Batch<'a> {
    fn new(into: &'a Mutex<Found>) -> Self {
        Self {
            here: Found::default(),
            into,
        }
    }

    fn visit(&mut self, entry: Result<ignore::DirEntry, ignore::Error>, root: &Path) -> WalkState {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                self.here.errors.push(error.to_string());
                return WalkState::Continue;
            }
        };
        let Some(path) = relative(entry.path(), root) else {
            return WalkState::Continue;
        };
        if entry.file_type().is_some_and(|kind| !kind.is_dir()) {
            self.here.files.push(File::new(path));
        }
        WalkState::Continue
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if let Ok(mut all) = self.into.lock() {
            all.files.append(&mut self.here.files);
            all.errors.append(&mut self.here.errors);
        }
    }
}

/// `path` relative to `base`, with `/`; `None` if it lies outside.
fn relative(path: &Path, base: &Path) -> Option<String> {
    // A walk asks for every file: as text it is one comparison, part by part it is many.
    if std::path::MAIN_SEPARATOR == '/'
        && let (Some(path), Some(base)) = (path.to_str(), base.to_str())
        && let Some(rest) = path
            .strip_prefix(base)
            .and_then(|rest| rest.strip_prefix('/'))
    {
        return Some(rest.to_owned());
    }
    path.strip_prefix(base).ok().map(slashed)
}

/// The way to `path` from `folder`, with `/`; absolute where there is none (another drive).
fn from_folder(path: &Path, folder: &Path) -> String {
    let mut up = PathBuf::new();
    for ancestor in folder.ancestors() {
        if let Ok(down) = path.strip_prefix(ancestor) {
            return slashed(&up.join(down));
        }
        up.push("..");
    }
    slashed(path)
}

/// The path with `/`; what is not Unicode in it is replaced.
fn slashed(path: &Path) -> String {
    let text = path.to_string_lossy();
    if std::path::MAIN_SEPARATOR == '/' {
        text.into_owned()
    } else {
        text.replace(std::path::MAIN_SEPARATOR, "/")
    }
}

/// The path without `.` and `..`, by its words alone: links are left as they are.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

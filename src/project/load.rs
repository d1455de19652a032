//! Reading: each file once, in parallel, whatever its bytes are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::discover::{File, Options, Plan, Problem};
use super::kinds::{Guess, confirms, guess, told};
use super::{Config, Project, config, template};
use crate::finding::Undecided;
use crate::parallel;
use crate::source::{Kind, Source, SourceId, Span};

/// Files above this many bytes are not read but noted: no configuration written by people
/// comes near it, and parsing one would cost a hundred times its size in memory.
pub const MAX_SOURCE_BYTES: u64 = 4 << 20;

/// Rounds of following includes and imports. Real chains are short; a generated bomb ends here.
const MAX_ROUNDS: usize = 16;

/// Files read by following references, over all rounds.
const MAX_FOLLOWED: usize = 20_000;

/// Files from which on they are read on several threads.
const MANY_FILES: usize = 32;

/// A file's text as it was read.
struct Read {
    path: String,
    kind: Kind,
    text: String,
    note: Option<String>,
    /// Nothing in it bears out what its name says.
    rubble: bool,
}

/// Reads one file and confirms its kind; `Ok(None)` if it is none of ours.
fn read(
    root: &Path,
    path: &str,
    guess: Guess,
    stdin: Option<&(PathBuf, &[u8])>,
) -> Result<Option<Read>, (String, String)> {
    let full = root.join(path);
    if let Some((_, bytes)) = stdin.filter(|(name, _)| *name == full) {
        return Ok(judge(path, guess, bytes.to_vec()));
    }
    let fail = |error: std::io::Error| (path.to_owned(), error.to_string());
    let meta = match std::fs::metadata(&full) {
        Ok(meta) => meta,
        // Links into a server's own folders are common in repositories and lead nowhere here.
        Err(error) if std::fs::symlink_metadata(&full).is_ok_and(|meta| meta.is_symlink()) => {
            let (Guess::Certain(kind) | Guess::Perhaps(kind)) = guess;
            return Ok(Some(Read {
                path: path.to_owned(),
                kind,
                text: String::new(),
                note: Some(format!("a link that leads nowhere here: {error}")),
                rubble: false,
            }));
        }
        Err(error) => return Err(fail(error)),
    };
    let (Guess::Certain(kind) | Guess::Perhaps(kind)) = guess;
    if !meta.is_file() {
        return Ok(None);
    }
    if meta.len() > MAX_SOURCE_BYTES {
        // A fifty-megabyte `.conf` is hardly nginx; if it begins so, that is worth a word.
        let ours = match guess {
            Guess::Certain(_) => true,
            Guess::Perhaps(kind) => confirms(path, kind, &beginning(&full).map_err(fail)?),
        };
        let note = format!(
            "larger than {} MiB, so it was not read",
            MAX_SOURCE_BYTES >> 20
        );
        return Ok(ours.then(|| Read {
            path: path.to_owned(),
            kind,
            text: String::new(),
            note: Some(note),
            rubble: false,
        }));
    }
    Ok(judge(path, guess, std::fs::read(&full).map_err(fail)?))
}

/// The first whole lines of a file.
fn beginning(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(64 << 10)
        .read_to_end(&mut bytes)?;
    bytes.truncate(memchr::memrchr(b'\n', &bytes).unwrap_or(0));
    Ok(bytes)
}

/// The file with these bytes, if they bear out what its name suggested.
fn judge(path: &str, guess: Guess, bytes: Vec<u8>) -> Option<Read> {
    let guess = match guess {
        Guess::Certain(kind) => Guess::Certain(kind),
        Guess::Perhaps(kind) => Guess::Perhaps(told(kind, path, &bytes)),
    };
    let (Guess::Certain(kind) | Guess::Perhaps(kind)) = guess;
    if let Some(text) = from_utf16(&bytes) {
        let ours = matches!(guess, Guess::Certain(_)) || confirms(path, kind, text.as_bytes());
        // pip reads it (pip/_internal/utils/encoding.py auto_decode), and `pip freeze >` of
        // PowerShell is where most of it comes from.
        let (text, note) = match kind {
            Kind::Requirements => (text, None),
            _ => {
                let note = "UTF-16, which no server reads: save it as UTF-8";
                (String::new(), Some(note.to_owned()))
            }
        };
        return ours.then(|| Read {
            path: path.to_owned(),
            kind,
            text,
            note,
            rubble: false,
        });
    }
    if matches!(guess, Guess::Perhaps(_)) && !confirms(path, kind, &bytes) {
        // A file of nginx's own name is looked for by nobody else.
        let note = is_rubble(path, kind, &bytes).then(|| {
            "nothing in it is a directive of nginx's, though its name says so: it was not read"
                .to_owned()
        });
        return note.map(|note| Read {
            path: path.to_owned(),
            kind,
            text: String::new(),
            note: Some(note),
            rubble: true,
        });
    }
    let (mut text, mut note) = decode(bytes);
    let is_configuration = match kind {
        Kind::Nginx | Kind::Caddyfile => true,
        Kind::Command => !path.ends_with(".sh"),
        _ => false,
    };
    if is_configuration && note.is_none() && text.trim().is_empty() {
        note = Some("this file is empty".to_owned());
    }
    // Without a line that names its encoding Python takes no other (PEP 263, PEP 3120).
    if kind == Kind::Python && note.is_some() && !names_encoding(&text) {
        note = note.map(|note| format!("Python refuses this file: {note}"));
        text.clear();
    }
    Some(Read {
        path: path.to_owned(),
        kind,
        text,
        note,
        rubble: false,
    })
}

/// Whether a file that nginx looks for by its name holds nothing of nginx's, nor of another program
/// that calls its own files for nginx so (supervisor, fail2ban, logstash, Apache).
fn is_rubble(path: &str, kind: Kind, bytes: &[u8]) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = folder.rsplit('/').next().unwrap_or_default();
    let in_its_folder =
        name.ends_with(".conf") && matches!(folder, "nginx" | "sites-available" | "sites-enabled");
    let ends = |line: &[u8]| line.trim_ascii_end().ends_with(b";");
    let named =
        name == "nginx.conf" || in_its_folder && !bytes.split(|byte| *byte == b'\n').any(ends);
    kind == Kind::Nginx && named && !super::kinds::is_foreign(bytes)
}

/// Whether one of the first two lines of a Python file names its encoding.
fn names_encoding(text: &str) -> bool {
    let mut first = text.lines().take(2);
    first.any(|line| line.trim_start().starts_with('#') && line.contains("coding"))
}

/// The text of a file that begins with UTF-16's byte-order mark (PowerShell's `>` writes such).
fn from_utf16(bytes: &[u8]) -> Option<String> {
    let read: fn([u8; 2]) -> u16 = match bytes.get(..2)? {
        [0xff, 0xfe] => u16::from_le_bytes,
        [0xfe, 0xff] => u16::from_be_bytes,
        _ => return None,
    };
    let units = bytes[2..]
        .chunks_exact(2)
        .map(|pair| read([pair[0], pair[1]]));
    let text = char::decode_utf16(units).map(|c| c.unwrap_or('?'));
    Some(text.collect())
}

/// The bytes as text. What is not UTF-8 becomes `?`, byte for byte, so that offsets stay true.
fn decode(bytes: Vec<u8>) -> (String, Option<String>) {
    let (mut text, mut note) = match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let line = 1 + memchr::memchr_iter(
                b'\n',
                &error.as_bytes()[..error.utf8_error().valid_up_to()],
            )
            .count();
            let mut text = String::with_capacity(error.as_bytes().len());
            for chunk in error.as_bytes().utf8_chunks() {
                text.push_str(chunk.valid());
                text.extend(chunk.invalid().iter().map(|_| '?'));
            }
            (
                text,
                Some(format!(
                    "not UTF-8 (first on line {line}); those bytes are read as `?`"
                )),
            )
        }
    };
    if memchr::memchr(0, text.as_bytes()).is_some() {
        text = text.replace('\0', "?");
        note = Some("holds NUL bytes; they are read as `?`".to_owned());
    }
    (text, note)
}

/// Reads everything that `plan` found and whatever those files include or import.
/// Files that can't be read are added to `problems`.
pub fn load(plan: Plan, options: &Options, problems: &mut Vec<Problem>) -> Project {
    let mut builder = Builder::new(plan, options);
    let seeds = std::mem::take(&mut builder.seeds);
    builder.read(&seeds, problems);
    let mut from = 0;
    for _ in 0..MAX_ROUNDS {
        let wanted = builder.wanted(from);
        if wanted.is_empty() || builder.project.sources.len() > MAX_FOLLOWED {
            break;
        }
        from = builder.project.sources.len();
        builder.read(&wanted, problems);
    }
    builder.finish()
}

/// Builds a project round by round.
struct Builder<'a> {
    project: Project,
    options: &'a Options,
    seeds: Vec<(String, Guess)>,
    /// Files that are not what their names say, unless something imports them.
    rubble: Vec<Read>,
    /// What was tried, so that nothing is read twice.
    tried: HashSet<String>,
}

impl<'a> Builder<'a> {
    fn new(plan: Plan, options: &'a Options) -> Self {
        let overrides: Vec<(globset::GlobSet, Kind)> = plan
            .config
            .files
            .iter()
            .filter_map(|(kind, globs)| Some((globs_of(globs).ok()?, crate::rule::kind(kind)?)))
            .collect();
        let guess = |file: &File| {
            overrides
                .iter()
                .find(|(globs, _)| globs.is_match(format!("{}{}", plan.base, file.path)))
                .map(|(_, kind)| Guess::Certain(*kind))
                .or(file.guess)
        };
        let seeds = plan
            .files
            .iter()
            .filter_map(|file| Some((file.path.clone(), guess(file)?)))
            .collect();
        let mut project = Project {
            files: plan.files.into_iter().map(|file| file.path).collect(),
            root: plan.root,
            config: plan.config,
            ..Project::default()
        };
        let mut tried = HashSet::new();
        if let Some(Source { path, text, .. }) = plan.config_source {
            tried.insert(path.clone());
            let display = options.display(&project.root, &path);
            project.add(path, display, Kind::Config, text);
        }
        Self {
            project,
            options,
            seeds,
            rubble: Vec::new(),
            tried,
        }
    }

    fn read(&mut self, files: &[(String, Guess)], problems: &mut Vec<Problem>) {
        let root = self.project.root.clone();
        let stdin = self.options.stdin();
        let files: Vec<_> = files
            .iter()
            .filter(|(path, guess)| {
                // An nginx that includes it does not make it one of nginx's.
                let again = |read: &Read| read.path == *path && *guess == Guess::Certain(read.kind);
                !self.rubble.iter().any(again) && self.tried.insert(path.clone())
            })
            .collect();
        let results = parallel::map(&files, files.len() >= MANY_FILES, |(path, guess)| {
            read(&root, path, *guess, stdin.as_ref())
        });
        for ((path, guess), result) in files.into_iter().zip(results) {
            match result {
                Ok(Some(read)) if read.rubble => {
                    self.tried.remove(path);
                    self.rubble.push(read);
                }
                Ok(Some(read)) => self.add(read),
                // A Caddyfile's import may still say that it is one of its fragments.
                Ok(None) if matches!(guess, Guess::Perhaps(_)) => {
                    self.tried.remove(path);
                }
                Ok(None) => {}
                Err((path, message)) => problems.push(Problem {
                    path: self.options.display(&root, &path),
                    message,
                    position: None,
                }),
            }
        }
    }

    /// What the sources from `from` on refer to and nobody has read: a superset by the tail of
    /// the path; the models decide which of it is really meant.
    fn wanted(&self, from: usize) -> Vec<(String, Guess)> {
        let mut references: BTreeSet<(String, Kind)> = BTreeSet::new();
        for source in &self.project.sources[from..] {
            let found = match source.kind {
                Kind::Nginx => crate::nginx::references(source),
                Kind::Caddyfile => crate::caddy::references(source),
                Kind::Python | Kind::Command => crate::django::references(source),
                _ => Vec::new(),
            };
            let kind = match source.kind {
                Kind::Command => Kind::Python,
                kind => kind,
            };
            references.extend(found.into_iter().map(|tail| (tail, kind)));
            if source.kind == Kind::Command {
                let nginx = crate::deploy::references(source).into_iter();
                references.extend(nginx.map(|tail| (tail, Kind::Nginx)));
                let compose = crate::deploy::named_files(source).into_iter();
                references.extend(compose.map(|tail| (tail, Kind::Command)));
            }
        }
        // Tails by their last part, so that one pass over all files finds what any of them means.
        let mut named: HashMap<&str, Vec<(&str, Kind)>> = HashMap::new();
        let mut globs: Vec<(globset::GlobMatcher, &str, Kind)> = Vec::new();
        for (tail, kind) in &references {
            let (folder, name) = tail.rsplit_once('/').unwrap_or(("", tail));
            if !name.contains(['*', '?', '[']) {
                named.entry(name).or_default().push((tail, *kind));
            } else if let Ok(glob) = globset::Glob::new(name) {
                globs.push((glob.compile_matcher(), folder, *kind));
            }
        }
        let mut wanted = Vec::new();
        if references.is_empty() {
            return wanted;
        }
        for path in self.project.files.iter() {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            let by_name = named
                .get(name)
                .into_iter()
                .flatten()
                .filter(|(tail, _)| has_tail(path, tail))
                .map(|(_, kind)| kind);
            let by_glob = globs
                .iter()
                .filter(|(glob, tail, _)| has_tail(folder, tail) && glob.is_match(name))
                .map(|(_, _, kind)| kind);
            for kind in by_name.chain(by_glob) {
                if !self.tried.contains(path) {
                    // A Python module that names nothing of ours may still import one that does.
                    wanted.push((path.to_owned(), Guess::Certain(*kind)));
                }
            }
        }
        // The files come in no order, and what is read first keeps its kind.
        wanted.sort_by(|(a, _), (b, _)| a.cmp(b));
        wanted
    }

    fn add(&mut self, read: Read) {
        let display = self.options.display(&self.project.root, &read.path);
        let id = self.project.add(read.path, display, read.kind, read.text);
        if let Some(message) = read.note {
            self.project.undecided.push(Undecided {
                span: Span::new(id, 0..0),
                message,
                alike: None,
            });
        }
    }

    fn finish(mut self) -> Project {
        for read in std::mem::take(&mut self.rubble) {
            if !self.tried.contains(&read.path) {
                self.add(read);
            }
        }
        self.project.sorted()
    }
}

/// Whether `path` is `tail` or ends in `/tail`.
fn has_tail(path: &str, tail: &str) -> bool {
    path.strip_suffix(tail)
        .is_some_and(|rest| tail.is_empty() || rest.is_empty() || rest.ends_with('/'))
}

/// One matcher for several globs.
///
/// # Errors
/// The glob that does not compile.
pub(super) fn globs_of(globs: &[String]) -> Result<globset::GlobSet, globset::Error> {
    let mut set = globset::GlobSetBuilder::new();
    for glob in globs {
        // A glob without a slash means a name, wherever it is, as in `.gitignore`.
        let anywhere = if glob.contains('/') {
            glob.clone()
        } else {
            format!("**/{glob}")
        };
        set.add(
            globset::GlobBuilder::new(&anywhere)
                .literal_separator(true)
                .build()?,
        );
        // A folder means what it holds.
        let below = format!("{}/**", anywhere.trim_end_matches('/'));
        set.add(
            globset::GlobBuilder::new(&below)
                .literal_separator(true)
                .build()?,
        );
    }
    set.build()
}

/// A source with what a template engine replaces in it.
pub(super) fn source(
    id: SourceId,
    path: String,
    display: String,
    kind: Kind,
    text: String,
) -> Source {
    let mask = matches!(kind, Kind::Nginx | Kind::Caddyfile | Kind::Python)
        .then(|| template::mask(&text, &path))
        .flatten();
    Source::new(id, path, display, kind, text, mask)
}

impl Project {
    fn add(&mut self, path: String, display: String, kind: Kind, text: String) -> SourceId {
        let id = SourceId(u32::try_from(self.sources.len()).unwrap_or(u32::MAX));
        self.sources.push(source(id, path, display, kind, text));
        id
    }

    /// Sorted by path, whatever the order of reading; the configuration stays first.
    fn sorted(mut self) -> Self {
        let mut order: Vec<usize> = (0..self.sources.len()).collect();
        order.sort_by(|a, b| {
            let key = |at: &usize| {
                let source = &self.sources[*at];
                (source.kind != Kind::Config, source.path.clone())
            };
            key(a).cmp(&key(b))
        });
        let mut new_ids = vec![SourceId(0); order.len()];
        for (new, old) in order.iter().enumerate() {
            new_ids[*old] = SourceId(u32::try_from(new).unwrap_or(u32::MAX));
        }
        for note in &mut self.undecided {
            note.span.source = new_ids[note.span.source.0 as usize];
        }
        let mut sources: Vec<_> = self.sources.drain(..).map(Some).collect();
        for (new, old) in order.iter().enumerate() {
            if let Some(mut source) = sources[*old].take() {
                source.id = SourceId(u32::try_from(new).unwrap_or(u32::MAX));
                self.by_path.insert(source.path.clone(), source.id);
                self.sources.push(source);
            }
        }
        self
    }
}

/// A project of files that are in memory.
pub(super) fn in_memory<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Project, Problem> {
    let mut project = Project::default();
    let mut paths = Vec::new();
    for (path, text) in files {
        paths.push(path.to_owned());
        let Some(Guess::Certain(kind) | Guess::Perhaps(kind)) = guess(path) else {
            // What an example includes by an unusual name is what it is an example of.
            if let Some(kind) = fragment_kind(path) {
                project.add(path.to_owned(), path.to_owned(), kind, text.to_owned());
            }
            continue;
        };
        project.add(path.to_owned(), path.to_owned(), kind, text.to_owned());
    }
    project.files = paths.into_iter().collect();
    let mut project = project.sorted();
    let config = match project.of_kind(Kind::Config).next() {
        Some(source) => config::parse(&source.text, source.id, false, None)
            .map_err(|error| Problem::in_config(source, &error))?,
        None => Config::default(),
    };
    project.config = config;
    Ok(project)
}

/// The kind of a file in memory whose name says nothing.
fn fragment_kind(path: &str) -> Option<Kind> {
    match path.rsplit_once('.') {
        Some((_, "py")) => Some(Kind::Python),
        Some((_, "md" | "txt" | "yml" | "yaml" | "html" | "json")) => None,
        _ => Some(Kind::Nginx),
    }
}

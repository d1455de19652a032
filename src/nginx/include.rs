//! Includes: which files of the project an `include` means, and the configurations that result.
//!
//! nginx resolves a relative path against the folder of the main file, also in nested includes
//! (ngx_conf_full_name with conf_prefix), and expands globs with glob(3): sorted, without dot
//! files. A repository rarely mirrors the server's root, so an absolute path is looked for by
//! its tail: next to the main file, then upward.

use std::collections::{BTreeSet, HashMap};

use super::model::{Config, Context, Included, Item, ROOT, surroundings};
use crate::finding::Undecided;
use crate::project::Project;
use crate::source::{SourceId, Span};
use crate::syntax::{Tree, Word};

/// Files within files. Real configurations stay below ten.
const MAX_DEPTH: usize = 32;

/// Directives of one configuration once its includes are resolved; a bomb ends here.
const MAX_ITEMS: usize = 400_000;

/// Directives of all configurations of a project together.
const MAX_ALL_ITEMS: usize = 2_000_000;

/// Roots that an installation keeps its configuration in.
const SERVER_ROOTS: &[&str] = &[
    "/etc/nginx/",
    "/usr/local/nginx/conf/",
    "/usr/local/etc/nginx/",
    "/usr/local/openresty/nginx/conf/",
    "/opt/nginx/conf/",
];

/// A file that installations have, and what it means for a handshake.
#[derive(Debug)]
pub struct Stock {
    /// Its name.
    pub name: &'static str,
    /// The `proxy_set_header` lines in it.
    pub headers: &'static [(&'static str, &'static str)],
}

/// Debian's and nginx.org's own files. What is not about proxying has no headers.
static STOCK: &[Stock] = &[
    Stock {
        name: "proxy_params",
        headers: &[
            ("Host", "$http_host"),
            ("X-Real-IP", "$remote_addr"),
            ("X-Forwarded-For", "$proxy_add_x_forwarded_for"),
            ("X-Forwarded-Proto", "$scheme"),
        ],
    },
    silent("mime.types"),
    silent("fastcgi_params"),
    silent("fastcgi.conf"),
    silent("uwsgi_params"),
    silent("scgi_params"),
    silent("koi-utf"),
    silent("koi-win"),
    silent("win-utf"),
    silent("fastcgi-php.conf"),
    silent("snakeoil.conf"),
    // Certbot's; it holds ssl_* directives only.
    silent("options-ssl-nginx.conf"),
];

const fn silent(name: &'static str) -> Stock {
    Stock { name, headers: &[] }
}

/// The stock file that `path` names.
fn stock(path: &str) -> Option<&'static Stock> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if path.contains("modules-enabled/") || path.contains("/usr/share/nginx/modules/") {
        // load_module lines.
        return STOCK.iter().find(|stock| stock.name == "mime.types");
    }
    STOCK.iter().find(|stock| stock.name == name)
}

/// Whether a file is about TLS, name resolution or the like by its name, so that it holds neither
/// locations nor headers for upstreams.
pub(super) fn is_about_tls(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| {
            [
                "ssl",
                "tls",
                "resolver",
                "letsencrypt",
                "certs",
                "mime",
                "gzip",
            ]
            .contains(&word)
        })
}

/// The path that a server's include path has in a repository, as far as it can be told.
fn tail(path: &str) -> &str {
    SERVER_ROOTS
        .iter()
        .find_map(|root| path.strip_prefix(root))
        .unwrap_or_else(|| path.trim_start_matches('/'))
}

/// The tails of the include paths in `text`, found without parsing.
pub(super) fn references(text: &str, folder: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let mut tails = BTreeSet::new();
    for at in memchr::memmem::find_iter(bytes, b"include") {
        let starts = at == 0
            || matches!(
                bytes[at - 1],
                b' ' | b'\t' | b'\n' | b'\r' | b';' | b'{' | b'}'
            );
        let rest = &text[at + "include".len()..];
        let argument = rest.trim_start();
        if !starts || argument.len() == rest.len() {
            continue;
        }
        let end = argument
            .find([';', '\n', '\r', '{', '}', ' ', '\t'])
            .unwrap_or(argument.len());
        let path = argument[..end].trim_matches(['"', '\'']);
        let mut tail = tail(path);
        while let Some(rest) = tail.strip_prefix("./").or_else(|| tail.strip_prefix("../")) {
            tail = rest;
        }
        if tail.is_empty()
            || tail.contains('$')
            || stock(path).is_some_and(|stock| stock.headers.is_empty())
        {
            continue;
        }
        // Of a foreign root only the end can be in the project.
        let tail = if path.starts_with('/') && tail.len() + 1 == path.len() {
            last_two(tail)
        } else {
            tail
        };
        if tail.contains('/') || !is_glob(tail) {
            tails.insert(tail.to_owned());
        } else if !folder.is_empty() {
            // A bare `*.conf` would name every such file of the project.
            tails.insert(format!("{folder}/{tail}"));
        }
    }
    tails.into_iter().collect()
}

/// The last folder and the name of a path.
fn last_two(path: &str) -> &str {
    let slash = path.rfind('/').and_then(|last| path[..last].rfind('/'));
    slash.map_or(path, |at| &path[at + 1..])
}

fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// `folder` and `path` joined, with `.` and `..` resolved; `None` if it leaves the project.
fn join(folder: &str, path: &str) -> Option<String> {
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

/// The folders from `folder` up to the project's root.
fn upward(folder: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(folder);
    std::iter::from_fn(move || {
        let here = next?;
        next = match here.rsplit_once('/') {
            Some((parent, _)) => Some(parent),
            None if here.is_empty() => None,
            None => Some(""),
        };
        Some(here)
    })
}

/// The nginx files of a project, to look includes up in.
struct Files<'a> {
    project: &'a Project,
    /// Paths, sorted, with the index of their tree.
    paths: Vec<(&'a str, u32)>,
    by_name: HashMap<&'a str, Vec<u32>>,
    /// Folders that hold files, by the last part of their name.
    folders: HashMap<&'a str, BTreeSet<&'a str>>,
    /// The folders of main files, each with a `/` at its end, sorted.
    mains: Vec<String>,
}

impl<'a> Files<'a> {
    fn new(project: &'a Project, trees: &[Tree], is_main: &[bool]) -> Self {
        let mut files = Self {
            project,
            paths: Vec::with_capacity(trees.len()),
            by_name: HashMap::new(),
            folders: HashMap::new(),
            mains: Vec::new(),
        };
        for (index, tree) in trees.iter().enumerate() {
            let source = project.source(tree.source);
            let folder = source.folder();
            files.paths.push((&source.path, index as u32));
            files
                .by_name
                .entry(source.name())
                .or_default()
                .push(index as u32);
            let last = folder.rsplit('/').next().unwrap_or_default();
            files.folders.entry(last).or_default().insert(folder);
            if is_main[index] {
                files.mains.push(format!("{folder}/"));
            }
        }
        files.paths.sort_unstable();
        files.mains.sort_unstable();
        files
    }

    fn path(&self, tree: u32, trees: &[Tree]) -> &'a str {
        &self.project.source(trees[tree as usize].source).path
    }

    /// The file or files that `path`, relative to the project's root, names.
    fn find(&self, path: &str) -> Vec<u32> {
        if !is_glob(path) {
            return match self.paths.binary_search_by_key(&path, |(path, _)| path) {
                Ok(at) => vec![self.paths[at].1],
                Err(_) => Vec::new(),
            };
        }
        let literal = &path[..path.find(['*', '?', '[', '{', '\\']).unwrap_or(path.len())];
        let first = self.paths.partition_point(|(path, _)| *path < literal);
        if !self
            .paths
            .get(first)
            .is_some_and(|(path, _)| path.starts_with(literal))
        {
            return Vec::new();
        }
        // Braces mean nothing to glob(3).
        let pattern = path.replace('{', "[{]").replace('}', "[}]");
        let Ok(glob) = globset::GlobBuilder::new(&pattern)
            .literal_separator(true)
            .build()
        else {
            return Vec::new();
        };
        let glob = glob.compile_matcher();
        self.paths[first..]
            .iter()
            .take_while(|(path, _)| path.starts_with(literal))
            .filter(|(found, _)| {
                let hidden = found
                    .rsplit('/')
                    .next()
                    .is_some_and(|name| name.starts_with('.'));
                (!hidden
                    || path
                        .rsplit('/')
                        .next()
                        .is_some_and(|name| name.starts_with('.')))
                    && glob.is_match(found)
            })
            .map(|(_, tree)| *tree)
            .collect()
    }

    /// What `tail` names next to `folder` or, failing that, further up.
    fn by_tail(&self, folder: &str, tail: &str, trees: &[Tree]) -> Vec<u32> {
        for ancestor in upward(folder) {
            if let Some(found) = join(ancestor, tail).map(|path| self.find(&path))
                && !found.is_empty()
            {
                return found;
            }
        }
        for ancestor in upward(folder) {
            let inside = format!("{ancestor}/");
            let below = |path: &str| ancestor.is_empty() || path.starts_with(&inside);
            // Several main files: nothing says whose file it would be.
            let first = self
                .mains
                .partition_point(|main| !ancestor.is_empty() && *main < inside);
            if self.mains[first..]
                .iter()
                .take_while(|main| below(main))
                .nth(1)
                .is_some()
            {
                break;
            }
            let found = self.anywhere(tail, trees, &below);
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// What `tail` names below a folder, if it is in one place only.
    fn anywhere(&self, tail: &str, trees: &[Tree], below: &dyn Fn(&str) -> bool) -> Vec<u32> {
        let ends = |path: &str, tail: &str| {
            path.strip_suffix(tail)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        let (folder, name) = tail.rsplit_once('/').unwrap_or(("", tail));
        if !is_glob(tail) {
            let found: Vec<u32> = self
                .by_name
                .get(name)
                .into_iter()
                .flatten()
                .copied()
                .filter(|tree| {
                    let path = self.path(*tree, trees);
                    below(path) && ends(path, tail)
                })
                .collect();
            return if found.len() == 1 { found } else { Vec::new() };
        }
        if folder.is_empty() || is_glob(folder) {
            return Vec::new();
        }
        let last = folder.rsplit('/').next().unwrap_or(folder);
        let mut found: Vec<Vec<u32>> = self
            .folders
            .get(last)
            .into_iter()
            .flatten()
            .filter(|path| below(path) && ends(path, folder))
            .map(|path| self.find(&format!("{path}/{name}")))
            .filter(|found| !found.is_empty())
            .collect();
        if found.len() == 1 {
            found.remove(0)
        } else {
            Vec::new()
        }
    }

    /// What `word`, the argument of an `include` in a configuration that starts in `folder`, means.
    fn resolve(&self, word: &Word, folder: &str, complete: bool, trees: &[Tree]) -> Included {
        let path = word.text.as_str();
        if word.templated || path.contains("${") || path.is_empty() {
            return Included::Missing("a template supplies the name of this include".to_owned());
        }
        for (prefix, local) in &self.project.config.nginx_paths {
            if let Some(rest) = path.strip_prefix(prefix.as_str()) {
                let found = join(local, rest)
                    .map(|path| self.find(&path))
                    .unwrap_or_default();
                return if !found.is_empty() {
                    Included::Files(found)
                } else if is_glob(path) {
                    Included::Files(Vec::new())
                } else {
                    Included::Missing(format!("`{path}` is not in `{local}`"))
                };
            }
        }
        let absolute = path.starts_with('/');
        if !absolute && complete {
            let found = join(folder, path)
                .map(|path| self.find(&path))
                .unwrap_or_default();
            if !found.is_empty() {
                return Included::Files(found);
            }
        }
        let tail = tail(path);
        let foreign = absolute && tail.len() + 1 == path.len();
        let mut found = self.by_tail(folder, tail, trees);
        if found.is_empty() && foreign {
            // `/app/deploy/nginx/ws.conf`: the project itself may be mounted at `/app`.
            let mut rest = tail;
            while let Some((_, shorter)) = rest.split_once('/')
                && shorter.contains('/')
                && found.is_empty()
            {
                rest = shorter;
                found = upward(folder)
                    .filter_map(|ancestor| join(ancestor, rest))
                    .map(|path| self.find(&path))
                    .find(|found| !found.is_empty())
                    .unwrap_or_default();
            }
        }
        if !found.is_empty() {
            return Included::Files(found);
        }
        if let Some(stock) = stock(path) {
            return Included::Stock(stock);
        }
        if is_glob(path) && !absolute && complete && join(folder, path).is_some() {
            // A glob without a match is no error to nginx, and this one points into the project.
            return Included::Files(Vec::new());
        }
        if join(folder, tail).is_some_and(|path| self.project.files.contains(&path)) {
            return Included::Missing(format!("`{path}` could not be read as nginx configuration"));
        }
        Included::Missing(format!("`{path}` is not in the project"))
    }
}

/// Resolves the includes of all files and returns the configurations that result: one for each
/// main file, and one for each fragment that none of the others includes.
pub(super) fn configurations(
    project: &Project,
    trees: &[Tree],
    undecided: &mut Vec<Undecided>,
) -> Vec<Config> {
    let tops: Vec<Context> = trees.iter().map(|tree| surroundings(tree.top())).collect();
    let is_main: Vec<bool> = tops.iter().map(|top| *top == Context::Main).collect();
    let files = Files::new(project, trees, &is_main);
    let mut expander = Expander {
        files: &files,
        trees,
        used: vec![false; trees.len()],
        left: MAX_ALL_ITEMS,
        undecided,
    };
    let mut configs: Vec<Config> = Vec::new();
    let all = 0..trees.len() as u32;
    for main in all.clone().filter(|tree| is_main[*tree as usize]) {
        configs.push(expander.expand(main, true));
    }
    // A fragment that another fragment includes has its context from there.
    let mut included = vec![false; trees.len()];
    for tree in all
        .clone()
        .filter(|tree| !expander.used[*tree as usize] && !is_main[*tree as usize])
    {
        for other in expander.direct(tree) {
            included[other as usize] |= other != tree;
        }
    }
    let fragments = |included: bool, flags: &[bool]| -> Vec<u32> {
        all.clone()
            .filter(|tree| !is_main[*tree as usize] && flags[*tree as usize] == included)
            .collect()
    };
    for tree in fragments(false, &included)
        .into_iter()
        .chain(fragments(true, &included))
    {
        // Those of the second round remain only where fragments include each other in a circle.
        if !expander.used[tree as usize] {
            configs.push(expander.expand(tree, false));
        }
    }
    configs
}

struct Expander<'a> {
    files: &'a Files<'a>,
    trees: &'a [Tree],
    /// Files that some configuration holds.
    used: Vec<bool>,
    /// Items that may still be made.
    left: usize,
    undecided: &'a mut Vec<Undecided>,
}

/// A file that is being read, and how far.
struct Frame {
    tree: u32,
    next: u32,
    via: u32,
}

impl Expander<'_> {
    fn folder(&self, tree: u32) -> &str {
        let id: SourceId = self.trees[tree as usize].source;
        self.files.project.source(id).folder()
    }

    /// The files that `tree` includes itself.
    fn direct(&self, tree: u32) -> Vec<u32> {
        let folder = self.folder(tree).to_owned();
        self.trees[tree as usize]
            .all()
            .filter(|directive| directive.name() == "include" && directive.args().len() == 1)
            .filter_map(|directive| {
                match self
                    .files
                    .resolve(&directive.args()[0], &folder, false, self.trees)
                {
                    Included::Files(found) => Some(found),
                    _ => None,
                }
            })
            .flatten()
            .collect()
    }

    fn expand(&mut self, main: u32, complete: bool) -> Config {
        let mut config = Config::new(main, complete);
        let folder = self.folder(main).to_owned();
        let mut known: HashMap<&str, Included> = HashMap::new();
        let mut frames = vec![Frame {
            tree: main,
            next: 0,
            via: ROOT,
        }];
        // Blocks that are open: their item, where their nodes end, and in which frame.
        let mut open: Vec<(u32, u32, usize)> = Vec::new();
        self.used[main as usize] = true;
        let trees = self.trees;
        while let Some(frame) = frames.last_mut() {
            let (tree, node, via) = (frame.tree, frame.next, frame.via);
            let depth = frames.len();
            while let Some(&(item, end, of)) = open.last()
                && (of > depth || (of == depth && end <= node))
            {
                config.items[item as usize].end = config.items.len() as u32;
                open.pop();
            }
            if node as usize >= trees[tree as usize].nodes.len() {
                while let Some(&(item, _, of)) = open.last()
                    && of >= depth
                {
                    config.items[item as usize].end = config.items.len() as u32;
                    open.pop();
                }
                frames.pop();
                continue;
            }
            if let Some(frame) = frames.last_mut() {
                frame.next += 1;
            }
            if config.items.len() >= MAX_ITEMS || self.left == 0 {
                self.undecided.push(Undecided {
                    span: trees[tree as usize].at(node).head(),
                    message: "the includes of this configuration multiply without end; what follows is not read".to_owned(),
                });
                break;
            }
            self.left -= 1;
            let directive = trees[tree as usize].at(node);
            let item = config.items.len() as u32;
            config.items.push(Item {
                tree,
                node,
                parent: open.last().map_or(ROOT, |(item, ..)| *item),
                end: item + 1,
                via,
                context: Context::Other,
            });
            if directive.has_block() {
                open.push((item, directive.node().end, depth));
                continue;
            }
            let [word] = directive.args() else { continue };
            if directive.name() != "include" {
                continue;
            }
            let found = known
                .entry(&word.text)
                .or_insert_with(|| self.files.resolve(word, &folder, complete, trees))
                .clone();
            let span = directive.head();
            let found = self.enter(found, &config.items, &mut frames, item, span);
            config.includes.insert(item, found);
        }
        let end = config.items.len() as u32;
        for (item, ..) in open {
            config.items[item as usize].end = end;
        }
        if !complete {
            // Includes at its top count as well.
            let top = config.items.iter().filter(|item| item.parent == ROOT);
            config.top = surroundings(top.map(|item| trees[item.tree as usize].at(item.node)));
        }
        config
    }

    /// Reads the files of the include `item` next.
    fn enter(
        &mut self,
        found: Included,
        items: &[Item],
        frames: &mut Vec<Frame>,
        item: u32,
        span: Span,
    ) -> Included {
        let Included::Files(files) = found else {
            return found;
        };
        let chain = std::iter::successors(Some(item), |item| {
            let via = items[*item as usize].via;
            (via != ROOT).then_some(via)
        });
        let mut depth = 0;
        let mut circular = false;
        for including in chain {
            depth += 1;
            circular |= files.contains(&items[including as usize].tree);
        }
        if circular || depth >= MAX_DEPTH {
            let message = "this file includes itself, directly or through others";
            self.undecided.push(Undecided {
                span,
                message: message.to_owned(),
            });
            return Included::Missing(message.to_owned());
        }
        for tree in files.iter().rev() {
            self.used[*tree as usize] = true;
            frames.push(Frame {
                tree: *tree,
                next: 0,
                via: item,
            });
        }
        Included::Files(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nginx::Model;

    /// Where each directive of the first configuration stands, in nginx's order.
    fn order(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let project = Project::in_memory(files.iter().copied()).expect("valid");
        let model = Model::resolve(&project);
        let view = model.view(0);
        let names = (0..view.config.items.len() as u32)
            .map(|item| view.directive(item))
            .filter(|directive| !matches!(directive.name(), "events" | "http" | "include"))
            .map(|directive| directive.name().to_owned())
            .collect();
        let notes = model
            .undecided
            .iter()
            .map(|note| note.message.clone())
            .collect();
        (names, notes)
    }

    #[test]
    fn includes_stand_where_they_are_written_and_globs_are_sorted() {
        let (names, notes) = order(&[
            (
                "etc/nginx.conf",
                "events {}\nhttp { a; include conf.d/*.conf; z; }",
            ),
            ("etc/conf.d/2.conf", "two;"),
            ("etc/conf.d/1.conf", "one; include snippets/deep.conf;"),
            ("etc/conf.d/.hidden.conf", "hidden;"),
            ("etc/conf.d/notes.txt", "notes;"),
            // Relative to the main file's folder, also from a nested file.
            ("etc/snippets/deep.conf", "deep;"),
        ]);
        assert_eq!(names, ["a", "one", "deep", "two", "z"]);
        assert_eq!(notes, Vec::<String>::new());
    }

    #[test]
    fn absolute_paths_are_found_by_their_tail() {
        for place in [
            "docker/nginx/app/s.conf",
            "docker/app/s.conf",
            "app/s.conf",
            "docker/nginx/files/app/s.conf",
        ] {
            let (names, notes) = order(&[
                (
                    "docker/nginx/nginx.conf",
                    "events {}\nhttp { include /etc/nginx/app/s.conf; }",
                ),
                (place, "found;"),
            ]);
            assert_eq!(
                (names, notes),
                (vec!["found".to_owned()], vec![]),
                "{place}"
            );
        }
        let (names, _) = order(&[
            (
                "deploy/nginx.conf",
                "events {}\nhttp { include /srv/code/deploy/app.conf; }",
            ),
            ("deploy/app.conf", "found;"),
        ]);
        assert_eq!(names, ["found"]);
        let (names, _) = order(&[
            (
                "nginx.conf",
                "events {}\nhttp { include /etc/nginx/conf.d/*.conf; }",
            ),
            ("elsewhere/x.conf", "found;"),
            (
                "wslint.toml",
                "[nginx]\npaths = { \"/etc/nginx/conf.d/\" = \"elsewhere\" }",
            ),
        ]);
        assert_eq!(names, ["found"]);
    }

    #[test]
    fn nothing_is_joined_that_only_happens_to_be_there() {
        // Two main files: whose is it?
        let (names, notes) = order(&[
            (
                "a/nginx.conf",
                "events {}\nhttp { include /etc/nginx/app/s.conf; }",
            ),
            ("b/nginx.conf", "events {}\nhttp { }"),
            ("b/files/app/s.conf", "server { }"),
        ]);
        assert_eq!(names, Vec::<String>::new());
        assert_eq!(notes.len(), 1, "{notes:?}");
    }

    #[test]
    fn what_is_missing_is_noted_and_an_empty_glob_is_not() {
        let (_, notes) = order(&[(
            "nginx.conf",
            "events {}\nhttp { include mime.types; include sites/*.conf; include /etc/letsencrypt/options-ssl-nginx.conf; }",
        )]);
        assert_eq!(notes, Vec::<String>::new());
        let (_, notes) = order(&[(
            "nginx.conf",
            "events {}\nhttp { include gone.conf; server { include gone.conf; } include /etc/nginx/conf.d/*.conf; }",
        )]);
        assert_eq!(
            notes,
            [
                "what this include brings is not checked: `/etc/nginx/conf.d/*.conf` is not in the project",
                "what this include brings is not checked: `gone.conf` is not in the project; nor in one more place",
            ]
        );
    }

    #[test]
    fn circles_and_bombs_end() {
        let (names, notes) = order(&[
            ("nginx.conf", "events {}\nhttp { include a.conf; }"),
            ("a.conf", "a; include b.conf;"),
            ("b.conf", "b; include a.conf;"),
        ]);
        assert_eq!(names, ["a", "b"]);
        assert!(notes[0].contains("includes itself"), "{notes:?}");
        // Each file includes the next ten times: a million directives if nothing stopped it.
        let files: Vec<(String, String)> = (0..6)
            .map(|at| {
                (
                    format!("{at}.conf"),
                    format!("include {}.conf;", at + 1).repeat(10),
                )
            })
            .chain([
                ("6.conf".to_owned(), "x;".to_owned()),
                (
                    "nginx.conf".to_owned(),
                    "events {}\nhttp { include 0.conf; }".to_owned(),
                ),
            ])
            .collect();
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        let (names, notes) = order(&files);
        assert!(names.len() < MAX_ITEMS);
        assert!(
            notes.iter().any(|note| note.contains("without end")),
            "{notes:?}"
        );
    }

    #[test]
    fn fragments_that_include_each_other_are_read_once() {
        let project = Project::in_memory([
            ("sites/app.conf", "server { include snippets/ws.conf; }"),
            (
                "snippets/ws.conf",
                "location /ws { proxy_pass http://a:1; }",
            ),
            ("x.conf", "include y.conf; listen 80;"),
            ("y.conf", "include x.conf; listen 81;"),
        ])
        .expect("valid");
        let model = Model::resolve(&project);
        assert_eq!(model.configs.len(), 2);
        assert_eq!(model.configs[0].locations.len(), 1);
    }

    #[test]
    fn references_are_tails() {
        let text = "# comment\ninclude /etc/nginx/conf.d/*.conf;\n include  \"snippets/a.conf\" ; include ./b.inc;\nnot_include x;include /srv/app/deploy/c.conf;include $x;include mime.types;include *.d;";
        assert_eq!(
            references(text, "deploy"),
            [
                "b.inc",
                "conf.d/*.conf",
                "deploy/*.d",
                "deploy/c.conf",
                "snippets/a.conf"
            ]
        );
    }
}

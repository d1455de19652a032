//! Which files of the project the path of an `include` names.
//!
//! nginx resolves a relative path against the folder of the main file, also in nested includes
//! (ngx_conf_full_name with conf_prefix), and expands globs with glob(3): sorted, without dot
//! files. A repository rarely mirrors the server's root, so an absolute path is looked for where a
//! container that holds the main file has it, then by its tail: next to the main file, then upward.

use std::collections::{BTreeSet, HashMap};

use super::model::Included;
use crate::deploy::{self, Base};
use crate::project::{Project, Version, join};
use crate::syntax::{Tree, Word};

/// Roots that an installation keeps its configuration in.
const SERVER_ROOTS: &[&str] = &[
    "/etc/nginx/",
    "/usr/local/nginx/conf/",
    "/usr/local/etc/nginx/",
    "/usr/local/openresty/nginx/conf/",
    "/opt/nginx/conf/",
];

/// The server that nginx's image comes with: for `localhost` at port 80, without an upgrade.
const IMAGE_SERVER: &str = "/etc/nginx/conf.d/default.conf";

/// What the nginx.conf of most installations includes.
const CONF_D: &str = "/etc/nginx/conf.d/*.conf";

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
            ("Host", "$host"),
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

/// A file that sets no headers, whatever it is called.
static NO_HEADERS: Stock = silent("");

const fn silent(name: &'static str) -> Stock {
    Stock { name, headers: &[] }
}

/// The stock file that `path` names.
fn stock(path: &str) -> Option<&'static Stock> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if path.contains("modules-enabled/") || path.contains("/usr/share/nginx/modules/") {
        // load_module lines.
        return Some(&NO_HEADERS);
    }
    STOCK.iter().find(|stock| stock.name == name)
}

/// Whether a file is about TLS, name resolution or the like by its name, so that it holds neither
/// locations nor headers for upstreams.
fn is_about_tls(path: &str) -> bool {
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
pub(super) struct Files<'a> {
    pub(super) project: &'a Project,
    /// Paths, sorted, with the index of their tree.
    paths: Vec<(&'a str, u32)>,
    by_name: HashMap<&'a str, Vec<u32>>,
    /// Folders that hold files, by the last part of their name.
    folders: HashMap<&'a str, BTreeSet<&'a str>>,
    /// The folders of main files, each with a `/` at its end, sorted.
    mains: Vec<String>,
    /// The containers that some of them are put into.
    containers: Vec<Placed>,
    /// Files that are read in place of others which say the same: `sites-enabled/a` is a link to
    /// `sites-available/a`, or a copy.
    originals: HashMap<u32, u32>,
}

/// A container with the nginx files in it.
struct Placed {
    base: Base,
    version: Option<Version>,
    altered: bool,
    /// Nothing takes away or hides the image's own server.
    has_image_server: bool,
    /// By their path in the container.
    files: Vec<(String, u32)>,
}

impl Placed {
    /// Whether its main file is the one that its base comes with.
    fn has_stock_main(&self) -> bool {
        !self.altered
            && self.base != Base::Other
            && !self
                .files
                .iter()
                .any(|(path, _)| path == "/etc/nginx/nginx.conf")
    }

    /// The files that `path` names in it, in the order of glob(3).
    fn find(&self, path: &str) -> Vec<u32> {
        if !is_glob(path) {
            let found = self.files.iter().find(|(at, _)| at == path);
            return found.map(|(_, tree)| *tree).into_iter().collect();
        }
        let Some(glob) = glob(path) else {
            return Vec::new();
        };
        self.files
            .iter()
            .filter(|(at, _)| glob.is_match(at) && !is_hidden(at))
            .map(|(_, tree)| *tree)
            .collect()
    }
}

/// A pattern as glob(3) reads it: braces mean nothing.
fn glob(path: &str) -> Option<globset::GlobMatcher> {
    let pattern = path.replace('{', "[{]").replace('}', "[}]");
    let glob = globset::GlobBuilder::new(&pattern)
        .literal_separator(true)
        .build();
    Some(glob.ok()?.compile_matcher())
}

/// Whether the path of an include is the one of the folder that the image's own server lies in.
pub(super) fn is_conf_d(path: &str) -> bool {
    CONF_D.strip_prefix("/etc/nginx/") == Some(tail(path))
}

fn is_hidden(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with('.'))
}

impl<'a> Files<'a> {
    pub(super) fn new(project: &'a Project, trees: &[Tree], is_main: &[bool]) -> Self {
        let mut files = Self {
            project,
            paths: Vec::with_capacity(trees.len()),
            by_name: HashMap::new(),
            folders: HashMap::new(),
            mains: Vec::new(),
            containers: Vec::new(),
            originals: HashMap::new(),
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
        files.containers = deploy::containers(project, |source| source.text.contains("nginx"))
            .into_iter()
            .map(|container| Placed {
                base: container.base,
                version: container.version,
                altered: container.altered,
                has_image_server: container.base == Base::NginxImage
                    && !container.removed
                    && !container.altered
                    && !container.mounts.iter().any(|mount| {
                        let to = mount.to.trim_end_matches('/');
                        to == IMAGE_SERVER || mount.hides && IMAGE_SERVER.starts_with(to)
                    }),
                files: container.placed(&files.paths),
            })
            .map(|placed| Placed {
                has_image_server: placed.has_image_server
                    && placed.files.iter().all(|(path, _)| path != IMAGE_SERVER),
                ..placed
            })
            .filter(|placed| !placed.files.is_empty())
            .collect();
        for (path, tree) in &files.paths {
            if let Some((outer, name)) = path.split_once("sites-enabled/")
                && let [original] = files.find(&format!("{outer}sites-available/{name}"))[..]
                && let (copy, original_tree) = (&trees[*tree as usize], &trees[original as usize])
                && project.source(copy.source).text == project.source(original_tree.source).text
            {
                files.originals.insert(*tree, original);
            }
        }
        files
    }

    /// Whether a file is a link to another of the project, or a copy of it.
    pub(super) fn is_copy(&self, tree: u32) -> bool {
        self.originals.contains_key(&tree)
    }

    /// The fragments that the stock main file of a container includes, for each of those that
    /// have one.
    pub(super) fn stock_sites(&self) -> Vec<Vec<u32>> {
        let mut sites = Vec::new();
        for placed in self
            .containers
            .iter()
            .filter(|placed| placed.has_stock_main())
        {
            // The images' nginx.conf ends with conf.d; Debian's goes on with sites-enabled.
            let mut found = placed.find(CONF_D);
            if placed.base == Base::Debian {
                found.extend(placed.find("/etc/nginx/sites-enabled/*"));
            }
            if !found.is_empty() && !sites.contains(&found) {
                sites.push(found);
            }
        }
        sites
    }

    /// The containers that hold the file `tree`.
    fn holding(&self, tree: u32) -> impl Iterator<Item = &Placed> {
        let holds = move |placed: &&Placed| placed.files.iter().any(|(_, held)| *held == tree);
        self.containers.iter().filter(holds)
    }

    /// The version of nginx that runs a configuration which starts with `main`: what the project
    /// declares, or what all its containers have.
    pub(super) fn target(&self, main: u32) -> Option<Version> {
        let mut versions = self.holding(main).map(|placed| placed.version);
        let of_image = || {
            let first = versions.next()??;
            versions.all(|other| other == Some(first)).then_some(first)
        };
        self.project.config.targets.nginx.or_else(of_image)
    }

    /// Whether an include of `conf.d` in the main file `main` brings what its container comes with,
    /// and nothing more: of the image one server for `localhost`, of Debian's package nothing.
    pub(super) fn is_stock_conf_d(&self, path: &str, main: u32) -> bool {
        if !is_conf_d(path) {
            return false;
        }
        let mut holding = self.holding(main).peekable();
        let is_stock = |placed: &Placed| {
            !placed.altered && placed.base != Base::Other && placed.find(CONF_D).is_empty()
        };
        holding.peek().is_some() && holding.all(is_stock)
    }

    /// Whether `conf.d`, read in a configuration that starts with `main`, may begin with the server
    /// that the image of its container comes with.
    pub(super) fn begins_with_image_server(&self, main: u32, trees: &[Tree]) -> bool {
        // Those of glob(3) are sorted.
        let first = |(path, tree): &&(String, u32)| {
            let mut top = trees[*tree as usize].top();
            path.as_str() < IMAGE_SERVER && top.any(|directive| directive.name() == "server")
        };
        let mut holding = self.holding(main);
        holding.any(|placed| {
            let in_conf_d = |(path, _): &&(String, u32)| path.starts_with("/etc/nginx/conf.d/");
            let mut beside = placed.files.iter().filter(in_conf_d);
            placed.has_image_server && !beside.any(|file| first(&file))
        })
    }

    /// What an absolute path names in the containers that hold `main`; `None` if in none of them.
    fn mounted(&self, path: &str, main: u32) -> Option<Vec<u32>> {
        self.holding(main)
            .map(|placed| placed.find(path))
            .find(|found| !found.is_empty())
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
        let Some(glob) = glob(path) else {
            return Vec::new();
        };
        self.paths[first..]
            .iter()
            .take_while(|(path, _)| path.starts_with(literal))
            .filter(|(found, _)| (!is_hidden(found) || is_hidden(path)) && glob.is_match(found))
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

    /// What `word`, the argument of an `include` in a configuration that starts with `main`, means.
    pub(super) fn resolve(
        &self,
        word: &Word,
        main: u32,
        complete: bool,
        trees: &[Tree],
    ) -> Included {
        match self.look_up(word, main, complete, trees) {
            Included::Files(mut found) if !self.originals.is_empty() => {
                for tree in &mut found {
                    *tree = self.originals.get(tree).copied().unwrap_or(*tree);
                }
                Included::Files(found)
            }
            other => other,
        }
    }

    fn look_up(&self, word: &Word, main: u32, complete: bool, trees: &[Tree]) -> Included {
        let folder = self.project.source(trees[main as usize].source).folder();
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
        // Relative paths are relative to the main file's folder, in a container as well.
        let inside = if absolute {
            path.to_owned()
        } else {
            format!("/etc/nginx/{path}")
        };
        if let Some(found) = self.mounted(&inside, main) {
            return Included::Files(found);
        }
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
        if is_about_tls(path) {
            return Included::Stock(&NO_HEADERS);
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

#[cfg(test)]
mod tests {
    use super::*;

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

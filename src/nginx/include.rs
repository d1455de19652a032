//! Includes: the configurations of a project, each from a file that no other one includes, with
//! the directives of included files where the `include` stands.

use std::collections::HashMap;

use super::files::{Files, is_conf_d};
use super::model::{Config, Context, Included, Item, ROOT, fits_http};
use crate::finding::Undecided;
use crate::project::Project;
use crate::source::{SourceId, Span};
use crate::syntax::{Directive, Tree};

/// Files within files. Real configurations stay below ten.
const MAX_DEPTH: usize = 32;

/// Why an include of a bomb is not read.
const ENDLESS: &str = "the includes of this configuration multiply without end";

/// Directives of one configuration once its includes are resolved; a bomb ends here.
const MAX_ITEMS: usize = 400_000;

/// Directives of all configurations of a project together.
const MAX_ALL_ITEMS: usize = 2_000_000;

/// Resolves the includes of all files and returns the configurations that result: one for each
/// main file, and one for each fragment that none of the others includes.
pub(super) fn configurations(
    project: &Project,
    trees: &[Tree],
    undecided: &mut Vec<Undecided>,
) -> Vec<Config> {
    let tops: Vec<Context> = trees
        .iter()
        .map(|tree| super::model::surroundings(tree.top()))
        .collect();
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
        configs.push(expander.expand(&[main], Surroundings::None));
    }
    // What a container adds to the stock nginx.conf of its image has its context from there.
    for sites in files.stock_sites() {
        let sites: Vec<u32> = sites
            .into_iter()
            .filter(|tree| {
                fits_http(&trees[*tree as usize], tops[*tree as usize])
                    && !expander.used[*tree as usize]
            })
            .collect();
        if !sites.is_empty() {
            configs.push(expander.expand(&sites, Surroundings::Stock));
        }
    }
    // A fragment that another fragment includes has its context from there.
    let mut included = vec![false; trees.len()];
    for tree in all
        .clone()
        .filter(|tree| !expander.used[*tree as usize] && !is_main[*tree as usize])
    {
        included[tree as usize] |= files.is_copy(tree);
        for other in expander.direct(tree) {
            included[other as usize] |= other != tree;
        }
    }
    let shared = shared(&expander, &tops, &included);
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
        if expander.used[tree as usize] || files.is_copy(tree) {
            continue;
        }
        let mut roots = vec![tree];
        if tops[tree as usize] == Context::Http
            && let Some(others) = shared.get(expander.folder(tree))
        {
            roots.extend(others.iter().filter(|other| **other != tree));
            roots.sort_by_key(|tree| expander.path(*tree).to_owned());
        }
        configs.push(expander.expand(&roots, Surroundings::Unknown));
    }
    configs
}

/// What surrounds the files that a configuration starts with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Surroundings {
    /// Nothing: it is a main file.
    None,
    /// The `http` block of an installation's own nginx.conf, which sets nothing that matters to a
    /// handshake.
    Stock,
    /// A file that is not in the project.
    Unknown,
}

/// Folders whose files `http` includes together.
const TOGETHER: &[&str] = &["conf.d", "http.d", "sites-enabled", "vhosts", "vhosts.d"];

/// What belongs to all servers of such a folder: its fragments that hold no server, by folder.
/// Where two define the same, one of them is not in use, and nothing says which.
fn shared(
    expander: &Expander<'_>,
    tops: &[Context],
    included: &[bool],
) -> HashMap<String, Vec<u32>> {
    let mut shared: HashMap<String, Vec<u32>> = HashMap::new();
    let mut defined: HashMap<(String, String), usize> = HashMap::new();
    for tree in 0..tops.len() as u32 {
        let folder = expander.folder(tree);
        let together = TOGETHER.contains(&folder.rsplit('/').next().unwrap_or_default())
            && (!folder.ends_with(".d") || expander.path(tree).ends_with(".conf"));
        let free = fits_http(&expander.trees[tree as usize], tops[tree as usize])
            && !expander.used[tree as usize]
            && !included[tree as usize];
        let directives = || expander.trees[tree as usize].top();
        if !together || !free || directives().any(|directive| directive.name() == "server") {
            continue;
        }
        for directive in directives() {
            let name = match directive.name() {
                "map" | "geo" | "split_clients" => directive.args().last(),
                "upstream" => directive.args().first(),
                "proxy_http_version" => directive.name_word(),
                _ => None,
            };
            if let Some(name) = name {
                *defined
                    .entry((folder.to_owned(), name.text.clone()))
                    .or_default() += 1;
            }
        }
        shared.entry(folder.to_owned()).or_default().push(tree);
    }
    for ((folder, _), times) in defined {
        if times > 1 {
            shared.remove(&folder);
        }
    }
    shared
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

    fn path(&self, tree: u32) -> &str {
        let id: SourceId = self.trees[tree as usize].source;
        &self.files.project.source(id).path
    }

    /// The files that `tree` includes itself.
    fn direct(&self, tree: u32) -> Vec<u32> {
        self.trees[tree as usize]
            .all()
            .filter(|directive| directive.name() == "include" && directive.args().len() == 1)
            .filter_map(|directive| {
                match self
                    .files
                    .resolve(&directive.args()[0], tree, false, self.trees)
                {
                    Included::Files(found) => Some(found),
                    _ => None,
                }
            })
            .flatten()
            .collect()
    }

    /// The configuration that starts with the files `roots`, one after the other.
    fn expand(&mut self, roots: &[u32], surroundings: Surroundings) -> Config {
        let main = roots.first().copied().unwrap_or_default();
        let complete = surroundings != Surroundings::Unknown;
        let mut config = Config::new(roots.to_vec(), self.folder(main).to_owned(), complete);
        config.target = self.files.target(main);
        let mut known: HashMap<&str, Included> = HashMap::new();
        let frame = |tree: &u32| Frame {
            tree: *tree,
            next: 0,
            via: ROOT,
        };
        let mut frames: Vec<Frame> = roots.iter().rev().map(frame).collect();
        // Blocks that are open: their item, where their nodes end, and in which frame.
        let mut open: Vec<(u32, u32, usize)> = Vec::new();
        let mut spent = false;
        for root in roots {
            self.used[*root as usize] = true;
        }
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
            if !spent && (config.items.len() >= MAX_ITEMS || self.left == 0) {
                // The files that are open are read to their end, so that nothing in them is lost.
                spent = true;
                self.undecided.push(Undecided {
                    span: trees[tree as usize].at(node).head(),
                    message: format!("{ENDLESS}; no further one is read"),
                    alike: None,
                });
            }
            self.left = self.left.saturating_sub(1);
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
            if spent {
                config
                    .includes
                    .insert(item, Included::Missing(ENDLESS.to_owned()));
                continue;
            }
            let found = known
                .entry(&word.text)
                .or_insert_with(|| self.files.resolve(word, main, complete, trees))
                .clone();
            if tree == main && is_conf_d(&word.text) && !is_behind_servers(directive) {
                config.image_server_first = self.files.begins_with_image_server(main, trees);
            }
            let found = match found {
                // Before the project's own servers, the image's would take what nobody names.
                Included::Missing(_)
                    if tree == main
                        && self.files.is_stock_conf_d(&word.text, main)
                        && !is_before_servers(directive) =>
                {
                    Included::Files(Vec::new())
                }
                found => found,
            };
            let span = directive.head();
            let found = self.enter(found, &config.items, &mut frames, item, span);
            config.includes.insert(item, found);
        }
        let end = config.items.len() as u32;
        for (item, ..) in open {
            config.items[item as usize].end = end;
        }
        if surroundings == Surroundings::Stock {
            config.top = Context::Http;
            config.image_server_first = self.files.begins_with_image_server(main, trees);
        } else if !complete {
            // Includes at its top count as well.
            let top = config.items.iter().filter(|item| item.parent == ROOT);
            config.top =
                super::model::surroundings(top.map(|item| trees[item.tree as usize].at(item.node)));
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
                alike: None,
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

/// Whether a server stands before an include in its block.
fn is_behind_servers(include: Directive<'_>) -> bool {
    let mut beside = include.parent().into_iter().flat_map(Directive::children);
    beside.any(|other| other.index < include.index && other.name() == "server")
}

/// Whether a server follows in the block of an include.
fn is_before_servers(include: Directive<'_>) -> bool {
    let mut beside = include.parent().into_iter().flat_map(Directive::children);
    beside.any(|other| other.index > include.index && other.name() == "server")
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

    /// The messages of findings (by rule) and notes of a project.
    fn outcome(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let project = Project::in_memory(files.iter().copied()).expect("valid");
        let outcome = crate::check::check(&project, &crate::check::Selection::default());
        let rules = outcome
            .findings
            .iter()
            .map(|finding| finding.rule.to_string());
        let notes = outcome.undecided.iter().map(|note| note.message.clone());
        (rules.collect(), notes.collect())
    }

    const SITE: &str = "server { listen 80; location /ws/ { proxy_pass http://a; } }";

    #[test]
    fn a_container_ties_a_fragment_to_its_image_s_main_file() {
        let lost = (vec!["nginx/upgrade-not-forwarded".to_owned()], vec![]);
        let dockerfile = "FROM node AS build\nRUN make\nFROM nginx:alpine\nCOPY nginx.conf /etc/nginx/conf.d/default.conf\n";
        assert_eq!(
            outcome(&[("nginx.conf", SITE), ("Dockerfile", dockerfile)]),
            lost
        );
        let compose = "services:\n  web:\n    image: nginx\n    volumes:\n      - ./site:/etc/nginx/templates\n";
        let compose = ("compose.yml", compose);
        assert_eq!(outcome(&[("site/a.conf.template", SITE), compose]), lost);
        // A neighbour in it supplies the pair.
        let headers = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
        let files = [
            ("site/a.conf.template", SITE),
            ("site/b.conf.template", headers),
            compose,
        ];
        assert_eq!(outcome(&files), (vec![], vec![]));
        // Nobody knows what stands around it, or it is changed on the way.
        let (findings, notes) = outcome(&[("nginx.conf", SITE)]);
        assert_eq!((findings.len(), notes.len()), (0, 1), "{notes:?}");
        let altered = format!("{dockerfile}RUN sed -i 's/x/y/' /etc/nginx/nginx.conf\n");
        let (findings, notes) = outcome(&[("nginx.conf", SITE), ("Dockerfile", &altered)]);
        assert_eq!((findings.len(), notes.len()), (0, 1), "{notes:?}");
    }

    #[test]
    fn the_image_s_tag_is_the_target_where_none_is_declared() {
        let site = "server { listen 80; http2 on; location /ws/ { proxy_pass http://a; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; } }";
        let warns = |files: &[(&str, &str)]| {
            let project = Project::in_memory(files.iter().copied()).expect("valid");
            let outcome = crate::check::check(&project, &crate::check::Selection::default());
            let told = outcome.findings.iter();
            told.filter(|finding| finding.severity != crate::rule::Severity::Info)
                .map(|finding| finding.rule.to_string())
                .collect::<Vec<_>>()
        };
        let [refused, old] =
            ["nginx/refused", "nginx/http-version"].map(|rule| vec![rule.to_owned()]);
        for (tag, found) in [
            ("1.25.0", &refused),
            ("1.25.1", &old),
            ("1.25", &vec![]),
            ("1.28", &old),
            ("1.30", &vec![]),
        ] {
            let dockerfile =
                format!("FROM nginx:{tag}\nCOPY a.conf /etc/nginx/conf.d/default.conf\n");
            let files = [("a.conf", site), ("Dockerfile", &*dockerfile)];
            assert_eq!(warns(&files), *found, "{tag}");
            let declared = ("wslint.toml", "[targets]\nnginx = \"1.30\"");
            assert_eq!(
                warns(&[files[0], files[1], declared]),
                [] as [&str; 0],
                "{tag}"
            );
        }
        // Two containers run it, and differ.
        let compose = "services:\n  a:\n    image: nginx:1.28\n    volumes: [\"./a.conf:/etc/nginx/conf.d/default.conf\"]\n  b:\n    image: nginx:1.30\n    volumes: [\"./a.conf:/etc/nginx/conf.d/default.conf\"]\n";
        assert_eq!(
            warns(&[("a.conf", site), ("compose.yml", compose)]),
            [] as [&str; 0]
        );
    }

    #[test]
    fn a_main_file_reads_what_its_container_holds() {
        let compose = "services:\n  web:\n    image: nginx\n    volumes:\n      - ./deploy/main.conf:/etc/nginx/nginx.conf\n      - ./sites:/etc/nginx/extra\n";
        let (names, notes) = order(&[
            (
                "deploy/main.conf",
                "events {}\nhttp { include /etc/nginx/extra/*.conf; include extra/one.conf; }",
            ),
            ("sites/one.conf", "found;"),
            ("other/extra/two.conf", "wrong;"),
            ("docker-compose.yml", compose),
        ]);
        assert_eq!((names, notes), (vec!["found".to_owned(); 2], vec![]));
    }

    #[test]
    fn what_an_image_has_in_conf_d_sets_nothing_for_others() {
        let after = format!("events {{}}\nhttp {{ {SITE} include /etc/nginx/conf.d/*.conf; }}");
        let before = format!("events {{}}\nhttp {{ include /etc/nginx/conf.d/*.conf; {SITE} }}");
        let notes = |main: &str, dockerfile: &str| {
            let files = [("web/nginx.conf", main), ("web/Dockerfile", dockerfile)];
            let (findings, notes) = outcome(&files);
            (findings.len(), notes.len())
        };
        let copies = "COPY nginx.conf /etc/nginx/nginx.conf\n";
        for (dockerfile, known) in [
            (format!("FROM nginx\n{copies}"), true),
            (
                format!("FROM nginx\nRUN rm /etc/nginx/conf.d/default.conf\n{copies}"),
                true,
            ),
            (
                format!("FROM debian\nRUN apt-get install -y nginx\n{copies}"),
                true,
            ),
            // What else is there, nobody knows.
            (format!("FROM acme/nginx\n{copies}"), false),
            (
                format!("FROM nginx\n{copies}COPY --from=build /x /etc/nginx/conf.d/\n"),
                false,
            ),
            (
                format!("FROM nginx\n{copies}RUN echo x > /etc/nginx/conf.d/x.conf\n"),
                false,
            ),
        ] {
            // The image's server, if it is still there, takes whatever host nobody names.
            assert_eq!(notes(&before, &dockerfile).1, 1, "{dockerfile}");
            let told = notes(&after, &dockerfile);
            assert_eq!(told.1, usize::from(!known), "{dockerfile}: {told:?}");
            assert_eq!(told.0, usize::from(known), "{dockerfile}: {told:?}");
        }
    }

    #[test]
    fn the_image_s_own_server_may_take_a_host_that_nobody_names() {
        let site = "server { listen 80; location / { return 200; } }";
        let first = |at: &str, more: &str| {
            let dockerfile = format!("FROM nginx\n{more}COPY site.conf {at}\n");
            let main = format!("events {{}} http {{ include /etc/nginx/conf.d/*.conf; {site} }}");
            let text = if at.ends_with("nginx.conf") {
                &main
            } else {
                site
            };
            let files = [("site.conf", text), ("Dockerfile", &*dockerfile)];
            let project = Project::in_memory(files).expect("valid");
            Model::resolve(&project).configs[0].image_server_first
        };
        let conf_d = "/etc/nginx/conf.d/";
        for (at, more, expected) in [
            ("site.conf", "", true),
            ("a.conf", "", false),
            ("default.conf", "", false),
            (
                "site.conf",
                "RUN rm /etc/nginx/conf.d/default.conf\n",
                false,
            ),
            ("../nginx.conf", "", true),
            ("../nginx.conf", "RUN rm -rf /etc/nginx/conf.d/*\n", false),
        ] {
            let at = match at.strip_prefix("../") {
                Some(name) => format!("/etc/nginx/{name}"),
                None => format!("{conf_d}{at}"),
            };
            assert_eq!(first(&at, more), expected, "{at} {more}");
        }
        let compose = "services:\n  web:\n    image: nginx\n    volumes: [VOLUME]\n";
        for (volume, expected) in [
            ("\"./conf:/etc/nginx/conf.d\"", false),
            ("\"./conf/site.conf:/etc/nginx/conf.d/site.conf\"", true),
        ] {
            let compose = compose.replace("VOLUME", volume);
            let files = [("conf/site.conf", site), ("compose.yml", &*compose)];
            let project = Project::in_memory(files).expect("valid");
            let model = Model::resolve(&project);
            assert_eq!(model.configs[0].image_server_first, expected, "{volume}");
        }
    }

    #[test]
    fn what_a_folder_s_servers_share_belongs_to_each() {
        let headers = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
        let own = "server { listen 80; location /ws/ { proxy_pass http://a; proxy_set_header Host $host; } }";
        let shared = ("conf.d/00-proxy.conf", headers);
        assert_eq!(
            outcome(&[shared, ("conf.d/site.conf", SITE)]),
            (vec![], vec![])
        );
        let discarded = (vec!["nginx/headers-not-inherited".to_owned()], vec![]);
        assert_eq!(outcome(&[shared, ("conf.d/site.conf", own)]), discarded);
        // Elsewhere files that lie side by side have nothing to do with each other.
        let (findings, notes) = outcome(&[("x/00-proxy.conf", headers), ("x/site.conf", SITE)]);
        assert_eq!((findings.len(), notes.len()), (0, 1), "{notes:?}");
    }

    #[test]
    fn a_site_and_its_link_are_one() {
        let files = [
            ("sites-available/a.conf", SITE),
            ("sites-enabled/a.conf", SITE),
        ];
        assert_eq!(outcome(&files).1.len(), 1);
        let main = ("nginx.conf", "events {}\nhttp { include sites-enabled/*; }");
        let (findings, notes) = outcome(&[files[0], files[1], main]);
        assert_eq!((findings.len(), notes.len()), (1, 0), "{notes:?}");
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
        let (_, notes) = outcome(&[(
            "nginx.conf",
            "events {}\nhttp { include gone.conf; server { include gone.conf; include snippets/a.conf; include snippets/b.conf; include away.conf; } include /etc/nginx/conf.d/*.conf; }",
        )]);
        assert_eq!(
            notes,
            [
                "what this include brings is not checked: `gone.conf` is not in the project; the same of 2 more",
                "what this include brings is not checked: `snippets/a.conf` is not in the project; the same of one more",
                "what this include brings is not checked: `/etc/nginx/conf.d/*.conf` is not in the project",
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
}

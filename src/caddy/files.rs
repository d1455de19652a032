//! Which files of the project a site's `root` holds.

use std::collections::HashMap;

use crate::deploy;
use crate::project::{Files, Project, join};
use crate::source::{Kind, Source};

/// Roots of one configuration that are looked for.
const MAX_ROOTS: usize = 1000;

/// A folder of the project that a server serves.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    files: Files,
    /// Relative to the project's root.
    path: String,
}

impl Folder {
    /// Whether the file is in it. What is not may still be made on the server.
    pub(super) fn holds(&self, file: &str) -> bool {
        // An empty path and one with a slash at its end mean folders.
        let folder = file.is_empty() || file.ends_with('/');
        let Some(path) = join("", file).map(|file| format!("{}/{file}", self.path)) else {
            return false;
        };
        let path = path.trim_start_matches('/').trim_end_matches('/');
        match folder {
            true => path == self.path || self.files.has_folder(path),
            false => self.files.contains(path),
        }
    }
}

/// The folders that the roots of one configuration mean, by what is written.
#[derive(Debug, Default)]
pub(super) struct Folders {
    files: Files,
    /// The Caddyfile's folder, where Caddy runs beside it.
    beside: Option<String>,
    /// The containers that hold the Caddyfile.
    containers: Vec<deploy::Container>,
    found: HashMap<String, Option<Folder>>,
}

/// The containers of a project in which Caddy may run, if some Caddyfile names a root or a variable.
pub(super) fn containers(project: &Project) -> Vec<deploy::Container> {
    let mut files = project.of_kind(Kind::Caddyfile);
    let asks = |source: &Source| source.text.contains("root") || source.text.contains("{$");
    match files.any(asks) {
        // A service need not say what the image is that it builds.
        true => deploy::containers(project, |source| {
            deploy::is_compose(source) || source.text.contains("addy")
        }),
        false => Vec::new(),
    }
}

impl Folders {
    /// Those of the Caddyfile `source`, which some of the `containers` may hold.
    pub(super) fn new(
        project: &Project,
        containers: &[deploy::Container],
        source: &Source,
    ) -> Self {
        let holds = |container: &&deploy::Container| {
            !container.placed(&[(source.path.as_str(), 0)]).is_empty()
        };
        let containers: Vec<_> = containers.iter().filter(holds).cloned().collect();
        Self {
            files: project.files.clone(),
            beside: containers.is_empty().then(|| source.folder().to_owned()),
            containers,
            found: HashMap::new(),
        }
    }

    /// The folder of the project that `root` means. Nothing says so of an absolute path, unless the
    /// containers that hold the Caddyfile have a folder of the project there.
    pub(super) fn find(&mut self, root: &str) -> Option<Folder> {
        if let Some(found) = self.found.get(root) {
            return found.clone();
        }
        let path = match (root.starts_with('/'), &self.beside) {
            (true, _) => {
                let mut origins = self
                    .containers
                    .iter()
                    .map(|container| container.origin(root));
                let first = origins.next().flatten();
                first.filter(|first| origins.all(|other| other.as_ref() == Some(first)))
            }
            (false, Some(beside)) => join(beside, root),
            // A container has a folder of its own to start from.
            (false, None) => None,
        };
        let path = path.filter(|path| path.is_empty() || self.files.has_folder(path));
        let folder = path.map(|path| Folder {
            files: self.files.clone(),
            path,
        });
        if self.found.len() < MAX_ROOTS {
            self.found.insert(root.to_owned(), folder.clone());
        }
        folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the root is known, and holds the file.
    fn holds(files: &[(&str, &str)], root: &str, file: &str) -> Option<bool> {
        let project = Project::in_memory(files.iter().copied()).expect("valid");
        let source = project.by_path("web/Caddyfile").expect("a Caddyfile");
        let folder = Folders::new(&project, &containers(&project), source).find(root);
        folder.map(|folder| folder.holds(file))
    }

    const CADDYFILE: (&str, &str) = ("web/Caddyfile", ":80 {\n\troot site\n}\n");

    #[test]
    fn a_relative_root_lies_beside_the_caddyfile() {
        let files = [CADDYFILE, ("web/site/a/page.html", "x")];
        assert_eq!(holds(&files, "site", "/a/page.html"), Some(true));
        assert_eq!(holds(&files, "./site/", "/a/"), Some(true));
        assert_eq!(holds(&files, "site", "/a"), Some(false));
        assert_eq!(holds(&files, "site", "/"), Some(true));
        assert_eq!(holds(&files, "site", "/../Caddyfile"), Some(false));
        assert_eq!(holds(&files, "dist", "/a/page.html"), None);
        assert_eq!(holds(&files, "/site", "/a/page.html"), None);
        assert_eq!(holds(&files, "../..", "/a"), None);
    }

    #[test]
    fn an_absolute_root_is_what_the_container_has_there() {
        let page = ("web/public/page.html", "x");
        let compose = "services:\n  caddy:\n    image: caddy:2\n    volumes:\n      - ./web/Caddyfile:/etc/caddy/Caddyfile\n      - ./web/public:/srv/site\n";
        let files = [CADDYFILE, page, ("compose.yml", compose)];
        assert_eq!(holds(&files, "/srv/site", "/page.html"), Some(true));
        assert_eq!(holds(&files, "/srv/site", "/none.html"), Some(false));
        assert_eq!(holds(&files, "/srv", "/page.html"), None);
        assert_eq!(holds(&files, "public", "/page.html"), None);
        let dockerfile =
            "FROM caddy:2\nCOPY web/Caddyfile /etc/caddy/Caddyfile\nCOPY web/public /srv\n";
        let files = [CADDYFILE, page, ("Dockerfile", dockerfile)];
        assert_eq!(holds(&files, "/srv", "/page.html"), Some(true));
        // A volume hides it.
        let compose = "services:\n  caddy:\n    build: .\n    volumes:\n      - data:/srv\n";
        let files = [
            CADDYFILE,
            page,
            ("Dockerfile", dockerfile),
            ("compose.yml", compose),
        ];
        assert_eq!(holds(&files, "/srv", "/page.html"), None);
        // Somebody else's container says nothing.
        let compose =
            "services:\n  caddy:\n    image: caddy:2\n    volumes:\n      - ./web/public:/srv\n";
        let files = [CADDYFILE, page, ("compose.yml", compose)];
        assert_eq!(holds(&files, "/srv", "/page.html"), None);
    }
}

//! Which file a Python import means, and what a source makes the project read.

use std::collections::{BTreeSet, HashMap};

use crate::project::Project;
use crate::source::{Kind, Source, SourceId};

/// Packages that never live in a project's own tree, whatever its files are called.
const FOREIGN: &[&str] = &[
    "__future__",
    "abc",
    "asyncio",
    "base64",
    "boto3",
    "celery",
    "channels",
    "channels_redis",
    "collections",
    "configparser",
    "configurations",
    "contextlib",
    "copy",
    "corsheaders",
    "csv",
    "daphne",
    "datetime",
    "decouple",
    "dj_database_url",
    "django",
    "django_environ",
    "dotenv",
    "email",
    "environ",
    "environs",
    "enum",
    "functools",
    "gettext",
    "glob",
    "hashlib",
    "importlib",
    "io",
    "itertools",
    "json",
    "logging",
    "math",
    "multiprocessing",
    "operator",
    "os",
    "pathlib",
    "pkg_resources",
    "platform",
    "random",
    "re",
    "redis",
    "requests",
    "rest_framework",
    "secrets",
    "sentry_sdk",
    "shutil",
    "signal",
    "site",
    "socket",
    "socketio",
    "split_settings",
    "ssl",
    "string",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "time",
    "traceback",
    "types",
    "typing",
    "typing_extensions",
    "urllib",
    "uuid",
    "uvicorn",
    "warnings",
    "whitenoise",
    "yaml",
];

fn is_foreign(dotted: &str) -> bool {
    FOREIGN.contains(&dotted.split('.').next().unwrap_or_default())
}

/// What a dotted import path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A module or package of the project: its path without suffix.
    Here(String),
    /// A package outside it.
    Outside,
    /// It should be here and is not.
    Missing,
}

/// Finds modules by the project's paths.
#[derive(Debug)]
pub struct Modules<'p> {
    project: &'p Project,
    /// The modules by each of their [`tails`].
    modules: HashMap<&'p str, Vec<&'p str>>,
    /// The packages, in the same way.
    packages: HashMap<&'p str, Vec<&'p str>>,
}

impl<'p> Modules<'p> {
    /// An index of the project's Python sources.
    pub fn new(project: &'p Project) -> Self {
        let mut modules: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut packages: HashMap<&str, Vec<&str>> = HashMap::new();
        for source in project.of_kind(Kind::Python) {
            let path = without_suffix(&source.path);
            for tail in tails(path) {
                modules.entry(tail).or_default().push(path);
            }
            if let Some(package) = path.strip_suffix("/__init__") {
                for tail in tails(package) {
                    packages.entry(tail).or_default().push(package);
                }
            }
        }
        Self {
            project,
            modules,
            packages,
        }
    }

    /// The source of the module at `path` (without suffix), if it was read.
    pub fn source(&self, path: &str) -> Option<&'p Source> {
        self.project
            .by_path(&format!("{path}.py"))
            .or_else(|| self.project.by_path(&format!("{path}/__init__.py")))
            .filter(|source| source.kind == Kind::Python)
    }

    /// Whether there is a module or a package at `path`.
    pub fn exists(&self, path: &str) -> bool {
        self.project.files.contains(&format!("{path}.py"))
            || self.source(path).is_some()
            || self.project.files.has_folder(path)
    }

    /// Whether there is a module, or a package that is more than a folder, at `path`.
    fn is_regular(&self, path: &str) -> bool {
        let files = &self.project.files;
        files.contains(&format!("{path}.py")) || files.contains(&format!("{path}/__init__.py"))
    }

    /// What `dotted`, imported by the file at `from` with `level` leading dots, means.
    pub fn find(&self, from: SourceId, level: usize, dotted: &str) -> Found {
        let source = self.project.source(from);
        let path = dotted.replace('.', "/");
        if level > 0 {
            let mut folder = source.folder();
            for _ in 1..level {
                folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
            }
            let at = joined(folder, &path);
            return if self.exists(&at) {
                Found::Here(at)
            } else {
                Found::Missing
            };
        }
        if is_foreign(dotted) {
            return Found::Outside;
        }
        // Python looks in `sys.path`, which holds the folder of manage.py: one of the folders
        // above, the outermost that fits. A mere folder is a package only where no module and no
        // package with an `__init__.py` has the name (importlib/_bootstrap_external.py, PathFinder):
        // in `backend/backend/asgi.py` the name `backend` means the inner one.
        let fits: [&dyn Fn(&str) -> bool; 2] = [&|at| self.is_regular(at), &|at| self.exists(at)];
        for fits in fits {
            let mut places = ancestors(source.folder()).map(|folder| joined(folder, &path));
            if let Some(at) = places.find(|at| fits(at)) {
                return Found::Here(at);
            }
        }
        // Or a folder that the project puts on its path (`apps/`): the only file with that tail.
        let tail = format!("/{path}");
        let mut candidates = self
            .modules
            .get(longest_tail(&path))
            .into_iter()
            .flatten()
            .filter(|at| at.ends_with(&tail));
        match (candidates.next(), candidates.next()) {
            (Some(only), None) => return Found::Here((*only).to_owned()),
            (Some(_), Some(_)) => return Found::Missing,
            (None, _) => {}
        }
        // A first-party package of which this module is not there.
        let top = dotted.split('.').next().unwrap_or_default();
        if dotted.contains('.')
            && ancestors(source.folder()).any(|folder| self.exists(&joined(folder, top)))
        {
            return Found::Missing;
        }
        Found::Outside
    }

    /// The module named by `DJANGO_SETTINGS_MODULE` or a server's target, wherever its root is.
    pub fn named(&self, dotted: &str) -> Vec<&'p Source> {
        let path = dotted.replace('.', "/");
        let mut found: Vec<&Source> = Vec::new();
        let tail = longest_tail(&path);
        let alike = [&self.modules, &self.packages].map(|known| known.get(tail));
        for module in alike.into_iter().flatten().flatten() {
            let module = *module;
            if module == path
                || module
                    .strip_suffix(path.as_str())
                    .is_some_and(|rest| rest.ends_with('/'))
            {
                found.extend(self.source(module));
            }
        }
        found.sort_by_key(|source| source.id);
        found.dedup_by_key(|source| source.id);
        found
    }
}

/// The path without `.py`.
fn without_suffix(path: &str) -> &str {
    path.strip_suffix(".py").unwrap_or(path)
}

/// The last name of a path, and the last two: many modules of a repository share their last name.
fn tails(path: &str) -> impl Iterator<Item = &str> {
    let longest = longest_tail(path);
    let last = longest.rsplit_once('/').map(|(_, last)| last);
    std::iter::once(longest).chain(last)
}

/// The last two names of a path, or its only one.
fn longest_tail(path: &str) -> &str {
    let Some((outer, _)) = path.rsplit_once('/') else {
        return path;
    };
    outer.rfind('/').map_or(path, |slash| &path[slash + 1..])
}

fn joined(folder: &str, path: &str) -> String {
    match (folder.is_empty(), path.is_empty()) {
        (true, _) => path.to_owned(),
        (false, true) => folder.to_owned(),
        (false, false) => format!("{folder}/{path}"),
    }
}

/// The root, then each folder on the way down to `folder`, which is the last.
fn ancestors(folder: &str) -> impl Iterator<Item = &str> {
    let inner = folder
        .char_indices()
        .filter(|(_, char)| *char == '/')
        .map(|(at, _)| &folder[..at]);
    let last = (!folder.is_empty()).then_some(folder);
    std::iter::once("").chain(inner).chain(last)
}

/// What `source` refers to by path, as tails (`chat/routing.py`): the project reads every file
/// that ends so. Only what settings, entry points and routing need is followed; the models and
/// views of a project are of no use here.
pub fn references(source: &Source) -> Vec<String> {
    let mut tails = BTreeSet::new();
    match source.kind {
        Kind::Python => python_references(source, &mut tails),
        Kind::Command => {
            for module in super::command::modules(&source.text) {
                tails_of(&module, &mut tails);
            }
            if source.text.contains("gunicorn") {
                // gunicorn reads it from its working folder by itself.
                tails.insert("gunicorn.conf.py".to_owned());
            }
            tails.extend(super::command::config_files(&source.text));
        }
        _ => {}
    }
    tails.into_iter().collect()
}

fn tails_of(dotted: &str, tails: &mut BTreeSet<String>) {
    if dotted.is_empty() || is_foreign(dotted) {
        return;
    }
    let path = dotted.replace('.', "/");
    tails.insert(format!("{path}.py"));
    tails.insert(format!("{path}/__init__.py"));
}

fn python_references(source: &Source, tails: &mut BTreeSet<String>) {
    let text = &source.text;
    let names_modules = |text: &str| {
        ["DJANGO_SETTINGS_MODULE", "ASGI_APPLICATION", "ROOT_URLCONF"]
            .iter()
            .any(|name| text.contains(name))
    };
    let lines = text.lines().filter(|line| names_modules(line));
    for line in lines.take(if names_modules(text) { usize::MAX } else { 0 }) {
        for word in line.split(['"', '\'']).skip(1) {
            if super::command::is_dotted(word) {
                tails_of(word, tails);
                if let Some((module, _)) = word.rsplit_once('.') {
                    tails_of(module, tails);
                }
            }
        }
    }
    let routes = [
        "URLRouter",
        "websocket_urlpatterns",
        "as_asgi",
        "get_asgi_application",
        "WebsocketConsumer",
    ]
    .iter()
    .any(|mark| text.contains(mark));
    let settings = text.contains("import *")
        || [
            "INSTALLED_APPS",
            "SECURE_",
            "ROOT_URLCONF",
            "MIDDLEWARE",
            "ALLOWED_HOSTS",
        ]
        .iter()
        .any(|mark| text.contains(mark));
    // What is imported before Django is set up must not reach a model.
    let reaches_models = text.contains("models import") || text.contains("import models");
    if !routes && !settings && !reaches_models {
        return;
    }
    let mut import = |module: &str, names: &str| {
        let level = module.bytes().take_while(|byte| *byte == b'.').count();
        let dotted = &module[level..];
        let star = names.trim() == "*";
        if level == 0 && is_foreign(dotted)
            || !(routes
                || star
                || settings && level > 0
                || dotted.contains("settings")
                || dotted.ends_with("models")
                || names.contains("models"))
        {
            return;
        }
        let base = if level > 0 {
            let mut folder = source.folder();
            for _ in 1..level {
                folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
            }
            joined(folder, &dotted.replace('.', "/"))
        } else {
            dotted.replace('.', "/")
        };
        if base.is_empty() && names.is_empty() {
            return;
        }
        // A module named by one word may be anywhere by its tail: only the folders above count.
        let bases: Vec<String> = if level == 0 && !dotted.contains('.') && !star {
            ancestors(source.folder())
                .map(|folder| joined(folder, &base))
                .collect()
        } else {
            vec![base]
        };
        for base in bases {
            if !base.is_empty() {
                tails.insert(format!("{base}.py"));
            }
            tails.insert(joined(&base, "__init__.py"));
            for name in names
                .split(',')
                .filter_map(|name| name.split_whitespace().next())
            {
                if super::command::is_dotted(name) {
                    tails.insert(joined(&base, &format!("{name}.py")));
                    tails.insert(joined(&base, &format!("{name}/__init__.py")));
                }
            }
        }
    };
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        let line = line.trim_start();
        if let Some(modules) = line.strip_prefix("import ") {
            for module in modules
                .split(',')
                .filter_map(|module| module.split_whitespace().next())
            {
                import(module, "");
            }
        } else if let Some((module, names)) = line
            .strip_prefix("from ")
            .and_then(|rest| rest.split_once(" import"))
        {
            let names = names.split('#').next().unwrap_or_default().trim();
            match names.strip_prefix('(') {
                Some(first) => {
                    // Up to the closing parenthesis; an unclosed one ends with the file's next blank line.
                    let mut all = first.to_owned();
                    let mut continued = rest;
                    while !all.contains(')') && !continued.is_empty() {
                        let (line, after) = continued.split_once('\n').unwrap_or((continued, ""));
                        if line.trim().is_empty() || all.len() > 16_384 {
                            break;
                        }
                        all.push_str(line.split('#').next().unwrap_or_default());
                        continued = after;
                    }
                    import(module.trim(), all.split(')').next().unwrap_or_default());
                }
                None => import(module.trim(), names),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> Project {
        Project::in_memory(files.iter().copied()).unwrap()
    }

    #[test]
    fn imports_find_files_as_python_would() {
        let project = project(&[
            ("backend/proj/settings/__init__.py", ""),
            ("backend/proj/settings/base.py", "SECURE_ = 1"),
            ("backend/chat/routing.py", "URLRouter"),
            ("apps/feed/consumers.py", ""),
        ]);
        let modules = Modules::new(&project);
        let base = project.by_path("backend/proj/settings/base.py").unwrap().id;
        let find = |level, dotted| modules.find(base, level, dotted);
        assert_eq!(
            find(1, "base"),
            Found::Here("backend/proj/settings/base".into())
        );
        assert_eq!(
            find(2, "settings"),
            Found::Here("backend/proj/settings".into())
        );
        assert_eq!(find(1, "local"), Found::Missing);
        assert_eq!(
            find(0, "chat.routing"),
            Found::Here("backend/chat/routing".into())
        );
        assert_eq!(
            find(0, "feed.consumers"),
            Found::Here("apps/feed/consumers".into())
        );
        assert_eq!(find(0, "chat.nothing"), Found::Missing);
        assert_eq!(find(0, "django.core.asgi"), Found::Outside);
        assert_eq!(find(0, "whatever"), Found::Outside);
        assert_eq!(modules.named("proj.settings").len(), 1);
    }

    #[test]
    fn a_package_goes_before_a_folder_of_its_name() {
        let project = project(&[
            ("site/manage.py", ""),
            ("site/site/__init__.py", ""),
            ("site/site/asgi.py", "URLRouter"),
            ("site/site/routing.py", "URLRouter"),
            ("site/api/views.py", ""),
        ]);
        let modules = Modules::new(&project);
        let asgi = project.by_path("site/site/asgi.py").unwrap().id;
        let find = |dotted| modules.find(asgi, 0, dotted);
        assert_eq!(find("api"), Found::Here("site/api".into()));
        assert_eq!(find("site.routing"), Found::Outside, "Python has a `site`");
        let project = self::project(&[
            ("web/web/__init__.py", ""),
            ("web/web/asgi.py", "URLRouter"),
            ("web/web/routing.py", "URLRouter"),
        ]);
        let modules = Modules::new(&project);
        let asgi = project.by_path("web/web/asgi.py").unwrap().id;
        assert_eq!(modules.find(asgi, 0, "web"), Found::Here("web/web".into()));
    }

    #[test]
    fn references_follow_what_matters() {
        let at = |path: &str, text: &str| {
            let project = project(&[(path, text)]);
            references(project.by_path(path).unwrap())
        };
        let asgi = at(
            "proj/asgi.py",
            "from channels.routing import URLRouter\nfrom chat import (\n    consumers,  # x\n    routing as r,\n)\nimport feed.routing\n\
             os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'proj.settings.production')\n",
        );
        for tail in [
            "chat/routing.py",
            "chat/consumers.py",
            "feed/routing.py",
            "proj/settings/production.py",
        ] {
            assert!(asgi.iter().any(|found| found == tail), "{tail} in {asgi:?}");
        }
        assert!(
            !asgi.iter().any(|found| found.contains("channels")),
            "{asgi:?}"
        );
        let settings = at(
            "proj/settings/production.py",
            "from .base import *\nSECURE_SSL_REDIRECT = True\nimport utils\n",
        );
        assert_eq!(
            settings,
            ["proj/settings/base.py", "proj/settings/base/__init__.py"]
        );
        let procfile = at(
            "Procfile",
            "web: DJANGO_SETTINGS_MODULE=a.b daphne c.asgi:application\n",
        );
        assert!(
            procfile.contains(&"a/b.py".to_owned()) && procfile.contains(&"c/asgi.py".to_owned()),
            "{procfile:?}"
        );
    }
}

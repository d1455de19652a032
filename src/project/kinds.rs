//! Which kind a file is, by its name and, where that leaves doubt, by its content.

use memchr::memmem;

use crate::source::Kind;

/// What a file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    /// It is of this kind.
    Certain(Kind),
    /// It may be of this kind: look inside with [`confirms`].
    Perhaps(Kind),
}

/// Suffixes that templating tools add to a configuration's name.
const TEMPLATE_SUFFIXES: &[&str] = &[
    ".j2",
    ".jinja",
    ".jinja2",
    ".erb",
    ".tmpl",
    ".tpl",
    ".template",
    ".in",
    ".dist",
    ".example",
    ".sample",
    ".default",
];

/// Names of Python modules that Django projects keep settings, entry points and routes in.
/// What has another name is found by following imports from these.
const PYTHON_NAMES: &[&str] = &[
    "asgi",
    "wsgi",
    "routing",
    "routes",
    "consumers",
    "manage",
    "websocket",
    "websockets",
    "sockets",
    "ws",
    "ws_urls",
    "websocket_urls",
    "channels",
];

/// Suffixes that no kind of ours has, whatever stands before them.
const FOREIGN_SUFFIXES: &[&str] = &[
    "ts", "js", "tsx", "jsx", "mjs", "vue", "svelte", "css", "scss", "html", "md", "rst", "json",
    "svg", "png", "jpg", "gif", "ico", "woff", "woff2", "go", "rs", "java", "kt", "c", "h", "cc",
    "cpp", "rb", "php", "swift", "po", "mo", "pyc", "snap", "map", "csv", "xml", "pdf",
];

/// What `path` (relative, with `/`) says by its name.
pub(super) fn guess(path: &str) -> Option<Guess> {
    use Guess::{Certain, Perhaps};
    let name = path.rsplit('/').next().unwrap_or(path);
    if is_platform(name) {
        return Some(Perhaps(Kind::Command));
    }
    // The scripts of one are a package's tasks.
    if name == "package.json" {
        return Some(Perhaps(Kind::Requirements));
    }
    // What sets variables and starts nothing that anybody here reads: Heroku's, systemd's drop-ins.
    if name == "app.json" || name.ends_with(".conf") && path.contains(".service.d/") {
        return Some(Perhaps(Kind::Tasks));
    }
    // Most files of a large repository end here, before anything is allocated.
    if let Some((_, suffix)) = name.rsplit_once('.')
        && FOREIGN_SUFFIXES.contains(&suffix)
    {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    if lower == "wslint.toml" || lower == ".wslint.toml" {
        return Some(Certain(Kind::Config));
    }
    let plain = TEMPLATE_SUFFIXES
        .iter()
        .find_map(|suffix| lower.strip_suffix(suffix))
        .unwrap_or(&lower);
    if plain == "caddyfile"
        || plain.ends_with(".caddyfile")
        || plain.ends_with(".caddy")
        || (plain.starts_with("caddyfile.") && !has_code_suffix(plain))
        || plain.starts_with("caddyfile-")
    {
        return Some(Certain(Kind::Caddyfile));
    }
    let for_supervisor = |part: &str| part.to_ascii_lowercase().contains("supervisor");
    if plain.ends_with(".conf") && path.split('/').any(for_supervisor) {
        return Some(Perhaps(Kind::Command));
    }
    if plain == "nginx.conf" || plain.ends_with(".nginx") || plain.ends_with(".nginx.conf") {
        return Some(Perhaps(Kind::Nginx));
    }
    if plain.ends_with(".conf") || plain.contains("nginx") && !has_code_suffix(plain) {
        return Some(Perhaps(Kind::Nginx));
    }
    let in_nginx_folder = path.split('/').rev().skip(1).any(|folder| {
        matches!(
            folder,
            "sites-available" | "sites-enabled" | "conf.d" | "nginx"
        )
    });
    if in_nginx_folder && !has_code_suffix(plain) {
        return Some(Perhaps(Kind::Nginx));
    }
    if let Some(module) = lower.strip_suffix(".py") {
        let folder = path.rsplit('/').nth(1).unwrap_or_default();
        let named = PYTHON_NAMES.contains(&module)
            || module.contains("settings")
            || module.contains("routing")
            || module.contains("consumer")
            || matches!(folder, "settings" | "config" | "conf");
        return named.then_some(Perhaps(Kind::Python));
    }
    if lower == "pyproject.toml" {
        return Some(Certain(Kind::Requirements));
    }
    if matches!(
        lower.as_str(),
        "uv.lock"
            | "poetry.lock"
            | "pdm.lock"
            | "pipfile.lock"
            | "pipfile"
            | "setup.cfg"
            | "environment.yml"
            | "environment.yaml"
    ) || ((lower.ends_with(".txt") || lower.ends_with(".in"))
        && (lower.contains("requirements") || path.contains("requirements/")))
    {
        return Some(Certain(Kind::Requirements));
    }
    if lower == "procfile"
        || lower == "dockerfile"
        || lower.starts_with("dockerfile.") && !lower.ends_with(".dockerignore")
        || lower.ends_with(".dockerfile")
        || ((lower.starts_with("docker-compose") || lower.starts_with("compose"))
            && (lower.ends_with(".yml") || lower.ends_with(".yaml")))
    {
        return Some(Certain(Kind::Command));
    }
    // hypercorn's own configuration, where it has its name.
    if lower.contains("hypercorn") && lower.ends_with(".toml") {
        return Some(Certain(Kind::Command));
    }
    if matches!(
        lower.as_str(),
        "makefile" | "gnumakefile" | "justfile" | ".justfile"
    ) || lower.ends_with(".mk")
    {
        return Some(Perhaps(Kind::Tasks));
    }
    if may_be_compose(path, &lower) || may_be_manifest(path, &lower) {
        return Some(Perhaps(Kind::Command));
    }
    if lower.ends_with(".service")
        || lower.ends_with(".sh")
        || matches!(
            lower.as_str(),
            "entrypoint" | "start" | "run" | "supervisord.conf" | ".env"
        )
        // `.env.production`, but no template of one.
        || lower.starts_with(".env.")
            && !["example", "sample", "template", "dist", "test"]
                .iter()
                .any(|word| lower.contains(word))
    {
        return Some(Perhaps(Kind::Command));
    }
    None
}

/// Whether the name is that of a file that tells a platform how to start an application: Render's,
/// Railway's, Fly's, App Engine's and DigitalOcean's, Nixpacks', Heroku's.
pub(crate) fn is_platform(name: &str) -> bool {
    matches!(
        name,
        "render.yaml"
            | "render.yml"
            | "railway.json"
            | "railway.toml"
            | "app.yaml"
            | "app.yml"
            | "nixpacks.toml"
            | "heroku.yml"
    ) || name.starts_with("fly.") && name.ends_with(".toml")
}

/// Whether a YAML file may be one of compose's under another name: at the root, in a folder for such
/// files, or called by what it is for (`production.yml`).
fn may_be_compose(path: &str, name: &str) -> bool {
    let Some(stem) = name
        .strip_suffix(".yml")
        .or_else(|| name.strip_suffix(".yaml"))
    else {
        return false;
    };
    let folder = path.rsplit('/').nth(1).unwrap_or_default();
    let named = |text: &str| {
        text.split(['-', '_', '.']).any(|word| {
            matches!(
                word,
                "docker"
                    | "compose"
                    | "stack"
                    | "swarm"
                    | "production"
                    | "prod"
                    | "staging"
                    | "local"
                    | "dev"
                    | "development"
                    | "deploy"
                    | "deployment"
                    | "services"
                    | "common"
                    | "base"
            )
        })
    };
    !stem.is_empty() && (folder.is_empty() || named(stem) || named(&folder.to_ascii_lowercase()))
}

/// Whether a YAML file may be a manifest of Kubernetes'.
fn may_be_manifest(path: &str, name: &str) -> bool {
    let stem = name
        .strip_suffix(".yml")
        .or_else(|| name.strip_suffix(".yaml"));
    let is_word = |word: &str| {
        matches!(
            word,
            "k8s" | "kubernetes" | "kube" | "manifests" | "kustomize" | "deployment" | "configmap"
        )
    };
    let named = |text: &str| text.split(['-', '_', '.']).any(is_word);
    stem.is_some_and(|stem| named(stem) || path.split('/').rev().skip(1).any(named))
}

/// The kind that a file has by its content where its name leaves it open: a manifest of Kubernetes
/// is read for the variables that it sets.
pub(super) fn told(kind: Kind, path: &str, bytes: &[u8]) -> Kind {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_yaml = (name.ends_with(".yml") || name.ends_with(".yaml")) && !is_platform(name);
    let has = |mark: &[u8]| memmem::find(bytes, mark).is_some();
    let is_manifest = || has(b"apiVersion:") && (has(b"containers:") || has(b"kind: ConfigMap"));
    match kind {
        Kind::Command if is_yaml && is_manifest() => Kind::Tasks,
        _ => kind,
    }
}

/// Whether a YAML file has services at its top that run an image or are built.
fn is_compose(bytes: &[u8]) -> bool {
    let mut lines = bytes
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end);
    if !lines.any(|line| line == b"services:") {
        return false;
    }
    lines
        .take_while(|line| line.first().is_none_or(|byte| b" \t#-".contains(byte)))
        .any(|line| {
            let line = line.trim_ascii_start();
            line.starts_with(b"image:")
                || line.starts_with(b"build:")
                || line.starts_with(b"extends:")
        })
}

/// Suffixes of files that are programs or documents though `nginx` is in their name.
fn has_code_suffix(name: &str) -> bool {
    const CODE: &[&str] = &[
        ".py",
        ".rb",
        ".go",
        ".rs",
        ".js",
        ".ts",
        ".sh",
        ".md",
        ".rst",
        ".txt",
        ".yml",
        ".yaml",
        ".json",
        ".toml",
        ".html",
        ".css",
        ".php",
        ".pl",
        ".lua",
        ".c",
        ".h",
        ".service",
        ".png",
        ".svg",
        ".pem",
        ".key",
        ".crt",
        ".log",
        ".lock",
        ".xml",
        ".ini",
        ".cfg",
        ".sql",
        ".gz",
        ".zip",
        ".patch",
        ".diff",
        ".env",
        ".dockerfile",
        ".java",
        ".tf",
        ".hcl",
        ".nix",
        ".bats",
        ".ps1",
        ".pm",
        ".xs",
    ];
    CODE.iter().any(|suffix| name.ends_with(suffix)) || name.starts_with("dockerfile")
}

/// Whether the bytes bear out what the name suggested.
pub(super) fn confirms(path: &str, kind: Kind, bytes: &[u8]) -> bool {
    match kind {
        Kind::Nginx => is_nginx(bytes),
        Kind::Python => is_django(bytes),
        Kind::Command
            if (path.ends_with(".yml") || path.ends_with(".yaml"))
                && !is_platform(path.rsplit('/').next().unwrap_or(path)) =>
        {
            is_compose(bytes)
        }
        Kind::Requirements => {
            let has = |mark: &[u8]| memmem::find(bytes, mark).is_some();
            has(b"\"scripts\"") && (has(b"asgi") || has(b"wsgi") || has(b"manage.py"))
        }
        Kind::Command => [
            "gunicorn",
            "uvicorn",
            "daphne",
            "hypercorn",
            "uwsgi",
            "runserver",
            "granian",
            "waitress",
            "pip install",
            "pip3 install",
            "COMPOSE_FILE=",
            "COMPOSE_PROFILES=",
            "docker compose -",
            "docker-compose -",
            // Through this an image starts its command, and it may set variables.
            "exec \"$@\"",
            "exec $@",
            // What starts Caddy may set the variables of its Caddyfile.
            "caddy run",
            "caddy start",
            "frankenphp run",
            "/etc/caddy",
        ]
        .iter()
        .any(|server| memmem::find(bytes, server.as_bytes()).is_some()),
        Kind::Tasks => [
            "docker compose -",
            "docker-compose -",
            "COMPOSE_",
            "apiVersion:",
            "Environment=",
            "\"env\"",
        ]
        .iter()
        .any(|mark| memmem::find(bytes, mark.as_bytes()).is_some()),
        _ => true,
    }
}

/// nginx, and not logstash, logrotate, Apache, supervisor, systemd or the many other formats
/// whose files end in `.conf`: some line must begin like a directive of nginx's.
fn is_nginx(bytes: &[u8]) -> bool {
    // nginx chokes on a byte-order mark, which is a reason to look and not to look away.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    const DIRECTIVES: &[&[u8]] = &[
        b"server",
        b"location",
        b"upstream",
        b"http",
        b"map",
        b"geo",
        b"events",
        b"stream",
        b"proxy_pass",
        b"proxy_set_header",
        b"proxy_http_version",
        b"listen",
        b"include",
        b"fastcgi_",
        b"proxy_",
        b"uwsgi_",
        b"grpc_",
        b"add_header",
        b"return",
        b"rewrite",
        b"worker_processes",
        b"ssl_",
        b"gzip",
        b"limit_",
        b"set",
        b"root",
        b"try_files",
        b"split_clients",
        b"resolver",
    ];
    let mut seen = false;
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        // Apache's sections, INI sections and XML never begin a line of nginx's, and `listen` has no
        // block there: FreeRADIUS has such servers in its own `sites-enabled`. What a conflict or
        // another accident leaves in its file does.
        if is_section(line)
            || line == b"listen {"
            // HOCON ends no line with `;`.
            || line.starts_with(b"include \"") && line.ends_with(b"\"")
        {
            return false;
        }
        let named = DIRECTIVES.iter().any(|name| line.starts_with(name));
        let shaped = line.ends_with(b";") || line.ends_with(b"{") || line.ends_with(b"}");
        seen |= named && (shaped || line.contains(&b';') || line.contains(&b'{'));
    }
    // Logstash has blocks (`input {`, `filter {`, `output {`) and `=>`, but no directives.
    seen && memmem::find(bytes, b" => ").is_none()
}

/// Whether the bytes are those of another program's configuration than nginx's.
pub(super) fn is_foreign(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.any(is_section) || memmem::find(bytes, b" => ").is_some()
}

/// Whether a line opens a section of an INI file, of Apache's or fluentd's configuration, or XML.
fn is_section(line: &[u8]) -> bool {
    const SECTIONS: &[&[u8]] = &[
        b"<?xml",
        b"<VirtualHost",
        b"<If",
        b"<Directory",
        b"<Location",
        b"<Files",
        b"<Proxy",
        b"<Limit",
        b"<Macro",
        b"<source",
        b"<match",
        b"<filter",
        b"<label",
        b"<configuration",
    ];
    let ini = line.starts_with(b"[") && line.ends_with(b"]") && !line.contains(&b' ');
    ini || SECTIONS.iter().any(|name| line.starts_with(name))
}

/// A Python module that names something which we read; the rest is never parsed.
fn is_django(bytes: &[u8]) -> bool {
    const MARKS: &[&[u8]] = &[
        b"SECURE_",
        b"ALLOWED_HOSTS",
        b"CHANNEL_LAYERS",
        b"ASGI_APPLICATION",
        b"INSTALLED_APPS",
        b"DJANGO_SETTINGS_MODULE",
        b"ProtocolTypeRouter",
        b"URLRouter",
        b"websocket_urlpatterns",
        b"as_asgi",
        b"get_asgi_application",
        b"get_wsgi_application",
        b"WebsocketConsumer",
        b"channels",
        b"import *",
        b"re_path",
        b"socketio",
        b"simple_websocket",
        b"DJANGO_CONFIGURATION",
        b"configurations import",
    ];
    MARKS.iter().any(|mark| memmem::find(bytes, mark).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_kinds() {
        use Guess::{Certain, Perhaps};
        for (path, expected) in [
            ("Caddyfile", Some(Certain(Kind::Caddyfile))),
            ("deploy/.caddy", Some(Certain(Kind::Caddyfile))),
            ("Caddyfile.prod", Some(Certain(Kind::Caddyfile))),
            ("caddyfile.go", None),
            ("supervisord.conf", Some(Perhaps(Kind::Command))),
            ("deploy/supervisor/web.conf", Some(Perhaps(Kind::Command))),
            ("etc/nginx/nginx.conf", Some(Perhaps(Kind::Nginx))),
            ("templates/app.conf.j2", Some(Perhaps(Kind::Nginx))),
            ("sites-enabled/default", Some(Perhaps(Kind::Nginx))),
            ("docs/nginx.md", None),
            ("tests/unit/nginx-vhosts.bats", None),
            ("deploy/nginx/default", Some(Perhaps(Kind::Nginx))),
            ("deploy/nginx/Dockerfile", Some(Certain(Kind::Command))),
            ("shop/settings/production.py", Some(Perhaps(Kind::Python))),
            ("shop/models.py", None),
            ("Procfile", Some(Certain(Kind::Command))),
            ("production.yml", Some(Perhaps(Kind::Command))),
            ("docker/site.yml", Some(Perhaps(Kind::Command))),
            (".github/workflows/ci.yml", None),
            ("charts/templates/service.yaml", None),
            ("Makefile", Some(Perhaps(Kind::Tasks))),
            ("README.md", None),
            ("render.yaml", Some(Perhaps(Kind::Command))),
            ("shop/railway.json", Some(Perhaps(Kind::Command))),
            ("fly.staging.toml", Some(Perhaps(Kind::Command))),
            ("package.json", Some(Perhaps(Kind::Requirements))),
            ("package-lock.json", None),
            ("app.json", Some(Perhaps(Kind::Tasks))),
            ("etc/web.service.d/hosts.conf", Some(Perhaps(Kind::Tasks))),
            ("k8s/base/web.yaml", Some(Perhaps(Kind::Command))),
        ] {
            assert_eq!(guess(path), expected, "{path}");
        }
    }

    #[test]
    fn content_tells_compose_files() {
        let unit = b"[Service]\nExecStart=/usr/bin/caddy run --config /etc/caddy/Caddyfile\n";
        assert!(confirms("caddy.service", Kind::Command, unit));
        let tells = |text: &str| confirms("local.yml", Kind::Command, text.as_bytes());
        assert!(tells("version: '3'\n\nservices:\n  web:\n    build: .\n"));
        assert!(tells(
            "services:\n  db:\n    image: postgres\nvolumes: {}\n"
        ));
        assert!(!tells(
            "jobs:\n  test:\n    services:\n      db:\n        image: postgres\n"
        ));
        assert!(!tells("services:\n  - name: gunicorn\nspec:\n  image: x\n"));
        assert!(!tells("script: pip install gunicorn\n"));
        let manifest = b"apiVersion: v1\nkind: ConfigMap\n";
        for (path, kind) in [
            ("deploy/web.yaml", Kind::Tasks),
            ("app.yaml", Kind::Command),
        ] {
            assert_eq!(told(Kind::Command, path, manifest), kind, "{path}");
        }
        let compose = b"services:\n  web:\n    build: .\n";
        assert_eq!(told(Kind::Command, "k8s/web.yml", compose), Kind::Command);
    }

    #[test]
    fn content_tells_nginx_from_its_namesakes() {
        assert!(confirms(
            "x.conf",
            Kind::Nginx,
            b"server {\n listen 80;\n}\n"
        ));
        assert!(confirms(
            "x.conf",
            Kind::Nginx,
            b"proxy_set_header Host $host;\n"
        ));
        assert!(!confirms(
            "x.conf",
            Kind::Nginx,
            b"input {\n beats { port => 5044 }\n}\n"
        ));
        assert!(!confirms(
            "x.conf",
            Kind::Nginx,
            b"/var/log/nginx/*.log {\n daily\n rotate 7\n}\n"
        ));
        assert!(!confirms(
            "x.conf",
            Kind::Nginx,
            b"<VirtualHost *:80>\n ProxyPass / http://a/\n</VirtualHost>\n"
        ));
        assert!(!confirms(
            "x.conf",
            Kind::Nginx,
            b"[program:web]\ncommand=daphne\n"
        ));
        assert!(!confirms(
            "x.conf",
            Kind::Nginx,
            b"http {\n    port = 2222\n}\ninclude \"more.conf\"\n"
        ));
        assert!(!confirms(
            "x.conf",
            Kind::Nginx,
            b"server default {\n    listen {\n        type = auth\n    }\n}\n"
        ));
    }
}

//! The hooks, run by the real pre-commit on small git repositories.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{repository, tool, write};

/// A git repository whose commits pass through the hook `wslint-system`, and where it lives.
struct Repository {
    folder: tempfile::TempDir,
}

/// What a command said, stdout and stderr together.
struct Said {
    succeeded: bool,
    text: String,
}

impl Repository {
    /// An empty repository with the hook installed. The hooks are those of the working tree,
    /// committed or not.
    fn new() -> Self {
        let this = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        let hooks = this.folder.path().join("hooks");
        fs::create_dir_all(this.work()).expect("a folder");
        let manifest = fs::read(repository().join(".pre-commit-hooks.yaml")).expect("the hooks");
        write(&hooks, ".pre-commit-hooks.yaml", &manifest);
        this.git(&hooks, &["init", "--quiet"]);
        this.git(&hooks, &["add", "."]);
        this.git(&hooks, &["commit", "--quiet", "--message", "hooks"]);
        let head = this.git(&hooks, &["rev-parse", "HEAD"]).text;
        this.git(&this.work(), &["init", "--quiet"]);
        let config = format!(
            "repos:\n  - repo: {}\n    rev: {}\n    hooks:\n      - id: wslint-system\n",
            hooks.display(),
            head.trim()
        );
        write(&this.work(), ".pre-commit-config.yaml", config.as_bytes());
        let said = this.run(&this.work(), &tool("tools/bin/pre-commit"), &["install"]);
        assert!(said.succeeded, "{}", said.text);
        this.git(&this.work(), &["add", "."]);
        let first = this.commit();
        assert!(first.succeeded, "{}", first.text);
        this
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Adds these files and commits.
    fn add(&self, files: &[(&str, &str)]) -> Said {
        for (path, text) in files {
            write(&self.work(), path, text.as_bytes());
        }
        self.git(&self.work(), &["add", "--all"]);
        self.commit()
    }

    fn commit(&self) -> Said {
        self.run(
            &self.work(),
            Path::new("git"),
            &["commit", "--message", "a change"],
        )
    }

    /// A git command that must succeed.
    fn git(&self, folder: &Path, arguments: &[&str]) -> Said {
        let said = self.run(folder, Path::new("git"), arguments);
        assert!(said.succeeded, "git {arguments:?}: {}", said.text);
        said
    }

    fn run(&self, folder: &Path, program: &Path, arguments: &[&str]) -> Said {
        let binary = Path::new(env!("CARGO_BIN_EXE_wslint"));
        let path = format!(
            "{}:{}",
            binary.parent().expect("a folder").display(),
            std::env::var("PATH").unwrap_or_default()
        );
        // Nothing of this machine's git or pre-commit takes part.
        let output = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env("PRE_COMMIT_HOME", self.folder.path().join("cache"))
            .env("PRE_COMMIT_COLOR", "never")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_NAME", "Somebody")
            .env("GIT_AUTHOR_EMAIL", "somebody@example.com")
            .env("GIT_COMMITTER_NAME", "Somebody")
            .env("GIT_COMMITTER_EMAIL", "somebody@example.com")
            .env_remove("GIT_DIR")
            .env_remove("GIT_INDEX_FILE")
            .env_remove("GIT_WORK_TREE")
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Said {
            succeeded: output.status.success(),
            text: String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr),
        }
    }
}

/// The files of an incident's variant.
fn incident(variant: &str) -> Vec<(String, String)> {
    fn read(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                read(root, &path, files);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let relative = path.strip_prefix(root).expect("inside");
                files.push((relative.to_string_lossy().into_owned(), text));
            }
        }
    }
    let root = repository()
        .join("tests/incidents/301-cloudfront-header")
        .join(variant);
    let mut files = Vec::new();
    read(&root, &root, &mut files);
    files
}

fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect()
}

#[test]
fn a_commit_of_the_first_incident_is_blocked_and_the_repaired_one_passes() {
    let repository = Repository::new();
    let blocked = repository.add(&borrowed(&incident("broken")));
    assert!(!blocked.succeeded, "{}", blocked.text);
    for needed in [
        "wslint",
        "Failed",
        "django/proxy-header-not-sent",
        "storefront/settings/production.py",
        "HTTP_X_FORWARDED_PROTO",
    ] {
        assert!(
            blocked.text.contains(needed),
            "no {needed} in\n{}",
            blocked.text
        );
    }
    let passed = repository.add(&borrowed(&incident("repaired")));
    assert!(passed.succeeded, "{}", passed.text);
    assert!(passed.text.contains("Passed"), "{}", passed.text);
}

#[test]
fn a_snippet_alone_is_judged_with_the_file_that_includes_it() {
    const PARENT: &str = "\
events {}
http {
    server {
        listen 80;
        location /ws/ {
            proxy_pass http://127.0.0.1:8000;
            include snippets/upgrade.conf;
        }
    }
}
";
    const WHOLE: &str = "\
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection \"upgrade\";
";
    const HALF: &str = "\
proxy_http_version 1.1;
proxy_set_header Upgrade $http_upgrade;
";
    let repository = Repository::new();
    let whole = repository.add(&[
        ("nginx/nginx.conf", PARENT),
        ("nginx/snippets/upgrade.conf", WHOLE),
    ]);
    assert!(whole.succeeded, "{}", whole.text);
    let half = repository.add(&[("nginx/snippets/upgrade.conf", HALF)]);
    assert!(!half.succeeded, "{}", half.text);
    for needed in [
        "nginx/upgrade-half-forwarded",
        "nginx/snippets/upgrade.conf",
        "nginx/nginx.conf",
    ] {
        assert!(half.text.contains(needed), "no {needed} in\n{}", half.text);
    }
}

#[test]
fn a_commit_of_other_files_does_not_run_it() {
    let repository = Repository::new();
    let said = repository.add(&[("README.md", "# Readme\n"), ("main.go", "package main\n")]);
    assert!(said.succeeded, "{}", said.text);
    assert!(said.text.contains("Skipped"), "{}", said.text);
}

#[test]
fn try_repo_runs_it_from_a_checkout() {
    let here = Repository::new();
    write(&here.work(), "nginx.conf", b"server {\n    listen 80;\n}\n");
    here.git(&here.work(), &["add", "--all"]);
    // A checkout as it is, with changes that nobody committed; git may not own it.
    let checkout = here.folder.path().join("checkout");
    let this = repository().to_string_lossy();
    let cloned = here.run(
        here.folder.path(),
        Path::new("git"),
        &[
            "-c",
            "safe.directory=*",
            "clone",
            "--quiet",
            &this,
            "checkout",
        ],
    );
    assert!(cloned.succeeded, "{}", cloned.text);
    let manifest = fs::read(repository().join(".pre-commit-hooks.yaml")).expect("the hooks");
    write(&checkout, ".pre-commit-hooks.yaml", &manifest);
    here.git(&checkout, &["add", ".pre-commit-hooks.yaml"]);
    let said = here.run(
        &here.work(),
        &tool("tools/bin/pre-commit"),
        &[
            "try-repo",
            &checkout.to_string_lossy(),
            "wslint-system",
            "--all-files",
        ],
    );
    assert!(said.succeeded, "{}", said.text);
    assert!(said.text.contains("Passed"), "{}", said.text);
}

#[test]
fn the_pattern_covers_what_wslint_reads_and_is_anchored() {
    const MATCH: &str = "
import re, sys, yaml
hooks = yaml.safe_load(open(sys.argv[1]))
assert [h['id'] for h in hooks] == ['wslint', 'wslint-system']
assert all(h['require_serial'] and h['types'] == ['text'] for h in hooks)
for hook in hooks:
    for path in sys.argv[2:]:
        print(path, bool(re.search(hook['files'], path)))
";
    let ours = [
        "nginx.conf",
        "deploy/nginx/nginx.conf",
        "deploy/nginx.conf.j2",
        "templates/default.conf.template",
        "etc/nginx/sites-enabled/shop",
        "etc/nginx/proxy_params",
        "conf.d/ws.inc",
        "Caddyfile",
        "balancer/Caddyfile",
        "Caddyfile.prod",
        "sites/ws.caddy",
        "caddy/snippets/ws",
        "shop/settings/production.py",
        "shop/asgi.py",
        "wslint.toml",
        ".wslint.toml",
        "pyproject.toml",
        "requirements.txt",
        "requirements/production.txt",
        "uv.lock",
        "Procfile",
        "Dockerfile",
        "docker-compose.yml",
        "compose.prod.yaml",
        "deploy/daphne.service",
    ];
    let others = [
        "README.md",
        "src/main.rs",
        "docs/caddyfiles.md/x.png",
        "static/app.js",
        "Makefile",
    ];
    let output = Command::new(tool("tools/bin/python"))
        .args(["-c", MATCH])
        .arg(repository().join(".pre-commit-hooks.yaml"))
        .args(ours)
        .args(others)
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let wanted = |path: &&str| {
        format!(
            "{path} {}",
            if ours.contains(path) { "True" } else { "False" }
        )
    };
    let expected: Vec<String> = ours.iter().chain(&others).map(wanted).collect();
    let found: Vec<&str> = said.lines().collect();
    assert_eq!(found, [expected.clone(), expected].concat());
}

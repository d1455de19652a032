//! Whatever the bytes are: bounded time and memory, no panic, a clear word, and no finding lost.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use support::{Said, folder, write, wslint_bounded};

/// A finding that must not be lost, whatever lies beside it.
const MARK: &str = "# wslint: ignore[nginx/no-such-rule] x\nserver {\n    listen 80;\n}\n";

/// Checks a folder in which `good.nginx.conf` has a finding beside what `fill` puts there.
fn beside(fill: impl FnOnce(&Path)) -> Said {
    let folder = folder(&[("good.nginx.conf", MARK)]);
    fill(folder.path());
    let said = wslint_bounded(folder.path(), &["check", "--format", "json"]);
    let found = said.places();
    assert!(
        found.contains(&(
            "good.nginx.conf:1".to_owned(),
            "wslint/unused-ignore".to_owned()
        )),
        "a finding is lost: {said:#?}"
    );
    said
}

/// What is undecided, as `file: message`.
fn notes(said: &Said) -> Vec<String> {
    let notes = said.json()["undecided"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    notes
        .iter()
        .map(|note| {
            let text = |name: &str| note[name].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", text("file"), text("message"))
        })
        .collect()
}

fn noted(said: &Said, file: &str, word: &str) {
    let notes = notes(said);
    let is_it = |note: &String| note.starts_with(file) && note.contains(word);
    assert!(notes.iter().any(is_it), "no `{word}` on {file}: {notes:#?}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_the_rest_checked() {
    let folder = folder(&[("good.nginx.conf", MARK), ("nginx.conf", MARK)]);
    // Nothing is unreadable to root: run as nobody, from a place where nobody may look.
    let binary = folder.path().join("wslint");
    fs::copy(env!("CARGO_BIN_EXE_wslint"), &binary).expect("a copy");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    };
    mode(folder.path(), 0o755);
    mode(&folder.path().join("nginx.conf"), 0o000);
    let root = fs::read("/etc/shadow").is_ok();
    let mut command = if root {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&binary);
        command
    } else {
        Command::new(&binary)
    };
    let output = command
        .args(["check", "--format", "concise"])
        .current_dir(folder.path())
        .output()
        .expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{stdout}{stderr}");
    assert!(stderr.contains("nginx.conf"), "{stderr}");
    assert!(
        stdout.starts_with("good.nginx.conf:1:"),
        "a finding is lost: {stdout}{stderr}"
    );
}

#[test]
fn bytes_that_are_not_utf8_are_noted_and_the_rest_of_the_file_checked() {
    let said = beside(|folder| {
        write(
            folder,
            "nginx.conf",
            &[b"# caf\xe9\n".as_slice(), MARK.as_bytes()].concat(),
        );
        write(folder, "Caddyfile", b"\xff\xfe:\x00" as &[u8]);
    });
    noted(&said, "nginx.conf", "UTF-8");
    noted(&said, "Caddyfile", "");
    let place = ("nginx.conf:2".to_owned(), "wslint/unused-ignore".to_owned());
    assert!(said.places().contains(&place), "{said:#?}");
    assert_eq!(said.status, Some(1), "{said:#?}");
}

#[test]
fn nul_bytes_are_noted() {
    let said = beside(|folder| write(folder, "nginx.conf", b"server {\n  listen 80;\0\n}\n"));
    noted(&said, "nginx.conf", "NUL");
}

#[test]
fn fifty_megabytes_are_noted_and_not_parsed() {
    let said = beside(|folder| {
        write(
            folder,
            "nginx.conf",
            "server { listen 80; }\n".repeat(2_400_000).as_bytes(),
        );
    });
    noted(&said, "nginx.conf", "MiB");
    assert_eq!(said.status, Some(1), "{said:#?}");
}

#[test]
fn links_in_a_circle_or_to_nowhere_end() {
    let said = beside(|folder| {
        fs::create_dir(folder.join("deep")).expect("a folder");
        symlink("..", folder.join("deep/up")).expect("a link");
        symlink("b.conf", folder.join("a.conf")).expect("a link");
        symlink("a.conf", folder.join("b.conf")).expect("a link");
        symlink("nowhere", folder.join("nginx.conf")).expect("a link");
    });
    assert!(matches!(said.status, Some(1 | 2)), "{said:#?}");
}

#[test]
fn a_folder_named_like_a_file_of_ours_is_a_folder() {
    let said = beside(|folder| {
        for name in ["nginx.conf", "Caddyfile", "settings.py", "Procfile"] {
            write(folder, &format!("{name}/inner.txt"), b"");
        }
    });
    assert_eq!(said.status, Some(1), "{said:#?}");
}

#[test]
fn a_configuration_that_is_a_folder_is_no_panic() {
    let folder = folder(&[("wslint.toml/x", ""), ("nginx.conf", MARK)]);
    let said = wslint_bounded(folder.path(), &["check"]);
    assert!(matches!(said.status, Some(1 | 2)), "{said:#?}");
}

#[test]
fn includes_in_a_circle_end() {
    let said = beside(|folder| {
        write(
            folder,
            "nginx.conf",
            b"events {}\nhttp {\n    include a.conf;\n}\n",
        );
        write(
            folder,
            "a.conf",
            b"include b.conf;\nserver { listen 81; }\n",
        );
        write(folder, "b.conf", b"include a.conf;\n");
        write(folder, "Caddyfile", b"import one.caddy\n");
        write(folder, "one.caddy", b"import two.caddy\n");
        write(folder, "two.caddy", b"import one.caddy\n");
        write(
            folder,
            "shop/settings/base.py",
            b"from .production import *\nSECURE_SSL_REDIRECT = True\n",
        );
        write(
            folder,
            "shop/settings/production.py",
            b"from .base import *\nALLOWED_HOSTS = []\n",
        );
    });
    assert!(matches!(said.status, Some(1)), "{said:#?}");
}

/// Fourteen levels of ten includes each: 10^14 files if somebody opened them all.
#[test]
fn an_include_bomb_ends() {
    let said = beside(|folder| {
        let ten = |line: &str| format!("{line}\n").repeat(10);
        for level in 0..14 {
            let next = level + 1;
            write(
                folder,
                &format!("level{level}.conf"),
                ten(&format!("include level{next}.conf;")).as_bytes(),
            );
            write(
                folder,
                &format!("level{level}.caddy"),
                ten(&format!("import level{next}.caddy")).as_bytes(),
            );
        }
        write(folder, "level14.conf", b"server { listen 82; }\n");
        write(folder, "level14.caddy", b"respond ok\n");
        write(
            folder,
            "nginx.conf",
            b"events {}\nhttp {\n    include level0.conf;\n}\n",
        );
        write(
            folder,
            "Caddyfile",
            b"example.com {\n\timport level0.caddy\n}\n",
        );
    });
    assert_eq!(said.status, Some(1), "{said:#?}");
    assert!(!notes(&said).is_empty(), "a bomb is not clean: {said:#?}");
}

/// The same within one file: snippets that import snippets.
#[test]
fn a_snippet_bomb_ends() {
    let said = beside(|folder| {
        let mut text = String::new();
        for level in (0..14).rev() {
            let line = if level == 13 {
                "respond ok".to_owned()
            } else {
                format!("import s{}", level + 1)
            };
            let _ = writeln!(
                text,
                "(s{level}) {{\n{}}}",
                format!("\t{line}\n").repeat(10)
            );
        }
        write(
            folder,
            "Caddyfile",
            format!("{text}example.com {{\n\timport s0\n}}\n").as_bytes(),
        );
    });
    assert_eq!(said.status, Some(1), "{said:#?}");
}

#[test]
fn a_hundred_thousand_nested_blocks_do_not_recurse() {
    let said = beside(|folder| {
        for (name, open) in [
            ("nginx.conf", "location /a {\n"),
            ("Caddyfile", "handle {\n"),
        ] {
            let text = open.repeat(100_000) + &"}\n".repeat(100_000);
            write(folder, name, text.as_bytes());
        }
        let nested = format!(
            "ALLOWED_HOSTS = {}{}\n",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        write(folder, "settings.py", nested.as_bytes());
        let sum = format!("SECURE_SSL_REDIRECT = {}1\n", "1 + ".repeat(100_000));
        write(folder, "settings_sum.py", sum.as_bytes());
    });
    assert!(matches!(said.status, Some(1)), "{said:#?}");
}

#[test]
fn broken_syntax_is_undecided_where_it_is_and_the_rest_is_checked() {
    let said = beside(|folder| {
        write(
            folder,
            "nginx.conf",
            b"server {\n    listen 80;\n    location /ws {\n        proxy_pass http://app\n    }\n",
        );
        write(
            folder,
            "Caddyfile",
            b"example.com {\n\treverse_proxy app:8000\n",
        );
        write(
            folder,
            "shop/settings.py",
            b"ALLOWED_HOSTS = [\nSECURE_SSL_REDIRECT = True\n",
        );
    });
    for file in ["nginx.conf", "Caddyfile", "shop/settings.py"] {
        let spoken = notes(&said)
            .into_iter()
            .chain(said.places().into_iter().map(|(place, _)| place))
            .any(|text| text.starts_with(file));
        assert!(spoken, "not a word on {file}: {said:#?}");
    }
}

#[test]
fn odd_files_are_no_panic() {
    let odd: [(&str, &[u8]); 14] = [
        ("empty/nginx.conf", b""),
        ("bom/nginx.conf", b"\xef\xbb\xbfserver { listen 80; }\n"),
        ("crlf/nginx.conf", b"server {\r\n listen 80;\r\n}\r\n"),
        ("cr/nginx.conf", b"server {\r listen 80;\r}\r"),
        ("quote/nginx.conf", b"server { server_name \"unfinished"),
        ("end/nginx.conf", b"server { listen 80; # no newline"),
        ("brace/Caddyfile", b"}}}}{{{{"),
        (
            "heredoc/Caddyfile",
            b"example.com {\n\trespond <<END\n\tnever ends\n",
        ),
        (
            "placeholder/Caddyfile",
            b"example.com {\n\treverse_proxy {{{{$A:{$B:\n}\n",
        ),
        (
            "template/nginx.conf.j2",
            b"{% for s in x %}server { listen {{ s }} {% endfor",
        ),
        ("template/Caddyfile.tmpl", b"{{ if }} {{{{ }}"),
        (
            "py/settings.py",
            b"SECURE_PROXY_SSL_HEADER = (\"a\", * , **\n\t\x0c",
        ),
        ("toml/pyproject.toml", b"[tool.wslint\n"),
        ("proc/Procfile", b"web: gunicorn '\nweb:\n:\n\xff"),
    ];
    for (path, bytes) in odd {
        let folder = folder(&[]);
        write(folder.path(), path, bytes);
        let said = wslint_bounded(folder.path(), &["check"]);
        assert!(said.status.is_some(), "{path}: {said:#?}");
        let said = wslint_bounded(folder.path(), &["check", "--format", "json", path]);
        assert!(matches!(said.status, Some(0..=2)), "{path}: {said:#?}");
    }
}

//! nginx in a sandbox: its folder becomes /etc/nginx, and a fragment gets the rest around it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::{Captures, Regex};

use crate::case::{Case, Url};
use crate::machine::{Proxy, Server};

/// Whether the file is nginx's by its name alone.
pub(crate) fn is_fragment(path: &str) -> bool {
    path.ends_with(".conf")
        || path.contains("sites-available/")
        || path.contains("sites-enabled/")
        || path.contains("conf.d/")
}

/// The names that a configuration serves.
pub(crate) fn names(text: &str) -> BTreeSet<String> {
    Regex::new(r"server_name\s+([^;]+);")
        .map(|named| {
            named
                .captures_iter(text)
                .flat_map(|found| {
                    found[1]
                        .split_whitespace()
                        .map(str::to_ascii_lowercase)
                        .collect::<Vec<_>>()
                })
                .collect()
        })
        .unwrap_or_default()
}

/// Starts it; the inner error is nginx's own refusal.
pub(crate) fn start(
    folder: &Path,
    case: &Case,
    proxy: &Proxy,
) -> Result<Result<Server, String>, String> {
    let number = proxy.address.map_or(0, |address| address.octets()[3]);
    let name = format!("nginx{number}");
    let etc = folder.join(&name);
    furnish(&etc, case, proxy).map_err(|error| format!("{}: {error}", etc.display()))?;
    let main = main_file(&etc, case, proxy)?;
    let text = fs::read_to_string(etc.join(&main)).map_err(|error| error.to_string())?;
    let mut globals = "daemon off; master_process off; error_log stderr warn;".to_owned();
    let written = statements(&text);
    let missing = |word: &str| !written.iter().any(|found| found == word);
    if missing("pid") {
        globals += &format!(" pid /run/{name}.pid;");
    }
    if missing("user") {
        globals += " user root;";
    }
    let etc_text = etc.to_string_lossy();
    let hosts = proxy.home.as_ref().map_or_else(String::new, |home| {
        format!("mount --bind '{}' /etc/hosts && ", home.hosts.display())
    });
    // Mounts of its own: several nginx side by side each have their /etc/nginx.
    let script = format!(
        "{hosts}mount --bind '{etc_text}' /etc/nginx && exec nginx -p /etc/nginx -c '/etc/nginx/{main}' -g '{globals}'"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).env(
        "PATH",
        "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
    );
    Server::start(&name, &mut command, folder).map(Ok)
}

/// Debian's tables and parameter files, then the case's own files over them.
fn furnish(etc: &Path, case: &Case, proxy: &Proxy) -> io::Result<()> {
    fs::create_dir_all(etc)?;
    for entry in fs::read_dir("/etc/nginx")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let useful = name == "mime.types" || name.ends_with("_params") || name == "fastcgi.conf";
        if useful && entry.path().is_file() {
            fs::copy(entry.path(), etc.join(name))?;
        }
    }
    for (path, text) in &case.files {
        if let Some(path) = path.strip_prefix(proxy.folder()) {
            let full = etc.join(path);
            fs::create_dir_all(full.parent().unwrap_or(etc))?;
            fs::write(full, adapted(text, case, proxy))?;
        }
    }
    Ok(())
}

/// The text with what is not in the repository supplied: certificates, the user to run as; and,
/// for one of several machines, its own address to listen on.
fn adapted(text: &str, case: &Case, proxy: &Proxy) -> String {
    let replace = |text: &str, pattern: &str, with: &dyn Fn(&Captures<'_>) -> String| {
        Regex::new(pattern).map_or_else(
            |_| text.to_owned(),
            |pattern| pattern.replace_all(text, with).into_owned(),
        )
    };
    let certificates = &case.certificates;
    let mut text = replace(text, r"\b(ssl_certificate(?:_key)?)\s+[^;$]+;", &|found| {
        let file = if found[1].ends_with("key") {
            "key.pem"
        } else {
            "cert.pem"
        };
        format!("{} {certificates}/{file};", &found[1])
    });
    text = replace(
        &text,
        r"(?m)^\s*(?:ssl_dhparam|ssl_trusted_certificate)\s[^;]+;|^\s*include\s+/etc/letsencrypt/[^;]+;",
        &|_| String::new(),
    );
    text = replace(&text, r"(?m)^(\s*)user\s+[^;]+;", &|found| {
        format!("{}user root;", &found[1])
    });
    if let Some(address) = proxy.address {
        text = replace(&text, r"\blisten\s+\[::\]:[^;]+;", &|_| String::new());
        text = replace(
            &text,
            r"\blisten\s+(?:(?:\*|0\.0\.0\.0):)?(\d+(?:\s[^;]*)?;)",
            &|found| format!("listen {address}:{}", &found[1]),
        );
    }
    match &proxy.home {
        Some(home) => home.moved(&text),
        None => text,
    }
}

/// The file to start nginx with: the case's own if it is whole, else one around it.
fn main_file(etc: &Path, case: &Case, proxy: &Proxy) -> Result<String, String> {
    let parts: Vec<String> = if proxy.main.is_empty() {
        roots(case)
    } else {
        vec![proxy.main[proxy.folder().len()..].to_owned()]
    };
    let mut words = Vec::new();
    for part in &parts {
        let text = fs::read_to_string(etc.join(part)).map_err(|error| error.to_string())?;
        words.extend(statements(&text));
    }
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    if has(&["events"]) {
        return Ok(parts.first().cloned().unwrap_or_default());
    }
    let includes: String = parts
        .iter()
        .map(|part| format!("include /etc/nginx/{part};\n"))
        .collect();
    let host = Url::read(&case.url)?.host;
    let text = if has(&["http", "stream"]) {
        format!("events {{}}\n{includes}")
    } else if has(&["location", "proxy_pass"]) {
        format!(
            "events {{}}\nhttp {{\nserver {{\nlisten 80;\nserver_name {host};\n{includes}}}\n}}\n"
        )
    } else {
        format!("events {{}}\nhttp {{\n{includes}}}\n")
    };
    let main = "wslint-main.conf".to_owned();
    fs::write(etc.join(&main), text).map_err(|error| error.to_string())?;
    Ok(main)
}

/// The fragments that no other fragment includes.
fn roots(case: &Case) -> Vec<String> {
    let fragments: Vec<_> = case
        .files
        .iter()
        .filter(|(path, _)| is_fragment(path))
        .collect();
    let include = Regex::new(r"(?m)^[^#\n]*\binclude\s+([^;\s]+)\s*;").ok();
    let included: Vec<PathBuf> = case
        .files
        .iter()
        .flat_map(|(_, text)| {
            include
                .iter()
                .flat_map(|include| include.captures_iter(text))
                .map(|found| PathBuf::from(&found[1]))
                .collect::<Vec<_>>()
        })
        .collect();
    let is_included = |path: &Path| {
        included.iter().any(|wanted| {
            let glob = wanted
                .file_name()
                .is_some_and(|name| name.to_string_lossy().contains('*'));
            let same = |a: Option<&Path>, b: Option<&Path>| match (a, b) {
                (Some(a), Some(b)) => a.ends_with(b) || b.ends_with(a),
                _ => false,
            };
            if glob {
                same(wanted.parent(), path.parent())
            } else {
                same(Some(wanted), Some(path))
            }
        })
    };
    fragments
        .iter()
        .map(|(path, _)| path.clone())
        .filter(|path| !is_included(Path::new(path)))
        .collect()
}

/// The first word of every statement at the top.
fn statements(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut depth, mut word, mut begun) = (0_usize, String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '#' if word.is_empty() || begun => {
                while characters.next_if(|next| *next != '\n').is_some() {}
            }
            '"' | '\'' => {
                while characters.next_if(|next| *next != character).is_some() {}
                characters.next();
            }
            '{' | ';' | '}' => {
                if depth == 0 && !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                word.clear();
                begun = false;
                match character {
                    '{' => depth += 1,
                    '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            _ if character.is_whitespace() => begun = !word.is_empty(),
            _ if !begun => word.push(character),
            _ => {}
        }
    }
    words
}

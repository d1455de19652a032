//! Caddy in a sandbox: it adapts the Caddyfile itself, unchanged; in the result only what needs
//! the Internet is replaced (certificates come from Caddy's own authority).

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::case::Case;
use crate::client::{self, Dial};
use crate::machine::{self, Proxy, Server};

/// The hosts of a Caddyfile's site addresses.
pub(crate) fn names(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut depth = 0_usize;
    for line in text.lines().map(str::trim) {
        if depth == 0 && !line.starts_with(['#', '(', '{']) {
            for address in line.trim_end_matches('{').split([' ', ',']) {
                let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
                let host = rest.split(['/', ':']).next().unwrap_or_default();
                if host.contains('.') || host == "localhost" {
                    names.insert(host.to_ascii_lowercase());
                }
            }
        }
        depth += line
            .split_whitespace()
            .filter(|word| word.ends_with('{'))
            .count();
        depth = depth.saturating_sub(usize::from(line == "}"));
    }
    names
}

/// Starts it; the inner error is Caddy's own refusal.
pub(crate) fn start(
    folder: &Path,
    case: &Case,
    proxy: &Proxy,
) -> Result<Result<Server, String>, String> {
    let number = proxy.address.map_or(0, |address| address.octets()[3]);
    let name = format!("caddy{number}");
    let home = folder.join(&name);
    let files = folder.join("files");
    let source = files.join(&proxy.main);
    let data = home.join("data/caddy");
    fs::create_dir_all(&data).map_err(|error| error.to_string())?;
    copy(&Path::new(&case.certificates).join("caddy"), &data).map_err(|error| error.to_string())?;
    let caddy = |arguments: &[&str]| {
        let mut command = match &proxy.home {
            Some(home) => {
                let mut command = home.command();
                command.arg(&case.caddy);
                command
            }
            None => Command::new(&case.caddy),
        };
        command
            .args(arguments)
            .current_dir(source.parent().unwrap_or(&files))
            .env("HOME", &home)
            .env("XDG_DATA_HOME", home.join("data"))
            .env("XDG_CONFIG_HOME", home.join("config"))
            // Every Caddy of the sandbox has the same authority, and trusts it.
            .env("SSL_CERT_FILE", data.join("pki/authorities/local/root.crt"));
        command
    };
    let source_text = source.to_string_lossy();
    let adapted = caddy(&["adapt", "--adapter", "caddyfile", "--config", &source_text])
        .output()
        .map_err(|error| format!("{}: {error}", case.caddy))?;
    if !adapted.status.success() {
        return Ok(Err(String::from_utf8_lossy(&adapted.stderr).into_owned()));
    }
    let mut config: Value =
        serde_json::from_slice(&adapted.stdout).map_err(|error| error.to_string())?;
    adjust(&mut config, case, proxy);
    let path = home.join("config.json");
    let mut text = config.to_string();
    if let Some(home) = &proxy.home {
        text = home.moved(&text);
    }
    fs::write(&path, text).map_err(|error| error.to_string())?;
    let path = path.to_string_lossy();
    Server::start(&name, &mut caddy(&["run", "--config", &path]), folder).map(Ok)
}

/// No administration port, certificates from Caddy's own authority, an address of its own.
fn adjust(config: &mut Value, case: &Case, proxy: &Proxy) {
    config["admin"] = json!({ "disabled": true, "config": { "persist": false } });
    let apps = &mut config["apps"];
    apps["pki"]["certificate_authorities"]["local"]["install_trust"] = json!(false);
    let automation = &mut apps["tls"]["automation"];
    let issuers = json!([{ "module": "internal" }]);
    let mut policies = automation["policies"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    for policy in &mut policies {
        policy["issuers"] = issuers.clone();
    }
    if policies
        .iter()
        .all(|policy| policy.get("subjects").is_some())
    {
        policies.push(json!({ "issuers": issuers }));
    }
    automation["policies"] = json!(policies);
    let files = apps.pointer_mut("/tls/certificates/load_files");
    for pair in files.and_then(Value::as_array_mut).into_iter().flatten() {
        pair["certificate"] = json!(format!("{}/cert.pem", case.certificates));
        pair["key"] = json!(format!("{}/key.pem", case.certificates));
    }
    let Some(address) = proxy.address else { return };
    let servers = apps
        .pointer_mut("/http/servers")
        .and_then(Value::as_object_mut);
    for server in servers.into_iter().flat_map(|servers| servers.values_mut()) {
        let listens = server.get_mut("listen").and_then(Value::as_array_mut);
        for listen in listens.into_iter().flatten() {
            if let Some(port) = listen.as_str().and_then(|listen| listen.strip_prefix(':')) {
                *listen = json!(format!("{address}:{port}"));
            }
        }
    }
}

/// Waits until the sites have the certificates that Caddy issues in the background.
pub(crate) fn await_certificates(case: &Case, proxy: &Proxy) {
    let text = case.files.iter().find(|(path, _)| *path == proxy.main);
    let own = |at: Option<Ipv4Addr>| proxy.address.is_none() || at == proxy.address;
    if !machine::sockets()
        .iter()
        .any(|(at, port)| *port == 443 && own(*at))
    {
        return;
    }
    let deadline = Instant::now() + Duration::from_secs(6);
    let (text, hosts) = text.map_or(("", BTreeSet::new()), |(_, text)| (text, names(text)));
    for host in hosts {
        if host.contains('*') || text.contains(&format!("http://{host}")) {
            continue;
        }
        let Ok(url) = crate::case::Url::read(&format!("wss://{host}")) else {
            continue;
        };
        let dial = Dial {
            host: proxy.address.map_or(host, |address| address.to_string()),
            ..Dial::here(url)
        };
        while !client::speaks_tls(&dial) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Makes the authority that every Caddy of a run shares.
pub(crate) fn authority(caddy: &str, certificates: &Path) -> Result<(), String> {
    let folder = certificates.join("caddy");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let config = json!({
        "admin": { "disabled": true, "config": { "persist": false } },
        "storage": { "module": "file_system", "root": folder },
        "apps": { "pki": { "certificate_authorities": { "local": { "install_trust": false } } } },
    });
    let path: PathBuf = certificates.join("authority.json");
    fs::write(&path, config.to_string()).map_err(|error| error.to_string())?;
    let mut child = Command::new(caddy)
        .arg("run")
        .arg("--config")
        .arg(&path)
        .env("HOME", certificates)
        .env("XDG_DATA_HOME", certificates)
        .env("XDG_CONFIG_HOME", certificates)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map_err(|error| format!("{caddy}: {error}"))?;
    let local = folder.join("pki/authorities/local");
    let deadline = Instant::now() + Duration::from_secs(15);
    let made = || {
        [
            "root.crt",
            "root.key",
            "intermediate.crt",
            "intermediate.key",
        ]
        .iter()
        .all(|file| fs::metadata(local.join(file)).is_ok_and(|meta| meta.len() > 0))
    };
    while !made() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    if made() {
        Ok(())
    } else {
        Err(format!("{caddy} made no certificate authority"))
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

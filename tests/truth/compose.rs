//! What the files of a stack say about machines and programs, read anew: nothing of wslint is used
//! here, so that both readings can be compared.
//!
//! A compose file makes a machine of each service; a folder without one is a single machine, on
//! which its proxies and the commands of its Procfile or systemd units run.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use regex::Regex;
use serde_json::Value;

use crate::case::Case;
use crate::machine;
use crate::sandbox;
use crate::stack::{Program, Runs};

/// Files by path.
pub(crate) type Files = BTreeMap<String, String>;

/// Images that hold data and answer no handshake: they are not started.
const SILENT: [&str; 4] = ["postgres", "redis", "mysql", "mariadb"];

/// The main file of the official nginx image, as far as a handshake meets it.
const STOCK_MAIN: &str = "\
user nginx;
worker_processes auto;
error_log /var/log/nginx/error.log notice;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    sendfile on;
    keepalive_timeout 65;
    include /etc/nginx/conf.d/*.conf;
}
";

/// The server that the official nginx image has until somebody removes it.
const STOCK_DEFAULT: &str = "\
server {
    listen 80;
    server_name localhost;
    location / {
        root /usr/share/nginx/html;
        index index.html index.htm;
    }
}
";

/// Programs with what else their machines need.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) programs: Vec<Program>,
    /// Files outside of the programs' own folders.
    pub(crate) shared: Vec<(String, String)>,
    /// Published ports: on the host, the machine, on the machine.
    pub(crate) published: Vec<(u16, Ipv4Addr, u16)>,
}

/// Reads what is started on one host: what lies under `folder` of the project. Its machines get the
/// addresses from `first` on.
pub(crate) fn read(
    files: &Files,
    folder: &str,
    python: &str,
    first: Ipv4Addr,
) -> Result<Read, String> {
    let compose = files.iter().find(|(path, _)| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_compose = name.starts_with("docker-compose") || name.starts_with("compose");
        path.starts_with(folder) && is_compose && path.ends_with("yml")
    });
    match compose {
        Some((path, text)) => services(files, path, text, python, first),
        None => Ok(host(files, folder, python, first)),
    }
}

fn next(address: Ipv4Addr, by: usize) -> Ipv4Addr {
    let [a, b, c, d] = address.octets();
    Ipv4Addr::new(
        a,
        b,
        c,
        d.saturating_add(u8::try_from(by).unwrap_or(u8::MAX)),
    )
}

/// A machine without containers, on which the project is checked out.
fn host(files: &Files, under: &str, python: &str, address: Ipv4Addr) -> Read {
    let mut read = Read::default();
    let all: Vec<(String, String)> = files.clone().into_iter().collect();
    let case = Case {
        files: all.clone(),
        ..Case::default()
    };
    let mut add = |name: String, runs| {
        read.programs.push(Program {
            name,
            address,
            names: Vec::new(),
            files: all.clone(),
            runs,
        });
    };
    let proxies = machine::proxies(&case);
    for proxy in proxies.iter().filter(|proxy| proxy.main.starts_with(under)) {
        let runs = if proxy.is_caddy {
            Runs::Caddy(proxy.main.clone())
        } else {
            Runs::Nginx(proxy.main.clone())
        };
        add(format!("proxy-{}", proxy.main), runs);
    }
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with(under)) {
        let folder = path.rfind('/').map_or("", |at| &path[..at]);
        if path.ends_with("Procfile") {
            for line in text.lines() {
                if let Some((name, command)) = line.split_once(": ") {
                    let environment = vec![("PORT".to_owned(), "8000".to_owned())];
                    let runs = shell(command, folder, environment, python);
                    add(format!("procfile-{name}"), runs);
                }
            }
        } else if path.ends_with(".service") {
            let setting = |name: &str| {
                let lines = text.lines().filter_map(|line| line.strip_prefix(name));
                lines.collect::<Vec<_>>()
            };
            let environment = setting("Environment=")
                .iter()
                .filter_map(|pair| pair.trim_matches('"').split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            // The repository is checked out where the unit works.
            if let [command] = setting("ExecStart=")[..] {
                add(path.clone(), exec(&split(command), "", environment, python));
            }
        }
    }
    read
}

/// A command as a shell runs it.
fn shell(line: &str, folder: &str, environment: Vec<(String, String)>, python: &str) -> Runs {
    let words = ["sh", "-c", line].map(str::to_owned).to_vec();
    exec(&words, folder, environment, python)
}

/// A command word by word; what a virtual environment of the project holds comes from ours.
fn exec(words: &[String], folder: &str, environment: Vec<(String, String)>, python: &str) -> Runs {
    let mut words = words.to_vec();
    if let Some(first) = words.first_mut()
        && let Some((folder, name)) = first.rsplit_once("/bin/")
        && folder.contains("venv")
    {
        *first = name.to_owned();
    }
    Runs::Command {
        words,
        folder: folder.to_owned(),
        environment,
        python: python.to_owned(),
    }
}

/// The services of a compose file.
fn services(
    files: &Files,
    path: &str,
    text: &str,
    python: &str,
    first: Ipv4Addr,
) -> Result<Read, String> {
    let compose = yaml(&substituted(text, &|_| None))?;
    let base = path.rfind('/').map_or("", |at| &path[..=at]);
    let mut read = Read::default();
    let mut names: Vec<(String, Ipv4Addr)> = Vec::new();
    let services = compose["services"].as_object().ok_or("no services")?;
    for (name, service) in services {
        let Some(container) = Container::of(files, base, service)? else {
            continue;
        };
        let replicas = service["deploy"]["replicas"]
            .as_u64()
            .or(service["scale"].as_u64());
        for replica in 0..replicas.unwrap_or(1) {
            let address = next(first, read.programs.len());
            let mut known = vec![name.clone()];
            known.extend(
                ["container_name", "hostname"]
                    .iter()
                    .filter_map(|key| service[*key].as_str().map(str::to_owned)),
            );
            if let Some(networks) = service["networks"].as_object() {
                let aliases = networks
                    .values()
                    .filter_map(|network| network["aliases"].as_array());
                known.extend(
                    aliases
                        .flatten()
                        .filter_map(Value::as_str)
                        .map(str::to_owned),
                );
            }
            names.extend(known.into_iter().map(|name| (name, address)));
            if replica == 0 {
                for port in service["ports"].as_array().into_iter().flatten() {
                    read.published
                        .extend(published(port).map(|(host, own)| (host, address, own)));
                }
            }
            let (program, shared) =
                container.program(&format!("{name}-{replica}"), address, python)?;
            read.programs.push(program);
            read.shared.extend(shared);
        }
    }
    for program in &mut read.programs {
        program.names.clone_from(&names);
    }
    Ok(read)
}

/// `"8080:80"`, `8000`, or the long form.
fn published(port: &Value) -> Option<(u16, u16)> {
    if let Some(own) = port["target"].as_u64() {
        let host = port["published"]
            .as_u64()
            .or_else(|| port["published"].as_str()?.parse().ok());
        return Some((u16::try_from(host?).ok()?, u16::try_from(own).ok()?));
    }
    let text = port.as_str()?;
    let text = text.split('/').next()?;
    let mut parts = text.rsplit(':');
    let own = parts.next()?.parse().ok()?;
    Some((parts.next()?.parse().ok()?, own))
}

/// What an image and a service make together.
#[derive(Debug, Default)]
struct Container {
    image: String,
    /// By absolute path.
    files: Files,
    folder: String,
    entrypoint: Vec<String>,
    command: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Container {
    /// The container of a service; `None` for one that holds data.
    fn of(files: &Files, base: &str, service: &Value) -> Result<Option<Self>, String> {
        let mut container = Self::default();
        if service["build"].is_null() {
            service["image"]
                .as_str()
                .unwrap_or_default()
                .clone_into(&mut container.image);
            container.stock();
        } else {
            let build = &service["build"];
            let context = build.as_str().or(build["context"].as_str()).unwrap_or(".");
            let context = joined(base, context);
            let dockerfile = build["dockerfile"].as_str().unwrap_or("Dockerfile");
            container.build(files, &context, &joined(&context, dockerfile))?;
        }
        if SILENT.contains(&container.kind()) {
            return Ok(None);
        }
        for file in many(&service["env_file"]) {
            let path = joined(base, file.trim_start_matches("./"));
            let text = files.get(&path).ok_or(format!("no {path}"))?;
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                if let Some((name, value)) = line.split_once('=') {
                    container.set(name, value);
                }
            }
        }
        match &service["environment"] {
            Value::Object(all) => {
                for (name, value) in all {
                    let text = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    container.set(name, &text);
                }
            }
            Value::Array(all) => {
                for pair in all.iter().filter_map(Value::as_str) {
                    if let Some((name, value)) = pair.split_once('=') {
                        container.set(name, value);
                    }
                }
            }
            _ => {}
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let text = volume.as_str().unwrap_or_default();
            let mut parts = text.split(':');
            if let (Some(from), Some(to)) = (parts.next(), parts.next())
                && from.starts_with('.')
            {
                container.mount(files, &joined(base, from), to);
            }
        }
        if !service["entrypoint"].is_null() {
            container.entrypoint = words(&service["entrypoint"]);
            container.command.clear();
        }
        if !service["command"].is_null() {
            container.command = words(&service["command"]);
        }
        if let Some(folder) = service["working_dir"].as_str() {
            folder.clone_into(&mut container.folder);
        }
        Ok(Some(container))
    }

    /// The image's name without registry and tag.
    fn kind(&self) -> &str {
        let name = self.image.rsplit('/').next().unwrap_or_default();
        name.split([':', '@']).next().unwrap_or_default()
    }

    fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The files that an official image brings.
    fn stock(&mut self) {
        if self.kind() == "nginx" {
            for (path, text) in [
                ("nginx.conf", STOCK_MAIN),
                ("conf.d/default.conf", STOCK_DEFAULT),
            ] {
                self.files
                    .insert(format!("/etc/nginx/{path}"), text.to_owned());
            }
        }
    }

    /// Does what a Dockerfile says.
    fn build(&mut self, files: &Files, context: &str, path: &str) -> Result<(), String> {
        let text = files.get(path).ok_or(format!("no {path}"))?;
        "/".clone_into(&mut self.folder);
        for line in text.replace("\\\n", " ").lines() {
            let line = line.trim();
            let Some((instruction, rest)) = line.split_once(' ') else {
                continue;
            };
            match instruction {
                "FROM" => {
                    *self = Self::default();
                    "/".clone_into(&mut self.folder);
                    rest.split(' ')
                        .next()
                        .unwrap_or_default()
                        .clone_into(&mut self.image);
                    self.stock();
                }
                "WORKDIR" => self.folder = absolute(&self.folder, rest.trim()),
                "ENV" => {
                    for pair in split(rest) {
                        if let Some((name, value)) = pair.split_once('=') {
                            self.set(name, value);
                        }
                    }
                }
                "COPY" if !rest.contains("--from") => {
                    let parts = split(rest);
                    if let [from @ .., to] = parts.as_slice() {
                        let to = absolute(&self.folder, to);
                        for from in from {
                            self.copy(files, &joined(context, from), &to);
                        }
                    }
                }
                "RUN" => {
                    for gone in rest
                        .split(' ')
                        .filter(|word| word.starts_with("/etc/nginx/"))
                    {
                        if rest.starts_with("rm ") {
                            self.files.remove(gone);
                        }
                    }
                }
                "CMD" => self.command = instruction_words(rest)?,
                "ENTRYPOINT" => {
                    self.entrypoint = instruction_words(rest)?;
                    self.command.clear();
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A file or the files of a folder, as COPY places them.
    fn copy(&mut self, files: &Files, from: &str, to: &str) {
        if let Some(text) = files.get(from) {
            let name = from.rsplit('/').next().unwrap_or(from);
            let to = if to.ends_with('/') {
                format!("{to}{name}")
            } else {
                to.to_owned()
            };
            self.files.insert(to, text.clone());
            return;
        }
        let from = folder(from);
        for (path, text) in files {
            if let Some(path) = path.strip_prefix(&from) {
                let to = to.trim_end_matches('/');
                self.files.insert(format!("{to}/{path}"), text.clone());
            }
        }
    }

    /// A volume hides what was there.
    fn mount(&mut self, files: &Files, from: &str, to: &str) {
        let to = to.trim_end_matches('/');
        let below = format!("{to}/");
        self.files
            .retain(|path, _| path != to && !path.starts_with(&below));
        self.copy(files, from, to);
    }

    /// The program, and the files that lie elsewhere on its machine.
    fn program(
        &self,
        name: &str,
        address: Ipv4Addr,
        python: &str,
    ) -> Result<(Program, Vec<(String, String)>), String> {
        let below = |root: &str| {
            let own = self.files.iter();
            own.filter_map(|(path, text)| Some((path.strip_prefix(root)?.to_owned(), text.clone())))
                .collect::<Vec<_>>()
        };
        let (files, runs) = match self.kind() {
            "nginx" => {
                let mut files = below("/etc/nginx/");
                let templates = below("/etc/nginx/templates/");
                files.extend(templates.into_iter().filter_map(|(path, text)| {
                    let path = path.strip_suffix(".template")?;
                    let value = |name: &str| {
                        let found = self.environment.iter().find(|(known, _)| known == name);
                        found.map(|(_, value)| value.clone())
                    };
                    Some((format!("conf.d/{path}"), substituted(&text, &value)))
                }));
                (files, Runs::Nginx("nginx.conf".to_owned()))
            }
            "caddy" => (below("/etc/caddy/"), Runs::Caddy("Caddyfile".to_owned())),
            "python" => {
                let all = [self.entrypoint.as_slice(), self.command.as_slice()].concat();
                let folder = self.folder.trim_start_matches('/');
                let runs = exec(&all, folder, self.environment.clone(), python);
                (below("/"), runs)
            }
            other => return Err(format!("{name}: no machine can be made of {other:?}")),
        };
        let proxy = !matches!(runs, Runs::Command { .. });
        let mut shared = Vec::new();
        for (path, text) in self.files.iter().filter(|_| proxy) {
            if path.starts_with("/srv/") || path.starts_with("/var/www/") {
                shared.push((path.clone(), text.clone()));
            } else if !path.starts_with("/etc/nginx/") && !path.starts_with("/etc/caddy/") {
                return Err(format!("{name}: {path} would change the real machine"));
            }
        }
        let program = Program {
            name: name.to_owned(),
            address,
            names: Vec::new(),
            files,
            runs,
        };
        Ok((program, shared))
    }
}

/// CMD or ENTRYPOINT: a JSON list, or a line for the shell.
fn instruction_words(text: &str) -> Result<Vec<String>, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|error| format!("{text}: {error}"));
    }
    Ok(["sh", "-c", text].map(str::to_owned).to_vec())
}

/// A command of a compose file: a list, or a line that is split into words without a shell.
fn words(value: &Value) -> Vec<String> {
    value.as_str().map_or_else(|| many(value), split)
}

fn many(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(all) => all
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// Words, with quotes around some of them.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                begun = true;
            }
            (None, _) if character.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            _ => {
                word.push(character);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// `${NAME}` with its value, `${NAME:-default}` with its default where there is none.
fn substituted(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let Ok(variable) = Regex::new(r"\$\{(\w+)(?::?-([^}]*))?\}") else {
        return text.to_owned();
    };
    variable
        .replace_all(text, |found: &regex::Captures<'_>| {
            value(&found[1])
                .or_else(|| Some(found.get(2)?.as_str().to_owned()))
                .unwrap_or_else(|| found[0].to_owned())
        })
        .into_owned()
}

/// A path from a folder of the project; the project's root is empty.
fn joined(base: &str, path: &str) -> String {
    let path = path.trim_start_matches("./").trim_end_matches('/');
    let base = folder(base);
    match path {
        "" | "." => base.trim_end_matches('/').to_owned(),
        _ => match path.strip_prefix("../") {
            Some(rest) => {
                let above = base.trim_end_matches('/').rsplit_once('/');
                joined(above.map_or("", |(above, _)| above), rest)
            }
            None if path == ".." => String::new(),
            None => format!("{base}{path}"),
        },
    }
}

/// A folder with a slash at its end unless it is the root.
fn folder(path: &str) -> String {
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    }
}

fn absolute(folder: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let path = path.trim_start_matches("./");
    let path = if path == "." { "" } else { path };
    format!("{}/{path}", folder.trim_end_matches('/'))
}

/// YAML, as Python's reader of it sees it.
fn yaml(text: &str) -> Result<Value, String> {
    let python = sandbox::servers().join("tools/bin/python");
    let program = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let mut child = Command::new(&python)
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{} (tests/run installs it): {error}", python.display()))?;
    if let Some(mut pipe) = child.stdin.take() {
        let _ = pipe.write_all(text.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

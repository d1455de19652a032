//! Inside a sandbox: starts what the files describe, and sends the handshakes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use regex::Regex;

use crate::case::{Case, Outcome, Url};
use crate::client::{self, Dial};
use crate::upstream::{self, Log};
use crate::{caddy, nginx};

/// The port of the application, or of the strict upstream in its place.
const APPLICATION: u16 = 8000;

/// A proxy that the files configure.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) is_caddy: bool,
    /// Its main file; for nginx empty where there are only fragments.
    pub(crate) main: String,
    /// Its own address, where several of a kind stand side by side.
    pub(crate) address: Option<Ipv4Addr>,
    /// What its machine calls itself and others, where each program has a machine of its own.
    pub(crate) home: Option<Home>,
}

/// What `localhost` and every other name means on one machine of a stack.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    /// A file for /etc/hosts.
    pub(crate) hosts: PathBuf,
    /// The address that stands for 127.0.0.1.
    pub(crate) loopback: Ipv4Addr,
}

impl Home {
    /// The text with this machine's own loopback address in the place of everybody's.
    pub(crate) fn moved(&self, text: &str) -> String {
        text.replace("127.0.0.1", &self.loopback.to_string())
    }

    /// A command that runs another, whose words follow, with this machine's names.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        let script = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
        command
            .args(["--mount", "sh", "-c", script])
            .arg(&self.hosts);
        command
    }
}

impl Proxy {
    /// The folder of its main file, with a slash at the end unless it is the root.
    pub(crate) fn folder(&self) -> &str {
        self.main.rfind('/').map_or("", |at| &self.main[..=at])
    }
}

/// The proxies of the case. One of a kind listens everywhere; several of a kind are several
/// machines, each on a loopback address of its own.
pub(crate) fn proxies(case: &Case) -> Vec<Proxy> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let mut found = Vec::new();
    let caddyfiles = case
        .files
        .iter()
        .filter(|(path, _)| name(path).starts_with("Caddyfile"));
    found.extend(caddyfiles.map(|(path, _)| (true, path.clone())));
    let mains = case
        .files
        .iter()
        .filter(|(path, _)| name(path) == "nginx.conf");
    let before = found.len();
    found.extend(mains.map(|(path, _)| (false, path.clone())));
    if found.len() == before && case.files.iter().any(|(path, _)| nginx::is_fragment(path)) {
        found.push((false, String::new()));
    }
    let several = |is_caddy: bool| found.iter().filter(|(kind, _)| *kind == is_caddy).count() > 1;
    found
        .iter()
        .zip(11_u8..)
        .map(|((is_caddy, main), last)| Proxy {
            is_caddy: *is_caddy,
            main: main.clone(),
            address: several(*is_caddy).then_some(Ipv4Addr::new(127, 0, 0, last)),
            home: None,
        })
        .collect()
}

/// The addresses of proxies that have their own, with the names that they serve.
pub(crate) fn addresses(case: &Case) -> Vec<(Ipv4Addr, BTreeSet<String>)> {
    let text = |path: &str| {
        let found = case.files.iter().find(|(found, _)| found == path);
        found.map(|(_, text)| text.as_str()).unwrap_or_default()
    };
    proxies(case)
        .iter()
        .filter_map(|proxy| {
            let names = if proxy.is_caddy {
                caddy::names(text(&proxy.main))
            } else {
                nginx::names(text(&proxy.main))
            };
            Some((proxy.address?, names))
        })
        .collect()
}

/// A server that was started.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) child: Child,
    pub(crate) log: PathBuf,
}

impl Server {
    /// Starts `command` with its output in a file.
    pub(crate) fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self, String> {
        let log = folder.join(format!("{}.log", name.replace('/', "-")));
        let file = fs::File::create(&log).map_err(|error| error.to_string())?;
        let both = file.try_clone().map_err(|error| error.to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(both)
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    pub(crate) fn text(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits until `ready`; `Ok(false)` if it ends first, and `Ok(true)` too if it lives on
    /// without ever becoming ready.
    pub(crate) fn wait(
        &mut self,
        patience: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> io::Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            if ready() || Instant::now() > deadline {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

/// Starts everything and sends the handshakes.
pub(crate) fn run(folder: &Path, case: &Case) -> Result<Outcome, String> {
    let files = folder.join("files");
    for (path, text) in &case.files {
        let full = files.join(path);
        fs::create_dir_all(full.parent().unwrap_or(&files)).map_err(|error| error.to_string())?;
        fs::write(&full, text).map_err(|error| format!("{path}: {error}"))?;
    }
    let log: Log = Arc::new(Mutex::new(Vec::new()));
    let mut servers = Vec::new();
    let outcome = (|| {
        if let Some(refused) = start(folder, case, &mut servers, &log)? {
            return Ok(Outcome {
                refused: Some(refused),
                ..Outcome::default()
            });
        }
        let attempts = client::attempts(&dial(case)?);
        Ok(Outcome {
            attempts,
            ..Outcome::default()
        })
    })();
    for server in &mut servers {
        let _ = server.child.kill();
    }
    outcome.map(|outcome: Outcome| Outcome {
        log: logs(&servers, &log),
        ..outcome
    })
}

/// Where the handshake goes: to the proxy as the URL says or as its edge does, or straight to the
/// application, whose edge ended TLS.
fn dial(case: &Case) -> Result<Dial, String> {
    let url = Url::read(&case.url)?;
    let (host, port, tls) = if proxies(case).is_empty() {
        ("127.0.0.1".to_owned(), application_port(case), false)
    } else if case.plain {
        (url.host.clone(), 80, false)
    } else {
        (url.host.clone(), url.port, url.tls)
    };
    Ok(Dial {
        host,
        port,
        tls,
        headers: case.headers.clone(),
        lives: case.lives,
        ..Dial::here(url)
    })
}

/// Starts application and proxies; the reason if one refuses to run.
fn start(
    folder: &Path,
    case: &Case,
    servers: &mut Vec<Server>,
    log: &Log,
) -> Result<Option<String>, String> {
    if let Some((path, command)) = procfile(case) {
        let root = folder.join("files").join(path).parent().map(Path::to_owned);
        let mut server = application(&root.unwrap_or_default(), &command, case, folder)?;
        let port = application_port(case);
        let socket = unix_sockets(&command).first().cloned();
        let alive = server
            .wait(Duration::from_secs(40), || {
                listening().contains(&port) || socket.as_ref().is_some_and(|path| path.exists())
            })
            .map_err(|error| error.to_string())?;
        let text = server.text();
        servers.push(server);
        if !alive {
            return Ok(Some(text));
        }
    } else {
        serve_strictly(APPLICATION, log);
    }
    let proxies = proxies(case);
    let wanted = dial(case)?;
    for proxy in &proxies {
        let before = listening();
        let started = if proxy.is_caddy {
            caddy::start(folder, case, proxy)?
        } else {
            nginx::start(folder, case, proxy)?
        };
        let mut server = match started {
            Ok(server) => server,
            Err(refused) => return Ok(Some(refused)),
        };
        let mut first_seen = None;
        let alive = server
            .wait(Duration::from_secs(10), || {
                let now = listening();
                let mine = !before.contains(&wanted.port);
                if proxy.address.is_none() && mine && now.contains(&wanted.port) {
                    return true;
                }
                // It may be right that nobody listens where the client knocks.
                let grown = proxy.address.is_some() || now.difference(&before).next().is_some();
                let seen = if grown && !now.is_empty() {
                    *first_seen.get_or_insert_with(Instant::now)
                } else {
                    return false;
                };
                seen.elapsed() > Duration::from_secs(1)
            })
            .map_err(|error| error.to_string())?;
        let text = server.text();
        servers.push(server);
        if !alive {
            return Ok(Some(text));
        }
    }
    for port in other_ports(case) {
        if port != APPLICATION {
            serve_strictly(port, log);
        }
    }
    if procfile(case).is_none() {
        for path in case.files.iter().flat_map(|(_, text)| unix_sockets(text)) {
            let _ = path.parent().map(fs::create_dir_all);
            if let Ok(listener) = UnixListener::bind(&path) {
                upstream::serve_unix(listener, log);
            }
        }
    }
    for proxy in proxies.iter().filter(|proxy| proxy.is_caddy) {
        caddy::await_certificates(case, proxy);
    }
    Ok(None)
}

/// The strict upstream on one port of loopback, unless somebody else listens there.
fn serve_strictly(port: u16, log: &Log) {
    if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        upstream::serve(listener, log);
    }
}

/// Ports that the proxies' files speak of; those that nobody listens on are upstreams'.
fn other_ports(case: &Case) -> BTreeSet<u16> {
    let Ok(port) = Regex::new(r"[A-Za-z0-9.\]-]:(\d{4,5})\b") else {
        return BTreeSet::new();
    };
    case.files
        .iter()
        .filter(|(path, _)| !path.ends_with(".py") && !path.ends_with(".txt"))
        .flat_map(|(_, text)| port.captures_iter(text))
        .filter_map(|found| found[1].parse().ok())
        .filter(|port| *port >= 1024)
        .collect()
}

/// Unix sockets that a text names: `unix:/run/app.sock`, `unix//run/app.sock`, `--uds …`, `-u …`.
pub(crate) fn unix_sockets(text: &str) -> Vec<PathBuf> {
    let Ok(socket) = Regex::new(r"(?:unix:/*|unix/|--uds[ =]|\s-u )(/[^\s:;]+)") else {
        return Vec::new();
    };
    socket
        .captures_iter(text)
        .map(|found| PathBuf::from(&found[1]))
        .filter(|path| path.starts_with("/run") || path.starts_with("/tmp"))
        .collect()
}

/// The Procfile and its `web` command.
fn procfile(case: &Case) -> Option<(String, String)> {
    let (path, text) = case
        .files
        .iter()
        .find(|(path, _)| path == "Procfile" || path.ends_with("/Procfile"))?;
    let command = text.lines().find_map(|line| line.strip_prefix("web:"))?;
    Some((path.clone(), command.trim().to_owned()))
}

fn application_port(case: &Case) -> u16 {
    let bound = Regex::new(r"(?:--bind|-b|--port|-p)[ =](?:\S*:)?(\d+)(?:\s|$)").ok();
    procfile(case)
        .zip(bound)
        .and_then(|((_, command), bound)| bound.captures(&command)?[1].parse().ok())
        .unwrap_or(APPLICATION)
}

/// Starts the Procfile's command as a platform would.
fn application(root: &Path, command: &str, case: &Case, folder: &Path) -> Result<Server, String> {
    let bin = Path::new(&case.python).join("bin");
    let path = format!(
        "{}:{}",
        bin.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(root)
        .env("PATH", path)
        .env("PORT", APPLICATION.to_string())
        .env("HOME", folder)
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // Servers trust a proxy on their own machine; in production the edge is another one.
        .env("FORWARDED_ALLOW_IPS", "192.0.2.1");
    Server::start("application", &mut shell, folder)
}

/// Ports on which somebody in this sandbox listens.
pub(crate) fn listening() -> BTreeSet<u16> {
    sockets().into_iter().map(|(_, port)| port).collect()
}

/// Where somebody listens; `None` for an address of IPv6.
pub(crate) fn sockets() -> BTreeSet<(Option<Ipv4Addr>, u16)> {
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(|line| {
                    let mut fields = line.split_whitespace();
                    let local = fields.nth(1)?;
                    let state = fields.nth(1)?;
                    let (address, port) = local.split_once(':')?;
                    let port = u16::from_str_radix(port, 16).ok()?;
                    // The kernel writes it in the machine's own order of bytes.
                    let address = u32::from_str_radix(address, 16).ok();
                    let address = address.map(|address| Ipv4Addr::from(address.to_ne_bytes()));
                    (state == "0A").then_some((address, port))
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// What a person needs to see why: the last lines of every server.
pub(crate) fn logs(servers: &[Server], log: &Log) -> String {
    let mut text = String::new();
    let error_log = fs::read_to_string("/var/log/nginx/error.log").unwrap_or_default();
    let of_servers = servers
        .iter()
        .map(|server| (server.name.clone(), server.text()));
    for (name, lines) in of_servers.chain([("error.log".to_owned(), error_log)]) {
        let lines: Vec<&str> = lines.lines().collect();
        for line in &lines[lines.len().saturating_sub(25)..] {
            text += &format!("{name}: {}\n", line.chars().take(400).collect::<String>());
        }
    }
    if let Ok(log) = log.lock() {
        for line in log.iter() {
            text += line;
            text.push('\n');
        }
    }
    text
}

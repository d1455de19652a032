//! Inside a sandbox: the machines of a stack, the programs on them, and the clients that knock.
//!
//! The kernels that tests run on need not know virtual cables, so a machine is an address of its
//! own on loopback, and a mount namespace in which `localhost` is an address of its own too.
//! `0.0.0.0` and `127.0.0.1` in what a program is told become these two; everything else is
//! started as the files say it.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::case::{Case, Outcome};
use crate::machine::{self, Home, Proxy, Server};
use crate::sandbox::execute;
use crate::socket::client::{self, Dial};
use crate::socket::{Attempt, Url};
use crate::{caddy, nginx, polling};

/// The last byte of the first machine's address; its loopback address is 127.0.0.1.
pub(crate) const FIRST: u8 = 2;

/// Machines, and the handshakes that are sent to them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stack {
    pub(crate) programs: Vec<Program>,
    /// Files at places of which every machine has its own, but no two of them the same.
    pub(crate) shared: Vec<(String, String)>,
    pub(crate) knocks: Vec<Knock>,
    /// One round for each Caddy; a single empty one where no machine runs Caddy.
    pub(crate) caddys: Vec<String>,
    pub(crate) certificates: String,
}

/// One program on a machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) name: String,
    /// Where its machine is reached.
    pub(crate) address: Ipv4Addr,
    /// The other machines by the names that this one knows.
    pub(crate) names: Vec<(String, Ipv4Addr)>,
    /// For a proxy its folder in /etc, for a command the machine's root.
    pub(crate) files: Vec<(String, String)>,
    pub(crate) runs: Runs,
}

/// What runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Runs {
    /// nginx with its main file; an empty one where there are only fragments.
    Nginx(String),
    /// Caddy with its Caddyfile.
    Caddy(String),
    /// A command of a virtual environment.
    Command {
        words: Vec<String>,
        /// Where it is started, under the machine's root.
        folder: String,
        environment: Vec<(String, String)>,
        python: String,
    },
}

/// A client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Knock {
    pub(crate) url: String,
    /// Where the client, or the last edge before the project, connects to.
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) headers: Vec<(String, String)>,
    /// The address of the client, or of the last edge.
    pub(crate) from: Ipv4Addr,
    pub(crate) lives: bool,
    /// For how many seconds it is watched then.
    pub(crate) silent: u64,
    /// How often both browsers try.
    pub(crate) times: usize,
    /// A client of Socket.IO, which polls first.
    pub(crate) polls: bool,
}

impl Program {
    /// The address that stands for 127.0.0.1 on its machine.
    fn loopback(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, self.address.octets()[3] - FIRST, 1)
    }

    fn is_caddy(&self) -> bool {
        matches!(self.runs, Runs::Caddy(_))
    }

    fn folder(&self, folder: &Path) -> PathBuf {
        folder.join(self.name.replace('/', "-"))
    }

    /// The proxy as a case knows it.
    fn proxy(&self, main: &str, home: Home) -> Proxy {
        Proxy {
            is_caddy: self.is_caddy(),
            main: main.to_owned(),
            address: Some(self.address),
            home: Some(home),
        }
    }

    fn case(&self, stack: &Stack, caddy: &str) -> Case {
        Case {
            files: self.files.clone(),
            url: stack
                .knocks
                .first()
                .map(|knock| knock.url.clone())
                .unwrap_or_default(),
            headers: Vec::new(),
            lives: false,
            plain: false,
            caddy: caddy.to_owned(),
            python: String::new(),
            certificates: stack.certificates.clone(),
        }
    }
}

/// Starts all machines and knocks, once with each Caddy.
pub(crate) fn run(folder: &Path, stack: &Stack) -> Result<Vec<Vec<Outcome>>, String> {
    furnish(folder, stack)?;
    let (caddys, others): (Vec<&Program>, Vec<&Program>) = stack
        .programs
        .iter()
        .partition(|program| program.is_caddy());
    let mut servers = Vec::new();
    let rounds = start(folder, stack, &others, "", &mut servers).and_then(|()| {
        let mut rounds = Vec::new();
        for caddy in &stack.caddys {
            let mut own = Vec::new();
            let outcomes = start(folder, stack, &caddys, caddy, &mut own).and_then(|()| {
                stack
                    .knocks
                    .iter()
                    .map(knock)
                    .collect::<Result<Vec<_>, _>>()
            });
            stop(&mut own);
            let log = machine::logs(&own, &Arc::new(Mutex::new(Vec::new())));
            let outcomes = outcomes.map_err(|error| format!("{error}\n{log}"))?;
            let told = |attempts| Outcome {
                attempts,
                log: log.clone(),
                refused: None,
            };
            rounds.push(outcomes.into_iter().map(told).collect::<Vec<_>>());
        }
        Ok(rounds)
    });
    stop(&mut servers);
    let log = machine::logs(&servers, &Arc::new(Mutex::new(Vec::new())));
    let rounds = rounds.map_err(|error| format!("{error}\n{log}"))?;
    let told = |outcome: Outcome| Outcome {
        log: outcome.log.clone() + &log,
        ..outcome
    };
    Ok(rounds
        .into_iter()
        .map(|round| round.into_iter().map(told).collect())
        .collect())
}

/// The addresses, and each machine's files.
fn furnish(folder: &Path, stack: &Stack) -> Result<(), String> {
    let machines = stack.programs.iter().map(|program| program.address);
    let clients = stack.knocks.iter().map(|knock| knock.from);
    let addresses: BTreeSet<Ipv4Addr> = machines.chain(clients).collect();
    for address in addresses.iter().filter(|address| !address.is_loopback()) {
        execute(&[
            "ip",
            "address",
            "add",
            &format!("{address}/32"),
            "dev",
            "lo",
        ])?;
    }
    for program in &stack.programs {
        let own = program.folder(folder);
        for (path, text) in &program.files {
            write(&own.join("files").join(path), text)?;
        }
        let mut hosts = format!("{} localhost\n", program.loopback());
        for (name, address) in &program.names {
            hosts += &format!("{address} {name}\n");
        }
        write(&own.join("hosts"), &hosts)?;
    }
    for (path, text) in &stack.shared {
        write(Path::new(path), text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let say = |error| format!("{}: {error}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(path)).map_err(say)?;
    fs::write(path, text).map_err(say)
}

fn stop(servers: &mut [Server]) {
    for server in servers {
        let _ = server.child.kill();
        let _ = server.child.wait();
    }
}

/// Starts programs at the same time, and waits until each of them listens.
fn start(
    folder: &Path,
    stack: &Stack,
    programs: &[&Program],
    caddy: &str,
    servers: &mut Vec<Server>,
) -> Result<(), String> {
    let mut waiting = Vec::new();
    for program in programs {
        let own = program.folder(folder);
        let home = Home {
            hosts: own.join("hosts"),
            loopback: program.loopback(),
        };
        let case = program.case(stack, caddy);
        let refused = |reason: String| format!("{} refuses: {reason}", program.name);
        let server = match &program.runs {
            Runs::Nginx(main) => {
                nginx::start(&own, &case, &program.proxy(main, home))?.map_err(refused)?
            }
            Runs::Caddy(main) => {
                caddy::start(&own, &case, &program.proxy(main, home))?.map_err(refused)?
            }
            Runs::Command { .. } => command(program, &own, &home)?,
        };
        waiting.push((program, server));
    }
    for (program, mut server) in waiting {
        let ports = program.ports();
        let ready = server.wait(Duration::from_secs(40), || program.listens(&ports));
        let alive = matches!(ready, Ok(true)) && program.listens(&ports);
        let text = server.text();
        servers.push(server);
        if !alive {
            return Err(format!("{} does not start: {text}", program.name));
        }
        if let Runs::Caddy(main) = &program.runs {
            let home = Home {
                hosts: PathBuf::new(),
                loopback: program.loopback(),
            };
            caddy::await_certificates(&program.case(stack, caddy), &program.proxy(main, home));
        }
    }
    Ok(())
}

impl Program {
    /// What tells that a command listens: its port and its sockets; nothing for a proxy, which
    /// opens all of its ports at once.
    fn ports(&self) -> (Option<u16>, Vec<PathBuf>) {
        let Runs::Command {
            words, environment, ..
        } = &self.runs
        else {
            return (None, Vec::new());
        };
        let line = words.join(" ");
        let bound = Regex::new(r"(?:--bind|-b|--port|-p|runserver)[ =](?:\S*:)?(\d+)(?:\s|$)");
        let told = environment.iter().find(|(name, _)| name == "PORT");
        let port = bound
            .ok()
            .and_then(|bound| bound.captures(&line)?[1].parse().ok())
            .or_else(|| told?.1.parse().ok());
        (port.or(Some(8000)), machine::unix_sockets(&line))
    }

    fn listens(&self, (port, sockets): &(Option<u16>, Vec<PathBuf>)) -> bool {
        let here = |address: Option<Ipv4Addr>| {
            address == Some(self.address)
                || address == Some(self.loopback())
                // A command that names no address.
                || port.is_some() && address == Some(Ipv4Addr::LOCALHOST)
                || port.is_some() && address == Some(Ipv4Addr::UNSPECIFIED)
        };
        let found = machine::sockets()
            .into_iter()
            .any(|(address, at)| here(address) && port.is_none_or(|port| port == at));
        found || sockets.iter().any(|socket| socket.exists())
    }
}

/// Starts a command with its virtual environment before everything else in the path.
fn command(program: &Program, own: &Path, home: &Home) -> Result<Server, String> {
    let Runs::Command {
        words,
        folder,
        environment,
        python,
    } = &program.runs
    else {
        return Err(format!("{} is no command", program.name));
    };
    let root = own.join("files");
    let bin = Path::new(python).join("bin");
    let path = std::env::var("PATH").unwrap_or_default();
    let placed = |text: &str| {
        home.moved(text)
            .replace("0.0.0.0", &program.address.to_string())
    };
    let words = words.iter().map(|word| {
        let inside = root.join(word.trim_start_matches('/'));
        if word.starts_with('/') && inside.is_file() {
            return inside.to_string_lossy().into_owned();
        }
        placed(word)
    });
    for (path, text) in &program.files {
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.ends_with(".sh") || name.starts_with("gunicorn") {
            let path = root.join(path);
            write(&path, &placed(text))?;
            execute(&["chmod", "755", &path.to_string_lossy()])?;
        }
    }
    for socket in program.ports().1 {
        let _ = socket.parent().map(fs::create_dir_all);
    }
    let mut command: Command = home.command();
    command
        .args(words)
        .current_dir(root.join(folder))
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("HOME", own)
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(environment.iter().map(|(name, value)| (name, value)));
    Server::start(&program.name, &mut command, own)
}

fn knock(knock: &Knock) -> Result<Vec<Attempt>, String> {
    let dial = Dial {
        host: knock.address.to_string(),
        port: knock.port,
        tls: knock.tls,
        headers: knock.headers.clone(),
        lives: knock.lives,
        patience: Duration::from_secs(knock.silent),
        from: knock.from,
        ..Dial::here(Url::read(&knock.url)?)
    };
    let mut attempts = Vec::new();
    for _ in 0..knock.times {
        attempts.extend(if knock.polls {
            polling::attempts(&dial)
        } else {
            client::attempts(&dial)
        });
    }
    Ok(attempts)
}

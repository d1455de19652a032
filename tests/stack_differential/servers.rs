//! Starts what a project consists of: the proxies, and the servers of its applications.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::project::{Generated, Program};

/// How long a program may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// What starts the servers of applications.
#[derive(Debug)]
pub(crate) struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Python {
    pub(crate) fn start(folder: &Path) -> Self {
        let program = folder.join("servers.py");
        fs::write(&program, include_str!("servers.py")).expect("writable");
        let mut child = Command::new(crate::installed().join("django/bin/python"))
            .args(["-W", "ignore"])
            .arg(program)
            // Where gunicorn puts a socket of its own.
            .env("HOME", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the Python that tests/run installs");
        Self {
            input: child.stdin.take().expect("a pipe"),
            output: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    fn told<T: serde::de::DeserializeOwned>(&mut self, task: &serde_json::Value) -> T {
        writeln!(self.input, "{task}").expect("Python listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("Python answers");
        serde_json::from_str(&line).expect("an answer")
    }
}

/// A project that runs.
#[derive(Debug)]
pub(crate) struct Running {
    proxies: Vec<Child>,
    servers: Vec<u32>,
}

/// Where a project's files lie while it runs, and what they call `/srv`.
pub(crate) fn place(folder: &Path, generated: &Generated) -> PathBuf {
    let root = folder.join("project");
    let _ = fs::remove_dir_all(&root);
    let srv = folder.join("srv");
    for (path, text) in &generated.files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        let text = text.replace("/srv/", &format!("{}/", srv.display()));
        fs::write(path, text).expect("writable");
    }
    root
}

/// Certificates and the files that are served.
pub(crate) fn furnish(folder: &Path) {
    let srv = folder.join("srv");
    for name in ["certificates", "site/static"] {
        fs::create_dir_all(srv.join(name)).expect("writable");
    }
    for name in ["index.html", "50x.html", "static/x.js"] {
        fs::write(srv.join("site").join(name), "x\n").expect("writable");
    }
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=chat.example.com".split(' '))
        .args(["-addext", "subjectAltName=DNS:example.com,DNS:*.example.com,DNS:localhost,DNS:other.example.net,IP:127.0.0.1"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(srv.join("certificates"))
        .output();
    assert!(
        made.is_ok_and(|output| output.status.success()),
        "apt-get install openssl"
    );
    let readable = Command::new("chmod")
        .args(["-R", "a+rX"])
        .arg(folder)
        .status();
    assert!(readable.is_ok_and(|status| status.success()));
}

impl Running {
    /// Starts all; the error is what one of them says that does not start.
    pub(crate) fn start(
        folder: &Path,
        caddy: &Path,
        python: &mut Python,
        generated: &Generated,
    ) -> Result<Self, String> {
        let root = place(folder, generated);
        let mut running = Self {
            proxies: Vec::new(),
            servers: Vec::new(),
        };
        let started = running.start_all(folder, &root, caddy, python, generated);
        match started {
            Ok(()) => Ok(running),
            Err(why) => {
                running.stop(python);
                Err(why)
            }
        }
    }

    fn start_all(
        &mut self,
        folder: &Path,
        root: &Path,
        caddy: &Path,
        python: &mut Python,
        generated: &Generated,
    ) -> Result<(), String> {
        let mut awaited: Vec<(u16, PathBuf, Option<usize>)> = Vec::new();
        for (number, program) in generated.programs.iter().enumerate() {
            let log = folder.join(format!("{number}.log"));
            let proxy = |mut command: Command| {
                let errors = fs::File::create(&log).expect("writable");
                command
                    .env("HOME", folder)
                    .env("XDG_DATA_HOME", folder)
                    .env("XDG_CONFIG_HOME", folder)
                    .env("CADDY_ADMIN", format!("127.0.0.1:{}", 2019 + number))
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(errors)
                    .spawn()
                    .expect("tests/run installs it")
            };
            let port = match program {
                Program::Nginx(file, port) => {
                    let mut command = Command::new("/usr/sbin/nginx");
                    command.arg("-p").arg(folder).arg("-c").arg(root.join(file)).args([
                        "-g",
                        &format!("daemon off; master_process off; pid {number}.pid; error_log stderr error; user root;"),
                    ]);
                    self.proxies.push(proxy(command));
                    *port
                }
                Program::Caddy(file, port) => {
                    let mut command = Command::new(caddy);
                    command
                        .args(["run", "--adapter", "caddyfile", "--config"])
                        .arg(root.join(file));
                    self.proxies.push(proxy(command));
                    *port
                }
                Program::Server {
                    folder: own,
                    command,
                    port,
                } => {
                    let words: Vec<String> = command
                        .split(' ')
                        .map(|word| word.replace('\'', ""))
                        .collect();
                    let child: u32 = python.told(&json!({
                        "words": words,
                        "folder": root.join(own),
                        "log": log,
                    }));
                    self.servers.push(child);
                    awaited.push((*port, log, None));
                    continue;
                }
            };
            // Caddy's redirect to https listens last.
            if matches!(program, Program::Caddy(..)) && port == 443 {
                awaited.push((80, log.clone(), Some(self.proxies.len() - 1)));
            }
            awaited.push((port, log, Some(self.proxies.len() - 1)));
        }
        for (port, log, proxy) in awaited {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let is_there = match proxy {
                    Some(_) => TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok(),
                    None => answers(port),
                };
                if is_there {
                    break;
                }
                let ended = match proxy {
                    Some(proxy) => self.proxies[proxy]
                        .try_wait()
                        .is_ok_and(|ended| ended.is_some()),
                    None => false,
                };
                if ended || Instant::now() > deadline {
                    let log = fs::read(&log).unwrap_or_default();
                    return Err(format!("port {port}: {}", String::from_utf8_lossy(&log)));
                }
                std::thread::sleep(Duration::from_millis(3));
            }
        }
        Ok(())
    }

    /// Ends all.
    pub(crate) fn stop(mut self, python: &mut Python) {
        for child in &mut self.proxies {
            let _ = child.kill();
            let _ = child.wait();
        }
        let () = python.told(&json!({ "stop": self.servers }));
    }
}

/// Whether an HTTP server answers there, whatever it says.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let asked = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
    asked.is_ok() && stream.read(&mut [0]).is_ok_and(|read| read == 1)
}

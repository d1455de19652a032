//! One process's part: generate, run nginx, ask the library, compare.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wslint::handshake::{Browser, Hop, Judged, Outcome, Reply, Request, Upstream, judge};
use wslint::nginx::{self, Model};
use wslint::project::Project;

use crate::configuration::{self, Generated};
use crate::differential::{Bench, Found, Server};

use crate::generate;
use crate::servers;
use crate::socket::client::{self, Dial};
use crate::socket::{Attempt, Url, upstream};

/// How long nginx may take to load a configuration.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a request that nobody waits for takes to arrive.
const STRAYS: Duration = Duration::from_millis(20);

/// Attempts to make a disagreement smaller.
const CUTS: usize = 400;

/// nginx in its sandbox, with what stands behind it.
pub(crate) struct Nginx {
    folder: PathBuf,
    version: [u32; 3],
    running: Child,
    log: upstream::Log,
    /// Addresses that were given out.
    addresses: u32,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

impl Bench for Nginx {
    fn compare(&mut self, seeds: Range<u64>, found: &mut Found) {
        let batch: Vec<Generated> = seeds.map(generate::configuration).collect();
        let all: Vec<&Generated> = batch.iter().collect();
        found.configurations += batch.len() as u64;
        let mut wrong = Vec::new();
        let mut examine = |this: &Self, address, generated: &Generated, found: &mut Found| {
            let differs = this.differs(address, generated, found);
            wrong.extend(differs.map(|what| (generated.clone(), what)));
        };
        match self.load(&all) {
            Ok(addresses) => {
                for (address, generated) in addresses.into_iter().zip(&batch) {
                    examine(self, address, generated, found);
                }
            }
            // One of them is refused, and the others with it.
            Err(_) => {
                for generated in &batch {
                    match self.load(&[generated]) {
                        Ok(addresses) => examine(self, addresses[0], generated, found),
                        Err(why) => found.refused(generated.seed, &why),
                    }
                }
            }
        }
        for (generated, what) in wrong {
            let (small, what) = self.minimised(generated, what);
            let told = format!("seed {}: {what}\n{}", small.seed, small.text());
            found.disagreements.push(told);
        }
    }
}

/// Certificates and the files that are served.
fn furnish(folder: &Path) {
    for name in ["conf", "logs", "site/assets"] {
        fs::create_dir_all(folder.join(name)).expect("writable");
    }
    for name in ["index.html", "404.html", "50x.html", "assets/app.js"] {
        fs::write(folder.join("site").join(name), "x\n").expect("writable");
    }
    // Everyone is refused: no password fits.
    fs::write(folder.join("conf/users"), "nobody:*\n").expect("writable");
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=a.test".split(' '))
        .args(["-keyout", "conf/key.pem", "-out", "conf/cert.pem"])
        .current_dir(folder)
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

impl Nginx {
    pub(crate) fn start(server: &Server, folder: &Path) -> Self {
        furnish(folder);
        fs::write(folder.join("conf/nginx.conf"), "events {}\nhttp {}\n").expect("writable");
        let log = fs::File::create(folder.join("logs/stderr.log")).expect("writable");
        let running = Command::new(&server.program)
            .arg("-p")
            .arg(folder)
            .args(["-c", "conf/nginx.conf", "-g"])
            .arg("daemon off; pid nginx.pid; error_log stderr error; user root;")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("nginx");
        // It takes signals once it says its id.
        let deadline = Instant::now() + PATIENCE;
        while !folder.join("nginx.pid").exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        Self {
            folder: folder.to_owned(),
            version: server.version,
            running,
            log: servers::start().expect("free ports"),
            addresses: 0,
        }
    }

    /// Has nginx load these; where each of them listens. The error is its refusal.
    fn load(&mut self, batch: &[&Generated]) -> Result<Vec<Ipv4Addr>, String> {
        let addresses: Vec<Ipv4Addr> = batch
            .iter()
            .map(|_| {
                self.addresses += 1;
                let [_, a, b, c] = self.addresses.to_be_bytes();
                Ipv4Addr::new(127, a + 1, b, c)
            })
            .collect();
        let placed: Vec<_> = addresses
            .iter()
            .copied()
            .zip(batch.iter().copied())
            .collect();
        for (path, text) in configuration::together(&placed) {
            let path = self.folder.join("conf").join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            let text = text.replace("/srv/site", &format!("{}/site", self.folder.display()));
            fs::write(path, text).expect("writable");
        }
        let log = self.folder.join("logs/stderr.log");
        let written = fs::metadata(&log).map_or(0, |log| log.len() as usize);
        let told = Command::new("kill")
            .args(["-HUP", &self.running.id().to_string()])
            .status();
        assert!(told.is_ok_and(|status| status.success()), "nginx is gone");
        // Nothing listened at these addresses before.
        let mut awaited: Vec<(Ipv4Addr, u16)> = placed
            .iter()
            .flat_map(|(address, generated)| {
                generated.ports().into_iter().map(|port| (*address, port))
            })
            .collect();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            awaited.retain(|place| TcpStream::connect(place).is_err());
            if awaited.is_empty() {
                return Ok(addresses);
            }
            let log = fs::read(&log).unwrap_or_default();
            let log = String::from_utf8_lossy(log.get(written..).unwrap_or_default()).into_owned();
            if let Some(refusal) = log.lines().find(|line| line.contains("[emerg]")) {
                return Err(refusal.to_owned());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err("nginx does not listen".to_owned())
    }

    /// What differs, if anything.
    fn differs(
        &self,
        address: Ipv4Addr,
        generated: &Generated,
        found: &mut Found,
    ) -> Option<String> {
        let attempts = self.real(address, generated);
        let files = generated.files();
        let borrowed = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()));
        let project = Project::in_memory(borrowed).expect("no wslint.toml");
        let model = Model::resolve(&project);
        let hop = nginx::hop::Nginx {
            view: model.view(0),
            target: Some(self.version),
        };
        // What nginx does not wait for arrives whenever it likes.
        let text = generated.text();
        let ordered = !text.contains("_timeout 0");
        let beside = sends_beside(generated);
        let mut attempts = attempts.into_iter();
        let mut differs = None;
        for url in &generated.urls {
            let url = Url::read(url).expect("a URL");
            for browser in Browser::ALL {
                let (attempt, seen) = attempts.next()?;
                let request =
                    Request::handshake(browser, url.tls, &url.host, url.port, &url.target);
                let passage = hop.receive(&request);
                found.handshakes += 1;
                found.opened += u64::from(attempt.opens);
                let seen_by = Upstreams {
                    seen: &seen,
                    ordered,
                    beside,
                    authorises: text.contains("auth_request /"),
                };
                let verdict = verdict(&passage.outcome, &attempt, Some(seen_by));
                match verdict {
                    Verdict::Same => {}
                    Verdict::Undecided(why) => found.undecided(generated.seed, &why),
                    Verdict::Differs(what) => {
                        let story: Vec<_> = passage
                            .because
                            .iter()
                            .map(|because| {
                                format!("  `{}` {}", project.slice(because.span), because.message)
                            })
                            .collect();
                        differs.get_or_insert(format!(
                            "{}://{}{} as {}: {what}\nnginx: {}{}\nwslint:\n{}\n",
                            if url.tls { "wss" } else { "ws" },
                            url.authority(),
                            url.target,
                            browser.name(),
                            attempt.describe(),
                            seen.iter()
                                .map(|seen| format!("; {seen}"))
                                .collect::<String>(),
                            story.join("\n"),
                        ));
                    }
                }
            }
        }
        differs
    }

    /// Sends every handshake; with what the upstream saw.
    fn real(&self, address: Ipv4Addr, generated: &Generated) -> Vec<(Attempt, Vec<String>)> {
        let mut attempts = Vec::new();
        let beside = sends_beside(generated);
        for url in &generated.urls {
            for browser in Browser::ALL {
                // No two configurations have one address.
                let number = format!("{address}-{}", attempts.len());
                let dial = Dial {
                    host: address.to_string(),
                    headers: vec![("X-Attempt".to_owned(), number.clone())],
                    ..Dial::here(Url::read(url).expect("a URL"))
                };
                if let Ok(mut log) = self.log.lock() {
                    log.clear();
                }
                let attempt = client::attempt(browser.name(), &dial);
                if beside {
                    // What a mirror sends need not be there yet.
                    std::thread::sleep(STRAYS);
                }
                let seen = self.log.lock().map(|log| log.clone());
                let mut seen = seen.unwrap_or_default();
                // A mirror may send what an earlier attempt was answered without.
                let own = format!("x-attempt: {number} ");
                seen.retain(|seen| !seen.contains("x-attempt: ") || seen.contains(&own));
                attempts.push((attempt, seen));
            }
        }
        attempts
    }

    /// The same disagreement with fewer lines: the same URL, with the same answers.
    fn minimised(&mut self, mut generated: Generated, mut what: String) -> (Generated, String) {
        // All but the number of the attempt.
        let answers = |what: &str| {
            let told = what.lines().take(2).flat_map(|line| line.split(" | "));
            let told = told.map(|part| match part.strip_prefix("x-attempt: ") {
                Some(attempt) => attempt.split_once(' ').map_or("", |(_, answer)| answer),
                None => part,
            });
            told.map(str::to_owned).collect::<Vec<_>>()
        };
        let wanted = answers(&what);
        let mut at = 0;
        for _ in 0..CUTS {
            if at >= generated.len() {
                break;
            }
            let smaller = generated.without(at);
            if smaller.ports().is_empty() {
                // Nothing would show that nginx has loaded it.
                at += 1;
                continue;
            }
            let still = self
                .load(&[&smaller])
                .ok()
                .and_then(|addresses| self.differs(addresses[0], &smaller, &mut Found::default()));
            match still {
                Some(still) if answers(&still) == wanted => (generated, what) = (smaller, still),
                _ => at += 1,
            }
        }
        (generated, what)
    }
}

/// Whether requests of a mirror may reach the upstream beside the client's own.
fn sends_beside(generated: &Generated) -> bool {
    generated.text().contains("mirror /")
}

enum Verdict {
    Same,
    Undecided(String),
    Differs(String),
}

/// What reached the upstream.
#[derive(Clone, Copy)]
struct Upstreams<'a> {
    seen: &'a [String],
    /// It is there in time; else more may come.
    ordered: bool,
    /// A mirror may send requests of its own there.
    beside: bool,
    /// `auth_request` may.
    authorises: bool,
}

/// Whether what the library says is what nginx did.
fn verdict(outcome: &Outcome, real: &Attempt, upstream: Option<Upstreams<'_>>) -> Verdict {
    let differs = |expected: String| Verdict::Differs(format!("wslint expects {expected}"));
    let (to, request, reply, refused) = match outcome {
        Outcome::Undecided { why } => return Verdict::Undecided(why.clone()),
        Outcome::Answers { status } if *status == real.status && !real.opens => {
            let in_time = upstream.filter(|upstream| upstream.ordered);
            let asks = in_time.is_some_and(|upstream| {
                upstream.seen.iter().any(|seen| match status {
                    // What `auth_request` asks fails, or is allowed.
                    None | Some(500) => false,
                    // A page of its refusal is asked for in its place, and refuses with another status.
                    Some(401 | 403) if upstream.authorises => answer(seen) == *status,
                    _ if answer(seen) == Some(200) => false,
                    Some(status) => !upstream.beside || answer(seen) == Some(*status),
                })
            });
            return match asks {
                true => differs(format!(
                    "{status:?} from nginx itself, not from the upstream"
                )),
                false => Verdict::Same,
            };
        }
        Outcome::Answers { status } => return differs(format!("{status:?} from nginx itself")),
        Outcome::Forwards {
            to,
            request,
            reply,
            refused,
            ..
        } => (to, request, reply, refused),
    };
    let port = |port| {
        let is_there = |to: &Upstream| to.port.known() == Some(&port);
        to.iter().all(is_there)
    };
    // What the upstream answered; the other servers keep no log.
    let mut answered = None;
    if let Some(upstream) = upstream.filter(|_| port(servers::WEBSOCKET)) {
        let query = request.query.as_deref().map(|query| format!("?{query}"));
        let line = format!(
            "got {} {}{} ",
            request.method,
            request.path,
            query.unwrap_or_default()
        );
        // What `auth_request` asks comes first. What a page asks in place of a refusal comes last,
        // and may be the same line; to what is lost no upstream says 101.
        let is_lost = matches!(judge(request), Judged::Lost(_));
        let is_it =
            |seen: &&String| seen.contains(&line) && !(is_lost && answer(seen) == Some(101));
        // What a mirror sends may be the same line, too.
        let of_client = |seen: &&String| answer(seen) == real.status;
        let mut of_client = upstream.seen.iter().filter(is_it).filter(of_client);
        let it = of_client.next().filter(|_| upstream.beside);
        match it.or_else(|| upstream.seen.iter().rfind(is_it)) {
            Some(seen) => answered = answer(seen),
            // The mirror's 101 may close the connection before.
            None if upstream.beside
                && matches!(
                    reply,
                    Reply::Replaced { status: None } | Reply::Undecided { .. }
                ) => {}
            None if !upstream.ordered => {}
            None => return differs(format!("that the upstream {line}")),
        }
    } else if port(servers::UWSGI) || port(servers::SCGI) {
        answered = Some(400);
    }
    match (judge(request), reply) {
        (_, Reply::Undecided { why }) => Verdict::Undecided(why.clone()),
        (Judged::Undecided(why, _), _) => Verdict::Undecided(why),
        // What stands in place of this very refusal is judged as it stands.
        (Judged::Lost(_), _)
            if let Some((_, instead)) =
                refused.iter().find(|(status, _)| Some(*status) == answered) =>
        {
            // The refusal itself has been seen.
            let upstream = upstream.filter(|_| matches!(instead, Outcome::Forwards { .. }));
            verdict(instead, real, upstream)
        }
        (
            _,
            Reply::Replaced {
                status: Some(status),
            },
        ) => match real.status == Some(*status) && !real.opens {
            true => Verdict::Same,
            false => differs(format!("{status} in place of the upstream's answer")),
        },
        (_, Reply::Replaced { status: None }) => match real.opens {
            false => Verdict::Same,
            true => differs("that nothing opens".to_owned()),
        },
        (Judged::Opens, Reply::Intact | Reply::Closing { .. }) => match real.opens {
            true => Verdict::Same,
            false => differs("an open socket".to_owned()),
        },
        (Judged::Lost(lost), _) => match (real.status, answered) {
            (Some(status), Some(answered)) if status == answered => Verdict::Same,
            (Some(400 | 405 | 426), None) => Verdict::Same,
            _ => differs(format!(
                "a refusal by the upstream ({answered:?}): {lost:?}"
            )),
        },
        (_, Reply::Spoiled { .. }) | (Judged::Spoiled(_), _) => {
            match real.status == Some(101) && !real.opens {
                true => Verdict::Same,
                false => differs("a 101 that a browser refuses".to_owned()),
            }
        }
    }
}

/// The status in a line of the upstream's log.
fn answer(seen: &str) -> Option<u16> {
    let (_, answer) = seen.split_once(" -> ")?;
    answer.split(' ').next()?.parse().ok()
}

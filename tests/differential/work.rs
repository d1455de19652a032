//! One process's part: generate, run nginx, ask the library, compare.

use std::fs;
use std::net::TcpStream;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wslint::handshake::{Browser, Hop, Judged, Outcome, Reply, Request, judge};
use wslint::nginx::{self, Model};
use wslint::project::Project;

use crate::differential::{Bench, Found, Server};
use crate::generate::{self, Generated};
use crate::servers;
use crate::socket::client::{self, Dial};
use crate::socket::{Attempt, Url, upstream};

/// Attempts to make a disagreement smaller.
const CUTS: usize = 400;

/// nginx in its sandbox, with what stands behind it.
pub(crate) struct Nginx {
    folder: PathBuf,
    server: Server,
    log: upstream::Log,
}

impl Bench for Nginx {
    fn compare(&mut self, seeds: Range<u64>, found: &mut Found) {
        for seed in seeds {
            let generated = generate::configuration(seed);
            found.configurations += 1;
            match self.one(seed, &generated, found) {
                Ok(None) => {}
                Ok(Some(what)) => {
                    let (small, what) = self.minimised(generated, what);
                    let told = format!("seed {seed}: {what}\n{}", small.text());
                    found.disagreements.push(told);
                }
                Err(why) => found.refused(seed, &why),
            }
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
        Self {
            folder: folder.to_owned(),
            server: server.clone(),
            log: servers::start().expect("free ports"),
        }
    }

    /// What differs, if anything; the error is nginx's refusal.
    fn one(
        &self,
        seed: u64,
        generated: &Generated,
        found: &mut Found,
    ) -> Result<Option<String>, String> {
        let attempts = self.real(generated)?;
        let files = generated.files();
        let borrowed = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()));
        let project = Project::in_memory(borrowed).expect("no wslint.toml");
        let model = Model::resolve(&project);
        let hop = nginx::hop::Nginx {
            view: model.view(0),
            target: Some(self.server.version),
        };
        // What a mirror sends, or nginx does not wait for, arrives whenever it likes.
        let text = generated.text();
        let ordered = !text.contains("mirror /") && !text.contains("_timeout 0");
        let mut attempts = attempts.into_iter();
        let mut differs = None;
        for url in &generated.urls {
            let url = Url::read(url).expect("a URL");
            for browser in Browser::ALL {
                let Some((attempt, seen)) = attempts.next() else {
                    return Ok(differs);
                };
                let request =
                    Request::handshake(browser, url.tls, &url.host, url.port, &url.target);
                let passage = hop.receive(&request);
                found.handshakes += 1;
                found.opened += u64::from(attempt.opens);
                let asked = seen.as_deref().filter(|_| ordered);
                let mut verdict = verdict(&passage.outcome, &attempt, asked);
                // What becomes of the upstream's refusal then is another request's story.
                if !attempt.opens && generated.text().contains("proxy_intercept_errors") {
                    verdict = Verdict::Same;
                }
                // Rewrites may lead what `auth_request` asks to the socket server, which is then
                // taken to allow it.
                let mut because = passage.because.iter();
                if matches!(attempt.status, Some(500) | None)
                    && because.any(|because| because.message.starts_with("asks a server"))
                {
                    verdict = Verdict::Undecided("an authentication server".to_owned());
                }
                match verdict {
                    Verdict::Same => {}
                    Verdict::Undecided(why) => found.undecided(seed, &why),
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
                            seen.map(|seen| format!("; {seen}")).unwrap_or_default(),
                            story.join("\n"),
                        ));
                    }
                }
            }
        }
        Ok(differs)
    }

    /// Runs nginx and sends every handshake; with what the upstream saw.
    fn real(&self, generated: &Generated) -> Result<Vec<(Attempt, Option<String>)>, String> {
        for (path, text) in generated.files() {
            let path = self.folder.join("conf").join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            let text = text.replace("/srv/site", &format!("{}/site", self.folder.display()));
            fs::write(path, text).expect("writable");
        }
        let _running = self.running(generated)?;
        let mut attempts = Vec::new();
        for url in &generated.urls {
            let url = Url::read(url).expect("a URL");
            for browser in Browser::ALL {
                if let Ok(mut log) = self.log.lock() {
                    log.clear();
                }
                let dial = Dial::here(url.clone());
                let attempt = client::attempt(browser.name(), &dial);
                if attempt.note.contains("refused") {
                    return Err(format!("nothing listens on port {}", url.port));
                }
                // What `auth_request` asks comes before it.
                let seen = self.log.lock().ok().and_then(|log| log.last().cloned());
                attempts.push((attempt, seen));
            }
        }
        Ok(attempts)
    }

    fn running(&self, generated: &Generated) -> Result<Running, String> {
        let log = self.folder.join("logs/stderr.log");
        let output = fs::File::create(&log).map_err(|error| error.to_string())?;
        let child = Command::new(&self.server.program)
            .arg("-p")
            .arg(&self.folder)
            .args(["-c", "conf/nginx.conf", "-g"])
            .arg(
                "daemon off; master_process off; pid nginx.pid; error_log stderr error; user root;",
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut running = Running(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut open = false;
        while Instant::now() < deadline {
            if running.0.try_wait().is_ok_and(|status| status.is_some()) {
                return Err(fs::read_to_string(&log).unwrap_or_default());
            }
            open = generated
                .ports()
                .iter()
                .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok());
            if open {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if open {
            Ok(running)
        } else {
            Err("nginx does not listen".to_owned())
        }
    }

    /// The same disagreement with fewer lines: the same URL, with the same answers.
    fn minimised(&self, mut generated: Generated, mut what: String) -> (Generated, String) {
        let answers = |what: &str| what.lines().take(2).map(str::to_owned).collect::<Vec<_>>();
        let wanted = answers(&what);
        let mut at = 0;
        for _ in 0..CUTS {
            if at >= generated.len() {
                break;
            }
            let smaller = generated.without(at);
            match self.one(0, &smaller, &mut Found::default()) {
                Ok(Some(still)) if answers(&still) == wanted => {
                    (generated, what) = (smaller, still)
                }
                _ => at += 1,
            }
        }
        (generated, what)
    }
}

/// nginx, which ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

enum Verdict {
    Same,
    Undecided(String),
    Differs(String),
}

/// Whether what the library says is what nginx did.
fn verdict(outcome: &Outcome, real: &Attempt, seen: Option<&str>) -> Verdict {
    let differs = |expected: String| Verdict::Differs(format!("wslint expects {expected}"));
    let (request, reply) = match outcome {
        Outcome::Undecided { why } => return Verdict::Undecided(why.clone()),
        Outcome::Answers { status } if *status == real.status && !real.opens => {
            return match seen {
                Some(_) if *status != Some(500) && status.is_some() => differs(format!(
                    "{status:?} from nginx itself, not from the upstream"
                )),
                _ => Verdict::Same,
            };
        }
        Outcome::Answers { status } => return differs(format!("{status:?} from nginx itself")),
        Outcome::Forwards { request, reply, .. } => (request, reply),
    };
    if let Some(seen) = seen {
        let query = request.query.as_deref().map(|query| format!("?{query}"));
        let line = format!(
            "got {} {}{} ",
            request.method,
            request.path,
            query.unwrap_or_default()
        );
        if !seen.contains(&line) {
            return differs(format!("that the upstream {line}"));
        }
    }
    match (judge(request), reply) {
        (_, Reply::Undecided { why }) => Verdict::Undecided(why.clone()),
        (Judged::Undecided(why, _), _) => Verdict::Undecided(why),
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
        // Servers differ in whether they take no Host, or two.
        (Judged::Opens, Reply::Intact) if !real.opens && request.lines("host").count() != 1 => {
            Verdict::Undecided("not exactly one Host".to_owned())
        }
        (Judged::Opens, Reply::Intact) => match real.opens {
            true => Verdict::Same,
            false => differs("an open socket".to_owned()),
        },
        (Judged::Lost(lost), _) => match real.status {
            Some(400 | 405 | 426) if !real.opens => Verdict::Same,
            _ => differs(format!("a refusal by the upstream: {lost:?}")),
        },
        (_, Reply::Spoiled) | (Judged::Spoiled(_), _) => {
            match real.status == Some(101) && !real.opens {
                true => Verdict::Same,
                false => differs("a 101 that a browser refuses".to_owned()),
            }
        }
    }
}

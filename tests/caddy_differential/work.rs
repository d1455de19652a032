//! One process's part: generate, load into Caddy, ask the library, compare.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wslint::context::Context;
use wslint::handshake::{Browser, Judged, Outcome, Request, judge};
use wslint::project::Project;
use wslint::stack::Stack;
use wslint::trace::{self, Tracer};

use crate::differential::{Bench, Found, Server};
use crate::generate::{self, Generated};
use crate::socket::client::{self, Dial};
use crate::socket::{Url, upstream};

/// What hangs longer than this hangs.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long Caddy may take to change over to a new configuration.
const SETTLED: Duration = Duration::from_secs(5);

/// The ports of the WebSocket servers.
const BEHIND: [u16; 2] = [8000, 8001];

/// The files that sites serve; one of them lies where a socket is asked for.
const SITE: [(&str, &str); 2] = [
    ("site/index.html", "x\n"),
    ("site/app/live/websocket", "x\n"),
];

/// What sets the variable of a generated address, for Caddy as for wslint.
const UNIT: (&str, &str) = (
    "caddy.service",
    "[Service]\nEnvironment=SITE=http://e.test\nExecStart=caddy run --config Caddyfile\n",
);

/// What becomes of one browser's handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Opens,
    /// With this status; `None` where there is none.
    Fails(Option<u16>),
    /// With whatever the upstream says to what reaches it.
    Refused,
    Undecided(String),
}

impl Verdict {
    fn agrees(&self, real: &Self) -> bool {
        match (self, real) {
            (Self::Undecided(_), _) => true,
            (Self::Refused, Self::Fails(_)) => true,
            (one, other) => one == other,
        }
    }
}

/// Caddy in its sandbox, with what stands behind it.
pub(crate) struct Caddy {
    server: Server,
    folder: PathBuf,
    running: Running,
}

/// Caddy, which ends with its test.
struct Running(Child);

impl Running {
    fn start(server: &Server, folder: &Path) -> Self {
        let errors = fs::File::create(folder.join("caddy.log")).expect("writable");
        let caddy = Command::new(&server.program)
            .arg("run")
            .current_dir(folder)
            .env("HOME", folder)
            .env("SITE", "http://e.test")
            .env("XDG_DATA_HOME", folder)
            .env("XDG_CONFIG_HOME", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("Caddy");
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", 2019)).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(caddy)
    }

    fn stop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Caddy {
    pub(crate) fn start(server: &Server, folder: &Path) -> Self {
        for (path, text) in SITE {
            let path = folder.join(path);
            let within = path.parent().expect("a folder");
            fs::create_dir_all(within).expect("writable");
            fs::write(path, text).expect("writable");
        }
        let log = upstream::Log::default();
        let listener = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("free");
        for port in BEHIND {
            upstream::serve(listener(port), &log);
        }
        upstream::serve_gate(listener(8002));
        Self {
            server: server.clone(),
            folder: folder.to_owned(),
            running: Running::start(server, folder),
        }
    }
}

impl Bench for Caddy {
    fn compare(&mut self, seeds: Range<u64>, found: &mut Found) {
        for seed in seeds {
            let folder = self.folder.to_string_lossy();
            let generated = generate::caddyfile(seed, self.server.version, &folder);
            found.configurations += 1;
            match load(&generated.text) {
                Ok(()) => self.sent(seed, &generated, found),
                Err(why) => {
                    found.refused(seed, &format!("{why}\n{}", generated.text));
                    // 2.6.2 ended at times while it changed over; what comes next is to be asked.
                    if TcpStream::connect(("127.0.0.1", 2019)).is_err() {
                        self.running.stop();
                        self.running = Running::start(&self.server, &self.folder);
                    }
                }
            }
        }
    }
}

impl Caddy {
    /// Sends the handshakes of a Caddyfile that is loaded.
    fn sent(&mut self, seed: u64, generated: &Generated, found: &mut Found) {
        let [major, minor, patch] = self.server.version;
        let target = format!("[targets]\ncaddy = \"{major}.{minor}.{patch}\"\n");
        let site = self.folder.join("site");
        let compose = format!(
            "services:\n  caddy:\n    volumes:\n      - ./Caddyfile:/etc/caddy/Caddyfile\n      - ./site:{}\n    environment:\n      - SITE=http://e.test\n",
            site.display()
        );
        let mut files = vec![
            ("wslint.toml", target.as_str()),
            ("Caddyfile", &generated.text),
        ];
        files.extend(SITE);
        files.push(UNIT);
        if generated.contained {
            files.push(("compose.yml", &compose));
        }
        let project = Project::in_memory(files).expect("a project");
        let cx = Context::resolve(&project);
        let stack = Stack::of(&cx);
        let asked = generated.urls.iter().flat_map(|url| {
            let url = Url::read(url).expect("a URL");
            Browser::ALL.map(|browser| {
                let (ours, story) = ours(&cx, &stack, &url, browser);
                let dial = Dial {
                    patience: PATIENCE,
                    ..Dial::here(url.clone())
                };
                Asked {
                    dial,
                    browser,
                    ours,
                    story,
                }
            })
        });
        let asked: Vec<Asked> = asked.collect();
        let mut said = answers(&asked);
        if asked
            .iter()
            .zip(&said)
            .any(|(one, real)| !one.ours.agrees(real))
        {
            // Of a Caddy that knows no other Caddyfile: a certificate that came for an earlier one
            // stays.
            self.running.stop();
            self.running = Running::start(&self.server, &self.folder);
            load(&generated.text).expect("it was loaded before");
            said = answers(&asked);
        }
        for (one, real) in asked.iter().zip(said) {
            found.handshakes += 1;
            found.opened += u64::from(real == Verdict::Opens);
            let story = format!("{}\n{}", generated.text, one.story);
            if let Verdict::Undecided(why) = &one.ours {
                found.undecided(seed, &format!("{why}\n{story}"));
            }
            if !one.ours.agrees(&real) {
                found.disagreements.push(format!(
                    "seed {seed}, {} {:?}: Caddy says {real:?}, wslint {:?}\n{story}\n",
                    one.browser.name(),
                    one.dial.url,
                    one.ours,
                ));
                return;
            }
        }
    }
}

/// One browser's handshake, and what the library says of it.
struct Asked {
    dial: Dial,
    browser: Browser,
    ours: Verdict,
    story: String,
}

/// What Caddy says to each of them, all at the same time.
fn answers(asked: &[Asked]) -> Vec<Verdict> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = asked
            .iter()
            .map(|one| scope.spawn(move || answer(one)))
            .collect();
        let answers = threads.into_iter().map(|thread| thread.join());
        answers.map(|answer| answer.expect("an answer")).collect()
    })
}

/// What Caddy does, once it has settled: it issues certificates in the background, and while it
/// changes over to a new configuration the listeners of the old one still take a connection.
fn answer(asked: &Asked) -> Verdict {
    let deadline = Instant::now() + SETTLED;
    loop {
        let attempt = client::attempt(asked.browser.name(), &asked.dial);
        let real = match attempt.opens {
            true => Verdict::Opens,
            false => Verdict::Fails(attempt.status),
        };
        if asked.ours.agrees(&real) || Instant::now() > deadline {
            return real;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Loads a Caddyfile through the administration port.
fn load(text: &str) -> Result<(), String> {
    let talk = || -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", 2019))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(
            stream,
            "POST /load HTTP/1.1\r\nHost: localhost:2019\r\nContent-Type: text/caddyfile\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = talk().map_err(|error| error.to_string())?;
    if answer.starts_with("HTTP/1.1 200") {
        Ok(())
    } else {
        Err(answer.lines().last().unwrap_or_default().to_owned())
    }
}

/// What the library says, and its story: the trace, of a handshake that arrives as it is sent.
fn ours(cx: &Context<'_>, stack: &Stack<'_>, url: &Url, browser: Browser) -> (Verdict, String) {
    let request = Request::handshake(browser, url.tls, &url.host, url.port, &url.target);
    let mut hops = stack.hops.iter();
    let caddy = hops.position(|hop| hop.layer() == "caddy");
    let run = Tracer::new(cx, stack).arriving(caddy.expect("a Caddyfile"), request);
    let because = run.steps.iter().flat_map(|step| &step.passage.because);
    let story: String = because
        .map(|because| {
            let span = because.span;
            format!("  {}..{}: {}\n", span.start, span.end, because.message)
        })
        .collect();
    let last = run.steps.last();
    let dialled = last.and_then(|step| step.followed.as_ref()?.port.known().copied());
    let last = last.map(|step| &step.passage.outcome);
    let verdict = match (run.verdict, run.status, last) {
        // What a hop makes of a connection that is refused is its own.
        (_, _, Some(Outcome::Forwards { .. }))
            if dialled.is_some_and(|port| !BEHIND.contains(&port)) =>
        {
            Verdict::Refused
        }
        (trace::Verdict::Opens, ..) => Verdict::Opens,
        (trace::Verdict::Undecided, ..) => Verdict::Undecided(run.reasons.join("; ")),
        (trace::Verdict::Fails, None, Some(Outcome::Answers { status: None }))
            if run.steps.len() > 1 =>
        {
            Verdict::Refused
        }
        (trace::Verdict::Fails, None, Some(Outcome::Forwards { request, .. }))
            if matches!(judge(request), Judged::Lost(_)) =>
        {
            Verdict::Refused
        }
        (trace::Verdict::Fails, status, _) => Verdict::Fails(status),
    };
    (verdict, story)
}

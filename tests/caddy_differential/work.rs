//! One process's part: generate, load into Caddy, ask the library, compare.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wslint::caddy::{self, Model};
use wslint::handshake::{Browser, Hop, Judged, Outcome, Reply, Request, judge};
use wslint::project::Project;

use crate::differential::{Bench, Found, Server};
use crate::generate::{self, Generated};
use crate::socket::client::{self, Dial};
use crate::socket::{Url, upstream};

/// What hangs longer than this hangs.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The files that sites serve; one of them lies where a socket is asked for.
const SITE: [(&str, &str); 2] = [
    ("site/index.html", "x\n"),
    ("site/app/live/websocket", "x\n"),
];

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
    _running: Running,
}

/// Caddy, which ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
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
        for port in [8000, 8001] {
            upstream::serve(listener(port), &log);
        }
        upstream::serve_gate(listener(8002));
        let errors = fs::File::create(folder.join("caddy.log")).expect("writable");
        let caddy = Command::new(&server.program)
            .arg("run")
            .current_dir(folder)
            .env("HOME", folder)
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
        Self {
            server: server.clone(),
            folder: folder.to_owned(),
            _running: Running(caddy),
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
                Err(why) => found.refused(seed, &format!("{why}\n{}", generated.text)),
            }
        }
    }
}

impl Caddy {
    /// Sends the handshakes of a Caddyfile that is loaded.
    fn sent(&self, seed: u64, generated: &Generated, found: &mut Found) {
        let [major, minor, patch] = self.server.version;
        let target = format!("[targets]\ncaddy = \"{major}.{minor}.{patch}\"\n");
        let site = self.folder.join("site");
        let compose = format!(
            "services:\n  caddy:\n    volumes:\n      - ./Caddyfile:/etc/caddy/Caddyfile\n      - ./site:{}\n",
            site.display()
        );
        let mut files = vec![
            ("wslint.toml", target.as_str()),
            ("Caddyfile", &generated.text),
        ];
        files.extend(SITE);
        if generated.contained {
            files.push(("compose.yml", &compose));
        }
        compare(seed, generated, &files, found);
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

fn compare(seed: u64, generated: &Generated, files: &[(&str, &str)], found: &mut Found) {
    let project = Project::in_memory(files.iter().copied()).expect("a project");
    let model = Model::resolve(&project);
    for url in &generated.urls {
        let dial = Dial {
            patience: PATIENCE,
            ..Dial::here(Url::read(url).expect("a URL"))
        };
        for browser in Browser::ALL {
            let (ours, story) = ours(&model, &dial.url, browser);
            // Caddy issues certificates in the background, and while it changes over to a new
            // configuration the listeners of the old one still take a connection.
            let deadline = Instant::now() + Duration::from_secs(5);
            let real = loop {
                let real = real(&dial, browser);
                if ours.agrees(&real) || Instant::now() > deadline {
                    break real;
                }
                std::thread::sleep(Duration::from_millis(100));
            };
            found.handshakes += 1;
            found.opened += u64::from(real == Verdict::Opens);
            if let Verdict::Undecided(why) = &ours {
                found.undecided(seed, &format!("{why}\n{story}"));
            }
            if !ours.agrees(&real) {
                found.disagreements.push(format!(
                    "seed {seed}, {} {url}: Caddy says {real:?}, wslint {ours:?}\n{}\n{story}\n",
                    browser.name(),
                    generated.text
                ));
                return;
            }
        }
    }
}

/// What the library says, and its story.
fn ours(model: &Model, url: &Url, browser: Browser) -> (Verdict, String) {
    let config = &model.configs[0];
    let hop = caddy::Caddy { config };
    let mut request = Request::handshake(browser, url.tls, &url.host, url.port, &url.target);
    let mut story = String::new();
    let mut replies = Vec::new();
    let mut refusals = Vec::new();
    for number in 0..4 {
        let passage = hop.receive(&request);
        for because in &passage.because {
            story += &format!(
                "  {}..{}: {}\n",
                because.span.start, because.span.end, because.message
            );
        }
        let (to, sent, reply, refused) = match passage.outcome {
            // What the outer hop makes of a connection that is refused is its own.
            Outcome::Answers { status: None } if number > 0 => return (Verdict::Refused, story),
            Outcome::Answers { status } => return (refusal(status, &refusals), story),
            Outcome::Undecided { why } => return (Verdict::Undecided(why), story),
            Outcome::Forwards {
                to,
                request,
                reply,
                refused,
                ..
            } => (to, request, reply, refused),
        };
        replies.push(reply);
        refusals.push(refused);
        let first = to.first().and_then(|to| Some((to, *to.port.known()?)));
        // A site of the same Caddyfile is a hop of its own.
        let inner = first.filter(|(_, port)| ![8000, 8001].contains(port));
        if let Some((upstream, port)) = inner {
            match sent.arriving(upstream, port) {
                Some(next) => request = next,
                None => {
                    return (
                        Verdict::Undecided("the Host is not known".to_owned()),
                        story,
                    );
                }
            }
            continue;
        }
        return match judge(&sent) {
            Judged::Opens => (back(&replies), story),
            Judged::Lost(_) => (Verdict::Refused, story),
            Judged::Spoiled(_) => (Verdict::Fails(Some(101)), story),
            Judged::Undecided(why, _) => (Verdict::Undecided(why), story),
        };
    }
    (
        Verdict::Undecided("it goes round and round".to_owned()),
        story,
    )
}

/// What becomes of a refusal on the way back, the innermost hop first.
fn refusal(mut status: Option<u16>, hops: &[Vec<(u16, Outcome)>]) -> Verdict {
    for refused in hops.iter().rev() {
        let instead = refused.iter().find(|(code, _)| Some(*code) == status);
        match instead {
            Some((_, Outcome::Answers { status: instead })) => status = *instead,
            Some(_) => return Verdict::Undecided("what takes the refusal's place".to_owned()),
            None => {}
        }
    }
    Verdict::Fails(status)
}

/// What is left of a 101 on the way back, the innermost hop first.
fn back(replies: &[Reply]) -> Verdict {
    for reply in replies.iter().rev() {
        match reply {
            Reply::Intact => {}
            Reply::Replaced { status } => return Verdict::Fails(*status),
            Reply::Spoiled => return Verdict::Fails(Some(101)),
            Reply::Undecided { why } => return Verdict::Undecided(why.clone()),
        }
    }
    Verdict::Opens
}

/// What Caddy does.
fn real(dial: &Dial, browser: Browser) -> Verdict {
    let attempt = client::attempt(browser.name(), dial);
    match attempt.opens {
        true => Verdict::Opens,
        false => Verdict::Fails(attempt.status),
    }
}

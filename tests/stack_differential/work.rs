//! One process's part: generate, run the stack, ask the library, compare.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use wslint::check::{self, Selection};
use wslint::context::Context;
use wslint::handshake::{Browser, Request};
use wslint::project::Project;
use wslint::rule::Severity;
use wslint::source::Span;
use wslint::stack::Stack;
use wslint::trace::{Run, Target, Tracer, Verdict, Way};
use wslint::value::Value;

use crate::differential::{Bench, Found, Server};
use crate::project::{self, Asked, Generated};
use crate::servers::{self, Python, Running};
use crate::socket::client::{self, Dial};
use crate::socket::{Attempt, Url};

/// What hangs longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a browser tries at least where servers are chosen from.
const TRIES: u8 = 3;

/// How often it tries at most, until each of them was met.
const MOST_TRIES: u8 = 32;

/// How long a process tries to make its disagreements smaller.
const CUTTING: Duration = Duration::from_secs(30);

/// The stacks of one process.
pub(crate) struct Stacks {
    caddy: Server,
    nginx: [u32; 3],
    folder: PathBuf,
    python: Python,
    /// What is left of [`CUTTING`].
    cutting: Duration,
}

/// Where clients connect from, as the number of their try says: nginx chooses by the first three
/// bytes.
fn client(balancer: bool, number: u8) -> Ipv4Addr {
    match balancer {
        true => Ipv4Addr::new(10, 0, 1 + number, 5),
        false => Ipv4Addr::new(203, 0, 100 + number, 9),
    }
}

impl Stacks {
    pub(crate) fn start(server: &Server, folder: &Path) -> Self {
        servers::furnish(folder);
        let mut addresses = String::new();
        for number in 0..MOST_TRIES {
            for balancer in [true, false] {
                addresses += &format!("address add {}/32 dev lo\n", client(balancer, number));
            }
        }
        let batch = folder.join("addresses");
        std::fs::write(&batch, addresses).expect("writable");
        let added = Command::new("ip").arg("-batch").arg(batch).status();
        assert!(added.is_ok_and(|status| status.success()));
        let nginx = Server::installed("nginx", Path::new("/usr/sbin/nginx"), "-v");
        Self {
            caddy: server.clone(),
            nginx: nginx.expect("tests/run installs nginx").version,
            folder: folder.to_owned(),
            python: Python::start(folder),
            cutting: CUTTING,
        }
    }
}

/// What a browser met, each time.
type Met = Vec<Attempt>;

impl Bench for Stacks {
    fn compare(&mut self, seeds: Range<u64>, found: &mut Found) {
        for seed in seeds {
            let generated = project::generate(seed, self.caddy.version, self.nginx);
            found.configurations += 1;
            let Some((mut what, kind)) = self.differs(&generated, found) else {
                continue;
            };
            let mut small = generated;
            self.minimise(&mut small, &mut what, &kind);
            let files: String = small
                .files
                .iter()
                .filter(|(path, _)| !path.ends_with("requirements.txt"))
                .map(|(path, text)| format!("--- {path}\n{text}"))
                .collect();
            found
                .disagreements
                .push(format!("seed {seed}: {what}\n{files}"));
        }
    }
}

impl Stacks {
    /// What differs, if anything, and in which way.
    fn differs(&mut self, generated: &Generated, found: &mut Found) -> Option<(String, String)> {
        let files = generated.files.iter();
        let project = Project::in_memory(files.map(|(path, text)| (path.as_str(), text.as_str())));
        let project = project.expect("a project");
        let cx = Context::resolve(&project);
        let stack = Stack::of(&cx);
        let tracer = Tracer::new(&cx, &stack);
        let caddy = self.caddy.program.clone();
        let running = match Running::start(&self.folder, &caddy, &mut self.python, generated) {
            Ok(running) => running,
            Err(why) => {
                found.refused(generated.seed, &why);
                return None;
            }
        };
        let sent: Vec<(&Asked, Browser, Run)> = generated
            .asked
            .iter()
            .filter_map(|asked| Some((asked, ours(&stack, &tracer, asked)?)))
            .flat_map(|(asked, runs)| {
                let both = Browser::ALL.into_iter().zip(runs);
                both.map(move |(browser, run)| (asked, browser, run))
            })
            .collect();
        let met = all(generated, &sent);
        let mut differs = None;
        let mut routes: Vec<Route> = Vec::new();
        let mut taken: Vec<Span> = Vec::new();
        for ((asked, browser, ours), met) in sent.iter().zip(&met) {
            found.handshakes += 1;
            let opens = met.iter().all(|attempt| attempt.opens);
            found.opened += u64::from(opens);
            if opens && asked.route.is_some() {
                // The blocks that pass it on; a server holds many.
                let blocks = ours.steps.iter().flat_map(|step| &step.passage.because);
                let blocks = blocks.map(|because| because.span);
                taken.extend(blocks.chain(ours.steps.iter().map(|step| step.at)));
            }
            if ours.verdict == Verdict::Undecided {
                let story = told(&project, ours);
                found.undecided(
                    generated.seed,
                    &format!("{} {}\n{story}", asked.url, ours.reasons.join("; ")),
                );
            }
            if let Some(path) = asked.route {
                let fails = ours.verdict == Verdict::Fails && fails_behind_tls(&tracer, &asked.url);
                let own = routes.iter_mut().find(|route| route.path == path);
                match own {
                    Some(own) => own.also(&asked.url, opens, fails),
                    None => {
                        let mut own = Route::new(path);
                        own.also(&asked.url, opens, fails);
                        routes.push(own);
                    }
                }
            }
            if let Some(wrong) = wrong(ours, met) {
                let mut lines: Vec<String> = met.iter().map(Attempt::describe).collect();
                lines.dedup();
                let origin = asked
                    .origin
                    .map_or(String::new(), |origin| format!(" from {origin}"));
                let what = format!(
                    "{}{origin} as {}: {wrong}\nmet: {}\nwslint:\n{}",
                    asked.url,
                    browser.name(),
                    lines.join("; "),
                    told(&project, ours),
                );
                let mut statuses: Vec<_> = met.iter().map(|attempt| attempt.status).collect();
                statuses.dedup();
                differs.get_or_insert((what, format!("{} {statuses:?} {wrong}", asked.url)));
            }
        }
        let differs = differs.or_else(|| said_wrong(&cx, generated, &routes, &taken));
        running.stop(&mut self.python);
        differs
    }

    /// The same disagreement with fewer lines.
    fn minimise(&mut self, generated: &mut Generated, what: &mut String, kind: &str) {
        let (mut file, mut line) = (0, 0);
        let began = Instant::now();
        while began.elapsed() < self.cutting {
            let Some((path, text)) = generated.files.get(file) else {
                break;
            };
            let is_proxy = path.ends_with("nginx.conf") || path.ends_with("Caddyfile");
            let smaller = without(text, line).filter(|_| is_proxy || path.ends_with("settings.py"));
            let Some(smaller) = smaller else {
                (file, line) = (file + 1, 0);
                continue;
            };
            let mut less = generated.clone();
            less.files[file].1 = smaller;
            let still = match less.files[file].1 == generated.files[file].1 {
                true => None,
                false => self.differs(&less, &mut Found::default()),
            };
            match still {
                Some((still, same)) if same == kind => (*generated, *what) = (less, still),
                _ => line += 1,
            }
        }
        self.cutting = self.cutting.saturating_sub(began.elapsed());
    }
}

/// The text without the line, or the block that begins there; `None` after its end.
fn without(text: &str, at: usize) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.get(at)?;
    if first.trim().starts_with(['}', ']']) {
        return Some(text.to_owned());
    }
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut end = at + 1;
    if first.ends_with(['{', '[']) {
        while end < lines.len() && (lines[end].is_empty() || indent(lines[end]) > indent(first)) {
            end += 1;
        }
        end += 1;
    }
    let kept = lines[..at]
        .iter()
        .chain(lines.get(end..).unwrap_or_default());
    Some(kept.map(|line| format!("{line}\n")).collect())
}

/// What the library says to each browser; nothing where it is not asked.
fn ours(stack: &Stack<'_>, tracer: &Tracer<'_>, asked: &Asked) -> Option<[Run; 2]> {
    let target = Target::parse(&asked.url).expect("a URL");
    let own = target.origin.as_ref()?;
    let Some(origin) = asked.origin else {
        return way(tracer, &asked.url).map(|way| way.runs);
    };
    let url = Url::read(&asked.url).expect("a URL");
    let sent = Browser::ALL.map(|browser| {
        let mut request = Request::handshake(browser, url.tls, &url.host, url.port, &url.target);
        for header in &mut request.headers {
            if header.name == "Origin" {
                header.value = Value::Known(origin.to_owned());
            }
        }
        request
    });
    let firsts = stack.first(&sent[0], own.port.is_some());
    let first = firsts
        .first()
        .filter(|first| first.tls == url.tls && first.port == url.port)?;
    Some(sent.map(|request| tracer.arriving(first.hop, request)))
}

/// The way that `wslint trace` tells first.
fn way(tracer: &Tracer<'_>, url: &str) -> Option<Way> {
    let target = Target::parse(url).expect("a URL");
    let ways = tracer.url(&target, target.origin.as_ref()?);
    ways.into_iter().min_by_key(Way::order)
}

/// What each of them meets, all at the same time: daphne takes a second for each 500.
fn all(generated: &Generated, sent: &[(&Asked, Browser, Run)]) -> Vec<Met> {
    let knock =
        |(asked, browser, ours): &(&Asked, Browser, Run)| knocks(generated, asked, *browser, ours);
    std::thread::scope(|scope| {
        let threads: Vec<_> = sent
            .iter()
            .map(|one| scope.spawn(move || knock(one)))
            .collect();
        let met = threads.into_iter().map(|thread| thread.join());
        met.map(|met| met.expect("an answer")).collect()
    })
}

/// How a client reaches the stack, at its try of that number.
fn dial(generated: &Generated, url: &Url, number: u8, mut headers: Vec<(String, String)>) -> Dial {
    let balancer = generated.behind_balancer;
    if balancer {
        let told = [
            ("X-Forwarded-For", "203.0.100.9"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Port", "443"),
        ];
        headers.extend(told.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    Dial {
        port: if balancer { 80 } else { url.port },
        tls: url.tls && !balancer,
        headers,
        patience: PATIENCE,
        from: client(balancer, number),
        ..Dial::here(url.clone())
    }
}

/// What a browser meets, as often as is needed to tell.
fn knocks(generated: &Generated, asked: &Asked, browser: Browser, ours: &Run) -> Met {
    let url = Url::read(&asked.url).expect("a URL");
    let origin = asked
        .origin
        .map(|origin| ("Origin".to_owned(), origin.to_owned()));
    let tries = if generated.is_balanced { TRIES } else { 1 };
    let mut met = Met::new();
    for number in 0..MOST_TRIES {
        let dial = dial(
            generated,
            &url,
            number,
            origin.clone().into_iter().collect(),
        );
        met.push(client::attempt(browser.name(), &dial));
        if number + 1 >= tries && (!is_mixed(ours) || wrong(ours, &met).is_none()) {
            break;
        }
    }
    met
}

/// What several upstreams make of it.
fn siblings(ours: &Run) -> impl Iterator<Item = Verdict> {
    ours.steps
        .iter()
        .flat_map(|step| &step.siblings)
        .map(|sibling| sibling.verdict)
}

/// Whether servers that differ are chosen from.
fn is_mixed(ours: &Run) -> bool {
    siblings(ours).next().is_some()
}

/// Whether what was met is not what the library says.
fn wrong(ours: &Run, met: &[Attempt]) -> Option<String> {
    let opens = met.iter().filter(|attempt| attempt.opens).count();
    let lost = || met.iter().filter(|attempt| !attempt.opens);
    let fits = |attempt: &Attempt| {
        ours.status
            .is_none_or(|status| attempt.status == Some(status))
    };
    let mixed = is_mixed(ours);
    let some_open = siblings(ours).any(|verdict| verdict == Verdict::Opens);
    let unknown = siblings(ours).any(|verdict| verdict == Verdict::Undecided);
    match ours.verdict {
        Verdict::Undecided => None,
        Verdict::Opens if opens == met.len() => None,
        Verdict::Opens => Some("it fails, and wslint says opens".to_owned()),
        Verdict::Fails if mixed => match (some_open, lost().any(fits)) {
            (_, false) => Some(format!(
                "it never fails so, and wslint says fails with {:?} for some",
                ours.status
            )),
            (true, _) if opens == 0 => {
                Some("it never opens, and wslint says it does for some".to_owned())
            }
            (false, _) if opens > 0 && !unknown => {
                Some("it opens for some, and wslint says it never does".to_owned())
            }
            _ => None,
        },
        Verdict::Fails if opens > 0 => Some("it opens, and wslint says fails".to_owned()),
        Verdict::Fails if lost().all(fits) => None,
        Verdict::Fails => Some(format!("wslint says another status: {:?}", ours.status)),
    }
}

/// The story of a run.
fn told(project: &Project, run: &Run) -> String {
    let mut lines = vec![format!(
        "  {} {:?}: {}",
        run.verdict.name(),
        run.status,
        run.reasons.join("; ")
    )];
    for step in &run.steps {
        lines.push(format!(
            "  {} {:?}",
            step.layer,
            project.source(step.at.source).path
        ));
        for because in &step.passage.because {
            let text = project.slice(because.span);
            let text = text.lines().next().unwrap_or_default();
            lines.push(format!("    `{text}` {}", because.message));
        }
    }
    lines.join("\n") + "\n"
}

/// Whether the library says that it fails as well at the port of `wss://`: `check` takes it for
/// possible that something before the proxy ends TLS or maps the port.
fn fails_behind_tls(tracer: &Tracer<'_>, url: &str) -> bool {
    let read = Url::read(url).expect("a URL");
    let way = way(tracer, &format!("wss://{}{}", read.host, read.target));
    way.is_some_and(|way| way.verdict() == Verdict::Fails)
}

/// An application's own route, by all the URLs under which it may be public.
struct Route {
    path: &'static str,
    /// Of each URL, whether it opens for all, and whether the library says that it fails.
    urls: Vec<(String, bool, bool)>,
}

impl Route {
    fn new(path: &'static str) -> Self {
        Self {
            path,
            urls: Vec::new(),
        }
    }

    /// Both browsers ask for each URL.
    fn also(&mut self, url: &str, opens: bool, fails: bool) {
        match self.urls.iter_mut().find(|(known, ..)| known == url) {
            Some(known) => (known.1, known.2) = (known.1 && opens, known.2 || fails),
            None => self.urls.push((url.to_owned(), opens, fails)),
        }
    }

    fn opens(&self) -> bool {
        self.urls.iter().any(|(_, opens, _)| *opens)
    }

    fn is_said_to_fail(&self) -> bool {
        self.urls.iter().all(|(.., fails)| *fails)
    }
}

/// What speaks of the setting, and of no route.
const OF_SETTINGS: &str = "django/ssl-redirect-loop";

/// Rules that speak of pages as well: a WebSocket may open beside.
const OF_PAGES: &[&str] = &[
    "stack/forwarded-proto",
    "django/proxy-header-not-sent",
    "django/proxy-header-never-matches",
];

/// Whether a page is redirected to itself, or refused for its Host before that.
fn loses_pages(generated: &Generated) -> bool {
    let asked = &generated.asked;
    let scheme = asked[0].url.split(':').next().unwrap_or_default();
    let urls = asked.iter().map(|asked| asked.url.as_str());
    let urls = urls.filter(|url| url.starts_with(&format!("{scheme}:")));
    let mut urls = urls.map(|url| Url::read(url).expect("a URL"));
    urls.any(|url| {
        let dial = dial(generated, &url, 0, Vec::new());
        let is_lost = |target: &str| {
            let Ok(answer) = client::page(&dial, &url.authority(), target) else {
                return false;
            };
            let to = answer.location.unwrap_or_default();
            answer.status == Some(400) || to.starts_with("https://") && to.ends_with(target)
        };
        let pages = ["/", "/health/", "/admin/", "/app/", "/app/health/"];
        is_lost(&url.target) || pages.into_iter().any(is_lost)
    })
}

/// Whether a route opens behind a path that a proxy names, such as a prefix which it takes off.
fn opens_below(generated: &Generated, path: &str) -> bool {
    let words = generated
        .proxies()
        .flat_map(|text| text.split([' ', '^', ';', '\n']));
    let named = words.filter(|word| word.starts_with('/') && !word.starts_with("/srv"));
    let named = named.map(|word| word.trim_end_matches(['*', '/', '$']));
    let prefixes: std::collections::BTreeSet<&str> = named.collect();
    prefixes.into_iter().any(|prefix| {
        let mut url = Url::read(&generated.asked[0].url).expect("a URL");
        url.target = format!("{prefix}{path}");
        let dial = dial(generated, &url, 0, Vec::new());
        Browser::ALL
            .iter()
            .all(|browser| client::attempt(browser.name(), &dial).opens)
    })
}

/// What `check` says that is not so.
fn said_wrong(
    cx: &Context<'_>,
    generated: &Generated,
    routes: &[Route],
    taken: &[Span],
) -> Option<(String, String)> {
    let outcome = check::check_resolved(cx, &Selection::default());
    let lost = routes.iter().find(|route| {
        generated.leads()
            && !route.opens()
            && route.is_said_to_fail()
            && !opens_below(generated, route.path)
    });
    if let Some(lost) = lost
        && outcome.findings.is_empty()
        && outcome.undecided.is_empty()
    {
        let what = format!(
            "check says that no handshake is lost, and none opens at {}",
            lost.path
        );
        return Some((what.clone(), what));
    }
    let mut errors = outcome
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error && finding.rule != OF_SETTINGS)
        // What nginx or Caddy show of sockets by themselves may be of other ones than the routes.
        .filter(|finding| {
            let of_routes =
                !finding.rule.starts_with("nginx/") && !finding.rule.starts_with("caddy/");
            of_routes || taken.iter().any(|block| block.contains(finding.span))
        });
    let error = errors.next()?;
    let all_open = !routes.is_empty() && routes.iter().all(Route::opens);
    let is_of_pages = OF_PAGES.contains(&&*error.rule);
    (all_open && !(is_of_pages && loses_pages(generated))).then(|| {
        let source = cx.project.source(error.span.source);
        let what = format!(
            "every route opens, and check says {} at {} `{}`: {}",
            error.rule,
            source.path,
            cx.project.slice(error.span),
            error.message
        );
        (what, format!("every route opens, and {}", error.rule))
    })
}

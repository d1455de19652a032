//! A repository of many projects: each handshake reaches its own application, what is wrong with a
//! few projects is found there and nowhere else, and the work grows with the projects.

#[path = "support/monorepo.rs"]
mod monorepo;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use monorepo::{Fault, PROXIES, files, folder, path};
use nix::sys::resource::{UsageWho, getrusage};
use wslint::check::{Selection, check_resolved};
use wslint::context::Context;
use wslint::project::Project;
use wslint::trace::{Verdict, hops};

const PROJECTS: usize = 50;

/// Where a fault is found, within its project's folder, and by which rule.
fn finding(fault: Fault) -> (&'static str, &'static str) {
    match fault {
        Fault::UpgradeNotForwarded => ("nginx/default.conf", "nginx/upgrade-not-forwarded"),
        Fault::PathChanged => ("partner/nginx.conf", "stack/path-mismatch"),
        Fault::NotCovered => ("staging/Caddyfile", "stack/route-not-forwarded"),
        Fault::ConsumerNotCalled => ("orders/routing.py", "django/consumer-not-called"),
    }
}

/// The proxy through which a project's handshakes are lost; `""` where each of them loses it.
fn losing(fault: Option<Fault>) -> Option<&'static str> {
    fault.map(|fault| match fault {
        // What comes in at the edge passes this nginx.
        Fault::UpgradeNotForwarded => "edge/Caddyfile",
        Fault::PathChanged => "partner/nginx.conf",
        Fault::NotCovered => "staging/Caddyfile",
        Fault::ConsumerNotCalled => "",
    })
}

#[test]
fn each_project_is_joined_to_its_own_application_and_judged_by_itself() {
    let files = files(PROJECTS);
    let files = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()));
    let project = Project::in_memory(files).expect("valid");
    let cx = Context::resolve(&project);
    assert_eq!(hops(&cx).len(), PROJECTS * (PROXIES + 1));

    let mut ways: BTreeMap<String, BTreeMap<String, Verdict>> = BTreeMap::new();
    for traced in cx.ways() {
        // Some are shown by the proxies alone.
        let Some(home) = traced.application.clone() else {
            continue;
        };
        let number = (0..PROJECTS).find(|number| folder(*number) == home);
        assert_eq!(traced.path, path(number.expect("one of the projects")));
        for run in &traced.way.runs {
            for step in &run.steps {
                let file = &project.source(step.place.source).path;
                assert!(file.starts_with(&home), "{home} is asked through {file}");
            }
        }
        let entrance = traced.entrance.as_ref().expect("a way in").span;
        let file = &project.source(entrance.source).path;
        let verdict = traced.way.verdict();
        let known = ways.entry(home).or_default().insert(file.clone(), verdict);
        assert_eq!(known, None, "{file} twice");
    }
    let expected = (0..PROJECTS).map(|number| {
        let folder = folder(number);
        let losing = losing(Fault::of(number));
        // The nginx behind the edge is no way in.
        let proxies = ["edge/Caddyfile", "partner/nginx.conf", "staging/Caddyfile"];
        let through = proxies.map(|proxy| {
            let is_lost = losing.is_some_and(|file| proxy.starts_with(file));
            let verdict = if is_lost {
                Verdict::Fails
            } else {
                Verdict::Opens
            };
            (folder.clone() + proxy, verdict)
        });
        (folder, through.into_iter().collect())
    });
    assert_eq!(ways, expected.collect());

    let outcome = check_resolved(&cx, &Selection::default());
    let found: Vec<(String, &str)> = outcome
        .findings
        .iter()
        .map(|finding| {
            (
                project.source(finding.span.source).path.clone(),
                &*finding.rule,
            )
        })
        .collect();
    let expected: Vec<(String, &str)> = (0..PROJECTS)
        .filter_map(|number| Some((number, finding(Fault::of(number)?))))
        .map(|(number, (file, rule))| (folder(number) + file, rule))
        .collect();
    assert_eq!(expected.len(), PROJECTS / 25 * 4);
    assert_eq!(found, expected);
    assert!(outcome.undecided.is_empty(), "{:?}", outcome.undecided);
}

/// The processor's time that the children of this process took so far.
fn used() -> Duration {
    let time = getrusage(UsageWho::RUSAGE_CHILDREN)
        .expect("known")
        .user_time();
    let micros = u64::try_from(time.tv_usec()).expect("not negative");
    Duration::from_secs(u64::try_from(time.tv_sec()).expect("not negative"))
        + Duration::from_micros(micros)
}

/// The processor's time of one check of a folder; no other test of this program starts processes.
fn check(folder: &Path) -> Duration {
    let before = used();
    let status = Command::new(env!("CARGO_BIN_EXE_wslint"))
        .args(["check", "--fail-on", "never"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .status();
    assert!(status.expect("wslint runs").success());
    used() - before
}

/// A site with that many routes for sockets.
fn site(routes: usize) -> Vec<(String, String)> {
    let handle =
        |at: usize| format!("\thandle /ws/{at}/* {{\n\t\treverse_proxy app{at}:8000\n\t}}\n");
    let handles: String = (0..routes).map(handle).collect();
    let text = format!("example.com {{\n{handles}\thandle {{\n\t\tfile_server\n\t}}\n}}\n");
    vec![("Caddyfile".to_owned(), text)]
}

/// A site with that many named matchers, whose proxies run after a `handle` that answers if
/// `is_swallowed`.
fn named(matchers: usize, is_swallowed: bool) -> Vec<(String, String)> {
    let proxy = |at: usize| {
        format!("\t@w{at} path /ws/{at} /ws/{at}/*\n\treverse_proxy @w{at} app{at}:8000\n")
    };
    let proxies: String = (0..matchers).map(proxy).collect();
    let handle = if is_swallowed {
        "\thandle {\n\t\trespond hello\n\t}\n"
    } else {
        ""
    };
    let text = format!("example.com {{\n{proxies}{handle}}}\n");
    vec![("Caddyfile".to_owned(), text)]
}

/// That many projects with Socket.IO in two replicas, as the rule's own example has it.
fn replicas(projects: usize) -> Vec<(String, String)> {
    let rule = wslint::rule::rules().iter();
    let mut rule = rule.filter(|rule| rule.id == "stack/sticky-sessions");
    let examples = rule.next().map(|rule| rule.examples.iter());
    let mut breaking = examples
        .into_iter()
        .flatten()
        .filter(|example| example.breaks);
    let example = breaking.next().expect("an example");
    let files = (0..projects).flat_map(|at| {
        let files = example.files.iter();
        files.map(move |(path, text)| (format!("shop-{at}/{path}"), text.to_string()))
    });
    files.collect()
}

/// Fails if one of four times as many takes more than twice the time.
fn grows_with(sizes: [usize; 2], files: impl Fn(usize) -> Vec<(String, String)>) {
    // What asks of each pair would take 16 times as long: 4 times for each.
    const MOST: f64 = 2.0;
    let folders = sizes.map(|size| {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files(size) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        root
    });
    // Whatever else the machine does makes a run slower, never faster: the fastest of a few tells.
    let mut least = [f64::INFINITY; 2];
    for _ in 0..5 {
        for (least, (folder, size)) in least.iter_mut().zip(folders.iter().zip(sizes)) {
            *least = least.min(check(folder.path()).as_secs_f64() / size as f64);
        }
        if least[1] <= least[0] * MOST {
            return;
        }
    }
    panic!("seconds for each of {sizes:?}: {least:?}");
}

#[test]
fn four_times_as_many_are_about_four_times_the_work() {
    // One after the other, because the time is that of all children.
    grows_with([25, 100], files);
    grows_with([200, 800], replicas);
    grows_with([400, 1600], site);
    grows_with([400, 1600], |matchers| named(matchers, false));
    grows_with([400, 1600], |matchers| named(matchers, true));
}

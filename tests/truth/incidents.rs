//! Both incidents of `tests/incidents`, end to end on the real servers.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

use crate::case::{Case, Outcome};
use crate::examples::report;
use crate::installed::{self, CaddyVersion};
use crate::sandbox;

const SHOP: &str = "wss://shop.example.com/ws/chat/lobby/";
const INSCRIBE: &str = "wss://inscribe.example.com/ws/";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("301: broken", || {
            let case = shop("broken", SHOP)?;
            redirects_to_itself(&sandbox::run(&case)?, 301, SHOP)
        }),
        trial("301: the header alone repaired", || {
            let settings = "storefront/settings/production.py";
            let mut case = shop("broken", SHOP)?;
            let repaired = shop("repaired", SHOP)?;
            for file in case.files.iter_mut().filter(|(path, _)| path == settings) {
                file.1.clone_from(text(&repaired, settings)?);
            }
            // Pages work again, sockets do not yet: without a WebSocket library uvicorn hands
            // the handshake to Django as an ordinary request, for which there is no URL.
            answers(&sandbox::run(&case)?, 404)
        }),
    ];
    for url in [
        SHOP,
        "wss://shop.example.com/ws/notifications/",
        "wss://shop.example.com/ws/live/42/",
    ] {
        trials.push(trial(&format!("301: repaired, {url}"), move || {
            opens(&sandbox::run(&shop("repaired", url)?)?)
        }));
    }
    for version in [CaddyVersion::Debian, CaddyVersion::Current] {
        let name = version.name();
        trials.push(trial(&format!("308: broken, {name}"), move || {
            redirects_to_itself(&sandbox::run(&inscribe("broken", version)?)?, 308, INSCRIBE)
        }));
        trials.push(trial(&format!("308: repaired, {name}"), move || {
            opens(&sandbox::run(&inscribe("repaired", version)?)?)
        }));
    }
    trials
}

fn trial(name: &str, test: impl FnOnce() -> Result<(), String> + Send + 'static) -> Trial {
    Trial::test(format!("incident {name}"), move || {
        test().map_err(Failed::from)
    })
}

/// The shop, asked as its load balancer asks.
fn shop(variant: &str, url: &str) -> Result<Case, String> {
    let mut case = case("301-cloudfront-header", variant, url)?;
    // What is installed is what the repository asks for.
    let complete = text(&case, "requirements.txt")?.contains("websockets==");
    case.python = installed::python(Some(if complete { "uvicorn" } else { "uvicorn-bare" }))?;
    case.headers = [
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "443"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    Ok(case)
}

/// Four machines with a Caddy each, asked as Cloudflare asks.
fn inscribe(variant: &str, version: CaddyVersion) -> Result<Case, String> {
    let mut case = case("308-balancer", variant, INSCRIBE)?;
    case.caddy = installed::caddy(version)?;
    case.headers = [
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
        ("CF-Visitor", r#"{"scheme":"https"}"#),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    Ok(case)
}

fn case(incident: &str, variant: &str, url: &str) -> Result<Case, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/incidents")
        .join(incident)
        .join(variant);
    let mut files = Vec::new();
    read(&folder, &folder, &mut files).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(Case {
        files,
        url: url.to_owned(),
        headers: Vec::new(),
        lives: false,
        plain: false,
        caddy: String::new(),
        python: String::new(),
        certificates: installed::certificates()?,
    })
}

pub(crate) fn read(
    root: &Path,
    folder: &Path,
    files: &mut Vec<(String, String)>,
) -> std::io::Result<()> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    for path in paths {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']) && path.is_dir());
        if hidden {
            continue;
        }
        if path.is_dir() {
            read(root, &path, files)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            files.push((
                relative.to_string_lossy().into_owned(),
                fs::read_to_string(&path)?,
            ));
        }
    }
    Ok(())
}

fn text<'a>(case: &'a Case, path: &str) -> Result<&'a String, String> {
    let found = case.files.iter().find(|(found, _)| found == path);
    found.map(|(_, text)| text).ok_or(format!("no {path}"))
}

fn redirects_to_itself(outcome: &Outcome, status: u16, url: &str) -> Result<(), String> {
    let itself = url.replacen("wss:", "https:", 1);
    let right = outcome.attempts.iter().all(|attempt| {
        attempt.status == Some(status) && attempt.location.as_deref() == Some(itself.as_str())
    });
    told(right, &format!("{status} to {itself}"), outcome)
}

fn answers(outcome: &Outcome, status: u16) -> Result<(), String> {
    let right = outcome
        .attempts
        .iter()
        .all(|attempt| attempt.status == Some(status));
    told(right, &status.to_string(), outcome)
}

fn opens(outcome: &Outcome) -> Result<(), String> {
    told(
        outcome.attempts.iter().all(|attempt| attempt.opens),
        "101 and an echo",
        outcome,
    )
}

fn told(right: bool, wanted: &str, outcome: &Outcome) -> Result<(), String> {
    if right && outcome.attempts.len() == 2 {
        return Ok(());
    }
    Err(format!(
        "both browsers should get {wanted}\n{}",
        report(outcome)
    ))
}

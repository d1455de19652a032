//! The examples of the rules: what they claim, what the servers do, what wslint says.

use libtest_mimic::{Failed, Trial};
use wslint::check::{Selection, check};
use wslint::project::Project;
use wslint::rule::{Example, ExampleHandshake, Proof, Rule, Severity, rules};

use crate::case::{Case, Outcome, Url};
use crate::installed::{self, CaddyVersion};
use crate::sandbox;

/// Two kinds of trial for each example: the real servers', and wslint's.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for rule in rules() {
        for example in rule.examples.iter() {
            let name = format!("{}: {}", rule.id, example.title);
            trials.push(Trial::test(format!("{name} (wslint)"), move || {
                agrees(rule, example).map_err(Failed::from)
            }));
            let (Proof::Server, Some(handshake)) = (&rule.proof, &example.handshake) else {
                continue;
            };
            for version in versions(example) {
                let on = version
                    .map_or_else(|| "server".to_owned(), |version| version.name().to_owned());
                trials.push(Trial::test(format!("{name} ({on})"), move || {
                    holds(rule, example, handshake, version).map_err(Failed::from)
                }));
                if let Some(mended) = mended(example) {
                    let name = format!("{name} (fixed, {on})");
                    trials.push(Trial::test(name, move || {
                        holds(rule, &mended, handshake, version).map_err(Failed::from)
                    }));
                }
            }
        }
    }
    trials
}

/// A breaking example with the fixes that wslint offers for it, so that it should work; `None` if
/// it offers none.
fn mended(example: &Example) -> Option<Example> {
    if !example.breaks {
        return None;
    }
    let mut mended = Example {
        breaks: false,
        ..example.clone()
    };
    let mut fixed = false;
    // One fix at a time: each is made for the files as they are.
    for _ in 0..8 {
        let project = project(&mended).ok()?;
        let outcome = check(&project, &Selection::default());
        let Some(fix) = outcome
            .findings
            .iter()
            .find_map(|finding| finding.fix.as_ref())
        else {
            break;
        };
        fixed = true;
        let files = mended.files.to_mut();
        for edit in fix.edits.iter().rev() {
            let path = &project.source(edit.span.source).path;
            let (_, text) = files.iter_mut().find(|(known, _)| known == path)?;
            text.to_mut().replace_range(edit.span.range(), &edit.text);
        }
    }
    fixed.then_some(mended)
}

fn project(example: &Example) -> Result<Project, String> {
    let files = example
        .files
        .iter()
        .map(|(path, text)| (path.as_ref(), text.as_ref()));
    Project::in_memory(files).map_err(|problem| format!("{problem:?}"))
}

/// The Caddys to run it on: those that its target version stands for, or both.
fn versions(example: &Example) -> Vec<Option<CaddyVersion>> {
    let is_caddy = |path: &str| {
        path.rsplit('/')
            .next()
            .unwrap_or(path)
            .starts_with("Caddyfile")
    };
    if !example.files.iter().any(|(path, _)| is_caddy(path)) {
        return vec![None];
    }
    match project(example)
        .ok()
        .and_then(|project| project.config.targets.caddy)
    {
        Some(version) if version < [2, 7, 0] => vec![Some(CaddyVersion::Debian)],
        Some(_) => vec![Some(CaddyVersion::Current)],
        None => vec![Some(CaddyVersion::Debian), Some(CaddyVersion::Current)],
    }
}

/// wslint finds exactly this rule in a breaking example, and nothing in a working one.
fn agrees(rule: &Rule, example: &Example) -> Result<(), String> {
    let project = project(example)?;
    let selection = Selection {
        pedantic: rule.severity == Severity::Info,
        ..Selection::default()
    };
    let outcome = check(&project, &selection);
    let strange = |id: &str| !example.breaks || id != rule.id;
    let fits = example.breaks != outcome.findings.is_empty()
        && !outcome
            .findings
            .iter()
            .any(|finding| strange(&finding.rule));
    if fits {
        return Ok(());
    }
    let mut said = format!(
        "wslint should find {}",
        if example.breaks {
            format!("{} and nothing else", rule.id)
        } else {
            "nothing".to_owned()
        }
    );
    if outcome.findings.is_empty() {
        said += "; it found nothing";
    }
    for finding in &outcome.findings {
        let place = project.place(finding.span);
        said += &format!("\n  {place}: {}: {}", finding.rule, finding.message);
    }
    for note in &outcome.undecided {
        said += &format!(
            "\n  {}: undecided: {}",
            project.place(note.span),
            note.message
        );
    }
    Err(said + &show(example))
}

/// The real servers do what the example says.
fn holds(
    rule: &Rule,
    example: &Example,
    handshake: &ExampleHandshake,
    version: Option<CaddyVersion>,
) -> Result<(), String> {
    let case = case(example, handshake, version)?;
    let outcome = sandbox::run(&case)?;
    let wanted = if example.breaks {
        breaks(rule, handshake, &outcome)
    } else {
        opens(&outcome)
    };
    wanted.map_err(|wanted| format!("{wanted}\n{}{}", report(&outcome), show(example)))
}

/// Some browser's handshake fails, with the stated status.
fn breaks(rule: &Rule, handshake: &ExampleHandshake, outcome: &Outcome) -> Result<(), String> {
    let stated = handshake
        .status
        .map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    if outcome.refused.is_some() {
        return match handshake.status {
            None => Ok(()),
            Some(_) => Err(format!("stated: {stated}; the server refused to start")),
        };
    }
    let mut failing = outcome
        .attempts
        .iter()
        .filter(|attempt| !attempt.opens)
        .peekable();
    // What breaks later, or not for everybody, may well open here.
    let opens_first =
        rule.severity != Severity::Error && handshake.status == Some(101) && !handshake.lives;
    if failing.peek().is_none() && !opens_first {
        return Err(format!("stated: {stated}; it opened for both browsers"));
    }
    match failing.find(|attempt| attempt.status != handshake.status) {
        None => Ok(()),
        Some(other) => Err(format!("stated: {stated}; but {}", other.describe())),
    }
}

/// Both browsers' handshakes open.
fn opens(outcome: &Outcome) -> Result<(), String> {
    if outcome.refused.is_some() {
        return Err("stated: it opens; the server refused to start".to_owned());
    }
    match outcome.attempts.iter().find(|attempt| !attempt.opens) {
        None if outcome.attempts.len() == 2 => Ok(()),
        None => Err("not both browsers tried".to_owned()),
        Some(closed) => Err(format!("stated: it opens; but {}", closed.describe())),
    }
}

fn case(
    example: &Example,
    handshake: &ExampleHandshake,
    version: Option<CaddyVersion>,
) -> Result<Case, String> {
    let edge = project(example)?.config.edge;
    let url = Url::read(&handshake.url)?;
    let through_edge = url.tls && !edge.edges.is_empty();
    let mut headers: Vec<(String, String)> = handshake
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    if through_edge {
        let stated = |name: &str| {
            handshake
                .headers
                .iter()
                .any(|(own, _)| own.eq_ignore_ascii_case(name))
        };
        headers.extend(edge.sends().into_iter().filter(|(name, _)| !stated(name)));
    }
    let has = |wanted: &str| {
        example
            .files
            .iter()
            .any(|(path, _)| path.rsplit('/').next().unwrap_or(path).starts_with(wanted))
    };
    let is_django = has("Procfile");
    if !is_django && version.is_none() {
        installed::nginx()?;
    }
    Ok(Case {
        files: example
            .files
            .iter()
            .map(|(path, text)| (path.to_string(), text.to_string()))
            .collect(),
        url: handshake.url.to_string(),
        headers,
        lives: handshake.lives,
        plain: through_edge && edge.speaks_plain_http(),
        caddy: version.map_or_else(|| Ok(String::new()), installed::caddy)?,
        python: if is_django {
            installed::python(example.server.as_deref())?
        } else {
            String::new()
        },
        certificates: installed::certificates()?,
    })
}

/// What the servers did.
pub(crate) fn report(outcome: &Outcome) -> String {
    let mut text = String::new();
    if let Some(refused) = &outcome.refused {
        let last = refused.trim().lines().last().unwrap_or_default();
        text += &format!("refused to start: {last}\n");
    }
    for attempt in &outcome.attempts {
        text += &format!("{}\n", attempt.describe());
    }
    text + &outcome.log
}

/// The files, with line numbers.
fn show(example: &Example) -> String {
    let mut text = String::new();
    if let Some(handshake) = &example.handshake {
        text += &format!("\n  --- {} {:?}", handshake.url, handshake.headers);
    }
    for (path, content) in example.files.iter() {
        text += &format!("\n  --- {path}");
        for (number, line) in content.lines().enumerate() {
            text += &format!("\n  {:3} {line}", number + 1);
        }
    }
    text
}

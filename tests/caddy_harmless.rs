//! What looks suspicious and works: each of these was measured on a real Caddy, and the linter has
//! to be silent about it. `/ws` is declared as an endpoint, so that every proxy is a route. (`truth`
//! sends a handshake through those that a server can take as they stand.)

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use wslint::check::{Selection, check};
use wslint::project::Project;

#[path = "support/caddy_harmless.rs"]
mod cases;

/// The findings on a whole Caddyfile.
fn findings(caddyfile: &str) -> Vec<String> {
    let settings = "[websocket]\nendpoints = [\"/ws\"]\n[targets]\ncaddy = \"2.11\"\n";
    let files = [("Caddyfile", caddyfile), ("wslint.toml", settings)];
    let project = Project::in_memory(files).unwrap();
    let outcome = check(&project, &Selection::default());
    assert!(
        outcome.undecided.is_empty(),
        "{caddyfile}\n{:?}",
        outcome.undecided
    );
    outcome
        .findings
        .iter()
        .map(|finding| format!("{}: {}", finding.rule, finding.message))
        .collect()
}

#[test]
fn what_was_measured_to_work_is_silent() {
    let all = cases::all();
    assert!(all.len() > 100, "{} cases", all.len());
    let loud: Vec<_> = all
        .iter()
        .map(|caddyfile| (caddyfile, findings(caddyfile)))
        .filter(|(_, found)| !found.is_empty())
        .collect();
    assert!(loud.is_empty(), "{loud:#?}");
}

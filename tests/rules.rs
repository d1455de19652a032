//! Every example of every rule, through the linter: a breaking one yields exactly its rule, a
//! working one nothing at all, and what `trace` says of its URL is what the real server did.
//! (`truth` sends the same examples a real handshake.)

use wslint::check::{Selection, check, check_resolved};
use wslint::context::Context;
use wslint::project::Project;
use wslint::rule::{Check, Proof, Severity, rules};
use wslint::trace::{Target, Verdict, trace};

#[test]
fn every_example_yields_what_it_says() {
    let mut wrong = Vec::new();
    let mut tried = 0;
    for rule in rules() {
        for example in rule.examples.iter() {
            tried += 1;
            let files = example
                .files
                .iter()
                .map(|(path, text)| (path.as_ref(), text.as_ref()));
            let project = match Project::in_memory(files) {
                Ok(project) => project,
                Err(problem) => {
                    wrong.push(format!("{}: {}: {problem}", rule.id, example.title));
                    continue;
                }
            };
            let selection = Selection {
                pedantic: rule.severity == Severity::Info,
                ..Selection::default()
            };
            let outcome = check(&project, &selection);
            let found: Vec<String> = outcome
                .findings
                .iter()
                .map(|finding| format!("{} ({})", finding.rule, finding.message))
                .collect();
            let as_stated = if example.breaks {
                !found.is_empty()
                    && outcome
                        .findings
                        .iter()
                        .all(|finding| finding.rule == rule.id)
            } else {
                found.is_empty()
            };
            if !as_stated {
                wrong.push(format!(
                    "{}: {:?} ({}) yields {found:?}, undecided {:?}",
                    rule.id,
                    example.title,
                    if example.breaks { "breaks" } else { "works" },
                    outcome.undecided
                ));
            }
        }
    }
    assert!(tried > 0, "no rule has an example");
    assert!(
        wrong.is_empty(),
        "{} of {tried} examples:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_rule_is_explained_and_every_query_compiles() {
    for rule in rules() {
        assert!(rule.why.len() > 80, "{}: `why` teaches nothing", rule.id);
        if let Check::Query(query) = &rule.check {
            assert_eq!(query.validate(), Ok(()), "{}", rule.id);
        }
        if matches!(rule.proof, Proof::Server) {
            assert!(!rule.references.is_empty(), "{}: no reference", rule.id);
        }
    }
}

#[test]
fn a_trace_never_contradicts_a_proved_example() {
    let (mut tried, mut undecided, mut wrong) = (0, 0, Vec::new());
    for rule in rules() {
        for example in rule.examples.iter() {
            let Some(handshake) = &example.handshake else {
                continue;
            };
            // A trace sends what a page of the URL's own site sends, and no header more; and it
            // asks who opens, not who lives.
            let proved = matches!(rule.proof, Proof::Server);
            if !handshake.headers.is_empty() || handshake.lives || !proved {
                continue;
            }
            let files = example
                .files
                .iter()
                .map(|(path, text)| (path.as_ref(), text.as_ref()));
            let project = Project::in_memory(files).expect("valid");
            let cx = Context::resolve(&project);
            let target = Target::parse(&handshake.url).expect("a URL");
            let ways = trace(&cx, &target, None);
            let errors = check_resolved(&cx, &Selection::default())
                .findings
                .iter()
                .any(|finding| finding.severity == Severity::Error);
            // What breaks only for some, or later, or by a policy of the page, opens for the trace.
            // An authentication subrequest is taken to be allowed (trace's contract).
            let beyond = ["/csp-blocks-websocket", "/subrequest-upgrade"];
            let beyond = beyond.iter().any(|name| rule.id.ends_with(name));
            if example.breaks && (!errors || beyond) {
                continue;
            }
            tried += 1;
            let run = ways.first().map(|way| way.decisive());
            let agrees = match run.map(|run| (run.verdict, run.status)) {
                None | Some((Verdict::Undecided, _)) => {
                    undecided += 1;
                    true
                }
                Some((Verdict::Opens, _)) => !example.breaks,
                Some((Verdict::Fails, status)) => {
                    example.breaks && (status.is_none() || status == handshake.status)
                }
            };
            if !agrees {
                wrong.push(format!(
                    "{}: {}: {} gives {:?}, the trace says {:?} {:?}",
                    rule.id,
                    example.title,
                    handshake.url,
                    handshake.status,
                    run.map(|run| run.verdict),
                    run.and_then(|run| run.status)
                ));
            }
        }
    }
    assert!(tried > 200, "only {tried} examples were traced");
    assert!(
        wrong.is_empty(),
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(undecided * 20 < tried, "{undecided} of {tried} undecided");
}

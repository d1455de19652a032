//! Every example of every rule, through the linter: a breaking one yields exactly its rule, a
//! working one nothing at all. (`truth` sends the same examples a real handshake.)

use wslint::check::{Selection, check};
use wslint::project::Project;
use wslint::rule::{Check, Proof, Severity, rules};

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

//! Checks a project: resolves it, runs the rules, applies suppressions, sorts.

use std::collections::BTreeSet;

use crate::context::Context;
use crate::django::checks::with_history;
use crate::finding::Applicability::Safe;
use crate::finding::{Edit, Finding, Fix, Report, Undecided};
use crate::parallel;
use crate::project::{Project, Suppression, Suppressions};
use crate::rule::{Check, Rule, Severity, rules};
use crate::source::{Kind, Source, Span};
use crate::stack;

/// Which rules to run and what of it to show; adds to what the project's configuration says.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Rules and groups to run; empty means what the configuration says, else all.
    pub select: Vec<String>,
    /// Rules and groups to leave out.
    pub ignore: Vec<String>,
    /// Show hygiene too.
    pub pedantic: bool,
    /// Report only what touches these files (paths in the project); `None` for all.
    pub only: Option<BTreeSet<String>>,
}

/// What a check found, in order.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The findings, sorted by file, position and rule.
    pub findings: Vec<Finding>,
    /// What could not be resolved.
    pub undecided: Vec<Undecided>,
    /// How many files were judged.
    pub files: usize,
}

impl Outcome {
    /// How many findings have that severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }
}

/// Resolves and checks `project`.
pub fn check(project: &Project, selection: &Selection) -> Outcome {
    check_resolved(&Context::resolve(project), selection)
}

/// Checks what is resolved already.
pub fn check_resolved(context: &Context<'_>, selection: &Selection) -> Outcome {
    let project = context.project;
    let (late, early): (Vec<&Rule>, Vec<&Rule>) = rules()
        .iter()
        .chain(&project.config.own_rules)
        .filter(|rule| is_selected(rule, project, selection))
        // Rules about our own comments judge what the others left of them.
        .partition(|rule| rule.group() == "wslint");
    let mut outcome = Outcome {
        undecided: project
            .undecided
            .iter()
            .chain(context.undecided())
            .cloned()
            .collect(),
        files: judged(project, selection).count(),
        ..Outcome::default()
    };
    excuse_what_did_not_run(context, &early);
    context.prepare();
    let mut told: BTreeSet<Span> = BTreeSet::new();
    for rules in [early, late] {
        let reports = parallel::map(&rules, project.pays_threads(), |rule| run(rule, context));
        for (findings, undecided) in reports {
            let lost = findings
                .iter()
                .filter(|finding| finding.severity > Severity::Info);
            told.extend(lost.flat_map(Finding::spans));
            let kept = findings
                .into_iter()
                .filter(|finding| !is_suppressed(finding, context));
            outcome.findings.extend(kept);
            outcome.undecided.extend(undecided);
        }
    }
    // What a rule would say that does not run is not missing.
    let is_whole = rules()
        .iter()
        .all(|rule| is_selected(rule, project, selection));
    let unclear = stack::unclear(context, &outcome.undecided, is_whole.then_some(&told));
    outcome.undecided.extend(unclear);
    supersede(&mut outcome.findings);
    finish(outcome, project, selection)
}

fn is_selected(rule: &Rule, project: &Project, selection: &Selection) -> bool {
    let config = &project.config;
    let select = if selection.select.is_empty() {
        &config.select
    } else {
        &selection.select
    };
    let named = |names: &[String]| names.iter().any(|name| rule.is_named_by(name));
    (select.is_empty() || named(select)) && !named(&selection.ignore) && !named(&config.ignore)
}

fn run(rule: &Rule, context: &Context<'_>) -> (Vec<Finding>, Vec<Undecided>) {
    let mut report = Report::new(rule);
    match &rule.check {
        Check::Function(check) => check(context, &mut report),
        Check::Query(query) => query.run(context.project, &mut report),
    }
    let (findings, undecided) = report.into_parts();
    let told = findings
        .into_iter()
        .map(|finding| with_history(context, finding));
    (told.collect(), undecided)
}

/// One cause, one finding: what a whole stack proves at a place, a milder guess about a single file
/// at that place need not repeat.
fn supersede(findings: &mut Vec<Finding>) {
    let proved: BTreeSet<(Span, Severity)> = findings
        .iter()
        .filter(|finding| finding.rule.starts_with("stack/"))
        .map(|finding| (finding.span, finding.severity))
        .collect();
    if proved.is_empty() {
        return;
    }
    findings.retain(|finding| {
        let mut here = proved.range((finding.span, finding.severity)..);
        let milder = here
            .next()
            .is_some_and(|(span, severity)| *span == finding.span && *severity > finding.severity);
        finding.rule.starts_with("stack/") || !milder
    });
}

/// A comment suppresses a finding at any line that it points at in its own file: one would write
/// it above the directive or above the block that the directive stands in.
fn is_suppressed(finding: &Finding, context: &Context<'_>) -> bool {
    let source = context.project.source(finding.span.source);
    let suppressions = context.suppressions(source.id);
    let here = finding.spans().filter(|span| span.source == source.id);
    let mut suppressed = false;
    for span in here {
        let line = source.position(span.start as usize).line;
        suppressed |= suppressions.suppress(&finding.rule, line);
    }
    suppressed
}

/// A comment about a rule that does not run this time may well be right.
fn excuse_what_did_not_run(context: &Context<'_>, run: &[&Rule]) {
    for source in &context.project.sources {
        for suppression in &context.suppressions(source.id).all {
            if !run.iter().any(|rule| rule.is_named_by(&suppression.rule)) {
                suppression.excuse();
            }
        }
    }
}

/// The sources that this check speaks of.
fn judged<'a>(project: &'a Project, selection: &'a Selection) -> impl Iterator<Item = &'a Source> {
    project.sources.iter().filter(|source| {
        source.kind != Kind::Config
            && selection
                .only
                .as_ref()
                .is_none_or(|only| only.contains(&source.path))
    })
}

fn finish(mut outcome: Outcome, project: &Project, selection: &Selection) -> Outcome {
    for finding in &mut outcome.findings {
        // What names the rule itself counts before what names its group.
        let severities = &project.config.severity;
        let group = finding.rule.split('/').next().unwrap_or_default();
        let severity = [finding.rule.as_ref(), group, "all"]
            .into_iter()
            .find_map(|name| severities.get(name));
        if let Some(severity) = severity {
            finding.severity = *severity;
        }
    }
    let reported = |span: Span| {
        selection
            .only
            .as_ref()
            .is_none_or(|only| only.contains(&project.source(span.source).path))
    };
    outcome.findings.retain(|finding| {
        (selection.pedantic || finding.severity > Severity::Info) && finding.spans().any(reported)
    });
    outcome.undecided.retain(|note| reported(note.span));
    let place = |span: Span| (&project.source(span.source).display, span.start, span.end);
    outcome.findings.sort_by(|a, b| {
        let key = |finding: &Finding| (finding.rule.clone(), finding.message.clone());
        place(a.span)
            .cmp(&place(b.span))
            .then_with(|| key(a).cmp(&key(b)))
    });
    outcome
        .undecided
        .sort_by(|a, b| (place(a.span), &a.message).cmp(&(place(b.span), &b.message)));
    outcome.undecided.dedup();
    outcome.undecided = Undecided::counted(outcome.undecided);
    outcome
}

/// `wslint/unused-ignore`: a suppression comment that suppresses nothing, or names no rule.
pub fn unused_ignores(context: &Context<'_>, report: &mut Report<'_>) {
    let project = context.project;
    for source in &project.sources {
        let suppressions = context.suppressions(source.id);
        for comment in &suppressions.malformed {
            let message = "this comment suppresses nothing: it is not written as wslint reads it";
            let finding = report.finding(message, *comment, "not understood").help(
                "write `# wslint: ignore[rule] reason` or `# wslint: ignore-file[rule] reason`",
            );
            report.push(finding);
        }
        for suppression in &suppressions.all {
            let names_own = suppression.rule.starts_with("wslint");
            let known = rules()
                .iter()
                .chain(&project.config.own_rules)
                .any(|rule| rule.is_named_by(&suppression.rule));
            // What could not be resolved might hold what the comment is about.
            let undecided = || {
                context
                    .undecided()
                    .any(|note| note.span.source == source.id)
            };
            if known && (names_own || suppression.is_used() || undecided()) {
                continue;
            }
            let (message, label) = if known {
                (
                    format!(
                        "this comment suppresses nothing: `{}` finds nothing here",
                        suppression.rule
                    ),
                    "finds nothing here",
                )
            } else {
                (
                    format!(
                        "this comment suppresses nothing: no rule is called `{}`",
                        suppression.rule
                    ),
                    "no such rule",
                )
            };
            let mut finding = report.finding(message, suppression.span, label);
            let names = || rules().iter().map(|rule| rule.id.as_ref());
            finding = match crate::rule::closest(&suppression.rule, names()) {
                Some(right) if !known => finding.help(format!("did you mean `{right}`?")),
                _ => finding.help("delete the comment, or the rule's name from its list"),
            };
            report.push(finding.fix(removal(source, suppression)));
        }
    }
}

/// Deletes one name from a comment, or the comment if it is the only one, or its line if the
/// line holds nothing else.
fn removal(source: &Source, suppression: &Suppression) -> Fix {
    let text = source.text.as_bytes();
    let comment = suppression.comment.range();
    let listed = source.slice(suppression.comment);
    let list = listed
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("", |(list, _)| list);
    let (mut start, mut end) = (
        suppression.span.start as usize,
        suppression.span.end as usize,
    );
    if list.contains(',') {
        // With the comma that follows, or the one before the last name.
        while text.get(end) == Some(&b' ') {
            end += 1;
        }
        if text.get(end) == Some(&b',') {
            end += 1;
            while text.get(end) == Some(&b' ') {
                end += 1;
            }
        } else {
            while start > 0 && matches!(text[start - 1], b' ' | b',') {
                start -= 1;
            }
        }
    } else {
        let line = memchr::memrchr(b'\n', &text[..comment.start]).map_or(0, |at| at + 1);
        let alone = text[line..comment.start].trim_ascii().is_empty();
        start = comment.start;
        end = comment.end;
        if alone {
            start = line;
            end = memchr::memchr(b'\n', &text[end..]).map_or(text.len(), |at| end + at + 1);
        } else {
            while start > line && matches!(text[start - 1], b' ' | b'\t') {
                start -= 1;
            }
        }
    }
    Fix {
        title: format!("delete the suppression of `{}`", suppression.rule),
        applicability: Safe,
        edits: vec![Edit {
            span: Span::new(source.id, start..end),
            text: String::new(),
        }],
    }
}

/// The suppression comments of every source of `project`, by source id.
pub(crate) fn suppressions(project: &Project) -> Vec<Suppressions> {
    project.sources.iter().map(Suppressions::read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(files: &[(&str, &str)]) -> Outcome {
        let project = Project::in_memory(files.iter().copied()).expect("valid configuration");
        check(&project, &Selection::default())
    }

    fn apply(text: &str, fix: &Fix) -> String {
        let mut text = text.to_owned();
        for edit in fix.edits.iter().rev() {
            text.replace_range(edit.span.range(), &edit.text);
        }
        text
    }

    #[test]
    fn an_unknown_name_in_a_comment_is_reported_and_deleted() {
        let text = "server {\n    # wslint: ignore[nginx/nonsense] no\n    listen 80;\n}\n";
        let outcome = outcome(&[("nginx.conf", text)]);
        assert_eq!(outcome.findings.len(), 1);
        assert_eq!(outcome.findings[0].rule, "wslint/unused-ignore");
        let fix = outcome.findings[0].fix.as_ref().expect("fixable");
        assert_eq!(apply(text, fix), "server {\n    listen 80;\n}\n");
    }

    /// A location that loses every handshake, below `comment`.
    fn lost(comment: &str) -> String {
        format!(
            "events {{}}\nhttp {{ server {{\n{comment}\nlocation /ws/ {{\nproxy_pass http://a;\n}} }} }}\n"
        )
    }

    #[test]
    fn a_comment_above_the_block_covers_what_is_found_in_it() {
        let comment = "# wslint: ignore[nginx/upgrade-not-forwarded] not ours";
        assert!(
            outcome(&[("nginx.conf", &lost(comment))])
                .findings
                .is_empty()
        );
        assert_eq!(outcome(&[("nginx.conf", &lost(""))]).findings.len(), 1);
    }

    #[test]
    fn a_comment_about_a_rule_that_does_not_run_is_not_unused() {
        let text = lost("# wslint: ignore[nginx/upgrade-not-forwarded]");
        let project = Project::in_memory([("nginx.conf", text.as_str())]).expect("valid");
        let selection = Selection {
            ignore: vec!["nginx".to_owned()],
            ..Selection::default()
        };
        assert!(check(&project, &selection).findings.is_empty());
    }

    #[test]
    fn severities_are_set_by_group_and_by_rule() {
        let text = lost("");
        for (config, expected) in [
            ("[severity]\nnginx = \"warning\"", Severity::Warning),
            (
                "[severity]\nnginx = \"info\"\n\"nginx/upgrade-not-forwarded\" = \"warning\"",
                Severity::Warning,
            ),
            ("", Severity::Error),
        ] {
            let outcome = outcome(&[("nginx.conf", &text), ("wslint.toml", config)]);
            let severities: Vec<_> = outcome
                .findings
                .iter()
                .map(|finding| finding.severity)
                .collect();
            assert_eq!(severities, [expected], "{config}");
        }
    }

    #[test]
    fn one_name_of_a_list_is_deleted_with_its_comma() {
        for (text, fixed) in [
            (
                "a b; # wslint: ignore[nope/x, nginx]\n",
                "a b; # wslint: ignore[nginx]\n",
            ),
            (
                "a b; # wslint: ignore[nginx, nope/x]\n",
                "a b; # wslint: ignore[nginx]\n",
            ),
            ("a b; # wslint: ignore[nope/x] why\n", "a b;\n"),
        ] {
            let outcome = outcome(&[("nginx.conf", text)]);
            let finding = outcome
                .findings
                .iter()
                .find(|finding| finding.message.contains("nope/x"))
                .expect("found");
            assert_eq!(apply(text, finding.fix.as_ref().expect("fixable")), fixed);
        }
    }
}

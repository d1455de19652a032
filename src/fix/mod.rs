//! Fixes: which of them hold, and what a project becomes by them.
//!
//! No fix is believed. The project is resolved again with its edits, in memory, and the fix is kept
//! only if its finding is gone, nothing new but hygiene is found or undecided, and every other handshake and
//! page still passes as it did.

mod passages;
mod write;

pub use write::{Changed, changed, diff, write};

use std::collections::BTreeSet;

use crate::check::{Outcome, Selection, check_resolved};
use crate::context::Context;
use crate::finding::{Applicability, Edit, Finding, Fix};
use crate::project::Project;
use crate::rule::Severity;
use crate::source::{Kind, SourceId};

/// Rounds of fixing. What is mended may show what it hid, a few times over.
const MAX_ROUNDS: usize = 10;

/// How often fixes are tried where all of them together do not hold; each time costs a check.
const MAX_TRIED: usize = 64;

/// Servers and handlers above which no fix is tried: asking each of them about each path, before
/// and after, would take longer than anyone waits. People write hundreds.
const MAX_RESOLVED: usize = 5000;

/// Whether a project resolves to so much that only a generator can have written it.
fn is_vast(cx: &Context<'_>) -> bool {
    let servers = cx.nginx.configs.iter().map(|config| config.servers.len());
    let sites = cx.caddy.configs.iter().flat_map(|config| &config.sites);
    let handlers = sites.map(|site| site.handlers.all.len());
    servers.chain(handlers).sum::<usize>() > MAX_RESOLVED
}

/// Drops the fixes of `outcome` that do not hold.
pub fn keep_what_holds(cx: &Context<'_>, outcome: &mut Outcome) {
    let fixes: Vec<usize> = (0..outcome.findings.len())
        .filter(|at| outcome.findings[*at].fix.is_some())
        .collect();
    if fixes.is_empty() {
        return;
    }
    if is_vast(cx) {
        for at in fixes {
            outcome.findings[at].fix = None;
        }
        return;
    }
    for finding in &mut outcome.findings {
        keep_line_ends(cx.project, finding);
    }
    let before = Baseline::of(cx);
    // Mostly all of them hold, and one look is enough; else each half is looked at for itself.
    let mut open = vec![fixes.as_slice()];
    let mut tried = 0;
    while let Some(part) = open.pop() {
        let findings: Vec<&Finding> = part.iter().map(|at| &outcome.findings[*at]).collect();
        if independent(&findings).len() == findings.len() {
            tried += 1;
            if tried <= MAX_TRIED && before.holds(&findings) {
                continue;
            }
        }
        match part {
            [at] => outcome.findings[*at].fix = None,
            _ => {
                let (first, second) = part.split_at(part.len() / 2);
                open.extend([second, first]);
            }
        }
    }
}

/// Lines that a fix writes end as the line does at which they are written: a file may be of two
/// minds.
fn keep_line_ends(project: &Project, finding: &mut Finding) {
    for edit in finding.fix.iter_mut().flat_map(|fix| &mut fix.edits) {
        let text = &project.source(edit.span.source).text;
        let start = edit.span.start as usize;
        let end = text[start..].find('\n').map(|at| start + at);
        let end = end.or_else(|| text[..start].rfind('\n'));
        // What is copied from the file may have them already.
        let lines = edit.text.replace("\r\n", "\n");
        edit.text = match end.is_some_and(|end| text[..end].ends_with('\r')) {
            true => lines.replace('\n', "\r\n"),
            false => lines,
        };
    }
}

/// A project after fixing.
#[derive(Debug)]
pub struct Fixed {
    /// The project as the fixes leave it.
    pub project: Project,
    /// How many findings were fixed.
    pub count: usize,
}

/// Applies the fixes that hold, round by round, until nothing is left to fix. Only files of
/// `selection.only` are changed.
pub fn fix(project: Project, selection: &Selection, also_unsafe: bool) -> Fixed {
    let (mut project, mut count) = (project, 0);
    for _ in 0..MAX_ROUNDS {
        let (edits, fixed) = {
            let cx = Context::resolve(&project);
            let mut outcome = check_resolved(&cx, selection);
            keep_what_holds(&cx, &mut outcome);
            let wanted: Vec<&Finding> = outcome
                .findings
                .iter()
                .filter(|finding| {
                    finding.fix.as_ref().is_some_and(|fix| {
                        (also_unsafe || fix.applicability == Applicability::Safe)
                            && is_within(&project, &selection.only, fix)
                    })
                })
                .collect();
            let chosen = independent(&wanted);
            if chosen.is_empty() {
                break;
            }
            // Each holds by itself; what does not hold together is done one a round.
            let baseline = Baseline::of(&cx);
            let chosen = if chosen.len() == 1 || baseline.holds(&chosen) {
                chosen
            } else {
                chosen[..1].to_vec()
            };
            (edits(&chosen), chosen.len())
        };
        let Some(next) = project.edited(&edits) else {
            break;
        };
        project = next;
        count += fixed;
    }
    Fixed { project, count }
}

fn is_within(project: &Project, only: &Option<BTreeSet<String>>, fix: &Fix) -> bool {
    fix.edits.iter().all(|edit| {
        only.as_ref()
            .is_none_or(|only| only.contains(&project.source(edit.span.source).path))
    })
}

fn edits(findings: &[&Finding]) -> Vec<Edit> {
    let mut edits: Vec<Edit> = findings
        .iter()
        .filter_map(|finding| finding.fix.as_ref())
        .flat_map(|fix| fix.edits.iter().cloned())
        .collect();
    edits.sort_by_key(|edit| (edit.span.source, edit.span.start, edit.span.end));
    // Two findings may ask for the same line.
    edits.dedup();
    edits
}

/// The findings whose fixes do not overlap, in order; of those that do, the first.
fn independent<'f>(findings: &[&'f Finding]) -> Vec<&'f Finding> {
    let mut taken: Vec<Edit> = Vec::new();
    let mut chosen = Vec::new();
    for finding in findings {
        let Some(fix) = &finding.fix else { continue };
        let clashes = fix.edits.iter().any(|edit| {
            taken.iter().any(|other| {
                edit != other
                    && edit.span.source == other.span.source
                    // Two insertions at one place clash too: their order would be a guess.
                    && edit.span.start <= other.span.end
                    && other.span.start <= edit.span.end
            })
        });
        if !clashes {
            taken.extend(fix.edits.iter().cloned());
            chosen.push(*finding);
        }
    }
    chosen
}

/// A place that survives edits elsewhere: the path, and the byte that it has after them.
type Key = (String, u32, String);

/// What is true of a project before any fix.
struct Baseline<'a> {
    cx: &'a Context<'a>,
    project: &'a Project,
    outcome: Outcome,
}

impl<'a> Baseline<'a> {
    fn of(cx: &'a Context<'a>) -> Self {
        Self {
            cx,
            project: cx.project,
            outcome: check_resolved(cx, &everything()),
        }
    }

    /// Whether the fixes of `findings`, together, mend them and nothing else changes.
    fn holds(&self, findings: &[&Finding]) -> bool {
        let edits = edits(findings);
        // Spans into the configuration are everywhere; it is left to people.
        let ours = |edit: &Edit| self.project.source(edit.span.source).kind == Kind::Config;
        if edits.iter().any(ours) {
            return false;
        }
        let Some(edited) = self.project.edited(&edits) else {
            return false;
        };
        let cx = Context::resolve(&edited);
        let after = check_resolved(&cx, &everything());
        let moved = |source: SourceId, byte: u32| moved(&edits, source, byte);
        let finding = |finding: &Finding| -> Key {
            let path = self.project.source(finding.span.source).path.clone();
            let start = moved(finding.span.source, finding.span.start);
            (path, start, finding.rule.to_string())
        };
        let known: BTreeSet<Key> = self.outcome.findings.iter().map(finding).collect();
        let mended: BTreeSet<Key> = findings.iter().map(|one| finding(one)).collect();
        let left = after.findings.iter().all(|finding| {
            let key = (
                edited.source(finding.span.source).path.clone(),
                finding.span.start,
                finding.rule.to_string(),
            );
            // Hygiene that speaks only of sockets that open is nothing that the fix broke.
            let counts = known.contains(&key) || finding.severity == Severity::Info;
            counts && !mended.contains(&key)
        });
        let notes: BTreeSet<Key> = self
            .outcome
            .undecided
            .iter()
            .map(|note| {
                let path = self.project.source(note.span.source).path.clone();
                let start = moved(note.span.source, note.span.start);
                (path, start, note.message.clone())
            })
            .collect();
        let changed = edits.iter().map(|edit| edit.span.source).collect();
        left && after.undecided.iter().all(|note| {
            let path = edited.source(note.span.source).path.clone();
            notes.contains(&(path, note.span.start, note.message.clone()))
        }) && passages::hold(self.cx, &cx, &changed)
    }
}

/// Everything that a check can say, whatever is asked for.
fn everything() -> Selection {
    Selection {
        pedantic: true,
        ..Selection::default()
    }
}

/// Where a byte of a source is after the edits.
fn moved(edits: &[Edit], source: SourceId, byte: u32) -> u32 {
    let mut moved = i64::from(byte);
    for edit in edits.iter().filter(|edit| edit.span.source == source) {
        if edit.span.end <= byte {
            moved += edit.text.len() as i64 - (edit.span.end - edit.span.start) as i64;
        } else if edit.span.start < byte {
            moved -= i64::from(byte - edit.span.start);
        }
    }
    u32::try_from(moved).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Report;
    use crate::rule::rules;
    use crate::source::Span;

    const COMMENT: &str = "server {\n    # wslint: ignore[nginx/nonsense] no\n    listen 80;\n}\n";

    fn fixed(text: &str) -> (String, usize) {
        let project = Project::in_memory([("nginx.conf", text)]).expect("valid");
        let fixed = fix(project, &Selection::default(), false);
        (fixed.project.sources[0].text.clone(), fixed.count)
    }

    #[test]
    fn fixing_twice_changes_nothing_more() {
        let (once, count) = fixed(COMMENT);
        assert_eq!((once.as_str(), count), ("server {\n    listen 80;\n}\n", 1));
        assert_eq!(fixed(&once), (once, 0));
    }

    #[test]
    fn line_ends_and_the_mark_stay() {
        let windows = format!("\u{feff}{}", COMMENT.replace('\n', "\r\n"));
        let (text, count) = fixed(&windows);
        assert_eq!(
            (text.as_str(), count),
            ("\u{feff}server {\r\n    listen 80;\r\n}\r\n", 1)
        );
    }

    #[test]
    fn copied_and_new_lines_end_alike() {
        let file = "http://localhost {\r\n\treverse_proxy /ws/* app:8000 {\r\n\t\tflush_interval -1\r\n\t}\r\n\thandle {\r\n\t\tfile_server\r\n\t}\r\n}\r\n";
        let project = Project::in_memory([("Caddyfile", file)]).expect("valid");
        let fixed = fix(project, &Selection::default(), false);
        let text = &fixed.project.sources[0].text;
        assert!(
            fixed.count > 0 && text.contains("\thandle /ws/* {\r\n"),
            "{text}"
        );
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
        assert!(!text.contains("\r\r"), "{text}");
    }

    #[test]
    fn in_a_file_of_two_minds_the_lines_beside_decide() {
        let file = "events {}\r\nhttp {\n    server {\n        location /ws/ {\n            proxy_pass http://app:8000;\n        }\n    }\n}\r\n";
        let project = Project::in_memory([("nginx.conf", file)]).expect("valid");
        let fixed = fix(project, &Selection::default(), false);
        let text = &fixed.project.sources[0].text;
        assert!(
            fixed.count > 0 && text.matches("\r\n").count() == 2,
            "{text:?}"
        );
    }

    /// A fix of one edit at `find`, for the only finding of these files.
    fn offered(files: &[(&str, &str)], find: &str, with: &str) -> bool {
        let project = Project::in_memory(files.iter().copied()).expect("valid");
        let cx = Context::resolve(&project);
        let mut outcome = check_resolved(&cx, &Selection::default());
        let source = &project.sources[0];
        let start = source.text.find(find).expect("there");
        let edit = Edit {
            span: Span::new(source.id, start..start + find.len()),
            text: with.to_owned(),
        };
        let fix = Fix {
            title: "mend it".to_owned(),
            applicability: Applicability::Safe,
            edits: vec![edit],
        };
        assert_eq!(outcome.findings.len(), 1, "{outcome:#?}");
        outcome.findings[0].fix = Some(fix);
        keep_what_holds(&cx, &mut outcome);
        outcome.findings[0].fix.is_some()
    }

    #[test]
    fn what_does_not_mend_or_breaks_more_is_not_offered() {
        let conf = "events {}\nhttp { server { server_name a; proxy_set_header X-Secret s; location /ws/ { proxy_http_version 1.1; proxy_pass http://a:1; } location /api/ { proxy_pass http://a:1; } } }\n";
        let files = [("nginx.conf", conf)];
        let pass = "proxy_http_version 1.1; proxy_pass";
        let pair =
            "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;";
        let whole = format!("{pair} proxy_set_header X-Secret s; {pass}");
        assert!(offered(&files, pass, &whole));
        // The pair alone discards what the server sets.
        assert!(
            !offered(&files, pass, &format!("{pair} {pass}")),
            "X-Secret"
        );
        assert!(
            !offered(&files, pass, &format!("proxy_buffering off; {pass}")),
            "still lost"
        );
        assert!(
            !offered(
                &files,
                pass,
                &format!(
                    "{whole} http://a:1; }} location /api/x {{ return 403; }} location /y {{ proxy_pass"
                )
            ),
            "/api/"
        );
        assert!(!offered(&files, "events {}", "events {"), "no syntax");
        // Elsewhere something changes.
        assert!(
            !offered(
                &files,
                "proxy_set_header X-Secret s; location",
                &format!("{pair} location")
            ),
            "server"
        );
    }

    #[test]
    fn insertions_at_one_place_are_not_mixed() {
        let rule = &rules()[0];
        let report = Report::new(rule);
        let at = |range: std::ops::Range<usize>, text: &str| {
            let span = Span::new(SourceId(0), range);
            report.finding("x", span, "").fix(Fix {
                title: String::new(),
                applicability: Applicability::Safe,
                edits: vec![Edit {
                    span,
                    text: text.to_owned(),
                }],
            })
        };
        let (a, b, c) = (at(3..3, "a"), at(3..3, "b"), at(9..12, ""));
        let chosen = independent(&[&a, &b, &c]);
        assert_eq!(chosen.len(), 2);
        assert_eq!(
            independent(&[&a, &a.clone()]).len(),
            2,
            "the same edit twice is one"
        );
        let edits = edits(&[&a, &c]);
        assert_eq!(moved(&edits, SourceId(0), 2), 2);
        assert_eq!(moved(&edits, SourceId(0), 3), 4);
        assert_eq!(moved(&edits, SourceId(0), 20), 18);
    }
}

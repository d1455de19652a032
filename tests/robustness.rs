//! Whatever the bytes are: no panic, no hang, and every span points at whole characters of its
//! file. The inputs are the rules' own examples, damaged at random from fixed seeds.

use std::time::{Duration, Instant};

use wslint::check::{Outcome, Selection, check};
use wslint::output::{Checked, Format};
use wslint::project::Project;
use wslint::rule::rules;
use wslint::source::Span;

/// xorshift64*: small, seeded, the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(value).unwrap_or(0) % limit.max(1)
    }
}

/// What tends to hurt parsers, and what tends to hurt models.
const SPLINTERS: &[&str] = &[
    "{",
    "}",
    "\"",
    "'",
    "`",
    "\\",
    "\n",
    ";",
    "#",
    "$",
    "${",
    "{$",
    "{{",
    "}}",
    "{%",
    "(",
    ")",
    "[",
    "]",
    "é",
    "\u{1f4a5}",
    "\u{feff}",
    "\r",
    "\t",
    "<<EOF",
    ",",
    "*",
    "@",
    "~",
    "=",
    ":",
    "/",
    "0",
    "-",
    "if",
    "include nginx.conf;",
    "import Caddyfile",
    "from .settings import *",
    "map $a $b { default $b; }",
    "location ~ (((",
    "re_path(r'(((', x),",
    "def f():",
    "lambda:",
    "**",
    "@x {",
    "handle {",
    "proxy_pass",
];

fn damaged(text: &str, random: &mut Random) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        let until = (at + random.below(40)).min(text.len());
        match random.below(5) {
            0 => drop(text.drain(at..until)),
            1 => {
                let piece: Vec<char> = text[at..until].to_vec();
                let to = random.below(text.len() + 1);
                text.splice(to..to, piece);
            }
            2 if at < text.len() => drop(text.remove(at)),
            _ => {
                let splinter = SPLINTERS[random.below(SPLINTERS.len())];
                text.splice(at..at, splinter.chars());
            }
        }
    }
    text.into_iter().collect()
}

fn assert_spans(project: &Project, outcome: &Outcome, what: &str) {
    let whole = |span: Span| {
        let text = &project.source(span.source).text;
        text.get(span.range()).is_some()
    };
    for finding in &outcome.findings {
        for span in finding.spans() {
            assert!(
                whole(span),
                "{what}: {} has {span:?} outside its file",
                finding.rule
            );
        }
    }
    for note in &outcome.undecided {
        assert!(whole(note.span), "{what}: {:?} outside its file", note);
    }
}

#[test]
fn damage_costs_no_panic_no_time_and_no_span() {
    let mut tried = 0;
    // The more examples there are, the fewer damages each of them needs.
    let examples: u64 = rules().iter().map(|rule| rule.examples.len() as u64).sum();
    let seeds = (2000 / examples.max(1)).clamp(3, 60);
    for rule in rules() {
        for (number, example) in rule.examples.iter().enumerate() {
            for seed in 1..=seeds {
                let mut random = Random(seed * 0x9E37_79B9 + number as u64);
                let files: Vec<(String, String)> = example
                    .files
                    .iter()
                    .map(|(path, text)| {
                        let keep = path.ends_with("wslint.toml") || random.below(3) == 0;
                        let text = if keep {
                            text.to_string()
                        } else {
                            damaged(text, &mut random)
                        };
                        (path.to_string(), text)
                    })
                    .collect();
                let what = format!("{} {:?} seed {seed}", rule.id, example.title);
                let begun = Instant::now();
                let borrowed = files
                    .iter()
                    .map(|(path, text)| (path.as_str(), text.as_str()));
                let project = Project::in_memory(borrowed).expect("its wslint.toml is whole");
                let outcome = check(&project, &Selection::default());
                assert_spans(&project, &outcome, &what);
                let checked = [Checked { project, outcome }];
                for format in [
                    Format::Full,
                    Format::Concise,
                    Format::Json,
                    Format::Sarif,
                    Format::Github,
                ] {
                    wslint::output::write(&checked, format, true, &mut Vec::new())
                        .expect("written");
                }
                assert!(
                    begun.elapsed() < Duration::from_secs(30),
                    "{what}: {:?}",
                    begun.elapsed()
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "only {tried} damaged examples");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let files: Vec<(String, &str)> = rules()
        .iter()
        .flat_map(|rule| {
            rule.examples
                .iter()
                .enumerate()
                .map(move |(at, example)| (rule, at, example))
        })
        .flat_map(|(rule, at, example)| {
            example
                .files
                .iter()
                .filter(|(path, _)| !path.ends_with("wslint.toml"))
                .flat_map(move |(path, text)| {
                    (0..4)
                        .map(move |copy| (format!("{copy}/{}/{at}/{path}", rule.id), text.as_ref()))
                })
        })
        .collect();
    let once = || {
        let project = Project::in_memory(files.iter().map(|(path, text)| (path.as_str(), *text)))
            .expect("valid");
        assert!(
            project.pays_threads(),
            "too small to run on several threads"
        );
        let outcome = check(&project, &Selection::default());
        let mut bytes = Vec::new();
        wslint::output::write(
            &[Checked { project, outcome }],
            Format::Json,
            false,
            &mut bytes,
        )
        .expect("written");
        String::from_utf8(bytes).expect("UTF-8")
    };
    let first = once();
    for _ in 0..5 {
        assert_eq!(once(), first);
    }
}

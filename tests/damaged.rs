//! Whole stacks of which one file is damaged: cut off, filled with rubble, emptied, no UTF-8, no
//! YAML. Nothing that is only a consequence of the damage is an error, what is whole is joined as
//! before, and the damaged place is said.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use support::{repository, write};
use wslint::check::{Selection, check_resolved};
use wslint::context::Context;
use wslint::project::{self, Options};
use wslint::rule::Severity;
use wslint::source::Span;
use wslint::trace::{Target, Verdict, Way, trace};

/// What is in a file in place of what should be.
const RUBBLE: &[(&str, &[u8])] = &[
    (
        "binary",
        b"\x7fELF\x02\x01\x01\0\0\0\xff\xfe\x80\n\0\0\x03\n",
    ),
    ("braces", b"}}}} {{{{ ;;; ]]] (((\n"),
    ("prose", b"this is not the file you are looking for\n"),
    ("no YAML", b"services: [web: {\n\t- : :\n@ % `\n"),
    (
        "a page",
        b"<!DOCTYPE html>\n<html><body>404</body></html>\n",
    ),
    (
        "a conflict",
        b"<<<<<<< HEAD\nx\n=======\ny\n>>>>>>> theirs\n",
    ),
];

/// Files by their paths.
type Files = BTreeMap<String, Vec<u8>>;

/// Stacks of `tests/stacks` that work, each with a URL that opens.
const STACKS: &[(&str, &str)] = &[
    ("nginx-daphne", "wss://chat.example.com/ws/rooms/lobby/"),
    ("caddy-daphne", "wss://chat.example.com/ws/rooms/lobby/"),
    ("uvicorn", "wss://chat.example.com/ws/rooms/lobby/"),
    ("unix-socket", "wss://chat.example.com/ws/rooms/lobby/"),
    ("nginx-caddy", "wss://chat.example.com/ws/rooms/lobby/"),
    ("backends-alike", "wss://chat.example.com/ws/rooms/lobby/"),
];

/// The files of a stack, with those of its bases.
fn files(stack: &str) -> Files {
    let folder = repository().join("tests/stacks").join(stack);
    let text = fs::read_to_string(folder.join("stack.toml")).expect("a stack");
    let told: toml::Table = text.parse().expect("TOML");
    let base = told.get("base").and_then(toml::Value::as_str);
    let mut found = base.map_or_else(Files::new, files);
    let without = told.get("without").and_then(toml::Value::as_array);
    for path in without.into_iter().flatten() {
        found.remove(path.as_str().expect("a path"));
    }
    add(&folder, "", &mut found);
    found.remove("stack.toml");
    found
}

fn add(folder: &Path, below: &str, files: &mut Files) {
    for entry in fs::read_dir(folder.join(below)).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("UTF-8");
        let path = match below {
            "" => name,
            _ => format!("{below}/{name}"),
        };
        if entry.file_type().expect("a type").is_dir() {
            add(folder, &path, files);
        } else {
            files.insert(path, fs::read(entry.path()).expect("read"));
        }
    }
}

/// How a file is damaged.
struct Damage {
    what: String,
    bytes: Vec<u8>,
    /// What is left is a whole file of its kind, only shorter.
    is_whole: bool,
}

fn damages(text: &[u8]) -> Vec<Damage> {
    let mut found = Vec::new();
    let mut add = |what: String, bytes: Vec<u8>, is_whole: bool| {
        found.push(Damage {
            what,
            bytes,
            is_whole,
        });
    };
    add("emptied".to_owned(), Vec::new(), false);
    // At the end of a line, and within the next one.
    let ends: Vec<usize> = (0..text.len()).filter(|at| text[*at] == b'\n').collect();
    let step = ends.len().div_ceil(4).max(1);
    for pair in ends.windows(2).step_by(step) {
        for end in [pair[0] + 1, pair[0].midpoint(pair[1]) + 1] {
            add(format!("cut at {end}"), text[..end].to_vec(), true);
        }
    }
    for (name, rubble) in RUBBLE {
        add(format!("{name} alone"), rubble.to_vec(), false);
        let half = text.len() / 2;
        let rest = text[half..].iter().position(|byte| *byte == b'\n');
        for (place, at) in [("before", 0), ("amid", half + rest.unwrap_or(0))] {
            let bytes = [&text[..at], b"\n", rubble, &text[at..]].concat();
            add(format!("{name} {place}"), bytes, false);
        }
    }
    let broken = |byte: &u8| if *byte == b'e' { 0xe9 } else { *byte };
    let latin = text.iter().map(broken).collect();
    add("Latin-1".to_owned(), latin, text.is_empty());
    let units = text.iter().flat_map(|byte| [*byte, 0]);
    let utf16 = [0xff, 0xfe].into_iter().chain(units).collect();
    add("UTF-16".to_owned(), utf16, false);
    found
}

struct Judged {
    verdicts: Vec<Verdict>,
    /// The files, the rule and the message of each error.
    errors: Vec<[String; 3]>,
    /// The files that are said to be undecided.
    said: Vec<String>,
}

fn judge(folder: &Path, url: &str) -> Judged {
    let options = Options {
        cwd: folder.to_owned(),
        ..Options::default()
    };
    let mut problems = Vec::new();
    let mut plans = project::plan(&[folder.to_owned()], &options, &mut problems);
    let plan = plans.pop().expect("a project");
    let project = project::load(plan, &options, &mut problems);
    assert_eq!(problems, []);
    let cx = Context::resolve(&project);
    let outcome = check_resolved(&cx, &Selection::default());
    let target = Target::parse(url).expect("a URL");
    let ways = trace(&cx, &target, None);
    let path = |span: Span| project.source(span.source).path.clone();
    let errors = outcome.findings.iter();
    Judged {
        verdicts: ways.iter().map(Way::verdict).collect(),
        errors: errors
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| {
                let (rule, message) = (finding.rule.to_string(), finding.message.clone());
                let files: Vec<String> = finding.spans().map(path).collect();
                [files.join(" "), rule, message]
            })
            .collect(),
        said: outcome
            .undecided
            .iter()
            .map(|note| path(note.span))
            .collect(),
    }
}

/// Whether nothing can be wrong with such a file that anybody would miss: what it holds is for
/// nobody here, or may be anything.
fn may_be_anything(path: &str, bytes: &[u8]) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let never_read = ["manage.py", "wsgi.py", "urls.py", "__init__.py"];
    // Lines of requirements, and the settings of a unit, are read each for itself.
    let each_line = name.ends_with(".txt") || name.ends_with(".service");
    each_line || never_read.contains(&name) || bytes.is_empty() && name.ends_with(".py")
}

#[test]
fn whatever_file_is_damaged_the_gap_is_said_and_nothing_else() {
    let mut wrong = Vec::new();
    for (number, (stack, url)) in STACKS.iter().enumerate() {
        let files = files(stack);
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, bytes) in &files {
            write(folder.path(), path, bytes);
        }
        let whole = judge(folder.path(), url);
        assert_eq!(whole.errors, Vec::<[String; 3]>::new(), "{stack}");
        assert_eq!(whole.verdicts, [Verdict::Opens], "{stack}");
        // The application is the same in all of them.
        let own = files
            .iter()
            .filter(|(path, _)| number == 0 || !path.ends_with(".py"));
        for (path, bytes) in own {
            for damage in damages(bytes) {
                write(folder.path(), path, &damage.bytes);
                let Judged {
                    verdicts,
                    errors,
                    said,
                } = judge(folder.path(), url);
                let here = format!("{stack}: {path}, {}", damage.what);
                // What is left of a file may be whole, and wrong: that is told of itself.
                let of_itself = |[files, rule, _]: &&[String; 3]| {
                    files.split(' ').any(|file| file == path)
                        && (damage.is_whole || rule.ends_with("/refused"))
                };
                let others: Vec<_> = errors.iter().filter(|one| !of_itself(one)).collect();
                if !others.is_empty() {
                    wrong.push(format!("{here}: {others:?}"));
                }
                let told = !errors.is_empty()
                    || said.contains(path)
                    || verdicts.contains(&Verdict::Undecided);
                let silent = damage.is_whole || may_be_anything(path, &damage.bytes);
                if !told && (!silent || verdicts.contains(&Verdict::Fails) && !damage.is_whole) {
                    wrong.push(format!("{here}: not a word, and {verdicts:?}"));
                }
            }
            write(folder.path(), path, bytes);
        }
        assert_eq!(
            judge(folder.path(), url).verdicts,
            [Verdict::Opens],
            "{stack}"
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is left of a stack whose compose file is broken: whoever is found without it is joined, and
/// a name that only it could explain means no stranger.
#[test]
fn a_broken_compose_file_is_no_empty_one() {
    let nginx = "events {}\nhttp { server { listen 80; server_name a.example; location / {\n\
        proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;\n\
        proxy_set_header Connection upgrade; proxy_pass http://backend:9000; } } }\n";
    let compose = "services:\n  front:\n    image: nginx\n    volumes: ['./nginx.conf:/etc/nginx/nginx.conf']\n";
    let backend = "  backend:\n    image: example/elixir\n";
    for (text, verdict) in [
        // Another program's, as the file says; what it would say further down; no compose file.
        (format!("{compose}{backend}"), Verdict::Opens),
        (format!("{compose}  x: [\n{backend}"), Verdict::Undecided),
        ("services: [".to_owned(), Verdict::Undecided),
        ("a page in its place".to_owned(), Verdict::Undecided),
    ] {
        let folder = support::folder(&[("nginx.conf", nginx), ("compose.yaml", &text)]);
        let judged = judge(folder.path(), "ws://a.example/ws/");
        assert_eq!(judged.verdicts, [verdict], "{text}");
        let is_said = judged.said.contains(&"compose.yaml".to_owned());
        assert_eq!(is_said, verdict == Verdict::Undecided, "{text}");
    }
}

#[test]
fn an_nginx_conf_that_holds_nothing_of_nginxs_is_not_clean() {
    for (text, said) in [
        ("", true),
        ("this is not the file you are looking for\n", true),
        ("\u{1f4a5}\n", true),
        // Files of that name which other programs read.
        ("[program:nginx]\ncommand=nginx\n", false),
        ("server {\n    listen 80;\n    return 404;\n}\n", false),
    ] {
        let folder = support::folder(&[("nginx.conf", text)]);
        let out = support::wslint(folder.path(), &["check"]);
        assert_eq!(out.status, Some(0), "{text}: {out:#?}");
        assert_eq!(out.stderr.contains("nginx.conf"), said, "{text}: {out:#?}");
    }
}

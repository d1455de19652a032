//! The command line's contract: exit statuses, streams and formats.

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{command, folder, repository, servers, validate, write, wslint, wslint_with};
use wslint::rule::rules;

/// A warning that needs no proxy to be true.
const WARNS: (&str, &str) = (
    "nginx.conf",
    "# wslint: ignore[nginx/no-such-rule] an old friend\nserver {\n    listen 80;\n}\n",
);
const CLEAN: (&str, &str) = ("nginx.conf", "server {\n    listen 80;\n}\n");

/// Every breaking example of every rule, each in a project of its own.
fn every_breaking_example() -> tempfile::TempDir {
    let all = folder(&[]);
    for rule in rules() {
        for (number, example) in rule
            .examples
            .iter()
            .filter(|example| example.breaks)
            .enumerate()
        {
            let project = format!("{}-{number}", rule.id.replace('/', "-"));
            write(all.path(), &format!("{project}/wslint.toml"), b"");
            for (path, text) in example.files.iter() {
                write(all.path(), &format!("{project}/{path}"), text.as_bytes());
            }
        }
    }
    all
}

#[test]
fn nothing_found_is_0() {
    let said = wslint(folder(&[CLEAN]).path(), &["check"]);
    assert_eq!(
        (said.status, said.stdout.as_str()),
        (Some(0), ""),
        "{said:#?}"
    );
}

#[test]
fn a_warning_is_1_unless_fail_on_says_otherwise() {
    let folder = folder(&[WARNS]);
    for (arguments, status) in [
        (&["check"][..], 1),
        (&["check", "--fail-on", "warning"], 1),
        (&["check", "--fail-on", "info"], 1),
        (&["check", "--fail-on", "error"], 0),
        (&["check", "--fail-on", "never"], 0),
        (&["check", "--ignore", "wslint"], 0),
        (&["check", "--ignore", "wslint/unused-ignore"], 0),
        (&["check", "--select", "nginx"], 0),
        (&["check", "--select", "wslint"], 1),
        (&["check", "--exclude", "nginx.conf"], 0),
        (&["check", "nginx.conf"], 1),
        (&["check", "--exclude", "nginx.conf", "nginx.conf"], 1),
        (
            &[
                "check",
                "--exclude",
                "nginx.conf",
                "--force-exclude",
                "nginx.conf",
            ],
            0,
        ),
    ] {
        let said = wslint(folder.path(), arguments);
        assert_eq!(said.status, Some(status), "{arguments:?}: {said:#?}");
    }
}

#[test]
fn work_that_could_not_be_done_is_2_and_says_why() {
    let folder = folder(&[CLEAN]);
    for (arguments, why) in [
        (&["check", "--no-such-option"][..], "--no-such-option"),
        (&["check", "missing.conf"], "missing.conf"),
        (&["check", "--select", "ngimx"], "did you mean `nginx`"),
        (&["check", "--config", "missing.toml"], "missing.toml"),
        (&["check", "--format", "yaml"], "yaml"),
        (&["check", "-"], "--stdin-filename"),
        (&["explain", "nginx/no-such-rule"], "no-such-rule"),
        (&[], "Usage"),
    ] {
        let said = wslint(folder.path(), arguments);
        assert_eq!(said.status, Some(2), "{arguments:?}: {said:#?}");
        assert!(said.stderr.contains(why), "{arguments:?}: {said:#?}");
    }
}

#[test]
fn a_configuration_that_is_wrong_is_2_with_line_and_suggestion() {
    let folder = folder(&[
        CLEAN,
        ("wslint.toml", "[websocket]\nendpoint = [\"/ws/\"]\n"),
    ]);
    let said = wslint(folder.path(), &["check"]);
    assert_eq!(said.status, Some(2), "{said:#?}");
    for needed in ["wslint.toml:2", "endpoint", "endpoints"] {
        assert!(said.stderr.contains(needed), "no {needed} in {said:#?}");
    }
}

#[test]
fn files_of_other_kinds_are_0_and_silent() {
    let folder = folder(&[("README.md", "# nginx\n"), ("main.go", "package main\n")]);
    let said = wslint(folder.path(), &["check", "README.md", "main.go"]);
    assert_eq!(
        (said.status, said.stdout.as_str(), said.stderr.as_str()),
        (Some(0), "", "")
    );
}

#[test]
fn a_missing_path_does_not_hide_what_is_found_elsewhere() {
    let folder = folder(&[WARNS]);
    let said = wslint(folder.path(), &["check", "nginx.conf", "missing.conf"]);
    assert_eq!(said.status, Some(2), "{said:#?}");
    assert!(said.stdout.contains("nginx/no-such-rule"), "{said:#?}");
    assert!(said.stderr.contains("missing.conf"), "{said:#?}");
}

#[test]
fn stdin_is_judged_by_the_name_it_would_have() {
    let folder = folder(&[]);
    let arguments = [
        "check",
        "-",
        "--stdin-filename",
        "nginx.conf",
        "--format",
        "concise",
    ];
    let said = wslint_with(folder.path(), &arguments, WARNS.1.as_bytes());
    assert_eq!(said.status, Some(1), "{said:#?}");
    assert!(said.stdout.starts_with("nginx.conf:1:"), "{said:#?}");
}

#[test]
fn findings_go_to_stdout_and_the_rest_to_stderr() {
    let said = wslint(folder(&[WARNS]).path(), &["check"]);
    assert!(said.stdout.contains("wslint/unused-ignore"), "{said:#?}");
    assert!(!said.stderr.contains("unused-ignore"), "{said:#?}");
    assert!(said.stderr.contains("1 warning"), "{said:#?}");
    let quiet = wslint(folder(&[WARNS]).path(), &["check", "-q"]);
    assert_eq!(quiet.stderr, "", "{quiet:#?}");
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let folder = folder(&[WARNS]);
    let escapes = |arguments: &[&str]| wslint(folder.path(), arguments).stdout.contains('\x1b');
    assert!(!escapes(&["check"]));
    assert!(escapes(&["check", "--color", "always"]));
    assert!(!escapes(&["check", "--color", "never"]));
}

#[test]
fn escape_sequences_of_a_file_reach_no_output() {
    let evil = "# wslint: ignore[nginx/evil\x1b]0;owned\x07\x1b[31m] \u{202e}reason\x1b[2J\nserver {\n    listen 80;\n}\n";
    let folder = folder(&[("nginx.conf", evil)]);
    for format in [
        "full", "concise", "json", "sarif", "github", "gitlab", "junit", "rdjson",
    ] {
        let said = wslint(folder.path(), &["check", "--format", format]);
        let raw = said.stdout + &said.stderr;
        let harmless = |character: char| {
            matches!(character, '\n' | '\t') || !character.is_control() && character != '\u{202e}'
        };
        assert!(raw.chars().all(harmless), "{format}: {raw:?}");
    }
}

#[test]
fn json_keeps_its_schema_and_its_positions_are_true() {
    let all = every_breaking_example();
    let said = wslint(all.path(), &["check", "--format", "json", "--pedantic"]);
    validate(&repository().join("schema/check.schema.json"), &said.stdout);
    let document = said.json();
    let findings = document["findings"].as_array().expect("findings");
    assert!(!findings.is_empty());
    for rule in rules() {
        assert!(
            findings.iter().any(|finding| finding["rule"] == *rule.id),
            "{} is silent",
            rule.id
        );
    }
    for finding in findings {
        positions_are_true(all.path(), finding);
        for label in finding["labels"].as_array().expect("labels") {
            positions_are_true(all.path(), label);
        }
    }
    let key = |finding: &Value| {
        let start = finding["range"]["start"]["byte"].as_u64();
        (
            finding["file"].as_str().map(str::to_owned),
            start,
            finding["rule"].as_str().map(str::to_owned),
        )
    };
    assert!(
        findings.is_sorted_by_key(key),
        "sorted by file, position, rule"
    );
}

/// The byte of each end lies where its line and column say.
fn positions_are_true(root: &Path, place: &Value) {
    let file = place["file"].as_str().expect("a file");
    let text = fs::read_to_string(root.join(file)).expect(file);
    for end in ["start", "end"] {
        let position = &place["range"][end];
        let number = |name: &str| {
            let number = position[name].as_u64().expect(name);
            usize::try_from(number).expect("small")
        };
        let before = text.get(..number("byte")).expect("a character's boundary");
        let line = before.matches('\n').count() + 1;
        let last = before.rsplit('\n').next().unwrap_or_default();
        let column = last.chars().count() + 1;
        assert_eq!(
            (line, column),
            (number("line"), number("column")),
            "{end} of {place:#}"
        );
    }
}

#[test]
fn columns_count_characters() {
    let text = "# é🙂 wslint: ignore[nginx/no-such-rule] x\nserver {\n    listen 80;\n}\n";
    let folder = folder(&[("nginx.conf", text)]);
    let said = wslint(folder.path(), &["check", "--format", "json"]);
    for finding in said.json()["findings"].as_array().expect("findings") {
        positions_are_true(folder.path(), finding);
    }
}

#[test]
fn sarif_is_valid_by_the_official_schema() {
    let all = every_breaking_example();
    write(
        all.path(),
        "broken/nginx.conf",
        b"server {\n    location /ws {\n",
    );
    let said = wslint(all.path(), &["check", "--format", "sarif", "--pedantic"]);
    validate(
        &servers().join("sarif/sarif-schema-2.1.0.json"),
        &said.stdout,
    );
    let document = said.json();
    let results = document["runs"][0]["results"].as_array().expect("results");
    assert!(!results.is_empty());
    let empty = wslint(folder(&[CLEAN]).path(), &["check", "--format", "sarif"]);
    validate(
        &servers().join("sarif/sarif-schema-2.1.0.json"),
        &empty.stdout,
    );
}

#[test]
fn github_annotations_are_one_line_each_and_escaped() {
    let all = every_breaking_example();
    let said = wslint(all.path(), &["check", "--format", "github", "--pedantic"]);
    assert!(!said.stdout.is_empty());
    for line in said.stdout.lines() {
        let rest = ["::error ", "::warning ", "::notice "]
            .iter()
            .find_map(|start| line.strip_prefix(start))
            .unwrap_or_else(|| panic!("no workflow command: {line}"));
        let (properties, message) = rest.split_once("::").expect("a message");
        for name in ["file=", "line=", "col="] {
            assert!(properties.contains(name), "{line}");
        }
        assert!(!message.is_empty(), "{line}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes_on_any_number_of_threads() {
    let all = every_breaking_example();
    for format in ["full", "json", "sarif"] {
        let run = |threads: &str| {
            let output = command(all.path(), &["check", "--format", format, "--pedantic"])
                .env("RAYON_NUM_THREADS", threads)
                .output()
                .expect("wslint runs");
            output.stdout
        };
        let first = run("1");
        assert!(first == run("4") && first == run("2"), "{format} differs");
    }
}

#[test]
fn given_files_filter_and_do_not_narrow() {
    let folder = folder(&[WARNS, ("conf.d/site.conf", CLEAN.1), ("wslint.toml", "")]);
    let said = wslint(folder.path(), &["check", "conf.d/site.conf"]);
    assert_eq!(
        (said.status, said.stdout.as_str()),
        (Some(0), ""),
        "{said:#?}"
    );
}

#[test]
fn paths_are_relative_to_the_working_directory() {
    let folder = folder(&[
        ("deploy/nginx/nginx.conf", WARNS.1),
        ("app/x.txt", ""),
        ("wslint.toml", ""),
    ]);
    let first = |below: &str, path: &str| {
        let said = wslint(
            &folder.path().join(below),
            &["check", "--format", "json", path],
        );
        said.places().into_iter().next().map(|(place, _)| place)
    };
    assert_eq!(first("", "."), Some("deploy/nginx/nginx.conf:1".to_owned()));
    assert_eq!(first("deploy", "."), Some("nginx/nginx.conf:1".to_owned()));
    assert_eq!(
        first("app", "../deploy"),
        Some("../deploy/nginx/nginx.conf:1".to_owned())
    );
}

#[test]
fn every_rule_explains_itself() {
    let folder = folder(&[]);
    let listed = wslint(folder.path(), &["rules"]);
    assert_eq!(listed.status, Some(0), "{listed:#?}");
    for rule in rules() {
        assert!(
            listed.stdout.contains(rule.id.as_ref()),
            "{} is not listed",
            rule.id
        );
        let said = wslint(folder.path(), &["explain", &rule.id]);
        assert_eq!(said.status, Some(0), "{said:#?}");
        assert!(said.stdout.contains(rule.id.as_ref()), "{said:#?}");
    }
    let json = wslint(folder.path(), &["rules", "--format", "json"]).json();
    let ids = json["rules"]
        .as_array()
        .or_else(|| json.as_array())
        .expect("rules");
    assert_eq!(ids.len(), rules().len());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let all = every_breaking_example();
    let script = format!(
        "'{}' check | head -n 1; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_wslint")
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(all.path())
        .output()
        .expect("bash runs");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !stderr.contains("panicked") && !stderr.contains("Broken pipe"),
        "{stderr}"
    );
}

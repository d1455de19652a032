//! What the README says is true: its rule works and its configuration is read.

use std::fs;
use std::process::Command;

/// The text of the fenced code block of `language` that contains `marker`.
fn block(language: &str, marker: &str) -> String {
    let readme =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README.md");
    readme
        .split("\n```")
        .filter_map(|part| part.strip_prefix(&format!("{language}\n")))
        .find(|part| part.contains(marker))
        .unwrap_or_else(|| panic!("no {language} block with {marker:?} in the README"))
        .to_owned()
}

#[test]
fn the_rule_of_the_readme_works_as_it_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    fs::create_dir_all(at("ops/house-rules")).expect("folders");
    fs::write(
        at("wslint.toml"),
        block("toml", "rules = [\"ops/house-rules\"]"),
    )
    .expect("written");
    fs::write(
        at("ops/house-rules/old-chat.toml"),
        block("toml", "chat-old is switched off"),
    )
    .expect("written");
    fs::write(
        at("nginx.conf"),
        "server {\n    location /chat/ {\n        proxy_pass http://chat-old:8000;\n    }\n}\n",
    )
    .expect("written");
    let wslint = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_wslint"))
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .expect("runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        (output.status.code(), text, errors)
    };
    let (status, found, errors) =
        wslint(&["check", "--format", "concise", "--select", "house-rules"]);
    assert_eq!(
        found,
        "nginx.conf:3:20: warning[house-rules/old-chat] `http://chat-old:8000` is switched off on 1 March\n",
        "{errors}"
    );
    assert_eq!(status, Some(1));
    let (_, listed, _) = wslint(&["rules"]);
    assert!(listed.contains("house-rules/old-chat"), "{listed}");
    let (_, explained, _) = wslint(&["explain", "house-rules/old-chat"]);
    assert!(explained.contains("switched off on 1 March"), "{explained}");
}

#[test]
fn the_output_in_the_readme_is_what_wslint_says() {
    for (arguments, marker) in [
        (&["check", "tests/incidents"][..], "error["),
        (
            &[
                "trace",
                "wss://inscribe.example.com/ws/",
                "tests/incidents/308-balancer/broken",
            ],
            "Chrome and Firefox",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_wslint"))
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("runs");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        let trimmed = |text: &str| {
            let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
            lines.join("\n")
        };
        assert_eq!(trimmed(&block("text", marker)), trimmed(&said));
    }
}

#[test]
fn the_configuration_of_the_readme_is_valid() {
    let text = block("toml", "[targets]");
    let project =
        wslint::project::Project::in_memory([("wslint.toml", text.as_str())]).expect("valid");
    assert_eq!(project.config.endpoints.len(), 2);
}

//! The fixes of the header rules: what they write, and that nothing else changes.

use crate::check::{Outcome, Selection, check, check_resolved};
use crate::context::Context;
use crate::finding::{Applicability, Fix};
use crate::fix::keep_what_holds;
use crate::nginx::Model;
use crate::nginx::headers::{handshakes, outgoing};
use crate::project::Project;
use crate::rule::rules;

fn project(files: &[(String, String)]) -> Project {
    let files = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()));
    Project::in_memory(files).expect("the configuration is valid")
}

/// The files with a fix applied.
fn applied(project: &Project, files: &[(String, String)], fix: &Fix) -> Vec<(String, String)> {
    let mut files = files.to_vec();
    for edit in fix.edits.iter().rev() {
        let path = &project.source(edit.span.source).path;
        let file = files.iter_mut().find(|(known, _)| known == path);
        let (_, text) = file.expect("the file is known");
        text.replace_range(edit.span.range(), &edit.text);
    }
    files
}

/// Applies the fixes that `wanted` accepts, one after the other; the text of the first file and
/// how many findings are left.
fn mend(files: &[(String, String)], wanted: Applicability) -> (Vec<(String, String)>, usize) {
    let mut files = files.to_vec();
    for _ in 0..10 {
        let project = project(&files);
        let outcome = check(&project, &Selection::default());
        let fix = outcome
            .findings
            .iter()
            .filter_map(|finding| finding.fix.as_ref())
            .find(|fix| wanted == Applicability::Unsafe || fix.applicability == wanted);
        match fix {
            Some(fix) => files = applied(&project, &files, fix),
            None => return (files, outcome.findings.len()),
        }
    }
    panic!("the fixes come to no end: {files:?}");
}

/// `conf` after its safe fixes, none of its findings left.
fn fixed(conf: &str) -> String {
    let (mut files, left) = mend(
        &[("nginx.conf".to_owned(), conf.to_owned())],
        Applicability::Safe,
    );
    assert_eq!(left, 0, "{}", files[0].1);
    files.remove(0).1
}

fn in_http(http: &str) -> String {
    format!("events {{}}\nhttp {{\n{http}}}\n")
}

#[test]
fn every_fix_of_an_example_mends_it() {
    let mut tried = 0;
    for rule in rules().iter().filter(|rule| rule.group() == "nginx") {
        for example in rule.examples.iter().filter(|example| example.breaks) {
            let files: Vec<(String, String)> = example
                .files
                .iter()
                .map(|(path, text)| (path.to_string(), text.to_string()))
                .collect();
            let project = project(&files);
            let cx = Context::resolve(&project);
            let mut outcome = check_resolved(&cx, &Selection::default());
            let fixes = |outcome: &Outcome| {
                let findings = outcome.findings.iter();
                findings
                    .filter_map(|finding| finding.fix.as_ref())
                    .filter(|fix| fix.applicability == Applicability::Safe)
                    .count()
            };
            let made = fixes(&outcome);
            if made == 0 {
                continue;
            }
            // What is resolved again agrees that they change nothing else.
            keep_what_holds(&cx, &mut outcome);
            assert_eq!(fixes(&outcome), made, "{}: {}", rule.id, example.title);
            tried += 1;
            let (after, left) = mend(&files, Applicability::Unsafe);
            assert_eq!(left, 0, "{}: {}\n{after:?}", rule.id, example.title);
        }
    }
    assert!(tried > 12, "only {tried} examples have a fix");
}

#[test]
fn the_whole_set_is_written_in_the_files_own_way() {
    // Own headers: the pair joins them, after a comment, with the line ends of the file.
    let conf = in_http(
        "\tserver {\r\n\t\tlocation /ws/ {\r\n\t\t\tproxy_pass http://a:1; # app\r\n\t\t\tproxy_set_header Host $host; # h\r\n\t\t}\r\n\t}\r\n",
    );
    assert!(
        fixed(&conf).contains("\t\t\tproxy_set_header Host $host; # h\r\n\t\t\tproxy_http_version 1.1;\r\n\t\t\tproxy_set_header Upgrade $http_upgrade;\r\n\t\t\tproxy_set_header Connection \"upgrade\";\r\n\t\t}"),
        "{}",
        fixed(&conf)
    );
    // Inherited ones are written down again.
    let conf = in_http(
        "  proxy_set_header X-A \"$host\";\n  include proxy_params;\n  proxy_set_header Connection '';\n  server {\n    location /ws/ { proxy_pass http://a:1; }\n  }\n",
    );
    assert!(
        fixed(&conf).contains("location /ws/ { proxy_pass http://a:1; proxy_http_version 1.1; proxy_set_header X-A \"$host\"; proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; }"),
        "{}",
        fixed(&conf)
    );
}

#[test]
fn a_location_with_pages_gets_a_map_that_leaves_them_alone() {
    let conf = in_http(
        "    # the site\n    server {\n        location / {\n            proxy_http_version 1.1;\n            proxy_set_header Upgrade $http_upgrade;\n            proxy_set_header Connection \"\";\n            proxy_pass http://a:1;\n        }\n    }\n",
    );
    let after = fixed(&conf);
    assert!(
        after.contains("    map $http_upgrade $connection_upgrade {\n        default upgrade;\n        ''      '';\n    }\n\n    # the site\n    server {"),
        "{after}"
    );
    assert!(after.contains("proxy_set_header Connection $connection_upgrade;"));
    let conf = in_http(
        "map $http_upgrade $up { default upgrade; '' close; }\nserver { location / { proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection close; proxy_pass http://a:1; } }\n",
    );
    assert!(fixed(&conf).contains("proxy_set_header Connection $up;"));
}

#[test]
fn a_fix_that_changes_something_else_is_not_called_safe() {
    let pair = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;";
    for http in [
        // The pages of a location would close their connections, which are kept alive so far.
        format!(
            "map $http_upgrade $up {{ default upgrade; '' close; }} server {{ location / {{ {pair} proxy_set_header Connection ''; proxy_pass http://a:1; }} }}"
        ),
        // A location beside it, which takes its headers from the same place.
        "server { proxy_set_header Host $host; location / { proxy_pass http://a:1; } location /live { proxy_set_header Upgrade $http_upgrade; proxy_pass http://a:1; location /live/admin { proxy_pass http://b:1; } } }".to_owned(),
        // The version of all locations.
        "server { proxy_http_version 1.0; location /ws { proxy_http_version 1.0; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://a:1; location /ws/static { proxy_set_header X y; proxy_pass http://b:1; } } }".to_owned(),
    ] {
        let files = [("nginx.conf".to_owned(), in_http(&http))];
        let project = project(&files);
        let outcome = check(&project, &Selection::default());
        let fixes: Vec<_> = outcome
            .findings
            .iter()
            .filter_map(|finding| finding.fix.as_ref())
            .collect();
        assert!(!outcome.findings.is_empty(), "{http}");
        assert!(
            fixes
                .iter()
                .all(|fix| fix.applicability == Applicability::Unsafe),
            "{http}: {fixes:?}"
        );
    }
}

#[test]
fn what_cannot_be_done_in_one_place_has_no_fix() {
    let line = "proxy_set_header Connection close;";
    for files in [
        // A shared file's line, beside which another would be sent as well.
        vec![
            (
                "nginx.conf",
                "events {}\nhttp { server { location /ws { include a.inc; proxy_pass http://a:1; } } }",
            ),
            ("a.inc", line),
        ],
        // A template writes the rest.
        vec![(
            "nginx.conf.j2",
            "events {}\nhttp { server {\n{% if a %}\nlisten 80;\n{% endif %}\nlocation /ws { proxy_pass http://a:1; } } }",
        )],
    ] {
        let files: Vec<(String, String)> = files
            .into_iter()
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .collect();
        let project = project(&files);
        let outcome = check(&project, &Selection::default());
        assert!(
            outcome.findings.iter().all(|finding| finding.fix.is_none()),
            "{files:?}"
        );
    }
}

/// What each proxied block that is not for `/ws` sends for a page and for a handshake.
fn elsewhere(files: &[(String, String)]) -> Vec<String> {
    let project = project(files);
    let model = Model::resolve(&project);
    let view = model.view(0);
    let mut requests = handshakes().to_vec();
    requests[0].headers.clear();
    let mut sent = Vec::new();
    for location in &view.config.locations {
        let words = view.directive(location.item).args();
        let name: String = words.iter().map(|word| word.text.as_str()).collect();
        if name.starts_with("/ws") || view.level(location.item).pass.is_none() {
            continue;
        }
        for request in &requests {
            let request = outgoing(view, location.item, request, Some([1, 22, 0]));
            let lines = request.headers.iter();
            let mut lines: Vec<String> = lines
                .map(|header| format!("{}: {:?}", header.name, header.value))
                .collect();
            lines.sort();
            sent.push(format!("{name} {:?} {lines:?}", request.protocol));
        }
    }
    assert!(!sent.is_empty());
    sent
}

#[test]
fn safe_fixes_leave_every_other_location_as_it_was() {
    let pages = "location /api/ { proxy_pass http://b:1; } location /own/ { proxy_set_header X y; proxy_pass http://c:1; }";
    for http in [
        format!("server {{ location /ws/ {{ proxy_pass http://a:1; }} {pages} }}"),
        format!(
            "proxy_set_header Host $host; server {{ location /ws/ {{ proxy_pass http://a:1; }} {pages} }}"
        ),
        format!(
            "server {{ proxy_set_header Host $host; location /ws/ {{ proxy_pass http://a:1; }} {pages} }}"
        ),
        format!(
            "server {{ location /ws/ {{ proxy_set_header Upgrade $http_upgrade; proxy_pass http://a:1; }} {pages} }}"
        ),
        format!(
            "server {{ location /ws/ {{ proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_upgrade; proxy_pass http://a:1; }} {pages} }}"
        ),

            "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; server { location /ws/ { proxy_set_header X z; proxy_pass http://a:1; } location /own/ { proxy_set_header X y; proxy_pass http://c:1; } }"
.to_owned(),
        format!(
            "proxy_http_version 1.0; server {{ location /ws/ {{ proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://a:1; }} {pages} }}"
        ),
        format!(
            "map $http_upgrade $c {{ default close; }} server {{ proxy_http_version 1.1; location /ws/ {{ proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $c; proxy_pass http://a:1; }} {pages} }}"
        ),
    ] {
        let files = [("nginx.conf".to_owned(), in_http(&http))];
        let before = elsewhere(&files);
        let (after, left) = mend(&files, Applicability::Safe);
        assert_eq!(left, 0, "{http}\n{after:?}");
        assert_ne!(after, files, "{http}");
        assert_eq!(elsewhere(&after), before, "{http}\n{after:?}");
    }
}

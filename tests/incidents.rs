//! Both incidents through the command: it names the very lines in the broken repositories and
//! is silent on the repaired ones. What the real servers do with them is in `tests/truth`.

mod support;

use std::fs;

use support::{repository, wslint};

const CLOUDFRONT: &str = "tests/incidents/301-cloudfront-header";
const BALANCER: &str = "tests/incidents/308-balancer";

/// `file:line` of the first line of `file` that holds `text`.
fn place(file: &str, text: &str) -> String {
    let content = fs::read_to_string(repository().join(file)).expect(file);
    let line = content.lines().position(|line| line.contains(text));
    format!("{file}:{}", line.expect(text) + 1)
}

fn check(path: &str) -> support::Said {
    wslint(repository(), &["check", "--format", "json", path])
}

#[test]
fn a_header_that_no_edge_sends_is_named_where_it_is_trusted() {
    let broken = format!("{CLOUDFRONT}/broken");
    let said = check(&broken);
    let settings = format!("{broken}/storefront/settings/production.py");
    let place = place(&settings, "SECURE_PROXY_SSL_HEADER =");
    assert_eq!(said.status, Some(1), "{said:#?}");
    assert!(
        said.places()
            .contains(&(place, "django/proxy-header-not-sent".to_owned())),
        "{said:#?}"
    );
}

#[test]
fn the_message_on_the_header_teaches_who_sends_it_and_what_to_write() {
    let said = wslint(repository(), &["check", &format!("{CLOUDFRONT}/broken")]);
    assert_eq!(said.status, Some(1), "{said:#?}");
    for needed in [
        "CloudFront-Forwarded-Proto",
        "301",
        "SECURE_SSL_REDIRECT",
        "storefront/settings/base.py",
        "(\"HTTP_X_FORWARDED_PROTO\", \"https\")",
    ] {
        assert!(
            said.stdout.contains(needed),
            "no {needed} in\n{}",
            said.stdout
        );
    }
}

#[test]
fn an_upstream_that_answers_308_is_named_where_it_is_dialled() {
    let broken = format!("{BALANCER}/broken");
    let said = check(&broken);
    let place = place(&format!("{broken}/balancer/Caddyfile"), "reverse_proxy");
    assert_eq!(said.status, Some(1), "{said:#?}");
    assert!(
        said.places()
            .contains(&(place, "caddy/plain-http-upstream".to_owned())),
        "{said:#?}"
    );
}

#[test]
fn the_message_on_the_upstream_shows_both_machines_and_what_to_write() {
    let said = wslint(repository(), &["check", &format!("{BALANCER}/broken")]);
    assert_eq!(said.status, Some(1), "{said:#?}");
    for needed in [
        "308",
        "inscribe-1/Caddyfile",
        "https://inscribe-1.example.com",
    ] {
        assert!(
            said.stdout.contains(needed),
            "no {needed} in\n{}",
            said.stdout
        );
    }
}

#[test]
fn the_repaired_ones_are_clean_and_decided() {
    for incident in [CLOUDFRONT, BALANCER] {
        let said = check(&format!("{incident}/repaired"));
        assert_eq!(said.status, Some(0), "{said:#?}");
        assert_eq!(said.places(), [], "{said:#?}");
        assert_eq!(said.json()["undecided"], serde_json::json!([]), "{said:#?}");
    }
}

#[test]
fn one_command_catches_both() {
    let said = check("tests/incidents");
    assert_eq!(said.status, Some(1), "{said:#?}");
    let places = said.places();
    let under = |folder: String| places.iter().any(|(place, _)| place.starts_with(&folder));
    assert!(under(format!("{CLOUDFRONT}/broken/")), "{said:#?}");
    assert!(under(format!("{BALANCER}/broken/")), "{said:#?}");
    assert!(
        !places.iter().any(|(place, _)| place.contains("/repaired/")),
        "{said:#?}"
    );
}

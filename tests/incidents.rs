//! Both incidents through the command: it names the very lines in the broken repositories, tells
//! how each handshake is lost, and is silent on the repaired ones. What the real servers do with them is in `tests/truth`.

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

/// What `wslint trace` says, line by line in this order.
fn tells(url: &str, folder: &str, needed: &[&str]) {
    let said = wslint(repository(), &["trace", url, folder]);
    assert_eq!(said.status, Some(1), "{said:#?}");
    let mut rest = said.stdout.as_str();
    for needed in needed {
        let at = rest.find(needed);
        let at = at.unwrap_or_else(|| {
            panic!("no {needed} in what follows:\n{rest}\n\nof {}", said.stdout)
        });
        rest = &rest[at + needed.len()..];
    }
}

/// The report of the first incident: who sends which header, where a handshake becomes a request
/// for a page, which setting redirects it, what the browser makes of it.
#[test]
fn the_trace_of_the_first_incident_is_its_report() {
    let broken = format!("{CLOUDFRONT}/broken");
    let line = |file: &str, text: &str| place(&format!("{broken}/{file}"), text);
    let number = |place: &str| {
        place
            .rsplit(':')
            .next()
            .map(str::to_owned)
            .unwrap_or_default()
    };
    let edge = line("wslint.toml", "kind =");
    let procfile = line("Procfile", "web:");
    let uvicorn = line("requirements.txt", "uvicorn==");
    let header = line(
        "storefront/settings/production.py",
        "SECURE_PROXY_SSL_HEADER =",
    );
    let redirect = line("storefront/settings/base.py", "SECURE_SSL_REDIRECT =");
    tells(
        "wss://shop.example.com/ws/chat/lobby/",
        &broken,
        &[
            &format!("1. edge  {edge}"),
            "Amazon CloudFront ends TLS here and speaks TLS to what is behind it, without a header that tells of the client's TLS",
            &format!("2. edge  {edge}"),
            "AWS Application Load Balancer ends TLS here and speaks plain HTTP to what is behind it, with `X-Forwarded-Proto: https`",
            "X-Forwarded-Proto: https",
            &format!("3. django  {procfile}"),
            "gunicorn -k uvicorn_worker.UvicornWorker",
            "requirements.txt",
            &format!("{} | uvicorn==", number(&uvicorn)),
            "without `websockets` or `wsproto` uvicorn hands every handshake to Django as a plain HTTP request",
            "storefront/settings/production.py",
            &format!("{} | SECURE_PROXY_SSL_HEADER =", number(&header)),
            "storefront/settings/base.py",
            &format!("{} | SECURE_SSL_REDIRECT = True", number(&redirect)),
            "answers 301 to https://shop.example.com/ws/chat/lobby/: to itself",
            "301 in place of 101, which it follows nowhere, and the page sees close code 1006",
            "what to change:",
            &format!("django/no-websocket-library  {uvicorn}"),
            "uvicorn[standard]",
            &format!("django/proxy-header-not-sent  {header}"),
            "SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\")",
        ],
    );
}

/// The report of the second incident: the balancer dials without TLS, and the machine behind it
/// answers for its whole port 80.
#[test]
fn the_trace_of_the_second_incident_is_its_report() {
    let broken = format!("{BALANCER}/broken");
    let line = |file: &str, text: &str| place(&format!("{broken}/{file}"), text);
    tells(
        "wss://inscribe.example.com/ws/",
        &broken,
        &[
            &format!("1. edge  {}", line("wslint.toml", "kind =")),
            "Cloudflare ends TLS here and speaks TLS to what is behind it",
            "X-Forwarded-Proto: https",
            &format!(
                "2. caddy  {}",
                line("balancer/Caddyfile", "inscribe.example.com {")
            ),
            "reverse_proxy inscribe-1.example.com inscribe-2.example.com inscribe-3.example.com",
            "to http://inscribe-1.example.com",
            &format!(
                "3. caddy  {}",
                line("inscribe-1/Caddyfile", "inscribe-1.example.com {")
            ),
            "automatic HTTPS: on port 80 there is nothing but a redirect to https://, whatever Host or X-Forwarded-Proto says",
            "308 in place of 101, which it follows nowhere, and the page sees close code 1006",
            "what to change:",
            &line("balancer/Caddyfile", "reverse_proxy"),
            "reverse_proxy https://inscribe-1.example.com https://inscribe-2.example.com https://inscribe-3.example.com {",
            "header_up Host {upstream_hostport}",
        ],
    );
}

#[test]
fn the_repaired_ones_are_clean_and_decided() {
    for incident in [CLOUDFRONT, BALANCER] {
        let said = check(&format!("{incident}/repaired"));
        assert_eq!(said.status, Some(0), "{said:#?}");
        assert_eq!(said.places(), [], "{said:#?}");
        assert_eq!(said.json()["undecided"], serde_json::json!([]), "{said:#?}");
    }
    for (url, incident) in [
        ("wss://shop.example.com/ws/chat/lobby/", CLOUDFRONT),
        ("wss://inscribe.example.com/ws/", BALANCER),
    ] {
        let said = wslint(
            repository(),
            &["trace", url, &format!("{incident}/repaired")],
        );
        assert_eq!(said.status, Some(0), "{said:#?}");
        assert!(said.stdout.contains("\nopens: "), "{said:#?}");
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

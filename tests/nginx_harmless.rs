//! What looks suspicious and works: each of these was measured on a real nginx, and the linter has
//! to be silent about it. `/ws` is declared as an endpoint, so that every location is a route.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use wslint::check::{Selection, check};
use wslint::project::Project;

/// What a location needs.
const ALL: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; proxy_pass http://127.0.0.1:8000;";
/// The same without Connection.
const REST: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_pass http://127.0.0.1:8000;";
const PASS: &str = "proxy_pass http://127.0.0.1:8000;";
const PAIR: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";";

/// The findings on a whole configuration.
fn findings(http: &str) -> Vec<String> {
    let conf = format!("events {{}}\nhttp {{\n{http}\n}}\n");
    let settings = "[websocket]\nendpoints = [\"/ws\"]\n[targets]\nnginx = \"1.22\"\n";
    let files = [
        ("nginx.conf", conf.as_str()),
        ("snippets/pair.conf", PAIR),
        ("snippets/empty.conf", "proxy_set_header Connection \"\";"),
        ("snippets/keys.map", "websocket upgrade;"),
        ("wslint.toml", settings),
    ];
    let project = Project::in_memory(files).unwrap();
    let outcome = check(&project, &Selection::default());
    assert!(
        outcome.undecided.is_empty(),
        "{conf}\n{:?}",
        outcome.undecided
    );
    outcome
        .findings
        .iter()
        .map(|finding| format!("{}: {}", finding.rule, finding.message))
        .collect()
}

/// A server with these lines in its `location /`.
fn location(lines: &str) -> String {
    format!("server {{ listen 80; location / {{ {lines} }} }}")
}

fn silent(configurations: &[String]) {
    let loud: Vec<_> = configurations
        .iter()
        .map(|http| (http, findings(http)))
        .filter(|(_, found)| !found.is_empty())
        .collect();
    assert!(loud.is_empty(), "{loud:#?}");
}

#[test]
fn every_spelling_of_the_value_works() {
    let values = [
        "\"upgrade\"",
        "Upgrade",
        "'upgrade'",
        "UPGRADE",
        "\" upgrade \"",
        "\"keep-alive, Upgrade\"",
        "\"upgrade, close\"",
        "$http_connection",
        "upgrade",
    ];
    let cases: Vec<String> = values
        .iter()
        .map(|value| location(&format!("{REST} proxy_set_header Connection {value};")))
        .collect();
    silent(&cases);
    silent(&[
        location(&format!(
            "proxy_http_version 1.1; {PASS} proxy_set_header upgrade $http_Upgrade; proxy_set_header CONNECTION upgrade;"
        )),
        location(&format!(
            "proxy_http_version 1.1; {PASS} proxy_set_header Upgrade websocket; proxy_set_header Connection upgrade;"
        )),
    ]);
}

#[test]
fn empty_lines_beside_the_right_one_are_dropped() {
    silent(&[
        location(&format!("{ALL} proxy_set_header Connection \"\";")),
        location(&format!("proxy_set_header Connection \"\"; {ALL}")),
        location(&format!("{ALL} include snippets/empty.conf;")),
        location(&format!("{ALL} proxy_set_header connection \"\";")),
        location(&format!("{ALL} proxy_set_header Connection keep-alive;")),
        location(&format!("{ALL} proxy_set_header Connection \"upgrade\";")),
        location(&format!("{ALL} proxy_set_header Connection close;")),
    ]);
}

#[test]
fn maps_that_upgrade_are_right_however_they_are_written() {
    let maps = [
        "map $http_upgrade $c { default upgrade; '' close; }",
        "map $http_upgrade $c { default close; websocket upgrade; }",
        "map $http_upgrade $c { default close; WebSocket upgrade; }",
        "map $http_upgrade $c { default upgrade; '' ''; }",
        "map $http_upgrade $c { default upgrade; }",
        "map $http_upgrade $c { default $http_connection; '' ''; }",
        "map $http_upgrade $c { default close; ~*websocket upgrade; }",
        "map $http_upgrade $c { default close; ~^web upgrade; }",
        "map $http_connection $c { default close; ~*upgrade upgrade; }",
        "map $http_upgrade $c { default close; include snippets/keys.map; }",
        "map $http_upgrade $a { default yes; '' no; } map $a $c { yes upgrade; no close; }",
        "map \"$http_upgrade:$request_method\" $c { default close; websocket:GET upgrade; }",
        "geo $c { default upgrade; }",
        "map $http_upgrade $c { default close; } map $http_upgrade $c { default upgrade; }",
    ];
    let cases: Vec<String> = maps
        .iter()
        .map(|map| {
            format!(
                "{map} {}",
                location(&format!("{REST} proxy_set_header Connection $c;"))
            )
        })
        .collect();
    silent(&cases);
    // Its place in the file does not matter.
    silent(&[format!(
        "{} {}",
        location(&format!("{REST} proxy_set_header Connection $c;")),
        maps[0]
    )]);
}

#[test]
fn variables_that_are_set_on_the_way_work() {
    silent(&[
        location(&format!(
            "set $c upgrade; {REST} proxy_set_header Connection $c;"
        )),
        format!(
            "server {{ listen 80; set $c keep-alive; if ($http_upgrade ~* ^websocket$) {{ set $c upgrade; }} location / {{ {REST} proxy_set_header Connection $c; }} }}"
        ),
        format!(
            "server {{ listen 80; set $c close; if ($http_upgrade = \"websocket\") {{ set $c \"upgrade\"; }} location / {{ {REST} proxy_set_header Connection $c; }} }}"
        ),
        format!(
            "server {{ listen 80; set $c upgrade; if ($http_upgrade = \"\") {{ set $c close; }} location / {{ {REST} proxy_set_header Connection $c; }} }}"
        ),
    ]);
}

#[test]
fn headers_that_are_inherited_whole_arrive() {
    silent(&[
        format!("{PAIR} server {{ listen 80; location / {{ {PASS} }} }}"),
        format!("server {{ listen 80; {PAIR} location / {{ {PASS} }} }}"),
        format!("server {{ listen 80; {PAIR} location / {{ {PASS} location /ws {{ {PASS} }} }} }}"),
        format!("server {{ listen 80; location / {{ {PAIR} {PASS} location /ws {{ {PASS} }} }} }}"),
        format!("server {{ listen 80; include snippets/pair.conf; location / {{ {PASS} }} }}"),
        location(&format!("include snippets/pair.conf; {PASS}")),
        location(&format!("include /etc/nginx/snippets/pair.conf; {PASS}")),
        location(&format!("include proxy_params; {ALL}")),
        format!(
            "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; server {{ listen 80; proxy_http_version 1.1; location / {{ {PASS} }} }}"
        ),
        // Only proxy_set_header resets proxy_set_header.
        format!(
            "server {{ listen 80; {PAIR} location / {{ {PASS} add_header X-A b; proxy_hide_header X-B; proxy_read_timeout 1h; }} }}"
        ),
    ]);
}

#[test]
fn conditions_do_not_disturb_what_their_location_sets() {
    silent(&[
        location(&format!("{ALL} if ($args ~ z) {{ set $x 1; }}")),
        location(&format!(
            "{ALL} if ($http_upgrade) {{ proxy_pass http://127.0.0.1:8000; }}"
        )),
        location(&format!(
            "{ALL} if ($http_upgrade = \"\") {{ return 400; }}"
        )),
        location(&format!("{ALL} limit_except GET {{ deny all; }}")),
        format!(
            "server {{ listen 80; location /ws {{ error_page 418 = @ws; if ($http_upgrade) {{ return 418; }} {PASS} }} location @ws {{ {ALL} }} }}"
        ),
        format!(
            "server {{ listen 80; location / {{ try_files $uri @ws; }} location @ws {{ {ALL} }} }}"
        ),
    ]);
}

#[test]
fn directives_that_do_not_touch_the_handshake_are_silent() {
    for line in [
        "proxy_buffering off;",
        "proxy_buffering on;",
        "proxy_request_buffering off;",
        "gzip on;",
        "sub_filter a b;",
        "charset utf-8;",
        "expires 1h;",
        "etag off;",
        "tcp_nodelay off;",
        "chunked_transfer_encoding off;",
        "proxy_pass_header Upgrade;",
        "proxy_redirect off;",
        "proxy_intercept_errors on;",
        "proxy_next_upstream off;",
        "client_max_body_size 1;",
        "keepalive_timeout 0;",
        "proxy_hide_header Connection;",
        "proxy_hide_header Sec-WebSocket-Extensions;",
        "proxy_set_header Sec-WebSocket-Extensions \"\";",
        "proxy_set_header Origin \"\";",
        "add_header Content-Security-Policy \"default-src 'self'\" always;",
        "proxy_cookie_path / /;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "proxy_set_header Host $http_host;",
        "proxy_pass_request_body off;",
        "some_module_of_a_third_party on;",
    ] {
        silent(&[location(&format!("{ALL} {line}"))]);
    }
}

#[test]
fn a_proxied_location_without_evidence_is_plain_http() {
    let project = Project::in_memory([(
        "nginx.conf",
        "events {}\nhttp { server { listen 80; location / { proxy_pass http://app:8000; proxy_set_header Host $host; } location /api/ { proxy_pass http://app:8000; proxy_http_version 1.1; proxy_set_header Connection \"\"; } } }",
    )])
    .unwrap();
    let outcome = check(&project, &Selection::default());
    assert_eq!(outcome.findings.len(), 0, "{:?}", outcome.findings);
    assert_eq!(outcome.undecided.len(), 0, "{:?}", outcome.undecided);
}

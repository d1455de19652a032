//! What looks suspicious and works: the linter has to be silent about it. `/ws` is declared as an
//! endpoint, so that every location is a route. (`truth` sends the same configurations a real
//! handshake.)

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

#[path = "support/nginx_harmless.rs"]
mod table;

use table::{FILES, beside, harmless, location, whole};
use wslint::check::{Selection, check};
use wslint::project::Project;

/// The findings on a whole configuration.
fn findings(conf: &str) -> Vec<String> {
    let settings = format!(
        "[websocket]\nendpoints = [\"{}\"]\n[targets]\nnginx = \"1.22\"\n",
        table::ENDPOINT
    );
    let files = [("nginx.conf", conf), ("wslint.toml", settings.as_str())];
    let project = Project::in_memory(files.into_iter().chain(FILES)).unwrap();
    let outcome = check(&project, &Selection::default());
    let undecided = outcome
        .undecided
        .iter()
        .map(|note| format!("undecided: {}", note.message));
    outcome
        .findings
        .iter()
        .map(|finding| format!("{}: {}", finding.rule, finding.message))
        .chain(undecided)
        .collect()
}

fn silent(configurations: &[String]) {
    let loud: Vec<_> = configurations
        .iter()
        .map(|conf| (conf, findings(conf)))
        .filter(|(_, found)| !found.is_empty())
        .collect();
    assert!(loud.is_empty(), "{loud:#?}");
}

#[test]
fn what_works_is_not_found() {
    for (_, configurations) in harmless() {
        let whole: Vec<String> = configurations.iter().map(|http| whole(http)).collect();
        silent(&whole);
    }
}

#[test]
fn what_the_tests_have_no_server_for_is_not_found_either() {
    silent(&[
        whole(&beside("some_module_of_a_third_party on;")),
        whole(&beside("proxy_ssl_server_name on;")),
        // uWSGI and SCGI upgrade without a line for it.
        whole(&location(
            "include uwsgi_params; uwsgi_pass unix:/run/app.sock;",
        )),
        whole(&location("include scgi_params; scgi_pass 127.0.0.1:9000;")),
        // Neither does a proxy of bytes need one.
        format!(
            "{}\nstream {{ server {{ listen 9001; proxy_pass 127.0.0.1:8000; }} }}\n",
            whole(&beside(""))
        ),
    ]);
}

#[test]
fn what_a_handshake_does_not_fix_guards_no_route_from_it() {
    let guards = [
        "if ($arg_token = \"\") { return 403; }",
        "if ($args !~ \"token=\") { return 401; }",
        "if ($query_string = \"\") { return 401; }",
        "if ($request_uri !~ \"token=\") { return 401; }",
        "if ($is_args = \"\") { return 400; }",
        "if ($arg_transport != websocket) { return 400; }",
        "if ($token_ok = 0) { return 403; }",
        "if ($http_cf_connecting_ip = \"\") { return 403; }",
        "if ($http_x_forwarded_for = \"\") { return 403; }",
        "if ($http_sec_websocket_protocol = \"\") { return 400; }",
        "if ($http_x_api_key != \"k\") { return 401; }",
    ];
    let guarded = |guard: &str| {
        whole(&format!(
            "map $arg_token $token_ok {{ default 0; secret 1; }} {}",
            beside(guard)
        ))
    };
    silent(&guards.map(guarded));
    // What it surely has decides.
    for guard in [
        "if ($request_method != POST) { return 405; }",
        "if ($http_upgrade = websocket) { return 426; }",
    ] {
        let found = findings(&guarded(guard));
        assert!(!found.is_empty(), "{guard}");
    }
}

#[test]
fn what_a_script_fills_in_is_not_refused() {
    let up = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";";
    let said = |name: &str, conf: &str| {
        let project = Project::in_memory([(name, conf)]).unwrap();
        check(&project, &Selection::default()).findings.len()
    };
    let blank = format!(
        "server {{\n    server_name ;\n    listen ;\n    location / {{\n        {up}\n        proxy_pass ;\n    }}\n}}\n"
    );
    assert_eq!(said("site.template.conf", &blank), 0);
    assert!(said("site.conf", &blank) > 0);
    let port = |port: &str| {
        format!(
            "server {{\n    listen {port};\n    listen [::]:{port};\n    location /ws {{\n        {up}\n        proxy_pass http://127.0.0.1:8000;\n    }}\n}}\n"
        )
    };
    assert_eq!(said("site.conf", &port("NGINX_PORT")), 0);
    assert!(said("site.conf", &port("port")) > 0);
}

#[test]
fn an_expression_stands_for_paths_that_it_gets() {
    let up = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; proxy_pass http://127.0.0.1:8000;";
    let beside = |expression: &str| {
        whole(&format!(
            "server {{ listen 80; location = /ws {{ {up} }} location ~ \"{expression}\" {{ {up} }} location / {{ proxy_pass http://127.0.0.1:8888; }} }}"
        ))
    };
    silent(
        &[
            "^/proxy/[^/]*/ws",
            "^/[a-z]*/ws$",
            "/.*/ws/",
            r"^/rooms/(\w*)/socket",
            "/(user/[^/]*)/(api/kernels/[^/]+/channels|terminals/websocket)/?",
        ]
        .map(beside),
    );
}

#[test]
fn an_expression_may_take_the_sockets_of_a_prefix() {
    let up = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; proxy_pass http://127.0.0.1:8000;";
    silent(&[whole(&format!(
        "server {{ listen 80; location = /ws {{ {up} }} location ~ ^/sockjs/[0-9]+/[^/]+/websocket$ {{ {up} }} location /sockjs/ {{ proxy_pass http://127.0.0.1:8000; }} location / {{ root /var/www; }} }}"
    ))]);
}

#[test]
fn http3_beside_the_sockets_is_harmless() {
    // Older versions do not start with it.
    let conf = whole(&format!(
        "server {{ listen 443 quic reuseport; listen 443 ssl; http2 on; http3 on; {} }}",
        beside("")
            .trim_start_matches("server { listen 80; ")
            .trim_end_matches('}')
    ));
    let project = Project::in_memory([("nginx.conf", conf.as_str())]).unwrap();
    let outcome = check(&project, &Selection::default());
    assert_eq!(outcome.findings.len(), 0, "{:?}", outcome.findings);
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

use crate::check::{Selection, check};
use crate::project::Project;

/// Rule and underlined text of each finding, in order.
pub(super) fn findings(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let project = Project::in_memory(files.iter().copied()).expect("the configuration is valid");
    let outcome = check(&project, &Selection::default());
    outcome
        .findings
        .iter()
        .map(|finding| {
            let text = project
                .slice(finding.span)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            (finding.rule.to_string(), text)
        })
        .collect()
}

pub(super) fn in_http(http: &str) -> Vec<(String, String)> {
    let conf = format!("events {{}}\nhttp {{\n{http}\n}}\n");
    findings(&[("nginx.conf", &conf)])
}

fn expect(http: &str, rule: &str, at: &str) {
    assert_eq!(
        in_http(http),
        [(format!("nginx/{rule}"), at.to_owned())],
        "{http}"
    );
}

const PAIR: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";";

#[test]
fn a_socket_location_without_headers_is_lost() {
    for location in [
        "location /ws/ { proxy_pass http://a:1; }",
        "location = /ws { proxy_pass http://a:1; proxy_set_header Host $host; }",
        "location ~ ^/ws/(.*)$ { proxy_pass http://a:1; proxy_set_header Connection \"\"; }",
        "location ^~ /socket.io { proxy_pass http://a:1; }",
        "location /ws { location /ws/chat { proxy_pass http://a:1; } }",
    ] {
        expect(
            &format!("server {{ listen 80; {location} }}"),
            "upgrade-not-forwarded",
            "proxy_pass http://a:1",
        );
    }
}

#[test]
fn the_names_of_upstreams_are_evidence_where_nobody_else_upgrades() {
    expect(
        "upstream app { server daphne:8000; } server { location / { proxy_pass http://app; } location /static/ { proxy_pass http://app; } }",
        "upgrade-not-forwarded",
        "proxy_pass http://app",
    );
    expect(
        "server { location /chat { proxy_pass http://chat-ws:1; } }",
        "upgrade-not-forwarded",
        "proxy_pass http://chat-ws:1",
    );
    let handled = format!(
        "server {{ location / {{ proxy_pass http://daphne:8000; }} location /live/ {{ {PAIR} proxy_pass http://daphne:8000; }} }}"
    );
    assert_eq!(in_http(&handled), []);
    let other_port = format!(
        "server {{ listen 8080; location / {{ proxy_pass http://daphne:8000; }} }} server {{ location / {{ {PAIR} proxy_pass http://daphne:8000; }} }}"
    );
    assert_eq!(in_http(&other_port), []);
    assert_eq!(
        in_http("server { location / { proxy_pass http://aws-news:1; } }"),
        []
    );
    // A word of plain HTTP beside it, in the name or in the path.
    for location in [
        "location /m { proxy_pass http://websocket-metrics:1; }",
        "location /n/ { proxy_pass http://news-websockets-api:1; }",
        "location /i/ { proxy_pass http://websockets.internal:1/rest/; }",
        "location /metrics { proxy_pass http://websocket:1; }",
        "location /static/ { proxy_pass http://daphne:1; }",
        "location ~ \\.js$ { proxy_pass http://websocket:1; }",
        "location /shop/ { proxy_pass https://shop.ws; }",
    ] {
        assert_eq!(
            in_http(&format!("server {{ {location} }}")),
            [],
            "{location}"
        );
    }
}

#[test]
fn an_if_on_the_upgrade_is_evidence_for_what_it_leads_to() {
    expect(
        "server { location / { if ($http_upgrade) { proxy_pass http://b:1; } proxy_pass http://a:1; } }",
        "upgrade-not-forwarded",
        "proxy_pass http://b:1",
    );
    expect(
        "server { location / { if ($http_upgrade != websocket) { return 404; } proxy_pass http://a:1; } }",
        "upgrade-not-forwarded",
        "proxy_pass http://a:1",
    );
    expect(
        "server { location / { error_page 418 = @ws; if ($http_upgrade) { return 418; } proxy_pass http://a:1; } location @ws { proxy_pass http://b:1; } }",
        "upgrade-not-forwarded",
        "proxy_pass http://b:1",
    );
    // All that a known name does is to lead to who sets the upgrade.
    let led = "location @ws { proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://b:1; }";
    expect(
        &format!("server {{ location /ws/ {{ error_page 418 @ws; return 418; }} {led} }}"),
        "error-page-status",
        "error_page 418 @ws",
    );
    for (path, page, led) in [
        ("/ws/", "error_page 418 = @ws", led),
        ("/orders/", "error_page 418 @ws", led),
        (
            "/ws/",
            "error_page 418 @ws",
            "location @ws { proxy_pass http://b:1; }",
        ),
    ] {
        let server = format!("server {{ location {path} {{ {page}; return 418; }} {led} }}");
        assert_eq!(in_http(&server), [], "{server}");
    }
    // Who turns sockets away wants none.
    assert_eq!(
        in_http(
            "server { location / { if ($http_upgrade) { return 403; } proxy_pass http://a:1; } }"
        ),
        []
    );
    expect(
        "map $http_upgrade $to { default http://10.0.0.1:1; websocket http://10.0.0.2:1; } server { location / { proxy_pass $to; } }",
        "upgrade-not-forwarded",
        "proxy_pass $to",
    );
}

#[test]
fn try_files_leads_to_the_location_that_is_at_fault() {
    expect(
        "server { location /ws/ { try_files $uri @app; } location @app { proxy_pass http://a:1; } location / { proxy_pass http://a:1; } }",
        "upgrade-not-forwarded",
        "proxy_pass http://a:1",
    );
    let found = findings(&[
        (
            "nginx.conf",
            "events {}\nhttp { server { location / { try_files $uri @app; } location @app { proxy_pass http://a:1; } } }",
        ),
        ("wslint.toml", "[websocket]\nendpoints = [\"/live\"]"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_well_known_path_is_the_route_of_whoever_names_most_of_it() {
    let conf = format!(
        "server {{ location /ws {{ proxy_pass http://a:1; location /ws/live {{ {PAIR} proxy_pass http://a:1; }} }} }}"
    );
    assert_eq!(in_http(&conf), []);
    // Who upgrades where it is needed knows the rest below an endpoint for HTTP.
    let conf = format!(
        "server {{ location /ws/a {{ proxy_pass http://a:1; }} location /ws/b {{ {PAIR} proxy_pass http://a:1; }} }}"
    );
    assert_eq!(in_http(&conf), []);
    let conf = format!(
        "server {{ location /ws/ {{ {PAIR} proxy_pass http://a:1; location /ws/room/ {{ proxy_pass http://a:1; proxy_set_header Host $host; }} }} }}"
    );
    assert_eq!(in_http(&conf), []);
    // Each endpoint is a route of its own.
    let conf = format!(
        "server {{ location /socket.io/ {{ proxy_pass http://a:1; }} location /ws/ {{ {PAIR} proxy_pass http://a:1; }} }}"
    );
    assert_eq!(in_http(&conf).len(), 1);
}

#[test]
fn plain_http_beside_an_endpoint_is_no_route() {
    for location in [
        "location /notifications/hub/negotiate { proxy_pass http://a:1; }",
        "location /ws/upload { limit_except POST { deny all; } proxy_pass http://a:1; }",
        "location /ws/files { limit_except POST { deny all; } proxy_pass http://a:1; }",
        "location /ws/sse { proxy_pass http://a:1; proxy_set_header Connection \"\"; }",
        "location = /ws/status { proxy_pass http://a:1/status; }",
        "location = /ws/index.html { proxy_pass http://a:1; }",
        "location ~ ^/ws/(.*)\\.wsdl$ { proxy_pass http://a:1; }",
        "location ~* ^/ws/.*\\.(png|js)$ { proxy_pass http://a:1; }",
        "location ~* /socket.io/.*\\.js$ { proxy_pass http://a:1; }",
        "location ~ ^/ws/(health|metrics)$ { proxy_pass http://a:1; }",
        "location /ws/rest/ { proxy_pass http://a:1; }",
        "location /ws/ { proxy_pass http://a:1; proxy_set_header SOAPAction $http_soapaction; }",
        "location = /sockjs/info { proxy_pass http://a:1; }",
        "location ~ ^/(static|ws)/ { proxy_pass http://a:1; }",
    ] {
        assert_eq!(
            in_http(&format!("server {{ {location} }}")),
            [],
            "{location}"
        );
    }
}

#[test]
fn expressions_without_an_anchor_name_endpoints_too() {
    for location in [
        "location ~* /socket.io/ { proxy_pass http://a:1; }",
        "location ~ /socket\\.io/ { proxy_pass http://a:1; }",
        "location ~ ^/(websocket|websocket\\/) { proxy_pass http://a:1; }",
        "location ~ ^/(chat|ws)/ { proxy_pass http://a:1; }",
    ] {
        expect(
            &format!("server {{ {location} }}"),
            "upgrade-not-forwarded",
            "proxy_pass http://a:1",
        );
    }
}

#[test]
fn a_location_that_another_takes_the_path_from_is_no_route() {
    let conf = format!(
        "server {{ location /ws {{ proxy_pass http://a:1; }} location ~ ^/ws {{ {PAIR} proxy_pass http://a:1; }} }}"
    );
    assert_eq!(in_http(&conf), []);
    assert_eq!(
        in_http(
            "server { return 301 https://$host$request_uri; location /ws { proxy_pass http://a:1; } }"
        ),
        []
    );
    assert_eq!(
        in_http(
            "server { rewrite ^(.*)$ https://$host$1 permanent; location /ws { proxy_pass http://a:1; } }"
        ),
        []
    );
    assert_eq!(
        in_http("server { location /ws { rewrite ^ /live last; proxy_pass http://a:1; } }"),
        []
    );
    assert_eq!(
        in_http("server { location /ws { return 404; proxy_pass http://a:1; } }"),
        []
    );
    assert_eq!(
        in_http("server { location = /ws { internal; proxy_pass http://a:1; } }"),
        []
    );
}

#[test]
fn one_half_is_as_bad_as_none() {
    expect(
        "server { location / { proxy_pass http://a:1; proxy_set_header Upgrade $http_upgrade; } }",
        "upgrade-half-forwarded",
        "proxy_set_header Upgrade $http_upgrade",
    );
    expect(
        "server { proxy_set_header Connection Upgrade; location / { proxy_pass http://a:1; } location /b { proxy_pass http://a:1; } }",
        "upgrade-half-forwarded",
        "proxy_set_header Connection Upgrade",
    );
}

#[test]
fn connection_headers_alone_show_no_intent() {
    for line in [
        "Connection \"\"",
        "Connection close",
        "Connection $http_connection",
        "Connection keep-alive",
    ] {
        let conf = format!(
            "server {{ location / {{ proxy_pass http://a:1; proxy_set_header {line}; }} }}"
        );
        assert_eq!(in_http(&conf), [], "{line}");
    }
}

#[test]
fn an_inner_header_discards_the_outer_pair() {
    for (levels, at) in [
        (
            "server { PAIR location / { proxy_set_header Host $host; proxy_pass http://a:1; } }",
            "proxy_set_header Host $host",
        ),
        (
            "PAIR server { proxy_set_header X-A b; location / { proxy_pass http://a:1; } }",
            "proxy_set_header X-A b",
        ),
        (
            "server { location / { PAIR proxy_pass http://a:1; location /ws { proxy_set_header Host $host; proxy_pass http://a:1; } } }",
            "proxy_set_header Host $host",
        ),
        (
            "server { PAIR location / { include proxy_params; proxy_pass http://a:1; } }",
            "include proxy_params",
        ),
        (
            "server { PAIR location / { proxy_pass http://a:1; if ($http_upgrade) { proxy_pass http://b:1; } proxy_set_header X-A b; } }",
            "proxy_set_header X-A b",
        ),
        (
            "server { proxy_set_header Connection upgrade; location / { proxy_set_header Upgrade $http_upgrade; proxy_pass http://a:1; } }",
            "proxy_set_header Upgrade $http_upgrade",
        ),
    ] {
        expect(&levels.replace("PAIR", PAIR), "headers-not-inherited", at);
    }
}

#[test]
fn an_outer_pair_is_evidence_only_where_nobody_receives_it() {
    let conf = format!(
        "server {{ {PAIR} location / {{ proxy_set_header Host $host; proxy_pass http://a:1; }} location /live {{ proxy_pass http://a:1; }} }}"
    );
    assert_eq!(in_http(&conf), []);
    let conf = format!(
        "server {{ {PAIR} location / {{ proxy_set_header Connection \"\"; proxy_pass http://a:1; }} }}"
    );
    assert_eq!(in_http(&conf), []);
}

#[test]
fn one_discarded_pair_is_one_finding_with_all_its_places() {
    let conf = format!(
        "events {{}}\nhttp {{ server {{ {PAIR}\nlocation /a {{ proxy_set_header Host $host; proxy_pass http://a:1; }}\nlocation /b {{ proxy_set_header Host $host; proxy_pass http://a:1; }} }} }}"
    );
    let project = Project::in_memory([("nginx.conf", conf.as_str())]).expect("valid");
    let outcome = check(&project, &Selection::default());
    let [finding] = outcome.findings.as_slice() else {
        panic!("{:?}", outcome.findings)
    };
    let lines: Vec<usize> = finding
        .spans()
        .map(|span| {
            project
                .source(span.source)
                .position(span.start as usize)
                .line
        })
        .collect();
    assert_eq!(lines, [3, 2, 2, 4]);
}

#[test]
fn wrong_values_are_named() {
    for value in [
        "\"\"",
        "close",
        "keep-alive",
        "$http_upgrade",
        "websocket",
        "\"upgrade keep-alive\"",
        "'\"upgrade\"'",
        "$connection",
    ] {
        let line = format!("proxy_set_header Connection {value}");
        let conf = format!(
            "server {{ location / {{ proxy_pass http://a:1; proxy_set_header Upgrade $http_upgrade; {line}; }} }}"
        );
        expect(&conf, "connection-value", &line);
    }
    for value in [
        "\"\"",
        "upgrade",
        "h2c",
        "$http_connection",
        "$http_upgrad",
        "$connection",
    ] {
        let line = format!("proxy_set_header Upgrade {value}");
        let conf = format!(
            "server {{ location / {{ proxy_pass http://a:1; {line}; proxy_set_header Connection upgrade; }} }}"
        );
        expect(&conf, "upgrade-value", &line);
    }
    expect(
        "server { location / { proxy_pass http://a:1; proxy_set_header Upgrade upgrade; proxy_set_header Connection $http_upgrade; } }",
        "upgrade-value",
        "proxy_set_header Upgrade upgrade",
    );
    expect(
        "server { set $http_upgrade x; location / { proxy_pass http://a:1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; } }",
        "upgrade-value",
        "proxy_set_header Upgrade $http_upgrade",
    );
    expect(
        "server { listen 81; location / { set $c upgrade; return 204; } } server { location / { proxy_pass http://a:1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $c; } }",
        "connection-value",
        "proxy_set_header Connection $c",
    );
}

#[test]
fn maps_that_never_upgrade_are_named_at_the_entry_that_decides() {
    for (map, at) in [
        (
            "map $http_upgrade $c { default close; '' upgrade; }",
            "default close",
        ),
        ("map $http_upgrade $c { '' close; }", "map $http_upgrade $c"),
        (
            "map $http_upgrade $c { default keep-alive; }",
            "default keep-alive",
        ),
        (
            "map $http_upgrade $c { Default upgrade; '' close; }",
            "map $http_upgrade $c",
        ),
        (
            "map $http_upgrade $c { default upgrade; } map $http_upgrade $c { default close; }",
            "default close",
        ),
        (
            "map $http_upgrade $c { ~^WebSocket$ upgrade; default close; }",
            "default close",
        ),
    ] {
        expect(
            &format!(
                "{map} server {{ location / {{ proxy_pass http://a:1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $c; }} }}"
            ),
            "map-never-upgrades",
            at,
        );
    }
}

#[test]
fn a_declared_endpoint_makes_a_plain_location_a_route() {
    let conf = "events {}\nhttp { server { server_name a.example; location / { proxy_pass http://a:1; } } server { server_name b.example; location / { proxy_pass http://b:1; } } }";
    let found = findings(&[
        ("nginx.conf", conf),
        (
            "wslint.toml",
            "[websocket]\nendpoints = [\"wss://b.example/live\"]",
        ),
    ]);
    assert_eq!(
        found,
        [(
            "nginx/upgrade-not-forwarded".to_owned(),
            "proxy_pass http://b:1".to_owned()
        )]
    );
    let conf = "events {}\nhttp { server { location /ws/soap/ { proxy_pass http://a:1; } } }";
    assert_eq!(
        findings(&[
            ("nginx.conf", conf),
            ("wslint.toml", "[websocket]\nnot = [\"/ws/soap/\"]")
        ]),
        []
    );
}

#[test]
fn a_declared_host_that_no_server_names_meets_the_default_server() {
    let endpoint = (
        "wslint.toml",
        "[websocket]\nendpoints = [\"wss://live.example/live\"]",
    );
    let plain = "events {}\nhttp { server { listen 80; location / { proxy_pass http://a:1; } } server { listen 80; location / { proxy_pass http://b:1; } } }";
    let found = findings(&[("nginx.conf", plain), endpoint]);
    assert_eq!(
        found,
        [(
            "nginx/upgrade-not-forwarded".to_owned(),
            "proxy_pass http://a:1".to_owned()
        )]
    );
    // Where one names it, the others are not asked.
    let named = "events {}\nhttp { server { server_name *.example; location / { proxy_pass http://c:1; } } }";
    let found = findings(&[("a/nginx.conf", plain), ("b/nginx.conf", named), endpoint]);
    assert_eq!(
        found,
        [(
            "nginx/upgrade-not-forwarded".to_owned(),
            "proxy_pass http://c:1".to_owned()
        )]
    );
}

/// The messages of what is undecided.
fn undecided(files: &[(&str, &str)]) -> Vec<String> {
    let project = Project::in_memory(files.iter().copied()).expect("valid");
    let outcome = check(&project, &Selection::default());
    assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
    outcome
        .undecided
        .iter()
        .map(|note| note.message.clone())
        .collect()
}

#[test]
fn what_an_unseen_file_may_supply_is_undecided() {
    // A fragment: the `http` level around it may set the pair.
    let notes = undecided(&[(
        "conf.d/app.conf",
        "server { location /ws { proxy_pass http://a:1; } }",
    )]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    // An include of the location itself.
    let notes = undecided(&[(
        "nginx.conf",
        "events {}\nhttp { server { location /ws { include /etc/nginx/ours.conf; proxy_pass http://a:1; } } }",
    )]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    // One that is about TLS by its name brings no headers.
    let found = findings(&[(
        "nginx.conf",
        "events {}\nhttp { server { location /ws { include /etc/nginx/ssl.conf; proxy_pass http://a:1; } } }",
    )]);
    assert_eq!(found.len(), 1, "{found:?}");
    // A variable that a file which we do not have may map.
    let notes = undecided(&[(
        "conf.d/app.conf",
        "server { location /ws { proxy_pass http://a:1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; } }",
    )]);
    assert_eq!(notes.len(), 1, "{notes:?}");
}

#[test]
fn a_fragment_that_sets_headers_itself_is_decided() {
    let found = findings(&[(
        "conf.d/app.conf",
        "server { location /ws { proxy_pass http://a:1; proxy_set_header Host $host; } }",
    )]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "nginx/upgrade-not-forwarded");
}

#[test]
fn the_only_map_of_its_name_serves_a_fragment() {
    let app = "server { location /ws { proxy_pass http://a:1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; } }";
    assert_eq!(
        undecided(&[
            ("conf.d/app.conf", app),
            (
                "conf.d/map.conf",
                "map $http_upgrade $connection_upgrade { default upgrade; '' close; }"
            )
        ]),
        Vec::<String>::new()
    );
}

#[test]
fn maps_that_say_the_same_are_one() {
    let snippet = "location /ws { proxy_pass http://a:1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }";
    let notes = |staging: &str| {
        undecided(&[
            ("snippets/ws.inc.conf", snippet),
            (
                "production/site.conf",
                "map $http_upgrade $connection_upgrade { default upgrade; '' close; }\nserver { listen 80; }",
            ),
            ("staging/site.conf", staging),
        ])
        .len()
    };
    for (staging, expected) in [
        (
            "map $http_upgrade $connection_upgrade {\n  default \"upgrade\";\n  \"\" close;\n}\n",
            0,
        ),
        (
            "map $http_upgrade $connection_upgrade { default close; '' close; }",
            1,
        ),
        (
            "map $http_connection $connection_upgrade { default upgrade; '' close; }",
            1,
        ),
        (
            "map $http_upgrade $connection_upgrade { default upgrade; '' close; x y; }",
            1,
        ),
    ] {
        assert_eq!(notes(staging), expected, "{staging}");
    }
}

#[test]
fn what_a_script_may_set_is_undecided() {
    let notes = undecided(&[(
        "nginx.conf",
        "events {}\nhttp { server { set $c ''; location /ws { access_by_lua_block { ngx.var.c = 'upgrade' } proxy_pass http://a:1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $c; } } }",
    )]);
    assert_eq!(notes.len(), 1, "{notes:?}");
}

#[test]
fn templates_are_undecided_where_they_matter() {
    let notes = undecided(&[(
        "nginx.conf.j2",
        "events {}\nhttp { server { location /ws { proxy_pass http://a:1; {{ headers }} } } }",
    )]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    let notes = undecided(&[(
        "nginx.conf.j2",
        "events {}\nhttp { server { location /ws { proxy_pass http://a:1; {% if ws %}proxy_set_header Upgrade $http_upgrade;{% endif %} } } }",
    )]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    // A whole location that may not be there; a loop over servers leaves each as it stands.
    let location = "location /cable { proxy_pass http://a:1; proxy_set_header Host $host; }";
    let text =
        format!("events {{}}\nhttp {{ server {{\n{{% if x %}}\n{location}\n{{% endif %}}\n}} }}");
    assert!(findings(&[("nginx.conf.j2", &text)]).is_empty());
    assert_eq!(undecided(&[("nginx.conf.j2", &text)]).len(), 1);
    let text = format!(
        "events {{}}\nhttp {{\n{{% for x in y %}}\nserver {{ {location} }}\n{{% endfor %}}\n}}"
    );
    assert_eq!(findings(&[("nginx.conf.j2", &text)]).len(), 1);
    // A pair that may be left out is no pair.
    let pair = "proxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection upgrade;";
    let text = format!(
        "events {{}}\nhttp {{ server {{ location /ws/ {{\n<% if x %>\n{pair}\n<% end %>\nproxy_pass http://a:1;\n}} }} }}"
    );
    assert!(findings(&[("nginx.conf.erb", &text)]).is_empty());
    assert_eq!(undecided(&[("nginx.conf.erb", &text)]).len(), 1);
    // A comment writes nothing, and a condition elsewhere decides nothing here.
    let found = findings(&[(
        "nginx.conf.j2",
        "# {{ ansible_managed }}\nevents {}\nhttp { server {\n{% if tls %}\nlisten 443 ssl;\n{% endif %}\nlocation /ws {\n# {{ note }}\nproxy_pass http://{{ app }}; proxy_set_header Host $host; } } }",
    )]);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn fragments_of_one_folder_share_their_maps() {
    let site = "server { location /ws/ { proxy_pass http://a:1; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; } }";
    let found = findings(&[
        ("a/conf.d/site.conf", site),
        (
            "a/conf.d/map.conf",
            "map $http_upgrade $connection_upgrade { default upgrade; '' close; }",
        ),
        ("b/conf.d/site.conf", site),
        (
            "b/conf.d/map.conf",
            "map $http_upgrade $connection_upgrade { default close; '' upgrade; }",
        ),
    ]);
    assert_eq!(
        found,
        [(
            "nginx/map-never-upgrades".to_owned(),
            "default close".to_owned()
        )]
    );
}

#[test]
fn a_bomb_of_includes_loses_no_finding_beside_it() {
    let bomb: Vec<(String, String)> = (0..6)
        .map(|at| {
            (
                format!("{at}.conf"),
                format!("include {}.conf;", at + 1).repeat(10),
            )
        })
        .chain([("6.conf".to_owned(), "add_header A b;".to_owned())])
        .collect();
    let location = "location /ws/ { proxy_set_header Host $host; proxy_pass http://a:1; }";
    let main = format!("events {{}}\nhttp {{ server {{ include 0.conf; {location} }} }}");
    let mut files: Vec<(&str, &str)> = vec![("nginx.conf", &main)];
    files.extend(
        bomb.iter()
            .map(|(path, text)| (path.as_str(), text.as_str())),
    );
    assert_eq!(findings(&files).len(), 1);
}

#[test]
fn a_snippet_that_breaks_in_one_server_names_it() {
    let files = [
        (
            "nginx.conf",
            "events {}\nhttp { server { listen 80; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; include ws.conf; }\nserver { listen 81; include ws.conf; } }",
        ),
        ("ws.conf", "location /ws/ { proxy_pass http://a; }"),
    ];
    let project = Project::in_memory(files).expect("valid");
    let outcome = check(&project, &Selection::default());
    let [finding] = &outcome.findings[..] else {
        panic!("{:?}", outcome.findings);
    };
    let label = finding
        .labels
        .iter()
        .find(|label| label.message == "it breaks in this server")
        .expect("the server is named");
    assert_eq!(
        project
            .source(label.span.source)
            .position(label.span.start as usize)
            .line,
        3
    );
}

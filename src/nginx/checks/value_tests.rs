//! The rules about values, addresses and responses, beyond the examples of their files.

use super::tests::{findings, in_http};

const PAIR: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";";
const PASS: &str = "proxy_pass http://10.0.0.1:1;";

/// The rules found in one location with the pair and these lines.
fn rules(lines: &str) -> Vec<String> {
    let found = in_http(&format!(
        "proxy_cache_path /c keys_zone=z:1m; server {{ listen 80; location /ws {{ {PAIR} {PASS} {lines} }} }}"
    ));
    found.into_iter().map(|(rule, _)| rule).collect()
}

fn rule(lines: &str, name: &str) {
    assert_eq!(rules(lines), [format!("nginx/{name}")], "{lines}");
}

#[test]
fn what_takes_the_handshake_apart_is_named() {
    for lines in [
        "proxy_set_header sec-websocket-key x;",
        "proxy_set_header Sec-WebSocket-Version \"\";",
        "proxy_set_header Sec-WebSocket-Key $http_sec_websocket_key; proxy_set_header Sec-WebSocket-Key x;",
        "proxy_method PUT;",
        "proxy_pass_request_headers off; proxy_set_header Sec-WebSocket-Key $http_sec_websocket_key;",
        "more_clear_input_headers Sec-WebSocket-*;",
        "more_clear_input_headers \"X-A Upgrade\";",
    ] {
        rule(lines, "handshake-headers-dropped");
    }
    for lines in [
        "proxy_set_header Sec-WebSocket-Key $http_sec_websocket_key;",
        "proxy_set_header Sec-WebSocket-Key $cookie_key;",
        "proxy_set_header Sec-WebSocket-Version 13;",
        "proxy_method GET;",
        "proxy_pass_request_headers on;",
        "proxy_set_body $request_body;",
        "more_clear_input_headers X-Upgrade;",
        "more_clear_input_headers -s 404 Upgrade;",
        "more_clear_input_headers Connection;",
    ] {
        assert_eq!(rules(lines), [] as [&str; 0], "{lines}");
    }
}

#[test]
fn what_spoils_the_answer_is_named() {
    for lines in [
        "proxy_hide_header upgrade;",
        "more_clear_headers \"Sec-WebSocket-*\";",
        "more_clear_headers Upgrade;",
        "add_header Sec-WebSocket-Accept x always;",
        "add_header Upgrade $upstream_http_upgrade always;",
        "proxy_hide_header Sec-WebSocket-Protocol;",
    ] {
        rule(lines, "response-headers-spoiled");
    }
    for lines in [
        "proxy_hide_header Upgrade; proxy_pass_header Upgrade;",
        "add_header Upgrade \"\" always;",
        "add_header Upgrade $sent always;",
        "add_header Sec-WebSocket-Protocol $http_sec_websocket_protocol always;",
        "add_header Sec-WebSocket-Protocol chat;",
        "more_clear_headers -t text/html Upgrade;",
        "more_clear_headers Server;",
    ] {
        assert_eq!(rules(lines), [] as [&str; 0], "{lines}");
    }
}

#[test]
fn one_cause_lists_all_its_routes() {
    let found = in_http(&format!(
        "server {{ proxy_hide_header Upgrade; location /ws {{ {PAIR} {PASS} }} location /live {{ {PAIR} {PASS} }} }}"
    ));
    assert_eq!(found.len(), 1, "{found:?}");
}

/// The rules found where a location has the pair and this address.
fn address(http: &str, address: &str) -> Vec<String> {
    let found = in_http(&format!(
        "{http} server {{ listen 80; location /ws {{ {PAIR} proxy_pass {address}; }} }}"
    ));
    found.into_iter().map(|(rule, _)| rule).collect()
}

#[test]
fn an_address_is_wrong_only_where_that_is_certain() {
    for (http, url) in [
        ("", "app:8000"),
        ("", "unix:/run/app.sock"),
        ("", "tcp://app:8000"),
        ("map $host $to { default http://app:1; }", "$to"),
        (
            "upstream app { server a:1; } map $host $to { default app; }",
            "http://$to:8000",
        ),
        ("", "https://app:80"),
        ("", "http://app:443/live"),
    ] {
        assert_eq!(address(http, url), ["nginx/upstream-address"], "{url}");
    }
    for (http, url) in [
        ("", "__BACKEND__:8000"),
        ("", "<host>:8000"),
        ("", "UPSTREAM"),
        ("", "http://app:8443"),
        (
            "upstream App { server a:1; } map $host $to { default app; }",
            "http://$to",
        ),
        (
            "resolver 127.0.0.11; map $host $to { default http://app:1; }",
            "$to",
        ),
        (
            "map $host $to { default http://app:1; } server { location / { proxy_pass http://app:1/; } }",
            "$to",
        ),
        (
            "map $host $to { default http://unix:/run/app.sock:; }",
            "$to",
        ),
        ("map $host $to { default http://[::1]:1; }", "$to"),
        ("", "http://$host"),
    ] {
        assert_eq!(address(http, url), [] as [&str; 0], "{http} {url}");
    }
    // What includes this file may have a resolver.
    let fragment =
        format!("server {{ location /ws {{ {PAIR} set $a http://app:1; proxy_pass $a; }} }}");
    assert_eq!(findings(&[("conf.d/a.conf", &fragment)]), []);
}

#[test]
fn a_variable_is_unknown_only_in_a_whole_configuration() {
    let location = "location /ws { proxy_pass http://10.0.0.1:1; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }";
    let whole = in_http(&format!("server {{ listen 80; {location} }}"));
    assert_eq!(whole.len(), 1);
    assert_eq!(whole[0].0, "nginx/unknown-variable");
    for http in [
        format!("include /etc/nginx/other.conf; server {{ {location} }}"),
        format!("server {{ set_by_lua $connection_upgrade 'return 1'; {location} }}"),
        format!("js_set $connection_upgrade main.upgrade; server {{ {location} }}"),
        format!("server {{ auth_request_set $Connection_Upgrade $upstream_http_x; {location} }}"),
    ] {
        assert_eq!(in_http(&http), [], "{http}");
    }
    let fragment = format!("server {{ listen 80; {location} }}");
    assert_eq!(findings(&[("conf.d/a.conf", &fragment)]), []);
}

#[test]
fn modules_without_an_upgrade_are_named_where_sockets_are_certain() {
    for location in [
        "location /cable { fastcgi_pass unix:/run/php.sock; }",
        "location /chat { fastcgi_pass app:9000; proxy_set_header Upgrade $http_upgrade; }",
        "location /socket.io/ { proxy_pass http://10.0.0.1:1; grpc_pass app:9000; }",
    ] {
        let found = in_http(&format!("server {{ {location} }}"));
        assert_eq!(found.len(), 1, "{location}: {found:?}");
        assert_eq!(found[0].0, "nginx/cannot-upgrade", "{location}");
    }
    for location in [
        // `ws` is what web services are called as well.
        "location /ws/ { fastcgi_pass unix:/run/php.sock; }",
        "proxy_set_header Upgrade $http_upgrade; location / { fastcgi_pass unix:/run/php.sock; }",
        "location /cable { uwsgi_pass unix:/run/app.sock; }",
        "location /cable { scgi_pass unix:/run/app.sock; }",
    ] {
        assert_eq!(
            in_http(&format!("server {{ {location} }}")),
            [],
            "{location}"
        );
    }
}

#[test]
fn an_if_that_knows_one_browser_is_found_where_it_decides() {
    for lines in [
        "if ($http_connection != Upgrade) { return 400; }",
        "if ($http_connection = \"keep-alive, Upgrade\") { return 400; }",
        "if ($http_connection !~ ^upgrade$) { return 426; }",
    ] {
        let found = rules(lines);
        assert_eq!(found.len(), 1, "{lines}: {found:?}");
        // What neither browser passes is no matter of browsers.
        let both = lines.contains("!~ ^upgrade");
        assert_eq!(
            found == ["nginx/answered-locally"],
            both,
            "{lines}: {found:?}"
        );
    }
    for lines in [
        "if ($http_connection !~* upgrade) { return 400; }",
        "if ($http_connection = Upgrade) { set $a 1; }",
        "if ($http_connection = Upgrade) { proxy_pass http://10.0.0.2:1; }",
    ] {
        assert_eq!(rules(lines), [] as [&str; 0], "{lines}");
    }
}

/// The rules found in one location with the pair and these lines, with hints.
fn pedantic(http: &str) -> Vec<String> {
    let conf = format!("events {{}}\nhttp {{\n{http}\n}}\n");
    let project = crate::project::Project::in_memory([("nginx.conf", conf.as_str())]);
    let project = project.expect("the configuration is valid");
    let selection = crate::check::Selection {
        pedantic: true,
        ..crate::check::Selection::default()
    };
    let outcome = crate::check::check(&project, &selection);
    let found = outcome.findings.iter();
    found
        .map(|finding| format!("{} {}", finding.severity.name(), finding.rule))
        .collect()
}

#[test]
fn hygiene_is_shown_only_to_those_who_ask() {
    let plain = format!("server {{ listen 80; location /ws {{ {PAIR} {PASS} }} }}");
    assert_eq!(in_http(&plain), []);
    assert_eq!(
        pedantic(&plain),
        ["info nginx/host-not-forwarded", "info nginx/read-timeout"]
    );
    let clean = "proxy_set_header Host $host; proxy_read_timeout 1h;";
    for (http, found) in [
        (
            format!("server {{ location /ws {{ {PAIR} {PASS} {clean} }} }}"),
            vec![],
        ),
        (
            format!("server {{ location / {{ {PAIR} {PASS} {clean} }} }}"),
            vec!["info nginx/static-upgrade"],
        ),
        (
            format!(
                "server {{ location /ws {{ {} {PASS} {clean} }} }}",
                PAIR.replace("proxy_http_version 1.1;", "")
            ),
            vec!["info nginx/http-version"],
        ),
        (
            format!(
                "limit_conn_zone $uri zone=a:1m; limit_conn a 1; server {{ location /ws {{ {PAIR} {PASS} {clean} }} }}"
            ),
            vec!["info nginx/connection-limits"],
        ),
        // An upstream over TLS is asked for by its own name.
        (
            format!(
                "server {{ location /ws {{ {PAIR} proxy_pass https://a.example; proxy_read_timeout 1h; }} }}"
            ),
            vec![],
        ),
    ] {
        assert_eq!(pedantic(&http), found, "{http}");
    }
}

#[test]
fn timeouts_are_judged_by_the_pings_of_the_software() {
    for (path, lines, found) in [
        ("/ws", "proxy_read_timeout 15;", 1),
        ("/ws", "proxy_read_timeout 500ms;", 1),
        ("/ws", "proxy_read_timeout 0;", 1),
        ("/ws", "proxy_read_timeout 19s;", 1),
        ("/ws", "proxy_read_timeout 20s;", 0),
        ("/socket.io/", "proxy_read_timeout 21s;", 1),
        ("/socket.io/", "proxy_read_timeout 25s;", 0),
        ("/ws", "proxy_read_timeout $time;", 0),
        ("/ws", "include unseen.conf; proxy_read_timeout 5s;", 1),
        ("/ws", "proxy_send_timeout 5s; keepalive_timeout 1s;", 0),
    ] {
        let http = format!("server {{ location {path} {{ {PAIR} {PASS} {lines} }} }}");
        let rules = in_http(&http);
        let timeouts = rules
            .iter()
            .filter(|(rule, _)| rule == "nginx/read-timeout");
        assert_eq!(timeouts.count(), found, "{http}: {rules:?}");
    }
}

#[test]
fn answers_of_a_cache_are_found_where_they_reach_a_handshake() {
    for (lines, found) in [
        ("proxy_cache z; proxy_cache_valid any 1m;", true),
        ("proxy_cache z; proxy_cache_valid 404 1m;", true),
        ("proxy_cache z; proxy_cache_valid 10m;", true),
        ("proxy_cache z;", false),
        ("proxy_cache_valid any 1m;", false),
        ("proxy_cache off; proxy_cache_valid any 1m;", false),
        ("proxy_cache z; proxy_cache_valid 301 1m;", false),
        (
            "proxy_cache z; proxy_cache_valid any 1m; proxy_cache_bypass $http_upgrade;",
            false,
        ),
        (
            "proxy_cache z; proxy_cache_valid any 1m; proxy_cache_key $uri$http_upgrade;",
            false,
        ),
    ] {
        assert_eq!(!rules(lines).is_empty(), found, "{lines}");
    }
}

#[test]
fn only_a_policy_that_certainly_forbids_the_sites_own_socket_is_found() {
    for (listen, csp, found) in [
        (
            "listen 443 ssl; server_name a.example;",
            "default-src 'self'; connect-src https:",
            true,
        ),
        (
            "listen 443 ssl; server_name a.example;",
            "connect-src wss://a.example",
            false,
        ),
        (
            "listen 443 ssl; server_name a.example b.example;",
            "connect-src wss://b.example",
            false,
        ),
        ("listen 443 ssl;", "connect-src 'none'", true),
        ("listen 80;", "connect-src wss:", false),
        ("listen 80;", "connect-src https:", true),
        (
            "listen 443 ssl; server_name a.example;",
            "connect-src https: wss://ws.example",
            false,
        ),
        (
            "listen 443 ssl;",
            "default-src 'none'; frame-ancestors 'none'",
            false,
        ),
        (
            "listen 443 ssl;",
            "default-src 'none'; script-src 'self'",
            true,
        ),
        ("listen 443 ssl;", "connect-src $sources", false),
    ] {
        let http = format!(
            "server {{ {listen} add_header Content-Security-Policy \"{csp}\"; location / {{ root /a; }} location /ws {{ {PAIR} {PASS} }} }}"
        );
        let rules = in_http(&http);
        assert_eq!(!rules.is_empty(), found, "{http}: {rules:?}");
        assert!(
            rules
                .iter()
                .all(|(rule, _)| rule == "nginx/csp-blocks-websocket")
        );
    }
    // The pages have a policy of their own, and one without sockets has none to forbid.
    let own = format!(
        "server {{ add_header Content-Security-Policy \"connect-src 'none'\"; location / {{ add_header X y; root /a; }} location /ws {{ {PAIR} {PASS} }} }}"
    );
    assert_eq!(in_http(&own), []);
    let none = "server { add_header Content-Security-Policy \"connect-src 'none'\"; location / { proxy_pass http://10.0.0.1:1; } }";
    assert_eq!(in_http(none), []);
}

#[test]
fn http2_without_tls_is_found_for_old_versions_only() {
    for (listen, target, found) in [
        ("listen 80 http2;", "1.22", 1),
        ("listen 80 http2;", "1.28", 0),
        ("listen 80 http2; listen 8080;", "1.22", 1),
        ("listen 443 ssl http2;", "1.22", 0),
        ("listen 443 http2; ssl on;", "1.22", 0),
        ("listen 80;", "1.22", 0),
    ] {
        let conf = format!(
            "events {{}}\nhttp {{ server {{ {listen} location /ws {{ {PAIR} {PASS} }} }} server {{ listen 443 ssl; }} }}"
        );
        let target = format!("[targets]\nnginx = \"{target}\"");
        let rules = findings(&[("nginx.conf", &conf), ("wslint.toml", &target)]);
        let http2 = rules
            .iter()
            .filter(|(rule, _)| rule == "nginx/plain-http2-listener");
        assert_eq!(http2.count(), found, "{listen} {target}: {rules:?}");
    }
}

#[test]
fn polling_needs_one_server_for_a_client() {
    for (path, upstream, found) in [
        ("/socket.io/", "server a; server b;", true),
        ("/socket.io/", "server a; server b backup;", false),
        ("/socket.io/", "server a; server b down;", false),
        ("/socket.io/", "server a;", false),
        ("/socket.io/", "sticky cookie a; server a; server b;", false),
        (
            "/socket.io/",
            "hash $remote_addr consistent; server a; server b;",
            false,
        ),
        ("/ws", "server a; server b;", false),
    ] {
        let http = format!(
            "upstream app {{ {upstream} }} server {{ location {path} {{ {PAIR} proxy_pass http://app; }} }}"
        );
        assert_eq!(!in_http(&http).is_empty(), found, "{http}");
    }
}

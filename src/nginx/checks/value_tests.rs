//! The rules about values, addresses and responses, beyond the examples of their files.

use super::tests::{findings, in_http};

const PAIR: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";";
const PASS: &str = "proxy_pass http://10.0.0.1:1;";

/// The rules found in one location with the pair and these lines.
fn rules(lines: &str) -> Vec<String> {
    let found = in_http(&format!(
        "server {{ listen 80; location /ws {{ {PAIR} {PASS} {lines} }} }}"
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
        let both = lines.contains("!~ ^upgrade");
        assert_eq!(found.len(), usize::from(!both), "{lines}: {found:?}");
    }
    for lines in [
        "if ($http_connection !~* upgrade) { return 400; }",
        "if ($http_connection = Upgrade) { set $a 1; }",
        "if ($http_connection = Upgrade) { proxy_pass http://10.0.0.2:1; }",
    ] {
        assert_eq!(rules(lines), [] as [&str; 0], "{lines}");
    }
}

//! What looks suspicious and works: what `nginx_harmless` demands silence about is what `truth`
//! sends a real handshake through.

/// What a location needs.
const ALL: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; proxy_pass http://127.0.0.1:8000;";
/// The same without Connection.
const REST: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_pass http://127.0.0.1:8000;";
const PASS: &str = "proxy_pass http://127.0.0.1:8000;";
const PAIR: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";";

/// The endpoint that each of them serves.
pub(crate) const ENDPOINT: &str = "/ws";

/// Files that some of them include, by the path in nginx's folder.
pub(crate) const FILES: [(&str, &str); 3] = [
    ("snippets/pair.conf", PAIR),
    ("snippets/empty.conf", "proxy_set_header Connection \"\";"),
    ("snippets/keys.map", "websocket upgrade;"),
];

/// A server with these lines in its `location /`.
pub(crate) fn location(lines: &str) -> String {
    format!("server {{ listen 80; location / {{ {lines} }} }}")
}

/// A location that needs nothing more, and a line beside it.
pub(crate) fn beside(line: &str) -> String {
    location(&format!("{ALL} {line}"))
}

/// The contents of `http` blocks, by what they show.
pub(crate) fn harmless() -> Vec<(&'static str, Vec<String>)> {
    vec![
        ("every spelling of the value works", spellings()),
        ("empty lines beside the right one are dropped", doubles()),
        ("maps that upgrade, however they are written", maps()),
        ("variables that are set on the way", variables()),
        ("headers that are inherited whole", inherited()),
        ("conditions and jumps that lead to the pair", conditions()),
        ("directives that do not touch the handshake", lines()),
        ("subrequests that do not upgrade", subrequests()),
        ("upstreams and listeners of all kinds", upstreams()),
    ]
}

/// The whole configuration.
pub(crate) fn whole(http: &str) -> String {
    format!("events {{}}\nhttp {{\n{http}\n}}\n")
}

fn spellings() -> Vec<String> {
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
    let mut cases: Vec<String> = values
        .iter()
        .map(|value| location(&format!("{REST} proxy_set_header Connection {value};")))
        .collect();
    let rest = format!("proxy_http_version 1.1; {PASS}");
    cases.extend(
        [
            "proxy_set_header upgrade $http_Upgrade; proxy_set_header CONNECTION upgrade;",
            "proxy_set_header Upgrade websocket; proxy_set_header Connection upgrade;",
            "proxy_set_header Upgrade WebSocket; proxy_set_header Connection upgrade;",
            "proxy_set_header \"Upgrade\" \"${http_upgrade}\"; \"proxy_set_header\" Connection upgrade;",
        ]
        .map(|lines| location(&format!("{rest} {lines}"))),
    );
    cases
}

fn doubles() -> Vec<String> {
    let mut cases = vec![location(&format!(
        "proxy_set_header Connection \"\"; {ALL}"
    ))];
    cases.extend(
        [
            "proxy_set_header Connection \"\";",
            "include snippets/empty.conf;",
            "proxy_set_header connection \"\";",
            "proxy_set_header Connection keep-alive;",
            "proxy_set_header Connection \"upgrade\";",
            "proxy_set_header Connection close;",
            "proxy_set_header Upgrade \"\";",
        ]
        .map(beside),
    );
    cases
}

fn maps() -> Vec<String> {
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
        "map $http_connection $c { default close; upgrade upgrade; \"keep-alive, upgrade\" upgrade; }",
        "map $http_upgrade $c { default close; include snippets/keys.map; }",
        "map $http_upgrade $c { volatile; default upgrade; '' close; }",
        "map $http_upgrade $a { default yes; '' no; } map $a $c { yes upgrade; no close; }",
        "map \"$http_upgrade:$request_method\" $c { default close; websocket:GET upgrade; }",
        "geo $c { default upgrade; }",
        "map $http_upgrade $c { default close; } map $http_upgrade $c { default upgrade; }",
    ];
    let with = |map: &str| {
        format!(
            "{map} {}",
            location(&format!("{REST} proxy_set_header Connection $c;"))
        )
    };
    let mut cases: Vec<String> = maps.iter().map(|map| with(map)).collect();
    // Its place in the file does not matter.
    cases.push(format!("{} {}", with(""), maps[0]));
    cases
}

fn variables() -> Vec<String> {
    vec![
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
        format!(
            "server {{ listen 80; location / {{ {PAIR} set $b 127.0.0.1:8000; proxy_pass http://$b; }} }}"
        ),
    ]
}

fn inherited() -> Vec<String> {
    vec![
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
    ]
}

fn conditions() -> Vec<String> {
    let mut cases: Vec<String> = [
        "if ($args ~ z) { set $x 1; }",
        "if ($http_upgrade) { proxy_pass http://127.0.0.1:8000; }",
        "if ($http_upgrade) { proxy_pass http://127.0.0.1:8001; }",
        "if ($http_upgrade = \"\") { return 400; }",
        "limit_except GET { deny all; }",
        "rewrite ^/ws(.*)$ /live$1 break;",
        "root /var/www; index index.html;",
    ]
    .into_iter()
    .map(beside)
    .collect();
    cases.extend([
        format!(
            "server {{ listen 80; location /ws {{ error_page 418 = @ws; if ($http_upgrade) {{ return 418; }} {PASS} }} location @ws {{ {ALL} }} }}"
        ),
        format!(
            "server {{ listen 80; location / {{ try_files $uri @ws; }} location @ws {{ {ALL} }} }}"
        ),
        format!("server {{ listen 80; location /ws {{ {ALL} alias /var/www/; }} }}"),
    ]);
    cases
}

fn lines() -> Vec<String> {
    [
        "proxy_buffering off;",
        "proxy_buffering on; proxy_buffer_size 8k; proxy_buffers 8 8k;",
        "proxy_request_buffering off;",
        "gzip on;",
        "sub_filter a b;",
        "ssi on;",
        "charset utf-8; override_charset on;",
        "expires 1h;",
        "etag off;",
        "sendfile on; tcp_nopush on; aio threads;",
        "tcp_nodelay off; postpone_output 1460;",
        "chunked_transfer_encoding off;",
        "proxy_store off;",
        "proxy_force_ranges on;",
        "proxy_ignore_headers X-Accel-Buffering X-Accel-Limit-Rate;",
        "proxy_pass_header Upgrade;",
        "proxy_redirect off;",
        "proxy_cookie_path / /;",
        "proxy_intercept_errors on;",
        "proxy_next_upstream off;",
        "proxy_limit_rate 10k;",
        "proxy_socket_keepalive on;",
        "proxy_send_timeout 1h; proxy_connect_timeout 5s;",
        "client_max_body_size 1;",
        "client_body_timeout 1s; send_timeout 1s;",
        "keepalive_timeout 0;",
        "keepalive_requests 1;",
        "lingering_close off;",
        "reset_timedout_connection on;",
        "satisfy any;",
        "userid on;",
        "proxy_hide_header Connection;",
        "proxy_hide_header Sec-WebSocket-Extensions;",
        "proxy_set_header Sec-WebSocket-Extensions \"\";",
        "proxy_set_header Sec-WebSocket-Key $http_sec_websocket_key;",
        "proxy_set_header Content-Length \"\";",
        "proxy_set_header Content-Length 0;",
        "proxy_set_header TE trailers;",
        "proxy_set_header Origin \"\";",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "proxy_set_header Host $http_host;",
        "proxy_pass_request_body off;",
        "proxy_method GET;",
        "add_header Connection upgrade always;",
        "add_header Upgrade h2;",
        "add_header Strict-Transport-Security max-age=1 always; add_header X-Frame-Options DENY always;",
        "add_header Content-Security-Policy \"default-src 'self'\" always;",
        "add_header Content-Security-Policy \"connect-src 'self' https: wss:\" always;",
    ]
    .map(beside)
    .to_vec()
}

fn subrequests() -> Vec<String> {
    vec![
        format!(
            "server {{ listen 80; location / {{ auth_request /auth; {ALL} }} location = /auth {{ internal; return 200; }} }}"
        ),
        format!(
            "server {{ listen 80; location / {{ mirror /copy; {ALL} }} location = /copy {{ internal; proxy_set_header X-Copy 1; proxy_pass http://127.0.0.1:8001; }} }}"
        ),
    ]
}

fn upstreams() -> Vec<String> {
    let balanced = |lines: &str| {
        format!(
            "upstream app {{ {lines} }} server {{ listen 80; location / {{ {PAIR} proxy_pass http://app; }} }}"
        )
    };
    let mut cases: Vec<String> = [
        "server 127.0.0.1:8000; keepalive 16;",
        "ip_hash; server 127.0.0.1:8000; server 127.0.0.1:8001;",
        "least_conn; server 127.0.0.1:8000; server 127.0.0.1:8001 backup;",
    ]
    .into_iter()
    .map(balanced)
    .collect();
    cases.extend([
        format!(
            "upstream app {{ server 127.0.0.1:8000; }} server {{ listen 80; set $app app; location / {{ {PAIR} proxy_pass http://$app; }} }}"
        ),
        format!(
            "server {{ listen 80; listen 443 ssl http2; ssl_certificate cert.pem; ssl_certificate_key key.pem; location / {{ {ALL} }} }}"
        ),
        format!(
            "map $http_upgrade $to {{ default http://127.0.0.1:8001; websocket http://127.0.0.1:8000; }} server {{ listen 80; location / {{ {PAIR} proxy_pass $to; }} }}"
        ),
    ]);
    cases
}

//! Configurations of nginx and Caddy at random, for one proxy of a stack.

use crate::differential::Random;

/// A proxy of a stack.
pub(crate) struct Hop<'a> {
    /// Where it listens.
    pub(crate) port: u16,
    /// Whether it ends TLS there.
    pub(crate) tls: bool,
    /// Whether clients, or their edge, connect to it.
    pub(crate) is_outer: bool,
    /// The ports that it dials for sockets.
    pub(crate) sockets: &'a [u16],
    /// The port that it dials for pages.
    pub(crate) pages: u16,
    /// What the public paths begin with, and the application's do not; may be empty.
    pub(crate) prefix: &'a str,
    /// Whether it takes that off.
    pub(crate) strips: bool,
    /// A path of the application.
    pub(crate) path: &'a str,
}

fn indented(lines: &[String], by: &str) -> String {
    let all = lines.iter().flat_map(|line| line.lines());
    all.map(|line| match line.is_empty() {
        true => "\n".to_owned(),
        false => format!("{by}{line}\n"),
    })
    .collect()
}

/// The first folder of a path, with its slashes.
fn first_folder(path: &str) -> &str {
    let end = path[1..].find('/').map_or(path.len(), |at| at + 2);
    &path[..end]
}

/// Lines of nginx for what it sends.
fn nginx_headers(random: &mut Random, for_sockets: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if for_sockets {
        if random.chance(93) {
            lines.push("proxy_http_version 1.1;");
        }
        if random.chance(93) {
            lines.push(random.pick(&[
                "proxy_set_header Upgrade $http_upgrade;",
                "proxy_set_header Upgrade $http_upgrade;",
                "proxy_set_header Upgrade $http_upgrade;",
                "proxy_set_header Upgrade websocket;",
            ]));
        }
        if random.chance(93) {
            lines.push(random.pick(&[
                "proxy_set_header Connection \"upgrade\";",
                "proxy_set_header Connection \"upgrade\";",
                "proxy_set_header Connection $connection_upgrade;",
                "proxy_set_header Connection $connection_upgrade;",
                "proxy_set_header Connection Upgrade;",
                "proxy_set_header Connection $http_connection;",
                "proxy_set_header Connection \"\";",
            ]));
        }
    }
    if random.chance(80) {
        lines.push(random.pick(&[
            "proxy_set_header Host $host;",
            "proxy_set_header Host $host;",
            "proxy_set_header Host $http_host;",
            "proxy_set_header Host $host:$server_port;",
            "proxy_set_header Host chat.example.com;",
            "proxy_set_header Host localhost;",
            "proxy_set_header Host $proxy_host;",
        ]));
    }
    if random.chance(70) {
        lines.push(random.pick(&[
            "proxy_set_header X-Forwarded-Proto $scheme;",
            "proxy_set_header X-Forwarded-Proto $scheme;",
            "proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;",
            "proxy_set_header X-Forwarded-Proto https;",
            "proxy_set_header X-Scheme $scheme;",
        ]));
    }
    if random.chance(50) {
        lines.push("proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;");
    }
    if random.chance(15) {
        lines.push("proxy_set_header X-Forwarded-Host $host;");
    }
    if random.chance(15) {
        lines.push(random.pick(&[
            "proxy_redirect off;",
            "proxy_buffering off;",
            "proxy_read_timeout 3600s;",
            "proxy_intercept_errors on;",
        ]));
    }
    lines.into_iter().map(str::to_owned).collect()
}

/// How a location passes on: with a URI part only where nginx takes one.
fn proxy_pass(
    random: &mut Random,
    hop: &Hop<'_>,
    to: &str,
    at: &str,
    is_regex: bool,
) -> Vec<String> {
    let under_prefix = !hop.prefix.is_empty() && at.starts_with(hop.prefix);
    let strips = match random.chance(90) {
        true => hop.strips && under_prefix,
        false => random.chance(30),
    };
    if !strips {
        return vec![format!("proxy_pass http://{to};")];
    }
    let prefix = match hop.prefix.is_empty() {
        true => first_folder(hop.path).trim_end_matches('/'),
        false => hop.prefix,
    };
    match random.below(3) {
        0 if !is_regex && at.starts_with(prefix) => {
            let rest = at[prefix.len()..].trim_start_matches('/');
            vec![format!("proxy_pass http://{to}/{rest};")]
        }
        1 if !is_regex && at.ends_with('/') => vec![format!("proxy_pass http://{to}/;")],
        _ => vec![
            format!("rewrite ^{prefix}/(.*)$ /$1 break;"),
            format!("proxy_pass http://{to};"),
        ],
    }
}

/// The name of a server.
fn name(random: &mut Random, is_outer: bool) -> &'static str {
    match is_outer {
        true => random.pick(&[
            "chat.example.com",
            "chat.example.com",
            "chat.example.com",
            "chat.example.com www.example.com",
            "*.example.com",
            ".example.com",
            "_",
            "~^(chat|www)\\.example\\.com$",
            "example.com",
        ]),
        false => random.pick(&["chat.example.com", "_", "_", "app.internal"]),
    }
}

/// A configuration of nginx.
pub(crate) fn nginx(random: &mut Random, hop: &Hop<'_>) -> String {
    let mut http = Vec::new();
    if random.chance(40) {
        http.push("default_type text/html;".to_owned());
    }
    http.push(
        "map $http_upgrade $connection_upgrade {\n    default upgrade;\n    ''      close;\n}"
            .to_owned(),
    );
    let mut to = format!("127.0.0.1:{}", hop.sockets[0]);
    if hop.sockets.len() > 1 || random.chance(30) {
        let mut lines: Vec<String> = hop
            .sockets
            .iter()
            .map(|port| format!("server 127.0.0.1:{port};"))
            .collect();
        if random.chance(12) {
            lines.insert(0, random.pick(&["ip_hash;", "least_conn;"]).to_owned());
        }
        if random.chance(20) {
            lines.push("keepalive 16;".to_owned());
        }
        to = "application".to_owned();
        http.push(format!("upstream {to} {{\n{}}}", indented(&lines, "    ")));
    }
    let name = name(random, hop.is_outer);
    let (port, ssl) = (hop.port, if hop.tls { " ssl" } else { "" });
    if random.chance(15) {
        let answer = random.pick(&[
            "return 444;",
            "return 404;",
            "return 301 https://www.example.com$request_uri;",
        ]);
        let certificate = if hop.tls { CERTIFICATE } else { "" };
        http.push(format!("server {{\n    listen {port}{ssl} default_server;\n    server_name _;\n{certificate}    {answer}\n}}"));
    }
    let plain = hop.tls && hop.is_outer && hop.port == 443;
    if plain && random.chance(70) {
        let target = random.pick(&[
            "https://$host$request_uri",
            "https://$server_name$request_uri",
            "https://chat.example.com$request_uri",
        ]);
        let status = random.pick(&["301", "302", "308"]);
        let how = random.pick(&["whole", "whole", "location", "if"]);
        let body = match how {
            "location" => format!("    location / {{\n        return {status} {target};\n    }}\n"),
            "if" => {
                format!("    if ($scheme = http) {{\n        return {status} {target};\n    }}\n")
            }
            _ => format!("    return {status} {target};\n"),
        };
        http.push(format!(
            "server {{\n    listen 80;\n    server_name {name};\n{body}}}"
        ));
    }
    let mut server = vec![
        format!("listen {port}{ssl};"),
        format!("server_name {name};"),
    ];
    if hop.tls {
        server.extend(CERTIFICATE.lines().map(|line| line.trim().to_owned()));
    }
    if random.chance(25) {
        server.extend(nginx_headers(random, true));
    }
    if random.chance(10) {
        server.push(
            random
                .pick(&[
                    "error_page 404 /index.html;",
                    "error_page 500 502 503 504 /50x.html;",
                    "error_page 404 = @page;",
                ])
                .to_owned(),
        );
    }
    if server.iter().any(|line| line.ends_with("@page;")) {
        server.push(format!(
            "location @page {{\n    proxy_pass http://127.0.0.1:{};\n}}",
            hop.pages
        ));
    }
    if random.chance(6) {
        server.push(random.pick(&[
            "rewrite ^([^.]*[^/])$ $1/ permanent;",
            "rewrite ^/socket/(.*)$ /ws/$1 last;",
            "if ($request_method !~ ^(GET|POST)$) {\n    return 405;\n}",
            "if ($http_x_forwarded_proto = http) {\n    return 301 https://$host$request_uri;\n}",
        ]).to_owned());
    }
    // For sockets.
    let folder = first_folder(hop.path).trim_end_matches('/');
    let public = format!("{}{}", hop.prefix, folder);
    let mut used: Vec<String> = Vec::new();
    let mut location =
        |random: &mut Random, server: &mut Vec<String>, at: String, body: Vec<String>| {
            if used.contains(&at) {
                return;
            }
            let _ = &random;
            server.push(format!("location {at} {{\n{}}}", indented(&body, "    ")));
            used.push(at);
        };
    let sockets_apart = random.chance(75);
    if sockets_apart {
        let (at, is_regex) = match random.below(12) {
            0 => (public.clone(), false),
            1 => (format!("^~ {public}/"), false),
            2 => (format!("~ ^{public}/"), true),
            3 => (format!("~* {public}/"), true),
            4 => (format!("= {}{}", hop.prefix, hop.path), false),
            5 => (format!("{}{}", hop.prefix, hop.path), false),
            6 if !hop.prefix.is_empty() => (format!("{}/", hop.prefix), false),
            7 => (format!("~ ^{public}/(.*)$"), true),
            _ => (format!("{public}/"), false),
        };
        let path = at.rsplit(' ').next().unwrap_or_default().to_owned();
        let mut body = proxy_pass(random, hop, &to, &path, is_regex);
        body.extend(nginx_headers(random, true));
        if random.chance(4) {
            body.insert(
                0,
                "if ($http_upgrade != websocket) {\n    return 426;\n}".to_owned(),
            );
        }
        location(random, &mut server, at, body);
    }
    if !hop.prefix.is_empty() && random.chance(40) {
        let at = format!("{}/", hop.prefix);
        let mut body = proxy_pass(random, hop, &format!("127.0.0.1:{}", hop.pages), &at, false);
        body.extend(nginx_headers(random, !sockets_apart));
        location(random, &mut server, at, body);
    }
    if random.chance(25) {
        let at = random.pick(&[
            "~* \\.(js|css|png)$",
            "/static/",
            "= /favicon.ico",
            "/api/",
            "~ ^/(admin|api)/",
        ]);
        let body = match random.below(3) {
            0 => vec!["root /srv/site;".to_owned()],
            1 => vec!["return 404;".to_owned()],
            _ => vec![format!("proxy_pass http://127.0.0.1:{};", hop.pages)],
        };
        location(random, &mut server, at.to_owned(), body);
    }
    let body = match random.below(10) {
        0 => vec![
            "root /srv/site;".to_owned(),
            "try_files $uri $uri/ /index.html;".to_owned(),
        ],
        1 => vec![
            "root /srv/site;".to_owned(),
            "try_files $uri $uri/ =404;".to_owned(),
        ],
        2 => vec![
            "root /srv/site;".to_owned(),
            "index index.html;".to_owned(),
            "try_files $uri @application;".to_owned(),
        ],
        3 => vec!["return 404;".to_owned()],
        _ => {
            let mut body = match random.chance(30) {
                true => vec![format!("proxy_pass http://127.0.0.1:{};", hop.pages)],
                false => vec![format!("proxy_pass http://{to};")],
            };
            let for_sockets = !sockets_apart || random.chance(25);
            body.extend(nginx_headers(random, for_sockets));
            body
        }
    };
    if body.iter().any(|line| line.ends_with("@application;")) {
        let mut body = vec![format!("proxy_pass http://{to};")];
        let for_sockets = !sockets_apart || random.chance(50);
        body.extend(nginx_headers(random, for_sockets));
        location(random, &mut server, "@application".to_owned(), body);
    }
    if random.chance(93) {
        location(random, &mut server, "/".to_owned(), body);
    }
    http.push(format!("server {{\n{}}}", indented(&server, "    ")));
    format!("events {{}}\n\nhttp {{\n{}}}\n", indented(&http, "    "))
}

const CERTIFICATE: &str = "    ssl_certificate /srv/certificates/cert.pem;\n    ssl_certificate_key /srv/certificates/key.pem;\n";

/// A Caddy's proxy, with what it does to requests.
fn reverse_proxy(random: &mut Random, matcher: &str, ports: &[u16]) -> String {
    let host = random.pick(&["127.0.0.1", "127.0.0.1", "127.0.0.1", "http://127.0.0.1"]);
    let to: Vec<String> = ports.iter().map(|port| format!("{host}:{port}")).collect();
    let mut lines = Vec::new();
    if ports.len() > 1 && random.chance(70) {
        lines.push(
            random
                .pick(&[
                    "lb_policy round_robin",
                    "lb_policy round_robin",
                    "lb_policy random",
                    "lb_policy first",
                    "lb_policy ip_hash",
                    "lb_policy least_conn",
                ])
                .to_owned(),
        );
    }
    if random.chance(35) {
        lines.push(
            random
                .pick(&[
                    "header_up Host {host}",
                    "header_up Host {http.request.host}",
                    "header_up Host {upstream_hostport}",
                    "header_up Host chat.example.com",
                    "header_up X-Forwarded-Proto https",
                    "header_up X-Forwarded-Proto {scheme}",
                    "header_up X-Real-IP {remote_host}",
                    "header_up -Origin",
                    "header_up Origin https://chat.example.com",
                    "header_up Connection {header.Connection}",
                    "header_up -Upgrade",
                    "header_down -Server",
                    "flush_interval -1",
                    "trusted_proxies private_ranges",
                ])
                .to_owned(),
        );
    }
    let matcher = if matcher.is_empty() {
        String::new()
    } else {
        format!("{matcher} ")
    };
    match lines.is_empty() {
        true => format!("reverse_proxy {matcher}{}", to.join(" ")),
        false => format!(
            "reverse_proxy {matcher}{} {{\n{}}}",
            to.join(" "),
            indented(&lines, "\t")
        ),
    }
}

/// A Caddyfile.
pub(crate) fn caddy(random: &mut Random, hop: &Hop<'_>) -> String {
    let mut options = Vec::new();
    if !hop.tls && random.chance(20) {
        options.push("auto_https off".to_owned());
    }
    if random.chance(20) {
        let trusts = random.pick(&["private_ranges", "10.0.0.0/8", "127.0.0.1/8"]);
        options.push(format!("servers {{\n\ttrusted_proxies static {trusts}\n}}"));
    }
    let name = match hop.is_outer {
        true => random.pick(&[
            "chat.example.com",
            "chat.example.com",
            "chat.example.com",
            "*.example.com",
            "",
            "example.com",
        ]),
        false => random.pick(&["", "", "chat.example.com", "app.internal", "127.0.0.1"]),
    };
    let address = match (hop.tls, name) {
        // Without a name it would issue certificates as handshakes arrive.
        (true, "") => "chat.example.com".to_owned(),
        (true, name) if hop.port == 443 => name.to_owned(),
        (true, name) => format!("https://{name}:{}", hop.port),
        (false, "") => format!(":{}", hop.port),
        (false, name) if hop.port == 80 => format!("http://{name}"),
        (false, name) => format!("http://{name}:{}", hop.port),
    };
    let folder = first_folder(hop.path).trim_end_matches('/');
    let public = format!("{}{folder}", hop.prefix);
    let mut site = Vec::new();
    if hop.tls {
        site.push("tls /srv/certificates/cert.pem /srv/certificates/key.pem".to_owned());
    }
    for (percent, line) in [
        (20, "encode gzip"),
        (8, "log"),
        (5, "header -Server"),
        (5, "header X-Frame-Options DENY"),
        (4, "respond /health 200"),
        (4, "redir /old/* /new/ 301"),
        (4, "uri strip_suffix /"),
        (4, "request_header -Origin"),
        (4, "request_header X-Forwarded-Proto https"),
    ] {
        if random.chance(percent) {
            site.push(line.to_owned());
        }
    }
    if random.chance(5) {
        site.push(format!(
            "@bare path_regexp ^(.*[^/])$\nredir @bare {{re.1}}/ {}",
            random.pick(&["301", "302", "308"])
        ));
    }
    let matchers = [
        format!("{public}/*"),
        format!("{public}/*"),
        format!("{public}*"),
        format!("{}{}", hop.prefix, hop.path),
        "@sockets".to_owned(),
        "@sockets".to_owned(),
    ];
    let matcher = &matchers[random.below(matchers.len())];
    if matcher == "@sockets" {
        site.push(
            random
                .pick(&[
                    "@sockets {\n\theader Connection *Upgrade*\n\theader Upgrade websocket\n}",
                    "@sockets {\n\theader Upgrade websocket\n}",
                    "@sockets header Connection *pgrade*",
                    "@sockets {\n\tpath /ws /ws/* /app/ws/* /live/\n}",
                    "@sockets path_regexp ^(/app)?/ws/",
                    "@sockets {\n\theader Connection Upgrade\n\theader Upgrade websocket\n}",
                ])
                .to_owned(),
        );
    }
    let pages = match random.below(8) {
        0 | 1 => "root * /srv/site\ntry_files {path} /index.html\nfile_server".to_owned(),
        2 => "root * /srv/site\nfile_server".to_owned(),
        3 => "respond 404".to_owned(),
        _ => reverse_proxy(random, "", &[hop.pages]),
    };
    let strip = format!("uri strip_prefix {}", hop.prefix);
    let strips = !hop.prefix.is_empty() && (hop.strips != random.chance(10));
    match random.below(6) {
        // Side by side.
        0 => {
            if strips {
                site.push(strip);
            }
            site.push(reverse_proxy(random, matcher, hop.sockets));
            site.push(pages);
        }
        // All to one.
        1 => {
            if strips {
                site.push(strip);
            }
            site.push(reverse_proxy(random, "", hop.sockets));
        }
        2 if strips => {
            site.push(format!(
                "handle_path {}/* {{\n{}}}",
                hop.prefix,
                indented(&[reverse_proxy(random, "", hop.sockets)], "\t")
            ));
            if random.chance(70) {
                site.push(format!("handle {{\n{}}}", indented(&[pages], "\t")));
            }
        }
        3 => {
            let mut inside = Vec::new();
            if strips {
                inside.push(strip);
            }
            inside.push(reverse_proxy(random, matcher, hop.sockets));
            inside.push(pages);
            site.push(format!("route {{\n{}}}", indented(&inside, "\t")));
        }
        _ => {
            let mut inside = Vec::new();
            if strips {
                inside.push(strip);
            }
            inside.push(reverse_proxy(random, "", hop.sockets));
            site.push(format!(
                "handle {matcher} {{\n{}}}",
                indented(&inside, "\t")
            ));
            if random.chance(30) {
                site.push(format!(
                    "handle {} {{\n{}}}",
                    random.pick(&["/static/*", "/api/*", "/ws/*", "/*"]),
                    indented(std::slice::from_ref(&pages), "\t")
                ));
            }
            match random.below(4) {
                0 => {}
                1 => site.push(pages),
                _ => site.push(format!("handle {{\n{}}}", indented(&[pages], "\t"))),
            }
        }
    }
    let mut text = String::new();
    if !options.is_empty() {
        text += &format!("{{\n{}}}\n\n", indented(&options, "\t"));
    }
    text + &format!("{address} {{\n{}}}\n", indented(&site, "\t"))
}

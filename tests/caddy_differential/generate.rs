//! Random Caddyfiles of the kinds that people write, right ones and broken ones.

use std::fmt::Write;

use crate::differential::Random;

/// A Caddyfile and the handshakes to send through it.
pub(crate) struct Generated {
    pub(crate) text: String,
    pub(crate) urls: Vec<String>,
    /// Whether the site's folder is where the Caddyfile says because a container has it there, in
    /// place of beside the Caddyfile.
    pub(crate) contained: bool,
}

struct Generator {
    random: Random,
    version: [u32; 3],
    /// The root of the files.
    folder: String,
    /// Matchers that the site's body has to define.
    matchers: Vec<String>,
    number: usize,
    contained: bool,
}

const PATHS: [&str; 9] = [
    "/ws",
    "/ws/",
    "/ws/chat",
    "/",
    "/api/ws",
    "/socket.io/?EIO=4&transport=websocket",
    "/chat/room/1?token=abc",
    "/WS/chat",
    "/app/live/websocket",
];

pub(crate) fn caddyfile(seed: u64, version: [u32; 3], folder: &str) -> Generated {
    let mut random = Random::new(seed);
    let contained = random.chance(50);
    let folder = match contained {
        true => format!("{folder}/site"),
        false => "site".to_owned(),
    };
    let mut generator = Generator {
        random,
        version,
        folder,
        contained,
        matchers: Vec::new(),
        number: 0,
    };
    generator.file()
}

impl Generator {
    fn since(&self, minor: u32) -> bool {
        self.version >= [2, minor, 0]
    }

    fn file(&mut self) -> Generated {
        let mut text = String::from("{\n\tlocal_certs\n\tskip_install_trust\n");
        if self.random.chance(8) {
            let what = self.random.pick(&[
                "off",
                "disable_redirects",
                "disable_redirects",
                "ignore_loaded_certs",
            ]);
            let _ = writeln!(text, "\tauto_https {what}");
        }
        // An old Caddy keeps the order of one Caddyfile for those that it loads later.
        if self.since(8) && self.random.chance(12) {
            let order = self.random.pick(&[
                "order respond before redir",
                "order reverse_proxy before try_files",
                "order try_files after reverse_proxy",
                "order file_server before reverse_proxy",
                "order redir last",
                "order handle before rewrite",
                "order reverse_proxy first",
            ]);
            let _ = writeln!(text, "\t{order}");
        }
        if self.random.chance(8) {
            let options = self.random.pick(&[
                "protocols h1 h2",
                "protocols h1",
                "timeouts {\n\t\t\tidle 5m\n\t\t}",
                "protocols h1 h2 h3",
                "max_header_size 8KB",
            ]);
            let _ = writeln!(text, "\tservers {{\n\t\t{options}\n\t}}");
        }
        text.push_str("}\n");
        let snippet = self.random.chance(15);
        if snippet {
            let arguments = if self.since(7) {
                "{args[0]}"
            } else {
                "{args.0}"
            };
            let _ = writeln!(
                text,
                "(up) {{\n\treverse_proxy {arguments} 127.0.0.1:8000\n}}"
            );
            let _ = writeln!(text, "(common) {{\n\tencode gzip\n\theader -Server\n}}");
        }
        let named = self.since(7) && self.random.chance(8);
        if named {
            text.push_str("&(app) {\n\treverse_proxy 127.0.0.1:8000\n}\n");
        }
        // Addresses, and URLs that lead there or nearly.
        let mut sites: Vec<(&str, &[&str])> = vec![
            (":8080", &["ws://a.test:8080", "ws://localhost:8080"]),
            ("http://a.test", &["ws://a.test", "ws://b.test"]),
            (
                "a.test",
                &["wss://a.test", "wss://a.test", "ws://a.test", "ws://b.test"],
            ),
            (":80", &["ws://a.test", "ws://b.test"]),
            (
                "b.test, http://b.test",
                &["wss://b.test", "ws://b.test", "ws://a.test"],
            ),
            ("*.a.test", &["wss://x.a.test", "ws://x.a.test"]),
            (
                "c.test:8443",
                &["wss://c.test:8443", "ws://c.test:8443", "ws://c.test"],
            ),
            (
                "http://c.test:8080",
                &["ws://c.test:8080", "ws://a.test:8080"],
            ),
            ("http://f.test/ws*", &["ws://f.test"]),
            (
                "http://*.d.test, http://d.test",
                &["ws://x.d.test", "ws://d.test"],
            ),
            ("https://d.test", &["wss://d.test", "ws://d.test"]),
            ("{$SITE:http://other.test}", &["ws://e.test"]),
            (
                ":9000 {\n\ttls internal\n}\n:9001",
                &["ws://a.test:9001", "ws://a.test:9000"],
            ),
        ];
        let mut urls = Vec::new();
        let mut heard = Vec::new();
        let count = 1 + self.random.below(10).saturating_sub(6);
        for _ in 0..count {
            let at = self.random.below(sites.len());
            let (address, origins) = sites.swap_remove(at);
            let mut body = self.body(0);
            if snippet && self.random.chance(50) {
                body.push_str("import common\n");
                let matcher = self.random.pick(&["/ws*", "*", "/ws/*"]);
                let _ = writeln!(body, "import up {matcher}");
            }
            if named && self.random.chance(60) {
                let matcher = self.random.pick(&["", "/ws* ", "/ws/* "]);
                let _ = writeln!(body, "invoke {matcher}app");
            }
            if self.random.chance(12) {
                body.push_str(&self.errors());
            }
            let _ = writeln!(text, "{address} {{\n{}}}", indent(&body));
            heard.extend(plain_port(address));
            for _ in 0..2 {
                let origin = self.random.pick(origins);
                let path = self.random.pick(&PATHS);
                urls.push(format!("{origin}{path}"));
            }
        }
        // Where nobody listens, `handle_errors` may open the socket elsewhere, and nothing is left
        // to `handle_response`; that nobody does, no file says.
        let leaves = text.contains("handle_errors") || text.contains("handle_response");
        for port in [80, 8080] {
            if leaves && !heard.contains(&port) {
                text = text.replace(&format!("127.0.0.1:{port}\n"), "127.0.0.1:8001\n");
                text = text.replace(&format!("127.0.0.1:{port} "), "127.0.0.1:8001 ");
            }
        }
        Generated {
            text,
            urls,
            contained: self.contained,
        }
    }

    /// A site's or a block's directives, with the matchers that they name.
    fn body(&mut self, depth: usize) -> String {
        let outer = std::mem::take(&mut self.matchers);
        let mut lines = Vec::new();
        let count = 1 + self.random.below(if depth == 0 { 4 } else { 3 });
        for _ in 0..count {
            lines.push(self.directive(depth));
        }
        if self.random.chance(75) {
            let matcher = self.matcher(40);
            lines.push(self.proxy(&matcher));
        }
        let at = self.random.below(lines.len());
        lines.rotate_left(at);
        let mut matchers = std::mem::replace(&mut self.matchers, outer);
        matchers.extend(lines);
        matchers.join("\n") + "\n"
    }

    fn directive(&mut self, depth: usize) -> String {
        let folder = self.folder.clone();
        match self.random.below(if depth > 1 { 30 } else { 38 }) {
            0 => "encode gzip zstd".to_owned(),
            1 => {
                let matcher = self.matcher(60);
                let what = self.random.pick(&["\"hi\" 403", "404", "\"x\"", "418"]);
                format!("respond {matcher}{what}")
            }
            2 => {
                let matcher = self.matcher(85);
                let to = self.random.pick(&[
                    "https://{host}{uri} permanent",
                    "/elsewhere 307",
                    "https://www.{host}{uri}",
                    "/ws/ 308",
                ]);
                format!("redir {matcher}{to}")
            }
            3 | 4 => {
                let files = self.random.pick(&[
                    "{path} /index.html",
                    "{path} {path}/ /index.html",
                    "{path} =404",
                    "{path} {path}/index.html",
                    "{path} /index.html?{query}",
                ]);
                format!("root * {folder}\ntry_files {files}\nfile_server")
            }
            5 | 6 => format!("root * {folder}\nfile_server"),
            7 => {
                let to = self.random.pick(&[
                    "* /ws/chat",
                    "/ws /ws/",
                    "* /api{uri}",
                    "/ws* /index.html",
                    "/chat/* /ws{path}?x=1",
                    "{path}?{query}&v=1",
                    "* {path}",
                    "/WS/* /ws/lower",
                ]);
                format!("rewrite {to}")
            }
            8 | 9 => {
                let matcher = self.matcher(50);
                let edit = self.random.pick(&[
                    "strip_prefix /ws",
                    "strip_prefix /api",
                    "strip_suffix /chat",
                    "replace /ws /socket",
                    "strip_prefix ws",
                    "path_regexp ^/ws /socket",
                    "strip_prefix /ws/",
                ]);
                format!("uri {matcher}{edit}")
            }
            10 => {
                let matcher = self.matcher(60);
                let line = self.random.pick(&[
                    "-Connection",
                    "Connection close",
                    "X-Real-IP {remote_host}",
                    "Connection Upgrade",
                    "-Sec-WebSocket-Key",
                    "-Origin",
                    "Host b.test",
                    "Connection {>Connection}",
                    "+X-A b",
                    "Upgrade websocket h2c",
                    "Sec-WebSocket-Version 8",
                    "Connection {http.request.header.Connection}",
                    "-Sec-WebSocket-Extensions",
                ]);
                format!("request_header {matcher}{line}")
            }
            11 | 12 => {
                let matcher = self.matcher(60);
                let line = self.random.pick(&[
                    "Strict-Transport-Security max-age=1",
                    "-Server",
                    "-Upgrade",
                    "Upgrade websocket",
                    "Connection Upgrade",
                    "Connection close",
                    ">Connection close",
                    "?Connection close",
                    "?Upgrade h2c",
                    "-Connection",
                    "Sec-WebSocket-Protocol chat",
                    "-Sec-*",
                    "-Sec-WebSocket-Accept",
                    ">Upgrade websocket",
                    "+Connection Upgrade",
                    "Upgrade h2,h2c",
                    "Cache-Control no-store",
                ]);
                if self.random.chance(25) {
                    let line = line.trim_start_matches(['?', '>']);
                    format!("header {matcher}{{\n\tdefer\n\t{line}\n\tX-A b\n}}")
                } else {
                    format!("header {matcher}{line}")
                }
            }
            13 => {
                let matcher = self.matcher(90);
                let what = self.random.pick(&["403", "\"no\" 410", "500"]);
                format!("error {matcher}{what}")
            }
            14 => {
                let matcher = self.matcher(95);
                format!("abort {matcher}").trim_end().to_owned()
            }
            15 => {
                let matcher = self.matcher(80);
                let name = if self.since(8) {
                    "basic_auth"
                } else {
                    "basicauth"
                };
                format!(
                    "{name} {matcher}{{\n\tbob $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n}}"
                )
            }
            16 => {
                let matcher = self.matcher(50);
                format!(
                    "forward_auth {matcher}127.0.0.1:8002 {{\n\turi /auth\n\tcopy_headers X-User\n}}"
                )
            }
            17 => {
                let matcher = self.matcher(90);
                format!("method {matcher}POST")
            }
            18 => {
                let matcher = self.matcher(70);
                self.number += 1;
                let name = format!("@v{}", self.number);
                self.matchers.push(format!("{name} vars kind socket"));
                let to =
                    self.random
                        .pick(&["127.0.0.1:8001", "{vars.to}", "127.0.0.1:{vars.port}"]);
                let more = self
                    .random
                    .pick(&["to 127.0.0.1:8000", "port 8001", "to 127.0.0.1"]);
                format!("vars {matcher}{{\n\tkind socket\n\t{more}\n}}\nreverse_proxy {name} {to}")
            }
            19 => "templates".to_owned(),
            20 => "request_body {\n\tmax_size 1MB\n}".to_owned(),
            21 if self.since(8) => {
                "intercept {\n\t@e status 5xx\n\treplace_status @e 502\n}".to_owned()
            }
            22 => self.map(),
            23 => {
                self.number += 1;
                let name = format!("@f{}", self.number);
                let files = self.random.pick(&[
                    "{path} /index.html",
                    "{path}/index.html /index.html",
                    "/gone.html /index.html",
                    "/index.html",
                ]);
                self.matchers.push(format!("{name} file {files}"));
                format!(
                    "root * {folder}\nrewrite {name} {{http.matchers.file.relative}}\nfile_server"
                )
            }
            24..=29 => {
                let matcher = self.matcher(70);
                self.proxy(&matcher)
            }
            30..=33 => {
                let matcher = self.matcher(70);
                let body = self.body(depth + 1);
                format!("handle {matcher}{{\n{}}}", indent(&body))
            }
            34 | 35 => {
                let path = self
                    .random
                    .pick(&["/ws/*", "/ws*", "/api/*", "/ws", "/chat*", "/*"]);
                let body = self.body(depth + 1);
                format!("handle_path {path} {{\n{}}}", indent(&body))
            }
            _ => {
                let matcher = self.matcher(60);
                let body = self.body(depth + 1);
                format!("route {matcher}{{\n{}}}", indent(&body))
            }
        }
    }

    /// A `map`, and what depends on the value.
    fn map(&mut self) -> String {
        self.number += 1;
        let name = format!("kind{}", self.number);
        // Another one's, or a name that nobody gives a value.
        let another = format!("{{kind{}}}", self.random.below(self.number));
        let source = self.random.pick(&[
            "{path}",
            "{http.request.header.Upgrade}",
            "{host}",
            "{http.request.header.Connection}",
            "{method}",
            &another,
            &another,
        ]);
        let matcher = self.matcher(30);
        let mut lines = String::new();
        if self.random.chance(30) {
            lines += &format!("\tsocket {another}\n\tpage x{{method}}\n\troom socket\n");
        }
        for line in [
            "~^/ws(/.*)?$ socket",
            "~^/chat/(\\w+) $1",
            "/ws -",
            "/ws/chat socket",
            "websocket socket",
            "a.test socket",
            "~(?i)upgrade socket",
            "GET page",
            "/api/ws {path}",
        ] {
            if self.random.chance(40) {
                lines += &format!("\t{line}\n");
            }
        }
        if self.random.chance(60) {
            let fallback = self.random.pick(&["page", "socket", "{method}", "room"]);
            lines += &format!("\tdefault {fallback}\n");
        }
        let map = format!("map {matcher}{source} {{{name}}} {{\n{lines}}}");
        let own = format!("@k{}", self.number);
        let condition = self
            .random
            .pick(&["socket", "page", "room", "GET", "/api/ws"]);
        match self.random.below(4) {
            0 => {
                self.matchers
                    .push(format!("{own} vars {{{name}}} {condition}"));
                format!("{map}\nreverse_proxy {own} 127.0.0.1:8001")
            }
            1 => {
                let test = format!("{own} expression `{{{name}}} == \"{condition}\"`");
                self.matchers.push(test);
                format!("{map}\nrespond {own} 418")
            }
            2 => format!("{map}\nrewrite /ws* /mapped/{{{name}}}"),
            _ => {
                let matcher = self.matcher(60);
                let to = match self.random.below(3) {
                    0 => format!("127.0.0.1:{{port.{name}}}"),
                    _ => format!("{{port.{name}}}"),
                };
                let port = |address: &str| match to.starts_with('{') {
                    true => format!("127.0.0.1:{address}"),
                    false => address.to_owned(),
                };
                let (one, other) = (port("8000"), port("8001"));
                let fallback = self.random.pick(&[&*one, &*other, "127.0.0.1", "-"]);
                let ports = format!(
                    "map {{{name}}} {{port.{name}}} {{\n\tsocket {one}\n\tpage {other}\n\tdefault {fallback}\n}}"
                );
                format!("{map}\n{ports}\nreverse_proxy {matcher}{to}")
            }
        }
    }

    /// A `reverse_proxy` with whatever may stand in its block.
    fn proxy(&mut self, matcher: &str) -> String {
        let upstream = match self.random.below(40) {
            0 => "h2c://127.0.0.1:8000",
            1 => "http://127.0.0.1:8001",
            2 => "127.0.0.1:8080",
            3 => "127.0.0.1:80",
            4 => "localhost:8000",
            5..=10 => "127.0.0.1:8001",
            _ => "127.0.0.1:8000",
        };
        let mut lines: Vec<String> = Vec::new();
        while self.random.chance(35) && lines.len() < 3 {
            let line = match self.random.below(20) {
                0..=7 => {
                    let line = self.random.pick(&[
                        "Connection {>Connection}",
                        "Connection \"upgrade\"",
                        "Connection {http.request.header.Connection}",
                        "Connection close",
                        "-Connection",
                        "-Upgrade",
                        "Upgrade {>Upgrade}",
                        "Upgrade websocket",
                        "Upgrade {http.request.header.Upgrade}",
                        "Host {upstream_hostport}",
                        "Host {host}",
                        "-Sec-WebSocket-Key",
                        "-Sec-WebSocket-*",
                        "X-Real-IP {remote_host}",
                        "+X-A b",
                        "Connection Upgrade close",
                        "Sec-WebSocket-Version 8",
                        "-Origin",
                        "-Sec-WebSocket-Extensions",
                        "Connection $http_connection",
                        "X-Forwarded-Proto {scheme}",
                        "Connection \"\"",
                    ]);
                    format!("header_up {line}")
                }
                8 => format!(
                    "header_down {}",
                    self.random.pick(&["-Server", "-Connection", "Upgrade h2c"])
                ),
                9 => "flush_interval -1".to_owned(),
                10 => format!("method {}", self.random.pick(&["GET", "POST"])),
                11 => format!(
                    "rewrite {}",
                    self.random.pick(&["/socket{uri}", "/fixed", "{path}"])
                ),
                12 => format!(
                    "transport http {{\n\tversions {}\n}}",
                    self.random.pick(&["1.1", "1.1 2", "2", "h2c", "h2c 2"])
                ),
                13 => "transport http {\n\tkeepalive off\n\tdial_timeout 2s\n}".to_owned(),
                14 => format!(
                    "@bad status {}\nhandle_response @bad {{\n\trespond \"x\" 200\n}}",
                    self.random.pick(&["4xx 5xx", "101", "1xx", "404"])
                ),
                15 => format!(
                    "handle_response {{\n\t{}\n}}",
                    self.random.pick(&[
                        "respond \"x\" 202",
                        "copy_response",
                        "copy_response_headers\n\tcopy_response",
                        "header X-A b"
                    ])
                ),
                16 => format!(
                    "@s status {}\nreplace_status @s 200",
                    self.random.pick(&["5xx", "404", "2xx", "4xx"])
                ),
                17 => format!(
                    "lb_policy {}\nlb_try_duration 1s",
                    self.random.pick(&["first", "random", "ip_hash", "cookie"])
                ),
                18 if self.random.chance(30) => (if self.since(7) {
                    "response_buffers 1KB"
                } else {
                    "buffer_responses"
                })
                .to_owned(),
                _ => "trusted_proxies private_ranges".to_owned(),
            };
            let name = line.split(' ').next().unwrap_or_default().to_owned();
            let again = lines.iter().any(|other| {
                name != "header_up"
                    && (other.starts_with(&name) || other.starts_with('@') && name.starts_with('@'))
            });
            if !again {
                lines.push(line);
            }
        }
        if lines.is_empty() {
            format!("reverse_proxy {matcher}{upstream}")
        } else {
            let mut body = String::new();
            for line in lines {
                body.push_str(&indent(&(line + "\n")));
            }
            format!("reverse_proxy {matcher}{upstream} {{\n{body}}}")
        }
    }

    fn errors(&mut self) -> String {
        let codes = if self.since(8) {
            self.random.pick(&["", " 4xx", " 404 403", " 5xx"])
        } else {
            ""
        };
        let body = self.random.pick(&[
            "respond \"{err.status_code} {err.status_text}\"",
            "respond \"sorry\" 200",
            "rewrite * /index.html\nfile_server",
            "reverse_proxy 127.0.0.1:8001",
            "redir https://{host}/error",
            "respond \"x\" {err.status_code}",
            "header X-A b",
        ]);
        let root = format!("root * {}\n", self.folder);
        format!(
            "{root}handle_errors{codes} {{\n{}}}\n",
            indent(&format!("{body}\n"))
        )
    }

    /// A matcher with a space after it, in `percent` of a hundred.
    fn matcher(&mut self, percent: usize) -> String {
        if !self.random.chance(percent) {
            return String::new();
        }
        if self.random.chance(60) {
            let path = self.random.pick(&[
                "/ws",
                "/ws/*",
                "/ws*",
                "/api/*",
                "/",
                "/*",
                "*",
                "/chat/*",
                "/socket.io/*",
                "/ws/chat",
                "/app/*/websocket",
            ]);
            return format!("{path} ");
        }
        self.number += 1;
        let name = format!("@m{}", self.number);
        let definition = if self.random.chance(25) {
            let one = self.condition();
            let two = self.condition();
            let three = self.condition();
            match self.random.below(3) {
                0 => format!("{name} {{\n\t{one}\n\t{two}\n\t{three}\n}}"),
                _ => format!("{name} {{\n\t{one}\n\t{two}\n}}"),
            }
        } else if self.random.chance(25) {
            let expression = self.random.pick(&[
                "path('/ws', '/ws/*')",
                "{http.request.header.Upgrade} == 'websocket'",
                "header({'Connection': '*Upgrade*', 'Upgrade': 'websocket'})",
                "method('GET') && path('/ws*')",
                "!path('/api/*')",
                "path('/api/*') || header({'Upgrade': 'websocket'})",
                "path_regexp('^/ws(/|$)')",
                "protocol('https') && !path('/ws')",
                "{path}.startsWith('/ws')",
                "host('a.test') || host('b.test')",
                "query({'token': '*'})",
                "{method} != 'GET'",
                "{query.EIO} == '4'",
                "header_regexp('Connection', '(?i)upgrade')",
            ]);
            match self.random.below(2) {
                0 if self.since(7) => format!("{name} `{expression}`"),
                _ => format!("{name} expression `{expression}`"),
            }
        } else {
            format!("{name} {}", self.condition())
        };
        self.matchers.push(definition);
        format!("{name} ")
    }

    fn condition(&mut self) -> &'static str {
        self.random.pick(&[
            "path /ws /ws/*",
            "path /ws*",
            "path */websocket",
            "path *chat*",
            "path /api/* /chat/*",
            "not path /ws*",
            "not path /api/* /socket.io/*",
            "header Connection *Upgrade*",
            "header Connection Upgrade",
            "header Connection *upgrade*",
            "header Upgrade websocket",
            "header Upgrade WebSocket",
            "header !Upgrade",
            "header Sec-WebSocket-Version 13",
            "header_regexp Connection (?i)upgrade",
            "header_regexp up Upgrade ^websocket$",
            "method GET",
            "method POST",
            "host a.test b.test",
            "host *.a.test",
            "protocol https",
            "protocol http",
            "protocol http/1.1",
            "protocol wss",
            "path_regexp ^/ws(/.*)?$",
            "path_regexp tail /ws/(.+)$",
            "query token=*",
            "query EIO=4",
            "not header Upgrade websocket",
            "not protocol https",
            "not {\n\t\tpath /ws*\n\t\tmethod GET\n\t}",
        ])
    }
}

/// The port at which a site of this address speaks plain HTTP.
fn plain_port(address: &str) -> Option<u16> {
    match address {
        ":8080" | "http://c.test:8080" => Some(8080),
        _ => (address == ":80" || address.contains("http://")).then_some(80),
    }
}

fn indent(text: &str) -> String {
    let mut indented = String::new();
    for line in text.lines() {
        let _ = writeln!(indented, "\t{line}");
    }
    indented
}

//! Configurations as people write them, at random: servers, locations and what stands in them, and
//! URLs to open through them.

use crate::configuration::{Generated, Node, block, line};
use crate::differential::Random;
use crate::servers::{AUTH, FASTCGI, SCGI, UWSGI, WEBSOCKET};

/// Paths that handshakes ask for.
const PATHS: &[&str] = &[
    "/ws",
    "/ws/",
    "/ws/chat",
    "/ws/chat/room",
    "/api/live",
    "/socket.io/?EIO=4&transport=websocket",
    "/",
    "/app",
    "/old/ws/9",
    "/ws/chat?token=x&v=2",
    "/WS/chat",
    "/ws//chat",
    "/ws/./chat",
    "/ws/%63hat",
    "/ws/a%20b",
    "/secret",
    "/files/ws",
    "/a/b/../../ws/chat",
];

const HOSTS: &[&str] = &[
    "a.test",
    "x.a.test",
    "chat.b.test",
    "www.c.org",
    "c.test",
    "z.test",
];

const NAMES: &[&str] = &[
    "a.test",
    "*.a.test",
    ".c.test",
    "www.c.*",
    "~^(?<sub>\\w+)\\.b\\.test$",
    "_",
    "c.test",
    "a.test x.a.test",
    "~^[a-z]\\.test$",
    "*.test",
];

/// Configurations of one batch, which share what stands outside their servers.
pub(crate) const BATCH: u64 = 16;

/// The configuration of a seed.
pub(crate) fn configuration(seed: u64) -> Generated {
    let maker = |seed| Maker {
        random: Random::new(seed),
        named: Vec::new(),
        waits: false,
        referers: false,
    };
    // Far from the seeds of the servers.
    let mut outside = maker(!(seed / BATCH));
    let outer = outside.http();
    let mut maker = Maker {
        waits: outside.waits,
        ..maker(seed)
    };
    let servers = maker.servers();
    let listens: Vec<(u16, bool)> = servers
        .iter()
        .flat_map(|node| node.block.iter().flatten())
        .filter_map(|node| node.head.strip_prefix("listen "))
        .map(|rest| {
            let port = rest.split(' ').next().unwrap_or_default();
            (port.parse().unwrap_or(80), rest.contains("ssl"))
        })
        .collect();
    let random = &mut maker.random;
    let urls = (0..4)
        .map(|_| {
            let (port, ssl) = listens[random.below(listens.len())];
            // Another listen of the port may speak TLS.
            let ssl = ssl || listens.iter().any(|(other, ssl)| *other == port && *ssl);
            let tls = if random.chance(96) { ssl } else { !ssl };
            let scheme = if tls { "wss" } else { "ws" };
            format!(
                "{scheme}://{}:{port}{}",
                random.pick(HOSTS),
                random.pick(PATHS)
            )
        })
        .collect();
    Generated {
        seed,
        outer,
        servers,
        urls,
    }
}

pub(crate) struct Maker {
    pub(crate) random: Random,
    /// Named locations of the server at hand.
    pub(crate) named: Vec<String>,
    /// A time that is too short may stand in a location.
    pub(crate) waits: bool,
    /// A server says `valid_referers`, so that a condition may ask.
    pub(crate) referers: bool,
}

impl Maker {
    pub(crate) fn pick(&mut self, from: &[&str]) -> String {
        self.random.pick(from).to_owned()
    }

    fn http(&mut self) -> Vec<Node> {
        let mut nodes = vec![
            line("access_log off"),
            line("ssl_certificate cert.pem"),
            line("ssl_certificate_key key.pem"),
        ];
        nodes.push(self.map("connection_upgrade"));
        nodes.push(self.map("mode"));
        if self.random.chance(70) {
            nodes.push(line("proxy_http_version 1.1"));
        }
        if self.random.chance(30) {
            nodes.extend(self.headers());
            nodes.retain(|node| !node.head.contains("pair.conf"));
        }
        nodes.push(block(
            "geo $zone",
            vec![line(self.pick(&["default upgrade", "default close"]))],
        ));
        let mut servers = vec![line(format!("server 127.0.0.1:{WEBSOCKET}"))];
        // Where one of several servers is too slow, it is left out for the next requests.
        self.waits = self.random.chance(60);
        if !self.waits {
            servers.push(line("server 127.0.0.1:9 backup"));
            if self.random.chance(50) {
                servers.push(line("server 127.0.0.1:9 down"));
            }
        }
        nodes.push(block("upstream live", servers));
        nodes.push(block(
            "upstream dead",
            vec![line("server 127.0.0.1:9 down")],
        ));
        if self.random.chance(10) {
            nodes.push(self.error_page(&[]));
        }
        nodes
    }

    fn servers(&mut self) -> Vec<Node> {
        let mut listened = Vec::new();
        let mut named = Vec::new();
        (0..1 + self.random.below(3))
            .map(|_| self.server(&mut listened, &mut named))
            .collect()
    }

    fn server(&mut self, listened: &mut Vec<String>, taken: &mut Vec<String>) -> Node {
        let mut nodes = Vec::new();
        let first = self.pick(&["80", "8080", "80", "443 ssl", "443 ssl http2"]);
        for listen in [first, self.pick(&["80", "443 ssl"])] {
            let port = listen.split(' ').next().unwrap_or_default().to_owned();
            if nodes
                .iter()
                .any(|node: &Node| node.head.starts_with(&format!("listen {port}")))
            {
                continue;
            }
            if listened.iter().any(|other| {
                other.starts_with(&port) && other.contains("http2") != listen.contains("http2")
            }) {
                continue;
            }
            let default = self.random.chance(20) && !listened.contains(&format!("{port} default"));
            if default {
                listened.push(format!("{port} default"));
            }
            let flag = if default { " default_server" } else { "" };
            nodes.push(line(format!("listen {listen}{flag}")));
            listened.push(listen);
            if self.random.chance(60) {
                break;
            }
        }
        if nodes.is_empty() {
            nodes.push(line("listen 8081"));
        }
        let name = self.pick(NAMES);
        if !taken.contains(&name) {
            nodes.push(line(format!("server_name {name}")));
            taken.push(name);
        }
        nodes.push(line("root /srv/site"));
        if self.random.chance(20) {
            let names = self.pick(&["none a.test", "a.test", "none blocked *.a.test"]);
            nodes.push(line(format!("valid_referers {names}")));
            self.referers = true;
        }
        // What every line may name.
        nodes.push(line(format!(
            "set $switch {}",
            self.pick(&["upgrade", "''", "close"])
        )));
        if self.random.chance(5) {
            nodes.push(line("merge_slashes off"));
        }
        self.named = (0..self.random.below(3))
            .map(|at| format!("@n{at}"))
            .collect();
        if self.random.chance(40) {
            nodes.extend(self.headers());
        }
        nodes.extend(self.reply_headers());
        if self.random.chance(20) {
            let named = self.named.clone();
            nodes.push(self.error_page(&named));
            if self.random.chance(20) {
                nodes.push(line("recursive_error_pages on"));
            }
        }
        for _ in 0..self.random.below(3) {
            if self.random.chance(40) {
                let rewrite = self.rewriting(false);
                nodes.push(rewrite);
            }
        }
        if self.random.chance(4) {
            nodes.extend(self.access());
        }
        if self.random.chance(4) {
            nodes.push(line(self.pick(&[
                "return 301 https://$host$request_uri",
                "return 404",
                "return 444",
                "return 503 x",
            ])));
        }
        let mut seen = Vec::new();
        for _ in 0..1 + self.random.below(5) {
            if let Some(node) = self.location(None, 0, &mut seen) {
                nodes.push(node);
            }
        }
        if !seen.contains(&"/".to_owned()) && self.random.chance(70) {
            let body = self.body(true, 0);
            nodes.push(block("location /", body));
        }
        for name in self.named.clone() {
            let body = self.body(false, 1);
            nodes.push(block(format!("location {name}"), body));
        }
        let auth = self.random.below(6);
        nodes.push(block(
            "location = /auth",
            vec![
                line("internal"),
                match auth {
                    0 => line("return 401"),
                    1 => line("return 500"),
                    2 => line("return 204"),
                    3 => line("return 403 no"),
                    _ => line(format!("proxy_pass http://127.0.0.1:{AUTH}")),
                },
            ],
        ));
        block("server", nodes)
    }

    fn location(
        &mut self,
        parent: Option<&str>,
        depth: usize,
        seen: &mut Vec<String>,
    ) -> Option<Node> {
        let plain = [
            "/ws",
            "/ws/",
            "/ws/chat",
            "/api/",
            "/app/",
            "/socket.io/",
            "/old/",
            "/",
            "/files/",
            "/secret",
        ];
        let regexes = [
            "~ ^/ws/(.*)$",
            "~ ^/(ws|api)/",
            "~* ^/WS/",
            "~ chat$",
            "~ \\.js$",
            "~ ^/old/(?<tail>.+)$",
            "~ /$",
            "~ ^/ws(?!/chat)",
            "~ ^/ws/chat/\\w+$",
        ];
        let kind = self.random.below(100);
        let mut path = self.pick(&plain);
        if let Some(parent) = parent {
            path = format!("{}{}", parent, self.pick(&["chat", "/chat", "x", "room/"]));
        }
        let head = match kind {
            0..50 => path.clone(),
            50..62 => format!("= {path}"),
            62..72 => format!("^~ {path}"),
            _ => self.pick(&regexes),
        };
        let key = head.strip_prefix("^~ ").unwrap_or(&head).to_owned();
        if seen.contains(&key) {
            return None;
        }
        seen.push(key);
        let is_prefix = kind < 72 && !(50..62).contains(&kind);
        let mut body = self.body(is_prefix || (50..62).contains(&kind), depth);
        if depth < 2 && self.random.chance(15) && !(50..62).contains(&kind) {
            let mut inner = Vec::new();
            for _ in 0..1 + self.random.below(2) {
                let parent = is_prefix.then_some(path.as_str());
                // Within an expression only expressions are allowed.
                if let Some(node) =
                    self.location(Some(parent.unwrap_or("/")), depth + 1, &mut inner)
                {
                    let expression = node.head.starts_with("location ~");
                    if parent.is_some() || expression {
                        body.push(node);
                    }
                }
            }
        }
        Some(block(format!("location {head}"), body))
    }

    /// What stands in a location.
    fn body(&mut self, literal: bool, depth: usize) -> Vec<Node> {
        let mut nodes = Vec::new();
        if self.random.chance(6) {
            nodes.push(line("internal"));
        }
        if self.random.chance(45) {
            nodes.extend(self.headers());
        }
        if self.random.chance(8) {
            nodes.push(line(
                self.pick(&["proxy_http_version 1.0", "proxy_http_version 1.1"]),
            ));
        }
        nodes.extend(self.reply_headers());
        for _ in 0..self.random.below(2) {
            if self.random.chance(50) {
                let rewrite = self.rewriting(true);
                nodes.push(rewrite);
            }
        }
        if self.random.chance(9) {
            nodes.extend(self.access());
        }
        if self.random.chance(12) {
            let named = self.named.clone();
            nodes.push(self.error_page(&named));
        }
        if self.random.chance(3) {
            nodes.push(line(self.pick(&[
                "proxy_method POST",
                "proxy_pass_request_headers off",
                "proxy_intercept_errors on",
                "proxy_intercept_errors on",
                "proxy_buffering off",
                "proxy_set_body x",
                "proxy_set_body \"\"",
                "proxy_set_body $request_body",
                "proxy_set_body $host",
                "proxy_read_timeout 1h",
            ])));
        }
        if self.waits && self.random.chance(2) {
            nodes.push(line(self.pick(&[
                "proxy_read_timeout 0",
                "proxy_read_timeout 0s",
                "uwsgi_read_timeout 0",
                "scgi_read_timeout 0ms",
            ])));
        }
        if self.random.chance(2) {
            nodes.push(line(self.pick(&[
                "mirror /auth",
                "mirror /ws/chat",
                "mirror off",
            ])));
        }
        if self.random.chance(3) && depth == 0 {
            let methods = self.pick(&["POST", "GET"]);
            nodes.push(block(
                format!("limit_except {methods}"),
                vec![line("deny all")],
            ));
        }
        let handler = self.random.below(100);
        match handler {
            0..62 => nodes.push(self.proxy_pass(literal)),
            62..66 => nodes.push(line(format!("uwsgi_pass 127.0.0.1:{UWSGI}"))),
            66..69 => nodes.push(line(format!("scgi_pass 127.0.0.1:{SCGI}"))),
            69..71 => nodes.push(line(format!("fastcgi_pass 127.0.0.1:{FASTCGI}"))),
            71..80 => nodes.push(self.return_line()),
            80..93 => {
                let last = self.last_of_try_files();
                let files = self.pick(&["$uri", "$uri $uri/", "$uri $uri/index.html", "$uri.html"]);
                nodes.push(line(format!("try_files {files} {last}")));
                if self.random.chance(30) {
                    nodes.push(self.proxy_pass(literal));
                }
            }
            93..96 => nodes.push(line(self.pick(&["empty_gif", "stub_status"]))),
            _ => nodes.push(line("index index.html")),
        }
        nodes
    }
}

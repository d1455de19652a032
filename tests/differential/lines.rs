//! The lines of random configurations: every directive that decides about a handshake, in many
//! combinations.

use crate::configuration::{Node, block, line};
use crate::generate::Maker;
use crate::servers::WEBSOCKET;

impl Maker {
    pub(crate) fn map(&mut self, name: &str) -> Node {
        let source = self.pick(&[
            "$http_upgrade",
            "$http_upgrade",
            "$http_upgrade",
            "$http_connection",
            "$host",
            "$uri",
            "$scheme$http_upgrade",
            "$arg_token",
            "$request_method",
            "$server_port",
        ]);
        let mut entries = Vec::new();
        let keys = [
            "default",
            "''",
            "websocket",
            "~*^web",
            "~Upgrade",
            "keep-alive",
            "a.test",
            "/ws/chat",
            "~^/ws/(?<rest>.*)$",
            "httpsWEBSOCKET",
            "x",
            "GET",
            "*.a.test",
            "80",
        ];
        let hostnames = self.random.chance(10);
        if hostnames {
            entries.push(line("hostnames"));
        }
        if self.random.chance(10) {
            entries.push(line("volatile"));
        }
        let mut used = Vec::new();
        for _ in 0..1 + self.random.below(4) {
            let key = self.pick(&keys);
            if used.contains(&key) || (key.starts_with('*') && !hostnames) {
                continue;
            }
            let value = self.pick(&[
                "upgrade",
                "upgrade",
                "upgrade",
                "close",
                "''",
                "$http_connection",
                "websocket",
                "1",
                "0",
            ]);
            entries.push(line(format!("{key} {value}")));
            used.push(key);
        }
        block(format!("map {source} ${name}"), entries)
    }

    /// Lines for the upstream.
    pub(crate) fn headers(&mut self) -> Vec<Node> {
        let mut nodes = Vec::new();
        let kind = self.random.below(100);
        if kind < 55 {
            let upgrade = self.pick(&[
                "$http_upgrade",
                "$http_upgrade",
                "$http_upgrade",
                "$http_upgrade",
                "websocket",
                "\"\"",
                "$http_upgrad",
            ]);
            let connection = self.pick(&[
                "\"upgrade\"",
                "\"upgrade\"",
                "$connection_upgrade",
                "$connection_upgrade",
                "Upgrade",
                "$http_connection",
                "\"\"",
                "$zone",
                "\"keep-alive, upgrade\"",
                "$mode",
                "$switch",
            ]);
            nodes.push(line(format!("proxy_set_header Upgrade {upgrade}")));
            nodes.push(line(format!("proxy_set_header Connection {connection}")));
        } else if kind < 75 {
            nodes.push(line("include snippets/pair.conf"));
        } else if kind < 85 {
            nodes.push(line("proxy_set_header Upgrade $http_upgrade"));
        } else if kind < 92 {
            nodes.push(line("include snippets/host.conf"));
        }
        if self.random.chance(25) {
            let host = self.pick(&[
                "$host",
                "$http_host",
                "$proxy_host",
                "$server_name",
                "example.test",
            ]);
            nodes.push(line(format!("proxy_set_header Host {host}")));
        }
        if self.random.chance(4) {
            nodes.push(line(self.pick(&[
                "proxy_set_header Sec-WebSocket-Key \"\"",
                "proxy_set_header Sec-WebSocket-Version $http_sec_websocket_version",
                "proxy_set_header Connection keep-alive",
            ])));
        }
        nodes
    }

    pub(crate) fn reply_headers(&mut self) -> Option<Node> {
        let lines = [
            "add_header X-Frame-Options DENY always",
            "add_header Strict-Transport-Security max-age=1",
            "proxy_hide_header X-Powered-By",
            "proxy_hide_header Upgrade",
            "proxy_hide_header Sec-WebSocket-Accept",
            "add_header Upgrade websocket always",
            "add_header Upgrade websocket",
            "proxy_hide_header Connection",
            "proxy_pass_header Upgrade",
            "add_header Sec-WebSocket-Protocol chat always",
            "add_header Sec-WebSocket-Protocol chat",
            "add_header Sec-WebSocket-Protocol $http_upgrad always",
        ];
        self.random
            .chance(10)
            .then(|| line(self.random.pick(&lines)))
    }

    pub(crate) fn last_of_try_files(&mut self) -> String {
        let mut choices = vec![
            "=404",
            "/index.html",
            "/index.html",
            "=444",
            "/ws/chat",
            "/404.html",
        ];
        let named = self.named.clone();
        choices.extend(named.iter().map(String::as_str));
        choices.extend(named.iter().map(String::as_str));
        self.pick(&choices)
    }

    pub(crate) fn proxy_pass(&mut self, literal: bool) -> Node {
        let address = format!("127.0.0.1:{WEBSOCKET}");
        let kind = self.random.below(100);
        let url = match kind {
            0..50 => format!("http://{address}"),
            50..65 => "http://live".to_owned(),
            65..78 if literal => format!(
                "http://{address}{}",
                self.pick(&["/", "/app/", "/app", "/ws"])
            ),
            65..78 => "http://live".to_owned(),
            78..82 => format!("http://{address}$request_uri"),
            82..85 => "http://live$uri$is_args$args".to_owned(),
            85..88 => "http://$backend".to_owned(),
            88..90 => "http://dead".to_owned(),
            90..92 => "http://$host:8000".to_owned(),
            92..94 => format!("http://{address}/x/$1"),
            _ => "http://live".to_owned(),
        };
        if url.contains("$backend") {
            let backend = self.pick(&["live", "127.0.0.1:8000", "nowhere.test:8000"]);
            return line(format!("set $backend {backend};\n        proxy_pass {url}"));
        }
        line(format!("proxy_pass {url}"))
    }

    pub(crate) fn return_line(&mut self) -> Node {
        line(self.pick(&[
            "return 301 https://$host$request_uri",
            "return 302 /login",
            "return 200 ok",
            "return 204",
            "return 403",
            "return 404",
            "return 418",
            "return 444",
            "return 500",
            "return https://a.test/",
            "return 308 https://x/",
            "return 404 gone",
        ]))
    }

    pub(crate) fn error_page(&mut self, named: &[String]) -> Node {
        let codes = self.pick(&[
            "404",
            "403 404",
            "418",
            "502 503",
            "401",
            "301",
            "500 502 504",
            "426",
            "400 426",
            "497",
            "403",
            "504",
        ]);
        let equals = self.pick(&["", "", "= ", "=200 ", "=302 "]);
        let mut targets = vec!["/404.html", "/50x.html", "https://a.test/login", "/ws/chat"];
        targets.extend(named.iter().map(String::as_str));
        targets.extend(named.iter().map(String::as_str));
        let target = self.pick(&targets);
        line(format!("error_page {codes} {equals}{target}"))
    }

    pub(crate) fn access(&mut self) -> Vec<Node> {
        let kind = self.random.below(100);
        let mut nodes = match kind {
            0..15 => vec![line("deny all")],
            15..25 => vec![line("allow all")],
            25..45 => vec![
                line("auth_basic closed"),
                line("auth_basic_user_file users"),
            ],
            45..50 => vec![line("auth_basic off"), line("auth_basic_user_file users")],
            50..95 => vec![line("auth_request /auth")],
            _ => vec![line("limit_rate 0")],
        };
        if self.random.chance(25) {
            nodes.push(line("satisfy any"));
        }
        nodes
    }

    fn condition(&mut self) -> String {
        let condition = self.random.pick(&[
            "$http_upgrade",
            "$http_upgrade = websocket",
            "$http_upgrade ~* ^WEB",
            "$http_connection = Upgrade",
            "$http_connection !~* upgrade",
            "$scheme = http",
            "$https != on",
            "$host = a.test",
            "$host ~ ^x\\.",
            "$request_method = POST",
            "$request_uri ~ ^/ws/(.*)$",
            "$args ~ token=(\\w+)",
            "$arg_token",
            "$http_x_forwarded_proto != https",
            "$mode",
            "$mode = upgrade",
            "$uri ~* /CHAT",
            "$http_origin !~ \\.test",
            "$server_port = 443",
            "$http_user_agent ~* (bot|curl|spider)",
            "-f $request_filename",
            "!-e $request_filename",
            "-d $request_filename",
            "$http_referer = ''",
            "$http_host = a.test",
            "$invalid_referer",
            "$cookie_beta = 1",
        ]);
        match condition {
            "$invalid_referer" if !self.referers => "$http_upgrade".to_owned(),
            condition => condition.to_owned(),
        }
    }

    /// `set`, `if`, `rewrite` or `break`.
    pub(crate) fn rewriting(&mut self, in_location: bool) -> Node {
        let kind = self.random.below(100);
        match kind {
            0..12 => line(format!(
                "set $switch {}",
                self.pick(&[
                    "upgrade",
                    "''",
                    "$http_connection",
                    "$connection_upgrade",
                    "$1"
                ])
            )),
            12..45 => self.rewrite(),
            45..48 => line("break"),
            _ => {
                let condition = self.condition();
                let mut inner = vec![match self.random.below(100) {
                    0..30 => line(format!(
                        "set $switch {}",
                        self.pick(&["upgrade", "close", "$1"])
                    )),
                    30..55 => self.return_line(),
                    55..75 => self.rewrite(),
                    75..80 => line("break"),
                    _ if in_location => self.proxy_in_if(),
                    _ => line("set $switch upgrade"),
                }];
                if self.random.chance(15) {
                    inner.push(line("break"));
                }
                block(format!("if ({condition})"), inner)
            }
        }
    }

    fn proxy_in_if(&mut self) -> Node {
        line(self.pick(&[
            "proxy_pass http://live",
            "proxy_pass http://127.0.0.1:8000",
            "proxy_pass http://dead",
        ]))
    }

    fn rewrite(&mut self) -> Node {
        let pattern = self.pick(&[
            "^/ws/(.*)$",
            "^/old/(.*)$",
            "^/ws$",
            "^/(.*)/$",
            "^",
            "^/app(.*)$",
            "/chat",
            "^/api/(?<name>\\w+)$",
            "^/socket\\.io/",
        ]);
        let target = match (pattern.contains("(.*)"), self.random.below(8)) {
            (true, 0..3) => self.pick(&["/app/$1", "/ws/$1", "/$1", "/ws/$1?v=1"]),
            (_, 3) => "/ws/chat".to_owned(),
            (_, 4) => self.pick(&["/ws/chat?", "/ws/chat?a=b", "/ws/?$args"]),
            (_, 5) => "https://a.test/x".to_owned(),
            (_, 6) => self.pick(&["/index.html", "$scheme://$host/y"]),
            _ => self.pick(&["/ws/", "/api/live", "/nowhere"]),
        };
        let flag = self.pick(&[
            "last",
            "break",
            "",
            "last",
            "break",
            "permanent",
            "redirect",
        ]);
        line(
            format!("rewrite {pattern} {target} {flag}")
                .trim_end()
                .to_owned(),
        )
    }
}

//! Caddyfiles that look suspicious and let the handshake for `/ws` through to port 8000.

/// Lines of a proxy.
const IN_PROXY: &[&str] = &[
    "header_up Connection {http.request.header.Connection}",
    "header_up Connection {header.Connection}\nheader_up Upgrade {header.Upgrade}",
    "header_up Sec-WebSocket-Key {header.Sec-WebSocket-Key}\nheader_up Sec-WebSocket-Version {header.Sec-WebSocket-Version}",
    "header_up Connection upgrade",
    "header_up Connection \"Upgrade, keep-alive\"",
    "header_up Upgrade websocket",
    "header_up Upgrade WebSocket",
    "header_up +Connection Upgrade",
    "header_down -Connection",
    "header_down -Upgrade",
    "header_down -Sec-*",
    "header_down Connection close",
    "header_down Upgrade h2c",
    "header_down +Upgrade websocket",
    "header_down -Server",
    "header_up -Sec-WebSocket-Extensions",
    "header_up -Sec-WebSocket-Protocol",
    "header_up -Origin",
    "header_up Origin https://app.test",
    "header_up Host {upstream_hostport}",
    "header_up Host {hostport}",
    "header_up Host example.com",
    "header_up X-Forwarded-Proto {scheme}",
    "header_up X-Real-IP {remote_host}",
    "header_up -X-Forwarded-For",
    "header_up -Accept-Encoding",
    "header_up Keep-Alive timeout=5",
    "header_up HTTP_UPGRADE websocket",
    "flush_interval -1",
    "flush_interval 1s",
    "flush_interval 0",
    "request_buffers 4k",
    "response_buffers 0",
    "stream_close_delay 5m",
    "stream_buffer_size 4k",
    "verbose_logs",
    "lb_try_duration 5s",
    "lb_policy first",
    "lb_policy ip_hash",
    "fail_duration 30s\nunhealthy_status 5xx",
    "unhealthy_latency 1s\nfail_duration 30s",
    "handle_response {\n\tcopy_response\n}",
    "@err status 4xx 5xx\nhandle_response @err {\n\trespond x 200\n}",
    "@moved status 301 302\nreplace_status @moved 307",
    "@ok status 200\nreplace_status @ok 201",
    "transport http {\n\tversions 1.1\n}",
    "transport http {\n\tversions 2\n}",
    "transport http {\n\tversions 1.1 2\n}",
    "transport http {\n\tkeepalive off\n}",
    "transport http {\n\tkeepalive 1s\n}",
    "transport http {\n\twrite_timeout 1s\n}",
    "transport http {\n\tdial_timeout 1s\n}",
    "transport http {\n\tcompression off\n}",
    "transport http {\n\tread_buffer 4k\n}",
    "transport http {\n\tmax_conns_per_host 1\n}",
    "transport http {\n\texpect_continue_timeout 1s\n}",
    "trusted_proxies private_ranges",
    "rewrite /socket",
];

/// Directives beside a proxy for everything.
const BESIDE: &[&str] = &[
    "request_header Connection Upgrade",
    "request_header +Connection keep-alive",
    "request_header -Sec-WebSocket-Extensions",
    "request_header Host example.com",
    "request_header -Origin",
    "request_header /api/* -Connection",
    "header ?Connection close",
    "header +Connection Upgrade",
    "header >Connection Upgrade",
    "header >Upgrade websocket",
    "header ?Upgrade websocket",
    "header Connection Upgrade",
    "header Strict-Transport-Security max-age=1",
    "header Content-Security-Policy \"default-src 'self'\"",
    "header -Server",
    "header /pages/* -Connection",
    "header /pages/* Upgrade h2c",
    "encode gzip zstd",
    "templates",
    "log",
    "push /x",
    "request_body {\n\tmax_size 1MB\n}",
    "vars websocket 1",
    "map {path} {kind} {\n\tdefault page\n}",
    "metrics /metrics",
    "file_server",
    "handle_errors {\n\treverse_proxy 127.0.0.1:8001\n}",
    "handle_errors {\n\trespond \"{err.status_code}\"\n}",
    "bind 127.0.0.1",
    "intercept {\n\treplace_status 200\n}",
    "intercept {\n\thandle_response {\n\t\trespond x\n\t}\n}",
    "redir / /app/",
    "redir /new /elsewhere",
    "respond /health ok",
    "error /private/* 403",
    "abort /wp-admin/*",
    "@pages not path /ws*\nredir @pages https://www.example.com{uri}",
    "@old host old.example.com\nredir @old https://example.com{uri}",
    "@tls protocol https\nrespond @tls x 404",
    "@posts method POST\nrespond @posts x 405",
    "@bots header_regexp User-Agent (?i)bot\nrespond @bots x 403",
    "@late {\n\tpath /late\n}",
    "rewrite /old /new",
    "uri /api/* strip_prefix /api",
    "handle_path /docs/* {\n\tfile_server\n}",
    "handle /api/* {\n\treverse_proxy 127.0.0.1:8001\n}",
    "route /static/* {\n\tfile_server\n}",
    "reverse_proxy /api/* h2c://127.0.0.1:8001",
    "reverse_proxy /rpc/* 127.0.0.1:8001 {\n\tmethod POST\n\tresponse_buffers 1MB\n}",
];

/// Whole bodies of a site.
const BODIES: &[&str] = &[
    "handle {\n\trespond page\n}\nhandle /ws* {\n\treverse_proxy 127.0.0.1:8000\n}",
    "handle /* {\n\trespond page\n}\nhandle /ws* {\n\treverse_proxy 127.0.0.1:8000\n}",
    "reverse_proxy 127.0.0.1:8001\nreverse_proxy /ws* 127.0.0.1:8000",
    "reverse_proxy 127.0.0.1:8001\n@ws header Upgrade websocket\nreverse_proxy @ws 127.0.0.1:8000",
    "@ws header Upgrade websocket\nreverse_proxy @ws 127.0.0.1:8000",
    "@ws {\n\theader Connection *Upgrade*\n\theader Upgrade websocket\n}\nreverse_proxy @ws 127.0.0.1:8000",
    "@ws header_regexp Connection (?i)upgrade\nreverse_proxy @ws 127.0.0.1:8000",
    "@ws header Upgrade *\nreverse_proxy @ws 127.0.0.1:8000",
    "@ws header Sec-WebSocket-Version 13\nreverse_proxy @ws 127.0.0.1:8000",
    "@ws protocol http\nreverse_proxy @ws 127.0.0.1:8000",
    "@ws {\n\theader Connection *Upgrade*\n\theader Connection *upgrade*\n}\nreverse_proxy @ws 127.0.0.1:8000",
    "@ws {\n\theader Connection Upgrade\n\theader Connection \"keep-alive, Upgrade\"\n}\nreverse_proxy @ws 127.0.0.1:8000",
    "handle_path /ws* {\n\treverse_proxy 127.0.0.1:8000\n}",
    "route {\n\treverse_proxy /ws* 127.0.0.1:8000\n\trespond page\n}",
    "route /ws* {\n\treverse_proxy 127.0.0.1:8000\n}\nroute {\n\trespond page\n}",
    "rewrite * /index.php?{query}\nreverse_proxy 127.0.0.1:8000",
    "uri replace /ws /socket\nreverse_proxy 127.0.0.1:8000",
    "respond /ws/old gone 410\nreverse_proxy /ws* 127.0.0.1:8000",
];

/// Global options.
const OPTIONS: &[&str] = &[
    "servers {\n\tprotocols h1 h2\n}",
    "servers {\n\tprotocols h1 h2 h3\n}",
    "servers {\n\tmax_header_size 16KB\n}",
    "servers {\n\ttrusted_proxies static private_ranges\n}",
    "servers {\n\ttimeouts {\n\t\tread_body 1s\n\t\tidle 1s\n\t}\n}",
    "servers {\n\tkeepalive_interval 5s\n}",
    "grace_period 1s",
    "shutdown_delay 1s",
    "default_sni x",
    "debug",
    "order respond before reverse_proxy",
];

fn indented(text: &str, by: &str) -> String {
    let lines = text.lines().map(|line| format!("{by}{line}\n"));
    lines.collect()
}

fn site(body: &str) -> String {
    format!("http://localhost {{\n{}}}\n", indented(body, "\t"))
}

/// All of them.
pub(crate) fn all() -> Vec<String> {
    let proxy = |lines: &str| {
        site(&format!(
            "reverse_proxy 127.0.0.1:8000 {{\n{}}}",
            indented(lines, "\t")
        ))
    };
    let beside = |lines: &str| site(&format!("{lines}\nreverse_proxy 127.0.0.1:8000"));
    let options = |lines: &str| {
        format!(
            "{{\n{}}}\n\n{}",
            indented(lines, "\t"),
            site("reverse_proxy 127.0.0.1:8000")
        )
    };
    IN_PROXY
        .iter()
        .map(|lines| proxy(lines))
        .chain(BESIDE.iter().map(|lines| beside(lines)))
        .chain(BODIES.iter().map(|body| site(body)))
        .chain(OPTIONS.iter().map(|lines| options(lines)))
        .collect()
}

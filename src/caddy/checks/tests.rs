use crate::check::{Selection, check};
use crate::project::Project;
use crate::rule::Severity;

/// What the Caddy rules say about these files, without the group's name.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let project = Project::in_memory(files.iter().copied()).expect("project");
    let mut selection = Selection::default();
    selection.select.push("caddy".to_owned());
    check(&project, &selection)
        .findings
        .iter()
        .map(|finding| finding.rule.trim_start_matches("caddy/").to_owned())
        .collect()
}

/// The same for a site's body; the handshake is declared for `/ws` and what is below.
fn site(body: &str) -> Vec<String> {
    let toml = "[websocket]\nendpoints = [\"/ws\", \"/ws/chat\"]\n";
    let file = format!("http://localhost {{\n{body}\n}}\n");
    found(&[("wslint.toml", toml), ("Caddyfile", &file)])
}

#[test]
fn harmless_lines_are_silent() {
    for body in [
        "reverse_proxy app:8000",
        "reverse_proxy app:8000 {\nheader_down -Connection\nheader_down -*\nheader_down Upgrade h2c\n}",
        "reverse_proxy app:8000 {\nheader_up Connection {http.request.header.Connection}\nheader_up Upgrade {http.request.header.Upgrade}\n}",
        "reverse_proxy app:8000 {\nheader_up Connection \"upgrade\"\nheader_up Upgrade WebSocket\n}",
        "reverse_proxy app:8000 {\nheader_up -Sec-WebSocket-Extensions\nheader_up -Origin\nheader_up Host {upstream_hostport}\n}",
        "reverse_proxy app:8000 {\nheader_up Connection {$CONNECTION}\n}",
        "map {host} {value} {\ndefault Upgrade\n}\nreverse_proxy app:8000 {\nheader_up Connection {value}\n}",
        "forward_auth auth:9000 {\nuri /check\nheader_up -Connection\nheader_up -Upgrade\n}\nreverse_proxy app:8000",
        "request_header Connection Upgrade\nreverse_proxy app:8000",
        "encode gzip zstd\nheader Strict-Transport-Security max-age=1\nlog\nreverse_proxy app:8000",
        "root * /srv\nreverse_proxy /ws* app:8000\nfile_server",
        "root * /srv\nhandle /ws* {\nreverse_proxy app:8000\n}\nhandle {\ntry_files {path} /index.html\nfile_server\n}",
        "root * /srv\nhandle {\ntry_files {path} /index.html\nfile_server\n}\nhandle /ws* {\nreverse_proxy app:8000\n}",
        "route {\nreverse_proxy /ws* app:8000\ntry_files {path} /index.html\nfile_server\n}",
        "handle_path /ws* {\nreverse_proxy app:8000\n}",
        "rewrite /ws /ws/chat\nreverse_proxy /ws/* app:8000",
        "rewrite * /socket{uri}\nreverse_proxy app:8000",
        "uri replace /ws /socket\nreverse_proxy app:8000",
        "uri /ws* strip_prefix /ws\nreverse_proxy /ws* app:8000",
        "rewrite /old/* /index.html\nreverse_proxy /ws* app:8000",
        "try_files {path} {path}/index.html\nreverse_proxy /ws* app:8000",
        "php_fastcgi php:9000\nreverse_proxy /ws* app:8000\nfile_server",
        "@file file\nfile_server @file\nreverse_proxy app:8000",
        "@notfile {\nnot file\nnot path /ws*\n}\nrewrite @notfile /index.html\nreverse_proxy /ws* app:8000\nfile_server",
        "@static file {\ntry_files {path}.html {path}\n}\nrewrite @static {file_match.relative}\nreverse_proxy /ws* app:8000",
        "@pages not path /ws*\nroute @pages {\ntry_files {path} =404\nfile_server\n}\nreverse_proxy /ws* app:8000",
        "@sockets `path('/ws', '/ws/*')`\nreverse_proxy @sockets app:8000\nfile_server",
        "reverse_proxy 10.0.0.5",
        "reverse_proxy app",
        "reverse_proxy https://chat-1.example.com",
        "reverse_proxy chat-1.example.com:8000",
        "reverse_proxy chat-1.example.com {\ntransport http {\ntls\n}\n}",
        "reverse_proxy api.default.svc.cluster.local",
        "reverse_proxy unix//run/app.sock",
        "reverse_proxy {$BACKEND}",
    ] {
        assert_eq!(site(body), [""; 0], "{body}");
    }
}

#[test]
fn two_findings_are_two_lines_to_mend() {
    let toml = "[websocket]\nendpoints = [\"/ws/chat/\"]\n";
    for (answers, path, expected) in [
        (
            "respond hi",
            "/ws",
            &["answered-before-proxy", "exact-path"][..],
        ),
        // Neither mend opens the socket by itself.
        ("respond hi", "/ws*", &["answered-before-proxy"]),
        ("handle {\nrespond hi\n}", "/ws", &["exact-path"]),
        ("handle {\nrespond hi\n}", "/ws*", &[]),
    ] {
        let proxy = match answers.starts_with("handle") {
            true => format!("handle {path} {{\nreverse_proxy app:1\n}}"),
            false => format!("reverse_proxy {path} app:1"),
        };
        let file = format!("http://a.test {{\n{answers}\n{proxy}\n}}\n");
        let found = found(&[("Caddyfile", &file), ("wslint.toml", toml)]);
        assert_eq!(found, expected, "{file}");
    }
}

#[test]
fn what_misses_other_clients_than_browsers_is_hygiene() {
    const BOTH: &str =
        "clients that write `Connection: upgrade` in lower case, and sockets over HTTP/2";
    const LOWER: &str = "clients that write `Connection: upgrade` in lower case";
    const HTTP2: &str = "sockets over HTTP/2";
    let sockets = |lines: &str| format!("@ws {{\n{lines}\n}}\nreverse_proxy @ws app:1");
    for (address, caddy, lines, missed) in [
        ("a.test", "2.11", "header Connection *Upgrade*", BOTH),
        ("a.test", "2.11", "header Connection *pgrade*", HTTP2),
        ("a.test", "2.11", "method GET\npath /ws/*", HTTP2),
        ("a.test", "2.8", "header Connection *Upgrade*", LOWER),
        (
            "http://a.test",
            "2.11",
            "header Connection *Upgrade*",
            LOWER,
        ),
        ("http://a.test", "2.11", "method GET\npath /ws/*", ""),
        ("a.test", "2.8", "method GET\npath /ws/*", ""),
        ("a.test", "2.11", "method GET CONNECT\npath /ws/*", ""),
        ("a.test", "2.11", "header Upgrade websocket", ""),
        (
            "a.test",
            "2.11",
            "header Connection Upgrade\nheader Connection \"keep-alive, Upgrade\"",
            "",
        ),
        (
            "a.test",
            "2.11",
            "header Connection *Upgrade*\nheader Connection *upgrade*",
            HTTP2,
        ),
        (
            "http://a.test",
            "2.11",
            "header Connection *Upgrade*\nheader Connection *upgrade*",
            "",
        ),
    ] {
        let file = format!("{address} {{\n{}\n}}\n", sockets(lines));
        let toml = format!("[targets]\ncaddy = \"{caddy}\"\n");
        let project = Project::in_memory([("Caddyfile", file.as_str()), ("wslint.toml", &toml)]);
        let selection = Selection {
            select: vec!["caddy/misses-browsers".to_owned()],
            pedantic: true,
            ..Selection::default()
        };
        let outcome = check(&project.expect("project"), &selection);
        let found: Vec<(&str, Severity)> = outcome
            .findings
            .iter()
            .map(|finding| (finding.message.as_str(), finding.severity))
            .collect();
        let message = format!("the matcher misses {missed}");
        let expected = [(message.as_str(), Severity::Info)];
        let expected = &expected[..usize::from(!missed.is_empty())];
        assert_eq!(found, expected, "{address} {caddy} {lines}");
    }
}

#[test]
fn what_was_measured_to_break_is_found_once() {
    for (body, rule) in [
        (
            "reverse_proxy app:8000 {\nheader_up Connection {>Connection}\nheader_up Upgrade {>Upgrade}\n}",
            "unknown-placeholder",
        ),
        (
            "reverse_proxy app:8000 {\nheader_up Upgrade {http_upgrade}\n}",
            "unknown-placeholder",
        ),
        (
            "reverse_proxy app:8000 {\nheader_up Connection {$connection_upgrade}\n}",
            "unknown-placeholder",
        ),
        (
            "reverse_proxy app:8000 {\nheader_up Connection {{http.Connection}}\n}",
            "unknown-placeholder",
        ),
        (
            "reverse_proxy app:8000 {\nheader_up -Connection\n}",
            "header-up",
        ),
        (
            "reverse_proxy app:8000 {\nheader_up -Sec-WebSocket-*\n}",
            "header-up",
        ),
        (
            "reverse_proxy app:8000 {\nheader_up Connection\n}",
            "header-up",
        ),
        (
            "reverse_proxy app:8000 {\nheader_up Connection Upgrade close\n}",
            "header-up",
        ),
        (
            "reverse_proxy app:8000 {\nheader_up Upgrade h2c\n}",
            "header-up",
        ),
        (
            "try_files {path} /index.html\nreverse_proxy /ws* app:8000",
            "rewritten-before-proxy",
        ),
        (
            "try_files {path} /index.html\nreverse_proxy app:8000",
            "rewritten-before-proxy",
        ),
        (
            "@not not path /ws*\ntry_files @not {path} /index.html\nreverse_proxy /ws* app:8000",
            "rewritten-before-proxy",
        ),
        (
            "rewrite * /x\nreverse_proxy /ws* app:8000",
            "rewritten-before-proxy",
        ),
        (
            "rewrite * /index.html\nreverse_proxy app:8000",
            "rewritten-before-proxy",
        ),
        (
            "uri strip_prefix /ws\nreverse_proxy /ws* app:8000",
            "rewritten-before-proxy",
        ),
        (
            "handle_path /ws* {\nreverse_proxy /ws* app:8000\n}",
            "rewritten-before-proxy",
        ),
        (
            "route {\ntry_files {path} /index.html\nreverse_proxy /ws* app:8000\n}",
            "rewritten-before-proxy",
        ),
        // The long form of a single-page application's fallback.
        (
            "@static file {\ntry_files {path} /index.html\n}\nrewrite @static {http.matchers.file.relative}\nreverse_proxy /ws* app:8000\nfile_server",
            "rewritten-before-proxy",
        ),
        (
            "@static file {path} /index.html\nrewrite @static {file_match.relative}\nreverse_proxy /ws* app:8000\nfile_server",
            "rewritten-before-proxy",
        ),
        (
            "@notfile {\nnot file\nnot path /api/*\n}\nrewrite @notfile /index.html\nreverse_proxy /ws* app:8000\nreverse_proxy /api/* app:8000\nfile_server",
            "rewritten-before-proxy",
        ),
        (
            "try_files {path} {path}/ =404\nreverse_proxy /ws* app:8000\nfile_server",
            "rewritten-before-proxy",
        ),
        (
            "try_files {path} /index.html\n@r path_regexp ^/ws\nreverse_proxy @r app:8000",
            "rewritten-before-proxy",
        ),
        (
            "try_files {path} /index.html\n@r `path('/ws', '/ws/*')`\nreverse_proxy @r app:8000",
            "rewritten-before-proxy",
        ),
        (
            "request_header -Connection\nreverse_proxy app:8000",
            "request-header",
        ),
        (
            "respond x 404\nreverse_proxy /ws* app:8000",
            "answered-before-proxy",
        ),
        (
            "handle {\nrespond x 404\n}\nreverse_proxy /ws* app:8000",
            "swallowed-by-handle",
        ),
        ("reverse_proxy /ws* h2c://app:8000", "http2-upstream"),
        (
            "reverse_proxy app:8000 {\nresponse_buffers 1MB\n}",
            "buffered-handshake",
        ),
        (
            "reverse_proxy app:8000 {\nreplace_status 200\n}",
            "response-replaced",
        ),
        ("header -Upgrade\nreverse_proxy app:8000", "response-header"),
        (
            "@ws protocol wss\nreverse_proxy @ws app:8000",
            "never-matches",
        ),
        ("reverse_proxy app:8000 {\nwebsocket\n}", "refused"),
        (
            "reverse_proxy app:8000 {\nfail_duration 5s\nunhealthy_status 101\n}",
            "health-check",
        ),
        ("reverse_proxy chat-1.example.com", "plain-http-upstream"),
        (
            "reverse_proxy http://chat-1.example.com",
            "plain-http-upstream",
        ),
        (
            "reverse_proxy chat-1.example.com:443",
            "plain-http-upstream",
        ),
    ] {
        assert_eq!(site(body), [rule], "{body}");
    }
}

/// What is said about one template: findings, and `?` for each note.
fn template(text: &str) -> Vec<String> {
    let project = Project::in_memory([("Caddyfile.tmpl", text)]).expect("project");
    let outcome = check(&project, &Selection::default());
    let findings = outcome
        .findings
        .iter()
        .map(|finding| finding.rule.to_string());
    let notes = outcome.undecided.iter().map(|_| "?".to_owned());
    findings.chain(notes).collect()
}

#[test]
fn what_a_template_may_leave_out_is_no_finding() {
    let proxy = "reverse_proxy /ws/* a:1";
    let spa = "try_files {path} /index.html";
    for (body, expected) in [
        (
            format!("{spa}\n{proxy}"),
            vec!["caddy/rewritten-before-proxy"],
        ),
        (
            format!("{{% if x %}}\n{spa}\n{{% endif %}}\n{proxy}"),
            vec!["?"],
        ),
        (
            format!("{{{{ if .X }}}}\n{spa}\n{{{{ end }}}}\n{proxy}"),
            vec!["?"],
        ),
        (format!("<% if x %>\n{spa}\n<% end %>\n{proxy}"), vec!["?"]),
        (
            "{% if x %}\n@ws path /ws/*\n{% else %}\n@ws path /cable\n{% endif %}\nreverse_proxy @ws a:1"
                .to_owned(),
            vec!["?"],
        ),
        (
            format!(
                "{{% if x %}}\n{proxy} {{\nheader_up -Upgrade\n}}\n{{% else %}}\n{proxy}\n{{% endif %}}"
            ),
            vec!["?"],
        ),
        (
            format!("{proxy} {{\n{{% if x %}}\nheader_up -Upgrade\n{{% endif %}}\n}}"),
            vec!["?"],
        ),
        (
            format!("{proxy} {{\n{{% if x %}}\nheader_up X-A b\n{{% endif %}}\n}}"),
            vec![],
        ),
        (
            format!("{{% if x %}}\nencode gzip\nrespond /health 200\n{{% endif %}}\n{proxy}"),
            vec![],
        ),
        // What is certain stays so.
        (
            format!("{{% if x %}}\nencode gzip\n{{% endif %}}\n{spa}\n{proxy}"),
            vec!["caddy/rewritten-before-proxy"],
        ),
    ] {
        assert_eq!(
            template(&format!(":80 {{\n{body}\n}}\n")),
            expected,
            "{body}"
        );
    }
    // A loop over whole sites writes none of them, or each as it stands.
    let sites = format!("{{% for x in y %}}\n{{{{ x }}}} {{\n{spa}\n{proxy}\n}}\n{{% endfor %}}\n");
    assert_eq!(template(&sites), ["caddy/rewritten-before-proxy"]);
}

#[test]
fn an_expression_that_is_not_understood_is_undecided_after_a_rewrite() {
    let file = |body: &str| {
        format!(
            ":80 {{\n{body}\n@ws `path('/ws/*') || remote_ip('10.0.0.0/8')`\nreverse_proxy @ws a:1\n}}\n"
        )
    };
    assert_eq!(template(&file("try_files {path} /index.html")), ["?"]);
    assert!(template(&file("")).is_empty());
}

#[test]
fn the_help_leaves_every_other_directive_its_requests() {
    let file = ":80 {\n\ttry_files {path} /index.html\n\treverse_proxy /ws/* a:1\n\treverse_proxy /api/* b:1 {\n\t\theader_up X-A b\n\t}\n\trespond /health ok\n\tfile_server {\n\t\thide .git\n\t}\n}\n";
    let project = Project::in_memory([("Caddyfile", file)]).expect("project");
    let outcome = check(&project, &Selection::default());
    let help = outcome.findings[0].help.join("\n");
    for part in [
        "handle /ws/* {\n\treverse_proxy a:1\n}\n",
        "handle /api/* {\n\treverse_proxy b:1 {\n\t\theader_up X-A b\n\t}\n}\n",
        "handle /health {\n\trespond ok\n}\n",
        "handle {\n\ttry_files {path} /index.html\n\tfile_server {\n\t\thide .git\n\t}\n}",
    ] {
        assert!(help.contains(part), "{part:?} in {help}");
    }
}

#[test]
fn the_order_option_counts() {
    let toml = "[websocket]\nendpoints = [\"/ws\"]\n";
    let file = "{\n\torder reverse_proxy before try_files\n}\n:80 {\n\ttry_files {path} /index.html\n\treverse_proxy /ws* a:1\n}\n";
    assert!(found(&[("wslint.toml", toml), ("Caddyfile", file)]).is_empty());
}

#[test]
fn an_edge_meets_the_redirect_or_not() {
    let toml = "[edge]\nkind = \"alb\"\n";
    let body = "{\n\treverse_proxy /ws/* app:8000\n}\n";
    for (address, breaks) in [
        ("app.example.com", true),
        ("https://app.example.com", true),
        ("*.example.com", true),
        (":443", true),
        ("http://app.example.com", false),
        ("app.example.com:80", false),
        (":80", false),
        (":8080", false),
        ("app.example.com, http://app.example.com", false),
        ("localhost", false),
        ("app.internal", false),
        ("app.example.com:8443", false),
        ("{$SITE}", false),
        ("{$SITE:app.example.com}", true),
    ] {
        let file = format!("{address} {body}");
        let found = found(&[("wslint.toml", toml), ("Caddyfile", &file)]);
        assert_eq!(found == ["https-redirect"], breaks, "{address}: {found:?}");
    }
    let beside = format!("app.example.com {body}:80 {body}");
    assert_eq!(
        found(&[("wslint.toml", toml), ("Caddyfile", &beside)]),
        ["https-redirect"]
    );
    let tls = "[edge]\nkind = \"cloudflare\"\n";
    let file = format!("app.example.com {body}");
    assert!(found(&[("wslint.toml", tls), ("Caddyfile", &file)]).is_empty());
}

#[test]
fn three_backends_are_one_finding_that_names_them_all() {
    let toml = "[websocket]\nendpoints = [\"wss://inscribe.example.com/ws/\"]\n";
    let balancer = "inscribe.example.com {\n\treverse_proxy b-1.example.com b-2.example.com b-3.example.com {\n\t\tlb_policy cookie\n\t\tfail_duration 30s\n\t}\n}\n";
    let backend = |n: u8| format!("b-{n}.example.com {{\n\treverse_proxy 127.0.0.1:8000\n}}\n");
    let (one, two, three) = (backend(1), backend(2), backend(3));
    let files = [
        ("wslint.toml", toml),
        ("balancer/Caddyfile", balancer),
        ("b1/Caddyfile", one.as_str()),
        ("b2/Caddyfile", two.as_str()),
        ("b3/Caddyfile", three.as_str()),
    ];
    let project = Project::in_memory(files).expect("project");
    let outcome = check(&project, &Selection::default());
    let [finding] = outcome.findings.as_slice() else {
        panic!("{:?}", outcome.findings);
    };
    assert_eq!(finding.rule, "caddy/plain-http-upstream");
    assert_eq!(finding.severity, crate::rule::Severity::Error);
    assert_eq!(
        project.slice(finding.span),
        "b-1.example.com b-2.example.com b-3.example.com"
    );
    let files: Vec<&str> = finding
        .spans()
        .map(|span| project.source(span.source).path.as_str())
        .collect();
    for file in [
        "balancer/Caddyfile",
        "b1/Caddyfile",
        "b2/Caddyfile",
        "b3/Caddyfile",
        "wslint.toml",
    ] {
        assert!(files.contains(&file), "{file} in {files:?}");
    }
    assert!(
        finding
            .notes
            .iter()
            .any(|note| note.contains("308 Permanent Redirect"))
    );
}

#[test]
fn a_site_of_the_project_proves_or_clears_its_upstream() {
    let toml = "[websocket]\nendpoints = [\"wss://chat.example.com/ws\"]\n";
    for (upstream, backend, expected) in [
        ("b.example.com", "b.example.com", Some("308")),
        ("http://b.example.com", "https://b.example.com", Some("308")),
        ("b.example.com", "*.example.com", Some("308")),
        ("b.example.com", "b.example.com:8443", Some("308")),
        ("b.internal", "b.internal", Some("308")),
        ("b.example.com:443", "b.example.com", Some("400")),
        ("b.example.com:8443", "b.example.com:8443", Some("400")),
        (
            "http://b.example.com:8443",
            "b.example.com:8443",
            Some("400"),
        ),
        ("b.example.com", "http://b.example.com", None),
        ("b.example.com", "b.example.com, http://b.example.com", None),
        ("b.example.com:8080", "http://b.example.com:8080", None),
        ("b.example.com:8080", "b.example.com", None),
        ("https://b.example.com", "b.example.com", None),
    ] {
        let front = format!("chat.example.com {{\n\treverse_proxy {upstream}\n}}\n");
        let back = format!("{backend} {{\n\treverse_proxy 127.0.0.1:8000\n}}\n");
        let files = [
            ("wslint.toml", toml),
            ("a/Caddyfile", front.as_str()),
            ("b/Caddyfile", back.as_str()),
        ];
        let project = Project::in_memory(files).expect("project");
        let findings = check(&project, &Selection::default()).findings;
        let mut of_it = findings
            .iter()
            .filter(|finding| finding.rule == "caddy/plain-http-upstream");
        let said = of_it.next().map(|finding| {
            assert_eq!(finding.severity, crate::rule::Severity::Error);
            if finding.message.contains("308") {
                "308"
            } else {
                "400"
            }
        });
        assert_eq!(said, expected, "{upstream} {backend}: {findings:?}");
    }
}

#[test]
fn port_80_of_the_same_caddy_may_be_the_very_site() {
    for (line, around) in [
        ("", true),
        (" {\nheader_up Host {upstream_hostport}\n}", false),
    ] {
        let file = format!(
            "http://a.example.com {{\nreverse_proxy /ws b.example.com{line}\n}}\nb.example.com {{\nrespond x\n}}\n"
        );
        let project = Project::in_memory([("Caddyfile", file.as_str())]).expect("project");
        let outcome = check(&project, &Selection::default());
        assert_eq!(outcome.findings.len(), 1);
        assert_eq!(
            outcome.findings[0].message.contains("round and round"),
            around,
            "{line}"
        );
    }
}

#[test]
fn a_fragment_is_judged_by_what_it_says_itself() {
    let lines = "reverse_proxy /ws app:1 {\n\theader_up Connection {>Connection}\n}\ntry_files {path} /index.html\n";
    assert_eq!(found(&[("ws.caddy", lines)]), ["unknown-placeholder"]);
    let file = "example.com {\n\timport ws.caddy\n}\n";
    let mut both = found(&[("ws.caddy", lines), ("Caddyfile", file)]);
    both.sort();
    assert_eq!(both, ["rewritten-before-proxy", "unknown-placeholder"]);
}

#[test]
fn what_is_missing_may_have_the_last_word() {
    let toml = "[websocket]\nendpoints = [\"/ws\"]\n";
    for body in [
        "reverse_proxy /ws a:1 {\nheader_up -Connection\nimport gone\n}",
        "import gone\ntry_files {path} /index.html\nreverse_proxy /ws* a:1",
        "order_me {$NONE}\ntry_files {path} {$INDEX}\nreverse_proxy /ws* a:1",
    ] {
        let file = format!("http://localhost {{\n{body}\n}}\n");
        assert_eq!(
            found(&[("wslint.toml", toml), ("Caddyfile", &file)]),
            [""; 0],
            "{body}"
        );
    }
}

#[test]
fn a_line_that_many_sites_import_is_told_once() {
    let mut file = String::from(
        "(p) {\n\treverse_proxy /ws app:1 {\n\t\theader_up Connection {>Connection}\n\t}\n}\n",
    );
    for n in 0..20 {
        file.push_str(&format!("s{n}.example.com {{\n\timport p\n}}\n"));
    }
    assert_eq!(found(&[("Caddyfile", &file)]), ["unknown-placeholder"]);
}

#[test]
fn sockets_and_pages_get_a_handle_each() {
    let fixes = |file: &str| {
        let project = Project::in_memory([("Caddyfile", file)]).expect("project");
        let outcome = check(&project, &Selection::default());
        let own = outcome.findings.iter();
        own.filter(|finding| finding.rule == "caddy/rewritten-before-proxy")
            .map(|finding| finding.fix.is_some())
            .collect::<Vec<_>>()
    };
    let (pages, sockets) = (
        "\ttry_files {path} /index.html\n",
        "\treverse_proxy /ws/* app:1\n",
    );
    for (body, fixed) in [
        (
            format!("\troot * /srv\n{pages}{sockets}\tfile_server\n"),
            true,
        ),
        (format!("{sockets}\tencode gzip\n{pages}"), true),
        // Another directive that answers would lose its requests to the new block.
        (format!("{pages}{sockets}\treverse_proxy app:2\n"), false),
        (
            format!("{pages}{sockets}\trespond /health ok\n\tfile_server\n"),
            false,
        ),
        // Inside `route` the order is the file's.
        (
            format!("\troute {{\n{pages}{sockets}\tfile_server\n\t}}\n"),
            false,
        ),
    ] {
        let file = format!("http://localhost {{\n{body}}}\n");
        assert_eq!(fixes(&file), [fixed], "{file}");
    }
    // What several sites import is not one site's to change.
    let shared =
        format!("(spa) {{\n{pages}\tfile_server\n}}\na.test {{\n\timport spa\n{sockets}}}\n");
    assert_eq!(fixes(&shared), [false]);
}

#[test]
fn a_matcher_that_never_matches_beside_another_proxy() {
    for (rest, rules) in [
        (
            "reverse_proxy @ws app:1\nreverse_proxy app:2",
            &["never-matches"][..],
        ),
        // The same upstream gets it after all.
        ("reverse_proxy @ws app:1\nreverse_proxy app:1", &[]),
        (
            "@up header Connection *pgrade*\nreverse_proxy @ws app:1\nreverse_proxy @up app:1\nreverse_proxy app:2",
            &[],
        ),
    ] {
        let file = format!("example.com {{\n@ws header Connection upgrade\n{rest}\n}}\n");
        assert_eq!(found(&[("Caddyfile", &file)]), *rules, "{rest}");
    }
}

#[test]
fn odd_input_ends_quickly() {
    let deep = format!(
        ":80 {{\n{}{}\n}}\n",
        "handle {\n".repeat(20_000),
        "}\n".repeat(20_000)
    );
    assert!(found(&[("Caddyfile", &deep)]).is_empty());
    for text in [
        "",
        "{",
        "}",
        "\u{feff}",
        "import *",
        ":80 {\nimport\n}",
        "@a",
        "(x)",
        "a,",
        "\"",
        "{$",
        "{$:}",
    ] {
        found(&[("Caddyfile", text)]);
    }
    let many = format!(":80 {{\n{}}}\n", "reverse_proxy /ws app:1\n".repeat(3000));
    found(&[("Caddyfile", &many)]);
}

#[test]
fn what_only_the_sample_lacks_is_no_loss() {
    for body in [
        r"@ws path_regexp ^/ws/[0-9]+$
reverse_proxy @ws app:8000",
        r"@ws path_regexp ^/v\d+/(stream|live)$
handle @ws {
reverse_proxy app:8000
}",
        r"handle /ws/* {
@bad not path_regexp ^/ws/[a-z]+/\d+$
respond @bad 404
reverse_proxy app:8000
}",
        "@ws expression path_regexp('^/ws/[0-9]+$')\nreverse_proxy @ws app:8000",
        "@ws expression `path('/ws/*') && query({'v': ['1','2']})`\nreverse_proxy @ws app:8000",
        "@key not query token=x\nrespond @key 403\nreverse_proxy /ws/* app:8000",
        "@poll {\npath /socket.io/*\nnot query transport=websocket\n}\nhandle @poll {\nrespond 400\n}\nhandle /socket.io/* {\nreverse_proxy app:8000\n}",
        "@ws {\npath /ws/*\nheader Origin https://app.example.com\n}\nhandle @ws {\nreverse_proxy app:8000\n}\nhandle {\nrespond 403\n}",
        "@other {\npath /ws/*\nnot header Origin https://app.example.com\n}\nrespond @other 403\nreverse_proxy /ws/* app:8000",
        "@bare {\npath /ws/*\nheader !Sec-WebSocket-Protocol\n}\nrespond @bare 400\nreverse_proxy /ws/* app:8000",
    ] {
        let file = format!("http://localhost {{\n{body}\n}}\n");
        assert!(found(&[("Caddyfile", &file)]).is_empty(), "{body}");
    }
}

#[test]
fn what_no_handshake_has_is_a_loss() {
    for line in [
        "method POST",
        "header Upgrade h2c",
        "header !Origin",
        "not header Upgrade websocket",
        "not path_regexp ^/ws/",
    ] {
        let file = format!(
            "http://localhost {{\n@ws {{\npath /ws/*\nquery token=x\n{line}\n}}\nreverse_proxy @ws app:8000\n}}\n"
        );
        assert_eq!(found(&[("Caddyfile", &file)]), ["never-matches"], "{line}");
    }
}

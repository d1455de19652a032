//! What is lost on the way, where it is told, and with which lines.

use crate::check::{Selection, check, check_resolved};
use crate::context::Context;
use crate::project::Project;
use crate::rule::rules;
use crate::stack::tests::{FRONT, SETTINGS, UPGRADE, WSGI, conf, with};

/// The helps of what a rule finds.
fn helps(files: &[(&str, &str)], rule: &str) -> Vec<String> {
    with(files, |cx| {
        let found = check_resolved(cx, &Selection::default()).findings;
        let own = found.into_iter().filter(|finding| finding.rule == rule);
        own.flat_map(|finding| finding.help).collect()
    })
}

#[test]
fn sockets_that_are_sent_to_the_pages_are_told_where_their_server_is() {
    let nginx = conf(&format!(
        "server {{ listen 80; location / {{ {UPGRADE} proxy_pass http://pages:9000; }} }}"
    ));
    let compose = format!(
        "services:\n{FRONT}  pages:\n    build: .\n    command: {WSGI}\n  sockets:\n    build: .\n    command: daphne -p 9001 site.asgi:application\n"
    );
    let files = [
        ("nginx.conf", nginx.as_str()),
        ("docker-compose.yml", compose.as_str()),
        (
            "site/wsgi.py",
            "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
        ),
    ];
    let helps = helps(&files, "stack/route-not-forwarded");
    let told = helps
        .iter()
        .any(|help| help.contains("proxy_pass http://sockets:9001;"));
    assert!(told, "{helps:#?}");
}

#[test]
fn a_line_that_discards_the_pair_is_the_one_cause() {
    let nginx = conf(&format!(
        "{UPGRADE} server {{ listen 80; location / {{ proxy_set_header Host $host; proxy_pass http://web:9000; }} }}"
    ));
    let files = [
        ("nginx.conf", nginx.as_str()),
        ("start.sh", "daphne -p 9000 site.asgi:application\n"),
    ];
    assert!(helps(&files, "stack/route-not-forwarded").is_empty());
    let helps = helps(&files, "nginx/headers-not-inherited");
    assert!(!helps.is_empty());
}

#[test]
fn every_breaking_example_of_the_stack_is_told_with_lines_to_write() {
    for rule in rules().iter().filter(|rule| rule.group() == "stack") {
        let breaking = rule.examples.iter().filter(|example| example.breaks);
        for example in breaking {
            let files = example.files.iter();
            let files = files.map(|(path, text)| (path.as_ref(), text.as_ref()));
            let project = Project::in_memory(files).expect("valid");
            let outcome = check_resolved(&Context::resolve(&project), &Selection::default());
            let own = outcome.findings.iter();
            let helps: Vec<&str> = own
                .filter(|finding| finding.rule == rule.id)
                .flat_map(|finding| finding.help.iter().map(String::as_str))
                .collect();
            let has_lines = helps.iter().any(|help| help.contains('\n'));
            assert!(has_lines, "{}: {}: {helps:#?}", rule.id, example.title);
        }
    }
}

#[test]
fn a_path_is_mended_in_the_files_own_words() {
    let daphne = "daphne -p 9000 site.asgi:application\n";
    let nginx = |location: &str, pass: &str| {
        conf(&format!(
            "server {{ listen 80; location {location} {{ {UPGRADE} proxy_pass {pass}; }} }}"
        ))
    };
    for (conf, needed) in [
        (
            nginx("/ws/", "http://web:9000/"),
            "\nproxy_pass http://web:9000;",
        ),
        (
            nginx("/ws/", "http://web:9000/"),
            "\npath('news/', News.as_asgi()),",
        ),
        (
            nginx("/ws/", "http://web:9000/sockets/"),
            "\nproxy_pass http://web:9000;",
        ),
    ] {
        let files = [("nginx.conf", conf.as_str()), ("start.sh", daphne)];
        let helps = helps(&files, "stack/path-mismatch");
        let told = helps.iter().any(|help| help.ends_with(needed));
        assert!(told, "{needed} {helps:#?}");
    }
    let stripped = ":80 {\n\thandle_path /ws/* {\n\t\treverse_proxy web:9000\n\t}\n}\n";
    let files = [("front/Caddyfile", stripped), ("start.sh", daphne)];
    let all = helps(&files, "stack/path-mismatch");
    let all = match all.is_empty() {
        // One cause, one finding: a rule of Caddy's may tell it.
        true => helps(&files, "caddy/prefix-stripped"),
        false => all,
    };
    assert!(
        all.iter().any(|help| help.contains("handle /ws/*")),
        "{all:#?}"
    );
}

#[test]
fn what_the_application_lives_below_is_in_the_lines_to_write() {
    let settings =
        "ROOT_URLCONF = 'site.urls'\nINSTALLED_APPS = ['channels']\nFORCE_SCRIPT_NAME = '/tool'\n";
    let daphne = "daphne -p 9000 site.asgi:application\n";
    let found = |path: &str, conf: &str, command: &str, rule: &str| {
        let files = [
            (path, conf),
            ("start.sh", command),
            ("site/settings.py", settings),
            (
                "requirements.txt",
                "channels==4.3.0\nuvicorn==0.30.0\nwebsockets==13.0\n",
            ),
        ];
        helps(&files, rule)
    };
    let caddy = |tool: &str| format!(":80 {{\n{tool}\n\thandle {{\n\t\tfile_server\n\t}}\n}}\n");
    for (tool, needed) in [
        (
            "handle /tool/* {\nreverse_proxy web:9000\n}",
            "\nhandle_path /tool/* {",
        ),
        (
            "handle /tool/* {\nfile_server /tool/static/*\nreverse_proxy web:9000 {\nflush_interval -1\n}\n}",
            "\nroute {\n\turi strip_prefix /tool\n\treverse_proxy web:9000 {\n\t\t…\n\t}\n}",
        ),
        (
            "@tool path /tool/*\nhandle @tool {\nreverse_proxy web:9000\n}",
            "\nroute {\n\turi strip_prefix /tool\n\treverse_proxy web:9000\n}",
        ),
    ] {
        let helps = found("Caddyfile", &caddy(tool), daphne, "stack/path-mismatch");
        let told = helps.iter().any(|help| help.ends_with(needed));
        assert!(told, "{tool} {helps:#?}");
    }
    // daphne is told what it lives below, and Channels takes that off by itself.
    let below = "daphne -p 9000 --root-path /tool site.asgi:application\n";
    let kept = "handle /tool/* {\nreverse_proxy web:9000\n}";
    assert!(found("Caddyfile", &caddy(kept), below, "stack").is_empty());
    for (command, needed) in [
        (
            daphne,
            "location /tool/ws/ {\n    proxy_pass http://web:9000/ws/;",
        ),
        (
            below,
            "location /tool/ws/ {\n    proxy_pass http://web:9000;",
        ),
    ] {
        let nginx = conf(
            "server { listen 80; location / { root /srv; } location /tool/ { proxy_pass http://web:9000; } }",
        );
        let helps = found("nginx.conf", &nginx, command, "stack/route-not-forwarded");
        let told = helps.iter().any(|help| help.contains(needed));
        assert!(told, "{command} {helps:#?}");
    }
}

/// What is found in these files, a line each: the rule, the file and the message.
fn told(files: &[(&str, &str)]) -> String {
    let project = Project::in_memory(files.iter().copied()).expect("valid");
    let outcome = check(&project, &Selection::default());
    let lines = outcome.findings.iter().map(|finding| {
        let at = &project.source(finding.span.source).path;
        format!("{} {at} {}", finding.rule, finding.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_declared_endpoint_is_lost_where_the_next_proxy_has_no_certificate_for_the_name() {
    let found = |tls: &str, caddy: &str| {
        let nginx = format!(
            "events {{}}\nhttp {{ upstream inside {{ server inner:443; }} server {{ listen 443 ssl; server_name chat.example.com; location / {{ proxy_pass https://inside; {tls} proxy_http_version 1.1; proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} }} }}\n"
        );
        let compose = "services:\n  edge:\n    image: nginx:1.28\n    ports: ['443:443']\n    volumes: ['./nginx.conf:/etc/nginx/nginx.conf']\n  inner:\n    image: caddy:2\n    volumes: ['./Caddyfile:/etc/caddy/Caddyfile']\n";
        let files = [
            ("nginx.conf", nginx.as_str()),
            ("Caddyfile", caddy),
            ("compose.yaml", compose),
            (
                "wslint.toml",
                "[websocket]\nendpoints = ['wss://chat.example.com/ws/']\n",
            ),
        ];
        told(&files)
    };
    let site = "chat.example.com {\n\treverse_proxy app:3000\n}\n";
    for (tls, says) in [
        ("", "names no host"),
        ("proxy_ssl_server_name on;", "names `inside`"),
        ("proxy_ssl_name chat.example.com;", "names no host"),
        (
            "proxy_ssl_server_name on; proxy_ssl_name other.example.com:443;",
            "names `other.example.com`",
        ),
    ] {
        let told = found(tls, site);
        assert!(told.starts_with("stack/unknown-host "), "{tls}: {told}");
        assert!(told.contains(says) && !told.contains('\n'), "{tls}: {told}");
    }
    let named = "proxy_ssl_server_name on; proxy_ssl_name $host;";
    assert_eq!(found(named, site), "");
    for known in [
        "{\n\tdefault_sni chat.example.com\n}\n",
        ":443 {\n\ttls /c.pem /k.pem\n\treverse_proxy app:3000\n}\n",
        "10.0.0.7 {\n\treverse_proxy app:3000\n}\n",
    ] {
        assert_eq!(found("", &format!("{known}{site}")), "", "{known}");
    }
}

#[test]
fn a_declared_endpoint_is_lost_at_the_proxy_behind_the_first() {
    let pair = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
    let found = |inner: &str| {
        let edge = format!(
            "events {{}}\nhttp {{ server {{ listen 80; server_name chat.example.com; location / {{ {pair} proxy_set_header Host $host; proxy_pass http://inner:8080; }} }} }}\n"
        );
        let inner =
            format!("events {{}}\nhttp {{ server {{ listen 8080; location / {{ {inner} }} }} }}\n");
        let files = [
            ("edge/nginx.conf", edge.as_str()),
            ("inner/nginx.conf", inner.as_str()),
            (
                "compose.yaml",
                "services:\n  edge:\n    image: nginx:1.28\n    ports: ['80:80']\n    volumes: ['./edge/nginx.conf:/etc/nginx/nginx.conf']\n  inner:\n    image: nginx:1.28\n    volumes: ['./inner/nginx.conf:/etc/nginx/nginx.conf']\n",
            ),
            (
                "wslint.toml",
                "[websocket]\nendpoints = ['ws://chat.example.com/ws/']\n",
            ),
        ];
        told(&files)
    };
    let plain = found("proxy_pass http://app:3000;");
    assert_eq!(
        plain,
        "stack/route-not-forwarded inner/nginx.conf no WebSocket opens at `/ws/`: `location /` passes the handshake on as a plain GET"
    );
    let answered = found("return 404;");
    assert_eq!(
        answered,
        "stack/route-not-forwarded inner/nginx.conf no WebSocket opens at `/ws/`: nginx answers 404 by itself, and the application is never asked"
    );
    assert_eq!(found(&format!("{pair} proxy_pass http://app:3000;")), "");
}

#[test]
fn what_a_backend_shows_for_sockets_is_asked_of_the_balancer() {
    let found = |backend: &str, site: &str| {
        let site = format!("{site} {{\n\t{backend}\n\treverse_proxy app:3000\n}}\n");
        let files = [
            (
                "balancer/Caddyfile",
                "api.example.com {\n\treverse_proxy one:80 two:80\n}\n",
            ),
            ("one/Caddyfile", site.as_str()),
            ("two/Caddyfile", site.as_str()),
            (
                "compose.yaml",
                "services:\n  balancer:\n    image: caddy:2\n    ports: ['443:443']\n    volumes: ['./balancer/Caddyfile:/etc/caddy/Caddyfile']\n  one:\n    image: caddy:2\n    volumes: ['./one/Caddyfile:/etc/caddy/Caddyfile']\n  two:\n    image: caddy:2\n    volumes: ['./two/Caddyfile:/etc/caddy/Caddyfile']\n",
            ),
        ];
        told(&files)
    };
    let sockets = "reverse_proxy /socket.io/* app:3001";
    let redirected = found(sockets, "api.example.com");
    assert!(
        redirected.starts_with("stack/https-redirect "),
        "{redirected}"
    );
    assert!(!redirected.contains('\n'), "{redirected}");
    assert!(found(sockets, "http://api.example.com").is_empty());
    assert!(
        found("encode gzip", "api.example.com").is_empty(),
        "no sockets"
    );
}

#[test]
fn what_a_proxy_shows_for_itself_is_lost_behind_it() {
    let edge = |location: &str, lines: &str| {
        (
            "edge/nginx.conf",
            conf(&format!(
                "server {{ listen 80; server_name live.example.org; location {location} {{ {UPGRADE} {lines} proxy_pass http://inner:8080; }} }}"
            )),
        )
    };
    let caddy = |host: &str| {
        (
            "inner/Caddyfile",
            format!("http://{host}:8080 {{\n\treverse_proxy rails:3000\n}}\n"),
        )
    };
    let nginx = |locations: &str| {
        (
            "inner/nginx.conf",
            conf(&format!("server {{ listen 8080; {locations} }}")),
        )
    };
    let compose = |image: &str, file: &str, to: &str| {
        (
            "compose.yaml",
            format!(
                "services:\n  edge:\n    image: nginx\n    ports: ['80:80']\n    volumes: ['./edge/nginx.conf:/etc/nginx/nginx.conf']\n  inner:\n    image: {image}\n    volumes: ['./inner/{file}:{to}']\n  rails:\n    image: rails\n"
            ),
        )
    };
    let host = "proxy_set_header Host $host;";
    let behind_caddy = compose("caddy", "Caddyfile", "/etc/caddy/Caddyfile");
    let behind_nginx = compose("nginx", "nginx.conf", "/etc/nginx/nginx.conf");
    let plain = "location / { proxy_pass http://rails:3000; }";
    for (edge, inner, compose, expected) in [
        (
            edge("/cable", host),
            caddy("backend.internal"),
            &behind_caddy,
            vec!["stack/unknown-host"],
        ),
        (edge("/cable", ""), caddy("inner"), &behind_caddy, vec![]),
        (
            edge("/cable", host),
            caddy("live.example.org"),
            &behind_caddy,
            vec![],
        ),
        (
            edge("/cable", ""),
            nginx(plain),
            &behind_nginx,
            vec!["stack/route-not-forwarded"],
        ),
        (
            edge("/cable", ""),
            nginx("location / { return 404; }"),
            &behind_nginx,
            vec!["stack/route-not-forwarded"],
        ),
        (
            edge("/cable", ""),
            nginx(&format!(
                "location / {{ {UPGRADE} proxy_pass http://rails:3000; }}"
            )),
            &behind_nginx,
            vec![],
        ),
        // What begins with it has a way.
        (edge("/ws", ""), (caddy("inner").0, "http://inner:8080 {\n\thandle /ws/rooms/* {\n\t\treverse_proxy rails:3000\n\t}\n\tfile_server\n}\n".to_owned()), &behind_caddy, vec![]),
        (edge("/ws", ""), nginx(&format!("location / {{ return 404; }} location ~ ^/ws/[0-9]+$ {{ {UPGRADE} proxy_pass http://rails:3000; }}")), &behind_nginx, vec![]),
        // Lines for the upgrade where nobody need ask for one.
        (edge("/", ""), nginx(plain), &behind_nginx, vec![]),
        (
            edge("/api/", ""),
            nginx("location / { return 404; }"),
            &behind_nginx,
            vec![],
        ),
        (
            edge("/", host),
            caddy("backend.internal"),
            &behind_caddy,
            vec![],
        ),
    ] {
        let files = [
            (edge.0, edge.1.as_str()),
            (inner.0, inner.1.as_str()),
            (compose.0, compose.1.as_str()),
        ];
        let found = told(&files);
        let found: Vec<&str> = found
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert_eq!(found, expected, "{files:#?}");
    }
}

#[test]
fn sockets_at_the_address_of_the_pages_are_lost() {
    let caddy = |socket: &str| {
        format!(
            "chat.example.com {{\n\t@sockets path /ws/*\n\treverse_proxy @sockets unix//run/{socket}.sock\n\treverse_proxy unix//run/pages.sock\n}}\n"
        )
    };
    let units = [
        (
            "ops/pages.service",
            "[Service]\nExecStart=gunicorn --bind unix:/run/pages.sock site.wsgi:application\n",
        ),
        (
            "ops/sockets.service",
            "[Service]\nExecStart=daphne -u /run/sockets.sock site.asgi:application\n",
        ),
    ];
    for (socket, expected) in [
        ("sockets", vec![]),
        ("pages", vec!["stack/route-not-forwarded"]),
    ] {
        let caddy = caddy(socket);
        let files = [("Caddyfile", caddy.as_str()), units[0], units[1]];
        let found = with(&files, |cx| {
            let outcome = check(cx.project, &Selection::default());
            let rules = outcome
                .findings
                .iter()
                .map(|finding| finding.rule.to_string());
            rules
                .filter(|rule| rule.starts_with("stack/"))
                .collect::<Vec<_>>()
        });
        assert_eq!(found, expected, "{files:#?}");
    }
}

#[test]
fn the_first_of_several_is_asked_as_long_as_it_answers() {
    let start = "daphne -p 9000 site.asgi:application &\ngunicorn -b :9001 site.wsgi\n";
    for (order, policy, verdict) in [
        ("9000 127.0.0.1:9001", "first", crate::trace::Verdict::Opens),
        ("9001 127.0.0.1:9000", "first", crate::trace::Verdict::Fails),
        (
            "9000 127.0.0.1:9001",
            "round_robin",
            crate::trace::Verdict::Fails,
        ),
        // It may be taken out.
        (
            "9000 127.0.0.1:9001",
            "first\n\t\thealth_uri /",
            crate::trace::Verdict::Fails,
        ),
    ] {
        let caddy = format!(
            "http://a.example {{\n\treverse_proxy 127.0.0.1:{order} {{\n\t\tlb_policy {policy}\n\t}}\n}}\n"
        );
        let files = [
            ("Caddyfile", caddy.as_str()),
            ("start.sh", start),
            (
                "site/wsgi.py",
                "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
            ),
            ("site/urls.py", "urlpatterns = []\n"),
        ];
        with(&files, |cx| {
            let target = crate::trace::Target::parse("ws://a.example/ws/news/").expect("a URL");
            let ways = crate::trace::trace(cx, &target, None);
            assert_eq!(ways[0].verdict(), verdict, "{caddy}");
            assert_eq!(ways[0].runs[0].steps[0].siblings.len(), 2);
        });
    }
}

/// The rules about errors that a project breaks.
fn errors(files: &[(&str, &str)]) -> Vec<String> {
    with(files, |cx| {
        let found = check_resolved(cx, &Selection::default()).findings;
        let errors = found
            .iter()
            .filter(|finding| finding.severity == crate::rule::Severity::Error);
        errors.map(|finding| finding.rule.to_string()).collect()
    })
}

#[test]
fn a_block_may_name_the_beginning_of_the_route_behind_its_prefix() {
    let start = ("start.sh", "daphne -p 9000 site.asgi:application\n");
    for (block, expected) in [
        ("handle /app/ws/* {\n\t\turi strip_prefix /app\n", vec![]),
        ("handle_path /app/* {\n", vec![]),
        ("handle /app/ws/* {\n", vec!["stack/route-not-forwarded"]),
    ] {
        let caddy = format!(
            "http://news.example.com {{\n\t{block}\t\treverse_proxy 127.0.0.1:9000\n\t}}\n}}\n"
        );
        let files = [("Caddyfile", caddy.as_str()), start];
        assert_eq!(errors(&files), expected, "{block}");
    }
}

#[test]
fn a_host_that_only_clients_name_may_be_known_behind() {
    let start = ("start.sh", "daphne -p 9000 site.asgi:application\n");
    let inner = "http://news.example.com:8080 {\n\treverse_proxy 127.0.0.1:9000\n}\n";
    for (outer, expected) in [
        // A warning: the name that clients ask for is not in the files.
        (":80 {\n\treverse_proxy 127.0.0.1:8080\n}\n", vec![]),
        (
            ":80 {\n\treverse_proxy 127.0.0.1:8080 {\n\t\theader_up Host inner\n\t}\n}\n",
            vec!["stack/unknown-host"],
        ),
        (
            "http://shop.example.com {\n\treverse_proxy 127.0.0.1:8080\n}\n",
            vec!["stack/unknown-host"],
        ),
    ] {
        let files = [
            ("outer/Caddyfile", outer),
            ("inner/Caddyfile", inner),
            start,
        ];
        assert_eq!(errors(&files), expected, "{outer}");
    }
}

#[test]
fn an_upgrade_that_only_the_inner_nginx_sends_makes_it_no_tunnel() {
    let server = |port: u16, lines: &str, to: u16| {
        conf(&format!(
            "server {{ listen {port}; location / {{ proxy_http_version 1.1; {lines} proxy_pass http://127.0.0.1:{to}; }} }}"
        ))
    };
    let pair = "proxy_set_header Upgrade websocket; proxy_set_header Connection upgrade;";
    let inner = server(8080, pair, 9000);
    for (lines, verdict) in [
        ("", crate::trace::Verdict::Fails),
        (
            "proxy_set_header Upgrade $http_upgrade;",
            crate::trace::Verdict::Opens,
        ),
    ] {
        let outer = server(80, lines, 8080);
        let files = [
            ("outer/nginx.conf", outer.as_str()),
            ("inner/nginx.conf", inner.as_str()),
            ("start.sh", "daphne -p 9000 site.asgi:application\n"),
        ];
        with(&files, |cx| {
            let target = crate::trace::Target::parse("ws://localhost/ws/news/").expect("a URL");
            let ways = crate::trace::trace(cx, &target, None);
            assert_eq!(ways[0].verdict(), verdict, "{lines}");
        });
    }
}

/// The rules that a project with this `asgi.py` and these other files breaks.
fn routed(asgi: &str, others: &[(&str, &str)]) -> Vec<String> {
    let own = crate::stack::tests::django("");
    let own = own.iter().filter(|(path, _)| !path.ends_with("asgi.py"));
    let own = own.map(|(path, text)| (path.as_str(), text.as_str()));
    let files = own.chain([("site/asgi.py", asgi)]);
    let project = Project::in_memory(files.chain(others.iter().copied())).expect("valid");
    let found = check(&project, &Selection::default()).findings;
    found
        .iter()
        .map(|finding| finding.rule.to_string())
        .collect()
}

#[test]
fn two_ports_of_one_application_are_its_own() {
    let routing = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.core.asgi import get_asgi_application\nfrom django.urls import path\nhttp = get_asgi_application()\nfrom news.consumers import News\napplication = ProtocolTypeRouter({'http': http, 'websocket': URLRouter([path('live', News.as_asgi())])})\n";
    let nginx = conf(&format!(
        "upstream app {{ server 127.0.0.1:9000; server 127.0.0.1:9001; }}\nserver {{ listen 80; server_name a.example; location /live/ {{ {UPGRADE} proxy_pass http://app; }} }}"
    ));
    let start = "daphne -p 9000 site.asgi:application &\ndaphne -p 9001 site.asgi:application\n";
    let files = [("nginx.conf", nginx.as_str()), ("start.sh", start)];
    assert_eq!(routed(routing, &files), ["nginx/trailing-slash-redirect"]);
}

#[test]
fn another_routes_own_block_is_no_way_for_this_one() {
    let asgi = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.core.asgi import get_asgi_application\nfrom django.urls import path\nhttp = get_asgi_application()\nfrom news.consumers import News\napplication = ProtocolTypeRouter({'http': http, 'websocket': URLRouter([path('ws/news/', News.as_asgi()), path('app/live/', News.as_asgi())])})\n";
    let caddy = "http://a.example {\n\thandle /app/live/ {\n\t\treverse_proxy 127.0.0.1:9000\n\t}\n\thandle {\n\t\trespond 404\n\t}\n}\n";
    let start = "daphne -p 9000 site.asgi:application\n";
    let files = [("Caddyfile", caddy), ("start.sh", start)];
    assert_eq!(routed(asgi, &files), ["stack/route-not-forwarded"]);
}

#[test]
fn a_root_path_that_channels_may_take_off_is_no_error() {
    let asgi = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom channels.security.websocket import AllowedHostsOriginValidator\nfrom django.core.asgi import get_asgi_application\nfrom django.urls import re_path\nhttp = get_asgi_application()\nfrom news.consumers import News\napplication = ProtocolTypeRouter({'http': http, 'websocket': AllowedHostsOriginValidator(URLRouter([re_path('^ws/news/$', News.as_asgi())]))})\n";
    let caddy = ":80 {\n\thandle /app/ws/* {\n\t\treverse_proxy 127.0.0.1:9000\n\t}\n}\n";
    let of_other_hosts = format!("{SETTINGS}\nALLOWED_HOSTS = ['www.example.com']\n");
    let requirements = "channels==4.2.0\ndaphne==4.1.0\n";
    for (root, settings, requirements, expected) in [
        ("--root-path /app", SETTINGS, "", [].as_slice()),
        // What is refused there for its Origin got there.
        ("--root-path /app", &of_other_hosts, requirements, &[]),
        ("", SETTINGS, "", &["stack/route-not-forwarded"]),
    ] {
        let start = format!("daphne -p 9000 {root} site.asgi:application\n");
        let files = [
            ("site/settings.py", settings),
            ("requirements.txt", requirements),
            ("site/asgi.py", asgi),
            ("Caddyfile", caddy),
            ("start.sh", start.as_str()),
        ];
        assert_eq!(errors(&files), expected, "{root}");
    }
}

#[test]
fn what_an_application_refuses_in_http_1_0_is_not_lost_for_that() {
    let asgi = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom channels.security.websocket import OriginValidator\nfrom django.core.asgi import get_asgi_application\nfrom django.urls import path\nhttp = get_asgi_application()\nfrom news.consumers import News\napplication = ProtocolTypeRouter({'http': http, 'websocket': OriginValidator(URLRouter([path('ws/news/', News.as_asgi())]), ['chat.example.com'])})\n";
    let upgrade = UPGRADE.replace("proxy_http_version 1.1;", "");
    let nginx = conf(&format!(
        "server {{ listen 80; location / {{ {upgrade} proxy_pass http://127.0.0.1:9000; }} }}"
    ));
    let files = [
        ("site/asgi.py", asgi),
        ("nginx.conf", nginx.as_str()),
        ("start.sh", "daphne -p 9000 site.asgi:application\n"),
    ];
    assert!(!errors(&files).contains(&"stack/route-not-forwarded".to_owned()));
    with(&files, |cx| {
        let target = crate::trace::Target::parse("ws://localhost/ws/news/").expect("a URL");
        let ways = crate::trace::trace(cx, &target, None);
        let run = &ways[0].runs[0];
        assert_eq!((run.lost_at, run.status), (Some(1), Some(403)));
    });
}

#[test]
fn what_the_next_proxy_makes_good_is_no_loss() {
    let server = |port: u16, lines: &str, to: u16| {
        conf(&format!(
            "server {{ listen {port}; location / {{ {lines} proxy_pass http://127.0.0.1:{to}; }} }}"
        ))
    };
    let broken = UPGRADE.replace("Connection upgrade", "Connection \"\"");
    let old = UPGRADE.replace("1.1", "1.0");
    let start = ("start.sh", "daphne -p 9000 site.asgi:application\n");
    let outer = server(80, &broken, 8080);
    for (inner, expected) in [
        (UPGRADE, [].as_slice()),
        // It mends nothing.
        (
            "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;",
            &["nginx/upgrade-half-forwarded", "nginx/connection-value"],
        ),
        (
            &broken,
            &["nginx/connection-value", "nginx/connection-value"],
        ),
        (&old, &[]),
    ] {
        let inner = server(8080, inner, 9000);
        let files = [
            ("outer/nginx.conf", outer.as_str()),
            ("inner/nginx.conf", inner.as_str()),
            start,
        ];
        assert_eq!(errors(&files), expected, "{inner}");
    }
}

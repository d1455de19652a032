//! `wslint trace`: the verdict, the status and the way, as the contract has them.

mod support;

use serde_json::{Value, json};
use support::{Said, folder, repository, validate, wslint, wslint_with};

/// An nginx that proxies `/ws/` to the project's own daphne, and redirects port 80.
const NGINX: &str = "\
events {}
http {
  server { listen 80; server_name a.example; return 301 https://$host$request_uri; }
  server {
    listen 443 ssl;
    server_name a.example;
    location /ws/ {
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection \"upgrade\";
      proxy_pass http://127.0.0.1:8000;
    }
    location /plain/ { proxy_pass http://127.0.0.1:8000; }
    location /other/ { proxy_pass http://elsewhere:9000; }
    location /firefox/ {
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection;
      proxy_pass http://elsewhere:9000;
    }
  }
  map $http_connection $connection { Upgrade upgrade; default close; }
}
";

const ASGI: &str = "\
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path
from chat import Chat
application = ProtocolTypeRouter({'websocket': URLRouter([path('ws/chat/', Chat.as_asgi())])})
";

const CHAT: &str = "\
from channels.generic.websocket import WebsocketConsumer
class Chat(WebsocketConsumer): pass
";

/// A proxy and its application in one repository.
fn stack() -> tempfile::TempDir {
    folder(&[
        ("nginx.conf", NGINX),
        (
            "p/settings.py",
            "ROOT_URLCONF = 'p.urls'\nINSTALLED_APPS = ['channels']\n",
        ),
        ("p/asgi.py", ASGI),
        ("chat.py", CHAT),
        ("manage.py", "DJANGO_SETTINGS_MODULE = 'p.settings'\n"),
        (
            "Procfile",
            "web: daphne -b 127.0.0.1 -p 8000 p.asgi:application\n",
        ),
    ])
}

fn traced(folder: &std::path::Path, target: &str) -> (Said, Value) {
    let said = wslint(folder, &["trace", "--format", "json", target]);
    validate(&repository().join("schema/trace.schema.json"), &said.stdout);
    let json = said.json();
    let status = match json["verdict"].as_str() {
        Some("opens") => 0,
        _ => 1,
    };
    assert_eq!(said.status, Some(status), "{said:#?}");
    assert_eq!(json["request"]["url"], target);
    (said, json)
}

fn layers(json: &Value) -> Vec<&str> {
    let hops = json["hops"].as_array().expect("hops");
    hops.iter()
        .filter_map(|hop| hop["layer"].as_str())
        .collect()
}

#[test]
fn a_handshake_is_followed_to_the_application() {
    let stack = stack();
    let (_, json) = traced(stack.path(), "wss://a.example/ws/chat/?room=1");
    assert_eq!(
        (&json["verdict"], &json["status"]),
        (&json!("opens"), &json!(101)),
        "{json:#}"
    );
    assert_eq!(layers(&json), ["nginx", "django"]);
    let nginx = &json["hops"][0];
    assert_eq!(nginx["file"], "nginx.conf");
    assert_eq!(nginx["outcome"], "forwards");
    assert_eq!(nginx["to"], "http://127.0.0.1:8000/ws/chat/?room=1");
    assert_eq!(nginx["headers"]["upgrade"], "websocket");
    assert_eq!(nginx["rule"], Value::Null);
    assert_eq!(json["hops"][1]["status"], 101);
    assert_eq!(json.get("clients"), None);
}

#[test]
fn what_the_application_or_the_proxy_answers_is_what_the_client_sees() {
    let stack = stack();
    for (url, status, layers_of) in [
        (
            "wss://a.example/ws/nowhere/",
            json!(500),
            &["nginx", "django"][..],
        ),
        ("ws://a.example/ws/chat/", json!(301), &["nginx"]),
        ("wss://a.example/nothing", json!(404), &["nginx"]),
    ] {
        let (_, json) = traced(stack.path(), url);
        assert_eq!(json["verdict"], "fails", "{json:#}");
        assert_eq!(json["status"], status, "{json:#}");
        assert_eq!(layers(&json), layers_of, "{json:#}");
    }
}

#[test]
fn an_error_page_for_the_applications_refusal_is_what_the_client_sees() {
    let stack = stack();
    let intercepts = NGINX.replace(
        "    location /ws/ {\n",
        "    proxy_intercept_errors on;\n    error_page 500 =200 /sorry.html;\n    location /sorry.html { root /srv; }\n    location /ws/ {\n",
    );
    assert_ne!(intercepts, NGINX);
    std::fs::write(stack.path().join("nginx.conf"), intercepts).expect("writable");
    let (_, json) = traced(stack.path(), "wss://a.example/ws/nowhere/");
    assert_eq!(
        (&json["verdict"], &json["status"]),
        (&json!("fails"), &json!(200)),
        "{json:#}"
    );
    assert_eq!(layers(&json), ["nginx", "django"]);
}

#[test]
fn the_status_that_an_error_page_keeps_takes_the_place_of_the_applications() {
    let stack = stack();
    let django = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://127.0.0.1:8000;";
    for (lines, status) in [
        // No file, and what answers in its place is refused.
        (
            "location /late/ { root /srv; error_page 404 =202 @late; }",
            202,
        ),
        ("location /late/ { root /srv; error_page 404 @late; }", 404),
        (
            "location /late/ { root /srv; error_page 404 = @late; }",
            500,
        ),
        // A page that is asked for where the refusal came from, and refused as well.
        (
            "proxy_intercept_errors on; error_page 500 =202 /late/page; location /late/ { DJANGO }",
            500,
        ),
        // Its own refusal has another status than those that have pages.
        (
            "location /late/ { proxy_intercept_errors on; error_page 500 =202 @late; DJANGO }",
            202,
        ),
    ] {
        let lines = format!("{lines} location @late {{ {django} }}").replace("DJANGO", django);
        let with = NGINX.replace(
            "    location /ws/ {\n",
            &format!("    {lines}\n    location /ws/ {{\n"),
        );
        assert_ne!(with, NGINX);
        std::fs::write(stack.path().join("nginx.conf"), with).expect("writable");
        let (_, json) = traced(stack.path(), "wss://a.example/late/chat/");
        assert_eq!(
            (&json["verdict"], &json["status"]),
            (&json!("fails"), &json!(status)),
            "{lines}: {json:#}"
        );
    }
}

#[test]
fn an_upgrade_that_is_stripped_fails_without_a_status_and_names_the_rule() {
    let stack = stack();
    let (_, json) = traced(stack.path(), "wss://a.example/other/");
    assert_eq!(
        (&json["verdict"], &json["status"]),
        (&json!("fails"), &Value::Null)
    );
    let hop = &json["hops"][0];
    assert_eq!(hop["rule"], "nginx/upgrade-not-forwarded", "{json:#}");
    assert_eq!(hop["headers"].get("upgrade"), None);
}

#[test]
fn where_browsers_differ_both_are_told() {
    let stack = stack();
    let (_, json) = traced(stack.path(), "wss://a.example/firefox/");
    assert_eq!(json["verdict"], "fails", "{json:#}");
    assert_eq!(
        json["clients"],
        json!({"chrome": "opens", "firefox": "fails"})
    );
}

#[test]
fn an_edge_is_a_hop_that_ends_tls() {
    let edge = "[edge]\nkind = \"alb\"\n";
    let redirects = folder(&[("nginx.conf", NGINX), ("wslint.toml", edge)]);
    let (_, json) = traced(redirects.path(), "wss://a.example/ws/");
    assert_eq!(json["status"], 301, "{json:#}");
    assert_eq!(layers(&json), ["edge", "nginx"]);
    let edge = &json["hops"][0];
    assert_eq!(edge["to"], "http://a.example/ws/");
    assert_eq!(edge["headers"]["x-forwarded-proto"], "https");
    assert_eq!(edge["file"], "wslint.toml");
}

#[test]
fn an_edge_and_the_server_behind_it_speak_the_same() {
    let caddy = ("Caddyfile", ":80 {\n\treverse_proxy app.example:8000\n}\n");
    for (edge, verdict) in [
        ("kind = \"alb\"", "opens"),
        ("kind = \"cloudflare-flexible\"", "opens"),
        ("kind = \"cloudflare\"", "fails"),
        ("kind = \"cloudflare\"\ntls = false", "opens"),
        ("kind = \"alb\"\ntls = true", "fails"),
    ] {
        let toml = format!("[edge]\n{edge}\n");
        let folder = folder(&[caddy, ("wslint.toml", &toml)]);
        let (_, json) = traced(folder.path(), "wss://a.example/ws/");
        assert_eq!(json["verdict"], verdict, "{edge}: {json:#}");
        assert_eq!(layers(&json), ["edge", "caddy"]);
    }
    // What listens elsewhere has something before it that is not in the files.
    let toml = ("wslint.toml", "[edge]\nkind = \"cloudflare\"\n");
    let caddy = (caddy.0, ":8080 {\n\treverse_proxy app.example:8000\n}\n");
    let folder = folder(&[caddy, toml]);
    let (_, json) = traced(folder.path(), "wss://a.example/ws/");
    assert_eq!(json["verdict"], "opens", "{json:#}");
}

#[test]
fn without_an_edge_nobody_ends_the_clients_tls() {
    let caddy = |address: &str| format!("{address} {{\n\treverse_proxy app.example:8000\n}}\n");
    let nginx = |listen: &str| {
        let pair = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
        format!(
            "events {{}}\nhttp {{ server {{ listen {listen}; server_name a.example; proxy_http_version 1.1; {pair} location / {{ proxy_pass http://app.example:8000; }} }} }}\n"
        )
    };
    let none = "[edge]\nkind = \"none\"\n";
    for (file, text, toml, url, verdict) in [
        (
            "Caddyfile",
            caddy(":80"),
            none,
            "wss://a.example/ws/",
            "fails",
        ),
        (
            "Caddyfile",
            caddy(":8080"),
            none,
            "wss://a.example/ws/",
            "fails",
        ),
        (
            "Caddyfile",
            caddy("a.example"),
            none,
            "wss://a.example/ws/",
            "opens",
        ),
        (
            "Caddyfile",
            caddy(":80"),
            none,
            "ws://a.example/ws/",
            "opens",
        ),
        (
            "Caddyfile",
            caddy(":80"),
            "",
            "wss://a.example/ws/",
            "opens",
        ),
        (
            "nginx.conf",
            nginx("80"),
            none,
            "wss://a.example/ws/",
            "fails",
        ),
        (
            "nginx.conf",
            nginx("443 ssl"),
            none,
            "wss://a.example/ws/",
            "opens",
        ),
        (
            "nginx.conf",
            nginx("80"),
            none,
            "ws://a.example/ws/",
            "opens",
        ),
        (
            "nginx.conf",
            nginx("80"),
            "",
            "wss://a.example/ws/",
            "opens",
        ),
    ] {
        let folder = folder(&[(file, &text), ("wslint.toml", toml)]);
        let (_, json) = traced(folder.path(), url);
        assert_eq!(json["verdict"], verdict, "{text} {toml} {url}: {json:#}");
        if verdict == "fails" {
            assert_eq!(json["status"], Value::Null, "{json:#}");
            let because = json["hops"][0]["because"].to_string();
            assert!(because.contains("nobody ends its TLS"), "{because}");
        }
    }
}

#[test]
fn a_path_is_asked_of_every_server() {
    let stack = stack();
    let (_, json) = traced(stack.path(), "/ws/chat/");
    assert_eq!(json["verdict"], "opens", "{json:#}");
    let because = json["hops"][0]["because"].to_string();
    assert!(because.contains("one of 2 ways in"), "{because}");
    let (_, json) = traced(stack.path(), "/plain/");
    assert_eq!(json["verdict"], "fails", "{json:#}");
}

#[test]
fn upstreams_that_differ_are_told() {
    let caddy = "a.example {\n\treverse_proxy localhost:8001 localhost:8002\n}\n:8001 {\n\trespond 403\n}\n";
    let folder = folder(&[("Caddyfile", caddy)]);
    let (_, json) = traced(folder.path(), "wss://a.example/ws");
    assert_eq!(
        (&json["verdict"], &json["status"]),
        (&json!("fails"), &json!(403)),
        "{json:#}"
    );
    let because = json["hops"][0]["because"].to_string();
    assert!(because.contains("1 of 2 upstreams"), "{because}");
    assert_eq!(json["hops"][0]["to"], "http://localhost:8001/ws");
}

#[test]
fn a_process_has_its_ports_to_itself() {
    for (upstream, status) in [("127.0.0.1:80", 308), ("127.0.0.1:443", 400)] {
        let caddy = format!("a.example {{\n\treverse_proxy {upstream}\n}}\n");
        let folder = folder(&[("Caddyfile", &caddy)]);
        let (_, json) = traced(folder.path(), "wss://a.example/ws");
        assert_eq!(
            (&json["verdict"], &json["status"]),
            (&json!("fails"), &json!(status)),
            "{upstream}: {json:#}"
        );
        assert_eq!(layers(&json), ["caddy", "caddy"]);
    }
}

#[test]
fn a_101_that_is_no_switch_never_leaves_the_caddy_before() {
    // Each was asked of Caddy 2.11: it passes on what still says `Upgrade: websocket`.
    for (line, status) in [
        ("header -Connection", 200),
        ("header -Upgrade", 200),
        ("header >Upgrade h2c", 200),
        ("header Upgrade h2c", 200),
        ("header Upgrade websocket", 101),
        // A browser takes it, and Go drops a Connection that says so.
        ("header Connection close", 200),
        ("header >Connection \"close, Upgrade\"", 200),
    ] {
        let caddy = format!(
            ":80 {{\n\treverse_proxy 127.0.0.1:8080\n}}\n:8080 {{\n\t{line}\n\treverse_proxy 127.0.0.1:8000\n}}\n"
        );
        let folder = folder(&[("Caddyfile", &caddy)]);
        let (_, json) = traced(folder.path(), "ws://a.example/ws");
        assert_eq!(
            (&json["verdict"], &json["status"]),
            (&json!("fails"), &json!(status)),
            "{line}: {json:#}"
        );
    }
}

#[test]
fn a_connection_that_closes_opens_for_a_browser() {
    let caddy = ":80 {\n\theader Connection close\n\treverse_proxy 127.0.0.1:8000\n}\n";
    let folder = folder(&[("Caddyfile", caddy)]);
    let (_, json) = traced(folder.path(), "ws://a.example/ws");
    assert_eq!(json["verdict"], "opens", "{json:#}");
}

#[test]
fn what_a_caddyfile_imports_is_caddys_whatever_its_name() {
    let site = "chat.example {\n\treverse_proxy /ws app:8000\n}\n";
    let folder = folder(&[
        ("caddy/Caddyfile", "import sites-enabled/*\n"),
        ("caddy/sites-enabled/chat.conf", site),
    ]);
    let (_, json) = traced(folder.path(), "wss://chat.example/ws");
    assert_eq!(json["verdict"], "opens", "{json:#}");
}

#[test]
fn an_empty_answer_is_one_to_handle() {
    let caddy = ":80 {\n\treverse_proxy 127.0.0.1:8080 {\n\t\thandle_response {\n\t\t\trespond x 202\n\t\t}\n\t}\n}\nhttp://b.example:8080 {\n\treverse_proxy 127.0.0.1:8000\n}\n";
    let folder = folder(&[("Caddyfile", caddy)]);
    let (_, json) = traced(folder.path(), "ws://a.example/ws");
    assert_eq!(
        (&json["verdict"], &json["status"]),
        (&json!("fails"), &json!(202)),
        "{json:#}"
    );
}

#[test]
fn a_circle_ends() {
    let caddy = ":8001 {\n\treverse_proxy localhost:8001\n}\n";
    let folder = folder(&[("Caddyfile", caddy)]);
    let (_, json) = traced(folder.path(), "ws://localhost:8001/ws");
    assert_eq!(
        (&json["verdict"], &json["status"]),
        (&json!("fails"), &Value::Null),
        "{json:#}"
    );
}

#[test]
fn a_port_that_a_template_supplies_is_reached_over_tls_as_well() {
    let site = "server { listen ${PORT}; location /ws/ { proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_pass http://elsewhere:9000; } }";
    let template = folder(&[("default.conf.template", site)]);
    for url in [
        "ws://a.example/ws/",
        "wss://a.example/ws/",
        "ws://a.example:9000/ws/",
    ] {
        let (_, json) = traced(template.path(), url);
        assert_eq!(json["verdict"], "opens", "{url}: {json:#}");
    }
}

#[test]
fn nothing_that_receives_is_undecided() {
    for (files, word) in [
        (&[("README.md", "x")][..], "no nginx, Caddy or Django file"),
        (
            &[("requirements.txt", "channels\n")],
            "nothing in this project receives it",
        ),
    ] {
        let folder = folder(files);
        let (said, json) = traced(folder.path(), "wss://a.example/ws");
        assert_eq!(json["verdict"], "undecided");
        assert_eq!(json["hops"], json!([]));
        assert!(said.stderr.contains(word), "{said:#?}");
    }
}

#[test]
fn what_is_no_websocket_url_or_path_is_2() {
    let folder = stack();
    for arguments in [
        &["trace"][..],
        &["trace", "https://a.example/ws"],
        &["trace", "ws"],
        &["trace", "/ws", "missing"],
        &["trace", "/ws", "-"],
        &["trace", "/ws", "--config", "missing.toml"],
    ] {
        let said = wslint(folder.path(), arguments);
        assert_eq!(said.status, Some(2), "{arguments:?}: {said:#?}");
        assert_eq!(said.stdout, "");
        assert!(!said.stderr.is_empty());
    }
}

#[test]
fn stdin_is_traced_in_its_place() {
    let stack = stack();
    let text = NGINX.replace("proxy_set_header Upgrade $http_upgrade;\n", "\n");
    let arguments = [
        "trace",
        "--format",
        "json",
        "wss://a.example/ws/chat/",
        "--stdin-filename",
        "nginx.conf",
        "-",
    ];
    let said = wslint_with(stack.path(), &arguments, text.as_bytes());
    assert_eq!(said.json()["verdict"], "fails", "{said:#?}");
}

#[test]
fn the_story_is_told_with_lines() {
    let stack = stack();
    let said = wslint(stack.path(), &["trace", "wss://a.example/other/"]);
    assert_eq!(said.status, Some(1));
    for needed in [
        "wss://a.example/other/  Chrome and Firefox",
        "1. nginx  nginx.conf:14",
        "location /other/ { proxy_pass http://elsewhere:9000; }",
        "GET /other/ HTTP/1.",
        "Upgrade: (gone)",
        "lost here:",
        "`wslint explain nginx/upgrade-not-forwarded`",
        "close code 1006",
    ] {
        assert!(
            said.stdout.contains(needed),
            "no {needed} in\n{}",
            said.stdout
        );
    }
    let colored = wslint(stack.path(), &["trace", "--color", "always", "/ws/chat/"]);
    assert!(
        colored.stdout.contains("\u{1b}[1;32mopens"),
        "{}",
        colored.stdout
    );
}

#[test]
fn the_308_incident_is_traced_to_the_machine_that_answers() {
    let broken = "tests/incidents/308-balancer/broken";
    let said = wslint(
        repository(),
        &[
            "trace",
            "--format",
            "json",
            "wss://inscribe.example.com/ws/",
            broken,
        ],
    );
    let json = said.json();
    assert_eq!(
        (&json["verdict"], &json["status"]),
        (&json!("fails"), &json!(308)),
        "{json:#}"
    );
    assert_eq!(layers(&json), ["edge", "caddy", "caddy"]);
    assert_eq!(json["hops"][1]["to"], "http://inscribe-1.example.com/ws/");
    assert_eq!(json["hops"][2]["rule"], "caddy/plain-http-upstream");
}

#[test]
fn the_308_incident_is_over_once_each_machine_is_asked_by_its_name() {
    let repaired = "tests/incidents/308-balancer/repaired";
    let said = wslint(
        repository(),
        &[
            "trace",
            "--format",
            "json",
            "wss://inscribe.example.com/ws/",
            repaired,
        ],
    );
    let json = said.json();
    assert_eq!(json["verdict"], "opens", "{json:#}");
    assert_eq!(layers(&json), ["edge", "caddy", "caddy"]);
}

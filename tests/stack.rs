//! Contracts across files, from outside: which given file brings a finding up, what is left of a
//! stack when files are missing or broken, and ports that containers publish.

mod support;

use serde_json::{Value, json};
use support::{folder, wslint};
use wslint::check::{Outcome, Selection, check_resolved};
use wslint::context::Context;
use wslint::project::Project;
use wslint::rule::Severity;
use wslint::trace::{Target, Verdict, trace};

const COMPOSE: &str = "\
services:
  front:
    image: nginx
    ports: ['8443:443']
    volumes: ['./nginx.conf:/etc/nginx/nginx.conf:ro']
  web:
    build: .
    command: daphne -b 0.0.0.0 -p 8000 market.asgi:application
";

const NGINX: &str = "\
events {}
http {
    server {
        listen 443 ssl;
        server_name market.example.com;
        ssl_certificate /etc/ssl/market.pem;
        ssl_certificate_key /etc/ssl/market.key;
        location / {
            proxy_pass http://web:8000;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection \"upgrade\";
            proxy_set_header Host $host;
        }
    }
}
";

const SETTINGS: &str = "\
SECRET_KEY = 'example'
ALLOWED_HOSTS = ['market.example.com']
ROOT_URLCONF = 'market.urls'
INSTALLED_APPS = ['channels']
";

const ASGI: &str = "\
import os
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'market.settings')
http = get_asgi_application()
from market.routing import websocket_urlpatterns
application = ProtocolTypeRouter({
    'http': http,
    'websocket': URLRouter(websocket_urlpatterns),
})
";

const ROUTING: &str = "\
from django.urls import path
from market.consumers import Prices
websocket_urlpatterns = [
    path('ws/prices/', Prices.as_asgi()),
]
";

const CONSUMERS: &str = "\
from channels.generic.websocket import WebsocketConsumer
class Prices(WebsocketConsumer): pass
";

/// One whole stack, in which the socket opens.
const STACK: &[(&str, &str)] = &[
    ("compose.yaml", COMPOSE),
    ("nginx.conf", NGINX),
    ("market/settings.py", SETTINGS),
    ("market/urls.py", "urlpatterns = []\n"),
    ("market/asgi.py", ASGI),
    ("market/routing.py", ROUTING),
    ("market/consumers.py", CONSUMERS),
];

/// nginx as it is right for pages alone.
fn pages_only() -> String {
    let lines = NGINX.lines().filter(|line| {
        let is_of_upgrade = line.contains("Upgrade") || line.contains("Connection");
        !is_of_upgrade && !line.contains("http_version")
    });
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_finding_across_files_is_reported_for_each_file_that_it_labels() {
    let nginx = pages_only();
    let other = "events {}\nhttp { server { listen 8081; location / { root /srv/www; } } }\n";
    let mut files = STACK.to_vec();
    files[1].1 = &nginx;
    files.extend([("other/nginx.conf", other), ("wslint.toml", "")]);
    let folder = folder(&files);
    let line = 1 + nginx
        .lines()
        .position(|line| line.contains("proxy_pass"))
        .expect("written");
    let expected = vec![(
        format!("nginx.conf:{line}"),
        "stack/route-not-forwarded".to_owned(),
    )];
    for (given, found) in [
        (".", true),
        ("nginx.conf", true),
        ("market/routing.py", true),
        ("other/nginx.conf", false),
        ("market/urls.py", false),
        ("market/settings.py", false),
    ] {
        let said = wslint(folder.path(), &["check", "--format", "json", given]);
        let places = said.places();
        match found {
            // What one would change is in nginx, whichever file was given.
            true => assert_eq!(places, expected, "{given}: {said:#?}"),
            false => assert_eq!(places, [], "{given}: {said:#?}"),
        }
        assert_eq!(said.status, Some(i32::from(found)), "{given}: {said:#?}");
    }
}

/// What is checked of a project of `files`, and what becomes of a handshake for its route: on the
/// ways that lead to the application, and on those that a URL takes.
fn judged(files: &[(&str, &str)]) -> (Outcome, Vec<Verdict>) {
    let project = Project::in_memory(files.iter().copied()).expect("valid");
    let cx = Context::resolve(&project);
    let target = Target::parse("wss://market.example.com:8443/ws/prices/").expect("a URL");
    let mut verdicts: Vec<Verdict> = trace(&cx, &target, None)
        .iter()
        .map(wslint::trace::Way::verdict)
        .collect();
    verdicts.extend(cx.ways().iter().map(|traced| traced.way.verdict()));
    (check_resolved(&cx, &Selection::default()), verdicts)
}

fn errors(outcome: &Outcome) -> Vec<(&str, &str)> {
    let errors = outcome.findings.iter();
    errors
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| (&*finding.rule, finding.message.as_str()))
        .collect()
}

#[test]
fn whatever_files_are_missing_the_rest_is_joined_or_undecided() {
    let (outcome, verdicts) = judged(STACK);
    assert_eq!(errors(&outcome), []);
    assert_eq!(verdicts, [Verdict::Opens; 2]);
    for kept in 0..1_u32 << STACK.len() {
        let files: Vec<_> = STACK
            .iter()
            .enumerate()
            .filter(|(index, _)| kept & (1 << index) != 0)
            .map(|(_, file)| *file)
            .collect();
        let names: Vec<_> = files.iter().map(|(name, _)| *name).collect();
        let (outcome, verdicts) = judged(&files);
        assert_eq!(errors(&outcome), [], "{names:?}");
        assert!(
            !verdicts.contains(&Verdict::Fails),
            "{names:?}: {verdicts:?}"
        );
        // The proxy and the whole application find each other without the compose file too.
        if names.len() >= STACK.len() - 1 && !names.contains(&"compose.yaml") {
            assert_eq!(verdicts, [Verdict::Opens; 2], "{names:?}");
        }
    }
}

#[test]
fn the_port_of_a_url_is_the_one_that_a_container_publishes() {
    let traced = |files: &[(&str, &str)], url: &str| -> Value {
        wslint(folder(files).path(), &["trace", "--format", "json", url]).json()
    };
    let url = "wss://market.example.com:8443/ws/prices/";
    let layers = |json: &Value| -> Vec<String> {
        let hops = json["hops"].as_array().cloned().unwrap_or_default();
        hops.iter()
            .map(|hop| format!("{} {}", hop["layer"], hop["file"]).replace('"', ""))
            .collect()
    };
    for ports in [
        "['8443:443']",
        "['127.0.0.1:8443:443/tcp']",
        "[{published: '8443', target: 443}]",
        "\n      - 8443:443",
    ] {
        let compose = COMPOSE.replace("['8443:443']", ports);
        let mut files = STACK.to_vec();
        files[0].1 = &compose;
        let json = traced(&files, url);
        assert_eq!(json["verdict"], "opens", "{ports}: {json:#}");
        assert_eq!(
            layers(&json),
            ["nginx nginx.conf", "django compose.yaml"],
            "{ports}: {json:#}"
        );
    }
    // Of two proxies that listen on one port and take one name, the published port chooses.
    let both = format!(
        "{COMPOSE}  pages:\n    image: nginx\n    ports: ['9443:443']\n    volumes: ['./pages.conf:/etc/nginx/nginx.conf:ro']\n"
    );
    let pages = "events {}\nhttp { server { listen 443 ssl; server_name market.example.com; return 403; } }\n";
    let mut files = STACK.to_vec();
    files[0].1 = &both;
    files.push(("pages.conf", pages));
    let json = traced(&files, url);
    assert_eq!(json["status"], json!(101), "{json:#}");
    let json = traced(&files, &url.replace("8443", "9443"));
    assert_eq!(json["status"], json!(403), "{json:#}");
    assert_eq!(layers(&json), ["nginx pages.conf"]);
}

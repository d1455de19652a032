//! Joints, and the ways through them, on projects in memory.

use super::Traced;
use crate::context::Context;
use crate::project::Project;
use crate::trace::{Run, Step};

pub(super) const ASGI: &str = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.core.asgi import get_asgi_application\nfrom django.urls import path\nhttp = get_asgi_application()\nfrom news.consumers import News\napplication = ProtocolTypeRouter({'http': http, 'websocket': URLRouter([path('ws/news/', News.as_asgi())])})\n";
pub(super) const NEWS: &str = "from channels.generic.websocket import WebsocketConsumer\nclass News(WebsocketConsumer): pass\n";
pub(super) const SETTINGS: &str =
    "ROOT_URLCONF = 'site.urls'\nINSTALLED_APPS = ['channels']\nALLOWED_HOSTS = ['*']\n";
pub(super) const UPGRADE: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";

/// A Django project in `folder`.
pub(super) fn django(folder: &str) -> Vec<(String, String)> {
    let at = |name: &str| format!("{folder}{name}");
    vec![
        (
            at("manage.py"),
            "os.environ['DJANGO_SETTINGS_MODULE'] = 'site.settings'\n".into(),
        ),
        (at("site/settings.py"), SETTINGS.into()),
        (at("site/asgi.py"), ASGI.into()),
        (at("news/consumers.py"), NEWS.into()),
    ]
}

pub(super) fn conf(body: &str) -> String {
    format!("events {{}}\nhttp {{\n{body}\n}}\n")
}

/// What `look` makes of the project of `files`, with a Django project at its root.
pub(super) fn with<T>(files: &[(&str, &str)], look: impl FnOnce(&Context<'_>) -> T) -> T {
    let django = django("");
    let django = django
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()));
    let project = Project::in_memory(files.iter().copied().chain(django)).expect("valid");
    look(&Context::resolve(&project))
}

fn shown(run: &Run) -> String {
    let mut layers: Vec<String> = run
        .steps
        .iter()
        .map(|step: &Step| format!("{}:{}", step.layer, step.arrived.port))
        .collect();
    layers.push(run.verdict.name().to_owned());
    layers.extend(run.status.map(|status| status.to_string()));
    layers.join(" ")
}

/// The ways, as the hops with the port at which each is reached.
fn ways(files: &[(&str, &str)]) -> Vec<String> {
    with(files, |cx| {
        let ways = cx.ways().iter();
        ways.map(|traced: &Traced| shown(traced.way.decisive()))
            .collect()
    })
}

#[test]
fn hops_are_joined_by_what_the_files_say() {
    let nginx = |to: &str| {
        conf(&format!(
            "server {{ listen 80; location / {{ {UPGRADE} proxy_pass {to}; }} }}"
        ))
    };
    let caddy = |to: &str| format!(":80 {{\n\treverse_proxy {to}\n}}\n");
    let daphne = |bind: &str| format!("web: daphne {bind} site.asgi:application\n");
    let compose = |command: &str| {
        format!(
            "services:\n  front:\n    image: nginx\n    ports: ['8080:80']\n    volumes: ['./nginx.conf:/etc/nginx/nginx.conf']\n  web:\n    container_name: the-app\n    build: .\n    networks: {{default: {{aliases: [api]}}}}\n    command: {command}\n  redis:\n    image: redis\n"
        )
    };
    let served = compose("daphne -b 0.0.0.0 -p 9000 site.asgi:application");
    for (files, expected) in [
        // A compose service by its name, its container's name, an alias.
        (vec![("nginx.conf", nginx("http://web:9000")), ("docker-compose.yml", served.clone())], "nginx:80 django:9000 opens 101"),
        (vec![("nginx.conf", nginx("http://the-app:9000")), ("docker-compose.yml", served.clone())], "nginx:80 django:9000 opens 101"),
        (vec![("nginx.conf", nginx("http://api:9000")), ("docker-compose.yml", served.clone())], "nginx:80 django:9000 opens 101"),
        (vec![("Caddyfile", caddy("web:9000")), ("docker-compose.yml", served.clone())], "caddy:80 django:9000 opens 101"),
        // A service that the files say runs something else, and a port where nobody listens.
        (vec![("nginx.conf", nginx("http://redis:9000")), ("docker-compose.yml", served.clone())], ""),
        (vec![("nginx.conf", nginx("http://web:9001")), ("docker-compose.yml", served.clone())], ""),
        // Another service of a name that nobody has.
        (vec![("nginx.conf", nginx("http://other:9000")), ("docker-compose.yml", served.clone())], "nginx:80 django:9000 opens 101"),
        // Commands in a Dockerfile, in a script that it starts, in a list.
        (vec![("nginx.conf", nginx("http://web:9000")), ("docker-compose.yml", compose("").replace("    command: \n", "")), ("Dockerfile", "FROM python\nCMD [\"daphne\", \"-p\", \"9000\", \"site.asgi:application\"]\n".into())], "nginx:80 django:9000 opens 101"),
        (vec![("nginx.conf", nginx("http://web:9000")), ("docker-compose.yml", compose("").replace("    command: \n", "")), ("Dockerfile", "FROM python\nCOPY ops/start.sh /start\nCMD /start\n".into()), ("ops/start.sh", "exec daphne -p 9000 site.asgi:application\n".into())], "nginx:80 django:9000 opens 101"),
        (vec![("nginx.conf", nginx("http://web:9000")), ("docker-compose.yml", compose("[daphne, -p, '9000', 'site.asgi:application']"))], "nginx:80 django:9000 opens 101"),
        (vec![("nginx.conf", nginx("http://web:9000")), ("docker-compose.yml", compose(">\n      daphne\n      -p 9000\n      site.asgi:application"))], "nginx:80 django:9000 opens 101"),
        // A port of this machine: the application's own, or one that a container publishes.
        (vec![("nginx.conf", nginx("http://127.0.0.1:9000")), ("Procfile", daphne("-p 9000"))], "nginx:80 django:9000 opens 101"),
        (vec![("Caddyfile", caddy("localhost:7000")), ("docker-compose.yml", served.replace("    build: .\n", "    build: .\n    ports: ['127.0.0.1:7000:9000']\n"))], "caddy:80 django:9000 opens 101"),
        // Sockets.
        (vec![("nginx.conf", nginx("http://unix:/run/app.sock")), ("Procfile", daphne("-u /run/app.sock"))], "nginx:80 django:80 opens 101"),
        (vec![("Caddyfile", caddy("unix//run/app.sock")), ("Procfile", "web: gunicorn -k uvicorn_worker.UvicornWorker --bind unix:/run/app.sock site.asgi:application\n".into()), ("requirements.txt", "uvicorn[standard]\n".into())], "caddy:80 django:80 opens 101"),
        (vec![("Caddyfile", caddy("unix//run/app.sock")), ("Procfile", "web: uvicorn --uds=/run/app.sock site.asgi:application\n".into()), ("requirements.txt", "uvicorn[standard]\n".into())], "caddy:80 django:80 opens 101"),
        (vec![("Caddyfile", caddy("unix//run/other.sock")), ("Procfile", daphne("-u /run/app.sock"))], ""),
        // The one application behind the one upstream.
        (vec![("nginx.conf", nginx("http://app:8000")), ("start.sh", "daphne site.asgi:application\n".into())], "nginx:80 django:8000 opens 101"),
        // A proxy behind a proxy, by the name of its site and by its service.
        (vec![("nginx.conf", nginx("http://inner.example:81").replace("proxy_pass", "proxy_set_header Host inner.example; proxy_pass")), ("Caddyfile", "http://inner.example:81 {\n\treverse_proxy web:8000\n}\n".into()), ("start.sh", "daphne site.asgi:application\n".into())], "nginx:80 caddy:81 django:8000 opens 101"),
    ] {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        assert_eq!(ways(&files).join("; "), expected, "{files:#?}");
    }
}

#[test]
fn a_balanced_upstream_leads_to_each_of_its_servers() {
    let nginx = conf(&format!(
        "upstream app {{ server web:9000; server legacy:9000; }}\nserver {{ listen 80; location / {{ {UPGRADE} proxy_pass http://app; }} }}"
    ));
    let compose = "services:\n  web:\n    build: .\n    command: daphne -p 9000 site.asgi:application\n  legacy:\n    build: .\n    command: gunicorn -b :9000 site.wsgi\n";
    let files = [
        ("nginx.conf", nginx.as_str()),
        ("compose.yaml", compose),
        (
            "site/wsgi.py",
            "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
        ),
        ("site/urls.py", "urlpatterns = []\n"),
    ];
    // What fails on one of two fails.
    assert_eq!(ways(&files), ["nginx:80 django:9000 fails 404"]);
}

//! Django applications with Channels at random, and the commands that serve them.

use crate::differential::Random;

/// What an application is installed with.
const REQUIREMENTS: &str = include_str!("../servers/django.txt");

const CONSUMERS: &str = "\
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer


class Echo(AsyncWebsocketConsumer):
    async def connect(self):
        await self.accept()

    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=text_data)


class Said(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=f'you said: {text_data}')
";

/// Routes, with what a browser asks for to reach each.
const ROUTES: &[(&str, &[&str])] = &[
    ("path('ws/chat/', Echo.as_asgi())", &["/ws/chat/"]),
    ("path('ws/chat/', Said.as_asgi())", &["/ws/chat/"]),
    ("path('ws/chat', Echo.as_asgi())", &["/ws/chat"]),
    ("path('ws/', Echo.as_asgi())", &["/ws/"]),
    ("path('ws', Echo.as_asgi())", &["/ws"]),
    ("path('ws/<slug:room>/', Echo.as_asgi())", &["/ws/lobby/"]),
    ("path('live/', Echo.as_asgi())", &["/live/"]),
    ("path('app/ws/chat/', Echo.as_asgi())", &["/app/ws/chat/"]),
    ("re_path(r'^ws/chat/$', Said.as_asgi())", &["/ws/chat/"]),
    ("re_path(r'ws/chat/$', Echo.as_asgi())", &["/ws/chat/"]),
    (
        r"re_path(r'^ws/chat/(?P<room>\w+)/$', Echo.as_asgi())",
        &["/ws/chat/lobby/"],
    ),
    (
        r"re_path(r'ws/(?P<room>\w+)/?$', Echo.as_asgi())",
        &["/ws/lobby/"],
    ),
    (
        "path('ws/', URLRouter([path('chat/', Echo.as_asgi()), path('live/', Said.as_asgi())]))",
        &["/ws/chat/", "/ws/live/"],
    ),
    (
        r"path('ws/', URLRouter([re_path(r'^(?P<room>\w+)/$', Echo.as_asgi())]))",
        &["/ws/lobby/"],
    ),
    (
        "re_path(r'^ws/', URLRouter([path('<slug:room>/', Echo.as_asgi())]))",
        &["/ws/lobby/"],
    ),
];

/// An application.
pub(crate) struct Application {
    /// Under its folder.
    pub(crate) files: Vec<(String, String)>,
    /// What is asked for to reach its routes.
    pub(crate) paths: Vec<&'static str>,
}

fn settings(random: &mut Random) -> String {
    let mut text = String::from("SECRET_KEY = 'secret'\nDEBUG = False\n");
    let hosts = random.pick(&[
        "['chat.example.com']",
        "['chat.example.com']",
        "['chat.example.com', 'localhost']",
        "['*']",
        "['.example.com']",
        "['chat.example.com', '127.0.0.1']",
        "['localhost', '127.0.0.1']",
        "['www.example.com']",
    ]);
    text += &format!("ALLOWED_HOSTS = {hosts}\n");
    text += "ROOT_URLCONF = 'chat.urls'\nASGI_APPLICATION = 'chat.asgi.application'\nWSGI_APPLICATION = 'chat.wsgi.application'\n";
    text += "INSTALLED_APPS = [\n    'django.contrib.auth',\n    'django.contrib.contenttypes',\n    'django.contrib.sessions',\n    'channels',\n]\n";
    text += "MIDDLEWARE = [\n";
    if random.chance(85) {
        text += "    'django.middleware.security.SecurityMiddleware',\n";
    }
    if random.chance(50) {
        text += "    'django.contrib.sessions.middleware.SessionMiddleware',\n";
    }
    if random.chance(80) {
        text += "    'django.middleware.common.CommonMiddleware',\n";
    }
    text += "]\n";
    if random.chance(40) {
        text += "SECURE_SSL_REDIRECT = True\n";
    }
    if random.chance(40) {
        let header = random.pick(&[
            "('HTTP_X_FORWARDED_PROTO', 'https')",
            "('HTTP_X_FORWARDED_PROTO', 'https')",
            "('HTTP_X_FORWARDED_PROTO', 'https')",
            "('HTTP_CLOUDFRONT_FORWARDED_PROTO', 'https')",
            "('HTTP_X_SCHEME', 'https')",
        ]);
        text += &format!("SECURE_PROXY_SSL_HEADER = {header}\n");
    }
    let lines = [
        (10, "USE_X_FORWARDED_HOST = True\n"),
        (8, "FORCE_SCRIPT_NAME = '/app'\n"),
        (10, "APPEND_SLASH = False\n"),
        (6, "SECURE_REDIRECT_EXEMPT = [r'^ws/']\n"),
        (6, "SECURE_SSL_HOST = 'chat.example.com'\n"),
        (6, "PREPEND_WWW = True\n"),
    ];
    for (percent, line) in lines {
        if random.chance(percent) {
            text += line;
        }
    }
    text
}

fn wrapped(random: &mut Random, inner: &str) -> String {
    match random.below(10) {
        0 | 1 => format!("AllowedHostsOriginValidator(AuthMiddlewareStack({inner}))"),
        2 | 3 => format!("AllowedHostsOriginValidator({inner})"),
        4 => {
            let list = random.pick(&[
                "['chat.example.com']",
                "['https://chat.example.com']",
                "['http://chat.example.com']",
                "['.example.com']",
                "['*']",
                "['https://www.example.com']",
                "['http://chat.example.com:80', 'https://chat.example.com:443']",
            ]);
            format!("OriginValidator({inner}, {list})")
        }
        5 => format!("AuthMiddlewareStack({inner})"),
        _ => inner.to_owned(),
    }
}

/// An application in `folder`, which ends with a slash unless it is the root.
pub(crate) fn application(random: &mut Random, folder: &str) -> Application {
    let mut routes = Vec::new();
    let mut paths = Vec::new();
    for _ in 0..1 + random.below(2) {
        let (route, own) = ROUTES[random.below(ROUTES.len())];
        if own.iter().any(|path| paths.contains(path)) {
            continue;
        }
        routes.push(format!("    {route},\n"));
        paths.extend(own);
    }
    let routing = format!(
        "from channels.routing import URLRouter\nfrom django.urls import path, re_path\n\nfrom .consumers import Echo, Said\n\nwebsocket_urlpatterns = [\n{}]\n",
        routes.concat()
    );
    let served = wrapped(random, "URLRouter(websocket_urlpatterns)");
    let asgi = format!(
        "import os\n\nfrom django.core.asgi import get_asgi_application\n\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'chat.settings')\ndjango_application = get_asgi_application()\n\nfrom channels.auth import AuthMiddlewareStack\nfrom channels.routing import ProtocolTypeRouter, URLRouter\nfrom channels.security.websocket import AllowedHostsOriginValidator, OriginValidator\n\nfrom chat.routing import websocket_urlpatterns\n\napplication = ProtocolTypeRouter({{\n    'http': django_application,\n    'websocket': {served},\n}})\n"
    );
    let every = match random.below(8) {
        0 => "    re_path(r'^.*$', page),\n",
        1 => "    path('ws/chat/', page),\n",
        2 => "    path('app/<path:rest>', page),\n",
        _ => "",
    };
    let urls = format!(
        "from django.http import HttpResponse\nfrom django.urls import path, re_path\n\n\ndef page(request, **more):\n    return HttpResponse('page')\n\n\nurlpatterns = [\n    path('', page),\n    path('health/', page),\n{every}]\n"
    );
    let wsgi = "import os\n\nfrom django.core.wsgi import get_wsgi_application\n\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'chat.settings')\napplication = get_wsgi_application()\n";
    let files = [
        ("manage.py", "import os\nimport sys\n\nif __name__ == '__main__':\n    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'chat.settings')\n    from django.core.management import execute_from_command_line\n    execute_from_command_line(sys.argv)\n".to_owned()),
        ("requirements.txt", REQUIREMENTS.to_owned()),
        ("chat/__init__.py", String::new()),
        ("chat/settings.py", settings(random)),
        ("chat/urls.py", urls),
        ("chat/consumers.py", CONSUMERS.to_owned()),
        ("chat/routing.py", routing),
        ("chat/asgi.py", asgi),
        ("chat/wsgi.py", wsgi.to_owned()),
    ];
    Application {
        files: files
            .into_iter()
            .map(|(path, text)| (format!("{folder}{path}"), text))
            .collect(),
        paths,
    }
}

/// A command that serves an application at a port, in words.
pub(crate) fn command(random: &mut Random, port: u16) -> String {
    let host = random.pick(&["127.0.0.1", "127.0.0.1", "0.0.0.0"]);
    let asgi = "chat.asgi:application";
    let any = |random: &mut Random, options: &[&str]| match random.chance(40) {
        true => random.pick(options).to_owned(),
        false => String::new(),
    };
    match random.below(12) {
        0..=4 => {
            let more = any(
                random,
                &[
                    " --proxy-headers",
                    " --no-proxy-headers",
                    " --forwarded-allow-ips='*'",
                    " --proxy-headers --forwarded-allow-ips 127.0.0.1",
                    " --forwarded-allow-ips=10.0.0.1",
                    " --root-path /app",
                    " --root-path=/app",
                    " --ws wsproto",
                    " --ws websockets-sansio",
                    " --ws none",
                    " --ws auto",
                    " --lifespan off",
                ],
            );
            match random.below(3) {
                0 => format!("uvicorn {asgi} --host {host} --port {port}{more}"),
                1 => format!("uvicorn --host {host} --port {port}{more} {asgi}"),
                _ => format!("uvicorn --port={port} --host={host}{more} {asgi}"),
            }
        }
        5..=7 => {
            let more = any(
                random,
                &[
                    " --proxy-headers",
                    " --root-path=/app",
                    " --root-path /app",
                    " -v 1",
                ],
            );
            match random.below(2) {
                0 => format!("daphne -b {host} -p {port}{more} {asgi}"),
                _ => format!("daphne{more} --bind {host} --port {port} {asgi}"),
            }
        }
        8 | 9 => {
            let more = any(
                random,
                &[
                    " --forwarded-allow-ips='*'",
                    " --forwarded-allow-ips=10.0.0.1",
                    " -w 1",
                ],
            );
            let class = random.pick(&[
                "-k uvicorn_worker.UvicornWorker",
                "--worker-class uvicorn_worker.UvicornWorker",
            ]);
            match random.below(2) {
                0 => format!("gunicorn {asgi} {class} -b {host}:{port}{more}"),
                _ => format!("gunicorn {class}{more} --bind={host}:{port} {asgi}"),
            }
        }
        10 => {
            let more = any(
                random,
                &[
                    " --forwarded-allow-ips='*'",
                    " --threads 2",
                    " -k gthread --threads 2",
                    " --forwarded-allow-ips=10.0.0.1",
                ],
            );
            format!("gunicorn{more} -b {host}:{port} chat.wsgi:application")
        }
        _ if random.chance(30) => format!("gunicorn -b {host}:{port} {asgi}"),
        _ => format!("uvicorn {asgi} --host {host} --port {port}"),
    }
}

/// Files that start the commands of the application in `folder`.
pub(crate) fn started(
    random: &mut Random,
    folder: &str,
    commands: &[(String, u16)],
) -> Vec<(String, String)> {
    let names = ["web", "sockets"];
    let named = || {
        names
            .iter()
            .zip(commands)
            .map(|(name, (command, port))| (*name, command, *port))
    };
    match random.below(6) {
        0 => {
            let lines: String = named().map(|(_, command, _)| format!("{command} &\n")).collect();
            let name = random.pick(&["start.sh", "run.sh", "bin/serve.sh"]);
            vec![(format!("{folder}{name}"), format!("#!/bin/sh\nset -e\ncd \"$(dirname \"$0\")\"\n{lines}wait\n"))]
        }
        1 if commands.len() == 1 => {
            vec![(format!("{folder}start.sh"), format!("#!/bin/bash\nset -euo pipefail\nexec {}\n", commands[0].0))]
        }
        2 => named()
            .map(|(name, command, _)| {
                let place = format!("/srv/chat/{}", folder.trim_end_matches('/'));
                let unit = format!("[Unit]\nAfter=network.target\n\n[Service]\nWorkingDirectory={place}\nExecStart={place}/venv/bin/{command}\nRestart=always\n\n[Install]\nWantedBy=multi-user.target\n");
                (format!("{folder}deploy/chat-{name}.service"), unit)
            })
            .collect(),
        3 => {
            let programs: String = named().map(|(name, command, _)| format!("[program:{name}]\ncommand={command}\nautostart=true\n\n")).collect();
            vec![(format!("{folder}supervisord.conf"), programs)]
        }
        4 => {
            let services: String = named()
                .map(|(name, command, _)| format!("  {name}:\n    build: .\n    network_mode: host\n    command: {command}\n"))
                .collect();
            vec![
                (format!("{folder}compose.yml"), format!("services:\n{services}")),
                (format!("{folder}Dockerfile"), "FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nRUN pip install -r requirements.txt\n".to_owned()),
            ]
        }
        _ => {
            let lines: String = named().map(|(name, command, _)| format!("{name}: {command}\n")).collect();
            vec![(format!("{folder}Procfile"), lines)]
        }
    }
}

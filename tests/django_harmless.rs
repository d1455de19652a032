//! What looks suspicious and works: each of these was measured on real servers (daphne, uvicorn,
//! gunicorn), and the linter has to be silent about it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use wslint::check::{Selection, check};
use wslint::project::Project;

/// What each ASGI module begins with.
const HEAD: &str = "\
import os
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator, OriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path, re_path

os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'proj.settings')
django = get_asgi_application()

from proj.consumers import Chat

routes = [re_path(r'ws/chat/(?P<room>\\w+)/$', Chat.as_asgi())]
";

const SETTINGS: &str = "\
ROOT_URLCONF = 'proj.urls'
ALLOWED_HOSTS = ['*']
MIDDLEWARE = ['django.middleware.security.SecurityMiddleware']
";

const DAPHNE: &str = "web: daphne -b 0.0.0.0 proj.asgi:application\n";

/// The findings and the places that could not be decided.
fn said(settings: &str, asgi: &str, procfile: &str, config: &str) -> Vec<String> {
    let settings = format!("{SETTINGS}{settings}\n");
    let asgi = format!("{HEAD}{asgi}\n");
    let files = [
        ("Procfile", procfile),
        ("proj/settings.py", settings.as_str()),
        ("proj/asgi.py", asgi.as_str()),
        (
            "proj/wsgi.py",
            "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
        ),
        (
            "proj/consumers.py",
            "from channels.generic.websocket import WebsocketConsumer\nclass Chat(WebsocketConsumer): pass\n",
        ),
        ("wslint.toml", config),
    ];
    let project = Project::in_memory(files).unwrap();
    let outcome = check(&project, &Selection::default());
    let findings = outcome
        .findings
        .iter()
        .map(|finding| format!("{}: {}", finding.rule, finding.message));
    findings
        .chain(
            outcome
                .undecided
                .iter()
                .map(|note| format!("undecided: {}", note.message)),
        )
        .collect()
}

const BY_HOSTS: &str = "application = ProtocolTypeRouter({'http': django, 'websocket': AllowedHostsOriginValidator(URLRouter(routes))})";

/// An application that lets in what `list` says.
fn validated(list: &str) -> String {
    format!(
        "application = ProtocolTypeRouter({{'http': django, 'websocket': OriginValidator(AuthMiddlewareStack(URLRouter(routes)), {list})}})"
    )
}

fn silent(cases: impl IntoIterator<Item = (String, Vec<String>)>) {
    let loud: Vec<_> = cases
        .into_iter()
        .filter(|(_, said)| !said.is_empty())
        .collect();
    assert!(loud.is_empty(), "{loud:#?}");
}

#[test]
fn applications_in_all_their_forms() {
    silent(
        [
            "application = ProtocolTypeRouter({'http': django, 'websocket': URLRouter(routes)})",
            "application = ProtocolTypeRouter({'websocket': AuthMiddlewareStack(URLRouter(routes))})",
            "application = ProtocolTypeRouter({'http': django, 'websocket': AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(routes)))})",
            "application = ProtocolTypeRouter({'http': django, 'websocket': OriginValidator(URLRouter(routes), ['*'])})",
            "application = ProtocolTypeRouter({'http': django, 'websocket': Chat.as_asgi()})",
            "from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler\n\
             application = ASGIStaticFilesHandler(ProtocolTypeRouter({'http': django, 'websocket': URLRouter(routes)}))",
            "async def sockets(scope, receive, send): pass\n\
             async def application(scope, receive, send):\n    if scope['type'] == 'http':\n        await django(scope, receive, send)\n\
             \x20   elif scope['type'] == 'websocket':\n        await sockets(scope, receive, send)\n    else:\n        raise NotImplementedError",
            "import socketio\napplication = socketio.ASGIApp(socketio.AsyncServer(async_mode='asgi'), django)",
            // A shared instance is a fault of another kind; the handshake opens.
            "application = ProtocolTypeRouter({'websocket': URLRouter([path('ws/', Chat())])})",
            // A plain ASGI function.
            "async def echo(scope, receive, send): pass\n\
             application = ProtocolTypeRouter({'websocket': URLRouter([path('ws/', echo)])})",
        ]
        .map(|asgi| (asgi.to_owned(), said("", asgi, DAPHNE, ""))),
    );
}

#[test]
fn origins_that_let_the_page_in() {
    let validators = [
        "['*']",
        "['example.com']",
        "['.example.com']",
        "['https://.example.com']",
        "['https://example.com:443']",
        "['https://example.com/']",
        "['EXAMPLE.com', 'app://native']",
    ]
    .map(|list| (list.to_owned(), said("", &validated(list), DAPHNE, "")));
    let hosts = [
        "ALLOWED_HOSTS = ['*']",
        "ALLOWED_HOSTS = ['.example.com', '*.example.com']",
        // Wrong for pages, and right for their origin.
        "ALLOWED_HOSTS = ['https://example.com']",
        "ALLOWED_HOSTS = ['example.com/']",
        "ALLOWED_HOSTS = ['[::1]', '127.0.0.1']",
        "DEBUG = True\nALLOWED_HOSTS = []",
        "ALLOWED_HOSTS = []\nif other:\n    ALLOWED_HOSTS = ['example.com']",
    ]
    .map(|settings| (settings.to_owned(), said(settings, BY_HOSTS, DAPHNE, "")));
    silent(validators.into_iter().chain(hosts));
}

/// What the environment, or a file that is not there, decides: no finding, and not called clean.
#[test]
fn origins_that_the_files_do_not_show() {
    let validators = [
        "os.environ['ORIGINS'].split(',')",
        "[*os.environ.get('ORIGINS', 'wss://a').split(',')]",
    ]
    .map(|list| (list, said("", &validated(list), DAPHNE, "")));
    let hosts = [
        "import os\nDEBUG = os.environ.get('DEBUG', '') == '1'\nALLOWED_HOSTS = []",
        "import os\nALLOWED_HOSTS = os.environ.get('HOSTS', '').split(',')",
        "import os\nALLOWED_HOSTS = os.environ.get('HOSTS', 'a,b')",
        "ALLOWED_HOSTS = []\nfrom .local import *",
    ]
    .map(|settings| (settings, said(settings, BY_HOSTS, DAPHNE, "")));
    for (case, said) in validators.into_iter().chain(hosts) {
        assert!(
            matches!(said.as_slice(), [one] if one.contains("which origins the validator lets in is not in the files")),
            "{case}: {said:?}"
        );
    }
}

#[test]
fn layers_that_are_not_used_or_right() {
    let asgi = "application = ProtocolTypeRouter({'http': django, 'websocket': URLRouter(routes)})";
    silent(
        [
            "CHANNEL_LAYERS = {}",
            "CHANNEL_LAYERS = {'main': {'BACKEND': 'channels.layers.InMemoryChannelLayer'}}",
            "CHANNEL_LAYERS = {'default': {'BACKEND': 'channels_redis.core.RedisChannelLayer', 'CONFIG': {'hosts': [('redis', 6379)]}}}",
            "CHANNEL_LAYERS = {'default': {'BACKEND': 'channels_redis.core.RedisChannelLayer', 'CONFIG': {'hosts': [['redis', 6379]]}}}",
            "CHANNEL_LAYERS = {'default': {'BACKEND': 'channels_redis.core.RedisChannelLayer', 'CONFIG': {'hosts': ['redis://redis:6379/0', 'rediss://other']}}}",
            "CHANNEL_LAYERS = {'default': {'BACKEND': 'channels_redis.pubsub.RedisPubSubChannelLayer', 'CONFIG': {'hosts': [{'address': 'redis://redis'}, {'host': 'redis', 'port': 6379}]}}}",
            "import os\nCHANNEL_LAYERS = {'default': {'BACKEND': 'channels_redis.core.RedisChannelLayer', 'CONFIG': {'hosts': [os.environ.get('REDIS_URL', 'redis')]}}}",
            "import os\nCHANNEL_LAYERS = {'default': {'BACKEND': os.environ.get('LAYER', 'channels.layers.Nothing')}}",
            "CHANNEL_LAYERS = {'default': {'BACKEND': 'proj.layers.OwnLayer'}}",
            "CHANNEL_LAYERS = {'default': {'BACKEND': 'channels_postgres.core.PostgresChannelLayer'}}",
        ]
        .map(|settings| (settings.to_owned(), said(settings, asgi, DAPHNE, ""))),
    );
}

#[test]
fn installed_apps_of_servers_that_do_not_read_them() {
    let asgi = "application = ProtocolTypeRouter({'http': django, 'websocket': URLRouter(routes)})";
    silent(
        [
            "INSTALLED_APPS = ['channels']",
            "INSTALLED_APPS = ['daphne', 'django.contrib.staticfiles', 'channels']",
            "INSTALLED_APPS = ['django.contrib.auth']\nASGI_APPLICATION = 'proj.asgi:application'",
            "INSTALLED_APPS = ['daphne']\nASGI_APPLICATION = 'proj.routing.application'",
            "INSTALLED_APPS = ['daphne']",
        ]
        .map(|settings| (settings.to_owned(), said(settings, asgi, DAPHNE, ""))),
    );
}

#[test]
fn consumers_that_answer_somehow() {
    silent(
        [
            "def connect(self):\n        self.accept()",
            "def connect(self):\n        self.close()",
            "def connect(self):\n        raise DenyConnection()",
            "def connect(self):\n        super().connect()",
            "def connect(self):\n        self.enter()",
            "def connect(self):\n        enter(self)",
            "def connect(self):\n        method = self.accept\n        method()",
            "def connect(self):\n        if self.scope['user'].is_anonymous:\n            self.close()\n        else:\n            self.accept('v1')",
            "def connect(self):\n        if self.scope['user'].is_anonymous:\n            self.close()\n            return\n        self.accept()",
            "def connect(self):\n        try:\n            self.room = self.scope['path']\n        except KeyError:\n            self.close()\n        else:\n            self.accept()",
            "def connect(self):\n        for name in ('a', 'b'):\n            self.join(name)",
            "def connect(self):\n        if self.allowed():\n            pass",
            "def connect(self):\n        self.close()\n        return",
            "def connect(self):\n        with self.lock() as lock:\n            pass",
            "def connect(self):\n        task = [self.accept() for _ in (1,)]",
            "@decorated\n    def connect(self):\n        pass",
            "def websocket_connect(self, message):\n        self.base_send({'type': 'websocket.accept'})\n    def connect(self):\n        pass",
            "def receive(self, text_data):\n        pass",
        ]
        .map(|method| {
            let asgi = format!(
                "from channels.generic.websocket import WebsocketConsumer\nclass Own(WebsocketConsumer):\n    {method}\n\
                 application = ProtocolTypeRouter({{'http': django, 'websocket': URLRouter([path('ws/', Own.as_asgi())])}})"
            );
            (method.to_owned(), said("", &asgi, DAPHNE, ""))
        }),
    );
}

#[test]
fn servers_beside_the_one_that_takes_the_sockets() {
    let asgi = "application = ProtocolTypeRouter({'http': django, 'websocket': URLRouter(routes)})";
    silent(
        [
            "web: gunicorn proj.wsgi\nsockets: daphne proj.asgi:application\n",
            "web: gunicorn proj.asgi -k uvicorn.workers.UvicornWorker\n",
            "web: gunicorn proj.wsgi\ndev: python manage.py runserver\n",
            "web: hypercorn proj.asgi:application\n",
        ]
        .map(|procfile| (procfile.to_owned(), said("", asgi, procfile, ""))),
    );
}

#[test]
fn servers_of_which_another_file_says_how_they_serve() {
    let asgi = "application = ProtocolTypeRouter({'http': django, 'websocket': URLRouter(routes)})";
    for procfile in [
        "web: gunicorn proj.wsgi --config somewhere.py\n",
        "web: gunicorn proj.wsgi -k own.Worker\n",
        "web: gunicorn proj.asgi --config somewhere.py\n",
        "web: uwsgi --ini uwsgi.ini\n",
    ] {
        let said = said("", asgi, procfile, "");
        assert!(
            matches!(said.as_slice(), [one] if one.contains("not in the files decides how it serves")),
            "{procfile}: {said:?}"
        );
    }
}

#[test]
fn patterns_that_match() {
    silent(
        [
            "path('', Chat.as_asgi())",
            "path('ws/<str:room>/', Chat.as_asgi())",
            "path('ws/<uuid:room>/', Chat.as_asgi())",
            "re_path('ws/chat', Chat.as_asgi())",
            "re_path('^ws/chat/$', Chat.as_asgi())",
            "re_path('^/?ws/chat/$', Chat.as_asgi())",
            // Searched, not matched in full: it finds the middle of a deeper path.
            "re_path('/chat/', Chat.as_asgi())",
            "re_path(r'^ws/(?:(?P<room>[^/]+)/)?$', Chat.as_asgi())",
            "re_path('^.*$', Chat.as_asgi())",
            "path('ws/', URLRouter([path('chat/', Chat.as_asgi())]))",
            "path('ws/', URLRouter([re_path('^/?chat/$', Chat.as_asgi())]))",
            "re_path('^ws/', AuthMiddlewareStack(URLRouter([path('chat/', Chat.as_asgi())])))",
        ]
        .map(|entry| {
            let asgi = format!("application = ProtocolTypeRouter({{'http': django, 'websocket': URLRouter([{entry}])}})");
            (entry.to_owned(), said("", &asgi, DAPHNE, ""))
        }),
    );
}

#[test]
fn settings_that_the_handshake_never_meets_or_that_are_right() {
    let asgi = "application = ProtocolTypeRouter({'http': django, 'websocket': URLRouter(routes)})";
    silent(
        [
            "SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')",
            "SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')",
            "SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = ['HTTP_X_FORWARDED_PROTO', 'https']",
            "SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = ('HTTP_FASTLY_SSL', '1')",
            "SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_SSL', 'on')",
            "SECURE_SSL_REDIRECT = False\nSECURE_PROXY_SSL_HEADER = ('HTTP_CLOUDFRONT_FORWARDED_PROTO', 'https')",
            "SECURE_PROXY_SSL_HEADER = None",
            "SECURE_SSL_REDIRECT = False",
            "SECURE_SSL_REDIRECT = os.environ.get('REDIRECT') == 'yes'",
            "MIDDLEWARE = []\nSECURE_SSL_REDIRECT = True",
            "PREPEND_WWW = True\nAPPEND_SLASH = False\nUSE_X_FORWARDED_HOST = True\nX_FRAME_OPTIONS = 'DENY'",
            "SESSION_COOKIE_SAMESITE = 'Strict'\nCSRF_TRUSTED_ORIGINS = ['example.com']",
            "CORS_ALLOWED_ORIGINS = ['wss://example.com']",
        ]
        .map(|settings| {
            let settings = format!("import os\n{settings}");
            (settings.clone(), said(&settings, asgi, DAPHNE, ""))
        }),
    );
}

#[test]
fn servers_that_know_the_scheme_by_themselves() {
    let asgi = "application = ProtocolTypeRouter({'http': django, 'websocket': URLRouter(routes)})";
    let alb = "[edge]\nkind = \"alb\"\n";
    silent(
        [
            "gunicorn proj.wsgi --bind 0.0.0.0:80 --forwarded-allow-ips='*'",
            "FORWARDED_ALLOW_IPS='*' gunicorn proj.wsgi --bind 0.0.0.0:80",
            "uvicorn proj.asgi:application --host 0.0.0.0 --forwarded-allow-ips='*'",
            "uwsgi --http-socket :80 --module proj.wsgi:application",
            "daphne -b 0.0.0.0 --proxy-headers proj.asgi:application",
            "daphne -e ssl:443:privateKey=key.pem:certKey=cert.pem proj.asgi:application",
            "gunicorn proj.wsgi --bind 0.0.0.0:443 --certfile cert.pem --keyfile key.pem",
        ]
        .map(|command| {
            let procfile = format!("web: {command}\n");
            let mut said = said("SECURE_SSL_REDIRECT = True", asgi, &procfile, alb);
            // That a WSGI server takes no sockets is another matter.
            said.retain(|said| !said.starts_with("django/wsgi-only"));
            (command.to_owned(), said)
        }),
    );
}

#[test]
fn servers_of_other_applications_and_of_developers() {
    let asgi = "application = ProtocolTypeRouter({'http': django, 'websocket': URLRouter(routes)})";
    silent(
        [
            "web: daphne proj.asgi:application\napi: uvicorn api.main:app --ws none\n",
            "api: uvicorn api.main:app --ws none\n",
            "web: daphne proj.asgi:application\npages: uvicorn proj.asgi:application --ws none\n",
            "web: daphne proj.asgi:application\ndev: uvicorn proj.asgi:application --reload --ws none\n",
        ]
        .map(|procfile| (procfile.to_owned(), said("", asgi, procfile, ""))),
    );
}

#[test]
fn runserver_where_nothing_shows_that_it_fails() {
    let listed =
        "ROOT_URLCONF = 'proj.urls'\nINSTALLED_APPS = ['channels', 'django.contrib.staticfiles']\n";
    let behind = "ROOT_URLCONF = 'proj.urls'\nASGI_APPLICATION = 'proj.asgi.application'\n\
                  INSTALLED_APPS = ['django.contrib.staticfiles', 'daphne']\n";
    let daphne = "ROOT_URLCONF = 'proj.urls'\nINSTALLED_APPS = ['daphne']\n";
    let run = ("Procfile", "web: python manage.py runserver\n");
    let four = ("requirements.txt", "channels==4.3.2\n");
    let manage = ("manage.py", "x");
    let said = |settings: &str, files: &[(&str, &str)]| {
        let asgi = "application = ProtocolTypeRouter({'http': get_asgi_application(), 'websocket': URLRouter([path('ws/', Chat.as_asgi())])})";
        let asgi = format!(
            "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.core.asgi import get_asgi_application\n\
             from django.urls import path\nfrom proj.consumers import Chat\n{asgi}\n"
        );
        let consumers = "from channels.generic.websocket import WebsocketConsumer\nclass Chat(WebsocketConsumer): pass\n";
        let files = files.iter().copied().chain([
            ("proj/settings.py", settings),
            ("proj/asgi.py", asgi.as_str()),
            ("proj/consumers.py", consumers),
        ]);
        let project = Project::in_memory(files).unwrap();
        check(&project, &Selection::default())
            .findings
            .iter()
            .map(|finding| finding.rule.to_string())
            .filter(|rule| {
                matches!(
                    rule.as_str(),
                    "django/runserver-without-daphne"
                        | "django/daphne-order"
                        | "django/asgi-application"
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        said(listed, &[run, four, manage]),
        ["django/runserver-without-daphne"]
    );
    // A requirement without a version installs the latest; no requirement says nothing.
    let any = ("requirements.txt", "channels\n");
    assert_eq!(
        said(listed, &[run, any, manage]),
        ["django/runserver-without-daphne"]
    );
    assert_eq!(said(behind, &[manage]), ["django/daphne-order"]);
    assert_eq!(said(daphne, &[run, manage]), ["django/asgi-application"]);
    let nothing: [String; 0] = [];
    let silenced = format!("{behind}SILENCED_SYSTEM_CHECKS = ['daphne.E001']\n");
    let debug = format!("{listed}if DEBUG:\n    INSTALLED_APPS.insert(0, 'daphne')\n");
    let more = format!("{listed}try:\n    from .local import *\nexcept ImportError:\n    pass\n");
    for (settings, files) in [
        // The image's own command is not the one that runs.
        (
            listed,
            vec![
                four,
                manage,
                (
                    "Dockerfile",
                    "FROM python:3.12\nCMD [\"python\", \"manage.py\", \"runserver\", \"0.0.0.0:8000\"]\n",
                ),
                (
                    "compose.yml",
                    "services:\n  web:\n    build: .\n    command: daphne -b 0.0.0.0 proj.asgi:application\n",
                ),
            ],
        ),
        // Whoever develops has it.
        (debug.as_str(), vec![run, four, manage]),
        (listed, vec![run, manage]),
        // Nobody runs it, or not alone.
        (listed, vec![four, manage]),
        (daphne, vec![manage]),
        (
            listed,
            vec![
                four,
                manage,
                (
                    "Procfile",
                    "web: python manage.py runserver\nws: daphne proj.asgi:application\n",
                ),
            ],
        ),
        // In production its place is taken by a WSGI server: another one has the sockets.
        (
            listed,
            vec![
                four,
                manage,
                (
                    "docker/web.sh",
                    "if [ \"$DEBUG\" = True ]; then\n    python manage.py runserver 0.0.0.0:8001\nelse\n    exec uwsgi --module proj.wsgi:application --http :8001\nfi\n",
                ),
                (
                    "docker/sockets.sh",
                    "exec daphne -b 0.0.0.0 -p 8002 proj.asgi:application\n",
                ),
            ],
        ),
        // Channels 3; a `runserver` of the project's own.
        (
            listed,
            vec![run, manage, ("requirements.txt", "channels==3.0.5\n")],
        ),
        (
            listed,
            vec![
                run,
                four,
                manage,
                ("proj/management/commands/runserver.py", "x"),
            ],
        ),
        (
            behind,
            vec![manage, ("requirements.txt", "daphne==3.0.2\n")],
        ),
        // Other settings may add it, or silence the check.
        (more.as_str(), vec![run, four, manage]),
        (
            listed,
            vec![
                run,
                four,
                manage,
                (
                    "proj/settings_dev.py",
                    "from .settings import *\nINSTALLED_APPS = ['daphne', *INSTALLED_APPS]\n\
                     ASGI_APPLICATION = 'proj.asgi.application'\n",
                ),
            ],
        ),
        (silenced.as_str(), vec![manage]),
        (
            daphne,
            vec![
                manage,
                ("Procfile", "web: python manage.py runserver --noasgi\n"),
            ],
        ),
    ] {
        assert_eq!(said(settings, &files), nothing, "{settings}{files:?}");
    }
}

/// `manage.py` sets Django up before it loads asgi.py, so that its imports may come in any order.
#[test]
fn what_only_manage_py_starts_may_import_models_first() {
    let asgi = "\
from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.auth.models import AnonymousUser
from django.core.asgi import get_asgi_application
application = ProtocolTypeRouter({'http': get_asgi_application()})
";
    let found = |procfile: &str| {
        let settings = format!(
            "{SETTINGS}INSTALLED_APPS = ['daphne', 'channels']\nASGI_APPLICATION = 'proj.asgi.application'\n"
        );
        let files = [
            ("manage.py", "DJANGO_SETTINGS_MODULE = 'proj.settings'\n"),
            ("proj/settings.py", settings.as_str()),
            ("proj/asgi.py", asgi),
            ("Procfile", procfile),
        ];
        let project = Project::in_memory(files).unwrap();
        let findings = check(&project, &Selection::default()).findings;
        findings
            .iter()
            .any(|finding| finding.rule == "django/apps-not-ready")
    };
    assert!(found(DAPHNE));
    assert!(!found("web: python manage.py runserver 0.0.0.0:8000\n"));
}

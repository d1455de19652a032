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
            "async def application(scope, receive, send):\n    if scope['type'] == 'http':\n        await django(scope, receive, send)",
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
            (
                command.to_owned(),
                said("SECURE_SSL_REDIRECT = True", asgi, &procfile, alb),
            )
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

//! ASGI modules, routes, consumers and server commands at random, and requests for them.

use crate::differential::Random;
use crate::settings::{self, indented};

/// What the server of the project hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    WebSocket,
    Http,
    Wsgi,
}

impl Speaks {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Http => "http",
            Self::Wsgi => "wsgi",
        }
    }
}

/// An application.
pub(crate) struct Application {
    pub(crate) files: Vec<(String, String)>,
    pub(crate) target: &'static str,
    pub(crate) speaks: Speaks,
}

const CONSUMERS: &str = "\
from channels.consumer import AsyncConsumer
from channels.exceptions import DenyConnection
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from channels.generic.websocket import JsonWebsocketConsumer, WebsocketConsumer


class Plain(WebsocketConsumer):
    pass


class Base(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.accept()


class Derived(Base):
    groups = []

    async def receive_json(self, content):
        pass


class Forgets(AsyncWebsocketConsumer):
    async def connect(self):
        self.room = self.scope['path']


class NotAwaited(AsyncWebsocketConsumer):
    async def connect(self):
        self.accept()


class Mixed(WebsocketConsumer):
    async def connect(self):
        await self.accept()


class Plainly(AsyncWebsocketConsumer):
    def connect(self):
        self.accept()


class Denies(AsyncWebsocketConsumer):
    async def connect(self):
        raise DenyConnection()


class Closes(JsonWebsocketConsumer):
    def connect(self):
        self.close()


class Guarded(WebsocketConsumer):
    def connect(self):
        if self.scope['query_string']:
            self.close()
        else:
            self.accept()


class OnlyCloses(WebsocketConsumer):
    def connect(self):
        if self.scope.get('user') is None:
            self.close()
        else:
            pass


class Grouped(AsyncWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add('all', self.channel_name)
        await self.accept()


class Member(WebsocketConsumer):
    groups = ['all']


class Late(WebsocketConsumer):
    def connect(self):
        self.accept()
        self.hello()

    def hello(self):
        self.send(text_data='hello')


class Own(AsyncConsumer):
    async def websocket_connect(self, message):
        await self.send({'type': 'websocket.accept'})
";

/// Consumers, those that open most often.
const CLASSES: &[&str] = &[
    "Plain",
    "Plain",
    "Plain",
    "Base",
    "Derived",
    "Derived",
    "Late",
    "Guarded",
    "Own",
    "Forgets",
    "NotAwaited",
    "Mixed",
    "Plainly",
    "Denies",
    "Closes",
    "OnlyCloses",
    "Grouped",
    "Member",
];

const PATHS: &[&str] = &[
    "ws/",
    "ws/chat/",
    "ws/chat",
    "ws/<str:room>/",
    "ws/<int:n>/",
    "<path:p>",
    "",
    "/ws/",
    "^ws/$",
    "chat/",
    "chat/<slug:room>/",
    "ws/<uuid:u>/",
    "ws/<room>/",
    "notify/<int:year>/<str:name>/",
];

const REGEXES: &[&str] = &[
    r"ws/$",
    r"ws/",
    r"^ws/$",
    r"^ws/chat/$",
    r"ws/chat/(?P<room>\w+)/$",
    r"^ws/chat/(?P<room>[^/]+)/$",
    r"^/ws/$",
    r"/ws/$",
    r"^/?ws/$",
    r"^$",
    r"^",
    r"chat/",
    r"^chat$",
    r"^chat/?$",
    r"(?i)^WS/$",
    r"ws\Z",
    r"\Aws/",
    r"^(?:ws|chat)/$",
    r"^(?!/)ws/",
    r"^ws/(?P<n>\d+)/$",
    r"^.*$",
    r"^ws/<str:room>/$",
    r"^ws|chat",
    r"^(?:/ws|chat)/$",
    r"^(ws/)*$",
    r"^ws/(?P<room>[\w-]+)/?$",
    r"^(?=ws)ws/",
    r"^ws/(?P<a>[a-z]+)/(?P=a)/$",
    r"ws/\w+",
    r"^ws/[^/]*/$",
];

const OUTER: &[&str] = &["ws/", "", "chat/", "ws/<str:outer>/", "/ws/"];
const OUTER_REGEXES: &[&str] = &[
    r"^ws/",
    r"^",
    r"^ws",
    r"^ws/$",
    r"^(ws|chat)/",
    r"chat/",
    r"^ws/(?P<outer>\w+)/",
];
const INNER: &[&str] = &["chat/", "", "<str:r>/", "/chat/", "chat"];
const INNER_REGEXES: &[&str] = &[r"^chat/$", r"^$", r"chat/", r"/chat/$", r"^(?P<r>\w+)/$"];

/// What is asked for, besides what a seed adds.
const ASKED: &[&str] = &[
    "/",
    "/ws/",
    "/ws",
    "//ws/",
    "/ws/chat/",
    "/ws/chat",
    "/ws/12/",
    "/ws/chat/room/",
    "/x/ws/",
    "/chat/",
    "/chat",
    "/WS/",
    "/ws/a-b/",
    "/ws/chat/12/",
    "/x/chat/",
    "/ws/abc/abc/",
    "/ws//chat/",
    "/wschat/",
    "/ws/closed/",
    "/notify/2024/x/",
    "/ws/3f2504e0-4f89-11d3-9a0c-0305e82c3301/",
    "/health",
    "/pages/1/",
    "/admin",
    "/ws/x/chat/",
];

const FORWARDED: [Option<&str>; 6] = [
    None,
    None,
    None,
    Some("https"),
    Some("http"),
    Some("https,http"),
];

fn route(random: &mut Random, depth: usize) -> String {
    let class = random.pick(CLASSES);
    if depth == 0 && random.chance(25) {
        let (function, pattern) = match random.chance(50) {
            true => ("path", random.pick(OUTER)),
            false => ("re_path", random.pick(OUTER_REGEXES)),
        };
        let inner: Vec<_> = (0..1 + random.below(2)).map(|_| route(random, 1)).collect();
        let inner = format!("URLRouter([{}])", inner.join(", "));
        let inner = match random.below(4) {
            0 => format!("AuthMiddlewareStack({inner})"),
            1 => format!("Own({inner})"),
            _ => inner,
        };
        return format!("{function}(r'{pattern}', {inner})");
    }
    let (function, pattern) = match (random.chance(50), depth) {
        (true, 0) => ("path", random.pick(PATHS)),
        (true, _) => ("path", random.pick(INNER)),
        (false, 0) => ("re_path", random.pick(REGEXES)),
        (false, _) => ("re_path", random.pick(INNER_REGEXES)),
    };
    let consumer = match random.below(30) {
        0 => format!("consumers.{class}"),
        1 => format!("consumers.{class}()"),
        2 => format!("AuthMiddlewareStack(consumers.{class}.as_asgi())"),
        3 => format!("view=consumers.{class}.as_asgi()"),
        4 => format!("consumers.{class}.as_asgi(), name='room'"),
        5 => format!("consumers.{class}.as_asgi(), {{'extra': 1}}"),
        _ => format!("consumers.{class}.as_asgi()"),
    };
    format!("{function}(r'{pattern}', {consumer})")
}

/// `routing.py`, and the expression that names its routes in `asgi.py`, with the import.
fn routing(random: &mut Random) -> (String, String, &'static str) {
    let mut code = String::from(
        "from channels.auth import AuthMiddlewareStack\nfrom channels.middleware import BaseMiddleware\n\
         from channels.routing import URLRouter\nfrom django.urls import path, re_path\n\n",
    );
    code.push_str(random.pick(&[
        "from . import consumers\n\n",
        "from p import consumers\n\n",
        "import p.consumers as consumers\n\n",
    ]));
    code.push_str("class Own(BaseMiddleware):\n    pass\n\n");
    let count = 1 + random.below(4);
    let routes: Vec<_> = (0..count).map(|_| route(random, 0)).collect();
    let list = |routes: &[String]| -> String {
        let lines: String = routes
            .iter()
            .map(|route| format!("    {route},\n"))
            .collect();
        format!("[\n{lines}]")
    };
    match random.below(9) {
        0 => code.push_str(&format!("websocket_urlpatterns = {}\n", list(&routes))),
        1 => code.push_str(&format!("websocket_urlpatterns = tuple({})\n", list(&routes))),
        2 => {
            let half = count / 2;
            code.push_str(&format!("first = {}\nwebsocket_urlpatterns = first + {}\n", list(&routes[..half]), list(&routes[half..])));
        }
        3 => {
            code.push_str("websocket_urlpatterns = []\n");
            for route in &routes {
                code.push_str(&format!("websocket_urlpatterns.append({route})\n"));
            }
        }
        4 => {
            code.push_str(&format!("websocket_urlpatterns = {}\nwebsocket_urlpatterns += {}\n", list(&routes[..1]), list(&routes[1..])));
        }
        5 => code.push_str(&format!("more = {}\nwebsocket_urlpatterns = [*more]\n", list(&routes))),
        6 => code.push_str(&format!(
            "from django.conf import settings\n\nwebsocket_urlpatterns = {}\nif settings.DEBUG:\n    websocket_urlpatterns += [path('debug/', consumers.Plain.as_asgi())]\n",
            list(&routes)
        )),
        7 => code.push_str(&format!(
            "websocket_urlpatterns = {}\nfor name in ('one', 'two'):\n    websocket_urlpatterns.append(path(f'ws/{{name}}/', consumers.Plain.as_asgi()))\n",
            list(&routes)
        )),
        _ => code.push_str(&format!(
            "websocket_urlpatterns = {} + [path(f'ws/{{name}}/', consumers.Plain.as_asgi()) for name in ('one', 'two')]\n",
            list(&routes)
        )),
    }
    let (import, names) = match random.below(4) {
        0 => (
            "from p.routing import websocket_urlpatterns\n",
            "websocket_urlpatterns",
        ),
        1 => ("from . import routing\n", "routing.websocket_urlpatterns"),
        2 => ("import p.routing\n", "p.routing.websocket_urlpatterns"),
        _ => (
            "from p import routing as sockets\n",
            "sockets.websocket_urlpatterns",
        ),
    };
    (code, import.to_owned(), names)
}

fn wrapped(random: &mut Random, inner: String) -> String {
    match random.below(12) {
        0 | 1 => format!("AuthMiddlewareStack({inner})"),
        2 => format!("AllowedHostsOriginValidator(AuthMiddlewareStack({inner}))"),
        3 | 4 => format!("AllowedHostsOriginValidator({inner})"),
        5 => {
            let list = random.pick(&[
                "['example.com']",
                "['http://example.com']",
                "['https://example.com']",
                "['.example.com']",
                "['http://.example.com:80']",
                "['wss://example.com']",
                "['*']",
                "[]",
                "['//example.com']",
                "['example.com:80', 'a.test']",
                "['http://example.com/']",
                "['*.example.com']",
            ]);
            format!("OriginValidator({inner}, {list})")
        }
        6 => format!("SessionMiddlewareStack({inner})"),
        7 => format!("CookieMiddleware(SessionMiddleware({inner}))"),
        8 => format!("AuthMiddleware({inner})"),
        9 => format!("Own({inner})"),
        _ => inner,
    }
}

/// An application, with the files of one.
pub(crate) fn generate(random: &mut Random, classes: bool) -> Application {
    let (routing, import, routes) = routing(random);
    let mut asgi = String::from("import os\n");
    let setup = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'p.settings')\n";
    asgi.push_str(setup);
    asgi.push_str(
        "from django.core.asgi import get_asgi_application\ndjango_application = get_asgi_application()\n\
         from channels.auth import AuthMiddleware, AuthMiddlewareStack\nfrom channels.middleware import BaseMiddleware\n\
         from channels.routing import ProtocolTypeRouter, URLRouter\n\
         from channels.security.websocket import AllowedHostsOriginValidator, OriginValidator\n\
         from channels.sessions import CookieMiddleware, SessionMiddleware, SessionMiddlewareStack\n\
         from django.urls import path, re_path\n",
    );
    asgi.push_str(&import);
    asgi.push_str("\nclass Own(BaseMiddleware):\n    async def __call__(self, scope, receive, send):\n        scope['own'] = 1\n        return await super().__call__(scope, receive, send)\n\n");
    let router = format!("URLRouter({routes})");
    let served = wrapped(random, router);
    match random.below(14) {
        0 => asgi.push_str("application = django_application\n"),
        1 => asgi.push_str("application = ProtocolTypeRouter({'http': django_application})\n"),
        2 => asgi.push_str(&format!("application = ProtocolTypeRouter({{'http': django_application, 'websockets': {served}}})\n")),
        3 => asgi.push_str(&format!(
            "sockets = {served}\nasync def application(scope, receive, send):\n    if scope['type'] == 'http':\n        await django_application(scope, receive, send)\n    elif scope['type'] == 'websocket':\n        await sockets(scope, receive, send)\n    else:\n        raise NotImplementedError(scope['type'])\n"
        )),
        4 => asgi.push_str(&format!("protocols = {{'http': django_application}}\nprotocols['websocket'] = {served}\napplication = ProtocolTypeRouter(protocols)\n")),
        5 => asgi.push_str(&format!("protocols = dict(http=django_application, websocket={served})\napplication = ProtocolTypeRouter(application_mapping=protocols)\n")),
        6 => asgi.push_str(&format!("sockets = {served}\napplication = Own(ProtocolTypeRouter({{'http': django_application, 'websocket': sockets}}))\n")),
        7 => asgi.push_str(&format!(
            "async def application(scope, receive, send):\n    if scope['type'] == 'websocket':\n        return await sockets(scope, receive, send)\n    await django_application(scope, receive, send)\nsockets = {served}\n"
        )),
        8 => {
            let class = random.pick(CLASSES);
            asgi.push_str(&format!("from p.consumers import {class}\napplication = ProtocolTypeRouter({{'http': django_application, 'websocket': {class}.as_asgi()}})\n"));
        }
        9 => {
            let inner: Vec<_> = (0..1 + random.below(3)).map(|_| route(random, 0)).collect();
            let inner = wrapped(random, format!("URLRouter([{}])", inner.join(", ")));
            asgi.push_str(&format!("from p import consumers\napplication = ProtocolTypeRouter({{\n{}}})\n", indented(&format!("'http': django_application,\n'websocket': {inner},\n"))));
        }
        _ => asgi.push_str(&format!("application = ProtocolTypeRouter({{\n    'http': django_application,\n    'websocket': {served},\n}})\n")),
    }
    let (procfile, target, speaks) = match random.below(10) {
        0..=3 => (
            "daphne -b 0.0.0.0 -p 80 p.asgi:application",
            "p.asgi:application",
            Speaks::WebSocket,
        ),
        4 | 5 => (
            "uvicorn --host 0.0.0.0 --port 80 p.asgi:application",
            "p.asgi:application",
            Speaks::WebSocket,
        ),
        6 => (
            "gunicorn -k uvicorn_worker.UvicornWorker -b 0.0.0.0:80 p.asgi:application",
            "p.asgi:application",
            Speaks::WebSocket,
        ),
        7 => (
            "uvicorn --ws none --host 0.0.0.0 --port 80 p.asgi:application",
            "p.asgi:application",
            Speaks::Http,
        ),
        _ => (
            "gunicorn -b 0.0.0.0:80 p.wsgi:application",
            "p.wsgi:application",
            Speaks::Wsgi,
        ),
    };
    let urls = format!(
        "from django.http import HttpResponse\nfrom django.urls import path, re_path\n\n\ndef page(request, **more):\n    return HttpResponse('page')\n\n\nurlpatterns = [\n    path('pages/<int:n>/', page),\n    path('health', page),\n    re_path(r'^admin/$', page),\n{}]\n",
        random.pick(&[
            "",
            "    path('', page),\n",
            "    re_path(r'^(?P<rest>x/.*)$', page),\n"
        ])
    );
    let files = [
        ("manage.py", "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'p.settings')\n".to_owned()),
        ("p/__init__.py", String::new()),
        ("p/asgi.py", asgi),
        ("p/wsgi.py", format!("import os\n{setup}from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n")),
        ("p/routing.py", routing),
        ("p/consumers.py", CONSUMERS.to_owned()),
        ("p/urls.py", urls),
        ("Procfile", format!("web: {procfile}\n")),
        ("requirements.txt", "Django==5.2.19\nchannels==4.3.2\ndaphne==4.2.3\nuvicorn[standard]==0.54.0\nwebsockets==17.4\ngunicorn==27.0.1\nuvicorn-worker==0.4.0\n".to_owned()),
    ];
    // Settings that are classes are set up by functions of django-configurations.
    let for_classes = |text: String| {
        let name = settings::CONFIGURATION;
        let also = format!("{setup}os.environ.setdefault('DJANGO_CONFIGURATION', '{name}')\n");
        text.replace(setup, &also)
            .replace("django.core.asgi", "configurations.asgi")
            .replace("django.core.wsgi", "configurations.wsgi")
    };
    let files = files.map(|(path, text)| {
        let text = match classes {
            true => for_classes(text),
            false => text,
        };
        (path.to_owned(), text)
    });
    Application {
        files: files.into(),
        target,
        speaks,
    }
}

/// A request: its path, its host, and a header that a proxy adds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) path: &'static str,
    pub(crate) host: &'static str,
    pub(crate) forwarded: Option<&'static str>,
}

pub(crate) fn requests(random: &mut Random) -> Vec<Asked> {
    (0..8)
        .map(|_| Asked {
            path: random.pick(ASKED),
            host: random.pick(&[
                "example.com",
                "example.com",
                "example.com",
                "www.example.com",
                "other.test",
            ]),
            forwarded: FORWARDED[random.below(FORWARDED.len())],
        })
        .collect()
}

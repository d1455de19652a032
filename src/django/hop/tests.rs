//! Requests, with what the hop answers.

use super::*;
use crate::handshake::{Browser, Header as Line};
use crate::value::Value;
use std::sync::Arc;

fn status(files: &[(&str, &str)], path: &str, forwarded: Option<&str>) -> Option<u16> {
    let project = Project::in_memory(files.iter().copied()).unwrap();
    let model = Model::resolve(&project);
    let settings = model.production().next().unwrap();
    let django = Django::new(&project, &model, settings, Arc::from([]));
    let mut request = Request::handshake(Browser::Chrome, false, "example.com", 80, path);
    request.headers.extend(forwarded.map(|value| Line {
        name: "X-Forwarded-Proto".into(),
        value: Value::Known(value.into()),
        from: None,
    }));
    match django.receive(&request).outcome {
        Outcome::Answers { status } => status,
        _ => None,
    }
}

#[test]
fn the_command_at_the_socket_takes_what_arrives_there() {
    let files = [
        ("p/settings.py", "ROOT_URLCONF = 'p.urls'\n"),
        (
            "p/asgi.py",
            "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.urls import path\n\
        application = ProtocolTypeRouter({'websocket': URLRouter([path('ws/', None)])})\n",
        ),
        (
            "p/wsgi.py",
            "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
        ),
        (
            "Procfile",
            "web: gunicorn p.wsgi --bind unix:/run/web.sock\nws: daphne -u /run/ws.sock p.asgi:application\n",
        ),
    ];
    let project = Project::in_memory(files).unwrap();
    let model = Model::resolve(&project);
    let settings = model.production().next().unwrap();
    let django = Django::new(&project, &model, settings, Arc::from([]));
    let opens = |socket: Option<&str>| {
        let mut request = Request::handshake(Browser::Chrome, false, "example.com", 80, "/ws/");
        request.socket = socket.map(str::to_owned);
        let outcome = django.receive(&request).outcome;
        matches!(outcome, Outcome::Answers { status: Some(101) })
    };
    assert!(opens(Some("/run/ws.sock")));
    assert!(!opens(Some("/run/web.sock")));
    assert!(opens(None));
}

#[test]
fn it_answers_as_the_servers_did() {
    let settings = |header: &str| {
        format!(
            "ROOT_URLCONF = 'p.urls'\nALLOWED_HOSTS = ['*']\nMIDDLEWARE = ['django.middleware.security.SecurityMiddleware']\n\
             SECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = {header}\n"
        )
    };
    let right = settings("('HTTP_X_FORWARDED_PROTO', 'https')");
    let broken = settings("('HTTP_X_FORWARDED_PROTO')");
    let exempt = format!("{right}SECURE_REDIRECT_EXEMPT = [r'^ws/']\n");
    let asgi = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.urls import path\n\
        application = ProtocolTypeRouter({'websocket': URLRouter([path('ws/', None)])})\n";
    let wsgi = ("Procfile", "web: gunicorn p.wsgi --bind 0.0.0.0:80\n");
    let daphne = ("Procfile", "web: daphne p.asgi:application\n");
    for (settings, server, path, forwarded, expected) in [
        (&right, daphne, "/ws/", None, Some(101)),
        (&right, daphne, "/other/", None, Some(500)),
        (&broken, daphne, "/ws/", None, Some(101)),
        (&right, wsgi, "/ws/", None, Some(301)),
        (&right, wsgi, "/ws/", Some("wss"), Some(301)),
        (&right, wsgi, "/ws/", Some("https, http"), None),
        (&broken, wsgi, "/ws/", Some("https"), Some(500)),
        (&exempt, wsgi, "/ws/", None, None),
        (&exempt, wsgi, "/other/", None, Some(301)),
    ] {
        let files = [
            ("p/settings.py", settings.as_str()),
            ("p/asgi.py", asgi),
            ("p/wsgi.py", "x"),
            server,
        ];
        assert_eq!(
            status(&files, path, forwarded),
            expected,
            "{server:?} {path} {forwarded:?}"
        );
    }
    // Nothing that could be called stands behind the route.
    let uncalled = asgi.replace("None", "Chat.as_asgi");
    let uncalled = format!(
        "from channels.generic.websocket import WebsocketConsumer\nclass Chat(WebsocketConsumer): pass\n{uncalled}"
    );
    for (asgi, expected) in [
        (uncalled.clone(), Some(500)),
        (uncalled.replace("as_asgi", "as_asgi()"), Some(101)),
    ] {
        let files = [
            ("p/settings.py", right.as_str()),
            ("p/asgi.py", asgi.as_str()),
            daphne,
        ];
        assert_eq!(status(&files, "/ws/", None), expected, "{asgi}");
    }
}

#[test]
fn strawberrys_router_has_routes_of_its_own() {
    let settings = "ROOT_URLCONF = 'p.urls'\nALLOWED_HOSTS = ['*']\nMIDDLEWARE = []\n";
    for (arguments, path, expected) in [
        ("schema, django", "/graphql", Some(101)),
        ("schema, django", "/graphql/", Some(101)),
        ("schema, django_application=django", "/ws/", Some(500)),
        ("schema, django, '^api/live$'", "/api/live", Some(101)),
        ("schema, url_pattern=r'^live/'", "/graphql", Some(500)),
        ("schema, url_pattern=pattern()", "/graphql", None),
        ("**options", "/graphql", None),
    ] {
        let asgi = format!(
            "from strawberry.channels import GraphQLProtocolTypeRouter\nfrom django.core.asgi import get_asgi_application\n\
             from other import options, pattern, schema\ndjango = get_asgi_application()\n\
             application = GraphQLProtocolTypeRouter({arguments})\n"
        );
        let files = [
            ("p/settings.py", settings),
            ("p/asgi.py", asgi.as_str()),
            ("Procfile", "web: daphne p.asgi:application\n"),
        ];
        assert_eq!(status(&files, path, None), expected, "{arguments} {path}");
    }
}

#[test]
fn a_server_that_can_load_nothing_opens_nothing() {
    let settings = "ROOT_URLCONF = 'p.urls'\nALLOWED_HOSTS = ['*']\nMIDDLEWARE = []\n";
    let asgi = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.urls import path\n\
        application = ProtocolTypeRouter({'websocket': URLRouter([path('ws/', None)])})\n";
    for (command, expected) in [
        ("uvicorn p.asgi:application", Some(101)),
        ("uvicorn p.asgi:app", None),
        ("uvicorn p.asgi", None),
        ("daphne p.asgi", None),
        ("hypercorn p.asgi", None),
        ("hypercorn p.asgi:application", Some(101)),
        ("gunicorn -k uvicorn_worker.UvicornWorker p.asgi", Some(101)),
        ("gunicorn -k uvicorn_worker.UvicornWorker p.asgi:app", None),
        // No module of the project, and a name that something there may make.
        ("uvicorn asgi_of_another:app", Some(101)),
        ("uvicorn p.asgi:path", Some(101)),
    ] {
        let command = format!("web: {command}\n");
        let files = [
            ("p/settings.py", settings),
            ("p/asgi.py", asgi),
            ("Procfile", command.as_str()),
        ];
        assert_eq!(status(&files, "/ws/", None), expected, "{command}");
    }
    let files = [
        ("p/settings.py", settings),
        ("p/asgi.py", "from elsewhere import *\napplication = 1\n"),
        ("Procfile", "web: uvicorn p.asgi:app\n"),
    ];
    let project = Project::in_memory(files).unwrap();
    let model = Model::resolve(&project);
    assert_eq!(model.unloadable(&model.commands[0]), None);
}

#[test]
fn waitress_and_granian_answer_as_they_do() {
    let settings = "ROOT_URLCONF = 'p.urls'\nALLOWED_HOSTS = ['*']\nSECURE_SSL_REDIRECT = True\n\
        MIDDLEWARE = ['django.middleware.security.SecurityMiddleware']\n\
        SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')\n";
    let asgi = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.urls import path\n\
        application = ProtocolTypeRouter({'websocket': URLRouter([path('ws/', None)])})\n";
    let wsgi =
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n";
    // Measured with granian 2.8.9 and waitress 3.0.2.
    for (command, expected) in [
        ("granian --interface asgi p.asgi:application", Some(101)),
        ("granian --interface asginl p.asgi:application", Some(101)),
        ("granian --interface asgi p.asgi:app", None),
        ("granian --interface asgi p.asgi", None),
        ("granian p.asgi:application", None),
        ("granian --interface wsgi p.asgi:application", Some(500)),
        ("granian --interface asgi p.wsgi:application", Some(403)),
        ("granian --interface wsgi p.wsgi:application", Some(404)),
        (
            "granian --interface asgi --no-ws p.asgi:application",
            Some(404),
        ),
        ("waitress-serve --port=80 p.asgi:application", Some(500)),
        // It takes `X-Forwarded-Proto` away, so that Django redirects.
        ("waitress-serve --port=80 p.wsgi:application", Some(301)),
        (
            "waitress-serve --no-clear-untrusted-proxy-headers p.wsgi:application",
            Some(404),
        ),
        ("hypercorn asgi:p.asgi:application", Some(101)),
    ] {
        let command = format!("web: {command}\n");
        let files = [
            ("p/settings.py", settings),
            ("p/urls.py", "urlpatterns = []\n"),
            ("p/asgi.py", asgi),
            ("p/wsgi.py", wsgi),
            ("Procfile", command.as_str()),
        ];
        assert_eq!(status(&files, "/ws/", Some("https")), expected, "{command}");
    }
}

#[test]
fn every_layer_of_an_application_has_its_answer() {
    let head = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.urls import path\n\
        from django.core.asgi import get_asgi_application\nfrom django.core.wsgi import get_wsgi_application\n\
        from channels.security.websocket import AllowedHostsOriginValidator, OriginValidator\n\
        from channels.generic.websocket import WebsocketConsumer, AsyncWebsocketConsumer\nimport socketio\nsio = socketio.AsyncServer()\n\
        class C(WebsocketConsumer): pass\n\
        class Mute(WebsocketConsumer):\n    def connect(self):\n        self.room = 'a'\n\
        class Wrong(AsyncWebsocketConsumer):\n    def connect(self):\n        self.accept()\n\
        routes = [path('ws/', C.as_asgi()), path('mute/', Mute.as_asgi()), path('wrong/', Wrong.as_asgi())]\n";
    let routed = "application = ProtocolTypeRouter({'http': get_asgi_application(), 'websocket': URLRouter(routes)})";
    let daphne = "web: daphne p.asgi:application\n";
    let gunicorn = "web: gunicorn p.asgi --bind 0.0.0.0:80\n";
    let validated = |by: &str| format!("application = ProtocolTypeRouter({{'websocket': {by}}})");
    let mounted = |by: &str| {
        format!(
            "import socketio\nfrom starlette.applications import Starlette\nfrom starlette.routing import Mount\n\
             sio = socketio.AsyncServer()\ninner = ProtocolTypeRouter({{'websocket': URLRouter(routes)}})\napplication = {by}"
        )
    };
    let open = "ALLOWED_HOSTS = ['*']\n";
    for (settings, asgi, procfile, path, expected) in [
        (open, routed, daphne, "/ws/", "101"),
        (open, routed, daphne, "/mute/", "none"),
        (open, routed, daphne, "/wrong/", "500"),
        (open, routed, daphne, "/", "500"),
        (
            open,
            "application = get_asgi_application()",
            daphne,
            "/ws/",
            "500",
        ),
        (
            open,
            "application = ProtocolTypeRouter({'websocket': get_asgi_application()})",
            daphne,
            "/ws/",
            "500",
        ),
        (
            open,
            "application = get_wsgi_application()",
            daphne,
            "/ws/",
            "500",
        ),
        (
            open,
            "application = get_wsgi_application()",
            "web: hypercorn p.asgi:application\n",
            "/ws/",
            "403",
        ),
        (open, routed, gunicorn, "/ws/", "500"),
        (
            open,
            routed,
            "web: uwsgi --http-socket :80 --module p.asgi:application\n",
            "/ws/",
            "none",
        ),
        // What another framework takes, it routes by its own rules.
        (
            open,
            &mounted("socketio.ASGIApp(sio, inner)"),
            daphne,
            "/socket.io/",
            "undecided",
        ),
        (
            open,
            &mounted("socketio.ASGIApp(sio, inner)"),
            daphne,
            "/ws/",
            "101",
        ),
        (
            open,
            &mounted("socketio.ASGIApp(sio, inner)"),
            daphne,
            "/other/",
            "500",
        ),
        (
            open,
            &mounted("Starlette(routes=[Mount('/live', inner)])"),
            daphne,
            "/ws/",
            "undecided",
        ),
        (
            open,
            &validated("URLRouter(routes + [path('live/', socketio.ASGIApp(sio))])"),
            daphne,
            "/live/",
            "undecided",
        ),
        (
            open,
            "async def sockets(scope, receive, send):\n    if scope['path'] == '/':\n        await send({'type': 'websocket.accept'})\n\
             application = ProtocolTypeRouter({'websocket': sockets})",
            daphne,
            "/ws/",
            "undecided",
        ),
        (
            open,
            "application = get_wsgi_application()",
            gunicorn,
            "/other/",
            "404",
        ),
        (
            "ALLOWED_HOSTS = ['a.example']\n",
            "application = get_wsgi_application()",
            gunicorn,
            "/ws/",
            "400",
        ),
        (
            "ALLOWED_HOSTS = ['a.example']\n",
            &validated("AllowedHostsOriginValidator(URLRouter(routes))"),
            daphne,
            "/ws/",
            "403",
        ),
        (
            "ALLOWED_HOSTS = ['.example.com']\n",
            &validated("AllowedHostsOriginValidator(URLRouter(routes))"),
            daphne,
            "/ws/",
            "101",
        ),
        (
            "import os\nALLOWED_HOSTS = os.environ['HOSTS'].split(',')\n",
            &validated("AllowedHostsOriginValidator(URLRouter(routes))"),
            daphne,
            "/ws/",
            "undecided",
        ),
        (
            open,
            &validated("OriginValidator(URLRouter(routes), ['wss://example.com'])"),
            daphne,
            "/ws/",
            "403",
        ),
        (
            open,
            "async def application(scope, receive, send):\n    if scope['type'] == 'websocket':\n        await sockets(scope, receive, send)\n\
             sockets = URLRouter(routes)",
            daphne,
            "/ws/",
            "101",
        ),
        (
            open,
            "django = get_asgi_application()\nasync def application(scope, receive, send):\n    if scope['type'] == 'http':\n        await django(scope, receive, send)\n    else:\n        raise NotImplementedError",
            daphne,
            "/ws/",
            "500",
        ),
    ] {
        let settings = format!(
            "ROOT_URLCONF = 'p.urls'\nMIDDLEWARE = ['django.middleware.common.CommonMiddleware']\n{settings}"
        );
        let asgi = format!("{head}{asgi}\n");
        let files = [
            ("p/settings.py", settings.as_str()),
            ("p/asgi.py", asgi.as_str()),
            (
                "p/urls.py",
                "from django.urls import path\nurlpatterns = [path('admin/', x)]\n",
            ),
            ("Procfile", procfile),
        ];
        let project = Project::in_memory(files).unwrap();
        let model = Model::resolve(&project);
        let settings = model.production().next().unwrap();
        let django = Django::new(&project, &model, settings, Arc::from([]));
        let request = Request::handshake(Browser::Chrome, false, "example.com", 80, path);
        let passage = django.receive(&request);
        let answered = match &passage.outcome {
            Outcome::Answers {
                status: Some(status),
            } => status.to_string(),
            Outcome::Answers { status: None } => "none".to_owned(),
            _ => "undecided".to_owned(),
        };
        assert_eq!(answered, expected, "{asgi} {procfile} {path}: {passage:?}");
    }
}

#[test]
fn the_middleware_that_stands_first_answers() {
    const SECURITY: &str = "'django.middleware.security.SecurityMiddleware'";
    const COMMON: &str = "'django.middleware.common.CommonMiddleware'";
    for (first, second, path, expected) in [
        (SECURITY, COMMON, "/ws/", Some(500)),
        (COMMON, SECURITY, "/ws/", Some(400)),
    ] {
        let settings = format!(
            "ROOT_URLCONF = 'p.urls'\nMIDDLEWARE = [{first}, {second}]\nSECURE_SSL_REDIRECT = True\n\
             SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO',)\nALLOWED_HOSTS = ['a.test']\n"
        );
        let files = [
            ("p/settings.py", settings.as_str()),
            ("p/urls.py", "urlpatterns = []\n"),
            (
                "p/wsgi.py",
                "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
            ),
            ("Procfile", "web: gunicorn p.wsgi\n"),
        ];
        assert_eq!(status(&files, path, None), expected, "{first} {path}");
    }
}

#[test]
fn an_unknown_setting_that_changes_nothing_leaves_no_doubt() {
    let settings = |lines: &str| {
        format!(
            "import os\nROOT_URLCONF = 'p.urls'\nMIDDLEWARE = ['django.middleware.security.SecurityMiddleware', 'django.middleware.common.CommonMiddleware']\n{lines}\n"
        )
    };
    let redirect = "SECURE_SSL_REDIRECT = os.environ['REDIRECT'] == '1'";
    for (lines, expected) in [
        // The host is refused before the redirect and without it.
        (format!("{redirect}\nALLOWED_HOSTS = ['a.test']"), Some(400)),
        (format!("{redirect}\nALLOWED_HOSTS = ['example.com']"), None),
        // With DEBUG only the machine's own names are let in.
        (
            "DEBUG = os.environ.get('DEBUG') == '1'".to_owned(),
            Some(400),
        ),
    ] {
        let files = [
            ("p/settings.py", settings(&lines)),
            ("p/wsgi.py", "x".to_owned()),
            (
                "p/urls.py",
                "from django.urls import path\nurlpatterns = [path('admin/', x)]\n".to_owned(),
            ),
            (
                "Procfile",
                "web: gunicorn p.wsgi --bind 0.0.0.0:80\n".to_owned(),
            ),
        ];
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        assert_eq!(status(&files, "/ws/", None), expected, "{lines}");
    }
}

#[test]
fn who_names_no_host_asks_for_one_that_is_let_in() {
    let host = |compose: String| {
        let settings = "import os\nROOT_URLCONF = 'p.urls'\nALLOWED_HOSTS = os.environ.get('HOSTS', 'a.example.com').split(',')\n";
        let files = [
            ("manage.py", ""),
            ("p/settings.py", settings),
            ("Procfile", "web: daphne p.asgi:application\n"),
            ("compose.yml", compose.as_str()),
        ];
        let project = Project::in_memory(files).unwrap();
        let model = Model::resolve(&project);
        let settings = model.production().next().unwrap();
        let entrances = Django::new(&project, &model, settings, Arc::from([])).entrances();
        entrances.into_iter().map(|entrance| entrance.host).next()
    };
    let compose = |set: &str| {
        format!(
            "services:\n  web:\n    build: .\n    command: daphne p.asgi\n    environment: [{set}]\n"
        )
    };
    for (set, expected) in [
        ("HOSTS=b.example.com", "b.example.com"),
        // The default is what runs.
        ("OTHER=x", "a.example.com"),
        // Nobody knows.
        ("HOSTS", ""),
    ] {
        assert_eq!(host(compose(set)).as_deref(), Some(expected), "{set}");
    }
}

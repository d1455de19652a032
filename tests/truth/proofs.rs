//! The harness proves itself: cases whose results are known from the servers' own documents, so
//! that a harness which lets everything through, or nothing, is found out.

use libtest_mimic::{Failed, Trial};

use crate::case::{Case, Outcome};
use crate::examples::report;
use crate::installed::{self, CaddyVersion};
use crate::sandbox;

const FORWARDS: &str = "\
server {
    listen 80;
    location /ws {
        proxy_pass http://app:8000;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
    }
    location /plain {
        proxy_pass http://app:8000;
    }
    location /old {
        proxy_pass http://unix:/run/app.sock;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $http_connection;
        proxy_hide_header Sec-WebSocket-Accept;
    }
}
";

const SITE: &str = "\
app.example.com {
    handle /ws {
        reverse_proxy localhost:9001
    }
    handle {
        respond \"no\" 418
    }
}
";

const SPLIT: [(&str, &str); 2] = [
    (
        "front/Caddyfile",
        "app.example.com {\n\treverse_proxy inner.example.com\n}\n",
    ),
    (
        "inner/Caddyfile",
        "inner.example.com {\n\treverse_proxy localhost:8000\n}\n",
    ),
];

const ECHO: [(&str, &str); 3] = [
    (
        "Procfile",
        "web: daphne -b 127.0.0.1 -p 8000 proj.asgi:application\n",
    ),
    (
        "proj/settings.py",
        "SECRET_KEY = 'x'\nALLOWED_HOSTS = ['*']\nINSTALLED_APPS = ['channels']\nROOT_URLCONF = 'proj.settings'\nurlpatterns = []\n",
    ),
    (
        "proj/asgi.py",
        "\
import os

from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'proj.settings')


class Echo(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=text_data)


application = ProtocolTypeRouter(
    {
        'http': get_asgi_application(),
        'websocket': URLRouter([path('ws/', Echo.as_asgi())]),
    }
)
",
    ),
];

pub(crate) fn trials() -> Vec<Trial> {
    let nginx =
        || case(&[("nginx.conf", FORWARDS)]).and_then(|case| installed::nginx().map(|_| case));
    let caddy = |files: &'static [(&str, &str)], version| {
        move || {
            Ok(Case {
                caddy: installed::caddy(version)?,
                ..case(files)?
            })
        }
    };
    let django = |server: &'static str| {
        move || {
            let mut case = Case {
                python: installed::python(None)?,
                ..case(&ECHO)?
            };
            case.files[0].1 = format!("web: {server} proj.asgi:application\n");
            Ok(case)
        }
    };
    const SITES: &[(&str, &str)] = &[("Caddyfile", SITE)];
    let mut trials = vec![
        trial(
            "nginx forwards",
            "ws://app.example.com/ws/1",
            nginx,
            Some(101),
            true,
        ),
        trial(
            "nginx drops the upgrade",
            "ws://app.example.com/plain",
            nginx,
            Some(426),
            false,
        ),
        trial(
            "a 101 without its accept",
            "ws://app.example.com/old",
            nginx,
            Some(101),
            false,
        ),
        trial(
            "nobody listens",
            "wss://app.example.com/ws",
            nginx,
            None,
            false,
        ),
        trial(
            "nginx refuses",
            "ws://app.example.com/ws",
            || case(&[("nginx.conf", "server { oops }")]),
            None,
            false,
        ),
        trial(
            "daphne",
            "wss://app.example.com/ws/",
            django("daphne -b 127.0.0.1 -p 8000"),
            Some(101),
            true,
        ),
        trial(
            "daphne without the route",
            "wss://app.example.com/ws/x",
            django("daphne"),
            Some(500),
            false,
        ),
        trial(
            "uvicorn",
            "wss://app.example.com/ws/",
            django("uvicorn --port $PORT"),
            Some(101),
            true,
        ),
        trial(
            "gunicorn",
            "wss://app.example.com/ws/",
            django("gunicorn -k uvicorn_worker.UvicornWorker"),
            Some(101),
            true,
        ),
    ];
    for version in [CaddyVersion::Debian, CaddyVersion::Current] {
        for (name, url, files, status, opens) in [
            (
                "over TLS",
                "wss://app.example.com/ws",
                SITES,
                Some(101),
                true,
            ),
            (
                "over TLS, another path",
                "wss://app.example.com/x",
                SITES,
                Some(418),
                false,
            ),
            (
                "over plain HTTP",
                "ws://app.example.com/ws",
                SITES,
                Some(308),
                false,
            ),
            (
                "before another",
                "wss://app.example.com/ws",
                &SPLIT,
                Some(308),
                false,
            ),
        ] {
            let name = format!("{} {name}", version.name());
            trials.push(trial(&name, url, caddy(files, version), status, opens));
        }
    }
    trials
}

fn case(files: &[(&str, &str)]) -> Result<Case, String> {
    Ok(Case {
        files: files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect(),
        url: String::new(),
        headers: Vec::new(),
        lives: false,
        plain: false,
        caddy: String::new(),
        python: String::new(),
        certificates: installed::certificates()?,
    })
}

fn trial(
    name: &str,
    url: &'static str,
    case: impl FnOnce() -> Result<Case, String> + Send + 'static,
    status: Option<u16>,
    opens: bool,
) -> Trial {
    Trial::test(format!("harness: {name}"), move || {
        let case = Case {
            url: url.to_owned(),
            ..case()?
        };
        let outcome: Outcome = sandbox::run(&case)?;
        let right = outcome.refused.is_some() == (outcome.attempts.len() != 2)
            && (outcome.refused.is_none() || status.is_none())
            && outcome
                .attempts
                .iter()
                .all(|attempt| attempt.status == status && attempt.opens == opens);
        if right {
            Ok(())
        } else {
            Err(Failed::from(format!(
                "wanted {status:?}, opens: {opens}\n{}",
                report(&outcome)
            )))
        }
    })
}

//! A repository of many projects, as `tests/growth.rs` judges it and `benches/growth.rs` times it:
//! each a Django application with Channels behind four proxies (two nginx, two Caddys), all of them
//! with the same service names, the same layout and, every other one, the same package name, as
//! copies of one template have.

/// Proxies of each project.
pub(crate) const PROXIES: usize = 4;

/// What is wrong with a project: one project of 25 has each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// nginx passes pages on, and no upgrade.
    UpgradeNotForwarded,
    /// The partners' nginx takes away what the route begins with.
    PathChanged,
    /// The staging Caddy serves pages under every path but its own for sockets.
    NotCovered,
    /// The routing hands over the consumer's class.
    ConsumerNotCalled,
}

impl Fault {
    /// Of the project of that number.
    pub(crate) fn of(number: usize) -> Option<Self> {
        match number % 25 {
            3 => Some(Self::UpgradeNotForwarded),
            8 => Some(Self::PathChanged),
            13 => Some(Self::NotCovered),
            18 => Some(Self::ConsumerNotCalled),
            _ => None,
        }
    }
}

/// The folder of a project, with `/` at its end.
pub(crate) fn folder(number: usize) -> String {
    format!("projects/shop-{number:03}/")
}

/// The path of a project's socket.
pub(crate) fn path(number: usize) -> String {
    format!("/ws/orders-{number:03}/")
}

/// The files of `projects` projects.
pub(crate) fn files(projects: usize) -> Vec<(String, String)> {
    (0..projects).flat_map(project).collect()
}

fn project(number: usize) -> Vec<(String, String)> {
    let fault = Fault::of(number);
    let package = if number.is_multiple_of(2) {
        "config".to_owned()
    } else {
        format!("shop{number:03}")
    };
    let host = format!("shop-{number:03}.example.com");
    let path = path(number);
    let written = |template: &str| {
        template
            .replace("PACKAGE", &package)
            .replace("DOMAIN", &host)
            .replace("PATH", &path)
            .replace("ROUTE", &path[1..])
    };
    let upgrade = match fault {
        Some(Fault::UpgradeNotForwarded) => "",
        _ => UPGRADE,
    };
    let partner = match fault {
        Some(Fault::PathChanged) => "/ws/ { proxy_pass http://web:8000/",
        _ => "/ws/ { proxy_pass http://web:8000",
    };
    let staging = match fault {
        Some(Fault::NotCovered) => "/live/*",
        _ => "/ws/*",
    };
    let consumer = match fault {
        Some(Fault::ConsumerNotCalled) => "Orders",
        _ => "Orders.as_asgi()",
    };
    let files = [
        ("compose.yaml", written(COMPOSE)),
        ("Dockerfile", written(DOCKERFILE)),
        ("requirements.txt", REQUIREMENTS.to_owned()),
        ("edge/Caddyfile", written(EDGE)),
        (
            "nginx/default.conf",
            written(NGINX).replace("UPGRADE", upgrade),
        ),
        (
            "partner/nginx.conf",
            written(PARTNER).replace("LOCATION", partner),
        ),
        (
            "staging/Caddyfile",
            written(STAGING).replace("SOCKETS", staging),
        ),
        ("manage.py", written(MANAGE)),
        ("PACKAGE/__init__.py", String::new()),
        ("PACKAGE/settings/__init__.py", String::new()),
        ("PACKAGE/settings/base.py", written(BASE)),
        ("PACKAGE/settings/production.py", written(PRODUCTION)),
        ("PACKAGE/asgi.py", written(ASGI)),
        ("PACKAGE/urls.py", "urlpatterns = []\n".to_owned()),
        ("orders/__init__.py", String::new()),
        (
            "orders/routing.py",
            written(ROUTING).replace("CONSUMER", consumer),
        ),
        ("orders/consumers.py", CONSUMERS.to_owned()),
    ];
    let folder = folder(number);
    files
        .into_iter()
        .map(|(name, text)| (folder.clone() + &written(name), text))
        .collect()
}

const COMPOSE: &str = "\
services:
  caddy:
    image: caddy:2.10
    ports: ['443:443']
    volumes: ['./edge/Caddyfile:/etc/caddy/Caddyfile:ro']
  nginx:
    image: nginx:1.28
    volumes: ['./nginx/default.conf:/etc/nginx/conf.d/default.conf:ro']
  partner:
    image: nginx:1.28
    ports: ['8443:443']
    volumes: ['./partner/nginx.conf:/etc/nginx/nginx.conf:ro']
  staging:
    image: caddy:2.10
    ports: ['8080:80']
    volumes: ['./staging/Caddyfile:/etc/caddy/Caddyfile:ro']
  web:
    build: .
    environment:
      DJANGO_SETTINGS_MODULE: PACKAGE.settings.production
      HOSTS: .DOMAIN
    depends_on: [redis]
  redis:
    image: redis:7
";

const DOCKERFILE: &str = r#"FROM python:3.12-slim
WORKDIR /app
COPY . .
RUN pip install -r requirements.txt
CMD ["daphne", "-b", "0.0.0.0", "-p", "8000", "PACKAGE.asgi:application"]
"#;

const REQUIREMENTS: &str = "Django==5.2\nchannels==4.2\nchannels-redis==4.2\ndaphne==4.1\n";

const EDGE: &str = "DOMAIN {\n\treverse_proxy nginx:80\n}\n";

const NGINX: &str = "\
server {
    listen 80;
    server_name DOMAIN;
    location / {
        proxy_pass http://web:8000;
        proxy_set_header Host $host;
    }
    location /ws/ {
        proxy_pass http://web:8000;
        proxy_set_header Host $host;UPGRADE
    }
}
";

const UPGRADE: &str = "
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection \"upgrade\";";

const PARTNER: &str = "\
events {}
http {
    server {
        listen 443 ssl;
        server_name partner.DOMAIN;
        ssl_certificate /etc/ssl/DOMAIN.pem;
        ssl_certificate_key /etc/ssl/DOMAIN.key;
        location / {
            proxy_pass http://web:8000;
            proxy_set_header Host DOMAIN;
        }
        location LOCATION;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection \"upgrade\";
            proxy_set_header Host DOMAIN;
        }
    }
}
";

const STAGING: &str = "\
http://staging.DOMAIN {
\thandle SOCKETS {
\t\treverse_proxy web:8000
\t}
\thandle {
\t\troot * /srv
\t\tfile_server
\t}
}
";

const MANAGE: &str = "\
import os
import sys
from django.core.management import execute_from_command_line
os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'PACKAGE.settings.production')
execute_from_command_line(sys.argv)
";

const BASE: &str = "\
SECRET_KEY = 'example'
INSTALLED_APPS = [
    'daphne',
    'django.contrib.auth',
    'django.contrib.contenttypes',
    'django.contrib.sessions',
    'channels',
    'orders',
]
MIDDLEWARE = [
    'django.middleware.security.SecurityMiddleware',
    'django.contrib.sessions.middleware.SessionMiddleware',
    'django.contrib.auth.middleware.AuthenticationMiddleware',
]
ROOT_URLCONF = 'PACKAGE.urls'
ASGI_APPLICATION = 'PACKAGE.asgi.application'
CHANNEL_LAYERS = {
    'default': {
        'BACKEND': 'channels_redis.core.RedisChannelLayer',
        'CONFIG': {'hosts': [('redis', 6379)]},
    },
}
";

const PRODUCTION: &str = "\
import os
from .base import *
ALLOWED_HOSTS = os.environ.get('HOSTS', 'localhost').split(',')
";

const ASGI: &str = "\
import os
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'PACKAGE.settings.production')
http = get_asgi_application()
from orders.routing import websocket_urlpatterns
application = ProtocolTypeRouter({
    'http': http,
    'websocket': AllowedHostsOriginValidator(
        AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
    ),
})
";

const ROUTING: &str = "\
from django.urls import path
from orders.consumers import Orders
websocket_urlpatterns = [
    path('ROUTE', CONSUMER),
]
";

const CONSUMERS: &str = "\
from channels.generic.websocket import AsyncJsonWebsocketConsumer
class Orders(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add('orders', self.channel_name)
        await self.accept()
";

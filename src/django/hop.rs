//! Django as a hop: what it answers to a handshake.
//!
//! 101 or 500 where the handshake arrives as a WebSocket (a path that no route takes raises
//! `ValueError` in Channels, which every server answers with 500); where it arrives as plain
//! HTTP, 500 if SECURE_PROXY_SSL_HEADER is no pair, 301 to itself if SecurityMiddleware takes it
//! for insecure, else what the URLconf says.

use super::checks::routing::fails_when_called;
use super::routes::WebSocket;
use super::settings::{Redirects, Settings};
use super::trusted_header::{Header, header};
use super::{Arrival, Https, Model};
use crate::handshake::{Because, Entrance, Hop, Outcome, Passage, Request, Takes, has_token};
use crate::project::Project;
use crate::source::Span;

/// One Django application under one settings module.
#[derive(Debug)]
pub struct Django<'a> {
    /// The project.
    pub project: &'a Project,
    /// The model.
    pub model: &'a Model,
    /// The settings that it runs with.
    pub settings: &'a Settings,
}

impl Hop for Django<'_> {
    fn layer(&self) -> &'static str {
        "django"
    }

    fn place(&self) -> Span {
        Span::new(self.settings.source, 0..0)
    }

    fn entrances(&self) -> Vec<Entrance> {
        let home = self.model.home(self.project, self.settings.source);
        let mut entrances: Vec<Entrance> = self
            .model
            .servers(self.project, home)
            .into_iter()
            .map(|command| Entrance {
                tls: command.ends_tls(),
                host: String::new(),
                port: command.port().unwrap_or(8000),
                span: command.span,
            })
            .collect();
        if entrances.is_empty() {
            entrances.push(Entrance {
                tls: false,
                host: String::new(),
                port: 8000,
                span: self.place(),
            });
        }
        entrances
    }

    fn takes(&self, tls: bool, _host: &str, port: u16) -> Takes {
        let here = |entrance: Entrance| entrance.tls == tls && entrance.port == port;
        if self.entrances().into_iter().any(here) {
            Takes::ByDefault
        } else {
            Takes::No
        }
    }

    fn receive(&self, request: &Request) -> Passage {
        let upgrade = request.lines("upgrade").any(|line| {
            line.value
                .known()
                .is_some_and(|value| has_token(value, "websocket"))
        });
        let connection = request.lines("connection").any(|line| {
            line.value
                .known()
                .is_some_and(|value| has_token(value, "upgrade"))
        });
        match self.model.arrival(self.project, self.settings) {
            Arrival::Http { because, how, sure } => {
                let because = vec![Because {
                    span: because,
                    message: how,
                }];
                if sure {
                    self.as_http(request, because)
                } else {
                    undecided(
                        "whether uvicorn finds a WebSocket library is not in the files",
                        because,
                    )
                }
            }
            _ if !(upgrade && connection) => self.as_http(request, Vec::new()),
            Arrival::WebSocket(command) => {
                let passage = self.as_websocket(request);
                let mut because = vec![Because {
                    span: command.span,
                    message: format!("{} hands it on as a WebSocket", command.program.name()),
                }];
                because.extend(passage.because);
                Passage {
                    at: None,
                    outcome: passage.outcome,
                    because,
                }
            }
            Arrival::Unknown => undecided(
                "no server command shows how the handshake reaches Django",
                Vec::new(),
            ),
        }
    }
}

fn undecided(why: &str, because: Vec<Because>) -> Passage {
    Passage {
        at: None,
        outcome: Outcome::Undecided {
            why: why.to_owned(),
        },
        because,
    }
}

fn answers(status: u16, because: Vec<Because>) -> Passage {
    Passage {
        at: None,
        outcome: Outcome::Answers {
            status: Some(status),
        },
        because,
    }
}

impl Django<'_> {
    fn as_websocket(&self, request: &Request) -> Passage {
        let home = self.model.home(self.project, self.settings.source);
        let mut applications = (0..)
            .zip(&self.model.applications)
            .filter(|(_, application)| self.model.home(self.project, application.source) == home);
        let (Some((at, application)), None) = (applications.next(), applications.next()) else {
            return undecided("the files show no single ASGI application", Vec::new());
        };
        let here = |message: &str| {
            vec![Because {
                span: application.span,
                message: message.to_owned(),
            }]
        };
        match application.websocket {
            WebSocket::Nothing => {
                answers(500, here("no application for the scope type `websocket`"))
            }
            WebSocket::Everything => answers(101, here("one consumer takes every path")),
            WebSocket::Unknown => undecided(
                "what takes a WebSocket can't be followed",
                here("this application"),
            ),
            WebSocket::Routed => {
                let mut open = false;
                for route in self
                    .model
                    .routes
                    .iter()
                    .filter(|route| route.application == at)
                {
                    match route.matches(&request.path) {
                        Some(true) if route.certain => {
                            if let Some(at) = fails_when_called(self.project, self.model, route) {
                                return answers(
                                    500,
                                    vec![Because {
                                        span: at,
                                        message: "no application: calling it raises TypeError"
                                            .to_owned(),
                                    }],
                                );
                            }
                            return answers(
                                101,
                                vec![Because {
                                    span: route.span,
                                    message: format!("`{}` takes it", route.pattern()),
                                }],
                            );
                        }
                        Some(false) => {}
                        _ => open = true,
                    }
                }
                if open {
                    return undecided(
                        "a route that can't be followed may take it",
                        here("this application"),
                    );
                }
                answers(
                    500,
                    here("no route takes this path: Channels raises ValueError"),
                )
            }
        }
    }

    fn as_http(&self, request: &Request, mut because: Vec<Because>) -> Passage {
        match self.settings.exempts(&request.path) {
            Some(false) => {}
            Some(true) => {
                return undecided(
                    "SECURE_REDIRECT_EXEMPT spares it, so the URLconf decides: 404 unless a view serves the socket",
                    because,
                );
            }
            None => {
                return undecided(
                    "what SECURE_REDIRECT_EXEMPT spares is not in the files",
                    because,
                );
            }
        }
        let redirect = match self.settings.redirects() {
            Redirects::No => {
                return undecided(
                    "the URLconf decides: 404 unless a view serves the socket",
                    because,
                );
            }
            Redirects::Unknown | Redirects::Perhaps(_) => {
                return undecided(
                    "whether SECURE_SSL_REDIRECT is on is not in the files",
                    because,
                );
            }
            Redirects::Yes(value) => value,
        };
        let setting = self.settings.get("SECURE_PROXY_SSL_HEADER");
        let Some(value) = setting.certain() else {
            return undecided(
                "SECURE_PROXY_SSL_HEADER is not to be known from the files",
                because,
            );
        };
        let sent = match header(value) {
            Header::Malformed(_) => {
                because.push(Because {
                    span: value.span,
                    message: "no pair, so Django raises ImproperlyConfigured".to_owned(),
                });
                return answers(500, because);
            }
            Header::Unknown => {
                return undecided(
                    "SECURE_PROXY_SSL_HEADER is not to be known from the files",
                    because,
                );
            }
            Header::Off => None,
            Header::Pair { name, value } => {
                let (Some(name), Some(secure)) = (name.data.as_text(), value.data.as_text()) else {
                    return undecided(
                        "SECURE_PROXY_SSL_HEADER is not to be known from the files",
                        because,
                    );
                };
                let name = name
                    .strip_prefix("HTTP_")
                    .unwrap_or_default()
                    .replace('_', "-");
                let line = request.lines(&name).next().map(|line| line.value.clone());
                match line {
                    Some(line) => match line
                        .decide(|sent| sent.split(',').next().map(str::trim) == Some(secure))
                    {
                        Some(secure) => Some(secure),
                        None => {
                            return undecided(
                                "the value of the trusted header is unknown",
                                because,
                            );
                        }
                    },
                    None => None,
                }
            }
        };
        // An absent header leaves the server's own word (django/http/request.py `scheme`).
        let secure = match sent {
            Some(secure) => secure,
            None if request.tls => true,
            None => match self.model.servers_know_https(self.project, self.settings) {
                Https::Unknown => false,
                _ => return undecided("the server may know the scheme by itself", because),
            },
        };
        if secure {
            return undecided(
                "the URLconf decides: 404 unless a view serves the socket",
                because,
            );
        }
        because.push(Because {
            span: redirect.span,
            message: "SECURE_SSL_REDIRECT answers 301 to the same URL".to_owned(),
        });
        answers(301, because)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::{Browser, Header as Line};
    use crate::value::Value;

    fn status(files: &[(&str, &str)], path: &str, forwarded: Option<&str>) -> Option<u16> {
        let project = Project::in_memory(files.iter().copied()).unwrap();
        let model = Model::resolve(&project);
        let django = Django {
            project: &project,
            model: &model,
            settings: model.production().next().unwrap(),
        };
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
    fn it_answers_as_the_servers_did() {
        let settings = |header: &str| {
            format!(
                "ROOT_URLCONF = 'p.urls'\nMIDDLEWARE = ['django.middleware.security.SecurityMiddleware']\n\
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
}

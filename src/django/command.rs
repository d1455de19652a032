//! How the application is started: the server commands of Procfiles, Dockerfiles, compose files,
//! scripts, units and a package's tasks, and the environment that they set.
//!
//! A scanner of words, not a parser of five formats: a command is the name of a server and the
//! words after it, up to what ends a command in a shell, a JSON list or a YAML block.

mod words;

use crate::project::is_platform;
use crate::source::{Source, Span};

/// A server program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// gunicorn.
    Gunicorn,
    /// uvicorn.
    Uvicorn,
    /// daphne.
    Daphne,
    /// hypercorn.
    Hypercorn,
    /// uwsgi.
    Uwsgi,
    /// waitress, which serves WSGI alone.
    Waitress,
    /// granian, whose `--interface` says what it serves.
    Granian,
    /// `manage.py runserver`.
    Runserver,
}

impl Program {
    const ALL: [(&'static str, Self); 9] = [
        ("gunicorn", Self::Gunicorn),
        ("uvicorn", Self::Uvicorn),
        ("daphne", Self::Daphne),
        ("hypercorn", Self::Hypercorn),
        ("uwsgi", Self::Uwsgi),
        ("runserver", Self::Runserver),
        ("waitress-serve", Self::Waitress),
        // `python -m waitress`.
        ("waitress", Self::Waitress),
        ("granian", Self::Granian),
    ];

    /// The one that a word of a command starts.
    fn of(word: &str) -> Option<Self> {
        let name = word.rsplit('/').next().unwrap_or_default();
        let known = Self::ALL.iter().find(|(known, _)| *known == name);
        known.map(|(_, program)| *program)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, program)| *program == self)
            .map_or("", |(name, _)| name)
    }
}

/// A word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word without quotes.
    pub text: String,
    /// Where.
    pub span: Span,
}

impl Word {
    /// Whether it runs Django's management commands.
    fn is_management(&self) -> bool {
        self.text.ends_with("manage.py") || self.text.ends_with("django-admin")
    }
}

/// A command that starts a server.
#[derive(Clone, Debug)]
pub struct Command {
    /// The server.
    pub program: Program,
    /// The application, `module:attribute` or `module`.
    pub target: Option<Word>,
    /// All words after the server's name.
    pub words: Vec<Word>,
    /// From the server's name to the last word.
    pub span: Span,
    /// Whether the configuration file that it names was read into `words`.
    pub config_is_read: bool,
    /// Whether a platform starts it, which says by PORT where to listen.
    on_platform: bool,
    /// Whether the environment may choose gunicorn's worker.
    worker_is_open: bool,
    /// Whether only a compose profile for developers starts it.
    is_for_development: bool,
}

impl Command {
    /// Whether a configuration file that was not read may change what it does.
    pub fn is_configured_elsewhere(&self) -> bool {
        self.words.iter().any(|word| word.text.ends_with(".ini"))
            || (self.option(&["--config", "-c"]).is_some() && !self.config_is_read)
    }

    /// The value of an option: `--name value`, `--name=value`, `-nvalue`.
    pub fn option(&self, names: &[&str]) -> Option<&str> {
        self.words.iter().enumerate().find_map(|(at, word)| {
            names.iter().find_map(|name| {
                let rest = word.text.strip_prefix(name)?;
                if rest.is_empty() {
                    return self.words.get(at + 1).map(|next| next.text.as_str());
                }
                match rest.strip_prefix('=') {
                    Some(value) => Some(value),
                    None => (!name.starts_with("--")).then_some(rest),
                }
            })
        })
    }

    /// Whether a flag is there.
    pub fn flag(&self, name: &str) -> bool {
        self.words.iter().any(|word| word.text == name)
    }

    /// The word of an option, to point at.
    pub fn word(&self, name: &str) -> Option<&Word> {
        self.words.iter().find(|word| {
            word.text == name
                || word
                    .text
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('='))
        })
    }

    /// gunicorn's worker class.
    pub fn worker_class(&self) -> Option<&str> {
        self.option(&["--worker-class", "-k"])
    }

    /// What kind of worker gunicorn runs, or how granian calls the application, for a message.
    pub fn worker(&self) -> String {
        match (self.program, self.worker_class()) {
            (Program::Gunicorn, Some(class)) => format!(" with the worker `{class}`"),
            // gunicorn/config.py worker_class: threads turn `sync` into `gthread`.
            (Program::Gunicorn, None) if self.option(&["--threads"]).is_some() => {
                " with its threaded worker".to_owned()
            }
            (Program::Gunicorn, None) => " with its default sync worker".to_owned(),
            (Program::Granian, _) => match self.interface() {
                Some(interface) => format!(" with `--interface {interface}`"),
                None => String::new(),
            },
            _ => String::new(),
        }
    }

    /// Whether a handshake reaches the application as a WebSocket, as far as the command says:
    /// an ASGI server, or gunicorn with a worker that speaks ASGI.
    pub fn speaks_asgi(&self) -> bool {
        match self.program {
            Program::Uvicorn | Program::Daphne | Program::Hypercorn => true,
            Program::Gunicorn => self.worker_class().is_some_and(|class| {
                class.to_ascii_lowercase().contains("uvicorn") || class.contains("asgi")
            }),
            Program::Granian => matches!(self.interface(), Some("asgi" | "asginl")),
            Program::Uwsgi | Program::Runserver | Program::Waitress => false,
        }
    }

    /// What granian calls the application by; its default is `rsgi`, which nothing of Django speaks,
    /// unless GRANIAN_INTERFACE names another (granian/cli.py).
    fn interface(&self) -> Option<&str> {
        self.option(&["--interface"])
    }

    /// Whether gunicorn runs a worker of the project itself, which may be set up in any way.
    pub fn has_own_worker(&self) -> bool {
        self.program == Program::Gunicorn
            && self.worker_class().is_some_and(|class| {
                class.contains('.')
                    && !["gunicorn.", "uvicorn.", "uvicorn_worker."]
                        .iter()
                        .any(|known| class.starts_with(known))
            })
    }

    /// Whether something that was not read may make it speak ASGI.
    pub fn may_speak_asgi(&self) -> bool {
        match self.program {
            Program::Gunicorn => {
                self.has_own_worker()
                    || self.worker_is_open
                    || self.worker_class().is_none() && self.is_configured_elsewhere()
            }
            Program::Granian => !matches!(self.interface(), Some("asgi" | "asginl" | "wsgi")),
            _ => false,
        }
    }

    /// Whether it runs uvicorn, by itself or as gunicorn's worker.
    pub fn is_uvicorn(&self) -> bool {
        self.program == Program::Uvicorn
            || (self.program == Program::Gunicorn
                && self
                    .worker_class()
                    .is_some_and(|class| class.to_ascii_lowercase().contains("uvicorn")))
    }

    /// Whether it serves an application that may take WebSockets: not a WSGI one.
    pub fn serves_websockets(&self) -> bool {
        self.speaks_asgi()
            && !self
                .target
                .as_ref()
                .is_some_and(|target| target.text.contains("wsgi"))
    }

    /// The port that it listens on; `None` where it listens on a Unix socket, or where the
    /// environment says it.
    pub fn port(&self) -> Option<u16> {
        let last = |text: &str| text.rsplit(':').next()?.parse().ok();
        match self.program {
            Program::Gunicorn | Program::Hypercorn => match self.option(&["--bind", "-b"]) {
                Some(bind) => last(bind),
                None => (!self.on_platform).then_some(8000),
            },
            Program::Uvicorn | Program::Granian if self.option(&["--uds", "--fd"]).is_some() => {
                None
            }
            Program::Waitress if self.option(&["--unix-socket"]).is_some() => None,
            // waitress/adjustments.py.
            Program::Waitress => match self.option(&["--listen", "--port"]) {
                Some(listen) => last(listen),
                None => Some(8080),
            },
            Program::Daphne if self.option(&["-u", "--unix-socket"]).is_some() => None,
            Program::Uvicorn | Program::Daphne | Program::Granian => {
                match self.option(&["--port", "-p"]) {
                    Some(port) => port.parse().ok(),
                    None => Some(8000),
                }
            }
            Program::Uwsgi => last(self.option(&["--http", "--http-socket", "--https"])?),
            Program::Runserver => self
                .words
                .iter()
                .find_map(|word| last(&word.text))
                .or(Some(8000)),
        }
    }

    /// The port that it listens on, where the command itself says it.
    pub fn written_port(&self) -> Option<u16> {
        let options = [
            "--port",
            "-p",
            "--bind",
            "-b",
            "--listen",
            "--http",
            "--http-socket",
            "--https",
        ];
        let says = self.program == Program::Runserver || self.option(&options).is_some();
        if says { self.port() } else { None }
    }

    /// The path of the Unix socket that it listens on.
    pub fn socket(&self) -> Option<&str> {
        let named = |names: &[&str]| self.option(names);
        let bound = |names: &[&str]| {
            // gunicorn/util.py parse_address: `unix:PATH` and `unix://PATH`.
            let rest = named(names)?.strip_prefix("unix:")?;
            Some(rest.strip_prefix("//").unwrap_or(rest))
        };
        match self.program {
            Program::Gunicorn | Program::Hypercorn => bound(&["--bind", "-b"]),
            Program::Uvicorn | Program::Granian => named(&["--uds"]),
            Program::Waitress => named(&["--unix-socket"]),
            Program::Daphne => named(&["-u", "--unix-socket"]),
            Program::Uwsgi => {
                named(&["--http-socket", "--socket"]).filter(|socket| !socket.contains(':'))
            }
            Program::Runserver => None,
        }
    }

    /// The seconds between two pings on an open socket, where the command says them.
    pub fn ping(&self) -> Option<f64> {
        let seconds: f64 = self.option(&[self.ping_option()?])?.parse().ok()?;
        // 0 is never for daphne, and for the others nothing that one would write.
        (seconds > 0.0).then_some(seconds)
    }

    /// The option that says how often the server pings.
    pub fn ping_option(&self) -> Option<&'static str> {
        match self.program {
            Program::Daphne => Some("--ping-interval"),
            Program::Uvicorn => Some("--ws-ping-interval"),
            Program::Hypercorn => Some("--websocket-ping-interval"),
            _ => None,
        }
    }

    /// Whether it ends TLS itself, so that Django sees `https` without any header.
    pub fn ends_tls(&self) -> bool {
        match self.program {
            Program::Gunicorn => self.option(&["--certfile"]).is_some(),
            Program::Uvicorn => self.option(&["--ssl-certfile", "--ssl-keyfile"]).is_some(),
            Program::Daphne => self.words.iter().any(|word| word.text.starts_with("ssl:")),
            Program::Hypercorn => self.option(&["--certfile"]).is_some(),
            Program::Uwsgi => self.words.iter().any(|word| word.text.contains("https")),
            Program::Granian => self.option(&["--ssl-certificate"]).is_some(),
            // It ends none; the option says what Django is told.
            Program::Waitress => self.option(&["--url-scheme"]) == Some("https"),
            Program::Runserver => false,
        }
    }

    /// Whether only a compose profile for developers starts it: `docker compose up` does not, and a
    /// server of another profile may well be production's.
    pub fn is_for_development(&self) -> bool {
        self.is_for_development
    }

    /// Whether only the same machine can reach it, so that every peer is one that gunicorn and
    /// uvicorn trust by default (`forwarded_allow_ips` is 127.0.0.1; a Unix socket is trusted).
    fn is_local(&self) -> bool {
        let bind = match self.program {
            // gunicorn/config.py: PORT, else 127.0.0.1:8000.
            Program::Gunicorn => self
                .option(&["--bind", "-b"])
                .or((!self.on_platform).then_some("127.0.0.1:8000")),
            Program::Uvicorn if self.option(&["--uds", "--fd"]).is_some() => return true,
            Program::Uvicorn => Some(self.option(&["--host"]).unwrap_or("127.0.0.1")),
            _ => None,
        };
        bind.is_some_and(|bind| {
            bind.starts_with("unix:")
                || bind.starts_with("127.0.0.1")
                || bind.starts_with("localhost")
                || bind.starts_with("fd://")
        })
    }

    /// Whether it takes the word of a proxy on its own machine, wherever it listens:
    /// `forwarded_allow_ips` is 127.0.0.1 by default (gunicorn/config.py, uvicorn/config.py).
    pub(super) fn trusts_loopback(&self) -> bool {
        matches!(self.program, Program::Gunicorn | Program::Uvicorn)
            && !self.flag("--no-proxy-headers")
    }

    /// Whether the server itself takes `X-Forwarded-Proto: https` for the scheme, so that Django
    /// sees `https` although its own setting finds nothing; `allowed` is FORWARDED_ALLOW_IPS.
    pub fn trusts_forwarded_proto(&self, allowed: Option<&str>) -> bool {
        match self.program {
            // uwsgi takes it from every peer (plugins/http and core/protocol.c set UWSGI_SCHEME).
            Program::Uwsgi => true,
            Program::Daphne => self.flag("--proxy-headers"),
            // waitress/proxy_headers.py: from a trusted proxy alone.
            Program::Waitress => self.option(&["--trusted-proxy"]).is_some(),
            Program::Hypercorn | Program::Runserver | Program::Granian => false,
            Program::Gunicorn | Program::Uvicorn => {
                match self.option(&["--forwarded-allow-ips"]).or(allowed) {
                    // A list of addresses or networks may well hold the proxy's; we can't tell.
                    Some(allowed) => !allowed.is_empty(),
                    None => self.is_local() && !self.flag("--no-proxy-headers"),
                }
            }
        }
    }
}

/// What the files set in the environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `FORWARDED_ALLOW_IPS`, which gunicorn and uvicorn read.
    pub forwarded_allow_ips: Vec<Word>,
    /// `DJANGO_SETTINGS_MODULE`, wherever it is set.
    pub settings: Vec<Word>,
    /// `DJANGO_CONFIGURATION`: the class of settings, for django-configurations.
    pub configuration: Vec<Word>,
}

/// The server commands of a source.
pub fn commands(source: &Source) -> Vec<Command> {
    let words = words::of(source);
    let profiles = crate::deploy::optional(source);
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let Some(first) = &words[at] else {
            at += 1;
            continue;
        };
        let Some(program) = Program::of(&first.text) else {
            at += 1;
            continue;
        };
        let end = words[at..]
            .iter()
            .position(Option::is_none)
            .map_or(words.len(), |length| at + length);
        let arguments: Vec<Word> = words[at + 1..end].iter().flatten().cloned().collect();
        let target = target(program, &arguments);
        let is_command = match program {
            Program::Runserver => at > 0 && words[at - 1].as_ref().is_some_and(Word::is_management),
            // An installed package, a file's name or a comment is no command.
            Program::Uwsgi => {
                target.is_some() || arguments.iter().any(|word| word.text.ends_with(".ini"))
            }
            _ => target.is_some(),
        };
        if is_command {
            let span = arguments
                .last()
                .map_or(first.span, |last| first.span.to(last.span));
            found.push(Command {
                program,
                target,
                words: arguments,
                span,
                config_is_read: false,
                on_platform: source.name().eq_ignore_ascii_case("procfile")
                    || is_platform(source.name()),
                worker_is_open: source.text.contains("GUNICORN_CMD_ARGS"),
                is_for_development: profiles.iter().any(|(service, profiles)| {
                    let named = |name: &String| super::evaluate::is_development(name);
                    service.contains(span)
                        && (program == Program::Runserver || profiles.iter().all(named))
                }),
            });
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

/// What the source sets in the environment.
pub fn environment(source: &Source) -> Environment {
    let mut environment = Environment::default();
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let here = start;
        start += line.len();
        if line.trim_start().starts_with('#') {
            continue;
        }
        for name in [
            "FORWARDED_ALLOW_IPS",
            "DJANGO_SETTINGS_MODULE",
            "DJANGO_CONFIGURATION",
        ] {
            let Some(at) = line.find(name) else { continue };
            let rest = &line[at + name.len()..];
            // `NAME=value`, `NAME: value`, `NAME value` (Dockerfile), `"NAME": "value"`.
            let value_at =
                rest.find(|char: char| !matches!(char, '=' | ':' | ' ' | '\t' | '"' | '\'' | ','));
            let Some(value_at) = value_at.filter(|at| *at > 0) else {
                continue;
            };
            let value = &rest[value_at..];
            let length = value
                .find([' ', '\t', '\n', '\r', '"', '\'', ';', '&'])
                .unwrap_or(value.len());
            let from = here + at + name.len() + value_at;
            let word = Word {
                text: value[..length].to_owned(),
                span: Span::new(source.id, from..from + length),
            };
            if name == "FORWARDED_ALLOW_IPS" {
                environment.forwarded_allow_ips.push(word);
            } else if name == "DJANGO_CONFIGURATION" {
                environment.configuration.push(word);
            } else if is_dotted(&word.text) {
                environment.settings.push(word);
            }
        }
    }
    environment
}

/// The modules that a file of commands names.
pub(super) fn modules(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in
        text.split(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | ':')))
    {
        let word = word.trim_matches(['.', ':']);
        let word = word.strip_prefix("asgi:").unwrap_or(word);
        let module = word.split(':').next().unwrap_or_default();
        let named = module.ends_with(".asgi")
            || module.ends_with(".wsgi")
            || module.contains("settings")
            || module.ends_with("routing");
        if named && is_dotted(module) && module.contains('.') {
            found.push(module.to_owned());
        }
    }
    // `DJANGO_SETTINGS_MODULE=a.b` whatever it is called.
    for (at, _) in text.match_indices("DJANGO_SETTINGS_MODULE") {
        let rest = &text[at + "DJANGO_SETTINGS_MODULE".len()..];
        let rest = rest.trim_start_matches(['=', ':', ' ', '\t', '"', '\'']);
        let end = rest
            .find(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '_' | '.')))
            .unwrap_or(rest.len());
        if is_dotted(&rest[..end]) {
            found.push(rest[..end].to_owned());
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The configuration files that gunicorn's and hypercorn's commands name, by their tails.
pub(super) fn config_files(text: &str) -> Vec<String> {
    text.split(|char: char| {
        char.is_whitespace() || matches!(char, '"' | '\'' | ',' | '=' | '[' | ']')
    })
    .filter_map(|word| match word.strip_prefix("file:") {
        // hypercorn's.
        Some(path) => Some(path),
        None => word.contains("gunicorn").then_some(word),
    })
    .filter(|word| word.ends_with(".py"))
    .filter_map(|word| word.rsplit('/').next())
    .map(str::to_owned)
    .collect()
}

/// Whether `word` is a dotted Python name.
pub(super) fn is_dotted(word: &str) -> bool {
    !word.is_empty()
        && word.split('.').all(|part| {
            part.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_')
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
}

/// The application among a command's words.
fn target(program: Program, words: &[Word]) -> Option<Word> {
    let is_target = |text: &str| match text.split_once(':') {
        Some((module, attribute)) => {
            is_dotted(module) && is_dotted(attribute.trim_end_matches("()"))
        }
        None => is_dotted(text) && (text.ends_with(".wsgi") || text.ends_with(".asgi")),
    };
    if program == Program::Uwsgi {
        return words.iter().enumerate().find_map(|(at, word)| {
            let value = match word.text.as_str() {
                "--module" | "-w" | "--wsgi" => words.get(at + 1)?.clone(),
                text => {
                    let value = text
                        .strip_prefix("--module=")
                        .or_else(|| text.strip_prefix("module="))?;
                    Word {
                        text: value.to_owned(),
                        span: word.span,
                    }
                }
            };
            Some(value)
        });
    }
    let mut skip = false;
    for word in words {
        // hypercorn/utils.py load_application: `asgi:` and `wsgi:` may stand before the module.
        let prefixed = (program == Program::Hypercorn)
            .then(|| word.text.strip_prefix("asgi:"))
            .flatten();
        if let Some(text) = prefixed.filter(|text| is_target(text)) {
            return Some(Word {
                text: text.to_owned(),
                span: word.span,
            });
        }
        // The value of an option is no target; `-k module:class` looks like one.
        let is_value = std::mem::take(&mut skip);
        if word.text.starts_with('-') {
            skip = !word.text.contains('=')
                && matches!(
                    word.text.as_str(),
                    "-k" | "--worker-class"
                        | "-c"
                        | "--config"
                        | "--log-config"
                        | "-e"
                        | "-b"
                        | "--bind"
                );
        } else if !is_value && is_target(&word.text) {
            return Some(word.clone());
        }
    }
    None
}

#[cfg(test)]
mod tests;

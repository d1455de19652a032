//! What Django answers where a handshake reaches it as a plain HTTP request.

use super::{Django, answers, ends, undecided};
use crate::django::data::{Data, Possible};
use crate::django::routes::Page;
use crate::django::trusted_header::{Header, header};
use crate::django::{Https, origin};
use crate::handshake::{Because, Hop, Outcome, Passage, Peer, Request};
use crate::source::Span;

const UNKNOWN_HEADER: &str = "SECURE_PROXY_SSL_HEADER is not to be known from the files";

/// What Django takes a request for.
enum Secure {
    Yes,
    No,
    /// One or the other, and why that is not known.
    Perhaps(&'static str),
    /// Neither: it raises.
    Raises,
    /// Not even whether it raises.
    Unknown,
}

impl Django<'_> {
    pub(super) fn as_http(&self, request: &Request, because: Vec<Because>) -> Passage {
        // django/middleware/security.py: `redirect and not is_secure() and not any(exempt)`. What
        // is surely false decides, whatever is not known of the others.
        // What the environment supplies is its default.
        let setting = self.settings.get("SECURE_SSL_REDIRECT");
        let redirect = setting.agreed(|value| value.data.truth());
        if self.settings.lacks_security_middleware() || redirect == Some(false) {
            return self.urlconf(request, because);
        }
        let host_first = self.settings.checks_host_first();
        if host_first != Some(false) {
            let mut seen = because.clone();
            if let Some(passage) = self.disallowed(request, &mut seen) {
                return match host_first {
                    Some(_) => passage,
                    None => undecided(
                        "in which order middlewares run is not in the files",
                        because,
                    ),
                };
            }
        }
        let place = setting.values.first().map(|value| value.span);
        let place = place.unwrap_or_else(|| self.place());
        let why = match (redirect, self.settings.redirecting()) {
            (Some(true), Some(_)) => None,
            (Some(true), None) => Some("whether SecurityMiddleware runs is not in the files"),
            _ => Some("whether SECURE_SSL_REDIRECT is on is not in the files"),
        };
        let on = self.redirected(request, place, because.clone());
        // CommonMiddleware adds a slash before SecurityMiddleware can raise.
        let raises = matches!(on.outcome, Outcome::Answers { status: Some(500) });
        if raises && host_first != Some(false) && !request.path.ends_with('/') {
            let why = "whether CommonMiddleware adds a slash to the path is not followed";
            return undecided(why, because);
        }
        let Some(why) = why else { return on };
        // On or off, the answer may be the same one.
        let off = self.urlconf(request, because.clone());
        match (&on.outcome, &off.outcome) {
            (Outcome::Answers { status: one }, Outcome::Answers { status: other }) => {
                match one == other {
                    true => off,
                    false => ends(None, off.because),
                }
            }
            (Outcome::Undecided { why: one }, Outcome::Undecided { why: other })
                if one == other =>
            {
                off
            }
            _ => undecided(why, because),
        }
    }

    /// What Django answers where SECURE_SSL_REDIRECT is on; `redirect` turns it on.
    fn redirected(&self, request: &Request, redirect: Span, mut because: Vec<Because>) -> Passage {
        let setting = self.settings.get("SECURE_PROXY_SSL_HEADER");
        let Some(value) = setting.certain() else {
            return undecided(UNKNOWN_HEADER, because);
        };
        let secure = match self.is_secure(request, value) {
            Secure::Yes => return self.urlconf(request, because),
            Secure::Raises => {
                because.push(Because {
                    span: value.span,
                    message: "no pair, so Django raises ImproperlyConfigured".to_owned(),
                });
                return answers(500, because);
            }
            Secure::Unknown => return undecided(UNKNOWN_HEADER, because),
            secure => secure,
        };
        let exempts = self.settings.exempts(&request.path);
        if exempts == Some(true) {
            let setting = self.settings.get("SECURE_REDIRECT_EXEMPT");
            because.extend(setting.certain().map(|value| Because {
                span: value.span,
                message: "spares it from the redirect to https".to_owned(),
            }));
            return self.urlconf(request, because);
        }
        if let Secure::Perhaps(why) = secure {
            let passage = self.urlconf(request, because.clone());
            // Redirected or not, it is no 101.
            return match passage.outcome {
                Outcome::Answers { .. } if exempts.is_some() => ends(None, passage.because),
                _ => undecided(why, because),
            };
        }
        if exempts.is_none() {
            let why = "what SECURE_REDIRECT_EXEMPT spares is not in the files";
            return undecided(why, because);
        }
        because.push(Because {
            span: value.span,
            message: match &value.data {
                Data::Absent => "no SECURE_PROXY_SSL_HEADER says that the client used TLS",
                _ => "does not say that the client used TLS",
            }
            .to_owned(),
        });
        let setting = self.settings.get("SECURE_SSL_HOST");
        if matches!(
            setting.certain().map(|host| &host.data),
            Some(Data::Absent | Data::None)
        ) && let Some(passage) = self.disallowed(request, &mut because)
        {
            return passage;
        }
        because.push(Because {
            span: redirect,
            message: if request.host.is_empty() {
                "SECURE_SSL_REDIRECT answers 301 to the same URL".to_owned()
            } else {
                format!(
                    "SECURE_SSL_REDIRECT answers 301 to https://{}{}: to itself",
                    request.host, request.path
                )
            },
        });
        answers(301, because)
    }

    /// What `request.is_secure()` is, by this value of SECURE_PROXY_SSL_HEADER.
    fn is_secure(&self, request: &Request, value: &Possible) -> Secure {
        let told = |secure| if secure { Secure::Yes } else { Secure::No };
        match header(value) {
            Header::Malformed(_) => return Secure::Raises,
            Header::Unknown => return Secure::Unknown,
            Header::Off => {}
            Header::Pair { name, value } => {
                let (Some(name), Some(secure)) = (name.data.as_text(), value.data.as_text()) else {
                    return Secure::Unknown;
                };
                let name = name
                    .strip_prefix("HTTP_")
                    .unwrap_or_default()
                    .replace('_', "-");
                if let Some(line) = request.lines(&name).next() {
                    let is_secure =
                        |sent: &str| sent.split(',').next().map(str::trim) == Some(secure);
                    return match line.value.decide(|sent| is_secure(sent)) {
                        Some(secure) => told(secure),
                        None => Secure::Perhaps("the value of the trusted header is unknown"),
                    };
                }
            }
        }
        // An absent header leaves the server's own word (django/http/request.py `scheme`).
        if request.tls {
            return Secure::Yes;
        }
        let local =
            request.peer == Peer::Local && request.lines("x-forwarded-proto").next().is_some();
        let https = self.model.servers_know_https_from(
            self.project,
            self.settings,
            local,
            self.command(request),
        );
        match https {
            Https::Unknown => Secure::No,
            _ => Secure::Perhaps("the server may know the scheme by itself"),
        }
    }

    /// 400 where ALLOWED_HOSTS does not hold the host (django/http/request.py, get_host).
    fn disallowed(&self, request: &Request, because: &mut Vec<Because>) -> Option<Passage> {
        let forwarded = self.settings.get("USE_X_FORWARDED_HOST");
        let plain = matches!(
            forwarded.certain().map(|value| &value.data),
            Some(Data::Absent | Data::Bool(false))
        );
        if request.host.is_empty() || !plain && request.lines("x-forwarded-host").next().is_some() {
            return None;
        }
        let tell = |hosts: &[String]| origin::allows_host(hosts, &request.host);
        match self.allows(tell, |allowed| *allowed) {
            Some(true) => return None,
            Some(false) => {}
            None => {
                let why = self.unknown_hosts("which hosts ALLOWED_HOSTS holds");
                return Some(undecided(&why, std::mem::take(because)));
            }
        }
        because.extend(self.supplied_hosts());
        let setting = self.settings.get("ALLOWED_HOSTS");
        because.extend(setting.certain().map(|value| Because {
            span: value.span,
            message: format!("does not hold the host `{}`: DisallowedHost", request.host),
        }));
        Some(answers(400, std::mem::take(because)))
    }

    /// What the URLconf answers: 404 for a path that none of its patterns begins with.
    fn urlconf(&self, request: &Request, mut because: Vec<Because>) -> Passage {
        let common = self
            .settings
            .runs("django.middleware.common.CommonMiddleware");
        if common != Some(false)
            && let Some(passage) = self.disallowed(request, &mut because)
        {
            return match common {
                Some(_) => passage,
                None => undecided("whether CommonMiddleware runs is not in the files", because),
            };
        }
        let setting = self.settings.get("ROOT_URLCONF");
        let named = setting.certain().and_then(|value| {
            let name = value.data.as_text()?;
            Some((value.span, self.model.urlconfs.get(name)?))
        });
        if let Some((span, pages)) = named {
            let path = request.path.trim_start_matches('/');
            // django/middleware/common.py should_redirect_with_slash: only where that would match.
            let slashed = format!("{path}/");
            let misses = |page: &&Page, path: &str| page.level.rest(path) == Some(None);
            let mut taking = pages
                .iter()
                .filter(|page| !misses(page, path) || !misses(page, &slashed))
                .peekable();
            if taking.peek().is_none() {
                because.push(Because {
                    span,
                    message: "no pattern of the URLconf takes this path".to_owned(),
                });
                return answers(404, because);
            }
            let first = taking.peek().map_or(span, |page| page.level.span);
            if taking.all(|page| page.plain) {
                because.push(Because {
                    span: first,
                    message: "takes the path for a view, which has to do with no socket".to_owned(),
                });
                return ends(None, because);
            }
        }
        if let Some(route) = self.channels_route(&request.path) {
            because.push(Because {
                span: route,
                message: "takes the path, but only as a WebSocket".to_owned(),
            });
            return ends(None, because);
        }
        undecided(
            "the URLconf decides: 404 unless a view serves the socket",
            because,
        )
    }

    /// The Channels route of this application that would take the path.
    fn channels_route(&self, path: &str) -> Option<Span> {
        self.model
            .routes_of(self.home())
            .filter(|route| route.matches(path) == Some(true))
            .map(|route| route.span)
            .next()
    }
}

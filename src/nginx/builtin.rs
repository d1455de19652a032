//! The variables of the request itself (ngx_http_variables.c): what a browser's handshake makes of
//! them, as far as the files and the request say.

use super::model::ItemId;
use super::variables::{Scope, unknown};
use crate::handshake::{OF_THE_CLIENT, Request, USER_AGENTS};
use crate::value::Value;

/// Headers that a browser may put into a handshake, with values that differ.
const MAYBE_SENT: &[&str] = &[
    "accept",
    "accept_encoding",
    "accept_language",
    "authorization",
    "cookie",
    "origin",
    "sec_websocket_protocol",
    "sec_fetch_dest",
    "sec_fetch_mode",
    "sec_fetch_site",
    "sec_gpc",
    "dnt",
];

/// Variables that are empty before an upstream has answered, or for a request without a body.
const EMPTY: &[&str] = &[
    "body_bytes_sent",
    "bytes_sent",
    "content_length",
    "content_type",
    "http2",
    "http3",
    "remote_user",
    "request_body",
    "request_body_file",
    "request_completion",
    "upstream_addr",
    "upstream_cache_status",
    "upstream_status",
];

fn known(text: impl Into<String>) -> Option<Value> {
    Some(Value::Known(text.into()))
}

impl Scope<'_> {
    /// A variable of the request itself, if it is one.
    pub(super) fn request_variable(&mut self, name: &str) -> Option<Value> {
        if let Some(header) = name.strip_prefix("http_") {
            return Some(self.header(header));
        }
        let request = self.request;
        let named = !request.host.is_empty();
        match name {
            "host" if named => known(&*request.host),
            "request_method" => known(&*request.method),
            // That of the listener, whoever is asked for.
            "scheme" if named || self.here.is_some() => known(scheme(request)),
            "https" if named || self.here.is_some() => known(if request.tls { "on" } else { "" }),
            // The connection's serial number.
            "connection" | "connection_requests" => known("1"),
            "server_protocol" => known("HTTP/1.1"),
            _ => match &self.here {
                Some(_) => self.walking_variable(name),
                None if matches!(name, "uri" | "document_uri") && !request.path.is_empty() => {
                    known(&*request.path)
                }
                None => None,
            },
        }
    }

    /// A variable that is known where the way of the request through the phases is.
    fn walking_variable(&mut self, name: &str) -> Option<Value> {
        let here = self.here.as_ref()?;
        let request = self.request;
        if let Some(argument) = name.strip_prefix("arg_") {
            return Some(match &here.args {
                Value::Known(args) => Value::Known(argument_of(args, argument).to_owned()),
                other => other.clone(),
            });
        }
        if EMPTY.contains(&name)
            || name.starts_with("sent_http_")
            || name.starts_with("upstream_http_")
            || (name.starts_with("ssl_") && !request.tls && !request.host.is_empty())
        {
            return known("");
        }
        match name {
            "uri" | "document_uri" => known(&*here.uri),
            "args" | "query_string" => Some(here.args.clone()),
            "is_args" => Some(match &here.args {
                Value::Known(args) if args.is_empty() => Value::Known(String::new()),
                Value::Known(_) => Value::Known("?".to_owned()),
                other => other.clone(),
            }),
            "request_uri" | "request" if here.sampled && request.query.is_none() => {
                Some(unknown("the query that the client sends"))
            }
            "request_uri" => known(request_uri(request)),
            "request" => known(format!(
                "{} {} HTTP/1.1",
                request.method,
                request_uri(request)
            )),
            "remote_addr" if request.socket.is_some() => known("unix:"),
            "server_port" if request.socket.is_some() => known(""),
            "server_port" => known(request.port.to_string()),
            "server_name" => {
                let server = self.view.config.servers.iter();
                let server = server.into_iter().find(|one| one.item == self.server)?;
                match &server.first_name {
                    Some(name) => known(&**name),
                    None => known(""),
                }
            }
            "document_root" => Some(self.document_root()),
            "request_filename" => Some(self.request_filename()),
            "proxy_host" => known(&*here.proxy.as_ref()?.0),
            "proxy_port" => known(&*here.proxy.as_ref()?.1),
            "limit_rate" => known("0"),
            "invalid_referer" => Some(self.invalid_referer()),
            "ssl_server_name" if !request.host.is_empty() => known(&*request.host),
            _ => None,
        }
    }

    /// `$http_<header>`: `-` became `_` in it.
    fn header(&self, header: &str) -> Value {
        let matches = |name: &str| {
            name.len() == header.len()
                && name
                    .bytes()
                    .zip(header.bytes())
                    .all(|(a, b)| a.eq_ignore_ascii_case(&b) || (a == b'-' && b == b'_'))
        };
        if header == "host" {
            return match self.request.host.as_str() {
                "" => unknown("the host that the client asks for"),
                _ => Value::Known(self.request.authority.clone()),
            };
        }
        let mut lines = self
            .request
            .headers
            .iter()
            .filter(|line| matches(&line.name));
        match (lines.next(), lines.next()) {
            (Some(line), None) => line.value.clone(),
            (Some(_), Some(_)) => unknown(format!("several `{header}` headers")),
            // A name this close to one that matters is a slip, and no client sends such a header.
            (None, _) if is_slip(header) => Value::Known(String::new()),
            (None, _) if self.here.is_some() => match absent(header) {
                // A proxy, a page or another client may send it.
                Value::Known(value) if value.is_empty() && self.is_sample() => unknown(format!(
                    "whether the client sends a `{}` header",
                    header.replace('_', "-")
                )),
                value => value,
            },
            (None, _) => unknown(format!(
                "{OF_THE_CLIENT} `{}` header",
                header.replace('_', "-")
            )),
        }
    }

    fn is_sample(&self) -> bool {
        self.here.as_ref().is_some_and(|here| here.sampled)
    }

    /// The folder that files are served from: `root`, or `alias`.
    fn document_root(&mut self) -> Value {
        match self.root() {
            Some((item, _)) => match self.view.directive(item).args().first() {
                Some(word) => self.word(word),
                None => unknown("a malformed `root`"),
            },
            None => unknown("the folder that nginx was built to serve"),
        }
    }

    /// The `root` or `alias` in force, and whether it is an `alias`.
    pub(super) fn root(&self) -> Option<(ItemId, bool)> {
        let view = self.view;
        view.outward(self.location).find_map(|level| {
            let last = |name| view.own(level, name).last();
            last("alias")
                .map(|item| (item, true))
                .or_else(|| last("root").map(|item| (item, false)))
        })
    }

    /// The file that the path names.
    fn request_filename(&mut self) -> Value {
        let uri = self.here.as_ref().map(|here| here.uri.clone());
        match (self.document_root(), uri) {
            (Value::Known(root), Some(uri)) => {
                Value::Known(format!("{}{uri}", root.trim_end_matches('/')))
            }
            (root, _) => root,
        }
    }

    /// `$invalid_referer`: browsers put no Referer into a handshake, which `valid_referers none`
    /// alone accepts (ngx_http_referer_module.c, ngx_http_referer_variable).
    fn invalid_referer(&self) -> Value {
        let view = self.view;
        let inner = view.in_force(self.location, "valid_referers");
        let valid = inner.is_none_or(|item| {
            let mut names = view.directive(item).args().iter();
            names.any(|word| word.text == "none")
        });
        Value::Known(if valid { "" } else { "1" }.to_owned())
    }
}

fn scheme(request: &Request) -> &'static str {
    if request.tls { "https" } else { "http" }
}

/// The path and query as they were sent.
pub(super) fn request_uri(request: &Request) -> String {
    match &request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    }
}

/// What a header is worth that the request does not show.
fn absent(header: &str) -> Value {
    if header == "user_agent" {
        return Value::OneOf(USER_AGENTS.iter().map(|&agent| agent.to_owned()).collect());
    }
    if matches!(header, "cache_control" | "pragma") {
        return Value::Known("no-cache".to_owned());
    }
    if MAYBE_SENT.contains(&header) {
        return unknown(format!(
            "the client's `{}` header",
            header.replace('_', "-")
        ));
    }
    // Nothing between the browser and this server says that it adds it.
    Value::Known(String::new())
}

/// The value of an argument of a query (ngx_http_arg): names compare without case.
fn argument_of<'q>(args: &'q str, name: &str) -> &'q str {
    args.split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map_or("", |(_, value)| value)
}

/// Whether `header`, as in `$http_<header>`, is a slip for a header of the handshake.
fn is_slip(header: &str) -> bool {
    [
        "upgrade",
        "connection",
        "sec_websocket_key",
        "sec_websocket_version",
    ]
    .into_iter()
    .any(|right| {
        !MAYBE_SENT.contains(&header)
            && header != right
            && crate::rule::closest(header, std::iter::once(right)).is_some()
    })
}

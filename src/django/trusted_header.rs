//! SECURE_PROXY_SSL_HEADER: the header by which Django believes that the client used TLS.
//!
//! django/http/request.py `scheme`: a true setting is unpacked into two names; the first is looked
//! up in `request.META`, and what stands there before its first comma, stripped, is compared with
//! the second. If the header is not there at all, the server's own scheme counts.

use super::data::{Data, Possible, certain};

/// What Django makes of one value of the setting.
#[derive(Debug)]
pub enum Header {
    /// Nothing: no header is trusted.
    Off,
    /// This header with this value means https.
    Pair {
        /// The key of `request.META`.
        name: Possible,
        /// The value that means https.
        value: Possible,
    },
    /// It can't be unpacked into two; what it is, for a person.
    Malformed(String),
    /// Not to be known from the files.
    Unknown,
}

/// Reads one value of the setting as Django does.
pub fn header(setting: &Possible) -> Header {
    let count = |items: usize| match items {
        1 => "1 item".to_owned(),
        items => format!("{items} items"),
    };
    match (&setting.data, setting.data.truth()) {
        (_, Some(false)) => Header::Off,
        (Data::Text(text), _) => {
            let mut chars = text.chars();
            match (chars.next(), chars.next(), chars.next()) {
                // Two characters unpack as well as any two items.
                (Some(name), Some(value), None) => Header::Pair {
                    name: setting.with(Data::text(&name.to_string())),
                    value: setting.with(Data::text(&value.to_string())),
                },
                _ => Header::Malformed("a string".to_owned()),
            }
        }
        (Data::Sequence(sequence), _) => match sequence.items.as_slice() {
            _ if !sequence.complete => Header::Unknown,
            [name, value] => match (certain(name), certain(value)) {
                (Some(name), Some(value)) => Header::Pair {
                    name: name.clone(),
                    value: value.clone(),
                },
                _ => Header::Unknown,
            },
            items => Header::Malformed(format!(
                "a {} of {}",
                if sequence.tuple { "tuple" } else { "list" },
                count(items.len())
            )),
        },
        (Data::Dictionary(dictionary), _) if dictionary.complete && dictionary.pairs.len() != 2 => {
            Header::Malformed(format!("a dictionary of {}", count(dictionary.pairs.len())))
        }
        (Data::Bool(_), _) => Header::Malformed("a boolean".to_owned()),
        (Data::Integer(_), _) => Header::Malformed("a number".to_owned()),
        _ => Header::Unknown,
    }
}

/// A header that says https, who sends it, and the values that it carries.
#[derive(Debug)]
pub struct Known {
    /// As it is sent.
    pub name: &'static str,
    /// The values that mean https, as some software sends them.
    pub values: &'static [&'static str],
    /// Whether a balancer sends it without being told to.
    pub by_default: bool,
    /// Who sends it, and when.
    pub sender: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        name: "X-Forwarded-Proto",
        values: &["https", "http"],
        by_default: true,
        sender: "nearly every balancer sends it",
    },
    Known {
        name: "CloudFront-Forwarded-Proto",
        values: &["https", "http"],
        by_default: false,
        sender: "only Amazon CloudFront sends it, and only where the origin request policy of the matching cache behaviour names it (AllViewerAndCloudFrontHeaders-2022-06 does; AllViewer, which is the usual choice for WebSockets, does not); an AWS load balancer never sends it",
    },
    Known {
        name: "X-Forwarded-Protocol",
        values: &["https", "http", "ssl"],
        by_default: false,
        sender: "no balancer sends it by itself: only a proxy that is configured to set it",
    },
    Known {
        name: "X-Forwarded-Scheme",
        values: &["https", "http"],
        by_default: true,
        sender: "the Kubernetes ingress of nginx sends it",
    },
    Known {
        name: "X-Scheme",
        values: &["https", "http"],
        by_default: true,
        sender: "the Kubernetes ingress of nginx sends it",
    },
    Known {
        name: "X-Url-Scheme",
        values: &["https", "http"],
        by_default: false,
        sender: "no balancer sends it by itself: only a proxy that is configured to set it",
    },
    Known {
        name: "X-Forwarded-Ssl",
        values: &["on", "off"],
        by_default: true,
        sender: "Fly.io and the nginx-proxy image send it",
    },
    Known {
        name: "Front-End-Https",
        values: &["on", "On", "off", "Off"],
        by_default: false,
        sender: "Microsoft's ISA and TMG servers send it (`On`), and proxies that are configured to set it",
    },
    Known {
        name: "CF-Visitor",
        values: &["{\"scheme\":\"https\"}", "{\"scheme\":\"http\"}"],
        by_default: true,
        sender: "Cloudflare sends it",
    },
    Known {
        name: "Fastly-SSL",
        values: &["1"],
        by_default: true,
        sender: "Fastly sends it",
    },
    Known {
        name: "X-ARR-SSL",
        values: &[],
        by_default: true,
        sender: "Azure App Service sends it, with the certificate for a value",
    },
];

/// What is known of the header that is sent so.
pub fn known(sent: &str) -> Option<&'static Known> {
    KNOWN
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(sent))
}

/// Keys of `request.META` that are no header of the request but the server's own word.
pub const SERVERS_WORD: &[&str] = &[
    "wsgi.url_scheme",
    "HTTPS",
    "REQUEST_SCHEME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
];

/// A header's name as it is sent: `HTTP_X_FORWARDED_PROTO` is `X-Forwarded-Proto`.
pub fn sent_name(meta: &str) -> String {
    let name = meta.strip_prefix("HTTP_").unwrap_or(meta);
    let words: Vec<String> = name
        .split(['_', '-'])
        .map(|word| {
            let mut chars = word.chars();
            match chars.next() {
                Some(first) => format!(
                    "{}{}",
                    first.to_ascii_uppercase(),
                    chars.as_str().to_ascii_lowercase()
                ),
                None => String::new(),
            }
        })
        .collect();
    match words.join("-").as_str() {
        "Cloudfront-Forwarded-Proto" => "CloudFront-Forwarded-Proto".to_owned(),
        "Cf-Visitor" => "CF-Visitor".to_owned(),
        "Fastly-Ssl" => "Fastly-SSL".to_owned(),
        "X-Arr-Ssl" => "X-ARR-SSL".to_owned(),
        name => name.to_owned(),
    }
}

/// The name in `request.META`: `X-Forwarded-Proto` is `HTTP_X_FORWARDED_PROTO`.
pub fn meta_name(sent: &str) -> String {
    format!(
        "HTTP_{}",
        sent.trim().replace('-', "_").to_ascii_uppercase()
    )
}

/// Why a pair can never match.
#[derive(Debug)]
pub enum Never {
    /// No header is ever found under this name; perhaps the name that was meant.
    Name(String),
    /// The header is never equal to this; what it carries.
    Value(String),
}

/// Why this pair can never match; `mentioned` says whether a proxy of the project names a header,
/// or the edge sends it, with a value of its own.
pub fn never(name: &Possible, value: &Possible, mentioned: impl Fn(&str) -> bool) -> Option<Never> {
    match &name.data {
        Data::Text(text) => {
            if SERVERS_WORD.contains(&&**text) {
                return None;
            }
            let shape = text.strip_prefix("HTTP_").is_some_and(|rest| {
                !rest.is_empty()
                    && rest.bytes().all(|byte| {
                        byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
                    })
            });
            if !shape {
                if mentioned(text) && !text.contains(['-', ':']) {
                    // `uwsgi_param X_FORWARDED_PROTO …` puts a name into META as it is.
                    return None;
                }
                let bare = text.trim().trim_end_matches(':');
                let bare = bare.get(5..).filter(|_| {
                    let start = bare.get(..5).unwrap_or_default().to_ascii_uppercase();
                    start == "HTTP_" || start == "HTTP-"
                });
                let bare = bare.unwrap_or(text.trim().trim_end_matches(':'));
                return Some(Never::Name(meta_name(bare)));
            }
        }
        data if data.is_plain() => return Some(Never::Name("HTTP_X_FORWARDED_PROTO".to_owned())),
        _ => return None,
    }
    let sent = sent_name(name.data.as_text().unwrap_or_default());
    let known =
        known(&sent).filter(|known| known.name == "X-Forwarded-Proto" || !mentioned(known.name));
    let carried = |known: &Known| match known.values.first() {
        Some(value) => format!("`{sent}` carries `{value}`"),
        None => format!("`{sent}` carries a certificate, never one fixed value"),
    };
    match &value.data {
        Data::Text(text) if text.trim() != &**text => {
            Some(Never::Value("Django strips the header before it compares, so a blank at the end or the beginning never matches".to_owned()))
        }
        Data::Text(text) if text.contains(',') && known.is_none_or(|known| !known.values.contains(&&**text)) => {
            Some(Never::Value("Django compares only what stands before the header's first comma".to_owned()))
        }
        Data::Text(text) => match known {
            Some(known) if !known.values.contains(&&**text) => Some(Never::Value(carried(known))),
            // The comma inside the JSON is where Django cuts; there is none in this one.
            _ => None,
        },
        data if data.is_plain() => Some(Never::Value("a header is a string, and only an equal string matches it".to_owned())),
        _ => None,
    }
}

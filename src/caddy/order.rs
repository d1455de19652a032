//! The order in which directives really run: by Caddy's table, not by the file.

mod sort;

pub(super) use sort::stable;

use super::expand::Directive;
use crate::project::Version;

/// The order of 2.11; older versions lack some, and the relative order of the rest is the same
/// (caddyconfig/httpcaddyfile/directives.go, `defaultDirectiveOrder`).
const DEFAULT: &[&str] = &[
    "tracing",
    "map",
    "vars",
    "fs",
    "root",
    "log_append",
    "skip_log",
    "log_skip",
    "log_name",
    "header",
    "copy_response_headers",
    "request_body",
    "timeouts",
    "redir",
    "method",
    "rewrite",
    "uri",
    "try_files",
    "basicauth",
    "basic_auth",
    "forward_auth",
    "request_header",
    "encode",
    "push",
    "intercept",
    "templates",
    "invoke",
    "handle",
    "handle_path",
    "route",
    "abort",
    "error",
    "copy_response",
    "respond",
    "metrics",
    "reverse_proxy",
    "php_fastcgi",
    "file_server",
    "acme_server",
];

/// Directives of a site that handle no request.
pub(super) const SETTINGS: &[&str] = &["bind", "tls", "log", "handle_errors", "vars_regexp"];

/// The order of one configuration.
#[derive(Clone, Debug)]
pub struct Order {
    names: Vec<String>,
    /// A line that cannot be read makes the order unknown.
    pub certain: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            names: DEFAULT.iter().map(|name| (*name).to_owned()).collect(),
            certain: true,
        }
    }
}

impl Order {
    /// Takes in a global `order NAME first|last|before OTHER|after OTHER`.
    pub(super) fn apply(&mut self, directive: &Directive) {
        let (Some(name), Some(place)) = (directive.arg(0), directive.arg(1)) else {
            self.certain = false;
            return;
        };
        self.names.retain(|other| other != name);
        let beside = |names: &[String]| {
            directive
                .arg(2)
                .and_then(|other| names.iter().position(|known| known == other))
        };
        let at = match place {
            "first" => Some(0),
            "last" => Some(self.names.len()),
            "before" => beside(&self.names),
            "after" => beside(&self.names).map(|at| at + 1),
            _ => None,
        };
        match at {
            Some(at) => self.names.insert(at, name.to_owned()),
            None => self.certain = false,
        }
    }

    /// The place of a directive; `None` for one that Caddy itself does not order.
    pub fn position(&self, name: &str) -> Option<usize> {
        // `handle_path` gives routes of the directive `handle`.
        let name = if name == "handle_path" {
            "handle"
        } else {
            name
        };
        self.names.iter().position(|known| known == name)
    }

    /// Whether the directive's place is the default one or was set in this configuration.
    pub fn is_default(name: &str) -> bool {
        DEFAULT.contains(&name)
    }
}

/// What the sort of same-named directives looks at: the only path of a matcher, and whether
/// there is a matcher at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    pub(super) path: Option<&'a str>,
    pub(super) matched: bool,
}

/// `sortRoutes`: whether a handler runs before another one of its name. Longer single paths come
/// first, then whatever has a matcher; of `vars` the other way round, as they overwrite each other.
pub(super) fn is_before(name: &str, a: Key<'_>, b: Key<'_>, version: Version) -> bool {
    if name == "vars" && version < [2, 7, 0] {
        return match (a.path, b.path) {
            (Some(a), Some(b)) => a.len() < b.len(),
            _ => !a.matched && b.matched,
        };
    }
    by_matcher(a, b, version) != (name == "vars")
}

fn by_matcher(a: Key<'_>, b: Key<'_>, version: Version) -> bool {
    let (Some(a), Some(b)) = (a.path, b.path) else {
        return a.matched && !b.matched;
    };
    let (x, y) = (
        a.strip_suffix('*').unwrap_or(a),
        b.strip_suffix('*').unwrap_or(b),
    );
    match version {
        version if version < [2, 7, 0] => a.len() > b.len(),
        _ if x == y => a.len() < b.len(),
        // The length without the star, and the alphabet, came with #7015.
        version if version < [2, 10, 1] => a.len() > b.len(),
        _ if x.len() == y.len() => x < y,
        _ => x.len() > y.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> Key<'_> {
        Key {
            path: Some(path),
            matched: true,
        }
    }

    #[test]
    fn longer_paths_come_first_and_exact_before_wildcard() {
        let (old, new) = ([2, 6, 2], [2, 11, 7]);
        assert!(by_matcher(key("/ws/*"), key("/*"), new));
        assert!(by_matcher(key("/ws"), key("/ws*"), new));
        assert!(by_matcher(key("/ws*"), key("/ws"), old));
        assert!(by_matcher(key("/a"), key("/b"), new));
        assert!(!by_matcher(key("/a"), key("/b"), [2, 10, 0]));
        let any = Key {
            path: None,
            matched: false,
        };
        assert!(by_matcher(key("/"), any, new));
        assert!(!is_before("vars", key("/"), any, new));
        assert!(is_before("vars", any, any, new));
        assert!(!is_before("vars", any, any, old));
    }

    #[test]
    fn rewrites_run_before_proxies() {
        let order = Order::default();
        assert!(order.position("try_files") < order.position("reverse_proxy"));
        assert!(order.position("handle_path") < order.position("reverse_proxy"));
        assert_eq!(order.position("crowdsec"), None);
    }
}

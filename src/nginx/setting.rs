//! The other directives that decide about a handshake, and at which level each of them is in
//! force: a level that has none of its own takes those of the next one outward.

use std::collections::HashSet;

use super::address::Address;
use super::model::{ItemId, Unseen, View};
use super::route::is_of_upgrade;
use super::words::variables;

/// The directives that [`View::setting`] knows.
pub(super) const NAMES: &[&str] = &[
    "proxy_method",
    "proxy_set_body",
    "proxy_pass_request_headers",
    "proxy_hide_header",
    "proxy_pass_header",
    "add_header",
    "add_header_inherit",
    "more_clear_headers",
    "more_clear_input_headers",
    "more_set_input_headers",
    "proxy_read_timeout",
    "proxy_intercept_errors",
    "uwsgi_intercept_errors",
    "scgi_intercept_errors",
    "fastcgi_intercept_errors",
    "grpc_intercept_errors",
    "proxy_ssl_server_name",
    "proxy_ssl_name",
    "proxy_cache",
    "proxy_cache_valid",
    "proxy_cache_bypass",
    "proxy_cache_key",
    "limit_conn",
    "limit_req",
    "resolver",
    "fastcgi_pass",
    "grpc_pass",
    "uwsgi_pass",
    "scgi_pass",
    "alias",
    "auth_basic",
    "auth_basic_user_file",
    "auth_request",
    "index",
    "merge_slashes",
    "mirror",
    "more_set_headers",
    "recursive_error_pages",
    "root",
    "satisfy",
    "scgi_hide_header",
    "scgi_pass_header",
    "scgi_read_timeout",
    "scgi_pass_request_headers",
    "ssl",
    "ssl_reject_handshake",
    "uwsgi_hide_header",
    "uwsgi_pass_header",
    "uwsgi_read_timeout",
    "uwsgi_pass_request_headers",
    "valid_referers",
];

/// What is in force of one directive at a location.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// The lines of the nearest level that has any, in order.
    pub items: Vec<ItemId>,
    /// Why other lines, nearer ones, may be in force.
    pub unseen: Option<Unseen>,
}

impl Setting {
    /// The one line, where it is certain that it is in force.
    pub fn certain(&self) -> Option<ItemId> {
        match self.items.as_slice() {
            [item] if self.unseen.is_none() => Some(*item),
            _ => None,
        }
    }
}

/// What the directives of a configuration name, in lower case.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Variables that are the whole of an argument, without `$`.
    words: HashSet<String>,
    /// Host and port of each `proxy_pass` without variables.
    pub(super) passes: HashSet<(String, u16)>,
    /// The `upstream` blocks.
    pub(super) upstreams: HashSet<String>,
    /// The line that names a variable of the upgrade which nothing defines.
    undefined: Option<ItemId>,
}

impl<'a> View<'a> {
    /// The directives called `name` that stand at `level` itself.
    pub fn own(self, level: ItemId, name: &'a str) -> impl Iterator<Item = ItemId> + 'a {
        let settings = self.level(level).settings.iter().copied();
        settings.filter(move |item| self.directive(*item).name() == name)
    }

    /// The last directive called `name` of the nearest level that has one.
    pub fn in_force(self, item: ItemId, name: &'a str) -> Option<ItemId> {
        self.outward(item)
            .find_map(|level| self.own(level, name).last())
    }

    /// Whether everything that stands around `location` is in the files.
    pub fn sees_all(self, location: ItemId) -> bool {
        self.config.complete
            && !self.config.is_open()
            && self.outward(location).all(|level| {
                let level = self.level(level);
                level.unseen.is_none() && !level.conditional
            })
    }

    /// Whether something in the configuration may define the variable `name`: a map, a `set`, or
    /// whatever directive of a module names it as it would name its own.
    pub fn may_define(self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let config = self.config;
        config.maps.contains_key(&name)
            || config.sets.contains_key(&name)
            || self.names().words.contains(&name)
    }

    /// A line for the upstream whose variable of the upgrade nothing defines: nginx does not start
    /// with it (`unknown "…" variable`).
    pub fn undefined(self) -> Option<ItemId> {
        self.names().undefined
    }

    /// The variables of the upgrade that a `proxy_set_header` line names.
    fn of_upgrade(self, item: ItemId) -> impl Iterator<Item = String> {
        let text = self.directive(item).arg(1).unwrap_or_default();
        let names = variables(text).into_iter();
        names
            .filter(|name| is_of_upgrade(name))
            .map(str::to_ascii_lowercase)
    }

    /// What the directives name, read once.
    pub(super) fn names(self) -> &'a Names {
        self.config.names.get_or_init(|| {
            let mut names = Names::default();
            let mut upgrading = Vec::new();
            for item in 0..self.config.items.len() as u32 {
                let directive = self.directive(item);
                match directive.name() {
                    "proxy_set_header" if self.of_upgrade(item).next().is_some() => {
                        upgrading.push(item);
                        continue;
                    }
                    "proxy_set_header" | "add_header" | "log_format" | "if" => continue,
                    "proxy_pass" => names.passes.extend(
                        directive
                            .arg(0)
                            .filter(|url| !url.contains('$'))
                            .and_then(Address::read)
                            .map(|pass| (pass.host.to_ascii_lowercase(), pass.reached())),
                    ),
                    _ => {}
                }
                let words = directive.args().iter();
                let words = words.filter_map(|word| word.text.strip_prefix('$'));
                names.words.extend(words.map(str::to_ascii_lowercase));
            }
            let upstreams = self.config.upstreams.keys();
            names.upstreams = upstreams.map(|name| name.to_ascii_lowercase()).collect();
            let config = self.config;
            let defined = |name: &String| {
                config.maps.contains_key(name)
                    || config.sets.contains_key(name)
                    || names.words.contains(name)
            };
            let undefined = upgrading.into_iter().find(|item| {
                self.of_upgrade(*item).any(|name| !defined(&name))
                    && self.sees_all(self.item(*item).parent)
            });
            names.undefined = undefined;
            names
        })
    }

    /// The `add_header` lines in force at `location`: with `add_header_inherit merge` (since 1.29.3)
    /// those of the level around it as well, with `off` none of its.
    pub fn added_headers(self, location: ItemId) -> Setting {
        let mut added = Setting::default();
        for level in self.outward(location) {
            let before = added.items.len();
            added.items.extend(self.own(level, "add_header"));
            let sets = added.items.len() > before;
            let known = self.level(level);
            if sets && known.conditional {
                added.unseen.get_or_insert_with(Unseen::template);
            }
            // The rule is inherited as well.
            let rule = self.in_force(level, "add_header_inherit");
            match rule.and_then(|item| self.directive(item).arg(0)) {
                Some("off") => break,
                Some("merge") => {}
                _ if sets => break,
                _ => {}
            }
            if let Some(unseen) = &known.unseen {
                added.unseen.get_or_insert_with(|| unseen.clone());
            }
        }
        added
    }

    /// What is in force of the directive `name` at `location`.
    pub fn setting(self, location: ItemId, name: &'a str) -> Setting {
        let mut setting = Setting::default();
        for level in self.outward(location) {
            setting.items.extend(self.own(level, name));
            if !setting.items.is_empty() {
                if self.level(level).conditional {
                    setting.unseen.get_or_insert_with(Unseen::template);
                }
                break;
            }
            if let Some(unseen) = &self.level(level).unseen {
                setting.unseen.get_or_insert_with(|| unseen.clone());
            }
        }
        setting
    }
}

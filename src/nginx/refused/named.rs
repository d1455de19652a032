//! What is used in one place and defined in another: log formats, and zones of shared memory. Only
//! a configuration that is known as a whole lacks one.

use std::collections::HashMap;

use super::Words;
use super::value::is_placeholder;
use crate::nginx::model::{Context, ItemId, ROOT, View};
use crate::project::Project;
use crate::syntax::{Directive, Word};

/// Directives that use a zone, with those that define it.
const ZONES: &[(&str, &str)] = &[
    ("limit_req", "limit_req_zone"),
    ("limit_conn", "limit_conn_zone"),
    ("proxy_cache", "proxy_cache_path"),
    ("fastcgi_cache", "fastcgi_cache_path"),
    ("uwsgi_cache", "uwsgi_cache_path"),
    ("scgi_cache", "scgi_cache_path"),
];

/// Refuses what names nothing, with the block that it stands in.
pub(super) fn check(view: View<'_>, project: &Project) -> Vec<(ItemId, Words)> {
    let config = view.config;
    // An excerpt of a main file holds `http` alone.
    let whole = view
        .children(ROOT)
        .any(|item| view.directive(item).name() == "events");
    if config.is_open() || config.top != Context::Main || !whole {
        return Vec::new();
    }
    let mut formats: HashMap<&str, ItemId> = HashMap::new();
    let mut zones: HashMap<&str, Vec<&str>> = HashMap::new();
    let all = 0..config.items.len() as ItemId;
    for item in all.clone() {
        let directive = view.directive(item);
        let (word, name) = match directive.name() {
            "log_format" => (directive.args().first(), directive.arg(0)),
            _ => match zone_of(directive) {
                Some((word, name)) => (Some(word), Some(name)),
                None => continue,
            },
        };
        let (Some(word), Some(name)) = (word, name) else {
            continue;
        };
        if is_filled_in(word) {
            return Vec::new();
        }
        if directive.name() == "log_format" {
            formats.entry(name).or_insert(item);
        } else {
            zones.entry(name).or_default().push(directive.name());
        }
    }
    let mut found = Vec::new();
    for item in all {
        let directive = view.directive(item);
        let source = project.source(directive.head().source);
        if !directive.node().intact || source.is_template() || !is_in_http(view, item) {
            continue;
        }
        let words = match directive.name() {
            "access_log" => format(directive, item, &formats),
            _ => zone(directive, &zones),
        };
        found.extend(words.map(|words| (view.item(item).parent, words)));
    }
    found
}

/// Whether something else supplies a word, or a part of it.
fn is_filled_in(word: &Word) -> bool {
    word.templated || is_placeholder(&word.text)
}

fn is_in_http(view: View<'_>, item: ItemId) -> bool {
    let outer = |item: &ItemId| Some(view.item(*item).parent).filter(|parent| *parent != ROOT);
    let top = std::iter::successors(Some(item), outer).last();
    top.is_some_and(|top| top != item && view.directive(top).name() == "http")
}

/// The zone that a directive defines.
fn zone_of(directive: Directive<'_>) -> Option<(&Word, &str)> {
    if !ZONES
        .iter()
        .any(|(_, defines)| *defines == directive.name())
    {
        return None;
    }
    directive.args().iter().find_map(|word| {
        let zone = word.text.strip_prefix("zone=");
        let zone = zone.or_else(|| word.text.strip_prefix("keys_zone="))?;
        Some((word, zone.split_once(':').map_or(zone, |(name, _)| name)))
    })
}

/// ngx_http_log_set_log: the format is looked up at once, so it has to stand above.
fn format(
    directive: Directive<'_>,
    item: ItemId,
    formats: &HashMap<&str, ItemId>,
) -> Option<Words> {
    let [path, word, ..] = directive.args() else {
        return None;
    };
    let name = word.text.as_str();
    let defined = formats.get(name);
    if path.text == "off"
        || is_filled_in(word)
        || name == "combined"
        || defined.is_some_and(|at| *at < item)
    {
        return None;
    }
    let message = match defined {
        Some(_) => format!("the log format `{name}` is defined only below"),
        None => format!("no `log_format` defines `{name}`"),
    };
    let says = format!("unknown log format \"{name}\"");
    Some(
        Words::new(word.span, message, "not defined here", says).help(format!(
            "define it in `http`, above this line, or leave it out:\naccess_log {};",
            path.text
        )),
    )
}

/// ngx_init_zone_pool and ngx_shared_memory_add, ngx_http_proxy_merge_loc_conf.
fn zone(directive: Directive<'_>, zones: &HashMap<&str, Vec<&str>>) -> Option<Words> {
    let name = directive.name();
    let (_, defines) = ZONES.iter().find(|(uses, _)| *uses == name)?;
    let (word, zone) = match name {
        "limit_req" => directive
            .args()
            .iter()
            .find_map(|word| Some((word, word.text.strip_prefix("zone=")?)))?,
        _ => {
            let word = directive.args().first()?;
            (word, word.text.as_str())
        }
    };
    let is_cache = name.ends_with("_cache");
    if is_filled_in(word) || zone.contains('$') || (is_cache && zone == "off") {
        return None;
    }
    let says = match zones.get(zone) {
        Some(kinds) if kinds.contains(defines) => return None,
        Some(_) => {
            format!("the shared memory zone \"{zone}\" is already declared for a different use")
        }
        None if is_cache => format!("\"{name}\" zone \"{zone}\" is unknown"),
        None => format!("zero size shared memory zone \"{zone}\""),
    };
    let line = match *defines {
        "limit_req_zone" => {
            format!("limit_req_zone $binary_remote_addr zone={zone}:10m rate=10r/s;")
        }
        "limit_conn_zone" => format!("limit_conn_zone $binary_remote_addr zone={zone}:10m;"),
        path => format!("{path} /var/cache/nginx/{zone} keys_zone={zone}:10m;"),
    };
    Some(
        Words::new(
            word.span,
            format!("no `{defines}` defines the zone `{zone}`"),
            "not defined",
            says,
        )
        .help(format!("define it in `http`:\n{line}")),
    )
}

#[cfg(test)]
mod tests {
    use crate::nginx::Model;
    use crate::project::Project;

    fn refused(files: &[(&str, &str)]) -> Vec<String> {
        let project = Project::in_memory(files.iter().copied()).expect("valid");
        let model = Model::resolve(&project);
        let refusals = model.configs.iter().flat_map(|config| &config.refusals);
        refusals.map(|refusal| refusal.says.clone()).collect()
    }

    #[test]
    fn what_a_whole_configuration_lacks_is_refused() {
        let site = "server { listen 80; access_log logs/a main; location / { proxy_cache pages; limit_req zone=ip; proxy_pass http://127.0.0.1; } }";
        let whole = "events {} http { include site.conf; }";
        let lacking = [
            "unknown log format \"main\"",
            "\"proxy_cache\" zone \"pages\" is unknown",
            "zero size shared memory zone \"ip\"",
        ];
        assert_eq!(
            refused(&[("nginx.conf", whole), ("site.conf", site)]),
            lacking
        );
        // Nobody knows what is around a fragment, or in what is missing.
        assert_eq!(refused(&[("site.conf", site)]), [""; 0]);
        let open = "events {} http { include /etc/nginx/conf.d/*.conf; include site.conf; }";
        assert_eq!(
            refused(&[("nginx.conf", open), ("site.conf", site)]),
            [""; 0]
        );
        // A zone may be defined below, a format may not.
        let defines = "limit_req_zone $uri zone=ip:1m rate=1r/s; proxy_cache_path /c keys_zone=pages:1m; log_format main x;";
        let above = format!("events {{}} http {{ {defines} include site.conf; }}");
        let below = format!("events {{}} http {{ include site.conf; {defines} }}");
        assert_eq!(
            refused(&[("nginx.conf", &above), ("site.conf", site)]),
            [""; 0]
        );
        assert_eq!(
            refused(&[("nginx.conf", &below), ("site.conf", site)]),
            ["unknown log format \"main\""]
        );
        // Names that a script fills in, and those of `stream`, are nobody's.
        for other in [
            "http { server { listen 80; limit_req zone=${ZONE}; access_log off; access_log logs/b; } }",
            "stream { server { listen 90; access_log logs/a main; proxy_pass 127.0.0.1:9; } } http { }",
            "http { server { listen 80; proxy_cache off; location / { proxy_cache $zone; } access_log logs/a combined; } }",
        ] {
            let text = format!("events {{}} {other}");
            assert_eq!(refused(&[("nginx.conf", &text)]), [""; 0], "{other}");
        }
    }
}

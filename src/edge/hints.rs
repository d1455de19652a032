//! Hints at an edge that nobody declared: what a project does only behind one.
//!
//! A hint is no fact: it changes no verdict and no severity. It is told where a message has to
//! ask what stands before the project, so that the answer is one line to write.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Edge, edge};
use crate::context::Context;
use crate::finding::Finding;
use crate::project::Project;
use crate::source::{Kind, Source, Span};

/// Something in a project that is rarely there without an edge of this kind.
#[derive(Clone, Debug)]
pub struct Hint {
    /// The edge.
    pub edge: &'static Edge,
    /// Where it shows; `None` where only a file's name says it.
    pub at: Option<Span>,
    /// The file.
    path: String,
}

/// Kinds of which something shows, outermost first, as people chain them.
const ORDER: [&str; 6] = [
    "cloudflare",
    "cloudfront",
    "gcp",
    "alb",
    "heroku",
    "traefik",
];

/// What a line of a file of this kind holds only behind that edge, in lower case.
const LINES: &[(Kind, &str, &str)] = &[
    // caddy-cloudflare-ip's module of `trusted_proxies`, and the header that both read.
    (Kind::Caddyfile, "trusted_proxies cloudflare", "cloudflare"),
    (Kind::Caddyfile, "cf-connecting-ip", "cloudflare"),
    (Kind::Nginx, "cf-connecting-ip", "cloudflare"),
    (Kind::Nginx, "$http_cf_", "cloudflare"),
    (
        Kind::Nginx,
        "set_real_ip_from 173.245.48.0/20",
        "cloudflare",
    ),
    (
        Kind::Nginx,
        "set_real_ip_from 103.21.244.0/22",
        "cloudflare",
    ),
    (Kind::Nginx, "set_real_ip_from 162.158.0.0/15", "cloudflare"),
    (Kind::Nginx, "set_real_ip_from 104.16.0.0/13", "cloudflare"),
    // Google's front ends (cloud.google.com/load-balancing/docs/https#source_ip_addresses).
    (Kind::Nginx, "set_real_ip_from 35.191.0.0/16", "gcp"),
    (Kind::Nginx, "set_real_ip_from 130.211.0.0/22", "gcp"),
    (Kind::Command, "traefik.http.routers.", "traefik"),
    (Kind::Command, "traefik.frontend.rule", "traefik"),
];

/// Words of the name of a file that sets an edge up.
const NAMES: &[(&str, &str)] = &[
    ("cloudflare", "cloudflare"),
    ("cloudfront", "cloudfront"),
    ("alb", "alb"),
];

/// The hints of a project, outermost edge first, one for each kind and folder.
pub fn hints(project: &Project) -> Vec<Hint> {
    let mut found: Vec<Hint> = Vec::new();
    let mut known = BTreeSet::new();
    let mut add = |kind: &str, at: Option<Span>, path: &str| {
        if let Some(edge) = edge(kind)
            && known.insert((edge.kind, folder(path).to_owned()))
        {
            let path = path.to_owned();
            found.push(Hint { edge, at, path });
        }
    };
    for source in &project.sources {
        for (kind, span) in in_text(source) {
            add(kind, Some(span), &source.path);
        }
        if source.kind == Kind::Command && source.path == "Procfile" {
            add("heroku", Some(Span::new(source.id, 0..0)), &source.path);
        }
    }
    // Whatever order the files were found in, the first name counts.
    let mut named: Vec<(&str, &str)> = Vec::new();
    for path in project.files.iter() {
        named.extend(by_name(path).map(|kind| (path, kind)));
    }
    named.sort_unstable();
    for (path, kind) in named {
        add(kind, None, path);
    }
    let rank = |hint: &Hint| ORDER.iter().position(|kind| *kind == hint.edge.kind);
    found.sort_by_key(rank);
    found
}

/// What the lines of a source show, comments aside.
fn in_text(source: &Source) -> Vec<(&'static str, Span)> {
    let marks: Vec<_> = LINES
        .iter()
        .filter(|(kind, ..)| *kind == source.kind)
        .collect();
    let mut found = Vec::new();
    if marks.is_empty() {
        return found;
    }
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let at = start;
        start += line.len();
        let text = line.trim();
        if text.starts_with('#') {
            continue;
        }
        // Alignment is not part of a directive.
        let words: Vec<&str> = text.split_whitespace().collect();
        let plain = words.join(" ").to_ascii_lowercase();
        let mark = marks.iter().find(|(_, mark, _)| plain.contains(mark));
        if let Some((.., kind)) = mark {
            let from = at + (line.len() - line.trim_start().len());
            found.push((*kind, Span::new(source.id, from..from + text.len())));
        }
    }
    found
}

/// The kind of edge that a Terraform or CloudFormation file sets up, by its name.
fn by_name(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (stem, suffix) = name.rsplit_once('.')?;
    let formation = matches!(suffix, "yml" | "yaml" | "json" | "template")
        && path
            .to_ascii_lowercase()
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| matches!(word, "cloudformation" | "cfn"));
    if suffix != "tf" && !formation {
        return None;
    }
    let stem = stem.to_ascii_lowercase();
    let mut words = stem.split(|c: char| !c.is_ascii_alphanumeric());
    words.find_map(|word| {
        let named = NAMES.iter().find(|(name, _)| *name == word);
        named.map(|(_, kind)| *kind)
    })
}

/// The folder of a path.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The hints that may be about what stands at `place`, one for each kind: an application's
/// settings are not behind the edge of another application.
fn near<'a>(cx: &'a Context<'_>, place: Span) -> Vec<&'a Hint> {
    let home = (cx.project.source(place.source).kind == Kind::Python)
        .then(|| cx.django.home(cx.project, place.source));
    let mut near: Vec<&Hint> = Vec::new();
    for hint in cx.edge_hints() {
        let is_meant = home.is_none_or(|home| cx.django.is_meant_in(folder(&hint.path), home));
        if is_meant && near.iter().all(|other| other.edge.kind != hint.edge.kind) {
            near.push(hint);
        }
    }
    near
}

/// What the hints about `place` say, as `deploy/nginx.conf:3 hints at Cloudflare`; `None` without
/// any.
pub fn told(cx: &Context<'_>, place: Span) -> Option<String> {
    let hints = near(cx, place);
    let mut told = String::new();
    for (number, hint) in hints.iter().enumerate() {
        let _ = match (number, number + 1 == hints.len()) {
            (0, _) => Ok(()),
            (_, true) => write!(told, " and "),
            (_, false) => write!(told, ", "),
        };
        let place = match hint.at {
            Some(span) if span.start == span.end => cx.project.source(span.source).display.clone(),
            Some(span) => cx.project.place(span),
            None => hint.path.clone(),
        };
        let _ = write!(told, "`{place}` hints at {}", hint.edge.title);
    }
    (!told.is_empty()).then_some(told)
}

/// Asks for a declaration of what stands before the project, with the line that the hints suggest.
pub fn ask(cx: &Context<'_>, mut finding: Finding) -> Finding {
    let kinds: Vec<String> = near(cx, finding.span)
        .iter()
        .map(|hint| format!("\"{}\"", hint.edge.kind))
        .collect();
    let kind = match kinds.as_slice() {
        [] => "[\"cloudfront\", \"alb\"]".to_owned(),
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    if let Some(told) = told(cx, finding.span) {
        finding = finding.note(format!("a hint, no fact: {told}"));
    }
    finding.help(format!(
        "say what stands before this, in wslint.toml, and wslint knows what it sends{}:\n[edge]\nkind = {kind}",
        if kinds.is_empty() { "" } else { "; if the hint is right" }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(files: &[(&str, &str)]) -> Vec<&'static str> {
        let project = Project::in_memory(files.iter().copied()).expect("valid");
        hints(&project).iter().map(|hint| hint.edge.kind).collect()
    }

    #[test]
    fn what_a_project_does_only_behind_an_edge_is_a_hint() {
        let nginx = |line: &str| format!("server {{\n    {line}\n}}\n");
        for (path, text, expected) in [
            (
                "Caddyfile",
                "{\n\tservers {\n\t\ttrusted_proxies cloudflare {\n\t\t}\n\t}\n}\n".to_owned(),
                Some("cloudflare"),
            ),
            (
                "Caddyfile",
                "{\n\tservers {\n\t\ttrusted_proxies static private_ranges\n\t}\n}\n".to_owned(),
                None,
            ),
            (
                "nginx.conf",
                nginx("set_real_ip_from   173.245.48.0/20;"),
                Some("cloudflare"),
            ),
            (
                "nginx.conf",
                nginx("real_ip_header CF-Connecting-IP;"),
                Some("cloudflare"),
            ),
            (
                "nginx.conf",
                nginx("# real_ip_header CF-Connecting-IP;"),
                None,
            ),
            ("nginx.conf", nginx("set_real_ip_from 10.0.0.0/8;"), None),
            (
                "docker-compose.yml",
                "services:\n  web:\n    labels:\n      - traefik.http.routers.web.rule=Host(`a`)\n"
                    .to_owned(),
                Some("traefik"),
            ),
            (
                "Procfile",
                "web: daphne a.asgi:application\n".to_owned(),
                Some("heroku"),
            ),
            ("infra/cloudfront.tf", String::new(), Some("cloudfront")),
            ("infra/public-alb.tf", String::new(), Some("alb")),
            ("cfn/alb.yml", String::new(), Some("alb")),
            ("albums.tf", String::new(), None),
            ("alb.yml", String::new(), None),
            ("src/cloudfront.py", String::new(), None),
        ] {
            let found = kinds(&[(path, &text)]);
            assert_eq!(
                found,
                expected.into_iter().collect::<Vec<_>>(),
                "{path}: {text}"
            );
        }
    }

    #[test]
    fn hints_are_told_outermost_first() {
        let project = Project::in_memory([
            ("infra/alb.tf", ""),
            ("infra/cloudfront.tf", ""),
            ("nginx.conf", "server {\n  listen 80;\n}\n"),
        ])
        .expect("valid");
        let cx = Context::resolve(&project);
        let nginx = project.of_kind(Kind::Nginx).next().expect("nginx");
        assert_eq!(
            told(&cx, Span::new(nginx.id, 0..0)).as_deref(),
            Some(
                "`infra/cloudfront.tf` hints at Amazon CloudFront and `infra/alb.tf` hints at AWS Application Load Balancer"
            )
        );
    }

    #[test]
    fn another_applications_edge_is_no_hint() {
        let settings = "SECURE_SSL_REDIRECT = True\n";
        let project = Project::in_memory([
            ("a/manage.py", ""),
            ("a/infra/alb.tf", ""),
            ("a/site/settings.py", settings),
            ("b/manage.py", ""),
            ("b/site/settings.py", settings),
        ])
        .expect("valid");
        let cx = Context::resolve(&project);
        let told = |path: &str| {
            let source = project.by_path(path).expect("read");
            told(&cx, Span::new(source.id, 0..0))
        };
        assert!(told("a/site/settings.py").is_some());
        assert_eq!(told("b/site/settings.py"), None);
    }

    #[test]
    fn a_declared_edge_needs_no_hint() {
        let project = Project::in_memory([
            ("alb.tf", ""),
            ("wslint.toml", "[edge]\nkind = \"heroku\"\n"),
        ])
        .expect("valid");
        assert!(Context::resolve(&project).edge_hints().is_empty());
    }
}

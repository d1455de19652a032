//! Hints at an edge that nobody declared: what a project does only behind one.
//!
//! A hint is no fact: it changes no verdict and no severity. It is told where a message has to
//! ask what stands before the project, so that the answer is one line to write.

use std::fmt::Write as _;

use super::{Edge, edge};
use crate::context::Context;
use crate::finding::Finding;
use crate::project::Project;
use crate::source::{Kind, Source, Span};

/// Something in a project that is rarely there without an edge of this kind.
#[derive(Clone, Copy, Debug)]
pub struct Hint {
    /// The edge.
    pub edge: &'static Edge,
    /// Where it shows; `None` where only a file's name says it.
    pub at: Option<Span>,
    /// The index among the project's files of the one whose name says it.
    file: usize,
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

/// The hints of a project, outermost edge first, one for each kind.
pub fn hints(project: &Project) -> Vec<Hint> {
    let mut found: Vec<Hint> = Vec::new();
    let mut add = |kind: &str, at: Option<Span>, file: usize| {
        if let Some(edge) = edge(kind)
            && found.iter().all(|hint| hint.edge.kind != kind)
        {
            found.push(Hint { edge, at, file });
        }
    };
    for source in &project.sources {
        for (kind, span) in in_text(source) {
            add(kind, Some(span), 0);
        }
        if source.kind == Kind::Command && source.path == "Procfile" {
            add("heroku", Some(Span::new(source.id, 0..0)), 0);
        }
    }
    // Whatever order the files were found in, the first name counts.
    let mut named: Vec<(&str, usize, &str)> = Vec::new();
    for (index, path) in project.files.iter().enumerate() {
        named.extend(by_name(path).map(|kind| (path, index, kind)));
    }
    named.sort_unstable();
    for (_, index, kind) in named {
        add(kind, None, index);
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

/// What the hints say, as `deploy/nginx.conf:3 hints at Cloudflare`; `None` without any.
pub fn told(cx: &Context<'_>) -> Option<String> {
    let hints = cx.edge_hints();
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
            None => {
                let mut files = cx.project.files.iter();
                files.nth(hint.file).unwrap_or_default().to_owned()
            }
        };
        let _ = write!(told, "`{place}` hints at {}", hint.edge.title);
    }
    (!told.is_empty()).then_some(told)
}

/// Asks for a declaration of what stands before the project, with the line that the hints suggest.
pub fn ask(cx: &Context<'_>, mut finding: Finding) -> Finding {
    let kinds: Vec<String> = cx
        .edge_hints()
        .iter()
        .map(|hint| format!("\"{}\"", hint.edge.kind))
        .collect();
    let kind = match kinds.as_slice() {
        [] => "[\"cloudfront\", \"alb\"]".to_owned(),
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    if let Some(told) = told(cx) {
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
        assert_eq!(
            told(&cx).as_deref(),
            Some(
                "`infra/cloudfront.tf` hints at Amazon CloudFront and `infra/alb.tf` hints at AWS Application Load Balancer"
            )
        );
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

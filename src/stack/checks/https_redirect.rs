//! A hop of the project reaches, over plain HTTP, another one that redirects to https.

use crate::context::Context;
use crate::finding::Report;
use crate::stack::redirected::Redirected;

/// `stack/https-redirect`.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    for one in cx.redirected() {
        let Redirected {
            address, status, ..
        } = one;
        let edge = &cx.project.config.edge;
        let mut finding = if one.dialler == "edge" {
            let title = edge.innermost().map_or("the edge", |edge| edge.title);
            let message = format!(
                "{title} speaks plain HTTP to nginx, which answers every handshake with {status} to https://"
            );
            report.finding(message, one.by, by(one)).label(
                one.ends_tls,
                "ends the client's TLS and goes on in plain HTTP",
            )
        } else {
            let message = format!(
                "`{address}` is dialled over plain HTTP and answers every handshake with {status} to https://"
            );
            report
                .finding(message, one.dial, "plain HTTP")
                .label(one.by, by(one))
                .label(one.ends_tls, "the client's TLS ends here")
        };
        let whatever = match is_automatic(one) {
            true => ", whatever Host arrives and whatever X-Forwarded-Proto says",
            false => "",
        };
        finding = finding.note(format!(
            "the redirect goes by the connection that reaches it, not by the client's{whatever}; no browser follows one in a handshake, and the page sees close code 1006"
        ));
        finding = finding.note(format!("`wslint trace {}` shows the whole way", one.url));
        if one.dialler == "edge" {
            report.push(finding.help("let the edge speak TLS to nginx (Cloudflare: Full (strict)), and say so in wslint.toml:\n[edge]\ntls = true").help(
                "or redirect only what the edge calls plain, and serve the sockets beside it:\nif ($http_x_forwarded_proto = http) {\n    return 301 https://$host$request_uri;\n}",
            ));
            continue;
        }
        if let Some(name) = &one.over_tls {
            finding = finding.help(over_tls(cx, one, name));
        }
        report.push(finding.help(over_plain_http(cx, one)));
    }
}

fn by(one: &Redirected) -> String {
    match is_automatic(one) {
        true => "automatic HTTPS: on the HTTP port there is nothing but a redirect".to_owned(),
        false => format!("answers {} to what comes over plain HTTP", one.status),
    }
}

/// Whether the redirect is that of Caddy's automatic HTTPS (autohttps.go: always 308).
fn is_automatic(one: &Redirected) -> bool {
    one.layer == "caddy" && one.status == 308
}

fn over_tls(cx: &Context<'_>, one: &Redirected, name: &str) -> String {
    let host = name.split(':').next().unwrap_or(name);
    let how = match one.dialler {
        "nginx" => format!(
            "proxy_pass https://{name}{};\nproxy_ssl_server_name on;\nproxy_ssl_name {host};\nproxy_set_header Host {host};",
            path(cx.project.slice(one.dial)),
        ),
        _ => format!("reverse_proxy https://{name} {{\n\theader_up Host {{upstream_hostport}}\n}}"),
    };
    format!("speak TLS to it, under its own name:\n{how}")
}

/// The path of a URL.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("/", |at| &rest[at..])
}

/// The path that a `proxy_pass` ends in.
fn path(text: &str) -> &str {
    let url = text.split_whitespace().last().unwrap_or_default();
    let url = url.trim_end_matches(';');
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..])
}

fn over_plain_http(cx: &Context<'_>, one: &Redirected) -> String {
    let place = cx.project.place(one.by);
    match is_automatic(one) {
        true => format!(
            "or, only where the network between them is private, let it serve plain HTTP, whatever Host arrives; in place of the address at {place} write:\n\nhttp:// {{"
        ),
        false => {
            let path = path_of(&one.url);
            let pass = one
                .passes
                .map(|span| cx.project.slice(span))
                .filter(|line| line.starts_with("proxy_pass"));
            let pass = pass.map_or("proxy_pass http://127.0.0.1:8000", |line| {
                line.trim_end_matches(';')
            });
            let redirect = cx.project.slice(one.by).trim_end_matches(';');
            format!(
                "or, only where the network between them is private, let it serve the sockets over plain HTTP too; in place of {place} write:\nlocation {path} {{\n    {pass};\n    proxy_http_version 1.1;\n    proxy_set_header Upgrade $http_upgrade;\n    proxy_set_header Connection \"upgrade\";\n    proxy_set_header Host $host;\n}}\nlocation / {{\n    {redirect};\n}}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::{Selection, check};
    use crate::project::Project;

    fn said(files: &[(&str, &str)]) -> Vec<String> {
        let project = Project::in_memory(files.iter().copied()).expect("valid");
        let found = check(&project, &Selection::default()).findings;
        found
            .iter()
            .map(|finding| finding.rule.to_string())
            .collect()
    }

    const PAIR: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";

    fn front(listen: &str, to: &str) -> String {
        format!(
            "events {{}}\nhttp {{ server {{ {listen} server_name app.example.com;\n\
             location /ws/ {{ proxy_pass http://{to}; {PAIR} }} }} }}\n"
        )
    }

    #[test]
    fn a_redirect_inside_the_chain_is_told_once() {
        let tls = front("listen 443 ssl;", "inner.example.com");
        let plain = front("listen 80;", "inner.example.com");
        let site = "inner.example.com {\n\treverse_proxy 127.0.0.1:8000\n}\n";
        let redirects = format!(
            "events {{}}\nhttp {{ server {{ listen 80; server_name inner.example.com; return 301 https://$host$request_uri; }}\n\
             server {{ listen 443 ssl; server_name inner.example.com; location /ws/ {{ proxy_pass http://127.0.0.1:8000; {PAIR} }} }} }}\n"
        );
        let caddy = |to: &str| format!("app.example.com {{\n\treverse_proxy /ws/* {to}\n}}\n");
        let (by_name, by_service) = (caddy("inner.example.com"), caddy("inner"));
        let compose = "services:\n  front:\n    image: caddy\n    volumes: [./front/Caddyfile:/etc/caddy/Caddyfile]\n  \
             inner:\n    image: caddy\n    volumes: [./inner/Caddyfile:/etc/caddy/Caddyfile]\n";
        for (what, files, expected) in [
            (
                "nginx, Caddy",
                &[
                    ("front/nginx.conf", tls.as_str()),
                    ("inner/Caddyfile", site),
                ][..],
                &["stack/https-redirect"][..],
            ),
            (
                "nginx, nginx",
                &[("front/nginx.conf", &tls), ("inner/nginx.conf", &redirects)],
                &["stack/https-redirect"],
            ),
            (
                "Caddy, nginx",
                &[
                    ("front/Caddyfile", &by_name),
                    ("inner/nginx.conf", &redirects),
                ],
                &["stack/https-redirect"],
            ),
            (
                "Caddy, Caddy by a service's name",
                &[
                    ("front/Caddyfile", &by_service),
                    ("inner/Caddyfile", site),
                    ("compose.yml", compose),
                ],
                &["stack/https-redirect"],
            ),
            (
                "Caddy, Caddy by its name",
                &[("front/Caddyfile", &by_name), ("inner/Caddyfile", site)],
                &["caddy/plain-http-upstream"],
            ),
            (
                "a client without TLS is redirected on purpose",
                &[("front/nginx.conf", &plain), ("inner/Caddyfile", site)],
                &[],
            ),
        ] {
            assert_eq!(said(files), expected, "{what}");
        }
    }
}

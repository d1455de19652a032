//! What wslint says nginx refuses, real nginx refuses: thousands of small mistakes, made at random
//! in configurations that are right, go through `nginx -t` and through wslint.

#[path = "support/mistakes.rs"]
mod mistakes;
#[path = "support/random.rs"]
mod random;
mod support;

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use wslint::nginx::Model;
use wslint::project::Project;
use wslint::rule::rules;

use mistakes::Mistakes;
use random::Random;

/// Mistaken configurations in a run of the suite; WSLINT_MUTANTS asks for more.
const MUTANTS: usize = 800;

/// Configurations that are right and use what the rules' examples do not.
const BASES: &[&str] = &[
    r#"events {}
http {
    log_format main '$remote_addr "$request" $status';
    map $http_upgrade $connection_upgrade {
        default upgrade;
        ''      close;
        ~*^h2c$ close;
    }
    geo $inside { default 0; 10.0.0.0/8 1; }
    limit_req_zone $binary_remote_addr zone=perip:1m rate=10r/s;
    upstream app {
        least_conn;
        server 127.0.0.1:8001 weight=2 max_fails=3 fail_timeout=30s;
        server 127.0.0.1:8002 backup;
        keepalive 16;
    }
    server {
        listen 8080 default_server;
        listen [::]:8080;
        server_name example.test *.example.test ~^ws\d+\.example\.test$;
        client_max_body_size 10m;
        proxy_buffers 8 16k;
        gzip on;
        gzip_types text/css application/json;
        error_page 500 502 =503 /50x.html;
        location = /50x.html { root /usr/share/nginx/html; internal; }
        location /ws/ {
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_read_timeout 1h;
            proxy_buffering off;
        }
        location ~ ^/(api|rpc)/(.*)$ {
            limit_req zone=perip burst=5 nodelay;
            proxy_pass http://127.0.0.1:8001;
            limit_except GET { deny all; }
        }
        location /static/ {
            alias /srv/static/;
            expires 30d;
            add_header Cache-Control "public" always;
            location ~* \.js$ { access_log off; }
        }
        location / {
            if ($request_method = OPTIONS) { return 204; }
            try_files $uri $uri/ @app;
        }
        location @app { proxy_pass http://app; proxy_redirect off; }
    }
}
"#,
    r#"worker_processes auto;
events { worker_connections 1024; }
http {
    sendfile on;
    keepalive_timeout 65;
    types_hash_max_size 2048;
    default_type application/octet-stream;
    resolver 127.0.0.1 valid=30s;
    set_real_ip_from 10.0.0.0/8;
    proxy_cache_path /tmp/wslint-cache levels=1:2 keys_zone=c:1m inactive=1h;
    server {
        listen 127.0.0.1:8081 backlog=511;
        server_name _;
        if ($host !~* ^(www\.)?example\.test$) { set $other 1; }
        rewrite ^/old/(.*)$ /new/$1 last;
        proxy_set_header Host $host;
        location /socket.io/ {
            set $backend 127.0.0.1:3000;
            proxy_pass http://$backend;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_connect_timeout 5s;
            proxy_next_upstream error timeout http_502;
        }
        location /cached/ { proxy_cache c; proxy_cache_valid 200 1m; proxy_pass http://127.0.0.1:3000/; }
        location ^~ /php/ { fastcgi_pass unix:/run/php.sock; fastcgi_read_timeout 60; }
        location /uwsgi { uwsgi_pass 127.0.0.1:3031; auth_basic "closed"; auth_basic_user_file /etc/passwd; }
        location = /health { return 200 "ok"; }
    }
    server { listen 8082; return 301 https://$host$request_uri; }
}
"#,
];

/// Lines to put anywhere.
const LINES: &[&str] = &[
    "access_log /dev/null main;",
    "access_log /dev/null nowhere;",
    "limit_req zone=nowhere;",
    "limit_req zone=perip;",
    "limit_conn perip 3;",
    "proxy_cache nowhere;",
    "proxy_cache c;",
    "proxy_set_header Upgrade $http_upgrade;",
    "proxy_set_header Connection keep-alive, upgrade;",
    "proxy_http_version 1.1;",
    "proxy_http_version 3;",
    "proxy_pass http://127.0.0.1:1/;",
    "proxy_pass http://127.0.0.1:1;",
    "map $host $x { default 1; }",
    "map $host y { a b; }",
    "map $host $z { a b; A c; }",
    "map $host $w { default 1 2; }",
    "upstream app { server 127.0.0.1:1; }",
    "upstream empty { keepalive 2; }",
    "upstream odd { server 127.0.0.1:1 weight 2; }",
    "server { listen 8080; }",
    "server { listen 8080 default_server; }",
    "server { listen 8099 ssl2; }",
    "location /ws/ { }",
    "location / { return 404; }",
    "location @app { return 200; }",
    "location ~ ^/(a { }",
    "location ~~ /a { }",
    "location = /x { location /x/y { } }",
    "if ($host == a) { return 403; }",
    "if($host) { return 403; }",
    "if ($host = a && $uri = b) { return 403; }",
    "if (-f $request_filename) { break; }",
    "if ($http_upgrade) { proxy_set_header A b; }",
    "return 301;",
    "return https://$host;",
    "return moved /x;",
    "error_page 101 /x;",
    "error_page 404 = @app;",
    "error_page = /x;",
    "rewrite ^/a$ /b forever;",
    "rewrite ^/a( /b;",
    "listen 8083;",
    "listen 80808;",
    "server_name a b;",
    "root /srv;",
    "alias /srv/;",
    "internal;",
    "proxy_read_timeout off;",
    "proxy_read_timeout 1h30m;",
    "proxy_read_timeout 60sec;",
    "proxy_buffering false;",
    "proxy_buffers 8;",
    "proxy_buffer_size 8kb;",
    "proxy_ignore_headers Upgrade;",
    "proxy_ignore_headers Expires;",
    "client_max_body_size 1g;",
    "client_max_body_size -1;",
    "keepalive 8;",
    "keepalive_timeout 10;",
    "worker_connections 10;",
    "worker_processes two;",
    "user nobody;",
    "set host x;",
    "set $a b;",
    "add_header X-A b c;",
    "add_header X-A;",
    "try_files $uri;",
    "try_files $uri =200x;",
    "gzip yes;",
    "gzip_comp_level 12;",
    "limit_except GET { deny all; }",
    "auth_request off;",
    "expires 1d;",
    "include;",
    "unknown_directive on;",
    "events { }",
    "http { }",
    "types { }",
    "ssl_protocols TLSv1.2 TLSv1.4;",
    "fastcgi_param A;",
    "access_log off;",
    "deny all;",
    "satisfy some;",
    "stub_status on;",
    "\"",
    "{",
    "}",
    ";",
    "# a comment",
];

/// Words to write in place of an argument.
const WORDS: &[&str] = &[
    "on",
    "off",
    "0",
    "-1",
    "1.5",
    "60s",
    "60sec",
    "1h",
    "8k",
    "8 k",
    "$host",
    "\"\"",
    "'a b'",
    "a\"b",
    "=",
    "==",
    "/x/",
    "http://a/b",
    "101",
    "999999",
    "{",
    "}",
    "\"",
    "~",
    "(",
    ")",
];

const MISTAKES: Mistakes = Mistakes {
    lines: LINES,
    words: WORDS,
    marks: &[';', '{', '}', '"', '\'', '(', ')', '$', ' '],
};

/// What `nginx -t` says to each of these files: nothing if it takes it.
fn judge(texts: &[String]) -> Vec<Option<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut script = String::from("PATH=$PATH:/usr/sbin:/sbin\n");
    for (index, text) in texts.iter().enumerate() {
        fs::write(folder.path().join(format!("{index}.conf")), text).expect("written");
        let _ = writeln!(
            script,
            "nginx -t -q -p . -c \"$PWD/{index}.conf\" -e stderr -g \"pid $PWD/pid;\" >{index}.out 2>&1; echo $? >{index}.status"
        );
    }
    let root = nix_root();
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount"]);
    if !root {
        command.arg("--map-root-user");
    }
    let status = command
        .args(["--", "sh", "-c", &script])
        .current_dir(folder.path())
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "unshare (apt-get install util-linux)"
    );
    (0..texts.len())
        .map(|index| {
            let read = |kind: &str| {
                fs::read_to_string(folder.path().join(format!("{index}.{kind}"))).expect("written")
            };
            (read("status").trim() != "0").then(|| read("out"))
        })
        .collect()
}

fn nix_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.starts_with(b"0"))
}

/// Why wslint says that nginx refuses `text`.
fn refusals(text: &str) -> Vec<String> {
    let project = Project::in_memory([("nginx.conf", text)]).expect("valid");
    let model = Model::resolve(&project);
    let refusals = model.configs.iter().flat_map(|config| &config.refusals);
    refusals
        .map(|refusal| format!("{} ({})", refusal.message, refusal.says))
        .collect()
}

#[test]
fn nginx_refuses_what_wslint_says_it_refuses() {
    let number = std::env::var("WSLINT_MUTANTS")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(MUTANTS);
    let seed = std::env::var("WSLINT_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_261_124);
    println!("seed {seed}, {number} mutants");
    let mut bases: Vec<String> = BASES.iter().map(|text| (*text).to_owned()).collect();
    for rule in rules().iter().filter(|rule| rule.id.starts_with("nginx/")) {
        for example in rule.examples.iter().filter(|example| !example.breaks) {
            if let [(path, text)] = &example.files[..]
                && path == "nginx.conf"
                && text.contains("events {")
            {
                bases.push(text.to_string());
            }
        }
    }
    let verdicts = judge(&bases);
    let bases: Vec<String> = bases
        .into_iter()
        .zip(verdicts)
        .filter(|(_, verdict)| verdict.is_none())
        .map(|(text, _)| text)
        .collect();
    assert!(
        bases.len() > 5,
        "nginx takes {} of the examples only",
        bases.len()
    );
    for base in &bases {
        assert_eq!(refusals(base), Vec::<String>::new(), "{base}");
    }
    let mut random = Random::new(seed);
    let (mut refused, mut known) = (0, 0);
    let mut missed: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    let mut left = number;
    while left > 0 {
        let batch = left.min(400);
        left -= batch;
        let texts: Vec<String> = (0..batch)
            .map(|_| {
                // Most from the rich ones.
                let base = if random.below(3) > 0 {
                    random.below(BASES.len())
                } else {
                    random.below(bases.len())
                };
                MISTAKES.make(&bases[base], &mut random)
            })
            .collect();
        for (text, verdict) in texts.iter().zip(judge(&texts)) {
            let ours = refusals(text);
            match &verdict {
                None => assert_eq!(
                    ours,
                    Vec::<String>::new(),
                    "seed {seed}: nginx takes this:\n{text}"
                ),
                Some(says) => {
                    let says = says.split_once("#").map_or("", |(_, says)| says);
                    let says = says.split_once(": ").map_or(says, |(_, says)| says);
                    let says = says.split(['\n']).next().unwrap_or(says);
                    let says = says.split(" in /").next().unwrap_or(says).trim();
                    // What may be a third party's, another rule's, or this machine's.
                    let foreign = says
                        .strip_prefix("unknown directive \"")
                        .is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
                    if ours.is_empty()
                        && (foreign || says.starts_with("unknown \"") || says.contains("not found"))
                    {
                        continue;
                    }
                    refused += 1;
                    known += usize::from(!ours.is_empty());
                    if ours.is_empty() {
                        *missed.entry(says.to_owned()).or_default() += 1;
                    }
                }
            }
        }
    }
    let mut missed: Vec<_> = missed.into_iter().collect();
    missed.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    println!("nginx refuses {refused}, wslint says so for {known}; missed:");
    for (says, times) in missed.iter().take(40) {
        println!("{times:5} {says}");
    }
    assert!(known * 10 >= refused * 8, "{known} of {refused}");
}

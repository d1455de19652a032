//! What wslint says Caddy refuses, real Caddy refuses: small mistakes, made at random in
//! configurations that are right, go through `caddy validate` of both versions and through wslint.

#[path = "support/mistakes.rs"]
mod mistakes;
#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wslint::caddy::Model;
use wslint::project::Project;
use wslint::rule::rules;

use mistakes::Mistakes;
use random::Random;

/// Mistaken configurations for each version in a run of the suite; WSLINT_MUTANTS asks for more.
const MUTANTS: usize = 100;

/// Of ten refusals of Caddy's, so many are found.
const FOUND: usize = 8;

/// Configurations that are right and use what the rules' examples do not.
const BASES: &[&str] = &[
    r#"{
	email ops@example.test
	http_port 8080
	https_port 8443
	grace_period 10s
	local_certs
	order respond before redir
	admin off
	log {
		output stderr
		format json
		level INFO
	}
	servers :8443 {
		protocols h1 h2
		max_header_size 16KB
		timeouts {
			read_body 10s
			idle 5m
		}
	}
}
(common) {
	encode gzip zstd
	header -Server
	log {
		output discard
		level ERROR
	}
}
app.test, www.app.test {
	import common
	tls internal {
		protocols tls1.2 tls1.3
	}
	root * /srv
	@ws {
		header Connection *Upgrade*
		header Upgrade websocket
		path /ws /ws/*
	}
	@private not remote_ip 10.0.0.0/8 127.0.0.1
	@chat path_regexp chat ^/chat/(\w+)$
	reverse_proxy @ws 127.0.0.1:8000 {
		header_up X-Real-IP {remote_host}
		header_down -Server
		lb_policy cookie lb secret
		lb_try_duration 5s
		health_uri /health
		health_interval 10s
		fail_duration 30s
		flush_interval -1
		transport http {
			dial_timeout 3s
			keepalive 30s
			versions 1.1 2
		}
	}
	handle_path /api/* {
		rewrite * /v1{uri}
		reverse_proxy 127.0.0.1:8001 127.0.0.1:8002
	}
	handle @private {
		respond "no" 403
	}
	redir /old/* https://app.test/new permanent
	uri @chat replace /chat /rooms
	handle {
		try_files {path} /index.html
		file_server {
			hide .git
			precompressed gzip
			index index.html
		}
	}
	handle_errors {
		rewrite * /{err.status_code}.html
		file_server
	}
}
"#,
    r#"(site) {
	@{args.0} path /{args.0}/*
	handle @{args.0} {
		reverse_proxy 127.0.0.1:{args.1}
	}
}
http://a.test {
	import site ws 8000
	import site api 8001
	request_header X-A b
	header {
		Strict-Transport-Security max-age=31536000
		?Cache-Control no-store
		defer
	}
	basicauth /admin/* {
		bob $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG
	}
	forward_auth /members/* 127.0.0.1:9000 {
		uri /verify
		copy_headers X-User
	}
	map {path} {kind} {
		~^/ws(/.*)?$ socket
		default page
	}
	vars kind {kind}
	request_body {
		max_size 10MB
	}
	@post method POST PUT
	@q query token=*
	@cel expression `{http.request.method} == "GET"`
	error @post "no" 405
	abort @q
	route /r/* {
		uri strip_prefix /r
		method GET
		respond @cel "ok" 200
		templates
	}
	php_fastcgi /php/* 127.0.0.1:9001
	log {
		output file /tmp/wslint-access.log
		format console
	}
}
:8081 {
	bind 127.0.0.1
	metrics /metrics
	respond /health 200 {
		body "ok"
		close
	}
	reverse_proxy * unix//run/app.sock
}
"#,
];

/// Lines to put anywhere.
const LINES: &[&str] = &[
    "encode br",
    "encode gzip zstd",
    "encode",
    "reverse_proxy",
    "reverse_proxy /ws/* 127.0.0.1:8000",
    "reverse_proxy 127.0.0.1:99999",
    "reverse_proxy ws://127.0.0.1:8000",
    "reverse_proxy http://a:443",
    "reverse_proxy /ws http://127.0.0.1:8000/ws",
    "proxy / 127.0.0.1:8000",
    "websocket",
    "header_up Connection {>Connection}",
    "header_upstream A b",
    "respond 404",
    "respond \"a\" 404 x",
    "redir https://a.test 200",
    "redir",
    "rewrite /a",
    "rewrite /a /b /c",
    "handle ws {",
    "handle /ws { respond x }",
    "handle_path @ws {",
    "route /ws/* x",
    "@ws path /b",
    "@x header A b C d",
    "@x header A",
    "@x protocol",
    "@x path_regexp (",
    "@x nosuch a",
    "@x remote_ip nonsense",
    "@x expression",
    "@x method",
    "@x host a.test",
    "respond @nosuch 404",
    "import nosuch",
    "(common) {",
    "tls internal internal x",
    "tls nobody",
    "tls a@b.test",
    "tls {",
    "protocols tls1.4",
    "alpn http/1.1",
    "on_demand x",
    "file_server browse x",
    "file_server {",
    "hide",
    "index",
    "browse a b",
    "disable_canonical_uris x",
    "status 1000x",
    "root",
    "root * a b",
    "log {",
    "output nowhere",
    "output file",
    "format yaml",
    "level LOUD",
    "lb_policy sticky",
    "lb_policy header",
    "lb_try_duration 5",
    "flush_interval never",
    "transport carrier_pigeon",
    "transport http {",
    "versions 4",
    "dial_timeout 3",
    "tls_insecure_skip_verify x",
    "max_fails many",
    "debug",
    "debug on",
    "email",
    "email a b",
    "http_port eighty",
    "http_port 70000",
    "grace_period 10",
    "auto_https maybe",
    "auto_https off",
    "order respond between a",
    "order nosuch first",
    "order respond first",
    "admin off x",
    "local_certs x",
    "storage file_system /tmp/x",
    "storage nowhere",
    "servers {",
    "protocols h1 h9",
    "max_header_size big",
    "trusted_proxies nobody",
    "trusted_proxies static nonsense",
    "strict_sni_host maybe",
    "timeouts {",
    "read_body 10",
    "idle soon",
    "default_sni",
    "cert_issuer nobody",
    "key_type rsa1",
    "nosuch_option 1",
    "header",
    "header A b c d",
    "header_down A b c d",
    "request_header",
    "request_header ?A b",
    "basicauth {",
    "basicauth sha1 {",
    "forward_auth 127.0.0.1:9000",
    "map {path} {x}",
    "map",
    "default a b c",
    "vars a",
    "request_body {",
    "max_size 10 MB",
    "max_size huge",
    "error",
    "error a 404 x",
    "abort x",
    "method",
    "method GET POST",
    "uri strip_prefix",
    "uri trim /a",
    "templates x",
    "templates {",
    "bind",
    "metrics x y",
    "php_fastcgi",
    "invoke nosuch",
    "handle_errors 4x {",
    "try_files",
    "push a b c",
    "acme_server x",
    "tracing {",
    "nosuch_directive",
    "{",
    "}",
    "{}",
    "\"",
    "`",
    "# a comment",
    "a.test {",
    "http://a.test {",
    "https://a.test:80 {",
    ":99999 {",
];

/// Words to write in place of an argument.
const WORDS: &[&str] = &[
    "on",
    "off",
    "0",
    "-1",
    "1.5",
    "60s",
    "60",
    "1h",
    "8KB",
    "*",
    "/",
    "/x/*",
    "@ws",
    "@nosuch",
    "\"\"",
    "\"a b\"",
    "{",
    "}",
    "\"",
    "`",
    "http://a/b",
    "101",
    "999999",
    "2xx",
    "a,b",
    "{path}",
    "gzip",
    "h2c",
    "#x",
    "\\",
    "nosuch",
];

const MISTAKES: Mistakes = Mistakes {
    lines: LINES,
    words: WORDS,
    marks: &['{', '}', '"', '@', '/', ':', '*', ' '],
};

/// What `caddy validate` says to each of these files: nothing if it takes it.
fn judge(caddy: &Path, texts: &[String]) -> Vec<Option<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut names = String::new();
    for (index, text) in texts.iter().enumerate() {
        fs::write(folder.path().join(format!("{index}.caddyfile")), text).expect("written");
        names += &format!("{index}\n");
    }
    fs::write(folder.path().join("names"), names).expect("written");
    let script = r#"xargs -P "$(nproc)" -I NAME sh -c '
        "$CADDY" validate --adapter caddyfile --config NAME.caddyfile >NAME.out 2>&1; echo $? >NAME.status
    ' <names"#;
    let status = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder.path())
        .env("CADDY", caddy)
        .env("HOME", folder.path())
        .env("XDG_DATA_HOME", folder.path())
        .env("XDG_CONFIG_HOME", folder.path())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "sh");
    (0..texts.len())
        .map(|index| {
            let read = |kind: &str| {
                let file = folder.path().join(format!("{index}.{kind}"));
                String::from_utf8_lossy(&fs::read(file).expect("written")).into_owned()
            };
            (read("status").trim() != "0").then(|| read("out"))
        })
        .collect()
}

/// Why wslint says that this Caddy refuses `text`.
fn refusals(text: &str, version: &str) -> Vec<String> {
    let target = format!("[targets]\ncaddy = \"{version}\"\n");
    let files = [("Caddyfile", text), ("wslint.toml", &target)];
    let project = Project::in_memory(files).expect("valid");
    let model = Model::resolve(&project);
    let refusals = model.configs.iter().flat_map(|config| &config.refusals);
    refusals
        .map(|refusal| format!("{} [{}]", refusal.message, project.slice(refusal.span)))
        .collect()
}

/// The last line of what Caddy says, without places.
fn says(out: &str) -> String {
    let last = out
        .lines()
        .rfind(|line| line.contains("rror"))
        .unwrap_or_default();
    // 2.11 writes it as JSON.
    let last = last.split_once("\"msg\":\"").map_or(last, |(_, said)| said);
    let last = last.trim_start_matches("Error: ");
    let last = last.trim_start_matches("adapting config using caddyfile: ");
    let mut short = String::new();
    for word in last.split(' ') {
        let place = word.contains("addyfile:") || word.contains("/tmp/");
        short += if place { "…" } else { word };
        short.push(' ');
    }
    short
}

/// Whether wslint may leave it to others: plugins' names, this machine's files.
fn is_foreign(says: &str) -> bool {
    // One plain word may be the name of a plugin's directive.
    let named = says.split("unrecognized directive: ").nth(1);
    let named = named.and_then(|name| name.split(['"', ' ', '\\']).next());
    let plain = |name: &str| !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase());
    if named.is_some_and(plain) {
        return true;
    }
    [
        "unrecognized directive: nosuch",
        "File to import not found",
        "unrecognized global option: nosuch",
        "getting module named",
        "module not registered",
        "no such file",
    ]
    .iter()
    .any(|part| says.contains(part))
}

#[test]
fn caddy_refuses_what_wslint_says_it_refuses() {
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    let mutants = number("WSLINT_MUTANTS").unwrap_or(MUTANTS);
    let seed = number("WSLINT_SEED").unwrap_or(20_261_130);
    let servers = std::env::var_os("WSLINT_SERVERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers"),
        PathBuf::from,
    );
    let current = servers.join("caddy/bin/caddy");
    for caddy in [current.as_path(), Path::new("/usr/bin/caddy")] {
        let told = Command::new(caddy)
            .arg("version")
            .output()
            .expect("run tests/run");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let version = told.split_whitespace().next().unwrap_or_default();
        compare(caddy, version.trim_start_matches('v'), seed as u64, mutants);
    }
}

#[allow(clippy::print_stdout, reason = "the figures of a run are for its log")]
fn compare(caddy: &Path, version: &str, seed: u64, mutants: usize) {
    let mut bases: Vec<String> = BASES.iter().map(|text| (*text).to_owned()).collect();
    for rule in rules().iter().filter(|rule| rule.id.starts_with("caddy/")) {
        for example in rule.examples.iter().filter(|example| !example.breaks) {
            if let [(path, text)] = &example.files[..]
                && path == "Caddyfile"
            {
                bases.push(text.to_string());
            }
        }
    }
    let verdicts = judge(caddy, &bases);
    for (base, verdict) in bases.iter().take(BASES.len()).zip(&verdicts) {
        assert_eq!(verdict, &None, "Caddy {version}:\n{base}");
    }
    let right = bases
        .into_iter()
        .zip(verdicts)
        .filter(|(_, verdict)| verdict.is_none());
    let bases: Vec<String> = right.map(|(text, _)| text).collect();
    assert!(
        bases.len() > 10,
        "Caddy takes {} of the examples only",
        bases.len()
    );
    for base in &bases {
        assert_eq!(refusals(base, version), Vec::<String>::new(), "{base}");
    }
    let mut random = Random::new(seed);
    let texts: Vec<String> = (0..mutants)
        .map(|_| {
            // Most from the rich ones.
            let base = match random.below(3) {
                0 => random.below(bases.len()),
                _ => random.below(BASES.len()),
            };
            MISTAKES.make(&bases[base], &mut random)
        })
        .collect();
    let (mut refused, mut known) = (0, 0);
    let mut missed: BTreeMap<String, usize> = BTreeMap::new();
    for (text, verdict) in texts.iter().zip(judge(caddy, &texts)) {
        let ours = refusals(text, version);
        let Some(out) = verdict else {
            assert_eq!(
                ours,
                Vec::<String>::new(),
                "seed {seed}: Caddy {version} takes this:\n{text}"
            );
            continue;
        };
        let says = says(&out);
        if ours.is_empty() && is_foreign(&says) {
            continue;
        }
        refused += 1;
        known += usize::from(!ours.is_empty());
        if ours.is_empty() {
            *missed.entry(says).or_default() += 1;
        }
    }
    let mut missed: Vec<_> = missed.into_iter().collect();
    missed.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    println!(
        "seed {seed}: Caddy {version} refuses {refused} of {mutants}, wslint says so for {known}; missed:"
    );
    for (says, times) in missed.iter().take(60) {
        println!("{times:5} {says}");
    }
    assert!(known * 10 >= refused * FOUND, "{known} of {refused}");
}

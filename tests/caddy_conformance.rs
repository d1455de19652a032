//! What Caddy 2.11 knows, the model knows: directives, matchers, lines of blocks and global options,
//! as far as caddytest/integration/caddyfile_adapt of Caddy's own tests uses them. The lines here
//! are ours.

use wslint::caddy::handler::Action;
use wslint::caddy::{Model, Test};
use wslint::project::Project;

/// Each directive, and what it is to a handshake.
const DIRECTIVES: &[(&str, &str)] = &[
    ("abort /gone", "Answer"),
    (
        "acme_server /acme/* {\n\tca home\n\tallow {\n\t\tdomains a.test\n\t}\n}",
        "Pass",
    ),
    ("basic_auth /admin/* {\n\tbob $2a$14$x\n}", "Fail"),
    (
        "encode zstd gzip {\n\tminimum_length 256\n\tmatch {\n\t\tstatus 2xx\n\t}\n}",
        "Pass",
    ),
    ("error /private* 403 {\n\tmessage no\n}", "Fail"),
    (
        "file_server browse {\n\thide .git\n\tprecompressed br gzip\n}",
        "FileServer",
    ),
    ("file_server {\n\tpass_thru\n}", "Pass"),
    (
        "forward_auth auth:9000 {\n\turi /check\n\tcopy_headers X-User\n}",
        "Pass",
    ),
    ("fs local", "Pass"),
    ("handle /a/* {\n\trespond a\n}", "Block"),
    ("handle_path /b/* {\n\trespond b\n}", "Block"),
    (
        "header {\n\t+X-A b\n\t?X-C d\n\t-Server\n\tdefer\n}",
        "Headers",
    ),
    (
        "intercept {\n\t@bad status 5xx\n\thandle_response @bad {\n\t\trespond sorry 503\n\t}\n}",
        "Intercept",
    ),
    ("log_append seen yes", "Pass"),
    ("log_name quiet", "Pass"),
    ("log_skip /health", "Pass"),
    ("map {host} {name} {\n\ta.test a\n\tdefault b\n}", "Map"),
    ("method HEAD", "Method"),
    ("metrics /metrics {\n\tdisable_openmetrics\n}", "Answer"),
    ("php_fastcgi php:9000 {\n\tenv A b\n}", "Answer"),
    ("push /style.css", "Pass"),
    ("redir /old /new permanent", "Answer"),
    ("request_body {\n\tmax_size 1MB\n}", "Pass"),
    ("request_header X-A b", "RequestHeader"),
    ("respond /hi hello 200 {\n\tclose\n}", "Answer"),
    ("reverse_proxy app:8000", "Proxy"),
    ("rewrite /x /y", "Rewrite"),
    ("root * site", "Vars"),
    ("route /r/* {\n\trespond r\n}", "Block"),
    ("templates", "Pass"),
    ("timeouts {\n\tread_timeout 1m\n}", "Pass"),
    ("tracing {\n\tspan a\n}", "Pass"),
    ("try_files {path} /index.html", "TryFiles"),
    ("uri strip_prefix /api", "Uri"),
    ("uri path_regexp /+ /", "Uri"),
    ("uri query a b", "Uri"),
    ("vars kind page", "Vars"),
    (
        "acme_server {\n\tchallenges http-01 tls-alpn-01\n\tresolvers udp/1.1.1.1:53\n\tlifetime 24h\n\tsign_with_root\n\tallow_wildcard_names\n\tdeny {\n\t\tip_ranges 10.0.0.0/8\n\t}\n}",
        "Pass",
    ),
    (
        "reverse_proxy /d/* {\n\tdynamic a app 8000 {\n\t\trefresh 30s\n\t\tresolvers 1.1.1.1\n\t\tversions ipv4\n\t}\n}",
        "Proxy",
    ),
    (
        "reverse_proxy /d/* {\n\tdynamic srv {\n\t\tservice api\n\t\tproto tcp\n\t\tname app.test\n\t\trefresh 5m\n\t\tgrace_period 1m\n\t}\n}",
        "Proxy",
    ),
    (
        "reverse_proxy /d/* {\n\tdynamic multi {\n\t\ta app 8000\n\t\tsrv _api._tcp.app.test\n\t}\n}",
        "Proxy",
    ),
    (
        "php_fastcgi /p/* php:9000 {\n\tsplit .php\n\tindex off\n\troot site\n\tenv A b\n\tresolve_root_symlink\n\tcapture_stderr\n\tread_timeout 5s\n}",
        "Answer",
    ),
    (
        "reverse_proxy /f/* php:9000 {\n\ttransport fastcgi {\n\t\tsplit .php\n\t\tenv A b\n\t}\n}",
        "Answer",
    ),
    (
        "reverse_proxy /w/* a:1 b:2 {\n\tlb_policy weighted_round_robin 3 1\n\tlb_retries 2\n\tlb_retry_match {\n\t\tmethod POST\n\t\tpath /a/*\n\t}\n}",
        "Proxy",
    ),
    (
        "reverse_proxy /w/* a:1 b:2 {\n\tlb_policy header X-A {\n\t\tfallback first\n\t}\n}",
        "Proxy",
    ),
    (
        "reverse_proxy /w/* a:1 b:2 {\n\tlb_policy cookie lb secret {\n\t\tmax_age 1h\n\t\tfallback round_robin\n\t}\n}",
        "Proxy",
    ),
    ("reverse_proxy /w/* srv+unix//x a:8001-8004", "Proxy"),
    (
        "header /h/* {\n\t>Cache-Control no-store\n\tX-A \"{http.request.uri}\"\n\tX-B /a/ /b\n\tmatch status 2xx\n}",
        "Headers",
    ),
    ("header /h/* X-A <<END\n\tone\n\tEND", "Headers"),
    ("respond /h <<HTML\n\t<p>hi</p>\n\tHTML 200", "Answer"),
    (
        "file_server /s/* {\n\tbrowse page.html {\n\t\treveal_symlinks\n\t\tsort name asc\n\t\tfile_limit 10\n\t}\n}",
        "FileServer",
    ),
    (
        "basic_auth /admin/* bcrypt area {\n\tbob $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n}",
        "Fail",
    ),
    (
        "uri /q/* query {\n\tadd a b\n\tdelete c\n\trename d e\n\treplace f g\n}",
        "Uri",
    ),
    (
        "route /r/* {\n\thandle /r/a {\n\t\trespond a\n\t}\n\thandle {\n\t\trespond b\n\t}\n}",
        "Block",
    ),
    (
        "tracing {\n\tspan a\n\tspan_attributes {\n\t\tk v\n\t}\n}",
        "Pass",
    ),
    (
        "encode {\n\tgzip 5\n\tzstd best\n\tmatch {\n\t\theader Content-Type text/*\n\t}\n}",
        "Pass",
    ),
    (
        "map {host} {a} {b} {\n\ta.test 1 2\n\t~(.*)\\.test \"${1}\" -\n\tdefault x y\n}",
        "Map",
    ),
    (
        "try_files /t/{path} =404 {\n\tpolicy most_recently_modified\n}",
        "TryFiles",
    ),
    ("rewrite /a/* ?x={path}", "Rewrite"),
    (
        "handle_path /z/* {\n\ttemplates {\n\t\tbetween << >>\n\t}\n}",
        "Block",
    ),
];

/// Lines of a site that handle no request.
const SETTINGS: &[&str] = &[
    "bind 127.0.0.1 {\n\tprotocols h1 h2\n}",
    "handle_errors 4xx {\n\trespond sorry\n}",
    "log {\n\thostnames a.test\n\toutput file a.log {\n\t\troll_size 1MB\n\t}\n\tformat json\n\tno_hostname\n}",
    "tls internal {\n\tprotocols tls1.2 tls1.3\n\talpn http/1.1\n\ton_demand\n\tclient_auth {\n\t\tmode require\n\t}\n}",
    "log {\n\toutput stdout\n\tformat filter {\n\t\twrap console\n\t\tfields {\n\t\t\tuser_id delete\n\t\t\trequest>headers>Cookie cookie {\n\t\t\t\treplace session hidden\n\t\t\t\tdelete csrf\n\t\t\t}\n\t\t\trequest>remote_ip ip_mask {\n\t\t\t\tipv4 16\n\t\t\t\tipv6 48\n\t\t\t}\n\t\t\trequest>uri query {\n\t\t\t\treplace token hidden\n\t\t\t}\n\t\t\tresp_headers>Server rename server\n\t\t\tuser hash\n\t\t}\n\t}\n}",
    "log {\n\tformat filter {\n\t\trequest>uri regexp \"/u/[0-9]+\" /u/n\n\t}\n}",
    "log {\n\tformat append {\n\t\twrap json\n\t\tfields {\n\t\t\tzone eu\n\t\t}\n\t}\n}",
    "log {\n\tformat json {\n\t\ttime_format iso8601\n\t\tmessage_key m\n\t\tlevel_format upper\n\t\tduration_format ms\n\t}\n}",
    "log {\n\toutput net localhost:5000 {\n\t\tdial_timeout 5s\n\t\tsoft_start\n\t}\n}",
    "log named {\n\toutput file site.log {\n\t\tmode 0600\n\t\troll_keep 5\n\t\troll_keep_for 48h\n\t\troll_disabled\n\t}\n\tsampling {\n\t\tinterval 1s\n\t\tfirst 5\n\t\tthereafter 50\n\t}\n}",
    "tls {\n\tclient_auth {\n\t\tmode verify_if_given\n\t\ttrust_pool inline {\n\t\t\ttrust_der MIIBkTCB\n\t\t}\n\t}\n}",
    "tls {\n\tclient_auth {\n\t\tmode require_and_verify\n\t\ttrust_pool pki_root {\n\t\t\tauthority home\n\t\t}\n\t\tverifier leaf {\n\t\t\tfolder certs\n\t\t}\n\t}\n}",
    "tls {\n\tissuer acme {\n\t\tdir https://ca.test/dir\n\t\tprofile short\n\t\talt_http_port 8080\n\t\tdisable_tlsalpn_challenge\n\t}\n\tissuer internal {\n\t\tca home\n\t\tlifetime 48h\n\t\tsign_with_root\n\t}\n}",
    "tls {\n\tget_certificate http http://localhost:9007/cert\n\tciphers TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n\tcurves x25519\n\treuse_private_keys\n\tkey_type p256\n\tinsecure_secrets_log secrets.log\n}",
    "tls ops@a.test {\n\tca https://ca.test/dir\n\tca_root ca.pem\n\teab key mac\n\trenewal_window_ratio 0.3\n}",
    "tls force_automate",
    "bind fd/3 fdgram/4",
    "bind unix//run/a.sock|0222",
    "handle_errors {\n\t@gone `{err.status_code} in [404, 410]`\n\thandle @gone {\n\t\trespond gone\n\t}\n\thandle {\n\t\trespond {err.message}\n\t}\n}",
];

/// Each matcher, and the condition that it is: `Open` where the circumstances of a request decide.
const MATCHERS: &[(&str, &str)] = &[
    ("client_ip private_ranges", "Open"),
    ("expression {path}.startsWith('/a')", "Compare"),
    ("`path('/a*') && method('GET')`", "Path"),
    ("file {path} /index.html", "File"),
    ("header Upgrade websocket", "Header"),
    ("header !Upgrade", "Header"),
    ("header_regexp Upgrade (?i)websocket", "HeaderRegexp"),
    ("host a.test b.test", "Host"),
    ("method GET HEAD", "Method"),
    ("not path /a /b", "Not"),
    ("path /a /b/*", "Path"),
    ("path_regexp name ^/a", "PathRegexp"),
    ("protocol https", "Protocol"),
    ("query a=b c=*", "Query"),
    ("remote_ip 10.0.0.0/8", "Open"),
    ("url_pattern /books/:id", "Open"),
    ("vars {host} a.test", "Vars"),
    ("vars_regexp kind ^a", "Open"),
    ("path_regexp ^/a/(.+)$", "PathRegexp"),
    (
        "file {\n\troot site\n\ttry_files {path} {path}/index.html\n\ttry_policy first_exist_fallback\n\tsplit_path .php\n}",
        "File",
    ),
    ("not {\n\tpath /a\n\tmethod POST\n}", "Not"),
    ("tls early_data", "Open"),
    ("`{query.a} == \"b\" && !path('/x')`", "Compare"),
    ("header_regexp agent User-Agent ^Mozilla", "HeaderRegexp"),
    ("vars_regexp kind kind ^a", "Open"),
    ("query a=b&c=d", "Query"),
    ("protocol http/2+", "Protocol"),
];

/// Lines of `reverse_proxy`, of its `transport http`, and of other blocks: the block, and its lines.
const LINES: &[(&str, &[&str])] = &[
    (
        "reverse_proxy app:8000",
        &[
            "fail_duration 10s",
            "flush_interval -1",
            "header_down -Server",
            "header_up X-A b",
            "health_body ok",
            "health_fails 2",
            "health_follow_redirects",
            "health_headers {\n\tX-A b\n}",
            "health_interval 5s",
            "health_method HEAD",
            "health_passes 2",
            "health_port 9000",
            "health_request_body x",
            "health_status 2xx",
            "health_timeout 1s",
            "health_uri /health",
            "lb_policy header X-A",
            "lb_retries 2",
            "lb_retry_match {\n\tmethod GET\n}",
            "lb_try_duration 1s",
            "lb_try_interval 100ms",
            "max_fails 3",
            "request_buffers 4KB",
            "stream_buffer_size 4KB",
            "stream_close_delay 5m",
            "stream_timeout 24h",
            "to other:8000",
            "trusted_proxies private_ranges",
            "unhealthy_latency 1s",
            "unhealthy_status 5xx",
            "verbose_logs",
        ],
    ),
    (
        "reverse_proxy app:8000 {\ntransport http",
        &[
            "compression off",
            "dial_fallback_delay 1s",
            "dial_timeout 1s",
            "expect_continue_timeout 1s",
            "forward_proxy_url http://a:1",
            "keepalive 1m",
            "keepalive_idle_conns 10",
            "keepalive_idle_conns_per_host 2",
            "keepalive_interval 10s",
            "local_address 127.0.0.1",
            "max_conns_per_host 10",
            "max_response_header 4KB",
            "network_proxy none",
            "proxy_protocol v2",
            "read_buffer 4KB",
            "read_timeout 1m",
            "resolvers 1.1.1.1",
            "response_header_timeout 5s",
            "tls_except_ports 80",
            "tls_insecure_skip_verify",
            "tls_renegotiation never",
            "tls_server_name a.test",
            "tls_timeout 1s",
            "tls_trust_pool file a.pem",
            "versions 1.1 2",
            "write_buffer 4KB",
            "write_timeout 1m",
        ],
    ),
    (
        "file_server",
        &[
            "disable_canonical_uris",
            "etag_file_extensions .md5",
            "index a.html",
            "root site",
            "status 200",
        ],
    ),
    ("request_body", &["max_size 1MB", "set x"]),
    (
        "templates",
        &["between [[ ]]", "mime text/html", "root site"],
    ),
];

/// Global options.
const OPTIONS: &[&str] = &[
    "acme_ca https://ca.test/dir",
    "acme_ca_root ca.pem",
    "acme_dns mock a",
    "acme_eab {\n\tkey_id a\n\tmac_key b\n}",
    "admin localhost:2020 {\n\torigins a.test\n}",
    "auto_https disable_redirects",
    "cert_issuer internal",
    "cert_lifetime 24h",
    "debug",
    "default_bind 127.0.0.1",
    "default_sni a.test",
    "dns mock a",
    "email a@a.test",
    "fallback_sni a.test",
    "grace_period 10s",
    "http_port 8080",
    "https_port 8443",
    "key_type p384",
    "local_certs",
    "log {\n\tlevel DEBUG\n\tsampling {\n\t\tfirst 10\n\t}\n}",
    "metrics {\n\tper_host\n}",
    "ocsp_interval 1h",
    "ocsp_stapling off",
    "on_demand_tls {\n\task http://a:1\n}",
    "order respond first",
    "persist_config off",
    "pki {\n\tca home {\n\t\tname a\n\t}\n}",
    "preferred_chains smallest",
    "renew_interval 1h",
    "renewal_window_ratio 0.5",
    "servers :443 {\n\tname main\n\ttimeouts {\n\t\tidle 1m\n\t\tread_body 1m\n\t\tread_header 1m\n\t\twrite 1m\n\t}\n\tprotocols h1 h2\n\ttrusted_proxies static private_ranges\n\tclient_ip_headers X-Real-IP\n\tkeepalive_interval 10s\n\tkeepalive_idle 10s\n\tkeepalive_count 3\n\tmax_header_size 4KB\n\tenable_full_duplex\n\tlog_credentials\n\tmetrics\n\tstrict_sni_host on\n\t0rtt off\n\ttrusted_proxies_unix\n\tlistener_wrappers {\n\t\thttp_redirect\n\t\ttls\n\t}\n}",
    "shutdown_delay 10s",
    "skip_install_trust",
    "storage file_system data",
    "storage_check off",
    "storage_clean_interval 7d",
    "tls_resolvers 1.1.1.1",
    "admin unix//run/caddy.sock {\n\tenforce_origin\n\torigins localhost\n}",
    "admin off",
    "log access {\n\tinclude http.log.access\n\toutput stderr\n\tformat console\n\tlevel WARN\n}",
    "pki {\n\tca home {\n\t\tname a\n\t\troot_cn b\n\t\tintermediate_cn c\n\t\tintermediate_lifetime 7d\n\t\troot {\n\t\t\tformat pem_file\n\t\t\tcert a.pem\n\t\t\tkey a.key\n\t\t}\n\t}\n}",
    "on_demand_tls {\n\tpermission http http://localhost:9000/ask\n}",
    "preferred_chains {\n\tany_common_name \"A Root\"\n}",
    "cert_issuer acme {\n\tdir https://ca.test/dir\n\tpreferred_chains smallest\n}",
    "metrics {\n\tper_host\n\tobserve_catchall_hosts\n}",
    "ech ech.a.test",
    "servers {\n\ttrusted_proxies static private_ranges\n\ttrusted_proxies_strict\n\tlistener_wrappers {\n\t\tproxy_protocol {\n\t\t\ttimeout 2s\n\t\t\tallow 10.0.0.0/8\n\t\t}\n\t\ttls\n\t}\n}",
    "servers unix//run/a.sock {\n\tprotocols h1 h2c\n}",
    "auto_https ignore_loaded_certs",
    "auto_https disable_certs",
    "default_bind 127.0.0.1 [::1]",
    "storage file_system {\n\troot data\n}",
];

/// A Caddyfile with a route for sockets and that, as it is resolved.
fn resolved<T>(options: &str, lines: &str, then: impl FnOnce(&Model) -> T) -> T {
    let caddyfile = format!(
        "{{\n{options}\n}}\na.test {{\n{lines}\n@sockets path /ws/*\nreverse_proxy @sockets app:8000\n}}\n"
    );
    let toml = "[targets]\ncaddy = \"2.11\"\n";
    let files = [("Caddyfile", caddyfile.as_str()), ("wslint.toml", toml)];
    then(&Model::resolve(&Project::in_memory(files).expect("valid")))
}

/// What is refused of it, and what is not understood.
fn complaints(options: &str, lines: &str) -> Vec<String> {
    resolved(options, lines, |model| {
        let config = &model.configs[0];
        let refused = config
            .refusals
            .iter()
            .map(|refusal| refusal.message.clone());
        let notes = model.undecided.iter().map(|note| note.message.clone());
        let partial = config.sites.iter().filter(|site| site.handlers.partial);
        let partial = partial.map(|_| "a part of the site is missing".to_owned());
        refused.chain(notes).chain(partial).collect()
    })
}

/// The name of an enumeration's member.
fn name(of: &impl std::fmt::Debug) -> String {
    let text = format!("{of:?}");
    let end = text.find(|c: char| !c.is_ascii_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

/// A line whose name nobody gave to anything: `xfail_duration 10s`.
fn misspelt(line: &str) -> String {
    format!("x{line}")
}

#[test]
fn each_directive_is_what_it_does() {
    for (line, expected) in DIRECTIVES {
        resolved("", line, |model| {
            let handlers = &model.configs[0].sites[0].handlers;
            let directive = line.split([' ', '\n']).next();
            let mut found = handlers.all.iter();
            let found = found.find(|handler| Some(handler.name.as_str()) == directive);
            let action = &found.unwrap_or_else(|| panic!("no {line}")).action;
            assert_eq!(name(action), *expected, "{line}");
        });
        assert_eq!(complaints("", line), [""; 0], "{line}");
        let unknown = misspelt(line);
        resolved("", &unknown, |model| {
            let handlers = &model.configs[0].sites[0].handlers.all;
            let mut plugins = handlers.iter();
            assert!(
                plugins.any(|handler| matches!(handler.action, Action::Plugin)),
                "{unknown}"
            );
        });
    }
    for line in SETTINGS {
        assert_eq!(complaints("", line), [""; 0], "{line}");
    }
}

#[test]
fn a_response_can_be_copied_and_a_named_route_invoked() {
    let handled = "reverse_proxy /api/* app:1 {\n@bad status 5xx\nhandle_response @bad {\ncopy_response_headers {\ninclude X-A\n}\ncopy_response 200\n}\nreplace_status @bad 400\n}";
    assert_eq!(complaints("", handled), [""; 0]);
    let file = "&(app) {\n\treverse_proxy app:1\n}\na.test {\n\tinvoke app\n}\n";
    let project = Project::in_memory([("Caddyfile", file)]).expect("valid");
    let model = Model::resolve(&project);
    let actions = model.configs[0].sites[0].handlers.all.iter();
    let names: Vec<String> = actions.map(|handler| name(&handler.action)).collect();
    assert_eq!(names, ["Block", "Proxy"]);
}

#[test]
fn each_matcher_is_a_condition() {
    for (line, expected) in MATCHERS {
        let lines = format!("@own {line}\nrespond @own hi");
        resolved("", &lines, |model| {
            let mut handlers = model.configs[0].sites[0].handlers.all.iter();
            let own = handlers
                .find(|handler| handler.name == "respond")
                .expect("it");
            let tests: &[Test] = &own.matcher.tests;
            assert_eq!(
                tests.first().map(name).as_deref(),
                Some(*expected),
                "{line}"
            );
        });
        assert_eq!(complaints("", &lines), [""; 0], "{line}");
    }
}

#[test]
fn each_line_of_a_block_is_known_and_a_misspelt_one_is_not() {
    for (block, lines) in LINES {
        let closing = "}"
            .repeat(block.matches('{').count() + 1)
            .replace('}', "\n}");
        for line in *lines {
            let right = format!("{block} {{\n{line}{closing}");
            assert_eq!(complaints("", &right), [""; 0], "{right}");
            let wrong = format!("{block} {{\n{}{closing}", misspelt(line));
            assert_eq!(complaints("", &wrong).len(), 1, "{wrong}");
        }
    }
}

#[test]
fn each_global_option_is_known() {
    for option in OPTIONS {
        assert_eq!(complaints(option, ""), [""; 0], "{option}");
    }
}

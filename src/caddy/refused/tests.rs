use crate::check::{Selection, check};
use crate::project::Project;

/// What is said to be refused in a Caddyfile.
fn refused(file: &str) -> Vec<String> {
    let project = Project::in_memory([("Caddyfile", file)]).expect("project");
    let outcome = check(&project, &Selection::default());
    let own = outcome.findings.iter();
    own.filter(|finding| finding.rule == "caddy/refused")
        .map(|finding| finding.message.clone())
        .collect()
}

/// The same of a line in a site, or in the block of its proxy.
fn line(in_proxy: bool, text: &str) -> Vec<String> {
    let (before, after) = match in_proxy {
        true => ("", format!(" {{\n{text}\n}}")),
        false => (text, String::new()),
    };
    refused(&format!(
        "example.com {{\n{before}\nreverse_proxy /ws/* app:8000{after}\n}}\n"
    ))
}

#[test]
fn one_cause_is_told_once() {
    for (in_proxy, text, part) in [
        (
            true,
            "websocket\ntransparent\nheader_upstream A b",
            "has no `websocket`",
        ),
        (true, "lb_try_duration 5", "no duration"),
        (true, "lb_policy ip_hash 2", "`ip_hash` takes one word"),
        (
            true,
            "header_up ?Host x",
            "`?` is for the directive `header`",
        ),
        (true, "transport http {\nread_timeout 5\n}", "no duration"),
        (
            true,
            "transport http {\nwebsocket\n}",
            "`transport http` has no `websocket`",
        ),
        (
            true,
            "handle_response @bad {\nabort\n}",
            "no response matcher here is called `@bad`",
        ),
        (false, "handle ws/* {\n}", "`handle` takes nothing"),
        (false, "handle @pages {\n}", "no matcher is called `@pages`"),
        (
            false,
            "handle_path @pages {\n}",
            "`handle_path` takes one path",
        ),
        (false, "redir /a /b 200", "`redir` has no status `200`"),
        (
            false,
            "reverse_proxy /a app:8000;",
            "`8000;` in `app:8000;` is no port",
        ),
        (
            false,
            "reverse_proxy /a http://{env.APP}",
            "joins a scheme and a placeholder",
        ),
        (false, "reverse_proxy /a http://b c:1", "different schemes"),
        (false, "@a header A b c", "one field and one value"),
        (false, "@a not header A b c d", "one field and one value"),
        (
            false,
            "@a {\nnot {\nheader A\n}\n}",
            "one field and one value",
        ),
        (false, "@a path /a\n@a path /b", "is defined twice"),
        (
            false,
            "@a not host a.test b.test A.test\nrespond @a x",
            "names the host `A.test` twice",
        ),
        (false, "handle /x { respond a }", "unexpected text after"),
        (false, "handle /x {}", "unexpected \"{}\""),
        (false, "invoke nosuch", "no route is called `nosuch`"),
        (false, "forward_auth auth:1", "asks for no path"),
        (
            false,
            "forward_auth auth:1 {\nuri /a\nuri /b\n}",
            "asks for two paths",
        ),
        (
            false,
            "tls {\npropagation_timeout 1m\n}",
            "has no provider here",
        ),
        (
            false,
            "intercept {\n@a status 4xx\n@b status 5xx\nhandle_response @a @b {\nabort\n}\n}",
            "`handle_response` takes 0 to 1 words",
        ),
    ] {
        let found = line(in_proxy, text);
        assert!(
            matches!(found.as_slice(), [only] if only.contains(part)),
            "{text}: {found:?}"
        );
    }
    let site = "reverse_proxy /ws/* app:8000";
    for (file, part) in [
        (
            format!("a.com {{\n{site}\n}}\na.com {{\n{site}\n}}\n"),
            "the address of two sites",
        ),
        (
            format!("a.com {{\n{site}\n}}\n{{\ndebug\n}}\n"),
            "they come first, once",
        ),
        (
            format!("a.com\n{site}\nb.com {{\n{site}\n}}\n"),
            "the first site has no braces",
        ),
        (
            format!("http://a.com:443 {{\n{site}\n}}\n"),
            "contradict each other",
        ),
        (format!("a.com:-1 {{\n{site}\n}}\n"), "`-1` is no port"),
        (format!(":80-82 {{\n{site}\n}}\n"), "`80-82` is no port"),
        (format!("foo://a.com {{\n{site}\n}}\n"), "no `foo://`"),
        (format!("a.com:80; {{\n{site}\n}}\n"), "`80;` is no port"),
        // Half of it was rewritten.
        (
            format!(
                "a.com {{\ngzip\n{site} {{\nwebsocket\n}}\n}}\nb.com {{\nproxy /ws app:1 {{\ntransparent\n}}\n}}\n"
            ),
            "`gzip` is a directive of Caddy 1",
        ),
        (format!("a.com{{\n{site}\n}}\n"), "directly after"),
        (
            format!("(a) {{\nimport b\n}}\n(b) {{\nimport a\n}}\na.com {{\nimport a\n{site}\n}}\n"),
            "imports itself",
        ),
        (
            format!(
                "(a) {{\n{{block}}\n}}\na.com {{\nimport a {{\n{{\nabort\n}}\n}}\n{site}\n}}\n"
            ),
            "a block without a name",
        ),
        (
            format!("&(a) {{\nabort\n}}\n&(a) {{\nabort\n}}\na.com {{\n{site}\n}}\n"),
            "named route `a` is defined twice",
        ),
        (
            format!("&(a) {{\ninvoke b\n}}\na.com {{\ninvoke /a a\n{site}\n}}\n"),
            "no route is called `b`",
        ),
        (
            format!("&(a) {{\nrespond @no x\n}}\na.com {{\n{site}\n}}\n"),
            "no matcher is called `@no`",
        ),
        (
            format!("{{\nacme_dns\n}}\na.com {{\n{site}\n}}\n"),
            "names no provider",
        ),
        (
            format!("a.com {{ {site} }}\n"),
            "unexpected \"}\" within a line",
        ),
        (
            format!("a.com {{\n{site} }}\n"),
            "unexpected \"}\" within a line",
        ),
        (
            format!("{{ email a@b.com }}\na.com {{\n{site}\n}}\n"),
            "unexpected \"}\" within a line",
        ),
        (
            format!("a.com\n{site} }}\n"),
            "unexpected \"}\" within a line",
        ),
        (format!("a.com {{\n{site}\n}}\n}}\n"), "one `}` too many"),
        (
            format!("a.com {{\nimport s\n{site}\n}}\n(s) {{\nencode gzip\n}}\n"),
            "the snippet `s` is defined only after this line",
        ),
        // Its `}` closes the site, and what comes after stands where sites do.
        (
            "a.com {\nhandle /ws/*{\nreverse_proxy app:8000\n}\n}\n".to_owned(),
            "directly after \"/ws/*\"",
        ),
        (
            "a.com {\nhandle /ws/*{\nreverse_proxy app:8000\n}\nencode gzip\n}\n".to_owned(),
            "directly after \"/ws/*\"",
        ),
        (
            "a.com {\n@ws{\npath /ws/*\n}\nreverse_proxy @ws app:8000\n}\n".to_owned(),
            "directly after \"@ws\"",
        ),
        (
            "a.com {\nhandle{\nreverse_proxy /ws/* app:8000\n}\n}\n".to_owned(),
            "directly after \"handle\"",
        ),
        (
            format!("a.com {{\n{site}{{\nheader_up A b\n}}\n}}\n"),
            "directly after \"app:8000\"",
        ),
        (
            format!("a.com {{\n{site} {{\ntransport http{{\nread_timeout 5m\n}}\n}}\n}}\n"),
            "directly after \"http\"",
        ),
    ] {
        let found = refused(&file);
        assert!(
            matches!(found.as_slice(), [only] if only.contains(part)),
            "{file}: {found:?}"
        );
    }
}

#[test]
fn what_caddy_takes_is_silent() {
    for text in [
        "lb_try_duration {$TRY:5}",
        "lb_try_duration 1h30m",
        "flush_interval -1",
        "stream_timeout 5",
        "header_up X a b",
        "lb_policy cookie name secret",
        "lb_policy nosuch plugin",
        "transport nosuch {\na b c\n}",
        "unhealthy_status 5xx 404",
        "@bad status 4xx\nhandle_response @bad {\nabort\n}",
    ] {
        assert!(line(true, text).is_empty(), "{text}");
    }
    for text in [
        "handle {$PAGES} {\n}",
        "{$LINE} @a {\n}\nhandle @a {\n}",
        "import pages.caddy\nhandle @somewhere {\n}",
        "@a header !A",
        "@a host a.test a.test",
        "@a header A b X C d",
        "redir /a /b {status}",
        "redir /a /b 301 x",
        "nosuch plugin @its {\n}",
        "tls {\ndns cloudflare x\npropagation_timeout 1m\n}",
        "rewrite /a",
        "@a path /a\nhandle {\nhandle @a {\n}\n}",
    ] {
        assert!(
            line(false, text).is_empty(),
            "{text}: {:?}",
            line(false, text)
        );
    }
    for file in [
        // Nobody asks for what the named route asks for, and nothing is imported.
        "&(a) {\ninvoke b\n}\na.com {\nreverse_proxy /ws/* app:8000\n}\n",
        "(a) {\nimport a\n}\na.com {\nreverse_proxy /ws/* app:8000\n}\n",
        "{\nacme_dns\ndns cloudflare x\n}\na.com {\ntls {\nresolvers 1.1.1.1\n}\nreverse_proxy /ws/* app:8000\n}\n",
        // The last brace of the file closes both.
        "a.com {\nreverse_proxy /ws/* app:8000 {\nlb_policy first\n}\n",
        "a.com {\nbind 127.0.0.1\nreverse_proxy /ws/* app:8000\n}\na.com {\nbind 127.0.0.2\nabort\n}\n",
        "a.com {\nreverse_proxy /ws/* app:8000\n}\nhttp://a.com {\nabort\n}\n",
        "a.com/x {\nreverse_proxy /ws/* app:8000\n}\na.com/y {\nabort\n}\n",
        "{$A} {\nreverse_proxy /ws/* app:8000\n}\n{$A} {\nabort\n}\n",
        // Any brace closes a snippet, and certificates of one's own are issued for any name.
        "(s) { reverse_proxy /ws/* app:8000 }\na.com {\nimport s\n}\n",
        "&(s) {\nreverse_proxy app:8000 }\na.com {\ninvoke /ws/* s\n}\n",
        "{\nlocal_certs\n}\na.com {\nreverse_proxy /ws/* app:8000\n}\n}\n",
        // To Caddy the brace is an upstream.
        "a.com {\nhandle /ws/* {\nreverse_proxy app:8000 }\nrespond /x y\n}\n",
        "{$OPTIONS}\n\n{$SITE:localhost} {\nreverse_proxy /ws/* app:8000\n}\n",
    ] {
        assert!(refused(file).is_empty(), "{file}: {:?}", refused(file));
    }
}

#[test]
fn an_older_caddy_knows_less() {
    let site = "reverse_proxy /ws/* app:8000";
    for (file, since, part) in [
        (
            format!("a.com {{\nrespond /x <<END\n\ta\n\tEND\n{site}\n}}\n"),
            "2.7.0",
            "it has no heredocs",
        ),
        (
            format!("(s) {{\n{{block}}\n}}\na.com {{\nimport s {{\nencode gzip\n}}\n{site}\n}}\n"),
            "2.9.0",
            "imports take no block",
        ),
        (
            format!(
                "(s) {{\n{site} {{\n{{block}}\n}}\n}}\na.com {{\nimport s {{\nheader_up A b\n}}\n}}\n"
            ),
            "2.9.0",
            "imports take no block",
        ),
        (
            format!("a.com {{\ntls {{\ndns x\npropagation_timeout 1m\n}}\n{site}\n}}\n"),
            "2.6.3",
            "`tls` has no `propagation_timeout`",
        ),
    ] {
        for (version, is_told) in [("2.6.2", true), (since, false)] {
            let toml = format!("[targets]\ncaddy = \"{version}\"\n");
            let files = [("Caddyfile", file.as_str()), ("wslint.toml", &toml)];
            let project = Project::in_memory(files).expect("project");
            let found = check(&project, &Selection::default()).findings;
            let told: Vec<&str> = found.iter().map(|one| one.message.as_str()).collect();
            assert!(
                told.iter().any(|message| message.contains(part)) == is_told && told.len() < 2,
                "{version} {file}: {told:?}"
            );
        }
    }
}

#[test]
fn a_whole_file_of_caddy_1_is_undecided() {
    let file = "example.com {\nproxy /ws app:8000 {\nwebsocket\ntransparent\n}\n}\n";
    let project = Project::in_memory([("Caddyfile", file)]).expect("project");
    let outcome = check(&project, &Selection::default());
    assert!(outcome.findings.is_empty());
    assert!(
        outcome
            .undecided
            .iter()
            .any(|note| note.message.contains("Caddy 1"))
    );
    let toml = "[targets]\ncaddy = \"2.10\"\n";
    let project =
        Project::in_memory([("Caddyfile", file), ("wslint.toml", toml)]).expect("project");
    assert_eq!(check(&project, &Selection::default()).findings.len(), 1);
}

#[test]
fn certificates_for_any_name_need_a_permission() {
    let site = |address: &str, tls: &str| {
        format!("{address} {{\n\ttls{tls}\n\treverse_proxy /ws app:8000\n}}\n")
    };
    let demands = " {\n\t\ton_demand\n\t}";
    let global = |line: &str| format!("{{\n\t{line}\n}}\n{}", site(":443", demands));
    let more = |other: &str| format!("{}{other}", site(":443", demands));
    // Each by what `caddy validate` of 2.11.7 says of it.
    for (file, is_told) in [
        (site(":443", demands), true),
        (site("https://", demands), true),
        (site("*.example.com", demands), true),
        (site(":443, :8443", demands), true),
        (site(":443", " a@b.test {\n\t\ton_demand\n\t}"), true),
        (global("email a@b.test"), true),
        (global("auto_https off"), true),
        (more("example.com {\n\trespond x\n}\n"), true),
        (site("example.com", demands), false),
        (site("example.com, https://", demands), false),
        (site("http://", demands), false),
        (site(":80", demands), false),
        (site("{$SITE::443}", demands), false),
        (site(":443", " internal {\n\t\ton_demand\n\t}"), false),
        (
            site(":443", " {\n\t\ton_demand\n\t\tissuer internal\n\t}"),
            false,
        ),
        (
            site(
                ":443",
                " {\n\t\ton_demand\n\t\tget_certificate http http://a/x\n\t}",
            ),
            false,
        ),
        (global("local_certs"), false),
        (global("cert_issuer internal"), false),
        (global("on_demand_tls {\n\t\task http://a/x\n\t}"), false),
        (
            more(":8443 {\n\ttls {\n\t\tget_certificate http http://a/x\n\t}\n\trespond x\n}\n"),
            false,
        ),
    ] {
        let told = refused(&file);
        let found = told.iter().any(|one| one.contains("who permits it"));
        assert_eq!(found, is_told, "{file}: {told:?}");
    }
    for (version, is_told) in [("2.6.2", false), ("2.8.4", true)] {
        let toml = format!("[targets]\ncaddy = \"{version}\"\n");
        let file = site(":443", demands);
        let files = [("Caddyfile", file.as_str()), ("wslint.toml", &toml)];
        let project = Project::in_memory(files).expect("project");
        let found = check(&project, &Selection::default()).findings;
        assert_eq!(found.len(), usize::from(is_told), "{version}: {found:#?}");
    }
}

//! Joints, and the ways through them, on projects in memory.

use super::Traced;
use crate::check::{Selection, check, check_resolved};
use crate::context::Context;
use crate::project::Project;
use crate::trace::{Run, Step, Target, Verdict, trace};

pub(super) const ASGI: &str = "from channels.routing import ProtocolTypeRouter, URLRouter\nfrom django.core.asgi import get_asgi_application\nfrom django.urls import path\nhttp = get_asgi_application()\nfrom news.consumers import News\napplication = ProtocolTypeRouter({'http': http, 'websocket': URLRouter([path('ws/news/', News.as_asgi())])})\n";
pub(super) const NEWS: &str = "from channels.generic.websocket import WebsocketConsumer\nclass News(WebsocketConsumer): pass\n";
pub(super) const SETTINGS: &str =
    "ROOT_URLCONF = 'site.urls'\nINSTALLED_APPS = ['channels']\nALLOWED_HOSTS = ['*']\n";
pub(super) const UPGRADE: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";

/// A Django project in `folder`.
pub(super) fn django(folder: &str) -> Vec<(String, String)> {
    let at = |name: &str| format!("{folder}{name}");
    vec![
        (
            at("manage.py"),
            "os.environ['DJANGO_SETTINGS_MODULE'] = 'site.settings'\n".into(),
        ),
        (at("site/settings.py"), SETTINGS.into()),
        (at("site/asgi.py"), ASGI.into()),
        (at("news/consumers.py"), NEWS.into()),
    ]
}

pub(super) fn conf(body: &str) -> String {
    format!("events {{}}\nhttp {{\n{body}\n}}\n")
}

/// What `look` makes of the project of `files`, with a Django project at its root.
pub(super) fn with<T>(files: &[(&str, &str)], look: impl FnOnce(&Context<'_>) -> T) -> T {
    let django = django("");
    let django = django
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()));
    let django = django.filter(|(path, _)| files.iter().all(|(own, _)| own != path));
    let project = Project::in_memory(files.iter().copied().chain(django)).expect("valid");
    look(&Context::resolve(&project))
}

fn shown(run: &Run) -> String {
    let mut layers: Vec<String> = run
        .steps
        .iter()
        .map(|step: &Step| format!("{}:{}", step.layer, step.arrived.port))
        .collect();
    layers.push(run.verdict.name().to_owned());
    layers.extend(run.status.map(|status| status.to_string()));
    layers.join(" ")
}

/// The ways to applications, as the hops with the port at which each is reached.
fn ways(files: &[(&str, &str)]) -> Vec<String> {
    with(files, |cx| {
        let ways = cx.ways().iter();
        let ways = ways.filter(|traced| traced.application.is_some());
        ways.map(|traced: &Traced| shown(traced.way.decisive()))
            .collect()
    })
}

#[test]
fn hops_are_joined_by_what_the_files_say() {
    let nginx = |to: &str| {
        conf(&format!(
            "server {{ listen 80; location / {{ {UPGRADE} proxy_pass {to}; }} }}"
        ))
    };
    let caddy = |to: &str| format!(":80 {{\n\treverse_proxy {to}\n}}\n");
    let daphne = |bind: &str| format!("web: daphne {bind} site.asgi:application\n");
    let compose = |command: &str| {
        format!(
            "services:\n  front:\n    image: nginx\n    ports: ['8080:80']\n    volumes: ['./nginx.conf:/etc/nginx/nginx.conf']\n  web:\n    container_name: the-app\n    build: .\n    networks: {{default: {{aliases: [api]}}}}\n    command: {command}\n  redis:\n    image: redis\n"
        )
    };
    let served = compose("daphne -b 0.0.0.0 -p 9000 site.asgi:application");
    for (files, expected) in [
        // A compose service by its name, its container's name, an alias.
        (vec![("nginx.conf", nginx("http://web:9000")), ("docker-compose.yml", served.clone())], "nginx:80 django:9000 opens 101"),
        (vec![("nginx.conf", nginx("http://the-app:9000")), ("docker-compose.yml", served.clone())], "nginx:80 django:9000 opens 101"),
        (vec![("nginx.conf", nginx("http://api:9000")), ("docker-compose.yml", served.clone())], "nginx:80 django:9000 opens 101"),
        (vec![("Caddyfile", caddy("web:9000")), ("docker-compose.yml", served.clone())], "caddy:80 django:9000 opens 101"),
        // A service that the files say runs something else, and a port where nobody listens.
        (vec![("nginx.conf", nginx("http://redis:9000")), ("docker-compose.yml", served.clone())], ""),
        (vec![("nginx.conf", nginx("http://web:9001")), ("docker-compose.yml", served.clone())], ""),
        // Another service of a name that nobody has.
        (vec![("nginx.conf", nginx("http://other:9000")), ("docker-compose.yml", served.clone())], "nginx:80 django:9000 opens 101"),
        // Commands in a Dockerfile, in a script that it starts, in a list.
        (vec![("nginx.conf", nginx("http://web:9000")), ("docker-compose.yml", compose("").replace("    command: \n", "")), ("Dockerfile", "FROM python\nCMD [\"daphne\", \"-p\", \"9000\", \"site.asgi:application\"]\n".into())], "nginx:80 django:9000 opens 101"),
        (vec![("nginx.conf", nginx("http://web:9000")), ("docker-compose.yml", compose("").replace("    command: \n", "")), ("Dockerfile", "FROM python\nCOPY ops/start.sh /start\nCMD /start\n".into()), ("ops/start.sh", "exec daphne -p 9000 site.asgi:application\n".into())], "nginx:80 django:9000 opens 101"),
        (vec![("nginx.conf", nginx("http://web:9000")), ("docker-compose.yml", compose("[daphne, -p, '9000', 'site.asgi:application']"))], "nginx:80 django:9000 opens 101"),
        (vec![("nginx.conf", nginx("http://web:9000")), ("docker-compose.yml", compose(">\n      daphne\n      -p 9000\n      site.asgi:application"))], "nginx:80 django:9000 opens 101"),
        // A port of this machine: the application's own, or one that a container publishes.
        (vec![("nginx.conf", nginx("http://127.0.0.1:9000")), ("Procfile", daphne("-p 9000"))], "nginx:80 django:9000 opens 101"),
        (vec![("Caddyfile", caddy("localhost:7000")), ("docker-compose.yml", served.replace("    build: .\n", "    build: .\n    ports: ['127.0.0.1:7000:9000']\n"))], "caddy:80 django:9000 opens 101"),
        // Sockets.
        (vec![("nginx.conf", nginx("http://unix:/run/app.sock")), ("Procfile", daphne("-u /run/app.sock"))], "nginx:80 django:80 opens 101"),
        (vec![("Caddyfile", caddy("unix//run/app.sock")), ("Procfile", "web: gunicorn -k uvicorn_worker.UvicornWorker --bind unix:/run/app.sock site.asgi:application\n".into()), ("requirements.txt", "uvicorn[standard]\n".into())], "caddy:80 django:80 opens 101"),
        (vec![("Caddyfile", caddy("unix//run/app.sock")), ("Procfile", "web: uvicorn --uds=/run/app.sock site.asgi:application\n".into()), ("requirements.txt", "uvicorn[standard]\n".into())], "caddy:80 django:80 opens 101"),
        (vec![("Caddyfile", caddy("unix//run/other.sock")), ("Procfile", daphne("-u /run/app.sock"))], ""),
        // The one application behind the one upstream.
        (vec![("nginx.conf", nginx("http://app:8000")), ("start.sh", "daphne site.asgi:application\n".into())], "nginx:80 django:8000 opens 101"),
        // A proxy behind a proxy, by the name of its site and by its service.
        (vec![("nginx.conf", nginx("http://inner.example:81").replace("proxy_pass", "proxy_set_header Host inner.example; proxy_pass")), ("Caddyfile", "http://inner.example:81 {\n\treverse_proxy web:8000\n}\n".into()), ("start.sh", "daphne site.asgi:application\n".into())], "nginx:80 caddy:81 django:8000 opens 101"),
    ] {
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        assert_eq!(ways(&files).join("; "), expected, "{files:#?}");
    }
}

#[test]
fn a_balanced_upstream_leads_to_each_of_its_servers() {
    let nginx = conf(&format!(
        "upstream app {{ server web:9000; server legacy:9000; }}\nserver {{ listen 80; location / {{ {UPGRADE} proxy_pass http://app; }} }}"
    ));
    let compose = "services:\n  web:\n    build: .\n    command: daphne -p 9000 site.asgi:application\n  legacy:\n    build: .\n    command: gunicorn -b :9000 site.wsgi\n";
    let files = [
        ("nginx.conf", nginx.as_str()),
        ("compose.yaml", compose),
        (
            "site/wsgi.py",
            "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
        ),
        ("site/urls.py", "urlpatterns = []\n"),
    ];
    // What fails on one of two fails.
    assert_eq!(ways(&files), ["nginx:80 django:9000 fails 404"]);
}

/// nginx, of a service whose mount says so, that dials `web:9000`.
pub(super) const FRONT: &str = "  front:\n    image: nginx\n    ports: ['8080:80']\n    volumes: ['./nginx.conf:/etc/nginx/nginx.conf']\n";
const DAPHNE: &str = "daphne -b 0.0.0.0 -p 9000 site.asgi:application";
pub(super) const WSGI: &str = "gunicorn -b :9000 site.wsgi";

fn dialling() -> String {
    conf(&format!(
        "server {{ listen 80; location / {{ {UPGRADE} proxy_pass http://web:9000; }} }}"
    ))
}

#[test]
fn a_service_is_what_all_its_places_say() {
    let nginx = dialling();
    let web = |command: &str| format!("  web:\n    build: .\n    command: {command}\n");
    let opens = "nginx:80 django:9000 opens 101";
    let profile = |name: &str, command: &str| {
        format!(
            "  {name}:\n    build: .\n    profiles: [{name}]\n    hostname: web\n    command: {command}\n"
        )
    };
    let profiles = format!(
        "services:\n{FRONT}{}{}",
        profile("wsgi", WSGI),
        profile("asgi", DAPHNE)
    );
    for (files, expected) in [
        // Included, by a path and in the long form.
        (
            vec![
                (
                    "compose.yaml",
                    format!("include:\n  - apps/web.yml\nservices:\n{FRONT}"),
                ),
                (
                    "apps/web.yml",
                    format!("services:\n  web:\n    build: ..\n    command: {DAPHNE}\n"),
                ),
            ],
            opens,
        ),
        (
            vec![
                (
                    "compose.yaml",
                    format!("include:\n  - path: [apps/web.yml]\nservices:\n{FRONT}"),
                ),
                (
                    "apps/web.yml",
                    format!("services:\n  web:\n    build: ..\n    command: {DAPHNE}\n"),
                ),
            ],
            opens,
        ),
        // Extended, in the same file and in another one.
        (
            vec![(
                "compose.yaml",
                format!(
                    "services:\n{FRONT}  base:\n    build: .\n    command: {DAPHNE}\n  web:\n    extends: base\n"
                ),
            )],
            opens,
        ),
        (
            vec![
                (
                    "compose.yaml",
                    format!(
                        "services:\n{FRONT}  web:\n    extends: {{file: ops/common.yml, service: base}}\n"
                    ),
                ),
                (
                    "ops/common.yml",
                    format!("services:\n  base:\n    build: ..\n    command: {DAPHNE}\n"),
                ),
            ],
            opens,
        ),
        // An override that adds the command, or the proxy.
        (
            vec![
                (
                    "docker-compose.yml",
                    format!("services:\n{FRONT}  web:\n    build: .\n"),
                ),
                (
                    "docker-compose.prod.yml",
                    format!("services:\n  web:\n    command: {DAPHNE}\n"),
                ),
            ],
            opens,
        ),
        (
            vec![
                ("docker-compose.yml", format!("services:\n{}", web(DAPHNE))),
                ("docker-compose.override.yml", format!("services:\n{FRONT}")),
            ],
            opens,
        ),
        // One for developers beside it.
        (
            vec![
                (
                    "docker-compose.yml",
                    format!("services:\n{FRONT}{}", web(DAPHNE)),
                ),
                (
                    "docker-compose.override.yml",
                    "services:\n  web:\n    command: python manage.py runserver 0.0.0.0:9000\n"
                        .to_owned(),
                ),
            ],
            opens,
        ),
        // Two whole files are alternatives: each proxy stands before its own.
        (
            vec![
                ("docker-compose.yml", format!("services:\n{}", web(WSGI))),
                (
                    "docker-compose.prod.yml",
                    format!("services:\n{FRONT}{}", web(DAPHNE)),
                ),
            ],
            opens,
        ),
        // What an override takes the place of is not what surely runs.
        (
            vec![
                (
                    "docker-compose.yml",
                    format!("services:\n{FRONT}{}", web(WSGI)),
                ),
                (
                    "docker-compose.prod.yml",
                    format!("services:\n  web:\n    command: {DAPHNE}\n"),
                ),
            ],
            "",
        ),
        // Added where a script says so, or an environment file.
        (
            vec![
                (
                    "docker-compose.yml",
                    format!("services:\n{FRONT}  web:\n    build: .\n"),
                ),
                (
                    "ops/prod.yml",
                    format!("services:\n  web:\n    command: {DAPHNE}\n"),
                ),
                (
                    "ops/up.sh",
                    "docker compose -f docker-compose.yml \\\n  -f ops/prod.yml up -d\n".to_owned(),
                ),
            ],
            opens,
        ),
        (
            vec![
                (
                    "docker-compose.yml",
                    format!("services:\n{FRONT}{}", web(WSGI)),
                ),
                ("live.yml", format!("services:\n{}", web(DAPHNE))),
                (
                    ".env",
                    "COMPOSE_FILE='docker-compose.yml:live.yml'\n".to_owned(),
                ),
            ],
            opens,
        ),
        // A Makefile says it of production, and of a developer's machine.
        (
            vec![
                (
                    "docker-compose.yml",
                    format!("services:\n{FRONT}{}", web(WSGI)),
                ),
                (
                    "docker-compose.prod.yml",
                    format!("services:\n  web:\n    command: {DAPHNE}\n"),
                ),
                (
                    "docker-compose.dev.yml",
                    "services:\n  web:\n    command: python manage.py runserver 0.0.0.0:9000\n"
                        .to_owned(),
                ),
                (
                    "Makefile",
                    "COMPOSE = docker compose -f docker-compose.yml\nup:\n\t@docker compose -f docker-compose.yml -f docker-compose.prod.yml up -d\ndev:\n\tdocker compose -f docker-compose.yml -f docker-compose.dev.yml up\n".to_owned(),
                ),
            ],
            opens,
        ),
        // Which profile is started, an environment file says, or a script.
        (
            vec![
                ("docker-compose.yml", profiles.clone()),
                (".env", "COMPOSE_PROFILES=asgi,mail\n".to_owned()),
            ],
            opens,
        ),
        (
            vec![
                ("docker-compose.yml", profiles.clone()),
                ("up.sh", "docker compose --profile asgi up -d\n".to_owned()),
            ],
            opens,
        ),
        (
            vec![("docker-compose.yml", profiles)],
            "",
        ),
        // What a profile starts gives way to what is started without one.
        (
            vec![(
                "docker-compose.yml",
                format!(
                    "services:\n{FRONT}{}  old:\n    profiles: [old]\n    container_name: web\n    build: .\n    command: {WSGI}\n",
                    web(DAPHNE)
                ),
            )],
            opens,
        ),
        // Rings.
        (
            vec![(
                "compose.yaml",
                format!(
                    "include: [compose.yaml]\nservices:\n{FRONT}  web:\n    extends: web\n    build: .\n    command: {DAPHNE}\n"
                ),
            )],
            opens,
        ),
    ] {
        let mut files = files;
        files.push(("nginx.conf", nginx.clone()));
        files.push(("site/wsgi.py", "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n".to_owned()));
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        assert_eq!(ways(&files).join("; "), expected, "{files:#?}");
    }
}

/// An upstream that may be one of several is none of them: the verdict says so, and names them.
#[test]
fn an_upstream_that_may_be_one_of_several_is_undecided() {
    let nginx = dialling();
    let base = format!("services:\n{FRONT}  web:\n    build: .\n    command: {WSGI}\n");
    let prod = format!("services:\n  web:\n    command: {DAPHNE}\n");
    let files = [
        ("nginx.conf", nginx.as_str()),
        ("docker-compose.yml", &base),
        ("docker-compose.prod.yml", &prod),
        (
            "site/wsgi.py",
            "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
        ),
    ];
    with(&files, |cx| {
        let target = Target::parse("ws://localhost:8080/ws/news/").expect("a URL");
        let ways = trace(cx, &target, None);
        let [way] = ways.as_slice() else {
            panic!("{} ways", ways.len());
        };
        assert_eq!(way.verdict(), Verdict::Undecided);
        let because = way.decisive().steps[0].passage.because.iter();
        let named: Vec<String> = because
            .filter(|because| because.message.starts_with("may be"))
            .map(|because| cx.project.place(because.span))
            .collect();
        assert_eq!(named, ["docker-compose.prod.yml:3", "docker-compose.yml:8"]);
        let outcome = check_resolved(cx, &Selection::default());
        assert_eq!(outcome.findings.len(), 0, "{:#?}", outcome.findings);
    });
}

#[test]
fn what_may_be_any_of_several_applications_is_undecided() {
    let nginx = |to: &str| {
        conf(&format!(
            "server {{ listen 80; location / {{ {UPGRADE} proxy_pass http://{to}; }} }}"
        ))
    };
    let built = "services:\n  api:\n    build: {context: ., dockerfile: ops/Dockerfile}\n  node:\n    build: ./front\n";
    for (to, verdict, also) in [
        // Nothing says which of them listens on this machine's port.
        ("localhost:8000", Verdict::Undecided, vec![]),
        // One of them says that it is another one's.
        (
            "127.0.0.1:9000",
            Verdict::Undecided,
            vec![("a/Procfile", "web: daphne -p 9001 site.asgi:application\n")],
        ),
        // Built from the folder that holds both.
        (
            "api:8000",
            Verdict::Undecided,
            vec![
                ("compose.yaml", built),
                ("ops/Dockerfile", "FROM python\nCOPY . .\n"),
            ],
        ),
        // None of them: another machine, a name that nothing ties to them, another program.
        ("10.1.2.3:8000", Verdict::Opens, vec![]),
        ("backend:8000", Verdict::Opens, vec![]),
        (
            "node:8000",
            Verdict::Opens,
            vec![("compose.yaml", built), ("front/Dockerfile", "FROM node\n")],
        ),
    ] {
        let nginx = nginx(to);
        let (a, b) = (django("a/"), django("b/"));
        let both = a.iter().chain(&b);
        let both = both.map(|(path, text)| (path.as_str(), text.as_str()));
        let files = both.chain([("nginx.conf", nginx.as_str())]).chain(also);
        let project = Project::in_memory(files).expect("valid");
        let cx = Context::resolve(&project);
        let target = Target::parse("ws://localhost/ws/news/").expect("a URL");
        let ways = trace(&cx, &target, None);
        let verdicts: Vec<Verdict> = ways.iter().map(|way| way.verdict()).collect();
        assert_eq!(verdicts, [verdict], "{to}");
    }
}

/// Who asks by a path alone means the public host, which AllowedHosts lets in, and not this machine.
#[test]
fn a_server_without_a_name_is_asked_for_the_public_host() {
    let nginx = conf(&format!(
        "server {{ listen 80 default_server; server_name _; location / {{ {UPGRADE} proxy_set_header Host $host; proxy_pass http://127.0.0.1:8000; }} }}"
    ));
    let named = "server { listen 80; server_name news.example.com; return 404; }\n";
    for (hosts, before, url) in [
        (
            "['localhost', '.news.example.com']",
            "",
            "ws://news.example.com/ws/news/",
        ),
        ("['localhost', '10.0.0.7']", "", "ws://localhost/ws/news/"),
        // Another server has that name.
        ("['news.example.com']", named, "ws://localhost/ws/news/"),
    ] {
        let nginx = nginx.replace("http {\n", &format!("http {{\n{before}"));
        let mut files = django("");
        let settings = SETTINGS.replace("['*']", hosts);
        files.retain(|(path, _)| !path.ends_with("settings.py"));
        files.push(("site/settings.py".into(), settings));
        files.push(("nginx.conf".into(), nginx));
        files.push((
            "Procfile".into(),
            "web: daphne site.asgi:application\n".into(),
        ));
        let files = files.iter();
        let files = files.map(|(path, text)| (path.as_str(), text.as_str()));
        let project = Project::in_memory(files).expect("valid");
        let cx = Context::resolve(&project);
        let target = Target::parse("/ws/news/").expect("a path");
        let urls: Vec<String> = trace(&cx, &target, None)
            .into_iter()
            .map(|way| way.url)
            .filter(|asked| before.is_empty() || !asked.contains("news.example.com"))
            .collect();
        assert_eq!(urls, [url], "{hosts}");
    }
}

#[test]
fn a_default_that_the_deployment_supplies_is_not_the_value() {
    let validated = ASGI
        .replace("URLRouter([", "AllowedHostsOriginValidator(URLRouter([")
        .replace("])})", "]))})");
    let asgi =
        format!("from channels.security.websocket import AllowedHostsOriginValidator\n{validated}");
    let settings = format!(
        "import os\n{}",
        SETTINGS.replace("['*']", "os.environ.get('HOSTS', 'localhost').split(',')")
    );
    let nginx = conf(&format!(
        "server {{ listen 80; server_name a.example.com; location / {{ {UPGRADE} proxy_pass http://web:9000; }} }}"
    ));
    for (service, becomes) in [
        ("", "fails 403"),
        ("    env_file: [.env.prod]\n", "undecided"),
        ("    environment:\n      HOSTS: ${HOSTS}\n", "undecided"),
        (
            "    environment:\n      HOSTS: a.example.com\n",
            "opens 101",
        ),
        (
            "    environment:\n      HOSTS: b.example.com\n",
            "fails 403",
        ),
    ] {
        let expected = format!("nginx:80 django:9000 {becomes}");
        let compose =
            format!("services:\n{FRONT}  web:\n    build: .\n    command: {DAPHNE}\n{service}");
        let files = [
            ("nginx.conf", nginx.as_str()),
            ("docker-compose.yml", compose.as_str()),
            (
                "manage.py",
                "os.environ['DJANGO_SETTINGS_MODULE'] = 'site.settings'\n",
            ),
            ("site/settings.py", settings.as_str()),
            ("site/asgi.py", asgi.as_str()),
            ("news/consumers.py", NEWS),
        ];
        let project = Project::in_memory(files).expect("valid");
        let context = Context::resolve(&project);
        let ways = context.ways().iter();
        let told: Vec<String> = ways.map(|traced| shown(traced.way.decisive())).collect();
        assert_eq!(told, [expected], "{service}");
        let outcome = check(&project, &Selection::default());
        let (warned, unclear) = (outcome.findings, outcome.undecided);
        assert_eq!(warned.is_empty(), becomes != "fails 403", "{warned:#?}");
        // Never called clean.
        assert_eq!(unclear.is_empty(), becomes != "undecided", "{unclear:#?}");
    }
}

#[test]
fn a_template_that_names_the_host_leaves_the_port() {
    let nginx = |servers: &str| {
        conf(&format!(
            "upstream app {{ {servers} }} server {{ listen 80; location / {{ {UPGRADE} proxy_pass http://app; }} }}"
        ))
    };
    let command = "daphne -p 9000 site.asgi:application\n";
    for (servers, command, expected) in [
        (
            "server ${APP_HOST}:9000;",
            command,
            "nginx:80 django:9000 opens 101",
        ),
        ("server ${APP_HOST}:9001;", command, ""),
        ("server ${APP_HOST}:${PORT};", command, ""),
        ("server ${A}:9000; server ${B}:9000;", command, ""),
        // 8000 is a guess where no command says it.
        (
            "server ${APP_HOST}:8000;",
            "daphne site.asgi:application\n",
            "",
        ),
    ] {
        let files = [
            ("nginx.conf.template", nginx(servers)),
            ("start.sh", command.to_owned()),
        ];
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        assert_eq!(ways(&files).join("; "), expected, "{servers}");
    }
}

#[test]
fn a_declared_endpoint_or_a_lone_application_is_never_called_clean_unasked() {
    let nginx = |inside: &str| conf(&format!("server {{ listen 80; {inside} }}"));
    let passes = nginx(&format!(
        "location / {{ {UPGRADE} proxy_pass http://web; }}"
    ));
    let hidden = nginx(&format!(
        "location / {{ {UPGRADE} include /etc/nginx/more.conf; proxy_pass http://web; }}"
    ));
    let redirects = nginx("return 301 https://$host$request_uri;");
    let plain = nginx("location / { proxy_pass http://web; }");
    let caddy = "a.example.com {\n\troot * /srv\n\tfile_server\n}\n".to_owned();
    let endpoint = |endpoint: &str| format!("[websocket]\nendpoints = [\"{endpoint}\"]\n");
    let gone = "no way in this project lets a WebSocket through at";
    for (path, text, asked, told) in [
        ("nginx.conf", &passes, "/live/feed", ""),
        ("nginx.conf", &hidden, "/live/feed", "can't be told"),
        ("nginx.conf", &redirects, "/live/feed", gone),
        // A rule's.
        ("nginx.conf", &plain, "/live/feed", ""),
        ("Caddyfile", &caddy, "/live/feed", gone),
        ("Caddyfile", &caddy, "wss://b.example.com/live/feed", gone),
        ("notes.txt", &caddy, "/live/feed", gone),
    ] {
        let config = endpoint(asked);
        let files = [(path, text.as_str()), ("wslint.toml", config.as_str())];
        let project = Project::in_memory(files).expect("valid");
        let outcome = check(&project, &Selection::default());
        let notes: Vec<&str> = outcome
            .undecided
            .iter()
            .map(|note| note.message.as_str())
            .collect();
        match told {
            "" => assert!(notes.is_empty(), "{text} {notes:?}"),
            told => {
                assert!(
                    matches!(notes.as_slice(), [one] if one.contains(told)),
                    "{text} {notes:?}"
                )
            }
        }
    }
    // Nothing stands before daphne.
    let settings = SETTINGS.replace("['*']", "['shop.example.com']");
    let hidden = SETTINGS.replace("['*']", "[__import__('os').environ['HOST']]");
    let validated = ASGI
        .replace("URLRouter([", "AllowedHostsOriginValidator(URLRouter([")
        .replace("])})", "]))})");
    let asgi =
        format!("from channels.security.websocket import AllowedHostsOriginValidator\n{validated}");
    for (settings, count) in [(settings, 0), (hidden, 1)] {
        let files = [
            ("Procfile", "web: daphne site.asgi:application\n"),
            ("site/settings.py", settings.as_str()),
            ("site/asgi.py", asgi.as_str()),
            ("news/consumers.py", NEWS),
        ];
        let project = Project::in_memory(files).expect("valid");
        let outcome = check(&project, &Selection::default());
        assert_eq!(outcome.undecided.len(), count, "{:?}", outcome.undecided);
        assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
    }
}

#[test]
fn a_file_that_only_the_server_may_have_leaves_the_path_open() {
    let nginx = conf(&format!(
        "server {{ listen 80; server_name a.example; location /cable {{ {UPGRADE} proxy_pass http://caddy:8080; }} }}"
    ));
    let caddy = |pages: &str| {
        format!(":8080 {{\n\troot * /srv/public\n\t{pages}\n\treverse_proxy rails:3000\n}}\n")
    };
    let compose = "services:\n  caddy:\n    image: caddy:2\n    volumes:\n      - ./Caddyfile:/etc/caddy/Caddyfile\n      - public:/srv/public\n  rails:\n    image: ghcr.io/acme/shop\nvolumes:\n  public:\n";
    for (pages, verdict) in [
        // Caddy 2.11 asks for `/cable` where `/srv/public/index.html` is not there.
        ("try_files {path} /index.html", Verdict::Undecided),
        ("@page file {path}.html", Verdict::Opens),
        ("encode gzip", Verdict::Opens),
    ] {
        let files = [
            ("nginx.conf", nginx.as_str()),
            ("Caddyfile", &caddy(pages)),
            ("docker-compose.yml", compose),
        ];
        let project = Project::in_memory(files).expect("valid");
        let target = Target::parse("ws://a.example/cable").expect("a URL");
        let ways = trace(&Context::resolve(&project), &target, None);
        assert_eq!(ways[0].verdict(), verdict, "{pages}");
        assert_eq!(ways[0].runs[0].steps.len(), 2, "{pages}");
    }
}

/// A port of this machine that no command opens may be any program's, but who is sent there what the
/// application routes may as well have the wrong port.
#[test]
fn a_port_that_nobody_opens_is_not_called_open() {
    let nginx = conf(&format!(
        "server {{ listen 80; server_name a.example; location / {{ proxy_pass http://127.0.0.1:8000; }} location /ws/ {{ {UPGRADE} proxy_pass http://127.0.0.1:8001; }} }}"
    ));
    let unit = |command: &str| {
        format!(
            "[program:pages]\ncommand=gunicorn -b 127.0.0.1:8000 site.wsgi\n[program:sockets]\ncommand={command}\n"
        )
    };
    let wsgi =
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n";
    let apart =
        "services:\n  web:\n    build: .\n    command: daphne -p 8002 site.asgi:application\n";
    for (command, path, verdict, undecided) in [
        (
            "daphne -p 8002 site.asgi:application",
            "/ws/news/",
            Verdict::Undecided,
            1,
        ),
        (
            "uvicorn --uds /run/news.sock site.asgi:application",
            "/ws/news/",
            Verdict::Undecided,
            1,
        ),
        (
            "daphne -p 8001 site.asgi:application",
            "/ws/news/",
            Verdict::Opens,
            0,
        ),
        // Another program's path, and commands that do not say where sockets are taken.
        (
            "daphne -p 8002 site.asgi:application",
            "/ws/other/",
            Verdict::Opens,
            1,
        ),
        (
            "gunicorn -b 127.0.0.1:8000 site.wsgi",
            "/ws/news/",
            Verdict::Opens,
            0,
        ),
        (
            "python manage.py runserver 8002",
            "/ws/news/",
            Verdict::Opens,
            0,
        ),
        ("", "/ws/news/", Verdict::Opens, 0),
    ] {
        let unit = unit(command);
        let files = [
            ("nginx.conf", nginx.as_str()),
            ("supervisord.conf", &unit),
            ("site/wsgi.py", wsgi),
        ];
        with(&files, |cx| {
            let target = Target::parse(&format!("ws://a.example{path}")).expect("a URL");
            let ways = trace(cx, &target, None);
            assert_eq!(ways[0].verdict(), verdict, "{command} {path}");
            let mut notes = check_resolved(cx, &Selection::default()).undecided;
            notes.retain(|note| note.message.starts_with("whether a WebSocket opens"));
            assert_eq!(notes.len(), undecided, "{command}: {notes:#?}");
        });
    }
    // What a container opens is not this machine's.
    let files = [("nginx.conf", nginx.as_str()), ("compose.yaml", apart)];
    with(&files, |cx| {
        let target = Target::parse("ws://a.example/ws/news/").expect("a URL");
        assert_eq!(trace(cx, &target, None)[0].verdict(), Verdict::Opens);
    });
}

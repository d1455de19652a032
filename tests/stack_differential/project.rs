//! A whole project from a seed: proxies, applications, and what is asked of them.

use crate::application::{self, Application};
use crate::differential::Random;
use crate::proxies::{self, Hop};

/// What runs.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    /// nginx, with its file and a port of it.
    Nginx(String, u16),
    /// Caddy, with the same.
    Caddy(String, u16),
    /// A server of an application.
    Server {
        /// Where it is started.
        folder: String,
        command: String,
        port: u16,
    },
}

/// A handshake.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) url: String,
    /// The page's own, where it is not the URL's.
    pub(crate) origin: Option<&'static str>,
    /// The path of the application that it is for.
    pub(crate) route: Option<&'static str>,
}

/// A project.
#[derive(Clone, Debug)]
pub(crate) struct Generated {
    pub(crate) seed: u64,
    /// By path, as they lie in the repository.
    pub(crate) files: Vec<(String, String)>,
    pub(crate) programs: Vec<Program>,
    pub(crate) asked: Vec<Asked>,
    /// Whether a balancer of the project's own edge connects to the outer proxy.
    pub(crate) behind_balancer: bool,
    /// Whether several servers are chosen from.
    pub(crate) is_balanced: bool,
}

impl Generated {
    /// The configurations of proxies.
    pub(crate) fn proxies(&self) -> impl Iterator<Item = &str> {
        let own = |path: &str| path.ends_with("nginx.conf") || path.ends_with("Caddyfile");
        let texts = self.files.iter().filter(move |(path, _)| own(path));
        texts.map(|(_, text)| text.as_str())
    }

    /// Whether the proxies lead to the applications at all.
    pub(crate) fn leads(&self) -> bool {
        let dials = |port: u16| {
            let to = format!("127.0.0.1:{port}");
            self.proxies().any(|text| {
                let block = text.contains(&format!("server {to};"));
                let by_name = block && text.contains("proxy_pass http://application");
                let mut lines = text.lines().map(str::trim);
                let passes = |line: &str| {
                    line.starts_with("proxy_pass ") || line.starts_with("reverse_proxy ")
                };
                by_name || lines.any(|line| passes(line) && line.contains(&to))
            })
        };
        (dials(8000) || dials(8001)) && (self.proxies().count() == 1 || dials(8080))
    }
}

/// The public name of the site.
const HOST: &str = "chat.example.com";

/// A project; `caddy` and `nginx` are the versions that run.
pub(crate) fn generate(seed: u64, caddy: [u32; 3], nginx: [u32; 3]) -> Generated {
    let mut random = Random::new(seed);
    loop {
        let generated = project(&mut random, seed, caddy, nginx);
        if generated.leads() {
            return generated;
        }
    }
}

fn project(random: &mut Random, seed: u64, caddy: [u32; 3], nginx: [u32; 3]) -> Generated {
    let [[a, b, c], [d, e, f]] = [caddy, nginx];
    let mut toml = format!("[targets]\ncaddy = \"{a}.{b}.{c}\"\nnginx = \"{d}.{e}.{f}\"\n");
    let behind_balancer = random.chance(15);
    if behind_balancer {
        toml += "\n[edge]\nkind = \"alb\"\n";
    }
    let mut files = vec![("wslint.toml".to_owned(), toml)];
    let mut programs = Vec::new();

    // Applications.
    let ports: &[u16] = if random.chance(35) {
        &[8000, 8001]
    } else {
        &[8000]
    };
    let apart = ports.len() == 2 && random.chance(35);
    let mut applications: Vec<Application> = Vec::new();
    let mut serve =
        |random: &mut Random, folder: &str, ports: &[u16], files: &mut Vec<(String, String)>| {
            let mut commands: Vec<(String, u16)> = Vec::new();
            for port in ports {
                // Two of a kind, more often than not.
                let command = match commands.first() {
                    Some((command, first)) if random.chance(40) => {
                        command.replace(&first.to_string(), &port.to_string())
                    }
                    _ => application::command(random, *port),
                };
                commands.push((command, *port));
            }
            files.extend(application::started(random, folder, &commands));
            programs.extend(commands.into_iter().map(|(command, port)| Program::Server {
                folder: folder.to_owned(),
                command,
                port,
            }));
        };
    match apart {
        true => {
            let seed = random.next();
            for (folder, port) in [("blue/", 8000), ("green/", 8001)] {
                // The same, or as each grew.
                let alike = random.chance(60);
                let mut own = Random::new(if alike { seed } else { random.next() });
                let application = application::application(&mut own, folder);
                serve(random, folder, &[port], &mut files);
                files.extend(application.files.iter().cloned());
                applications.push(application);
            }
        }
        false => {
            let application = application::application(random, "");
            serve(random, "", ports, &mut files);
            files.extend(application.files.iter().cloned());
            applications.push(application);
        }
    }
    let paths = applications[0].paths.clone();

    // Proxies, the innermost first.
    let (prefix, stripped_by) = match random.below(10) {
        0..=5 => ("", 0),
        6 | 7 => ("/app", 0),
        8 => ("/app", 1),
        // Nobody takes it off.
        _ => ("/app", 2),
    };
    let tls = !behind_balancer && random.chance(45);
    let port = match (tls, random.below(5)) {
        (true, 0) => 8443,
        (true, _) => 443,
        (false, 0) if !behind_balancer => 9000,
        (false, _) => 80,
    };
    let is_balanced = ports.len() == 2 && random.chance(75);
    let (sockets, pages): (&[u16], u16) = match (ports, is_balanced) {
        ([one], _) => (std::slice::from_ref(one), *one),
        (_, true) => (ports, ports[0]),
        // One for the sockets, one for the pages.
        (_, false) => (&ports[..1], ports[1]),
    };
    let has_inner = random.chance(35);
    let path = paths[random.below(paths.len())];
    let inner = Hop {
        port: 8080,
        tls: false,
        is_outer: false,
        sockets,
        pages,
        prefix: if stripped_by == 0 { "" } else { prefix },
        strips: stripped_by == 1,
        path,
    };
    let outer = Hop {
        port,
        tls,
        is_outer: true,
        sockets: if has_inner { &[8080] } else { sockets },
        pages: if has_inner { 8080 } else { pages },
        prefix,
        strips: stripped_by == 0,
        path,
    };
    let mut proxy =
        |random: &mut Random, hop: &Hop<'_>, others: &str, files: &mut Vec<(String, String)>| {
            match random.chance(50) {
                true => {
                    let places = [
                        format!("{others}nginx.conf"),
                        format!("{others}nginx/nginx.conf"),
                        format!("deploy/{others}nginx.conf"),
                    ];
                    let path = places[random.below(places.len())].clone();
                    files.push((path.clone(), proxies::nginx(random, hop)));
                    programs.push(Program::Nginx(path, hop.port));
                }
                false => {
                    let places = [
                        format!("{others}Caddyfile"),
                        format!("deploy/{others}Caddyfile"),
                    ];
                    let path = places[random.below(places.len())].clone();
                    files.push((path.clone(), proxies::caddy(random, hop)));
                    programs.push(Program::Caddy(path, hop.port));
                }
            }
        };
    if has_inner {
        proxy(random, &inner, "inner/", &mut files);
    }
    let folder = if has_inner { "outer/" } else { "" };
    proxy(random, &outer, folder, &mut files);

    // Something listens for plain HTTP as well.
    let has_plain = port == 443
        && files
            .last()
            .is_some_and(|(path, text)| path.ends_with("Caddyfile") || text.contains("listen 80;"));
    // The name that the outer proxy serves.
    let serves_apex = files.last().is_some_and(|(_, text)| {
        let mut lines = text.lines().map(str::trim);
        lines.any(|line| {
            line == "server_name example.com;"
                || line.ends_with(" {")
                    && line
                        .split(['/', ':', ' '])
                        .any(|word| word == "example.com")
        })
    });
    let is_nameless = files.last().is_some_and(|(_, text)| {
        text.contains("server_name _;") && !text.contains("example.com;")
            || text.lines().any(|line| line.starts_with(':'))
    });
    let host = if serves_apex { "example.com" } else { HOST };
    let public = Public {
        prefix,
        port,
        tls,
        behind_balancer,
        has_plain,
        host,
        is_nameless,
    };
    let asked = asked(random, &paths, &public);
    Generated {
        seed,
        asked,
        files,
        programs,
        behind_balancer,
        is_balanced,
    }
}

/// How the outer proxy is public.
struct Public<'a> {
    prefix: &'a str,
    port: u16,
    tls: bool,
    behind_balancer: bool,
    /// Whether something listens for plain HTTP as well.
    has_plain: bool,
    host: &'a str,
    /// Whether it serves whatever name it is asked for.
    is_nameless: bool,
}

fn asked(random: &mut Random, paths: &[&'static str], public: &Public<'_>) -> Vec<Asked> {
    let &Public {
        prefix,
        behind_balancer,
        has_plain,
        host: main,
        ..
    } = public;
    let scheme = if public.tls || behind_balancer {
        "wss"
    } else {
        "ws"
    };
    let at = match public.port {
        80 | 443 => String::new(),
        port => format!(":{port}"),
    };
    let plain = |path: &str| Asked {
        url: format!("{scheme}://{main}{at}{path}"),
        origin: None,
        route: None,
    };
    let mut asked = Vec::new();
    for path in paths {
        let prefixed = (!path.starts_with("/app/")).then(|| format!("/app{path}"));
        for path_there in [(*path).to_owned()].into_iter().chain(prefixed) {
            let own = Asked {
                route: Some(path),
                ..plain(&path_there)
            };
            // It may have any name that the application allows, or none but the machine's.
            for other in ["localhost", "www.example.com"] {
                if public.is_nameless {
                    let url = own.url.replacen(main, other, 1);
                    asked.push(Asked { url, ..own.clone() });
                }
            }
            asked.push(own);
        }
        let other = match path.strip_suffix('/') {
            Some(bare) => bare.to_owned(),
            None => format!("{path}/"),
        };
        asked.push(plain(&format!("{prefix}{other}")));
    }
    let own = format!("{prefix}{}", paths[0]);
    asked.push(plain(&format!("{own}?token=1")));
    asked.push(plain(random.pick(&[
        "/",
        "/ws/nowhere/at/all",
        "/nowhere/",
        "/health/",
        "/ws",
        "/ws/other/",
        "/app",
        "/app/",
        "/socket/chat/",
    ])));
    let host = random.pick(&[
        "www.example.com",
        "example.com",
        "other.example.net",
        "localhost",
        "127.0.0.1",
    ]);
    asked.push(Asked {
        url: format!("{scheme}://{host}{at}{own}"),
        ..plain("/")
    });
    if !behind_balancer {
        asked.push(Asked {
            origin: Some(random.pick(&[
                "https://www.example.com",
                "http://chat.example.com",
                "https://chat.example.com",
                "null",
                "https://evil.example.net",
                "http://localhost:3000",
            ])),
            ..plain(&own)
        });
        if has_plain && random.chance(50) {
            asked.push(Asked {
                url: format!("ws://{main}{own}"),
                ..plain("/")
            });
        }
    }
    asked
}

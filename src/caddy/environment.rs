//! What the deployment supplies for the `{$NAME}` of a Caddyfile: the compose service, the image or
//! the unit that runs Caddy with it.

use std::collections::HashSet;
use std::sync::Arc;

use super::expand::Word;
use super::files;
use crate::deploy::{self, Container, Environment, Mentions, Supplied};
use crate::project::Project;
use crate::source::{Kind, Source, Span};
use crate::syntax::{self, Quote};

/// The deployment of a project, as far as it concerns Caddy.
#[derive(Debug, Default)]
pub(super) struct Deployment<'a> {
    /// The containers in which Caddy may run.
    pub(super) containers: Vec<Container>,
    /// The units that start Caddy, each with the name of the file that it reads, if it says so.
    units: Vec<(Option<&'a str>, Environment)>,
    /// Who speaks of the variables that Caddyfiles ask for.
    mentions: Mentions<'a>,
}

/// A variable of the environment in a Caddyfile.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// How it is written: `{$NAME:default}`.
    pub written: String,
    /// What it is taken to be.
    pub value: String,
    /// What decides about that.
    pub by: By,
}

/// What gives a variable its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The written default, as no file sets the variable.
    Default,
    /// The deployment, here.
    Deployment(Span),
    /// Something that the files do not show.
    Hidden,
}

/// What is supplied for the variables of one Caddyfile.
#[derive(Debug)]
pub(super) struct Supplies<'d, 'a> {
    deployment: &'d Deployment<'a>,
    /// Of each container and unit that runs it.
    running: Vec<&'d Environment>,
}

/// What starts a variable in a Caddyfile (caddyconfig/caddyfile/parse.go, replaceEnvVars).
const OPENING: &str = "{$";

impl<'a> Deployment<'a> {
    pub(super) fn read(project: &'a Project) -> Self {
        let mut read = Self {
            containers: files::containers(project),
            ..Self::default()
        };
        let mut asked: HashSet<&str> = HashSet::new();
        for source in project.of_kind(Kind::Caddyfile) {
            let parts = source.text.split(OPENING).skip(1);
            asked.extend(parts.map(|part| &part[..length(part)]));
        }
        asked.remove("");
        if asked.is_empty() {
            return read;
        }
        let is_about = |source: &Source| source.text.contains("addy");
        let is_asked = |name: &str| asked.contains(name);
        read.mentions = Mentions::read(project, is_asked, is_about, |_| None);
        let units = deploy::units(project, &["caddy"]);
        read.units = units
            .map(|(_, start, environment)| (named(start), environment))
            .collect();
        read
    }

    /// What is supplied for the Caddyfile `source`.
    pub(super) fn of<'d>(&'d self, project: &Project, source: &Source) -> Supplies<'d, 'a> {
        let containers = self.containers.iter();
        let running = containers
            .filter(|container| !container.is_image && runs(container, source))
            .map(|container| &container.environment);
        // One file among several of its name is not the unit's for certain.
        let mut files = project.of_kind(Kind::Caddyfile);
        let is_only = files.all(|other| other.id == source.id || other.name() != source.name());
        let units = self
            .units
            .iter()
            .filter(|(file, _)| is_only && file.is_none_or(|file| file == source.name()));
        Supplies {
            deployment: self,
            running: running.chain(units.map(|(_, unit)| unit)).collect(),
        }
    }
}

impl Supplies<'_, '_> {
    /// What is supplied for the variable `name`.
    pub(super) fn variable(&self, name: &str) -> Supplied {
        self.deployment.mentions.supplied(name, &self.running, "")
    }
}

/// Replaces `{$NAME:default}` in a word: by what the deployment supplies, or else by the written
/// default; unknown without one. Caddy does so before it cuts the text into words, hence a bare word
/// may become several, or none.
pub(super) fn environment(word: &syntax::Word, supplies: &Supplies<'_, '_>, out: &mut Vec<Word>) {
    let mut plain = Word {
        text: word.text.clone(),
        quote: word.quote,
        span: word.span,
        unknown: word.templated.then(|| "a template expression".to_owned()),
        variable: None,
    };
    if !word.text.contains("{$") {
        out.push(plain);
        return;
    }
    let mut text = String::with_capacity(word.text.len());
    let mut rest = word.text.as_str();
    while let Some(at) = rest.find("{$") {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let Some(end) = from.find('}') else {
            rest = from;
            break;
        };
        let written = &from[..=end];
        rest = &from[end + 1..];
        let (name, default) = match from[2..end].split_once(':') {
            Some((name, default)) => (name, Some(default)),
            None => (&from[2..end], None),
        };
        if name.is_empty() {
            // `{$}` is none, and a default alone stands for nothing else.
            text.push_str(default.unwrap_or(written));
            continue;
        }
        let (value, by) = match (supplies.variable(name), default) {
            (Supplied::Literal(value, span), _) => (value, By::Deployment(span)),
            (Supplied::Nothing, Some(default)) => (default.to_owned(), By::Default),
            (_, default) => (default.unwrap_or(written).to_owned(), By::Hidden),
        };
        text.push_str(&value);
        if by == By::Hidden {
            plain
                .unknown
                .get_or_insert_with(|| format!("the environment variable {name}"));
        }
        let known = plain.variable.as_ref();
        if known.is_none_or(|known| known.by != By::Default && by != By::Hidden) {
            plain.variable = Some(Arc::new(Variable {
                name: name.to_owned(),
                written: written.to_owned(),
                value,
                by,
            }));
        }
    }
    text.push_str(rest);
    if word.quote != Quote::None {
        plain.text = text;
        out.push(plain);
        return;
    }
    out.extend(text.split_whitespace().map(|part| Word {
        text: part.to_owned(),
        ..plain.clone()
    }));
}

/// Whether a container runs Caddy with `source`: it is put there by its own name, or where a Caddy
/// looks. An application's image that holds all of the project does not.
fn runs(container: &Container, source: &Source) -> bool {
    let path = source.path.as_str();
    let mut mounts = container.mounts.iter();
    let is_own = mounts.any(|mount| mount.from.as_deref() == Some(path));
    let placed = container.placed(&[(path, 0)]);
    let looks = |(place, _): &(String, u32)| {
        let folder = place.rsplit_once('/').map_or("", |(folder, _)| folder);
        folder.contains("caddy") || folder.contains("frankenphp")
    };
    !placed.is_empty() && (is_own || placed.iter().any(looks))
}

/// The name of the file that `caddy run` reads, where it says so.
fn named(start: &str) -> Option<&str> {
    let mut words = start.split_whitespace();
    let word = words.find(|word| word.trim_start_matches('-').starts_with("config"))?;
    let path = match word.split_once('=') {
        Some((_, path)) => Some(path),
        None => words.next(),
    };
    path?.rsplit('/').next()
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// How long the name is with which `text` starts.
fn length(text: &str) -> usize {
    text.find(|c: char| !is_part(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caddy::{Caddy, Model};
    use crate::handshake::{Browser, Hop as _, Outcome, Request};

    /// What a Caddyfile with the site `{$DOMAIN:localhost}` makes of a handshake for app.test.
    fn passes(files: &[(&str, &str)]) -> String {
        let site = "{$DOMAIN:localhost} {\n\treverse_proxy app:8000\n}\n";
        asked("deploy/Caddyfile", site, files)
    }

    fn asked(path: &str, caddyfile: &str, files: &[(&str, &str)]) -> String {
        let all = files.iter().copied().chain([(path, caddyfile)]);
        let project = Project::in_memory(all).expect("a project");
        let model = Model::resolve(&project);
        let config = &model.configs[0];
        let request = Request::handshake(Browser::Chrome, true, "app.test", 443, "/ws");
        let passage = Caddy { config }.receive(&request);
        match passage.outcome {
            Outcome::Undecided { why } => why,
            Outcome::Answers { status } => format!("{status:?}"),
            Outcome::Forwards { .. } => {
                let mut lines = passage.because.iter();
                let known = lines.find(|line| line.message.contains("is `app.test`"));
                match known {
                    Some(line) => project.slice(line.span).to_owned(),
                    None => "perhaps".to_owned(),
                }
            }
        }
    }

    const MOUNT: &str = "    image: caddy:2\n    volumes: [./Caddyfile:/etc/caddy/Caddyfile]\n";

    /// The same with a compose service that has these lines.
    fn service(lines: &str) -> String {
        let compose = format!("services:\n  caddy:\n{MOUNT}{lines}");
        passes(&[("deploy/compose.yml", &compose)])
    }

    const DEFAULT: &str =
        "`{$DOMAIN:localhost}` is taken to be `localhost`, as no file here sets DOMAIN for Caddy";

    #[test]
    fn a_literal_of_the_service_is_the_value() {
        assert_eq!(
            service("    environment:\n      DOMAIN: app.test\n"),
            "DOMAIN"
        );
        assert_eq!(
            service("    environment:\n      - DOMAIN=app.test\n"),
            "DOMAIN=app.test"
        );
        // It comes over the file.
        let both = "    env_file: .env\n    environment: {DOMAIN: app.test}\n";
        assert_eq!(service(both), "DOMAIN");
        // Another value is one, too.
        assert_eq!(service("    environment: {DOMAIN: other.test}\n"), "None");
        let merged = format!(
            "x-env: &env\n  DOMAIN: app.test\nservices:\n  caddy:\n{MOUNT}    environment:\n      <<: *env\n      B: c\n"
        );
        assert_eq!(passes(&[("deploy/compose.yml", &merged)]), "DOMAIN");
    }

    #[test]
    fn what_is_supplied_elsewhere_is_hidden() {
        for lines in [
            "    environment:\n      DOMAIN: ${DOMAIN}\n",
            "    environment:\n      DOMAIN: ${DOMAIN:-app.test}\n",
            "    environment:\n      - DOMAIN\n",
            "    environment:\n      DOMAIN:\n",
            "    env_file: .env\n",
            "    command: caddy run --envfile /run/env\n",
            "    extends: {service: base, file: gone.yml}\n",
        ] {
            assert_eq!(service(lines), "perhaps", "{lines}");
        }
    }

    #[test]
    fn services_that_differ_leave_it_open() {
        let with = |domain: &str| {
            format!("services:\n  caddy:\n{MOUNT}    environment: {{DOMAIN: {domain}}}\n")
        };
        let (one, same, other) = (with("app.test"), with("app.test"), with("other.test"));
        let two = |second: &str| {
            passes(&[
                ("deploy/compose.yml", &one),
                ("deploy/compose.prod.yml", second),
            ])
        };
        assert_eq!(two(&same), "DOMAIN");
        assert_eq!(two(&other), "perhaps");
        assert_eq!(two(&format!("services:\n  caddy:\n{MOUNT}")), "perhaps");
    }

    #[test]
    fn an_image_and_a_unit_supply_it_as_well() {
        let image = "FROM caddy:2\nENV A=b DOMAIN=app.test\nCOPY Caddyfile /etc/caddy/\n";
        assert_eq!(passes(&[("deploy/Dockerfile", image)]), "DOMAIN");
        let old = "FROM caddy:2\nENV DOMAIN app.test\nCOPY Caddyfile /etc/caddy/\n";
        assert_eq!(passes(&[("deploy/Dockerfile", old)]), "DOMAIN");
        let argument = "FROM caddy:2\nARG X\nENV DOMAIN=$X\nCOPY Caddyfile /etc/caddy/\n";
        assert_eq!(passes(&[("deploy/Dockerfile", argument)]), "perhaps");
        // The service that builds it says more.
        let bare = "FROM caddy:2\nCOPY Caddyfile /etc/caddy/\n";
        let compose = "services:\n  web:\n    build: .\n    environment: {DOMAIN: app.test}\n";
        let built = [("deploy/Dockerfile", bare), ("deploy/compose.yml", compose)];
        assert_eq!(passes(&built), "DOMAIN");
        let unit = |lines: &str| {
            let start = "ExecStart=/usr/bin/caddy run --config /etc/caddy/Caddyfile";
            let text = format!("[Service]\n{lines}\n{start}\n");
            passes(&[("deploy/caddy.service", &text)])
        };
        assert_eq!(unit("Environment=\"A=b c\" DOMAIN=app.test"), "DOMAIN");
        assert_eq!(unit("EnvironmentFile=/etc/caddy/env"), "perhaps");
        assert_eq!(unit("PassEnvironment=DOMAIN"), "perhaps");
        assert_eq!(unit("User=caddy"), DEFAULT);
    }

    #[test]
    fn what_nobody_supplies_is_the_default() {
        assert_eq!(passes(&[]), DEFAULT);
        assert_eq!(service("    environment: {OTHER: app.test}\n"), DEFAULT);
        // Another service's variable is not Caddy's, nor is the image of an application that holds
        // the Caddyfile with everything else.
        let other = format!(
            "services:\n  caddy:\n{MOUNT}  web:\n    build: .\n    environment: {{DOMAIN: app.test}}\n"
        );
        let web = "FROM python:3.13\nCOPY . /app\n";
        let files = [
            ("deploy/compose.yml", other.as_str()),
            ("deploy/Dockerfile", web),
        ];
        assert_eq!(passes(&files), DEFAULT);
        // A script may set it, and who runs the file is not known here.
        let script = "#!/bin/sh\nexport DOMAIN=app.test\nexec caddy run\n";
        assert_eq!(passes(&[("deploy/start.sh", script)]), "perhaps");
    }

    #[test]
    fn a_site_of_its_own_is_certain_all_the_same() {
        let file = |more: &str| format!("{{$DOMAIN:localhost}} {{\n\trespond x\n}}\n{more}");
        let told = |more: &str| asked("Caddyfile", &file(more), &[]);
        assert_eq!(told("app.test {\n\trespond 403\n}\n"), "Some(403)");
        assert_eq!(told(":443 {\n\trespond 403\n}\n"), DEFAULT);
        // Its own site is the one that takes it.
        let any = "{$SITE::443} {\n\ttls /a /b\n\trespond 403\n}\n";
        assert_eq!(asked("Caddyfile", any, &[]), "Some(403)");
    }

    #[test]
    fn a_literal_without_a_default_is_known() {
        let compose =
            format!("services:\n  caddy:\n{MOUNT}    environment: {{UP: 'app:1 app:2'}}\n");
        let files = [
            ("compose.yml", compose.as_str()),
            ("Caddyfile", ":80 {\n\treverse_proxy /ws {$UP}\n}\n"),
        ];
        let project = Project::in_memory(files).expect("a project");
        let model = Model::resolve(&project);
        let proxies = model.configs[0].sites[0].handlers.proxies();
        let upstreams: Vec<usize> = proxies.map(|(_, _, proxy)| proxy.upstreams.len()).collect();
        assert_eq!(upstreams, [2]);
    }
}

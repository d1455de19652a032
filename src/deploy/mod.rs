//! Containers: the services of compose files with their names and ports, and how files come into
//! them: volumes, and the COPY and ADD lines of Dockerfiles.

mod compose;
mod dockerfile;
mod environment;
mod invoked;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::finding::Undecided;
use crate::project::{Project, Version, join, parse_version};
use crate::source::{Kind, Source, SourceId, Span};

pub use environment::{Environment, Mentions, Owned, Supplied, units};

/// Containers of one project. Real ones have a few; a generated bomb ends here.
const MAX_CONTAINERS: usize = 200;

/// Services of one project.
const MAX_SERVICES: usize = 10_000;

/// Files and folders that are put into one container.
const MAX_MOUNTS: usize = 200;

/// Whose nginx a container runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Base {
    /// The image that nginx publishes.
    NginxImage,
    /// Debian's package.
    Debian,
    /// Something else, or nothing that could be told.
    #[default]
    Other,
}

/// A file or folder that is put somewhere in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its path in the project, or a glob; `None` if it is not there.
    pub from: Option<String>,
    /// Its path in the container; with a `/` at its end if the file keeps its name in that folder.
    pub to: String,
    /// A volume hides what the image has at its place.
    pub hides: bool,
}

/// A container and what is put into it, in order.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Whose nginx it runs.
    pub base: Base,
    /// The version of that nginx, where the image's tag fixes it.
    pub version: Option<Version>,
    /// What is put into it.
    pub mounts: Vec<Mount>,
    /// Something else changes nginx's configuration in it, too.
    pub altered: bool,
    /// A command in it takes files away from nginx's configuration.
    pub removed: bool,
    /// What its image starts: the ENTRYPOINT and CMD lines.
    pub starts: Vec<String>,
    /// Its variables.
    pub environment: Environment,
    /// The Dockerfile that builds its image.
    pub dockerfile: Option<SourceId>,
    /// The folder that its image is built from in a way that the files do not show.
    pub built_from: Option<String>,
    /// It is but an image, for which a service says more.
    pub is_image: bool,
}

/// A port of a container that its machine publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The machine's port.
    pub published: u16,
    /// The container's.
    pub target: u16,
    /// Where that is written.
    pub span: Span,
}

/// What a service is built from.
#[derive(Clone, Debug)]
pub struct Build {
    /// The folder, relative to the project's root.
    pub context: String,
    /// The Dockerfile, where it is in the project.
    pub dockerfile: Option<SourceId>,
    /// The stage.
    pub target: Option<String>,
}

/// A service of a compose file.
#[derive(Clone, Debug)]
pub struct Service {
    /// The folder of the compose file.
    pub folder: String,
    /// The compose projects that it belongs to, by their first files: services of one project reach
    /// each other by name.
    pub groups: Vec<SourceId>,
    /// Its name.
    pub name: String,
    /// Its key.
    pub span: Span,
    /// By which other services reach it, lower case: its name, its container's, aliases.
    pub names: Vec<String>,
    /// What it calls other services: their names, and its own for them.
    pub links: Vec<(String, String)>,
    /// The ports that it publishes.
    pub ports: Vec<Published>,
    /// Its entrypoint and command.
    pub commands: Vec<(Span, String)>,
    /// Whether its command takes the place of the image's.
    pub overrides: bool,
    /// Its image.
    pub image: Option<String>,
    /// What it is built from.
    pub build: Option<Build>,
    /// What its container holds.
    pub container: Container,
    /// Whether it shares its machine's network.
    pub on_host: bool,
    /// How many containers run.
    pub replicas: u32,
    /// Whether it is started under a profile only, and not with the others.
    pub is_optional: bool,
    /// Whether those who start it add a file that says something else of it.
    pub is_replaced: bool,
}

/// What compose files and Dockerfiles say.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// The services, in the order of the files.
    pub services: Arc<[Service]>,
    /// What the other Dockerfiles make that hold anything of the project.
    pub images: Arc<[Container]>,
    /// The compose files that can't be read whole.
    pub broken: Vec<SourceId>,
    /// All compose files.
    pub files: Vec<SourceId>,
    /// What can't be read.
    pub undecided: Vec<Undecided>,
}

impl Deployment {
    /// Reads the compose files and Dockerfiles of `project`; see [`Project::deployment`].
    pub(crate) fn read(project: &Project) -> Self {
        let files = || {
            project
                .of_kind(Kind::Command)
                .filter(|file| is_compose(file))
        };
        let read = compose::Files::read(project, files());
        let dockerfiles = || {
            project
                .of_kind(Kind::Command)
                .filter(|file| is_dockerfile(file) && !is_compose(file))
        };
        let services: Arc<[Service]> = read.services().take(MAX_SERVICES).collect();
        let built = services
            .iter()
            .filter_map(|service| service.container.dockerfile);
        let built: BTreeSet<SourceId> = built.collect();
        let images = dockerfiles()
            .filter(|file| !built.contains(&file.id))
            .filter_map(|file| dockerfile::container(project, file, None, None))
            .filter(|container| !container.mounts.is_empty());
        Self {
            images: images.take(MAX_CONTAINERS).collect(),
            services,
            broken: read.broken().collect(),
            files: files().map(|file| file.id).collect(),
            undecided: read
                .undecided()
                .chain(dockerfiles().filter_map(dockerfile::undecided))
                .collect(),
        }
    }
}

/// The containers that those compose files and Dockerfiles of `project` describe which concern a
/// server.
pub fn containers(project: &Project, concerns: impl Fn(&Source) -> bool) -> Vec<Container> {
    let named = |source: &&Source| concerns(source);
    let commands = || project.of_kind(Kind::Command);
    // A service of a file that never says so may extend one that does.
    let files = match commands().filter(named).any(is_compose) {
        true => compose::Files::read(project, commands().filter(|file| is_compose(file))),
        false => compose::Files::read(project, std::iter::empty()),
    };
    let built = commands()
        .filter(named)
        .filter(|file| is_dockerfile(file) && !is_compose(file))
        .filter_map(|file| dockerfile::container(project, file, None, None))
        .filter(|container| !container.mounts.is_empty())
        .map(|container| Container {
            is_image: true,
            ..container
        });
    let mut containers: Vec<Container> = files
        .containers()
        .chain(built)
        .take(MAX_CONTAINERS)
        .collect();
    let services = |container: &&Container| !container.is_image;
    let in_services: BTreeSet<SourceId> = containers
        .iter()
        .filter(services)
        .filter_map(|container| container.dockerfile)
        .collect();
    for container in &mut containers {
        container.mounts.truncate(MAX_MOUNTS);
        let dockerfile = container.dockerfile.as_ref();
        container.is_image &= dockerfile.is_some_and(|file| in_services.contains(file));
    }
    containers
}

/// The services of `source` that only a profile starts: where each is written, and its profiles
/// (docs.docker.com/reference/compose-file/profiles).
pub fn optional(source: &Source) -> Vec<(Span, Vec<String>)> {
    if !source.text.contains("profiles:") || !is_compose(source) {
        return Vec::new();
    }
    compose::optional(source)
}

/// The other compose files that `source` names, by their tails.
pub fn named_files(source: &Source) -> Vec<String> {
    if !is_compose(source) {
        return Vec::new();
    }
    let named = compose::named_files(source).into_iter();
    named
        .map(|path| tail(&path))
        .filter(|path| !path.is_empty() && !path.contains('$'))
        .collect()
}

/// A path, and the folders around it.
pub(crate) fn outward(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        (!path.is_empty()).then(|| path.rsplit_once('/').map_or("", |(outer, _)| outer))
    })
}

/// The end of a path, without what climbs.
fn tail(path: &str) -> String {
    let parts = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."));
    parts.collect::<Vec<_>>().join("/")
}

/// The paths in the project, by their tail, of what `source` puts where nginx looks for its
/// configuration.
pub fn references(source: &Source) -> Vec<String> {
    if !source.text.contains("/etc/nginx") {
        return Vec::new();
    }
    let pairs = if is_compose(source) {
        compose::pairs(source)
    } else if is_dockerfile(source) {
        dockerfile::pairs(source)
    } else {
        return Vec::new();
    };
    let mut tails = Vec::new();
    for (from, to) in pairs {
        let tail = tail(&from);
        let read =
            to.starts_with("/etc/nginx/") && (to.ends_with(".conf") || to.ends_with(".template"));
        if !tail.is_empty() && read && !tail.contains(['$', '*']) {
            tails.push(tail);
        }
    }
    tails
}

pub(crate) fn is_compose(source: &Source) -> bool {
    let yaml = source.name().ends_with(".yml") || source.name().ends_with(".yaml");
    // One that another file may mean by its name need not be one of compose's.
    let said = || {
        source
            .text
            .lines()
            .any(|line| line.starts_with("services:"))
    };
    // Render's list of services is another one.
    let platform = crate::project::is_platform(source.name());
    yaml && !platform && (source.name().contains("compose") || said())
}

pub(crate) fn is_dockerfile(source: &Source) -> bool {
    let name = source.name().to_ascii_lowercase();
    let other = [".dockerignore", ".yml", ".yaml"];
    name.contains("dockerfile") && !other.iter().any(|end| name.ends_with(end))
}

impl Container {
    /// An empty one of the image `named`, which is `written` perhaps with variables.
    fn of_image(written: &str, named: &str) -> Self {
        let base = base_of(named);
        let fixed = base == Base::NginxImage && !written.contains('$');
        Self {
            base,
            version: version_of(named).filter(|_| fixed),
            ..Self::default()
        }
    }

    /// The path in the project of what lies at `path` in the container, if a mount brings it.
    pub fn origin(&self, path: &str) -> Option<String> {
        let mount = self.mounts.iter().rev().find_map(|mount| {
            let to = mount.to.trim_end_matches('/');
            let rest = path.strip_prefix(to)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((mount, rest))
        });
        let (mount, rest) = mount?;
        let from = mount.from.as_ref().filter(|from| !from.contains('*'))?;
        join(from, rest)
    }

    /// Whether the file at `path` in the project is in the container. An image whose Dockerfile is
    /// not there is taken to hold the folder that it is built from.
    pub fn holds(&self, path: &str) -> bool {
        let built_from = self.built_from.as_deref();
        built_from.is_some_and(|folder| !within(&[(path, 0)], folder).is_empty())
            || !self.placed(&[(path, 0)]).is_empty()
    }

    /// The files and folders of the project that it may hold something of.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        let mounted = self.mounts.iter().filter_map(|mount| mount.from.as_deref());
        let plain = mounted.map(|path| match path.split_once('*') {
            // All that a glob may mean lies in this folder.
            Some((before, _)) => before.rsplit_once('/').map_or("", |(folder, _)| folder),
            None => path,
        });
        plain.chain(self.built_from.as_deref())
    }

    /// Where in the container each of `paths` (sorted, relative to the project's root) lies: its
    /// path there and its index.
    pub fn placed(&self, paths: &[(&str, u32)]) -> Vec<(String, u32)> {
        let mut placed: BTreeMap<String, u32> = BTreeMap::new();
        for mount in &self.mounts {
            let Some(from) = &mount.from else { continue };
            let to = mount.to.trim_end_matches('/');
            if mount.hides {
                let within = format!("{to}/");
                placed.retain(|path, _| path != to && !path.starts_with(&within));
            }
            for (path, index) in within(paths, from) {
                let place = match path.strip_prefix(from.as_str()) {
                    // A folder brings what it holds; the project itself is one, too.
                    _ if from.is_empty() => format!("{to}/{path}"),
                    Some(rest) if rest.starts_with('/') => format!("{to}{rest}"),
                    Some("") if !mount.to.ends_with('/') => mount.to.clone(),
                    _ => format!("{to}/{}", path.rsplit('/').next().unwrap_or(path)),
                };
                placed.insert(place, index);
            }
        }
        // docker-entrypoint.d/20-envsubst-on-templates.sh of the image.
        if self.base == Base::NginxImage {
            let written: Vec<(String, u32)> = placed
                .iter()
                .filter_map(|(path, index)| {
                    let name = path
                        .strip_prefix("/etc/nginx/templates/")?
                        .strip_suffix(".template")?;
                    Some((format!("/etc/nginx/conf.d/{name}"), *index))
                })
                .collect();
            placed.extend(written);
        }
        placed.into_iter().collect()
    }
}

/// The paths that are `from`, lie in it, or match it.
fn within<'a>(paths: &[(&'a str, u32)], from: &str) -> Vec<(&'a str, u32)> {
    if from.contains('*') {
        let Ok(glob) = globset::GlobBuilder::new(from)
            .literal_separator(true)
            .build()
        else {
            return Vec::new();
        };
        let glob = glob.compile_matcher();
        let matching = paths.iter().filter(|(path, _)| glob.is_match(path));
        return matching.copied().collect();
    }
    let first = paths.partition_point(|(path, _)| *path < from);
    paths[first..]
        .iter()
        .take_while(|(path, _)| path.starts_with(from))
        .filter(|(path, _)| {
            from.is_empty() || path.len() == from.len() || path.as_bytes()[from.len()] == b'/'
        })
        .copied()
        .collect()
}

/// Whose nginx an image of that name holds.
fn base_of(image: &str) -> Base {
    let name = image.split('@').next().unwrap_or(image);
    let (path, name) = name.rsplit_once('/').unwrap_or(("", name));
    let name = name.split(':').next().unwrap_or(name);
    let published = matches!(
        (path, name),
        (
            "" | "library"
                | "docker.io"
                | "docker.io/library"
                | "public.ecr.aws/docker/library"
                | "public.ecr.aws/nginx",
            "nginx"
        ) | ("nginxinc" | "docker.io/nginxinc", "nginx-unprivileged")
    );
    if published {
        Base::NginxImage
    } else {
        Base::Other
    }
}

/// The version of nginx that an image of that name holds. What names no patch is whichever was the
/// newest when it was built: a stable branch (even) stays as it is but for mended mistakes
/// (nginx.org/en/download.html), the mainline does not.
fn version_of(image: &str) -> Option<Version> {
    let name = image.split('@').next()?;
    let (_, tag) = name.rsplit_once(':')?;
    let numbers = tag.split('-').next()?;
    let version = parse_version(numbers)?;
    match numbers.split('.').count() {
        3 => Some(version),
        2 => Some(version).filter(|[_, minor, _]| minor % 2 == 0),
        _ => None,
    }
}

/// Whether a shell command takes away files of nginx's configuration, the image's own server among
/// them.
fn removes(script: &str) -> bool {
    let names = ["conf.d", "default", "/etc/nginx"];
    let mut words = script.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| matches!(word, "rm" | "unlink" | "mv" | "truncate"))
        && names.iter().any(|name| script.contains(name))
}

/// Whether a shell command changes nginx's configuration in a way that nobody can follow.
fn alters(script: &str) -> bool {
    script.split(['&', ';', '|', '\n']).any(|command| {
        let mut words = command
            .split(|c: char| {
                c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '[' | ']' | '(' | ')')
            })
            .filter(|word| !word.is_empty());
        let first = words.next().unwrap_or_default();
        let names = command.contains("/etc/nginx") || command.contains("nginx.conf");
        // `echo "daemon off;" >> /etc/nginx/nginx.conf` leaves its second half here.
        let is_daemon = first == ">>" && words.clone().eq(["/etc/nginx/nginx.conf"]);
        names
            && !is_daemon
            && !matches!(
                first,
                "rm" | "mkdir"
                    | "chown"
                    | "chmod"
                    | "chgrp"
                    | "touch"
                    | "ls"
                    | "cat"
                    | "ln"
                    | "unlink"
                    | "test"
            )
    })
}

/// Whether something that we can't see lies where nginx looks for its configuration.
fn is_configuration(to: &str) -> bool {
    let to = to.trim_end_matches('/');
    matches!(to, "/" | "/etc" | "/etc/nginx" | "/docker-entrypoint.d")
        || to.ends_with(".conf")
        || to.contains("$")
        || [
            "/etc/nginx/conf.d",
            "/etc/nginx/templates",
            "/etc/nginx/sites-enabled",
            "/docker-entrypoint.d/",
        ]
        .iter()
        .any(|place| to.starts_with(place))
}

/// Whether the project has `path`: a file, a folder or a glob.
fn exists(project: &Project, path: &str) -> bool {
    path.is_empty()
        || path.contains('*')
        || project.files.contains(path)
        || project.files.has_folder(path)
}

/// `text` with `$NAME`, `${NAME}` and `${NAME:-default}` replaced; a name that nobody sets stays.
fn substitute(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, default, length) = match after.strip_prefix('{') {
            Some(braced) => {
                let Some(end) = braced.find('}') else { break };
                let inner = &braced[..end];
                let (name, default) = match inner.split_once(":-").or_else(|| inner.split_once('-'))
                {
                    Some((name, default)) => (name, Some(default.to_owned())),
                    None => (inner, None),
                };
                (name, default, end + 2)
            }
            None => {
                let end = after
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(after.len());
                (&after[..end], None, end)
            }
        };
        match value(name).or(default) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&rest[at..=at + length]),
        }
        rest = &after[length..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths in the container and in the project.
    type Pairs = Vec<(String, String)>;

    /// Base, whether it is altered, and where each file lies.
    fn seen(files: &[(&str, &str)]) -> Vec<(Base, bool, Pairs)> {
        let project = Project::in_memory(files.iter().copied()).expect("valid");
        let mut paths: Vec<(&str, u32)> = (0..)
            .zip(&project.sources)
            .map(|(index, source)| (source.path.as_str(), index))
            .collect();
        paths.sort_unstable();
        containers(&project, |source| source.text.contains("nginx"))
            .iter()
            .map(|container| {
                let placed = container.placed(&paths).into_iter();
                let name = |index: u32| project.sources[index as usize].path.clone();
                let placed = placed.filter(|(path, _)| path.contains("nginx"));
                let placed = placed.map(|(path, index)| (path, name(index))).collect();
                (container.base, container.altered, placed)
            })
            .collect()
    }

    fn pair(at: &str, from: &str) -> (String, String) {
        (at.to_owned(), from.to_owned())
    }

    #[test]
    fn volumes_of_both_forms_are_followed() {
        let compose = "services:\n  web:\n    image: nginx:1.27-alpine\n    volumes:\n      - ./nginx/conf.d:/etc/nginx/conf.d:ro\n      - type: bind\n        source: ${CONF:-./nginx}/main.conf\n        target: /etc/nginx/nginx.conf\n      - certs:/etc/letsencrypt\n  db: {image: postgres}\n";
        let files = [
            ("docker-compose.yml", compose),
            ("nginx/conf.d/a.conf", "server { }"),
            ("nginx/main.conf", "events { }"),
        ];
        assert_eq!(
            seen(&files),
            [(
                Base::NginxImage,
                false,
                vec![
                    pair("/etc/nginx/conf.d/a.conf", "nginx/conf.d/a.conf"),
                    pair("/etc/nginx/nginx.conf", "nginx/main.conf")
                ]
            )]
        );
    }

    #[test]
    fn a_compose_file_builds_what_its_dockerfile_says() {
        let compose = "x-web: &web\n  build: {context: ., dockerfile: web/Dockerfile}\nservices:\n  web:\n    <<: *web\n    volumes: [\"./web/t:/etc/nginx/templates\"]\n";
        let dockerfile = "ARG BASE=nginx\nFROM node AS build\nRUN sed -i x /etc/nginx/nginx.conf\nFROM ${BASE}:1.27\n# why\nRUN rm /etc/nginx/conf.d/default.conf \\\n && echo \"daemon off;\" >> /etc/nginx/nginx.conf\nCOPY --from=build /app/dist /usr/share/nginx/html\nCOPY [\"web/site.conf\", \"/etc/nginx/conf.d/\"]\n";
        let files = [
            ("compose.yaml", compose),
            ("web/Dockerfile", dockerfile),
            ("web/site.conf", "server { }"),
            ("web/t/x.conf.template", "server { }"),
        ];
        let found = seen(&files);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(
            found[0],
            (
                Base::NginxImage,
                false,
                vec![
                    pair("/etc/nginx/conf.d/site.conf", "web/site.conf"),
                    pair("/etc/nginx/conf.d/x.conf", "web/t/x.conf.template"),
                    pair(
                        "/etc/nginx/templates/x.conf.template",
                        "web/t/x.conf.template"
                    ),
                ]
            )
        );
        assert_eq!(
            found[1].2,
            [pair("/etc/nginx/conf.d/site.conf", "web/site.conf")]
        );
    }

    #[test]
    fn an_image_is_what_the_service_of_its_name_builds() {
        let compose = "services:\n  pages:\n    build: {context: site, target: run}\n    image: site_image\n  web:\n    image: site_image\n  cache:\n    image: redis\n";
        let project = Project::in_memory([
            ("compose.yaml", compose),
            ("site/Dockerfile", "FROM python AS run\nCOPY . /app\n"),
            ("site/manage.py", ""),
        ])
        .expect("valid");
        let services = &project.deployment().services;
        let built = services.iter().map(|service| {
            let build = service.build.as_ref();
            let built = build.map(|build| (build.context.as_str(), build.target.as_deref()));
            (service.name.as_str(), built)
        });
        let site = Some(("site", Some("run")));
        let expected = [("pages", site), ("web", site), ("cache", None)];
        assert_eq!(built.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_tag_that_fixes_the_version_is_read() {
        for (image, version) in [
            ("nginx:1.25.3", Some([1, 25, 3])),
            ("nginx:1.25.3-alpine3.18-slim", Some([1, 25, 3])),
            ("docker.io/library/nginx:1.24@sha256:00", Some([1, 24, 0])),
            ("nginxinc/nginx-unprivileged:1.26-alpine", Some([1, 26, 0])),
            // The mainline's newest, whichever that was.
            ("nginx:1.25", None),
            ("nginx:1", None),
            ("nginx:stable-alpine", None),
            ("nginx", None),
            ("nginx:${VERSION:-1.24.0}", None),
            ("linuxserver/nginx:1.24.0", None),
        ] {
            let compose = format!(
                "services:\n  web:\n    image: {image}\n    volumes: [\"./a.conf:/etc/nginx/a.conf\"]\n"
            );
            let dockerfile = format!("ARG VERSION=1.24.0\nFROM {image}\nCOPY a.conf /etc/nginx/\n");
            for (path, text) in [("compose.yml", compose), ("Dockerfile", dockerfile)] {
                let files = [(path, text.as_str()), ("a.conf", "server { }")];
                let project = Project::in_memory(files).expect("valid");
                let versions: Vec<_> = containers(&project, |source| source.text.contains("nginx"))
                    .iter()
                    .map(|container| container.version)
                    .collect();
                assert_eq!(versions, [version], "{path}: {image}");
            }
        }
    }

    #[test]
    fn what_nobody_can_follow_is_said() {
        for line in [
            "RUN sed -i 's/a/b/' /etc/nginx/nginx.conf",
            "COPY gone.conf /etc/nginx/nginx.conf",
            "COPY --from=build /x /etc/nginx/conf.d/",
            "ADD https://example.com/x.conf /etc/nginx/conf.d/",
            "CMD [\"nginx\", \"-c\", \"/etc/nginx/other.conf\"]",
            "RUN <<EOF\necho 'x' > /etc/nginx/conf.d/y.conf\nEOF",
            "COPY a.conf $CONF",
        ] {
            let dockerfile =
                format!("FROM nginx\nCOPY a.conf /etc/nginx/conf.d/default.conf\n{line}\n");
            let found = seen(&[("Dockerfile", &dockerfile), ("a.conf", "server { }")]);
            assert!(found[0].1, "{line}");
        }
    }

    #[test]
    fn debian_s_package_is_known_and_other_images_are_not() {
        let debian = "FROM debian:12\nRUN apt-get update && apt-get install -y nginx\nCOPY site /etc/nginx/sites-available/site\nRUN ln -s /etc/nginx/sites-available/site /etc/nginx/sites-enabled/\n";
        let found = seen(&[("Dockerfile", debian), ("site", "server { }")]);
        assert_eq!(found[0].0, Base::Debian);
        assert!(
            found[0]
                .2
                .contains(&pair("/etc/nginx/sites-enabled/site", "site"))
        );
        for image in [
            "bitnami/nginx",
            "nginx-proxy",
            "${REGISTRY}/nginx",
            "me/nginx",
        ] {
            assert_eq!(base_of(image), Base::Other, "{image}");
        }
    }

    #[test]
    fn what_is_no_list_of_services_leaves_no_riddle() {
        for (path, text, notes) in [
            (
                "compose.yml",
                "networks:\n  web: {driver: bridge}\nx-log: {}\n",
                0,
            ),
            ("compose-net.yaml", "# services:\n#   web:\n", 0),
            ("compose.yml", "version: '3'\n", 0),
            ("docker-compose.yml", "web:\n  image: nginx\n", 1),
            ("docker-compose.yml", "service:\n  web: {image: nginx}\n", 1),
            ("Dockerfile", "", 0),
            ("compose.yaml", "", 0),
            ("compose.yaml", "a page in its place\n", 1),
            ("Dockerfile.dockerignore", "**/.env\n", 0),
            ("dockerfile.yml", "---\n- hosts: all\n", 0),
            ("web.Dockerfile", "COPY . .\n", 1),
        ] {
            let project = Project::in_memory([(path, text)]).unwrap();
            let found = project.deployment();
            assert_eq!(found.undecided.len(), notes, "{path} {text}");
            assert_eq!(
                found.broken.is_empty(),
                notes == 0 && !text.is_empty()
                    || path.contains("ocker") && !path.contains("compose"),
                "{path} {text}"
            );
        }
    }

    #[test]
    fn broken_yaml_ends_quietly() {
        for compose in [
            "services: [nginx\n a: b: c",
            "services:\n  nginx: *none\n",
            "&a nginx: {<<: *a}\nservices: *a",
        ] {
            seen(&[("compose.yml", compose)]);
        }
    }
}

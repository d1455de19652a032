//! Where the programs of a project run: which compose service, which folder, and by which names,
//! ports and sockets the others reach them there.
//!
//! Services reach each other by name within their compose file's folder. Elsewhere a name is
//! looked for near the one that dials it first: in its own folder, then upward, so that fifty
//! projects in one repository do not reach into each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::deploy::{Build, Deployment, Mount, Service};
use crate::django::command::{Command, Program as Server};
use crate::finding::Undecided;
use crate::handshake::Hop as _;
use crate::nginx::hop::Nginx;
use crate::project::Project;
use crate::source::{Kind, Source, SourceId};
use crate::{caddy, django, nginx};

/// How many of one name, port or folder are looked at.
const MAX_ASKED: usize = 512;

/// What runs somewhere.
#[derive(Debug)]
pub(super) enum Program {
    /// An nginx, by its configuration.
    Nginx(u32),
    /// A Caddy, by its configuration.
    Caddy(usize),
    /// A Django application under one of its settings modules.
    Django {
        /// The settings, of all that applications may run with.
        settings: usize,
        /// The commands that start it here.
        commands: Vec<usize>,
        /// Whether it is started elsewhere by commands that are known, and here by none.
        is_started_elsewhere: bool,
    },
}

/// A program and where it runs.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) program: Program,
    /// The folder of its configuration or its application, ending with `/` unless it is the root.
    pub(super) folder: String,
    /// The compose services that run it.
    pub(super) services: Vec<usize>,
}

/// Indices by the folder (ending with `/`) that each lies in, sorted.
#[derive(Debug, Default)]
pub(super) struct Near(Vec<(String, usize)>);

impl Near {
    pub(super) fn new(mut entries: Vec<(String, usize)>) -> Self {
        entries.sort();
        entries.dedup();
        Self(entries)
    }

    /// Those nearest to `folder`: in it or, where there are none, in the folders around it.
    pub(super) fn to(&self, folder: &str) -> Vec<usize> {
        self.fit(folder, |_| true)
    }

    /// Those in `folder`; [`MAX_ASKED`] of them.
    fn inside(&self, folder: &str) -> impl Iterator<Item = usize> {
        let first = self.0.partition_point(|(at, _)| at.as_str() < folder);
        let here = self.0[first..].iter().take(MAX_ASKED);
        here.take_while(move |(at, _)| at.starts_with(folder))
            .map(|(_, index)| *index)
    }

    /// Those that fit, nearest to `folder`; of each surrounding folder [`MAX_ASKED`] are tried.
    pub(super) fn fit(&self, folder: &str, fits: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut folder = folder;
        loop {
            let found: Vec<usize> = self.inside(folder).filter(|index| fits(*index)).collect();
            if !found.is_empty() || folder.is_empty() {
                return found;
            }
            let outer = folder.trim_end_matches('/').rfind('/');
            folder = outer.map_or("", |slash| &folder[..=slash]);
        }
    }
}

/// Where everything runs.
#[derive(Debug, Default)]
pub struct Topology {
    pub(super) services: Arc<[Service]>,
    pub(super) places: Vec<Place>,
    /// What each service runs.
    pub(super) runs: Vec<Vec<usize>>,
    /// The applications of which each service runs one, and nothing says which.
    pub(super) may_run: Vec<Vec<usize>>,
    /// Services by the names that others call them.
    names: HashMap<String, Near>,
    /// The same, of each compose project by its first file.
    in_group: HashMap<SourceId, HashMap<String, Vec<usize>>>,
    /// Compose files by their folders, as indices of the next.
    compose: Near,
    files: Vec<SourceId>,
    /// Those that can't be read whole.
    broken: BTreeSet<SourceId>,
    /// What can't be read of compose files and Dockerfiles.
    pub undecided: Vec<Undecided>,
    /// Services by the ports that they publish.
    published: HashMap<u16, Near>,
    /// Applications and proxies by the sockets that they listen on.
    sockets: HashMap<String, Near>,
    /// All applications.
    pub(super) applications: Near,
}

impl Topology {
    /// Finds out where everything in `project` runs.
    pub fn read(
        project: &Project,
        nginx: &nginx::Model,
        caddy: &caddy::Model,
        django: &django::Model,
    ) -> Self {
        let Deployment {
            services,
            broken,
            files,
            undecided,
            ..
        } = project.deployment().clone();
        let mounted = Mounted::of(&services);
        let mut places = Vec::new();
        for config in 0..nginx.configs.len() as u32 {
            let hop = Nginx {
                view: nginx.view(config),
                target: None,
            };
            if !hop.view.config.servers.is_empty() {
                places.push(proxy(
                    Program::Nginx(config),
                    project.source(hop.place().source),
                    &mounted,
                ));
            }
        }
        for (index, config) in caddy.configs.iter().enumerate() {
            if !config.sites.is_empty() {
                let source = project.source(config.source);
                places.push(proxy(Program::Caddy(index), source, &mounted));
            }
        }
        places.extend(applications(project, django, &services));
        let mut runs = vec![Vec::new(); services.len()];
        for (index, place) in places.iter().enumerate() {
            for service in &place.services {
                runs[*service].push(index);
            }
        }
        let mut names: HashMap<String, Vec<_>> = HashMap::new();
        let mut in_group: HashMap<SourceId, HashMap<String, Vec<usize>>> = HashMap::new();
        let mut published: HashMap<u16, Vec<_>> = HashMap::new();
        for (index, service) in services.iter().enumerate() {
            let folder = ending(&service.folder);
            for name in &service.names {
                let known = names.entry(name.clone()).or_default();
                known.push((folder.clone(), index));
                for group in &service.groups {
                    let group = in_group.entry(*group).or_default();
                    group.entry(name.clone()).or_default().push(index);
                }
            }
            for port in &service.ports {
                let known = published.entry(port.published).or_default();
                known.push((folder.clone(), index));
            }
        }
        for service in services.iter() {
            for (linked, alias) in &service.links {
                for group in &service.groups {
                    let group = in_group.entry(*group).or_default();
                    let Some(linked) = group.get(&linked.to_ascii_lowercase()).cloned() else {
                        continue;
                    };
                    let known = names.entry(alias.clone()).or_default();
                    known.extend(linked.iter().map(|index| (ending(&service.folder), *index)));
                    group.entry(alias.clone()).or_default().extend(linked);
                }
            }
        }
        let compose = files.iter().enumerate().map(|(index, file)| {
            let folder = ending(project.source(*file).folder());
            (folder, index)
        });
        let compose = Near::new(compose.collect());
        let mut sockets: HashMap<String, Vec<_>> = HashMap::new();
        let mut applications = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let listening: BTreeSet<&str> = match &place.program {
                Program::Django { commands, .. } => {
                    applications.push((place.folder.clone(), index));
                    let commands = commands.iter();
                    commands
                        .filter_map(|command| django.commands[*command].socket())
                        .collect()
                }
                Program::Nginx(config) => nginx.view(*config).sockets().collect(),
                Program::Caddy(_) => BTreeSet::new(),
            };
            for socket in listening {
                let known = sockets.entry(socket.to_owned()).or_default();
                known.push((place.folder.clone(), index));
            }
        }
        let applications = Near::new(applications);
        let may_run = services
            .iter()
            .zip(&runs)
            .map(|(service, runs)| match runs.is_empty() {
                true => may_run(project, service, &applications),
                false => Vec::new(),
            })
            .collect();
        Self {
            names: nearby(names),
            in_group,
            published: nearby(published),
            compose,
            files,
            broken: broken.into_iter().collect(),
            undecided,
            sockets: nearby(sockets),
            applications,
            services,
            places,
            runs,
            may_run,
        }
    }

    /// Whether the command of a Dockerfile never runs: every service that is built from it has a
    /// command of its own.
    pub fn is_overridden(&self, dockerfile: SourceId) -> bool {
        let built = |service: &&Service| {
            let build = service.build.as_ref();
            build.is_some_and(|build| build.dockerfile == Some(dockerfile))
        };
        let mut services = self.services.iter().filter(built).peekable();
        services.peek().is_some() && services.all(|service| service.overrides)
    }

    /// The compose services that `from` means by `host`: of its own compose file's folder, else
    /// of those nearest to it.
    pub(super) fn named(&self, from: usize, host: &str) -> Vec<usize> {
        let Some(known) = self.names.get(host) else {
            return Vec::new();
        };
        let place = &self.places[from];
        // Two files in one folder, as for development and production: its own counts, and what
        // it belongs together with.
        let own = || place.services.iter().map(|own| &self.services[*own]);
        let groups: BTreeSet<SourceId> = own().flat_map(|own| own.groups.clone()).collect();
        let named = groups
            .iter()
            .filter_map(|group| self.in_group.get(group)?.get(host));
        let found: BTreeSet<usize> = named.flatten().copied().collect();
        if !found.is_empty() {
            return found.into_iter().collect();
        }
        let mut found = BTreeSet::new();
        for own in own() {
            found.extend(known.fit(&ending(&own.folder), |service| {
                self.services[service].folder == own.folder
            }));
        }
        if !found.is_empty() {
            return found.into_iter().collect();
        }
        known.to(&place.folder)
    }

    /// A compose file near `from` that can't be read whole, and may say who is meant by any name.
    pub(super) fn unread(&self, from: usize) -> Option<SourceId> {
        let near = self.compose.to(&self.places[from].folder);
        let mut near = near.into_iter().map(|index| self.files[index]);
        near.find(|file| self.broken.contains(file))
    }

    /// The services nearest to `from` that publish `port`, and what it is in their containers.
    pub(super) fn publishing(&self, from: usize, port: u16) -> Vec<(usize, u16)> {
        let Some(known) = self.published.get(&port) else {
            return Vec::new();
        };
        let found = known.to(&self.places[from].folder);
        found
            .into_iter()
            .flat_map(|service| {
                let ports = self.services[service].ports.iter();
                let there = ports.filter(|known| known.published == port);
                there.map(move |known| (service, known.target))
            })
            .collect()
    }

    /// The hops nearest to `from` that listen on the socket `path`.
    pub(super) fn at_socket(&self, from: usize, path: &str) -> Vec<usize> {
        let known = self.sockets.get(path);
        known.map_or_else(Vec::new, |known| known.to(&self.places[from].folder))
    }

    /// Whether `service` surely runs something else than the project's applications.
    pub(super) fn is_foreign(&self, service: usize) -> bool {
        let service = &self.services[service];
        match (&service.build, &service.image) {
            (Some(build), _) => build.dockerfile.is_some(),
            // An image of the library is no one's own program.
            (None, Some(image)) => !image.contains(['/', '$']),
            (None, None) => false,
        }
    }
}

fn nearby<K: std::hash::Hash + Eq>(known: HashMap<K, Vec<(String, usize)>>) -> HashMap<K, Near> {
    let entries = known.into_iter();
    entries
        .map(|(key, entries)| (key, Near::new(entries)))
        .collect()
}

/// A folder with a `/` at its end, the root without one.
pub(super) fn ending(folder: &str) -> String {
    if folder.is_empty() {
        String::new()
    } else {
        format!("{folder}/")
    }
}

fn proxy(program: Program, source: &Source, mounted: &Mounted<'_>) -> Place {
    Place {
        program,
        folder: ending(source.folder()),
        services: mounted.holding(&source.path),
    }
}

/// Which services hold which files and folders of the project.
struct Mounted<'a>(HashMap<&'a str, Vec<(usize, &'a Mount)>>);

impl<'a> Mounted<'a> {
    fn of(services: &'a [Service]) -> Self {
        let mut mounted: HashMap<&str, Vec<_>> = HashMap::new();
        for (index, service) in services.iter().enumerate() {
            for mount in &service.container.mounts {
                // `conf/*.conf` is as much as the folder.
                let from = mount.from.as_deref().unwrap_or_default();
                let from = match from.find('*') {
                    Some(star) => from[..star]
                        .rsplit_once('/')
                        .map_or("", |(folder, _)| folder),
                    None => from,
                };
                if !from.is_empty() {
                    mounted.entry(from).or_default().push((index, mount));
                }
            }
        }
        Self(mounted)
    }

    /// The services that hold the configuration at `path`.
    fn holding(&self, path: &str) -> Vec<usize> {
        // A folder that brings it lies where a server looks; one with all sources need not.
        let is_read = |mount: &Mount| {
            ["nginx", "caddy", "conf.d", "templates", "sites-"]
                .iter()
                .any(|place| mount.to.contains(place))
        };
        let mut found = BTreeSet::new();
        let mut at = path;
        loop {
            let mounts = self.0.get(at).into_iter().flatten();
            let holds = mounts.filter(|(_, mount)| at.len() == path.len() || is_read(mount));
            found.extend(holds.map(|(service, _)| *service));
            match at.rsplit_once('/') {
                Some((folder, _)) => at = folder,
                None => return found.into_iter().collect(),
            }
        }
    }
}

/// The applications, once for each way in which they are started.
fn applications(project: &Project, django: &django::Model, services: &[Service]) -> Vec<Place> {
    let started = started(project, django, services);
    let index_of: HashMap<_, usize> = django
        .commands
        .iter()
        .enumerate()
        .map(|(index, command)| (command.span, index))
        .collect();
    let built = built(project, django, services);
    let mut places = Vec::new();
    let mut homes = BTreeSet::new();
    for (number, settings) in django.all_settings().enumerate() {
        let home = django.home(project, settings.source);
        if !homes.insert(home) {
            continue;
        }
        let place = |commands: Vec<usize>, services: Vec<usize>, is_started_elsewhere| Place {
            program: Program::Django {
                settings: number,
                commands,
                is_started_elsewhere,
            },
            folder: ending(home),
            services,
        };
        let servers: Vec<usize> = django
            .servers(project, home)
            .into_iter()
            .filter_map(|command| index_of.get(&command.span).copied())
            .collect();
        // Services that run the same commands are one; what no service runs is started otherwise.
        let mut by_service: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut loose = Vec::new();
        for command in &servers {
            match started.get(command) {
                Some(by) => {
                    for service in by {
                        by_service.entry(*service).or_default().push(*command);
                    }
                }
                None => loose.push(*command),
            }
        }
        let mut groups: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
        let known: BTreeSet<usize> = by_service.keys().copied().collect();
        for (service, commands) in by_service {
            groups.entry(commands).or_default().push(service);
        }
        places.extend(
            groups
                .into_iter()
                .map(|(commands, services)| place(commands, services, false)),
        );
        // Services that run it in a way that the files do not show, or only for developers.
        let develops = django.commands.iter().enumerate().filter(|(_, command)| {
            command.program == Server::Runserver && django.is_started_by(project, command, home)
        });
        let develops = develops.filter_map(|(index, _)| started.get(&index));
        let unclear: BTreeSet<usize> = develops
            .flatten()
            .chain(built.get(home).into_iter().flatten())
            .filter(|service| !known.contains(*service))
            .copied()
            .collect();
        let unclear: Vec<usize> = unclear.into_iter().collect();
        if servers.is_empty() {
            places.push(place(Vec::new(), unclear, false));
            continue;
        }
        if !loose.is_empty() {
            places.push(place(loose, Vec::new(), false));
        }
        if !unclear.is_empty() {
            places.push(place(Vec::new(), unclear, true));
        }
    }
    places
}

/// The services that start each command.
fn started(
    project: &Project,
    django: &django::Model,
    services: &[Service],
) -> HashMap<usize, BTreeSet<usize>> {
    let mut in_file: HashMap<SourceId, Vec<(usize, &Command)>> = HashMap::new();
    for (index, command) in django.commands.iter().enumerate() {
        let commands = in_file.entry(command.span.source).or_default();
        commands.push((index, command));
    }
    let mut scripts: HashMap<&str, Vec<&Source>> = HashMap::new();
    for source in project.of_kind(Kind::Command) {
        if in_file.contains_key(&source.id) {
            scripts.entry(source.name()).or_default().push(source);
        }
    }
    let mut started: HashMap<usize, BTreeSet<usize>> = HashMap::new();
    for (number, service) in services.iter().enumerate() {
        let mut files: BTreeSet<SourceId> = BTreeSet::new();
        let mut texts: Vec<&str> = Vec::new();
        for (span, text) in &service.commands {
            let commands = in_file.get(&span.source).into_iter().flatten();
            for (index, _) in commands.filter(|(_, command)| span.contains(command.span)) {
                started.entry(*index).or_default().insert(number);
            }
            texts.push(text);
        }
        if !service.overrides {
            let build = service.build.as_ref();
            files.extend(build.and_then(|build| build.dockerfile));
        }
        texts.extend(service.container.starts.iter().map(String::as_str));
        for word in texts.into_iter().flat_map(words) {
            files.extend(script(project, service, &scripts, word));
        }
        for (index, _) in files.iter().filter_map(|file| in_file.get(file)).flatten() {
            started.entry(*index).or_default().insert(number);
        }
    }
    started
}

/// The words of a command, of a shell's or a JSON list's.
fn words(command: &str) -> impl Iterator<Item = &str> {
    command
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '[' | ']' | ';'))
        .filter(|word| !word.is_empty())
}

/// The script that `word` names in a container: by what was put there, else by its name.
fn script(
    project: &Project,
    service: &Service,
    scripts: &HashMap<&str, Vec<&Source>>,
    word: &str,
) -> Option<SourceId> {
    let name = word.rsplit('/').next()?;
    let put = service.container.mounts.iter().find_map(|mount| {
        let from = mount.from.as_deref()?;
        let there = match word.strip_prefix(mount.to.trim_end_matches('/'))? {
            "" => from.to_owned(),
            rest if rest.starts_with('/') && from.is_empty() => rest[1..].to_owned(),
            rest if rest.starts_with('/') => format!("{from}{rest}"),
            _ => return None,
        };
        let file = project.by_path(&there)?;
        (file.kind == Kind::Command).then_some(file.id)
    });
    put.or_else(|| {
        let folder = match &service.build {
            Some(build) => ending(&build.context),
            None => ending(&service.folder),
        };
        let named = scripts.get(name)?;
        let mut near = named.iter().filter(|file| file.path.starts_with(&folder));
        let only = near.next()?;
        near.next().is_none().then_some(only.id)
    })
}

/// The services that are built from the folder of one application, by that folder.
fn built<'a>(
    project: &Project,
    django: &'a django::Model,
    services: &[Service],
) -> HashMap<&'a str, Vec<usize>> {
    let mut homes: Vec<(String, &str)> = django.homes().map(|home| (ending(home), home)).collect();
    homes.sort();
    let mut built: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, service) in services.iter().enumerate() {
        let Some(build) = &service.build else {
            continue;
        };
        let is_python = is_python(project, build);
        let within = ending(&build.context);
        let first = homes.partition_point(|(folder, _)| *folder < within);
        let mut inside = homes[first..]
            .iter()
            .take_while(|(folder, _)| folder.starts_with(&within));
        let (folder, home) = match (inside.next(), inside.next()) {
            (Some(only), None) => only,
            // Among others below it, its own.
            (Some(own), Some(_)) if own.0 == within => own,
            _ => continue,
        };
        if is_python.unwrap_or(*folder == within) {
            built.entry(home).or_default().push(number);
        }
    }
    built
}

/// Whether a Dockerfile that is here runs Python.
fn is_python(project: &Project, build: &Build) -> Option<bool> {
    let text = &project.source(build.dockerfile?).text;
    let marks = ["python", "manage.py", "django"];
    Some(marks.iter().any(|mark| text.contains(mark)))
}

/// The applications in the folder that `service` is built from, where it holds several.
fn may_run(project: &Project, service: &Service, applications: &Near) -> Vec<usize> {
    let build = service.build.as_ref();
    let Some(build) = build.filter(|build| is_python(project, build) == Some(true)) else {
        return Vec::new();
    };
    applications.inside(&ending(&build.context)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_found_first() {
        let near = Near::new(vec![
            ("a/web/".into(), 1),
            ("a-b/".into(), 2),
            ("b/".into(), 3),
            (String::new(), 4),
        ]);
        let to = |folder: &str| near.to(folder);
        assert_eq!(to("a/deploy/"), [1]);
        assert_eq!(to("a/"), [1]);
        assert_eq!(to("b/x/y/"), [3]);
        assert_eq!(to("c/").len(), 4);
        assert!(Near::default().to("a/").is_empty());
        assert_eq!(near.fit("a/web/", |index| index != 1).len(), 3);
    }
}

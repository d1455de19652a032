//! Which module holds the settings that run in production, and what they are.

use std::collections::{HashMap, HashSet};

use super::data::{Data, Possible, certain};
use super::evaluate::{
    Binding, Configuration, Evaluated, How, Open, Past, Program, configurations, is_development,
    set_up,
};
use super::{command, origin};
use crate::project::Project;
use crate::source::{Kind, Source, SourceId, Span};

/// Names that only settings define.
const MARKS: &[&str] = &[
    "INSTALLED_APPS",
    "ROOT_URLCONF",
    "MIDDLEWARE",
    "SECURE_PROXY_SSL_HEADER",
    "SECURE_SSL_REDIRECT",
    "ALLOWED_HOSTS",
];

/// What a settings module is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It runs in production, or nothing says that it does not.
    Production,
    /// For a developer's machine, for tests, or another deployment than the one that is named.
    Other,
    /// Others build upon it; what they override does not count.
    Inherited,
}

/// One settings module, evaluated to its last line.
#[derive(Debug)]
pub struct Settings {
    /// Its file.
    pub source: SourceId,
    /// What it is for.
    pub role: Role,
    /// Where `DJANGO_SETTINGS_MODULE` names it.
    pub named: Option<Span>,
    evaluated: Evaluated,
    /// Whether it is a whole configuration, not a part that something else assembles.
    whole: bool,
}

/// A setting in one module.
#[derive(Debug)]
pub struct Setting<'a> {
    /// What it may be; [`Data::Absent`] where it is not set.
    pub values: Vec<Possible>,
    /// The name where it was last assigned; `None` where it is not set.
    pub target: Option<Span>,
    /// A place after it that may give it another value.
    pub reopened: Option<&'a Open>,
}

impl Setting<'_> {
    /// Its only value, if there is no doubt about it.
    pub fn certain(&self) -> Option<&Possible> {
        certain(&self.values)
            .filter(|value| self.reopened.is_none() && !matches!(value.data, Data::Unknown(_)))
    }
}

impl Setting<'_> {
    /// What all that it may be agree on; `None` where they differ or one of them does not tell.
    pub fn agreed<T: PartialEq>(&self, tell: impl Fn(&Possible) -> Option<T>) -> Option<T> {
        let told = self.values.iter().map(tell);
        origin::agreed(told)
            .flatten()
            .filter(|_| self.reopened.is_none())
    }
}

impl Settings {
    /// Those of an application whose settings are not in the files; `source` is a module of its.
    pub(super) fn unseen(source: SourceId) -> Self {
        Self {
            source,
            role: Role::Production,
            named: None,
            evaluated: Evaluated::default(),
            whole: false,
        }
    }

    /// The setting of that name.
    pub fn get(&self, name: &str) -> Setting<'_> {
        match self.evaluated.get(name) {
            Some(binding) => Setting {
                values: binding.values.clone(),
                target: Some(binding.target),
                reopened: self.evaluated.reopened(binding),
            },
            None => {
                let start = Span::new(self.source, 0..0);
                let value = match self.evaluated.open() {
                    Some(open) => Possible::unknown(&open.why, open.span),
                    None if !self.whole => {
                        Possible::unknown("this module is only a part of the settings", start)
                    }
                    None => Possible::literal(Data::Absent, start),
                };
                Setting {
                    values: vec![value],
                    target: None,
                    reopened: None,
                }
            }
        }
    }

    /// What led to the value that `span` lies in, with words for each place: where its setting had
    /// another value before, and where it was added to.
    pub fn history(&self, span: Span) -> Vec<(Span, &'static str)> {
        let of_it = |binding: &&Binding| {
            binding.history().next().is_some()
                && binding.values.iter().any(|one| holds(one, span, 0))
        };
        let mut bindings = self.evaluated.names().map(|(_, binding)| binding);
        let Some(binding) = bindings.find(of_it) else {
            return Vec::new();
        };
        let past = binding.history().map(|past| {
            let words = match past.how {
                How::Overridden => "set here before, and overridden",
                How::Extended => "set here before, and added to",
                How::Changed => "changed here",
            };
            (past.span, words)
        });
        let is_extended = |past: Past| past.how == How::Extended;
        let last = binding.history().next().is_some_and(is_extended);
        let last = last.then_some((binding.target, "added to here"));
        past.chain(last)
            .filter(|(place, _)| !place.contains(span) && !span.contains(*place))
            .collect()
    }

    /// The names that the module sets, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .evaluated
            .names()
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        names
    }

    /// Whether `DEBUG` is literally True.
    pub fn is_debug(&self) -> bool {
        self.evaluated.get("DEBUG").is_some_and(|binding| {
            certain(&binding.values).is_some_and(|value| {
                !value.is_default()
                    && value.when.is_none()
                    && matches!(value.data, Data::Bool(true))
            })
        })
    }

    /// Whether a middleware runs; `None` where the files do not say.
    pub fn runs(&self, middleware: &str) -> Option<bool> {
        self.has_middleware(|name| name == middleware)
    }

    /// Whether SecurityMiddleware surely does not run, so that nothing redirects.
    pub fn lacks_security_middleware(&self) -> bool {
        self.redirecting() == Some(false)
    }

    /// Whether SecurityMiddleware runs; `None` where the files do not say.
    pub fn redirecting(&self) -> Option<bool> {
        self.has_middleware(|name| name.contains("SecurityMiddleware"))
    }

    /// Whether CommonMiddleware, which looks at the host, runs and sees a request before
    /// SecurityMiddleware does.
    pub fn checks_host_first(&self) -> Option<bool> {
        self.get("MIDDLEWARE").agreed(|value| match &value.data {
            Data::Sequence(list) => {
                for item in &list.items {
                    match certain(item)?.data.as_text()? {
                        "django.middleware.common.CommonMiddleware" => return Some(true),
                        name if name.contains("SecurityMiddleware") => return Some(false),
                        _ => {}
                    }
                }
                list.complete.then_some(false)
            }
            Data::Absent => Some(false),
            _ => None,
        })
    }

    fn has_middleware(&self, is_it: impl Fn(&str) -> bool) -> Option<bool> {
        self.get("MIDDLEWARE").agreed(|value| match &value.data {
            Data::Sequence(list) => {
                let mut runs = list.complete.then_some(false);
                for item in &list.items {
                    match certain(item).and_then(|item| item.data.as_text()) {
                        Some(name) if is_it(name) => return Some(true),
                        Some(_) => {}
                        None => runs = None,
                    }
                }
                runs
            }
            // Without the setting Django's default is an empty list.
            Data::Absent => Some(false),
            _ => None,
        })
    }

    /// Whether SECURE_REDIRECT_EXEMPT spares `path` (django/middleware/security.py searches each
    /// pattern in the path without its leading slashes); `None` where that can't be said.
    pub fn exempts(&self, path: &str) -> Option<bool> {
        let path = path.trim_start_matches('/');
        self.get("SECURE_REDIRECT_EXEMPT").agreed(|value| {
            let Data::Sequence(patterns) = &value.data else {
                return matches!(value.data, Data::Absent).then_some(false);
            };
            let mut exempts = patterns.complete.then_some(false);
            for pattern in &patterns.items {
                let text = certain(pattern).and_then(|pattern| pattern.data.as_text());
                let regex =
                    text.and_then(|text| fancy_regex::Regex::new(&text.replace(r"\Z", r"\z")).ok());
                match regex.and_then(|regex| regex.is_match(path).ok()) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => exempts = None,
                }
            }
            exempts
        })
    }

    /// A middleware of the project itself (its package is one of `project`'s folders) that runs
    /// before SecurityMiddleware: it may answer, or change the scheme.
    pub fn runs_before_redirect(&self, project: &Project) -> Option<Possible> {
        let setting = self.get("MIDDLEWARE");
        let value = setting.certain()?;
        let Data::Sequence(list) = &value.data else {
            return None;
        };
        let home = project.source(self.source).folder();
        for item in &list.items {
            let Some((item, name)) = certain(item).and_then(|item| {
                let name = item.data.as_text()?;
                Some((item, name.to_owned()))
            }) else {
                continue;
            };
            if name.ends_with(".SecurityMiddleware") {
                return None;
            }
            let package = name.split('.').next().unwrap_or_default();
            let mut folder = Some(home);
            while let Some(at) = folder {
                let path = if at.is_empty() {
                    package.to_owned()
                } else {
                    format!("{at}/{package}")
                };
                if project.files.has_folder(&path) {
                    return Some(item.clone());
                }
                folder =
                    (!at.is_empty()).then(|| at.rsplit_once('/').map_or("", |(parent, _)| parent));
            }
        }
        None
    }

    /// How sure it is that SecurityMiddleware redirects plain HTTP.
    pub fn redirects(&self) -> Redirects {
        if self.lacks_security_middleware() {
            return Redirects::No;
        }
        let setting = self.get("SECURE_SSL_REDIRECT");
        let mut best: Option<&Possible> = None;
        let mut unknown = false;
        let mut off = false;
        for value in &setting.values {
            match value.data.truth() {
                Some(true) => best = Some(best.filter(|best| best.is_known()).unwrap_or(value)),
                Some(false) => off = true,
                None => unknown = true,
            }
        }
        match best {
            Some(value) if off || unknown || !value.is_known() || setting.reopened.is_some() => {
                Redirects::Perhaps(value.clone())
            }
            Some(value) => Redirects::Yes(value.clone()),
            None if unknown || setting.reopened.is_some() => Redirects::Unknown,
            None => Redirects::No,
        }
    }
}

/// Whether a value, or one in it, is what `span` lies in.
fn holds(value: &Possible, span: Span, depth: usize) -> bool {
    let any = |values: &[Possible]| values.iter().any(|one| holds(one, span, depth + 1));
    value.span.contains(span)
        || depth < 5
            && match &value.data {
                Data::Sequence(list) => list.items.iter().any(|item| any(item)),
                Data::Dictionary(pairs) => pairs
                    .pairs
                    .iter()
                    .any(|(key, values)| key.span.contains(span) || any(values)),
                _ => false,
            }
}

/// Whether plain HTTP is redirected to https.
#[derive(Clone, Debug)]
pub enum Redirects {
    /// It is: this value says so.
    Yes(Possible),
    /// This value says so, but it is a default or one of several.
    Perhaps(Possible),
    /// The files do not say.
    Unknown,
    /// It is not.
    No,
}

/// The settings modules of a project, those that run in production first.
pub fn find(project: &Project, program: &mut Program<'_>) -> Vec<Settings> {
    let candidates: Vec<SourceId> = program
        .all()
        .filter(|(id, module)| {
            let name = stem(project.source(*id));
            !matches!(
                name,
                "asgi" | "wsgi" | "manage" | "urls" | "routing" | "conftest"
            ) && MARKS.iter().any(|mark| module.get(mark).is_some())
        })
        .map(|(id, _)| id)
        .collect();
    let named = named(project, program);
    let develops: HashSet<SourceId> = candidates
        .iter()
        .copied()
        .filter(|id| is_for_development(project.source(*id)))
        .collect();
    let mut inherited = HashSet::new();
    for id in &candidates {
        if !develops.contains(id)
            && let Some(module) = program.module(*id)
        {
            let mut stack = module.stars.clone();
            while let Some(star) = stack.pop() {
                if star != *id && inherited.insert(star) {
                    stack.extend(
                        program
                            .module(star)
                            .into_iter()
                            .flat_map(|module| module.stars.iter().copied()),
                    );
                }
            }
        }
    }
    // The named modules of each folder that are not for development.
    let mut siblings: HashMap<&str, Vec<SourceId>> = HashMap::new();
    for id in named.keys().filter(|id| !develops.contains(id)) {
        let folder = project.source(*id).folder();
        siblings.entry(folder).or_default().push(*id);
    }
    let mut found = classes(project, program);
    for id in &candidates {
        let source = project.source(*id);
        let name = named.get(id);
        let by_command = name.is_some_and(|name| name.by_command);
        let sibling_is_named = siblings
            .get(source.folder())
            .is_some_and(|named| named.iter().any(|sibling| sibling != id));
        let role = if develops.contains(id) {
            Role::Other
        } else if inherited.contains(id) && !by_command {
            Role::Inherited
        } else if name.is_some() || is_for_production(source) || !sibling_is_named {
            Role::Production
        } else {
            Role::Other
        };
        let Some(evaluated) = program.take(*id) else {
            continue;
        };
        let whole =
            evaluated.get("ROOT_URLCONF").is_some() || evaluated.get("INSTALLED_APPS").is_some();
        found.push(Settings {
            source: *id,
            role,
            named: name.map(|name| name.span),
            evaluated,
            whole,
        });
    }
    found.sort_by_key(|settings| (settings.role != Role::Production, settings.source));
    found
}

/// What names a settings module.
struct Named {
    /// The first place.
    span: Span,
    /// In how the application is started, which overrules `setdefault` in Python.
    by_command: bool,
    /// Elsewhere than in manage.py.
    by_entry: bool,
}

/// The settings modules that something names. Many services may name theirs alike, so each word
/// is looked up once for each kind of place.
fn named(project: &Project, program: &Program<'_>) -> HashMap<SourceId, Named> {
    let mut found: HashMap<SourceId, Named> = HashMap::new();
    let mut seen: HashSet<(String, bool, bool)> = HashSet::new();
    let mut add = |word: &str, span: Span, by_command: bool| {
        let by_entry = stem(project.source(span.source)) != "manage";
        if !seen.insert((word.to_owned(), by_command, by_entry)) {
            return;
        }
        for module in program.modules.named(word) {
            let name = found.entry(module.id).or_insert(Named {
                span,
                by_command,
                by_entry,
            });
            name.by_command |= by_command;
            name.by_entry |= by_entry;
        }
    };
    for source in project.of_kind(Kind::Command) {
        for word in command::environment(source).settings {
            add(&word.text, word.span, true);
        }
    }
    for source in project.of_kind(Kind::Python) {
        assigned(source, "DJANGO_SETTINGS_MODULE", |word, span| {
            let is_module =
                command::is_dotted(word) && (word.contains("settings") || word.contains('.'));
            if is_module {
                add(word, span, false);
            }
            is_module
        });
    }
    // An entry point's word counts before manage.py's, which is a developer's tool.
    let is_entry =
        |id: &SourceId, name: &Named| name.by_entry && !is_for_development(project.source(*id));
    if found.iter().any(|(id, name)| is_entry(id, name)) {
        found.retain(|id, name| is_entry(id, name));
    }
    found
}

/// Looks for what a module sets an environment variable to: each string that follows its name is
/// offered to `take` until it takes one.
fn assigned(source: &Source, variable: &str, mut take: impl FnMut(&str, Span) -> bool) {
    let mut from = 0;
    while let Some(at) = source.text[from..].find(variable) {
        let after = from + at + variable.len();
        from = after;
        // `"DJANGO_SETTINGS_MODULE", "proj.settings"`: the next string of the same statement.
        let rest = &source.text[after..];
        let end = rest
            .len()
            .min(rest.find('\n').map_or(rest.len(), |line| line + 120));
        let Some(rest) = (0..=end).rev().find_map(|end| rest.get(..end)) else {
            continue;
        };
        let mut parts = rest.split(['"', '\'']);
        let mut offset = after + parts.next().map_or(0, |part| part.len() + 1);
        for part in parts.take(3) {
            if take(part, Span::new(source.id, offset..offset + part.len())) {
                break;
            }
            offset += part.len() + 1;
        }
    }
}

/// The settings that are classes (django-configurations).
fn classes(project: &Project, program: &Program<'_>) -> Vec<Settings> {
    let uses = |source: &&Source| source.text.contains("configurations");
    let mut all: Vec<Configuration> = project
        .of_kind(Kind::Python)
        .filter(uses)
        .flat_map(|source| configurations(program, source.id))
        .collect();
    if all.is_empty() {
        return Vec::new();
    }
    // A configuration may be subclassed in a module that does not name the package.
    let of_others = project
        .of_kind(Kind::Python)
        .filter(|source| !uses(source))
        .flat_map(|source| configurations(program, source.id));
    all.extend(of_others);
    let mut words: Vec<(String, Span, bool)> = Vec::new();
    for source in project.of_kind(Kind::Command) {
        let found = command::environment(source).configuration;
        words.extend(found.into_iter().map(|word| (word.text, word.span, true)));
    }
    for source in project.of_kind(Kind::Python) {
        let by_entry = stem(source) != "manage";
        assigned(source, "DJANGO_CONFIGURATION", |word, span| {
            let is_class = word.starts_with(|char: char| char.is_alphabetic());
            if is_class {
                words.push((word.to_owned(), span, by_entry));
            }
            is_class
        });
    }
    let name = |one: &Configuration, by_entry: bool| {
        let path = &project.source(one.span.source).path;
        let word = words.iter().find(|(word, span, entry)| {
            *word == one.class.name
                && *entry == by_entry
                && super::is_within(path, project.source(span.source).folder())
        });
        word.map(|(_, span, _)| *span)
    };
    let develops = |one: &Configuration| {
        is_development(&words_of(&one.class.name))
            || is_for_development(project.source(one.span.source))
    };
    let by_entry: Vec<bool> = all
        .iter()
        .map(|one| name(one, true).is_some() && !develops(one))
        .collect();
    let home = |one: &Configuration| super::home(project, project.source(one.span.source));
    let mut found = Vec::new();
    for one in &all {
        let named_beside = all
            .iter()
            .zip(&by_entry)
            .any(|(other, named)| *named && other.span != one.span && home(other) == home(one));
        let inherited = all
            .iter()
            .any(|other| !develops(other) && other.descends(one));
        let entry = name(one, true);
        let role = if develops(one) {
            Role::Other
        } else if entry.is_some() {
            Role::Production
        } else if inherited {
            Role::Inherited
        } else if named_beside {
            Role::Other
        } else {
            Role::Production
        };
        let evaluated = set_up(program, one);
        let whole =
            evaluated.get("ROOT_URLCONF").is_some() || evaluated.get("INSTALLED_APPS").is_some();
        found.push(Settings {
            source: one.span.source,
            role,
            named: entry.or_else(|| name(one, false)),
            evaluated,
            whole,
        });
    }
    found
}

/// `LocalDev` as `Local_Dev`.
fn words_of(name: &str) -> String {
    let mut words = String::new();
    for char in name.chars() {
        if char.is_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.push(char);
    }
    words
}

/// The module's name: the file's, or the package's for `__init__.py`.
fn stem(source: &Source) -> &str {
    let name = source.name().strip_suffix(".py").unwrap_or(source.name());
    if name == "__init__" {
        return source.folder().rsplit('/').next().unwrap_or_default();
    }
    name
}

fn is_for_development(source: &Source) -> bool {
    let name = stem(source);
    let folder = source.folder().rsplit('/').next().unwrap_or_default();
    is_development(name) || (name == "settings" && is_development(folder))
}

fn is_for_production(source: &Source) -> bool {
    stem(source)
        .to_ascii_lowercase()
        .split(['_', '-', '.'])
        .any(|word| {
            matches!(
                word,
                "prod" | "production" | "live" | "deploy" | "deployment" | "heroku" | "aws"
            )
        })
}

#[cfg(test)]
mod tests;

//! django-configurations: settings that are the attributes of a class.
//!
//! configurations/importer.py puts the attributes of the class that DJANGO_CONFIGURATION names into
//! its module, those of `values.…` as the environment has them; configurations/base.py copies what
//! each base has, the first one first.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::calls::method;
use super::environment::environment;
use super::{Binding, Evaluated, Open, Program};
use crate::django::data::{Call, Class, Data, Origin, Possible, Values, certain, weaker};
use crate::source::{SourceId, Span};

/// Bases that are followed above one class.
const MAX_BASES: usize = 16;

/// A class of settings.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The class.
    pub class: Arc<Class>,
    /// Its statement.
    pub span: Span,
}

impl Configuration {
    /// Whether it descends from `other`.
    pub fn descends(&self, other: &Self) -> bool {
        !Arc::ptr_eq(&self.class, &other.class) && descends(&self.class, &other.class, 0)
    }
}

/// The classes of settings that `module` defines, in their order.
pub fn configurations(program: &Program<'_>, module: SourceId) -> Vec<Configuration> {
    let Some(evaluated) = program.module(module) else {
        return Vec::new();
    };
    let mut found: Vec<Configuration> = evaluated
        .names()
        .filter_map(|(_, binding)| {
            let possible = certain(&binding.values)?;
            match &possible.data {
                Data::Class(class) if class.source == module && is_one(class, 0) => {
                    Some(Configuration {
                        class: class.clone(),
                        span: possible.span,
                    })
                }
                _ => None,
            }
        })
        .collect();
    found.sort_by_key(|configuration| configuration.span);
    found.dedup_by_key(|configuration| configuration.span);
    found
}

/// What the module is once the class has been set up.
pub fn set_up(program: &Program<'_>, configuration: &Configuration) -> Evaluated {
    let mut settings = Settings::default();
    settings.collect(&configuration.class, configuration.span, 0);
    let module = program.module(configuration.class.source);
    let (mut names, mut opens) = match module {
        Some(module) => (module.names.clone(), module.opens.clone()),
        None => Default::default(),
    };
    for (name, (values, target)) in settings.names {
        let values = values
            .into_iter()
            // What is callable is called (configurations/importer.py, load_module).
            .flat_map(|value| method(program, &value).unwrap_or_else(|| vec![value]))
            .map(|value| setting(program, &name, value))
            .collect();
        let binding = Binding {
            values,
            target,
            before: None,
            doubt: None,
            order: u32::MAX - 1,
        };
        names.insert(name, binding);
    }
    let open = |(span, why): (Span, &str), order| Open {
        span,
        why: why.to_owned(),
        order,
    };
    // What no class in the project defines may come from a base that is not in it.
    opens.extend(settings.foreign.map(|foreign| open(foreign, 0)));
    opens.extend(settings.changed.map(|changed| open(changed, u32::MAX)));
    Evaluated {
        names,
        opens,
        stars: Vec::new(),
    }
}

fn is_one(class: &Class, depth: usize) -> bool {
    depth < MAX_BASES
        && class
            .bases
            .iter()
            .any(|base| match certain(base).map(|base| &base.data) {
                Some(Data::External(path)) => {
                    path.starts_with("configurations.")
                        && (path.ends_with(".Configuration") || path.ends_with(".Settings"))
                }
                Some(Data::Class(class)) => is_one(class, depth + 1),
                _ => false,
            })
}

fn descends(class: &Class, from: &Arc<Class>, depth: usize) -> bool {
    depth < MAX_BASES
        && class
            .bases
            .iter()
            .any(|base| match certain(base).map(|base| &base.data) {
                Some(Data::Class(class)) => {
                    Arc::ptr_eq(class, from) || descends(class, from, depth + 1)
                }
                _ => false,
            })
}

/// Settings that django/conf/global_settings.py does not hold.
const NO_DEFAULT: [&str; 3] = ["ASGI_APPLICATION", "CHANNEL_LAYERS", "ROOT_URLCONF"];

#[derive(Default)]
struct Settings {
    names: BTreeMap<String, (Values, Span)>,
    /// A base that is not in the project.
    foreign: Option<(Span, &'static str)>,
    /// A method that may change settings when the class is set up.
    changed: Option<(Span, &'static str)>,
}

impl Settings {
    fn collect(&mut self, class: &Class, span: Span, depth: usize) {
        if depth >= MAX_BASES {
            self.foreign = Some((span, "it descends from too many classes"));
            return;
        }
        for attribute in &class.attributes {
            match attribute.name.as_str() {
                "setup" | "pre_setup" | "post_setup" => {
                    let why = "it may set settings when the configuration is set up";
                    self.changed.get_or_insert((attribute.target, why));
                }
                name if name.chars().any(char::is_uppercase)
                    && !name.chars().any(char::is_lowercase) =>
                {
                    let value = (attribute.values.clone(), attribute.target);
                    self.names.entry(name.to_owned()).or_insert(value);
                }
                _ => {}
            }
        }
        // The first configuration among the bases has every setting, Django's defaults among them.
        let mut full = false;
        for base in &class.bases {
            let at = base.first().map_or(span, |base| base.span);
            match certain(base).map(|base| &base.data) {
                Some(Data::Class(base)) => {
                    let mut inner = Self::default();
                    inner.collect(base, at, depth + 1);
                    for (name, (values, target)) in inner.names {
                        // Of what Django has no default for the first configuration has none.
                        let full = full && !NO_DEFAULT.contains(&name.as_str());
                        let values = match full || self.foreign.is_some() {
                            true => vec![Possible::unknown("another base may set it", at)],
                            false => values,
                        };
                        self.names.entry(name).or_insert((values, target));
                    }
                    self.foreign = self.foreign.or(inner.foreign);
                    self.changed = self.changed.or(inner.changed);
                    full |= is_one(base, 0);
                }
                Some(Data::External(path))
                    if path.starts_with("configurations.") || **path == *"object" =>
                {
                    full = true;
                }
                _ => {
                    let why = "it descends from a class that is not in the project";
                    self.foreign.get_or_insert((at, why));
                }
            }
        }
    }
}

/// What an attribute is as a setting: `values.…` gives its default where the environment is silent.
fn setting(program: &Program<'_>, name: &str, value: Possible) -> Possible {
    match &value.data {
        Data::Function(_) | Data::Class(_) => value.with(Data::unknown("a method computes it")),
        Data::Call(call) => {
            let symbol = call.function.data.symbol();
            match symbol.strip_prefix("configurations.values.") {
                Some(kind) => read(program, name, kind, call, &value),
                None => value,
            }
        }
        _ => value,
    }
}

/// configurations/values.py.
fn read(program: &Program<'_>, name: &str, kind: &str, call: &Call, at: &Possible) -> Possible {
    let text = |keyword: &str| {
        let values = call.keyword(keyword)?;
        Some(certain(values)?.data.as_text()?.to_owned())
    };
    let environ = match call.argument(1, "environ").map(|values| certain(values)) {
        None => Some(true),
        Some(value) => value.and_then(|value| value.data.truth()),
    };
    let prefix = match call.keyword("environ_prefix") {
        None => "DJANGO_".to_owned(),
        Some(_) => match text("environ_prefix")
            .as_deref()
            .map(|name| name.trim_end_matches('_'))
        {
            None | Some("") => String::new(),
            Some(prefix) => format!("{prefix}_"),
        },
    };
    let variable = text("environ_name").unwrap_or_else(|| name.to_owned());
    let variable = format!("{prefix}{variable}");
    let source = program.project.source(at.span.source);
    let deployment = &program.deployment;
    let told = deployment.told(source, &deployment.running(source), &variable);
    let from = told.looked_up(&variable, at.span);
    let origin = match environ {
        Some(false) => Origin::Literal,
        _ => from.origin.clone(),
    };
    let unknown = || from.with(environment(&variable, at.span).data);
    let plain = ["converter", "caster", "environ_required"]
        .iter()
        .all(|keyword| call.keyword(keyword).is_none());
    if let (true, Data::Text(text)) = (environ != Some(false), &from.data) {
        return match kind {
            "Value" | "URLValue" if plain => from,
            "ListValue" if plain => from.with(items(text, &from)),
            "BooleanValue" if plain => match text.to_ascii_lowercase().as_str() {
                "yes" | "y" | "true" | "1" => from.with(Data::Bool(true)),
                "no" | "n" | "false" | "0" => from.with(Data::Bool(false)),
                _ => unknown(),
            },
            _ => unknown(),
        };
    }
    let Some(default) = call
        .argument(0, "default")
        .and_then(|values| certain(values))
    else {
        return unknown();
    };
    let data = match (kind, &default.data) {
        _ if !plain || !call.complete => None,
        ("Value" | "EmailValue" | "URLValue" | "IPValue" | "RegexValue", data) => {
            (data.truth() == Some(true) || environ == Some(false)).then(|| data.clone())
        }
        ("BooleanValue", Data::Bool(_))
        | ("IntegerValue" | "PositiveIntegerValue", Data::Integer(_)) => Some(default.data.clone()),
        ("ListValue" | "TupleValue", Data::Sequence(list)) if !list.items.is_empty() => Some(
            Data::sequence(kind == "TupleValue", list.items.clone(), list.complete),
        ),
        ("DictValue", data @ Data::Dictionary(_)) => Some(data.clone()),
        _ => None,
    };
    match data {
        Some(data) => Possible {
            data,
            span: default.span,
            origin: weaker(&origin, &default.origin),
            when: at.when.or(default.when),
        },
        None => unknown(),
    }
}

/// The entries of a list that a variable holds.
fn items(text: &str, from: &Possible) -> Data {
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let items = parts.map(|part| vec![from.with(Data::text(part))]);
    Data::sequence(false, items.collect(), true)
}

//! What a server's entry module runs before Django is set up: which imports reach models then,
//! and which names its imports ask for.
//!
//! django/db/models/base.py, ModelBase.__new__ asks the registry for the app of every model that
//! is defined, and django/apps/registry.py raises AppRegistryNotReady until `django.setup()`,
//! which `get_asgi_application()` calls, has run.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::command::Command;
use super::data::{Data, certain};
use super::evaluate::Program;
use super::modules::Found;
use super::routes::Application;
use super::syntax::{Action, Expression, ImportedName, Kind, ModuleName, Statement};
use crate::project::Project;
use crate::source::{SourceId, Span};

/// Modules on one way through imports.
const MAX_CHAIN: usize = 64;
/// Modules that are looked at for one entry.
const MAX_MODULES: usize = 2000;

/// What loading a module does.
#[derive(Clone, Debug, Default)]
pub struct Startup {
    /// The imports that lead to a model before Django is set up, the entry's first, and what
    /// is there.
    pub reaches_models: Option<Reached>,
    /// Names of packages outside the project that are imported on the way, unconditionally.
    pub imports: Vec<Imported>,
}

/// A way to a model.
#[derive(Clone, Debug)]
pub struct Reached {
    /// The imports, the entry's first.
    pub through: Vec<Span>,
    /// What needs the registry.
    pub at: Span,
    /// What that is.
    pub what: Needs,
}

/// What needs Django's registry of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// A model is defined.
    Model,
    /// Django's own models are imported.
    Import,
    /// `get_user_model()` is called.
    User,
}

/// A name that is imported from a package.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The package's module.
    pub module: String,
    /// The name; empty for `import module`.
    pub name: String,
    /// The statement.
    pub span: Span,
}

/// What loading does in each module that may be a server's entry.
pub(super) fn find(
    project: &Project,
    program: &Program<'_>,
    applications: &[Application],
    commands: &[Command],
) -> BTreeMap<SourceId, Startup> {
    let mut entries: HashSet<SourceId> = applications
        .iter()
        .map(|application| application.source)
        .collect();
    let targets = commands
        .iter()
        .filter(|command| command.speaks_asgi())
        .filter_map(|command| command.target.as_ref());
    let modules: BTreeSet<&str> = targets
        .map(|target| target.text.split(':').next().unwrap_or_default())
        .collect();
    for module in modules {
        entries.extend(program.modules.named(module).iter().map(|source| source.id));
    }
    entries
        .into_iter()
        .filter(|source| !project.source(*source).is_template())
        .map(|source| {
            let mut walk = Walk {
                program,
                seen: HashSet::from([source]),
                chain: Vec::new(),
                set_up: false,
                startup: Startup::default(),
            };
            walk.module(source);
            (source, walk.startup)
        })
        .collect()
}

struct Walk<'a> {
    program: &'a Program<'a>,
    seen: HashSet<SourceId>,
    chain: Vec<Span>,
    set_up: bool,
    startup: Startup,
}

impl Walk<'_> {
    fn module(&mut self, source: SourceId) {
        for statement in self.program.statements(source) {
            self.statement(source, statement);
        }
    }

    fn reach(&mut self, at: Span, what: Needs) {
        if !self.set_up && self.startup.reaches_models.is_none() {
            self.startup.reaches_models = Some(Reached {
                through: self.chain.clone(),
                at,
                what,
            });
        }
    }

    fn statement(&mut self, source: SourceId, statement: &Statement) {
        match &statement.action {
            Action::Import(modules) => {
                for module in modules {
                    self.outside(&module.path, "", statement.span);
                    let whole = ModuleName {
                        level: 0,
                        path: module.path.clone(),
                        span: statement.span,
                    };
                    self.follow(source, &whole, &[], statement.span);
                }
            }
            Action::ImportFrom { module, names } => {
                let names = names.as_deref().unwrap_or_default();
                if module.level == 0 {
                    for name in names {
                        self.outside(&module.path, &name.name, statement.span);
                    }
                }
                self.follow(source, module, names, statement.span);
            }
            Action::Class { name, .. } => {
                let base = self
                    .program
                    .module(source)
                    .and_then(|module| module.get(name))
                    .and_then(|binding| certain(&binding.values))
                    .and_then(|value| match &value.data {
                        Data::Class(class) => Some(class.bases.clone()),
                        _ => None,
                    });
                let is_model = base.into_iter().flatten().any(|base| {
                    certain(&base).is_some_and(|base| match &base.data {
                        Data::External(path) => &**path == "django.db.models.Model",
                        _ => false,
                    })
                });
                if is_model {
                    self.reach(statement.span, Needs::Model);
                }
            }
            Action::Assign { value, .. } => self.evaluate(source, value, statement.span),
            Action::Evaluate(value) => {
                self.evaluate(source, value, statement.span);
                // What a call of unknown effect does may be just that.
                if !self.is_plain_effect(source, value) {
                    self.set_up = true;
                }
            }
            // What runs there depends on tests, and may well be `django.setup()`.
            Action::If(_) | Action::Try { .. } | Action::Loop { .. } | Action::Block(_)
                if self.sets_up(statement.span) =>
            {
                self.set_up = true;
            }
            _ => {}
        }
    }

    fn sets_up(&self, span: Span) -> bool {
        let text = self.program.slice(span);
        [
            "setup(",
            "get_asgi_application(",
            "get_wsgi_application(",
            "get_default_application(",
        ]
        .iter()
        .any(|call| text.contains(call))
    }

    fn evaluate(&mut self, source: SourceId, value: &Expression, span: Span) {
        if self.sets_up(span) {
            self.set_up = true;
            return;
        }
        let Kind::Call { function, .. } = &value.kind else {
            return;
        };
        let Kind::Name(name) = &function.kind else {
            return;
        };
        let binding = self
            .program
            .module(source)
            .and_then(|module| module.get(name));
        match binding
            .and_then(|binding| certain(&binding.values))
            .map(|value| &value.data)
        {
            Some(Data::External(path)) if &**path == "django.contrib.auth.get_user_model" => {
                self.reach(span, Needs::User);
            }
            // The project's own function may set Django up.
            Some(Data::Function(_) | Data::Unknown(_)) => self.set_up = true,
            _ => {}
        }
    }

    /// Whether an expression for its effect is one that is known not to set Django up.
    fn is_plain_effect(&self, source: SourceId, value: &Expression) -> bool {
        const PLAIN: &[&str] = &[
            "os",
            "sys",
            "logging",
            "dotenv",
            "warnings",
            "environ",
            "print",
            "asyncio",
            "mimetypes",
        ];
        let mut at = value;
        loop {
            match &at.kind {
                Kind::Call { function, .. } => at = function,
                Kind::Attribute(object, _) | Kind::Subscript(object, _) => at = object,
                Kind::Name(name) => {
                    let binding = self
                        .program
                        .module(source)
                        .and_then(|module| module.get(name))
                        .and_then(|binding| certain(&binding.values));
                    return match binding.map(|value| &value.data) {
                        Some(Data::External(path)) => {
                            let top = path.split('.').next().unwrap_or_default();
                            PLAIN.contains(&top)
                        }
                        Some(data) => data.is_plain(),
                        None => PLAIN.contains(&name.as_str()),
                    };
                }
                Kind::Text(_) | Kind::None => return true,
                _ => return false,
            }
        }
    }

    fn outside(&mut self, module: &str, name: &str, span: Span) {
        if self.startup.imports.len() < MAX_MODULES {
            self.startup.imports.push(Imported {
                module: module.to_owned(),
                name: name.to_owned(),
                span,
            });
        }
        // django-configurations makes an application of its own when one of these is imported
        // (configurations/asgi.py and wsgi.py).
        if matches!(module, "configurations.asgi" | "configurations.wsgi") {
            self.set_up = true;
        }
        let own = module.strip_prefix("django.contrib.").is_some_and(|rest| {
            matches!(
                rest,
                "auth.models" | "contenttypes.models" | "sessions.models" | "sites.models"
            )
        });
        if own {
            self.reach(span, Needs::Import);
        }
    }

    fn follow(&mut self, from: SourceId, module: &ModuleName, names: &[ImportedName], span: Span) {
        let modules = &self.program.modules;
        let Found::Here(at) = modules.find(from, module.level, &module.path) else {
            return;
        };
        let mut paths = vec![at.clone()];
        let defines = |name: &str| {
            modules
                .source(&at)
                .and_then(|source| self.program.module(source.id))
                .is_some_and(|module| module.get(name).is_some())
        };
        paths.extend(
            names
                .iter()
                .filter(|name| !defines(&name.name))
                .map(|name| format!("{at}/{}", name.name)),
        );
        for path in paths {
            let Some(source) = self.program.modules.source(&path) else {
                continue;
            };
            let id = source.id;
            if self.seen.len() > MAX_MODULES
                || self.chain.len() >= MAX_CHAIN
                || !self.seen.insert(id)
            {
                continue;
            }
            self.chain.push(span);
            self.module(id);
            self.chain.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Model;
    use super::*;

    fn reached(asgi: &str, models: &str) -> bool {
        let asgi = format!("{asgi}\napplication = ProtocolTypeRouter({{}})\n");
        let files = [
            ("p/asgi.py", asgi.as_str()),
            ("chat/routing.py", "from . import consumers\nurls = []\n"),
            (
                "chat/consumers.py",
                "from channels.generic.websocket import WebsocketConsumer\nfrom .models import Room\n",
            ),
            ("chat/models.py", models),
            ("p/prepare.py", "import django\ndjango.setup()\n"),
        ];
        let project = Project::in_memory(files).unwrap();
        let model = Model::resolve(&project);
        let asgi = project.by_path("p/asgi.py").unwrap().id;
        model
            .startup(asgi)
            .is_some_and(|startup| startup.reaches_models.is_some())
    }

    #[test]
    fn models_are_reached_through_imports_before_the_set_up() {
        let model = "from django.db import models\nclass Room(models.Model): pass\n";
        let user = "from django.contrib.auth import get_user_model\nUser = get_user_model()\n";
        let head = "from channels.routing import ProtocolTypeRouter\nfrom django.core.asgi import get_asgi_application\nimport os\n";
        let early = format!(
            "{head}os.environ.setdefault('A', 'b')\nimport chat.routing\ndjango = get_asgi_application()"
        );
        let late = format!("{head}django = get_asgi_application()\nimport chat.routing");
        for (asgi, models, expected) in [
            (&early, model, true),
            (&early, user, true),
            (
                &early,
                "from django.contrib.auth.models import User\n",
                true,
            ),
            (&early, "class Room: pass\n", false),
            (
                &early,
                "def f():\n    from django.contrib.auth.models import User\n",
                false,
            ),
            (&late, model, false),
            (
                &format!("{head}import p.prepare\nimport chat.routing"),
                model,
                false,
            ),
            (
                &format!("{head}from own import prepare\nprepare()\nimport chat.routing"),
                model,
                false,
            ),
            (
                &format!("{head}if x:\n    import django\n    django.setup()\nimport chat.routing"),
                model,
                false,
            ),
            (
                &format!(
                    "{head}from configurations.asgi import get_asgi_application\nimport chat.routing"
                ),
                model,
                false,
            ),
        ] {
            assert_eq!(reached(asgi, models), expected, "{asgi} {models}");
        }
    }
}

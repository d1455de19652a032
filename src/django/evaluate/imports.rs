//! What imports bind: modules of the project, names of them, and what is not here.

use std::sync::Arc;

use super::Open;
use super::statements::Frame;
use crate::django::data::{Data, Possible, Values};
use crate::django::modules::Found;
use crate::django::syntax;
use crate::source::Span;

impl Frame<'_, '_> {
    pub(super) fn import(&mut self, module: &syntax::ImportedModule, span: Span) {
        let (name, path) = match &module.alias {
            Some(alias) => (alias.as_str(), module.path.as_str()),
            // `import a.b` binds `a`.
            None => {
                let top = module.path.split('.').next().unwrap_or_default();
                (top, top)
            }
        };
        let data = match self.program.modules.find(self.source, 0, path) {
            Found::Here(at) => Data::Module(at.as_str().into()),
            Found::Outside => Data::External(path.into()),
            Found::Missing => Data::unknown("its module is not in the project"),
        };
        self.bind(name, vec![Possible::literal(data, span)], span);
    }

    pub(super) fn import_from(
        &mut self,
        module: &syntax::ModuleName,
        names: Option<&[syntax::ImportedName]>,
        span: Span,
    ) {
        let found = self
            .program
            .modules
            .find(self.source, module.level, &module.path);
        let Some(names) = names else {
            return self.import_star(module, &found);
        };
        for name in names {
            let values = match &found {
                Found::Here(at) => self.member(at, &name.name, span),
                Found::Outside => {
                    let path = format!("{}.{}", module.path, name.name);
                    vec![Possible::literal(
                        Data::External(path.as_str().into()),
                        span,
                    )]
                }
                Found::Missing => vec![Possible::unknown("its module is not in the project", span)],
            };
            self.bind(&name.alias, values, span);
        }
    }

    fn import_star(&mut self, module: &syntax::ModuleName, found: &Found) {
        match found {
            // Nothing that Django's own modules export is a setting that we read.
            Found::Outside if module.path.starts_with("django.") => return,
            Found::Here(at) => {
                if let Some(source) = self.program.modules.source(at)
                    && let Some(evaluated) = self.program.module(source.id)
                {
                    self.stars.push(source.id);
                    self.spend(evaluated.names.len() + evaluated.opens.len());
                    let mut public: Vec<_> = evaluated
                        .names
                        .iter()
                        .filter(|(name, _)| !name.starts_with('_'))
                        .collect();
                    public.sort_by_key(|(_, binding)| binding.order);
                    for (name, binding) in public {
                        // What was uncertain there is uncertain here.
                        let doubt = evaluated.reopened(binding).cloned().map(Arc::new);
                        self.bind_doubtful(name, binding.values.clone(), binding.target, doubt);
                        self.keep_history(name, binding);
                    }
                    for open in &evaluated.opens {
                        // Names of which nothing was seen may come from there.
                        self.opens.push(Open {
                            order: 0,
                            ..open.clone()
                        });
                    }
                    return;
                }
            }
            Found::Outside | Found::Missing => {}
        }
        let dots = ".".repeat(module.level);
        self.reopen(
            module.span,
            format!(
                "`from {dots}{} import *` brings in names from a file that is not in the project",
                module.path
            ),
        );
    }

    /// A name of a first-party module: what it binds, or a module below it.
    pub(super) fn member(&self, at: &str, name: &str, span: Span) -> Values {
        let modules = &self.program.modules;
        let source = modules.source(at);
        let evaluated = source.and_then(|source| self.program.module(source.id));
        if let Some(binding) = evaluated.and_then(|module| module.get(name)) {
            return binding.values.clone();
        }
        let below = format!("{at}/{name}");
        if modules.exists(&below) {
            return vec![Possible::literal(Data::Module(below.as_str().into()), span)];
        }
        vec![Possible::unknown(
            "its module does not define it plainly",
            span,
        )]
    }
}

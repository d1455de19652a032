//! Queries of Django's ORM that `async def connect` makes without a thread for them.
//!
//! django/db/backends/base/base.py: a connection's `cursor()` is `async_unsafe`, so that it raises
//! SynchronousOnlyOperation where an event loop runs (django/utils/asyncio.py), unless
//! DJANGO_ALLOW_ASYNC_UNSAFE is set.

use super::super::data::{Data, certain};
use super::super::evaluate::Program;
use super::super::syntax::{Action, Argument, Expression, Function, Kind};
use crate::source::Span;

/// Methods of a manager or query set that ask the database at once (django/db/models/query.py).
const EAGER: &[&str] = &[
    "aggregate",
    "bulk_create",
    "bulk_update",
    "count",
    "create",
    "delete",
    "earliest",
    "exists",
    "first",
    "get",
    "get_or_create",
    "in_bulk",
    "last",
    "latest",
    "update",
    "update_or_create",
];
/// Methods that make another query set of it.
const LAZY: &[&str] = &[
    "all",
    "exclude",
    "filter",
    "order_by",
    "prefetch_related",
    "select_related",
];
/// What a query is made of: a chain that people write.
const MAX_CHAIN: usize = 16;

/// The first query that surely runs before `connect` accepts or closes.
pub(super) fn first(program: &Program<'_>, connect: &Function) -> Option<Span> {
    for statement in &connect.body {
        let value = match &statement.action {
            Action::Assign { value, .. } | Action::Evaluate(value) => value,
            Action::Nothing | Action::Import(_) | Action::ImportFrom { .. } => continue,
            _ => return None,
        };
        let value = match &value.kind {
            Kind::Await(inner) => inner,
            _ => value,
        };
        if is_query(program, connect, value) {
            return (!program.mentions("DJANGO_ALLOW_ASYNC_UNSAFE")).then_some(value.span);
        }
        if let Kind::Call { function, .. } = &value.kind
            && let Kind::Attribute(_, method) = &function.kind
            && ["accept", "close", "connect"].contains(&method.as_str())
        {
            return None;
        }
    }
    None
}

/// `Room.objects.filter(…).first()`, `get_object_or_404(Room, …)`.
fn is_query(program: &Program<'_>, connect: &Function, value: &Expression) -> bool {
    let Kind::Call {
        function,
        arguments,
    } = &value.kind
    else {
        return false;
    };
    if let Kind::Name(name) = &function.kind {
        let [Argument::Positional(first), ..] = arguments.as_slice() else {
            return false;
        };
        let shortcut = global(program, connect, value.span, name);
        let is_shortcut = matches!(shortcut, Some(Data::External(path)) if &**path == "django.shortcuts.get_object_or_404");
        return is_shortcut && is_model(program, connect, first);
    }
    let Kind::Attribute(object, method) = &function.kind else {
        return false;
    };
    if !EAGER.contains(&method.as_str()) {
        return false;
    }
    let mut at = &**object;
    for _ in 0..MAX_CHAIN {
        match &at.kind {
            Kind::Call { function, .. } => match &function.kind {
                Kind::Attribute(object, method) if LAZY.contains(&method.as_str()) => at = object,
                _ => return false,
            },
            Kind::Attribute(model, manager) => {
                return manager == "objects" && is_model(program, connect, model);
            }
            _ => return false,
        }
    }
    false
}

/// Whether an expression names a model whose `objects` is Django's own manager.
fn is_model(program: &Program<'_>, connect: &Function, value: &Expression) -> bool {
    let Kind::Name(name) = &value.kind else {
        return false;
    };
    let Some(mut at) = global(program, connect, value.span, name) else {
        return false;
    };
    for _ in 0..MAX_CHAIN {
        match at {
            Data::Class(class) => {
                if class.attribute("objects").is_some() {
                    return false;
                }
                let [base] = class.bases.as_slice() else {
                    return false;
                };
                match certain(base) {
                    Some(base) => at = &base.data,
                    None => return false,
                }
            }
            Data::External(path) => {
                return matches!(
                    &**path,
                    "django.db.models.Model"
                        | "django.contrib.auth.models.AbstractBaseUser"
                        | "django.contrib.auth.models.AbstractUser"
                        | "django.contrib.auth.models.Group"
                        | "django.contrib.auth.models.User"
                        | "django.contrib.sessions.models.Session"
                );
            }
            // The project's user model, which may have a manager of its own.
            _ => return false,
        }
    }
    false
}

/// What a name of the module stands for in `connect`, which does not bind it itself.
fn global<'a>(
    program: &'a Program<'_>,
    connect: &Function,
    at: Span,
    name: &str,
) -> Option<&'a Data> {
    let binding = program.module(at.source)?.get(name)?;
    let is_own = connect.parameters.iter().any(|parameter| parameter == name)
        || super::any(&connect.body, &mut |statement| match &statement.action {
            Action::Assign { targets, .. } => targets
                .iter()
                .any(|target| matches!(&target.kind, Kind::Name(own) if own == name)),
            Action::ImportFrom { names, .. } => {
                names.iter().flatten().any(|import| import.alias == name)
            }
            _ => false,
        });
    (!is_own).then_some(&certain(&binding.values)?.data)
}

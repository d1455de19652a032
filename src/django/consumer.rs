//! What a consumer does with a handshake, as far as its code shows it.
//!
//! channels/generic/websocket.py: `websocket_connect` calls `connect()`, whose default accepts. A
//! `connect()` that neither accepts nor closes leaves the handshake open: daphne resets it after
//! five seconds, uvicorn waits as long as the client does.

mod ends;
mod queries;

use super::data::{Class, Data, Possible, certain};
use super::evaluate::{Program, is_development};
use super::syntax::{Action, Statement};
use crate::project::Project;
use crate::source::Span;

/// Classes that are looked at above one consumer.
const MAX_BASES: usize = 16;

/// What a consumer does with a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connect {
    /// It accepts, or may; nothing shows that it does not.
    Accepts,
    /// It never does.
    Never {
        /// The name of its `connect`.
        at: Span,
        /// Why.
        why: Never,
    },
    /// Not a consumer whose code is here.
    Unknown,
}

/// A consumer's class.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// Its statement.
    pub span: Span,
    /// What it needs a channel layer for before it accepts: the bytes that use it.
    pub needs_layer: Option<Span>,
    /// Whether nothing in its code speaks of a channel layer.
    pub needs_none: bool,
}

/// The consumers of a project; those of its tests are none.
pub fn find(project: &Project, program: &Program<'_>) -> Vec<Consumer> {
    let mut found = Vec::new();
    for (source, module) in program.all() {
        let path = &project.source(source).path;
        if path.split('/').any(is_development) {
            continue;
        }
        for (name, binding) in module.names() {
            let Some(possible) = certain(&binding.values) else {
                continue;
            };
            let Data::Class(class) = &possible.data else {
                continue;
            };
            let is_it = is_consumer(class) || is_raw(class);
            if class.source != source || possible.span.source != source || !is_it {
                continue;
            }
            found.push(Consumer {
                name: name.clone(),
                span: possible.span,
                needs_layer: needs_layer(program, class),
                needs_none: needs_none(program, possible),
            });
        }
    }
    found.sort_by_key(|consumer| consumer.span);
    found.dedup_by_key(|consumer| consumer.span);
    found
}

fn is_consumer(class: &std::sync::Arc<Class>) -> bool {
    lineage(class).is_some_and(|(_, base)| is_asynchronous(&base).is_some())
}

/// Whether a class descends from the consumers below those of WebSockets, which answer on a level
/// of their own.
fn is_raw(class: &Class) -> bool {
    let mut bases = class.bases.as_slice();
    for _ in 0..MAX_BASES {
        let [base] = bases else { return false };
        match certain(base).map(|base| &base.data) {
            Some(Data::Class(class)) => bases = &class.bases,
            Some(Data::External(path)) => {
                return matches!(
                    &**path,
                    "channels.consumer.AsyncConsumer" | "channels.consumer.SyncConsumer"
                );
            }
            _ => return false,
        }
    }
    false
}

/// Whether neither a consumer nor what it descends from in the project mentions a layer or groups.
fn needs_none(program: &Program<'_>, consumer: &Possible) -> bool {
    let mut at = consumer;
    for _ in 0..MAX_BASES {
        let Data::Class(class) = &at.data else {
            return matches!(at.data, Data::External(_));
        };
        let text = program.slice(at.span);
        if ["channel_layer", "groups"]
            .iter()
            .any(|word| text.contains(word))
        {
            return class.attribute("groups").is_some_and(|groups| {
                let empty = certain(&groups.values).and_then(|groups| groups.data.truth());
                empty == Some(false) && !text.contains("channel_layer")
            });
        }
        match class.bases.as_slice() {
            [base] => match certain(base) {
                Some(base) => at = base,
                None => return false,
            },
            _ => return false,
        }
    }
    false
}

/// The use of `self.channel_layer` in `connect()`, or a list of groups that Channels joins there
/// (channels/generic/websocket.py, websocket_connect).
fn needs_layer(program: &Program<'_>, class: &std::sync::Arc<Class>) -> Option<Span> {
    let (classes, _) = lineage(class)?;
    let attribute = |name: &str| classes.iter().find_map(|class| class.attribute(name));
    if attribute("channel_layer").is_some() || attribute("channel_layer_alias").is_some() {
        return None;
    }
    if let Some(groups) = attribute("groups").and_then(|groups| certain(&groups.values))
        && matches!(&groups.data, Data::Sequence(list) if !list.items.is_empty())
    {
        return Some(groups.span);
    }
    let connect = certain(&attribute("connect")?.values)?;
    let function = program.function(connect.span)?;
    let text = program.slice(connect.span);
    // Inside a branch or after a `try` it may never run, or may fail without a word.
    let mut found = None;
    for statement in &function.body {
        let here = match statement.action {
            Action::Assign { .. } | Action::Evaluate(_) => program.slice(statement.span),
            Action::Nothing => continue,
            Action::Import(_) | Action::ImportFrom { .. } => continue,
            _ => break,
        };
        if let Some(at) = here.find("self.channel_layer.group_") {
            let start = statement.span.start as usize + at;
            found = Some(Span::new(
                statement.span.source,
                start..start + "self.channel_layer".len(),
            ));
            break;
        }
    }
    found.filter(|_| !text.contains("channel_layer =") && !text.contains("channel_layer is"))
}

/// Why a consumer never accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Never {
    /// No way through `connect()` accepts, and some way does not close either.
    NotCalled,
    /// `self.accept()` in `async def connect` makes a coroutine, which nobody awaits.
    NotAwaited(Span),
    /// `async def connect` in a consumer that calls it without awaiting it.
    Asynchronous,
    /// `def connect` in a consumer that awaits what it returns: None, so a TypeError and 500.
    Synchronous,
    /// Every way through `connect()` raises an error by which nobody refuses: 500.
    Raises(Span),
    /// A query of Django's ORM on every way through `async def connect`: SynchronousOnlyOperation
    /// and 500.
    Queries(Span),
    /// Every way through `connect()` closes or raises.
    Refuses {
        /// The first of them.
        by: Span,
        /// What the client gets, where all ways agree.
        status: Option<u16>,
        /// What shows that it is not meant to refuse everybody.
        meant: Option<Meant>,
    },
}

/// What shows that a consumer is meant to serve somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// It accepts, where the handshake is already refused.
    Accepts(Span),
    /// It handles messages, which come only after a handshake was accepted.
    Receives(Span),
}

impl Never {
    /// What the client gets; `None` where it waits, or the connection is reset.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Synchronous | Self::Raises(_) | Self::Queries(_) => Some(500),
            Self::Refuses { status, .. } => *status,
            _ => None,
        }
    }
}

/// What the consumer behind a route's target does.
pub fn connect(program: &Program<'_>, target: &Possible) -> Connect {
    match class_of(target) {
        Some(class) => judge(program, &class).unwrap_or(Connect::Unknown),
        None => Connect::Unknown,
    }
}

/// The class in `Consumer.as_asgi()`, `Consumer()` or `Consumer`, through Channels' wrappers.
pub fn class_of(target: &Possible) -> Option<std::sync::Arc<Class>> {
    let mut at = target.clone();
    for _ in 0..MAX_BASES {
        match &at.data {
            Data::Class(class) => return Some(class.clone()),
            Data::Call(call) => {
                if let Data::Attribute(attribute) = &call.function.data
                    && attribute.name == "as_asgi"
                {
                    return match &attribute.object {
                        Data::Class(class) => Some(class.clone()),
                        _ => None,
                    };
                }
                // An instance of the consumer, which takes a scope as its class's `as_asgi()` does.
                if let Data::Class(class) = &call.function.data
                    && is_consumer(class)
                {
                    return Some(class.clone());
                }
                if !call.function.data.symbol().starts_with("channels.") {
                    return None;
                }
                at = certain(call.positional.first()?)?.clone();
            }
            _ => return None,
        }
    }
    None
}

/// The classes from a consumer to Channels' own, in the order in which a method is looked up,
/// and the name of that; `None` where something unknown is among them.
fn lineage(class: &std::sync::Arc<Class>) -> Option<(Vec<std::sync::Arc<Class>>, String)> {
    let mut classes = vec![class.clone()];
    for _ in 0..MAX_BASES {
        let last = classes.last()?.clone();
        let [base] = last.bases.as_slice() else {
            return None;
        };
        match &certain(base)?.data {
            Data::Class(class) => classes.push(class.clone()),
            Data::External(path) => {
                let name = path.strip_prefix("channels.generic.websocket.")?;
                return Some((classes, name.to_owned()));
            }
            _ => return None,
        }
    }
    None
}

/// Whether a class descends from one of Channels' consumers that await their `connect()`.
fn is_asynchronous(base: &str) -> Option<bool> {
    match base {
        "WebsocketConsumer" | "JsonWebsocketConsumer" => Some(false),
        "AsyncWebsocketConsumer" | "AsyncJsonWebsocketConsumer" => Some(true),
        _ => None,
    }
}

fn judge(program: &Program<'_>, class: &std::sync::Arc<Class>) -> Option<Connect> {
    let (classes, base) = lineage(class)?;
    let asynchronous = is_asynchronous(&base)?;
    let own = |name: &str| classes.iter().any(|class| class.attribute(name).is_some());
    // It answers on a level of its own.
    if [
        "__call__",
        "__init__",
        "__getattribute__",
        "websocket_connect",
        "dispatch",
        "as_asgi",
    ]
    .iter()
    .any(|name| own(name))
    {
        return None;
    }
    let Some(attribute) = classes.iter().find_map(|class| class.attribute("connect")) else {
        return Some(Connect::Accepts);
    };
    let possible = certain(&attribute.values)?;
    if !matches!(possible.data, Data::Function(_)) {
        return None;
    }
    let function = program.function(possible.span)?;
    let never = |why| {
        Some(Connect::Never {
            at: possible.span,
            why,
        })
    };
    match (asynchronous, function.asynchronous) {
        (false, true) => return never(Never::Asynchronous),
        // What it returns may be awaitable.
        (true, false) if !returns(&function.body) => return never(Never::Synchronous),
        (true, false) => return None,
        _ => {}
    }
    if asynchronous && let Some(query) = queries::first(program, function) {
        return never(Never::Queries(query));
    }
    let owner = classes
        .iter()
        .position(|class| class.attribute("connect").is_some())?;
    let base_accepts = classes[owner + 1..]
        .iter()
        .all(|class| class.attribute("connect").is_none());
    let ends = ends::ends(program, function, asynchronous, base_accepts);
    if ends.accepts || ends.unknown {
        return Some(Connect::Accepts);
    }
    let receives = || {
        let handlers = ["receive", "receive_json", "websocket_receive"];
        classes
            .iter()
            .find_map(|class| handlers.iter().find_map(|name| class.attribute(name)))
            .map(|handler| Meant::Receives(handler.target))
    };
    never(match (ends.silent, ends.unawaited, ends.by) {
        (true, Some(at), _) => Never::NotAwaited(at),
        (true, None, _) | (false, _, None) => Never::NotCalled,
        (false, _, Some(by)) if ends.raises && !ends.refuses && !ends.may_refuse => {
            Never::Raises(by)
        }
        (false, _, Some(by)) => Never::Refuses {
            by,
            status: match (ends.refuses, ends.raises) {
                (true, false) => Some(403),
                (false, true) => Some(500),
                _ => None,
            },
            meant: ends.late.map(Meant::Accepts).or_else(receives),
        },
    })
}

/// Whether some `return` in the statements, not in functions of theirs, has a value.
fn returns(statements: &[Statement]) -> bool {
    any(statements, &mut |statement| {
        matches!(statement.action, Action::Return(Some(_)))
    })
}

/// Whether a statement, or one inside it, satisfies the test. The depth is the syntax tree's.
fn any(statements: &[Statement], test: &mut impl FnMut(&Statement) -> bool) -> bool {
    statements.iter().any(|statement| {
        test(statement)
            || statement
                .action
                .blocks()
                .into_iter()
                .any(|body| any(body, test))
    })
}

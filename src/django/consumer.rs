//! What a consumer does with a handshake, as far as its code shows it.
//!
//! channels/generic/websocket.py: `websocket_connect` calls `connect()`, whose default accepts. A
//! `connect()` that neither accepts nor closes leaves the handshake open: daphne resets it after
//! five seconds, uvicorn waits as long as the client does.

use super::data::{Class, Data, Possible, certain};
use super::evaluate::{Program, is_development};
use super::syntax::{Action, Expression, Function, Kind, Statement};
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
            if class.source != source || possible.span.source != source || !is_consumer(class) {
                continue;
            }
            found.push(Consumer {
                name: name.clone(),
                span: possible.span,
                needs_layer: needs_layer(program, class),
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
    /// Nothing in `connect()` accepts or closes.
    NotCalled,
    /// `self.accept()` in `async def connect` makes a coroutine, which nobody awaits.
    NotAwaited(Span),
    /// `async def connect` in a consumer that calls it without awaiting it.
    Asynchronous,
    /// `def connect` in a consumer that awaits what it returns: None, so a TypeError and 500.
    Synchronous,
}

impl Never {
    /// What the client gets; `None` where it waits, or the connection is reset.
    pub fn status(&self) -> Option<u16> {
        (*self == Self::Synchronous).then_some(500)
    }
}

/// What the consumer behind a route's target does.
pub fn connect(program: &Program<'_>, target: &Possible) -> Connect {
    match class_of(target) {
        Some(class) => judge(program, &class).unwrap_or(Connect::Unknown),
        None => Connect::Unknown,
    }
}

/// The class in `Consumer.as_asgi()` or `Consumer`, through Channels' wrappers.
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
    let text = program.slice(possible.span);
    if let Some(at) = only_unawaited(function, asynchronous, text) {
        return never(Never::NotAwaited(at));
    }
    if is_silent(function, text) {
        return never(Never::NotCalled);
    }
    Some(Connect::Accepts)
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
            || match &statement.action {
                Action::If(branches) => branches.iter().any(|(_, body)| any(body, test)),
                Action::Try {
                    body,
                    handlers,
                    finally,
                } => {
                    any(body, test)
                        || handlers.iter().any(|body| any(body, test))
                        || any(finally, test)
                }
                Action::Loop { body, .. } | Action::Block(body) => any(body, test),
                _ => false,
            }
    })
}

/// The first `self.accept()` as a statement of its own in an asynchronous function, if nothing
/// else in it speaks of accepting.
fn only_unawaited(function: &Function, asynchronous: bool, text: &str) -> Option<Span> {
    if !asynchronous {
        return None;
    }
    let this = function.parameters.first()?;
    let mut found = Vec::new();
    any(&function.body, &mut |statement| {
        if let Action::Evaluate(Expression {
            kind: Kind::Call {
                function: method, ..
            },
            span,
        }) = &statement.action
            && let Kind::Attribute(object, name) = &method.kind
            && name == "accept"
            && matches!(&object.kind, Kind::Name(name) if name == this)
        {
            found.push(*span);
        }
        false
    });
    let mentions = text.matches("accept").count();
    let quiet = !text.contains("super") && !hands_on(text, this, &["accept"]);
    (mentions == found.len() && quiet)
        .then(|| found.first().copied())
        .flatten()
}

/// Whether nothing in the function could accept, close or fail.
fn is_silent(function: &Function, text: &str) -> bool {
    let Some(this) = function.parameters.first() else {
        return false;
    };
    ["accept", "close", "raise", "super", "Deny", "assert"]
        .iter()
        .all(|word| !text.contains(word))
        && !hands_on(text, this, &[])
}

/// Whether the consumer itself, or one of its methods that may do anything, is used: what Channels
/// defines for other purposes, and plain attributes, are not.
fn hands_on(text: &str, this: &str, more: &[&str]) -> bool {
    const HARMLESS: &[&str] = &["channel_layer", "channel_name", "scope", "groups"];
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    // The signature names it once.
    let mut uses = text.match_indices(this).filter(|(at, _)| {
        !text[..*at].ends_with(is_word) && !text[at + this.len()..].starts_with(is_word)
    });
    uses.next();
    uses.any(|(at, _)| {
        let Some(rest) = text[at + this.len()..].strip_prefix('.') else {
            return true;
        };
        let end = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
        let called = rest[end..].trim_start().starts_with('(');
        let name = &rest[..end];
        called && !HARMLESS.contains(&name) && !more.contains(&name)
    })
}

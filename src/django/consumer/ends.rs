//! How a consumer's `connect()` may end: every way through its statements, as far as they show.

use super::super::evaluate::Program;
use super::super::syntax::{Action, Expression, Function, Kind, Statement};
use super::any;
use crate::source::Span;

/// What may become of a handshake in `connect()`.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Some way accepts.
    pub(super) accepts: bool,
    /// Some way closes, which is 403 before the handshake is accepted.
    pub(super) refuses: bool,
    /// Some way raises, which is 500.
    pub(super) raises: bool,
    /// What some way raises may be meant as a refusal.
    pub(super) may_refuse: bool,
    /// The first statement that closes or raises.
    pub(super) by: Option<Span>,
    /// `accept()` that no way reaches before it closes or raises.
    pub(super) late: Option<Span>,
    /// Some way does neither.
    pub(super) silent: bool,
    /// Something else may accept or close: a method of its own, a function that gets the consumer.
    pub(super) unknown: bool,
    /// `self.accept()` that nobody awaits.
    pub(super) unawaited: Option<Span>,
}

/// A method that ends the handshake.
enum Method {
    Accept,
    Close,
    Base,
}

struct Walk<'a> {
    program: &'a Program<'a>,
    this: &'a str,
    asynchronous: bool,
    /// Whether what `super().connect()` calls is Channels' own, which accepts.
    base_accepts: bool,
    ends: Ends,
}

/// How `connect` ends. `base_accepts` says whether what it overrides is Channels' own.
pub(super) fn ends(
    program: &Program<'_>,
    connect: &Function,
    asynchronous: bool,
    base_accepts: bool,
) -> Ends {
    let Some(this) = connect.parameters.first() else {
        return Ends {
            unknown: true,
            ..Ends::default()
        };
    };
    let mut walk = Walk {
        program,
        this,
        asynchronous,
        base_accepts,
        ends: Ends::default(),
    };
    if walk.block(&connect.body) {
        walk.ends.silent = true;
    }
    walk.ends.late = walk.accept(&connect.body);
    walk.ends
}

impl Walk<'_> {
    /// Follows statements; false where each way through them ends. The depth is the syntax tree's.
    fn block(&mut self, statements: &[Statement]) -> bool {
        for statement in statements {
            if !self.statement(statement) {
                return false;
            }
        }
        true
    }

    fn statement(&mut self, statement: &Statement) -> bool {
        match &statement.action {
            Action::Evaluate(value) | Action::Assign { value, .. } => {
                return self.expression(value, statement.span);
            }
            Action::Return(Some(value)) => {
                if self.expression(value, statement.span) {
                    self.ends.silent = true;
                }
                return false;
            }
            Action::Return(None) => {
                self.ends.silent = true;
                return false;
            }
            Action::Raise(error) => {
                let name = error.as_ref().and_then(name);
                match name {
                    Some("DenyConnection") => self.ends.refuses = true,
                    Some("AcceptConnection") => self.ends.accepts = true,
                    // Ends the consumer without an answer: daphne resets, uvicorn says 500.
                    Some("StopConsumer") => (self.ends.refuses, self.ends.raises) = (true, true),
                    _ => self.ends.raises = true,
                }
                self.ends.may_refuse |= !name.is_some_and(|name| self.is_failure(name, statement));
                self.ends.by.get_or_insert(statement.span);
                return false;
            }
            Action::If(branches) => {
                let mut falls = branches.iter().all(|(test, _)| test.is_some());
                for (test, body) in branches {
                    if let Some(test) = test {
                        self.look(test.span);
                    }
                    falls |= self.block(body);
                }
                return falls;
            }
            Action::Try {
                body,
                handlers,
                finally,
            } => {
                let mut falls = self.block(body);
                for handler in handlers {
                    falls |= self.block(handler);
                }
                return self.block(finally) && falls;
            }
            Action::Loop { body, .. } => {
                let start = statement.span.start as usize;
                let end = body.first().map_or(statement.span, |first| first.span);
                let head = Span::new(statement.span.source, start..end.start as usize);
                self.look(head);
                self.block(body);
            }
            Action::Block(body) => {
                let start = statement.span.start as usize;
                let end = body.first().map_or(statement.span, |first| first.span);
                let head = Span::new(statement.span.source, start..end.start as usize);
                self.look(head);
                return self.block(body);
            }
            Action::Other if self.program.slice(statement.span).starts_with("assert") => {
                self.look(statement.span);
                self.ends.raises = true;
            }
            Action::Other | Action::Function(_) | Action::Class { .. } => {
                self.ends.unknown = true;
            }
            Action::Augment { .. } | Action::Delete(_) => self.look(statement.span),
            Action::Nothing | Action::Import(_) | Action::ImportFrom { .. } => {}
        }
        true
    }

    /// Follows a statement's value; false where it ends the handshake.
    fn expression(&mut self, value: &Expression, statement: Span) -> bool {
        let (call, awaited) = match &value.kind {
            Kind::Await(inner) => (&**inner, true),
            _ => (value, false),
        };
        let Some(method) = self.method(call) else {
            self.look(statement);
            return true;
        };
        // A coroutine that nobody awaits does nothing.
        if self.asynchronous && !awaited {
            if matches!(method, Method::Accept) {
                self.ends.unawaited.get_or_insert(call.span);
            }
            return true;
        }
        match method {
            Method::Accept => self.ends.accepts = true,
            Method::Close => {
                self.ends.refuses = true;
                self.ends.by.get_or_insert(call.span);
            }
            Method::Base if self.base_accepts => self.ends.accepts = true,
            Method::Base => self.ends.unknown = true,
        }
        false
    }

    /// The first `accept()` in the statements, whatever comes before it.
    fn accept(&self, statements: &[Statement]) -> Option<Span> {
        let mut found = None;
        any(statements, &mut |statement| {
            let (Action::Evaluate(value) | Action::Return(Some(value))) = &statement.action else {
                return false;
            };
            let call = match &value.kind {
                Kind::Await(call) => call,
                _ => value,
            };
            let accepts = match self.method(call) {
                Some(Method::Accept) => true,
                Some(Method::Base) => self.base_accepts,
                _ => false,
            };
            if accepts {
                found = Some(call.span);
            }
            accepts
        });
        found
    }

    /// Whether an exception is one of Python's own for what is wrong with the code, not with the
    /// client.
    fn is_failure(&self, name: &str, statement: &Statement) -> bool {
        const FAILURES: &[&str] = &[
            "AttributeError",
            "Exception",
            "IndexError",
            "KeyError",
            "LookupError",
            "NotImplementedError",
            "RuntimeError",
            "TypeError",
            "ValueError",
        ];
        let module = self.program.module(statement.span.source);
        FAILURES.contains(&name) && module.is_some_and(|module| module.get(name).is_none())
    }

    /// `self.accept()`, `self.close()`, `super().connect()`.
    fn method(&self, call: &Expression) -> Option<Method> {
        let Kind::Call { function, .. } = &call.kind else {
            return None;
        };
        let Kind::Attribute(object, method) = &function.kind else {
            return None;
        };
        match (&object.kind, method.as_str()) {
            (Kind::Name(name), "accept") if name == self.this => Some(Method::Accept),
            (Kind::Name(name), "close") if name == self.this => Some(Method::Close),
            (Kind::Call { function, .. }, "connect") if matches!(&function.kind, Kind::Name(name) if name == "super") => {
                Some(Method::Base)
            }
            _ => None,
        }
    }

    /// Looks whether something else gets hold of the consumer.
    fn look(&mut self, span: Span) {
        let text = self.program.slice(span);
        self.ends.unknown |= text.contains("super") || hands_on(text, self.this);
    }
}

/// The name of what is raised.
fn name(error: &Expression) -> Option<&str> {
    match &error.kind {
        Kind::Name(name) | Kind::Attribute(_, name) => Some(name),
        Kind::Call { function, .. } => match &function.kind {
            Kind::Name(name) | Kind::Attribute(_, name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the consumer itself, or one of its methods that may do anything, is used: what Channels
/// defines for other purposes, and plain attributes, are not.
fn hands_on(text: &str, this: &str) -> bool {
    const HARMLESS: &[&str] = &["channel_layer", "channel_name", "scope", "groups"];
    // Methods that somebody may call under another name.
    const ANSWERS: &[&str] = &["accept", "close", "send", "base_send", "dispatch"];
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let mut uses = text.match_indices(this).filter(|(at, _)| {
        !text[..*at].ends_with(is_word) && !text[at + this.len()..].starts_with(is_word)
    });
    uses.any(|(at, _)| {
        let Some(rest) = text[at + this.len()..].strip_prefix('.') else {
            return true;
        };
        let end = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
        let called = rest[end..].trim_start().starts_with('(');
        let name = &rest[..end];
        called && !HARMLESS.contains(&name) || ANSWERS.contains(&name)
    })
}

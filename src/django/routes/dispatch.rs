//! An application that is a function: it looks at `scope["type"]` and hands the scope on.

use crate::django::data::{Data, Possible, certain};
use crate::django::evaluate::Program;
use crate::django::syntax::{Action, Argument, Expression, Kind, Piece, Statement};

/// What a function hands a scope of type `websocket` to: `Some(None)` where it hands it to
/// nobody, `None` where that is no such function or can't be told.
pub(super) fn websocket(program: &Program<'_>, possible: &Possible) -> Option<Option<Possible>> {
    let Data::Function(_) = &possible.data else {
        return None;
    };
    let function = program.function(possible.span)?;
    let scope = function.parameters.first()?;
    if function.parameters.len() != 3 || function.decorated {
        return None;
    }
    match handed(program, possible, scope, &function.body)? {
        Handed::To(application) => Some(Some(application)),
        Handed::Nobody | Handed::On => Some(None),
    }
}

/// Where statements leave a scope of type `websocket`.
enum Handed {
    /// With this application.
    To(Possible),
    /// With nobody.
    Nobody,
    /// With what follows.
    On,
}

/// What statements do with such a scope; `None` where that can't be told.
fn handed(
    program: &Program<'_>,
    possible: &Possible,
    scope: &str,
    statements: &[Statement],
) -> Option<Handed> {
    let mut statements = statements
        .iter()
        .filter(|statement| !matches!(statement.action, Action::Nothing));
    while let Some(statement) = statements.next() {
        match &statement.action {
            Action::Raise(_) | Action::Return(None) => return Some(Handed::Nobody),
            Action::Return(Some(value)) => {
                return handed_to(program, possible, value, scope).map(Handed::To);
            }
            // What follows would get a scope that is used up: only the end is like a `return`.
            Action::Evaluate(value) => {
                let application = handed_to(program, possible, value, scope)?;
                return statements
                    .next()
                    .is_none()
                    .then_some(Handed::To(application));
            }
            Action::If(branches) => {
                let mut taken = None;
                for (test, body) in branches {
                    let takes = match test {
                        Some(test) => names_websocket(test, scope)?,
                        None => true,
                    };
                    if takes {
                        taken = Some(body);
                        break;
                    }
                }
                let Some(body) = taken else { continue };
                match handed(program, possible, scope, body)? {
                    Handed::On => {}
                    Handed::Nobody => return Some(Handed::Nobody),
                    Handed::To(application) => {
                        let returns = body
                            .last()
                            .is_some_and(|last| matches!(last.action, Action::Return(_)));
                        let ends = returns || statements.next().is_none();
                        return ends.then_some(Handed::To(application));
                    }
                }
            }
            _ => return None,
        }
    }
    Some(Handed::On)
}

/// Whether a test holds for `websocket`: `scope["type"] == "websocket"`; `None` for any other test.
fn names_websocket(test: &Expression, scope: &str) -> Option<bool> {
    let Kind::Binary {
        operator,
        left,
        right,
    } = &test.kind
    else {
        return None;
    };
    let Kind::Subscript(object, key) = &left.kind else {
        return None;
    };
    let is_type = matches!(&object.kind, Kind::Name(name) if name == scope)
        && text(key).is_some_and(|key| key == "type");
    if !is_type {
        return None;
    }
    match operator.as_str() {
        "==" => text(right).map(|kind| kind == "websocket"),
        "!=" => text(right).map(|kind| kind != "websocket"),
        "in" => match &right.kind {
            Kind::Sequence { items, .. } => {
                let mut found = false;
                for item in items {
                    let crate::django::syntax::Item::One(item) = item else {
                        return None;
                    };
                    found |= text(item)? == "websocket";
                }
                Some(found)
            }
            _ => None,
        },
        _ => None,
    }
}

fn text(expression: &Expression) -> Option<&str> {
    match &expression.kind {
        Kind::Text(pieces) => match pieces.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// The application in `await application(scope, receive, send)`.
fn handed_to(
    program: &Program<'_>,
    from: &Possible,
    value: &Expression,
    scope: &str,
) -> Option<Possible> {
    let Kind::Await(call) = &value.kind else {
        return None;
    };
    let Kind::Call {
        function,
        arguments,
    } = &call.kind
    else {
        return None;
    };
    let [Argument::Positional(first), _, _] = arguments.as_slice() else {
        return None;
    };
    if !matches!(&first.kind, Kind::Name(name) if name == scope) {
        return None;
    }
    let Kind::Name(name) = &function.kind else {
        return None;
    };
    let binding = program.module(from.span.source)?.get(name)?;
    certain(&binding.values).cloned()
}

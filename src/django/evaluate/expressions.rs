//! What expressions evaluate to.

use std::collections::{HashMap, HashSet};

use super::builtins::{binary, returned, size, subscript};
use super::environment::{Told, read_environment};
use super::methods::{changes, method_of};
use super::statements::Frame;
use super::{MAX_DEPTH, MAX_ITEMS, MAX_TEXT};
use crate::django::data::{Call, Data, Origin, Possible, Values, bounded, certain, join, weaker};
use crate::django::syntax::{Argument, Expression, Item, Kind, Piece};
use crate::source::Span;

/// Why what `%`, `format`, `str` or an f-string makes of a member of an Enum is not known.
const MEMBER: &str = "how a member of an Enum is written depends on the version of Python";

impl Frame<'_, '_> {
    /// Whether a test holds, where the code decides it.
    pub(super) fn test(&mut self, test: &Expression) -> Option<bool> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let holds = match &test.kind {
            Kind::Name(name) if name == "DEBUG" => Some(self.debug()),
            Kind::Not(inner) => self.test(inner).map(|holds| !holds),
            Kind::Binary {
                operator,
                left,
                right,
            } if operator == "and" => match (self.test(left), self.test(right)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Kind::Binary {
                operator,
                left,
                right,
            } if operator == "or" => match (self.test(left), self.test(right)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Kind::Binary {
                operator,
                left,
                right,
            } if matches!(&left.kind, Kind::Name(name) if name == "DEBUG")
                && matches!(operator.as_str(), "is" | "==" | "is not" | "!=") =>
            {
                match &right.kind {
                    Kind::Bool(value) => {
                        Some((self.debug() == *value) == matches!(operator.as_str(), "is" | "=="))
                    }
                    _ => None,
                }
            }
            _ => {
                let values = self.expression(test);
                holds(&values)
            }
        };
        self.depth -= 1;
        holds
    }

    /// DEBUG in production: what the code says literally, else False.
    pub(super) fn debug(&self) -> bool {
        self.lookup("DEBUG").is_some_and(|binding| {
            certain(&binding.values).is_some_and(|possible| {
                !possible.is_default()
                    && possible.when.is_none()
                    && matches!(possible.data, Data::Bool(true))
            })
        })
    }

    pub(super) fn expression(&mut self, expression: &Expression) -> Values {
        if self.steps == 0 || self.depth >= MAX_DEPTH {
            return vec![Possible::unknown(
                "it is nested too deeply to be followed",
                expression.span,
            )];
        }
        self.steps -= 1;
        self.depth += 1;
        let values = self.evaluate(expression);
        self.depth -= 1;
        values
    }

    pub(super) fn evaluate(&mut self, expression: &Expression) -> Values {
        let span = expression.span;
        let data = match &expression.kind {
            Kind::Text(pieces) => return self.text(pieces, span),
            Kind::Integer(value) => Data::Integer(*value),
            Kind::Bool(value) => Data::Bool(*value),
            Kind::None => Data::None,
            Kind::Name(name) => return self.name(name, span),
            Kind::Attribute(object, name) => {
                let objects = self.expression(object);
                return self.attribute(&objects, name, span);
            }
            Kind::Subscript(object, key) => {
                let objects = self.expression(object);
                let keys = self.expression(key);
                let symbol = certain(&objects).map(|object| object.data.symbol());
                let name = certain(&keys).and_then(|key| key.data.as_text());
                return match (symbol.as_deref(), name) {
                    (Some("os.environ"), Some(name)) => {
                        vec![self.told(name).looked_up(name, span)]
                    }
                    _ => subscript(&objects, &keys, span),
                };
            }
            Kind::Call {
                function,
                arguments,
            } => return self.call(function, arguments, span),
            Kind::Sequence { tuple, items } => {
                let (mut all, mut complete) = (Vec::new(), true);
                for item in items {
                    match item {
                        Item::One(item) => all.push(self.expression(item)),
                        Item::Splice(item) => {
                            match certain(&self.expression(item)).map(|possible| &possible.data) {
                                Some(Data::Sequence(inner)) => {
                                    all.extend(inner.items.iter().cloned());
                                    complete &= inner.complete;
                                }
                                _ => complete = false,
                            }
                        }
                    }
                    if all.len() > MAX_ITEMS {
                        complete = false;
                        all.truncate(MAX_ITEMS);
                        break;
                    }
                }
                self.spend(all.len());
                Data::sequence(*tuple, all, complete)
            }
            Kind::Dictionary(pairs) => {
                let (mut all, mut complete) = (Vec::new(), true);
                for (key, value) in pairs {
                    let values = self.expression(value);
                    match key {
                        Some(key) => match certain(&self.expression(key)) {
                            Some(key) => all.push((key.clone(), values)),
                            None => complete = false,
                        },
                        None => match certain(&values).map(|possible| &possible.data) {
                            Some(Data::Dictionary(inner)) => {
                                all.extend(inner.pairs.iter().cloned());
                                complete &= inner.complete;
                            }
                            _ => complete = false,
                        },
                    }
                    if all.len() > MAX_ITEMS {
                        complete = false;
                        break;
                    }
                }
                self.spend(all.len());
                Data::dictionary(all, complete)
            }
            // `SECURE_SSL_REDIRECT = not DEBUG`: in production, whatever the default of DEBUG is.
            Kind::Not(inner) if matches!(&inner.kind, Kind::Name(name) if name == "DEBUG") => {
                let literal = self
                    .lookup("DEBUG")
                    .and_then(|binding| certain(&binding.values))
                    .is_some_and(|value| {
                        !value.is_default() && matches!(value.data, Data::Bool(_))
                    });
                return vec![Possible {
                    origin: if literal {
                        Origin::Literal
                    } else {
                        Origin::Default("DEBUG".into())
                    },
                    ..Possible::literal(Data::Bool(!self.debug()), span)
                }];
            }
            Kind::Not(inner) => {
                return self
                    .expression(inner)
                    .iter()
                    .map(|possible| match possible.data.truth() {
                        Some(truth) => Possible {
                            span,
                            ..possible.with(Data::Bool(!truth))
                        },
                        None => Possible::unknown("it depends on something unknown", span),
                    })
                    .collect();
            }
            Kind::Binary {
                operator,
                left,
                right,
            } => {
                let test = matches!(operator.as_str(), "and" | "or");
                let is_debug = matches!(&left.kind, Kind::Name(name) if name == "DEBUG");
                let left = self.expression(left);
                let is_text = |possible: &Possible| matches!(possible.data, Data::Text(_));
                if operator == "%" && left.iter().any(is_text) && self.holds_member(right) {
                    return vec![Possible::unknown(MEMBER, span)];
                }
                let holds = match is_debug {
                    true => Some(self.debug()),
                    false => holds(&left),
                };
                let right = match holds {
                    _ if !test => self.expression(right),
                    Some(holds) if holds == (operator == "and") => self.expression(right),
                    holds => self.perhaps(right, holds.is_some()),
                };
                return self.operate(operator, &left, &right, span);
            }
            Kind::Conditional {
                test,
                value,
                otherwise,
            } => {
                return match self.test(test) {
                    Some(true) => self.expression(value),
                    Some(false) => self.expression(otherwise),
                    None => {
                        let mut values = self.perhaps(value, false);
                        for possible in &mut values {
                            possible.when = possible.when.or(Some(test.span));
                        }
                        let other = self.perhaps(otherwise, false);
                        join(values, other)
                    }
                };
            }
            Kind::Walrus(name, value) => {
                let values = self.expression(value);
                self.bind(name, values.clone(), span);
                return values;
            }
            Kind::Comprehension {
                element,
                value,
                target,
                items,
                tests,
            } => {
                let over = self.expression(items);
                let origin = match certain(&over) {
                    Some(over) => over.origin.clone(),
                    None => Origin::Literal,
                };
                let data = self.comprehension(element, value.as_deref(), target, &over, tests);
                return vec![Possible {
                    origin,
                    ..Possible::literal(data, span)
                }];
            }
            Kind::Await(inner) => {
                self.expression(inner);
                Data::unknown("it is computed")
            }
            Kind::Other => Data::unknown("it is computed"),
        };
        vec![Possible::literal(data, span)]
    }

    /// What a comprehension over known items gives; it has a scope of its own.
    fn comprehension(
        &mut self,
        element: &Expression,
        value: Option<&Expression>,
        target: &Expression,
        over: &[Possible],
        tests: &[Expression],
    ) -> Data {
        let unknown = || Data::unknown("a comprehension computes it");
        let Some(Possible {
            data: Data::Sequence(over),
            origin,
            when: None,
            ..
        }) = certain(over)
        else {
            return unknown();
        };
        let (mut pairs, mut all, mut complete) = (Vec::new(), Vec::new(), over.complete);
        for item in &over.items {
            if self.steps == 0 {
                return unknown();
            }
            self.layers.push(HashMap::new());
            // That it is a default is said of all that comes out of it; a test may still decide.
            let mut item = item.clone();
            if *origin != Origin::Literal {
                item.iter_mut()
                    .for_each(|item| item.origin = Origin::Literal);
            }
            self.assign(target, item);
            let counts = tests
                .iter()
                .map(|test| self.test(test))
                .try_fold(true, |all, holds| holds.map(|holds| all && holds));
            let mut evaluated = |expression| {
                let mut values = match counts {
                    Some(true) => self.expression(expression),
                    Some(false) => return Values::new(),
                    None => self.perhaps(expression, false),
                };
                for value in &mut values {
                    value.origin = weaker(origin, &value.origin);
                }
                values
            };
            let first = evaluated(element);
            let second = value.map(evaluated);
            let layer = self.layers.pop().unwrap_or_default();
            self.publish(layer, &HashSet::new());
            match (counts, second) {
                (Some(false), _) => {}
                (None, _) => complete = false,
                (Some(true), None) => all.push(first),
                (Some(true), Some(second)) => match certain(&first) {
                    Some(key) => pairs.push((key.clone(), second)),
                    None => complete = false,
                },
            }
        }
        if value.is_some() {
            Data::dictionary(pairs, complete)
        } else {
            Data::sequence(false, all, complete)
        }
    }

    /// Whether an expression names a member of a class of `enum.Enum`: since Python 3.11 formatting
    /// gives `Kind.X` where it gave the value of a member that is a text as well.
    fn is_member(&mut self, expression: &Expression) -> bool {
        let Kind::Attribute(object, _) = &expression.kind else {
            return false;
        };
        let objects = self.expression(object);
        let Some(Data::Class(class)) = certain(&objects).map(|object| &object.data) else {
            return false;
        };
        let bases = class.bases.iter().filter_map(|base| certain(base));
        bases
            .map(|base| base.data.symbol())
            .any(|base| base == "enum.Enum")
    }

    /// Whether such a member is among what `%`, `format` or `str` writes.
    fn holds_member(&mut self, written: &Expression) -> bool {
        match &written.kind {
            Kind::Sequence { items, .. } => items.iter().any(|item| match item {
                Item::One(item) => self.is_member(item),
                Item::Splice(_) => false,
            }),
            Kind::Dictionary(pairs) => pairs.iter().any(|(_, value)| self.is_member(value)),
            _ => self.is_member(written),
        }
    }

    pub(super) fn text(&mut self, pieces: &[Piece], span: Span) -> Values {
        let mut text = String::new();
        let mut origin = Origin::Literal;
        for piece in pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Value(value) if self.is_member(value) => {
                    return vec![Possible::unknown(MEMBER, span)];
                }
                Piece::Value(value) => {
                    let values = self.expression(value);
                    match certain(&values) {
                        Some(possible) => {
                            match &possible.data {
                                Data::Text(part) => text.push_str(part),
                                Data::Integer(part) => text.push_str(&part.to_string()),
                                _ => {
                                    return vec![Possible::unknown(
                                        "a part of it is unknown",
                                        span,
                                    )];
                                }
                            }
                            origin = weaker(&origin, &possible.origin);
                        }
                        None => return vec![Possible::unknown("a part of it is unknown", span)],
                    }
                }
                Piece::Unknown => {
                    return vec![Possible::unknown(
                        "a part of it is filled in elsewhere",
                        span,
                    )];
                }
            }
            if text.len() > MAX_TEXT {
                return vec![Possible::unknown("it is too long", span)];
            }
        }
        vec![Possible {
            origin,
            ..Possible::literal(Data::text(&text), span)
        }]
    }

    pub(super) fn name(&self, name: &str, span: Span) -> Values {
        if let Some(binding) = self.lookup(name) {
            return binding.values.clone();
        }
        let data = match name {
            "bool" | "tuple" | "list" | "set" | "frozenset" | "sorted" | "str" | "int" | "dict"
            | "globals" | "locals" | "vars" | "exec" | "execfile" | "setattr" | "getattr"
            | "len" | "any" | "all" | "map" | "filter" | "print" | "open" | "super" => {
                Data::External(name.into())
            }
            "__file__" | "__name__" => Data::unknown("it depends on where the file lies"),
            _ if !self.opens.is_empty() => {
                Data::unknown("it comes from a file that is not in the project")
            }
            _ => Data::unknown("it is defined nowhere that was read"),
        };
        vec![Possible::literal(data, span)]
    }

    pub(super) fn attribute(&mut self, objects: &[Possible], name: &str, span: Span) -> Values {
        let mut values = Values::new();
        for object in objects {
            let found = match &object.data {
                Data::Module(at) => self.member(at, name, span),
                Data::External(path)
                    if &**path == "django.conf.settings"
                        && let Some(set) = self.program.setting(name) =>
                {
                    vec![Possible { span, ..set }]
                }
                Data::External(path) => {
                    let path = format!("{path}.{name}");
                    vec![Possible {
                        span,
                        ..object.with(Data::External(path.as_str().into()))
                    }]
                }
                Data::Class(class) if class.attribute(name).is_some() => class
                    .attribute(name)
                    .map(|attribute| attribute.values.clone())
                    .unwrap_or_default(),
                Data::Class(_) | Data::Call(_) | Data::Attribute(_) => vec![Possible {
                    span,
                    ..object.with(Data::attribute(object.data.clone(), name))
                }],
                // Only a member of an `Enum` has one, and members are taken for what they hold.
                Data::Text(_) | Data::Integer(_) if name == "value" => vec![object.clone()],
                _ => vec![Possible {
                    span,
                    ..object.with(Data::unknown("it is an attribute of something unknown"))
                }],
            };
            values = join(values, found);
        }
        values
    }

    pub(super) fn call(
        &mut self,
        function: &Expression,
        arguments: &[Argument],
        span: Span,
    ) -> Values {
        let writes = match &function.kind {
            Kind::Attribute(_, method) => method == "format",
            Kind::Name(name) => name == "str",
            _ => false,
        };
        if writes {
            let mut given = arguments.iter();
            let written = given.any(|argument| match argument {
                Argument::Positional(value) | Argument::Keyword(_, value) => {
                    self.holds_member(value)
                }
                Argument::Splice => false,
            });
            if written {
                return vec![Possible::unknown(MEMBER, span)];
            }
        }
        // A method of a plain value.
        let mut functions = match &function.kind {
            Kind::Attribute(object, method) => {
                let objects = self.expression(object);
                if objects.iter().any(|possible| possible.data.is_plain()) {
                    let (positional, keywords, complete) = self.arguments(arguments);
                    let given = positional
                        .iter()
                        .chain(keywords.iter().map(|(_, values)| values))
                        .flatten()
                        .fold(Origin::Literal, |origin, value| {
                            weaker(&origin, &value.source())
                        });
                    let results = objects.iter().map(|possible| Possible {
                        span,
                        origin: weaker(&possible.origin, &given),
                        ..possible.with(method_of(&possible.data, method, &positional, &keywords))
                    });
                    let results = results.collect();
                    drop(objects);
                    if changes(method) {
                        self.change_by_method(object, method, &positional, &keywords, complete);
                    }
                    return bounded(results);
                }
                // One of several, and which is not known.
                if changes(method)
                    && matches!(object.kind, Kind::Subscript(..))
                    && objects
                        .iter()
                        .all(|possible| matches!(possible.data, Data::Unknown(_)))
                {
                    self.change_by_method(object, method, &[], &[], false);
                }
                // What is unknown because the environment decides it stays so through `.lower()`.
                if let Some(unknown) =
                    certain(&objects).filter(|possible| matches!(possible.data, Data::Unknown(_)))
                {
                    self.arguments(arguments);
                    return vec![Possible {
                        span,
                        ..unknown.clone()
                    }];
                }
                self.attribute(&objects, method, function.span)
            }
            _ => self.expression(function),
        };
        let (positional, keywords, complete) = self.arguments(arguments);
        let places = arguments
            .iter()
            .filter_map(|argument| match argument {
                Argument::Positional(value) => Some(value.span),
                _ => None,
            })
            .collect();
        let only = functions.len() == 1;
        let at = functions
            .iter()
            .position(|possible| {
                !matches!(possible.data, Data::Unknown(_) | Data::Absent | Data::None)
            })
            .unwrap_or(0);
        if functions.is_empty() {
            return vec![Possible::unknown("it is computed", span)];
        }
        let function = functions.swap_remove(at);
        // It lists its patterns only where DEBUG is on (django/conf/urls/static.py).
        let symbol = function.data.symbol();
        if !self.debug()
            && (symbol == "django.conf.urls.static.static"
                || symbol == "django.contrib.staticfiles.urls.staticfiles_urlpatterns")
        {
            return vec![Possible::literal(
                Data::sequence(false, Vec::new(), true),
                span,
            )];
        }
        if only
            && complete
            && matches!(function.data, Data::Function(_))
            && let Some(values) = self.follow(&function, &positional, &keywords, span)
        {
            return values;
        }
        let call = Call::new(function, positional, keywords, complete).at(places);
        if let Some(values) = read_environment(&symbol, &call, span, |name, may_prefix| {
            match may_prefix && self.has_prefixes() {
                true => Told::hidden(name),
                false => self.told(name),
            }
        }) {
            return values;
        }
        returned(call, span)
    }

    /// Whether the module puts a prefix before the names that a reader looks up: `with
    /// env.prefixed("A_")` of environs, `env.prefix = "A_"` of django-environ.
    fn has_prefixes(&self) -> bool {
        *self.prefixes.get_or_init(|| {
            let text = &self.program.project.source(self.source).text;
            text.contains(".prefixed(") || text.contains(".prefix =")
        })
    }

    /// What the deployment says of a variable of the environment.
    fn told(&self, name: &str) -> Told {
        let program = self.program;
        let source = program.project.source(self.source);
        let running = self
            .running
            .get_or_init(|| program.deployment.running(source));
        program.deployment.told(source, running, name)
    }

    pub(super) fn arguments(
        &mut self,
        arguments: &[Argument],
    ) -> (Vec<Values>, Vec<(String, Values)>, bool) {
        let (mut positional, mut keywords, mut complete) = (Vec::new(), Vec::new(), true);
        for argument in arguments {
            match argument {
                Argument::Positional(value) => positional.push(self.expression(value)),
                Argument::Keyword(name, value) => {
                    keywords.push((name.clone(), self.expression(value)))
                }
                Argument::Splice => complete = false,
            }
        }
        (positional, keywords, complete)
    }

    pub(super) fn operate(
        &mut self,
        operator: &str,
        left: &[Possible],
        right: &[Possible],
        span: Span,
    ) -> Values {
        let mut values = Values::new();
        for a in left {
            if operator == "or" || operator == "and" {
                match (a.data.truth(), operator) {
                    (Some(true), "or") | (Some(false), "and") => {
                        values = join(values, vec![a.clone()])
                    }
                    (Some(false), "or") | (Some(true), "and") => {
                        values = join(values, defaulting(&a.origin, right));
                    }
                    // `os.environ.get("A") or "default"`: the right side is the default.
                    (None, "or") if a.is_default() => {
                        values = join(values, defaulting(&a.origin, right));
                    }
                    _ => {
                        values = join(
                            values,
                            vec![Possible::unknown("it depends on something unknown", span)],
                        )
                    }
                }
                continue;
            }
            for b in right {
                self.spend(size(&a.data) + size(&b.data));
                let data = binary(operator, &a.data, &b.data);
                // Only what a variable itself holds is false where it is not set: not a result.
                let origin = match data {
                    Data::Unknown(_) => Origin::Literal,
                    _ => weaker(&a.origin, &b.source()),
                };
                values.push(Possible {
                    data,
                    span,
                    origin,
                    when: a.when.or(b.when),
                });
            }
        }
        bounded(values)
    }
}

/// Whether values that are tested are all true or all false, whatever the environment sets.
fn holds(values: &[Possible]) -> Option<bool> {
    let mut truths = values.iter().map(|possible| {
        let known = (!possible.is_default()).then_some(&possible.data);
        known.and_then(Data::truth)
    });
    let first = truths.next().flatten();
    truths
        .all(|truth| truth == first)
        .then_some(first)
        .flatten()
}

/// What counts where a value of `origin` is false. Only what a variable itself holds is false
/// where it is not set: nothing else that is unknown becomes a default by it.
fn defaulting(origin: &Origin, right: &[Possible]) -> Values {
    let right = right.iter().map(|b| Possible {
        origin: match b.data {
            Data::Unknown(_) => b.origin.clone(),
            _ => weaker(origin, &b.origin),
        },
        ..b.clone()
    });
    right.collect()
}

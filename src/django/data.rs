//! What a Python expression may evaluate to, as far as the files decide it.
//!
//! A value is a list of [`Possible`]s: one where it is certain, several where a branch leaves it
//! open, and an unknown one among them where the files cannot say. Each remembers the bytes that
//! wrote it and whether it is only the default of something that the environment supplies.

use std::sync::Arc;

use crate::source::{SourceId, Span};

/// Nesting of values that is kept: deeper, a value is unknown, so that no walk over it and no
/// drop of it can exhaust the stack.
const MAX_NESTING: usize = 64;

/// Alternatives that are followed for one value; beyond it, it is unknown.
pub const MAX_ALTERNATIVES: usize = 8;

/// Values that are compared before two lists are taken for different.
const MAX_COMPARED: u32 = 10_000;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Written in the code.
    Literal,
    /// The default of this environment variable.
    Default(Arc<str>),
    /// The same, where the project's own deployment sets the variable to something that is not in
    /// the files.
    Hidden(Arc<str>),
    /// What the project's own deployment sets this environment variable to, there.
    Supplied(Arc<str>, Span),
}

/// One thing that a value may be.
#[derive(Clone, Debug)]
pub struct Possible {
    /// The value.
    pub data: Data,
    /// The bytes that wrote it.
    pub span: Span,
    /// Whether the environment may replace it.
    pub origin: Origin,
    /// The test under which it is this, where the files leave that open.
    pub when: Option<Span>,
}

/// A value: everything that it may be.
pub type Values = Vec<Possible>;

/// A Python value.
#[derive(Clone, Debug)]
pub enum Data {
    /// `None`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// A string.
    Text(Arc<str>),
    /// A list, a tuple or a set.
    Sequence(Arc<Sequence>),
    /// A dictionary.
    Dictionary(Arc<Dictionary>),
    /// A first-party module or package: its path without suffix, relative to the root.
    Module(Arc<str>),
    /// A class defined in the project.
    Class(Arc<Class>),
    /// A function defined in the project, by its dotted name.
    Function(Arc<str>),
    /// Something of a package outside the project, by its dotted name.
    External(Arc<str>),
    /// An attribute of a class or of what a call returned.
    Attribute(Arc<Attribute>),
    /// What a call returned, not evaluated further.
    Call(Arc<Call>),
    /// Not set at all.
    Absent,
    /// Not to be known from the files, and why.
    Unknown(Arc<str>),
}

/// An attribute of a class or of what a call returned.
#[derive(Debug)]
pub struct Attribute {
    /// Of what.
    pub object: Data,
    /// Its name.
    pub name: String,
    depth: usize,
}

/// A list, a tuple or a set.
#[derive(Debug)]
pub struct Sequence {
    /// Whether it is a tuple.
    pub tuple: bool,
    /// Its items.
    pub items: Vec<Values>,
    /// Whether these are all of them.
    pub complete: bool,
    depth: usize,
}

/// A dictionary.
#[derive(Debug)]
pub struct Dictionary {
    /// Keys and values, in order; a later one overrides.
    pub pairs: Vec<(Possible, Values)>,
    /// Whether these are all of them.
    pub complete: bool,
    depth: usize,
}

impl Dictionary {
    /// The value of `key`; `None` if there is none among what is known.
    pub fn get(&self, key: &str) -> Option<&(Possible, Values)> {
        self.pairs
            .iter()
            .rev()
            .find(|(possible, _)| matches!(&possible.data, Data::Text(text) if **text == *key))
    }
}

/// A class.
#[derive(Debug)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Its module.
    pub source: SourceId,
    /// Its base classes.
    pub bases: Vec<Values>,
    /// What its body binds, sorted by name.
    pub attributes: Vec<ClassAttribute>,
    depth: usize,
}

/// A name that the body of a class binds.
#[derive(Clone, Debug)]
pub struct ClassAttribute {
    /// The name.
    pub name: String,
    /// What it may be.
    pub values: Values,
    /// The name where it was last assigned.
    pub target: Span,
}

impl Class {
    /// The same with other bases and other values of its attributes, where they are given.
    pub fn with(&self, bases: Option<Vec<Values>>, values: Option<Vec<Values>>) -> Data {
        let mut attributes = self.attributes.clone();
        for (attribute, values) in attributes.iter_mut().zip(values.into_iter().flatten()) {
            attribute.values = values;
        }
        let bases = bases.unwrap_or_else(|| self.bases.clone());
        Data::class(&self.name, self.source, bases, attributes)
    }

    /// An attribute that its own body binds.
    pub fn attribute(&self, name: &str) -> Option<&ClassAttribute> {
        self.attributes
            .binary_search_by(|attribute| attribute.name.as_str().cmp(name))
            .ok()
            .map(|at| &self.attributes[at])
    }
}

/// A call that is not evaluated: who is called with what.
#[derive(Debug)]
pub struct Call {
    /// The function.
    pub function: Possible,
    /// Its positional arguments, in order.
    pub positional: Vec<Values>,
    /// Where each positional argument stands in the call; a name's value stands elsewhere.
    pub places: Vec<Span>,
    /// Its keyword arguments.
    pub keywords: Vec<(String, Values)>,
    /// Whether `*args` or `**kwargs` may add more.
    pub complete: bool,
    depth: usize,
}

impl Call {
    /// A call of `function`.
    pub fn new(
        function: Possible,
        positional: Vec<Values>,
        keywords: Vec<(String, Values)>,
        complete: bool,
    ) -> Self {
        Self {
            function,
            positional,
            places: Vec::new(),
            keywords,
            complete,
            depth: 0,
        }
    }

    /// The same with the places of its positional arguments.
    #[must_use]
    pub fn at(mut self, places: Vec<Span>) -> Self {
        self.places = places;
        self
    }

    /// The same with other arguments, where they are given.
    pub fn with(&self, positional: Option<Vec<Values>>, values: Option<Vec<Values>>) -> Data {
        let mut keywords = self.keywords.clone();
        for ((_, keyword), values) in keywords.iter_mut().zip(values.into_iter().flatten()) {
            *keyword = values;
        }
        let positional = positional.unwrap_or_else(|| self.positional.clone());
        let call = Self::new(self.function.clone(), positional, keywords, self.complete);
        Data::call(call.at(self.places.clone()))
    }

    /// An argument by position, or by name.
    pub fn argument(&self, position: usize, name: &str) -> Option<&Values> {
        self.positional.get(position).or_else(|| self.keyword(name))
    }

    /// An argument by name.
    pub fn keyword(&self, name: &str) -> Option<&Values> {
        self.keywords
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }
}

impl Data {
    /// A list or a tuple.
    pub fn sequence(tuple: bool, items: Vec<Values>, complete: bool) -> Self {
        let depth = 1 + items
            .iter()
            .map(|values| nesting(values))
            .max()
            .unwrap_or(0);
        shallow(depth, || {
            Self::Sequence(Arc::new(Sequence {
                tuple,
                items,
                complete,
                depth,
            }))
        })
    }

    /// A dictionary.
    pub fn dictionary(pairs: Vec<(Possible, Values)>, complete: bool) -> Self {
        let depth = 1 + pairs
            .iter()
            .map(|(_, values)| nesting(values))
            .max()
            .unwrap_or(0);
        shallow(depth, || {
            Self::Dictionary(Arc::new(Dictionary {
                pairs,
                complete,
                depth,
            }))
        })
    }

    /// A class.
    pub fn class(
        name: &str,
        source: SourceId,
        bases: Vec<Values>,
        attributes: Vec<ClassAttribute>,
    ) -> Self {
        let depth = 1 + bases
            .iter()
            .chain(attributes.iter().map(|attribute| &attribute.values))
            .map(|values| nesting(values))
            .max()
            .unwrap_or(0);
        shallow(depth, || {
            Self::Class(Arc::new(Class {
                name: name.to_owned(),
                source,
                bases,
                attributes,
                depth,
            }))
        })
    }

    /// An attribute.
    pub fn attribute(object: Self, name: &str) -> Self {
        let depth = 1 + object.depth();
        shallow(depth, || {
            Self::Attribute(Arc::new(Attribute {
                object,
                name: name.to_owned(),
                depth,
            }))
        })
    }

    /// A call.
    pub fn call(mut call: Call) -> Self {
        let arguments = call
            .positional
            .iter()
            .chain(call.keywords.iter().map(|(_, values)| values));
        call.depth = 1 + arguments
            .map(|values| nesting(values))
            .max()
            .unwrap_or(0)
            .max(call.function.data.depth());
        shallow(call.depth, || Self::Call(Arc::new(call)))
    }

    /// How many values lie in each other here; 0 for what holds none.
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::Sequence(sequence) => sequence.depth,
            Self::Dictionary(dictionary) => dictionary.depth,
            Self::Class(class) => class.depth,
            Self::Attribute(attribute) => attribute.depth,
            Self::Call(call) => call.depth,
            _ => 0,
        }
    }

    /// Text.
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// Unknown, because of `why`.
    pub fn unknown(why: &str) -> Self {
        Self::Unknown(why.into())
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is a plain value that the files spell out, not something computed elsewhere.
    pub fn is_plain(&self) -> bool {
        matches!(
            self,
            Self::None
                | Self::Bool(_)
                | Self::Integer(_)
                | Self::Text(_)
                | Self::Sequence(_)
                | Self::Dictionary(_)
                | Self::Absent
        )
    }

    /// What `bool()` makes of it; `None` where that is unknown.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::None | Self::Absent => Some(false),
            Self::Bool(value) => Some(*value),
            Self::Integer(value) => Some(*value != 0),
            Self::Text(text) => Some(!text.is_empty()),
            Self::Sequence(sequence) if !sequence.items.is_empty() => Some(true),
            Self::Sequence(sequence) => sequence.complete.then_some(false),
            Self::Dictionary(dictionary) if !dictionary.pairs.is_empty() => Some(true),
            Self::Dictionary(dictionary) => dictionary.complete.then_some(false),
            Self::Module(_) | Self::Class(_) | Self::Function(_) => Some(true),
            Self::External(_) | Self::Attribute(_) | Self::Call(_) | Self::Unknown(_) => None,
        }
    }

    /// Its dotted name: `channels.routing.URLRouter`, `environ.Env().bool`. Bounded, because a
    /// chain of calls in a file is not.
    pub fn symbol(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut at = self.clone();
        for _ in 0..16 {
            match at {
                Self::External(name) | Self::Function(name) => {
                    parts.push(name.to_string());
                    break;
                }
                Self::Class(class) => {
                    parts.push(class.name.clone());
                    break;
                }
                Self::Attribute(attribute) => {
                    parts.push(format!(".{}", attribute.name));
                    at = attribute.object.clone();
                }
                Self::Call(call) => {
                    parts.push("()".to_owned());
                    at = call.function.data.clone();
                }
                _ => break,
            }
        }
        parts.reverse();
        parts.concat()
    }

    /// Whether two plain scalars are equal as Python compares them; `None` for anything else.
    pub fn equals(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a == b),
            (Self::Bool(a), Self::Bool(b)) => Some(a == b),
            (Self::Integer(a), Self::Integer(b)) => Some(a == b),
            (Self::Bool(a), Self::Integer(b)) | (Self::Integer(b), Self::Bool(a)) => {
                Some(i64::from(*a) == *b)
            }
            (Self::None, Self::None) => Some(true),
            (a, b) if a.is_scalar() && b.is_scalar() => Some(false),
            _ => None,
        }
    }

    fn is_scalar(&self) -> bool {
        matches!(
            self,
            Self::None | Self::Bool(_) | Self::Integer(_) | Self::Text(_)
        )
    }
}

impl Possible {
    /// Written in the code at `span`.
    pub fn literal(data: Data, span: Span) -> Self {
        Self {
            data,
            span,
            origin: Origin::Literal,
            when: None,
        }
    }

    /// Unknown at `span`, because of `why`.
    pub fn unknown(why: &str, span: Span) -> Self {
        Self::literal(Data::unknown(why), span)
    }

    /// The same with other data.
    #[must_use]
    pub fn with(&self, data: Data) -> Self {
        Self {
            data,
            ..self.clone()
        }
    }

    /// Where it comes from, what a list holds counted in.
    pub fn source(&self) -> Origin {
        match &self.data {
            Data::Sequence(list) => {
                let items = list.items.iter().flatten();
                items.fold(self.origin.clone(), |origin, item| {
                    weaker(&origin, &item.origin)
                })
            }
            _ => self.origin.clone(),
        }
    }

    /// Whether the files say that it is this: its code, or what the deployment sets.
    pub fn is_known(&self) -> bool {
        matches!(self.origin, Origin::Literal | Origin::Supplied(..))
    }

    /// Whether another environment makes it something else.
    pub fn is_default(&self) -> bool {
        self.origin != Origin::Literal
    }
}

fn nesting(values: &[Possible]) -> usize {
    values
        .iter()
        .map(|possible| possible.data.depth())
        .max()
        .unwrap_or(0)
}

fn shallow(depth: usize, data: impl FnOnce() -> Data) -> Data {
    if depth > MAX_NESTING {
        return Data::unknown("it is nested too deeply to be followed");
    }
    data()
}

/// The alternatives of both, without doubles, bounded.
pub fn join(mut a: Values, b: Values) -> Values {
    for possible in b {
        let mut budget = MAX_COMPARED;
        let known = a.iter_mut().find(|other| {
            other.span == possible.span && is_same(&other.data, &possible.data, &mut budget)
        });
        match known {
            Some(known) => known.origin = weaker(&known.origin, &possible.origin),
            None => a.push(possible),
        }
    }
    bounded(a)
}

/// Whether two values that the same bytes wrote are the same; false where it takes too long to say.
fn is_same(a: &Data, b: &Data, budget: &mut u32) -> bool {
    if *budget == 0 {
        return false;
    }
    *budget -= 1;
    let mut all = |a: &Values, b: &Values| {
        a.len() == b.len()
            && a.iter()
                .zip(b)
                .all(|(a, b)| is_same(&a.data, &b.data, budget))
    };
    match (a, b) {
        (Data::Sequence(a), Data::Sequence(b)) => {
            Arc::ptr_eq(a, b)
                || (a.tuple, a.complete, a.items.len()) == (b.tuple, b.complete, b.items.len())
                    && a.items.iter().zip(&b.items).all(|(a, b)| all(a, b))
        }
        (Data::Dictionary(a), Data::Dictionary(b)) => {
            let key = |(key, _): &(Possible, Values)| key.data.as_text().map(str::to_owned);
            Arc::ptr_eq(a, b)
                || (a.complete, a.pairs.len()) == (b.complete, b.pairs.len())
                    && a.pairs
                        .iter()
                        .zip(&b.pairs)
                        .all(|(a, b)| key(a) == key(b) && all(&a.1, &b.1))
        }
        _ => std::mem::discriminant(a) == std::mem::discriminant(b) && a.equals(b) != Some(false),
    }
}

/// At most [`MAX_ALTERNATIVES`]; the rest becomes one unknown.
pub fn bounded(mut values: Values) -> Values {
    if values.len() > MAX_ALTERNATIVES {
        let span = values[MAX_ALTERNATIVES].span;
        values.truncate(MAX_ALTERNATIVES - 1);
        values.push(Possible::unknown("it has too many possible values", span));
    }
    values
}

/// Its only value, if there is no doubt about it.
pub fn certain(values: &[Possible]) -> Option<&Possible> {
    match values {
        [only] => Some(only),
        _ => None,
    }
}

/// The weaker of two origins: what depends on a default is itself one.
pub fn weaker(a: &Origin, b: &Origin) -> Origin {
    let strength = |origin: &Origin| match origin {
        Origin::Hidden(_) => 0,
        Origin::Default(_) => 1,
        Origin::Supplied(..) => 2,
        Origin::Literal => 3,
    };
    match strength(a) <= strength(b) {
        true => a.clone(),
        false => b.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_stay_few() {
        let span = |at| Span::new(SourceId(0), at..at + 1);
        let many = (0..20)
            .map(|at| Possible::literal(Data::Integer(at), span(at as usize)))
            .collect();
        let joined = join(vec![Possible::literal(Data::None, span(90))], many);
        assert_eq!(joined.len(), MAX_ALTERNATIVES);
        assert!(matches!(
            joined.last().map(|last| &last.data),
            Some(Data::Unknown(_))
        ));
    }

    #[test]
    fn truth_is_pythons() {
        assert_eq!(Data::text("False").truth(), Some(true));
        assert_eq!(Data::text("").truth(), Some(false));
        assert_eq!(Data::External("a".into()).truth(), None);
    }
}

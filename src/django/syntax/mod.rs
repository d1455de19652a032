//! The syntax of a Python module, as far as settings, entry points and routing use it.
//!
//! The tree-sitter tree becomes a small owned tree with spans. What it does not know
//! (lambdas, `yield`, slices) is [`Kind::Other`]: an expression of unknown value, never
//! an error. Nesting beyond a limit is unknown too, so that nobody's stack is at the mercy
//! of a file.

mod read;

pub use read::parse;

use crate::source::Span;

/// A parsed module.
#[derive(Debug, Default)]
pub struct Module {
    /// Its statements, in order.
    pub statements: Vec<Statement>,
    /// The first place that does not parse.
    pub error: Option<Span>,
}

/// A statement with its span.
#[derive(Debug)]
pub struct Statement {
    /// The whole statement.
    pub span: Span,
    /// What it does.
    pub action: Action,
}

/// What a statement does. Most assign or evaluate: what holds several expressions holds them apart,
/// so that it does not make all statements larger.
#[derive(Debug)]
pub enum Action {
    /// `a = b = value`.
    Assign {
        /// Each target.
        targets: Vec<Expression>,
        /// The value.
        value: Expression,
    },
    /// `a += value`.
    Augment {
        /// The target.
        target: Expression,
        /// The operator without `=`.
        operator: String,
        /// The value.
        value: Box<Expression>,
    },
    /// An expression for its effect.
    Evaluate(Expression),
    /// `import a.b as c`.
    Import(Vec<ImportedModule>),
    /// `from .a import b as c`, `from a import *`.
    ImportFrom {
        /// The module.
        module: ModuleName,
        /// The names; `None` for `*`.
        names: Option<Vec<ImportedName>>,
    },
    /// `if … elif … else`: the tests with their blocks; `else` has none.
    If(Vec<(Option<Expression>, Vec<Statement>)>),
    /// `try`: the body with its `else`, each handler, and `finally`.
    Try {
        /// What is tried, with what follows when it succeeds.
        body: Vec<Statement>,
        /// What happens when it does not.
        handlers: Vec<Vec<Statement>>,
        /// What happens in any case.
        finally: Vec<Statement>,
    },
    /// `for` and `while`: perhaps never, perhaps many times.
    Loop {
        /// What the loop assigns by itself.
        target: Option<Box<Expression>>,
        /// What it goes through, where each round runs to its end.
        items: Option<Box<Expression>>,
        /// The body.
        body: Vec<Statement>,
    },
    /// `with`: the body, once.
    Block(Vec<Statement>),
    /// `class Name(bases)`.
    Class {
        /// The name.
        name: String,
        /// The base classes.
        bases: Vec<Expression>,
        /// What stands in it.
        body: Vec<Statement>,
    },
    /// `def name`.
    Function(Function),
    /// `del a`.
    Delete(Vec<Expression>),
    /// `raise error`: nothing after it runs.
    Raise(Option<Expression>),
    /// `return value`: nothing after it runs.
    Return(Option<Expression>),
    /// `pass`, and a docstring.
    Nothing,
    /// Anything else.
    Other,
}

impl Action {
    /// The blocks in it that run as a part of it: those of branches, loops and `with`, not what
    /// stands in a function or a class.
    pub fn blocks(&self) -> Vec<&[Statement]> {
        match self {
            Self::If(branches) => branches.iter().map(|(_, body)| body.as_slice()).collect(),
            Self::Try {
                body,
                handlers,
                finally,
            } => {
                let handlers = handlers.iter().map(Vec::as_slice);
                std::iter::once(body.as_slice())
                    .chain(handlers)
                    .chain([finally.as_slice()])
                    .collect()
            }
            Self::Loop { body, .. } | Self::Block(body) => vec![body],
            _ => Vec::new(),
        }
    }
}

/// Statements and all those in their blocks, as they are written. The depth is the syntax tree's.
pub fn each<'s, F: FnMut(&'s Statement)>(statements: &'s [Statement], visit: &mut F) {
    for statement in statements {
        visit(statement);
        for body in statement.action.blocks() {
            each(body, visit);
        }
    }
}

/// A function as it is written; its body runs only when somebody calls it.
#[derive(Debug)]
pub struct Function {
    /// The name.
    pub name: String,
    /// Whether it is `async def`.
    pub asynchronous: bool,
    /// Whether a decorator may have put something else in its place.
    pub decorated: bool,
    /// Whether it is a property: its decorator is that and nothing else.
    pub property: bool,
    /// The names of its parameters.
    pub parameters: Vec<String>,
    /// The default of each parameter.
    pub defaults: Vec<Option<Expression>>,
    /// Whether its last parameter takes the arguments that are left (`*args`).
    pub rest: bool,
    /// Whether it takes any number of arguments in another way (`**kwargs`).
    pub variadic: bool,
    /// What it does.
    pub body: Vec<Statement>,
}

/// `a.b` of `import a.b as c`.
#[derive(Debug)]
pub struct ImportedModule {
    /// The dotted path.
    pub path: String,
    /// The name after `as`.
    pub alias: Option<String>,
}

/// A name of `from … import …`.
#[derive(Debug)]
pub struct ImportedName {
    /// The name there.
    pub name: String,
    /// The name here.
    pub alias: String,
}

/// The module of `from … import …`.
#[derive(Debug, Clone)]
pub struct ModuleName {
    /// Leading dots.
    pub level: usize,
    /// The dotted path after them.
    pub path: String,
    /// Where it stands.
    pub span: Span,
}

/// An expression with its span.
#[derive(Debug)]
pub struct Expression {
    /// The whole expression, without parentheses around it.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What an expression is.
#[derive(Debug)]
pub enum Kind {
    /// A string, in pieces if it is an f-string.
    Text(Vec<Piece>),
    /// An integer.
    Integer(i64),
    /// `True`, `False`.
    Bool(bool),
    /// `None`.
    None,
    /// A name.
    Name(String),
    /// `object.name`.
    Attribute(Box<Expression>, String),
    /// `object[index]`.
    Subscript(Box<Expression>, Box<Expression>),
    /// `function(arguments)`.
    Call {
        /// What is called.
        function: Box<Expression>,
        /// The arguments, in order.
        arguments: Vec<Argument>,
    },
    /// `[…]`, `(…)` and `{…}` without keys.
    Sequence {
        /// Whether it is a tuple.
        tuple: bool,
        /// The items; a starred one is spliced in.
        items: Vec<Item>,
    },
    /// `{key: value}`; a pair without key is `**value`.
    Dictionary(Vec<(Option<Expression>, Expression)>),
    /// `left operator right`, comparisons, `and` and `or` among them.
    Binary {
        /// As written.
        operator: String,
        /// The left side.
        left: Box<Expression>,
        /// The right side.
        right: Box<Expression>,
    },
    /// `not value`.
    Not(Box<Expression>),
    /// `value if test else otherwise`.
    Conditional {
        /// The test.
        test: Box<Expression>,
        /// The value where it holds.
        value: Box<Expression>,
        /// The value where it does not.
        otherwise: Box<Expression>,
    },
    /// `name := value`.
    Walrus(String, Box<Expression>),
    /// `await value`.
    Await(Box<Expression>),
    /// `[element for target in items if test]`, also with other brackets.
    Comprehension {
        /// What each round gives; for a dictionary the key.
        element: Box<Expression>,
        /// The value of a dictionary's pair.
        value: Option<Box<Expression>>,
        /// What each round assigns.
        target: Box<Expression>,
        /// What it goes through.
        items: Box<Expression>,
        /// Which rounds count.
        tests: Vec<Expression>,
    },
    /// Anything else; its value is unknown.
    Other,
}

/// A piece of a string.
#[derive(Debug)]
pub enum Piece {
    /// Its text, escapes resolved.
    Text(String),
    /// `{expression}` of an f-string, plainly formatted.
    Value(Expression),
    /// Something whose text is unknown: a format specification, a template expression.
    Unknown,
}

/// An item of a list or a tuple.
#[derive(Debug)]
pub enum Item {
    /// One item.
    One(Expression),
    /// `*items`.
    Splice(Expression),
}

/// An argument of a call.
#[derive(Debug)]
pub enum Argument {
    /// By position.
    Positional(Expression),
    /// By name.
    Keyword(String, Expression),
    /// `*args` or `**kwargs`.
    Splice,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Source, SourceId};

    fn module(text: &str) -> Module {
        let path = "settings.py".to_owned();
        parse(&Source::new(
            SourceId(0),
            path.clone(),
            path,
            crate::source::Kind::Python,
            text.to_owned(),
            None,
        ))
    }

    #[test]
    fn statements_have_their_shape() {
        let parsed = module(
            "from ..a.b import c as d, e\nfrom .x import *\nimport q.r as s\nA = B = 'x' \"y\"\nC += [1]\n\
             if not DEBUG:\n    D = 1\nelif E:\n    pass\nelse:\n    D = 2\n\
             try:\n    from .l import *\nexcept ImportError:\n    pass\nelse:\n    F = 1\n",
        );
        assert!(parsed.error.is_none());
        let [relative, star, import, assign, augment, branch, attempt] =
            parsed.statements.as_slice()
        else {
            panic!("{parsed:#?}");
        };
        assert!(
            matches!(&relative.action, Action::ImportFrom { module, names: Some(names) }
            if module.level == 2 && module.path == "a.b" && names.len() == 2 && names[0].alias == "d")
        );
        assert!(
            matches!(&star.action, Action::ImportFrom { module, names: None } if module.level == 1)
        );
        assert!(
            matches!(&import.action, Action::Import(modules) if modules[0].alias.as_deref() == Some("s"))
        );
        assert!(
            matches!(&assign.action, Action::Assign { targets, value: Expression { kind: Kind::Text(pieces), .. } }
            if targets.len() == 2 && pieces.len() == 2)
        );
        assert!(matches!(&augment.action, Action::Augment { operator, .. } if operator == "+"));
        assert!(
            matches!(&branch.action, Action::If(branches) if branches.len() == 3 && branches[2].0.is_none())
        );
        assert!(
            matches!(&attempt.action, Action::Try { body, handlers, .. } if body.len() == 2 && handlers.len() == 1)
        );
    }

    #[test]
    fn deep_nesting_and_broken_text_are_survived() {
        let deep = format!("A = {}1{}\n", "[".repeat(50_000), "]".repeat(50_000));
        assert_eq!(module(&deep).statements.len(), 1);
        let blocks: String = (0..3000)
            .map(|depth| format!("{}if x:\n", " ".repeat(depth)))
            .collect();
        module(&format!("{blocks}{}pass\n", " ".repeat(3000)));
        for odd in [
            "A = (",
            "def",
            "f'{",
            "\u{feff}A = 1\n",
            "A = '\\",
            "print 'x'\n",
            "match x:\n case 1: pass\n",
        ] {
            module(odd);
        }
        assert!(module("A = (\n").error.is_some());
    }
}

//! Reads tree-sitter's tree.

use std::num::NonZeroU16;
use std::sync::LazyLock;

use tree_sitter::{Language, Node};

use super::{
    Action, Argument, Expression, Function, ImportedModule, ImportedName, Item, Kind, Module,
    ModuleName, Piece, Statement,
};
use crate::grammar;
use crate::source::{Source, Span};

/// Nesting of expressions and blocks that is followed; beyond it a value is unknown.
const MAX_DEPTH: usize = 60;

/// Parses a Python source.
pub fn parse(source: &Source) -> Module {
    let text = source.parsed_text();
    let Some(tree) = grammar::parse(tree_sitter_python::LANGUAGE, text) else {
        return Module::default();
    };
    let reader = Reader { source, text };
    Module {
        statements: reader.block(tree.root_node(), 0),
        error: first_error(tree.root_node()).map(|node| reader.span(node)),
    }
}

/// A field of the grammar.
#[derive(Clone, Copy)]
enum Field {
    Alias,
    Alternative,
    Argument,
    Arguments,
    Attribute,
    Body,
    Condition,
    Consequence,
    Definition,
    Expression,
    FormatSpecifier,
    Function,
    Key,
    Left,
    ModuleName,
    Name,
    Object,
    Operator,
    Parameters,
    Right,
    Subscript,
    Superclasses,
    TypeConversion,
    Value,
}

/// The names of the fields, in the order of [`Field`].
const FIELDS: [&str; 24] = [
    "alias",
    "alternative",
    "argument",
    "arguments",
    "attribute",
    "body",
    "condition",
    "consequence",
    "definition",
    "expression",
    "format_specifier",
    "function",
    "key",
    "left",
    "module_name",
    "name",
    "object",
    "operator",
    "parameters",
    "right",
    "subscript",
    "superclasses",
    "type_conversion",
    "value",
];

/// The child of `node` in `field`. To ask by number spares comparing names for each node.
fn field<'t>(node: Node<'t>, field: Field) -> Option<Node<'t>> {
    static NUMBERS: LazyLock<[Option<NonZeroU16>; FIELDS.len()]> = LazyLock::new(|| {
        let language = Language::new(tree_sitter_python::LANGUAGE);
        FIELDS.map(|name| language.field_id_for_name(name))
    });
    node.child_by_field_id(NUMBERS[field as usize]?.get())
}

/// The first node that the grammar could not place, without recursion.
fn first_error(root: Node<'_>) -> Option<Node<'_>> {
    let mut node = root;
    while node.has_error() && !node.is_error() && !node.is_missing() {
        let mut cursor = node.walk();
        node = node
            .children(&mut cursor)
            .find(|child| child.has_error() || child.is_missing())?;
    }
    (node.is_error() || node.is_missing()).then_some(node)
}

/// What was read of the children of `node`, in no more memory than it needs: a module is kept whole.
fn collect<T>(node: Node<'_>, items: impl Iterator<Item = T>) -> Vec<T> {
    let mut all = Vec::with_capacity(node.named_child_count());
    all.extend(items);
    all
}

struct Reader<'a> {
    source: &'a Source,
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn span(&self, node: Node<'_>) -> Span {
        Span::new(self.source.id, node.byte_range())
    }

    fn slice(&self, node: Node<'_>) -> &'a str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    fn field_text(&self, node: Node<'_>, name: Field) -> String {
        field(node, name)
            .map(|child| self.slice(child).to_owned())
            .unwrap_or_default()
    }

    /// The statements of a module or block.
    fn block(&self, node: Node<'_>, depth: usize) -> Vec<Statement> {
        if depth > MAX_DEPTH {
            return Vec::new();
        }
        let mut cursor = node.walk();
        let statements = node
            .named_children(&mut cursor)
            .filter(|child| child.kind() != "comment")
            .map(|child| Statement {
                span: self.span(child),
                action: self.action(child, depth),
            });
        collect(node, statements)
    }

    fn body(&self, node: Node<'_>, of: Field, depth: usize) -> Vec<Statement> {
        field(node, of)
            .map(|block| self.block(block, depth + 1))
            .unwrap_or_default()
    }

    fn action(&self, node: Node<'_>, depth: usize) -> Action {
        match node.kind() {
            "expression_statement" => match node.named_child(0) {
                Some(inner) => self.simple(inner, depth),
                None => Action::Other,
            },
            "import_statement" => {
                let mut cursor = node.walk();
                let modules = node
                    .children_by_field_name("name", &mut cursor)
                    .map(|name| {
                        let alias =
                            field(name, Field::Alias).map(|alias| self.slice(alias).to_owned());
                        let path = field(name, Field::Name).unwrap_or(name);
                        ImportedModule {
                            path: self.slice(path).to_owned(),
                            alias,
                        }
                    });
                Action::Import(modules.collect())
            }
            "import_from_statement" => self.import_from(node),
            "if_statement" => {
                let test =
                    field(node, Field::Condition).map(|test| self.expression(test, depth + 1));
                let mut branches = vec![(test, self.body(node, Field::Consequence, depth))];
                let mut cursor = node.walk();
                for clause in node.children_by_field_name("alternative", &mut cursor) {
                    let test = field(clause, Field::Condition)
                        .map(|test| self.expression(test, depth + 1));
                    let field = if clause.kind() == "elif_clause" {
                        Field::Consequence
                    } else {
                        Field::Body
                    };
                    branches.push((test, self.body(clause, field, depth)));
                }
                Action::If(branches)
            }
            "try_statement" => self.attempt(node, depth),
            "for_statement" | "while_statement" => Action::Loop {
                target: self.boxed(field(node, Field::Left), depth),
                items: self.boxed(
                    field(node, Field::Right).filter(|_| {
                        let text = self.slice(node);
                        field(node, Field::Alternative).is_none()
                            && !text.contains("break")
                            && !text.contains("continue")
                    }),
                    depth,
                ),
                body: self.body(node, Field::Body, depth),
            },
            "with_statement" => Action::Block(self.body(node, Field::Body, depth)),
            "class_definition" => {
                let mut bases = Vec::new();
                if let Some(list) = field(node, Field::Superclasses) {
                    let mut cursor = list.walk();
                    for base in list.named_children(&mut cursor) {
                        if !matches!(base.kind(), "keyword_argument" | "comment") {
                            bases.push(self.expression(base, depth + 1));
                        }
                    }
                }
                Action::Class {
                    name: self.field_text(node, Field::Name),
                    bases,
                    body: self.body(node, Field::Body, depth),
                }
            }
            "function_definition" => {
                let name = self.field_text(node, Field::Name);
                let body = self.body(node, Field::Body, depth);
                Action::Function(self.function(node, name, body, depth))
            }
            "decorated_definition" => match field(node, Field::Definition) {
                // A decorator may put anything in a function's place; a class stays one.
                Some(definition) => match self.action(definition, depth + 1) {
                    Action::Function(function) => Action::Function(Function {
                        decorated: true,
                        property: self.slice(node).starts_with("@property\n"),
                        ..function
                    }),
                    action => action,
                },
                None => Action::Other,
            },
            "pass_statement" => Action::Nothing,
            "delete_statement" => {
                let mut cursor = node.walk();
                Action::Delete(
                    node.named_children(&mut cursor)
                        .map(|child| self.expression(child, depth + 1))
                        .collect(),
                )
            }
            "raise_statement" => Action::Raise(
                node.named_child(0)
                    .map(|error| self.expression(error, depth + 1)),
            ),
            "return_statement" => Action::Return(
                node.named_child(0)
                    .map(|value| self.expression(value, depth + 1)),
            ),
            _ => Action::Other,
        }
    }

    fn function(
        &self,
        node: Node<'_>,
        name: String,
        body: Vec<Statement>,
        depth: usize,
    ) -> Function {
        let (mut parameters, mut defaults) = (Vec::new(), Vec::new());
        let (mut rest, mut variadic) = (false, false);
        if let Some(list) = field(node, Field::Parameters) {
            let mut cursor = list.walk();
            for parameter in list.named_children(&mut cursor) {
                let name = match parameter.kind() {
                    "identifier" => Some(parameter),
                    "comment" => None,
                    _ => field(parameter, Field::Name).or_else(|| parameter.named_child(0)),
                };
                let Some(name) = name else { continue };
                // What follows `*args` can only be given by name.
                variadic |= rest;
                match name.parent().map(|parent| parent.kind()) {
                    Some("list_splat_pattern") => rest = true,
                    Some("dictionary_splat_pattern") => variadic = true,
                    _ => {}
                }
                parameters.push(self.slice(name).to_owned());
                let default = field(parameter, Field::Value);
                defaults.push(default.map(|value| self.expression(value, depth + 1)));
            }
        }
        Function {
            name,
            asynchronous: self.slice(node).starts_with("async"),
            decorated: false,
            property: false,
            parameters,
            defaults,
            rest,
            variadic,
            body,
        }
    }

    fn simple(&self, node: Node<'_>, depth: usize) -> Action {
        match node.kind() {
            "string" => Action::Nothing,
            "assignment" => {
                let mut targets = Vec::with_capacity(1);
                let mut at = node;
                loop {
                    if let Some(left) = field(at, Field::Left) {
                        targets.push(self.expression(left, depth + 1));
                    }
                    match field(at, Field::Right) {
                        Some(right) if right.kind() == "assignment" => at = right,
                        // A lambda with a name is a function.
                        Some(right)
                            if right.kind() == "lambda"
                                && matches!(targets.as_slice(), [one] if matches!(one.kind, Kind::Name(_))) =>
                        {
                            let value = field(right, Field::Body)
                                .map(|value| self.expression(value, depth + 1));
                            let name = self.field_text(node, Field::Left);
                            let body = vec![Statement {
                                span: self.span(right),
                                action: Action::Return(value),
                            }];
                            return Action::Function(self.function(right, name, body, depth));
                        }
                        Some(right) => {
                            return Action::Assign {
                                targets,
                                value: self.expression(right, depth + 1),
                            };
                        }
                        // A bare annotation, `NAME: str`.
                        None => return Action::Other,
                    }
                }
            }
            "augmented_assignment" => {
                let (Some(left), Some(right)) =
                    (field(node, Field::Left), field(node, Field::Right))
                else {
                    return Action::Other;
                };
                Action::Augment {
                    target: self.expression(left, depth + 1),
                    operator: self
                        .field_text(node, Field::Operator)
                        .trim_end_matches('=')
                        .to_owned(),
                    value: Box::new(self.expression(right, depth + 1)),
                }
            }
            _ => Action::Evaluate(self.expression(node, depth + 1)),
        }
    }

    fn import_from(&self, node: Node<'_>) -> Action {
        let Some(module) = field(node, Field::ModuleName) else {
            return Action::Other;
        };
        let text = self.slice(module);
        let path = text.trim_start_matches(['.', ' ', '\t']);
        let module = ModuleName {
            level: text[..text.len() - path.len()].matches('.').count(),
            path: path.to_owned(),
            span: self.span(module),
        };
        let mut cursor = node.walk();
        if node
            .named_children(&mut cursor)
            .any(|child| child.kind() == "wildcard_import")
        {
            return Action::ImportFrom {
                module,
                names: None,
            };
        }
        let mut cursor = node.walk();
        let names = node
            .children_by_field_name("name", &mut cursor)
            .map(|name| {
                let alias = field(name, Field::Alias);
                let original = field(name, Field::Name).unwrap_or(name);
                ImportedName {
                    name: self.slice(original).to_owned(),
                    alias: self.slice(alias.unwrap_or(original)).to_owned(),
                }
            })
            .collect();
        Action::ImportFrom {
            module,
            names: Some(names),
        }
    }

    fn attempt(&self, node: Node<'_>, depth: usize) -> Action {
        let mut body = self.body(node, Field::Body, depth);
        let (mut handlers, mut finally) = (Vec::new(), Vec::new());
        let mut cursor = node.walk();
        for clause in node.named_children(&mut cursor) {
            let mut inner = clause.walk();
            let block = clause
                .named_children(&mut inner)
                .find(|child| child.kind() == "block")
                .map(|block| self.block(block, depth + 1))
                .unwrap_or_default();
            match clause.kind() {
                "except_clause" | "except_group_clause" => handlers.push(block),
                "else_clause" => body.extend(block),
                "finally_clause" => finally = block,
                _ => {}
            }
        }
        Action::Try {
            body,
            handlers,
            finally,
        }
    }

    fn boxed(&self, node: Option<Node<'_>>, depth: usize) -> Option<Box<Expression>> {
        node.map(|node| Box::new(self.expression(node, depth + 1)))
    }

    fn expression(&self, node: Node<'_>, depth: usize) -> Expression {
        let mut node = node;
        while node.kind() == "parenthesized_expression" {
            let mut cursor = node.walk();
            let Some(inner) = node
                .named_children(&mut cursor)
                .find(|child| child.kind() != "comment")
            else {
                break;
            };
            node = inner;
        }
        let span = self.span(node);
        let kind = if depth > MAX_DEPTH {
            Kind::Other
        } else {
            self.kind(node, depth).unwrap_or(Kind::Other)
        };
        Expression { span, kind }
    }

    fn kind(&self, node: Node<'_>, depth: usize) -> Option<Kind> {
        Some(match node.kind() {
            "identifier" => {
                // A template expression is masked by letters; nobody knows what they will be.
                if self.source.is_masked(self.span(node)) {
                    return None;
                }
                Kind::Name(self.slice(node).to_owned())
            }
            "string" => {
                // Its quotes are children too.
                let mut pieces = Vec::with_capacity(node.named_child_count().saturating_sub(2));
                self.string(node, depth, &mut pieces)?;
                Kind::Text(pieces)
            }
            "concatenated_string" => {
                let mut pieces = Vec::new();
                let mut cursor = node.walk();
                for part in node
                    .named_children(&mut cursor)
                    .filter(|part| part.kind() == "string")
                {
                    self.string(part, depth, &mut pieces)?;
                }
                Kind::Text(pieces)
            }
            "integer" => Kind::Integer(self.slice(node).replace('_', "").parse().ok()?),
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            "none" => Kind::None,
            "attribute" => Kind::Attribute(
                self.boxed(field(node, Field::Object), depth)?,
                self.field_text(node, Field::Attribute),
            ),
            "subscript" => Kind::Subscript(
                self.boxed(field(node, Field::Value), depth)?,
                self.boxed(field(node, Field::Subscript), depth)?,
            ),
            "call" => Kind::Call {
                function: self.boxed(field(node, Field::Function), depth)?,
                arguments: self.arguments(field(node, Field::Arguments)?, depth),
            },
            kind @ ("list" | "tuple" | "set" | "expression_list" | "pattern_list"
            | "tuple_pattern" | "list_pattern") => {
                let mut items = Vec::with_capacity(node.named_child_count());
                let mut cursor = node.walk();
                for child in node.named_children(&mut cursor) {
                    match child.kind() {
                        "comment" => {}
                        "list_splat" => {
                            if let Some(inner) = child.named_child(0) {
                                items.push(Item::Splice(self.expression(inner, depth + 1)));
                            }
                        }
                        _ => items.push(Item::One(self.expression(child, depth + 1))),
                    }
                }
                Kind::Sequence {
                    tuple: !matches!(kind, "list" | "set" | "list_pattern"),
                    items,
                }
            }
            "dictionary" => {
                let mut pairs = Vec::with_capacity(node.named_child_count());
                let mut cursor = node.walk();
                for child in node.named_children(&mut cursor) {
                    match child.kind() {
                        "pair" => {
                            let key = self.expression(field(child, Field::Key)?, depth + 1);
                            let value = self.expression(field(child, Field::Value)?, depth + 1);
                            pairs.push((Some(key), value));
                        }
                        "dictionary_splat" => {
                            pairs.push((None, self.expression(child.named_child(0)?, depth + 1)))
                        }
                        _ => {}
                    }
                }
                Kind::Dictionary(pairs)
            }
            "binary_operator" | "boolean_operator" => Kind::Binary {
                operator: self.field_text(node, Field::Operator),
                left: self.boxed(field(node, Field::Left), depth)?,
                right: self.boxed(field(node, Field::Right), depth)?,
            },
            "comparison_operator" if node.named_child_count() == 2 => {
                let mut cursor = node.walk();
                let operators: Vec<_> = node
                    .children_by_field_name("operators", &mut cursor)
                    .map(|operator| self.slice(operator))
                    .collect();
                Kind::Binary {
                    operator: operators.join(" "),
                    left: self.boxed(node.named_child(0), depth)?,
                    right: self.boxed(node.named_child(1), depth)?,
                }
            }
            // A negative number; anything else is computed.
            "unary_operator" => {
                let number = field(node, Field::Argument).filter(|part| part.kind() == "integer");
                let text = self.slice(node).replace(['_', ' '], "");
                Kind::Integer(number.and_then(|_| text.parse().ok())?)
            }
            "not_operator" => Kind::Not(self.boxed(field(node, Field::Argument), depth)?),
            "conditional_expression" => Kind::Conditional {
                value: self.boxed(node.named_child(0), depth)?,
                test: self.boxed(node.named_child(1), depth)?,
                otherwise: self.boxed(node.named_child(2), depth)?,
            },
            "named_expression" => Kind::Walrus(
                self.field_text(node, Field::Name),
                self.boxed(field(node, Field::Value), depth)?,
            ),
            "await" => Kind::Await(self.boxed(node.named_child(0), depth)?),
            "list_comprehension"
            | "generator_expression"
            | "set_comprehension"
            | "dictionary_comprehension" => self.comprehension(node, depth)?,
            _ => return None,
        })
    }

    /// A comprehension with one `for`.
    fn comprehension(&self, node: Node<'_>, depth: usize) -> Option<Kind> {
        let body = field(node, Field::Body)?;
        let (element, value) = if body.kind() == "pair" {
            let value = self.boxed(field(body, Field::Value), depth)?;
            (field(body, Field::Key)?, Some(value))
        } else {
            (body, None)
        };
        let mut clauses = None;
        let mut tests = Vec::new();
        let mut cursor = node.walk();
        for clause in node.named_children(&mut cursor) {
            match clause.kind() {
                "for_in_clause" if clauses.is_none() => clauses = Some(clause),
                "for_in_clause" => return None,
                "if_clause" => tests.push(self.expression(clause.named_child(0)?, depth + 1)),
                _ => {}
            }
        }
        let clause = clauses?;
        Some(Kind::Comprehension {
            element: self.boxed(Some(element), depth)?,
            value,
            target: self.boxed(field(clause, Field::Left), depth)?,
            items: self.boxed(field(clause, Field::Right), depth)?,
            tests,
        })
    }

    fn arguments(&self, node: Node<'_>, depth: usize) -> Vec<Argument> {
        if node.kind() == "generator_expression" {
            return vec![Argument::Positional(self.expression(node, depth + 1))];
        }
        if node.kind() != "argument_list" {
            return vec![Argument::Splice];
        }
        let mut cursor = node.walk();
        let arguments = node
            .named_children(&mut cursor)
            .filter(|child| child.kind() != "comment")
            .map(|child| match child.kind() {
                "keyword_argument" => match field(child, Field::Value) {
                    Some(value) => Argument::Keyword(
                        self.field_text(child, Field::Name),
                        self.expression(value, depth + 1),
                    ),
                    None => Argument::Splice,
                },
                "list_splat" | "dictionary_splat" => Argument::Splice,
                _ => Argument::Positional(self.expression(child, depth + 1)),
            });
        collect(node, arguments)
    }

    /// The pieces of one string literal; `None` for bytes.
    fn string(&self, node: Node<'_>, depth: usize, pieces: &mut Vec<Piece>) -> Option<()> {
        let start = self.slice(node.named_child(0)?).to_ascii_lowercase();
        if start.contains('b') {
            return None;
        }
        let raw = start.contains('r');
        let mut cursor = node.walk();
        for part in node.named_children(&mut cursor) {
            match part.kind() {
                "string_content" => {
                    if self.source.is_masked(self.span(part)) {
                        pieces.push(Piece::Unknown);
                    } else if raw || part.named_child_count() == 0 {
                        pieces.push(Piece::Text(self.slice(part).to_owned()));
                    } else {
                        pieces.push(Piece::Text(unescape(self.slice(part))));
                    }
                }
                "interpolation" => {
                    let plain = field(part, Field::FormatSpecifier).is_none()
                        && field(part, Field::TypeConversion).is_none();
                    pieces.push(match field(part, Field::Expression) {
                        Some(expression) if plain => {
                            Piece::Value(self.expression(expression, depth + 1))
                        }
                        _ => Piece::Unknown,
                    });
                }
                _ => {}
            }
        }
        Some(())
    }
}

/// Resolves the escapes that configuration uses; a rarer one stays as written.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        match rest.next() {
            Some('\n') | None => {}
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some(same @ ('\\' | '\'' | '"')) => out.push(same),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    out
}

//! The shape that nginx configurations and Caddyfiles share once parsed: directives with
//! arguments and, perhaps, a block of further directives.
//!
//! A [`Tree`] is a flat list in file order (preorder). Nothing here recurses, so 100,000
//! nested blocks cost memory and no stack.

use crate::source::{SourceId, Span};

/// How a word was written; quoting takes away special meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// Bare.
    None,
    /// `"…"`.
    Double,
    /// `'…'` (nginx only).
    Single,
    /// `` `…` `` (Caddyfile only).
    Backtick,
    /// `<<MARK …` (Caddyfile only).
    Heredoc,
}

/// One token: a directive's name or an argument.
#[derive(Clone, Debug)]
pub struct Word {
    /// The value as the server reads it: quotes and escapes resolved.
    pub text: String,
    /// How it was written.
    pub quote: Quote,
    /// Where it stands, quotes included.
    pub span: Span,
    /// A template expression supplies a part of it, so the value is unknown.
    pub templated: bool,
}

/// One directive. A Caddyfile's site is a directive whose words are its addresses; a block
/// without words (global options, an anonymous block) has an empty `words`.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name and then the arguments.
    pub words: Vec<Word>,
    /// From the first word to the `;`, the `}` or the end of the line's last word.
    pub span: Span,
    /// The block, both braces included.
    pub block: Option<Span>,
    /// Foreign code in the block (`*_by_lua_block`), which holds no directives of ours.
    pub code: Option<Span>,
    /// Index of the directive whose block holds this one.
    pub parent: Option<u32>,
    /// One past the last node below this one.
    pub end: u32,
    /// No syntax error touches this directive itself (its block may still hold one).
    pub intact: bool,
    /// How deep it is nested, from 0.
    pub depth: u32,
}

/// A place that the server itself would refuse to parse.
#[derive(Clone, Debug)]
pub struct SyntaxError {
    /// Where.
    pub span: Span,
    /// What is wrong, for a person.
    pub message: String,
    /// The server surely refuses the file for it; else it may read something else than was meant.
    pub certain: bool,
}

/// A parsed file.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Whose tree this is.
    pub source: SourceId,
    /// All directives in file order.
    pub nodes: Vec<Node>,
    /// What does not parse. Empty for templates, whose errors prove nothing.
    pub errors: Vec<SyntaxError>,
}

impl Tree {
    /// An empty tree, for a file that could not be parsed at all.
    pub fn empty(source: SourceId) -> Self {
        Self {
            source,
            nodes: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// The directives at the top of the file.
    pub fn top(&self) -> Children<'_> {
        Children {
            tree: self,
            next: 0,
            end: self.nodes.len() as u32,
        }
    }

    /// The directive at `index`.
    pub fn at(&self, index: u32) -> Directive<'_> {
        Directive { tree: self, index }
    }

    /// Every directive of the file, in order, whatever its depth.
    pub fn all(&self) -> impl Iterator<Item = Directive<'_>> {
        (0..self.nodes.len() as u32).map(|index| self.at(index))
    }
}

/// A directive of a [`Tree`].
#[derive(Clone, Copy, Debug)]
pub struct Directive<'a> {
    tree: &'a Tree,
    /// Its index in [`Tree::nodes`].
    pub index: u32,
}

impl<'a> Directive<'a> {
    /// The node itself.
    pub fn node(self) -> &'a Node {
        &self.tree.nodes[self.index as usize]
    }

    /// The name; empty for an anonymous block.
    pub fn name(self) -> &'a str {
        self.node().words.first().map_or("", |word| &word.text)
    }

    /// The name's word.
    pub fn name_word(self) -> Option<&'a Word> {
        self.node().words.first()
    }

    /// The arguments, without the name.
    pub fn args(self) -> &'a [Word] {
        self.node().words.get(1..).unwrap_or_default()
    }

    /// The n-th argument's text.
    pub fn arg(self, n: usize) -> Option<&'a str> {
        self.args().get(n).map(|word| word.text.as_str())
    }

    /// From the first word to the end of the directive.
    pub fn span(self) -> Span {
        self.node().span
    }

    /// From the name to the last argument: what to underline when the block does not matter.
    pub fn head(self) -> Span {
        let node = self.node();
        match (node.words.first(), node.words.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => node.block.map_or(node.span, |block| Span {
                end: (block.start + 1).min(block.end),
                ..block
            }),
        }
    }

    /// Whether it opens a block.
    pub fn has_block(self) -> bool {
        self.node().block.is_some()
    }

    /// The directives in its block.
    pub fn children(self) -> Children<'a> {
        Children {
            tree: self.tree,
            next: self.index + 1,
            end: self.node().end,
        }
    }

    /// The directive that holds it.
    pub fn parent(self) -> Option<Self> {
        self.node().parent.map(|index| self.tree.at(index))
    }
}

/// The directives of one block, in order.
#[derive(Clone, Debug)]
pub struct Children<'a> {
    tree: &'a Tree,
    next: u32,
    end: u32,
}

impl<'a> Iterator for Children<'a> {
    type Item = Directive<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let directive = self.tree.at(self.next);
        // `end` is past the node itself, so this always advances.
        self.next = directive.node().end;
        Some(directive)
    }
}

//! The tree-sitter grammars of nginx configurations and Caddyfiles, and the tokens of a parsed file.
//!
//! Both technologies build their [`Tree`](crate::syntax::Tree) from the tokens rather than from
//! tree-sitter's nodes: the tokens are all there even where the parser lost its way, so that one
//! missing `;` costs one directive and not the whole block around it.

use std::cell::RefCell;
use std::ops::Range;

use tree_sitter::{Node, Parser, Tree, TreeCursor};
use tree_sitter_language::LanguageFn;

#[allow(
    unsafe_code,
    reason = "the generated parsers are C; each of these functions returns a pointer to a static table"
)]
mod ffi {
    use tree_sitter_language::LanguageFn;

    unsafe extern "C" {
        fn tree_sitter_wslint_nginx() -> *const ();
        fn tree_sitter_wslint_caddyfile() -> *const ();
    }

    pub(super) const NGINX: LanguageFn = unsafe { LanguageFn::from_raw(tree_sitter_wslint_nginx) };
    pub(super) const CADDYFILE: LanguageFn =
        unsafe { LanguageFn::from_raw(tree_sitter_wslint_caddyfile) };
}

/// The grammar of nginx configurations (`grammars/nginx`).
pub const NGINX: LanguageFn = ffi::NGINX;

/// The grammar of Caddyfiles (`grammars/caddyfile`).
pub const CADDYFILE: LanguageFn = ffi::CADDYFILE;

/// Parses `text`; `None` only if the grammar does not fit this tree-sitter.
pub fn parse(language: LanguageFn, text: &str) -> Option<Tree> {
    // A parser's own memory is worth keeping from file to file.
    thread_local! {
        static PARSER: RefCell<Parser> = RefCell::new(Parser::new());
    }
    PARSER.with_borrow_mut(|parser| {
        parser.set_language(&language.into()).ok()?;
        parse_with(parser, text)
    })
}

fn parse_with(parser: &mut Parser, text: &str) -> Option<Tree> {
    // To tree-sitter a NUL is the end of the file; to the servers it is a character like any other.
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return parser.parse(text.replace('\0', "\u{1}"), None);
    }
    parser.parse(text, None)
}

/// What [`read`] calls a quote that nothing closes, with the rest of its line.
pub(crate) const UNCLOSED: &str = "unclosed quote";

/// How often parsing starts again after a quote that nothing closes. There are three kinds of quotes,
/// and after the last one of a kind there is no further one; escapes allow for a few more.
const MAX_RESTARTS: usize = 8;

/// Calls `take` with the kind and the place of each token of `text`, in file order, comments and
/// whatever could not be read included.
///
/// A quote that nothing closes swallows the rest of the file. That is what the server does, but no
/// help to anybody: here it ends with its line, and the next line is read as if nothing had happened.
pub(crate) fn read(language: LanguageFn, text: &str, mut take: impl FnMut(&str, Range<usize>)) {
    let mut from = 0;
    for restart in 0..=MAX_RESTARTS {
        let Some(tree) = parse(language, &text[from..]) else {
            return;
        };
        let mut next = None;
        for token in tokens(&tree) {
            let (start, end) = (from + token.start_byte(), from + token.end_byte());
            let skipped = text.get(start..end).filter(|_| token.is_error());
            let quote = skipped.and_then(|skipped| skipped.find(['"', '\'', '`']));
            let Some(quote) = quote.filter(|_| restart < MAX_RESTARTS) else {
                take(token.kind(), start..end);
                continue;
            };
            let start = start + quote;
            let line = memchr::memchr(b'\n', &text.as_bytes()[start..end]);
            let end = line.map_or(end, |line| start + line);
            take(UNCLOSED, start..end);
            next = Some(end);
            break;
        }
        match next {
            Some(next) if next < text.len() => from = next,
            _ => return,
        }
    }
}

/// The tokens of `tree` in file order.
fn tokens(tree: &Tree) -> Tokens<'_> {
    Tokens {
        cursor: tree.walk(),
        state: State::Arrived,
    }
}

/// Walks the leaves of a tree without recursion, however deeply it is nested.
struct Tokens<'a> {
    cursor: TreeCursor<'a>,
    state: State,
}

#[derive(PartialEq)]
enum State {
    /// The cursor stands on a node that was not looked at.
    Arrived,
    /// The cursor's node and all below it are done.
    Done,
    /// Back at the root.
    Ended,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            match self.state {
                State::Ended => return None,
                State::Arrived => {
                    if self.cursor.goto_first_child() {
                        continue;
                    }
                    self.state = State::Done;
                    let node = self.cursor.node();
                    // Empty are the root of an empty file and what the parser made up in order
                    // to go on (a `;` that is missing).
                    if node.start_byte() < node.end_byte() {
                        return Some(node);
                    }
                }
                State::Done => {
                    self.state = if self.cursor.goto_next_sibling() {
                        State::Arrived
                    } else if self.cursor.goto_parent() {
                        State::Done
                    } else {
                        State::Ended
                    };
                }
            }
        }
    }
}

//! nginx configurations as a [`Tree`] of directives.
//!
//! Words come out as ngx_conf_read_token leaves them: without quotes, with `\"`, `\'`, `\\`, `\t`,
//! `\r` and `\n` replaced and every other backslash kept. Text in which `${name}` stands is left
//! alone: variables are the model's business.

use crate::grammar;
use crate::source::{Source, Span};
use crate::syntax::{Node, Quote, SyntaxError, Tree, Word};

/// More errors than this in one file say nothing new.
const MAX_ERRORS: usize = 20;

/// The size of the buffer through which nginx reads (ngx_conf_file.c, NGX_CONF_BUFFER); a word or a
/// comment must fit in.
const BUFFER: usize = 4096;

/// Parses an nginx configuration, or a fragment that another file includes.
pub fn parse(source: &Source) -> Tree {
    let Some(parsed) = grammar::parse(grammar::NGINX, source.parsed_text()) else {
        return Tree::empty(source.id);
    };
    let mut builder = Builder::new(source);
    for token in grammar::tokens(&parsed) {
        builder.take(token.kind(), token.start_byte(), token.end_byte());
    }
    builder.finish()
}

/// Puts directives together, one token after the other.
struct Builder<'a> {
    source: &'a Source,
    tree: Tree,
    /// The blocks that are open, outermost first.
    open: Vec<u32>,
    /// The words of the directive that is being read.
    words: Vec<Word>,
    /// Whether these words are as the server would read them.
    intact: bool,
    /// Where the quoted word ends that was the last token.
    quote_end: Option<usize>,
    /// Within a Lua block: how many braces are open in its code.
    lua_braces: Option<usize>,
}

impl<'a> Builder<'a> {
    fn new(source: &'a Source) -> Self {
        let mut builder = Self {
            source,
            tree: Tree::empty(source.id),
            open: Vec::new(),
            words: Vec::new(),
            intact: true,
            quote_end: None,
            lua_braces: None,
        };
        if source.text.starts_with('\u{feff}') {
            builder.error(
                0..3,
                "the file starts with a byte-order mark, which nginx takes for a part of the first \
                 directive's name"
                    .into(),
            );
        }
        builder
    }

    fn span(&self, range: std::ops::Range<usize>) -> Span {
        Span::new(self.source.id, range)
    }

    fn error(&mut self, range: std::ops::Range<usize>, message: String) {
        if self.tree.errors.len() < MAX_ERRORS {
            let span = self.span(range);
            self.tree.errors.push(SyntaxError { span, message });
        }
    }

    fn take(&mut self, kind: &str, start: usize, end: usize) {
        if self.lua(kind, start, end) {
            return;
        }
        self.check_glued(kind, start);
        match kind {
            "word" | "lua_name" => self.word(Quote::None, start, end),
            "double_quoted" | "quoted_lua_name" => self.word(Quote::Double, start, end),
            "single_quoted" => self.word(Quote::Single, start, end),
            "comment" => self.check_length(start, end - start, "comment"),
            ";" => self.terminator(start, end),
            "{" => self.open_block(start, end),
            "}" => self.close_block(start, end),
            _ => self.unreadable(start, end),
        }
    }

    /// After a closing quote only a blank, `;`, `{` or `)` may follow (ngx_conf_read_token,
    /// `need_space`).
    fn check_glued(&mut self, kind: &str, start: usize) {
        let Some(quote_end) = self.quote_end.take() else {
            return;
        };
        let next = self.source.parsed_text()[start..].chars().next();
        if quote_end != start || matches!(kind, ";" | "{") || matches!(next, Some(')') | None) {
            return;
        }
        let next = next.unwrap_or_default();
        let string = self
            .words
            .last()
            .map_or(start..start, |word| word.span.range());
        let message = if self.source.parsed_text()[string.clone()].contains('\n') {
            let line = self.source.position(string.start).line;
            format!(
                "unexpected \"{next}\" after a string that begins in line {line}: a quote is missing there or here"
            )
        } else {
            format!("unexpected \"{next}\" directly after a closing quote: a space is missing")
        };
        self.error(start..start + next.len_utf8(), message);
        self.intact = false;
    }

    fn check_length(&mut self, start: usize, length: usize, what: &str) {
        if length >= BUFFER {
            self.error(
                start..start + 1,
                format!("too long {what}: nginx takes fewer than {BUFFER} bytes"),
            );
            self.intact = what == "comment" && self.intact;
        }
    }

    fn word(&mut self, quote: Quote, start: usize, end: usize) {
        let content = match quote {
            Quote::None => start..end,
            _ => {
                self.quote_end = Some(end);
                start + 1..end - 1
            }
        };
        // The closing quote has to fit in as well.
        self.check_length(
            start,
            content.len() + usize::from(quote != Quote::None),
            "parameter",
        );
        let span = self.span(start..end);
        self.words.push(Word {
            text: unescape(self.source.text.get(content).unwrap_or_default()),
            quote,
            span,
            templated: self.source.is_masked(span),
        });
    }

    fn terminator(&mut self, start: usize, end: usize) {
        if self.words.is_empty() {
            return self.error(
                start..end,
                "unexpected \";\": no directive stands before it".into(),
            );
        }
        self.push(end, None);
    }

    fn open_block(&mut self, start: usize, end: usize) {
        if self.words.is_empty() {
            self.error(
                start..end,
                "unexpected \"{\": no directive stands before it".into(),
            );
            self.intact = false;
        }
        let block = self.span(start..end);
        let index = self.push(end, Some(block));
        let name = self.tree.nodes[index as usize].words.first();
        self.lua_braces = name.is_some_and(is_lua_block).then_some(0);
        self.open.push(index);
    }

    fn close_block(&mut self, start: usize, end: usize) {
        self.flush("unexpected \"}\"");
        let Some(index) = self.open.pop() else {
            return self.error(start..end, "unexpected \"}\": no block is open here".into());
        };
        self.close(index, end);
    }

    /// Ends the block of a node, and with it the node.
    fn close(&mut self, index: u32, end: usize) {
        let below = self.tree.nodes.len() as u32;
        let node = &mut self.tree.nodes[index as usize];
        node.end = below;
        node.span.end = end as u32;
        if let Some(block) = &mut node.block {
            block.end = end as u32;
        }
    }

    /// Takes the words read so far for a directive that lacks its `;`.
    fn flush(&mut self, found: &str) {
        let (Some(first), Some(last)) = (self.words.first(), self.words.last()) else {
            return;
        };
        let message = format!(
            "directive \"{}\" is not terminated by \";\": {found}",
            first.text
        );
        let range = first.span.to(last.span).range();
        let end = range.end;
        self.error(range, message);
        self.intact = false;
        self.push(end, None);
    }

    fn push(&mut self, end: usize, block: Option<Span>) -> u32 {
        let index = self.tree.nodes.len() as u32;
        let words = std::mem::take(&mut self.words);
        let start = match (words.first(), block) {
            (Some(first), _) => first.span.range().start,
            (None, Some(block)) => block.range().start,
            (None, None) => end,
        };
        self.tree.nodes.push(Node {
            words,
            span: self.span(start..end),
            block,
            code: None,
            parent: self.open.last().copied(),
            end: index + 1,
            intact: std::mem::replace(&mut self.intact, true),
            depth: self.open.len() as u32,
        });
        index
    }

    /// Something that is no token: a quote that nothing closes, or a backslash before the end.
    fn unreadable(&mut self, start: usize, end: usize) {
        let text = &self.source.parsed_text()[start..end];
        let start = start + (text.len() - text.trim_start().len());
        let first = text.trim_start().chars().next();
        let Some(first) = first else { return };
        let message = match first {
            '"' | '\'' => format!("missing terminating {first} character"),
            _ => format!("unexpected \"{}\"", first.escape_debug()),
        };
        self.error(start..start + first.len_utf8(), message);
        self.intact = false;
    }

    /// Takes a token within a Lua block. Where the parser was recovering from an error elsewhere, the
    /// code comes as a sequence of nginx tokens, of which only the braces matter.
    fn lua(&mut self, kind: &str, start: usize, end: usize) -> bool {
        let (Some(braces), Some(index)) = (&mut self.lua_braces, self.open.last()) else {
            return false;
        };
        match (kind, *braces) {
            ("}", 0) => {
                self.lua_braces = None;
                return false;
            }
            ("}", _) => *braces -= 1,
            ("{", _) => *braces += 1,
            _ => {}
        }
        let token = Span::new(self.source.id, start..end);
        let node = &mut self.tree.nodes[*index as usize];
        node.code = Some(node.code.map_or(token, |code| code.to(token)));
        true
    }

    fn finish(mut self) -> Tree {
        self.flush("unexpected end of file");
        if let Some(index) = self.open.last() {
            let node = &self.tree.nodes[*index as usize];
            let block = node.block.map_or(node.span, |block| block).range();
            let name = node.words.first().map_or("{", |word| &word.text);
            let message = format!(
                "unexpected end of file, expecting \"}}\": the block of \"{name}\" is not closed"
            );
            self.error(block.start..block.start + 1, message);
        }
        let end = self.source.text.len();
        while let Some(index) = self.open.pop() {
            self.tree.nodes[index as usize].intact = false;
            self.close(index, end);
        }
        if self.source.is_template() {
            self.tree.errors.clear();
        }
        self.tree.errors.sort_by_key(|error| error.span.start);
        self.tree
    }
}

/// Whether a directive of this name holds Lua; the grammar's `lua_name`.
fn is_lua_block(name: &Word) -> bool {
    name.quote != Quote::Single
        && name
            .text
            .strip_suffix("_by_lua_block")
            .is_some_and(|phase| {
                !phase.is_empty()
                    && phase
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            })
}

/// What ngx_conf_read_token makes of the backslashes in a word.
fn unescape(raw: &str) -> String {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return raw.to_owned();
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match rest.next() {
            Some(escaped @ ('"' | '\'' | '\\')) => text.push(escaped),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some(other) => text.extend(['\\', other]),
            None => text.push('\\'),
        }
    }
    text
}

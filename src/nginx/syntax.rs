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
    let mut builder = Builder::new(source);
    grammar::read(grammar::NGINX, source.parsed_text(), |kind, range| {
        builder.take(kind, range.start, range.end);
    });
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
            self.tree.errors.push(SyntaxError {
                span,
                message,
                certain: true,
            });
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
            grammar::UNCLOSED => self.unclosed(start, end),
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
        // In no more memory than they need: a file is kept whole.
        let words: Vec<Word> = self.words.drain(..).collect();
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

    /// A quote that nothing closes: the directive ends here, with its line.
    fn unclosed(&mut self, start: usize, end: usize) {
        let quote = &self.source.parsed_text()[start..=start];
        self.error(
            start..start + 1,
            format!("missing terminating {quote} character"),
        );
        if !self.words.is_empty() {
            self.intact = false;
            self.push(end, None);
        }
    }

    /// Something that is no token: a backslash before the end of the file.
    fn unreadable(&mut self, start: usize, end: usize) {
        let text = &self.source.parsed_text()[start..end];
        let start = start + (text.len() - text.trim_start().len());
        let Some(first) = text.trim_start().chars().next() else {
            return;
        };
        self.error(
            start..start + first.len_utf8(),
            format!("unexpected \"{}\"", first.escape_debug()),
        );
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
        self.tree.nodes.shrink_to_fit();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Kind, SourceId};

    fn source(text: &str) -> Source {
        let (path, kind) = ("a.conf".to_owned(), Kind::Nginx);
        Source::new(SourceId(0), path.clone(), path, kind, text.into(), None)
    }

    fn words(text: &str) -> Vec<String> {
        let tree = parse(&source(text));
        assert!(tree.errors.is_empty(), "{:?}", tree.errors);
        let words = tree.nodes[0].words.iter();
        words.map(|word| word.text.clone()).collect()
    }

    /// The errors, each with the text that it underlines.
    fn errors(text: &str) -> Vec<(String, String)> {
        let source = source(text);
        let errors = parse(&source).errors;
        let pair = |error: SyntaxError| (source.slice(error.span).to_owned(), error.message);
        errors.into_iter().map(pair).collect()
    }

    fn only_error(text: &str) -> (String, String) {
        let mut errors = errors(text);
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors.remove(0)
    }

    #[test]
    fn words_come_out_as_nginx_reads_them() {
        assert_eq!(
            words(
                r#"a "b c" 'd;{}' e"f g'h #i;
            j;"#
            ),
            ["a", "b c", "d;{}", "e\"f", "g'h", "j"]
        );
        assert_eq!(
            words(r#"a "\"\'\\" '\t\r\n' \.x\ y\;;"#),
            ["a", "\"'\\", "\t\r\n", r"\.x\ y\;"]
        );
        assert_eq!(words("a \"\" '';"), ["a", "", ""]);
        assert_eq!(words("a ${b}c$d{}"), ["a", "${b}c$d"]);
        assert_eq!(
            words("a b\u{a0}c\u{b}d e}f;"),
            ["a", "b\u{a0}c\u{b}d", "e}f"]
        );
        assert_eq!(words("\"return\" 'x'\r\n  y\r;"), ["return", "x", "y"]);
        assert_eq!(words("if ($a = \"b\"){}"), ["if", "($a", "=", "b", ")"]);
    }

    #[test]
    fn the_tree_is_flat_and_knows_its_blocks() {
        let text = "http { # c\n a; server{b 'c';} }\nd;";
        let source = source(text);
        let tree = parse(&source);
        let names: Vec<&str> = tree.all().map(|directive| directive.name()).collect();
        assert_eq!(names, ["http", "a", "server", "b", "d"]);
        let shape: Vec<_> = tree
            .nodes
            .iter()
            .map(|node| (node.parent, node.end, node.depth))
            .collect();
        assert_eq!(
            shape,
            [
                (None, 4, 0),
                (Some(0), 2, 1),
                (Some(0), 4, 1),
                (Some(2), 4, 2),
                (None, 5, 0)
            ]
        );
        assert_eq!(source.slice(tree.nodes[2].span), "server{b 'c';}");
        assert_eq!(
            tree.nodes[2].block.map(|block| source.slice(block)),
            Some("{b 'c';}")
        );
        assert_eq!(source.slice(tree.nodes[3].span), "b 'c';");
        assert_eq!(source.slice(tree.nodes[3].words[1].span), "'c'");
        assert_eq!(tree.nodes[3].words[1].quote, Quote::Single);
    }

    #[test]
    fn lua_is_code_and_no_directives() {
        let text = "content_by_lua_block { x = '}' }\naccess_by_lua_block {}\na;";
        let source = source(text);
        let tree = parse(&source);
        assert_eq!(tree.nodes.len(), 3);
        assert_eq!(
            tree.nodes[0].code.map(|code| source.slice(code).trim()),
            Some("x = '}'")
        );
        assert_eq!((tree.nodes[0].end, tree.nodes[1].code), (1, None));
        // Also where the parser is recovering and the code comes as words and braces.
        let tree = parse(&super::tests::source(
            "} ; content_by_lua_block { if a { b; } c }\nd;",
        ));
        let names: Vec<&str> = tree.all().map(|directive| directive.name()).collect();
        assert_eq!(names, ["content_by_lua_block", "d"]);
    }

    #[test]
    fn a_missing_semicolon_costs_one_directive() {
        let text = "server {\n a b\n}\nc d;\n";
        let (at, message) = only_error(text);
        assert_eq!(at, "a b");
        assert_eq!(
            message,
            "directive \"a\" is not terminated by \";\": unexpected \"}\""
        );
        let tree = parse(&source(text));
        let intact: Vec<_> = tree
            .nodes
            .iter()
            .map(|node| (node.words.len(), node.intact))
            .collect();
        assert_eq!(intact, [(1, true), (2, false), (2, true)]);
    }

    #[test]
    fn what_nginx_refuses_is_named_where_it_stands() {
        for (text, at, message) in [
            ("a;}", "}", "unexpected \"}\": no block is open here"),
            (";", ";", "unexpected \";\": no directive stands before it"),
            (
                "a;;",
                ";",
                "unexpected \";\": no directive stands before it",
            ),
            (
                "{a;}",
                "{",
                "unexpected \"{\": no directive stands before it",
            ),
            (
                "a b",
                "a b",
                "directive \"a\" is not terminated by \";\": unexpected end of file",
            ),
            (
                "a {b {c;}",
                "{",
                "unexpected end of file, expecting \"}\": the block of \"a\" is not closed",
            ),
            (
                "a \"b\"c;",
                "c",
                "unexpected \"c\" directly after a closing quote: a space is missing",
            ),
            (
                "a \"b\"#c\n;",
                "#",
                "unexpected \"#\" directly after a closing quote: a space is missing",
            ),
            (
                "a 'b''c';",
                "'",
                "unexpected \"'\" directly after a closing quote: a space is missing",
            ),
            (
                "a \"b;\nc \"d\";",
                "d",
                "unexpected \"d\" after a string that begins in line 1: a quote is missing there or here",
            ),
            (
                "\u{feff}a;",
                "\u{feff}",
                "the file starts with a byte-order mark, which nginx takes for a part of the first directive's name",
            ),
        ] {
            let errors = errors(text);
            assert_eq!(
                errors.first(),
                Some(&(at.to_owned(), message.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_quote_that_nothing_closes_costs_its_line() {
        let text = "a {\n b 'c;\n d \"e;\n f g;\n}\nh;\n";
        let expected = ["'", "\""].map(|quote| {
            (
                quote.to_owned(),
                format!("missing terminating {quote} character"),
            )
        });
        assert_eq!(errors(text), expected);
        let tree = parse(&source(text));
        let nodes: Vec<_> = tree
            .all()
            .map(|directive| (directive.name(), directive.node().depth))
            .collect();
        assert_eq!(nodes, [("a", 0), ("b", 1), ("d", 1), ("f", 1), ("h", 0)]);
    }

    #[test]
    fn words_and_comments_fit_into_the_buffer() {
        for (text, length, ok) in [
            ("a X;", 4095, true),
            ("a X;", 4096, false),
            ("a \"X\";", 4094, true),
            ("a \"X\";", 4095, false),
            ("#X\na;", 4094, true),
            ("#X\na;", 4095, false),
        ] {
            let errors = errors(&text.replace('X', &"x".repeat(length)));
            assert_eq!(errors.is_empty(), ok, "{text} with {length}");
        }
    }

    #[test]
    fn a_template_yields_values_nobody_knows_and_no_errors() {
        let (text, path) = ("a {{ x }}/y z;\n}", "a.conf.j2".to_owned());
        let mask = Some(crate::source::Mask {
            text: "a xxxxxxx/y z;\n}".to_owned(),
            masks: std::iter::once(2..9).collect(),
            conditional: Vec::new(),
        });
        let source = Source::new(
            SourceId(0),
            path.clone(),
            path,
            Kind::Nginx,
            text.into(),
            mask,
        );
        let tree = parse(&source);
        assert!(tree.errors.is_empty());
        let words: Vec<_> = tree.nodes[0]
            .words
            .iter()
            .map(|word| (&*word.text, word.templated))
            .collect();
        assert_eq!(words, [("a", false), ("{{ x }}/y", true), ("z", false)]);
    }
}

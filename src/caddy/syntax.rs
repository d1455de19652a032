//! Caddyfiles as a [`Tree`] of directives.
//!
//! The tree follows caddyconfig/caddyfile/parse.go:
//!
//! - A site, a snippet `(name)` and a named route `&(name)` are nodes whose words are what stands
//!   before the `{`; the comma after an address is dropped.
//! - The global options, and anonymous blocks in the block of an `import`, have no words.
//! - A top-level `import` is a node of its own.
//! - In a file without braces the first line is the site, a node without a `block`, and every line
//!   after it is its child. A fragment that is meant to be imported *into* a site looks the same:
//!   whoever imports it takes the first node as a directive and its children as its next siblings.
//!
//! Words come out as lexer.go leaves them: without quotes, with `\"` replaced in `"…"`, heredocs
//! without marker and indentation. `{$NAME:default}` stays as it is written. Caddy replaces it in the
//! raw bytes before it cuts them into words, so that one such word may be several, or none: the
//! model expands it and then has to split bare words at blanks.

use std::borrow::Cow;
use std::ops::Range;

use crate::grammar;
use crate::source::{Source, Span};
use crate::syntax::{Node, Quote, SyntaxError, Tree, Word};

/// A brace that 2.6 takes (parse.go; pull request 5505).
pub(super) const LONELY_BRACE: &str =
    "unexpected \"{\" on a new line: it belongs at the end of the line before";

/// The end of what is said of a brace that has no blank before it; see [`parse_literally`].
pub(super) const GLUED: &str = "belongs to the word: put a space between them";

/// More errors than this in one file say nothing new.
const MAX_ERRORS: usize = 20;

/// Words of one line beyond which nobody wrote it; the rest is not kept.
const MAX_WORDS: usize = 20_000;

/// Bytes of one line beyond which it is not read.
const MAX_LINE: usize = 1 << 18;

/// Parses a Caddyfile, or a fragment that another one imports.
pub fn parse(source: &Source) -> Tree {
    read(Parser::new(source))
}

/// The same with every brace that has no blank before it in its word, as Caddy reads it: what was
/// meant as a block's end closes what is around it.
pub(super) fn parse_literally(source: &Source) -> Tree {
    let mut parser = Parser::new(source);
    parser.literal = true;
    read(parser)
}

fn read(mut parser: Parser<'_>) -> Tree {
    let source = parser.source;
    let (text, cut) = without_long_lines(source.parsed_text());
    for range in cut {
        let message = "this line is too long: only its beginning is read".to_owned();
        parser.misread(range, message);
    }
    grammar::read(grammar::CADDYFILE, &text, |kind, range| {
        parser.take(kind, range)
    });
    parser.finish()
}

/// `text` with blanks in place of what a line has beyond [`MAX_LINE`], but for the brace at its
/// end: a tree of millions of words is not built. And where that was.
fn without_long_lines(text: &str) -> (Cow<'_, str>, Vec<Range<usize>>) {
    let mut cut: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]) {
        let line = &text[start..end];
        if line.len() > MAX_LINE {
            let from = line.bytes().skip(MAX_LINE).position(|byte| byte == b' ');
            let rest = from.map_or(line.len(), |from| MAX_LINE + from);
            let kept = line.trim_end();
            let last = kept.len() - usize::from(kept.ends_with('{'));
            cut.extend((rest < last).then_some(start + rest..start + last));
        }
        start = end + 1;
    }
    if cut.is_empty() {
        return (Cow::Borrowed(text), cut);
    }
    let mut bytes = text.as_bytes().to_vec();
    for range in &cut {
        bytes[range.clone()].fill(b' ');
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (Cow::Owned(text), cut)
}

/// A block that is open.
struct Open {
    node: u32,
    /// It belongs to a site, a snippet, a named route or the global options: parse.go is less
    /// strict about where the braces of these stand.
    top: bool,
    /// It is, or lies within, the block of an `import`, whose content is cut up only where the
    /// snippet uses it.
    import: bool,
}

/// Puts directives together, one token after the other.
struct Parser<'a> {
    source: &'a Source,
    tree: Tree,
    open: Vec<Open>,
    /// The site of a file without braces, once its line is complete.
    braceless: Option<u32>,
    /// The words of the line that is being read.
    words: Vec<Word>,
    /// The last of them ended with the comma after an address: where.
    comma: Option<Range<usize>>,
    /// Whether these words are as the server would read them.
    intact: bool,
    /// Nothing but blanks stands before the next token on its line.
    line_start: bool,
    /// The `{` directly before the next token.
    brace: Option<Range<usize>>,
    /// The last complete directive, if its block could still follow on the next line.
    block_may_follow: Option<u32>,
    /// The last token is a `}`.
    ends_in_brace: bool,
    /// Top-level line that may turn out to be the site of a file without braces.
    pending_site: Option<u32>,
    /// A brace is one only where a blank stands before it.
    literal: bool,
}

impl<'a> Parser<'a> {
    fn new(source: &'a Source) -> Self {
        Self {
            source,
            tree: Tree::empty(source.id),
            open: Vec::new(),
            braceless: None,
            words: Vec::new(),
            comma: None,
            intact: true,
            line_start: true,
            brace: None,
            block_may_follow: None,
            pending_site: None,
            ends_in_brace: false,
            literal: false,
        }
    }

    fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.source.id, range)
    }

    /// Something for which Caddy refuses the file.
    fn error(&mut self, range: Range<usize>, message: String) {
        self.add_error(range, message, true);
    }

    /// Something that Caddy reads in another way than it was meant, and often refuses for what
    /// comes after it.
    fn misread(&mut self, range: Range<usize>, message: String) {
        self.add_error(range, message, false);
    }

    fn add_error(&mut self, range: Range<usize>, message: String, certain: bool) {
        if self.tree.errors.len() < MAX_ERRORS {
            let span = self.span(range);
            self.tree.errors.push(SyntaxError {
                span,
                message,
                certain,
            });
        }
    }

    fn text(&self, range: Range<usize>) -> &'a str {
        self.source.parsed_text().get(range).unwrap_or_default()
    }

    fn take(&mut self, kind: &str, range: Range<usize>) {
        match kind {
            // A comment with a backslash in it takes its line feed along (see grammar.js).
            "comment" => return,
            "\n" => return self.line_end(),
            // The environment may leave nothing of a word.
            "word" if self.text(range.clone()).starts_with("{$") => {}
            _ => self.ends_in_brace = kind == "}",
        }
        match kind {
            "{" => self.open_brace(range),
            "}" => self.close_brace(range),
            "word" | "comma_word" => self.word(Quote::None, range),
            "double_quoted" => self.word(Quote::Double, range),
            "backquoted" => self.word(Quote::Backtick, range),
            "heredoc" => self.word(Quote::Heredoc, range),
            grammar::UNCLOSED => self.unclosed(range),
            _ => return self.unreadable(range),
        }
        self.line_start = false;
    }

    /// Whether the line being read stands outside of all blocks, where addresses stand.
    fn at_top(&self) -> bool {
        self.open.is_empty() && self.braceless.is_none()
    }

    fn is_import(&self) -> bool {
        self.words.first().is_some_and(|word| word.text == "import")
    }

    fn line_end(&mut self) {
        self.line_start = true;
        self.brace = None;
        if self.comma.is_some() && self.at_top() {
            // Another address has to follow, and it may do so on the next line.
            return;
        }
        if self.words.is_empty() {
            return;
        }
        self.check_incomplete_heredoc();
        if let Some((word, brace)) = self.glued_brace() {
            return self.empty_or_glued_block(word, brace);
        }
        self.end_directive();
    }

    /// Completes a line that opens no block.
    fn end_directive(&mut self) {
        let (top, import) = (self.at_top(), self.is_import());
        let Some(index) = self.push(None) else { return };
        // An import at the top may be followed by the global options.
        self.block_may_follow = (!top).then_some(index);
        self.pending_site = (top && !import).then_some(index);
    }

    fn word(&mut self, quote: Quote, range: Range<usize>) {
        self.check_after_brace(&range);
        if self.words.is_empty() {
            if let Some(site) = self.pending_site.take()
                && !(self.is_variable(site) && self.begins_site(&range))
            {
                // No `{` came: the site has no braces, and the rest of the file is its content.
                self.braceless = Some(site);
            }
            self.block_may_follow = None;
        }
        self.comma = None;
        if self.words.len() >= MAX_WORDS {
            if self.intact {
                self.misread(
                    range,
                    format!("only the first {MAX_WORDS} words of this line are read"),
                );
            }
            self.intact = false;
            return;
        }
        let span = self.span(range.clone());
        let raw = self.source.text.get(range.clone()).unwrap_or_default();
        let text = match quote {
            Quote::None => raw.replace("\\<", "<"),
            Quote::Double => inner(raw).replace("\\\"", "\""),
            Quote::Single | Quote::Backtick => inner(raw).into_owned(),
            Quote::Heredoc => self.heredoc(raw, &range),
        };
        let mut word = Word {
            text,
            quote,
            span,
            templated: self.source.is_masked(span),
        };
        if self.at_top() && !self.is_import() && word.text.ends_with(',') {
            word.text.pop();
            if quote == Quote::None {
                word.span.end -= 1;
            }
            self.comma = Some(range.end - 1..range.end);
            if word.text.is_empty() {
                return;
            }
        }
        self.words.push(word);
    }

    fn open_brace(&mut self, range: Range<usize>) {
        self.check_after_brace(&range);
        if let Some(comma) = self.comma.take() {
            self.error(
                comma,
                "another address is expected after \",\", but \"{\" follows: is the comma one too many?".into(),
            );
            self.intact = false;
        }
        self.brace = Some(range.clone());
        if !self.words.is_empty() {
            self.open_block(range);
        } else if let Some(site) = self.pending_site.take() {
            // parse.go, addresses(): only for a site may the block open on the next line.
            self.attach_block(site, range);
        } else if let Some(index) = self.block_may_follow.take().filter(|_| !self.in_import()) {
            self.error(range.clone(), LONELY_BRACE.into());
            self.tree.nodes[index as usize].intact = false;
            self.attach_block(index, range);
        } else {
            if !self.at_top() && !self.in_import() {
                self.error(
                    range.clone(),
                    "unexpected \"{\": no directive stands before it".into(),
                );
                self.intact = false;
            }
            self.open_block(range);
        }
    }

    fn in_import(&self) -> bool {
        self.open.last().is_some_and(|open| open.import)
    }

    /// Opens a block for the words read so far, or one without words.
    fn open_block(&mut self, brace: Range<usize>) {
        let top = self.at_top();
        let import = self.in_import() || self.is_import();
        let block = self.span(brace);
        if let Some(node) = self.push(Some(block)) {
            self.open.push(Open { node, top, import });
        }
    }

    /// Opens the block of a directive whose line is complete already.
    fn attach_block(&mut self, node: u32, brace: Range<usize>) {
        let block = self.span(brace);
        let top = self.tree.nodes[node as usize].parent.is_none();
        let import = self.in_import();
        self.tree.nodes[node as usize].block = Some(block);
        self.open.push(Open { node, top, import });
    }

    /// Whether a line at the top is nothing but a variable of the environment, which is commonly
    /// empty.
    fn is_variable(&self, line: u32) -> bool {
        let node = &self.tree.nodes[line as usize];
        let [word] = node.words.as_slice() else {
            return false;
        };
        word.text.starts_with("{$") && word.text.ends_with('}') && !word.text.contains(':')
    }

    /// Whether the line that begins here opens a site.
    fn begins_site(&self, word: &Range<usize>) -> bool {
        let rest = &self.source.parsed_text()[word.start..];
        let line = rest.lines().next().unwrap_or_default().trim_end();
        line.strip_suffix('{')
            .is_some_and(|head| is_address(head.trim_end().split(' ').next().unwrap_or_default()))
    }

    /// Whether a line that is being read stands directly in a site, or in the global options, so
    /// that no block is open there for Caddy (parse.go, `directive`).
    fn is_in_site(&self) -> bool {
        let node = match self.open.as_slice() {
            [] => self.braceless,
            [only] if only.top && !only.import => Some(only.node),
            _ => None,
        };
        node.is_some_and(|node| {
            let words = &self.tree.nodes[node as usize].words;
            words.first().is_none_or(|name| is_address(&name.text))
        }) && self.tree.errors.iter().all(|error| error.certain)
    }

    /// Whether the block that is open is that of a snippet or of a named route, whose content is not
    /// read where it stands: any `}` closes it (parse.go, `blockTokens`).
    fn is_in_snippet(&self) -> bool {
        let [only] = self.open.as_slice() else {
            return false;
        };
        let words = &self.tree.nodes[only.node as usize].words;
        matches!(words.as_slice(), [name] if name.text.ends_with(')') && name.text.starts_with(['(', '&']))
    }

    fn close_brace(&mut self, range: Range<usize>) {
        let after_open = self.brace.take().is_some();
        if !self.words.is_empty() {
            self.check_incomplete_heredoc();
            if !self.is_in_snippet() {
                let certain = self.is_in_site() && !self.is_import();
                self.add_error(
                    range.clone(),
                    "unexpected \"}\" within a line: it closes a block only on a line of its own"
                        .into(),
                    certain,
                );
                self.intact = false;
            }
            self.end_directive();
        } else if !self.line_start
            && self
                .open
                .last()
                .is_some_and(|open| !(open.top && after_open))
        {
            let message = if after_open {
                "unexpected \"}\" after \"{\" on the same line: the block has to span lines"
            } else {
                "unexpected \"}\" within a line: it closes a block only on a line of its own"
            };
            self.add_error(range.clone(), message.into(), after_open);
        }
        self.block_may_follow = None;
        let alone = self.braceless.is_none() && self.pending_site.is_none();
        self.pending_site = None;
        let Some(open) = self.open.pop() else {
            // It may be the end of a site whose `{` is missing; and as the last word of a file it is
            // the address of a site without lines (parse.go, `addresses`).
            let mut after = self.source.parsed_text()[range.end..].lines();
            let last = after.all(|line| line.trim().is_empty() || line.trim().starts_with('#'));
            self.add_error(
                range.clone(),
                "unexpected \"}\": no block is open here".into(),
                alone && !last,
            );
            if alone && last {
                self.word(Quote::None, range);
            }
            return;
        };
        self.close(open.node, range.end);
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

    fn push(&mut self, block: Option<Span>) -> Option<u32> {
        let words = std::mem::take(&mut self.words);
        let intact = std::mem::replace(&mut self.intact, true);
        self.comma = None;
        let head = match (words.first(), words.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => block?,
        };
        let index = self.tree.nodes.len() as u32;
        let parent = self.open.last().map(|open| open.node).or(self.braceless);
        let depth = parent.map_or(0, |parent| self.tree.nodes[parent as usize].depth + 1);
        self.tree.nodes.push(Node {
            words,
            span: block.map_or(head, |block| head.to(block)),
            block,
            code: None,
            parent,
            end: index + 1,
            intact,
            depth,
        });
        Some(index)
    }

    /// In a directive the `{` has to be the last on its line (parse.go, directive()).
    fn check_after_brace(&mut self, next: &Range<usize>) {
        if self.brace.take().is_some()
            && self
                .open
                .last()
                .is_some_and(|open| !open.top && !open.import)
        {
            self.error(
                next.clone(),
                "unexpected text after \"{\" on the same line: the block's content begins on the next line"
                    .into(),
            );
            self.intact = false;
        }
    }

    /// At the end of a line: its last word is `{}`, or has a `{` glued to it. To Caddy neither is a
    /// brace. The word's range, and that of the brace or braces in it.
    fn glued_brace(&self) -> Option<(Range<usize>, Range<usize>)> {
        let word = self.words.last().filter(|word| word.quote == Quote::None)?;
        let range = word.span.range();
        if word.text == "{}" && !word.templated {
            return Some((range.clone(), range));
        }
        let name = word.text.strip_suffix('{').filter(|_| !self.literal)?;
        // A line may end with an unfinished expression; a word with nothing odd about it does not.
        (!name.contains(['{', '}', '(', '\\', '$', '^']))
            .then(|| (range.clone(), range.end - 1..range.end))
    }

    /// Says what is wrong with the brace in the last word, and goes on as if it were one.
    fn empty_or_glued_block(&mut self, word: Range<usize>, brace: Range<usize>) {
        self.intact = false;
        let text = self.text(word.clone());
        if word == brace {
            self.error(
                brace.clone(),
                "unexpected \"{}\" at the end of a line: leave it out, or break the line after \"{\"".into(),
            );
            self.words.pop();
            let block = self.span(brace);
            self.push(Some(block));
            return;
        }
        let (name, _) = text.split_at(text.len() - 1);
        let certain = self.at_top();
        self.add_error(
            brace.clone(),
            format!("\"{{\" directly after \"{name}\" {GLUED}"),
            certain,
        );
        if let Some(word) = self.words.last_mut() {
            word.text.pop();
            word.span.end -= 1;
        }
        self.open_block(brace);
    }

    /// A word `<<MARK` at the end of a line is a heredoc whose marker never comes again.
    fn check_incomplete_heredoc(&mut self) {
        let Some(word) = self.words.last().filter(|word| word.quote == Quote::None) else {
            return;
        };
        let range = word.span.range();
        let Some(marker) = self.text(range.clone()).strip_prefix("<<") else {
            return;
        };
        let message = if marker.starts_with('<') {
            "too many \"<\" for a heredoc: two, as in \"<<END\"".into()
        } else if marker.is_empty() {
            "the marker of the heredoc is missing, as in \"<<END\"".into()
        } else if marker
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        {
            format!("incomplete heredoc: its ending marker \"{marker}\" is missing")
        } else {
            format!(
                "the heredoc's marker \"{marker}\" may hold only letters, digits, \"-\" and \"_\""
            )
        };
        self.error(range, message);
        self.intact = false;
    }

    /// The text of a heredoc (lexer.go, finalizeHeredoc): what stands before the closing marker on
    /// its line is taken off every line.
    fn heredoc(&mut self, raw: &str, range: &Range<usize>) -> String {
        let Some((opening, body)) = raw.split_once('\n') else {
            return raw.to_owned();
        };
        let marker = opening.trim_start_matches('<').trim_end_matches('\r');
        let body = body.strip_suffix(marker).unwrap_or(body);
        let (lines, padding) = body
            .rsplit_once('\n')
            .map_or(("", body), |(lines, padding)| (lines, padding));
        if body.len() == padding.len() {
            return String::new();
        }
        let mut text = String::with_capacity(lines.len());
        let mut start = range.start + opening.len() + 1;
        for (number, line) in lines.split('\n').enumerate() {
            if number > 0 {
                text.push('\n');
            }
            if !line.is_empty() && line != "\r" {
                match line.strip_prefix(padding) {
                    Some(line) => text.extend(line.chars().filter(|character| *character != '\r')),
                    None => {
                        self.error(
                            start..start + line.len(),
                            format!(
                                "this line of the heredoc is not indented like its closing marker \"{marker}\""
                            ),
                        );
                        self.intact = false;
                        text.push_str(line);
                    }
                }
            }
            start += line.len() + 1;
        }
        text
    }

    /// A quote that nothing closes: the directive ends here, with its line.
    fn unclosed(&mut self, range: Range<usize>) {
        let quote = self.text(range.start..range.start + 1);
        let message = format!("the quote {quote} is not closed");
        // Outside of every block the rest of the file is one more address.
        let certain = !self.open.is_empty();
        self.add_error(range.start..range.start + 1, message, certain);
        self.intact &= self.words.is_empty();
    }

    /// Something that is no token.
    fn unreadable(&mut self, range: Range<usize>) {
        let text = self.text(range.clone());
        let start = range.start + (text.len() - text.trim_start().len());
        let Some(first) = text.trim_start().chars().next() else {
            return;
        };
        self.misread(
            start..start + first.len_utf8(),
            format!("unexpected \"{}\"", first.escape_debug()),
        );
        self.intact = false;
        self.line_start = false;
    }

    fn finish(mut self) -> Tree {
        let end = self.source.text.len();
        let comma = self.comma.clone().filter(|_| self.at_top());
        self.line_end();
        if let Some(comma) = comma {
            self.error(
                comma,
                "unexpected end of file: another address is expected after \",\"".into(),
            );
            self.intact = false;
            self.push(None);
        }
        // parse.go, closeCurlyBrace: at the end of the file the last token is looked at once more, so
        // that the brace of a block within a site closes the site as well.
        let closed_twice = self.ends_in_brace
            && self.open.len() == 1
            && self.open.iter().all(|open| {
                let words = &self.tree.nodes[open.node as usize].words;
                words.first().is_none_or(|name| !name.text.ends_with(')'))
            });
        if let Some(open) = self.open.last().filter(|_| !closed_twice) {
            let node = &self.tree.nodes[open.node as usize];
            let brace = node.block.map_or(node.span, |block| block).range().start;
            let message = match node.words.first() {
                Some(name) => format!(
                    "unexpected end of file, expecting \"}}\": the block of \"{}\" is not closed",
                    name.text
                ),
                None => "unexpected end of file, expecting \"}\": this block is not closed".into(),
            };
            // What was misread may be why.
            let certain = self.tree.errors.iter().all(|error| error.certain);
            self.add_error(brace..brace + 1, message, certain);
        }
        while let Some(open) = self.open.pop() {
            self.tree.nodes[open.node as usize].intact &= closed_twice;
            self.close(open.node, end);
        }
        if let Some(site) = self.braceless {
            let last = self.tree.nodes.iter().map(|node| node.span.end).max();
            let end = last.map_or(end, |last| last as usize);
            self.close(site, end);
        }
        if self.source.is_template() {
            self.tree.errors.clear();
        }
        self.tree.errors.sort_by_key(|error| error.span.start);
        self.tree
    }
}

/// Whether a word is a site's address rather than the name of a directive.
fn is_address(word: &str) -> bool {
    word.contains(['.', ':']) && !word.starts_with(['@', '/', '(', '&'])
        || word.starts_with("{$")
        || word == "localhost"
}

/// A quoted word without its quotes. A backslash before the opening quote belongs to the first
/// character after it (lexer.go forgets it only there), and is lost before a backtick.
fn inner(raw: &str) -> Cow<'_, str> {
    match raw.strip_prefix('\\') {
        Some(raw) if raw.starts_with('"') => format!("\\{}", strip(raw)).into(),
        Some(raw) => strip(raw).into(),
        None => strip(raw).into(),
    }
}

fn strip(raw: &str) -> &str {
    raw.get(1..raw.len() - 1).unwrap_or_default()
}

#[cfg(test)]
mod tests;

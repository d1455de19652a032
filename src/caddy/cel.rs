//! Expressions (CEL) in matchers, as far as a handshake decides them.
//!
//! What is read: `&&`, `||`, `!`, parentheses, comparisons of placeholders with literals, and the
//! functions that stand for matchers (modules/caddyhttp/celmatcher.go). Anything else makes its
//! term open, never the whole expression wrong.

use super::expand::Word;
use super::matcher::{Test, named};

/// Parentheses and negations within each other; no expression nests so.
const MAX_DEPTH: usize = 32;

/// Reads `text`, which `word` holds, as conditions of which all must hold.
pub(super) fn read(text: &str, word: &Word) -> Vec<Test> {
    if word.unknown.is_some() {
        return vec![Test::Open(text.to_owned())];
    }
    let mut reader = Reader {
        tokens: tokens(text),
        at: 0,
        word,
        text,
    };
    let tests = reader.any(0);
    if reader.at == reader.tokens.len() {
        tests
    } else {
        vec![Test::Open(text.to_owned())]
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    /// A literal string.
    Text(String),
    /// `{placeholder}`.
    Placeholder(String),
    Sign(&'static str),
    /// Something that is not followed here.
    Odd,
}

fn tokens(text: &str) -> Vec<Token> {
    const SIGNS: [&str; 19] = [
        "&&", "||", "==", "!=", "<=", ">=", "!", "(", ")", "[", "]", "{", "}", ",", ":", "<", ">",
        "+", "?",
    ];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if matches!(first, '\'' | '"' | '`') {
            let (value, length) = literal(rest, first);
            tokens.push(value.map_or(Token::Odd, Token::Text));
            length
        } else if let Some(end) = placeholder(rest) {
            tokens.push(Token::Placeholder(rest[..=end].to_owned()));
            end + 1
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(Token::Sign(sign));
            sign.len()
        } else {
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.'))
                .unwrap_or(rest.len());
            if end == 0 {
                tokens.push(Token::Odd);
                first.len_utf8()
            } else {
                tokens.push(Token::Name(rest[..end].to_owned()));
                end
            }
        };
        rest = rest[length..].trim_start();
    }
    tokens
}

/// Where the placeholder ends that `rest` begins with: a map's brace is followed by a string.
fn placeholder(rest: &str) -> Option<usize> {
    let end = rest.strip_prefix('{')?.find('}')? + 1;
    let key = &rest[1..end];
    (!key.is_empty() && !key.contains(['\'', '"', '`', ' ', '{', ':'])).then_some(end)
}

/// The value of the string that `rest` begins with, and its length; no value where it has escapes
/// other than of a quote or a backslash.
fn literal(rest: &str, quote: char) -> (Option<String>, usize) {
    let mut value = Some(String::new());
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == quote {
            return (value, at + 1);
        }
        let character = if character == '\\' && quote != '`' {
            match characters.next() {
                Some((_, escaped @ ('\\' | '\'' | '"' | '`'))) => Some(escaped),
                _ => None,
            }
        } else {
            Some(character)
        };
        match (character, &mut value) {
            (Some(character), Some(value)) => value.push(character),
            _ => value = None,
        }
    }
    (None, rest.len())
}

struct Reader<'a> {
    tokens: Vec<Token>,
    at: usize,
    word: &'a Word,
    text: &'a str,
}

impl Reader<'_> {
    fn takes(&mut self, sign: &str) -> bool {
        let is = matches!(self.tokens.get(self.at), Some(Token::Sign(own)) if *own == sign);
        self.at += usize::from(is);
        is
    }

    fn open(&self) -> Vec<Test> {
        vec![Test::Open(self.text.to_owned())]
    }

    fn any(&mut self, depth: usize) -> Vec<Test> {
        let mut sets = vec![self.all(depth)];
        while self.takes("||") {
            sets.push(self.all(depth));
        }
        match sets.len() {
            1 => sets.swap_remove(0),
            _ => vec![Test::Any(sets)],
        }
    }

    fn all(&mut self, depth: usize) -> Vec<Test> {
        let mut tests = self.one(depth);
        while self.takes("&&") {
            tests.extend(self.one(depth));
        }
        tests
    }

    fn one(&mut self, depth: usize) -> Vec<Test> {
        if depth > MAX_DEPTH {
            self.at = usize::MAX;
            return self.open();
        }
        if self.takes("!") {
            return vec![Test::Not(vec![self.one(depth + 1)])];
        }
        if self.takes("(") {
            let tests = self.any(depth + 1);
            return if self.takes(")") { tests } else { self.skip() };
        }
        match self.tokens.get(self.at).cloned() {
            Some(Token::Name(name)) if matches!(name.as_str(), "true" | "false") => {
                self.at += 1;
                let never = vec![Test::Any(Vec::new())];
                if name == "true" { Vec::new() } else { never }
            }
            Some(Token::Name(name)) if self.tokens.get(self.at + 1) == Some(&Token::Sign("(")) => {
                self.at += 2;
                match self.arguments(&name) {
                    Some(tests) => tests,
                    None => self.skip(),
                }
            }
            Some(Token::Placeholder(_) | Token::Text(_)) => self.comparison(),
            _ => self.skip(),
        }
    }

    /// Passes over a term that is not understood.
    fn skip(&mut self) -> Vec<Test> {
        let mut depth = 0_usize;
        while let Some(token) = self.tokens.get(self.at) {
            match token {
                Token::Sign("(" | "[" | "{") => depth += 1,
                Token::Sign(")" | "]" | "}") if depth == 0 => break,
                Token::Sign(")" | "]" | "}") => depth -= 1,
                Token::Sign("&&" | "||") if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        self.open()
    }

    /// `{placeholder} == "text"`, the other way round, `!=`, `in [ … ]`, `.startsWith("…")`.
    fn comparison(&mut self) -> Vec<Test> {
        let Some(left) = self.operand() else {
            return self.skip();
        };
        let (equal, rights) = if self.takes("==") {
            (true, self.operand().map(|right| vec![right]))
        } else if self.takes("!=") {
            (false, self.operand().map(|right| vec![right]))
        } else if self.tokens.get(self.at) == Some(&Token::Name("in".to_owned())) {
            self.at += 1;
            (true, self.list())
        } else if let Some(method) = self.method() {
            return method
                .map(|(name, argument)| {
                    vec![Test::Compare {
                        left,
                        how: name,
                        rights: vec![argument],
                    }]
                })
                .unwrap_or_else(|| self.skip());
        } else {
            (true, None)
        };
        let Some(rights) = rights else {
            return self.skip();
        };
        let test = Test::Compare {
            left,
            how: "==",
            rights,
        };
        vec![if equal {
            test
        } else {
            Test::Not(vec![vec![test]])
        }]
    }

    fn operand(&mut self) -> Option<String> {
        let text = match self.tokens.get(self.at)? {
            Token::Text(text) | Token::Placeholder(text) => text.clone(),
            _ => return None,
        };
        self.at += 1;
        Some(text)
    }

    fn list(&mut self) -> Option<Vec<String>> {
        let mut items = Vec::new();
        if !self.takes("[") {
            return None;
        }
        while !self.takes("]") {
            items.push(self.operand()?);
            self.takes(",");
        }
        Some(items)
    }

    /// `.startsWith("…")` and its kind; the inner `None` where it is none of those.
    fn method(&mut self) -> Option<Option<(&'static str, String)>> {
        let Some(Token::Name(name)) = self.tokens.get(self.at) else {
            return None;
        };
        let name = match name.as_str() {
            ".startsWith" => "startsWith",
            ".endsWith" => "endsWith",
            ".contains" => "contains",
            _ => return Some(None),
        };
        self.at += 1;
        if !self.takes("(") {
            return Some(None);
        }
        let argument = self.operand();
        Some(
            argument
                .filter(|_| self.takes(")"))
                .map(|argument| (name, argument)),
        )
    }

    /// The arguments of a function that stands for a matcher, after its `(`.
    fn arguments(&mut self, name: &str) -> Option<Vec<Test>> {
        let word = |text: String| Word {
            text,
            ..self.word.clone()
        };
        let mut words: Vec<Word> = Vec::new();
        let mut pairs: Vec<(String, Vec<Word>)> = Vec::new();
        while !self.takes(")") {
            if self.takes("{") {
                while !self.takes("}") {
                    let key = self.operand()?;
                    if !self.takes(":") {
                        return None;
                    }
                    let values = match self.operand() {
                        Some(value) => vec![value],
                        None => self.list()?,
                    };
                    pairs.push((key, values.into_iter().map(word).collect()));
                    self.takes(",");
                }
            } else {
                words.push(word(self.operand()?));
            }
            self.takes(",");
        }
        let mut tests = Vec::new();
        match name {
            "header" | "query" => {
                for (key, values) in pairs {
                    tests.push(if name == "header" {
                        Test::Header(key, values)
                    } else {
                        Test::Query(key, values)
                    });
                }
            }
            "path" | "path_regexp" | "host" | "method" | "protocol" | "header_regexp" => {
                named(name, &words, &mut tests);
            }
            "file" if pairs.is_empty() => named(name, &words, &mut tests),
            _ => tests.push(Test::Open(self.text.to_owned())),
        }
        Some(tests)
    }
}

#[cfg(test)]
mod tests {
    use super::super::matcher::Doubt;
    use super::*;
    use crate::handshake::{Browser, Request};
    use crate::source::{SourceId, Span};
    use crate::syntax::Quote;

    fn decide(text: &str) -> Result<bool, Doubt> {
        let word = Word {
            text: text.to_owned(),
            quote: Quote::Backtick,
            span: Span::new(SourceId(0), 0..text.len()),
            unknown: None,
            variable: None,
        };
        let request = Request::handshake(Browser::Chrome, false, "a.test", 80, "/ws/x?a=1");
        super::super::matcher::decide_all(&read(text, &word), &request)
    }

    #[test]
    fn expressions_are_decided_as_far_as_the_handshake_goes() {
        for (text, expected) in [
            ("path('/ws', '/ws/*')", Ok(true)),
            ("!path('/ws/*')", Ok(false)),
            ("path('/a') || path('/ws/*')", Ok(true)),
            ("path('/ws/*') && method('POST')", Ok(false)),
            ("(path('/a') || method('GET')) && !host('b.test')", Ok(true)),
            (
                "header({'Connection': '*Upgrade*', 'Upgrade': 'websocket'})",
                Ok(true),
            ),
            ("header({'Upgrade': ['h2c', 'websocket']})", Ok(true)),
            ("header_regexp('Connection', '(?i)upgrade')", Ok(true)),
            ("path_regexp('^/ws')", Ok(true)),
            ("path_regexp('name', '^/x')", Ok(false)),
            ("query({'a': '1'})", Ok(true)),
            ("query({'a': ['2', '3']})", Ok(false)),
            ("{http.request.header.Upgrade} == 'websocket'", Ok(true)),
            ("'websocket' == {header.Upgrade}", Ok(true)),
            ("{method} != \"GET\"", Ok(false)),
            ("{path}.startsWith('/ws')", Ok(true)),
            ("{path}.endsWith('/y')", Ok(false)),
            ("{method} in ['GET', 'HEAD']", Ok(true)),
            ("protocol('https')", Ok(false)),
            ("true && !false", Ok(true)),
            ("remote_ip('10.0.0.0/8')", Err(Doubt::Circumstances)),
            ("remote_ip('10.0.0.0/8') || path('/ws/*')", Ok(true)),
            ("remote_ip('10.0.0.0/8') && path('/api/*')", Ok(false)),
            ("{path}.size() > 3", Err(Doubt::Circumstances)),
            ("path('/a'", Err(Doubt::Circumstances)),
            ("((", Err(Doubt::Circumstances)),
        ] {
            assert_eq!(decide(text), expected, "{text}");
        }
        let _ = decide(&"(".repeat(100_000));
        let _ = decide(&"!".repeat(100_000));
    }
}

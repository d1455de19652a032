//! The grammars against their own corpora (`grammars/*/test/corpus`, in tree-sitter's format, so that
//! `tree-sitter test` understands them too), and the trees built from them against damaged input.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tree_sitter_language::LanguageFn;
use wslint::source::{Kind, Source, SourceId, Span};
use wslint::syntax::Tree;
use wslint::{caddy, grammar, nginx};

const NGINX: (&str, LanguageFn) = ("nginx", grammar::NGINX);
const CADDYFILE: (&str, LanguageFn) = ("caddyfile", grammar::CADDYFILE);

/// One example of a corpus.
struct Example {
    /// File and title.
    title: String,
    input: String,
    /// The expected S-expression; `None` for `:error`, any tree with an error.
    expected: Option<String>,
}

/// All examples of a grammar's corpus.
fn corpus(grammar: &str) -> Vec<Example> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("grammars")
        .join(grammar)
        .join("test/corpus");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut examples = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        // A title stands between two lines of equals signs, attributes below it; input and
        // expectation are separated by a line of dashes.
        let rule = |line: &str| line.len() >= 3 && line.trim_end().bytes().all(|byte| byte == b'=');
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let starts: Vec<usize> = (0..lines.len()).filter(|at| rule(lines[*at])).collect();
        for (number, pair) in starts.chunks(2).enumerate() {
            let [open, close] = *pair else {
                panic!("{file}: a title is not closed")
            };
            let end = starts.get(2 * number + 2).copied().unwrap_or(lines.len());
            let header = &lines[open + 1..close];
            let body = &lines[close + 1..end];
            let dashes = body
                .iter()
                .position(|line| line.trim_end() == "---")
                .unwrap();
            let input = body[..dashes].concat();
            let error = header.iter().any(|line| line.trim() == ":error");
            examples.push(Example {
                title: format!("{file}: {}", header[0].trim()),
                input: input.strip_suffix('\n').unwrap_or(&input).to_owned(),
                expected: (!error).then(|| body[dashes + 1..].concat()),
            });
        }
    }
    assert!(examples.len() > 30, "a corpus was not found");
    examples
}

/// An S-expression with one node a line, so that a difference can be read.
fn layout(expression: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut depth = 0;
    let mut field = "";
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_whitespace();
    while let Some(token) = tokens.next() {
        match token {
            "(" => {
                let kind = tokens.next().unwrap();
                lines.push(format!(
                    "{}{field}{}{kind}",
                    "  ".repeat(depth),
                    if field.is_empty() { "" } else { " " }
                ));
                field = "";
                depth += 1;
            }
            ")" => depth -= 1,
            name => field = name,
        }
    }
    lines
}

fn check_corpus((name, language): (&str, LanguageFn)) {
    let mut wrong = String::new();
    for example in corpus(name) {
        let tree = grammar::parse(language, &example.input).unwrap();
        let root = tree.root_node();
        match example.expected {
            None if root.has_error() => {}
            None => wrong += &format!("{}: parses without an error\n{root}\n", example.title),
            Some(expected) => {
                let (expected, actual) = (layout(&expected), layout(&root.to_sexp()));
                if expected != actual {
                    let same = expected
                        .iter()
                        .zip(&actual)
                        .take_while(|(a, b)| a == b)
                        .count();
                    let context = same.saturating_sub(3)..same;
                    wrong += &format!(
                        "{}:\n  {}\n- {}\n+ {}\n",
                        example.title,
                        expected[context].join("\n  "),
                        expected[same..].join("\n- "),
                        actual[same..].join("\n+ ")
                    );
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{name}:\n{wrong}");
}

#[test]
fn nginx_corpus() {
    check_corpus(NGINX);
}

#[test]
fn caddyfile_corpus() {
    check_corpus(CADDYFILE);
}

#[cfg(unix)]
#[test]
fn parsers_belong_to_their_grammars() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("grammars/check");
    let output = std::process::Command::new(script).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn tree(kind: Kind, text: &str) -> (Source, Tree) {
    let source = Source::new(SourceId(0), "f".into(), "f".into(), kind, text.into(), None);
    let tree = match kind {
        Kind::Nginx => nginx::syntax::parse(&source),
        _ => caddy::syntax::parse(&source),
    };
    (source, tree)
}

/// What every tree promises, whatever the input.
fn check_tree(source: &Source, tree: &Tree) {
    let inside = |span: Span| {
        assert!(span.start <= span.end, "{span:?}");
        assert!(
            source.text.get(span.range()).is_some(),
            "{span:?} in {:?}",
            source.text
        );
    };
    for (index, node) in tree.nodes.iter().enumerate() {
        inside(node.span);
        node.words.iter().for_each(|word| inside(word.span));
        node.block.into_iter().chain(node.code).for_each(|span| {
            inside(span);
            assert!(node.span.contains(span), "{:?}", source.text);
        });
        assert!(node.end as usize > index && node.end as usize <= tree.nodes.len());
        assert!(!node.words.is_empty() || node.block.is_some());
        match node.parent {
            Some(parent) => {
                let above = &tree.nodes[parent as usize];
                assert!(
                    (parent as usize) < index
                        && above.end >= node.end
                        && above.depth + 1 == node.depth
                );
                assert!(above.span.contains(node.span), "{:?}", source.text);
            }
            None => assert_eq!(node.depth, 0),
        }
    }
    for error in &tree.errors {
        inside(error.span);
        assert!(!error.message.is_empty());
    }
    // Children, as the models walk them, are exactly the nodes.
    let children: usize = tree
        .all()
        .map(|directive| directive.children().count())
        .sum();
    assert_eq!(children + tree.top().count(), tree.nodes.len());
}

#[test]
fn corpus_trees_hold_what_they_promise_and_errors_agree_with_the_grammar() {
    for (kind, (name, language)) in [(Kind::Nginx, NGINX), (Kind::Caddyfile, CADDYFILE)] {
        for example in corpus(name) {
            let (source, tree) = tree(kind, &example.input);
            check_tree(&source, &tree);
            let byte_order_mark = kind == Kind::Nginx && source.text.starts_with('\u{feff}');
            if byte_order_mark || example.title.contains("backslash in a comment") {
                continue;
            }
            let has_error = grammar::parse(language, &example.input)
                .unwrap()
                .root_node()
                .has_error();
            assert_eq!(
                !tree.errors.is_empty(),
                has_error,
                "{}: {:?}",
                example.title,
                tree.errors
            );
        }
    }
}

/// xorshift64*: the same mutants on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }
}

#[test]
fn mutants_neither_panic_nor_leave_the_text() {
    const PIECES: [&str; 24] = [
        "{",
        "}",
        ";",
        "\"",
        "'",
        "`",
        "#",
        "\\",
        "$",
        "${",
        "\n",
        "\r\n",
        " ",
        "\0",
        "\u{feff}",
        "\u{a0}",
        "é",
        "<<X",
        "X",
        ",",
        "{}",
        "@",
        "x_by_lua_block {",
        "[[",
    ];
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for (kind, (name, _)) in [(Kind::Nginx, NGINX), (Kind::Caddyfile, CADDYFILE)] {
        let examples = corpus(name);
        for _ in 0..3_000 {
            let mut text: Vec<char> = examples[random.below(examples.len())]
                .input
                .chars()
                .collect();
            for _ in 0..=random.below(4) {
                let at = random.below(text.len() + 1);
                let until = (at + random.below(4)).min(text.len());
                let piece = PIECES[random.below(PIECES.len())];
                text.splice(at..until, piece.chars());
            }
            let text: String = text.into_iter().collect();
            let (source, tree) = tree(kind, &text);
            check_tree(&source, &tree);
        }
    }
}

#[test]
fn depth_and_damage_cost_no_stack_and_little_time() {
    const N: usize = 100_000;
    for (kind, text) in [
        (Kind::Nginx, "a{".repeat(N)),
        (Kind::Nginx, format!("{}{}", "a{".repeat(N), "}".repeat(N))),
        (Kind::Nginx, "}".repeat(N)),
        (Kind::Nginx, "a \"b\" 'c ".repeat(N)),
        (Kind::Nginx, "a_by_lua_block { [[ ".repeat(N / 10)),
        (Kind::Caddyfile, "a {\n".repeat(N)),
        (
            Kind::Caddyfile,
            format!("{}{}", "a {\n".repeat(N), "}\n".repeat(N)),
        ),
        (Kind::Caddyfile, "}\n".repeat(N)),
        (Kind::Caddyfile, "a \"b\" `c \n".repeat(N)),
        (Kind::Caddyfile, "a,\n".repeat(N)),
        (Kind::Caddyfile, "a{\n".repeat(N)),
        (Kind::Caddyfile, "a <<X\n".repeat(N / 10)),
    ] {
        let start = Instant::now();
        let (source, tree) = tree(kind, &text);
        check_tree(&source, &tree);
        let (took, start) = (start.elapsed(), &text[..16]);
        // Generous: this is an unoptimised build on a busy machine. What it must notice is the square.
        assert!(took < Duration::from_secs(20), "{start:?}…: {took:?}");
    }
}

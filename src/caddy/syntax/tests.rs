use super::*;
use crate::source::{Kind, SourceId};

fn source(text: &str) -> Source {
    let (path, kind) = ("Caddyfile".to_owned(), Kind::Caddyfile);
    Source::new(SourceId(0), path.clone(), path, kind, text.into(), None)
}

/// One line a node, indented by depth: its words, and `{` if it has a block.
fn shape(text: &str) -> String {
    let tree = parse(&source(text));
    assert!(tree.errors.is_empty(), "{:?}", tree.errors);
    outline(&tree)
}

fn outline(tree: &Tree) -> String {
    let line = |node: &Node| {
        let words: Vec<&str> = node.words.iter().map(|word| &*word.text).collect();
        let brace = if node.block.is_some() { "{" } else { "" };
        format!(
            "{}{}{brace}",
            " ".repeat(node.depth as usize),
            words.join("|")
        )
    };
    tree.nodes.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The first error, with the text that it underlines, and the tree in spite of it.
fn refused(text: &str) -> (String, String, String) {
    let source = source(text);
    let tree = parse(&source);
    let error = tree.errors.first().unwrap();
    (
        source.slice(error.span).into(),
        error.message.clone(),
        outline(&tree),
    )
}

#[test]
fn sites_snippets_and_options() {
    assert_eq!(
        shape(
            "{\n\tdebug\n}\n(s) {\n\tencode gzip\n}\na.example,\nb.example, c.example {\n\timport s\n}\n"
        ),
        "{\n debug\n(s){\n encode|gzip\na.example|b.example|c.example{\n import|s"
    );
    assert_eq!(shape("a.example\n{\n\tabort\n}\n"), "a.example{\n abort");
    assert_eq!(
        shape("a.example , b.example {\n}\n"),
        "a.example|b.example{"
    );
    assert_eq!(
        shape("a.example { }\nb.example { abort\n}\n"),
        "a.example{\nb.example{\n abort"
    );
    assert_eq!(
        shape("import a.caddy\n{\n\tdebug\n}\n"),
        "import|a.caddy\n{\n debug"
    );
}

#[test]
fn the_first_line_of_a_file_without_braces_is_its_site() {
    assert_eq!(
        shape("# c\nlocalhost\n\nhandle /a {\n\tabort\n}\nencode gzip\n"),
        "localhost\n handle|/a{\n  abort\n encode|gzip"
    );
    let text = "localhost\nencode gzip\n# end\n";
    let (source, tree) = (source(text), parse(&source(text)));
    assert_eq!(source.slice(tree.nodes[0].span), "localhost\nencode gzip");
    assert_eq!((tree.nodes[0].end, tree.nodes[1].parent), (2, Some(0)));
    assert_eq!(shape("reverse_proxy a:1\n"), "reverse_proxy|a:1");
}

#[test]
fn words_come_out_as_caddy_reads_them() {
    assert_eq!(
        shape("a {\n\tb \"c \\\"d\\\" \\n\" `e\\\"` f\"g \"h\"i \"{\" \\<<x\n}"),
        "a{\n b|c \"d\" \\n|e\\\"|f\"g|h|i|{|<<x"
    );
    assert_eq!(
        shape("a {\n\tb \\\n\t\tc\\\r\n\td\n\te\u{a0}f\r\n}"),
        "a{\n b|c|d\n e|f"
    );
    assert_eq!(
        shape("{$A:b c, d} {\n\tx {path}/y\n}"),
        "{$A:b c, d}{\n x|{path}/y"
    );
    assert_eq!(shape("a {\n\tb # C:\\x\n\tc\n}"), "a{\n b|c");
    assert_eq!(shape("\u{feff}a {\r\n\tb\r\n}\r\n"), "a{\n b");
    assert_eq!(shape("a {\n\th {\n\t\tb\n\t} c\n}"), "a{\n h{\n  b\n c");
}

#[test]
fn an_endless_line_is_read_as_far_as_somebody_may_have_written_it() {
    for count in [MAX_WORDS + 1, MAX_LINE] {
        let text = format!("a {{\n\tb{} {{\n\t\tc\n\t}}\n\td\n}}\n", " x".repeat(count));
        let tree = parse(&source(&text));
        assert_eq!(tree.nodes[1].words.len(), MAX_WORDS, "{count}");
        assert!(!tree.nodes[1].intact && tree.errors.iter().all(|error| !error.certain));
        assert_eq!(&*tree.nodes[2].words[0].text, "c");
        assert_eq!(&*tree.nodes[3].words[0].text, "d");
    }
}

#[test]
fn heredocs_lose_their_indentation() {
    let text = "a {\n\tb <<E\n\t\tc {\n\n\t\t  d\r\n\t\tE 200\n}";
    let tree = parse(&source(text));
    assert!(tree.errors.is_empty(), "{:?}", tree.errors);
    let words = &tree.nodes[1].words;
    assert_eq!(
        (&*words[1].text, words[1].quote),
        ("c {\n\n  d", Quote::Heredoc)
    );
    assert_eq!(&*words[2].text, "200");
    assert_eq!(shape("a {\n\tb <<E\nE\n}"), "a{\n b|");
}

#[test]
fn an_import_may_bring_blocks_of_its_own() {
    assert_eq!(
        shape("a {\n\timport s x {\n\t\th {\n\t\t\tb\n\t\t}\n\t\t{\n\t\t\tc\n\t\t}\n\t}\n}"),
        "a{\n import|s|x{\n  h{\n   b\n  {\n   c"
    );
}

#[test]
fn braces_have_to_stand_alone() {
    for (text, at, message, outline) in [
        (
            "a{\n\tb\n}\n",
            "{",
            "\"{\" directly after \"a\" belongs to the word: put a space between them",
            "a{\n b",
        ),
        (
            "a {\n\thandle{\n\t\tb\n\t}\n}\n",
            "{",
            "\"{\" directly after \"handle\" belongs to the word: put a space between them",
            "a{\n handle{\n  b",
        ),
        (
            "a {\n\tb c }\n",
            "}",
            "unexpected \"}\" within a line: it closes a block only on a line of its own",
            "a{\n b|c",
        ),
        (
            "a {\n\tb { c\n\t}\n}\n",
            "c",
            "unexpected text after \"{\" on the same line: the block's content begins on the next line",
            "a{\n b{\n  c",
        ),
        (
            "a {\n\tb {}\n\tc\n}\n",
            "{}",
            "unexpected \"{}\" at the end of a line: leave it out, or break the line after \"{\"",
            "a{\n b{\n c",
        ),
        (
            "a {\n\tb\n\t{\n\t\tc\n\t}\n}\n",
            "{",
            "unexpected \"{\" on a new line: it belongs at the end of the line before",
            "a{\n b{\n  c",
        ),
        (
            "a {\n\tb { }\n}\n",
            "}",
            "unexpected \"}\" after \"{\" on the same line: the block has to span lines",
            "a{\n b{",
        ),
        (
            "a {\n\tb\n}\n}\n",
            "}",
            "unexpected \"}\": no block is open here",
            "a{\n b\n}",
        ),
        (
            "a {\n\tb\n",
            "{",
            "unexpected end of file, expecting \"}\": the block of \"a\" is not closed",
            "a{\n b",
        ),
    ] {
        assert_eq!(
            refused(text),
            (at.into(), message.into(), outline.into()),
            "{text}"
        );
    }
}

#[test]
fn lists_quotes_and_heredocs_have_to_end() {
    for (text, at, message) in [
        (
            "a, {\n\tb\n}\n",
            ",",
            "another address is expected after \",\", but \"{\" follows: is the comma one too many?",
        ),
        (
            "a,\n",
            ",",
            "unexpected end of file: another address is expected after \",\"",
        ),
        ("a {\n\tb \"c\n}\n", "\"", "the quote \" is not closed"),
        ("a {\n\tb `c\n}\n", "`", "the quote ` is not closed"),
        (
            "a {\n\tb <<E\n\tc\n}\n",
            "<<E",
            "incomplete heredoc: its ending marker \"E\" is missing",
        ),
        (
            "a {\n\tb <<\n}\n",
            "<<",
            "the marker of the heredoc is missing, as in \"<<END\"",
        ),
        (
            "a {\n\tb <<E\n\t\tc\n\td\n\t\tE\n}\n",
            "\td",
            "this line of the heredoc is not indented like its closing marker \"E\"",
        ),
    ] {
        let (found_at, found, _) = refused(text);
        assert_eq!((&*found_at, &*found), (at, message), "{text}");
    }
}

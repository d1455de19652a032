//! The definitions of named matchers.

use std::sync::Arc;

use regex::Regex;

use super::{Candidates, Matcher, Test};
use crate::caddy::cel;
use crate::caddy::expand::{Directive, Word};
use crate::syntax::Quote;

/// Reads the definition of a named matcher: `@name path /x`, `@name { … }` or ``@name `CEL` ``.
pub(in crate::caddy) fn define(directive: &Directive) -> Matcher {
    let mut tests = Vec::new();
    if let Some(first) = directive.args().first() {
        if first.quote != Quote::None {
            tests.extend(cel::read(&first.text, first));
        } else {
            test(
                &first.text,
                &directive.args()[1..],
                directive.children(),
                &mut tests,
            );
        }
    } else {
        set(directive.children(), &mut tests);
    }
    if directive.partial {
        tests.push(Test::Open(String::new()));
    }
    Matcher {
        span: None,
        definition: Some(directive.head),
        name: Some(directive.name().trim_start_matches('@').to_owned()),
        tests: Arc::new(tests),
        conditional: is_conditional(directive),
        sorts_by: only_path(directive),
        said: said(directive).into(),
        names_captures: names_captures(directive),
    }
}

/// Whether the captures of a regular expression get the matcher's own name, as those of a CEL
/// expression in one word do (celmatcher.go and matchers.go, `MatcherNameCtxKey`).
fn names_captures(directive: &Directive) -> bool {
    let by_itself = |words: &[Word]| match words {
        [only] if only.quote != Quote::None => true,
        [kind, args @ ..] => matches!(
            (kind.text.as_str(), args.len()),
            ("expression" | "path_regexp", 1) | ("header_regexp" | "vars_regexp", 2)
        ),
        [] => false,
    };
    let mut lines = directive.children().iter();
    by_itself(directive.args()) || lines.any(|line| by_itself(&line.words))
}

/// The pattern of a definition's `path` conditions, where it is the only one.
fn only_path(directive: &Directive) -> Option<Arc<str>> {
    let inline = directive.args().first().filter(|word| word.text == "path");
    let inline = inline.into_iter().flat_map(|_| &directive.args()[1..]);
    // The block of an inline `not` holds what must not be.
    let lines = directive
        .children()
        .iter()
        .filter(|line| line.name() == "path" && directive.args().is_empty());
    let mut patterns = inline.chain(lines.flat_map(Directive::args));
    match (patterns.next(), patterns.next()) {
        (Some(path), None) => Some(path.text.as_str().into()),
        _ => None,
    }
}

/// Whether a template may leave out the definition or any line in it.
fn is_conditional(directive: &Directive) -> bool {
    directive.conditional || directive.children().iter().any(is_conditional)
}

/// The conditions of a definition as text, whatever its form.
fn said(directive: &Directive) -> String {
    let line = |words: &[Word]| {
        words
            .iter()
            .map(|word| word.text.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut lines: Vec<String> = directive
        .children()
        .iter()
        .map(|child| match child.block {
            Some(_) => format!("{} {{ {} }}", line(&child.words), said(child)),
            None => line(&child.words),
        })
        .collect();
    lines.sort();
    if directive.name().starts_with('@') && !directive.args().is_empty() {
        let own = line(directive.args());
        lines = vec![if lines.is_empty() {
            own
        } else {
            format!("{own} {{ {} }}", lines.join("; "))
        }];
    }
    lines.join("; ")
}

/// The lines of a block. Caddy hands all lines of one name to one matcher, which makes its own of
/// them: patterns of `path` add up, of `protocol` the last one counts, of `expression` the first.
fn set(lines: &[Directive], tests: &mut Vec<Test>) {
    let quoted = |line: &Directive| {
        let first = line.words.first();
        first.is_some_and(|word| word.quote != Quote::None)
    };
    let is_expression = |line: &&Directive| line.name() == "expression" || quoted(line);
    for line in lines.iter().filter(|line| !is_expression(line)) {
        test(line.name(), line.args(), line.children(), tests);
    }
    // After the others, which do not add up with what stands in it.
    if let Some(line) = lines.iter().find(is_expression) {
        if quoted(line) {
            tests.extend(cel::read(line.name(), &line.words[0]));
        } else {
            test(line.name(), line.args(), line.children(), tests);
        }
    }
}

fn test(name: &str, args: &[Word], children: &[Directive], tests: &mut Vec<Test>) {
    let texts = || args.iter().map(|word| word.text.clone());
    match name {
        "path" => {
            // Two lines are one matcher with all their patterns.
            if let Some(Test::Path(patterns)) =
                tests.iter_mut().find(|test| matches!(test, Test::Path(_)))
            {
                patterns.extend(args.iter().cloned());
            } else {
                tests.push(Test::Path(args.to_vec()));
            }
        }
        "host" => {
            if let Some(Test::Host(hosts)) =
                tests.iter_mut().find(|test| matches!(test, Test::Host(_)))
            {
                hosts.extend(args.iter().cloned());
            } else {
                tests.push(Test::Host(args.to_vec()));
            }
        }
        "method" => {
            let own = tests.iter_mut().find_map(|test| match test {
                Test::Method(methods) => Some(methods),
                _ => None,
            });
            match own {
                Some(methods) => methods.extend(texts()),
                None => tests.push(Test::Method(texts().collect())),
            }
        }
        "protocol" => {
            tests.retain(|test| !matches!(test, Test::Protocol(_)));
            tests.push(Test::Protocol(texts().next().unwrap_or_default()));
        }
        "path_regexp" => tests.push(Test::PathRegexp(compile(args))),
        "query" => {
            for word in args {
                let (key, value) = word.text.split_once('=').unwrap_or((&word.text, ""));
                let value = Word {
                    text: value.to_owned(),
                    ..word.clone()
                };
                let same = tests.iter_mut().find_map(|test| match test {
                    Test::Query(name, values) if name == key => Some(values),
                    _ => None,
                });
                match same {
                    Some(values) => values.push(value),
                    None => tests.push(Test::Query(key.to_owned(), vec![value])),
                }
            }
        }
        "vars" => match args.split_first() {
            Some((key, values)) if !values.is_empty() => {
                let own = tests.iter_mut().find_map(|test| match test {
                    Test::Vars(name, own) if *name == key.text => Some(own),
                    _ => None,
                });
                match own {
                    Some(own) => own.extend(values.iter().cloned()),
                    None => tests.push(Test::Vars(key.text.clone(), values.to_vec())),
                }
            }
            _ => tests.push(Test::Open(name.to_owned())),
        },
        "header" => {
            let Some(field) = args.first() else { return };
            match field.text.strip_prefix('!') {
                Some(field) => {
                    let same = |test: &Test| matches!(test, Test::Header(own, _) if own.eq_ignore_ascii_case(field));
                    tests.retain(|test| !same(test));
                    tests.push(Test::Header(field.to_owned(), Vec::new()));
                }
                // A field without a value is an error of Caddy's.
                None if args.len() < 2 => tests.push(Test::Open(name.to_owned())),
                None => {
                    // A value after `!` is one that is asked for again.
                    tests.retain(|test| !matches!(test, Test::Header(name, values) if values.is_empty() && name.eq_ignore_ascii_case(&field.text)));
                    let same = tests.iter_mut().find_map(|test| match test {
                        Test::Header(name, values)
                            if name.eq_ignore_ascii_case(&field.text) && !values.is_empty() =>
                        {
                            Some(values)
                        }
                        _ => None,
                    });
                    match same {
                        Some(values) => values.extend(args[1..].iter().cloned()),
                        None => tests.push(Test::Header(field.text.clone(), args[1..].to_vec())),
                    }
                }
            }
        }
        "header_regexp" => {
            let (field, regex) = match args {
                [field, _] => (field, compile(&args[1..])),
                [name, field, regex] => (field, compile(&[name.clone(), regex.clone()])),
                _ => return tests.push(Test::Open(name.to_owned())),
            };
            tests.push(Test::HeaderRegexp(field.text.clone(), regex));
        }
        "not" => {
            let mut inner = Vec::new();
            if let Some((name, rest)) = args.split_first() {
                test(&name.text, rest, children, &mut inner);
            } else {
                set(children, &mut inner);
            }
            tests.push(Test::Not(vec![inner]));
        }
        "file" => {
            let own = tests.iter_mut().find_map(|test| match test {
                Test::File(candidates) => Some(candidates),
                _ => None,
            });
            match own {
                Some(own) => file(args, children, own),
                None => {
                    let mut candidates = Candidates::default();
                    file(args, children, &mut candidates);
                    tests.push(Test::File(candidates));
                }
            }
        }
        "expression" => {
            let text = texts().collect::<Vec<_>>().join(" ");
            match args.first() {
                Some(word) => tests.extend(cel::read(&text, word)),
                None => tests.push(Test::Open(name.to_owned())),
            }
        }
        _ => tests.push(Test::Open(name.to_owned())),
    }
}

/// `file`, on one line with the files or with a block (fileserver/matcher.go). Without any it looks
/// for the request's own path.
fn file(args: &[Word], children: &[Directive], candidates: &mut Candidates) {
    candidates.words.extend(args.iter().cloned());
    for line in children {
        match line.name() {
            "try_files" => candidates.words.extend(line.args().iter().cloned()),
            "root" => candidates.root = line.args().first().cloned(),
            "try_policy" => candidates.choose_by(line.arg(0)),
            // `split_path`.
            _ => candidates.is_open = true,
        }
    }
}

/// A condition by its name and arguments, for expressions.
pub(in crate::caddy) fn named(name: &str, args: &[Word], tests: &mut Vec<Test>) {
    let mut own = Vec::new();
    test(name, args, &[], &mut own);
    tests.append(&mut own);
}

/// A regular expression with the name that its captures go by.
#[derive(Clone, Debug)]
pub struct Expression {
    /// Empty without one.
    pub name: String,
    /// It.
    pub of: Regex,
}

/// Reads `[name] expression`. Go's RE2 and this crate's expressions are close enough to agree
/// wherever both compile.
fn compile(args: &[Word]) -> Option<Expression> {
    let (name, word) = match args {
        [word] => (String::new(), word),
        [name, word] => (name.text.clone(), word),
        _ => return None,
    };
    regex(word).map(|of| Expression { name, of })
}

/// Compiles a regular expression.
pub(in crate::caddy) fn regex(word: &Word) -> Option<Regex> {
    let pattern = word.known()?;
    if pattern.len() >= 1000 || pattern.contains("{$") {
        return None;
    }
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 18)
        .build()
        .ok()
}

//! Template expressions: masked, length preserved, so that a parser reads what is around them.
//!
//! What a template engine replaces is unknown here. An expression becomes `x` after `x`, which is a
//! word or a part of one wherever it stands; a statement or a comment becomes blanks, so that both
//! branches of an `if` are there. Nobody may conclude anything from a syntax error in such a file.

use std::collections::BTreeSet;
use std::ops::Range;

use memchr::{memchr, memmem};

/// The text with its template expressions masked, and where; `None` without any.
///
/// Known are Jinja and its kin (`{{ }}`, `{% %}`, `{# #}`), Go and Handlebars (`{{ }}`), ERB
/// (`<% %>`, `<%= %>`), the environment as `envsubst` and shells write it (`${NAME}`,
/// `${NAME:-default}`; `$NAME` in a file that is called a template) and `%%NAME%%`, `@NAME@`.
pub(crate) fn mask(text: &str, path: &str) -> Option<(String, Vec<Range<usize>>)> {
    let bytes = text.as_bytes();
    let has = |needle: &str| memmem::find(bytes, needle.as_bytes()).is_some();
    let named = is_named_template(path);
    let any = ["{{", "{%", "<%", "${", "%%"].into_iter().any(has)
        || memchr(b'@', bytes).is_some()
        || (named && memchr(b'$', bytes).is_some());
    if !any {
        return None;
    }
    let file = path.rsplit('/').next().unwrap_or_default();
    let python = file.ends_with(".py");
    // Python has braces and per cent signs of its own; only a statement on a line of its own, or the
    // file's name, says that somebody renders it.
    if python && !named && !text.lines().any(|line| line.trim_start().starts_with("{%")) {
        return None;
    }
    let caddyfile = file.to_ascii_lowercase().contains("caddy");
    let engine = named || has("{%") || has("<%");
    let scan = Scan {
        text,
        engine,
        // `{{` also opens a table of tables in Lua, and an expression for Caddy's own `templates`.
        doubtful: (has("_by_lua") || (caddyfile && has("templates"))) && !engine,
        spaced: caddyfile && !engine,
        named,
        python,
        defined: defined(text),
    };
    let found = scan.run();
    if found.is_empty() {
        return None;
    }
    let mut masked = bytes.to_vec();
    for (expression, alone) in found.iter().zip(alone(bytes, &found)) {
        for byte in &mut masked[expression.range.clone()] {
            match *byte {
                _ if expression.value && !alone => *byte = b'x',
                b'\n' | b'\r' => {}
                _ => *byte = b' ',
            }
        }
    }
    // Whole expressions were replaced by ASCII, so this is UTF-8 still.
    let masked = String::from_utf8(masked).ok()?;
    Some((masked, found.into_iter().map(|found| found.range).collect()))
}

/// Whether the file's name says that it is a template: `default.conf.template`, `site.j2`.
fn is_named_template(path: &str) -> bool {
    const EXTENSIONS: [&str; 12] = [
        "template", "tmpl", "tpl", "gotmpl", "ctmpl", "j2", "jinja", "jinja2", "erb", "epp",
        "mustache", "hbs",
    ];
    let file = path.rsplit('/').next().unwrap_or_default();
    file.split('.')
        .skip(1)
        .any(|part| EXTENSIONS.contains(&part.to_ascii_lowercase().as_str()))
}

/// For each expression whether nothing but expressions and blanks stands on its lines: it supplies
/// whole directives then, or none.
fn alone(bytes: &[u8], found: &[Found]) -> Vec<bool> {
    let blank = |range: Range<usize>| bytes[range].iter().all(|byte| b" \t\r".contains(byte));
    let mut alone = Vec::with_capacity(found.len());
    while let Some(first) = found.get(alone.len()) {
        let rest = &found[alone.len()..];
        // The expressions that follow each other with only blanks between them.
        let joined = rest
            .windows(2)
            .take_while(|pair| blank(pair[0].range.end..pair[1].range.start))
            .count();
        let (start, end) = (first.range.start, rest[joined].range.end);
        let ends = |byte: Option<&u8>| byte.is_none_or(|byte| *byte == b'\n');
        let visible = |byte: &&u8| !b" \t\r".contains(*byte);
        let only = ends(bytes[..start].iter().rev().find(visible))
            && ends(bytes[end..].iter().find(visible));
        alone.extend(std::iter::repeat_n(only, joined + 1));
    }
    alone
}

/// An expression.
struct Found {
    range: Range<usize>,
    /// It supplies text; a statement or a comment does not.
    value: bool,
}

/// What counts as an expression in this file.
struct Scan<'a> {
    text: &'a str,
    /// Name or content prove that a template engine reads the file.
    engine: bool,
    /// `{{` may well be something else here.
    doubtful: bool,
    /// `{{ name }}` only with the blanks.
    spaced: bool,
    named: bool,
    python: bool,
    defined: BTreeSet<&'a str>,
}

impl Scan<'_> {
    /// All expressions in order.
    fn run(&self) -> Vec<Found> {
        let bytes = self.text.as_bytes();
        let mut found = Vec::new();
        // No closer lies ahead for these; looking again would cost the square of the size.
        let mut unclosed: Vec<&str> = Vec::new();
        let mut at = 0;
        while let Some(next) = bytes[at..].iter().position(|byte| b"{<$%@".contains(byte)) {
            at += next;
            let rest = &self.text[at..];
            let pair = match rest.as_bytes() {
                [b'{', b'%', ..] => Some(("%}", false)),
                [b'{', b'#', ..] if self.engine => Some(("#}", false)),
                [b'{', b'{', ..] if !self.doubtful => Some(("}}", true)),
                [b'<', b'%', ..] => Some(("%>", rest.as_bytes().get(2) == Some(&b'='))),
                _ => None,
            };
            let length = match pair {
                Some((closer, _)) if unclosed.contains(&closer) => None,
                Some((closer, _)) => {
                    let end = memmem::find(&rest.as_bytes()[2..], closer.as_bytes());
                    if end.is_none() {
                        unclosed.push(closer);
                    }
                    end.map(|end| end + 4)
                }
                None => self.name(rest),
            };
            let value = pair.is_none_or(|(_, value)| value);
            match length {
                Some(length) if pair.is_none_or(|(closer, _)| closer != "}}") => {
                    let range = at..at + length;
                    found.push(Found { range, value });
                    at += length;
                }
                Some(length) => {
                    let inner = &rest[2..length - 2];
                    if self.is_expression(inner) {
                        let value = !is_statement(inner);
                        let range = at..at + length;
                        found.push(Found { range, value });
                        at += length;
                    } else {
                        at += 2;
                    }
                }
                None => at += 1,
            }
        }
        found
    }

    /// Whether the inside of `{{ }}` looks like one: in a file that only perhaps is a template, on
    /// one line and without further braces.
    fn is_expression(&self, inner: &str) -> bool {
        if self.engine {
            return true;
        }
        let name = inner.trim_start_matches('-').trim_start();
        let named =
            name.starts_with(|first: char| first.is_ascii_alphabetic() || "_.$(#/".contains(first));
        let spaced = inner.ends_with(' ') && (inner.starts_with(' ') || inner.starts_with("- "));
        named && (spaced || !self.spaced) && !inner.contains(['{', '}', '\n'])
    }

    /// The length of a name in capitals that something replaces, if one stands here.
    fn name(&self, rest: &str) -> Option<usize> {
        let bytes = rest.as_bytes();
        if self.python {
            return None;
        }
        match bytes {
            [b'$', b'{', ..] => {
                let name = upper(&bytes[2..])?;
                let after = &bytes[2 + name..];
                let end = match after {
                    [b'}', ..] => 0,
                    [b':', b'-' | b'=' | b'?' | b'+', ..] | [b'-' | b'=' | b'?' | b'+', ..] => {
                        after
                            .iter()
                            .position(|byte| b"}\n".contains(byte))
                            .filter(|end| after[*end] == b'}')?
                    }
                    _ => return None,
                };
                (!self.defined.contains(&rest[2..2 + name])).then_some(2 + name + end + 1)
            }
            [b'$', ..] if self.named => {
                let name = upper(&bytes[1..])?;
                let whole = bytes
                    .get(1 + name)
                    .is_none_or(|next| !next.is_ascii_alphanumeric());
                (whole && !self.defined.contains(&rest[1..1 + name])).then_some(1 + name)
            }
            [b'%', b'%', ..] => {
                let name = upper(&bytes[2..])?;
                bytes[2 + name..].starts_with(b"%%").then_some(name + 4)
            }
            [b'@', ..] => {
                let name = upper(&bytes[1..])?;
                (bytes.get(1 + name) == Some(&b'@')).then_some(name + 2)
            }
            _ => None,
        }
    }
}

/// The variables in capitals that the file itself defines (`set $NAME …`, `map … $NAME {`), so that
/// they are nginx's and nobody else's.
fn defined(text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for statement in text.split(['\n', ';', '{', '}']) {
        let mut words = statement.split_whitespace();
        let variable = match words.next() {
            Some("set" | "auth_request_set" | "js_set" | "js_var" | "perl_set") => words.next(),
            Some("map" | "geo" | "split_clients") => words.next_back(),
            _ => None,
        };
        names.extend(variable.and_then(|variable| variable.strip_prefix('$')));
    }
    names
}

/// The length of the name in capitals that begins here.
fn upper(bytes: &[u8]) -> Option<usize> {
    bytes.first().filter(|first| first.is_ascii_uppercase())?;
    let end = bytes
        .iter()
        .position(|byte| !(byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_'));
    Some(end.unwrap_or(bytes.len()))
}

/// Whether the inside of `{{ }}` steers (Go, Handlebars) and supplies no text.
fn is_statement(inner: &str) -> bool {
    let inner = inner.trim_start_matches(['-', '~']).trim_start();
    if inner.starts_with(['#', '/', '!', '^']) {
        return true;
    }
    let word = inner
        .split(|next: char| !next.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    matches!(
        word,
        "if" | "else" | "end" | "range" | "with" | "define" | "block" | "break" | "continue"
    ) || inner
        .split_once(":=")
        .is_some_and(|(variable, _)| variable.trim_start().starts_with('$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str, path: &str) -> String {
        let (masked, ranges) = mask(text, path).unwrap();
        assert_eq!(masked.len(), text.len());
        for range in ranges {
            assert!(text.get(range).is_some());
        }
        masked
    }

    #[test]
    fn expressions_become_words_and_statements_blanks() {
        let text = "{% if tls %}\nlisten {{ port }};\n{%- endif %}\n{# é #}\n{{ extra }}\n";
        let expected = "            \nlisten xxxxxxxxxx;\n            \n        \n           \n";
        assert_eq!(masked(text, "nginx.conf"), expected);
    }

    #[test]
    fn go_and_erb_steer_with_the_same_brackets() {
        let text = "{{- if .Tls }}listen {{ .Port }};{{ end }}\n<% if x %>\nroot <%= y %>;";
        let expected = "              listen xxxxxxxxxxx;         \n          \nroot xxxxxxxx;";
        assert_eq!(masked(text, "a.conf"), expected);
        assert_eq!(masked("{{ $a := 1 }}", "a.tmpl"), " ".repeat(13));
    }

    #[test]
    fn the_environment_is_written_in_capitals() {
        assert_eq!(masked("a ${HOST};", "a.conf"), "a xxxxxxx;");
        assert_eq!(masked("a ${HOST:-b c};", "a.conf"), "a xxxxxxxxxxxx;");
        assert_eq!(masked("a $HOST$host;", "a.conf.template"), "a xxxxx$host;");
        assert_eq!(masked("a %%HOST%% @HOST@;", "a.conf"), "a xxxxxxxx xxxxxx;");
    }

    #[test]
    fn the_servers_own_syntax_stays() {
        for (text, path) in [
            ("a $host ${host} $HOST @named;", "nginx.conf"),
            ("set $HOST x; a ${HOST};", "nginx.conf"),
            ("map $a $HOST { x y; } a ${HOST};", "nginx.conf.template"),
            ("server {# comment\n#}\n}", "nginx.conf"),
            ("log_format j '{\"a\":{\"b\":{}}}';", "nginx.conf"),
            ("content_by_lua_block { t = {{a, b}} }", "nginx.conf"),
            ("respond \"{{now}}\"", "Caddyfile"),
            ("templates\nrespond \"{{ now }}\"", "Caddyfile"),
            ("{$HOST:x} {\n}", "Caddyfile"),
            ("x = {{1: 2}}\ny = f'{{ a }}'", "settings.py"),
            ("admin root@EXAMPLE.org", "nginx.conf"),
        ] {
            assert_eq!(mask(text, path), None, "{text}");
        }
    }

    #[test]
    fn a_caddyfile_is_a_template_where_it_cannot_be_caddys() {
        assert_eq!(masked("{{ host }} {\n}", "Caddyfile"), "xxxxxxxxxx {\n}");
        assert_eq!(masked("{{host}} {\n}", "Caddyfile.j2"), "xxxxxxxx {\n}");
    }

    #[test]
    fn python_is_a_template_with_a_statement_on_its_own_line() {
        let text = "{% if debug %}\nDEBUG = '{{ debug }}'\n";
        assert_eq!(
            masked(text, "settings.py"),
            format!("{}\nDEBUG = '{}'\n", " ".repeat(14), "x".repeat(11))
        );
    }

    #[test]
    fn what_is_not_closed_costs_one_look() {
        for opener in ["{%", "{{", "<%", "${A", "{{ a }}", "@A", "%%A", "$A"] {
            let text = opener.repeat(200_000);
            mask(&text, "a.conf.template");
        }
    }
}

//! Template expressions: masked, length preserved, so that a parser reads what is around them.
//!
//! What a template engine replaces is unknown here. An expression becomes `x` after `x`, which is a
//! word or a part of one wherever it stands; a statement or a comment becomes blanks, so that both
//! branches of an `if` are there. Nobody may conclude anything from a syntax error in such a file.

use std::collections::BTreeSet;
use std::ops::Range;

use memchr::{memchr, memmem};

use crate::source::Mask;

/// Branches within branches that are told apart.
const MAX_NESTED: usize = 64;

/// The text with its template expressions masked, and where; `None` without any.
///
/// Known are Jinja and its kin (`{{ }}`, `{% %}`, `{# #}`), Go and Handlebars (`{{ }}`), ERB
/// (`<% %>`, `<%= %>`), the environment as `envsubst` and shells write it (`${NAME}`,
/// `${NAME:-default}`; `$NAME` in a file that is called a template) and `%%NAME%%`, `@NAME@`.
pub(crate) fn mask(text: &str, path: &str) -> Option<Mask> {
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
    Some(Mask {
        text: masked,
        conditional: conditional(text, &found),
        masks: found.into_iter().map(|found| found.range).collect(),
    })
}

/// The ranges that an engine writes only sometimes, or several times: each branch of an `if`, the
/// body of a loop or of a definition. What is opened and never closed reaches to the end.
fn conditional(text: &str, found: &[Found]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    // An engine's `end` closes nothing that another one opened.
    let mut open: [Vec<usize>; 3] = Default::default();
    // What nests too deeply is as conditional as what holds it.
    let mut deeper = [0_usize; 3];
    for Found { range, value } in found {
        let tag = &text[range.clone()];
        let (engine, inner) = match tag.as_bytes() {
            [b'{', b'%', ..] => (0, jinja(tag)),
            [b'{', b'{', ..] if !value => (1, go(tag)),
            [b'<', b'%', ..] => (2, ruby(tag)),
            _ => continue,
        };
        let (open, deeper) = (&mut open[engine], &mut deeper[engine]);
        if inner == Steer::Open && open.len() >= MAX_NESTED {
            *deeper += 1;
        } else if *deeper > 0 {
            *deeper -= usize::from(inner == Steer::Close);
        } else if matches!(inner, Steer::Close | Steer::Branch)
            && let Some(from) = open.pop()
        {
            ranges.push(from..range.start);
            if inner == Steer::Branch {
                open.push(range.end);
            }
        } else if inner == Steer::Open {
            open.push(range.end);
        }
    }
    let unclosed = open.into_iter().flatten().map(|from| from..text.len());
    ranges.extend(unclosed);
    ranges.sort_by_key(|range| (range.start, range.end));
    ranges
}

/// What a statement does to the lines that follow it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Steer {
    Open,
    Branch,
    Close,
    Nothing,
}

/// The inside of a statement's brackets, without the signs that only trim blanks.
fn inside(tag: &str) -> &str {
    let inner = tag.get(2..tag.len().saturating_sub(2)).unwrap_or_default();
    inner.trim_matches(|c: char| c.is_whitespace() || "-+~".contains(c))
}

fn first_word(inner: &str) -> &str {
    inner
        .split(|next: char| !next.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default()
}

/// Jinja, Twig, Liquid: each `x` that counts here ends with `endx`.
fn jinja(tag: &str) -> Steer {
    let word = first_word(inside(tag));
    match word.strip_prefix("end").unwrap_or(word) {
        "else" | "elif" | "elsif" | "elseif" | "when" => Steer::Branch,
        "if" | "for" | "unless" | "case" | "macro" | "ifequal" | "ifnotequal" | "ifchanged" => {
            if word.starts_with("end") {
                Steer::Close
            } else {
                Steer::Open
            }
        }
        _ => Steer::Nothing,
    }
}

/// Go, where everything ends with `end`, and Handlebars, which closes with a slash.
fn go(tag: &str) -> Steer {
    let inner = inside(tag);
    match inner.as_bytes() {
        [b'/', b'*', ..] | [b'!', ..] => return Steer::Nothing,
        [b'#', ..] => return Steer::Open,
        [b'/', ..] => return Steer::Close,
        [b'^'] => return Steer::Branch,
        [b'^', ..] => return Steer::Open,
        _ => {}
    }
    match first_word(inner) {
        "if" | "range" | "with" | "define" | "block" => Steer::Open,
        "else" => Steer::Branch,
        "end" => Steer::Close,
        _ => Steer::Nothing,
    }
}

/// ERB, and its kin with braces (EPP, EJS).
fn ruby(tag: &str) -> Steer {
    let inner = inside(tag.replacen("<%=", "<%", 1).as_str()).to_owned();
    let inner = inner.as_str();
    // A loop's variables stand after what opens it.
    let head = match inner
        .strip_suffix('|')
        .and_then(|head| head.rsplit_once('|'))
    {
        Some((head, _)) => head.trim_end(),
        None => inner,
    };
    let opens = head.ends_with('{')
        || head
            .strip_suffix("do")
            .is_some_and(|rest| rest.is_empty() || rest.ends_with(char::is_whitespace));
    match first_word(inner) {
        _ if inner.starts_with('#') => Steer::Nothing,
        _ if inner.starts_with('}') && opens => Steer::Branch,
        _ if inner.starts_with('}') => Steer::Close,
        "else" | "elsif" | "when" | "in" | "rescue" | "ensure" => Steer::Branch,
        "end" => Steer::Close,
        "if" | "unless" | "while" | "until" | "for" | "case" | "begin"
            if !inner.ends_with(" end") =>
        {
            Steer::Open
        }
        _ if opens => Steer::Open,
        _ => Steer::Nothing,
    }
}

/// Whether the file's name says that it is a template: `default.conf.template`, `site.j2`.
/// Whether the file's name says that something else writes the configuration from it.
pub(crate) fn is_named_template(path: &str) -> bool {
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
        let Mask {
            text: masked,
            masks,
            conditional,
        } = mask(text, path).unwrap();
        assert_eq!(masked.len(), text.len());
        for range in masks.into_iter().chain(conditional) {
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
    fn what_an_engine_writes_only_sometimes_is_known() {
        for (text, expected) in [
            ("a{% if x %}b{% else %}c{% endif %}d", vec!["b", "c"]),
            (
                "{%- for x in y -%}b{%- endfor -%}d{% set a = 1 %}",
                vec!["b"],
            ),
            (
                "{% block b %}a{% if x %}b{% endif %}{% endblock %}",
                vec!["b"],
            ),
            ("a{{ if .X }}b{{ else if .Y }}c{{ end }}d", vec!["b", "c"]),
            ("a{{- range $x := .Y }}b{{- end }}d{{/* end */}}", vec!["b"]),
            (
                "a{{#if x}}b{{else}}c{{/if}}d{{^y}}e{{/y}}",
                vec!["b", "c", "e"],
            ),
            ("a<% if x -%>b<% else %>c<% end %>d", vec!["b", "c"]),
            ("a<% x.each do |y| %>b<%= y %><% end %>d", vec!["b<%= y %>"]),
            ("<% if $x { -%>b<% } else { -%>c<% } -%>d", vec!["b", "c"]),
            ("<% $x.each |$y| { %>b<% } %>d<%# if %>", vec!["b"]),
            ("<% x = 1 if y %>a<% if x then y end %>b", vec![]),
            ("a{% if x %}b{{ y }}", vec!["b{{ y }}"]),
            ("{% endif %}a{{ end }}", vec![]),
        ] {
            let mask = mask(text, "a.conf.tmpl").unwrap();
            let found: Vec<_> = mask
                .conditional
                .into_iter()
                .map(|range| &text[range])
                .collect();
            assert_eq!(found, expected, "{text}");
        }
        let nested = mask("{% if a %}b{% if c %}d{% endif %}{% endif %}", "a.conf").unwrap();
        assert_eq!(nested.conditional, [10..33, 21..22]);
    }

    #[test]
    fn what_is_not_closed_costs_one_look() {
        for opener in ["{%", "{{", "<%", "${A", "{{ a }}", "@A", "%%A", "$A"] {
            let text = opener.repeat(200_000);
            mask(&text, "a.conf.template");
        }
    }
}

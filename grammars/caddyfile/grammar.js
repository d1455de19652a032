// Caddyfile, as Caddy's lexer (caddyconfig/caddyfile/lexer.go) and parser (parse.go) read it.
//
// The lexer knows words, quotes, heredocs and line ends, nothing else; braces are words that stand
// alone. Whether a line at the top is a site, a snippet `(name)`, a named route `&(name)` or the
// only site of a file without braces is decided in src/caddy/syntax.rs, from its first word.

// unicode.IsSpace without the line feed, which is a token of its own.
const BLANK = ' \\t\\r\\f\\v\\u0085\\u00A0\\u1680\\u2000-\\u200A\\u2028\\u2029\\u202F\\u205F\\u3000';
const SPACE = `${BLANK}\\n`;

// Caddy replaces `{$NAME:default}` in the raw bytes before it cuts them into words, so that blanks
// in a default belong to the placeholder. Here it is a part of its word, left as it is written.
const ENVIRONMENT = '\\{\\$[^}\\n]*\\}';

// A backslash before a blank is no part of a word (and before a line feed it continues the line).
const ESCAPED = `\\\\[^${SPACE}]`;

// At a word's start a backslash does not keep a quote or a comment from beginning.
const ESCAPED_START = `\\\\[^${SPACE}"\`#]`;

// `{` and `}` alone are no words. Precedence can't say so (it would beat the longest match and
// break `{path}`), hence the spelt-out second character.
const WORD_START = `([^${SPACE}"\`#\\\\{}]|${ESCAPED_START}|${ENVIRONMENT}|[{}][^${SPACE}\\\\]|[{}]${ESCAPED})`;
const WORD_PART = `([^${SPACE}\\\\{]|${ESCAPED}|${ENVIRONMENT}|\\{)`;
const WORD_LAST = `[^${SPACE}\\\\{]`;

export default grammar({
  name: 'wslint_caddyfile',

  // See the nginx grammar for why the sentinel is there.
  externals: $ => [$.heredoc, $._error_sentinel],

  extras: $ => [
    new RegExp(`[${BLANK}]`),
    $._continuation,
    $.comment,
  ],

  rules: {
    source_file: $ => repeat(choice(
      '\n',
      alias($._top_line, $.directive),
      alias($._keyless_block, $.directive),
    )),

    // The addresses of a site may go on after a comma at a line's end. (Its block may even open on
    // the next line; that is a keyless block here, and put together in src/caddy/syntax.rs.)
    _top_line: $ => prec.right(seq(
      field('name', $._address),
      repeat(field('arg', $._address)),
      optional(field('block', $.block)),
    )),
    _address: $ => choice($._value, $._address_and_comma),
    _address_and_comma: $ => prec.right(seq(alias($.comma_word, $.word), repeat('\n'))),

    // The global options, and anonymous blocks in the block of an `import`.
    _keyless_block: $ => field('block', $.block),

    block: $ => seq(
      '{',
      repeat(choice('\n', $.directive, alias($._keyless_block, $.directive))),
      '}',
    ),

    directive: $ => prec.right(seq(
      field('name', $._argument),
      repeat(field('arg', $._argument)),
      optional(field('block', $.block)),
    )),
    _argument: $ => choice($._value, alias($.comma_word, $.word)),

    _value: $ => choice($.word, $.double_quoted, $.backquoted, $.heredoc),

    word: _ => token(new RegExp(`${WORD_START}${WORD_PART}*`)),
    // Not hidden (`_…`), or these tokens would be invisible inside an ERROR node.
    comma_word: _ => token(prec(1, new RegExp(`${WORD_START}(${WORD_PART}*${WORD_LAST})?,`))),

    // Only `\"` is an escape; everything else stays as it is, line feeds too. A backslash before the
    // opening quote escapes the first character after it.
    double_quoted: _ => token(/(\\"(.|\n)|")([^"\\]|\\(.|\n))*"/),
    backquoted: _ => token(/\\?`[^`]*`/),

    _continuation: _ => token(new RegExp(`\\\\[${BLANK}]*\\n?`)),

    // The lexer goes on looking for backslashes in a comment, and one anywhere in it takes the line
    // feed along: the next line continues this one.
    comment: _ => token(choice(/#[^\n\\]*/, /(#[^\n\\]*\\|\\#)[^\n]*\n?/)),
  },
});

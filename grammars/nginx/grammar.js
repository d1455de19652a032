// nginx configuration, token by token as ngx_conf_read_token (src/core/ngx_conf_file.c) reads it.
//
// There is one shape only: a name, arguments, and `;` or a block. What a directive means, where
// it may stand and how many arguments it takes is the model's business: a fragment that some other
// file includes has to parse without its surroundings.

// The only four separators. A vertical tab, a no-break space or a byte-order mark is an ordinary
// character of a word to nginx.
const BLANK = ' \\t\\r\\n';

// A backslash takes the next character along, whatever it is, so that it ends nothing.
const ESCAPED = '\\\\(.|\\n)';

// `{` ends a word unless it directly follows `$`, for the sake of `${name}`; nginx then swallows
// any number of them.
const DOLLAR = '\\$\\{*';

// Only at its start do quotes, `#` and `}` mean anything; within a word they are ordinary.
const WORD_START = `([^${BLANK};{}"'#\\\\$]|${ESCAPED}|${DOLLAR})`;
const WORD_REST = `([^${BLANK};{\\\\$]|${ESCAPED}|${DOLLAR})*`;

export default grammar({
  name: 'wslint_nginx',

  // While it recovers from an error, tree-sitter declares every external token valid. Nobody can
  // tell Lua from nginx then, and `_error_sentinel`, which no rule uses, lets the scanner notice.
  externals: $ => [$.lua_code, $._error_sentinel],

  extras: $ => [/[ \t\r\n]/, $.comment],

  rules: {
    source_file: $ => repeat($._item),

    _item: $ => choice($.directive, alias($.lua_directive, $.directive)),

    // Entries of `map`, `geo`, `types`, `split_clients` and upstreams have this shape too; their
    // "name" may be quoted or a regular expression.
    directive: $ => seq(
      field('name', $._value),
      repeat(field('arg', $._value)),
      choice(';', field('block', $.block)),
    ),

    block: $ => seq('{', repeat($._item), '}'),

    // `content_by_lua_block { … }` and its kin hold Lua, whose braces are not ours.
    lua_directive: $ => seq(
      field('name', choice(
        alias($.lua_name, $.word),
        alias($.quoted_lua_name, $.double_quoted),
      )),
      repeat(field('arg', $._value)),
      field('block', $.lua_block),
    ),

    lua_block: $ => seq('{', optional(field('code', $.lua_code)), '}'),

    _value: $ => choice($.word, $.double_quoted, $.single_quoted),

    // Declared before `word` and without a lexical precedence: of two tokens of one length the
    // first declared wins, while a precedence would also beat a longer word. The names are not
    // hidden (`_…`), or these tokens would be invisible inside an ERROR node.
    lua_name: _ => token(/[a-z_]+_by_lua_block/),
    quoted_lua_name: _ => token(/"[a-z_]+_by_lua_block"/),

    word: _ => token(new RegExp(WORD_START + WORD_REST)),

    // Quoted strings may run over lines. That nothing may be glued to the closing quote is checked
    // in src/nginx/syntax.rs: a grammar does not see the absence of a blank.
    double_quoted: _ => token(new RegExp(`"([^"\\\\]|${ESCAPED})*"`)),
    single_quoted: _ => token(new RegExp(`'([^'\\\\]|${ESCAPED})*'`)),

    // As an extra it starts only where a token may start, which is nginx's rule: `a#b` is a word.
    comment: _ => token(/#[^\n]*/),
  },
});

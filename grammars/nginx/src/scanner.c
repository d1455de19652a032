/*
 * The one token that a regular expression can't describe: the Lua code of a
 * *_by_lua_block, up to the brace that closes it. Strings, comments and long
 * brackets may hold any number of unbalanced braces (lua-nginx-module,
 * ngx_http_lua_conf_lua_block_parse).
 */
#include "tree_sitter/alloc.h"
#include "tree_sitter/parser.h"

enum TokenType { LUA_CODE, ERROR_SENTINEL };

/*
 * Code that nothing closes is read to the end of the file, in vain. A hostile file could have that
 * done once for each of its lines, so that there is a limit to what may be read in vain in all. It
 * is no state of the syntax, and not serialized.
 */
#define MAX_WASTED (1 << 24)

struct Scanner {
  unsigned wasted;
};

void *tree_sitter_wslint_nginx_external_scanner_create(void) {
  return ts_calloc(1, sizeof(struct Scanner));
}

void tree_sitter_wslint_nginx_external_scanner_destroy(void *payload) { ts_free(payload); }

unsigned tree_sitter_wslint_nginx_external_scanner_serialize(void *payload, char *buffer) {
  (void)payload;
  (void)buffer;
  return 0;
}

void tree_sitter_wslint_nginx_external_scanner_deserialize(void *payload, const char *buffer,
                                                           unsigned length) {
  (void)payload;
  (void)buffer;
  (void)length;
}

/* A lexer that counts what it takes. */
struct Reader {
  TSLexer *lexer;
  unsigned taken;
};

static void advance(struct Reader *reader) {
  reader->taken++;
  reader->lexer->advance(reader->lexer, false);
}

static int32_t lookahead(struct Reader *reader) { return reader->lexer->lookahead; }

static bool at_end(struct Reader *reader) { return reader->lexer->eof(reader->lexer); }

/* At '[': takes the opening long bracket and returns its level, or -1 if it is none. */
static int long_bracket_open(struct Reader *reader) {
  int level = 0;
  advance(reader);
  while (lookahead(reader) == '=') {
    level++;
    advance(reader);
  }
  if (lookahead(reader) != '[') return -1;
  advance(reader);
  return level;
}

/* Takes everything up to and including the closing long bracket of this level. */
static void long_bracket_rest(struct Reader *reader, int level) {
  while (!at_end(reader)) {
    if (lookahead(reader) != ']') {
      advance(reader);
      continue;
    }
    int found = 0;
    advance(reader);
    while (lookahead(reader) == '=') {
      found++;
      advance(reader);
    }
    if (lookahead(reader) == ']' && found == level) {
      advance(reader);
      return;
    }
  }
}

/* At a quote: takes the string. One that is not closed ends with its line, as in Lua. */
static void string(struct Reader *reader) {
  int32_t quote = lookahead(reader);
  advance(reader);
  while (!at_end(reader) && lookahead(reader) != quote && lookahead(reader) != '\n') {
    if (lookahead(reader) == '\\') advance(reader);
    advance(reader);
  }
  if (lookahead(reader) == quote) advance(reader);
}

/* At '-': takes it, and with it the comment that it begins, if it does. */
static void minus_or_comment(struct Reader *reader) {
  advance(reader);
  if (lookahead(reader) != '-') return;
  advance(reader);
  int level = lookahead(reader) == '[' ? long_bracket_open(reader) : -1;
  if (level >= 0) {
    long_bracket_rest(reader, level);
  } else {
    while (!at_end(reader) && lookahead(reader) != '\n') advance(reader);
  }
}

bool tree_sitter_wslint_nginx_external_scanner_scan(void *payload, TSLexer *lexer,
                                                    const bool *valid) {
  struct Scanner *scanner = payload;
  if (valid[ERROR_SENTINEL] || !valid[LUA_CODE]) return false;
  if (!scanner || scanner->wasted > MAX_WASTED) return false;

  while (lexer->lookahead == ' ' || (lexer->lookahead >= '\t' && lexer->lookahead <= '\r')) {
    lexer->advance(lexer, true);
  }
  struct Reader reader = {lexer, 0};
  unsigned depth = 0;
  bool any = false;
  while (!at_end(&reader)) {
    int32_t c = lookahead(&reader);
    if (c == '}' && depth == 0) {
      lexer->mark_end(lexer);
      lexer->result_symbol = LUA_CODE;
      return any; /* an empty block has no code token */
    }
    any = true;
    switch (c) {
      case '"':
      case '\'':
        string(&reader);
        break;
      case '-':
        minus_or_comment(&reader);
        break;
      case '[': {
        int level = long_bracket_open(&reader);
        if (level >= 0) long_bracket_rest(&reader, level);
        break;
      }
      case '{':
        depth++;
        advance(&reader);
        break;
      case '}':
        depth--;
        advance(&reader);
        break;
      default:
        advance(&reader);
    }
  }
  scanner->wasted += reader.taken;
  return false;
}

/*
 * The one token that a regular expression can't describe: the Lua code of a
 * *_by_lua_block, up to the brace that closes it. Strings, comments and long
 * brackets may hold any number of unbalanced braces (lua-nginx-module,
 * ngx_http_lua_conf_lua_block_parse). The scanner keeps no state.
 */
#include "tree_sitter/parser.h"

enum TokenType { LUA_CODE, ERROR_SENTINEL };

void *tree_sitter_wslint_nginx_external_scanner_create(void) { return 0; }

void tree_sitter_wslint_nginx_external_scanner_destroy(void *payload) { (void)payload; }

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

static void advance(TSLexer *lexer) { lexer->advance(lexer, false); }

/* At '[': takes the opening long bracket and returns its level, or -1 if it is none. */
static int long_bracket_open(TSLexer *lexer) {
  int level = 0;
  advance(lexer);
  while (lexer->lookahead == '=') {
    level++;
    advance(lexer);
  }
  if (lexer->lookahead != '[') return -1;
  advance(lexer);
  return level;
}

/* Takes everything up to and including the closing long bracket of this level. */
static void long_bracket_rest(TSLexer *lexer, int level) {
  while (!lexer->eof(lexer)) {
    if (lexer->lookahead != ']') {
      advance(lexer);
      continue;
    }
    int found = 0;
    advance(lexer);
    while (lexer->lookahead == '=') {
      found++;
      advance(lexer);
    }
    if (lexer->lookahead == ']' && found == level) {
      advance(lexer);
      return;
    }
  }
}

/* At a quote: takes the string. One that is not closed ends with its line, as in Lua. */
static void string(TSLexer *lexer) {
  int32_t quote = lexer->lookahead;
  advance(lexer);
  while (!lexer->eof(lexer) && lexer->lookahead != quote && lexer->lookahead != '\n') {
    if (lexer->lookahead == '\\') advance(lexer);
    advance(lexer);
  }
  if (lexer->lookahead == quote) advance(lexer);
}

/* At '-': takes it, and with it the comment that it begins, if it does. */
static void minus_or_comment(TSLexer *lexer) {
  advance(lexer);
  if (lexer->lookahead != '-') return;
  advance(lexer);
  int level = lexer->lookahead == '[' ? long_bracket_open(lexer) : -1;
  if (level >= 0) {
    long_bracket_rest(lexer, level);
  } else {
    while (!lexer->eof(lexer) && lexer->lookahead != '\n') advance(lexer);
  }
}

bool tree_sitter_wslint_nginx_external_scanner_scan(void *payload, TSLexer *lexer,
                                                    const bool *valid) {
  (void)payload;
  if (valid[ERROR_SENTINEL] || !valid[LUA_CODE]) return false;

  while (lexer->lookahead == ' ' || (lexer->lookahead >= '\t' && lexer->lookahead <= '\r')) {
    lexer->advance(lexer, true);
  }
  unsigned depth = 0;
  bool any = false;
  while (!lexer->eof(lexer)) {
    int32_t c = lexer->lookahead;
    if (c == '}' && depth == 0) {
      lexer->mark_end(lexer);
      lexer->result_symbol = LUA_CODE;
      return any; /* an empty block has no code token */
    }
    any = true;
    switch (c) {
      case '"':
      case '\'':
        string(lexer);
        break;
      case '-':
        minus_or_comment(lexer);
        break;
      case '[': {
        int level = long_bracket_open(lexer);
        if (level >= 0) long_bracket_rest(lexer, level);
        break;
      }
      case '{':
        depth++;
        advance(lexer);
        break;
      case '}':
        depth--;
        advance(lexer);
        break;
      default:
        advance(lexer);
    }
  }
  return false;
}

/*
 * Heredocs: `<<MARK`, a line feed, and then anything up to the next MARK, wherever
 * it stands (caddyconfig/caddyfile/lexer.go compares the last characters after each
 * one it reads). Whether the lines share the closing marker's indentation is checked
 * in src/caddy/syntax.rs.
 */
#include "tree_sitter/alloc.h"
#include "tree_sitter/parser.h"

enum TokenType { HEREDOC, ERROR_SENTINEL };

/* Longer markers are legal and have never been seen; they become plain words. */
#define MAX_MARKER 63

/*
 * A heredoc that nothing closes is read to the end of the file, in vain. A hostile file could have
 * that done once for each of its lines, so that there is a limit to what may be read in vain in
 * all. It is no state of the syntax, and not serialized.
 */
#define MAX_WASTED (1 << 24)

struct Scanner {
  unsigned wasted;
};

void *tree_sitter_wslint_caddyfile_external_scanner_create(void) {
  return ts_calloc(1, sizeof(struct Scanner));
}

void tree_sitter_wslint_caddyfile_external_scanner_destroy(void *payload) { ts_free(payload); }

unsigned tree_sitter_wslint_caddyfile_external_scanner_serialize(void *payload, char *buffer) {
  (void)payload;
  (void)buffer;
  return 0;
}

void tree_sitter_wslint_caddyfile_external_scanner_deserialize(void *payload, const char *buffer,
                                                               unsigned length) {
  (void)payload;
  (void)buffer;
  (void)length;
}

static bool is_marker(int32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

bool tree_sitter_wslint_caddyfile_external_scanner_scan(void *payload, TSLexer *lexer,
                                                        const bool *valid) {
  struct Scanner *scanner = payload;
  if (valid[ERROR_SENTINEL] || !valid[HEREDOC]) return false;
  if (!scanner || scanner->wasted > MAX_WASTED) return false;

  while (lexer->lookahead == ' ' || lexer->lookahead == '\t' || lexer->lookahead == '\r') {
    lexer->advance(lexer, true);
  }
  for (int i = 0; i < 2; i++) {
    if (lexer->lookahead != '<') return false;
    lexer->advance(lexer, false);
  }

  char marker[MAX_MARKER];
  /* border[i]: length of the longest proper prefix of the marker that ends at i, so that
     the search never has to go back (Knuth, Morris, Pratt). */
  unsigned char border[MAX_MARKER];
  unsigned length = 0;
  unsigned matched = 0;
  while (is_marker(lexer->lookahead)) {
    if (length == MAX_MARKER) return false;
    char c = (char)lexer->lookahead;
    marker[length] = c;
    if (length > 0) {
      while (matched > 0 && marker[matched] != c) matched = border[matched - 1];
      if (marker[matched] == c) matched++;
    }
    border[length] = (unsigned char)matched;
    length++;
    lexer->advance(lexer, false);
  }
  while (lexer->lookahead == '\r') lexer->advance(lexer, false);
  if (length == 0 || lexer->lookahead != '\n') return false;
  lexer->advance(lexer, false);

  unsigned wasted = scanner->wasted;
  matched = 0;
  while (!lexer->eof(lexer)) {
    scanner->wasted++;
    int32_t c = lexer->lookahead;
    while (matched > 0 && marker[matched] != c) matched = border[matched - 1];
    if (marker[matched] == c) matched++;
    lexer->advance(lexer, false);
    if (matched == length) {
      scanner->wasted = wasted;
      lexer->mark_end(lexer);
      lexer->result_symbol = HEREDOC;
      return true;
    }
  }
  return false;
}

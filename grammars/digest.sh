# Sourced by `generate` and `check`: what is recorded of a grammar, and how.

# The grammar and all that was generated from it. scanner.c is written by hand, so it is not here.
recorded='grammar.js
src/grammar.json
src/node-types.json
src/parser.c
src/tree_sitter/alloc.h
src/tree_sitter/array.h
src/tree_sitter/parser.h'

# One line a file: SHA-256, two blanks, name.
digest() {
    if command -v sha256sum >/dev/null; then
        sha256sum "$@"
    else
        shasum -a 256 "$@"
    fi
}

//! The bindings to our own grammars.

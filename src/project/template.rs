//! Template expressions: masked, length preserved.

use std::ops::Range;

/// The text with its template expressions masked, and where; `None` without any.
pub fn mask(_text: &str, _path: &str) -> Option<(String, Vec<Range<usize>>)> {
    None
}

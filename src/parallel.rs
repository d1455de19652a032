//! Threads where they pay: starting them costs about a millisecond, which is more than a few
//! small files take altogether.

use rayon::prelude::*;

/// Bytes of sources below which everything runs on one thread (about 2 ms of parsing).
const WORTHWHILE_BYTES: usize = 48 << 10;

/// Whether work over sources of this many bytes is worth several threads.
pub fn pays(bytes: usize) -> bool {
    bytes >= WORTHWHILE_BYTES
}

/// `f` of every item, in order; on several threads if `pays`.
pub fn map<T: Sync, R: Send>(items: &[T], pays: bool, f: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    if pays {
        items.par_iter().map(f).collect()
    } else {
        items.iter().map(f).collect()
    }
}

/// Both results; at the same time if `pays`.
pub fn join<A: Send, B: Send>(
    pays: bool,
    a: impl FnOnce() -> A + Send,
    b: impl FnOnce() -> B + Send,
) -> (A, B) {
    if pays { rayon::join(a, b) } else { (a(), b()) }
}

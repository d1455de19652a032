//! Both incidents, end to end, and examples of the harness's own that prove the harness.

use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    Vec::new()
}

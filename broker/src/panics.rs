//! What a panic does. While a request is decoded, it ends that one connection; anywhere else it ends the process,
//! since a broker that limps on is worse than one that starts again from its log.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Installs the rule for this process. Called once, by `main`.
pub fn install() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        if !CONTAINED.get() {
            std::process::abort();
        }
    }));
}

/// Runs `decode`; `None` where it panicked.
pub(crate) fn contained<T>(decode: impl FnOnce() -> T) -> Option<T> {
    CONTAINED.set(true);
    let decoded = catch_unwind(AssertUnwindSafe(decode)).ok();
    CONTAINED.set(false);
    decoded
}

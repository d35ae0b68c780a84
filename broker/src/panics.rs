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

#[cfg(test)]
mod tests {
    use super::{contained, install};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus};

    /// What a process of its own is to do, since the rule holds for a whole process.
    const DEED: &str = "OTTLA_TEST_PANIC";

    /// Runs this test again, as a process that does this.
    fn process_that(deed: &str) -> ExitStatus {
        let mut command = Command::new(std::env::current_exe().expect("tests are a program"));
        command.args(["panics::tests::a_panic_ends_the_process_unless_it_is_contained", "--exact"]);
        command.env(DEED, deed).output().expect("tests can be started").status
    }

    #[test]
    fn a_panic_ends_the_process_unless_it_is_contained() {
        const SIGABRT: i32 = 6;
        let Ok(deed) = std::env::var(DEED) else {
            assert!(process_that("decodes").success());
            assert_eq!(process_that("decodes and panics").signal(), Some(SIGABRT));
            return;
        };
        install();
        assert!(contained(|| panic!("while a request is decoded")).is_none());
        assert_eq!(contained(|| 7), Some(7));
        assert_eq!(deed, "decodes", "anywhere else");
    }
}

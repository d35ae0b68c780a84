//! How many lines a kind of event may write to the log, so that a client cannot fill the disk with it.
//!
//! A core: time is a parameter.

use std::time::Duration;

/// The lines of one window. Larger: a port scanner writes more of the log. Smaller: the second of two problems is not
/// seen.
const LINES_PER_WINDOW: u32 = 10;

/// The length of a window.
const WINDOW: Duration = Duration::from_secs(10);

/// What is left of the current window.
#[derive(Debug, Default)]
pub(crate) struct LogBudget {
    window_began: Duration,
    lines: u32,
    left_out: u64,
}

impl LogBudget {
    /// Takes a line, and returns how many were left out since the last one; `None` leaves this one out too.
    pub(crate) fn take_line(&mut self, now: Duration) -> Option<u64> {
        if now.saturating_sub(self.window_began) >= WINDOW {
            self.window_began = now;
            self.lines = 0;
        }
        if self.lines >= LINES_PER_WINDOW {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::{LINES_PER_WINDOW, LogBudget, WINDOW};
    use std::time::Duration;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let mut budget = LogBudget::default();
        for _ in 0..LINES_PER_WINDOW {
            assert_eq!(budget.take_line(Duration::from_secs(1)), Some(0));
        }
        for _ in 0..5 {
            assert_eq!(budget.take_line(Duration::from_secs(2)), None);
        }
        assert_eq!(budget.take_line(WINDOW), Some(5));
        assert_eq!(budget.take_line(WINDOW), Some(0));
    }
}

//! How much of something there was in a second, over a few windows of time.
//!
//! The time that counts is never shorter than all windows but one: a client that was idle may send what fits its quota for so
//! long at once. Source: `Rate.java`, `SampledStat.java`, `QuotaUtils.java`.

use std::collections::VecDeque;
use std::time::Duration;

/// Over what time a rate is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// How many windows are kept, the running one among them.
    pub(super) samples: usize,
    /// The length of one.
    pub(super) length: Duration,
}

impl Window {
    /// The length of all windows but the running one, in seconds; of one at least.
    pub(super) fn full_seconds(self) -> f64 {
        self.length.as_secs_f64() * self.samples.saturating_sub(1).max(1) as f64
    }

    fn all(self) -> Duration {
        self.length.saturating_mul(u32::try_from(self.samples).unwrap_or(u32::MAX))
    }
}

/// What was recorded in the windows that count, oldest first; no more than there are windows.
#[derive(Debug, Default)]
pub(super) struct Rate {
    windows: VecDeque<Sample>,
}

#[derive(Debug)]
struct Sample {
    start: Duration,
    last: Duration,
    total: f64,
}

impl Rate {
    /// Records `amount` and says how long nothing may follow until the rate is `limit` a second again; nothing where it is
    /// not above that.
    pub(super) fn record(&mut self, amount: f64, limit: f64, window: Window, now: Duration) -> Duration {
        self.forget(window, now);
        match self.windows.back_mut().filter(|running| now < running.start + window.length) {
            Some(running) => {
                running.last = now;
                running.total += amount;
            }
            None => self.windows.push_back(Sample { start: now, last: now, total: amount }),
        }
        let total: f64 = self.windows.iter().map(|sample| sample.total).sum();
        let seconds = self.seconds(window, now);
        let excess = total / seconds - limit;
        if excess <= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(excess / limit * seconds).unwrap_or(Duration::MAX)
    }

    /// Whether nothing counts any more.
    pub(super) fn has_run_out(&self, window: Window, now: Duration) -> bool {
        self.windows.iter().all(|sample| now >= sample.last + window.all())
    }

    fn forget(&mut self, window: Window, now: Duration) {
        while self.windows.front().is_some_and(|oldest| now >= oldest.last + window.all()) {
            self.windows.pop_front();
        }
        let running_is_over = self.windows.back().is_some_and(|running| now >= running.start + window.length);
        if running_is_over && self.windows.len() >= window.samples {
            self.windows.pop_front();
        }
    }

    fn seconds(&self, window: Window, now: Duration) -> f64 {
        let elapsed = self.windows.front().map_or(Duration::ZERO, |oldest| now.saturating_sub(oldest.start));
        let full = (elapsed.as_secs_f64() / window.length.as_secs_f64()).floor();
        let missing = (window.samples.saturating_sub(1) as f64 - full).max(0.0);
        (elapsed.as_secs_f64() + missing * window.length.as_secs_f64()).max(window.length.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::{Rate, Window};
    use std::time::Duration;

    const WINDOW: Window = Window { samples: 11, length: Duration::from_secs(1) };

    fn at(milliseconds: u64) -> Duration {
        Duration::from_secs(1000) + Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_fits_the_quota_for_all_full_windows_may_come_at_once() {
        let mut rate = Rate::default();
        assert_eq!(rate.record(1000.0, 100.0, WINDOW, at(0)), Duration::ZERO);
        // 200 more than fit into 10 s: as long as those take.
        assert_eq!(rate.record(200.0, 100.0, WINDOW, at(0)), Duration::from_secs(2));
    }

    #[test]
    fn who_keeps_quiet_for_as_long_as_told_may_go_on() {
        let mut rate = Rate::default();
        assert_eq!(rate.record(1200.0, 100.0, WINDOW, at(0)), Duration::from_secs(2));
        // Two of the windows have passed, and the time that counts is still ten.
        let quiet = rate.record(1.0, 100.0, WINDOW, at(10_500));
        assert_eq!(quiet, Duration::from_secs_f64(1.51));
        assert_eq!(rate.record(1.0, 100.0, WINDOW, at(11_001)), Duration::ZERO, "the burst is forgotten");
    }

    #[test]
    fn a_steady_rate_below_the_quota_is_never_held_up_and_one_above_it_is() {
        for (amount, is_held_up) in [(9.0, false), (11.0, true)] {
            let mut rate = Rate::default();
            let quiet = (0..600).map(|tick| rate.record(amount, 100.0, WINDOW, at(tick * 100)));
            let longest = quiet.max().expect("there were some");
            assert_eq!(!longest.is_zero(), is_held_up, "{amount} each 100 ms");
            assert!(rate.windows.len() <= WINDOW.samples);
        }
    }

    #[test]
    fn nothing_counts_once_all_windows_have_passed() {
        let mut rate = Rate::default();
        rate.record(5.0, 1.0, WINDOW, at(0));
        assert!(!rate.has_run_out(WINDOW, at(10_999)));
        assert!(rate.has_run_out(WINDOW, at(11_000)));
        assert!(rate.record(f64::MAX, 1e-300, WINDOW, at(0)) == Duration::MAX, "no overflow");
    }
}

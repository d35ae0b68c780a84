//! How long compaction waits so that it moves no more bytes in a second than it may. Source: `Throttler.java`.

use std::time::Duration;

/// Bytes that were moved, as the time that they take at the rate.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    bytes_per_second: f64,
    /// When all of them have taken their time.
    paid_at: Duration,
}

impl Throttle {
    /// From here on, so many bytes a second.
    pub(super) fn set_rate(&mut self, bytes_per_second: f64) {
        self.bytes_per_second = bytes_per_second;
    }

    /// How long to wait after `bytes` were moved.
    pub(super) fn wait_after(&mut self, bytes: u64, now: Duration) -> Duration {
        // A rate of zero, or less, would be for ever; a byte a second is as good as that.
        let seconds = bytes as f64 / self.bytes_per_second.max(1.0);
        self.paid_at = self.paid_at.max(now) + Duration::try_from_secs_f64(seconds).unwrap_or_default();
        self.paid_at.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::Throttle;
    use std::time::Duration;

    #[test]
    fn bytes_take_their_time_and_idleness_is_no_credit() {
        let mut throttle = Throttle::default();
        throttle.set_rate(1000.0);
        let seconds = Duration::from_secs;
        assert_eq!(throttle.wait_after(2000, seconds(10)), seconds(2));
        assert_eq!(throttle.wait_after(1000, seconds(11)), seconds(2));
        assert_eq!(throttle.wait_after(1000, seconds(100)), seconds(1));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let mut throttle = Throttle::default();
        throttle.set_rate(f64::MAX);
        assert_eq!(throttle.wait_after(u64::MAX, Duration::from_secs(1)), Duration::ZERO);
    }
}

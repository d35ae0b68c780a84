//! How fast throttled replicas are copied: what is held back, and for how long. Source: KIP-73.
//!
//! Bytes that are copied take their time at the rate; until that has passed, nothing more of what is throttled is copied.
//! A read is as long as a second may hold, so copying goes on evenly. Other than in Apache Kafka, which holds an average
//! over ten seconds, idleness is no credit, and what replicas in sync copy does not count: the rate is that of catching
//! up, however much is written meanwhile.
//!
//! Invariant: nothing that a producer may wait for is held back. Absent: which replicas are throttled (`config`).

use crate::clock;
use crate::settings::CurrentSettings;
use config::broker::ReplicationConfig;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// How long who is held back waits at most before it looks again, since the rate and what is throttled may have changed.
/// Longer: the end of a throttle is noticed later. Shorter: looks in vain.
pub(crate) const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What throttled replicas copy, on one side of this node.
#[derive(Debug)]
pub(crate) struct ReplicationQuota {
    settings: Arc<CurrentSettings>,
    rate: fn(&ReplicationConfig) -> i64,
    owed: Mutex<Owed>,
}

impl ReplicationQuota {
    /// Of what leaders on this node send.
    pub(crate) fn of_leaders(settings: Arc<CurrentSettings>) -> Self {
        Self { settings, rate: |config| config.leader_replication_throttled_rate, owed: Mutex::default() }
    }

    /// Of what followers on this node copy.
    pub(crate) fn of_followers(settings: Arc<CurrentSettings>) -> Self {
        Self { settings, rate: |config| config.follower_replication_throttled_rate, owed: Mutex::default() }
    }

    /// Counts bytes that are copied.
    pub(crate) fn spend(&self, bytes: usize) {
        self.owed.lock().spend(bytes, self.bytes_per_second(), clock::monotonic());
    }

    /// How long nothing may be copied; `None` where something may.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.owed.lock().wait(self.bytes_per_second(), clock::monotonic())
    }

    /// The most that is read at once: what a second may hold.
    pub(crate) fn read_bytes_max(&self) -> usize {
        usize::try_from(self.bytes_per_second()).unwrap_or(0).max(1)
    }

    fn bytes_per_second(&self) -> i64 {
        (self.rate)(&self.settings.load().broker.replication)
    }
}

/// Bytes whose time has not passed yet, as of a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    bytes: f64,
    as_of: Duration,
}

impl Owed {
    fn spend(&mut self, bytes: usize, bytes_per_second: i64, now: Duration) {
        self.pass(bytes_per_second, now);
        self.bytes += bytes as f64;
    }

    fn wait(&mut self, bytes_per_second: i64, now: Duration) -> Option<Duration> {
        self.pass(bytes_per_second, now);
        let seconds = self.bytes / rate(bytes_per_second);
        // Less than a millisecond is not worth a sleep; it is owed all the same.
        (seconds > 0.001).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }

    fn pass(&mut self, bytes_per_second: i64, now: Duration) {
        let passed = now.saturating_sub(self.as_of).as_secs_f64() * rate(bytes_per_second);
        *self = Self { bytes: (self.bytes - passed).max(0.0), as_of: self.as_of.max(now) };
    }
}

/// A rate of zero would be for ever; a byte a second is as good as that.
fn rate(bytes_per_second: i64) -> f64 {
    bytes_per_second.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::Owed;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn bytes_take_their_time_and_idleness_is_no_credit() {
        let mut quota = Owed::default();
        assert_eq!(quota.wait(1000, 10 * SECOND), None);
        quota.spend(2000, 1000, 10 * SECOND);
        assert_eq!(quota.wait(1000, 10 * SECOND), Some(2 * SECOND));
        quota.spend(1000, 1000, 11 * SECOND);
        assert_eq!(quota.wait(1000, 11 * SECOND), Some(2 * SECOND));
        assert_eq!(quota.wait(1000, 13 * SECOND), None);
        quota.spend(1000, 1000, 100 * SECOND);
        assert_eq!(quota.wait(1000, 100 * SECOND), Some(SECOND));
    }

    #[test]
    fn another_rate_holds_at_once() {
        let mut quota = Owed::default();
        quota.spend(1000, 10, SECOND);
        assert_eq!(quota.wait(10, SECOND), Some(100 * SECOND));
        assert_eq!(quota.wait(500, SECOND), Some(2 * SECOND));
        assert_eq!(quota.wait(i64::MAX, SECOND), None);
    }

    #[test]
    fn a_rate_of_zero_is_a_byte_a_second() {
        let mut quota = Owed::default();
        quota.spend(60, 0, SECOND);
        assert_eq!(quota.wait(0, SECOND), Some(60 * SECOND));
    }
}

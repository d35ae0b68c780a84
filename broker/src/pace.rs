//! How fast connections are accepted: `max.connection.creation.rate`.
//!
//! A core: time is a parameter. A second's worth may come at once; after that they come one after the other, and who comes
//! meanwhile waits in the system's backlog, so that a flood of new connections costs those that are there nothing.

use std::time::Duration;

/// How much of the past may be made up for.
const BURST: Duration = Duration::from_secs(1);

/// The pace of one node.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the next connection would come, if all came evenly.
    next: Duration,
}

impl Pace {
    /// One connection is accepted at `now`, of `per_second` at most. Returns how long it, and the next ones, must wait.
    pub(crate) fn take(&mut self, now: Duration, per_second: u32) -> Duration {
        let wait = self.next.saturating_sub(now);
        self.next = self.next.max(now.saturating_sub(BURST)) + BURST / per_second.max(1);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::time::Duration;

    #[test]
    fn a_second_s_worth_comes_at_once_and_the_rest_evenly() {
        let mut pace = Pace::default();
        let now = Duration::from_secs(100);
        let waits: Vec<u128> = (0..8).map(|_| pace.take(now, 5).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 200, 400]);
        assert_eq!(pace.take(now + Duration::from_millis(600), 5).as_millis(), 0);
        assert_eq!(pace.take(now + Duration::from_secs(9), 5).as_millis(), 0);
    }

    #[test]
    fn the_default_rate_delays_nobody() {
        let mut pace = Pace::default();
        assert!((0..100_000).all(|_| pace.take(Duration::from_secs(5), u32::MAX / 2).is_zero()));
    }
}

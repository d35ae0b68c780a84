//! The time that faults and recoveries take, as it passes for people.
#![expect(clippy::disallowed_methods, reason = "how long a client waits is what these tests measure")]

use std::time::{Duration, Instant};

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Instant);

impl Moment {
    /// The present.
    #[must_use]
    pub fn now() -> Moment {
        Moment(Instant::now())
    }

    /// The time from then until now.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// The time from `earlier` until then; zero where that is later.
    #[must_use]
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }
}

//! The only place that reads a clock. Everything below takes `now` as a parameter, so that a run can be replayed.
#![expect(clippy::disallowed_methods, reason = "this is the one place where time enters")]

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use storage::ids::TimestampMs;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The time of day, for record timestamps and retention. It may jump; nothing that must be safe rests on it.
#[must_use]
pub fn now() -> TimestampMs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// The time since the process first asked, which never goes back: for deadlines and measurements.
#[must_use]
pub fn monotonic() -> Duration {
    START.elapsed()
}

//! Time and CPU time: the only module of this crate that reads a clock or sleeps.
#![expect(clippy::disallowed_methods, reason = "measuring is what this program is for")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use storage::ids::TimestampMs;

/// Measures from its start on: the time that passed, and the CPU time that all threads of this process took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    started: Instant,
    cpu_at_start: Duration,
}

impl Stopwatch {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), cpu_at_start: cpu_of_this_process() }
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The CPU time of this process since the start, user and system together.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of_this_process().saturating_sub(self.cpu_at_start)
    }
}

/// The run with the median CPU time.
pub(crate) fn middle<T: Copy>(mut runs: Vec<T>, cpu: impl Fn(&T) -> Duration) -> Result<T> {
    runs.sort_unstable_by_key(cpu);
    runs.get(runs.len() / 2).copied().context("there is one run at least")
}

/// Lets `duration` pass.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// The time of day.
pub(crate) fn now() -> TimestampMs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

fn cpu_of_this_process() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

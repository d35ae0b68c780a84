//! Compaction: which log is next, and how much of the machine it takes.
//!
//! The log with the largest dirty part for its size comes first, of those that are worth a round (`min.cleanable.dirty.ratio`,
//! `max.compaction.lag.ms`). Rounds run on the blocking pool, `log.cleaner.threads` at a time; they share the memory for
//! keys and the bytes per second. A log that cannot be read is left alone until the next start, with one line that says
//! why. A stop waits for the rounds that are under way, which end within 64 KiB.
//!
//! What a round does is `storage`'s. Source: LogCleaner.java, LogCleanerManager.java.

use crate::broker::Broker;
use crate::clock;
use crate::partition::Partition;
use crate::stopping::Stopping;
use config::broker::BrokerConfig;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use storage::compaction::{Cleanable, CleanerSettings, CleaningStats};
use storage::error::CleanError;
use storage::ids::{PartitionIndex, TopicId};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

mod throttle;

use throttle::Throttle;

/// Rounds at the same time, whatever `log.cleaner.threads` says: they run on the blocking pool, which others need too.
const ROUNDS_AT_ONCE_MAX: usize = 64;

/// The least memory for the keys of a round. Smaller: a round over many keys never ends. Source: KafkaConfig.
const KEY_BYTES_MIN: usize = 1024 * 1024;

/// The shortest wait of the cleaner where there is nothing to clean: with `log.cleaner.backoff.ms=0` it would not rest.
const BACKOFF_MIN: Duration = Duration::from_millis(1);

/// One partition, in this life of its topic.
type Name = (TopicId, PartitionIndex);

/// What the rounds know of each other.
#[derive(Debug, Default)]
struct Shared {
    chosen: Mutex<Chosen>,
    throttle: Mutex<Throttle>,
}

#[derive(Debug, Default)]
struct Chosen {
    in_progress: BTreeSet<Name>,
    uncleanable: BTreeSet<Name>,
}

/// Runs until `stopping` is set.
pub(crate) async fn run(broker: Arc<Broker>, mut stopping: Stopping) {
    if !broker.settings.load().broker.log_cleaner_enable {
        return;
    }
    let shared = Arc::new(Shared::default());
    let mut rounds = JoinSet::new();
    loop {
        let settings = broker.settings.load();
        let wanted = usize::try_from(settings.broker.log_cleaner_threads).unwrap_or(0);
        while rounds.len() < wanted.min(ROUNDS_AT_ONCE_MAX) {
            rounds.spawn(round_and_rest(Arc::clone(&broker), Arc::clone(&shared), stopping.clone()));
        }
        tokio::select! {
            biased;
            () = stopping.requested() => break,
            Some(_ended) = rounds.join_next() => {}
            () = sleep(backoff(&settings.broker)), if rounds.is_empty() => {}
        }
    }
    // A panic in a round has already ended the process; see `panics`.
    while rounds.join_next().await.is_some() {}
}

/// One round and, where there was nothing to do, a rest.
async fn round_and_rest(broker: Arc<Broker>, shared: Arc<Shared>, mut stopping: Stopping) {
    let for_round = (Arc::clone(&broker), stopping.clone());
    let round = tokio::task::spawn_blocking(move || {
        let (broker, stopping) = for_round;
        match choose(&broker, &shared) {
            Some((partition, cleanable)) => clean(&broker, &shared, &partition, &cleanable, stopping),
            None => false,
        }
    });
    if !matches!(round.await, Ok(true)) {
        let rest = backoff(&broker.settings.load().broker);
        tokio::select! {
            () = stopping.requested() => {}
            () = sleep(rest) => {}
        }
    }
}

fn backoff(config: &BrokerConfig) -> Duration {
    Duration::from_millis(u64::try_from(config.log_cleaner_backoff_ms).unwrap_or(0)).max(BACKOFF_MIN)
}

fn name(partition: &Partition) -> Name {
    (partition.log.topic_id(), partition.log.topic_partition().partition)
}

/// The log that is dirtiest, of those that are worth a round and that no other round works on. It is in progress from here on.
fn choose(broker: &Broker, shared: &Shared) -> Option<(Arc<Partition>, Cleanable)> {
    if broker.log_dir.is_below_free_space_floor() {
        // A round needs the space of a segment before it frees any.
        return None;
    }
    let mut chosen = shared.chosen.lock();
    chosen.uncleanable.retain(|(topic_id, index)| broker.partitions.find(*topic_id, *index).is_some());
    let mut partitions = broker.partitions.all();
    partitions.retain(|partition| {
        let name = name(partition);
        !chosen.in_progress.contains(&name) && !chosen.uncleanable.contains(&name)
    });
    let looked_at = partitions.into_iter().filter_map(|partition| Some((look_at(&partition)?, partition)));
    let (largest_ratio, best) = dirtiest(looked_at);
    broker.metrics.cleaner_dirtiest_ratio.set(largest_ratio);
    broker.metrics.cleaner_uncleanable_partitions.set(chosen.uncleanable.len() as f64);
    let (cleanable, partition) = best?;
    chosen.in_progress.insert(name(&partition));
    Some((partition, cleanable))
}

/// The largest dirty ratio of all logs, and the log with the largest of those that are worth a round.
fn dirtiest<T>(logs: impl Iterator<Item = (Cleanable, T)>) -> (f64, Option<(Cleanable, T)>) {
    let mut largest_ratio = 0.0_f64;
    let mut best: Option<(Cleanable, T)> = None;
    for (cleanable, log) in logs {
        let ratio = cleanable.dirty_ratio();
        largest_ratio = largest_ratio.max(ratio);
        let is_dirtier = best.as_ref().is_none_or(|(best, _)| ratio > best.dirty_ratio());
        if cleanable.is_worth_cleaning() && is_dirtier {
            best = Some((cleanable, log));
        }
    }
    (largest_ratio, best)
}

/// What there is to clean in a partition; an error is told, and the partition looked at again later.
fn look_at(partition: &Partition) -> Option<Cleanable> {
    let now = clock::now();
    let rolled = partition.log.roll_overdue(now, partition.high_watermark());
    let looked = rolled.and_then(|_| partition.log.cleanable(partition.last_stable_offset(), now));
    looked.unwrap_or_else(|error| {
        tracing::warn!("{} is not compacted for now: {error}", partition.log.topic_partition());
        None
    })
}

/// Runs a round, and answers whether it came to its end.
fn clean(
    broker: &Broker,
    shared: &Shared,
    partition: &Partition,
    cleanable: &Cleanable,
    mut stopping: Stopping,
) -> bool {
    let settings = broker.settings.load();
    shared.throttle.lock().set_rate(settings.broker.log_cleaner_io_max_bytes_per_second);
    let runtime = Handle::current();
    let mut pace = |bytes: u64| {
        let wait = shared.throttle.lock().wait_after(bytes, clock::monotonic());
        if wait.is_zero() {
            return if stopping.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        match runtime.block_on(timeout(wait, stopping.requested())) {
            Ok(()) => ControlFlow::Break(()),
            Err(_elapsed) => ControlFlow::Continue(()),
        }
    };
    let outcome =
        partition.log.clean(cleanable, &cleaner_settings(&settings.broker), clock::now(), &mut pace);
    let topic_partition = partition.log.topic_partition();
    let mut chosen = shared.chosen.lock();
    chosen.in_progress.remove(&name(partition));
    let error = match outcome {
        Ok(stats) => {
            count(broker, &stats);
            tracing::debug!(%topic_partition, ?stats, "compacted");
            return true;
        }
        Err(CleanError::Stopped) => return false,
        Err(CleanError::Write(error)) if error.is_out_of_space() => {
            tracing::warn!("{topic_partition} is not compacted for want of space: {error}");
            return false;
        }
        Err(error) => error,
    };
    // Trying again would only fail again: what cannot be read stays as it is, for somebody to look at.
    chosen.uncleanable.insert(name(partition));
    tracing::error!("{topic_partition} is not compacted until the next start: {error}");
    false
}

fn count(broker: &Broker, stats: &CleaningStats) {
    broker.metrics.cleaner_rounds.increment(1);
    broker.metrics.cleaner_read_bytes.increment(stats.key_bytes_read + stats.bytes_read);
    broker.metrics.cleaner_written_bytes.increment(stats.bytes_written);
    broker.metrics.cleaner_removed_records.increment(stats.records_read - stats.records_kept);
}

/// What one of the rounds that may run at the same time may take.
fn cleaner_settings(config: &BrokerConfig) -> CleanerSettings {
    let rounds = usize::try_from(config.log_cleaner_threads).unwrap_or(1).clamp(1, ROUNDS_AT_ONCE_MAX);
    let key_bytes = usize::try_from(config.log_cleaner_dedupe_buffer_size).unwrap_or(0) / rounds;
    let io_bytes = usize::try_from(config.log_cleaner_io_buffer_size).unwrap_or(0) / rounds;
    CleanerSettings {
        key_bytes_max: key_bytes.max(KEY_BYTES_MIN),
        key_load_factor: config.log_cleaner_io_buffer_load_factor,
        read_bytes: io_bytes / 2,
    }
}

#[cfg(test)]
mod tests {
    use super::{Cleanable, dirtiest};
    use storage::ids::Offset;

    fn log(clean_bytes: u64, dirty_bytes: u64, is_overdue: bool, dirty_ratio_min: f64) -> Cleanable {
        let (first_dirty_offset, first_uncleanable_offset) = (Offset(0), Offset(100));
        Cleanable {
            first_dirty_offset,
            first_uncleanable_offset,
            clean_bytes,
            dirty_bytes,
            is_overdue,
            dirty_ratio_min,
            cuts: 0,
        }
    }

    #[test]
    fn dirtiest_log_that_is_worth_a_round_is_next() {
        let logs =
            [(log(40, 60, false, 0.5), "a"), (log(10, 90, false, 0.95), "b"), (log(30, 70, false, 0.5), "c")];
        let (largest_ratio, best) = dirtiest(logs.into_iter());
        assert_eq!(best.map(|(_, name)| name), Some("c"));
        assert!((largest_ratio - 0.9).abs() < 1e-9, "also of those that are not worth it yet");
    }

    #[test]
    fn overdue_log_is_worth_a_round_whatever_its_ratio() {
        let logs = [(log(99, 1, true, 0.5), "overdue"), (log(60, 40, false, 0.5), "not yet")];
        assert_eq!(dirtiest(logs.into_iter()).1.map(|(_, name)| name), Some("overdue"));
        let nothing = [(log(100, 0, true, 0.0), "clean")];
        assert!(dirtiest(nothing.into_iter()).1.is_none());
    }
}

//! What is done from time to time: checkpoints, retention, free space, files of deleted topics.
//!
//! It decides when; what is done is `storage`'s. Each round runs on the blocking pool, one at a time, and a stop waits
//! for the round that is under way.

use crate::broker::Broker;
use crate::clock;
use crate::high_watermarks;
use crate::stopping::Stopping;
use std::sync::Arc;
use std::time::Duration;
use storage::disk::DiskError;
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often the free space is looked at. Longer: a disk that fills quickly is noticed by a failed append. Shorter:
/// a system call more often, for nothing.
const FREE_SPACE_EVERY: Duration = Duration::from_secs(1);

/// How often clients are looked for that push metrics no more. Longer: what they pushed last is shown for longer.
const GONE_CLIENTS_EVERY: Duration = Duration::from_secs(10);

/// How often partitions that nobody writes to any more make room for others, at most. Longer: who writes to very many waits
/// longer for each. Shorter: the checkpoints that this takes do little else.
const MAKE_ROOM_EVERY: Duration = Duration::from_millis(200);

/// How often that is told. Shorter: the log says little else where it goes on. Longer: whoever looks at the end of the log
/// does not see it.
const WARN_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// How often files are looked for whose `file.delete.delay.ms` has passed.
const REMOVE_FILES_EVERY: Duration = Duration::from_secs(10);

/// Runs until `stopping` is set. `checkpoint_due` asks for a checkpoint before its time.
pub(crate) async fn run(broker: Arc<Broker>, checkpoint_due: Arc<Notify>, mut stopping: Stopping) {
    let settings = broker.settings.load();
    let mut checkpoint =
        every(milliseconds(i64::from(settings.broker.log_flush_offset_checkpoint_interval_ms)));
    let mut retention = every(milliseconds(settings.broker.log_retention_check_interval_ms));
    let mut free_space = every(FREE_SPACE_EVERY);
    let mut remove_files = every(REMOVE_FILES_EVERY);
    let mut expiry = every(milliseconds(i64::from(settings.broker.producer_id_expiration_check_interval_ms)));
    let mut gone_clients = every(GONE_CLIENTS_EVERY);
    let mut make_room = every(MAKE_ROOM_EVERY);
    let mut warned_at = None;
    loop {
        let mut has_made_room = false;
        let round: fn(&Broker) = tokio::select! {
            biased;
            () = stopping.requested() => return,
            _ = free_space.tick() => look_at_free_space,
            _ = checkpoint.tick() => write_checkpoint,
            () = checkpoint_due.notified() => write_checkpoint_early,
            _ = retention.tick() => delete_old_segments,
            _ = remove_files.tick() => remove_deleted_files,
            _ = expiry.tick() => expire_producers,
            _ = gone_clients.tick() => forget_gone_clients,
            // Last: where it is wanted all the time, what frees the disk comes before it.
            () = room_is_wanted(&broker, &mut make_room) => {
                warn_of_shortage(&broker, &mut warned_at);
                has_made_room = true;
                write_checkpoint
            }
        };
        let broker = Arc::clone(&broker);
        // A panic in a round has already ended the process; see `panics`.
        let _finished = tokio::task::spawn_blocking(move || round(&broker)).await;
        if has_made_room {
            // The pace counts from the end, so that the disk rests where a checkpoint takes longer than it.
            make_room.reset();
        }
    }
}

fn milliseconds(count: i64) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(0).max(1))
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn forget_gone_clients(broker: &Broker) {
    broker.telemetry.expire();
}

/// With too little space left, others lead what they can.
fn look_at_free_space(broker: &Broker) {
    broker.log_dir.look_at_disk();
    broker.quorum.stand_aside(broker.log_dir.is_below_free_space_floor());
}

/// Waits until clients write to more partitions than there is room for. What is lost where something else comes first is
/// asked for again by the client that comes back.
async fn room_is_wanted(broker: &Broker, pace: &mut Interval) {
    pace.tick().await;
    broker.busy_partitions.wants_round().await;
}

fn warn_of_shortage(broker: &Broker, warned_at: &mut Option<Duration>) {
    let now = clock::monotonic();
    if warned_at.is_none_or(|at| now.saturating_sub(at) >= WARN_AGAIN_AFTER) {
        *warned_at = Some(now);
        let most = broker.busy_partitions_max();
        tracing::warn!(
            "clients write to more than {most} partitions at the same time, each of which takes an open file: further ones are \
             refused until some of those are not written to for a while. Write to fewer at a time, or {advice}",
            advice = broker.busy_partitions_advice()
        );
    }
}

fn write_checkpoint(broker: &Broker) {
    broker.busy_partitions.begin_round();
    warn_of_checkpoint(broker.log_dir.checkpoint());
    broker.busy_partitions.has_let_go();
    write_high_watermarks(broker);
}

fn write_checkpoint_early(broker: &Broker) {
    warn_of_checkpoint(broker.log_dir.checkpoint_early());
}

fn warn_of_checkpoint(outcome: Result<(), DiskError>) {
    if let Err(error) = outcome {
        tracing::warn!("no checkpoint was written, so the next start may take longer: {error}");
    }
}

pub(crate) fn write_high_watermarks(broker: &Broker) {
    if let Err(error) = high_watermarks::write(broker) {
        tracing::warn!("the high watermarks were not written, so the next start knows older ones: {error}");
    }
}

fn delete_old_segments(broker: &Broker) {
    for partition in broker.partitions.all() {
        if let Err(error) = partition.log.delete_old_segments(clock::now(), partition.high_watermark()) {
            tracing::warn!("old segments of {} stay for now: {error}", partition.log.topic_partition());
        }
    }
}

fn remove_deleted_files(broker: &Broker) {
    let of_topics = broker.log_dir.remove_deleted();
    let of_segments = broker
        .partitions
        .all()
        .into_iter()
        .map(|partition| partition.log.remove_deleted_segments(clock::now()));
    for error in std::iter::once(of_topics).chain(of_segments).filter_map(Result::err) {
        tracing::warn!("files of deleted segments or topics stay for now: {error}");
    }
}

fn expire_producers(broker: &Broker) {
    let expiration_ms = i64::from(broker.settings.load().broker.producer_id_expiration_ms);
    for partition in broker.partitions.all() {
        partition.log.expire_producers(clock::now(), expiration_ms);
    }
}

#[cfg(test)]
mod tests;

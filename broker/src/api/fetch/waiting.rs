//! How a fetch waits for records, and what it holds meanwhile.
//!
//! Invariant: a fetch that waits for long has given back the memory that it took as a request, and holds a place among those
//! that wait, of which there are so many that they keep nobody else from being served; without a place it does not wait for
//! long.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::reading::{Pass, Terms, find, read_once};
use crate::api::RequestContext;
use crate::broker::Broker;
use crate::fetch_sessions::{PartitionKey, Resolved, TopicKey, Wanted};
use crate::limits::{AwaitingRecords, WAIT_WITHOUT_PLACE};
use crate::partition::{Milestone, Registration};
use crate::stopping::Stopping;

/// What a waiting fetch takes itself, beside its texts: two tasks' share, its place in a queue, its context.
const KEPT_BYTES: usize = 1024;

/// What it takes for each partition beside its name: the partition as it is asked for, the registration, and the entry in
/// the map of those who wait there, which is half full at worst.
const KEPT_BYTES_PER_PARTITION: usize =
    size_of::<(PartitionKey, Wanted)>() + size_of::<Registration>() + 2 * 32;

/// How long a request waits for records.
pub(super) struct Patience {
    pub(super) deadline: Instant,
    /// The word that the connection ends.
    pub(super) ending: Stopping,
    /// Whether the next pass is the last.
    pub(super) is_over: bool,
}

/// Reads until there are records enough, or the client or the node has no patience left.
pub(super) async fn read_until_enough(
    context: &RequestContext,
    resolved: &Arc<Resolved>,
    terms: &Terms,
    min_bytes: usize,
    mut patience: Patience,
) -> Pass {
    let broker = &context.broker;
    let wake = Arc::new(Notify::new());
    let mut place: Option<AwaitingRecords> = None;
    loop {
        let registrations = register(broker, resolved, &wake);
        let pass = read_once(broker, resolved, terms).await;
        let is_enough = pass.bytes >= min_bytes || pass.must_answer || resolved.wanted.is_empty();
        if is_enough || patience.is_over {
            return pass;
        }
        drop(pass);
        if place.is_none() {
            place = broker.limits.await_records(&context.memory, kept_bytes(context, resolved, terms));
        }
        if place.is_none() {
            patience.deadline = patience.deadline.min(Instant::now() + WAIT_WITHOUT_PLACE);
        }
        // However the wait ended, the next pass decides.
        tokio::select! {
            () = wake.notified() => {}
            () = sleep_until(patience.deadline) => patience.is_over = true,
            () = patience.ending.requested() => patience.is_over = true,
        }
        drop(registrations);
    }
}

/// What stays of a request while it waits.
fn kept_bytes(context: &RequestContext, resolved: &Resolved, terms: &Terms) -> usize {
    let name_bytes = |(topic, _): &PartitionKey| match topic {
        TopicKey::Name(name) => name.len(),
        TopicKey::Id(_) => 0,
    };
    let of_partitions = resolved.wanted.iter().map(|(key, _)| KEPT_BYTES_PER_PARTITION + name_bytes(key));
    KEPT_BYTES + context.client_id.len() + terms.client_rack.len() + of_partitions.sum::<usize>()
}

/// Asks every partition to wake us once it has more than now.
fn register(broker: &Broker, resolved: &Resolved, wake: &Arc<Notify>) -> Vec<Registration> {
    resolved
        .wanted
        .iter()
        .filter_map(|(key, _)| find(broker, key).ok())
        .map(|partition| {
            let more = partition.high_watermark().plus(1);
            partition.register(Milestone::HighWatermark, more, wake)
        })
        .collect()
}

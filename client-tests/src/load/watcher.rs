//! Asks the leaders again and again where their partitions end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest};

use super::librdkafka::Target;
use super::{Observations, Worker};
use crate::history::Operation;
use crate::history::content::Place;
use crate::replica_set::roles;
use crate::wait::let_pass;
use crate::wire::{Connection, topic_name};

/// The time between two questions: many in each change of a leader.
const STEP: Duration = Duration::from_millis(50);
/// The longest that a node may take for an answer before another is asked.
const LIMIT: Duration = Duration::from_millis(1_000);
const LATEST: i64 = -1;

/// A thread that asks.
#[derive(Debug)]
pub struct Watcher(Worker);

impl Watcher {
    /// Begins to ask the nodes in `target.bootstrap`, whichever answers.
    #[must_use]
    pub fn start(target: &Target, into: &Arc<Observations>) -> Watcher {
        let (target, into) = (target.clone(), Arc::clone(into));
        Watcher(Worker::start(move |stop: &AtomicBool| {
            while !stop.load(Ordering::Relaxed) {
                // A node that is down answers nothing; the next round finds another.
                for address in target.bootstrap.split(',') {
                    if ask_leaders(address, &target, &into, stop).is_err() {
                        let_pass(STEP);
                    }
                }
            }
            Ok(())
        }))
    }

    /// Stops asking.
    ///
    /// # Errors
    /// When the thread failed.
    pub fn finish(&mut self) -> Result<()> {
        self.0.finish()
    }
}

/// Asks the leaders that the node at `address` knows of until one does not answer any more.
fn ask_leaders(address: &str, target: &Target, into: &Observations, stop: &AtomicBool) -> Result<()> {
    let mut connection = Connection::open_within(address, LIMIT)?;
    let cluster = roles::view(&mut connection, Some(&target.topic))?;
    let mut leaders = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        for (place, partition) in &cluster.partitions {
            let leader = partition.leader.context("nobody leads it")?;
            let address = cluster.addresses.get(&leader).context("the leader has no address")?;
            let connection = match leaders.entry(leader) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(Connection::open_within(address, LIMIT)?)
                }
            };
            let began = into.history.now();
            let (leader_epoch, offset) = end_offset(connection, place)?;
            into.history.add(began, Operation::EndOffset { place: place.clone(), leader_epoch, offset });
        }
        let_pass(STEP);
    }
    Ok(())
}

/// The leader's epoch and the end offset (exclusive) that consumers may read to.
///
/// # Errors
/// When no answer comes, or it is an error.
pub fn end_offset(connection: &mut Connection, place: &Place) -> Result<(i32, i64)> {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(place.partition)
        .with_timestamp(LATEST)
        .with_current_leader_epoch(-1);
    let topic =
        ListOffsetsTopic::default().with_name(topic_name(&place.topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let response = connection.call(7, &request)?;
    let partition = response.topics.first().and_then(|topic| topic.partitions.first());
    let partition = partition.context("the answer names no partition")?;
    ensure!(partition.error_code == 0, "ListOffsets answered {}", partition.error_code);
    Ok((partition.leader_epoch, partition.offset))
}

//! Reading records: one pass over the partitions.

use std::sync::Arc;

use kafka_protocol::messages::ProducerId;
use kafka_protocol::messages::fetch_response::AbortedTransaction;
use storage::ids::{BrokerId, LeaderEpoch, Offset};
use storage::leader_epochs::EpochEnd;
use storage::log::LogRead;

use super::{FetchError, check_leadership, closest};
use crate::broker::Broker;
use crate::fetch_sessions::{PartitionKey, Resolved, TopicKey, Wanted};
use crate::partition::Partition;

/// What one pass over the partitions found.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) bytes: usize,
    pub(super) must_answer: bool,
    pub(super) found: Vec<(PartitionKey, Result<Found, FetchError>)>,
}

/// What a partition gave.
pub(super) struct Found {
    pub(super) high_watermark: Offset,
    pub(super) last_stable_offset: Offset,
    pub(super) log_start_offset: Offset,
    pub(super) read: Option<LogRead>,
    pub(super) diverging: Option<(LeaderEpoch, Offset)>,
    pub(super) aborted: Option<Vec<AbortedTransaction>>,
    /// Where the client had better ask.
    pub(super) preferred_read_replica: Option<BrokerId>,
}

/// What holds for every partition of a request.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) bytes_max: usize,
    pub(super) is_read_committed: bool,
    pub(super) may_read_from_follower: bool,
    pub(super) client_rack: Arc<str>,
}

/// Reads every partition once. What may have to come from the disk is read where waiting for it blocks nobody else.
pub(super) async fn read_once(broker: &Arc<Broker>, resolved: &Arc<Resolved>, terms: &Terms) -> Pass {
    let is_hot = |(key, wanted): &(PartitionKey, Wanted)| {
        find(broker, key).map_or(true, |partition| partition.log.is_hot(wanted.fetch_offset))
    };
    if resolved.wanted.iter().all(is_hot) {
        return read_all(broker, resolved, terms);
    }
    let permit = broker.cold_reads.acquire().await;
    let (blocking_broker, blocking_resolved, blocking_terms) =
        (Arc::clone(broker), Arc::clone(resolved), terms.clone());
    let read = tokio::task::spawn_blocking(move || {
        read_all_cold(&blocking_broker, &blocking_resolved, &blocking_terms)
    })
    .await;
    drop(permit);
    read.unwrap_or_else(|_cut_off| read_all(broker, resolved, terms))
}

fn read_all_cold(broker: &Broker, resolved: &Resolved, terms: &Terms) -> Pass {
    let pass = read_all(broker, resolved, terms);
    for read in pass.found.iter().filter_map(|(_, found)| found.as_ref().ok()?.read.as_ref()) {
        if let Err(error) = read.populate() {
            // The pages come in when they are sent, only later.
            tracing::debug!("reading ahead of a fetch: {error}");
        }
    }
    pass
}

fn read_all(broker: &Broker, resolved: &Resolved, terms: &Terms) -> Pass {
    let mut pass = Pass::default();
    for (key, wanted) in &resolved.wanted {
        let bytes_left = terms.bytes_max.saturating_sub(pass.bytes);
        let found = find(broker, key)
            .and_then(|partition| read(broker, &partition, wanted, terms, bytes_left, pass.bytes == 0));
        match &found {
            Ok(found) => {
                pass.bytes += found.read.as_ref().map_or(0, |read| read.records.len());
                pass.must_answer |= found.diverging.is_some() || found.preferred_read_replica.is_some();
            }
            Err(_) => pass.must_answer = true,
        }
        pass.found.push((key.clone(), found));
    }
    pass
}

pub(super) fn find(broker: &Broker, (topic, index): &PartitionKey) -> Result<Arc<Partition>, FetchError> {
    let topic_id = match topic {
        TopicKey::Name(name) => broker.topic_id_of(name).ok_or(FetchError::UnknownTopic)?,
        TopicKey::Id(topic_id) => *topic_id,
    };
    broker.partitions.find(topic_id, *index).ok_or_else(|| match topic {
        _ if broker.has_partition(topic_id, *index) => FetchError::NotLeader,
        TopicKey::Id(id) if broker.image().topic_by_id(*id).is_none() => FetchError::UnknownTopicId,
        TopicKey::Id(_) | TopicKey::Name(_) => FetchError::UnknownTopic,
    })
}

fn read(
    broker: &Broker,
    partition: &Partition,
    wanted: &Wanted,
    terms: &Terms,
    bytes_left: usize,
    at_least_one: bool,
) -> Result<Found, FetchError> {
    let is_led = check_leadership(broker, partition, wanted.current_leader_epoch);
    match is_led {
        Err(FetchError::NotLeader) if terms.may_read_from_follower && broker.follows(partition) => {}
        led => led?,
    }
    let log = &partition.log;
    let high_watermark = partition.high_watermark();
    let last_stable_offset = partition.last_stable_offset_below(high_watermark);
    let mut found = Found {
        high_watermark,
        last_stable_offset,
        log_start_offset: log.log_start_offset(),
        read: None,
        diverging: diverging(partition, wanted),
        preferred_read_replica: closest::preferred(
            broker,
            partition,
            &terms.client_rack,
            wanted.fetch_offset,
        ),
        aborted: None,
    };
    if found.diverging.is_some() || found.preferred_read_replica.is_some() {
        return Ok(found);
    }
    let upper_bound = if terms.is_read_committed { last_stable_offset } else { high_watermark };
    let bytes_max = wanted.bytes_max.min(bytes_left);
    let read = log.read(wanted.fetch_offset, upper_bound, bytes_max, at_least_one)?;
    if terms.is_read_committed {
        let aborted = match read.records.is_empty() {
            true => Vec::new(),
            false => log.aborted_transactions(wanted.fetch_offset, upper_bound),
        };
        found.aborted = Some(
            aborted
                .iter()
                .map(|transaction| {
                    AbortedTransaction::default()
                        .with_producer_id(ProducerId(transaction.producer_id.0))
                        .with_first_offset(transaction.first_offset.0)
                })
                .collect(),
        );
    }
    found.read = Some(read);
    Ok(found)
}

/// Where the client's log left ours, if it did: the last epoch that both have, and its end here. Source: KIP-595.
fn diverging(partition: &Partition, wanted: &Wanted) -> Option<(LeaderEpoch, Offset)> {
    if wanted.last_fetched_epoch == LeaderEpoch::NONE {
        return None;
    }
    let EpochEnd { epoch, end_offset } = partition.log.end_offset_for_epoch(wanted.last_fetched_epoch)?;
    let has_diverged = epoch < wanted.last_fetched_epoch || end_offset < wanted.fetch_offset;
    has_diverged.then_some((epoch, end_offset))
}

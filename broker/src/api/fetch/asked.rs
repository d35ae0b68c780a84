//! What a Fetch asks for: every partition of its session, or those that it names where there is none. Source: KIP-227.

use std::collections::HashMap;

use kafka_protocol::messages::{FetchRequest, TopicName};
use storage::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};

use crate::api::RequestContext;
use crate::clock;
use crate::fetch_sessions::{PartitionKey, Resolved, SessionError, SessionRequest, TopicKey, Wanted};

/// The first version that names topics by their ids.
const TOPIC_IDS_SINCE: i16 = 13;

/// The partitions, with what is wanted of each.
pub(super) fn resolve(context: &RequestContext, request: &FetchRequest) -> Result<Resolved, SessionError> {
    let uses_topic_ids = context.version >= TOPIC_IDS_SINCE;
    let key = |name: &TopicName, id: uuid::Uuid, partition: i32| {
        let topic = if uses_topic_ids { TopicKey::Id(TopicId(id)) } else { TopicKey::Name(name.to_string()) };
        (topic, PartitionIndex(partition))
    };
    let wanted = request
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| {
                let wanted = Wanted {
                    fetch_offset: Offset(partition.fetch_offset),
                    bytes_max: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
                    current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
                    last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
                };
                (key(&topic.topic, topic.topic_id, partition.partition), wanted)
            })
        })
        .collect();
    let wanted = each_once(wanted);
    let forgotten: Vec<_> = request
        .forgotten_topics_data
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| key(&topic.topic, topic.topic_id, *partition))
        })
        .collect();
    let session = SessionRequest {
        session_id: request.session_id,
        // Below version 7 there are no sessions, and the crate fills in its default.
        epoch: if context.version >= 7 { request.session_epoch } else { -1 },
        uses_topic_ids,
    };
    let random = || uuid::Uuid::new_v4().as_u64_pair().0 as i32;
    context.broker.fetch_sessions.lock().resolve(session, wanted, &forgotten, clock::monotonic(), random)
}

/// Each partition once, in the place where it was first named, with what was said of it last, as Kafka's maps keep it.
fn each_once(wanted: Vec<(PartitionKey, Wanted)>) -> Vec<(PartitionKey, Wanted)> {
    if wanted.len() < 2 {
        return wanted;
    }
    let mut places = HashMap::with_capacity(wanted.len());
    let mut once: Vec<(PartitionKey, Wanted)> = Vec::with_capacity(wanted.len());
    for (key, wanted) in wanted {
        match places.get(&key).and_then(|place: &usize| once.get_mut(*place)) {
            Some((_, named_before)) => *named_before = wanted,
            None => {
                places.insert(key.clone(), once.len());
                once.push((key, wanted));
            }
        }
    }
    once
}

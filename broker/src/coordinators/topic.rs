//! `__consumer_offsets`, made when somebody first looks for the coordinator of a group.
//!
//! Kafka answers COORDINATOR_NOT_AVAILABLE while it makes the topic; here the first request waits until it is there, so
//! that the first group of a new node needs no second try. Source: `AutoTopicCreationManager`.

use super::OFFSETS_TOPIC;
use crate::broker::Broker;
use crate::limits;
use crate::quorum::ProposeError;
use crate::topics;
use replication::controller::topics::{CreateTopicError, NewTopic};
use std::collections::BTreeMap;

/// The smallest `segment.bytes` that a topic may have.
const SEGMENT_BYTES_MIN: i32 = 1_048_576;

/// Why the topic was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OffsetsTopicError {
    #[error("{OFFSETS_TOPIC} cannot be made: {0}")]
    Refused(#[from] CreateTopicError),
    #[error("{OFFSETS_TOPIC} is not there yet: {0}")]
    Propose(#[from] ProposeError),
}

/// Makes the topic where it is missing, and waits until requests see it.
///
/// # Errors
/// When the controller refuses it or does not answer in time.
pub(crate) async fn make(broker: &Broker) -> Result<(), OffsetsTopicError> {
    if broker.image().topic_by_name(OFFSETS_TOPIC).is_some() {
        return Ok(());
    }
    let mut create = topics::with_defaults(broker, vec![new_topic(broker)], false);
    create.default_replication_factor =
        broker.settings.load().broker.offsets_topic.offsets_topic_replication_factor;
    for creation in topics::create(broker, create, limits::METADATA_CHANGE_TIMEOUT).await? {
        match creation.result {
            // Somebody else was first: it is there, which is all that was wished for.
            Ok(_) | Err(CreateTopicError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn new_topic(broker: &Broker) -> NewTopic {
    let settings = broker.settings.load();
    let settings = &settings.broker.offsets_topic;
    let set = |name: &str, value: String| (name.to_owned(), Some(value));
    NewTopic {
        name: OFFSETS_TOPIC.to_owned(),
        partitions: Some(settings.offsets_topic_num_partitions),
        // As many as there are nodes, up to the default of this topic; it grows with the set.
        replication_factor: None,
        assignments: Vec::new(),
        configs: BTreeMap::from([
            set("cleanup.policy", "compact".to_owned()),
            set("compression.type", "producer".to_owned()),
            set("segment.bytes", settings.offsets_topic_segment_bytes.max(SEGMENT_BYTES_MIN).to_string()),
        ]),
    }
}

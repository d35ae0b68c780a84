//! DescribeLogDirs (key 35, versions 1–5): what the partitions on this node take on its disk (KIP-113, KIP-827).
//!
//! There is one log directory. Partitions that this node does not hold are left out, and none is ever on its way to
//! another directory. Version notes: 4 adds how large the volume is and what is left of it, 5 whether a directory is closed to
//! new partitions, which none is here (KIP-1066); the crate has the schema up to 4.
//! Source: `ReplicaManager.describeLogDirs`.

use super::{Outcome, Reply, RequestContext};
use crate::broker::Broker;
use crate::client_quotas::Throttled;
use crate::wire::request_header::RequestPrefix;
use crate::wire::response::{EncodeError, FrameBuilder};
use bytes::BufMut;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use replication::metadata::image::TopicImage;
use std::sync::Arc;
use storage::ids::PartitionIndex;

/// The first version that says how much space there is.
const SPACE_SINCE: i16 = 4;

/// The first version that says whether a directory is cordoned.
const CORDONED_SINCE: i16 = 5;

/// The response, of which the crate does not have every version. It has exactly one directory.
pub(crate) struct DescribeLogDirsReply(DescribeLogDirsResponse);

impl Reply for DescribeLogDirsReply {
    fn into_outcome(self, prefix: RequestPrefix, schema_version: i16) -> Result<Outcome, EncodeError> {
        if prefix.api_version < CORDONED_SINCE {
            return self.0.into_outcome(prefix, schema_version);
        }
        let mut frame = FrameBuilder::new(prefix.correlation_id, true);
        frame.put_message(&self.0, schema_version)?;
        // It ends in the numbers of tagged fields of the directory and of the response, both 0.
        let tail = frame.tail();
        let kept = tail.len().saturating_sub(2);
        assert_eq!(tail.get(kept..), Some(&[0, 0][..]), "one directory, and nothing tagged");
        tail.truncate(kept);
        tail.put_slice(&[0, 0, 0]);
        frame.finish(schema_version).map(Outcome::Send)
    }
}

impl Throttled for DescribeLogDirsReply {
    fn set_throttle_time_ms(&mut self, milliseconds: i32) {
        self.0.throttle_time_ms = milliseconds;
    }

    fn throttle_time_ms(&self) -> i32 {
        self.0.throttle_time_ms
    }
}

pub(crate) async fn handle(context: RequestContext, request: DescribeLogDirsRequest) -> DescribeLogDirsReply {
    let broker = &context.broker;
    let path =
        std::path::absolute(broker.log_dir.path()).unwrap_or_else(|_| broker.log_dir.path().to_owned());
    let directory = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_string(path.to_string_lossy().into_owned()));
    let directory = if broker.has_failed() {
        directory.with_error_code(ResponseError::KafkaStorageError.code())
    } else {
        directory.with_topics(topics(broker, &request))
    };
    let directory = match context.version {
        SPACE_SINCE.. => {
            let (total_bytes, usable_bytes) = space(Arc::clone(broker)).await;
            directory.with_total_bytes(total_bytes).with_usable_bytes(usable_bytes)
        }
        _ => directory,
    };
    DescribeLogDirsReply(DescribeLogDirsResponse::default().with_results(vec![directory]))
}

fn topics(broker: &Broker, request: &DescribeLogDirsRequest) -> Vec<DescribeLogDirsTopic> {
    let image = broker.image();
    match &request.topics {
        None => image
            .topics()
            .filter_map(|topic| described(broker, topic, topic.partitions.iter().map(|p| p.index)))
            .collect(),
        Some(named) => named
            .iter()
            .filter_map(|named| {
                let topic = image.topic_by_name(&named.topic)?;
                described(broker, topic, named.partitions.iter().copied().map(PartitionIndex))
            })
            .collect(),
    }
}

fn described(
    broker: &Broker,
    topic: &TopicImage,
    partitions: impl Iterator<Item = PartitionIndex>,
) -> Option<DescribeLogDirsTopic> {
    let held = partitions.filter_map(|index| {
        let partition = broker.partitions.find(topic.id, index)?;
        let behind = partition.high_watermark().0 - partition.log.log_end_offset().0;
        Some(
            DescribeLogDirsPartition::default()
                .with_partition_index(index.0)
                .with_partition_size(i64::try_from(partition.log.size_in_bytes()).unwrap_or(i64::MAX))
                .with_offset_lag(behind.max(0)),
        )
    });
    let held: Vec<_> = held.collect();
    (!held.is_empty()).then(|| {
        DescribeLogDirsTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.name.to_string())))
            .with_partitions(held)
    })
}

/// How large the volume is and what is left of it; -1 where the disk does not say.
async fn space(broker: Arc<Broker>) -> (i64, i64) {
    let ask = move || [broker.log_dir.total_bytes(), broker.log_dir.free_bytes()];
    let known = |bytes: Option<u64>| bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    match tokio::task::spawn_blocking(ask).await {
        Ok([total, free]) => (known(total.ok()), known(free.ok())),
        Err(_) => (-1, -1),
    }
}

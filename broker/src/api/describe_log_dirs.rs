//! DescribeLogDirs (key 35, versions 1–4): what the partitions on this node take on its disk (KIP-113, KIP-827).
//!
//! There is one log directory. Partitions that this node does not hold are left out, and none is ever on its way to
//! another directory. Version notes: 4 adds the space that is left; how large the volume is stays unknown (−1).
//! Source: `ReplicaManager.describeLogDirs`.

use super::RequestContext;
use crate::broker::Broker;
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

pub(crate) async fn handle(
    context: RequestContext,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let broker = &context.broker;
    let path = std::path::absolute(broker.log_dir.path()).unwrap_or_else(|_| broker.log_dir.path().to_owned());
    let directory = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_string(path.to_string_lossy().into_owned()));
    let directory = if broker.has_failed() {
        directory.with_error_code(ResponseError::KafkaStorageError.code())
    } else {
        directory.with_topics(topics(broker, &request))
    };
    let directory = match context.version {
        SPACE_SINCE.. => directory.with_usable_bytes(free_bytes(Arc::clone(broker)).await),
        _ => directory,
    };
    DescribeLogDirsResponse::default().with_results(vec![directory])
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

/// The space that is left; -1 where the disk does not say.
async fn free_bytes(broker: Arc<Broker>) -> i64 {
    let asked = tokio::task::spawn_blocking(move || broker.log_dir.free_bytes()).await;
    match asked {
        Ok(Ok(bytes)) => i64::try_from(bytes).unwrap_or(i64::MAX),
        Ok(Err(_)) | Err(_) => -1,
    }
}

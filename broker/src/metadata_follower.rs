//! Makes the node's partitions follow the metadata: what was agreed on comes into being here.
//!
//! One task, and the only one that changes the set of partitions. An image is published to requests after the
//! partitions follow it, so that whoever sees a topic can use it, and announced once groups are coordinated by it.

use crate::broker::Broker;
use crate::coordinators::OFFSETS_TOPIC;
use crate::partition::Partition;
use crate::partitions::PartitionKey;
use crate::stopping::Stopping;
use replication::metadata::delta::{LocalPartition, MetadataDelta};
use replication::metadata::image::MetadataImage;
use replication::metadata::record::ConfigResource;
use std::collections::BTreeSet;
use std::sync::Arc;
use storage::ids::Offset;
use tokio::sync::watch;

/// Follows every image that `images` brings, until it closes or `stopping` is set.
pub(crate) async fn run(
    broker: Arc<Broker>,
    mut images: watch::Receiver<Arc<MetadataImage>>,
    mut stopping: Stopping,
) {
    loop {
        let image = Arc::clone(&images.borrow_and_update());
        follow(&broker, image);
        tokio::select! {
            biased;
            () = stopping.requested() => return,
            changed = images.changed() => if changed.is_err() { return },
        }
    }
}

/// Brings the partitions from the image that requests see to `image`, then shows it to requests.
pub(crate) fn follow(broker: &Broker, image: Arc<MetadataImage>) {
    let old = broker.image();
    let delta = MetadataDelta::between(&old, &image, broker.node_id());
    if delta.broker_configs {
        follow_broker_configs(broker, &image);
    }
    // First what goes, then what comes: a topic that was made again under its name has new logs in the old place.
    let removed: BTreeSet<PartitionKey> = delta.removed.iter().map(key).collect();
    broker.partitions.remove(&removed);
    for partition in &delta.removed {
        if let Err(error) = broker.log_dir.delete_log(&partition.topic_partition) {
            tracing::error!("the files of {} were not moved away: {error}", partition.topic_partition);
        }
    }
    broker
        .partitions
        .add(delta.leads.iter().filter_map(|partition| lead(broker, &image, partition)).collect());
    for topic in &delta.topic_configs {
        follow_topic_configs(broker, &image, topic);
    }
    broker.publish(image);
    follow_coordinators(broker, &delta);
    broker.announce();
}

/// Begins and ends the coordination of groups. The image is published by then: a shard that is loaded asks it for topics.
fn follow_coordinators(broker: &Broker, delta: &MetadataDelta) {
    let of_groups = |partitions: &'_ [LocalPartition]| -> Vec<LocalPartition> {
        partitions.iter().filter(|local| local.topic_partition.topic == OFFSETS_TOPIC).cloned().collect()
    };
    for local in [of_groups(&delta.removed), of_groups(&delta.follows)].concat() {
        broker.coordinators.resign(local.topic_partition.partition);
    }
    for local in of_groups(&delta.leads) {
        let index = local.topic_partition.partition;
        if let Some(partition) = broker.partitions.find(local.topic_id, index) {
            broker.coordinators.lead(index, &partition);
        }
    }
    if !delta.deleted_topics.is_empty() {
        let names: Vec<Arc<str>> = delta.deleted_topics.iter().cloned().collect();
        broker.coordinators.topics_deleted(&names);
    }
}

fn key(local: &LocalPartition) -> PartitionKey {
    (local.topic_id, local.topic_partition.partition)
}

/// Leads a partition in its new epoch. Returns the partition where this node did not serve it before.
fn lead(
    broker: &Broker,
    image: &MetadataImage,
    local: &LocalPartition,
) -> Option<(PartitionKey, Arc<Partition>)> {
    let index = local.topic_partition.partition;
    if let Some(partition) = broker.partitions.find(local.topic_id, index) {
        partition.lead(local.state.leader_epoch);
        return None;
    }
    let config = topic_config(broker, image, &local.topic_partition.topic);
    let log = broker.log_dir.create_log(local.topic_partition.clone(), local.topic_id, config);
    let partition = Partition::new(log, broker.durability(), Offset(0));
    partition.lead(local.state.leader_epoch);
    Some((key(local), Arc::new(partition)))
}

fn follow_broker_configs(broker: &Broker, image: &MetadataImage) {
    if let Err(errors) = broker.settings.follow(image, broker.node_id()) {
        for error in errors {
            tracing::error!("a change of the node's settings is not in force: {error}");
        }
        return;
    }
    for topic in image.topics() {
        follow_topic_configs(broker, image, &topic.name);
    }
}

fn follow_topic_configs(broker: &Broker, image: &MetadataImage, topic: &str) {
    let Some(topic_image) = image.topic_by_name(topic) else { return };
    let config = topic_config(broker, image, topic);
    for partition in &topic_image.partitions {
        if let Some(partition) = broker.partitions.find(topic_image.id, partition.index) {
            partition.log.set_config(Arc::clone(&config));
        }
    }
}

/// The settings of a topic as `image` has them.
pub(crate) fn topic_config(
    broker: &Broker,
    image: &MetadataImage,
    topic: &str,
) -> Arc<config::topic::TopicConfig> {
    broker.settings.of_topic(topic, image.configs_of(&ConfigResource::Topic(topic.to_owned())))
}

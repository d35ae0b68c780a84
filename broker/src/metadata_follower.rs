//! Makes the node's partitions follow the metadata: what was agreed on comes into being here.
//!
//! One task, and the only one that changes the set of partitions and the part that this node plays for each. It works on a
//! thread that may wait for the disk, and begins with what others wait for: what this node has been elected to lead. An image
//! is published to requests after the partitions follow it, so that whoever sees a topic can use it, and announced once
//! groups are coordinated by it.

use crate::broker::Broker;
use crate::coordinators::OFFSETS_TOPIC;
use crate::partition::Partition;
use crate::partitions::PartitionKey;
use crate::stopping::Stopping;
use replication::leader::{IsrRules, PartitionMetadata, Standing};
use replication::metadata::delta::{LocalPartition, MetadataDelta};
use replication::metadata::image::{MetadataImage, PartitionImage};
use replication::metadata::record::ConfigResource;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Follows every image that `images` brings, until it closes or `stopping` is set.
pub(crate) async fn run(
    broker: Arc<Broker>,
    mut images: watch::Receiver<Arc<MetadataImage>>,
    mut stopping: Stopping,
) {
    loop {
        let image = Arc::clone(&images.borrow_and_update());
        let follows = Arc::clone(&broker);
        // Whoever cuts a log, or deletes one, may wait for the disk.
        if tokio::task::spawn_blocking(move || follow(&follows, image)).await.is_err() {
            // A panic has already ended the process; see `panics`.
            return;
        }
        tokio::select! {
            biased;
            () = stopping.requested() => return,
            changed = images.changed() => if changed.is_err() { return },
        }
    }
}

/// Brings the partitions from the image that requests see to `image`, then shows it to requests.
pub(crate) fn follow(broker: &Arc<Broker>, image: Arc<MetadataImage>) {
    let old = broker.image();
    let delta = MetadataDelta::between(&old, &image, broker.node_id());
    if delta.broker_configs {
        follow_broker_configs(broker, &image);
    }
    if !Arc::ptr_eq(old.client_quotas(), image.client_quotas()) {
        broker.client_quotas.follow(image.client_quotas());
    }
    // Patterns take memory: where nobody is asked for metrics, there are none.
    if delta.client_metrics && broker.settings.load().broker.client_metrics_enable {
        broker.telemetry.follow(&image);
    }
    let is_held = |local: &&LocalPartition| held(broker, local).is_some();
    let (elected, made): (Vec<_>, Vec<_>) = delta.leads.iter().partition(is_held);
    lead_first(broker, &image, elected);
    // What goes comes before what is made: a topic that was made again under its name has new logs in the old place.
    let removed: BTreeSet<PartitionKey> = delta.removed.iter().map(key).collect();
    for (topic_id, index) in &removed {
        if let Some(partition) = broker.partitions.find(*topic_id, *index) {
            broker.replica_fetchers.forget_all_but(None, &partition);
        }
    }
    let gone = broker.partitions.remove(&removed);
    if let Err(error) = broker.log_dir.delete_logs(delta.removed.iter().map(|local| &local.topic_partition)) {
        tracing::error!("the files of a partition that is gone were not moved away: {error}");
    }
    let takes_part = made.into_iter().chain(&delta.follows);
    let parts: Vec<_> = takes_part.map(|local| (key(local), take_part(broker, &image, local))).collect();
    broker.partitions.add(parts.iter().map(|(key, partition)| (*key, Arc::clone(partition))).collect());
    // Only now: the flush of what a follower appends is told to a partition that can be found.
    for (_, partition) in &parts {
        if let Some(leader) = partition.followed_leader() {
            broker.replica_fetchers.follow(broker, leader, partition);
        }
    }
    for topic in &delta.topic_configs {
        follow_topic_configs(broker, &image, topic);
    }
    if delta.brokers.is_empty() {
        for local in &delta.replicas_changed {
            if let Some(partition) = held(broker, local) {
                lead(broker, &image, &local.state, &partition);
            }
        }
    } else {
        // What a leader may make of its followers depends on who they are and whether they are fenced.
        broker.partitions.all().iter().for_each(|partition| lead_on(broker, &image, partition));
    }
    broker.publish(image);
    // Only now: who waits for one of them looks at the image to learn why it is gone.
    gone.iter().for_each(|partition| partition.close());
    follow_coordinators(broker, &delta);
    broker.announce();
}

/// Begins and ends the coordination of groups. The image is published by then: a shard that is loaded asks it for topics.
fn follow_coordinators(broker: &Arc<Broker>, delta: &MetadataDelta) {
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

/// Leads what this node has been elected to lead. Where a log is being cut, nothing else waits for that.
fn lead_first(broker: &Arc<Broker>, image: &MetadataImage, mut elected: Vec<&LocalPartition>) {
    elected.sort_by_key(|local| held(broker, local).is_some_and(|partition| partition.is_being_changed()));
    for local in elected {
        take_part(broker, image, local);
    }
}

fn held(broker: &Broker, local: &LocalPartition) -> Option<Arc<Partition>> {
    broker.partitions.find(local.topic_id, local.topic_partition.partition)
}

fn key(local: &LocalPartition) -> PartitionKey {
    (local.topic_id, local.topic_partition.partition)
}

/// Plays the part that this node has in a partition's new epoch, but for asking its leader for records.
fn take_part(broker: &Arc<Broker>, image: &MetadataImage, local: &LocalPartition) -> Arc<Partition> {
    let partition = held(broker, local).unwrap_or_else(|| make_partition(broker, image, local));
    let state = &local.state;
    if state.leader == Some(broker.node_id()) {
        broker.replica_fetchers.forget_all_but(None, &partition);
        lead(broker, image, state, &partition);
    } else {
        partition.follow(state.leader, state.leader_epoch);
        broker.replica_fetchers.forget_all_but(state.leader, &partition);
    }
    partition
}

fn make_partition(broker: &Broker, image: &MetadataImage, local: &LocalPartition) -> Arc<Partition> {
    let config = topic_config(broker, image, &local.topic_partition.topic);
    let log = broker.log_dir.create_log(local.topic_partition.clone(), local.topic_id, config);
    let high_watermark = broker.high_watermarks.known(&local.topic_partition);
    Arc::new(Partition::new(log, broker.durability(), high_watermark, Arc::clone(&broker.isr_duties)))
}

/// Leads `partition` by what `image` says of it, its topic and the brokers.
fn lead(broker: &Broker, image: &MetadataImage, state: &PartitionImage, partition: &Partition) {
    let lag_max_ms = broker.settings.load().broker.replication.replica_lag_time_max_ms;
    let rules = IsrRules {
        min_insync_replicas: usize::try_from(partition.log.config().min_insync_replicas).unwrap_or(1),
        replica_lag_time_max: Duration::from_millis(u64::try_from(lag_max_ms).unwrap_or(0)),
    };
    let brokers = |broker_id| {
        image.broker(broker_id).map(|registration| Standing {
            broker_epoch: registration.broker_epoch,
            may_join_isr: registration.is_active(),
        })
    };
    partition.lead(broker.node_id(), PartitionMetadata { partition: state, rules, brokers: &brokers });
}

/// Leads a partition on, where this node leads it, by what has changed beside its leader.
fn lead_on(broker: &Broker, image: &MetadataImage, partition: &Partition) {
    let (topic_id, index) = partition.key();
    let state = image.topic_by_id(topic_id).and_then(|topic| topic.partition(index));
    if let Some(state) = state.filter(|state| state.leader == Some(broker.node_id())) {
        lead(broker, image, state, partition);
    }
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
            lead_on(broker, image, &partition);
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

#[cfg(test)]
mod tests;

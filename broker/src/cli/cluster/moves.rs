//! Carries out what was planned: elections and reassignments, and waiting for them.

use super::ClusterTrouble;
use super::picture::{self, PATIENCE_MS, PartitionPicture};
use super::plan::Move;
use crate::cli::client::{Client, ClientError};
use crate::cli::table::count;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, ElectLeadersRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How many partitions one request changes. Larger: a request may be refused as too large. Smaller: more requests.
const PARTITIONS_PER_REQUEST: usize = 500;

/// What the first replica of a partition is elected by.
const PREFERRED: i8 = 0;

/// How long before the command's time is over the waiting for moves ends, so that there is time to say so.
const TIME_TO_SPEAK: Duration = Duration::from_secs(2);

/// Until when a command waits for what it began.
pub(super) fn waiting_ends(timeout_seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(timeout_seconds).saturating_sub(TIME_TO_SPEAK)
}

/// Lets the first replicas of these partitions lead. Returns what stood in the way, by partition.
pub(super) async fn elect(
    client: &mut Client,
    partitions: &[(String, i32)],
) -> Result<Vec<String>, ClientError> {
    let mut refusals = Vec::new();
    for some in partitions.chunks(PARTITIONS_PER_REQUEST) {
        let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in some {
            by_topic.entry(topic).or_default().push(*partition);
        }
        let topics = by_topic.into_iter().map(|(topic, partitions)| {
            TopicPartitions::default().with_topic(named(topic)).with_partitions(partitions)
        });
        let request = ElectLeadersRequest::default()
            .with_election_type(PREFERRED)
            .with_timeout_ms(PATIENCE_MS)
            .with_topic_partitions(Some(topics.collect()));
        let address = client.any_address().to_owned();
        let answer = client.call(&address, &request).await?;
        picture::refused("no leader is elected", answer.error_code)?;
        for topic in &answer.replica_election_results {
            for result in &topic.partition_result {
                let error = ResponseError::try_from_code(result.error_code);
                if let Some(error) = error.filter(|error| *error != ResponseError::ElectionNotNeeded) {
                    refusals.push(format!("{}-{}: {error}", topic.topic.as_str(), result.partition_id));
                }
            }
        }
    }
    Ok(refusals)
}

/// Begins to move these partitions. Returns what stood in the way, by partition.
pub(super) async fn reassign(client: &mut Client, moves: &[Move]) -> Result<Vec<String>, ClientError> {
    let mut refusals = Vec::new();
    for some in moves.chunks(PARTITIONS_PER_REQUEST) {
        let mut by_topic: BTreeMap<&str, Vec<ReassignablePartition>> = BTreeMap::new();
        for Move { topic, partition, to, .. } in some {
            let replicas = to.iter().copied().map(BrokerId).collect();
            let partition = ReassignablePartition::default()
                .with_partition_index(*partition)
                .with_replicas(Some(replicas));
            by_topic.entry(topic).or_default().push(partition);
        }
        let topics = by_topic.into_iter().map(|(topic, partitions)| {
            ReassignableTopic::default().with_name(named(topic)).with_partitions(partitions)
        });
        let request = AlterPartitionReassignmentsRequest::default()
            .with_timeout_ms(PATIENCE_MS)
            .with_topics(topics.collect());
        let address = client.any_address().to_owned();
        let answer = client.call(&address, &request).await?;
        picture::refused("no partition is moved", answer.error_code)?;
        for topic in &answer.responses {
            for result in &topic.partitions {
                if let Some(error) = ResponseError::try_from_code(result.error_code) {
                    let reason = result.error_message.as_ref().map_or(error.to_string(), StrBytes::to_string);
                    refusals.push(format!("{}-{}: {reason}", topic.name.as_str(), result.partition_index));
                }
            }
        }
    }
    Ok(refusals)
}

/// Waits until none of these partitions is being moved, or the time is over. Returns what goes on then.
pub(super) async fn wait(
    client: &mut Client,
    moves: &[Move],
    until: Instant,
) -> Result<Option<ClusterTrouble>, ClientError> {
    loop {
        let picture = picture::take(client).await?;
        let is_meant = |it: &&PartitionPicture| {
            moves.iter().any(|moved| moved.topic == it.topic && moved.partition == it.partition)
        };
        let moving = picture.partitions.iter().filter(|it| it.is_moving).filter(is_meant).count();
        if moving == 0 {
            return Ok(None);
        }
        let verb = if moving == 1 { "is" } else { "are" };
        let partitions = format!("{} {verb}", count(moving, "partition"));
        if Instant::now() >= until {
            return Ok(Some(ClusterTrouble::Unfinished { partitions }));
        }
        client.pause(format!("{partitions} still being moved")).await;
    }
}

fn named(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// That some were refused, where any were.
pub(super) fn refused(refusals: &[String]) -> Option<ClusterTrouble> {
    let verb = if refusals.len() == 1 { "was" } else { "were" };
    let moves = || format!("{} {verb}", count(refusals.len(), "change"));
    (!refusals.is_empty()).then(|| ClusterTrouble::Refused { moves: moves() })
}

/// Why some were refused, as lines; no more than ten.
pub(super) fn refusal_lines(refusals: &[String]) -> String {
    let mut lines: String = refusals.iter().take(10).map(|refusal| format!("  {refusal}\n")).collect();
    if refusals.len() > 10 {
        lines.push_str(&format!("  and {} more\n", refusals.len() - 10));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::refused;

    #[test]
    fn what_was_refused_is_no_success() {
        assert_eq!(refused(&[]), None);
        let trouble = refused(&["events-0: no".to_owned(), "events-1: no".to_owned()]).expect("two were");
        assert_eq!((trouble.to_string().as_str(), trouble.exit_code()), ("2 changes were refused", 1));
    }
}

//! `ottla topics list`.

use super::Form;
use crate::cli::asking;
use crate::cli::client::{Client, TopicState};
use crate::cli::table::Table;
use clap::Args;
use serde::Serialize;

/// Which topics are listed.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Also those that only the brokers write to.
    #[arg(long)]
    internal: bool,
}

/// A topic in the list.
#[derive(Debug, Serialize)]
struct Listed {
    topic: String,
    topic_id: uuid::Uuid,
    is_internal: bool,
    partitions: usize,
    replication_factor: usize,
    /// Partitions that lack in-sync replicas, or a leader.
    lacking: usize,
}

pub(super) async fn run(
    client: &mut Client,
    arguments: &ListArguments,
    form: Form,
) -> anyhow::Result<String> {
    let topics = client.all_topics().await?;
    let shown = topics.into_iter().filter(|topic| arguments.internal || !topic.is_internal);
    let listed: Vec<Listed> = shown.map(Listed::from).collect();
    match form {
        Form::Json => asking::json(&listed),
        Form::Text if listed.is_empty() => Ok("There are no topics.\n".to_owned()),
        Form::Text => Ok(table(listed)),
    }
}

impl From<TopicState> for Listed {
    fn from(topic: TopicState) -> Self {
        let replication_factor = topic.replication_factor();
        let lacking =
            topic.partitions.iter().filter(|it| it.leader.is_none() || it.in_sync.len() < it.replicas.len());
        Self {
            lacking: lacking.count(),
            partitions: topic.partitions.len(),
            replication_factor,
            topic: topic.topic,
            topic_id: topic.topic_id,
            is_internal: topic.is_internal,
        }
    }
}

fn table(listed: Vec<Listed>) -> String {
    let mut table = Table::new(["TOPIC", "PARTITIONS", "REPLICATION", "NOT IN SYNC"]);
    for topic in listed {
        let [partitions, replication, lacking] =
            [topic.partitions, topic.replication_factor, topic.lacking].map(|number| number.to_string());
        table.row([topic.topic, partitions, replication, lacking]);
    }
    table.lines()
}

#[cfg(test)]
mod tests {
    use super::{Listed, table};
    use crate::cli::client::{PartitionState, TopicState};

    #[test]
    fn a_topic_says_how_many_partitions_lack_replicas() {
        let partition = |partition, leader, in_sync: &[i32]| PartitionState {
            partition,
            leader,
            leader_epoch: 0,
            replicas: vec![1, 2, 3],
            in_sync: in_sync.to_vec(),
        };
        let partitions =
            vec![partition(0, Some(1), &[1, 2, 3]), partition(1, Some(2), &[2]), partition(2, None, &[3])];
        let topic_id = uuid::Uuid::nil();
        let topic = TopicState { topic: "orders".to_owned(), topic_id, is_internal: false, partitions };
        let expected = "TOPIC   PARTITIONS  REPLICATION  NOT IN SYNC\norders  3           3            2\n";
        assert_eq!(table(vec![Listed::from(topic)]), expected);
    }
}

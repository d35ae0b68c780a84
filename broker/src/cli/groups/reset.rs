//! `ottla groups reset`: sets the committed offsets of a group without members.
//!
//! As in Kafka's tool, an offset outside of what a partition holds becomes the nearest that it holds, and a time after the
//! last record means the end.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;

use super::description;
use super::{Form, GroupRefusal, offsets, wire_id};
use crate::cli::client::{Client, ClientError, OffsetAt, PartitionId};
use crate::cli::table::{Table, count, or_dash};
use crate::cli::target::{self, TopicChoice};
use crate::cli::time;
use crate::clock;

/// Which offsets are set, and to what.
#[derive(Debug, Args)]
pub struct ResetArguments {
    /// The group.
    #[arg(value_name = "GROUP", value_parser = NonEmptyStringValueParser::new())]
    group: String,
    /// A topic, or some of its partitions. May be given many times.
    #[arg(long, value_name = "TOPIC[:PARTITION,...]", required_unless_present = "all_topics")]
    topic: Vec<TopicChoice>,
    /// Every partition of which the group has committed an offset.
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,
    #[command(flatten)]
    to: To,
    /// Do it. Without this, what would be done is shown.
    #[arg(long)]
    execute: bool,
    /// Show what would be done, which is also what happens without --execute.
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
}

/// Where the group shall go on.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct To {
    /// The first record that is there.
    #[arg(long)]
    to_earliest: bool,
    /// The end: only records that come from now on.
    #[arg(long)]
    to_latest: bool,
    /// This offset.
    #[arg(long, value_name = "OFFSET", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// So many records further on, or back where it is negative.
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    shift_by: Option<i64>,
    /// The first record from this time on: 2026-11-21T14:00:00, which is UTC, or with +02:00 behind.
    #[arg(long, value_name = "TIME", value_parser = time::parse_datetime)]
    to_datetime: Option<i64>,
    /// The first record of the time since so long ago: P1DT2H30M, or 90s.
    #[arg(long, value_name = "DURATION", value_parser = time::parse_duration)]
    by_duration: Option<Duration>,
}

/// What is to be done with one partition.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Step {
    topic: String,
    partition: i32,
    committed_offset: Option<i64>,
    new_offset: i64,
}

pub(super) async fn run(
    client: &mut Client,
    arguments: &ResetArguments,
    form: Form,
) -> anyhow::Result<String> {
    let group_id = &arguments.group;
    let steps = plan(client, arguments).await?;
    if arguments.execute {
        commit(client, group_id, &steps).await?;
    }
    Ok(match form {
        Form::Json => format!(
            "{:#}\n",
            serde_json::json!({
                "group_id": group_id,
                "executed": arguments.execute,
                "partitions": steps,
            })
        ),
        Form::Text => text(group_id, &steps, arguments.execute),
    })
}

async fn plan(client: &mut Client, arguments: &ResetArguments) -> anyhow::Result<Vec<Step>> {
    let group_id = arguments.group.as_str();
    refuse_members(client, group_id).await?;
    let committed = offsets::committed(client, group_id).await?;
    let partitions = if arguments.all_topics {
        committed.keys().cloned().collect()
    } else {
        target::partitions(client, &arguments.topic).await?
    };
    if partitions.is_empty() {
        bail!("{group_id} has committed no offsets; name a --topic");
    }
    let earliest = client.offsets(&partitions, OffsetAt::Earliest).await?;
    let latest = client.offsets(&partitions, OffsetAt::Latest).await?;
    let found = match arguments.to.timestamp() {
        Some(timestamp) => client.offsets(&partitions, OffsetAt::Timestamp(timestamp)).await?,
        None => BTreeMap::new(),
    };
    let mut steps = Vec::with_capacity(partitions.len());
    for id in partitions {
        let bound = |offsets: &BTreeMap<PartitionId, Result<Option<i64>, ResponseError>>| {
            let answer = offsets.get(&id).copied().unwrap_or(Err(ResponseError::LeaderNotAvailable));
            let what = format!("{}-{}", id.topic, id.partition);
            answer.map_err(|error| ClientError::Refused { what, error })
        };
        let held = (bound(&earliest)?.unwrap_or(0), bound(&latest)?.unwrap_or(0));
        let at_time = if arguments.to.timestamp().is_some() { bound(&found)? } else { None };
        let committed_offset = committed.get(&id).copied();
        let Some(new_offset) = arguments.to.offset(held, committed_offset, at_time) else {
            bail!("{group_id} has committed no offset of {}-{} to shift from", id.topic, id.partition);
        };
        steps.push(Step { topic: id.topic, partition: id.partition, committed_offset, new_offset });
    }
    Ok(steps)
}

impl To {
    /// The time that is asked for, in milliseconds since 1970.
    fn timestamp(&self) -> Option<i64> {
        let ago = |duration: Duration| {
            clock::now().0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)).max(0)
        };
        self.to_datetime.or(self.by_duration.map(ago))
    }

    /// The offset where a partition that holds `earliest..latest` goes on; `None` where there is nothing to shift from.
    fn offset(
        &self,
        (earliest, latest): (i64, i64),
        committed: Option<i64>,
        at_time: Option<i64>,
    ) -> Option<i64> {
        let wanted = match (self.to_offset, self.shift_by) {
            (Some(offset), _) => offset,
            (None, Some(count)) => committed?.saturating_add(count),
            (None, None) if self.to_earliest => earliest,
            (None, None) if self.to_latest => latest,
            (None, None) => at_time.unwrap_or(latest),
        };
        Some(wanted.min(latest).max(earliest))
    }
}

/// A group that is not there is empty as well: its offsets are set before its first member comes.
async fn refuse_members(client: &mut Client, group_id: &str) -> anyhow::Result<()> {
    match description::describe(client, group_id).await {
        Ok(group) if group.state == "Empty" => Ok(()),
        Ok(group) => {
            let detail = format!("its state is {}", group.state);
            Err(GroupRefusal::HasMembers { group_id: group_id.to_owned(), detail }.into())
        }
        Err(error) => match error.downcast_ref() {
            Some(GroupRefusal::NoSuchGroup { .. }) => Ok(()),
            _ => Err(error),
        },
    }
}

async fn commit(client: &mut Client, group_id: &str, steps: &[Step]) -> anyhow::Result<()> {
    let first_error = |response: &OffsetCommitResponse| {
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code).find(|code| *code != 0).unwrap_or(0)
    };
    let response = client.ask_coordinator(group_id, &request(group_id, steps), first_error).await?;
    match ResponseError::try_from_code(first_error(&response)) {
        None => Ok(()),
        Some(ResponseError::UnknownMemberId | ResponseError::RebalanceInProgress) => {
            let detail = "a member has joined meanwhile".to_owned();
            Err(GroupRefusal::HasMembers { group_id: group_id.to_owned(), detail }.into())
        }
        Some(error) => Err(ClientError::Refused { what: format!("the offsets of {group_id}"), error }.into()),
    }
}

/// A commit of nobody: without a member and a generation, which only a group without members takes.
fn request(group_id: &str, steps: &[Step]) -> OffsetCommitRequest {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for step in steps {
        topics.entry(&step.topic).or_default().push(
            OffsetCommitRequestPartition::default()
                .with_partition_index(step.partition)
                .with_committed_offset(step.new_offset)
                .with_committed_metadata(Some(StrBytes::new())),
        );
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        OffsetCommitRequestTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_partitions(partitions)
    });
    OffsetCommitRequest::default()
        .with_group_id(wire_id(group_id))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics.collect())
}

fn text(group_id: &str, steps: &[Step], executed: bool) -> String {
    let mut table = Table::new(["TOPIC", "PARTITION", "COMMITTED", "NEW"]);
    for step in steps {
        table.row([
            step.topic.clone(),
            step.partition.to_string(),
            or_dash(step.committed_offset),
            step.new_offset.to_string(),
        ]);
    }
    let count = count(steps.len(), "partition");
    let last = if executed {
        format!("{group_id} goes on from there in {count}.")
    } else {
        format!("{group_id} would go on from there in {count}; --execute does it.")
    };
    format!("{}\n{last}\n", table.lines())
}

#[cfg(test)]
mod tests {
    use super::To;
    use std::time::Duration;

    const NOWHERE: To = To {
        to_earliest: false,
        to_latest: false,
        to_offset: None,
        shift_by: None,
        to_datetime: None,
        by_duration: None,
    };

    #[test]
    fn the_new_offset_is_one_that_the_partition_holds() {
        let held = (10, 100);
        let offset = |to: To, committed, at_time| to.offset(held, committed, at_time);
        assert_eq!(offset(To { to_earliest: true, ..NOWHERE }, Some(50), None), Some(10));
        assert_eq!(offset(To { to_latest: true, ..NOWHERE }, Some(50), None), Some(100));
        for (wanted, expected) in [(0, 10), (60, 60), (101, 100)] {
            assert_eq!(offset(To { to_offset: Some(wanted), ..NOWHERE }, None, None), Some(expected));
        }
        for (count, expected) in [(-5, 45), (-60, 10), (5, 55), (i64::MAX, 100)] {
            assert_eq!(offset(To { shift_by: Some(count), ..NOWHERE }, Some(50), None), Some(expected));
        }
    }

    #[test]
    fn what_was_never_committed_cannot_be_shifted() {
        assert_eq!(To { shift_by: Some(5), ..NOWHERE }.offset((10, 100), None, None), None);
    }

    #[test]
    fn a_time_after_the_last_record_is_the_end() {
        let to = To { by_duration: Some(Duration::from_secs(60)), ..NOWHERE };
        assert_eq!(to.offset((10, 100), Some(50), Some(70)), Some(70));
        assert_eq!(to.offset((10, 100), Some(50), None), Some(100));
        assert!(to.timestamp().is_some_and(|timestamp| timestamp > 0));
        assert_eq!(To { to_datetime: Some(5), ..NOWHERE }.timestamp(), Some(5));
    }
}

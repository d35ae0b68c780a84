//! `ottla groups describe`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;

use super::description::{self, Group, Member};
use super::{Form, GroupRefusal, list, offsets, stability};
use crate::cli::client::{Client, Node, OffsetAt, PartitionId};
use crate::cli::table::{Table, count, or_dash};

/// Which groups are described.
#[derive(Debug, Args)]
pub struct DescribeArguments {
    /// The groups.
    #[arg(required_unless_present = "all", value_name = "GROUP", value_parser = NonEmptyStringValueParser::new())]
    groups: Vec<String>,
    /// All groups of the cluster, but for share groups and streams groups.
    #[arg(long, conflicts_with = "groups")]
    all: bool,
}

/// A group with its offsets.
#[derive(Debug, Serialize)]
struct Description {
    #[serde(flatten)]
    group: Group,
    coordinator: Node,
    /// Why it is not stable, if it is not.
    unstable_because: Option<String>,
    /// Over the partitions of which both offsets are known.
    lag: i64,
    partitions: Vec<PartitionLag>,
}

#[derive(Debug, Serialize)]
struct PartitionLag {
    topic: String,
    partition: i32,
    committed_offset: Option<i64>,
    /// The high watermark.
    end_offset: Option<i64>,
    lag: Option<i64>,
    member_id: Option<String>,
}

pub(super) async fn run(
    client: &mut Client,
    arguments: &DescribeArguments,
    form: Form,
) -> anyhow::Result<String> {
    let descriptions =
        if arguments.all { all(client).await? } else { each(client, &arguments.groups).await? };
    Ok(match form {
        Form::Json => format!("{:#}\n", serde_json::to_value(&descriptions)?),
        Form::Text => descriptions.iter().map(text).collect::<Vec<_>>().join("\n"),
    })
}

async fn each(client: &mut Client, groups: &[String]) -> anyhow::Result<Vec<Description>> {
    let mut descriptions = Vec::with_capacity(groups.len());
    for group_id in groups {
        descriptions.push(describe(client, group_id).await?);
    }
    Ok(descriptions)
}

/// Every group that has offsets, but for those that go away meanwhile.
async fn all(client: &mut Client) -> anyhow::Result<Vec<Description>> {
    let mut descriptions = Vec::new();
    for group in list::all(client).await?.iter().filter(|group| group.has_offsets()) {
        match describe(client, &group.group_id).await {
            Ok(description) => descriptions.push(description),
            Err(error) if matches!(error.downcast_ref(), Some(GroupRefusal::NoSuchGroup { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(descriptions)
}

async fn describe(client: &mut Client, group_id: &str) -> anyhow::Result<Description> {
    let group = description::describe(client, group_id).await?;
    let coordinator = client.coordinator(group_id).await?;
    let committed = offsets::committed(client, group_id).await?;
    let mut owners: BTreeMap<PartitionId, &Member> = BTreeMap::new();
    for member in &group.members {
        for (topic, partitions) in &member.assignment {
            owners.extend(
                partitions
                    .iter()
                    .map(|partition| (PartitionId { topic: topic.clone(), partition: *partition }, member)),
            );
        }
    }
    let known: BTreeSet<PartitionId> = committed.keys().chain(owners.keys()).cloned().collect();
    let known: Vec<PartitionId> = known.into_iter().collect();
    let ends = client.offsets(&known, OffsetAt::Latest).await?;
    let partitions: Vec<PartitionLag> = known
        .into_iter()
        .map(|partition| {
            let committed_offset = committed.get(&partition).copied();
            let end_offset = ends.get(&partition).and_then(|found| found.as_ref().ok().copied().flatten());
            PartitionLag {
                committed_offset,
                end_offset,
                lag: committed_offset.zip(end_offset).map(|(committed, end)| (end - committed).max(0)),
                member_id: owners.get(&partition).map(|member| member.member_id.clone()),
                topic: partition.topic,
                partition: partition.partition,
            }
        })
        .collect();
    if group.group_id != group_id {
        bail!("the coordinator describes {} instead of {group_id}", group.group_id);
    }
    Ok(Description {
        coordinator,
        unstable_because: stability::why_unstable(&group),
        lag: partitions.iter().filter_map(|partition| partition.lag).sum(),
        partitions,
        group,
    })
}

fn text(description: &Description) -> String {
    let mut text = format!("{}\n", headline(description));
    if let Some(sentence) = &description.unstable_because {
        text.push_str(&format!("Not stable: {sentence}.\n"));
    }
    if !description.partitions.is_empty() {
        text.push_str(&format!("\n{}", partitions(description)));
    }
    if !description.group.members.is_empty() {
        text.push_str(&format!("\n{}", members(&description.group)));
    }
    text
}

/// For example `readers: Stable, consumer protocol, assignor uniform, epoch 3; 2 members, lag 10; coordinator 1
/// (localhost:9092)`.
fn headline(description: &Description) -> String {
    let Description { group, coordinator, lag, .. } = description;
    let mut facts = vec![group.state.clone(), format!("{} protocol", group.kind)];
    if !group.assignor.is_empty() {
        facts.push(format!("assignor {}", group.assignor));
    }
    facts.extend(group.group_epoch.map(|epoch| format!("epoch {epoch}")));
    let facts = facts.join(", ");
    let members = count(group.members.len(), "member");
    let Node { node_id, address } = coordinator;
    format!("{}: {facts}; {members}, lag {lag}; coordinator {node_id} ({address})", group.group_id)
}

fn partitions(description: &Description) -> String {
    let by_id: BTreeMap<&str, &Member> =
        description.group.members.iter().map(|member| (member.member_id.as_str(), member)).collect();
    let mut table = Table::new(["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER", "CLIENT", "HOST"]);
    for partition in &description.partitions {
        let owner = partition.member_id.as_deref().and_then(|id| by_id.get(id));
        table.row([
            partition.topic.clone(),
            partition.partition.to_string(),
            or_dash(partition.committed_offset),
            or_dash(partition.end_offset),
            or_dash(partition.lag),
            or_dash(partition.member_id.as_ref()),
            or_dash(owner.map(|member| &member.client_id)),
            or_dash(owner.map(|member| &member.client_host)),
        ]);
    }
    table.lines()
}

fn members(group: &Group) -> String {
    let mut table = Table::new(["MEMBER", "INSTANCE", "CLIENT", "HOST", "EPOCH", "PARTITIONS"]);
    for member in &group.members {
        let partitions: usize = member.assignment.values().map(Vec::len).sum();
        table.row([
            member.member_id.clone(),
            or_dash(member.instance_id.as_ref()),
            member.client_id.clone(),
            member.client_host.clone(),
            or_dash(member.member_epoch),
            partitions.to_string(),
        ]);
    }
    table.lines()
}

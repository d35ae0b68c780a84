//! `ottla cluster status`.

use super::picture::{self, NodeState, PartitionPicture, Picture};
use super::{Answer, ClusterTrouble};
use crate::cli::client::Client;
use crate::cli::table::{Table, count, or_dash};
use crate::cli::{ClusterArguments, Form};
use clap::Args;
use serde::Serialize;

/// How many partitions a sentence names. Larger: the sentence is read by nobody. Smaller: it says less than it could.
const NAMED_MAX: usize = 10;

/// Which cluster.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Which cluster, and how it is shown.
    #[command(flatten)]
    pub(super) cluster: ClusterArguments,
}

/// The status as scripts read it.
#[derive(Debug, Serialize)]
struct Status<'a> {
    /// `in order`, `degraded` or `leaderless`.
    state: &'static str,
    #[serde(flatten)]
    picture: &'a Picture,
}

pub(super) async fn run(client: &mut Client, form: Form) -> anyhow::Result<Answer> {
    let picture = picture::take(client).await?;
    let trouble = trouble(&picture);
    let text = match form {
        Form::Json => {
            let state = match &trouble {
                None => "in order",
                Some(ClusterTrouble::Leaderless { .. }) => "leaderless",
                Some(
                    ClusterTrouble::Degraded { .. }
                    | ClusterTrouble::Refused { .. }
                    | ClusterTrouble::Unfinished { .. },
                ) => "degraded",
            };
            format!("{:#}\n", serde_json::to_value(Status { state, picture: &picture })?)
        }
        Form::Text => describe(&picture),
    };
    Ok(Answer { text, trouble })
}

/// What is not as it should be; the worst of it.
fn trouble(picture: &Picture) -> Option<ClusterTrouble> {
    let leaderless: Vec<_> = picture.partitions.iter().filter(|it| it.leader.is_none()).collect();
    if !leaderless.is_empty() {
        let partitions = count(leaderless.len(), "partition");
        return Some(ClusterTrouble::Leaderless { partitions, names: names(&leaderless) });
    }
    let lacking = picture.partitions.iter().filter(|it| is_lacking(it)).count();
    let away = picture.nodes.iter().filter(|node| node.state != NodeState::Active).count();
    let mut what = Vec::new();
    if away > 0 {
        what.push(format!("{} cannot be used", count(away, "node")));
    }
    if lacking > 0 {
        let verb = if lacking == 1 { "lacks" } else { "lack" };
        what.push(format!("{} {verb} in-sync replicas", count(lacking, "partition")));
    }
    let unheard = picture.partitions.iter().filter(|it| picture.is_led_by_nobody_there(it)).count();
    if unheard > 0 {
        let verb = if unheard == 1 { "is" } else { "are" };
        what.push(format!("{} {verb} led by a node that does not answer", count(unheard, "partition")));
    }
    (!what.is_empty()).then(|| ClusterTrouble::Degraded { what: what.join(", and ") })
}

/// Whether a replica is missing that is not just being added.
fn is_lacking(partition: &PartitionPicture) -> bool {
    partition.in_sync.len() < partition.replicas.len() && !partition.is_moving
}

fn describe(picture: &Picture) -> String {
    let mut lines = format!(
        "Cluster {}: {}, {}; requests that change it go to node {}.\n\n",
        picture.cluster_id,
        count(picture.nodes.len(), "node"),
        count(picture.partitions.len(), "partition"),
        or_dash(picture.controller)
    );
    lines.push_str(&nodes(picture));
    lines.push('\n');
    let is =
        |wanted: fn(&PartitionPicture) -> bool| picture.partitions.iter().filter(|it| wanted(it)).collect();
    let leaderless: Vec<&PartitionPicture> = is(|it| it.leader.is_none());
    for partition in leaderless.iter().take(NAMED_MAX) {
        lines.push_str(&waits(partition));
    }
    if leaderless.len() > NAMED_MAX {
        lines.push_str(&format!("So do {} more.\n", leaderless.len() - NAMED_MAX));
    }
    let mut say = |what: &str, partitions: &[&PartitionPicture]| {
        if !partitions.is_empty() {
            let (number, names) = (count(partitions.len(), "partition"), names(partitions));
            lines.push_str(&format!("{number} {what}: {names}.\n"));
        }
    };
    let unheard: Vec<&PartitionPicture> =
        picture.partitions.iter().filter(|it| picture.is_led_by_nobody_there(it)).collect();
    say(
        "led by a node that does not answer, which nobody reads or writes until it returns or another is elected, for which most \
         of the nodes must be there",
        &unheard,
    );
    let lacking: Vec<&PartitionPicture> = is(is_lacking);
    say("with fewer in-sync replicas than replicas", &lacking);
    let moving: Vec<&PartitionPicture> = is(|it| it.is_moving);
    say("being moved", &moving);
    let elsewhere: Vec<&PartitionPicture> = is(PartitionPicture::is_led_by_another);
    say("not led by the first replica, which `ottla cluster balance` gives back", &elsewhere);
    if trouble(picture).is_none() && moving.is_empty() {
        lines.push_str("Every partition has a leader and all of its replicas in sync.\n");
    }
    lines
}

fn nodes(picture: &Picture) -> String {
    let mut table = Table::new(["NODE", "ADDRESS", "RACK", "STATE", "LEADS", "REPLICAS", "IN SYNC"]);
    for node in &picture.nodes {
        let of = |wanted: &dyn Fn(&PartitionPicture) -> bool| {
            picture.partitions.iter().filter(|it| wanted(it)).count().to_string()
        };
        table.row([
            node.node_id.to_string(),
            or_dash(node.address.as_ref()),
            or_dash(node.rack.as_ref()),
            node.state.name().to_owned(),
            of(&|it| it.leader == Some(node.node_id)),
            of(&|it| it.replicas.contains(&node.node_id)),
            of(&|it| it.in_sync.contains(&node.node_id)),
        ]);
    }
    table.lines()
}

/// For whom a partition without a leader waits.
fn waits(partition: &PartitionPicture) -> String {
    let mut candidates: Vec<i32> = partition.in_sync.iter().chain(&partition.eligible).copied().collect();
    candidates.sort_unstable();
    candidates.dedup();
    let names: Vec<_> = candidates.iter().map(ToString::to_string).collect();
    let name = partition.name();
    match names.as_slice() {
        [] => format!(
            "{name} has no leader, and no node is known to have all of its records: \
             `kafka-leader-election --election-type unclean` elects one that may lack some.\n"
        ),
        [one] => format!("{name} has no leader until node {one} returns.\n"),
        _ => format!("{name} has no leader until one of the nodes {} returns.\n", names.join(", ")),
    }
}

/// The names of some partitions.
pub(super) fn names(partitions: &[&PartitionPicture]) -> String {
    let named: Vec<_> = partitions.iter().take(NAMED_MAX).map(|it| it.name()).collect();
    let more = partitions.len().saturating_sub(NAMED_MAX);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &rest
}

#[cfg(test)]
mod tests {
    use super::super::picture::{NodePicture, NodeState, PartitionPicture, Picture};
    use super::{describe, trouble};

    fn picture(active: [bool; 3], partitions: Vec<PartitionPicture>) -> Picture {
        let node = |(id, is_active): (i32, bool)| NodePicture {
            node_id: id,
            address: Some(format!("node-{id}:9092")),
            rack: None,
            state: if is_active { NodeState::Active } else { NodeState::Fenced },
        };
        let nodes = (1..).zip(active).map(node).collect();
        Picture { cluster_id: "nTQkAyRkQ2aB".to_owned(), controller: Some(1), nodes, partitions }
    }

    fn partition(index: i32, leader: Option<i32>, in_sync: &[i32]) -> PartitionPicture {
        PartitionPicture {
            topic: "orders".to_owned(),
            partition: index,
            leader,
            replicas: vec![1, 2, 3],
            in_sync: in_sync.to_vec(),
            ..PartitionPicture::default()
        }
    }

    #[test]
    fn a_cluster_in_order_says_so() {
        let picture = picture([true; 3], vec![partition(0, Some(1), &[1, 2, 3])]);
        assert_eq!(trouble(&picture), None);
        let expected = "\
Cluster nTQkAyRkQ2aB: 3 nodes, 1 partition; requests that change it go to node 1.

NODE  ADDRESS      RACK  STATE   LEADS  REPLICAS  IN SYNC
1     node-1:9092  -     active  1      1         1
2     node-2:9092  -     active  0      1         1
3     node-3:9092  -     active  0      1         1

Every partition has a leader and all of its replicas in sync.
";
        assert_eq!(describe(&picture), expected);
    }

    #[test]
    fn a_missing_node_degrades_the_cluster() {
        let lacking = partition(0, Some(2), &[2, 3]);
        let picture = picture([false, true, true], vec![lacking, partition(1, Some(2), &[2, 1, 3])]);
        let said = trouble(&picture).expect("it is degraded");
        assert_eq!(
            (said.to_string().as_str(), said.exit_code()),
            ("the cluster is degraded: 1 node cannot be used, and 1 partition lacks in-sync replicas", 3)
        );
        let text = describe(&picture);
        assert!(
            text.contains("1 partition with fewer in-sync replicas than replicas: orders-0.\n"),
            "{text}"
        );
        assert!(text.contains("gives back: orders-1.\n"), "{text}");
        assert!(text.contains("1     node-1:9092  -     fenced  0      2         1\n"), "{text}");
    }

    #[test]
    fn a_partition_whose_leader_does_not_answer_is_told() {
        let mut picture = picture([true; 3], vec![partition(0, Some(1), &[1, 2, 3])]);
        picture.nodes[0].state = NodeState::Silent;
        let said = trouble(&picture).expect("it is degraded").to_string();
        assert!(
            said.ends_with("1 node cannot be used, and 1 partition is led by a node that does not answer"),
            "{said}"
        );
        let text = describe(&picture);
        assert!(
            text.contains("1 partition led by a node that does not answer, which nobody reads"),
            "{text}"
        );
        assert!(text.ends_with("must be there: orders-0.\n"), "{text}");
    }

    #[test]
    fn a_partition_without_a_leader_says_whom_it_waits_for() {
        let mut waiting = partition(0, None, &[2]);
        waiting.eligible = vec![3, 1];
        let lost = partition(1, None, &[]);
        let picture = picture([false; 3], vec![waiting, lost]);
        let said = trouble(&picture).expect("it is leaderless");
        assert_eq!(
            (said.to_string().as_str(), said.exit_code()),
            ("2 partitions without a leader: orders-0, orders-1", 4)
        );
        let text = describe(&picture);
        assert!(text.contains("orders-0 has no leader until one of the nodes 1, 2, 3 returns.\n"), "{text}");
        assert!(text.contains("orders-1 has no leader, and no node is known to have all"), "{text}");
    }
}

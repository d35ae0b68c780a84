//! Whether clients reach the nodes at the addresses that they are told.

use super::{Checked, Findings};
use crate::cli::client::{Client, ClientError, Node, TopicState};
use crate::cli::table::count;
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// How long a node may take to answer. Longer: the command is slow where nodes are gone. Shorter: a busy node counts as gone.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Asks the cluster for its nodes, and dials each where clients are told to.
pub(super) async fn look(bootstrap: &str, findings: &mut Findings) {
    let mut client = match Client::connect(bootstrap, ANSWER_LIMIT).await {
        Ok(client) => client,
        Err(error) => return findings.check(Err(format!("No broker can be asked: {error}."))),
    };
    findings.check(Ok(format!("A broker answers at {}.", client.any_address())));
    let is_remote = bootstrap.split(',').any(|address| !is_local_name(host_of(address.trim())));
    for node in client.nodes() {
        let is_told_of_itself = is_remote && is_local_name(host_of(&node.address));
        let dialled = dial(&client, node).await;
        findings
            .check(dialled.and_then(|well| if is_told_of_itself { Err(only_local(node)) } else { Ok(well) }));
    }
    // Where nobody is reached, that was said.
    if let Ok(Ok(topics)) = timeout(ANSWER_LIMIT, client.all_topics()).await {
        findings.check(leaders(&topics));
        if let Some(sentence) = lacking(&topics) {
            findings.note(sentence);
        }
    }
}

/// Which partitions have fewer copies than they should: while a node is away, or while one copies what it lacks.
fn lacking(topics: &[TopicState]) -> Option<String> {
    let partitions = topics.iter().flat_map(|topic| &topic.partitions);
    let lacking = partitions.filter(|partition| partition.in_sync.len() < partition.replicas.len()).count();
    (lacking > 0).then(|| {
        let (partitions, verb) = (count(lacking, "partition"), if lacking == 1 { "has" } else { "have" });
        format!(
            "{partitions} {verb} fewer in-sync replicas than replicas: `ottla cluster status` says which, and which nodes \
             are away."
        )
    })
}

/// Which partitions nobody can read or write.
fn leaders(topics: &[TopicState]) -> Checked {
    let partitions: Vec<_> =
        topics.iter().flat_map(|topic| topic.partitions.iter().map(move |it| (topic, it))).collect();
    let leaderless = partitions.iter().filter(|(_, partition)| partition.leader.is_none());
    let names: Vec<String> =
        leaderless.map(|(topic, partition)| format!("{}-{}", topic.topic, partition.partition)).collect();
    let Some(first) = names.first() else {
        let (partitions, topics) = (count(partitions.len(), "partition"), count(topics.len(), "topic"));
        return Ok(format!("Every partition has a leader ({topics}, {partitions})."));
    };
    let rest = if names.len() > 1 { " and others" } else { "" };
    Err(format!(
        "Nobody reads or writes {} without a leader ({first}{rest}): `ottla cluster status` says for whom they wait.",
        count(names.len(), "partition")
    ))
}

/// Whether `node` is found at the address that clients are told.
async fn dial(client: &Client, node: &Node) -> Checked {
    let Node { node_id, address } = node;
    let told = format!("Clients are told to connect to node {node_id} at {address}");
    let fix = "set advertised.listeners of that node to an address that clients reach";
    let found = timeout(ANSWER_LIMIT, lookup_host(address)).await.ok().and_then(Result::ok);
    if found.and_then(|mut addresses| addresses.next()).is_none() {
        return Err(format!(
            "{told}, a name that this machine cannot resolve: {fix}, or let DNS know the name."
        ));
    }
    match Client::connect(address, ANSWER_LIMIT).await {
        Err(ClientError::Unreachable { reason, .. }) => {
            Err(format!("{told}, and that fails ({reason}): start the node, or {fix}."))
        }
        Err(error) => Err(format!("{told}, and {error}: {fix}.")),
        Ok(found) => match (client.cluster_id(), found.cluster_id()) {
            (Some(asked), Some(answers)) if asked != answers => Err(format!(
                "{told}, where a node of another cluster ({answers}, not {asked}) answers: {fix}."
            )),
            _ => Ok(format!("{told}, and it answers there.")),
        },
    }
}

fn only_local(node: &Node) -> String {
    format!(
        "Clients are told to connect to node {} at {}, which is every machine's own address: set advertised.listeners of that \
         node to one that clients on other machines reach.",
        node.node_id, node.address
    )
}

/// The host of `host:port`.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Whether only this machine itself is meant.
fn is_local_name(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{host_of, is_local_name, lacking, leaders};
    use crate::cli::client::{PartitionState, TopicState};

    #[test]
    fn partitions_without_a_leader_or_a_replica_are_told() {
        let partition = |partition, leader| PartitionState {
            partition,
            leader,
            leader_epoch: 0,
            replicas: vec![1],
            in_sync: Vec::new(),
        };
        let topic = |partitions| TopicState {
            topic: "events".to_owned(),
            topic_id: uuid::Uuid::nil(),
            is_internal: false,
            partitions,
        };
        let said = leaders(&[topic(vec![partition(0, Some(1))])]);
        assert_eq!(said.as_deref(), Ok("Every partition has a leader (1 topic, 1 partition)."));
        let said = leaders(&[topic(vec![partition(0, Some(1)), partition(1, None), partition(2, None)])]);
        let said = said.expect_err("two have none");
        assert!(said.contains("2 partitions without a leader (events-1 and others)"), "{said}");
        let said = lacking(&[topic(vec![partition(0, Some(1))])]).expect("its replica is not in sync");
        assert!(said.starts_with("1 partition has fewer in-sync replicas than replicas"), "{said}");
        let whole = PartitionState { in_sync: vec![1], ..partition(0, Some(1)) };
        assert_eq!(lacking(&[topic(vec![whole])]), None);
    }

    #[test]
    fn addresses_of_the_machine_itself_are_known() {
        for address in ["localhost:9092", "127.0.0.1:9092", "[::1]:9092", "127.9.9.9:1"] {
            assert!(is_local_name(host_of(address)), "{address}");
        }
        for address in ["broker-1:9092", "10.0.0.1:9092", "[2001:db8::1]:9092"] {
            assert!(!is_local_name(host_of(address)), "{address}");
        }
    }
}

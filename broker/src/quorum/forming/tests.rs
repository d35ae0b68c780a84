//! Each test is one story of nodes that start: who holds what, who hears whom, and what each of them does.

use super::{Answer, Own, Step, Waiting, next_step};
use std::collections::{BTreeMap, BTreeSet};
use storage::ids::BrokerId;

/// A node of the story.
#[derive(Clone)]
struct Node {
    id: i32,
    cluster: Option<&'static str>,
    is_initialised: bool,
    /// Whom it agreed to as the one that forms the cluster.
    agreed_to: Option<i32>,
}

fn empty(id: i32) -> Node {
    Node { id, cluster: None, is_initialised: false, agreed_to: None }
}

fn member(id: i32, cluster: &'static str) -> Node {
    Node { id, cluster: Some(cluster), is_initialised: true, agreed_to: None }
}

/// What each of `nodes` does where all of them hear one another and `silent` do not answer.
fn steps(nodes: &[Node], silent: &[i32]) -> String {
    let set: BTreeSet<BrokerId> =
        nodes.iter().map(|node| node.id).chain(silent.iter().copied()).map(BrokerId).collect();
    let lines = nodes.iter().map(|node| {
        let own = Own {
            broker_id: BrokerId(node.id),
            cluster_id: node.cluster.map(str::to_owned),
            is_initialised: node.is_initialised,
            set: set.clone(),
        };
        let others = nodes.iter().filter(|other| other.id != node.id);
        let answers: BTreeMap<BrokerId, Answer> = others
            .map(|other| {
                let answer = Answer {
                    broker_id: BrokerId(other.id),
                    cluster_id: other.cluster.map(str::to_owned),
                    is_initialised: other.is_initialised,
                    agrees: other.agreed_to == Some(node.id),
                };
                (BrokerId(other.id), answer)
            })
            .collect();
        format!("{}: {}\n", node.id, told(&next_step(&own, &answers)))
    });
    lines.collect()
}

fn told(step: &Step) -> String {
    match step {
        Step::Resume => "goes on as the member that it was".to_owned(),
        Step::Wait(waiting) => waiting.to_string(),
        Step::AskToAgree => "asks the others to agree".to_owned(),
        Step::Initialise => "forms the cluster".to_owned(),
        Step::Join { through } => {
            format!(
                "joins through {}",
                through.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            )
        }
        Step::Refuse(refusal) => format!("ends: {refusal}"),
    }
}

#[test]
fn three_empty_nodes_form_one_cluster_through_the_lowest() {
    let mut nodes = [empty(1), empty(2), empty(3)];
    assert_eq!(
        steps(&nodes, &[]),
        "1: asks the others to agree\n\
         2: waiting for node 1, the lowest of ottla.replica.set, to form the cluster; its log says what it waits for\n\
         3: waiting for node 1, the lowest of ottla.replica.set, to form the cluster; its log says what it waits for\n"
    );
    nodes[1].agreed_to = Some(1);
    assert!(steps(&nodes, &[]).starts_with("1: asks the others to agree\n"), "one agreement is not enough");
    nodes[2].agreed_to = Some(1);
    assert!(steps(&nodes, &[]).starts_with("1: forms the cluster\n"));
    nodes[0] = member(1, "A");
    assert_eq!(
        steps(&nodes, &[]),
        "1: goes on as the member that it was\n2: joins through 1\n3: joins through 1\n"
    );
}

#[test]
fn while_one_node_is_silent_the_empty_ones_form_nothing() {
    // The silent one may be the node with the data, which starts last.
    let sentence = "waiting for node 3 of ottla.replica.set: a cluster is formed only once every node has said that it \
                    holds no data";
    assert_eq!(steps(&[empty(1), empty(2)], &[3]), format!("1: {sentence}\n2: {sentence}\n"));
    assert_eq!(
        steps(&[empty(1), empty(2), member(3, "A")], &[]),
        "1: joins through 3\n2: joins through 3\n3: goes on as the member that it was\n"
    );
    assert!(steps(&[empty(2)], &[1, 3]).starts_with("2: waiting for nodes 1 and 3 of ottla.replica.set"));
}

#[test]
fn a_person_is_told_what_was_heard_of_those_that_are_waited_for() {
    let heard = [(BrokerId(2), "it runs".to_owned()), (BrokerId(3), "b:1 refuses connections".to_owned())];
    assert_eq!(
        Waiting::Unheard { nodes: vec![BrokerId(3)] }.with(&heard),
        "waiting for node 3 of ottla.replica.set (node 3: b:1 refuses connections): a cluster is formed only once every \
         node has said that it holds no data"
    );
    assert_eq!(
        Waiting::Controller.with(&heard),
        "waiting for a controller, which a majority of the metadata quorum elects, to let this node in: node 2: it \
         runs; node 3: b:1 refuses connections"
    );
    let lowest = Waiting::Lowest { node: BrokerId(2) };
    assert_eq!(lowest.with(&heard), lowest.to_string());
}

#[test]
fn a_single_node_with_data_grows_whatever_its_id() {
    for with_data in 1..=3 {
        let nodes: Vec<Node> =
            (1..=3).map(|id| if id == with_data { member(id, "A") } else { empty(id) }).collect();
        let told = steps(&nodes, &[]);
        assert!(told.contains(&format!("{with_data}: goes on as the member that it was\n")), "{told}");
        assert_eq!(told.matches(&format!("joins through {with_data}\n")).count(), 2, "{told}");
    }
}

#[test]
fn a_wiped_node_joins_the_others_also_where_it_is_the_lowest() {
    assert_eq!(
        steps(&[empty(1), member(2, "A"), member(3, "A")], &[]),
        "1: joins through 2, 3\n2: goes on as the member that it was\n3: goes on as the member that it was\n"
    );
    assert!(steps(&[empty(1), member(3, "A")], &[2]).starts_with("1: joins through 3\n"));
}

#[test]
fn two_wiped_nodes_of_three_never_form_a_cluster_of_their_own() {
    assert!(!steps(&[empty(1), empty(2)], &[3]).contains("forms"));
    assert!(!steps(&[empty(1), empty(2), member(3, "A")], &[]).contains("forms"));
}

#[test]
fn of_two_nodes_that_both_want_to_form_a_cluster_one_gets_no_agreement() {
    // Node 3 was told of another set, in which it is the lowest but one; node 2 agreed to node 1 already.
    let mut nodes = [empty(1), empty(2), empty(3)];
    nodes[1].agreed_to = Some(1);
    nodes[2].agreed_to = Some(3);
    assert!(steps(&nodes, &[]).starts_with("1: asks the others to agree\n"));
}

#[test]
fn a_foreign_node_ends_and_those_who_belong_together_go_on() {
    assert_eq!(
        steps(&[member(1, "A"), member(2, "A"), member(3, "B")], &[]),
        "1: goes on as the member that it was\n\
         2: goes on as the member that it was\n\
         3: ends: this node's data belongs to the cluster B, but node 1 belongs to the cluster A: check \
         ottla.replica.set and log.dirs of both\n"
    );
}

#[test]
fn two_clusters_are_not_merged() {
    let told = steps(&[member(1, "A"), member(2, "B"), empty(3)], &[]);
    assert_eq!(
        told,
        "1: ends: this node's data belongs to the cluster A, but node 2 belongs to the cluster B: check \
         ottla.replica.set and log.dirs of both\n\
         2: ends: this node's data belongs to the cluster B, but node 1 belongs to the cluster A: check \
         ottla.replica.set and log.dirs of both\n\
         3: ends: node 1 belongs to the cluster A, but node 2 to the cluster B: this node cannot tell which of them to \
         join, check ottla.replica.set and log.dirs of both\n"
    );
}

#[test]
fn a_node_that_kept_its_data_and_lost_its_metadata_joins_its_own_cluster_alone() {
    let without_metadata = || Node { is_initialised: false, ..member(1, "A") };
    assert!(steps(&[without_metadata(), member(2, "A")], &[3]).starts_with("1: joins through 2\n"));
    assert!(
        steps(&[without_metadata(), member(2, "B")], &[3]).contains("1: ends: this node's data belongs to")
    );
    assert!(steps(&[without_metadata(), empty(2), empty(3)], &[]).starts_with(
        "1: ends: this node's data belongs to the cluster A, but its metadata is missing and no node"
    ));
}

#[test]
fn an_address_that_leads_to_another_node_is_refused() {
    let set = [1, 2].into_iter().map(BrokerId).collect();
    let own = Own { broker_id: BrokerId(1), cluster_id: None, is_initialised: false, set };
    let answer = Answer { broker_id: BrokerId(3), cluster_id: None, is_initialised: true, agrees: false };
    let step = next_step(&own, &BTreeMap::from([(BrokerId(2), answer)]));
    assert_eq!(told(&step), "ends: node 2 of ottla.replica.set is answered by node 3: correct its address");
}

#[test]
fn a_set_of_one_forms_its_cluster_at_once() {
    assert_eq!(steps(&[empty(7)], &[]), "7: forms the cluster\n");
}

//! Who is a node of the set: one run, at one address, with one journal, for each `node.id`.

use super::super::as_after_a_kill;
use super::nodes::{LOOK_AGAIN, PATIENCE, Set, in_set, is_used};
use crate::peer::testing::free_address;
use crate::peer::{Dialer, PeerListener, PeerSockets, Purpose};
use crate::quorum::control::{self, ControlAnswer, ControlRequest, LastIndex};
use crate::quorum::identity::Identity;
use crate::quorum::link::{CallError, Link, Target, Whom};
use crate::quorum::raft_rpc::Call;
use crate::quorum::types::log_id;
use crate::quorum::{Quorum, QuorumError};
use crate::stopping::StopSwitch;
use config::broker::Endpoint;
use std::sync::Arc;
use storage::ids::BrokerId;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

/// A run of a node that holds nothing.
fn newcomer(broker_id: BrokerId) -> Arc<Identity> {
    let (_, images) = tokio::sync::watch::channel(Arc::default());
    Arc::new(Identity::new(broker_id, 77, uuid::Uuid::new_v4(), None, images))
}

/// What the controller answers to a newcomer that says that it is at `own_address`.
async fn ask_to_be_let_in(controller: Endpoint, broker_id: BrokerId, own_address: Endpoint) -> ControlAnswer {
    let target = Target { whom: Whom::Anyone, address: controller, purpose: Purpose::Control };
    let link = Link::new(&Handle::current(), Dialer::new(None), newcomer(broker_id), target);
    let join =
        ControlRequest::Join { address: own_address.into(), last: LastIndex { begun_with: None, now: None } };
    let answer = timeout(PATIENCE, link.call(control::encode(&join))).await.expect("in time");
    control::decode(&answer.expect("the controller answers")).expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_with_a_taken_id_ends_and_the_first_goes_on() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    set.image(1, |image| is_used(image, 2)).await;
    let nodes = set.nodes.iter().map(|node| {
        let address = if node.id == 2 { free_address() } else { node.address.clone() };
        (BrokerId(node.id), address)
    });
    let directory = TempDir::new().expect("a temporary directory");
    let (_not_told_to_stop, stopping) = StopSwitch::new();
    let second = in_set(directory.path(), BrokerId(2), nodes.collect(), stopping).await;
    let second = tokio::task::spawn_blocking(move || Quorum::open(second));
    let refused = timeout(PATIENCE, second).await.expect("in time").expect("no panic");
    assert!(matches!(refused, Err(QuorumError::Taken { broker_id: BrokerId(2) })), "{refused:?}");
    assert!(is_used(&set.quorum(1).image(), 2));
    set.create_topic(2, "goes-on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_another_nodes_directory_is_not_let_in() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    set.create_topic(1, "before").await;
    set.kill(3).await;
    set.node_mut(3).directory = as_after_a_kill(set.node(1).directory.path());
    set.begin(3).await;
    let refused = set.outcome(3).await.expect_err("it is a copy");
    assert!(matches!(refused, QuorumError::Copied { own: BrokerId(3), other: BrokerId(1) }), "{refused}");
    set.create_topic(1, "goes-on").await;
    set.wipe(3);
    set.start(&[3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_not_where_its_node_is_gets_no_vote() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    let cluster_id = set.quorum(2).image().cluster_id().map(str::to_owned);
    let raft_node_id = set.quorum(2).opened.council.identity.raft_node_id;
    let (_, images) = tokio::sync::watch::channel(Arc::default());
    let copy = Identity::new(BrokerId(2), raft_node_id, uuid::Uuid::new_v4(), cluster_id, images);
    let address = set.node(1).address.clone();
    let target = Target { whom: Whom::Anyone, address, purpose: Purpose::Raft };
    let link = Link::new(&Handle::current(), Dialer::new(None), Arc::new(copy), target);
    let canvass = Call::Canvass { last_log_id: Some(log_id(1_000, 1_000)) };
    let refused = link.call(canvass.encode()).await;
    assert!(matches!(refused, Err(CallError::Ended)), "{refused:?}");
    set.create_topic(2, "goes-on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_given_only_to_the_run_that_is_where_the_set_looks_for_it() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    set.kill(1).await;
    let controller = set.leader().await;
    set.image(controller, |image| !is_used(image, 1)).await;
    let looked_for_at = set.node(1).address.clone();
    let told = |expected: &ControlAnswer| {
        let (controller, expected) = (set.node(controller).address.clone(), expected.clone());
        async move {
            // A process that stands still for a while leads no more for a moment, and finds nobody in time.
            while ask_to_be_let_in(controller.clone(), BrokerId(1), free_address()).await != expected {
                sleep(LOOK_AGAIN).await;
            }
        }
    };
    let taken = ControlAnswer::Taken { broker_id: BrokerId(1) };

    let unreached =
        ControlAnswer::Unreached { controller: BrokerId(controller), address: looked_for_at.clone().into() };
    timeout(PATIENCE, told(&unreached)).await.expect("nobody is there");

    let sockets = PeerSockets::bind(&looked_for_at).await.expect("its node is gone");
    let mut listener = PeerListener::listen(sockets, None).expect("nobody else listens there");
    let first = newcomer(BrokerId(1));
    tokio::select! {
        told = timeout(PATIENCE, told(&taken)) => told.expect("another run is there"),
        () = async { loop { listener.accept(|| first.hello()).await; } } => {}
    }
    let another = newcomer(BrokerId(3));
    tokio::select! {
        told = timeout(PATIENCE, told(&unreached)) => told.expect("another node is there"),
        () = async { loop { listener.accept(|| another.hello()).await; } } => {}
    }
    drop(listener);
    set.start(&[1]).await;
    set.image(controller, |image| is_used(image, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_return_with_the_directory_that_it_had_before_it_was_wiped() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    set.kill(2).await;
    let before = as_after_a_kill(set.node(2).directory.path());
    set.wipe(2);
    set.start(&[2]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    let offset = set.create_topic(2, "meanwhile").await;
    set.kill(2).await;
    set.node_mut(2).directory = before;
    set.start(&[2]).await;
    set.image(2, |image| image.offset() >= offset).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_what_it_acknowledged_is_refused_and_comes_back_as_a_new_one() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    let leader = set.leader().await;
    let member = (1..=3).find(|id| *id != leader).expect("there are three");
    let before = as_after_a_kill(set.node(member).directory.path());
    for topic in 0..5 {
        let offset = set.create_topic(leader, &format!("topic-{topic}")).await;
        set.image(member, |image| image.offset() >= offset).await;
    }
    let had = u64::try_from(set.quorum(member).image().offset()).expect("it is an offset");
    set.kill(member).await;
    set.node_mut(member).directory = before;
    set.begin(member).await;
    let refused = set.outcome(member).await.expect_err("it is an older copy");
    let QuorumError::OlderCopy { own, controller, last_index } = refused else { panic!("{refused}") };
    assert_eq!((own, controller), (BrokerId(member), BrokerId(leader)));
    assert!(last_index >= had, "{last_index} of {had}");
    assert_eq!(set.leader().await, leader, "it outlives the member's answers");
    set.create_topic(leader, "goes-on").await;
    set.wipe(member);
    set.start(&[member]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_its_registration_is_refused_by_a_later_leader() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    let leader = set.leader().await;
    let [member, other] = [1, 2, 3].into_iter().filter(|id| *id != leader).collect::<Vec<_>>()[..] else {
        panic!("there are three")
    };
    let before = as_after_a_kill(set.node(member).directory.path());
    set.kill(member).await;
    set.start(&[member]).await;
    set.kill(member).await;
    set.kill(leader).await;
    set.start(&[leader]).await;
    set.create_topic(other, "in-another-term").await;
    set.node_mut(member).directory = before;
    set.begin(member).await;
    let refused = set.outcome(member).await.expect_err("it is an older copy");
    assert!(matches!(refused, QuorumError::OlderCopy { .. }), "{refused}");
    set.create_topic(other, "goes-on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_the_data_of_another_cluster_is_refused_with_both_names() {
    let mut set = Set::of(3);
    set.begin_naming(3, &[3]).await;
    set.outcome(3).await.expect("it starts");
    let stray = set.quorum(3).image().cluster_id().expect("it formed one").to_owned();
    set.kill(3).await;
    set.begin_naming(1, &[1, 2]).await;
    set.begin_naming(2, &[1, 2]).await;
    for id in [1, 2] {
        set.outcome(id).await.expect("it starts");
    }
    let cluster = set.quorum(1).image().cluster_id().expect("it formed one").to_owned();
    set.begin(3).await;
    let sentence = set.outcome(3).await.expect_err("it is a stray").to_string();
    assert!(sentence.contains(&stray) && sentence.contains(&cluster), "{sentence}");
    set.create_topic(2, "goes-on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_run_with_one_id_form_one_cluster() {
    // Both are the lowest of their set, and ask the same two nodes to agree.
    let mut set = Set::of(3);
    let others = [2, 3].map(|id| (BrokerId(id), set.node(id).address.clone()));
    let nodes = others.into_iter().chain([(BrokerId(1), free_address())]).collect();
    let directory = TempDir::new().expect("a temporary directory");
    let (_not_told_to_stop, stopping) = StopSwitch::new();
    let second = in_set(directory.path(), BrokerId(1), nodes, stopping).await;
    let second = tokio::task::spawn_blocking(move || Quorum::open(second));
    for id in 1..=3 {
        set.begin(id).await;
    }
    for id in [2, 3] {
        set.outcome(id).await.expect("it starts");
    }
    let (first, second) = tokio::join!(set.outcome(1), second);
    let second = second.expect("no panic");
    assert!(first.is_ok() != second.is_ok(), "one of them is let in: {first:?} and {second:?}");
    let image = |id: i32| set.quorum(id).image();
    assert_eq!(image(2).cluster_id(), image(3).cluster_id());
    tokio::task::spawn_blocking(move || drop(second)).await.expect("no panic");
}

//! Sets of several quorums in one process, on loopback ports. Nothing sleeps for luck: each step waits for what it is about.

mod nodes;

use super::{as_after_a_kill, create, set_on_all_brokers, settings};
use crate::peer::testing::free_address;
use crate::peer::{Dialer, PeerListener, PeerSockets, Purpose};
use crate::quorum::candidate;
use crate::quorum::control::{self, ControlAnswer, ControlRequest, LastIndex};
use crate::quorum::identity::Identity;
use crate::quorum::link::{CallError, Link, Target, Whom};
use crate::quorum::raft_rpc::Call;
use crate::quorum::types::log_id;
use crate::quorum::{Quorum, QuorumError};
use crate::stopping::StopSwitch;
use config::broker::Endpoint;
use nodes::{LOOK_AGAIN, PATIENCE, Set, State, in_set, is_used};
use replication::metadata::image::MetadataImage;
use replication::metadata::record::ConfigResource;
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
async fn three_empty_nodes_form_one_cluster_and_any_of_them_takes_requests() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    let cluster_id = set.quorum(1).image().cluster_id().map(str::to_owned);
    assert!(cluster_id.is_some());
    for through in 1..=3 {
        let offset = set.create_topic(through, &format!("topic-{through}")).await;
        for id in 1..=3 {
            let image = set.image(id, |image| image.offset() >= offset).await;
            assert_eq!(image.topic_count(), usize::try_from(through).expect("it is small"));
            assert_eq!(image.cluster_id().map(str::to_owned), cluster_id);
        }
    }
    for id in 1..=3 {
        set.image(1, |image| is_used(image, id)).await;
        assert!(!set.quorum(id).is_isolated());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_with_the_data_may_start_last_and_have_any_id() {
    let mut set = Set::of(3);
    set.begin_naming(2, &[2]).await;
    set.outcome(2).await.expect("it starts");
    set.create_topic(2, "before").await;
    let cluster_id = set.quorum(2).image().cluster_id().map(str::to_owned);
    set.kill(2).await;
    set.begin(1).await;
    set.begin(3).await;
    set.begin(2).await;
    for id in [1, 2, 3] {
        set.outcome(id).await.expect("it starts");
        let image = set.image(id, |image| image.topic_by_name("before").is_some()).await;
        assert_eq!(image.cluster_id().map(str::to_owned), cluster_id);
    }
    set.wait_for_voters(&[1, 2, 3], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ran_alone_without_a_set_grows_into_one() {
    let mut set = Set::of(3);
    let (_not_told_to_stop, stopping) = StopSwitch::new();
    let alone = settings(set.node(3).directory.path(), BrokerId(3), stopping);
    let alone = tokio::task::spawn_blocking(move || Quorum::open(alone)).await.expect("no panic");
    let alone = alone.expect("it starts");
    alone.propose(create("before".to_owned())).await.expect("the controller answers");
    tokio::task::spawn_blocking(move || drop(alone)).await.expect("no panic");
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    set.image(1, |image| image.topic_by_name("before").is_some()).await;

    // And it does not go on alone by mistake: it could decide nothing.
    set.kill(3).await;
    let (_not_told_to_stop, stopping) = StopSwitch::new();
    let alone = settings(set.node(3).directory.path(), BrokerId(3), stopping);
    let refused = tokio::task::spawn_blocking(move || Quorum::open(alone)).await.expect("no panic");
    let sentence = refused.expect_err("it is one of a set").to_string();
    assert!(sentence.contains("nodes 1 and 2") && sentence.contains("ottla.replica.set"), "{sentence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_in_turn_may_be_killed_and_returns_with_everything() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    for killed in 1..=3 {
        set.kill(killed).await;
        let through = if killed == 1 { 2 } else { 1 };
        let offset = set.create_topic(through, &format!("without-{killed}")).await;
        set.image(through, |image| !is_used(image, killed)).await;
        set.start(&[killed]).await;
        let image = set.image(killed, |image| image.offset() >= offset && is_used(image, killed)).await;
        assert!(image.topic_by_name(&format!("without-{killed}")).is_some());
    }
    set.wait_for_voters(&[1, 2, 3], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_set_that_was_killed_starts_again() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    set.create_topic(2, "kept").await;
    for id in 1..=3 {
        set.kill(id).await;
    }
    set.start(&[3, 2, 1]).await;
    for id in 1..=3 {
        set.image(id, |image| image.topic_by_name("kept").is_some()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_comes_back_as_a_voter_under_another_raft_node_id() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    set.create_topic(1, "kept").await;
    for wiped in [1, 3] {
        set.kill(wiped).await;
        set.wipe(wiped);
        set.start(&[wiped]).await;
        set.image(wiped, |image| image.topic_by_name("kept").is_some()).await;
        let status = set.wait_for_voters(&[1, 2, 3], &[]).await;
        assert_eq!(status.voters.len(), 3, "its former self is gone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_wiped_nodes_of_three_form_nothing_and_wait_for_a_person() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    let cluster_id = set.quorum(3).image().cluster_id().map(str::to_owned);
    for wiped in [1, 2] {
        set.kill(wiped).await;
        set.wipe(wiped);
        set.begin(wiped).await;
    }
    // Each of them asks round by round; that none got anywhere is seen when they are told to stop.
    for wiped in [1, 2] {
        let State::Starting(starting) = &set.node(wiped).state else { panic!("it starts") };
        assert!(!starting.is_finished());
        set.node(wiped).stop_switch.stop();
        assert!(matches!(set.outcome(wiped).await, Err(QuorumError::ToldToStop)));
    }
    assert_eq!(set.quorum(3).image().cluster_id().map(str::to_owned), cluster_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fourth_and_the_fifth_node_follow_and_do_not_vote() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    set.add(4);
    set.add(5);
    set.start(&[4, 5]).await;
    set.wait_for_voters(&[1, 2, 3], &[4, 5]).await;
    let offset = set.create_topic(5, "through-the-fifth").await;
    set.image(4, |image| image.offset() >= offset && is_used(image, 4) && is_used(image, 5)).await;
    set.kill(5).await;
    set.image(4, |image| !is_used(image, 5)).await;
    set.start(&[5]).await;
    set.image(4, |image| is_used(image, 5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_for_long_gets_a_snapshot() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    set.kill(3).await;
    // A journal grows shorter again also while a member is away.
    let journal = set.node(1).directory.path().join("journal");
    let journal_bytes = || std::fs::metadata(&journal).expect("it exists").len();
    let (mut longest, mut proposals) = (0, 0);
    while journal_bytes() >= longest {
        longest = journal_bytes();
        proposals += 1;
        assert!(proposals < 2000, "the journal was not cut at {longest} bytes");
        let value = format!("{proposals}{}", "x".repeat(60_000));
        let proposed = set.quorum(1).propose(set_on_all_brokers("key", value));
        timeout(PATIENCE, proposed).await.expect("in time").expect("the controller answers");
    }
    let offset = set.create_topic(1, "last").await;
    set.wipe(3);
    set.start(&[3]).await;
    let image = set.image(3, |image| image.offset() >= offset).await;
    let key = |image: &MetadataImage| image.configs_of(&ConfigResource::AllBrokers).clone();
    assert_eq!(key(&image), key(&set.quorum(1).image()));
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

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_fetches_is_handed_on() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    let mut streams = set.quorum(1).fetch_streams().expect("nobody took them");
    let connected = set.quorum(2).connect_to_fetch(BrokerId(1)).await.expect("it is reached");
    assert_eq!(connected.hello.broker_id, BrokerId(1));
    let accepted = timeout(PATIENCE, streams.recv()).await.expect("in time").expect("node 1 runs");
    assert_eq!((accepted.hello.broker_id, accepted.hello.purpose), (BrokerId(2), Purpose::Fetch));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_told_to_stop_has_another_one_lead_at_once() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    for id in 1..=3 {
        set.image(1, |image| is_used(image, id)).await;
    }
    let leader = set.leader().await;
    set.quorum(leader).hand_over(PATIENCE).await;
    let status = set.status("waited for another leader", |status| status.leader.0 != leader).await;
    assert!(set.quorum(leader).image().broker(BrokerId(leader)).is_some_and(|known| known.is_shutting_down));
    let term = status.term;
    set.kill(leader).await;
    set.image(status.leader.0, |image| !is_used(image, leader)).await;
    let after = set.status("waited for the status", |_| true).await;
    assert_eq!(after.term, term, "nobody stood for election when the former leader went");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_node_of_a_set_that_is_stopped_waits_for_nobody() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    let leader = set.leader().await;
    for other in (1..=3).filter(|id| *id != leader) {
        set.kill(other).await;
    }
    let handed_over = set.quorum(leader).hand_over(2 * PATIENCE);
    timeout(PATIENCE, handed_over).await.expect("it does not wait for its whole patience");
    let alone = candidate::left_alone(&set.quorum(leader).opened.council);
    timeout(PATIENCE, alone).await.expect("it sees that the others are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_others_are_gone_knows_that_it_is_isolated() {
    let mut set = Set::of(3);
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    let leader = set.leader().await;
    let others: Vec<i32> = (1..=3).filter(|id| *id != leader).collect();
    for other in &others {
        set.kill(*other).await;
    }
    let isolated = timeout(PATIENCE, set.quorum(leader).isolated(true));
    isolated.await.expect("also the node that still takes itself for the leader");
    assert!(set.quorum(leader).is_isolated());
    set.start(&others).await;
    let heard = timeout(PATIENCE, set.quorum(leader).isolated(false));
    heard.await.expect("it is heard again");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_wait_for_others_stop_when_they_are_told_to() {
    let mut set = Set::of(3);
    set.begin(1).await;
    set.begin(2).await;
    for id in [1, 2] {
        set.node(id).stop_switch.stop();
        assert!(matches!(set.outcome(id).await, Err(QuorumError::ToldToStop)));
    }
}

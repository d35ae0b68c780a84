//! Sets of several quorums in one process, on loopback ports. Nothing sleeps for luck: each step waits for what it is about.

mod identities;
mod nodes;

use super::{create, set_on_all_brokers, settings};
use crate::peer::Purpose;
use crate::quorum::candidate;
use crate::quorum::controllership::Why;
use crate::quorum::{Quorum, QuorumError};
use crate::stopping::StopSwitch;
use nodes::{LOOK_AGAIN, PATIENCE, Set, State, is_used};
use replication::metadata::image::MetadataImage;
use replication::metadata::record::ConfigResource;
use std::sync::Arc;
use storage::ids::BrokerId;
use tokio::time::{sleep, timeout};

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
async fn a_node_that_is_killed_while_its_state_is_being_changed_is_fenced_at_once() {
    let mut set = Set::of(3);
    set.session_timeout = 10 * PATIENCE;
    set.start(&[1, 2, 3]).await;
    set.wait_for_voters(&[1, 2, 3], &[]).await;
    let controller = set.leader().await;
    let victim = if controller == 3 { 2 } else { 3 };
    set.image(controller, |image| is_used(image, victim)).await;
    let opened = &set.quorum(controller).opened;
    let (council, controllership) = (Arc::clone(&opened.council), Arc::clone(&opened.controllership));
    let begins = async {
        while !controllership.begin_change(BrokerId(victim), Why::Ready) {
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout(PATIENCE, begins).await.expect("the change of its start is over");
    set.kill(victim).await;
    let is_seen = async {
        while !controllership.is_gone_meanwhile(BrokerId(victim)) {
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout(PATIENCE, is_seen).await.expect("its connection has ended");
    assert!(is_used(&set.quorum(controller).image(), victim), "one change at a time");
    controllership.end_change(&council, BrokerId(victim));
    set.image(controller, |image| !is_used(image, victim)).await;
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

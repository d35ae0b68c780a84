//! What KIP-227 promises, request by request.

use super::{FetchSessions, PartitionKey, Resolved, SessionError, SessionRequest, Told, TopicKey, Wanted};
use std::time::Duration;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex};

const NOW: Duration = Duration::from_secs(1);

fn key(partition: i32) -> PartitionKey {
    (TopicKey::Name("orders".to_owned()), PartitionIndex(partition))
}

fn wanted(partition: i32, offset: i64) -> (PartitionKey, Wanted) {
    let wanted = Wanted {
        fetch_offset: Offset(offset),
        bytes_max: 1000,
        current_leader_epoch: LeaderEpoch::NONE,
        last_fetched_epoch: LeaderEpoch::NONE,
    };
    (key(partition), wanted)
}

fn request(session_id: i32, epoch: i32) -> SessionRequest {
    SessionRequest { session_id, epoch, uses_topic_ids: false }
}

fn begin(sessions: &mut FetchSessions, id: i32, now: Duration) -> Resolved {
    sessions
        .resolve(request(0, 0), vec![wanted(0, 0), wanted(1, 0)], &[], now, || id)
        .expect("a new session has nothing to fail on")
}

fn offsets(resolved: &Resolved) -> Vec<(i32, i64)> {
    resolved.wanted.iter().map(|((_, partition), wanted)| (partition.0, wanted.fetch_offset.0)).collect()
}

#[test]
fn a_request_without_a_session_is_answered_in_full() {
    let mut sessions = FetchSessions::new(10);
    let resolved = sessions.resolve(request(0, -1), vec![wanted(0, 5)], &[], NOW, || 7);
    assert_eq!(resolved, Ok(Resolved { session_id: 0, is_full: true, wanted: vec![wanted(0, 5)] }));
    assert!(sessions.is_empty());
}

#[test]
fn a_session_remembers_changes_and_forgets_on_request() {
    let mut sessions = FetchSessions::new(10);
    assert_eq!(begin(&mut sessions, 7, NOW).session_id, 7);
    let second =
        sessions.resolve(request(7, 1), vec![wanted(1, 9)], &[], NOW, || 0).expect("epoch 1 is next");
    assert!(!second.is_full);
    assert_eq!(offsets(&second), [(0, 0), (1, 9)]);
    let third =
        sessions.resolve(request(7, 2), vec![wanted(2, 4)], &[key(0)], NOW, || 0).expect("epoch 2 is next");
    assert_eq!(offsets(&third), [(1, 9), (2, 4)]);
}

#[test]
fn a_wrong_epoch_id_or_naming_is_refused() {
    let mut sessions = FetchSessions::new(10);
    begin(&mut sessions, 7, NOW);
    let resolve = |sessions: &mut FetchSessions, request| {
        sessions.resolve(request, Vec::new(), &[], NOW, || 0).expect_err("it must be refused")
    };
    assert_eq!(resolve(&mut sessions, request(8, 1)), SessionError::NotFound);
    assert_eq!(resolve(&mut sessions, request(7, 2)), SessionError::InvalidEpoch);
    let by_id = SessionRequest { session_id: 7, epoch: 1, uses_topic_ids: true };
    assert_eq!(resolve(&mut sessions, by_id), SessionError::TopicIdUse);
}

#[test]
fn only_partitions_with_news_are_named_and_those_with_records_go_last() {
    let mut sessions = FetchSessions::new(10);
    begin(&mut sessions, 7, NOW);
    let quiet = Told { high_watermark: 5, log_start_offset: 0, has_news: false, has_records: false };
    let full = Told { has_news: true, has_records: true, ..quiet };
    assert_eq!(
        sessions.tell(7, &[(key(0), full), (key(1), quiet)]),
        [true, true],
        "the first answer tells all"
    );
    assert_eq!(sessions.tell(7, &[(key(0), quiet), (key(1), quiet)]), [false, false]);
    let moved = Told { high_watermark: 6, ..quiet };
    assert_eq!(sessions.tell(7, &[(key(0), quiet), (key(1), moved)]), [false, true]);
    let next = sessions.resolve(request(7, 1), Vec::new(), &[], NOW, || 0).expect("epoch 1 is next");
    assert_eq!(offsets(&next), [(1, 0), (0, 0)]);
}

#[test]
fn a_full_cache_evicts_only_what_was_idle() {
    let mut sessions = FetchSessions::new(1);
    assert_eq!(begin(&mut sessions, 7, NOW).session_id, 7);
    assert_eq!(begin(&mut sessions, 8, NOW).session_id, 0, "no room, so no session");
    let later = NOW + super::EVICTABLE_AFTER + Duration::from_millis(1);
    assert_eq!(begin(&mut sessions, 8, later).session_id, 8);
    assert_eq!(sessions.len(), 1);
}

#[test]
fn a_full_request_that_names_a_session_ends_it() {
    let mut sessions = FetchSessions::new(10);
    begin(&mut sessions, 7, NOW);
    sessions.resolve(request(7, -1), Vec::new(), &[], NOW, || 0).expect("a close cannot fail");
    assert!(sessions.is_empty());
}

#[test]
fn a_session_that_wants_nothing_more_ends() {
    let mut sessions = FetchSessions::new(10);
    begin(&mut sessions, 7, NOW);
    let last =
        sessions.resolve(request(7, 1), Vec::new(), &[key(0), key(1)], NOW, || 0).expect("epoch 1 is next");
    assert_eq!(last.session_id, 0);
    assert!(sessions.is_empty());
}

#[test]
fn a_session_never_forgets_silently_what_it_was_asked_for() {
    let mut sessions = FetchSessions::new(10);
    begin(&mut sessions, 7, NOW);
    let many = (0..100_001).map(|partition| wanted(partition, 0)).collect();
    assert_eq!(sessions.resolve(request(7, 1), many, &[], NOW, || 0), Err(SessionError::NotFound));
    assert!(sessions.is_empty(), "the client begins again, without a session");
}

#[test]
fn the_partitions_of_all_sessions_are_bounded_together() {
    let mut sessions = FetchSessions::new(10);
    let many = || (0..100_000).map(|partition| wanted(partition, 0)).collect::<Vec<_>>();
    for id in 1..=5 {
        let resolved = sessions.resolve(request(0, 0), many(), &[], NOW, || id).expect("a new session");
        assert_eq!(resolved.session_id, id);
    }
    assert_eq!(begin(&mut sessions, 6, NOW).session_id, 0, "full");
    let ended = sessions.resolve(request(3, -1), Vec::new(), &[], NOW, || 0).expect("it ends");
    assert_eq!(ended.session_id, 0);
    assert_eq!(begin(&mut sessions, 6, NOW).session_id, 6, "there is room again");
}

#[test]
fn names_that_no_topic_can_have_are_not_remembered() {
    let mut sessions = FetchSessions::new(10);
    let (_, ask) = wanted(0, 0);
    let long = vec![((TopicKey::Name("x".repeat(250)), PartitionIndex(0)), ask)];
    let resolved = sessions.resolve(request(0, 0), long, &[], NOW, || 7).expect("answered without a session");
    assert_eq!(resolved.session_id, 0);
}

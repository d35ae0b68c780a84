//! Appending what a leader has: the same bytes and the same state, and nothing that does not follow.

use std::sync::Arc;

use bytes::Bytes;

use super::support::*;
use crate::batch::{
    AppendOrigin, AppendRules, Attributes, EndTransactionMarker, TransactionResult, validate,
};
use crate::batch_builder::{BatchSpec, end_transaction_batch};
use crate::disk::simulated::{Operation, SimulatedDisk};
use crate::error::FollowerAppendError;
use crate::ids::{
    BrokerEpoch, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicPartition,
};
use crate::log::Log;
use crate::log_dir::LogDir;

type Dir = LogDir<SimulatedDisk>;
type Opened = (Dir, Arc<Log<SimulatedDisk>>);

fn log_on(disk: &SimulatedDisk, segment_bytes: i32) -> Opened {
    let (dir, loaded) = load(disk, &root(), 1, &config(segment_bytes)).unwrap();
    assert_eq!(loaded.damage, []);
    let log = Arc::clone(&loaded.logs[0]);
    (dir, log)
}

fn new_log(segment_bytes: i32) -> (SimulatedDisk, Dir, Arc<Log<SimulatedDisk>>) {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, log) = log_on(&disk, segment_bytes);
    (disk, dir, log)
}

/// What a leader sends from an offset on: the batches of one segment.
fn sent(leader: &Arc<Log<SimulatedDisk>>, from: Offset) -> Bytes {
    leader.read(from, leader.log_end_offset(), usize::MAX, true).unwrap().records
}

fn follow(follower: &Arc<Log<SimulatedDisk>>, leader: &Arc<Log<SimulatedDisk>>) {
    while follower.log_end_offset() < leader.log_end_offset() {
        let bytes = sent(leader, follower.log_end_offset());
        let end = follower.append_as_follower(&bytes, NOW).unwrap();
        assert_eq!(end, follower.log_end_offset());
    }
}

fn transactional(producer: i64, sequence: i32, value: &[u8]) -> crate::batch::ValidatedBatch {
    let spec = BatchSpec {
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(0),
        base_sequence: Sequence(sequence),
        flags: Attributes::TRANSACTIONAL,
        ..BatchSpec::default()
    };
    batch_of(spec, 2, value, NOW.0)
}

fn end_transaction(
    log: &Arc<Log<SimulatedDisk>>,
    producer: i64,
    result: TransactionResult,
    epoch: LeaderEpoch,
) {
    let marker = EndTransactionMarker { result, coordinator_epoch: 1 };
    let bytes = end_transaction_batch(ProducerId(producer), ProducerEpoch(0), marker, NOW).unwrap();
    let rules = AppendRules::of_topic(&config::topic::TopicConfig::default(), AppendOrigin::Coordinator, 9);
    let batch = validate(Bytes::from(bytes), &rules, NOW).unwrap();
    log.append_as_leader(batch, epoch, NOW).unwrap();
}

/// Idempotent and transactional batches of three leader epochs, over several segments.
fn busy_leader() -> (SimulatedDisk, Dir, Arc<Log<SimulatedDisk>>) {
    let (disk, dir, leader) = new_log(5_000);
    for round in 0..30 {
        let epoch = LeaderEpoch(round / 10);
        leader.begin_leader_epoch(epoch);
        leader.append_as_leader(idempotent(1, round, 1, &[b'i'; 300]), epoch, NOW).unwrap();
        leader.append_as_leader(transactional(2, round * 2, &[b't'; 200]), epoch, NOW).unwrap();
        leader.append_as_leader(batch(3, 100, NOW.0 + i64::from(round)), epoch, NOW).unwrap();
        if round % 3 == 2 {
            let result = if round % 2 == 0 { TransactionResult::Abort } else { TransactionResult::Commit };
            end_transaction(&leader, 2, result, epoch);
        }
    }
    leader.append_as_leader(transactional(3, 0, b"open"), LeaderEpoch(2), NOW).unwrap();
    assert!(leader.segment_count() > 3);
    (disk, dir, leader)
}

/// Everything that a reader, a producer or a replica could tell two logs apart by.
fn assert_same(follower: &Arc<Log<SimulatedDisk>>, leader: &Arc<Log<SimulatedDisk>>) {
    assert_eq!(follower.log_end_offset(), leader.log_end_offset());
    let mut next = Offset(0);
    while next < leader.log_end_offset() {
        let (one, other) = (sent(follower, next), sent(leader, next));
        let len = one.len().min(other.len());
        assert_eq!(one[..len], other[..len], "the bytes from {next} on");
        next = last_header(&one[..len]).next_offset();
    }
    assert_eq!(follower.producers(), leader.producers());
    assert_eq!(follower.first_unstable_offset(), leader.first_unstable_offset());
    let end = leader.log_end_offset();
    assert_eq!(follower.aborted_transactions(Offset(0), end), leader.aborted_transactions(Offset(0), end));
    for epoch in 0..4 {
        let epoch = LeaderEpoch(epoch);
        assert_eq!(follower.end_offset_for_epoch(epoch), leader.end_offset_for_epoch(epoch));
    }
    assert_eq!(follower.offset_of_max_timestamp(end).unwrap(), leader.offset_of_max_timestamp(end).unwrap());
}

fn last_header(mut bytes: &[u8]) -> crate::batch::BatchHeader {
    loop {
        let header = crate::batch::check(bytes).unwrap();
        bytes = &bytes[header.size_in_bytes()..];
        if bytes.is_empty() {
            return header;
        }
    }
}

#[test]
fn follower_holds_the_bytes_and_the_state_of_its_leader() {
    let (_leader_disk, _leader_dir, leader) = busy_leader();
    let (_disk, _dir, follower) = new_log(7_000);
    follow(&follower, &leader);
    assert_same(&follower, &leader);
    assert!(follower.first_unstable_offset().is_some());
}

#[test]
fn follower_is_the_same_after_a_restart() {
    let (_leader_disk, _leader_dir, leader) = busy_leader();
    leader.advance_high_watermark(leader.log_end_offset());
    for is_clean in [false, true] {
        let (disk, dir, follower) = new_log(7_000);
        follow(&follower, &leader);
        dir.flush_round();
        if is_clean {
            dir.clean_stop(BrokerEpoch(1)).unwrap();
        }
        drop((dir, follower));
        let (_dir, follower) = log_on(&disk, 7_000);
        assert_eq!(follower.log_end_offset(), leader.log_end_offset());
        assert_eq!(follower.first_unstable_offset(), leader.first_unstable_offset());
        let end = leader.log_end_offset();
        assert_eq!(
            follower.aborted_transactions(Offset(0), end),
            leader.aborted_transactions(Offset(0), end)
        );
        for epoch in 0..4 {
            let epoch = LeaderEpoch(epoch);
            assert_eq!(follower.end_offset_for_epoch(epoch), leader.end_offset_for_epoch(epoch));
        }
        let last =
            follower.append_as_leader(idempotent(1, 29, 1, &[b'i'; 300]), LeaderEpoch(3), NOW).unwrap();
        assert!(last.is_duplicate, "a retry is known from the leader's bytes");
    }
}

#[test]
fn follower_takes_what_producer_rules_would_refuse() {
    let (_disk, _dir, follower) = new_log(7_000);
    let out_of_order = with_place(&idempotent(1, 5, 1, b"a").bytes, Offset(0), EPOCH);
    let gap = with_place(&idempotent(1, 9, 1, b"b").bytes, Offset(1), EPOCH);
    follower.append_as_follower(&out_of_order, NOW).unwrap();
    assert_eq!(follower.append_as_follower(&gap, NOW).unwrap(), Offset(2));
}

fn with_place(bytes: &[u8], base_offset: Offset, epoch: LeaderEpoch) -> Bytes {
    let header = crate::batch::check(bytes).unwrap();
    let mut bytes = bytes.to_vec();
    let place = header.position_bytes(base_offset, epoch);
    bytes[..place.len()].copy_from_slice(&place);
    Bytes::from(bytes)
}

/// A batch of `count` records at `base_offset`.
fn placed(base_offset: i64, count: i32, epoch: i32) -> Bytes {
    with_place(&batch(count, 400, NOW.0).bytes, Offset(base_offset), LeaderEpoch(epoch))
}

#[test]
fn gaps_of_the_leaders_compaction_survive_a_crash() {
    let (disk, dir, follower) = new_log(3_000);
    let mut bases = Vec::new();
    for step in 0..40_i64 {
        let base = 7 + step * 5;
        bases.push(Offset(base));
        follower.append_as_follower(&placed(base, 2, 1), NOW).unwrap();
        if step == 20 {
            dir.flush_round();
            dir.checkpoint().unwrap();
        }
    }
    dir.flush_round();
    assert!(follower.segment_count() > 3);
    assert_eq!(follower.flushed_end_offset(), Offset(7 + 39 * 5 + 2));
    let found: Vec<Offset> = read_all(&follower, Offset(0)).iter().map(|header| header.base_offset).collect();
    assert_eq!(found, bases);
    drop((dir, follower));
    let disk = disk.crash();
    let (_dir, follower) = log_on(&disk, 3_000);
    assert_eq!((follower.log_start_offset(), follower.log_end_offset()), (Offset(0), Offset(7 + 39 * 5 + 2)));
    let found: Vec<Offset> = read_all(&follower, Offset(0)).iter().map(|header| header.base_offset).collect();
    assert_eq!(found, bases);
}

#[test]
fn gap_of_more_than_an_index_can_hold_is_taken() {
    let (disk, dir, follower) = new_log(1 << 20);
    let far = 5_000_000_000;
    for base in [0, far, far + 2, 2 * far] {
        follower.append_as_follower(&placed(base, 2, 1), NOW).unwrap();
    }
    dir.flush_round();
    drop((dir, follower));
    let (_dir, follower) = log_on(&disk.crash(), 1 << 20);
    let found: Vec<i64> = read_all(&follower, Offset(0)).iter().map(|header| header.base_offset.0).collect();
    assert_eq!(found, [0, far, far + 2, 2 * far]);
    assert_eq!(read_all(&follower, Offset(far + 1)).len(), 3);
}

/// The leader's log starts at 12, within a batch of offsets 10 to 14. A follower that starts over there takes the batch and
/// what comes next, and starts at 12 again, after a crash as well.
#[test]
fn log_that_starts_over_within_a_batch_takes_the_whole_batch() {
    for had_records in [false, true] {
        let (disk, dir, follower) = new_log(1 << 20);
        if had_records {
            follower.append_as_follower(&placed(0, 5, 3), NOW).unwrap();
        }
        follower.start_over_at(Offset(12)).unwrap();
        let bytes = Bytes::from([placed(10, 5, 4), placed(15, 2, 4)].concat());
        assert_eq!(follower.append_as_follower(&bytes, NOW).unwrap(), Offset(17));
        follower.follow_log_start(Offset(12), NOW).unwrap();
        dir.flush_round();
        assert_eq!(follower.flushed_end_offset(), Offset(17));
        assert_eq!((follower.log_start_offset(), read_all(&follower, Offset(12)).len()), (Offset(12), 2));
        dir.checkpoint().unwrap();
        drop((dir, follower));
        let (_dir, follower) = log_on(&disk.crash(), 1 << 20);
        assert_eq!((follower.log_start_offset(), follower.log_end_offset()), (Offset(12), Offset(17)));
        assert_eq!(read_all(&follower, Offset(12)).len(), 2);
    }
}

#[test]
fn log_with_records_is_not_given_up_for_a_batch_that_begins_before_its_end() {
    let (_disk, _dir, follower) = new_log(1 << 20);
    follower.append_as_follower(&placed(0, 12, 4), NOW).unwrap();
    let overlap = follower.append_as_follower(&placed(10, 5, 4), NOW);
    assert!(matches!(overlap, Err(FollowerAppendError::OffsetWentBack { .. })));
    follower.start_over_at(Offset(12)).unwrap();
    let ends_there = follower.append_as_follower(&placed(10, 2, 4), NOW);
    assert!(matches!(ends_there, Err(FollowerAppendError::OffsetWentBack { .. })));
}

fn assert_unchanged(log: &Arc<Log<SimulatedDisk>>, end: i64) {
    assert_eq!(log.log_end_offset(), Offset(end));
    assert_eq!(read_all(log, Offset(0)).last().unwrap().next_offset(), Offset(end));
}

#[test]
fn batch_that_does_not_follow_is_refused_with_all_that_came_with_it() {
    let (_disk, _dir, follower) = new_log(1 << 20);
    follower.append_as_follower(&placed(10, 5, 4), NOW).unwrap();
    let both = |one: Bytes, other: Bytes| Bytes::from([one, other].concat());

    let overlap = follower.append_as_follower(&placed(14, 2, 4), NOW);
    assert!(matches!(overlap, Err(FollowerAppendError::OffsetWentBack { next_offset: Offset(15), .. })));
    let second_overlaps = follower.append_as_follower(&both(placed(15, 5, 4), placed(19, 5, 4)), NOW);
    assert!(matches!(
        second_overlaps,
        Err(FollowerAppendError::OffsetWentBack { next_offset: Offset(20), .. })
    ));
    let older = follower.append_as_follower(&placed(15, 2, 3), NOW);
    assert!(matches!(older, Err(FollowerAppendError::EpochWentBack { latest: LeaderEpoch(4), .. })));
    let second_older = follower.append_as_follower(&both(placed(15, 5, 6), placed(20, 5, 5)), NOW);
    assert!(matches!(second_older, Err(FollowerAppendError::EpochWentBack { latest: LeaderEpoch(6), .. })));
    let none = follower.append_as_follower(&placed(15, 2, -1), NOW);
    assert!(matches!(none, Err(FollowerAppendError::EpochWentBack { .. })));

    let mut damaged = placed(15, 5, 4).to_vec();
    damaged[100] ^= 1;
    let damaged = follower.append_as_follower(&both(placed(15, 5, 4), Bytes::from(damaged)), NOW);
    assert!(matches!(damaged, Err(FollowerAppendError::BadBatch { position, .. }) if position > 0));
    let whole = both(placed(15, 5, 4), placed(20, 5, 4));
    let torn = follower.append_as_follower(&whole.slice(..whole.len() - 1), NOW);
    assert!(matches!(torn, Err(FollowerAppendError::BadBatch { .. })));
    assert_unchanged(&follower, 15);
    assert_eq!(follower.append_as_follower(&Bytes::new(), NOW).unwrap(), Offset(15));
    assert_eq!(follower.append_as_follower(&whole, NOW).unwrap(), Offset(25));
}

#[test]
fn epoch_that_began_here_guards_against_a_leader_before_it() {
    let (_disk, _dir, log) = new_log(1 << 20);
    log.append_as_follower(&placed(0, 5, 4), NOW).unwrap();
    log.begin_leader_epoch(LeaderEpoch(6));
    let late = log.append_as_follower(&placed(5, 5, 5), NOW);
    assert!(matches!(late, Err(FollowerAppendError::EpochWentBack { latest: LeaderEpoch(6), .. })));
}

#[test]
fn full_disk_keeps_the_batches_before_the_one_that_failed() {
    let (disk, dir, follower) = new_log(3_000);
    follower.append_as_follower(&placed(0, 5, 4), NOW).unwrap();
    let bytes = Bytes::from([placed(5, 1, 4), placed(6, 5, 4), placed(11, 1, 4)].concat());
    disk.fail(Operation::Allocate, 0, std::io::ErrorKind::StorageFull);
    let full = follower.append_as_follower(&bytes, NOW);
    assert!(matches!(full, Err(FollowerAppendError::DiskFull(_))));
    assert_unchanged(&follower, 6);
    dir.flush_round();
    assert_eq!(follower.flushed_end_offset(), Offset(6));
    assert!(!dir.has_failed());
    let rest = Bytes::from([placed(6, 5, 4), placed(11, 1, 4)].concat());
    assert_eq!(follower.append_as_follower(&rest, TimestampMs(NOW.0)).unwrap(), Offset(12));
}

#[test]
fn deleted_or_closed_log_takes_nothing_of_a_leader() {
    let (_disk, dir, follower) = new_log(3_000);
    follower.append_as_follower(&placed(0, 5, 4), NOW).unwrap();
    let other = dir.create_log(TopicPartition::new("events", 1), topic_id(), config(3_000));
    dir.delete_log(follower.topic_partition()).unwrap();
    let deleted = follower.append_as_follower(&placed(5, 5, 4), NOW);
    assert!(matches!(deleted, Err(FollowerAppendError::Deleted(_))));
    dir.clean_stop(BrokerEpoch(1)).unwrap();
    let closed = other.append_as_follower(&placed(5, 5, 4), NOW);
    assert!(matches!(closed, Err(FollowerAppendError::Offline(_))));
}

//! Cutting a log: what stays, what goes, and who must not notice.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use super::cut_world::*;
use super::support::*;
use crate::batch::TransactionResult;
use crate::compaction::CleanerSettings;
use crate::disk::os::OsDisk;
use crate::disk::simulated::{Operation, SimulatedDisk};
use crate::disk::{Access, Disk, DiskFile};
use crate::error::{CleanError, ReadError, TruncateError};
use crate::ids::{BrokerEpoch, LeaderEpoch, Offset, ProducerId};
use crate::leader_epochs::EpochEnd;
use crate::log::Log;
use crate::log_dir::LogDir;

type Dir = LogDir<SimulatedDisk>;
type SimulatedLog = Arc<Log<SimulatedDisk>>;

fn new_log(segment_bytes: i32) -> (SimulatedDisk, Dir, SimulatedLog) {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, log) = reopen(&disk, segment_bytes);
    (disk, dir, log)
}

fn reopen(disk: &SimulatedDisk, segment_bytes: i32) -> (Dir, SimulatedLog) {
    let (dir, loaded) = load(disk, &root(), 1, &config(segment_bytes)).unwrap();
    assert_eq!(loaded.damage, []);
    let log = Arc::clone(&loaded.logs[0]);
    (dir, log)
}

/// Appends batches of two records with 400 bytes each.
fn fill<D: Disk>(log: &Arc<Log<D>>, count: usize, epoch: i32) {
    for _ in 0..count {
        log.append_as_leader(batch(2, 400, NOW.0), LeaderEpoch(epoch), NOW).unwrap();
    }
}

fn names(disk: &SimulatedDisk) -> Vec<String> {
    disk.list(&root().join("events-0")).unwrap().into_iter().map(|entry| entry.name).collect()
}

fn file_len(disk: &SimulatedDisk, name: &str) -> u64 {
    disk.open(&root().join("events-0").join(name), Access::Read).unwrap().len().unwrap()
}

#[test]
fn end_of_the_log_goes_and_appends_go_on_there() {
    let (_disk, dir, log) = new_log(3_000);
    fill(&log, 12, 1);
    assert!(log.segment_count() > 3);
    dir.flush_round();
    let kept = batches_of(&log)[..5].to_vec();
    log.truncate_to(Offset(10)).unwrap();
    assert_eq!((log.log_end_offset(), log.flushed_end_offset()), (Offset(10), Offset(10)));
    assert_eq!(batches_of(&log), kept);
    assert!(matches!(log.read(Offset(11), Offset(24), 100, true), Err(ReadError::OutOfRange { .. })));
    let appended = log.append_as_leader(batch(2, 400, NOW.0), LeaderEpoch(2), NOW).unwrap();
    assert_eq!(appended.base_offset, Offset(10));
    assert_eq!(log.epoch_of_offset(Offset(10)), Some(LeaderEpoch(2)));
    assert_eq!(log.end_offset_for_epoch(LeaderEpoch(1)).unwrap().end_offset, Offset(10));
    dir.flush_round();
    assert_eq!(log.flushed_end_offset(), Offset(12));
}

#[test]
fn batch_that_the_cut_lies_within_goes_as_a_whole() {
    let (_disk, _dir, log) = new_log(1 << 20);
    fill(&log, 5, 1);
    log.truncate_to(Offset(7)).unwrap();
    assert_eq!(log.log_end_offset(), Offset(6));
    log.truncate_to(Offset(1)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(0), Offset(0)));
}

#[test]
fn cut_at_or_past_the_end_takes_only_an_epoch_without_a_record() {
    let (disk, dir, log) = new_log(1 << 20);
    fill(&log, 5, 1);
    dir.flush_round();
    log.begin_leader_epoch(LeaderEpoch(3));
    let before = (disk.sync_points(), batches_of(&log));
    log.truncate_to(Offset(10)).unwrap();
    assert_eq!((disk.sync_points(), batches_of(&log)), before);
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(1)));
    assert_eq!(
        log.end_offset_for_epoch(LeaderEpoch(1)),
        Some(EpochEnd { epoch: LeaderEpoch(1), end_offset: Offset(10) })
    );
}

#[test]
fn epochs_that_were_cut_off_do_not_come_back_with_their_file() {
    let (disk, dir, log) = new_log(1 << 20);
    fill(&log, 3, 1);
    fill(&log, 3, 5);
    dir.checkpoint().unwrap();
    log.truncate_to(Offset(6)).unwrap();
    // The leader's epoch is older than the one that was cut off.
    let placed = place(&batch(2, 400, NOW.0).bytes, Offset(6), LeaderEpoch(2));
    log.append_as_follower(&placed.bytes, NOW).unwrap();
    dir.flush_round();
    drop((dir, log));
    let (_dir, log) = reopen(&disk.crash(), 1 << 20);
    assert_eq!(log.log_end_offset(), Offset(8));
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(2)));
    assert_eq!(log.epoch_of_offset(Offset(6)), Some(LeaderEpoch(2)));
}

#[test]
fn view_of_what_went_keeps_its_bytes_and_the_file_until_it_goes() {
    let (disk, dir, log) = new_log(1 << 20);
    fill(&log, 8, 1);
    dir.checkpoint().unwrap();
    let view = log.read(Offset(0), Offset(16), usize::MAX, true).unwrap().records;
    let copy = view.to_vec();
    log.truncate_to(Offset(6)).unwrap();
    assert!(
        file_len(&disk, "00000000000000000000.log") > copy.len() as u64 / 2,
        "the file keeps what is viewed"
    );
    fill(&log, 3, 2);
    dir.checkpoint().unwrap();
    assert_eq!(view, copy);
    assert!(file_len(&disk, "00000000000000000000.log") > copy.len() as u64 / 2);
    drop(view);
    dir.checkpoint().unwrap();
    assert_eq!(file_len(&disk, "00000000000000000000.log"), copy.len() as u64 / 8 * 3);
}

#[test]
fn what_was_cut_off_does_not_come_back_while_a_view_of_it_lives() {
    let (disk, dir, log) = new_log(1 << 20);
    fill(&log, 8, 1);
    dir.checkpoint().unwrap();
    let view = log.read(Offset(0), Offset(16), usize::MAX, true).unwrap().records;
    log.truncate_to(Offset(6)).unwrap();
    // The empty segment at the cut goes, and another one is cut off at the same place.
    fill(&log, 2, 2);
    log.truncate_to(Offset(6)).unwrap();
    dir.checkpoint().unwrap();
    let crashed = disk.crash();
    drop((view, dir, log));
    let (_dir, log) = reopen(&crashed, 1 << 20);
    assert_eq!(log.log_end_offset(), Offset(6));
    let kept = batches_of(&log);
    let len: u64 = kept.iter().map(|batch| batch.bytes.len() as u64).sum();
    assert_eq!((kept.len(), file_len(&crashed, "00000000000000000000.log")), (3, len));
}

#[test]
fn real_files_are_cut_under_the_eyes_of_their_readers() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let (dir, _) = open(&OsDisk, &path);
    let log = dir.create_log(partition(0), topic_id(), config(40_000));
    let mut views: Vec<(Bytes, Vec<u8>)> = Vec::new();
    for round in 0..6 {
        fill(&log, 120, round);
        dir.flush_round();
        let end = log.log_end_offset();
        for from in [log.log_start_offset().0, end.0 - 100, end.0 - 20] {
            let view = log.read(Offset(from), end, usize::MAX, true).unwrap().records;
            views.push((view.clone(), view.to_vec()));
        }
        log.truncate_to(Offset(end.0 - 50 * i64::from(round) - 7)).unwrap();
        dir.checkpoint().unwrap();
        if round == 3 {
            log.start_over_at(Offset(5000)).unwrap();
        }
        log.remove_deleted_segments(NOW).unwrap();
        assert!(views.iter().all(|(view, copy)| view == copy));
    }
    let kept = batches_of(&log);
    views.clear();
    dir.checkpoint().unwrap();
    dir.clean_stop(BrokerEpoch(1)).unwrap();
    drop((dir, log));
    let (_dir, loaded) = load(&OsDisk, &path, 1, &config(40_000)).unwrap();
    assert_eq!(loaded.damage, []);
    assert_eq!(batches_of(&loaded.logs[0]), kept);
}

#[test]
fn producers_and_transactions_are_what_the_batches_say_that_stay() {
    let (_disk, dir, log) = new_log(3_000);
    let mut world = World::default();
    world.epoch = 1;
    let size = (2, 300);
    assert!(world.send(&log, Role::Leader, 1, size));
    assert!(world.send(&log, Role::Leader, FIRST_TRANSACTIONAL, size));
    dir.checkpoint().unwrap();
    assert!(world.send(&log, Role::Leader, 1, size));
    assert!(world.send(&log, Role::Leader, 2, size));
    let cut = world.end;
    assert!(world.end_transaction(&log, Role::Leader, FIRST_TRANSACTIONAL, TransactionResult::Abort));
    assert!(world.send(&log, Role::Leader, 1, size));
    assert!(world.send(&log, Role::Leader, 3, size));
    dir.checkpoint().unwrap();
    world.verify(&log);
    assert_eq!(log.first_unstable_offset(), None);

    log.truncate_to(cut).unwrap();
    world.truncate(cut);
    world.settle(&log, cut);
    world.verify(&log);
    assert_eq!(log.first_unstable_offset(), Some(Offset(2)), "the transaction is open again");
    assert_eq!(
        log.producers().iter().map(|one| one.producer_id).collect::<Vec<_>>(),
        [ProducerId(1), ProducerId(2), ProducerId(FIRST_TRANSACTIONAL)]
    );
    let retry = log.append_as_leader(idempotent(1, 4, 2, b"again"), LeaderEpoch(2), NOW).unwrap();
    assert_eq!((retry.is_duplicate, retry.base_offset), (false, cut), "what was cut off is no duplicate");
}

#[test]
fn flush_that_was_under_way_says_nothing_of_a_log_that_was_cut() {
    let (_disk, dir, log) = new_log(1 << 20);
    fill(&log, 4, 1);
    let work = log.begin_flush();
    log.truncate_to(Offset(4)).unwrap();
    fill(&log, 4, 2);
    log.finish_flush(&work);
    assert_eq!(log.flushed_end_offset(), Offset(0));
    dir.flush_round();
    assert_eq!(log.flushed_end_offset(), Offset(12));
}

#[test]
fn round_of_compaction_that_was_planned_before_a_cut_is_not_run_after_it() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let topic = Arc::new(config::topic::TopicConfig {
        cleanup_policy: config::topic::CleanupPolicy { compact: true, delete: false },
        ..(*config(3_000)).clone()
    });
    let (dir, loaded) = load(&disk, &root(), 1, &topic).unwrap();
    let log = &loaded.logs[0];
    fill(log, 100, 1);
    dir.checkpoint().unwrap();
    let settings = CleanerSettings { key_bytes_max: 1 << 20, key_load_factor: 0.9, read_bytes: 4096 };
    let planned = log.cleanable(Offset(200), NOW).unwrap().unwrap();
    log.truncate_to(Offset(190)).unwrap();
    let refused = log.clean(&planned, &settings, NOW, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(CleanError::Stopped)));

    // The same where the round has begun.
    dir.checkpoint().unwrap();
    let planned = log.cleanable(Offset(190), NOW).unwrap().unwrap();
    let mut is_cut = false;
    let stopped = log.clean(&planned, &settings, NOW, &mut |_| {
        log.truncate_to(Offset(160)).unwrap();
        is_cut = true;
        ControlFlow::Continue(())
    });
    assert!(is_cut && matches!(stopped, Err(CleanError::Stopped)), "{stopped:?}");
    assert_eq!((log.log_end_offset(), log.cleaned_end_offset()), (Offset(160), None));
    assert!(!names(&disk).iter().any(|name| name.ends_with(".cleaned")), "nothing half-written stays");
    dir.checkpoint().unwrap();
    let planned = log.cleanable(Offset(160), NOW).unwrap().unwrap();
    log.clean(&planned, &settings, NOW, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(log.cleaned_end_offset(), Some(Offset(160)));
    log.truncate_to(Offset(100)).unwrap();
    assert_eq!(log.cleaned_end_offset(), Some(log.log_end_offset()));
}

#[test]
fn log_starts_over_at_an_offset_and_is_there_after_a_crash() {
    let (disk, dir, log) = new_log(3_000);
    fill(&log, 12, 1);
    dir.checkpoint().unwrap();
    log.start_over_at(Offset(100)).unwrap();
    let ends = |log: &SimulatedLog| (log.log_start_offset(), log.flushed_end_offset(), log.log_end_offset());
    assert_eq!(ends(&log), (Offset(100), Offset(100), Offset(100)));
    assert_eq!((log.latest_epoch(), log.producers()), (None, Vec::new()));
    assert!(matches!(log.read(Offset(5), Offset(100), 100, true), Err(ReadError::OutOfRange { .. })));
    let (_dir, after_crash) = reopen(&disk.crash(), 3_000);
    assert_eq!(ends(&after_crash), (Offset(100), Offset(100), Offset(100)));
    let placed = place(&batch(2, 400, NOW.0).bytes, Offset(101), LeaderEpoch(0));
    assert_eq!(after_crash.append_as_follower(&placed.bytes, NOW).unwrap(), Offset(103));
    assert_eq!(read_all(&after_crash, Offset(100)).len(), 1);
}

#[test]
fn cut_below_the_start_of_the_log_starts_it_over_there() {
    let (_disk, dir, log) = new_log(3_000);
    fill(&log, 12, 1);
    log.follow_log_start(Offset(11), NOW).unwrap();
    dir.checkpoint().unwrap();
    log.truncate_to(Offset(4)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(4), Offset(4)));
    fill(&log, 1, 2);
    assert_eq!(read_all(&log, Offset(4)).len(), 1);
}

#[test]
fn start_that_was_above_the_cut_hides_nothing_that_comes_later() {
    let (disk, dir, log) = new_log(1 << 20);
    fill(&log, 12, 1);
    log.follow_log_start(Offset(20), NOW).unwrap();
    dir.checkpoint().unwrap();
    log.truncate_to(Offset(10)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(10), Offset(10)));
    fill(&log, 8, 2);
    dir.flush_round();
    let (_dir, log) = reopen(&disk.crash(), 1 << 20);
    assert!(log.log_start_offset() <= Offset(10));
    assert_eq!(read_all(&log, Offset(10)).len(), 8);
}

#[test]
fn log_follows_the_start_of_its_leaders_log() {
    let (disk, _dir, log) = new_log(3_000);
    fill(&log, 12, 1);
    let segments = log.segment_count();
    log.follow_log_start(Offset(1), NOW).unwrap();
    assert_eq!((log.log_start_offset(), log.segment_count()), (Offset(1), segments));
    log.follow_log_start(Offset(15), NOW).unwrap();
    assert!(log.segment_count() < segments);
    assert!(matches!(log.read(Offset(14), Offset(24), 100, true), Err(ReadError::OutOfRange { .. })));
    assert_eq!(batches_of(&log).last().unwrap().header.next_offset(), Offset(24));
    log.follow_log_start(Offset(9), NOW).unwrap();
    assert_eq!(log.log_start_offset(), Offset(15), "a start never moves back by itself");
    log.follow_log_start(Offset(99), NOW).unwrap();
    assert_eq!((log.log_start_offset(), log.segment_count()), (Offset(24), 1), "not beyond the end");
    assert!(names(&disk).iter().any(|name| name.ends_with(".log.deleted")));
}

#[test]
fn full_disk_leaves_the_log_as_it_was() {
    let (disk, dir, log) = new_log(3_000);
    fill(&log, 12, 1);
    dir.checkpoint().unwrap();
    let before = batches_of(&log);
    disk.fail(Operation::Write, 0, std::io::ErrorKind::StorageFull);
    assert!(matches!(log.truncate_to(Offset(10)), Err(TruncateError::DiskFull(_))));
    assert_eq!(batches_of(&log), before);
    fill(&log, 1, 1);
    dir.flush_round();
    assert_eq!(log.flushed_end_offset(), Offset(26));
    assert!(!dir.has_failed());
    log.truncate_to(Offset(10)).unwrap();
    assert_eq!(batches_of(&log), before[..5]);
}

#[test]
fn failed_sync_of_a_cut_takes_the_directory_offline() {
    let (disk, dir, log) = new_log(3_000);
    fill(&log, 12, 1);
    dir.flush_round();
    disk.fail(Operation::Sync, 0, std::io::ErrorKind::Other);
    assert!(matches!(log.truncate_to(Offset(10)), Err(TruncateError::Disk(_))));
    assert!(dir.has_failed());
    assert!(matches!(log.truncate_to(Offset(4)), Err(TruncateError::Offline(_))));
}

#[test]
fn deleted_log_is_not_cut() {
    let (_disk, dir, log) = new_log(3_000);
    fill(&log, 12, 1);
    dir.delete_log(log.topic_partition()).unwrap();
    assert!(matches!(log.truncate_to(Offset(10)), Err(TruncateError::Deleted(_))));
    assert!(matches!(log.start_over_at(Offset(10)), Err(TruncateError::Deleted(_))));
}

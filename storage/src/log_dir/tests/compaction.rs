//! Rounds of compaction: what they do, when they may not, and who reads meanwhile.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use config::topic::{CleanupPolicy, TopicConfig};

use super::compacted::*;
use super::support::*;
use crate::batch::{BatchHeader, TransactionResult, check};
use crate::compaction::CleanerSettings;
use crate::compression::Codec;
use crate::disk::os::OsDisk;
use crate::disk::simulated::{Operation, SimulatedDisk};
use crate::disk::{Access, Disk, DiskFile};
use crate::error::CleanError;
use crate::ids::{BrokerEpoch, Offset, TimestampMs};
use crate::log::Log;
use crate::log_dir::LogDir;
use crate::records::records_of;

const SETTINGS: CleanerSettings =
    CleanerSettings { key_bytes_max: 1 << 20, key_load_factor: 0.9, read_bytes: 1000 };

type Open<D> = (LogDir<D>, Arc<Log<D>>);

fn create<D: Disk>(disk: &D, path: &Path, config: TopicConfig) -> Open<D> {
    let (dir, _) = open(disk, path);
    let log = dir.create_log(partition(0), topic_id(), Arc::new(config));
    (dir, log)
}

fn compacted_config() -> TopicConfig {
    TopicConfig::clone(&compacted())
}

/// `count` batches of one record each, whose keys follow each other in a circle.
fn fill<D: Disk>(world: &mut World, (dir, log): &Open<D>, count: u8, keys: u8) {
    for index in 0..count {
        let records = vec![(Some(index % keys), Some(400))];
        world.send(log, &Send { producer_id: -1, codec: Codec::None, records });
    }
    dir.checkpoint().unwrap();
    log.advance_high_watermark(log.flushed_end_offset());
}

fn clean<D: Disk>(log: &Log<D>, now: TimestampMs) -> Result<(), CleanError> {
    let cleanable = log.cleanable(last_stable_offset(log), now).unwrap().unwrap();
    log.clean(&cleanable, &SETTINGS, now, &mut |_| ControlFlow::Continue(())).map(drop)
}

fn names<D: Disk>(disk: &D, path: &Path, suffix: &str) -> Vec<String> {
    let entries = disk.list(&path.join("events-0")).unwrap().into_iter().map(|entry| entry.name);
    entries.filter(|name| name.ends_with(suffix)).collect()
}

/// The log as a reader sees it, a line a batch.
fn transcript<D: Disk>(log: &Log<D>) -> String {
    let mut lines = String::new();
    let mut next = Offset(0);
    while next < log.log_end_offset() {
        let read = log.read(next, log.log_end_offset(), usize::MAX, true).unwrap();
        let mut rest = read.records.as_ref();
        while !rest.is_empty() {
            let header = check(rest).unwrap();
            lines += &format!("{}..{}", header.base_offset, header.last_offset());
            if header.attributes.has_delete_horizon() {
                lines += &format!(" until {}", header.base_timestamp.0 - NOW.0);
            }
            for record in &records_of(rest, 1 << 20).unwrap() {
                let record = record.unwrap();
                let shown = if header.attributes.is_control() { "marker" } else { "value" };
                let shown = if record.value.is_some() { shown } else { "deleted" };
                lines += &format!("  {}:k{} {shown}", record.offset, record.key.unwrap_or(b"-")[0]);
            }
            lines += "\n";
            rest = &rest[header.size_in_bytes()..];
            next = header.next_offset();
        }
    }
    lines
}

#[test]
fn records_tombstones_and_markers_go_one_round_after_the_other() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let open = create(&disk, &root(), compacted_config());
    let (dir, log) = &open;
    let mut world = World::default();
    let send = |world: &mut World, producer_id, records: &[(Option<u8>, Option<usize>)]| {
        world.send(log, &Send { producer_id, codec: Codec::None, records: records.to_vec() });
    };
    send(&mut world, -1, &[(Some(1), Some(9)), (Some(2), Some(9)), (Some(1), Some(9))]);
    send(&mut world, 7, &[(Some(3), Some(9)), (Some(2), Some(9))]);
    send(&mut world, -1, &[(Some(3), None), (Some(4), Some(9))]);
    send(&mut world, FIRST_TRANSACTIONAL, &[(Some(1), Some(9)), (Some(5), Some(9))]);
    world.end_transaction(log, FIRST_TRANSACTIONAL, TransactionResult::Abort);
    send(&mut world, FIRST_TRANSACTIONAL, &[(Some(6), Some(9))]);
    world.end_transaction(log, FIRST_TRANSACTIONAL, TransactionResult::Commit);
    // Begins another segment, whose first batch takes the keys 2 and 6 away; it is active, and so is not cleaned yet.
    send(&mut world, -1, &[(Some(2), Some(3000)), (Some(6), Some(9))]);
    dir.checkpoint().unwrap();
    let mut seen = String::new();
    let mut round = |world: &mut World, what: &str| {
        dir.checkpoint().unwrap();
        world.clean(log, 1000);
        world.verify(log);
        seen += &format!("{what}\n{}\n", transcript(log));
    };
    round(&mut world, "the first round");
    send(&mut world, -1, &[(Some(8), Some(3000))]);
    round(&mut world, "the segment of offsets 12 and 13 is sealed");
    world.now_ms = 1000;
    send(&mut world, -1, &[(Some(9), Some(3000))]);
    round(&mut world, "1,000 ms later: delete.retention.ms has passed");
    let expected = "\
the first round
0..2  2:k1 value
3..4  4:k2 value
5..6 until 1000  5:k3 deleted  6:k4 value
9..9  9:k0 marker
10..10  10:k6 value
11..11  11:k0 marker
12..13  12:k2 value  13:k6 value

the segment of offsets 12 and 13 is sealed
0..2  2:k1 value
3..4
5..6 until 1000  5:k3 deleted  6:k4 value
9..9 until 1000  9:k0 marker
10..10
11..11  11:k0 marker
12..13  12:k2 value  13:k6 value
14..14  14:k8 value

1,000 ms later: delete.retention.ms has passed
0..2  2:k1 value
3..4
5..6 until 1000  6:k4 value
10..10
11..11  11:k0 marker
12..13  12:k2 value  13:k6 value
14..14  14:k8 value
15..15  15:k9 value

";
    assert_eq!(seen, expected);
}

#[test]
fn readers_go_on_while_segments_are_replaced_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let config = TopicConfig { file_delete_delay_ms: 0, ..compacted_config() };
    let open = create(&OsDisk, &path, config);
    let mut world = World::default();
    fill(&mut world, &open, 60, 7);
    let (dir, log) = &open;
    let before = log.read(Offset(0), log.log_end_offset(), usize::MAX, true).unwrap().records;
    let copy = before.to_vec();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                read_all(log, Offset(0));
                log.offset_for_timestamp(NOW, log.log_end_offset()).unwrap();
            }
        });
        for _ in 0..40 {
            fill(&mut world, &open, 20, 7);
            clean(log, NOW).unwrap();
            log.remove_deleted_segments(NOW).unwrap();
            dir.checkpoint().unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(before, copy, "a view keeps its bytes");
    world.verify(log);
    assert_eq!(names(&OsDisk, &path, ".deleted"), [""; 0]);
}

#[test]
fn reader_gets_behind_batches_without_records_in_one_step() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let open = create(&disk, &root(), compacted_config());
    let mut world = World::default();
    fill(&mut world, &open, 60, 1);
    clean(&open.1, NOW).unwrap();
    let log = &open.1;
    assert!(log.segment_count() > 2, "each segment keeps its last batch, and all but the newest are empty");
    let first_of = |upper_bound| {
        let read = log.read(Offset(0), upper_bound, 1 << 20, true).unwrap();
        BatchHeader::parse(&read.records).unwrap()
    };
    assert!(first_of(log.log_end_offset()).record_count > 0);
    let first_record = first_of(log.log_end_offset()).base_offset;
    let last_empty = first_of(first_record);
    assert_eq!(last_empty.record_count, 0);
    assert!(log.read(last_empty.next_offset(), first_record, 1 << 20, true).unwrap().records.is_empty());
}

#[test]
fn damaged_batch_ends_the_round_and_the_log_stays_as_it_is() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let open = create(&disk, &root(), compacted_config());
    let mut world = World::default();
    fill(&mut world, &open, 40, 7);
    let logs = names(&disk, &root(), ".log");
    let second = root().join("events-0").join(&logs[1]);
    disk.open(&second, Access::ReadWrite).unwrap().write_at(700, b"x").unwrap();
    let error = clean(&open.1, NOW).unwrap_err();
    assert!(matches!(error, CleanError::Unreadable { ref path, .. } if *path == second), "{error}");
    assert_eq!(names(&disk, &root(), ".log"), logs);
    assert_eq!(names(&disk, &root(), ".cleaned"), [""; 0]);
    assert!(!open.0.has_failed());
}

#[test]
fn full_disk_ends_the_round_and_a_later_one_succeeds() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let open = create(&disk, &root(), compacted_config());
    let mut world = World::default();
    fill(&mut world, &open, 40, 40);
    disk.fail(Operation::Write, 0, ErrorKind::StorageFull);
    let error = clean(&open.1, NOW).unwrap_err();
    assert!(matches!(error, CleanError::Write(ref error) if error.is_out_of_space()), "{error}");
    assert_eq!(names(&disk, &root(), ".cleaned"), [""; 0]);
    assert!(!open.0.has_failed());
    world.verify(&open.1);
    clean(&open.1, NOW).unwrap();
    world.verify(&open.1);
}

#[test]
fn failed_sync_takes_the_directory_offline() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let open = create(&disk, &root(), compacted_config());
    fill(&mut World::default(), &open, 40, 7);
    disk.fail(Operation::Sync, 0, ErrorKind::Other);
    assert!(matches!(clean(&open.1, NOW), Err(CleanError::Write(_))));
    assert!(open.0.has_failed());
}

#[test]
fn deleted_log_ends_the_round() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let open = create(&disk, &root(), compacted_config());
    fill(&mut World::default(), &open, 250, 200);
    let (dir, log) = &open;
    let cleanable = log.cleanable(log.log_end_offset(), NOW).unwrap().unwrap();
    let mut asked = 0;
    let mut pace = |_| {
        asked += 1;
        if asked == 2 {
            dir.delete_log(&partition(0)).unwrap();
        }
        ControlFlow::Continue(())
    };
    assert!(matches!(log.clean(&cleanable, &SETTINGS, NOW, &mut pace), Err(CleanError::Stopped)));
    assert!(!dir.has_failed());
    dir.remove_deleted().unwrap();
}

#[test]
fn only_what_is_stable_and_below_the_recovery_point_is_cleaned() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let open = create(&disk, &root(), compacted_config());
    let mut world = World::default();
    fill(&mut world, &open, 20, 7);
    let (dir, log) = &open;
    let end = |bound: Offset| log.cleanable(bound, NOW).unwrap().unwrap().first_uncleanable_offset;
    let all = end(log.log_end_offset());
    assert!(all > Offset(10) && all < Offset(20), "the active segment is left out: {all}");
    assert!(end(Offset(all.0 - 1)) < all, "segments are cleaned whole");
    for _ in 0..20 {
        let records = vec![(Some(1), Some(400))];
        world.send(log, &Send { producer_id: -1, codec: Codec::None, records });
    }
    dir.flush_round();
    assert!(end(log.log_end_offset()) <= Offset(20), "the recovery point has not moved");
    dir.checkpoint().unwrap();
    assert!(end(log.log_end_offset()) > Offset(20));
}

#[test]
fn topic_that_nobody_writes_to_is_compacted_once_its_lag_has_passed() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let config = TopicConfig { max_compaction_lag_ms: 5000, segment_bytes: 1 << 20, ..compacted_config() };
    let open = create(&disk, &root(), config);
    let mut world = World::default();
    fill(&mut world, &open, 20, 7);
    let (dir, log) = &open;
    let later = |ms| TimestampMs(NOW.0 + ms);
    assert!(!log.roll_overdue(later(5000), Offset(20)).unwrap());
    assert!(!log.roll_overdue(later(5001), Offset(19)).unwrap(), "not everything is replicated");
    assert!(log.roll_overdue(later(5001), Offset(20)).unwrap());
    assert!(!log.roll_overdue(later(9000), Offset(20)).unwrap(), "an empty segment waits for nothing");
    dir.checkpoint().unwrap();
    let cleanable = log.cleanable(Offset(20), later(5001)).unwrap().unwrap();
    assert!(cleanable.is_overdue && cleanable.is_worth_cleaning());
    clean(log, later(5001)).unwrap();
    world.verify(log);
    assert_eq!(read_all(log, Offset(0)).len(), 7);
}

#[test]
fn records_younger_than_the_least_lag_stay_whatever_came_after_them() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let config = TopicConfig { min_compaction_lag_ms: 5000, ..compacted_config() };
    let open = create(&disk, &root(), config.clone());
    let mut world = World::default();
    fill(&mut world, &open, 20, 4);
    world.now_ms = 4000;
    fill(&mut world, &open, 20, 4);
    let log = &open.1;
    let later = |ms| TimestampMs(NOW.0 + ms);
    let left = || read_all(log, Offset(0)).iter().map(|batch| batch.base_offset.0).collect::<Vec<_>>();
    assert_eq!(log.cleanable(Offset(40), later(4999)).unwrap().unwrap().dirty_bytes, 0);
    assert_eq!(left().len(), 40);
    clean(log, later(5001)).unwrap();
    world.verify(log);
    let halfway = left();
    assert!(halfway.len() < 36, "of the old ones go those that others took the place of: {halfway:?}");
    assert!((20..40).all(|young| halfway.contains(&young)), "{halfway:?}");
    // A topic may change its mind.
    log.set_config(Arc::new(TopicConfig { min_compaction_lag_ms: 0, ..config }));
    clean(log, later(5001)).unwrap();
    assert!(left().len() < halfway.len());
}

#[test]
fn how_far_compaction_came_survives_a_restart_and_not_the_topic() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let open = create(&disk, &root(), compacted_config());
    fill(&mut World::default(), &open, 40, 7);
    let (dir, log) = open;
    clean(&log, NOW).unwrap();
    let cleaned = log.cleaned_end_offset();
    assert!(cleaned.is_some());
    dir.clean_stop(BrokerEpoch(1)).unwrap();
    drop((dir, log));
    let (dir, loaded) = load(&disk, &root(), 1, &compacted()).unwrap();
    assert_eq!(loaded.logs[0].cleaned_end_offset(), cleaned);
    dir.delete_log(&partition(0)).unwrap();
    let log = dir.create_log(partition(0), topic_id(), compacted());
    fill(&mut World::default(), &(dir, log), 40, 7);
    drop(loaded);
    let disk = disk.crash();
    let (_dir, loaded) = load(&disk, &root(), 1, &compacted()).unwrap();
    assert_eq!(loaded.logs[0].cleaned_end_offset(), None, "this log was never cleaned");
}

#[test]
fn lost_recovery_points_do_not_cut_a_cleaned_log() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let open = create(&disk, &root(), compacted_config());
    let mut world = World::default();
    fill(&mut world, &open, 60, 7);
    let (dir, log) = open;
    clean(&log, NOW).unwrap();
    dir.checkpoint().unwrap();
    drop((dir, log));
    disk.remove_file(&root().join("recovery-point-offset-checkpoint")).unwrap();
    let (_dir, loaded) = load(&disk, &root(), 1, &compacted()).unwrap();
    assert_eq!((loaded.logs[0].log_end_offset(), loaded.damage), (Offset(60), Vec::new()));
    world.verify(&loaded.logs[0]);
}

#[test]
fn segments_that_kafka_compacted_need_not_meet() {
    for is_clean in [true, false] {
        let disk = SimulatedDisk::new(1, 1 << 30);
        let open = create(&disk, &root(), compacted_config());
        let mut world = World::default();
        fill(&mut world, &open, 60, 7);
        let (dir, log) = open;
        if is_clean {
            dir.clean_stop(BrokerEpoch(1)).unwrap();
        }
        drop((dir, log));
        // The last batches of the first segments go, as with Kafka when their keys are written again later; where the
        // stop was clean, no checkpoint tells that they were flushed.
        let logs = names(&disk, &root(), ".log");
        for name in logs.iter().take(logs.len() - 2) {
            let file = disk.open(&root().join("events-0").join(name), Access::ReadWrite).unwrap();
            let len = file.len().unwrap();
            let mut bytes = vec![0; len as usize];
            file.read_at(0, &mut bytes).unwrap();
            let first = check(&bytes).unwrap().size_in_bytes();
            file.set_len(first as u64).unwrap();
            for index in [".index", ".timeindex"] {
                disk.remove_file(&root().join("events-0").join(name.replace(".log", index))).unwrap();
            }
        }
        if is_clean {
            disk.remove_file(&root().join("recovery-point-offset-checkpoint")).unwrap();
        }
        let (dir, loaded) = load(&disk, &root(), 1, &compacted()).unwrap();
        let log = &loaded.logs[0];
        assert_eq!((log.log_end_offset(), &loaded.damage), (Offset(60), &Vec::new()), "clean: {is_clean}");
        world.verify(log);
        dir.checkpoint().unwrap();
        clean(log, NOW).unwrap();
        world.verify(log);
    }
}

#[test]
fn compacted_topic_with_delete_loses_old_segments_too() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let cleanup_policy = CleanupPolicy { compact: true, delete: true };
    let config = TopicConfig { cleanup_policy, retention_ms: 10_000, ..compacted_config() };
    let open = create(&disk, &root(), config);
    let mut world = World::default();
    fill(&mut world, &open, 40, 40);
    let (_dir, log) = &open;
    clean(log, NOW).unwrap();
    let segments = log.segment_count();
    assert_eq!(log.delete_old_segments(TimestampMs(NOW.0 + 9000), Offset(40)).unwrap(), 0);
    assert_eq!(log.delete_old_segments(TimestampMs(NOW.0 + 20_000), Offset(40)).unwrap(), segments);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(40), Offset(40)));
}

//! Appending, flushing, reading, rolling and reopening.

use std::sync::Arc;

use super::support::*;
use crate::disk::os::OsDisk;
use crate::disk::simulated::SimulatedDisk;
use crate::disk::{Disk, DiskFile};
use crate::error::{AppendError, ReadError};
use crate::ids::{BrokerEpoch, LeaderEpoch, Offset, TimestampMs};

#[test]
fn log_without_a_record_has_no_file() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
    log.begin_leader_epoch(EPOCH);
    let names: Vec<String> = disk.list(&root()).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, [".lock"]);
    assert!(log.read(Offset(0), Offset(0), 1000, true).unwrap().records.is_empty());
}

#[test]
fn append_is_readable_at_once_and_flushed_after_a_round() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, events) = open(&disk, &root());
    let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
    let appended = log.append_as_leader(batch(3, 100, NOW.0), EPOCH, NOW).unwrap();
    assert_eq!((appended.base_offset, appended.end_offset), (Offset(0), Offset(3)));
    assert_eq!((log.log_end_offset(), log.flushed_end_offset()), (Offset(3), Offset(0)));
    dir.flush_round();
    assert_eq!(log.flushed_end_offset(), Offset(3));
    assert_eq!(*events.flushed.lock(), 1);
    let headers = read_all(&log, Offset(0));
    assert_eq!(headers.len(), 1);
    assert_eq!(headers[0].partition_leader_epoch, EPOCH);
    assert_eq!(log.latest_epoch(), Some(EPOCH));
}

#[test]
fn read_gives_whole_batches_within_its_bounds() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
    for _ in 0..200 {
        log.append_as_leader(batch(5, 20, NOW.0), EPOCH, NOW).unwrap();
    }
    let size = batch(5, 20, NOW.0).bytes.len();
    let end = log.log_end_offset();
    let read = |from: i64, upper: i64, max, one| {
        let records = log.read(Offset(from), Offset(upper), max, one).unwrap().records;
        assert_eq!(records.len() % size, 0, "only whole batches");
        let first = (!records.is_empty()).then(|| crate::batch::check(&records).unwrap().base_offset.0);
        (first, records.len() / size)
    };
    assert_eq!(read(0, end.0, usize::MAX, false), (Some(0), 200));
    assert_eq!(
        read(502, end.0, usize::MAX, false),
        (Some(500), 100),
        "the batch that holds the offset comes first"
    );
    assert_eq!(read(502, 700, usize::MAX, false), (Some(500), 40));
    assert_eq!(read(502, 702, usize::MAX, false), (Some(500), 40), "no batch that reaches over the bound");
    assert_eq!(read(502, end.0, size * 7 + 1, false), (Some(500), 7));
    assert_eq!(read(502, end.0, size * 61 - 1, false), (Some(500), 60));
    assert_eq!(read(502, end.0, 1, true), (Some(500), 1));
    assert_eq!(read(502, end.0, 1, false), (None, 0));
    assert_eq!(read(end.0, end.0, 1000, true), (None, 0));
    assert!(matches!(log.read(Offset(1001), end, 10, true), Err(ReadError::OutOfRange { .. })));
    assert!(matches!(log.read(Offset(-1), end, 10, true), Err(ReadError::OutOfRange { .. })));
}

#[test]
fn duplicate_answers_as_its_original_and_is_not_appended() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
    let first = log.append_as_leader(idempotent(9, 0, 2, b"a"), EPOCH, NOW).unwrap();
    let again = log.append_as_leader(idempotent(9, 0, 2, b"a"), EPOCH, NOW).unwrap();
    assert!(again.is_duplicate);
    assert_eq!((again.base_offset, again.end_offset), (first.base_offset, first.end_offset));
    assert_eq!(log.log_end_offset(), Offset(2));
    let gap = log.append_as_leader(idempotent(9, 5, 1, b"b"), EPOCH, NOW);
    assert!(matches!(gap, Err(AppendError::Producer(_))));
    assert_eq!(log.log_end_offset(), Offset(2));
}

#[test]
fn append_of_an_older_leader_epoch_is_refused() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
    log.begin_leader_epoch(LeaderEpoch(5));
    let stale = log.append_as_leader(batch(1, 1, NOW.0), LeaderEpoch(4), NOW);
    assert!(matches!(stale, Err(AppendError::StaleLeaderEpoch { .. })));
}

#[test]
fn segments_roll_by_size_and_by_time() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let by_size = dir.create_log(partition(0), topic_id(), config(10_000));
    for _ in 0..50 {
        by_size.append_as_leader(batch(1, 1000, NOW.0), EPOCH, NOW).unwrap();
    }
    assert!(by_size.segment_count() > 5);
    assert_eq!(read_all(&by_size, Offset(0)).len(), 50);
    let by_time = dir.create_log(partition(1), topic_id(), {
        Arc::new(config::topic::TopicConfig { segment_ms: 1000, ..config::topic::TopicConfig::default() })
    });
    for step in [0, 1000, 1001, 2001, 2002] {
        by_time.append_as_leader(batch(1, 1, NOW.0 + step), EPOCH, NOW).unwrap();
    }
    assert_eq!(by_time.segment_count(), 3);
    by_time.append_as_leader(batch(1, 1, NOW.0 + 2003), EPOCH, NOW).unwrap();
    assert_eq!(by_time.segment_count(), 3);
    dir.flush_round();
    assert_eq!(by_size.flushed_end_offset(), Offset(50));
}

#[test]
fn segments_of_different_partitions_do_not_all_end_at_once() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let config = Arc::new(config::topic::TopicConfig {
        segment_ms: 1000,
        segment_jitter_ms: 1000,
        ..config::topic::TopicConfig::default()
    });
    let ended_after = (0..8).map(|index| {
        let log = dir.create_log(partition(index), topic_id(), Arc::clone(&config));
        let append = |step: i64| log.append_as_leader(batch(1, 1, NOW.0 + step), EPOCH, NOW).unwrap();
        append(0);
        (1..=1001).find(|step| {
            append(*step);
            log.segment_count() == 2
        })
    });
    let ended_after: std::collections::BTreeSet<_> = ended_after.collect();
    assert!(!ended_after.contains(&None), "segment.ms is the longest");
    assert!(ended_after.len() > 4, "{ended_after:?}");
}

#[test]
fn a_segment_ends_when_its_index_is_full() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let config = Arc::new(config::topic::TopicConfig {
        index_interval_bytes: 0,
        segment_index_bytes: 80,
        ..config::topic::TopicConfig::default()
    });
    let log = dir.create_log(partition(0), topic_id(), config);
    for _ in 0..40 {
        log.append_as_leader(batch(1, 10, NOW.0), EPOCH, NOW).unwrap();
    }
    assert!(log.segment_count() >= 3, "ten entries of 8 bytes fit into each: {}", log.segment_count());
}

#[test]
fn timestamps_are_found_down_to_the_record() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let log = dir.create_log(partition(0), topic_id(), config(5_000));
    for step in 0..100 {
        log.append_as_leader(batch(10, 10, NOW.0 + step * 100), EPOCH, NOW).unwrap();
    }
    assert!(log.segment_count() > 2);
    let end = log.log_end_offset();
    let find = |step: i64| {
        log.offset_for_timestamp(TimestampMs(NOW.0 + step), end).unwrap().map(|found| found.offset.0)
    };
    assert_eq!(find(-1), Some(0));
    assert_eq!(find(0), Some(0));
    assert_eq!(find(5003), Some(503));
    assert_eq!(find(5010), Some(510));
    assert_eq!(find(9909), Some(999));
    assert_eq!(find(9910), None);
    assert_eq!(log.offset_of_max_timestamp(end).unwrap().unwrap().offset, Offset(999));
    assert_eq!(log.offset_of_max_timestamp(Offset(500)).unwrap().unwrap().offset, Offset(499));
    assert_eq!(log.offset_for_timestamp(TimestampMs(NOW.0 + 5003), Offset(503)).unwrap(), None);
}

#[test]
fn real_directory_reopens_after_a_clean_stop_and_after_none() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("data");
    let config = config(20_000);
    let (dir, _) = open(&OsDisk, &path);
    let log = dir.create_log(partition(0), topic_id(), Arc::clone(&config));
    for sequence in 0..100 {
        log.append_as_leader(idempotent(9, sequence, 1, &[b'x'; 1000]), EPOCH, NOW).unwrap();
    }
    dir.flush_round();
    dir.checkpoint().unwrap();
    for sequence in 100..150 {
        log.append_as_leader(idempotent(9, sequence, 1, &[b'x'; 1000]), EPOCH, NOW).unwrap();
    }
    dir.flush_round();
    let view = log.read(Offset(0), Offset(150), usize::MAX, true).unwrap().records;
    let before = view.to_vec();
    drop((dir, log));

    // Without a clean stop.
    let (dir, loaded) = load(&OsDisk, &path, 1, &config).unwrap();
    let log = &loaded.logs[0];
    assert_eq!((loaded.clean_stop, loaded.damage.len()), (None, 0));
    assert_eq!((log.log_end_offset(), log.flushed_end_offset()), (Offset(150), Offset(150)));
    assert_eq!(read_all(log, Offset(0)).len(), 150);
    assert!(log.append_as_leader(idempotent(9, 149, 1, &[b'x'; 1000]), EPOCH, NOW).unwrap().is_duplicate);
    assert!(!log.append_as_leader(idempotent(9, 150, 1, b"y"), EPOCH, NOW).unwrap().is_duplicate);
    assert_eq!(view, before, "a view outlives the log that it came from");
    dir.clean_stop(BrokerEpoch(17)).unwrap();
    assert!(matches!(log.append_as_leader(batch(1, 1, NOW.0), EPOCH, NOW), Err(AppendError::Offline(_))));
    drop((dir, loaded));

    // After a clean stop.
    let (_dir, loaded) = load(&OsDisk, &path, 1, &config).unwrap();
    let log = &loaded.logs[0];
    assert_eq!(loaded.clean_stop, Some(BrokerEpoch(17)));
    assert_eq!(log.log_end_offset(), Offset(151));
    assert_eq!(read_all(log, Offset(0)).len(), 151);
    assert!(log.append_as_leader(idempotent(9, 150, 1, b"y"), EPOCH, NOW).unwrap().is_duplicate);
    let last = OsDisk.list(&path.join("events-0")).unwrap();
    let last = last.iter().rfind(|entry| entry.name.ends_with(".log")).unwrap();
    let file = OsDisk.open(&path.join("events-0").join(&last.name), crate::disk::Access::Read).unwrap();
    assert!(file.len().unwrap() < 20_000, "a clean stop cuts the file to its end");
}

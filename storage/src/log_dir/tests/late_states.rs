//! A checkpoint may leave the states of logs for later, and is asked for when much was flushed.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use super::support::*;
use crate::disk::simulated::{Operation, SimulatedDisk};
use crate::disk::{Access, Disk, DiskFile};
use crate::ids::{BrokerEpoch, LeaderEpoch, Offset, TimestampMs};
use crate::inspection::recovery_points;
use crate::log::Log;
use crate::log_dir::{LogDir, LogDirSettings};

const SEGMENT_BYTES: i32 = 100_000;

type Open = (LogDir<SimulatedDisk>, Vec<Arc<Log<SimulatedDisk>>>);

fn start(disk: &SimulatedDisk, count: i32) -> Open {
    let (dir, loaded) =
        load_with(lazy_settings(), disk, &root(), count, &config(SEGMENT_BYTES)).expect("it opens");
    assert_eq!(loaded.damage, []);
    (dir, loaded.logs)
}

/// Each log with one batch and a written state.
fn with_states(disk: &SimulatedDisk, count: i32) -> Open {
    let (dir, logs) = start(disk, count);
    logs.iter().for_each(|log| send(log, 0, 100));
    dir.checkpoint().unwrap();
    (dir, logs)
}

/// Appends the batch of a producer that starts at `sequence`, of two records.
fn send(log: &Arc<Log<SimulatedDisk>>, sequence: i32, value_bytes: usize) {
    let batch = idempotent(9, sequence, 2, &vec![b'x'; value_bytes]);
    assert!(!log.append_as_leader(batch, EPOCH, NOW).unwrap().is_duplicate);
}

/// The offsets of the producers' snapshots of a partition.
fn snapshots(disk: &SimulatedDisk, index: i32) -> Vec<i64> {
    let entries = disk.list(&root().join(partition(index).to_string())).unwrap();
    let names = entries.iter().filter_map(|entry| entry.name.strip_suffix(".snapshot"));
    let mut offsets: Vec<i64> = names.map(|name| name.parse().unwrap()).collect();
    offsets.sort_unstable();
    offsets
}

fn recovery_point(disk: &SimulatedDisk, index: i32) -> Offset {
    recovery_points(disk, &root()).unwrap()[&partition(index)]
}

fn segment(index: i32) -> PathBuf {
    root().join(partition(index).to_string()).join("00000000000000000000.log")
}

// 1. A checkpoint writes a first state; 2. more records are flushed, and a checkpoint leaves the state as it is; 3. the
// power goes.
#[test]
fn start_takes_what_lies_behind_the_written_state_without_writing_it_once_more() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, logs) = with_states(&disk, 1);
    (1..4).for_each(|index| send(&logs[0], index * 2, 200));
    dir.flush_round();
    dir.checkpoint().unwrap();
    assert_eq!((snapshots(&disk, 0), recovery_point(&disk, 0)), (vec![2], Offset(8)));
    drop((dir, logs));
    let unwritable = disk.crash();
    unwritable.fail(Operation::Write, 0, ErrorKind::Other);
    drop(start(&unwritable, 1));
    let disk = disk.crash();
    let (dir, logs) = start(&disk, 1);
    let log = &logs[0];
    assert_eq!((log.log_end_offset(), read_all(log, Offset(0)).len()), (Offset(8), 4));
    let again = idempotent(9, 6, 2, &[b'x'; 200]);
    assert!(log.append_as_leader(again, EPOCH, NOW).unwrap().is_duplicate, "the producer goes on");
    let found = log.offset_for_timestamp(TimestampMs(NOW.0 + 1), Offset(8)).unwrap();
    assert_eq!(found.map(|found| found.offset), Some(Offset(1)));
    dir.checkpoint().unwrap();
    assert_eq!(snapshots(&disk, 0), [8], "the first checkpoint after a start leaves nothing for later");
}

#[test]
fn states_with_the_most_behind_them_are_written_first_and_only_as_many_as_must() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, logs) = with_states(&disk, 4);
    for (log, value_bytes) in logs.iter().zip([50, 600, 900, 100]) {
        send(log, 2, value_bytes);
    }
    dir.flush_round();
    dir.checkpoint().unwrap();
    let written: Vec<_> = (0..4).map(|index| snapshots(&disk, index)).collect();
    assert_eq!(written, [[2], [4], [4], [2]], "3,700 bytes are too many, 500 are not");
    assert!((0..4).all(|index| recovery_point(&disk, index) == Offset(4)));
}

#[test]
fn state_is_written_where_the_log_has_rolled_or_has_another_leader() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, logs) = with_states(&disk, 2);
    logs[0].delete_old_segments(TimestampMs(i64::MAX), Offset(2)).unwrap();
    send(&logs[0], 2, 100);
    logs[1].begin_leader_epoch(LeaderEpoch(EPOCH.0 + 1));
    let batch = idempotent(9, 2, 2, b"x");
    logs[1].append_as_leader(batch, LeaderEpoch(EPOCH.0 + 1), NOW).unwrap();
    dir.checkpoint().unwrap();
    assert_eq!(snapshots(&disk, 0).last(), Some(&4));
    assert_eq!(snapshots(&disk, 1), [4]);
}

#[test]
fn log_that_has_rolled_at_its_end_gets_its_state() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, logs) = start(&disk, 1);
    send(&logs[0], 0, 100);
    dir.flush_round();
    logs[0].delete_old_segments(TimestampMs(i64::MAX), Offset(2)).unwrap();
    dir.checkpoint().unwrap();
    assert_eq!(snapshots(&disk, 0), [2]);
}

#[test]
fn clean_stop_leaves_no_state_unwritten() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, logs) = with_states(&disk, 1);
    send(&logs[0], 2, 100);
    dir.checkpoint().unwrap();
    assert_eq!(snapshots(&disk, 0), [2]);
    dir.clean_stop(BrokerEpoch(1)).unwrap();
    assert_eq!(snapshots(&disk, 0), [4]);
}

#[test]
fn damage_behind_the_written_state_hides_nothing_behind_it() {
    // The header of the second batch, and the records of it.
    for damaged_byte in [20, 100] {
        let disk = SimulatedDisk::new(1, 1 << 30);
        let (dir, logs) = with_states(&disk, 1);
        let first_bytes = logs[0].size_in_bytes();
        (1..4).for_each(|index| send(&logs[0], index * 2, 200));
        dir.flush_round();
        dir.checkpoint().unwrap();
        send(&logs[0], 8, 100);
        dir.flush_round();
        drop((dir, logs));
        let file = disk.open(&segment(0), Access::ReadWrite).unwrap();
        file.write_at(first_bytes + damaged_byte, b"damage").unwrap();
        let (_dir, loaded) = load_with(lazy_settings(), &disk, &root(), 1, &config(SEGMENT_BYTES)).unwrap();
        assert_eq!(loaded.damage.len(), 1, "{:?}", loaded.damage);
        let log = &loaded.logs[0];
        assert_eq!(log.log_end_offset(), Offset(10), "the records behind the damage are there");
    }
}

#[test]
fn checkpoint_is_asked_for_once_when_enough_was_flushed() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let settings = LogDirSettings { checkpoint_bytes: 2500, ..lazy_settings() };
    let events = Arc::new(Events::default());
    let dir = LogDir::open(disk, &root(), settings, Arc::clone(&events) as _).unwrap();
    let log = dir.create_log(partition(0), topic_id(), config(SEGMENT_BYTES));
    let asked = |index: i32| {
        send(&log, index * 2, 500);
        dir.flush_round();
        *events.checkpoints_due.lock()
    };
    assert_eq!([0, 1, 2, 3].map(asked), [0, 0, 1, 1], "each batch has more than 1,000 bytes");
    dir.checkpoint_early().unwrap();
    assert_eq!([4, 5, 6].map(asked), [1, 1, 2]);
}

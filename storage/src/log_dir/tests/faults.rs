//! Full and failing disks, and damage to every kind of file.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use super::support::*;
use crate::disk::simulated::{Operation, SimulatedDisk};
use crate::disk::{Access, Disk, DiskFile};
use crate::error::{AppendError, OpenError, ReadError};
use crate::ids::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, TopicId};
use crate::log_dir::LogDir;
use crate::segment::offset_of_file_name;

fn partition_path(name: &str) -> PathBuf {
    root().join("events-0").join(name)
}

/// A log of 100 batches of two records by one producer, in several segments, with checkpoints; then the process ends.
fn written() -> SimulatedDisk {
    let disk = SimulatedDisk::new(5, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let log = dir.create_log(partition(0), topic_id(), config(20_000));
    for index in 0..100 {
        let batch = idempotent(9, index * 2, 2, &[b'x'; 500]);
        log.append_as_leader(batch, LeaderEpoch(index / 40), NOW).unwrap();
        if index % 30 == 0 {
            dir.checkpoint().unwrap();
        }
    }
    dir.checkpoint().unwrap();
    for index in 100..104 {
        log.append_as_leader(idempotent(9, index * 2, 2, &[b'x'; 500]), LeaderEpoch(2), NOW).unwrap();
    }
    dir.flush_round();
    assert!(log.segment_count() > 4);
    disk
}

/// Opens the log, and checks that all of it is there and that the producer goes on.
fn check_whole(disk: &SimulatedDisk) -> LogDir<SimulatedDisk> {
    let (dir, loaded) = load(disk, &root(), 1, &config(20_000)).unwrap();
    let log = &loaded.logs[0];
    assert_eq!(loaded.damage, []);
    assert_eq!(log.log_end_offset(), Offset(208));
    assert_eq!(read_all(log, Offset(0)).len(), 104);
    assert_eq!(read_all(log, Offset(51)).len(), 79);
    let epochs: Vec<_> =
        [0, 79, 80, 159, 160, 207].map(|offset| log.epoch_of_offset(Offset(offset)).unwrap().0).into();
    assert_eq!(epochs, [0, 0, 1, 1, 2, 2]);
    let last = idempotent(9, 206, 2, &[b'x'; 500]);
    assert!(log.append_as_leader(last, LeaderEpoch(2), NOW).unwrap().is_duplicate);
    dir
}

fn files(disk: &SimulatedDisk, suffix: &str) -> Vec<PathBuf> {
    let entries = disk.list(&root().join("events-0")).unwrap();
    entries
        .iter()
        .filter(|entry| entry.name.ends_with(suffix))
        .map(|entry| partition_path(&entry.name))
        .collect()
}

fn overwrite(disk: &SimulatedDisk, path: &std::path::Path, position: u64, bytes: &[u8]) {
    disk.open(path, Access::ReadWrite).unwrap().write_at(position, bytes).unwrap();
}

#[test]
fn missing_indexes_and_snapshots_are_rebuilt() {
    for suffix in [".index", ".timeindex", ".snapshot", "leader-epoch-checkpoint", "partition.metadata"] {
        let disk = written();
        let found = files(&disk, suffix);
        assert!(!found.is_empty(), "{suffix}");
        found.iter().for_each(|path| disk.remove_file(path).unwrap());
        let dir = check_whole(&disk);
        dir.clean_stop(BrokerEpoch(1)).unwrap();
        assert!(!files(&disk, suffix).is_empty(), "{suffix} is there again");
    }
}

#[test]
fn damaged_indexes_and_snapshots_are_repaired() {
    for suffix in [".index", ".timeindex", ".snapshot", "leader-epoch-checkpoint"] {
        for damage in [vec![0; 400], vec![0xFF; 400], b"rubbish".to_vec()] {
            let disk = written();
            files(&disk, suffix).iter().for_each(|path| overwrite(&disk, path, 0, &damage));
            drop(check_whole(&disk));
        }
    }
}

#[test]
fn damaged_checkpoints_of_the_directory_cost_a_longer_start_only() {
    for damage in [&b""[..], b"1\n", b"0\n7\nevents 0 100\n"] {
        let disk = written();
        let path = root().join("recovery-point-offset-checkpoint");
        disk.create(&path).unwrap().write_at(0, damage).unwrap();
        drop(check_whole(&disk));
    }
}

#[test]
fn damage_past_the_recovery_point_ends_the_log_there() {
    let disk = written();
    let last = files(&disk, ".log").pop().unwrap();
    let len = disk.open(&last, Access::Read).unwrap().len().unwrap();
    let mut content = vec![0; len as usize];
    disk.open(&last, Access::Read).unwrap().read_at(0, &mut content).unwrap();
    let end = content.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    overwrite(&disk, &last, end - 200, b"damage");
    let (_dir, loaded) = load(&disk, &root(), 1, &config(20_000)).unwrap();
    assert_eq!(loaded.damage, []);
    assert_eq!(loaded.logs[0].log_end_offset(), Offset(206), "the last batch is gone");
    assert_eq!(read_all(&loaded.logs[0], Offset(0)).len(), 103);
}

#[test]
fn damage_below_the_recovery_point_is_reported_and_not_cut() {
    let disk = written();
    let last = files(&disk, ".log").pop().unwrap();
    overwrite(&disk, &last, 0, &[0xAB; 300]);
    let indexes = files(&disk, ".index");
    disk.remove_file(indexes.last().unwrap()).unwrap();
    let len = disk.open(&last, Access::Read).unwrap().len().unwrap();
    let (dir, loaded) = load(&disk, &root(), 1, &config(20_000)).unwrap();
    let log = &loaded.logs[0];
    assert_eq!(loaded.damage.len(), 1);
    assert_eq!(loaded.damage[0].path, last);
    assert_eq!(log.log_end_offset(), Offset(208), "what stands behind the damage is there");
    let base = offset_of_file_name(last.file_name().unwrap().to_str().unwrap(), ".log").unwrap();
    assert!(matches!(log.read(base, log.log_end_offset(), 1, true), Err(ReadError::Corrupt { .. })));
    let appended = log.append_as_leader(batch(1, 10, NOW.0), LeaderEpoch(9), NOW).unwrap();
    assert_eq!(read_all(log, appended.base_offset).len(), 1);
    dir.flush_round();
    assert_eq!(
        disk.open(&last, Access::Read).unwrap().len().unwrap(),
        len,
        "the damaged file keeps its bytes"
    );
}

#[test]
fn damage_below_the_recovery_point_hides_nothing_behind_it() {
    let disk = written();
    // The scan begins at the last entry of the index below the recovery point; damage that very batch's records.
    let last = files(&disk, ".log").pop().unwrap();
    let index = files(&disk, ".index").pop().unwrap();
    let mut entries = vec![0; disk.open(&index, Access::Read).unwrap().len().unwrap() as usize];
    disk.open(&index, Access::Read).unwrap().read_at(0, &mut entries).unwrap();
    let position = u32::from_be_bytes(entries[4..8].try_into().unwrap());
    disk.open(&index, Access::ReadWrite).unwrap().set_len(8).unwrap();
    overwrite(&disk, &last, u64::from(position) + 100, b"damage");
    let (_dir, loaded) = load(&disk, &root(), 1, &config(20_000)).unwrap();
    assert_eq!(loaded.damage.len(), 1, "{:?}", loaded.damage);
    assert!(loaded.logs[0].log_end_offset() >= Offset(200));
}

#[test]
fn sealed_segment_that_was_cut_is_reported() {
    let disk = written();
    let logs = files(&disk, ".log");
    disk.open(&logs[1], Access::ReadWrite).unwrap().set_len(700).unwrap();
    let (_dir, loaded) = load(&disk, &root(), 1, &config(20_000)).unwrap();
    assert_eq!(loaded.damage.len(), 1);
    assert_eq!(loaded.damage[0].path, logs[1]);
    assert_eq!(loaded.logs[0].log_end_offset(), Offset(208));
}

#[test]
fn full_disk_refuses_appends_and_takes_them_again_when_there_is_space() {
    let disk = SimulatedDisk::new(1, 300_000);
    let (dir, events) = open(&disk, &root());
    let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
    let mut appended = 0;
    let refused = loop {
        match log.append_as_leader(batch(1, 20_000, NOW.0), EPOCH, NOW) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::DiskFull(_)));
    assert!(appended >= 13, "the last bytes are used: {appended}");
    assert_eq!(log.log_end_offset(), Offset(appended));
    dir.flush_round();
    assert_eq!(log.flushed_end_offset(), Offset(appended));
    assert_eq!(read_all(&log, Offset(0)).len(), appended as usize);
    disk.set_capacity(10_000_000);
    log.append_as_leader(batch(1, 20_000, NOW.0), EPOCH, NOW).unwrap();
    dir.flush_round();
    assert_eq!(log.flushed_end_offset(), Offset(appended + 1));
    assert!(events.failures.lock().is_empty());
}

#[test]
fn full_disk_at_the_first_record_leaves_a_log_that_works_later() {
    for capacity in [0, 60, 5000] {
        let disk = SimulatedDisk::new(1, capacity);
        let (dir, _) = open(&disk, &root());
        let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
        let refused = log.append_as_leader(batch(1, 20_000, NOW.0), EPOCH, NOW);
        assert!(matches!(refused, Err(AppendError::DiskFull(_))), "{refused:?}");
        disk.set_capacity(10_000_000);
        log.append_as_leader(batch(1, 20_000, NOW.0), EPOCH, NOW).unwrap();
        dir.flush_round();
        let (_dir, loaded) = load(&disk.crash(), &root(), 1, &config(1 << 20)).unwrap();
        assert_eq!(loaded.logs[0].log_end_offset(), Offset(1));
    }
}

#[test]
fn free_space_floor_refuses_appends_until_there_is_space() {
    let disk = SimulatedDisk::new(1, 1 << 20);
    let mut settings = settings();
    settings.free_space_floor_bytes = 1 << 19;
    let dir = LogDir::open(disk.clone(), &root(), settings, Arc::new(Events::default())).unwrap();
    let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
    log.append_as_leader(idempotent(9, 0, 1, b"x"), EPOCH, NOW).unwrap();
    disk.set_capacity(1 << 18);
    dir.look_at_disk();
    assert!(matches!(log.append_as_leader(batch(1, 1, NOW.0), EPOCH, NOW), Err(AppendError::DiskFull(_))));
    assert!(log.append_as_leader(idempotent(9, 0, 1, b"x"), EPOCH, NOW).unwrap().is_duplicate, "it is there");
    assert_eq!(read_all(&log, Offset(0)).len(), 1);
    disk.set_capacity(1 << 20);
    dir.look_at_disk();
    log.append_as_leader(batch(1, 1, NOW.0), EPOCH, NOW).unwrap();
}

#[test]
fn failed_sync_takes_the_directory_offline_and_is_never_retried() {
    for after in 0..4 {
        let disk = SimulatedDisk::new(1, 1 << 30);
        let (dir, events) = open(&disk, &root());
        let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
        log.append_as_leader(batch(1, 100, NOW.0), EPOCH, NOW).unwrap();
        disk.fail(Operation::Sync, after, ErrorKind::Other);
        dir.flush_round();
        let syncs = disk.sync_points();
        assert_eq!(log.flushed_end_offset(), Offset(0), "the {after}th sync of the first round counts");
        assert_eq!(events.failures.lock().len(), 1);
        dir.flush_round();
        assert!(dir.checkpoint().is_err());
        assert_eq!((disk.sync_points(), log.flushed_end_offset()), (syncs, Offset(0)));
        assert!(matches!(log.append_as_leader(batch(1, 1, NOW.0), EPOCH, NOW), Err(AppendError::Offline(_))));
        assert!(dir.has_failed());
        assert_eq!(read_all(&log, Offset(0)).len(), 1, "reads go on");
        assert_eq!(events.failures.lock().len(), 1, "told once");
    }
}

#[test]
fn failed_write_takes_the_directory_offline_and_changes_nothing() {
    for operation in [Operation::Write, Operation::Allocate] {
        let disk = SimulatedDisk::new(1, 1 << 30);
        let (dir, events) = open(&disk, &root());
        let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
        log.append_as_leader(idempotent(9, 0, 1, b"x"), EPOCH, NOW).unwrap();
        disk.fail(operation, 0, ErrorKind::Other);
        let failed = log.append_as_leader(idempotent(9, 1, 1, &[b'y'; 200_000]), EPOCH, NOW);
        assert!(matches!(failed, Err(AppendError::Disk(_))), "{failed:?}");
        assert_eq!(log.log_end_offset(), Offset(1));
        assert_eq!(log.producers()[0].state.last_sequence().0, 0);
        assert_eq!(events.failures.lock().len(), 1);
    }
}

#[test]
fn second_process_and_foreign_directories_are_refused() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    assert!(matches!(try_open(&disk, &root()), Err(OpenError::Locked { .. })));
    let written = dir.write_meta_properties("one", BrokerId(1)).unwrap();
    drop(dir);
    let (dir, _) = open(&disk, &root());
    assert_eq!(dir.meta_properties(), Some(written));
    let foreign = dir.write_meta_properties("two", BrokerId(1)).unwrap_err();
    assert_eq!(
        foreign.to_string(),
        "/data belongs to cluster.id one, not to two: give this node its own directory (log.dirs)"
    );
    assert!(matches!(dir.write_meta_properties("one", BrokerId(2)), Err(OpenError::Foreign { .. })));
    drop(dir);
    let meta = root().join("meta.properties");
    let write = |text: &str| disk.create(&meta).unwrap().write_at(0, text.as_bytes()).unwrap();
    let id = "AAAAAAAAAAAAAAAAAAAAAQ";
    write(&format!("version=1\ncluster.id=a\nnode.id=1\ndirectory.id={id}\n"));
    assert!(matches!(try_open(&disk, &root()), Err(OpenError::FormattedByKafka { .. })));
    write(&format!("version=1\ncluster.id=a\nnode.id=1\ndirectory.id={id}\nottla.format=2\n"));
    assert!(matches!(try_open(&disk, &root()), Err(OpenError::NewerFormat { .. })));
    write("version=1\nottla.format=1\n");
    assert!(matches!(try_open(&disk, &root()), Err(OpenError::BadMetaProperties { .. })));
}

#[test]
fn unknown_partitions_and_other_lives_of_a_topic_are_set_aside() {
    let disk = written();
    let (dir, _) = open(&disk, &root());
    let other_life = TopicId::from_bytes([8; 16]);
    let loaded = dir.load(vec![(partition(0), other_life, config(20_000))], NOW).unwrap();
    assert_eq!(loaded.strays.len(), 1);
    assert_eq!(loaded.logs[0].log_end_offset(), Offset(0));
    let names: Vec<String> = disk.list(&root()).unwrap().into_iter().map(|entry| entry.name).collect();
    assert!(names.iter().any(|name| name.starts_with("events-0.") && name.ends_with("-stray")), "{names:?}");
}

#[test]
fn deleted_log_is_gone_and_its_views_stay() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
    log.append_as_leader(batch(1, 100, NOW.0), EPOCH, NOW).unwrap();
    let view = log.read(Offset(0), Offset(1), 1000, true).unwrap().records;
    dir.delete_log(&partition(0)).unwrap();
    assert!(matches!(log.append_as_leader(batch(1, 1, NOW.0), EPOCH, NOW), Err(AppendError::Deleted(_))));
    dir.flush_round();
    dir.checkpoint().unwrap();
    dir.remove_deleted().unwrap();
    assert!(disk.list(&root()).unwrap().iter().all(|entry| !entry.name.starts_with("events")));
    crate::batch::check(&view).unwrap();
    assert!(dir.log(&partition(0)).is_none());
    assert!(!dir.has_failed());
}

/// How often the disk is waited for while the logs of so many partitions go.
fn syncs_of_deleting(count: i32) -> u64 {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let partitions: Vec<_> = (0..count).map(partition).collect();
    for partition in &partitions {
        let log = dir.create_log(partition.clone(), topic_id(), config(1 << 20));
        log.append_as_leader(batch(1, 100, NOW.0), EPOCH, NOW).unwrap();
    }
    dir.checkpoint().unwrap();
    let before = disk.sync_points();
    dir.delete_logs(&partitions).unwrap();
    let syncs = disk.sync_points() - before;
    let left = disk.crash().list(&root()).unwrap();
    assert!(left.iter().all(|entry| !entry.is_directory || entry.name.ends_with("-delete")), "{left:?}");
    syncs
}

#[test]
fn logs_that_go_together_wait_for_the_disk_as_often_as_one() {
    assert_eq!(syncs_of_deleting(8), syncs_of_deleting(1));
}

/// A log of ten records of which a checkpoint says that all were flushed, and that it starts at the fifth.
fn checkpointed_log(dir: &LogDir<SimulatedDisk>) {
    let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
    for _ in 0..10 {
        log.append_as_leader(batch(1, 100, NOW.0), EPOCH, NOW).unwrap();
    }
    log.advance_log_start_offset(Offset(5));
    dir.checkpoint().unwrap();
}

/// Another life of that topic, after a crash: two records, and nothing of the first life.
fn assert_is_recovered_for_itself(disk: &SimulatedDisk, topic_id: TopicId) {
    let (dir, _) = open(disk, &root());
    let wanted = vec![(partition(0), topic_id, config(1 << 20))];
    let loaded = dir.load(wanted, NOW).unwrap();
    assert_eq!(loaded.damage, []);
    let log = &loaded.logs[0];
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(0), Offset(2)));
}

#[test]
fn log_of_the_name_of_a_deleted_one_is_recovered_for_itself() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    checkpointed_log(&dir);
    dir.delete_log(&partition(0)).unwrap();
    let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
    log.append_as_leader(batch(2, 100, NOW.0), EPOCH, NOW).unwrap();
    dir.flush_round();
    assert_is_recovered_for_itself(&disk.crash(), topic_id());
}

#[test]
fn log_of_the_name_of_a_stray_one_is_recovered_for_itself() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    checkpointed_log(&dir);
    drop(dir);
    let other = TopicId::from_bytes([8; 16]);
    let (dir, _) = open(&disk, &root());
    let loaded = dir.load(vec![(partition(0), other, config(1 << 20))], NOW).unwrap();
    assert_eq!(loaded.strays.len(), 1);
    loaded.logs[0].append_as_leader(batch(2, 100, NOW.0), EPOCH, NOW).unwrap();
    dir.flush_round();
    assert_is_recovered_for_itself(&disk.crash(), other);
}

#[test]
fn partitions_in_a_directory_that_does_not_say_whose_it_is_are_refused() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    dir.check_unclaimed_is_empty().unwrap();
    for other in ["metadata", "a-b", "events-2.0f1e-stray"] {
        disk.create_dir(&root().join(other)).unwrap();
    }
    dir.check_unclaimed_is_empty().unwrap();
    disk.create_dir(&root().join("events-0")).unwrap();
    let refused = dir.check_unclaimed_is_empty().unwrap_err();
    assert!(matches!(&refused, OpenError::Unclaimed { found, .. } if found == "events-0"), "{refused}");
    dir.write_meta_properties("one", BrokerId(1)).unwrap();
    dir.check_unclaimed_is_empty().unwrap();
}

#[test]
fn directory_that_vanishes_has_failed_and_takes_no_more_appends() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, events) = open(&disk, &root());
    let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
    log.append_as_leader(batch(1, 1, NOW.0), EPOCH, NOW).unwrap();
    dir.look_at_disk();
    assert!(events.failures.lock().is_empty());
    disk.remove_file(&root().join(".lock")).unwrap();
    dir.look_at_disk();
    assert_eq!(events.failures.lock().len(), 1);
    assert!(log.append_as_leader(batch(1, 1, NOW.0), EPOCH, NOW).is_err());
}

#[test]
fn directories_of_others_are_not_taken_for_deleted_logs() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let kept = ["to-delete", "notes.2026-delete"];
    for name in kept.into_iter().chain(["events-2.0f1e-delete"]) {
        disk.create_dir(&root().join(name)).unwrap();
    }
    dir.remove_deleted().unwrap();
    let left = disk.list(&root()).unwrap();
    let left: Vec<&str> =
        left.iter().filter(|entry| entry.is_directory).map(|entry| entry.name.as_str()).collect();
    assert_eq!(left, ["notes.2026-delete", "to-delete"]);
}

//! Directories that Apache Kafka wrote, retention, and the flusher's own thread.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::topic::TopicConfig;

use super::support::*;
use crate::batch::BatchHeader;
use crate::disk::os::OsDisk;
use crate::disk::simulated::SimulatedDisk;
use crate::disk::{Disk, DiskFile};
use crate::ids::{BrokerEpoch, LeaderEpoch, Offset, TimestampMs};
use crate::log_dir::{FlushDriver, LogDir, LogDirEvents, LogDirSettings};

fn put(disk: &SimulatedDisk, path: &Path, content: &[u8]) {
    disk.create(path).unwrap().write_at(0, content).unwrap();
}

/// A batch as it stands in a log.
fn stored(base_offset: i64, epoch: i32, count: i32) -> Vec<u8> {
    let batch = batch(count, 300, NOW.0 + base_offset);
    let header: BatchHeader = batch.header.at(Offset(base_offset), LeaderEpoch(epoch));
    let mut bytes = header.position_bytes(Offset(base_offset), LeaderEpoch(epoch)).to_vec();
    bytes.extend_from_slice(&batch.bytes[bytes.len()..]);
    bytes
}

/// What Kafka leaves of one partition: a sealed segment and an active one, whose indexes it preallocates and cuts at a
/// clean stop only.
fn kafka_wrote(disk: &SimulatedDisk, is_clean: bool) {
    let directory = root().join("events-0");
    disk.create_dir(&root()).unwrap();
    disk.create_dir(&directory).unwrap();
    let sealed: Vec<u8> = (0..10).flat_map(|index| stored(index * 2, 0, 2)).collect();
    let size = stored(0, 0, 2).len();
    let mut active: Vec<u8> = (10..20).flat_map(|index| stored(index * 2, 1, 2)).collect();
    let offset_entry =
        |last: i32, batch: usize| [last.to_be_bytes(), ((size * batch) as u32).to_be_bytes()].concat();
    let time_entry =
        |last: i64, relative: i32| [&(NOW.0 + last).to_be_bytes()[..], &relative.to_be_bytes()].concat();
    let name = |base: i64, suffix: &str| directory.join(format!("{base:020}{suffix}"));
    let mut index = [offset_entry(7, 3), offset_entry(13, 6)].concat();
    let mut times = [time_entry(27, 7), time_entry(33, 13)].concat();
    put(disk, &name(0, ".log"), &sealed);
    put(disk, &name(0, ".index"), &index);
    put(disk, &name(0, ".timeindex"), &[time_entry(7, 7), time_entry(13, 13), time_entry(19, 19)].concat());
    if is_clean {
        times.extend(time_entry(39, 19));
        put(disk, &root().join(".kafka_cleanshutdown"), br#"{"version":0,"brokerEpoch":12}"#);
    } else {
        index.resize(1 << 20, 0);
        times.resize(1 << 20, 0);
        // A torn batch, as a crash leaves it.
        active.extend(&stored(40, 1, 2)[..100]);
    }
    put(disk, &name(20, ".log"), &active);
    put(disk, &name(20, ".index"), &index);
    put(disk, &name(20, ".timeindex"), &times);
    put(
        disk,
        &name(20, ".snapshot"),
        &crate::producer_state::ProducerStates::new(Offset(20)).encode_snapshot(),
    );
    put(disk, &directory.join("leader-epoch-checkpoint"), b"0\n2\n0 0\n1 20\n");
    put(
        disk,
        &directory.join("partition.metadata"),
        format!("version: 0\ntopic_id: {}", topic_id()).as_bytes(),
    );
    let point = if is_clean { 40 } else { 20 };
    put(
        disk,
        &root().join("recovery-point-offset-checkpoint"),
        format!("0\n1\nevents 0 {point}\n").as_bytes(),
    );
}

#[test]
fn directory_that_kafka_wrote_opens_after_a_clean_stop_and_after_a_crash() {
    for is_clean in [true, false] {
        let disk = SimulatedDisk::new(1, 1 << 30);
        kafka_wrote(&disk, is_clean);
        let (dir, loaded) = load(&disk, &root(), 1, &config(1 << 20)).unwrap();
        let log = &loaded.logs[0];
        assert_eq!(loaded.damage, []);
        assert_eq!(loaded.clean_stop, is_clean.then_some(BrokerEpoch(12)));
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(0), Offset(40)));
        assert_eq!(read_all(log, Offset(0)).len(), 20);
        assert_eq!(log.latest_epoch(), Some(LeaderEpoch(1)));
        let found = log.offset_for_timestamp(TimestampMs(NOW.0 + 31), Offset(40)).unwrap().unwrap();
        assert_eq!(found.offset, Offset(31));
        log.append_as_leader(batch(1, 10, NOW.0), LeaderEpoch(2), NOW).unwrap();
        dir.clean_stop(BrokerEpoch(13)).unwrap();
        drop((dir, loaded));
        let (_dir, loaded) = load(&disk, &root(), 1, &config(1 << 20)).unwrap();
        assert_eq!(loaded.logs[0].log_end_offset(), Offset(41));
        let index = disk.open(&root().join("events-0/00000000000000000020.index"), crate::disk::Access::Read);
        assert!(index.unwrap().len().unwrap() < 1000, "the preallocated part of the index is cut");
    }
}

#[test]
fn old_segments_leave_the_log_at_once_and_the_disk_after_the_delay() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let settings =
        TopicConfig { retention_ms: 1000, file_delete_delay_ms: 500, ..TopicConfig::clone(&config(9_000)) };
    let log = dir.create_log(partition(0), topic_id(), Arc::new(settings.clone()));
    for step in 0..20 {
        log.append_as_leader(batch(1, 1000, NOW.0 + step * 100), EPOCH, NOW).unwrap();
    }
    dir.flush_round();
    dir.checkpoint().unwrap();
    let view = log.read(Offset(0), Offset(20), 2000, true).unwrap().records;
    let at = |ms: i64| TimestampMs(NOW.0 + ms);
    assert_eq!(log.delete_old_segments(at(1500), Offset(20)).unwrap(), 0);
    assert_eq!(log.delete_old_segments(at(1900), Offset(5)).unwrap(), 0, "not above the high watermark");
    assert_eq!(log.delete_old_segments(at(1900), Offset(20)).unwrap(), 1);
    assert_eq!(log.log_start_offset(), Offset(8));
    assert!(log.read(Offset(0), Offset(20), 1000, true).is_err());
    assert_eq!(read_all(&log, Offset(8)).len(), 12);
    crate::batch::check(&view).unwrap();
    let names = || disk.list(&root().join("events-0")).unwrap();
    log.remove_deleted_segments(at(2399)).unwrap();
    assert!(names().iter().any(|entry| entry.name == "00000000000000000000.log.deleted"));
    log.remove_deleted_segments(at(2400)).unwrap();
    assert!(names().iter().all(|entry| !entry.name.ends_with(".deleted")));
    // The whole log expires: a new segment is started, and offsets go on.
    assert!(log.delete_old_segments(at(9000), Offset(20)).unwrap() > 0);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(20), Offset(20)));
    dir.flush_round();
    dir.checkpoint().unwrap();
    drop((dir, log));
    let (_dir, loaded) = load(&disk, &root(), 1, &Arc::new(settings)).unwrap();
    assert_eq!(loaded.logs[0].log_start_offset(), Offset(20));
    let appended = loaded.logs[0].append_as_leader(batch(1, 10, NOW.0), EPOCH, NOW).unwrap();
    assert_eq!(appended.base_offset, Offset(20));
}

#[test]
fn log_start_offset_survives_a_restart() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
    for _ in 0..5 {
        log.append_as_leader(batch(1, 10, NOW.0), EPOCH, NOW).unwrap();
    }
    log.advance_log_start_offset(Offset(3));
    dir.checkpoint().unwrap();
    drop((dir, log));
    let (_dir, loaded) = load(&disk.crash(), &root(), 1, &config(1 << 20)).unwrap();
    assert_eq!(loaded.logs[0].log_start_offset(), Offset(3));
    assert!(loaded.logs[0].read(Offset(2), Offset(5), 1000, true).is_err());
    assert_eq!(read_all(&loaded.logs[0], Offset(3)).len(), 2);
}

#[test]
fn log_start_offset_that_was_written_survives_a_crash_and_one_that_was_not_does_not() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let log = dir.create_log(partition(0), topic_id(), config(1 << 20));
    for _ in 0..5 {
        log.append_as_leader(batch(1, 10, NOW.0), EPOCH, NOW).unwrap();
    }
    dir.flush_round();
    log.advance_log_start_offset(Offset(3));
    dir.write_log_starts().unwrap();
    log.advance_log_start_offset(Offset(4));
    drop((dir, log));
    let (_dir, loaded) = load(&disk.crash(), &root(), 1, &config(1 << 20)).unwrap();
    assert_eq!(loaded.logs[0].log_start_offset(), Offset(3));
    assert_eq!(read_all(&loaded.logs[0], Offset(3)).len(), 2);
}

#[test]
fn flushers_thread_flushes_many_logs_and_a_clean_stop_ends_it() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let mut settings = settings();
    settings.flush_driver = FlushDriver::Thread { sync_threads: 3 };
    settings.flush_window.interval = Duration::ZERO;
    let events = Arc::new(Events::default());
    let shown: Arc<dyn LogDirEvents<SimulatedDisk>> = Arc::clone(&events) as _;
    let dir = LogDir::open(disk.clone(), &root(), settings, shown).unwrap();
    let logs: Vec<_> =
        (0..8).map(|index| dir.create_log(partition(index), topic_id(), config(1 << 20))).collect();
    for round in 1..=50 {
        for log in &logs {
            log.append_as_leader(batch(1, 100, NOW.0), EPOCH, NOW).unwrap();
        }
        let mut flushed = events.flushed.lock();
        while logs.iter().any(|log| log.flushed_end_offset() < Offset(round)) {
            let waited = events.wake.wait_for(&mut flushed, Duration::from_secs(30));
            assert!(!waited.timed_out(), "the flusher stands still in round {round}");
        }
    }
    dir.clean_stop(BrokerEpoch(1)).unwrap();
    drop((dir, logs));
    let (_dir, loaded) = load(&disk.crash(), &root(), 8, &config(1 << 20)).unwrap();
    assert!(loaded.clean_stop.is_some());
    assert!(loaded.logs.iter().all(|log| log.log_end_offset() == Offset(50)));
}

#[test]
fn many_segments_are_read_with_few_of_them_open() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let mut settings = settings();
    settings.open_segments_max = 3;
    let dir = LogDir::open(disk, &root(), settings, Arc::new(Events::default())).unwrap();
    let log = dir.create_log(partition(0), topic_id(), config(3_000));
    for _ in 0..40 {
        log.append_as_leader(batch(1, 1000, NOW.0), EPOCH, NOW).unwrap();
    }
    dir.checkpoint().unwrap();
    assert!(log.segment_count() > 15);
    assert!(log.read(Offset(0), Offset(40), 10, true).unwrap().is_cold);
    for _ in 0..3 {
        assert_eq!(read_all(&log, Offset(0)).len(), 40);
    }
    // Idle logs let go of their writer, and take appends again.
    dir.checkpoint().unwrap();
    dir.checkpoint().unwrap();
    log.append_as_leader(batch(1, 100, NOW.0), EPOCH, NOW).unwrap();
    dir.flush_round();
    assert_eq!(log.flushed_end_offset(), Offset(41));
    assert_eq!(read_all(&log, Offset(39)).len(), 2);
    assert!(!log.read(Offset(40), Offset(41), 10, true).unwrap().is_cold);
}

#[test]
fn last_timestamp_of_a_segment_is_kept_where_the_checkpoint_came_before_the_roll() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    let log = dir.create_log(partition(0), topic_id(), config(3_000));
    // The third one gets an entry in the index, the fourth comes too soon after it.
    for timestamp in [1, 2, 3, 9] {
        log.append_as_leader(batch(1, 230, NOW.0 + timestamp), EPOCH, NOW).unwrap();
    }
    dir.checkpoint().unwrap();
    // This one is too large for the segment.
    log.append_as_leader(batch(1, 2800, NOW.0 + 4), EPOCH, NOW).unwrap();
    assert_eq!(log.segment_count(), 2);
    dir.checkpoint().unwrap();
    drop((dir, log));
    let (_dir, loaded) = load(&disk, &root(), 1, &config(3_000)).unwrap();
    let found = loaded.logs[0].offset_for_timestamp(TimestampMs(NOW.0 + 9), Offset(5)).unwrap();
    assert_eq!(found.map(|found| found.offset), Some(Offset(3)));
}

#[test]
fn logs_that_age_at_the_same_time_keep_no_file_open() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().canonicalize().unwrap().join("data");
    let settings = LogDirSettings { open_segments_max: 4, ..settings() };
    let (dir, loaded) = load_with(settings, &OsDisk, &path, 40, &config(1 << 20)).unwrap();
    for log in &loaded.logs {
        log.append_as_leader(batch(1, 100, NOW.0), EPOCH, NOW).unwrap();
    }
    dir.flush_round();
    let open_segments = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let targets = links.filter_map(|link| std::fs::read_link(link.path()).ok());
        targets
            .filter(|file| file.starts_with(&path) && file.extension().is_some_and(|end| end == "log"))
            .count()
    };
    assert_eq!(open_segments(), 40, "what is written to is open");
    for log in &loaded.logs {
        assert_eq!(log.delete_old_segments(TimestampMs(i64::MAX), Offset(1)).unwrap(), 1);
    }
    dir.flush_round();
    assert!(open_segments() <= 4, "{} segments are open", open_segments());
    for log in &loaded.logs {
        let appended = log.append_as_leader(batch(1, 100, NOW.0), EPOCH, NOW).unwrap();
        assert_eq!((appended.base_offset, log.log_start_offset()), (Offset(1), Offset(1)));
    }
    dir.flush_round();
    drop((dir, loaded));
    let (_dir, loaded) = load(&OsDisk, &path, 40, &config(1 << 20)).unwrap();
    assert!(loaded.logs.iter().all(|log| read_all(log, Offset(1)).len() == 1));
}

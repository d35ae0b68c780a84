//! A partition directory that Apache Kafka 4.3.1 wrote, byte for byte: two segments, rolled by time; a batch without a codec,
//! and one or two of each codec, by idempotent producers; stopped cleanly, 20 records.

use std::path::Path;
use std::sync::Arc;

use super::support::*;
use crate::disk::simulated::SimulatedDisk;
use crate::disk::{Disk, DiskFile};
use crate::ids::{BrokerEpoch, LeaderEpoch, Offset, TimestampMs, TopicId, TopicPartition};
use crate::log_dir::{Loaded, LogDir};
use crate::records::records_of;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("kafka_4_3_1/orders-0/", $name)).as_slice())),*]
    };
}

const FILES: &[(&str, &[u8])] = files![
    "00000000000000000000.index",
    "00000000000000000000.log",
    "00000000000000000000.timeindex",
    "00000000000000000012.index",
    "00000000000000000012.log",
    "00000000000000000012.snapshot",
    "00000000000000000012.timeindex",
    "00000000000000000020.snapshot",
    "leader-epoch-checkpoint",
    "partition.metadata",
];
const RECOVERY_POINTS: &[u8] = include_bytes!("kafka_4_3_1/recovery-point-offset-checkpoint");
const CLEAN_STOP: &[u8] = include_bytes!("kafka_4_3_1/clean-shutdown");
const TOPIC_ID: &str = "2XmwAb9FQLeaoktbAasmpg";
/// What Kafka sets aside for an index of an active segment; its clean stop cuts it.
const INDEX_BYTES: u64 = 10_485_760;

fn put(disk: &SimulatedDisk, path: &Path, content: &[u8]) {
    disk.create(path).unwrap().write_at(0, content).unwrap();
}

/// The directory as it was found after the stop; without one it lacks the last snapshot, the recovery point is older and
/// indexes are as long as Kafka makes them at first.
fn kafka_wrote(is_clean: bool) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let directory = root().join("orders-0");
    disk.create_dir(&root()).unwrap();
    disk.create_dir(&directory).unwrap();
    for (name, content) in
        FILES.iter().filter(|(name, _)| is_clean || !name.starts_with("00000000000000000020"))
    {
        put(&disk, &directory.join(name), content);
    }
    if is_clean {
        put(&disk, &root().join("recovery-point-offset-checkpoint"), RECOVERY_POINTS);
        put(&disk, &root().join(".kafka_cleanshutdown"), CLEAN_STOP);
    } else {
        put(&disk, &root().join("recovery-point-offset-checkpoint"), b"0\n1\norders 0 12\n");
        for suffix in ["index", "timeindex"] {
            let index = directory.join(format!("00000000000000000012.{suffix}"));
            disk.open(&index, crate::disk::Access::ReadWrite).unwrap().set_len(INDEX_BYTES).unwrap();
        }
    }
    disk
}

fn load(disk: &SimulatedDisk) -> (LogDir<SimulatedDisk>, Loaded<SimulatedDisk>) {
    let (dir, _) = try_open(disk, &root()).unwrap();
    let topic_id = TopicId::parse(TOPIC_ID).unwrap();
    let loaded = dir.load(vec![(TopicPartition::new("orders", 0), topic_id, config(1 << 20))], NOW).unwrap();
    (dir, loaded)
}

#[test]
fn partition_directory_of_kafkas_opens_after_a_clean_stop_and_after_a_crash() {
    for is_clean in [true, false] {
        let disk = kafka_wrote(is_clean);
        let (dir, loaded) = load(&disk);
        let log = &loaded.logs[0];
        assert_eq!((&loaded.damage[..], loaded.strays.len()), (&[][..], 0));
        assert_eq!(loaded.clean_stop, is_clean.then_some(BrokerEpoch(32)));
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(0), Offset(20)));
        assert_eq!(log.latest_epoch(), Some(LeaderEpoch(0)));
        let last: Vec<i32> =
            log.producers().iter().map(|producer| producer.state.last_sequence().0).collect();
        assert_eq!(last, [3; 5], "each producer wrote four records");
        let times =
            [(1_795_310_003_062, 1), (1_795_310_003_063, 4), (1_795_310_003_398, 5), (1_795_310_024_934, 17)];
        for (time, offset) in times {
            let found = log.offset_for_timestamp(TimestampMs(time), Offset(20)).unwrap();
            assert_eq!(found.map(|found| found.offset), Some(Offset(offset)), "{time}");
        }
        expect_records(log);
        log.append_as_leader(batch(1, 10, NOW.0), LeaderEpoch(1), NOW).unwrap();
        dir.clean_stop(BrokerEpoch(33)).unwrap();
        drop((dir, loaded));
        let (_dir, loaded) = load(&disk);
        assert_eq!(loaded.logs[0].log_end_offset(), Offset(21));
        assert_eq!(loaded.clean_stop, Some(BrokerEpoch(33)));
    }
}

/// `key-1` with `value 1` to `key-20` with `value 20`, each with a header.
fn expect_records(log: &Arc<crate::log::Log<SimulatedDisk>>) {
    let mut next = Offset(0);
    while next < Offset(20) {
        let read = log.read(next, Offset(20), 1, true).unwrap();
        let batch = records_of(&read.records, 1 << 20).unwrap();
        for record in &batch {
            let record = record.unwrap();
            let number = next.0 + 1;
            assert_eq!(record.offset, next);
            assert_eq!(record.key, Some(format!("key-{number}").as_bytes()));
            assert_eq!(record.value, Some(format!("value {number}").as_bytes()));
            let headers: Vec<_> = record.headers().map(|header| (header.key, header.value)).collect();
            assert_eq!(headers, [(&b"colour"[..], Some(&b"green"[..]))]);
            next = Offset(next.0 + 1);
        }
    }
}

//! Partitions that are sound, and what is found in those that are not.

use std::path::{Path, PathBuf};

use super::{PartitionReport, Severity, partitions, verify};
use crate::batch_builder::{BatchBuilder, BatchSpec};
use crate::disk::simulated::SimulatedDisk;
use crate::disk::{Access, Disk, DiskFile};
use crate::ids::{LeaderEpoch, Offset, TimestampMs};
use crate::index::{Entry, OffsetEntry, TimeEntry};

const LOG: &str = "00000000000000000000.log";
const INDEX: &str = "00000000000000000000.index";
const TIME_INDEX: &str = "00000000000000000000.timeindex";
const SECOND_LOG: &str = "00000000000000000006.log";

/// A partition of two segments: offsets 0 to 5 of epoch 1 in two batches, offsets 6 to 8 of epoch 2 in one.
struct World {
    disk: SimulatedDisk,
    partition: PathBuf,
    /// Where the second batch begins.
    second: u64,
}

fn batch(base_offset: i64, epoch: i32, timestamp: i64) -> Vec<u8> {
    let spec = BatchSpec {
        base_offset: Offset(base_offset),
        partition_leader_epoch: LeaderEpoch(epoch),
        ..BatchSpec::default()
    };
    let mut builder = BatchBuilder::new(spec);
    (0..3).for_each(|_| builder.push(TimestampMs(timestamp), None, Some(b"value"), &[]));
    builder.build().expect("it is built")
}

impl World {
    fn new() -> Self {
        let disk = SimulatedDisk::new(1, 1 << 24);
        let partition = Path::new("/data").join("events-0");
        disk.create_dir(Path::new("/data")).expect("the disk works");
        disk.create_dir(&partition).expect("the disk works");
        let first = batch(0, 1, 100);
        let world = Self { disk, partition, second: first.len() as u64 };
        world.write(LOG, &[first, batch(3, 1, 200)].concat());
        world.write(SECOND_LOG, &batch(6, 2, 300));
        world.write(INDEX, &offset_entry(5, world.second));
        world.write(TIME_INDEX, &time_entry(200, 5));
        world.write("00000000000000000006.index", &[]);
        world.write("00000000000000000006.timeindex", &time_entry(300, 2));
        world.write("leader-epoch-checkpoint", b"0\n2\n1 0\n2 6\n");
        world
    }

    fn write(&self, name: &str, content: &[u8]) {
        let file = self.disk.create(&self.partition.join(name)).expect("the disk works");
        file.write_at(0, content).expect("the disk works");
    }

    fn write_at(&self, name: &str, position: u64, content: &[u8]) {
        let file = self.disk.open(&self.partition.join(name), Access::ReadWrite).expect("it is there");
        file.write_at(position, content).expect("the disk works");
    }

    fn verify(&self, recovery_point: Option<i64>) -> PartitionReport {
        verify(&self.disk, &self.partition, recovery_point.map(Offset)).expect("the disk works")
    }

    /// The one thing that is found: how bad it is, in which file, and what.
    fn finding(&self, recovery_point: Option<i64>) -> (Severity, String, String) {
        let findings = self.verify(recovery_point).findings;
        assert_eq!(findings.len(), 1, "{findings:?}");
        let finding = findings.into_iter().next().expect("there is one");
        let name = finding.path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        (finding.severity, name, finding.description)
    }
}

fn offset_entry(relative_offset: i32, position: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    OffsetEntry { relative_offset, position: u32::try_from(position).expect("it fits") }.encode(&mut bytes);
    bytes
}

fn time_entry(timestamp: i64, relative_offset: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    TimeEntry { timestamp, relative_offset }.encode(&mut bytes);
    bytes
}

#[test]
fn sound_files_have_no_findings() {
    let world = World::new();
    let report = world.verify(Some(9));
    assert_eq!(report.findings, []);
    assert_eq!((report.segments, report.batches, report.records), (2, 3, 9));
    assert_eq!((report.first_offset, report.end_offset), (Some(Offset(0)), Some(Offset(9))));
    // The unwritten part of an active segment is zeros.
    world.write_at(SECOND_LOG, 4096, &[0; 100]);
    assert_eq!(world.verify(Some(9)).findings, []);
}

#[test]
fn only_directories_of_partitions_are_looked_at() {
    let world = World::new();
    for name in ["events-1", "a-b-12", "events-2.0f1e-delete", "metadata", "events-", "-1", "events-x"] {
        world.disk.create_dir(&Path::new("/data").join(name)).expect("the disk works");
    }
    let found = partitions(&world.disk, Path::new("/data")).expect("the disk works");
    let names = ["a-b-12", "events-0", "events-1"].map(|name| Path::new("/data").join(name));
    assert_eq!(found, names);
}

#[test]
fn a_flipped_bit_below_the_recovery_point_is_damage() {
    let world = World::new();
    world.write_at(LOG, world.second + 70, b"X");
    let (severity, name, what) = world.finding(Some(9));
    assert_eq!((severity, name.as_str()), (Severity::Damage, LOG));
    assert!(what.starts_with("cannot be read from offset 3 on: the stored CRC"), "{what}");
}

#[test]
fn a_write_that_was_cut_off_behind_the_recovery_point_is_none() {
    let world = World::new();
    let whole = batch(6, 2, 300);
    world.write_at(SECOND_LOG, whole.len() as u64, whole.split_at(40).0);
    assert_eq!(world.finding(Some(9)).0, Severity::Note);
    assert_eq!(world.finding(Some(10)).0, Severity::Damage);
}

#[test]
fn offsets_and_epochs_that_go_back_are_damage() {
    let world = World::new();
    world.write(LOG, &[batch(0, 1, 100), batch(2, 1, 200)].concat());
    let (severity, _, what) = world.finding(Some(9));
    assert_eq!((severity, what.as_str()), (Severity::Damage, "has a batch at offset 2 where 3 was next"));
    let world = World::new();
    world.write(SECOND_LOG, &batch(6, 0, 300));
    world.write("leader-epoch-checkpoint", b"0\n0\n");
    assert_eq!(world.finding(Some(9)).2, "has a batch of epoch 0 at offset 6, after one of epoch 1");
}

#[test]
fn an_index_or_list_of_epochs_of_other_records_is_found() {
    let world = World::new();
    world.write(INDEX, &offset_entry(5, world.second + 1));
    let (severity, name, what) = world.finding(Some(9));
    assert_eq!((severity, name.as_str()), (Severity::Index, INDEX));
    assert!(what.ends_with("behind the last"), "{what}");
    world.write(INDEX, &offset_entry(7, world.second));
    assert!(world.finding(Some(9)).2.ends_with("ends at offset 7, and it has 3 to 5"));
    world.write(INDEX, &[offset_entry(5, world.second), vec![0; 80]].concat());
    assert_eq!(world.verify(Some(9)).findings, [], "Kafka preallocates indexes");
    world.write(TIME_INDEX, &time_entry(150, 5));
    let (severity, name, what) = world.finding(Some(9));
    assert_eq!((severity, name.as_str()), (Severity::Index, TIME_INDEX));
    assert_eq!(what, "says that no timestamp up to offset 5 is above 150, and 200 is");
    let world = World::new();
    world.write("leader-epoch-checkpoint", b"0\n1\n1 0\n");
    assert_eq!(world.finding(Some(9)).2, "says that offset 6 is of epoch 1, and its batch is of epoch 2");
}

#[test]
fn gaps_and_what_was_cut_are_told_and_are_no_damage() {
    let world = World::new();
    world.write(LOG, &batch(0, 1, 100));
    world.write(INDEX, &[]);
    world.write(TIME_INDEX, &time_entry(100, 2));
    let (severity, name, what) = world.finding(Some(9));
    assert_eq!((severity, name.as_str()), (Severity::Note, SECOND_LOG));
    assert!(what.starts_with("begins at offset 6, and 3 was next"), "{what}");
    let world = World::new();
    world.write(LOG, &[batch(0, 1, 100), batch(3, 1, 200), batch(6, 1, 200)].concat());
    let (severity, _, what) = world.finding(Some(9));
    assert_eq!(severity, Severity::Note);
    assert!(what.starts_with("goes on behind the start of the next segment"), "{what}");
}

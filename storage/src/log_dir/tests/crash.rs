//! A crash at every sync point of a random workload: what was reported as flushed is there, nothing else is but what was
//! appended, and idempotent producers go on without a loss or a duplicate.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::topic::TopicConfig;

use super::support::*;
use crate::batch::check;
use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;
use crate::error::AppendError;
use crate::ids::{BrokerEpoch, LeaderEpoch, Offset, TimestampMs, TopicPartition};
use crate::log::Log;
use crate::log_dir::LogDir;
use crate::records::records_of;

const PARTITIONS: i32 = 2;
const STEPS: u64 = 60;

/// What a producer has sent to one partition.
#[derive(Clone, Default)]
struct Sent {
    /// The values of batches by their first sequence, in order; each has two records.
    batches: BTreeMap<i32, Vec<u8>>,
    next_sequence: i32,
    /// Where batches were appended, by their first sequence, as last answered.
    offsets: BTreeMap<i32, Offset>,
    /// What the log reported as flushed (exclusive).
    flushed: Offset,
}

#[derive(Clone, Default)]
struct World {
    partitions: BTreeMap<TopicPartition, Sent>,
    epoch: i32,
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn topic() -> Arc<TopicConfig> {
    config(9_000)
}

impl World {
    /// Appends, flushes and checkpoints at random, until the steps are over or the disk stops.
    fn work(&mut self, dir: &LogDir<SimulatedDisk>, disk: &SimulatedDisk, random: &mut Random) {
        for _ in 0..STEPS {
            let log = dir.log(&partition(random.below(PARTITIONS as u64) as i32)).unwrap();
            match random.below(10) {
                0..=5 => self.send(&log, 1 + random.below(1500) as usize),
                6..=7 => dir.flush_round(),
                8 => drop(dir.checkpoint()),
                _ => self.resend_last(&log),
            }
            self.note_flushed(dir);
            if disk.is_halted() {
                return;
            }
        }
    }

    fn note_flushed(&mut self, dir: &LogDir<SimulatedDisk>) {
        for log in dir.logs() {
            let sent = self.partitions.entry(log.topic_partition().clone()).or_default();
            sent.flushed = sent.flushed.max(log.flushed_end_offset());
        }
    }

    fn send(&mut self, log: &Arc<Log<SimulatedDisk>>, value_bytes: usize) {
        let sent = self.partitions.entry(log.topic_partition().clone()).or_default();
        let sequence = sent.next_sequence;
        let value = vec![sequence as u8; value_bytes];
        sent.next_sequence += 2;
        sent.batches.insert(sequence, value);
        self.append(log, sequence);
    }

    fn resend_last(&mut self, log: &Arc<Log<SimulatedDisk>>) {
        let sequence = self.partitions.get(log.topic_partition()).map_or(0, |sent| sent.next_sequence - 2);
        if sequence >= 0 && !self.partitions.is_empty() {
            self.append(log, sequence);
        }
    }

    fn append(&mut self, log: &Arc<Log<SimulatedDisk>>, sequence: i32) {
        let sent = self.partitions.get_mut(log.topic_partition()).unwrap();
        let Some(value) = sent.batches.get(&sequence) else { return };
        let batch = idempotent(i64::from(log.topic_partition().partition.0), sequence, 2, value);
        match log.append_as_leader(batch, LeaderEpoch(self.epoch), NOW) {
            Ok(appended) => {
                if let Some(before) = sent.offsets.insert(sequence, appended.base_offset) {
                    assert!(!appended.is_duplicate || before == appended.base_offset, "an answer changed");
                }
            }
            Err(AppendError::Offline(_) | AppendError::Disk(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// What the log holds is a prefix of what was sent, and not less than what was flushed.
    fn verify(&mut self, log: &Arc<Log<SimulatedDisk>>) {
        let sent = self.partitions.entry(log.topic_partition().clone()).or_default();
        assert!(log.log_end_offset() >= sent.flushed, "{log:?} lost records below {}", sent.flushed);
        assert_eq!(log.flushed_end_offset(), log.log_end_offset());
        let mut next = Offset(0);
        while next < log.log_end_offset() {
            let read = log.read(next, log.log_end_offset(), usize::MAX, true).unwrap();
            let mut rest = read.records.as_ref();
            assert!(!rest.is_empty());
            while !rest.is_empty() {
                let header = check(rest).unwrap();
                assert_eq!(header.base_offset, next, "offsets have no gap");
                assert_eq!(i64::from(header.base_sequence.0), next.0, "every batch is there once, in order");
                let records = records_of(rest, 1 << 20).unwrap();
                let value = sent.batches.get(&header.base_sequence.0).expect("no batch is invented");
                records.iter().for_each(|record| assert_eq!(record.unwrap().value, Some(value.as_slice())));
                next = header.next_offset();
                rest = &rest[header.size_in_bytes()..];
            }
        }
    }

    /// The producer sends again what it has no answer for; then everything is there exactly once.
    fn retry(&mut self, log: &Arc<Log<SimulatedDisk>>) {
        let sent = self.partitions.entry(log.topic_partition().clone()).or_default();
        let from = sent.flushed.0.min(log.log_end_offset().0 - 2).max(0) as i32;
        let sequences: Vec<i32> = sent.batches.range(from..).map(|(sequence, _)| *sequence).collect();
        for sequence in sequences {
            let sent = self.partitions.get(log.topic_partition()).unwrap();
            let value = sent.batches.get(&sequence).unwrap();
            let batch = idempotent(i64::from(log.topic_partition().partition.0), sequence, 2, value);
            let end = log.log_end_offset();
            match log.append_as_leader(batch, LeaderEpoch(self.epoch), NOW) {
                Ok(appended) => {
                    assert_eq!(appended.base_offset, Offset(i64::from(sequence)), "a retry went elsewhere");
                    assert_eq!(appended.is_duplicate, i64::from(sequence) < end.0);
                }
                // A snapshot holds the last batch of a producer only: older retries are refused, not appended twice.
                Err(AppendError::Producer(_)) => {
                    assert!(i64::from(sequence) + 2 < end.0, "a new batch was refused");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

type Started = (LogDir<SimulatedDisk>, Vec<Arc<Log<SimulatedDisk>>>);

fn start(disk: &SimulatedDisk) -> Result<Started, crate::error::OpenError> {
    let (dir, loaded) = load_with(lazy_settings(), disk, &root(), PARTITIONS, &topic())?;
    assert_eq!(loaded.damage, [], "a crash is no damage");
    assert!(loaded.strays.is_empty());
    Ok((dir, loaded.logs))
}

/// How the power goes at a sync.
type Halt = fn(&SimulatedDisk, u64);

/// Starts on a new disk, works, stops at the given sync point, and gives what a crash leaves.
fn run_until(seed: u64, sync_point: u64, halt: Halt) -> (World, SimulatedDisk, u64) {
    let disk = SimulatedDisk::new(seed, 1 << 30);
    halt(&disk, sync_point);
    disk.set_own_file_system(seed.is_multiple_of(3));
    let mut world = World::default();
    let mut random = Random(seed);
    if let Ok((dir, _)) = start(&disk) {
        world.work(&dir, &disk, &mut random);
        if random.below(2) == 0 {
            drop(dir.clean_stop(BrokerEpoch(1)));
            world.note_flushed(&dir);
        }
    }
    let count = disk.sync_points();
    (world, disk, count)
}

fn recover_and_check(seed: u64, sync_point: u64, halt: Halt, mut world: World, crashed: &SimulatedDisk) {
    let mut random = Random(seed ^ sync_point.wrapping_mul(0x9E37_79B9));
    let mut disk = crashed.crash();
    // Recovery may be cut off too, more than once.
    while random.below(3) == 0 {
        halt(&disk, random.below(12));
        if let Ok((dir, logs)) = start(&disk) {
            world.epoch += 1;
            for log in &logs {
                world.verify(log);
                world.retry(log);
            }
            if !disk.is_halted() {
                world.work(&dir, &disk, &mut random);
            }
        }
        disk = disk.crash();
    }
    let (dir, logs) = start(&disk).unwrap();
    world.epoch += 1;
    for log in &logs {
        world.verify(log);
        world.retry(log);
    }
    dir.flush_round();
    world.note_flushed(&dir);
    logs.iter().for_each(|log| world.verify(log));
    dir.clean_stop(BrokerEpoch(2)).unwrap();
    drop((dir, logs));
    let (_dir, logs) = start(&disk).unwrap();
    logs.iter().for_each(|log| world.verify(log));
}

fn crash_everywhere(seeds: std::ops::Range<u64>, halt: Halt) {
    for seed in seeds {
        let (_, _, count) = run_until(seed, u64::MAX, halt);
        for sync_point in 0..count {
            let (world, disk, _) = run_until(seed, sync_point, halt);
            let checked =
                std::panic::AssertUnwindSafe(|| recover_and_check(seed, sync_point, halt, world, &disk));
            if let Err(panic) = std::panic::catch_unwind(checked) {
                eprintln!("seed {seed}, sync point {sync_point}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn crash_at_every_sync_point_loses_nothing_that_was_flushed() {
    crash_everywhere(0..20, SimulatedDisk::halt_at);
}

#[test]
fn sync_that_claims_success_when_the_disk_is_gone_loses_nothing_that_was_flushed() {
    crash_everywhere(0..10, SimulatedDisk::halt_behind);
}

#[test]
fn crash_right_after_the_first_start_leaves_a_directory_that_opens() {
    for seed in 0..200 {
        let disk = SimulatedDisk::new(seed, 1 << 30);
        disk.halt_at(seed % 7);
        if let Ok((dir, _)) = start(&disk) {
            drop(dir.write_meta_properties("cluster", crate::ids::BrokerId(1)));
        }
        let disk = disk.crash();
        let (dir, _) = start(&disk).unwrap();
        dir.write_meta_properties("cluster", crate::ids::BrokerId(1)).unwrap();
        assert!(disk.list(&root()).is_ok());
        assert_eq!(TimestampMs(0), disk.modified(&root().join("meta.properties")).unwrap());
    }
}

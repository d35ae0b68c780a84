//! A crash at every sync point of a history in which a log is cut and starts over, and of the recoveries that follow: what
//! was cut off stays off, what was flushed and not cut off is there, and the log goes on from what its batches say.

use std::sync::Arc;

use bytes::Bytes;

use super::cut_world::*;
use super::support::*;
use crate::batch::TransactionResult;
use crate::disk::simulated::SimulatedDisk;
use crate::error::OpenError;
use crate::ids::{BrokerEpoch, Offset};
use crate::log::Log;
use crate::log_dir::LogDir;

const STEPS: u64 = 40;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

type Open = (LogDir<SimulatedDisk>, Arc<Log<SimulatedDisk>>);

fn start(disk: &SimulatedDisk) -> Result<Open, OpenError> {
    let (dir, loaded) = load_with(lazy_settings(), disk, &root(), 1, &config(4000))?;
    assert_eq!(loaded.damage, [], "a crash is no damage");
    let log = Arc::clone(&loaded.logs[0]);
    Ok((dir, log))
}

/// What a crash may leave.
#[derive(Clone, Default)]
struct Expected {
    world: World,
    /// Exclusive: what was flushed, and not cut off since.
    flushed: Offset,
    /// Where the log was about to start over.
    starting_over: Option<Offset>,
}

impl Expected {
    /// Appends, flushes and cuts until the steps are over or the disk stops.
    fn work(&mut self, (dir, log): &Open, disk: &SimulatedDisk, random: &mut Random) {
        let mut views: Vec<(Bytes, Vec<u8>)> = Vec::new();
        for _ in 0..STEPS {
            match random.below(24) {
                0..=11 => {
                    let producer_id = [-1, 1, FIRST_TRANSACTIONAL][random.below(3) as usize];
                    let size = (1 + random.below(4) as i32, random.below(400) as usize);
                    self.world.send(log, role(random), producer_id, size);
                }
                12 => {
                    let result =
                        [TransactionResult::Commit, TransactionResult::Abort][random.below(2) as usize];
                    if let Some(producer_id) = self.world.open_transactions().first() {
                        self.world.end_transaction(log, role(random), *producer_id, result);
                    }
                }
                13..=14 => dir.flush_round(),
                15..=16 => drop(dir.checkpoint()),
                17..=19 => self.truncate(log, random),
                20 => {
                    let from = Offset(self.world.start.0 + random.below(self.world.len() + 1) as i64);
                    if let Ok(read) = log.read(from, self.world.end, 4000, true) {
                        views.push((read.records.clone(), read.records.to_vec()));
                    }
                }
                21 => views.clear(),
                22 => drop(log.remove_deleted_segments(NOW)),
                _ => {
                    if random.below(4) == 0 {
                        self.start_over(log, random);
                    }
                }
            }
            self.note_flushed(log);
            assert!(views.iter().all(|(view, copy)| view == copy), "a view keeps its bytes");
            if disk.is_halted() {
                return;
            }
            if random.below(8) == 0 {
                self.world.verify(log);
            }
        }
    }

    /// Where a log without a file starts is not kept: only records count, and a start that was written.
    fn note_flushed(&mut self, log: &Arc<Log<SimulatedDisk>>) {
        if self.starting_over.is_some() {
            return;
        }
        let ends = self.world.batches.iter().map(|batch| batch.header.next_offset());
        let flushed = ends.filter(|end| *end <= log.flushed_end_offset()).max();
        self.flushed = self.flushed.max(flushed.unwrap_or_default());
    }

    fn truncate(&mut self, log: &Arc<Log<SimulatedDisk>>, random: &mut Random) {
        let len = self.world.len();
        let back = if random.below(3) == 0 { random.below(len + 1) } else { random.below(12).min(len) };
        let offset = Offset(self.world.end.0 - back as i64);
        // From here on, a crash may leave all of it or what stays.
        self.flushed = self.flushed.min(offset);
        let whole = self.world.batches.iter().map(|batch| batch.header.next_offset());
        let kept_end = whole.filter(|end| *end <= offset).max();
        self.flushed = self.flushed.min(kept_end.unwrap_or_default());
        if kept_end.is_none() {
            self.starting_over = Some(offset);
        }
        if log.truncate_to(offset).is_ok() {
            self.starting_over = None;
            self.world.truncate(offset);
            self.world.settle(log, offset);
            self.world.epoch += 1;
            self.flushed = self.flushed.min(self.world.end);
        }
    }

    fn start_over(&mut self, log: &Arc<Log<SimulatedDisk>>, random: &mut Random) {
        let offset = Offset((self.world.end.0 + random.below(60) as i64 - 30).max(0));
        self.flushed = Offset(0);
        self.starting_over = Some(offset);
        let has_files = log.segment_count() > 0;
        if log.start_over_at(offset).is_ok() {
            self.flushed = if has_files { offset } else { Offset(0) };
            self.world.start_over(offset);
            self.starting_over = None;
        }
    }

    /// Checks what a crash has left, and goes on from there.
    fn take_up(&mut self, log: &Arc<Log<SimulatedDisk>>) {
        let found = batches_of(log);
        let world = &mut self.world;
        assert_eq!(log.flushed_end_offset(), log.log_end_offset());
        if self.starting_over.is_some() {
            // The oldest segments go first.
            let first = found.first().map(|batch| batch.header.base_offset);
            world.batches.retain(|batch| first.is_some_and(|first| batch.header.base_offset >= first));
        }
        assert!(log.log_end_offset() >= self.flushed, "{log:?} lost records below {}", self.flushed);
        assert!(found.len() <= world.batches.len(), "more was found than there should be");
        assert_eq!(
            found[..],
            world.batches[..found.len()],
            "what is left is the beginning of what there was"
        );
        world.batches = found;
        let last = world.batches.last().map(|batch| batch.header.next_offset());
        let end = log.log_end_offset();
        assert!(last.is_none_or(|last| last == end), "the log ends behind its last batch");
        (world.start, world.end) = (log.log_start_offset(), end);
        world.epoch += 1;
        self.starting_over = None;
        self.flushed = end;
        world.verify(log);
    }
}

fn role(random: &mut Random) -> Role {
    match random.below(3) {
        0 => Role::Leader,
        1 => Role::Follower(0),
        _ => Role::Follower(random.below(3) as i64),
    }
}

/// How the power goes at a sync.
type Halt = fn(&SimulatedDisk, u64);

fn run_until(seed: u64, sync_point: u64, halt: Halt) -> (Expected, SimulatedDisk, u64) {
    let disk = SimulatedDisk::new(seed, 1 << 30);
    halt(&disk, sync_point);
    disk.set_own_file_system(seed.is_multiple_of(3));
    let mut expected = Expected::default();
    let mut random = Random(seed);
    if let Ok(open) = start(&disk) {
        expected.work(&open, &disk, &mut random);
        if random.below(2) == 0 {
            drop(open.0.clean_stop(BrokerEpoch(1)));
            expected.note_flushed(&open.1);
        }
    }
    let count = disk.sync_points();
    (expected, disk, count)
}

fn recover_and_check(
    seed: u64,
    sync_point: u64,
    halt: Halt,
    mut expected: Expected,
    crashed: &SimulatedDisk,
) {
    let mut random = Random(seed ^ sync_point.wrapping_mul(0x9E37_79B9));
    let mut disk = crashed.crash();
    // Recovery may be cut off too, more than once, and so may what follows it.
    while random.below(3) == 0 {
        halt(&disk, random.below(20));
        if let Ok(open) = start(&disk) {
            expected.take_up(&open.1);
            if !disk.is_halted() {
                expected.work(&open, &disk, &mut random);
            }
        }
        disk = disk.crash();
    }
    let open = start(&disk).unwrap();
    expected.take_up(&open.1);
    expected.work(&open, &disk, &mut random);
    open.0.clean_stop(BrokerEpoch(2)).unwrap();
    drop(open);
    let (_dir, log) = start(&disk).unwrap();
    assert_eq!(log.log_end_offset(), expected.world.end);
    expected.take_up(&log);
}

fn crash_everywhere(seeds: std::ops::Range<u64>, halt: Halt) {
    for seed in seeds {
        let (_, _, count) = run_until(seed, u64::MAX, halt);
        for sync_point in 0..count {
            let (expected, disk, _) = run_until(seed, sync_point, halt);
            let checked =
                std::panic::AssertUnwindSafe(|| recover_and_check(seed, sync_point, halt, expected, &disk));
            if let Err(panic) = std::panic::catch_unwind(checked) {
                eprintln!("seed {seed}, sync point {sync_point}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn crash_at_every_sync_point_of_a_cut_brings_nothing_back_and_loses_nothing_that_stays() {
    crash_everywhere(0..12, SimulatedDisk::halt_at);
}

#[test]
fn sync_that_claims_success_when_the_disk_is_gone_undoes_no_cut() {
    crash_everywhere(0..6, SimulatedDisk::halt_behind);
}

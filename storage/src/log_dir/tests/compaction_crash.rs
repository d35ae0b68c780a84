//! A crash at every sync point of a history with rounds of compaction, and of the recoveries that follow: what was flushed
//! is there as far as it is the newest of its key, nothing is invented, and producers go on where they were.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::compacted::*;
use super::support::*;
use crate::batch::TransactionResult;
use crate::compression::Codec;
use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;
use crate::error::OpenError;
use crate::ids::{BrokerEpoch, Offset};
use crate::log::Log;
use crate::log_dir::LogDir;

const STEPS: u64 = 70;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

type Open = (LogDir<SimulatedDisk>, Arc<Log<SimulatedDisk>>);

fn start(disk: &SimulatedDisk) -> Result<Open, OpenError> {
    let (dir, loaded) = load_with(lazy_settings(), disk, &root(), 1, &compacted())?;
    assert_eq!(loaded.damage, [], "a crash is no damage");
    let log = Arc::clone(&loaded.logs[0]);
    Ok((dir, log))
}

fn send(random: &mut Random) -> Send {
    let producer_id = [-1, 1, 2, FIRST_TRANSACTIONAL][random.below(4) as usize];
    let codec = [Codec::None, Codec::Lz4][random.below(2) as usize];
    let record = |random: &mut Random| {
        let value = (random.below(4) > 0).then(|| random.below(500) as usize);
        (Some(random.below(6) as u8), value)
    };
    let records = (0..1 + random.below(3)).map(|_| record(random)).collect();
    Send { producer_id, codec, records }
}

/// Writes, flushes and cleans until the steps are over or the disk stops; gives the end of what was flushed (exclusive).
fn work(world: &mut World, (dir, log): &Open, disk: &SimulatedDisk, random: &mut Random) -> Offset {
    for _ in 0..STEPS {
        match random.below(20) {
            0..=9 => world.send(log, &send(random)),
            10..=11 => {
                let result = [TransactionResult::Commit, TransactionResult::Abort][random.below(2) as usize];
                if let Some(producer_id) = world.open_transactions().first() {
                    world.end_transaction(log, *producer_id, result);
                }
            }
            12..=13 => dir.flush_round(),
            14..=15 => drop(dir.checkpoint()),
            16 => world.now_ms += 700,
            17 => drop(log.remove_deleted_segments(world.now())),
            18 => {
                // Stopped somewhere on the way.
                let mut left = random.below(3);
                world.clean_until(log, 1000, &mut |_| {
                    left = left.saturating_sub(1);
                    if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
            }
            _ => world.clean(log, [4, 1000][random.below(2) as usize]),
        }
        if disk.is_halted() {
            break;
        }
    }
    log.flushed_end_offset()
}

/// What a crash leaves of the first run, which stops at the given sync point; and how many there were.
fn run_until(seed: u64, sync_point: u64) -> (World, SimulatedDisk, Offset, u64) {
    let disk = SimulatedDisk::new(seed, 1 << 30);
    disk.halt_at(sync_point);
    disk.set_own_file_system(seed.is_multiple_of(3));
    let mut world = World::default();
    let mut random = Random(seed);
    let mut flushed = Offset(0);
    if let Ok(open) = start(&disk) {
        flushed = work(&mut world, &open, &disk, &mut random);
        if random.below(2) == 0 {
            drop(open.0.clean_stop(BrokerEpoch(1)));
            flushed = open.1.flushed_end_offset();
        }
    }
    let count = disk.sync_points();
    (world, disk, flushed, count)
}

/// What is left of the log is what was flushed, and the model forgets what was not.
fn take_up(world: &mut World, log: &Arc<Log<SimulatedDisk>>, flushed: Offset) {
    assert!(log.log_end_offset() >= flushed, "{log:?} lost records below {flushed}");
    world.truncate(log.log_end_offset());
    world.epoch += 1;
    world.verify(log);
    world.verify_producers(log);
}

fn recover_and_check(seed: u64, sync_point: u64, mut world: World, crashed: &SimulatedDisk, flushed: Offset) {
    let mut random = Random(seed ^ sync_point.wrapping_mul(0x9E37_79B9));
    let mut disk = crashed.crash();
    let mut flushed = flushed;
    // Recovery may be cut off too, more than once, and so may what follows it.
    while random.below(3) == 0 {
        disk.halt_at(random.below(20));
        if let Ok(open) = start(&disk) {
            take_up(&mut world, &open.1, flushed);
            flushed = work(&mut world, &open, &disk, &mut random);
        }
        disk = disk.crash();
    }
    let (dir, log) = start(&disk).unwrap();
    take_up(&mut world, &log, flushed);
    dir.checkpoint().unwrap();
    world.clean(&log, 1000);
    world.verify(&log);
    dir.clean_stop(BrokerEpoch(2)).unwrap();
    drop((dir, log));
    let (_dir, log) = start(&disk).unwrap();
    world.epoch += 1;
    world.verify(&log);
    world.verify_producers(&log);
    let names = disk.list(&root().join("events-0")).unwrap_or_default();
    let is_left_over = |name: &str| [".cleaned", ".swap", ".deleted"].iter().any(|end| name.ends_with(end));
    assert!(names.iter().all(|entry| !is_left_over(&entry.name)), "{names:?}");
}

#[test]
fn crash_at_every_sync_point_of_a_cleaning_keeps_the_newest_value_of_each_key() {
    for seed in 0..24 {
        let (_, _, _, count) = run_until(seed, u64::MAX);
        for sync_point in 0..count {
            let (world, disk, flushed, _) = run_until(seed, sync_point);
            let checked = std::panic::AssertUnwindSafe(|| {
                recover_and_check(seed, sync_point, world, &disk, flushed);
            });
            if let Err(panic) = std::panic::catch_unwind(checked) {
                eprintln!("seed {seed}, sync point {sync_point}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

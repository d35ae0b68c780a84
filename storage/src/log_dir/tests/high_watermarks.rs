//! The checkpoint of the high watermarks, and what follows from them.

use std::collections::BTreeMap;

use super::cut_world::*;
use super::support::*;
use crate::batch::TransactionResult;
use crate::disk::simulated::SimulatedDisk;
use crate::ids::{Offset, TopicPartition};

fn marks(offsets: &[i64]) -> BTreeMap<TopicPartition, Offset> {
    (0..).zip(offsets).map(|(index, offset)| (partition(index), Offset(*offset))).collect()
}

#[test]
fn crash_leaves_all_of_the_old_high_watermarks_or_all_of_the_new() {
    // More than a page of them.
    let old = marks(&[7; 400]);
    let new = marks(&[11; 400]);
    let mut seen = [false; 2];
    for (seed, halt) in (0..200).zip([SimulatedDisk::halt_at, SimulatedDisk::halt_behind].into_iter().cycle())
    {
        let disk = SimulatedDisk::new(seed, 1 << 30);
        let (dir, _) = open(&disk, &root());
        dir.write_high_watermarks(&old).unwrap();
        halt(&disk, disk.sync_points() + seed / 2 % 4);
        let written = dir.write_high_watermarks(&new);
        let (dir, _) = open(&disk.crash(), &root());
        let found = dir.read_high_watermarks().unwrap();
        assert!(found == old || found == new, "seed {seed}: {found:?}");
        assert!(written.is_err() || disk.is_halted() || found == new, "seed {seed}");
        seen[usize::from(found == new)] = true;
    }
    assert_eq!(seen, [true; 2]);
}

#[test]
fn unchanged_high_watermarks_are_not_written() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    dir.write_high_watermarks(&marks(&[7, 8])).unwrap();
    let before = disk.sync_points();
    dir.write_high_watermarks(&marks(&[7, 8])).unwrap();
    assert_eq!(disk.sync_points(), before);
}

#[test]
fn high_watermark_is_forgotten_with_its_log_and_lowered_where_that_is_cut() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, _) = open(&disk, &root());
    for index in 0..2 {
        let log = dir.create_log(partition(index), topic_id(), config(1 << 20));
        for _ in 0..10 {
            log.append_as_leader(batch(1, 100, NOW.0), EPOCH, NOW).unwrap();
        }
    }
    dir.write_high_watermarks(&marks(&[10, 10])).unwrap();
    dir.log(&partition(0)).unwrap().truncate_to(Offset(6)).unwrap();
    assert_eq!(dir.read_high_watermarks().unwrap(), marks(&[6, 10]));
    dir.delete_log(&partition(1)).unwrap();
    assert_eq!(dir.read_high_watermarks().unwrap(), marks(&[6]));
}

#[test]
fn transaction_that_ended_past_the_high_watermark_is_not_stable_after_a_restart() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, loaded) = load(&disk, &root(), 1, &config(1 << 20)).unwrap();
    let mut world = World::default();
    assert!(world.send(&loaded.logs[0], Role::Leader, FIRST_TRANSACTIONAL, (2, 100)));
    let high_watermark = world.end;
    let commit = TransactionResult::Commit;
    assert!(world.end_transaction(&loaded.logs[0], Role::Leader, FIRST_TRANSACTIONAL, commit));
    dir.flush_round();
    drop((dir, loaded));
    let (_dir, loaded) = load(&disk, &root(), 1, &config(1 << 20)).unwrap();
    let log = &loaded.logs[0];
    log.resume_high_watermark(high_watermark);
    assert_eq!(log.first_unstable_offset(), Some(Offset(0)));
    log.advance_high_watermark(world.end);
    assert_eq!(log.first_unstable_offset(), None);
}

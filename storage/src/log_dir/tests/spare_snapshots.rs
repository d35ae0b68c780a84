//! The producers' snapshots of a log are written into the files of those before.

use std::ops::Range;
use std::sync::Arc;

use super::support::*;
use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;
use crate::ids::{BrokerEpoch, Offset};
use crate::log::Log;
use crate::log_dir::LogDir;
use crate::log_dir::files::read_file;
use crate::producer_state::ProducerStates;

const SEGMENT_BYTES: i32 = 100_000;

fn start(disk: &SimulatedDisk) -> (LogDir<SimulatedDisk>, Arc<Log<SimulatedDisk>>) {
    let (dir, mut loaded) = load(disk, &root(), 1, &config(SEGMENT_BYTES)).expect("it opens");
    assert_eq!(loaded.damage, []);
    (dir, loaded.logs.remove(0))
}

/// Writes a state with each checkpoint, until the disk stops.
fn work(dir: &LogDir<SimulatedDisk>, log: &Arc<Log<SimulatedDisk>>, batches: Range<i32>) {
    for index in batches {
        let appended = log.append_as_leader(idempotent(9, index * 2, 2, b"x"), EPOCH, NOW);
        if appended.is_err() || dir.checkpoint().is_err() {
            return;
        }
    }
}

fn snapshots(disk: &SimulatedDisk) -> Vec<String> {
    let entries = disk.list(&root().join(partition(0).to_string())).unwrap_or_default();
    entries.into_iter().map(|entry| entry.name).filter(|name| name.contains(".snapshot")).collect()
}

#[test]
fn snapshot_of_no_use_is_kept_for_the_next_one_until_the_node_ends() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, log) = start(&disk);
    work(&dir, &log, 0..3);
    assert_eq!(snapshots(&disk), ["00000000000000000006.snapshot", "spare.snapshot.tmp"]);
    let disk = disk.crash();
    let (dir, log) = start(&disk);
    assert_eq!(snapshots(&disk), ["00000000000000000006.snapshot"]);
    work(&dir, &log, 3..6);
    assert_eq!(snapshots(&disk), ["00000000000000000012.snapshot", "spare.snapshot.tmp"]);
    dir.clean_stop(BrokerEpoch(1)).unwrap();
    assert_eq!(snapshots(&disk), ["00000000000000000012.snapshot"]);
}

#[test]
fn spare_that_somebody_took_away_is_not_missed() {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let (dir, log) = start(&disk);
    work(&dir, &log, 0..3);
    disk.remove_file(&root().join(partition(0).to_string()).join("spare.snapshot.tmp")).unwrap();
    work(&dir, &log, 3..4);
    assert_eq!(snapshots(&disk), ["00000000000000000008.snapshot", "spare.snapshot.tmp"]);
}

#[test]
fn crash_leaves_no_snapshot_of_what_came_behind_it() {
    for seed in 0..20 {
        let mut sync_point = 0;
        loop {
            let disk = SimulatedDisk::new(seed, 1 << 30);
            disk.halt_at(sync_point);
            if let Ok((dir, loaded)) = load(&disk, &root(), 1, &config(SEGMENT_BYTES)) {
                work(&dir, &loaded.logs[0], 0..5);
            }
            let is_over = !disk.is_halted();
            let disk = disk.crash();
            for name in snapshots(&disk) {
                let Some(offset) = name.strip_suffix(".snapshot") else { continue };
                let offset = Offset(offset.parse().unwrap());
                let path = root().join(partition(0).to_string()).join(&name);
                let content = read_file(&disk, &path, 1 << 20).unwrap().unwrap();
                let states =
                    ProducerStates::decode_snapshot(&content, offset, NOW).expect("a whole snapshot");
                let ends = states.producers().filter_map(|(_, state)| Some(state.last_batch()?.last_offset));
                assert_eq!(ends.max(), Some(offset.plus(-1)), "seed {seed}, sync point {sync_point}, {name}");
            }
            if is_over {
                break;
            }
            sync_point += 1;
        }
    }
}

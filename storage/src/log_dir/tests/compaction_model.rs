//! Random histories of a compacted log: whatever is written and however often it is cleaned, a reader from 0 finds the
//! newest value of each key, and producers go on where they were.

use std::sync::Arc;

use proptest::prelude::*;

use super::compacted::*;
use super::support::*;
use crate::batch::TransactionResult;
use crate::compression::Codec;
use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;
use crate::ids::BrokerEpoch;
use crate::log::Log;
use crate::log_dir::LogDir;

#[derive(Clone, Debug)]
enum Step {
    Send(Send),
    End(i64, bool),
    Flush,
    Checkpoint,
    Clean { keys_max: usize },
    Wait(i64),
    RemoveFiles,
    Restart { is_clean: bool, keeps_snapshots: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let codec = prop::sample::select(vec![Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]);
    let producer = prop::sample::select(vec![-1, -1, 1, 2, FIRST_TRANSACTIONAL, FIRST_TRANSACTIONAL + 1]);
    let key = prop_oneof![20 => (0..8_u8).prop_map(Some), 1 => Just(None)];
    let value = prop_oneof![3 => (0..300_usize).prop_map(Some), 1 => Just(None)];
    let send = (producer, codec, prop::collection::vec((key, value), 1..5))
        .prop_map(|(producer_id, codec, records)| Step::Send(Send { producer_id, codec, records }));
    prop_oneof![
        30 => send,
        6 => (0..2_i64, any::<bool>()).prop_map(|(which, commits)| Step::End(FIRST_TRANSACTIONAL + which, commits)),
        2 => Just(Step::Flush),
        4 => Just(Step::Checkpoint),
        4 => prop::sample::select(vec![1, 3, 1000]).prop_map(|keys_max| Step::Clean { keys_max }),
        3 => (1..1500_i64).prop_map(Step::Wait),
        1 => Just(Step::RemoveFiles),
        1 => any::<(bool, bool)>()
            .prop_map(|(is_clean, keeps_snapshots)| Step::Restart { is_clean, keeps_snapshots }),
    ]
}

type Open = (LogDir<SimulatedDisk>, Arc<Log<SimulatedDisk>>);

fn start(disk: &SimulatedDisk) -> Open {
    let (dir, loaded) = load_with(lazy_settings(), disk, &root(), 1, &compacted()).unwrap();
    assert_eq!(loaded.damage, []);
    let log = Arc::clone(&loaded.logs[0]);
    (dir, log)
}

fn restart(disk: &SimulatedDisk, (dir, log): Open, is_clean: bool, keeps_snapshots: bool) -> Open {
    let end = log.log_end_offset();
    if is_clean {
        dir.clean_stop(BrokerEpoch(1)).unwrap();
    } else {
        dir.flush_round();
    }
    drop((dir, log));
    if !keeps_snapshots {
        let directory = root().join("events-0");
        for entry in disk.list(&directory).unwrap_or_default() {
            if entry.name.ends_with(".snapshot") {
                disk.remove_file(&directory.join(entry.name)).unwrap();
            }
        }
    }
    let (dir, log) = start(disk);
    assert_eq!(log.log_end_offset(), end, "offsets never change");
    (dir, log)
}

fn play(steps: Vec<Step>) {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let mut world = World::default();
    let (mut dir, mut log) = start(&disk);
    for step in steps {
        match step {
            Step::Send(send) => world.send(&log, &send),
            Step::End(producer_id, commits) => {
                let result = if commits { TransactionResult::Commit } else { TransactionResult::Abort };
                if world.open_transactions().contains(&producer_id) {
                    world.end_transaction(&log, producer_id, result);
                }
            }
            Step::Flush => dir.flush_round(),
            Step::Checkpoint => dir.checkpoint().unwrap(),
            Step::Clean { keys_max } => {
                let end = log.log_end_offset();
                world.clean(&log, keys_max);
                assert_eq!(log.log_end_offset(), end);
                world.verify(&log);
            }
            Step::Wait(ms) => world.now_ms += ms,
            Step::RemoveFiles => log.remove_deleted_segments(world.now()).unwrap(),
            Step::Restart { is_clean, keeps_snapshots } => {
                (dir, log) = restart(&disk, (dir, log), is_clean, keeps_snapshots);
                world.epoch += 1;
                world.verify(&log);
                world.verify_producers(&log);
            }
        }
    }
    dir.checkpoint().unwrap();
    for _ in 0..3 {
        world.clean(&log, 1000);
        world.verify(&log);
        world.now_ms += 2000;
    }
    // Everything that is known of producers comes from the batches that are left.
    let (_dir, log) = restart(&disk, (dir, log), false, false);
    world.epoch += 1;
    world.verify(&log);
    world.verify_producers(&log);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cleaned_log_holds_the_newest_value_of_each_key(steps in prop::collection::vec(step(), 1..250)) {
        play(steps);
    }
}

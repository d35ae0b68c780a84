//! Random histories of a log that leads, follows and is cut: it is always what the batches say that stayed, also after a
//! restart, and views of what went stay as they were.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::cut_world::*;
use super::support::*;
use crate::batch::TransactionResult;
use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;
use crate::ids::{BrokerEpoch, Offset};
use crate::log::Log;
use crate::log_dir::LogDir;

#[derive(Clone, Debug)]
enum Step {
    Send {
        role: Role,
        producer_id: i64,
        size: (i32, usize),
    },
    End {
        role: Role,
        which: i64,
        commits: bool,
    },
    /// Of the way from the start of the log to its end, in thousandths.
    Truncate(i64),
    StartOver(i64),
    FollowStart(i64),
    NextEpoch,
    Flush,
    Checkpoint,
    View(i64),
    DropViews,
    RemoveFiles,
    Restart {
        is_clean: bool,
        keeps_snapshots: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let role = prop_oneof![3 => Just(Role::Leader), 2 => Just(Role::Follower(0)), 1 => (1..9_i64).prop_map(Role::Follower)];
    let producer = prop::sample::select(vec![-1, 1, 2, FIRST_TRANSACTIONAL, FIRST_TRANSACTIONAL + 1]);
    let size = (1..5_i32, 0..250_usize);
    let send = (role.clone(), producer, size).prop_map(|(role, producer_id, size)| Step::Send {
        role,
        producer_id,
        size,
    });
    prop_oneof![
        40 => send,
        8 => (role, 0..2_i64, any::<bool>())
            .prop_map(|(role, which, commits)| Step::End { role, which: FIRST_TRANSACTIONAL + which, commits }),
        5 => prop_oneof![3 => 800..1001_i64, 1 => 0..1001_i64].prop_map(Step::Truncate),
        1 => (-50..200_i64).prop_map(Step::StartOver),
        1 => (0..1001_i64).prop_map(Step::FollowStart),
        3 => Just(Step::NextEpoch),
        4 => Just(Step::Flush),
        3 => Just(Step::Checkpoint),
        2 => (0..1001_i64).prop_map(Step::View),
        1 => Just(Step::DropViews),
        1 => Just(Step::RemoveFiles),
        1 => any::<(bool, bool)>()
            .prop_map(|(is_clean, keeps_snapshots)| Step::Restart { is_clean, keeps_snapshots }),
    ]
}

type Open = (LogDir<SimulatedDisk>, Arc<Log<SimulatedDisk>>);

fn start(disk: &SimulatedDisk) -> Open {
    let (dir, loaded) = load_with(lazy_settings(), disk, &root(), 1, &config(4000)).unwrap();
    assert_eq!(loaded.damage, []);
    let log = Arc::clone(&loaded.logs[0]);
    (dir, log)
}

fn restart(
    disk: &SimulatedDisk,
    (dir, log): Open,
    world: &mut World,
    is_clean: bool,
    keeps_snapshots: bool,
) -> Open {
    dir.flush_round();
    assert_eq!(log.flushed_end_offset(), log.log_end_offset());
    if is_clean {
        dir.clean_stop(BrokerEpoch(1)).unwrap();
    }
    drop((dir, log));
    let directory = root().join("events-0");
    if disk.list(&directory).is_err() {
        // Where it starts is known only once there is something in it.
        world.start_over(Offset(0));
    }
    for entry in disk.list(&directory).unwrap_or_default() {
        if !keeps_snapshots && entry.name.ends_with(".snapshot") {
            disk.remove_file(&directory.join(entry.name)).unwrap();
        }
    }
    start(disk)
}

fn play(steps: Vec<Step>) {
    let disk = SimulatedDisk::new(1, 1 << 30);
    let mut world = World::default();
    let (mut dir, mut log) = start(&disk);
    let mut views: Vec<(Bytes, Vec<u8>)> = Vec::new();
    for step in steps {
        let at = |world: &World, thousandths: i64| {
            Offset(world.start.0 + (world.end.0 - world.start.0) * thousandths / 1000)
        };
        match step {
            Step::Send { role, producer_id, size } => assert!(world.send(&log, role, producer_id, size)),
            Step::End { role, which, commits } => {
                let result = if commits { TransactionResult::Commit } else { TransactionResult::Abort };
                if world.open_transactions().contains(&which) {
                    assert!(world.end_transaction(&log, role, which, result));
                }
            }
            Step::Truncate(thousandths) => {
                let offset = at(&world, thousandths);
                log.truncate_to(offset).unwrap();
                world.truncate(offset);
                world.settle(&log, offset);
                world.epoch += 1;
                world.verify(&log);
            }
            Step::StartOver(beyond) => {
                let offset = Offset((world.end.0 + beyond).max(0));
                log.start_over_at(offset).unwrap();
                world.start_over(offset);
                world.verify(&log);
            }
            Step::FollowStart(thousandths) => {
                let offset = at(&world, thousandths);
                log.follow_log_start(offset, NOW).unwrap();
                world.start = world.start.max(offset);
                dir.checkpoint().unwrap();
                world.verify(&log);
            }
            Step::NextEpoch => world.epoch += 1,
            Step::Flush => {
                dir.flush_round();
                assert_eq!(log.flushed_end_offset(), log.log_end_offset());
            }
            Step::Checkpoint => dir.checkpoint().unwrap(),
            Step::View(thousandths) => {
                let from = at(&world, thousandths);
                let view = log.read(from, world.end, 5000, true).unwrap().records;
                views.push((view.clone(), view.to_vec()));
            }
            Step::DropViews => views.clear(),
            Step::RemoveFiles => log.remove_deleted_segments(NOW).unwrap(),
            Step::Restart { is_clean, keeps_snapshots } => {
                // Of transactions and producers below the start, only snapshots know.
                let keeps_snapshots = keeps_snapshots || world.start > Offset(0);
                (dir, log) = restart(&disk, (dir, log), &mut world, is_clean, keeps_snapshots);
                world.epoch += 1;
                world.verify(&log);
            }
        }
        for (view, copy) in &views {
            assert_eq!(view, copy, "a view keeps its bytes");
        }
    }
    world.verify(&log);
    views.clear();
    dir.checkpoint().unwrap();
    dir.checkpoint().unwrap();
    let (_dir, log) = restart(&disk, (dir, log), &mut world, false, true);
    world.verify(&log);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn log_is_what_the_batches_say_that_stayed(steps in prop::collection::vec(step(), 1..200)) {
        play(steps);
    }
}

//! A follower and a leader with any two logs find out where they part: every small pair of logs is tried.

use super::*;
use crate::fetch::BrokerRun;
use crate::leader::{IsrRules, Leader, PartitionMetadata, Standing};
use crate::metadata::image::PartitionImage;
use std::time::Duration;
use storage::ids::{BrokerEpoch, PartitionEpoch, PartitionIndex};
use storage::leader_epochs::LeaderEpochs;

const OFFSET_MAX: i64 = 4;
const EPOCH_MAX: i32 = 3;
const BROKER_EPOCH: BrokerEpoch = BrokerEpoch(20);

#[derive(Debug, Clone, PartialEq)]
struct Shape {
    start: i64,
    end: i64,
    epochs: LeaderEpochs,
}

impl Shape {
    fn ends(&self) -> LogEnds {
        LogEnds {
            log_start_offset: Offset(self.start),
            durable_end_offset: Offset(self.end),
            log_end_offset: Offset(self.end),
            latest_epoch: self.epochs.latest(),
        }
    }

    fn epoch_end(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        self.epochs.end_offset_for(epoch, Offset(self.end))
    }
}

/// Every log within the bounds, with every list of epochs that may begin in it.
fn all_shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for start in [0, 2] {
        for end in start..=OFFSET_MAX {
            let mut lists = vec![LeaderEpochs::default()];
            for epoch in 1..=EPOCH_MAX {
                for list in lists.clone() {
                    let after = list.entries().last().map_or(start, |last| last.start_offset.0 + 1);
                    for begins in after..=end {
                        let mut longer = list.clone();
                        longer.assign(LeaderEpoch(epoch), Offset(begins));
                        lists.push(longer);
                    }
                }
            }
            shapes.extend(lists.into_iter().map(|epochs| Shape { start, end, epochs }));
        }
    }
    shapes
}

/// Broker 1 leads with that log.
fn leader(shape: &Shape) -> Leader {
    let both: Box<[BrokerId]> = [BrokerId(1), BrokerId(2)].into();
    let partition = PartitionImage {
        index: PartitionIndex(0),
        replicas: both.clone(),
        isr: both,
        leader: Some(BrokerId(1)),
        leader_epoch: EPOCH,
        partition_epoch: PartitionEpoch(0),
        eligible_leader_replicas: Box::default(),
        last_known_eligible_leader_replicas: Box::default(),
        adding_replicas: Box::default(),
        removing_replicas: Box::default(),
    };
    let rules = IsrRules { min_insync_replicas: 1, replica_lag_time_max: Duration::from_secs(2) };
    let standing = |_| Some(Standing { broker_epoch: BROKER_EPOCH, may_join_isr: true });
    let metadata = PartitionMetadata { partition: &partition, rules, brokers: &standing };
    Leader::new(BrokerId(1), metadata, &shape.ends(), Offset(shape.start), Duration::ZERO)
}

/// Asks until the logs agree or the follower waits; each cut must change its log, or it would ask the same for ever.
fn meet(mut leader: Leader, at_leader: &Shape, mut log: Shape) {
    let mut follower = follower(log.start, log.end);
    while let Some(asked) = follower.position(&log.ends()) {
        let from = BrokerRun { broker_id: BrokerId(2), broker_epoch: BROKER_EPOCH };
        let epoch_end = |epoch| at_leader.epoch_end(epoch);
        let agreed = leader.fetch(from, &asked, &at_leader.ends(), epoch_end, Duration::ZERO);
        let answer = match agreed {
            Ok(()) => return,
            Err(refusal) => FetchAnswer::Refused(refusal),
        };
        let before = log.clone();
        match follower.on_answer(&asked, &answer, &log.ends(), |epoch| log.epoch_end(epoch)) {
            FollowerStep::Truncate(offset) => {
                log.end = log.end.min(offset.0);
                log.epochs.truncate_from_end(Offset(log.end));
            }
            FollowerStep::StartOver(offset) => {
                log = Shape { start: offset.0, end: offset.0, epochs: LeaderEpochs::default() };
                follower.started_over(offset);
            }
            FollowerStep::Wait(_) | FollowerStep::Halt(_) => return,
            step @ (FollowerStep::Ignore | FollowerStep::Append { .. }) => panic!("{step:?} on a refusal"),
        }
        assert!(log != before, "{before:?} asks for ever at {at_leader:?}, which answers {answer:?}");
    }
}

#[test]
fn every_round_trip_changes_the_followers_log_until_it_agrees() {
    let shapes = all_shapes();
    for at_leader in &shapes {
        let mut at_leader = at_leader.clone();
        at_leader.epochs.assign(EPOCH, Offset(at_leader.end));
        let leader = leader(&at_leader);
        for log in &shapes {
            meet(leader.clone(), &at_leader, log.clone());
        }
    }
}

//! Random histories from seeds. Whatever happens, no record that a client could read is lost or replaced; and once all
//! is repaired, the replicas become one.
//!
//! That the checker sees a loss is shown by building one [`Fault`] in at a time: random histories find each of them by
//! what clients see, without a look at the disks.

use super::checker::Violation;
use super::network::Connection;
use super::{Fault, Role, World};
use crate::leader::ProposalOutcome;
use std::time::Duration;
use storage::ids::{BrokerId, Offset};

/// How many steps a history has before all is repaired.
const STEPS: usize = 400;

/// How many rounds of exchange it may take after that.
const REPAIR_ROUNDS_MAX: usize = 200;

/// Numbers that follow from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).expect("small")).expect("small")
    }

    /// From `low` to `high`, both inclusive.
    fn between(&mut self, low: Offset, high: Offset) -> Offset {
        let width = usize::try_from(high.0 - low.0 + 1).expect("the bounds are in order");
        low.plus(i64::try_from(self.below(width)).expect("small"))
    }

    fn broker(&mut self) -> BrokerId {
        BrokerId(1 + i32::try_from(self.below(3)).expect("small"))
    }
}

/// Something that happens, to this node or to a random connection.
type Happening = fn(&mut History, BrokerId) -> Result<(), Violation>;

/// What happens, and how often beside the others.
const HAPPENINGS: &[(usize, Happening)] = &[
    (20, |history, id| history.world.write(id).map(drop)),
    (15, History::flush),
    (15, |history, id| history.quietly(|world| world.fetch(id))),
    (22, |history, _| history.deliver_to_leader()),
    (18, |history, _| history.deliver_to_follower()),
    (11, History::learn),
    (6, |history, _| history.controller_request()),
    (4, |history, _| history.pass_time()),
    (6, History::connection),
    (3, History::process),
    (2, History::checkpoint),
    (3, History::fence_or_unfence),
    (3, |history, id| history.quietly(|world| world.controller.move_leader(id))),
    (1, History::rare),
];

/// How a history begins.
const BEGINNINGS: &[fn(&mut Random, Option<Fault>) -> World] = &[
    |random, fault| World::new(&[1, 2, 3], 1 + random.below(3), fault),
    |random, fault| {
        let replicas: &[i32] = [&[1][..], &[1, 2]][random.below(2)];
        World::new(replicas, 1 + random.below(2), fault)
    },
    |_, fault| after(World::after_an_election, fault),
    |_, fault| after(World::after_a_leader_came_back, fault),
];

fn after(prelude: fn(&mut World) -> Result<(), Violation>, fault: Option<Fault>) -> World {
    let mut world = World::new(&[1, 2, 3], 2, fault);
    // With a fault built in, what comes first may go wrong already; the history then shows it later.
    prelude(&mut world).ok();
    world
}

/// A history.
struct History {
    world: World,
    random: Random,
    /// How often what happens in this one: some have many elections, some slow disks, and so on.
    weights: Vec<usize>,
    looks_at_disks: bool,
}

impl History {
    fn new(seed: u64, fault: Option<Fault>) -> Self {
        let mut random = Random(seed);
        let begin = BEGINNINGS[random.below(BEGINNINGS.len())];
        let mut world = begin(&mut random, fault);
        world.events.clear();
        let weights = HAPPENINGS.iter().map(|(weight, _)| weight * [1, 2, 6][random.below(3)]).collect();
        Self { world, random, weights, looks_at_disks: fault.is_none() }
    }

    fn run(&mut self) -> Result<(), Violation> {
        for _ in 0..STEPS {
            self.step()?;
            if self.looks_at_disks {
                self.world.check_disks()?;
            }
        }
        self.repair()?;
        self.world.check_end()
    }

    fn step(&mut self) -> Result<(), Violation> {
        let id = self.random.broker();
        let mut at = self.random.below(self.weights.iter().sum());
        for (index, weight) in self.weights.iter().enumerate() {
            if at < *weight {
                return (HAPPENINGS[index].1)(self, id);
            }
            at -= weight;
        }
        unreachable!("the weights add up to their sum")
    }

    fn quietly(&mut self, act: impl FnOnce(&mut World)) -> Result<(), Violation> {
        act(&mut self.world);
        Ok(())
    }

    /// What was sent on connections that are open no more mostly waits.
    fn deliver_to_leader(&mut self) -> Result<(), Violation> {
        let index = self.random.below(self.world.connections.len().max(1));
        let is_open = self.world.connections.get(index).is_some_and(Connection::is_open);
        if is_open || self.random.below(8) == 0 { self.world.deliver_to_leader(index) } else { Ok(()) }
    }

    fn deliver_to_follower(&mut self) -> Result<(), Violation> {
        self.world.deliver_to_follower(self.random.below(self.world.connections.len().max(1)))
    }

    fn pass_time(&mut self) -> Result<(), Violation> {
        self.world.wait(Duration::from_millis(self.random.next() % 300))
    }

    fn flush(&mut self, id: BrokerId) -> Result<(), Violation> {
        let log = &self.world.node(id).log;
        let end = self.random.between(log.durable_end(), log.end());
        self.world.flush(id, end)
    }

    fn learn(&mut self, id: BrokerId) -> Result<(), Violation> {
        let latest = self.world.controller.latest_index();
        let seen = self.world.node(id).seen;
        let index = (seen + 1 + self.random.below(3)).min(latest);
        self.world.learn(id, index)
    }

    /// A request is carried out, given up while it is on its way, or lost.
    fn controller_request(&mut self) -> Result<(), Violation> {
        if self.world.requests.is_empty() {
            return Ok(());
        }
        let index = self.random.below(self.world.requests.len());
        match self.random.below(6) {
            0 => {
                let request = self.world.requests[index].clone();
                self.world.requests[index].is_answered = true;
                self.world.fail(&request, ProposalOutcome::Unknown)
            }
            1 => {
                let request = self.world.requests.swap_remove(index);
                self.world.fail(&request, ProposalOutcome::Unknown)
            }
            _ => {
                let request = self.world.requests.swap_remove(index);
                self.world.decide(&request)
            }
        }
    }

    fn connection(&mut self, id: BrokerId) -> Result<(), Violation> {
        self.world.connect(id);
        self.world.fetch(id);
        Ok(())
    }

    fn process(&mut self, id: BrokerId) -> Result<(), Violation> {
        let node = self.world.node(id);
        if !node.is_running {
            self.world.start(id);
        } else if self.random.below(3) == 0 {
            let end = self.random.between(node.log.durable_end(), node.log.end());
            self.world.crash(id, end);
        }
        Ok(())
    }

    fn checkpoint(&mut self, id: BrokerId) -> Result<(), Violation> {
        let node = self.world.node_mut(id);
        node.checkpoint = node.high_watermark;
        Ok(())
    }

    fn fence_or_unfence(&mut self, id: BrokerId) -> Result<(), Violation> {
        let node = self.world.node(id);
        let has_shown_itself = node.is_running && node.seen >= node.registered_at;
        match (self.world.controller.latest().is_fenced(id), self.random.below(6)) {
            (true, _) if has_shown_itself => self.world.controller.unfence(id),
            (false, 0) => self.world.controller.fence(id),
            (false, 1) => self.world.controller.shut_down(id),
            (true | false, _) => {}
        }
        Ok(())
    }

    fn rare(&mut self, id: BrokerId) -> Result<(), Violation> {
        match self.random.below(3) {
            0 => {
                let mut replicas: Vec<_> = (1..=3).map(BrokerId).collect();
                replicas.swap(self.random.below(3), self.random.below(3));
                replicas.truncate(1 + self.random.below(3));
                let back = self.random.below(4) == 0;
                self.world.controller.reassign((!back).then_some(replicas));
            }
            1 => {
                let node = self.world.node(id);
                let start = self.random.between(node.log.start(), node.high_watermark.max(node.log.start()));
                self.world.delete_records(id, start);
            }
            _ => self.world.controller.set_min_insync_replicas(1 + self.random.below(3)),
        }
        Ok(())
    }

    /// Everything works again, and nothing new is written.
    fn repair(&mut self) -> Result<(), Violation> {
        for _ in 0..REPAIR_ROUNDS_MAX {
            for id in (1..=3).map(BrokerId) {
                if !self.world.node(id).is_running {
                    self.world.start(id);
                }
                self.world.learn(id, self.world.controller.latest_index())?;
                self.world.controller.unfence(id);
                if self.world.open_connection(id).is_none() {
                    self.world.connect(id);
                }
                self.world.fetch(id);
                self.world.flush(id, self.world.node(id).log.end())?;
            }
            for index in 0..self.world.connections.len() {
                while self.world.connections[index].has_mail() {
                    self.world.deliver_to_leader(index)?;
                    self.world.deliver_to_follower(index)?;
                }
            }
            for request in std::mem::take(&mut self.world.requests) {
                self.world.decide(&request)?;
            }
            self.world.wait(Duration::from_millis(20))?;
            if self.is_one() {
                return Ok(());
            }
        }
        Err(Violation::NoConvergence { state: format!("{:#?}", self.world.nodes) })
    }

    fn is_one(&self) -> bool {
        let partition = self.world.controller.latest().partition();
        let Some(leader) = partition.leader else { return false };
        let end = self.world.node(leader).log.end();
        partition.isr.len() == partition.replicas.len()
            && !partition.is_reassigning()
            && matches!(self.world.node(leader).role, Role::Leader(_))
            && partition.replicas.iter().all(|id| {
                let node = self.world.node(*id);
                node.log.end() == end && node.high_watermark == end
            })
    }
}

/// The first seed below `seeds` whose history violates something, and what.
fn first_violation(seeds: u64, fault: Option<Fault>) -> Option<(u64, Violation, Vec<String>)> {
    (0..seeds).find_map(|seed| {
        let mut history = History::new(seed, fault);
        history.run().err().map(|violation| (seed, violation, history.world.events))
    })
}

#[test]
fn nothing_that_a_client_could_read_is_lost_whatever_happens() {
    if let Some((seed, violation, events)) = first_violation(2_000, None) {
        panic!("seed {seed}: {violation}\n{}", events.join("\n"));
    }
}

/// The checker finds a world with this fault, by what clients see.
fn finds(fault: Fault) {
    let found = first_violation(20_000, Some(fault));
    let (_, violation, _) = found.expect("a history shows the fault");
    assert!(
        matches!(violation, Violation::Differs { .. } | Violation::Lost { .. } | Violation::Halted(_)),
        "{fault:?} is seen as {violation}"
    );
}

#[test]
fn the_checker_finds_a_high_watermark_of_log_ends() {
    finds(Fault::LogEndsCount);
}

#[test]
fn the_checker_finds_a_follower_that_joins_below_the_start_of_the_epoch() {
    finds(Fault::JoinsBelowEpochStart);
}

#[test]
fn the_checker_finds_a_high_watermark_that_leaves_out_who_is_about_to_join() {
    finds(Fault::ProposedMembersDoNotCount);
}

#[test]
fn the_checker_finds_a_high_watermark_that_moves_while_the_isr_is_too_small() {
    finds(Fault::TooSmallIsrCommits);
}

#[test]
fn the_checker_finds_a_follower_that_cuts_its_log_to_its_high_watermark() {
    finds(Fault::CutsToHighWatermark);
}

#[test]
fn the_checker_finds_a_leader_that_goes_on_in_its_epoch_after_a_crash() {
    finds(Fault::EpochKeptOverRestart);
}

#[test]
fn the_checker_finds_a_flush_that_counts_in_a_later_epoch() {
    finds(Fault::FlushesOfAnyEpochCount);
}

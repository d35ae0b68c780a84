//! What the fault tests share: how often, whom, and how long it took.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::load::progress::p99;
use client_tests::load::traffic::{PARTITIONS, Traffic};
use client_tests::replica_set::roles::Role;

/// From this many faults on the times are held against their limit; fewer, on a machine that does other things, say
/// too little.
const JUDGED_FROM: usize = 100;

/// The count in the environment variable, or this one.
pub(crate) fn count(variable: &str, default: usize) -> Result<usize> {
    std::env::var(variable).map_or(Ok(default), |count| count.parse()).with_context(|| variable.to_owned())
}

/// Numbers that are the same at each run.
#[derive(Debug)]
pub(crate) struct Dice(u32);

impl Dice {
    pub(crate) fn new() -> Dice {
        Dice(1)
    }

    /// A number below `end` (exclusive).
    pub(crate) fn roll(&mut self, end: i32) -> i32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i32::try_from(self.0 >> 16).unwrap_or_default() % end
    }
}

/// Whom a fault is to meet: in turn who leads a partition, controls the cluster, coordinates the group, and anyone.
pub(crate) fn role(number: usize, traffic: &Traffic, dice: &mut Dice) -> Role {
    match number % 4 {
        0 => Role::Leader(traffic.place(dice.roll(PARTITIONS))),
        1 => Role::Controller,
        2 => Role::Coordinator(traffic.group()),
        _ => Role::Node(1 + dice.roll(3)),
    }
}

/// How long partitions stood still after each fault.
#[derive(Debug)]
pub(crate) struct Recoveries {
    what: &'static str,
    limit: Duration,
    faults: usize,
    times: Vec<Duration>,
}

impl Recoveries {
    /// Times that must stay below `limit` in 99 of 100 cases.
    pub(crate) fn new(what: &'static str, limit: Duration) -> Recoveries {
        Recoveries { what, limit, faults: 0, times: Vec::new() }
    }

    /// The times of one fault, by partition.
    pub(crate) fn add(&mut self, fault: &str, times: &BTreeMap<i32, Duration>) {
        self.faults += 1;
        let longest = times.values().max().copied().unwrap_or_default();
        eprintln!("{fault}: {longest:.1?}");
        self.times.extend(times.values());
    }

    pub(crate) fn judge(mut self) -> Result<()> {
        self.times.sort_unstable();
        let middle = self.times.get(self.times.len() / 2).copied().unwrap_or_default();
        let highest = self.times.last().copied().unwrap_or_default();
        let (faults, what, limit) = (self.faults, self.what, self.limit);
        let p99 = p99(self.times);
        eprintln!("{faults} times {what}: p50 {middle:.1?}, p99 {p99:.1?}, highest {highest:.1?}");
        ensure!(faults < JUDGED_FROM || p99 < limit, "p99 after {what} is {p99:?}, the limit {limit:?}");
        Ok(())
    }
}

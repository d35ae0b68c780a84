//! `kill -9`, of the node of each role in turn: how long each partition acknowledges nothing.
//!
//! A partition is back with the first acknowledgement of a batch that was sent after the kill. Before each kill every
//! node is in sync and leads its part.

use std::time::Duration;

use anyhow::Result;

use super::nodes::NodeSet;
use super::probe::{Load, Probes};
use super::product::NODES;
use super::requests::{self, View};
use super::{Setting, milliseconds};
use crate::clock::pause;
use crate::side_by_side::Figures;
use crate::table::quantile;
use crate::through_log::batch_of;

const PARTITIONS: i32 = 12;
const TOPIC: &str = "bench-failover";
const BATCH_BYTES: usize = 1200;
/// Of one producer's batches. Kills fall anywhere between two of them.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long the set works between its being whole and the next kill.
const CALM: Duration = Duration::from_secs(2);

/// Who is killed.
#[derive(Clone, Copy)]
enum Role {
    /// Leads the first partition.
    Leader,
    /// Leads the metadata quorum.
    Controller,
    /// Coordinates a group.
    Coordinator,
    /// One after the other, whatever it does.
    Any,
}

impl Role {
    const ALL: [Self; 4] = [Self::Leader, Self::Controller, Self::Coordinator, Self::Any];

    fn name(self) -> &'static str {
        match self {
            Self::Leader => "the leader of the first partition",
            Self::Controller => "the controller",
            Self::Coordinator => "a group's coordinator",
            Self::Any => "each node in turn",
        }
    }

    fn victim(self, set: &NodeSet<'_>, round: u32) -> Result<u8> {
        match self {
            Self::Leader => set.ask(|connection| {
                let view = View::of(connection, Some(TOPIC))?;
                let first = view.partitions.iter().find(|partition| partition.number == 0);
                first.and_then(|partition| partition.leader).ok_or_else(|| anyhow::anyhow!("nobody leads"))
            }),
            Self::Controller => set.ask(requests::controller),
            Self::Coordinator => set.ask(requests::coordinator),
            Self::Any => {
                let place = round as usize % NODES.len();
                NODES.get(place).copied().ok_or_else(|| anyhow::anyhow!("the place is below the length"))
            }
        }
    }
}

pub(super) fn measure(setting: &Setting<'_>, figures: &mut Figures) -> Result<()> {
    let mut set = NodeSet::start(setting)?;
    set.create_topic(TOPIC, PARTITIONS)?;
    set.wait("a group is coordinated", |set| set.ask(requests::coordinator).map(|_| None))?;
    set.wait_until_whole()?;
    let (batch, _records) = batch_of(BATCH_BYTES)?;
    let load = Load { topic: TOPIC, partitions: PARTITIONS, batch, interval: INTERVAL };
    let probes = Probes::start(load, set.addresses());
    let mut of_all = Vec::new();
    for role in Role::ALL {
        let mut outages = Vec::new();
        for round in 0..setting.options.rounds {
            outages.extend(outages_of_one_kill(&mut set, &probes, role, round)?);
        }
        add(figures, role.name(), &mut outages);
        of_all.extend(outages);
    }
    add(figures, "any of these", &mut of_all);
    drop(probes);
    set.end()
}

/// One kill, and the return of the node; answers how long each partition acknowledged nothing.
fn outages_of_one_kill(
    set: &mut NodeSet<'_>,
    probes: &Probes,
    role: Role,
    round: u32,
) -> Result<Vec<Duration>> {
    set.balance()?;
    pause(CALM);
    probes.wait_until_punctual()?;
    let victim = role.victim(set, round)?;
    let killed = probes.now();
    set.kill(victim)?;
    set.wait("every partition acknowledges", |_| {
        let missing = probes.first_since(killed)?.iter().filter(|first| first.is_none()).count();
        Ok((missing > 0).then(|| format!("{missing} partitions do not")))
    })?;
    let firsts = probes.first_since(killed)?.into_iter().flatten();
    let outages: Vec<Duration> = firsts.map(|at| at.saturating_sub(killed)).collect();
    let longest = outages.iter().max().copied().unwrap_or_default();
    eprintln!("  round {round}: node {victim} ({}) killed: {:.0} ms", role.name(), milliseconds(longest));
    set.spawn(victim)?;
    set.wait_until_whole()?;
    Ok(outages)
}

fn add(figures: &mut Figures, who: &str, outages: &mut [Duration]) {
    outages.sort_unstable();
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        let what = format!("kill -9 of {who}: to the next acknowledgement of a partition, {name}, ms");
        figures.add(what, milliseconds(quantile(outages, share)));
    }
}

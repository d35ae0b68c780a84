//! Many partitions and nothing to do: CPU time and memory of each node.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::Setting;
use super::nodes::NodeSet;
use super::requests::{Refusal, View, connect, produce};
use crate::clock::{Stopwatch, pause};
use crate::compare::mebibytes;
use crate::side_by_side::Figures;
use crate::through_log::batch_of;

const TOPIC: &str = "bench-idle";
const BATCH_BYTES: usize = 1200;
/// What a set has left to do after its topic was made or written: followers, checkpoints, a JVM's compiler.
const SETTLE: Duration = Duration::from_secs(15);

pub(super) fn measure(setting: &Setting<'_>, figures: &mut Figures) -> Result<()> {
    let mut set = NodeSet::start(setting)?;
    let partitions = setting.options.partitions;
    let making = Stopwatch::start();
    set.create_topic(TOPIC, partitions)?;
    let what = format!("{partitions} partitions, 3 replicas");
    figures.add(format!("{what}: until all were made and in sync, s"), making.elapsed().as_secs_f64());
    watch(setting, &mut set, &format!("{what}, without a record"), figures)?;
    write_to_each(&set)?;
    watch(setting, &mut set, &format!("{what}, one record in each"), figures)?;
    set.end()
}

fn watch(setting: &Setting<'_>, set: &mut NodeSet<'_>, what: &str, figures: &mut Figures) -> Result<()> {
    pause(SETTLE);
    let before = each_cpu(set)?;
    let watch = Stopwatch::start();
    pause(Duration::from_secs(setting.options.idle_seconds));
    let after = each_cpu(set)?;
    let seconds = watch.elapsed().as_secs_f64();
    set.must_run()?;
    let shares = || {
        after.iter().zip(&before).map(|(after, before)| after.saturating_sub(*before).as_secs_f64() / seconds)
    };
    figures.add(format!("{what}: most of a core that a node takes, %"), 100.0 * shares().fold(0.0, f64::max));
    let mean = shares().sum::<f64>() / shares().len().max(1) as f64;
    figures.add("the same: mean of the nodes, %", 100.0 * mean);
    let memory = set.memory()?;
    figures.add("the same: anonymous memory of a node, MiB", mebibytes(memory.anonymous));
    figures.add("the same: resident memory of a node, MiB", mebibytes(memory.resident));
    Ok(())
}

fn each_cpu(set: &NodeSet<'_>) -> Result<Vec<Duration>> {
    set.running().map(|(_, _, process)| process.cpu()).collect()
}

/// One record in each partition, by one request to each leader.
fn write_to_each(set: &NodeSet<'_>) -> Result<()> {
    let view = set.ask(|connection| View::of(connection, Some(TOPIC)))?;
    let mut by_leader: BTreeMap<u8, Vec<i32>> = BTreeMap::new();
    for partition in &view.partitions {
        let leader = partition.leader.context("every partition is led")?;
        by_leader.entry(leader).or_default().push(partition.number);
    }
    let (batch, _records) = batch_of(BATCH_BYTES)?;
    for (leader, partitions) in by_leader {
        let (_, address, _) = set.running().find(|(id, ..)| *id == leader).context("the leader runs")?;
        match produce(&mut connect(address)?, TOPIC, &partitions, &batch) {
            Ok(()) => {}
            Err(Refusal::NotNow) => bail!("node {leader} does not acknowledge"),
            Err(Refusal::Never(error)) => return Err(error),
        }
    }
    Ok(())
}

//! A node is killed, misses records, and returns: how fast it catches up, and what other producers notice of that.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::nodes::NodeSet;
use super::probe::{Load, Probes};
use super::product::NODES;
use super::requests::{self, View, connect};
use super::throughput::{PARTITIONS, RECORD_BYTES};
use super::{Setting, milliseconds};
use crate::clock::{Stopwatch, pause};
use crate::compare::clients::{Pace, Production};
use crate::side_by_side::Figures;
use crate::table::quantile;
use crate::through_log::batch_of;

const MISSED: &str = "bench-missed";
const PACED: &str = "bench-paced";
const BATCH_BYTES: usize = 64 * 1024;
/// Of one producer's batches: 6 producers send about 4 MB/s together. They send one after the other, so a shorter interval
/// counts a wait that is longer than it more than once.
const INTERVAL: Duration = Duration::from_millis(100);
const WARM_UP: Duration = Duration::from_secs(10);
/// How long the producers are watched before, for comparison.
const WINDOW: Duration = Duration::from_secs(10);

pub(super) fn measure(setting: &Setting<'_>, figures: &mut Figures) -> Result<()> {
    let mut set = NodeSet::start(setting)?;
    set.create_topic(MISSED, PARTITIONS)?;
    set.create_topic(PACED, PARTITIONS)?;
    let (batch, _records) = batch_of(BATCH_BYTES)?;
    let batch_bytes = batch.len() as f64;
    let load = Load { topic: PACED, partitions: PARTITIONS, batch, interval: INTERVAL };
    let probes = Probes::start(load, set.addresses());
    pause(WARM_UP);
    let whole = watch(&probes)?;

    let victim = absent(&set)?;
    let killed = probes.now();
    set.kill(victim)?;
    let records = setting.options.missed_megabytes * 1_000_000 / RECORD_BYTES;
    set.clients().produce(&Production {
        topic: MISSED,
        records,
        record_bytes: RECORD_BYTES,
        batch_bytes: 64 * 1024,
        pace: Pace::Full,
    })?;
    pause(WARM_UP);
    let without_it = watch(&probes)?;

    let cpu = set.cpu()?;
    let (started, stopwatch) = (probes.now(), Stopwatch::start());
    set.spawn(victim)?;
    set.wait("the node answers", |set| {
        let (_, address, _) = set.running().find(|(id, ..)| *id == victim).context("it runs")?;
        View::of(&mut connect(address)?, None).map(|_| None)
    })?;
    let answered = stopwatch.elapsed();
    set.wait_until_whole()?;
    let (returned, caught_up) = (stopwatch.elapsed(), probes.now());
    let cpu = set.cpu()?.saturating_sub(cpu);
    probes.wait_for_all_due()?;
    let meanwhile = probes.latencies(started, caught_up)?;
    let paced_batches = probes.latencies(killed, caught_up)?.len();
    let missed = (records * RECORD_BYTES) as f64 + paced_batches as f64 * batch_bytes;

    figures.add("a node was away: MB that it missed", missed / 1e6);
    figures.add("the same: from its start until it answered, s", answered.as_secs_f64());
    figures.add("the same: from its start until it was in sync everywhere, s", returned.as_secs_f64());
    let catching_up = returned.saturating_sub(answered).as_secs_f64().max(0.001);
    figures.add("the same: MB/s since it answered", missed / 1e6 / catching_up);
    figures.add("the same: CPU-s of the set from its start until then", cpu.as_secs_f64());
    for (when, latencies) in
        [("before", &whole), ("while the node was away", &without_it), ("while it caught up", &meanwhile)]
    {
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let what = format!("64 KiB batches at 4 MB/s, {when}: latency {name}, ms");
            figures.add(what, milliseconds(quantile(latencies, share)));
        }
    }
    drop(probes);
    set.end()
}

/// The latencies of some time, once no producer is behind.
fn watch(probes: &Probes) -> Result<Vec<Duration>> {
    probes.wait_until_punctual()?;
    let start = probes.now();
    pause(WINDOW);
    let end = probes.now();
    probes.wait_for_all_due()?;
    probes.latencies(start, end)
}

/// A node without the controller's work, whose move is measured elsewhere.
fn absent(set: &NodeSet<'_>) -> Result<u8> {
    let controller = set.ask(requests::controller)?;
    NODES.into_iter().find(|id| *id != controller).context("there are several nodes")
}

//! Latency of records at a pace that every contender keeps.

use anyhow::Result;

use super::Setting;
use super::nodes::NodeSet;
use super::throughput::{PARTITIONS, RECORD_BYTES};
use crate::compare::clients::{Pace, Production};
use crate::side_by_side::Figures;
use crate::table::cpu_per_gb;

/// The client's `batch.size`: its default.
const BATCH_BYTES: u32 = 16 * 1024;
const TOPIC: &str = "bench-latency";

pub(super) fn measure(setting: &Setting<'_>, pace: u64, figures: &mut Figures) -> Result<()> {
    let mut set = NodeSet::start(setting)?;
    set.create_topic(TOPIC, PARTITIONS)?;
    let production = Production {
        topic: TOPIC,
        records: pace * setting.options.paced_seconds,
        record_bytes: RECORD_BYTES,
        batch_bytes: BATCH_BYTES,
        pace: Pace::RecordsPerSecond(pace),
    };
    let clients = set.clients();
    // Of two runs the second counts, when the JVMs are warm.
    clients.produce(&production)?;
    let before = set.cpu()?;
    let produced = clients.produce(&production)?;
    let cpu = set.cpu()?.saturating_sub(before);
    let what = format!("1 KiB at {pace}/s, 3 replicas, acks=all");
    figures.add(format!("{what}: records/s"), produced.records_per_second);
    for (name, latency_ms) in
        [("p50", produced.p50_ms), ("p99", produced.p99_ms), ("p99.9", produced.p999_ms)]
    {
        figures.add(format!("the same: latency {name}, ms"), latency_ms);
    }
    let bytes = production.records * RECORD_BYTES;
    figures.add("the same: CPU-s/GB of the set", cpu_per_gb(cpu, bytes));
    set.end()
}

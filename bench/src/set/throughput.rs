//! Full speed: what the set takes, what that costs it, and what it holds in memory then.

use anyhow::Result;

use super::Setting;
use super::nodes::NodeSet;
use crate::compare::clients::{Pace, Produced, Production};
use crate::compare::mebibytes;
use crate::side_by_side::Figures;
use crate::table::cpu_per_gb;

pub(super) const PARTITIONS: i32 = 6;
/// The size of a record's value.
pub(super) const RECORD_BYTES: u64 = 1024;
/// The client's `batch.size` at full speed.
const BATCH_BYTES: u32 = 64 * 1024;
const TOPIC: &str = "bench-throughput";

pub(super) fn measure(setting: &Setting<'_>, figures: &mut Figures) -> Result<()> {
    let mut set = NodeSet::start(setting)?;
    let idle = set.memory()?;
    set.create_topic(TOPIC, PARTITIONS)?;
    // Of two runs the second counts, when the JVMs are warm.
    produce(setting, &set)?;
    let before = set.cpu()?;
    let produced = produce(setting, &set)?;
    let cpu = set.cpu()?.saturating_sub(before);
    let loaded = set.memory()?;
    set.must_run()?;
    let bytes = records(setting) * RECORD_BYTES;
    set.clients().consume_by_kcat(TOPIC, 2 * bytes)?;
    figures.add("produce 1 KiB, 3 replicas, acks=all: records/s", produced.records_per_second);
    figures.add("the same: CPU-s/GB of the set", cpu_per_gb(cpu, bytes));
    figures.add("the same: anonymous memory of a node afterwards, MiB", mebibytes(loaded.anonymous));
    figures.add(
        "the same: resident memory of a node, mapped log pages included, MiB",
        mebibytes(loaded.resident),
    );
    figures.add("anonymous memory of a node before any load, MiB", mebibytes(idle.anonymous));
    set.end()
}

/// The records each second that the set takes at most.
pub(super) fn most_of(setting: &Setting<'_>) -> Result<u64> {
    let mut set = NodeSet::start(setting)?;
    set.create_topic(TOPIC, PARTITIONS)?;
    produce(setting, &set)?;
    let produced = produce(setting, &set)?;
    set.end()?;
    Ok(produced.records_per_second as u64)
}

fn records(setting: &Setting<'_>) -> u64 {
    setting.options.megabytes * 1_000_000 / RECORD_BYTES
}

fn produce(setting: &Setting<'_>, set: &NodeSet<'_>) -> Result<Produced> {
    set.clients().produce(&Production {
        topic: TOPIC,
        records: records(setting),
        record_bytes: RECORD_BYTES,
        batch_bytes: BATCH_BYTES,
        pace: Pace::Full,
    })
}

//! From the start of three empty nodes to the first acknowledged record of a topic with three replicas.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;

use super::nodes::NodeSet;
use super::requests::{Refusal, View, connect, create_topic, produce};
use super::{Setting, milliseconds};
use crate::compare::mebibytes;
use crate::side_by_side::Figures;
use crate::table::quantile;
use crate::through_log::batch_of;

const TOPIC: &str = "bench-start";
const BATCH_BYTES: usize = 1200;
/// How often the topic is tried to be made. Larger rounds the figure up; smaller takes CPU from the start.
const STEP: Duration = Duration::from_millis(2);

pub(super) fn measure(setting: &Setting<'_>, figures: &mut Figures) -> Result<()> {
    let mut to_topic = Vec::new();
    let mut to_record = Vec::new();
    let mut memory = 0;
    let (batch, _records) = batch_of(BATCH_BYTES)?;
    for _ in 0..setting.options.starts {
        let mut set = NodeSet::prepare(setting)?;
        let started = set.spawn_all()?;
        set.wait_by(STEP, "the topic is made", |set| {
            let is_made = set.ask(|connection| create_topic(connection, TOPIC, 1))?;
            Ok((!is_made).then(|| "not now".to_owned()))
        })?;
        to_topic.push(started.elapsed());
        set.wait_by(STEP, "a record is acknowledged", |set| acknowledge(set, &batch))?;
        to_record.push(started.elapsed());
        memory = memory.max(set.memory()?.anonymous);
        set.end()?;
    }
    to_topic.sort_unstable();
    to_record.sort_unstable();
    let middle = milliseconds(quantile(&to_topic, 0.5));
    figures.add("three empty nodes: from their start until a topic was made, median, ms", middle);
    for (name, share) in [("min", 0.0), ("median", 0.5), ("max", 1.0)] {
        let what =
            format!("three empty nodes: from their start to the first acknowledged record, {name}, ms");
        figures.add(what, milliseconds(quantile(&to_record, share)));
    }
    figures.add("anonymous memory of a node then, MiB", mebibytes(memory));
    Ok(())
}

/// Sends one record to who leads; answers what is missing.
fn acknowledge(set: &NodeSet<'_>, batch: &Bytes) -> Result<Option<String>> {
    let view = set.ask(|connection| View::of(connection, Some(TOPIC)))?;
    let Some(leader) = view.partitions.first().and_then(|partition| partition.leader) else {
        return Ok(Some("nobody leads".to_owned()));
    };
    let (_, address, _) = set.running().find(|(id, ..)| *id == leader).context("the leader runs")?;
    match produce(&mut connect(address)?, TOPIC, &[0], batch) {
        Ok(()) => Ok(None),
        Err(Refusal::NotNow) => Ok(Some("it was refused".to_owned())),
        Err(Refusal::Never(error)) => Err(error),
    }
}

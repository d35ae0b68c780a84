//! Duplicates that a client made, and not the broker: librdkafka begins a new producer epoch where a request that followed a
//! failed one is refused as out of order, and sends again what may have been written under the old epoch. The broker cannot
//! know. Source: confluentinc/librdkafka issue 4953, and `rd_kafka_handle_idempotent_Produce_error` in 2.12.1.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use crate::history::anomaly::Anomaly;
use crate::replica_set::ReplicaSet;
use crate::replica_set::replicas::Replica;

/// Takes out of `anomalies` the duplicates of this producer whose copies are of different producer epochs, and returns how
/// many there were. The nodes must be down.
///
/// # Errors
/// When a log does not read.
pub fn take_duplicates_of_several_epochs(
    set: &ReplicaSet,
    producer: u32,
    anomalies: &mut Vec<Anomaly>,
) -> Result<usize> {
    let mut kept = Vec::new();
    let mut taken = 0;
    for anomaly in anomalies.drain(..) {
        match &anomaly {
            Anomaly::Duplicate { place, record, offsets } if record.producer == producer => {
                let node = set.nodes().first().context("there is no node")?;
                let replica = Replica::read(node.id(), node.data_dir(), place)?;
                let epochs = offsets.iter().map(|offset| replica.producer_at(*offset));
                let epochs = epochs.collect::<Option<BTreeSet<_>>>();
                if epochs.is_some_and(|epochs| epochs.len() == offsets.len()) {
                    taken += 1;
                } else {
                    kept.push(anomaly);
                }
            }
            _ => kept.push(anomaly),
        }
    }
    *anomalies = kept;
    Ok(taken)
}

//! Looks for every anomaly in a history.
//!
//! Each rule only uses what is certain: a send without an outcome is neither expected nor held to be absent, and offsets
//! of acknowledgements count as much as offsets of reads.

mod offsets;
mod reads;
mod sends;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::anomaly::Anomaly;
use super::content::{Identity, Place};
use super::{Entry, History, Operation, Outcome};

/// How many anomalies an error shows; a broken log can make a million.
const SHOWN: usize = 20;

/// What is known of one partition.
#[derive(Debug, Default)]
struct Known {
    /// Every record that was acknowledged or read at an offset.
    at_offset: BTreeMap<i64, BTreeSet<Identity>>,
    /// Every offset at which a record was acknowledged or read.
    offsets_of: BTreeMap<Identity, BTreeSet<i64>>,
    /// Acknowledged records, with their offset where the client was told.
    acknowledged: BTreeMap<Identity, Option<i64>>,
    /// Records that were refused for good.
    failed: BTreeSet<Identity>,
    /// Every record that was read.
    read: BTreeSet<Identity>,
    /// The highest offset that was read.
    read_to: Option<i64>,
    /// By producer, the first sequence that was not sent.
    attempted: BTreeMap<u32, i64>,
}

impl Known {
    fn note(&mut self, offset: i64, record: Identity) {
        self.at_offset.entry(offset).or_default().insert(record);
        self.offsets_of.entry(record).or_default().insert(offset);
    }

    fn note_attempt(&mut self, producer: u32, end: i64) {
        let known = self.attempted.entry(producer).or_default();
        *known = end.max(*known);
    }
}

/// All anomalies of a history at whose end fresh consumers have read every partition from start to end. All producers
/// are idempotent.
#[must_use]
pub fn anomalies(history: &History) -> Vec<Anomaly> {
    let entries = history.entries();
    let known = know(&entries);
    let mut found = Vec::new();
    for (place, known) in &known {
        sends::check(place, known, &mut found);
        reads::check_presence(place, known, &mut found);
    }
    reads::check_order(&entries, &known, &mut found);
    offsets::check_end_offsets(&entries, &mut found);
    offsets::check_committed_offsets(&entries, &mut found);
    found
}

/// Checks that there is no anomaly.
///
/// # Errors
/// The first ones, and how many there are.
pub fn expect_none(anomalies: &[Anomaly]) -> Result<()> {
    if anomalies.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = anomalies.iter().take(SHOWN).map(Anomaly::to_string).collect();
    bail!("{} anomalies:\n{}", anomalies.len(), lines.join("\n"));
}

/// Gathers what is known of each partition.
fn know(entries: &[Entry]) -> BTreeMap<Place, Known> {
    let mut places: BTreeMap<Place, Known> = BTreeMap::new();
    for entry in entries {
        match &entry.operation {
            Operation::Attempted { producer, place, end } => {
                places.entry(place.clone()).or_default().note_attempt(*producer, *end);
            }
            Operation::Send { place, record, outcome } => {
                let known = places.entry(place.clone()).or_default();
                known.note_attempt(record.producer, record.sequence + 1);
                match outcome {
                    Outcome::Acknowledged(offset) => {
                        known.acknowledged.insert(*record, *offset);
                        if let Some(offset) = offset {
                            known.note(*offset, *record);
                        }
                    }
                    Outcome::Failed => {
                        known.failed.insert(*record);
                    }
                    Outcome::Unknown => {}
                }
            }
            Operation::Poll { place, records, .. } => {
                let known = places.entry(place.clone()).or_default();
                for (offset, read) in records {
                    known.read_to = known.read_to.max(Some(*offset));
                    if let Ok(record) = read {
                        known.note(*offset, *record);
                        known.read.insert(*record);
                    }
                }
            }
            Operation::Assigned { .. }
            | Operation::EndOffset { .. }
            | Operation::Commit { .. }
            | Operation::Committed { .. } => {}
        }
    }
    places
}

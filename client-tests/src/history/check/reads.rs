//! Rules on what is read: everything that was acknowledged, nothing else, and in order.

use std::collections::BTreeMap;

use super::Known;
use crate::history::anomaly::Anomaly;
use crate::history::content::{Identity, Place};
use crate::history::{Entry, Operation};

/// What was acknowledged is read, and what is read was sent and not refused.
pub(super) fn check_presence(place: &Place, known: &Known, found: &mut Vec<Anomaly>) {
    let missing = known.acknowledged.iter().filter(|(record, _)| !known.read.contains(record));
    for (&record, &offset) in missing {
        let place = place.clone();
        found.push(match (offset, known.read_to) {
            (Some(offset), Some(read_to)) if offset <= read_to => {
                Anomaly::LostWrite { place, record, offset, read_to }
            }
            _ => Anomaly::Unseen { place, record, offset },
        });
    }
    for record in known.read.intersection(&known.failed) {
        let offset = known.offsets_of.get(record).and_then(|offsets| offsets.first());
        let offset = offset.copied().unwrap_or(-1);
        found.push(Anomaly::FailedSendSeen { place: place.clone(), record: *record, offset });
    }
    for (&record, offsets) in &known.offsets_of {
        if known.attempted.get(&record.producer).is_none_or(|end| record.sequence >= *end) {
            let offset = offsets.first().copied().unwrap_or(-1);
            let why = format!("nobody sent {record}");
            found.push(Anomaly::PhantomRead { place: place.clone(), offset, why });
        }
    }
}

/// Each consumer reads on from where it was, and leaves nothing out that is there; what it reads is whole.
pub(super) fn check_order(entries: &[Entry], known: &BTreeMap<Place, Known>, found: &mut Vec<Anomaly>) {
    let mut positions: BTreeMap<(u32, &Place), i64> = BTreeMap::new();
    for entry in entries {
        match &entry.operation {
            Operation::Assigned { process, place } => {
                positions.remove(&(*process, place));
            }
            Operation::Poll { process, place, records } => {
                for (offset, read) in records {
                    check_whole(place, *offset, read, found);
                    if let Some(before) = positions.insert((*process, place), *offset) {
                        check_step(*process, place, (before, *offset), known.get(place), found);
                    }
                }
            }
            Operation::Attempted { .. }
            | Operation::Send { .. }
            | Operation::EndOffset { .. }
            | Operation::Commit { .. }
            | Operation::Committed { .. } => {}
        }
    }
}

fn check_whole(place: &Place, offset: i64, read: &Result<Identity, String>, found: &mut Vec<Anomaly>) {
    if let Err(why) = read {
        found.push(Anomaly::PhantomRead { place: place.clone(), offset, why: why.clone() });
    }
}

fn check_step(
    process: u32,
    place: &Place,
    (before, after): (i64, i64),
    known: Option<&Known>,
    found: &mut Vec<Anomaly>,
) {
    let place = || place.clone();
    if after <= before {
        found.push(Anomaly::NonmonotonicPoll { process, place: place(), before, after });
    } else if known.is_some_and(|known| known.at_offset.range(before + 1..after).next().is_some()) {
        found.push(Anomaly::PollSkip { process, place: place(), before, after });
    }
}

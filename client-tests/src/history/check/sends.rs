//! Rules on what sends bring about: one record an offset, one offset a record, in the order of the producer.

use super::Known;
use crate::history::anomaly::Anomaly;
use crate::history::content::{Identity, Place};

pub(super) fn check(place: &Place, known: &Known, found: &mut Vec<Anomaly>) {
    for (&offset, records) in &known.at_offset {
        if records.len() > 1 {
            let records = records.clone();
            found.push(Anomaly::InconsistentOffset { place: place.clone(), offset, records });
        }
    }
    for (&record, offsets) in &known.offsets_of {
        if offsets.len() > 1 {
            let offsets = offsets.clone();
            found.push(Anomaly::Duplicate { place: place.clone(), record, offsets });
        }
    }
    // Identities are ordered by producer, then sequence. A record at several offsets counts by its first as the later
    // one, and by its last as the earlier one, so that a duplicate is not reported twice over.
    let mut earlier: Option<(Identity, i64)> = None;
    for (&record, offsets) in &known.offsets_of {
        let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else { continue };
        if let Some(earlier) = earlier.filter(|earlier| earlier.0.producer == record.producer)
            && last < earlier.1
        {
            found.push(Anomaly::NonmonotonicSend { place: place.clone(), earlier, later: (record, last) });
        }
        earlier = Some((record, first));
    }
}

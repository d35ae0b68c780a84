//! The first pass of a round: the newest offset of each key in the dirty part of a log.

use std::sync::Arc;

use super::key_map::{Full, KeyMap};
use super::round::{Pass, decompressed_bytes_max};
use super::transactions::PassingTransactions;
use crate::batch::{BatchHeader, EndTransactionMarker};
use crate::disk::Disk;
use crate::error::CleanError;
use crate::ids::Offset;
use crate::records::records_of;
use crate::segment::Segment;

/// The keys of the records from `first_dirty_offset` to the end (exclusive) that is answered beside them: that of the
/// segments or, where memory does not suffice, before the first record that found no room.
pub(super) fn collect<D: Disk>(
    pass: &mut Pass<'_, D>,
    segments: &[Arc<Segment<D>>],
    first_dirty_offset: Offset,
) -> Result<(KeyMap, Offset), CleanError> {
    let dirty = segments.iter().filter(|segment| segment.next_offset() > first_dirty_offset);
    let end = segments.last().map_or(first_dirty_offset, |last| last.next_offset());
    let settings = pass.settings;
    let offset_count = u64::try_from(end.0.saturating_sub(first_dirty_offset.0)).unwrap_or(0);
    let mut keys = KeyMap::new(settings.key_bytes_max, settings.key_load_factor, offset_count);
    let start = dirty.clone().next().map_or(end, |segment| segment.base_offset);
    let mut passing = PassingTransactions::new(pass.log.aborted_transactions(start, end));
    let bytes_max = decompressed_bytes_max(&pass.log.config());
    let mut first_without_room = None;
    for segment in dirty {
        pass.for_each_batch(segment, |pass, header, batch| {
            pass.stats.key_bytes_read += batch.len() as u64;
            if header.attributes.is_control() {
                let marker = EndTransactionMarker::read(batch).map_err(|error| error.to_string())?;
                return passing
                    .marker(header, marker.as_ref())
                    .map(|_| true)
                    .map_err(|error| error.to_string());
            }
            if passing.data(header) || header.last_offset() < first_dirty_offset {
                return Ok(true);
            }
            first_without_room = put_all(&mut keys, header, batch, first_dirty_offset, bytes_max)?;
            Ok(first_without_room.is_none())
        })?;
        if let Some(offset) = first_without_room {
            return Ok((keys, offset));
        }
    }
    Ok((keys, end))
}

/// Puts the keys of a batch, and answers the offset of the first record for whose key there was no room.
fn put_all(
    keys: &mut KeyMap,
    header: &BatchHeader,
    batch: &[u8],
    first_dirty_offset: Offset,
    bytes_max: usize,
) -> Result<Option<Offset>, String> {
    if header.record_count == 0 {
        return Ok(None);
    }
    let records = records_of(batch, bytes_max).map_err(|error| error.to_string())?;
    for record in &records {
        let record = record.map_err(|error| error.to_string())?;
        let Some(key) = record.key.filter(|_| record.offset >= first_dirty_offset) else { continue };
        if keys.put(key, record.offset) == Err(Full) {
            return Ok(Some(record.offset));
        }
    }
    Ok(None)
}

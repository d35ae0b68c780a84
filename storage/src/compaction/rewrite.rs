//! A batch with fewer records, or with a delete horizon.
//!
//! Invariants: offsets stay, and so do base offset, last offset, producer, epochs and sequence of the batch; the codec is
//! the batch's own; what comes out passes [`crate::batch::check`]. Decompression never holds more than its cap.
//! Absent: which records stay ([`super::retain`]). Source: MemoryRecords.filterTo, buildRetainedRecordsInto.

use std::borrow::Cow;

use thiserror::Error;

use crate::batch::{Attributes, BatchHeader};
use crate::batch_builder::{BuildError, assemble};
use crate::compression::{Codec, compress};
use crate::ids::TimestampMs;
use crate::records::{Record, RecordFault, Records, RecordsError, put_rebased, records_of};

/// Why a batch cannot be written anew. The log is left as it is then.
#[derive(Debug, Error)]
pub(super) enum RewriteError {
    /// Its records cannot be opened.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// One of its records cannot be read.
    #[error(transparent)]
    Record(#[from] RecordFault),
    /// The result is too large, or a codec failed.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// A batch after its records were looked at.
#[derive(Debug)]
pub(super) struct Filtered<'a> {
    /// The batch as it is written, or `None` where no record stays.
    pub(super) batch: Option<Cow<'a, [u8]>>,
    /// How many records stay.
    pub(super) kept: i32,
}

/// The batch with the records for which `keeps` holds. With `horizon`, a tombstone among them starts it.
pub(super) fn filter<'a>(
    batch: &'a [u8],
    decompressed_bytes_max: usize,
    horizon: Option<TimestampMs>,
    keeps: impl Fn(&Record<'_>) -> bool,
) -> Result<Filtered<'a>, RewriteError> {
    let records = records_of(batch, decompressed_bytes_max)?;
    let header = records.header;
    let mut kept = Kept::new(records.area());
    let mut reader = records.iter();
    while let Some((record, bytes)) = reader.next_with_bytes() {
        let record = record?;
        kept.take(&record, bytes.len(), keeps(&record));
    }
    let horizon = horizon.filter(|_| kept.has_tombstone);
    if kept.count == 0 {
        return Ok(Filtered { batch: None, kept: 0 });
    }
    if kept.is_all() && horizon.is_none() {
        let whole = batch.get(..header.size_in_bytes()).unwrap_or(batch);
        return Ok(Filtered { batch: Some(Cow::Borrowed(whole)), kept: kept.count });
    }
    let is_log_append_time = header.attributes.is_log_append_time();
    let max_timestamp = if is_log_append_time { header.max_timestamp } else { kept.max_timestamp };
    let remaining = BatchHeader { max_timestamp, record_count: kept.count, ..header };
    let batch = assemble_with(&remaining, kept.area(), horizon)?;
    Ok(Filtered { batch: Some(Cow::Owned(batch)), kept: kept.count })
}

/// The same batch with a delete horizon.
pub(super) fn with_horizon(
    batch: &[u8],
    decompressed_bytes_max: usize,
    horizon: TimestampMs,
) -> Result<Vec<u8>, RewriteError> {
    let records = records_of(batch, decompressed_bytes_max)?;
    assemble_with(&records.header, records.area(), Some(horizon))
}

/// The header of the batch, for no records: what is known of its producer stays. Source:
/// `DefaultRecordBatch.writeEmptyHeader`.
pub(super) fn emptied(header: &BatchHeader) -> Result<Vec<u8>, RewriteError> {
    let attributes = Attributes(header.attributes.0 & !(Attributes::CODEC | Attributes::DELETE_HORIZON));
    let header = BatchHeader { attributes, base_timestamp: header.max_timestamp, record_count: 0, ..*header };
    Ok(assemble(&header, &[])?)
}

/// What stays of an uncompressed records area; nothing is copied before the first record that goes.
struct Kept<'a> {
    all: &'a [u8],
    /// Up to where `all` was read.
    read: usize,
    copied: Option<Vec<u8>>,
    count: i32,
    has_tombstone: bool,
    max_timestamp: TimestampMs,
}

impl<'a> Kept<'a> {
    fn new(all: &'a [u8]) -> Self {
        let max_timestamp = TimestampMs::NONE;
        Self { all, read: 0, copied: None, count: 0, has_tombstone: false, max_timestamp }
    }

    fn take(&mut self, record: &Record<'_>, len: usize, is_kept: bool) {
        let (before, rest) = self.all.split_at_checked(self.read).unwrap_or((self.all, &[]));
        self.read += len;
        if !is_kept {
            self.copied.get_or_insert_with(|| before.to_vec());
            return;
        }
        if let Some(copied) = &mut self.copied {
            copied.extend_from_slice(rest.get(..len).unwrap_or(rest));
        }
        self.count += 1;
        self.has_tombstone |= record.value.is_none();
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
    }

    fn is_all(&self) -> bool {
        self.copied.is_none()
    }

    fn area(&self) -> &[u8] {
        self.copied.as_deref().unwrap_or(self.all)
    }
}

fn assemble_with(
    header: &BatchHeader,
    area: &[u8],
    horizon: Option<TimestampMs>,
) -> Result<Vec<u8>, RewriteError> {
    let Some(horizon) = horizon else { return compressed(header, area) };
    let shift_ms = header.base_timestamp.0.wrapping_sub(horizon.0);
    let mut rebased = Vec::with_capacity(area.len() + area.len() / 8);
    let mut reader = Records::new(header, area);
    while let Some((record, bytes)) = reader.next_with_bytes() {
        record?;
        put_rebased(bytes, shift_ms, &mut rebased)?;
    }
    let attributes = Attributes(header.attributes.0 | Attributes::DELETE_HORIZON);
    compressed(&BatchHeader { attributes, base_timestamp: horizon, ..*header }, &rebased)
}

fn compressed(header: &BatchHeader, area: &[u8]) -> Result<Vec<u8>, RewriteError> {
    let codec = header.attributes.compression();
    let codec = codec.ok_or(RecordsError::UnknownCodec(header.attributes.codec_number()))?;
    let batch = match codec {
        Codec::None => assemble(header, area)?,
        Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => {
            let packed = compress(codec, codec.default_level(), area).map_err(BuildError::from)?;
            assemble(header, &packed)?
        }
    };
    Ok(batch)
}

#[cfg(test)]
mod tests;

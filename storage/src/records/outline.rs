//! What a broker asks of every record (its offset, its time, whether it has a key), read while the batch is decompressed.
//!
//! Invariant: it takes as much memory as [`Opened`], whatever a batch opens into: a small batch of a hostile producer may
//! open into thousands of times its size.

use thiserror::Error;

use super::{RecordFault, RecordsError, parts_of};
use crate::batch::BatchHeader;
use crate::compression::{DecompressError, Opened};
use crate::ids::TimestampMs;

/// What is asked of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordOutline {
    /// Its offset relative to the batch's base offset, as the producer wrote it.
    pub(crate) offset_delta: i32,
    /// Its timestamp: the batch's maximum where the broker set the time.
    pub(crate) timestamp: TimestampMs,
    /// Whether it has a key.
    pub(crate) has_key: bool,
}

/// Why the records cannot be read on.
#[derive(Debug, Error)]
pub(crate) enum OutlineError {
    /// The records are none.
    #[error(transparent)]
    Fault(#[from] RecordFault),
    /// Their stream is none, or too long.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
}

/// The outlines of a batch's records, in order. It ends after the first fault.
pub(crate) struct RecordOutlines<'a> {
    opened: Opened<'a>,
    /// Bytes of the record that are not read yet.
    left: usize,
    remaining: i32,
    base_timestamp: TimestampMs,
    log_append_time: Option<TimestampMs>,
}

/// The outlines of the first batch of `batch`, opened up to `cap` bytes. The CRC is not looked at.
///
/// # Errors
/// [`RecordsError`]; faults of single records, and of the stream behind its start, come from the iterator.
pub(crate) fn outlines_of(batch: &[u8], cap: usize) -> Result<RecordOutlines<'_>, RecordsError> {
    let (header, codec, area) = parts_of(batch)?;
    Ok(RecordOutlines::new(&header, Opened::new(codec, area, cap)?))
}

impl<'a> RecordOutlines<'a> {
    /// Those of the records in `opened`.
    pub(crate) fn new(header: &BatchHeader, opened: Opened<'a>) -> Self {
        let log_append_time = header.attributes.is_log_append_time().then_some(header.max_timestamp);
        let (remaining, base_timestamp) = (header.record_count.max(0), header.base_timestamp);
        Self { opened, left: 0, remaining, base_timestamp, log_append_time }
    }

    fn read(&mut self) -> Result<RecordOutline, OutlineError> {
        // No record is known yet that could end.
        self.left = usize::MAX;
        self.left = usize::try_from(self.varint()?).map_err(|_| RecordFault::LengthMismatch)?;
        self.byte()?;
        let timestamp_delta = self.varlong()?;
        let offset_delta = self.varint()?;
        let has_key = self.skip_bytes()?;
        self.skip_bytes()?;
        let header_count = self.varint()?;
        if usize::try_from(header_count).map_or(true, |count| count > self.left) {
            return Err(RecordFault::BadHeaderCount(header_count).into());
        }
        for _ in 0..header_count {
            let key_length = self.varint()?;
            let key = usize::try_from(key_length).map_err(|_| RecordFault::BadHeaderKey(key_length))?;
            self.skip(key)?;
            self.skip_bytes()?;
        }
        if self.left > 0 {
            return Err(RecordFault::LengthMismatch.into());
        }
        let created = TimestampMs(self.base_timestamp.0.wrapping_add(timestamp_delta));
        let timestamp = self.log_append_time.unwrap_or(created);
        Ok(RecordOutline { offset_delta, timestamp, has_key })
    }

    /// A length and as many bytes. Returns whether there were any to be there: a negative length is null.
    fn skip_bytes(&mut self) -> Result<bool, OutlineError> {
        match usize::try_from(self.varint()?) {
            Ok(length) => self.skip(length).map(|()| true),
            Err(_) => Ok(false),
        }
    }

    fn skip(&mut self, count: usize) -> Result<(), OutlineError> {
        self.left = self.left.checked_sub(count).ok_or(RecordFault::LengthMismatch)?;
        let mut count = count;
        while count > 0 {
            let there = self.opened.unread()?.len().min(count);
            if there == 0 {
                return Err(RecordFault::Truncated.into());
            }
            self.opened.consume(there);
            count -= there;
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, OutlineError> {
        self.left = self.left.checked_sub(1).ok_or(RecordFault::LengthMismatch)?;
        let byte = *self.opened.unread()?.first().ok_or(RecordFault::Truncated)?;
        self.opened.consume(1);
        Ok(byte)
    }

    fn varint(&mut self) -> Result<i32, OutlineError> {
        // The low 32 bits, as in [`super::Records`].
        let zigzag = (self.unsigned(5)? & u64::from(u32::MAX)) as u32;
        Ok((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32))
    }

    fn varlong(&mut self) -> Result<i64, OutlineError> {
        let zigzag = self.unsigned(10)?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    fn unsigned(&mut self, bytes_max: u32) -> Result<u64, OutlineError> {
        let mut value = 0_u64;
        for group in 0..bytes_max {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * group);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(RecordFault::BadVarint.into())
    }

    /// Whether bytes follow the last record.
    fn has_surplus(&mut self) -> Result<bool, OutlineError> {
        Ok(!self.opened.unread()?.is_empty())
    }
}

impl Iterator for RecordOutlines<'_> {
    type Item = Result<RecordOutline, OutlineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let outcome = match self.remaining {
            // A fault was told, or the surplus.
            i32::MIN..0 => return None,
            0 => match self.has_surplus() {
                Ok(false) => return None,
                Ok(true) => Err(RecordFault::TrailingBytes.into()),
                Err(error) => Err(error),
            },
            1.. => {
                self.remaining -= 1;
                self.read()
            }
        };
        if outcome.is_err() {
            self.remaining = -1;
        }
        Some(outcome)
    }
}

#[cfg(test)]
mod tests;

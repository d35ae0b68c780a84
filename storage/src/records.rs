//! The records within a batch, as borrowed slices.
//!
//! ```text
//! length          varint  bytes of the rest of this record
//! attributes      i8      unused
//! timestamp_delta varlong relative to the batch's base_timestamp
//! offset_delta    varint  relative to the batch's base_offset
//! key_length      varint  negative: null; then the key
//! value_length    varint  negative: null; then the value
//! header_count    varint  then as often: key length varint (not negative), key, value length varint, value
//! ```
//!
//! Integers are zigzag varints. Source: KIP-98, `DefaultRecord.java`.
//!
//! Invariants: no byte is trusted, nothing is allocated for an uncompressed batch, and a [`Record`] that was
//! handed out is well formed to its last header. Headers keep their order and their duplicates.
//!
//! Absent: what a broker demands of records ([`crate::batch::validate()`]).

mod outline;

use std::borrow::Cow;

use thiserror::Error;

use crate::batch::{BatchError, BatchHeader, field};
use crate::batch_builder::{put_varint, varint_len};
use crate::compression::{Codec, DecompressError, decompress};
use crate::ids::{Offset, TimestampMs};

pub(crate) use outline::{OutlineError, RecordOutline, RecordOutlines, outlines_of};

/// Why the records of a batch cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordFault {
    /// The records end before the batch's count is reached, or within a record.
    #[error("the records end before the declared number of them is reached")]
    Truncated,
    /// Bytes follow the last record.
    #[error("bytes follow the declared number of records")]
    TrailingBytes,
    /// A varint of more bytes than its type can have.
    #[error("a variable-length integer is too long")]
    BadVarint,
    /// A record's length differs from what its fields take.
    #[error("a record's length differs from that of its fields")]
    LengthMismatch,
    /// A negative number of headers, or more than bytes are left.
    #[error("{0} is no possible number of headers")]
    BadHeaderCount(i32),
    /// An offset that is not the next one, in a batch that a client sent.
    #[error("a record has the offset delta {0}, which is not the next one")]
    BadOffsetDelta(i32),
    /// A header without a key.
    #[error("{0} is no possible length of a header's key")]
    BadHeaderKey(i32),
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset, if the batch's base offset is set.
    pub offset: Offset,
    /// Its offset relative to the batch's base offset, as the producer wrote it.
    pub offset_delta: i32,
    /// Its timestamp: the batch's maximum where the broker set the time.
    pub timestamp: TimestampMs,
    /// The key, if there is one.
    pub key: Option<&'a [u8]>,
    /// The value, if there is one.
    pub value: Option<&'a [u8]>,
    header_count: i32,
    raw_headers: &'a [u8],
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The key: UTF-8 by the protocol, which nothing here checks.
    pub key: &'a [u8],
    /// The value, if there is one.
    pub value: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    /// The headers in their order, duplicates included.
    pub fn headers(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let mut rest = self.raw_headers;
        (0..self.header_count).map_while(move |_| read_header(&mut rest).ok())
    }
}

/// The records of one uncompressed records area, in order. It ends after the first fault.
///
/// What reads a record is always inlined into the loop that walks, since every produced record passes here: that
/// took the walk from 12 to 9 ns a record.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    remaining: i32,
    base_offset: Offset,
    base_timestamp: TimestampMs,
    log_append_time: Option<TimestampMs>,
}

impl<'a> Records<'a> {
    /// The records in `area`: the bytes after the header of a batch, decompressed.
    #[must_use]
    pub fn new(header: &BatchHeader, area: &'a [u8]) -> Self {
        let log_append_time = header.attributes.is_log_append_time().then_some(header.max_timestamp);
        Self {
            rest: area,
            remaining: header.record_count.max(0),
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            log_append_time,
        }
    }

    #[inline(always)]
    fn read(&mut self) -> Result<Record<'a>, RecordFault> {
        let length = read_varint(&mut self.rest)?;
        let length = usize::try_from(length).map_err(|_| RecordFault::LengthMismatch)?;
        let (mut body, rest) = self.rest.split_at_checked(length).ok_or(RecordFault::Truncated)?;
        self.rest = rest;
        let record = self.read_body(&mut body)?;
        if body.is_empty() { Ok(record) } else { Err(RecordFault::LengthMismatch) }
    }

    #[inline(always)]
    fn read_body(&self, body: &mut &'a [u8]) -> Result<Record<'a>, RecordFault> {
        let (_attributes, fields) = body.split_first().ok_or(RecordFault::LengthMismatch)?;
        *body = fields;
        let timestamp_delta = read_varlong(body)?;
        let offset_delta = read_varint(body)?;
        let key = read_bytes(body)?;
        let value = read_bytes(body)?;
        let header_count = read_varint(body)?;
        let raw_headers = *body;
        if header_count != 0 {
            skip_headers(body, header_count)?;
        }
        let created = TimestampMs(self.base_timestamp.0.wrapping_add(timestamp_delta));
        Ok(Record {
            offset: Offset(self.base_offset.0.wrapping_add(i64::from(offset_delta))),
            offset_delta,
            timestamp: self.log_append_time.unwrap_or(created),
            key,
            value,
            header_count,
            raw_headers,
        })
    }
}

impl<'a> Records<'a> {
    /// The next record with the bytes that it takes, its length included.
    pub fn next_with_bytes(&mut self) -> Option<(Result<Record<'a>, RecordFault>, &'a [u8])> {
        let before = self.rest;
        let record = self.next()?;
        let len = before.len().saturating_sub(self.rest.len());
        Some((record, before.get(..len).unwrap_or(before)))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordFault>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            let surplus = !self.rest.is_empty();
            self.rest = &[];
            return surplus.then_some(Err(RecordFault::TrailingBytes));
        }
        self.remaining -= 1;
        let record = self.read();
        if record.is_err() {
            self.remaining = 0;
            self.rest = &[];
        }
        Some(record)
    }
}

/// A batch whose records can be read: borrowed as they are, or decompressed.
#[derive(Clone, Debug)]
pub struct BatchRecords<'a> {
    /// The batch's header.
    pub header: BatchHeader,
    area: Cow<'a, [u8]>,
}

impl BatchRecords<'_> {
    /// The bytes of the records, decompressed.
    #[must_use]
    pub fn area(&self) -> &[u8] {
        &self.area
    }

    /// The records, in order.
    #[must_use]
    pub fn iter(&self) -> Records<'_> {
        Records::new(&self.header, &self.area)
    }
}

impl<'b> IntoIterator for &'b BatchRecords<'_> {
    type Item = Result<Record<'b>, RecordFault>;
    type IntoIter = Records<'b>;

    fn into_iter(self) -> Records<'b> {
        self.iter()
    }
}

/// Why a batch cannot be opened for its records.
#[derive(Debug, Error)]
pub enum RecordsError {
    /// The bytes are no whole batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The codec's number means nothing.
    #[error("{0} is no number of a codec")]
    UnknownCodec(i16),
    /// The compressed records cannot be opened.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
}

/// The records of the first batch of `batch`, decompressed into at most `cap` bytes where they are
/// compressed. The CRC is not looked at.
///
/// # Errors
/// [`RecordsError`]; faults of single records come from the iterator.
pub fn records_of(batch: &[u8], cap: usize) -> Result<BatchRecords<'_>, RecordsError> {
    let (header, codec, area) = parts_of(batch)?;
    let area = match codec {
        Codec::None => Cow::Borrowed(area),
        Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => Cow::Owned(decompress(codec, area, cap)?),
    };
    Ok(BatchRecords { header, area })
}

/// The header of the first batch of `batch`, and its records as they are stored.
fn parts_of(batch: &[u8]) -> Result<(BatchHeader, Codec, &[u8]), RecordsError> {
    let header = BatchHeader::parse(batch)?;
    let needed = header.size_in_bytes();
    let area = batch.get(field::RECORDS..needed);
    let area = area.ok_or(BatchError::Incomplete { needed, available: batch.len() })?;
    let codec = header.attributes.compression();
    let codec = codec.ok_or(RecordsError::UnknownCodec(header.attributes.codec_number()))?;
    Ok((header, codec, area))
}

/// Appends a record for a batch whose base timestamp is `shift_ms` earlier than that of its own: the same record, but for
/// the timestamp that is written relative to it.
///
/// # Errors
/// [`RecordFault`] where the bytes are no record.
pub(crate) fn put_rebased(bytes: &[u8], shift_ms: i64, into: &mut Vec<u8>) -> Result<(), RecordFault> {
    let mut rest = bytes;
    read_varint(&mut rest)?;
    let (attributes, mut rest) = rest.split_first().ok_or(RecordFault::LengthMismatch)?;
    let timestamp_delta = read_varlong(&mut rest)?.wrapping_add(shift_ms);
    let len = 1 + varint_len(timestamp_delta) + rest.len();
    put_varint(into, i64::try_from(len).unwrap_or(i64::MAX));
    into.push(*attributes);
    put_varint(into, timestamp_delta);
    into.extend_from_slice(rest);
    Ok(())
}

/// Walks over `count` headers at the start of `rest`.
fn skip_headers(rest: &mut &[u8], count: i32) -> Result<(), RecordFault> {
    if usize::try_from(count).map_or(true, |count| count > rest.len()) {
        return Err(RecordFault::BadHeaderCount(count));
    }
    for _ in 0..count {
        read_header(rest)?;
    }
    Ok(())
}

#[inline]
fn read_header<'a>(rest: &mut &'a [u8]) -> Result<Header<'a>, RecordFault> {
    let key_length = read_varint(rest)?;
    let key = usize::try_from(key_length).map_err(|_| RecordFault::BadHeaderKey(key_length))?;
    let (key, fields) = rest.split_at_checked(key).ok_or(RecordFault::LengthMismatch)?;
    *rest = fields;
    Ok(Header { key, value: read_bytes(rest)? })
}

/// A length and as many bytes; null for any negative length, as `Utils.readBytes` has it.
#[inline(always)]
fn read_bytes<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordFault> {
    let Ok(length) = usize::try_from(read_varint(rest)?) else {
        return Ok(None);
    };
    let (bytes, fields) = rest.split_at_checked(length).ok_or(RecordFault::LengthMismatch)?;
    *rest = fields;
    Ok(Some(bytes))
}

#[inline(always)]
fn read_varint(rest: &mut &[u8]) -> Result<i32, RecordFault> {
    // The low 32 bits: the fifth byte's surplus bits fall off, as they do in Kafka.
    let zigzag = (read_unsigned(rest, 5)? & u64::from(u32::MAX)) as u32;
    Ok((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32))
}

#[inline(always)]
fn read_varlong(rest: &mut &[u8]) -> Result<i64, RecordFault> {
    let zigzag = read_unsigned(rest, 10)?;
    Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
}

/// A base-128 integer of at most `bytes_max` bytes, least significant group first. Nearly all of a record's
/// take one byte or two, which go without the loop.
#[inline(always)]
fn read_unsigned(rest: &mut &[u8], bytes_max: u32) -> Result<u64, RecordFault> {
    match **rest {
        [first, ref fields @ ..] if first < 0x80 => {
            *rest = fields;
            Ok(u64::from(first))
        }
        [first, second, ref fields @ ..] if second < 0x80 => {
            *rest = fields;
            Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
        }
        _ => read_long_unsigned(rest, bytes_max),
    }
}

#[cold]
fn read_long_unsigned(rest: &mut &[u8], bytes_max: u32) -> Result<u64, RecordFault> {
    let mut value = 0_u64;
    for group in 0..bytes_max {
        let (&byte, fields) = rest.split_first().ok_or(RecordFault::Truncated)?;
        *rest = fields;
        value |= u64::from(byte & 0x7f) << (7 * group);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(RecordFault::BadVarint)
}

#[cfg(test)]
mod tests;

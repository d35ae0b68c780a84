//! Filling a shard from its partition's log, piece by piece, on the blocking pool.
//!
//! A record that cannot be read fails the load, as in Kafka: what it said of a group is not known, and to go on without
//! it could send the group back to offsets that it left behind. Records of kinds that are not kept here (share groups,
//! streams groups) are passed over, and what a transaction wrote counts once its marker says so.
//! Source: `CoordinatorLoaderImpl`.

use crate::partition::{NodeLog, Partition};
use coordinator::record::Record;
use coordinator::record::codec::{self, CodecError};
use coordinator::shard::GroupShard;
use std::collections::BTreeMap;
use std::ops::Range;
use storage::batch::{
    self, BatchError, BatchHeader, DECOMPRESSED_BYTES_MAX, EndTransactionMarker, TransactionResult,
};
use storage::error::ReadError;
use storage::ids::{Offset, ProducerId};
use storage::records::{RecordFault, RecordsError, records_of};

/// Why a shard could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the batch after offset {after} is damaged: {source}")]
    Batch { after: Offset, source: BatchError },
    #[error("the records at offset {at} cannot be opened: {source}")]
    Records { at: Offset, source: RecordsError },
    #[error("a record at offset {at} cannot be read: {source}")]
    Record { at: Offset, source: RecordFault },
    #[error("the record at offset {at} has no key")]
    NoKey { at: Offset },
    #[error("the record at offset {at} is none that this version reads: {source}")]
    Codec { at: Offset, source: CodecError },
}

/// What a shard is filled with, as far as it has come.
struct Loading {
    core: GroupShard,
    /// What transactions have written that are not decided yet, by producer. Apache Kafka writes such batches.
    undecided: BTreeMap<ProducerId, Vec<(Record, Offset)>>,
}

/// A shard with all that the log of `partition` holds, and the end (exclusive) of what it holds. `piece_bytes` are read
/// at once.
///
/// # Errors
/// [`LoadError`]; the groups of the shard are not known then.
pub(super) fn load(partition: &Partition, piece_bytes: usize) -> Result<(GroupShard, Offset), LoadError> {
    let mut loading = Loading { core: GroupShard::new(), undecided: BTreeMap::new() };
    let log = &partition.log;
    let end = log.log_end_offset();
    // What is committed already needs no memory of what it superseded.
    loading.core.committed(partition.high_watermark());
    let mut from = log.log_start_offset();
    while from < end {
        from = loading.read_piece(log, from..end, piece_bytes)?;
    }
    Ok((loading.core, end))
}

impl Loading {
    /// Applies what one read gives, and answers where the next begins.
    fn read_piece(
        &mut self,
        log: &NodeLog,
        range: Range<Offset>,
        piece_bytes: usize,
    ) -> Result<Offset, LoadError> {
        let mut rest = log.read(range.start, range.end, piece_bytes, true)?.records;
        // The end of a compacted log may be offsets that no batch has any more.
        let mut next = if rest.is_empty() { range.end } else { range.start };
        while !rest.is_empty() {
            let header = batch::check(&rest).map_err(|source| LoadError::Batch { after: next, source })?;
            let bytes = rest.split_to(header.size_in_bytes().min(rest.len()));
            if header.attributes.is_control() {
                self.end_transaction(&header, &bytes);
            } else if header.record_count > 0 {
                self.read_batch(&header, &bytes, range.start)?;
            }
            next = header.next_offset();
        }
        Ok(next)
    }

    fn read_batch(&mut self, header: &BatchHeader, bytes: &[u8], from: Offset) -> Result<(), LoadError> {
        let at = header.base_offset;
        let records =
            records_of(bytes, DECOMPRESSED_BYTES_MAX).map_err(|source| LoadError::Records { at, source })?;
        for record in &records {
            let record = record.map_err(|source| LoadError::Record { at, source })?;
            let at = record.offset;
            // The first batch of a read may begin before the start of the log.
            if at < from {
                continue;
            }
            let key = record.key.ok_or(LoadError::NoKey { at })?;
            let decoded = codec::decode(key, record.value);
            match decoded.map_err(|source| LoadError::Codec { at, source })? {
                Some(record) if header.attributes.is_transactional() => {
                    self.undecided.entry(header.producer_id).or_default().push((record, at));
                }
                Some(record) => self.core.apply(&record, at),
                None => tracing::debug!("the record at offset {at} is of a kind that is not kept here"),
            }
        }
        Ok(())
    }

    fn end_transaction(&mut self, header: &BatchHeader, bytes: &[u8]) {
        let decided = self.undecided.remove(&header.producer_id).unwrap_or_default();
        let marker = EndTransactionMarker::read(bytes).ok().flatten();
        if marker.is_some_and(|marker| marker.result == TransactionResult::Commit) {
            for (record, at) in decided {
                self.core.apply(&record, at);
            }
        }
    }
}

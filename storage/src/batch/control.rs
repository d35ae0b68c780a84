//! Markers: the records of a control batch that end a transaction.
//!
//! ```text
//! key:   i16 version 0, i16 type (0 abort, 1 commit)
//! value: i16 version 0, i32 coordinator_epoch
//! ```
//!
//! Source: KIP-98, `EndTransactionMarker.java`, `ControlRecordType.java`.

use thiserror::Error;

use crate::records::{RecordsError, records_of};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionResult {
    /// Its records count.
    Commit,
    /// Its records are to be skipped by readers of committed data.
    Abort,
}

/// The end of a producer's transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTransactionMarker {
    /// How it ended.
    pub result: TransactionResult,
    /// The epoch of the transaction coordinator that decided; fences older coordinators.
    pub coordinator_epoch: i32,
}

/// Why a control batch holds no marker.
#[derive(Debug, Error)]
pub enum MarkerError {
    /// The batch cannot be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The first record is no end of a transaction.
    #[error("the control record is no end of a transaction")]
    NotAMarker,
}

/// Markers are a few dozen bytes; larger lets a false one take memory, smaller refuses compressed ones.
const MARKER_BYTES_MAX: usize = 1024;

impl EndTransactionMarker {
    /// The marker in the first record of the control batch at the start of `batch`; `None` where the batch is
    /// no control batch, is empty (compaction removed the marker), or holds another kind of control record.
    ///
    /// # Errors
    /// [`MarkerError`] where the record cannot be read.
    pub fn read(batch: &[u8]) -> Result<Option<Self>, MarkerError> {
        let records = records_of(batch, MARKER_BYTES_MAX)?;
        if !records.header.attributes.is_control() {
            return Ok(None);
        }
        let Some(record) = records.iter().next() else {
            return Ok(None);
        };
        let record = record.map_err(|_| MarkerError::NotAMarker)?;
        let key = record.key.and_then(<[u8]>::first_chunk::<4>).ok_or(MarkerError::NotAMarker)?;
        let [_, _, kind @ ..] = *key;
        let result = match i16::from_be_bytes(kind) {
            0 => TransactionResult::Abort,
            1 => TransactionResult::Commit,
            _ => return Ok(None),
        };
        let value = record.value.and_then(<[u8]>::first_chunk::<6>).ok_or(MarkerError::NotAMarker)?;
        let [_, _, epoch @ ..] = *value;
        Ok(Some(Self { result, coordinator_epoch: i32::from_be_bytes(epoch) }))
    }

    /// The key of the marker's record.
    #[must_use]
    pub fn key(&self) -> [u8; 4] {
        match self.result {
            TransactionResult::Abort => [0, 0, 0, 0],
            TransactionResult::Commit => [0, 0, 0, 1],
        }
    }

    /// The value of the marker's record.
    #[must_use]
    pub fn value(&self) -> [u8; 6] {
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        [0, 0, a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::check;
    use crate::batch_builder::{BatchBuilder, BatchSpec, end_transaction_batch};
    use crate::golden;
    use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

    const RESULTS: [(TransactionResult, &str); 2] = [
        (TransactionResult::Abort, golden::ABORT_MARKER),
        (TransactionResult::Commit, golden::COMMIT_MARKER),
    ];

    #[test]
    fn kafkas_markers_are_read() {
        for (result, hex) in RESULTS {
            let batch = golden::bytes(hex);
            check(&batch).unwrap();
            let marker = EndTransactionMarker { result, coordinator_epoch: 12 };
            assert_eq!(EndTransactionMarker::read(&batch).unwrap(), Some(marker));
        }
    }

    #[test]
    fn markers_are_written_as_kafka_writes_them() {
        for (result, hex) in RESULTS {
            let marker = EndTransactionMarker { result, coordinator_epoch: 12 };
            let (id, epoch, time) = (ProducerId(4242), ProducerEpoch(8), TimestampMs(1_700_000_000_000));
            let mut batch = end_transaction_batch(id, epoch, marker, time).unwrap();
            let position = check(&batch).unwrap().position_bytes(Offset(77), LeaderEpoch(3));
            batch[..position.len()].copy_from_slice(&position);
            assert_eq!(batch, golden::bytes(hex));
        }
    }

    type KeyAndValue<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

    fn control_batch(records: &[KeyAndValue<'_>]) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchSpec { flags: 0x30, ..BatchSpec::default() });
        for (key, value) in records {
            builder.push(TimestampMs(0), *key, *value, &[]);
        }
        builder.build().unwrap()
    }

    #[test]
    fn batches_without_a_marker_have_none() {
        let data = golden::bytes(golden::TRANSACTIONAL);
        assert_eq!(EndTransactionMarker::read(&data).unwrap(), None);
        assert_eq!(EndTransactionMarker::read(&control_batch(&[])).unwrap(), None, "compacted away");
        let leader_change = control_batch(&[(Some(&[0, 0, 0, 2]), Some(&[]))]);
        assert_eq!(EndTransactionMarker::read(&leader_change).unwrap(), None);
    }

    #[test]
    fn malformed_markers_are_refused() {
        let value: Option<&[u8]> = Some(&[0; 6]);
        for (key, value) in
            [(None, value), (Some(&[0; 3][..]), value), (Some(&[0; 4]), None), (Some(&[0; 4]), Some(&[0; 5]))]
        {
            let read = EndTransactionMarker::read(&control_batch(&[(key, value)]));
            assert!(matches!(read, Err(MarkerError::NotAMarker)), "{key:?} {value:?}");
        }
        assert!(matches!(EndTransactionMarker::read(&[0; 61]), Err(MarkerError::Records(_))));
    }
}

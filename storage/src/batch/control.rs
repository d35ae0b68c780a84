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
    /// The marker in the first record of the control batch at the start of `batch`; `None` where the batch is no
    /// control batch, is empty (compaction removed the marker), or holds another kind of control record.
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

//! Which data of a log was aborted, and which markers are of no more use, as its batches pass by in order.
//!
//! A marker may go once no data of its transaction is left: for an aborted one that shows in what passed since the
//! transaction began, for a committed one in what the producer wrote since its last marker. An entry of `.txnindex` stays
//! as long as there was data to hide. Source: CleanedTransactionMetadata.java.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::aborted_transactions::AbortedTransaction;
use crate::batch::{BatchHeader, EndTransactionMarker, TransactionResult};
use crate::ids::ProducerId;

/// The transactions of a log, up to the batch that passed last.
#[derive(Debug, Default)]
pub(super) struct PassingTransactions {
    /// By their first offset, those that have not begun yet.
    coming: VecDeque<AbortedTransaction>,
    aborted: BTreeMap<ProducerId, Aborted>,
    /// Producers with data since their last marker that was not aborted.
    committed: BTreeSet<ProducerId>,
}

#[derive(Debug)]
struct Aborted {
    transaction: AbortedTransaction,
    has_data: bool,
}

/// What becomes of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MarkerStanding {
    /// No data of its transaction is left.
    pub(super) is_unused: bool,
    /// The entry of `.txnindex` that belongs to it, where there was data to hide.
    pub(super) hides: Option<AbortedTransaction>,
}

/// The marker says that data was aborted which the index of aborted transactions does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index of aborted transactions misses one that a marker ends")]
pub(super) struct UnknownAbort;

impl PassingTransactions {
    /// Before the first batch; `aborted` is what the log knows of the range that will pass.
    pub(super) fn new(mut aborted: Vec<AbortedTransaction>) -> Self {
        aborted.sort_by_key(|transaction| transaction.first_offset);
        Self { coming: aborted.into(), ..Self::default() }
    }

    /// A batch of data passes. Answers whether it was aborted.
    pub(super) fn data(&mut self, header: &BatchHeader) -> bool {
        self.begin_up_to(header);
        if !header.attributes.is_transactional() {
            return false;
        }
        if let Some(aborted) = self.aborted.get_mut(&header.producer_id) {
            aborted.has_data = true;
            return true;
        }
        self.committed.insert(header.producer_id);
        false
    }

    /// A control batch passes, with its marker where it has one.
    pub(super) fn marker(
        &mut self,
        header: &BatchHeader,
        marker: Option<&EndTransactionMarker>,
    ) -> Result<MarkerStanding, UnknownAbort> {
        self.begin_up_to(header);
        let producer_id = header.producer_id;
        let kept = MarkerStanding { is_unused: false, hides: None };
        let Some(marker) = marker else {
            // An empty batch says nothing; control records of another kind are not ours to judge.
            return Ok(MarkerStanding { is_unused: header.record_count == 0, ..kept });
        };
        match marker.result {
            TransactionResult::Commit => {
                Ok(MarkerStanding { is_unused: !self.committed.remove(&producer_id), ..kept })
            }
            TransactionResult::Abort => match self.aborted.remove(&producer_id) {
                Some(Aborted { transaction, has_data: true }) => {
                    Ok(MarkerStanding { hides: Some(transaction), ..kept })
                }
                None if self.committed.contains(&producer_id) => Err(UnknownAbort),
                Some(_) | None => Ok(MarkerStanding { is_unused: true, ..kept }),
            },
        }
    }

    fn begin_up_to(&mut self, header: &BatchHeader) {
        while let Some(transaction) = self.coming.front() {
            if transaction.first_offset > header.last_offset() {
                return;
            }
            let transaction = *transaction;
            self.coming.pop_front();
            // The producer's transaction before this one is still there only where its marker is gone.
            self.aborted.insert(transaction.producer_id, Aborted { transaction, has_data: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Attributes;
    use crate::batch_builder::{BatchBuilder, BatchSpec};
    use crate::ids::{Offset, ProducerEpoch, Sequence, TimestampMs};

    fn batch(offset: i64, producer: i64, flags: i16) -> BatchHeader {
        let spec = BatchSpec {
            base_offset: Offset(offset),
            flags,
            producer_id: ProducerId(producer),
            producer_epoch: ProducerEpoch(0),
            base_sequence: Sequence(0),
            ..BatchSpec::default()
        };
        let mut builder = BatchBuilder::new(spec);
        builder.push(TimestampMs(0), Some(b"key"), None, &[]);
        BatchHeader::parse(&builder.build().unwrap()).unwrap()
    }

    fn data(offset: i64, producer: i64) -> BatchHeader {
        batch(offset, producer, Attributes::TRANSACTIONAL)
    }

    fn end(
        passing: &mut PassingTransactions,
        offset: i64,
        producer: i64,
        result: TransactionResult,
    ) -> Result<MarkerStanding, UnknownAbort> {
        let header = batch(offset, producer, Attributes::TRANSACTIONAL | Attributes::CONTROL);
        passing.marker(&header, Some(&EndTransactionMarker { result, coordinator_epoch: 0 }))
    }

    fn aborted(producer: i64, first: i64, last: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId(producer),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(last),
        }
    }

    const UNUSED: MarkerStanding = MarkerStanding { is_unused: true, hides: None };
    const NEEDED: MarkerStanding = MarkerStanding { is_unused: false, hides: None };

    #[test]
    fn data_of_an_aborted_transaction_is_told_from_that_of_others() {
        let mut passing = PassingTransactions::new(vec![aborted(1, 0, 3), aborted(1, 7, 8)]);
        assert!(passing.data(&data(0, 1)));
        assert!(!passing.data(&data(1, 2)));
        assert!(!passing.data(&batch(2, 1, 0)), "not in a transaction");
        let hides = Some(aborted(1, 0, 3));
        assert_eq!(
            end(&mut passing, 3, 1, TransactionResult::Abort),
            Ok(MarkerStanding { is_unused: false, hides })
        );
        assert!(!passing.data(&data(4, 1)), "between two aborted ones");
        assert_eq!(end(&mut passing, 5, 1, TransactionResult::Commit), Ok(NEEDED));
        assert!(passing.data(&data(7, 1)));
    }

    #[test]
    fn marker_is_unused_once_its_data_is_gone() {
        let mut passing = PassingTransactions::new(vec![aborted(1, 0, 3)]);
        assert_eq!(end(&mut passing, 2, 2, TransactionResult::Commit), Ok(UNUSED));
        assert_eq!(end(&mut passing, 3, 1, TransactionResult::Abort), Ok(UNUSED));
    }

    #[test]
    fn abort_that_the_index_does_not_know_is_an_error_where_there_is_data() {
        let mut passing = PassingTransactions::default();
        assert!(!passing.data(&data(0, 1)));
        assert_eq!(end(&mut passing, 1, 1, TransactionResult::Abort), Err(UnknownAbort));
        assert_eq!(end(&mut passing, 2, 9, TransactionResult::Abort), Ok(UNUSED));
    }
}

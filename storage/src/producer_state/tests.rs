use proptest::prelude::*;

use super::*;
use crate::batch::{Attributes, MAGIC_V2};
use crate::golden;
use crate::ids::LeaderEpoch;

mod model;

const NOW: TimestampMs = TimestampMs(1_000_000);
const CLIENT: AppendOrigin = AppendOrigin::Client;
const COORDINATOR: AppendOrigin = AppendOrigin::Coordinator;

/// The header of a batch of `count` records, still without an offset.
fn data(producer: i64, epoch: i16, base_sequence: i32, count: i32) -> BatchHeader {
    BatchHeader {
        base_offset: Offset(0),
        batch_length: 100,
        partition_leader_epoch: LeaderEpoch(0),
        magic: MAGIC_V2,
        crc: 0,
        attributes: Attributes(0),
        last_offset_delta: count - 1,
        base_timestamp: TimestampMs(500),
        max_timestamp: TimestampMs(600 + i64::from(base_sequence)),
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: Sequence(base_sequence),
        record_count: count,
    }
}

fn in_transaction(header: BatchHeader) -> BatchHeader {
    BatchHeader { attributes: Attributes(Attributes::TRANSACTIONAL), ..header }
}

fn marker_header(producer: i64, epoch: i16) -> BatchHeader {
    let attributes = Attributes(Attributes::TRANSACTIONAL | Attributes::CONTROL);
    BatchHeader { attributes, base_sequence: NO_SEQUENCE, ..data(producer, epoch, 0, 1) }
}

fn marker(result: TransactionResult, coordinator_epoch: i32) -> EndTransactionMarker {
    EndTransactionMarker { result, coordinator_epoch }
}

/// Producers and the end of their log: what a log does with them.
#[derive(Default)]
struct Log {
    states: ProducerStates,
    end: i64,
}

impl Log {
    fn check(&self, header: &BatchHeader) -> Result<Verdict, ProducerStateError> {
        self.states.check(header, None, CLIENT)
    }

    /// Checks and appends; gives the base offset.
    fn append(&mut self, header: BatchHeader) -> Offset {
        assert_eq!(self.check(&header), Ok(Verdict::Append));
        self.apply(header, None);
        self.states.end_offset().plus(-i64::from(header.last_offset_delta) - 1)
    }

    fn apply(
        &mut self,
        header: BatchHeader,
        marker: Option<EndTransactionMarker>,
    ) -> Option<CompletedTransaction> {
        let header = header.at(Offset(self.end), LeaderEpoch(0));
        self.end = header.next_offset().0;
        self.states.apply(&header, marker.as_ref(), NOW)
    }

    fn end(&mut self, producer: i64, epoch: i16, result: TransactionResult) -> Option<CompletedTransaction> {
        self.apply(marker_header(producer, epoch), Some(marker(result, 0)))
    }

    fn out_of_order(&self, header: &BatchHeader) -> Option<i32> {
        match self.check(header) {
            Err(ProducerStateError::OutOfOrderSequence { last_sequence, .. }) => Some(last_sequence.0),
            _ => None,
        }
    }
}

#[test]
fn batches_without_a_producer_only_move_the_end() {
    let mut log = Log::default();
    let anonymous = BatchHeader { producer_id: ProducerId::NONE, ..data(0, -1, -1, 3) };
    log.append(anonymous);
    log.append(anonymous);
    assert_eq!(log.states, ProducerStates::new(Offset(6)));
}

#[test]
fn an_unknown_producer_may_start_anywhere_and_then_must_go_on() {
    let mut log = Log::default();
    log.append(data(1, 0, 40, 2));
    log.append(data(1, 0, 42, 1));
    assert_eq!(log.out_of_order(&data(1, 0, 44, 1)), Some(42));
    assert_eq!(log.out_of_order(&data(1, 0, 42, 2)), Some(42), "the range differs, so it is no duplicate");
    log.append(data(2, 0, 0, 1));
}

#[test]
fn each_of_the_last_five_batches_is_recognised_with_its_offsets_and_older_ones_without() {
    let mut log = Log::default();
    for batch in 0..7 {
        log.append(data(1, 0, batch * 10, 10));
    }
    for batch in 0..7_i32 {
        let verdict = log.check(&data(1, 0, batch * 10, 10));
        if batch < 2 {
            let base_sequence = Sequence(batch * 10);
            let (producer_id, end_offset) = (ProducerId(1), Offset(20));
            let error = ProducerStateError::DuplicateSequence { producer_id, base_sequence, end_offset };
            assert_eq!(verdict, Err(error));
        } else {
            let base = i64::from(batch) * 10;
            let (base_offset, last_offset) = (Offset(base), Offset(base + 9));
            let timestamp = TimestampMs(600 + base);
            assert_eq!(verdict, Ok(Verdict::Duplicate { base_offset, last_offset, timestamp }));
        }
    }
}

#[test]
fn only_what_was_written_is_a_duplicate() {
    let mut log = Log::default();
    for batch in 4..11 {
        log.append(data(1, 0, batch * 10, 10));
    }
    assert_eq!(log.out_of_order(&data(1, 0, 30, 10)), Some(109), "it was not seen");
    assert_eq!(log.out_of_order(&data(1, 0, 39, 10)), Some(109), "one record of it was not seen");
    assert_eq!(
        log.out_of_order(&data(1, 0, 55, 10)),
        Some(109),
        "some of it is in a batch that is remembered"
    );
    assert!(matches!(log.check(&data(1, 0, 45, 10)), Err(ProducerStateError::DuplicateSequence { .. })));
    assert_eq!(log.out_of_order(&data(1, 0, 150, 10)), Some(109), "it is to come");
    assert_eq!(log.out_of_order(&data(1, 1, 40, 10)), Some(-1), "it is of another epoch");
}

#[test]
fn what_is_before_a_gap_that_the_leader_let_pass_is_not_taken_for_written() {
    let mut log = Log::default();
    for batch in [0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13] {
        log.apply(data(1, 0, batch * 10, 10), None);
    }
    assert_eq!(log.out_of_order(&data(1, 0, 40, 10)), Some(139));
    assert!(matches!(log.check(&data(1, 0, 80, 10)), Err(ProducerStateError::DuplicateSequence { .. })));
}

#[test]
fn a_producer_of_which_only_an_open_transaction_stayed_goes_on_where_it_was() {
    let mut log = Log::default();
    log.append(in_transaction(data(1, 0, 0, 4)));
    log.append(in_transaction(data(1, 0, 4, 1)));
    // After a restart its last batch is known alone, and that is cut off, where the first one is below the log's start.
    let bytes = log.states.encode_snapshot();
    let before = ProducerStates::decode_snapshot(&bytes, log.states.end_offset(), NOW).unwrap();
    log.states = ProducerStates::new(Offset(4));
    log.states.inherit(&before);
    assert_eq!(log.states.first_undecided_offset(), Some(Offset(0)));
    assert_eq!(log.out_of_order(&in_transaction(data(1, 1, 4, 1))), Some(-1), "a new epoch starts at 0");
    log.append(in_transaction(data(1, 0, 4, 1)));
    assert_eq!(log.out_of_order(&in_transaction(data(1, 0, 6, 1))), Some(4));
}

#[test]
fn a_snapshot_forgets_what_is_older_than_its_batch() {
    let mut log = Log::default();
    for batch in 0..7 {
        log.append(data(1, 0, batch * 10, 10));
    }
    let bytes = log.states.encode_snapshot();
    log.states = ProducerStates::decode_snapshot(&bytes, log.states.end_offset(), NOW).unwrap();
    assert_eq!(log.out_of_order(&data(1, 0, 50, 10)), Some(69));
}

#[test]
fn sequences_wrap_from_the_largest_number_to_zero() {
    let mut log = Log::default();
    log.append(data(1, 0, i32::MAX - 1, 4));
    assert!(matches!(log.check(&data(1, 0, i32::MAX - 1, 4)), Ok(Verdict::Duplicate { .. })));
    log.append(data(1, 0, 2, 1));
    let mut exact = Log::default();
    exact.append(data(1, 0, i32::MAX, 1));
    exact.append(data(1, 0, 0, 1));
}

#[test]
fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
    let mut log = Log::default();
    log.append(data(1, 3, 0, 5));
    assert_eq!(log.out_of_order(&data(1, 4, 5, 1)), Some(-1));
    log.append(data(1, 4, 0, 5));
    let fenced = ProducerStateError::InvalidProducerEpoch {
        producer_id: ProducerId(1),
        producer_epoch: ProducerEpoch(3),
        current_epoch: ProducerEpoch(4),
    };
    assert_eq!(log.check(&data(1, 3, 5, 1)), Err(fenced));
    assert!(matches!(log.check(&data(1, 4, 0, 5)), Ok(Verdict::Duplicate { base_offset: Offset(5), .. })));
}

#[test]
fn check_changes_nothing() {
    let mut log = Log::default();
    log.append(data(1, 0, 0, 5));
    let before = log.states.clone();
    log.check(&data(1, 0, 5, 1)).unwrap();
    log.check(&data(1, 1, 0, 1)).unwrap();
    log.check(&data(9, 0, 0, 1)).unwrap();
    log.check(&data(1, 0, 9, 1)).unwrap_err();
    assert_eq!(log.states, before);
}

#[test]
fn coordinators_write_without_sequences_and_followers_are_not_checked() {
    let mut log = Log::default();
    log.append(data(1, 5, 0, 1));
    let offsets = BatchHeader { base_sequence: NO_SEQUENCE, ..data(1, 5, 0, 1) };
    assert_eq!(log.states.check(&offsets, None, COORDINATOR), Ok(Verdict::Append));
    let stale = BatchHeader { base_sequence: NO_SEQUENCE, ..data(1, 4, 0, 1) };
    assert!(log.states.check(&stale, None, COORDINATOR).is_err());
    assert_eq!(log.states.check(&stale, None, AppendOrigin::Replication), Ok(Verdict::Append));
}

#[test]
fn a_transaction_is_unstable_until_its_marker_is_replicated() {
    let mut log = Log::default();
    log.append(data(9, 0, 0, 1));
    log.append(in_transaction(data(1, 0, 0, 2)));
    log.append(in_transaction(data(2, 0, 0, 2)));
    log.append(in_transaction(data(1, 0, 2, 2)));
    assert_eq!(log.states.first_unstable_offset(Offset(7)), Some(Offset(1)));
    let first = log.end(1, 0, TransactionResult::Abort).unwrap();
    assert_eq!((first.first_offset, first.last_offset), (Offset(1), Offset(7)));
    assert_eq!((first.last_stable_offset, first.result), (Offset(3), TransactionResult::Abort));
    assert_eq!(log.states.first_undecided_offset(), Some(Offset(3)));
    assert_eq!(log.states.first_unstable_offset(Offset(7)), Some(Offset(1)), "the marker is not replicated");
    assert_eq!(log.states.first_unstable_offset(Offset(8)), Some(Offset(3)));
    let second = log.end(2, 0, TransactionResult::Commit).unwrap();
    assert_eq!(second.last_stable_offset, Offset(9));
    assert_eq!(log.states.first_unstable_offset(Offset(9)), None);
    log.states.advance_high_watermark(Offset(8));
    assert_eq!(log.states.first_unstable_offset(Offset(8)), Some(Offset(3)), "still remembered");
    log.states.advance_high_watermark(Offset(9));
    assert_eq!(log.states.first_unstable_offset(Offset(0)), None);
}

#[test]
fn an_open_transaction_refuses_data_outside_it() {
    let mut log = Log::default();
    log.append(in_transaction(data(1, 0, 0, 1)));
    let open = ProducerStateError::TransactionOpen { producer_id: ProducerId(1) };
    assert_eq!(log.check(&data(1, 0, 1, 1)), Err(open));
    log.append(in_transaction(data(1, 0, 1, 1)));
    log.end(1, 0, TransactionResult::Commit);
    log.append(data(1, 0, 2, 1));
}

#[test]
fn a_marker_without_a_transaction_completes_nothing_but_fences() {
    let mut log = Log::default();
    assert_eq!(log.end(1, 6, TransactionResult::Abort), None);
    assert!(matches!(log.check(&data(1, 5, 0, 1)), Err(ProducerStateError::InvalidProducerEpoch { .. })));
    assert_eq!(log.out_of_order(&data(1, 6, 3, 1)), Some(-1));
    log.append(data(1, 6, 0, 1));
}

#[test]
fn a_marker_of_a_newer_epoch_makes_the_next_sequence_zero() {
    // Transactions of version 2 (KIP-890): each ends with a marker of the next epoch.
    let mut log = Log::default();
    log.append(in_transaction(data(1, 0, 0, 3)));
    assert!(log.end(1, 1, TransactionResult::Commit).is_some());
    assert_eq!(log.out_of_order(&in_transaction(data(1, 1, 3, 1))), Some(-1));
    log.append(in_transaction(data(1, 1, 0, 1)));
    // Of version 1: the epoch stays, and so does the sequence.
    log.end(1, 1, TransactionResult::Commit);
    log.append(in_transaction(data(1, 1, 1, 1)));
}

#[test]
fn replaced_coordinators_cannot_end_transactions() {
    let mut log = Log::default();
    log.apply(marker_header(1, 0), Some(marker(TransactionResult::Abort, 7)));
    let check = |epoch| {
        let old = marker(TransactionResult::Commit, epoch);
        log.states.check(&marker_header(1, 0), Some(&old), COORDINATOR)
    };
    let fenced = ProducerStateError::CoordinatorFenced {
        producer_id: ProducerId(1),
        coordinator_epoch: 6,
        current_epoch: 7,
    };
    assert_eq!(check(6), Err(fenced));
    assert_eq!(check(7), Ok(Verdict::Append));
}

#[test]
fn idle_producers_expire_by_the_clock_unless_a_transaction_is_open() {
    let mut log = Log::default();
    log.append(data(1, 0, 0, 1));
    log.append(in_transaction(data(2, 0, 0, 1)));
    log.states.remove_expired(TimestampMs(NOW.0 + 99), 100);
    assert_eq!(log.states.producers().len(), 2);
    log.states.remove_expired(TimestampMs(NOW.0 + 100), 100);
    assert_eq!(log.states.producers().map(|(id, _)| id.0).collect::<Vec<_>>(), [2]);
    log.append(data(1, 0, 77, 1));
}

#[test]
fn beyond_the_maximum_those_who_wrote_longest_ago_are_forgotten() {
    let mut log = Log::default();
    log.append(in_transaction(data(0, 0, 0, 1)));
    for producer in 1..i64::try_from(PRODUCERS_MAX).unwrap() + 1000 {
        log.apply(data(producer, 0, 0, 1), None);
        assert!(log.states.producers().len() <= PRODUCERS_MAX);
    }
    assert!(log.states.producer(ProducerId(0)).is_some(), "its transaction is open");
    assert!(log.states.producer(ProducerId(1)).is_none());
    assert!(log.states.producers().len() > PRODUCERS_MAX / 2);
}

#[test]
fn snapshots_have_kafkas_bytes() {
    let bytes = golden::bytes(golden::SNAPSHOT);
    let states = ProducerStates::decode_snapshot(&bytes, Offset(100), NOW).unwrap();
    assert_eq!(states.encode_snapshot(), bytes);
    let first = states.producer(ProducerId(1)).unwrap();
    assert_eq!((first.producer_epoch, first.coordinator_epoch), (ProducerEpoch(2), 3));
    assert_eq!(first.current_transaction_first_offset, Some(Offset(90)));
    let batch = first.last_batch().unwrap();
    assert_eq!((batch.first_sequence(), batch.last_sequence), (Sequence(5), Sequence(9)));
    assert_eq!((batch.first_offset(), batch.last_offset), (Offset(95), Offset(99)));
    assert_eq!(states.producer(ProducerId(2)).unwrap().last_sequence(), NO_SEQUENCE);
    assert_eq!(states.first_unstable_offset(Offset(100)), Some(Offset(90)));
}

#[test]
fn damaged_snapshots_are_refused() {
    let bytes = golden::bytes(golden::SNAPSHOT);
    for cut in 0..bytes.len() {
        assert!(ProducerStates::decode_snapshot(&bytes[..cut], Offset(100), NOW).is_err(), "{cut}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        assert!(ProducerStates::decode_snapshot(&damaged, Offset(100), NOW).is_err(), "{at}");
    }
    let from_later = SnapshotError::FromLater { last_offset: Offset(99), end_offset: Offset(99) };
    assert_eq!(ProducerStates::decode_snapshot(&bytes, Offset(99), NOW), Err(from_later));
    let decode = |count: i32, entries: usize| {
        let body = [&count.to_be_bytes()[..], &vec![0; entries * 46]].concat();
        let bytes = [&1_i16.to_be_bytes()[..], &crate::batch::crc32c(&body).to_be_bytes(), &body].concat();
        ProducerStates::decode_snapshot(&bytes, Offset(1), NOW)
    };
    assert!(decode(1, 1).is_ok());
    for (count, entries) in [(2, 1), (0, 1), (-1, 0), (i32::MAX, 0)] {
        assert!(matches!(decode(count, entries), Err(SnapshotError::BadLength { .. })), "{count} {entries}");
    }
}

proptest! {
    #[test]
    fn producers_agree_with_a_search_of_the_whole_log(steps in prop::collection::vec(model::any_step(), 1..120)) {
        model::run(&steps)?;
    }
}

//! The checker finds one injected anomaly of each class, exactly that one, and nothing in the clean history beside it.

use std::sync::Arc;

use super::anomaly::Anomaly;
use super::check::anomalies;
use super::content::{Identity, Place};
use super::{History, Operation, Outcome, Tick};

const PRODUCER: u32 = 1;
const CONSUMER: u32 = 7;

fn place() -> Place {
    Place::new(&"t".into(), 0)
}

fn record(sequence: i64) -> Identity {
    Identity { producer: PRODUCER, sequence }
}

fn sent(sequence: i64, outcome: Outcome) -> Operation {
    Operation::Send { place: place(), record: record(sequence), outcome }
}

fn acknowledged(sequence: i64, offset: i64) -> Operation {
    sent(sequence, Outcome::Acknowledged(Some(offset)))
}

/// A poll of records by pairs of offset and sequence.
fn read(records: &[(i64, i64)]) -> Operation {
    let records = records.iter().map(|&(offset, sequence)| (offset, Ok(record(sequence)))).collect();
    Operation::Poll { process: CONSUMER, place: place(), records }
}

fn assigned() -> Operation {
    Operation::Assigned { process: CONSUMER, place: place() }
}

fn end_offset(leader_epoch: i32, offset: i64) -> Operation {
    Operation::EndOffset { place: place(), leader_epoch, offset }
}

fn commit(offset: i64) -> Operation {
    Operation::Commit { group: "g".into(), place: place(), offset }
}

fn committed(offset: i64) -> Operation {
    Operation::Committed { group: "g".into(), place: place(), offset }
}

/// A history of operations, each of which begins after the one before it has ended.
fn history(operations: impl IntoIterator<Item = Operation>) -> History {
    let history = History::default();
    for operation in operations {
        let began = history.now();
        history.add(began, operation);
    }
    history
}

fn found(operations: impl IntoIterator<Item = Operation>) -> Vec<Anomaly> {
    anomalies(&history(operations))
}

/// Two acknowledged records, a third whose outcome nobody knows but which was read, and a fourth that was refused; two
/// reads, one in between by a consumer that is then placed anew; offsets that only grow.
fn clean() -> Vec<Operation> {
    vec![
        acknowledged(0, 0),
        end_offset(3, 1),
        read(&[(0, 0)]),
        commit(1),
        committed(1),
        acknowledged(1, 1),
        sent(2, Outcome::Unknown),
        sent(3, Outcome::Failed),
        Operation::Attempted { producer: PRODUCER, place: place(), end: 6 },
        acknowledged(5, 3),
        end_offset(4, 4),
        committed(1),
        assigned(),
        read(&[(0, 0), (1, 1)]),
        read(&[(2, 2), (3, 5)]),
    ]
}

/// The clean history with one more operation at its end.
fn clean_and(operation: Operation) -> Vec<Operation> {
    clean().into_iter().chain([operation]).collect()
}

#[test]
fn clean_history_has_no_anomaly() {
    assert_eq!(found(clean()), []);
    assert_eq!(found([]), []);
}

#[test]
fn two_records_at_one_offset_are_inconsistent() {
    let records = [record(2), record(4)].into();
    let expected = Anomaly::InconsistentOffset { place: place(), offset: 2, records };
    let elsewhere = |operation| match operation {
        Operation::Poll { records, .. } => Operation::Poll { process: 8, place: place(), records },
        other => other,
    };
    assert_eq!(found(clean_and(elsewhere(read(&[(2, 4)])))), [expected]);
}

#[test]
fn record_at_two_offsets_is_a_duplicate() {
    let expected = Anomaly::Duplicate { place: place(), record: record(5), offsets: [3, 4].into() };
    assert_eq!(found(clean_and(read(&[(4, 5)]))), [expected]);
}

#[test]
fn acknowledged_record_before_others_that_were_read_is_lost() {
    // The same history, in which offset 1 is never read.
    let operations = clean().into_iter().map(|operation| match operation {
        Operation::Poll { process, place, records } => {
            let records = records.into_iter().filter(|(offset, _)| *offset != 1).collect();
            Operation::Poll { process, place, records }
        }
        other => other,
    });
    let lost = Anomaly::LostWrite { place: place(), record: record(1), offset: 1, read_to: 3 };
    // Whoever knows of offset 1 sees that it was skipped, too.
    let skipped = Anomaly::PollSkip { process: CONSUMER, place: place(), before: 0, after: 2 };
    assert_eq!(found(operations), [lost, skipped]);
}

#[test]
fn acknowledged_record_that_nobody_reads_is_unseen() {
    let expected = Anomaly::Unseen { place: place(), record: record(6), offset: Some(4) };
    assert_eq!(found(clean_and(acknowledged(6, 4))), [expected]);
    let expected = Anomaly::Unseen { place: place(), record: record(6), offset: None };
    assert_eq!(found(clean_and(sent(6, Outcome::Acknowledged(None)))), [expected]);
}

#[test]
fn consumer_that_leaves_out_what_is_there_skips() {
    let operations = [read(&[(0, 0), (1, 1), (2, 2)]), assigned(), read(&[(0, 0)]), read(&[(2, 2)])];
    let attempted = Operation::Attempted { producer: PRODUCER, place: place(), end: 3 };
    let expected = Anomaly::PollSkip { process: CONSUMER, place: place(), before: 0, after: 2 };
    assert_eq!(found([attempted].into_iter().chain(operations)), [expected]);
}

#[test]
fn consumer_that_steps_over_a_gap_does_not_skip() {
    let attempted = Operation::Attempted { producer: PRODUCER, place: place(), end: 3 };
    assert_eq!(found([attempted, read(&[(0, 0), (2, 2)])]), []);
}

#[test]
fn consumer_that_goes_back_is_nonmonotonic() {
    let expected = Anomaly::NonmonotonicPoll { process: CONSUMER, place: place(), before: 3, after: 2 };
    assert_eq!(found(clean_and(read(&[(2, 2)]))), [expected]);
}

#[test]
fn later_record_before_an_earlier_one_is_nonmonotonic() {
    let operations = [acknowledged(0, 1), acknowledged(1, 0), read(&[(0, 1), (1, 0)])];
    let expected =
        Anomaly::NonmonotonicSend { place: place(), earlier: (record(0), 1), later: (record(1), 0) };
    assert_eq!(found(operations), [expected]);
}

#[test]
fn record_that_nobody_sent_is_a_phantom() {
    let why = "nobody sent 6 of producer 1".to_owned();
    let expected = Anomaly::PhantomRead { place: place(), offset: 4, why };
    assert_eq!(found(clean_and(read(&[(4, 6)]))), [expected]);
}

#[test]
fn damaged_record_is_a_phantom() {
    let damaged = vec![(4, Err("its checksum is wrong".to_owned()))];
    let poll = Operation::Poll { process: CONSUMER, place: place(), records: damaged };
    let why = "its checksum is wrong".to_owned();
    assert_eq!(found(clean_and(poll)), [Anomaly::PhantomRead { place: place(), offset: 4, why }]);
}

#[test]
fn refused_record_that_is_read_is_found() {
    let operations = [sent(0, Outcome::Failed), read(&[(0, 0)])];
    assert_eq!(found(operations), [Anomaly::FailedSendSeen { place: place(), record: record(0), offset: 0 }]);
}

#[test]
fn end_offset_that_goes_back_is_found() {
    let expected = Anomaly::HighWatermarkRegression { place: place(), before: 4, after: 3 };
    for leader_epoch in [4, 5] {
        assert_eq!(found(clean_and(end_offset(leader_epoch, 3))), std::slice::from_ref(&expected));
    }
}

#[test]
fn end_offset_of_a_leader_that_was_deposed_may_be_older() {
    assert_eq!(found(clean_and(end_offset(3, 2))), []);
    // But it does not go behind itself.
    let expected = Anomaly::HighWatermarkRegression { place: place(), before: 1, after: 0 };
    assert_eq!(found(clean_and(end_offset(3, 0))), [expected]);
}

#[test]
fn answer_to_an_earlier_question_may_be_older() {
    let history = history(clean());
    history.add(Tick(0), end_offset(5, 0));
    history.add(Tick(0), committed(-1));
    assert_eq!(anomalies(&history), []);
}

#[test]
fn committed_offset_that_goes_back_is_found() {
    let group: Arc<str> = "g".into();
    let expected = Anomaly::CommittedOffsetRegression { group, place: place(), before: 1, after: -1 };
    assert_eq!(found(clean_and(committed(-1))), [expected]);
}

//! What must be true of a log that is appended to as a leader and as a follower, and cut: it holds the batches that the
//! model holds, and everything else that is known of it is what those batches say.

use std::sync::Arc;

use bytes::Bytes;

use super::support::*;
use crate::aborted_transactions::AbortedTransaction;
use crate::batch::{
    AppendOrigin, AppendRules, Attributes, BatchHeader, EndTransactionMarker, TransactionResult,
    ValidatedBatch, check, validate,
};
use crate::batch_builder::{BatchSpec, end_transaction_batch};
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use crate::leader_epochs::LeaderEpochs;
use crate::log::{Log, aborted_by};
use crate::producer_state::{ProducerState, ProducerStates};
use crate::records::records_of;

/// Producers from this id on write in transactions.
pub(super) const FIRST_TRANSACTIONAL: i64 = 10;

/// A batch of the model.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) header: BatchHeader,
    pub(super) bytes: Bytes,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let BatchHeader { base_offset, partition_leader_epoch, producer_id, crc, .. } = self.header;
        let last_offset = self.header.last_offset();
        write!(
            formatter,
            "{base_offset}..{last_offset} in {partition_leader_epoch} of {producer_id}, {crc:x}"
        )
    }
}

/// What a log should hold.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) start: Offset,
    pub(super) end: Offset,
    /// From the first segment on, which may begin before `start`.
    pub(super) batches: Vec<Batch>,
    pub(super) epoch: i32,
    /// So that no two batches are the same.
    next_value: u32,
}

/// What the batches of a log say of it.
struct Said {
    producers: ProducerStates,
    epochs: LeaderEpochs,
    aborted: Vec<AbortedTransaction>,
}

/// How a batch comes into a log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Leader,
    /// With so many offsets left out before it.
    Follower(i64),
}

impl World {
    fn said(&self) -> Said {
        let mut said = Said {
            producers: ProducerStates::new(Offset(0)),
            epochs: LeaderEpochs::default(),
            aborted: Vec::new(),
        };
        for Batch { header, bytes } in &self.batches {
            if said.epochs.latest().is_none_or(|latest| latest < header.partition_leader_epoch) {
                said.epochs.assign(header.partition_leader_epoch, header.base_offset);
            }
            let is_control = header.attributes.is_control();
            let marker = is_control.then(|| EndTransactionMarker::read(bytes).unwrap().unwrap());
            let completed = said.producers.apply(header, marker.as_ref(), NOW);
            said.aborted.extend(completed.and_then(aborted_by));
        }
        said.epochs.truncate_from_start(self.start);
        said.epochs.truncate_from_end(self.end);
        said
    }

    pub(super) fn open_transactions(&self) -> Vec<i64> {
        let said = self.said();
        let open =
            said.producers.producers().filter(|(_, state)| state.current_transaction_first_offset.is_some());
        open.map(|(producer_id, _)| producer_id.0).collect()
    }

    /// A batch of `count` records that `producer_id` may send now.
    fn data(&mut self, producer_id: i64, count: i32, value_bytes: usize) -> ValidatedBatch {
        self.next_value += 1;
        let mut value = self.next_value.to_be_bytes().to_vec();
        value.resize(4 + value_bytes, b'v');
        let timestamp = NOW.0 + i64::from(self.next_value.wrapping_mul(7919) % 500);
        if producer_id < 0 {
            return batch_of(BatchSpec::default(), count, &value, timestamp);
        }
        let said = self.said();
        let known = said.producers.producer(ProducerId(producer_id));
        let sequence = known.map_or(0, |state| state.last_sequence().0 + 1);
        let is_transactional = producer_id >= FIRST_TRANSACTIONAL;
        let spec = BatchSpec {
            producer_id: ProducerId(producer_id),
            producer_epoch: ProducerEpoch(0),
            base_sequence: Sequence(sequence),
            flags: if is_transactional { Attributes::TRANSACTIONAL } else { 0 },
            ..BatchSpec::default()
        };
        batch_of(spec, count, &value, timestamp)
    }

    /// Appends data. False where the log is offline.
    pub(super) fn send<D: Disk>(
        &mut self,
        log: &Arc<Log<D>>,
        role: Role,
        producer_id: i64,
        (count, value_bytes): (i32, usize),
    ) -> bool {
        let batch = self.data(producer_id, count, value_bytes);
        self.append(log, role, batch)
    }

    pub(super) fn end_transaction<D: Disk>(
        &mut self,
        log: &Arc<Log<D>>,
        role: Role,
        producer_id: i64,
        result: TransactionResult,
    ) -> bool {
        let marker = EndTransactionMarker { result, coordinator_epoch: 1 };
        let bytes = end_transaction_batch(ProducerId(producer_id), ProducerEpoch(0), marker, NOW).unwrap();
        let topic = config::topic::TopicConfig::default();
        let rules = AppendRules::of_topic(&topic, AppendOrigin::Coordinator, 9);
        self.append(log, role, validate(Bytes::from(bytes), &rules, NOW).unwrap())
    }

    fn append<D: Disk>(&mut self, log: &Arc<Log<D>>, role: Role, batch: ValidatedBatch) -> bool {
        let epoch = LeaderEpoch(self.epoch);
        let base_offset = match role {
            Role::Leader => self.end,
            Role::Follower(gap) => self.end.plus(gap),
        };
        let placed = place(&batch.bytes, base_offset, epoch);
        let is_appended = match role {
            Role::Leader => {
                log.begin_leader_epoch(epoch);
                log.append_as_leader(batch, epoch, NOW)
                    .map(|appended| assert!(!appended.is_duplicate))
                    .is_ok()
            }
            Role::Follower(_) => log.append_as_follower(&placed.bytes, NOW).is_ok(),
        };
        if is_appended {
            self.end = placed.header.next_offset();
            self.batches.push(placed);
        }
        is_appended
    }

    /// How many offsets can be read.
    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.end.0 - self.start.0).unwrap()
    }

    /// What the model is when nothing from `offset` on stays.
    pub(super) fn truncate(&mut self, offset: Offset) {
        if offset >= self.end {
            return;
        }
        self.batches.retain(|batch| batch.header.next_offset() <= offset);
    }

    /// Takes the end of a log that was cut at `offset`: behind the last batch, or anywhere up to there where none that
    /// could be read stayed.
    pub(super) fn settle<D: Disk>(&mut self, log: &Arc<Log<D>>, offset: Offset) {
        let end = log.log_end_offset();
        let last = self.batches.last().map_or(Offset(0), |batch| batch.header.next_offset());
        if last > self.start {
            assert_eq!(end, last, "the log ends behind its last batch");
        }
        assert!(last <= end && (end <= offset || end == last), "the log ends at {end}, cut at {offset}");
        if log.size_in_bytes() == 0 {
            // What lay below the start is forgotten too.
            self.batches.clear();
        }
        self.end = end;
        self.start = self.start.min(end);
    }

    pub(super) fn start_over(&mut self, offset: Offset) {
        self.batches.clear();
        (self.start, self.end) = (offset, offset);
    }

    /// The log is what the model says.
    pub(super) fn verify<D: Disk>(&self, log: &Arc<Log<D>>) {
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (self.start, self.end), "{log:?}");
        assert!(log.flushed_end_offset() <= log.log_end_offset());
        let readable: Vec<_> =
            self.batches.iter().filter(|batch| batch.header.next_offset() > self.start).cloned().collect();
        assert_eq!(batches_of(log), readable);
        let said = self.said();
        self.verify_aborted(log, &said.aborted);
        // Of epochs without a record that can be read, a log may know or not.
        let oldest = readable.first().map_or(self.epoch + 1, |batch| batch.header.partition_leader_epoch.0);
        for epoch in oldest..=self.epoch + 1 {
            let epoch = LeaderEpoch(epoch);
            let expected = said.epochs.end_offset_for(epoch, self.end);
            assert_eq!(log.end_offset_for_epoch(epoch), expected, "the end of epoch {epoch}");
        }
        log.advance_high_watermark(self.end);
        if self.start == Offset(0) {
            assert_eq!(log.first_unstable_offset(), said.producers.first_undecided_offset());
        }
        self.verify_producers(log, &said);
        self.verify_times(log, &readable);
    }

    /// A transaction of which no record can be read may be forgotten.
    fn verify_aborted<D: Disk>(&self, log: &Arc<Log<D>>, said: &[AbortedTransaction]) {
        let found = log.aborted_transactions(self.start, self.end);
        for aborted in &found {
            let same = said.iter().find(|said| said.last_offset == aborted.last_offset);
            assert_eq!(
                same.map(|same| same.producer_id),
                Some(aborted.producer_id),
                "{aborted:?} is made up"
            );
        }
        for aborted in said.iter().filter(|aborted| aborted.last_offset >= self.start) {
            let hides = |batch: &&Batch| {
                let BatchHeader { base_offset, producer_id, .. } = batch.header;
                let is_its_own =
                    producer_id == aborted.producer_id && batch.header.last_offset() >= self.start;
                is_its_own && base_offset >= aborted.first_offset && base_offset < aborted.last_offset
            };
            let first = self.batches.iter().find(hides).map(|batch| batch.header.base_offset);
            let same = found.iter().find(|found| found.last_offset == aborted.last_offset);
            if let Some(first) = first {
                assert!(same.is_some_and(|same| same.first_offset <= first), "{aborted:?} is forgotten");
            }
        }
        if self.start == Offset(0) {
            assert_eq!(found, said);
        }
    }

    /// Snapshots hold the last batch of a producer only, so only that is compared; of producers whose batches are all
    /// below the start of the log, nothing is.
    fn verify_producers<D: Disk>(&self, log: &Arc<Log<D>>, said: &Said) {
        let known = log.producers();
        for snapshot in &known {
            let expected = said.producers.producer(snapshot.producer_id);
            if expected.is_none() {
                assert!(self.start > Offset(0), "producer {} is made up", snapshot.producer_id);
            }
        }
        for (producer_id, expected) in said.producers.producers() {
            if expected.last_batch().is_none_or(|batch| batch.last_offset < self.start) {
                continue;
            }
            let found = known.iter().find(|snapshot| snapshot.producer_id == producer_id);
            let found = &found.unwrap_or_else(|| panic!("producer {producer_id} is forgotten")).state;
            let last = |state: &ProducerState| {
                state.last_batch().map(|batch| (batch.last_sequence, batch.last_offset, batch.offset_delta))
            };
            assert_eq!(last(found), last(expected), "producer {producer_id}");
            if self.start == Offset(0) {
                assert_eq!(found.coordinator_epoch, expected.coordinator_epoch, "producer {producer_id}");
            }
            let (found, expected) =
                (found.current_transaction_first_offset, expected.current_transaction_first_offset);
            // Where it began may be forgotten with the segment.
            let is_same =
                found == expected || (self.start > Offset(0) && found.is_some() && expected.is_some());
            assert!(
                is_same,
                "producer {producer_id} has a transaction open from {found:?}, not {expected:?}"
            );
            if let Some(first_offset) = found {
                assert!(log.first_unstable_offset().is_some_and(|unstable| unstable <= first_offset));
            }
        }
    }

    fn verify_times<D: Disk>(&self, log: &Arc<Log<D>>, readable: &[Batch]) {
        let mut records = Vec::new();
        for batch in readable {
            for record in &records_of(&batch.bytes, 1 << 20).unwrap() {
                let record = record.unwrap();
                records.push((record.offset, record.timestamp));
            }
        }
        records.retain(|(offset, _)| *offset >= self.start);
        for step in 0..10 {
            let target = TimestampMs(NOW.0 + step * 50);
            let expected =
                records.iter().find(|(_, timestamp)| *timestamp >= target).map(|(offset, _)| *offset);
            let found = log.offset_for_timestamp(target, self.end).unwrap().map(|found| found.offset);
            assert_eq!(found, expected, "the first record at {target} or later");
        }
        let largest = records.iter().map(|(_, timestamp)| *timestamp).max();
        let first =
            records.iter().find(|(_, timestamp)| Some(*timestamp) == largest).map(|(offset, _)| *offset);
        if self.start == Offset(0) {
            assert_eq!(log.offset_of_max_timestamp(self.end).unwrap().map(|found| found.offset), first);
        }
    }
}

/// The batch as it stands at an offset.
pub(super) fn place(bytes: &[u8], base_offset: Offset, epoch: LeaderEpoch) -> Batch {
    let header = check(bytes).unwrap();
    let mut bytes = bytes.to_vec();
    let place = header.position_bytes(base_offset, epoch);
    bytes[..place.len()].copy_from_slice(&place);
    Batch { header: header.at(base_offset, epoch), bytes: Bytes::from(bytes) }
}

/// The batches that a reader finds.
pub(super) fn batches_of<D: Disk>(log: &Arc<Log<D>>) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut next = log.log_start_offset();
    loop {
        let mut rest = log.read(next, log.log_end_offset(), 3000, true).unwrap().records;
        if rest.is_empty() {
            return batches;
        }
        while !rest.is_empty() {
            let header = check(&rest).unwrap();
            let bytes = rest.split_to(header.size_in_bytes());
            next = header.next_offset();
            batches.push(Batch { header, bytes: Bytes::copy_from_slice(&bytes) });
        }
    }
}

//! A compacted log and what must be true of it, for tests: every record that was appended is remembered, and readers are
//! compared with that.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use config::topic::{CleanupPolicy, TopicConfig};

use super::support::*;
use crate::batch::{
    AppendOrigin, AppendRules, Attributes, EndTransactionMarker, TransactionResult, check, validate,
};
use crate::batch_builder::{BatchBuilder, BatchSpec, end_transaction_batch};
use crate::compaction::CleanerSettings;
use crate::compression::Codec;
use crate::disk::Disk;
use crate::error::{AppendError, CleanError};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use crate::log::Log;
use crate::records::records_of;

/// Producers from this id on write in transactions.
pub(super) const FIRST_TRANSACTIONAL: i64 = 10;
const RETENTION_MS: i64 = 1000;

pub(super) fn compacted() -> Arc<TopicConfig> {
    Arc::new(TopicConfig {
        segment_bytes: 3000,
        index_interval_bytes: 256,
        cleanup_policy: CleanupPolicy { compact: true, delete: false },
        delete_retention_ms: RETENTION_MS,
        min_cleanable_dirty_ratio: 0.0,
        ..TopicConfig::default()
    })
}

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    offset: Offset,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: TimestampMs,
    /// Which of [`World::transactions`].
    transaction: Option<usize>,
}

#[derive(Clone, Debug)]
struct Transaction {
    producer_id: i64,
    end: Option<(Offset, TransactionResult)>,
}

/// The newest batch of a producer.
#[derive(Clone, Debug)]
struct LastBatch {
    base_offset: Offset,
    bytes: Vec<u8>,
}

/// What was done to a log.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) now_ms: i64,
    pub(super) epoch: i32,
    records: Vec<Written>,
    transactions: Vec<Transaction>,
    /// By producer, in order: last offset, next sequence, batch.
    batches: BTreeMap<i64, Vec<(Offset, i32, LastBatch)>>,
    /// When rounds were run, with their ends (exclusive).
    rounds: Vec<(i64, Offset)>,
    next_value: u32,
}

/// One batch to append.
#[derive(Clone, Debug)]
pub(super) struct Send {
    /// -1 for none.
    pub(super) producer_id: i64,
    pub(super) codec: Codec,
    /// Keys, `None` for a record without one, with the number of bytes of the value, `None` for a tombstone.
    pub(super) records: Vec<(Option<u8>, Option<usize>)>,
}

impl World {
    pub(super) fn now(&self) -> TimestampMs {
        TimestampMs(NOW.0 + self.now_ms)
    }

    pub(super) fn send<D: Disk>(&mut self, log: &Arc<Log<D>>, send: &Send) {
        let is_transactional = send.producer_id >= FIRST_TRANSACTIONAL;
        let sequence =
            self.batches.get(&send.producer_id).and_then(|all| all.last()).map_or(0, |last| last.1);
        let mut spec =
            BatchSpec { codec: send.codec, level: send.codec.default_level(), ..BatchSpec::default() };
        if send.producer_id >= 0 {
            spec.producer_id = ProducerId(send.producer_id);
            spec.producer_epoch = ProducerEpoch(0);
            spec.base_sequence = Sequence(sequence);
            spec.flags = if is_transactional { Attributes::TRANSACTIONAL } else { 0 };
        }
        let mut builder = BatchBuilder::new(spec);
        let mut records = Vec::new();
        for (index, (key, value_bytes)) in (0..).zip(&send.records) {
            self.next_value += 1;
            let value = value_bytes.map(|bytes| {
                let mut value = self.next_value.to_be_bytes().to_vec();
                // Not all zeros, so that codecs leave something.
                value.extend((0..bytes).map(|at| (at * 31 + self.next_value as usize) as u8));
                value
            });
            let key = key.map(|key| vec![key]);
            let timestamp = TimestampMs(self.now().0 + index);
            builder.push(
                timestamp,
                key.as_deref(),
                value.as_deref(),
                &[(b"header", Some(b"1")), (b"", None)],
            );
            records.push((key, value, timestamp));
        }
        let bytes = builder.build().unwrap();
        let Some(base_offset) =
            self.append(log, &bytes, send.records.len() as i32 + sequence, send.producer_id)
        else {
            return;
        };
        let transaction = is_transactional.then(|| self.open_transaction(send.producer_id));
        for (index, (key, value, timestamp)) in (0..).zip(records) {
            self.records.push(Written {
                offset: base_offset.plus(index),
                key,
                value,
                timestamp,
                transaction,
            });
        }
    }

    fn append<D: Disk>(
        &mut self,
        log: &Arc<Log<D>>,
        bytes: &[u8],
        next_sequence: i32,
        producer_id: i64,
    ) -> Option<Offset> {
        let rules = AppendRules::of_topic(&TopicConfig::default(), AppendOrigin::Client, 12);
        let batch = validate(Bytes::copy_from_slice(bytes), &rules, self.now()).unwrap();
        let appended = match log.append_as_leader(batch, LeaderEpoch(self.epoch), self.now()) {
            Ok(appended) => appended,
            Err(AppendError::Offline(_) | AppendError::Disk(_)) => return None,
            Err(error) => panic!("{error}"),
        };
        assert!(!appended.is_duplicate);
        let last = LastBatch { base_offset: appended.base_offset, bytes: bytes.to_vec() };
        let last_offset = appended.end_offset.plus(-1);
        self.batches.entry(producer_id).or_default().push((last_offset, next_sequence, last));
        Some(appended.base_offset)
    }

    fn open_transaction(&mut self, producer_id: i64) -> usize {
        let open = |one: &Transaction| one.producer_id == producer_id && one.end.is_none();
        self.transactions.iter().position(open).unwrap_or_else(|| {
            self.transactions.push(Transaction { producer_id, end: None });
            self.transactions.len() - 1
        })
    }

    pub(super) fn end_transaction<D: Disk>(
        &mut self,
        log: &Arc<Log<D>>,
        producer_id: i64,
        result: TransactionResult,
    ) {
        let marker = EndTransactionMarker { result, coordinator_epoch: 1 };
        let bytes = end_transaction_batch(ProducerId(producer_id), ProducerEpoch(0), marker, self.now());
        let rules = AppendRules::of_topic(&TopicConfig::default(), AppendOrigin::Coordinator, 12);
        let batch = validate(Bytes::from(bytes.unwrap()), &rules, self.now()).unwrap();
        match log.append_as_leader(batch, LeaderEpoch(self.epoch), self.now()) {
            Ok(appended) => {
                let open = |one: &&mut Transaction| one.producer_id == producer_id && one.end.is_none();
                if let Some(transaction) = self.transactions.iter_mut().find(open) {
                    transaction.end = Some((appended.base_offset, result));
                }
            }
            Err(AppendError::Offline(_) | AppendError::Disk(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    pub(super) fn clean<D: Disk>(&mut self, log: &Log<D>, keys_max: usize) {
        self.clean_until(log, keys_max, &mut |_| ControlFlow::Continue(()));
    }

    pub(super) fn clean_until<D: Disk>(
        &mut self,
        log: &Log<D>,
        keys_max: usize,
        pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) {
        log.advance_high_watermark(log.flushed_end_offset());
        let Ok(Some(cleanable)) = log.cleanable(last_stable_offset(log), self.now()) else { return };
        if cleanable.dirty_bytes == 0 {
            return;
        }
        // The round is noted first: a crash may keep what it did without its answer.
        self.rounds.push((self.now_ms, cleanable.first_uncleanable_offset));
        let settings =
            CleanerSettings { key_bytes_max: keys_max * 24, key_load_factor: 0.9, read_bytes: 1000 };
        match log.clean(&cleanable, &settings, self.now(), pace) {
            Ok(stats) => {
                let end = stats.cleaned_end_offset.unwrap();
                assert!(end > cleanable.first_dirty_offset, "every round makes progress");
                assert!(end <= cleanable.first_uncleanable_offset);
            }
            Err(CleanError::Stopped | CleanError::Write(_) | CleanError::Read(_)) => {}
            Err(error @ CleanError::Unreadable { .. }) => panic!("{error}"),
        }
    }

    /// Forgets what a crash took from the end of the log.
    pub(super) fn truncate(&mut self, end: Offset) {
        self.records.retain(|record| record.offset < end);
        for transaction in &mut self.transactions {
            transaction.end = transaction.end.filter(|(marker, _)| *marker < end);
        }
        for batches in self.batches.values_mut() {
            batches.retain(|(last_offset, ..)| *last_offset < end);
        }
        let records = &self.records;
        let used = |index: usize| records.iter().any(|record| record.transaction == Some(index));
        for (index, transaction) in self.transactions.iter_mut().enumerate() {
            if transaction.end.is_none() && !used(index) {
                // It never began: its number stays, and nobody finds it open.
                transaction.producer_id = -1;
            }
        }
    }

    fn outcome(&self, record: &Written) -> Option<TransactionResult> {
        match record.transaction.and_then(|index| self.transactions.get(index)) {
            None => Some(TransactionResult::Commit),
            Some(transaction) => transaction.end.map(|(_, result)| result),
        }
    }

    /// What a reader of committed data that starts at 0 sees is the newest value of each key, and nothing that was not
    /// appended just so.
    pub(super) fn verify<D: Disk>(&self, log: &Log<D>) {
        log.advance_high_watermark(log.flushed_end_offset());
        let end = last_stable_offset(log);
        let seen = self.read(log, end);
        let mut newest_seen = BTreeMap::new();
        for record in &seen {
            newest_seen.insert(record.key.clone(), (record.offset, record.value.clone()));
        }
        let mut newest = BTreeMap::new();
        for record in self.records.iter().filter(|record| record.offset < end) {
            if record.key.is_some() && self.outcome(record) == Some(TransactionResult::Commit) {
                newest.insert(record.key.clone(), record);
            }
        }
        for (key, record) in &newest {
            let found = newest_seen.get(key);
            let is_shown = record.value.is_some() || self.is_tombstone_due(record.offset);
            match found {
                Some((offset, value)) => {
                    assert_eq!((*offset, value), (record.offset, &record.value), "an older one of {key:?}");
                }
                None => assert!(!is_shown, "the newest record of {key:?} is gone: {record:?}"),
            }
        }
        let is_known = |key: &Option<Vec<u8>>| key.is_none() || newest.contains_key(key);
        assert!(newest_seen.keys().all(is_known), "a key that was never committed");
    }

    /// Whether a tombstone must still be there: no round met it yet, or the first did not long ago.
    fn is_tombstone_due(&self, offset: Offset) -> bool {
        let met = self.rounds.iter().find(|(_, end)| offset < *end);
        met.is_none_or(|(at, _)| self.now_ms < at + RETENTION_MS)
    }

    /// The committed records below `end`, each compared with what was appended.
    fn read<D: Disk>(&self, log: &Log<D>, end: Offset) -> Vec<Written> {
        let aborted = log.aborted_transactions(Offset(0), end);
        let mut seen = Vec::new();
        let mut next = Offset(0);
        while next < end {
            let read = log.read(next, end, 700, true).unwrap();
            let mut rest = read.records.as_ref();
            assert!(!rest.is_empty(), "nothing to read from {next} to {end}");
            while !rest.is_empty() {
                let header = check(rest).unwrap();
                assert!(header.base_offset >= next || next == Offset(0), "offsets grow");
                let records = records_of(rest, 1 << 20).unwrap();
                rest = &rest[header.size_in_bytes()..];
                next = header.next_offset();
                if header.attributes.is_control() {
                    continue;
                }
                let is_hidden = header.attributes.is_transactional()
                    && aborted.iter().any(|one| {
                        one.producer_id == header.producer_id
                            && one.first_offset <= header.base_offset
                            && header.base_offset < one.last_offset
                    });
                for record in &records {
                    let record = record.unwrap();
                    let found = self.records.binary_search_by_key(&record.offset, |one| one.offset);
                    let written = &self.records[found.expect("no record is invented")];
                    assert_eq!(record.key, written.key.as_deref());
                    assert_eq!(record.value, written.value.as_deref());
                    assert_eq!(record.timestamp, written.timestamp, "at {}", record.offset);
                    assert_eq!(record.headers().count(), 2);
                    let is_committed = self.outcome(written) == Some(TransactionResult::Commit);
                    assert_eq!(is_hidden, !is_committed, "{written:?} is hidden or shown wrongly");
                    if is_committed {
                        seen.push(written.clone());
                    }
                }
            }
        }
        seen
    }

    /// Every producer goes on where it was: its last batch is recognised, and the next one is taken.
    pub(super) fn verify_producers<D: Disk>(&self, log: &Arc<Log<D>>) {
        for (producer_id, batches) in self.batches.iter().filter(|(producer_id, _)| **producer_id >= 0) {
            let Some((_, next_sequence, last)) = batches.last() else { continue };
            let known = log.producers().into_iter().find(|one| one.producer_id.0 == *producer_id);
            let known = known.unwrap_or_else(|| panic!("producer {producer_id} is forgotten"));
            assert_eq!(known.state.last_sequence().0 + 1, *next_sequence, "producer {producer_id}");
            let rules = AppendRules::of_topic(&TopicConfig::default(), AppendOrigin::Client, 12);
            let batch = validate(Bytes::copy_from_slice(&last.bytes), &rules, self.now()).unwrap();
            let appended = log.append_as_leader(batch, LeaderEpoch(self.epoch), self.now()).unwrap();
            assert!(appended.is_duplicate, "producer {producer_id} wrote twice");
            assert_eq!(appended.base_offset, last.base_offset);
        }
    }

    pub(super) fn open_transactions(&self) -> Vec<i64> {
        let open = self.transactions.iter().filter(|one| one.end.is_none() && one.producer_id >= 0);
        open.map(|one| one.producer_id).collect()
    }
}

pub(super) fn last_stable_offset<D: Disk>(log: &Log<D>) -> Offset {
    let high_watermark = log.flushed_end_offset();
    log.first_unstable_offset().map_or(high_watermark, |unstable| unstable.min(high_watermark))
}

//! Producers as a search through everything that was ever appended: slow and plain, to compare with.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;

/// The largest sequence and one: sequences count modulo this.
const MODULUS: i64 = 1 << 31;

/// Something that is in the log.
#[derive(Clone, Copy, Debug)]
struct Entry {
    producer: i64,
    epoch: i16,
    base_sequence: i64,
    count: i64,
    base_offset: i64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Transactional,
    Marker,
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A batch whose sequence is this far from what would be next.
    Batch {
        producer: i64,
        epoch: i16,
        skip: i64,
        count: i32,
        transactional: bool,
    },
    /// The batch that was appended this many entries ago, once more.
    Retry {
        ago: usize,
    },
    Marker {
        producer: i64,
        epoch: i16,
    },
    HighWatermark {
        lag: i64,
    },
    Restart,
}

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    let producer = 0..3_i64;
    let epoch = prop_oneof![4 => Just(0_i16), 1 => 0..4_i16];
    let skip = prop_oneof![8 => Just(0_i64), 1 => -3..3_i64];
    prop_oneof![
        8 => (producer.clone(), epoch.clone(), skip, 1..4, any::<bool>()).prop_map(
            |(producer, epoch, skip, count, transactional)| {
                Step::Batch { producer, epoch, skip, count, transactional }
            }
        ),
        3 => (0..20_usize).prop_map(|ago| Step::Retry { ago }),
        2 => (producer, epoch).prop_map(|(producer, epoch)| Step::Marker { producer, epoch }),
        1 => (0..10_i64).prop_map(|lag| Step::HighWatermark { lag }),
        1 => Just(Step::Restart),
    ]
}

#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
}

impl Model {
    fn of(&self, producer: i64) -> Vec<Entry> {
        self.entries.iter().copied().filter(|entry| entry.producer == producer).collect()
    }

    /// The data of the producer's newest epoch.
    fn current(&self, producer: i64) -> Vec<Entry> {
        let all = self.of(producer);
        let epoch = all.last().map(|entry| entry.epoch);
        let same_epoch = all.iter().rev().take_while(|entry| Some(entry.epoch) == epoch);
        let mut data: Vec<Entry> = same_epoch.copied().filter(|entry| entry.kind != Kind::Marker).collect();
        data.reverse();
        data
    }

    fn next_sequence(&self, producer: i64) -> i64 {
        // Unknown producers begin close to where sequences wrap.
        let unknown = if self.of(producer).is_empty() { MODULUS - 4 } else { 0 };
        self.current(producer).last().map_or(unknown, |last| (last.base_sequence + last.count) % MODULUS)
    }

    fn open_since(&self, producer: i64) -> Option<i64> {
        let all = self.of(producer);
        let decided = all.iter().rposition(|entry| entry.kind == Kind::Marker).map_or(0, |at| at + 1);
        let first = all[decided..].iter().find(|entry| entry.kind == Kind::Transactional);
        first.map(|entry| entry.base_offset)
    }

    fn check(&self, header: &BatchHeader, transactional: bool) -> Result<Verdict, &'static str> {
        let (producer, epoch) = (header.producer_id.0, header.producer_epoch.0);
        let (base, count) = (i64::from(header.base_sequence.0), i64::from(header.record_count));
        let Some(newest) = self.of(producer).last().copied() else {
            return Ok(Verdict::Append);
        };
        let current = self.current(producer);
        let recent = &current[current.len().saturating_sub(5)..];
        let same = recent.iter().find(|entry| (entry.base_sequence, entry.count) == (base, count));
        if let Some(same) = same.filter(|_| epoch == newest.epoch) {
            return Ok(Verdict::Duplicate {
                base_offset: Offset(same.base_offset),
                last_offset: Offset(same.base_offset + same.count - 1),
                timestamp: TimestampMs(600 + same.base_sequence),
            });
        }
        if epoch < newest.epoch {
            return Err("epoch");
        }
        let expected = if epoch > newest.epoch { 0 } else { self.next_sequence(producer) };
        if base != expected {
            let older: i64 = current[..current.len() - recent.len()].iter().map(|entry| entry.count).sum();
            let distance = recent.first().map_or(0, |first| (first.base_sequence - base).rem_euclid(MODULUS));
            let is_older = epoch == newest.epoch && count <= distance && distance <= older;
            return Err(if is_older { "duplicate" } else { "sequence" });
        }
        if self.open_since(producer).is_some() && !transactional {
            return Err("transaction");
        }
        Ok(Verdict::Append)
    }

    fn first_unstable(&self, high_watermark: i64) -> Option<Offset> {
        let open = (0..3).filter_map(|producer| self.open_since(producer));
        let ended = self.entries.iter().enumerate().filter_map(|(at, entry)| {
            let past = Model { entries: self.entries[..at].to_vec() };
            let is_late = entry.kind == Kind::Marker && entry.base_offset >= high_watermark;
            past.open_since(entry.producer).filter(|_| is_late)
        });
        open.chain(ended).min().map(Offset)
    }
}

fn name(error: ProducerStateError) -> &'static str {
    match error {
        ProducerStateError::OutOfOrderSequence { .. } => "sequence",
        ProducerStateError::DuplicateSequence { .. } => "duplicate",
        ProducerStateError::InvalidProducerEpoch { .. } => "epoch",
        ProducerStateError::TransactionOpen { .. } => "transaction",
        ProducerStateError::CoordinatorFenced { .. } => "coordinator",
    }
}

/// Does every step to both, and compares what they say.
pub(super) fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let (mut log, mut model, mut high_watermark) = (Log::default(), Model::default(), 0);
    for step in steps {
        match *step {
            Step::Batch { producer, epoch, skip, count, transactional } => {
                let next = (model.next_sequence(producer) + skip).rem_euclid(MODULUS);
                let header = data(producer, epoch, i32::try_from(next).unwrap(), count);
                try_batch(&mut log, &mut model, header, transactional)?;
            }
            Step::Retry { ago } => {
                let entry =
                    model.entries.iter().rev().filter(|entry| entry.kind != Kind::Marker).nth(ago).copied();
                if let Some(Entry { producer, epoch, base_sequence, count, kind, .. }) = entry {
                    let (base, count) =
                        (i32::try_from(base_sequence).unwrap(), i32::try_from(count).unwrap());
                    let header = data(producer, epoch, base, count);
                    try_batch(&mut log, &mut model, header, kind == Kind::Transactional)?;
                }
            }
            Step::Marker { producer, epoch } => try_marker(&mut log, &mut model, producer, epoch)?,
            Step::HighWatermark { lag } => {
                high_watermark = high_watermark.max(log.end - lag);
                log.states.advance_high_watermark(Offset(high_watermark));
            }
            Step::Restart => {
                // Only the last batch survives a snapshot: what it says of retries differs, and the rest must
                // not.
                let bytes = log.states.encode_snapshot();
                let end = log.states.end_offset();
                let loaded = ProducerStates::decode_snapshot(&bytes, end, NOW).unwrap();
                prop_assert_eq!(loaded.encode_snapshot(), bytes);
                prop_assert_eq!(loaded.first_undecided_offset(), log.states.first_undecided_offset());
            }
        }
        prop_assert_eq!(
            log.states.first_unstable_offset(Offset(high_watermark)),
            model.first_unstable(high_watermark)
        );
        prop_assert_eq!(log.states.end_offset(), Offset(log.end));
    }
    Ok(())
}

fn try_batch(
    log: &mut Log,
    model: &mut Model,
    header: BatchHeader,
    transactional: bool,
) -> Result<(), TestCaseError> {
    let header = if transactional { in_transaction(header) } else { header };
    let verdict = log.check(&header);
    prop_assert_eq!(verdict.map_err(name), model.check(&header, transactional));
    if verdict == Ok(Verdict::Append) {
        model.entries.push(Entry {
            producer: header.producer_id.0,
            epoch: header.producer_epoch.0,
            base_sequence: i64::from(header.base_sequence.0),
            count: i64::from(header.record_count),
            base_offset: log.end,
            kind: if transactional { Kind::Transactional } else { Kind::Plain },
        });
        log.apply(header, None);
    }
    Ok(())
}

fn try_marker(log: &mut Log, model: &mut Model, producer: i64, epoch: i16) -> Result<(), TestCaseError> {
    let ending = marker(TransactionResult::Abort, 0);
    let header = marker_header(producer, epoch);
    let newest = model.of(producer).last().map(|entry| entry.epoch);
    let verdict = log.states.check(&header, Some(&ending), COORDINATOR);
    prop_assert_eq!(verdict.is_err(), newest.is_some_and(|newest| epoch < newest));
    if verdict.is_err() {
        return Ok(());
    }
    let open_since = model.open_since(producer);
    let base_offset = log.end;
    model.entries.push(Entry {
        producer,
        epoch,
        base_sequence: 0,
        count: 1,
        base_offset,
        kind: Kind::Marker,
    });
    let completed = log.apply(header, Some(ending));
    prop_assert_eq!(completed.map(|completed| completed.first_offset.0), open_since);
    if let Some(completed) = completed {
        let oldest_open = (0..3).filter_map(|producer| model.open_since(producer)).min();
        prop_assert_eq!(completed.last_stable_offset.0, oldest_open.unwrap_or(base_offset + 1));
    }
    Ok(())
}

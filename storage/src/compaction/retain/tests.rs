//! What stays, rule by rule.

use super::*;
use crate::batch::Attributes;
use crate::batch_builder::{BatchBuilder, BatchSpec};
use crate::ids::Sequence;
use crate::records::records_of;

const NOW: TimestampMs = TimestampMs(5000);

/// A batch of records `(key, value)` from `offset` on, of producer 7, with `flags` and this base timestamp.
fn batch(offset: i64, flags: i16, base_timestamp: i64, records: &[(Option<&str>, Option<&str>)]) -> Vec<u8> {
    let spec = BatchSpec {
        base_offset: Offset(offset),
        flags,
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(0),
        base_sequence: Sequence(0),
        ..BatchSpec::default()
    };
    let mut builder = BatchBuilder::new(spec);
    for (key, value) in records {
        builder.push(TimestampMs(base_timestamp), key.map(str::as_bytes), value.map(str::as_bytes), &[]);
    }
    builder.build().unwrap()
}

struct Known {
    keys: KeyMap,
    producers: BTreeMap<ProducerId, LastOfProducer>,
}

impl Known {
    /// Keys with their newest offsets.
    fn new(keys: &[(&str, i64)]) -> Self {
        let mut map = KeyMap::new(1 << 16, 0.9, 100);
        keys.iter().for_each(|(key, offset)| map.put(key.as_bytes(), Offset(*offset)).unwrap());
        Self { keys: map, producers: BTreeMap::new() }
    }

    /// The round that knows the keys below offset 100.
    fn round(&self) -> Round<'_> {
        let delete_horizon = TimestampMs(NOW.0 + 1000);
        Round {
            keys: &self.keys,
            keys_end: Offset(100),
            now: NOW,
            delete_horizon,
            producers: &self.producers,
        }
    }

    fn fate(&self, batch: &[u8], standing: Standing, is_last: bool) -> Fate {
        self.round().fate(&BatchHeader::parse(batch).unwrap(), standing, is_last)
    }

    fn kept(&self, batch: &[u8]) -> Vec<i64> {
        let records = records_of(batch, 1 << 20).unwrap();
        let kept = records.iter().map(Result::unwrap);
        kept.filter(|record| self.round().keeps(&records.header, record))
            .map(|record| record.offset.0)
            .collect()
    }
}

const FILTERED: Fate = Fate::Filtered { keeps_empty: false, starts_horizon: true };
const HORIZON: i16 = Attributes::DELETE_HORIZON;
const MARKER: i16 = Attributes::TRANSACTIONAL | Attributes::CONTROL;

#[test]
fn newest_record_of_a_key_stays_and_one_without_a_key_goes() {
    let known = Known::new(&[("a", 12), ("b", 50)]);
    let records = [
        (Some("a"), Some("1")),
        (Some("b"), Some("1")),
        (Some("a"), Some("2")),
        (None, Some("x")),
        (Some("c"), Some("1")),
    ];
    let batch = batch(10, 0, 0, &records);
    assert_eq!(known.fate(&batch, Standing::Data, false), FILTERED);
    assert_eq!(known.kept(&batch), [12, 14], "c is not in the dirty part, so this is its newest");
}

#[test]
fn what_the_keys_do_not_cover_stays() {
    let known = Known::new(&[("a", 99)]);
    let beyond = batch(100, 0, 0, &[(Some("a"), Some("1")), (None, Some("1"))]);
    assert_eq!(known.fate(&beyond, Standing::Data, false), Fate::Whole);
    let across = batch(99, 0, 0, &[(Some("a"), None), (Some("a"), Some("1")), (None, None)]);
    let waits = Fate::Filtered { keeps_empty: false, starts_horizon: false };
    assert_eq!(known.fate(&across, Standing::Data, false), waits);
    assert_eq!(known.kept(&across), [99, 100, 101]);
}

#[test]
fn tombstone_stays_until_its_horizon() {
    let known = Known::new(&[("a", 10)]);
    let tombstone = [(Some("a"), None)];
    assert_eq!(known.kept(&batch(10, 0, 0, &tombstone)), [10], "its time has not begun");
    assert_eq!(known.kept(&batch(10, HORIZON, NOW.0 + 1, &tombstone)), [10]);
    assert!(known.kept(&batch(10, HORIZON, NOW.0, &tombstone)).is_empty());
    assert_eq!(known.kept(&batch(10, HORIZON, NOW.0, &[(Some("a"), Some("v"))])), [10], "it is no tombstone");
    let again = Fate::Filtered { keeps_empty: false, starts_horizon: false };
    assert_eq!(known.fate(&batch(10, HORIZON, NOW.0, &tombstone), Standing::Data, false), again);
}

#[test]
fn aborted_data_goes() {
    let known = Known::new(&[]);
    let data = batch(10, Attributes::TRANSACTIONAL, 0, &[(Some("a"), Some("1"))]);
    assert_eq!(known.fate(&data, Standing::Aborted, false), Fate::Gone);
    assert_eq!(known.fate(&data, Standing::Aborted, true), Fate::Emptied, "the last of a segment");
    let beyond = batch(100, Attributes::TRANSACTIONAL, 0, &[(Some("a"), Some("1"))]);
    assert_eq!(known.fate(&beyond, Standing::Aborted, false), Fate::Gone);
}

#[test]
fn marker_goes_after_its_data_and_a_time() {
    let known = Known::new(&[]);
    let marker = |flags, base| batch(10, MARKER | flags, base, &[(Some("k"), Some("v"))]);
    let unused = Standing::Marker { is_unused: true };
    assert_eq!(known.fate(&marker(0, 0), Standing::Marker { is_unused: false }, false), Fate::Whole);
    assert_eq!(known.fate(&marker(0, 0), unused, false), Fate::HorizonStarts);
    assert_eq!(known.fate(&marker(HORIZON, NOW.0 + 1), unused, false), Fate::Whole);
    assert_eq!(known.fate(&marker(HORIZON, NOW.0), unused, false), Fate::Gone);
    assert_eq!(known.fate(&marker(HORIZON, NOW.0), unused, true), Fate::Emptied);
}

#[test]
fn last_batch_of_a_producer_stays_empty_and_its_newest_marker_whole() {
    let mut known = Known::new(&[("a", 99)]);
    let data = batch(10, 0, 0, &[(Some("a"), Some("1"))]);
    known.producers.insert(ProducerId(7), LastOfProducer::Data(Offset(10)));
    let kept = Fate::Filtered { keeps_empty: true, starts_horizon: true };
    assert_eq!(known.fate(&data, Standing::Data, false), kept);
    assert_eq!(known.fate(&data, Standing::Aborted, false), Fate::Emptied);
    known.producers.insert(ProducerId(7), LastOfProducer::Data(Offset(11)));
    assert_eq!(known.fate(&data, Standing::Data, false), FILTERED);
    known.producers.insert(ProducerId(7), LastOfProducer::Marker(ProducerEpoch(0)));
    let marker = batch(10, MARKER | HORIZON, NOW.0, &[(Some("k"), Some("v"))]);
    assert_eq!(known.fate(&marker, Standing::Marker { is_unused: true }, false), Fate::Whole);
    assert_eq!(known.fate(&data, Standing::Aborted, false), Fate::Gone, "data of an older epoch");
}

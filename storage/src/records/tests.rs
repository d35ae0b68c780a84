use proptest::prelude::*;

use super::*;
use crate::batch::check;
use crate::batch_builder::{BatchBuilder, BatchSpec, assemble};
use crate::golden;
use crate::ids::Sequence;

const CAP: usize = 1 << 20;

/// A record as a test writes it.
type Plain = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn plain(record: &Record<'_>) -> Plain {
    let headers = record.headers().map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)));
    let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
    (record.timestamp.0, key, value, headers.collect())
}

fn build(spec: BatchSpec, records: &[Plain]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(spec);
    for (timestamp, key, value, headers) in records {
        let headers: Vec<_> = headers.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
        builder.push(TimestampMs(*timestamp), key.as_deref(), value.as_deref(), &headers);
    }
    builder.build().unwrap()
}

fn golden_records() -> Vec<Plain> {
    let headers = vec![(b"h".to_vec(), Some(b"1".to_vec())), (b"h".to_vec(), None)];
    vec![
        (1_700_000_000_000, Some(b"k1".to_vec()), Some(b"hello hello hello hello hello".to_vec()), headers),
        (1_700_000_000_500, None, Some(b"v2".to_vec()), vec![]),
        (1_699_999_999_900, Some(b"k3".to_vec()), None, vec![]),
    ]
}

#[test]
fn kafkas_batches_of_every_codec_give_their_records() {
    for (codec, hex) in golden::SMALL {
        let batch = golden::bytes(hex);
        let header = check(&batch).unwrap();
        assert_eq!(header.attributes.compression(), Some(codec));
        assert_eq!(header.last_sequence(), Sequence(0), "the sequence wraps");
        let records = records_of(&batch, CAP).unwrap();
        let records: Vec<Record<'_>> = records.iter().collect::<Result<_, _>>().unwrap();
        assert_eq!(records.iter().map(plain).collect::<Vec<_>>(), golden_records(), "{codec:?}");
        assert_eq!(records[2].offset, Offset(2));
    }
}

#[test]
fn an_uncompressed_batch_is_built_as_kafka_builds_it() {
    let spec = BatchSpec {
        partition_leader_epoch: crate::ids::LeaderEpoch(5),
        producer_id: crate::ids::ProducerId(4242),
        producer_epoch: crate::ids::ProducerEpoch(7),
        base_sequence: Sequence(i32::MAX - 1),
        ..BatchSpec::default()
    };
    assert_eq!(build(spec, &golden_records()), golden::bytes(golden::SMALL[0].1));
}

#[test]
fn log_append_time_is_the_time_of_every_record() {
    let mut header = check(&golden::bytes(golden::SMALL[0].1)).unwrap();
    header.attributes.0 |= crate::batch::Attributes::LOG_APPEND_TIME;
    let area = golden::bytes(golden::SMALL[0].1).split_off(61);
    assert!(Records::new(&header, &area).all(|record| record.unwrap().timestamp == header.max_timestamp));
}

#[test]
fn compacted_batches_keep_their_offsets() {
    let mut builder = BatchBuilder::new(BatchSpec { base_offset: Offset(100), ..BatchSpec::default() });
    builder.push_at(3, TimestampMs(1), Some(b"a"), None, &[]);
    builder.push_at(9, TimestampMs(2), Some(b"b"), None, &[]);
    let batch = builder.build().unwrap();
    let records = records_of(&batch, CAP).unwrap();
    let offsets: Vec<i64> = records.iter().map(|record| record.unwrap().offset.0).collect();
    assert_eq!(offsets, [103, 109]);
    assert_eq!(records.header.last_offset(), Offset(109));
}

/// What the walk says of one record with these bytes, in a batch that declares `count`.
fn fault_of(area: &[u8], count: i32) -> RecordFault {
    let mut header = check(&golden::bytes(golden::TRANSACTIONAL)).unwrap();
    header.record_count = count;
    let mut records = Records::new(&header, area);
    let fault = records.find_map(Result::err).expect("a fault");
    assert!(records.next().is_none(), "nothing follows a fault");
    fault
}

#[test]
fn every_fault_has_its_name() {
    let good = [16, 0, 0, 0, 2, b'a', 2, b'b', 0];
    assert_eq!(fault_of(&[], 1), RecordFault::Truncated);
    assert_eq!(fault_of(&good, 2), RecordFault::Truncated);
    assert_eq!(fault_of(&good[..8], 1), RecordFault::Truncated);
    assert_eq!(fault_of(&[good, good].concat(), 1), RecordFault::TrailingBytes);
    assert_eq!(fault_of(&good, 0), RecordFault::TrailingBytes);
    assert_eq!(fault_of(&good, -1), RecordFault::TrailingBytes);
    assert_eq!(fault_of(&[0x80; 9], 1), RecordFault::BadVarint);
    assert_eq!(fault_of(&[1, 0, 0, 0, 0, 0, 0], 1), RecordFault::LengthMismatch, "a negative length");
    assert_eq!(
        fault_of(&[18, 0, 0, 0, 2, b'a', 2, b'b', 0, 0], 1),
        RecordFault::LengthMismatch,
        "a byte too many"
    );
    assert_eq!(
        fault_of(&[16, 0, 0, 0, 20, b'a', 2, b'b', 0], 1),
        RecordFault::LengthMismatch,
        "a key past the end"
    );
    assert_eq!(fault_of(&[16, 0, 0, 0, 2, b'a', 2, b'b', 1], 1), RecordFault::BadHeaderCount(-1));
    assert_eq!(fault_of(&[16, 0, 0, 0, 2, b'a', 2, b'b', 2], 1), RecordFault::BadHeaderCount(1));
    assert_eq!(fault_of(&[16, 0, 0, 0, 1, 1, 2, 1, 1], 1), RecordFault::BadHeaderKey(-1));
    assert_eq!(
        fault_of(&[16, 0, 0, 0, 1, 1, 2, 20, 1], 1),
        RecordFault::LengthMismatch,
        "a header past the end"
    );
    let count = [&[26, 0, 0, 0, 1, 1][..], &[0xfe, 0xff, 0xff, 0xff, 0x0f], &[0; 3]].concat();
    assert_eq!(fault_of(&count, 1), RecordFault::BadHeaderCount(i32::MAX));
}

#[test]
fn an_unknown_codec_and_a_cut_batch_are_refused() {
    let batch = golden::bytes(golden::TRANSACTIONAL);
    let header = check(&batch).unwrap();
    let header = BatchHeader { attributes: crate::batch::Attributes(5), ..header };
    let unknown = assemble(&header, &[]).unwrap();
    assert!(matches!(records_of(&unknown, CAP), Err(RecordsError::UnknownCodec(5))));
    let cut = records_of(&batch[..batch.len() - 1], CAP);
    assert!(matches!(cut, Err(RecordsError::Batch(BatchError::Incomplete { .. }))));
}

fn bytes_max(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..length)
}

fn any_record() -> impl Strategy<Value = Plain> {
    let headers = prop::collection::vec((bytes_max(5), prop::option::of(bytes_max(5))), 0..4);
    (any::<i64>(), prop::option::of(bytes_max(200)), prop::option::of(bytes_max(200)), headers)
}

fn any_codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(vec![Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd])
}

proptest! {
    #[test]
    fn records_survive_a_batch_of_any_codec(
        codec in any_codec(),
        records in prop::collection::vec(any_record(), 1..20),
    ) {
        let level = if codec == Codec::Gzip { -1 } else { 3 };
        let batch = build(BatchSpec { codec, level, ..BatchSpec::default() }, &records);
        let header = check(&batch).unwrap();
        let greatest = records.iter().map(|record| record.0).max().unwrap().max(-1);
        prop_assert_eq!(header.max_timestamp, TimestampMs(greatest));
        let read = records_of(&batch, CAP).unwrap();
        let read: Vec<Plain> = read.iter().map(|record| plain(&record.unwrap())).collect();
        prop_assert_eq!(read, records);
    }

    #[test]
    fn damaged_batches_never_panic_and_are_caught(
        codec in any_codec(),
        records in prop::collection::vec(any_record(), 1..5),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let mut batch = build(BatchSpec { codec, level: 1, ..BatchSpec::default() }, &records);
        let at = at.index(batch.len());
        batch[at] ^= flip;
        let covered = at >= field::MAGIC || (field::BATCH_LENGTH..field::PARTITION_LEADER_EPOCH).contains(&at);
        prop_assert!(!covered || check(&batch).is_err());
        if let Ok(read) = records_of(&batch, CAP) {
            prop_assert!(read.iter().count() <= CAP);
        }
    }

    #[test]
    fn random_bytes_never_panic(area in bytes_max(300), count in any::<i32>()) {
        let mut header = check(&golden::bytes(golden::TRANSACTIONAL)).unwrap();
        header.record_count = count;
        for record in Records::new(&header, &area).flatten() {
            prop_assert!(record.headers().count() <= area.len());
        }
        prop_assert!(check(&area).is_err());
    }
}

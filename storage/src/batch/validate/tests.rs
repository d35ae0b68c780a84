use proptest::prelude::*;

use super::*;
use crate::batch::{HEADER_LEN, NO_SEQUENCE};
use crate::batch_builder::{BatchBuilder, BatchSpec};
use crate::golden;
use crate::ids::{ProducerEpoch, Sequence};
use crate::records::records_of;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
const HOUR_MS: i64 = 3_600_000;

fn rules() -> AppendRules {
    AppendRules::of_topic(&TopicConfig::default(), AppendOrigin::Client, 13)
}

fn compacted() -> AppendRules {
    AppendRules { keys_required: true, ..rules() }
}

fn log_append_time() -> AppendRules {
    AppendRules { timestamp_type: TimestampType::LogAppendTime, ..rules() }
}

fn stored_with(codec: Codec) -> AppendRules {
    AppendRules { compression: TopicCompression::Fixed { codec, level: 3 }, ..rules() }
}

/// A batch of records with keys (or without, where the text is empty) and timestamps relative to now.
fn batch_of(spec: BatchSpec, records: &[(&str, i64)]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(spec);
    for (key, age_ms) in records {
        let key = Some(key.as_bytes()).filter(|key| !key.is_empty());
        builder.push(TimestampMs(NOW.0 + age_ms), key, Some(b"value"), &[]);
    }
    builder.build().unwrap()
}

fn with_codec(codec: Codec, records: &[(&str, i64)]) -> Vec<u8> {
    batch_of(BatchSpec { codec, level: 1, ..BatchSpec::default() }, records)
}

/// The same records under another header, with the CRC to it.
fn with_header(batch: &[u8], change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut header = check(batch).unwrap();
    change(&mut header);
    assemble(&header, &batch[HEADER_LEN..]).unwrap()
}

fn accept(batch: &[u8], rules: &AppendRules) -> ValidatedBatch {
    let valid = validate(Bytes::copy_from_slice(batch), rules, NOW).unwrap();
    assert_eq!(check(&valid.bytes), Ok(valid.header), "the header is that of the bytes");
    assert_eq!(valid.header.size_in_bytes(), valid.bytes.len());
    valid
}

fn refuse(batch: &[u8], rules: &AppendRules) -> InvalidBatch {
    validate(Bytes::copy_from_slice(batch), rules, NOW).unwrap_err()
}

fn good() -> Vec<u8> {
    with_codec(Codec::None, &[("a", 0), ("b", 20), ("", 10)])
}

macro_rules! assert_refused {
    ($batch:expr, $rules:expr, $pattern:pat $(if $guard:expr)?) => {
        let error = refuse(&$batch, &$rules);
        assert!(matches!(&error, $pattern $(if $guard)?), "{error:?}");
    };
}

#[test]
fn kafkas_batches_pass_untouched() {
    for (codec, hex) in golden::SMALL {
        let bytes = Bytes::from(golden::bytes(hex));
        let valid = validate(bytes.clone(), &rules(), NOW).unwrap();
        assert_eq!(valid.bytes.as_ptr(), bytes.as_ptr(), "{codec:?}: not copied");
        assert_eq!(valid.log_append_time, TimestampMs::NONE);
    }
}

#[test]
fn exactly_one_whole_v2_batch_at_offset_zero_is_taken() {
    let batch = good();
    assert_refused!([], rules(), InvalidBatch::NoBatch);
    assert_refused!(batch[..batch.len() - 1], rules(), InvalidBatch::CutOff { .. });
    assert_refused!(batch[..20], rules(), InvalidBatch::CutOff { needed: HEADER_LEN, available: 20 });
    let twice = [&batch[..], &batch[..]].concat();
    assert_refused!(twice, rules(), InvalidBatch::MoreThanOneBatch { .. });
    let mut magic = batch.clone();
    magic[field::MAGIC] = 1;
    assert_refused!(magic, rules(), InvalidBatch::UnsupportedMagic { magic: 1 });
    let mut short = batch.clone();
    short[field::BATCH_LENGTH..field::PARTITION_LEADER_EPOCH].copy_from_slice(&10_i32.to_be_bytes());
    assert_refused!(short, rules(), InvalidBatch::BadLength { batch_length: 10 });
    let moved = with_header(&batch, |header| header.base_offset = Offset(1));
    assert_refused!(moved, rules(), InvalidBatch::BaseOffsetNotZero { base_offset: Offset(1) });
    let negative = with_header(&batch, |header| header.last_offset_delta = -1);
    assert_refused!(negative, rules(), InvalidBatch::BadOffsets { .. });
    let mut damaged = batch.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_refused!(damaged, rules(), InvalidBatch::BadCrc { .. });
}

#[test]
fn sizes_count_the_whole_batch() {
    let batch = good();
    let at_most = |max| AppendRules { max_message_bytes: max, ..rules() };
    accept(&batch, &at_most(batch.len()));
    let size = batch.len();
    assert_refused!(batch, at_most(size - 1), InvalidBatch::MessageTooLarge { .. });
    let segment = |bytes| AppendRules { segment_bytes: bytes, ..rules() };
    accept(&batch, &segment(size));
    assert_refused!(batch, segment(size - 1), InvalidBatch::RecordListTooLarge { .. });
}

#[test]
fn unknown_codecs_and_early_zstd_are_refused() {
    for number in 5..8 {
        let batch = with_header(&good(), |header| header.attributes.0 = number);
        assert_refused!(batch, rules(), InvalidBatch::UnknownCodec { codec_number } if *codec_number == number);
    }
    let zstd = with_codec(Codec::Zstd, &[("a", 0)]);
    let version = |produce_version| AppendRules { produce_version, ..rules() };
    assert_refused!(zstd, version(6), InvalidBatch::ZstdNotNegotiated { produce_version: 6 });
    accept(&zstd, &version(7));
}

#[test]
fn records_are_recounted() {
    let count = |count: i32, delta: i32| {
        with_header(&good(), |header| (header.record_count, header.last_offset_delta) = (count, delta))
    };
    assert_refused!(count(3, 3), rules(), InvalidBatch::BadRecordCount { .. });
    assert_refused!(count(0, 2), rules(), InvalidBatch::BadRecordCount { .. });
    assert_refused!(count(-1, 2), rules(), InvalidBatch::BadRecordCount { .. });
    assert_refused!(count(i32::MAX, i32::MAX - 1), rules(), InvalidBatch::BadRecordCount { .. });
    assert_refused!(count(4, 3), rules(), InvalidBatch::MalformedRecords(RecordFault::Truncated));
    assert_refused!(count(2, 1), rules(), InvalidBatch::MalformedRecords(RecordFault::TrailingBytes));
    let mut builder = BatchBuilder::new(BatchSpec::default());
    builder.push_at(0, NOW, None, None, &[]);
    builder.push_at(2, NOW, None, None, &[]);
    let gap = with_header(&builder.build().unwrap(), |header| header.last_offset_delta = 1);
    assert_refused!(gap, rules(), InvalidBatch::MalformedRecords(RecordFault::BadOffsetDelta(2)));
}

#[test]
fn clients_cannot_write_control_batches_nor_leave_out_the_sequence() {
    let control = BatchSpec { flags: Attributes::CONTROL, ..BatchSpec::default() };
    let control = batch_of(control, &[("a", 0)]);
    assert_refused!(control, rules(), InvalidBatch::ControlBatch);
    let (producer_id, producer_epoch) = (ProducerId(1), ProducerEpoch(0));
    let unnumbered = batch_of(BatchSpec { producer_id, producer_epoch, ..BatchSpec::default() }, &[("a", 0)]);
    assert_refused!(unnumbered, rules(), InvalidBatch::NoSequence { base_sequence: NO_SEQUENCE, .. });
    let coordinator = AppendRules { origin: AppendOrigin::Coordinator, ..compacted() };
    accept(&control, &coordinator);
    accept(&unnumbered, &coordinator);
    let spec = BatchSpec { producer_id, producer_epoch, base_sequence: Sequence(0), ..BatchSpec::default() };
    accept(&batch_of(spec, &[("a", 0)]), &rules());
}

#[test]
fn compacted_topics_need_keys() {
    for codec in [Codec::None, Codec::Gzip] {
        let batch = with_codec(codec, &[("a", 0), ("", 0), ("b", 0), ("", 0)]);
        let InvalidBatch::InvalidRecords { errors } = refuse(&batch, &compacted()) else {
            panic!("{codec:?}");
        };
        assert_eq!(errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [1, 3]);
        accept(&batch, &rules());
        accept(&with_codec(codec, &[("a", 0)]), &compacted());
    }
}

#[test]
fn timestamps_out_of_bounds_name_their_records() {
    let old = AppendRules { timestamp_before_max_ms: 1000, ..rules() };
    for codec in [Codec::None, Codec::Snappy] {
        let batch = with_codec(codec, &[("a", 0), ("b", HOUR_MS), ("c", HOUR_MS + 1)]);
        let InvalidBatch::InvalidTimestamps { errors } = refuse(&batch, &rules()) else {
            panic!("{codec:?}");
        };
        assert_eq!(errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [2]);
        let batch = with_codec(codec, &[("a", 0), ("b", -1001), ("c", -1000)]);
        let InvalidBatch::InvalidTimestamps { errors } = refuse(&batch, &old) else {
            panic!("{codec:?}");
        };
        assert_eq!(errors.iter().map(|error| error.batch_index).collect::<Vec<_>>(), [1]);
        accept(&batch, &rules());
        accept(&batch, &AppendRules { timestamp_type: TimestampType::LogAppendTime, ..old });
    }
}

#[test]
fn records_without_a_timestamp_are_within_any_bounds() {
    let mut builder = BatchBuilder::new(BatchSpec::default());
    builder.push(TimestampMs::NONE, None, None, &[]);
    let valid = accept(&builder.build().unwrap(), &AppendRules { timestamp_before_max_ms: 1000, ..rules() });
    assert_eq!(valid.header.max_timestamp, TimestampMs::NONE);
}

#[test]
fn one_bad_timestamp_makes_the_whole_error_one_of_timestamps() {
    let batch = with_codec(Codec::None, &[("", 0), ("b", 2 * HOUR_MS)]);
    assert_refused!(batch, compacted(), InvalidBatch::InvalidTimestamps { errors } if errors.len() == 2);
}

#[test]
fn errors_of_records_are_bounded() {
    let records = vec![("", 0); RECORD_ERRORS_MAX + 5];
    let batch = with_codec(Codec::None, &records);
    assert_refused!(batch, compacted(), InvalidBatch::InvalidRecords { errors } if errors.len() == RECORD_ERRORS_MAX);
}

#[test]
fn a_false_maximum_timestamp_is_corrected() {
    let batch = good();
    let wrong = with_header(&batch, |header| header.max_timestamp = TimestampMs(NOW.0 + 19));
    assert_eq!(accept(&wrong, &rules()).bytes, batch);
    let unset =
        with_header(&with_codec(Codec::Lz4, &[("a", 5)]), |header| header.max_timestamp = TimestampMs::NONE);
    assert_eq!(accept(&unset, &rules()).header.max_timestamp, TimestampMs(NOW.0 + 5));
}

#[test]
fn log_append_time_is_the_brokers() {
    for codec in [Codec::None, Codec::Zstd] {
        let valid = accept(&with_codec(codec, &[("a", 99 * HOUR_MS), ("b", 7)]), &log_append_time());
        assert_eq!(valid.log_append_time, NOW);
        assert_eq!(valid.header.max_timestamp, NOW);
        assert!(valid.header.attributes.is_log_append_time());
        let records = records_of(&valid.bytes, 1000).unwrap();
        assert!(records.iter().all(|record| record.unwrap().timestamp == NOW));
    }
}

#[test]
fn producers_cannot_claim_log_append_time() {
    let claim = |batch: &[u8], max_timestamp| {
        with_header(batch, |header| {
            header.attributes.0 |= Attributes::LOG_APPEND_TIME;
            header.max_timestamp = max_timestamp;
        })
    };
    for codec in [Codec::None, Codec::Zstd] {
        let batch = with_codec(codec, &[("a", 3), ("b", 9)]);
        let (plain, timeless) = (claim(&batch, TimestampMs(NOW.0 + 9)), claim(&batch, TimestampMs::NONE));
        assert_refused!(plain, log_append_time(), InvalidBatch::InvalidTimestamps { errors } if errors.len() == 2);
        assert_refused!(timeless, rules(), InvalidBatch::InvalidTimestamps { errors } if errors.len() == 2);
        assert_eq!(accept(&plain, &rules()).bytes, batch, "dropped where the producer sets the time");
    }
}

#[test]
fn batches_are_stored_with_the_topics_codec() {
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    let rows = [("a", 1), ("b", 2), ("a", 3)];
    let plain = with_codec(Codec::None, &rows);
    for (from, to) in codecs.iter().flat_map(|from| codecs.iter().map(move |to| (*from, *to))) {
        let batch = with_codec(from, &rows);
        let valid = accept(&batch, &stored_with(to));
        assert_eq!(valid.header.attributes.compression(), Some(to));
        if from == to {
            assert_eq!(valid.bytes, batch);
        }
        assert_eq!(accept(&valid.bytes, &stored_with(Codec::None)).bytes, plain, "{from:?} to {to:?}");
    }
}

#[test]
fn control_batches_are_not_compressed_anew() {
    let spec = BatchSpec { flags: Attributes::CONTROL, ..BatchSpec::default() };
    let control = batch_of(spec, &[("a", 0)]);
    let coordinator = AppendRules { origin: AppendOrigin::Coordinator, ..stored_with(Codec::Gzip) };
    assert_eq!(accept(&control, &coordinator).bytes, control);
}

#[test]
fn a_batch_that_grows_by_another_codec_is_measured_again() {
    let batch = with_codec(Codec::Gzip, &[("a", 0); 500]);
    let rules = AppendRules { max_message_bytes: batch.len(), ..stored_with(Codec::None) };
    assert_refused!(batch, rules, InvalidBatch::MessageTooLarge { .. });
}

#[test]
fn compressed_records_are_opened_only_up_to_the_cap() {
    let zeros = vec![0; DECOMPRESSED_BYTES_MAX];
    let mut builder = BatchBuilder::new(BatchSpec { codec: Codec::Zstd, level: 1, ..BatchSpec::default() });
    builder.push(NOW, Some(b"a"), Some(&zeros), &[]);
    let bomb = builder.build().unwrap();
    assert_refused!(bomb, compacted(), InvalidBatch::DecompressedTooLarge { cap: DECOMPRESSED_BYTES_MAX });
    accept(&bomb, &rules());
}

#[test]
fn streams_that_cannot_be_opened_are_refused_where_a_rule_opens_them() {
    let broken = with_header(&good(), |header| header.attributes.0 = Codec::Gzip.number());
    assert_refused!(broken, compacted(), InvalidBatch::Undecompressable(_));
    accept(&broken, &rules());
}

#[test]
fn replicated_batches_pass_as_the_leader_wrote_them() {
    let spec = BatchSpec { base_offset: Offset(50), flags: Attributes::CONTROL, ..BatchSpec::default() };
    let batch = batch_of(spec, &[("", 99 * HOUR_MS)]);
    let replication = AppendRules { origin: AppendOrigin::Replication, max_message_bytes: 1, ..compacted() };
    assert_eq!(accept(&batch, &replication).bytes, batch);
}

#[test]
fn rules_follow_the_topic() {
    let topic = TopicConfig {
        compression_type: CompressionType::Zstd,
        cleanup_policy: config::topic::CleanupPolicy { compact: true, delete: false },
        ..TopicConfig::default()
    };
    let rules = AppendRules::of_topic(&topic, AppendOrigin::Client, 9);
    assert_eq!(rules.compression, TopicCompression::Fixed { codec: Codec::Zstd, level: 3 });
    assert!(rules.keys_required);
    assert_eq!(rules.max_message_bytes, 1_048_588);
    assert_eq!(rules.timestamp_after_max_ms, HOUR_MS);
}

fn any_rules() -> impl Strategy<Value = AppendRules> {
    let all =
        vec![rules(), compacted(), log_append_time(), stored_with(Codec::Lz4), stored_with(Codec::None)];
    prop::sample::select(all)
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(
        head in any::<[u8; 40]>(),
        tail in prop::collection::vec(any::<u8>(), 0..200),
        rules in any_rules(),
        codec in 0_i16..8,
        count in 1_i32..50,
    ) {
        // A right CRC and length over noise reach as deep as an attacker can.
        let mut header = check(&good()).unwrap();
        header.attributes.0 = i16::from_be_bytes([0, head[0] & !7]) | codec;
        header.max_timestamp = TimestampMs(i64::from_be_bytes(*head[8..].first_chunk().unwrap()));
        header.base_timestamp = TimestampMs(i64::from_be_bytes(*head[16..].first_chunk().unwrap()));
        (header.record_count, header.last_offset_delta) = (count, count - 1);
        let batch = assemble(&header, &tail).unwrap();
        if let Ok(valid) = validate(Bytes::from(batch), &rules, NOW) {
            prop_assert_eq!(check(&valid.bytes), Ok(valid.header));
        }
        prop_assert!(validate(Bytes::from(tail), &rules, NOW).is_err());
    }

    #[test]
    fn what_is_built_passes_and_passes_again(
        keys in prop::collection::vec("[a-z]{1,8}", 1..30),
        codec in prop::sample::select(vec![Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]),
        rules in any_rules(),
    ) {
        let rows: Vec<(&str, i64)> = keys.iter().map(String::as_str).zip(-5..).collect();
        let once = accept(&with_codec(codec, &rows), &rules);
        if rules.timestamp_type == TimestampType::CreateTime {
            prop_assert_eq!(accept(&once.bytes, &rules).bytes, once.bytes.clone());
        }
        let read = records_of(&once.bytes, 10_000).unwrap();
        let read: Vec<Vec<u8>> = read.iter().map(|record| record.unwrap().key.unwrap().to_vec()).collect();
        prop_assert_eq!(read, keys.into_iter().map(String::into_bytes).collect::<Vec<_>>());
    }
}

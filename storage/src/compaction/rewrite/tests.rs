//! Batches before and after, in every codec.

use super::*;
use crate::batch::check;
use crate::batch_builder::{BatchBuilder, BatchSpec};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

const CAP: usize = 1 << 20;
const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// Four records with the keys 0 to 3, of which the last has no value, 10 ms apart.
fn batch(codec: Codec, flags: i16) -> Vec<u8> {
    let spec = BatchSpec {
        base_offset: Offset(40),
        partition_leader_epoch: LeaderEpoch(6),
        codec,
        level: codec.default_level(),
        flags,
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(2),
        base_sequence: Sequence(100),
    };
    let mut builder = BatchBuilder::new(spec);
    for key in 0..4_u8 {
        let value = (key < 3).then_some([key; 50]);
        let headers: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(b"1")), (b"h", None)];
        builder.push(
            TimestampMs(1000 + 10 * i64::from(key)),
            Some(&[key]),
            value.as_ref().map(|v| &v[..]),
            headers,
        );
    }
    builder.build().unwrap()
}

/// Offset, timestamp, key and whether there is a value, of each record.
fn records(batch: &[u8]) -> Vec<(i64, i64, u8, bool)> {
    let opened = records_of(batch, CAP).unwrap();
    let records = opened.iter().map(Result::unwrap);
    records
        .map(|one| {
            assert_eq!(one.headers().count(), 2);
            (one.offset.0, one.timestamp.0, one.key.unwrap()[0], one.value.is_some())
        })
        .collect()
}

#[test]
fn batch_of_which_all_stays_is_the_same_bytes() {
    for codec in CODECS {
        let batch = batch(codec, 0);
        let filtered = filter(&batch, CAP, None, |_| true).unwrap();
        assert!(matches!(filtered.batch, Some(Cow::Borrowed(same)) if same == batch));
        assert_eq!(filtered.kept, 4);
        let without_tombstone = filter(&batch, CAP, None, |record| record.value.is_some()).unwrap();
        assert_eq!(without_tombstone.kept, 3);
    }
}

#[test]
fn records_that_stay_keep_offset_time_and_headers_and_the_batch_its_producer() {
    for codec in CODECS {
        let before = batch(codec, 0);
        let filtered = filter(&before, CAP, None, |record| record.offset_delta % 2 == 1).unwrap();
        let after = filtered.batch.unwrap();
        assert_eq!(records(&after), [(41, 1010, 1, true), (43, 1030, 3, false)]);
        let (old, new) = (check(&before).unwrap(), check(&after).unwrap());
        let expected = BatchHeader { record_count: 2, batch_length: new.batch_length, crc: new.crc, ..old };
        assert_eq!(new, expected, "{codec:?}");
    }
}

#[test]
fn largest_timestamp_is_that_of_what_stays_unless_the_broker_set_it() {
    let first = |record: &Record<'_>| record.offset_delta == 0;
    let created = batch(Codec::None, 0);
    let created = filter(&created, CAP, None, first).unwrap().batch.unwrap();
    assert_eq!(check(&created).unwrap().max_timestamp, TimestampMs(1000));
    let appended = batch(Codec::None, Attributes::LOG_APPEND_TIME);
    let appended = filter(&appended, CAP, None, first).unwrap().batch.unwrap();
    assert_eq!(check(&appended).unwrap().max_timestamp, TimestampMs(1030));
    assert_eq!(records(&appended), [(40, 1030, 0, true)]);
}

#[test]
fn tombstone_that_stays_starts_the_horizon() {
    for (codec, horizon) in CODECS.into_iter().flat_map(|codec| [(codec, 0), (codec, i64::MAX - 5)]) {
        let horizon = Some(TimestampMs(horizon));
        let batch = batch(codec, 0);
        let after = filter(&batch, CAP, horizon, |_| true).unwrap().batch.unwrap();
        let header = check(&after).unwrap();
        assert!(header.attributes.has_delete_horizon());
        assert_eq!((Some(header.base_timestamp), header.max_timestamp), (horizon, TimestampMs(1030)));
        assert_eq!(records(&after), records(&batch), "the times of records are as they were");
        let again = filter(&after, CAP, None, |record| record.value.is_none()).unwrap().batch.unwrap();
        assert_eq!(records(&again), [(43, 1030, 3, false)]);
        assert_eq!(Some(check(&again).unwrap().base_timestamp), horizon, "a horizon stays");
        let without = filter(&batch, CAP, horizon, |record| record.value.is_some()).unwrap().batch.unwrap();
        assert!(!check(&without).unwrap().attributes.has_delete_horizon());
    }
}

#[test]
fn empty_batch_still_says_who_wrote_up_to_where() {
    let before = batch(Codec::Zstd, Attributes::TRANSACTIONAL | Attributes::DELETE_HORIZON);
    assert_eq!(filter(&before, CAP, None, |_| false).unwrap().kept, 0);
    let old = check(&before).unwrap();
    let empty = emptied(&old).unwrap();
    let new = check(&empty).unwrap();
    assert_eq!(empty.len(), crate::batch::HEADER_LEN);
    assert_eq!(new.attributes, Attributes(Attributes::TRANSACTIONAL));
    assert_eq!((new.last_offset(), new.last_sequence()), (Offset(43), Sequence(103)));
    assert_eq!((new.record_count, new.base_timestamp), (0, old.max_timestamp));
}

#[test]
fn batch_that_opens_into_too_much_is_an_error() {
    let batch = batch(Codec::Gzip, 0);
    assert!(matches!(filter(&batch, 20, None, |_| true), Err(RewriteError::Records(_))));
    assert!(with_horizon(&batch, 20, TimestampMs(0)).is_err());
}

//! Bytes in, records out, and back.

use proptest::prelude::*;

use super::{CodecError, TextTooLong, decode, encode};
use crate::record::Record;

mod golden;
mod strategy;

/// The bytes of a hexadecimal text; blanks separate fields for the reader.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()
}

fn decode_hex(key: &str, value: &str) -> Result<Option<Record>, CodecError> {
    decode(&hex(key), Some(&hex(value)))
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(record in strategy::record()) {
        let encoded = encode(&record).expect("the texts are short");
        prop_assert_eq!(decode(&encoded.key, encoded.value.as_deref()), Ok(Some(record)));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        record_type in 0i16..20,
        names in prop::collection::vec(any::<u8>(), 0..40),
        version in -1i16..6,
        fields in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
    ) {
        let key = [&record_type.to_be_bytes()[..], &names].concat();
        let value = fields.map(|fields| [&version.to_be_bytes()[..], &fields].concat());
        drop(decode(&key, value.as_deref()));
    }

    #[test]
    fn a_record_that_is_cut_short_is_refused(record in strategy::record(), cut in any::<prop::sample::Index>()) {
        let encoded = encode(&record).expect("the texts are short");
        let key = &encoded.key[..cut.index(encoded.key.len())];
        prop_assert!(decode(key, encoded.value.as_deref()).is_err());
        if let Some(value) = encoded.value {
            let is_read = !matches!(record, Record::ConsumerGroupPartitionMetadata { .. });
            let cut = if is_read { cut.index(value.len()) } else { cut.index(2) };
            prop_assert!(decode(&encoded.key, Some(&value[..cut])).is_err());
        }
    }

    #[test]
    fn a_changed_byte_never_panics(
        record in strategy::record(),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let encoded = encode(&record).expect("the texts are short");
        if let Some(value) = encoded.value {
            let mut value = value.to_vec();
            let position = position.index(value.len());
            value[position] = byte;
            drop(decode(&encoded.key, Some(&value)));
        }
    }
}

/// A count of 2^31 members, and one of 2^32 - 1 topics, in a few bytes: reserving for them would abort the process.
#[test]
fn a_count_that_the_bytes_do_not_bear_out_is_refused() {
    let members = decode_hex("0002 0001 67", "0003 0000 00000000 ffff ffff 0000000000000000 7fffffff");
    assert_eq!(members, Err(CodecError::Truncated { field: "member_id" }));
    let topics = decode_hex("0007 0001 67 0001 6d", "0000 ffffffff0f");
    assert_eq!(topics, Err(CodecError::Truncated { field: "topic_id" }));
    let tags = decode_hex("0003 0001 67", "0000 00000001 ffffffff0f");
    assert_eq!(tags, Err(CodecError::Truncated { field: "a tag" }));
    let subscription =
        decode_hex("0002 0001 67", "0000 0000 00000000 ffff ffff 00000001 0000 0000 0000 00000000 7fffffff");
    assert_eq!(subscription, Err(CodecError::Truncated { field: "subscription" }));
}

#[test]
fn lengths_that_nothing_can_have_are_refused() {
    let no_group = decode_hex("0003 ffff", "0000 00000001 00");
    assert_eq!(no_group, Err(CodecError::BadLength { field: "group_id", length: -1 }));
    let negative = decode_hex("0003 fffe", "0000 00000001 00");
    assert_eq!(negative, Err(CodecError::BadLength { field: "group_id", length: -2 }));
    let members = decode_hex("0002 0001 67", "0003 0000 00000000 ffff ffff 0000000000000000 ffffffff");
    assert_eq!(members, Err(CodecError::BadLength { field: "members", length: -1 }));
    let long_text = decode_hex("0001 0001 67 0001 74 00000000", "0004 0000000000000000 00000000 818002");
    assert_eq!(long_text, Err(CodecError::BadLength { field: "metadata", length: 32_768 }));
    let varint = decode_hex("0001 0001 67 0001 74 00000000", "0004 0000000000000000 00000000 ffffffff1f");
    assert_eq!(varint, Err(CodecError::BadVarint { field: "metadata" }));
}

#[test]
fn a_text_that_is_not_utf8_is_refused() {
    let group = decode_hex("0003 0001 ff", "0000 00000001 00");
    assert_eq!(group, Err(CodecError::NotUtf8 { field: "group_id" }));
}

#[test]
fn versions_that_are_not_known_are_refused() {
    for (record_type, version) in
        [(0, 1), (1, 5), (2, 5), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (16, 1)]
    {
        let key = [&i16::to_be_bytes(record_type)[..], b"\0\x01g\0\x01m\0\0\0\0"].concat();
        let refused = Err(CodecError::UnsupportedVersion { record_type, version });
        assert_eq!(decode(&key, Some(&version.to_be_bytes())), refused);
    }
    let negative = Err(CodecError::UnsupportedVersion { record_type: 1, version: -1 });
    assert_eq!(decode_hex("0001 0001 67 0001 74 00000000", "ffff"), negative);
}

/// Share groups have the types 10 to 15, streams groups 17 and 19 to 23; 24 is not given to anything.
#[test]
fn records_of_other_kinds_of_groups_are_passed_over() {
    for record_type in [9i16, 10, 15, 17, 18, 23, 24, i16::MAX, -1] {
        let key = [&record_type.to_be_bytes()[..], b"\0\x01g"].concat();
        assert_eq!(decode(&key, Some(b"anything")), Ok(None));
        assert_eq!(decode(&key, None), Ok(None));
    }
}

/// A later version may write tags that this one does not know, and fields behind the last.
#[test]
fn what_a_later_version_adds_is_skipped() {
    let plain = decode_hex("0003 0001 67", "0000 00000009 01 00 08 0000000000000005");
    let with_tag = decode_hex("0003 0001 67", "0000 00000009 02 00 08 0000000000000005 07 02 abcd");
    let with_field = decode_hex("0003 0001 67", "0000 00000009 01 00 08 0000000000000005 abcd");
    assert!(plain.is_ok());
    assert_eq!(with_tag, plain);
    assert_eq!(with_field, plain);
}

#[test]
fn a_text_that_is_too_long_for_kafka_is_not_written() {
    let with_group =
        |length: usize| Record::ClassicGroup { group_id: "g".repeat(length).as_str().into(), value: None };
    assert!(encode(&with_group(TextTooLong::BYTES_MAX)).is_ok());
    assert_eq!(encode(&with_group(32_768)), Err(TextTooLong { field: "group_id", length: 32_768 }));
}

#[test]
fn partitions_of_which_one_has_no_epoch_are_written_without() {
    let record = |epoch| golden::current_assignment(vec![(0, Some(8)), (3, epoch)]);
    let encoded = encode(&record(None)).expect("the texts are short");
    let read = decode(&encoded.key, encoded.value.as_deref());
    assert_eq!(read, Ok(Some(golden::current_assignment(vec![(0, None), (3, None)]))));
    assert_ne!(encode(&record(Some(9))).map(|encoded| encoded.value), Ok(encoded.value));
}

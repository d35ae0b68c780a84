use super::*;

/// A batch with a producer, without records.
fn empty_batch() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&7_i64.to_be_bytes());
    bytes.extend_from_slice(&49_i32.to_be_bytes());
    bytes.extend_from_slice(&3_i32.to_be_bytes());
    bytes.push(2);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&0x11_i16.to_be_bytes());
    bytes.extend_from_slice(&4_i32.to_be_bytes());
    bytes.extend_from_slice(&1_000_i64.to_be_bytes());
    bytes.extend_from_slice(&2_000_i64.to_be_bytes());
    bytes.extend_from_slice(&99_i64.to_be_bytes());
    bytes.extend_from_slice(&5_i16.to_be_bytes());
    bytes.extend_from_slice(&(i32::MAX - 1).to_be_bytes());
    bytes.extend_from_slice(&5_i32.to_be_bytes());
    let crc = crc32c(&bytes[field::ATTRIBUTES..]);
    bytes[field::CRC..field::ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn header_fields_are_read_from_their_places() {
    let header = check(&empty_batch()).unwrap();
    assert_eq!(header.base_offset, Offset(7));
    assert_eq!(header.size_in_bytes(), HEADER_LEN);
    assert_eq!(header.partition_leader_epoch, LeaderEpoch(3));
    assert_eq!(header.attributes.compression(), Some(Codec::Gzip));
    assert!(header.attributes.is_transactional());
    assert!(!header.attributes.is_control());
    assert!(!header.attributes.is_log_append_time());
    assert!(!header.attributes.has_delete_horizon());
    assert_eq!(header.last_offset(), Offset(11));
    assert_eq!(header.next_offset(), Offset(12));
    assert_eq!(header.base_timestamp, TimestampMs(1_000));
    assert_eq!(header.max_timestamp, TimestampMs(2_000));
    assert_eq!(header.producer_id, ProducerId(99));
    assert_eq!(header.producer_epoch, ProducerEpoch(5));
    assert_eq!(header.record_count, 5);
    assert!(header.has_producer_id());
}

#[test]
fn last_sequence_wraps_to_zero() {
    let header = check(&empty_batch()).unwrap();
    assert_eq!(header.base_sequence, Sequence(i32::MAX - 1));
    assert_eq!(header.last_sequence(), Sequence(2));
}

#[test]
fn position_bytes_move_a_batch_without_a_new_checksum() {
    let mut bytes = empty_batch();
    let header = check(&bytes).unwrap();
    bytes[..POSITION_LEN].copy_from_slice(&header.position_bytes(Offset(1 << 40), LeaderEpoch(8)));
    assert_eq!(check(&bytes), Ok(header.at(Offset(1 << 40), LeaderEpoch(8))));
}

#[test]
fn check_refuses_a_batch_that_is_cut_off_anywhere() {
    let mut bytes = empty_batch();
    bytes.extend_from_slice(&[0; 9]);
    bytes[field::BATCH_LENGTH..field::PARTITION_LEADER_EPOCH].copy_from_slice(&58_i32.to_be_bytes());
    for cut in 0..bytes.len() {
        let error = check(&bytes[..cut]).unwrap_err();
        let needed = if cut < HEADER_LEN { HEADER_LEN } else { 70 };
        assert_eq!(error, BatchError::Incomplete { needed, available: cut });
    }
}

#[test]
fn check_refuses_implausible_headers() {
    assert_eq!(check(&[0; 100]), Err(BatchError::BadLength { batch_length: 0 }));
    let with = |at: usize, value: &[u8]| {
        let mut bytes = empty_batch();
        bytes[at..at + value.len()].copy_from_slice(value);
        check(&bytes).unwrap_err()
    };
    let length = |value: i32| with(field::BATCH_LENGTH, &value.to_be_bytes());
    assert_eq!(length(-1), BatchError::BadLength { batch_length: -1 });
    assert_eq!(length(48), BatchError::BadLength { batch_length: 48 });
    assert!(matches!(length(i32::MAX), BatchError::Incomplete { needed: 2_147_483_659, .. }));
    assert_eq!(with(field::MAGIC, &[1]), BatchError::UnsupportedMagic { magic: 1 });
    for base_offset in [-1, i64::MIN, i64::MAX, i64::MAX - 4] {
        let error = with(field::BASE_OFFSET, &base_offset.to_be_bytes());
        assert_eq!(error, BatchError::BadOffsets { base_offset, last_offset_delta: 4 });
    }
    let error = with(field::LAST_OFFSET_DELTA, &(-1_i32).to_be_bytes());
    assert_eq!(error, BatchError::BadOffsets { base_offset: 7, last_offset_delta: -1 });
}

#[test]
fn check_notices_every_flipped_bit_that_the_crc_covers() {
    let bytes = empty_batch();
    for at in field::CRC..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            assert!(check(&damaged).is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn crc32c_has_the_values_of_rfc_3720() {
    let ascending: Vec<u8> = (0..32).collect();
    let descending: Vec<u8> = (0..32).rev().collect();
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(crc32c(&ascending), 0x46dd_794e);
    assert_eq!(crc32c(&descending), 0x113f_db5c);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

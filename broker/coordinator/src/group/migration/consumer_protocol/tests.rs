//! The bytes are those of kafka-clients 4.3.1 (`ConsumerProtocol`).

use super::{Assignment, Malformed, NamedPartitions, Subscription};
use bytes::Bytes;
use proptest::prelude::*;
use storage::ids::PartitionIndex;

/// Topics `events` and `readings`, user data, owned partitions, generation 5, rack `rack-1`; by version.
const SUBSCRIPTIONS: [&str; 4] = [
    "00000000000200066576656e7473000872656164696e6773000000020708",
    "00010000000200066576656e7473000872656164696e67730000000207080000000200066576656e7473000000020000000000000003\
     000872656164696e67730000000100000001",
    "00020000000200066576656e7473000872656164696e67730000000207080000000200066576656e7473000000020000000000000003\
     000872656164696e6773000000010000000100000005",
    "00030000000200066576656e7473000872656164696e67730000000207080000000200066576656e7473000000020000000000000003\
     000872656164696e677300000001000000010000000500067261636b2d31",
];

/// No user data, nothing owned, no generation, no rack.
const NEW_MEMBER: &str = "00030000000100066576656e7473ffffffff00000000ffffffffffff";

/// Version 3, of the partitions of [`partitions`].
const ASSIGNMENT: &str = "00030000000200066576656e7473000000020000000000000003000872656164696e6773000000010000\
                          0001ffffffff";

/// Partition 2 of `events`, with a byte of user data.
const WITH_USER_DATA: &str = "00010000000100066576656e747300000001000000020000000101";

fn bytes(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex.bytes().map(|digit| char::from(digit).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn partitions() -> Vec<NamedPartitions> {
    vec![("events".into(), [0, 3].map(PartitionIndex).into()), ("readings".into(), vec![PartitionIndex(1)])]
}

#[test]
fn subscriptions_of_every_version_are_read() {
    for (version, hex) in SUBSCRIPTIONS.iter().enumerate() {
        let expected = Subscription {
            topics: vec!["events".into(), "readings".into()],
            owned: if version >= 1 { partitions() } else { Vec::new() },
            rack_id: (version >= 3).then(|| "rack-1".into()),
        };
        assert_eq!(Subscription::read(&bytes(hex)), Ok(expected));
    }
    let new_member = Subscription { topics: vec!["events".into()], ..Subscription::default() };
    assert_eq!(Subscription::read(&bytes(NEW_MEMBER)), Ok(new_member));
}

#[test]
fn a_later_version_is_read_as_the_last() {
    let mut later = bytes(SUBSCRIPTIONS[3]).to_vec();
    later[1] = 9;
    later.extend([1, 2, 3]);
    assert_eq!(Subscription::read(&later), Subscription::read(&bytes(SUBSCRIPTIONS[3])));
}

#[test]
fn an_assignment_is_written_in_the_version_of_the_subscription() {
    let written = Assignment::write(&partitions(), &bytes(SUBSCRIPTIONS[3])).expect("a good subscription");
    assert_eq!(written, bytes(ASSIGNMENT));
    let written = Assignment::write(&partitions(), &bytes(SUBSCRIPTIONS[1])).expect("a good subscription");
    assert_eq!(written[..2], [0, 1]);
    assert_eq!(written[2..], bytes(ASSIGNMENT)[2..]);
}

#[test]
fn assignments_are_read_and_their_user_data_is_noticed() {
    let read = Assignment::read(&bytes(ASSIGNMENT)).expect("a good assignment");
    assert_eq!(read, Assignment { partitions: partitions(), has_user_data: false });
    assert!(Assignment::read(&bytes(WITH_USER_DATA)).expect("a good assignment").has_user_data);
    assert_eq!(Assignment::read(&[]), Ok(Assignment::default()));
}

#[test]
fn a_negative_version_or_count_is_malformed() {
    assert_eq!(Subscription::read(&[0xff, 0xff]), Err(Malformed));
    assert_eq!(Subscription::read(&bytes("0000ffffffffffffffff")), Err(Malformed));
    assert_eq!(Assignment::read(&bytes("00007fffffffffffffff")), Err(Malformed));
}

proptest! {
    #[test]
    fn whatever_is_cut_short_is_malformed(version in 0..4_usize, cut in 1..20_usize) {
        let whole = bytes(SUBSCRIPTIONS[version]);
        prop_assert!(Subscription::read(&whole[..whole.len() - cut]).is_err());
        let whole = bytes(ASSIGNMENT);
        prop_assert!(Assignment::read(&whole[..whole.len() - cut]).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(Subscription::read(&bytes).is_ok() || Subscription::read(&bytes) == Err(Malformed));
        prop_assert!(Assignment::read(&bytes).is_ok() || Assignment::read(&bytes) == Err(Malformed));
    }
}

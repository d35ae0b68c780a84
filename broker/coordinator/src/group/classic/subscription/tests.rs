//! Subscriptions as clients write them, and bytes that are none.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::add_topics;

/// Version 3, topics `a` and `orders`, no user data, and then what version 3 adds: owned partitions, a generation, a
/// rack.
const SUBSCRIPTION: &[u8] =
    b"\x00\x03\x00\x00\x00\x02\x00\x01a\x00\x06orders\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff";

fn topics(bytes: &[u8]) -> Option<Vec<String>> {
    let mut topics: BTreeSet<Arc<str>> = BTreeSet::new();
    add_topics(bytes, &mut topics)?;
    Some(topics.into_iter().map(|topic| topic.to_string()).collect())
}

#[test]
fn the_topics_of_a_subscription_are_read() {
    assert_eq!(topics(SUBSCRIPTION), Some(vec!["a".to_owned(), "orders".to_owned()]));
}

#[test]
fn a_subscription_that_is_cut_short_is_none() {
    let user_data_end = 2 + 4 + 3 + 8 + 4;
    for length in 0..user_data_end {
        assert_eq!(topics(&SUBSCRIPTION[..length]), None, "{length} bytes");
    }
    assert!(topics(&SUBSCRIPTION[..user_data_end]).is_some());
}

#[test]
fn counts_and_lengths_that_nothing_can_have_are_refused() {
    assert_eq!(topics(b"\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    assert_eq!(topics(b"\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"), None);
    assert_eq!(topics(b"\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff"), None);
    assert_eq!(topics(b"\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff"), None);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = topics(&bytes);
    }
}

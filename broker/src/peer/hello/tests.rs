//! The bytes of a hello, and whom a node talks to.

use super::{Hello, HelloError, Mismatch, Purpose, judge};
use storage::ids::BrokerId;
use uuid::Uuid;

fn hello(broker_id: i32, cluster_id: Option<&str>) -> Hello {
    Hello {
        protocol_version: 1,
        purpose: Purpose::Control,
        cluster_id: cluster_id.map(str::to_owned),
        broker_id: BrokerId(broker_id),
        raft_node_id: 7,
        incarnation: Uuid::from_u128(1),
        directory_id: Uuid::from_u128(2),
        is_initialised: true,
    }
}

#[test]
fn hello_survives_the_wire_and_later_versions_may_append() {
    let said = hello(3, Some("MkU3OEVBNTcwNTJENDM2Qk"));
    let mut bytes = said.encode();
    assert_eq!(Hello::decode(&bytes).unwrap(), said);
    bytes.extend_from_slice(b"a field of version 2");
    assert_eq!(Hello::decode(&bytes).unwrap(), said);
}

#[test]
fn hello_that_is_cut_anywhere_is_refused() {
    let bytes = hello(3, Some("a")).encode();
    for end in 0..bytes.len() {
        let refused = Hello::decode(&bytes[..end]);
        assert!(matches!(refused, Err(HelloError::Stranger | HelloError::Malformed)), "{end}");
    }
}

#[test]
fn hello_with_a_field_out_of_range_is_refused() {
    let long = "x".repeat(65);
    for wrong in [
        hello(-1, None),
        hello(1, Some("a\nb")),
        hello(1, Some(&long)),
        Hello { protocol_version: 0, ..hello(1, None) },
    ] {
        assert!(matches!(Hello::decode(&wrong.encode()), Err(HelloError::Malformed)), "{wrong:?}");
    }
}

#[test]
fn nodes_of_two_clusters_do_not_talk_and_empty_nodes_talk_to_both() {
    assert_eq!(judge(&hello(1, Some("one")), &hello(2, Some("one"))), Ok(()));
    assert_eq!(judge(&hello(1, None), &hello(2, Some("one"))), Ok(()));
    assert_eq!(judge(&hello(1, Some("one")), &hello(2, None)), Ok(()));
    let mismatch: Mismatch = judge(&hello(1, Some("one")), &hello(2, Some("two"))).unwrap_err();
    assert_eq!(
        mismatch.to_string(),
        "node 1 belongs to the cluster one, and node 2 to the cluster two; check ottla.replica.set and log.dirs of both"
    );
}

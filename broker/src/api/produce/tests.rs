//! What producers are told of batches that are in the log already.

use crate::node::testing::TestNode;
use crate::node::testing::replica_set::produce_to;
use bytes::Bytes;
use kafka_protocol::ResponseError;
use std::time::Duration;
use storage::batch_builder::{BatchBuilder, BatchSpec};
use storage::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use tokio::task::JoinHandle;

/// The longest that a producer waits.
const TIMEOUT_MS: i32 = 60_000;

/// The only record of this sequence.
fn idempotent(sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(BatchSpec {
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(0),
        base_sequence: Sequence(sequence),
        ..BatchSpec::default()
    });
    builder.push(TimestampMs(sequence.into()), None, Some(b"value"), &[]);
    builder.build().expect("a small batch").into()
}

fn send(node: &TestNode, sequence: i32) -> JoinHandle<i16> {
    produce_to(node, -1, idempotent(sequence), TIMEOUT_MS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_again_what_is_older_than_five_batches_is_told_so_once_it_is_durable() {
    let node = TestNode::start_without_flusher(&[]).await;
    node.create_topic("orders", 1).await;
    let sent: Vec<_> = (0..7).map(|sequence| send(&node, sequence)).collect();
    let mut again: Vec<_> = (0..7).map(|sequence| send(&node, sequence)).collect();
    let out_of_order = ResponseError::OutOfOrderSequenceNumber.code();
    assert_eq!(send(&node, 8).await.expect("no panic"), out_of_order, "a gap");
    let first = tokio::time::timeout(Duration::from_millis(1), &mut again[0]);
    assert!(first.await.is_err(), "what it sent first is on no disk yet");
    node.flush().await;
    for handle in sent {
        assert_eq!(handle.await.expect("no panic"), 0);
    }
    let duplicate = ResponseError::DuplicateSequenceNumber.code();
    for (handle, expected) in again.into_iter().zip([duplicate, duplicate, 0, 0, 0, 0, 0]) {
        assert_eq!(handle.await.expect("no panic"), expected);
    }
    node.stop().await;
}

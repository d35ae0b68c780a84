//! What a topic that chooses a codec makes of records that come otherwise.

use super::{produce, produced, topic_id};
use crate::node::testing::TestNode;
use bytes::Bytes;
use kafka_protocol::messages::ProduceResponse;
use storage::batch_builder::{BatchBuilder, BatchSpec};
use storage::ids::{Offset, PartitionIndex, TimestampMs};

/// Records of words that come back in ever another order.
fn prose() -> Bytes {
    let mut builder = BatchBuilder::new(BatchSpec::default());
    for line in 0..500_u32 {
        let word = |place: u32| ((line * 37 + place).wrapping_mul(2_654_435_761) >> 20).pow(2) % 1009;
        let words: Vec<String> = (0..37).map(|place| word(place).to_string()).collect();
        builder.push(TimestampMs(1), None, Some(words.join(" ").as_bytes()), &[]);
    }
    builder.build().expect("a batch of moderate size").into()
}

/// The bytes that the topic takes on the disk.
async fn stored(node: &TestNode, name: &str, settings: &[(&str, &str)], records: &Bytes) -> usize {
    node.create_topic_with(name, settings).await;
    let id = topic_id(node, name).await;
    let answer: ProduceResponse = node.ask(0, 9, &produce(9, &[(name, id)], -1, Some(records))).await;
    assert_eq!(produced(&answer), [0], "{answer:?}");
    let partition =
        node.broker.partitions.find(storage::ids::TopicId(id), PartitionIndex(0)).expect("it is there");
    let read = partition
        .log
        .read(Offset(0), partition.log.log_end_offset(), usize::MAX, true)
        .expect("it can be read");
    read.records.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_compressed_at_the_level_of_their_settings() {
    let node = TestNode::start(&[]).await;
    let records = prose();
    assert_eq!(stored(&node, "as-it-comes", &[], &records).await, records.len());
    for (codec, quick, thorough) in [("gzip", 1, 9), ("lz4", 9, 12), ("zstd", 1, 19)] {
        let key = match codec {
            "gzip" => "compression.gzip.level",
            "lz4" => "compression.lz4.level",
            _ => "compression.zstd.level",
        };
        let mut sizes = Vec::new();
        for level in [quick, thorough] {
            let settings = [("compression.type", codec), (key, &level.to_string())];
            sizes.push(stored(&node, &format!("{codec}-{level}"), &settings, &records).await);
        }
        let is_less = sizes[1] * 100 < sizes[0] * 98 && sizes[0] < records.len();
        assert!(is_less, "{codec} at {quick} and {thorough}: {sizes:?} bytes of {}", records.len());
    }
    node.stop().await;
}

//! Data ages out by the settings of its topic, and by nothing else.

use super::{delete_old_segments, remove_deleted_files};
use crate::clock;
use crate::node::testing::{TestNode, topic_name};
use crate::partition::Partition;
use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use std::sync::Arc;
use storage::batch_builder::{BatchBuilder, BatchSpec};
use storage::ids::{Offset, TimestampMs};

const HOUR_MS: i64 = 3_600_000;

/// A record of which one fits into the smallest segment, and two do not.
fn large(timestamp: i64) -> Bytes {
    let mut builder = BatchBuilder::new(BatchSpec::default());
    builder.push(TimestampMs(timestamp), None, Some(&[7; 700_000]), &[]);
    builder.build().expect("one batch").into()
}

/// A topic with these settings and one segment for each of these times.
async fn with_segments(node: &TestNode, settings: &[(&str, &str)], timestamps: &[i64]) -> Arc<Partition> {
    node.create_topic_with("events", &[settings, &[("segment.bytes", "1048576")]].concat()).await;
    for &timestamp in timestamps {
        let data = PartitionProduceData::default().with_index(0).with_records(Some(large(timestamp)));
        let topic =
            TopicProduceData::default().with_name(topic_name("events")).with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
        let written: ProduceResponse = node.ask(0, 9, &request).await;
        assert_eq!(written.responses[0].partition_responses[0].error_code, 0);
    }
    let partition = node.broker.partitions.all().pop().expect("one partition");
    assert_eq!(partition.log.segment_count(), timestamps.len());
    partition
}

fn deleted_files(node: &TestNode) -> usize {
    let directory = node.directory().join("events-0");
    let names =
        std::fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("a name").file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".deleted")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_keeps_the_bytes_that_it_is_to_keep_at_least() {
    let node = TestNode::start(&[]).await;
    let now = clock::now().0;
    let partition = with_segments(&node, &[("retention.bytes", "1000000")], &[now; 4]).await;
    delete_old_segments(&node.broker);
    assert_eq!(partition.log.log_start_offset(), Offset(2), "1.4 MB are left of 2.8");
    assert_eq!(partition.log.log_end_offset(), Offset(4));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_go_once_their_newest_record_is_too_old_and_their_files_later() {
    let node = TestNode::start(&[]).await;
    let now = clock::now().0;
    let old = now - 2 * HOUR_MS;
    let hour = HOUR_MS.to_string();
    let partition = with_segments(&node, &[("retention.ms", &hour)], &[old, old, now, old]).await;
    delete_old_segments(&node.broker);
    assert_eq!(partition.log.log_start_offset(), Offset(2), "what is old behind what is new stays");
    remove_deleted_files(&node.broker);
    assert!(deleted_files(&node) > 0, "file.delete.delay.ms is a minute");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_go_at_once_where_nothing_delays_it() {
    let node = TestNode::start(&[]).await;
    let settings = [("retention.ms", "1"), ("file.delete.delay.ms", "0")];
    let partition = with_segments(&node, &settings, &[1000, 2000]).await;
    delete_old_segments(&node.broker);
    assert_eq!(partition.log.log_start_offset(), Offset(2), "all of it");
    remove_deleted_files(&node.broker);
    assert_eq!(deleted_files(&node), 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_limit_nothing_ever_goes() {
    let node = TestNode::start(&[]).await;
    let settings = [("retention.ms", "-1"), ("retention.bytes", "-1")];
    let partition = with_segments(&node, &settings, &[1000, 2000]).await;
    delete_old_segments(&node.broker);
    assert_eq!(partition.log.log_start_offset(), Offset(0));
    node.stop().await;
}

//! What Prometheus gets to read.

use storage::ids::{BrokerId, Offset, PartitionIndex};

use super::{
    Exporter, GroupPartitionSamples, GroupSamples, GroupTopicSamples, PartitionSamples, SAMPLES_MAX,
    TopicSamples,
};

fn topic(name: &str, offsets: &[Option<(i64, i64)>]) -> TopicSamples {
    let partitions = offsets.iter().enumerate().map(|(index, offsets)| {
        let index = PartitionIndex(i32::try_from(index).unwrap());
        PartitionSamples {
            partition: index,
            leader: offsets.map(|_| BrokerId(1)),
            replica_count: 3,
            in_sync_count: if offsets.is_some() { 3 } else { 1 },
            offsets: offsets.map(|(start, end)| (Offset(start), Offset(end))),
        }
    });
    TopicSamples { topic: name.into(), partitions: partitions.collect() }
}

/// What a group has read: of each partition the committed offset and the high watermark.
fn group(name: &str, member_count: usize, partitions: &[(Option<i64>, Option<i64>)]) -> GroupSamples {
    let partitions =
        partitions.iter().enumerate().map(|(index, (committed, high_watermark))| GroupPartitionSamples {
            partition: PartitionIndex(i32::try_from(index).unwrap()),
            committed: committed.map(Offset),
            high_watermark: high_watermark.map(Offset),
        });
    let topics = vec![GroupTopicSamples { topic: "events".into(), partitions: partitions.collect() }];
    GroupSamples { group_id: name.into(), member_count, topics }
}

/// The samples of an answer without the heads.
fn samples(exporter: &Exporter) -> Vec<String> {
    exporter.render().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn names_and_labels_are_those_of_kafka_exporter() {
    let mut exporter = Exporter::default();
    exporter.topic(topic("events", &[Some((10, 100)), None]));
    exporter.follower_lag(BrokerId(2), 3);
    exporter.follower_lag(BrokerId(2), 1);
    exporter.group(group("readers", 2, &[(Some(90), Some(100)), (None, Some(50)), (Some(7), None)]));
    assert_eq!(
        samples(&exporter),
        [
            r#"kafka_topic_partitions{topic="events"} 2"#,
            r#"kafka_topic_partition_current_offset{partition="0",topic="events"} 100"#,
            r#"kafka_topic_partition_oldest_offset{partition="0",topic="events"} 10"#,
            r#"kafka_topic_partition_leader{partition="0",topic="events"} 1"#,
            r#"kafka_topic_partition_leader{partition="1",topic="events"} -1"#,
            r#"kafka_topic_partition_replicas{partition="0",topic="events"} 3"#,
            r#"kafka_topic_partition_replicas{partition="1",topic="events"} 3"#,
            r#"kafka_topic_partition_in_sync_replica{partition="0",topic="events"} 3"#,
            r#"kafka_topic_partition_in_sync_replica{partition="1",topic="events"} 1"#,
            r#"kafka_topic_partition_under_replicated_partition{partition="0",topic="events"} 0"#,
            r#"kafka_topic_partition_under_replicated_partition{partition="1",topic="events"} 1"#,
            r#"ottla_follower_lag_records{follower="2"} 3"#,
            r#"kafka_consumergroup_members{consumergroup="readers"} 2"#,
            r#"kafka_consumergroup_current_offset{consumergroup="readers",partition="0",topic="events"} 90"#,
            r#"kafka_consumergroup_current_offset{consumergroup="readers",partition="1",topic="events"} -1"#,
            r#"kafka_consumergroup_current_offset{consumergroup="readers",partition="2",topic="events"} 7"#,
            r#"kafka_consumergroup_current_offset_sum{consumergroup="readers",topic="events"} 97"#,
            r#"kafka_consumergroup_lag{consumergroup="readers",partition="0",topic="events"} 10"#,
            r#"kafka_consumergroup_lag{consumergroup="readers",partition="1",topic="events"} -1"#,
            r#"kafka_consumergroup_lag_sum{consumergroup="readers",topic="events"} 10"#,
        ]
    );
}

#[test]
fn each_metric_has_one_head_and_its_samples_behind_it() {
    let mut exporter = Exporter::default();
    exporter.group(group("a", 1, &[(Some(1), Some(2))]));
    exporter.group(group("b", 1, &[(Some(1), Some(2))]));
    let text = exporter.render();
    let lags: Vec<&str> =
        text.lines().skip_while(|line| *line != "# TYPE kafka_consumergroup_lag gauge").collect();
    assert!(lags[1].contains(r#"consumergroup="a""#) && lags[2].contains(r#"consumergroup="b""#), "{text}");
    assert_eq!(text.matches("# HELP kafka_consumergroup_lag ").count(), 1);
}

#[test]
fn an_offset_beyond_the_end_is_no_negative_lag() {
    let mut exporter = Exporter::default();
    exporter.group(group("readers", 0, &[(Some(120), Some(100)), (Some(40), Some(100))]));
    let samples = samples(&exporter);
    assert!(samples.contains(
        &r#"kafka_consumergroup_lag{consumergroup="readers",partition="0",topic="events"} 0"#.to_owned()
    ));
    assert!(
        samples.contains(
            &r#"kafka_consumergroup_lag_sum{consumergroup="readers",topic="events"} 60"#.to_owned()
        )
    );
}

#[test]
fn a_name_cannot_end_its_label_or_its_line() {
    let mut exporter = Exporter::default();
    exporter.group(group("a\"} 7\nb\\", 3, &[]));
    let members: Vec<String> =
        samples(&exporter).into_iter().filter(|line| line.contains("members")).collect();
    assert_eq!(members, [r#"kafka_consumergroup_members{consumergroup="a\"} 7\nb\\"} 3"#]);
}

#[test]
fn what_finds_no_room_is_left_out_and_counted() {
    let mut exporter = Exporter::default();
    let wide = vec![(Some(1), Some(2)); 999];
    for number in 0..100 {
        exporter.group(group(&format!("group-{number}"), 1, &wide));
    }
    let kept = SAMPLES_MAX / (1 + 2 + 2 * 999);
    assert_eq!(exporter.left_out(), 100 - kept);
    assert!(samples(&exporter).len() <= SAMPLES_MAX);
    exporter.topic(topic("small", &[Some((0, 1))]));
    assert!(samples(&exporter).contains(&r#"kafka_topic_partitions{topic="small"} 1"#.to_owned()));
}

//! `kafka-delete-records`.

use super::{CONFIGS, OFFSETS, TOPICS, produce, with_tools};
use anyhow::{Result, ensure};
use client_tests::target::unique_topic;

const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";

#[test]
fn records_are_deleted_up_to_an_offset_and_not_where_they_must_stay() -> Result<()> {
    with_tools(|tools| {
        let topic = &*unique_topic("deletion");
        tools.run(TOPICS, &["--create", "--topic", topic])?;
        produce(tools, topic, "one\ntwo\nthree\n")?;
        let wanted = tempfile::NamedTempFile::new()?;
        let path = wanted.path().to_str().expect("a temporary path is text");
        let want = |offset: i64| {
            let json = format!(
                r#"{{"partitions":[{{"topic":"{topic}","partition":0,"offset":{offset}}}],"version":1}}"#
            );
            std::fs::write(wanted.path(), json)
        };
        for (offset, printed) in [(2, 2), (1, 2), (-1, 3)] {
            want(offset)?;
            let output = tools.run(DELETE_RECORDS, &["--offset-json-file", path])?;
            let expected = format!("partition: {topic}-0\tlow_watermark: {printed}");
            ensure!(output.contains(&expected), "{expected:?} is not in {output}");
            let earliest = tools.run(OFFSETS, &["--topic", topic, "--time", "earliest"])?;
            ensure!(earliest.trim() == format!("{topic}:0:{printed}"), "{earliest}");
        }
        want(4)?;
        let output = tools.run(DELETE_RECORDS, &["--offset-json-file", path])?;
        ensure!(output.contains("OffsetOutOfRange"), "{output}");
        let entity = ["--entity-type", "topics", "--entity-name", topic, "--alter"];
        tools.run(CONFIGS, &[&entity[..], &["--add-config", "cleanup.policy=compact"]].concat())?;
        let output = tools.run(DELETE_RECORDS, &["--offset-json-file", path])?;
        ensure!(output.contains("PolicyViolation"), "{output}");
        Ok(())
    })
}

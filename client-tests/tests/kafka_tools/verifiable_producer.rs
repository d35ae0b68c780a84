//! `kafka-verifiable-producer`, which says of each record where it was acknowledged.

use super::{OFFSETS, TOPICS, with_tools};
use anyhow::{Context as _, Result, ensure};
use client_tests::target::unique_topic;
use client_tests::tools;
use serde_json::Value;
use std::process::Command;

const RECORDS: i64 = 500;

#[test]
fn each_record_of_a_verifiable_producer_is_acknowledged_at_the_next_offset() -> Result<()> {
    with_tools(|tools| {
        let topic = &*unique_topic("verifiable");
        tools.run(TOPICS, &["--create", "--topic", topic])?;
        let Some(program) = tools::java::verifiable_producer()? else { return Ok(()) };
        let output = Command::new("java")
            .args(program.arguments())
            .args(["--bootstrap-server", tools.bootstrap, "--topic", topic, "--acks", "-1"])
            .args(["--max-messages", &RECORDS.to_string(), "--value-prefix", "7"])
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stdout)?;
        let events: Vec<Value> = printed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let sent = events.iter().filter(|event| event["name"] == "producer_send_success");
        let failed = events.iter().find(|event| event["name"] == "producer_send_error");
        ensure!(failed.is_none(), "{failed:?}");
        let places: Vec<_> = sent.map(|event| (event["value"].as_str(), event["offset"].as_i64())).collect();
        ensure!(places.len() == usize::try_from(RECORDS)?, "{} records were acknowledged", places.len());
        for (number, place) in (0..).zip(places) {
            let value = format!("7.{number}");
            ensure!(place == (Some(&*value), Some(number)), "{value} is {place:?}");
        }
        let total = events.iter().find(|event| event["name"] == "tool_data").context("it gives no total")?;
        ensure!(total["sent"] == RECORDS && total["acked"] == RECORDS, "{total}");
        let end = tools.run(OFFSETS, &["--topic", topic, "--time", "latest"])?;
        ensure!(end.trim() == format!("{topic}:0:{RECORDS}"), "{end}");
        Ok(())
    })
}

//! Kafka's tools that read `__consumer_offsets` themselves understand what we write there.

use anyhow::{Context as _, Result, ensure};
use client_tests::driver::{Driver, ToolFiles};
use client_tests::group::SETTINGS;
use client_tests::group::admin::{commit, commit_request, coordinator, create_served_topic, expect_code};
use client_tests::group::classic::RawMember;
use client_tests::group::consumer::{RawConsumer, join_request};
use client_tests::node::Node;
use client_tests::target::skip_on_foreign_broker;
use serde_json::{Value, json};

const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const DUMP: &str = "org.apache.kafka.tools.DumpLogSegments";
const OFFSETS: &str = "org.apache.kafka.tools.consumer.OffsetsMessageFormatter";
const GROUPS: &str = "org.apache.kafka.tools.consumer.GroupMetadataMessageFormatter";
/// How long the console consumer waits for a further record, in milliseconds.
const PATIENCE_MS: &str = "10000";

/// A node with all groups in one shard: a commit of nobody (`readers`), a member of the classic protocol (`classic`)
/// and one of the consumer protocol (`modern`).
fn node_with_groups() -> Result<Node> {
    let settings = [&SETTINGS[..], &["offsets.topic.num.partitions=1"]].concat();
    let node = Node::start(&settings)?;
    let mut connection = coordinator(node.bootstrap(), "readers")?;
    create_served_topic(&mut connection, "events", 2)?;
    expect_code("commit", commit(&mut connection, 8, &commit_request("readers", "events", 1, 42))?, None)?;
    RawMember::alone(&mut connection, "classic")?;
    let mut member = RawConsumer::join(&mut connection, &join_request("modern", "member", &["events"]))?;
    member.reconcile(&mut connection)?;
    ensure!(member.share() == 2, "the member owns {} of 2 partitions", member.share());
    Ok(node)
}

/// What the console consumer prints of the topic through a formatter: JSON values, one after the other.
fn formatted(tools: &mut Driver, bootstrap: &str, formatter: &str) -> Result<Vec<Value>> {
    let arguments = ["--bootstrap-server", bootstrap, "--topic", "__consumer_offsets", "--partition", "0"];
    let how = ["--offset", "earliest", "--formatter", formatter, "--timeout-ms", PATIENCE_MS];
    let output = tools.run_tool(CONSUMER, &[&arguments[..], &how].concat(), ToolFiles::default())?;
    let values = serde_json::Deserializer::from_str(&output.stdout).into_iter();
    values.collect::<Result<_, _>>().with_context(|| output.stdout.clone())
}

/// The last value of this key, a tombstone aside: a member's session may have ended meanwhile.
fn value_of<'a>(records: &'a [Value], key: &Value) -> Result<&'a Value> {
    let record = records.iter().rev().find(|record| record["key"] == *key && !record["value"].is_null());
    Ok(&record.with_context(|| format!("no {key} in {records:#?}"))?["value"])
}

#[test]
fn formatters_of_the_console_consumer_read_offsets_and_groups() -> Result<()> {
    if skip_on_foreign_broker("formatters_of_the_console_consumer_read_offsets_and_groups") {
        return Ok(());
    }
    let Some(mut tools) = Driver::kafka_tools()? else { return Ok(()) };
    let node = node_with_groups()?;

    let offsets = formatted(&mut tools, node.bootstrap(), OFFSETS)?;
    let key = json!({ "type": 1, "data": { "group": "readers", "topic": "events", "partition": 1 } });
    let value = value_of(&offsets, &key)?;
    ensure!(value["version"] == 3 && value["data"]["offset"] == 42, "{value}");
    ensure!(offsets.len() == 1, "one offset was committed: {offsets:#?}");

    let groups = formatted(&mut tools, node.bootstrap(), GROUPS)?;
    // The first generation: before it the group was new, and after it the member's session ends.
    let key = json!({ "type": 2, "data": { "group": "classic" } });
    let is_first = |record: &&Value| record["key"] == key && record["value"]["data"]["leader"] != Value::Null;
    let value = &groups.iter().find(is_first).with_context(|| format!("{groups:#?}"))?["value"];
    ensure!(value["version"] == 3, "{value}");
    let group = &value["data"];
    ensure!(group["protocolType"] == "consumer" && group["protocol"] == "range", "{value}");
    ensure!(group["generation"] == 1 && group["currentStateTimestamp"].as_i64() > Some(0), "{value}");
    ensure!(group["members"][0]["memberId"] == group["leader"], "{value}");
    ensure!(group["members"][0]["sessionTimeout"] == 6000, "{value}");
    Ok(())
}

#[test]
fn log_dump_decodes_every_kind_of_record() -> Result<()> {
    if skip_on_foreign_broker("log_dump_decodes_every_kind_of_record") {
        return Ok(());
    }
    let Some(mut tools) = Driver::kafka_tools()? else { return Ok(()) };
    let mut node = node_with_groups()?;
    node.stop()?;
    let log = node.data_dir().join("__consumer_offsets-0/00000000000000000000.log");
    let log = log.to_str().context("a plain path")?;
    let dump = tools.run_tool(DUMP, &["--files", log, "--offsets-decoder"], ToolFiles::default())?;
    ensure!(dump.status == 0 && dump.stderr.is_empty(), "{dump:?}");

    // Each line ends with `key: {…} payload: {…}`.
    let mut records = Vec::new();
    for line in dump.stdout.lines().filter(|line| line.contains(" key: ")) {
        let (key, payload) = line
            .split_once(" key: ")
            .and_then(|(_, rest)| rest.split_once(" payload: "))
            .with_context(|| line.to_owned())?;
        let parse = |text: &str| match text {
            "<DELETE>" => Ok(Value::Null),
            text => serde_json::from_str(text).with_context(|| line.to_owned()),
        };
        records.push(json!({ "key": parse(key)?, "value": parse(payload)? }));
    }
    let of_group = |kind: &str| json!({ "type": kind, "data": { "groupId": "modern" } });
    let of_member =
        |kind: &str| json!({ "type": kind, "data": { "groupId": "modern", "memberId": "member" } });
    let data = |key: Value| value_of(&records, &key).map(|value| &value["data"]);
    let epoch = &data(of_group("3"))?["epoch"];
    ensure!(epoch.as_i64() > Some(0), "the epoch is {epoch}");
    let member = data(of_member("5"))?;
    ensure!(member["subscribedTopicNames"] == json!(["events"]), "{member}");
    ensure!(data(of_group("6"))?["assignmentEpoch"] == *epoch, "{records:#?}");
    let target = &data(of_member("7"))?["topicPartitions"][0]["partitions"];
    ensure!(*target == json!([0, 1]), "the target is {target}");
    let current = data(of_member("8"))?;
    ensure!(current["memberEpoch"] == *epoch, "{current}");
    ensure!(current["assignedPartitions"][0]["partitions"] == json!([0, 1]), "{current}");
    let offset = json!({ "type": "1", "data": { "group": "readers", "topic": "events", "partition": 1 } });
    ensure!(data(offset)?["offset"] == 42, "{records:#?}");
    Ok(())
}

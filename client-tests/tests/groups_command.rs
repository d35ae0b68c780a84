//! `ottla groups` lists, describes, resets and deletes groups, and says why one is not stable.

use anyhow::{Result, ensure};
use client_tests::command_line::CommandLine;
use client_tests::group::SETTINGS;
use client_tests::group::admin::{commit, commit_request, coordinator, create_served_topic, expect_code};
use client_tests::group::classic::{JOIN_VERSION, RawMember, join_request};
use client_tests::target::{Target, skip_on_foreign_broker, unique_topic};
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection, batch};
use serde_json::json;
use std::time::Duration;

/// The exit codes that scripts are promised.
const FAILED: i32 = 1;
const NO_SUCH_GROUP: i32 = 3;
const HAS_MEMBERS: i32 = 4;
const RECORDS: i64 = 10;
const LIMIT: Duration = Duration::from_secs(60);

fn groups(bootstrap: &str) -> CommandLine<'_> {
    CommandLine::new("groups", bootstrap)
}

/// A topic of two partitions with ten records in the first.
fn topic_with_records(connection: &mut Connection) -> Result<String> {
    let topic = unique_topic("groups-command");
    create_served_topic(connection, &topic, 2)?;
    let records = (0..RECORDS).map(|offset| batch::record(offset, None, "value".into()));
    let records = batch::encode(&records.collect::<Vec<_>>())?;
    let request = wire::produce_request(&topic, 0, -1, records);
    expect_code("produce", wire::produce(connection, 9, &request)?.error_code, None)?;
    Ok(topic)
}

#[test]
fn a_group_without_members_is_reset_and_deleted() -> Result<()> {
    let target = Target::start_with(&SETTINGS)?;
    let group = unique_topic("group");
    let mut connection = coordinator(target.bootstrap(), &group)?;
    let topic = topic_with_records(&mut connection)?;
    let groups = groups(target.bootstrap());
    expect_code("commit", commit(&mut connection, 8, &commit_request(&group, &topic, 0, 4))?, None)?;

    let described = groups.json(&format!("describe {group}"))?;
    let description = &described[0];
    ensure!(description["state"] == "Empty" && description["lag"] == RECORDS - 4, "{description:#}");
    ensure!(description["unstable_because"].is_null(), "{description:#}");
    let listed = groups.json("list --state empty --kind classic")?;
    ensure!(listed.to_string().contains(&group), "{listed:#}");

    // Shown first, then done: to where a shift by 3 leads, then to the end, which is the nearest to 99.
    let steps = |new_offset: i64, committed: i64| json!([{ "topic": topic, "partition": 0, "committed_offset": committed, "new_offset": new_offset }]);
    let shift = format!("reset {group} --topic {topic}:0 --shift-by 3");
    ensure!(groups.json(&shift)?["partitions"] == steps(7, 4), "what would be done");
    let done = groups.json(&format!("{shift} --execute"))?;
    ensure!(done["partitions"] == steps(7, 4) && done["executed"] == true, "{done:#}");
    let done = groups.json(&format!("reset {group} --all-topics --to-offset 99 --execute"))?;
    ensure!(done["partitions"] == steps(RECORDS, 7), "{done:#}");
    let at_first =
        groups.json(&format!("reset {group} --topic {topic} --to-datetime 2001-01-01T00:00:00"))?;
    ensure!(at_first["partitions"][0]["new_offset"] == 0, "{at_first:#}");
    let wrong = groups.refusal(&format!("reset {group} --topic {topic}:7 --to-latest"), FAILED)?;
    ensure!(wrong.contains("has no partition 7"), "{wrong}");

    groups.text(&format!("delete {group} --topic {topic}"))?;
    let described = groups.json(&format!("describe {group}"));
    if let Ok(described) = described {
        ensure!(described[0]["partitions"] == json!([]), "{described:#}");
        groups.text(&format!("delete {group}"))?;
    }
    let gone = groups.refusal(&format!("describe {group}"), NO_SUCH_GROUP)?;
    ensure!(gone.contains(&format!("there is no group {group}")), "{gone}");
    Ok(())
}

#[test]
fn a_group_with_members_is_neither_reset_nor_deleted() -> Result<()> {
    let target = Target::start_with(&SETTINGS)?;
    let group = unique_topic("group");
    let mut connection = coordinator(target.bootstrap(), &group)?;
    let topic = topic_with_records(&mut connection)?;
    let groups = groups(target.bootstrap());
    let member = RawMember::alone(&mut connection, &group)?;
    for command in [format!("reset {group} --topic {topic} --to-latest --execute"), format!("delete {group}")]
    {
        let refusal = groups.refusal(&command, HAS_MEMBERS)?;
        ensure!(refusal.contains("has members"), "{refusal}");
    }
    expect_code("heartbeat", member.heartbeat(&mut connection)?, None)
}

#[test]
fn whom_a_group_waits_for_is_said_in_one_sentence() -> Result<()> {
    if skip_on_foreign_broker("whom_a_group_waits_for_is_said_in_one_sentence") {
        return Ok(());
    }
    let target = Target::start_with(&SETTINGS)?;
    let group = unique_topic("group");
    let mut connection = coordinator(target.bootstrap(), &group)?;
    let member = RawMember::alone(&mut connection, &group)?;
    let groups = groups(target.bootstrap());
    let stable = groups.text(&format!("describe {group}"))?;
    ensure!(stable.contains(&format!("{group}: Stable")) && !stable.contains("Not stable"), "{stable}");

    // A second member joins, and the first does not come back.
    let mut second = Connection::open(target.bootstrap())?;
    let mut joining = join_request(&group, &["range"]);
    joining.member_id = second.call(JOIN_VERSION, &joining)?.member_id;
    second.send(JOIN_VERSION, &joining)?;
    let awaited = format!("for {} (client ", member.member_id.as_str());
    wait_until(LIMIT, "the command says whom the group waits for", || {
        let text = groups.text(&format!("describe {group}"))?;
        let sentence = text.lines().find(|line| line.starts_with("Not stable: it has waited for "));
        Ok(sentence
            .is_some_and(|it| it.contains(&awaited) && it.ends_with("to join again (1 of 2 members).")))
    })
}

#[test]
fn a_broker_that_does_not_answer_is_one_sentence() -> Result<()> {
    let nobody = groups("127.0.0.1:1").refusal("list", FAILED)?;
    ensure!(nobody.starts_with("ottla: no broker answers at 127.0.0.1:1"), "{nobody}");
    Ok(())
}

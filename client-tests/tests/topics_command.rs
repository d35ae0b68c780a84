//! `ottla topics` lists, describes, creates, alters and deletes topics.

use anyhow::{Result, ensure};
use client_tests::command_line::CommandLine;
use client_tests::target::{Target, skip_on_foreign_broker, unique_topic};
use serde_json::{Value, json};

/// The exit codes that scripts are promised.
const FAILED: i32 = 1;
const NOT_UNDERSTOOD: i32 = 2;
const NO_SUCH_TOPIC: i32 = 3;
const EXISTS: i32 = 4;

fn listed<'a>(list: &'a Value, topic: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find(|row| row["topic"] == topic)
}

#[test]
fn a_topic_is_made_shown_altered_and_deleted() -> Result<()> {
    let target = Target::start()?;
    let topics = CommandLine::new("topics", target.bootstrap());
    let name = unique_topic("topics-command");
    let create = format!("create {name} --partitions 2 --set retention.ms=60000");

    let plan = topics.text(&format!("{create} --dry-run"))?;
    ensure!(plan == format!("Would create {name} (2 partitions, 1 replica).\n"), "{plan}");
    ensure!(listed(&topics.json("list")?, &name).is_none(), "a plan makes nothing");
    let made = topics.json(&create)?;
    ensure!(made[0]["created"] == true && made[0]["partitions"] == 2, "{made:#}");
    let row = topics.json("list")?;
    let row = listed(&row, &name);
    ensure!(row.is_some_and(|row| row["partitions"] == 2 && row["lacking"] == 0), "{row:?}");

    let described = topics.json(&format!("describe {name}"))?;
    ensure!(described[0]["settings"] == json!({ "retention.ms": "60000" }), "{described:#}");
    let partition = &described[0]["partitions"][1];
    ensure!(partition["first_offset"] == 0 && partition["end_offset"] == 0, "{described:#}");
    ensure!(partition["leader"] == partition["replicas"][0], "{described:#}");

    let alter = format!("alter {name} --partitions 5 --set max.message.bytes=2000 --unset retention.ms");
    topics.text(&format!("{alter} --dry-run"))?;
    let unchanged = topics.json(&format!("describe {name}"))?;
    ensure!(unchanged[0]["partitions"].as_array().is_some_and(|it| it.len() == 2), "{unchanged:#}");
    topics.text(&alter)?;
    let altered = topics.json(&format!("describe {name}"))?;
    ensure!(altered[0]["settings"] == json!({ "max.message.bytes": "2000" }), "{altered:#}");
    ensure!(altered[0]["partitions"].as_array().is_some_and(|it| it.len() == 5), "{altered:#}");
    let text = topics.text(&format!("describe {name} --all-settings"))?;
    ensure!(
        text.contains("  max.message.bytes=2000\n") && text.contains("  cleanup.policy=delete\n"),
        "{text}"
    );

    topics.text(&format!("delete {name}"))?;
    ensure!(listed(&topics.json("list --internal")?, &name).is_none(), "it is gone");
    Ok(())
}

#[test]
fn what_stands_in_the_way_has_a_code_and_a_sentence() -> Result<()> {
    let target = Target::start()?;
    let topics = CommandLine::new("topics", target.bootstrap());
    let name = unique_topic("topics-command");
    for command in ["describe", "delete", "alter --partitions 3"] {
        let said = topics.refusal(&format!("{command} {name}"), NO_SUCH_TOPIC)?;
        ensure!(said == format!("ottla: there is no topic {name}\n"), "{said}");
    }
    ensure!(topics.json(&format!("delete {name} --if-exists"))?[0]["deleted"] == false, "nothing to delete");
    topics.text(&format!("create {name} --partitions 3"))?;
    let said = topics.refusal(&format!("create {name}"), EXISTS)?;
    ensure!(said.contains("--if-not-exists"), "{said}");
    let there = topics.json(&format!("create {name} --if-not-exists"))?;
    ensure!(there[0]["created"] == false && there[0]["partitions"] == 3, "{there:#}");

    // A change of which one half is wrong is not made at all.
    let said = topics.refusal(&format!("alter {name} --set retention.ms=1000 --partitions 2"), FAILED)?;
    ensure!(said.starts_with(&format!("ottla: {name}: ")) && said.contains('3'), "{said}");
    let described = topics.json(&format!("describe {name}"))?;
    ensure!(described[0]["settings"] == json!({}), "{described:#}");
    topics.refusal(&format!("alter {name} --set no.such.key=1"), FAILED)?;
    let said = topics.refusal(&format!("alter {name} --unset retention.m"), FAILED)?;
    ensure!(said.contains("there is no setting retention.m; did you mean retention.ms?"), "{said}");
    let said = topics.refusal(&format!("alter {name} --unset no.such.key"), FAILED)?;
    ensure!(said.contains("there is no setting no.such.key; `ottla topics describe"), "{said}");
    topics.refusal(&format!("create {name}-2 --replication-factor 1000"), FAILED)?;
    ensure!(topics.run(&format!("alter {name}"))?.status.code() == Some(NOT_UNDERSTOOD), "nothing to alter");
    topics.text(&format!("delete {name}"))?;
    Ok(())
}

#[test]
fn shells_are_told_of_every_command() -> Result<()> {
    if skip_on_foreign_broker("shells_are_told_of_every_command") {
        return Ok(());
    }
    for shell in ["bash", "zsh", "fish"] {
        let output = client_tests::node::command()?.args(["completion", shell]).output()?;
        let script = String::from_utf8(output.stdout)?;
        ensure!(output.status.success() && script.contains("topics") && script.contains("serve"), "{shell}");
    }
    Ok(())
}

//! `kafka-configs` for one broker and for all of them: what it changes is in force without a restart.

use super::{CONFIGS, TOPICS, with_tools};
use anyhow::{Result, ensure};
use client_tests::target::unique_topic;

const ONE: [&str; 4] = ["--entity-type", "brokers", "--entity-name", "1"];
const ALL: [&str; 3] = ["--entity-type", "brokers", "--entity-default"];

#[test]
fn broker_settings_are_altered_for_one_and_for_all_and_hold_at_once() -> Result<()> {
    with_tools(|tools| {
        let topic = &*unique_topic("defaults");
        tools.run(TOPICS, &["--create", "--topic", topic])?;
        let of_topic = ["--entity-type", "topics", "--entity-name", topic, "--describe", "--all"];
        let setting = |described: &str, begin: &str| -> String {
            described
                .lines()
                .find(|line| line.trim_start().starts_with(begin))
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let add = |entity: &[&'static str], change: &'static str| {
            [entity, &["--alter", "--add-config", change]].concat()
        };
        let remove =
            |entity: &[&'static str]| [entity, &["--alter", "--delete-config", "log.retention.ms"]].concat();

        tools.run(CONFIGS, &add(&ALL, "log.retention.ms=777777"))?;
        let retention = setting(&tools.run(CONFIGS, &of_topic)?, "retention.ms=");
        ensure!(
            retention.starts_with("retention.ms=777777 ")
                && retention.contains("DYNAMIC_DEFAULT_BROKER_CONFIG"),
            "{retention}"
        );
        let all = tools.run(CONFIGS, &[&ALL[..], &["--describe"]].concat())?;
        ensure!(all.contains("log.retention.ms=777777"), "{all}");

        tools.run(CONFIGS, &add(&ONE, "log.retention.ms=888888"))?;
        let one = setting(&tools.run(CONFIGS, &[&ONE[..], &["--describe"]].concat())?, "log.retention.ms=");
        let expected = "log.retention.ms=888888 sensitive=false synonyms={DYNAMIC_BROKER_CONFIG:log.retention.ms=888888, \
                        DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=777777";
        ensure!(one.starts_with(expected), "{one}");
        let retention = setting(&tools.run(CONFIGS, &of_topic)?, "retention.ms=");
        ensure!(retention.starts_with("retention.ms=888888 "), "{retention}");

        tools.run(CONFIGS, &remove(&ONE))?;
        tools.run(CONFIGS, &remove(&ALL))?;
        let retention = setting(&tools.run(CONFIGS, &of_topic)?, "retention.ms=");
        ensure!(retention.starts_with("retention.ms=604800000 "), "{retention}");

        for (change, sentence) in [
            ("node.id=5", "Cannot update these configs dynamically: [node.id]"),
            ("log.retention.ms=soon", "Invalid value soon for configuration log.retention.ms"),
            (
                "num.recovery.threads.per.data.dir=9",
                "Dynamic thread count update validation failed for num.recovery.threads.per.data.dir=9, value should not \
                 be greater than double the current value 2",
            ),
            (
                "log.cleaner.threads=5",
                "Log cleaner threads cannot be increased to more than double the current value 1",
            ),
        ] {
            let refused = tools.run_to_failure(CONFIGS, &add(&ONE, change))?;
            ensure!(refused.contains(sentence), "{change}: {refused}");
        }

        tools.run(CONFIGS, &add(&ONE, "max.connections.per.ip.overrides=[127.0.0.9:1,127.0.0.8:7]"))?;
        let one = tools.run(CONFIGS, &[&ONE[..], &["--describe"]].concat())?;
        ensure!(one.contains("max.connections.per.ip.overrides=127.0.0.9:1,127.0.0.8:7"), "{one}");
        Ok(())
    })
}

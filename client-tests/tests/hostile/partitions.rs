//! A client that writes to more partitions at once than the node may have files open for.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use client_tests::wire::{self, Connection};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::{GROWTH_MAX, LIMIT, Siege};

const PARTITIONS: i32 = 1000;
const TOPIC: &str = "wide";
/// Room for 128 partitions that are written to, beside as many clients and more for readers.
const OPEN_FILES: u32 = 1024;
/// Those that are written to again, once others have taken their places.
const AGAIN: i32 = 200;
/// Each partition waits for its turn.
const FLUSH_LIMIT: Duration = Duration::from_secs(280);

#[test]
fn writing_to_more_partitions_than_there_are_files_for_takes_turns_and_loses_nothing() -> Result<()> {
    let Some(siege) = Siege::begin_with_open_files(OPEN_FILES, &[], 1000, 0)? else { return Ok(()) };
    let mut connection = Connection::open_within(siege.node.bootstrap(), LIMIT)?;
    ensure!(wire::create_topic(&mut connection, TOPIC, PARTITIONS, &[])? == 0, "the topic is not created");
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", siege.node.bootstrap())
        .set("enable.idempotence", "true")
        .create()?;
    for partitions in [PARTITIONS, AGAIN] {
        for partition in 0..partitions {
            let record = BaseRecord::<(), str>::to(TOPIC).partition(partition).payload("a reading");
            producer.send(record).map_err(|(error, _)| anyhow!("partition {partition}: {error}"))?;
        }
        producer.flush(FLUSH_LIMIT).with_context(|| format!("{partitions} partitions"))?;
    }
    for partition in 0..PARTITIONS {
        let end = wire::end_offset(&mut connection, TOPIC, partition)?;
        let written = 1 + i64::from(partition < AGAIN);
        ensure!(end == written, "partition {partition} ends at {end}, not {written}");
    }
    let said = siege.node.stderr();
    ensure!(said.contains("clients write to more than 128 partitions at the same time"), "{said}");
    ensure!(siege.metric("ottla_busy_partitions")? <= 128.0, "more are open than may be");
    siege.expect_service(&())?;
    siege.end(GROWTH_MAX)
}

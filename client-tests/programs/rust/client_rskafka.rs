//! rskafka, which keeps the contract of `programs/README.md`: pure Rust, fixed versions, one partition a client.
//!
//! It knows no settings of topics, no number of acknowledgements but all, and no consumer that finds its own way.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use chrono::DateTime;
use client_tests::records::{Hex, Record, StoredRecord};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::{Record as Theirs, RecordAndOffset};
use serde::Deserialize;
use serde_json::{Value, json};

/// How long a broker may take to create or to delete a topic.
const TIMEOUT_MS: i32 = 30_000;
/// How long a fetch waits for records.
const WAIT_MS: i32 = 500;
/// The most bytes of a fetch, which is more than the largest batch.
const FETCH_BYTES_MAX: i32 = 8 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Command {
    CreateTopic { topic: String, partitions: i32 },
    DeleteTopic { topic: String },
    DeleteRecords { topic: String, partition: i32, before: i64 },
    Produce { topic: String, partition: i32, codec: String, records: Vec<Record> },
    Consume { topic: String, partition: i32, from: From, position: i64, end: i64 },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum From {
    Beginning,
    Offset,
    Timestamp,
}

#[tokio::main]
async fn main() -> Result<()> {
    let bootstrap = std::env::args().nth(1).context("the address is missing")?;
    for line in std::io::stdin().lines() {
        let answer = answer(&bootstrap, &line?).await;
        println!("{}", answer.unwrap_or_else(|error| json!({"error": format!("{error:#}")})));
    }
    Ok(())
}

async fn answer(bootstrap: &str, line: &str) -> Result<Value> {
    let client = ClientBuilder::new(vec![bootstrap.to_owned()]).build().await?;
    match serde_json::from_str(line)? {
        Command::CreateTopic { topic, partitions } => {
            client.controller_client()?.create_topic(topic, partitions, 1, TIMEOUT_MS).await?;
            Ok(json!({}))
        }
        Command::DeleteTopic { topic } => {
            client.controller_client()?.delete_topic(topic, TIMEOUT_MS).await?;
            Ok(json!({}))
        }
        Command::DeleteRecords { topic, partition, before } => {
            partition_of(&client, &topic, partition).await?.delete_records(before, TIMEOUT_MS).await?;
            Ok(json!({}))
        }
        Command::Produce { topic, partition, codec, records } => {
            let records = records.into_iter().map(to_theirs).collect::<Result<_>>()?;
            let partition = partition_of(&client, &topic, partition).await?;
            Ok(json!({"offsets": partition.produce(records, compression(&codec)?).await?}))
        }
        Command::Consume { topic, partition, from, position, end } => {
            let partition = partition_of(&client, &topic, partition).await?;
            let start = match from {
                From::Beginning => partition.get_offset(OffsetAt::Earliest).await?,
                From::Offset => position,
                From::Timestamp => {
                    let time = DateTime::from_timestamp_millis(position).context("there is no such time")?;
                    partition.get_offset(OffsetAt::Timestamp(time)).await?
                }
            };
            Ok(json!({"records": consume(&partition, start, end).await?}))
        }
    }
}

async fn partition_of(client: &Client, topic: &str, partition: i32) -> Result<PartitionClient> {
    Ok(client.partition_client(topic, partition, UnknownTopicHandling::Retry).await?)
}

async fn consume(partition: &PartitionClient, start: i64, end: i64) -> Result<Vec<StoredRecord>> {
    let mut records: Vec<StoredRecord> = Vec::new();
    let mut next = start;
    while next < end {
        let (read, _) = partition.fetch_records(next, 1..FETCH_BYTES_MAX, WAIT_MS).await?;
        next = read.last().map_or(next, |last| last.offset + 1);
        records.extend(read.into_iter().map(|read| stored(partition, read)));
    }
    Ok(records)
}

fn compression(codec: &str) -> Result<Compression> {
    Ok(match codec {
        "none" => Compression::NoCompression,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        other => anyhow::bail!("{other} is no codec"),
    })
}

fn to_theirs(record: Record) -> Result<Theirs> {
    let bytes = |bytes: Option<Hex>| bytes.map(|bytes| bytes.bytes()).transpose();
    let header = |(name, value): (String, Option<Hex>)| Ok((name, bytes(value)?.unwrap_or_default()));
    Ok(Theirs {
        key: bytes(record.key)?,
        value: bytes(record.value)?,
        headers: record.headers.into_iter().map(header).collect::<Result<BTreeMap<_, _>>>()?,
        timestamp: DateTime::from_timestamp_millis(record.timestamp).context("there is no such time")?,
    })
}

fn stored(partition: &PartitionClient, RecordAndOffset { record, offset }: RecordAndOffset) -> StoredRecord {
    let hex = |bytes: Option<Vec<u8>>| bytes.map(|bytes| Hex::new(&bytes));
    let headers = record.headers.into_iter().map(|(name, value)| (name, hex(Some(value))));
    StoredRecord {
        topic: partition.topic().to_owned(),
        partition: partition.partition(),
        offset,
        record: Record {
            key: hex(record.key),
            value: hex(record.value),
            headers: headers.collect(),
            timestamp: record.timestamp.timestamp_millis(),
        },
    }
}

//! librdkafka from Rust, in this process: many producers at once, batches under way together, and seeking.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use client_tests::target::{Target, unique_topic};
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

const LIMIT: Duration = Duration::from_secs(60);

/// Keeps where each record was acknowledged.
#[derive(Default)]
struct Deliveries(Mutex<Vec<Result<i64, KafkaError>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        let outcome = result.as_ref().map(rdkafka::Message::offset).map_err(|(error, _)| error.clone());
        if let Ok(mut deliveries) = self.0.lock() {
            deliveries.push(outcome);
        }
    }
}

fn topic_on(target: &Target, partitions: i32) -> Result<String> {
    let topic = unique_topic("rdkafka");
    let mut connection = Connection::open(target.bootstrap())?;
    ensure!(wire::create_topic(&mut connection, &topic, partitions, &[])? == 0, "the topic was not created");
    Ok(topic)
}

fn producer(target: &Target, settings: &[(&str, &str)]) -> Result<BaseProducer<Deliveries>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", target.bootstrap()).set("enable.idempotence", "true");
    settings.iter().for_each(|(key, value)| {
        config.set(*key, *value);
    });
    Ok(config.create_with_context(Deliveries::default())?)
}

/// Sends, making room in the client's queue when it is full.
fn send(producer: &BaseProducer<Deliveries>, record: BaseRecord<'_, str, str>) -> Result<()> {
    let mut record = record;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => record = refused,
            Err((error, _)) => return Err(error.into()),
        }
        producer.poll(Duration::from_millis(10));
    }
}

fn offsets(producer: &BaseProducer<Deliveries>) -> Result<Vec<i64>> {
    producer.flush(LIMIT)?;
    let deliveries = producer.context().0.lock().map_err(|_| anyhow!("a delivery panicked"))?;
    deliveries.iter().map(|delivery| delivery.clone().map_err(Into::into)).collect()
}

fn consumer(target: &Target, topic: &str, start: Offset) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", target.bootstrap())
        .set("group.id", "unused")
        .set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(topic, 0, start)?;
    consumer.assign(&places)?;
    Ok(consumer)
}

#[test]
fn every_record_of_many_small_batches_is_acknowledged_in_order() -> Result<()> {
    let target = Target::start()?;
    let topic = topic_on(&target, 1)?;
    let producer =
        producer(&target, &[("linger.ms", "0"), ("batch.num.messages", "3"), ("compression.type", "lz4")])?;
    for number in 0..2000 {
        let (key, value) = (format!("{}", number % 5), format!("{number}"));
        send(&producer, BaseRecord::to(&topic).partition(0).key(&*key).payload(&*value))?;
    }
    ensure!(
        offsets(&producer)? == (0..2000).collect::<Vec<_>>(),
        "offsets do not follow the order of sending"
    );
    let consumer = consumer(&target, &topic, Offset::Beginning)?;
    for number in 0..2000 {
        let message = consumer.poll(LIMIT).with_context(|| format!("only {number} records came"))??;
        let expected = format!("{number}");
        ensure!(message.payload() == Some(expected.as_bytes()) && message.offset() == number, "{message:?}");
    }
    Ok(())
}

#[test]
fn producers_at_the_same_time_share_a_partition_without_loss() -> Result<()> {
    let target = Target::start()?;
    let topic = topic_on(&target, 1)?;
    let producers = (0..8).map(|_| producer(&target, &[])).collect::<Result<Vec<_>>>()?;
    for number in 0..500 {
        for (index, producer) in producers.iter().enumerate() {
            let value = format!("{index}-{number}");
            send(producer, BaseRecord::to(&topic).partition(0).payload(&*value))?;
        }
    }
    let mut all = producers.iter().map(offsets).collect::<Result<Vec<_>>>()?.concat();
    all.sort_unstable();
    ensure!(all == (0..4000).collect::<Vec<_>>(), "{} offsets, not each of them once", all.len());
    Ok(())
}

#[test]
fn headers_come_back_in_order() -> Result<()> {
    let target = Target::start()?;
    let topic = topic_on(&target, 1)?;
    let producer = producer(&target, &[])?;
    let names = [("trace", Some("1")), ("empty", Some("")), ("none", None), ("trace", Some("2"))];
    let headers = names
        .iter()
        .fold(OwnedHeaders::new(), |headers, &(key, value)| headers.insert(Header { key, value }));
    send(&producer, BaseRecord::to(&topic).partition(0).payload("value").headers(headers))?;
    offsets(&producer)?;
    let consumer = consumer(&target, &topic, Offset::Beginning)?;
    let message = consumer.poll(LIMIT).context("no record came")??;
    let headers = message.headers().context("no headers came")?;
    let found: Vec<_> = headers.iter().map(|header| (header.key, header.value)).collect();
    let sent: Vec<_> = names.iter().map(|(key, value)| (*key, value.map(str::as_bytes))).collect();
    ensure!(found == sent, "{found:?}");
    Ok(())
}

#[test]
fn consumer_that_waits_at_the_end_gets_the_next_record() -> Result<()> {
    let target = Target::start()?;
    let topic = topic_on(&target, 1)?;
    let consumer = consumer(&target, &topic, Offset::Offset(0))?;
    ensure!(consumer.poll(Duration::from_millis(200)).is_none(), "an empty topic gave a record");
    let producer = producer(&target, &[])?;
    send(&producer, BaseRecord::to(&topic).partition(0).payload("at last"))?;
    let mut found = None;
    wait_until(LIMIT, "the record came", || {
        found = consumer.poll(Duration::from_millis(100)).transpose()?;
        producer.poll(Duration::ZERO);
        Ok(found.is_some())
    })?;
    let payload = found.as_ref().and_then(rdkafka::message::BorrowedMessage::payload);
    ensure!(payload == Some(b"at last"), "{payload:?}");
    Ok(())
}

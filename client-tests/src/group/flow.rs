//! A producer that keeps records coming to every partition of a group's topic until it is told to stop.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};

use super::running::PARTITIONS;
use crate::ledger::{Ledger, payload};
use crate::wait::{let_pass, wait_until};
use crate::wire::{Connection, batch, topic_name};

/// The time between two records of a partition: often enough that every moment of a rebalance has some.
const STEP: Duration = Duration::from_millis(100);
/// The longest that a broker may take to serve a topic that it has just created.
const NEW_TOPIC_LIMIT: Duration = Duration::from_secs(10);
/// The time that a request allows the broker, in milliseconds.
const TIMEOUT_MS: i32 = 20_000;

/// A running producer. The number of each record is its offset.
#[derive(Debug)]
pub struct Flow {
    finish: Arc<AtomicBool>,
    /// Held by the producer while it sends, and by who wants it to stand still.
    ledger: Arc<Mutex<Ledger>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Flow {
    /// Begins to produce to a new topic.
    ///
    /// # Errors
    /// When the broker does not accept the connection.
    pub fn start(bootstrap: &str, topic: &str) -> Result<Flow> {
        let partitions = usize::try_from(PARTITIONS)?;
        let mut connection = Connection::open(bootstrap)?;
        let finish = Arc::new(AtomicBool::new(false));
        let ledger = Arc::new(Mutex::new(Ledger::new(partitions)));
        let (topic, until, entries) = (topic.to_owned(), Arc::clone(&finish), Arc::clone(&ledger));
        let thread = std::thread::spawn(move || {
            for number in 0.. {
                if until.load(Ordering::Relaxed) {
                    break;
                }
                produce_one_each(&mut connection, &topic, number, &mut lock(&entries), partitions)?;
                let_pass(STEP);
            }
            lock(&entries).check()
        });
        Ok(Flow { finish, ledger, thread: Some(thread) })
    }

    /// What was acknowledged so far. The producer stands still while the caller looks at it.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Stops producing.
    ///
    /// # Errors
    /// When a record was refused.
    pub fn finish(&mut self) -> Result<()> {
        self.finish.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().map_err(|_| anyhow!("the producer panicked"))?
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.finish.store(true, Ordering::Relaxed);
    }
}

/// Produces the record `number` to each partition, again where the broker does not know the new topic yet.
fn produce_one_each(
    connection: &mut Connection,
    topic: &str,
    number: i64,
    ledger: &mut Ledger,
    partitions: usize,
) -> Result<()> {
    let records = batch::encode(&[batch::record(0, None, Bytes::from(payload(number)))])?;
    let mut missing: BTreeSet<i32> = (0..i32::try_from(partitions)?).collect();
    wait_until(NEW_TOPIC_LIMIT, "the new topic takes records", || {
        let data = missing.iter().map(|&partition| {
            PartitionProduceData::default().with_index(partition).with_records(Some(records.clone()))
        });
        let data =
            TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(data.collect());
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(TIMEOUT_MS).with_topic_data(vec![data]);
        let response = connection.call(9, &request)?;
        for answer in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
            match ResponseError::try_from_code(answer.error_code) {
                None => {
                    ledger.acknowledge(usize::try_from(answer.index)?, number, answer.base_offset);
                    missing.remove(&answer.index);
                }
                Some(ResponseError::UnknownTopicOrPartition | ResponseError::NotLeaderOrFollower) => {}
                Some(error) => bail!("Produce answered {error:?}"),
            }
        }
        Ok(missing.is_empty())
    })
}

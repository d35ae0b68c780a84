//! A healthy client beside a fault: it writes one record after the other and reads each back, and none of its requests may
//! fail or hang, whatever others do to the broker meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::records::KEPT;
use crate::target::unique_topic;
use crate::wait::wait_until;
use crate::wire::{self, Connection, batch, fetch};

/// The longest that one of its requests may take, on a machine that is busy with the fault itself.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// The version of Produce that it speaks.
const PRODUCE: i16 = 9;

/// A running client. Without [`Bystander::finish`] what it met is never told.
#[derive(Debug)]
pub struct Bystander {
    bootstrap: String,
    topic: String,
    acknowledged: Arc<AtomicI64>,
    done: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Bystander {
    /// Connects, creates a topic of its own and begins. Each of its records has a value of `value_size` bytes.
    ///
    /// # Errors
    /// When the broker does not serve it.
    pub fn start(bootstrap: &str, value_size: usize) -> Result<Bystander> {
        let mut connection = Connection::open_within(bootstrap, ANSWER_LIMIT)?;
        let topic = unique_topic("bystander");
        let created = wire::create_topic(&mut connection, &topic, 1, &KEPT)?;
        ensure!(created == 0, "CreateTopics answered {created}");
        let acknowledged = Arc::new(AtomicI64::new(0));
        let done = Arc::new(AtomicBool::new(false));
        let (counter, end, name) = (Arc::clone(&acknowledged), Arc::clone(&done), topic.clone());
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let offset = counter.load(Ordering::Relaxed);
                write_and_read(&mut connection, &name, offset, value_size)
                    .with_context(|| format!("record {offset} of the client beside the fault"))?;
                counter.store(offset + 1, Ordering::Relaxed);
            }
            Ok(())
        });
        let bystander = Bystander { bootstrap: bootstrap.to_owned(), topic, acknowledged, done, thread };
        bystander.goes_on()?;
        Ok(bystander)
    }

    /// Waits until some more of its records are written and read.
    ///
    /// # Errors
    /// When they are not in time.
    pub fn goes_on(&self) -> Result<()> {
        let seen = self.acknowledged.load(Ordering::Relaxed);
        wait_until(2 * ANSWER_LIMIT, "the client beside the fault goes on", || {
            Ok(self.thread.is_finished() || self.acknowledged.load(Ordering::Relaxed) >= seen + 5)
        })?;
        ensure!(
            !self.thread.is_finished(),
            "the client beside the fault met one, which the end of the test tells"
        );
        Ok(())
    }

    /// Ends it, and checks that all that it wrote is there once.
    ///
    /// # Errors
    /// When one of its requests failed.
    pub fn finish(self) -> Result<()> {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_panic| anyhow!("the client beside the fault panicked"))??;
        let written = self.acknowledged.load(Ordering::Relaxed);
        let mut connection = Connection::open_within(&self.bootstrap, ANSWER_LIMIT)?;
        let end = wire::end_offset(&mut connection, &self.topic, 0)?;
        ensure!(end == written, "{written} records were acknowledged, and the log ends at {end}");
        Ok(())
    }
}

fn write_and_read(connection: &mut Connection, topic: &str, offset: i64, value_size: usize) -> Result<()> {
    let mut value = offset.to_string().into_bytes();
    value.resize(value_size.max(value.len()), b'.');
    let sent = batch::encode(&[batch::record(0, Some("key".into()), value.into())])?;
    let request = wire::produce_request(topic, 0, -1, sent.clone());
    let answer = wire::produce(connection, PRODUCE, &request)?;
    ensure!(answer.error_code == 0 && answer.base_offset == offset, "Produce answered {answer:?}");
    let fetched = fetch::fetch(connection, topic, 0, offset)?;
    // The first bytes of a batch are the broker's: its offset, its length and the epoch of the leader.
    let (written, read) = (sent.get(batch::MAGIC..), fetched.records.get(batch::MAGIC..sent.len()));
    ensure!(fetched.error_code == 0 && written == read, "another record was read than was written");
    Ok(())
}

//! A fresh client at each try: how long it takes until a record is acknowledged after a fault that leaves connections open.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use kafka_protocol::error::ResponseError;

use super::librdkafka::Target;
use super::{Observations, Worker};
use crate::clock::Moment;
use crate::history::content::{Identity, Place, encode};
use crate::history::{Operation, Outcome};
use crate::replica_set::roles;
use crate::wait::let_pass;
use crate::wire::{Connection, batch, produce, produce_request};

/// The longest that a fresh client gives a node which may hang to tell who leads: a good client asks another soon.
const LIMIT: Duration = Duration::from_millis(500);
/// The longest that it waits until its record is acknowledged.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// The time after which the next fresh client comes, whatever the one before waits for.
const STEP: Duration = Duration::from_millis(100);
/// When the set is held to be stuck.
const STUCK_LIMIT: Duration = Duration::from_secs(60);

/// The time that fresh clients which come all the time let pass before all of them come again.
const VISITS_STEP: Duration = Duration::from_millis(200);

/// Producers without ids on this harness's own wire, each of which makes one try with one record.
#[derive(Debug)]
pub struct Probe {
    next_producer: AtomicU32,
}

impl Probe {
    /// A probe whose producers have numbers from this one on.
    #[must_use]
    pub fn new(first_producer: u32) -> Probe {
        Probe { next_producer: AtomicU32::new(first_producer) }
    }

    /// For each partition the time from `fault` until a fresh client had a record acknowledged, all tried at once.
    ///
    /// # Errors
    /// When one is stuck.
    pub fn recoveries(
        &self,
        target: &Target,
        fault: Moment,
        into: &Observations,
    ) -> Result<BTreeMap<i32, Duration>> {
        std::thread::scope(|scope| {
            let partitions = (0..target.partitions).map(|partition| {
                let place = Place::new(&target.topic, partition);
                (partition, scope.spawn(move || self.recovery(target, &place, fault, into)))
            });
            let partitions: Vec<_> = partitions.collect();
            partitions
                .into_iter()
                .map(|(partition, thread)| {
                    Ok((partition, thread.join().map_err(|_| anyhow!("a probe panicked"))??))
                })
                .collect()
        })
    }

    fn recovery(
        &self,
        target: &Target,
        place: &Place,
        fault: Moment,
        into: &Observations,
    ) -> Result<Duration> {
        let (report, outcomes) = mpsc::sync_channel(1);
        // The receiver goes at the end of the closure, so that no client waits for its report to be taken.
        std::thread::scope(move |scope| {
            let mut last = None;
            for address in target.bootstrap.split(',').cycle() {
                let report = report.clone();
                scope.spawn(move || {
                    let outcome = self.attempt(address, place, into).map(|()| fault.elapsed());
                    // Nobody listens once another client's record was acknowledged.
                    drop(report.send(outcome));
                });
                match outcomes.recv_timeout(STEP) {
                    Ok(Ok(elapsed)) => return Ok(elapsed),
                    Ok(Err(error)) => last = Some(error),
                    Err(_) => {}
                }
                if fault.elapsed() > STUCK_LIMIT {
                    break;
                }
            }
            bail!("nothing was acknowledged in {place} for {STUCK_LIMIT:?}: {last:?}")
        })
    }

    /// One try by way of the node at `address`.
    ///
    /// # Errors
    /// When it fails.
    pub fn attempt(&self, address: &str, place: &Place, into: &Observations) -> Result<()> {
        let cluster = roles::view(&mut Connection::open_within(address, LIMIT)?, Some(&place.topic))?;
        let partition = cluster.partitions.get(place).context("no such partition")?;
        let leader = partition.leader.context("nobody leads it")?;
        let address = cluster.addresses.get(&leader).context("the leader has no address")?;
        let mut connection = Connection::open_within(address, ANSWER_LIMIT)?;
        let producer = self.next_producer.fetch_add(1, Ordering::Relaxed);
        let record = Identity { producer, sequence: 0 };
        let records = batch::encode(&[batch::record(0, None, encode(place, record).into())])?;
        let request = produce_request(&place.topic, place.partition, -1, records);
        let answer = produce(&mut connection, 9, &request);
        let (outcome, error) = match &answer {
            Err(_) => (Outcome::Unknown, None),
            Ok(answer) => match ResponseError::try_from_code(answer.error_code) {
                None => (Outcome::Acknowledged(Some(answer.base_offset)), None),
                // Refused before it was appended; any other may come after.
                Some(error @ ResponseError::NotEnoughReplicas) => (Outcome::Failed, Some(error)),
                Some(error) => (Outcome::Unknown, Some(error)),
            },
        };
        into.history.add_ended(Operation::Send { place: place.clone(), record, outcome });
        answer?;
        ensure!(error.is_none(), "Produce answered {error:?}");
        Ok(())
    }
}

/// Fresh clients that come to every partition for as long as a load runs.
#[derive(Debug)]
pub struct Visits(Worker);

impl Visits {
    /// The first ones come now.
    #[must_use]
    pub fn start(probe: &Arc<Probe>, target: &Target, into: &Arc<Observations>) -> Visits {
        let (probe, target, into) = (Arc::clone(probe), target.clone(), Arc::clone(into));
        Visits(Worker::start(move |stop| {
            let mut addresses = target.bootstrap.split(',').cycle();
            while !stop.load(Ordering::Relaxed) {
                for partition in 0..target.partitions {
                    let address = addresses.next().context("no node is known")?;
                    let place = Place::new(&target.topic, partition);
                    // What became of the record is in the history; during a fault many fail.
                    drop(probe.attempt(address, &place, &into));
                }
                let_pass(VISITS_STEP);
            }
            Ok(())
        }))
    }

    /// Lets no more of them come.
    ///
    /// # Errors
    /// When the thread failed.
    pub fn finish(&mut self) -> Result<()> {
        self.0.finish()
    }
}

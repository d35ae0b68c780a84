//! Producers within this program: one for each partition, which sends a batch at each tick of its clock and follows the
//! leader wherever that goes.
//!
//! A batch is sent when it is due, or as soon as those before it are acknowledged; its latency counts from when it was
//! due, so that a pause of the broker is felt by every batch that was due in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bytes::Bytes;
use parking_lot::Mutex;

use super::requests::{Refusal, View, connect, produce};
use crate::clock::{Stopwatch, pause};
use crate::connection::Connection;

/// How long after a refusal, or after nobody was found to lead, a producer looks for the leader. Larger rounds an outage
/// up, smaller takes CPU from the nodes that are to end it.
const RETRY: Duration = Duration::from_millis(20);

/// What no producer that keeps its pace is ever behind on a machine that is not overloaded.
const PUNCTUAL: Duration = Duration::from_millis(250);
/// How long producers may be behind.
const LIMIT: Duration = Duration::from_secs(120);

/// What every producer sends.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) topic: &'static str,
    pub(super) partitions: i32,
    pub(super) batch: Bytes,
    pub(super) interval: Duration,
}

/// The moments of an acknowledged batch, on the clock of its [`Probes`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledged {
    pub(super) due: Duration,
    /// When it was sent for the last time.
    pub(super) sent: Duration,
    pub(super) at: Duration,
}

/// Producers, which end with this value.
pub(super) struct Probes {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    load: Load,
    addresses: Vec<(u8, SocketAddr)>,
    clock: Stopwatch,
    is_over: AtomicBool,
    /// By partition.
    acknowledged: Mutex<Vec<Vec<Acknowledged>>>,
    failure: Mutex<Option<anyhow::Error>>,
}

impl Probes {
    /// Starts a producer for each partition.
    pub(super) fn start(load: Load, addresses: Vec<(u8, SocketAddr)>) -> Self {
        let partitions = load.partitions;
        let shared = Arc::new(Shared {
            load,
            addresses,
            clock: Stopwatch::start(),
            is_over: AtomicBool::new(false),
            acknowledged: Mutex::new((0..partitions).map(|_| Vec::new()).collect()),
            failure: Mutex::default(),
        });
        let thread = |partition| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let outcome = Producer { shared: &shared, partition, leader: None, turn: 0 }.live();
                if let Err(error) = outcome {
                    shared.failure.lock().get_or_insert(error);
                }
            })
        };
        let threads = (0..partitions).map(thread).collect();
        Self { shared, threads }
    }

    /// The time on their clock.
    pub(super) fn now(&self) -> Duration {
        self.shared.clock.elapsed()
    }

    /// Of each partition, the first acknowledgement of a batch that was sent at `moment` or later.
    pub(super) fn first_since(&self, moment: Duration) -> Result<Vec<Option<Duration>>> {
        self.must_go_on()?;
        let acknowledged = self.shared.acknowledged.lock();
        let first = |batches: &Vec<Acknowledged>| {
            // In order, and the last ones are those that may count.
            let recent = batches.iter().rev().take_while(|batch| batch.sent >= moment);
            recent.last().map(|batch| batch.at)
        };
        Ok(acknowledged.iter().map(first).collect())
    }

    /// The sorted latencies of the batches that were due from `start` to before `end`, every one of which must be
    /// acknowledged by now.
    pub(super) fn latencies(&self, start: Duration, end: Duration) -> Result<Vec<Duration>> {
        self.must_go_on()?;
        let acknowledged = self.shared.acknowledged.lock();
        let batches = acknowledged.iter().flatten().filter(|batch| batch.due >= start && batch.due < end);
        let mut latencies: Vec<Duration> = batches.map(|batch| batch.at.saturating_sub(batch.due)).collect();
        latencies.sort_unstable();
        Ok(latencies)
    }

    /// Waits until every partition has acknowledged what was due until now.
    pub(super) fn wait_for_all_due(&self) -> Result<()> {
        let now = self.now();
        self.wait_for_last(|batch| batch.due >= now)
    }

    /// Waits until no producer is behind any more: a JVM that is not warm, or an outage, leaves it with much to send.
    pub(super) fn wait_until_punctual(&self) -> Result<()> {
        self.wait_for_last(|batch| batch.at.saturating_sub(batch.due) < PUNCTUAL)
    }

    fn wait_for_last(&self, is_done: impl Fn(&Acknowledged) -> bool) -> Result<()> {
        let started = Stopwatch::start();
        while started.elapsed() < LIMIT {
            self.must_go_on()?;
            let acknowledged = self.shared.acknowledged.lock();
            if acknowledged.iter().all(|batches| batches.last().is_some_and(&is_done)) {
                return Ok(());
            }
            drop(acknowledged);
            pause(RETRY);
        }
        Err(anyhow!("a producer is still behind after {LIMIT:?}"))
    }

    fn must_go_on(&self) -> Result<()> {
        match self.shared.failure.lock().take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                eprintln!("a producer panicked");
            }
        }
    }
}

struct Producer<'a> {
    shared: &'a Shared,
    partition: i32,
    leader: Option<Connection>,
    /// Which node is asked next who leads.
    turn: usize,
}

impl Producer<'_> {
    fn live(&mut self) -> Result<()> {
        let mut due = self.shared.clock.elapsed();
        loop {
            let Some(sent) = self.produce()? else { return Ok(()) };
            let batch = Acknowledged { due, sent, at: self.shared.clock.elapsed() };
            let place = usize::try_from(self.partition)?;
            self.shared.acknowledged.lock().get_mut(place).context("a list for each partition")?.push(batch);
            due += self.shared.load.interval;
            pause(due.saturating_sub(self.shared.clock.elapsed()));
        }
    }

    /// Sends one batch until it is acknowledged; answers when it was sent for the last time, or nothing when all is over.
    fn produce(&mut self) -> Result<Option<Duration>> {
        let Load { topic, batch, .. } = &self.shared.load;
        while !self.shared.is_over.load(Ordering::Relaxed) {
            if self.leader.is_none() {
                self.leader = self.find_leader();
            }
            let sent = self.shared.clock.elapsed();
            let outcome = match &mut self.leader {
                Some(leader) => produce(leader, topic, &[self.partition], batch),
                None => Err(Refusal::NotNow),
            };
            match outcome {
                Ok(()) => return Ok(Some(sent)),
                Err(Refusal::Never(error)) => return Err(error),
                Err(Refusal::NotNow) => {
                    self.leader = None;
                    pause(RETRY);
                }
            }
        }
        Ok(None)
    }

    /// Asks the next node.
    fn find_leader(&mut self) -> Option<Connection> {
        let addresses = &self.shared.addresses;
        self.turn += 1;
        let (_, asked) = addresses.get(self.turn % addresses.len().max(1))?;
        let view = View::of(&mut connect(*asked).ok()?, Some(self.shared.load.topic)).ok()?;
        let partition = view.partitions.iter().find(|partition| partition.number == self.partition)?;
        let leader = partition.leader?;
        let (_, address) = addresses.iter().find(|(id, _)| *id == leader)?;
        connect(*address).ok()
    }
}

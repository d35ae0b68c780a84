//! Loads on a set of nodes by clients with their default settings, `acks=all` and idempotence, each record unique.
//!
//! [`traffic`] runs them all at once beside readers and watchers, and says in the end whether what they saw may be. Each
//! client numbers its records for each partition from 0, and sends one to every partition at each step.

pub mod committer;
pub mod librdkafka;
pub mod probe;
pub mod program;
pub mod progress;
pub mod reader;
pub mod retries;
pub mod traffic;
pub mod watcher;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow};

use self::progress::Progress;
use crate::history::History;

/// How many complaints of clients are kept; a fault makes each of them complain many times.
const COMPLAINTS_MAX: usize = 200;

/// What all parts of a load write into.
#[derive(Debug, Default)]
pub struct Observations {
    /// What was done and seen.
    pub history: History,
    /// When records were acknowledged.
    pub progress: Progress,
    complaints: Mutex<Vec<String>>,
}

impl Observations {
    /// Keeps what a client complained of, to be shown if something is wrong.
    pub fn complain(&self, who: &str, what: &str) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.len() < COMPLAINTS_MAX {
            complaints.push(format!("{who}: {what}"));
        }
    }

    /// What clients complained of first.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A thread that works until it is told to stop, which it is at the latest when this is dropped.
#[derive(Debug)]
struct Worker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Worker {
    /// Starts a thread that looks at the flag often.
    fn start(work: impl FnOnce(&AtomicBool) -> Result<()> + Send + 'static) -> Worker {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        Worker { stop, thread: Some(std::thread::spawn(move || work(&until))) }
    }

    /// Tells it to stop, and waits until it has.
    fn finish(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("a worker finishes once")?;
        thread.join().map_err(|_| anyhow!("a worker panicked"))?
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

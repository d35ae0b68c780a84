//! A few threads that wait for the disk, so that the device can merge the flushes of several files.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use crate::disk::DiskError;

type Task = Box<dyn FnOnce() -> Result<(), DiskError> + Send>;

/// Tasks that wait in the channels. Fewer make the flusher wait to hand them out, more only take memory.
const QUEUE_LEN: usize = 64;

/// The threads; they end when this is dropped.
pub(crate) struct SyncPool {
    tasks: Option<SyncSender<Task>>,
    results: Receiver<Result<(), DiskError>>,
    threads: Vec<JoinHandle<()>>,
}

impl SyncPool {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn start(count: usize) -> std::io::Result<Self> {
        let (tasks, waiting) = sync_channel::<Task>(QUEUE_LEN);
        let (finished, results) = sync_channel(QUEUE_LEN);
        let waiting = Arc::new(Mutex::new(waiting));
        let start = |index| {
            let (waiting, finished) = (Arc::clone(&waiting), finished.clone());
            std::thread::Builder::new().name(format!("sync-{index}")).spawn(move || work(&waiting, &finished))
        };
        let threads = (0..count.max(1)).map(start).collect::<Result<_, _>>()?;
        Ok(Self { tasks: Some(tasks), results, threads })
    }

    /// Runs all tasks, and answers the first error once every task has ended and is dropped.
    pub(crate) fn run<F>(&self, tasks: impl Iterator<Item = F>) -> Result<(), DiskError>
    where
        F: FnOnce() -> Result<(), DiskError> + Send + 'static,
    {
        let sender = self.tasks.as_ref().expect("the channel is there until the pool is dropped");
        let mut running = 0;
        let mut outcome = Ok(());
        let mut take = |running: &mut usize| {
            let result = self.results.recv().expect("the threads of the pool run as long as it does");
            *running -= 1;
            outcome = std::mem::replace(&mut outcome, Ok(())).and(result);
        };
        for task in tasks {
            // Never more in flight than the channel of results holds, so that neither side can block the other.
            if running == QUEUE_LEN {
                take(&mut running);
            }
            sender.send(Box::new(task)).expect("the threads of the pool run as long as it does");
            running += 1;
        }
        while running > 0 {
            take(&mut running);
        }
        outcome
    }
}

fn work(waiting: &Mutex<Receiver<Task>>, finished: &SyncSender<Result<(), DiskError>>) {
    loop {
        let Ok(task) = waiting.lock().recv() else { return };
        let result = task();
        if finished.send(result).is_err() {
            return;
        }
    }
}

impl Drop for SyncPool {
    fn drop(&mut self) {
        self.tasks = None;
        for thread in self.threads.drain(..) {
            // A panic of a thread was reported when it happened.
            drop(thread.join());
        }
    }
}

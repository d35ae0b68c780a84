//! Group commit: one thread for each log directory writes what all its logs have appended to the disk, in rounds.
//!
//! What is appended while a round runs belongs to the next one. [`FlushWindow`] decides when a round starts (core);
//! [`Flusher`] keeps the queue and runs the rounds (shell).
//!
//! Invariants: one round at a time; a log's flushed end moves only after everything of the round is synced, and the disk
//! has confirmed it (a sync that is overtaken by the end of its file system may report success all the same); after an
//! error nothing is ever reported as flushed again, and the log directory is offline.
//! Absent: retries. Source of the figures behind the ways to sync: DESIGN.md §3.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::disk::{Disk, DiskError, DiskFile};
use crate::log::{FlushWork, Log, SegmentFlush};
use crate::log_dir::Shared;

mod pool;

pub(crate) use pool::SyncPool;

/// When more directories than this have new names, one sync of the file system takes the place of all others. Fewer makes
/// a round wait for what others wrote to a shared file system; more makes the first records of many new partitions slow.
const DIRECTORY_SYNCS_MAX: usize = 16;

/// From this many files on, a round waits for them on several threads. Smaller: handing few files to threads costs more
/// processor time than it saves (producing 1 KiB records to 6 partitions, broker on one core: 2.5 CPU-seconds per GB
/// with threads for every round of more than one file, 2.1 without). Larger: the device's flushes of a round follow one another instead of merging.
const PARALLEL_FILES_MIN: usize = 16;

/// When a round starts: at once after idleness, otherwise when enough waits or enough time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushWindow {
    /// So many waiting bytes start a round. More makes rounds rarer and acknowledgements later.
    pub bytes: u64,
    /// So much time after the start of the last round, a round starts whatever waits. Longer saves CPU and device
    /// flushes and delays acknowledgements.
    pub interval: Duration,
}

impl Default for FlushWindow {
    /// Measured at 131 MB/s over 6 files: without a window flushing costs 1.6 CPU-seconds per GB, with this one 0.34.
    fn default() -> Self {
        Self { bytes: 256 * 1024, interval: Duration::from_millis(2) }
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushDecision {
    /// Nothing waits.
    Idle,
    /// Start a round.
    Start,
    /// Start a round after this much time, unless more arrives.
    After(Duration),
}

impl FlushWindow {
    /// Whether a round starts at `now`, when the last one began at `last_began` and `waiting_bytes` wait since.
    #[must_use]
    pub fn decide(
        &self,
        now: Duration,
        last_began: Option<Duration>,
        is_anything_waiting: bool,
        waiting_bytes: u64,
    ) -> FlushDecision {
        let due = last_began.map_or(now, |began| began + self.interval);
        if !is_anything_waiting {
            FlushDecision::Idle
        } else if waiting_bytes >= self.bytes || now >= due {
            FlushDecision::Start
        } else {
            FlushDecision::After(due - now)
        }
    }
}

/// The queue of logs with something to flush.
pub(crate) struct Flusher<D: Disk> {
    window: FlushWindow,
    queue: Mutex<Queue<D>>,
    wake: Condvar,
    waiting_bytes: AtomicU64,
    /// Held by the round that runs.
    round: Mutex<()>,
}

struct Queue<D: Disk> {
    logs: Vec<Arc<Log<D>>>,
    /// The least `flush.ms` of the logs that wait, where that counts.
    interval_max: Option<Duration>,
    is_stopped: bool,
}

impl<D: Disk> Queue<D> {
    fn take(&mut self) -> Vec<Arc<Log<D>>> {
        self.interval_max = None;
        std::mem::take(&mut self.logs)
    }
}

impl<D: Disk> Flusher<D> {
    pub(crate) fn new(window: FlushWindow) -> Self {
        Self {
            window,
            queue: Mutex::new(Queue { logs: Vec::new(), interval_max: None, is_stopped: false }),
            wake: Condvar::new(),
            waiting_bytes: AtomicU64::new(0),
            round: Mutex::new(()),
        }
    }

    /// Notes that `log` has `bytes` more to flush.
    pub(crate) fn mark_dirty(&self, log: &Arc<Log<D>>, bytes: u64) {
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let is_enough = before < self.window.bytes && before + bytes >= self.window.bytes;
        if log.is_in_flush_queue() && !is_enough {
            return;
        }
        let mut queue = self.queue.lock();
        let mut is_urgent = queue.logs.is_empty();
        // Under the queue's lock: who finds the log marked must find it in the queue, or in a round that has yet to look
        // at its end. A checkpoint relies on that.
        if log.enter_flush_queue() {
            queue.logs.push(Arc::clone(log));
            if let Some(interval) = log.flush_interval().filter(|interval| *interval < self.window.interval) {
                is_urgent |= queue.interval_max.is_none_or(|least| interval < least);
                queue.interval_max = Some(queue.interval_max.map_or(interval, |least| least.min(interval)));
            }
        }
        if is_urgent || is_enough {
            self.wake.notify_one();
        }
    }

    /// Does something that must not overlap with a round.
    pub(crate) fn between_rounds<T>(&self, action: impl FnOnce() -> T) -> T {
        let _round = self.round.lock();
        action()
    }

    /// Forgets what waits, when nobody will flush any more. Logs know their flusher: the queue would keep both alive.
    pub(crate) fn clear(&self) {
        self.queue.lock().take();
    }

    /// Ends the thread's loop after the round that runs.
    pub(crate) fn stop(&self) {
        self.queue.lock().is_stopped = true;
        self.wake.notify_one();
    }

    /// The thread: a round whenever the window says so, until [`Self::stop`].
    pub(crate) fn run(&self, shared: &Shared<D>, pool: &SyncPool) {
        let mut last_began = None;
        loop {
            let mut queue = self.queue.lock();
            while !queue.is_stopped {
                match self.decide(&queue, (shared.settings.now)(), last_began) {
                    FlushDecision::Start => break,
                    FlushDecision::Idle => self.wake.wait(&mut queue),
                    FlushDecision::After(time) => drop(self.wake.wait_for(&mut queue, time)),
                }
            }
            if queue.is_stopped {
                return;
            }
            drop(queue);
            last_began = Some((shared.settings.now)());
            self.round(shared, Some(pool));
        }
    }

    /// Whether a round starts at `now`, when the last one began at `last_began`. What waits was appended since, so that a
    /// window as short as its `flush.ms` flushes it in that time.
    fn decide(&self, queue: &Queue<D>, now: Duration, last_began: Option<Duration>) -> FlushDecision {
        let interval = queue.interval_max.map_or(self.window.interval, |most| most.min(self.window.interval));
        let window = FlushWindow { interval, ..self.window };
        window.decide(now, last_began, !queue.logs.is_empty(), self.waiting_bytes.load(Ordering::Relaxed))
    }

    /// What [`Self::run`] would do now.
    #[cfg(test)]
    pub(crate) fn decide_now(&self, now: Duration, last_began: Option<Duration>) -> FlushDecision {
        self.decide(&self.queue.lock(), now, last_began)
    }

    /// Flushes everything that waits. Without a pool, one file after the other.
    pub(crate) fn round(&self, shared: &Shared<D>, pool: Option<&SyncPool>) {
        let _round = self.round.lock();
        let logs = self.queue.lock().take();
        self.waiting_bytes.store(0, Ordering::Relaxed);
        if logs.is_empty() || shared.has_failed() {
            return;
        }
        let works: Vec<FlushWork<D>> = logs.iter().map(|log| log.begin_flush()).collect();
        // What says that the log ends on the disk comes last: until then, a success may be that of a sync too late.
        let synced =
            sync_all(shared, works, pool).and_then(|works| shared.lock_file.confirm_syncs().map(|()| works));
        match synced {
            Ok(works) => {
                logs.iter().zip(&works).for_each(|(log, work)| log.finish_flush(work));
                shared.note_flushed(works.iter().map(FlushWork::bytes).sum());
                shared.events.flushed(&logs);
            }
            Err(error) => shared.fail(error),
        }
    }
}

/// Writes all of it to the disk: records, the small files and the names of new files and directories.
fn sync_all<D: Disk>(
    shared: &Shared<D>,
    works: Vec<FlushWork<D>>,
    pool: Option<&SyncPool>,
) -> Result<Vec<FlushWork<D>>, DiskError> {
    let file_count: usize = works.iter().map(|work| work.segments.len()).sum();
    let directory_count = works.iter().filter(|work| work.dirty_directory.is_some()).count();
    if shared.is_own_file_system && file_count > 1 || directory_count > DIRECTORY_SYNCS_MAX {
        sync_file_system(shared, &works)?;
        return Ok(works);
    }
    let works = match pool {
        Some(pool) if file_count >= PARALLEL_FILES_MIN => sync_in_parallel(works, pool)?,
        Some(_) | None => {
            if file_count > 1 {
                start_all(&works)?;
            }
            works.iter().flat_map(|work| &work.segments).try_for_each(SegmentFlush::sync)?;
            works
        }
    };
    for work in &works {
        work.partition_metadata.as_ref().map_or(Ok(()), |file| file.sync_data())?;
        if let Some(directory) = &work.dirty_directory {
            shared.disk.sync_dir(directory)?;
        }
    }
    if works.iter().any(FlushWork::is_parent_dirty) {
        shared.disk.sync_dir(&shared.path)?;
    }
    Ok(works)
}

/// One sync for all files. XFS's often sends no flush to the device, so a sync of one of the files follows.
fn sync_file_system<D: Disk>(shared: &Shared<D>, works: &[FlushWork<D>]) -> Result<(), DiskError> {
    let mut segments = works.iter().flat_map(|work| &work.segments);
    segments.clone().try_for_each(SegmentFlush::prepare_file_system_sync)?;
    shared.disk.sync_file_system(Path::new(&shared.path))?;
    segments.next().map_or(Ok(()), |segment| segment.open.file.sync_data())
}

fn start_all<D: Disk>(works: &[FlushWork<D>]) -> Result<(), DiskError> {
    works.iter().flat_map(|work| &work.segments).try_for_each(SegmentFlush::start_writeback)
}

/// Starts the writing of all files, then waits for each on the pool, so that the device's flushes merge.
fn sync_in_parallel<D: Disk>(
    works: Vec<FlushWork<D>>,
    pool: &SyncPool,
) -> Result<Vec<FlushWork<D>>, DiskError> {
    start_all(&works)?;
    let works = Arc::new(works);
    let tasks =
        works.iter().enumerate().flat_map(|(work, one)| (0..one.segments.len()).map(move |s| (work, s)));
    let tasks = tasks.map(|(work, segment)| {
        let works = Arc::clone(&works);
        move || works.get(work).and_then(|work| work.segments.get(segment)).map_or(Ok(()), SegmentFlush::sync)
    });
    pool.run(tasks)?;
    // The pool dropped every task before it answered, so this is the last reference.
    Ok(Arc::into_inner(works).expect("the tasks of a round are gone when it ends"))
}

#[cfg(test)]
mod tests {
    use super::{FlushDecision, FlushWindow};
    use std::time::Duration;

    #[test]
    fn round_starts_at_once_after_idleness_and_otherwise_by_bytes_or_time() {
        let window = FlushWindow { bytes: 100, interval: Duration::from_millis(2) };
        let ms = Duration::from_millis;
        assert_eq!(window.decide(ms(5), None, false, 0), FlushDecision::Idle);
        assert_eq!(window.decide(ms(5), None, true, 1), FlushDecision::Start);
        assert_eq!(window.decide(ms(5), Some(ms(3)), true, 1), FlushDecision::Start);
        assert_eq!(window.decide(ms(5), Some(ms(4)), true, 1), FlushDecision::After(ms(1)));
        assert_eq!(window.decide(ms(5), Some(ms(4)), true, 100), FlushDecision::Start);
    }
}

//! What the logs of a directory share: the disk, the settings, the flusher and whether appends are possible.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::written::Written;
use crate::disk::{Disk, DiskError};
use crate::error::LogDirFailure;
use crate::flusher::{FlushWindow, Flusher};
use crate::log::Log;
use crate::segment::{OpenSegments, Segment};

/// Who runs the rounds of the flusher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushDriver {
    /// A thread of the log directory.
    Thread {
        /// How many threads wait for the disk when a round has several files.
        sync_threads: usize,
    },
    /// The caller, by [`super::LogDir::flush_round`]: for deterministic tests.
    Manual,
}

/// How a log directory works.
#[derive(Clone)]
pub struct LogDirSettings {
    /// When rounds of the flusher start.
    pub flush_window: FlushWindow,
    /// Whether a topic's `flush.ms` shortens that window.
    pub honours_flush_ms: bool,
    /// Who runs them.
    pub flush_driver: FlushDriver,
    /// Appends are refused while the disk has less space than this. Smaller lets the disk fill up before the node says
    /// so, and then checkpoints and metadata fail; larger wastes disk.
    pub free_space_floor_bytes: u64,
    /// How many partitions are opened at the same time (`num.recovery.threads.per.data.dir`).
    pub recovery_threads: usize,
    /// How many segments are open for reading. Each takes a descriptor and a mapping, of which Linux gives a process
    /// 65,530; fewer means more opening on reads of old data.
    pub open_segments_max: usize,
    /// A checkpoint may leave the states of logs unwritten while no more than this lies behind them in all, which a start
    /// after a crash reads and checks (some 0.3 s/GB of processor time). Less: with many partitions, their states are written
    /// all the time.
    pub unwritten_bytes_max: u64,
    /// When so much was flushed since the last checkpoint, another one is asked for. More: a start after a crash, which
    /// reads and writes all of that once more, takes longer. Less: more syncs beside those that make records durable.
    pub checkpoint_bytes: u64,
    /// The time since any fixed moment, which never goes back.
    pub now: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl LogDirSettings {
    /// The defaults, with a monotonic clock.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self {
            flush_window: FlushWindow::default(),
            honours_flush_ms: false,
            flush_driver: FlushDriver::Thread { sync_threads: 4 },
            free_space_floor_bytes: 256 * 1024 * 1024,
            recovery_threads: 2,
            open_segments_max: 4096,
            unwritten_bytes_max: 512 * 1024 * 1024,
            checkpoint_bytes: 128 * 1024 * 1024,
            now: Arc::new(now),
        }
    }
}

impl std::fmt::Debug for LogDirSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LogDirSettings")
            .field("flush_window", &self.flush_window)
            .field("flush_driver", &self.flush_driver)
            .field("free_space_floor_bytes", &self.free_space_floor_bytes)
            .field("recovery_threads", &self.recovery_threads)
            .finish_non_exhaustive()
    }
}

/// Who is told what happens to the logs of a directory. It must not wait.
pub trait LogDirEvents<D: Disk>: Send + Sync {
    /// The flushed ends of these logs have moved. Called on the thread that ran the round, after all ends are set.
    fn flushed(&self, logs: &[Arc<Log<D>>]);

    /// Much was flushed since the last checkpoint: [`super::LogDir::checkpoint_early`] is to be called soon. Called on the
    /// thread that ran the round.
    fn checkpoint_due(&self) {}

    /// The log directory is offline: nothing is flushed from now on, and appends fail. Called once, on the thread that
    /// found out: the flusher's, or an appending one that has its log locked. It must not use the logs.
    fn failed(&self, failure: &LogDirFailure);
}

/// What the logs of a directory share.
pub(crate) struct Shared<D: Disk> {
    pub(crate) disk: D,
    pub(crate) path: PathBuf,
    pub(crate) settings: LogDirSettings,
    pub(crate) events: Arc<dyn LogDirEvents<D>>,
    pub(crate) flusher: Flusher<D>,
    /// The file of the lock, which is never written: by it syncs are confirmed.
    pub(crate) lock_file: D::File,
    pub(crate) open_segments: OpenSegments<D>,
    /// What every log begins with that has none.
    pub(crate) no_segments: Arc<Vec<Arc<Segment<D>>>>,
    /// One checkpoint at a time, and no log is deleted or cut meanwhile. Holds what was written last. Before all locks of
    /// logs.
    pub(crate) checkpointing: Mutex<Written>,
    /// Nobody else's data is on the file system, so that a sync of all of it waits for nobody else.
    pub(crate) is_own_file_system: bool,
    /// How many partitions are opened at the same time.
    pub(super) recovery_threads: AtomicUsize,
    /// Bytes that were flushed since the last checkpoint began.
    flushed_bytes: AtomicU64,
    has_failed: AtomicBool,
    is_closed: AtomicBool,
    is_below_floor: AtomicBool,
}

impl<D: Disk> Shared<D> {
    pub(super) fn new(
        disk: D,
        path: PathBuf,
        lock_file: D::File,
        settings: LogDirSettings,
        events: Arc<dyn LogDirEvents<D>>,
    ) -> Self {
        Self {
            lock_file,
            is_own_file_system: disk.is_own_file_system(&path),
            flusher: Flusher::new(settings.flush_window),
            open_segments: OpenSegments::new(settings.open_segments_max),
            no_segments: Arc::default(),
            checkpointing: Mutex::default(),
            recovery_threads: AtomicUsize::new(settings.recovery_threads),
            disk,
            path,
            settings,
            events,
            flushed_bytes: AtomicU64::new(0),
            has_failed: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            is_below_floor: AtomicBool::new(false),
        }
    }

    /// Whether the directory has failed, so that nothing may be reported as flushed any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Whether appends are over: the directory has failed or is closed.
    pub(crate) fn is_offline(&self) -> bool {
        self.has_failed() || self.is_closed.load(Ordering::Acquire)
    }

    /// Takes the directory offline for good. Only the first failure is told.
    pub(crate) fn fail(&self, error: DiskError) {
        if !self.has_failed.swap(true, Ordering::AcqRel) {
            self.events.failed(&LogDirFailure { path: self.path.clone(), error });
        }
    }

    /// So many bytes were flushed. Where they make a checkpoint due, that is said once until it begins.
    pub(crate) fn note_flushed(&self, bytes: u64) {
        let before = self.flushed_bytes.fetch_add(bytes, Ordering::Relaxed);
        let due = self.settings.checkpoint_bytes;
        if before < due && before + bytes >= due {
            self.events.checkpoint_due();
        }
    }

    pub(super) fn begin_checkpoint(&self) {
        self.flushed_bytes.store(0, Ordering::Relaxed);
    }

    /// Refuses appends from now on.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Whether too little space is left for appends.
    pub(crate) fn is_below_floor(&self) -> bool {
        self.is_below_floor.load(Ordering::Relaxed)
    }

    pub(super) fn set_free_bytes(&self, free_bytes: u64) {
        let is_below = free_bytes < self.settings.free_space_floor_bytes;
        if self.is_below_floor.swap(is_below, Ordering::Relaxed) != is_below {
            let path = self.path.display();
            let [free, floor] = [free_bytes, self.settings.free_space_floor_bytes].map(|bytes| bytes >> 20);
            if is_below {
                tracing::warn!(
                    "the disk is nearly full: {path} has {free} MiB left, less than ottla.free.space.floor.bytes \
                     ({floor} MiB), and records are refused until there is more; delete topics or lower their \
                     retention, or give it more space"
                );
            } else {
                tracing::info!("the disk of {path} has space again ({free} MiB): records are accepted");
            }
        }
    }
}

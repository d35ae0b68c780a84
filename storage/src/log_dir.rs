//! A directory that holds the logs of many partitions, in Apache Kafka's layout.
//!
//! ```text
//! .lock                               held by the process that uses the directory
//! meta.properties                     whose it is: cluster, node, directory; and the version of our format
//! recovery-point-offset-checkpoint    per partition: where a start begins to read
//! cleaner-offset-checkpoint           per compacted partition: where the part begins that compaction has not seen
//! log-start-offset-checkpoint         per partition: the start, where it is above the first segment's
//! replication-offset-checkpoint       per partition: the high watermark
//! .kafka_cleanshutdown                there after a clean stop
//! <topic>-<partition>/                one log
//! <topic>-<partition>.<uuid>-delete/  a deleted one, to be removed
//! <topic>-<partition>.<uuid>-stray/   one that nobody asked for, kept for a person to look at
//! ```
//!
//! Invariants: one process uses a directory at a time; no record is removed but by retention and deletion; what a start
//! writes is on the disk when [`LogDir::load`] returns. Absent: clocks, and deciding when to do any of this.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic;
use std::thread::JoinHandle;

use config::topic::TopicConfig;
use parking_lot::{Mutex, RwLock};

use crate::checkpoint::decode_offsets;
use crate::disk::{Access, Disk, DiskError};
use crate::error::OpenError;
use crate::flusher::SyncPool;
use crate::ids::{BrokerEpoch, BrokerId, Offset, TopicId, TopicPartition};
use crate::leader_epochs::LeaderEpochs;
use crate::log::{AbortedBySegment, Appender, CheckpointedLog, Log, LogState};
use crate::segment::PartitionDirectory;

pub(crate) mod files;
mod load;
mod meta;
mod shared;
mod stop;
mod written;

pub use load::{Damage, Loaded};
pub use meta::MetaProperties;
pub use shared::{FlushDriver, LogDirEvents, LogDirSettings};

pub(crate) use shared::Shared;
pub(crate) use written::{CheckpointBounds, Written};

const LOCK: &str = ".lock";
const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const LOG_START_OFFSETS: &str = "log-start-offset-checkpoint";
const CLEANED_ENDS: &str = "cleaner-offset-checkpoint";
const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";

/// A checkpoint of offsets is never read beyond this: a million partitions with long names.
const CHECKPOINT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Directories of deleted logs that are renamed between two rounds of the flusher. Larger: acknowledgements wait longer while a
/// large topic goes. Smaller: the topic waits for more rounds.
const RENAMED_AT_ONCE: usize = 64;

/// The logs of one directory.
pub struct LogDir<D: Disk> {
    shared: Arc<Shared<D>>,
    logs: RwLock<BTreeSet<ByName<D>>>,
    flusher: Mutex<Option<JoinHandle<()>>>,
    /// Of the stop before this start, where it was clean and nothing was written since.
    clean_stop: Option<BrokerEpoch>,
    meta: Mutex<Option<MetaProperties>>,
    _lock: D::Lock,
}

/// A log, found by the name that it holds itself: a node with very many partitions keeps each name once.
struct ByName<D: Disk>(Arc<Log<D>>);

impl<D: Disk> Borrow<TopicPartition> for ByName<D> {
    fn borrow(&self) -> &TopicPartition {
        self.0.topic_partition()
    }
}

impl<D: Disk> Ord for ByName<D> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.topic_partition().cmp(other.0.topic_partition())
    }
}

impl<D: Disk> PartialOrd for ByName<D> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<D: Disk> PartialEq for ByName<D> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<D: Disk> Eq for ByName<D> {}

impl<D: Disk> LogDir<D> {
    /// Opens the directory, creating it where it is missing, and takes its lock. A marker of a clean stop is taken away
    /// before anything else is written. No log is opened yet.
    ///
    /// # Errors
    /// [`OpenError`]: somebody else uses it, it is Kafka's or a newer version's, or the disk failed.
    pub fn open(
        disk: D,
        path: &Path,
        settings: LogDirSettings,
        events: Arc<dyn LogDirEvents<D>>,
    ) -> Result<Self, OpenError> {
        create_path(&disk, path)?;
        let lock_path = path.join(LOCK);
        let lock = disk.lock(&lock_path)?;
        let lock = lock.ok_or_else(|| OpenError::Locked { path: path.to_owned() })?;
        let meta = meta::read(&disk, path)?;
        let clean_stop = stop::take_marker(&disk, path)?;
        let lock_file = disk.open(&lock_path, Access::ReadWrite)?;
        let shared = Arc::new(Shared::new(disk, path.to_owned(), lock_file, settings, events));
        let free_bytes = shared.disk.free_bytes(path)?;
        shared.set_free_bytes(free_bytes);
        let flusher = match shared.settings.flush_driver {
            FlushDriver::Thread { sync_threads } => Some(
                start_flusher(&shared, sync_threads)
                    .map_err(|e| DiskError::new("start a thread for", path, e))?,
            ),
            FlushDriver::Manual => None,
        };
        Ok(Self {
            shared,
            logs: RwLock::default(),
            flusher: Mutex::new(flusher),
            clean_stop,
            meta: Mutex::new(meta),
            _lock: lock,
        })
    }

    /// Where this is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Whose directory it says that it is, or `None` where it is new.
    #[must_use]
    pub fn meta_properties(&self) -> Option<MetaProperties> {
        self.meta.lock().clone()
    }

    /// The run that stopped cleanly before this one; `None` where the last one did not.
    #[must_use]
    pub fn clean_stop_before(&self) -> Option<BrokerEpoch> {
        self.clean_stop
    }

    /// Checks that the directory is new or belongs to this node, whatever its cluster: nobody may speak in the name of
    /// another node before that is known.
    ///
    /// # Errors
    /// [`OpenError::Foreign`] where it belongs to another node.
    pub fn check_node_id(&self, node_id: BrokerId) -> Result<(), OpenError> {
        let meta = self.meta.lock();
        meta.as_ref().map_or(Ok(()), |known| known.check(&self.shared.path, &known.cluster_id, node_id))
    }

    /// Checks that a directory which does not say whose it is holds no partitions. A start that goes on would make a cluster
    /// that knows none of them, set them aside, and serve nothing of what they hold.
    ///
    /// # Errors
    /// [`OpenError::Unclaimed`] where it holds some; a failing disk.
    pub fn check_unclaimed_is_empty(&self) -> Result<(), OpenError> {
        if self.meta.lock().is_some() {
            return Ok(());
        }
        let path = &self.shared.path;
        let entries = self.shared.disk.list(path)?;
        let found =
            entries.into_iter().find(|entry| entry.is_directory && load::is_partition_directory(&entry.name));
        found.map_or(Ok(()), |entry| Err(OpenError::Unclaimed { path: path.clone(), found: entry.name }))
    }

    /// Writes whose directory this is, where it is new, and otherwise checks that it still belongs to the same.
    ///
    /// # Errors
    /// [`OpenError::Foreign`] where it belongs to another cluster or node; a failing disk.
    pub fn write_meta_properties(
        &self,
        cluster_id: &str,
        node_id: BrokerId,
    ) -> Result<MetaProperties, OpenError> {
        let mut meta = self.meta.lock();
        if let Some(known) = &*meta {
            known.check(&self.shared.path, cluster_id, node_id)?;
            return Ok(known.clone());
        }
        let written = MetaProperties::new(cluster_id, node_id);
        meta::write(&self.shared.disk, &self.shared.path, &written)?;
        *meta = Some(written.clone());
        Ok(written)
    }

    /// The log of a partition.
    #[must_use]
    pub fn log(&self, partition: &TopicPartition) -> Option<Arc<Log<D>>> {
        self.logs.read().get(partition).map(|ByName(log)| Arc::clone(log))
    }

    /// All logs, by their names.
    #[must_use]
    pub fn logs(&self) -> Vec<Arc<Log<D>>> {
        self.logs.read().iter().map(|ByName(log)| Arc::clone(log)).collect()
    }

    /// Creates an empty log, of which nothing is on the disk before its first record. Where there is one of that name
    /// already, that one is the answer.
    pub fn create_log(
        &self,
        partition: TopicPartition,
        topic_id: TopicId,
        config: Arc<TopicConfig>,
    ) -> Arc<Log<D>> {
        let mut logs = self.logs.write();
        if let Some(ByName(log)) = logs.get(&partition) {
            return Arc::clone(log);
        }
        let log = Arc::new(self.empty_log(partition, topic_id, config));
        logs.insert(ByName(Arc::clone(&log)));
        log
    }

    fn empty_log(&self, partition: TopicPartition, topic_id: TopicId, config: Arc<TopicConfig>) -> Log<D> {
        let directory = PartitionDirectory::new(self.shared.path.join(partition.to_string()));
        let state = LogState {
            segments: Vec::new(),
            log_start_offset: Offset(0),
            log_end_offset: Offset(0),
            epochs: LeaderEpochs::default(),
            aborted: AbortedBySegment::default(),
            appender: Appender::empty(Arc::new(directory), Offset(0)),
            checkpointed: CheckpointedLog::default(),
        };
        Log::new(Arc::clone(&self.shared), partition, topic_id, config, state)
    }

    /// Deletes logs: appends to them fail from now on, their directories are renamed, and their files go with the next
    /// [`Self::remove_deleted`]. That there is none is no error. All at once, since each step waits for the disk: the
    /// checkpoints are written and the directory is synced once, and rounds of the flusher run between the renames.
    ///
    /// # Errors
    /// The disk failed. The other logs are deleted all the same.
    pub fn delete_logs<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<(), DiskError> {
        let mut written = self.shared.checkpointing.lock();
        let gone: Vec<Arc<Log<D>>> = {
            let mut logs = self.logs.write();
            partitions.into_iter().filter_map(|partition| Some(logs.take(partition)?.0)).collect()
        };
        if gone.is_empty() {
            return Ok(());
        }
        // Before the directories go: another log of such a name must not be taken for this one.
        let (disk, path) = (&self.shared.disk, &self.shared.path);
        let names: BTreeSet<&TopicPartition> = gone.iter().map(|log| log.topic_partition()).collect();
        if let Err(error) = written.forget_others(disk, path, |known| !names.contains(known)) {
            tracing::warn!(%error, "what the checkpoints say of deleted logs is removed later");
        }
        let mut outcome = Ok(());
        for together in gone.chunks(RENAMED_AT_ONCE) {
            outcome = self.shared.flusher.between_rounds(|| {
                together.iter().fold(outcome, |outcome, log| {
                    let name = format!("{}.{}-delete", log.topic_partition(), uuid::Uuid::new_v4().simple());
                    outcome.and(log.delete(&path.join(name)))
                })
            });
        }
        outcome.and(disk.sync_dir(path))
    }

    /// Deletes one log, as [`Self::delete_logs`] does.
    ///
    /// # Errors
    /// The disk failed.
    pub fn delete_log(&self, partition: &TopicPartition) -> Result<(), DiskError> {
        self.delete_logs([partition])
    }

    /// Removes the files of deleted logs.
    ///
    /// # Errors
    /// The disk failed; the next call goes on.
    pub fn remove_deleted(&self) -> Result<(), DiskError> {
        let disk = &self.shared.disk;
        for entry in disk.list(&self.shared.path)? {
            if entry.is_directory && is_deleted(&entry.name) {
                let directory = self.shared.path.join(&entry.name);
                for file in disk.list(&directory)? {
                    disk.remove_file(&directory.join(file.name))?;
                }
                disk.remove_dir(&directory)?;
            }
        }
        Ok(())
    }

    /// Looks whether the directory is still there and how much space the disk has left. Below the floor, appends are
    /// refused until this finds more. A directory that was removed, moved or unmounted has failed: what is written into
    /// its open files is gone with them.
    pub fn look_at_disk(&self) {
        let (disk, path) = (&self.shared.disk, &self.shared.path);
        if let Err(error) = disk.modified(&path.join(LOCK))
            && error.is_not_found()
        {
            return self.shared.fail(DiskError { operation: "find", ..error });
        }
        match disk.free_bytes(path) {
            Ok(free_bytes) => self.shared.set_free_bytes(free_bytes),
            Err(error) => tracing::warn!(%error, "cannot tell how much space is left"),
        }
    }

    /// How much space the disk has left, in bytes.
    ///
    /// # Errors
    /// When the disk does not say.
    pub fn free_bytes(&self) -> Result<u64, DiskError> {
        self.shared.disk.free_bytes(&self.shared.path)
    }

    /// How much the file system of the directory holds in all, in bytes.
    ///
    /// # Errors
    /// When the disk does not say.
    pub fn total_bytes(&self) -> Result<u64, DiskError> {
        self.shared.disk.total_bytes(&self.shared.path)
    }

    /// From now on so many partitions are opened at the same time.
    pub fn set_recovery_threads(&self, count: usize) {
        self.shared.recovery_threads.store(count, atomic::Ordering::Relaxed);
    }

    /// Whether the disk has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shared.has_failed()
    }

    /// Whether appends are refused for want of space.
    #[must_use]
    pub fn is_below_free_space_floor(&self) -> bool {
        self.shared.is_below_floor()
    }

    /// Runs one round of the flusher on the caller's thread: everything that waits is on the disk afterwards, or the
    /// directory has failed.
    pub fn flush_round(&self) {
        self.shared.flusher.round(&self.shared, None);
    }

    /// Writes the high watermarks (exclusive ends of what is replicated) of all partitions, once the logs are loaded. A crash
    /// leaves all of the last ones or all of these. Those of a log that is deleted or cut meanwhile are to be left out, or
    /// lowered, by the next call.
    ///
    /// # Errors
    /// The disk failed or is full; what was written last is still there.
    pub fn write_high_watermarks(&self, offsets: &BTreeMap<TopicPartition, Offset>) -> Result<(), DiskError> {
        let mut written = self.shared.checkpointing.lock();
        written.write_high_watermarks(&self.shared.disk, &self.shared.path, offsets)
    }

    /// The high watermarks that were written last, never beyond where a log was cut since, and of no other life of a
    /// topic once [`Self::load`] has returned. A log may end before its high watermark all the same, where it lost what was
    /// not flushed. A file that is missing or damaged counts as empty.
    ///
    /// # Errors
    /// The disk failed.
    pub fn read_high_watermarks(&self) -> Result<BTreeMap<TopicPartition, Offset>, DiskError> {
        self.read_offsets(HIGH_WATERMARKS)
    }

    fn read_offsets(&self, name: &str) -> Result<BTreeMap<TopicPartition, Offset>, DiskError> {
        let path = self.shared.path.join(name);
        let Some(content) = files::read_file(&self.shared.disk, &path, CHECKPOINT_BYTES_MAX)? else {
            return Ok(BTreeMap::new());
        };
        let offsets = decode_offsets(&String::from_utf8_lossy(&content));
        Ok(offsets.unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "a checkpoint is damaged: starting without it");
            BTreeMap::new()
        }))
    }
}

impl<D: Disk> Drop for LogDir<D> {
    fn drop(&mut self) {
        self.shared.close();
        self.stop_flusher();
        self.shared.flusher.clear();
    }
}

impl<D: Disk> std::fmt::Debug for LogDir<D> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LogDir").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

fn start_flusher<D: Disk>(shared: &Arc<Shared<D>>, sync_threads: usize) -> std::io::Result<JoinHandle<()>> {
    let pool = SyncPool::start(sync_threads)?;
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name("flusher".into()).spawn(move || shared.flusher.run(&shared, &pool))
}

/// Whether this is the name that a deleted log has: that of a partition, a dot, an id, and `-delete`.
fn is_deleted(name: &str) -> bool {
    let renamed = name.strip_suffix("-delete").and_then(|rest| rest.rsplit_once('.'));
    renamed.is_some_and(|(partition, _id)| load::is_partition_directory(partition))
}

/// Creates a directory with all its parents, and flushes the names of those that are new.
fn create_path<D: Disk>(disk: &D, path: &Path) -> Result<(), DiskError> {
    if disk.list(path).is_ok() {
        return Ok(());
    }
    let parent: Option<PathBuf> =
        path.parent().map(Path::to_owned).filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = &parent {
        create_path(disk, parent)?;
    }
    disk.create_dir(path)?;
    disk.sync_dir(parent.as_deref().unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests;

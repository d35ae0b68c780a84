//! Opening all logs of a directory at a start, several at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use config::topic::TopicConfig;
use parking_lot::Mutex;

use super::files::{Unsynced, read_file, write_file};
use super::written::Written;
use super::{ByName, CLEANED_ENDS, LOG_START_OFFSETS, LogDir, RECOVERY_POINTS};
use crate::disk::{Disk, DiskFile as _};
use crate::error::OpenError;
use crate::ids::{BrokerEpoch, Offset, TimestampMs, TopicId, TopicPartition};
use crate::log::{Log, PARTITION_METADATA};
use crate::recovery::{Recovered, Recovery};
use crate::segment::PartitionDirectory;

/// `partition.metadata` is two short lines.
const METADATA_BYTES_MAX: u64 = 4096;

/// What a start found.
#[derive(Debug)]
pub struct Loaded<D: Disk> {
    /// The logs that were asked for, by their names.
    pub logs: Vec<Arc<Log<D>>>,
    /// What is wrong below the recovery points. It was not cut; somebody must look at it.
    pub damage: Vec<Damage>,
    /// Directories of partitions that nobody asked for, under the names that they were given.
    pub strays: Vec<PathBuf>,
    /// The broker's epoch at a clean stop, or `None` where this is a start after a crash, or the first.
    pub clean_stop: Option<BrokerEpoch>,
}

/// Something that was flushed and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Whose log it is.
    pub topic_partition: TopicPartition,
    /// The file.
    pub path: PathBuf,
    /// What is wrong, as the rest of a sentence that begins with the path.
    pub description: String,
}

type Wanted = (TopicPartition, TopicId, Arc<TopicConfig>);

impl<D: Disk> LogDir<D> {
    /// Opens the logs that are wanted, recovering those that need it. One without a directory is an empty log without
    /// files. Directories of other partitions, or of another life of the topic, are renamed to `-stray` and reported.
    /// Everything that this writes is on the disk when it returns. Producers count as active `now`, since no file says
    /// when they were.
    ///
    /// # Errors
    /// The disk failed.
    pub fn load(&self, wanted: Vec<Wanted>, now: TimestampMs) -> Result<Loaded<D>, OpenError> {
        let disk = &self.shared.disk;
        let mut wanted: BTreeMap<String, Wanted> =
            wanted.into_iter().map(|wanted| (wanted.0.to_string(), wanted)).collect();
        let recovery_points = self.read_offsets(RECOVERY_POINTS)?;
        let log_starts = self.read_offsets(LOG_START_OFFSETS)?;
        let cleaned_ends = self.read_offsets(CLEANED_ENDS)?;
        let mut written = Written {
            recovery_points: recovery_points.clone(),
            log_starts: log_starts.clone(),
            cleaned_ends: cleaned_ends.clone(),
            high_watermarks: self.read_high_watermarks()?,
        };
        let mut strays = Vec::new();
        let mut found = Vec::new();
        for entry in disk.list(&self.shared.path)?.into_iter().filter(|entry| entry.is_directory) {
            let path = self.shared.path.join(&entry.name);
            let topic_id = self.topic_id_in(&path)?;
            match wanted.remove(&entry.name) {
                Some(one) if topic_id.is_none_or(|topic_id| topic_id == one.1) => {
                    found.push((path, one, topic_id.is_none()));
                }
                other => {
                    if let Some(other) = other {
                        wanted.insert(entry.name.clone(), other);
                    }
                    if is_partition_directory(&entry.name) {
                        let name = format!("{}.{}-stray", entry.name, uuid::Uuid::new_v4().simple());
                        let stray = self.shared.path.join(name);
                        disk.rename(&path, &stray)?;
                        tracing::warn!(path = %stray.display(), "no topic has this partition: it was set aside");
                        strays.push(stray);
                    }
                }
            }
        }
        let known: BTreeSet<TopicPartition> = found.iter().map(|(_, one, _)| one.0.clone()).collect();
        written.forget_others(disk, &self.shared.path, |partition| known.contains(partition))?;
        *self.shared.checkpointing.lock() = written;
        let offset_of = |offsets: &BTreeMap<TopicPartition, Offset>, partition: &TopicPartition| {
            offsets.get(partition).copied().unwrap_or_default()
        };
        let jobs = found.into_iter().map(|(path, wanted, is_without_id)| {
            let recovery = Recovery {
                disk: disk.clone(),
                directory: Arc::new(PartitionDirectory::new(path)),
                config: Arc::clone(&wanted.2),
                // Compaction touches nothing that was not below the recovery point.
                recovery_point: offset_of(&recovery_points, &wanted.0)
                    .max(offset_of(&cleaned_ends, &wanted.0)),
                log_start_offset: offset_of(&log_starts, &wanted.0),
                is_clean: self.clean_stop.is_some(),
                now,
            };
            (wanted, recovery, is_without_id)
        });
        let recovered = self.recover_all(jobs.collect())?;
        self.take_in(recovered, wanted, strays, &cleaned_ends)
    }

    /// Recovers the logs on a few threads.
    fn recover_all(&self, jobs: Vec<Job<D>>) -> Result<Vec<Opened<D>>, OpenError> {
        let thread_count = self.shared.recovery_threads.load(Ordering::Relaxed).clamp(1, jobs.len().max(1));
        let jobs = Mutex::new(jobs.into_iter());
        let work = || {
            let mut opened = Vec::new();
            loop {
                let Some((wanted, recovery, is_without_id)) = jobs.lock().next() else { return Ok(opened) };
                let directory = Arc::clone(&recovery.directory);
                let mut recovered = recovery.recover()?;
                if is_without_id {
                    let path = directory.join(PARTITION_METADATA);
                    write_file(
                        &recovery.disk,
                        &path,
                        format!("version: 0\ntopic_id: {}", wanted.1).as_bytes(),
                    )?;
                    recovered.written.push(path);
                    recovered.is_directory_changed = true;
                }
                opened.push((wanted, directory, recovered));
            }
        };
        if thread_count == 1 {
            return work();
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..thread_count).map(|_| scope.spawn(work)).collect();
            let mut all = Vec::new();
            for thread in threads {
                all.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok(all)
        })
    }

    /// Syncs what recovery has written, and makes the logs known.
    fn take_in(
        &self,
        opened: Vec<Opened<D>>,
        without_directory: BTreeMap<String, Wanted>,
        strays: Vec<PathBuf>,
        cleaned_ends: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<Loaded<D>, OpenError> {
        let mut unsynced = Unsynced::default();
        let mut damage = Vec::new();
        let mut logs = BTreeMap::new();
        for ((topic_partition, topic_id, config), directory, recovered) in opened {
            recovered.written.into_iter().for_each(|path| unsynced.add_file(path));
            if recovered.is_directory_changed {
                unsynced.add_directory(directory.path());
            }
            for (path, description) in recovered.damage {
                damage.push(Damage { topic_partition: topic_partition.clone(), path, description });
            }
            let shared = Arc::clone(&self.shared);
            let log = Log::new(shared, topic_partition.clone(), topic_id, config, recovered.state);
            if let Some(cleaned_end) = cleaned_ends.get(&topic_partition) {
                log.set_cleaned_end_offset(*cleaned_end);
            }
            logs.insert(topic_partition, Arc::new(log));
        }
        unsynced.add_directory(self.shared.path.clone());
        unsynced.sync(&self.shared.disk, &self.shared.path)?;
        self.shared.lock_file.confirm_syncs()?;
        for (topic_partition, topic_id, config) in without_directory.into_values() {
            let log = self.empty_log(topic_partition.clone(), topic_id, config);
            logs.insert(topic_partition, Arc::new(log));
        }
        let all = logs.values().cloned().collect();
        self.logs.write().extend(logs.into_values().map(ByName));
        Ok(Loaded { logs: all, damage, strays, clean_stop: self.clean_stop })
    }

    /// The topic id that a partition's directory names, or `None` where it names none: a crash came before its flush.
    fn topic_id_in(&self, directory: &Path) -> Result<Option<TopicId>, OpenError> {
        let content = read_file(&self.shared.disk, &directory.join(PARTITION_METADATA), METADATA_BYTES_MAX)?;
        let text = String::from_utf8_lossy(&content.unwrap_or_default()).into_owned();
        let id = text.lines().find_map(|line| line.strip_prefix("topic_id:"));
        Ok(id.and_then(|id| TopicId::parse(id.trim())))
    }
}

type Job<D> = (Wanted, Recovery<D>, bool);
type Opened<D> = (Wanted, Arc<PartitionDirectory>, Recovered<D>);

/// Whether this is the name of a partition's directory: a topic, a dash, and a number.
pub(super) fn is_partition_directory(name: &str) -> bool {
    let Some((topic, partition)) = name.rsplit_once('-') else { return false };
    let is_number = !partition.is_empty() && partition.bytes().all(|digit| digit.is_ascii_digit());
    !topic.is_empty() && is_number
}

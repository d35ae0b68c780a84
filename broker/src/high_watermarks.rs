//! The high watermarks that a start begins with: `replication-offset-checkpoint`, written from time to time.
//!
//! A replica that comes to lead knows at least this much of what is committed, until its followers say more. A node alone
//! needs none: everything in its log is committed.

use crate::broker::Broker;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use storage::disk::DiskError;
use storage::disk::os::OsDisk;
use storage::ids::{Offset, TopicPartition};
use storage::log_dir::LogDir;

/// What the checkpoint holds.
#[derive(Debug, Default)]
pub(crate) struct HighWatermarks {
    written: Mutex<BTreeMap<TopicPartition, Offset>>,
}

impl HighWatermarks {
    /// Reads the checkpoint, once, at a start.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) fn read(&self, log_dir: &LogDir<OsDisk>) -> Result<(), DiskError> {
        *self.written.lock() = log_dir.read_high_watermarks()?;
        Ok(())
    }

    /// What was known at the last checkpoint to be committed of a partition of this name, exclusive. It may be that of an
    /// earlier life of its topic: who uses it keeps to the log that is there.
    pub(crate) fn known(&self, partition: &TopicPartition) -> Offset {
        self.written.lock().get(partition).copied().unwrap_or_default()
    }

    /// Forgets partitions that are no longer here, also on the disk: another of the same name must not be taken for them.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) fn forget<'a>(
        &self,
        log_dir: &LogDir<OsDisk>,
        gone: impl Iterator<Item = &'a TopicPartition>,
    ) -> Result<(), DiskError> {
        let mut written = self.written.lock();
        let before = written.len();
        for partition in gone {
            written.remove(partition);
        }
        if written.len() == before { Ok(()) } else { log_dir.write_high_watermarks(&written) }
    }

    /// Writes the checkpoint, where something has changed.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) fn write(&self, broker: &Broker) -> Result<(), DiskError> {
        let partitions = broker.partitions.all();
        let replicated = partitions.iter().filter(|partition| partition.is_replicated());
        let name = |log: &crate::partition::NodeLog| log.topic_partition().clone();
        let now: BTreeMap<_, _> =
            replicated.map(|partition| (name(&partition.log), partition.high_watermark())).collect();
        let mut written = self.written.lock();
        if *written != now {
            broker.log_dir.write_high_watermarks(&now)?;
            *written = now;
        }
        Ok(())
    }
}

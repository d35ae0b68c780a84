//! The high watermarks that a start begins with: `replication-offset-checkpoint`, written from time to time.
//!
//! A replica that comes to lead knows at least this much of what is committed, until its followers say more. A node alone
//! needs none: everything in its log is committed. Of which life of a topic an entry is, the log directory looks to.

use crate::broker::Broker;
use crate::partition::NodeLog;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use storage::disk::DiskError;
use storage::disk::os::OsDisk;
use storage::ids::{Offset, TopicPartition};
use storage::log_dir::LogDir;

/// What the checkpoint held at the start, until all partitions are there.
#[derive(Debug, Default)]
pub(crate) struct HighWatermarks {
    at_start: Mutex<BTreeMap<TopicPartition, Offset>>,
}

impl HighWatermarks {
    /// Reads the checkpoint, once the logs are loaded.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) fn read(&self, log_dir: &LogDir<OsDisk>) -> Result<(), DiskError> {
        *self.at_start.lock() = log_dir.read_high_watermarks()?;
        Ok(())
    }

    /// What was known before the start to be committed of a partition, exclusive. Its log may have lost some of that.
    pub(crate) fn known(&self, partition: &TopicPartition) -> Offset {
        self.at_start.lock().get(partition).copied().unwrap_or_default()
    }

    /// Says that all partitions of the start are there: those that come later begin with nothing.
    ///
    /// # Errors
    /// The disk failed. What a crash took of the logs would still be said to be committed.
    pub(crate) fn end_start(&self, broker: &Broker) -> Result<(), DiskError> {
        self.at_start.lock().clear();
        write(broker)
    }
}

/// Writes the checkpoint, where something has changed.
///
/// # Errors
/// The disk failed.
pub(crate) fn write(broker: &Broker) -> Result<(), DiskError> {
    let partitions = broker.partitions.all();
    let replicated = partitions.iter().filter(|partition| partition.is_replicated());
    let name = |log: &NodeLog| log.topic_partition().clone();
    let now = replicated.map(|partition| (name(&partition.log), partition.high_watermark())).collect();
    broker.log_dir.write_high_watermarks(&now)
}

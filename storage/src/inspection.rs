//! Looks at a partition's files as they are, for a person who wants to know whether they are sound.
//!
//! Invariants: nothing is ever written, created, renamed or removed, and memory does not follow the size of a log. What a
//! node would mend by itself at its next start is told apart from what it cannot mend.
//!
//! Absent: the lock of a directory (who calls sees to it), snapshots of producers, and aborted transactions.

mod indexes;
mod segments;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::batch::BatchHeader;
use crate::batch_reader::{BatchReader, Next, READ_BYTES};
use crate::checkpoint::decode_offsets;
use crate::disk::{Access, Disk, DiskError, DiskFile};
use crate::ids::{Offset, TopicPartition};
use crate::leader_epochs::LeaderEpochs;
use crate::log_dir::files::read_file;
use crate::segment::offset_of_file_name;

/// Checkpoints are never read beyond this: a million partitions with long names.
const CHECKPOINT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub path: PathBuf,
    /// What is wrong, as the rest of a sentence that begins with the path.
    pub description: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing to be done: a start takes care of it, or it may be meant so.
    Note,
    /// An index or a list of epochs is not that of the records. No record is lost; removed while the node is stopped, it is
    /// made anew.
    Index,
    /// Records that were stored cannot be read.
    Damage,
}

/// What a partition's files hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PartitionReport {
    /// Its segments.
    pub segments: usize,
    /// Whole batches in them.
    pub batches: u64,
    /// Records in those.
    pub records: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// The first offset that is there; `None` where there are no batches.
    pub first_offset: Option<Offset>,
    /// The offset after the last that is there.
    pub end_offset: Option<Offset>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl PartitionReport {
    fn damage(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Damage).count()
    }

    pub(crate) fn find(&mut self, severity: Severity, path: &Path, description: String) {
        self.findings.push(Finding { severity, path: path.to_owned(), description });
    }
}

/// The directories of partitions in a log directory, by name; those that are set aside or being removed are left out.
///
/// # Errors
/// There is no such directory, or the disk failed.
pub fn partitions<D: Disk>(disk: &D, directory: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let entries = disk.list(directory)?;
    let partitions =
        entries.into_iter().filter(|entry| entry.is_directory && partition_of(&entry.name).is_some());
    Ok(partitions.map(|entry| directory.join(entry.name)).collect())
}

/// The segments of a partition: their first offsets and log files, in order.
///
/// # Errors
/// There is no such directory, or the disk failed.
pub fn segments<D: Disk>(disk: &D, partition: &Path) -> Result<BTreeMap<Offset, PathBuf>, DiskError> {
    let entries = disk.list(partition)?;
    let segments = entries.into_iter().filter_map(|entry| {
        let offset = offset_of_file_name(&entry.name, ".log")?;
        Some((offset, partition.join(entry.name)))
    });
    Ok(segments.collect())
}

/// `topic` and number of a directory that is named so; names with a dot and an ending are set aside or deleted.
fn partition_of(name: &str) -> Option<TopicPartition> {
    let (topic, number) = name.rsplit_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    let partition = number.parse().ok().filter(|_| is_number && !topic.is_empty())?;
    Some(TopicPartition { topic: topic.to_owned(), partition: crate::ids::PartitionIndex(partition) })
}

/// How far each partition of a log directory was known to be flushed; nothing where no checkpoint can be read.
///
/// # Errors
/// The disk failed.
pub fn recovery_points<D: Disk>(
    disk: &D,
    directory: &Path,
) -> Result<BTreeMap<TopicPartition, Offset>, DiskError> {
    let path = directory.join("recovery-point-offset-checkpoint");
    let text = read_file(disk, &path, CHECKPOINT_BYTES_MAX)?.unwrap_or_default();
    Ok(decode_offsets(&String::from_utf8_lossy(&text)).unwrap_or_default())
}

/// Hands the whole batches of a log file to `visit`, with the position of each, until it wants no more. Returns what stands
/// behind the last whole batch where that is neither the end nor zeros.
///
/// # Errors
/// There is no such file, or the disk failed.
pub fn batches<D: Disk>(
    disk: &D,
    log: &Path,
    mut visit: impl FnMut(u64, &BatchHeader, &[u8]) -> ControlFlow<()>,
) -> Result<Option<String>, DiskError> {
    let file = disk.open(log, Access::Read)?;
    let len = file.len()?;
    let mut reader = BatchReader::new(&file, 0, len, READ_BYTES);
    loop {
        let position = reader.position();
        match reader.next(|_| true)? {
            Next::Batch(header, bytes) => {
                if visit(position, &header, bytes).is_break() {
                    return Ok(None);
                }
            }
            Next::End => {
                return is_zero_from(&file, position, len)
                    .map(|zeros| (!zeros).then(|| "zeros, and then other bytes".to_owned()));
            }
            Next::Bad(reason) => return Ok(Some(reason)),
        }
    }
}

fn is_zero_from<F: DiskFile>(file: &F, mut position: u64, len: u64) -> Result<bool, DiskError> {
    let mut buffer = vec![0; READ_BYTES];
    while position < len {
        let filled = file.read_at(position, &mut buffer)?;
        if filled == 0 || buffer.iter().take(filled).any(|byte| *byte != 0) {
            return Ok(filled == 0);
        }
        position += filled as u64;
    }
    Ok(true)
}

/// Reads everything of a partition: the checksum of each batch, that offsets and epochs follow one another, and that
/// indexes and the list of epochs are those of the batches. What stands behind `recovery_point` may be a write that was cut
/// off.
///
/// # Errors
/// There is no such directory, or the disk failed.
pub fn verify<D: Disk>(
    disk: &D,
    partition: &Path,
    recovery_point: Option<Offset>,
) -> Result<PartitionReport, DiskError> {
    let mut report = PartitionReport::default();
    let epochs = epochs(disk, partition, &mut report)?;
    let segments: Vec<(Offset, PathBuf)> = segments(disk, partition)?.into_iter().collect();
    report.segments = segments.len();
    let mut state = segments::State::new(epochs, recovery_point);
    let starts_after = segments.iter().skip(1).map(|(offset, _)| Some(*offset)).chain([None]);
    for ((base, log), next_base) in segments.iter().zip(starts_after) {
        state.verify(disk, &segments::Place { base: *base, log, next_base }, &mut report)?;
    }
    Ok(report)
}

/// The list of epochs, where there is one that can be read.
fn epochs<D: Disk>(
    disk: &D,
    partition: &Path,
    report: &mut PartitionReport,
) -> Result<Option<LeaderEpochs>, DiskError> {
    let path = partition.join("leader-epoch-checkpoint");
    let Some(content) = read_file(disk, &path, CHECKPOINT_BYTES_MAX)? else { return Ok(None) };
    match LeaderEpochs::decode(&String::from_utf8_lossy(&content)) {
        Ok(epochs) => Ok(Some(epochs)),
        Err(error) => {
            report.find(Severity::Index, &path, format!("is no list of epochs: {error}"));
            Ok(None)
        }
    }
}

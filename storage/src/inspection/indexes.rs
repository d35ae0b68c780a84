//! The indexes of one segment, compared with its batches as they are read.

use std::path::{Path, PathBuf};

use super::segments::Place;
use super::{PartitionReport, Severity};
use crate::batch::BatchHeader;
use crate::disk::{Disk, DiskError};
use crate::ids::TimestampMs;
use crate::index::{Entry, OffsetEntry, TimeEntry};
use crate::log_dir::files::read_file;

/// An index is never read beyond this. Larger: more memory. Smaller than what a segment of 2 GiB with an entry for each
/// 4 KiB has: the rest of an index is not looked at.
const INDEX_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The entries of a segment's indexes that no batch was compared with yet.
pub(super) struct Indexes {
    base: i64,
    offsets: Entries<OffsetEntry>,
    times: Entries<TimeEntry>,
    max_timestamp: TimestampMs,
}

struct Entries<E> {
    path: PathBuf,
    entries: std::vec::IntoIter<E>,
    next: Option<E>,
    /// The first thing that is wrong: what follows from it says nothing more.
    wrong: Option<String>,
}

impl Indexes {
    pub(super) fn open<D: Disk>(
        disk: &D,
        place: &Place<'_>,
        report: &mut PartitionReport,
    ) -> Result<Self, DiskError> {
        Ok(Self {
            base: place.base.0,
            offsets: Entries::open(disk, &place.log.with_extension("index"), report)?,
            times: Entries::open(disk, &place.log.with_extension("timeindex"), report)?,
            max_timestamp: TimestampMs::NONE,
        })
    }

    /// Compares the entries that are about this batch.
    pub(super) fn batch(&mut self, position: u64, header: &BatchHeader) {
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        let (first, last) = (header.base_offset.0 - self.base, header.last_offset().0 - self.base);
        while let Some(entry) = self.offsets.next.filter(|entry| u64::from(entry.position) <= position) {
            let offset = i64::from(entry.relative_offset);
            if u64::from(entry.position) < position {
                self.offsets
                    .complain(format!("says that a batch begins at byte {}, and none does", entry.position));
            } else if offset < first || offset > last {
                let (offset, first, last) = (offset + self.base, first + self.base, last + self.base);
                self.offsets.complain(format!(
                    "says that the batch at byte {} ends at offset {offset}, and it has {first} to {last}",
                    entry.position
                ));
            }
            self.offsets.advance();
        }
        while let Some(entry) = self.times.next.filter(|entry| i64::from(entry.relative_offset) <= last) {
            if self.max_timestamp.0 > entry.timestamp {
                self.times.complain(format!(
                    "says that no timestamp up to offset {} is above {}, and {} is",
                    i64::from(entry.relative_offset) + self.base,
                    entry.timestamp,
                    self.max_timestamp.0
                ));
            }
            self.times.advance();
        }
    }

    /// Entries that are left are about batches that are not there.
    pub(super) fn close(mut self, report: &mut PartitionReport) {
        if let Some(entry) = self.offsets.next {
            self.offsets
                .complain(format!("says that a batch begins at byte {}, behind the last", entry.position));
        }
        if let Some(entry) = self.times.next {
            let offset = i64::from(entry.relative_offset) + self.base;
            self.times.complain(format!("names offset {offset}, which is behind the last"));
        }
        for (path, wrong) in [(self.offsets.path, self.offsets.wrong), (self.times.path, self.times.wrong)] {
            if let Some(wrong) = wrong {
                report.find(Severity::Index, &path, wrong);
            }
        }
    }
}

impl<E: Entry> Entries<E> {
    fn open<D: Disk>(disk: &D, path: &Path, report: &mut PartitionReport) -> Result<Self, DiskError> {
        let content = read_file(disk, path, INDEX_BYTES_MAX)?;
        if content.is_none() {
            report.find(Severity::Note, path, "is missing; it is made anew when the node starts".to_owned());
        }
        let content = content.unwrap_or_default();
        let mut entries: Vec<E> = content.chunks_exact(E::SIZE).filter_map(E::decode).collect();
        // Zeros are the unused part of a file that Kafka preallocated.
        while entries.last().is_some_and(|last| last.is_zero()) {
            entries.pop();
        }
        let grows = entries.windows(2).position(|pair| !matches!(pair, [a, b] if a.grows_to(*b)));
        let wrong = match grows {
            Some(place) => {
                entries.truncate(place + 1);
                Some(format!("does not grow behind entry {}", place + 1))
            }
            None if content.len() % E::SIZE != 0 => Some("ends within an entry".to_owned()),
            None => None,
        };
        let mut entries = entries.into_iter();
        Ok(Self { path: path.to_owned(), next: entries.next(), entries, wrong })
    }

    fn advance(&mut self) {
        self.next = self.entries.next();
    }

    fn complain(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }
}

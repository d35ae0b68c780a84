//! The raft log and the vote, as openraft wants them, over the [`Journal`].
//!
//! Entries that are not purged are also held in memory, bounded by the snapshots that the controller's task asks for, and as
//! their bytes: a partition's record has a third of the size of what it is read to, and few are read a second time.
//!
//! Invariants: what is in memory is on disk; a purge is asked for only after its snapshot is on disk.
//!
//! The committed position is not kept: after a start nothing is served before an entry of the new term is committed,
//! and with it everything before.

use crate::quorum::entry_codec::{put_entry, read_entry};
use crate::quorum::error::StoreError;
use crate::quorum::journal::{Frame, Journal, ReadFrame};
use crate::quorum::snapshot::SnapshotFile;
use crate::quorum::types::{Entry, LogId, RaftNodeId, RaftStorageError, TypeConfig, Vote, storage_error};
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{ErrorSubject, ErrorVerb, OptionalSend, RaftLogReader};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// The first failure of the quorum's files, for whoever watches over the node.
pub(super) type FailureReport = watch::Sender<Option<Arc<StoreError>>>;

/// A purge of a journal longer than this, in bytes, writes it anew. Larger: a start reads more. Smaller: the same
/// entries are written again more often.
const REWRITE_BYTES_MIN: u64 = 1024 * 1024;

/// The log and the vote.
pub(super) struct LogStore {
    journal: Journal,
    log: Arc<Mutex<Log>>,
    journal_bytes: Arc<AtomicU64>,
    failures: FailureReport,
}

#[derive(Debug, Default)]
struct Log {
    entries: BTreeMap<u64, HeldEntry>,
    last_purged: Option<LogId>,
    vote: Option<Vote>,
}

/// An entry as its bytes.
#[derive(Debug)]
struct HeldEntry {
    log_id: LogId,
    bytes: Box<[u8]>,
}

impl HeldEntry {
    fn new(entry: &Entry) -> Self {
        let mut bytes = Vec::new();
        put_entry(&mut bytes, entry);
        Self { log_id: entry.log_id, bytes: bytes.into() }
    }

    fn read(&self) -> Entry {
        read_entry(&mut self.bytes.as_ref()).expect("these bytes were made of an entry")
    }
}

/// Reads the log beside its writer.
#[derive(Clone)]
pub(super) struct LogReader {
    log: Arc<Mutex<Log>>,
}

impl LogStore {
    /// Opens the journal of a directory, or makes one with this raft node id. `snapshot` is what the directory's
    /// snapshot holds.
    pub(super) fn open(
        path: &Path,
        new_node_id: RaftNodeId,
        snapshot: &SnapshotFile,
        failures: FailureReport,
    ) -> Result<Self, StoreError> {
        let mut log = Log::default();
        let journal = match Journal::open(path, |frame| log.replay(frame))? {
            Some(journal) => journal,
            None if snapshot.is_there() => {
                return Err(StoreError::JournalMissing {
                    journal: path.to_owned(),
                    snapshot: snapshot.path().to_owned(),
                });
            }
            None => Journal::create(path, new_node_id, &[])?,
        };
        if let Some(purged) = log.last_purged
            && snapshot.last_log_id() < Some(purged)
        {
            return Err(StoreError::SnapshotTooOld {
                journal: path.to_owned(),
                snapshot: snapshot.path().to_owned(),
                purged: purged.index,
                found: snapshot.last_log_id().map(|id| id.index),
            });
        }
        log.stand_down(journal.node_id());
        let journal_bytes = Arc::new(AtomicU64::new(journal.len()));
        let mut store = Self { journal, log: Arc::new(Mutex::new(log)), journal_bytes, failures };
        if store.journal.is_outdated() {
            store.rewrite()?;
        }
        Ok(store)
    }

    pub(super) fn node_id(&self) -> RaftNodeId {
        self.journal.node_id()
    }

    /// Reads the log beside its writer.
    pub(super) fn reader(&self) -> LogReader {
        LogReader { log: Arc::clone(&self.log) }
    }

    /// How long the journal is, in bytes, kept up to date.
    pub(super) fn journal_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.journal_bytes)
    }

    fn append_frame(&mut self, frame: &Frame<'_>) -> Result<(), StoreError> {
        let appended = self.journal.append(frame);
        self.journal_bytes.store(self.journal.len(), Ordering::Relaxed);
        appended
    }

    /// Writes the journal anew with what is left of the log.
    fn rewrite(&mut self) -> Result<(), StoreError> {
        let (entries, vote, purged) = {
            let log = self.log.lock();
            (log.entries.values().map(HeldEntry::read).collect::<Vec<_>>(), log.vote, log.last_purged)
        };
        let mut frames = Vec::from_iter(purged.map(Frame::Purge));
        frames.extend(vote.map(Frame::Vote));
        if !entries.is_empty() {
            frames.push(Frame::Entries(&entries));
        }
        self.journal = Journal::create(self.journal.path(), self.journal.node_id(), &frames)?;
        self.journal_bytes.store(self.journal.len(), Ordering::Relaxed);
        Ok(())
    }

    fn fail(&self, error: StoreError, subject: ErrorSubject<RaftNodeId>) -> RaftStorageError {
        report(&self.failures, error, subject, ErrorVerb::Write)
    }
}

/// Keeps the first failure and says it in openraft's words.
pub(super) fn report(
    failures: &FailureReport,
    error: StoreError,
    subject: ErrorSubject<RaftNodeId>,
    verb: ErrorVerb,
) -> RaftStorageError {
    let told = storage_error(subject, verb, &error);
    failures.send_if_modified(|first| {
        let is_first = first.is_none();
        if is_first {
            *first = Some(Arc::new(error));
        }
        is_first
    });
    told
}

impl Log {
    fn replay(&mut self, frame: ReadFrame) {
        match frame {
            ReadFrame::Vote(vote) => self.vote = Some(vote),
            ReadFrame::Entries(entries) => self.append(&entries),
            ReadFrame::Truncate { from_index } => self.truncate(from_index),
            ReadFrame::Purge(log_id) => self.purge(log_id),
        }
    }

    fn append(&mut self, entries: &[Entry]) {
        self.entries.extend(entries.iter().map(|entry| (entry.log_id.index, HeldEntry::new(entry))));
    }

    fn truncate(&mut self, from_index: u64) {
        drop(self.entries.split_off(&from_index));
    }

    fn purge(&mut self, log_id: LogId) {
        self.entries = self.entries.split_off(&(log_id.index + 1));
        self.last_purged = self.last_purged.max(Some(log_id));
    }

    /// A new run does not lead in the term of an earlier one, which may have given an index of that term to an entry
    /// that this disk lost: openraft would take up the leadership if the vote still said that it was granted.
    fn stand_down(&mut self, node_id: RaftNodeId) {
        if let Some(vote) = &mut self.vote
            && vote.leader_id.voted_for == Some(node_id)
        {
            vote.committed = false;
        }
    }

    /// The last entry that was ever here, also where a snapshot holds it by now.
    fn last(&self) -> Option<LogId> {
        let last = self.entries.values().next_back().map(|entry| entry.log_id);
        last.or(self.last_purged)
    }

    fn range(&self, range: impl RangeBounds<u64>) -> Vec<Entry> {
        self.entries.range(range).map(|(_, entry)| entry.read()).collect()
    }
}

impl LogReader {
    /// The last entry that was ever here, also where a snapshot holds it by now.
    pub(super) fn last(&self) -> Option<LogId> {
        self.log.lock().last()
    }
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, RaftStorageError> {
        Ok(self.log.lock().range(range))
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, RaftStorageError> {
        Ok(self.log.lock().range(range))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, RaftStorageError> {
        let log = self.log.lock();
        Ok(LogState { last_purged_log_id: log.last_purged, last_log_id: log.last() })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), RaftStorageError> {
        self.append_frame(&Frame::Vote(*vote)).map_err(|error| self.fail(error, ErrorSubject::Vote))?;
        self.log.lock().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, RaftStorageError> {
        Ok(self.log.lock().vote)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<TypeConfig>,
    ) -> Result<(), RaftStorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.append_frame(&Frame::Entries(&entries)).map_err(|error| self.fail(error, ErrorSubject::Logs))?;
        self.log.lock().append(&entries);
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), RaftStorageError> {
        let truncated = self.append_frame(&Frame::Truncate { from_index: log_id.index });
        truncated.map_err(|error| self.fail(error, ErrorSubject::Logs))?;
        self.log.lock().truncate(log_id.index);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), RaftStorageError> {
        self.log.lock().purge(log_id);
        let purged = if self.journal.len() < REWRITE_BYTES_MIN {
            self.append_frame(&Frame::Purge(log_id))
        } else {
            self.rewrite()
        };
        purged.map_err(|error| self.fail(error, ErrorSubject::Logs))
    }
}

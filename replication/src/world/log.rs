//! A replica's log in memory: one record an offset, a durable end, and what a crash leaves of it.

use crate::fetch::LogEnds;
use storage::ids::{LeaderEpoch, Offset};
use storage::leader_epochs::{EpochEnd, LeaderEpochs};

/// A record: who wrote it when tells it from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) epoch: LeaderEpoch,
    pub(super) value: u64,
}

/// A log.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryLog {
    start: Offset,
    records: Vec<Record>,
    durable_end: Offset,
    epochs: LeaderEpochs,
}

impl MemoryLog {
    pub(super) fn start(&self) -> Offset {
        self.start
    }

    pub(super) fn end(&self) -> Offset {
        self.start.plus(i64::try_from(self.records.len()).expect("tests are small"))
    }

    pub(super) fn durable_end(&self) -> Offset {
        self.durable_end
    }

    pub(super) fn ends(&self) -> LogEnds {
        LogEnds {
            log_start_offset: self.start,
            durable_end_offset: self.durable_end,
            log_end_offset: self.end(),
            latest_epoch: self.epochs.latest(),
        }
    }

    pub(super) fn epoch_end(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        self.epochs.end_offset_for(epoch, self.end())
    }

    pub(super) fn record(&self, offset: Offset) -> Option<Record> {
        self.records.get(usize::try_from(offset.0 - self.start.0).ok()?).copied()
    }

    /// Up to `count` records from `offset` on.
    pub(super) fn read(&self, offset: Offset, count: usize) -> Vec<Record> {
        (offset.0..).map_while(|offset| self.record(Offset(offset))).take(count).collect()
    }

    pub(super) fn begin_epoch(&mut self, epoch: LeaderEpoch) {
        self.epochs.assign(epoch, self.end());
    }

    pub(super) fn append(&mut self, record: Record) {
        self.epochs.assign(record.epoch, self.end());
        self.records.push(record);
    }

    pub(super) fn flush(&mut self, end: Offset) {
        assert!(self.durable_end <= end && end <= self.end(), "a flush goes forward, within the log");
        self.durable_end = end;
    }

    pub(super) fn truncate(&mut self, end: Offset) {
        self.records.truncate(usize::try_from(end.0 - self.start.0).unwrap_or(0));
        self.durable_end = self.durable_end.min(end);
        self.epochs.truncate_from_end(end);
    }

    pub(super) fn start_over(&mut self, start: Offset) {
        *self = Self { start, durable_end: start, ..Self::default() };
    }

    pub(super) fn delete_before(&mut self, start: Offset) {
        let gone = usize::try_from(start.0 - self.start.0).unwrap_or(0);
        self.records.drain(..gone);
        self.start = self.start.max(start);
        self.epochs.truncate_from_start(self.start);
    }

    /// A crash leaves what is durable, and of the rest what had reached the disk by chance.
    pub(super) fn crash(&mut self, end: Offset) {
        assert!(self.durable_end <= end, "a crash takes nothing that is durable");
        self.truncate(end);
        self.durable_end = self.end();
    }
}

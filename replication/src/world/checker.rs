//! What must never happen, seen from outside: by clients, and by the disks.

use super::World;
use super::log::{MemoryLog, Record};
use crate::follower::CommittedRecordsGone;
use crate::leader::Leader;
use std::collections::BTreeMap;
use storage::ids::{BrokerId, LeaderEpoch, Offset};

/// Something that must never happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("a replica holds {held:?} at offset {offset}, where {committed:?} is committed")]
    Differs { offset: Offset, committed: Record, held: Record },
    #[error(
        "the leader of epoch {epoch} ends at {log_end_offset}, but offset {committed_end} was readable before"
    )]
    Lost { epoch: LeaderEpoch, log_end_offset: Offset, committed_end: Offset },
    #[error("the high watermark went back from {from} to {to}")]
    WentBack { from: Offset, to: Offset },
    #[error(
        "broker {broker} may lead, but is durable to {durable_end} only, and {committed_end} was readable"
    )]
    NotDurable { broker: BrokerId, durable_end: Offset, committed_end: Offset },
    #[error("{0}")]
    Halted(CommittedRecordsGone),
    #[error("with everything repaired, the replicas do not become one: {state}")]
    NoConvergence { state: String },
}

/// What clients have seen.
#[derive(Debug, Default)]
pub(super) struct Checker {
    /// What was below the high watermark of a leader, by offset.
    committed: BTreeMap<Offset, Record>,
    /// How far leaders of each epoch let clients read, exclusive.
    readable: BTreeMap<LeaderEpoch, Offset>,
    acknowledged: Vec<(Offset, Record)>,
}

impl Checker {
    /// A client was told that its record is kept.
    pub(super) fn acknowledged(&mut self, offset: Offset, record: Record) {
        self.acknowledged.push((offset, record));
    }

    /// How far clients could read, exclusive.
    pub(super) fn committed_end(&self) -> Offset {
        self.readable.values().copied().max().unwrap_or_default()
    }

    /// A leader has a high watermark: what is below it is committed, and no other record ever was there.
    pub(super) fn high_watermark(
        &mut self,
        log: &MemoryLog,
        leader: &Leader,
        before: Offset,
    ) -> Result<(), Violation> {
        let high_watermark = leader.high_watermark();
        if high_watermark < before {
            return Err(Violation::WentBack { from: before, to: high_watermark });
        }
        let readable = self.readable.entry(leader.leader_epoch()).or_default();
        *readable = high_watermark.max(*readable);
        for offset in (before.max(log.start()).0..high_watermark.0).map(Offset) {
            let held = log.record(offset).expect("the high watermark is within the log");
            self.committed.entry(offset).or_insert(held);
            self.compare(log, offset)?;
        }
        Ok(())
    }

    /// The high watermark of a follower moves.
    pub(super) fn follower(&self, log: &MemoryLog, before: Offset, after: Offset) -> Result<(), Violation> {
        if after < before {
            return Err(Violation::WentBack { from: before, to: after });
        }
        self.compare_all(log, before, after)
    }

    /// A leader begins an epoch: it must have all that leaders of earlier ones let clients read.
    pub(super) fn elected(&self, log: &MemoryLog, epoch: LeaderEpoch) -> Result<(), Violation> {
        let committed_end = self.readable.range(..epoch).map(|(_, end)| *end).max().unwrap_or_default();
        if log.end() < committed_end {
            return Err(Violation::Lost { epoch, log_end_offset: log.end(), committed_end });
        }
        self.compare_all(log, log.start(), committed_end)
    }

    fn compare_all(&self, log: &MemoryLog, from: Offset, to: Offset) -> Result<(), Violation> {
        (from.max(log.start()).0..to.0).try_for_each(|offset| self.compare(log, Offset(offset)))
    }

    fn compare(&self, log: &MemoryLog, offset: Offset) -> Result<(), Violation> {
        match (self.committed.get(&offset), log.record(offset)) {
            (Some(&committed), Some(held)) if committed != held => {
                Err(Violation::Differs { offset, committed, held })
            }
            _ => Ok(()),
        }
    }
}

impl World {
    /// Whoever may be elected has all that was readable, on its disk.
    pub(super) fn check_disks(&self) -> Result<(), Violation> {
        let partition = self.controller.latest().partition();
        let committed_end = self.checker.committed_end();
        for broker in partition.isr.iter().chain(&partition.eligible_leader_replicas) {
            let log = &self.node(*broker).log;
            let durable_end = log.durable_end();
            if durable_end < committed_end {
                return Err(Violation::NotDurable { broker: *broker, durable_end, committed_end });
            }
            self.checker.compare_all(log, log.start(), committed_end)?;
        }
        Ok(())
    }

    /// The replicas have become one, and what was acknowledged is there.
    pub(super) fn check_end(&self) -> Result<(), Violation> {
        let replicas = &self.controller.latest().partition().replicas;
        let logs: Vec<_> = replicas.iter().map(|replica| &self.node(*replica).log).collect();
        for (offset, record) in &self.checker.acknowledged {
            for log in logs.iter().filter(|log| *offset >= log.start()) {
                match log.record(*offset) {
                    Some(held) if held == *record => {}
                    Some(held) => {
                        return Err(Violation::Differs { offset: *offset, committed: *record, held });
                    }
                    None => {
                        let epoch = self.controller.latest().partition().leader_epoch;
                        let committed_end = offset.plus(1);
                        return Err(Violation::Lost { epoch, log_end_offset: log.end(), committed_end });
                    }
                }
            }
        }
        Ok(())
    }
}

//! The batches of one segment after the other, each compared with what stood before it.

use std::ops::ControlFlow;
use std::path::Path;

use super::indexes::Indexes;
use super::{PartitionReport, Severity, batches};
use crate::batch::BatchHeader;
use crate::disk::{Disk, DiskError};
use crate::ids::{LeaderEpoch, Offset};
use crate::leader_epochs::LeaderEpochs;

/// Where a segment is.
pub(super) struct Place<'a> {
    pub(super) base: Offset,
    pub(super) log: &'a Path,
    /// Where the next segment begins; `None` for the last one.
    pub(super) next_base: Option<Offset>,
}

/// What the segments so far have told.
pub(super) struct State {
    epochs: Option<LeaderEpochs>,
    recovery_point: Option<Offset>,
    next_offset: Option<Offset>,
    epoch: LeaderEpoch,
    is_epoch_reported: bool,
}

impl State {
    pub(super) fn new(epochs: Option<LeaderEpochs>, recovery_point: Option<Offset>) -> Self {
        Self { epochs, recovery_point, next_offset: None, epoch: LeaderEpoch::NONE, is_epoch_reported: false }
    }

    /// Reads a segment and its indexes.
    pub(super) fn verify<D: Disk>(
        &mut self,
        disk: &D,
        place: &Place<'_>,
        report: &mut PartitionReport,
    ) -> Result<(), DiskError> {
        if let Some(expected) = self.next_offset.filter(|expected| *expected < place.base) {
            let what = format!(
                "begins at offset {}, and {expected} was next: compaction leaves such gaps, otherwise a segment is missing",
                place.base
            );
            report.find(Severity::Note, place.log, what);
        }
        let damage_before = report.damage();
        let mut indexes = Indexes::open(disk, place, report)?;
        let mut cut_off = 0_u64;
        let trailing = batches(disk, place.log, |position, header, bytes| {
            if place.next_base.is_some_and(|next| header.base_offset >= next) {
                cut_off += 1;
                return ControlFlow::Continue(());
            }
            self.follow(place, header, report);
            indexes.batch(position, header);
            report.batches += 1;
            report.records += u64::try_from(header.record_count).unwrap_or(0);
            report.bytes += bytes.len() as u64;
            report.first_offset.get_or_insert(header.base_offset);
            report.end_offset = Some(header.next_offset());
            ControlFlow::Continue(())
        })?;
        if cut_off > 0 {
            let what = format!(
                "goes on behind the start of the next segment ({cut_off} batches), which is no part of the log"
            );
            report.find(Severity::Note, place.log, what);
        }
        if let Some(reason) = trailing {
            self.trailing(place, &reason, report);
        }
        match report.damage() == damage_before {
            true => indexes.close(report),
            // What follows from damage says nothing more: entries of lost batches, a gap before the next segment.
            false => self.next_offset = None,
        }
        Ok(())
    }

    fn follow(&mut self, place: &Place<'_>, header: &BatchHeader, report: &mut PartitionReport) {
        let (base, epoch) = (header.base_offset, header.partition_leader_epoch);
        let expected = self.next_offset.unwrap_or(place.base).max(place.base);
        if base < expected {
            let what = format!("has a batch at offset {base} where {expected} was next");
            report.find(Severity::Damage, place.log, what);
        }
        if epoch < self.epoch {
            let what =
                format!("has a batch of epoch {epoch} at offset {base}, after one of epoch {}", self.epoch);
            report.find(Severity::Damage, place.log, what);
        }
        self.next_offset = Some(header.next_offset());
        self.epoch = self.epoch.max(epoch);
        let listed = self.epochs.as_ref().and_then(|epochs| epochs.epoch_for_offset(base));
        if listed.is_some_and(|listed| listed != epoch) && !self.is_epoch_reported {
            self.is_epoch_reported = true;
            let listed = listed.unwrap_or(LeaderEpoch::NONE);
            let what =
                format!("says that offset {base} is of epoch {listed}, and its batch is of epoch {epoch}");
            report.find(Severity::Index, &place.log.with_file_name("leader-epoch-checkpoint"), what);
        }
    }

    /// Judges what stands behind the last whole batch. In the last segment, behind what was known to be flushed, it is a
    /// write that a crash cut off.
    fn trailing(&self, place: &Place<'_>, reason: &str, report: &mut PartitionReport) {
        let end = self.next_offset.unwrap_or(place.base).max(place.base);
        let is_unflushed = self.recovery_point.is_none_or(|point| end >= point);
        match place.next_base {
            None if is_unflushed => {
                let what = format!(
                    "ends in a write that was cut off behind offset {end} ({reason}); the next start cuts it"
                );
                report.find(Severity::Note, place.log, what);
            }
            _ => report.find(
                Severity::Damage,
                place.log,
                format!("cannot be read from offset {end} on: {reason}"),
            ),
        }
    }
}

//! The groups of a shard by their ids, with what is asked of all of them: which is due next, which has records that are
//! not committed yet, and which is deleted although that is not committed yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use storage::ids::Offset;

use super::Group;
use crate::ids::GroupId;

/// The most groups of a shard. More would let whoever may name groups fill the memory with empty ones (each costs about
/// a kilobyte); fewer would refuse what a large cluster has, which spreads over 50 shards.
const GROUPS_MAX: usize = 100_000;

/// The groups of a shard.
///
/// Invariants: `deadlines` holds for each group at most one moment, the one in its entry; a group in `deleted` is there
/// until its tombstone is committed.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    entries: BTreeMap<GroupId, Entry>,
    /// What was deleted, and where the tombstone is in the log; reads see these until it is committed.
    deleted: BTreeMap<GroupId, (Offset, Group)>,
    /// The records that are not committed yet, and whose they are.
    uncommitted: VecDeque<(Offset, GroupId)>,
    deadlines: BTreeSet<(Duration, GroupId)>,
    /// What groups are to become when the records of this call are applied, see [`Self::stage`].
    staged: BTreeMap<GroupId, Group>,
    /// Everything before this is committed (exclusive).
    high_watermark: Offset,
}

#[derive(Debug)]
struct Entry {
    group: Group,
    /// Where the log first speaks of the group, or `None` while it does not.
    since: Option<Offset>,
    /// The moment that `deadlines` has.
    deadline: Option<Duration>,
}

impl Groups {
    /// The group as it is applied, with what its members are about.
    pub(crate) fn get(&self, group_id: &GroupId) -> Option<&Group> {
        self.entries.get(group_id).map(|entry| &entry.group)
    }

    /// The same, to change what does not persist.
    pub(crate) fn get_mut(&mut self, group_id: &GroupId) -> Option<&mut Group> {
        self.entries.get_mut(group_id).map(|entry| &mut entry.group)
    }

    /// Every group, as [`Self::get`].
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&GroupId, &Group)> {
        self.entries.iter().map(|(group_id, entry)| (group_id, &entry.group))
    }

    /// Every group, as [`Self::get_mut`].
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&GroupId, &mut Group)> {
        self.entries.iter_mut().map(|(group_id, entry)| (group_id, &mut entry.group))
    }

    /// Whether there are as many groups as a shard may hold.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= GROUPS_MAX
    }

    /// Whether a record at `offset` of the log is committed.
    pub(crate) fn is_committed(&self, offset: Offset) -> bool {
        offset < self.high_watermark
    }

    /// Whether the log speaks of the group.
    pub(crate) fn is_recorded(&self, group_id: &GroupId) -> bool {
        self.entries.get(group_id).is_some_and(|entry| entry.since.is_some())
    }

    /// Puts a group where none is, or in the place of one that a request turns into another kind. Nobody can read it
    /// before a record of it is applied and committed.
    pub(crate) fn insert(&mut self, group_id: &GroupId, group: Group) -> &mut Group {
        self.discard(group_id);
        &mut self
            .entries
            .entry(group_id.clone())
            .or_insert(Entry { group, since: None, deadline: None })
            .group
    }

    /// Keeps what a group of another kind is to become once the records are applied that say so: its timers, and who
    /// waits for an answer. [`Self::insert_staged`] takes it from here. Where the append fails, the next call finds it
    /// with [`Self::unstage`].
    pub(crate) fn stage(&mut self, group_id: &GroupId, group: Group) {
        self.staged.insert(group_id.clone(), group);
    }

    /// As [`Self::insert`], of what was staged, or of `otherwise`.
    pub(crate) fn insert_staged(
        &mut self,
        group_id: &GroupId,
        otherwise: impl FnOnce() -> Group,
    ) -> &mut Group {
        let group = self.staged.remove(group_id).unwrap_or_else(otherwise);
        self.insert(group_id, group)
    }

    /// Whether anything was staged whose records are not applied.
    pub(crate) fn is_anything_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// What was staged although the records were never applied.
    pub(crate) fn unstage(&mut self) -> BTreeMap<GroupId, Group> {
        std::mem::take(&mut self.staged)
    }

    /// Forgets a group that the log does not speak of.
    pub(crate) fn discard(&mut self, group_id: &GroupId) -> Option<Group> {
        let entry = self.entries.remove(group_id)?;
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, group_id.clone()));
        }
        Some(entry.group)
    }

    /// A record of the group was applied that is at `offset` of the log.
    pub(crate) fn recorded(&mut self, group_id: &GroupId, offset: Offset) {
        if let Some(entry) = self.entries.get_mut(group_id) {
            entry.since.get_or_insert(offset);
        }
        if offset >= self.high_watermark {
            self.uncommitted.push_back((offset, group_id.clone()));
        }
    }

    /// The tombstone of the group was applied, which is at `offset` of the log.
    pub(crate) fn delete(&mut self, group_id: &GroupId, offset: Offset) {
        let was_read = self.entries.get(group_id).and_then(|entry| entry.since);
        let Some(group) = self.discard(group_id) else { return };
        if offset < self.high_watermark || was_read.is_none_or(|since| since >= self.high_watermark) {
            return;
        }
        self.uncommitted.push_back((offset, group_id.clone()));
        self.deleted.insert(group_id.clone(), (offset, group));
    }

    /// Every record before `high_watermark` is committed.
    pub(crate) fn committed(&mut self, high_watermark: Offset) {
        self.high_watermark = self.high_watermark.max(high_watermark);
        while let Some((_, group_id)) = self.uncommitted.pop_front_if(|(offset, _)| *offset < high_watermark)
        {
            if self.deleted.get(&group_id).is_some_and(|(tombstone, _)| *tombstone < high_watermark) {
                self.deleted.remove(&group_id);
            }
            if let Some((_, group)) = self.deleted.get_mut(&group_id) {
                group.committed(high_watermark);
            }
            if let Some(group) = self.get_mut(&group_id) {
                group.committed(high_watermark);
            }
        }
    }

    /// The group as reads see it, if it is committed that there is one.
    pub(crate) fn read(&self, group_id: &GroupId) -> Option<&Group> {
        if let Some((_, group)) = self.deleted.get(group_id) {
            return Some(group);
        }
        let entry = self.entries.get(group_id)?;
        entry.since.is_some_and(|since| since < self.high_watermark).then_some(&entry.group)
    }

    /// Every group that [`Self::read`] finds, in the order of their ids.
    pub(crate) fn read_all(&self) -> impl Iterator<Item = (&GroupId, &Group)> {
        let mut ids: Vec<&GroupId> = self.entries.keys().chain(self.deleted.keys()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().filter_map(|group_id| Some((group_id, self.read(group_id)?)))
    }

    /// Notes when the group is due; to be called whenever something may have made that earlier.
    pub(crate) fn schedule(&mut self, group_id: &GroupId) {
        let Some(entry) = self.entries.get_mut(group_id) else { return };
        let deadline = entry.group.next_deadline();
        if deadline == entry.deadline {
            return;
        }
        if let Some(before) = entry.deadline.take() {
            self.deadlines.remove(&(before, group_id.clone()));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, group_id.clone()));
        }
        entry.deadline = deadline;
    }

    /// The same for every group.
    pub(crate) fn schedule_all(&mut self) {
        let group_ids: Vec<GroupId> = self.entries.keys().cloned().collect();
        group_ids.iter().for_each(|group_id| self.schedule(group_id));
    }

    /// The group that is due next, and when.
    pub(crate) fn next_deadline(&self) -> Option<(Duration, &GroupId)> {
        self.deadlines.first().map(|(deadline, group_id)| (*deadline, group_id))
    }
}

//! When the members of a consumer group are out of time. Nothing of it persists: on load every session begins anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::{GroupId, MemberEpoch, MemberId};

/// How soon a member that is out of time is looked at again: its removal may not have been appended. Sooner is work for
/// a disk that refuses; later keeps partitions unread.
const RETRY: Duration = Duration::from_millis(500);

/// How many members are removed at once. More would make a batch that the log may not take; fewer cost an append for
/// each few.
const EXPIRED_MAX: usize = 500;

/// How many bytes the tombstones of those take by their ids. More would make a batch that the log may not take; fewer as
/// above.
const EXPIRED_BYTES_MAX: usize = 256 * 1024;

/// How many tombstones a member that is removed leaves: of what it said, is to own and owns.
const TOMBSTONES: usize = 3;

/// How soon the others are. Not at once: those who were removed before them are not until that is in the log.
const MOMENT: Duration = Duration::from_millis(1);

/// What a member has to do in time, or be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// To speak.
    Session,
    /// To give partitions up, in this epoch.
    Revocation(MemberEpoch),
    /// In the classic protocol: to join again.
    Join,
    /// In the classic protocol: to ask for its assignment.
    Sync,
}

/// The deadlines of the members of a group.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: BTreeMap<MemberId, Vec<(Timer, Duration)>>,
    /// Not later than the first deadline. A heartbeat only makes deadlines later, and leaves it as it is.
    next: Option<Duration>,
}

impl Timers {
    /// Sets the deadline, also where there was another.
    pub(crate) fn set(&mut self, member_id: &MemberId, timer: Timer, deadline: Duration) {
        let same = |other: &Timer| std::mem::discriminant(other) == std::mem::discriminant(&timer);
        match self.deadlines.get_mut(member_id) {
            Some(timers) => match timers.iter_mut().find(|(other, _)| same(other)) {
                Some(entry) => *entry = (timer, deadline),
                None => timers.push((timer, deadline)),
            },
            None => {
                self.deadlines.insert(member_id.clone(), vec![(timer, deadline)]);
            }
        }
        self.next = Some(self.next.map_or(deadline, |next| next.min(deadline)));
    }

    /// Sets the deadline where there is none.
    pub(crate) fn set_if_absent(&mut self, member_id: &MemberId, timer: Timer, deadline: Duration) {
        let timers = self.deadlines.get(member_id);
        if !timers.is_some_and(|timers| timers.iter().any(|(other, _)| *other == timer)) {
            self.set(member_id, timer, deadline);
        }
    }

    /// The member has done it.
    pub(crate) fn cancel(&mut self, member_id: &MemberId, is_done: impl Fn(Timer) -> bool) {
        if let Some(timers) = self.deadlines.get_mut(member_id) {
            timers.retain(|(timer, _)| !is_done(*timer));
        }
    }

    /// The member is gone.
    pub(crate) fn forget(&mut self, member_id: &MemberId) {
        self.deadlines.remove(member_id);
    }

    /// Not later than the first deadline.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.next
    }

    /// Who is out of time, with what; of very many, a part, and the rest in a moment. They are so again after [`RETRY`]
    /// unless they are forgotten.
    pub(crate) fn expire(&mut self, group_id: &GroupId, now: Duration) -> BTreeSet<(MemberId, Timer)> {
        if self.next.is_none_or(|next| next > now) {
            return BTreeSet::new();
        }
        let mut expired = BTreeSet::new();
        let mut expired_bytes = 0;
        let moment = now + MOMENT;
        self.next = None;
        for (member_id, timers) in &mut self.deadlines {
            let bytes = TOMBSTONES * (member_id.as_str().len() + group_id.as_str().len());
            for (timer, deadline) in timers {
                let has_room = expired.len() < EXPIRED_MAX && expired_bytes + bytes <= EXPIRED_BYTES_MAX;
                if *deadline <= now && has_room {
                    expired_bytes += bytes;
                    expired.insert((member_id.clone(), *timer));
                    *deadline = now + RETRY;
                }
                self.next = Some(self.next.map_or(*deadline, |next| next.min(*deadline)).max(moment));
            }
        }
        expired
    }
}

//! What all members of a group said, in the order in which it was read, and whether it may be so.
//!
//! Invariants judged as lines come: a record is the one that was produced at its offset; while a member holds a
//! partition it processes every record of it in turn; it begins no earlier than a commit that was acknowledged before
//! the partition was given to it; no partition has two owners in one generation (or member epoch). Lines of different
//! members are read in an order of their own, which can only make these rules milder, never wrong: whoever hands a
//! partition over says so before the broker can know, and no member commits for a partition that it has lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};

use super::event::Event;
use crate::ledger::number_of;

/// How many of the clients' last complaints a failed test shows.
const SHOWN_TROUBLE: usize = 40;
/// How many of the events before the first violation a failed test shows: the last seconds.
const SHOWN_EVENTS: usize = 200;

/// Everything that was said.
#[derive(Debug, Default)]
pub struct Journal(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    members: BTreeMap<usize, Holdings>,
    processed: BTreeMap<i32, BTreeSet<i64>>,
    committed: BTreeMap<i32, i64>,
    owners: BTreeMap<(i32, i32), usize>,
    trouble: Vec<String>,
    /// The events before the first violation, the last ones.
    recent: VecDeque<String>,
    violation: Option<String>,
}

/// What one member has.
#[derive(Debug, Default)]
struct Holdings {
    partitions: BTreeMap<i32, Position>,
    generation: Option<i32>,
    first: BTreeMap<i32, i64>,
    processed: usize,
    ended: bool,
}

impl Holdings {
    /// Its partitions, each with the generation.
    fn places(&self, generation: i32) -> impl Iterator<Item = (i32, i32)> {
        self.partitions.keys().map(move |&partition| (generation, partition))
    }
}

/// Where a member stands in a partition that it holds.
#[derive(Debug, Clone, Copy)]
struct Position {
    /// No record before this offset may come: it was committed before the partition was given.
    committed: i64,
    /// The next offset that is due, once one was processed.
    next: Option<i64>,
}

impl Journal {
    /// Notes what a member said.
    pub fn add(&self, member: usize, event: Event) {
        let mut state = self.lock();
        state.remember(member, &event);
        if let Err(error) = state.add(member, event) {
            state.violation.get_or_insert(format!("member {member}: {error:#}"));
        }
    }

    /// Notes that a member says nothing more.
    pub fn end(&self, member: usize) {
        let mut state = self.lock();
        let holdings = state.members.entry(member).or_default();
        holdings.ended = true;
        holdings.partitions.clear();
    }

    /// Checks that nothing wrong was said so far.
    ///
    /// # Errors
    /// The first violation.
    pub fn check(&self) -> Result<()> {
        let state = self.lock();
        ensure!(state.violation.is_none(), "{}", state.violation.as_deref().unwrap_or_default());
        Ok(())
    }

    /// The partitions that a member holds, as far as it knows.
    #[must_use]
    pub fn held_by(&self, member: usize) -> BTreeSet<i32> {
        self.lock()
            .members
            .get(&member)
            .map(|held| held.partitions.keys().copied().collect())
            .unwrap_or_default()
    }

    /// The highest generation, or member epoch, that a member named.
    #[must_use]
    pub fn generation(&self) -> i32 {
        self.lock().members.values().filter_map(|held| held.generation).max().unwrap_or_default()
    }

    /// The lowest offset of each partition that one of `members` has processed.
    #[must_use]
    pub fn first_of(&self, members: &[usize]) -> BTreeMap<i32, i64> {
        let state = self.lock();
        let mut first = BTreeMap::new();
        for held in members.iter().filter_map(|member| state.members.get(member)) {
            for (&partition, &offset) in &held.first {
                let lowest = first.entry(partition).or_insert(offset);
                *lowest = offset.min(*lowest);
            }
        }
        first
    }

    /// The highest offset of each partition that the broker acknowledged as committed.
    #[must_use]
    pub fn committed(&self) -> BTreeMap<i32, i64> {
        self.lock().committed.clone()
    }

    /// The first offset below `end` (exclusive) that no member has processed.
    #[must_use]
    pub fn first_missing(&self, partition: i32, end: i64) -> Option<i64> {
        let state = self.lock();
        let Some(processed) = state.processed.get(&partition) else { return (end > 0).then_some(0) };
        (0..end).find(|offset| !processed.contains(offset))
    }

    /// The offset after the highest that any member has processed.
    #[must_use]
    pub fn processed_end(&self, partition: i32) -> i64 {
        let state = self.lock();
        state.processed.get(&partition).and_then(|offsets| offsets.last()).map_or(0, |last| last + 1)
    }

    /// Who holds what, and what the clients complained of last.
    #[must_use]
    pub fn summary(&self) -> String {
        let state = self.lock();
        let members = state.members.iter().map(|(member, held)| {
            let places: Vec<_> =
                held.partitions.iter().map(|(partition, position)| (partition, position.next)).collect();
            let ended = if held.ended { ", ended" } else { "" };
            let (processed, generation) = (held.processed, held.generation);
            format!(
                "member {member}{ended}: {processed} records, generation {generation:?}, holds {places:?}\n"
            )
        });
        let trouble = state.trouble.iter().skip(state.trouble.len().saturating_sub(SHOWN_TROUBLE));
        let commits = format!("acknowledged commits: {:?}\n", state.committed);
        let recent = state.violation.iter().flat_map(|_| &state.recent);
        members.chain([commits]).chain(trouble.cloned()).chain(recent.cloned()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember(&mut self, member: usize, event: &Event) {
        if self.violation.is_none() {
            if self.recent.len() == SHOWN_EVENTS {
                self.recent.pop_front();
            }
            self.recent.push_back(format!("member {member}: {event:?}\n"));
        }
    }

    fn add(&mut self, member: usize, event: Event) -> Result<()> {
        let held = self.members.entry(member).or_default();
        match event {
            Event::Assigned { partitions, generation } => {
                held.generation = generation.or(held.generation);
                for partition in partitions {
                    let committed = self.committed.get(&partition).copied().unwrap_or_default();
                    // Some clients repeat what they keep; only what is new begins anew.
                    held.partitions.entry(partition).or_insert(Position { committed, next: None });
                }
                for place in generation.into_iter().flat_map(|generation| held.places(generation)) {
                    let owner = *self.owners.entry(place).or_insert(member);
                    ensure!(owner == member, "member {owner} has it in the same generation: {place:?}");
                }
            }
            Event::Revoked { partitions } => {
                for partition in partitions {
                    held.partitions.remove(&partition);
                }
            }
            Event::Record { partition, offset, value } => {
                held.processed += 1;
                held.first.entry(partition).or_insert(offset);
                self.processed.entry(partition).or_default().insert(offset);
                let number = number_of(value.as_bytes())?;
                ensure!(number == offset, "record {number} came from offset {offset} of {partition}");
                // A member that was paused may still process what it fetched before.
                let Some(position) = held.partitions.get_mut(&partition) else { return Ok(()) };
                if let Some(next) = position.next {
                    ensure!(offset == next, "offset {offset} of {partition} came where {next} was due");
                }
                ensure!(
                    offset >= position.committed,
                    "offset {offset} of {partition} came although {} was committed",
                    position.committed
                );
                position.next = Some(offset + 1);
            }
            Event::Committed { offsets } => {
                for (partition, offset) in offsets {
                    let highest = self.committed.entry(partition).or_default();
                    *highest = offset.max(*highest);
                }
            }
            Event::Trouble { message } => self.trouble.push(format!("member {member} said: {message}\n")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Journal};
    use crate::ledger::payload;

    fn assigned(partitions: &[i32], generation: i32) -> Event {
        Event::Assigned { partitions: partitions.to_vec(), generation: Some(generation) }
    }

    fn record(partition: i32, offset: i64) -> Event {
        let value = String::from_utf8_lossy(&payload(offset)).into_owned();
        Event::Record { partition, offset, value }
    }

    fn is_right(said: &[(usize, Event)]) -> bool {
        let journal = Journal::default();
        said.iter().for_each(|(member, event)| journal.add(*member, event.clone()));
        journal.check().is_ok()
    }

    #[test]
    fn hand_over_and_repetition_are_right() {
        assert!(is_right(&[
            (0, assigned(&[0, 1], 1)),
            (0, record(0, 0)),
            (0, record(0, 1)),
            (0, Event::Committed { offsets: vec![(0, 1)] }),
            (0, Event::Revoked { partitions: vec![0] }),
            (1, assigned(&[0], 2)),
            (1, record(0, 1)),
        ]));
    }

    #[test]
    fn skipped_record_is_wrong() {
        assert!(!is_right(&[(0, assigned(&[0], 1)), (0, record(0, 0)), (0, record(0, 2))]));
    }

    #[test]
    fn record_from_before_an_acknowledged_commit_is_wrong() {
        let committed = Event::Committed { offsets: vec![(0, 5)] };
        assert!(!is_right(&[(0, committed), (1, assigned(&[0], 2)), (1, record(0, 4))]));
    }

    #[test]
    fn two_owners_in_one_generation_are_wrong() {
        assert!(!is_right(&[(0, assigned(&[0], 1)), (1, assigned(&[0], 1))]));
        assert!(is_right(&[(0, assigned(&[0], 1)), (1, assigned(&[0], 2))]));
    }

    #[test]
    fn missing_record_is_found() {
        let journal = Journal::default();
        [0, 1, 3].into_iter().for_each(|offset| journal.add(0, record(0, offset)));
        assert_eq!(journal.first_missing(0, 4), Some(2));
        assert_eq!(journal.first_missing(0, 2), None);
        assert_eq!(journal.first_missing(1, 1), Some(0));
    }
}

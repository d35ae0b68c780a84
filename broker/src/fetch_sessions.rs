//! Fetch sessions (KIP-227): what a consumer asked for before, so that its next request names changes alone.
//!
//! A core: it holds no lock and reads no clock. Sessions are soft state; a client whose session is gone is told so
//! and begins another. Source: `FetchSession.scala` (`FetchContext`, `FetchSessionCache`).

use std::collections::BTreeMap;
use std::time::Duration;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};

/// A session that was used more recently than this is never evicted for another one.
/// Source: `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);

/// Partitions in one session. Larger: one client holds more memory. Smaller: a consumer of very many partitions
/// falls back to full requests.
const PARTITIONS_PER_SESSION_MAX: usize = 100_000;

/// Partitions in all sessions together, each below a kilobyte. Larger: sessions take more memory. Smaller: consumers
/// of very many partitions have no session and name all of them in each request.
const PARTITIONS_MAX: usize = 500_000;

/// The longest name that a session remembers; no topic has a longer one. Source: `Topic.MAX_NAME_LENGTH`.
const NAME_BYTES_MAX: usize = 249;

/// The epoch of a request that wants no session. Source: `FetchMetadata.FINAL_EPOCH`.
const FINAL_EPOCH: i32 = -1;
/// The epoch of a request that begins a session. Source: `FetchMetadata.INITIAL_EPOCH`.
const INITIAL_EPOCH: i32 = 0;

/// How a request names a topic: by name below version 13, by id from there on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicKey {
    /// The topic's name.
    Name(String),
    /// The topic's id.
    Id(TopicId),
}

/// A partition as a fetch names it.
pub type PartitionKey = (TopicKey, PartitionIndex);

/// What is asked of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The first offset that the client does not have.
    pub fetch_offset: Offset,
    /// At most so many bytes from this partition, unless its first batch is larger.
    pub bytes_max: usize,
    /// The leader epoch that the client knows; -1 where it knows none.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record that the client has; -1 where it does not say.
    pub last_fetched_epoch: LeaderEpoch,
}

/// The session part of a fetch request.
#[derive(Clone, Copy, Debug)]
pub struct SessionRequest {
    /// The session that the client continues; 0 for none.
    pub session_id: i32,
    /// The number of the request in that session; 0 begins one, -1 wants none.
    pub epoch: i32,
    /// Whether topics are named by id.
    pub uses_topic_ids: bool,
}

/// Why a session could not be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// No such session: evicted, or of an earlier run of the node.
    #[error("no such fetch session")]
    NotFound,
    /// Not the epoch that comes next.
    #[error("not the epoch that this fetch session expects next")]
    InvalidEpoch,
    /// The session named topics by name and the request by id, or the reverse.
    #[error("a fetch session cannot change between topic names and topic ids")]
    TopicIdUse,
}

/// What a request turned out to ask, in the order in which partitions are read.
#[derive(Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The session that goes back to the client; 0 where there is none.
    pub session_id: i32,
    /// Whether the answer names every partition, or only those with news.
    pub is_full: bool,
    /// The partitions to read.
    pub wanted: Vec<(PartitionKey, Wanted)>,
}

/// What an answer tells of a partition, to see later whether there is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The high watermark, exclusive.
    pub high_watermark: i64,
    /// The log start offset.
    pub log_start_offset: i64,
    /// Whether records, an error or anything else for this one answer is in it.
    pub has_news: bool,
    /// Whether records are in it.
    pub has_records: bool,
}

#[derive(Debug)]
struct Session {
    epoch: i32,
    uses_topic_ids: bool,
    last_used: Duration,
    next_place: u64,
    places: BTreeMap<PartitionKey, u64>,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    key: PartitionKey,
    wanted: Wanted,
    told: Option<(i64, i64)>,
}

/// All sessions of the node.
#[derive(Debug)]
pub struct FetchSessions {
    sessions_max: usize,
    /// The partitions of all sessions together.
    partitions: usize,
    by_id: BTreeMap<i32, Session>,
}

impl FetchSessions {
    /// Room for `sessions_max` sessions (`max.incremental.fetch.session.cache.slots`).
    #[must_use]
    pub fn new(sessions_max: usize) -> Self {
        Self { sessions_max, partitions: 0, by_id: BTreeMap::new() }
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// What `request` asks, given what its session asked before. `random` picks the id of a new session.
    ///
    /// # Errors
    /// When the session cannot be continued; the client then begins another.
    pub fn resolve(
        &mut self,
        request: SessionRequest,
        wanted: Vec<(PartitionKey, Wanted)>,
        forgotten: &[PartitionKey],
        now: Duration,
        random: impl FnMut() -> i32,
    ) -> Result<Resolved, SessionError> {
        match request.epoch {
            FINAL_EPOCH | INITIAL_EPOCH => {
                self.remove(request.session_id);
                let session_id = match request.epoch {
                    INITIAL_EPOCH => self.create(request.uses_topic_ids, &wanted, now, random),
                    _ => 0,
                };
                Ok(Resolved { session_id, is_full: true, wanted })
            }
            _ => self.resume(request, wanted, forgotten, now),
        }
    }

    /// Notes what the answer tells of each of its partitions, and says which of them to name in it.
    pub fn tell(&mut self, session_id: i32, told: &[(PartitionKey, Told)]) -> Vec<bool> {
        let Some(session) = self.by_id.get_mut(&session_id) else { return vec![true; told.len()] };
        told.iter().map(|(key, told)| session.tell(key, *told)).collect()
    }

    fn create(
        &mut self,
        uses_topic_ids: bool,
        wanted: &[(PartitionKey, Wanted)],
        now: Duration,
        mut random: impl FnMut() -> i32,
    ) -> i32 {
        if wanted.is_empty() || !wanted.iter().all(|(key, _)| is_rememberable(key)) || !self.make_room(now) {
            return 0;
        }
        if wanted.len() > PARTITIONS_PER_SESSION_MAX.min(PARTITIONS_MAX.saturating_sub(self.partitions)) {
            return 0;
        }
        let mut session = Session {
            epoch: 1,
            uses_topic_ids,
            last_used: now,
            next_place: 0,
            places: BTreeMap::new(),
            entries: BTreeMap::new(),
        };
        for (key, wanted) in wanted {
            session.want(key.clone(), wanted.clone());
        }
        let id = loop {
            let id = random() & i32::MAX;
            if id != 0 && !self.by_id.contains_key(&id) {
                break id;
            }
        };
        self.partitions += session.entries.len();
        self.by_id.insert(id, session);
        id
    }

    /// Makes room for one session, where the least recently used one may go.
    fn make_room(&mut self, now: Duration) -> bool {
        if self.by_id.len() < self.sessions_max {
            return true;
        }
        let oldest = self.by_id.iter().min_by_key(|(_, session)| session.last_used);
        let evictable = oldest
            .filter(|(_, session)| now.saturating_sub(session.last_used) > EVICTABLE_AFTER)
            .map(|(id, _)| *id);
        evictable.is_some_and(|id| self.remove(id))
    }

    fn remove(&mut self, id: i32) -> bool {
        let Some(session) = self.by_id.remove(&id) else { return false };
        self.partitions -= session.entries.len();
        true
    }

    fn resume(
        &mut self,
        request: SessionRequest,
        wanted: Vec<(PartitionKey, Wanted)>,
        forgotten: &[PartitionKey],
        now: Duration,
    ) -> Result<Resolved, SessionError> {
        let session = self.by_id.get_mut(&request.session_id).ok_or(SessionError::NotFound)?;
        if session.epoch != request.epoch {
            return Err(SessionError::InvalidEpoch);
        }
        if session.uses_topic_ids != request.uses_topic_ids {
            return Err(SessionError::TopicIdUse);
        }
        // What was asked for and not remembered would never be read: the client shall begin another session, which a
        // limit may refuse it.
        let room = PARTITIONS_PER_SESSION_MAX
            .saturating_sub(session.entries.len())
            .min(PARTITIONS_MAX.saturating_sub(self.partitions));
        let is_new = |key: &PartitionKey| !session.places.contains_key(key);
        if wanted.iter().filter(|(key, _)| is_new(key)).count() > room
            || !wanted.iter().all(|(key, _)| is_rememberable(key))
        {
            self.remove(request.session_id);
            return Err(SessionError::NotFound);
        }
        session.epoch = if session.epoch == i32::MAX { 1 } else { session.epoch + 1 };
        session.last_used = now;
        self.partitions -= session.entries.len();
        for key in forgotten {
            session.forget(key);
        }
        for (key, wanted) in wanted {
            session.want(key, wanted);
        }
        self.partitions += session.entries.len();
        let wanted =
            session.entries.values().map(|entry| (entry.key.clone(), entry.wanted.clone())).collect();
        if session.entries.is_empty() {
            self.remove(request.session_id);
            return Ok(Resolved { session_id: 0, is_full: false, wanted });
        }
        Ok(Resolved { session_id: request.session_id, is_full: false, wanted })
    }
}

fn is_rememberable((topic, _): &PartitionKey) -> bool {
    match topic {
        TopicKey::Name(name) => name.len() <= NAME_BYTES_MAX,
        TopicKey::Id(_) => true,
    }
}

impl Session {
    fn want(&mut self, key: PartitionKey, wanted: Wanted) {
        if let Some(entry) = self.places.get(&key).and_then(|place| self.entries.get_mut(place)) {
            entry.wanted = wanted;
            return;
        }
        let place = self.next_place;
        self.next_place += 1;
        self.places.insert(key.clone(), place);
        self.entries.insert(place, Entry { key, wanted, told: None });
    }

    fn forget(&mut self, key: &PartitionKey) {
        if let Some(place) = self.places.remove(key) {
            self.entries.remove(&place);
        }
    }

    fn tell(&mut self, key: &PartitionKey, told: Told) -> bool {
        let Some(place) = self.places.get(key).copied() else { return true };
        let Some(mut entry) = self.entries.remove(&place) else { return true };
        let now_told = (told.high_watermark, told.log_start_offset);
        let is_named = told.has_news || entry.told != Some(now_told);
        if is_named {
            entry.told = Some(now_told);
        }
        let place = if told.has_records {
            // Behind the others, so that the next answer begins with those that got nothing.
            let last = self.next_place;
            self.next_place += 1;
            self.places.insert(key.clone(), last);
            last
        } else {
            place
        };
        self.entries.insert(place, entry);
        is_named
    }
}

#[cfg(test)]
mod tests;

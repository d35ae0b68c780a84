//! Groups: the classic protocol, the consumer protocol, and what turns one into the other.

pub mod assignor;
pub(crate) mod classic;
pub(crate) mod consumer;
pub(crate) mod migration;
pub(crate) mod table;

use std::time::Duration;

use storage::ids::{Offset, TimestampMs};

use crate::description::GroupListing;
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::GroupId;
use crate::output::Output;
use crate::record::{OffsetCommitValue, Record};
use classic::ClassicGroup;
use consumer::ConsumerGroup;

/// A group of either protocol. What both kinds answer is asked here; what only one knows is asked of it.
#[derive(Debug)]
pub(crate) enum Group {
    /// Of the classic protocol, or one that only keeps offsets.
    Classic(ClassicGroup),
    /// Of the consumer protocol.
    Consumer(ConsumerGroup),
}

/// When the offsets of a group grow old. Source: OffsetExpirationConditionImpl.java.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OffsetAge {
    /// None of them does.
    Never,
    /// Each from when it was committed.
    SinceCommit,
    /// All from this moment.
    Since(TimestampMs),
}

impl OffsetAge {
    /// Whether an offset has been kept for longer than it is to be.
    pub(crate) fn is_expired(self, value: &OffsetCommitValue, now: TimestampMs, retention_ms: i64) -> bool {
        let since = match self {
            Self::Never => return false,
            Self::SinceCommit => value.commit_timestamp,
            Self::Since(since) => since,
        };
        match value.expire_timestamp {
            Some(expire) => now >= expire,
            None => now.0.saturating_sub(since.0) >= retention_ms,
        }
    }
}

impl Group {
    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_empty(),
            Self::Consumer(group) => group.is_empty(),
        }
    }

    /// Whether nothing would be lost if it were forgotten: it has no member, and nobody is about to become one.
    pub(crate) fn is_vacant(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_vacant(),
            Self::Consumer(group) => group.is_empty(),
        }
    }

    /// Every record before `high_watermark` is committed.
    pub(crate) fn committed(&mut self, high_watermark: Offset) {
        match self {
            Self::Classic(group) => group.committed(high_watermark),
            Self::Consumer(group) => group.committed(high_watermark),
        }
    }

    /// All its records are applied: the sessions of its members begin.
    pub(crate) fn loaded(&mut self, group_id: &GroupId, env: &Environment<'_>, output: &mut Output) {
        match self {
            Self::Classic(group) => group.loaded(env, output),
            Self::Consumer(group) => group.loaded(group_id, env),
        }
    }

    /// The moment before which time changes nothing. It may be too early, never too late.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        match self {
            Self::Classic(group) => group.next_deadline(),
            Self::Consumer(group) => group.next_deadline(),
        }
    }

    /// Whether a request of an administrator may delete single offsets.
    ///
    /// # Errors
    /// When it may not.
    pub(crate) fn check_offset_deletion(&self) -> Result<(), GroupError> {
        match self {
            Self::Classic(group) => group.check_offset_deletion(),
            Self::Consumer(_) => Ok(()),
        }
    }

    /// Whether a member reads the topic, or may do so for all that is known.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed_to(topic),
            Self::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    /// The record that says that nobody is left, where it could not be written when that happened.
    pub(crate) fn unwritten_end(&self) -> Option<Record> {
        match self {
            Self::Classic(group) => group.unwritten_end(),
            Self::Consumer(_) => None,
        }
    }

    /// When offsets of topics to which nobody subscribes grow old.
    pub(crate) fn offset_age(&self) -> OffsetAge {
        match self {
            Self::Classic(group) => group.offset_age(),
            Self::Consumer(_) => OffsetAge::SinceCommit,
        }
    }

    /// Adds the records that delete the group, offsets aside.
    pub(crate) fn tombstones(&self, group_id: &GroupId, records: &mut Vec<Record>) {
        match self {
            Self::Classic(_) => {
                records.push(Record::ClassicGroup { group_id: group_id.clone(), value: None });
            }
            Self::Consumer(group) => group.tombstones(group_id, records),
        }
    }

    /// How it stands as far as it is committed, in one line.
    pub(crate) fn listing(&self, group_id: &GroupId) -> GroupListing {
        match self {
            Self::Classic(group) => group.listing(group_id),
            Self::Consumer(group) => group.listing(group_id),
        }
    }

    /// The shard is led elsewhere: whoever waits is answered.
    pub(crate) fn unload(&mut self, output: &mut Output) {
        match self {
            Self::Classic(group) => group.unload(output),
            // Nobody waits in a consumer group.
            Self::Consumer(_) => {}
        }
    }
}

//! What a follower and a leader send each other over one connection, for all partitions that the one follows and the
//! other leads.
//!
//! ```text
//! follower to leader   a frame: FollowerSays
//! leader to follower   a frame: LeaderSays | the records of its first partition | of the second | …
//! ```
//!
//! A frame is `peer`'s; what is in it is as postcard writes it. What was said holds until something else is said, so each
//! message names only what has changed: a follower asks for a partition once per answer that it gets for it, and the
//! leader names the partitions that have news. The follower asks for one answer at a time; meanwhile news gathers, so that
//! under load the same few messages carry more.
//!
//! Upgrade rule: fields are only ever appended to the two messages, behind `PROTOCOL_VERSION` of `peer`.

use crate::partitions::PartitionKey;
use bytes::Bytes;
use replication::fetch::{FetchAnswer, FetchPosition, FlushReport};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use storage::ids::{BrokerEpoch, LeaderEpoch, Offset};

/// The largest message of a follower: some hundred thousand positions. Larger: a wrong peer makes a node hold more.
/// Smaller: a follower of very many partitions cannot ask for all of them at once.
pub(crate) const FOLLOWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The largest message of a leader. No batch is larger, since a position in a segment has 31 bits.
pub(crate) const LEADER_BYTES_MAX: usize = i32::MAX as usize;

/// A connection over which nothing came for so long is given up by both sides. Longer: after a fault of the network, a
/// follower waits longer before it tries again. Shorter: a node that is very busy loses its followers.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(3);

/// What has changed at a follower.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FollowerSays {
    /// The run of the follower.
    pub(crate) broker_epoch: BrokerEpoch,
    /// Whether it has taken in the last answer and wants one more.
    pub(crate) wants_answer: bool,
    /// How many bytes of records it wants in one answer, and of one partition; a batch that is larger comes all the same
    /// where it is the first.
    pub(crate) bytes_max: u32,
    pub(crate) partition_bytes_max: u32,
    /// How long it waits for an answer where there is no news. What it then hears is how far the high watermarks are, and
    /// that the leader is still there.
    pub(crate) wait_max_ms: u32,
    /// What it asks for from now on, in the place of what it asked before.
    pub(crate) positions: Vec<(PartitionKey, FetchPosition)>,
    /// What it asks for no more.
    pub(crate) forgotten: Vec<PartitionKey>,
    /// What it has flushed.
    pub(crate) flushed: Vec<(PartitionKey, FlushReport)>,
}

/// What has changed at a leader. The records of the partitions follow it, in the order of the partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaderSays {
    pub(crate) partitions: Vec<PartitionAnswer>,
}

/// The answer to a position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartitionAnswer {
    pub(crate) key: PartitionKey,
    /// The position that it answers.
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) fetch_offset: Offset,
    pub(crate) answer: FetchAnswer,
    /// How many bytes of records come with it.
    pub(crate) records_bytes: u32,
}

/// A peer sent what cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("a message between replicas cannot be read: {0}")]
    Malformed(#[from] postcard::Error),
    #[error("a leader's message announces more records than it holds")]
    CutOff,
}

impl FollowerSays {
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain fields are written to memory")
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, MessageError> {
        Ok(postcard::take_from_bytes(body)?.0)
    }
}

impl LeaderSays {
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("plain fields are written to memory")
    }

    /// The answers in a frame, each with its records, which are views of it.
    pub(crate) fn decode(body: &Bytes) -> Result<Vec<(PartitionAnswer, Bytes)>, MessageError> {
        let (said, rest) = postcard::take_from_bytes::<Self>(body)?;
        let mut rest = body.slice_ref(rest);
        said.partitions
            .into_iter()
            .map(|answer| {
                let bytes = usize::try_from(answer.records_bytes).map_err(|_| MessageError::CutOff)?;
                if bytes > rest.len() {
                    return Err(MessageError::CutOff);
                }
                Ok((answer, rest.split_to(bytes)))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{FollowerSays, LeaderSays, MessageError, PartitionAnswer};
    use bytes::Bytes;
    use replication::fetch::{FetchAnswer, FetchPosition, FetchRefusal, FlushReport};
    use storage::ids::{BrokerEpoch, LeaderEpoch, Offset, PartitionIndex, TopicId};
    use uuid::Uuid;

    fn answer(index: i32, answer: FetchAnswer, records: &[u8]) -> PartitionAnswer {
        PartitionAnswer {
            key: (TopicId(Uuid::from_u128(7)), PartitionIndex(index)),
            leader_epoch: LeaderEpoch(3),
            fetch_offset: Offset(40),
            answer,
            records_bytes: u32::try_from(records.len()).expect("a few bytes"),
        }
    }

    fn said() -> Vec<u8> {
        let records = FetchAnswer::Records { high_watermark: Offset(39), log_start_offset: Offset(1) };
        let refused = FetchAnswer::Refused(FetchRefusal::FencedLeaderEpoch { current: LeaderEpoch(4) });
        let partitions =
            vec![answer(0, records, b"one"), answer(1, refused, b""), answer(2, records, b"two")];
        [LeaderSays { partitions }.encode().as_slice(), b"onetwo"].concat()
    }

    #[test]
    fn a_follower_is_heard_as_it_spoke() {
        let key = (TopicId(Uuid::from_u128(7)), PartitionIndex(2));
        let position = FetchPosition {
            leader_epoch: LeaderEpoch(3),
            fetch_offset: Offset(40),
            last_fetched_epoch: Some(LeaderEpoch(2)),
            durable_end_offset: Offset(30),
            log_start_offset: Offset(1),
        };
        let flushed = FlushReport { leader_epoch: LeaderEpoch(3), durable_end_offset: Offset(40) };
        let says = FollowerSays {
            broker_epoch: BrokerEpoch(12),
            wants_answer: true,
            bytes_max: 1000,
            partition_bytes_max: 100,
            wait_max_ms: 500,
            positions: vec![(key, position)],
            forgotten: vec![key],
            flushed: vec![(key, flushed)],
        };
        let bytes = says.encode();
        assert_eq!(FollowerSays::decode(&bytes).unwrap(), says);
        assert_eq!(FollowerSays::decode(&[bytes.as_slice(), b"later"].concat()).unwrap(), says);
    }

    #[test]
    fn each_answer_comes_with_its_records_and_without_a_copy() {
        let body = Bytes::from(said());
        let answers = LeaderSays::decode(&body).unwrap();
        let records: Vec<_> = answers.iter().map(|(_, records)| records.as_ref()).collect();
        assert_eq!(records, [b"one".as_slice(), b"", b"two"]);
        assert!(body.as_ptr_range().contains(&answers[2].1.as_ptr()));
    }

    #[test]
    fn every_cut_of_a_message_is_refused() {
        let body = said();
        for end in 0..body.len() {
            let cut = Bytes::copy_from_slice(&body[..end]);
            assert!(LeaderSays::decode(&cut).is_err(), "cut at {end}");
        }
        let cut = Bytes::copy_from_slice(&body[..body.len() - 1]);
        assert!(matches!(LeaderSays::decode(&cut), Err(MessageError::CutOff)));
    }
}

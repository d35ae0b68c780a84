//! Fetch (key 1, versions 4–18): reads record batches, from many partitions at once.
//!
//! One loop: register with every partition, read them all, answer when there is enough, else wait and read again.
//! Records are views of the mapped segments and go to the socket without a copy. Whole batches only, from the one
//! that holds the fetch offset; the first partition with records gets at least one batch, however large (KIP-74).
//!
//! Version notes: 7 brings sessions (KIP-227), 12 the client's last fetched epoch (KIP-595), 13 topic ids (KIP-516), 16 the
//! leader where a client asked another node (KIP-951).
//! With version 11 a consumer may read from a follower, to which the leader sends it (KIP-392). Not done: followers' own
//! fields (a request with a replica id is refused; replicas have a protocol of their own).
//! Source: `KafkaApis.handleFetchRequest`, `ReplicaManager.fetchMessages`, `DelayedFetch`.
//!
//! [`asked`] finds out what a request asks for, [`waiting`] waits, [`reading`] reads, [`closest`] and [`elsewhere`] say
//! which other node to ask, [`answer`] makes the response.

mod answer;
mod asked;
mod closest;
mod elsewhere;
mod reading;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use kafka_protocol::protocol::HeaderVersion;
use storage::error::ReadError;
use storage::ids::LeaderEpoch;
use tokio::time::Instant;

use self::reading::Terms;
use self::waiting::{Patience, read_until_enough};
use super::{Outcome, Reply, RequestContext};
use crate::broker::Broker;
use crate::error_code;
use crate::partition::Partition;
use crate::wire::fetch_response::put_fetch_response;
use crate::wire::request_header::RequestPrefix;
use crate::wire::response::{EncodeError, FrameBuilder};

/// The first version whose clients know that they may read from a follower.
const FOLLOWER_FETCH_SINCE: i16 = 11;

/// Why a partition gives no records.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no such topic or partition")]
    UnknownTopic,
    #[error("no topic with this id")]
    UnknownTopicId,
    #[error("the client knows leader epoch {asked}, which is older than {current}")]
    FencedLeaderEpoch { asked: LeaderEpoch, current: LeaderEpoch },
    #[error("the client knows leader epoch {asked}, which is newer than {current}")]
    UnknownLeaderEpoch { asked: LeaderEpoch, current: LeaderEpoch },
    #[error("this node does not lead the partition")]
    NotLeader,
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A response that is sent without copying its records.
pub(crate) struct FetchReply(pub(crate) FetchResponse);

impl Reply for FetchReply {
    fn into_outcome(self, prefix: RequestPrefix, schema_version: i16) -> Result<Outcome, EncodeError> {
        let is_flexible = FetchResponse::header_version(schema_version) >= 1;
        let mut frame = FrameBuilder::new(prefix.correlation_id, is_flexible);
        put_fetch_response(&mut frame, self.0, schema_version)?;
        frame.finish(schema_version).map(Outcome::Send)
    }
}

pub(crate) async fn handle(context: RequestContext, request: FetchRequest) -> FetchReply {
    if request.replica_id.0 >= 0 || request.replica_state.replica_id.0 >= 0 {
        // A client can never act as a replica.
        return answer::refuse(ResponseError::ClusterAuthorizationFailed, context.version);
    }
    let broker = &context.broker;
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let by_quota = broker.client_quotas.fetch_bytes_max(context.client());
    let terms = Terms {
        bytes_max: usize::try_from(request.max_bytes)
            .unwrap_or(0)
            .min(broker.fetch_bytes_max())
            .min(by_quota),
        is_read_committed: request.isolation_level == 1,
        may_read_from_follower: context.version >= FOLLOWER_FETCH_SINCE,
        client_rack: request.rack_id.as_str().into(),
    };
    // More than the answer may hold never comes together. Source: `KafkaApis.handleFetchRequest`.
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0).min(terms.bytes_max);
    let resolved = match asked::resolve(&context, &request) {
        Ok(resolved) => resolved,
        Err(error) => return answer::refuse(error_code::of_fetch_session(error), context.version),
    };
    let resolved = Arc::new(resolved);
    let is_over = request.max_wait_ms <= 0;
    let patience = Patience { deadline, ending: context.ending.clone(), is_over };
    // With it goes the frame, whose bytes it refers to: what waits is counted without them.
    drop(request);
    let pass = read_until_enough(&context, &resolved, &terms, min_bytes, patience).await;
    match context.fetches(pass.bytes) {
        0 => answer::of(&context, &resolved, pass),
        throttle_time_ms => answer::quiet(&resolved, throttle_time_ms, context.version),
    }
}

/// Whether a client that knows the leader epoch `asked` is right here. Source: `Partition.checkCurrentLeaderEpoch`, KIP-320.
pub(crate) fn check_leadership(
    broker: &Broker,
    partition: &Partition,
    asked: LeaderEpoch,
) -> Result<(), FetchError> {
    let current = partition.leader_epoch();
    match asked {
        LeaderEpoch::NONE => {}
        _ if asked < current => return Err(FetchError::FencedLeaderEpoch { asked, current }),
        _ if asked > current => return Err(FetchError::UnknownLeaderEpoch { asked, current }),
        _ => {}
    }
    broker.leadership(partition).map(drop).ok_or(FetchError::NotLeader)
}

#[cfg(test)]
mod tests;

//! What holds between the nodes of a replica set.

/// How nodes notice each other, copy from each other and share leadership. A field is named as its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationConfig {
    /// How often a node tells the controller that it is alive.
    pub broker_heartbeat_interval_ms: i32,
    /// After so long without a heartbeat a node is fenced.
    pub broker_session_timeout_ms: i32,
    /// A replica that has not caught up with its leader for this long leaves the ISR.
    pub replica_lag_time_max_ms: i64,
    /// The most that is fetched of one partition at once, unless its next batch alone is larger.
    pub replica_fetch_max_bytes: i32,
    /// The most that is fetched from one leader at once, unless the first batch alone is larger.
    pub replica_fetch_response_max_bytes: i32,
    /// How long a leader that has nothing new lets a follower wait.
    pub replica_fetch_wait_max_ms: i32,
    /// The bytes a second that throttled leaders on this node send to replicas out of sync.
    pub leader_replication_throttled_rate: i64,
    /// The bytes a second that throttled replicas on this node catch up with.
    pub follower_replication_throttled_rate: i64,
    /// Which replica a consumer reads from.
    pub replica_selector_class: ReplicaSelector,
    /// Whether leadership goes back to preferred replicas by itself.
    pub auto_leader_rebalance_enable: bool,
    /// How often the controller looks for leadership to give back.
    pub leader_imbalance_check_interval_seconds: i64,
    /// Whether a node that is told to stop hands its leadership over first.
    pub controlled_shutdown_enable: bool,
}

/// Which replica a consumer is told to read from. Source: KIP-392.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaSelector {
    /// The leader.
    Leader,
    /// One in the consumer's rack, where there is one that has what the consumer asks for; else the leader.
    RackAware,
}

impl Default for ReplicationConfig {
    fn default() -> Self {
        Self {
            broker_heartbeat_interval_ms: 300,
            broker_session_timeout_ms: 1200,
            replica_lag_time_max_ms: 2000,
            replica_fetch_max_bytes: 1_048_576,
            replica_fetch_response_max_bytes: 10_485_760,
            replica_fetch_wait_max_ms: 500,
            leader_replication_throttled_rate: i64::MAX,
            follower_replication_throttled_rate: i64::MAX,
            replica_selector_class: ReplicaSelector::Leader,
            auto_leader_rebalance_enable: true,
            leader_imbalance_check_interval_seconds: 300,
            controlled_shutdown_enable: true,
        }
    }
}

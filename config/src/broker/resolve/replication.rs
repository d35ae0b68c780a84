//! The settings that hold between the nodes of a replica set.

use super::Reader;
use crate::broker::listener::Listener;
use crate::broker::replica_set::{self, ReplicaSet, Texts, ThisNode};
use crate::broker::replication::{ReplicaSelector, ReplicationConfig};
use crate::error::ConfigError;
use crate::keys::RACK_AWARE_SELECTOR;

impl Reader<'_> {
    pub(super) fn replica_set(&mut self, node_id: i32) -> Option<ReplicaSet> {
        let texts = Texts {
            nodes: self.text("ottla.replica.set"),
            certificate: self.text("ottla.peer.tls.certificate"),
            key: self.text("ottla.peer.tls.key"),
            ca: self.text("ottla.peer.tls.ca"),
        };
        let has_id = ["node.id", "broker.id"]
            .iter()
            .any(|name| self.layers.explicitly(name).is_some_and(|id| id.trim() != "-1"));
        let this = ThisNode {
            id: has_id.then_some(node_id),
            listener: self.endpoint("ottla.peer.listener"),
            may_use_plaintext: self.typed("ottla.peer.allow.plaintext"),
        };
        replica_set::read(&texts, &this, &mut self.errors)
    }

    /// What a user should know whose node runs alone although it is told how to talk to others.
    pub(super) fn peer_keys_without_a_set(&mut self) -> Option<String> {
        if self.text("ottla.replica.set").is_some() {
            return None;
        }
        let names =
            ["ottla.peer.listener", "ottla.peer.tls.certificate", "ottla.peer.tls.key", "ottla.peer.tls.ca"];
        let set: Vec<&str> = names.into_iter().filter(|name| self.text(name).is_some()).collect();
        (!set.is_empty()).then(|| {
            format!("without ottla.replica.set this node runs alone, and {} changes nothing", set.join(", "))
        })
    }

    pub(super) fn replication(&mut self, is_in_set: bool) -> ReplicationConfig {
        let selector = self.text("replica.selector.class");
        let config = ReplicationConfig {
            broker_heartbeat_interval_ms: self.typed("broker.heartbeat.interval.ms"),
            broker_session_timeout_ms: self.typed("broker.session.timeout.ms"),
            replica_lag_time_max_ms: self.typed("replica.lag.time.max.ms"),
            replica_fetch_max_bytes: self.typed("replica.fetch.max.bytes"),
            replica_fetch_response_max_bytes: self.typed("replica.fetch.response.max.bytes"),
            replica_fetch_wait_max_ms: self.typed("replica.fetch.wait.max.ms"),
            leader_replication_throttled_rate: self.typed("leader.replication.throttled.rate"),
            follower_replication_throttled_rate: self.typed("follower.replication.throttled.rate"),
            replica_selector_class: match selector.as_deref() {
                Some(RACK_AWARE_SELECTOR) => ReplicaSelector::RackAware,
                Some(_) | None => ReplicaSelector::Leader,
            },
            auto_leader_rebalance_enable: self.typed("auto.leader.rebalance.enable"),
            leader_imbalance_check_interval_seconds: self.typed("leader.imbalance.check.interval.seconds"),
            controlled_shutdown_enable: self.typed("controlled.shutdown.enable"),
        };
        if is_in_set {
            self.check_timers(&config);
        }
        config
    }

    fn check_timers(&mut self, config: &ReplicationConfig) {
        if config.broker_heartbeat_interval_ms >= config.broker_session_timeout_ms {
            self.errors.push(ConfigError::Unfitting {
                name: "broker.heartbeat.interval.ms",
                relation: "less than",
                other: "broker.session.timeout.ms",
            });
        }
        if i64::from(config.replica_fetch_wait_max_ms) > config.replica_lag_time_max_ms {
            self.errors.push(ConfigError::Unfitting {
                name: "replica.fetch.wait.max.ms",
                relation: "less than or equal to",
                other: "replica.lag.time.max.ms",
            });
        }
    }
}

/// What a user should know about a set whose nodes are on several machines.
pub(super) fn warning(set: Option<&ReplicaSet>, listeners: &[Listener]) -> Option<String> {
    let spans_machines =
        set.is_some_and(|set| set.nodes.values().any(|node| !replica_set::is_loopback(&node.host)));
    let is_local = listeners.iter().all(|listener| replica_set::is_loopback(&listener.endpoint.host));
    let port = listeners.first()?.endpoint.port;
    (spans_machines && is_local).then(|| {
        format!(
            "listeners lets in clients on this machine only, while ottla.replica.set spans several; \
             listeners=PLAINTEXT://:{port} opens it to the network"
        )
    })
}

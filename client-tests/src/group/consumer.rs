//! Members of the consumer protocol (KIP-848) as raw requests.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use uuid::Uuid;

use super::admin::group_id;
use super::classic::text;
use crate::wire::{Connection, topic_name};

/// Partitions by the id of their topic.
pub type Places = BTreeMap<Uuid, Vec<i32>>;

/// The first heartbeat of a member that subscribes to these topics.
#[must_use]
pub fn join_request(group: &str, member_id: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(member_id))
        .with_member_epoch(0)
        .with_rebalance_timeout_ms(5_000)
        .with_subscribed_topic_names(Some(topics.iter().map(|topic| topic_name(topic)).collect()))
        .with_topic_partitions(Some(Vec::new()))
}

/// The next heartbeat of a member, in which nothing has changed.
#[must_use]
pub fn heartbeat_request(group: &str, member_id: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(member_id))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
        .with_subscribed_topic_names(None)
        .with_topic_partitions(None)
}

/// Sends a heartbeat.
///
/// # Errors
/// When no answer comes.
pub fn heartbeat(
    connection: &mut Connection,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse> {
    connection.call(1, request)
}

/// A member that does what the broker says.
#[derive(Debug, Clone)]
pub struct RawConsumer {
    /// The group.
    pub group: String,
    /// The id that it chose.
    pub member_id: String,
    /// Its epoch.
    pub epoch: i32,
    /// What it owns.
    pub owned: Places,
}

impl RawConsumer {
    /// Joins a group.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn join(connection: &mut Connection, request: &ConsumerGroupHeartbeatRequest) -> Result<RawConsumer> {
        let response = heartbeat(connection, request)?;
        ensure!(response.error_code == 0, "ConsumerGroupHeartbeat answered {response:?}");
        let (group, member_id) = (request.group_id.to_string(), request.member_id.to_string());
        let mut member = RawConsumer { group, member_id, epoch: 0, owned: Places::new() };
        member.take(response);
        Ok(member)
    }

    /// Sends what it owns and takes what it is given.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn reconcile(&mut self, connection: &mut Connection) -> Result<()> {
        let owned = self.owned.iter().map(|(&topic, partitions)| {
            TopicPartitions::default().with_topic_id(topic).with_partitions(partitions.clone())
        });
        let request = heartbeat_request(&self.group, &self.member_id, self.epoch)
            .with_topic_partitions(Some(owned.collect()));
        let response = heartbeat(connection, &request)?;
        ensure!(response.error_code == 0, "ConsumerGroupHeartbeat answered {response:?}");
        self.take(response);
        Ok(())
    }

    /// Sends a heartbeat that says nothing about partitions, and returns the error code.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn beat(&self, connection: &mut Connection) -> Result<i16> {
        Ok(heartbeat(connection, &heartbeat_request(&self.group, &self.member_id, self.epoch))?.error_code)
    }

    /// How many partitions it owns.
    #[must_use]
    pub fn share(&self) -> usize {
        self.owned.values().map(Vec::len).sum()
    }

    fn take(&mut self, response: ConsumerGroupHeartbeatResponse) {
        self.epoch = response.member_epoch;
        if let Some(assignment) = response.assignment {
            self.owned = assignment
                .topic_partitions
                .into_iter()
                .map(|topic| (topic.topic_id, topic.partitions))
                .filter(|(_, partitions)| !partitions.is_empty())
                .collect();
        }
    }
}

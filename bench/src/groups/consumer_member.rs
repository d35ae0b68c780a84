//! A member that speaks the consumer protocol (KIP-848): it sends heartbeats, and takes and gives up what they say.

use anyhow::{Result, bail};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::board::{Board, Owned};
use super::classic_member::Duty;
use super::coordination::{group_id, is_beginning};
use crate::clock::pause;
use crate::connection::Connection;

const REBALANCE_TIMEOUT_MS: i32 = 60_000;
/// The epoch with which a member joins, and that with which it leaves.
const JOIN: i32 = 0;
const LEAVE: i32 = -1;

/// Lives until the measurement is over.
pub(super) fn live(duty: Duty<'_>, board: &Board) -> Result<()> {
    let mut member = Member { duty, connection: Connection::open(duty.address)?, lives: 0 };
    while !board.is_over() {
        if board.is_wanted(duty.number) {
            member.belong(board)?;
        } else {
            pause(std::time::Duration::from_millis(1));
        }
    }
    Ok(())
}

struct Member<'a> {
    duty: Duty<'a>,
    connection: Connection,
    lives: u32,
}

impl Member<'_> {
    /// One life: joins, and stays until it is to leave or is thrown out.
    fn belong(&mut self, board: &Board) -> Result<()> {
        self.lives += 1;
        let id = StrBytes::from_string(format!("member-{}-{}", self.duty.number, self.lives));
        let mut epoch = JOIN;
        let mut owned: Vec<TopicPartitions> = Vec::new();
        let mut has_news = true;
        loop {
            let is_wanted = board.is_wanted(self.duty.number);
            let sent_epoch = if is_wanted { epoch } else { LEAVE };
            let response = self.heartbeat(&id, sent_epoch, has_news.then_some(&owned))?;
            match ResponseError::try_from_code(response.error_code) {
                None => {}
                Some(ResponseError::FencedMemberEpoch | ResponseError::UnknownMemberId) => {
                    board.owns_nothing(self.duty.number);
                    return Ok(());
                }
                Some(error) if is_beginning(error) => continue,
                Some(error) => bail!("ConsumerGroupHeartbeat: {error} {:?}", response.error_message),
            }
            if !is_wanted {
                board.owns_nothing(self.duty.number);
                return Ok(());
            }
            epoch = response.member_epoch;
            // What is new is said at once, as clients do; otherwise the next heartbeat has time.
            has_news = false;
            if let Some(assignment) = response.assignment {
                let assigned = assignment.topic_partitions.into_iter().map(|topic| {
                    TopicPartitions::default().with_topic_id(topic.topic_id).with_partitions(topic.partitions)
                });
                let assigned: Vec<TopicPartitions> = assigned.collect();
                has_news = assigned != owned;
                owned = assigned;
            }
            let partitions = owned.iter().map(|topic| topic.partitions.len()).sum();
            board.owns(self.duty.number, Owned { epoch, partitions });
            if !has_news {
                pause(self.duty.heartbeat_interval);
            }
        }
    }

    fn heartbeat(
        &mut self,
        id: &StrBytes,
        epoch: i32,
        owned: Option<&Vec<TopicPartitions>>,
    ) -> Result<ConsumerGroupHeartbeatResponse> {
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group_id(self.duty.group))
            .with_member_id(id.clone())
            .with_member_epoch(epoch)
            .with_topic_partitions(owned.cloned());
        if epoch == JOIN {
            let topic = TopicName(StrBytes::from_string(self.duty.topic.to_owned()));
            request = request
                .with_rebalance_timeout_ms(REBALANCE_TIMEOUT_MS)
                .with_subscribed_topic_names(Some(vec![topic]));
        }
        self.connection.call(1, &request)
    }
}

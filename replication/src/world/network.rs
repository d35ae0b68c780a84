//! Connections of followers to leaders, and what travels on them.
//!
//! A connection keeps order. A follower reads only its newest one; what it sent on older ones may still reach the leader,
//! as bytes do that wait in a socket. Requests to the controller keep no order at all.

use super::checker::Violation;
use super::log::Record;
use super::{Fault, Role, World};
use crate::fetch::{BrokerRun, FetchAnswer, FetchPosition, FetchRefusal, FlushReport};
use crate::follower::FollowerStep;
use crate::leader::IsrProposal;
use std::collections::VecDeque;
use storage::ids::{BrokerEpoch, BrokerId, Offset};

/// The most records of one answer.
const RECORDS_PER_ANSWER: usize = 5;

/// The most connections that the world keeps: older ones are lost with what is on them.
const CONNECTIONS_MAX: usize = 6;

/// From a follower to a leader.
#[derive(Debug, Clone, Copy)]
pub(super) enum Message {
    Fetch(FetchPosition),
    Flushed(FlushReport),
}

/// From a leader to a follower.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    asked: FetchPosition,
    answer: FetchAnswer,
    records: Vec<Record>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) follower: BrokerId,
    pub(super) leader: BrokerId,
    run: BrokerEpoch,
    to_leader: VecDeque<Message>,
    to_follower: VecDeque<Fetched>,
    /// Whether the follower still reads it.
    is_open: bool,
    /// Whether the follower waits for an answer.
    awaits: bool,
}

/// A proposal on its way to the controller.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) from: BrokerId,
    pub(super) run: BrokerEpoch,
    pub(super) proposal: IsrProposal,
    /// Whether the leader was told of a failure already: a late answer does not reach it.
    pub(super) is_answered: bool,
}

impl Connection {
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether something is on its way.
    pub(super) fn has_mail(&self) -> bool {
        !self.to_leader.is_empty() || !self.to_follower.is_empty()
    }
}

impl World {
    /// The follower no longer reads its connection; what it sent may still arrive.
    pub(super) fn drop_connection_of(&mut self, follower: BrokerId) {
        for connection in &mut self.connections {
            if connection.follower == follower {
                connection.is_open = false;
                connection.to_follower.clear();
            }
        }
    }

    /// The connection of a follower to the leader that it follows now.
    pub(super) fn open_connection(&mut self, id: BrokerId) -> Option<&mut Connection> {
        let Role::Follower(follower) = &self.nodes[&id].role else { return None };
        let leader = follower.leader()?;
        self.connections
            .iter_mut()
            .find(|connection| connection.follower == id && connection.leader == leader && connection.is_open)
    }

    /// A follower dials the leader that it follows.
    pub(super) fn connect(&mut self, id: BrokerId) {
        let Role::Follower(follower) = &self.node(id).role else { return };
        let (Some(leader), run) = (follower.leader(), self.node(id).run) else { return };
        self.drop_connection_of(id);
        if !self.node(leader).is_running {
            return;
        }
        if self.connections.len() >= CONNECTIONS_MAX {
            self.connections.remove(0);
        }
        self.connections.push(Connection {
            follower: id,
            leader,
            run,
            to_leader: VecDeque::new(),
            to_follower: VecDeque::new(),
            is_open: true,
            awaits: false,
        });
    }

    /// A follower asks, unless it waits for an answer.
    pub(super) fn fetch(&mut self, id: BrokerId) {
        let ends = self.ends(id);
        let Role::Follower(follower) = &self.node(id).role else { return };
        let Some(position) = follower.position(&ends) else { return };
        let Some(connection) = self.open_connection(id) else { return };
        if !connection.awaits {
            connection.awaits = true;
            connection.to_leader.push_back(Message::Fetch(position));
        }
    }

    /// A follower tells of a flush, if it has a connection.
    pub(super) fn send_flushed(&mut self, id: BrokerId, report: FlushReport) {
        if let Some(connection) = self.open_connection(id) {
            connection.to_leader.push_back(Message::Flushed(report));
        }
    }

    /// The next message of this connection reaches the leader.
    pub(super) fn deliver_to_leader(&mut self, index: usize) -> Result<(), Violation> {
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        let Some(message) = connection.to_leader.pop_front() else { return Ok(()) };
        let from = BrokerRun { broker_id: connection.follower, broker_epoch: connection.run };
        let leader = connection.leader;
        match message {
            Message::Fetch(asked) => {
                let (answer, records) = self.serve(leader, from, &asked);
                let connection = &mut self.connections[index];
                if connection.is_open {
                    connection.to_follower.push_back(Fetched { asked, answer, records });
                }
            }
            Message::Flushed(report) => self.take_flushed(leader, from, report),
        }
        self.leader_moved(leader)
    }

    fn serve(&mut self, id: BrokerId, from: BrokerRun, asked: &FetchPosition) -> (FetchAnswer, Vec<Record>) {
        let (now, ends) = (self.now, self.ends(id));
        let node = self.node_mut(id);
        let Role::Leader(leader) = &mut node.role else {
            return (FetchAnswer::Refused(FetchRefusal::NotLeader), Vec::new());
        };
        if let Err(refusal) = leader.fetch(from, asked, &ends, |epoch| node.log.epoch_end(epoch), now) {
            return (FetchAnswer::Refused(refusal), Vec::new());
        }
        let answer = FetchAnswer::Records {
            high_watermark: leader.high_watermark(),
            log_start_offset: ends.log_start_offset,
        };
        (answer, node.log.read(asked.fetch_offset, RECORDS_PER_ANSWER))
    }

    fn take_flushed(&mut self, id: BrokerId, from: BrokerRun, mut report: FlushReport) {
        let (now, fault) = (self.now, self.fault);
        let Role::Leader(leader) = &mut self.node_mut(id).role else { return };
        if fault == Some(Fault::FlushesOfAnyEpochCount) {
            report.leader_epoch = leader.leader_epoch();
        }
        // A refusal needs no answer: the next fetch is refused for the same reason.
        leader.flushed(from, &report, now).ok();
    }

    /// The next answer of this connection reaches the follower.
    pub(super) fn deliver_to_follower(&mut self, index: usize) -> Result<(), Violation> {
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        let Some(fetched) = connection.to_follower.pop_front() else { return Ok(()) };
        connection.awaits = false;
        let id = connection.follower;
        let ends = self.ends(id);
        let node = self.node_mut(id);
        let Role::Follower(follower) = &mut node.role else { return Ok(()) };
        let epoch_end = |epoch| node.log.epoch_end(epoch);
        match follower.on_answer(&fetched.asked, &fetched.answer, &ends, epoch_end) {
            FollowerStep::Ignore | FollowerStep::Wait(_) => Ok(()),
            FollowerStep::Append { high_watermark, log_start_offset } => {
                self.append(id, &fetched.records, (high_watermark, log_start_offset))
            }
            FollowerStep::Truncate(end) => {
                node.log.truncate(end);
                self.say(format!("{id} cuts its log to offset {end}"));
                Ok(())
            }
            FollowerStep::StartOver(start) => {
                node.log.start_over(start);
                follower.started_over(start);
                node.high_watermark = follower.high_watermark();
                self.say(format!("{id} starts over at offset {start}"));
                Ok(())
            }
            FollowerStep::Halt(gone) => {
                self.say(format!("{id} stops: {gone}"));
                Err(Violation::Halted(gone))
            }
        }
    }

    fn append(
        &mut self,
        id: BrokerId,
        records: &[Record],
        (high_watermark, log_start_offset): (Offset, Offset),
    ) -> Result<(), Violation> {
        for record in records {
            self.node_mut(id).log.append(*record);
        }
        let ends = self.ends(id);
        let node = self.nodes.get_mut(&id).expect("there are three nodes");
        let Role::Follower(follower) = &mut node.role else { return Ok(()) };
        let followed = follower.appended(&ends, high_watermark, log_start_offset);
        self.checker.follower(&node.log, node.high_watermark, followed.high_watermark)?;
        node.high_watermark = followed.high_watermark;
        if let Some(start) = followed.log_start_offset {
            node.log.delete_before(start);
        }
        self.local_moved(id)
    }
}

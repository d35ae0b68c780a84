//! One partition with its replicas, a controller and a network, in memory and deterministic: where the cores are tried.
//!
//! - [`random`]: thousands of random histories, with a [`checker`] that looks for what a client would call a loss; and the
//!   same with one [`Fault`] built in, to see that the checker finds it.
//! - [`script`]: short stories that read like documentation (`replication/transcripts`).
//!
//! The world is as unkind as the real one may be: flushes come late, a crash takes any part of what was not flushed,
//! messages are lost with their connection, those of an old connection still arrive after those of a new one, nodes
//! learn what the controller decided late, and a proposal that the leader gave up can still be carried out.
//!
//! The controller is the real one. Absent: bytes, batches, consensus, and clients with retries.

mod checker;
mod controller;
mod log;
mod network;
mod prelude;
mod random;
mod script;

use crate::fetch::LogEnds;
use crate::follower::Follower;
use crate::leader::{IsrRules, Leader, PartitionMetadata, ProposalOutcome};
use checker::{Checker, Violation};
use controller::{Answer, Controller, Image};
use log::{MemoryLog, Record};
use network::{Connection, Request};
use std::collections::BTreeMap;
use std::time::Duration;
use storage::ids::{BrokerEpoch, BrokerId, Offset};

/// `replica.lag.time.max.ms` of the world.
const LAG_TIME_MAX: Duration = Duration::from_secs(1);

/// A mistake that an implementation could make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// What is not flushed counts for the high watermark.
    LogEndsCount,
    /// A follower joins the ISR at the high watermark, though the leader began its epoch with more records.
    JoinsBelowEpochStart,
    /// The high watermark does not wait for a replica that a proposal on its way makes a member.
    ProposedMembersDoNotCount,
    /// The high watermark moves though the ISR is too small, while those that left it stay eligible.
    TooSmallIsrCommits,
    /// A follower of a new leader first cuts its log to its own high watermark, as before KIP-101.
    CutsToHighWatermark,
    /// A leader that lost an unflushed tail goes on in the same epoch.
    EpochKeptOverRestart,
    /// A flush counts whatever epoch it was reported in.
    FlushesOfAnyEpochCount,
}

/// What a node does for the partition.
#[derive(Debug)]
enum Role {
    /// The process runs not, or has not learnt yet that it is registered, or holds no replica.
    None,
    Leader(Box<Leader>),
    Follower(Follower),
}

/// One node.
#[derive(Debug)]
struct Node {
    run: BrokerEpoch,
    is_running: bool,
    log: MemoryLog,
    /// The newest image that it has learnt.
    seen: usize,
    /// The image of its registration: it does nothing before it has learnt that one.
    registered_at: usize,
    role: Role,
    high_watermark: Offset,
    /// The high watermark on its disk.
    checkpoint: Offset,
    /// Records that were appended in this epoch, and whose clients wait.
    waiting: Vec<(Offset, Record)>,
}

/// The world.
struct World {
    nodes: BTreeMap<BrokerId, Node>,
    controller: Controller,
    connections: Vec<Connection>,
    requests: Vec<Request>,
    now: Duration,
    next_value: u64,
    checker: Checker,
    fault: Option<Fault>,
    /// What has happened, for those who read.
    events: Vec<String>,
}

impl World {
    /// Three running nodes, of which `replicas` hold the partition under the first of them; all have learnt of it.
    fn new(replicas: &[i32], min_insync_replicas: usize, fault: Option<Fault>) -> Self {
        let controller = Controller::new(replicas, min_insync_replicas);
        let latest = controller.latest_index();
        let run_of = |id| controller.latest().standing(id).expect("it is registered").broker_epoch;
        let node = |id: BrokerId| Node {
            run: run_of(id),
            is_running: true,
            log: MemoryLog::default(),
            seen: latest,
            registered_at: latest,
            role: Role::None,
            high_watermark: Offset(0),
            checkpoint: Offset(0),
            waiting: Vec::new(),
        };
        let mut world = Self {
            nodes: (1..=3).map(BrokerId).map(|id| (id, node(id))).collect(),
            controller,
            connections: Vec::new(),
            requests: Vec::new(),
            now: Duration::from_secs(1),
            next_value: 0,
            checker: Checker::default(),
            fault,
            events: Vec::new(),
        };
        for id in (1..=3).map(BrokerId) {
            world.learn(id, latest).expect("nothing has happened yet");
        }
        world.events.clear();
        world
    }

    fn node(&self, id: BrokerId) -> &Node {
        &self.nodes[&id]
    }

    fn node_mut(&mut self, id: BrokerId) -> &mut Node {
        self.nodes.get_mut(&id).expect("there are three nodes")
    }

    fn say(&mut self, event: String) {
        self.events.push(event);
    }

    /// Where the log of a node stands, as the cores are told.
    fn ends(&self, id: BrokerId) -> LogEnds {
        let ends = self.node(id).log.ends();
        match self.fault {
            Some(Fault::LogEndsCount) => LogEnds { durable_end_offset: ends.log_end_offset, ..ends },
            _ => ends,
        }
    }

    /// A client writes one record to a node and waits for its acknowledgement. False where it is refused.
    fn write(&mut self, id: BrokerId) -> Result<bool, Violation> {
        let value = self.next_value;
        let node = self.node_mut(id);
        let Role::Leader(leader) = &node.role else { return Ok(false) };
        if !leader.is_enough() {
            self.say(format!("{id} refuses the write: NOT_ENOUGH_REPLICAS"));
            return Ok(false);
        }
        let record = Record { epoch: leader.leader_epoch(), value };
        node.waiting.push((node.log.end(), record));
        node.log.append(record);
        self.next_value += 1;
        self.local_moved(id)?;
        Ok(true)
    }

    /// The flusher of a node gets as far as `end`.
    fn flush(&mut self, id: BrokerId, end: Offset) -> Result<(), Violation> {
        let node = self.node_mut(id);
        if end <= node.log.durable_end() || end > node.log.end() {
            return Ok(());
        }
        node.log.flush(end);
        self.local_moved(id)
    }

    /// The log of a node has grown, or more of it is durable.
    fn local_moved(&mut self, id: BrokerId) -> Result<(), Violation> {
        let (ends, now) = (self.ends(id), self.now);
        match &mut self.node_mut(id).role {
            Role::None => Ok(()),
            Role::Leader(leader) => {
                leader.local(ends.log_end_offset, ends.durable_end_offset, now);
                self.leader_moved(id)
            }
            Role::Follower(follower) => {
                if let Some(report) = follower.flush_report(ends.durable_end_offset) {
                    self.send_flushed(id, report);
                }
                Ok(())
            }
        }
    }

    /// What the caller of a leader owes it after each call: looks at the high watermark, and sends the proposal.
    fn leader_moved(&mut self, id: BrokerId) -> Result<(), Violation> {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("there are three nodes");
        let Role::Leader(leader) = &mut node.role else { return Ok(()) };
        self.checker.high_watermark(&node.log, leader, node.high_watermark)?;
        node.high_watermark = leader.high_watermark();
        let acknowledged = node.waiting.partition_point(|(offset, _)| *offset < leader.high_watermark());
        let (run, proposal) = (node.run, leader.proposal(now));
        for (offset, record) in node.waiting.drain(..acknowledged).collect::<Vec<_>>() {
            self.checker.acknowledged(offset, record);
            self.say(format!("{id} acknowledges offset {offset}"));
        }
        let Some(proposal) = proposal else { return Ok(()) };
        let members: Vec<_> = proposal.isr.iter().map(|(member, _)| member.0).collect();
        self.say(format!("{id} proposes the ISR {members:?}"));
        if self.fault == Some(Fault::ProposedMembersDoNotCount)
            && let Role::Leader(leader) = &mut self.node_mut(id).role
        {
            leader.proposal_failed(&proposal, ProposalOutcome::Ineligible, now);
        }
        self.requests.push(Request { from: id, run, proposal, is_answered: false });
        Ok(())
    }

    /// A request reaches the controller; the answer reaches the leader if it still waits.
    fn decide(&mut self, request: &Request) -> Result<(), Violation> {
        let answer = self.controller.alter_partition(request.from, request.run, &request.proposal);
        match answer {
            Answer::Done => Ok(()),
            Answer::Stale => self.fail(request, ProposalOutcome::Unknown),
            Answer::Ineligible => self.fail(request, ProposalOutcome::Ineligible),
        }
    }

    /// The leader is told that its request failed, if it still waits for an answer.
    fn fail(&mut self, request: &Request, outcome: ProposalOutcome) -> Result<(), Violation> {
        let now = self.now;
        let node = self.node_mut(request.from);
        if request.is_answered || node.run != request.run {
            return Ok(());
        }
        let Role::Leader(leader) = &mut node.role else { return Ok(()) };
        leader.proposal_failed(&request.proposal, outcome, now);
        self.leader_moved(request.from)
    }

    /// Time passes; leaders whose deadline it is are woken.
    fn wait(&mut self, time: Duration) -> Result<(), Violation> {
        self.now += time;
        let now = self.now;
        for id in (1..=3).map(BrokerId) {
            if let Role::Leader(leader) = &mut self.node_mut(id).role {
                leader.on_deadline(now);
                self.leader_moved(id)?;
            }
        }
        Ok(())
    }

    /// Records of the leader are deleted up to `start`, which is committed.
    fn delete_records(&mut self, id: BrokerId, start: Offset) {
        let node = self.node_mut(id);
        if matches!(node.role, Role::Leader(_)) && start <= node.high_watermark && start > node.log.start() {
            node.log.delete_before(start);
            self.say(format!("{id} deletes what is before offset {start}"));
        }
    }

    /// The process ends. Its log keeps what is durable, and by chance more, up to `end`.
    fn crash(&mut self, id: BrokerId, end: Offset) {
        let node = self.node_mut(id);
        let end = end.max(node.log.durable_end()).min(node.log.end());
        node.log.crash(end);
        node.high_watermark = node.checkpoint.min(node.log.end());
        node.checkpoint = node.high_watermark;
        node.is_running = false;
        node.role = Role::None;
        node.waiting.clear();
        self.connections.retain(|connection| connection.leader != id);
        self.drop_connection_of(id);
    }

    /// The process starts and registers a new run.
    fn start(&mut self, id: BrokerId) {
        let partition = self.controller.latest().partition();
        let leads_alone = partition.leader == Some(id) && *partition.isr == [id];
        if self.fault == Some(Fault::EpochKeptOverRestart) && leads_alone {
            self.node_mut(id).is_running = true;
            return;
        }
        let run = self.controller.register(id);
        let registered_at = self.controller.latest_index();
        let node = self.node_mut(id);
        (node.run, node.registered_at, node.is_running) = (run, registered_at, true);
    }

    /// A node learns the image of this index, and all before it.
    fn learn(&mut self, id: BrokerId, index: usize) -> Result<(), Violation> {
        let image = self.controller.image(index).clone();
        let node = self.node_mut(id);
        if !node.is_running || index < node.seen {
            return Ok(());
        }
        node.seen = index;
        if index < node.registered_at {
            return Ok(());
        }
        if !image.partition().replicas.contains(&id) {
            (node.role, node.log) = (Role::None, MemoryLog::default());
            (node.high_watermark, node.checkpoint) = (Offset(0), Offset(0));
            node.waiting.clear();
            return Ok(());
        }
        if image.partition().leader == Some(id) { self.lead(id, &image) } else { self.follow(id, &image) }
    }

    fn lead(&mut self, id: BrokerId, image: &Image) -> Result<(), Violation> {
        let (now, mut ends) = (self.now, self.ends(id));
        let brokers = |broker| image.standing(broker);
        let min_insync_replicas = match self.fault {
            Some(Fault::TooSmallIsrCommits) => 1,
            _ => image.min_insync_replicas(),
        };
        let mut partition = image.partition().clone();
        if self.fault == Some(Fault::TooSmallIsrCommits) {
            partition.eligible_leader_replicas = Box::default();
        }
        let rules = IsrRules { min_insync_replicas, replica_lag_time_max: LAG_TIME_MAX };
        let metadata = PartitionMetadata { partition: &partition, rules, brokers: &brokers };
        let below_epoch_start = self.fault == Some(Fault::JoinsBelowEpochStart);
        let epoch = image.partition().leader_epoch;
        let node = self.nodes.get_mut(&id).expect("there are three nodes");
        match &mut node.role {
            Role::Leader(leader) if leader.leader_epoch() == epoch => leader.metadata(metadata, now),
            Role::None | Role::Leader(_) | Role::Follower(_) => {
                node.log.begin_epoch(epoch);
                node.waiting.clear();
                self.checker.elected(&node.log, epoch)?;
                let durable_end = ends.durable_end_offset;
                if below_epoch_start {
                    ends.log_end_offset = node.high_watermark;
                    ends.durable_end_offset = node.high_watermark.min(durable_end);
                }
                let mut leader = Leader::new(id, metadata, &ends, node.high_watermark, now);
                leader.local(node.log.end(), durable_end, now);
                node.role = Role::Leader(Box::new(leader));
                self.say(format!("{id} leads epoch {epoch}"));
            }
        }
        self.leader_moved(id)
    }

    fn follow(&mut self, id: BrokerId, image: &Image) -> Result<(), Violation> {
        let epoch = image.partition().leader_epoch;
        let node = self.nodes.get_mut(&id).expect("there are three nodes");
        if matches!(&node.role, Role::Follower(follower) if follower.leader_epoch() == epoch) {
            return Ok(());
        }
        if self.fault == Some(Fault::CutsToHighWatermark) {
            node.log.truncate(node.high_watermark.max(node.log.start()));
        }
        let end = node.log.end();
        node.role = Role::Follower(Follower::new(image.partition().leader, epoch, node.high_watermark, end));
        node.waiting.clear();
        self.say(format!("{id} follows in epoch {epoch}"));
        Ok(())
    }
}
